//! Tokens to trees as written: grammar only, no names or values resolved.
//!
//! Nesting costs no stack here: open parentheses, calls and operators wait on a vector. What is nested deeper than any valid
//! expression could be becomes [`Node::TooDeep`], so that the trees are shallow enough to walk and to drop.

#[cfg(test)]
mod tests;

use super::lexer::{Keyword, Token, TokenKind, tokens};
use super::{OPERATORS_MAX, SIZE_BYTES_MAX};

/// The words for an expression that is too large.
pub(super) const SIZE_EXCEEDED: &str = "Expression size has exceeded the maximum allowed size;";

/// A part of a condition, or an operand, as written.
#[derive(Debug)]
pub(super) enum Node<'t> {
    Path(RawPath<'t>),
    /// `:value`
    Value(&'t str),
    Call {
        function: &'t str,
        arguments: Vec<Node<'t>>,
    },
    Compare {
        operator: Comparator,
        left: Box<Node<'t>>,
        right: Box<Node<'t>>,
    },
    Between {
        value: Box<Node<'t>>,
        low: Box<Node<'t>>,
        high: Box<Node<'t>>,
    },
    In {
        value: Box<Node<'t>>,
        choices: Vec<Node<'t>>,
    },
    Not(Box<Node<'t>>),
    /// At least two.
    And(Vec<Node<'t>>),
    /// At least two.
    Or(Vec<Node<'t>>),
    /// Stands for what lies below more operators than an expression may have.
    TooDeep,
}

/// A document path as written; its first piece is a name or a placeholder.
#[derive(Debug)]
pub(super) struct RawPath<'t> {
    pub(super) pieces: Vec<RawPiece<'t>>,
}

/// A piece of a document path.
#[derive(Clone, Copy, Debug)]
pub(super) enum RawPiece<'t> {
    Name(&'t str),
    /// `#name`
    Placeholder(&'t str),
    /// The digits between brackets.
    Index(&'t str),
}

/// The comparison operators.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Comparator {
    /// `=`
    Equal,
    /// `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
}

impl Comparator {
    /// The operator as written.
    pub fn symbol(self) -> &'static str {
        match self {
            Self::Equal => "=",
            Self::NotEqual => "<>",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
        }
    }

    /// The operator that says the same when its sides are exchanged.
    #[must_use]
    pub fn turned(self) -> Self {
        match self {
            Self::Equal | Self::NotEqual => self,
            Self::Less => Self::Greater,
            Self::LessOrEqual => Self::GreaterOrEqual,
            Self::Greater => Self::Less,
            Self::GreaterOrEqual => Self::LessOrEqual,
        }
    }

    fn from_symbol(symbol: &str) -> Option<Self> {
        match symbol {
            "=" => Some(Self::Equal),
            "<>" => Some(Self::NotEqual),
            "<" => Some(Self::Less),
            "<=" => Some(Self::LessOrEqual),
            ">" => Some(Self::Greater),
            ">=" => Some(Self::GreaterOrEqual),
            _ => None,
        }
    }
}

/// A section of an update expression.
#[derive(Debug)]
pub(super) struct Section<'t> {
    pub(super) kind: SectionKind,
    /// At least one.
    pub(super) actions: Vec<RawAction<'t>>,
}

/// The sections that an update expression may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum SectionKind {
    Set,
    Remove,
    Add,
    Delete,
}

/// What an update expression does to one path.
#[derive(Debug)]
pub(super) struct RawAction<'t> {
    pub(super) path: RawPath<'t>,
    pub(super) value: RawValue<'t>,
}

/// The right side of an action.
#[derive(Debug)]
pub(super) enum RawValue<'t> {
    /// `REMOVE` has none.
    None,
    Plain(Node<'t>),
    Sum(Node<'t>, Node<'t>),
    Difference(Node<'t>, Node<'t>),
}

/// Parses a condition, a filter or a key condition.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn parse_condition(text: &str) -> Result<Node<'_>, String> {
    let mut parser = Parser::new(text)?;
    let condition = parser.expression(Wanted::Condition)?;
    parser.finish()?;
    Ok(condition)
}

