//! How a table is described to a client: the JSON of `Table` and `TableDescription`.

use serde::Serialize;

use crate::local::catalog::Table;
use crate::local::store::{Reads, StoreError};
use crate::local::table_record::{
    AttributeDefinition, BillingMode, Definition, IndexDefinition, KeyElement, OnDemandThroughput,
    ProjectionDefinition, Throughput,
};

use super::Names;
use super::warmth::Warmth;

/// What a description says of states that pass in the service and are over at once here.
#[derive(Clone, Copy, Debug)]
pub(super) struct Statuses<'a> {
    /// `TableStatus`.
    pub(super) table: &'static str,
    /// `IndexStatus` of each global index named here; the others are `ACTIVE`.
    pub(super) indexes: &'a [(String, &'static str)],
    /// `Backfilling` of the indexes that are `CREATING`.
    pub(super) is_filling: bool,
    /// `Status` of `SSEDescription`.
    pub(super) encryption: &'static str,
}

impl Statuses<'static> {
    /// Nothing is under way.
    pub(super) const ACTIVE: Self =
        Self { table: "ACTIVE", indexes: &[], is_filling: false, encryption: "ENABLED" };
}

/// The value of `Table` or `TableDescription`: `definition` with the counts of `table`.
///
/// They differ where the service goes on telling the old values until a change is done.
///
/// # Errors
/// [`StoreError`] when the store broke.
pub(super) fn describe(
    table: &Table,
    definition: &Definition,
    statuses: Statuses<'_>,
    reads: &(impl Reads + ?Sized),
    names: &Names,
) -> Result<Vec<u8>, StoreError> {
    let arn = names.table_arn(&definition.table_name);
    let is_on_demand = definition.billing_mode == BillingMode::PayPerRequest;
    let stream = definition.stream.as_ref();
    let description = TableDescription {
        attribute_definitions: &definition.attribute_definitions,
        table_name: &definition.table_name,
        key_schema: &definition.key_schema,
        table_status: statuses.table,
        creation_date_time: definition.creation_date_time,
        provisioned_throughput: &definition.throughput,
        table_size_bytes: table.bytes(),
        item_count: reads.len(table.items)?,
        table_arn: &arn,
        table_id: &definition.table_id,
        billing_mode_summary: BillingModeSummary::of(definition, statuses.table),
        table_throughput_mode_summary: ThroughputModeSummary::of(definition, statuses.table),
        local_secondary_indexes: local_indexes(table, definition, reads, &arn)?,
        global_secondary_indexes: global_indexes(table, definition, statuses, reads, &arn)?,
        stream_specification: stream
            .filter(|stream| stream.enabled)
            .map(|stream| StreamSpecification { stream_enabled: true, stream_view_type: &stream.view_type }),
        latest_stream_label: stream.map(|stream| stream.label.as_str()),
        latest_stream_arn: stream.map(|stream| format!("{arn}/stream/{}", stream.label)),
        sse_description: definition.kms_master_key_arn.as_deref().map(|key| SseDescription {
            status: statuses.encryption,
            sse_type: "KMS",
            kms_master_key_arn: key,
        }),
        table_class_summary: definition.table_class.as_ref(),
        deletion_protection_enabled: definition.deletion_protection_enabled,
        on_demand_throughput: definition.on_demand_throughput.as_ref().filter(|_| is_on_demand),
        warm_throughput: (statuses.table != "CREATING" || definition.warm_throughput.is_some())
            .then(|| warm(definition, definition.warm_throughput.as_ref(), &definition.throughput)),
    };
    Ok(serde_json::to_vec(&description).expect("a description is always JSON"))
}

/// The little that DeleteTable says of a table on its way out.
///
/// # Errors
/// [`StoreError`] when the store broke.
pub(super) fn describe_deleted(
    table: &Table,
    reads: &(impl Reads + ?Sized),
    names: &Names,
) -> Result<Vec<u8>, StoreError> {
    let description = DeletedDescription {
        table_name: &table.definition.table_name,
        table_status: "DELETING",
        provisioned_throughput: &table.definition.throughput,
        table_size_bytes: table.bytes(),
        item_count: reads.len(table.items)?,
        table_arn: &names.table_arn(&table.definition.table_name),
        table_id: &table.definition.table_id,
        billing_mode_summary: BillingModeSummary::of(&table.definition, "DELETING"),
        table_throughput_mode_summary: ThroughputModeSummary::of(&table.definition, "DELETING"),
        deletion_protection_enabled: false,
    };
    Ok(serde_json::to_vec(&description).expect("a description is always JSON"))
}

/// What a table or an index takes at once without warming up.
fn warm(
    definition: &Definition,
    kept: Option<&super::WarmThroughput>,
    throughput: &Throughput,
) -> WarmDescription {
    let warmth = Warmth::of(definition.billing_mode, throughput, kept);
    WarmDescription {
        read_units_per_second: warmth.read,
        write_units_per_second: warmth.write,
        status: "ACTIVE",
    }
}

fn local_indexes<'a>(
    table: &Table,
    definition: &'a Definition,
    reads: &(impl Reads + ?Sized),
    arn: &str,
) -> Result<Option<Vec<IndexDescription<'a>>>, StoreError> {
    let local = definition.indexes.iter().filter(|index| !index.global);
    let described: Result<Vec<_>, _> = local.map(|index| index_facts(table, index, reads, arn)).collect();
    Ok(Some(described?).filter(|indexes| !indexes.is_empty()))
}

