//! Tags of tables: TagResource, UntagResource, ListTagsOfResource.
//!
//! These operations check their resource's ARN in their own way and order, unlike all others.

use std::sync::Arc;

use crate::local::catalog::Catalog;
use crate::local::table_record::Definition;
use crate::local::{Handled, Local};
use crate::model::arn::Arn;
use crate::model::{ApiError, ErrorCode};
use crate::wire::Json;

use super::{invalid, tag_rules};

/// How long a table's name may be in an ARN at least.
const NAME_CHARACTERS_MIN: usize = 3;

impl Local {
    /// TagResource. A success has no body.
    pub(in crate::local) async fn tag_resource(&self, body: &Json<'_>) -> Handled {
        let arn = resource_arn(body)?;
        let given = body.get("Tags").and_then(Json::elements).ok_or_else(|| missing("tags"))?;
        let table = table_of(arn, &self.catalog)?;
        if given.is_empty() {
            return Err(ApiError::validation("Atleast one Tag needs to be provided as Input.").into());
        }
        let tags = tag_rules::tags(body)?;
        let unknown = unknown_resource(arn);
        self.change_settings(table, unknown, move |settings| {
            let mut merged = settings.tags.clone();
            merged.extend(tags);
            tag_rules::check_count(merged.len())?;
            settings.tags = merged;
            Ok(())
        })
        .await?;
        Ok(Vec::new())
    }

    /// UntagResource. A success has no body.
    pub(in crate::local) async fn untag_resource(&self, body: &Json<'_>) -> Handled {
        let arn = resource_arn(body)?;
        let given = body.get("TagKeys").and_then(Json::elements).ok_or_else(|| missing("tagKeys"))?;
        let table = table_of(arn, &self.catalog)?;
        if given.is_empty() {
            return Err(ApiError::validation("Atleast one Tag Key needs to be provided as Input.").into());
        }
        let keys = tag_rules::keys(given)?;
        let unknown = ApiError::new(ErrorCode::ResourceNotFound, "Requested resource not found");
        self.change_settings(table, unknown, move |settings| {
            settings.tags.retain(|key, _| !keys.contains(key));
            Ok(())
        })
        .await?;
        Ok(Vec::new())
    }

    /// ListTagsOfResource. There are never so many that they would need a second page.
    pub(in crate::local) fn list_tags_of_resource(&self, body: &Json<'_>) -> Handled {
        let arn = resource_arn(body)?;
        let table = self.catalog.find(table_of(arn, &self.catalog)?).ok_or_else(|| unknown_resource(arn))?;
        let tags = table.definition.tags.iter();
        let tags = tags.map(|(key, value)| serde_json::json!({"Key": key, "Value": value}));
        let answer = serde_json::json!({ "Tags": tags.collect::<Vec<_>>() });
        Ok(serde_json::to_vec(&answer).expect("tags are always JSON"))
    }

    /// Changes what a table's definition says, in one job. `unknown` is the error when there is no such table.
    pub(super) async fn change_settings(
        &self,
        table: &str,
        unknown: ApiError,
        change: impl FnOnce(&mut Definition) -> Result<(), ApiError> + Send + 'static,
    ) -> Result<(), crate::local::LocalError> {
        let catalog = Arc::clone(&self.catalog);
        let name = table.to_owned();
        self.write(move |writes| {
            if let Err(error) = catalog.progress.refuse_change(catalog.name_of(&name)) {
                return Ok(Err(error));
            }
            let Some(table) = catalog.find(&name) else { return Ok(Err(unknown)) };
            let mut settings = table.definition.clone();
            if let Err(error) = change(&mut settings) {
                return Ok(Err(error));
            }
            catalog.put(writes, settings)?;
            Ok(Ok(()))
        })
        .await
    }
}

/// The ARN that a request names.
///
/// # Errors
/// `ValidationException` for text that is no ARN, in the service's words (recorded 2026-10).
fn resource_arn<'a>(body: &'a Json<'_>) -> Result<&'a str, ApiError> {
    let arn = body.get("ResourceArn").and_then(Json::text);
    let arn = arn.ok_or_else(|| ApiError::validation("Invalid TableArn"))?;
    // `arn`, partition, service, region, account, resource: the first part that lacks its colon is reported.
    let fault = match (arn.starts_with("arn:"), arn.matches(':').count()) {
        (false, _) => "ARNs must start with 'arn:'",
        (true, 1) => "Second colon partition not found",
        (true, 2) => "Third colon vendor not found",
        (true, 3) => "Fourth colon (region/namespace delimiter) not found",
        (true, 4) => "Fifth colon (namespace/relative-id delimiter) not found",
        (true, _) => return Ok(arn),
    };
    Err(invalid(format!("{fault}: {arn}")))
}

/// The table in a resource's ARN.
///
/// # Errors
/// `ValidationException` for an ARN of anything but a table of these regions.
fn table_of<'a>(arn: &'a str, catalog: &Catalog) -> Result<&'a str, ApiError> {
    let parts = Arn::parse(arn);
    let resource = parts.and_then(|parts| parts.resource.strip_prefix("table/"));
    match resource.and_then(|resource| resource.split('/').nth(1)) {
        _ if parts.is_none_or(|parts| parts.service != "dynamodb") => {
            return Err(invalid(format!("Provided Arn is not a DynamoDB resource arn: {arn}")));
        }
        Some("index") => {
            return Err(invalid(format!(
                "Invalid resource arn provided, only table or stream is accepted. Provided resource arn: {arn}"
            )));
        }
        Some(_) | None => {}
    }
    let table = parts.filter(|parts| parts.partition == "aws").and_then(|parts| {
        let Arn { region, account, resource, .. } = parts;
        let is_account = !account.is_empty() && account.bytes().all(|byte| byte.is_ascii_digit());
        let name = resource.strip_prefix("table/")?;
        let is_name = name.len() >= NAME_CHARACTERS_MIN && !name.contains('/');
        let is_here = !region.is_empty() && catalog.has_region_of(arn);
        (is_here && is_account && is_name).then_some(name)
    });
    table.ok_or_else(|| {
        ApiError::validation(format!("Invalid TableArn: Invalid ResourceArn provided as input {arn}"))
    })
}

fn missing(member: &str) -> ApiError {
    ApiError::validation(format!(
        "1 validation error detected: Value null at '{member}' failed to satisfy constraint: Member must not be null"
    ))
}

/// The service writes the word so.
fn unknown_resource(arn: &str) -> ApiError {
    ApiError::new(
        ErrorCode::ResourceNotFound,
        format!("Requested resource not found: ResourcArn: {arn} not found"),
    )
}
