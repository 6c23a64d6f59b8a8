//! What a request of the right types must satisfy besides: members that may not be missing, lengths, ranges, patterns and
//! fixed sets. All violations are collected; which of them are told, and how, is the front's business.
//!
//! Nothing is allocated until the first violation: the path to a value is a chain of steps on the stack.

use crate::model::arn::Arn;
use crate::wire::Json;

use super::echo::{self, write_lower_first};
use super::kind::{
    Alternatives, Echo, Empty, Kind, List, Map, Member, Need, Number, Structure, TableNaming, Tables, Text,
};
use super::report::{Fault, VIOLATIONS_MAX, Violation};
use super::table::NAME_PATTERN;

/// Table names are this long at least.
const NAME_MIN: usize = 3;
/// Table names are this long at most.
const NAME_MAX: usize = 255;

/// The names of attributes are this long at most.
const ATTRIBUTE_NAME_MAX: usize = 65535;

/// The way to a value shows the names of entries up to here, in bytes: ten sentences would show a name of megabytes ten times.
const ENTRY_SHOWN_MAX: usize = ATTRIBUTE_NAME_MAX;

/// Finds what is wrong in a whole body, whose types have been checked.
pub(super) fn find_in_body(members: &'static [Member], body: &Json<'_>) -> Vec<Violation> {
    let mut findings = Vec::new();
    check_members(members, body, None, &mut findings);
    findings
}

/// The way from the body to a value.
struct Path<'p> {
    parent: Option<&'p Path<'p>>,
    step: Step<'p>,
}

enum Step<'p> {
    Member(&'static str),
    Element(usize),
    Entry(&'p str),
}

impl Path<'_> {
    /// As messages write it: `keySchema.1.member.attributeName`.
    fn write(&self, out: &mut String, write_name: fn(&str, &mut String)) {
        if let Some(parent) = self.parent {
            parent.write(out, write_name);
            out.push('.');
        }
        match self.step {
            Step::Member(name) => write_name(name, out),
            Step::Element(position) => out.push_str(&format!("{}.member", position + 1)),
            Step::Entry(name) => {
                out.push_str(echo::beginning(name, ENTRY_SHOWN_MAX));
                out.push_str(".member");
            }
        }
    }

    fn lower_first(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, write_lower_first);
        out
    }

    fn as_sent(&self) -> String {
        let mut out = String::new();
        self.write(&mut out, |name, out| out.push_str(name));
        out
    }

    /// The innermost member on the way.
    fn member(&self) -> &'static str {
        match (&self.step, self.parent) {
            (Step::Member(name), _) => name,
            (_, Some(parent)) => parent.member(),
            (_, None) => "",
        }
    }
}

/// A value where it stands.
struct Located<'p> {
    kind: &'p Kind,
    value: &'p Json<'p>,
    path: &'p Path<'p>,
}

impl Located<'_> {
    fn violation(&self, fault: Fault, echo: Echo, constraint: &str) -> Violation {
        let shown = match echo {
            Echo::Json => echo::json(self.value),
            Echo::Java | Echo::Bare => echo::java(self.kind, self.value),
        };
        let path = self.path.lower_first();
        let words = format!("Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}");
        let newer_words = (echo == Echo::Bare).then(|| {
            format!("Value at '{}' failed to satisfy constraint: {constraint}", self.path.as_sent())
        });
        Violation { member: self.path.member(), fault, words, newer_words, alone: None }
    }

    /// Two violations of the two ends of a range of lengths.
    fn check_length(&self, fault: Fault, length: usize, min: usize, max: usize, out: &mut Vec<Violation>) {
        if length < min {
            out.push(self.violation(fault, Echo::Java, &too_short(min)));
        }
        if length > max {
            out.push(self.violation(fault, Echo::Java, &too_long(max)));
        }
    }
}

fn too_short(min: usize) -> String {
    format!("Member must have length greater than or equal to {min}")
}

fn too_long(max: usize) -> String {
    format!("Member must have length less than or equal to {max}")
}

fn unlike(pattern: &str) -> String {
    format!("Member must satisfy regular expression pattern: {pattern}")
}

fn check_members(
    members: &'static [Member],
    body: &Json<'_>,
    parent: Option<&Path<'_>>,
    out: &mut Vec<Violation>,
) {
    for member in members {
        let path = Path { parent, step: Step::Member(member.name) };
        match body.get(member.name) {
            Some(value) => check(&Located { kind: &member.kind, value, path: &path }, out),
            None => match member.need {
                Need::Optional => {}
                Need::RequiredWithout(others) if others.iter().any(|other| body.get(other).is_some()) => {}
                Need::Required | Need::RequiredWithout(_) => out.push(missing(&path)),
                Need::Parameter => out.push(sentence(
                    &path,
                    Fault::Sentence,
                    format!("The parameter '{}' is required but was not present in the request", member.name),
                )),
            },
        }
    }
}

