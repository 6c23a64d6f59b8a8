//! The condition and the change that a write's request asks for: parsed, checked against the table, and made in an item.

use crate::model::expr::{Bindings, Condition, Context, Path, Paths, Step, Update};
use crate::model::{ApiError, AttributeValue, Item};
use crate::wire::attribute::{LEVELS_MAX, Reader, check_name};
use crate::wire::expressions::{Placeholders, brings_any_of};
use crate::wire::keys::{self, IndexKeySource};
use crate::wire::{Json, legacy};

use super::catalog::Table;
use super::refusal::Refusal;

/// How an update came: only an expression computes new values, and the errors differ.
#[derive(Debug)]
pub(crate) enum ItemChange {
    /// `UpdateExpression`.
    Expression(Update),
    /// `AttributeUpdates`.
    Legacy(Update),
    /// A PartiQL `UPDATE`.
    Statement(Update),
}

impl ItemChange {
    /// The paths that it writes to.
    pub(crate) fn targets(&self) -> Paths {
        self.update().paths().into_iter().cloned().collect()
    }

    /// The update itself, however it came.
    pub(super) fn update(&self) -> &Update {
        match self {
            Self::Expression(update) | Self::Legacy(update) | Self::Statement(update) => update,
        }
    }

    /// Refuses what the table's schema alone can say against the change.
    pub(super) fn check_against(&self, table: &Table) -> Result<(), ApiError> {
        let targets = self.update().paths();
        let is_target = |name: &str| targets.iter().any(|path| path.root == name);
        let schema = &table.schema;
        if let Some(attribute) = schema.key.attributes().find(|attribute| is_target(&attribute.name)) {
            return Err(ApiError::validation(format!(
                "One or more parameter values were invalid: \
                 Cannot update attribute {}. This attribute is part of the key",
                attribute.name
            )));
        }
        targets.iter().try_for_each(|path| check_names(path))?;
        for (target, type_name) in self.update().known_types() {
            keys::check_index_type(schema, target, type_name)?;
        }
        keys::check_nested_roots(schema, self.update().nested_roots())
    }

    /// Makes the change in an item, and rejects what then fits no table or not this one.
    pub(super) fn apply(&self, table: &Table, item: &mut Item) -> Result<(), Refusal> {
        self.update().apply(item)?;
        self.check_changed(table, item)
    }

    /// Makes the change in an item that the table does not have yet. `None` when it makes none: DynamoDB creates no item for
    /// removals of whole attributes alone, but one of its key for the removal of a path that leads into an attribute.
    pub(super) fn apply_to_missing(&self, table: &Table, mut item: Item) -> Result<Option<Item>, Refusal> {
        let key_attributes = item.len();
        let update = self.update();
        update.apply_to_missing(&mut item)?;
        let adds_nothing = item.len() == key_attributes && !update.is_empty();
        if adds_nothing && !update.paths().iter().any(|path| path.is_nested()) {
            return Ok(None);
        }
        self.check_changed(table, &item)?;
        Ok(Some(item))
    }

    /// Rejects a changed item that fits no table or not this one.
    fn check_changed(&self, table: &Table, item: &Item) -> Result<(), Refusal> {
        if is_too_deep(item) {
            return Err(too_deep().into());
        }
        let source = match self {
            Self::Expression(_) | Self::Statement(_) => IndexKeySource::Expression,
            Self::Legacy(_) => IndexKeySource::Request,
        };
        let targets = self.update().paths();
        let is_touched = |name: &str| targets.iter().any(|path| path.root == name);
        Ok(keys::check_index_keys(&table.schema, item, source, is_touched)?)
    }
}

/// The condition of a write, be it an expression or legacy.
pub(super) fn parse_condition(body: &Json<'_>, reader: Reader) -> Result<Option<Condition>, ApiError> {
    if !brings_any_of(body, &["ConditionExpression", "Expected", "ConditionalOperator"]) {
        return Ok(None);
    }
    if let Some(condition) = legacy::expected(body, reader)? {
        return Ok(Some(condition));
    }
    expression_condition(body, reader)
}

