//! Bytes to the model's types and back: DynamoDB JSON 1.0.

pub mod named;
pub mod raw;
pub mod sigv4;
pub mod size;
mod weight;

pub mod attribute;
pub mod shape;

pub mod expressions;
pub mod keys;
pub mod legacy;

pub mod batch_get;
#[cfg(test)]
mod damaged;
mod key_pattern;
pub mod page;
pub mod request;
mod scan;

pub use crate::json::{self, Json};
pub use named::{index_named, only_table};
pub use weight::tree_bytes;
