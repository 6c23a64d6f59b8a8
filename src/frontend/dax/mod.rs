//! The protocol of DAX, for its official clients: one connection is one task, and one request of it one call of the service behind.
//!
//! A request for an operation of DynamoDB becomes DynamoDB's own JSON, and its answer is made of the JSON answer, so rights, caching,
//! writes and figures are those of HTTP. What concerns only the protocol (nodes, keys of tables, lists of attribute names) is answered
//! here. The bytes of the protocol are the business of [`crate::dax`].

mod authorization;
mod connection;
mod data;
mod discovery;
mod hits;
mod intake;
mod lists;
mod outcome;
mod recent;
mod refusal;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use tokio::sync::watch;

use crate::config::AdvertisedAddress;
use crate::dax::attribute_lists::{AttributeLists, Limits};
use crate::fleet::Introduced;

pub(super) use discovery::Discovery;
pub use discovery::introduction;

/// What DAX clients are told.
#[derive(Clone, Debug)]
pub struct DaxSettings {
    /// The addresses of this node as clients reach it; without any, clients are told where they are.
    pub advertise: Vec<AdvertisedAddress>,
    /// The lists of attribute names that clients know by their ids.
    pub lists: Arc<AttributeLists>,
    /// The fleet whose nodes clients are told; `None` for this node alone.
    pub fleet: Option<DaxFleet>,
}

/// What clients are told of a fleet.
#[derive(Clone, Debug)]
pub struct DaxFleet {
    /// The name of this node in it.
    pub node: Box<str>,
    /// What its members say of themselves, each an [`introduction`] or nothing to DAX clients.
    pub members: watch::Receiver<Arc<[Introduced]>>,
}

/// Nothing advertised, and lists in memory.
impl Default for DaxSettings {
    fn default() -> Self {
        Self {
            advertise: Vec::new(),
            lists: Arc::new(AttributeLists::in_memory(Limits::default())),
            fleet: None,
        }
    }
}
