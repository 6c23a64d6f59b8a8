//! What a write of one key tells of the item before and after it, and what follows: the image for the cache of items, and the
//! partitions of global indexes that the write touches.
//!
//! Much of it is in the request. What is not, the upstream is asked for in the client's place, where that costs nothing and
//! the cache has a use for it; it is taken out again before the client sees the answer. Whatever is not exactly known stays
//! unknown, and invalidates more.

use crate::cache::{CachedItem, IndexTouch};
use crate::call::{Answer, Request};
use crate::model::expr::Update;
use crate::model::key::{KeyError, partition_bytes, strip_plain_text};
use crate::model::key_attribute::ScalarType;
use crate::model::schema::IndexKind;
use crate::model::value::item_size_bytes;
use crate::model::{AttributeValue, IndexSchema, Item, KeySchema, Operation, TableSchema};
use crate::wire::attribute::{Reader, item_from_json, item_of_answer, write_item};
use crate::wire::expressions::Placeholders;
use crate::wire::json::with_member;
use crate::wire::raw::RawObject;
use crate::wire::{Json, legacy};

use super::known_table::KnownTable;

/// No item is made of a longer PutItem. The longest items of usual JSON fit: 400 KB of empty strings take 4 MB of text. DynamoDB
/// rejects most longer requests, so the memory would be spent in vain.
const PUT_BYTES_MAX: usize = 4 << 20;

/// What the cache has a use for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Wants {
    /// The item as it will be.
    pub(super) image: bool,
    /// The partitions of global indexes that the write touches.
    pub(super) positions: bool,
    /// Whether the upstream may be asked for more than the client asks for.
    pub(super) may_ask: bool,
    /// Whether the upstream hands over the item as it will be, beside its answer.
    pub(super) is_handed_over: bool,
}

/// What will be known of the item once a write of one key has succeeded.
#[derive(Debug)]
pub(super) struct Plan {
    wants: Wants,
    after: Origin,
    before: Origin,
    /// The attributes that an update may change; `None` when it may be any.
    targets: Option<Vec<String>>,
    /// What an update does to the item, if it can be read.
    change: Option<Change>,
    /// The `ReturnValues` that the upstream is asked for in the client's place. The client does not see the answer's `Attributes`.
    asked: Option<&'static str>,
}

/// What an update does.
#[derive(Debug)]
struct Change {
    /// The item that it creates if there is none, before the update.
    key: Item,
    /// `None` if it creates the item and does no more.
    update: Option<Update>,
}

/// Where the item at one end of a write is found.
#[derive(Debug)]
enum Origin {
    /// Nowhere.
    Nowhere,
    /// It is known already; `None` when there will be no item.
    Request(Option<Item>),
    /// In the answer's `Attributes`, which are missing if there was no item.
    Answer,
    /// Beside the answer, if there is an item.
    HandedOver,
}

/// An item at one end of a write.
#[derive(Clone, Debug, PartialEq)]
enum Known {
    Not,
    Exactly(Option<Item>),
}

/// What is known of a write that has succeeded.
#[derive(Debug)]
pub(super) struct Outcome {
    /// The item as it is now, where the cache of items wants it and it is exactly known.
    pub(super) image: Option<CachedItem>,
    before: Known,
    after: Known,
    /// The item as our own evaluator makes it of the one before. It is good for its place in an index, and never stored.
    computed: Option<Item>,
    targets: Option<Vec<String>>,
}

/// A success whose body is not what the operation answers.
#[derive(Debug)]
pub(super) struct Undecodable;

impl Plan {
    /// Of a write that tells nothing.
    pub(super) fn nothing() -> Self {
        Self {
            wants: Wants::default(),
            after: Origin::Nowhere,
            before: Origin::Nowhere,
            targets: None,
            change: None,
            asked: None,
        }
    }

