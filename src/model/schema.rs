//! What a table is: its key, its indexes and what each index projects.

use super::key::{Key, KeyError, KeyValue};
use super::key_attribute::{KeyAttribute, KeyRole};
use super::value::Item;

/// The key of a table or of an index.
///
/// A table's key has one partition attribute and at most one sort attribute; a global secondary index may have up to four
/// of each.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeySchema {
    /// The partition (`HASH`) attributes, in the declared order; at least one.
    pub partition: Vec<KeyAttribute>,
    /// The sort (`RANGE`) attributes, in the declared order.
    pub sort: Vec<KeyAttribute>,
}

impl KeySchema {
    /// All key attributes, partition first.
    pub fn attributes(&self) -> impl Iterator<Item = &KeyAttribute> {
        self.partition.iter().chain(&self.sort)
    }

    /// The attributes that a key of this schema stands for.
    pub fn attributes_of(&self, key: &Key) -> Item {
        let values = key.partition().iter().chain(key.sort());
        let attributes = self.attributes().zip(values);
        attributes.map(|(attribute, value)| (attribute.name.clone(), value.to_attribute())).collect()
    }

    /// True when `name` is one of the key's attributes.
    pub fn contains(&self, name: &str) -> bool {
        self.attributes().any(|attribute| attribute.name == name)
    }

    /// The key inside a whole item; other attributes are passed over.
    ///
    /// # Errors
    /// [`KeyError`] for the first key attribute that is missing, of another type, empty or too long.
    pub fn key_of(&self, item: &Item) -> Result<Key, KeyError> {
        let partition = values_of(&self.partition, item, KeyRole::Partition)?;
        let sort = values_of(&self.sort, item, KeyRole::Sort)?;
        Ok(Key::from_checked(partition, sort))
    }

    /// The key that a request's `Key` member spells: exactly the key attributes and no other.
    ///
    /// # Errors
    /// [`KeyError`], [`KeyError::Foreign`] among them.
    pub fn key_exactly(&self, attributes: &Item) -> Result<Key, KeyError> {
        if attributes.len() != self.partition.len() + self.sort.len() {
            return Err(KeyError::Foreign);
        }
        self.key_of(attributes)
    }
}

fn values_of(attributes: &[KeyAttribute], item: &Item, role: KeyRole) -> Result<Vec<KeyValue>, KeyError> {
    attributes
        .iter()
        .map(|attribute| {
            let value = item
                .get(&attribute.name)
                .ok_or_else(|| KeyError::Missing { name: attribute.name.clone() })?;
            KeyValue::from_attribute(value, attribute, role)
        })
        .collect()
}

/// What an index copies of each item besides the keys of table and index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Projection {
    /// Every attribute.
    All,
    /// Nothing more.
    KeysOnly,
    /// The named attributes.
    Include(Vec<String>),
}

/// The two kinds of secondary index.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum IndexKind {
    /// A global secondary index: own partition key, eventually consistent.
    Global,
    /// A local secondary index: the table's partition key with another sort key.
    Local,
}

/// A secondary index.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct IndexSchema {
    /// The index's name, 3 to 255 characters of `a-zA-Z0-9_.-`.
    pub name: String,
    /// Global or local.
    pub kind: IndexKind,
    /// The index's own key.
    pub key: KeySchema,
    /// What it copies.
    pub projection: Projection,
}

impl IndexSchema {
    /// True when the index holds the attribute `name` of a table whose key is `table_key`.
    pub fn projects(&self, table_key: &KeySchema, name: &str) -> bool {
        match &self.projection {
            Projection::All => true,
            Projection::KeysOnly => self.key.contains(name) || table_key.contains(name),
            Projection::Include(names) => {
                self.key.contains(name)
                    || table_key.contains(name)
                    || names.iter().any(|included| included == name)
            }
        }
    }

    /// The copy of `item` that the index holds, or `None` when the item lacks one of the index's key attributes (a sparse
    /// index leaves it out). Key attributes of another type than declared never get this far: a write of them is refused.
    pub fn project(&self, table_key: &KeySchema, item: &Item) -> Option<Item> {
        if !self.key.attributes().all(|attribute| item.contains_key(&attribute.name)) {
            return None;
        }
        let held = item.iter().filter(|(name, _)| self.projects(table_key, name));
        Some(held.map(|(name, value)| (name.clone(), value.clone())).collect())
    }
}

/// True for what may be the name of a table or an index: 3 to 255 characters of `a-zA-Z0-9_.-`.
pub fn is_name(text: &str) -> bool {
    let is_part = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.');
    (3..=255).contains(&text.len()) && text.bytes().all(is_part)
}

/// What the cache and the local backend must know of a table to understand a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TableSchema {
    /// The table's name, 3 to 255 characters of `a-zA-Z0-9_.-`.
    pub name: String,
    /// The service's `TableId`: another one after the table was deleted and made again.
    pub id: String,
    /// The primary key.
    pub key: KeySchema,
    /// All secondary indexes, global and local.
    pub indexes: Vec<IndexSchema>,
}

impl TableSchema {
    /// The index of that name.
    pub fn index(&self, name: &str) -> Option<&IndexSchema> {
        self.indexes.iter().find(|index| index.name == name)
    }
}
