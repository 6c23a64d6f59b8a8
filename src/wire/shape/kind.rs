//! The language that the table of shapes is written in: kinds of values, members, and what each must satisfy.
//!
//! Everything is `const`: the table costs nothing to build, and a row reads like the API reference.

use crate::wire::Json;

/// What a value is.
#[derive(Clone, Copy, Debug)]
pub(super) enum Kind {
    /// A string within limits.
    Text(Text),
    /// The name or the ARN of a table.
    TableName(TableNaming),
    /// A truth value.
    Boolean,
    /// A number within limits.
    Number(Number),
    /// An attribute value: one of `S`, `N`, … Only its JSON types matter here.
    Value,
    /// An array of one kind.
    List(List),
    /// An object whose members are the entries of a map.
    Map(Map),
    /// An object of named members.
    Structure(Structure),
}

/// What a string must satisfy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Text {
    /// The least length in UTF-16 units, as everywhere in the service.
    pub(super) min: usize,
    /// The greatest length.
    pub(super) max: usize,
    /// What it must look like.
    pub(super) pattern: Option<Pattern>,
    /// What it may be; nothing here means anything.
    pub(super) choices: &'static [&'static str],
    /// What the newer front says of a wrong choice in place of the constraint with value and member.
    pub(super) refusal: Option<&'static str>,
    /// The choices that the operation takes, and what the newer front says of another.
    pub(super) honoured: Option<(&'static [&'static str], &'static str)>,
}

/// A regular expression by its printed form and by a function that decides the same.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pattern {
    /// As the service prints it.
    pub(super) words: &'static str,
    /// True when the whole text matches.
    pub(super) matches: fn(&str) -> bool,
}

/// How an operation speaks of a wrong table name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TableNaming {
    /// Item operations: of a name that is not empty only the first fault, the length before the pattern.
    Item,
    /// UpdateItem: of a name that is not empty all faults, the pattern before the length.
    Update,
    /// Inside transactions: an empty name is shorter than 1; the rest as of any member.
    Transaction,
    /// Table operations: as of any member.
    Table,
    /// Restores and the like: a length out of range has its own sentence, before all else.
    Sentence,
}

/// What a number must satisfy, and what the service calls its type.
#[derive(Clone, Copy, Debug)]
pub(super) struct Number {
    /// `Integer`, `Long` or `Date`.
    pub(super) type_name: &'static str,
    /// The least value.
    pub(super) min: i64,
    /// The greatest value.
    pub(super) max: i64,
    /// How a violation shows the value.
    pub(super) echo: Echo,
}

impl Number {
    /// A number cut to its type: without its fraction, and the type's end for what is beyond it.
    pub(super) fn cut(&self, value: &Json<'_>) -> Option<i64> {
        let whole = match value {
            Json::Integer(whole) => *whole,
            // A float that is no i64 becomes the nearer end of i64.
            Json::Float(float) => float.trunc() as i64,
            _ => return None,
        };
        let (least, greatest) = match self.type_name {
            "Integer" => (i64::from(i32::MIN), i64::from(i32::MAX)),
            _ => (i64::MIN, i64::MAX),
        };
        Some(whole.clamp(least, greatest))
    }

    /// True when that is the number itself.
    pub(super) fn holds(&self, value: &Json<'_>) -> bool {
        match value {
            Json::Integer(whole) => self.cut(value) == Some(*whole),
            Json::Float(float) => self.cut(value).is_some_and(|cut| cut as f64 == *float),
            _ => true,
        }
    }
}

/// What an array must satisfy.
#[derive(Clone, Copy, Debug)]
pub(super) struct List {
    /// The kind of every element.
    pub(super) element: &'static Kind,
    /// The least length.
    pub(super) min: usize,
    /// The greatest length.
    pub(super) max: usize,
    /// How a violation shows the value.
    pub(super) echo: Echo,
    /// Whether one that is too long is told of by its own name, without the way to it.
    pub(super) is_named_alone: bool,
}

/// What a map must satisfy.
#[derive(Clone, Copy, Debug)]
pub(super) struct Map {
    /// The kind of every entry's value.
    pub(super) entry: &'static Kind,
    /// What holds for the whole of it, for the maps by table.
    pub(super) tables: Option<Tables>,
}

/// The rules of a map whose keys are tables.
#[derive(Clone, Copy, Debug)]
pub(super) struct Tables {
    /// What an empty map is told.
    pub(super) empty: Empty,
    /// Whether the map is shown as JSON or as Java prints it.
    pub(super) echo: Echo,
    /// The greatest length of each entry's list, when it is judged with the map and not by itself.
    pub(super) entry_max: Option<usize>,
}

/// What an empty map is told.
#[derive(Clone, Copy, Debug)]
pub(super) enum Empty {
    /// The constraint on its length.
    TooShort,
    /// As `TooShort`, but a sentence of the operation's own when nothing else is wrong.
    Sentence(&'static str),
}

/// How a violation shows the value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Echo {
    /// As Java prints it.
    Java,
    /// As JSON.
    Json,
    /// As Java prints it by the older front; by the newer one not at all, and the member by its name in the request.
    Bare,
}

