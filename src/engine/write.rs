//! Writes: through to the upstream, once, in a task of their own; the cache is right before the answer leaves.
//!
//! A plan says which items a request may change and what will be known of them afterwards. Keys that cannot be read widen
//! the plan to the whole table. Every verdict of the upstream bumps what the plan names: a refusal may be the second attempt
//! of a write that has happened. An unknown outcome holds the keys, since the write may still land.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;

use crate::cache::{FillMode, Image, ReadPolicy};
use crate::model::{ApiError, ErrorCode, Operation};
use crate::upstream::{Answer, Request, UpstreamError};
use crate::wire::Json;
use crate::wire::attribute::{item_from_json, write_item};
use crate::wire::json::write_json;
use crate::wire::request::{item_key_bytes, key_bytes};

use super::tables::KnownTable;
use super::voids::VoidScope;
use super::{Engine, Served, Source, failed};

/// The policy of a write whose after-image is not known.
const NOT_KEPT: ReadPolicy = ReadPolicy {
    ttl: Some(Duration::ZERO),
    negative_ttl: Some(Duration::ZERO),
    fill: FillMode::Adaptive,
    item_bytes_max: 0,
};

/// A write that is ready to be sent.
pub(super) struct WritePlan {
    request: Request,
    /// The keys that it may change.
    keys: Vec<(Arc<KnownTable>, Vec<u8>)>,
    /// What it may change besides, because a key could not be read.
    wide: VoidScope,
    /// What the item will be, for a write of a single key.
    after: AfterImage,
    /// The table, when it is exactly one.
    table: Option<Arc<str>>,
}

/// What is known of the item after a write of a single key.
enum AfterImage {
    /// Nothing exact.
    Unknown,
    /// This, whatever the answer says.
    Known(Image),
    /// The answer's `Attributes` are the whole new item.
    Answered(NewAttributes),
}

/// Whether the client asked for the new attributes too.
#[derive(Clone, Copy, PartialEq, Eq)]
enum NewAttributes {
    /// It did: they stay in the answer.
    Asked,
    /// Only the cache asked: they are taken out again.
    Hidden,
}

impl Engine {
    /// Performs a write of items by key.
    pub(super) async fn write(self: &Arc<Self>, request: Request) -> Served {
        let plan = match self.plan_write(request).await {
            Ok(plan) => plan,
            Err(error) => return Served::plain(error.into(), Source::Write),
        };
        let engine = Arc::clone(self);
        // A task of its own: a client that leaves must not stop a write between upstream and cache.
        match self.tasks.spawn(engine.perform(plan)).await {
            Ok(served) => served,
            Err(_) => Served::plain(failed("The write's task ended early."), Source::Write),
        }
    }

    async fn plan_write(&self, request: Request) -> Result<WritePlan, ApiError> {
        let bytes = request.body.clone();
        // Both sides must read a write alike, so one that we cannot read strictly goes no further.
        let body = Json::parse(&bytes).map_err(|_| ApiError {
            code: ErrorCode::Serialization,
            message: None,
            members: None,
        })?;
        match request.operation {
            Operation::PutItem | Operation::UpdateItem | Operation::DeleteItem => {
                self.plan_single(request, &body).await
            }
            _ => self.plan_many(request, &body).await,
        }
    }

    async fn plan_single(&self, request: Request, body: &Json<'_>) -> Result<WritePlan, ApiError> {
        let name = body.get("TableName").and_then(Json::text);
        let Some(table) = self.learn(name.unwrap_or_default()).await else {
            let wide = name.map_or(VoidScope::Nothing, VoidScope::named);
            return Ok(WritePlan {
                request,
                keys: Vec::new(),
                wide,
                after: AfterImage::Unknown,
                table: None,
            });
        };
        let key = match request.operation {
            Operation::PutItem => body.get("Item").and_then(|item| item_key_bytes(&table.schema.key, item)),
            _ => body.get("Key").and_then(|key| key_bytes(&table.schema.key, key)),
        };
        let label = Some(Arc::clone(&table.name));
        let Some(key) = key else {
            let wide = VoidScope::named(&table.name);
            return Ok(WritePlan {
                request,
                keys: Vec::new(),
                wide,
                after: AfterImage::Unknown,
                table: label,
            });
        };
        let (request, after) = if table.policy.is_some() {
            plan_after_image(request, body)
        } else {
            (request, AfterImage::Unknown)
        };
        Ok(WritePlan { request, keys: vec![(table, key)], wide: VoidScope::Nothing, after, table: label })
    }

