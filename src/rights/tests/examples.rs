//! The examples of the developer guide and of the IAM user guide, with what they say of them; and the short form.
//!
//! Sources: "Using IAM policy conditions for fine-grained access control", "IAM security policies with PartiQL for DynamoDB",
//! "Using IAM with DynamoDB transactions" and "Amazon DynamoDB: Allows access to specific attributes". Where the guide has a
//! variable of a web identity, `${aws:username}` stands here.

use super::{is_allowed, judge, rights_of, words};
use crate::model::Operation::{self, *};
use crate::rights::{Grant, GrantError, Policy, Rights};

const OWN_SCORES: &str = r#"{"Version":"2012-10-17","Statement":[{"Sid":"FullAccessToUserItems","Effect":"Allow",
    "Action":["dynamodb:GetItem","dynamodb:BatchGetItem","dynamodb:Query","dynamodb:PutItem","dynamodb:UpdateItem",
        "dynamodb:DeleteItem","dynamodb:BatchWriteItem"],
    "Resource":["arn:aws:dynamodb:us-east-1:123456789012:table/Orders"],
    "Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["${aws:username}"]}}}]}"#;

const OWN_ATTRIBUTES: &str = r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow",
    "Action":["dynamodb:GetItem","dynamodb:BatchGetItem","dynamodb:Query","dynamodb:PutItem","dynamodb:UpdateItem"],
    "Resource":["arn:aws:dynamodb:*:*:table/Orders"],
    "Condition":{
        "ForAllValues:StringEquals":{"dynamodb:Attributes":["tenant","id","price"]},
        "StringEqualsIfExists":{"dynamodb:Select":"SPECIFIC_ATTRIBUTES","dynamodb:ReturnValues":["NONE","UPDATED_OLD","UPDATED_NEW"]}
    }}]}"#;

fn cells(rights: &Rights, cells: &[(Operation, &str, bool)]) {
    for (operation, body, expected) in cells {
        let judged = judge(rights, *operation, body);
        assert_eq!(judged.is_ok(), *expected, "{operation} {body}: {judged:?}");
    }
}

