//! One write of one item: judged against its table and the item that is there, then carried out with its index entries.
//!
//! Judging only reads and carrying out only writes. A job judges everything it is about to do before it carries out the
//! first part, so that a refusal leaves no trace in the commit that other jobs share.

use std::sync::Arc;

use crate::model::capacity::{Charge, Consumed, UnitKind, Units};
use crate::model::expr::Condition;
use crate::model::{ApiError, Cause, ErrorCode, IndexMove, Item, Key};
use crate::wire::Json;
use crate::wire::keys::{self, IndexKeySource, KeyRefusal, KeySource};

use super::catalog::Table;
use super::change::{ItemChange, is_too_deep, too_deep};
use super::change_log::{Actor, Change};
use super::expiry::ExpiryChange;
use super::image::{Existing, ITEM_BYTES_MAX, NewItem, UPDATE_TOO_LARGE};
use super::indexes::{self, EntryChange};
use super::refusal::Refusal;
use super::rows;
use super::store::{Reads, StoreError, Writes};

/// A condition on an item that a transaction does not write, as far as the request alone can say it.
#[derive(Debug)]
pub(crate) struct ItemCheck {
    /// The `Key` member.
    pub(crate) key: Item,
    /// What must hold of the item that is there.
    pub(crate) condition: Condition,
    /// What to tell when it does not hold.
    pub(crate) on_failure: OnFailure,
}

/// What to do to one item, as far as the request alone can say it.
#[derive(Debug)]
pub(crate) struct ItemWrite {
    /// What to do.
    pub(crate) action: Action,
    /// What must hold of the item that is there.
    pub(crate) condition: Option<Condition>,
    /// What to tell when it does not hold.
    pub(crate) on_failure: OnFailure,
}

/// What to do to an item.
#[derive(Debug)]
pub(crate) enum Action {
    /// Put this item in the place of whatever has its key.
    Put {
        /// The item, and where it stands in the request.
        item: NewItem,
        /// Decides the words when its key does not fit.
        source: KeySource,
    },
    /// Remove the item with this key.
    Delete {
        /// The `Key` member.
        key: Item,
    },
    /// Change the item with this key, or make it.
    Update {
        /// The `Key` member.
        key: Item,
        /// The change; without one, a missing item is made of its key alone.
        change: Option<ItemChange>,
    },
}

/// What to tell of an item when its condition does not hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum OnFailure {
    /// Only that the condition failed.
    Nothing,
    /// The item that is there, too.
    OldItem,
    /// That an item is there already, where the condition was that there is none: a PartiQL `INSERT`.
    Duplicate,
}

/// A write that may be carried out, or has been: what was there, what comes, and what changes around it.
#[derive(Debug)]
pub(crate) struct Judged {
    /// The table.
    pub(crate) table: Arc<Table>,
    /// The item's key.
    pub(crate) key: Key,
    store_key: Vec<u8>,
    /// The item that was there.
    pub(crate) old: Option<Existing>,
    /// The item that will be there.
    pub(crate) new: Option<NewItem>,
    index_changes: Vec<EntryChange>,
    /// What they change for readers of global indexes.
    index_moves: Vec<IndexMove>,
    expiry_change: ExpiryChange,
    /// True when the item is another afterwards, and not only written in another way.
    is_change: bool,
}

impl OnFailure {
    /// What `ReturnValuesOnConditionCheckFailure` asks for.
    pub(crate) fn requested(body: &Json<'_>) -> Self {
        match body.get("ReturnValuesOnConditionCheckFailure").and_then(Json::text) {
            Some("ALL_OLD") => Self::OldItem,
            Some(_) | None => Self::Nothing,
        }
    }
}

impl Judged {
    /// Carries the write out.
    pub(crate) fn carry_out(&self, cause: Cause, writes: &mut dyn Writes) -> Result<(), StoreError> {
        match (&self.new, &self.old) {
            (Some(new), Some(old)) if new.is_stored_as(old) => return Ok(()),
            (Some(new), _) => writes.put(self.table.items, &self.store_key, new.row())?,
            (None, Some(_)) => writes.remove(self.table.items, &self.store_key)?,
            (None, None) => return Ok(()),
        }
        if let Some(log) = self.table.log.as_ref().filter(|_| self.is_change) {
            let change = Change {
                store_key: &self.store_key,
                keys: &self.table.schema.key.attributes_of(&self.key),
                old_row: self.old.as_ref().map(|old| old.row.bytes()),
                new_row: self.new.as_ref().map(|new| new.row()),
                actor: if cause == Cause::Expiry { Actor::Expiry } else { Actor::Client },
            };
            log.append(&change, writes)?;
        }
        if let Some(expiry) = &self.table.expiry {
            expiry.apply(&self.expiry_change, writes)?;
        }
        for change in &self.index_changes {
            if let Some(key) = &change.removed {
                writes.remove(change.space, key)?;
            }
            if let Some((key, row)) = &change.written {
                writes.put(change.space, key, row)?;
            }
            self.table.add_index_bytes(change.position, change.bytes_delta);
        }
        self.table.add_bytes(self.new_bytes() as i64 - self.old_bytes() as i64);
        writes.note(crate::model::Change {
            table: Arc::clone(&self.table.schema),
            key: self.key.clone(),
            moves: self.index_moves.clone(),
            cause,
        });
        Ok(())
    }

