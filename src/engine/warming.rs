//! Warm-up: a table is read page by page, and its items are stored before anybody asks for them.
//!
//! What is stored, and what is not, is decided in the cache ([`PageCache::begin_warming`](crate::cache::PageCache::begin_warming)).
//! How fast pages are read, and of which segments, is the caller's to decide. Keys are users' data: a place is never logged.

use std::sync::Arc;

use bytes::Bytes;
use tokio::time::Instant;

use super::Engine;
use super::items::cached_item_of;
use super::known_table::KnownTable;
use crate::cache::{Consistency, PageItem, WarmItem};
use crate::call::{Answer, Request};
use crate::model::capacity::UnitKind;
use crate::model::{ErrorCode, ErrorName, Operation};
use crate::wire::Json;
use crate::wire::json::write_string;
use crate::wire::raw::RawObject;
use crate::wire::request::{item_key_bytes, item_partition_bytes};

/// The part of the budget that must be free for a warm-up to go on: one in so many.
const FREE_PART: u64 = 50;

/// What the upstream says of a table before a warm-up. It counts items a few times a day.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WarmSurvey {
    /// The table's name, however it was asked for.
    pub table: String,
    /// Its ARN, which distinguishes tables of several accounts; empty if the upstream reports none.
    pub arn: String,
    /// How many items it has; `None` if the upstream does not say.
    pub items: Option<u64>,
    /// How large they are together.
    pub bytes: Option<u64>,
    /// What changes if the cache drops what it has of the table.
    pub mark: WarmMark,
}

/// Equal marks mean that the cache has not dropped the table between them: by a flush, a new policy, or a change of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WarmMark {
    policies: u64,
    word: u64,
}

/// The room of the cache when a warm-up began.
#[derive(Clone, Copy, Debug)]
pub struct WarmRoom {
    evictions: u64,
}

/// Where a warm-up goes on: in a segment of a parallel scan, behind a key.
#[derive(Clone, PartialEq, Eq)]
pub struct WarmPlace {
    /// The segment, from 0.
    pub segment: u32,
    /// How many there are.
    pub segments: u32,
    /// The key, as the upstream wrote it; `None` at the beginning.
    pub after: Option<Bytes>,
}

/// What a page has brought.
#[derive(Clone, PartialEq)]
pub struct WarmPage {
    /// How many items it had.
    pub items: u64,
    /// How many of them are cached now.
    pub installed: u64,
    /// What it cost.
    pub read_units: f64,
    /// The key behind which the segment goes on; `None` at its end.
    pub next: Option<Bytes>,
    /// The table's mark before the page was read.
    pub mark: WarmMark,
}

/// Why a page was not read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum WarmFailure {
    /// The upstream has no such table.
    #[error("there is no such table")]
    Missing,
    /// Items of the table are not cached.
    #[error("items of the table are not cached")]
    Off,
    /// The cache of the table is in shadow mode, and is to hold what the table's own reads bring.
    #[error("the cache of the table is in shadow mode")]
    Shadow,
    /// The upstream does not answer now, or wants fewer requests. It is worth trying again.
    #[error("the upstream does not answer: {0}")]
    Transient(String),
    /// Trying again would not help.
    #[error("the upstream rejects it: {0}")]
    Permanent(String),
}

impl Engine {
    /// Asks the upstream about a table that is to be warmed.
    ///
    /// # Errors
    /// [`WarmFailure`]
    pub async fn survey(self: &Arc<Self>, table: &str) -> Result<WarmSurvey, WarmFailure> {
        let mut body = b"{\"TableName\":".to_vec();
        write_string(table, &mut body);
        body.push(b'}');
        let answer = self.forward(&Request::new(Operation::DescribeTable, body)).await;
        if !answer.is_success() {
            return Err(failure(&answer));
        }
        let (known, _) = self.warmable(table).await?;
        let description = Json::parse(&answer.body).ok();
        let count = |name: &str| {
            let count = description.as_ref()?.get("Table")?.get(name)?.integer()?;
            u64::try_from(count).ok()
        };
        Ok(WarmSurvey {
            table: known.name.to_string(),
            arn: known.arn().to_owned(),
            items: count("ItemCount"),
            bytes: count("TableSizeBytes"),
            mark: mark_of(&known),
        })
    }

    /// The mark of a table now.
    ///
    /// # Errors
    /// [`WarmFailure`]
    pub async fn warm_mark(self: &Arc<Self>, table: &str) -> Result<WarmMark, WarmFailure> {
        self.warmable(table).await.map(|(known, _)| mark_of(&known))
    }

    /// Must be called before the first page of a warm-up.
    pub fn begin_warm_up(&self) -> WarmRoom {
        WarmRoom { evictions: self.cache.stats().evictions }
    }

