//! The expressions of a request: which parameters may stand together, and the names and values that they share.
//!
//! Parsing is [`crate::model::expr`]'s; here is only what the operations have in common before it.

use crate::model::expr::{self, Bindings, Names, Values};
use crate::model::{ApiError, AttributeValue, ErrorCode};
use crate::wire::Json;
use crate::wire::attribute::{Reader, read_expression_value, too_deep};

/// The members that bring names and values for expressions.
const PLACEHOLDERS: [&str; 2] = ["ExpressionAttributeNames", "ExpressionAttributeValues"];

/// True if a body has any of these members, or names or values for expressions.
pub fn brings_any_of(body: &Json<'_>, members: &[&str]) -> bool {
    let is_one = |name: &str| members.contains(&name) || PLACEHOLDERS.contains(&name);
    body.members().unwrap_or_default().iter().any(|(name, _)| is_one(name))
}

/// The names and values that a request brings for its expressions.
#[derive(Debug)]
pub struct Placeholders<'b> {
    names: Option<Names<'b>>,
    values: Option<Values<'b>>,
}

impl<'b> Placeholders<'b> {
    /// Reads `ExpressionAttributeNames` and `ExpressionAttributeValues` of `body`.
    ///
    /// # Errors
    /// The service's own for empty maps, keys that are no placeholders, and values that are none.
    pub fn parse(body: &'b Json<'_>, reader: Reader) -> Result<Self, ApiError> {
        let names = body.get("ExpressionAttributeNames").and_then(Json::members).map(|members| {
            members
                .iter()
                .filter_map(|(placeholder, name)| Some((placeholder.as_ref(), name.text()?)))
                .collect()
        });
        let mut invalid = None;
        let values = body.get("ExpressionAttributeValues").and_then(Json::members).map(|members| {
            let values = members.iter().map(|(placeholder, json)| {
                let value = read_expression_value(json, reader).unwrap_or_else(|error| {
                    invalid.get_or_insert_with(|| match reader {
                        Reader::Older if error.code == ErrorCode::Validation => {
                            invalid_value(placeholder, &error)
                        }
                        Reader::Older | Reader::Newer => error,
                    });
                    AttributeValue::Null
                });
                (placeholder.as_ref(), value)
            });
            values.collect()
        });
        // The service looks at all placeholders before it looks at a value.
        expr::check_placeholders(names.as_ref(), values.as_ref())?;
        if let Some(error) = invalid {
            return Err(error);
        }
        Ok(Self { names, values })
    }

    /// The same for the expression parsers.
    pub fn bindings(&self) -> Bindings<'_> {
        Bindings::new(self.names.as_ref(), self.values.as_ref())
    }
}

fn invalid_value(placeholder: &str, error: &ApiError) -> ApiError {
    ApiError::validation(format!(
        "ExpressionAttributeValues contains invalid value: {} for key {placeholder}",
        error.message.as_deref().unwrap_or_default()
    ))
}

/// Refuses a request that mixes expressions with their legacy twins, or that brings names or values without an expression
/// to use them. `expressions` and `legacy` are the operation's members of either kind, in the service's order.
pub fn refuse_mixture(body: &Json<'_>, expressions: &[&str], legacy: &[&str]) -> Result<(), ApiError> {
    if !brings_any_of(body, expressions) && !brings_any_of(body, legacy) {
        return Ok(());
    }
    let present = |members: &[&str]| -> Vec<String> {
        members
            .iter()
            .filter(|member| body.get(member).is_some())
            .map(|member| (*member).to_owned())
            .collect()
    };
    let (used, outdated) = (present(expressions), present(legacy));
    if !used.is_empty() && !outdated.is_empty() {
        return Err(ApiError::validation(format!(
            "Can not use both expression and non-expression parameters in the same request: \
             Non-expression parameters: {{{}}} Expression parameters: {{{}}}",
            outdated.join(", "),
            used.join(", ")
        )));
    }
    refuse_idle_names(body, expressions)?;
    refuse_idle_values(body, expressions)
}

