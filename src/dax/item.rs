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

use std::sync::Arc;

use super::attribute_lists::{AttributeList, AttributeLists, EMPTY_LIST_ID, is_same};
use super::cbor::{Malformed, Reader, Writer};
use super::error;
use super::key::{self, KeyText};
use super::scanner::{Quoted, Scanner};
use super::value;
use crate::model::key_attribute::KeyAttribute;
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

/// Writes items, always with the same table of lists: it remembers what it found there. It keeps its memory, too, up to some 100 KiB,
/// so one for each connection is best.
#[derive(Debug, Default)]
pub struct ItemWriter {
    /// Lists that items had in the order of their JSON, the last one first.
    recent: Vec<Arc<AttributeList>>,
    attributes: Vec<Attribute>,
    /// The values, in the order of the JSON.
    values: Vec<u8>,
}

/// A non-key attribute of the item at hand.
#[derive(Clone, Copy, Debug)]
struct Attribute {
    /// The bytes of its name as it is written. They are in the text of the JSON, or behind it among the names that had escapes.
    name: (usize, usize),
    /// Where its value ends among the values.
    value_end: usize,
}

/// The key of an item, as far as it was there.
type KeyTexts<'a> = [Option<KeyText<'a>>; 2];

/// How many lists are remembered.
const RECENT_MAX: usize = 8;
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
        let (_, list) = self.read(item, schema, lists)?;
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
        let (begin, mut scanner) = (out.len(), Scanner::new(item));
        self.write_pair_from(&mut scanner, schema, lists, out)?;
        Ok(scanner.end().inspect_err(|_| out.truncate(begin))?)
    }

    /// The same of the item that is next in a text. It is read over, also if its list is to be defined first.
    ///
    /// # Errors
    /// [`ItemFault`]; then nothing is appended.
    pub(super) fn write_pair_from(
        &mut self,
        scanner: &mut Scanner<'_>,
        schema: &KeySchema,
        lists: &AttributeLists,
        out: &mut Vec<u8>,
    ) -> Result<(), ItemFault> {
        let (key, list) = self.read_from(scanner, schema, lists)?;
        let begin = out.len();
        let written = Writer::new(out).bytes_with(|writer| match (key, &*schema.sort) {
            ([Some(partition), sort @ None], []) | ([Some(partition), sort @ Some(_)], [_]) => {
                key::write_texts(partition, sort, writer.buffer())
            }
            _ => Err(Malformed::Invalid("an item has no key")),
        });
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
        let (_, list) = self.read(attributes, &NO_KEY, lists)?;
        Writer::new(out).bytes_with(|writer| {
            writer.unsigned(list.id);
            writer.map(self.attributes.len());
            for place in 0..self.attributes.len() {
                writer.unsigned(place as u64);
                writer.raw(self.value(list.order.as_ref().map_or(place, |order| order[place])));
            }
        });
        self.release();
        Ok(())
    }

    /// Reads an item, gathers its attributes, and finds their list.
    fn read<'a>(
        &mut self,
        item: &'a str,
        schema: &KeySchema,
        lists: &AttributeLists,
    ) -> Result<(KeyTexts<'a>, ChosenList), ItemFault> {
        let mut scanner = Scanner::new(item);
        let read = self.read_from(&mut scanner, schema, lists)?;
        scanner.end()?;
        Ok(read)
    }

    /// The same of the item that is next in a text.
    fn read_from<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        schema: &KeySchema,
        lists: &AttributeLists,
    ) -> Result<(KeyTexts<'a>, ChosenList), ItemFault> {
        self.attributes.clear();
        self.values.clear();
        let mut unescaped = Vec::new();
        let key = self.scan(scanner, schema, &mut unescaped)?;
        let names = Names { text: scanner.text().as_bytes(), unescaped: &unescaped };
        Ok((key, self.list(&names, lists)?))
    }

    fn scan<'a>(
        &mut self,
        scanner: &mut Scanner<'a>,
        schema: &KeySchema,
        unescaped: &mut Vec<u8>,
    ) -> Result<KeyTexts<'a>, Malformed> {
        let mut key = [None; 2];
        let mut goes_on = scanner.open(b'{', b'}')?;
        while goes_on {
            let member = scanner.plain_member();
            let (begin, name) = match &member {
                Some(member) => (member.name.begin(), member.name.content()),
                None => name_of(scanner.name()?, scanner.text().len(), unescaped)?,
            };
            if let Some((place, attribute)) = key_attribute(schema, name) {
                key[place] = Some(match &member {
                    Some(member) => KeyText::of(member, attribute)?,
                    None => KeyText::scan(scanner, attribute)?,
                });
            } else {
                let name = (begin, begin + name.len());
                match &member {
                    Some(member) => value::write_plain(member, &mut self.values)?,
                    None => value::scan_value(scanner, &mut self.values)?,
                }
                self.attributes.push(Attribute { name, value_end: self.values.len() });
            }
            goes_on = scanner.goes_on(b'}')?;
        }
        Ok(key)
    }

    /// The list of the attributes.
    #[inline]
    fn list(&mut self, names: &Names<'_>, lists: &AttributeLists) -> Result<ChosenList, ItemFault> {
        if self.attributes.is_empty() {
            return Ok(ChosenList { id: EMPTY_LIST_ID, order: None });
        }
        let is_of = |list: &Arc<AttributeList>| {
            list.is_of(self.attributes.iter().map(|attribute| names.of(attribute)))
        };
        match self.recent.iter().position(is_of) {
            Some(place) => {
                // The last one first: items of one shape come in rows.
                self.recent.swap(0, place);
                Ok(ChosenList { id: self.recent[0].id(), order: None })
            }
            None => self.look_up(names, lists),
        }
    }

    fn look_up(&mut self, names: &Names<'_>, lists: &AttributeLists) -> Result<ChosenList, ItemFault> {
        let text = |attribute: &Attribute| str::from_utf8(names.of(attribute)).unwrap_or_default();
        let texts: Vec<&str> = self.attributes.iter().map(text).collect();
        let order = (!texts.is_sorted()).then(|| in_order(&texts));
        let sorted = (0..texts.len()).map(|rank| texts[order.as_ref().map_or(rank, |order| order[rank])]);
        let Some(list) = lists.find(sorted.clone()) else {
            return Err(ItemFault::Unlisted(sorted.map(str::to_owned).collect()));
        };
        let id = list.id();
        // A list that is not in the order of the JSON would not be found again.
        if order.is_none() {
            self.recent.truncate(RECENT_MAX - 1);
            self.recent.insert(0, list);
        }
        Ok(ChosenList { id, order })
    }

    /// Appends the byte string of the values.
    fn put(&mut self, list: &ChosenList, out: &mut Vec<u8>) {
        out.reserve(self.values.len() + 2 * HEAD_BYTES_MAX);
        let mut writer = Writer::new(out);
        writer.bytes_head(Writer::unsigned_bytes(list.id) + self.values.len());
        writer.unsigned(list.id);
        match &list.order {
            None => writer.raw(&self.values),
            Some(order) => order.iter().for_each(|place| writer.raw(self.value(*place))),
        }
        self.release();
    }

    /// Gives back the memory of a large item.
    fn release(&mut self) {
        self.attributes.clear();
        self.attributes.shrink_to(KEPT_ATTRIBUTES_MAX);
        self.values.clear();
        self.values.shrink_to(KEPT_BYTES_MAX);
    }

    /// The value of an attribute, by its place in the JSON.
    fn value(&self, place: usize) -> &[u8] {
        let begin = place.checked_sub(1).map_or(0, |before| self.attributes[before].value_end);
        &self.values[begin..self.attributes[place].value_end]
    }
}

