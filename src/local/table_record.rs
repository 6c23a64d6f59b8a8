//! A table as it is stored, and the schema that this spells.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::key_attribute::{KeyAttribute, ScalarType};
use crate::model::schema::{IndexKind, Projection};
use crate::model::{IndexSchema, KeySchema, TableSchema};

/// A table as it is stored. Members are named as DescribeTable names them, where it has them.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Definition {
    pub(super) table_name: String,
    pub(super) table_id: String,
    /// Seconds since 1970, as everywhere in the service.
    pub(super) creation_date_time: f64,
    pub(super) attribute_definitions: Vec<AttributeDefinition>,
    pub(super) key_schema: Vec<KeyElement>,
    pub(super) items_space: u64,
    /// Local ones first, then global ones in the order they were made.
    #[serde(default)]
    pub(super) indexes: Vec<IndexDefinition>,
    pub(super) billing_mode: BillingMode,
    /// When the table last became one that is paid by request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) on_demand_since: Option<f64>,
    pub(super) throughput: Throughput,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) on_demand_throughput: Option<OnDemandThroughput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) warm_throughput: Option<WarmThroughput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) stream: Option<Stream>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) kms_master_key_arn: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) table_class: Option<TableClass>,
    #[serde(default)]
    pub(super) deletion_protection_enabled: bool,
    #[serde(default)]
    pub(super) tags: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) time_to_live_attribute: Option<String>,
    /// The policies of the table and its streams, by their ARNs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub(super) policies: BTreeMap<String, Policy>,
    /// How far back the table was asked to be kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) point_in_time_recovery: Option<PointInTimeRecovery>,
    /// Where the order of expiry lies, as long as the attribute is set.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) expiry_space: Option<u64>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct AttributeDefinition {
    pub(super) attribute_name: String,
    /// `S`, `N` or `B`.
    pub(super) attribute_type: String,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct KeyElement {
    pub(super) attribute_name: String,
    pub(super) key_type: KeyType,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub(super) enum KeyType {
    Hash,
    Range,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct IndexDefinition {
    pub(super) index_name: String,
    pub(super) global: bool,
    pub(super) space: u64,
    pub(super) key_schema: Vec<KeyElement>,
    pub(super) projection: ProjectionDefinition,
    pub(super) throughput: Throughput,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) on_demand_throughput: Option<OnDemandThroughput>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) warm_throughput: Option<WarmThroughput>,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct ProjectionDefinition {
    pub(super) projection_type: ProjectionType,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) non_key_attributes: Option<Vec<String>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum ProjectionType {
    All,
    KeysOnly,
    Include,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum BillingMode {
    Provisioned,
    PayPerRequest,
}

/// What is provisioned; zeros when nothing is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Throughput {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_increase_date_time: Option<f64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_decrease_date_time: Option<f64>,
    pub(super) number_of_decreases_today: u64,
    pub(super) read_capacity_units: i64,
    pub(super) write_capacity_units: i64,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct OnDemandThroughput {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_read_request_units: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max_write_request_units: Option<i64>,
}

#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct WarmThroughput {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) read_units_per_second: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) write_units_per_second: Option<i64>,
}

/// The table's latest stream; its label stays known after it was switched off.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Stream {
    pub(super) enabled: bool,
    pub(super) view_type: String,
    pub(super) label: String,
}

/// A policy. It is kept and told, and nobody is held to it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct Policy {
    pub(super) document: String,
    pub(super) revision_id: String,
}

/// A setting that is kept and told; nothing can be restored by it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct PointInTimeRecovery {
    /// Seconds since 1970.
    pub(super) enabled_since: f64,
    pub(super) period_days: i64,
}

#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "PascalCase")]
pub(super) struct TableClass {
    pub(super) table_class: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) last_update_date_time: Option<f64>,
}

impl Definition {
    /// The table's schema; `None` when a key has an attribute that is not defined.
    pub(super) fn schema(&self) -> Option<TableSchema> {
        let indexes = self.indexes.iter().map(|index| index_schema(self, index));
        Some(TableSchema {
            name: self.table_name.clone(),
            id: self.table_id.clone(),
            key: key_schema(self, &self.key_schema)?,
            indexes: indexes.collect::<Option<_>>()?,
        })
    }
}

fn key_schema(definition: &Definition, elements: &[KeyElement]) -> Option<KeySchema> {
    let mut key = KeySchema { partition: Vec::new(), sort: Vec::new() };
    for element in elements {
        let mut defined = definition.attribute_definitions.iter();
        let attribute = defined.find(|attribute| attribute.attribute_name == element.attribute_name)?;
        let attribute = KeyAttribute {
            name: attribute.attribute_name.clone(),
            scalar_type: ScalarType::from_name(&attribute.attribute_type)?,
        };
        match element.key_type {
            KeyType::Hash => key.partition.push(attribute),
            KeyType::Range => key.sort.push(attribute),
        }
    }
    Some(key)
}

fn index_schema(definition: &Definition, index: &IndexDefinition) -> Option<IndexSchema> {
    let projection = match index.projection.projection_type {
        ProjectionType::All => Projection::All,
        ProjectionType::KeysOnly => Projection::KeysOnly,
        ProjectionType::Include => {
            Projection::Include(index.projection.non_key_attributes.clone().unwrap_or_default())
        }
    };
    Some(IndexSchema {
        name: index.index_name.clone(),
        kind: if index.global { IndexKind::Global } else { IndexKind::Local },
        key: key_schema(definition, &index.key_schema)?,
        projection,
    })
}
