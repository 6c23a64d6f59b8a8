//! The independent judge: a policy as JSON, evaluated naively for an action on a resource with given values of the keys.
//!
//! It shares no code with the product: whole ARNs are matched character by character, and nothing is compiled.

use std::collections::BTreeMap;

use serde_json::Value;

/// What IAM is asked: an action on a resource, with the values of the condition keys that the request has.
#[derive(Clone, Debug)]
pub(super) struct Ask {
    pub(super) action: &'static str,
    pub(super) resource: String,
    pub(super) context: BTreeMap<&'static str, Vec<String>>,
}

/// Whether documents allow all that is asked.
pub(super) fn allows(documents: &[Value], user_name: &str, asks: &[Ask]) -> bool {
    asks.iter().all(|ask| {
        let statements: Vec<&Value> =
            documents.iter().flat_map(|document| listed(&document["Statement"])).collect();
        let applying: Vec<&&Value> =
            statements.iter().filter(|statement| applies(statement, user_name, ask)).collect();
        let has = |effect: &str| applying.iter().any(|statement| statement["Effect"] == effect);
        has("Allow") && !has("Deny")
    })
}

fn listed(value: &Value) -> Vec<&Value> {
    match value {
        Value::Array(elements) => elements.iter().collect(),
        Value::Null => Vec::new(),
        one => vec![one],
    }
}

fn applies(statement: &Value, user_name: &str, ask: &Ask) -> bool {
    let action = format!("dynamodb:{}", ask.action).to_lowercase();
    let names_action =
        |list: &Value| listed(list).iter().any(|one| glob(&one.as_str().unwrap().to_lowercase(), &action));
    let names_resource = |list: &Value| {
        listed(list).iter().any(|one| glob(&resolved(one.as_str().unwrap(), user_name), &ask.resource))
    };
    let about_action = match statement.get("Action") {
        Some(list) => names_action(list),
        None => !names_action(&statement["NotAction"]),
    };
    let about_resource = match statement.get("Resource") {
        Some(list) => names_resource(list),
        None => !names_resource(&statement["NotResource"]),
    };
    let conditions = statement.get("Condition").and_then(Value::as_object);
    let hold = conditions.into_iter().flatten().all(|(operator, keys)| {
        keys.as_object().unwrap().iter().all(|(key, wanted)| {
            let wanted: Vec<String> =
                listed(wanted).iter().map(|one| resolved(&text(one), user_name)).collect();
            holds(operator, ask.context.get(key.as_str()).map_or(&[], Vec::as_slice), &wanted)
        })
    });
    about_action && about_resource && hold
}

fn text(value: &Value) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}

fn resolved(text: &str, user_name: &str) -> String {
    text.replace("${aws:username}", user_name)
}

fn holds(operator: &str, values: &[String], wanted: &[String]) -> bool {
    if operator == "Null" {
        return wanted[0] == values.is_empty().to_string();
    }
    let (set, rest) = operator.split_once(':').unwrap_or(("", operator));
    let rest_if_exists = rest.strip_suffix("IfExists");
    let rest = rest_if_exists.unwrap_or(rest);
    let one = |value: &String| match rest {
        "StringEquals" | "Bool" => wanted.contains(value),
        "StringNotEquals" => !wanted.contains(value),
        "StringEqualsIgnoreCase" => wanted.iter().any(|wanted| wanted.eq_ignore_ascii_case(value)),
        "StringLike" => wanted.iter().any(|wanted| glob(wanted, value)),
        "StringNotLike" => !wanted.iter().any(|wanted| glob(wanted, value)),
        other => panic!("{other}"),
    };
    match set {
        "ForAllValues" => values.iter().all(one),
        _ if values.is_empty() && rest_if_exists.is_some() => true,
        "ForAnyValue" => values.iter().any(one),
        _ if values.is_empty() => rest.contains("Not"),
        _ => one(&values[0]),
    }
}

/// `*` is any characters and `?` is one.
fn glob(pattern: &str, text: &str) -> bool {
    fn matches(pattern: &[char], text: &[char]) -> bool {
        match pattern.split_first() {
            None => text.is_empty(),
            Some(('*', rest)) => (0..=text.len()).any(|skipped| matches(rest, &text[skipped..])),
            Some(('?', rest)) => !text.is_empty() && matches(rest, &text[1..]),
            Some((one, rest)) => text.first() == Some(one) && matches(rest, &text[1..]),
        }
    }
    matches(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>())
}