fn missing(path: &Path<'_>) -> Violation {
    let place = path.lower_first();
    let words = format!("Value null at '{place}' failed to satisfy constraint: Member must not be null");
    sentence(path, Fault::Missing, words)
}

fn sentence(path: &Path<'_>, fault: Fault, words: String) -> Violation {
    Violation { member: path.member(), fault, words, newer_words: None, alone: None }
}

fn check(located: &Located<'_>, out: &mut Vec<Violation>) {
    match (located.kind, located.value) {
        // Attribute values, keys and items are judged by the operations, in their own order and words.
        (Kind::Value | Kind::Boolean, _) => {}
        (Kind::Text(rule), Json::String(text)) => check_text(located, rule, text, out),
        (Kind::TableName(naming), Json::String(text)) => check_table_name(located, *naming, text, out),
        (Kind::Number(rule), value) => check_number(located, rule, value, out),
        (Kind::List(rule), Json::Array(elements)) => check_list(located, rule, elements, out),
        (Kind::Map(rule), Json::Object(_)) => check_map(located, rule, out),
        (Kind::Structure(structure), Json::Object(_)) => check_structure(located, structure, out),
        (Kind::Text(_) | Kind::TableName(_) | Kind::List(_) | Kind::Map(_) | Kind::Structure(_), _) => {}
    }
}

fn check_structure(located: &Located<'_>, structure: &Structure, out: &mut Vec<Violation>) {
    check_members(structure.members, located.value, Some(located.path), out);
    if let Some(Alternatives { none, several }) = structure.alternatives {
        let is_there = |member: &&Member| located.value.get(member.name).is_some();
        let words = match structure.members.iter().filter(is_there).count() {
            1 => return,
            0 => none,
            _ => several,
        };
        out.push(sentence(located.path, Fault::Alternatives, words.to_owned()));
    }
}

fn check_text(located: &Located<'_>, rule: &Text, text: &str, out: &mut Vec<Violation>) {
    if !rule.choices.is_empty() && !rule.choices.contains(&text) {
        let words = format!("Member must satisfy enum value set: [{}]", rule.choices.join(", "));
        out.push(Violation {
            newer_words: rule.refusal.map(str::to_owned),
            ..located.violation(Fault::Choice, Echo::Java, &words)
        });
    } else if let Some((honoured, words)) = rule.honoured
        && !honoured.contains(&text)
    {
        out.push(sentence(located.path, Fault::Unhonoured, words.to_owned()));
    }
    if rule.min > 0 || rule.max < usize::MAX {
        located.check_length(Fault::Length, length(text), rule.min, rule.max, out);
    }
    if let Some(pattern) = rule.pattern.filter(|pattern| !(pattern.matches)(text)) {
        out.push(located.violation(Fault::Length, Echo::Java, &unlike(pattern.words)));
    }
}

/// The length as the service counts it, in code points.
fn length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().count() }
}

fn check_table_name(located: &Located<'_>, naming: TableNaming, text: &str, out: &mut Vec<Violation>) {
    if is_table_arn(text) {
        return;
    }
    let length = length(text);
    let check_length =
        |out: &mut Vec<Violation>| located.check_length(Fault::Name, length, NAME_MIN, NAME_MAX, out);
    match naming {
        TableNaming::Item | TableNaming::Update | TableNaming::Transaction if length == 0 => {
            out.push(located.violation(Fault::Empty, Echo::Bare, &too_short(1)));
        }
        TableNaming::Item if !(NAME_MIN..=NAME_MAX).contains(&length) => check_length(out),
        TableNaming::Item => check_name_pattern(located, text, out),
        TableNaming::Update => {
            check_name_pattern(located, text, out);
            check_length(out);
        }
        TableNaming::Sentence if !(NAME_MIN..=NAME_MAX).contains(&length) => {
            let words = "TableName must be at least 3 characters long and at most 255 characters long";
            out.push(sentence(located.path, Fault::Sentence, words.to_owned()));
        }
        TableNaming::Transaction | TableNaming::Table | TableNaming::Sentence => {
            check_length(out);
            check_name_pattern(located, text, out);
        }
    }
}

fn check_name_pattern(located: &Located<'_>, text: &str, out: &mut Vec<Violation>) {
    if !(NAME_PATTERN.matches)(text) {
        out.push(located.violation(Fault::Name, Echo::Java, &unlike(NAME_PATTERN.words)));
    }
}

