//! Whether a server is fit to be the bus of a fleet: what `nearside check --connect` reports, and a node now and then.

use std::time::Duration;

use super::bus::{Beat, Bus, BusError, Join, Joined, Link, Member, Ready};
use super::redis_bus::{RedisBus, ServerDescription};

/// The first version with positions that the server numbers by itself.
const VERSION_MIN: u32 = 7;

/// How much a finding matters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Severity {
    /// As it should be.
    Fine,
    /// The fleet works, and promises less than it could, or not for long.
    Warning,
    /// The node cannot take part.
    Error,
}

/// What was found out about a server, in one sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finding {
    /// How much it matters.
    pub severity: Severity,
    /// What it is, and what to do.
    pub text: String,
    /// The server has replicas and would go on without them.
    pub is_unfenced: bool,
}

impl Finding {
    fn new(severity: Severity, text: impl Into<String>) -> Self {
        Self { severity, text: text.into(), is_unfenced: false }
    }
}

/// Asks a server what it says about itself.
///
/// # Errors
/// [`BusError`], when it cannot be asked.
pub async fn look(bus: &RedisBus) -> Result<Vec<Finding>, BusError> {
    Ok(judge(&bus.describe().await?))
}

/// Asks a server everything that decides whether it can be the bus of a fleet with these settings. It leaves nothing there: what
/// a node does is tried with keys of its own.
pub async fn probe(bus: &RedisBus, common: &str) -> Vec<Finding> {
    let mut findings = match look(bus).await {
        Ok(findings) => findings,
        Err(error) => return vec![Finding::new(Severity::Error, cannot_ask(&error))],
    };
    if let Err(error) = try_scripts(bus).await {
        let text = format!("the fleet's scripts cannot run there: {error}; see the ACL in docs/fleet.md");
        findings.push(Finding::new(Severity::Error, text));
    }
    match bus.settings_in_force().await {
        Ok(Some(others)) if others != common => {
            let text =
                format!("the fleet runs with other settings: it has \"{others}\", this node \"{common}\"");
            findings.push(Finding::new(Severity::Error, text));
        }
        Ok(_) => {}
        Err(error) => findings.push(Finding::new(Severity::Error, error.to_string())),
    }
    findings
}

fn cannot_ask(error: &BusError) -> String {
    match error.is_about_the_password() {
        true => format!(
            "the bus rejects the user or the password ({error}); see fleet.url and fleet.password_file"
        ),
        false => error.to_string(),
    }
}

/// What the server's own words say.
fn judge(server: &ServerDescription) -> Vec<Finding> {
    let mut findings = vec![Finding::new(Severity::Fine, format!("the bus is version {}", server.version))];
    let mut find = |severity, text: &str| findings.push(Finding::new(severity, text));
    let major: u32 = server.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0);
    if major < VERSION_MIN {
        find(Severity::Error, "the bus must be Valkey, or Redis from version 7.0 on");
    }
    if server.is_replica {
        find(Severity::Error, "the bus is a replica; name its primary, which takes writes");
    }
    if server.eviction.starts_with("allkeys") {
        let severity = if server.maxmemory > 0 { Severity::Warning } else { Severity::Fine };
        find(
            severity,
            "the bus evicts keys of every kind when it is full (maxmemory-policy allkeys-*): the fleet's log may vanish, which \
             invalidates every node's cache; set noeviction, or give the fleet a server of its own",
        );
    }
    match (server.replicas, server.is_fenced) {
        (0, _) => {}
        (_, true) => find(Severity::Fine, "the bus stops taking writes when it loses its replicas"),
        (_, false) => {
            let text = "the bus has replicas and goes on without them: after a failover the former primary may still be taken for \
                        the bus; set min-replicas-to-write 1 and a min-replicas-max-lag below the time of a failover";
            findings.push(Finding { is_unfenced: true, ..Finding::new(Severity::Warning, text) });
        }
    }
    findings
}

/// Does once all that a node does, in a fleet of nobody else.
async fn try_scripts(bus: &RedisBus) -> Result<(), BusError> {
    let trial = bus.trial();
    let mut link = trial.connect().await?;
    let member = Member { node: "trial".into(), life: 0 };
    let join = Join { member: &member, settings: "", applied: None, may_found: true };
    if let Joined::Welcome(welcome) = link.join(&join).await? {
        link.ready(&Ready { member: &member, pending: b"trial", resumed: false }).await?;
        let beat = Beat { member: &member, last_time_ms: welcome.time_ms, applied: welcome.end };
        link.beat(&beat).await?;
        link.publish(b"trial").await?;
        link.read(welcome.end, Duration::from_millis(1)).await?;
    }
    link.leave(&member).await?;
    trial.remove().await
}

#[cfg(test)]
mod tests {
    use super::super::bus::RunId;
    use super::*;

    fn server() -> ServerDescription {
        ServerDescription {
            version: "7.0.15".to_owned(),
            run: RunId("a".into()),
            is_replica: false,
            replicas: 0,
            maxmemory: 0,
            eviction: "noeviction".to_owned(),
            is_fenced: false,
        }
    }

    fn worst(server: &ServerDescription) -> Vec<Severity> {
        let findings = judge(server).into_iter().map(|finding| finding.severity);
        findings.filter(|severity| *severity != Severity::Fine).collect()
    }

    #[test]
    fn a_server_of_its_own_is_fine() {
        assert!(worst(&server()).is_empty());
        let replicated = ServerDescription { replicas: 1, is_fenced: true, ..server() };
        assert!(worst(&replicated).is_empty());
    }

    #[test]
    fn what_is_wrong_with_a_server_is_found() {
        use Severity::{Error, Warning};
        let evicting =
            ServerDescription { eviction: "allkeys-lru".to_owned(), maxmemory: 1 << 20, ..server() };
        assert_eq!(worst(&evicting), [Warning]);
        let unfenced = ServerDescription { replicas: 2, ..server() };
        assert_eq!(worst(&unfenced), [Warning]);
        assert!(judge(&unfenced).iter().any(|finding| finding.is_unfenced));
        assert_eq!(worst(&ServerDescription { is_replica: true, ..server() }), [Error]);
        assert_eq!(worst(&ServerDescription { version: "6.2.7".to_owned(), ..server() }), [Error]);
    }
}
