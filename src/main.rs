//! The `nearside` program: `serve`, `check`, `healthcheck`, `local verify`.

mod command_line;
mod healthcheck;

use std::io::{ErrorKind, Write};
use std::panic::catch_unwind;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::ArgMatches;
use nearside::config::{ListenAddress, LogFormat, Resolved};
use nearside::local::{self, OpenError};
use nearside::server::{Reloader, Server};
use nearside::telemetry::{LogLevel, LogSettings, announce_failure, flush_logs, init_logs, use_format};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use command_line::{ConfigArguments, command_line};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of a program that cannot start, or cannot open what it is to look at.
const CANNOT_START: u8 = 2;

fn main() -> ExitCode {
    let matches = command_line().get_matches();
    let code = match matches.subcommand() {
        None => serve(ConfigArguments::of(&matches)),
        Some(("serve", matches)) => serve(ConfigArguments::of(matches)),
        Some(("check", matches)) => check(matches),
        Some(("local", matches)) => {
            let verify_matches = matches.subcommand_matches("verify");
            let directory = verify_matches.and_then(|matches| matches.get_one::<PathBuf>("directory"));
            verify(directory.expect("the directory is required"))
        }
        Some((_, matches)) => check_health(matches),
    };
    flush_logs();
    code
}

fn serve(arguments: ConfigArguments) -> ExitCode {
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

/// Serves until a signal asks for the end, which it may do before there is a config.
async fn serve_until_asked(arguments: Arc<ConfigArguments>) -> Result<ExitCode, String> {
    let shutdown = CancellationToken::new();
    tokio::spawn(watch_signals(shutdown.clone()));
    let hangups = signal(SignalKind::hangup()).map_err(|error| format!("cannot watch SIGHUP: {error}"))?;
    let resolved = shutdown.run_until_cancelled(aside(&arguments, ConfigArguments::resolve)).await;
    let Some(resolved) = resolved else {
        return Ok(ExitCode::SUCCESS);
    };
    let resolved = resolved.map_err(|unresolved| {
        use_format(unresolved.log_format == LogFormat::Json);
        unresolved.message
    })?;
    let config = &resolved.config;
    let json = config.fixed.log_format == LogFormat::Json;
    let log_level = init_logs(&LogSettings { level: &config.live.log_level, json })?;
    let server = Server::start(config.clone()).await.map_err(|error| error.to_string())?;
    server.announce();
    log_config(&arguments, &resolved);
    tokio::spawn(watch_config(arguments, hangups, server.reloader(), log_level));
    server.run(shutdown).await;
    Ok(ExitCode::SUCCESS)
}

/// Does with the arguments what may wait for a file.
async fn aside<T: Send + 'static>(arguments: &Arc<ConfigArguments>, work: fn(&ConfigArguments) -> T) -> T {
    let arguments = Arc::clone(arguments);
    tokio::task::spawn_blocking(move || work(&arguments)).await.expect("reading a config does not panic")
}

/// Logs which file is in force, and what the command line and the environment say instead.
fn log_config(arguments: &ConfigArguments, resolved: &Resolved) {
    for unknown in &resolved.unknown_variables {
        tracing::warn!("{unknown}");
    }
    let overridden = resolved.overridden().join(", ");
    match &arguments.file {
        Some(file) => tracing::info!(file = %file.display(), overridden, "Config in use."),
        None => tracing::info!(overridden, "Config in use: the defaults, without a file."),
    }
}

/// Prints what is in force, or everything that is wrong.
fn check(matches: &ArgMatches) -> ExitCode {
    let mut arguments = ConfigArguments::of(matches);
    if let Some(file) = matches.get_one::<PathBuf>("file") {
        arguments.file = Some(file.clone());
    }
    match arguments.resolve() {
        Ok(resolved) => {
            for unknown in &resolved.unknown_variables {
                announce_failure(&format!("warning: {unknown}"));
            }
            // Whoever reads it may have read enough.
            std::io::stdout().write_all(resolved.to_string().as_bytes()).ok();
            ExitCode::SUCCESS
        }
        Err(unresolved) => {
            announce_failures(&unresolved.message);
            ExitCode::FAILURE
        }
    }
}

