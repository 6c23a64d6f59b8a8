//! DynamoDB Streams: ListStreams, DescribeStream, GetShardIterator and GetRecords, and the end of what is not kept any more.
//!
//! A change is logged in the commit that makes it, in constant time ([`super::change_log`]). Reads run on one snapshot, which
//! holds the stream's shards and their records alike, so they never see one without the other. What is older than a day is
//! hidden exactly; its shards are dropped whole, in the background and one stream at a time, so no write pays for it.
//!
//! Nothing here is particular to what clients may ask: a log of records by shard and sequence number, with the time in the
//! number, also serves whoever needs the changes between two moments.

mod iterator;

use std::ops::ControlFlow;
use std::sync::Arc;

use serde::Serialize;

use crate::model::arn::Arn;
use crate::model::{ApiError, ErrorCode};
use crate::wire::Json;
use crate::wire::json::write_string;

use super::answer::ObjectWriter;
use super::catalog::Catalog;
use super::change_log::{
    self, KEPT_MS, Record, SequenceNumber, ShardDefinition, StreamDefinition, all_streams,
};
use super::clock::Clock;
use super::members::text;
use super::store::{Direction, KeyRange, Snapshot, StoreError, Writes};
use super::table_record::KeyElement;
use super::{Handled, Local, LocalError, tables};

use iterator::ShardIterator;

/// How many streams or shards an answer has when the request does not say.
const LIST_LIMIT: usize = 100;
/// How many records an answer has at most.
const RECORDS_MAX: usize = 1000;
/// The most bytes of records in an answer, unless the first alone has more.
const RECORDS_BYTES_MAX: usize = 1 << 20;

impl Local {
    /// ListStreams.
    pub(super) fn list_streams(&self, body: &Json<'_>) -> Handled {
        let start = body.get("ExclusiveStartStreamArn").and_then(Json::text).map(StreamName::parse);
        let start = start.transpose()?;
        let table = body.get("TableName").and_then(Json::text).map(|name| self.catalog.name_of(name));
        let (snapshot, now) = (self.snapshot()?, self.clock.now_ms());
        let all = all_streams(&*snapshot, table)?;
        let begin = start.map_or(0, |start| {
            all.partition_point(|(table, label)| {
                (table.as_str(), std::cmp::Reverse(label.as_str()))
                    <= (start.table, std::cmp::Reverse(start.label))
            })
        });
        let mut page = Vec::new();
        let mut last = None;
        for (table, label) in &all[begin..] {
            if page.len() == limit(body, LIST_LIMIT) {
                last = page.last().map(|stream: &StreamSummary| stream.stream_arn.clone());
                break;
            }
            let definition = StreamDefinition::load(&*snapshot, table, label)?;
            if definition.is_some_and(|definition| definition.is_kept(now)) {
                let stream_arn = self.stream_arn(table, label);
                page.push(StreamSummary { stream_arn, table_name: table, stream_label: label });
            }
        }
        let list = StreamList { streams: page, last_evaluated_stream_arn: last };
        Ok(serde_json::to_vec(&list).expect("a list is always JSON"))
    }

    /// DescribeStream.
    pub(super) fn describe_stream(&self, body: &Json<'_>) -> Handled {
        let (snapshot, now) = (self.snapshot()?, self.clock.now_ms());
        let stream = self.find_stream(&snapshot, text(body, "StreamArn"), now)?;
        let parent = child_filter(body)?;
        let start = body.get("ExclusiveStartShardId").and_then(Json::text).unwrap_or_default();
        let mut shards = stream
            .kept_shards(now)
            .filter(|shard| shard.shard_id.as_str() > start)
            .filter(|shard| parent.is_none() || shard.parent_shard_id.as_deref() == parent);
        let page: Vec<&ShardDefinition> = shards.by_ref().take(limit(body, LIST_LIMIT)).collect();
        let last = page.last().filter(|_| shards.next().is_some()).map(|shard| shard.shard_id.as_str());
        let description = StreamDescription {
            stream_arn: self.stream_arn(&stream.table_name, &stream.stream_label),
            stream_label: &stream.stream_label,
            stream_status: if stream.disabled_ms.is_some() { "DISABLED" } else { "ENABLED" },
            stream_view_type: stream.stream_view_type.name(),
            creation_request_date_time: stream.creation_request_date_time,
            table_name: &stream.table_name,
            key_schema: &stream.key_schema,
            shards: page.into_iter().map(ShardDescription::of).collect(),
            last_evaluated_shard_id: last,
        };
        let answer = Described { stream_description: description };
        Ok(serde_json::to_vec(&answer).expect("a description is always JSON"))
    }

