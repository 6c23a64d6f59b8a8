//! Reports as bytes of the log: a header, then one record for each report.
//!
//! All numbers are little-endian. The header is the version of this form (1 byte), the version of the canonical form of keys (1 byte)
//! and a random number of the process (8 bytes), by which it knows its own entries. A record begins with its kind (1 byte), to which
//! [`MAY_CHANGE`] is added when the outcome is unknown; then 4 bytes follow, the milliseconds for which it still may change. Tables,
//! items, partitions and indexes are their digests, 8 bytes each.

use std::time::Duration;

use crate::cache::{Changed, ChangedIndex, ChangedIndexes, ChangedItem, Report, TableDigest};

/// The version of this form.
pub const VERSION: u8 = 1;

/// The version of the canonical bytes of keys, from which digests are made. To be raised whenever they change for any key.
pub const CANON: u8 = 1;

/// The most bytes of one entry.
pub(super) const ENTRY_BYTES_MAX: usize = 64 << 10;

/// The most records of one entry.
const RECORDS_MAX: usize = 4_096;

const HEADER_BYTES: usize = 10;
const ITEM: u8 = 1;
const TABLE: u8 = 2;
const DEFINITION: u8 = 3;
const EVERYTHING: u8 = 4;
const INDEXES_READ: u8 = 5;
/// The longest time for which anything may still change. An entry that says more would keep caches empty for as long.
const MAY_CHANGE_MAX: Duration = Duration::from_secs(3_600);

/// Added to the kind of a record whose change may still happen.
const MAY_CHANGE: u8 = 0x80;
/// The count of indexes that stands for all of them.
const ALL_INDEXES: u8 = 0xFF;

/// An entry that is written record by record.
#[derive(Debug)]
pub(super) struct Writer {
    bytes: Vec<u8>,
    records: usize,
}

impl Writer {
    /// An entry of a process, without a record.
    pub(super) fn new(origin: u64) -> Self {
        let mut bytes = vec![VERSION, CANON];
        bytes.extend_from_slice(&origin.to_le_bytes());
        Self { bytes, records: 0 }
    }

    /// Adds a record. False, and nothing is added, if the entry is full.
    pub(super) fn add(&mut self, report: &Report) -> bool {
        let before = self.bytes.len();
        self.put(report);
        let fits = self.bytes.len() <= ENTRY_BYTES_MAX && self.records < RECORDS_MAX;
        match fits {
            true => self.records += 1,
            false => self.bytes.truncate(before),
        }
        fits
    }

    /// How long the entry is, and how many records it has, for [`Writer::truncate`].
    pub(super) fn len(&self) -> (usize, usize) {
        (self.bytes.len(), self.records)
    }

    /// Takes out what was added since.
    pub(super) fn truncate(&mut self, (bytes, records): (usize, usize)) {
        self.bytes.truncate(bytes);
        self.records = records;
    }

    /// The entry's bytes.
    pub(super) fn finish(self) -> Vec<u8> {
        self.bytes
    }

    fn put(&mut self, report: &Report) {
        match report {
            Report::Changed(changed) => self.put_changed(changed, None),
            Report::MayChange(changed, left) => self.put_changed(changed, Some(*left)),
            Report::IndexesRead(table) => {
                self.bytes.push(INDEXES_READ);
                self.put_u64(table.0);
            }
        }
    }

    fn put_changed(&mut self, changed: &Changed, left: Option<Duration>) {
        let kind = match changed {
            Changed::Item(_) => ITEM,
            Changed::Table(_) => TABLE,
            Changed::Definition(_) => DEFINITION,
            Changed::Everything => EVERYTHING,
        };
        self.bytes.push(kind | if left.is_some() { MAY_CHANGE } else { 0 });
        if let Some(left) = left {
            let left_ms = u32::try_from(left.as_millis()).unwrap_or(u32::MAX);
            self.bytes.extend_from_slice(&left_ms.to_le_bytes());
        }
        match changed {
            Changed::Item(item) => self.put_item(item),
            Changed::Table(table) | Changed::Definition(table) => self.put_u64(table.0),
            Changed::Everything => {}
        }
    }

