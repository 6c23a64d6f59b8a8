//! Index entries: which an item has, what they hold, and what a write must change in them.
//!
//! An entry is a row like an item's, cut down to what the index projects, under the index's own order.

use crate::model::capacity::Units;
use crate::model::key::partition_bytes;
use crate::model::schema::IndexKind;
use crate::model::{IndexMove, IndexSchema, Item, KeySchema};

use super::catalog::Table;
use super::rows;
use super::store::Space;

/// The entry that an item has in an index: its store key and its row.
///
/// `None` when the index leaves the item out: a key attribute of the index is missing, or is of another type, empty or too
/// long. Writes are refused in those last cases, but an index made later meets such items in its backfill and passes
/// them over.
pub(crate) fn index_entry(
    table_key: &KeySchema,
    index: &IndexSchema,
    item: &Item,
) -> Option<(Vec<u8>, Vec<u8>)> {
    let (index_key, item_key) = (index.key.key_of(item).ok()?, table_key.key_of(item).ok()?);
    let projected = index.project(table_key, item)?;
    Some((rows::entry_key(&index_key, &item_key), rows::encode_row(&projected)))
}

/// What a write changes in one index.
#[derive(Debug)]
pub(crate) struct EntryChange {
    /// The index, by its place in the table's schema.
    pub(crate) position: usize,
    /// Where its entries are.
    pub(crate) space: Space,
    /// The key of an entry to take out.
    pub(crate) removed: Option<Vec<u8>>,
    /// An entry to put in, or over one with the same key.
    pub(crate) written: Option<(Vec<u8>, Vec<u8>)>,
    /// By how many bytes the index grows.
    pub(crate) bytes_delta: i64,
    /// What the change costs: one write for each entry that comes, goes or is written over.
    pub(crate) units: Units,
}

/// What must change in a table's indexes when an item becomes another, comes or goes. Indexes whose
/// entry stays as it is are not among the changes: they cost nothing.
pub(crate) fn changes(table: &Table, old: Option<&Item>, new: Option<&Item>) -> Vec<EntryChange> {
    let entry = |index: &IndexSchema, item: Option<&Item>| {
        item.and_then(|item| index_entry(&table.schema.key, index, item))
    };
    let indexes = table.schema.indexes.iter().zip(&table.index_spaces).enumerate();
    indexes
        .filter_map(|(position, (index, space))| {
            change(position, *space, entry(index, old), entry(index, new))
        })
        .collect()
}

/// What changes in a table's global indexes show, for those who remember what they have shown.
pub(crate) fn moves(
    table: &Table,
    changes: &[EntryChange],
    old: Option<&Item>,
    new: Option<&Item>,
) -> Vec<IndexMove> {
    let indexes = changes.iter().map(|change| (change.position, &table.schema.indexes[change.position]));
    let global = indexes.filter(|(_, index)| index.kind == IndexKind::Global);
    let moved = global.map(|(position, index)| {
        let keys = [old, new].into_iter().flatten().filter_map(|item| index.key.key_of(item).ok());
        let partition = |key: crate::model::Key| {
            let mut partition = Vec::with_capacity(32);
            partition_bytes(key.partition(), &mut partition);
            partition
        };
        let mut partitions: Vec<_> = keys.map(partition).collect();
        partitions.dedup();
        IndexMove { index: position, partitions }
    });
    moved.collect()
}

type Entry = (Vec<u8>, Vec<u8>);