    /// Of a statement that puts an item where there must be none. The item is good for its place in an index; it is not stored,
    /// for the service reads the text itself.
    pub(super) fn of_insert(item: Item) -> Self {
        let wants = Wants { positions: true, ..Wants::default() };
        let (before, after) = (Origin::Request(None), Origin::Request(Some(item)));
        Self { wants, before, after, ..Self::nothing() }
    }

    /// Decides what will be known after a write of one key. Where it is of use to ask for more than the request does, the request
    /// that does so is returned, too.
    pub(super) fn of(
        request: &Request,
        body: &Json<'_>,
        wants: Wants,
        table: &TableSchema,
    ) -> (Option<Request>, Self) {
        let is_too_long = request.operation == Operation::PutItem && request.body.len() > PUT_BYTES_MAX;
        if is_too_long || !(wants.image || wants.positions) {
            return (None, Self::nothing());
        }
        let mut plan = Self { wants, ..Self::nothing() };
        if wants.is_handed_over && !wants.positions {
            plan.after = match request.operation {
                Operation::DeleteItem => Origin::Request(None),
                _ => Origin::HandedOver,
            };
            return (None, plan);
        }
        let asked = match body.get("ReturnValues").map(Json::text) {
            None => Some("NONE"),
            Some(asked) => asked,
        };
        let missing = match request.operation {
            Operation::UpdateItem => {
                plan.change = if wants.positions { Change::read(body) } else { None };
                plan.targets = plan.change.as_ref().map(Change::targets);
                plan.plan_update(asked, table)
            }
            operation => plan.plan_replacement(operation, body, asked),
        };
        plan.asked = missing;
        let asking = missing.map(|missing| {
            request.with_body(with_member(body, "ReturnValues", Json::String(missing.into())))
        });
        (asking, plan)
    }

    /// Returns what should be asked of the upstream. One answer tells one end of the write. The new item can be stored; the
    /// old one says where it was, which matters more when the update may move it in an index: the alternative is to
    /// invalidate the index whole.
    fn plan_update(&mut self, asked: Option<&str>, table: &TableSchema) -> Option<&'static str> {
        match asked {
            Some("ALL_NEW") => self.after = Origin::Answer,
            Some("ALL_OLD") if self.wants.positions => self.before = Origin::Answer,
            Some("NONE") if self.wants.may_ask && self.moves_in_an_index(table) => {
                self.before = Origin::Answer;
                return Some("ALL_OLD");
            }
            Some("NONE") if self.wants.may_ask => {
                self.after = Origin::Answer;
                return Some("ALL_NEW");
            }
            _ => {}
        }
        None
    }

    fn moves_in_an_index(&self, table: &TableSchema) -> bool {
        let mut global = table.indexes.iter().filter(|index| index.kind == IndexKind::Global);
        let targets = self.targets.as_deref().unwrap_or_default();
        global.any(|index| targets.iter().any(|target| index.key.contains(target)))
    }

    /// PutItem and DeleteItem. Returns what should be asked of the upstream.
    fn plan_replacement(
        &mut self,
        operation: Operation,
        body: &Json<'_>,
        asked: Option<&str>,
    ) -> Option<&'static str> {
        self.after = match operation {
            Operation::DeleteItem => Origin::Request(None),
            _ => match body.get("Item").map(item_from_json) {
                Some(Ok(item)) => Origin::Request(Some(item)),
                _ => Origin::Nowhere,
            },
        };
        match asked {
            Some("ALL_OLD") if self.wants.positions => self.before = Origin::Answer,
            Some("NONE") if self.wants.positions && self.wants.may_ask => {
                self.before = Origin::Answer;
                return Some("ALL_OLD");
            }
            _ => {}
        }
        None
    }

    /// The `ReturnValues` that the upstream is asked for in the client's place.
    pub(super) fn asked(&self) -> Option<&'static str> {
        self.asked
    }

    /// The client's own request is sent after all: nothing is reported but by the request.
    pub(super) fn forgo_answer(&mut self) {
        self.asked = None;
        for source in [&mut self.before, &mut self.after] {
            if matches!(source, Origin::Answer) {
                *source = Origin::Nowhere;
            }
        }
    }

    /// The client's answer to a successful write, and what it tells.
    ///
    /// # Errors
    /// [`Undecodable`]: nobody knows then what happened.
    pub(super) fn finish(self, mut answer: Answer) -> Result<(Answer, Outcome), Undecodable> {
        let mut written = answer.item.take();
        let reads_answer = matches!((&self.before, &self.after), (Origin::Answer, _) | (_, Origin::Answer));
        let kept = answer.body.clone();
        let (answer, attributes) = match reads_answer {
            false => (answer, None),
            true => {
                let body = RawObject::parse(&kept).ok_or(Undecodable)?;
                let attributes = body.get("Attributes").map(read_attributes);
                let answer = match self.asked.is_some() {
                    true => Answer { body: body.without("Attributes").into(), ..answer },
                    false => answer,
                };
                (answer, attributes)
            }
        };
        let handed_over = written.as_ref().filter(|_| matches!(self.after, Origin::HandedOver));
        let handed_over = handed_over.map(|written| CachedItem::present(&written.json, written.size_bytes));
        let mut told = |source: Origin| match (source, &attributes) {
            (Origin::Nowhere, _) | (Origin::Answer, Some(None)) => Known::Not,
            (Origin::Request(item), _) => Known::Exactly(item),
            (Origin::Answer, Some(Some(item))) => Known::Exactly(Some(item.clone())),
            (Origin::Answer, None) => Known::Exactly(None),
            (Origin::HandedOver, _) => {
                let attributes = written.take().and_then(|written| written.attributes);
                attributes.map_or(Known::Not, |item| Known::Exactly(Some(item)))
            }
        };
        // There is an item after every update: an answer without one does not tell.
        let is_answered = matches!(self.after, Origin::Answer);
        let after = match told(self.after) {
            Known::Exactly(None) if is_answered => Known::Not,
            after => after,
        };
        let before = told(self.before);
        let image = match &after {
            Known::Exactly(item) if self.wants.image => {
                Some(handed_over.unwrap_or_else(|| image_of(item.as_ref())))
            }
            _ => None,
        };
        let computed = match (&before, self.change) {
            (Known::Exactly(before), Some(change)) => change.of(before.as_ref()),
            _ => None,
        };
        Ok((answer, Outcome { image, before, after, computed, targets: self.targets }))
    }
}

