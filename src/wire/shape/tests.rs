//! Requests that are wrong in every way of the table, and what is said of them.

use proptest::prelude::*;

use super::*;
use crate::model::ErrorCode;
use crate::wire::attribute::{item_from_json, value_from_json};
use crate::wire::json::DEPTH_MAX;

/// The answer to a body: the code and the words, or nothing when it passes.
fn answer(operation: Operation, body: &str) -> Option<(ErrorCode, String)> {
    let json = Json::parse(body.as_bytes()).unwrap();
    let error = check(operation, &json).err()?;
    Some((error.code, error.message.unwrap_or_default().into_owned()))
}

fn assert_serialization(operation: Operation, body: &str, words: &str) {
    assert_eq!(answer(operation, body), Some((ErrorCode::Serialization, words.to_owned())), "{body}");
}

fn assert_violations(operation: Operation, body: &str, violations: &[&str]) {
    let plural = if violations.len() == 1 { "" } else { "s" };
    let words = format!("{} validation error{plural} detected: {}", violations.len(), violations.join("; "));
    assert_eq!(answer(operation, body), Some((ErrorCode::Validation, words)), "{operation} {body}");
}

fn assert_sentence(operation: Operation, body: &str, words: &str) {
    assert_eq!(answer(operation, body), Some((ErrorCode::Validation, words.to_owned())), "{body}");
}

/// The values that are wrong for a place, with the words for each.
fn assert_mismatches(operation: Operation, body: &str, mismatches: &[(&str, &str)]) {
    for (value, words) in mismatches {
        assert_serialization(operation, &body.replace('@', value), words);
    }
}

const NESTED_COLLECTION: &str = "class sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl cannot be cast \
     to class java.lang.Class (sun.reflect.generics.reflectiveObjects.ParameterizedTypeImpl and java.lang.Class \
     are in module java.base of loader 'bootstrap')";

#[test]
fn a_body_is_an_object() {
    assert_serialization(Operation::GetItem, "null", "");
    assert_serialization(Operation::GetItem, "\"\"", "Unexpected value type in payload");
    assert_serialization(Operation::Unknown, "7", "Unexpected value type in payload");
    let words = "Unrecognized collection type class com.amazonaws.dynamodb.v20120810.ListTables";
    assert_serialization(Operation::ListTables, "[]", words);
}

