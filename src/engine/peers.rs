//! Other nodes in front of the same tables, as the engine sees them: it reports to them what its writes have changed.

use std::pin::Pin;
use std::sync::Arc;

use crate::cache::{Changed, Report, TableDigest};
use crate::call::Answer;
use crate::model::operation::OperationClass;
use crate::model::{ApiError, ErrorCode};

use super::scope::Scope;
use super::{Engine, failed};

/// When a write may be acknowledged. Dropping it changes nothing: what was reported stays reported.
pub type Receipt = Pin<Box<dyn Future<Output = Acknowledgement> + Send>>;

/// Whether the other nodes know of a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Acknowledgement {
    /// They do, or will before their readers may notice, or the config lets writes be acknowledged without it.
    Given,
    /// It is not certain in time. The write has happened, and its client must not take it for acknowledged.
    TimedOut,
}

/// The other nodes.
pub trait Peers: Send + Sync {
    /// Whether a write may be sent now.
    ///
    /// # Errors
    /// The reason in a sentence, when writes must wait until the other nodes can be reached.
    fn admit_write(&self) -> Result<(), &'static str>;

    /// Queues reports at once, without waiting for anything: it is also called while a report is applied, and while a task is dropped.
    /// The receipt says when their write may be acknowledged.
    fn report(&self, reports: Vec<Report>) -> Receipt;
}

/// What a change of unnamed items, or of whole tables, means for the others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Affected {
    /// Items have changed.
    Items,
    /// Keys and indexes may have changed, too.
    Definitions,
}

impl Affected {
    /// By a request of that class.
    pub(super) fn by(class: OperationClass) -> Self {
        match class {
            OperationClass::Ddl | OperationClass::Unknown | OperationClass::Other => Self::Definitions,
            OperationClass::ItemRead
            | OperationClass::PageRead
            | OperationClass::StrongRead
            | OperationClass::ItemWrite
            | OperationClass::Statement => Self::Items,
        }
    }

    fn changed(self, table: TableDigest) -> Changed {
        match self {
            Self::Items => Changed::Table(table),
            Self::Definitions => Changed::Definition(table),
        }
    }
}

/// A change that is right in this node's cache. The other nodes may not know of it yet.
#[must_use = "its answer must not leave before the other nodes know"]
pub(super) struct Settled(Option<Receipt>);

impl Settled {
    /// A change that nobody waits for.
    pub(super) const UNREPORTED: Self = Self(None);

    /// No client waits for the change.
    pub(super) fn let_go(self) {}

    /// Waits until the change may be acknowledged, and gives the answer for its client.
    pub(super) async fn acknowledge(self, answer: Answer) -> Answer {
        let Some(receipt) = self.0 else { return answer };
        match receipt.await {
            Acknowledgement::Given => answer,
            Acknowledgement::TimedOut if answer.is_success() => failed(
                "The write was carried out, but the other nodes of the fleet did not confirm in time that they know of it.",
            ),
            // A rejection confirms an earlier attempt that was carried out.
            Acknowledgement::TimedOut => failed(
                "The write was rejected, but the other nodes of the fleet did not confirm in time that they know of it.",
            ),
        }
    }
}

impl Engine {
    /// Adds the other nodes in front of the same tables. To be called before the first request, and only if the cache is that of a
    /// fleet ([`crate::cache::ItemCache::in_fleet`]), the realm [`crate::cache::Realm::SOLE`], and the upstream one that does not
    /// report its changes by itself.
    ///
    /// # Panics
    /// When there are other nodes already.
    pub fn set_peers(&self, peers: Arc<dyn Peers>) {
        assert!(self.peers.set(peers).is_ok(), "an engine is in one fleet, once");
    }

    /// Asks the other nodes whether a write may be sent now. Must be called before the write's guards are taken.
    ///
    /// # Errors
    /// The answer for the client, when it may not.
    pub(super) fn admit_write(&self) -> Result<(), Answer> {
        let Some(peers) = self.peers.get() else { return Ok(()) };
        peers.admit_write().map_err(|reason| ApiError::new(ErrorCode::ServiceUnavailable, reason).into())
    }

    /// True if there is anybody to report to.
    pub(super) fn has_peers(&self) -> bool {
        self.peers.get().is_some()
    }

    /// Reports changes. What they changed must be unusable here before.
    pub(super) fn report(&self, reports: impl FnOnce() -> Vec<Report>) -> Settled {
        let Some(peers) = self.peers.get() else { return Settled::UNREPORTED };
        let reports = reports();
        if reports.is_empty() { Settled::UNREPORTED } else { Settled(Some(peers.report(reports))) }
    }

    /// Reports a change of a scope.
    pub(super) fn report_scope(&self, scope: &Scope, affected: Affected) -> Settled {
        self.report(|| self.changed(scope, affected).into_iter().map(Report::Changed).collect())
    }

    /// What the others hear of a change of a scope.
    pub(super) fn changed(&self, scope: &Scope, affected: Affected) -> Vec<Changed> {
        match scope {
            Scope::Nothing => Vec::new(),
            Scope::Tables(names) => {
                names.iter().map(|name| affected.changed(self.cache.digest_of(name))).collect()
            }
            Scope::Everything => vec![Changed::Everything],
        }
    }

    /// What the others hear of a change of a scope whose outcome is unknown.
    pub(super) fn may_change(&self, scope: &Scope, affected: Affected) -> Vec<Report> {
        let window = self.cache.unknown_write_window();
        let changed = self.changed(scope, affected).into_iter();
        changed.map(|changed| Report::MayChange(changed, window)).collect()
    }
}
