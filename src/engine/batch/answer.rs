//! The answer of a BatchGetItem: items in the order of their keys, what is left unprocessed, and what it cost.

use bytes::Bytes;

use crate::model::capacity::Units;
use crate::model::value::item_size_bytes;
use crate::wire::Json;
use crate::wire::attribute::item_from_json;
use crate::wire::json::write_string;
use crate::wire::request::ReturnConsumedCapacity;

use super::{Fetched, Part, State, WantedKey};
use crate::cache::CachedItem;
use crate::engine::known_table::KnownTable;
use crate::engine::view::{Attributes, write_nothing_consumed};
use crate::insight::ReadOfItem;

/// The most bytes of items in one answer, as the upstream counts them; what is over is left unprocessed. The service's "16 MB"
/// are decimal, as in the local backend.
const ANSWER_BYTES_MAX: usize = 16_000_000;

/// True unless another part of the request has the table's name for its spelling: tables of two accounts may share it.
pub(super) fn has_name<'s>(
    table: &KnownTable,
    spelling: &str,
    mut spellings: impl Iterator<Item = &'s String>,
) -> bool {
    spelling == &*table.name || spellings.all(|other| **other != *table.name)
}

impl WantedKey<'_> {
    /// Takes note that it is shown. Returns what that saved.
    fn note_read(&self, part: &Part, image: &CachedItem) -> Units {
        let Some((outcome, age_seconds)) = self.read else { return Units::default() };
        let (table, key, price) = (&part.table, self.key(&part.key_bytes), image.price());
        table.usage.item_of_many_read(&ReadOfItem { key, hash: self.hash, outcome, price, age_seconds })
    }
}

/// The answer for a client. Takes note of the keys that it shows: no other decision follows.
pub(super) fn compose(parts: &[Part], kind: ReturnConsumedCapacity, fetched: &Fetched) -> Bytes {
    let mut room = Room::of(parts);
    let mut body = Vec::with_capacity(expected_bytes(parts));
    body.extend_from_slice(b"{\"Responses\":{");
    let mut unprocessed: Vec<(&Part, Vec<&WantedKey>)> = Vec::new();
    write_list(&mut body, parts, |part, body| {
        write_string(&part.spelling, body);
        body.extend_from_slice(b":[");
        let (begins_at, mut open, mut saved) = (body.len(), Vec::new(), Units::default());
        let mut show = |item: &[u8]| {
            if body.len() > begins_at {
                body.push(b',');
            }
            body.extend_from_slice(item);
        };
        for wanted in &part.keys {
            match &wanted.state {
                State::Found(image) if room.takes(|| image.item_text().unwrap_or_default()) => {
                    if let Some(item) = part.attributes.item_json(image) {
                        show(&item);
                    }
                    saved += wanted.note_read(part, image);
                }
                State::Opaque(item) if room.takes(|| item) => show(item),
                _ => open.push(wanted),
            }
        }
        part.table.usage.save(saved);
        body.push(b']');
        if !open.is_empty() {
            unprocessed.push((part, open));
        }
    });
    body.extend_from_slice(b"},\"UnprocessedKeys\":{");
    write_list(&mut body, &unprocessed, |(part, open), body| {
        write_string(&part.spelling, body);
        body.extend_from_slice(b":{");
        body.extend_from_slice(&part.other_members);
        body.extend_from_slice(b"\"Keys\":[");
        write_list(body, open, |wanted, body| wanted.text.write(body));
        body.extend_from_slice(b"]}");
    });
    body.push(b'}');
    if kind != ReturnConsumedCapacity::None {
        let mut capacities = fetched.consumed.clone();
        for part in parts {
            let spellings = parts.iter().map(|part| &part.spelling);
            let has_name = has_name(&part.table, &part.spelling, spellings);
            let paid = |name: &String| *name == part.spelling || (has_name && **name == *part.table.name);
            if !fetched.consumed_tables.iter().any(paid) {
                let mut nothing = Vec::new();
                write_nothing_consumed(&part.spelling, kind, &mut nothing);
                capacities.push(nothing);
            }
        }
        body.extend_from_slice(b",\"ConsumedCapacity\":[");
        write_list(&mut body, &capacities, |capacity, body| body.extend_from_slice(capacity));
        body.push(b']');
    }
    body.push(b'}');
    body.into()
}

/// About as many bytes as the answer will have, so that it rarely grows. Parts of items may be much shorter than the items.
fn expected_bytes(parts: &[Part]) -> usize {
    let whole = parts.iter().filter(|part| matches!(part.attributes, Attributes::All));
    let items = whole.flat_map(|part| &part.keys).map(|wanted| match &wanted.state {
        State::Found(image) => image.body().len(),
        State::Opaque(item) => item.len(),
        State::Open | State::Joined(_) => 0,
    });
    let names = parts.iter().map(|part| part.spelling.len() + 16);
    items.chain(names).sum::<usize>().min(ANSWER_BYTES_MAX) + 64
}

/// How much of an answer is left for items.
enum Room {
    /// All of them fit.
    Enough,
    /// So many bytes; nothing once an item was left out.
    Bytes(Option<usize>),
}

impl Room {
    /// JSON never says an item in fewer bytes than it counts, so sizes are of interest only when that is too long.
    fn of(parts: &[Part]) -> Self {
        let images = parts.iter().flat_map(|part| &part.keys).filter_map(|wanted| match &wanted.state {
            State::Found(image) => Some(image.body().len()),
            State::Opaque(item) => Some(item.len()),
            State::Open | State::Joined(_) => None,
        });
        if images.sum::<usize>() <= ANSWER_BYTES_MAX {
            Self::Enough
        } else {
            Self::Bytes(Some(ANSWER_BYTES_MAX))
        }
    }

    /// True when an item still fits; it takes its room then. Where there is no item, its JSON is empty.
    fn takes<'i>(&mut self, item: impl FnOnce() -> &'i [u8]) -> bool {
        match self {
            Self::Enough => true,
            Self::Bytes(left) => {
                *left = left.and_then(|left| left.checked_sub(counted_bytes(item())));
                left.is_some()
            }
        }
    }
}

/// An item's bytes as the upstream counts them; of JSON that is not understood, its length.
fn counted_bytes(json: &[u8]) -> usize {
    let item = Json::parse(json).ok().and_then(|json| item_from_json(&json).ok());
    item.map_or(json.len(), |item| item_size_bytes(&item))
}

/// Writes each element with commas between.
pub(super) fn write_list<'t, T>(
    out: &mut Vec<u8>,
    elements: &'t [T],
    mut write: impl FnMut(&'t T, &mut Vec<u8>),
) {
    for (index, element) in elements.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        write(element, out);
    }
}
