//! Strict JSON: a borrowed tree that refuses what two parsers could read in two ways.
//!
//! What is [plain] is read here; of everything else serde_json does the lexing. On top of it: a member named twice in one object is
//! refused at any depth, nesting ends at [`DEPTH_MAX`] (or is cut off there), and nothing may follow the value. Numbers keep only
//! what the API's integer members need; DynamoDB's own numbers are strings.

mod plain;
mod raw;

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};

pub use raw::{RawMembers, raw_members, raw_objects};

/// The deepest nesting of arrays and objects in a request. 32 levels of attribute values need 2 each and the envelope a few;
/// the service's newer reader of requests follows as many as these and leaves deeper ones to the older reader.
pub const DEPTH_MAX: usize = 128;

/// The deepest nesting that is JSON to anybody: the service gives up a little beyond a value of 2,000 levels.
const CUT_DEPTH_MAX: usize = 4004;

/// The most elements that are read of a list in a request. No list of the API may be nearly as long, but for lists of
/// attribute values, which are read whole.
pub const LISTED_MAX: usize = 5000;

/// The types of attribute values that are lists.
const LISTS_OF_VALUES: [&str; 4] = ["L", "SS", "NS", "BS"];

/// A JSON value that borrows from its text where no escape stands in the way.
#[derive(Clone, Debug, PartialEq)]
pub enum Json<'a> {
    /// `null`
    Null,
    /// `true`, `false`
    Bool(bool),
    /// A number without fraction that fits an `i64`.
    Integer(i64),
    /// Any other number.
    Float(f64),
    /// A string, escapes resolved.
    String(Cow<'a, str>),
    /// `[…]`
    Array(Box<[Json<'a>]>),
    /// `{…}` with its members in order, no name twice.
    Object(Box<[(Cow<'a, str>, Json<'a>)]>),
}

/// Why bytes are not acceptable JSON.
#[derive(Debug, thiserror::Error)]
pub enum JsonError {
    /// The bytes are not UTF-8.
    #[error("not UTF-8")]
    NotUtf8,
    /// Not JSON, nested too deeply, or a member named twice.
    #[error(transparent)]
    Malformed(#[from] serde_json::Error),
}

impl<'a> Json<'a> {
    /// Parses a whole body.
    ///
    /// # Errors
    /// [`JsonError`] for anything that is not exactly one acceptable value.
    pub fn parse(body: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(body).map_err(|_| JsonError::NotUtf8)?;
        Self::parse_text::<false>(text, Lists::All)
    }

    /// Parses the whole body of a request: as [`Json::parse`], and a list of more than [`LISTED_MAX`] elements is rejected
    /// before memory is spent on the rest of it.
    ///
    /// # Errors
    /// [`JsonError`] for anything that is not exactly one acceptable value.
    pub fn parse_request(body: &'a [u8]) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(body).map_err(|_| JsonError::NotUtf8)?;
        Self::parse_text::<false>(text, Lists::Short)
    }

    /// Parses a whole body that may be nested deeper than [`DEPTH_MAX`]: what stands there is read as `null`, costs no stack,
    /// and is not looked through for members named twice.
    ///
    /// No request is meant to be that deep, so this is for who must tell what is wrong with one that [`Json::parse`] refused, or
    /// which tables it names: a part that is cut off never holds a name, a key or a statement.
    ///
    /// # Errors
    /// [`JsonError`] for anything that is not one value, or that is nested deeper than the service itself follows.
    pub fn parse_cut(body: &'a [u8]) -> Result<Self, JsonError> {
        Self::parse_cut_with(body, Lists::All)
    }

    /// As [`Json::parse_cut`], for who must tell what is wrong with a body that [`Json::parse_request`] rejected: a list ends
    /// with its element [`LISTED_MAX`] + 1, and what follows is not looked through. It is too long for any list of the API then,
    /// too.
    ///
    /// # Errors
    /// As [`Json::parse_cut`].
    pub fn parse_short(body: &'a [u8]) -> Result<Self, JsonError> {
        Self::parse_cut_with(body, Lists::Short)
    }

    fn parse_cut_with(body: &'a [u8], lists: Lists) -> Result<Self, JsonError> {
        let text = std::str::from_utf8(body).map_err(|_| JsonError::NotUtf8)?;
        match depth(text) {
            ..=CUT_DEPTH_MAX => Self::parse_text::<true>(text, lists),
            _ => Err(JsonError::Malformed(serde::de::Error::custom(TOO_DEEP))),
        }
    }

    fn parse_text<const CUTS: bool>(text: &'a str, lists: Lists) -> Result<Self, JsonError> {
        match plain::parse(text, lists) {
            Some(value) => Ok(value),
            None => Self::parse_by_serde::<CUTS>(text, lists),
        }
    }

    fn parse_by_serde<const CUTS: bool>(text: &'a str, lists: Lists) -> Result<Self, JsonError> {
        let mut deserializer = serde_json::Deserializer::from_str(text);
        // The limit is ours, in `Node`: serde_json's own cannot be chosen.
        deserializer.disable_recursion_limit();
        let value = Node::<CUTS> { depth: 0, lists, is_of_values: false }.deserialize(&mut deserializer)?;
        deserializer.end()?;
        Ok(value)
    }

    /// The member of that name; `None` when there is none, when it is `null`, or when this is no object. To the service a
    /// `null` member is a missing one.
    pub fn get(&self, name: &str) -> Option<&Json<'a>> {
        let member = self.members()?.iter().find(|(member, _)| member == name);
        member.map(|(_, value)| value).filter(|value| !matches!(value, Self::Null))
    }

    /// The members, when this is an object.
    pub fn members(&self) -> Option<&[(Cow<'a, str>, Json<'a>)]> {
        match self {
            Self::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The elements, when this is an array.
    pub fn elements(&self) -> Option<&[Json<'a>]> {
        match self {
            Self::Array(elements) => Some(elements),
            _ => None,
        }
    }

    /// The text, when this is a string.
    pub fn text(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// The number, when this is one; the service cuts fractions off.
    pub fn integer(&self) -> Option<i64> {
        match self {
            Self::Integer(value) => Some(*value),
            Self::Float(value) => Some(value.trunc() as i64),
            _ => None,
        }
    }

    /// The truth value, when this is one or one of the words that the service takes for it.
    pub fn boolean(&self) -> Option<bool> {
        let is_one_of =
            |text: &str, words: [&str; 5]| words.iter().any(|word| text.eq_ignore_ascii_case(word));
        match self {
            Self::Bool(value) => Some(*value),
            Self::String(text) if is_one_of(text, ["true", "t", "yes", "y", "1"]) => Some(true),
            Self::String(text) if is_one_of(text, ["false", "f", "no", "n", "0"]) => Some(false),
            _ => None,
        }
    }
}

const TOO_DEEP: &str = "nested too deeply";

/// How much of a list is read.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Lists {
    All,
    /// [`LISTED_MAX`] elements, but for lists of attribute values.
    Short,
}

/// How deep a text's brackets go. Of what is no JSON any answer will do.
fn depth(text: &str) -> usize {
    let (mut deepest, mut open) = (0_usize, 0_usize);
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        match byte {
            b'{' | b'[' => {
                open += 1;
                deepest = deepest.max(open);
            }
            b'}' | b']' => open = open.saturating_sub(1),
            b'"' => skip_string(&mut bytes),
            _ => {}
        }
    }
    deepest
}

fn skip_string(bytes: &mut std::str::Bytes<'_>) {
    while let Some(byte) = bytes.next() {
        match byte {
            b'"' => return,
            b'\\' => drop(bytes.next()),
            _ => {}
        }
    }
}

/// The text with `0.5` for every number that is written with a point or an exponent, and `1` for every other: a tree keeps of
/// some numbers only what they are worth.
pub fn with_plain_numbers(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    let is_of_number = |byte: u8| matches!(byte, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
    while let Some(first) = rest.bytes().next() {
        let length = match first {
            b'"' => {
                let mut bytes = rest[1..].bytes();
                skip_string(&mut bytes);
                rest.len() - bytes.len()
            }
            b'0'..=b'9' | b'-' => rest.bytes().position(|byte| !is_of_number(byte)).unwrap_or(rest.len()),
            _ => {
                rest.bytes().position(|byte| matches!(byte, b'"' | b'0'..=b'9' | b'-')).unwrap_or(rest.len())
            }
        };
        let (part, behind) = rest.split_at(length);
        out.push_str(match first {
            b'0'..=b'9' | b'-' if part.contains(['.', 'e', 'E']) => "0.5",
            b'0'..=b'9' | b'-' => "1",
            _ => part,
        });
        rest = behind;
    }
    out
}

/// A value to be read at some depth. What is too deep is cut off or refused.
#[derive(Clone, Copy)]
struct Node<const CUTS: bool> {
    depth: usize,
    lists: Lists,
    /// Its name is that of a type of lists of attribute values.
    is_of_values: bool,
}

impl<const CUTS: bool> Node<CUTS> {
    /// The most elements that are read if this is a list.
    fn elements_max(self) -> usize {
        if self.lists == Lists::All || self.is_of_values { usize::MAX } else { LISTED_MAX }
    }

    /// The node under that name in this one's place.
    fn named(self, name: &str) -> Self {
        Self { is_of_values: LISTS_OF_VALUES.contains(&name), ..self }
    }

    /// The nodes inside of this one; `None` when they are cut off.
    fn below<E: serde::de::Error>(self) -> Result<Option<Self>, E> {
        match self.depth < DEPTH_MAX {
            true => Ok(Some(Self { depth: self.depth + 1, is_of_values: false, ..self })),
            false if CUTS => Ok(None),
            false => Err(E::custom(TOO_DEEP)),
        }
    }
}

impl<'de, const CUTS: bool> DeserializeSeed<'de> for Node<CUTS> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de, const CUTS: bool> Visitor<'de> for Node<CUTS> {
    type Value = Json<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, value: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Json<'de>, E> {
        Ok(Json::Integer(value))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Json<'de>, E> {
        Ok(i64::try_from(value).map_or(Json::Float(value as f64), Json::Integer))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Json<'de>, E> {
        Ok(Json::Float(value))
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Json<'de>, E> {
        Ok(Json::String(Cow::Owned(value.to_owned())))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Json<'de>, A::Error> {
        let Some(node) = self.below()? else {
            while elements.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Json::Null);
        };
        let elements_max = self.elements_max();
        let mut array = Vec::new();
        while let Some(element) = elements.next_element_seed(node)? {
            push(&mut array, element);
            if array.len() > elements_max {
                if !CUTS {
                    return Err(serde::de::Error::custom("a list is too long"));
                }
                while elements.next_element::<IgnoredAny>()?.is_some() {}
                break;
            }
        }
        Ok(Json::Array(array.into()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Json<'de>, A::Error> {
        let Some(node) = self.below()? else {
            while members.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
            return Ok(Json::Null);
        };
        let mut object: Vec<(Cow<'de, str>, Json<'de>)> = Vec::new();
        while let Some(Text(name)) = members.next_key::<Text<'de>>()? {
            let value = members.next_value_seed(node.named(&name))?;
            push(&mut object, (name, value));
        }
        match is_named_twice(&object) {
            true => Err(serde::de::Error::custom("a member is named twice")),
            false => Ok(Json::Object(object.into())),
        }
    }
}

/// Appends. A vector by itself begins with room for four: most objects are attribute values, which have one member.
fn push<T>(all: &mut Vec<T>, one: T) {
    if all.len() == all.capacity() {
        all.reserve_exact(all.len().max(1));
    }
    all.push(one);
}

/// A string, borrowed where it has no escape: serde's own `Cow` copies always when it stands inside another type.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Text<'a>(pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, value: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(value)))
    }

    fn visit_str<E>(self, value: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(value.to_owned())))
    }
}