    /// BatchWriteItem and TransactWriteItems.
    async fn plan_many(&self, request: Request, body: &Json<'_>) -> Result<WritePlan, ApiError> {
        let mut plan = WritePlan {
            request,
            keys: Vec::new(),
            wide: VoidScope::Nothing,
            after: AfterImage::Unknown,
            table: None,
        };
        for touched in touched_items(body) {
            let Some(table) = self.learn(touched.table_name).await else {
                plan.wide.widen(VoidScope::named(touched.table_name));
                continue;
            };
            match touched.key_bytes(&table) {
                Some(key) => plan.keys.push((table, key)),
                None => plan.wide.widen(VoidScope::named(&table.name)),
            }
        }
        let mut names = plan.keys.iter().map(|(table, _)| &table.name);
        if let Some(first) = names.next()
            && names.all(|name| name == first)
        {
            plan.table = Some(Arc::clone(first));
        }
        Ok(plan)
    }

    /// Sends the write once and brings the cache to rights, whatever comes back.
    async fn perform(self: Arc<Self>, plan: WritePlan) -> Served {
        let addresses: Vec<_> = plan.keys.iter().map(|(table, key)| table.cached.address(key)).collect();
        let guard = self.cache.begin_write(&addresses, Instant::now());
        let wide = self.begin_void(plan.wide);
        let outcome = self.upstream.call(&plan.request).await;
        let now = Instant::now();
        let answer = match outcome {
            Ok(answer) if answer.is_success() => {
                wide.settle();
                match finish_success(answer, plan.after) {
                    Ok((answer, image)) => {
                        let policy = plan.keys.first().and_then(|(table, _)| table.policy.as_ref());
                        guard.applied(image.as_ref(), policy.unwrap_or(&NOT_KEPT), now);
                        answer
                    }
                    Err(Undecodable) => {
                        guard.unknown(now);
                        failed("The upstream's answer to a write cannot be read.")
                    }
                }
            }
            Ok(answer) if answer.status < 500 => {
                match refusal(&answer) {
                    Refusal::BeforeExecution => wide.spare(),
                    Refusal::Other => wide.settle(),
                }
                self.heed_refusal(&answer, plan.table.as_deref());
                guard.refused(now);
                answer
            }
            // Dropping the wide guard without a word is its unknown outcome.
            Ok(answer) => {
                guard.unknown(now);
                answer
            }
            Err(UpstreamError::NotSent(reason)) => {
                wide.spare();
                guard.refused(now);
                ApiError::new(ErrorCode::ServiceUnavailable, reason).into()
            }
            Err(UpstreamError::OutcomeUnknown(reason)) => {
                guard.unknown(now);
                failed(reason)
            }
        };
        Served { table: plan.table, ..Served::plain(answer, Source::Write) }
    }
}

/// How a refused write was refused.
enum Refusal {
    /// By validation: nothing was executed, whatever keys we could not read.
    BeforeExecution,
    /// Otherwise: an earlier attempt of the same write may have been executed.
    Other,
}

fn refusal(answer: &Answer) -> Refusal {
    match super::error_type(answer).as_deref() {
        Some("ValidationException" | "SerializationException") => Refusal::BeforeExecution,
        _ => Refusal::Other,
    }
}

/// One item that a batch or a transaction touches.
struct Touched<'a> {
    table_name: &'a str,
    /// An `Item` that holds its key, or a `Key` that is one.
    attributes: Option<(&'a Json<'a>, IsKey)>,
}

#[derive(Clone, Copy)]
enum IsKey {
    Exactly,
    Within,
}

impl Touched<'_> {
    fn key_bytes(&self, table: &KnownTable) -> Option<Vec<u8>> {
        match self.attributes? {
            (key, IsKey::Exactly) => key_bytes(&table.schema.key, key),
            (item, IsKey::Within) => item_key_bytes(&table.schema.key, item),
        }
    }
}

/// Every item that a BatchWriteItem or TransactWriteItems names; one that is not of the known form has no attributes.
fn touched_items<'a>(body: &'a Json<'a>) -> Vec<Touched<'a>> {
    let mut touched = Vec::new();
    for (table_name, requests) in body.get("RequestItems").and_then(Json::members).unwrap_or_default() {
        for request in requests.elements().unwrap_or_default() {
            let item =
                request.get("PutRequest").and_then(|put| put.get("Item")).map(|item| (item, IsKey::Within));
            let key = request
                .get("DeleteRequest")
                .and_then(|delete| delete.get("Key"))
                .map(|key| (key, IsKey::Exactly));
            touched.push(Touched { table_name, attributes: item.xor(key) });
        }
    }
    for action in body.get("TransactItems").and_then(Json::elements).unwrap_or_default() {
        for (kind, request) in action.members().unwrap_or_default() {
            let Some(table_name) = request.get("TableName").and_then(Json::text) else { continue };
            let attributes = match &**kind {
                "Put" => request.get("Item").map(|item| (item, IsKey::Within)),
                _ => request.get("Key").map(|key| (key, IsKey::Exactly)),
            };
            touched.push(Touched { table_name, attributes });
        }
    }
    touched
}

