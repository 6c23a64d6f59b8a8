//! Statements against a backend, in the words and with the answers that were recorded from the service.

use serde_json::{Value, json};

use crate::local::tests::backend::{Backend, Refusal};
use crate::model::Operation::{
    BatchExecuteStatement, CreateTable, ExecuteStatement, ExecuteTransaction, GetItem,
};

mod order;

/// A backend with `hash` and `range` of [`Backend::with_tables`].
async fn backend() -> Backend {
    Backend::with_tables().await
}

async fn run(backend: &Backend, statement: &str) -> Result<Value, Refusal> {
    backend.send(ExecuteStatement, json!({"Statement": statement})).await
}

async fn ok(backend: &Backend, statement: &str) -> Value {
    run(backend, statement).await.unwrap_or_else(|refusal| panic!("{statement}: {refusal:?}"))
}

/// The words of the validation error that refuses a statement.
async fn words(backend: &Backend, statement: &str) -> String {
    words_of(backend, json!({"Statement": statement})).await
}

async fn words_of(backend: &Backend, request: Value) -> String {
    backend.invalid(ExecuteStatement, request).await
}

/// The rows' values of that string attribute, in their order.
fn column(answer: &Value, name: &str) -> Vec<String> {
    let items = answer["Items"].as_array().unwrap();
    items.iter().map(|item| item[name]["S"].as_str().unwrap_or("-").to_owned()).collect()
}

async fn put(backend: &Backend, a: &str, b: &str, attributes: Value) {
    let mut item = json!({"a": {"S": a}, "b": {"S": b}});
    item.as_object_mut().unwrap().extend(attributes.as_object().unwrap().clone());
    backend.put("range", item).await;
}

const MALFORMED: &str = "Statement wasn't well formed, can't be processed: ";