#[test]
fn scalars_of_a_wrong_type_are_named() {
    let text = [
        ("true", "TRUE_VALUE cannot be converted to String"),
        ("false", "FALSE_VALUE cannot be converted to String"),
        ("-23", "NUMBER_VALUE cannot be converted to String"),
        ("2", "NUMBER_VALUE cannot be converted to String"),
        ("34.56", "DECIMAL_VALUE cannot be converted to String"),
        ("[]", "Unrecognized collection type class java.lang.String"),
        ("{}", "Start of structure or map found where not expected"),
    ];
    let boolean = [
        ("\"23\"", "Unexpected token received from parser"),
        ("23", "NUMBER_VALUE cannot be converted to Boolean"),
        ("34.56", "DECIMAL_VALUE cannot be converted to Boolean"),
        ("[]", "Unrecognized collection type class java.lang.Boolean"),
        ("{}", "Start of structure or map found where not expected"),
    ];
    let integer = [
        ("\"23\"", "STRING_VALUE cannot be converted to Integer"),
        ("true", "TRUE_VALUE cannot be converted to Integer"),
        ("[]", "Unrecognized collection type class java.lang.Integer"),
        ("{}", "Start of structure or map found where not expected"),
    ];
    let binary = [
        ("true", "only base-64-encoded strings are convertible to bytes"),
        ("23", "only base-64-encoded strings are convertible to bytes"),
        ("[]", "Unrecognized collection type class java.nio.ByteBuffer"),
        ("{}", "Start of structure or map found where not expected"),
        ("\"23456\"", "Base64 encoded length is expected a multiple of 4 bytes but found: 5"),
        ("\"=+/=\"", "Invalid last non-pad Base64 character dectected"),
        ("\"+/+=\"", "Invalid last non-pad Base64 character dectected"),
    ];
    assert_mismatches(Operation::GetItem, r#"{"TableName":@}"#, &text);
    assert_mismatches(Operation::Query, r#"{"AttributesToGet":[@]}"#, &text);
    assert_mismatches(Operation::Query, r##"{"ExpressionAttributeNames":{"#a":@}}"##, &text);
    assert_mismatches(Operation::Query, r#"{"ConsistentRead":@}"#, &boolean);
    assert_mismatches(Operation::Query, r#"{"Limit":@}"#, &integer);
    let units = r#"{"ProvisionedThroughput":{"ReadCapacityUnits":@}}"#;
    let words = "STRING_VALUE cannot be converted to Long";
    assert_mismatches(Operation::CreateTable, units, &[("\"1\"", words)]);
    for place in [r#"{"Key":{"a":{"B":@}}}"#, r#"{"Key":{"a":{"L":[{"M":{"b":{"BS":[@]}}}]}}}"#] {
        assert_mismatches(Operation::GetItem, place, &binary);
    }
    for place in [r#"{"Item":{"a":{"S":@}}}"#, r#"{"Item":{"a":{"N":@}}}"#, r#"{"Item":{"a":{"NS":[@]}}}"#] {
        assert_mismatches(Operation::PutItem, place, &text);
    }
    assert_mismatches(Operation::PutItem, r#"{"Expected":{"a":{"Exists":@}}}"#, &boolean);
    for (value, words) in boolean {
        let words = if value == "[]" { "" } else { words };
        assert_mismatches(
            Operation::PutItem,
            r#"{"Expected":{"a":{"Value":{"BOOL":@}}}}"#,
            &[(value, words)],
        );
    }
}

#[test]
fn a_number_where_none_belongs_is_named_by_how_it_is_written() {
    for (number, token) in [
        ("-0", "NUMBER_VALUE"),
        ("18446744073709551616", "NUMBER_VALUE"),
        ("-0.0", "DECIMAL_VALUE"),
        ("1E0", "DECIMAL_VALUE"),
    ] {
        let text = format!(r#"{{"Item":{{"n":{{"N":"2.5"}},"a":{{"S":{number}}}}},"Limit":1.5}}"#);
        let body = Json::parse(text.as_bytes()).unwrap();
        let error = check_sent(Operation::PutItem, &body, text.as_bytes()).unwrap_err();
        assert_eq!(error.message.unwrap(), format!("{token} cannot be converted to String"), "{number}");
    }
}

#[test]
fn collections_of_a_wrong_type_are_named_by_where_they_stand() {
    let class =
        |name: &str| format!("Unrecognized collection type class com.amazonaws.dynamodb.v20120810.{name}");
    let map_of = |name: &str| format!("Unrecognized collection type java.util.Map<java.lang.String, {name}>");
    let values = map_of("com.amazonaws.dynamodb.v20120810.AttributeValue");
    let names = map_of("java.lang.String");
    let writes = map_of("java.util.List<com.amazonaws.dynamodb.v20120810.WriteRequest>");
    let field = "Unexpected field type";
    let element = "Unexpected value type in payload";
    let no_map = "Start of structure or map found where not expected";
    let cases = [
        (Operation::Query, r#"{"AttributesToGet":@}"#, [field, no_map, ""]),
        (Operation::GetItem, r#"{"Key":@}"#, [field, "", &values]),
        (Operation::GetItem, r#"{"ExpressionAttributeNames":@}"#, [field, "", &names]),
        (Operation::GetItem, r#"{"Key":{"a":@}}"#, [element, "", &class("AttributeValue")]),
        (Operation::GetItem, r#"{"Key":{"a":{"M":@}}}"#, [field, "", &values]),
        (Operation::GetItem, r#"{"Key":{"a":{"L":@}}}"#, [field, no_map, ""]),
        (Operation::GetItem, r#"{"Key":{"a":{"L":[@]}}}"#, [element, "", &class("AttributeValue")]),
        (Operation::PutItem, r#"{"Expected":{"a":{"Value":@}}}"#, [field, "", &class("AttributeValue")]),
        (Operation::PutItem, r#"{"Expected":{"a":@}}"#, [element, "", &class("ExpectedAttributeValue")]),
        (
            Operation::CreateTable,
            r#"{"ProvisionedThroughput":@}"#,
            [field, "", &class("ProvisionedThroughput")],
        ),
        (Operation::CreateTable, r#"{"KeySchema":[@]}"#, [element, "", &class("KeySchemaElement")]),
        (Operation::BatchWriteItem, r#"{"RequestItems":@}"#, [field, "", &writes]),
        (Operation::BatchWriteItem, r#"{"RequestItems":{"a":@}}"#, [NESTED_COLLECTION, no_map, ""]),
        (Operation::BatchGetItem, r#"{"RequestItems":{"a":{"Keys":[@]}}}"#, [NESTED_COLLECTION, "", &values]),
    ];
    for (operation, body, words) in cases {
        for (value, words) in ["true", "{}", "[]"].into_iter().zip(words) {
            if !words.is_empty() {
                assert_mismatches(operation, body, &[(value, words)]);
            }
        }
    }
}

#[test]
fn what_the_service_lets_pass_passes() {
    let bodies = [
        (Operation::ListTables, r#"{}"#),
        (Operation::ListTables, r#"{"Limit":1.5,"Nonsense":{"a":[1]}}"#),
        (
            Operation::GetItem,
            r#"{"TableName":"abc","Key":{"a":{"S":"","Z":1,"N":null}},"ConsistentRead":"TRUE"}"#,
        ),
        (
            Operation::Scan,
            r#"{"TableName":"arn:aws:dynamodb:eu-west-1:123456789012:table/abc","Limit":null,"Segment":0}"#,
        ),
        (
            Operation::CreateTable,
            r#"{"TableName":"abc","KeySchema":[{"AttributeName":"a","KeyType":"HASH"}],"AttributeDefinitions":[]}"#,
        ),
    ];
    for (operation, body) in bodies {
        assert_eq!(answer(operation, body), None, "{body}");
    }
}

#[test]
fn violations_are_collected_in_the_order_of_the_table() {
    assert_violations(
        Operation::PutItem,
        r#"{"ReturnConsumedCapacity":"hi","ReturnItemCollectionMetrics":"hi","ReturnValues":"hi"}"#,
        &[
            "Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: \
             Member must satisfy enum value set: [INDEXES, TOTAL, NONE]",
            "Value null at 'tableName' failed to satisfy constraint: Member must not be null",
            "Value null at 'item' failed to satisfy constraint: Member must not be null",
            "Value 'hi' at 'returnValues' failed to satisfy constraint: \
             Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]",
            "Value 'hi' at 'returnItemCollectionMetrics' failed to satisfy constraint: \
             Member must satisfy enum value set: [SIZE, NONE]",
        ],
    );
    assert_violations(
        Operation::CreateTable,
        r#"{"TableName":"abc","KeySchema":[{"KeyType":"b"}],"AttributeDefinitions":[{}],
            "ProvisionedThroughput":{"ReadCapacityUnits":0}}"#,
        &[
            "Value null at 'attributeDefinitions.1.member.attributeType' failed to satisfy constraint: \
             Member must not be null",
            "Value null at 'attributeDefinitions.1.member.attributeName' failed to satisfy constraint: \
             Member must not be null",
            "Value null at 'provisionedThroughput.writeCapacityUnits' failed to satisfy constraint: \
             Member must not be null",
            "Value '0' at 'provisionedThroughput.readCapacityUnits' failed to satisfy constraint: \
             Member must have value greater than or equal to 1",
            "Value null at 'keySchema.1.member.attributeName' failed to satisfy constraint: \
             Member must not be null",
            "Value 'b' at 'keySchema.1.member.keyType' failed to satisfy constraint: \
             Member must satisfy enum value set: [HASH, RANGE]",
        ],
    );
}

#[test]
fn the_newer_reader_leaves_requests_that_it_does_not_understand_plainly() {
    let reader = |operation, body: &str| {
        let body = body.replace('@', &format!("{}{{}}{}", "[".repeat(DEPTH_MAX), "]".repeat(DEPTH_MAX)));
        reader_of(operation, &Json::parse_cut(body.as_bytes()).unwrap())
    };
    for (operation, body) in [
        (Operation::PutItem, r#"{"Item":{"S":{"S":"x"},"N":{"BOOL":true,"S":null}}}"#),
        (Operation::PutItem, r#"{"Item":{"a":{"M":{}},"b":{"L":[{"NULL":false}]}},"Expected":{"BOOL":{}}}"#),
        (
            Operation::PutItem,
            r#"{"Item":{"Exists":{"S":"yes"}},"Expected":{"a":{"Exists":true,"Value":null}}}"#,
        ),
        (Operation::Query, r#"{"ConsistentRead":null,"ScanIndexForward":false}"#),
        (Operation::Query, r#"{"Limit":2147483647}"#),
        (Operation::Scan, r#"{"Segment":1.0}"#),
    ] {
        assert_eq!(reader(operation, body), Reader::Newer, "{body}");
    }
    for (operation, body) in [
        (Operation::PutItem, r#"{"Item":{"a":{"M":{"b":{"L":[{"BOOL":"no"}]}}}}}"#),
        (Operation::PutItem, r#"{"Item":{"a":{"S":"x","N":"1"}}}"#),
        (Operation::PutItem, r#"{"Item":{"a":{"S":null}}}"#),
        (Operation::PutItem, r#"{"Expected":{"a":{"Exists":"yes"}}}"#),
        (Operation::PutItem, r#"{"Unknown":@}"#),
        (Operation::Query, r#"{"QueryFilter":{"a":{"AttributeValueList":[{"NULL":"1"}]}}}"#),
        (Operation::Scan, r#"{"ConsistentRead":"true"}"#),
        (Operation::Query, r#"{"Limit":1.5}"#),
        (Operation::Query, r#"{"Limit":2147483648}"#),
        (Operation::TransactWriteItems, r#"{}"#),
    ] {
        assert_eq!(reader(operation, body), Reader::Older, "{body}");
    }
}

#[test]
fn return_values_are_refused_in_the_words_of_the_reader() {
    let body = |value: &str| format!(r#"{{"TableName":"abc","Item":{{"a":{value}}},"ReturnValues":"hi"}}"#);
    let newer = "Failed to satisfy constraint: Member must satisfy enum value set: \
                 [ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATE_NEW, NONE]";
    let older = "Value 'hi' at 'returnValues' failed to satisfy constraint: Member must satisfy enum value set: \
                 [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]";
    assert_violations(Operation::PutItem, &body(r#"{"BOOL":true}"#), &[newer]);
    assert_violations(Operation::PutItem, &body(r#"{"BOOL":"true"}"#), &[older]);
}

#[test]
fn no_more_than_ten_violations_are_told() {
    let tags = vec![r#"{"AttributeName":"a"}"#; 30].join(",");
    let body = format!(r#"{{"TableName":"abc","AttributeDefinitions":[{tags}]}}"#);
    let (_, words) = answer(Operation::CreateTable, &body).unwrap();
    assert!(words.starts_with("10 validation errors detected: "), "{words}");
}

#[test]
fn table_names_are_refused_in_the_words_of_their_operation() {
    let long = "a".repeat(256);
    for operation in [Operation::GetItem, Operation::UpdateItem, Operation::Query, Operation::Scan] {
        let body = |name: &str| format!(r#"{{"TableName":"{name}","Key":{{}}}}"#);
        assert_violations(
            operation,
            &body("").replace("}}", r#"},"ReturnConsumedCapacity":"hi"}"#),
            &["Value at 'TableName' failed to satisfy constraint: \
               Member must have length greater than or equal to 1"],
        );
        let too_short = "Value 'a;' at 'tableName' failed to satisfy constraint: \
             Member must have length greater than or equal to 3";
        let unlike = "Value 'a;' at 'tableName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
        // Only UpdateItem tells of more than one fault, and then of the pattern first.
        let both: &[&str] =
            if operation == Operation::UpdateItem { &[unlike, too_short] } else { &[too_short] };
        assert_violations(operation, &body("a;"), both);
        let too_long = format!(
            "Value '{long}' at 'tableName' failed to satisfy constraint: \
             Member must have length less than or equal to 255"
        );
        assert_violations(operation, &body(&long), &[&too_long]);
    }
    assert_sentence(
        Operation::CreateTable,
        r#"{"BillingMode":"hi"}"#,
        "The parameter 'TableName' is required but was not present in the request",
    );
    assert_violations(
        Operation::DescribeTable,
        r#"{"TableName":""}"#,
        &[
            "Value '' at 'tableName' failed to satisfy constraint: \
             Member must have length greater than or equal to 3",
            "Value '' at 'tableName' failed to satisfy constraint: \
             Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+",
        ],
    );
    assert_sentence(
        Operation::RestoreTableFromBackup,
        r#"{"TargetTableName":"","BackupArn":"a","BillingModeOverride":"hi"}"#,
        "TableName must be at least 3 characters long and at most 255 characters long",
    );
    for arn in ["arn:aws:dynamodb:us-east-1:1:table/a", "arn:aws:s3:us-east-1:1:table/abc", "arn:"] {
        let body = format!(r#"{{"TableName":"{arn}"}}"#);
        let (_, words) = answer(Operation::DescribeTable, &body).unwrap();
        assert!(words.contains("regular expression pattern: [a-zA-Z0-9_.-]+"), "{words}");
    }
}

const CAPACITY: &str = "Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: \
     Member must satisfy enum value set: [INDEXES, TOTAL, NONE]";
const METRICS: &str = "Value 'hi' at 'returnItemCollectionMetrics' failed to satisfy constraint: \
     Member must satisfy enum value set: [SIZE, NONE]";
const RETURN_VALUES: &str = "Failed to satisfy constraint: Member must satisfy enum value set: \
     [ALL_OLD, UPDATED_OLD, ALL_NEW, UPDATE_NEW, NONE]";
const ON_FAILURE: &str = "Value 'hi' at 'returnValuesOnConditionCheckFailure' failed to satisfy constraint: \
     Member must satisfy enum value set: [ALL_OLD, NONE]";
const SELECT: &str = "Value 'hi' at 'select' failed to satisfy constraint: Member must satisfy enum value set: \
     [SPECIFIC_ATTRIBUTES, COUNT, ALL_ATTRIBUTES, ALL_PROJECTED_ATTRIBUTES]";
const SHORT_NAME: &str = "Value 'ab' at 'tableName' failed to satisfy constraint: Member must have length greater than or equal to 3";
const NO_NAME: &str = "Value null at 'tableName' failed to satisfy constraint: Member must not be null";
const NO_KEY: &str = "Value null at 'key' failed to satisfy constraint: Member must not be null";

/// The words of a newer front, which names the member as the request does, and does not show its value.
fn below(member: &str, least: u8) -> String {
    format!(
        "Value at '{member}' failed to satisfy constraint: Member must have value greater than or equal to {least}"
    )
}

#[test]
fn an_update_tells_of_one_wrong_choice_and_of_some_without_the_envelope() {
    let wrong = [
        r#""ReturnConsumedCapacity":"hi""#,
        r#""ReturnItemCollectionMetrics":"hi""#,
        r#""ReturnValuesOnConditionCheckFailure":"hi""#,
        r#""ReturnValues":"hi""#,
    ];
    let body = |count: usize| format!(r#"{{"TableName":"abc","Key":{{}},{}}}"#, wrong[..count].join(","));
    assert_sentence(Operation::UpdateItem, &body(1), CAPACITY);
    assert_violations(Operation::UpdateItem, &body(2), &[METRICS]);
    assert_sentence(Operation::UpdateItem, &body(3), ON_FAILURE);
    assert_violations(Operation::UpdateItem, &body(4), &[RETURN_VALUES]);
    assert_violations(Operation::UpdateItem, &body(4).replace("abc", "ab"), &[SHORT_NAME]);
}

#[test]
fn other_writes_tell_of_all_wrong_choices_behind_the_name() {
    let body = r#"{"TableName":"ab","Key":{},"Item":{},"ReturnValues":"hi","ReturnConsumedCapacity":"hi",
        "ReturnValuesOnConditionCheckFailure":"hi","ReturnItemCollectionMetrics":"hi","ConditionalOperator":"hi"}"#;
    let all = [SHORT_NAME, CAPACITY, RETURN_VALUES, METRICS, ON_FAILURE];
    assert_violations(Operation::PutItem, body, &all);
    assert_violations(Operation::DeleteItem, body, &all);
    let body =
        body.replace("\"ab\"", "\"abc\"").replace(r#""ReturnValues":"hi""#, r#""ReturnValues":"ALL_NEW""#);
    let unhonoured = "ReturnValues can only be ALL_OLD or NONE";
    assert_violations(Operation::DeleteItem, &body, &[CAPACITY, METRICS, ON_FAILURE, unhonoured]);
    assert_violations(Operation::PutItem, &body, &[CAPACITY, METRICS, ON_FAILURE]);
}

#[test]
fn what_the_newer_front_cannot_read_the_older_one_answers() {
    // It knows of no wrong names, and of no values that an operation does not take; but it shows all wrong choices.
    let older = "Value 'hi' at 'returnValues' failed to satisfy constraint: \
         Member must satisfy enum value set: [ALL_NEW, UPDATED_OLD, ALL_OLD, NONE, UPDATED_NEW]";
    let body = r#"{"TableName":"ab","ReturnValues":"hi","ReturnItemCollectionMetrics":"hi",
        "ReturnValuesOnConditionCheckFailure":"hi","ReturnConsumedCapacity":"hi"}"#;
    let all = [CAPACITY, older, ON_FAILURE, METRICS, NO_KEY];
    assert_violations(Operation::UpdateItem, body, &all);
    let nameless = [CAPACITY, NO_NAME, older, ON_FAILURE, METRICS, NO_KEY];
    assert_violations(Operation::UpdateItem, &body.replace(r#""TableName":"ab","#, ""), &nameless);
    assert_violations(Operation::DeleteItem, r#"{"TableName":"ab","ReturnValues":"ALL_NEW"}"#, &[NO_KEY]);
    let limit = "Value '0' at 'limit' failed to satisfy constraint: Member must have value greater than or equal to 1";
    for operation in [Operation::Query, Operation::Scan] {
        assert_violations(operation, r#"{"Limit":0,"Select":"hi"}"#, &[SELECT, NO_NAME, limit]);
        // A number that is cut to its type sends the request there, too.
        assert_violations(operation, r#"{"TableName":"ab","Limit":0.5}"#, &[limit]);
        assert_violations(operation, r#"{"TableName":"ab","Limit":2147483648}"#, &[SHORT_NAME]);
        assert_eq!(answer(operation, r#"{"TableName":"abc","Limit":2147483648}"#), None);
        let empty = "Value '' at 'tableName' failed to satisfy constraint: \
             Member must have length greater than or equal to 1";
        assert_violations(operation, r#"{"TableName":"","Limit":4294967296}"#, &[empty]);
    }
    let condition = r#"{"TableName":"ab","ScanFilter":{"a":{}}}"#;
    let operator = "Value null at 'scanFilter.a.member.comparisonOperator' failed to satisfy constraint: Member must not be null";
    assert_violations(Operation::Scan, condition, &[operator]);
}

#[test]
fn values_that_the_newer_reader_does_not_take_leave_the_newer_front_its_stages() {
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let answer = |operation, body: &str| {
        let body = body.replace('@', &deep);
        check(operation, &Json::parse_cut(body.as_bytes()).unwrap()).map_err(|error| error.message.unwrap())
    };
    let name = "1 validation error detected: Value 'a!b' at 'tableName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    let body = r#"{"TableName":"a!b","Key":{"a":{"S":"x"}},"Item":{"a":{"S":"x"}},"Unknown":@}"#;
    for operation in [Operation::PutItem, Operation::UpdateItem, Operation::DeleteItem] {
        assert_eq!(answer(operation, body).unwrap_err(), name);
    }
    let body = r#"{"TableName":"abc","Limit":0,"Unknown":@}"#;
    let limit = format!("1 validation error detected: {}", below("Limit", 1));
    assert_eq!(answer(Operation::Query, body).unwrap_err(), limit);
    // What an operation does not take is told behind its values, in a sentence of its own.
    let body = r#"{"TableName":"abc","Key":{"a":{"S":"x"}},"ReturnValues":"ALL_NEW","Unknown":@}"#;
    assert_eq!(answer(Operation::DeleteItem, body), Ok(()));
}

#[test]
fn reads_of_pages_tell_of_numbers_first_and_of_a_wrong_select_last() {
    let body = r#"{"Limit":0,"Segment":-1,"TotalSegments":0,"TableName":"","Select":"hi","ReturnConsumedCapacity":"hi"}"#;
    let empty = "Value at 'TableName' failed to satisfy constraint: Member must have length greater than or equal to 1";
    assert_violations(Operation::Query, body, &[&below("Limit", 1), empty]);
    // A Scan reports its numbers beside the rest, and shows them.
    assert_violations(Operation::Scan, body, &[empty]);
    let shown = |value: &str, member: &str, least: usize| {
        format!(
            "Value '{value}' at '{member}' failed to satisfy constraint: \
             Member must have value greater than or equal to {least}"
        )
    };
    let (total, segment, limit) =
        (shown("0", "totalSegments", 1), shown("-1", "segment", 0), shown("0", "limit", 1));
    let body = body.replace(r#""TableName":"""#, r#""TableName":"ab""#);
    assert_violations(Operation::Scan, &body, &[SHORT_NAME, CAPACITY, &total, &segment, &limit]);
    let later =
        r#"{"TableName":"ab","Select":"hi","ReturnConsumedCapacity":"hi","ConditionalOperator":"hi"}"#;
    for operation in [Operation::Query, Operation::Scan] {
        assert_violations(operation, later, &[SHORT_NAME, CAPACITY]);
        let select = r#"{"TableName":"abc","Select":"hi","ConditionalOperator":"hi"}"#;
        assert_eq!(answer(operation, select), None);
        let json = Json::parse(select.as_bytes()).unwrap();
        let told = check_later(operation, "Select", &json).unwrap_err();
        assert_eq!(told.message.unwrap(), format!("1 validation error detected: {SELECT}"));
        check_later(operation, "TableName", &json).unwrap();
    }
}

#[test]
fn a_conditional_operator_that_is_none_comes_in_older_words_where_the_older_front_reads() {
    let operator = "Value 'XOR' at 'conditionalOperator' failed to satisfy constraint: \
         Member must satisfy enum value set: [OR, AND]";
    let no_key = "Value null at 'key' failed to satisfy constraint: Member must not be null";
    let two = r#""ConditionalOperator":"XOR","Expected":{"a":{"Exists":false},"b":{"Exists":false}}"#;
    let body = format!(r#"{{"TableName":"abc",{two}}}"#);
    assert_violations(Operation::UpdateItem, &body, &[operator, no_key]);
    let empty = "Value '' at 'tableName' failed to satisfy constraint: \
         Member must have length greater than or equal to 1";
    assert_violations(
        Operation::UpdateItem,
        r#"{"TableName":"","UpdateExpression":"SET a = :a"}"#,
        &[empty, no_key],
    );
    // The newer front leaves it to the operation.
    let whole = format!(r#"{{"TableName":"abc","Key":{{}},"Item":{{}},{two}}}"#);
    let deep = format!("{}{}", "[".repeat(200), "]".repeat(200));
    let told = format!("1 validation error detected: {operator}");
    for operation in [Operation::PutItem, Operation::UpdateItem, Operation::DeleteItem] {
        assert_eq!(answer(operation, &whole), None);
        let deep = whole.replacen('{', &format!(r#"{{"Unknown":{deep},"#), 1);
        let error = check(operation, &Json::parse_cut(deep.as_bytes()).unwrap()).unwrap_err();
        assert_eq!(error.message.unwrap(), told, "{operation}");
    }
}

#[test]
fn numbers_are_cut_to_their_types() {
    let beyond = "Value '2147483647' at 'limit' failed to satisfy constraint: \
         Member must have value less than or equal to 100";
    for limit in ["2147483647", "2147483647.9", "4294967296", "9223372036854775808", "1e30"] {
        assert_violations(Operation::ListTables, &format!(r#"{{"Limit":{limit}}}"#), &[beyond]);
    }
    let segment = "Value '-2147483648' at 'segment' failed to satisfy constraint: \
         Member must have value greater than or equal to 0";
    let body = r#"{"TableName":"abc","TotalSegments":5,"Segment":-2147483649}"#;
    assert_violations(Operation::Scan, body, &[segment]);
    assert_eq!(answer(Operation::Scan, r#"{"TableName":"abc","TotalSegments":5,"Segment":-0.5}"#), None);
}

#[test]
fn transactions_tell_of_names_behind_everything_else() {
    let token = "x".repeat(37);
    let put = |name: &str| {
        format!(
            r#"{{"Put":{{"TableName":"{name}","Item":{{}},"ReturnValuesOnConditionCheckFailure":"hi"}}}}"#
        )
    };
    let body = format!(
        r#"{{"ClientRequestToken":"{token}","ReturnConsumedCapacity":"hi","TransactItems":[{{}},{}]}}"#,
        put("b!d")
    );
    let on_failure = "Value 'hi' at 'transactItems.2.member.put.returnValuesOnConditionCheckFailure' failed to satisfy \
         constraint: Member must satisfy enum value set: [ALL_OLD, NONE]";
    let too_long = format!(
        "Value '{token}' at 'clientRequestToken' failed to satisfy constraint: \
         Member must have length less than or equal to 36"
    );
    assert_violations(Operation::TransactWriteItems, &body, &[on_failure, &too_long, CAPACITY]);
    let empty = "Value '[]' at 'transactItems' failed to satisfy constraint: \
         Member must have length greater than or equal to 1";
    for operation in [Operation::TransactWriteItems, Operation::TransactGetItems] {
        assert_violations(operation, r#"{"TransactItems":[],"ReturnConsumedCapacity":"hi"}"#, &[empty]);
    }
    let named = |actions: &str| {
        format!(r#"{{"TransactItems":[{actions},{{"Delete":{{"TableName":"b!d","Key":{{}}}}}}]}}"#)
    };
    let none = "Invalid Request: TransactWriteRequest should contain Delete or Put or Update request";
    assert_sentence(Operation::TransactWriteItems, &named("{}"), none);
    let several = r#"{"Delete":{"TableName":"abc","Key":{}},"Put":{"TableName":"abc","Item":{}}}"#;
    let words = "TransactItems can only contain one of Check, Put, Update or Delete";
    assert_sentence(Operation::TransactWriteItems, &named(several), words);
    let name = "Value 'b!d' at 'transactItems.2.member.delete.tableName' failed to satisfy constraint: \
         Member must satisfy regular expression pattern: [a-zA-Z0-9_.-]+";
    let good = r#"{"Delete":{"TableName":"abc","Key":{}}}"#;
    assert_violations(Operation::TransactWriteItems, &named(good), &[name]);
    assert_violations(
        Operation::TransactGetItems,
        r#"{"TransactItems":[{},{"Get":{"TableName":"b!d","Key":{}}}],"ReturnConsumedCapacity":"hi"}"#,
        &[
            "Value null at 'transactItems.1.member.get' failed to satisfy constraint: Member must not be null",
            CAPACITY,
        ],
    );
}

#[test]
fn batches_are_refused_in_their_own_words() {
    let too_short = "failed to satisfy constraint: Member must have length greater than or equal to 1";
    assert_violations(
        Operation::BatchGetItem,
        r#"{"RequestItems":{}}"#,
        &[&format!("Value at 'RequestItems' {too_short}")],
    );
    assert_violations(
        Operation::BatchGetItem,
        r#"{"RequestItems":{"abc":{"Keys":[]}}}"#,
        &[&format!("Value at 'RequestItems.abc.member.Keys' {too_short}")],
    );
    assert_violations(
        Operation::BatchGetItem,
        r#"{"RequestItems":{"abc":{}}}"#,
        &[
            "Value null at 'requestItems.abc.member.keys' failed to satisfy constraint: Member must not be null",
        ],
    );
    let capacity = "Value 'hi' at 'returnConsumedCapacity' failed to satisfy constraint: \
         Member must satisfy enum value set: [INDEXES, TOTAL, NONE]";
    let keys = "Map keys must satisfy constraint: [Member must have length less than or equal to 255, Member \
         must have length greater than or equal to 3, Member must satisfy regular expression pattern: \
         [a-zA-Z0-9_.-]+]";
    // The map is shown with its members by name, and a list with nothing in it counts more than a wrong name.
    let shown =
        r#"{"abc":{"Keys":[{"a":{"S":"b"}}]},"b!d":{"ConsistentRead":true,"Keys":[{"a":{"S":"b"}}]}}"#;
    let wrong_name = format!("Value '{shown}' at 'requestItems' failed to satisfy constraint: {keys}");
    let body = r#"{"RequestItems":{"b!d":{"Keys":[{"a":{"S":"b"}}],"ConsistentRead":true},"abc":{"Keys":[{"a":{"S":"b"}}]}},
        "ReturnConsumedCapacity":"hi"}"#;
    assert_violations(Operation::BatchGetItem, body, &[&wrong_name, capacity]);
    assert_violations(
        Operation::BatchGetItem,
        r#"{"RequestItems":{"b!d":{"Keys":[]}},"ReturnConsumedCapacity":"hi"}"#,
        &[&format!("Value at 'RequestItems.b!d.member.Keys' {too_short}")],
    );
    assert_violations(
        Operation::BatchWriteItem,
        r#"{"RequestItems":{"b!d":[{}]},"ReturnConsumedCapacity":"hi"}"#,
        &[capacity],
    );
    assert_violations(
        Operation::BatchWriteItem,
        r#"{"RequestItems":{"a!":[{}]}}"#,
        &[&format!(
            "Value '{{a!=[WriteRequest(putRequest=null, deleteRequest=null)]}}' at 'requestItems' \
             failed to satisfy constraint: {keys}"
        )],
    );
    assert_sentence(
        Operation::BatchWriteItem,
        r#"{"RequestItems":{}}"#,
        "The requestItems parameter is required for BatchWriteItem",
    );
    assert_violations(
        Operation::BatchWriteItem,
        r#"{"RequestItems":{},"ReturnConsumedCapacity":"hi"}"#,
        &[&format!("Value '{{}}' at 'requestItems' {too_short}"), capacity],
    );
    let wrong_length = "Value '{b!d=[]}' at 'requestItems' failed to satisfy constraint: Map value must satisfy constraint: \
         [Member must have length less than or equal to 25, Member must have length greater than or equal to 1]";
    let body =
        r#"{"RequestItems":{"b!d":[]},"ReturnItemCollectionMetrics":"hi","ReturnConsumedCapacity":"hi"}"#;
    assert_violations(Operation::BatchWriteItem, body, &[wrong_length, CAPACITY, METRICS]);
}

#[test]
fn structures_are_shown_as_java_prints_them() {
    let element = r#"{"AttributeName":"a","KeyType":"HASH"}"#;
    assert_violations(
        Operation::CreateTable,
        &format!(
            r#"{{"TableName":"abc","AttributeDefinitions":[],"KeySchema":[{element},{element},{element}]}}"#
        ),
        &["Value '[KeySchemaElement(attributeName=a, keyType=HASH), KeySchemaElement(attributeName=a, \
           keyType=HASH), KeySchemaElement(attributeName=a, keyType=HASH)]' at 'keySchema' failed to satisfy \
           constraint: Member must have length less than or equal to 2"],
    );
    let writes = vec![r#"{"PutRequest":{"Item":{"a":{"S":"x","L":[]}}}}"#; 26].join(",");
    let (_, words) =
        answer(Operation::BatchWriteItem, &format!(r#"{{"RequestItems":{{"abc":[{writes}]}}}}"#)).unwrap();
    let first = "1 validation error detected: Value '{abc=[WriteRequest(\
         putRequest=PutRequest(item={a=AttributeValue(s=x, n=null, b=null, iNT=null, dECIMAL=null, \
         dOUBLE=null, sS=null, nS=null, bS=null, iNTSET=null, dECIMALSET=null, dOUBLESET=null, m=null, l=[], \
         nULL=null, bOOL=null)}, workloadProfileName=null), deleteRequest=null), ";
    assert!(words.starts_with(first), "{words}");
}

#[test]
fn the_key_of_an_index_that_is_too_long_is_told_of_by_its_own_name() {
    let key = |length: usize| vec![r#"{"AttributeName":"a","KeyType":"HASH"}"#; length].join(",");
    let body = |member: &str, length: usize| {
        format!(
            r#"{{"TableName":"abc","AttributeDefinitions":[],"KeySchema":[{}],"{member}":[{{"IndexName":"abc",
                "Projection":{{}},"KeySchema":[{}]}}]}}"#,
            key(1),
            key(length)
        )
    };
    for (member, longest) in [("LocalSecondaryIndexes", 2), ("GlobalSecondaryIndexes", 8)] {
        assert_eq!(answer(Operation::CreateTable, &body(member, longest)), None);
        let (_, words) = answer(Operation::CreateTable, &body(member, longest + 1)).unwrap();
        let end = format!(
            "]' at 'keySchema' failed to satisfy constraint: Member must have length less than or equal to {longest}"
        );
        assert!(words.ends_with(&end), "{words}");
    }
    let empty = "Value '[]' at 'globalSecondaryIndexes.1.member.keySchema' failed to satisfy constraint: \
         Member must have length greater than or equal to 1";
    assert_violations(Operation::CreateTable, &body("GlobalSecondaryIndexes", 0), &[empty]);
}

#[test]
fn maps_are_shown_in_the_order_of_java_and_bytes_as_their_buffers() {
    let item = r#"{"PK":{"B":"YWJj"},"h":{"BS":["YQ==","YWI="]},"unused":{"N":"1"},"a":{"M":{"bugl":{"N":"1"},"bdrw":{"N":"1"}}}}"#;
    let body = format!(r#"{{"RequestItems":{{"a!":[{{"PutRequest":{{"Item":{item}}}}}]}}}}"#);
    let (_, words) = answer(Operation::BatchWriteItem, &body).unwrap();
    let buffer = |length: usize| format!("java.nio.HeapByteBuffer[pos=0 lim={length} cap={length}]");
    let places =
        ["{h=", ", a=", "bdrw=", "bugl=", ", unused=", ", PK="].map(|name| words.find(name).unwrap());
    assert!(places.is_sorted(), "{words}");
    assert!(words.contains(&format!("bS=[{}, {}]", buffer(1), buffer(2))), "{words}");
    assert!(words.contains(&format!("b={}, iNT=null", buffer(3))), "{words}");
}

#[test]
fn a_long_value_is_shown_in_part() {
    // Each of these numbers takes ten times as much to print as to send.
    let item: Vec<String> = (0..20_000).map(|number| format!(r#""é{number}":{{"N":"1"}}"#)).collect();
    let body = format!(r#"{{"RequestItems":{{"a!":[{{"PutRequest":{{"Item":{{{}}}}}}}]}}}}"#, item.join(","));
    let (_, words) = answer(Operation::BatchWriteItem, &body).unwrap();
    assert!((1 << 20..(1 << 20) + 1000).contains(&words.len()), "{}", words.len());
    assert!(words.contains("...' at 'requestItems' failed to satisfy constraint: "));
    let keys = vec![format!(r#"{{"a":{{"S":"{}"}}}}"#, "é".repeat(10_000)); 100].join(",");
    let body = format!(r#"{{"RequestItems":{{"a!":{{"Keys":[{keys}]}}}}}}"#);
    let (_, words) = answer(Operation::BatchGetItem, &body).unwrap();
    assert!((1 << 20..(1 << 20) + 1000).contains(&words.len()), "{}", words.len());
}

#[test]
fn a_null_element_is_missing() {
    assert_violations(
        Operation::TransactWriteItems,
        r#"{"TransactItems":[null]}"#,
        &["Value null at 'transactItems.1.member' failed to satisfy constraint: Member must not be null"],
    );
    assert_violations(
        Operation::BatchGetItem,
        r#"{"RequestItems":{"abc":null}}"#,
        &["Value null at 'requestItems.abc.member' failed to satisfy constraint: Member must not be null"],
    );
}

#[test]
fn attribute_names_end_before_64_kib() {
    let long = "n".repeat(65536);
    for member in [
        format!(r#""AttributesToGet":["{long}"]"#),
        format!(r##""ExpressionAttributeNames":{{"#a":"{long}"}}"##),
        format!(r#""QueryFilter":{{"{long}":{{"ComparisonOperator":"NULL"}}}}"#),
    ] {
        let body = format!(r#"{{"TableName":"abc",{member}}}"#);
        let (_, words) = answer(Operation::Query, &body).unwrap();
        assert!(words.contains("Member must have length less than or equal to 65535"));
    }
}

#[test]
fn an_index_update_needs_one_kind_of_throughput() {
    let body = |members: &str| {
        format!(r#"{{"TableName":"abc","GlobalSecondaryIndexUpdates":[{{"Update":{{{members}}}}}]}}"#)
    };
    let missing = |name: &str| {
        format!(
            "Value null at 'globalSecondaryIndexUpdates.1.member.update.{name}' \
             failed to satisfy constraint: Member must not be null"
        )
    };
    let both = [missing("indexName"), missing("provisionedThroughput")];
    assert_violations(Operation::UpdateTable, &body(""), &[&both[0], &both[1]]);
    assert_eq!(answer(Operation::UpdateTable, &body(r#""IndexName":"abc","WarmThroughput":{}"#)), None);
}

#[test]
fn patterns_decide_as_their_words_say() {
    let export = |member: &str| {
        let body = format!(r#"{{"TableArn":"a","S3Bucket":"ab",{member}}}"#);
        answer(Operation::ExportTableToPointInTime, &body).is_none()
    };
    for good in [r#""S3BucketOwner":"123456789012""#, r#""ClientToken":"a b""#] {
        assert!(export(good), "{good}");
    }
    for bad in [r#""S3BucketOwner":"12345678901x""#, r#""ClientToken":"a$""#, r#""ClientToken":"""#] {
        assert!(!export(bad), "{bad}");
    }
    for bucket in ["", "a", "-a", "a-", "a/b", "é1"] {
        let body = format!(r#"{{"TableArn":"a","S3Bucket":"{bucket}"}}"#);
        assert!(answer(Operation::ExportTableToPointInTime, &body).is_some(), "{bucket}");
    }
}

/// Member names and odd scalars, so that random requests meet the table.
fn any_name() -> impl Strategy<Value = String> {
    let names = [
        "TableName",
        "Key",
        "Item",
        "RequestItems",
        "TransactItems",
        "Put",
        "Get",
        "Expected",
        "KeySchema",
        "AttributeDefinitions",
        "GlobalSecondaryIndexUpdates",
        "Create",
        "IndexName",
        "Limit",
        "Keys",
        "PutRequest",
        "Value",
        "AttributeValueList",
        "ExpressionAttributeNames",
        "Parameters",
        "Statements",
        "S",
        "N",
        "B",
        "SS",
        "NS",
        "BS",
        "M",
        "L",
        "NULL",
        "BOOL",
        "abc",
        "",
    ];
    proptest::sample::select(names.to_vec()).prop_map(str::to_owned)
}

fn any_json() -> impl Strategy<Value = String> {
    let scalars = [
        "null",
        "true",
        "0",
        "-1",
        "1e400",
        "1.5",
        "9223372036854775808",
        "\"\"",
        "\"abc\"",
        "\"1\"",
        "\"1e126\"",
        "\"=\"",
        "\"Yg==\"",
        "\"é\\ud83d\\ude00\"",
        "\"arn:aws:dynamodb:a:b:table/abc\"",
        "\"HASH\"",
    ];
    let leaf = proptest::sample::select(scalars.to_vec()).prop_map(str::to_owned);
    leaf.prop_recursive(7, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|list| format!("[{}]", list.join(","))),
            proptest::collection::btree_map(any_name(), inner, 0..5).prop_map(|members| {
                let members: Vec<String> =
                    members.iter().map(|(name, value)| format!("\"{name}\":{value}")).collect();
                format!("{{{}}}", members.join(","))
            }),
        ]
    })
}

/// Everything that reads a body before an operation does.
fn read_all(body: &[u8]) {
    let Ok(json) = Json::parse(body).or_else(|_| Json::parse_cut(body)) else { return };
    for operation in Operation::all() {
        let _ = check_sent(operation, &json, body);
        let _ = judge(operation, &json, |_| Err::<(), _>(ApiError::validation("anything")));
    }
    let _ = item_from_json(&json);
    let _ = value_from_json(&json);
}

#[test]
fn a_long_name_is_not_shown_whole_in_each_of_many_sentences() {
    let name = "é".repeat(500_000);
    let body = format!(r#"{{"RequestItems":{{"{name}":[{}{{}}]}}}}"#, "null,".repeat(20));
    let body = Json::parse(body.as_bytes()).unwrap();
    let words = check(Operation::BatchWriteItem, &body).unwrap_err().message.unwrap();
    assert!(words.starts_with("9 validation errors") && words.len() < 1 << 20, "{} bytes", words.len());
}

#[test]
fn the_deepest_request_is_read_like_any_other() {
    for (open, close) in [("[", "]"), ("{\"M\":", "}"), ("{\"L\":[", "]}"), ("{\"Expected\":", "}")] {
        let levels = (DEPTH_MAX - 2) / close.len();
        read_all(format!("{}{}", open.repeat(levels) + "{}", close.repeat(levels)).as_bytes());
    }
}

proptest! {
    #[test]
    fn no_bytes_bring_the_readers_down(body in proptest::collection::vec(any::<u8>(), 0..200)) {
        read_all(&body);
    }

    #[test]
    fn no_request_brings_the_readers_down(body in any_json(), at in any::<usize>(), byte in any::<u8>()) {
        read_all(body.as_bytes());
        let mut mutated = body.into_bytes();
        let at = at % mutated.len();
        mutated[at] = byte;
        read_all(&mutated);
    }
}