/// The `ConditionExpression` of a write that has no other expression.
pub(super) fn expression_condition(body: &Json<'_>, reader: Reader) -> Result<Option<Condition>, ApiError> {
    let placeholders = Placeholders::parse(body, reader)?;
    let mut bindings = placeholders.bindings();
    let condition = condition_expression(body, reader, &mut bindings)?;
    // Where there is nothing to use them, an operation refuses values by itself, or lets them pass.
    if condition.is_some() {
        bindings.finish()?;
    }
    Ok(condition)
}

fn condition_expression(
    body: &Json<'_>,
    reader: Reader,
    bindings: &mut Bindings<'_>,
) -> Result<Option<Condition>, ApiError> {
    let text = body.get("ConditionExpression").and_then(Json::text);
    let context = match reader {
        Reader::Older => Context::TransactionCondition,
        Reader::Newer => Context::Condition,
    };
    text.map(|text| Condition::parse(text, context, bindings)).transpose()
}

/// The change and the condition of an update: they share names and values.
pub(super) fn parse_update(
    body: &Json<'_>,
    reader: Reader,
) -> Result<(Option<ItemChange>, Option<Condition>), ApiError> {
    let legacy_update = legacy::attribute_updates(body, reader)?;
    let legacy_condition = legacy::expected(body, reader)?;
    let (change, condition) = expression_update(body, reader)?;
    Ok((change.or(legacy_update.map(ItemChange::Legacy)), condition.or(legacy_condition)))
}

/// The `UpdateExpression` and the `ConditionExpression` of an update.
pub(super) fn expression_update(
    body: &Json<'_>,
    reader: Reader,
) -> Result<(Option<ItemChange>, Option<Condition>), ApiError> {
    let placeholders = Placeholders::parse(body, reader)?;
    let mut bindings = placeholders.bindings();
    if body.get("ConditionExpression").and_then(Json::text) == Some("") {
        // The service looks for an empty condition before it looks at the update.
        condition_expression(body, reader, &mut bindings)?;
    }
    let text = body.get("UpdateExpression").and_then(Json::text);
    let update = text.map(|text| Update::parse(text, &mut bindings)).transpose()?;
    let condition = condition_expression(body, reader, &mut bindings)?;
    bindings.finish()?;
    Ok((update.map(ItemChange::Expression), condition))
}

/// Refuses a path that would write an attribute whose name no item may have. Elsewhere the decoder sees to it.
fn check_names(path: &Path) -> Result<(), ApiError> {
    let members = path.steps.iter().filter_map(|step| match step {
        Step::Member(name) => Some(name),
        Step::Element(_) => None,
    });
    std::iter::once(&path.root).chain(members).try_for_each(|name| check_name(name))
}

/// The error of a write that would nest an item too deeply, though no value of its request is.
pub(super) fn too_deep() -> ApiError {
    ApiError::validation("Nesting Levels have exceeded supported limits")
}

/// True for an item that is nested too deeply: an update writes a value of any depth to a path of any depth.
pub(super) fn is_too_deep(item: &Item) -> bool {
    item.values().any(|value| levels(value) > LEVELS_MAX)
}

/// On how many levels a value stands, its own included.
fn levels(value: &AttributeValue) -> usize {
    let below = match value {
        AttributeValue::M(map) => map.values().map(levels).max(),
        AttributeValue::L(list) => list.iter().map(levels).max(),
        _ => None,
    };
    1 + below.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::local::tests::backend::Backend;
    use crate::model::Operation::UpdateItem;

    /// A leaf within that many maps.
    fn nested(maps: usize) -> Value {
        (0..maps).fold(json!({"S": "leaf"}), |inner, _| json!({"M": {"n": inner}}))
    }

    #[tokio::test]
    async fn an_update_may_nest_an_item_as_deeply_as_a_put_and_no_deeper() {
        let backend = Backend::with_tables().await;
        backend.put("hash", json!({"a": {"S": "k"}, "m": nested(20)})).await;
        let set = |maps: usize| {
            json!({
                "TableName": "hash",
                "Key": {"a": {"S": "k"}},
                "UpdateExpression": "SET m.n.n.n = :v",
                "ExpressionAttributeValues": {":v": nested(maps)},
            })
        };
        assert_eq!(
            backend.invalid(UpdateItem, set(29)).await,
            "Nesting Levels have exceeded supported limits"
        );
        backend.ok(UpdateItem, set(28)).await;
        assert_eq!(backend.get("hash", json!({"a": {"S": "k"}})).await["m"], nested(31));
    }
}
