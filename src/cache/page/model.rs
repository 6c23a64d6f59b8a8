//! A random-interleaving test of the protocol of pages, and of the need for each of its rules.

use super::cache::PageRule;

/// Which rules are obeyed: all of them, unless a test switches one off.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct PageRules {
    broken: Option<PageRule>,
}

impl PageRules {
    pub(super) fn obeyed(self, rule: PageRule) -> bool {
        self.broken != Some(rule)
    }
}
