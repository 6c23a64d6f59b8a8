//! What an update makes of an item.

use std::collections::BTreeSet;

use super::{Action, Change, Dialect, Operand, SetValue, Update};
use crate::model::expr::{Path, Step};
use crate::model::number::NumberError;
use crate::model::{ApiError, AttributeValue, Item, Number};

const INVALID_PATH: &str = "The document path provided in the update expression is invalid for update";
const MISSING_ATTRIBUTE: &str =
    "The provided expression refers to an attribute that does not exist in the item";
const WRONG_TYPE: &str = "An operand in the update expression has an incorrect data type";

/// Whether the item that is changed is in its table.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Standing {
    Existing,
    Missing,
}

/// What an action comes to.
enum Outcome {
    Becomes(AttributeValue),
    Removed,
    Untouched,
}

/// Why an action cannot be carried out.
#[derive(Debug)]
enum Fault {
    /// `ADD` or `DELETE` of something that does not go with what is there.
    Mismatch,
    /// An attribute that a `SET` takes its value from is not there.
    Missing,
    /// A `SET` computes with something of another type.
    WrongType,
    /// The path leads nowhere.
    Path,
    /// The number that results is none.
    Number(NumberError),
}

impl Fault {
    /// Its place among the faults of one update: the service looks at all operands before it looks at a path.
    fn rank(&self) -> u8 {
        match self {
            Self::Mismatch => 0,
            Self::Missing | Self::WrongType => 1,
            Self::Path => 2,
            Self::Number(_) => 3,
        }
    }
}

impl Update {
    /// Changes an item, all of it or nothing.
    pub(super) fn carry_out(&self, item: &mut Item, standing: Standing) -> Result<(), ApiError> {
        let mut outcomes = self.outcomes(item, standing)?;
        outcomes.sort_by_key(|(path, _)| *path);
        let (removals, values): (Vec<_>, Vec<_>) =
            outcomes.into_iter().partition(|(_, outcome)| matches!(outcome, Outcome::Removed));
        for (path, outcome) in values {
            if let Outcome::Becomes(value) = outcome {
                put(item, path, value);
            }
        }
        removals.into_iter().rev().for_each(|(path, _)| remove(item, path));
        Ok(())
    }

    /// What shall stand at each path, or the fault that the service tells of: the gravest, and of two such the first.
    fn outcomes(&self, item: &Item, standing: Standing) -> Result<Vec<(&Path, Outcome)>, ApiError> {
        let mut outcomes = Vec::with_capacity(self.actions.len());
        let mut gravest: Option<Fault> = None;
        for action in &self.actions {
            let leads_anywhere = standing == Standing::Missing && action.change == Change::Remove;
            let can_hold =
                if leads_anywhere || can_hold(item, &action.path) { Ok(()) } else { Err(Fault::Path) };
            let fault = match (self.outcome(action, item), can_hold) {
                (Ok(outcome), Ok(())) => {
                    outcomes.push((&action.path, outcome));
                    continue;
                }
                (Ok(_), Err(fault)) | (Err(fault), Ok(())) => fault,
                (Err(fault), Err(other)) => {
                    if other.rank() < fault.rank() {
                        other
                    } else {
                        fault
                    }
                }
            };
            if gravest.as_ref().is_none_or(|known| fault.rank() < known.rank()) {
                gravest = Some(fault);
            }
        }
        gravest.map_or(Ok(outcomes), |fault| Err(self.dialect.words(fault)))
    }

    fn outcome(&self, action: &Action, item: &Item) -> Result<Outcome, Fault> {
        let standing = action.path.value_in(item);
        Ok(match &action.change {
            Change::Set(value) => Outcome::Becomes(value.value_in(item)?),
            Change::Remove if standing.is_some() => Outcome::Removed,
            Change::Remove => Outcome::Untouched,
            Change::Add(value) => self.dialect.add(standing, value)?,
            Change::Delete(value) => delete(standing, value)?,
        })
    }
}

