//! The legacy parameters of a request, from JSON to the trees of expressions.
//!
//! Each function reads one member and answers `None` when the request does not have it, or has an empty one that asks for
//! nothing. Shapes have been checked before; what only they could refuse is passed over here.

use crate::model::expr::legacy::{
    self, Comparison, ComparisonOperator, ConditionalOperator, Expectation, UpdateAction,
};
use crate::model::expr::{Condition, KeyCondition, Paths, Update};
use crate::model::{ApiError, AttributeValue};
use crate::wire::Json;
use crate::wire::attribute::{Reader, check_name, read_deeper_value, read_value};

/// Reads `AttributesToGet`.
///
/// # Errors
/// A validation error for a name that is empty or too long, or an attribute named twice.
pub fn attributes_to_get(body: &Json<'_>) -> Result<Option<Paths>, ApiError> {
    check_attributes_to_get(body)?;
    let Some(names) = body.get("AttributesToGet").and_then(Json::elements) else { return Ok(None) };
    let names: Vec<&str> = names.iter().filter_map(Json::text).collect();
    legacy::attributes_to_get(&names).map(Some)
}

/// Refuses a name in `AttributesToGet` that none could have. Query and Scan look for one before anything else.
///
/// # Errors
/// A validation error for a name that is empty or too long.
pub fn check_attributes_to_get(body: &Json<'_>) -> Result<(), ApiError> {
    let names = body.get("AttributesToGet").and_then(Json::elements).unwrap_or_default();
    names.iter().filter_map(Json::text).try_for_each(check_name)
}

/// Reads `Expected` and `ConditionalOperator`.
///
/// # Errors
/// A validation error in the service's words.
pub fn expected(body: &Json<'_>, reader: Reader) -> Result<Option<Condition>, ApiError> {
    let members = body.get("Expected").and_then(Json::members).unwrap_or_default();
    let operator = conditional_operator(body, members.len())?;
    let mut expectations = Vec::with_capacity(members.len());
    for (name, member) in members {
        check_name(name)?;
        expectations.push((name.to_string(), expectation(member, reader)?));
    }
    legacy::expected(expectations, operator)
}

/// Reads `AttributeUpdates`.
///
/// # Errors
/// A validation error in the service's words.
pub fn attribute_updates(body: &Json<'_>, reader: Reader) -> Result<Option<Update>, ApiError> {
    let Some(members) = body.get("AttributeUpdates").and_then(Json::members) else { return Ok(None) };
    // Every action is looked at before anything else of any member: one that is not written exactly is told first.
    let actions =
        members.iter().map(|(_, member)| update_action(member)).collect::<Result<Vec<_>, ApiError>>()?;
    let mut updates = Vec::with_capacity(members.len());
    for ((name, member), action) in members.iter().zip(actions) {
        check_name(name)?;
        let value = member.get("Value").map(|value| read_value(value, reader)).transpose()?;
        updates.push((name.to_string(), action, value));
    }
    legacy::attribute_updates(updates).map(Some)
}

/// The action of one member of `AttributeUpdates`. The stray apostrophe is the service's.
fn update_action(member: &Json<'_>) -> Result<UpdateAction, ApiError> {
    let Some(action) = member.get("Action").and_then(Json::text) else { return Ok(UpdateAction::Put) };
    UpdateAction::from_name(action).ok_or_else(|| {
        ApiError::validation("Member must satisfy enum value set: [ADD, DELETE, PUT]' for Action")
    })
}

/// Reads `KeyConditions`.
///
/// # Errors
/// A validation error in the service's words.
pub fn key_conditions(body: &Json<'_>, reader: Reader) -> Result<Option<KeyCondition>, ApiError> {
    let Some(members) = body.get("KeyConditions").and_then(Json::members) else { return Ok(None) };
    legacy::key_conditions(comparisons(members, |value| read_value(value, reader))?).map(Some)
}

/// Reads `QueryFilter` and `ConditionalOperator`.
///
/// # Errors
/// A validation error in the service's words.
pub fn query_filter(body: &Json<'_>, reader: Reader) -> Result<Option<Condition>, ApiError> {
    filter(body, "QueryFilter", |value| read_value(value, reader))
}

