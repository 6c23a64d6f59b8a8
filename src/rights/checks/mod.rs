//! What IAM asks for before it lets a request through: actions on resources, each with the values of the condition keys.
//!
//! A request that cannot be read for certain asks for its action on an unknown resource, which only `"Resource": "*"` allows.

mod items;
mod limits;
mod names;
mod partitions;
mod statements;
mod tables;

use std::sync::Arc;

use super::action::{self, Action};
use super::asked::Asked;
use super::context::{Context, Keys};
use super::denial::Denial;
use super::resource::{Place, Resource};
use crate::model::{Operation, TableSchema};
use crate::wire::Json;

pub(super) use names::PlainNames;

/// Where the keys of tables are known.
pub trait Schemas {
    /// The schema of the table that a request spells so, if it is known.
    fn schema(&self, spelling: &str) -> Option<Arc<TableSchema>>;
}

/// Knows a table by a function.
impl<F: Fn(&str) -> Option<Arc<TableSchema>>> Schemas for F {
    fn schema(&self, spelling: &str) -> Option<Arc<TableSchema>> {
        self(spelling)
    }
}

/// An action, by the table of actions or by a name that it lacks.
#[derive(Clone, Copy, Debug)]
pub(super) enum Wanted<'a> {
    Action(Action),
    Named(&'a str),
}

/// An action on a resource.
pub(super) struct Check<'a> {
    pub(super) action: Wanted<'a>,
    pub(super) resource: Resource<'a>,
    /// Reads the condition keys: only if a statement that matters asks for any.
    pub(super) context: Box<dyn Fn() -> Context + 'a>,
}

impl<'a> Check<'a> {
    /// Of an action without condition keys.
    pub(super) fn unconditional(action: Wanted<'a>, resource: Resource<'a>) -> Self {
        Self { action, resource, context: Box::new(Context::default) }
    }

    /// Of an action of which nothing is known but its resource.
    fn unreadable(action: Wanted<'a>, resource: Resource<'a>) -> Self {
        Self { action, resource, context: Box::new(Context::unknown) }
    }

    fn with(action: Action, resource: Resource<'a>, context: impl Fn() -> Context + 'a) -> Self {
        Self { action: Wanted::Action(action), resource, context: Box::new(context) }
    }
}

/// Decides a check.
type Decide<'d> = &'d mut dyn FnMut(&Check<'_>) -> Result<(), Box<Denial>>;

/// A request whose body is read.
#[derive(Clone, Copy)]
struct Subject<'a> {
    operation: Operation,
    body: &'a Json<'a>,
    place: &'a Place<'a>,
    schemas: &'a dyn Schemas,
    /// The condition keys that are worth reading.
    asked: Keys,
}

/// The action and the names of a request to one table, which can be judged without more unless there are conditions.
pub(super) fn plain<'a>(asked: &Asked<'a>) -> Option<(Action, PlainNames<'a>)> {
    let action = match asked.operation {
        Operation::GetItem => Action::GET_ITEM,
        Operation::Query => Action::QUERY,
        Operation::Scan => Action::SCAN,
        Operation::PutItem => Action::PUT_ITEM,
        Operation::UpdateItem => Action::UPDATE_ITEM,
        Operation::DeleteItem => Action::DELETE_ITEM,
        _ => return None,
    };
    let may_have_index = matches!(asked.operation, Operation::Query | Operation::Scan);
    Some((action, PlainNames::read(asked.body, may_have_index)?))
}

/// Gives every check of a request to `decide`, until one is denied. Only these condition keys are read.
///
/// # Errors
/// The first denial.
pub(super) fn each(
    asked: &Asked<'_>,
    keys: Keys,
    schemas: &dyn Schemas,
    decide: Decide<'_>,
) -> Result<(), Box<Denial>> {
    let name = match asked.operation {
        Operation::Unknown => {
            let target = asked.unknown_target.unwrap_or(asked.operation.name());
            target.rsplit_once('.').map_or(target, |(_, name)| name)
        }
        operation => operation.name(),
    };
    let Ok(body) = Json::parse_request(asked.body) else {
        return unreadable(asked.operation, name, decide);
    };
    let subject =
        Subject { operation: asked.operation, body: &body, place: &asked.place, schemas, asked: keys };
    let mut is_about_something = false;
    by_operation(subject, name, &mut |check| {
        is_about_something = true;
        decide(check)
    })?;
    match is_about_something {
        true => Ok(()),
        // An empty batch is rejected by the service. Without a right to anything, nobody gets there.
        false => unreadable(asked.operation, name, decide),
    }
}

fn by_operation(subject: Subject<'_>, name: &str, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    use Operation::*;
    match subject.operation {
        GetItem | Query | Scan | PutItem | UpdateItem | DeleteItem => items::one(subject, decide),
        BatchGetItem => items::batch_get(subject, decide),
        BatchWriteItem => items::batch_write(subject, decide),
        TransactGetItems | TransactWriteItems => items::transaction(subject, decide),
        ExecuteStatement | BatchExecuteStatement | ExecuteTransaction => statements::each(subject, decide),
        Unknown => match Operation::all().find(|operation| operation.name().eq_ignore_ascii_case(name)) {
            // An upstream that does not mind letters reads it as this operation, whose parts are the actions.
            Some(operation) if action::is_operation_only(operation.name()) => {
                unreadable(operation, operation.name(), decide)
            }
            _ => tables::unknown(subject, Wanted::Named(name), decide),
        },
        _ => match Action::named(name) {
            Some(action) => tables::each(subject, action, decide),
            None => tables::unknown(subject, Wanted::Named(name), decide),
        },
    }
}

/// A body that is not read may be about anything.
fn unreadable(operation: Operation, name: &str, decide: Decide<'_>) -> Result<(), Box<Denial>> {
    let all: &[Action] = match operation {
        Operation::TransactGetItems => &[Action::GET_ITEM],
        Operation::TransactWriteItems => &items::TRANSACTED,
        Operation::ExecuteStatement | Operation::BatchExecuteStatement | Operation::ExecuteTransaction => {
            &statements::ACTIONS
        }
        _ => {
            let action = Action::named(name).filter(|_| operation != Operation::Unknown);
            let wanted = action.map_or(Wanted::Named(name), Wanted::Action);
            return decide(&Check::unreadable(wanted, Resource::Unknown));
        }
    };
    all.iter().try_for_each(|action| decide(&Check::unreadable(Wanted::Action(*action), Resource::Unknown)))
}