    /// GetShardIterator.
    pub(super) fn get_shard_iterator(&self, body: &Json<'_>) -> Handled {
        let arn = text(body, "StreamArn");
        let kind = text(body, "ShardIteratorType");
        let number = requested_number(kind, body.get("SequenceNumber").and_then(Json::text))?;
        let (snapshot, now) = (self.snapshot()?, self.clock.now_ms());
        let stream = self.find_stream(&snapshot, arn, now)?;
        let id = text(body, "ShardId");
        let shard = stream.kept_shards(now).find(|shard| shard.shard_id == id).ok_or_else(|| {
            ApiError::new(ErrorCode::ResourceNotFound, "Requested resource not found: Shard does not exist")
        })?;
        let from = match (kind, number) {
            (_, Some(number)) => {
                check_number(shard, number)?;
                let from =
                    SequenceNumber(number.0.saturating_add(u128::from(kind == "AFTER_SEQUENCE_NUMBER")));
                refuse_trimmed(&snapshot, shard, from, now)?;
                from
            }
            ("LATEST", None) => {
                let last = shard.last_record(&*snapshot)?.unwrap_or(shard.starting_sequence_number);
                SequenceNumber(last.0 + 1)
            }
            (_, None) => SequenceNumber::default(),
        };
        let arn = self.stream_arn(&stream.table_name, &stream.stream_label);
        let iterator = ShardIterator { arn: &arn, space: shard.space, from, issued_ms: now };
        let mut answer = ObjectWriter::with_capacity(256);
        write_string(&iterator.encode(), answer.member("ShardIterator"));
        Ok(answer.finish())
    }

    /// GetRecords.
    pub(super) fn get_records(&self, body: &Json<'_>) -> Handled {
        let now = self.clock.now_ms();
        let iterator = ShardIterator::decode(text(body, "ShardIterator"), now)?;
        let snapshot = self.snapshot()?;
        let stream = self.find_stream(&snapshot, iterator.arn, now)?;
        let shard = stream.kept_shards(now).find(|shard| shard.space == iterator.space);
        let shard = shard.ok_or_else(trimmed)?;
        refuse_trimmed(&snapshot, shard, iterator.from, now)?;
        let mut page = Page { from: iterator.from, ..Page::default() };
        page.read(&snapshot, &stream, shard, limit(body, RECORDS_MAX), &self.settings.region, now)?;
        let mut answer = ObjectWriter::with_capacity(page.records.len() + 256);
        let records = answer.member("Records");
        records.push(b'[');
        records.extend_from_slice(&page.records);
        records.push(b']');
        if page.is_full || shard.is_open() {
            let next = ShardIterator { from: page.from, issued_ms: now, ..iterator };
            write_string(&next.encode(), answer.member("NextShardIterator"));
        }
        Ok(answer.finish())
    }

    /// Closes shards whose time is over and drops what is not kept any more: one stream after the other, and one shard in a
    /// commit, so that writes of clients never wait long behind it.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) async fn tidy_streams(&self) -> Result<(), StoreError> {
        for (table, label) in all_streams(&*self.snapshot()?, None)? {
            let mut before = None;
            loop {
                let stream = StreamDefinition::load(&*self.snapshot()?, &table, &label)?;
                let Some(stream) = stream.filter(|stream| is_untidy(stream, self.clock.now_ms())) else {
                    break;
                };
                if before.as_ref() == Some(&stream) {
                    // What the last turn could not tidy the next one cannot either.
                    break;
                }
                before = Some(stream);
                let (catalog, clock) = (Arc::clone(&self.catalog), self.clock.clone());
                let (table, label) = (table.clone(), label.clone());
                let job = move |writes: &mut dyn Writes| tidy(&table, &label, &catalog, &clock, writes);
                self.store.submit(Box::new(job)).await?;
            }
        }
        Ok(())
    }

    fn stream_arn(&self, table: &str, label: &str) -> String {
        format!("{}/stream/{label}", tables::table_arn(&self.settings.region, table))
    }

    fn find_stream(&self, snapshot: &Snapshot, arn: &str, now: u64) -> Result<StreamDefinition, LocalError> {
        let name = StreamName::parse(arn)?;
        let stream = StreamDefinition::load(&**snapshot, name.table, name.label)?;
        let is_here = self.settings.arn_regions.includes(arn);
        let stream = stream.filter(|stream| is_here && stream.is_kept(now));
        let unknown = || {
            let words = format!("Requested resource not found: Stream: {arn} not found");
            ApiError::new(ErrorCode::ResourceNotFound, words)
        };
        Ok(stream.ok_or_else(unknown)?)
    }
}

