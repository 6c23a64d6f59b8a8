//! What a node does for a reader: hits, fills, and the second level.

use crate::model::Fleet;
use crate::rules::Rule;
use crate::state::{Fill, Node, State};

impl Fleet {
    /// How long a lease is, and how old an entry may be that is served without one.
    pub(crate) fn lease_length(&self) -> u8 {
        if self.obeys(Rule::DriftMargin) { self.0.lease } else { self.0.lease + 1 }
    }

    /// True if the node has a lease.
    pub(crate) fn is_fresh(&self, n: &Node) -> bool {
        n.member && n.clock < n.lease && n.distrust_until == 0
    }

    /// The version that a reader gets from the cache.
    pub(crate) fn hit(&self, n: &Node) -> Option<u8> {
        let (word, version, sent) = n.entry?;
        if (word != n.word && self.obeys(Rule::ValidateHits)) || n.held {
            return None;
        }
        let may = !self.obeys(Rule::LeaseGatesHits) || self.may_use(n, sent);
        may.then_some(version)
    }

    /// True if what was sent for at that time may be used for a reader who comes now.
    pub(crate) fn may_use(&self, n: &Node, sent: u8) -> bool {
        let is_strong = sent >= n.lease || n.distrust_until != 0 || !self.obeys(Rule::YoungMeansStrong);
        let is_young = n.clock - sent < self.lease_length() && is_strong;
        self.is_fresh(n) || (is_young && !(self.0.strict && self.obeys(Rule::StrictLapsedBypasses)))
    }

    /// Reads are strong for a while.
    pub(crate) fn touch(&self, n: &mut Node) {
        n.touched_until = n.clock + self.0.touched;
    }

    /// Invalidates the entry and every fill in flight.
    pub(crate) fn void(&self, n: &mut Node) {
        self.touch(n);
        n.word += 1;
    }

    /// A reader comes: a hit, or a fill that it joins or begins. `None` where the bounds leave no fill.
    pub(crate) fn read(&self, s: &mut State, i: usize) -> Option<()> {
        let p = &self.0;
        let floor = self.floor(s);
        if let Some(version) = self.hit(&s.nodes[i]) {
            self.serve(s, version, floor, "hit");
        } else {
            let n = &s.nodes[i];
            let may_join = |fill: &Fill| {
                (fill.word == n.word || !self.obeys(Rule::JoinOnEqualWords))
                    && !(n.held && self.obeys(Rule::NoJoinsWhileHeld))
                    && (self.may_use(n, fill.sent) || !self.obeys(Rule::JoinNeedsLease))
            };
            match n.fills.iter().position(may_join) {
                Some(f) => s.nodes[i].fills[f].floor = s.nodes[i].fills[f].floor.max(floor),
                None if n.fills.len() < p.fills_max => self.begin_fill(s, i, floor),
                None => return None,
            }
        }
        Some(())
    }

    /// A reader finds an entry in the second level.
    pub(crate) fn read_second_level(&self, s: &mut State, i: usize, k: usize) -> Option<()> {
        let floor = self.floor(s);
        let (token, version) = s.second_level[k];
        let n = &s.nodes[i];
        if n.fills.iter().any(|fill| fill.word == n.word) {
            return None;
        }
        let fill = Fill {
            word: n.word,
            strong: true,
            sent: n.clock,
            position: n.position,
            value: Some(version),
            floor,
            token: Some(Some(token)),
        };
        s.nodes[i].fills.push(fill);
        Some(())
    }

    pub(crate) fn begin_fill(&self, s: &mut State, i: usize, floor: u8) {
        let n = &s.nodes[i];
        let is_lapsed = !self.is_fresh(n) && self.obeys(Rule::LapsedReadsStrongly);
        let strong =
            !self.0.eventual || n.clock < n.touched_until || is_lapsed || n.held || n.write.is_some();
        let fill = Fill {
            word: n.word,
            strong,
            sent: n.clock,
            position: n.position,
            value: None,
            floor,
            token: None,
        };
        s.nodes[i].fills.push(fill);
        if !self.0.slow_fills && strong {
            let version = s.commits.len() as u8 - 1;
            let last = s.nodes[i].fills.len() - 1;
            s.nodes[i].fills[last].value = Some(version);
            self.land(s, i, last);
        }
    }

    pub(crate) fn land(&self, s: &mut State, i: usize, f: usize) {
        let fill = s.nodes[i].fills.remove(f);
        let version = fill.value.expect("read");
        let n = &s.nodes[i];
        if let Some(token) = fill.token {
            let token = token.expect("found");
            let same_word = fill.word == n.word || !self.obeys(Rule::SecondLevelComparesWord);
            let is_new_enough = n.last_invalidation <= token || !self.obeys(Rule::TokenComparedWithLast);
            let above_floor = n.floor_position <= token || !self.obeys(Rule::TokenAboveFloor);
            let no_writes = (n.write.is_none() && !n.unpublished) || !self.obeys(Rule::TokenHeedsOwnWrites);
            if same_word && is_new_enough && above_floor && no_writes && self.is_fresh(n) {
                let word = n.word;
                s.nodes[i].entry = Some((word, version, 0));
                self.serve(s, version, fill.floor, "second level");
            } else {
                self.begin_fill(s, i, fill.floor);
            }
            return;
        }
        if self.0.second_level {
            let token = if self.obeys(Rule::TokenBeforeSend) { fill.position } else { n.position };
            put(&mut s.second_level, token, version);
        }
        let n = &mut s.nodes[i];
        let word = if self.obeys(Rule::CaptureBeforeSend) { fill.word } else { n.word };
        let may = !self.0.strict || self.is_fresh(n) || !self.obeys(Rule::StrictLapsedBypasses);
        if word == n.word && !n.held && may {
            n.entry = Some((word, version, fill.sent));
        }
        self.serve(s, version, fill.floor, "fill");
    }
}

/// Puts a pair into the second level.
pub(crate) fn put(pairs: &mut Vec<(u8, u8)>, token: u8, version: u8) {
    if !pairs.contains(&(token, version)) {
        pairs.push((token, version));
        pairs.sort_unstable();
    }
}