impl Outcome {
    /// True if what is known of the item, before and after, has the key that was written.
    pub(super) fn is_of(&self, schema: &KeySchema, key: &[u8]) -> bool {
        [&self.before, &self.after].into_iter().all(|known| match known {
            Known::Exactly(Some(item)) => {
                has_plain_key(schema, item, key)
                    || schema.key_of(item).is_ok_and(|found| found.canonical_bytes() == key)
            }
            Known::Exactly(None) | Known::Not => true,
        })
    }

    /// Of a write that told nothing.
    pub(super) fn unknown() -> Self {
        Self { image: None, before: Known::Not, after: Known::Not, computed: None, targets: None }
    }

    /// Where in the table's global indexes the item was and is.
    pub(super) fn touches(&self, table: &KnownTable) -> IndexTouch {
        let indexes = table.schema.indexes.iter().zip(&table.indexes);
        let touched = indexes.filter_map(|(schema, known)| {
            let cached = known.global.as_ref()?;
            Some((cached.clone(), self.touched_partitions(&table.schema, schema)?))
        });
        IndexTouch::Known(touched.collect())
    }

    /// The partitions of an index whose pages the write may have changed; `None` when they are not known.
    fn touched_partitions(&self, table: &TableSchema, index: &IndexSchema) -> Option<Vec<Vec<u8>>> {
        if let (Known::Exactly(before), Known::Exactly(after)) = (&self.before, &self.after) {
            let entry = |item: &Option<Item>| item.as_ref().and_then(|item| index.project(&table.key, item));
            if entry(before) == entry(after) {
                return Some(Vec::new());
            }
            let mut partitions = Vec::with_capacity(2);
            for item in [before, after].into_iter().flatten() {
                partitions.extend(partition_in(index, item)?);
            }
            partitions.dedup();
            return Some(partitions);
        }
        let targets = self.targets.as_ref()?;
        if targets.iter().any(|target| index.key.contains(target)) || self.before == Known::Exactly(None) {
            let Known::Exactly(before) = &self.before else { return None };
            let mut partitions = Vec::with_capacity(2);
            for item in before.iter().chain([self.computed.as_ref()?]) {
                partitions.extend(partition_in(index, item)?);
            }
            partitions.dedup();
            return Some(partitions);
        }
        // An update that makes its item gives it the table's key and its targets, and no more than that.
        let may_enter = index.key.attributes().all(|attribute| table.key.contains(&attribute.name));
        if !may_enter && !targets.iter().any(|target| index.projects(&table.key, target)) {
            return Some(Vec::new());
        }
        match (&self.before, &self.after) {
            // Unless it is new, it was where it is.
            (_, Known::Exactly(Some(item))) | (Known::Exactly(Some(item)), _) => {
                partition_in(index, item).map(Vec::from_iter)
            }
            _ => None,
        }
    }
}

