//! The tables that there are: their schemas, settings and spaces, in memory and in the store.
//!
//! A table is one row of the catalog's own space: the JSON text of its definition, under `table/NAME`. Beside the tables lie
//! `format`, the version of everything this backend writes (the rows of items too), `next_space`, the first number that
//! no space ever had, and the streams. The same tables are kept in memory; a job that changes one changes both, so jobs that follow in the
//! same commit see it, and when a commit fails the memory is read anew from the store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use serde::{Deserialize, Serialize};

use crate::model::schema::{IndexKind, KeyAttribute, Projection, ScalarType};
use crate::model::{ApiError, ErrorCode, IndexSchema, KeySchema, TableSchema};

use super::clock::Clock;
use super::expiry::{self, Expiry};
use super::store::{Direction, KeyRange, Reads, Space, StoreError, Writes};
use super::streams::{ChangeLog, ShardRules};
use super::tables::Progress;

/// The space of the catalog itself.
pub const CATALOG: Space = Space(0);
/// The spaces of the tokens of transactions.
pub(super) const TRANSACTION_TOKENS: [Space; 2] = [Space(1), Space(2)];
/// The version of what this backend writes. A store with a higher one is not touched.
///
/// 1: items and indexes. 2: streams and the order in which items expire.
pub const FORMAT: u64 = 2;

/// The numbers below are kept for what is not a table's.
const FIRST_TABLE_SPACE: u64 = 16;
const FORMAT_KEY: &[u8] = b"format";
const NEXT_SPACE_KEY: &[u8] = b"next_space";
const TABLE_PREFIX: &str = "table/";

/// All tables.
#[derive(Debug, Default)]
pub struct Catalog {
    tables: ArcSwap<Tables>,
    clock: Clock,
    shard_rules: ShardRules,
    /// Which tables are told to be on their way to a state.
    pub(super) progress: Progress,
}

/// Tables by name, in the order of their names.
pub(super) type Tables = BTreeMap<String, Arc<Table>>;

/// One table as it is now; another value replaces it when the table is changed.
#[derive(Debug)]
pub struct Table {
    /// Key and indexes.
    pub schema: Arc<TableSchema>,
    /// Where the items are.
    pub items: Space,
    /// Where each index of the schema has its entries, in the schema's order.
    pub index_spaces: Vec<Space>,
    /// Where changes of items are logged, when the table has a stream.
    pub(super) log: Option<Arc<ChangeLog>>,
    /// How items expire, when they do.
    pub(super) expiry: Option<Expiry>,
    pub(super) definition: Definition,
    bytes: Arc<AtomicI64>,
    index_bytes: Vec<Arc<AtomicI64>>,
}

/// Why a store's catalog cannot be used.
#[derive(Debug, thiserror::Error)]
pub(super) enum LoadError {
    /// Written by a newer version.
    #[error("format {found} is newer than {FORMAT}")]
    Newer { found: u64 },
    /// A row that is not what it should be.
    #[error("{0}")]
    Unreadable(String),
    /// The store broke.
    #[error(transparent)]
    Store(#[from] StoreError),
}

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

impl Catalog {
    /// A catalog without tables.
    pub(super) fn new(clock: Clock, shard_rules: ShardRules) -> Self {
        Self { tables: ArcSwap::default(), clock, shard_rules, progress: Progress::default() }
    }

    /// The same, with tables that are on their way to a state for that long.
    pub(super) fn with_status_delay(self, delay: Duration) -> Self {
        Self { progress: Progress::new(self.clock.clone(), delay), ..self }
    }

