//! A mixed load of two tables: most of it reads of few keys, of items from some bytes to 20 KB.

use fastrand::Rng;
use nearside::model::Operation;
use serde_json::{Value, json};

/// One with a sort key and indexes of every kind, and one without.
pub(crate) const TABLES: [&str; 2] = [
    r#"{"TableName":"Orders","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[
        {"AttributeName":"p","AttributeType":"S"},{"AttributeName":"s","AttributeType":"N"},
        {"AttributeName":"g","AttributeType":"S"},{"AttributeName":"l","AttributeType":"N"}],
      "KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"s","KeyType":"RANGE"}],
      "LocalSecondaryIndexes":[{"IndexName":"local","Projection":{"ProjectionType":"KEYS_ONLY"},
        "KeySchema":[{"AttributeName":"p","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}]}],
      "GlobalSecondaryIndexes":[
        {"IndexName":"all","Projection":{"ProjectionType":"ALL"},"KeySchema":[{"AttributeName":"g","KeyType":"HASH"}]},
        {"IndexName":"keys","Projection":{"ProjectionType":"KEYS_ONLY"},
         "KeySchema":[{"AttributeName":"g","KeyType":"HASH"},{"AttributeName":"l","KeyType":"RANGE"}]}]}"#,
    r#"{"TableName":"Users","BillingMode":"PAY_PER_REQUEST","AttributeDefinitions":[
        {"AttributeName":"p","AttributeType":"S"}],"KeySchema":[{"AttributeName":"p","KeyType":"HASH"}]}"#,
];

/// Which pages the load asks for.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pages {
    /// Some whose answers hide what was read: filtered ones, and counts.
    All,
    /// Those whose answers show every item that was read.
    Shown,
}

/// Requests, the same from the same seed.
pub(crate) struct Load {
    random: Rng,
    pages: Pages,
}

impl Load {
    pub(crate) fn new(random: Rng, pages: Pages) -> Self {
        Self { random, pages }
    }

    /// True if the operation is charged in write units.
    pub(crate) fn writes(operation: Operation, body: &Value) -> bool {
        match operation {
            Operation::GetItem | Operation::BatchGetItem | Operation::TransactGetItems => false,
            Operation::Query | Operation::Scan => false,
            Operation::ExecuteStatement => !body["Statement"].as_str().unwrap().starts_with("SELECT"),
            _ => true,
        }
    }

    pub(crate) fn next(&mut self) -> (Operation, Value) {
        match self.random.u8(..100) {
            0..40 => {
                let mut get = json!({"TableName": "Users", "Key": self.user()});
                if self.random.u8(..8) == 0 {
                    get["ConsistentRead"] = json!(true);
                }
                if self.random.u8(..8) == 0 {
                    get = json!({"TableName": "Orders", "Key": self.order()});
                }
                (Operation::GetItem, get)
            }
            40..48 => {
                let mut users: Vec<Value> = (0..4).map(|_| self.user()).collect();
                users.sort_by_key(Value::to_string);
                users.dedup();
                let request = json!({"Users": {"Keys": users}, "Orders": {"Keys": [self.order()]}});
                (Operation::BatchGetItem, json!({"RequestItems": request}))
            }
            48..80 => self.page(),
            80..82 => {
                let gets = json!([{"Get": {"TableName": "Users", "Key": self.user()}},
                    {"Get": {"TableName": "Orders", "Key": self.order()}}]);
                (Operation::TransactGetItems, json!({"TransactItems": gets}))
            }
            _ => self.write(),
        }
    }

