//! PartiQL's grammar: tokens to a tree, or the service's words for where it breaks.
//!
//! The service's parser looks at one token at a time and complains of the first that does not fit, so the order in which
//! things are tried here decides the words. Expressions are parsed by precedence; nesting is bounded.

use super::lexer::{Span, Token, TokenKind, tokens};
use super::syntax::*;
use crate::model::ApiError;
use crate::model::expr::Comparator;

mod statement;
mod term;

pub(super) use statement::ONE_SOURCE;

/// How deeply expressions may nest. Values end at 32 levels, so this only bounds parentheses, signs, `NOT`s and operators in a
/// row other than `AND` and `OR`.
const DEPTH_MAX: usize = 64;

/// What binds less tightly than any operator.
const LOOSEST: u8 = 0;
/// Above `UNION` and its like, which join whole `SELECT`s.
const WITHIN_SELECT: u8 = 6;
const NOT_PRECEDENCE: u8 = 30;

/// A statement as written.
#[derive(Debug)]
pub(super) struct Parsed {
    pub(super) node: Node,
    /// How many `?` it has.
    pub(super) parameters: usize,
}

/// Parses a statement.
///
/// # Errors
/// The service's own for what is no statement.
pub(super) fn parse(text: &str) -> Result<Parsed, ApiError> {
    let tokens = tokens(text).map_err(|_| malformed(""))?;
    let parameters = tokens.iter().filter(|token| matches!(token.kind, TokenKind::Parameter(_))).count();
    let mut parser = Parser { tokens, position: 0, depth: 0 };
    let node = parser.expression(LOOSEST)?;
    if parser.take_symbol(";") && !parser.is_at_end() {
        return Err(malformed("Unexpected token after semicolon. (Only one query is allowed.)"));
    }
    if !parser.is_at_end() {
        return Err(malformed("Unexpected token after expression"));
    }
    Ok(Parsed { node, parameters })
}

/// The words for a statement that breaks the grammar.
pub(super) fn malformed(detail: &str) -> ApiError {
    ApiError::validation(format!("Statement wasn't well formed, can't be processed: {detail}"))
}

type Parse<T> = Result<T, ApiError>;

struct Parser {
    tokens: Vec<Token>,
    position: usize,
    depth: usize,
}

/// An operator between two operands.
#[derive(Clone, Copy)]
enum Operator {
    And,
    Or,
    Compare(Comparator),
    Between,
    In,
    Is,
    Infix(&'static str),
}

/// An operator at hand: which one, how tightly it binds, whether it is negated, and how many tokens it has.
struct Found {
    operator: Operator,
    precedence: u8,
    is_negated: bool,
    tokens: usize,
}

/// What a path may be made of.
#[derive(Clone, Copy, PartialEq, Eq)]
enum PathKind {
    /// Of any expression.
    Full,
    /// Of names and literals: the target of a write.
    Simple,
}

impl Parser {
    fn kind(&self) -> &TokenKind {
        self.kind_at(0)
    }

    /// The kind of the token that many places ahead.
    fn kind_at(&self, ahead: usize) -> &TokenKind {
        let last = self.tokens.len() - 1;
        &self.tokens[(self.position + ahead).min(last)].kind
    }

    fn span(&self) -> Span {
        self.tokens[self.position].span
    }

    fn advance(&mut self, tokens: usize) {
        self.position = (self.position + tokens).min(self.tokens.len() - 1);
    }

    fn is_at_end(&self) -> bool {
        *self.kind() == TokenKind::End
    }

    /// True when nothing follows but perhaps the semicolon that ends a statement.
    fn is_at_end_of_statement(&self) -> bool {
        self.is_at_end() || (self.symbol_at(0) == Some(";") && *self.kind_at(1) == TokenKind::End)
    }

    fn keyword_at(&self, ahead: usize) -> Option<&str> {
        match self.kind_at(ahead) {
            TokenKind::Keyword(word) => Some(word),
            _ => None,
        }
    }

    fn symbol_at(&self, ahead: usize) -> Option<&'static str> {
        match self.kind_at(ahead) {
            TokenKind::Symbol(symbol) => Some(symbol),
            _ => None,
        }
    }

