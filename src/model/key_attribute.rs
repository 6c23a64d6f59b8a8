//! One attribute of a key: its type, its half of the key, and how many bytes its value may have.

use super::value::AttributeValue;

/// A type that a key attribute may have.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ScalarType {
    /// String.
    S,
    /// Number.
    N,
    /// Binary.
    B,
}

impl ScalarType {
    /// `S`, `N` or `B`.
    pub fn name(self) -> &'static str {
        match self {
            Self::S => "S",
            Self::N => "N",
            Self::B => "B",
        }
    }

    /// The type that `S`, `N` or `B` names.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "S" => Some(Self::S),
            "N" => Some(Self::N),
            "B" => Some(Self::B),
            _ => None,
        }
    }

    /// True when `value` is of this type.
    pub fn admits(self, value: &AttributeValue) -> bool {
        matches!(
            (self, value),
            (Self::S, AttributeValue::S(_))
                | (Self::N, AttributeValue::N(_))
                | (Self::B, AttributeValue::B(_))
        )
    }
}

/// One attribute of a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeyAttribute {
    /// The attribute's name: 1 to 255 bytes of UTF-8.
    pub name: String,
    /// Its declared type.
    pub scalar_type: ScalarType,
}

/// Which half of a key an attribute belongs to; the service limits their sizes apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum KeyRole {
    /// `HASH`, 1 to 2048 bytes.
    Partition,
    /// `RANGE`, 1 to 1024 bytes.
    Sort,
}

impl KeyRole {
    /// The most bytes a key value of this role may have.
    pub fn bytes_max(self) -> usize {
        match self {
            Self::Partition => 2048,
            Self::Sort => 1024,
        }
    }
}
