//! What requests do to tables: which keys and pages are read and written, how reads are answered, and what that saves and costs.
//!
//! The engine finds the [`TableUsage`] of a table once, when the table becomes known, and reports to it from every request. A
//! report of a hit allocates nothing and takes no lock. What is learned is kept here, apart from the cache: nothing here decides
//! what is served. Keys are users' data; they are borrowed for the time of a report.

mod charges;
mod tables;
mod units;
mod usage;

pub use tables::Insight;
pub use units::SpentUnits;
pub use usage::{IndexUsage, Outcome, ReadOfItem, ReadOfPage, TableUsage, WriteOfItem};
