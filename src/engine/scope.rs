//! Which tables a request may change: of DDL, of statements, and of writes whose keys cannot be read.

use std::sync::Arc;

use crate::model::Operation;
use crate::model::arn::table_name;
use crate::model::partiql::Effect;
use crate::wire::Json;
use crate::wire::json::LISTED_MAX;

use super::STATEMENT_BYTES_MAX;

/// The most tables of one request that are told apart. No request that the service takes writes to more; one that names more
/// has all invalidated, rather than costing time, memory and a question to the upstream for each.
pub(super) const TABLES_MAX: usize = 100;

/// Which tables something may have changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// None.
    Nothing,
    /// These, by name.
    Tables(Vec<Arc<str>>),
    /// Any.
    Everything,
}

impl Scope {
    /// The table that a name or an ARN names.
    pub(super) fn named(spelling: &str) -> Self {
        Self::Tables(vec![table_name(spelling).into()])
    }

    /// Adds another scope to this one.
    pub(super) fn widen(&mut self, other: Self) {
        match (&mut *self, other) {
            (Self::Everything, _) | (_, Self::Nothing) => {}
            (Self::Tables(tables), Self::Tables(more)) => {
                for table in more {
                    if !tables.contains(&table) {
                        tables.push(table);
                    }
                }
                if tables.len() > TABLES_MAX {
                    *self = Self::Everything;
                }
            }
            (_, other) => *self = other,
        }
    }
}

/// The tables that a request's members name.
pub(super) fn named_tables(body: &Json<'_>) -> Scope {
    let mut scope = Scope::Nothing;
    for member in
        ["TableName", "TargetTableName", "SourceTableName", "GlobalTableName", "TableArn", "ResourceArn"]
    {
        if let Some(name) = body.get(member).and_then(Json::text) {
            scope.widen(Scope::named(name));
        }
    }
    if let Some(name) = body.get("TableCreationParameters").and_then(|table| table.get("TableName")?.text()) {
        scope.widen(Scope::named(table_name(name)));
    }
    scope
}

/// The tables that a request of an unknown operation names, wherever they stand; all, if it names none.
pub(super) fn named_anywhere(body: &Json<'_>) -> Scope {
    let mut scope = Scope::Nothing;
    gather_names(body, &mut scope);
    if scope == Scope::Nothing { Scope::Everything } else { scope }
}

/// The bodies of known operations name tables in members whose names say so, as names of members of `RequestItems`, and in
/// statements; new operations do alike.
fn gather_names(json: &Json<'_>, scope: &mut Scope) {
    json.elements().unwrap_or_default().iter().for_each(|element| gather_names(element, scope));
    for (name, value) in json.members().unwrap_or_default() {
        if name.contains("Table") || name == "ResourceArn" {
            let names = value.elements().unwrap_or(std::slice::from_ref(value)).iter();
            names.filter_map(Json::text).for_each(|table| scope.widen(Scope::named(table)));
        }
        if name == "RequestItems" {
            let tables = value.members().unwrap_or_default().iter();
            tables.for_each(|(table, _)| scope.widen(Scope::named(table)));
        }
        if name == "Statement" && value.text().is_some() {
            scope.widen(written_table(json));
        }
        gather_names(value, scope);
    }
}

/// The tables that the statements of a body write. Only the members of its own operation count: the upstream passes over
/// others.
pub(super) fn written_tables(operation: Operation, body: &Json<'_>) -> Scope {
    let Some(members) = statement_members(operation, body) else { return Scope::Everything };
    let mut scope = Scope::Nothing;
    members.iter().for_each(|member| scope.widen(written_table(member)));
    scope
}

/// What holds a statement each; `None` if that cannot be said, or a list was too long to be read whole.
pub(super) fn statement_members<'b, 'a>(operation: Operation, body: &'b Json<'a>) -> Option<&'b [Json<'a>]> {
    let members = match operation {
        Operation::BatchExecuteStatement => body.get("Statements")?.elements(),
        Operation::ExecuteTransaction => body.get("TransactStatements")?.elements(),
        _ => Some(std::slice::from_ref(body)),
    };
    members.filter(|members| members.len() <= LISTED_MAX)
}

pub(super) fn written_table(member: &Json<'_>) -> Scope {
    let Some(text) = member.get("Statement").and_then(Json::text) else { return Scope::Everything };
    let effect = if text.len() > STATEMENT_BYTES_MAX { None } else { Effect::of(text) };
    match effect {
        Some(Effect::None) => Scope::Nothing,
        Some(Effect::Writes(table)) => Scope::named(&table),
        // Whatever else the upstream makes of it, what begins so can only read.
        None if begins_with_select(text) => Scope::Nothing,
        None => Scope::Everything,
    }
}

