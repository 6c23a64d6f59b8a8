//! The pieces that an expression's text is put together from.

use std::collections::HashMap;
use std::hash::Hash;

use crate::model::expr::Path;

/// The most bytes that DynamoDB takes of one expression.
pub(super) const TEXT_BYTES_MAX: usize = 4096;

/// The most operators and functions that DynamoDB takes in one expression.
pub(super) const OPERATORS_MAX: usize = 300;

/// The parameters that hold expressions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::dax) enum Language {
    /// `ConditionExpression`
    Condition,
    /// `FilterExpression`
    Filter,
    /// `KeyConditionExpression`
    KeyCondition,
    /// `ProjectionExpression`
    Projection,
    /// `UpdateExpression`
    Update,
}

impl Language {
    /// The name of the parameter.
    pub(in crate::dax) fn parameter(self) -> &'static str {
        match self {
            Self::Condition => "ConditionExpression",
            Self::Filter => "FilterExpression",
            Self::KeyCondition => "KeyConditionExpression",
            Self::Projection => "ProjectionExpression",
            Self::Update => "UpdateExpression",
        }
    }
}

/// A piece of an expression. `N` stands for names and `V` for values.
#[derive(Clone, Copy, Debug)]
pub(super) enum Piece<N, V> {
    /// What is written as it is.
    Text(&'static str),
    Name(N),
    Value(V),
    /// The digits between brackets.
    Index(u64),
}

/// An expression as it was read.
#[derive(Debug)]
pub(super) struct Pieces<'a> {
    /// Names as they were sent, and the places of values in `values`; not all of these need to be there.
    pub(super) pieces: Vec<Piece<&'a str, u64>>,
    /// Encoded values. One may be there twice.
    pub(super) values: Vec<&'a [u8]>,
    /// The paths of a projection.
    pub(super) paths: Vec<Path>,
}

/// Things that were met, each once, in the order of their first use.
#[derive(Debug)]
pub(super) struct Once<T> {
    places: HashMap<T, usize>,
    met: Vec<(T, usize)>,
}

impl<T: Copy + Eq + Hash> Once<T> {
    pub(super) fn new() -> Self {
        Self { places: HashMap::new(), met: Vec::new() }
    }

    /// The place of a thing, which is used once more.
    pub(super) fn meet(&mut self, thing: T) -> usize {
        let place = *self.places.entry(thing).or_insert_with(|| {
            self.met.push((thing, 0));
            self.met.len() - 1
        });
        self.met[place].1 += 1;
        place
    }

    pub(super) fn at(&self, place: usize) -> T {
        self.met[place].0
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = T> {
        self.met.iter().map(|(thing, _)| *thing)
    }

    /// A word for each thing that `takes` one, none twice. The most used things have the shortest words, so that all together take no
    /// more room than the words that the client's caller has chosen for them.
    pub(super) fn words(&self, takes: impl Fn(T) -> bool) -> Vec<Option<String>> {
        let mut places: Vec<usize> = (0..self.met.len()).filter(|place| takes(self.met[*place].0)).collect();
        if places.len() > LETTERS.len() {
            places.sort_by_key(|place| std::cmp::Reverse(self.met[*place].1));
        }
        let mut words = vec![None; self.met.len()];
        for (rank, place) in places.into_iter().enumerate() {
            words[place] = Some(word(rank));
        }
        words
    }
}

/// What placeholders may be made of.
const LETTERS: &[u8; 63] = b"0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ_";

/// The word of that rank in the order of length.
fn word(mut rank: usize) -> String {
    let mut word = String::new();
    loop {
        word.push(char::from(LETTERS[rank % LETTERS.len()]));
        rank /= LETTERS.len();
        if rank == 0 {
            return word;
        }
        rank -= 1;
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn words_are_different_and_as_short_as_they_can_be() {
        let words: Vec<String> = (0..63 + 63 * 63 + 100).map(word).collect();
        assert!(words.is_sorted_by_key(String::len));
        assert_eq!([words[62].len(), words[63].len(), words[63 + 63 * 63].len()], [1, 2, 3]);
        assert_eq!(words.iter().collect::<BTreeSet<_>>().len(), words.len());
    }

    #[test]
    fn the_most_used_things_have_the_shortest_words() {
        let mut once = Once::new();
        for thing in 0..100 {
            once.meet(thing);
        }
        assert_eq!(once.meet(99), 99);
        let words = once.words(|thing| thing != 7);
        assert_eq!(words[99].as_deref(), Some("0"));
        assert_eq!(words[7], None);
        assert_eq!(words[0].as_deref(), Some("1"));
    }
}
