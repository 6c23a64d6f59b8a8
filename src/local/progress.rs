//! States on the way: how long a table is told to be made, changed or deleted, and what may not be asked of it meanwhile.
//!
//! What takes the service minutes is done here before the answer leaves. With a delay, tables still tell for that long that
//! they are on their way, and refuse what the service refuses then, so that a client's waiting can be tested. It is kept in
//! memory only: the work is done, so after a restart every table is what it was to become.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;

use crate::model::{ApiError, ErrorCode};

use super::clock::Clock;
use super::table_record::IndexDefinition;

/// What is on its way.
#[derive(Debug, Default)]
pub(super) struct Progress {
    clock: Clock,
    delay_ms: u64,
    /// By the tables' names. Read with every request, and changed with tables only.
    states: ArcSwap<HashMap<String, State>>,
    changing: Mutex<()>,
}

#[derive(Clone, Debug)]
struct State {
    until_ms: u64,
    way: Way,
}

/// Where to a table is on its way.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// It was just made.
    Creating,
    /// It was just changed; and an index of it made or dropped.
    Updating(Option<IndexWay>),
    /// It is gone, and this is what is told of it.
    Deleting(Arc<[u8]>),
}

/// Where to an index is on its way.
#[derive(Clone, Debug)]
pub(super) enum IndexWay {
    /// The index of that name was just made. In the first half the table is being changed for it, in the second it is filled.
    Creating(String),
    /// This index is gone.
    Deleting(Box<IndexDefinition>),
}

/// What a description tells of a table that is there.
#[derive(Clone, Debug, Default)]
pub(super) struct Told {
    /// `TableStatus`, when it is not `ACTIVE`.
    pub(super) table: Option<&'static str>,
    /// The index that is being made, and whether it is being filled already.
    pub(super) creating: Option<(String, bool)>,
    /// An index that is gone, and told of.
    pub(super) deleting: Option<IndexDefinition>,
}

impl Progress {
    /// States last that long; not at all when it is zero.
    pub(super) fn new(clock: Clock, delay: Duration) -> Self {
        let delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
        Self { clock, delay_ms, ..Self::default() }
    }

    /// Begins a state of a table, which ends by itself.
    pub(super) fn begin(&self, table: &str, way: Way) {
        if self.delay_ms == 0 {
            return;
        }
        let now = self.clock.now_ms();
        self.change(|states| {
            states.retain(|_, state| state.until_ms > now);
            states.insert(table.to_owned(), State { until_ms: now.saturating_add(self.delay_ms), way });
        });
    }

    /// Ends a state early: what began it did not happen.
    pub(super) fn end(&self, table: &str) {
        if self.delay_ms > 0 {
            self.change(|states| drop(states.remove(table)));
        }
    }

    fn change(&self, change: impl FnOnce(&mut HashMap<String, State>)) {
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut states = HashMap::clone(&self.states.load());
        change(&mut states);
        self.states.store(Arc::new(states));
    }

    fn look<T>(&self, table: &str, look: impl FnOnce(&State, u64) -> T) -> Option<T> {
        if self.delay_ms == 0 {
            return None;
        }
        let states = self.states.load();
        let (state, now) = (states.get(table)?, self.clock.now_ms());
        (now < state.until_ms).then(|| look(state, now))
    }

    /// What is told of a table that is being deleted: its description.
    pub(super) fn deleted(&self, table: &str) -> Option<Arc<[u8]>> {
        self.look(table, |state, _| match &state.way {
            Way::Deleting(description) => Some(Arc::clone(description)),
            Way::Creating | Way::Updating(_) => None,
        })?
    }

    /// The names of the tables that are being deleted.
    pub(super) fn all_deleted(&self) -> Vec<String> {
        if self.delay_ms == 0 {
            return Vec::new();
        }
        let states = self.states.load();
        states.keys().filter(|table| self.deleted(table).is_some()).cloned().collect()
    }

