//! The attribute by which a table's items expire: UpdateTimeToLive, DescribeTimeToLive.
//!
//! The setting is kept and told here; [`crate::local::expiry`] acts on it.

use serde_json::json;

use crate::local::members::text;
use crate::local::table_record::Definition;
use crate::local::{Handled, Local};
use crate::model::ApiError;
use crate::wire::Json;

use super::{Names, unknown_table};

impl Local {
    /// UpdateTimeToLive.
    pub(in crate::local) async fn update_time_to_live(&self, body: &Json<'_>) -> Handled {
        let names = Names::new(&self.settings);
        let name = names.table_name(body);
        let specification = body.get("TimeToLiveSpecification");
        let enabled = specification.and_then(|specification| specification.get("Enabled"));
        let enabled = enabled.and_then(Json::boolean).unwrap_or(false);
        let attribute = specification.map_or("", |specification| text(specification, "AttributeName"));
        let answer = json!({
            "TimeToLiveSpecification": {"AttributeName": attribute, "Enabled": enabled},
        });
        let attribute = attribute.to_owned();
        self.change_settings(name, unknown_table(name), move |settings| change(settings, enabled, attribute))
            .await?;
        Ok(serde_json::to_vec(&answer).expect("a setting is always JSON"))
    }

    /// DescribeTimeToLive.
    pub(in crate::local) fn describe_time_to_live(&self, body: &Json<'_>) -> Handled {
        let names = Names::new(&self.settings);
        let table = self.catalog.table_itself(names.table_name(body))?;
        let description = match &table.definition.time_to_live_attribute {
            Some(attribute) => json!({"AttributeName": attribute, "TimeToLiveStatus": "ENABLED"}),
            None => json!({"TimeToLiveStatus": "DISABLED"}),
        };
        let answer = json!({ "TimeToLiveDescription": description });
        Ok(serde_json::to_vec(&answer).expect("a setting is always JSON"))
    }
}

fn change(settings: &mut Definition, enabled: bool, attribute: String) -> Result<(), ApiError> {
    match &settings.time_to_live_attribute {
        Some(current) if *current != attribute => Err(ApiError::validation(format!(
            "TimeToLive is active on a different AttributeName: current AttributeName is {current}"
        ))),
        Some(_) if enabled => Err(ApiError::validation("TimeToLive is already enabled")),
        None if !enabled => Err(ApiError::validation("TimeToLive is already disabled")),
        Some(_) | None => {
            settings.time_to_live_attribute = enabled.then_some(attribute);
            Ok(())
        }
    }
}
