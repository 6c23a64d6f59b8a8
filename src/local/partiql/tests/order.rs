//! In which order a statement's faults are told, and what stands for a statement that is none.

use super::*;

const OVERFLOW: &str =
    "Number overflow. Attempting to store a number with magnitude larger than supported range under root";

#[tokio::test]
async fn a_clause_is_read_to_its_end_before_its_parts_are_held_against_each_other() {
    let backend = backend().await;
    let path_required =
        "Operator or function requires a document path; operator or function: attribute_exists";
    let wrong_type =
        "Incorrect operand type for operator or function; operator or function: >, operand type: BOOL";
    let no_boolean = "The arguments to AND/OR must be Expressions";
    for (condition, expected) in [
        ("attribute_exists('s') AND nope(s)", "Unrecognized function: nope at 2:27:4"),
        ("nope(s) AND attribute_exists('s')", "Unrecognized function: nope at 2:1:4"),
        ("attribute_exists('s') AND s = 1e126", OVERFLOW),
        ("attribute_exists('s') AND s = <<>>", "Empty bags are not supported"),
        ("attribute_exists('s') AND s = MISSING", "MISSING must be compared using IS operator"),
        ("attribute_exists('s') AND 'y'", no_boolean),
        ("nope(1e126)", OVERFLOW),
        ("'x' AND nope(s)", "Unrecognized function: nope at 2:9:4"),
        ("'x' AND s AND nope(s)", no_boolean),
        ("size(s) AND s > true", wrong_type),
        (
            "attribute_exists('s') AND EXISTS(SELECT * FROM hash)",
            "Unsupported token in expression: SELECT at 2:34:6",
        ),
        ("nope(s) AND EXISTS(SELECT * FROM hash)", "Unrecognized function: nope at 2:1:4"),
        ("CASE WHEN a = 1 THEN 2 END", "Unsupported token in expression: CASE at 2:1:4"),
        ("s > true AND attribute_exists('s')", wrong_type),
        ("attribute_exists('s') AND s > true", path_required),
    ] {
        let statement = format!("SELECT a FROM none WHERE\n{condition}");
        assert_eq!(words(&backend, &statement).await, expected, "{condition}");
    }
}

#[tokio::test]
async fn columns_are_judged_before_a_where_and_a_where_before_a_set() {
    let backend = backend().await;
    for (statement, expected) in [
        ("SELECT size(s) FROM none WHERE nope(s)", "Unexpected path component at 1:8:4"),
        ("SELECT s, s FROM none WHERE nope(s)", "Duplicate identifiers in select clause: s"),
        ("UPDATE none SET s = <<>> WHERE nope(s)", "Unrecognized function: nope at 1:32:4"),
        (
            "UPDATE none SET s = <<>> WHERE s > true",
            "Incorrect operand type for operator or function; operator or function: >, operand type: BOOL",
        ),
        ("UPDATE none SET s = 'x' + 1, t = nope(s)", "Unrecognized function: nope at 1:34:4"),
        (
            "UPDATE none SET s = 'x' + 1 RETURNING ALL OLD s",
            "Incorrect operand type for operator or function; operator or function: +, operand type: S",
        ),
        ("INSERT INTO none VALUE {'s': 1e126} RETURNING ALL OLD *", OVERFLOW),
        (
            "UPDATE none SET m = 1, m.k = 2, m.l = 3",
            "Two document paths overlap with each other; must remove or rewrite one of these paths; \
             path one: [m, k], path two: [m]",
        ),
    ] {
        assert_eq!(words(&backend, statement).await, expected, "{statement}");
    }
    for statement in ["UPDATE none SET s = 1", "DELETE FROM none", "FROM none SET s = 1"] {
        let refusal = run(&backend, statement).await.unwrap_err();
        assert_eq!(refusal.code, "ResourceNotFoundException", "{statement}");
    }
}

