//! `nearside check`: what a config says, or everything that is wrong with it and with the files that it names.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use nearside::config::Resolved;
use nearside::telemetry::announce_failure;

use super::announce_failures;
use super::command_line::ConfigArguments;

/// Prints what is in force, or everything that is wrong.
pub(super) fn check(matches: &ArgMatches) -> ExitCode {
    let mut arguments = ConfigArguments::of(matches);
    if let Some(file) = matches.get_one::<PathBuf>("file") {
        arguments.file = Some(file.clone());
    }
    let resolved = arguments.resolve().map_err(|unresolved| unresolved.message);
    match resolved.and_then(|resolved| examine(&resolved).map(|()| resolved)) {
        Ok(resolved) => {
            // The reader of a pipe may close it early.
            std::io::stdout().write_all(resolved.to_string().as_bytes()).ok();
            ExitCode::SUCCESS
        }
        Err(message) => {
            announce_failures(&message);
            ExitCode::FAILURE
        }
    }
}

/// Looks at what a config means, beyond its words: what has no effect, and the files with secrets.
///
/// # Errors
/// A line for each thing that would keep a server from starting.
fn examine(resolved: &Resolved) -> Result<(), String> {
    for warning in resolved.warnings() {
        announce_failure(&format!("warning: {warning}"));
    }
    match &resolved.config.fixed.fleet {
        Some(fleet) => fleet.read_secrets().map(drop),
        None => Ok(()),
    }
}