    fn put_item(&mut self, item: &ChangedItem) {
        [item.table.0, item.item, item.partition].into_iter().for_each(|digest| self.put_u64(digest));
        let known = match &item.indexes {
            ChangedIndexes::Known(indexes) if fits_counts(indexes) => indexes,
            ChangedIndexes::Known(_) | ChangedIndexes::All => return self.bytes.push(ALL_INDEXES),
        };
        self.bytes.push(known.len() as u8);
        for ChangedIndex { index, partitions } in known {
            self.put_u64(*index);
            self.bytes.push(partitions.len() as u8);
            partitions.iter().for_each(|digest| self.put_u64(*digest));
        }
    }

    fn put_u64(&mut self, number: u64) {
        self.bytes.extend_from_slice(&number.to_le_bytes());
    }
}

fn fits_counts(indexes: &[ChangedIndex]) -> bool {
    indexes.len() < usize::from(ALL_INDEXES) && indexes.iter().all(|index| index.partitions.len() <= 0xFF)
}

/// An entry that cannot be read: nobody knows what it reports.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Unreadable;

/// The random number of the process that wrote an entry.
pub(super) fn origin(entry: &[u8]) -> Option<u64> {
    let number = entry.get(2..HEADER_BYTES)?;
    Some(u64::from_le_bytes(number.try_into().ok()?))
}

/// Reads an entry. Of one that is damaged, nothing is given.
///
/// # Errors
/// [`Unreadable`]: it is damaged, longer than any, or of another version.
pub(super) fn read(entry: &[u8]) -> Result<Vec<Report>, Unreadable> {
    if entry.len() > ENTRY_BYTES_MAX || entry.get(..2) != Some(&[VERSION, CANON]) {
        return Err(Unreadable);
    }
    let mut rest = Reader(entry.get(HEADER_BYTES..).ok_or(Unreadable)?);
    let mut reports = Vec::new();
    while !rest.0.is_empty() {
        if reports.len() == RECORDS_MAX {
            return Err(Unreadable);
        }
        reports.push(rest.report()?);
    }
    Ok(reports)
}