    fn take_symbol(&mut self, symbol: &str) -> bool {
        let found = self.symbol_at(0) == Some(symbol);
        self.advance(usize::from(found));
        found
    }

    fn take_keyword(&mut self, word: &str) -> bool {
        let found = self.keyword_at(0) == Some(word);
        self.advance(usize::from(found));
        found
    }

    fn expect_symbol(&mut self, symbol: &str, token_name: &str) -> Parse<()> {
        match self.take_symbol(symbol) {
            true => Ok(()),
            false => Err(malformed(&format!("Expected {token_name}"))),
        }
    }

    /// Counts one more level of nesting. The caller takes it off again, but not after an error, which ends the parsing.
    fn descend(&mut self) -> Parse<()> {
        if self.depth == DEPTH_MAX {
            return Err(malformed(""));
        }
        self.depth += 1;
        Ok(())
    }

    /// An expression of operators that bind more tightly than `precedence`.
    fn expression(&mut self, precedence: u8) -> Parse<Node> {
        let depth = self.depth;
        self.descend()?;
        let mut left = self.unary_term()?;
        while let Some(found) = self.operator().filter(|found| found.precedence > precedence) {
            if !matches!(found.operator, Operator::And | Operator::Or) {
                // Operators in a row nest to the left.
                self.descend()?;
            }
            let span = self.span();
            self.advance(found.tokens);
            let kind = self.right_side(left, &found)?;
            left = Node { span, kind };
            if found.is_negated {
                left = Node { span, kind: NodeKind::Not { times: 1, inner: Box::new(left) } };
            }
        }
        self.depth = depth;
        Ok(left)
    }

    /// The operator that comes next, if one does.
    fn operator(&self) -> Option<Found> {
        let found = |operator, precedence, tokens| Found { operator, precedence, is_negated: false, tokens };
        if let Some(symbol) = self.symbol_at(0) {
            let (operator, precedence) = match symbol {
                "=" => (Operator::Compare(Comparator::Equal), 40),
                "<>" => (Operator::Compare(Comparator::NotEqual), 40),
                "<" => (Operator::Compare(Comparator::Less), 50),
                "<=" => (Operator::Compare(Comparator::LessOrEqual), 50),
                ">" => (Operator::Compare(Comparator::Greater), 50),
                ">=" => (Operator::Compare(Comparator::GreaterOrEqual), 50),
                "+" | "-" | "||" => (Operator::Infix(symbol), 60),
                "*" | "/" | "%" => (Operator::Infix(symbol), 70),
                _ => return None,
            };
            return Some(found(operator, precedence, 1));
        }
        let is_negated = self.keyword_at(0) == Some("not");
        let word = self.keyword_at(usize::from(is_negated))?;
        let mut found = match word {
            "between" => found(Operator::Between, 50, 1),
            "in" => found(Operator::In, 40, 1),
            "like" => found(Operator::Infix("like"), 50, 1),
            _ if is_negated => return None,
            "and" => found(Operator::And, 20, 1),
            "or" => found(Operator::Or, 10, 1),
            "is" if self.keyword_at(1) == Some("not") => {
                Found { is_negated: true, ..found(Operator::Is, 40, 2) }
            }
            "is" => found(Operator::Is, 40, 1),
            "union" => found(Operator::Infix("union"), 5, self.with_all()),
            "except" => found(Operator::Infix("except"), 5, self.with_all()),
            "intersect" => found(Operator::Infix("intersect"), 5, self.with_all()),
            _ => return None,
        };
        if is_negated {
            found.is_negated = true;
            found.tokens = 2;
        }
        Some(found)
    }

    fn with_all(&self) -> usize {
        1 + usize::from(self.keyword_at(1) == Some("all"))
    }