    /// Reads the catalog of a store, which may be of an older format; then it must be brought to this one before anything is
    /// written.
    ///
    /// # Errors
    /// [`LoadError`]; nothing has been written.
    pub(super) fn load(
        reads: &dyn Reads,
        clock: Clock,
        shard_rules: ShardRules,
    ) -> Result<(Self, Age), LoadError> {
        let age = match number(reads, FORMAT_KEY)? {
            Some(found) if found > FORMAT => return Err(LoadError::Newer { found }),
            Some(found) if found < FORMAT => Age::Older,
            Some(_) | None => Age::Current,
        };
        let catalog = Self::new(clock, shard_rules);
        catalog.tables.store(Arc::new(catalog.read_tables(reads, &Tables::new())?));
        Ok((catalog, age))
    }

    /// Brings the store to this version's format: gives the tables the streams and orders of expiry that they were set to have.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) fn renew(&self, writes: &mut dyn Writes) -> Result<(), StoreError> {
        for table in self.tables().values() {
            self.put(writes, table.definition.clone())?;
        }
        writes.put(CATALOG, FORMAT_KEY, FORMAT.to_string().as_bytes())
    }

    /// The table of that name or ARN, unless it is still on its way into being.
    ///
    /// # Errors
    /// `ResourceNotFoundException`, as item operations word it.
    pub fn table(&self, name: &str) -> Result<Arc<Table>, ApiError> {
        let table = self.find(name).filter(|table| self.progress.is_open(&table.schema.name));
        table.ok_or_else(|| ApiError::new(ErrorCode::ResourceNotFound, "Requested resource not found"))
    }

    /// The table of that name or ARN, for an operation on the table itself.
    ///
    /// # Errors
    /// `ResourceNotFoundException`, as table operations word it.
    pub(super) fn table_itself(&self, name: &str) -> Result<Arc<Table>, ApiError> {
        self.find(name).ok_or_else(|| unknown_table(name_of(name)))
    }

    /// The same for an operation that changes the table itself.
    ///
    /// # Errors
    /// As [`Catalog::table_itself`], and `ResourceInUseException` for one that is on its way to a state.
    pub(super) fn table_to_change(&self, name: &str) -> Result<Arc<Table>, ApiError> {
        self.progress.refuse_change(name_of(name))?;
        self.table_itself(name)
    }

    /// All tables.
    pub(super) fn tables(&self) -> Arc<Tables> {
        self.tables.load_full()
    }