fn global_indexes<'a>(
    table: &Table,
    definition: &'a Definition,
    statuses: Statuses<'_>,
    reads: &(impl Reads + ?Sized),
    arn: &str,
) -> Result<Option<Vec<IndexDescription<'a>>>, StoreError> {
    let mut described = Vec::new();
    for index in definition.indexes.iter().filter(|index| index.global) {
        let mut named = statuses.indexes.iter();
        let status = named.find(|(name, _)| *name == index.index_name).map_or("ACTIVE", |(_, status)| status);
        described.push(IndexDescription {
            index_status: Some(status),
            backfilling: (status == "CREATING" && statuses.table != "CREATING")
                .then_some(statuses.is_filling),
            provisioned_throughput: Some(&index.throughput),
            on_demand_throughput: index.on_demand_throughput.as_ref(),
            warm_throughput: (status != "CREATING")
                .then(|| warm(definition, index.warm_throughput.as_ref(), &index.throughput)),
            ..index_facts(table, index, reads, arn)?
        });
    }
    Ok(Some(described).filter(|indexes| !indexes.is_empty()))
}

/// What is told of local and global indexes alike.
fn index_facts<'a>(
    table: &Table,
    index: &'a IndexDefinition,
    reads: &(impl Reads + ?Sized),
    arn: &str,
) -> Result<IndexDescription<'a>, StoreError> {
    // An index that the request is about to make or has just removed is not among the table's.
    let position = table.index_spaces.iter().position(|space| space.0 == index.space);
    Ok(IndexDescription {
        index_name: &index.index_name,
        key_schema: &index.key_schema,
        projection: &index.projection,
        index_status: None,
        backfilling: None,
        provisioned_throughput: None,
        index_size_bytes: position.map_or(0, |position| table.index_bytes(position)),
        item_count: position.map_or(Ok(0), |position| reads.len(table.index_spaces[position]))?,
        index_arn: format!("{arn}/index/{}", index.index_name),
        on_demand_throughput: None,
        warm_throughput: None,
    })
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TableDescription<'a> {
    attribute_definitions: &'a [AttributeDefinition],
    table_name: &'a str,
    key_schema: &'a [KeyElement],
    table_status: &'a str,
    creation_date_time: f64,
    provisioned_throughput: &'a Throughput,
    table_size_bytes: u64,
    item_count: u64,
    table_arn: &'a str,
    table_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_mode_summary: Option<BillingModeSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_throughput_mode_summary: Option<ThroughputModeSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    local_secondary_indexes: Option<Vec<IndexDescription<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    global_secondary_indexes: Option<Vec<IndexDescription<'a>>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    stream_specification: Option<StreamSpecification<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_stream_label: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    latest_stream_arn: Option<String>,
    #[serde(rename = "SSEDescription", skip_serializing_if = "Option::is_none")]
    sse_description: Option<SseDescription<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_class_summary: Option<&'a super::TableClass>,
    deletion_protection_enabled: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_demand_throughput: Option<&'a OnDemandThroughput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm_throughput: Option<WarmDescription>,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct DeletedDescription<'a> {
    table_name: &'a str,
    table_status: &'a str,
    provisioned_throughput: &'a Throughput,
    table_size_bytes: u64,
    item_count: u64,
    table_arn: &'a str,
    table_id: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    billing_mode_summary: Option<BillingModeSummary>,
    #[serde(skip_serializing_if = "Option::is_none")]
    table_throughput_mode_summary: Option<ThroughputModeSummary>,
    deletion_protection_enabled: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct BillingModeSummary {
    billing_mode: BillingMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_to_pay_per_request_date_time: Option<f64>,
}

impl BillingModeSummary {
    /// The billing mode, told only of tables that are or were paid by request; and, once they are made, since when.
    fn of(definition: &Definition, table_status: &str) -> Option<Self> {
        let since = definition.on_demand_since;
        let is_told = definition.billing_mode == BillingMode::PayPerRequest || since.is_some();
        is_told.then_some(Self {
            billing_mode: definition.billing_mode,
            last_update_to_pay_per_request_date_time: since.filter(|_| table_status != "CREATING"),
        })
    }
}

/// The service tells the billing mode under this name too, which is in no SDK.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ThroughputModeSummary {
    table_throughput_mode: BillingMode,
    #[serde(skip_serializing_if = "Option::is_none")]
    last_update_to_pay_per_request_date_time: Option<f64>,
}

impl ThroughputModeSummary {
    fn of(definition: &Definition, table_status: &str) -> Option<Self> {
        let summary = BillingModeSummary::of(definition, table_status)?;
        Some(Self {
            table_throughput_mode: summary.billing_mode,
            last_update_to_pay_per_request_date_time: summary.last_update_to_pay_per_request_date_time,
        })
    }
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct StreamSpecification<'a> {
    stream_enabled: bool,
    stream_view_type: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct SseDescription<'a> {
    status: &'a str,
    #[serde(rename = "SSEType")]
    sse_type: &'a str,
    #[serde(rename = "KMSMasterKeyArn")]
    kms_master_key_arn: &'a str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct WarmDescription {
    read_units_per_second: i64,
    write_units_per_second: i64,
    status: &'static str,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct IndexDescription<'a> {
    index_name: &'a str,
    key_schema: &'a [KeyElement],
    projection: &'a ProjectionDefinition,
    #[serde(skip_serializing_if = "Option::is_none")]
    index_status: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    backfilling: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provisioned_throughput: Option<&'a Throughput>,
    index_size_bytes: u64,
    item_count: u64,
    index_arn: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    on_demand_throughput: Option<&'a OnDemandThroughput>,
    #[serde(skip_serializing_if = "Option::is_none")]
    warm_throughput: Option<WarmDescription>,
}
