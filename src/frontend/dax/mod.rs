//! The protocol of DAX, for its official clients: one connection is one task, and one request of it one call of the service behind.
//!
//! A request for an operation of DynamoDB becomes DynamoDB's own JSON, and its answer is made of the JSON answer, so rights, caching,
//! writes and figures are those of HTTP. What concerns only the protocol (nodes, keys of tables, lists of attribute names) is answered
//! here. The bytes of the protocol are the business of [`crate::dax`].

mod authorization;
mod connection;
mod data;
mod discovery;
mod intake;
mod refusal;
#[cfg(test)]
mod tests;

use crate::config::AdvertisedAddress;

pub(super) use discovery::Discovery;

/// What DAX clients are told.
#[derive(Clone, Debug, Default)]
pub struct DaxSettings {
    /// The addresses of this node as clients reach it; without any, clients are told where they are.
    pub advertise: Vec<AdvertisedAddress>,
}
