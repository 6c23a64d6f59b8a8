//! PartiQL: each statement asks for the action of its kind, on its table or index.

use std::collections::BTreeSet;

use super::{Check, Decide, Subject, Wanted, items, limits, partitions};
use crate::model::Operation;
use crate::model::partiql::{Columns, Effect, Filter, Returning, Select, Statement, read_source};
use crate::rights::action::Action;
use crate::rights::context::{ConditionKey, Context, Values};
use crate::rights::denial::Denial;
use crate::rights::resource::Resource;
use crate::wire::Json;
use crate::wire::named::{STATEMENT_BYTES_MAX, statement_members, statement_of};

/// What a statement may ask for.
pub(super) const ACTIONS: [Action; 4] =
    [Action::PARTIQL_SELECT, Action::PARTIQL_INSERT, Action::PARTIQL_UPDATE, Action::PARTIQL_DELETE];

/// ExecuteStatement, BatchExecuteStatement, ExecuteTransaction.
pub(super) fn each(subject: Subject<'_>, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let Some(members) = statement_members(subject.operation, subject.body) else {
        return any(decide);
    };
    members.iter().try_for_each(|member| one(subject, member, &mut *decide))
}

/// A statement that is not understood may be of any kind.
fn any(decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let mut all = ACTIONS.iter();
    all.try_for_each(|action| decide(&Check::unreadable(Wanted::Action(*action), Resource::Unknown)))
}

fn one(subject: Subject<'_>, member: &Json<'_>, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let text = member.get("Statement").and_then(Json::text).filter(|text| text.len() <= STATEMENT_BYTES_MAX);
    let Some(text) = text else { return any(decide) };
    let Some(statement) = statement_of(member) else {
        return by_text(subject, text, decide);
    };
    let (action, index) = match &statement {
        Statement::Select(select) | Statement::Exists(select) => {
            (Action::PARTIQL_SELECT, select.index.as_deref())
        }
        Statement::Insert(_) => (Action::PARTIQL_INSERT, None),
        Statement::Update(_) => (Action::PARTIQL_UPDATE, None),
        Statement::Delete(_) => (Action::PARTIQL_DELETE, None),
    };
    let resource = Resource::table(subject.place, statement.table(), index);
    let context = |return_values: &dyn Fn() -> Values| {
        let mut context = Context::of(subject.asked);
        read(&mut context, subject, &statement, index);
        context.put(ConditionKey::ReturnValues, return_values);
        if subject.operation == Operation::ExecuteTransaction {
            context.put(ConditionKey::EnclosingOperation, || Values::one(subject.operation.name()));
        }
        context
    };
    decide(&Check::with(action, resource, || context(&|| return_values_of(&statement))))?;
    if !items::returns_on_failure(member) {
        return Ok(());
    }
    decide(&Check::with(action, resource, || context(&|| Values::one("ALL_OLD"))))
}

/// A statement that only its grammar is understood of: what it reads or writes is known, and nothing else.
fn by_text(subject: Subject<'_>, text: &str, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let first = text.split_whitespace().next().unwrap_or_default();
    let (source, actions): (_, &[Action]) = match Effect::of(text) {
        Some(Effect::Writes(table)) => {
            // An update may begin with its table: then it is of either kind.
            let actions: &[Action] = match first.to_ascii_lowercase().as_str() {
                "insert" => &ACTIONS[1..2],
                "update" => &ACTIONS[2..3],
                "delete" => &ACTIONS[3..4],
                _ => &ACTIONS[1..],
            };
            (Some((table, None)), actions)
        }
        Some(Effect::None) => (read_source(text), &ACTIONS[..1]),
        None => (None, &ACTIONS),
    };
    let Some((table, index)) = source else { return any(decide) };
    actions.iter().try_for_each(|action| {
        let resource = Resource::table(subject.place, &table, index.as_deref());
        decide(&Check::unreadable(Wanted::Action(*action), resource))
    })
}

fn return_values_of(statement: &Statement) -> Values {
    let returning = match statement {
        Statement::Update(update) => update.returning,
        Statement::Delete(delete) => delete.returns_old.then_some(Returning::AllOld),
        Statement::Select(_) | Statement::Exists(_) | Statement::Insert(_) => return Values::Absent,
    };
    Values::one(match returning {
        None => "NONE",
        Some(Returning::AllOld) => "ALL_OLD",
        Some(Returning::AllNew) => "ALL_NEW",
        Some(Returning::ModifiedOld) => "UPDATED_OLD",
        Some(Returning::ModifiedNew) => "UPDATED_NEW",
    })
}

/// Sets what a statement says of keys and attributes.
fn read(context: &mut Context, subject: Subject<'_>, statement: &Statement, index: Option<&str>) {
    let mut attributes = BTreeSet::new();
    let filter = match statement {
        Statement::Select(select) | Statement::Exists(select) => {
            add_columns(&mut attributes, select);
            let select = match (&select.columns, index) {
                (Columns::Named(_), _) => "SPECIFIC_ATTRIBUTES",
                (Columns::All, Some(_)) => "ALL_PROJECTED_ATTRIBUTES",
                (Columns::All, None) => "ALL_ATTRIBUTES",
            };
            context.put(ConditionKey::Select, || Values::one(select));
            filter_of(statement)
        }
        Statement::Insert(insert) => {
            attributes.extend(insert.item.keys().cloned());
            None
        }
        Statement::Update(update) => {
            attributes.extend(update.update.named_roots().map(str::to_owned));
            update.filter.as_ref()
        }
        Statement::Delete(delete) => delete.filter.as_ref(),
    };
    if let Some(filter) = filter {
        attributes.extend(filter.condition().roots().map(str::to_owned));
    }
    if let Statement::Select(_) = statement {
        partitions::set_attributes_of_page(context, subject, statement.table(), index, || Some(attributes));
    } else {
        context.put(ConditionKey::Attributes, || Values::Known(attributes.into_iter().collect()));
    }
    partitions::set(context, subject, statement.table(), index, |key, name| match statement {
        Statement::Insert(insert) => Some(vec![partitions::text_of(insert.item.get(name)?)?]),
        _ => limits::partition_values(filter?, key),
    });
    if let Statement::Select(_) | Statement::Exists(_) = statement {
        context.put(ConditionKey::FullTableScan, || is_full_scan(subject, statement, index));
        if *context.get(ConditionKey::FullTableScan) == Values::Unknown {
            context.unknown_table = Some(statement.table().to_owned());
        }
    }
}

fn filter_of(statement: &Statement) -> Option<&Filter> {
    match statement {
        Statement::Select(select) | Statement::Exists(select) => select.filter.as_ref(),
        Statement::Update(update) => update.filter.as_ref(),
        Statement::Delete(delete) => delete.filter.as_ref(),
        Statement::Insert(_) => None,
    }
}

fn add_columns(attributes: &mut BTreeSet<String>, select: &Select) {
    attributes.extend(select.columns.paths().map(|path| path.root.clone()));
    attributes.extend(select.order.iter().filter_map(|order| order.attribute.as_ref().ok()).cloned());
}

/// Whether a statement reads more than the partitions that it names.
fn is_full_scan(subject: Subject<'_>, statement: &Statement, index: Option<&str>) -> Values {
    let schema = subject.schemas.schema(statement.table());
    let Some(key) = schema.as_deref().and_then(|schema| partitions::key_of(schema, index)) else {
        return Values::Unknown;
    };
    let is_limited =
        filter_of(statement).is_some_and(|filter| limits::partition_values(filter, key).is_some());
    Values::one(if is_limited { "false" } else { "true" })
}
