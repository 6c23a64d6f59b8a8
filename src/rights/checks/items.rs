//! Requests that read and write items by members: alone, in batches and in transactions.

use std::collections::BTreeSet;

use super::{Check, Decide, Subject, Wanted, partitions};
use crate::model::Operation;
use crate::model::expr::{self, KeyCondition, Paths, Update};
use crate::rights::action::Action;
use crate::rights::context::{ConditionKey, Context, Values};
use crate::rights::denial::Denial;
use crate::rights::resource::Resource;
use crate::wire::attribute::Reader;
use crate::wire::expressions::Placeholders;
use crate::wire::{Json, legacy};

/// The actions of the parts of TransactWriteItems.
pub(super) const TRANSACTED: [Action; 4] =
    [Action::PUT_ITEM, Action::UPDATE_ITEM, Action::DELETE_ITEM, Action::CONDITION_CHECK_ITEM];

/// The members whose members are attributes.
const MAPS: [&str; 7] =
    ["Key", "Item", "AttributeUpdates", "Expected", "KeyConditions", "QueryFilter", "ScanFilter"];

/// GetItem, Query, Scan, PutItem, UpdateItem, DeleteItem.
pub(super) fn one(subject: Subject<'_>, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let action = match subject.operation {
        Operation::Query => Action::QUERY,
        Operation::Scan => Action::SCAN,
        Operation::PutItem => Action::PUT_ITEM,
        Operation::UpdateItem => Action::UPDATE_ITEM,
        Operation::DeleteItem => Action::DELETE_ITEM,
        _ => Action::GET_ITEM,
    };
    part(subject, action, subject.body, None, decide)
}

/// Each table of BatchGetItem, with all its keys.
pub(super) fn batch_get(subject: Subject<'_>, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let Some(tables) = subject.body.get("RequestItems").and_then(Json::members) else {
        return decide(&Check::unreadable(Wanted::Action(Action::BATCH_GET_ITEM), Resource::Unknown));
    };
    tables.iter().try_for_each(|(spelling, asked)| {
        let resource = Resource::table(subject.place, spelling, None);
        decide(&Check::with(Action::BATCH_GET_ITEM, resource, || {
            let mut context = Context::of(subject.asked);
            let keys = asked.get("Keys").and_then(Json::elements).unwrap_or_default();
            partitions::set_of_items(&mut context, subject, spelling, keys.iter().map(Some));
            context.put(ConditionKey::Attributes, || {
                let of_keys = keys.iter().map(|key| key.members().map(names_of));
                known(of_keys.chain([attributes_of(asked)]).collect())
            });
            context.put(ConditionKey::Select, || select_of(Action::BATCH_GET_ITEM, asked));
            set_consumed_capacity(&mut context, subject.body);
            context
        }))
    })
}

/// Each table of BatchWriteItem, with all its items and keys.
pub(super) fn batch_write(subject: Subject<'_>, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let Some(tables) = subject.body.get("RequestItems").and_then(Json::members) else {
        return decide(&Check::unreadable(Wanted::Action(Action::BATCH_WRITE_ITEM), Resource::Unknown));
    };
    tables.iter().try_for_each(|(spelling, asked)| {
        let resource = Resource::table(subject.place, spelling, None);
        decide(&Check::with(Action::BATCH_WRITE_ITEM, resource, || {
            let mut context = Context::of(subject.asked);
            let writes = asked.elements().unwrap_or_default().iter();
            let items = writes.map(|write| match only_member(write)? {
                ("PutRequest", put) => put.get("Item"),
                ("DeleteRequest", delete) => delete.get("Key"),
                _ => None,
            });
            partitions::set_of_items(&mut context, subject, spelling, items.clone());
            context.put(ConditionKey::Attributes, || {
                known(items.map(|item| item.and_then(Json::members).map(names_of)).collect())
            });
            set_consumed_capacity(&mut context, subject.body);
            context
        }))
    })
}

