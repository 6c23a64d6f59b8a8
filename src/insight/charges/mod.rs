//! What an upstream charges for a request, by DynamoDB's formulas, where it does not report that itself.
//!
//! The upstream is never asked to report it: a client's request stays as it is. The fills of single items are composed by the cache,
//! and their price follows from the whole items that they return. A Query or Scan is sent in the client's own words, and an
//! `ReturnConsumedCapacity` that the client did not write could be denied to it: IAM has a condition for just that. So where a
//! filter or a projection hides what was read, the price is estimated by the sizes of other items.

mod pages;
mod writes;

use crate::call::{Answer, Request};
use crate::model::arn::table_name;
use crate::model::capacity::{Basis, Charge, Consumed, ReadPrice, UnitKind, Units};
use crate::model::operation::OperationClass;
use crate::model::partiql::read_source;
use crate::model::schema::IndexKind;
use crate::model::{ErrorCode, Operation};
use crate::wire::Json;
use crate::wire::named::{statement_members, statement_of};
use crate::wire::page::PageKind;
use crate::wire::raw::RawObject;
use crate::wire::size::{item_size, item_size_of, item_sizes};

use super::tables::Insight;
pub(crate) use writes::WriteTerms;

/// How much more than outside of them reads and writes in transactions cost.
const TRANSACTION: u64 = 2;

/// A request and its answer, looked at for sizes.
struct Exchange<'a> {
    insight: &'a Insight,
    realm: u32,
    request: &'a Json<'a>,
    answer: &'a RawObject<'a>,
}

/// Why nothing was written that is charged all the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Failure {
    /// The condition of a single write does not hold.
    Condition,
    /// A transaction was cancelled.
    Transaction,
}

impl Failure {
    fn of(answer: &Answer) -> Option<Self> {
        match answer.rejection()? {
            ErrorCode::ConditionalCheckFailed | ErrorCode::DuplicateItem => Some(Self::Condition),
            ErrorCode::TransactionCanceled => Some(Self::Transaction),
            _ => None,
        }
    }
}

/// Bytes, and whether they are known or guessed.
#[derive(Clone, Copy)]
struct Size {
    bytes: usize,
    basis: Basis,
}

impl Size {
    fn exact(bytes: usize) -> Self {
        Self { bytes, basis: Basis::Exact }
    }

    fn estimated(bytes: usize) -> Self {
        Self { bytes, basis: Basis::Estimated }
    }

    fn larger(self, other: Self) -> Self {
        if other.bytes > self.bytes { other } else { self }
    }
}

/// The charges of one request, added up by table.
#[derive(Default)]
struct Sum(Vec<Charge>);

impl Sum {
    fn add(&mut self, table: &str, kind: UnitKind, units: Units, basis: Basis) {
        self.add_consumed(table, kind, Consumed::of_table(units), basis);
    }

    fn add_consumed(&mut self, table: &str, kind: UnitKind, consumed: Consumed, basis: Basis) {
        let table = table_name(table);
        let known = self.0.iter_mut().find(|charge| *charge.table == *table && charge.kind == kind);
        match known {
            Some(charge) => {
                charge.consumed.add(consumed);
                if basis == Basis::Estimated {
                    charge.basis = basis;
                }
            }
            None => self.0.push(Charge { table: table.into(), kind, consumed, basis, price: None }),
        }
    }
}

impl Sum {
    /// The page of a table costs this to read again.
    fn price(&mut self, table: &str, price: ReadPrice) {
        let table = table_name(table);
        if let Some(charge) = self.0.iter_mut().find(|charge| *charge.table == *table) {
            charge.price = Some(price);
        }
    }
}

