//! A running node, as commands ask it: at the address that the arguments or the config name, with the token where there is one.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgMatches;
use serde_json::Value;

use super::admin_address::{AdminAddress, Reply};
use super::command_line::ConfigArguments;

/// How long a step of a question may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The variable with the token itself.
pub(super) const TOKEN_VARIABLE: &str = "NEARSIDE_ADMIN_TOKEN";

/// A node, and the token for it.
pub(super) struct NodeClient {
    admin: AdminAddress,
    token: Option<Token>,
}

/// A token, and where it was found.
struct Token {
    token: String,
    origin: String,
}

impl NodeClient {
    /// The node and the token that the arguments name, or those of the config.
    ///
    /// # Errors
    /// What is wrong with the config file, or with the token.
    pub(super) fn of(matches: &ArgMatches) -> Result<Self, String> {
        Ok(Self { admin: admin_of(matches)?, token: Token::of(matches)? })
    }

    /// What a path below `api/` shows.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(super) fn get(&self, path: &str) -> Result<Value, String> {
        self.ask("GET", path, b"")
    }

    /// Has a path below `api/` do something.
    ///
    /// # Errors
    /// A sentence that says what to do.
    pub(super) fn post(&self, path: &str, body: &Value) -> Result<Value, String> {
        self.ask("POST", path, body.to_string().as_bytes())
    }

    fn ask(&self, method: &str, path: &str, body: &[u8]) -> Result<Value, String> {
        let token = self.token.as_ref().map(|token| token.token.as_str());
        let reply = self.admin.exchange(method, &format!("/api/{path}"), token, body, TIMEOUT);
        let Reply { status, body } =
            reply.map_err(|error| format!("{error}; is the node running? --admin names another one"))?;
        let value = serde_json::from_str::<Value>(&body).ok();
        match (status, value) {
            (200..=299, Some(value)) => Ok(value),
            (401, _) => Err(self.unauthorized()),
            (_, Some(value)) if value["error"].is_string() => {
                Err(value["error"].as_str().unwrap_or_default().to_owned())
            }
            (404, None) => {
                let path = path.split('?').next().unwrap_or(path);
                let admin = &self.admin;
                Err(format!(
                    "{admin} has no api/{path}: is it the admin listener of a Nearside of this version?"
                ))
            }
            _ => Err(format!(
                "{} is not an admin listener of Nearside; it answers with status {status}",
                self.admin
            )),
        }
    }

    fn unauthorized(&self) -> String {
        match &self.token {
            None => format!(
                "the node at {} wants its admin token: give --admin-token-file FILE, or set {TOKEN_VARIABLE}",
                self.admin
            ),
            Some(Token { origin, .. }) => format!(
                "the node at {} does not take the admin token of {origin}: give the one that token_file under [admin] of its config names",
                self.admin
            ),
        }
    }
}

impl Token {
    /// The token of the file that is named, else that of the variable, else that of the config, if it can be read.
    fn of(matches: &ArgMatches) -> Result<Option<Self>, String> {
        if let Some(file) = matches.get_one::<PathBuf>("admin-token-file") {
            return Self::read(file).map(Some);
        }
        if let Some(token) = std::env::var(TOKEN_VARIABLE).ok().filter(|token| !token.is_empty()) {
            return Self::checked(&token, TOKEN_VARIABLE.to_owned()).map(Some);
        }
        let file = config(matches).admin_token_file()?;
        Ok(file.and_then(|file| Self::read(&file).ok()))
    }

    fn read(file: &Path) -> Result<Self, String> {
        let name = file.display().to_string();
        let token = std::fs::read_to_string(file)
            .map_err(|error| format!("cannot read the admin token file {name}: {error}"))?;
        Self::checked(&token, name)
    }

    fn checked(token: &str, origin: String) -> Result<Self, String> {
        let token = token.trim().to_owned();
        match !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic()) {
            true => Ok(Self { token, origin }),
            false => Err(format!("{origin} holds no admin token: it is one word without spaces")),
        }
    }
}

/// The admin listener that is named, or that of the config, in the given file if there is one.
///
/// # Errors
/// What is wrong with the file.
pub(super) fn admin_of(matches: &ArgMatches) -> Result<AdminAddress, String> {
    match matches.get_one::<AdminAddress>("admin") {
        Some(named) => Ok(named.clone()),
        None => Ok(AdminAddress::of_listener(config(matches).admin_listen()?)),
    }
}

/// What the environment says of the config, in the given file if there is one.
fn config(matches: &ArgMatches) -> ConfigArguments {
    let mut arguments = ConfigArguments::of_environment();
    if let Some(file) = matches.get_one::<PathBuf>("config") {
        arguments.file = Some(file.clone());
    }
    arguments
}
