//! PartiQL. Writes by statements are planned by the keys that they name, for an upstream that reports nothing.
//!
//! A statement that is wholly understood and names its item by its whole key is a write of that key like any other. Any other
//! invalidates the tables that it names, or everything.

use std::collections::HashMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::call::Request;
use crate::model::Operation;
use crate::model::partiql::Statement;
use crate::wire::Json;
use crate::wire::named::{TABLES_MAX, statement_members, statement_of, table_written, tables_written};

use super::changes::WrittenKey;
use super::known_table::KnownTable;
use super::scope::Scope;
use super::write::WritePlan;
use super::{BypassReason, Engine, Served, images};

impl Engine {
    /// PartiQL goes through. Statements that write invalidate the tables that they name, and one that is not wholly understood
    /// invalidates everything; unless the upstream reports what they change.
    pub(super) async fn statement(self: &Arc<Self>, request: Request) -> Served {
        // What is too deep is none of the statements' text. A list that is too long is not read to its end.
        let scope = Json::parse_short(&request.body)
            .map_or(Scope::Everything, |body| tables_written(request.operation, &body).into());
        if scope == Scope::Nothing {
            let sent = Instant::now();
            let served = self.bypass(&request, BypassReason::Operation).await;
            if served.answer.is_success() {
                self.cache.note_all_shown(self.realm, sent, Instant::now());
            }
            return served;
        }
        if self.hears_changes {
            return self.change_scope(request, scope).await;
        }
        // Only what two parsers cannot read in two ways names a key.
        match Json::parse_request(&request.body) {
            Ok(body) => {
                let plan = self.plan_statements(request.clone(), &body).await;
                self.carry_out(Box::new(plan)).await
            }
            Err(_) => self.change_scope(request, scope).await,
        }
    }

    /// What the statements of a body may change.
    async fn plan_statements(self: &Arc<Self>, request: Request, body: &Json<'_>) -> WritePlan {
        let operation = request.operation;
        let mut plan = WritePlan::new(request);
        let Some(members) = statement_members(operation, body) else {
            plan.wide = Scope::Everything;
            return plan;
        };
        let mut alone = None;
        let mut tables: HashMap<String, Option<Arc<KnownTable>>> = HashMap::new();
        for member in members {
            let scope = Scope::from(table_written(member));
            let Scope::Tables(names) = &scope else {
                plan.wide.widen(scope);
                continue;
            };
            let Some(statement) = statement_of(member).filter(|_| names.len() == 1) else {
                plan.wide.widen(scope);
                continue;
            };
            let name = statement.table();
            if !tables.contains_key(name) {
                if tables.len() == TABLES_MAX {
                    plan.wide = Scope::Everything;
                    break;
                }
                tables.insert(name.to_owned(), self.learn(name).await);
            }
            let table = tables.get(name).and_then(Option::as_ref);
            match table.and_then(|table| written_key(&statement, table)) {
                Some(key) => plan.keys.push(key),
                None => plan.wide.widen(scope),
            }
            // In a batch it may have been rejected while others succeed.
            alone = (operation == Operation::ExecuteStatement).then_some(statement);
        }
        plan.name_table();
        if let (Some(Statement::Insert(insert)), [written]) = (alone, plan.keys.as_slice())
            && written.table.asks_images
            && plan.wide == Scope::Nothing
        {
            plan.images = images::Plan::of_insert(insert.item);
        }
        plan
    }
}

fn written_key(statement: &Statement, table: &Arc<KnownTable>) -> Option<WrittenKey> {
    let key = statement.written_key(&table.schema.key)?;
    WrittenKey::new(table, key.canonical_bytes())
}