/// Refuses names without an expression to use them. An action of a transaction may well bring idle values.
///
/// # Errors
/// The service's own.
pub fn refuse_idle_names(body: &Json<'_>, expressions: &[&str]) -> Result<(), ApiError> {
    let is_used = expressions.iter().any(|member| body.get(member).is_some());
    if !is_used && body.get("ExpressionAttributeNames").is_some() {
        return Err(ApiError::validation(
            "ExpressionAttributeNames can only be specified when using expressions",
        ));
    }
    Ok(())
}

/// The fault of the first expression value that is nested too deeply, if there is one. In an action of a transaction the
/// service finds it before any other fault.
pub fn too_deep_value(body: &Json<'_>, reader: Reader) -> Option<ApiError> {
    let values = body.get("ExpressionAttributeValues").and_then(Json::members)?;
    values.iter().find_map(|(placeholder, value)| {
        let error = read_expression_value(value, reader).err()?;
        (error.message == too_deep().message).then(|| invalid_value(placeholder, &error))
    })
}

/// The same for PutItem, UpdateItem and DeleteItem, whose front has fewer words for values without an expression.
///
/// # Errors
/// As [`refuse_mixture`].
pub fn refuse_mixture_in_write(
    body: &Json<'_>,
    expressions: &[&str],
    legacy: &[&str],
) -> Result<(), ApiError> {
    let has = |member: &str| body.get(member).is_some();
    let idle = !has("ExpressionAttributeNames") && !expressions.iter().any(|member| has(member));
    if idle && has("ExpressionAttributeValues") {
        return Err(ApiError::validation(
            "ExpressionAttributeValues can only be specified when using expressions",
        ));
    }
    refuse_mixture(body, expressions, legacy)
}

/// Values are of no use to a projection.
fn refuse_idle_values(body: &Json<'_>, expressions: &[&str]) -> Result<(), ApiError> {
    let users: Vec<&str> =
        expressions.iter().copied().filter(|member| *member != "ProjectionExpression").collect();
    let idle = !users.is_empty() && users.iter().all(|member| body.get(member).is_none());
    if !idle || body.get("ExpressionAttributeValues").is_none() {
        return Ok(());
    }
    let verb = if users.len() > 1 { "are" } else { "is" };
    Err(ApiError::validation(format!(
        "ExpressionAttributeValues can only be specified when using expressions: {} {verb} null",
        users.join(" and ")
    )))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(body: &str) -> String {
        let body = Json::parse(body.as_bytes()).unwrap();
        let expressions = ["UpdateExpression", "ConditionExpression"];
        let refused = refuse_mixture(&body, &expressions, &["AttributeUpdates", "Expected"]);
        refused.err().and_then(|error| error.message).unwrap_or_default().into_owned()
    }

    #[test]
    fn expressions_and_legacy_parameters_do_not_mix() {
        assert_eq!(
            refused(r#"{"UpdateExpression":"","Expected":{},"AttributeUpdates":{}}"#),
            "Can not use both expression and non-expression parameters in the same request: \
             Non-expression parameters: {AttributeUpdates, Expected} Expression parameters: {UpdateExpression}"
        );
    }

    #[test]
    fn a_value_of_a_wrong_json_type_is_told_without_its_placeholder() {
        for (value, code) in [(r#"{"SS":[null]}"#, ErrorCode::Serialization), ("{}", ErrorCode::Validation)] {
            let text = format!(r#"{{"ExpressionAttributeValues":{{":v":{value}}}}}"#);
            let body = Json::parse(text.as_bytes()).unwrap();
            assert_eq!(Placeholders::parse(&body, Reader::Older).unwrap_err().code, code, "{value}");
        }
    }

    #[test]
    fn names_and_values_need_an_expression() {
        assert_eq!(
            refused(r##"{"ExpressionAttributeNames":{"#a":"a"},"Expected":{}}"##),
            "ExpressionAttributeNames can only be specified when using expressions"
        );
        assert_eq!(
            refused(r#"{"ExpressionAttributeValues":{}}"#),
            "ExpressionAttributeValues can only be specified when using expressions: \
             UpdateExpression and ConditionExpression are null"
        );
        assert_eq!(refused(r#"{"ConditionExpression":"a","ExpressionAttributeValues":{}}"#), "");
    }
}
