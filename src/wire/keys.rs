//! Keys of requests against a table's schema, and the service's words when they do not fit.

use crate::model::key::KeyError;
use crate::model::key_attribute::{KeyRole, ScalarType};
use crate::model::value::AttributeValue;
use crate::model::{ApiError, IndexSchema, Item, Key, KeySchema, KeyValue, TableSchema};

/// Where a key stands in a request; the service words its errors by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeySource {
    /// A `Key` member: exactly the key attributes.
    KeyMember,
    /// The `Item` of a PutItem.
    Item,
    /// The `Item` of a PutRequest in a batch, which is told less.
    BatchItem,
}

/// What brings a value to a secondary index's key attribute; the service words its errors by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKeySource {
    /// The item or legacy update of the request has it.
    Request,
    /// An update expression has computed it.
    Expression,
}

/// The service's own refusal of a key, of an item or of an index. Most operations only pass it on; a transaction tells the two
/// kinds apart.
#[derive(Debug)]
pub enum KeyRefusal {
    /// A key attribute is empty, which makes a whole transaction invalid.
    Empty(ApiError),
    /// The key does not fit the schema, which cancels a transaction.
    Unfit(ApiError),
}

impl From<KeyRefusal> for ApiError {
    fn from(refusal: KeyRefusal) -> Self {
        match refusal {
            KeyRefusal::Empty(error) | KeyRefusal::Unfit(error) => error,
        }
    }
}

/// The key in `attributes`.
///
/// # Errors
/// The service's own for a key that is not the schema's.
pub fn key_from(schema: &KeySchema, attributes: &Item, source: KeySource) -> Result<Key, KeyRefusal> {
    let key = match source {
        KeySource::KeyMember => schema.key_exactly(attributes),
        KeySource::Item | KeySource::BatchItem => schema.key_of(attributes),
    };
    key.map_err(|error| refusal(error, attributes, source))
}

fn refusal(error: KeyError, attributes: &Item, source: KeySource) -> KeyRefusal {
    KeyRefusal::Unfit(match (error, source) {
        (KeyError::Missing { name }, KeySource::Item) => ApiError::validation(format!(
            "One or more parameter values were invalid: Missing the key {name} in the item"
        )),
        (KeyError::WrongType { name, expected, actual }, KeySource::Item) => ApiError::validation(format!(
            "One or more parameter values were invalid: \
             Type mismatch for key {name} expected: {} actual: {actual}",
            expected.name()
        )),
        (KeyError::Foreign | KeyError::Missing { .. } | KeyError::WrongType { .. }, _) => {
            ApiError::validation("The provided key element does not match the schema")
        }
        (KeyError::Empty { name }, _) => {
            return KeyRefusal::Empty(ApiError::validation(format!(
                "One or more parameter values are not valid. \
                 The AttributeValue for a key attribute cannot contain an empty {} value. Key: {name}",
                kind_name(attributes.get(&name))
            )));
        }
        (KeyError::TooLong { role, .. }, _) => too_long(role),
    })
}

fn too_long(role: KeyRole) -> ApiError {
    ApiError::validation(match role {
        KeyRole::Partition => {
            "One or more parameter values were invalid: \
             Size of hashkey has exceeded the maximum size limit of2048 bytes"
        }
        KeyRole::Sort => {
            "One or more parameter values were invalid: \
             Aggregated size of all range keys has exceeded the size limit of 1024 bytes"
        }
    })
}

/// What the service calls the value in a message about emptiness.
fn kind_name(value: Option<&AttributeValue>) -> &'static str {
    if matches!(value, Some(AttributeValue::B(_))) { "binary" } else { "string" }
}

/// Refuses an item that has a secondary index's key attribute with a value that the index cannot hold. Attributes for which
/// `is_touched` is false are passed over: an update answers only for what it writes.
///
/// # Errors
/// The service's own. Of several indexes it names the first by name; a wrong type goes before an empty value, and that
/// before a long one.
pub fn check_index_keys(
    schema: &TableSchema,
    item: &Item,
    source: IndexKeySource,
    is_touched: impl Fn(&str) -> bool,
) -> Result<(), KeyRefusal> {
    let faults = schema.indexes.iter().filter_map(|index| index_fault(index, item, &is_touched));
    let first = faults.min_by(|(left, left_index), (right, right_index)| {
        (severity(left), &left_index.name).cmp(&(severity(right), &right_index.name))
    });
    let Some((error, index)) = first else { return Ok(()) };
    let is_empty = matches!(error, KeyError::Empty { .. });
    let error = index_refusal(error, index, item, source);
    Err(if is_empty { KeyRefusal::Empty(error) } else { KeyRefusal::Unfit(error) })
}

