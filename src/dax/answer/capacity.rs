//! Consumed capacity, and the metrics of item collections.

use crate::dax::cbor::{Malformed, Writer};
use crate::dax::value;

use super::json::{Members, number};

/// Writes the capacity that a call on tables has consumed, as one byte string: the table, its units in all, those of the table itself,
/// and those of its global and local indexes.
pub(super) fn write_plain(capacity: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    let capacity = Members::read(capacity)?;
    Writer::new(out).bytes_with(|writer| {
        writer.text(&capacity.text("TableName")?.unwrap_or_default());
        writer.float(units(&capacity, "CapacityUnits")?.unwrap_or_default());
        let table = capacity.object("Table")?;
        match units(&table, "CapacityUnits")? {
            Some(units) => writer.float(units),
            None => writer.null(),
        }
        for name in ["GlobalSecondaryIndexes", "LocalSecondaryIndexes"] {
            if capacity.get(name).is_none() {
                writer.null();
                continue;
            }
            let indexes = capacity.object(name)?;
            writer.map(indexes.len());
            for (name, index) in indexes.iter() {
                writer.text(name);
                writer.float(units(&Members::read(index)?, "CapacityUnits")?.unwrap_or_default());
            }
        }
        Ok(())
    })
}

/// Writes the capacity that a transaction has consumed of a table, as a map.
pub(super) fn write_extended(capacity: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    const TABLE_NAME: u64 = 4;
    let capacity = Members::read(capacity)?;
    let shares = [(5, "Table"), (6, "GlobalSecondaryIndexes"), (7, "LocalSecondaryIndexes")];
    let shares = shares.map(|(key, name)| (key, name, capacity.get(name)));
    let mut writer = Writer::new(out);
    writer.map(1 + given_units(&capacity)?.len() + shares.iter().filter(|share| share.2.is_some()).count());
    writer.unsigned(TABLE_NAME);
    writer.text(&capacity.text("TableName")?.unwrap_or_default());
    write_units(&capacity, &mut writer)?;
    for (key, name, share) in shares {
        let Some(share) = share else { continue };
        let share = Members::read(share)?;
        writer.unsigned(key);
        if name == "Table" {
            let given = given_units(&share)?;
            writer.map(given.len());
            write_units(&share, &mut writer)?;
            continue;
        }
        writer.map(share.len());
        for (name, index) in share.iter() {
            let index = Members::read(index)?;
            writer.text(name);
            writer.map(given_units(&index)?.len());
            write_units(&index, &mut writer)?;
        }
    }
    Ok(())
}

/// The units that are given: all, those of reads, those of writes; each with its key.
fn given_units(capacity: &Members<'_>) -> Result<Vec<(u64, f64)>, Malformed> {
    let mut given = Vec::with_capacity(3);
    for (key, name) in [(1, "CapacityUnits"), (2, "ReadCapacityUnits"), (3, "WriteCapacityUnits")] {
        given.extend(units(capacity, name)?.map(|units| (key, units)));
    }
    Ok(given)
}

fn write_units(capacity: &Members<'_>, writer: &mut Writer<'_>) -> Result<(), Malformed> {
    for (key, units) in given_units(capacity)? {
        writer.unsigned(key);
        writer.float(units);
    }
    Ok(())
}

fn units(capacity: &Members<'_>, name: &str) -> Result<Option<f64>, Malformed> {
    capacity.get(name).map(number).transpose()
}

/// Writes the metrics of an item collection, as one byte string: the partition key, and the bounds of the size in gigabytes.
pub(super) fn write_metrics(metrics: &str, out: &mut Vec<u8>) -> Result<(), Malformed> {
    const INCOMPLETE: Malformed = Malformed::Invalid("the metrics of an item collection are incomplete");
    let metrics = Members::read(metrics)?;
    Writer::new(out).bytes_with(|writer| {
        let key = metrics.object("ItemCollectionKey")?;
        let (_, partition) = key.iter().next().ok_or(INCOMPLETE)?;
        value::write_cbor(partition, writer.buffer())?;
        let [low, high] = metrics.list("SizeEstimateRangeGB")?[..] else { return Err(INCOMPLETE) };
        writer.float(number(low)?);
        writer.float(number(high)?);
        Ok(())
    })
}
