//! What a thread has translated lately: the answer to what is hot, and the request for it, are not translated at each hit.
//!
//! Nothing here makes an answer older. Each hit is looked for in the cache, and a translation is used again only for the very same
//! bytes in memory. It keeps these, so that nothing else can come to stand in their place.
//!
//! A thread keeps so much that a small node need not notice it, and only what it has met twice.

use std::sync::Arc;

use bytes::Bytes;

use crate::dax::attribute_lists::AttributeLists;
use crate::dax::method::Method;
use crate::dax::request::{Client, Decoded};
use crate::dax::shape::{PlainForm, Shape};
use crate::model::{Operation, TableSchema};

/// How many answers and requests a thread keeps.
const SLOTS: usize = 64;

/// What is longer is not kept: 512 KiB of answers for a thread, and 64 KiB of requests. An item's body keeps the segment of the
/// cache that it lies in, up to 64 KiB, which the cache charges to its budget.
const ANSWER_BYTES_MAX: usize = 8 * 1024;
const REQUEST_BYTES_MAX: usize = 512;

/// A place for one thing of those that fall on it. What was met there last, by a number, is kept when it is met again.
#[derive(Debug)]
struct Slot<T> {
    met: u64,
    kept: Option<Box<T>>,
}

/// Things by numbers that are spread evenly.
#[derive(Debug)]
struct Slots<T>(Vec<Slot<T>>);

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self((0..SLOTS).map(|_| Slot { met: 0, kept: None }).collect())
    }
}

impl<T> Slots<T> {
    fn at(&self, number: u64) -> Option<&T> {
        self.0[place(number)].kept.as_deref()
    }

    /// Keeps what `make` makes, if that number was met here before, and nothing else since.
    fn meet(&mut self, number: u64, make: impl FnOnce() -> T) {
        let slot = &mut self.0[place(number)];
        if slot.met == number {
            slot.kept = Some(Box::new(make()));
        }
        slot.met = number;
    }
}

/// The upper bits are those that a multiplication has spread.
fn place(number: u64) -> usize {
    (number >> 58) as usize % SLOTS
}

const SPREAD: u64 = 0x9E37_79B9_7F4A_7C15;

/// Answers in the protocol's form, by the bytes of which they were made.
#[derive(Debug, Default)]
pub(super) struct RecentAnswers(Slots<KeptAnswer>);

#[derive(Debug)]
struct KeptAnswer {
    body: Bytes,
    form: PlainForm,
    lists: Arc<AttributeLists>,
    answer: Box<[u8]>,
}

impl RecentAnswers {
    /// The answer that was made of these bytes in memory in that form.
    pub(super) fn get(&self, body: &Bytes, form: &PlainForm, lists: &Arc<AttributeLists>) -> Option<Vec<u8>> {
        let kept = self.0.at(number_of(body))?;
        let is_same = kept.body.as_ptr() == body.as_ptr() && kept.body.len() == body.len();
        (is_same && kept.form == *form && Arc::ptr_eq(&kept.lists, lists)).then(|| kept.answer.to_vec())
    }

    /// Takes note of an answer, and keeps it if its bytes were met before.
    pub(super) fn meet(
        &mut self,
        body: &Bytes,
        form: &PlainForm,
        lists: &Arc<AttributeLists>,
        answer: &[u8],
    ) {
        // Lists that are lent are not known for ever.
        if answer.len() > ANSWER_BYTES_MAX || body.len() > 2 * ANSWER_BYTES_MAX || lists.lends() {
            return;
        }
        self.0.meet(number_of(body), || KeptAnswer {
            body: body.clone(),
            form: form.clone(),
            lists: Arc::clone(lists),
            answer: answer.into(),
        });
    }
}

fn number_of(body: &Bytes) -> u64 {
    (body.as_ptr() as u64).wrapping_mul(SPREAD)
}

/// Requests as DynamoDB's JSON, by their bytes.
#[derive(Debug, Default)]
pub(super) struct RecentRequests(Slots<KeptRequest>);

/// A request that was read.
#[derive(Debug)]
pub(super) struct KeptRequest {
    method: Method,
    client: Client,
    arguments: Box<[u8]>,
    /// The table's name as the request spells it.
    pub(super) table: Box<str>,
    /// The table's schema by which the request was read. Of no use under another one.
    pub(super) schema: Arc<TableSchema>,
    /// The operation.
    pub(super) operation: Operation,
    /// The body.
    pub(super) body: Bytes,
    /// How its answer is to be written.
    pub(super) shape: Shape,
}