/// True if the item certainly has this key, of which all values are plain strings: without making the item's key.
fn has_plain_key(schema: &KeySchema, item: &Item, key: &[u8]) -> bool {
    let behind = schema.attributes().try_fold(key, |rest, attribute| match item.get(&attribute.name) {
        Some(AttributeValue::S(text)) if attribute.scalar_type == ScalarType::S => {
            strip_plain_text(text, rest)
        }
        _ => None,
    });
    behind.is_some_and(<[u8]>::is_empty)
}

/// The partition of an index that an item is in: `Some(None)` when it is in none, `None` when that cannot be told.
fn partition_in(index: &IndexSchema, item: &Item) -> Option<Option<Vec<u8>>> {
    match index.key.key_of(item) {
        Ok(key) => {
            let mut partition = Vec::with_capacity(32);
            partition_bytes(key.partition(), &mut partition);
            Some(Some(partition))
        }
        Err(KeyError::Missing { .. }) => Some(None),
        // Written before there was the index, perhaps: it should be in no partition, but that is not for us to say.
        Err(_) => None,
    }
}

fn image_of(item: Option<&Item>) -> CachedItem {
    match item {
        None => CachedItem::absent(),
        Some(item) => {
            let mut json = Vec::with_capacity(512);
            write_item(item, &mut json);
            CachedItem::present(&json, item_size_bytes(item))
        }
    }
}

impl Change {
    /// What an UpdateItem does; `None` when that cannot be read.
    fn read(body: &Json<'_>) -> Option<Self> {
        let legacy = legacy::attribute_updates(body, Reader::Newer).ok()?;
        let update = match (body.get("UpdateExpression"), legacy) {
            (Some(expression), None) => {
                let placeholders = Placeholders::parse(body, Reader::Newer).ok()?;
                Some(Update::parse(expression.text()?, &mut placeholders.bindings()).ok()?)
            }
            (None, update) => update,
            (Some(_), Some(_)) => return None,
        };
        Some(Self { key: item_from_json(body.get("Key")?).ok()?, update })
    }

    /// The attributes that it may change besides creating the item.
    fn targets(&self) -> Vec<String> {
        self.update.iter().flat_map(Update::roots).map(str::to_owned).collect()
    }

    /// What becomes of an item; `None` when our evaluator cannot tell.
    fn of(self, before: Option<&Item>) -> Option<Item> {
        let mut item = before.cloned().unwrap_or(self.key);
        if let Some(update) = self.update {
            update.apply(&mut item).ok()?;
        }
        Some(item)
    }
}

/// The item in an answer's `Attributes`; `None` when it is not wholly understood.
fn read_attributes(text: &str) -> Option<Item> {
    item_of_answer(&Json::parse(text.as_bytes()).ok()?)
}

#[cfg(test)]
mod tests;
