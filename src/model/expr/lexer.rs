//! Expression text to tokens. One lexer serves all expression languages: a keyword of one is a keyword in all.

/// What kind of token this is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// A letter, then letters, digits and underscores; no keyword.
    Name,
    /// A word with a meaning in the grammar, in any case.
    Keyword(Keyword),
    /// `#name`
    NamePlaceholder,
    /// `:value`
    ValuePlaceholder,
    /// Digits without a leading zero.
    Index,
    /// An operator, a bracket, or a character that no grammar has a use for.
    Symbol,
    /// The end of the text.
    End,
}

/// The words with a meaning in the grammar.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keyword {
    And,
    Or,
    Not,
    Between,
    In,
    Set,
    Remove,
    Add,
    Delete,
}

/// A piece of an expression.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Token<'t> {
    pub(super) kind: TokenKind,
    /// The piece as written.
    pub(super) text: &'t str,
    /// Where it begins, in bytes.
    pub(super) start: usize,
}

/// Cuts a text into tokens, the last of which is [`TokenKind::End`]. Every text has tokens; what makes no sense is left to
/// the parser to refuse.
pub(super) fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::with_capacity(text.len() / 4 + 2);
    let mut start = 0;
    while let Some(first) = text[start..].chars().next() {
        if matches!(first, ' ' | '\t' | '\r' | '\n') {
            start += 1;
            continue;
        }
        let (kind, length) = token_at(&text[start..], first);
        tokens.push(Token { kind, text: &text[start..start + length], start });
        start += length;
    }
    tokens.push(Token { kind: TokenKind::End, text: "<EOF>", start: text.len() });
    tokens
}

/// The kind and the length of the token that `rest` begins with.
fn token_at(rest: &str, first: char) -> (TokenKind, usize) {
    let word_bytes = |text: &str| text.bytes().take_while(|byte| is_word_byte(*byte)).count();
    match first {
        'a'..='z' | 'A'..='Z' => {
            let length = word_bytes(rest);
            let kind = keyword(&rest[..length]).map_or(TokenKind::Name, TokenKind::Keyword);
            (kind, length)
        }
        '#' | ':' => match word_bytes(&rest[1..]) {
            0 => (TokenKind::Symbol, 1),
            length if first == '#' => (TokenKind::NamePlaceholder, 1 + length),
            length => (TokenKind::ValuePlaceholder, 1 + length),
        },
        '0' => (TokenKind::Index, 1),
        '1'..='9' => (TokenKind::Index, rest.bytes().take_while(u8::is_ascii_digit).count()),
        '<' if rest[1..].starts_with(['=', '>']) => (TokenKind::Symbol, 2),
        '>' if rest[1..].starts_with('=') => (TokenKind::Symbol, 2),
        other => (TokenKind::Symbol, other.len_utf8()),
    }
}

fn is_word_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn keyword(word: &str) -> Option<Keyword> {
    const KEYWORDS: [(&str, Keyword); 9] = [
        ("AND", Keyword::And),
        ("OR", Keyword::Or),
        ("NOT", Keyword::Not),
        ("BETWEEN", Keyword::Between),
        ("IN", Keyword::In),
        ("SET", Keyword::Set),
        ("REMOVE", Keyword::Remove),
        ("ADD", Keyword::Add),
        ("DELETE", Keyword::Delete),
    ];
    KEYWORDS.iter().find(|(text, _)| word.eq_ignore_ascii_case(text)).map(|(_, keyword)| *keyword)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_where_its_tokens_end() {
        let cut = |text| tokens(text).iter().map(|token| token.text).collect::<Vec<_>>();
        for (text, expected) in [
            ("a.b[10]<>:v", "a . b [ 10 ] <> :v <EOF>"),
            ("#a-b", "#a - b <EOF>"),
            ("01", "0 1 <EOF>"),
            ("1e5", "1 e5 <EOF>"),
            ("_a", "_ a <EOF>"),
            ("a<=b>=c<d>e==f", "a <= b >= c < d > e = = f <EOF>"),
            ("#:é\u{a0}", "# : é \u{a0} <EOF>"),
            ("", "<EOF>"),
        ] {
            assert_eq!(cut(text), expected.split(' ').collect::<Vec<_>>(), "{text:?}");
        }
    }

    #[test]
    fn keywords_are_keywords_in_any_case_and_only_whole() {
        let first = |text| tokens(text)[0].kind;
        assert_eq!(first("bEtWeEn"), TokenKind::Keyword(Keyword::Between));
        assert_eq!(first("android"), TokenKind::Name);
        assert_eq!(first("#and"), TokenKind::NamePlaceholder);
    }
}