impl SetValue {
    fn value_in(&self, item: &Item) -> Result<AttributeValue, Fault> {
        match self {
            Self::Plain(operand) => operand.value_in(item),
            Self::Sum(left, right) => arithmetic(left, right, item, Number::checked_add),
            Self::Difference(left, right) => arithmetic(left, right, item, Number::checked_sub),
        }
    }
}

fn arithmetic(
    left: &Operand,
    right: &Operand,
    item: &Item,
    operation: fn(Number, Number) -> Result<Number, NumberError>,
) -> Result<AttributeValue, Fault> {
    let number = |operand: &Operand| match operand.value_in(item)? {
        AttributeValue::N(number) => Ok(number),
        _ => Err(Fault::WrongType),
    };
    operation(number(left)?, number(right)?).map(AttributeValue::N).map_err(Fault::Number)
}

/// The service calls a sum that needs more than 38 digits an overflow too.
fn number_error(error: NumberError) -> ApiError {
    ApiError::validation(match error {
        NumberError::Underflow => {
            "Number underflow. Attempting to store a number with magnitude smaller than supported range"
        }
        NumberError::Overflow | NumberError::TooPrecise | NumberError::Malformed => {
            "Number overflow. Attempting to store a number with magnitude larger than supported range"
        }
    })
}

impl Operand {
    fn value_in(&self, item: &Item) -> Result<AttributeValue, Fault> {
        match self {
            Self::Path(path) => path.value_in(item).cloned().ok_or(Fault::Missing),
            Self::Value(value) => Ok(value.clone()),
            Self::IfNotExists(path, otherwise) => {
                // The service wants the other operand to have a value even where it is not needed.
                let otherwise = otherwise.value_in(item)?;
                Ok(path.value_in(item).cloned().unwrap_or(otherwise))
            }
            Self::ListAppend(front, back) => match (front.value_in(item)?, back.value_in(item)?) {
                (AttributeValue::L(mut list), AttributeValue::L(back)) => {
                    list.extend(back);
                    Ok(AttributeValue::L(list))
                }
                _ => Err(Fault::WrongType),
            },
            Self::Sum(left, right) => arithmetic(left, right, item, Number::checked_add),
            Self::Difference(left, right) => arithmetic(left, right, item, Number::checked_sub),
        }
    }
}

impl Dialect {
    fn words(self, fault: Fault) -> ApiError {
        match (fault, self) {
            (Fault::Mismatch, Self::Legacy) => ApiError::validation("Type mismatch for attribute to update"),
            (Fault::Mismatch, Self::Expression) | (Fault::WrongType, _) => ApiError::validation(WRONG_TYPE),
            (Fault::Missing, _) => ApiError::validation(MISSING_ATTRIBUTE),
            (Fault::Path, _) => ApiError::validation(INVALID_PATH),
            (Fault::Number(error), _) => number_error(error),
        }
    }

    fn add(self, standing: Option<&AttributeValue>, value: &AttributeValue) -> Result<Outcome, Fault> {
        let Some(standing) = standing else { return Ok(Outcome::Becomes(value.clone())) };
        let sum = match (standing, value) {
            (AttributeValue::N(number), AttributeValue::N(more)) => {
                AttributeValue::N(number.checked_add(*more).map_err(Fault::Number)?)
            }
            (AttributeValue::Ss(set), AttributeValue::Ss(more)) => AttributeValue::Ss(union(set, more)),
            (AttributeValue::Ns(set), AttributeValue::Ns(more)) => AttributeValue::Ns(union(set, more)),
            (AttributeValue::Bs(set), AttributeValue::Bs(more)) => AttributeValue::Bs(union(set, more)),
            (AttributeValue::L(list), AttributeValue::L(more)) if self == Self::Legacy => {
                AttributeValue::L([list.as_slice(), more].concat())
            }
            _ => return Err(Fault::Mismatch),
        };
        Ok(Outcome::Becomes(sum))
    }
}

