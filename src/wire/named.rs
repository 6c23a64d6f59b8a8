//! Which tables the body of a request names, for everybody who asks: the engine, the gate, the log, and whoever authorizes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserializer;
use serde::de::{IgnoredAny, MapAccess, Visitor};

use super::attribute::{Reader, read_value};
use super::json::{Json, LISTED_MAX, Text};
use crate::model::operation::OperationClass;
use crate::model::partiql::{self, Effect, Statement};
use crate::model::{AttributeValue, Operation};

/// The most tables of one request that are told apart: no request that the service takes names more.
pub const TABLES_MAX: usize = 100;

/// The longest statement that is read: the service takes 8,192 characters. The tokens of megabytes would fill the memory.
pub const STATEMENT_BYTES_MAX: usize = 8192 * 4;

/// The members that name a table in operations on tables and on single items.
const MEMBERS: [&str; 6] =
    ["TableName", "TargetTableName", "SourceTableName", "GlobalTableName", "TableArn", "ResourceArn"];

/// The tables that a request names, each as it is spelled: a name or an ARN.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Named<'a> {
    /// None.
    None,
    /// One, however often.
    One(Cow<'a, str>),
    /// Several different ones.
    Several(Vec<Cow<'a, str>>),
    /// Perhaps some that cannot be told: a part of the body is not understood, or names too many.
    Unreadable,
}

/// The tables that a request of the operation names, whether it reads or writes them. A member of the wrong type names none: the
/// service rejects it.
pub fn tables_named<'b>(operation: Operation, body: &'b Json<'_>) -> Named<'b> {
    let mut found = Found::default();
    match operation {
        Operation::BatchGetItem | Operation::BatchWriteItem => found.add_names(body.get("RequestItems")),
        Operation::TransactGetItems | Operation::TransactWriteItems => found.add_actions(body),
        operation => match operation.class() {
            OperationClass::Statement => {
                found.add_statements(operation, body, |text| Some(Some(table_of_statement(text)?)));
            }
            OperationClass::Unknown => return found.anywhere(body),
            OperationClass::ItemRead
            | OperationClass::PageRead
            | OperationClass::StrongRead
            | OperationClass::ItemWrite
            | OperationClass::Ddl
            | OperationClass::Other => found.add_members(body),
        },
    }
    found.into_named()
}

/// The tables that the statements of a body write. Only the members of its own operation count: the upstream passes over
/// others.
pub fn tables_written<'b>(operation: Operation, body: &'b Json<'_>) -> Named<'b> {
    let mut found = Found::default();
    found.add_statements(operation, body, written_by);
    found.into_named()
}

/// The table that the statement of one member writes.
pub fn table_written<'b>(member: &'b Json<'_>) -> Named<'b> {
    let mut found = Found::default();
    found.add_statement(member, written_by);
    found.into_named()
}

/// What holds a statement each; `None` if that cannot be said, or a list was too long to be read whole.
pub fn statement_members<'b, 'a>(operation: Operation, body: &'b Json<'a>) -> Option<&'b [Json<'a>]> {
    let members = match operation {
        Operation::BatchExecuteStatement => body.get("Statements")?.elements(),
        Operation::ExecuteTransaction => body.get("TransactStatements")?.elements(),
        _ => Some(std::slice::from_ref(body)),
    };
    members.filter(|members| members.len() <= LISTED_MAX)
}

/// The statement of one member with its parameters, if all of it is understood.
pub fn statement_of(member: &Json<'_>) -> Option<Statement> {
    let text = member.get("Statement")?.text()?;
    let parameters = match member.get("Parameters") {
        None => Vec::new(),
        Some(parameters) => {
            let values = parameters.elements()?.iter().map(|value| read_value(value, Reader::Older).ok());
            values.collect::<Option<Vec<AttributeValue>>>()?
        }
    };
    Statement::parse(text, &parameters).ok()
}

