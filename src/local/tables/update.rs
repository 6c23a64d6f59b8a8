//! UpdateTable: what a request asks to change, whether it may, and the change.
//!
//! A request is judged in three steps, in the service's order: by itself, then (inside the job) against the table, then the
//! table's next definition is made. The answer shows most changes as under way, with the values of before.

use std::collections::BTreeSet;
use std::ops::ControlFlow;

use crate::local::catalog::{Catalog, Table};
use crate::local::clock;
use crate::local::indexes::index_entry;
use crate::local::members::text;
use crate::local::rows::{self, Row};
use crate::local::spaces::allocate_space;
use crate::local::store::{Direction, KeyRange, Space, StoreError, Writes};
use crate::local::stored::{
    AttributeDefinition, BillingMode, Definition, IndexDefinition, KeyElement, KeyType, Stream, TableClass,
    Throughput, WarmThroughput,
};
use crate::model::{ApiError, ErrorCode};
use crate::wire::Json;

use super::definition::{self, GLOBAL_INDEXES_MAX, INDEXES_JUDGED_MAX, NewIndex};
use super::description::{Statuses, describe};
use super::limits::Limits;
use super::unsupported::{UPDATE_TABLE, reject_unsupported};
use super::warmth::{self, Warmth};
use super::{Names, invalid};
use crate::local::progress::{IndexWay, Way};

/// How many rows a backfill reads before it writes their entries.
const BACKFILL_ROWS: usize = 1000;
/// The service's clock goes on between the answer and the end of the change.
const CHANGE_SECONDS: f64 = 0.001;

/// What a request asks to change.
#[derive(Debug)]
pub(super) struct Change {
    table_name: String,
    billing_mode: Option<BillingMode>,
    throughput: Option<Throughput>,
    attributes: Vec<AttributeDefinition>,
    indexes: Vec<IndexChange>,
    stream: Option<StreamChange>,
    /// The key to encrypt with; `Some(None)` is the service's own.
    encryption: Option<Option<String>>,
    table_class: Option<String>,
    deletion_protection: Option<bool>,
    limits: Option<Limits>,
    warm_throughput: Option<WarmThroughput>,
}

/// One member of `GlobalSecondaryIndexUpdates`.
#[derive(Debug)]
struct IndexChange {
    name: String,
    action: Action,
}

#[derive(Debug)]
enum Action {
    /// The index is judged only after it is known not to exist.
    Create(Box<Result<NewIndex, ApiError>>),
    Update {
        throughput: Option<Throughput>,
        limits: Option<Limits>,
        warm_throughput: Option<WarmThroughput>,
    },
    Delete,
}

#[derive(Debug)]
struct StreamChange {
    enabled: bool,
    view_type: Option<String>,
}

