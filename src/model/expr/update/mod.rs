//! Updates: what an `UpdateExpression`, or `AttributeUpdates`, does to an item.
//!
//! Every operand and every list index means the item as it was before. So an update first works out what shall stand at each
//! path, and only then changes the item: values in place, then what lies beyond the end of a list, then removals from the
//! back, so that no index moves before its turn.

#[cfg(test)]
mod tests;

use std::collections::BTreeSet;

use super::parser::{Node, RawAction, RawValue, Section, SectionKind, parse_update};
use super::path::{each_once, refuse_clashes, refuse_clashes_later_first};
use super::resolve::{
    Function, Place, Resolver, check_operand_count, check_path_words, check_words, not_distinct,
    path_required, refusal, wrong_operand_type,
};
use super::{Bindings, Path, Step};
use crate::model::number::NumberError;
use crate::model::{ApiError, AttributeValue, Item, Number};

/// Changes to an item, names and values resolved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Update {
    dialect: Dialect,
    actions: Vec<Action>,
}

/// Which of the two languages an update was written in; they word one error differently, and only the legacy one appends
/// to lists.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Dialect {
    Expression,
    Legacy,
}

/// What happens at one path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Action {
    pub(super) path: Path,
    pub(super) change: Change,
}

/// What happens there.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Change {
    Set(SetValue),
    Remove,
    /// A number is added to a number, a set to a set, and in the legacy language a list to a list.
    Add(AttributeValue),
    /// A set is taken out of a set.
    Delete(AttributeValue),
}

/// The right side of a `SET`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SetValue {
    Plain(Operand),
    Sum(Operand, Operand),
    Difference(Operand, Operand),
}

/// What a `SET` takes its value from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Operand {
    Path(Path),
    Value(AttributeValue),
    IfNotExists(Path, Box<Operand>),
    ListAppend(Box<Operand>, Box<Operand>),
    /// `a + b`, where PartiQL nests it.
    Sum(Box<Operand>, Box<Operand>),
    /// `a - b`, where PartiQL nests it.
    Difference(Box<Operand>, Box<Operand>),
}

impl Update {
    /// An update put together from its actions.
    ///
    /// # Errors
    /// The words for two paths that cannot both be changed.
    pub(super) fn of_actions(actions: Vec<Action>) -> Result<Self, String> {
        refuse_clashes_later_first(&actions.iter().map(|action| &action.path).collect::<Vec<_>>())?;
        Ok(Self { dialect: Dialect::Expression, actions })
    }

    /// What happens at each path, as written.
    pub(super) fn actions(&self) -> &[Action] {
        &self.actions
    }

    /// Parses an `UpdateExpression`.
    ///
    /// # Errors
    /// A validation error in the service's words.
    pub fn parse(text: &str, bindings: &mut Bindings<'_>) -> Result<Self, ApiError> {
        let actions = parse(text, bindings).map_err(|words| refusal("UpdateExpression", words))?;
        Ok(Self { dialect: Dialect::Expression, actions })
    }

    pub(super) fn from_legacy(actions: Vec<Action>) -> Self {
        Self { dialect: Dialect::Legacy, actions }
    }

    /// Changes `item`. Every operand is read from the item as it was before. After an error the item is unchanged.
    ///
    /// # Errors
    /// A validation error when the item does not have what the update needs.
    pub fn apply(&self, item: &mut Item) -> Result<(), ApiError> {
        self.carry_out(item, Standing::Existing)
    }

    /// Changes an item that its table does not have yet; `item` is its key. The same as [`Update::apply`], but `REMOVE` of
    /// any path succeeds (recorded of DynamoDB in 2026-10).
    ///
    /// # Errors
    /// As [`Update::apply`].
    pub fn apply_to_missing(&self, item: &mut Item) -> Result<(), ApiError> {
        self.carry_out(item, Standing::Missing)
    }

