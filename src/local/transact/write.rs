//! TransactWriteItems: puts, updates, deletes and checks that all happen, or none of them.

use std::sync::Arc;
use std::time::{SystemTime, UNIX_EPOCH};

use crate::local::answer::ObjectWriter;
use crate::local::batch::one_of_each_collection;
use crate::local::capacity::CapacityReport;
use crate::local::catalog::Catalog;
use crate::local::change::{expression_condition, expression_update};
use crate::local::collections::{has_collections, wants_collection_metrics, write_collection_metrics};
use crate::local::image::NewItem;
use crate::local::members::{required, table_name};
use crate::local::refusal::Refusal;
use crate::local::store::{Reads, Writes};
use crate::local::write::{Action, ItemCheck, ItemWrite, Judged, OnFailure, condition_failed};
use crate::local::{Charged, Local, LocalError, Reply};
use crate::model::capacity::{Charge, Consumed, UnitKind, Units};
use crate::model::value::item_size_bytes;
use crate::model::{ApiError, Cause, ErrorCode};
use crate::wire::Json;
use crate::wire::attribute::{Reader, item_from_json, read_expression_value};
use crate::wire::expressions::{refuse_idle_names, too_deep_value};
use crate::wire::json::{write_array, write_map};
use crate::wire::keys::KeySource;

use super::tokens::{ClientToken, Known};
use super::{BYTES_MAX, ConsumedTables, EmptyKey, Target, cancelled, find_targets, too_large};

/// One action of a transaction, as far as the request alone can say it.
#[derive(Debug)]
pub(crate) struct TransactionAction {
    /// The request's word for the table: its name or ARN.
    pub(crate) table_name: String,
    /// What to do there.
    pub(crate) kind: ActionKind,
}

/// What an action does to its item.
#[derive(Debug)]
pub(crate) enum ActionKind {
    /// Writes it, perhaps on a condition.
    Write(ItemWrite),
    /// Removes it, on a condition that a missing item fulfils, but only while nothing else cancels the transaction: then
    /// the missing item is told as a failed condition too.
    Remove(ItemWrite),
    /// Only looks whether a condition holds.
    Check(ItemCheck),
}

/// A transaction that has been carried out, or had been before.
#[derive(Debug)]
pub(crate) struct Transacted {
    /// What was written, with the request's word for each table. Nothing when the transaction was a repeated one.
    pub(crate) written: Vec<(String, Judged)>,
    consumed: ConsumedTables,
    units: UnitKind,
}

impl Local {
    /// Carries out actions on many items. `body_bytes` is the length of the request.
    pub(in crate::local) async fn transact_write_items(&self, body: &Json<'_>, body_bytes: usize) -> Charged {
        let parts = required(body, "TransactItems")?.elements().unwrap_or_default();
        let actions = parts.iter().map(parse_action).collect::<Result<Vec<TransactionAction>, ApiError>>()?;
        // JSON never says a value in fewer bytes than it counts.
        if body_bytes > BYTES_MAX {
            refuse_too_large(parts, &actions)?;
        }
        let token = ClientToken::requested(body, "TransactItems");
        let done = self.transact(actions, token, EmptyKey::RefusesRequest, Cause::Keyed).await?;
        let mut answer = ObjectWriter::with_capacity(256);
        done.write_members(body, &mut answer);
        Ok(Reply::new(answer.finish(), done.into_charges()))
    }

