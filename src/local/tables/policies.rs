//! Policies of tables and streams: PutResourcePolicy, GetResourcePolicy, DeleteResourcePolicy.
//!
//! They are kept and told, for what sets up and compares infrastructure. Callers are not verified, so nobody is held to one.

use std::collections::BTreeMap;

use serde_json::json;

use crate::local::catalog::{Catalog, unknown_table};
use crate::local::members::text;
use crate::local::table_record::{Definition, Policy};
use crate::local::{Handled, Local};
use crate::model::{ApiError, ErrorCode};
use crate::wire::Json;

use super::{Names, invalid};

/// The revision that stands for none.
const NO_POLICY: &str = "NO_POLICY";

impl Local {
    /// PutResourcePolicy. The same policy again keeps its revision.
    pub(in crate::local) async fn put_resource_policy(&self, body: &Json<'_>) -> Handled {
        let (arn, table) = resource(body, &self.catalog)?;
        let document = document(text(body, "Policy"))?;
        let expected = expected_revision(body);
        let now_ms = self.clock.now_ms();
        let (arn, name) = (arn.to_owned(), table.to_owned());
        let (answer, revision) = std::sync::mpsc::channel();
        self.change_settings(table, unknown_table(table), move |settings| {
            check_resource(&arn, settings)?;
            let current = settings.policies.get(&arn);
            check_revision(expected.as_deref(), current, &arn, &name)?;
            let policy = match current {
                Some(current) if current.document == document => current.clone(),
                current => Policy { document, revision_id: next_revision(current, now_ms) },
            };
            let _ = answer.send(policy.revision_id.clone());
            settings.policies.insert(arn, policy);
            Ok(())
        })
        .await?;
        Ok(json_body(&json!({"RevisionId": revision.recv().unwrap_or_default()})))
    }

    /// GetResourcePolicy.
    pub(in crate::local) fn get_resource_policy(&self, body: &Json<'_>) -> Handled {
        let (arn, table) = resource(body, &self.catalog)?;
        let table = self.catalog.table_itself(table)?;
        check_resource(arn, &table.definition)?;
        let policy = table.definition.policies.get(arn).ok_or_else(|| no_policy(arn))?;
        Ok(json_body(&json!({"Policy": policy.document, "RevisionId": policy.revision_id})))
    }

    /// DeleteResourcePolicy. Gives the revision that is gone; where there was no policy, nothing.
    pub(in crate::local) async fn delete_resource_policy(&self, body: &Json<'_>) -> Handled {
        let (arn, table) = resource(body, &self.catalog)?;
        let expected = expected_revision(body);
        let (arn, name) = (arn.to_owned(), table.to_owned());
        let (answer, revision) = std::sync::mpsc::channel();
        self.change_settings(table, unknown_table(table), move |settings| {
            check_resource(&arn, settings)?;
            check_revision(expected.as_deref(), settings.policies.get(&arn), &arn, &name)?;
            if let Some(policy) = settings.policies.remove(&arn) {
                let _ = answer.send(policy.revision_id);
            }
            Ok(())
        })
        .await?;
        let answer =
            revision.try_recv().map_or_else(|_| json!({}), |revision| json!({"RevisionId": revision}));
        Ok(json_body(&answer))
    }
}

/// The policy that a table is made with.
///
/// # Errors
/// The service's own when it is none.
pub(super) fn new_policies(
    body: &Json<'_>,
    names: &Names,
    now: f64,
) -> Result<BTreeMap<String, Policy>, ApiError> {
    let Some(policy) = body.get("ResourcePolicy").and_then(Json::text) else { return Ok(BTreeMap::new()) };
    let policy =
        Policy { document: document(policy)?, revision_id: next_revision(None, (now * 1000.0) as u64) };
    Ok(BTreeMap::from([(names.table_arn(names.table_name(body)), policy)]))
}

fn document(text: &str) -> Result<String, ApiError> {
    match serde_json::from_str::<serde_json::Value>(text) {
        Ok(serde_json::Value::Object(_)) => Ok(text.to_owned()),
        Ok(_) | Err(_) => Err(invalid("Invalid policy document")),
    }
}

fn expected_revision(body: &Json<'_>) -> Option<String> {
    body.get("ExpectedRevisionId").and_then(Json::text).map(str::to_owned)
}

/// Revisions are numbers that rise.
fn next_revision(former: Option<&Policy>, now_ms: u64) -> String {
    let former = former.and_then(|policy| policy.revision_id.parse::<u64>().ok());
    former.map_or(now_ms, |former| now_ms.max(former + 1)).to_string()
}