/// The table that a statement writes, if it writes one; `None` if that cannot be said.
fn written_by(text: &str) -> Option<Option<String>> {
    match Effect::of(text) {
        Some(Effect::None) => Some(None),
        Some(Effect::Writes(table)) => Some(Some(table)),
        // Whatever else the upstream makes of it, what begins so can only read.
        None if begins_with_select(text) => Some(None),
        None => None,
    }
}

/// The table that a statement reads or writes; `None` if that cannot be said.
fn table_of_statement(text: &str) -> Option<String> {
    match Effect::of(text)? {
        Effect::Writes(table) => Some(table),
        Effect::None => partiql::read_source(text).map(|(table, _)| table),
    }
}

fn begins_with_select(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("select"))
}

/// Different names, in the order in which they were found.
#[derive(Default)]
struct Found<'b> {
    names: Vec<Cow<'b, str>>,
    is_unreadable: bool,
}

impl<'b> Found<'b> {
    fn add(&mut self, name: impl Into<Cow<'b, str>>) {
        let name = name.into();
        if self.is_unreadable || self.names.contains(&name) {
            return;
        }
        self.is_unreadable = self.names.len() == TABLES_MAX;
        self.names.push(name);
    }

    fn into_named(mut self) -> Named<'b> {
        match self.names.len() {
            _ if self.is_unreadable => Named::Unreadable,
            0 => Named::None,
            1 => Named::One(self.names.remove(0)),
            _ => Named::Several(self.names),
        }
    }

    fn add_members(&mut self, body: &'b Json<'_>) {
        let created = body.get("TableCreationParameters").and_then(|table| table.get("TableName"));
        let members = MEMBERS.iter().filter_map(|member| body.get(member)).chain(created);
        members.filter_map(Json::text).for_each(|name| self.add(name));
    }

    /// The names of an object's members.
    fn add_names(&mut self, object: Option<&'b Json<'_>>) {
        let members = object.and_then(Json::members).unwrap_or_default();
        members.iter().for_each(|(name, _)| self.add(&**name));
    }

    /// The tables of a transaction's actions.
    fn add_actions(&mut self, body: &'b Json<'_>) {
        let items = body.get("TransactItems").and_then(Json::elements).unwrap_or_default();
        self.is_unreadable |= items.len() > LISTED_MAX;
        let actions = items.iter().filter_map(Json::members).flatten();
        let names = actions.filter_map(|(_, action)| action.get("TableName")?.text());
        names.for_each(|name| self.add(name));
    }

    fn add_statements(
        &mut self,
        operation: Operation,
        body: &'b Json<'_>,
        table_of: fn(&str) -> Option<Option<String>>,
    ) {
        match statement_members(operation, body) {
            Some(members) => members.iter().for_each(|member| self.add_statement(member, table_of)),
            None => self.is_unreadable = true,
        }
    }

    fn add_statement(&mut self, member: &Json<'_>, table_of: fn(&str) -> Option<Option<String>>) {
        let text = member.get("Statement").and_then(Json::text);
        match text.filter(|text| text.len() <= STATEMENT_BYTES_MAX).map(table_of) {
            Some(Some(None)) => {}
            Some(Some(Some(table))) => self.add(table),
            // What begins so can only read, however long it is.
            None if text.is_some_and(begins_with_select) => {}
            None | Some(None) => self.is_unreadable = true,
        }
    }

    /// The tables that a request of an unknown operation names, wherever they stand. It cannot be said that it names none.
    fn anywhere(mut self, body: &'b Json<'_>) -> Named<'b> {
        self.add_anywhere(body);
        match self.into_named() {
            Named::None => Named::Unreadable,
            named => named,
        }
    }

    /// The bodies of known operations name tables in members whose names say so, as names of members of `RequestItems`, and in
    /// statements; new operations do alike.
    fn add_anywhere(&mut self, json: &'b Json<'_>) {
        json.elements().unwrap_or_default().iter().for_each(|element| self.add_anywhere(element));
        for (name, value) in json.members().unwrap_or_default() {
            if name.contains("Table") || name == "ResourceArn" {
                let names = value.elements().unwrap_or(std::slice::from_ref(value)).iter();
                names.filter_map(Json::text).for_each(|table| self.add(table));
            }
            if name == "RequestItems" {
                self.add_names(Some(value));
            }
            if name == "Statement" && value.text().is_some() {
                self.add_statement(json, written_by);
            }
            self.add_anywhere(value);
        }
    }
}

