//! What a document may say and no request can match. IAM accepts it, so it is a warning: what it should allow is denied, and what it
//! should deny is allowed.

use crate::config::nearest;
use crate::model::Number;
use crate::rights::action::Actions;
use crate::rights::condition::{Comparison, Condition, ConditionTemplate, Operator};
use crate::rights::context::ConditionKey;
use crate::rights::pattern::Template;
use crate::rights::resource::ResourcePattern;

/// The words for the resources of a statement about DynamoDB, all of other services.
pub(super) const FOREIGN_RESOURCES: &str =
    "all resources are of other services, so the actions of DynamoDB have no effect";

/// Why an element of `Action` has no effect that was meant to have one.
pub(super) fn action(written: &str) -> Option<String> {
    let (service, _) = written.split_once(':')?;
    if !service.eq_ignore_ascii_case("dynamodb") {
        let is_near = nearest::nearest(&service.to_ascii_lowercase(), ["dynamodb"].into_iter()).is_some();
        let is_pattern = service.contains(['*', '?']);
        return (is_near && !is_pattern).then(|| {
            format!("{written:?} is an action of another service and has no effect; dynamodb: is near")
        });
    }
    let mut actions = Actions::default();
    actions.add(written).ok()?;
    actions.has_no_known().then(|| {
        format!("{written} is no action and has no effect: its parts are, such as GetItem, PutItem or PartiQLSelect")
    })
}

/// Why an element of `Resource` names nothing.
pub(super) fn resource(pattern: &ResourcePattern, written: &str) -> Option<String> {
    let reason = pattern.idle_reason()?;
    Some(format!("{written:?} names nothing: {reason}"))
}

/// Why a value of a condition matches no value of its key. `all` are the values beside it.
pub(super) fn value(
    operator: Operator,
    key: ConditionKey,
    value: &Template,
    all: &[Template],
) -> Option<String> {
    if value.has_user_name() {
        return None;
    }
    let text = value.text("");
    if let Some(known) = known_values(operator, key) {
        let template = ConditionTemplate { operator, key, values: vec![value.clone()] };
        let condition = Condition::of(&template, "");
        return (!known.iter().any(|known| condition.wants(known)))
            .then(|| nearest::unknown("value", &text, known));
    }
    let Operator::Compare { comparison, .. } = operator else { return None };
    match comparison {
        Comparison::Equals | Comparison::EqualsIgnoreCase if value.has_wildcards() => {
            return Some(format!("{text:?} has wildcards, and this operator has none; StringLike has"));
        }
        Comparison::Equals | Comparison::EqualsIgnoreCase | Comparison::Like | Comparison::Bool => {}
    }
    match key.is_of_partition() {
        true => number(&text, &all.iter().map(|other| other.text("")).collect::<Vec<_>>()),
        false => None,
    }
}

/// Why a text is not the value of a partition key that is a number, if it looks like one: numbers are compared in their normal form.
pub(in crate::rights) fn number(text: &str, all: &[String]) -> Option<String> {
    let normal = Number::parse(text).ok()?.to_string();
    (normal != text && !all.contains(&normal)).then(|| {
        format!("{text:?} is never the value of a number key: DynamoDB writes that number {normal:?}")
    })
}

/// All values that requests may have, where they are few.
fn known_values(operator: Operator, key: ConditionKey) -> Option<&'static [&'static str]> {
    const BOOL: &[&str] = &["true", "false"];
    if matches!(operator, Operator::Null | Operator::Compare { comparison: Comparison::Bool, .. }) {
        return Some(BOOL);
    }
    match key {
        ConditionKey::Select => {
            Some(&["ALL_ATTRIBUTES", "ALL_PROJECTED_ATTRIBUTES", "SPECIFIC_ATTRIBUTES", "COUNT"])
        }
        ConditionKey::ReturnValues => Some(&["NONE", "ALL_OLD", "UPDATED_OLD", "ALL_NEW", "UPDATED_NEW"]),
        ConditionKey::ReturnConsumedCapacity => Some(&["NONE", "TOTAL", "INDEXES"]),
        ConditionKey::EnclosingOperation => {
            Some(&["TransactGetItems", "TransactWriteItems", "ExecuteTransaction"])
        }
        ConditionKey::FullTableScan => Some(BOOL),
        ConditionKey::LeadingKeys
        | ConditionKey::SecondPartitionKeyValues
        | ConditionKey::ThirdPartitionKeyValues
        | ConditionKey::FourthPartitionKeyValues
        | ConditionKey::Attributes
        | ConditionKey::UserName => None,
    }
}
