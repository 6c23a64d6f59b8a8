//! What a reader finds: an answer, a fetch in flight to wait for, or nothing, and then it fetches.

use std::time::Duration;

use super::flights::Joiner;

/// An answer from memory: an item or a page.
#[derive(Clone, Debug)]
pub struct Hit<T> {
    /// What to send.
    pub value: T,
    /// How long ago the read that brought it was sent.
    pub age: Duration,
}

/// What a reader is to do: `T` is what it reads, and `P` the permit of whoever fetches it.
#[derive(Debug)]
pub enum Lookup<T, P> {
    /// Answer with this.
    Hit(Hit<T>),
    /// Wait for a fetch that is in flight.
    Join(Joiner<T>),
    /// Fetch, and report to the permit what came of it.
    Lead(P),
}
