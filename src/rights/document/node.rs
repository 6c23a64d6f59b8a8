//! JSON with the place of every value: where it begins in the document, and the way there.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// What is wrong with a policy document, or has no effect in it, and where.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PolicyError {
    /// The line, from 1.
    pub line: usize,
    /// The character in the line, from 1.
    pub column: usize,
    /// The way through the document: `Statement[2].Condition.StringEquals`. Empty for the document itself.
    pub path: String,
    /// What is wrong there.
    pub message: String,
}

impl fmt::Display for PolicyError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, path, message } = self;
        write!(formatter, "line {line}, column {column}")?;
        if !path.is_empty() {
            write!(formatter, ", {path}")?;
        }
        write!(formatter, ": {message}")
    }
}

impl std::error::Error for PolicyError {}

/// A value of a document.
#[derive(Clone, Debug)]
pub(super) struct Node<'a> {
    document: &'a str,
    text: &'a str,
    path: String,
}

/// A member of an object.
#[derive(Debug)]
pub(super) struct Member<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) value: Node<'a>,
}

impl<'a> Node<'a> {
    /// The value that a whole document is.
    pub(super) fn of_document(document: &'a str) -> Result<Self, PolicyError> {
        match serde_json::from_str::<&RawValue>(document) {
            Ok(raw) => Ok(Self { document, text: raw.get(), path: String::new() }),
            Err(error) => Err(PolicyError {
                line: error.line(),
                column: error.column().max(1),
                path: String::new(),
                message: format!("this is not JSON: {}", without_place(&error)),
            }),
        }
    }

    pub(super) fn error(&self, message: impl Into<String>) -> PolicyError {
        // Both are slices of one text.
        let at = (self.text.as_ptr() as usize).saturating_sub(self.document.as_ptr() as usize);
        let before = &self.document[..at];
        let line_begin = before.rfind('\n').map_or(0, |newline| newline + 1);
        PolicyError {
            line: before.matches('\n').count() + 1,
            column: before[line_begin..].chars().count() + 1,
            path: self.path.clone(),
            message: message.into(),
        }
    }

    /// The members of an object.
    pub(super) fn members(&self) -> Result<Vec<Member<'a>>, PolicyError> {
        if !self.text.starts_with('{') {
            return Err(self.error("an object is expected here"));
        }
        let members: RawMembers<'a> =
            serde_json::from_str(self.text).map_err(|error| self.error(without_place(&error)))?;
        let mut found: Vec<Member<'a>> = Vec::with_capacity(members.0.len());
        for (name, raw) in members.0 {
            let path = if self.path.is_empty() { name.to_string() } else { format!("{}.{name}", self.path) };
            let value = Self { document: self.document, text: raw.get(), path };
            if found.iter().any(|earlier| earlier.name == name) {
                return Err(value.error(format!("{name:?} stands here twice")));
            }
            found.push(Member { name, value });
        }
        Ok(found)
    }

    /// The elements of a list; anything else is the only element of one.
    pub(super) fn elements(&self) -> Result<Vec<Self>, PolicyError> {
        if !self.text.starts_with('[') {
            return Ok(vec![self.clone()]);
        }
        let elements: Vec<&'a RawValue> =
            serde_json::from_str(self.text).map_err(|error| self.error(without_place(&error)))?;
        let elements = elements.into_iter().enumerate().map(|(index, raw)| Self {
            document: self.document,
            text: raw.get(),
            path: format!("{}[{index}]", self.path),
        });
        Ok(elements.collect())
    }

    /// The elements of a list that must not be empty; anything else is the only element of one.
    pub(super) fn some_elements(&self) -> Result<Vec<Self>, PolicyError> {
        let elements = self.elements()?;
        match elements.is_empty() {
            true => Err(self.error("the list is empty; a policy has at least one element here")),
            false => Ok(elements),
        }
    }

    /// The text of a string.
    pub(super) fn text(&self) -> Result<Cow<'a, str>, PolicyError> {
        if !self.text.starts_with('"') {
            return Err(self.error("a text is expected here"));
        }
        let text: Result<String, _> = serde_json::from_str(self.text);
        text.map(Cow::Owned).map_err(|error| self.error(without_place(&error)))
    }

    /// The text of a string, a number or a truth value: conditions may have any of them.
    pub(super) fn scalar(&self) -> Result<Cow<'a, str>, PolicyError> {
        match self.text.as_bytes().first() {
            Some(b'0'..=b'9' | b'-' | b't' | b'f') => Ok(Cow::Borrowed(self.text)),
            _ => self.text(),
        }
    }
}

/// The words of an error whose place is told apart.
fn without_place(error: &serde_json::Error) -> String {
    let words = error.to_string();
    words.split(" at line ").next().unwrap_or_default().to_owned()
}

struct RawMembers<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> serde::Deserialize<'de> for RawMembers<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some((name, value)) = map.next_entry::<String, &'de RawValue>()? {
                    members.push((Cow::Owned(name), value));
                }
                Ok(members)
            }
        }
        deserializer.deserialize_map(Members).map(Self)
    }
}
