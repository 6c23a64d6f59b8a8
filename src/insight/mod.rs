//! What requests do to tables: which keys and pages are read and written, how reads are answered, and what that saves and costs;
//! which keys are hot, what caches of other sizes would do, and what to change in the config.
//!
//! The engine finds the [`TableUsage`] of a table once, when the table becomes known, and reports to it from every request. A
//! report of a hit waits for no lock: a sample whose buffer is in use is dropped and counted. It allocates nothing, except that a
//! thread's buffer of samples is allocated anew where the last one was taken away. What is learned is kept here, apart from the cache:
//! nothing here decides what is served. Keys are users' data; they are borrowed for the time of a report, and kept of the heaviest
//! keys only ([`hot`]).

mod ages;
mod sampled_hash;

pub(crate) mod advice;
mod charges;
pub(crate) mod curve;
pub(crate) mod hot;
mod tables;
mod units;
mod usage;

#[cfg(test)]
pub(crate) mod zipf;

pub use ages::Ages;
pub(crate) use charges::WriteTerms;
pub use tables::Insight;
pub use units::SpentUnits;
pub use usage::{IndexUsage, Outcome, ReadOfItem, ReadOfPage, TableUsage, WriteOfItem};