#[tokio::test]
async fn the_first_element_decides_what_a_set_is() {
    let backend = backend().await;
    let bag = "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags";
    for (set, expected) in [
        ("<<'a', 1>>", format!("{bag} at 2:8:1")),
        ("<<'a', null, 1>>", format!("{bag} at 2:8:4")),
        ("<<true, 'a'>>", format!("{bag} at 2:3:4")),
        ("<<s, 'a'>>", format!("{bag} at 2:3:1")),
        ("<<`x`, 'a'>>", format!("{bag} at 2:3:3")),
        ("<<1, 'a'>>", bag.to_owned()),
        ("<<1, [1e126]>>", bag.to_owned()),
        ("<<1, 1e126>>", OVERFLOW.to_owned()),
        (
            "<<1, null>>",
            "One or more parameter values were invalid: Numeric sets may not contain null under root"
                .to_owned(),
        ),
        ("<<'a', s>>", "Unsupported data type: Id under key root at 2:8:1".to_owned()),
        ("<<1, size(s)>>", "Unsupported data type: Call under key root at 2:6:4".to_owned()),
        ("<<1, `x`>>", "Ion Literals are not supported: SYMBOL under key root at 2:6:3".to_owned()),
    ] {
        let statement = format!("SELECT * FROM hash WHERE s =\n{set}");
        assert_eq!(words(&backend, &statement).await, expected, "{set}");
    }
}

#[tokio::test]
async fn an_expression_is_no_statement() {
    let backend = backend().await;
    let malformed = |detail: &str| format!("{MALFORMED}{detail}");
    let exists = "EXISTS can only be used in ExecuteTransaction write requests.";
    for (text, expected) in [
        ("x AND y", exists.to_owned()),
        ("-x", exists.to_owned()),
        ("x(1)", exists.to_owned()),
        ("x || 'y'", exists.to_owned()),
        ("EXISTS(SELECT * FROM hash WHERE a = 'k')", exists.to_owned()),
        ("x.y[1]", "Unsupported operation: Path".to_owned()),
        ("x[*].y", "Unsupported operation: Path".to_owned()),
        ("- -1", "Unsupported operation: Lit".to_owned()),
        ("CASE WHEN x THEN 1 WHEN y THEN 2 ELSE 3 END", "Unsupported operation: SearchedCase".to_owned()),
        ("CASE x WHEN 1 THEN 2 END", "Unsupported operation: SimpleCase".to_owned()),
        ("CASE x END", malformed("Expected a WHEN clause in CASE")),
        ("CASE WHEN x 1 END", malformed("Expected THEN keyword")),
        ("CASE WHEN x THEN 1", malformed("Expected END keyword")),
        ("SET x = 1, y.z = 2", "Only select from a single table or index is supported.".to_owned()),
        ("REMOVE x", "Only select from a single table or index is supported.".to_owned()),
        ("SET x = 1 WHERE y = 2", malformed("Unexpected token after expression")),
        ("x = ;", malformed("Missing right-hand side expression of infix operator")),
        ("x BETWEEN 1 AND;", malformed("Expected expression after AND")),
        ("x = 1.2.3", malformed("Unexpected token after expression")),
        (&"NOT ".repeat(2000), malformed("Unexpected term")),
        (&"- ".repeat(4000), malformed("Unexpected term")),
    ] {
        assert_eq!(words(&backend, text).await, expected, "{text}");
    }
}

#[tokio::test]
async fn a_clause_has_at_most_300_operators_however_they_are_nested() {
    let backend = backend().await;
    let negated = |times: usize| format!("SELECT * FROM hash WHERE {}a = 'k'", "NOT ".repeat(times));
    let too_many = "The expression contains too many operators; operator count: 301";
    assert_eq!(words(&backend, &negated(300)).await, too_many);
    assert_eq!(words(&backend, &negated(1020)).await, too_many);
    backend.put("hash", json!({"a": {"S": "k"}})).await;
    backend.put("hash", json!({"a": {"S": "l"}})).await;
    assert_eq!(column(&ok(&backend, &negated(299)).await, "a"), ["l"]);
    assert_eq!(column(&ok(&backend, &negated(298)).await, "a"), ["k"]);
}

