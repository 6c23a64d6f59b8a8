//! Capabilities of a whole node, against an upstream that the test scripts answer by answer. Time stands still unless a test
//! moves it, so every order of events is the one that the test wrote down.

#![expect(clippy::unwrap_used, reason = "in a test, a panic is the report")]

mod harness;
mod scripted;
mod stale;

mod at_once;
mod batches;
mod bypass;
mod changes;
mod coherence;
mod exactness;
mod expiry;
mod fleet;
mod history;
mod holds;
mod identity;
mod opaque;
mod pages;
mod passing;
mod peers;
mod permissions;
mod policies;
mod reads;
mod realms;
mod resets;
mod rights;
mod roles;
mod savings;
mod shadow;
mod transactions;
mod twins;
mod verification;
mod warming;