fn delete(standing: Option<&AttributeValue>, value: &AttributeValue) -> Result<Outcome, Fault> {
    let Some(standing) = standing else { return Ok(Outcome::Untouched) };
    let rest = match (standing, value) {
        (AttributeValue::Ss(set), AttributeValue::Ss(less)) => difference(set, less).map(AttributeValue::Ss),
        (AttributeValue::Ns(set), AttributeValue::Ns(less)) => difference(set, less).map(AttributeValue::Ns),
        (AttributeValue::Bs(set), AttributeValue::Bs(less)) => difference(set, less).map(AttributeValue::Bs),
        _ => return Err(Fault::Mismatch),
    };
    Ok(rest.map_or(Outcome::Removed, Outcome::Becomes))
}

/// The members of both, in order.
fn union<T: Clone + Ord>(set: &[T], more: &[T]) -> Vec<T> {
    let members: BTreeSet<&T> = set.iter().chain(more).collect();
    members.into_iter().cloned().collect()
}

/// The members of the first that are not in the second; `None` when none is left, since a set is never empty.
fn difference<T: Clone + Ord>(set: &[T], less: &[T]) -> Option<Vec<T>> {
    let less: BTreeSet<&T> = less.iter().collect();
    let rest: Vec<T> = set.iter().filter(|member| !less.contains(member)).cloned().collect();
    (!rest.is_empty()).then_some(rest)
}

/// True when what the path's last step leads into is there and is of the right kind.
fn can_hold(item: &Item, path: &Path) -> bool {
    let Some((last, way)) = path.steps.split_last() else { return true };
    let Some(mut value) = item.get(&path.root) else { return false };
    for step in way {
        value = match child(value, step) {
            Some(child) => child,
            None => return false,
        };
    }
    matches!(
        (last, value),
        (Step::Member(_), AttributeValue::M(_)) | (Step::Element(_), AttributeValue::L(_))
    )
}

fn child<'v>(value: &'v AttributeValue, step: &Step) -> Option<&'v AttributeValue> {
    match (step, value) {
        (Step::Member(name), AttributeValue::M(map)) => map.get(name),
        (Step::Element(index), AttributeValue::L(list)) => list.get(*index),
        _ => None,
    }
}

fn child_mut<'v>(value: &'v mut AttributeValue, step: &Step) -> Option<&'v mut AttributeValue> {
    match (step, value) {
        (Step::Member(name), AttributeValue::M(map)) => map.get_mut(name),
        (Step::Element(index), AttributeValue::L(list)) => list.get_mut(*index),
        _ => None,
    }
}

/// What the path's last step leads into, where [`can_hold`] is true.
fn holder<'i>(item: &'i mut Item, root: &str, way: &[Step]) -> Option<&'i mut AttributeValue> {
    let mut value = item.get_mut(root)?;
    for step in way {
        value = child_mut(value, step)?;
    }
    Some(value)
}

/// Puts a value at a path; beyond a list's end is its end.
fn put(item: &mut Item, path: &Path, value: AttributeValue) {
    let Some((last, way)) = path.steps.split_last() else {
        item.insert(path.root.clone(), value);
        return;
    };
    match (last, holder(item, &path.root, way)) {
        (Step::Member(name), Some(AttributeValue::M(map))) => {
            map.insert(name.clone(), value);
        }
        (Step::Element(index), Some(AttributeValue::L(list))) => match list.get_mut(*index) {
            Some(standing) => *standing = value,
            None => list.push(value),
        },
        _ => {}
    }
}

fn remove(item: &mut Item, path: &Path) {
    let Some((last, way)) = path.steps.split_last() else {
        item.remove(&path.root);
        return;
    };
    match (last, holder(item, &path.root, way)) {
        (Step::Member(name), Some(AttributeValue::M(map))) => {
            map.remove(name);
        }
        (Step::Element(index), Some(AttributeValue::L(list))) if *index < list.len() => {
            list.remove(*index);
        }
        _ => {}
    }
}
