//! Items: their non-key attributes as value bytes, `list id, value…`, and back to JSON.
//!
//! A key travels by itself (see [`super::key`]), so value bytes never have key attributes. To write an item, its list of names
//! must be in the table of [lists](super::attribute_lists) already: [`ItemFault::Unlisted`] says which one is not, the caller
//! defines it, which takes a while, and begins anew.
//!
//! The list of an item that is written is that of its names in byte order, whatever the order of the JSON: items of one shape have
//! one list, and it is the one that clients define when they write such items. Items of the cache are in that order, and most of
//! those that one connection reads have the same names as the item before, so these are compared while they are read. Only
//! another shape is looked up by its names.

use std::borrow::Cow;
use std::sync::Arc;

use super::attribute_lists::{AttributeList, AttributeLists, EMPTY_LIST_ID};
use super::cbor::{Malformed, Reader, Writer};
use super::key;
use super::scanner::{Quoted, Scanner};
use super::value;
use crate::model::{ApiError, KeySchema};

/// Why an item cannot be written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ItemFault {
    /// It is not an item in JSON, or its key is not the schema's.
    Malformed(Malformed),
    /// This list is to be defined first; its names are in order.
    Unlisted(Vec<String>),
}

impl From<Malformed> for ItemFault {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Writes items. It keeps the list of the last one, and its memory, so one for each connection is best.
#[derive(Debug, Default)]
pub struct ItemWriter {
    last: Option<Arc<AttributeList>>,
    attributes: Vec<Attribute>,
    /// The values, in the order of the JSON.
    values: Vec<u8>,
}

/// A non-key attribute of the item at hand.
#[derive(Clone, Copy, Debug)]
struct Attribute {
    /// Where its name begins in the JSON, at the quote.
    name: usize,
    /// Where its value ends among the values.
    value_end: usize,
}

/// What was found beside the attributes.
struct Scanned<'a> {
    /// The values of the key attributes, in the schema's order.
    key: [Option<&'a str>; 2],
    /// The names are those of the last list, in its order.
    is_as_last: bool,
}

/// Memory that is kept from one item to the next.
const KEPT_BYTES_MAX: usize = 64 * 1024;
const KEPT_ATTRIBUTES_MAX: usize = 1024;

impl ItemWriter {
    /// Appends the byte string of an item's value bytes. `item` is a whole item as JSON; key attributes may be missing.
    ///
    /// # Errors
    /// [`ItemFault`]; then nothing is appended.
    pub fn write_value(
        &mut self,
        item: &str,
        schema: &KeySchema,
        lists: &AttributeLists,
        out: &mut Vec<u8>,
    ) -> Result<(), ItemFault> {
        self.begin();
        let scanned = self.scan(item, schema)?;
        let list = self.list(item, &scanned, lists)?;
        self.put(&list, out);
        Ok(())
    }

    /// Appends two byte strings: the item's key, and its value bytes. All key attributes must be in the item.
    ///
    /// # Errors
    /// [`ItemFault`]; then nothing is appended.
    pub fn write_pair(
        &mut self,
        item: &str,
        schema: &KeySchema,
        lists: &AttributeLists,
        out: &mut Vec<u8>,
    ) -> Result<(), ItemFault> {
        self.begin();
        let scanned = self.scan(item, schema)?;
        let list = self.list(item, &scanned, lists)?;
        let begin = out.len();
        let [partition, sort] = scanned.key;
        let partition = partition.ok_or(Malformed::Invalid("an item has no key"))?;
        let written =
            Writer::new(out).bytes_with(|writer| key::write_bytes(schema, partition, sort, writer.buffer()));
        if let Err(malformed) = written {
            out.truncate(begin);
            return Err(malformed.into());
        }
        self.put(&list, out);
        Ok(())
    }

    /// Appends the byte string of the attributes that an update has touched: the id of a list, and a map of places in it to
    /// values. `attributes` is a JSON object.
    ///
    /// # Errors
    /// [`ItemFault`]; then nothing is appended.
    pub fn write_touched(
        &mut self,
        attributes: &str,
        lists: &AttributeLists,
        out: &mut Vec<u8>,
    ) -> Result<(), ItemFault> {
        const NO_KEY: KeySchema = KeySchema { partition: Vec::new(), sort: Vec::new() };
        self.begin();
        let scanned = self.scan(attributes, &NO_KEY)?;
        let list = self.list(attributes, &scanned, lists)?;
        Writer::new(out).bytes_with(|writer| {
            writer.unsigned(list.id);
            writer.map(self.attributes.len());
            for place in 0..self.attributes.len() {
                writer.unsigned(place as u64);
                writer.raw(self.value(list.order.as_ref().map_or(place, |order| order[place])));
            }
        });
        Ok(())
    }

    fn begin(&mut self) {
        self.attributes.clear();
        self.attributes.shrink_to(KEPT_ATTRIBUTES_MAX);
        self.values.clear();
        self.values.shrink_to(KEPT_BYTES_MAX);
    }

