//! What a change makes of a table: its next definition, and the one that the answer shows.

use std::collections::BTreeSet;

use crate::local::clock;
use crate::local::progress::{IndexWay, Way};
use crate::local::store::Space;
use crate::local::table_record::{
    AttributeDefinition, BillingMode, Definition, IndexDefinition, Stream, TableClass, Throughput,
};
use crate::local::tables::invalid;
use crate::local::tables::warmth::{self, Warmth};
use crate::model::ApiError;

use super::request::{Action, Change, IndexChange, StreamChange};
use super::rules::{check_index_changes, check_redefinition, is_same, position, unchanged_words};

/// The service's clock goes on between the answer and the end of the change.
const CHANGE_SECONDS: f64 = 0.001;

/// What a change makes of a table.
pub(super) struct Plan {
    /// The table as it will be.
    pub(super) after: Definition,
    /// The table as the answer tells it.
    pub(super) shown: Definition,
    pub(super) status: &'static str,
    pub(super) index_statuses: Vec<(String, &'static str)>,
    pub(super) encryption_status: &'static str,
    /// True when the billing mode changes.
    pub(super) is_switched: bool,
    /// The place of an index that is to be filled.
    pub(super) created: Option<usize>,
    /// The space of an index that goes.
    pub(super) dropped: Option<Space>,
}

impl Plan {
    pub(super) fn make(change: Change, before: &Definition, now: f64) -> Result<Self, ApiError> {
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
    pub(super) fn way(&self) -> Option<Way> {
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
                check_redefinition(&self.after, &index, attributes)?;
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
        if let Ok(position) = super::rules::position(&self.shown, &self.after.indexes[position].index_name) {
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
