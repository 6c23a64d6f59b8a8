//! `nearside serve`: from the config to the last answer.

use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use nearside::config::{LogFormat, Resolved};
use nearside::server::{LoadedFiles, Server};
use nearside::telemetry::{LogSettings, init_logs, use_format};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use super::command_line::{ConfigArguments, aside};
use super::lambda::{DRAIN_MAX, Extension};
use super::signals::EndSignals;
use super::watcher::{WatchedFiles, watch_config};
use super::{CANNOT_START, announce_failures};

/// Serves until a signal asks for the end.
pub(super) fn serve(arguments: ConfigArguments) -> ExitCode {
    match try_serve(arguments) {
        Ok(code) => code,
        Err(message) => {
            announce_failures(&message);
            ExitCode::from(CANNOT_START)
        }
    }
}

fn try_serve(arguments: ConfigArguments) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let outcome = runtime.block_on(serve_until_asked(Arc::new(arguments)));
    // A config that is a pipe without a writer is still being read, and must not keep the process from ending.
    runtime.shutdown_background();
    outcome
}

/// Serves until a signal asks for the end, which it may do before there is a config; as an extension of Lambda, until the sandbox
/// ends.
async fn serve_until_asked(arguments: Arc<ConfigArguments>) -> Result<ExitCode, String> {
    let shutdown = CancellationToken::new();
    let signals = EndSignals::catch().map_err(|error| format!("cannot watch SIGTERM: {error}"))?;
    tokio::spawn(signals.watch(shutdown.clone()));
    let hangups = signal(SignalKind::hangup()).map_err(|error| format!("cannot watch SIGHUP: {error}"))?;
    let extension = Extension::of_this_process();
    let drain_max = extension.as_ref().map(|_| DRAIN_MAX);
    match (start(arguments, hangups, drain_max, &shutdown).await, extension) {
        (Ok(None), _) => Ok(ExitCode::SUCCESS),
        (Ok(Some(server)), None) => {
            server.run(shutdown).await;
            Ok(ExitCode::SUCCESS)
        }
        (Ok(Some(server)), Some(extension)) => {
            extension.accompany(server.run(shutdown.clone()), &shutdown).await?;
            Ok(ExitCode::SUCCESS)
        }
        (Err(message), None) => Err(message),
        (Err(message), Some(extension)) => {
            // A signal ends it at once: there is nothing to drain.
            shutdown.run_until_cancelled(extension.cannot_start(&message)).await;
            Err(message)
        }
    }
}

/// A server that is bound, and watches its config; `None` if the end was asked for before there was a config. It drains for no longer
/// than `drain_max`.
async fn start(
    arguments: Arc<ConfigArguments>,
    hangups: Signal,
    drain_max: Option<Duration>,
    shutdown: &CancellationToken,
) -> Result<Option<Server>, String> {
    let resolved = shutdown.run_until_cancelled(aside(&arguments, ConfigArguments::resolve)).await;
    let Some(resolved) = resolved else {
        return Ok(None);
    };
    let mut resolved = resolved.map_err(|unresolved| {
        use_format(unresolved.log_format == LogFormat::Json);
        unresolved.message
    })?;
    let drain_timeout = &mut resolved.config.fixed.drain_timeout;
    *drain_timeout = drain_max.map_or(*drain_timeout, |most| most.min(*drain_timeout));
    let config = &resolved.config;
    let json = config.fixed.log_format == LogFormat::Json;
    let log_level = init_logs(&LogSettings { level: &config.live.log_level, json })?;
    let reading = resolved.clone();
    let files = aside(&arguments, move |_| LoadedFiles::read(&reading, None)).await?;
    let warnings = files.warnings();
    let server = Server::start(resolved.clone(), files).await.map_err(|error| error.to_string())?;
    server.announce();
    log_config(&arguments, &resolved);
    for warning in warnings {
        tracing::warn!("{warning}");
    }
    let watched = WatchedFiles::of(&resolved.config);
    tokio::spawn(watch_config(arguments, watched, hangups, server.reloader(), log_level));
    Ok(Some(server))
}

/// Logs which file is in force, and what the command line and the environment say instead.
fn log_config(arguments: &ConfigArguments, resolved: &Resolved) {
    for warning in resolved.warnings() {
        tracing::warn!("{warning}");
    }
    let overridden = resolved.overridden().join(", ");
    match &arguments.file {
        Some(file) => tracing::info!(file = %file.display(), overridden, "Config in use."),
        None => tracing::info!(overridden, "Config in use: the defaults, without a file."),
    }
}