    /// Finds what must change around the item.
    fn follow(&mut self) -> Result<(), StoreError> {
        let Self { table, old, new, .. } = self;
        match (&*new, &mut *old) {
            (Some(new), Some(old)) if new.is_stored_as(old) => return Ok(()),
            // Of sets the order may differ, which is no change. Most writes show in the length that they are none such.
            (Some(new), Some(old)) if table.log.is_some() && new.row().len() == old.row.bytes().len() => {
                self.is_change = old.item()? != new.item();
            }
            _ => {}
        }
        if table.schema.indexes.is_empty() && table.expiry.is_none() {
            return Ok(());
        }
        let old = old.as_mut().map(Existing::item).transpose()?;
        let new = new.as_ref().map(NewItem::item);
        if let Some(expiry) = &table.expiry {
            self.expiry_change = expiry.change(&self.store_key, old, new);
        }
        self.index_changes = indexes::changes(table, old, new);
        self.index_moves = indexes::moves(table, &self.index_changes, old, new);
        Ok(())
    }

    /// What the write consumes: by the larger of the item before and after, and each index entry that changes.
    pub(crate) fn consumed(&self) -> Consumed {
        let mut consumed = Consumed::default();
        consumed.add_table(Units::write(self.larger_bytes()));
        for change in &self.index_changes {
            consumed.add_index(&self.table.schema.indexes[change.position], change.units);
        }
        consumed
    }

    /// The store key of the item: within one table, the same for the same item only.
    pub(crate) fn store_key(&self) -> &[u8] {
        &self.store_key
    }

    /// The size by which the write is charged, in bytes: that of the larger of the item before and after.
    pub(crate) fn larger_bytes(&self) -> usize {
        self.old_bytes().max(self.new_bytes())
    }

    fn old_bytes(&self) -> usize {
        self.old.as_ref().map_or(0, |old| old.row.size_bytes())
    }

    fn new_bytes(&self) -> usize {
        self.new.as_ref().map_or(0, NewItem::size_bytes)
    }
}

impl ItemWrite {
    /// Judges the write against the table and what is in it. Nothing is written.
    ///
    /// # Errors
    /// The service's own when the request does not fit the table, when the condition does not hold, or when the update
    /// cannot be applied.
    pub(crate) fn judge(self, table: &Arc<Table>, reads: &dyn Reads) -> Result<Judged, Refusal> {
        let key = self.key(table)?;
        self.check_statement_size()?;
        self.judge_at(key, table, reads)
    }

    /// Refuses an update whose statement is too large by itself, as the service does outside of transactions, before it looks
    /// at any item.
    ///
    /// # Errors
    /// The same words as for an item that an update makes too large.
    fn check_statement_size(&self) -> Result<(), ApiError> {
        match &self.action {
            Action::Update { change: Some(ItemChange::Expression(update)), .. }
                if update.statement_bytes() > ITEM_BYTES_MAX =>
            {
                Err(ApiError::validation(UPDATE_TOO_LARGE))
            }
            Action::Update { .. } | Action::Put { .. } | Action::Delete { .. } => Ok(()),
        }
    }

    /// The key of the item that it writes.
    ///
    /// # Errors
    /// The service's own when it does not fit the table's schema.
    pub(crate) fn key(&self, table: &Table) -> Result<Key, KeyRefusal> {
        self.action.key(table)
    }

    /// The same as [`ItemWrite::judge`] for who has asked for the key already.
    ///
    /// # Errors
    /// As [`ItemWrite::judge`].
    pub(crate) fn judge_at(self, key: Key, table: &Arc<Table>, reads: &dyn Reads) -> Result<Judged, Refusal> {
        self.action.check_against(table)?;
        if let Some(condition) = &self.condition {
            keys::check_nested_roots(&table.schema, condition.nested_roots())?;
        }
        let store_key = rows::item_key(&key);
        let mut old = Existing::read(table, &store_key, reads)?;
        if let Some(condition) = &self.condition {
            check_condition(condition, old.as_mut(), self.on_failure, table)?;
        }
        // Of all items that are put only a statement's can be too deep, for its parameters may be deeper than other values.
        if self.on_failure == OnFailure::Duplicate
            && let Action::Put { item, .. } = &self.action
            && is_too_deep(item.item())
        {
            return Err(too_deep().into());
        }
        let new = self.action.outcome(table, old.as_mut())?;
        let mut judged = Judged {
            table: Arc::clone(table),
            key,
            store_key,
            old,
            new,
            index_changes: Vec::new(),
            index_moves: Vec::new(),
            expiry_change: ExpiryChange::default(),
            is_change: true,
        };
        judged.follow()?;
        Ok(judged)
    }
}

