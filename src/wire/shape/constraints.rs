//! What a request of the right types must satisfy besides: members that may not be missing, lengths, ranges, patterns and
//! fixed sets. All violations are collected and answered in one `ValidationException`.
//!
//! Nothing is allocated until the first violation: the path to a value is a chain of steps on the stack.

use crate::model::ApiError;
use crate::wire::Json;
use crate::wire::attribute::Reader;

use super::echo::{self, write_lower_first};
use super::kind::{Echo, Empty, Kind, List, Map, Member, Need, Number, Standing, TableNaming, Tables, Text};
use super::table::NAME_PATTERN;

/// The service stops counting here.
const VIOLATIONS_MAX: usize = 10;

/// Table names are this long at least.
const NAME_MIN: usize = 3;
/// Table names are this long at most.
const NAME_MAX: usize = 255;

/// The names of attributes are this long at most.
const ATTRIBUTE_NAME_MAX: usize = 65535;

/// Checks a whole body, whose types have been checked. `reader` is asked about a bad one.
pub(super) fn check_body(
    members: &'static [Member],
    body: &Json<'_>,
    reader: impl FnOnce() -> Reader,
) -> Result<(), ApiError> {
    let mut violations = Vec::new();
    check_members(members, body, None, &mut violations);
    if violations.is_empty() {
        return Ok(());
    }
    if violations.iter().any(|violation| violation.words_of_older.is_some()) && reader() == Reader::Older {
        violations.iter_mut().for_each(Violation::tell_as_older);
    }
    Err(report(violations))
}

/// One broken constraint.
struct Violation {
    /// The whole sentence.
    words: String,
    /// The sentence when no other is reported, where that one differs.
    words_alone: Option<String>,
    /// The sentence of the older reader, where that one differs.
    words_of_older: Option<String>,
    standing: Standing,
}

impl Violation {
    fn tell_as_older(&mut self) {
        self.words = self.words_of_older.take().unwrap_or_else(|| std::mem::take(&mut self.words));
    }
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
            Step::Entry(name) => out.push_str(&format!("{name}.member")),
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
}

/// A value where it stands.
struct Located<'p> {
    kind: &'p Kind,
    value: &'p Json<'p>,
    path: &'p Path<'p>,
}

impl Located<'_> {
    fn violation(&self, echo: Echo, standing: Standing, constraint: &str) -> Violation {
        let shown = match echo {
            Echo::Json => echo::json(self.value),
            Echo::Java | Echo::Bare => echo::java(self.kind, self.value),
        };
        let path = self.path.lower_first();
        let words = format!("Value '{shown}' at '{path}' failed to satisfy constraint: {constraint}");
        let words_alone = (echo == Echo::Bare).then(|| {
            format!("Value at '{}' failed to satisfy constraint: {constraint}", self.path.as_sent())
        });
        Violation { words, words_alone, words_of_older: None, standing }
    }

    /// Two violations of the two ends of a range of lengths.
    fn check_length(&self, length: usize, min: usize, max: usize, echo: Echo, out: &mut Vec<Violation>) {
        if length < min {
            out.push(self.violation(echo, Standing::Joins, &too_short(min)));
        }
        if length > max {
            out.push(self.violation(echo, Standing::Joins, &too_long(max)));
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
                    Standing::Sentence,
                    format!("The parameter '{}' is required but was not present in the request", member.name),
                )),
            },
        }
    }
}

fn missing(path: &Path<'_>) -> Violation {
    let path = path.lower_first();
    let words = format!("Value null at '{path}' failed to satisfy constraint: Member must not be null");
    sentence(Standing::Joins, words)
}

fn sentence(standing: Standing, words: String) -> Violation {
    Violation { words, words_alone: None, words_of_older: None, standing }
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
        (Kind::Structure(structure), Json::Object(_)) => {
            check_members(structure.members, located.value, Some(located.path), out);
        }
        (Kind::Text(_) | Kind::TableName(_) | Kind::List(_) | Kind::Map(_) | Kind::Structure(_), _) => {}
    }
}

fn check_text(located: &Located<'_>, rule: &Text, text: &str, out: &mut Vec<Violation>) {
    if !rule.choices.is_empty() && !rule.choices.contains(&text) {
        let words = format!("Member must satisfy enum value set: [{}]", rule.choices.join(", "));
        let violation = located.violation(Echo::Java, rule.standing, &words);
        out.push(match rule.refusal {
            Some(refusal) => Violation {
                words_of_older: Some(violation.words),
                ..sentence(rule.standing, refusal.to_owned())
            },
            None => violation,
        });
    }
    if rule.min > 0 || rule.max < usize::MAX {
        located.check_length(length(text), rule.min, rule.max, Echo::Java, out);
    }
    if let Some(pattern) = rule.pattern.filter(|pattern| !(pattern.matches)(text)) {
        out.push(located.violation(Echo::Java, Standing::Joins, &unlike(pattern.words)));
    }
}

/// The length as the service counts it, in UTF-16 units.
fn length(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.encode_utf16().count() }
}

