//! The commands of the `nearside` program, from their arguments to their exit codes: those that serve and check, and those that ask a
//! running node.

mod check;
mod healthcheck;
mod lambda;
mod local;
mod serve;

mod shell;
mod stats;
mod top;
mod warm;

mod admin_address;
mod command_line;
mod node_client;
mod output;
mod signals;
mod summary;
mod watcher;

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use nearside::telemetry::{announce_failure, flush_logs};

use command_line::{ConfigArguments, command_line};
use node_client::NodeClient;
use output::{visible, written};

/// The exit code of a program that cannot start, or cannot open what it is to look at.
const CANNOT_START: u8 = 2;

/// Runs the command that the command line names.
pub(crate) fn run() -> ExitCode {
    let matches = match command_line().try_get_matches() {
        Ok(matches) => matches,
        Err(error) if error.use_stderr() => error.exit(),
        // Help, or the version.
        Err(asked) => {
            let code = code_of(written(asked.print().and_then(|()| std::io::stdout().flush())));
            flush_logs();
            return code;
        }
    };
    let code = match matches.subcommand() {
        None => serve::serve(ConfigArguments::of(&matches)),
        Some(("serve", matches)) => serve::serve(ConfigArguments::of(matches)),
        Some(("check", matches)) => check::check(matches),
        Some(("local", matches)) => {
            let verify_matches = matches.subcommand_matches("verify");
            let directory = verify_matches.and_then(|matches| matches.get_one::<PathBuf>("directory"));
            local::verify(directory.expect("the directory is required"))
        }
        Some(("top", matches)) => top::top(matches),
        Some(("stats", matches)) => stats::stats(matches),
        Some(("hot", matches)) => stats::hot(matches),
        Some(("flush", matches)) => stats::flush(matches),
        Some(("warm", matches)) => warm::warm(matches),
        Some(("completions", matches)) => shell::completions(matches),
        Some(("man", matches)) => shell::man(matches),
        Some((_, matches)) => healthcheck::check_health(matches),
    };
    flush_logs();
    code
}

/// Reports everything that is wrong, each fault in a line of its own.
fn announce_failures(message: &str) {
    message.lines().for_each(|line| announce_failure(&visible(line)));
}

/// The code of a command that is understood.
fn code_of(outcome: Result<(), String>) -> ExitCode {
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(message) => fail(&message, 1),
    }
}

/// Does something with the node that the arguments name.
fn with_node(matches: &ArgMatches, ask: impl FnOnce(&NodeClient) -> Result<(), String>) -> ExitCode {
    let node = match NodeClient::of(matches) {
        Ok(node) => node,
        Err(message) => return fail(&message, CANNOT_START),
    };
    code_of(ask(&node))
}

fn fail(message: &str, code: u8) -> ExitCode {
    announce_failures(message);
    ExitCode::from(code)
}