/// What an ARN `arn:aws:dynamodb:REGION:ACCOUNT:table/TABLE/stream/LABEL` names.
#[derive(Clone, Copy, Debug)]
struct StreamName<'a> {
    table: &'a str,
    label: &'a str,
}

impl<'a> StreamName<'a> {
    fn parse(arn: &'a str) -> Result<Self, ApiError> {
        let name = Arn::parse(arn).and_then(|arn| {
            let (table, label) = arn.resource.strip_prefix("table/")?.split_once("/stream/")?;
            (!table.is_empty() && !label.is_empty()).then_some(Self { table, label })
        });
        name.ok_or_else(|| ApiError::validation("Invalid StreamArn"))
    }
}

/// Records read for an answer.
#[derive(Debug, Default)]
struct Page {
    /// The records' JSON texts with commas between them.
    records: Vec<u8>,
    /// Where the next page begins.
    from: SequenceNumber,
    /// True when the shard may have more.
    is_full: bool,
}

impl Page {
    fn read(
        &mut self,
        snapshot: &Snapshot,
        stream: &StreamDefinition,
        shard: &ShardDefinition,
        limit: usize,
        region: &str,
        now: u64,
    ) -> Result<(), StoreError> {
        let start = self.from.max(horizon(now));
        let range = KeyRange { start: start.key().to_vec(), end: None };
        let (mut count, mut bytes) = (0, 0);
        let mut broken = None;
        snapshot.range(shard.records(), &range, Direction::Forward, &mut |key, value| {
            let read = SequenceNumber::from_key(key).and_then(|number| Ok((number, Record::read(value)?)));
            let (number, record) = match read {
                Ok(read) => read,
                Err(error) => {
                    broken = Some(error);
                    return ControlFlow::Break(());
                }
            };
            bytes += record.size_bytes;
            if count == limit || (count > 0 && bytes > RECORDS_BYTES_MAX) {
                self.is_full = true;
                return ControlFlow::Break(());
            }
            if count > 0 {
                self.records.push(b',');
            }
            record.write_json(number, shard.space, stream.stream_view_type, region, &mut self.records);
            self.from = SequenceNumber(number.0 + 1);
            count += 1;
            ControlFlow::Continue(())
        })?;
        broken.map_or(Ok(()), Err)
    }
}

/// The first number that a record may have that is still kept.
fn horizon(now: u64) -> SequenceNumber {
    SequenceNumber::at(now.saturating_sub(KEPT_MS))
}

/// Refuses a place whose next record is not kept any more. The oldest place never is such a one.
fn refuse_trimmed(
    snapshot: &Snapshot,
    shard: &ShardDefinition,
    from: SequenceNumber,
    now: u64,
) -> Result<(), LocalError> {
    if from == SequenceNumber::default() || from >= horizon(now) {
        return Ok(());
    }
    let outdated = KeyRange { start: from.key().to_vec(), end: Some(horizon(now).key().to_vec()) };
    let mut is_trimmed = false;
    snapshot.range(shard.records(), &outdated, Direction::Forward, &mut |_, _| {
        is_trimmed = true;
        ControlFlow::Break(())
    })?;
    if is_trimmed { Err(trimmed().into()) } else { Ok(()) }
}

fn trimmed() -> ApiError {
    ApiError::new(ErrorCode::TrimmedDataAccess, "The data you are trying to access has been trimmed")
}