    /// Carries out a transaction of actions whose expressions were read already: all in one commit, or nothing. With a token
    /// whose transaction was carried out already, it does nothing and succeeds.
    ///
    /// # Errors
    /// `ResourceNotFoundException`; `ValidationException` for an item that two actions name, and for an empty key if
    /// `empty_key` says so;
    /// `IdempotentParameterMismatchException`; `TransactionCanceledException` with a reason for each action. Nothing was
    /// written, unless the store broke.
    pub(crate) async fn transact(
        &self,
        actions: Vec<TransactionAction>,
        token: Option<ClientToken>,
        empty_key: EmptyKey,
        cause: Cause,
    ) -> Result<Transacted, LocalError> {
        let catalog = Arc::clone(&self.catalog);
        self.write_judged(move |writes| {
            let now_ms = now_ms();
            let known = token.as_ref().map_or(Ok(Known::Nothing), |token| token.recall(now_ms, &*writes))?;
            match known {
                Known::Other => return Err(mismatch().into()),
                Known::Same(sizes) => return Ok(repeat(&actions, &sizes, &catalog)?),
                Known::Nothing => {}
            }
            let (done, sizes) = carry_out(actions, empty_key, cause, &catalog, writes)?;
            if let Some(token) = token {
                token.remember(now_ms, &sizes, writes)?;
            }
            Ok(done)
        })
        .await
    }
}

impl Transacted {
    /// What was consumed of each table.
    pub(crate) fn into_charges(self) -> Vec<Charge> {
        self.consumed.charges(self.units)
    }

    /// Adds the members that `body` asks for to the answer: consumed capacity and metrics of item collections.
    pub(crate) fn write_members(&self, body: &Json<'_>, answer: &mut ObjectWriter) {
        let report = CapacityReport::requested(body);
        if report.is_wanted() {
            self.consumed.write_json(report, self.units, answer.member("ConsumedCapacity"));
        }
        let collections = self.written.iter().filter(|(_, judged)| has_collections(&judged.table));
        let collections: Vec<&(String, Judged)> = collections.collect();
        if !wants_collection_metrics(body) || collections.is_empty() {
            return;
        }
        let mut names: Vec<&str> = Vec::new();
        for (name, _) in &collections {
            if !names.contains(&name.as_str()) {
                names.push(name);
            }
        }
        let by_table = names.into_iter().map(|name| (name, name));
        write_map(by_table, answer.member("ItemCollectionMetrics"), |name, out| {
            let of_table = collections.iter().filter(|(table_name, _)| table_name == name);
            let written = of_table.map(|(_, judged)| judged);
            write_array(one_of_each_collection(written), out, write_collection_metrics);
        });
    }
}

fn now_ms() -> u64 {
    let since_epoch = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since_epoch.as_millis()).unwrap_or(u64::MAX)
}

fn mismatch() -> ApiError {
    ApiError::new(
        ErrorCode::IdempotentParameterMismatch,
        "DynamoDB rejected the request because you retried a request with a different payload \
         but with an idempotent token that was already used.",
    )
}

fn parse_action(part: &Json<'_>) -> Result<TransactionAction, ApiError> {
    let kinds = ["ConditionCheck", "Put", "Delete", "Update"];
    let mut named = kinds.into_iter().filter_map(|kind| Some((kind, part.get(kind)?)));
    let (kind, json) = named.next().expect("the shape admits exactly one of them");
    let kind = match kind {
        "ConditionCheck" => parse_check(json).map(ActionKind::Check),
        "Put" => parse_put(json).map(ActionKind::Write),
        "Delete" => parse_delete(json).map(ActionKind::Write),
        _ => parse_update(json).map(ActionKind::Write),
    };
    let kind = kind.map_err(|error| too_deep_value(json, Reader::Older).unwrap_or(error))?;
    Ok(TransactionAction { table_name: table_name(json)?.to_owned(), kind })
}

fn parse_check(json: &Json<'_>) -> Result<ItemCheck, ApiError> {
    refuse_idle_names(json, &["ConditionExpression"])?;
    let key = item_from_json(required(json, "Key")?)?;
    required(json, "ConditionExpression")?;
    let condition = expression_condition(json, Reader::Older)?.expect("the expression is there");
    Ok(ItemCheck { key, condition, on_failure: OnFailure::requested(json) })
}

fn parse_put(json: &Json<'_>) -> Result<ItemWrite, ApiError> {
    refuse_idle_names(json, &["ConditionExpression"])?;
    let item = NewItem::within_limit(item_from_json(required(json, "Item")?)?)?;
    let action = Action::Put { item, source: KeySource::Item };
    let condition = expression_condition(json, Reader::Older)?;
    Ok(ItemWrite { action, condition, on_failure: OnFailure::requested(json) })
}

