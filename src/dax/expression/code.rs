//! Reads the protocol's trees of expressions into the pieces of their text.
//!
//! A tree's nodes come in the order of their text but for the operators between operands, so no tree is built. What nests is bounded
//! by the number of operators, and everything else by the number of pieces: both are DynamoDB's own limits on the text.

use std::borrow::Cow;

use crate::dax::cbor::{Malformed, Members, Reader};
use crate::model::expr::{Path, Step};

use super::pieces::{Language, OPERATORS_MAX, Piece, Pieces, TEXT_BYTES_MAX};

/// The words that follow `Invalid …Expression: `.
pub(super) type Words = Cow<'static, str>;

/// The words for what no client encodes.
const MALFORMED: Words = Cow::Borrowed("Syntax error; the encoded expression is malformed");

/// The only format of expressions.
const FORMAT: i64 = 1;

/// The tag on an index in a path.
const INDEX_TAG: u64 = 3324;

/// How deep arrays and maps may stand in one another inside of a value. DynamoDB takes 32 levels; this only bounds what is held
/// while a value is measured.
const VALUE_DEPTH_MAX: usize = 256;

impl From<Malformed> for Fault {
    fn from(_: Malformed) -> Self {
        Self(MALFORMED)
    }
}

/// Why a tree cannot be written as text.
#[derive(Debug)]
pub(super) struct Fault(pub(super) Words);

/// What a node is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// An operator between two operands.
    Compare(&'static str),
    And,
    Or,
    Not,
    Between,
    In,
    /// A function of any number of operands: DynamoDB checks how many, and where functions may stand.
    Call(&'static str),
    Value,
    Path,
    Section(Section),
    /// `+` or `-`
    Sign(&'static str),
}

/// The sections of an update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Section {
    Set,
    Add,
    Delete,
    Remove,
}

/// The kinds by their codes, from 0 on. Mind that `>=` comes before `<=`.
const KINDS: [Kind; 27] = [
    Kind::Compare("="),
    Kind::Compare("<>"),
    Kind::Compare("<"),
    Kind::Compare(">="),
    Kind::Compare(">"),
    Kind::Compare("<="),
    Kind::And,
    Kind::Or,
    Kind::Not,
    Kind::Between,
    Kind::In,
    Kind::Call("attribute_exists"),
    Kind::Call("attribute_not_exists"),
    Kind::Call("attribute_type"),
    Kind::Call("begins_with"),
    Kind::Call("contains"),
    Kind::Call("size"),
    Kind::Value,
    Kind::Path,
    Kind::Section(Section::Set),
    Kind::Section(Section::Add),
    Kind::Section(Section::Delete),
    Kind::Section(Section::Remove),
    Kind::Call("if_not_exists"),
    Kind::Call("list_append"),
    Kind::Sign("+"),
    Kind::Sign("-"),
];

impl Kind {
    /// The words for a node of this kind where none may stand.
    fn misplaced(self) -> Fault {
        let token = match self {
            Self::Compare(text) | Self::Call(text) | Self::Sign(text) => text,
            Self::And => "AND",
            Self::Or => "OR",
            Self::Not => "NOT",
            Self::Between => "BETWEEN",
            Self::In => "IN",
            Self::Section(section) => section.keyword().trim_end(),
            // The text would end where a comparison is missing.
            Self::Value | Self::Path => "<EOF>",
        };
        Fault(format!("Syntax error; token: \"{token}\"").into())
    }
}

impl Section {
    fn keyword(self) -> &'static str {
        match self {
            Self::Set => "SET ",
            Self::Add => "ADD ",
            Self::Delete => "DELETE ",
            Self::Remove => "REMOVE ",
        }
    }
}

/// What a condition is a part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Outer {
    Nothing,
    And,
    Or,
    Not,
}

/// A node whose code has been read.
struct Node {
    kind: Kind,
    operands: Members,
}

/// Reads one expression.
pub(super) fn read(code: &[u8], language: Language) -> Result<Pieces<'_>, Fault> {
    let mut tree = Tree {
        reader: Reader::new(code),
        read: Pieces { pieces: Vec::new(), values: Vec::new(), paths: Vec::new() },
        operators: 0,
        pieces_max: TEXT_BYTES_MAX,
    };
    let mut envelope = tree.reader.array()?;
    tree.next(&mut envelope)?;
    if tree.reader.int_64()? != FORMAT {
        return Err(Fault("the format of the encoded expression is not supported".into()));
    }
    tree.next(&mut envelope)?;
    match language {
        Language::Condition | Language::Filter | Language::KeyCondition => tree.condition(Outer::Nothing)?,
        Language::Projection => tree.projection()?,
        Language::Update => tree.update()?,
    }
    if envelope.next(&mut tree.reader)? {
        tree.values()?;
        tree.end(&mut envelope)?;
    }
    tree.reader.end()?;
    Ok(tree.read)
}