/// Decides what will be known after a write of one key, and asks the upstream for it where that costs nothing.
fn plan_after_image(request: Request, body: &Json<'_>) -> (Request, AfterImage) {
    let after = match request.operation {
        Operation::PutItem => match body.get("Item").map(item_from_json) {
            Some(Ok(item)) => {
                let mut json = Vec::with_capacity(request.body.len());
                write_item(&item, &mut json);
                AfterImage::Known(Image::present(&json))
            }
            _ => AfterImage::Unknown,
        },
        Operation::DeleteItem => AfterImage::Known(Image::absent()),
        _ => match body.get("ReturnValues").map(Json::text) {
            Some(Some("ALL_NEW")) => AfterImage::Answered(NewAttributes::Asked),
            None | Some(Some("NONE")) => AfterImage::Answered(NewAttributes::Hidden),
            _ => AfterImage::Unknown,
        },
    };
    let request = match after {
        AfterImage::Answered(NewAttributes::Hidden) => {
            Request::new(request.operation, with_member(body, "ReturnValues", Json::String("ALL_NEW".into())))
        }
        _ => request,
    };
    (request, after)
}

/// The object with one member set, as JSON.
pub(super) fn with_member(body: &Json<'_>, name: &str, value: Json<'_>) -> Vec<u8> {
    let others = body.members().unwrap_or_default().iter().filter(|(member, _)| member != name);
    let mut members: Vec<_> = others.cloned().collect();
    members.push((name.to_owned().into(), value));
    let mut out = Vec::with_capacity(1024);
    write_json(&Json::Object(members), &mut out);
    out
}

/// A success whose body is not what the operation answers.
struct Undecodable;

/// The client's answer to a successful write, and the image to install where it is exactly known.
fn finish_success(answer: Answer, after: AfterImage) -> Result<(Answer, Option<Image>), Undecodable> {
    let (kept, hide) = match after {
        AfterImage::Unknown => return Ok((answer, None)),
        AfterImage::Known(image) => return Ok((answer, Some(image))),
        AfterImage::Answered(NewAttributes::Asked) => (answer.body.clone(), false),
        AfterImage::Answered(NewAttributes::Hidden) => (answer.body.clone(), true),
    };
    let body = Json::parse(&kept).map_err(|_| Undecodable)?;
    let members = body.members().ok_or(Undecodable)?;
    let image = body.get("Attributes").and_then(|attributes| item_from_json(attributes).ok()).map(|item| {
        let mut json = Vec::with_capacity(kept.len());
        write_item(&item, &mut json);
        Image::present(&json)
    });
    if !hide {
        return Ok((answer, image));
    }
    let shown: Vec<_> = members.iter().filter(|(name, _)| name != "Attributes").cloned().collect();
    let mut out = Vec::with_capacity(64);
    write_json(&Json::Object(shown), &mut out);
    Ok((Answer { body: Bytes::from(out), ..answer }, image))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn attributes_that_only_the_cache_asked_for_are_taken_out() {
        let answer = Answer::ok(
            r#"{"Attributes":{"id":{"S":"a"},"n":{"N":"1"}},"ConsumedCapacity":{"CapacityUnits":1.0}}"#,
        );
        let finished = finish_success(answer.clone(), AfterImage::Answered(NewAttributes::Hidden));
        let (shown, image) = finished.ok().unwrap();
        assert_eq!(shown.body, r#"{"ConsumedCapacity":{"CapacityUnits":1.0}}"#);
        assert_eq!(image.unwrap().body(), r#"{"Item":{"id":{"S":"a"},"n":{"N":"1"}}}"#);
        let (shown, _) =
            finish_success(answer.clone(), AfterImage::Answered(NewAttributes::Asked)).ok().unwrap();
        assert_eq!(shown, answer);
    }

    #[test]
    fn every_item_of_a_batch_and_of_a_transaction_is_touched() {
        let text = r#"{"RequestItems":{"t":[{"PutRequest":{"Item":{"id":{"S":"a"}}}},{"DeleteRequest":{"Key":{"id":{"S":"b"}}}},{"x":1}]},
            "TransactItems":[{"Put":{"TableName":"u","Item":{}}},{"ConditionCheck":{"TableName":"v","Key":{}}}]}"#;
        let body = Json::parse(text.as_bytes()).unwrap();
        let touched = touched_items(&body);
        let names: Vec<_> = touched.iter().map(|item| item.table_name).collect();
        assert_eq!(names, ["t", "t", "t", "u", "v"]);
        let readable: Vec<_> = touched.iter().map(|item| item.attributes.is_some()).collect();
        assert_eq!(readable, [true, true, false, true, true]);
    }
}
