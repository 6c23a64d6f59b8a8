//! A statement as written: the tree that the parser gives.
//!
//! The grammar admits more than the service runs. What it does not run is kept as far as its errors speak of it.

use super::lexer::Span;
use crate::model::expr::Comparator;

/// An expression, and the place of the token that names it: its operator, its function, its first bracket.
#[derive(Clone, Debug)]
pub(super) struct Node {
    pub(super) span: Span,
    pub(super) kind: NodeKind,
}

/// What an expression is.
#[derive(Clone, Debug)]
pub(super) enum NodeKind {
    Text(String),
    /// As written, with the signs before it applied.
    Number(String),
    Bool(bool),
    Null,
    Missing,
    Ion(String),
    Name(String),
    /// Begins with anything at all; only a name has a meaning.
    Path {
        root: Box<Node>,
        steps: Vec<PathStep>,
    },
    /// `?`, counted from 0.
    Parameter(usize),
    List(Vec<Node>),
    Bag(Vec<Node>),
    Struct(Vec<(Node, Node)>),
    /// A call, its name in lower case.
    Call {
        function: String,
        arguments: Vec<Node>,
    },
    /// As many `NOT`s as that in a row.
    Not {
        times: usize,
        inner: Box<Node>,
    },
    And(Vec<Node>),
    Or(Vec<Node>),
    Compare {
        operator: Comparator,
        left: Box<Node>,
        right: Box<Node>,
    },
    Between {
        value: Box<Node>,
        low: Box<Node>,
        high: Box<Node>,
    },
    In {
        value: Box<Node>,
        choices: Box<Node>,
    },
    Is {
        value: Box<Node>,
        /// In the spelling of the service's errors.
        type_name: &'static str,
    },
    /// Any other operator between two operands.
    Infix {
        symbol: &'static str,
        left: Box<Node>,
        right: Box<Node>,
    },
    /// A sign before what is no number.
    Sign(&'static str),
    /// `CASE …`, which the grammar has and the service has not.
    Case {
        /// True when conditions are its branches, and not values of one expression.
        is_searched: bool,
    },
    Select(Box<RawSelect>),
    Change(Box<RawChange>),
    /// `SET` or `REMOVE` of no table, which only the grammar has.
    ChangeOfNothing,
}

/// A step of a path.
#[derive(Clone, Debug)]
pub(super) enum PathStep {
    /// `.name`
    Member(String),
    /// `.*`
    Unpivot,
    /// `[…]`
    Bracket(Node),
}

/// A `SELECT`.
#[derive(Clone, Debug)]
pub(super) struct RawSelect {
    pub(super) is_distinct: bool,
    pub(super) list: RawList,
    pub(super) source: RawSource,
    pub(super) condition: Option<Node>,
    pub(super) order: Vec<RawOrder>,
    /// A clause that the service does not run, in its words.
    pub(super) unsupported: Option<String>,
}

/// What a `SELECT` selects.
#[derive(Clone, Debug)]
pub(super) enum RawList {
    /// `*`
    Everything,
    /// `VALUE …`
    Value,
    Columns(Vec<RawColumn>),
}

/// One column.
#[derive(Clone, Debug)]
pub(super) struct RawColumn {
    pub(super) node: Node,
    pub(super) is_aliased: bool,
}

/// What stands behind `FROM`, `UPDATE` or `INTO`.
#[derive(Clone, Debug)]
pub(super) struct RawSource {
    pub(super) node: Node,
    pub(super) is_aliased: bool,
    /// True when more than one source is named.
    pub(super) is_joined: bool,
}

/// One attribute behind `ORDER BY`.
#[derive(Clone, Debug)]
pub(super) struct RawOrder {
    pub(super) node: Node,
    pub(super) is_descending: bool,
}

/// An `INSERT`, `UPDATE` or `DELETE`.
#[derive(Clone, Debug)]
pub(super) struct RawChange {
    pub(super) target: RawSource,
    pub(super) operation: RawOperation,
    pub(super) condition: Option<Node>,
    pub(super) returning: Vec<RawReturning>,
}

impl RawChange {
    /// False when it speaks of several tables, as the grammar allows.
    pub(super) fn names_one_table(&self) -> bool {
        !self.target.is_joined && !matches!(self.operation, RawOperation::InsertInto)
    }
}

/// What is done.
#[derive(Clone, Debug)]
pub(super) enum RawOperation {
    Insert {
        value: Node,
        has_position: bool,
    },
    /// An insertion of several items, which the grammar has and the service has not.
    InsertMany,
    /// An `INSERT` behind `UPDATE` or `FROM`.
    InsertInto,
    Update(Vec<RawAction>),
    Delete,
}

/// One assignment or removal.
#[derive(Clone, Debug)]
pub(super) enum RawAction {
    Set { target: Node, value: Node },
    Remove { target: Node },
}

/// One element behind `RETURNING`.
#[derive(Clone, Debug)]
pub(super) struct RawReturning {
    pub(super) which: Returning,
    pub(super) is_everything: bool,
}

/// Which attributes of which image a write answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Returning {
    /// The whole item as it was.
    AllOld,
    /// The whole item as it is now.
    AllNew,
    /// What was at the paths that the statement names.
    ModifiedOld,
    /// What is there now.
    ModifiedNew,
}

