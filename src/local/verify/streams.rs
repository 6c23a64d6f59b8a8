//! What `nearside local verify` looks at in streams: their lineage, their records, and whether they agree with the items.

use std::collections::HashMap;
use std::ops::ControlFlow;

use crate::local::catalog::{Table, Tables};
use crate::local::change_log::{
    HASH_END, Record, SequenceNumber, ShardDefinition, StreamDefinition, all_streams,
};
use crate::local::rows::{self, Row};
use crate::local::store::{Direction, KeyRange, Reads, Space, StoreError};
use crate::model::Item;
use crate::model::placement::HASH_BYTES;
use crate::wire::Json;
use crate::wire::attribute::item_from_json;

use super::Report;

/// Is told of every space that belongs to a stream.
type Claim<'a> = dyn FnMut(Space, String, &mut Report) + 'a;

/// What a stream last told of each item, by the items' store keys; `None` of one that was removed.
type Told = HashMap<Vec<u8>, Option<Vec<u8>>>;

/// Looks at all streams. With `is_current` every table that is set to have one must.
///
/// # Errors
/// [`StoreError`] when the store broke or a stream is unreadable.
pub(super) fn audit(
    reads: &dyn Reads,
    tables: &Tables,
    is_current: bool,
    report: &mut Report,
    claim: &mut Claim<'_>,
) -> Result<(), StoreError> {
    let mut live = 0;
    for (table_name, label) in all_streams(reads, None)? {
        let Some(stream) = StreamDefinition::load(reads, &table_name, &label)? else { continue };
        let table = tables.get(&table_name).filter(|table| has_stream(table, &label));
        let name = format!("stream {label} of table {table_name}");
        live += usize::from(table.is_some());
        if table.is_some() == stream.disabled_ms.is_some() {
            report.find(format!("{name}: it and its table do not agree whether it is enabled"));
        }
        for shard in &stream.shards {
            claim(shard.records(), format!("shard {} of {name}", shard.shard_id), report);
        }
        check_lineage(&stream, &name, report);
        let mut told = Told::new();
        for shard in &stream.shards {
            let shard_name = format!("shard {} of {name}", shard.shard_id);
            report.records += check_records(shard, &shard_name, table, reads, &mut told, report)?;
        }
        if let Some(table) = table {
            check_against_items(table, &name, &told, reads, report)?;
        }
    }
    let set =
        tables.values().filter(|table| table.definition.stream.as_ref().is_some_and(|stream| stream.enabled));
    if is_current && set.count() != live {
        report.find("a table that is set to have a stream has none");
    }
    Ok(())
}

fn has_stream(table: &Table, label: &str) -> bool {
    table.definition.stream.as_ref().is_some_and(|stream| stream.enabled && stream.label == label)
}

/// The open shards must take every hash once, and a child begins after its parent's end.
fn check_lineage(stream: &StreamDefinition, name: &str, report: &mut Report) {
    let mut open: Vec<&ShardDefinition> = stream.shards.iter().filter(|shard| shard.is_open()).collect();
    open.sort_by_key(|shard| shard.first_hash);
    let end = open.iter().try_fold(0, |end, shard| (shard.first_hash == end).then_some(shard.end_hash));
    let expected = if stream.disabled_ms.is_some() { 0 } else { HASH_END };
    if end != Some(expected) {
        report.find(format!("{name}: its open shards do not take every key once"));
    }
    for shard in &stream.shards {
        let parent = shard.parent_shard_id.as_ref();
        let parent = parent.and_then(|id| stream.shards.iter().find(|shard| shard.shard_id == *id));
        let is_after = |parent: &ShardDefinition| {
            parent.ending_sequence_number.is_some_and(|ending| ending < shard.starting_sequence_number)
        };
        if parent.is_some_and(|parent| !is_after(parent)) {
            report.find(format!("{name}: shard {} begins before its parent's end", shard.shard_id));
        }
    }
}

/// Looks at the records of a shard and notes what they tell of items.
fn check_records(
    shard: &ShardDefinition,
    name: &str,
    table: Option<&std::sync::Arc<Table>>,
    reads: &dyn Reads,
    told: &mut Told,
    report: &mut Report,
) -> Result<u64, StoreError> {
    let mut records = 0;
    reads.range(shard.records(), &KeyRange::all(), Direction::Forward, &mut |key, bytes| {
        records += 1;
        let number = SequenceNumber::from_key(key);
        let is_within = number.as_ref().is_ok_and(|number| {
            *number >= shard.starting_sequence_number
                && shard.ending_sequence_number.is_none_or(|end| *number <= end)
        });
        if !is_within {
            report.find(format!("{name}: a record's number is not between those of its shard"));
        }
        let record = Record::read(bytes).ok().and_then(|record| Some((item(record.keys_json())?, record)));
        let Some((keys, record)) = record else {
            report.find(format!("{name}: a record is unreadable"));
            return ControlFlow::Continue(());
        };
        let Some(table) = table else { return ControlFlow::Continue(()) };
        match table.schema.key.key_of(&keys) {
            Ok(key) => {
                let store_key = rows::item_key(&key);
                if !(shard.first_hash..shard.end_hash).contains(&hash(&store_key)) {
                    report.find(format!("{name}: a record belongs into another shard"));
                }
                let image = (!record.is_removal()).then(|| record.new_image_json().to_vec());
                told.insert(store_key, image);
            }
            Err(_) => report.find(format!("{name}: a record has another key than its table")),
        }
        ControlFlow::Continue(())
    })?;
    let counted = reads.len(shard.records())?;
    if counted != records {
        report.find(format!("{name} has {records} records, and the store counts {counted}"));
    }
    Ok(records)
}

/// What was last told of an item must be how it is.
fn check_against_items(
    table: &Table,
    name: &str,
    told: &Told,
    reads: &dyn Reads,
    report: &mut Report,
) -> Result<(), StoreError> {
    for (store_key, image) in told {
        let row = reads.get(table.items, store_key)?;
        let agrees = match (&row, image) {
            (None, None) => true,
            (Some(_), Some(image)) if image.is_empty() => true,
            // Sets may be written in another order since, which is no change that a stream would tell.
            (Some(row), Some(image)) => {
                rows::json_text(row) == image
                    || item(image).is_some_and(|told| {
                        Row::new(row.clone()).and_then(|row| row.item()).is_ok_and(|item| item == told)
                    })
            }
            (None, Some(_)) | (Some(_), None) => false,
        };
        if !agrees {
            report.find(format!("{name}: an item is not what was last told of it"));
        }
    }
    Ok(())
}

fn item(json: &[u8]) -> Option<Item> {
    item_from_json(&Json::parse(json).ok()?).ok()
}

fn hash(store_key: &[u8]) -> u32 {
    store_key.iter().take(HASH_BYTES).fold(0, |hash, byte| hash << 8 | u32::from(*byte))
}
