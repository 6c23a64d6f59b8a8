//! The golden bytes of the protocol, and what is done with them.
//!
//! `vectors.json` is a list of objects. Most are exchanges of real clients with a stub server: `request_hex` and `response_hex`,
//! the call's `params` as DynamoDB JSON, and what the client made of the answer, `client_result`. Others are single codes:
//! numbers as sort keys and as attributes, keys, expressions, signatures. The packaged sources leave the file out.

mod answers;
mod call_mutations;
mod calls;
mod items;
mod mutations;
mod numbers;
mod requests;
mod stub;
mod values;

use serde::Deserialize;
use serde_json::Value;

/// One golden vector. Members that it lacks are empty.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Vector {
    pub(super) client: String,
    pub(super) operation: String,
    pub(super) case: String,
    pub(super) meaning: String,
    pub(super) request_hex: String,
    pub(super) response_hex: String,
    pub(super) params: Value,
    pub(super) client_result: Value,
    pub(super) number: String,
    pub(super) hex: String,
    pub(super) canonical_hex: String,
    pub(super) python_hex: String,
    pub(super) javascript_hex: String,
    pub(super) server_hex: String,
    pub(super) schema: String,
    pub(super) key: String,
    pub(super) expression: String,
    pub(super) names: Value,
    pub(super) number_values: Value,
}

/// All of them, or those of an operation.
pub(super) fn vectors(operation: Option<&str>) -> Vec<Vector> {
    let all: Vec<Vector> = serde_json::from_str(include_str!("vectors.json")).unwrap();
    all.into_iter().filter(|vector| operation.is_none_or(|name| vector.operation == name)).collect()
}

/// The bytes that hexadecimal digits stand for.
pub(super) fn bytes_of_hex(text: &str) -> Vec<u8> {
    let digits: Vec<u8> = text.bytes().filter(|byte| !byte.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

#[test]
fn all_vectors_are_there() {
    assert_eq!(vectors(None).len(), 612);
}
