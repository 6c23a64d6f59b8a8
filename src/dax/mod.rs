//! The words of the DAX wire protocol, as bytes: CBOR items, attribute values, keys, attribute lists; and what is made of them:
//! requests to DynamoDB's JSON, and its answers back.
//!
//! Everything here is pure but for the file of attribute lists: no networking, no clock, no engine. DAX is the binary protocol of
//! Amazon's DAX clients; the facts were taken from the Apache-2.0 sources of three of them (Go 1.0.3, Python 2.1.0, JavaScript
//! 3.1.0).

pub mod cbor;
pub mod lex_decimal;
pub mod number;
mod scanner;
pub mod value;

pub mod key;

pub mod attribute_lists;
pub mod item;

mod object;

mod expression;

pub mod method;
pub mod request;

pub mod shape;

mod reply;

pub mod answer;
pub mod error;

#[cfg(test)]
mod tests;