    /// The table of that name or ARN, if there is one.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.load().get(name_of(name)).cloned()
    }

    /// Puts a table in the place of the one of its name, if there is one. A stream that it has begins, one that it has no more
    /// ends, and so does the order of its items' expiry.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) fn put(
        &self,
        writes: &mut dyn Writes,
        mut definition: Definition,
    ) -> Result<Arc<Table>, StoreError> {
        let mut tables = Tables::clone(&self.tables.load());
        let former = tables.get(&definition.table_name).cloned();
        let log = self.follow_stream(writes, &mut definition, former.as_deref())?;
        expiry::follow(writes, &mut definition, former.as_deref())?;
        let text = serde_json::to_vec(&definition).expect("a definition is always JSON");
        writes.put(CATALOG, row_key(&definition.table_name).as_bytes(), &text)?;
        let table = Arc::new(Table::new(definition, former.as_deref(), log)?);
        tables.insert(table.schema.name.clone(), Arc::clone(&table));
        self.tables.store(Arc::new(tables));
        Ok(table)
    }

    /// The log of a table's stream: the one it had, or a new one.
    fn follow_stream(
        &self,
        writes: &mut dyn Writes,
        definition: &mut Definition,
        former: Option<&Table>,
    ) -> Result<Option<Arc<ChangeLog>>, StoreError> {
        let former_log =
            former.and_then(|table| Some((table.definition.stream.as_ref()?, table.log.as_ref()?)));
        let (table, key_schema) = (&definition.table_name, &definition.key_schema);
        let enabled = definition.stream.as_mut().filter(|stream| stream.enabled);
        match (enabled, former_log) {
            (Some(stream), Some((former, log))) if stream.label == former.label => Ok(Some(Arc::clone(log))),
            (enabled, former_log) => {
                if let Some((_, log)) = former_log {
                    log.close(writes)?;
                }
                let Some(stream) = enabled else { return Ok(None) };
                let log =
                    ChangeLog::create(writes, table, stream, key_schema, &self.clock, self.shard_rules)?;
                Ok(Some(Arc::new(log)))
            }
        }
    }

    /// Removes a table with all its items and entries. Its stream ends and stays readable for a day.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) fn remove(&self, writes: &mut dyn Writes, table: &Table) -> Result<(), StoreError> {
        writes.remove(CATALOG, row_key(&table.schema.name).as_bytes())?;
        writes.clear(table.items)?;
        for space in &table.index_spaces {
            writes.clear(*space)?;
        }
        if let Some(expiry) = &table.expiry {
            writes.clear(expiry.space)?;
        }
        if let Some(log) = &table.log {
            log.close(writes)?;
        }
        let mut tables = Tables::clone(&self.tables.load());
        tables.remove(&table.schema.name);
        self.tables.store(Arc::new(tables));
        Ok(())
    }

    /// Goes back to what the store says, after a commit failed.
    pub(super) fn restore(&self, reads: &dyn Reads) {
        // A store that cannot be read refuses every write as well, so an outdated catalog does no harm then.
        if let Ok(tables) = self.read_tables(reads, &self.tables.load()) {
            self.tables.store(Arc::new(tables));
        }
    }

    /// All tables of a store; what `former` ones have counted goes on.
    fn read_tables(&self, reads: &dyn Reads, former: &Tables) -> Result<Tables, LoadError> {
        let mut rows: Vec<Vec<u8>> = Vec::new();
        let range = KeyRange::with_prefix(TABLE_PREFIX.as_bytes());
        reads.range(CATALOG, &range, Direction::Forward, &mut |_, value| {
            rows.push(value.to_vec());
            ControlFlow::Continue(())
        })?;
        let mut tables = Tables::new();
        for row in rows {
            let definition: Definition = serde_json::from_slice(&row).map_err(|error| {
                LoadError::Unreadable(format!("a table of the catalog is unreadable: {error}"))
            })?;
            let former = former.get(&definition.table_name).map(Arc::as_ref);
            let log = match definition.stream.as_ref().filter(|stream| stream.enabled) {
                Some(stream) => {
                    let (table, label) = (&definition.table_name, &stream.label);
                    ChangeLog::load(reads, table, label, &self.clock, self.shard_rules)?
                }
                None => None,
            };
            let table = Table::new(definition, former, log.map(Arc::new))?;
            tables.insert(table.schema.name.clone(), Arc::new(table));
        }
        Ok(tables)
    }
}

/// Whether a store was written by this version's rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Age {
    /// It was, or it is empty.
    Current,
    /// By those of an older one.
    Older,
}

/// A number for a new space; no other space ever has it.
///
/// # Errors
/// [`StoreError`] when the store broke.
pub(super) fn allocate_space(writes: &mut dyn Writes) -> Result<u64, StoreError> {
    let stored = number(&*writes, NEXT_SPACE_KEY).map_err(|error| StoreError(error.to_string()))?;
    let space = stored.unwrap_or(FIRST_TABLE_SPACE);
    if stored.is_none() {
        // The store is a new one: from here on it has something to be read by the rules of a format.
        writes.put(CATALOG, FORMAT_KEY, FORMAT.to_string().as_bytes())?;
    }
    writes.put(CATALOG, NEXT_SPACE_KEY, (space + 1).to_string().as_bytes())?;
    Ok(space)
}

/// The first number that no space ever had.
///
/// # Errors
/// [`LoadError`] when it cannot be read.
pub(super) fn next_space(reads: &dyn Reads) -> Result<Space, LoadError> {
    Ok(Space(number(reads, NEXT_SPACE_KEY)?.unwrap_or(FIRST_TABLE_SPACE)))
}