/// Parses a projection.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn parse_paths(text: &str) -> Result<Vec<RawPath<'_>>, String> {
    let mut parser = Parser::new(text)?;
    let mut paths = vec![parser.path()?];
    while parser.take(",") {
        paths.push(parser.path()?);
    }
    parser.finish()?;
    Ok(paths)
}

/// Parses an update.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn parse_update(text: &str) -> Result<Vec<Section<'_>>, String> {
    let mut parser = Parser::new(text)?;
    let mut sections = Vec::new();
    while sections.is_empty() || parser.peek().kind != TokenKind::End {
        sections.push(parser.section()?);
    }
    parser.finish()?;
    Ok(sections)
}

const REDUNDANT_PARENTHESES: &str = "The expression has redundant parentheses;";

struct Parser<'t> {
    text: &'t str,
    tokens: Vec<Token<'t>>,
    position: usize,
    /// Found on the way; told only when the whole text is grammatical.
    redundant_parentheses: bool,
}

/// What may stand at a place.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Wanted {
    Condition,
    Operand,
}

/// What waits for the end of what is being read.
enum Frame<'t> {
    /// An open parenthesis, and what may stand within.
    Group(Wanted),
    Call {
        function: &'t str,
        arguments: Vec<Node<'t>>,
    },
    Not,
    And(Vec<Node<'t>>),
    Or(Vec<Node<'t>>),
    Compare(Comparator, Node<'t>),
    BetweenLow(Node<'t>),
    BetweenHigh(Node<'t>, Node<'t>),
    In {
        value: Node<'t>,
        choices: Vec<Node<'t>>,
    },
}

/// What has just been read.
struct Term<'t> {
    node: Node<'t>,
    /// A call may turn out to be either.
    may_be_operand: bool,
    may_be_condition: bool,
    in_parentheses: bool,
}

/// How reading goes on after a term.
enum Next<'t> {
    /// The term is part of a larger one that is now complete.
    Completed(Term<'t>),
    /// Another term begins here.
    Another,
    /// That was all.
    Done(Node<'t>),
}

impl<'t> Term<'t> {
    fn operand(node: Node<'t>) -> Self {
        Self { node, may_be_operand: true, may_be_condition: false, in_parentheses: false }
    }

    fn condition(node: Node<'t>) -> Self {
        Self { node, may_be_operand: false, may_be_condition: true, in_parentheses: false }
    }

    fn call(node: Node<'t>) -> Self {
        Self { node, may_be_operand: true, may_be_condition: true, in_parentheses: false }
    }
}

impl<'t> Parser<'t> {
    fn new(text: &'t str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("The expression can not be empty;".to_owned());
        }
        if text.len() > SIZE_BYTES_MAX {
            return Err(SIZE_EXCEEDED.to_owned());
        }
        Ok(Self { text, tokens: tokens(text), position: 0, redundant_parentheses: false })
    }

    fn finish(&self) -> Result<(), String> {
        if self.peek().kind != TokenKind::End {
            return Err(self.syntax_error());
        }
        if self.redundant_parentheses {
            return Err(REDUNDANT_PARENTHESES.to_owned());
        }
        Ok(())
    }

    /// The token at hand; the end repeats itself.
    fn peek(&self) -> Token<'t> {
        self.token(self.position)
    }

    fn token(&self, position: usize) -> Token<'t> {
        let last = self.tokens.len() - 1;
        self.tokens[position.min(last)]
    }

    fn next(&mut self) -> Token<'t> {
        let token = self.peek();
        self.position += 1;
        token
    }

    fn next_is(&self, symbol: &str) -> bool {
        let token = self.peek();
        token.kind == TokenKind::Symbol && token.text == symbol
    }

    fn take(&mut self, symbol: &str) -> bool {
        let found = self.next_is(symbol);
        self.position += usize::from(found);
        found
    }

    fn take_keyword(&mut self, keyword: Keyword) -> bool {
        let found = self.peek().kind == TokenKind::Keyword(keyword);
        self.position += usize::from(found);
        found
    }

    fn expect(&mut self, symbol: &str) -> Result<(), String> {
        if self.take(symbol) { Ok(()) } else { Err(self.syntax_error()) }
    }

    /// The words for a token that cannot stand where it stands: the token, and the text from the one before it to the one
    /// after it.
    fn syntax_error(&self) -> String {
        let token = self.peek();
        let from = self.position.min(self.tokens.len() - 1).checked_sub(1);
        let from = from.map_or(0, |previous| self.tokens[previous].start);
        let after = self.token(self.position + 1);
        let to = match after.kind {
            TokenKind::End => self.text.len(),
            _ => after.start + after.text.len(),
        };
        format!("Syntax error; token: \"{}\", near: \"{}\"", token.text, &self.text[from..to])
    }

    /// Reads one condition or operand, however nested.
    fn expression(&mut self, wanted: Wanted) -> Result<Node<'t>, String> {
        let mut frames = Vec::new();
        loop {
            let mut term = self.begin(&mut frames, wanted)?;
            loop {
                let next = match wanted_within(&frames, wanted) {
                    Wanted::Operand => self.after_operand(&mut frames, term)?,
                    Wanted::Condition => self.after_condition(&mut frames, term)?,
                };
                match next {
                    Next::Completed(larger) => term = larger,
                    Next::Another => break,
                    Next::Done(node) => return Ok(node),
                }
            }
        }
    }

    /// Reads what stands before a path or a value, and then that.
    fn begin(&mut self, frames: &mut Vec<Frame<'t>>, outermost: Wanted) -> Result<Term<'t>, String> {
        loop {
            let wanted = wanted_within(frames, outermost);
            let token = self.peek();
            match token.kind {
                TokenKind::Symbol if token.text == "(" => frames.push(Frame::Group(wanted)),
                TokenKind::Keyword(Keyword::Not) if wanted == Wanted::Condition => frames.push(Frame::Not),
                TokenKind::Name if self.token(self.position + 1).text == "(" => {
                    self.position += 1;
                    frames.push(Frame::Call { function: token.text, arguments: Vec::new() });
                }
                TokenKind::Name | TokenKind::NamePlaceholder => {
                    return Ok(Term::operand(Node::Path(self.path()?)));
                }
                TokenKind::ValuePlaceholder => {
                    self.position += 1;
                    return Ok(Term::operand(Node::Value(token.text)));
                }
                _ => return Err(self.syntax_error()),
            }
            self.position += 1;
        }
    }

    /// Goes on after a term where only an operand may stand.
    fn after_operand(&mut self, frames: &mut Vec<Frame<'t>>, term: Term<'t>) -> Result<Next<'t>, String> {
        let Some(frame) = frames.pop() else { return Ok(Next::Done(term.node)) };
        match frame {
            Frame::Compare(operator, left) => {
                let (left, right) = (Box::new(left), Box::new(term.node));
                let node = within_limits(frames, Node::Compare { operator, left, right });
                Ok(Next::Completed(Term::condition(node)))
            }
            Frame::BetweenLow(value) => {
                if !self.take_keyword(Keyword::And) {
                    return Err(self.syntax_error());
                }
                frames.push(Frame::BetweenHigh(value, term.node));
                Ok(Next::Another)
            }
            Frame::BetweenHigh(value, low) => {
                let (value, low, high) = (Box::new(value), Box::new(low), Box::new(term.node));
                let node = within_limits(frames, Node::Between { value, low, high });
                Ok(Next::Completed(Term::condition(node)))
            }
            Frame::In { value, mut choices } => {
                choices.push(term.node);
                if self.take(",") {
                    frames.push(Frame::In { value, choices });
                    return Ok(Next::Another);
                }
                self.expect(")")?;
                let node = within_limits(frames, Node::In { value: Box::new(value), choices });
                Ok(Next::Completed(Term::condition(node)))
            }
            Frame::Call { function, mut arguments } => {
                arguments.push(term.node);
                if self.take(",") {
                    frames.push(Frame::Call { function, arguments });
                    return Ok(Next::Another);
                }
                self.expect(")")?;
                let node = within_limits(frames, Node::Call { function, arguments });
                Ok(Next::Completed(Term::call(node)))
            }
            Frame::Group(_) => {
                self.expect(")")?;
                // Where nothing but an operand can stand, the service says so before it reads on.
                if term.in_parentheses {
                    return Err(REDUNDANT_PARENTHESES.to_owned());
                }
                Ok(Next::Completed(Term { in_parentheses: true, ..term }))
            }
            Frame::Not | Frame::And(_) | Frame::Or(_) => Err(self.syntax_error()),
        }
    }

    /// Goes on after a term where a condition may stand, or the left operand of one.
    fn after_condition(&mut self, frames: &mut Vec<Frame<'t>>, term: Term<'t>) -> Result<Next<'t>, String> {
        if term.may_be_operand && self.begin_comparison() {
            return self.comparison(frames, term.node);
        }
        if !term.may_be_condition && !matches!(frames.last(), Some(Frame::Group(_))) {
            return Err(self.syntax_error());
        }
        match frames.pop() {
            Some(Frame::Not) => {
                let node = within_limits(frames, Node::Not(Box::new(term.node)));
                Ok(Next::Completed(Term::condition(node)))
            }
            Some(Frame::Group(_)) if self.take(")") => {
                self.redundant_parentheses |= term.in_parentheses;
                Ok(Next::Completed(Term { in_parentheses: true, ..term }))
            }
            Some(Frame::And(mut parts)) => {
                parts.push(term.node);
                if self.take_keyword(Keyword::And) {
                    frames.push(Frame::And(parts));
                    return Ok(Next::Another);
                }
                let node = within_limits(frames, Node::And(parts));
                Ok(Next::Completed(Term::condition(node)))
            }
            outer if term.may_be_condition && self.take_keyword(Keyword::And) => {
                frames.extend(outer);
                frames.push(Frame::And(vec![term.node]));
                Ok(Next::Another)
            }
            Some(Frame::Or(mut parts)) => {
                parts.push(term.node);
                if self.take_keyword(Keyword::Or) {
                    frames.push(Frame::Or(parts));
                    return Ok(Next::Another);
                }
                let node = within_limits(frames, Node::Or(parts));
                Ok(Next::Completed(Term::condition(node)))
            }
            outer if term.may_be_condition && self.take_keyword(Keyword::Or) => {
                frames.extend(outer);
                frames.push(Frame::Or(vec![term.node]));
                Ok(Next::Another)
            }
            None => Ok(Next::Done(term.node)),
            Some(_) => Err(self.syntax_error()),
        }
    }

    fn begin_comparison(&self) -> bool {
        let token = self.peek();
        match token.kind {
            TokenKind::Symbol => Comparator::from_symbol(token.text).is_some(),
            TokenKind::Keyword(Keyword::Between | Keyword::In) => true,
            _ => false,
        }
    }

    fn comparison(&mut self, frames: &mut Vec<Frame<'t>>, left: Node<'t>) -> Result<Next<'t>, String> {
        let token = self.next();
        match Comparator::from_symbol(token.text) {
            Some(operator) => frames.push(Frame::Compare(operator, left)),
            None if token.kind == TokenKind::Keyword(Keyword::Between) => {
                frames.push(Frame::BetweenLow(left))
            }
            None => {
                self.expect("(")?;
                frames.push(Frame::In { value: left, choices: Vec::new() });
            }
        }
        Ok(Next::Another)
    }

    fn path(&mut self) -> Result<RawPath<'t>, String> {
        let mut pieces = vec![self.path_name()?];
        loop {
            if self.take(".") {
                pieces.push(self.path_name()?);
            } else if self.take("[") {
                let index = self.peek();
                if index.kind != TokenKind::Index {
                    return Err(self.syntax_error());
                }
                self.position += 1;
                self.expect("]")?;
                pieces.push(RawPiece::Index(index.text));
            } else {
                return Ok(RawPath { pieces });
            }
        }
    }

    fn path_name(&mut self) -> Result<RawPiece<'t>, String> {
        let token = self.peek();
        let piece = match token.kind {
            TokenKind::Name => RawPiece::Name(token.text),
            TokenKind::NamePlaceholder => RawPiece::Placeholder(token.text),
            _ => return Err(self.syntax_error()),
        };
        self.position += 1;
        Ok(piece)
    }

    fn section(&mut self) -> Result<Section<'t>, String> {
        let kind = match self.peek().kind {
            TokenKind::Keyword(Keyword::Set) => SectionKind::Set,
            TokenKind::Keyword(Keyword::Remove) => SectionKind::Remove,
            TokenKind::Keyword(Keyword::Add) => SectionKind::Add,
            TokenKind::Keyword(Keyword::Delete) => SectionKind::Delete,
            _ => return Err(self.syntax_error()),
        };
        self.position += 1;
        let mut actions = vec![self.action(kind)?];
        while self.take(",") {
            actions.push(self.action(kind)?);
        }
        Ok(Section { kind, actions })
    }

    fn action(&mut self, kind: SectionKind) -> Result<RawAction<'t>, String> {
        let path = self.path()?;
        let value = match kind {
            SectionKind::Set => {
                self.expect("=")?;
                self.set_value()?
            }
            SectionKind::Remove => RawValue::None,
            SectionKind::Add | SectionKind::Delete => {
                let token = self.peek();
                if token.kind != TokenKind::ValuePlaceholder {
                    return Err(self.syntax_error());
                }
                self.position += 1;
                RawValue::Plain(Node::Value(token.text))
            }
        };
        Ok(RawAction { path, value })
    }

    /// Reads the right side of a `SET`: an operand, or two with a sign between them. Parentheses may stand around an operand
    /// and around the whole; which of them opened only shows when they close.
    fn set_value(&mut self) -> Result<RawValue<'t>, String> {
        let mut open = 0;
        while self.take("(") {
            open += 1;
        }
        let mut value = RawValue::Plain(self.expression(Wanted::Operand)?);
        let mut in_parentheses = false;
        loop {
            let sign = self.peek();
            value = match value {
                RawValue::Plain(left) if sign.kind == TokenKind::Symbol && matches!(sign.text, "+" | "-") => {
                    self.position += 1;
                    in_parentheses = false;
                    let right = self.expression(Wanted::Operand)?;
                    if sign.text == "+" {
                        RawValue::Sum(left, right)
                    } else {
                        RawValue::Difference(left, right)
                    }
                }
                value if open > 0 && self.take(")") => {
                    open -= 1;
                    self.redundant_parentheses |= in_parentheses;
                    in_parentheses = true;
                    value
                }
                value if open == 0 => return Ok(value),
                _ => return Err(self.syntax_error()),
            };
        }
    }
}

fn wanted_within(frames: &[Frame<'_>], outermost: Wanted) -> Wanted {
    match frames.last() {
        None => outermost,
        Some(Frame::Group(wanted)) => *wanted,
        Some(Frame::Not | Frame::And(_) | Frame::Or(_)) => Wanted::Condition,
        Some(
            Frame::Call { .. }
            | Frame::Compare(..)
            | Frame::BetweenLow(_)
            | Frame::BetweenHigh(..)
            | Frame::In { .. },
        ) => Wanted::Operand,
    }
}

/// Keeps a tree shallow. Every frame but a parenthesis is an operator, so a node below too many of them is part of an
/// expression that will be refused for their number.
fn within_limits<'t>(frames: &[Frame<'t>], node: Node<'t>) -> Node<'t> {
    if frames.len() <= OPERATORS_MAX {
        return node;
    }
    let operators = frames.iter().filter(|frame| !matches!(frame, Frame::Group(_))).count();
    if operators > OPERATORS_MAX { Node::TooDeep } else { node }
}