    fn carry_out(&self, item: &mut Item, standing: Standing) -> Result<(), ApiError> {
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

    /// The paths that the update changes, as written; `UPDATED_OLD` and `UPDATED_NEW` answer what stands there.
    pub fn paths(&self) -> Vec<&Path> {
        self.actions.iter().map(|action| &action.path).collect()
    }

    /// True when there is nothing to change (`AttributeUpdates: {}`).
    pub fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// The top-level attributes that the update changes or steps into, each once.
    pub fn roots(&self) -> impl Iterator<Item = &str> {
        each_once(self.actions.iter().map(|action| action.path.root.as_str()))
    }

    /// The top-level attributes into which a path steps (`a.b`, `a[0]`), be it changed or read, each once.
    pub fn nested_roots(&self) -> impl Iterator<Item = &str> + Clone {
        let mut paths = self.paths();
        self.actions.iter().for_each(|action| action.change.collect_paths(&mut paths));
        each_once(paths.into_iter().filter(|path| path.is_nested()).map(|path| path.root.as_str()))
    }

    /// The top-level attributes that get a value whose type the request itself tells, with that type's name (`S`). The
    /// type of a key attribute of an index is checked by it before the item is read.
    pub fn known_types(&self) -> impl Iterator<Item = (&str, &'static str)> {
        let whole = self.actions.iter().filter(|action| !action.path.is_nested());
        whole.filter_map(|action| Some((action.path.root.as_str(), action.change.known_type()?)))
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

const INVALID_PATH: &str = "The document path provided in the update expression is invalid for update";
const MISSING_ATTRIBUTE: &str =
    "The provided expression refers to an attribute that does not exist in the item";
const WRONG_TYPE: &str = "An operand in the update expression has an incorrect data type";

/// Whether the item that is changed is in its table.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Standing {
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

fn parse(text: &str, bindings: &mut Bindings<'_>) -> Result<Vec<Action>, String> {
    let sections = parse_update(text)?;
    check_update_words(&sections)?;
    check_sections(&sections)?;
    let written: Vec<(SectionKind, &RawAction<'_>)> = sections
        .iter()
        .flat_map(|section| section.actions.iter().map(|action| (section.kind, action)))
        .collect();
    let mut resolver = Resolver::new(bindings);
    // From the last to the first: with two faults of one kind the service tells of the later one.
    let paths = written.iter().rev().map(|(_, action)| resolver.path(&action.path));
    let mut paths = paths.collect::<Result<Vec<_>, _>>()?;
    paths.reverse();
    refuse_clashes(&paths.iter().collect::<Vec<_>>())?;
    let changes = written.iter().rev().map(|(kind, action)| resolver.change(*kind, &action.value));
    let mut changes = changes.collect::<Result<Vec<_>, _>>()?;
    changes.reverse();
    Ok(paths.into_iter().zip(changes).map(|(path, change)| Action { path, change }).collect())
}

fn check_update_words(sections: &[Section<'_>]) -> Result<(), String> {
    for action in sections.iter().flat_map(|section| &section.actions) {
        check_path_words(&action.path)?;
        match &action.value {
            RawValue::None => {}
            RawValue::Plain(value) => check_words(value, Place::UpdateValue)?,
            RawValue::Sum(left, right) | RawValue::Difference(left, right) => {
                check_words(left, Place::UpdateOperand)?;
                check_words(right, Place::UpdateOperand)?;
            }
        }
    }
    Ok(())
}

fn check_sections(sections: &[Section<'_>]) -> Result<(), String> {
    for (position, section) in sections.iter().enumerate() {
        if sections[..position].iter().any(|earlier| earlier.kind == section.kind) {
            let name = match section.kind {
                SectionKind::Set => "SET",
                SectionKind::Remove => "REMOVE",
                SectionKind::Add => "ADD",
                SectionKind::Delete => "DELETE",
            };
            return Err(format!("The \"{name}\" section can only be used once in an update expression;"));
        }
    }
    Ok(())
}

impl Resolver<'_, '_> {
    fn change(&mut self, kind: SectionKind, value: &RawValue<'_>) -> Result<Change, String> {
        match value {
            RawValue::None => Ok(Change::Remove),
            RawValue::Sum(left, right) => {
                let (left, right) = self.numbers("+", left, right)?;
                Ok(Change::Set(SetValue::Sum(left, right)))
            }
            RawValue::Difference(left, right) => {
                let (left, right) = self.numbers("-", left, right)?;
                Ok(Change::Set(SetValue::Difference(left, right)))
            }
            RawValue::Plain(value) => match (kind, self.update_operand(value)?) {
                (SectionKind::Add, Operand::Value(value)) => {
                    check_action_type("ADD", &value, is_number_or_set)?;
                    Ok(Change::Add(value))
                }
                (SectionKind::Delete, Operand::Value(value)) => {
                    check_action_type("DELETE", &value, is_set)?;
                    Ok(Change::Delete(value))
                }
                (_, operand) => Ok(Change::Set(SetValue::Plain(operand))),
            },
        }
    }

    fn numbers(
        &mut self,
        sign: &str,
        left: &Node<'_>,
        right: &Node<'_>,
    ) -> Result<(Operand, Operand), String> {
        let (left, right) = (self.update_operand(left)?, self.update_operand(right)?);
        self.count_operators(1)?;
        check_operand_types(sign, &[&left, &right], "N")?;
        Ok((left, right))
    }

    fn update_operand(&mut self, node: &Node<'_>) -> Result<Operand, String> {
        match node {
            Node::Path(path) => Ok(Operand::Path(self.path(path)?)),
            Node::Value(placeholder) => Ok(Operand::Value(self.value(placeholder)?)),
            Node::Call { function, arguments } => self.update_function(function, arguments),
            Node::TooDeep => Err(self.too_many_operators()),
            Node::Compare { .. }
            | Node::Between { .. }
            | Node::In { .. }
            | Node::Not(_)
            | Node::And(_)
            | Node::Or(_) => unreachable!("the grammar has no condition for an operand"),
        }
    }

    fn update_function(&mut self, name: &str, arguments: &[Node<'_>]) -> Result<Operand, String> {
        let function = Function::from_name(name).expect("functions have been checked");
        let mut operands = Vec::with_capacity(arguments.len());
        for argument in arguments {
            operands.push(self.update_operand(argument)?);
        }
        self.count_operators(1)?;
        check_operand_count(function, name, operands.len())?;
        let second = operands.pop().expect("functions of updates have two operands");
        let first = operands.pop().expect("functions of updates have two operands");
        if function == Function::ListAppend {
            check_operand_types(name, &[&first, &second], "L")?;
            return Ok(Operand::ListAppend(Box::new(first), Box::new(second)));
        }
        match (first, second) {
            (Operand::Path(path), Operand::Path(other)) if path == other => Err(not_distinct(name, &path)),
            (Operand::Path(path), second) => Ok(Operand::IfNotExists(path, Box::new(second))),
            _ => Err(path_required(name)),
        }
    }
}

/// Values written out must be of the type; what functions give is only known when they are evaluated.
///
/// # Errors
/// The words that follow `Invalid UpdateExpression: `.
pub(super) fn check_operand_types(
    operator: &str,
    operands: &[&Operand],
    required: &str,
) -> Result<(), String> {
    for operand in operands {
        if let Operand::Value(value) = operand
            && value.type_name() != required
        {
            return Err(wrong_operand_type(operator, value.type_name()));
        }
    }
    Ok(())
}

/// The service names one type set for both actions, and spells the types as here (recorded in October 2026).
fn check_action_type(
    operator: &str,
    value: &AttributeValue,
    allowed: fn(&AttributeValue) -> bool,
) -> Result<(), String> {
    if allowed(value) {
        return Ok(());
    }
    Err(format!(
        "Incorrect operand type for operator or function; operator: {operator}, operand type: {}, \
         typeSet: ALLOWED_FOR_ADD_OPERAND",
        long_type_name(value)
    ))
}

fn is_set(value: &AttributeValue) -> bool {
    matches!(value, AttributeValue::Ss(_) | AttributeValue::Ns(_) | AttributeValue::Bs(_))
}

fn is_number_or_set(value: &AttributeValue) -> bool {
    is_set(value) || matches!(value, AttributeValue::N(_))
}

fn long_type_name(value: &AttributeValue) -> &'static str {
    match value {
        AttributeValue::S(_) => "STRING",
        AttributeValue::N(_) => "NUMBER",
        AttributeValue::B(_) => "Binary",
        AttributeValue::Bool(_) => "BOOL",
        AttributeValue::Null => "NULL",
        AttributeValue::M(_) => "MAP",
        AttributeValue::L(_) => "LIST",
        AttributeValue::Ss(_) => "STRING_SET",
        AttributeValue::Ns(_) => "NUMBER_SET",
        AttributeValue::Bs(_) => "BINARY_SET",
    }
}

impl Change {
    fn known_type(&self) -> Option<&'static str> {
        match self {
            Self::Set(SetValue::Plain(operand)) => operand.known_type(),
            Self::Set(SetValue::Sum(..) | SetValue::Difference(..)) => Some("N"),
            Self::Remove => None,
            Self::Add(value) | Self::Delete(value) => Some(value.type_name()),
        }
    }

    fn collect_paths<'c>(&'c self, paths: &mut Vec<&'c Path>) {
        match self {
            Self::Set(SetValue::Plain(operand)) => operand.collect_paths(paths),
            Self::Set(SetValue::Sum(left, right) | SetValue::Difference(left, right)) => {
                left.collect_paths(paths);
                right.collect_paths(paths);
            }
            Self::Remove | Self::Add(_) | Self::Delete(_) => {}
        }
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

    fn known_type(&self) -> Option<&'static str> {
        match self {
            Self::Path(_) => None,
            Self::Value(value) => Some(value.type_name()),
            Self::IfNotExists(_, otherwise) => otherwise.known_type(),
            Self::ListAppend(..) => Some("L"),
            Self::Sum(..) | Self::Difference(..) => Some("N"),
        }
    }

    fn collect_paths<'o>(&'o self, paths: &mut Vec<&'o Path>) {
        match self {
            Self::Path(path) => paths.push(path),
            Self::Value(_) => {}
            Self::IfNotExists(path, otherwise) => {
                paths.push(path);
                otherwise.collect_paths(paths);
            }
            Self::ListAppend(first, second) | Self::Sum(first, second) | Self::Difference(first, second) => {
                first.collect_paths(paths);
                second.collect_paths(paths);
            }
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

/// What the path's last step leads into. Callers have asked [`can_hold`].
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
