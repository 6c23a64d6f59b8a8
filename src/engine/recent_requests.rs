//! Requests for pages that were understood before, found again by their very bytes.
//!
//! Programs send the same few requests, byte for byte. Reading one to the last member costs more than all else of a hit; so
//! what came of that is kept, in a table of fixed size, and holds for as long as no table is forgotten. Losing an entry
//! costs a reading, and nothing else. Engines of several realms share the table: the same bytes mean another page in each, so
//! no two engines ever have the same generation.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;

use crate::cache::Realm;
use crate::call::Request;

use super::pages::PageRead;

/// Requests that take more bytes, with what came of reading them, are read again each time.
const BYTES_MAX: usize = 1024;

/// The part of the budget of pages that these may take on top of it: one in so many.
const BUDGET_SHARE: u64 = 8;

/// Requests that were understood.
pub(super) struct RecentRequests {
    slots: Box<[ArcSwapOption<RecentRequest>]>,
    /// Of this process, so that nobody can choose requests that push each other out.
    hashers: RandomState,
    /// The last generation that an engine was given.
    generations: AtomicU64,
}

/// A request that was understood.
struct RecentRequest {
    /// Before any of it was looked up.
    generation: Generation,
    read: PageRead,
}

/// A time during which no table was forgotten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Generation(pub(super) u64);

/// Where a request belongs.
#[derive(Clone, Copy)]
pub(super) struct Place(usize);

impl RecentRequests {
    /// Room for requests beside a budget of pages: they take a few percent of it on top, at most an eighth.
    pub(super) fn new(page_bytes_max: u64) -> Self {
        let slots = page_bytes_max / BUDGET_SHARE / BYTES_MAX as u64;
        let slots = usize::try_from(slots).unwrap_or(usize::MAX).clamp(1, 1 << 16);
        // Rounded down: the share is a bound.
        let slots = (slots + 1).next_power_of_two() / 2;
        Self {
            slots: (0..slots.max(2)).map(|_| ArcSwapOption::empty()).collect(),
            hashers: RandomState::new(),
            generations: AtomicU64::new(0),
        }
    }

    /// A generation that no engine has had before.
    pub(super) fn new_generation(&self) -> u64 {
        self.generations.fetch_add(1, Ordering::AcqRel) + 1
    }

    pub(super) fn place(&self, realm: Realm, request: &Request) -> Place {
        let mut hasher = self.hashers.build_hasher();
        hasher.write_u64(request.operation.index() as u64 | u64::from(realm.number()) << 32);
        hasher.write(&request.body);
        Place(hasher.finish() as usize & (self.slots.len() - 1))
    }

    /// Looks at what the same bytes meant when they were read last, if they mean the same today.
    pub(super) fn with<T>(
        &self,
        place: Place,
        request: &Request,
        generation: Generation,
        look: impl FnOnce(&PageRead) -> T,
    ) -> Option<T> {
        let is_it = |recent: &RecentRequest| {
            let known = &recent.read.request;
            recent.generation == generation
                && known.operation == request.operation
                && known.body == request.body
        };
        for slot in [place.0, place.0 ^ 1] {
            let kept = self.slots[slot].load();
            if let Some(recent) = kept.as_deref().filter(|recent| is_it(recent)) {
                return Some(look(&recent.read));
            }
        }
        None
    }

    /// Keeps a request in its place or the one beside it, unless it is too long.
    pub(super) fn keep(&self, place: Place, generation: Generation, read: PageRead) {
        let bytes = read.request.body.len() + read.plan.fingerprint.len();
        if bytes + size_of::<RecentRequest>() > BYTES_MAX {
            return;
        }
        // A body is a slice of whatever the connection had read; the copy holds on to no more than itself. It is nobody's: who sends
        // the same bytes sends its own request.
        let request = Request::new(read.request.operation, read.request.body.to_vec());
        let recent = RecentRequest { generation, read: PageRead { request, ..read } };
        let slot =
            if self.slots[place.0].load().is_none() || fastrand::bool() { place.0 } else { place.0 ^ 1 };
        self.slots[slot].store(Some(Arc::new(recent)));
    }
}