fn check_table_name(located: &Located<'_>, naming: TableNaming, text: &str, out: &mut Vec<Violation>) {
    if is_table_arn(text) {
        return;
    }
    let length = length(text);
    match naming {
        TableNaming::Item | TableNaming::Update | TableNaming::Transaction if length == 0 => {
            out.push(located.violation(Echo::Bare, Standing::Alone, &too_short(1)));
        }
        TableNaming::Item if !(NAME_MIN..=NAME_MAX).contains(&length) => {
            located.check_length(length, NAME_MIN, NAME_MAX, Echo::Java, out);
        }
        TableNaming::Item => check_name_pattern(located, text, out),
        TableNaming::Update => {
            check_name_pattern(located, text, out);
            located.check_length(length, NAME_MIN, NAME_MAX, Echo::Java, out);
        }
        TableNaming::Sentence if !(NAME_MIN..=NAME_MAX).contains(&length) => {
            let words = "TableName must be at least 3 characters long and at most 255 characters long";
            out.push(sentence(Standing::Sentence, words.to_owned()));
        }
        TableNaming::Transaction | TableNaming::Table | TableNaming::Sentence => {
            located.check_length(length, NAME_MIN, NAME_MAX, Echo::Java, out);
            check_name_pattern(located, text, out);
        }
    }
}

fn check_name_pattern(located: &Located<'_>, text: &str, out: &mut Vec<Violation>) {
    if !(NAME_PATTERN.matches)(text) {
        out.push(located.violation(Echo::Java, Standing::Joins, &unlike(NAME_PATTERN.words)));
    }
}

/// True for `arn:aws:dynamodb:region:account:table/name`, which every table name may be given as.
fn is_table_arn(text: &str) -> bool {
    let Some(rest) = text.strip_prefix("arn:") else { return false };
    let mut parts = rest.splitn(5, ':');
    let service = parts.nth(1);
    let resource = parts.nth(2);
    let name = resource.and_then(|resource| resource.strip_prefix("table/"));
    service == Some("dynamodb")
        && name
            .is_some_and(|name| (NAME_MIN..=NAME_MAX).contains(&name.len()) && (NAME_PATTERN.matches)(name))
}

fn check_number(located: &Located<'_>, rule: &Number, value: &Json<'_>, out: &mut Vec<Violation>) {
    let value = match value {
        Json::Integer(whole) => *whole,
        // The service cuts fractions off; what is beyond an i64 is beyond every limit as well.
        Json::Float(float) => float.trunc() as i64,
        _ => return,
    };
    if value < rule.min {
        let words = format!("Member must have value greater than or equal to {}", rule.min);
        out.push(located.violation(rule.echo, Standing::Joins, &words));
    }
    if value > rule.max {
        let words = format!("Member must have value less than or equal to {}", rule.max);
        out.push(located.violation(rule.echo, Standing::Joins, &words));
    }
}

fn check_list(located: &Located<'_>, rule: &List, elements: &[Json<'_>], out: &mut Vec<Violation>) {
    located.check_length(elements.len(), rule.min, rule.max, rule.echo, out);
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
            out.push(located.violation(Echo::Java, Standing::Joins, &words));
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
        Empty::TooShort => out.push(located.violation(Echo::Bare, Standing::Joins, &too_short(1))),
        Empty::Sentence(words) => out.push(Violation {
            words_alone: Some(words.to_owned()),
            ..located.violation(Echo::Java, Standing::SentenceAlone, &too_short(1))
        }),
    }
    for (name, entry) in entries {
        let is_name = (NAME_MIN..=NAME_MAX).contains(&length(name)) && (NAME_PATTERN.matches)(name);
        if !is_name && !is_table_arn(name) {
            let words = format!(
                "Map keys must satisfy constraint: [{}, {}, {}]",
                too_long(NAME_MAX),
                too_short(NAME_MIN),
                unlike(NAME_PATTERN.words)
            );
            out.push(located.violation(tables.echo, tables.standing, &words));
        }
        if let (Some(max), Some(elements)) = (tables.entry_max, entry.elements())
            && !(1..=max).contains(&elements.len())
        {
            let words = format!("Map value must satisfy constraint: [{}, {}]", too_long(max), too_short(1));
            out.push(located.violation(Echo::Java, Standing::Joins, &words));
        }
    }
}

/// Makes one error of all violations, by how they stand beside each other.
fn report(mut violations: Vec<Violation>) -> ApiError {
    let sole = |standing: Standing| violations.iter().position(|violation| violation.standing == standing);
    if let Some(position) = sole(Standing::Sentence) {
        return ApiError::validation(violations.swap_remove(position).words);
    }
    if let Some(position) = sole(Standing::Alone) {
        return detected(vec![violations.swap_remove(position)]);
    }
    let is_choice =
        |violation: &Violation| matches!(violation.standing, Standing::Choice | Standing::LeadsChoices);
    if let Some(position) = sole(Standing::LeadsChoices)
        && violations.iter().all(is_choice)
    {
        return detected(vec![violations.swap_remove(position)]);
    }
    if violations.iter().any(is_choice) {
        violations.retain(|violation| violation.standing != Standing::YieldsToChoices);
    }
    detected(violations)
}

/// `2 validation errors detected: …; …`
fn detected(mut violations: Vec<Violation>) -> ApiError {
    violations.truncate(VIOLATIONS_MAX);
    if let [only] = violations.as_mut_slice()
        && let Some(words) = only.words_alone.take()
    {
        if only.standing == Standing::SentenceAlone {
            return ApiError::validation(words);
        }
        only.words = words;
    }
    let count = violations.len();
    let plural = if count == 1 { "" } else { "s" };
    let words: Vec<String> = violations.into_iter().map(|violation| violation.words).collect();
    ApiError::validation(format!("{count} validation error{plural} detected: {}", words.join("; ")))
}
