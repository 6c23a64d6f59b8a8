//! Watches the config file, and the files with secrets, policies and certificates that it names. A change is applied, or reported
//! as invalid.

use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use nearside::config::{Config, Resolved};
use nearside::server::{LoadedFiles, Reloader};
use nearside::telemetry::LogLevel;
use nearside::tls::LoadedTls;
use tokio::signal::unix::Signal;

use super::command_line::{ConfigArguments, aside};

/// How often the files are looked at. A change counts once it was seen twice, so that a file half written does not.
const CONFIG_LOOK: Duration = Duration::from_secs(1);

/// The files that a config names and that are read again with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WatchedFiles(Arc<[PathBuf]>);

impl WatchedFiles {
    /// Those of a config.
    pub(super) fn of(config: &Config) -> Self {
        Self(config.live.files().map(Path::to_owned).collect())
    }
}

/// Reads the config again at each SIGHUP, after each change of a file, links on the way to it included, and when somebody asks for it.
pub(super) async fn watch_config(
    arguments: Arc<ConfigArguments>,
    mut watched: WatchedFiles,
    mut hangups: Signal,
    mut reloader: Reloader,
    log_level: LogLevel,
) {
    let mut loaded = look(&arguments, &watched).await;
    let mut seen = loaded.clone();
    let mut ticks = tokio::time::interval(CONFIG_LOOK);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        let mut asked = None;
        let is_due = tokio::select! {
            Some(ask) = reloader.asked() => {
                asked = Some(ask);
                true
            }
            hangup = hangups.recv() => match hangup {
                Some(()) => true,
                None => return,
            },
            _ = ticks.tick() => {
                let before = std::mem::replace(&mut seen, look(&arguments, &watched).await);
                before == seen && seen != loaded
            }
        };
        if is_due {
            let reread = loop {
                // Looked at first: what changes while it is read is read again.
                loaded = look(&arguments, &watched).await;
                let in_force = reloader.tls_in_force();
                let reread =
                    aside(&arguments, move |arguments| resolve_again(arguments, in_force.as_deref())).await;
                // A file that is missing now may come later, so the files of a config count that could not be used, too.
                match reread.files.clone() {
                    Some(files) if files != watched => watched = files,
                    Some(_) | None => break reread,
                }
            };
            let reloaded = reload(reread.config, &reloader, &log_level);
            if let Some(asked) = asked {
                asked.answer(reloaded);
            }
        }
    }
}

/// What can be seen of the files without a look at secrets.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Seen {
    /// What the config file holds; `None` without one, and for a pipe: what is read from it is gone.
    config: Option<Result<Vec<u8>, ErrorKind>>,
    /// Of each watched file: its device, number, time of change and length. A link that is swapped leads to another number.
    files: Vec<Result<[u64; 5], ErrorKind>>,
}

async fn look(arguments: &Arc<ConfigArguments>, watched: &WatchedFiles) -> Seen {
    let watched = watched.clone();
    aside(arguments, move |arguments| Seen {
        config: arguments
            .file
            .as_ref()
            .filter(|file| !is_pipe(file))
            .map(|file| std::fs::read(file).map_err(|error| error.kind())),
        files: watched.0.iter().map(|file| stamp(file)).collect(),
    })
    .await
}

fn stamp(file: &Path) -> Result<[u64; 5], ErrorKind> {
    let about = std::fs::metadata(file).map_err(|error| error.kind())?;
    Ok([about.dev(), about.ino(), about.ctime() as u64, about.ctime_nsec() as u64, about.len()])
}

/// True for whatever gives its content once: a pipe, a socket, a device.
fn is_pipe(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// What was read again.
struct Reread {
    /// The files that it names, if it could be read itself.
    files: Option<WatchedFiles>,
    /// What it says, with what those files hold; or everything that is wrong, a line for each.
    config: Result<(Resolved, LoadedFiles), String>,
}

/// What is in force, of a config that was read before.
fn resolve_again(arguments: &ConfigArguments, in_force: Option<&LoadedTls>) -> Reread {
    let resolved = match &arguments.file {
        Some(file) if is_pipe(file) => {
            Err(format!("{} is a pipe, which is read only once, at the start", file.display()))
        }
        _ => arguments.resolve().map_err(|unresolved| unresolved.message),
    };
    let files = resolved.as_ref().ok().map(|resolved| WatchedFiles::of(&resolved.config));
    let config =
        resolved.and_then(|resolved| LoadedFiles::read(&resolved, in_force).map(|loaded| (resolved, loaded)));
    Reread { files, config }
}

/// Puts a config in force, and says in the log what came of it.
///
/// # Errors
/// Everything that is wrong, a line for each fault.
fn reload(
    config: Result<(Resolved, LoadedFiles), String>,
    reloader: &Reloader,
    log_level: &LogLevel,
) -> Result<Vec<String>, String> {
    let config = config.and_then(|(resolved, loaded)| {
        log_level.set(&resolved.config.live.log_level).map(|()| (resolved, loaded))
    });
    match config {
        Ok((resolved, loaded)) => {
            let warnings = loaded.warnings();
            let needing_restart = reloader.apply(resolved, loaded);
            tracing::info!("Reloaded the config.");
            for warning in warnings {
                tracing::warn!("{warning}");
            }
            if !needing_restart.is_empty() {
                tracing::warn!("These keys change with a restart: {}.", needing_restart.join(", "));
            }
            Ok(needing_restart)
        }
        Err(reason) => {
            reloader.refuse();
            for fault in reason.lines() {
                tracing::error!("The config was not reloaded, the old one stays: {fault}");
            }
            Err(reason)
        }
    }
}