impl Insight {
    /// What the upstream charges for a request that it answered with these members: as its answer reports, or else by formula.
    pub fn charges(
        &self,
        realm: u32,
        request: &Request,
        answer: &Answer,
        members: &RawObject<'_>,
    ) -> Vec<Charge> {
        let class = request.operation.class();
        if matches!(class, OperationClass::Ddl | OperationClass::Other | OperationClass::Unknown) {
            return Vec::new();
        }
        let failure = Failure::of(answer);
        if !answer.is_success() && failure.is_none() {
            return Vec::new();
        }
        let Ok(body) = Json::parse_short(&request.body) else { return Vec::new() };
        let kind = match class {
            OperationClass::ItemWrite => UnitKind::Write,
            OperationClass::Statement if !only_selects(request.operation, &body) => UnitKind::Write,
            _ => UnitKind::Read,
        };
        let exchange = Exchange { insight: self, realm, request: &body, answer: members };
        let mut sum = Sum::default();
        match request.operation {
            _ if failure == Some(Failure::Condition) => exchange.failed_condition(&mut sum),
            _ if failure == Some(Failure::Transaction) && !exchange.is_cancelled_by_condition() => {}
            Operation::GetItem => exchange.get(&mut sum),
            Operation::BatchGetItem => exchange.batch_get(&mut sum),
            Operation::TransactGetItems => exchange.transact_get(&mut sum),
            Operation::Query => exchange.page(PageKind::Query, &mut sum),
            Operation::Scan => exchange.page(PageKind::Scan, &mut sum),
            Operation::PutItem | Operation::UpdateItem | Operation::DeleteItem => exchange.write(&mut sum),
            Operation::BatchWriteItem => exchange.batch_write(&mut sum),
            Operation::TransactWriteItems => exchange.transact_write(&mut sum),
            operation => exchange.statements(operation, &mut sum),
        }
        // What is reported is what counts. The formula has taken note of sizes all the same, which other answers hide.
        let reported = members.get("ConsumedCapacity");
        reported.and_then(|reported| charges_reported(reported, &body, kind)).unwrap_or(sum.0)
    }
}