fn parse_delete(json: &Json<'_>) -> Result<ItemWrite, ApiError> {
    refuse_idle_names(json, &["ConditionExpression"])?;
    let action = Action::Delete { key: item_from_json(required(json, "Key")?)? };
    let condition = expression_condition(json, Reader::Older)?;
    Ok(ItemWrite { action, condition, on_failure: OnFailure::requested(json) })
}

fn parse_update(json: &Json<'_>) -> Result<ItemWrite, ApiError> {
    let key = item_from_json(required(json, "Key")?)?;
    let (change, condition) = expression_update(json, Reader::Older)?;
    let action = Action::Update { key, change };
    Ok(ItemWrite { action, condition, on_failure: OnFailure::requested(json) })
}

/// Counts what the request brings: items that are put, keys, and the values of updates.
fn refuse_too_large(parts: &[Json<'_>], actions: &[TransactionAction]) -> Result<(), ApiError> {
    let mut bytes = 0;
    for (part, action) in parts.iter().zip(actions) {
        bytes += match &action.kind {
            ActionKind::Check(check) => item_size_bytes(&check.key),
            ActionKind::Write(write) | ActionKind::Remove(write) => match &write.action {
                Action::Put { item, .. } => item.size_bytes(),
                Action::Delete { key } => item_size_bytes(key),
                Action::Update { key, .. } => item_size_bytes(key) + update_values_bytes(part)?,
            },
        };
    }
    if bytes > BYTES_MAX { Err(too_large(bytes)) } else { Ok(()) }
}

fn update_values_bytes(part: &Json<'_>) -> Result<usize, ApiError> {
    let values = part.get("Update").and_then(|update| update.get("ExpressionAttributeValues"));
    let values = values.and_then(Json::members).unwrap_or_default().iter();
    let bytes = values.map(|(name, value)| {
        let value = read_expression_value(value, Reader::Older)?;
        Ok(name.len() + value.size_bytes())
    });
    bytes.sum()
}

fn targets(
    actions: &[TransactionAction],
    empty_key: EmptyKey,
    catalog: &Catalog,
) -> Result<Vec<Target>, ApiError> {
    find_targets(
        actions,
        catalog,
        empty_key,
        |action| &action.table_name,
        |action, table| match &action.kind {
            ActionKind::Write(write) | ActionKind::Remove(write) => write.key(table),
            ActionKind::Check(check) => check.key(table),
        },
    )
}

/// Judges every action, then carries all of them out. Gives the sizes by which they are charged, too.
fn carry_out(
    actions: Vec<TransactionAction>,
    empty_key: EmptyKey,
    cause: Cause,
    catalog: &Catalog,
    writes: &mut dyn Writes,
) -> Result<(Transacted, Vec<usize>), LocalError> {
    let targets = targets(&actions, empty_key, catalog)?;
    let mut judgement = Judgement::default();
    for (action, target) in actions.into_iter().zip(targets) {
        let reason = match judgement.judge(action, target, &*writes) {
            Ok(()) => None,
            Err(Refusal::Write(error) | Refusal::Condition(error, _)) => Some(error),
            Err(Refusal::Request(error)) if empty_key == EmptyKey::Cancels => Some(error),
            Err(refusal @ (Refusal::Request(_) | Refusal::Store(_))) => return Err(refusal.into()),
        };
        judgement.reasons.push(reason);
    }
    if let Some(cancellation) = judgement.cancellation(empty_key) {
        return Err(LocalError::Charged(cancellation, judgement.attempted.charges(UnitKind::Write)));
    }
    let Judgement { written, consumed, sizes, .. } = judgement;
    for (_, judged) in &written {
        judged.carry_out(cause, writes)?;
    }
    Ok((Transacted { written, consumed, units: UnitKind::Write }, sizes))
}

/// What has come of a transaction's actions so far, judged one after the other.
#[derive(Default)]
struct Judgement {
    written: Vec<(String, Judged)>,
    consumed: ConsumedTables,
    /// What is charged if the transaction is cancelled: "this capacity is consumed even when the transaction is canceled" (developer
    /// guide, "DynamoDB Transactions: How it works", 2026). No index is written then.
    attempted: ConsumedTables,
    /// The sizes by which actions are charged.
    sizes: Vec<usize>,
    /// Why an action cannot be carried out, if it cannot: one for each.
    reasons: Vec<Option<ApiError>>,
    /// The positions of removals that found no item: they are to be blamed only when something else is.
    missing: Vec<usize>,
    /// The positions of keys that fit no item.
    unfit: Vec<usize>,
}

impl Judgement {
    /// Judges the next action; what comes of it is its reason.
    fn judge(
        &mut self,
        action: TransactionAction,
        Target { table, key }: Target,
        reads: &dyn Reads,
    ) -> Result<(), Refusal> {
        let TransactionAction { table_name, kind } = action;
        let position = self.reasons.len();
        let key = key.map_err(|error| {
            self.unfit.push(position);
            Refusal::Write(error)
        })?;
        let is_removal = matches!(kind, ActionKind::Remove(_));
        let failed = |attempted: &mut ConsumedTables, refusal: &Refusal| {
            if let Refusal::Condition(_, charge) = refusal {
                attempted.add(&table, &table_name, charge.consumed.clone());
            }
        };
        match kind {
            ActionKind::Write(write) | ActionKind::Remove(write) => {
                let judged = write.judge_at(key, &table, reads);
                let judged = judged.inspect_err(|refusal| failed(&mut self.attempted, refusal))?;
                if is_removal && judged.old.is_none() {
                    self.missing.push(position);
                }
                self.consumed.add(&table, &table_name, judged.consumed());
                let units = Units::write(judged.larger_bytes());
                self.attempted.add(&table, &table_name, Consumed::of_table(units));
                self.sizes.push(judged.larger_bytes());
                self.written.push((table_name, judged));
            }
            ActionKind::Check(check) => {
                let bytes = check.judge_at(&key, &table, reads);
                let bytes = bytes.inspect_err(|refusal| failed(&mut self.attempted, refusal))?;
                let consumed = Consumed::of_table(Units::write(bytes));
                self.attempted.add(&table, &table_name, consumed.clone());
                self.consumed.add(&table, &table_name, consumed);
                self.sizes.push(bytes);
            }
        }
        Ok(())
    }

    /// The error that tells every action's reason, if any has one.
    fn cancellation(&mut self, empty_key: EmptyKey) -> Option<ApiError> {
        if self.reasons.iter().all(Option::is_none) {
            return None;
        }
        for position in &self.missing {
            self.reasons[*position] = Some(condition_failed());
        }
        if !self.unfit.is_empty() {
            // Keys that fit no item are reported alone, for the service then looks at none; and of actions only the first.
            self.attempted = ConsumedTables::default();
            let count = if empty_key == EmptyKey::RefusesRequest { 1 } else { self.unfit.len() };
            let unfit = &self.unfit[..count];
            let others = self.reasons.iter_mut().enumerate();
            let others = others.filter(|(position, _)| !unfit.contains(position));
            others.for_each(|(_, reason)| *reason = None);
        }
        Some(cancelled(&self.reasons))
    }
}

/// What a transaction that had been carried out before answers: it only reads, by the sizes for which it was charged then.
fn repeat(actions: &[TransactionAction], sizes: &[usize], catalog: &Catalog) -> Result<Transacted, ApiError> {
    let mut consumed = ConsumedTables::default();
    for (position, action) in actions.iter().enumerate() {
        let bytes = sizes.get(position).copied().unwrap_or(0);
        let units = Consumed::of_table(Units::strong_read(bytes));
        consumed.add(&*catalog.table(&action.table_name)?, &action.table_name, units);
    }
    Ok(Transacted { written: Vec::new(), consumed, units: UnitKind::Read })
}
