//! Ways to break a request.

use fastrand::Rng;
use serde_json::{Map, Value, json};

/// The request with one or two things changed: a member that is gone, new, of another name or of another value, or an element
/// that is there twice or not at all.
pub(super) fn broken(mut body: Value, random: &mut Rng) -> Value {
    break_once(&mut body, random);
    if random.u8(..4) == 0 {
        break_once(&mut body, random);
    }
    body
}

fn break_once(body: &mut Value, random: &mut Rng) {
    if random.bool()
        && let Some(members) = parameters(body, random)
    {
        let (name, value) = random.choice(members_known()).expect("there are some");
        members.insert(name.to_owned(), value);
        return;
    }
    let places = count(body);
    change_at(body, &mut random.usize(..places), random);
}

/// Where parameters of the request stand: its top, or those of a table of a batch.
fn parameters<'b>(body: &'b mut Value, random: &mut Rng) -> Option<&'b mut Map<String, Value>> {
    if body.get("RequestItems").is_some() && random.u8(..4) > 0 {
        let tables = body.get_mut("RequestItems")?.as_object_mut()?;
        let position = random.usize(..tables.len().max(1));
        return tables.values_mut().nth(position)?.as_object_mut();
    }
    body.as_object_mut()
}

/// Values and members of a tree.
fn count(value: &Value) -> usize {
    1 + match value {
        Value::Object(members) => members.values().map(count).sum(),
        Value::Array(elements) => elements.iter().map(count).sum(),
        _ => 0,
    }
}

/// Changes the value that is as many places behind this one.
fn change_at(value: &mut Value, left: &mut usize, random: &mut Rng) -> bool {
    if *left == 0 {
        change(value, random);
        return true;
    }
    *left -= 1;
    match value {
        Value::Object(members) => members.values_mut().any(|member| change_at(member, left, random)),
        Value::Array(elements) => elements.iter_mut().any(|element| change_at(element, left, random)),
        _ => false,
    }
}

fn change(value: &mut Value, random: &mut Rng) {
    match value {
        Value::Object(members) if !members.is_empty() && random.u8(..3) > 0 => {
            let names: Vec<String> = members.keys().cloned().collect();
            let name = &names[random.usize(..names.len())];
            let taken = members.remove(name).expect("it was listed");
            match random.u8(..3) {
                0 => {}
                1 => drop(members.insert(format!("{name}x"), taken)),
                _ => {
                    members.insert(name.clone(), taken.clone());
                    members.insert("x".to_owned(), taken);
                }
            }
        }
        Value::Array(elements) if !elements.is_empty() && random.u8(..3) > 0 => {
            let position = random.usize(..elements.len());
            match random.bool() {
                true => elements.push(elements[position].clone()),
                false => drop(elements.remove(position)),
            }
        }
        _ => *value = random.choice(odd_values()).expect("there are some"),
    }
}

fn odd_values() -> Vec<Value> {
    vec![
        Value::Null,
        json!(true),
        json!("no"),
        json!(0),
        json!(-1),
        json!(1.5),
        json!(5_000_000_000_u64),
        json!(""),
        json!("p"),
        json!("x = :f"),
        json!([]),
        json!({}),
        json!(["p", "p"]),
        json!({"S": "a"}),
        json!({"S": ""}),
        json!({"S": "a", "N": "1"}),
        json!({"N": "1e0"}),
        json!({"N": "x"}),
        json!({"N": 1}),
        json!({"B": "!"}),
        json!({"BOOL": "yes"}),
        json!({"NULL": false}),
        json!({"SS": []}),
        json!({"NS": ["2", "1.0"]}),
        json!({"L": [{"M": {"k": {}}}]}),
    ]
}

/// Members that requests know, with a value that fits at least one of them.
fn members_known() -> Vec<(&'static str, Value)> {
    vec![
        ("AttributesToGet", json!(["p", "x"])),
        ("AttributesToGet", json!(["p"])),
        ("AttributesToGet", json!([])),
        ("ConditionExpression", json!("attribute_exists(p)")),
        ("ConditionalOperator", json!("AND")),
        ("ConsistentRead", json!(true)),
        ("ConsistentRead", json!("t")),
        ("ExclusiveStartKey", json!({"p": {"S": "a"}})),
        ("ExclusiveStartKey", json!({"p": {"S": "a"}, "r": {"N": "1"}})),
        ("ExpressionAttributeNames", json!({"#x": "x"})),
        ("ExpressionAttributeNames", json!({})),
        ("ExpressionAttributeValues", json!({":f": {"S": "a"}})),
        ("FilterExpression", json!("#x = :f")),
        ("FilterExpression", json!("attribute_exists(x)")),
        ("FilterExpression", json!("p = :a")),
        ("IndexName", json!("global0")),
        ("IndexName", json!("none")),
        ("KeyConditionExpression", json!("p = :a")),
        ("KeyConditions", json!({"p": {"ComparisonOperator": "EQ", "AttributeValueList": [{"S": "a"}]}})),
        ("Limit", json!(1)),
        ("ProjectionExpression", json!("x")),
        ("ProjectionExpression", json!("x, x.y")),
        ("ProjectionExpression", json!("#x, p")),
        ("QueryFilter", json!({})),
        ("ReturnConsumedCapacity", json!("NONE")),
        ("ReturnConsumedCapacity", json!("SOME")),
        ("ReturnItemCollectionMetrics", json!("SIZE")),
        ("ReturnValues", json!("ALL_OLD")),
        ("ScanFilter", json!({"x": {"ComparisonOperator": "NULL"}})),
        ("ScanIndexForward", json!(true)),
        ("Segment", json!(1)),
        ("Select", json!("COUNT")),
        ("Select", json!("ALL_ATTRIBUTES")),
        ("Statement", json!("SELECT * FROM Tab")),
        ("Statements", json!([])),
        ("TableName", json!("Other")),
        ("TableName", json!("arn:aws:dynamodb:us-east-1:000000000000:table/Tab")),
        ("TotalSegments", json!(2)),
        ("TransactStatements", json!([])),
        ("Unknown", json!(1)),
    ]
}
