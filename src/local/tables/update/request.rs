//! What a request asks to change, and the rules that it keeps by itself, whatever the table is.

use std::collections::BTreeSet;

use crate::local::members::text;
use crate::local::table_record::{AttributeDefinition, BillingMode, Throughput, WarmThroughput};
use crate::local::tables::definition::{self, INDEXES_JUDGED_MAX, NewIndex};
use crate::local::tables::limits::Limits;
use crate::local::tables::unsupported::{UPDATE_TABLE, reject_unsupported};
use crate::local::tables::{Names, invalid, warmth};
use crate::model::ApiError;
use crate::wire::Json;

/// What a request asks to change.
#[derive(Debug)]
pub(in crate::local::tables) struct Change {
    pub(super) table_name: String,
    pub(super) billing_mode: Option<BillingMode>,
    pub(super) throughput: Option<Throughput>,
    pub(super) attributes: Vec<AttributeDefinition>,
    pub(super) indexes: Vec<IndexChange>,
    pub(super) stream: Option<StreamChange>,
    /// The key to encrypt with; `Some(None)` is the service's own.
    pub(super) encryption: Option<Option<String>>,
    pub(super) table_class: Option<String>,
    pub(super) deletion_protection: Option<bool>,
    pub(super) limits: Option<Limits>,
    pub(super) warm_throughput: Option<WarmThroughput>,
}

/// One member of `GlobalSecondaryIndexUpdates`.
#[derive(Debug)]
pub(super) struct IndexChange {
    pub(super) name: String,
    pub(super) action: Action,
}

#[derive(Debug)]
pub(super) enum Action {
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
pub(super) struct StreamChange {
    pub(super) enabled: bool,
    pub(super) view_type: Option<String>,
}

impl Change {
    /// Reads a request.
    ///
    /// # Errors
    /// `ValidationException` for the first rule that the request breaks by itself.
    pub(in crate::local::tables) fn read(body: &Json<'_>, names: &Names) -> Result<Self, ApiError> {
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
}

impl IndexChange {
    pub(super) fn makes_or_drops(&self) -> bool {
        matches!(self.action, Action::Create(_) | Action::Delete)
    }
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
