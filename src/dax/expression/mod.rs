//! The protocol's expressions to DynamoDB's.
//!
//! Clients parse expressions and send trees in which no placeholder is left. DynamoDB takes text, so the text is written again with
//! placeholders of our own. All expressions of a request share them. What an expression must be is for DynamoDB to check; only what
//! cannot be written as text is rejected here.
//!
//! The text is never longer than the client's caller could have written it, but for white space: see [`Expressions::write`].

mod code;
mod pieces;

#[cfg(test)]
mod tests;

use std::sync::Arc;

use crate::model::ApiError;
use crate::model::expr::{Path, is_reserved};

use super::object::Object;
use pieces::{Once, Piece, TEXT_BYTES_MAX};

pub(super) use pieces::Language;

/// A piece whose name and value are known by their places.
type Placed = Piece<usize, usize>;

/// The expressions of a request, or of a part of one that has placeholders of its own.
#[derive(Debug)]
pub(super) struct Expressions<'a> {
    names: Once<&'a str>,
    /// By their encoding: the JavaScript client sends a value once for each time that it is used.
    values: Once<&'a [u8]>,
    expressions: Vec<(Language, Vec<Placed>)>,
}

impl<'a> Expressions<'a> {
    pub(super) fn new() -> Self {
        Self { names: Once::new(), values: Once::new(), expressions: Vec::new() }
    }

    /// Adds an encoded expression.
    ///
    /// # Errors
    /// A validation error for what cannot be written as text.
    pub(super) fn add(&mut self, language: Language, code: &'a [u8]) -> Result<(), ApiError> {
        self.read(language, code).map(drop)
    }

    /// Adds an encoded projection; gives its paths in their order.
    ///
    /// # Errors
    /// A validation error for what cannot be written as text.
    pub(super) fn add_projection(&mut self, code: &'a [u8]) -> Result<Arc<[Path]>, ApiError> {
        self.read(Language::Projection, code).map(Arc::from)
    }

    fn read(&mut self, language: Language, code: &'a [u8]) -> Result<Vec<Path>, ApiError> {
        let invalid =
            |words: &str| ApiError::validation(format!("Invalid {}: {words}", language.parameter()));
        let read = code::read(code, language).map_err(|fault| invalid(&fault.0))?;
        let mut placed = Vec::with_capacity(read.pieces.len());
        for piece in read.pieces {
            placed.push(match piece {
                Piece::Text(text) => Piece::Text(text),
                Piece::Index(index) => Piece::Index(index),
                Piece::Name(name) => Piece::Name(self.names.meet(name)),
                Piece::Value(place) => {
                    let value = usize::try_from(place).ok().and_then(|place| read.values.get(place));
                    let value = value.ok_or_else(|| {
                        invalid(&format!(
                            "An expression attribute value used in expression is not defined; \
                             attribute value: :{place}"
                        ))
                    })?;
                    Piece::Value(self.values.meet(value))
                }
            });
        }
        self.expressions.push((language, placed));
        Ok(read.paths)
    }

    /// Writes the expressions and their placeholders as members of a request. `write_value` writes an encoded value as JSON.
    ///
    /// # Errors
    /// Those of `write_value`.
    pub(super) fn write(
        &self,
        request: &mut Object<'_>,
        mut write_value: impl FnMut(&'a [u8], &mut Vec<u8>) -> Result<(), ApiError>,
    ) -> Result<(), ApiError> {
        let values = self.values.words(|_| true);
        let (names, texts) = self.texts(&values);
        for ((language, _), text) in self.expressions.iter().zip(&texts) {
            request.text(language.parameter(), text);
        }
        if names.iter().any(Option::is_some) {
            let mut members = request.object("ExpressionAttributeNames");
            for (word, name) in names.iter().zip(self.names.iter()) {
                if let Some(word) = word {
                    members.text(&format!("#{word}"), name);
                }
            }
            members.end();
        }
        if !values.is_empty() {
            let mut members = request.object("ExpressionAttributeValues");
            for (word, value) in values.iter().flatten().zip(self.values.iter()) {
                write_value(value, members.member(&format!(":{word}")))?;
            }
            members.end();
        }
        Ok(())
    }

    /// The words of the placeholders of names, and the texts.
    ///
    /// Names are written as placeholders, whatever they are. Only where that makes a text too long are short names written as they
    /// are: the client's caller may have written them so.
    fn texts(&self, values: &[Option<String>]) -> (Vec<Option<String>>, Vec<String>) {
        let texts = |names: &[Option<String>]| -> Vec<String> {
            self.expressions.iter().map(|(_, pieces)| self.text(pieces, names, values)).collect()
        };
        let names = self.names.words(|_| true);
        let written = texts(&names);
        if written.iter().all(|text| text.len() <= TEXT_BYTES_MAX) {
            return (names, written);
        }
        let names = self.names.words(|name| !is_short(name));
        let written = texts(&names);
        (names, written)
    }

    fn text(&self, pieces: &[Placed], names: &[Option<String>], values: &[Option<String>]) -> String {
        let mut text = String::new();
        for piece in pieces {
            match piece {
                Piece::Text(word) => text.push_str(word),
                Piece::Index(index) => text.push_str(itoa::Buffer::new().format(*index)),
                Piece::Name(place) => match &names[*place] {
                    Some(word) => text.extend(["#", word]),
                    None => text.push_str(self.names.at(*place)),
                },
                Piece::Value(place) => text.extend([":", values[*place].as_deref().unwrap_or_default()]),
            }
        }
        text
    }
}

/// True for a name that may stand in an expression as it is and is no longer than a placeholder.
fn is_short(name: &str) -> bool {
    let is_word = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    name.len() <= 2
        && is_word
        && name.starts_with(|first: char| first.is_ascii_alphabetic())
        && !is_reserved(name)
}
