//! `nearside check`: what a config says, or everything that is wrong with it, with the files that it names, and with the bus of its
//! fleet.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::ArgMatches;
use nearside::config::{Config, Resolved};
use nearside::fleet::Severity;
use nearside::server::{LoadedFiles, probe_fleet};
use nearside::telemetry::announce_failure;

use super::command_line::ConfigArguments;
use super::output::{print_visibly, visible};
use super::{announce_failures, code_of};

/// Prints what is in force, or everything that is wrong.
pub(super) fn check(matches: &ArgMatches) -> ExitCode {
    let mut arguments = ConfigArguments::of(matches);
    if let Some(file) = matches.get_one::<PathBuf>("file") {
        arguments.file = Some(file.clone());
    }
    let resolved = arguments.resolve().map_err(|unresolved| unresolved.message);
    match resolved.and_then(|resolved| examine(&resolved).map(|()| resolved)) {
        Ok(resolved) if matches.get_flag("connect") && !connect(&resolved.config) => ExitCode::FAILURE,
        Ok(resolved) => code_of(print_visibly(&resolved.to_string())),
        Err(message) => {
            announce_failures(&message);
            ExitCode::FAILURE
        }
    }
}

/// Looks at what a config means, beyond its words: what has no effect, and the files with secrets and certificates.
///
/// # Errors
/// A line for each thing that would keep a server from starting.
fn examine(resolved: &Resolved) -> Result<(), String> {
    for warning in resolved.warnings() {
        announce_failure(&visible(&format!("warning: {warning}")));
    }
    let of_fleet = match &resolved.config.fixed.fleet {
        Some(fleet) => fleet.read_secrets().map(drop),
        None => Ok(()),
    };
    let of_files = LoadedFiles::read(resolved, None).map(|files| {
        for warning in files.warnings() {
            announce_failure(&format!("warning: {warning}"));
        }
    });
    match (of_fleet, of_files) {
        (Err(fleet), Err(files)) => Err(format!("{fleet}\n{files}")),
        (of_fleet, of_files) => of_fleet.and(of_files),
    }
}

/// Asks the bus of the fleet whether it is fit to be one, and reports each thing that was found out. False if a node could not
/// take part.
fn connect(config: &Config) -> bool {
    if config.fixed.fleet.is_none() {
        announce_failure("ok: there is no [fleet] in the config, so there is no bus to connect to");
        return true;
    }
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let probed = runtime.map_err(|error| format!("cannot start the runtime: {error}"));
    match probed.and_then(|runtime| runtime.block_on(probe_fleet(config))) {
        Ok(findings) => {
            for finding in &findings {
                let kind = match finding.severity {
                    Severity::Fine => "ok",
                    Severity::Warning => "warning",
                    Severity::Error => "error",
                };
                announce_failure(&format!("{kind}: {}", finding.text));
            }
            findings.iter().all(|finding| finding.severity != Severity::Error)
        }
        Err(message) => {
            announce_failures(&message);
            false
        }
    }
}
