//! `nearside check`: what a config says, or everything that is wrong with it.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use nearside::telemetry::announce_failure;

use super::announce_failures;
use super::command_line::ConfigArguments;

/// Prints what is in force, or everything that is wrong.
pub(super) fn check(matches: &ArgMatches) -> ExitCode {
    let mut arguments = ConfigArguments::of(matches);
    if let Some(file) = matches.get_one::<PathBuf>("file") {
        arguments.file = Some(file.clone());
    }
    match arguments.resolve() {
        Ok(resolved) => {
            for warning in resolved.warnings() {
                announce_failure(&format!("warning: {warning}"));
            }
            // The reader of a pipe may close it early.
            std::io::stdout().write_all(resolved.to_string().as_bytes()).ok();
            ExitCode::SUCCESS
        }
        Err(unresolved) => {
            announce_failures(&unresolved.message);
            ExitCode::FAILURE
        }
    }
}