#[tokio::test]
async fn an_order_is_judged_before_the_values_of_the_key() {
    let backend = with_partitions().await;
    let no_name = "Argument to ORDER BY must be of type VariableReference. Type:";
    for (tail, expected) in [
        ("ORDER BY\nm.x", "Must have WHERE clause in the statement when using ORDER BY clause.".to_owned()),
        ("WHERE a = true ORDER BY\nm.x", format!("{no_name} PATH at 2:1:1")),
        ("WHERE a = true ORDER BY\n'b'", format!("{no_name} b at 2:1:3")),
        (
            "WHERE a = true ORDER BY flag, m.x",
            "Attribute flag in ORDER BY clause must be part of the primary key".to_owned(),
        ),
        (
            "WHERE a = true ORDER BY b",
            "Key value must be of type S, N, or B. Key name: a, Key type: BOOL".to_owned(),
        ),
        (
            "WHERE a IN ['o', 'o'] ORDER BY b",
            "Overlapping conditions with range keys are not supported in where clause".to_owned(),
        ),
        (
            "WHERE a = 'o' AND a = 'p' ORDER BY b",
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause."
                .to_owned(),
        ),
        ("WHERE a = 'o' ORDER BY b NULLS", format!("{MALFORMED}Expected FIRST or LAST after NULLS")),
    ] {
        assert_eq!(words(&backend, &format!("SELECT b FROM range {tail}")).await, expected, "{tail}");
    }
    let sorted = "SELECT a, b FROM range WHERE a = 'o' ORDER BY b DESC NULLS LAST";
    assert_eq!(rows(&ok(&backend, sorted).await), ["o3", "o2", "o1"]);
}

#[tokio::test]
async fn key_values_are_judged_up_to_the_first_branch_that_is_no_query() {
    let backend = with_partitions().await;
    let mismatch = "Key attribute's data type should match its data type in table's schema: Key";
    for (condition, expected) in [
        ("a = 1 OR flag = 'x'", "a"),
        ("a = 1 OR a = 'o' AND a = 'p'", "a"),
        ("a = 'p' AND a IN ['p'] OR a = 1", "a"),
        ("a IN [1, 'o'] AND a IN ['o', 1]", "a"),
        ("a = 'o' AND b = 1 AND b = 1", "b"),
        ("a = 'o' OR a = 'o' AND b = 1", "b"),
        ("a = 'o' AND begins_with(b, ?)", "b"),
    ] {
        let mut request = json!({"Statement": format!("SELECT b FROM range WHERE {condition}")});
        request["Parameters"] = json!([{"B": "AAAA"}]);
        assert_eq!(words_of(&backend, request).await, format!("{mismatch} {expected}"), "{condition}");
    }
    for (condition, expected) in [
        ("flag = 'x' OR a = 1", vec![]),
        ("a = 1 AND a = 2 OR a = 3", vec![]),
        ("a = 'o' AND b = '1' AND b = 2 OR a = 3", vec![]),
        ("a = 'o' AND b > '1' AND b < 9 OR flag = 'one'", vec!["o1", "p1"]),
        ("a = 'o' AND b <> 1 AND flag = 'one'", vec!["o1"]),
    ] {
        let mut found = rows(&ok(&backend, &format!("SELECT a, b FROM range WHERE {condition}")).await);
        found.sort_unstable();
        assert_eq!(found, expected, "{condition}");
    }
    let insert = "INSERT INTO range VALUE {'a': 'k', 'b': true}";
    assert_eq!(words(&backend, insert).await, format!("{mismatch} b"));
}