/// An object of named members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Structure {
    /// The name of the type in messages.
    pub(super) name: &'static str,
    /// The members in the order in which the service judges them.
    pub(super) members: &'static [Member],
    /// The names of all members in the order in which messages print them, where that is another.
    pub(super) printed: Option<&'static [&'static str]>,
    /// Set when exactly one of the members should be there.
    pub(super) alternatives: Option<Alternatives>,
}

/// What is said of an object that should have exactly one of its members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Alternatives {
    /// When it has none.
    pub(super) none: &'static str,
    /// When it has several.
    pub(super) several: &'static str,
}

/// A named member of a structure.
#[derive(Clone, Copy, Debug)]
pub(super) struct Member {
    /// As in the request.
    pub(super) name: &'static str,
    /// What its value is.
    pub(super) kind: Kind,
    /// Whether it may be missing.
    pub(super) need: Need,
}

/// Whether a member may be missing. A `null` member is a missing one.
#[derive(Clone, Copy, Debug)]
pub(super) enum Need {
    /// It may.
    Optional,
    /// It may not.
    Required,
    /// It may not, and the service says so in a sentence of its own, before all else.
    Parameter,
    /// It may when one of these is there.
    RequiredWithout(&'static [&'static str]),
}

pub(super) const fn optional(name: &'static str, kind: Kind) -> Member {
    Member { name, kind, need: Need::Optional }
}

pub(super) const fn required(name: &'static str, kind: Kind) -> Member {
    Member { name, kind, need: Need::Required }
}

pub(super) const fn parameter(name: &'static str, kind: Kind) -> Member {
    Member { name, kind, need: Need::Parameter }
}

pub(super) const fn required_without(
    others: &'static [&'static str],
    name: &'static str,
    kind: Kind,
) -> Member {
    Member { name, kind, need: Need::RequiredWithout(others) }
}

pub(super) const TEXT: Kind = sized(0, usize::MAX);
pub(super) const BOOLEAN: Kind = Kind::Boolean;
pub(super) const VALUE: Kind = Kind::Value;
pub(super) const LONG: Kind = number("Long", i64::MIN, i64::MAX);
pub(super) const DATE: Kind = number("Date", i64::MIN, i64::MAX);

const ANY_TEXT: Text =
    Text { min: 0, max: usize::MAX, pattern: None, choices: &[], refusal: None, honoured: None };

pub(super) const fn sized(min: usize, max: usize) -> Kind {
    Kind::Text(Text { min, max, ..ANY_TEXT })
}

pub(super) const fn like(min: usize, max: usize, pattern: Pattern) -> Kind {
    Kind::Text(Text { min, max, pattern: Some(pattern), ..ANY_TEXT })
}

pub(super) const fn one_of(choices: &'static [&'static str]) -> Kind {
    Kind::Text(Text { choices, ..ANY_TEXT })
}

pub(super) const fn refused_one_of(
    choices: &'static [&'static str],
    refusal: &'static str,
    honoured: Option<(&'static [&'static str], &'static str)>,
) -> Kind {
    Kind::Text(Text { choices, refusal: Some(refusal), honoured, ..ANY_TEXT })
}

pub(super) const fn number(type_name: &'static str, min: i64, max: i64) -> Kind {
    Kind::Number(Number { type_name, min, max, echo: Echo::Java })
}

pub(super) const fn integer(min: i64, max: i64) -> Kind {
    number("Integer", min, max)
}

pub(super) const fn bare_integer(min: i64, max: i64) -> Kind {
    Kind::Number(Number { type_name: "Integer", min, max, echo: Echo::Bare })
}

pub(super) const fn list(element: &'static Kind) -> Kind {
    list_of(0, usize::MAX, element)
}

pub(super) const fn list_of(min: usize, max: usize, element: &'static Kind) -> Kind {
    Kind::List(List { element, min, max, echo: Echo::Java, is_named_alone: false })
}

pub(super) const fn bare_list_of(min: usize, max: usize, element: &'static Kind) -> Kind {
    Kind::List(List { element, min, max, echo: Echo::Bare, is_named_alone: false })
}

pub(super) const fn list_named_alone(min: usize, max: usize, element: &'static Kind) -> Kind {
    Kind::List(List { element, min, max, echo: Echo::Java, is_named_alone: true })
}

pub(super) const fn map(entry: &'static Kind) -> Kind {
    Kind::Map(Map { entry, tables: None })
}

pub(super) const fn map_by_table(entry: &'static Kind, tables: Tables) -> Kind {
    Kind::Map(Map { entry, tables: Some(tables) })
}

pub(super) const fn structure(name: &'static str, members: &'static [Member]) -> Kind {
    Kind::Structure(Structure { name, members, printed: None, alternatives: None })
}

/// A structure that messages print in another order than that in which it is judged.
pub(super) const fn structure_printed(
    name: &'static str,
    members: &'static [Member],
    printed: &'static [&'static str],
) -> Kind {
    Kind::Structure(Structure { name, members, printed: Some(printed), alternatives: None })
}

pub(super) const fn structure_of_one(
    name: &'static str,
    members: &'static [Member],
    alternatives: Alternatives,
) -> Kind {
    Kind::Structure(Structure { name, members, printed: None, alternatives: Some(alternatives) })
}
