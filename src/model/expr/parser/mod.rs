//! Tokens to trees as written: grammar only, no names or values resolved.
//!
//! Nesting costs no stack here: open parentheses, calls and operators wait on a vector. What is nested deeper than any valid
//! expression could be becomes [`RawTest::TooDeep`] or [`RawOperand::TooDeep`], so that the trees are shallow enough to walk and to
//! drop.

mod syntax;

#[cfg(test)]
mod tests;

use super::lexer::{Keyword, Token, TokenKind, tokens};
use super::{OPERATORS_MAX, SIZE_BYTES_MAX};

pub use syntax::Comparator;
pub(super) use syntax::{
    RawAction, RawCall, RawOperand, RawPath, RawPiece, RawTest, RawValue, Section, SectionKind,
};

/// The words for an expression that is too large.
pub(super) const SIZE_EXCEEDED: &str = "Expression size has exceeded the maximum allowed size;";

/// Parses a condition, a filter or a key condition.
///
/// # Errors
/// The words that follow `Invalid …Expression: `.
pub(super) fn parse_condition(text: &str) -> Result<RawTest<'_>, String> {
    let mut parser = Parser::new(text)?;
    let condition = parser.expression(Wanted::Condition)?.into_test();
    let condition = condition.ok_or_else(|| parser.syntax_error())?;
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
    Call(RawCall<'t>),
    Not,
    And(Vec<RawTest<'t>>),
    Or(Vec<RawTest<'t>>),
    Compare(Comparator, RawOperand<'t>),
    BetweenLow(RawOperand<'t>),
    BetweenHigh(RawOperand<'t>, RawOperand<'t>),
    In {
        value: RawOperand<'t>,
        choices: Vec<RawOperand<'t>>,
    },
}

/// What has just been read.
struct Term<'t> {
    read: Read<'t>,
    in_parentheses: bool,
}

/// What a term is, as far as it shows.
enum Read<'t> {
    Test(RawTest<'t>),
    Operand(RawOperand<'t>),
    /// It may turn out to be either; `None` when it is too deep.
    Call(Option<RawCall<'t>>),
}

/// How reading goes on after a term.
enum Next<'t> {
    /// The term is part of a larger one that is now complete.
    Completed(Term<'t>),
    /// Another term begins here.
    Another,
    /// That was all.
    Done(Read<'t>),
}

impl<'t> Term<'t> {
    fn operand(operand: RawOperand<'t>) -> Self {
        Self { read: Read::Operand(operand), in_parentheses: false }
    }
}

impl<'t> Read<'t> {
    /// The term as a condition, if it may be one.
    fn into_test(self) -> Option<RawTest<'t>> {
        match self {
            Self::Test(test) => Some(test),
            Self::Call(call) => Some(call.map_or(RawTest::TooDeep, RawTest::Call)),
            Self::Operand(_) => None,
        }
    }

    /// The term as an operand, if it may be one.
    fn into_operand(self) -> Option<RawOperand<'t>> {
        match self {
            Self::Operand(operand) => Some(operand),
            Self::Call(call) => Some(call.map_or(RawOperand::TooDeep, RawOperand::Call)),
            Self::Test(_) => None,
        }
    }

    fn may_be_operand(&self) -> bool {
        matches!(self, Self::Operand(_) | Self::Call(_))
    }
}

impl<'t> Next<'t> {
    /// A condition that stands within those frames.
    fn test(frames: &[Frame<'t>], test: RawTest<'t>) -> Self {
        let test = if is_too_deep(frames) { RawTest::TooDeep } else { test };
        Self::Completed(Term { read: Read::Test(test), in_parentheses: false })
    }

    /// A call that stands within those frames.
    fn call(frames: &[Frame<'t>], call: RawCall<'t>) -> Self {
        let call = (!is_too_deep(frames)).then_some(call);
        Self::Completed(Term { read: Read::Call(call), in_parentheses: false })
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
    fn expression(&mut self, wanted: Wanted) -> Result<Read<'t>, String> {
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
                    Next::Done(read) => return Ok(read),
                }
            }
        }
    }

    /// Reads one operand, however nested.
    fn operand(&mut self) -> Result<RawOperand<'t>, String> {
        let operand = self.expression(Wanted::Operand)?.into_operand();
        operand.ok_or_else(|| self.syntax_error())
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
                    frames.push(Frame::Call(RawCall { function: token.text, arguments: Vec::new() }));
                }
                TokenKind::Name | TokenKind::NamePlaceholder => {
                    return Ok(Term::operand(RawOperand::Path(self.path()?)));
                }
                TokenKind::ValuePlaceholder => {
                    self.position += 1;
                    return Ok(Term::operand(RawOperand::Value(token.text)));
                }
                _ => return Err(self.syntax_error()),
            }
            self.position += 1;
        }
    }

    /// Goes on after a term where only an operand may stand.
    fn after_operand(&mut self, frames: &mut Vec<Frame<'t>>, term: Term<'t>) -> Result<Next<'t>, String> {
        let Some(frame) = frames.pop() else { return Ok(Next::Done(term.read)) };
        if let Frame::Group(_) = frame {
            self.expect(")")?;
            // Where nothing but an operand can stand, the service says so before it reads on.
            if term.in_parentheses {
                return Err(REDUNDANT_PARENTHESES.to_owned());
            }
            return Ok(Next::Completed(Term { in_parentheses: true, ..term }));
        }
        let operand = term.read.into_operand().ok_or_else(|| self.syntax_error())?;
        match frame {
            Frame::Compare(operator, left) => {
                Ok(Next::test(frames, RawTest::Compare { operator, left, right: operand }))
            }
            Frame::BetweenLow(value) => {
                if !self.take_keyword(Keyword::And) {
                    return Err(self.syntax_error());
                }
                frames.push(Frame::BetweenHigh(value, operand));
                Ok(Next::Another)
            }
            Frame::BetweenHigh(value, low) => {
                Ok(Next::test(frames, RawTest::Between { value, low, high: operand }))
            }
            Frame::In { value, mut choices } => {
                choices.push(operand);
                if self.take(",") {
                    frames.push(Frame::In { value, choices });
                    return Ok(Next::Another);
                }
                self.expect(")")?;
                Ok(Next::test(frames, RawTest::In { value, choices }))
            }
            Frame::Call(mut call) => {
                call.arguments.push(operand);
                if self.take(",") {
                    frames.push(Frame::Call(call));
                    return Ok(Next::Another);
                }
                self.expect(")")?;
                Ok(Next::call(frames, call))
            }
            Frame::Group(_) | Frame::Not | Frame::And(_) | Frame::Or(_) => Err(self.syntax_error()),
        }
    }

    /// Goes on after a term where a condition may stand, or the left operand of one.
    fn after_condition(&mut self, frames: &mut Vec<Frame<'t>>, term: Term<'t>) -> Result<Next<'t>, String> {
        if term.read.may_be_operand() && self.begin_comparison() {
            let left = term.read.into_operand().ok_or_else(|| self.syntax_error())?;
            return self.comparison(frames, left);
        }
        if frames.pop_if(|frame| matches!(frame, Frame::Group(_)) && self.next_is(")")).is_some() {
            self.position += 1;
            self.redundant_parentheses |= term.in_parentheses;
            return Ok(Next::Completed(Term { in_parentheses: true, ..term }));
        }
        let test = term.read.into_test().ok_or_else(|| self.syntax_error())?;
        match frames.pop() {
            Some(Frame::Not) => Ok(Next::test(frames, RawTest::Not(Box::new(test)))),
            Some(Frame::And(mut parts)) => {
                parts.push(test);
                if self.take_keyword(Keyword::And) {
                    frames.push(Frame::And(parts));
                    return Ok(Next::Another);
                }
                Ok(Next::test(frames, RawTest::And(parts)))
            }
            outer if self.take_keyword(Keyword::And) => {
                frames.extend(outer);
                frames.push(Frame::And(vec![test]));
                Ok(Next::Another)
            }
            Some(Frame::Or(mut parts)) => {
                parts.push(test);
                if self.take_keyword(Keyword::Or) {
                    frames.push(Frame::Or(parts));
                    return Ok(Next::Another);
                }
                Ok(Next::test(frames, RawTest::Or(parts)))
            }
            outer if self.take_keyword(Keyword::Or) => {
                frames.extend(outer);
                frames.push(Frame::Or(vec![test]));
                Ok(Next::Another)
            }
            None => Ok(Next::Done(Read::Test(test))),
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

    fn comparison(&mut self, frames: &mut Vec<Frame<'t>>, left: RawOperand<'t>) -> Result<Next<'t>, String> {
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
                RawValue::Plain(RawOperand::Value(token.text))
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
        let mut value = RawValue::Plain(self.operand()?);
        let mut in_parentheses = false;
        loop {
            let sign = self.peek();
            value = match value {
                RawValue::Plain(left) if sign.kind == TokenKind::Symbol && matches!(sign.text, "+" | "-") => {
                    self.position += 1;
                    in_parentheses = false;
                    let right = self.operand()?;
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
            Frame::Call(_)
            | Frame::Compare(..)
            | Frame::BetweenLow(_)
            | Frame::BetweenHigh(..)
            | Frame::In { .. },
        ) => Wanted::Operand,
    }
}

/// True for what would make a tree too deep. Every frame but a parenthesis is an operator, so a node below too many of them is
/// part of an expression that will be rejected for their number.
fn is_too_deep(frames: &[Frame<'_>]) -> bool {
    frames.len() > OPERATORS_MAX
        && frames.iter().filter(|frame| !matches!(frame, Frame::Group(_))).count() > OPERATORS_MAX
}
