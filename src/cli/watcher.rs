//! Watches the config file. A change is applied, or reported as invalid.

use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use nearside::config::Resolved;
use nearside::server::Reloader;
use nearside::telemetry::LogLevel;
use tokio::signal::unix::Signal;

use super::command_line::{ConfigArguments, aside};

/// How often the config file is looked at. A change counts once it was seen twice, so that a file half written does not.
const CONFIG_LOOK: Duration = Duration::from_secs(1);

/// Reads the config again at each SIGHUP and after each change of the file, links on the way to it included.
pub(super) async fn watch_config(
    arguments: Arc<ConfigArguments>,
    mut hangups: Signal,
    reloader: Reloader,
    log_level: LogLevel,
) {
    let mut loaded = aside(&arguments, look).await;
    let mut seen = loaded.clone();
    let mut ticks = tokio::time::interval(CONFIG_LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let is_due = tokio::select! {
            hangup = hangups.recv() => match hangup {
                Some(()) => true,
                None => return,
            },
            _ = ticks.tick() => {
                let before = std::mem::replace(&mut seen, aside(&arguments, look).await);
                before == seen && seen != loaded
            }
        };
        if is_due {
            // Looked at first: what changes while it is read is read again.
            loaded = aside(&arguments, look).await;
            reload(aside(&arguments, resolve_again).await, &reloader, &log_level);
        }
    }
}

/// What a config file holds, as far as it can be looked at: what is read from a pipe is gone from it.
fn look(arguments: &ConfigArguments) -> Option<Result<Vec<u8>, ErrorKind>> {
    let file = arguments.file.as_ref().filter(|file| !is_pipe(file))?;
    Some(std::fs::read(file).map_err(|error| error.kind()))
}

/// True for whatever gives its content once: a pipe, a socket, a device.
fn is_pipe(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// What is in force, of a config that was read before.
fn resolve_again(arguments: &ConfigArguments) -> Result<Resolved, String> {
    match &arguments.file {
        Some(file) if is_pipe(file) => {
            Err(format!("{} is a pipe, which is read only once, at the start", file.display()))
        }
        _ => arguments.resolve().map_err(|unresolved| unresolved.message),
    }
}

fn reload(resolved: Result<Resolved, String>, reloader: &Reloader, log_level: &LogLevel) {
    let config = resolved.map(|resolved| resolved.config);
    let config = config.and_then(|config| log_level.set(&config.live.log_level).map(|()| config));
    match config {
        Ok(config) => {
            let needing_restart = reloader.apply(config);
            tracing::info!("Reloaded the config.");
            if !needing_restart.is_empty() {
                tracing::warn!("These keys change with a restart: {}.", needing_restart.join(", "));
            }
        }
        Err(reason) => {
            reloader.refuse();
            for fault in reason.lines() {
                tracing::error!("The config was not reloaded, the old one stays: {fault}");
            }
        }
    }
}
