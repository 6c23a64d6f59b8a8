//! The language that the table of shapes is written in: kinds of values, members, and what each must satisfy.
//!
//! Everything is `const`: the table costs nothing to build, and a row reads like the API reference.

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
    /// What is said of a wrong choice in place of the constraint with value and member: the newer front of the service does so.
    pub(super) refusal: Option<&'static str>,
    /// How a violation stands beside others.
    pub(super) standing: Standing,
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
    /// Item operations: an empty name is reported alone, as shorter than 1; of another only the first fault, the length before
    /// the pattern.
    Item,
    /// UpdateItem: an empty name likewise; of another all faults, the pattern before the length.
    Update,
    /// Inside transactions: an empty name likewise; the rest as of any member.
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
    /// Whether a violation that stands alone shows the value.
    pub(super) echo: Echo,
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
    /// Whether a violation that stands alone shows the value.
    pub(super) echo: Echo,
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
    /// How a wrong key stands beside other violations.
    pub(super) standing: Standing,
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
    /// Not at all, and the member by its name in the request, when it is the only violation; otherwise as Java prints it.
    Bare,
}

/// How a violation stands beside others of the same request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Standing {
    /// Joined with the rest.
    Joins,
    /// A value out of a fixed set; joined with the rest.
    Choice,
    /// As `Choice`, but the only one reported when all others are choices too.
    LeadsChoices,
    /// Left out beside a choice.
    YieldsToChoices,
    /// The only one reported.
    Alone,
    /// Its words are the whole message, before all others.
    Sentence,
    /// Joined with the rest; but when it is the only one, its words are the whole message.
    SentenceAlone,
}

/// An object of named members.
#[derive(Clone, Copy, Debug)]
pub(super) struct Structure {
    /// The name of the type in messages.
    pub(super) name: &'static str,
    /// The members in the order in which the service judges them.
    pub(super) members: &'static [Member],
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

pub(super) const fn sized(min: usize, max: usize) -> Kind {
    Kind::Text(Text { min, max, pattern: None, choices: &[], refusal: None, standing: Standing::Joins })
}

pub(super) const fn like(min: usize, max: usize, pattern: Pattern) -> Kind {
    let pattern = Some(pattern);
    Kind::Text(Text { min, max, pattern, choices: &[], refusal: None, standing: Standing::Joins })
}

pub(super) const fn one_of(choices: &'static [&'static str]) -> Kind {
    choice(choices, None, Standing::Choice)
}

pub(super) const fn refused_one_of(choices: &'static [&'static str], refusal: &'static str) -> Kind {
    choice(choices, Some(refusal), Standing::Choice)
}

pub(super) const fn leading_one_of(choices: &'static [&'static str], refusal: &'static str) -> Kind {
    choice(choices, Some(refusal), Standing::LeadsChoices)
}

const fn choice(choices: &'static [&'static str], refusal: Option<&'static str>, standing: Standing) -> Kind {
    Kind::Text(Text { min: 0, max: usize::MAX, pattern: None, choices, refusal, standing })
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
    Kind::List(List { element, min, max, echo: Echo::Java })
}

pub(super) const fn bare_list_of(min: usize, max: usize, element: &'static Kind) -> Kind {
    Kind::List(List { element, min, max, echo: Echo::Bare })
}

pub(super) const fn map(entry: &'static Kind) -> Kind {
    Kind::Map(Map { entry, tables: None })
}

pub(super) const fn map_by_table(entry: &'static Kind, tables: Tables) -> Kind {
    Kind::Map(Map { entry, tables: Some(tables) })
}

pub(super) const fn structure(name: &'static str, members: &'static [Member]) -> Kind {
    Kind::Structure(Structure { name, members })
}
