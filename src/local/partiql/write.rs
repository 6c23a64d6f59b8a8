//! `INSERT`, `UPDATE` and `DELETE`: each is one write of one item, judged like any other.

use std::sync::Arc;

use crate::model::expr::{Condition, KeyTest, Path, Paths};
use crate::model::partiql::{Asks, Delete, Filter, Insert, Returning, Statement, UpdateItem};
use crate::model::{ApiError, Cause, Item, KeySchema};
use crate::wire::attribute::write_item;
use crate::wire::keys::KeySource;

use crate::local::LocalError;
use crate::local::catalog::Table;
use crate::local::change::ItemChange;
use crate::local::image::{Existing, NewItem};
use crate::local::set_order::hashed;
use crate::local::store::{StoreError, Writes};
use crate::local::write::{Action, ItemWrite, Judged, OnFailure};

use super::plan::{check_type, key_type_mismatch};

/// A `WHERE` that does not name one item.
const KEY_MISSING: &str = "Where clause does not contain a mandatory equality on all key attributes";

/// A write that a statement asks for.
#[derive(Debug)]
pub(super) struct StatementWrite {
    pub(super) write: ItemWrite,
    pub(super) answers: Answers,
}

/// What a write answers of the item.
#[derive(Debug)]
pub(super) enum Answers {
    /// Nothing.
    Nothing,
    /// The whole item as it was.
    Old,
    /// The whole item as it is now.
    New,
    /// What was at these paths.
    OldAt(Paths),
    /// What is there now.
    NewAt(Paths),
}

impl StatementWrite {
    /// The write that a statement asks of a table.
    ///
    /// # Errors
    /// The service's own when it does not name one item.
    pub(super) fn of(statement: Statement, table: &Table, on_failure: OnFailure) -> Result<Self, ApiError> {
        let key = &table.schema.key;
        match statement {
            Statement::Insert(insert) => Self::of_insert(insert, key),
            Statement::Update(update) => Self::of_update(update, key, on_failure),
            Statement::Delete(delete) => Self::of_delete(delete, key, on_failure),
            Statement::Select(_) | Statement::Exists(_) => unreachable!("reads are no writes"),
        }
    }

    fn of_insert(insert: Insert, key: &KeySchema) -> Result<Self, ApiError> {
        for attribute in key.attributes() {
            let Some(value) = insert.item.get(&attribute.name) else {
                return Err(ApiError::validation(format!(
                    "Key attribute should be present in the item: Key {}",
                    attribute.name
                )));
            };
            if !attribute.scalar_type.admits(value) {
                return Err(key_type_mismatch(&attribute.name));
            }
        }
        Ok(Self { write: insertion(insert, key)?, answers: Answers::Nothing })
    }

    fn of_update(update: UpdateItem, key: &KeySchema, on_failure: OnFailure) -> Result<Self, ApiError> {
        let (item, rest) = split(update.filter.as_ref(), key)?;
        let change = ItemChange::Statement(update.update);
        let answers = match update.returning {
            None => Answers::Nothing,
            Some(Returning::AllOld) => Answers::Old,
            Some(Returning::AllNew) => Answers::New,
            Some(Returning::ModifiedOld) => Answers::OldAt(change.targets()),
            Some(Returning::ModifiedNew) => Answers::NewAt(change.targets()),
        };
        Ok(Self { write: changing(change, item, rest, key, on_failure), answers })
    }

    fn of_delete(delete: Delete, key: &KeySchema, on_failure: OnFailure) -> Result<Self, ApiError> {
        let (item, rest) = split(delete.filter.as_ref(), key)?;
        let answers = if delete.returns_old { Answers::Old } else { Answers::Nothing };
        Ok(Self { write: removal(item, rest, key, on_failure), answers })
    }

    /// Judges the write and carries it out.
    ///
    /// # Errors
    /// The service's own, and a broken store.
    pub(super) fn run(
        self,
        table: &Arc<Table>,
        writes: &mut dyn Writes,
    ) -> Result<(Judged, Answers), LocalError> {
        let judged = self.write.judge(table, &*writes)?;
        judged.carry_out(Cause::Statement, writes)?;
        Ok((judged, self.answers))
    }
}