/// The ARN that a request names, and the table in it.
fn resource<'a>(body: &'a Json<'_>, catalog: &Catalog) -> Result<(&'a str, &'a str), ApiError> {
    let arn = text(body, "ResourceArn");
    if !arn.starts_with("arn:") {
        return Err(invalid(format!("ARNs must start with 'arn:': {arn}")));
    }
    let resource = arn.strip_prefix("arn:aws:dynamodb:").and_then(|rest| rest.split_once(":table/"));
    let Some((_, resource)) = resource.filter(|_| catalog.has_region_of(arn)) else {
        return Err(invalid(format!("Invalid resource Arn: {arn}")));
    };
    match resource.split('/').nth(1) {
        None | Some("stream") => Ok((arn, catalog.name_of(arn))),
        Some("index") => {
            let owner = arn.split_once(":table/").map_or(arn, |(owner, _)| owner);
            Err(invalid(format!(
                "Invalid resource arn provided, only table or stream is accepted. Provided resource arn: {owner}"
            )))
        }
        Some(_) => Err(invalid(format!("Provided Arn is not a DynamoDB resource arn: {arn}"))),
    }
}

/// A stream that is named must be the table's latest.
fn check_resource(arn: &str, table: &Definition) -> Result<(), ApiError> {
    let Some((_, label)) = arn.split_once("/stream/") else { return Ok(()) };
    if table.stream.as_ref().is_some_and(|stream| stream.label == label) {
        return Ok(());
    }
    Err(ApiError::new(
        ErrorCode::ResourceNotFound,
        format!("Requested resource not found: Stream: {label} not found for Table: {}", table.table_name),
    ))
}

fn check_revision(
    expected: Option<&str>,
    current: Option<&Policy>,
    arn: &str,
    table: &str,
) -> Result<(), ApiError> {
    let words = match (expected, current) {
        (None, _) | (Some(NO_POLICY), None) => return Ok(()),
        (Some(expected), Some(current)) if current.revision_id == expected => return Ok(()),
        (Some(NO_POLICY), Some(current)) => format!(
            "Requested policy update expecting none to be present for table {table}, but a policy exists with revision \
             id {}.",
            current.revision_id
        ),
        (Some(expected), Some(current)) => format!(
            "Requested update for policy with revision id {expected}, but the policy associated to target table \
             {table} has revision id {}.",
            current.revision_id
        ),
        (Some(_), None) => return Err(no_policy(arn)),
    };
    Err(no_policy(&words))
}

fn no_policy(what: &str) -> ApiError {
    ApiError::new(
        ErrorCode::PolicyNotFound,
        format!("Resource-based policy not found for the provided ResourceArn: {what}"),
    )
}

fn json_body(answer: &serde_json::Value) -> Vec<u8> {
    serde_json::to_vec(answer).expect("an answer is always JSON")
}

#[cfg(test)]
mod tests {
    use crate::local::tests::backend::Backend;
    use crate::model::Operation::{DeleteResourcePolicy, GetResourcePolicy, PutResourcePolicy};

    use super::*;

    const ARN: &str = "arn:aws:dynamodb:us-east-1:000000000000:table/hash";

    #[tokio::test]
    async fn a_policy_is_kept_told_and_removed_by_its_revision() {
        let backend = Backend::with_tables().await;
        let named = json!({"ResourceArn": ARN});
        let put = |policy: &str, expected: &str| json!({"ResourceArn": ARN, "Policy": policy, "ExpectedRevisionId": expected});
        let refusal = backend.send(GetResourcePolicy, named.clone()).await.unwrap_err();
        assert_eq!(refusal.code, "PolicyNotFoundException");
        assert!(refusal.message.ends_with(ARN));
        assert_eq!(backend.ok(DeleteResourcePolicy, named.clone()).await, json!({}));
        let first = backend.ok(PutResourcePolicy, put("{}", NO_POLICY)).await;
        let same = json!({"ResourceArn": ARN, "Policy": "{}"});
        assert_eq!(backend.ok(PutResourcePolicy, same).await, first);
        let refusal = backend.send(PutResourcePolicy, put("{ }", NO_POLICY)).await.unwrap_err();
        assert!(refusal.message.contains("expecting none to be present for table hash"));
        let second = backend.ok(PutResourcePolicy, put("{ }", first["RevisionId"].as_str().unwrap())).await;
        assert_ne!(second, first);
        let got = backend.ok(GetResourcePolicy, named.clone()).await;
        assert_eq!((&got["Policy"], &got["RevisionId"]), (&json!("{ }"), &second["RevisionId"]));
        assert_eq!(backend.ok(DeleteResourcePolicy, named.clone()).await, second);
        assert!(backend.send(GetResourcePolicy, named).await.is_err());
    }

    #[tokio::test]
    async fn what_has_no_policy_is_refused_in_the_service_s_words() {
        let backend = Backend::with_tables().await;
        let get = async |arn: &str| {
            backend.send(GetResourcePolicy, json!({"ResourceArn": arn})).await.unwrap_err().message
        };
        assert!(get("hash").await.ends_with("ARNs must start with 'arn:': hash"));
        assert!(get(&format!("{ARN}/index/x")).await.contains("only table or stream is accepted"));
        assert!(get(&format!("{ARN}/backup/x")).await.contains("is not a DynamoDB resource arn"));
        assert!(get(&format!("{ARN}/stream/x")).await.ends_with("Stream: x not found for Table: hash"));
        assert!(get(&format!("{ARN}es")).await.ends_with("Table: hashes not found"));
    }
}