/// Reads `ScanFilter` and `ConditionalOperator`.
///
/// # Errors
/// A validation error in the service's words.
pub fn scan_filter(body: &Json<'_>, reader: Reader) -> Result<Option<Condition>, ApiError> {
    filter(body, "ScanFilter", |value| read_deeper_value(value, reader))
}

fn filter(body: &Json<'_>, member: &str, read: impl ReadValue) -> Result<Option<Condition>, ApiError> {
    let members = body.get(member).and_then(Json::members).unwrap_or_default();
    let operator = conditional_operator(body, members.len())?;
    Ok(legacy::filter(comparisons(members, read)?, operator))
}

/// Rejects a `ConditionalOperator` of a Query that is none, if there is something to join. DynamoDB reports it before an
/// unknown `Select` (recorded 2026-10).
///
/// # Errors
/// A validation error in the service's words.
pub fn check_query_operator(body: &Json<'_>) -> Result<(), ApiError> {
    let conditions = body.get("QueryFilter").and_then(Json::members).map_or(0, <[_]>::len);
    if conditions < 2 {
        return Ok(());
    }
    conditional_operator(body, conditions).map(|_| ())
}

fn conditional_operator(body: &Json<'_>, conditions: usize) -> Result<Option<ConditionalOperator>, ApiError> {
    let operator = body.get("ConditionalOperator").and_then(Json::text);
    operator.map(|name| ConditionalOperator::read(name, conditions)).transpose()
}

/// The members of an object, in their order.
type Members<'a> = [(std::borrow::Cow<'a, str>, Json<'a>)];

