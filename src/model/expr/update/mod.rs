//! Updates: what an `UpdateExpression`, or `AttributeUpdates`, does to an item.
//!
//! Every operand and every list index means the item as it was before. So an update first works out what shall stand at each
//! path, and only then changes the item: values in place, then what lies beyond the end of a list, then removals from the
//! back, so that no index moves before its turn.

mod evaluation;

#[cfg(test)]
mod tests;

use super::parser::{RawAction, RawCall, RawOperand, RawValue, Section, SectionKind, parse_update};
use super::path::{each_once, refuse_clashes, refuse_clashes_later_first};
use super::resolve::{
    Function, Place, Resolver, check_operand_count, check_operand_words, check_path_words, not_distinct,
    path_required, refusal, wrong_operand_type,
};
use super::{Bindings, Path};
use crate::model::{ApiError, AttributeValue, Item};
use evaluation::Standing;

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

    /// The top-level attributes that the update names, be they changed or read, each once.
    pub fn named_roots(&self) -> impl Iterator<Item = &str> {
        let mut paths = self.paths();
        self.actions.iter().for_each(|action| action.change.collect_paths(&mut paths));
        each_once(paths.into_iter().map(|path| path.root.as_str()))
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
            RawValue::Plain(value) => check_operand_words(value, Place::UpdateValue)?,
            RawValue::Sum(left, right) | RawValue::Difference(left, right) => {
                check_operand_words(left, Place::UpdateOperand)?;
                check_operand_words(right, Place::UpdateOperand)?;
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
        left: &RawOperand<'_>,
        right: &RawOperand<'_>,
    ) -> Result<(Operand, Operand), String> {
        let (left, right) = (self.update_operand(left)?, self.update_operand(right)?);
        self.count_operators(1)?;
        check_operand_types(sign, &[&left, &right], "N")?;
        Ok((left, right))
    }

    fn update_operand(&mut self, operand: &RawOperand<'_>) -> Result<Operand, String> {
        match operand {
            RawOperand::Path(path) => Ok(Operand::Path(self.path(path)?)),
            RawOperand::Value(placeholder) => Ok(Operand::Value(self.value(placeholder)?)),
            RawOperand::Call(call) => self.update_function(call),
            RawOperand::TooDeep => Err(self.too_many_operators()),
        }
    }

    fn update_function(&mut self, call: &RawCall<'_>) -> Result<Operand, String> {
        let name = call.function;
        let function = Function::from_name(name).expect("functions have been checked");
        let mut operands = Vec::with_capacity(call.arguments.len());
        for argument in &call.arguments {
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

impl Operand {
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
