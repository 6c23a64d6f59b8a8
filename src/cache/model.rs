//! A random-interleaving test of the protocol, and of the need for each of its rules.

use super::item::Rule;

/// Which rules are obeyed: all of them, unless a test switches some off.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Rules {
    broken: Option<Rule>,
}

impl Rules {
    pub(super) fn obeyed(self, rule: Rule) -> bool {
        self.broken != Some(rule)
    }
}