    /// What stands behind an operator, joined with what stands before it.
    fn right_side(&mut self, left: Node, found: &Found) -> Parse<NodeKind> {
        let value = Box::new(left);
        match found.operator {
            Operator::And => {
                let right = self.operand(found)?;
                Ok(NodeKind::And(match value.kind {
                    NodeKind::And(mut parts) => {
                        parts.push(right);
                        parts
                    }
                    _ => vec![*value, right],
                }))
            }
            Operator::Or => {
                let right = self.operand(found)?;
                Ok(NodeKind::Or(match value.kind {
                    NodeKind::Or(mut parts) => {
                        parts.push(right);
                        parts
                    }
                    _ => vec![*value, right],
                }))
            }
            Operator::Compare(operator) => {
                let right = Box::new(self.operand(found)?);
                Ok(NodeKind::Compare { operator, left: value, right })
            }
            Operator::Infix(symbol) => {
                let right = Box::new(self.operand(found)?);
                if symbol == "like" && self.take_keyword("escape") {
                    self.operand(found)?;
                }
                Ok(NodeKind::Infix { symbol, left: value, right })
            }
            Operator::Between => {
                let low = Box::new(self.operand(found)?);
                if !self.take_keyword("and") {
                    return Err(malformed("Expected AND keyword"));
                }
                if self.is_at_end_of_statement() {
                    return Err(malformed("Expected expression after AND"));
                }
                let high = Box::new(self.expression(found.precedence)?);
                Ok(NodeKind::Between { value, low, high })
            }
            Operator::In => {
                let choices = Box::new(self.choices(found)?);
                Ok(NodeKind::In { value, choices })
            }
            Operator::Is => Ok(NodeKind::Is { value, type_name: self.type_name()? }),
        }
    }

    fn operand(&mut self, found: &Found) -> Parse<Node> {
        if self.is_at_end_of_statement() {
            return Err(malformed("Missing right-hand side expression of infix operator"));
        }
        self.expression(found.precedence)
    }

    /// What stands behind `IN`: a parenthesis is a list there, even of one.
    fn choices(&mut self, found: &Found) -> Parse<Node> {
        let is_list =
            self.symbol_at(0) == Some("(") && !matches!(self.keyword_at(1), Some("select" | "values"));
        if !is_list {
            return self.operand(found);
        }
        let span = self.span();
        self.advance(1);
        let elements = self.comma_list()?;
        self.expect_symbol(")", "RIGHT_PAREN")?;
        Ok(Node { span, kind: NodeKind::List(elements) })
    }

    fn type_name(&mut self) -> Parse<&'static str> {
        let unknown = || malformed("Expected type name");
        let word = match self.kind() {
            TokenKind::Keyword(word) => word.clone(),
            TokenKind::Name(name) => name.to_ascii_lowercase(),
            _ => return Err(unknown()),
        };
        let (name, tokens) = match (word.as_str(), self.keyword_at(1)) {
            ("double", Some("precision")) => ("DOUBLE_PRECISION", 2),
            ("character" | "char", Some("varying")) => ("CHARACTER_VARYING", 2),
            (word, _) => (type_named(word).ok_or_else(unknown)?, 1),
        };
        self.advance(tokens);
        if self.take_symbol("(") {
            self.comma_list()?;
            self.expect_symbol(")", "RIGHT_PAREN")?;
        }
        Ok(name)
    }
}

/// A type's name as the service's errors spell it.
fn type_named(word: &str) -> Option<&'static str> {
    Some(match word {
        "missing" => "MISSING",
        "null" => "NULL",
        "boolean" | "bool" => "BOOLEAN",
        "smallint" | "int2" | "integer2" => "SMALLINT",
        "int4" | "integer4" => "INTEGER4",
        "int8" | "integer8" | "bigint" => "INTEGER8",
        "integer" | "int" => "INTEGER",
        "float" => "FLOAT",
        "real" => "REAL",
        "decimal" | "dec" => "DECIMAL",
        "numeric" => "NUMERIC",
        "timestamp" => "TIMESTAMP",
        "date" => "DATE",
        "time" => "TIME",
        "character" | "char" => "CHARACTER",
        "varchar" => "CHARACTER_VARYING",
        "string" => "STRING",
        "symbol" => "SYMBOL",
        "clob" => "CLOB",
        "blob" => "BLOB",
        "struct" => "STRUCT",
        "tuple" => "TUPLE",
        "list" => "LIST",
        "sexp" => "SEXP",
        "bag" => "BAG",
        "any" => "ANY",
        _ => return None,
    })
}