#[tokio::test]
async fn a_statement_that_breaks_the_grammar_is_told_where() {
    let backend = backend().await;
    let leftover = "Unexpected token after expression";
    for (statement, detail) in [
        (r#"SELECT * FROM "hash" WHERE a = 1 foo"#, leftover),
        (r#"SELECT * FROM "hash" WHERE a = 1 e5"#, leftover),
        (r#"INSERT INTO "hash" VALUE {'a': 970001} foo"#, leftover),
        (r#"UPDATE "hash" SET c = 9 WHERE a = 970002 foo"#, leftover),
        (r#"DELETE FROM "hash" WHERE a = 970003 foo"#, leftover),
        (r#"SELECT * FROM "hash" WHERE a = 1)"#, leftover),
        (r#"DELETE FROM "hash" WHERE a = 970004 ORDER BY a"#, leftover),
        (r#"SELECT * FROM "hash" ORDER BY a WHERE a = 1"#, leftover),
        (r#"INSERT INTO "hash" t VALUE {'a': 'x'}"#, leftover),
        (r#"FROM "hash" SET c = 1 WHERE a = 'x'"#, leftover),
        (r#"UPDATE hash REMOVE c, d WHERE a = 'x'"#, leftover),
        (r#"SELECT * FROM "hash" WHERE a = 1e2147483648"#, ""),
        (r#"SELECT * FROM "hash" WHERE a = 1.5e-2147483647"#, ""),
        (r#"SELECT * FROM "hash" WHERE a = 1 # note"#, ""),
        (r#"SELECT * FROM "hash" WHERE a = 1 /* note"#, ""),
        (r#"SELECT * FROM "hash"#, ""),
        (r#"SELECT * FROM "hash" WHERE"#, "Unexpected term"),
        (r#"SELECT * FROM "hash" WHERE;"#, "Unexpected term"),
        (r#"UPDATE "hash" SET c = 1 WHERE"#, "Unexpected term"),
        (r#"DELETE FROM "hash" WHERE"#, "Unexpected term"),
        (r#"SELECT * FROM "hash" WHERE NOT"#, "Unexpected term"),
        (r#"SELECT * FROM "hash" WHERE ("#, "Unexpected term"),
        (r#"SELECT * FROM "none" WHERE"#, "Unexpected term"),
        ("SELECT * FROM", "Unexpected term"),
        (r#"SELECT * FROM hash WHERE a = 'p' AND"#, "Missing right-hand side expression of infix operator"),
        (r#"SELECT * FROM hash WHERE a = 'p' OR"#, "Missing right-hand side expression of infix operator"),
        (r#"SELECT * FROM hash WHERE ORDER BY a"#, "Unexpected keyword"),
        (r#"SELECT * FROM hash WHERE a = 'p' AND x IS FOO"#, "Expected type name"),
        (r#"SELECT * FROM hash WHERE IS NULL"#, "Unexpected operator"),
        (r#"SELECT * FROM hash WHERE a = LIKE"#, "Unexpected operator"),
        ("DELETE FROM", "Expected identifier for simple path"),
        ("DELETE FROM;", "Expected identifier for simple path"),
        ("DELETE FROM WHERE a = 'a'", "Expected identifier for simple path"),
        (r#"SLECT * FROM "hash" WHERE a = 'b'"#, "Expected data manipulation"),
        ("UPDATE hash WHERE a = 'b'", "Expected data manipulation"),
        ("SELECT * FROM hash WHERE attribute_exists(m.inner)", "Invalid path dot component"),
        (
            "SELECT * FROM hash; SELECT * FROM hash",
            "Unexpected token after semicolon. (Only one query is allowed.)",
        ),
    ] {
        assert_eq!(words(&backend, statement).await, format!("{MALFORMED}{detail}"), "{statement}");
    }
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "a table of cases")]
async fn what_the_grammar_has_and_the_service_has_not_is_refused_by_name() {
    let backend = backend().await;
    let aliasing = "Aliasing is not supported";
    let overflow = "Number overflow. Attempting to store a number with magnitude larger than supported range";
    for (statement, expected) in [
        (r#"SELECT * FROM "hash" t WHERE a = 'x'"#, aliasing),
        (r#"SELECT * FROM "hash" AS t WHERE a = 'x'"#, aliasing),
        (r#"UPDATE "hash" t SET c = 3 WHERE a = 'x'"#, aliasing),
        (r#"DELETE FROM "hash" t WHERE a = 'x'"#, aliasing),
        ("x IS INT4", "Unsupported operation: IsType"),
        ("x IS DOUBLE PRECISION", "Unsupported operation: IsType"),
        ("SELECT * FROM hash WHERE a = 1e126", &format!("{overflow} under root")),
        ("INSERT INTO hash VALUE {'a': 'x', 'm': {'x': 1e126}}", &format!("{overflow} under root.x")),
        ("INSERT INTO hash VALUE {'a': 'x', 'l': [1, 1e126]}", &format!("{overflow} under root[1]")),
        (
            "SELECT * FROM hash WHERE a = 123456789012345678901234567890123456789",
            "Attempting to store more than 38 significant digits in a Number under root",
        ),
        ("SELECT attribute_exists(c) FROM hash WHERE a = 'x'", "Unexpected path component at 1:8:16"),
        ("SELECT n+1 FROM hash", "Unexpected path component at 1:9:1"),
        ("SELECT * FROM hash WHERE EXISTS(c)", "Unrecognized function: exists at 1:26:6"),
        ("SELECT l[-1] FROM hash", "List index is not within the allowable range; index: [-1] at 1:11:1"),
        (
            "SELECT l[2147483648] FROM hash",
            "List index is not within the allowable range; index: [2147483648] at 1:10:10",
        ),
        ("SELECT n, n FROM hash", "Duplicate identifiers in select clause: n"),
        ("SELECT m.* FROM hash", "Changing item's hierarchy while reading isn't supported"),
        ("SELECT n FROM hash LIMIT 1", "Unsupported clause: LIMIT at 1:26:1"),
        ("SELECT n FROM hash, range", "Only select from a single table or index is supported."),
        ("SELECT n FROM hash[0]", "Invalid list expression in source."),
        ("SELECT n FROM ha", TABLE_NAME),
        (r#"SELECT * FROM "" WHERE a = 'x'"#, "Path component cannot be an empty string"),
        (r#"SELECT * FROM "range"."" WHERE a = 'x'"#, "Path component cannot be an empty string"),
        (
            r#"SELECT * FROM "range"."index1"."extra" WHERE a = 'x'"#,
            "A path may contain at most 2 components in the FROM clause",
        ),
        ("SELECT * FROM hash WHERE n", "WHERE clause must contain an expression that resolves to a boolean"),
        ("SELECT * FROM hash WHERE a = 'x' AND true", "The arguments to AND/OR must be Expressions"),
        ("SELECT * FROM hash WHERE NOT a", "The argument to NOT must be a Type or Expression"),
        ("SELECT * FROM hash WHERE n = MISSING", "MISSING must be compared using IS operator"),
        (
            "SELECT * FROM hash WHERE n IS INT",
            "Unsupported data type for IS operator: IntegerType. Supported data types are [MISSING, NULL, BOOLEAN, BLOB, \
             STRING, NUMERIC, STRUCT, TUPLE, LIST] at 1:26:1",
        ),
        (
            "SELECT * FROM hash WHERE n IN []",
            "IN operator must have a left hand argument of type Variable Reference \
             and right hand argument of type Seq with at least one member",
        ),
        (
            "SELECT * FROM hash WHERE n LIKE 'x'",
            "Unsupported operator in Condition Expression. Operator: like",
        ),
        ("UPDATE range.index1 SET c = 1 WHERE a = 'x'", "This operation is not supported on an index"),
        ("DELETE FROM range.index1 WHERE a = 'x'", "This operation is not supported on an index"),
        (
            "INSERT INTO range.index1 VALUE {'a': 'x'}",
            "FROM clause may only contain a single table name in data manipulation statements",
        ),
        ("INSERT INTO hash VALUE {'a': 'x'} RETURNING ALL OLD *", "RETURNING is not supported in INSERT"),
        (
            "EXISTS(SELECT * FROM hash WHERE a = 'x' AND n = 1)",
            "EXISTS can only be used in ExecuteTransaction write requests.",
        ),
        ("DROP TABLE hash", "Unsupported operation: DropTable"),
        (
            "UPDATE hash SET n = n * 2 WHERE n",
            "WHERE clause must contain an expression that resolves to a boolean",
        ),
        ("UPDATE hash SET n = n * 2", "Unsupported operator in Update Expression. Operator: *"),
    ] {
        assert_eq!(words(&backend, statement).await, expected, "{statement}");
    }
}

const TABLE_NAME: &str =
    "Table name should be within the length [3, 255] and only contain 'a-z', 'A-Z', '0-9', '-', '_', '.'.";

#[tokio::test]
async fn operands_are_judged_before_the_table_is_looked_up() {
    let backend = backend().await;
    let request = |condition: &str, parameter: Value| {
        json!({"Statement": format!("SELECT a FROM \"none\" WHERE a = ? AND {condition}"),
               "Parameters": [{"S": "x"}, parameter]})
    };
    for operator in ["<", "<=", ">", ">="] {
        assert_eq!(
            words_of(&backend, request(&format!("c {operator} ?"), json!({"BOOL": true}))).await,
            format!(
                "Incorrect operand type for operator or function; operator or function: {operator}, operand type: BOOL"
            )
        );
    }
    let missing = backend.send(ExecuteStatement, request("c < ?", json!({"N": "5"}))).await.unwrap_err();
    assert_eq!(
        (missing.code.as_str(), missing.message.as_str()),
        ("ResourceNotFoundException", "Requested resource not found")
    );
    assert_eq!(
        words(&backend, "SELECT * FROM none WHERE attribute_type(c, 'X')").await,
        "Invalid attribute type name found; type: X, valid types: {N,BS,L,B,NULL,M,S,SS,NS,BOOL}"
    );
    assert_eq!(
        words(&backend, "SELECT * FROM none WHERE attribute_exists('c')").await,
        "Operator or function requires a document path; operator or function: attribute_exists"
    );
    let many = (0..101).map(|index| format!("'{index}'")).collect::<Vec<_>>().join(",");
    assert_eq!(
        words(&backend, &format!("SELECT * FROM none WHERE c IN [{many}]")).await,
        "The IN operator is provided with too many operands; number of operands: 101"
    );
}

#[tokio::test]
async fn parameters_are_judged_before_the_statement_and_must_be_enough() {
    let backend = backend().await;
    let request =
        |statement: &str, parameters: Value| json!({"Statement": statement, "Parameters": parameters});
    let unconvertible = "The parameter cannot be converted to a numeric value";
    let deep = (0..40).fold(json!({"S": "leaf"}), |inner, _| json!({"M": {"n": inner}}));
    let nesting = "Nesting Levels have exceeded supported limits: \
                   Attributes in the item have nested levels beyond supported limit";
    for (parameters, expected) in [
        (
            json!([{"SS": ["a", "a"]}]),
            "One or more parameter values were invalid: Input collection [a, a] contains duplicates.",
        ),
        (json!([{"N": ""}]), unconvertible),
        (
            json!([{"N": "abc", "SS": []}]),
            "One or more parameter values were invalid: An string set  may not be empty",
        ),
        (json!([{"N": "1e2147483648"}]), &format!("{unconvertible}: 1e2147483648")),
        (
            json!([{"N": "1e2147483647"}]),
            "Number underflow. Attempting to store a number with magnitude smaller than supported range",
        ),
        (json!([{"L": [{"N": "1"}, {"N": "1e99999999999"}]}]), &format!("{unconvertible}: 1e99999999999")),
        (json!([deep, {"N": "abc"}]), nesting),
        (json!([{"N": "abc"}, deep]), &format!("{unconvertible}: abc")),
    ] {
        assert_eq!(words_of(&backend, request("UPDATE hash SET WHERE", parameters)).await, expected);
    }
    let count = "Number of parameters in request and statement don't match.";
    assert_eq!(words(&backend, "SELECT * FROM hash WHERE a = ?").await, count);
    let spare = request("SELECT * FROM hash WHERE a = ?", json!([{"S": "x"}, {"S": "y"}]));
    assert_eq!(backend.ok(ExecuteStatement, spare).await, json!({"Items": []}));
}

#[tokio::test]
async fn an_inserted_item_is_there_and_cannot_be_inserted_again() {
    let backend = backend().await;
    let statement = "insert into hash value {'a': 'k', 'n': -1.50e1, 's': <<'x', 'y'>>, 'l': [1, {'t': true}], 'q': 'it''s', 'z': null}";
    assert_eq!(ok(&backend, statement).await, json!({"Items": []}));
    let expected = json!({
        "a": {"S": "k"}, "n": {"N": "-15"}, "s": {"SS": ["x", "y"]}, "q": {"S": "it's"}, "z": {"NULL": true},
        "l": {"L": [{"N": "1"}, {"M": {"t": {"BOOL": true}}}]},
    });
    assert_eq!(backend.get("hash", json!({"a": {"S": "k"}})).await, expected);
    let duplicate = run(&backend, "INSERT INTO hash VALUE {'a': 'k'}").await.unwrap_err();
    assert_eq!(duplicate.code, "DuplicateItemException");
    assert_eq!(duplicate.message, "Duplicate primary key exists in table");
    assert_eq!(backend.get("hash", json!({"a": {"S": "k"}})).await, expected);
}

#[tokio::test]
async fn literals_that_are_no_values_are_refused() {
    let backend = backend().await;
    let nested = |times: usize| format!("{}1{}", "[".repeat(times), "]".repeat(times));
    let deepest = format!("INSERT INTO hash VALUE {{'a': 'k', 'd': {}}}", nested(31));
    let too_deep = format!("INSERT INTO hash VALUE {{'a': 'l', 'd': {}}}", nested(32));
    ok(&backend, &deepest).await;
    let bag = "Unsupported data type in Bag. DynamoDB only supports either numbers or strings in bags";
    for (statement, expected) in [
        (too_deep.as_str(), format!("Nesting Levels have exceeded supported limits under root{}", "[0]".repeat(32))),
        ("INSERT INTO hash VALUE {'a': 'l', 's': <<>>}", "Empty bags are not supported".to_owned()),
        ("INSERT INTO hash VALUE {'a': 'l', 's': <<1, 'a'>>}", bag.to_owned()),
        (
            "INSERT INTO hash VALUE {'a': 'l', 's': <<'a', 'a'>>}",
            "One or more parameter values were invalid: Input collection [a, a] contains duplicates.".to_owned(),
        ),
        (
            "UPDATE hash SET n = set_add(n, <<2, 2.0>>) WHERE a = 'k'",
            "One or more parameter values were invalid: Input collection [2, 2.0] contains duplicates! under root"
                .to_owned(),
        ),
        (
            "INSERT INTO hash VALUE {'a': 'l', 's': set_add(<<'a'>>, <<'b'>>)}",
            "Unsupported data type: set_add under key root at 1:40:7".to_owned(),
        ),
        ("INSERT INTO hash VALUE {'b': 'l'}", "Key attribute should be present in the item: Key a".to_owned()),
    ] {
        assert_eq!(words(&backend, statement).await, expected, "{statement}");
    }
    let request =
        json!({"Statement": "INSERT INTO hash VALUE {'a': 'l', 'm': {'k': ?}}", "Parameters": [{"S": "v"}]});
    assert_eq!(
        words_of(&backend, request).await,
        "Unsupported data type: Parameter under key root.k at 1:46:1"
    );
}

#[tokio::test]
async fn a_select_reads_columns_by_their_last_names() {
    let backend = backend().await;
    put(
        &backend,
        "k",
        "1",
        json!({"m": {"M": {"k": {"L": [{"S": "c"}]}, "n": {"S": "d"}}}, "l": {"L": [{"S": "e"}]}}),
    )
    .await;
    let answer =
        ok(&backend, "SELECT m.k[0], \"m\".n, l[-0], z, b FROM range WHERE a = 'k' -- all of them").await;
    assert_eq!(
        answer,
        json!({"Items": [{"k[0]": {"S": "c"}, "n": {"S": "d"}, "l[0]": {"S": "e"}, "b": {"S": "1"}}]})
    );
    assert_eq!(ok(&backend, "SELECT z FROM range").await, json!({"Items": [{}]}));
    assert_eq!(ok(&backend, "SELECT * FROM range WHERE a = 'none'").await, json!({"Items": []}));
}

#[tokio::test]
async fn a_where_filters_as_conditions_do() {
    let backend = backend().await;
    let attributes = json!({"n": {"N": "1"}, "flag": {"S": "right"}, "yes": {"BOOL": true}, "nul": {"NULL": true},
                            "ss": {"SS": ["x"]}, "m": {"M": {"sub": {"S": "x"}}}});
    put(&backend, "k", "1", attributes).await;
    for holds in [
        "attribute_exists(nope) = false",
        "true = attribute_exists(n)",
        "attribute_exists(n) <> 1",
        "contains(nope, 'z') = false",
        "(n BETWEEN 0 AND 5) = true",
        "(n = 5 OR flag = 'x') = false",
        "attribute_exists(nope) IN [true, false]",
        "attribute_exists(n) = attribute_exists(flag)",
        "attribute_exists(n) = yes",
        "ATTRIBUTE_NOT_EXISTS (nope)",
        "size(flag) = 5",
        "attribute_type(ss, 'SS')",
        "nul IS NULL",
        "flag IS NOT NULL",
        "nope IS MISSING",
        "flag IS NOT MISSING",
        "yes IS BOOL",
        "flag IS STRING",
        "n = - - 1",
        "n BETWEEN - 2 AND +5 AND n IN [- 1, 1]",
        "n NOT IN [5] AND n NOT BETWEEN 7 AND 8",
        "n != 2",
        "1 = n",
        "0 < n",
        "ss = <<'x'>>",
        "m = {'sub': 'x'}",
        "NOT begins_with(flag, 'al')",
        "n = 1 = true",
        "(flag = 'x' OR attribute_exists(m.sub))",
        "n IN (1, 2)",
    ] {
        let answer =
            ok(&backend, &format!("SELECT b FROM range WHERE a = 'k' AND b = '1' AND {holds}")).await;
        assert_eq!(column(&answer, "b"), ["1"], "{holds}");
    }
    for fails in [
        "attribute_exists(n) = 1",
        "NOT attribute_exists(n) = true",
        "(attribute_exists(n) = true) = false",
        "attribute_exists(n) = flag",
        "flag IS NULL",
        "nope IS NULL",
        "flag IS BOOL",
        "n > -/* c */-1",
        "n < 0",
        "1 < n",
    ] {
        let answer =
            ok(&backend, &format!("SELECT b FROM range WHERE a = 'k' AND b = '1' AND {fails}")).await;
        assert_eq!(column(&answer, "b"), [""; 0], "{fails}");
    }
}

async fn with_partitions() -> Backend {
    let backend = backend().await;
    for a in ["o", "p"] {
        for b in ["1", "2", "3"] {
            put(&backend, a, b, json!({"flag": {"S": if b == "1" { "one" } else { "other" }}})).await;
        }
    }
    backend
}

fn rows(answer: &Value) -> Vec<String> {
    column(answer, "a").into_iter().zip(column(answer, "b")).map(|(a, b)| a + &b).collect()
}

#[tokio::test]
async fn an_order_is_the_keys_and_the_service_demands_it_whole() {
    let backend = with_partitions().await;
    for (tail, expected) in [
        ("a = 'o' ORDER BY b DESC", vec!["o3", "o2", "o1"]),
        ("a = 'o' ORDER BY b", vec!["o1", "o2", "o3"]),
        ("a = 'o' ORDER BY a ASC", vec!["o3", "o2", "o1"]),
        ("a IN ['o', 'p'] ORDER BY a DESC, b ASC", vec!["p1", "p2", "p3", "o1", "o2", "o3"]),
        ("a IN ['o', 'p'] AND b IN ['3', '1'] ORDER BY a, b DESC", vec!["o3", "o1", "p3", "p1"]),
    ] {
        assert_eq!(
            rows(&ok(&backend, &format!("SELECT a, b FROM range WHERE {tail}")).await),
            expected,
            "{tail}"
        );
    }
    for (tail, expected) in [
        ("ORDER BY b", "Must have WHERE clause in the statement when using ORDER BY clause."),
        ("WHERE a = 'o' ORDER BY flag", "Attribute flag in ORDER BY clause must be part of the primary key"),
        (
            "WHERE a > 'a' ORDER BY b",
            "Must have at least one non-optional hash key condition in WHERE clause when using ORDER BY clause.",
        ),
        (
            "WHERE a IN ['o', 'p'] ORDER BY b DESC",
            "Must have hash key in ORDER BY clause when more than one hash key condition specified in WHERE clause.",
        ),
    ] {
        assert_eq!(words(&backend, &format!("SELECT b FROM range {tail}")).await, expected, "{tail}");
    }
}

#[tokio::test]
async fn branches_that_overlap_are_refused_unless_they_are_negated() {
    let backend = with_partitions().await;
    let overlapping = "Overlapping conditions with range keys are not supported in where clause";
    for condition in [
        "a IN ['o', 'o']",
        "a = 'o' OR a = 'o'",
        "a = 'o' AND (b > '0' OR b < '5')",
        "a = 'o' AND (b = '1' OR flag = 'two')",
        "(a = 'o' AND flag = 'x') OR (a = 'o' AND flag = 'y')",
        "a = 'o' AND x = '1' OR a = 'o' AND b = '2'",
    ] {
        assert_eq!(
            words(&backend, &format!("SELECT b FROM range WHERE {condition}")).await,
            overlapping,
            "{condition}"
        );
    }
    for (condition, expected) in [
        ("a = 'o' AND NOT b = '1' OR a = 'o' AND b = '2'", vec!["2", "3"]),
        ("a = 'o' AND b <> '1' OR a = 'o' AND b = '2'", vec!["2", "3"]),
        ("a = 'o' OR a = 'o' AND NOT b = '1'", vec!["1", "2", "3"]),
        ("a = 'o' AND (b = '1' OR b = '3')", vec!["1", "3"]),
        ("a = 'o' AND b > '1' AND b < '3'", vec!["2"]),
        ("a = 'o' AND b = '1' AND b > '1'", vec![]),
        ("a = 'o' AND a = 'p'", vec![]),
        ("a = 'o' AND attribute_exists(a) AND b IN <<'1'>>", vec!["1"]),
        ("a > 1", vec![]),
        ("a = 'o' AND begins_with(b, '3')", vec!["3"]),
    ] {
        assert_eq!(
            column(&ok(&backend, &format!("SELECT b FROM range WHERE {condition}")).await, "b"),
            expected,
            "{condition}"
        );
    }
    let mismatch = "Key attribute's data type should match its data type in table's schema: Key";
    assert_eq!(words(&backend, "SELECT b FROM range WHERE a = 1 OR a = 'o'").await, format!("{mismatch} a"));
    assert_eq!(
        words(&backend, "SELECT b FROM range WHERE a = 'o' AND b IN ['1', 2]").await,
        format!("{mismatch} b")
    );
}

#[tokio::test]
async fn a_statement_is_at_most_fifty_queries() {
    let backend = with_partitions().await;
    let values = |count: usize| (0..count).map(|index| format!("'v{index}'")).collect::<Vec<_>>().join(",");
    let too_many = "Too many decomposed read operations for a given query.";
    for condition in [
        format!("a IN [{}]", values(51)),
        format!("a = 'o' AND b IN [{}]", values(51)),
        format!("a IN [{}] AND b IN ['1', '2']", values(26)),
    ] {
        assert_eq!(words(&backend, &format!("SELECT b FROM range WHERE {condition}")).await, too_many);
    }
    let fitting = format!("a IN [{}] AND flag IN [{}]", values(50), values(100));
    assert_eq!(ok(&backend, &format!("SELECT b FROM range WHERE {fitting}")).await, json!({"Items": []}));
    let scanned = format!("a IN [{}] OR flag = 'one'", values(51));
    assert_eq!(column(&ok(&backend, &format!("SELECT b FROM range WHERE {scanned}")).await, "b"), ["1", "1"]);
}

#[tokio::test]
async fn pages_follow_one_another_through_all_branches() {
    let backend = with_partitions().await;
    let statement = "SELECT a, b FROM range WHERE a IN ['o', 'p'] ORDER BY a DESC, b";
    let mut seen = Vec::new();
    let mut token = Value::Null;
    for _ in 0..10 {
        let mut request = json!({"Statement": statement, "Limit": 2});
        if !token.is_null() {
            request["NextToken"] = token;
        }
        let answer = backend.ok(ExecuteStatement, request).await;
        seen.extend(rows(&answer));
        token = answer["NextToken"].clone();
        if token.is_null() {
            break;
        }
    }
    assert_eq!(seen, ["p1", "p2", "p3", "o1", "o2", "o3"]);

    let first = backend.ok(ExecuteStatement, json!({"Statement": "SELECT * FROM range", "Limit": 1})).await;
    let with_token = |statement: &str, token: &Value| json!({"Statement": statement, "NextToken": token});
    let rest = backend.ok(ExecuteStatement, with_token("SELECT * FROM range", &first["NextToken"])).await;
    assert_eq!(rest["Items"].as_array().unwrap().len(), 5);
    assert_eq!(
        words_of(&backend, with_token("SELECT b FROM range", &first["NextToken"])).await,
        "NextToken does not match request"
    );
    assert_eq!(
        words_of(&backend, with_token("SELECT * FROM range", &json!("abc"))).await,
        "Invalid NextToken"
    );
}

#[tokio::test]
async fn an_index_is_read_for_what_it_has() {
    let backend = backend().await;
    put(&backend, "k", "1", json!({"c": {"S": "x"}, "d": {"S": "y"}, "e": {"S": "z"}, "f": {"S": "f"}}))
        .await;
    put(&backend, "k", "2", json!({"c": {"S": "x"}})).await;
    let b = async |statement: &str| column(&ok(&backend, statement).await, "b");
    assert_eq!(b(r#"SELECT * FROM "range"."index4" WHERE c = 'x'"#).await, ["1"]);
    assert_eq!(b(r#"SELECT b FROM "range"."index2" WHERE d = 'y'"#).await, ["1"]);
    assert_eq!(b(r#"SELECT b FROM "range"."index4" WHERE f = 'f'"#).await, [""; 0]);
    assert_eq!(b(r#"SELECT b FROM "range"."index4" WHERE NOT f = 'f'"#).await, ["1"]);
    assert_eq!(
        ok(&backend, r#"SELECT f FROM "range"."index2" WHERE a = 'k'"#).await,
        json!({"Items": [{"f": {"S": "f"}}]})
    );
    let unprojected = |index: &str, names: &str| {
        format!(
            "One or more parameter values were invalid: Secondary index {index} does not project one or more filter attributes: [{names}]"
        )
    };
    for (statement, expected) in [
        (
            r#"SELECT g, f FROM "range"."index4" WHERE c = 'x'"#,
            "One or more parameter values were invalid: Global secondary index index4 does not project [g, f]".to_owned(),
        ),
        (r#"SELECT b FROM "range"."index4" WHERE c = 'x' AND f = 'f'"#, unprojected("index4", "f")),
        (r#"SELECT b FROM "range"."index2" WHERE a = 'k' AND f IS MISSING"#, unprojected("index2", "f")),
        (r#"SELECT b FROM "range"."index4" WHERE c = 'x' AND (zz = '1' OR aa = '2' OR mm = '3')"#, unprojected("index4", "zz, aa, mm")),
        (r#"SELECT b FROM "range"."index4" WHERE c = 'x' AND g = '1' AND (f = '2' OR e = '3')"#, unprojected("index4", "f, g")),
        (r#"SELECT b FROM "range"."none""#, "The table does not have the specified index".to_owned()),
    ] {
        assert_eq!(words(&backend, statement).await, expected, "{statement}");
    }
    let consistent = json!({"Statement": r#"SELECT * FROM "range"."index4""#, "ConsistentRead": true});
    assert_eq!(
        words_of(&backend, consistent).await,
        "Strongly consistent read is not supported on Global Secondary Indexes"
    );
}

#[tokio::test]
async fn an_index_of_several_key_attributes_is_refused() {
    let backend = backend().await;
    let attributes = ["id", "h1", "h2"].map(|name| json!({"AttributeName": name, "AttributeType": "S"}));
    let hash = |name: &str| json!({"AttributeName": name, "KeyType": "HASH"});
    let table = json!({
        "TableName": "multi", "AttributeDefinitions": attributes, "KeySchema": [hash("id")],
        "BillingMode": "PAY_PER_REQUEST",
        "GlobalSecondaryIndexes": [{
            "IndexName": "gsi", "KeySchema": [hash("h1"), hash("h2")], "Projection": {"ProjectionType": "ALL"},
        }],
    });
    backend.ok(CreateTable, table).await;
    let refused = "PartiQL statements cannot be executed on tables with multi-attribute HASH keys \
                   or multi-attribute RANGE keys.";
    assert_eq!(words(&backend, "SELECT COUNT(*) FROM multi.gsi").await, refused);
    assert_eq!(words(&backend, "SELECT * FROM multi.gsi WHERE h1 = 5").await, refused);
    assert_eq!(
        words(&backend, "SELECT * FROM multi.gsi WHERE begins_with(h1, 5) AND nope(h1)").await,
        refused
    );
    let with_token = json!({"Statement": "SELECT * FROM multi.gsi", "NextToken": "no token"});
    assert_eq!(words_of(&backend, with_token).await, refused);
    assert_eq!(ok(&backend, "SELECT * FROM multi").await, json!({"Items": []}));
}

#[tokio::test]
async fn an_update_changes_one_item_that_is_there() {
    let backend = backend().await;
    put(
        &backend,
        "k",
        "1",
        json!({"n": {"N": "5"}, "l": {"L": [{"S": "x"}]}, "s": {"SS": ["p"]}, "m": {"M": {}}}),
    )
    .await;
    let statement = "UPDATE range SET n = n - - 2 + 1, m.k = [2020, {'y': <<1>>}] SET l = LIST_APPEND(l, ['y']) REMOVE z \
                     SET s = set_add(s, <<'q'>>), t = set_add(t, <<7>>) WHERE a = 'k' AND b = '1' RETURNING ALL NEW *";
    let new = json!({
        "a": {"S": "k"}, "b": {"S": "1"}, "n": {"N": "8"}, "l": {"L": [{"S": "x"}, {"S": "y"}]},
        "s": {"SS": ["p", "q"]}, "t": {"NS": ["7"]},
        "m": {"M": {"k": {"L": [{"N": "2020"}, {"M": {"y": {"NS": ["1"]}}}]}}},
    });
    assert_eq!(ok(&backend, statement).await, json!({"Items": [new]}));
    let tail = "WHERE a = 'k' AND b = '1' RETURNING";
    let nothing = json!({"Items": []});
    assert_eq!(
        ok(&backend, &format!("UPDATE range SET n = 1 {tail} MODIFIED OLD *")).await,
        json!({"Items": [{"n": {"N": "8"}}]})
    );
    assert_eq!(ok(&backend, &format!("UPDATE range REMOVE n {tail} MODIFIED NEW *")).await, nothing);
    assert_eq!(ok(&backend, "FROM range WHERE a = 'k' AND b = '1' SET n = 2 REMOVE l").await, nothing);
    assert_eq!(
        ok(&backend, "UPDATE range SET t = set_delete(t, <<7>>) WHERE (a = 'k' AND b = '1') AND n = 2").await,
        nothing
    );
    let item = backend.get("range", json!({"a": {"S": "k"}, "b": {"S": "1"}})).await;
    assert_eq!((&item["n"], &item["l"], &item["t"]), (&json!({"N": "2"}), &Value::Null, &Value::Null));
}

#[tokio::test]
async fn a_write_names_one_item_and_its_condition_must_hold() {
    let backend = backend().await;
    put(&backend, "k", "1", json!({"n": {"N": "5"}})).await;
    let key_missing = "Where clause does not contain a mandatory equality on all key attributes";
    for statement in [
        "UPDATE range SET n = 1",
        "UPDATE range SET n = 1 WHERE a = 'k'",
        "DELETE FROM range",
        "DELETE FROM range WHERE n = 5",
        "UPDATE range SET n = 1 WHERE a = 'k' AND b = '1' OR n = 5",
        "FROM range SET n = 1",
        "UPDATE range SET n = 1 WHERE a IN ['k'] AND b = '1'",
    ] {
        assert_eq!(words(&backend, statement).await, key_missing, "{statement}");
    }
    assert_eq!(
        words(&backend, "DELETE FROM range WHERE a = 'k' AND b = '1' AND a = 'l'").await,
        "Multiple conditions on same key a. Only single item Update/Insert/Delete are supported"
    );
    for statement in [
        "UPDATE range SET n = 1 WHERE a = 'none' AND b = '1'",
        "UPDATE range SET n = 1 WHERE a = 'k' AND b = '1' AND n = 6",
        "UPDATE range SET n = 1 WHERE a = 'none' AND b = '1' AND attribute_not_exists(a)",
        "DELETE FROM range WHERE a = 'k' AND b = '1' AND attribute_exists(nope)",
    ] {
        let refusal = run(&backend, statement).await.unwrap_err();
        assert_eq!(refusal.code, "ConditionalCheckFailedException", "{statement}");
        assert_eq!(refusal.message, "The conditional request failed");
    }
    let told = json!({
        "Statement": "DELETE FROM range WHERE a = 'k' AND b = '1' AND n = 6", "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
    });
    assert_eq!(backend.send(ExecuteStatement, told).await.unwrap_err().body["Item"]["n"], json!({"N": "5"}));
    assert_eq!(
        ok(&backend, "DELETE FROM range WHERE a = 'none' AND b = '1' AND n = 6").await,
        json!({"Items": []})
    );
    assert_eq!(
        ok(&backend, "DELETE FROM range WHERE a = 'k' AND b = '1' AND n = 5 RETURNING ALL OLD *").await,
        json!({"Items": [{"a": {"S": "k"}, "b": {"S": "1"}, "n": {"N": "5"}}]})
    );
    assert_eq!(
        words(&backend, "DELETE FROM range WHERE a = 'k' AND b = '1' RETURNING MODIFIED OLD *").await,
        "Invalid returning clause: RETURNING MODIFIED OLD *. Only RETURNING ALL OLD * is allowed in DELETE statements."
    );
}

#[tokio::test]
async fn functions_of_updates_are_told_where_they_are_wrong() {
    let backend = backend().await;
    backend.put("hash", json!({"a": {"S": "k"}, "ss": {"SS": ["a"]}, "s": {"S": "x"}})).await;
    for (change, expected) in [
        (
            "t = set_add(ss, <<'x'>>)",
            "The first argument to SET_ADD must equal the assignment value at 1:21:7",
        ),
        (
            "ss = set_add(<<'a'>>, <<'b'>>)",
            "The first argument to SET_ADD must equal the assignment value at 1:22:7",
        ),
        ("ss = set_add(ss, 'x')", "The second argument to SET_ADD must be a value with type SET at 1:30:2"),
        (
            "ss = set_delete(ss, ['x'])",
            "The second argument to SET_DELETE must be a value with type SET at 1:33:2",
        ),
        ("ss = set_add(ss)", "SET_ADD must have exactly two arguments at 1:22:7"),
        ("ss = set_add(ss, <<1>>)", "An operand in the update expression has an incorrect data type"),
        ("n = size(s)", "The function is not allowed in an update expression; function: size"),
        ("n = foo(s)", "Unrecognized function: foo at 1:21:3"),
        ("n = n * 2", "Unsupported operator in Update Expression. Operator: *"),
        (
            "n = 'a' + 1",
            "Incorrect operand type for operator or function; operator or function: +, operand type: S",
        ),
        ("n = z", "The provided expression refers to an attribute that does not exist in the item"),
        ("z[0] = 1", "The document path provided in the update expression is invalid for update"),
        (
            "n = 1, n = 2",
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [n], path two: [n]",
        ),
        (
            "m = 1 REMOVE m.x",
            "Two document paths overlap with each other; must remove or rewrite one of these paths; path one: [m, x], path two: [m]",
        ),
        (
            "a = 'z'",
            "One or more parameter values were invalid: Cannot update attribute a. This attribute is part of the key",
        ),
    ] {
        assert_eq!(
            words(&backend, &format!("UPDATE hash SET {change} WHERE a = 'k'")).await,
            expected,
            "{change}"
        );
    }
}

#[tokio::test]
async fn capacity_is_reported_where_it_was_consumed() {
    let backend = backend().await;
    put(&backend, "k", "1", json!({"c": {"S": "x"}, "d": {"S": "y"}})).await;
    let consumed = async |statement: &str, members: Value| {
        let mut request = json!({"Statement": statement, "ReturnConsumedCapacity": "INDEXES"});
        request.as_object_mut().unwrap().extend(members.as_object().unwrap().clone());
        backend.ok(ExecuteStatement, request).await["ConsumedCapacity"].clone()
    };
    assert_eq!(
        consumed("SELECT * FROM range WHERE a = 'k'", json!({"ConsistentRead": true})).await,
        json!({"TableName": "range", "CapacityUnits": 1.0, "Table": {"CapacityUnits": 1.0}})
    );
    assert_eq!(
        consumed("SELECT f FROM range.index2 WHERE a = 'k'", json!({})).await,
        json!({"TableName": "range", "CapacityUnits": 1.0, "Table": {"CapacityUnits": 0.5},
               "LocalSecondaryIndexes": {"index2": {"CapacityUnits": 0.5}}})
    );
    assert_eq!(consumed("DELETE FROM hash WHERE a = 'k'", json!({})).await["CapacityUnits"], json!(1.0));
}

#[tokio::test]
#[expect(clippy::too_many_lines, reason = "one story, whose steps build on each other")]
async fn a_batch_answers_each_statement_for_itself() {
    let backend = backend().await;
    put(&backend, "k", "1", json!({"n": {"N": "1"}})).await;
    backend.put("hash", json!({"a": {"S": "k"}, "data": {"S": "old"}})).await;
    let batch = |statements: &[&str]| {
        let statements: Vec<Value> =
            statements.iter().map(|statement| json!({"Statement": statement})).collect();
        json!({"Statements": statements})
    };
    let error = |code: &str, message: &str| json!({"Code": code, "Message": message});
    let demanded =
        "Select statements within BatchExecuteStatement must specify the primary key in the where clause.";
    let reads = batch(&[
        "SELECT n FROM range WHERE b IN ['1'] AND a = 'k'",
        "SELECT * FROM hash WHERE a = 'none'",
        "SLECT * FROM hash",
        "SELECT * FROM none WHERE a = 'x'",
        "SELECT * FROM range WHERE a = 'k'",
        "SELECT * FROM range WHERE a = 'k' AND b = '1' AND n = 1",
        "SELECT * FROM range.index1 WHERE a = 'k'",
    ]);
    let answer = backend.ok(BatchExecuteStatement, reads).await;
    let responses = &answer["Responses"];
    assert_eq!(responses[0], json!({"TableName": "range", "Item": {"n": {"N": "1"}}}));
    assert_eq!(responses[1], json!({"TableName": "hash"}));
    assert_eq!(
        responses[2]["Error"],
        error("ValidationError", &format!("{MALFORMED}Expected data manipulation"))
    );
    assert_eq!(
        responses[3],
        json!({"TableName": "none", "Error": error("ResourceNotFound", "Requested resource not found")})
    );
    for refused in [4, 5, 6] {
        assert_eq!(responses[refused]["Error"], error("ValidationError", demanded), "{refused}");
    }
    let writes = batch(&[
        "UPDATE hash SET data = 'new' WHERE a = 'k' RETURNING MODIFIED NEW *",
        "INSERT INTO range VALUE {'a': 'k', 'b': '1'}",
        "DELETE FROM hash WHERE a = 'x' RETURNING ALL NEW *",
        "UPDATE range REMOVE z WHERE a = 'k' AND b = '2'",
        "INSERT INTO hash VALUE {'a': 'l'}",
    ]);
    let mut with_capacity = writes;
    with_capacity["ReturnConsumedCapacity"] = "TOTAL".into();
    let answer = backend.ok(BatchExecuteStatement, with_capacity).await;
    let responses = &answer["Responses"];
    assert_eq!(responses[0], json!({"TableName": "hash", "Item": {"data": {"S": "new"}}}));
    assert_eq!(
        responses[1],
        json!({"TableName": "range", "Error": error("DuplicateItem", "Duplicate primary key exists in table")})
    );
    assert_eq!(responses[2]["Error"]["Code"], "ValidationError");
    assert_eq!(responses[3]["Error"], error("ConditionalCheckFailed", "The conditional request failed"));
    assert_eq!(responses[4], json!({"TableName": "hash"}));
    // One entry for each table; where nothing succeeded, none.
    let consumed = |units: f64| json!([{"TableName": "hash", "CapacityUnits": units}]);
    assert_eq!(answer["ConsumedCapacity"], consumed(2.0));
    let mut with_failure = batch(&["INSERT INTO hash VALUE {'a': 'k'}", "INSERT INTO hash VALUE {'a': 'm'}"]);
    with_failure["ReturnConsumedCapacity"] = "TOTAL".into();
    let answer = backend.ok(BatchExecuteStatement, with_failure.clone()).await;
    assert_eq!(answer["ConsumedCapacity"], consumed(2.0), "a failure counts beside a success");
    let answer = backend.ok(BatchExecuteStatement, with_failure.clone()).await;
    assert_eq!(answer["ConsumedCapacity"], Value::Null, "and not without one");
    let charges = backend.charges(BatchExecuteStatement, with_failure).await;
    assert_eq!(charges, [("hash".to_owned(), 2.0)], "but both are charged");
    let failed = json!({"Statement": "UPDATE hash SET n = 1 WHERE a = 'k' AND n = 5"});
    assert_eq!(backend.charges(ExecuteStatement, failed).await, [("hash".to_owned(), 1.0)]);
    let key = json!({"TableName": "hash", "Key": {"a": {"S": "l"}}});
    assert_eq!(backend.ok(GetItem, key).await["Item"], json!({"a": {"S": "l"}}));

    let mixed = batch(&["SELECT * FROM hash WHERE a = 'k'", "DELETE FROM hash WHERE a = 'l'"]);
    assert_eq!(
        backend.invalid(BatchExecuteStatement, mixed).await,
        "Read and write requests together in the same batch is not supported."
    );
    let twice = batch(&["DELETE FROM hash WHERE a = 'l'", "UPDATE hash SET n = 1 WHERE a = 'l'"]);
    assert_eq!(
        backend.invalid(BatchExecuteStatement, twice).await,
        "Provided list of item keys contains duplicates"
    );
}

#[tokio::test]
async fn statements_as_deep_or_long_as_they_may_be_do_no_harm() {
    let backend = backend().await;
    for statement in [
        format!("SELECT * FROM hash WHERE {}a = 'x'{}", "(".repeat(3900), ")".repeat(3900)),
        format!("SELECT * FROM hash WHERE {}a = 'x'", "NOT ".repeat(1900)),
        format!("SELECT * FROM hash WHERE a = {}1", "- ".repeat(3900)),
        format!("SELECT * FROM hash WHERE a = {}{}", "[".repeat(3900), "]".repeat(3900)),
        format!("SELECT * FROM hash WHERE a{} = 1", "[1]".repeat(2000)),
        format!("SELECT * FROM hash WHERE {}a = 1", "a = 1 OR ".repeat(800)),
        format!("SELECT * FROM hash WHERE {}a = 1", "a < ".repeat(1800)),
    ] {
        assert!(run(&backend, &statement).await.is_err(), "{}", &statement[..60]);
    }
}
