//! Lists that an answer needs and that the table cannot keep, because it is full or its file cannot be written.
//!
//! A write that has happened must be answered as such, or its client repeats it; and an item that is there must be shown. So these
//! lists have ids as all others have, made from their names, for clients that ask for the names at once. The oldest make room for new
//! ones, and none outlives the process. A client that writes under such an id later may hear that it is not known, where it would
//! have heard before that its list cannot be defined.

use std::collections::VecDeque;
use std::sync::Arc;

use super::AttributeList;

/// The most lists that are lent at one time.
const LISTS_MAX: usize = 1000;
/// The most bytes of memory for all of them, beside the last.
const BYTES_MAX: usize = 8 << 20;

/// The lists, the oldest first.
#[derive(Debug, Default)]
pub(super) struct Lent {
    lists: VecDeque<Arc<AttributeList>>,
    bytes: usize,
}

impl Lent {
    pub(super) fn is_empty(&self) -> bool {
        self.lists.is_empty()
    }

    /// The list of exactly these names.
    pub(super) fn find<'n>(
        &self,
        names: impl Iterator<Item = &'n str> + Clone,
    ) -> Option<Arc<AttributeList>> {
        self.lists.iter().find(|list| list.names().eq(names.clone())).cloned()
    }

    /// The list of an id.
    pub(super) fn list(&self, id: u64) -> Option<Arc<AttributeList>> {
        self.lists.iter().find(|list| list.id() == id).cloned()
    }

    /// Adds a list, which is not among them.
    pub(super) fn add(&mut self, list: Arc<AttributeList>) {
        while self.lists.len() >= LISTS_MAX || self.bytes + list.bytes() > BYTES_MAX {
            let Some(oldest) = self.lists.pop_front() else { break };
            self.bytes -= oldest.bytes();
        }
        self.bytes += list.bytes();
        self.lists.push_back(list);
    }
}
