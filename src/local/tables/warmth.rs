//! What a table or a global index takes at once without warming up: `WarmThroughput`. It grows and never shrinks.

use crate::local::table_record::{BillingMode, Definition, Throughput, WarmThroughput};
use crate::model::ApiError;
use crate::wire::Json;

use super::invalid;

/// What everything that is paid by request takes from its beginning: reads and writes per second.
const ON_DEMAND: Warmth = Warmth { read: 12_000, write: 4_000 };
const ON_DEMAND_GUIDE: &str = "https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/\
                               on-demand-capacity-mode.html#on-demand-capacity-mode-initial";

/// Units per second.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Warmth {
    pub(super) read: i64,
    pub(super) write: i64,
}

impl Warmth {
    /// What a table or an index with that throughput takes at once: what it was given or has had, and no less than its
    /// billing mode gives.
    pub(super) fn of(
        billing_mode: BillingMode,
        throughput: &Throughput,
        kept: Option<&WarmThroughput>,
    ) -> Self {
        let least = Self::least(billing_mode, throughput);
        let units = |unit: fn(&WarmThroughput) -> Option<i64>| kept.and_then(unit).unwrap_or_default();
        least.max(Self {
            read: units(|kept| kept.read_units_per_second),
            write: units(|kept| kept.write_units_per_second),
        })
    }

    fn least(billing_mode: BillingMode, throughput: &Throughput) -> Self {
        match billing_mode {
            BillingMode::PayPerRequest => ON_DEMAND,
            BillingMode::Provisioned => {
                Self { read: throughput.read_capacity_units, write: throughput.write_capacity_units }
            }
        }
    }

    fn max(self, other: Self) -> Self {
        Self { read: self.read.max(other.read), write: self.write.max(other.write) }
    }

    fn kept(self) -> WarmThroughput {
        WarmThroughput { read_units_per_second: Some(self.read), write_units_per_second: Some(self.write) }
    }
}

/// What a request asks for.
pub(super) fn asked(object: &Json<'_>) -> Option<WarmThroughput> {
    let warm = object.get("WarmThroughput")?;
    let units = |member| warm.get(member).and_then(Json::integer);
    Some(WarmThroughput {
        read_units_per_second: units("ReadUnitsPerSecond"),
        write_units_per_second: units("WriteUnitsPerSecond"),
    })
}

/// What an index update asks for.
///
/// # Errors
/// `ValidationException` when it asks for nothing.
pub(super) fn asked_of_index(index: &Json<'_>, name: &str) -> Result<Option<WarmThroughput>, ApiError> {
    let asked = asked(index);
    if asked == Some(WarmThroughput::default()) {
        return Err(invalid(format!(
            "WarmThroughput must have at least one of ReadUnitsPerSecond or WriteUnitsPerSecond specified for index: \
             {name}"
        )));
    }
    Ok(asked)
}

/// Checks what a new table, or its new index of that name, is to take at once.
///
/// # Errors
/// `ValidationException` for less than it takes anyway.
pub(super) fn check_new(
    asked: Option<&WarmThroughput>,
    billing_mode: BillingMode,
    throughput: &Throughput,
    index: Option<&str>,
) -> Result<(), ApiError> {
    let least = Warmth::least(billing_mode, throughput);
    check(asked, least, index, |unit| match billing_mode {
        BillingMode::PayPerRequest => {
            format!("initial throughput for OnDemand. See: {ON_DEMAND_GUIDE}")
        }
        BillingMode::Provisioned => format!("{unit}CapacityUnits of ProvisionedThroughput"),
    })
}

/// Checks what a table, or its index of that name, that takes `now` at once is to take.
///
/// # Errors
/// `ValidationException` for less than it takes.
pub(super) fn check_change(
    asked: Option<&WarmThroughput>,
    now: Warmth,
    index: Option<&str>,
) -> Result<(), ApiError> {
    check(asked, now, index, |_| {
        "current WarmThroughput, decreasing WarmThroughput is not supported".to_owned()
    })
}

fn check(
    asked: Option<&WarmThroughput>,
    least: Warmth,
    index: Option<&str>,
    than: impl Fn(&str) -> String,
) -> Result<(), ApiError> {
    let Some(asked) = asked else { return Ok(()) };
    let units = [
        ("Read", asked.read_units_per_second, least.read),
        ("Write", asked.write_units_per_second, least.write),
    ];
    let too_low = units.into_iter().find(|(_, asked, least)| asked.is_some_and(|asked| asked < *least));
    too_low.map_or(Ok(()), |(unit, ..)| {
        let whose = index.map_or("table".to_owned(), |name| format!("index {name}"));
        Err(invalid(format!(
            "Requested {unit}UnitsPerSecond for WarmThroughput for {whose} is lower than {}",
            than(unit)
        )))
    })
}

/// Leaves a table that changes, and its global indexes, at least as warm as they were.
pub(super) fn keep(before: &Definition, after: &mut Definition) {
    let of_table = |table: &Definition| {
        Warmth::of(table.billing_mode, &table.throughput, table.warm_throughput.as_ref())
    };
    let kept = of_table(before).max(of_table(after));
    if kept != of_table(after) {
        after.warm_throughput = Some(kept.kept());
    }
    let mode = after.billing_mode;
    for index in after.indexes.iter_mut().filter(|index| index.global) {
        let Some(old) = before.indexes.iter().find(|old| old.index_name == index.index_name) else {
            continue;
        };
        let was = Warmth::of(before.billing_mode, &old.throughput, old.warm_throughput.as_ref());
        let is = Warmth::of(mode, &index.throughput, index.warm_throughput.as_ref());
        if was.max(is) != is {
            index.warm_throughput = Some(was.max(is).kept());
        }
    }
}