impl ItemCheck {
    /// The key of the item that it looks at.
    ///
    /// # Errors
    /// The service's own when it does not fit the table's schema.
    pub(crate) fn key(&self, table: &Table) -> Result<Key, KeyRefusal> {
        keys::key_from(&table.schema.key, &self.key, KeySource::KeyMember)
    }

    /// Judges the item that is there and gives its size in bytes, by which the check is charged like a write.
    ///
    /// # Errors
    /// The service's own when the request does not fit the table or the condition does not hold.
    pub(crate) fn judge_at(&self, key: &Key, table: &Table, reads: &dyn Reads) -> Result<usize, Refusal> {
        keys::check_nested_roots(&table.schema, self.condition.nested_roots())?;
        let mut old = Existing::read(table, &rows::item_key(key), reads)?;
        check_condition(&self.condition, old.as_mut(), self.on_failure, table)?;
        Ok(old.map_or(0, |old| old.row.size_bytes()))
    }
}

/// The error of a write whose condition does not hold.
pub(crate) fn condition_failed() -> ApiError {
    ApiError::new(ErrorCode::ConditionalCheckFailed, "The conditional request failed")
}

/// Refuses a write whose condition does not hold.
///
/// It is charged by the size of the item that is there, with one unit at least (developer guide, "Working with items", *Capacity units
/// consumed by conditional writes*, 2026). The page "Read and write operations" counts the new item instead, if that is larger.
fn check_condition(
    condition: &Condition,
    mut old: Option<&mut Existing>,
    on_failure: OnFailure,
    table: &Table,
) -> Result<(), Refusal> {
    if condition.holds(old.as_mut().map(|old| old.item()).transpose()?) {
        return Ok(());
    }
    let units = Units::write(old.as_ref().map_or(0, |old| old.row.size_bytes()));
    let charge = Box::new(Charge::exact(&table.schema.name, UnitKind::Write, Consumed::of_table(units)));
    if on_failure == OnFailure::Duplicate {
        let error = ApiError::new(ErrorCode::DuplicateItem, "Duplicate primary key exists in table");
        return Err(Refusal::Condition(error, charge));
    }
    let mut error = condition_failed();
    if let (OnFailure::OldItem, Some(old)) = (on_failure, old) {
        let text = str::from_utf8(old.row.json_text());
        let text = text.map_err(|_| StoreError("a stored item is not UTF-8".to_owned()))?;
        error.members = Some(format!("\"Item\":{text}"));
    }
    Err(Refusal::Condition(error, charge))
}

impl Action {
    fn key(&self, table: &Table) -> Result<Key, KeyRefusal> {
        let (attributes, source) = match self {
            Self::Put { item, source } => (item.item(), *source),
            Self::Delete { key } | Self::Update { key, .. } => (key, KeySource::KeyMember),
        };
        keys::key_from(&table.schema.key, attributes, source)
    }

    /// What the table's schema alone can say against the write.
    fn check_against(&self, table: &Table) -> Result<(), Refusal> {
        match self {
            Self::Put { item, .. } => {
                keys::check_index_keys(&table.schema, item.item(), IndexKeySource::Request, |_| true)?;
            }
            Self::Delete { .. } | Self::Update { change: None, .. } => {}
            Self::Update { change: Some(change), .. } => change.check_against(table)?,
        }
        Ok(())
    }

    /// The item after the write; `None` when there is none.
    fn outcome(self, table: &Table, old: Option<&mut Existing>) -> Result<Option<NewItem>, Refusal> {
        match self {
            Self::Put { item, .. } => Ok(Some(item)),
            Self::Delete { .. } => Ok(None),
            Self::Update { key, change } => {
                let item = match (old, change) {
                    (None, None) => key,
                    (None, Some(change)) => match change.apply_to_missing(table, key)? {
                        Some(item) => item,
                        None => return Ok(None),
                    },
                    (Some(old), change) => {
                        let is_plain = table.schema.indexes.is_empty() && table.expiry.is_none();
                        let mut item = if is_plain { old.take_item()? } else { old.item()?.clone() };
                        change.map_or(Ok(()), |change| change.apply(table, &mut item))?;
                        item
                    }
                };
                Ok(Some(NewItem::encoded(item, UPDATE_TOO_LARGE)?))
            }
        }
    }
}