impl<'a> Exchange<'a> {
    fn name(&self, member: &str) -> &'a str {
        self.request.get(member).and_then(Json::text).unwrap_or_default()
    }

    /// Eventual or strong, as a part of the request says.
    fn read(part: &Json<'_>, bytes: usize) -> Units {
        match part.get("ConsistentRead") {
            Some(Json::Bool(true)) => Units::strong_read(bytes),
            _ => Units::eventual_read(bytes),
        }
    }

    /// The usual size of an item of the table.
    fn usual(&self, table: &str) -> Size {
        Size::estimated(self.insight.table(self.realm, table_name(table)).usual_bytes(None))
    }

    /// Takes note of the sizes of whole items.
    fn note(&self, table: &str, sizes: &[usize]) {
        self.insight.table(self.realm, table_name(table)).sizes.note(sizes);
    }

    fn get(&self, sum: &mut Sum) {
        let (table, item) = (self.name("TableName"), self.answer.get("Item").and_then(item_size));
        let size = match item {
            Some(_) if hides(self.request) => self.usual(table).larger(Size::estimated(item.unwrap_or(0))),
            Some(bytes) => {
                self.note(table, &[bytes]);
                Size::exact(bytes)
            }
            None => Size::exact(0),
        };
        sum.add(table, UnitKind::Read, Self::read(self.request, size.bytes), size.basis);
    }

    fn batch_get(&self, sum: &mut Sum) {
        let parsed = |member| self.answer.get(member).and_then(|text| RawObject::parse(text.as_bytes()));
        let (responses, unprocessed) = (parsed("Responses"), parsed("UnprocessedKeys"));
        let requests = self.request.get("RequestItems").and_then(Json::members).unwrap_or_default();
        for (table, part) in requests {
            let sizes = part_of(responses.as_ref(), table, requests).and_then(item_sizes).unwrap_or_default();
            let left = part_of(unprocessed.as_ref(), table, requests).map_or(0, keys_in);
            let keys = part.get("Keys").and_then(Json::elements).map_or(0, <[_]>::len);
            let basis = match hides(part) {
                true => Basis::Estimated,
                false => {
                    self.note(table, &sizes);
                    Basis::Exact
                }
            };
            let missing = keys.saturating_sub(left).saturating_sub(sizes.len());
            for bytes in sizes.into_iter().chain(std::iter::repeat_n(0, missing)) {
                sum.add(table, UnitKind::Read, Self::read(part, bytes), basis);
            }
        }
    }

    fn transact_get(&self, sum: &mut Sum) {
        let responses = self.answer.get("Responses").and_then(RawObject::parse_list).unwrap_or_default();
        let actions = self.request.get("TransactItems").and_then(Json::elements).unwrap_or_default();
        for (action, response) in actions.iter().zip(&responses) {
            let Some(get) = action.get("Get") else { continue };
            let bytes = response.get("Item").and_then(item_size).unwrap_or(0);
            let basis = if hides(get) { Basis::Estimated } else { Basis::Exact };
            let units = Units::strong_read(bytes) * TRANSACTION;
            sum.add(
                get.get("TableName").and_then(Json::text).unwrap_or_default(),
                UnitKind::Read,
                units,
                basis,
            );
        }
    }

    fn write(&self, sum: &mut Sum) {
        let table = self.name("TableName");
        let returned = self.answer.get("Attributes").and_then(item_size);
        let terms = WriteTerms::of(self.request);
        terms.note(&self.insight.table(self.realm, table_name(table)));
        let size = terms.size(returned);
        let size = size.unwrap_or_else(|| self.usual(table));
        sum.add(table, UnitKind::Write, Units::write(size.bytes), size.basis);
    }

    /// A write whose condition failed: of the one item that the request or its statement names.
    fn failed_condition(&self, sum: &mut Sum) {
        let statement = self.request.get("Statement").and_then(|_| statement_of(self.request));
        let table = statement.as_ref().map_or_else(|| self.name("TableName"), |statement| statement.table());
        // A statement that is not understood is not counted.
        if table.is_empty() {
            return;
        }
        sum.add(table, UnitKind::Write, Units::write(self.usual(table).bytes), Basis::Estimated);
    }

    /// True if a condition has cancelled the transaction: then DynamoDB had looked at its items, which is charged ("this capacity is
    /// consumed even when the transaction is canceled", developer guide, "DynamoDB Transactions: How it works", 2026).
    fn is_cancelled_by_condition(&self) -> bool {
        let reasons = self.answer.get("CancellationReasons").and_then(RawObject::parse_list);
        let codes = ["\"ConditionalCheckFailed\"", "\"DuplicateItem\""];
        reasons.unwrap_or_default().iter().any(|reason| codes.map(Some).contains(&reason.get("Code")))
    }

    fn batch_write(&self, sum: &mut Sum) {
        let unprocessed = self.answer.get("UnprocessedItems");
        let unprocessed = unprocessed.and_then(|text| RawObject::parse(text.as_bytes()));
        let tables = self.request.get("RequestItems").and_then(Json::members).unwrap_or_default();
        for (table, part) in tables {
            let requests = part.elements().unwrap_or_default();
            let left = part_of(unprocessed.as_ref(), table, tables);
            let left = left.and_then(RawObject::parse_list).map_or(0, |list| list.len());
            // Which ones are left is of no interest: all are much alike.
            for request in requests.iter().skip(left) {
                let put = request.get("PutRequest").and_then(|put| put.get("Item")).map(size_of_json);
                let bytes = put.unwrap_or_else(|| self.usual(table).bytes);
                self.note(table, put.as_slice());
                sum.add(table, UnitKind::Write, Units::write(bytes), Basis::Estimated);
            }
        }
    }

    fn transact_write(&self, sum: &mut Sum) {
        for action in self.request.get("TransactItems").and_then(Json::elements).unwrap_or_default() {
            for (_, action) in action.members().unwrap_or_default() {
                let table = action.get("TableName").and_then(Json::text).unwrap_or_default();
                let item = action.get("Item");
                let bytes = item.map_or_else(|| self.usual(table).bytes, size_of_json);
                sum.add(table, UnitKind::Write, Units::write(bytes) * TRANSACTION, Basis::Estimated);
            }
        }
    }

    /// PartiQL. A statement that is not understood is not counted.
    fn statements(&self, operation: Operation, sum: &mut Sum) {
        let factor = if operation == Operation::ExecuteTransaction { TRANSACTION } else { 1 };
        let shown = self.answer.get("Items").and_then(item_sizes).unwrap_or_default().iter().sum();
        for member in statement_members(operation, self.request).unwrap_or_default() {
            let text = member.get("Statement").and_then(Json::text).unwrap_or_default();
            let Some((table, index)) = read_source(text) else {
                if let Some(statement) = statement_of(member) {
                    let units = Units::write(self.usual(statement.table()).bytes) * factor;
                    sum.add(statement.table(), UnitKind::Write, units, Basis::Estimated);
                }
                continue;
            };
            let bytes = match operation {
                Operation::ExecuteStatement => shown,
                _ => self.usual(&table).bytes,
            };
            let units = match factor {
                TRANSACTION => Units::strong_read(bytes) * TRANSACTION,
                _ => Self::read(member, bytes),
            };
            let mut consumed = Consumed::default();
            match index {
                Some(index) => consumed.add_named_index(IndexKind::Global, &index, units),
                None => consumed.add_table(units),
            }
            sum.add_consumed(&table, UnitKind::Read, consumed, Basis::Estimated);
        }
    }
}

