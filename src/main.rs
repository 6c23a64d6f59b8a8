//! The `nearside` program: `serve`, `check`, `healthcheck`, `local verify`.

use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::builder::BoolishValueParser;
use clap::parser::ValueSource;
use clap::{ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand};
use nearside::config::{Config, LogFormat, Overrides};
use nearside::local::{self, OpenError};
use nearside::server::{Reloader, Server};
use nearside::telemetry::{LogLevel, LogSettings, announce_failure, flush_logs, init_logs};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// The exit code of a program that cannot start, or cannot open what it is to look at.
const CANNOT_START: u8 = 2;

/// A DynamoDB endpoint that caches: point any AWS SDK at it.
#[derive(Parser)]
#[command(version, args_conflicts_with_subcommands = true)]
struct CommandLine {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    serve: ServeFlags,
}

#[derive(Subcommand)]
enum Command {
    /// Serve DynamoDB; the default.
    Serve(ServeFlags),
    /// Say what is wrong with a config file, or print what it comes to.
    Check {
        /// The config file.
        file: PathBuf,
    },
    /// Look after the data directories of the local backend.
    Local {
        #[command(subcommand)]
        command: LocalCommand,
    },
    /// Exit with 0 when the server is ready: for containers without a shell.
    Healthcheck {
        /// The server's admin address.
        #[arg(long, env = "NEARSIDE_ADMIN_LISTEN", default_value = "127.0.0.1:9100")]
        admin: SocketAddr,
    },
}

#[derive(Subcommand)]
enum LocalCommand {
    /// Say whether everything in a data directory agrees: items, indexes, expiry, streams; those of share = false store by store.
    /// Changes nothing. Exits with 0 when it does, 1 when it does not, 2 when it cannot be looked at, because a server uses it, say.
    Verify {
        /// The data directory.
        directory: PathBuf,
    },
}

#[derive(Args)]
struct ServeFlags {
    /// Config file (TOML); config/nearside.toml lists every key.
    #[arg(long, env = "NEARSIDE_CONFIG", value_name = "FILE")]
    config: Option<PathBuf>,
    /// Where DynamoDB clients connect [default: 127.0.0.1:8000].
    #[arg(long, env = "NEARSIDE_LISTEN", value_name = "ADDRESS")]
    listen: Option<SocketAddr>,
    /// Where monitors connect [default: 127.0.0.1:9100].
    #[arg(long, env = "NEARSIDE_ADMIN_LISTEN", value_name = "ADDRESS")]
    admin_listen: Option<SocketAddr>,
    /// What stands behind the cache: local, aws, or http(s)://HOST:PORT [default: local].
    #[arg(long, env = "NEARSIDE_UPSTREAM")]
    upstream: Option<String>,
    /// Region in ARNs and of the upstream [default: AWS_REGION for a remote upstream, us-east-1 for the local one].
    #[arg(long, env = "NEARSIDE_REGION")]
    region: Option<String>,
    /// Use the service's hosts with IPv6 addresses.
    #[arg(long, env = "AWS_USE_DUALSTACK_ENDPOINT", value_parser = BoolishValueParser::new())]
    dual_stack: bool,
    /// Use the service's hosts with validated cryptography.
    #[arg(long, env = "AWS_USE_FIPS_ENDPOINT", value_parser = BoolishValueParser::new())]
    fips: bool,
    /// Where the local backend keeps its tables [default: ./nearside-data].
    #[arg(long, env = "NEARSIDE_DATA_DIR", value_name = "DIRECTORY")]
    data_dir: Option<PathBuf>,
    /// Keep the local backend's tables in memory and forget them at the end.
    #[arg(long, env = "NEARSIDE_IN_MEMORY", value_parser = BoolishValueParser::new())]
    in_memory: bool,
    /// false: each region and access key has tables of its own in the local backend [default: true].
    #[arg(long, env = "NEARSIDE_SHARE", value_name = "BOOL", value_parser = BoolishValueParser::new())]
    share: Option<bool>,
    /// Allow addresses off loopback, where anybody who reaches them can read and write.
    #[arg(long, env = "NEARSIDE_I_ACCEPT_UNAUTHENTICATED", value_parser = BoolishValueParser::new())]
    i_accept_unauthenticated: bool,
    /// The flags that were given, and the variables that stand for others: `--listen`, `NEARSIDE_UPSTREAM`.
    #[arg(skip)]
    given: Vec<String>,
}