/// The table that a request names in `TableName`, or as the only one in `RequestItems`. `None` when it names none or several,
/// and for what is no JSON.
pub fn only_table(body: &[u8]) -> Option<Cow<'_, str>> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    // What is ignored is followed without recursion, however deep it is.
    deserializer.deserialize_map(Request).ok().flatten()
}

/// The index that a request names in `IndexName`. `None` when it names none, and for what is no JSON.
pub fn index_named(body: &[u8]) -> Option<Cow<'_, str>> {
    let mut deserializer = serde_json::Deserializer::from_slice(body);
    deserializer.deserialize_map(Index).ok().flatten()
}

struct Index;

impl<'de> Visitor<'de> for Index {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut index = None;
        while let Some(Text(name)) = members.next_key::<Text<'de>>()? {
            match name.as_ref() {
                "IndexName" => index = Some(members.next_value::<Text<'de>>()?.0),
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(index)
    }
}

struct Request;

impl<'de> Visitor<'de> for Request {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a request")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut table = None;
        while let Some(Text(name)) = members.next_key::<Text<'de>>()? {
            match name.as_ref() {
                "TableName" => table = Some(members.next_value::<Text<'de>>()?.0),
                "RequestItems" => table = members.next_value::<OnlyName<'de>>()?.0,
                _ => drop(members.next_value::<IgnoredAny>()?),
            }
        }
        Ok(table)
    }
}

/// The name of an object's only member.
struct OnlyName<'a>(Option<Cow<'a, str>>);

impl<'de> serde::Deserialize<'de> for OnlyName<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Names).map(Self)
    }
}

struct Names;