    /// What a description tells of a table that is there.
    pub(super) fn told(&self, table: &str) -> Told {
        let told = self.look(table, |state, now| match &state.way {
            Way::Creating => Told { table: Some("CREATING"), ..Told::default() },
            Way::Updating(None) => Told { table: Some("UPDATING"), ..Told::default() },
            Way::Updating(Some(IndexWay::Deleting(index))) => {
                Told { table: Some("UPDATING"), deleting: Some((**index).clone()), ..Told::default() }
            }
            Way::Updating(Some(IndexWay::Creating(index))) => {
                let is_filling = state.until_ms - now <= self.delay_ms / 2;
                Told {
                    table: (!is_filling).then_some("UPDATING"),
                    creating: Some((index.clone(), is_filling)),
                    ..Told::default()
                }
            }
            Way::Deleting(_) => Told { table: Some("DELETING"), ..Told::default() },
        });
        told.unwrap_or_default()
    }

    /// True when a table's items may be asked for.
    pub(super) fn is_open(&self, table: &str) -> bool {
        self.look(table, |state, _| matches!(state.way, Way::Updating(_))).unwrap_or(true)
    }

    /// Refuses to change a table that is on its way.
    ///
    /// # Errors
    /// `ResourceInUseException`, in the service's words.
    pub(super) fn refuse_change(&self, table: &str) -> Result<(), ApiError> {
        let way = self.look(table, |state, _| match state.way {
            Way::Creating => "created",
            Way::Updating(_) => "updated",
            Way::Deleting(_) => "deleted",
        });
        way.map_or(Ok(()), |way| {
            let words =
                format!("Attempt to change a resource which is still in use: Table is being {way}: {table}");
            Err(ApiError::new(ErrorCode::ResourceInUse, words))
        })
    }