    /// Reads an item and gathers its attributes.
    fn scan<'a>(&mut self, item: &'a str, schema: &KeySchema) -> Result<Scanned<'a>, Malformed> {
        let last = self.last.as_deref();
        let mut scanned = Scanned { key: [None; 2], is_as_last: last.is_some() };
        let mut scanner = Scanner::new(item);
        let mut goes_on = scanner.open(b'{', b'}')?;
        while goes_on {
            scanner.peek();
            let begin = scanner.position();
            let name = scanner.name()?;
            if let Some(place) = place_in_key(name, schema)? {
                let value = scanned.key.get_mut(place).ok_or(Malformed::Invalid("a key is too long"))?;
                *value = Some(scanner.skip()?);
            } else {
                let expected = last.and_then(|last| last.name(self.attributes.len()));
                scanned.is_as_last &= name.plain() == expected;
                value::scan_value(&mut scanner, &mut self.values)?;
                self.attributes.push(Attribute { name: begin, value_end: self.values.len() });
            }
            goes_on = scanner.goes_on(b'}')?;
        }
        scanner.end()?;
        scanned.is_as_last &= last.is_some_and(|last| last.len() == self.attributes.len());
        Ok(scanned)
    }

    /// The list of the attributes.
    fn list(
        &mut self,
        item: &str,
        scanned: &Scanned<'_>,
        lists: &AttributeLists,
    ) -> Result<ChosenList, ItemFault> {
        if self.attributes.is_empty() {
            return Ok(ChosenList { id: EMPTY_LIST_ID, order: None });
        }
        if scanned.is_as_last
            && let Some(last) = &self.last
        {
            return Ok(ChosenList { id: last.id(), order: None });
        }
        let mut names = Vec::with_capacity(self.attributes.len());
        for attribute in &self.attributes {
            names.push(Scanner::new(&item[attribute.name..]).string()?.text()?);
        }
        let order = (!names.is_sorted()).then(|| in_order(&names));
        let place = |place: usize| order.as_ref().map_or(place, |order| order[place]);
        let sorted = (0..names.len()).map(|rank| &*names[place(rank)]);
        let Some(list) = lists.find(sorted.clone()) else {
            return Err(ItemFault::Unlisted(sorted.map(str::to_owned).collect()));
        };
        let id = list.id();
        // What is not in the order of the JSON would never match.
        if order.is_none() {
            self.last = Some(list);
        }
        Ok(ChosenList { id, order })
    }

    /// Appends the byte string of the values.
    fn put(&self, list: &ChosenList, out: &mut Vec<u8>) {
        let mut writer = Writer::new(out);
        writer.bytes_head(Writer::unsigned_bytes(list.id) + self.values.len());
        writer.unsigned(list.id);
        match &list.order {
            None => writer.raw(&self.values),
            Some(order) => order.iter().for_each(|place| writer.raw(self.value(*place))),
        }
    }

    /// The value of an attribute, by its place in the JSON.
    fn value(&self, place: usize) -> &[u8] {
        let begin = place.checked_sub(1).map_or(0, |before| self.attributes[before].value_end);
        &self.values[begin..self.attributes[place].value_end]
    }
}

/// The list under which an item is written.
struct ChosenList {
    id: u64,
    /// Which place in the JSON each name of the list has; `None` if they are in the same order.
    order: Option<Vec<usize>>,
}

/// The places of the names, in the order of the names.
fn in_order(names: &[Cow<'_, str>]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_unstable_by(|left, right| names[*left].cmp(&names[*right]));
    order
}

/// The place of an attribute in the key; `None` if it is not of the key.
#[inline]
fn place_in_key(name: Quoted<'_>, schema: &KeySchema) -> Result<Option<usize>, Malformed> {
    let place = |name: &str| schema.attributes().position(|attribute| attribute.name == name);
    Ok(match name.plain() {
        Some(plain) => place(plain),
        None => place(&name.text()?),
    })
}

/// Appends an item as a JSON object, from the content of its key's byte string and of its value bytes.
///
/// # Errors
/// `ValidationException` when the key is not the schema's, when the list is not known, or when there are not as many values as
/// names. Then nothing is appended. Whether an attribute is there twice, as part of the key and of the list, is not looked at.
pub fn write_json(
    schema: &KeySchema,
    key: &[u8],
    value: &[u8],
    lists: &AttributeLists,
    out: &mut Vec<u8>,
) -> Result<(), ApiError> {
    let begin = out.len();
    out.push(b'{');
    let written = key::write_members(schema, key, out).and_then(|()| {
        out.push(b',');
        write_members(value, lists, out)
    });
    match written {
        // The comma after the key has nothing to part it from.
        Ok(0) => drop(out.pop()),
        Ok(_) => {}
        Err(error) => {
            out.truncate(begin);
            return Err(error);
        }
    }
    out.push(b'}');
    Ok(())
}

/// Appends the attributes in the content of value bytes as members of a JSON object, without the brackets, and counts them.
///
/// # Errors
/// `ValidationException` as for [`write_json`]. Then nothing is appended.
pub fn write_members(value: &[u8], lists: &AttributeLists, out: &mut Vec<u8>) -> Result<usize, ApiError> {
    let begin = out.len();
    read_members(value, lists, out).map_err(|error| {
        out.truncate(begin);
        error
    })
}

fn read_members(value: &[u8], lists: &AttributeLists, out: &mut Vec<u8>) -> Result<usize, ApiError> {
    let malformed = |malformed| ApiError::validation(format!("The item cannot be read: {malformed}"));
    let mut reader = Reader::new(value);
    let id = reader.int_64().map_err(malformed)?;
    let list = u64::try_from(id).ok().and_then(|id| lists.list(id));
    let list =
        list.ok_or_else(|| ApiError::validation(format!("No list of attribute names has the id {id}")))?;
    for place in 0..list.len() {
        if place > 0 {
            out.push(b',');
        }
        out.extend_from_slice(list.member(place).unwrap_or_default().as_bytes());
        value::write_json(&mut reader, out).map_err(malformed)?;
    }
    reader.end().map_err(malformed)?;
    Ok(list.len())
}
