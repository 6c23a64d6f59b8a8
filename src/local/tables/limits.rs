//! The limits of what is paid by request: `OnDemandThroughput` of tables and global indexes.

use crate::local::table_record::{BillingMode, OnDemandThroughput};
use crate::model::ApiError;
use crate::wire::Json;

use super::invalid;

/// The greatest limit.
const UNITS_MAX: i64 = 1_000_000_000_000;

/// The limits that a request asks for of what is paid by request.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    read: Option<i64>,
    write: Option<i64>,
}

/// What a change of limits leaves, and what its answer tells.
#[derive(Debug)]
pub(super) struct ChangedLimits {
    /// `None` when there are no limits left.
    pub(super) kept: Option<OnDemandThroughput>,
    /// The same, but with the -1 of a limit that was lifted.
    pub(super) told: OnDemandThroughput,
}

impl Limits {
    /// What lifts a limit that is there.
    const LIFTED: i64 = -1;

    /// Reads `OnDemandThroughput`. One without members is as good as none; the service fails at it in an UpdateTable.
    pub(super) fn read(object: &Json<'_>) -> Option<Self> {
        let limits = object.get("OnDemandThroughput")?;
        let units = |member| limits.get(member).and_then(Json::integer);
        let limits = Self { read: units("MaxReadRequestUnits"), write: units("MaxWriteRequestUnits") };
        (limits.read.is_some() || limits.write.is_some()).then_some(limits)
    }

    /// The limits of a new table with that billing mode, or of its new index of that name.
    ///
    /// # Errors
    /// `ValidationException` for limits of something provisioned, and for values out of range.
    pub(super) fn of_new(
        self,
        billing_mode: BillingMode,
        index: Option<&str>,
    ) -> Result<OnDemandThroughput, ApiError> {
        let provisioned = match index {
            Some(_) => "table BillingMode is PROVISIONED",
            None => "table BillingMode is PROVISIONED.",
        };
        self.check(billing_mode, index, provisioned, |units| units >= 1)?;
        Ok(OnDemandThroughput { max_read_request_units: self.read, max_write_request_units: self.write })
    }

    /// The limits of a table with that billing mode, or of its index of that name, that has had those of `before`: a member
    /// that is not given keeps its value.
    ///
    /// # Errors
    /// As [`Self::of_new`]; but -1 lifts a limit, be there one or not.
    pub(super) fn of_changed(
        self,
        billing_mode: BillingMode,
        index: Option<&str>,
        before: Option<&OnDemandThroughput>,
    ) -> Result<ChangedLimits, ApiError> {
        let provisioned = match index {
            Some(_) => "table BillingMode is PROVISIONED",
            None => "the table BillingMode is PROVISIONED",
        };
        self.check(billing_mode, index, provisioned, |units| units >= 1 || units == Self::LIFTED)?;
        let before = before.cloned().unwrap_or_default();
        let told = OnDemandThroughput {
            max_read_request_units: self.read.or(before.max_read_request_units),
            max_write_request_units: self.write.or(before.max_write_request_units),
        };
        let keep = |units: Option<i64>| units.filter(|units| *units != Self::LIFTED);
        let kept = OnDemandThroughput {
            max_read_request_units: keep(told.max_read_request_units),
            max_write_request_units: keep(told.max_write_request_units),
        };
        let kept = Some(kept).filter(|limits| *limits != OnDemandThroughput::default());
        Ok(ChangedLimits { kept, told })
    }

    fn check(
        self,
        billing_mode: BillingMode,
        index: Option<&str>,
        provisioned: &str,
        is_limit: impl Fn(i64) -> bool,
    ) -> Result<(), ApiError> {
        let members = [("MaxReadRequestUnits", self.read), ("MaxWriteRequestUnits", self.write)];
        for (member, units) in members.into_iter().filter_map(|(member, units)| Some((member, units?))) {
            if billing_mode == BillingMode::Provisioned {
                let whose = index.map(|name| format!(" for index: {name}")).unwrap_or_default();
                return Err(invalid(format!(
                    "{member} for OnDemandThroughput{whose} cannot be specified when {provisioned}"
                )));
            }
            if !is_limit(units) || units > UNITS_MAX {
                let whose = index.map_or("table".to_owned(), |name| format!("index : {name}"));
                return Err(invalid(format!(
                    "Requested {member} for OnDemandThroughput for {whose} is outside of valid range"
                )));
            }
        }
        Ok(())
    }
}
