//! Which regions ARNs in requests may name: any, or the one whose tables these are.

use crate::model::ApiError;
use crate::model::arn::table_name;
use crate::wire::Json;

/// Which regions an ARN may name to mean what is here.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum ArnRegions {
    /// Any, for clients that were set up for another region than the backend.
    #[default]
    Any,
    /// This one. What is named in another is not here.
    Only(String),
}

impl ArnRegions {
    /// The table's name inside an ARN `arn:aws:dynamodb:REGION:ACCOUNT:table/NAME` of these regions; anything else is a name
    /// itself.
    pub(super) fn name_of<'a>(&self, name: &'a str) -> &'a str {
        if !self.includes(name) {
            return name;
        }
        table_name(name)
    }

    /// True for an ARN of these regions.
    pub(super) fn includes(&self, arn: &str) -> bool {
        if !arn.starts_with("arn:") {
            return false;
        }
        match self {
            Self::Any => true,
            Self::Only(region) => arn.split(':').nth(3) == Some(region.as_str()),
        }
    }

    /// Refuses a request that names a table, or one of several, by an ARN of another region.
    ///
    /// # Errors
    /// The service's own.
    pub(super) fn check(&self, body: &Json<'_>) -> Result<(), ApiError> {
        if *self == Self::Any {
            return Ok(());
        }
        let named = body.get("TableName").and_then(Json::text);
        let tables = body.get("RequestItems").and_then(Json::members).into_iter().flatten();
        let parts = body.get("TransactItems").and_then(Json::elements).into_iter().flatten();
        let actions = parts.filter_map(Json::members).flatten();
        let named = named
            .into_iter()
            .chain(tables.map(|(name, _)| &**name))
            .chain(actions.filter_map(|(_, action)| action.get("TableName")?.text()));
        match named.into_iter().find(|name| name.starts_with("arn:") && !self.includes(name)) {
            None => Ok(()),
            Some(arn) => Err(ApiError::validation(format!("Invalid AWS region in '{arn}'")).detected()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_of_another_region_is_refused_wherever_a_request_names_it() {
        let here = ArnRegions::Only("eu-west-1".to_owned());
        let arn = "arn:aws:dynamodb:us-east-1:000000000000:table/Orders";
        for body in [
            r#"{"TableName":"NAMED"}"#,
            r#"{"RequestItems":{"Mine":{"Keys":[]},"NAMED":{"Keys":[]}}}"#,
            r#"{"TransactItems":[{"Get":{"TableName":"Mine"}},{"Get":{"TableName":"NAMED"}}]}"#,
        ] {
            let check = |regions: &ArnRegions, name: &str| {
                let body = body.replace("NAMED", name);
                let checked = regions.check(&Json::parse(body.as_bytes()).unwrap());
                checked.map_err(|error| error.to_string())
            };
            let words =
                format!("ValidationException: 1 validation error detected: Invalid AWS region in '{arn}'");
            assert_eq!(check(&here, arn), Err(words), "{body}");
            for name in ["Orders", "arn:aws:dynamodb:eu-west-1:000000000000:table/Orders"] {
                assert_eq!(check(&here, name), Ok(()), "{body}");
            }
            assert_eq!(check(&ArnRegions::Any, arn), Ok(()), "{body}");
        }
    }

    #[test]
    fn an_arn_of_another_region_is_no_table_s_name() {
        let here = ArnRegions::Only("eu-west-1".to_owned());
        let own = "arn:aws:dynamodb:eu-west-1:0:table/a/index/b";
        let other = "arn:aws:dynamodb:us-east-1:0:table/a/index/b";
        assert_eq!([own, other, "a"].map(|name| here.name_of(name)), ["a", other, "a"]);
        assert_eq!(ArnRegions::Any.name_of(other), "a");
    }
}
