//! Principals × operations × tables × leading keys, each cell judged by the product and by the independent judge.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::judge::{Ask, allows};
use super::{ACCOUNT, asked, schema};
use crate::model::Operation;
use crate::rights::{Policy, Rights};

/// Principals: the name of each, and its policy.
fn principals() -> Vec<(&'static str, Value)> {
    let arn = |path: &str| format!("arn:aws:dynamodb:us-east-1:{ACCOUNT}:{path}");
    let (orders, indexes) = (arn("table/Orders"), arn("table/Orders/index/*"));
    let statement = |effect: &str, action: Value, resource: Value, condition: Value| json!({"Effect": effect, "Action": action, "Resource": resource, "Condition": condition});
    let allow = |action, resource, condition| statement("Allow", action, resource, condition);
    let deny = |action, resource, condition| statement("Deny", action, resource, condition);
    let none = || json!({});
    let own = json!({"ForAllValues:StringEquals": {"dynamodb:LeadingKeys": ["${aws:username}"]}});
    let prefix = json!({"ForAllValues:StringLike": {"dynamodb:LeadingKeys": ["tenant-1#*", "7"]}});
    let strict = json!({
        "ForAllValues:StringLike": {"dynamodb:LeadingKeys": "tenant-1#*"},
        "Null": {"dynamodb:LeadingKeys": "false"},
    });
    let columns = json!({
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["tenant", "id", "number", "price", "status"]},
        "StringEqualsIfExists": {
            "dynamodb:Select": "SPECIFIC_ATTRIBUTES",
            "dynamodb:ReturnValues": ["NONE", "UPDATED_OLD", "UPDATED_NEW"],
        },
    });
    let partition_only = json!({
        "ForAllValues:StringEquals": {"dynamodb:Attributes": ["tenant", "number", "price", "status"]},
        "StringEqualsIfExists": {"dynamodb:Select": ["SPECIFIC_ATTRIBUTES", "COUNT"]},
    });
    let of = |statements: Vec<Value>| json!({"Version": "2012-10-17", "Statement": statements});
    vec![
        ("nothing", of(vec![allow(json!("s3:*"), json!("*"), none())])),
        ("everything", of(vec![allow(json!("*"), json!("*"), none())])),
        ("one-table", of(vec![allow(json!("dynamodb:*"), json!(orders), none())])),
        ("all-tables", of(vec![allow(json!("dynamodb:*"), json!(arn("table/*")), none())])),
        (
            "read-only",
            of(vec![allow(
                json!([
                    "dynamodb:Get*",
                    "dynamodb:BatchGet*",
                    "dynamodb:Query",
                    "dynamodb:Scan",
                    "dynamodb:PartiQLSelect",
                    "dynamodb:Describe*",
                    "dynamodb:List*"
                ]),
                json!("*"),
                none(),
            )]),
        ),
        (
            "no-delete",
            of(vec![
                allow(json!("dynamodb:*"), json!("*"), none()),
                deny(json!(["dynamodb:Delete*", "dynamodb:PartiQLDelete"]), json!("*"), none()),
            ]),
        ),
        (
            "not-users",
            of(vec![json!({"Effect": "Allow", "NotAction": "dynamodb:DeleteTable",
                "NotResource": [arn("table/Users"), arn("table/Users/*")]})]),
        ),
        ("own-keys", of(vec![allow(json!("dynamodb:*"), json!([orders, indexes]), own.clone())])),
        (
            "prefix",
            of(vec![allow(
                json!(["dynamodb:*Item", "dynamodb:Query", "dynamodb:Part*"]),
                json!("*"),
                prefix,
            )]),
        ),
        ("strict-prefix", of(vec![allow(json!("dynamodb:*"), json!("*"), strict)])),
        ("columns", of(vec![allow(json!("dynamodb:*"), json!("*"), columns)])),
        ("columns-without-a-key", of(vec![allow(json!("dynamodb:*"), json!("*"), partition_only)])),
        (
            "index-only",
            of(vec![allow(json!("dynamodb:Query"), json!(arn("table/Orders/index/byStatus")), none())]),
        ),
        (
            "not-foreign",
            of(vec![
                allow(json!("dynamodb:*"), json!("*"), none()),
                deny(
                    json!("dynamodb:*"),
                    json!("*"),
                    json!({
                        "ForAnyValue:StringNotLike": {"dynamodb:LeadingKeys": ["tenant-1#*", "${aws:username}"]}
                    }),
                ),
            ]),
        ),
        (
            "transactions-only",
            of(vec![allow(
                json!([
                    "dynamodb:GetItem",
                    "dynamodb:PutItem",
                    "dynamodb:UpdateItem",
                    "dynamodb:DeleteItem",
                    "dynamodb:ConditionCheckItem",
                    "dynamodb:PartiQL*"
                ]),
                json!("*"),
                json!({"ForAnyValue:StringEquals": {
                    "dynamodb:EnclosingOperation": ["TransactWriteItems", "TransactGetItems", "ExecuteTransaction"]
                }}),
            )]),
        ),
        (
            "no-full-scan",
            of(vec![
                allow(json!("dynamodb:PartiQL*"), json!("*"), none()),
                deny(
                    json!("dynamodb:PartiQLSelect"),
                    json!("*"),
                    json!({"Bool": {"dynamodb:FullTableScan": ["true"]}}),
                ),
            ]),
        ),
        (
            "no-metering",
            of(vec![allow(
                json!("dynamodb:*"),
                json!("*"),
                json!({
                    "StringEqualsIfExists": {"dynamodb:ReturnConsumedCapacity": "NONE"},
                    "StringNotEquals": {"dynamodb:Select": "COUNT"},
                }),
            )]),
        ),
        (
            "user-alice",
            of(vec![allow(
                json!("dynamodb:*"),
                json!("*"),
                json!({
                    "StringEqualsIgnoreCase": {"aws:username": "ALICE"},
                }),
            )]),
        ),
    ]
}

