//! The section `[fleet]`: over which bus the nodes in front of one upstream keep each other's caches coherent, and how they go on
//! without it.
//!
//! Secrets are not kept, only the files that have them: see `secret`.

use std::path::PathBuf;
use std::time::Duration;

use super::bus_url::BusUrl;
use super::secret::{SecretBytes, read_password, read_secret};

/// The most characters of the name of a fleet, and of a node.
const NAME_CHARS_MAX: usize = 64;

/// How a node takes part in a fleet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fleet {
    /// Where the bus is.
    pub url: BusUrl,
    /// The file with the password for the bus, if it wants one.
    pub password_file: Option<PathBuf>,
    /// The name of the fleet: 1 to 64 of `[A-Za-z0-9._-]`.
    pub name: String,
    /// The name of the node in the fleet, of the same form. No other node may have it.
    pub node: String,
    /// The file with the secret that all nodes of the fleet share.
    pub secret_file: PathBuf,
    /// What a write waits for before it is acknowledged.
    pub ack: Ack,
    /// How long what is cached may be served after a heartbeat, from 200 ms to 10 s.
    pub lease: Duration,
    /// What is served without a lease. `Bypass` if `ack` is `All`.
    pub when_stale: WhenStale,
    /// What happens to writes at a node that cannot reach the bus. `Refuse` if `ack` is `All`.
    pub cut_off: CutOff,
    /// How long the others distrust a node that has fallen silent; at least the lease.
    pub silence_grace: Duration,
    /// How long a write waits for the bus, and with `All` for the other nodes; longer than the lease.
    pub ack_timeout: Duration,
    /// How many entries of the log the bus keeps, from 100 to 1,000,000.
    pub replay: u32,
    /// How far the clock of the bus may step back.
    pub clock_step: Duration,
}

/// What a write waits for before it is acknowledged.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ack {
    /// The bus has the report of it: other nodes apply it within the lease.
    Receipt,
    /// Every other node has applied the report.
    All,
}

/// What a node serves that has no lease.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum WhenStale {
    /// What it has read strongly since the lease ended and less than a lease ago.
    Young,
    /// Nothing from memory.
    Bypass,
}

/// What happens to writes at a node that cannot reach the bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CutOff {
    /// They are answered once the others must know that this node is silent. The others serve only what is young.
    Degrade,
    /// They are rejected.
    Refuse,
    /// They are answered at once. Others may serve what they overwrote until its TTL ends.
    Accept,
}

/// What the files of the section hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FleetSecrets {
    /// The secret of the fleet.
    pub secret: SecretBytes,
    /// The password for the bus, if it wants one. It is text in UTF-8.
    pub password: Option<SecretBytes>,
}

impl Fleet {
    /// Reads the files that the section names. May wait for a disk.
    ///
    /// # Errors
    /// A line for each file that is missing, or that others may read, or that holds no such secret.
    pub fn read_secrets(&self) -> Result<FleetSecrets, String> {
        let secret = read_secret(&self.secret_file).map_err(|error| format!("fleet.secret_file: {error}"));
        let password = self.password_file.as_deref().map(read_password).transpose();
        let password = password.map_err(|error| format!("fleet.password_file: {error}"));
        match (secret, password) {
            (Ok(secret), Ok(password)) => Ok(FleetSecrets { secret, password }),
            (Err(error), Ok(_)) | (Ok(_), Err(error)) => Err(error),
            (Err(first), Err(second)) => Err(format!("{first}\n{second}")),
        }
    }
}

/// The section while it is read. What is `None` was not written.
#[derive(Debug)]
pub(super) struct FleetDraft {
    pub(super) url: Option<BusUrl>,
    pub(super) password_file: Option<PathBuf>,
    pub(super) name: String,
    /// As written: it may name variables.
    pub(super) node: Option<String>,
    pub(super) secret_file: Option<PathBuf>,
    pub(super) ack: Ack,
    pub(super) lease: Duration,
    pub(super) when_stale: Option<WhenStale>,
    pub(super) cut_off: Option<CutOff>,
    pub(super) silence_grace: Duration,
    pub(super) ack_timeout: Duration,
    pub(super) replay: u32,
    pub(super) clock_step: Duration,
}

impl FleetDraft {
    /// The section as it is in force, if nothing is missing. What is not written of `when_stale` and `cut_off` follows from `ack`.
    pub(super) fn resolve(&self, node: String) -> Option<Fleet> {
        let (when_stale, cut_off) = match self.ack {
            Ack::Receipt => (WhenStale::Young, CutOff::Degrade),
            Ack::All => (WhenStale::Bypass, CutOff::Refuse),
        };
        Some(Fleet {
            url: self.url.clone()?,
            password_file: self.password_file.clone(),
            name: self.name.clone(),
            node,
            secret_file: self.secret_file.clone()?,
            ack: self.ack,
            lease: self.lease,
            when_stale: self.when_stale.unwrap_or(when_stale),
            cut_off: self.cut_off.unwrap_or(cut_off),
            silence_grace: self.silence_grace,
            ack_timeout: self.ack_timeout,
            replay: self.replay,
            clock_step: self.clock_step,
        })
    }
}