impl Returning {
    /// As a statement writes it.
    pub(super) fn words(self) -> &'static str {
        match self {
            Self::AllOld => "ALL OLD",
            Self::AllNew => "ALL NEW",
            Self::ModifiedOld => "MODIFIED OLD",
            Self::ModifiedNew => "MODIFIED NEW",
        }
    }
}

impl Node {
    /// What the service calls the expression where it runs none of its kind.
    pub(super) fn kind_name(&self) -> &'static str {
        match &self.kind {
            NodeKind::Text(_)
            | NodeKind::Number(_)
            | NodeKind::Bool(_)
            | NodeKind::Null
            | NodeKind::Ion(_) => "Lit",
            NodeKind::Missing => "Missing",
            NodeKind::Name(_) => "Id",
            NodeKind::Path { .. } => "Path",
            NodeKind::Parameter(_) => "Parameter",
            NodeKind::List(_) => "List",
            NodeKind::Bag(_) => "Bag",
            NodeKind::Struct(_) => "Struct",
            NodeKind::Call { .. } => "Call",
            NodeKind::Not { .. } => "Not",
            NodeKind::And(_) => "And",
            NodeKind::Or(_) => "Or",
            NodeKind::Compare { operator, .. } => match operator {
                Comparator::Equal => "Eq",
                Comparator::NotEqual => "Ne",
                Comparator::Less => "Lt",
                Comparator::LessOrEqual => "Lte",
                Comparator::Greater => "Gt",
                Comparator::GreaterOrEqual => "Gte",
            },
            NodeKind::Between { .. } => "Between",
            NodeKind::In { .. } => "InCollection",
            NodeKind::Is { .. } => "IsType",
            NodeKind::Infix { symbol, .. } => match *symbol {
                "+" => "Plus",
                "-" => "Minus",
                "*" => "Times",
                "/" => "Divide",
                "%" => "Modulo",
                "||" => "Concat",
                "like" => "Like",
                _ => "BagOp",
            },
            NodeKind::Sign(symbol) => {
                if *symbol == "-" {
                    "Neg"
                } else {
                    "Pos"
                }
            }
            NodeKind::Case { is_searched: true } => "SearchedCase",
            NodeKind::Case { is_searched: false } => "SimpleCase",
            NodeKind::Select(_) => "Select",
            NodeKind::Change(_) | NodeKind::ChangeOfNothing => "Dml",
        }
    }

    /// What the service calls the expression where it shows what stands there: as written, if that is one word.
    pub(super) fn words(&self) -> &str {
        match &self.kind {
            NodeKind::Text(text) | NodeKind::Number(text) | NodeKind::Ion(text) => text,
            NodeKind::Bool(true) => "true",
            NodeKind::Bool(false) => "false",
            NodeKind::Null => "null",
            NodeKind::Missing => "MISSING",
            NodeKind::Name(name) => name,
            NodeKind::Call { function, .. } => function,
            NodeKind::Infix { symbol, .. } | NodeKind::Sign(symbol) => symbol,
            NodeKind::Compare { operator, .. } => operator.symbol(),
            NodeKind::Path { .. } => "PATH",
            NodeKind::Parameter(_) => "PARAMETER",
            NodeKind::List(_) => "LIST",
            NodeKind::Bag(_) => "BAG",
            NodeKind::Struct(_) => "STRUCT",
            NodeKind::Not { .. } => "not",
            NodeKind::And(_) => "and",
            NodeKind::Or(_) => "or",
            NodeKind::Between { .. } => "between",
            NodeKind::In { .. } => "in",
            NodeKind::Is { .. } => "is",
            NodeKind::Case { .. } => "CASE",
            NodeKind::Select(_) | NodeKind::Change(_) | NodeKind::ChangeOfNothing => self.kind_name(),
        }
    }

    /// True for what could be a value within a set, were it of the right type.
    pub(super) fn is_literal(&self) -> bool {
        matches!(
            self.kind,
            NodeKind::Text(_)
                | NodeKind::Number(_)
                | NodeKind::Bool(_)
                | NodeKind::Null
                | NodeKind::List(_)
                | NodeKind::Bag(_)
                | NodeKind::Struct(_)
        )
    }

    /// The `SELECT` of `EXISTS(SELECT …)`, if it is one.
    pub(super) fn into_existence(self) -> Option<RawSelect> {
        let NodeKind::Call { function, mut arguments } = self.kind else { return None };
        let argument = arguments.pop().filter(|_| function == "exists" && arguments.is_empty())?;
        match argument.kind {
            NodeKind::Select(select) => Some(*select),
            _ => None,
        }
    }

    /// True for an operator or a call: whatever the service's parser keeps as an operation on operands.
    pub(super) fn is_operation(&self) -> bool {
        matches!(
            self.kind,
            NodeKind::Call { .. }
                | NodeKind::Not { .. }
                | NodeKind::And(_)
                | NodeKind::Or(_)
                | NodeKind::Compare { .. }
                | NodeKind::Between { .. }
                | NodeKind::In { .. }
                | NodeKind::Infix { .. }
                | NodeKind::Sign(_)
        )
    }
}
