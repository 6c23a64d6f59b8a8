//! Which key conditions are understood, and the intervals that they name.

use super::*;
use crate::model::expr::tests::values::*;
use crate::model::key_attribute::ScalarType;

fn schema(partition: &[&str], sort: &[&str]) -> KeySchema {
    let attributes = |names: &[&str]| {
        let attribute = |name: &&str| KeyAttribute { name: (*name).to_owned(), scalar_type: ScalarType::S };
        names.iter().map(attribute).collect()
    };
    KeySchema { partition: attributes(partition), sort: attributes(sort) }
}

fn parse(text: &str) -> Result<KeyCondition, ApiError> {
    with_bindings(|bindings| KeyCondition::parse(text, bindings)?.check())
}

fn resolve(text: &str, schema: &KeySchema) -> Result<KeyInterval, ApiError> {
    parse(text)?.resolve(schema)
}

fn key(text: &str) -> KeyValue {
    KeyValue::S(text.to_owned())
}

#[test]
fn a_condition_reads_a_stretch_of_one_partition() {
    let schema = schema(&["p"], &["r"]);
    for (text, sort) in [
        ("p = :s", SortInterval::All),
        (":s = p AND (r = :h)", SortInterval::Equal(key("he"))),
        ("r < :h and p = :s", SortInterval::Less(key("he"))),
        ("p = :s and :h < r", SortInterval::Greater(key("he"))),
        ("p = :s and :h >= r", SortInterval::LessOrEqual(key("he"))),
        ("p = :s and r >= :h", SortInterval::GreaterOrEqual(key("he"))),
        ("p = :s and r between :h and :s", SortInterval::Between(key("he"), key("x"))),
        ("p = :s and begins_with(r, :h)", SortInterval::BeginsWith(key("he"))),
    ] {
        let interval = KeyInterval { partition: vec![key("x")], sort_equal: Vec::new(), sort };
        assert_eq!(resolve(text, &schema), Ok(interval), "{text}");
    }
    assert_eq!(parse("p = :s and r = :h"), parse(":h = r AND (p = :s)"));
}

#[test]
fn what_no_key_could_answer_is_refused_when_checked() {
    for (text, expected) in [
        ("p = :s or r = :s", "Invalid operator used in KeyConditionExpression: OR"),
        ("not p = :s", "Invalid operator used in KeyConditionExpression: NOT"),
        ("p in (:s)", "Invalid operator used in KeyConditionExpression: IN"),
        ("p <> :s", "Invalid operator used in KeyConditionExpression: <>"),
        ("p = :s and contains(r, :s)", "Invalid operator used in KeyConditionExpression: contains"),
        ("attribute_exists(p)", "Invalid operator used in KeyConditionExpression: attribute_exists"),
        (
            ":s between q and r",
            "Invalid condition in KeyConditionExpression: BETWEEN operator must have the key attribute as its first operand",
        ),
        (
            "begins_with(:s, p)",
            "Invalid condition in KeyConditionExpression: begins_with operator must have the key attribute as its first operand",
        ),
        (
            "p = r",
            "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
        ),
        (
            "p > q.r",
            "Invalid condition in KeyConditionExpression: Multiple attribute names used in one condition",
        ),
        (":s = :h", "Invalid condition in KeyConditionExpression: No key attribute specified"),
        ("p.x = :s", "KeyConditionExpressions cannot have conditions on nested attributes"),
        ("p > size(q)", "KeyConditionExpressions cannot contain nested operations"),
        (
            "p = :s and r > :s and r < :s",
            "Invalid KeyConditionExpression: KeyConditionExpressions must only contain one condition per key",
        ),
        (
            "p = :zz",
            "Invalid KeyConditionExpression: An expression attribute value used in expression is not defined; attribute value: :zz",
        ),
        (
            "p = :s and begins_with(r, :1) and q = :zz",
            "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: begins_with, operand type: N",
        ),
        (
            "p = :s and r > :true",
            "Invalid KeyConditionExpression: Incorrect operand type for operator or function; operator or function: >, operand type: BOOL",
        ),
    ] {
        assert_eq!(words(parse(text)), expected, "{text}");
    }
}

#[test]
fn conditions_must_be_the_key_s() {
    let (hash, range) = (schema(&["p"], &[]), schema(&["p"], &["r"]));
    for (text, schema, expected) in [
        ("r = :s", &range, "Query condition missed key schema element: p"),
        ("q = :s and r = :s", &range, "Query condition missed key schema element: p"),
        ("p = :s and q = :s", &range, "Query condition missed key schema element: r"),
        ("p > :s", &range, "Query key condition not supported"),
        (
            "p = :1",
            &range,
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
        (
            "p = :s and r = :true",
            &range,
            "One or more parameter values were invalid: Condition parameter type does not match schema type",
        ),
        (
            "p = :empty",
            &range,
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: p",
        ),
        (
            "p = :s and r > :empty",
            &range,
            "One or more parameter values are not valid. The AttributeValue for a key attribute cannot contain an empty string value. Key: r",
        ),
        (
            "p = :s and r = :s",
            &hash,
            "The number of query conditions (2) exceeds the number of key attributes defined in the schema (1)",
        ),
        (
            "p = :s and r = :s and q = :s",
            &range,
            "The number of query conditions (3) exceeds the number of key attributes defined in the schema (2)",
        ),
    ] {
        assert_eq!(words(resolve(text, schema)), expected, "{text}");
    }
}

#[test]
fn a_key_of_several_attributes_is_fixed_from_the_left() {
    let schema = schema(&["h", "i"], &["a", "b", "c"]);
    let both = "h = :s and i = :h";
    for (text, sort_equal, sort) in [
        ("", vec![], SortInterval::All),
        (" and a = :s", vec![], SortInterval::Equal(key("x"))),
        (" and b = :h and a = :s", vec![key("x")], SortInterval::Equal(key("he"))),
        (" and a = :s and b = :s and c > :h", vec![key("x"), key("x")], SortInterval::Greater(key("he"))),
    ] {
        let interval = KeyInterval { partition: vec![key("x"), key("he")], sort_equal, sort };
        assert_eq!(resolve(&format!("{both}{text}"), &schema), Ok(interval), "{text}");
    }
    let gap = |open: &str, name: &str| {
        format!(
            "RANGE key attributes {open} must have equality conditions specified in the query because a \
             condition is present on key attribute {name}"
        )
    };
    let open = |names: &str| {
        format!("HASH key attributes {names} must have equality conditions specified in the query")
    };
    for (text, expected) in [
        ("h = :s and a = :s".to_owned(), open("i")),
        ("h = :s and i > :s".to_owned(), open("i")),
        ("a = :s".to_owned(), open("h, i")),
        (format!("{both} and z = :s"), "Query condition missed key schema element: a".to_owned()),
        (format!("{both} and a = :s and c = :s"), gap("b", "c")),
        (format!("{both} and a = :s and b > :s and c = :s"), gap("b", "c")),
        (format!("{both} and c = :s"), gap("a, b", "c")),
    ] {
        assert_eq!(words(resolve(&text, &schema)), expected, "{text}");
    }
}