#[tokio::test]
async fn key_values_are_measured_where_one_partition_or_one_key_is_read() {
    let backend = with_partitions().await;
    let (long, longer) = ("x".repeat(1025), "x".repeat(2049));
    let hash = "One or more parameter values were invalid: \
                Size of hashkey has exceeded the maximum size limit of2048 bytes";
    let range = "One or more parameter values were invalid: \
                 Aggregated size of all range keys has exceeded the size limit of 1024 bytes";
    for (condition, expected) in [
        (format!("a = '{longer}'"), hash),
        (format!("a = '{longer}' AND (b = '1' OR b = '2')"), hash),
        (format!("a = 'o' AND b < '{long}'"), range),
        (
            format!("(a = '{longer}' AND flag = 'x') OR (a = '{longer}' AND flag = 'y')"),
            "Overlapping conditions with range keys are not supported in where clause",
        ),
    ] {
        assert_eq!(words(&backend, &format!("SELECT b FROM range WHERE {condition}")).await, expected);
    }
    for (condition, expected) in [
        (format!("a IN ['{longer}', 'o'] AND b = '1'"), vec!["o1"]),
        (format!("a = 'o' AND (b = '1' OR b > '{long}')"), vec!["o1"]),
        (format!("a = 'o' AND (b = '3' OR b < '2{long}')"), vec!["o1", "o2", "o3"]),
    ] {
        let statement = format!("SELECT a, b FROM range WHERE {condition}");
        assert_eq!(rows(&ok(&backend, &statement).await), expected);
    }
}

#[tokio::test]
async fn broken_members_are_told_in_an_order_of_their_own_and_printed_in_another() {
    let backend = backend().await;
    let statement = json!({"Statement": "", "Parameters": [], "ReturnValuesOnConditionCheckFailure": "X"});
    let paths = |words: &str| -> Vec<String> {
        words.split("' at '").skip(1).map(|rest| rest.split('\'').next().unwrap().to_owned()).collect()
    };
    let mut alone = statement.clone();
    alone
        .as_object_mut()
        .unwrap()
        .extend(json!({"Limit": 0, "ReturnConsumedCapacity": "X"}).as_object().unwrap().clone());
    assert_eq!(
        paths(&words_of(&backend, alone).await),
        ["returnValuesOnConditionCheckFailure", "limit", "statement", "returnConsumedCapacity", "parameters"]
    );
    let of_member = |list: &str, member: &str| format!("{list}.1.member.{member}");
    let batch = json!({"Statements": [statement], "ReturnConsumedCapacity": "X"});
    assert_eq!(
        paths(&backend.invalid(BatchExecuteStatement, batch).await),
        [
            "returnConsumedCapacity".to_owned(),
            of_member("statements", "returnValuesOnConditionCheckFailure"),
            of_member("statements", "statement"),
            of_member("statements", "parameters"),
        ]
    );
    let transaction = json!({
        "TransactStatements": [statement], "ReturnConsumedCapacity": "X", "ClientRequestToken": "t".repeat(37),
    });
    assert_eq!(
        paths(&backend.invalid(ExecuteTransaction, transaction).await),
        [
            "clientRequestToken".to_owned(),
            of_member("transactStatements", "returnValuesOnConditionCheckFailure"),
            of_member("transactStatements", "statement"),
            of_member("transactStatements", "parameters"),
            "returnConsumedCapacity".to_owned(),
        ]
    );
    let many = json!({"Statements": vec![json!({"Statement": "x", "ConsistentRead": true}); 26]});
    let words = backend.invalid(BatchExecuteStatement, many).await;
    let printed = "[BatchStatementRequest(statement=x, parameters=null, consistentRead=true, \
                   returnValuesOnConditionCheckFailure=null), ";
    assert!(words.contains(printed), "{words}");
}

