//! Expressions as they are written: trees that borrow from their text.

/// A condition, or a part of one, as written.
#[derive(Debug)]
pub(in super::super) enum RawTest<'t> {
    Call(RawCall<'t>),
    Compare {
        operator: Comparator,
        left: RawOperand<'t>,
        right: RawOperand<'t>,
    },
    Between {
        value: RawOperand<'t>,
        low: RawOperand<'t>,
        high: RawOperand<'t>,
    },
    In {
        value: RawOperand<'t>,
        choices: Vec<RawOperand<'t>>,
    },
    Not(Box<RawTest<'t>>),
    /// At least two.
    And(Vec<RawTest<'t>>),
    /// At least two.
    Or(Vec<RawTest<'t>>),
    /// Stands for what lies below more operators than an expression may have.
    TooDeep,
}

/// What a condition compares, or what an update gives, as written.
#[derive(Debug)]
pub(in super::super) enum RawOperand<'t> {
    Path(RawPath<'t>),
    /// `:value`
    Value(&'t str),
    Call(RawCall<'t>),
    /// As [`RawTest::TooDeep`].
    TooDeep,
}

/// A call of a function as written; it may be a condition or an operand.
#[derive(Debug)]
pub(in super::super) struct RawCall<'t> {
    pub(in super::super) function: &'t str,
    pub(in super::super) arguments: Vec<RawOperand<'t>>,
}

/// A document path as written; its first piece is a name or a placeholder.
#[derive(Debug)]
pub(in super::super) struct RawPath<'t> {
    pub(in super::super) pieces: Vec<RawPiece<'t>>,
}

/// A piece of a document path.
#[derive(Clone, Copy, Debug)]
pub(in super::super) enum RawPiece<'t> {
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

    /// The operator that is written so.
    pub(super) fn from_symbol(symbol: &str) -> Option<Self> {
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
pub(in super::super) struct Section<'t> {
    pub(in super::super) kind: SectionKind,
    /// At least one.
    pub(in super::super) actions: Vec<RawAction<'t>>,
}

/// The sections that an update expression may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in super::super) enum SectionKind {
    Set,
    Remove,
    Add,
    Delete,
}

/// What an update expression does to one path.
#[derive(Debug)]
pub(in super::super) struct RawAction<'t> {
    pub(in super::super) path: RawPath<'t>,
    pub(in super::super) value: RawValue<'t>,
}

/// The right side of an action.
#[derive(Debug)]
pub(in super::super) enum RawValue<'t> {
    /// `REMOVE` has none.
    None,
    Plain(RawOperand<'t>),
    Sum(RawOperand<'t>, RawOperand<'t>),
    Difference(RawOperand<'t>, RawOperand<'t>),
}
