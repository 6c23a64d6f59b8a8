//! Texts of policies: wildcards (`*`, `?`) and policy variables (`${aws:username}`).

use std::fmt;

/// A pattern that is matched with a whole text, byte for byte and in its case. `*` stands for any characters, `?` for one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Pattern(Form);

/// What most patterns are is matched without taking them apart.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Form {
    Any,
    Exact(Box<str>),
    Prefix(Box<str>),
    Pieces(Box<[Piece]>),
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Text(Box<str>),
    One,
    Run,
}

/// A text of a policy with its variables resolved: what stands in a variable is no wildcard.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Template(Vec<TemplatePiece>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum TemplatePiece {
    /// As written; `*` and `?` in it are wildcards where there are any.
    Written(String),
    /// As it is.
    Literal(String),
    /// The name of whoever has the policy.
    UserName,
}

/// What is wrong with a policy variable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum VariableError {
    /// It has no value here.
    Unknown(String),
    /// It has no end.
    Unclosed(String),
}

impl fmt::Display for VariableError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown(variable) => {
                write!(
                    formatter,
                    "the policy variable {variable} has no value here; only ${{aws:username}} has"
                )
            }
            Self::Unclosed(variable) => write!(
                formatter,
                "the policy variable {variable} has no closing brace; for the characters themselves write ${{$}}{{"
            ),
        }
    }
}

impl Template {
    /// A text without variables.
    pub(super) fn plain(text: &str) -> Self {
        Self(vec![TemplatePiece::Written(text.to_owned())])
    }

    /// Reads a text in which `${…}` stands for a variable, and `${*}`, `${?}` and `${$}` for the characters themselves.
    ///
    /// # Errors
    /// [`VariableError`] for every other variable, and for one that has no end.
    pub(super) fn parse(text: &str) -> Result<Self, VariableError> {
        let (mut pieces, mut rest) = (Vec::new(), text);
        while let Some((before, after)) = rest.split_once("${") {
            let Some((name, after)) = after.split_once('}') else {
                return Err(VariableError::Unclosed(format!("${{{after}")));
            };
            pieces.push(TemplatePiece::Written(before.to_owned()));
            pieces.push(match name {
                "*" | "?" | "$" => TemplatePiece::Literal(name.to_owned()),
                name if name.eq_ignore_ascii_case("aws:username") => TemplatePiece::UserName,
                name => return Err(VariableError::Unknown(format!("${{{name}}}"))),
            });
            rest = after;
        }
        pieces.push(TemplatePiece::Written(rest.to_owned()));
        Ok(Self(pieces))
    }

    /// True if a text holds a variable.
    pub(super) fn has_variable(text: &str) -> bool {
        text.split_once("${").is_some_and(|(_, rest)| rest.contains('}'))
    }

    /// True if `*` or `?` stands in it as written.
    pub(super) fn has_wildcards(&self) -> bool {
        self.0.iter().any(|piece| matches!(piece, TemplatePiece::Written(text) if text.contains(['*', '?'])))
    }

    /// True if it depends on who has the policy.
    pub(super) fn has_user_name(&self) -> bool {
        self.0.contains(&TemplatePiece::UserName)
    }

    /// The text, wildcards taken as they are.
    pub(super) fn text(&self, user_name: &str) -> String {
        let pieces = self.0.iter().map(|piece| match piece {
            TemplatePiece::Written(text) | TemplatePiece::Literal(text) => text.as_str(),
            TemplatePiece::UserName => user_name,
        });
        pieces.collect()
    }

    /// The pattern.
    pub(super) fn pattern(&self, user_name: &str) -> Pattern {
        let mut pieces = Vec::new();
        for piece in &self.0 {
            match piece {
                TemplatePiece::Written(text) => push_wildcards(text, &mut pieces),
                TemplatePiece::Literal(text) => push_text(text, &mut pieces),
                TemplatePiece::UserName => push_text(user_name, &mut pieces),
            }
        }
        Pattern::of_pieces(pieces)
    }

    /// The parts between the first `count - 1` separators and the rest, where a separator is one as written.
    pub(super) fn splitn(&self, count: usize, separator: char) -> Vec<Self> {
        let mut parts = vec![Self::default()];
        for piece in &self.0 {
            let TemplatePiece::Written(text) = piece else {
                parts.last_mut().expect("there is a part").0.push(piece.clone());
                continue;
            };
            let left = count - parts.len() + 1;
            for (index, part) in text.splitn(left, separator).enumerate() {
                if index > 0 {
                    parts.push(Self::default());
                }
                let last = parts.last_mut().expect("there is a part");
                last.0.push(TemplatePiece::Written(part.to_owned()));
            }
        }
        parts
    }
}

fn push_text(text: &str, pieces: &mut Vec<Piece>) {
    match pieces.last_mut() {
        _ if text.is_empty() => {}
        Some(Piece::Text(before)) => *before = format!("{before}{text}").into(),
        _ => pieces.push(Piece::Text(text.into())),
    }
}

fn push_wildcards(text: &str, pieces: &mut Vec<Piece>) {
    let mut rest = text;
    while let Some(at) = rest.find(['*', '?']) {
        push_text(&rest[..at], pieces);
        match rest.as_bytes()[at] {
            b'?' => pieces.push(Piece::One),
            // Two runs beside each other are one.
            _ if pieces.last() == Some(&Piece::Run) => {}
            _ => pieces.push(Piece::Run),
        }
        rest = &rest[at + 1..];
    }
    push_text(rest, pieces);
}

