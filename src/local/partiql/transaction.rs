//! ExecuteTransaction: statements that all happen, or none of them.
//!
//! The statements become what TransactWriteItems and TransactGetItems carry out. What a statement says wrong is told with its
//! position; what only its table or item can say cancels the transaction.

use crate::model::expr::{Condition, KeyTest};
use crate::model::partiql::{Asks, Filter, Select, Statement};
use crate::model::{ApiError, AttributeValue, Cause, Item, KeySchema};
use crate::wire::Json;

use crate::local::answer::ObjectWriter;
use crate::local::catalog::Table;
use crate::local::change::ItemChange;
use crate::local::selection::Selection;
use crate::local::transact::read::ItemRead;
use crate::local::transact::tokens::ClientToken;
use crate::local::transact::write::{ActionKind, TransactionAction};
use crate::local::transact::{BYTES_MAX, EmptyKey, cancelled, too_large};
use crate::local::write::{ItemCheck, OnFailure};
use crate::local::{Charged, Local, LocalError, Reply};

use super::parameters::parameters;
use super::write::{changing, insertion, removal};
use super::{plan, statement_text};

const MEMBER: &str = "TransactStatements";

impl Local {
    /// Runs statements, reads or writes, as one transaction.
    pub(crate) async fn execute_transaction(&self, body: &Json<'_>) -> Charged {
        let members = body.get(MEMBER).and_then(Json::elements).unwrap_or_default();
        let statements = parse(members)?;
        if statements.iter().any(Statement::is_read) && !statements.iter().all(Statement::is_read) {
            return Err(ApiError::validation(
                "ExecuteTransaction API does not support both read and write operations in the same request.",
            )
            .into());
        }
        let mut answer = ObjectWriter::with_capacity(256);
        let charges = if statements.iter().all(Statement::is_read) {
            let reads = self.with_tables(statements, |statement, table, _| read_of(statement, table))?;
            let done = self.transact_read(&reads)?;
            done.write_members(body, &mut answer);
            done.into_charges()
        } else {
            let actions = self.with_tables(statements, |statement, table, position| {
                action_of(statement, table, OnFailure::requested(&members[position]))
            })?;
            let token = ClientToken::requested(body, MEMBER);
            let done = self.transact(actions, token, EmptyKey::Cancels, Cause::Statement).await?;
            answer.member("Responses").extend_from_slice(b"[]");
            done.write_members(body, &mut answer);
            done.into_charges()
        };
        Ok(Reply::new(answer.finish(), charges))
    }

    /// Gives every statement its table.
    ///
    /// # Errors
    /// What `translate` says, with the statement's position; else the cancellation, when a table is not there.
    fn with_tables<T>(
        &self,
        statements: Vec<Statement>,
        translate: impl Fn(Statement, &Table, usize) -> Result<T, ApiError>,
    ) -> Result<Vec<T>, LocalError> {
        let mut translated = Vec::with_capacity(statements.len());
        let mut reasons = Vec::with_capacity(statements.len());
        for (position, statement) in statements.into_iter().enumerate() {
            reasons.push(match self.catalog.table(statement.table()) {
                Ok(table) => {
                    let done = translate(statement, &table, position);
                    translated.push(done.map_err(|error| at(position, error))?);
                    None
                }
                Err(error) => Some(error),
            });
        }
        match reasons.iter().any(Option::is_some) {
            true => Err(cancelled(&reasons).into()),
            false => Ok(translated),
        }
    }
}

