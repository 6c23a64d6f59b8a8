//! How a node stands in its fleet, for the operator.

use std::sync::PoisonError;
use std::time::Duration;

use tokio::time::Instant;

use super::Fleet;
use super::bus::{Bus, Member, Position};
use super::membership::Standing;
use super::stats::Figure;

/// How a node stands in its fleet.
#[derive(Clone, Debug)]
pub struct Status {
    /// This node, in its present life.
    pub me: Member,
    /// One word: `fresh`, `stale`, `distrusting` or `outside`.
    pub standing: &'static str,
    /// All members that it knows of, itself included.
    pub members: Vec<Member>,
    /// What it has applied of the log, if it is in one.
    pub applied: Option<Position>,
    /// How long what is cached may still be served.
    pub lease_left: Duration,
    /// Nodes that are missing and may still write.
    pub distrusted: Vec<Distrusted>,
    /// How many reports wait for the bus.
    pub reports_waiting: usize,
    /// How many writes were acknowledged of which no other node has heard.
    pub unheard_writes: u64,
    /// The last error of the bus, if it has not answered since.
    pub trouble: Option<String>,
}

/// A node that is missing and may still write.
#[derive(Clone, Debug)]
pub struct Distrusted {
    /// Its name; `None` for any that is not known here.
    pub node: Option<String>,
    /// How long it is distrusted still.
    pub left: Duration,
}

impl Status {
    /// Why the node does not serve all that it has cached, if it does not.
    pub fn unready(&self) -> Option<String> {
        let reason = match self.standing {
            "fresh" => return None,
            "distrusting" => "nodes are missing that may still write",
            "stale" => "no lease: the bus has not answered in time",
            _ => "not a member of the fleet",
        };
        Some(match &self.trouble {
            Some(trouble) => format!("{reason} ({trouble})"),
            None => reason.to_owned(),
        })
    }
}

impl<B: Bus> Fleet<B> {
    /// How the node stands now.
    pub fn status(&self) -> Status {
        let now = Instant::now();
        let membership = self.lock();
        let standing = match membership.standing() {
            Standing::Outside => "outside",
            _ if !membership.has_lease(now) => "stale",
            Standing::Fresh => "fresh",
            Standing::Stale => "stale",
            Standing::Distrusting(_) => "distrusting",
        };
        let distrusted = membership.distrusted().map(|(node, until)| Distrusted {
            node: node.map(str::to_owned),
            left: until.saturating_duration_since(now),
        });
        Status {
            me: membership.me().clone(),
            standing,
            members: membership.members().iter().cloned().collect(),
            applied: membership.position(),
            lease_left: membership.lease_left(now),
            distrusted: distrusted.collect(),
            reports_waiting: self.outbox.len(),
            unheard_writes: self.stats.unheard(),
            trouble: self
                .trouble
                .lock()
                .unwrap_or_else(PoisonError::into_inner)
                .iter()
                .flatten()
                .next()
                .cloned(),
        }
    }

    /// Every figure that is counted.
    pub fn figures(&self) -> Vec<Figure> {
        self.stats.figures()
    }
}