    /// Refuses to read an index that is being made.
    ///
    /// # Errors
    /// `ValidationException`, in the service's words.
    pub(super) fn refuse_read(&self, table: &str, index: &str) -> Result<(), ApiError> {
        let is_creating = self.look(table, |state, _| match &state.way {
            Way::Updating(Some(IndexWay::Creating(creating))) => creating == index,
            Way::Updating(_) | Way::Creating | Way::Deleting(_) => false,
        });
        if is_creating == Some(true) {
            let words = format!("Cannot read from backfilling global secondary index: {index}");
            return Err(ApiError::validation(words));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use crate::local::tests::backend::Backend;
    use crate::local::{Local, Settings};
    use crate::model::Operation::{
        CreateTable, DeleteTable, DescribeTable, ExecuteStatement, GetItem, ListTables, PutItem, Query,
        TagResource, UpdateTable,
    };

    use super::*;

    const DELAY: Duration = Duration::from_secs(4);

    fn slow() -> Backend {
        Backend { local: Local::in_memory(Settings { status_delay: DELAY, ..Settings::default() }) }
    }

    fn create() -> Value {
        json!({
            "TableName": "Slow", "BillingMode": "PAY_PER_REQUEST",
            "AttributeDefinitions": [{"AttributeName": "a", "AttributeType": "S"}],
            "KeySchema": [{"AttributeName": "a", "KeyType": "HASH"}],
        })
    }

    fn by(index: &str) -> Value {
        let index = json!({
            "IndexName": index, "KeySchema": [{"AttributeName": "b", "KeyType": "HASH"}],
            "Projection": {"ProjectionType": "ALL"},
        });
        json!({
            "TableName": "Slow",
            "AttributeDefinitions": [{"AttributeName": "b", "AttributeType": "S"}],
            "GlobalSecondaryIndexUpdates": [{"Create": index}],
        })
    }

    async fn status(backend: &Backend) -> (Value, Value, Value) {
        let table = backend.ok(DescribeTable, json!({"TableName": "Slow"})).await["Table"].clone();
        let index = |member: &str| {
            let path = format!("/GlobalSecondaryIndexes/0/{member}");
            table.pointer(&path).cloned().unwrap_or_default()
        };
        (table["TableStatus"].clone(), index("IndexStatus"), index("Backfilling"))
    }

    async fn refused(backend: &Backend, operation: crate::model::Operation, body: Value) -> (String, String) {
        let refusal = backend.send(operation, body).await.unwrap_err();
        (refusal.code, refusal.message)
    }

    fn in_use(way: &str) -> (String, String) {
        let words = format!("Attempt to change a resource which is still in use: Table is being {way}: Slow");
        ("ResourceInUseException".to_owned(), words)
    }

    #[tokio::test]
    async fn a_table_is_made_and_unmade_for_as_long_as_was_asked() {
        let backend = slow();
        let named = json!({"TableName": "Slow"});
        let get = json!({"TableName": "Slow", "Key": {"a": {"S": "x"}}});
        backend.ok(CreateTable, create()).await;
        assert_eq!(status(&backend).await.0, "CREATING");
        assert_eq!(refused(&backend, GetItem, get.clone()).await.0, "ResourceNotFoundException");
        assert_eq!(refused(&backend, DeleteTable, named.clone()).await, in_use("created"));
        let protect = json!({"TableName": "Slow", "DeletionProtectionEnabled": false});
        assert_eq!(refused(&backend, UpdateTable, protect).await, in_use("created"));
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/Slow";
        let tag = json!({"ResourceArn": arn, "Tags": [{"Key": "k", "Value": "v"}]});
        assert_eq!(refused(&backend, TagResource, tag).await, in_use("created"));
        backend.local.clock.advance(DELAY);
        assert_eq!(status(&backend).await.0, "ACTIVE");
        assert_eq!(backend.ok(GetItem, get.clone()).await, json!({}));

        backend.ok(DeleteTable, named.clone()).await;
        assert_eq!(status(&backend).await.0, "DELETING");
        assert_eq!(backend.ok(ListTables, json!({})).await["TableNames"], json!(["Slow"]));
        assert_eq!(refused(&backend, GetItem, get).await.0, "ResourceNotFoundException");
        assert_eq!(refused(&backend, CreateTable, create()).await, in_use("deleted"));
        assert_eq!(refused(&backend, DeleteTable, named.clone()).await, in_use("deleted"));
        backend.local.clock.advance(DELAY);
        assert_eq!(refused(&backend, DescribeTable, named).await.0, "ResourceNotFoundException");
        assert_eq!(backend.ok(ListTables, json!({})).await["TableNames"], json!([]));
        backend.ok(CreateTable, create()).await;
    }

    #[tokio::test]
    async fn an_index_is_made_first_then_filled_and_read_afterwards() {
        let backend = slow();
        backend.ok(CreateTable, create()).await;
        backend.local.clock.advance(DELAY);
        backend.put("Slow", json!({"a": {"S": "x"}, "b": {"S": "y"}})).await;
        backend.ok(UpdateTable, by("byB")).await;
        assert_eq!(status(&backend).await, (json!("UPDATING"), json!("CREATING"), json!(false)));
        assert_eq!(refused(&backend, UpdateTable, by("again")).await, in_use("updated"));
        backend.local.clock.advance(DELAY / 2);
        assert_eq!(status(&backend).await, (json!("ACTIVE"), json!("CREATING"), json!(true)));
        backend.ok(PutItem, json!({"TableName": "Slow", "Item": {"a": {"S": "z"}, "b": {"S": "y"}}})).await;
        let query = json!({
            "TableName": "Slow", "IndexName": "byB", "KeyConditionExpression": "b = :b",
            "ExpressionAttributeValues": {":b": {"S": "y"}},
        });
        let words = "Cannot read from backfilling global secondary index: byB";
        assert_eq!(backend.invalid(Query, query.clone()).await, words);
        let statement = json!({"Statement": "SELECT * FROM \"Slow\".\"byB\" WHERE b = 'y'"});
        assert_eq!(backend.invalid(ExecuteStatement, statement).await, words);
        backend.local.clock.advance(DELAY / 2);
        assert_eq!(status(&backend).await, (json!("ACTIVE"), json!("ACTIVE"), Value::Null));
        assert_eq!(backend.ok(Query, query.clone()).await["Count"], 2);

        let drop =
            json!({"TableName": "Slow", "GlobalSecondaryIndexUpdates": [{"Delete": {"IndexName": "byB"}}]});
        backend.ok(UpdateTable, drop).await;
        assert_eq!(status(&backend).await, (json!("UPDATING"), json!("DELETING"), Value::Null));
        assert!(backend.invalid(Query, query).await.contains("does not have the specified index"));
        backend.local.clock.advance(DELAY);
        assert_eq!(status(&backend).await, (json!("ACTIVE"), Value::Null, Value::Null));
    }
}