fn begins_with_select(text: &str) -> bool {
    text.split_whitespace().next().is_some_and(|word| word.eq_ignore_ascii_case("select"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scopes_only_widen() {
        let mut scope = Scope::Nothing;
        scope.widen(Scope::named("a"));
        scope.widen(Scope::named("arn:aws:dynamodb:us-east-1:0:table/b"));
        scope.widen(Scope::named("a"));
        assert_eq!(scope, Scope::Tables(vec!["a".into(), "b".into()]));
        scope.widen(Scope::Nothing);
        scope.widen(Scope::Everything);
        scope.widen(Scope::named("c"));
        assert_eq!(scope, Scope::Everything);
    }

    #[test]
    fn what_names_more_tables_than_any_request_may_is_everything() {
        let mut scope = Scope::Nothing;
        (0..TABLES_MAX).for_each(|number| scope.widen(Scope::named(&number.to_string())));
        assert!(matches!(&scope, Scope::Tables(tables) if tables.len() == TABLES_MAX));
        scope.widen(Scope::named("0"));
        assert_ne!(scope, Scope::Everything);
        scope.widen(Scope::named("one more"));
        assert_eq!(scope, Scope::Everything);
    }

    #[test]
    fn a_statement_invalidates_what_it_names_and_what_is_not_understood_everything() {
        use Operation::{BatchExecuteStatement, ExecuteStatement, ExecuteTransaction};
        let scope = |operation, text: &str| written_tables(operation, &Json::parse(text.as_bytes()).unwrap());
        let tables = |names: &[&str]| Scope::Tables(names.iter().map(|name| Arc::from(*name)).collect());
        let update = r#"{"Statement":"-- SELECT\nUPDATE t SET a=1"}"#;
        let insert = r#"{"Statement":"INSERT INTO b VALUE {}"}"#;
        let select = r#"{"Statement":"  select * from t"}"#;
        assert_eq!(scope(ExecuteStatement, select), Scope::Nothing);
        assert_eq!(scope(ExecuteStatement, update), tables(&["t"]));
        for (operation, list) in
            [(BatchExecuteStatement, "Statements"), (ExecuteTransaction, "TransactStatements")]
        {
            let of_list = |members: &str| scope(operation, &format!(r#"{{"{list}":[{members}]}}"#));
            assert_eq!(of_list(&format!("{select},{select}")), Scope::Nothing);
            assert_eq!(of_list(&format!("{update},{insert}")), tables(&["t", "b"]));
            let broken = r#"{"Statement":"DELETE FROM"}"#;
            assert_eq!(of_list(&format!("{update},{broken}")), Scope::Everything);
            assert_eq!(of_list("{}"), Scope::Everything);
            assert_eq!(scope(operation, &format!(r#"{{"{list}":7}}"#)), Scope::Everything);
            assert_eq!(scope(operation, select), Scope::Everything);
        }
        assert_eq!(scope(ExecuteStatement, r#"{"Statement":"MERGE INTO t"}"#), Scope::Everything);
        let long =
            format!(r#"{{"Statement":"DELETE FROM t WHERE a = {}"}}"#, "1".repeat(STATEMENT_BYTES_MAX));
        assert_eq!(scope(ExecuteStatement, &long), Scope::Everything);
        assert_eq!(scope(ExecuteStatement, "{}"), Scope::Everything);
    }

    #[test]
    fn a_list_of_statements_that_is_not_read_to_its_end_invalidates_everything() {
        let select = r#"{"Statement":"SELECT * FROM t"}"#;
        for (operation, list) in [
            (Operation::BatchExecuteStatement, "Statements"),
            (Operation::ExecuteTransaction, "TransactStatements"),
        ] {
            let scope = |length: usize| {
                let body = format!(r#"{{"{list}":[{}]}}"#, vec![select; length].join(","));
                written_tables(operation, &Json::parse_short(body.as_bytes()).unwrap())
            };
            assert_eq!(scope(LISTED_MAX), Scope::Nothing);
            assert_eq!(scope(LISTED_MAX + 1), Scope::Everything);
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
            let scope = written_tables(operation, &Json::parse(body.as_bytes()).unwrap());
            assert_eq!(scope, Scope::named("t"), "{body}");
        }
    }
}