    fn page(&mut self) -> (Operation, Value) {
        let values = json!({":p": {"S": self.partition()}});
        let of_partition = json!({"TableName": "Orders", "KeyConditionExpression": "p = :p",
            "ExpressionAttributeValues": values});
        let group = self.group();
        let of_group = json!({"TableName": "Orders", "KeyConditionExpression": "g = :g",
            "ExpressionAttributeValues": {":g": {"S": group}}});
        let with = |mut body: Value, more: Value| {
            for (name, value) in more.as_object().unwrap() {
                match value {
                    Value::Object(values) if name == "ExpressionAttributeValues" => {
                        body[name].as_object_mut().unwrap().extend(values.clone());
                    }
                    _ => body[name] = value.clone(),
                }
            }
            body
        };
        let filter =
            json!({"FilterExpression": "size(d) < :n", "ExpressionAttributeValues": {":n": {"N": "300"}}});
        match self.random.u8(..10) {
            0..3 => (Operation::Query, of_partition),
            3 if self.pages == Pages::Shown => (Operation::Query, of_partition),
            3 => (Operation::Query, with(of_partition, filter)),
            4 => (Operation::Query, with(of_partition, json!({"Limit": 3, "ConsistentRead": true}))),
            // The index has keys only: what is missing is fetched from the table.
            5 if self.random.bool() => (
                Operation::Query,
                with(of_partition, json!({"IndexName": "local", "Select": "ALL_ATTRIBUTES"})),
            ),
            5 => (Operation::Query, with(of_partition, json!({"IndexName": "local"}))),
            6 => (Operation::Query, with(of_group, json!({"IndexName": "keys"}))),
            7 => (Operation::Query, with(of_group, json!({"IndexName": "all"}))),
            8 => (Operation::Scan, json!({"TableName": "Users", "Limit": 1 + self.random.u8(..30)})),
            _ if self.pages == Pages::Shown => (Operation::Scan, json!({"TableName": "Orders"})),
            _ => (Operation::Scan, json!({"TableName": "Orders", "Select": "COUNT"})),
        }
    }

    fn write(&mut self) -> (Operation, Value) {
        let put = |table: &str, item: Value| json!({"TableName": table, "Item": item});
        match self.random.u8(..10) {
            0..3 => (Operation::PutItem, put("Orders", self.new_order())),
            3..5 => (Operation::PutItem, put("Users", self.new_user())),
            5 => (Operation::DeleteItem, json!({"TableName": "Orders", "Key": self.order()})),
            6 => {
                let update = json!({"TableName": "Users", "Key": self.user(), "UpdateExpression": "SET d = :d",
                    "ExpressionAttributeValues": {":d": {"S": self.text()}}});
                (Operation::UpdateItem, update)
            }
            7 => {
                let requests = json!({"Users": [{"PutRequest": {"Item": self.new_user()}}],
                    "Orders": [{"DeleteRequest": {"Key": self.order()}}]});
                (Operation::BatchWriteItem, json!({"RequestItems": requests}))
            }
            8 => {
                let actions =
                    json!([{"Put": put("Users", self.new_user())}, {"Put": put("Orders", self.new_order())}]);
                (Operation::TransactWriteItems, json!({"TransactItems": actions}))
            }
            _ => {
                let insert = json!({"Statement": "SELECT * FROM \"Users\" WHERE p = ?", "Parameters": [self.user()["p"]]});
                (Operation::ExecuteStatement, insert)
            }
        }
    }

    /// Small numbers more often than large ones.
    fn skewed(&mut self, most: usize) -> usize {
        let share = self.random.f64();
        (share * share * share * most as f64) as usize
    }

    fn partition(&mut self) -> String {
        format!("partition-{}", self.skewed(40))
    }

    fn group(&mut self) -> String {
        format!("group-{}", self.skewed(20))
    }

    fn user(&mut self) -> Value {
        json!({"p": {"S": format!("user-{}", self.skewed(300))}})
    }

    fn order(&mut self) -> Value {
        json!({"p": {"S": self.partition()}, "s": {"N": self.skewed(30).to_string()}})
    }

    fn new_user(&mut self) -> Value {
        let mut item = self.user();
        item["d"] = json!({"S": self.text()});
        item["n"] = json!({"N": self.random.u32(..).to_string()});
        item
    }

    fn new_order(&mut self) -> Value {
        let mut item = self.order();
        item["g"] = json!({"S": self.group()});
        item["l"] = json!({"N": self.random.u8(..).to_string()});
        item["d"] = json!({"S": self.text()});
        item
    }

    fn text(&mut self) -> String {
        "é".repeat(self.skewed(10_000))
    }
}