#[test]
fn items_with_ones_own_partition_key() {
    let key = r#""Key":{"tenant":{"S":"alice"},"id":{"S":"1"}}"#;
    let other = r#""Key":{"tenant":{"S":"bob"},"id":{"S":"1"}}"#;
    let query = |who: &str, more: &str| {
        format!(
            r#"{{"TableName":"Orders","KeyConditionExpression":"tenant=:t","ExpressionAttributeValues":{{":t":{{"S":"{who}"}}}}{more}}}"#
        )
    };
    cells(
        &rights_of(OWN_SCORES),
        &[
            (GetItem, &format!(r#"{{"TableName":"Orders",{key}}}"#), true),
            (GetItem, &format!(r#"{{"TableName":"Orders",{other}}}"#), false),
            (GetItem, &format!(r#"{{"TableName":"Users",{key}}}"#), false),
            (
                DeleteItem,
                &format!(r#"{{"TableName":"arn:aws:dynamodb:us-east-1:123456789012:table/Orders",{key}}}"#),
                true,
            ),
            (
                DeleteItem,
                &format!(r#"{{"TableName":"arn:aws:dynamodb:us-east-1:210987654321:table/Orders",{key}}}"#),
                false,
            ),
            (BatchGetItem, &format!(r#"{{"RequestItems":{{"Orders":{{"Keys":[{}]}}}}}}"#, &key[6..]), true),
            (
                BatchGetItem,
                &format!(r#"{{"RequestItems":{{"Orders":{{"Keys":[{},{}]}}}}}}"#, &key[6..], &other[6..]),
                false,
            ),
            (Query, &query("alice", ""), true),
            (Query, &query("bob", ""), false),
            (Query, &query("alice", r#","IndexName":"byStatus""#), false),
            // "The policy omits Scan because Scan returns all items, irrespective of the leading keys."
            (Scan, r#"{"TableName":"Orders"}"#, false),
            (
                PutItem,
                r#"{"TableName":"Orders","Item":{"tenant":{"S":"alice"},"id":{"S":"2"},"x":{"S":"bob"}}}"#,
                true,
            ),
            (PutItem, r#"{"TableName":"Orders","Item":{"id":{"S":"2"},"x":{"S":"alice"}}}"#, false),
        ],
    );
}

#[test]
fn a_scan_has_no_leading_keys_and_so_passes_as_in_iam() {
    let all = r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*",
        "Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":"alice"}}}}"#;
    cells(
        &rights_of(all),
        &[
            (Scan, r#"{"TableName":"Orders"}"#, true),
            // The documentation does not say what a statement without a key is, so it allows nothing.
            (ExecuteStatement, r#"{"Statement":"SELECT * FROM Orders"}"#, false),
            (
                ExecuteStatement,
                r#"{"Statement":"SELECT * FROM Orders WHERE tenant='alice' OR tenant='bob'"}"#,
                false,
            ),
            (
                ExecuteStatement,
                r#"{"Statement":"SELECT * FROM Orders WHERE tenant='alice' AND (price=1 OR price=2)"}"#,
                true,
            ),
            (
                ExecuteStatement,
                r#"{"Statement":"SELECT * FROM Orders WHERE (tenant='alice' AND id='1') OR (id='2' AND tenant IN ['alice'])"}"#,
                true,
            ),
            (
                ExecuteStatement,
                r#"{"Statement":"SELECT * FROM Orders WHERE tenant=?","Parameters":[{"S":"alice"}]}"#,
                true,
            ),
            (
                ExecuteStatement,
                r#"{"Statement":"SELECT * FROM Orders WHERE tenant=?","Parameters":[{"S":"bob"}]}"#,
                false,
            ),
            (SearchVectors, r#"{"TableName":"Orders","IndexName":"byStatus"}"#, false),
        ],
    );
}

#[test]
fn some_attributes_only() {
    let key = r#""TableName":"Orders","Key":{"tenant":{"S":"a"},"id":{"S":"1"}}"#;
    let get = |more: &str| format!("{{{key}{more}}}");
    cells(
        &rights_of(OWN_ATTRIBUTES),
        &[
            (GetItem, &get(""), false),
            (GetItem, &get(r#","ProjectionExpression":"price""#), true),
            (GetItem, &get(r#","ProjectionExpression":"price,secret""#), false),
            (
                GetItem,
                &get(r##","ProjectionExpression":"#s","ExpressionAttributeNames":{"#s":"secret"}"##),
                false,
            ),
            (GetItem, &get(r#","AttributesToGet":["id","price"]"#), true),
            (GetItem, &get(r#","AttributesToGet":[]"#), false),
            (GetItem, &get(r#","Select":"SPECIFIC_ATTRIBUTES""#), false),
            (
                UpdateItem,
                &get(r#","UpdateExpression":"SET price=:t","ExpressionAttributeValues":{":t":{"N":"1"}}"#),
                true,
            ),
            (UpdateItem, &get(r#","UpdateExpression":"SET price=secret""#), false),
            (
                UpdateItem,
                &get(
                    r#","UpdateExpression":"REMOVE price","ConditionExpression":"attribute_exists(secret)""#,
                ),
                false,
            ),
            (UpdateItem, &get(r#","UpdateExpression":"REMOVE price","ReturnValues":"UPDATED_OLD""#), true),
            (UpdateItem, &get(r#","UpdateExpression":"REMOVE price","ReturnValues":"ALL_NEW""#), false),
            (
                UpdateItem,
                &get(r#","UpdateExpression":"REMOVE price","ReturnValuesOnConditionCheckFailure":"ALL_OLD""#),
                false,
            ),
            (UpdateItem, &get(r#","UpdateExpression":"NONSENSE""#), false),
            (
                PutItem,
                r#"{"TableName":"Orders","Item":{"tenant":{"S":"a"},"id":{"S":"1"},"secret":{"S":"x"}}}"#,
                false,
            ),
            (
                Query,
                r#"{"TableName":"Orders","KeyConditionExpression":"tenant=:t","ExpressionAttributeValues":{":t":{"S":"a"}},
                "Select":"SPECIFIC_ATTRIBUTES"}"#,
                false,
            ),
        ],
    );
}

#[test]
fn queries_of_one_index_only() {
    let rights = rights_of(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":["dynamodb:Query"],
            "Resource":["arn:aws:dynamodb:us-east-1:123456789012:table/Orders/index/byStatus"],
            "Condition":{"ForAllValues:StringEquals":{"dynamodb:LeadingKeys":["open"]}}}]}"#,
    );
    let query = |index: &str, attribute: &str, value: &str| {
        format!(
            r##"{{"TableName":"Orders"{index},"KeyConditionExpression":"#a=:v","ExpressionAttributeNames":{{"#a":"{attribute}"}},"ExpressionAttributeValues":{{":v":{{"S":"{value}"}}}}}}"##
        )
    };
    let by_status = r#","IndexName":"byStatus""#;
    cells(
        &rights,
        &[
            (Query, &query(by_status, "status", "open"), true),
            (Query, &query(by_status, "status", "paid"), false),
            (Query, &query(by_status, "tenant", "open"), false),
            (Query, &query("", "tenant", "open"), false),
            (Query, &query(r#","IndexName":"byTotal""#, "status", "open"), false),
            (Scan, r#"{"TableName":"Orders","IndexName":"byStatus"}"#, false),
        ],
    );
}

#[test]
fn every_attribute_of_a_partition_has_a_key() {
    let rights = rights_of(
        r#"{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Action":"dynamodb:Query","Resource":"*",
            "Condition":{"StringEquals":{"dynamodb:FirstPartitionKeyValues":"s","dynamodb:SecondPartitionKeyValues":"c"}}}]}"#,
    );
    let query = |shop: &str, city: &str| {
        format!(
            r#"{{"TableName":"Orders","IndexName":"byShop","KeyConditionExpression":"shop=:s AND city=:c",
                "ExpressionAttributeValues":{{":s":{{"S":"{shop}"}},":c":{{"S":"{city}"}}}}}}"#
        )
    };
    cells(
        &rights,
        &[
            (Query, &query("s", "c"), true),
            (Query, &query("s", "d"), false),
            (Query, &query("r", "c"), false),
        ],
    );
}

#[test]
fn no_full_table_scans_by_statements() {
    let rights = rights_of(
        r#"{"Version":"2012-10-17","Statement":[
            {"Effect":"Deny","Action":["dynamodb:PartiQLSelect"],
             "Resource":["arn:aws:dynamodb:us-east-1:123456789012:table/*"],"Condition":{"Bool":{"dynamodb:FullTableScan":["true"]}}},
            {"Effect":"Allow","Action":["dynamodb:PartiQLSelect"],"Resource":["arn:aws:dynamodb:us-east-1:123456789012:table/*"]}]}"#,
    );
    let statement = |text: &str| format!(r#"{{"Statement":"{text}"}}"#);
    cells(
        &rights,
        &[
            (ExecuteStatement, &statement("SELECT * FROM Orders WHERE tenant='a'"), true),
            (ExecuteStatement, &statement("SELECT * FROM Orders WHERE tenant IN ['a','b']"), true),
            (ExecuteStatement, &statement("SELECT * FROM Orders WHERE price=1"), false),
            (ExecuteStatement, &statement("SELECT * FROM Orders"), false),
            (ExecuteStatement, &statement("SELECT * FROM Stranger WHERE tenant='a'"), false),
            (ExecuteStatement, &statement("DELETE FROM Orders WHERE tenant='a' AND id='1'"), false),
            (BatchExecuteStatement, r#"{"Statements":[{"Statement":"SELECT * FROM Orders"}]}"#, false),
        ],
    );
    assert!(words(&rights, ExecuteStatement, &statement("SELECT * FROM Orders")).ends_with(
        "is not authorized to perform: dynamodb:PartiQLSelect on resource: \
         arn:aws:dynamodb:us-east-1:123456789012:table/Orders with an explicit deny in an identity-based policy"
    ));
}

#[test]
fn transactions_and_nothing_else_and_the_other_way_round() {
    let actions = r#"["dynamodb:ConditionCheckItem","dynamodb:PutItem","dynamodb:UpdateItem","dynamodb:DeleteItem","dynamodb:GetItem"]"#;
    let condition = r#"{"ForAnyValue:StringEquals":{"dynamodb:EnclosingOperation":["TransactWriteItems","TransactGetItems"]}}"#;
    let table = r#""Resource":["arn:aws:dynamodb:*:*:table/Orders"]"#;
    let only = rights_of(&format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Allow","Action":{actions},{table},"Condition":{condition}}}]}}"#
    ));
    let never = rights_of(&format!(
        r#"{{"Version":"2012-10-17","Statement":[{{"Effect":"Deny","Action":{actions},{table},"Condition":{condition}}},
            {{"Effect":"Allow","Action":{actions},{table}}}]}}"#
    ));
    let one = r#""TableName":"Orders","Key":{"tenant":{"S":"a"},"id":{"S":"1"}}"#;
    for (operation, body, is_transaction) in [
        (TransactGetItems, format!(r#"{{"TransactItems":[{{"Get":{{{one}}}}}]}}"#), true),
        (
            TransactWriteItems,
            format!(
                r#"{{"TransactItems":[{{"Delete":{{{one}}}}},{{"ConditionCheck":{{{one},"ConditionExpression":"attribute_exists(id)"}}}}]}}"#
            ),
            true,
        ),
        (GetItem, format!("{{{one}}}"), false),
        (DeleteItem, format!("{{{one}}}"), false),
    ] {
        assert_eq!(is_allowed(&only, operation, &body), is_transaction, "{operation}");
        assert_eq!(is_allowed(&never, operation, &body), !is_transaction, "{operation}");
    }
}

#[test]
fn a_denial_says_what_the_service_says_and_no_key() {
    let body = r#"{"TableName":"Orders","Key":{"tenant":{"S":"canary"},"id":{"S":"canary"}}}"#;
    for rights in [rights_of(OWN_SCORES), Rights::new("alice", [])] {
        assert_eq!(
            words(&rights, GetItem, body),
            "User: arn:aws:iam::123456789012:user/alice is not authorized to perform: dynamodb:GetItem on resource: \
             arn:aws:dynamodb:us-east-1:123456789012:table/Orders because no identity-based policy allows the dynamodb:GetItem action"
        );
    }
    let denial = words(&rights_of(OWN_SCORES), ListTables, "{}");
    assert!(
        denial.contains("dynamodb:ListTables on resource: * because no identity-based policy"),
        "{denial}"
    );
}

fn granted(grant: Grant) -> Rights {
    Rights::new("alice", [&grant.policy().unwrap()])
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(|text| (*text).to_owned()).collect()
}

#[test]
fn the_short_form_grants_tables_indexes_and_actions() {
    let grant = |tables: &[&str], actions: &[&str]| Grant {
        tables: strings(tables),
        actions: strings(actions),
        ..Grant::default()
    };
    let index = r#"{"TableName":"Orders","IndexName":"byStatus"}"#;
    let stream = r#"{"StreamArn":"arn:aws:dynamodb:us-east-1:123456789012:table/Orders/stream/2026"}"#;
    cells(
        &granted(grant(&["Ord*"], &["read-only"])),
        &[
            (Scan, r#"{"TableName":"Orders"}"#, true),
            (Scan, index, true),
            (DescribeStream, stream, true),
            (Scan, r#"{"TableName":"Users"}"#, false),
            (PutItem, r#"{"TableName":"Orders","Item":{}}"#, false),
            (DescribeTable, r#"{"TableName":"Orders"}"#, true),
            (ListTables, "{}", false),
        ],
    );
    let one_index =
        Grant { indexes: Some(strings(&["byS*"])), ..grant(&["Ord*"], &["Scan", "dynamodb:PutItem"]) };
    cells(
        &granted(one_index.clone()),
        &[
            (Scan, index, true),
            (Scan, r#"{"TableName":"Orders"}"#, true),
            (Scan, r#"{"TableName":"Orders","IndexName":"other"}"#, false),
            (PutItem, r#"{"TableName":"Orders","Item":{}}"#, true),
            (GetItem, r#"{"TableName":"Orders","Key":{}}"#, false),
        ],
    );
    cells(&granted(Grant { indexes: Some(Vec::new()), ..one_index }), &[(Scan, index, false)]);
    let everything = granted(grant(&["*"], &["dynamodb:*"]));
    assert!(everything.may_do_everything());
    assert!(!granted(grant(&["*"], &["read-write"])).may_do_everything());
    cells(
        &granted(grant(&["*"], &["read-write"])),
        &[
            (ListTables, "{}", true),
            (BatchWriteItem, r#"{"RequestItems":{"a":[],"b":[]}}"#, true),
            (DeleteTable, r#"{"TableName":"Orders"}"#, false),
        ],
    );
}

#[test]
fn the_short_form_keeps_tenants_apart() {
    let grant = Grant {
        tables: strings(&["*"]),
        actions: strings(&["*"]),
        leading_keys: strings(&["tenant-1*", "shared"]),
        ..Grant::default()
    };
    let get = |tenant: &str| {
        format!(r#"{{"TableName":"Orders","Key":{{"tenant":{{"S":"{tenant}"}},"id":{{"S":"1"}}}}}}"#)
    };
    cells(
        &granted(grant.clone()),
        &[
            (GetItem, &get("tenant-1#7"), true),
            (GetItem, &get("shared"), true),
            (GetItem, &get("shared2"), false),
            (GetItem, &get("tenant-2"), false),
            (Scan, r#"{"TableName":"Orders"}"#, false),
            (ExecuteStatement, r#"{"Statement":"SELECT * FROM Orders"}"#, false),
            (ExecuteStatement, r#"{"Statement":"SELECT * FROM Orders WHERE tenant='shared'"}"#, true),
            (DescribeTable, r#"{"TableName":"Orders"}"#, true),
            (DeleteTable, r#"{"TableName":"Orders"}"#, false),
            (
                GetRecords,
                r#"{"ShardIterator":"arn:aws:dynamodb:us-east-1:1:table/Orders/stream/2026|1|A"}"#,
                false,
            ),
            (Unknown, r#"{"TableName":"Orders"}"#, false),
        ],
    );
    let attributes = Grant {
        actions: strings(&["read-only", "UpdateItem"]),
        leading_keys: Vec::new(),
        attributes: strings(&["tenant", "id", "price"]),
        ..grant
    };
    let with = |more: &str| get("x").replace("}}}", &format!("}}}},{more}}}"));
    cells(
        &granted(attributes),
        &[
            (GetItem, &get("x"), false),
            (GetItem, &with(r#""ProjectionExpression":"price""#), true),
            (Scan, r#"{"TableName":"Orders","ProjectionExpression":"price,id"}"#, true),
            (Scan, r#"{"TableName":"Orders","Select":"COUNT"}"#, true),
            (Scan, r#"{"TableName":"Orders"}"#, false),
            (ExecuteStatement, r#"{"Statement":"SELECT price FROM Orders WHERE tenant='a'"}"#, true),
            (ExecuteStatement, r#"{"Statement":"SELECT * FROM Orders WHERE tenant='a'"}"#, false),
        ],
    );
}

#[test]
fn faults_of_the_short_form_are_named() {
    let fault = |tables: &[&str], actions: &[&str]| {
        let grant = Grant { tables: strings(tables), actions: strings(actions), ..Grant::default() };
        grant.policy().unwrap_err()
    };
    assert_eq!(fault(&[], &["*"]), GrantError::Empty("tables"));
    assert_eq!(fault(&["a"], &[]).to_string(), "actions lists nothing: a grant names at least one");
    assert_eq!(
        fault(&["a"], &["GetItms"]).to_string(),
        "unknown action \"dynamodb:GetItms\"; the nearest known one is \"dynamodb:GetItem\""
    );
    assert!(
        fault(&["a"], &["TransactWriteItems"]).to_string().starts_with("TransactWriteItems is no action")
    );
    assert_eq!(fault(&["a/b"], &["*"]), GrantError::Name { list: "tables", name: "a/b".into() });
    assert_eq!(
        fault(&["a"], &["Read-Only"]).to_string(),
        "unknown action \"Read-Only\"; the nearest known one is \"read-only\""
    );
    assert!(fault(&["a"], &["dynamodb:read-only"]).to_string().contains("an action is written like"));
}

#[test]
fn lists_that_can_match_nothing_are_warnings() {
    let warnings = |actions: &[&str], leading_keys: &[&str], attributes: &[&str]| {
        let grant = Grant {
            tables: strings(&["*"]),
            actions: strings(actions),
            leading_keys: strings(leading_keys),
            attributes: strings(attributes),
            ..Grant::default()
        };
        grant.warnings()
    };
    let one = |list, words: &str| vec![(list, words.to_owned())];
    assert_eq!(
        warnings(&["*"], &["1.0"], &[]),
        one("leading_keys", "\"1.0\" is never the value of a number key: DynamoDB writes that number \"1\"")
    );
    assert!(warnings(&["*"], &["1.0", "1", "tenant-1*"], &["id"]).is_empty());
    assert!(warnings(&["*"], &["${aws:username}"], &[])[0].1.contains("lists have no variables"));
    assert!(warnings(&["*"], &[], &["i*"])[0].1.contains("attributes have no wildcards"));
    assert_eq!(warnings(&["Scan"], &["a"], &[]), one("actions", "with leading_keys these allow nothing"));
    assert_eq!(
        warnings(&["DeleteTable"], &[], &["a"]),
        one("actions", "with attributes these allow nothing")
    );
    for (actions, leading_keys, attributes) in [
        (["Scan"], &[][..], &["a"][..]),
        (["Query"], &["a"], &[]),
        (["DescribeTable"], &["a"], &["a"]),
        (["DeleteTable"], &[], &[]),
    ] {
        assert!(warnings(&actions, leading_keys, attributes).is_empty(), "{actions:?}");
    }
}

#[test]
fn what_a_role_has_at_once_is_found_at_once() {
    let everything =
        r#"{"Version":"2012-10-17","Statement":{"Effect":"Allow","Action":"dynamodb:*","Resource":"*"}}"#;
    assert!(rights_of(everything).may_do_everything());
    let nothing_of_ours = r#"{"Statement":{"Effect":"Deny","Action":"s3:*","Resource":"*"}}"#;
    let both = [everything, nothing_of_ours].map(|text| Policy::parse(text).unwrap());
    assert!(Rights::new("a", &both).may_do_everything());
    let denied = r#"{"Statement":{"Effect":"Deny","Action":"dynamodb:DeleteTable","Resource":"*"}}"#;
    let both = [everything, denied].map(|text| Policy::parse(text).unwrap());
    assert!(!Rights::new("a", &both).may_do_everything());
}