/// A request and what IAM is asked for it, by the documentation.
struct Case {
    operation: Operation,
    body: Value,
    asks: Vec<Ask>,
}

/// A table of the matrix, with a key of it that begins so.
struct Table {
    name: &'static str,
    leading: String,
    /// Attributes of the key.
    key_names: &'static [&'static str],
    key: Value,
    partiql_key: String,
}

fn tables(leading: &str) -> Vec<Table> {
    let number = if leading == "tenant-1#a" { "7" } else { "1e1" };
    let normal = if number == "7" { "7" } else { "10" };
    vec![
        Table {
            name: "Orders",
            leading: leading.to_owned(),
            key_names: &["id", "tenant"],
            key: json!({"tenant": {"S": leading}, "id": {"S": "1"}}),
            partiql_key: format!("tenant = '{leading}' AND id = '1'"),
        },
        Table {
            name: "Users",
            leading: normal.to_owned(),
            key_names: &["number"],
            key: json!({"number": {"N": number}}),
            partiql_key: format!("\"number\" = {normal}"),
        },
    ]
}

type Keys = Vec<(&'static str, Vec<String>)>;

/// What a statement that reads asks of the attributes and of the whole table.
fn select(select: &str, full: &str) -> Keys {
    vec![("dynamodb:Select", texts(&[select])), ("dynamodb:FullTableScan", texts(&[full]))]
}

fn texts(values: &[&str]) -> Vec<String> {
    values.iter().map(|value| (*value).to_owned()).collect()
}

fn ask(action: &'static str, path: String, keys: Keys) -> Ask {
    let resource = match path.as_str() {
        "*" => path,
        path => format!("arn:aws:dynamodb:us-east-1:{ACCOUNT}:{path}"),
    };
    let mut context: BTreeMap<&'static str, Vec<String>> = keys.into_iter().collect();
    context.insert("aws:username", texts(&["alice"]));
    Ask { action, resource, context }
}

impl Table {
    fn path(&self) -> String {
        format!("table/{}", self.name)
    }

    /// The keys of a request for one item that names these attributes besides its key's.
    fn item_keys(&self, attributes: &[&str], more: &[(&'static str, &str)]) -> Keys {
        let mut named: Vec<&str> = [self.key_names, attributes].concat();
        named.sort_unstable();
        named.dedup();
        let mut keys = vec![
            ("dynamodb:LeadingKeys", texts(&[&self.leading])),
            ("dynamodb:Attributes", texts(&named)),
            ("dynamodb:ReturnConsumedCapacity", texts(&["NONE"])),
        ];
        keys.extend(more.iter().map(|(key, value)| (*key, texts(&[value]))));
        keys
    }

    fn one(&self, operation: Operation, body: Value, keys: Keys) -> Case {
        let mut whole = json!({"TableName": self.name});
        whole.as_object_mut().unwrap().extend(body.as_object().unwrap().clone());
        let action = operation.name();
        Case { operation, body: whole, asks: vec![ask(action, self.path(), keys)] }
    }

    fn item_cases(&self) -> Vec<Case> {
        use Operation::*;
        let mut item = self.key.clone();
        item["price"] = json!({"N": "1"});
        let mut secret = item.clone();
        secret["secret"] = json!({"S": "x"});
        let none = ("dynamodb:ReturnValues", "NONE");
        vec![
            self.one(GetItem, json!({"Key": self.key}), self.item_keys(&[], &[("dynamodb:Select", "ALL_ATTRIBUTES")])),
            self.one(
                GetItem,
                json!({"Key": self.key, "ProjectionExpression": "#t, price.x[0]", "ExpressionAttributeNames": {"#t": "status"}}),
                self.item_keys(&["status", "price"], &[("dynamodb:Select", "SPECIFIC_ATTRIBUTES")]),
            ),
            self.one(
                GetItem,
                json!({"Key": self.key, "AttributesToGet": ["secret"], "ReturnConsumedCapacity": "TOTAL"}),
                [
                    self.item_keys(&["secret"], &[("dynamodb:Select", "SPECIFIC_ATTRIBUTES")]),
                    vec![("dynamodb:ReturnConsumedCapacity", texts(&["TOTAL"]))],
                ]
                .concat(),
            ),
            self.one(PutItem, json!({"Item": item}), self.item_keys(&["price"], &[none])),
            self.one(PutItem, json!({"Item": secret}), self.item_keys(&["price", "secret"], &[none])),
            self.one(
                UpdateItem,
                json!({
                    "Key": self.key, "UpdateExpression": "SET price = if_not_exists(#s, :v)",
                    "ExpressionAttributeNames": {"#s": "secret"}, "ExpressionAttributeValues": {":v": {"N": "1"}},
                    "ReturnValues": "UPDATED_NEW",
                }),
                self.item_keys(&["price", "secret"], &[("dynamodb:ReturnValues", "UPDATED_NEW")]),
            ),
            self.one(
                UpdateItem,
                json!({
                    "Key": self.key, "AttributeUpdates": {"price": {"Value": {"N": "1"}}},
                    "Expected": {"status": {"Exists": false}}, "ReturnValues": "ALL_OLD",
                }),
                self.item_keys(&["price", "status"], &[("dynamodb:ReturnValues", "ALL_OLD")]),
            ),
            self.one(
                DeleteItem,
                json!({"Key": self.key, "ConditionExpression": "attribute_exists(price)"}),
                self.item_keys(&["price"], &[none]),
            ),
        ]
    }

    fn page_cases(&self) -> Vec<Case> {
        use Operation::*;
        // A page ends with the key of an item, so whoever asks for one asks for the attributes of keys.
        let scanned = |select: &str, attributes: &[&str]| -> Keys {
            vec![
                ("dynamodb:Select", texts(&[select])),
                ("dynamodb:ReturnConsumedCapacity", texts(&["NONE"])),
                ("dynamodb:Attributes", texts(&[self.key_names, attributes].concat())),
            ]
        };
        let partition = self.key_names.last().unwrap();
        let queried = |select: &str, attributes: &[&str]| -> Keys {
            [scanned(select, attributes), vec![("dynamodb:LeadingKeys", texts(&[&self.leading]))]].concat()
        };
        let condition = json!({
            "KeyConditionExpression": "#p = :p", "ExpressionAttributeNames": {"#p": partition},
            "ExpressionAttributeValues": {":p": self.key[*partition]},
        });
        let with = |more: Value| {
            let mut body = condition.clone();
            body.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            body
        };
        let legacy = json!({"KeyConditions": {
            *partition: {"ComparisonOperator": "EQ", "AttributeValueList": [self.key[*partition]]}
        }, "Select": "COUNT"});
        vec![
            self.one(Query, condition.clone(), queried("ALL_ATTRIBUTES", &[])),
            self.one(
                Query,
                with(json!({"ProjectionExpression": "price"})),
                queried("SPECIFIC_ATTRIBUTES", &["price"]),
            ),
            self.one(Query, legacy, queried("COUNT", &[])),
            self.one(Scan, json!({}), scanned("ALL_ATTRIBUTES", &[])),
            self.one(Scan, json!({"AttributesToGet": ["price"]}), scanned("SPECIFIC_ATTRIBUTES", &["price"])),
            self.one(
                Scan,
                json!({"Select": "COUNT", "ScanFilter": {"secret": {"ComparisonOperator": "NOT_NULL"}}}),
                scanned("COUNT", &["secret"]),
            ),
        ]
    }

    fn table_cases(&self) -> Vec<Case> {
        use Operation::*;
        let plain = [DescribeTable, DeleteTable, UpdateTable, UpdateTimeToLive, CreateBackup];
        let mut cases: Vec<Case> =
            plain.into_iter().map(|operation| self.one(operation, json!({}), vec![])).collect();
        let stream = format!(
            "arn:aws:dynamodb:us-east-1:{ACCOUNT}:table/{}/stream/2026-11-21T08:09:10.000",
            self.name
        );
        let path = format!("table/{}/stream/2026-11-21T08:09:10.000", self.name);
        cases.push(Case {
            operation: GetRecords,
            body: json!({"ShardIterator": format!("{stream}|1|AAAA")}),
            asks: vec![ask("GetRecords", path.clone(), vec![])],
        });
        cases.push(Case {
            operation: DescribeStream,
            body: json!({"StreamArn": stream}),
            asks: vec![ask("DescribeStream", path, vec![])],
        });
        cases.push(Case {
            operation: CreateTable,
            body: json!({"TableName": self.name, "Tags": [{"Key": "a", "Value": "b"}]}),
            asks: vec![ask("CreateTable", self.path(), vec![]), ask("TagResource", self.path(), vec![])],
        });
        cases.push(Case {
            operation: ListTables,
            body: json!({}),
            asks: vec![ask("ListTables", "*".into(), vec![])],
        });
        cases
    }

    /// The keys of a statement about one item. Statements have none for the capacity that they consume.
    fn statement_keys(&self, attributes: &[&str]) -> Keys {
        let mut keys = self.item_keys(attributes, &[]);
        keys.retain(|(key, _)| *key != "dynamodb:ReturnConsumedCapacity");
        keys
    }

    /// A statement whose condition allows two partitions.
    fn either_of_two_partitions(&self) -> Case {
        let name = self.name;
        let partition = match &self.key[*self.key_names.last().unwrap()] {
            value if value.get("S").is_some() => format!("tenant = '{}'", self.leading),
            _ => format!("\"number\" = {}", self.leading),
        };
        let (other, leading) = match name {
            "Orders" => ("tenant = 'tenant-1#a'", "tenant-1#a"),
            _ => ("\"number\" IN [7]", "7"),
        };
        Case {
            operation: Operation::ExecuteStatement,
            body: json!({"Statement": format!("SELECT price FROM {name} WHERE {partition} OR {other}")}),
            asks: vec![ask(
                "PartiQLSelect",
                self.path(),
                [
                    self.statement_keys(&["price"]),
                    select("SPECIFIC_ATTRIBUTES", "false"),
                    vec![("dynamodb:LeadingKeys", texts(&[&self.leading, leading]))],
                ]
                .concat(),
            )],
        }
    }

    fn statement_cases(&self) -> Vec<Case> {
        let (name, key) = (self.name, &self.partiql_key);
        let item_keys = |attributes: &[&str]| self.statement_keys(attributes);
        let item = item_keys(&[]);
        let cases = [
            (
                "PartiQLSelect",
                format!("SELECT * FROM {name} WHERE {key}"),
                [item.clone(), select("ALL_ATTRIBUTES", "false")].concat(),
            ),
            (
                "PartiQLSelect",
                format!("SELECT price FROM \"{name}\" WHERE {key} AND status = 'x'"),
                [item_keys(&["status", "price"]), select("SPECIFIC_ATTRIBUTES", "false")].concat(),
            ),
            (
                "PartiQLDelete",
                format!("DELETE FROM {name} WHERE {key}"),
                [item.clone(), vec![("dynamodb:ReturnValues", texts(&["NONE"]))]].concat(),
            ),
            (
                "PartiQLUpdate",
                format!("UPDATE {name} SET price = 1 WHERE {key} RETURNING ALL OLD *"),
                [item_keys(&["price"]), vec![("dynamodb:ReturnValues", texts(&["ALL_OLD"]))]].concat(),
            ),
        ];
        let single = cases.clone().map(|(action, statement, keys)| Case {
            operation: Operation::ExecuteStatement,
            body: json!({"Statement": statement}),
            asks: vec![ask(action, self.path(), keys)],
        });
        let asks = |enclosing: Option<&str>| {
            let asks = cases.iter().take(2).map(|(action, _, keys)| {
                let more = enclosing.map(|name| ("dynamodb:EnclosingOperation", texts(&[name])));
                ask(action, self.path(), keys.iter().cloned().chain(more).collect())
            });
            asks.collect::<Vec<_>>()
        };
        let statements: Vec<_> =
            cases.iter().take(2).map(|(_, text, _)| json!({"Statement": text})).collect();
        single
            .into_iter()
            .chain([
                self.either_of_two_partitions(),
                Case {
                    operation: Operation::BatchExecuteStatement,
                    body: json!({"Statements": statements}),
                    asks: asks(None),
                },
                Case {
                    operation: Operation::ExecuteTransaction,
                    body: json!({"TransactStatements": statements}),
                    asks: asks(Some("ExecuteTransaction")),
                },
            ])
            .collect()
    }
}

/// Requests to several tables or items: all of the first item, and one each.
fn joint_cases(tables: &[Table], others: &[Table]) -> Vec<Case> {
    let none = ("dynamodb:ReturnValues", "NONE");
    let leading_of = |tables: &[&Table]| {
        vec![("dynamodb:LeadingKeys", tables.iter().map(|table| table.leading.clone()).collect())]
    };
    let mut cases = Vec::new();
    for (table, other) in tables.iter().zip(others) {
        let read = table.item_keys(&[], &[("dynamodb:Select", "ALL_ATTRIBUTES")]);
        cases.push(Case {
            operation: Operation::BatchGetItem,
            body: json!({"RequestItems": {table.name: {"Keys": [table.key, other.key]}}}),
            asks: vec![ask("BatchGetItem", table.path(), [read, leading_of(&[table, other])].concat())],
        });
        cases.push(Case {
            operation: Operation::BatchWriteItem,
            body: json!({"RequestItems": {table.name: [
                {"DeleteRequest": {"Key": table.key}}, {"PutRequest": {"Item": other.key}}
            ]}}),
            asks: vec![ask(
                "BatchWriteItem",
                table.path(),
                [table.item_keys(&[], &[]), leading_of(&[table, other])].concat(),
            )],
        });
    }
    let enclosed = |name| ("dynamodb:EnclosingOperation", name);
    cases.push(Case {
        operation: Operation::TransactGetItems,
        body: json!({"TransactItems": tables.iter().map(|table| json!({"Get": {
            "TableName": table.name, "Key": table.key, "ProjectionExpression": "price"}})).collect::<Vec<_>>()}),
        asks: tables.iter().map(|table| {
            let more = [("dynamodb:Select", "SPECIFIC_ATTRIBUTES"), enclosed("TransactGetItems")];
            ask("GetItem", table.path(), table.item_keys(&["price"], &more))
        }).collect(),
    });
    for (kind, action) in
        [("Put", "PutItem"), ("Delete", "DeleteItem"), ("ConditionCheck", "ConditionCheckItem")]
    {
        let table = &tables[0];
        let member = if kind == "Put" { "Item" } else { "Key" };
        let mut part = json!({"TableName": table.name, member: table.key});
        part["ConditionExpression"] = json!("attribute_not_exists(price)");
        let keys = table.item_keys(&["price"], &[none, enclosed("TransactWriteItems")]);
        cases.push(Case {
            operation: Operation::TransactWriteItems,
            body: json!({"TransactItems": [{kind: part}]}),
            asks: vec![ask(action, table.path(), keys)],
        });
    }
    cases
}

fn index_cases(leading: &str) -> Vec<Case> {
    let path = || "table/Orders/index/byStatus".to_owned();
    let body = json!({
        "TableName": "Orders", "IndexName": "byStatus", "KeyConditionExpression": "#s = :s",
        "ExpressionAttributeNames": {"#s": "status"}, "ExpressionAttributeValues": {":s": {"S": leading}},
    });
    let keys = vec![
        ("dynamodb:LeadingKeys", texts(&[leading])),
        ("dynamodb:Attributes", texts(&["status", "tenant", "id"])),
        ("dynamodb:Select", texts(&["ALL_PROJECTED_ATTRIBUTES"])),
        ("dynamodb:ReturnConsumedCapacity", texts(&["NONE"])),
    ];
    vec![
        Case { operation: Operation::Query, body, asks: vec![ask("Query", path(), keys)] },
        Case {
            operation: Operation::Scan,
            body: json!({"TableName": "Orders", "IndexName": "byStatus", "ReturnConsumedCapacity": "INDEXES"}),
            asks: vec![ask(
                "Scan",
                path(),
                vec![
                    ("dynamodb:Attributes", texts(&["status", "tenant", "id"])),
                    ("dynamodb:Select", texts(&["ALL_PROJECTED_ATTRIBUTES"])),
                    ("dynamodb:ReturnConsumedCapacity", texts(&["INDEXES"])),
                ],
            )],
        },
        Case {
            operation: Operation::ExecuteStatement,
            body: json!({"Statement": format!("SELECT id FROM \"Orders\".\"byStatus\" WHERE status IN ['{leading}', 'open']")}),
            asks: vec![ask(
                "PartiQLSelect",
                path(),
                vec![
                    ("dynamodb:LeadingKeys", texts(&[leading, "open"])),
                    ("dynamodb:Attributes", texts(&["id", "status", "tenant"])),
                    ("dynamodb:Select", texts(&["SPECIFIC_ATTRIBUTES"])),
                    ("dynamodb:FullTableScan", texts(&["false"])),
                ],
            )],
        },
    ]
}

fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for leading in ["alice", "tenant-1#a", "tenant-2", "alice*"] {
        let (here, there) = (tables(leading), tables("tenant-1#a"));
        for table in &here {
            cases.extend(table.item_cases());
            cases.extend(table.page_cases());
            cases.extend(table.table_cases());
            cases.extend(table.statement_cases());
        }
        cases.extend(joint_cases(&here, &there));
        cases.extend(index_cases(leading));
    }
    cases
}

#[test]
fn the_product_and_the_independent_judge_agree_in_every_cell() {
    let cases = cases();
    let (mut cells, mut allowed) = (0, 0);
    for (name, document) in principals() {
        let text = serde_json::to_string_pretty(&document).unwrap();
        let policy = Policy::parse(&text).unwrap_or_else(|error| panic!("{name}: {error}\n{text}"));
        let rights = Rights::new("alice", [&policy]);
        for case in &cases {
            let body = case.body.to_string();
            let expected = allows(std::slice::from_ref(&document), "alice", &case.asks);
            let judged = rights.judge(&asked(case.operation, &body), &schema);
            assert_eq!(
                judged.is_ok(),
                expected,
                "{name}: {} {body}\n{judged:?}\n{:#?}",
                case.operation,
                case.asks
            );
            if let Err(denial) = judged {
                let is_asked = |ask: &Ask| {
                    denial.action() == format!("dynamodb:{}", ask.action) && denial.resource() == ask.resource
                };
                assert!(case.asks.iter().any(is_asked), "{name}: {denial:?}");
            }
            cells += 1;
            allowed += usize::from(expected);
        }
    }
    assert!(cells >= 2000, "{cells} cells");
    assert!((cells / 4..cells * 3 / 4).contains(&allowed), "{allowed} of {cells} cells are allowed");
}

#[test]
fn several_policies_count_together() {
    let all = principals();
    let of = |name: &str| &all.iter().find(|(known, _)| *known == name).unwrap().1;
    for pair in [["one-table", "no-delete"], ["columns", "no-full-scan"], ["index-only", "own-keys"]] {
        let documents = pair.map(|name| of(name).clone());
        let policies = documents.each_ref().map(|document| Policy::parse(&document.to_string()).unwrap());
        let rights = Rights::new("alice", &policies);
        for case in cases() {
            let body = case.body.to_string();
            let judged = rights.judge(&asked(case.operation, &body), &schema).is_ok();
            assert_eq!(
                judged,
                allows(&documents, "alice", &case.asks),
                "{pair:?}: {} {body}",
                case.operation
            );
        }
    }
}