/// True if two members have one name. Few members are compared pair by pair; many by sorting, so that a hostile body costs no square.
fn is_named_twice(members: &[(Cow<'_, str>, Json<'_>)]) -> bool {
    if members.len() <= 8 {
        let has_earlier = |(index, (name, _)): (usize, &(Cow<'_, str>, Json<'_>))| {
            members[..index].iter().any(|(earlier, _)| earlier == name)
        };
        return members.iter().enumerate().any(has_earlier);
    }
    let mut names: Vec<&str> = members.iter().map(|(name, _)| name.as_ref()).collect();
    names.sort_unstable();
    names.windows(2).any(|pair| pair[0] == pair[1])
}

/// The object as JSON, with one member set and all others as they are.
pub fn with_member(object: &Json<'_>, name: &str, value: Json<'_>) -> Vec<u8> {
    let others = object.members().unwrap_or_default().iter().filter(|(member, _)| member != name);
    let others = others.map(|(member, value)| (member.as_ref(), value));
    let mut out = Vec::with_capacity(1024);
    write_map(others.chain([(name, &value)]), &mut out, write_json);
    out
}

/// Appends a tree as JSON text.
pub fn write_json(json: &Json<'_>, out: &mut Vec<u8>) {
    match json {
        Json::Null => out.extend_from_slice(b"null"),
        Json::Bool(true) => out.extend_from_slice(b"true"),
        Json::Bool(false) => out.extend_from_slice(b"false"),
        Json::Integer(value) => out.extend_from_slice(itoa::Buffer::new().format(*value).as_bytes()),
        Json::Float(value) => {
            serde_json::to_writer(out, value).expect("writing a number to memory cannot fail");
        }
        Json::String(text) => write_string(text, out),
        Json::Array(elements) => write_array(elements, out, write_json),
        Json::Object(members) => {
            write_map(members.iter().map(|(name, value)| (name.as_ref(), value)), out, write_json);
        }
    }
}