/// The number that an iterator of that kind begins with.
fn requested_number(kind: &str, number: Option<&str>) -> Result<Option<SequenceNumber>, ApiError> {
    let invalid = |words: &str| {
        Err(ApiError::validation(format!("One or more parameter values were invalid: {words}")))
    };
    match (kind.ends_with("_SEQUENCE_NUMBER"), number) {
        (false, None) => Ok(None),
        (false, Some(_)) => invalid("SequenceNumber should not be passed for this iterator type"),
        // What is no number is told like one that the shard never gave: no shard gave the least.
        (true, Some(text)) => Ok(Some(SequenceNumber::parse(text).unwrap_or_default())),
        (true, None) => invalid("SequenceNumber cannot be null"),
    }
}

/// Refuses a number that the shard never gave.
fn check_number(shard: &ShardDefinition, number: SequenceNumber) -> Result<(), ApiError> {
    let is_after_end = shard.ending_sequence_number.is_some_and(|ending| number > ending);
    if number < shard.starting_sequence_number || is_after_end {
        return Err(ApiError::validation("Invalid SequenceNumber for the shard"));
    }
    Ok(())
}

/// The parent whose children alone are asked for.
fn child_filter<'a>(body: &'a Json<'_>) -> Result<Option<&'a str>, ApiError> {
    let Some(filter) = body.get("ShardFilter") else { return Ok(None) };
    match (filter.get("Type").and_then(Json::text), filter.get("ShardId").and_then(Json::text)) {
        (None, None) => Ok(None),
        (Some(_), Some(parent)) => Ok(Some(parent)),
        (Some(_), None) | (None, Some(_)) => Err(ApiError::validation(
            "One or more parameter values were invalid: ShardFilter needs both Type and ShardId",
        )),
    }
}

fn limit(body: &Json<'_>, default: usize) -> usize {
    let limit = body.get("Limit").and_then(Json::integer);
    limit.and_then(|limit| usize::try_from(limit).ok()).map_or(default, |limit| limit.min(default))
}

fn is_untidy(stream: &StreamDefinition, now: u64) -> bool {
    let is_outdated = |shard: &ShardDefinition| {
        !shard.is_kept(now) || shard.is_open() && now >= shard.opened_ms + change_log::SHARD_MS_MAX
    };
    !stream.is_kept(now) || stream.shards.iter().any(is_outdated)
}

/// Tidies one stream by a step, in one job: through its log while it is written to, else what is stored of it.
fn tidy(
    table: &str,
    label: &str,
    catalog: &Catalog,
    clock: &Clock,
    writes: &mut dyn Writes,
) -> Result<(), StoreError> {
    let Some(mut stream) = StreamDefinition::load(&*writes, table, label)? else { return Ok(()) };
    if stream.disabled_ms.is_none() {
        let table = catalog.find(table);
        return table.and_then(|table| table.log.clone()).map_or(Ok(()), |log| log.tidy(writes));
    }
    let now = clock.now_ms();
    let is_changed = change_log::drop_outdated(&mut stream, now, writes)?;
    if !stream.is_kept(now) && stream.shards.is_empty() {
        return stream.remove(writes);
    }
    if is_changed { stream.store(writes) } else { Ok(()) }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamList<'a> {
    streams: Vec<StreamSummary<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_stream_arn: Option<String>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSummary<'a> {
    stream_arn: String,
    table_name: &'a str,
    stream_label: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Described<'a> {
    stream_description: StreamDescription<'a>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamDescription<'a> {
    stream_arn: String,
    stream_label: &'a str,
    stream_status: &'static str,
    stream_view_type: &'static str,
    creation_request_date_time: f64,
    table_name: &'a str,
    key_schema: &'a [KeyElement],
    shards: Vec<ShardDescription<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_evaluated_shard_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ShardDescription<'a> {
    shard_id: &'a str,
    sequence_number_range: SequenceNumberRange,
    #[serde(skip_serializing_if = "Option::is_none")]
    parent_shard_id: Option<&'a str>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SequenceNumberRange {
    starting_sequence_number: SequenceNumber,
    #[serde(skip_serializing_if = "Option::is_none")]
    ending_sequence_number: Option<SequenceNumber>,
}

impl<'a> ShardDescription<'a> {
    fn of(shard: &'a ShardDefinition) -> Self {
        Self {
            shard_id: &shard.shard_id,
            sequence_number_range: SequenceNumberRange {
                starting_sequence_number: shard.starting_sequence_number,
                ending_sequence_number: shard.ending_sequence_number,
            },
            parent_shard_id: shard.parent_shard_id.as_deref(),
        }
    }
}

#[cfg(test)]
mod tests;