/// Each part of TransactGetItems and TransactWriteItems.
pub(super) fn transaction(subject: Subject<'_>, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let is_read = subject.operation == Operation::TransactGetItems;
    let all: &[Action] = if is_read { &[Action::GET_ITEM] } else { &TRANSACTED };
    let unreadable = |decide: Decide<'_>| {
        let mut all = all.iter();
        all.try_for_each(|action| decide(&Check::unreadable(Wanted::Action(*action), Resource::Unknown)))
    };
    let Some(parts) = subject.body.get("TransactItems").and_then(Json::elements) else {
        return unreadable(decide);
    };
    for one in parts {
        // A part that has several kinds is rejected by the service, or read by another one in ways of its own.
        let Some((kind, asked)) = only_member(one) else { return unreadable(decide) };
        let action = match kind {
            "Get" if is_read => Action::GET_ITEM,
            "Put" if !is_read => Action::PUT_ITEM,
            "Update" if !is_read => Action::UPDATE_ITEM,
            "Delete" if !is_read => Action::DELETE_ITEM,
            "ConditionCheck" if !is_read => Action::CONDITION_CHECK_ITEM,
            _ => return unreadable(decide),
        };
        part(subject, action, asked, Some(subject.operation.name()), decide)?;
    }
    Ok(())
}

/// The only member of an object, those that are `null` left out, as the service does.
fn only_member<'j>(object: &'j Json<'_>) -> Option<(&'j str, &'j Json<'j>)> {
    let mut members = object.members()?.iter().filter(|(_, value)| *value != Json::Null);
    let (name, value) = members.next()?;
    members.next().is_none().then_some((name, value))
}

/// What reads or writes one item, or a page. Where a write returns the item if its condition fails, that must be allowed, too, as if
/// it were asked for by `ReturnValues`.
fn part(
    subject: Subject<'_>,
    action: Action,
    asked: &Json<'_>,
    enclosing: Option<&'static str>,
    decide: Decide<'_>,
) -> Result<(), Box<Denial>> {
    let Some(spelling) = asked.get("TableName").and_then(Json::text) else {
        return decide(&Check::unreadable(Wanted::Action(action), Resource::Unknown));
    };
    let index = match asked.get("IndexName") {
        Some(index) if action == Action::QUERY || action == Action::SCAN => match index.text() {
            Some(index) => Some(index),
            None => return decide(&Check::unreadable(Wanted::Action(action), Resource::Unknown)),
        },
        _ => None,
    };
    let context = |return_values: &dyn Fn() -> Values| {
        let mut context = Context::of(subject.asked);
        match action {
            Action::SCAN => {}
            Action::QUERY => set_queried(&mut context, subject, spelling, index, asked),
            Action::PUT_ITEM => {
                partitions::set_of_items(&mut context, subject, spelling, [asked.get("Item")].into_iter());
            }
            _ => partitions::set_of_items(&mut context, subject, spelling, [asked.get("Key")].into_iter()),
        }
        match action {
            Action::QUERY | Action::SCAN => {
                partitions::set_attributes_of_page(&mut context, subject, spelling, index, || {
                    attributes_of(asked)
                });
            }
            _ => {
                context.put(ConditionKey::Attributes, || known(attributes_of(asked).map(|names| vec![names])))
            }
        }
        context.put(ConditionKey::Select, || select_of(action, asked));
        context.put(ConditionKey::ReturnValues, return_values);
        if let Some(enclosing) = enclosing {
            context.put(ConditionKey::EnclosingOperation, || Values::one(enclosing));
        }
        set_consumed_capacity(&mut context, subject.body);
        context
    };
    let resource = Resource::table(subject.place, spelling, index);
    decide(&Check::with(action, resource, || context(&|| return_values_of(action, asked))))?;
    if !returns_on_failure(asked) {
        return Ok(());
    }
    decide(&Check::with(action, resource, || context(&|| Values::one("ALL_OLD"))))
}

/// True if a write returns the item when its condition fails.
pub(super) fn returns_on_failure(asked: &Json<'_>) -> bool {
    asked.get("ReturnValuesOnConditionCheckFailure").is_some_and(|value| value.text() != Some("NONE"))
}

fn return_values_of(action: Action, asked: &Json<'_>) -> Values {
    match action {
        Action::PUT_ITEM | Action::UPDATE_ITEM | Action::DELETE_ITEM | Action::CONDITION_CHECK_ITEM => {
            text_or(asked.get("ReturnValues"), "NONE")
        }
        _ => Values::Absent,
    }
}

fn set_consumed_capacity(context: &mut Context, body: &Json<'_>) {
    context.put(ConditionKey::ReturnConsumedCapacity, || text_or(body.get("ReturnConsumedCapacity"), "NONE"));
}

fn text_or(value: Option<&Json<'_>>, default: &str) -> Values {
    match value {
        None => Values::one(default),
        Some(value) => value.text().map_or(Values::Unknown, Values::one),
    }
}