struct Tree<'a> {
    reader: Reader<'a>,
    read: Pieces<'a>,
    operators: usize,
    /// How many names, values and operators more the text can have: each takes at least one byte of it.
    pieces_max: usize,
}

impl<'a> Tree<'a> {
    fn text(&mut self, text: &'static str) {
        self.read.pieces.push(Piece::Text(text));
    }

    /// Counts a piece of at least one byte.
    fn count(&mut self) -> Result<(), Fault> {
        self.pieces_max = self
            .pieces_max
            .checked_sub(1)
            .ok_or(Fault("Expression size has exceeded the maximum allowed size;".into()))?;
        Ok(())
    }

    fn count_operator(&mut self) -> Result<(), Fault> {
        self.operators += 1;
        if self.operators > OPERATORS_MAX {
            // The service stops counting at the first that is too many.
            let words =
                format!("The expression contains too many operators; operator count: {}", OPERATORS_MAX + 1);
            return Err(Fault(words.into()));
        }
        self.count()
    }

    /// Goes on to an element that must be there.
    fn next(&mut self, members: &mut Members) -> Result<(), Fault> {
        if members.next(&mut self.reader)? { Ok(()) } else { Err(Fault(MALFORMED)) }
    }

    /// Checks that no element is left.
    fn end(&mut self, members: &mut Members) -> Result<(), Fault> {
        if members.next(&mut self.reader)? { Err(Fault(MALFORMED)) } else { Ok(()) }
    }

    fn node(&mut self) -> Result<Node, Fault> {
        let mut operands = self.reader.array()?;
        self.next(&mut operands)?;
        let code = usize::try_from(self.reader.int_64()?).map_err(|_| Fault(MALFORMED))?;
        let kind = *KINDS.get(code).ok_or(Fault(MALFORMED))?;
        if !matches!(kind, Kind::Value | Kind::Path | Kind::Section(_)) {
            self.count_operator()?;
        }
        Ok(Node { kind, operands })
    }

    /// A condition that is a part of `outer`.
    fn condition(&mut self, outer: Outer) -> Result<(), Fault> {
        let mut node = self.node()?;
        match node.kind {
            Kind::And => self.joined(&mut node, " AND ", Outer::And, outer == Outer::Not)?,
            Kind::Or => {
                self.joined(&mut node, " OR ", Outer::Or, matches!(outer, Outer::And | Outer::Not))?;
            }
            Kind::Not => {
                self.text("NOT ");
                self.next(&mut node.operands)?;
                self.condition(Outer::Not)?;
            }
            Kind::Compare(operator) => self.operands(&mut node, &["", operator])?,
            Kind::Between => self.operands(&mut node, &["", " BETWEEN ", " AND "])?,
            Kind::In => {
                self.operands(&mut node, &["", " IN ("])?;
                return self.end(&mut node.operands);
            }
            Kind::Call(function) => return self.call(node, function),
            Kind::Value | Kind::Path | Kind::Section(_) | Kind::Sign(_) => return Err(node.kind.misplaced()),
        }
        self.end(&mut node.operands)
    }

    /// Two conditions with a word between them. Those that are joined in the same way need no parentheses.
    fn joined(
        &mut self,
        node: &mut Node,
        word: &'static str,
        inner: Outer,
        has_parentheses: bool,
    ) -> Result<(), Fault> {
        if has_parentheses {
            self.text("(");
        }
        self.next(&mut node.operands)?;
        self.condition(inner)?;
        self.text(word);
        self.next(&mut node.operands)?;
        self.condition(inner)?;
        if has_parentheses {
            self.text(")");
        }
        Ok(())
    }

