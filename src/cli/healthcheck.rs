//! `nearside healthcheck`: asks a running server whether it is ready, from a container without a shell.

use std::process::ExitCode;

use clap::ArgMatches;

use super::admin_address::{AdminAddress, Reply};
use super::code_of;
use super::node_client::admin_of;

/// Asks the admin listener whether the server is ready.
pub(super) fn check_health(matches: &ArgMatches) -> ExitCode {
    code_of(admin_of(matches).and_then(|admin| ask(&admin)))
}

/// Asks the server behind that admin listener.
///
/// # Errors
/// Words that say why it is not ready, or why it could not be asked.
fn ask(admin: &AdminAddress) -> Result<(), String> {
    let Reply { status, body } = admin.probe()?;
    match status {
        200 => Ok(()),
        503 => Err(format!("{admin} is {}", body.trim())),
        _ => Err(format!("{admin} is not an admin listener; it answers with status {status}")),
    }
}
