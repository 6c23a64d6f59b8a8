//! The two readings of a BatchGetItem: one borrowed pass over the plain form, and the tree of every other body.
//!
//! Both give the same parts for a body that both read. Only the pass leaves the JSON of a key unwritten until somebody needs it.

use std::borrow::Cow;
use std::sync::Arc;

use crate::wire::Json;
use crate::wire::batch_get::BatchGetItem;
use crate::wire::json::{write_json, write_string};
use crate::wire::request::{KeyText, ReturnConsumedCapacity, key_bytes as key_bytes_of};

use super::{BypassReason, KEYS_MAX, Part, State, WantedKey};
use crate::engine::known_table::KnownTable;
use crate::engine::view::Attributes;

/// A request, as far as it can be read without its tables.
pub(super) struct Asked<'b> {
    pub(super) tables: Vec<AskedTable<'b>>,
    pub(super) return_consumed_capacity: ReturnConsumedCapacity,
}

/// One table's part of it.
pub(super) struct AskedTable<'b> {
    /// The table's name or ARN as the client wrote it.
    pub(super) spelling: Cow<'b, str>,
    /// The part; `Keys` may be left out.
    pub(super) members: Cow<'b, Json<'b>>,
    /// Its keys, unless they are to be read from the members.
    keys: Option<Vec<KeyText<'b>>>,
}

/// A key as JSON.
pub(super) enum KeySpelling<'b> {
    /// As it was read, to be written when it is needed.
    Read(KeyText<'b>),
    Written(Vec<u8>),
}

/// The body is not JSON that everybody reads in one way.
pub(super) struct NotStrict;

impl<'b> Asked<'b> {
    /// Reads a body. `tree` is where the tree is kept, if there has to be one. `None` when the request is not of the known form.
    pub(super) fn read<'t: 'b>(body: &'t [u8], tree: &'b mut Json<'t>) -> Result<Option<Self>, NotStrict> {
        match Self::read_plain(body) {
            Some(asked) => Ok(Some(asked)),
            None => {
                *tree = Json::parse_request(body).map_err(|_| NotStrict)?;
                Ok(Self::of_tree(tree))
            }
        }
    }

    /// Reads a body of the plain form.
    pub(super) fn read_plain(body: &'b [u8]) -> Option<Self> {
        BatchGetItem::parse(body, KEYS_MAX).map(Self::from)
    }

    fn of_tree(body: &'b Json<'b>) -> Option<Self> {
        let known = |name: &str| matches!(name, "RequestItems" | "ReturnConsumedCapacity");
        if !body.members()?.iter().all(|(name, _)| known(name)) {
            return None;
        }
        let return_consumed_capacity = match body.get("ReturnConsumedCapacity") {
            None => ReturnConsumedCapacity::None,
            Some(name) => name.text().and_then(ReturnConsumedCapacity::from_name)?,
        };
        let requests = body.get("RequestItems").and_then(Json::members)?;
        let tables = requests.iter().map(|(spelling, request)| AskedTable {
            spelling: Cow::Borrowed(spelling),
            members: Cow::Borrowed(request),
            keys: None,
        });
        Some(Self { tables: tables.collect(), return_consumed_capacity })
    }
}

impl<'b> From<BatchGetItem<'b>> for Asked<'b> {
    fn from(batch: BatchGetItem<'b>) -> Self {
        let tables = batch.tables.into_iter().map(|table| AskedTable {
            spelling: table.spelling.0,
            members: Cow::Owned(table.others),
            keys: Some(table.keys),
        });
        Self { tables: tables.collect(), return_consumed_capacity: batch.return_consumed_capacity }
    }
}

/// The parts of a request, read one after the other as their tables are known. An error is the reason why the upstream must answer.
pub(super) struct Parts<'b>(Vec<Part<'b>>);

impl<'b> Parts<'b> {
    /// No part yet of a request that asks for these.
    pub(super) fn of(tables: &[AskedTable<'b>]) -> Result<Self, BypassReason> {
        let any = |member: &str| tables.iter().any(|table| table.members.get(member).is_some());
        // The upstream refuses the two in one request, at whatever tables they stand.
        if any("ProjectionExpression") && any("AttributesToGet") {
            return Err(BypassReason::NotUnderstood);
        }
        Ok(Self(Vec::with_capacity(tables.len())))
    }

    /// Reads the part of a table.
    pub(super) fn add(&mut self, table: Arc<KnownTable>, asked: AskedTable<'b>) -> Result<(), BypassReason> {
        let not_understood = BypassReason::NotUnderstood;
        if self.0.iter().any(|part| Arc::ptr_eq(&part.table.cached, &table.cached)) {
            return Err(not_understood);
        }
        self.0.push(Part::read(table, asked).ok_or(not_understood)?);
        Ok(())
    }

    /// All of them.
    pub(super) fn finish(self) -> Result<Vec<Part<'b>>, BypassReason> {
        let Self(parts) = self;
        // What is cached of other tables has no part in a request that the upstream must answer, but what is compared has.
        if parts.iter().any(|part| part.table.policy.is_none())
            && !parts.iter().any(|part| part.table.is_in_shadow() && part.table.policy.is_some())
        {
            return Err(BypassReason::Disabled);
        }
        let keys: usize = parts.iter().map(|part| part.keys.len()).sum();
        // The upstream refuses a request that asks for nothing of a table, too.
        let is_idle = parts.is_empty() || parts.iter().any(|part| part.keys.is_empty());
        if is_idle || keys > KEYS_MAX { Err(BypassReason::NotUnderstood) } else { Ok(parts) }
    }
}