/// The gravest fault of one index's key attributes.
fn index_fault<'a>(
    index: &'a IndexSchema,
    item: &Item,
    is_touched: &impl Fn(&str) -> bool,
) -> Option<(KeyError, &'a IndexSchema)> {
    let partition = index.key.partition.iter().map(|attribute| (attribute, KeyRole::Partition));
    let sort = index.key.sort.iter().map(|attribute| (attribute, KeyRole::Sort));
    let faults = partition.chain(sort).filter_map(|(attribute, role)| {
        let value = item.get(&attribute.name).filter(|_| is_touched(&attribute.name))?;
        KeyValue::from_attribute(value, attribute, role).err()
    });
    faults.min_by_key(severity).map(|error| (error, index))
}

fn severity(error: &KeyError) -> u8 {
    match error {
        KeyError::WrongType { .. } => 0,
        KeyError::Empty { .. } => 1,
        KeyError::TooLong { .. } => 2,
        KeyError::Missing { .. } | KeyError::Foreign => 3,
    }
}

fn index_refusal(error: KeyError, index: &IndexSchema, item: &Item, source: IndexKeySource) -> ApiError {
    match (error, source) {
        (KeyError::WrongType { name, expected, actual }, IndexKeySource::Request) => {
            index_type_mismatch(&name, expected, actual, &index.name)
        }
        (KeyError::WrongType { .. }, IndexKeySource::Expression) => ApiError::validation(
            "The update expression attempted to update the secondary index key to unsupported type",
        ),
        (KeyError::Empty { name }, IndexKeySource::Request) => ApiError::validation(format!(
            "One or more parameter values are not valid. \
             A value specified for a secondary index key is not supported. \
             The AttributeValue for a key attribute cannot contain an empty {} value. \
             IndexName: {}, IndexKey: {name}",
            kind_name(item.get(&name)),
            index.name
        )),
        (KeyError::Empty { name }, IndexKeySource::Expression) => ApiError::validation(format!(
            "One or more parameter values are not valid. \
             The update expression attempted to update a secondary index key to a value that is not supported. \
             The AttributeValue for a key attribute cannot contain an empty {} value.",
            kind_name(item.get(&name))
        )),
        (KeyError::TooLong { role, .. }, IndexKeySource::Request) => too_long(role),
        (KeyError::TooLong { .. }, IndexKeySource::Expression) => ApiError::validation(
            "The update expression attempted to update the secondary index key beyond allowed size limits",
        ),
        (KeyError::Missing { .. } | KeyError::Foreign, _) => {
            ApiError::validation("The provided key element does not match the schema")
        }
    }
}

/// Refuses a value of that type for an attribute, known before there is an item, when it is the key of an index.
///
/// # Errors
/// The service's own. Of several indexes it names the first by name.
pub fn check_index_type(schema: &TableSchema, attribute: &str, type_name: &str) -> Result<(), ApiError> {
    let mismatches = schema.indexes.iter().filter_map(|index| {
        let mut key = index.key.attributes();
        let key = key.find(|key| key.name == attribute && key.scalar_type.name() != type_name)?;
        Some((&index.name, key.scalar_type))
    });
    match mismatches.min_by_key(|(index, _)| *index) {
        Some((index, expected)) => Err(index_type_mismatch(attribute, expected, type_name, index)),
        None => Ok(()),
    }
}

fn index_type_mismatch(attribute: &str, expected: ScalarType, actual: &str, index: &str) -> ApiError {
    ApiError::validation(format!(
        "One or more parameter values were invalid: \
         Type mismatch for Index Key {attribute} Expected: {} Actual: {actual} IndexName: {index}",
        expected.name()
    ))
}

/// Refuses a document path that goes into a key attribute of the table or an index: keys are scalars. `nested` are the roots
/// of the paths that go deeper than their first name.
pub fn check_nested_roots<'a>(
    schema: &TableSchema,
    nested: impl Iterator<Item = &'a str>,
) -> Result<(), ApiError> {
    let nested: Vec<&str> = nested.collect();
    let refused = |kind: &str, name: &str| {
        ApiError::validation(format!(
            "Key attributes must be scalars; \
             list random access '[]' and map lookup '.' are not allowed: {kind}: {name}"
        ))
    };
    let entered = |name: &str| nested.contains(&name);
    if let Some(attribute) = schema.key.attributes().find(|attribute| entered(&attribute.name)) {
        return Err(refused("Key", &attribute.name));
    }
    let mut index_attributes = schema.indexes.iter().flat_map(|index| index.key.attributes());
    match index_attributes.find(|attribute| entered(&attribute.name)) {
        Some(attribute) => Err(refused("IndexKey", &attribute.name)),
        None => Ok(()),
    }
}
