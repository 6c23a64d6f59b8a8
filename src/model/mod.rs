//! The words of DynamoDB: values, numbers, keys, schemas, operations, errors and expressions.
//!
//! Everything here is pure and synchronous: no I/O, no clock, no JSON. Bytes become these types in [`crate::wire`].

pub mod number;
pub mod value;

pub mod arn;
pub mod canonical;
pub mod capacity;
pub mod change;
pub mod key;
pub mod key_attribute;
pub mod placement;
pub mod schema;
pub mod timestamp;

pub mod error;
pub mod operation;

pub mod java_order;

pub mod expr;
pub mod partiql;

pub use change::{Cause, Change, IndexMove};
pub use error::{ApiError, ErrorCode, ErrorName};
pub use key::{Key, KeyValue};
pub use number::Number;
pub use operation::Operation;
pub use schema::{IndexSchema, KeySchema, TableSchema};
pub use timestamp::Timestamp;
pub use value::{AttributeValue, Item};