/// True if the items of the answer may be shown in part, or not at all.
fn hides(read: &Json<'_>) -> bool {
    let is_partial = |select: &Json<'_>| {
        select.text().is_none_or(|select| !matches!(select, "ALL_ATTRIBUTES" | "ALL_PROJECTED_ATTRIBUTES"))
    };
    read.get("ProjectionExpression").is_some()
        || read.get("AttributesToGet").is_some()
        || read.get("Select").is_some_and(is_partial)
}

/// True if all statements of a request read. Reads and writes cannot be mixed in one.
fn only_selects(operation: Operation, body: &Json<'_>) -> bool {
    let selects = |member: &Json<'_>| {
        member.get("Statement").and_then(Json::text).is_some_and(|text| read_source(text).is_some())
    };
    statement_members(operation, body).is_some_and(|members| members.iter().all(selects))
}

/// The size of an item in a request.
fn size_of_json(item: &Json<'_>) -> usize {
    // One that is no item is rejected.
    item_size_of(item).unwrap_or(0)
}

/// A table's part of an answer to a batch: under the request's spelling, or else under the table's name, if no other table of the
/// request is spelled so.
fn part_of<'a>(
    tables: Option<&RawObject<'a>>,
    spelling: &str,
    requests: &[(impl AsRef<str>, Json<'_>)],
) -> Option<&'a str> {
    let (tables, name) = (tables?, table_name(spelling));
    let is_named = || !requests.iter().any(|(other, _)| other.as_ref() == name);
    tables.get(spelling).or_else(|| tables.get(name).filter(|_| is_named()))
}

/// How many keys a table's part of `UnprocessedKeys` has.
fn keys_in(part: &str) -> usize {
    let keys = RawObject::parse(part.as_bytes());
    let keys = keys.as_ref().and_then(|part| part.get("Keys")).and_then(RawObject::parse_list);
    keys.map_or(0, |keys| keys.len())
}

/// What an answer reports of its own. A sum that is not divided counts for the index that a request names, or for the table.
fn charges_reported(reported: &str, request: &Json<'_>, kind: UnitKind) -> Option<Vec<Charge>> {
    let reported = Json::parse(reported.as_bytes()).ok()?;
    let tables = reported.elements().unwrap_or(std::slice::from_ref(&reported));
    let index = request.get("IndexName").and_then(Json::text);
    let mut sum = Sum::default();
    for table in tables {
        let name = table.get("TableName").and_then(Json::text)?;
        // Statements and transactions say which units they are.
        let kind = match (table.get("ReadCapacityUnits"), table.get("WriteCapacityUnits")) {
            (Some(_), _) => UnitKind::Read,
            (None, Some(_)) => UnitKind::Write,
            (None, None) => kind,
        };
        let mut consumed = Consumed::default();
        match (table.get("Table"), index) {
            (Some(own), _) => {
                consumed.add_table(units_of(own)?);
                add_indexes(table, "LocalSecondaryIndexes", IndexKind::Local, &mut consumed);
                add_indexes(table, "GlobalSecondaryIndexes", IndexKind::Global, &mut consumed);
            }
            (None, Some(index)) => consumed.add_named_index(IndexKind::Global, index, units_of(table)?),
            (None, None) => consumed.add_table(units_of(table)?),
        }
        sum.add_consumed(name, kind, consumed, Basis::Exact);
    }
    Some(sum.0)
}

