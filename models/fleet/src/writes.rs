//! What a node does for a writer, from its request to its answer.

use crate::model::Fleet;
use crate::reads::put;
use crate::rules::Rule;
use crate::state::{Entry, Node, Phase, State, Write};

impl Fleet {
    /// A writer comes.
    pub(crate) fn begin_write(&self, s: &mut State, i: usize) {
        let p = &self.0;
        let n = &mut s.nodes[i];
        n.writes_left -= 1;
        self.touch(n);
        let mut phase = Phase::Sent;
        if p.fenced {
            if self.obeys(Rule::FenceOwnNode) {
                n.word += 1;
                n.held = true;
            }
            if self.obeys(Rule::FenceBeforeSend) {
                s.log.push(Entry::Hold { by: i as u8 });
                phase = Phase::Fencing(s.log.len() as u8);
            }
        }
        s.nodes[i].write = Some(Write { phase, version: 0 });
        if !self.obeys(Rule::PublishAfterVerdict) {
            s.publications.push(Entry::Invalidation { by: i as u8, version: s.commits.len() as u8 });
        }
    }

    /// The database takes the write.
    pub(crate) fn commit(&self, s: &mut State, i: usize) {
        s.commits.push(s.time);
        s.answered.push(None);
        let version = s.commits.len() as u8 - 1;
        s.nodes[i].write = Some(Write { phase: Phase::Committed, version });
    }

    /// The database's answer arrives at the node.
    pub(crate) fn hear_verdict(&self, s: &mut State, i: usize) {
        let p = &self.0;
        let n = &mut s.nodes[i];
        let version = n.write.as_ref().expect("a write").version;
        if self.obeys(Rule::BumpOnVerdict) {
            self.void(n);
        }
        n.held = false;
        n.known = n.known.max(version);
        n.write = Some(Write { phase: Phase::Publishing, version });
        // A node that is to be cut off publishes nothing: all else is in other runs.
        if self.obeys(Rule::PublishAfterVerdict) && !p.unreceipted {
            s.publications.push(Entry::Invalidation { by: i as u8, version });
        }
        if !self.obeys(Rule::AwaitReceipt) {
            self.answer_write(s, i);
        }
    }

    /// A publication arrives at the server.
    pub(crate) fn publish(&self, s: &mut State, k: usize) {
        let entry = s.publications.remove(k);
        s.log.push(entry);
        let position = s.log.len() as u8;
        if let Entry::Invalidation { by, version } = entry {
            let n = &mut s.nodes[by as usize];
            if let Some(write) = &mut n.write
                && write.phase == Phase::Publishing
                && write.version == version
            {
                write.phase = Phase::Receipt(position);
            }
        }
    }

    /// The node publishes once more, as it has no receipt.
    pub(crate) fn publish_again(&self, s: &mut State, i: usize) {
        let version = s.nodes[i].write.as_ref().expect("a write").version;
        if !s.publications.is_empty() {
            s.duplicates -= 1;
        }
        s.publications.push(Entry::Invalidation { by: i as u8, version });
        s.publications.sort_unstable();
    }

    /// The server's receipt arrives at the node.
    pub(crate) fn hear_receipt(&self, s: &mut State, i: usize) -> Option<()> {
        let p = &self.0;
        let Some(Write { phase: Phase::Receipt(position), version }) = s.nodes[i].write.clone() else {
            return None;
        };
        self.published(s, i, position);
        if p.strict && !p.fenced {
            s.nodes[i].write = Some(Write { phase: Phase::Waiting(position), version });
        } else {
            self.answer_write(s, i);
        }
        Some(())
    }

    /// All members have reported that they applied what the write waits for.
    pub(crate) fn members_know(&self, s: &mut State, i: usize) {
        match s.nodes[i].write.as_ref().expect("a write").phase {
            Phase::Fencing(_) => s.nodes[i].write = Some(Write { phase: Phase::Sent, version: 0 }),
            _ => self.answer_write(s, i),
        }
    }

    /// A node that the bus does not answer gives up waiting, and answers.
    pub(crate) fn answer_unreceipted(&self, s: &mut State, i: usize) {
        s.unreceipted = true;
        s.nodes[i].unpublished = true;
        s.publications.clear(); // it may also never arrive
        self.answer_write(s, i);
    }

    pub(crate) fn answer_write(&self, s: &mut State, i: usize) {
        let write = s.nodes[i].write.take().expect("a write");
        s.answered[write.version as usize] = Some(s.time);
        if self.0.monotone {
            s.seen = s.seen.max(write.version);
        }
    }

    pub(crate) fn published(&self, s: &mut State, i: usize, position: u8) {
        s.nodes[i].last_invalidation = s.nodes[i].last_invalidation.max(position);
        if self.0.second_level && !self.obeys(Rule::NoWriteThrough) {
            let version = s.nodes[i].write.as_ref().expect("a write").version;
            put(&mut s.second_level, position, version);
        }
    }

    pub(crate) fn members_have(&self, s: &State, i: usize, position: u8) -> bool {
        let other = 1 - i;
        if !self.obeys(Rule::AwaitMembers) {
            return true;
        }
        let is_settled =
            s.generation_since == 0 || s.time >= s.generation_since + self.0.lease + 2 * self.0.margin;
        if self.obeys(Rule::QuarantineNewServer) && !is_settled {
            return false;
        }
        match s.members[other] {
            Some((_, end)) if end > s.time => s.reported[other] >= position,
            _ => true,
        }
    }

    /// True if a node that is cut off may answer its write: late enough for its peers to know, and before they trust it again.
    pub(crate) fn may_answer_unreceipted(&self, n: &Node, i: usize) -> bool {
        let p = &self.0;
        let margin = if self.obeys(Rule::CutOffMargins) { 2 * p.margin } else { 0 };
        let asked = if self.obeys(Rule::StopFromQuestionBefore) { n.asked_before } else { n.asked };
        let has_waited = n.clock >= n.answered + p.member[i] + p.lease + margin;
        let is_in_time = n.clock + margin < asked + p.member[i] + p.grace;
        p.unreceipted
            && (has_waited || !self.obeys(Rule::CutOffWaits))
            && (is_in_time || !self.obeys(Rule::CutOffStops))
    }
}