/// `Select`, or what the service takes it for where a request has none.
fn select_of(action: Action, asked: &Json<'_>) -> Values {
    let is_page = action == Action::QUERY || action == Action::SCAN;
    if !is_page && action != Action::GET_ITEM && action != Action::BATCH_GET_ITEM {
        return Values::Absent;
    }
    let names = asked.get("AttributesToGet").and_then(Json::elements).unwrap_or_default();
    let is_specific = asked.get("ProjectionExpression").is_some() || !names.is_empty();
    match asked.get("Select").filter(|_| is_page) {
        // Not to be taken at its word: without a projection it would be everything.
        Some(select) if select.text() == Some("SPECIFIC_ATTRIBUTES") && !is_specific => Values::Unknown,
        Some(select) => select.text().map_or(Values::Unknown, Values::one),
        None if is_specific => Values::one("SPECIFIC_ATTRIBUTES"),
        None if is_page && asked.get("IndexName").is_some() => Values::one("ALL_PROJECTED_ATTRIBUTES"),
        None => Values::one("ALL_ATTRIBUTES"),
    }
}

/// Sets the partition that a Query reads.
fn set_queried(
    context: &mut Context,
    subject: Subject<'_>,
    spelling: &str,
    index: Option<&str>,
    asked: &Json<'_>,
) {
    let condition = if context.asks_for_partition() { key_condition_of(asked) } else { None };
    partitions::set(context, subject, spelling, index, |_, name| {
        let value = condition.as_ref()?.equal_to(name)?;
        Some(vec![partitions::text_of(value)?])
    });
}

fn key_condition_of(asked: &Json<'_>) -> Option<KeyCondition> {
    let Some(expression) = asked.get("KeyConditionExpression") else {
        return legacy::key_conditions(asked, Reader::Older).ok()?;
    };
    if asked.get("KeyConditions").is_some() {
        return None;
    }
    let placeholders = Placeholders::parse(asked, Reader::Older).ok()?;
    let condition = KeyCondition::parse(expression.text()?, &mut placeholders.bindings()).ok()?;
    condition.check().ok()
}

/// Names of attributes.
type Names = BTreeSet<String>;

fn names_of(members: &[(std::borrow::Cow<'_, str>, Json<'_>)]) -> Names {
    members.iter().map(|(name, _)| name.to_string()).collect()
}

fn known(names: Option<Vec<Names>>) -> Values {
    let names = names.map(|names| names.into_iter().flatten().collect::<Names>());
    names.map_or(Values::Unknown, |names| Values::Known(names.into_iter().collect()))
}

/// The top-level attributes that a part of a request names, in whatever member; `None` if that cannot be told.
fn attributes_of(asked: &Json<'_>) -> Option<Names> {
    let mut names = Names::new();
    for member in MAPS {
        if let Some(map) = asked.get(member) {
            names.extend(names_of(map.members()?));
        }
    }
    if let Some(list) = asked.get("AttributesToGet") {
        let listed = list.elements()?.iter().map(|name| name.text().map(str::to_owned));
        names.extend(listed.collect::<Option<Vec<_>>>()?);
    }
    const CONDITIONS: [&str; 3] = ["ConditionExpression", "FilterExpression", "KeyConditionExpression"];
    const OTHERS: [&str; 2] = ["ProjectionExpression", "UpdateExpression"];
    if CONDITIONS.iter().chain(&OTHERS).all(|member| asked.get(member).is_none()) {
        return Some(names);
    }
    let placeholders = Placeholders::parse(asked, Reader::Older).ok()?;
    let mut bindings = placeholders.bindings();
    for member in CONDITIONS {
        let Some(expression) = asked.get(member) else { continue };
        let context = expr::Context::Filter;
        let condition = expr::Condition::parse(expression.text()?, context, &mut bindings).ok()?;
        names.extend(condition.roots().map(str::to_owned));
    }
    if let Some(expression) = asked.get("ProjectionExpression") {
        let paths = Paths::parse_projection(expression.text()?, &mut bindings).ok()?;
        names.extend(paths.roots().map(str::to_owned));
    }
    if let Some(expression) = asked.get("UpdateExpression") {
        let update = Update::parse(expression.text()?, &mut bindings).ok()?;
        names.extend(update.named_roots().map(str::to_owned));
    }
    Some(names)
}