fn add_indexes(table: &Json<'_>, member: &str, kind: IndexKind, consumed: &mut Consumed) {
    for (name, index) in table.get(member).and_then(Json::members).unwrap_or_default() {
        consumed.add_named_index(kind, name, units_of(index).unwrap_or_default());
    }
}

fn units_of(part: &Json<'_>) -> Option<Units> {
    let units = match part.get("CapacityUnits")? {
        Json::Integer(units) => *units as f64,
        Json::Float(units) => *units,
        _ => return None,
    };
    // What is negative or no number becomes 0.
    Some(Units::from_halves((units * 2.0).round() as u64))
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use crate::model::ApiError;

    pub(super) fn charged(insight: &Insight, request: &Request, answer: &Answer) -> Vec<Charge> {
        insight.charges(0, request, answer, &RawObject::parse(&answer.body).unwrap())
    }

    fn charges(operation: Operation, request: &str, answer: &str) -> Vec<Charge> {
        let insight = Insight::default();
        charges_in(&insight, operation, request, answer)
    }

    fn charges_in(insight: &Insight, operation: Operation, request: &str, answer: &str) -> Vec<Charge> {
        let request = Request::new(operation, request.as_bytes().to_vec());
        charged(insight, &request, &Answer::ok(answer.as_bytes().to_vec()))
    }

    /// An item of that many bytes.
    fn item(bytes: usize) -> String {
        format!(r#"{{"id":{{"S":"{}"}}}}"#, "x".repeat(bytes - 2))
    }

    fn of_table(halves: u64, basis: Basis) -> Vec<Charge> {
        let consumed = Consumed::of_table(Units::from_halves(halves));
        vec![Charge { table: "t".into(), kind: UnitKind::Read, consumed, basis, price: None }]
    }

    #[test]
    fn a_get_is_charged_by_the_size_of_its_item_and_its_consistency() {
        let eventual = r#"{"TableName":"arn:aws:dynamodb:eu-west-1:123456789012:table/t","Key":{}}"#;
        let found = format!(r#"{{"Item":{}}}"#, item(4097));
        assert_eq!(charges(Operation::GetItem, eventual, &found), of_table(2, Basis::Exact));
        assert_eq!(charges(Operation::GetItem, eventual, "{}"), of_table(1, Basis::Exact));
        let strong = r#"{"TableName":"t","ConsistentRead":true}"#;
        assert_eq!(charges(Operation::GetItem, strong, &found), of_table(4, Basis::Exact));
        let part = r#"{"TableName":"t","ProjectionExpression":"id"}"#;
        assert_eq!(charges(Operation::GetItem, part, &found), of_table(2, Basis::Estimated));
    }

    #[test]
    fn each_key_of_a_batch_is_rounded_up_for_itself_and_one_left_over_is_free() {
        let request = r#"{"RequestItems":{"t":{"Keys":[{},{},{},{}]}}}"#;
        let answer = format!(
            r#"{{"Responses":{{"t":[{},{}]}},"UnprocessedKeys":{{"t":{{"Keys":[{{}}]}}}}}}"#,
            item(100),
            item(5000)
        );
        assert_eq!(charges(Operation::BatchGetItem, request, &answer), of_table(1 + 2 + 1, Basis::Exact));
    }

    #[test]
    fn a_batch_that_names_its_table_by_arn_is_charged_by_an_answer_under_the_tables_name() {
        let arn = "arn:aws:dynamodb:eu-west-1:123456789012:table/t";
        let request = format!(r#"{{"RequestItems":{{"{arn}":{{"Keys":[{{}},{{}},{{}}]}}}}}}"#);
        for spelling in ["t", arn] {
            let answer = format!(
                r#"{{"Responses":{{"{spelling}":[{}]}},"UnprocessedKeys":{{"{spelling}":{{"Keys":[{{}}]}}}}}}"#,
                item(9000)
            );
            let charged = charges(Operation::BatchGetItem, &request, &answer);
            assert_eq!(charged, of_table(3 + 1, Basis::Exact), "{spelling}");
        }
    }

    #[test]
    fn a_failed_condition_is_charged_to_the_table_of_the_request_or_of_its_statement() {
        let insight = Insight::default();
        let failed = |operation, request: &str| {
            let answer =
                ApiError::new(ErrorCode::ConditionalCheckFailed, "The conditional request failed").into();
            charged(&insight, &Request::new(operation, request.as_bytes().to_vec()), &answer)
        };
        let consumed = Consumed::of_table(Units::write(0));
        let basis = Basis::Estimated;
        let expected =
            vec![Charge { table: "things".into(), kind: UnitKind::Write, consumed, basis, price: None }];
        assert_eq!(failed(Operation::PutItem, r#"{"TableName":"things"}"#), expected);
        let statement = r#"{"Statement":"UPDATE \"things\" SET n = 1 WHERE id = 'a' AND n = 0"}"#;
        assert_eq!(failed(Operation::ExecuteStatement, statement), expected);
        assert_eq!(failed(Operation::ExecuteStatement, r#"{"Statement":"UPDATE"}"#), []);
    }

    #[test]
    fn a_page_is_rounded_up_once_and_what_is_hidden_is_estimated_by_what_was_seen() {
        let insight = Insight::default();
        let whole = format!(r#"{{"Items":[{0},{0},{0}],"Count":3,"ScannedCount":3}}"#, item(2000));
        let request = r#"{"TableName":"t"}"#;
        let seen = charges_in(&insight, Operation::Scan, request, &whole);
        let units = |charges: &[Charge]| (charges[0].consumed.total().halves(), charges[0].basis);
        assert_eq!(units(&seen), (2, Basis::Exact));
        let filtered = r#"{"Items":[],"Count":0,"ScannedCount":30}"#;
        let hidden = charges_in(&insight, Operation::Scan, request, filtered);
        assert_eq!(units(&hidden), (15, Basis::Estimated));
    }

    #[test]
    fn what_the_answer_reports_is_taken() {
        let request = r#"{"TableName":"t","IndexName":"i"}"#;
        let total = r#"{"Items":[],"Count":0,"ConsumedCapacity":{"TableName":"t","CapacityUnits":7.5}}"#;
        let mut consumed = Consumed::default();
        consumed.add_named_index(IndexKind::Global, "i", Units::from_halves(15));
        let expected = vec![Charge::exact("t", UnitKind::Read, consumed.clone())];
        assert_eq!(charges(Operation::Query, request, total), expected);
        let parts = r#"{"ConsumedCapacity":[{"TableName":"t","CapacityUnits":9,"Table":{"CapacityUnits":1.5},
            "GlobalSecondaryIndexes":{"i":{"CapacityUnits":7.5}}}]}"#;
        consumed.add_table(Units::from_halves(3));
        let expected = vec![Charge::exact("t", UnitKind::Write, consumed)];
        assert_eq!(charges(Operation::BatchWriteItem, "{}", parts), expected);
    }

    #[test]
    fn a_put_is_charged_by_the_larger_item() {
        let request = format!(r#"{{"TableName":"t","Item":{},"ReturnValues":"ALL_OLD"}}"#, item(1000));
        let answer = format!(r#"{{"Attributes":{}}}"#, item(1025));
        let consumed = Consumed::of_table(Units::write(1025));
        let expected = vec![Charge::exact("t", UnitKind::Write, consumed)];
        assert_eq!(charges(Operation::PutItem, &request, &answer), expected);
    }

    #[test]
    fn a_transaction_that_a_condition_cancelled_is_charged_and_no_other() {
        let request =
            r#"{"TransactItems":[{"ConditionCheck":{"TableName":"t"}},{"Delete":{"TableName":"t"}}]}"#;
        let cancelled = |code: &str| {
            let mut error = ApiError::new(ErrorCode::TransactionCanceled, "Transaction cancelled");
            error.members = Some(format!(r#""CancellationReasons":[{{"Code":"None"}},{{"Code":"{code}"}}]"#));
            let request = Request::new(Operation::TransactWriteItems, request.as_bytes().to_vec());
            charged(&Insight::default(), &request, &error.into())
        };
        let units =
            |charges: Vec<Charge>| charges.first().map(|charge| (charge.consumed.total(), charge.basis));
        let two_writes = Units::write(0) * (2 * TRANSACTION);
        assert_eq!(units(cancelled("ConditionalCheckFailed")), Some((two_writes, Basis::Estimated)));
        assert_eq!(units(cancelled("ValidationError")), None);
    }
}
