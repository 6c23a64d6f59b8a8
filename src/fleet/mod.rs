//! Coherence between nodes: what one node's write has changed is invalidated in all others.
//!
//! Under construction: the traits come first.

pub mod bus;
mod replica;

pub use replica::Replica;