impl Change {
    /// Reads a request.
    ///
    /// # Errors
    /// `ValidationException` for the first rule that the request breaks by itself.
    pub(super) fn read(body: &Json<'_>, names: &Names) -> Result<Self, ApiError> {
        reject_unsupported(body, UPDATE_TABLE)?;
        let attributes = definition::attribute_definitions(body);
        let updates = body.get("GlobalSecondaryIndexUpdates").and_then(Json::elements);
        let stream = body.get("StreamSpecification").map(|specification| StreamChange {
            enabled: specification.get("StreamEnabled").and_then(Json::boolean).unwrap_or(false),
            view_type: specification.get("StreamViewType").and_then(Json::text).map(str::to_owned),
        });
        let mut change = Self {
            table_name: names.table_name(body).to_owned(),
            billing_mode: definition::billing_mode(body),
            throughput: definition::throughput(body),
            indexes: Vec::new(),
            stream,
            encryption: None,
            table_class: body.get("TableClass").and_then(Json::text).map(str::to_owned),
            deletion_protection: body.get("DeletionProtectionEnabled").and_then(Json::boolean),
            limits: Limits::read(body),
            warm_throughput: warmth::asked(body),
            attributes,
        };
        let asks_encryption = body.get("SSESpecification").is_some();
        if !change.asks_anything(asks_encryption) && updates.is_none_or(<[Json<'_>]>::is_empty) {
            return Err(ApiError::validation(
                "At least one of ProvisionedThroughput, BillingMode, UpdateStreamEnabled, \
                 GlobalSecondaryIndexUpdates or SSESpecification or ReplicaUpdates is required",
            ));
        }
        change.check_throughput()?;
        change.indexes = index_changes(updates, &change.attributes)?;
        change.encryption = definition::encryption(body, names)?;
        change.check_stream()?;
        change.check_combination(asks_encryption)?;
        Ok(change)
    }

    fn asks_anything(&self, asks_encryption: bool) -> bool {
        self.throughput.is_some()
            || self.billing_mode.is_some()
            || self.stream.is_some()
            || asks_encryption
            || self.table_class.is_some()
            || self.deletion_protection.is_some()
            || self.limits.is_some()
            || self.warm_throughput.is_some()
    }

    fn check_throughput(&self) -> Result<(), ApiError> {
        if self.billing_mode == Some(BillingMode::Provisioned) && self.throughput.is_none() {
            return Err(invalid("ProvisionedThroughput must be specified when BillingMode is PROVISIONED"));
        }
        self.throughput.as_ref().map_or(Ok(()), definition::check_bounds)
    }

    fn check_stream(&self) -> Result<(), ApiError> {
        match &self.stream {
            Some(StreamChange { enabled: true, view_type: None }) => {
                Err(invalid("If stream is being enabled then UpdateViewType is required"))
            }
            Some(StreamChange { enabled: false, view_type: Some(_) }) => {
                Err(invalid("If stream is being disabled, then UpdateViewType must not be specified"))
            }
            Some(_) | None => Ok(()),
        }
    }

    /// A request may change one thing; few of them go together.
    fn check_combination(&self, asks_encryption: bool) -> Result<(), ApiError> {
        let asked = [
            self.throughput.is_some() || self.billing_mode.is_some(),
            self.stream.is_some(),
            !self.indexes.is_empty(),
            asks_encryption,
            self.table_class.is_some(),
            self.deletion_protection.is_some(),
            self.limits.is_some(),
            self.warm_throughput.is_some(),
        ];
        if asked.iter().filter(|asked| **asked).count() < 2 {
            return Ok(());
        }
        let alone = [
            (asks_encryption, "Server-Side Encryption modification"),
            (self.table_class.is_some(), "TableClass modification"),
            (self.deletion_protection.is_some(), "DeletionProtection modification"),
        ];
        if let Some((_, what)) = alone.iter().find(|(asked, _)| *asked) {
            return Err(invalid(format!("{what} must be the only operation in the request")));
        }
        let makes_or_drops = self.indexes.iter().any(IndexChange::makes_or_drops);
        let words = if self.warm_throughput.is_some() {
            Some("WarmThroughput must be the only operation in the request")
        } else if self.limits.is_some() && (self.stream.is_some() || !self.indexes.is_empty()) {
            Some("OnDemandThroughput can only be combined with BillingMode in an UpdateTable request")
        } else if self.stream.is_some() && self.throughput.is_some() {
            Some("You cannot modify stream status while updating table IOPS")
        } else if makes_or_drops && self.throughput.is_some() {
            Some("You cannot create or delete index while updating table IOPS")
        } else if makes_or_drops && self.stream.is_some() {
            Some("You cannot create or delete index while changing stream status")
        } else {
            None
        };
        words.map_or(Ok(()), |words| Err(invalid(words)))
    }

    /// Judges the change against the table and makes it, all inside one job. Gives the description for the answer.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke; inside, the service's error when the change may not be made.
    pub(super) fn apply(
        self,
        catalog: &Catalog,
        writes: &mut dyn Writes,
        names: &Names,
        now: f64,
    ) -> Result<Result<Vec<u8>, ApiError>, StoreError> {
        let table = match catalog.table_to_change(&self.table_name) {
            Ok(table) => table,
            Err(error) => return Ok(Err(error)),
        };
        let mut plan = match Plan::make(self, &table.definition, now) {
            Ok(plan) => plan,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(position) = plan.created {
            let space = allocate_space(writes)?;
            plan.after.indexes[position].space = space;
        }
        if let Some(space) = plan.dropped {
            writes.clear(space)?;
        }
        let way = plan.way();
        let table = catalog.put(writes, plan.after)?;
        plan.shown.stream.clone_from(&table.definition.stream);
        if let Some(position) = plan.created {
            backfill(&table, position, writes)?;
        }
        let statuses = Statuses {
            table: plan.status,
            indexes: &plan.index_statuses,
            is_filling: false,
            encryption: plan.encryption_status,
        };
        let description = describe(&table, &plan.shown, statuses, &*writes, names)?;
        if let Some(way) = way {
            catalog.progress.begin(&table.schema.name, way);
        }
        Ok(Ok(description))
    }
}

impl IndexChange {
    fn makes_or_drops(&self) -> bool {
        matches!(self.action, Action::Create(_) | Action::Delete)
    }
}

/// What a change makes of a table.
struct Plan {
    /// The table as it will be.
    after: Definition,
    /// The table as the answer tells it.
    shown: Definition,
    status: &'static str,
    index_statuses: Vec<(String, &'static str)>,
    encryption_status: &'static str,
    /// True when the billing mode changes.
    is_switched: bool,
    /// The place of an index that is to be filled.
    created: Option<usize>,
    /// The space of an index that goes.
    dropped: Option<Space>,
}

impl Plan {
    fn make(change: Change, before: &Definition, now: f64) -> Result<Self, ApiError> {
        let mut plan = Self {
            after: before.clone(),
            shown: before.clone(),
            status: "ACTIVE",
            index_statuses: Vec::new(),
            encryption_status: "ENABLED",
            is_switched: change.billing_mode.is_some_and(|asked| asked != before.billing_mode),
            created: None,
            dropped: None,
        };
        let billing_mode = change.billing_mode.unwrap_or(before.billing_mode);
        if change.throughput.is_some() && billing_mode == BillingMode::PayPerRequest {
            return Err(invalid(
                "Neither ReadCapacityUnits nor WriteCapacityUnits can be specified when BillingMode is \
                 PAY_PER_REQUEST",
            ));
        }
        check_index_changes(&change, before)?;
        plan.bill(&change, before, now)?;
        plan.provision(change.throughput.as_ref(), before, now)?;
        for index in change.indexes {
            plan.change_index(index, &change.attributes, billing_mode, now)?;
        }
        plan.stream(change.stream, before, now)?;
        plan.encrypt(change.encryption, before)?;
        plan.classify(change.table_class, before, now);
        plan.protect(change.deletion_protection);
        if let Some(limits) = change.limits {
            let limits = limits.of_changed(billing_mode, None, plan.after.on_demand_throughput.as_ref())?;
            plan.after.on_demand_throughput = limits.kept;
            plan.shown.on_demand_throughput = Some(limits.told);
        }
        if let Some(warm) = change.warm_throughput {
            let now = Warmth::of(before.billing_mode, &before.throughput, before.warm_throughput.as_ref());
            warmth::check_change(Some(&warm), now, None)?;
            plan.after.warm_throughput = Some(warm);
        }
        warmth::keep(before, &mut plan.after);
        if plan.is_switched {
            plan.shown.warm_throughput.clone_from(&plan.after.warm_throughput);
        }
        Ok(plan)
    }

    /// The state that the table is in for a while, when it is another than `ACTIVE`.
    fn way(&self) -> Option<Way> {
        let created =
            self.created.map(|position| IndexWay::Creating(self.after.indexes[position].index_name.clone()));
        let deleted = self.dropped.and_then(|space| {
            let dropped = self.shown.indexes.iter().find(|index| index.space == space.0);
            Some(IndexWay::Deleting(Box::new(dropped?.clone())))
        });
        (self.status == "UPDATING").then(|| Way::Updating(created.or(deleted)))
    }

    /// Switches the billing mode. Throughput must then be given anew, limits are lost.
    fn bill(&mut self, change: &Change, before: &Definition, now: f64) -> Result<(), ApiError> {
        let Some(asked) = change.billing_mode.filter(|asked| *asked != before.billing_mode) else {
            return Ok(());
        };
        self.status = "UPDATING";
        if asked == BillingMode::Provisioned {
            let is_given = |index: &&IndexDefinition| {
                change.indexes.iter().any(|change| {
                    change.name == index.index_name
                        && matches!(
                            &change.action,
                            Action::Update { throughput: Some(_), .. } | Action::Delete
                        )
                })
            };
            let global = before.indexes.iter().filter(|index| index.global);
            let missing: Vec<&str> =
                global.filter(|index| !is_given(index)).map(|index| index.index_name.as_str()).collect();
            if !missing.is_empty() {
                return Err(invalid(format!(
                    "ProvisionedThroughput must be specified for index: {}",
                    missing.join(",")
                )));
            }
        } else {
            self.after.on_demand_since = Some(now + CHANGE_SECONDS);
            let none = |throughput: &Throughput| Throughput {
                read_capacity_units: 0,
                write_capacity_units: 0,
                ..throughput.clone()
            };
            self.after.throughput = none(&before.throughput);
            self.shown.throughput =
                Throughput { last_decrease_date_time: Some(now), ..none(&before.throughput) };
            for index in self.after.indexes.iter_mut().filter(|index| index.global) {
                index.throughput = Throughput {
                    number_of_decreases_today: index.throughput.number_of_decreases_today + 1,
                    last_decrease_date_time: Some(now + CHANGE_SECONDS),
                    ..none(&index.throughput)
                };
            }
            for index in self.shown.indexes.iter_mut().filter(|index| index.global) {
                index.throughput = none(&index.throughput);
            }
        }
        self.after.billing_mode = asked;
        self.shown.billing_mode = asked;
        self.after.on_demand_throughput = None;
        self.after.indexes.iter_mut().for_each(|index| index.on_demand_throughput = None);
        let global = before.indexes.iter().filter(|index| index.global);
        self.index_statuses.extend(global.map(|index| (index.index_name.clone(), "UPDATING")));
        Ok(())
    }

    fn provision(
        &mut self,
        asked: Option<&Throughput>,
        before: &Definition,
        now: f64,
    ) -> Result<(), ApiError> {
        let Some(asked) = asked else { return Ok(()) };
        if is_same(asked, &before.throughput) && !self.is_switched {
            return Err(ApiError::validation(format!(
                "The provisioned throughput for the table will not change. {}",
                unchanged_words("table", &before.throughput, asked)
            )));
        }
        self.status = "UPDATING";
        self.after.throughput = changed(&before.throughput, asked, now + CHANGE_SECONDS);
        self.shown.throughput = if self.is_switched {
            self.after.throughput.clone()
        } else {
            under_way(&before.throughput, asked, now)
        };
        Ok(())
    }

    fn change_index(
        &mut self,
        change: IndexChange,
        attributes: &[AttributeDefinition],
        billing_mode: BillingMode,
        now: f64,
    ) -> Result<(), ApiError> {
        match change.action {
            Action::Create(index) => {
                let index = index.and_then(|index| index.of_table(billing_mode))?;
                self.refuse_redefinition(&index, attributes)?;
                self.define(&index, attributes);
                self.created = Some(self.after.indexes.len());
                self.after.indexes.push(index.clone());
                self.shown.indexes.push(index);
                self.status = "UPDATING";
                self.index_statuses.push((change.name, "CREATING"));
            }
            Action::Delete => {
                let position = position(&self.after, &change.name)?;
                self.dropped = Some(Space(self.after.indexes.remove(position).space));
                self.forget_unused_attributes();
                self.status = "UPDATING";
                self.index_statuses.retain(|(name, _)| *name != change.name);
                self.index_statuses.push((change.name, "DELETING"));
            }
            Action::Update { throughput, limits, warm_throughput } => {
                let position = position(&self.after, &change.name)?;
                if let Some(asked) = throughput {
                    self.provision_index(position, &asked, now);
                }
                let index = &mut self.after.indexes[position];
                if let Some(limits) = limits {
                    let before = index.on_demand_throughput.as_ref();
                    index.on_demand_throughput =
                        limits.of_changed(billing_mode, Some(&change.name), before)?.kept;
                }
                if let Some(warm) = warm_throughput {
                    let now = Warmth::of(billing_mode, &index.throughput, index.warm_throughput.as_ref());
                    warmth::check_change(Some(&warm), now, Some(&change.name))?;
                    index.warm_throughput = Some(warm);
                }
                self.index_statuses.push((change.name, "UPDATING"));
            }
        }
        Ok(())
    }

    fn provision_index(&mut self, position: usize, asked: &Throughput, now: f64) {
        let index = &mut self.after.indexes[position];
        let before = index.throughput.clone();
        index.throughput = changed(&before, asked, now + CHANGE_SECONDS);
        // A table that becomes a provisioned one tells its new throughput at once.
        let told = if self.is_switched { index.throughput.clone() } else { under_way(&before, asked, now) };
        if let Ok(position) = self::position(&self.shown, &self.after.indexes[position].index_name) {
            self.shown.indexes[position].throughput = told;
        }
    }

    fn stream(&mut self, asked: Option<StreamChange>, before: &Definition, now: f64) -> Result<(), ApiError> {
        let Some(asked) = asked else { return Ok(()) };
        let is_enabled = before.stream.as_ref().is_some_and(|stream| stream.enabled);
        let name = &before.table_name;
        match (is_enabled, asked) {
            (true, StreamChange { enabled: true, .. }) => {
                return Err(ApiError::validation(format!(
                    "Table already has an enabled stream: TableName: {name}"
                )));
            }
            (false, StreamChange { enabled: false, .. }) => {
                return Err(ApiError::validation(format!(
                    "Table has no stream to disable: TableName: {name}"
                )));
            }
            (true, StreamChange { enabled: false, .. }) => {
                self.after.stream.iter_mut().for_each(|stream| stream.enabled = false);
            }
            (false, StreamChange { enabled: true, view_type }) => {
                self.after.stream = Some(Stream {
                    enabled: true,
                    view_type: view_type.unwrap_or_default(),
                    label: clock::timestamp((now * 1000.0).round() as u64),
                });
            }
        }
        self.shown.stream.clone_from(&self.after.stream);
        self.status = "UPDATING";
        Ok(())
    }

    fn encrypt(&mut self, asked: Option<Option<String>>, before: &Definition) -> Result<(), ApiError> {
        let Some(key) = asked else { return Ok(()) };
        if key.is_none() && before.kms_master_key_arn.is_none() {
            return Err(invalid("Table is already encrypted by default"));
        }
        self.shown.kms_master_key_arn = key.clone().or_else(|| before.kms_master_key_arn.clone());
        self.after.kms_master_key_arn = key;
        self.encryption_status = "UPDATING";
        Ok(())
    }

    fn classify(&mut self, asked: Option<String>, before: &Definition, now: f64) {
        let Some(asked) = asked else { return };
        let class = before.table_class.as_ref().map_or("STANDARD", |class| class.table_class.as_str());
        self.status = "UPDATING";
        if class != asked {
            self.after.table_class =
                Some(TableClass { table_class: asked, last_update_date_time: Some(now) });
        }
    }

    fn protect(&mut self, asked: Option<bool>) {
        if let Some(asked) = asked {
            self.after.deletion_protection_enabled = asked;
            self.shown.deletion_protection_enabled = asked;
        }
    }

    /// An attribute of a key that is there already keeps its type.
    fn refuse_redefinition(
        &self,
        index: &IndexDefinition,
        attributes: &[AttributeDefinition],
    ) -> Result<(), ApiError> {
        let known = &self.after.attribute_definitions;
        let is_redefined = |element: &&KeyElement| {
            let name = &element.attribute_name;
            let types = type_of(name, known).zip(type_of(name, attributes));
            types.is_some_and(|(known, asked)| known != asked)
        };
        let Some(redefined) = index.key_schema.iter().find(is_redefined) else { return Ok(()) };
        let index_keys = self.after.indexes.iter().map(|index| &index.key_schema);
        let mut keys = std::iter::once(&self.after.key_schema).chain(index_keys);
        let name = &redefined.attribute_name;
        let existing = keys.find(|key| key.iter().any(|element| element.attribute_name == *name));
        Err(invalid(format!(
            "Attributes cannot be redefined. Please check that your attribute has the same type as previously \
             defined. Existing schema: {} New schema: {}",
            schema_text(existing.map_or(&[], Vec::as_slice), known),
            schema_text(&index.key_schema, attributes)
        )))
    }

    /// Takes in the definitions that a new index needs; an attribute that has one keeps it.
    fn define(&mut self, index: &IndexDefinition, attributes: &[AttributeDefinition]) {
        for element in &index.key_schema {
            let is_known = |known: &AttributeDefinition| known.attribute_name == element.attribute_name;
            if self.after.attribute_definitions.iter().any(is_known) {
                continue;
            }
            self.after.attribute_definitions.extend(attributes.iter().find(|known| is_known(known)).cloned());
        }
        self.after.attribute_definitions.sort_by(|a, b| a.attribute_name.cmp(&b.attribute_name));
        self.shown.attribute_definitions.clone_from(&self.after.attribute_definitions);
    }

    /// An attribute is defined as long as a key needs it.
    fn forget_unused_attributes(&mut self) {
        let index_keys = self.after.indexes.iter().flat_map(|index| &index.key_schema);
        let used: BTreeSet<String> =
            self.after.key_schema.iter().chain(index_keys).map(|key| key.attribute_name.clone()).collect();
        self.after.attribute_definitions.retain(|attribute| used.contains(&attribute.attribute_name));
    }
}

/// The declared type of an attribute.
fn type_of<'a>(name: &str, attributes: &'a [AttributeDefinition]) -> Option<&'a str> {
    let attribute = attributes.iter().find(|attribute| attribute.attribute_name == name);
    attribute.map(|attribute| attribute.attribute_type.as_str())
}

/// A key as the service's messages write it.
fn schema_text(key: &[KeyElement], attributes: &[AttributeDefinition]) -> String {
    let elements = key.iter().map(|element| {
        let role = match element.key_type {
            KeyType::Hash => "HASH",
            KeyType::Range => "RANGE",
        };
        let scalar_type = type_of(&element.attribute_name, attributes).unwrap_or_default();
        format!("SchemaElement: key{{{}:{scalar_type}:{role}}}", element.attribute_name)
    });
    format!("Schema:[{}]", elements.collect::<Vec<_>>().join(", "))
}

fn index_changes(
    updates: Option<&[Json<'_>]>,
    attributes: &[AttributeDefinition],
) -> Result<Vec<IndexChange>, ApiError> {
    let Some(updates) = updates else { return Ok(Vec::new()) };
    if updates.is_empty() {
        return Err(invalid("List of GlobalSecondaryIndexUpdates is empty"));
    }
    let mut names = BTreeSet::new();
    let mut changes = Vec::new();
    // Among so many of different names there are always some that cannot be.
    for update in updates.iter().take(INDEXES_JUDGED_MAX) {
        let change = index_change(update, attributes)?;
        if !names.insert(change.name.clone()) {
            return Err(invalid(format!(
                "Only one global secondary index update per index is allowed simultaneously. Index: {}",
                change.name
            )));
        }
        changes.push(change);
    }
    Ok(changes)
}

fn index_change(update: &Json<'_>, attributes: &[AttributeDefinition]) -> Result<IndexChange, ApiError> {
    let (creation, change, deletion) = (update.get("Create"), update.get("Update"), update.get("Delete"));
    let (index, action) = match (creation, change, deletion) {
        (Some(index), None, None) => (index, Action::Create(Box::new(NewIndex::read(index, attributes)))),
        (None, Some(index), None) => {
            let action = Action::Update {
                throughput: definition::throughput(index),
                limits: Limits::read(index),
                warm_throughput: warmth::asked_of_index(index, text(index, "IndexName"))?,
            };
            (index, action)
        }
        (None, None, Some(index)) => (index, Action::Delete),
        (None, None, None) => {
            return Err(invalid(
                "One of GlobalSecondaryIndexUpdate.Update, GlobalSecondaryIndexUpdate.Create, \
                 GlobalSecondaryIndexUpdate.Delete must not be null",
            ));
        }
        _ => {
            return Err(invalid(
                "Only one global secondary index action is allowed per GlobalSecondaryIndexUpdate object",
            ));
        }
    };
    Ok(IndexChange { name: text(index, "IndexName").to_owned(), action })
}

/// Judges the changes of indexes against the table, as far as they do not depend on each other.
fn check_index_changes(change: &Change, before: &Definition) -> Result<(), ApiError> {
    if change.indexes.iter().filter(|index| index.makes_or_drops()).count() > 1 {
        return Err(ApiError::new(
            ErrorCode::LimitExceeded,
            "Subscriber limit exceeded: Only 1 online index can be created or deleted simultaneously per table",
        ));
    }
    let is_too_much = |index: &IndexChange| matches!(&index.action, Action::Update { throughput: Some(asked), .. } if definition::is_out_of_bounds(asked));
    if change.indexes.iter().any(is_too_much) {
        return Err(ApiError::validation(
            "This operation cannot be performed with given input values. Please contact DynamoDB service team for \
             more info: Action Blocked: IndexUpdate",
        ));
    }
    let billing_mode = change.billing_mode.unwrap_or(before.billing_mode);
    change.indexes.iter().try_for_each(|index| check_index_change(index, before, billing_mode))
}

fn check_index_change(
    change: &IndexChange,
    before: &Definition,
    billing_mode: BillingMode,
) -> Result<(), ApiError> {
    let name = &change.name;
    let existing = before.indexes.iter().find(|index| index.index_name == *name);
    match (&change.action, existing) {
        (Action::Create(_), Some(_)) => {
            Err(ApiError::validation("Attempting to create an index which already exists"))
        }
        (Action::Create(_), None) => {
            let global = before.indexes.iter().filter(|index| index.global).count();
            if global < GLOBAL_INDEXES_MAX {
                return Ok(());
            }
            Err(ApiError::new(
                ErrorCode::LimitExceeded,
                format!("GlobalSecondaryIndex count exceeds the per-table limit of {GLOBAL_INDEXES_MAX}"),
            ))
        }
        (Action::Delete | Action::Update { .. }, None) => Err(unknown_index(name)),
        (Action::Delete, Some(index)) if !index.global => Err(ApiError::validation(format!(
            "Cannot delete an index that is not a GlobalSecondaryIndex: {name}"
        ))),
        (Action::Update { .. }, Some(index)) if !index.global => Err(ApiError::validation(format!(
            "Cannot update an index that is not a GlobalSecondaryIndex: {name}"
        ))),
        (Action::Update { throughput: Some(_), .. }, Some(_))
            if billing_mode == BillingMode::PayPerRequest =>
        {
            Err(invalid(format!(
                "The only Updates for index: {name} when TableThroughputMode is PAY_PER_REQUEST can be to \
                 OnDemandThroughput, WarmThroughput"
            )))
        }
        (Action::Update { throughput: Some(asked), .. }, Some(index))
            if is_same(asked, &index.throughput) && billing_mode == before.billing_mode =>
        {
            Err(ApiError::validation(format!(
                "The provisioned throughput for the index {name} will not change. {}",
                unchanged_words("index", &index.throughput, asked)
            )))
        }
        (Action::Delete | Action::Update { .. }, Some(_)) => Ok(()),
    }
}

fn position(definition: &Definition, name: &str) -> Result<usize, ApiError> {
    let position = definition.indexes.iter().position(|index| index.index_name == name);
    position.ok_or_else(|| unknown_index(name))
}

fn unknown_index(name: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ResourceNotFound,
        format!("Requested resource not found: Index {name} for table"),
    )
}

fn is_same(asked: &Throughput, now: &Throughput) -> bool {
    asked.read_capacity_units == now.read_capacity_units
        && asked.write_capacity_units == now.write_capacity_units
}

fn unchanged_words(what: &str, current: &Throughput, asked: &Throughput) -> String {
    format!(
        "The requested value equals the current value. Current ReadCapacityUnits provisioned for the {what}: {}. \
         Requested ReadCapacityUnits: {}. Current WriteCapacityUnits provisioned for the {what}: {}. Requested \
         WriteCapacityUnits: {}. Refer to the Amazon DynamoDB Developer Guide for current limits and how to request \
         higher limits.",
        current.read_capacity_units,
        asked.read_capacity_units,
        current.write_capacity_units,
        asked.write_capacity_units
    )
}

/// The throughput before a change, with the change's dates.
fn under_way(before: &Throughput, asked: &Throughput, now: f64) -> Throughput {
    let is_more = asked.read_capacity_units > before.read_capacity_units
        || asked.write_capacity_units > before.write_capacity_units;
    let is_less = asked.read_capacity_units < before.read_capacity_units
        || asked.write_capacity_units < before.write_capacity_units;
    Throughput {
        last_increase_date_time: is_more.then_some(now).or(before.last_increase_date_time),
        last_decrease_date_time: is_less.then_some(now).or(before.last_decrease_date_time),
        ..before.clone()
    }
}

/// The throughput after a change.
fn changed(before: &Throughput, asked: &Throughput, now: f64) -> Throughput {
    let dated = under_way(before, asked, now);
    let is_decrease = dated.last_decrease_date_time == Some(now);
    let day = |seconds: f64| (seconds / 86_400.0).floor();
    let counted_today = before.last_decrease_date_time.filter(|last| day(*last) == day(now));
    let decreases = counted_today.map_or(0, |_| before.number_of_decreases_today);
    Throughput {
        number_of_decreases_today: decreases + u64::from(is_decrease),
        read_capacity_units: asked.read_capacity_units,
        write_capacity_units: asked.write_capacity_units,
        ..dated
    }
}

/// Gives a new index the entries of all items that there are.
fn backfill(table: &Table, position: usize, writes: &mut dyn Writes) -> Result<(), StoreError> {
    let (index, space) = (&table.schema.indexes[position], table.index_spaces[position]);
    let mut range = KeyRange::all();
    let mut bytes = 0;
    loop {
        let mut found: Vec<(Vec<u8>, Vec<u8>)> = Vec::with_capacity(BACKFILL_ROWS);
        writes.range(table.items, &range, Direction::Forward, &mut |key, row| {
            found.push((key.to_vec(), row.to_vec()));
            if found.len() < BACKFILL_ROWS { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
        })?;
        let is_last = found.len() < BACKFILL_ROWS;
        for (key, row) in found {
            let item = Row::new(row.into())?.item()?;
            if let Some((entry_key, entry)) = index_entry(&table.schema.key, index, &item) {
                bytes += i64::try_from(rows::size_bytes(&entry)).unwrap_or(0);
                writes.put(space, &entry_key, &entry)?;
            }
            // The next stretch begins behind this key: nothing lies between a key and itself with a zero byte.
            range.start = key;
            range.start.push(0);
        }
        if is_last {
            table.add_index_bytes(position, bytes);
            return Ok(());
        }
    }
}
