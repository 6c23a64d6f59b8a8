//! PartiQL's tokens, each with the place where it stands.

use std::fmt;

use super::decimal::{DecimalFault, check_decimal};
use super::keywords::is_keyword;

/// Where a piece of a statement stands, as the service's errors say it: `1:8:5`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Span {
    /// From 1.
    line: u32,
    /// In characters, from 1.
    column: u32,
    /// In characters.
    length: u32,
}

impl fmt::Display for Span {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}:{}", self.line, self.column, self.length)
    }
}

/// A piece of a statement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub(super) kind: TokenKind,
    pub(super) span: Span,
}

/// What a piece is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A name as written, bare or in double quotes.
    Name(String),
    /// A keyword in lower case.
    Keyword(String),
    /// What stands between single quotes.
    Text(String),
    /// A number as written, without a sign.
    Number(String),
    /// What stands between back quotes: a literal of Amazon Ion.
    Ion(String),
    /// `?`, and which one it is, from 0.
    Parameter(usize),
    /// Punctuation and operators.
    Symbol(&'static str),
    /// What follows the last piece.
    End,
}

/// A text that cannot be cut into tokens. The service says no more of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// Longer ones first, so that none hides behind its own beginning.
const SYMBOLS: [&str; 28] = [
    "<<", ">>", "<=", ">=", "<>", "!=", "||", "(", ")", "[", "]", "{", "}", ",", ".", ":", ";", "=", "<",
    ">", "+", "-", "*", "/", "%", "@", "^", "?",
];

/// Cuts a statement into its tokens; the last is always [`TokenKind::End`].
///
/// # Errors
/// [`Unreadable`] for a character that begins nothing, a literal or comment without an end, and a number that runs into a
/// word.
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Unreadable> {
    let mut lexer = Lexer { rest: text, line: 1, column: 1, parameters: 0 };
    let mut tokens = Vec::new();
    loop {
        lexer.skip_blanks()?;
        let token = lexer.token()?;
        let is_end = token.kind == TokenKind::End;
        tokens.push(token);
        if is_end {
            return Ok(tokens);
        }
    }
}

struct Lexer<'t> {
    rest: &'t str,
    line: u32,
    column: u32,
    parameters: usize,
}

impl<'t> Lexer<'t> {
    /// Takes that many bytes, which end at a character's end.
    fn take(&mut self, bytes: usize) -> &'t str {
        let (taken, rest) = self.rest.split_at(bytes);
        for character in taken.chars() {
            if character == '\n' {
                self.line += 1;
                self.column = 1;
            } else {
                self.column += 1;
            }
        }
        self.rest = rest;
        taken
    }

    /// Skips white space and comments.
    fn skip_blanks(&mut self) -> Result<(), Unreadable> {
        loop {
            let blank = self.rest.bytes().take_while(|byte| b" \t\r\n\x0b\x0c".contains(byte)).count();
            self.take(blank);
            if self.rest.starts_with("--") {
                self.take(self.rest.find('\n').unwrap_or(self.rest.len()));
            } else if self.rest.starts_with("/*") {
                let end = self.rest[2..].find("*/").ok_or(Unreadable)?;
                self.take(end + 4);
            } else if blank == 0 {
                return Ok(());
            }
        }
    }

    fn token(&mut self) -> Result<Token, Unreadable> {
        let (line, column) = (self.line, self.column);
        let before = self.rest;
        let kind = self.kind()?;
        let taken = &before[..before.len() - self.rest.len()];
        let length = u32::try_from(taken.chars().count()).unwrap_or(u32::MAX);
        Ok(Token { kind, span: Span { line, column, length } })
    }

    fn kind(&mut self) -> Result<TokenKind, Unreadable> {
        let Some(first) = self.rest.chars().next() else { return Ok(TokenKind::End) };
        match first {
            '\'' => self.quoted('\'').map(TokenKind::Text),
            '"' => self.quoted('"').map(TokenKind::Name),
            '`' => match self.quoted('`')? {
                text if is_balanced(&text) => Ok(TokenKind::Ion(text)),
                _ => Err(Unreadable),
            },
            '0'..='9' => self.number(),
            '.' if self.rest[1..].starts_with(|next: char| next.is_ascii_digit()) => self.number(),
            first if is_word_start(first) => {
                let length = self.rest.bytes().take_while(|byte| is_word_part(*byte)).count();
                let word = self.take(length);
                let lower = word.to_ascii_lowercase();
                Ok(if is_keyword(&lower) {
                    TokenKind::Keyword(lower)
                } else {
                    TokenKind::Name(word.to_owned())
                })
            }
            _ => self.symbol(),
        }
    }

    /// What stands between quotes; a doubled quote is one that does not end it.
    fn quoted(&mut self, quote: char) -> Result<String, Unreadable> {
        let mut text = String::new();
        self.take(1);
        loop {
            let end = self.rest.find(quote).ok_or(Unreadable)?;
            text.push_str(self.take(end));
            self.take(1);
            if !self.rest.starts_with(quote) {
                return Ok(text);
            }
            self.take(1);
            text.push(quote);
        }
    }

    fn number(&mut self) -> Result<TokenKind, Unreadable> {
        let digits = |text: &str| text.bytes().take_while(u8::is_ascii_digit).count();
        let mut length = digits(self.rest);
        if self.rest[length..].starts_with('.') {
            length += 1 + digits(&self.rest[length + 1..]);
        }
        if self.rest[length..].starts_with(['e', 'E']) {
            length += 1;
            length += usize::from(self.rest[length..].starts_with(['+', '-']));
            length += digits(&self.rest[length..]);
        }
        let text = self.take(length).to_owned();
        let runs_on = self.rest.bytes().next().is_some_and(is_word_part);
        let is_unreadable = check_decimal(&text) == Err(DecimalFault::Unreadable);
        if runs_on || is_unreadable { Err(Unreadable) } else { Ok(TokenKind::Number(text)) }
    }

    fn symbol(&mut self) -> Result<TokenKind, Unreadable> {
        let symbol = SYMBOLS.iter().find(|symbol| self.rest.starts_with(**symbol)).ok_or(Unreadable)?;
        self.take(symbol.len());
        match *symbol {
            "?" => {
                self.parameters += 1;
                Ok(TokenKind::Parameter(self.parameters - 1))
            }
            "^" => Err(Unreadable),
            // Two spellings of one operator.
            "!=" => Ok(TokenKind::Symbol("<>")),
            symbol => Ok(TokenKind::Symbol(symbol)),
        }
    }
}

