//! The grammar of terms: literals, names, paths, calls, and what stands in brackets.

use super::{LOOSEST, NOT_PRECEDENCE, Parse, Parser, PathKind, malformed};
use crate::model::partiql::lexer::{Span, TokenKind};
use crate::model::partiql::syntax::*;

impl Parser {
    pub(super) fn unary_term(&mut self) -> Parse<Node> {
        let span = self.span();
        let mut times = 0;
        while self.take_keyword("not") {
            times += 1;
        }
        if times > 0 {
            let inner = Box::new(self.expression(NOT_PRECEDENCE)?);
            return Ok(Node { span, kind: NodeKind::Not { times, inner } });
        }
        self.signed_term()
    }

    /// A term behind any number of signs: of a number they are part, of all else an operation.
    fn signed_term(&mut self) -> Parse<Node> {
        let span = self.span();
        let mut first = None;
        let mut is_negative = false;
        while let Some(sign) = self.symbol_at(0).filter(|symbol| matches!(*symbol, "+" | "-")) {
            first.get_or_insert(sign);
            is_negative ^= sign == "-";
            self.advance(1);
        }
        let Some(first) = first else { return self.path_term(PathKind::Full) };
        // `NOT` may stand behind a sign, if only to be refused.
        let term = match self.keyword_at(0) {
            Some("not") => {
                self.descend()?;
                self.unary_term()?
            }
            _ => self.path_term(PathKind::Full)?,
        };
        match term.kind {
            NodeKind::Number(text) if is_negative => {
                Ok(Node { span: term.span, kind: NodeKind::Number(negated(text)) })
            }
            NodeKind::Number(_) => Ok(term),
            _ => Ok(Node { span, kind: NodeKind::Sign(first) }),
        }
    }

    pub(super) fn path_term(&mut self, path_kind: PathKind) -> Parse<Node> {
        let root = match (path_kind, self.kind()) {
            (PathKind::Full, _) => self.term()?,
            (PathKind::Simple, TokenKind::Name(name)) => {
                let root = Node { span: self.span(), kind: NodeKind::Name(name.clone()) };
                self.advance(1);
                root
            }
            (PathKind::Simple, _) => return Err(malformed("Expected identifier for simple path")),
        };
        let mut steps = Vec::new();
        loop {
            if self.take_symbol(".") {
                steps.push(self.dot_step(path_kind)?);
            } else if self.take_symbol("[") {
                steps.push(self.bracket_step(path_kind)?);
            } else if steps.is_empty() {
                return Ok(root);
            } else {
                return Ok(Node { span: root.span, kind: NodeKind::Path { root: Box::new(root), steps } });
            }
        }
    }

    fn dot_step(&mut self, path_kind: PathKind) -> Parse<PathStep> {
        let step = match (self.kind(), path_kind) {
            (TokenKind::Name(name), _) => PathStep::Member(name.clone()),
            (TokenKind::Symbol("*"), PathKind::Full) => PathStep::Unpivot,
            (TokenKind::Symbol("*"), PathKind::Simple) => {
                return Err(malformed("Invalid path dot component for simple path"));
            }
            _ => return Err(malformed("Invalid path dot component")),
        };
        self.advance(1);
        Ok(step)
    }

    fn bracket_step(&mut self, path_kind: PathKind) -> Parse<PathStep> {
        if path_kind == PathKind::Full && self.take_symbol("*") {
            self.expect_symbol("]", "RIGHT_BRACKET")?;
            return Ok(PathStep::Unpivot);
        }
        let index = self.expression(LOOSEST)?;
        self.expect_symbol("]", "RIGHT_BRACKET")?;
        let is_literal = matches!(index.kind, NodeKind::Number(_) | NodeKind::Text(_) | NodeKind::Name(_));
        if path_kind == PathKind::Simple && !is_literal {
            return Err(malformed("Invalid path component for simple path"));
        }
        Ok(PathStep::Bracket(index))
    }

    pub(super) fn term(&mut self) -> Parse<Node> {
        let span = self.span();
        let kind = match self.kind().clone() {
            TokenKind::Text(text) => NodeKind::Text(text),
            TokenKind::Number(text) => NodeKind::Number(text),
            TokenKind::Ion(text) => NodeKind::Ion(text),
            TokenKind::Parameter(index) => NodeKind::Parameter(index),
            TokenKind::Name(name) if self.symbol_at(1) == Some("(") => return self.call(&name),
            TokenKind::Name(name) => NodeKind::Name(name),
            TokenKind::Keyword(word) => return self.keyword_term(&word, span),
            TokenKind::Symbol(symbol) => return self.symbol_term(symbol, span),
            TokenKind::End => return Err(malformed("Unexpected term")),
        };
        self.advance(1);
        Ok(Node { span, kind })
    }

