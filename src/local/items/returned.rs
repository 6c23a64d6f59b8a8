//! What a write of one item answers of the item itself: `ReturnValues`.

use crate::local::answer::ObjectWriter;
use crate::local::change::ItemChange;
use crate::local::image::{Existing, NewItem};
use crate::local::store::StoreError;
use crate::local::write::Judged;
use crate::model::expr::Paths;
use crate::model::{ApiError, Item};
use crate::wire::Json;
use crate::wire::attribute::write_item;

/// What a write answers of the item: `ReturnValues`.
#[derive(Debug)]
pub(super) enum Returned {
    Nothing,
    /// The whole item as it was.
    Old,
    /// The whole item as it is now.
    New,
    /// What was at the paths that an update names.
    UpdatedOld(Paths),
    /// What is there now.
    UpdatedNew(Paths),
}

impl Returned {
    /// Of an item that is replaced or removed, only the old one can be asked for.
    pub(super) fn of_replaced(body: &Json<'_>) -> Result<Self, ApiError> {
        match body.get("ReturnValues").and_then(Json::text) {
            None | Some("NONE") => Ok(Self::Nothing),
            Some("ALL_OLD") => Ok(Self::Old),
            Some(_) => Err(ApiError::validation("ReturnValues can only be ALL_OLD or NONE")),
        }
    }

    /// Of an item that is updated, either image can be asked for, whole or as far as it was written.
    pub(super) fn of_updated(body: &Json<'_>, change: Option<&ItemChange>) -> Self {
        let targets = || change.map(ItemChange::targets).unwrap_or_default();
        match body.get("ReturnValues").and_then(Json::text) {
            Some("ALL_OLD") => Self::Old,
            Some("ALL_NEW") => Self::New,
            Some("UPDATED_OLD") => Self::UpdatedOld(targets()),
            Some("UPDATED_NEW") => Self::UpdatedNew(targets()),
            Some(_) | None => Self::Nothing,
        }
    }

    /// Adds the `Attributes` member, if there is anything to put into it.
    pub(super) fn write(&self, done: &mut Judged, answer: &mut ObjectWriter) -> Result<(), StoreError> {
        match self {
            Self::Nothing => {}
            Self::Old => {
                if let Some(old) = &done.old {
                    answer.member("Attributes").extend_from_slice(old.row.json_text());
                }
            }
            Self::New => {
                if let Some(new) = &done.new {
                    answer.member("Attributes").extend_from_slice(new.json_text());
                }
            }
            Self::UpdatedOld(paths) => {
                let old = done.old.as_mut().map(Existing::item).transpose()?;
                write_updated(paths, old, answer);
            }
            Self::UpdatedNew(paths) => write_updated(paths, done.new.as_ref().map(NewItem::item), answer),
        }
        Ok(())
    }
}

fn write_updated(paths: &Paths, item: Option<&Item>, answer: &mut ObjectWriter) {
    let updated = item.map(|item| paths.project(item)).unwrap_or_default();
    if !updated.is_empty() {
        write_item(&updated, answer.member("Attributes"));
    }
}