    /// An operand behind each of the words; behind `IN` a list of them.
    fn operands(&mut self, node: &mut Node, words: &[&'static str]) -> Result<(), Fault> {
        for word in words {
            self.text(word);
            self.next(&mut node.operands)?;
            if *word == " IN (" {
                let mut choices = self.reader.array()?;
                self.list(&mut choices)?;
            } else {
                self.operand()?;
            }
        }
        Ok(())
    }

    /// Operands to the end of an array, and the parenthesis behind them.
    fn list(&mut self, operands: &mut Members) -> Result<(), Fault> {
        let mut comma = "";
        while operands.next(&mut self.reader)? {
            self.text(comma);
            self.operand()?;
            comma = ",";
        }
        self.text(")");
        Ok(())
    }

    fn call(&mut self, mut node: Node, function: &'static str) -> Result<(), Fault> {
        self.text(function);
        self.text("(");
        self.list(&mut node.operands)
    }

    fn operand(&mut self) -> Result<(), Fault> {
        let node = self.node()?;
        self.operand_of(node)
    }

    fn operand_of(&mut self, mut node: Node) -> Result<(), Fault> {
        match node.kind {
            Kind::Path => self.path(node.operands).map(drop),
            Kind::Value => {
                self.count()?;
                self.next(&mut node.operands)?;
                let place = u64::try_from(self.reader.int_64()?).map_err(|_| Fault(MALFORMED))?;
                self.read.pieces.push(Piece::Value(place));
                self.end(&mut node.operands)
            }
            Kind::Call(function) => self.call(node, function),
            Kind::Compare(_)
            | Kind::And
            | Kind::Or
            | Kind::Not
            | Kind::Between
            | Kind::In
            | Kind::Section(_)
            | Kind::Sign(_) => Err(node.kind.misplaced()),
        }
    }

    /// The segments of a path. Names may hold anything, dots among it, and are never written as they are.
    fn path(&mut self, mut segments: Members) -> Result<Path, Fault> {
        self.next(&mut segments)?;
        self.count()?;
        let root = self.reader.text()?;
        self.read.pieces.push(Piece::Name(root));
        let mut path = Path::attribute(root);
        while segments.next(&mut self.reader)? {
            self.count()?;
            path.steps.push(self.step()?);
        }
        Ok(path)
    }

    fn step(&mut self) -> Result<Step, Fault> {
        let Ok(tag) = self.reader.tag() else {
            self.text(".");
            let name = self.reader.text()?;
            self.read.pieces.push(Piece::Name(name));
            return Ok(Step::Member(name.to_owned()));
        };
        if tag != INDEX_TAG {
            return Err(Fault(MALFORMED));
        }
        let index = u64::try_from(self.reader.int_64()?).map_err(|_| Fault(MALFORMED))?;
        self.text("[");
        self.read.pieces.push(Piece::Index(index));
        self.text("]");
        Ok(Step::Element(usize::try_from(index).unwrap_or(usize::MAX)))
    }

    fn projection(&mut self) -> Result<(), Fault> {
        let mut paths = self.reader.array()?;
        while paths.next(&mut self.reader)? {
            if !self.read.paths.is_empty() {
                self.text(",");
            }
            let node = self.node()?;
            if node.kind != Kind::Path {
                return Err(node.kind.misplaced());
            }
            let path = self.path(node.operands)?;
            self.read.paths.push(path);
        }
        Ok(())
    }

    /// The actions of all sections, in the order in which they were written. Actions of one section that stand side by side are
    /// written as one: whether the caller named the section twice cannot be seen of them. One that is named again behind another
    /// section is written again, for DynamoDB to reject.
    fn update(&mut self) -> Result<(), Fault> {
        let mut actions = self.reader.array()?;
        let mut before = None;
        while actions.next(&mut self.reader)? {
            let node = self.node()?;
            let Kind::Section(section) = node.kind else { return Err(node.kind.misplaced()) };
            self.count()?;
            if before == Some(section) {
                self.text(",");
            } else {
                self.text(if before.is_some() { " " } else { "" });
                self.text(section.keyword());
            }
            self.action(section, node.operands)?;
            before = Some(section);
        }
        Ok(())
    }

    fn action(&mut self, section: Section, mut operands: Members) -> Result<(), Fault> {
        self.next(&mut operands)?;
        self.operand()?;
        match section {
            Section::Set => {
                self.text("=");
                self.next(&mut operands)?;
                self.new_value()?;
            }
            Section::Add | Section::Delete => {
                self.text(" ");
                self.next(&mut operands)?;
                self.operand()?;
            }
            Section::Remove => {}
        }
        self.end(&mut operands)
    }

    /// The right side of a `SET`: an operand, or two with a sign between them.
    fn new_value(&mut self) -> Result<(), Fault> {
        let mut node = self.node()?;
        let Kind::Sign(sign) = node.kind else { return self.operand_of(node) };
        self.operands(&mut node, &["", sign])?;
        self.end(&mut node.operands)
    }

    fn values(&mut self) -> Result<(), Fault> {
        let mut values = self.reader.array()?;
        while values.next(&mut self.reader)? {
            // Each is referred to, and some of the references may be to the same one.
            self.count()?;
            let value = self.reader.item(VALUE_DEPTH_MAX)?;
            self.read.values.push(value);
        }
        Ok(())
    }
}