/// The write of an `INSERT`: it takes no item's place.
pub(super) fn insertion(insert: Insert, key: &KeySchema) -> Result<ItemWrite, ApiError> {
    let action = Action::Put { item: NewItem::within_limit(insert.item)?, source: KeySource::Item };
    let condition = Some(Condition::not_exists(partition_path(key)));
    Ok(ItemWrite { action, condition, on_failure: OnFailure::Duplicate })
}

/// The write of an `UPDATE`: it makes no item.
pub(super) fn changing(
    change: ItemChange,
    item: Item,
    rest: Vec<Condition>,
    key: &KeySchema,
    on_failure: OnFailure,
) -> ItemWrite {
    let mut conditions = vec![Condition::exists(partition_path(key))];
    conditions.extend(rest);
    let action = Action::Update { key: item, change: Some(change) };
    ItemWrite { action, condition: Some(Condition::all(conditions)), on_failure }
}

/// The write of a `DELETE`: an item that is not there is as good as removed, whatever was asked of it.
pub(super) fn removal(item: Item, rest: Vec<Condition>, key: &KeySchema, on_failure: OnFailure) -> ItemWrite {
    let missing = || Condition::not_exists(partition_path(key));
    let condition = (!rest.is_empty()).then(|| Condition::any(vec![missing(), Condition::all(rest)]));
    ItemWrite { action: Action::Delete { key: item }, condition, on_failure }
}

fn partition_path(key: &KeySchema) -> Path {
    Path::attribute(key.partition[0].name.clone())
}

/// The key that a `WHERE` names, and what else it asks.
///
/// # Errors
/// The service's own when it names none, or two, or one that the table cannot have.
pub(super) fn split(filter: Option<&Filter>, key: &KeySchema) -> Result<(Item, Vec<Condition>), ApiError> {
    let (item, rest) = split_untyped(filter, key)?;
    item.iter().try_for_each(|(name, value)| check_type(name, value, key))?;
    Ok((item, rest))
}

/// As [`split`], but any value will do.
///
/// # Errors
/// The service's own when it names none, or two.
pub(super) fn split_untyped(
    filter: Option<&Filter>,
    key: &KeySchema,
) -> Result<(Item, Vec<Condition>), ApiError> {
    let mut item = Item::new();
    let mut rest = Vec::new();
    for part in filter.into_iter().flat_map(Filter::conjuncts) {
        let test = part.attribute().filter(|test| key.contains(&test.name));
        match test.map(|test| (&test.name, &test.asks)) {
            Some((name, Asks::Key(KeyTest::Equal(value)))) => {
                if item.insert(name.clone(), value.clone()).is_some_and(|earlier| earlier != *value) {
                    return Err(ApiError::validation(format!(
                        "Multiple conditions on same key {name}. \
                         Only single item Update/Insert/Delete are supported"
                    )));
                }
            }
            _ => rest.push(part.condition()),
        }
    }
    if key.attributes().any(|attribute| !item.contains_key(&attribute.name)) {
        return Err(ApiError::validation(KEY_MISSING));
    }
    Ok((item, rest))
}

impl Answers {
    /// What is answered of the item, as JSON; `None` when there is nothing to tell.
    pub(super) fn item(&self, done: &mut Judged) -> Result<Option<Vec<u8>>, StoreError> {
        let old = |done: &mut Judged, paths: &Paths| -> Result<Option<Item>, StoreError> {
            Ok(done.old.as_mut().map(Existing::item).transpose()?.map(|item| paths.project(item)))
        };
        let part = match self {
            Self::Nothing => return Ok(None),
            Self::Old => return Ok(done.old.as_ref().map(|old| hashed(old.row.json_text()))),
            Self::New => return Ok(done.new.as_ref().map(|new| hashed(new.json_text()))),
            Self::OldAt(paths) => old(done, paths)?,
            Self::NewAt(paths) => done.new.as_ref().map(|new| paths.project(new.item())),
        };
        Ok(part.filter(|part| !part.is_empty()).map(|part| {
            let mut out = Vec::new();
            write_item(&part, &mut out);
            hashed(&out)
        }))
    }
}