/// True when every bracket of an Ion literal is closed by its like, as far as they are not within strings.
fn is_balanced(ion: &str) -> bool {
    let mut open = Vec::new();
    let mut string_end = None;
    let mut characters = ion.chars();
    while let Some(character) = characters.next() {
        match (character, string_end) {
            ('\\', Some(_)) => drop(characters.next()),
            (character, Some(end)) if character == end => string_end = None,
            (_, Some(_)) => {}
            ('"' | '\'', None) => string_end = Some(character),
            ('{', None) => open.push('}'),
            ('[', None) => open.push(']'),
            ('(', None) => open.push(')'),
            ('}' | ']' | ')', None) if open.pop() != Some(character) => return false,
            _ => {}
        }
    }
    open.is_empty() && string_end.is_none()
}

fn is_word_start(character: char) -> bool {
    character.is_ascii_alphabetic() || character == '_' || character == '$'
}

fn is_word_part(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'$'
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cut(text: &str) -> Vec<String> {
        let tokens = tokens(text).unwrap();
        let texts = tokens.iter().map(|token| match &token.kind {
            TokenKind::Name(name) => format!("name {name}"),
            TokenKind::Keyword(word) => word.to_uppercase(),
            TokenKind::Text(text) => format!("text {text}"),
            TokenKind::Number(number) => number.clone(),
            TokenKind::Ion(text) => format!("ion {text}"),
            TokenKind::Parameter(index) => format!("?{index}"),
            TokenKind::Symbol(symbol) => (*symbol).to_owned(),
            TokenKind::End => "end".to_owned(),
        });
        texts.collect()
    }

    #[test]
    fn a_statement_is_cut_where_its_tokens_end() {
        assert_eq!(
            cut("Select a.\"b\"\"c\"[0]!=?<<'it''s', .5e+1>>--x\n/* y */>=?`1`"),
            [
                "SELECT",
                "name a",
                ".",
                "name b\"c",
                "[",
                "0",
                "]",
                "<>",
                "?0",
                "<<",
                "text it's",
                ",",
                ".5e+1",
                ">>",
                ">=",
                "?1",
                "ion 1",
                "end"
            ]
        );
        assert_eq!(cut("n-1>-5."), ["name n", "-", "1", ">", "-", "5.", "end"]);
    }

    #[test]
    fn places_are_counted_in_characters_and_lines() {
        let places: Vec<String> =
            tokens("'é' =\n  \"ab\"").unwrap().iter().map(|token| token.span.to_string()).collect();
        assert_eq!(places, ["1:1:3", "1:5:1", "2:3:4", "2:7:0"]);
    }

    #[test]
    fn what_is_no_token_is_unreadable() {
        for text in [
            "#",
            "a ! b",
            "'open",
            "\"open",
            "/* open",
            "`{{{`",
            "`[1)`",
            "`\"open`",
            "5a",
            "1e",
            "1e2147483648",
            "1.5e-2147483647",
            "|",
            "é",
        ] {
            assert_eq!(tokens(text), Err(Unreadable), "{text}");
        }
        assert!(tokens("1e2147483647 1e-2147483647").is_ok());
    }
}
