//! The rules that a change keeps only of some tables.

use crate::local::table_record::{
    AttributeDefinition, BillingMode, Definition, IndexDefinition, KeyElement, KeyType, Throughput,
};
use crate::local::tables::definition::{self, GLOBAL_INDEXES_MAX};
use crate::local::tables::invalid;
use crate::model::{ApiError, ErrorCode};

use super::request::{Action, Change, IndexChange};

/// Checks the changes of indexes against the table, as far as they do not depend on each other.
pub(super) fn check_index_changes(change: &Change, before: &Definition) -> Result<(), ApiError> {
    if change.indexes.iter().filter(|index| index.makes_or_drops()).count() > 1 {
        return Err(ApiError::new(
            ErrorCode::LimitExceeded,
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        ));
    }
    let is_too_much = |index: &IndexChange| matches!(&index.action, Action::Update { throughput: Some(asked), .. } if definition::is_out_of_bounds(asked));
    if change.indexes.iter().any(is_too_much) {
        return Err(ApiError::validation(
            "This operation cannot be performed with given input values. Please contact DynamoDB service team for \
             more info: Action Blocked: IndexUpdate",
        ));
    }
    let billing_mode = change.billing_mode.unwrap_or(before.billing_mode);
    change.indexes.iter().try_for_each(|index| check_index_change(index, before, billing_mode))
}

fn check_index_change(
    change: &IndexChange,
    before: &Definition,
    billing_mode: BillingMode,
) -> Result<(), ApiError> {
    let name = &change.name;
    let existing = before.indexes.iter().find(|index| index.index_name == *name);
    match (&change.action, existing) {
        (Action::Create(_), Some(_)) => {
            Err(ApiError::validation("Attempting to create an index which already exists"))
        }
        (Action::Create(_), None) => {
            let global = before.indexes.iter().filter(|index| index.global).count();
            if global < GLOBAL_INDEXES_MAX {
                return Ok(());
            }
            Err(ApiError::new(
                ErrorCode::LimitExceeded,
                format!("GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}"),
            ))
        }
        (Action::Delete | Action::Update { .. }, None) => Err(unknown_index(name)),
        (Action::Delete, Some(index)) if !index.global => Err(ApiError::validation(format!(
            "Cannot delete an index that is not a GlobalSecondaryIndex: {name}"
        ))),
        (Action::Update { .. }, Some(index)) if !index.global => Err(ApiError::validation(format!(
            "Cannot update an index that is not a GlobalSecondaryIndex: {name}"
        ))),
        (Action::Update { throughput: Some(_), .. }, Some(_))
            if billing_mode == BillingMode::PayPerRequest =>
        {
            Err(invalid(format!(
                "The only Updates for index: {name} when TableThroughputMode is PAY_PER_REQUEST can be to \
                 OnDemandThroughput, WarmThroughput"
            )))
        }
        (Action::Update { throughput: Some(asked), .. }, Some(index))
            if is_same(asked, &index.throughput) && billing_mode == before.billing_mode =>
        {
            Err(ApiError::validation(format!(
                "The provisioned throughput for the index {name} will not change. {}",
                unchanged_words("index", &index.throughput, asked)
            )))
        }
        (Action::Delete | Action::Update { .. }, Some(_)) => Ok(()),
    }
}

/// An attribute of a key that is there already keeps its type.
pub(super) fn check_redefinition(
    table: &Definition,
    index: &IndexDefinition,
    attributes: &[AttributeDefinition],
) -> Result<(), ApiError> {
    let known = &table.attribute_definitions;
    let is_redefined = |element: &&KeyElement| {
        let name = &element.attribute_name;
        let types = type_of(name, known).zip(type_of(name, attributes));
        types.is_some_and(|(known, asked)| known != asked)
    };
    let Some(redefined) = index.key_schema.iter().find(is_redefined) else { return Ok(()) };
    let index_keys = table.indexes.iter().map(|index| &index.key_schema);
    let mut keys = std::iter::once(&table.key_schema).chain(index_keys);
    let name = &redefined.attribute_name;
    let existing = keys.find(|key| key.iter().any(|element| element.attribute_name == *name));
    Err(invalid(format!(
        "Attributes cannot be redefined. Please check that your attribute has the same type as previously \
         defined. Existing schema: {} New schema: {}",
        schema_text(existing.map_or(&[], Vec::as_slice), known),
        schema_text(&index.key_schema, attributes)
    )))
}

/// The declared type of an attribute.
fn type_of<'a>(name: &str, attributes: &'a [AttributeDefinition]) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.attribute_name == name);
    attribute.map(|attribute| attribute.attribute_type.as_str())
}

/// A key as the service's messages write it.
fn schema_text(key: &[KeyElement], attributes: &[AttributeDefinition]) -> String {
    let elements = key.iter().map(|element| {
        let role = match element.key_type {
            KeyType::Hash => "HASH",
            KeyType::Range => "RANGE",
        };
        let scalar_type = type_of(&element.attribute_name, attributes).unwrap_or_default();
        format!("SchemaElement: key{{{}:{scalar_type}:{role}}}", element.attribute_name)
    });
    format!("Schema:[{}]", elements.collect::<Vec<_>>().join(", "))
}

/// Where the index stands among those of the table.
pub(super) fn position(definition: &Definition, name: &str) -> Result<usize, ApiError> {
    let position = definition.indexes.iter().position(|index| index.index_name == name);
    position.ok_or_else(|| unknown_index(name))
}

fn unknown_index(name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ResourceNotFound,
        format!("Requested resource not found: Index {name} for table"),
    )
}

/// True if nothing would change.
pub(super) fn is_same(asked: &Throughput, now: &Throughput) -> bool {
    asked.read_capacity_units == now.read_capacity_units
        && asked.write_capacity_units == now.write_capacity_units
}

/// The service's words for that.
pub(super) fn unchanged_words(what: &str, current: &Throughput, asked: &Throughput) -> String {
    format!(
        "The requested value equals the current value. Current ReadCapacityUnits provisioned for the {what}: {}. \
         Requested ReadCapacityUnits: {}. Current WriteCapacityUnits provisioned for the {what}: {}. Requested \
         WriteCapacityUnits: {}. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request \
         higher limits.",
        current.read_capacity_units,
        asked.read_capacity_units,
        current.write_capacity_units,
        asked.write_capacity_units
    )
}