/// How one attribute value is read.
trait ReadValue: Fn(&Json<'_>) -> Result<AttributeValue, ApiError> {}

impl<F: Fn(&Json<'_>) -> Result<AttributeValue, ApiError>> ReadValue for F {}

fn comparisons(members: &Members<'_>, read: impl ReadValue) -> Result<Vec<(String, Comparison)>, ApiError> {
    let mut comparisons = Vec::with_capacity(members.len());
    for (name, member) in members {
        // An attribute without a name is one that no item has.
        let values = values(member, &read)?.unwrap_or_default();
        let operator = comparison_operator(member)?.ok_or_else(invalid_operator)?;
        comparisons.push((name.to_string(), Comparison::new(operator, values)?));
    }
    Ok(comparisons)
}

fn expectation(member: &Json<'_>, reader: Reader) -> Result<Expectation, ApiError> {
    let read = |value: &Json<'_>| read_value(value, reader);
    let value = member.get("Value").map(read).transpose()?;
    let values = values(member, &read)?;
    let exists = member.get("Exists").and_then(Json::boolean);
    Ok(Expectation { exists, value, values, operator: comparison_operator(member)? })
}

/// The operator of a member, if it names one.
fn comparison_operator(member: &Json<'_>) -> Result<Option<ComparisonOperator>, ApiError> {
    let name = member.get("ComparisonOperator").and_then(Json::text);
    name.map(|name| ComparisonOperator::from_name(name).ok_or_else(invalid_operator)).transpose()
}

fn invalid_operator() -> ApiError {
    ApiError::validation("One or more parameter values were invalid: Invalid comparison operator")
}

fn values(member: &Json<'_>, read: &impl ReadValue) -> Result<Option<Vec<AttributeValue>>, ApiError> {
    let Some(values) = member.get("AttributeValueList").and_then(Json::elements) else { return Ok(None) };
    values.iter().map(read).collect::<Result<_, _>>().map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Item;
    use crate::wire::attribute::item_from_json;

    fn body(text: &str) -> Json<'_> {
        Json::parse(text.as_bytes()).unwrap()
    }

    fn item(text: &str) -> Item {
        item_from_json(&body(text)).unwrap()
    }

    fn words<T>(result: Result<T, ApiError>) -> String {
        result.err().and_then(|error| error.message).unwrap_or_default().into_owned()
    }

    const INVALID: &str = "One or more parameter values were invalid: ";

    #[test]
    fn a_request_without_the_members_asks_for_nothing() {
        let body = body("{}");
        assert!(attributes_to_get(&body).unwrap().is_none());
        assert!(expected(&body, Reader::Newer).unwrap().is_none());
        assert!(attribute_updates(&body, Reader::Newer).unwrap().is_none());
        assert!(key_conditions(&body, Reader::Newer).unwrap().is_none());
        assert!(query_filter(&body, Reader::Newer).unwrap().is_none());
        assert!(scan_filter(&body, Reader::Newer).unwrap().is_none());
    }

    #[test]
    fn attributes_to_get_are_whole_attributes_named_once() {
        let paths = attributes_to_get(&body(r#"{"AttributesToGet":["a","b.c"]}"#)).unwrap().unwrap();
        let projected = paths.project(&item(r#"{"a":{"N":"1"},"b":{"M":{"c":{"N":"2"}}},"b.c":{"N":"3"}}"#));
        assert_eq!(projected, item(r#"{"a":{"N":"1"},"b.c":{"N":"3"}}"#));
        assert_eq!(
            words(attributes_to_get(&body(r#"{"AttributesToGet":["a","b","b","a"]}"#))),
            format!("{INVALID}Duplicate value in attribute name: b")
        );
    }

    #[test]
    fn expectations_are_checked_as_the_service_checks_them() {
        for (member, expected_words) in [
            (r#"{}"#, "Value must be provided when Exists is null for Attribute: a"),
            (r#"{"Exists":true}"#, "Value must be provided when Exists is true for Attribute: a"),
            (
                r#"{"Exists":false,"Value":{"S":"x"}}"#,
                "Value cannot be used when Exists is false for Attribute: a",
            ),
            (
                r#"{"Value":{"S":"x"},"AttributeValueList":[{"S":"x"}]}"#,
                "Value and AttributeValueList cannot be used together for Attribute: a",
            ),
            (
                r#"{"AttributeValueList":[{"S":"x"}]}"#,
                "AttributeValueList can only be used with a ComparisonOperator for Attribute: a",
            ),
            (
                r#"{"ComparisonOperator":"EQ"}"#,
                "Value or AttributeValueList must be used with ComparisonOperator: EQ for Attribute: a",
            ),
            (
                r#"{"Exists":true,"ComparisonOperator":"EQ","Value":{"S":"x"}}"#,
                "Exists and ComparisonOperator cannot be used together for Attribute: a",
            ),
            (r#"{"ComparisonOperator":"eq","AttributeValueList":[]}"#, "Invalid comparison operator"),
            (
                r#"{"ComparisonOperator":"NULL","Value":{"S":"x"}}"#,
                "Invalid number of argument(s) for the NULL ComparisonOperator",
            ),
            (
                r#"{"ComparisonOperator":"LT","Value":{"L":[]}}"#,
                "ComparisonOperator LT is not valid for L AttributeValue type",
            ),
        ] {
            let text = format!(r#"{{"Expected":{{"a":{member}}}}}"#);
            assert_eq!(
                words(expected(&body(&text), Reader::Newer)),
                format!("{INVALID}{expected_words}"),
                "{member}"
            );
        }
    }

    #[test]
    fn expectations_hold_as_their_expressions_would() {
        let here = item(r#"{"a":{"S":"x"},"n":{"N":"5"}}"#);
        for (member, with_item, without_item) in [
            (r#"{"a":{"Exists":false}}"#, false, true),
            (r#"{"a":{"Value":{"S":"x"}}}"#, true, false),
            (r#"{"a":{"Exists":true,"Value":{"S":"y"}}}"#, false, false),
            (r#"{"z":{"ComparisonOperator":"NULL"},"n":{"ComparisonOperator":"NOT_NULL"}}"#, true, false),
            (
                r#"{"n":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"N":"1"},{"N":"5"}]}}"#,
                true,
                false,
            ),
            (r#"{"n":{"ComparisonOperator":"NE","Value":{"N":"5.0"}}}"#, false, true),
        ] {
            let text = format!(r#"{{"Expected":{member}}}"#);
            let condition = expected(&body(&text), Reader::Newer).unwrap().unwrap();
            assert_eq!(condition.holds(Some(&here)), with_item, "{member} with the item");
            assert_eq!(condition.holds(None), without_item, "{member} without it");
        }
    }

    #[test]
    fn filters_check_numbers_and_types_of_values() {
        for (member, expected_words) in [
            (r#"{"ComparisonOperator":"EQ"}"#, "Invalid number of argument(s) for the EQ ComparisonOperator"),
            (
                r#"{"ComparisonOperator":"NOT_NULL","AttributeValueList":[{"S":"a"}]}"#,
                "Invalid number of argument(s) for the NOT_NULL ComparisonOperator",
            ),
            (
                r#"{"ComparisonOperator":"IN","AttributeValueList":[]}"#,
                "Invalid number of argument(s) for the IN ComparisonOperator",
            ),
            (
                r#"{"ComparisonOperator":"IN","AttributeValueList":[{"S":"a"},{"N":"1"}]}"#,
                "AttributeValues inside AttributeValueList must be of same type",
            ),
            (
                r#"{"ComparisonOperator":"IN","AttributeValueList":[{"S":"a"},{"BOOL":true}]}"#,
                "ComparisonOperator IN is not valid for BOOL AttributeValue type",
            ),
            (
                r#"{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"S":"a"},{"BOOL":true}]}"#,
                "AttributeValues inside AttributeValueList must be of same type",
            ),
            (
                r#"{"ComparisonOperator":"CONTAINS","AttributeValueList":[{"M":{}}]}"#,
                "ComparisonOperator CONTAINS is not valid for M AttributeValue type",
            ),
            (
                r#"{"ComparisonOperator":"BEGINS_WITH","AttributeValueList":[{"N":"1"}]}"#,
                "ComparisonOperator BEGINS_WITH is not valid for N AttributeValue type",
            ),
        ] {
            for (parameter, read) in
                [("QueryFilter", query_filter as fn(&Json<'_>, Reader) -> _), ("ScanFilter", scan_filter)]
            {
                let text = format!(r#"{{"{parameter}":{{"a":{member}}}}}"#);
                assert_eq!(
                    words(read(&body(&text), Reader::Newer)),
                    format!("{INVALID}{expected_words}"),
                    "{member}"
                );
            }
            let text = format!(r#"{{"KeyConditions":{{"a":{member}}}}}"#);
            assert_eq!(
                words(key_conditions(&body(&text), Reader::Newer)),
                format!("{INVALID}{expected_words}"),
                "{member}"
            );
        }
        let reversed = r#"{"ScanFilter":{"a":{"ComparisonOperator":"BETWEEN","AttributeValueList":[{"N":"2"},{"N":"1"}]}}}"#;
        assert_eq!(
            words(scan_filter(&body(reversed), Reader::Newer)),
            "The BETWEEN condition was provided a range where the lower bound is greater than the upper bound"
        );
    }

    #[test]
    fn a_filter_may_ask_for_the_attribute_without_a_name_that_no_item_has() {
        let text = r#"{"ScanFilter":{"":{"ComparisonOperator":"NULL"}}}"#;
        let condition = scan_filter(&body(text), Reader::Newer).unwrap().unwrap();
        assert!(condition.holds(Some(&item(r#"{"a":{"S":"x"}}"#))));
        let text = r#"{"Expected":{"":{"Exists":false}}}"#;
        assert_eq!(words(expected(&body(text), Reader::Newer)), "Empty attribute name");
    }

    #[test]
    fn not_contains_needs_the_attribute_and_ne_does_not() {
        let holds = |operator: &str, value: &str, item: &Item| {
            let text = format!(
                r#"{{"ScanFilter":{{"a":{{"ComparisonOperator":"{operator}","AttributeValueList":[{value}]}}}}}}"#
            );
            scan_filter(&body(&text), Reader::Newer).unwrap().unwrap().holds(Some(item))
        };
        let (here, gone) = (item(r#"{"a":{"S":"hello"}}"#), item("{}"));
        assert!(holds("NOT_CONTAINS", r#"{"S":"x"}"#, &here) && holds("NOT_CONTAINS", r#"{"N":"1"}"#, &here));
        assert!(
            !holds("NOT_CONTAINS", r#"{"S":"ell"}"#, &here) && !holds("NOT_CONTAINS", r#"{"S":"x"}"#, &gone)
        );
        assert!(holds("NE", r#"{"S":"x"}"#, &gone) && holds("NE", r#"{"N":"1"}"#, &here));
    }

    #[test]
    fn a_conditional_operator_needs_conditions_to_put_together() {
        let two = r#""a":{"ComparisonOperator":"NULL"},"b":{"ComparisonOperator":"NOT_NULL"}"#;
        let text = format!(r#"{{"ConditionalOperator":"OR","ScanFilter":{{{two}}}}}"#);
        let either = scan_filter(&body(&text), Reader::Newer).unwrap().unwrap();
        assert!(either.holds(None) && !either.holds(Some(&item(r#"{"a":{"S":""}}"#))));
        for (filter, expected_words) in [
            ("{}", "ConditionalOperator cannot be used without Filter or Expected"),
            (
                r#"{"a":{"ComparisonOperator":"NULL"}}"#,
                "ConditionalOperator can only be used when Filter or Expected has two or more elements",
            ),
        ] {
            let text = format!(r#"{{"ConditionalOperator":"AND","ScanFilter":{filter}}}"#);
            assert_eq!(words(scan_filter(&body(&text), Reader::Newer)), expected_words);
        }
        assert_eq!(
            words(expected(&body(r#"{"ConditionalOperator":"AND"}"#), Reader::Newer)),
            "ConditionalOperator cannot be used without Filter or Expected"
        );
    }

    #[test]
    fn attribute_updates_are_checked_as_the_service_checks_them() {
        for (member, expected_words) in [
            ("{}", "Only DELETE action is allowed when no attribute value is specified"),
            (r#"{"Action":"ADD"}"#, "Only DELETE action is allowed when no attribute value is specified"),
            (
                r#"{"Action":"DELETE","Value":{"S":"a"}}"#,
                "DELETE action with value is not supported for the type S",
            ),
            (r#"{"Action":"ADD","Value":{"B":"YQ=="}}"#, "ADD action is not supported for the type B"),
        ] {
            let text = format!(r#"{{"AttributeUpdates":{{"a":{member}}}}}"#);
            assert_eq!(
                words(attribute_updates(&body(&text), Reader::Newer)),
                format!("{INVALID}{expected_words}"),
                "{member}"
            );
        }
    }

    #[test]
    fn an_action_that_is_not_written_exactly_is_refused_before_anything_else() {
        for action in ["put", "Delete", "BOGUS"] {
            let text = format!(
                r#"{{"AttributeUpdates":{{"b":{{"Action":"PUT"}},"a":{{"Action":"{action}","Value":{{"N":"1"}}}}}}}}"#
            );
            assert_eq!(
                words(attribute_updates(&body(&text), Reader::Newer)),
                "Member must satisfy enum value set: [ADD, DELETE, PUT]' for Action",
                "{action}"
            );
        }
    }

    #[test]
    fn attribute_updates_change_whole_attributes() {
        let mut changed = item(r#"{"n":{"N":"1"},"s":{"SS":["a","b"]},"l":{"L":[]},"x":{"S":"x"}}"#);
        let text = r#"{"AttributeUpdates":{
            "n":{"Action":"ADD","Value":{"N":"2"}},"s":{"Action":"DELETE","Value":{"SS":["a","b"]}},
            "l":{"Action":"ADD","Value":{"L":[{"S":"q"}]}},"x":{"Action":"DELETE"},"a.b":{"Value":{"S":"new"}},
            "c":{"Action":"ADD","Value":{"NS":["1"]}}}}"#;
        let update = attribute_updates(&body(text), Reader::Newer).unwrap().unwrap();
        update.apply(&mut changed).unwrap();
        assert_eq!(
            changed,
            item(r#"{"n":{"N":"3"},"l":{"L":[{"S":"q"}]},"a.b":{"S":"new"},"c":{"NS":["1"]}}"#)
        );
        let text = r#"{"AttributeUpdates":{"n":{"Action":"ADD","Value":{"SS":["2"]}}}}"#;
        let update = attribute_updates(&body(text), Reader::Newer).unwrap().unwrap();
        assert_eq!(words(update.apply(&mut changed)), "Type mismatch for attribute to update");
    }

    #[test]
    fn key_conditions_are_at_least_one() {
        assert_eq!(
            words(key_conditions(&body(r#"{"KeyConditions":{}}"#), Reader::Newer)),
            "Conditions can be of length 1 or 2 only"
        );
    }
}
