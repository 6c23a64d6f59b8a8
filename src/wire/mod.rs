//! Bytes to the model's types and back: DynamoDB JSON 1.0.

pub mod json;

pub mod attribute;
pub mod legacy;
pub mod request;
pub mod shape;

pub use json::Json;
