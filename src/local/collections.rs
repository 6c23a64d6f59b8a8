//! Item collection metrics: how large all items of one partition key are together, in a table with local indexes.

use crate::model::Item;
use crate::model::schema::IndexKind;
use crate::wire::Json;
use crate::wire::attribute::write_item;

use super::catalog::Table;
use super::write::Judged;

/// True when an answer is to have item collection metrics, should the table have collections.
pub(super) fn wants_collection_metrics(body: &Json<'_>) -> bool {
    body.get("ReturnItemCollectionMetrics").and_then(Json::text) == Some("SIZE")
}

/// The service keeps account of collections only in tables with a local secondary index.
pub(super) fn has_collections(table: &Table) -> bool {
    table.schema.indexes.iter().any(|index| index.kind == IndexKind::Local)
}

/// Appends the metrics of the collection that a written item belongs to. The size is an estimate in whole gigabytes, and
/// no collection here comes near the second.
pub(super) fn write_collection_metrics(done: &Judged, out: &mut Vec<u8>) {
    let attributes = done.table.schema.key.partition.iter().zip(done.key.partition());
    let collection: Item =
        attributes.map(|(attribute, value)| (attribute.name.clone(), value.to_attribute())).collect();
    out.extend_from_slice(b"{\"ItemCollectionKey\":");
    write_item(&collection, out);
    out.extend_from_slice(b",\"SizeEstimateRangeGB\":[0.0,1.0]}");
}
