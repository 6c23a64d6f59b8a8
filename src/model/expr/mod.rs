//! DynamoDB's expression languages: condition, filter, key condition, projection and update, with their legacy twins.
//!
//! Text flows in through `lexer` and `parser`, which know grammar only and give a tree as written. Each language then
//! resolves that tree against the request's [`Bindings`], checks it in the service's order and words, and keeps an owned
//! tree in which no placeholder is left: two requests of one meaning have equal trees, whatever they called their names.
//! Evaluation never fails on a missing attribute or a foreign type where the service does not. Legacy parameters arrive
//! as values already decoded ([`legacy`]) and become the same trees.

mod lexer;
mod parser;
mod reserved;

mod bindings;
mod path;
mod resolve;

mod condition;
mod key_condition;
mod projection;
mod update;

mod canonical;
mod charge;

pub mod compose;
pub mod legacy;

#[cfg(test)]
mod tests;

pub use bindings::{Bindings, Names, Values, check_placeholders};
pub use condition::{Condition, Context};
pub use key_condition::{KeyCondition, KeyInterval, KeyTest, SortInterval, UncheckedKeyCondition};
pub use parser::Comparator;
pub use path::{Path, Step};
pub use projection::Paths;
pub use reserved::is_reserved;
pub use update::Update;

/// The most bytes an expression may have.
const SIZE_BYTES_MAX: usize = 4096;
/// The most operators and functions an expression may have.
const OPERATORS_MAX: usize = 300;