impl<'b> Part<'b> {
    /// Reads one table's part; `None` when it is not plainly of the known form.
    pub(super) fn read(table: Arc<KnownTable>, asked: AskedTable<'b>) -> Option<Self> {
        let AskedTable { spelling, members: request, keys } = asked;
        let members = request.members()?;
        let known = |name: &str| {
            matches!(
                name,
                "Keys"
                    | "ConsistentRead"
                    | "ProjectionExpression"
                    | "ExpressionAttributeNames"
                    | "AttributesToGet"
            )
        };
        if !members.iter().all(|(name, _)| known(name)) {
            return None;
        }
        let attributes = Attributes::of(&request).filter(|attributes| attributes.fit(&table.schema))?;
        let strong = match request.get("ConsistentRead") {
            None => false,
            Some(strong) => strong.boolean()?,
        };
        let mut key_bytes = Vec::new();
        let keys = match keys {
            Some(keys) => read_keys(&table, keys, &mut key_bytes)?,
            None => {
                let keys = request.get("Keys")?.elements()?.iter();
                keys.map(|key| WantedKey::of_tree(&table, key, &mut key_bytes)).collect::<Option<_>>()?
            }
        };
        if has_twins(&keys, &key_bytes) {
            return None;
        }
        let mut other_members = Vec::new();
        for (name, value) in members.iter().filter(|(name, _)| name != "Keys") {
            write_string(name, &mut other_members);
            other_members.push(b':');
            write_json(value, &mut other_members);
            other_members.push(b',');
        }
        let spelling = spelling.into_owned();
        Some(Self { table, spelling, attributes, strong, keys, key_bytes, other_members })
    }
}

fn read_keys<'b>(
    table: &KnownTable,
    keys: Vec<KeyText<'b>>,
    key_bytes: &mut Vec<u8>,
) -> Option<Vec<WantedKey<'b>>> {
    let mut wanted = Vec::with_capacity(keys.len());
    for key in keys {
        let begin = key_bytes.len();
        key.write_canonical(&table.schema.key, key_bytes)?;
        if wanted.is_empty() {
            // Keys of one table are mostly of one length.
            key_bytes.reserve(key_bytes.len() * wanted.capacity());
        }
        wanted.push(WantedKey::new(table, begin, key_bytes, KeySpelling::Read(key)));
    }
    Some(wanted)
}

/// True if a key is wanted twice. Only keys of one hash can be the same.
fn has_twins(keys: &[WantedKey<'_>], key_bytes: &[u8]) -> bool {
    let mut hashes: Vec<u64> = keys.iter().map(|wanted| wanted.hash).collect();
    hashes.sort_unstable();
    if hashes.windows(2).all(|pair| pair[0] != pair[1]) {
        return false;
    }
    let mut sorted: Vec<&[u8]> = keys.iter().map(|wanted| wanted.key(key_bytes)).collect();
    sorted.sort_unstable();
    sorted.windows(2).any(|pair| pair[0] == pair[1])
}

impl<'b> WantedKey<'b> {
    /// The key whose bytes begin there and go to the end.
    fn new(table: &KnownTable, begin: usize, key_bytes: &[u8], text: KeySpelling<'b>) -> Self {
        let place = begin..key_bytes.len();
        let hash = table.cached.address(&key_bytes[place.clone()]).hash();
        Self { place, hash, text, state: State::Open, read: None }
    }

    fn of_tree(table: &KnownTable, key: &Json<'_>, key_bytes: &mut Vec<u8>) -> Option<Self> {
        let begin = key_bytes.len();
        key_bytes.extend_from_slice(&key_bytes_of(&table.schema.key, key)?);
        let mut json = Vec::with_capacity(64);
        write_json(key, &mut json);
        Some(Self::new(table, begin, key_bytes, KeySpelling::Written(json)))
    }
}

impl KeySpelling<'_> {
    /// Appends the key's JSON.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        match self {
            Self::Read(key) => key.write_json(out),
            Self::Written(json) => out.extend_from_slice(json),
        }
    }

    /// The key's JSON.
    pub(super) fn to_json(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.write(&mut out);
        out
    }
}