impl RecentRequests {
    /// What these bytes were read as.
    pub(super) fn get(&self, method: Method, client: Client, arguments: &[u8]) -> Option<&KeptRequest> {
        let kept = self.0.at(digest(arguments))?;
        (kept.method == method && kept.client == client && *kept.arguments == *arguments).then_some(kept)
    }

    /// Takes note of a request to one table, and keeps it if it was met before.
    pub(super) fn meet(
        &mut self,
        (method, client, arguments): (Method, Client, &[u8]),
        (table, schema): (&str, &Arc<TableSchema>),
        decoded: &Decoded,
        body: &Bytes,
    ) {
        if arguments.len() > REQUEST_BYTES_MAX || body.len() > 2 * REQUEST_BYTES_MAX {
            return;
        }
        self.0.meet(digest(arguments), || KeptRequest {
            method,
            client,
            arguments: arguments.into(),
            table: table.into(),
            schema: Arc::clone(schema),
            operation: decoded.operation,
            body: body.clone(),
            shape: decoded.shape.clone(),
        });
    }
}

/// A number that is hardly ever that of other bytes. Who finds some of one number has them read each time.
fn digest(bytes: &[u8]) -> u64 {
    let (words, rest) = bytes.as_chunks::<8>();
    let mut last = [0; 8];
    last[..rest.len()].copy_from_slice(rest);
    let words = words.iter().chain([&last]).map(|word| u64::from_le_bytes(*word));
    words.fold(bytes.len() as u64, |digest, word| (digest.rotate_left(23) ^ word).wrapping_mul(SPREAD))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dax::attribute_lists::Limits;
    use crate::model::key_attribute::{KeyAttribute, ScalarType};
    use crate::model::schema::KeySchema;

    fn schema() -> Arc<TableSchema> {
        let partition = vec![KeyAttribute { name: "pk".to_owned(), scalar_type: ScalarType::S }];
        let key = KeySchema { partition, sort: Vec::new() };
        Arc::new(TableSchema { name: "tab".to_owned(), id: String::new(), key, indexes: Vec::new() })
    }

    fn lists() -> Arc<AttributeLists> {
        Arc::new(AttributeLists::in_memory(Limits::default()))
    }

    #[test]
    fn an_answer_is_used_again_for_the_very_same_bytes_alone() {
        let (mut answers, lists, form) = (RecentAnswers::default(), lists(), PlainForm::of_item(&schema()));
        let body = Bytes::from(b"the same words".to_vec());
        assert_eq!(answers.get(&body, &form, &lists), None);
        answers.meet(&body, &form, &lists, b"answer");
        assert_eq!(answers.get(&body, &form, &lists), None, "it was met once");
        answers.meet(&body, &form, &lists, b"answer");
        assert_eq!(answers.get(&body.clone(), &form, &lists).as_deref(), Some(&b"answer"[..]));
        let copy = Bytes::from(body.to_vec());
        assert_eq!(answers.get(&copy, &form, &lists), None, "the same words elsewhere");
        assert_eq!(answers.get(&body.slice(..3), &form, &lists), None, "a part of them");
        assert_eq!(answers.get(&body, &PlainForm::of_item(&schema()), &lists), None, "of another table");
        assert_eq!(answers.get(&body, &form, &self::lists()), None, "with other lists");
        // As long as it is kept, nothing else can stand where it stood.
        let kept = body.as_ptr();
        drop(body);
        let others: Vec<_> = (0..1000).map(|_| Bytes::from(b"the same words".to_vec())).collect();
        assert!(others.iter().all(|other| other.as_ptr() != kept));
    }

    #[test]
    fn what_is_large_is_not_kept() {
        let (mut answers, lists, form) = (RecentAnswers::default(), lists(), PlainForm::of_item(&schema()));
        let body = Bytes::from_static(b"a");
        let large = vec![0; ANSWER_BYTES_MAX + 1];
        (0..3).for_each(|_| answers.meet(&body, &form, &lists, &large));
        assert_eq!(answers.get(&body, &form, &lists), None);
    }

    #[test]
    fn requests_have_numbers_by_all_of_their_bytes() {
        let mut bytes: Vec<u8> = (0..40).collect();
        let mut seen = vec![digest(&bytes), digest(&bytes[..39]), digest(&[&bytes[..], &[0]].concat())];
        for place in 0..bytes.len() {
            bytes[place] ^= 1;
            seen.push(digest(&bytes));
            bytes[place] ^= 1;
        }
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen.len(), 43);
        assert_eq!(digest(&[]), digest(&[]));
    }
}