#[tokio::test]
async fn a_statement_is_measured_in_code_points() {
    let backend = backend().await;
    let of_length =
        |length: usize| format!("SELECT * FROM hash WHERE n = '{}'", "\u{1f600}".repeat(length - 31));
    ok(&backend, &of_length(8192)).await;
    assert!(
        words(&backend, &of_length(8193))
            .await
            .ends_with("Member must have length less than or equal to 8192")
    );
}

#[tokio::test]
async fn no_token_goes_on_with_a_write() {
    let backend = backend().await;
    let request = json!({"Statement": "INSERT INTO hash VALUE {'a': 'k'}", "NextToken": "anything"});
    assert_eq!(words_of(&backend, request).await, "NextToken does not match request");
    assert_eq!(backend.get("hash", json!({"a": {"S": "k"}})).await, Value::Null);
}

#[tokio::test]
async fn a_key_that_fits_no_item_hides_what_the_items_would_say() {
    let backend = backend().await;
    let fails = "UPDATE hash SET n = 1 WHERE a = 'nobody'";
    let conditional = "DELETE FROM hash WHERE a = 'nobody either' AND n = 1";
    let misfit = "UPDATE hash SET n = 1 WHERE a = 1";
    let statements = [fails, conditional, misfit].map(|statement| json!({"Statement": statement}));
    let refusal =
        backend.send(ExecuteTransaction, json!({"TransactStatements": statements})).await.unwrap_err();
    let codes = refusal.body["CancellationReasons"].as_array().unwrap();
    assert_eq!(
        codes.iter().map(|reason| reason["Code"].as_str().unwrap()).collect::<Vec<_>>(),
        ["None", "None", "ValidationError"]
    );
    let of_no_key = json!({"TransactStatements": [{"Statement": "DELETE FROM hash WHERE a = true"}]});
    assert_eq!(
        backend.invalid(ExecuteTransaction, of_no_key).await,
        "Validation failed in TransactStatements[0]: Key value must be of type S, N, or B. Key name: a, Key type: BOOL"
    );
}

#[tokio::test]
async fn statements_give_number_sets_in_hash_order_and_spell_the_message_beside_an_item() {
    let backend = backend().await;
    let item = json!({"a": {"S": "k"}, "n": {"NS": ["1", "2", "3"]}});
    let told = json!({"a": {"S": "k"}, "n": {"NS": ["3", "2", "1"]}});
    backend.put("hash", item.clone()).await;
    assert_eq!(backend.get("hash", json!({"a": {"S": "k"}})).await, item);
    let select = "SELECT * FROM hash WHERE a = 'k'";
    assert_eq!(ok(&backend, select).await["Items"], json!([told]));
    let batch = json!({"Statements": [{"Statement": select}]});
    assert_eq!(backend.ok(BatchExecuteStatement, batch).await["Responses"][0]["Item"], told);
    let transaction = json!({"TransactStatements": [{"Statement": select}]});
    assert_eq!(backend.ok(ExecuteTransaction, transaction).await["Responses"][0]["Item"], told);
    let update = "UPDATE hash SET m = 1 WHERE a = 'k' RETURNING ALL OLD *";
    assert_eq!(ok(&backend, update).await["Items"], json!([told]));

    let mut told = told;
    told["m"] = json!({"N": "1"});
    let fails = json!({
        "Statement": "DELETE FROM hash WHERE a = 'k' AND m = 2", "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    let refusal = backend.send(ExecuteStatement, fails.clone()).await.unwrap_err();
    assert_eq!(
        refusal.body,
        json!({
            "__type": "com.amazonaws.dynamodb.v20120810#ConditionalCheckFailedException",
            "Message": "The conditional request failed", "Item": told,
        })
    );
    let answer = backend.ok(BatchExecuteStatement, json!({"Statements": [fails]})).await;
    assert_eq!(answer["Responses"][0]["Error"]["Item"], told);
    let refusal = backend.send(ExecuteTransaction, json!({"TransactStatements": [fails]})).await.unwrap_err();
    assert_eq!(refusal.body["CancellationReasons"][0]["Item"], told);
}