impl ServeFlags {
    /// Takes from the matches what the fields do not say.
    fn complete(&mut self, matches: &ArgMatches) {
        self.choose_store(matches);
        let command = ServeFlags::augment_args(clap::Command::new("serve"));
        let given = command.get_arguments().filter_map(|argument| {
            let id = argument.get_id().as_str();
            match matches.value_source(id)? {
                ValueSource::CommandLine => argument.get_long().map(|long| format!("--{long}")),
                ValueSource::EnvVariable => {
                    argument.get_env().map(|name| name.to_string_lossy().into_owned())
                }
                _ => None,
            }
        });
        self.given = given.filter(|name| !["--config", "NEARSIDE_CONFIG"].contains(&name.as_str())).collect();
    }

    /// `--in-memory` and `--data-dir` exclude one another: a flag beats a variable, and memory beats a directory that was
    /// named in the same place.
    fn choose_store(&mut self, matches: &ArgMatches) {
        let flagged = |name| matches.value_source(name) == Some(ValueSource::CommandLine);
        if self.in_memory && flagged("data_dir") && !flagged("in_memory") {
            self.in_memory = false;
        }
    }
}

fn main() -> ExitCode {
    let matches = CommandLine::command().get_matches();
    let mut command_line = CommandLine::from_arg_matches(&matches).unwrap_or_else(|error| error.exit());
    match &mut command_line.command {
        Some(Command::Serve(flags)) => {
            let matches =
                matches.subcommand_matches("serve").expect("the subcommand was parsed from its matches");
            flags.complete(matches);
        }
        _ => command_line.serve.complete(&matches),
    }
    let code = match command_line.command.unwrap_or(Command::Serve(command_line.serve)) {
        Command::Serve(flags) => serve(flags),
        Command::Check { file } => check(&file),
        Command::Local { command: LocalCommand::Verify { directory } } => verify(&directory),
        Command::Healthcheck { admin } => healthcheck(admin),
    };
    flush_logs();
    code
}

fn serve(flags: ServeFlags) -> ExitCode {
    match try_serve(flags) {
        Ok(code) => code,
        Err(message) => {
            announce_failure(&message);
            ExitCode::from(CANNOT_START)
        }
    }
}

fn try_serve(flags: ServeFlags) -> Result<ExitCode, String> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| format!("cannot start the runtime: {error}"))?;
    let outcome = runtime.block_on(serve_until_asked(Arc::new(flags)));
    // A config that is a pipe without a writer is still being read, and must not keep the process from ending.
    runtime.shutdown_background();
    outcome
}

/// Serves until a signal asks for the end, which it may do before there is a config.
async fn serve_until_asked(flags: Arc<ServeFlags>) -> Result<ExitCode, String> {
    let shutdown = CancellationToken::new();
    tokio::spawn(watch_signals(shutdown.clone()));
    let hangups = signal(SignalKind::hangup()).map_err(|error| format!("cannot watch SIGHUP: {error}"))?;
    let Some(config) = shutdown.run_until_cancelled(aside(&flags, resolve)).await else {
        return Ok(ExitCode::SUCCESS);
    };
    let config = config?;
    let json = config.fixed.log_format == LogFormat::Json;
    let log_level = init_logs(&LogSettings { level: &config.live.log_level, json })?;
    let server = Server::start(config).await.map_err(|error| error.to_string())?;
    server.announce();
    log_config(&flags);
    tokio::spawn(watch_config(flags, hangups, server.reloader(), log_level));
    server.run(shutdown).await;
    Ok(ExitCode::SUCCESS)
}

/// Does with the flags what may wait for a file.
async fn aside<T: Send + 'static>(flags: &Arc<ServeFlags>, work: fn(&ServeFlags) -> T) -> T {
    let flags = Arc::clone(flags);
    tokio::task::spawn_blocking(move || work(&flags)).await.expect("reading a config does not panic")
}

/// Says which file is in force, and what the command line and the environment say instead.
fn log_config(flags: &ServeFlags) {
    let overridden = flags.given.join(", ");
    match &flags.config {
        Some(file) => tracing::info!(file = %file.display(), overridden, "Config in use."),
        None => tracing::info!(overridden, "Config in use: the defaults, without a file."),
    }
}