/// Appends `text` as a JSON string, quotes and escapes included.
pub fn write_string(text: &str, out: &mut Vec<u8>) {
    if plain::position_of_special(text.as_bytes()).is_some() {
        return serde_json::to_writer(out, text).expect("writing a string to memory cannot fail");
    }
    out.reserve(text.len() + 2);
    out.push(b'"');
    out.extend_from_slice(text.as_bytes());
    out.push(b'"');
}

/// Appends a JSON array of what `write` appends for each element.
pub fn write_array<T>(
    elements: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'[');
    write_parted(elements, out, write);
    out.push(b']');
}

/// Appends a JSON object with a member for each element: its name, and what `write` appends for the rest.
pub fn write_map<'a, T>(
    elements: impl IntoIterator<Item = (&'a str, T)>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    out.push(b'{');
    write_parted(elements, out, |(name, element), out| {
        write_string(name, out);
        out.push(b':');
        write(element, out);
    });
    out.push(b'}');
}

fn write_parted<T>(
    elements: impl IntoIterator<Item = T>,
    out: &mut Vec<u8>,
    mut write: impl FnMut(T, &mut Vec<u8>),
) {
    for (position, element) in elements.into_iter().enumerate() {
        if position > 0 {
            out.push(b',');
        }
        write(element, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_member_named_twice_is_refused_at_any_depth() {
        assert!(Json::parse(br#"{"a":1,"a":2}"#).is_err());
        assert!(Json::parse(br#"{"x":[{"id":{"S":"a"},"i\u0064":{"S":"b"}}]}"#).is_err());
        let many: Vec<String> = (0..20).map(|n| format!("\"m{}\":0", n % 19)).collect();
        assert!(Json::parse(format!("{{{}}}", many.join(",")).as_bytes()).is_err());
    }

    #[test]
    fn depth_ends_before_the_stack_does() {
        let deep = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert!(Json::parse(deep(DEPTH_MAX).as_bytes()).is_ok());
        assert!(Json::parse(deep(DEPTH_MAX + 1).as_bytes()).is_err());
        assert!(Json::parse("[".repeat(1_000_000).as_bytes()).is_err());
    }

    #[test]
    fn numbers_are_made_plain_by_how_they_are_written() {
        let text = r#"{"a\"1":[-0,-0.0,12,1e30,18446744073709551616,1E+0,"1.5\\",true,null],"é2":7}"#;
        let plain = r#"{"a\"1":[1,0.5,1,0.5,1,0.5,"1.5\\",true,null],"é2":1}"#;
        assert_eq!(with_plain_numbers(text), plain);
    }

    #[test]
    fn what_is_too_deep_is_cut_off_where_that_is_asked_for() {
        let within = |inner: &str| {
            format!("{}{inner}{}", "{\"[\\\"\":[".repeat(DEPTH_MAX / 2), "]}".repeat(DEPTH_MAX / 2))
        };
        let cut = within("null");
        let cut = Json::parse(cut.as_bytes()).unwrap();
        for inner in ["{\"a\":1,\"a\":2}", "[[{\"}\":[]}]]", &"[".repeat(3000), "[1 2]"] {
            let (closed, is_json) = match inner.len() {
                3000 => (within(&format!("{inner}{}", "]".repeat(3000))), true),
                _ => (within(inner), inner != "[1 2]"),
            };
            assert!(Json::parse(closed.as_bytes()).is_err(), "{inner}");
            assert_eq!(Json::parse_cut(closed.as_bytes()).ok(), is_json.then(|| cut.clone()), "{inner}");
        }
        let bottomless = within(&format!("{}{}", "[".repeat(1_000_000), "]".repeat(1_000_000)));
        assert!(Json::parse_cut(bottomless.as_bytes()).is_err());
    }

    #[test]
    fn a_long_list_is_rejected_or_cut_unless_it_is_of_attribute_values() {
        let list = |length: usize| vec!["{}"; length].join(",");
        let within = |name: &str, length: usize| format!(r#"{{"a":{{"{name}":[{}],"b":1}}}}"#, list(length));
        let length = |json: Json<'_>| {
            let member = json.get("a").unwrap();
            assert!(member.get("b").is_some());
            member.members().unwrap()[0].1.elements().unwrap().len()
        };
        for (name, is_of_values) in [("Keys", false), ("l", false), ("L", true), ("NS", true)] {
            let (fits, long) = (within(name, LISTED_MAX), within(name, LISTED_MAX + 7));
            assert_eq!(length(Json::parse_request(fits.as_bytes()).unwrap()), LISTED_MAX);
            assert_eq!(Json::parse_request(long.as_bytes()).is_ok(), is_of_values, "{name}");
            let cut = if is_of_values { LISTED_MAX + 7 } else { LISTED_MAX + 1 };
            assert_eq!(length(Json::parse_short(long.as_bytes()).unwrap()), cut, "{name}");
            // An answer has as many items as it has.
            assert_eq!(length(Json::parse(long.as_bytes()).unwrap()), LISTED_MAX + 7);
            assert!(Json::parse_short(&long.as_bytes()[..long.len() - 2]).is_err());
        }
        // A list in a list of values is none of values.
        assert!(Json::parse_request(format!(r#"{{"L":[[{}]]}}"#, list(LISTED_MAX + 1)).as_bytes()).is_err());
    }

    #[test]
    fn only_one_whole_value_is_a_body() {
        for body in ["", "{} {}", "{}x", "{", "\u{feff}{}", "{\"a\":NaN}", "{'a':1}", "{\"a\":\"\\ud800\"}"] {
            assert!(Json::parse(body.as_bytes()).is_err(), "{body:?}");
        }
        assert!(Json::parse(b"{\"a\":\"\xff\"}").is_err());
        assert_eq!(Json::parse(b" {\"a\":1} ").unwrap().get("a"), Some(&Json::Integer(1)));
    }
}