fn change(position: usize, space: Space, old: Option<Entry>, new: Option<Entry>) -> Option<EntryChange> {
    let bytes = |entry: &Option<Entry>| entry.as_ref().map_or(0, |(_, row)| rows::size_bytes(row));
    let (old_bytes, new_bytes) = (bytes(&old), bytes(&new));
    let bytes_delta = new_bytes as i64 - old_bytes as i64;
    let (removed, units) = match (&old, &new) {
        (None, None) => return None,
        (Some(old), Some(new)) if old == new => return None,
        (Some((old_key, _)), Some((new_key, _))) if old_key == new_key => {
            (None, Units::write(old_bytes.max(new_bytes)))
        }
        (Some(_), Some(_)) => (old, Units::write(old_bytes) + Units::write(new_bytes)),
        (Some(_), None) => (old, Units::write(old_bytes)),
        (None, Some(_)) => (None, Units::write(new_bytes)),
    };
    let removed = removed.map(|(key, _)| key);
    Some(EntryChange { position, space, removed, written: new, bytes_delta, units })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    use bytes::Bytes;
    use fastrand::Rng;
    use serde_json::{Value, json};

    use super::*;
    use crate::local::rows::Row;
    use crate::local::store::{Direction, KeyRange, Snapshot};
    use crate::local::tests::backend::{Backend, seed};
    use crate::model::Operation::{BatchWriteItem, DeleteItem, PutItem, UpdateItem};

    /// A few values, so that keys meet often; a number where `e` is concerned, which no index has as its key.
    fn value(name: &str, random: &mut Rng) -> Value {
        let text = random.choice(["x", "y", "z\u{0}", "zz"]).unwrap();
        if name == "e" { json!({"N": random.u8(..).to_string()}) } else { json!({"S": text}) }
    }

    fn key(random: &mut Rng) -> Value {
        json!({"a": value("a", random), "b": value("b", random)})
    }

    fn item(random: &mut Rng) -> Value {
        let mut item = key(random);
        for name in ["c", "d", "e", "f"] {
            if random.bool() {
                item[name] = value(name, random);
            }
        }
        item
    }

    fn update(random: &mut Rng) -> Value {
        let name = random.choice(["c", "d", "e", "f"]).unwrap();
        let mut body = json!({"TableName": "range", "Key": key(random)});
        if random.bool() {
            body["UpdateExpression"] = format!("REMOVE {name}").into();
        } else {
            body["UpdateExpression"] = format!("SET {name} = :v").into();
            body["ExpressionAttributeValues"] = json!({":v": value(name, random)});
        }
        body
    }

    async fn write_something(backend: &Backend, random: &mut Rng) {
        match random.u8(..4) {
            0 => backend.ok(PutItem, json!({"TableName": "range", "Item": item(random)})).await,
            1 => backend.ok(DeleteItem, json!({"TableName": "range", "Key": key(random)})).await,
            2 => backend.ok(UpdateItem, update(random)).await,
            _ => {
                let mut put = item(random);
                put["a"] = json!({"S": "only put"});
                let requests =
                    json!([{"PutRequest": {"Item": put}}, {"DeleteRequest": {"Key": key(random)}}]);
                backend.ok(BatchWriteItem, json!({"RequestItems": {"range": requests}})).await
            }
        };
    }

    fn all(snapshot: &Snapshot, space: Space) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut found = BTreeMap::new();
        let range = KeyRange { start: Vec::new(), end: None };
        let mut visit = |key: &[u8], row: &[u8]| {
            found.insert(key.to_vec(), row.to_vec());
            ControlFlow::Continue(())
        };
        snapshot.range(space, &range, Direction::Forward, &mut visit).unwrap();
        found
    }

    #[tokio::test]
    async fn after_any_writes_each_index_is_the_projection_of_all_items() {
        let mut random = Rng::with_seed(seed());
        let backend = Backend::with_tables().await;
        let table = backend.local.catalog.table("range").unwrap();
        for _ in 0..300 {
            write_something(&backend, &mut random).await;
        }
        let snapshot = backend.local.snapshot().unwrap();
        let items = all(&snapshot, table.items);
        let mut entries = 0;
        for (position, index) in table.schema.indexes.iter().enumerate() {
            let projected: BTreeMap<Vec<u8>, Vec<u8>> = items
                .values()
                .filter_map(|row| {
                    let item = Row::new(Bytes::copy_from_slice(row)).unwrap().item().unwrap();
                    index_entry(&table.schema.key, index, &item)
                })
                .collect();
            entries += projected.len();
            assert_eq!(all(&snapshot, table.index_spaces[position]), projected, "{}", index.name);
            let bytes: usize = projected.values().map(|row| rows::size_bytes(row)).sum();
            assert_eq!(table.index_bytes(position), bytes as u64, "{}", index.name);
        }
        // One index may well have none of the few items that the last writes left.
        assert!(entries > 0);
        let bytes: usize = items.values().map(|row| rows::size_bytes(row)).sum();
        assert_eq!(table.bytes(), bytes as u64);
    }
}
