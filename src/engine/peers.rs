//! Other nodes in front of the same tables, as the engine sees them: it reports to them what its writes have changed.

use std::pin::Pin;
use std::sync::Arc;

use crate::cache::Report;
use crate::call::Answer;
use crate::model::{ApiError, ErrorCode};

use super::Engine;

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

    /// Queues reports at once. The receipt says when their write may be acknowledged.
    fn report(&self, reports: Vec<Report>) -> Receipt;
}

impl Engine {
    /// Adds the other nodes in front of the same tables. To be called before the first request. The tables must be in
    /// [`crate::cache::Realm::SOLE`], and the upstream one that does not report its changes by itself.
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
}
