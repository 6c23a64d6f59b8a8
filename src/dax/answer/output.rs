//! The bytes of an answer, and the lists that its items need.

use std::collections::BTreeSet;

use crate::dax::attribute_lists::AttributeLists;
use crate::dax::cbor::{Malformed, Writer};
use crate::dax::item::{ItemFault, ItemWriter};
use crate::dax::scanner::Scanner;
use crate::dax::shape::{Form, Part, Shape};
use crate::dax::value;
use crate::model::KeySchema;

use super::Unlisted;
use super::json::Members;
use super::projection;

/// An answer that is being written.
pub(super) struct Output<'w> {
    lists: &'w AttributeLists,
    items: &'w mut ItemWriter,
    bytes: Vec<u8>,
    /// The lists without an id. If there are any, the bytes are of no use.
    unlisted: BTreeSet<Vec<String>>,
}

impl<'w> Output<'w> {
    pub(super) fn new(lists: &'w AttributeLists, items: &'w mut ItemWriter) -> Self {
        Self { lists, items, bytes: Vec::with_capacity(256), unlisted: BTreeSet::new() }
    }

    pub(super) fn writer(&mut self) -> Writer<'_> {
        Writer::new(&mut self.bytes)
    }

    pub(super) fn buffer(&mut self) -> &mut Vec<u8> {
        &mut self.bytes
    }

    /// The bytes, if all items have their lists.
    pub(super) fn finish(self) -> Result<Vec<u8>, Unlisted> {
        if self.unlisted.is_empty() {
            return Ok(self.bytes);
        }
        Err(Unlisted(self.unlisted.into_iter().collect()))
    }

    /// An item as a request for it by its key shows it: without the key, or the projected values by the places of their paths.
    pub(super) fn item(&mut self, item: &str, part: &Part) -> Result<(), Malformed> {
        match &part.projection {
            None => self.value(item, &part.schema.key),
            Some(paths) => {
                let values = projection::values(item, paths)?;
                self.writer().map(values.iter().flatten().count());
                for (place, value) in values.into_iter().enumerate() {
                    if let Some(value) = value {
                        self.writer().unsigned(place as u64);
                        value::write_cbor(value, &mut self.bytes)?;
                    }
                }
                Ok(())
            }
        }
    }

    /// An item among others: its key and the rest of it, or what is projected.
    pub(super) fn row(&mut self, item: &str, part: &Part) -> Result<(), Malformed> {
        let mut scanner = Scanner::new(item);
        self.next_row(&mut scanner, part)?;
        scanner.end()
    }

    /// The same of the item that is next in a text.
    fn next_row(&mut self, scanner: &mut Scanner<'_>, part: &Part) -> Result<(), Malformed> {
        if part.projection.is_some() {
            return self.item(scanner.skip()?, part);
        }
        let written = self.items.write_pair_from(scanner, &part.schema.key, self.lists, &mut self.bytes);
        self.note(written)
    }

    /// The list of items that is next in a text, as an array of rows, read where it lies. Says how many they are.
    pub(super) fn rows(&mut self, scanner: &mut Scanner<'_>, part: &Part) -> Result<usize, Malformed> {
        let begin = value::reserve_head(&mut self.bytes);
        let mut count = 0;
        let mut goes_on = scanner.open(b'[', b']')?;
        while goes_on {
            if part.projection.is_none() {
                self.writer().array(2);
            }
            self.next_row(scanner, part)?;
            count += 1;
            goes_on = scanner.goes_on(b']')?;
        }
        value::put_head(begin, &mut self.bytes, |writer| writer.array(count));
        Ok(count)
    }

    /// An item without its key.
    pub(super) fn value(&mut self, item: &str, schema: &KeySchema) -> Result<(), Malformed> {
        let written = self.items.write_value(item, schema, self.lists, &mut self.bytes);
        self.note(written)
    }

    /// The attributes that an update has touched.
    pub(super) fn touched(&mut self, attributes: &str) -> Result<(), Malformed> {
        let written = self.items.write_touched(attributes, self.lists, &mut self.bytes);
        self.note(written)
    }

    fn note(&mut self, written: Result<(), ItemFault>) -> Result<(), Malformed> {
        match written {
            Ok(()) => Ok(()),
            Err(ItemFault::Unlisted(names)) => {
                self.unlisted.insert(names);
                Ok(())
            }
            Err(ItemFault::Malformed(malformed)) => Err(malformed),
        }
    }

    /// Why a transaction was cancelled: a code, a message and an item for each of its actions, in one array. `None` if the body does
    /// not say.
    pub(super) fn reasons(&mut self, body: &Members<'_>, shape: &Shape) -> Option<Vec<u8>> {
        let keys: Vec<&KeySchema> = match &shape.form {
            Form::WrittenTransaction(schemas) => schemas.iter().map(|schema| &schema.key).collect(),
            Form::Transaction(parts) => parts.iter().map(|part| &part.schema.key).collect(),
            _ => return None,
        };
        let reasons = body.list("CancellationReasons").ok()?;
        // A client of Go takes no other number, and nobody could say which action a reason is of. Without reasons, all clients raise
        // the exception without them; of another number, that for JavaScript shows as many as there are.
        if reasons.len() != keys.len() {
            return None;
        }
        self.writer().array(3 * reasons.len());
        for (reason, key) in reasons.into_iter().zip(keys) {
            self.reason(reason, key).ok()?;
        }
        Some(std::mem::take(&mut self.bytes))
    }

    fn reason(&mut self, reason: &str, key: &KeySchema) -> Result<(), Malformed> {
        let reason = Members::read(reason)?;
        for text in [reason.text("Code")?, reason.text("Message")?] {
            match text {
                Some(text) => self.writer().text(&text),
                None => self.writer().null(),
            }
        }
        match reason.get("Item") {
            Some(item) => self.value(item, key),
            None => {
                self.writer().null();
                Ok(())
            }
        }
    }
}
