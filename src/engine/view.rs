//! Which part of an item a client wants, and the answer that shows it.
//!
//! The cache holds whole items; a projection of one costs the same capacity as the item, so every view is served from it.

use std::borrow::Cow;

use crate::cache::CachedItem;
use crate::model::expr::{Bindings, Names, Paths, check_placeholders};
use crate::model::schema::IndexKind;
use crate::model::{IndexSchema, TableSchema};
use crate::wire::Json;
use crate::wire::attribute::{item_from_json, write_item};
use crate::wire::json::write_string;
use crate::wire::legacy;
use crate::wire::request::ReturnConsumedCapacity;

/// The most names of `AttributesToGet`.
const ATTRIBUTES_TO_GET_MAX: usize = 255;

/// Which attributes of an item.
#[derive(Clone, Debug)]
pub(crate) enum Attributes {
    /// The whole item.
    All,
    /// The parts that the paths name.
    Of(Paths),
}

impl Attributes {
    /// What a GetItem, or one table's part of a batch, asks for; `None` when the upstream would refuse it, or may.
    pub(crate) fn of(request: &Json<'_>) -> Option<Self> {
        let names = match request.get("ExpressionAttributeNames") {
            None => None,
            Some(names) => Some(read_names(names)?),
        };
        let expression = request.get("ProjectionExpression");
        if request.get("AttributesToGet").is_some_and(|names| !is_list_of_names(names)) {
            return None;
        }
        match (expression, legacy::attributes_to_get(request).ok()?) {
            (None, None) if names.is_none() => Some(Self::All),
            (Some(expression), None) => {
                check_placeholders(names.as_ref(), None).ok()?;
                let mut bindings = Bindings::new(names.as_ref(), None);
                let paths = Paths::parse_projection(expression.text()?, &mut bindings).ok()?;
                bindings.finish().ok()?;
                Some(Self::Of(paths))
            }
            (None, Some(paths)) if names.is_none() => Some(Self::Of(paths)),
            _ => None,
        }
    }

    /// False when a path goes into a key attribute of the table or an index: the upstream refuses that, whatever is there.
    pub(crate) fn fit(&self, schema: &TableSchema) -> bool {
        let Self::Of(paths) = self else { return true };
        let indexes = schema.indexes.iter().flat_map(|index| index.key.attributes());
        let mut keys = schema.key.attributes().chain(indexes);
        keys.all(|key| paths.nested_roots().all(|root| root != key.name))
    }

    /// The wanted part as an item of its own, to be compared. It has no price.
    pub(crate) fn image_of(&self, image: &CachedItem) -> CachedItem {
        match self {
            Self::All => image.clone(),
            Self::Of(_) => {
                self.item_json(image).map_or_else(CachedItem::absent, |json| CachedItem::present(&json, 0))
            }
        }
    }

    /// The JSON of the wanted part; `None` when there is no item. `Some({})` is an item that has none of the attributes.
    pub(crate) fn item_json<'i>(&self, image: &'i CachedItem) -> Option<Cow<'i, [u8]>> {
        let whole = image.item_text()?;
        match self {
            Self::All => Some(Cow::Borrowed(whole)),
            Self::Of(paths) => {
                let json = Json::parse(whole).expect("a cached image is JSON that we wrote");
                let item = item_from_json(&json).expect("a cached image is an item that we wrote");
                let mut out = Vec::with_capacity(whole.len());
                write_item(&paths.project(&item), &mut out);
                Some(Cow::Owned(out))
            }
        }
    }
}

/// True of an `AttributesToGet` that the upstream would not refuse for its form.
fn is_list_of_names(names: &Json<'_>) -> bool {
    let is_fit = |names: &[Json<'_>]| {
        (1..=ATTRIBUTES_TO_GET_MAX).contains(&names.len()) && names.iter().all(|name| name.text().is_some())
    };
    names.elements().is_some_and(is_fit)
}

fn read_names<'b>(names: &'b Json<'_>) -> Option<Names<'b>> {
    let members = names.members()?.iter();
    members.map(|(name, attribute)| Some((name.as_ref(), attribute.text()?))).collect()
}

/// The `ConsumedCapacity` of one table for a read that cost nothing.
pub(crate) fn write_nothing_consumed(table_name: &str, kind: ReturnConsumedCapacity, out: &mut Vec<u8>) {
    write_nothing_consumed_of(table_name, None, kind, out);
}

/// The same for a read of an index.
pub(crate) fn write_nothing_consumed_of(
    table_name: &str,
    index: Option<&IndexSchema>,
    kind: ReturnConsumedCapacity,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"CapacityUnits\":0.0,");
    if kind == ReturnConsumedCapacity::Indexes {
        out.extend_from_slice(b"\"Table\":{\"CapacityUnits\":0.0},");
        if let Some(index) = index {
            out.extend_from_slice(match index.kind {
                IndexKind::Global => b"\"GlobalSecondaryIndexes\":{",
                IndexKind::Local => b"\"LocalSecondaryIndexes\":{".as_slice(),
            });
            write_string(&index.name, out);
            out.extend_from_slice(b":{\"CapacityUnits\":0.0}},");
        }
    }
    out.extend_from_slice(b"\"TableName\":");
    write_string(table_name, out);
    out.push(b'}');
}