    fn symbol_term(&mut self, symbol: &str, span: Span) -> Parse<Node> {
        let unexpected = || malformed("Unexpected term");
        let kind = match symbol {
            "(" => return self.group(span),
            "[" => NodeKind::List(self.collection("]", "RIGHT_BRACKET")?),
            "<<" => NodeKind::Bag(self.collection(">>", "RIGHT_DOUBLE_ANGLE_BRACKET")?),
            "{" => NodeKind::Struct(self.members()?),
            "@" => {
                self.advance(1);
                let TokenKind::Name(name) = self.kind().clone() else {
                    return Err(malformed("Identifier must follow @-operator"));
                };
                self.advance(1);
                NodeKind::Name(name)
            }
            "*" | ")" | "]" | "}" | ">>" | "," | "." | ":" | ";" => return Err(unexpected()),
            _ => return Err(malformed("Unexpected operator")),
        };
        Ok(Node { span, kind })
    }

    /// Parentheses: around one expression nothing, around several a list.
    fn group(&mut self, span: Span) -> Parse<Node> {
        self.advance(1);
        let mut elements = self.comma_list()?;
        self.expect_symbol(")", "RIGHT_PAREN")?;
        match elements.len() {
            1 => Ok(elements.remove(0)),
            _ => Ok(Node { span, kind: NodeKind::List(elements) }),
        }
    }

    /// What stands between brackets, which are the next token and `close`.
    pub(super) fn collection(&mut self, close: &str, close_name: &str) -> Parse<Vec<Node>> {
        self.advance(1);
        if self.take_symbol(close) {
            return Ok(Vec::new());
        }
        let elements = self.comma_list()?;
        self.expect_symbol(close, close_name)?;
        Ok(elements)
    }

    pub(super) fn comma_list(&mut self) -> Parse<Vec<Node>> {
        let mut elements = vec![self.expression(LOOSEST)?];
        while self.take_symbol(",") {
            elements.push(self.expression(LOOSEST)?);
        }
        Ok(elements)
    }

    pub(super) fn members(&mut self) -> Parse<Vec<(Node, Node)>> {
        self.advance(1);
        let mut members = Vec::new();
        if self.take_symbol("}") {
            return Ok(members);
        }
        loop {
            let name = self.expression(LOOSEST)?;
            self.expect_symbol(":", "COLON")?;
            members.push((name, self.expression(LOOSEST)?));
            if !self.take_symbol(",") {
                break;
            }
        }
        self.expect_symbol("}", "RIGHT_CURLY")?;
        Ok(members)
    }

    /// A call; the next tokens are its name and the parenthesis.
    pub(super) fn call(&mut self, name: &str) -> Parse<Node> {
        let span = self.span();
        self.advance(2);
        let function = name.to_ascii_lowercase();
        if function == "count" && self.take_symbol("*") {
            self.expect_symbol(")", "RIGHT_PAREN")?;
            return Ok(Node { span, kind: NodeKind::Call { function, arguments: Vec::new() } });
        }
        let mut arguments = Vec::new();
        if !self.take_symbol(")") {
            arguments = self.comma_list()?;
            self.expect_symbol(")", "RIGHT_PAREN")?;
        }
        Ok(Node { span, kind: NodeKind::Call { function, arguments } })
    }

    fn keyword_term(&mut self, word: &str, span: Span) -> Parse<Node> {
        let kind = match word {
            "true" => NodeKind::Bool(true),
            "false" => NodeKind::Bool(false),
            "null" => NodeKind::Null,
            "missing" => NodeKind::Missing,
            "and" | "or" | "in" | "is" | "like" | "between" | "union" | "except" | "intersect" => {
                return Err(malformed("Unexpected operator"));
            }
            _ if is_function_keyword(word) && self.symbol_at(1) == Some("(") => return self.call(word),
            _ => return self.statement_term(word, span),
        };
        self.advance(1);
        Ok(Node { span, kind })
    }
}

/// A number as written, with its sign turned.
fn negated(text: String) -> String {
    match text.strip_prefix('-') {
        Some(rest) => rest.to_owned(),
        None => format!("-{text}"),
    }
}

/// Keywords that may be called like functions.
fn is_function_keyword(word: &str) -> bool {
    matches!(
        word,
        "exists"
            | "count"
            | "avg"
            | "max"
            | "min"
            | "sum"
            | "char_length"
            | "character_length"
            | "octet_length"
            | "bit_length"
            | "upper"
            | "lower"
            | "size"
            | "nullif"
            | "coalesce"
            | "sexp"
            | "list"
            | "bag"
            | "date_add"
            | "date_diff"
    )
}