/// Reports everything that is wrong, each fault in a line of its own.
fn announce_failures(message: &str) {
    message.lines().for_each(announce_failure);
}

/// What came of looking at a store, the worst last.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Verdict {
    Agrees,
    NotLookedAt,
    Damaged,
}

/// Looks at a data directory that no server uses, and at the stores below it.
fn verify(directory: &Path) -> ExitCode {
    // What goes wrong inside a damaged file is told in the report.
    std::panic::set_hook(Box::new(|_| {}));
    let verdict = match local::stores_below(directory) {
        Ok(below) if below.is_empty() => verify_store(directory, ""),
        Ok(below) => verify_all(directory, &below),
        Err(error) => {
            announce_failure(&format!("stores below {}: {error}", directory.display()));
            verify_store(directory, "").max(Verdict::NotLookedAt)
        }
    };
    match verdict {
        Verdict::Agrees => ExitCode::SUCCESS,
        Verdict::NotLookedAt => ExitCode::from(CANNOT_START),
        Verdict::Damaged => ExitCode::FAILURE,
    }
}

/// Looks at the store in a directory, if there is one, and at those of regions and access keys below it, and says which is
/// which.
fn verify_all(directory: &Path, below: &[PathBuf]) -> Verdict {
    let own = match local::has_store(directory) {
        Ok(false) => Verdict::Agrees,
        Ok(true) | Err(_) => verify_store(directory, ".: "),
    };
    // A server may have any of them open at any time.
    let _lock = match local::DirectoryLock::take_existing(directory) {
        Ok(lock) => lock,
        Err(error) => {
            announce_failure(&error.to_string());
            return own.max(Verdict::NotLookedAt);
        }
    };
    let verdicts = below.iter().map(|store| {
        let name = store.strip_prefix(directory).unwrap_or(store);
        verify_store(store, &format!("{}: ", name.display()))
    });
    verdicts.fold(own, Verdict::max)
}

/// Looks at one store; every line that is said of it begins with `prefix`.
fn verify_store(directory: &Path, prefix: &str) -> Verdict {
    let verified = catch_unwind(|| local::verify(directory)).unwrap_or_else(|_| {
        let (path, reason) = (directory.to_owned(), "reading it breaks the checks".to_owned());
        Err(OpenError::Damaged { path, reason })
    });
    match verified {
        Ok(report) => {
            report.to_string().lines().for_each(|line| println!("{prefix}{line}"));
            if report.is_clean() { Verdict::Agrees } else { Verdict::Damaged }
        }
        Err(OpenError::Damaged { reason, .. }) => {
            println!("{prefix}damaged: {reason}");
            Verdict::Damaged
        }
        Err(error) => {
            announce_failure(&error.to_string());
            Verdict::NotLookedAt
        }
    }
}

/// Asks the admin listener whether the server is ready.
fn check_health(matches: &ArgMatches) -> ExitCode {
    let named = matches.get_one::<ListenAddress>("admin").cloned();
    let admin = named.map_or_else(|| ConfigArguments::of_environment().admin_listen(), Ok);
    match admin.and_then(|admin| healthcheck::ask(&admin)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(reason) => {
            announce_failure(&reason);
            ExitCode::FAILURE
        }
    }
}

/// How often the config file is looked at. A change counts once it was seen twice, so that a file half written does not.
const CONFIG_LOOK: Duration = Duration::from_secs(1);

/// Reads the config again at each SIGHUP and after each change of the file, links on the way to it included.
async fn watch_config(
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

/// The first SIGTERM or SIGINT asks for a drain, the second ends the process.
async fn watch_signals(shutdown: CancellationToken) {
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    shutdown.cancel();
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
    flush_logs();
    std::process::exit(1);
}