impl Table {
    /// Makes a table of its definition; what `former` has counted goes on in it.
    fn new(
        definition: Definition,
        former: Option<&Self>,
        log: Option<Arc<ChangeLog>>,
    ) -> Result<Self, StoreError> {
        let schema = table_schema(&definition).ok_or_else(|| {
            StoreError(format!(
                "the stored table {} has a key attribute without definition",
                definition.table_name
            ))
        })?;
        let items = Space(definition.items_space);
        let index_spaces: Vec<Space> = definition.indexes.iter().map(|index| Space(index.space)).collect();
        let counted = |space: Space| former.and_then(|table| table.counter(space)).unwrap_or_default();
        Ok(Self {
            bytes: counted(items),
            index_bytes: index_spaces.iter().map(|space| counted(*space)).collect(),
            schema: Arc::new(schema),
            items,
            index_spaces,
            log,
            expiry: Expiry::of(&definition),
            definition,
        })
    }

    /// Counts a change of the size of all items together, in bytes as the service counts them.
    pub fn add_bytes(&self, delta: i64) {
        self.bytes.fetch_add(delta, Ordering::Relaxed);
    }

    /// Counts a change of the size of all entries of the index at `position` of the schema.
    pub fn add_index_bytes(&self, position: usize, delta: i64) {
        if let Some(bytes) = self.index_bytes.get(position) {
            bytes.fetch_add(delta, Ordering::Relaxed);
        }
    }

    /// The size of all items in bytes.
    pub(super) fn bytes(&self) -> u64 {
        u64::try_from(self.bytes.load(Ordering::Relaxed)).unwrap_or(0)
    }

    /// The size of all entries of the index at `position`, in bytes.
    pub(super) fn index_bytes(&self, position: usize) -> u64 {
        let bytes = self.index_bytes.get(position).map_or(0, |bytes| bytes.load(Ordering::Relaxed));
        u64::try_from(bytes).unwrap_or(0)
    }

    /// Every space of the table with the counter of its bytes.
    pub(super) fn counters(&self) -> impl Iterator<Item = (Space, &Arc<AtomicI64>)> {
        let indexes = self.index_spaces.iter().copied().zip(&self.index_bytes);
        std::iter::once((self.items, &self.bytes)).chain(indexes)
    }

    fn counter(&self, space: Space) -> Option<Arc<AtomicI64>> {
        self.counters().find(|(counted, _)| *counted == space).map(|(_, bytes)| Arc::clone(bytes))
    }
}

/// The error of an operation on a table that is not there.
pub(super) fn unknown_table(name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ResourceNotFound,
        format!("Requested resource not found: Table: {name} not found"),
    )
}

/// The name inside an ARN `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME`; anything else is a name itself.
pub(super) fn name_of(name: &str) -> &str {
    if !name.starts_with("arn:") {
        return name;
    }
    name.split_once(":table/").map_or(name, |(_, rest)| rest.split('/').next().unwrap_or(rest))
}

fn row_key(name: &str) -> String {
    format!("{TABLE_PREFIX}{name}")
}

/// A row that holds a number as text.
fn number(reads: &(impl Reads + ?Sized), key: &[u8]) -> Result<Option<u64>, LoadError> {
    let Some(value) = reads.get(CATALOG, key)? else { return Ok(None) };
    let parsed = std::str::from_utf8(&value).ok().and_then(|text| text.parse().ok());
    let unreadable = || {
        LoadError::Unreadable(format!("the row {} of the catalog is no number", String::from_utf8_lossy(key)))
    };
    parsed.map(Some).ok_or_else(unreadable)
}

/// The schema that a definition spells; `None` when a key has an attribute that is not defined.
fn table_schema(definition: &Definition) -> Option<TableSchema> {
    let indexes = definition.indexes.iter().map(|index| index_schema(definition, index));
    Some(TableSchema {
        name: definition.table_name.clone(),
        id: definition.table_id.clone(),
        key: key_schema(definition, &definition.key_schema)?,
        indexes: indexes.collect::<Option<_>>()?,
    })
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
