//! The settings of a node of a fleet, and the times that follow from them.

use std::time::Duration;

pub use crate::config::{Ack, CutOff};

/// The settings of a node of a fleet.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The node's name, which no other node has.
    pub node: Box<str>,
    /// How long after its question was sent an answer of the bus vouches for what is cached. A membership is as long.
    pub lease: Duration,
    /// What a write waits for.
    pub ack: Ack,
    /// What gives way.
    pub cut_off: CutOff,
    /// How long a lost member is distrusted.
    pub silence_grace: Duration,
    /// How long a write waits at most.
    pub ack_timeout: Duration,
    /// How far the bus's clock may step back.
    pub clock_step: Duration,
    /// How long a write of unknown outcome may still land.
    pub unknown_write_window: Duration,
    /// What all members must have in common, in words.
    pub common: String,
}

/// How often a node reports that it is alive.
const BEAT_INTERVAL_MAX: Duration = Duration::from_millis(200);

/// What scheduling and rounding may cost.
const SLACK: Duration = Duration::from_millis(10);

/// By how much clocks may differ in rate: one part in this many.
const DRIFT_PARTS: u32 = 100;

impl Settings {
    /// How long after the question a lease ends, by a clock that may be slow.
    pub fn lease_length(&self) -> Duration {
        shorter(self.lease)
    }

    /// How long after a question the membership that rests on it lasts at least, by the node's clock.
    pub(super) fn membership_least(&self) -> Duration {
        shorter(self.lease)
    }

    /// How long after the last answer of the bus everybody must know that nothing was heard of this node.
    pub(super) fn silence_known(&self) -> Duration {
        longer(self.lease + self.lease) + self.clock_step
    }

    /// How long after a question the others distrust this node at least, if it was the last but one to be answered.
    pub(super) fn distrusted_least(&self) -> Duration {
        shorter(self.lease + self.silence_grace)
    }

    /// How long a lost member is distrusted, by a clock that may be fast.
    pub(super) fn distrust(&self) -> Duration {
        longer(self.silence_grace)
    }

    /// How long after its first member joined a new server may have members that it does not know yet.
    pub(super) fn newness(&self) -> Duration {
        longer(self.lease + self.silence_grace)
    }

    /// How long after its first member joined a new server leases of the former one may last.
    pub(super) fn former_leases(&self) -> Duration {
        longer(self.lease)
    }

    /// How long a node whose settings were rejected lets others be the first of a new server.
    pub(super) fn modesty(&self) -> Duration {
        self.newness()
    }

    /// How often a node reports that it is alive.
    pub(super) fn beat_interval(&self) -> Duration {
        BEAT_INTERVAL_MAX.min(self.lease / 5)
    }

    /// How long the bus remembers losses.
    pub fn losses_kept(&self) -> Duration {
        self.newness() + self.clock_step
    }
}

fn shorter(duration: Duration) -> Duration {
    duration.saturating_sub(duration / DRIFT_PARTS + SLACK)
}

fn longer(duration: Duration) -> Duration {
    duration + duration / DRIFT_PARTS + SLACK
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn peers_know_of_a_silence_before_they_trust_again() {
        let settings = Settings {
            node: "a".into(),
            lease: Duration::from_secs(1),
            ack: Ack::Receipt,
            cut_off: CutOff::Degrade,
            silence_grace: Duration::from_secs(15),
            ack_timeout: Duration::from_secs(5),
            clock_step: Duration::from_millis(500),
            unknown_write_window: Duration::from_secs(30),
            common: String::new(),
        };
        assert_eq!(settings.lease_length(), Duration::from_millis(980));
        assert_eq!(settings.silence_known(), Duration::from_millis(2_530));
        assert!(settings.distrusted_least() < settings.lease + settings.distrust());
        assert_eq!(settings.beat_interval(), Duration::from_millis(200));
    }
}
