//! A page as it is kept: the facts that decide on its use, its fingerprint and its body.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::capacity::ReadPrice;

use super::super::blocks::Held;
use super::super::table::{Address, CachedTable};
use super::body::Page;
use super::budget::Charge;
use super::scope::PageScope;
use super::words::PageVersion;

/// What moka keeps for an entry, in its hash table, its lists and its sketch. 200,000 pages of 300 bytes had 298 bytes
/// each resident beyond what is counted elsewhere; the rest is for tables that have just grown.
const STORE_BYTES: u64 = 336;

/// The counters of an [`Arc`].
const ARC_BYTES: u64 = 16;

/// What is kept beside fingerprint and body.
#[derive(Clone, Debug)]
pub(super) struct PageFacts {
    pub(super) table: Arc<CachedTable>,
    pub(super) scope: PageScope,
    /// As captured before the page was sent for.
    pub(super) version: PageVersion,
    /// Milliseconds since the cache was made.
    pub(super) sent_ms: u64,
    /// Milliseconds since the cache was made.
    pub(super) expires_ms: u64,
}

/// An entry of the page store.
#[derive(Debug)]
pub(super) struct PageEntry {
    pub(super) facts: PageFacts,
    fingerprint_bytes: u32,
    bytes: usize,
    crc32: u32,
    price: ReadPrice,
    held: Held,
    /// Gives the bytes back to the budget when the entry is gone, whoever held it last.
    charge: Option<Charge>,
}

impl PageEntry {
    pub(super) fn new(facts: PageFacts, fingerprint: &[u8], page: &Page) -> Self {
        Self {
            facts,
            fingerprint_bytes: u32::try_from(fingerprint.len()).unwrap_or(u32::MAX),
            bytes: fingerprint.len() + page.body().len(),
            crc32: page.crc32(),
            price: page.price(),
            held: Held::from_parts(&[fingerprint, page.body()]),
            charge: None,
        }
    }

    /// The entry, with what it pays for its place.
    pub(super) fn charged(mut self, charge: Charge) -> Self {
        self.charge = Some(charge);
        self
    }

    /// True unless it is of another request with the same hash.
    pub(super) fn is_for(&self, address: &Address<'_>) -> bool {
        self.facts.table.id() == address.table.id()
            && self.fingerprint_bytes() == address.key.len()
            && self.held.holds(0, address.key)
    }

    /// True if it holds exactly this page.
    pub(super) fn holds(&self, page: &Page) -> bool {
        self.bytes - self.fingerprint_bytes() == page.body().len()
            && self.held.holds(self.fingerprint_bytes(), page.body())
    }

    /// The page: of usual length, a slice of the entry; put together anew if it is long.
    pub(super) fn page(&self) -> Page {
        let body: Bytes = self.held.clone().into_bytes(self.fingerprint_bytes(), self.bytes);
        Page::from_parts(body, self.crc32, self.price)
    }

    /// A request is a few megabytes at most, and a fingerprint little more.
    fn fingerprint_bytes(&self) -> usize {
        self.fingerprint_bytes as usize
    }

    /// The checksum of its body.
    pub(super) fn crc32(&self) -> u32 {
        self.crc32
    }

    /// The bytes that it takes from the allocator, its place in the store included.
    pub(super) fn allocated_bytes(&self) -> u64 {
        self.held.allocated_bytes() + size_of::<Self>() as u64 + ARC_BYTES + STORE_BYTES
    }
}
