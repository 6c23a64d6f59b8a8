//! The tables that there are: their schemas, settings and spaces, in memory and in the store.
//!
//! A table is one row of the catalog's space: the JSON text of its definition, under `table/NAME`. The same tables are kept in
//! memory; a job that changes one changes both, so jobs that follow in the same commit see it,
//! and when a commit fails the memory is read anew from the store.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::model::{ApiError, ErrorCode, TableSchema};

use super::arn_regions::ArnRegions;
use super::change_log::{ChangeLog, ShardRules};
use super::clock::Clock;
use super::expiry::{self, Expiry};
use super::progress::Progress;
use super::spaces::{self, Age, CATALOG, LoadError};
use super::store::{Direction, KeyRange, Reads, Space, StoreError, Writes};
use super::table_record::Definition;

const TABLE_PREFIX: &str = "table/";

/// All tables.
#[derive(Debug, Default)]
pub struct Catalog {
    tables: ArcSwap<Tables>,
    clock: Clock,
    shard_rules: ShardRules,
    /// Which tables are told to be on their way to a state.
    pub(super) progress: Progress,
    /// Whose tables ARNs may mean.
    arn_regions: ArnRegions,
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

impl Catalog {
    /// A catalog without tables.
    pub(super) fn new(clock: Clock, shard_rules: ShardRules) -> Self {
        Self {
            tables: ArcSwap::default(),
            clock,
            shard_rules,
            progress: Progress::default(),
            arn_regions: ArnRegions::Any,
        }
    }

    /// The same, with tables that only ARNs of these regions mean.
    pub(super) fn with_arn_regions(self, arn_regions: ArnRegions) -> Self {
        Self { arn_regions, ..self }
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
        let age = spaces::age(reads)?;
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
        spaces::write_format(writes)
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
        self.find(name).ok_or_else(|| unknown_table(self.name_of(name)))
    }

    /// The same for an operation that changes the table itself.
    ///
    /// # Errors
    /// As [`Catalog::table_itself`], and `ResourceInUseException` for one that is on its way to a state.
    pub(super) fn table_to_change(&self, name: &str) -> Result<Arc<Table>, ApiError> {
        self.progress.refuse_change(self.name_of(name))?;
        self.table_itself(name)
    }

    /// All tables.
    pub(super) fn tables(&self) -> Arc<Tables> {
        self.tables.load_full()
    }

    /// The table of that name or ARN, if there is one.
    pub(super) fn find(&self, name: &str) -> Option<Arc<Table>> {
        self.tables.load().get(self.name_of(name)).cloned()
    }

    /// True for an ARN that may mean something here.
    pub(super) fn has_region_of(&self, arn: &str) -> bool {
        self.arn_regions.includes(arn)
    }

    /// The name in the ARN of a table that may be here; anything else is a name itself.
    pub(super) fn name_of<'a>(&self, name: &'a str) -> &'a str {
        self.arn_regions.name_of(name)
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
        expiry::follow(writes, &mut definition, former.as_ref().and_then(|table| table.expiry.as_ref()))?;
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

impl Table {
    /// Makes a table of its definition; what `former` has counted goes on in it.
    fn new(
        definition: Definition,
        former: Option<&Self>,
        log: Option<Arc<ChangeLog>>,
    ) -> Result<Self, StoreError> {
        let schema = definition.schema().ok_or_else(|| {
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

fn row_key(name: &str) -> String {
    format!("{TABLE_PREFIX}{name}")
}
