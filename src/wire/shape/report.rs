//! From what is wrong with a request to the error that answers it: what is told first, what together, and in which words.
//!
//! The service has two fronts. The older one tells everything that is wrong at once. The newer one judges in stages, and
//! what is wrong in one keeps it from the next; it writes some of its sentences in other words. It leaves some requests to
//! the older front: see [`Left`].

use crate::model::ApiError;

/// The service stops counting here.
pub(super) const VIOLATIONS_MAX: usize = 10;

/// What is wrong with a member, as far as the order of answers depends on it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Fault {
    /// It is required, and is not there.
    Missing,
    /// What a sentence of the operation's own tells before all else.
    Sentence,
    /// A table's name, or a map by table, that has nothing in it.
    Empty,
    /// A table's name of a wrong length or pattern.
    Name,
    /// A value out of a fixed set.
    Choice,
    /// A value of the set that this operation does not take.
    Unhonoured,
    /// A number out of its range.
    Range,
    /// A list by table that is too long.
    TooLong,
    /// A wrong length or pattern of anything else.
    Length,
    /// A map by table with a key that is no table's name.
    Keys,
    /// A map by table with a list of a wrong length.
    Values,
    /// None of several members, of which one should be there, or more than one.
    Alternatives,
}

/// One broken constraint.
#[derive(Debug)]
pub(super) struct Violation {
    /// The innermost member that it is in, by its name in the request.
    pub(super) member: &'static str,
    /// What is wrong there.
    pub(super) fault: Fault,
    /// The sentence.
    pub(super) words: String,
    /// The sentence of the newer front, where that is another.
    pub(super) newer_words: Option<String>,
    /// The whole message when nothing else is told, where that is another.
    pub(super) alone: Option<&'static str>,
}

/// A fault of a member.
pub(super) type Place = (&'static str, Fault);

/// Faults that are told together, unless an earlier stage has told of something.
#[derive(Debug)]
pub(super) struct Stage {
    /// In the order in which they are told.
    pub(super) places: &'static [Place],
    /// Whether everything that no stage names is told behind them.
    pub(super) rest: bool,
    /// How they are told.
    pub(super) manner: Manner,
}

/// How a stage tells of its faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Manner {
    /// All of them, counted: `2 validation errors detected: …; …`.
    Counted,
    /// The first only, and its sentence is the whole message.
    Bare,
}

/// How an operation tells of what is wrong with its requests.
#[derive(Debug)]
pub(super) struct Front {
    /// One after the other.
    pub(super) stages: &'static [Stage],
    /// Faults that the operation reports itself, behind others of its own.
    pub(super) later: &'static [Place],
    /// Those of them that come with the rest when their choices are left to the older front.
    pub(super) later_unless_left: &'static [Place],
    /// True for a newer front, with the older one behind it.
    pub(super) is_newer: bool,
}

/// What of a request the newer front leaves to the older one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Left {
    /// Nothing.
    Nothing,
    /// Its values out of fixed sets, when something else than a number keeps the newer reader from taking it.
    Choices,
    /// All of it, when it has a number that its type does not hold; also when it lacks a required member.
    All,
}

impl Front {
    /// The error for what is wrong with a request, if any of it is told here. `left` is asked about a bad one.
    pub(super) fn judge(
        &self,
        mut violations: Vec<Violation>,
        left: impl FnOnce() -> Left,
    ) -> Result<(), ApiError> {
        if violations.is_empty() {
            return Ok(());
        }
        let is_missing = |violation: &Violation| violation.fault == Fault::Missing;
        let left = match self.is_newer {
            true if violations.iter().any(is_missing) => Left::All,
            true => left(),
            false => Left::Nothing,
        };
        if left == Left::All {
            // The older front asks for these only once it has nothing else to tell.
            let is_late = |violation: &Violation| matches!(violation.fault, Fault::Name | Fault::Unhonoured);
            let early = violations.extract_if(.., |violation| !is_late(violation)).collect();
            Manner::Counted.answer(early, |violation| violation.words)?;
        }
        if left == Left::Choices {
            violations.retain(|violation| violation.fault != Fault::Unhonoured);
        }
        let words = |violation: Violation| match violation.newer_words {
            Some(words) if left == Left::Nothing || violation.fault != Fault::Choice => words,
            _ => violation.words,
        };
        for stage in self.stages {
            let told = self.take_told(stage, left, &mut violations);
            stage.manner.answer(told, words)?;
        }
        Ok(())
    }

    fn take_told(&self, stage: &Stage, left: Left, violations: &mut Vec<Violation>) -> Vec<Violation> {
        let mut told = Vec::new();
        for place in stage.places {
            told.extend(violations.extract_if(.., |violation| violation.place() == *place));
        }
        if stage.rest {
            told.extend(violations.extract_if(.., |violation| !self.names(violation.place(), left)));
        }
        told
    }

    fn names(&self, place: Place, left: Left) -> bool {
        let is_left = left == Left::Choices && self.later_unless_left.contains(&place);
        (self.later.contains(&place) && !is_left)
            || self.stages.iter().any(|stage| stage.places.contains(&place))
    }
}

impl Violation {
    fn place(&self) -> Place {
        (self.member, self.fault)
    }
}

impl Manner {
    fn answer(self, mut told: Vec<Violation>, words: impl Fn(Violation) -> String) -> Result<(), ApiError> {
        told.truncate(if self == Self::Bare { 1 } else { VIOLATIONS_MAX });
        let count = told.len();
        let alone = told.first().and_then(|first| first.alone).filter(|_| count == 1);
        let sentences: Vec<String> = told.into_iter().map(words).collect();
        Err(ApiError::validation(match (self, count, alone) {
            (_, 0, _) => return Ok(()),
            (_, _, Some(alone)) => alone.to_owned(),
            (Self::Bare, _, None) => sentences.concat(),
            (Self::Counted, 1, None) => format!("1 validation error detected: {}", sentences.concat()),
            (Self::Counted, _, None) => {
                format!("{count} validation errors detected: {}", sentences.join("; "))
            }
        }))
    }
}