impl Pattern {
    /// A pattern as written, without variables.
    pub(super) fn glob(text: &str) -> Self {
        Template::plain(text).pattern("")
    }

    /// Matches anything.
    pub(super) fn any() -> Self {
        Self(Form::Any)
    }

    fn of_pieces(mut pieces: Vec<Piece>) -> Self {
        Self(match pieces.as_mut_slice() {
            [] => Form::Exact("".into()),
            [Piece::Run] => Form::Any,
            [Piece::Text(text)] => Form::Exact(std::mem::take(text)),
            [Piece::Text(text), Piece::Run] => Form::Prefix(std::mem::take(text)),
            _ => Form::Pieces(pieces.into()),
        })
    }

    /// What every text that matches begins with, and whether that is all of it.
    pub(super) fn head(&self) -> (&str, bool) {
        match &self.0 {
            Form::Any => ("", false),
            Form::Exact(exact) => (exact, true),
            Form::Prefix(prefix) => (prefix, false),
            Form::Pieces(pieces) => match pieces.first() {
                Some(Piece::Text(text)) => (text, false),
                _ => ("", false),
            },
        }
    }

    pub(super) fn is_any(&self) -> bool {
        self.0 == Form::Any
    }

    /// True if the whole text matches.
    #[inline]
    pub(super) fn matches(&self, text: &str) -> bool {
        match &self.0 {
            Form::Any => true,
            Form::Exact(exact) => **exact == *text,
            Form::Prefix(prefix) => text.starts_with(&**prefix),
            Form::Pieces(pieces) => matches_pieces(pieces, text),
        }
    }
}

/// Matches with one step back: to the last run, which takes one more character. Quadratic at worst, and never exponential.
fn matches_pieces(pieces: &[Piece], text: &str) -> bool {
    let (mut piece, mut rest) = (0, text);
    let mut run: Option<(usize, &str)> = None;
    loop {
        let next = match pieces.get(piece) {
            Some(Piece::Run) => {
                run = Some((piece + 1, rest));
                piece += 1;
                continue;
            }
            Some(Piece::Text(literal)) => rest.strip_prefix(&**literal),
            Some(Piece::One) => without_first(rest),
            None if rest.is_empty() => return true,
            None => None,
        };
        match (next, run) {
            (Some(next), _) => {
                rest = next;
                piece += 1;
            }
            (None, Some((after, from))) => {
                let Some(from) = without_first(from) else { return false };
                run = Some((after, from));
                (piece, rest) = (after, from);
            }
            (None, None) => return false,
        }
    }
}

fn without_first(text: &str) -> Option<&str> {
    let mut characters = text.chars();
    characters.next().map(|_| characters.as_str())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// The rule itself, exponential as it is.
    fn matches_slowly(pattern: &[char], text: &[char]) -> bool {
        match (pattern, text) {
            ([], []) => true,
            (['*', rest @ ..], _) => (0..=text.len()).any(|skipped| matches_slowly(rest, &text[skipped..])),
            (['?', pattern @ ..], [_, text @ ..]) => matches_slowly(pattern, text),
            ([one, pattern @ ..], [other, text @ ..]) if one == other => matches_slowly(pattern, text),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_as_its_rule_says(pattern in "[ab*?é]{0,7}", text in "[abé]{0,8}") {
            let slowly = matches_slowly(&pattern.chars().collect::<Vec<_>>(), &text.chars().collect::<Vec<_>>());
            prop_assert_eq!(Pattern::glob(&pattern).matches(&text), slowly);
        }
    }

    #[test]
    fn a_pattern_of_many_runs_ends() {
        let pattern = Pattern::glob(&"*a".repeat(200));
        assert!(!pattern.matches(&"a".repeat(199)));
        assert!(pattern.matches(&"ba".repeat(300)));
    }

    #[test]
    fn what_a_variable_stands_for_is_no_wildcard() {
        let template = Template::parse("u-${aws:username}-${*}*").unwrap();
        assert_eq!(template.text("a*"), "u-a*-**");
        let pattern = template.pattern("a*");
        assert!(pattern.matches("u-a*-*x"));
        assert!(!pattern.matches("u-ab-*x") && !pattern.matches("u-a*-x"));
    }

    #[test]
    fn a_variable_without_a_value_is_named() {
        let unknown = Template::parse("${aws:PrincipalTag/team}").unwrap_err();
        assert_eq!(
            unknown.to_string(),
            "the policy variable ${aws:PrincipalTag/team} has no value here; only ${aws:username} has"
        );
        assert_eq!(
            Template::parse("a-${aws:username").unwrap_err().to_string(),
            "the policy variable ${aws:username has no closing brace; for the characters themselves write ${$}{"
        );
        assert_eq!(Template::parse("a${$}{b").unwrap().text(""), "a${b");
    }

    #[test]
    fn a_name_with_a_separator_is_in_one_part() {
        let parts = Template::parse("a:${aws:username}*:c:d").unwrap().splitn(3, ':');
        let texts: Vec<_> = parts.iter().map(|part| part.text("x:y")).collect();
        assert_eq!(texts, ["a", "x:y*", "c:d"]);
    }
}
