//! What a write of one item is charged: by the larger of the item before and after it. Most answers show one of the two at most.

use crate::call::Answer;
use crate::model::capacity::{Basis, Charge, Consumed, UnitKind, Units};
use crate::wire::Json;
use crate::wire::raw::RawObject;
use crate::wire::size::item_size;

use super::{Size, size_of_json};
use crate::insight::usage::TableUsage;

/// The facts of a request that decide how much a write of one item is charged.
#[derive(Clone, Copy, Debug)]
pub(crate) struct WriteTerms {
    /// The size of the item that is put.
    put_bytes: Option<usize>,
    is_update: bool,
    returned: Returned,
}

/// Which whole item the answer shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Returned {
    Before,
    After,
    Neither,
}

impl Returned {
    fn of(values: &str) -> Self {
        match values {
            "ALL_OLD" => Self::Before,
            "ALL_NEW" => Self::After,
            _ => Self::Neither,
        }
    }
}

impl WriteTerms {
    /// Of a PutItem, UpdateItem or DeleteItem.
    pub(crate) fn of(request: &Json<'_>) -> Self {
        let updates = ["UpdateExpression", "AttributeUpdates"];
        Self {
            put_bytes: request.get("Item").map(size_of_json),
            is_update: updates.iter().any(|member| request.get(member).is_some()),
            returned: Returned::of(request.get("ReturnValues").and_then(Json::text).unwrap_or_default()),
        }
    }

    /// The same of a request that is made to ask for these `ReturnValues`.
    #[must_use]
    pub(crate) fn asking(self, values: &str) -> Self {
        Self { returned: Returned::of(values), ..self }
    }

    /// What a write that succeeded is charged; `None` if the answer must be looked at in another way.
    pub(crate) fn charge(&self, usage: &TableUsage, answer: &Answer) -> Option<Charge> {
        let body = RawObject::parse(&answer.body)?;
        if body.get("ConsumedCapacity").is_some() {
            return None;
        }
        self.note(usage);
        let size = self.size(body.get("Attributes").and_then(item_size));
        let size = size.unwrap_or_else(|| Size::estimated(usage.usual_bytes(None)));
        let consumed = Consumed::of_table(Units::write(size.bytes));
        let (table, kind) = (usage.name().into(), UnitKind::Write);
        Some(Charge { table, kind, consumed, basis: size.basis, price: None })
    }

    /// Takes note of the size of an item that was put.
    pub(super) fn note(&self, usage: &TableUsage) {
        usage.sizes.note(self.put_bytes.as_slice());
    }

    /// The size by which the write is charged; `None` if neither request nor answer shows an item. `returned` is the size of the
    /// attributes in the answer.
    pub(super) fn size(&self, returned: Option<usize>) -> Option<Size> {
        Some(match (self.put_bytes, returned, self.returned) {
            (Some(new), old, Returned::Before) => Size::exact(new.max(old.unwrap_or(0))),
            (Some(new), ..) => Size { bytes: new, basis: Basis::Estimated },
            (None, Some(bytes), Returned::Before) if !self.is_update => Size::exact(bytes),
            (None, Some(bytes), Returned::Before | Returned::After) => Size::estimated(bytes),
            (None, None, Returned::Before) if !self.is_update => Size::exact(0),
            (None, ..) => return None,
        })
    }
}
