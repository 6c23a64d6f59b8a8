//! Where the lists of a principal's rights were written.

use super::error::{Fault, Origin};

/// The places of the lists of one section, for faults that are found only where rights are judged.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListPlaces {
    section: &'static str,
    section_origin: Origin,
    lists: Vec<(&'static str, Origin)>,
}

impl ListPlaces {
    /// Of a section `[[NAME]]`, whose keys stand at these places.
    pub(super) fn new(
        section: &'static str,
        section_origin: Origin,
        lists: Vec<(&'static str, Origin)>,
    ) -> Self {
        Self { section, section_origin, lists }
    }

    /// What is wrong with a list, at its place; at that of the section if it was not written.
    pub fn fault(&self, list: &'static str, message: &str) -> Fault {
        let written = self.lists.iter().find(|(name, _)| *name == list);
        let origin = written.map_or(&self.section_origin, |(_, origin)| origin).clone();
        Fault { origin, message: format!("{}.{list}: {message}", self.section) }
    }
}