/// The file, with the variables and flags over it.
fn resolve(flags: &ServeFlags) -> Result<Config, String> {
    let config = flags.config.as_deref().map_or_else(|| Ok(Config::default()), read_config)?;
    let config = config
        .override_with(Overrides {
            listen: flags.listen,
            admin_listen: flags.admin_listen,
            upstream: flags.upstream.clone(),
            region: flags.region.clone(),
            aws_region: ["AWS_REGION", "AWS_DEFAULT_REGION"]
                .iter()
                .find_map(|name| std::env::var(name).ok().filter(|region| !region.is_empty())),
            dual_stack: flags.dual_stack,
            fips: flags.fips,
            data_dir: flags.data_dir.clone(),
            in_memory: flags.in_memory,
            share: flags.share,
        })
        .map_err(|error| error.to_string())?;
    for address in [config.fixed.listen, config.fixed.admin_listen] {
        if !is_loopback(address.ip()) && !flags.i_accept_unauthenticated {
            return Err(format!(
                "{address} is off loopback and callers are not verified; give --i-accept-unauthenticated to listen there all the same"
            ));
        }
    }
    Ok(config)
}

fn is_loopback(ip: IpAddr) -> bool {
    ip.to_canonical().is_loopback()
}

fn read_config(file: &Path) -> Result<Config, String> {
    let text = std::fs::read_to_string(file).map_err(|error| format!("{}: {error}", file.display()))?;
    Config::parse(&text).map_err(|error| format!("{}: {error}", file.display()))
}

fn check(file: &Path) -> ExitCode {
    match read_config(file) {
        Ok(config) => {
            print!("{config}");
            ExitCode::SUCCESS
        }
        Err(message) => {
            announce_failure(&message);
            ExitCode::FAILURE
        }
    }
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
    match local::verify(directory) {
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
fn healthcheck(admin: SocketAddr) -> ExitCode {
    match ask_ready(admin) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => {
            announce_failure(&format!("{admin} is not ready"));
            ExitCode::FAILURE
        }
        Err(error) => {
            announce_failure(&format!("{admin}: {error}"));
            ExitCode::FAILURE
        }
    }
}

fn ask_ready(admin: SocketAddr) -> std::io::Result<bool> {
    let timeout = Duration::from_secs(2);
    // A server that listens everywhere is asked on loopback.
    let target =
        if admin.ip().is_unspecified() { SocketAddr::from(([127, 0, 0, 1], admin.port())) } else { admin };
    let mut stream = TcpStream::connect_timeout(&target, timeout)?;
    stream.set_read_timeout(Some(timeout))?;
    stream.set_write_timeout(Some(timeout))?;
    stream.write_all(b"GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")?;
    let mut head = [0; 12];
    stream.read_exact(&mut head)?;
    Ok(head.ends_with(b" 200"))
}

/// How often the config file is looked at. A change counts once it was seen twice, so that a file half written does not.
const CONFIG_LOOK: Duration = Duration::from_secs(1);

/// Reads the config again at each SIGHUP and after each change of the file, links on the way to it included.
async fn watch_config(flags: Arc<ServeFlags>, mut hangups: Signal, reloader: Reloader, log_level: LogLevel) {
    let mut loaded = aside(&flags, look).await;
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
                let before = std::mem::replace(&mut seen, aside(&flags, look).await);
                before == seen && seen != loaded
            }
        };
        if is_due {
            // Looked at first: what changes while it is read is read again.
            loaded = aside(&flags, look).await;
            reload(aside(&flags, resolve_again).await, &reloader, &log_level);
        }
    }
}

/// What a config file holds, as far as it can be looked at: what is read from a pipe is gone from it.
fn look(flags: &ServeFlags) -> Option<Result<Vec<u8>, ErrorKind>> {
    let file = flags.config.as_ref().filter(|file| !is_pipe(file))?;
    Some(std::fs::read(file).map_err(|error| error.kind()))
}

/// True for whatever gives its content once: a pipe, a socket, a device.
fn is_pipe(file: &Path) -> bool {
    std::fs::metadata(file).is_ok_and(|about| !about.is_file() && !about.is_dir())
}

/// As [`resolve`], for a config that was read before.
fn resolve_again(flags: &ServeFlags) -> Result<Config, String> {
    match &flags.config {
        Some(file) if is_pipe(file) => {
            Err(format!("{} is a pipe, which is read only once, at the start", file.display()))
        }
        _ => resolve(flags),
    }
}

fn reload(resolved: Result<Config, String>, reloader: &Reloader, log_level: &LogLevel) {
    let config = resolved.and_then(|config| log_level.set(&config.live.log_level).map(|()| config));
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
            tracing::error!("The config was not reloaded, the old one stays: {reason}");
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