const HEAD_BYTES_MAX: usize = 9;

/// A name, and where it is in the text, or behind it among the names that had escapes.
fn name_of<'n>(
    name: Quoted<'n>,
    text_length: usize,
    unescaped: &'n mut Vec<u8>,
) -> Result<(usize, &'n [u8]), Malformed> {
    if let Some(plain) = name.plain() {
        return Ok((name.begin(), plain));
    }
    let begin = unescaped.len();
    name.append_to(unescaped)?;
    Ok((text_length + begin, &unescaped[begin..]))
}

/// Where the names of attributes are.
struct Names<'a> {
    /// The text that has the item.
    text: &'a [u8],
    /// Those that have escapes in it.
    unescaped: &'a [u8],
}

impl Names<'_> {
    #[inline]
    fn of(&self, attribute: &Attribute) -> &[u8] {
        let (begin, end) = attribute.name;
        match begin.checked_sub(self.text.len()) {
            None => &self.text[begin..end],
            Some(begin) => &self.unescaped[begin..end - self.text.len()],
        }
    }
}

/// The key attribute of that name, and its place. A table's key has at most one of each kind.
#[inline(always)]
fn key_attribute<'s>(schema: &'s KeySchema, name: &[u8]) -> Option<(usize, &'s KeyAttribute)> {
    let is_named = |attribute: &&KeyAttribute| is_same(attribute.name.as_bytes(), name);
    let partition = schema.partition.first().filter(is_named).map(|partition| (0, partition));
    partition.or_else(|| schema.sort.first().filter(is_named).map(|sort| (1, sort)))
}

/// The list under which an item is written.
struct ChosenList {
    id: u64,
    /// Which place in the JSON each name of the list has; `None` if they are in the same order.
    order: Option<Vec<usize>>,
}

/// The places of the names, in the order of the names.
fn in_order(names: &[&str]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..names.len()).collect();
    order.sort_unstable_by_key(|place| names[*place]);
    order
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
    read_members(value, lists, out).inspect_err(|_| out.truncate(begin))
}

fn read_members(value: &[u8], lists: &AttributeLists, out: &mut Vec<u8>) -> Result<usize, ApiError> {
    let malformed = |malformed| error::of_request("item", malformed);
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
