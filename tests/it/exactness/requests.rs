//! Random pages to ask for, and random writes of every kind.

use fastrand::Rng;
use nearside::model::Operation;

use super::schema::{Index, Schema, member, value};

/// A Query or Scan.
#[derive(Clone)]
pub(crate) struct PageAsked {
    pub(crate) operation: Operation,
    pub(crate) body: String,
    pub(crate) is_of_global_index: bool,
}

impl PageAsked {
    pub(crate) fn random(schema: &Schema, random: &mut Rng) -> Self {
        let index = random.choice(&schema.indexes).filter(|_| random.u8(..3) > 0);
        let mut members = vec![r#""TableName":"Tab""#.to_owned()];
        members.extend(index.map(|index| format!(r#""IndexName":"{}""#, index.name)));
        let operation = if random.u8(..3) > 0 { Operation::Query } else { Operation::Scan };
        let mut values = Vec::new();
        if operation == Operation::Query {
            members.push(key_condition(schema, index, &mut values, random));
            if random.u8(..3) == 0 {
                members.push(r#""ScanIndexForward":false"#.to_owned());
            }
        } else if random.u8(..3) == 0 {
            members.push(format!(r#""TotalSegments":2,"Segment":{}"#, random.u8(..2)));
        }
        if random.u8(..4) == 0 {
            values.push(format!(r#"":f":{}"#, value("x", random)));
            members.push(r#""FilterExpression":"x = :f""#.to_owned());
        }
        match random.u8(..6) {
            0 => members.push(r#""Select":"COUNT""#.to_owned()),
            1 => members.push(r#""ProjectionExpression":"p, x""#.to_owned()),
            _ => {}
        }
        if random.u8(..3) == 0 {
            members.push(format!(r#""Limit":{}"#, random.u8(1..4)));
        }
        if !values.is_empty() {
            members.push(format!(r#""ExpressionAttributeValues":{{{}}}"#, values.join(",")));
        }
        let is_of_global_index = index.is_some_and(|index| index.is_global);
        Self { operation, body: format!("{{{}}}", members.join(",")), is_of_global_index }
    }

    /// The page behind this one, if its answer says that there may be one.
    pub(crate) fn following(&self, answer: &[u8]) -> Option<Self> {
        let answer: serde_json::Value = serde_json::from_slice(answer).unwrap();
        let last = answer.get("LastEvaluatedKey")?;
        let mut body: serde_json::Value = serde_json::from_str(&self.body).unwrap();
        body["ExclusiveStartKey"] = last.clone();
        Some(Self { body: body.to_string(), ..self.clone() })
    }
}

fn key_condition(
    schema: &Schema,
    index: Option<&Index>,
    values: &mut Vec<String>,
    random: &mut Rng,
) -> String {
    let (partition, sort) = match index {
        Some(index) => (index.partition, index.sort),
        None => ("p", schema.has_sort.then_some("r")),
    };
    values.push(format!(r#"":a":{}"#, value(partition, random)));
    let mut condition = format!("{partition} = :a");
    if let Some(sort) = sort.filter(|_| random.bool()) {
        values.push(format!(r#"":b":{}"#, value(sort, random)));
        let comparator = ["=", "<", "<=", ">", ">="][random.usize(..5)];
        condition.push_str(&format!(" AND {sort} {comparator} :b"));
    }
    format!(r#""KeyConditionExpression":"{condition}""#)
}

/// How a write is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum WriteKind {
    Put,
    PutAskingForTheOld,
    PutRefused,
    Delete,
    UpdateOfPlainAttributes,
    UpdateOfKeysOfIndexes,
    UpdateAskingForTheOld,
    UpdateAskingForLittle,
    UpdateOfTheOldForm,
    Batch,
    Transaction,
    TransactionCancelled,
    Statement,
    /// Several of these at once.
    Overlapping,
}

impl WriteKind {
    const ALONE: [Self; 13] = [
        Self::Put,
        Self::PutAskingForTheOld,
        Self::PutRefused,
        Self::Delete,
        Self::UpdateOfPlainAttributes,
        Self::UpdateOfKeysOfIndexes,
        Self::UpdateAskingForTheOld,
        Self::UpdateAskingForLittle,
        Self::UpdateOfTheOldForm,
        Self::Batch,
        Self::Transaction,
        Self::TransactionCancelled,
        Self::Statement,
    ];
}

/// A write.
pub(crate) struct Write {
    pub(crate) kind: WriteKind,
    pub(crate) operation: Operation,
    pub(crate) body: String,
}

impl Write {
    pub(crate) fn put(schema: &Schema, random: &mut Rng) -> Self {
        Self::of(WriteKind::Put, schema, random)
    }

    pub(crate) fn random(schema: &Schema, random: &mut Rng) -> Self {
        let kind = WriteKind::ALONE[random.usize(..WriteKind::ALONE.len())];
        Self::of(kind, schema, random)
    }

    fn of(kind: WriteKind, schema: &Schema, random: &mut Rng) -> Self {
        let key = schema.item_key(random);
        let put = |more: &str, random: &mut Rng| {
            let item = schema.item(random);
            (Operation::PutItem, format!(r#"{{"TableName":"Tab","Item":{{{item}}}{more}}}"#))
        };
        let (operation, body) = match kind {
            WriteKind::Put => put("", random),
            WriteKind::PutAskingForTheOld => put(r#","ReturnValues":"ALL_OLD""#, random),
            WriteKind::PutRefused => put(r#","ConditionExpression":"attribute_exists(never)""#, random),
            WriteKind::Delete => (Operation::DeleteItem, format!(r#"{{"TableName":"Tab","Key":{{{key}}}}}"#)),
            WriteKind::UpdateOfPlainAttributes => update(&key, ["x", "y"], "NONE", random),
            WriteKind::UpdateOfKeysOfIndexes => update(&key, keys_of_indexes(schema, random), "NONE", random),
            WriteKind::UpdateAskingForTheOld => update(&key, ["x", "y"], "ALL_OLD", random),
            WriteKind::UpdateAskingForLittle => update(&key, ["x", "n"], "UPDATED_NEW", random),
            WriteKind::UpdateOfTheOldForm => legacy_update(&key, random),
            WriteKind::Batch => batch(schema, random),
            WriteKind::Transaction => transaction(schema, "", random),
            WriteKind::TransactionCancelled => {
                transaction(schema, r#","ConditionExpression":"attribute_exists(never)""#, random)
            }
            WriteKind::Statement | WriteKind::Overlapping => statement(schema, random),
        };
        Self { kind, operation, body }
    }
}

fn keys_of_indexes(schema: &Schema, random: &mut Rng) -> [&'static str; 2] {
    let names: &[&str] = if schema.has_sort { &["g", "h", "n"] } else { &["g", "h", "n", "r"] };
    [names[random.usize(..names.len())], "x"]
}

/// Sets or removes one or both of the attributes.
fn update(key: &str, names: [&str; 2], asked: &str, random: &mut Rng) -> (Operation, String) {
    let [first, second] = names;
    let (expression, values) = match random.u8(..4) {
        0 => (format!("SET {first} = :v"), Some(first)),
        1 => (format!("REMOVE {first}"), None),
        2 => (format!("SET {first} = :v REMOVE {second}"), Some(first)),
        _ => (format!("REMOVE {first} SET {second} = :v"), Some(second)),
    };
    let values = values.map_or(String::new(), |name| {
        format!(r#","ExpressionAttributeValues":{{":v":{}}}"#, value(name, random))
    });
    let body = format!(
        r#"{{"TableName":"Tab","Key":{{{key}}},"UpdateExpression":"{expression}","ReturnValues":"{asked}"{values}}}"#
    );
    (Operation::UpdateItem, body)
}

fn legacy_update(key: &str, random: &mut Rng) -> (Operation, String) {
    let name = ["x", "y", "g", "n"][random.usize(..4)];
    let change = match random.bool() {
        true => r#"{"Action":"DELETE"}"#.to_owned(),
        false => format!(r#"{{"Action":"PUT","Value":{}}}"#, value(name, random)),
    };
    let body = format!(r#"{{"TableName":"Tab","Key":{{{key}}},"AttributeUpdates":{{"{name}":{change}}}}}"#);
    (Operation::UpdateItem, body)
}

fn batch(schema: &Schema, random: &mut Rng) -> (Operation, String) {
    let requests: Vec<_> = (0..random.usize(1..3))
        .map(|_| match random.bool() {
            true => format!(r#"{{"PutRequest":{{"Item":{{{}}}}}}}"#, schema.item(random)),
            false => format!(r#"{{"DeleteRequest":{{"Key":{{{}}}}}}}"#, schema.item_key(random)),
        })
        .collect();
    // Two of one key are refused, which is a case as well.
    (Operation::BatchWriteItem, format!(r#"{{"RequestItems":{{"Tab":[{}]}}}}"#, requests.join(",")))
}

fn transaction(schema: &Schema, condition: &str, random: &mut Rng) -> (Operation, String) {
    let first = format!(r#"{{"Put":{{"TableName":"Tab","Item":{{{}}}{condition}}}}}"#, schema.item(random));
    let second = match random.u8(..3) {
        0 => format!(r#"{{"Delete":{{"TableName":"Tab","Key":{{{}}}}}}}"#, schema.item_key(random)),
        1 => format!(
            r#"{{"Update":{{"TableName":"Tab","Key":{{{}}},"UpdateExpression":"SET g = :g","ExpressionAttributeValues":{{{}}}}}}}"#,
            schema.item_key(random),
            member("g", random).replace("\"g\"", "\":g\"")
        ),
        _ => format!(
            r#"{{"ConditionCheck":{{"TableName":"Tab","Key":{{{}}},"ConditionExpression":"attribute_exists(p)"}}}}"#,
            schema.item_key(random)
        ),
    };
    (Operation::TransactWriteItems, format!(r#"{{"TransactItems":[{first},{second}]}}"#))
}

fn statement(schema: &Schema, random: &mut Rng) -> (Operation, String) {
    let sort = if schema.has_sort { " AND r = 1" } else { "" };
    let partition = ["a", "b", "c"][random.usize(..3)];
    let text = match random.u8(..2) {
        0 => format!("DELETE FROM Tab WHERE p = '{partition}'{sort}"),
        _ => format!("UPDATE Tab SET x = 'b' WHERE p = '{partition}'{sort}"),
    };
    (Operation::ExecuteStatement, format!(r#"{{"Statement":"{text}"}}"#))
}
