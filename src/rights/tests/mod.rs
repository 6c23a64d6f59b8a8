//! Rights against an independent judge, the examples of the documentation, and requests that nobody can judge.

mod examples;
mod judge;
mod matrix;
mod unreadable;

use std::sync::Arc;

use super::{Asked, Denial, Place, Policy, Rights};
use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::schema::{IndexKind, IndexSchema, KeySchema, Projection, TableSchema};
use crate::model::{ApiError, Operation};

const ACCOUNT: &str = "123456789012";
const PLACE: Place<'_> = Place { region: "us-east-1", account: Some(ACCOUNT) };

fn key(partition: &[(&str, ScalarType)], sort: &[(&str, ScalarType)]) -> KeySchema {
    let attributes = |attributes: &[(&str, ScalarType)]| {
        let attributes = attributes
            .iter()
            .map(|(name, scalar_type)| KeyAttribute { name: (*name).to_owned(), scalar_type: *scalar_type });
        attributes.collect()
    };
    KeySchema { partition: attributes(partition), sort: attributes(sort) }
}

/// `Orders` (by `tenant` and `id`, with the indexes `byStatus` and `byShop`) and `Users` (by a number).
fn schema(spelling: &str) -> Option<Arc<TableSchema>> {
    use ScalarType::{N, S};
    let name = spelling.rsplit('/').next().unwrap();
    let index = |name: &str, key| IndexSchema {
        name: name.to_owned(),
        kind: IndexKind::Global,
        key,
        projection: Projection::All,
    };
    let (key, indexes) = match name {
        "Orders" => (
            key(&[("tenant", S)], &[("id", S)]),
            vec![
                index("byStatus", key(&[("status", S)], &[])),
                index("byShop", key(&[("shop", S), ("city", S)], &[])),
            ],
        ),
        "Users" => (key(&[("number", N)], &[]), Vec::new()),
        _ => return None,
    };
    Some(Arc::new(TableSchema { name: name.to_owned(), id: String::new(), key, indexes }))
}

fn rights_of(document: &str) -> Rights {
    Rights::new("alice", [&Policy::parse(document).unwrap_or_else(|error| panic!("{error}\n{document}"))])
}

fn asked(operation: Operation, body: &str) -> Asked<'_> {
    Asked { operation, unknown_target: None, body: body.as_bytes(), place: PLACE }
}

fn judge(rights: &Rights, operation: Operation, body: &str) -> Result<(), Box<Denial>> {
    rights.judge(&asked(operation, body), &schema)
}

fn is_allowed(rights: &Rights, operation: Operation, body: &str) -> bool {
    judge(rights, operation, body).is_ok()
}

/// The words of a denial.
fn words(rights: &Rights, operation: Operation, body: &str) -> String {
    let denial = judge(rights, operation, body).unwrap_err();
    ApiError::from(&*denial).message.unwrap().into_owned()
}