/// True for `arn:aws:dynamodb:region:account:table/name`, which every table name may be given as.
fn is_table_arn(text: &str) -> bool {
    let arn = Arn::parse(text).filter(|arn| arn.service == "dynamodb");
    let name = arn.and_then(|arn| arn.resource.strip_prefix("table/"));
    name.is_some_and(|name| (NAME_MIN..=NAME_MAX).contains(&name.len()) && (NAME_PATTERN.matches)(name))
}

fn check_number(located: &Located<'_>, rule: &Number, value: &Json<'_>, out: &mut Vec<Violation>) {
    let Some(given) = rule.cut(value) else { return };
    if given < rule.min {
        let words = format!("Member must have value greater than or equal to {}", rule.min);
        out.push(located.violation(Fault::Range, rule.echo, &words));
    }
    if given > rule.max {
        let words = format!("Member must have value less than or equal to {}", rule.max);
        out.push(located.violation(Fault::Range, rule.echo, &words));
    }
}

fn check_list(located: &Located<'_>, rule: &List, elements: &[Json<'_>], out: &mut Vec<Violation>) {
    if elements.len() < rule.min {
        out.push(located.violation(Fault::Length, rule.echo, &too_short(rule.min)));
    }
    if elements.len() > rule.max {
        let own = Path { parent: None, step: Step::Member(located.path.member()) };
        let path = if rule.is_named_alone { &own } else { located.path };
        let named = Located { path, ..*located };
        out.push(named.violation(Fault::TooLong, rule.echo, &too_long(rule.max)));
    }
    if matches!(rule.element, Kind::Value) {
        return;
    }
    for (position, element) in elements.iter().enumerate() {
        if out.len() >= VIOLATIONS_MAX {
            return;
        }
        let path = Path { parent: Some(located.path), step: Step::Element(position) };
        check_inner(rule.element, element, &path, out);
    }
}

fn check_map(located: &Located<'_>, rule: &Map, out: &mut Vec<Violation>) {
    if matches!(rule.entry, Kind::Value) {
        return;
    }
    let entries = located.value.members().unwrap_or_default();
    match rule.tables {
        Some(tables) => check_tables(located, &tables, entries, out),
        // The keys of all other maps are names of attributes, or stand for some.
        None if entries.iter().any(|(name, _)| name.len() > ATTRIBUTE_NAME_MAX) => {
            let words = format!("Map keys must satisfy constraint: [{}]", too_long(ATTRIBUTE_NAME_MAX));
            out.push(located.violation(Fault::Length, Echo::Java, &words));
        }
        None => {}
    }
    for (name, entry) in entries {
        if out.len() >= VIOLATIONS_MAX {
            return;
        }
        let path = Path { parent: Some(located.path), step: Step::Entry(name) };
        check_inner(rule.entry, entry, &path, out);
    }
}

fn check_inner(kind: &Kind, value: &Json<'_>, path: &Path<'_>, out: &mut Vec<Violation>) {
    if matches!(value, Json::Null) {
        out.push(missing(path));
    } else {
        check(&Located { kind, value, path }, out);
    }
}

/// The rules of a map by table: not empty, its keys table names, its lists neither empty nor too long.
fn check_tables(
    located: &Located<'_>,
    tables: &Tables,
    entries: &[(std::borrow::Cow<'_, str>, Json<'_>)],
    out: &mut Vec<Violation>,
) {
    match tables.empty {
        _ if !entries.is_empty() => {}
        Empty::TooShort => out.push(located.violation(Fault::Empty, Echo::Bare, &too_short(1))),
        Empty::Sentence(words) => out.push(Violation {
            alone: Some(words),
            ..located.violation(Fault::Empty, Echo::Java, &too_short(1))
        }),
    }
    let is_name = |name: &str| {
        (NAME_MIN..=NAME_MAX).contains(&length(name)) && (NAME_PATTERN.matches)(name) || is_table_arn(name)
    };
    if !entries.iter().all(|(name, _)| is_name(name)) {
        let words = format!(
            "Map keys must satisfy constraint: [{}, {}, {}]",
            too_long(NAME_MAX),
            too_short(NAME_MIN),
            unlike(NAME_PATTERN.words)
        );
        out.push(located.violation(Fault::Keys, tables.echo, &words));
    }
    let Some(max) = tables.entry_max else { return };
    let mut lengths = entries.iter().filter_map(|(_, entry)| entry.elements()).map(<[_]>::len);
    if !lengths.all(|length| (1..=max).contains(&length)) {
        let words = format!("Map value must satisfy constraint: [{}, {}]", too_long(max), too_short(1));
        out.push(located.violation(Fault::Values, Echo::Java, &words));
    }
}