    /// True while there is room for more items, and nothing was evicted since the warm-up began. A part of the cache may be full
    /// before the whole of it is.
    pub fn has_room_to_warm(&self, room: WarmRoom) -> bool {
        let usage = self.cache.stats();
        usage.evictions == room.evictions && usage.bytes < usage.bytes_max - usage.bytes_max / FREE_PART
    }

    /// Reads a page of at most that many items, and stores those for which that is right. Dropping the future stops it.
    ///
    /// # Errors
    /// [`WarmFailure`]
    pub async fn warm_page(
        self: &Arc<Self>,
        table: &str,
        place: &WarmPlace,
        items_max: u64,
    ) -> Result<WarmPage, WarmFailure> {
        let (table, policy) = self.warmable(table).await?;
        let mark = mark_of(&table);
        let warming = self.pages.begin_warming(&table.cached, policy.fill, Instant::now());
        self.check_current(&table);
        let consistency = warming.consistency();
        // Its spelling: the bare name may mean a table of another account.
        let body = scan(&table.spelling, place, items_max, consistency);
        let answer = self.forward(&Request::new(Operation::Scan, body)).await;
        if !answer.is_success() {
            self.check_rejection(&answer, &table);
            return Err(failure(&answer));
        }
        let page = read_page(&answer.body, &table);
        let Some((items, next)) = page else {
            self.note_foreign_key(&table);
            return Err(WarmFailure::Permanent("its answer cannot be read".to_owned()));
        };
        let count = items.len() as u64;
        let warmed = warming.store(&items, &policy, Instant::now());
        let charged = answer.charges.iter().filter(|charge| charge.kind == UnitKind::Read);
        let read_units = charged.map(|charge| charge.consumed.total().halves() as f64 / 2.0).sum();
        Ok(WarmPage { items: count, installed: warmed.stored + warmed.there, read_units, next, mark })
    }

    async fn warmable(
        self: &Arc<Self>,
        table: &str,
    ) -> Result<(Arc<KnownTable>, crate::cache::ReadPolicy), WarmFailure> {
        let known = self
            .learn(table)
            .await
            .ok_or_else(|| WarmFailure::Transient("its description of the table cannot be had".to_owned()))?;
        if !known.is_spelled(table) {
            return Err(WarmFailure::Missing);
        }
        let policy = known.policy.ok_or(WarmFailure::Off)?;
        if known.is_in_shadow() { Err(WarmFailure::Shadow) } else { Ok((known, policy)) }
    }
}

/// A Scan of one page of a segment, of all attributes.
fn scan(table: &str, place: &WarmPlace, items_max: u64, consistency: Consistency) -> Vec<u8> {
    let mut body = b"{\"TableName\":".to_vec();
    write_string(table, &mut body);
    let WarmPlace { segment, segments, after } = place;
    let rest = format!(",\"Segment\":{segment},\"TotalSegments\":{segments},\"Limit\":{items_max}");
    body.extend_from_slice(rest.as_bytes());
    if consistency == Consistency::Strong {
        body.extend_from_slice(b",\"ConsistentRead\":true");
    }
    if let Some(after) = after {
        body.extend_from_slice(b",\"ExclusiveStartKey\":");
        body.extend_from_slice(after);
    }
    body.push(b'}');
    body
}

/// The items of a page, and the key behind which the next one begins; `None` if a part of it cannot be read.
fn read_page(body: &[u8], table: &KnownTable) -> Option<(Vec<WarmItem>, Option<Bytes>)> {
    let next = RawObject::parse(body)?.get("LastEvaluatedKey").map(|key| Bytes::from(key.to_owned()));
    let body = Json::parse(body).ok()?;
    let schema = &table.schema.key;
    let read = |item: &Json<'_>| {
        Some(WarmItem {
            item: PageItem { key: item_key_bytes(schema, item)?, image: cached_item_of(Some(item))? },
            partition: item_partition_bytes(schema, item)?,
        })
    };
    let items: Option<Vec<_>> = body.get("Items")?.elements()?.iter().map(read).collect();
    Some((items?, next))
}

fn mark_of(table: &KnownTable) -> WarmMark {
    WarmMark { policies: table.policies, word: table.cached.invalidations() }
}

fn failure(answer: &Answer) -> WarmFailure {
    let code = answer.error.as_ref().and_then(ErrorName::code);
    let name = answer
        .error
        .as_ref()
        .map_or_else(|| format!("status {}", answer.status), |error| error.text().to_owned());
    match code {
        Some(ErrorCode::ResourceNotFound) => WarmFailure::Missing,
        Some(ErrorCode::Throttling | ErrorCode::ProvisionedThroughputExceeded) => {
            WarmFailure::Transient(name)
        }
        _ if answer.status >= 500 || name == "RequestLimitExceeded" => WarmFailure::Transient(name),
        _ => WarmFailure::Permanent(name),
    }
}
