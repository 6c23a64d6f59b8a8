//! The commands of the `nearside` program: `serve`, `check`, `healthcheck`, `local verify`. One file each, from its arguments to its
//! exit code.

mod check;
mod healthcheck;
mod local;
mod serve;

mod command_line;
mod signals;
mod watcher;

use std::path::PathBuf;
use std::process::ExitCode;

use nearside::telemetry::{announce_failure, flush_logs};

use command_line::{ConfigArguments, command_line};

/// The exit code of a program that cannot start, or cannot open what it is to look at.
const CANNOT_START: u8 = 2;

/// Runs the command that the command line names.
pub(crate) fn run() -> ExitCode {
    let matches = command_line().get_matches();
    let code = match matches.subcommand() {
        None => serve::serve(ConfigArguments::of(&matches)),
        Some(("serve", matches)) => serve::serve(ConfigArguments::of(matches)),
        Some(("check", matches)) => check::check(matches),
        Some(("local", matches)) => {
            let verify_matches = matches.subcommand_matches("verify");
            let directory = verify_matches.and_then(|matches| matches.get_one::<PathBuf>("directory"));
            local::verify(directory.expect("the directory is required"))
        }
        Some((_, matches)) => healthcheck::check_health(matches),
    };
    flush_logs();
    code
}

/// Reports everything that is wrong, each fault in a line of its own.
fn announce_failures(message: &str) {
    message.lines().for_each(announce_failure);
}