/// Reads the statements of a transaction. Of several faults the first statement's is told, but none of a statement's text
/// before parameters that are too large together.
fn parse(members: &[Json<'_>]) -> Result<Vec<Statement>, ApiError> {
    let mut unreadable = None;
    let mut values = Vec::with_capacity(members.len());
    for member in members {
        match parameters(member) {
            Ok(parameters) => values.push(parameters),
            Err(error) => {
                unreadable = Some(error);
                break;
            }
        }
    }
    if unreadable.is_none() {
        refuse_too_large(&values)?;
    }
    let statements = members.iter().zip(&values).enumerate().map(|(position, (member, values))| {
        Statement::parse(statement_text(member), values).map_err(|error| at(position, error))
    });
    let statements = statements.collect::<Result<_, _>>()?;
    unreadable.map_or(Ok(statements), Err)
}

/// An error of one statement.
fn at(position: usize, error: ApiError) -> ApiError {
    let words = error.message.unwrap_or_default();
    ApiError::validation(format!("Validation failed in {MEMBER}[{position}]: {words}"))
}

/// Counts what the request brings apart from its statements, which are short.
fn refuse_too_large(values: &[Vec<AttributeValue>]) -> Result<(), ApiError> {
    let bytes = values.iter().flatten().map(AttributeValue::size_bytes).sum::<usize>();
    if bytes > BYTES_MAX { Err(too_large(bytes)) } else { Ok(()) }
}

fn read_of(statement: Statement, table: &Table) -> Result<ItemRead, ApiError> {
    let Statement::Select(select) = statement else { unreachable!("all statements are reads") };
    if select.index.is_some() {
        return Err(ApiError::validation("Reads on indices are not supported within transactions."));
    }
    let columns = select.columns;
    let filter = select.filter.as_ref();
    plan::check_branches(filter, &table.schema.key)?;
    let key = plan::named_item(filter, &table.schema.key).ok_or_else(|| {
        ApiError::validation(
            "Select statements within ExecuteTransaction must specify the primary key in the where clause.",
        )
    })?;
    Ok(ItemRead { table_name: select.table, key, selection: Selection::Columns(columns) })
}

fn action_of(
    statement: Statement,
    table: &Table,
    on_failure: OnFailure,
) -> Result<TransactionAction, ApiError> {
    let key = &table.schema.key;
    let table_name = statement.table().to_owned();
    let returns = match &statement {
        Statement::Update(update) => update.returning.is_some(),
        Statement::Delete(delete) => delete.returns_old,
        Statement::Select(_) | Statement::Exists(_) | Statement::Insert(_) => false,
    };
    if returns {
        return Err(ApiError::validation("RETURNING clause is not supported in ExecuteTransaction."));
    }
    let kind = match statement {
        Statement::Select(_) => unreachable!("all statements are writes"),
        Statement::Exists(select) => ActionKind::Check(check_of(select, key, on_failure)?),
        Statement::Insert(insert) => ActionKind::Write(insertion(insert, key)?),
        Statement::Update(update) => {
            let (item, rest) = split(update.filter.as_ref(), key)?;
            let change = ItemChange::Statement(update.update);
            ActionKind::Write(changing(change, item, rest, key, on_failure))
        }
        Statement::Delete(delete) => {
            let (item, rest) = split(delete.filter.as_ref(), key)?;
            match rest.is_empty() {
                true => ActionKind::Write(removal(item, rest, key, on_failure)),
                false => ActionKind::Remove(removal(item, rest, key, on_failure)),
            }
        }
    };
    Ok(TransactionAction { table_name, kind })
}

/// The key that a `WHERE` names, and what else it asks. One that names no item, or two, gives a key that fits no table: the
/// transaction is then cancelled for that.
///
/// # Errors
/// The service's own for a value that no table's key can have. One that only this table's cannot have cancels, too.
fn split(filter: Option<&Filter>, key: &KeySchema) -> Result<(Item, Vec<Condition>), ApiError> {
    let (item, rest) = super::write::split_untyped(filter, key).unwrap_or_default();
    for (name, value) in &item {
        if !matches!(value, AttributeValue::S(_) | AttributeValue::N(_) | AttributeValue::B(_)) {
            plan::check_type(name, value, key)?;
        }
    }
    Ok((item, rest))
}

/// `EXISTS`: of two values for one key attribute the first names the item, and the other is a condition on it.
fn check_of(select: Select, key: &KeySchema, on_failure: OnFailure) -> Result<ItemCheck, ApiError> {
    if select.index.is_some() {
        return Err(ApiError::validation("Operations on indices are not supported in transactions"));
    }
    let mut item = Item::new();
    let mut rest = Vec::new();
    for part in select.filter.iter().flat_map(Filter::conjuncts) {
        match part.attribute().map(|test| (&test.name, &test.asks)) {
            Some((name, Asks::Key(KeyTest::Equal(value))))
                if key.contains(name) && !item.contains_key(name) =>
            {
                item.insert(name.clone(), value.clone());
            }
            _ => rest.push(part.condition()),
        }
    }
    let is_whole = key.attributes().all(|attribute| item.contains_key(&attribute.name));
    if !is_whole || rest.is_empty() {
        return Err(ApiError::validation(
            "EXISTS() must contain a single item read with additional condition",
        ));
    }
    Ok(ItemCheck { key: item, condition: Condition::all(rest), on_failure })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::local::tests::backend::{Backend, Refusal};
    use crate::model::Operation::ExecuteTransaction;

    fn transaction(statements: &[&str]) -> Value {
        let members = statements.iter().map(|statement| json!({"Statement": statement}));
        json!({"TransactStatements": members.collect::<Vec<Value>>()})
    }

    #[tokio::test]
    async fn the_first_of_several_faulty_statements_is_told() {
        let backend = Backend::with_tables().await;
        let faulty = json!({"Statement": "INSERT INTO hash VALUE {'a': ?}", "Parameters": [{"N": "x"}]});
        let syntax = json!({"Statement": "INSRT INTO hash VALUE {'a': 'k'}"});
        let words = async |statements: [&Value; 2]| {
            backend.invalid(ExecuteTransaction, json!({"TransactStatements": statements})).await
        };
        let number = "The parameter cannot be converted to a numeric value: x";
        assert_eq!(words([&faulty, &syntax]).await, number);
        let words = words([&syntax, &faulty]).await;
        assert!(words.starts_with("Validation failed in TransactStatements[0]: "), "{words}");
    }

    async fn run(backend: &Backend, statements: &[&str]) -> Result<Value, Refusal> {
        backend.send(ExecuteTransaction, transaction(statements)).await
    }

    async fn words(backend: &Backend, statements: &[&str]) -> String {
        backend.invalid(ExecuteTransaction, transaction(statements)).await
    }

    /// The codes and words of a cancellation's reasons.
    async fn reasons(backend: &Backend, statements: &[&str]) -> Vec<(String, String)> {
        let refusal = run(backend, statements).await.unwrap_err();
        assert_eq!(refusal.code, "TransactionCanceledException", "{refusal:?}");
        let reasons = refusal.body["CancellationReasons"].as_array().unwrap();
        let text = |reason: &Value, member: &str| reason[member].as_str().unwrap_or_default().to_owned();
        reasons.iter().map(|reason| (text(reason, "Code"), text(reason, "Message"))).collect()
    }

    fn reason(code: &str, message: &str) -> (String, String) {
        (code.to_owned(), message.to_owned())
    }

    async fn backend() -> Backend {
        let backend = Backend::with_tables().await;
        for a in ["k", "l"] {
            backend.put("hash", json!({"a": {"S": a}, "n": {"N": "1"}, "m": {"M": {"x": {"S": "y"}}}})).await;
            backend.put("range", json!({"a": {"S": a}, "b": {"S": "1"}, "flag": {"S": "right"}})).await;
        }
        backend
    }

    async fn n(backend: &Backend, a: &str) -> Value {
        backend.get("hash", json!({"a": {"S": a}})).await["n"]["N"].clone()
    }

    #[tokio::test]
    async fn writes_all_happen_and_answer_nothing() {
        let backend = backend().await;
        let statements = [
            "UPDATE hash SET n = n + 1 WHERE a = 'k'",
            "INSERT INTO hash VALUE {'a': 'new'}",
            "DELETE FROM hash WHERE a = 'l' AND n = 1",
            "EXISTS(SELECT * FROM range WHERE a = 'k' AND b = '1' AND nope IS MISSING)",
        ];
        assert_eq!(run(&backend, &statements).await, Ok(json!({"Responses": []})));
        assert_eq!(n(&backend, "k").await, "2");
        assert_eq!(backend.get("hash", json!({"a": {"S": "l"}})).await, Value::Null);
        assert_eq!(backend.get("hash", json!({"a": {"S": "new"}})).await, json!({"a": {"S": "new"}}));
    }

    #[tokio::test]
    async fn a_conditional_delete_of_a_missing_item_does_nothing_unless_something_else_cancels() {
        let backend = backend().await;
        let delete = "DELETE FROM hash WHERE a = 'nobody' AND n = 1";
        let update = "UPDATE hash SET n = n + 1 WHERE a = 'k'";
        assert_eq!(run(&backend, &[delete]).await, Ok(json!({"Responses": []})));
        assert_eq!(run(&backend, &[delete, update]).await, Ok(json!({"Responses": []})));
        let failed = reason("ConditionalCheckFailed", "The conditional request failed");
        let wrong = "DELETE FROM hash WHERE a = 'l' AND n = 9";
        assert_eq!(reasons(&backend, &[delete, wrong]).await, [failed.clone(), failed.clone()]);
        let plain = "DELETE FROM hash WHERE a = 'nobody'";
        assert_eq!(reasons(&backend, &[plain, wrong]).await, [reason("None", ""), failed]);
    }

    #[tokio::test]
    async fn one_failure_cancels_all_and_each_statement_has_a_reason() {
        let backend = backend().await;
        let failed = reason("ConditionalCheckFailed", "The conditional request failed");
        assert_eq!(
            reasons(
                &backend,
                &[
                    "INSERT INTO hash VALUE {'a': 'k'}",
                    "UPDATE hash SET n = 9 WHERE a = 'l'",
                    "UPDATE hash SET n = 9 WHERE a = 'none'",
                    "DELETE FROM hash WHERE a = 'nobody' AND n = 1",
                    "EXISTS(SELECT * FROM range WHERE a = 'k' AND b = '1' AND flag = 'wrong')",
                ]
            )
            .await,
            [
                reason("DuplicateItem", "Duplicate primary key exists in table"),
                reason("None", ""),
                failed.clone(),
                failed.clone(),
                failed
            ]
        );
        assert_eq!(n(&backend, "l").await, "1");
    }

    #[tokio::test]
    async fn reads_are_of_one_item_each_and_of_one_state() {
        let backend = backend().await;
        let statements = [
            "SELECT m.x, n FROM hash WHERE a = 'k'",
            "SELECT * FROM hash WHERE a IN ['none']",
            "SELECT flag FROM range WHERE (b = '1') AND a = 'k' AND a = 'k'",
        ];
        let answer = run(&backend, &statements).await.unwrap();
        assert_eq!(
            answer["Responses"],
            json!([{"Item": {"x": {"S": "y"}, "n": {"N": "1"}}}, {}, {"Item": {"flag": {"S": "right"}}}])
        );
        let demanded = "Validation failed in TransactStatements[0]: \
                        Select statements within ExecuteTransaction must specify the primary key in the where clause.";
        for condition in [
            "a = 'k' AND b = '1' AND flag = 'right'",
            "a = 'k' AND b = '1' AND a = 'l'",
            "a = 'k'",
            "a IN ['l'] AND a = 'k' AND b = '1'",
            "a = 'k' AND b = '1' AND attribute_exists(flag)",
        ] {
            let statement = format!("SELECT * FROM range WHERE {condition}");
            assert_eq!(words(&backend, &[&statement]).await, demanded, "{condition}");
        }
        assert_eq!(
            words(&backend, &["SELECT * FROM hash WHERE a = 'k'", "SELECT n FROM hash WHERE a = 'k'"]).await,
            "Transaction request cannot include multiple operations on one item"
        );
        assert_eq!(
            words(&backend, &["SELECT * FROM range WHERE a IN ['k', 'k'] AND b = '1'"]).await,
            "Validation failed in TransactStatements[0]: \
             Overlapping conditions with range keys are not supported in where clause"
        );
        assert_eq!(
            reasons(
                &backend,
                &["SELECT * FROM hash WHERE a = 'k'", "SELECT * FROM range WHERE a = 'k' AND b = 1"]
            )
            .await,
            [
                reason("None", ""),
                reason("ValidationError", "The provided key element does not match the schema")
            ]
        );
    }

    #[tokio::test]
    async fn what_a_statement_says_wrong_is_told_with_its_position() {
        let backend = backend().await;
        let update = "UPDATE hash SET n = 9 WHERE a = 'k'";
        for (statement, expected) in [
            (
                "UPDATE hash SET n = 1 WHERE a = 'l' RETURNING ALL NEW *",
                "RETURNING clause is not supported in ExecuteTransaction.",
            ),
            ("UPDATE hash", "Statement wasn't well formed, can't be processed: Expected data manipulation"),
            (
                "EXISTS(SELECT * FROM hash WHERE a = 'l')",
                "EXISTS() must contain a single item read with additional condition",
            ),
            (
                "EXISTS(SELECT * FROM range WHERE a IN ['k'] AND b = '1' AND flag = 'x')",
                "EXISTS() must contain a single item read with additional condition",
            ),
            (
                "UPDATE hash SET n = n + [1] WHERE a = 'l'",
                "Incorrect operand type for operator or function; operator or function: +, operand type: L",
            ),
        ] {
            let words = words(&backend, &[update, statement]).await;
            assert_eq!(
                words,
                format!("Validation failed in TransactStatements[1]: {expected}"),
                "{statement}"
            );
        }
        assert_eq!(
            words(&backend, &["SELECT * FROM range.index3 WHERE c = 'x'"]).await,
            "Validation failed in TransactStatements[0]: Reads on indices are not supported within transactions."
        );
        assert_eq!(
            words(&backend, &["SELECT * FROM hash WHERE a = 'k'", update]).await,
            "ExecuteTransaction API does not support both read and write operations in the same request."
        );
        let bad = json!({"TransactStatements": [
            {"Statement": update},
            {"Statement": "INSERT INTO hash VALUE {'a': ?}", "Parameters": [{"SS": ["a", "a"]}]},
        ]});
        assert_eq!(
            backend.invalid(ExecuteTransaction, bad).await,
            "One or more parameter values were invalid: Input collection [a, a] contains duplicates."
        );
        assert_eq!(n(&backend, "k").await, "1");
    }

    #[tokio::test]
    async fn missing_tables_and_keys_that_do_not_fit_cancel() {
        let backend = backend().await;
        let missing = "DELETE FROM none WHERE a = 'x'";
        assert_eq!(
            reasons(
                &backend,
                &[
                    "UPDATE none SET n = 1 WHERE a = 'x' RETURNING ALL NEW *",
                    missing,
                    "DELETE FROM hash WHERE a = 'x'"
                ]
            )
            .await,
            [
                reason("ResourceNotFound", "Requested resource not found"),
                reason("ResourceNotFound", "Requested resource not found"),
                reason("None", "")
            ]
        );
        assert_eq!(
            words(&backend, &[missing, "DELETE FROM hash WHERE a = 'x' RETURNING ALL OLD *"]).await,
            "Validation failed in TransactStatements[1]: RETURNING clause is not supported in ExecuteTransaction."
        );
        let mismatch = reason("ValidationError", "The provided key element does not match the schema");
        let update = |condition: &str| format!("UPDATE range SET n = 1 WHERE {condition}");
        let statements = [
            update("a = 'k'"),
            update("a IN ['k'] AND b = '1'"),
            update("a = 'k' AND b = '1' AND a = 'l'"),
            update("a = 'k' AND b = 1"),
            update("a = 'l' AND b = '1'"),
            "INSERT INTO range VALUE {'a': 'k'}".to_owned(),
        ];
        let statements: Vec<&str> = statements.iter().map(String::as_str).collect();
        assert_eq!(
            reasons(&backend, &statements).await,
            [
                mismatch.clone(),
                mismatch.clone(),
                mismatch.clone(),
                mismatch,
                reason("None", ""),
                reason(
                    "ValidationError",
                    "One or more parameter values were invalid: Missing the key b in the item"
                )
            ]
        );
        let empty =
            ["INSERT INTO hash VALUE {'a': ''}", "INSERT INTO range VALUE {'a': 'k', 'b': 'new', 'c': ''}"];
        for statement in empty {
            assert_eq!(reasons(&backend, &[statement]).await[0].0, "ValidationError", "{statement}");
        }
        let first_of_two =
            "EXISTS(SELECT * FROM range WHERE a = 'k' AND b = '1' AND a = 'l' AND flag = 'right')";
        let told = reasons(&backend, &[first_of_two, "UPDATE hash SET n = 9 WHERE a = 'l'"]).await;
        assert_eq!(told[0].0, "ConditionalCheckFailed");
    }

    #[tokio::test]
    async fn a_repeated_token_does_nothing_twice() {
        let backend = backend().await;
        let mut request = transaction(&["UPDATE hash SET n = n + 1 WHERE a = 'k'"]);
        request["ClientRequestToken"] = "token".into();
        request["ReturnConsumedCapacity"] = "TOTAL".into();
        let first = backend.ok(ExecuteTransaction, request.clone()).await;
        let again = backend.ok(ExecuteTransaction, request).await;
        assert_eq!(first["ConsumedCapacity"][0]["WriteCapacityUnits"], json!(2.0));
        assert_eq!(again["ConsumedCapacity"][0]["ReadCapacityUnits"], json!(2.0));
        assert_eq!(n(&backend, "k").await, "2");
        let mut other = transaction(&["UPDATE hash SET n = n + 2 WHERE a = 'k'"]);
        other["ClientRequestToken"] = "token".into();
        let refusal = backend.send(ExecuteTransaction, other).await.unwrap_err();
        assert_eq!(refusal.code, "IdempotentParameterMismatchException");
    }
}
