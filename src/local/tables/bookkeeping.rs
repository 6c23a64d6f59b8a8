//! What clients ask of every table that they look after, where there is little to tell here: settings that are kept and told,
//! and lists of things that nobody can have made.

use serde_json::{Value, json};

use crate::local::members::text;
use crate::local::table_record::{Definition, PointInTimeRecovery};
use crate::local::{Handled, Local};
use crate::model::{ApiError, ErrorCode, Operation};
use crate::wire::Json;

use super::Names;

/// How far back a table can be kept at most, which is what it is when nothing is said.
const PERIOD_DAYS_MAX: i64 = 35;
/// A table can be brought back to five minutes ago at the latest.
const LATEST_SECONDS: f64 = 300.0;

impl Local {
    /// UpdateContinuousBackups: kept for DescribeContinuousBackups to tell.
    pub(in crate::local) async fn update_continuous_backups(&self, body: &Json<'_>) -> Handled {
        let names = Names::new(&self.settings);
        let name = names.table_name(body);
        let asked = body.get("PointInTimeRecoverySpecification");
        let is_enabled =
            asked.and_then(|asked| asked.get("PointInTimeRecoveryEnabled")).and_then(Json::boolean);
        let period = asked.and_then(|asked| asked.get("RecoveryPeriodInDays")).and_then(Json::integer);
        let now = self.clock.now_seconds();
        let unknown = ApiError::new(ErrorCode::TableNotFound, format!("Table not found: {name}"));
        self.change_settings(name, unknown, move |settings| {
            let former = settings.point_in_time_recovery.take();
            settings.point_in_time_recovery = (is_enabled == Some(true)).then(|| PointInTimeRecovery {
                enabled_since: former.as_ref().map_or(now, |former| former.enabled_since),
                period_days: period.or(former.map(|former| former.period_days)).unwrap_or(PERIOD_DAYS_MAX),
            });
            Ok(())
        })
        .await?;
        self.describe_continuous_backups(body)
    }

    /// DescribeContinuousBackups. Nothing can be restored; what asks for the settings hears what it has set.
    pub(in crate::local) fn describe_continuous_backups(&self, body: &Json<'_>) -> Handled {
        let names = Names::new(&self.settings);
        let name = names.table_name(body);
        let unknown = || ApiError::new(ErrorCode::TableNotFound, format!("Table not found: {name}"));
        let table = self.catalog.find(name).ok_or_else(unknown)?;
        let recovery = match &table.definition.point_in_time_recovery {
            None => json!({"PointInTimeRecoveryStatus": "DISABLED"}),
            Some(recovery) => recovery.describe(self.clock.now_seconds()),
        };
        Ok(json_body(&json!({"ContinuousBackupsDescription": {
            "ContinuousBackupsStatus": "ENABLED",
            "PointInTimeRecoveryDescription": recovery,
        }})))
    }

    /// What is told of one table by an operation that finds nothing there.
    pub(in crate::local) fn describe_nothing(&self, operation: Operation, body: &Json<'_>) -> Handled {
        let names = Names::new(&self.settings);
        let table = self.catalog.table_itself(names.table_name(body))?;
        let name = &table.schema.name;
        let answer = match operation {
            Operation::DescribeKinesisStreamingDestination => {
                json!({"TableName": name, "KinesisDataStreamDestinations": []})
            }
            Operation::DescribeTableReplicaAutoScaling => {
                let status = self.catalog.progress.told(name).table.unwrap_or("ACTIVE");
                json!({"TableAutoScalingDescription": {"TableName": name, "TableStatus": status}})
            }
            _ => contributor_insights(&table.definition, body)?,
        };
        Ok(json_body(&answer))
    }
}

impl PointInTimeRecovery {
    fn describe(&self, now: f64) -> Value {
        let earliest = self.enabled_since.max(now - self.period_days as f64 * 86_400.0);
        json!({
            "PointInTimeRecoveryStatus": "ENABLED",
            "RecoveryPeriodInDays": self.period_days,
            "EarliestRestorableDateTime": earliest,
            "LatestRestorableDateTime": earliest.max(now - LATEST_SECONDS),
        })
    }
}

/// A list of what nobody can have made here; `None` for an operation that lists something else.
pub(in crate::local) fn empty_list(operation: Operation) -> Option<Vec<u8>> {
    let member = match operation {
        Operation::ListBackups => "BackupSummaries",
        Operation::ListGlobalTables => "GlobalTables",
        Operation::ListExports => "ExportSummaries",
        Operation::ListImports => "ImportSummaryList",
        Operation::ListContributorInsights => "ContributorInsightsSummaries",
        _ => return None,
    };
    Some(json_body(&json!({ member: [] })))
}

/// No rule is ever made: insights are off.
fn contributor_insights(table: &Definition, body: &Json<'_>) -> Result<Value, ApiError> {
    let index = text(body, "IndexName");
    if index.is_empty() {
        return Ok(json!({"TableName": table.table_name, "ContributorInsightsStatus": "DISABLED"}));
    }
    if !table.indexes.iter().any(|known| known.index_name == index) {
        let words = format!("Requested resource not found: Index: {index} not found");
        return Err(ApiError::new(ErrorCode::ResourceNotFound, words));
    }
    Ok(json!({"TableName": table.table_name, "IndexName": index, "ContributorInsightsStatus": "DISABLED"}))
}

fn json_body(answer: &Value) -> Vec<u8> {
    serde_json::to_vec(answer).expect("an answer is always JSON")
}

#[cfg(test)]
mod tests {
    use crate::local::tests::backend::Backend;
    use crate::model::Operation::*;

    use super::*;

    #[tokio::test]
    async fn point_in_time_recovery_is_told_as_it_was_set() {
        let backend = Backend::with_tables().await;
        let set = |specification: Value| json!({"TableName": "hash", "PointInTimeRecoverySpecification": specification});
        let on = set(json!({"PointInTimeRecoveryEnabled": true, "RecoveryPeriodInDays": 7}));
        backend.ok(UpdateContinuousBackups, on).await;
        let told = backend.ok(DescribeContinuousBackups, json!({"TableName": "hash"})).await;
        let told = &told["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
        assert_eq!(
            (&told["PointInTimeRecoveryStatus"], &told["RecoveryPeriodInDays"]),
            (&json!("ENABLED"), &json!(7))
        );
        assert!(told["EarliestRestorableDateTime"].is_number());
        let off =
            backend.ok(UpdateContinuousBackups, set(json!({"PointInTimeRecoveryEnabled": false}))).await;
        let told = &off["ContinuousBackupsDescription"]["PointInTimeRecoveryDescription"];
        assert_eq!(*told, json!({"PointInTimeRecoveryStatus": "DISABLED"}));
    }

    #[tokio::test]
    async fn what_nobody_can_have_made_is_told_as_nothing() {
        let backend = Backend::with_tables().await;
        for operation in [ListBackups, ListGlobalTables, ListExports, ListImports, ListContributorInsights] {
            let answer = backend.ok(operation, json!({})).await;
            assert!(answer.as_object().unwrap().values().all(|list| *list == json!([])), "{operation}");
        }
        for operation in [
            DescribeContributorInsights,
            DescribeKinesisStreamingDestination,
            DescribeTableReplicaAutoScaling,
        ] {
            backend.ok(operation, json!({"TableName": "hash"})).await;
            let refusal = backend.send(operation, json!({"TableName": "none"})).await.unwrap_err();
            assert_eq!(refusal.code, "ResourceNotFoundException", "{operation}");
        }
    }
}