impl<'de> Visitor<'de> for Names {
    type Value = Option<Cow<'de, str>>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let (mut only, mut count) = (None, 0);
        while let Some((Text(name), IgnoredAny)) = members.next_entry::<Text<'de>, IgnoredAny>()? {
            count += 1;
            only = Some(name);
        }
        Ok(only.filter(|_| count == 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_is_found_where_a_read_names_only_one() {
        for (body, table) in [
            (r#"{"Key":{"TableName":{"S":"x"}},"TableName":"a"}"#, Some("a")),
            (
                r#"{"TableName":"arn:aws:dynamodb:us-east-1:1:table\/a"}"#,
                Some("arn:aws:dynamodb:us-east-1:1:table/a"),
            ),
            (r#"{"RequestItems":{"a":{"Keys":[{"id":{"S":"1"}}]}}}"#, Some("a")),
            (r#"{"RequestItems":{"a":{},"b":{}}}"#, None),
            (r#"{"TableName":1}"#, None),
            (r#"{"Limit":1}"#, None),
            ("[]", None),
            ("", None),
        ] {
            assert_eq!(only_table(body.as_bytes()).as_deref(), table, "{body}");
        }
        let deep =
            format!("{{\"Key\":{}{},\"TableName\":\"a\"}}", "[".repeat(1_000_000), "]".repeat(1_000_000));
        assert_eq!(only_table(deep.as_bytes()).as_deref(), Some("a"));
    }

    #[test]
    fn an_index_is_found_beside_the_table_and_nowhere_else() {
        for (body, index) in [
            (r#"{"IndexName":"i","TableName":"a"}"#, Some("i")),
            (r#"{"TableName":"a","Key":{"IndexName":{"S":"x"}}}"#, None),
            (r#"{"TableName":"a","IndexName":1}"#, None),
            (r#"{"IndexName":"i""#, None),
            ("", None),
        ] {
            assert_eq!(index_named(body.as_bytes()).as_deref(), index, "{body}");
        }
    }

    fn owned(named: Named<'_>) -> Named<'static> {
        match named {
            Named::None => Named::None,
            Named::One(name) => Named::One(name.into_owned().into()),
            Named::Several(names) => {
                Named::Several(names.into_iter().map(|name| name.into_owned().into()).collect())
            }
            Named::Unreadable => Named::Unreadable,
        }
    }

    fn one(name: &'static str) -> Named<'static> {
        Named::One(name.into())
    }

    fn written(operation: Operation, body: &[u8]) -> Named<'static> {
        owned(tables_written(operation, &Json::parse(body).unwrap()))
    }

    #[test]
    fn each_operation_names_its_tables_in_members_of_its_own() {
        use Operation::*;
        let arn = "arn:aws:dynamodb:us-east-1:1:table/a";
        let several =
            |names: &[&'static str]| Named::Several(names.iter().map(|name| (*name).into()).collect());
        for (operation, body, expected) in [
            (GetItem, r#"{"TableName":"a","RequestItems":{"b":{}}}"#, one("a")),
            (GetItem, r#"{"TableName":7}"#, Named::None),
            (ListTables, "{}", Named::None),
            (TagResource, r#"{"ResourceArn":"arn:aws:dynamodb:us-east-1:1:table/a"}"#, one(arn)),
            (
                RestoreTableToPointInTime,
                r#"{"SourceTableName":"a","TargetTableName":"b"}"#,
                several(&["b", "a"]),
            ),
            (ImportTable, r#"{"TableCreationParameters":{"TableName":"a"}}"#, one("a")),
            (BatchGetItem, r#"{"TableName":"c","RequestItems":{"a":{},"b":{}}}"#, several(&["a", "b"])),
            (BatchWriteItem, r#"{"RequestItems":{"a":[]}}"#, one("a")),
            (BatchWriteItem, r#"{"RequestItems":[]}"#, Named::None),
            (
                TransactWriteItems,
                r#"{"TransactItems":[{"Put":{"TableName":"b"}},{"Delete":{"TableName":"a"}},{"Update":{"TableName":"b"}}]}"#,
                several(&["b", "a"]),
            ),
            (
                TransactGetItems,
                r#"{"TransactItems":[{"Get":{"TableName":"a"}},{"Get":{"TableName":"a"}}]}"#,
                one("a"),
            ),
            (ExecuteStatement, r#"{"Statement":"SELECT * FROM \"abc\".\"ind\""}"#, one("abc")),
            (ExecuteStatement, r#"{"Statement":"DELETE FROM a WHERE b = 1"}"#, one("a")),
            (ExecuteStatement, r#"{"Statement":"SELECT"}"#, Named::Unreadable),
            (
                ExecuteTransaction,
                r#"{"TransactStatements":[{"Statement":"SELECT * FROM abc"},{"Statement":"DELETE FROM b WHERE c=1"}]}"#,
                several(&["abc", "b"]),
            ),
        ] {
            let json = Json::parse(body.as_bytes()).unwrap();
            assert_eq!(owned(tables_named(operation, &json)), expected, "{operation} {body}");
        }
    }

    #[test]
    fn an_unknown_operation_names_tables_anywhere_and_never_none() {
        for (body, expected) in [
            ("{}", Named::Unreadable),
            (r#"{"a":[{"MyTable":"a"},{"b":{"RequestItems":{"a":{}}}}]}"#, one("a")),
            (r#"{"Tables":["a",7,"a"]}"#, one("a")),
            (r#"{"Statement":"SELECT * FROM a"}"#, Named::Unreadable),
            (r#"{"Statement":"SELECT * FROM a","TableName":"b"}"#, one("b")),
            (r#"{"x":{"Statement":"DELETE FROM a"}}"#, one("a")),
            (r#"{"x":{"Statement":"MERGE a"},"TableName":"b"}"#, Named::Unreadable),
        ] {
            let json = Json::parse(body.as_bytes()).unwrap();
            assert_eq!(owned(tables_named(Operation::Unknown, &json)), expected, "{body}");
        }
    }

    #[test]
    fn more_tables_than_any_request_may_name_are_not_told_apart() {
        let batch = |count: usize| {
            let tables: Vec<String> = (0..count).map(|number| format!("\"t{number}\":{{}}")).collect();
            let body = format!("{{\"RequestItems\":{{{}}}}}", tables.join(","));
            owned(tables_named(Operation::BatchGetItem, &Json::parse(body.as_bytes()).unwrap()))
        };
        assert!(matches!(batch(TABLES_MAX), Named::Several(names) if names.len() == TABLES_MAX));
        assert_eq!(batch(TABLES_MAX + 1), Named::Unreadable);
    }

    #[test]
    fn a_statement_writes_the_table_that_it_names_and_perhaps_any_if_it_is_not_understood() {
        use Operation::{BatchExecuteStatement, ExecuteStatement, ExecuteTransaction};
        let scope = |operation, text: &str| written(operation, text.as_bytes());
        let update = r#"{"Statement":"-- SELECT\nUPDATE t SET a=1"}"#;
        let insert = r#"{"Statement":"INSERT INTO b VALUE {}"}"#;
        let select = r#"{"Statement":"  select * from t"}"#;
        assert_eq!(scope(ExecuteStatement, select), Named::None);
        assert_eq!(scope(ExecuteStatement, update), one("t"));
        for (operation, list) in
            [(BatchExecuteStatement, "Statements"), (ExecuteTransaction, "TransactStatements")]
        {
            let of_list = |members: &str| scope(operation, &format!(r#"{{"{list}":[{members}]}}"#));
            assert_eq!(of_list(&format!("{select},{select}")), Named::None);
            assert_eq!(of_list(&format!("{update},{insert}")), Named::Several(vec!["t".into(), "b".into()]));
            let broken = r#"{"Statement":"DELETE FROM"}"#;
            assert_eq!(of_list(&format!("{update},{broken}")), Named::Unreadable);
            assert_eq!(of_list("{}"), Named::Unreadable);
            assert_eq!(scope(operation, &format!(r#"{{"{list}":7}}"#)), Named::Unreadable);
            assert_eq!(scope(operation, select), Named::Unreadable);
        }
        assert_eq!(scope(ExecuteStatement, r#"{"Statement":"MERGE INTO t"}"#), Named::Unreadable);
        let long =
            format!(r#"{{"Statement":"DELETE FROM t WHERE a = {}"}}"#, "1".repeat(STATEMENT_BYTES_MAX));
        assert_eq!(scope(ExecuteStatement, &long), Named::Unreadable);
        assert_eq!(scope(ExecuteStatement, "{}"), Named::Unreadable);
    }

    #[test]
    fn a_list_of_statements_that_is_not_read_to_its_end_is_not_readable() {
        let select = r#"{"Statement":"SELECT * FROM t"}"#;
        for (operation, list) in [
            (Operation::BatchExecuteStatement, "Statements"),
            (Operation::ExecuteTransaction, "TransactStatements"),
        ] {
            let scope = |length: usize| {
                let body = format!(r#"{{"{list}":[{}]}}"#, vec![select; length].join(","));
                owned(tables_written(operation, &Json::parse_short(body.as_bytes()).unwrap()))
            };
            assert_eq!(scope(LISTED_MAX), Named::None);
            assert_eq!(scope(LISTED_MAX + 1), Named::Unreadable);
        }
    }

    #[test]
    fn members_of_other_operations_hide_no_statement() {
        let (update, select) = (r#"{"Statement":"DELETE FROM t"}"#, r#"{"Statement":"SELECT * FROM t"}"#);
        for (operation, body) in [
            (
                Operation::ExecuteStatement,
                format!(r#"{{"Statements":[],"TransactStatements":[{select}],"Statement":"DELETE FROM t"}}"#),
            ),
            (
                Operation::BatchExecuteStatement,
                format!(
                    r#"{{"TransactStatements":[],"Statement":"SELECT * FROM t","Statements":[{update}]}}"#
                ),
            ),
            (
                Operation::ExecuteTransaction,
                format!(r#"{{"Statements":[{select}],"Statement":"","TransactStatements":[{update}]}}"#),
            ),
        ] {
            let scope = written(operation, body.as_bytes());
            assert_eq!(scope, one("t"), "{body}");
        }
    }
}