impl Default for FleetDraft {
    fn default() -> Self {
        Self {
            url: None,
            password_file: None,
            name: "nearside".to_owned(),
            node: None,
            secret_file: None,
            ack: Ack::Receipt,
            lease: Duration::from_secs(1),
            when_stale: None,
            cut_off: None,
            silence_grace: Duration::from_secs(15),
            ack_timeout: Duration::from_secs(5),
            replay: 10_000,
            clock_step: Duration::from_millis(500),
        }
    }
}

/// The name of a fleet or of a node.
///
/// # Errors
/// Words that say what a name is.
pub(super) fn name(text: &str) -> Result<String, String> {
    let is_name = |byte: u8| byte.is_ascii_alphanumeric() || b"._-".contains(&byte);
    match (1..=NAME_CHARS_MAX).contains(&text.len()) && text.bytes().all(is_name) {
        true => Ok(text.to_owned()),
        false => {
            Err(format!("{text:?} is not a name; write 1 to {NAME_CHARS_MAX} of A-Z, a-z, 0-9, \".-_\""))
        }
    }
}

/// The name of a node as it may be written: with `$VARIABLE` or `${VARIABLE}` in it.
///
/// # Errors
/// Words that say what a name is.
pub(super) fn node_as_written(text: &str) -> Result<String, String> {
    // Each variable stands for a letter here: what it holds is checked when it is put in.
    expand(text, |_| Some("x")).and_then(|name_or_long| name(&name_or_long))?;
    Ok(text.to_owned())
}

/// The name of a node, with its variables put in.
///
/// # Errors
/// A variable is not set, or what it holds is no part of a name.
pub(super) fn node<'v>(written: &str, variable: impl Fn(&str) -> Option<&'v str>) -> Result<String, String> {
    name(&expand(written, variable)?)
}

/// Text with its variables put in.
fn expand<'v>(text: &str, variable: impl Fn(&str) -> Option<&'v str>) -> Result<String, String> {
    let mut parts = text.split('$');
    let mut expanded = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let is_of_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
        let (named, rest) = match part.strip_prefix('{') {
            Some(part) => part.split_once('}').unwrap_or_default(),
            None => part.split_at(part.find(|c| !is_of_name(c)).unwrap_or(part.len())),
        };
        if named.is_empty() || !named.chars().all(is_of_name) {
            return Err(format!("{text:?} names no variable behind a $; write \"$NAME\" or \"${{NAME}}\""));
        }
        let value = variable(named);
        let value = value.ok_or_else(|| format!("{text:?} names the variable {named}, which is not set"))?;
        expanded.push_str(value);
        expanded.push_str(rest);
    }
    Ok(expanded)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_may_be_named_by_variables() {
        let variable = |name: &str| match name {
            "POD" => Some("orders-7"),
            "ZONE" => Some("a"),
            "BAD" => Some("a b"),
            _ => None,
        };
        for (written, named) in [
            ("$POD", "orders-7"),
            ("${POD}.$ZONE-x", "orders-7.a-x"),
            ("plain_1", "plain_1"),
            ("$ZONE$ZONE", "aa"),
        ] {
            assert_eq!(node_as_written(written).unwrap(), written);
            assert_eq!(node(written, variable).unwrap(), named);
        }
        assert!(node("$NONE", variable).unwrap_err().contains("the variable NONE, which is not set"));
        assert!(node("$BAD", variable).unwrap_err().contains("\"a b\" is not a name"));
        for written in ["", "a b", "~", "$", "a$", "${POD", "${}", "${a-b}", "a/$POD", "é", &"n".repeat(65)]
        {
            assert!(node_as_written(written).is_err(), "{written}");
        }
        assert!(name(&"n".repeat(64)).is_ok());
    }

    #[test]
    fn every_file_that_is_missing_is_named() {
        let url = "redis://localhost".parse().unwrap();
        let draft = FleetDraft {
            url: Some(url),
            password_file: Some("/none/password".into()),
            secret_file: Some("/none/secret".into()),
            ..FleetDraft::default()
        };
        let error = draft.resolve("a".to_owned()).unwrap().read_secrets().unwrap_err();
        let lines: Vec<_> = error.lines().collect();
        assert_eq!(lines.len(), 2, "{error}");
        assert!(lines[0].starts_with("fleet.secret_file: cannot read /none/secret: No such file"), "{error}");
        assert!(lines[1].starts_with("fleet.password_file: cannot read /none/password: "), "{error}");
    }
}