/// What is left to read.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn report(&mut self) -> Result<Report, Unreadable> {
        let kind = self.u8()?;
        if kind == INDEXES_READ {
            return Ok(Report::IndexesRead(TableDigest(self.u64()?)));
        }
        let left = match kind & MAY_CHANGE {
            0 => None,
            _ => Some(Duration::from_millis(u64::from(self.u32()?)).min(MAY_CHANGE_MAX)),
        };
        let changed = match kind & !MAY_CHANGE {
            ITEM => Changed::Item(self.item()?),
            TABLE => Changed::Table(TableDigest(self.u64()?)),
            DEFINITION => Changed::Definition(TableDigest(self.u64()?)),
            EVERYTHING => Changed::Everything,
            _ => return Err(Unreadable),
        };
        Ok(match left {
            Some(left) => Report::MayChange(changed, left),
            None => Report::Changed(changed),
        })
    }

    fn item(&mut self) -> Result<ChangedItem, Unreadable> {
        let (table, item, partition) = (TableDigest(self.u64()?), self.u64()?, self.u64()?);
        let indexes = match self.u8()? {
            ALL_INDEXES => ChangedIndexes::All,
            count => ChangedIndexes::Known((0..count).map(|_| self.index()).collect::<Result<_, _>>()?),
        };
        Ok(ChangedItem { table, item, partition, indexes })
    }

    fn index(&mut self) -> Result<ChangedIndex, Unreadable> {
        let (index, count) = (self.u64()?, self.u8()?);
        let partitions = (0..count).map(|_| self.u64()).collect::<Result<_, _>>()?;
        Ok(ChangedIndex { index, partitions })
    }

    fn u8(&mut self) -> Result<u8, Unreadable> {
        self.take::<1>().map(|[byte]| byte)
    }

    fn u32(&mut self) -> Result<u32, Unreadable> {
        self.take().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Unreadable> {
        self.take().map(u64::from_le_bytes)
    }

    fn take<const N: usize>(&mut self) -> Result<[u8; N], Unreadable> {
        let (taken, rest) = self.0.split_first_chunk::<N>().ok_or(Unreadable)?;
        self.0 = rest;
        Ok(*taken)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn changed() -> impl Strategy<Value = Changed> {
        let partitions = prop::collection::vec(any::<u64>(), 0..4);
        let index =
            (any::<u64>(), partitions).prop_map(|(index, partitions)| ChangedIndex { index, partitions });
        let indexes = prop_oneof![
            Just(ChangedIndexes::All),
            prop::collection::vec(index, 0..5).prop_map(ChangedIndexes::Known)
        ];
        let item = (any::<u64>(), any::<u64>(), any::<u64>(), indexes).prop_map(
            |(table, item, partition, indexes)| ChangedItem {
                table: TableDigest(table),
                item,
                partition,
                indexes,
            },
        );
        prop_oneof![
            item.prop_map(Changed::Item),
            any::<u64>().prop_map(|table| Changed::Table(TableDigest(table))),
            any::<u64>().prop_map(|table| Changed::Definition(TableDigest(table))),
            Just(Changed::Everything)
        ]
    }

    fn report() -> impl Strategy<Value = Report> {
        prop_oneof![
            changed().prop_map(Report::Changed),
            (changed(), 0..3_600_001_u32)
                .prop_map(|(changed, ms)| Report::MayChange(changed, Duration::from_millis(ms.into()))),
            any::<u64>().prop_map(|table| Report::IndexesRead(TableDigest(table)))
        ]
    }

    fn written(reports: &[Report]) -> Vec<u8> {
        let mut writer = Writer::new(77);
        assert!(reports.iter().all(|report| writer.add(report)));
        writer.finish()
    }

    proptest! {
        #[test]
        fn what_was_written_is_read(reports in prop::collection::vec(report(), 0..40)) {
            let bytes = written(&reports);
            prop_assert_eq!(origin(&bytes), Some(77));
            prop_assert_eq!(read(&bytes).unwrap(), reports);
        }

        #[test]
        fn an_entry_that_is_cut_within_a_record_is_unreadable(reports in prop::collection::vec(report(), 1..4)) {
            let (bytes, without_last) = (written(&reports), written(&reports[..reports.len() - 1]));
            for length in without_last.len() + 1..bytes.len() {
                prop_assert_eq!(read(&bytes[..length]), Err(Unreadable));
            }
        }

        #[test]
        fn arbitrary_bytes_are_read_or_rejected(bytes in prop::collection::vec(any::<u8>(), 0..300)) {
            let _ = (read(&bytes), origin(&bytes));
            let with_header = [&written(&[])[..], &bytes].concat();
            if let Ok(reports) = read(&with_header) {
                prop_assert_eq!(read(&written(&reports)).unwrap(), reports);
            }
        }
    }

    #[test]
    fn another_version_is_unreadable() {
        let mut bytes = written(&[Report::Changed(Changed::Everything)]);
        bytes[1] += 1;
        assert_eq!(read(&bytes), Err(Unreadable));
    }

    #[test]
    fn an_entry_is_never_longer_than_the_limit() {
        let mut writer = Writer::new(1);
        let partitions = vec![1; 200];
        let indexes = ChangedIndexes::Known(vec![ChangedIndex { index: 1, partitions }]);
        let item = ChangedItem { table: TableDigest(1), item: 2, partition: 3, indexes };
        let report = Report::Changed(Changed::Item(item));
        let count = (0..100_000).take_while(|_| writer.add(&report)).count();
        let bytes = writer.finish();
        assert!(bytes.len() <= ENTRY_BYTES_MAX && bytes.len() > ENTRY_BYTES_MAX - 2_000);
        assert_eq!(read(&bytes).unwrap().len(), count);
    }
}
