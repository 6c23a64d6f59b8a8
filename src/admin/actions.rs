//! The routes that change something: their bodies, read strictly, and what the node has done.

use hyper::StatusCode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Deserializer};
use serde_json::json;
use serde_json::value::RawValue;

use super::node::{Fault, Flush, Warm};
use super::reply::{Reply, fail, json};
use super::{Admin, Asked};
use crate::model::arn::Arn;
use crate::model::schema::is_name;

/// The most segments that a table is read in at a time: each has a page in flight.
const SEGMENTS_MAX: u32 = 64;

/// The fewest and the most read units a second.
const RATES: std::ops::RangeInclusive<f64> = 1.0..=1e6;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct FlushBody {
    #[serde(default, deserialize_with = "present")]
    table: Option<String>,
    key: Option<Box<RawValue>>,
}

/// Reads a member that may be left out and may not be null: a program that lost its table's name must not flush everything.
fn present<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct WarmBody {
    table: String,
    segments: Option<u32>,
    rate: Option<f64>,
    restart: Option<bool>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct TableBody {
    table: String,
}

pub(super) async fn flush(admin: &Admin, asked: &Asked) -> Reply {
    let flushed = match read_flush(asked) {
        Ok(flush) => admin.node.flush(flush).await,
        Err(fault) => Err(fault),
    };
    match flushed {
        Ok(flushed) => json(StatusCode::OK, &json!({ "flushed": flushed })),
        Err(fault) => fail(&fault),
    }
}

pub(super) async fn reload(admin: &Admin, _: &Asked) -> Reply {
    match admin.node.reload().await {
        Ok(keys) => json(StatusCode::OK, &json!({ "reloaded": true, "needs_restart": keys })),
        Err(fault) => fail(&fault),
    }
}

pub(super) async fn warm(admin: &Admin, asked: &Asked) -> Reply {
    let begun = match read_warm(asked) {
        Ok(warm) => admin.node.warm(warm).await,
        Err(fault) => Err(fault),
    };
    match begun {
        Ok(job) => json(StatusCode::ACCEPTED, &job),
        Err(fault) => fail(&fault),
    }
}

pub(super) fn stop_warm_up(admin: &Admin, asked: &Asked) -> Reply {
    let body = read::<TableBody>(asked, "api/warm/stop", r#"{"table":"Orders"}"#);
    match body.and_then(|TableBody { table }| admin.node.stop_warm_up(&named(table)?)) {
        Ok(job) => json(StatusCode::OK, &job),
        Err(fault) => fail(&fault),
    }
}

pub(super) fn quit(admin: &Admin, _: &Asked) -> Reply {
    admin.node.quit();
    json(StatusCode::ACCEPTED, &json!({ "quitting": true }))
}

fn read_flush(asked: &Asked) -> Result<Flush, Fault> {
    const EXAMPLE: &str = r#"{}, {"table":"Orders"} or {"table":"Orders","key":{"pk":{"S":"a"}}}"#;
    if asked.body.trim_ascii().is_empty() {
        return Ok(Flush::Everything);
    }
    match read::<FlushBody>(asked, "api/flush", EXAMPLE)? {
        FlushBody { table: None, key: None } => Ok(Flush::Everything),
        FlushBody { table: None, key: Some(_) } => Err(Fault::invalid("Name the table of the key, too.")),
        FlushBody { table: Some(table), key } => Ok(match (named(table)?, key) {
            (table, None) => Flush::Table(table),
            (table, Some(key)) => Flush::Item { table, key: key.get().to_owned() },
        }),
    }
}

fn read_warm(asked: &Asked) -> Result<Warm, Fault> {
    let body = read(asked, "api/warm", r#"{"table":"Orders","segments":4,"rate":100}"#)?;
    let WarmBody { table, segments, rate, restart } = body;
    if segments.is_some_and(|segments| !(1..=SEGMENTS_MAX).contains(&segments)) {
        return Err(Fault::invalid(format!("segments must be from 1 to {SEGMENTS_MAX}.")));
    }
    if rate.is_some_and(|rate| !RATES.contains(&rate)) {
        return Err(Fault::invalid("rate must be from 1 to 1000000, in read units a second."));
    }
    Ok(Warm { table: named(table)?, segments, rate, restart: restart.unwrap_or(false) })
}

/// Checks that this may be the name or the ARN of a table.
fn named(table: String) -> Result<String, Fault> {
    let is_of_table = |arn: Arn<'_>| arn.resource.strip_prefix("table/").is_some_and(is_name);
    if is_name(&table) || Arn::parse(&table).is_some_and(is_of_table) {
        return Ok(table);
    }
    Err(Fault::invalid(format!(
        "{table:?} is no name of a table: write 3 to 255 characters of a-z, A-Z, 0-9, _, - and ., or the table's ARN."
    )))
}

/// The body of a request as its route takes it.
fn read<T: DeserializeOwned>(asked: &Asked, path: &str, example: &str) -> Result<T, Fault> {
    serde_json::from_slice(&asked.body).map_err(|error| {
        Fault::invalid(format!("The body is not what POST {path} takes, which is {example}: {error}."))
    })
}
