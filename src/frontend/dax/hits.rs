//! Answers from memory: looked for on the connection's own task, with as little reading of the request as the question needs.

use std::cell::RefCell;
use std::sync::Arc;

use bytes::Bytes;

use super::super::{Authenticator, Frontend, Observer, Service};
use super::lists;
use super::outcome::{Outcome, internal};
use super::recent::{RecentAnswers, RecentRequests};
use crate::call::{Answer, Request, Source, Verdict};
use crate::dax::answer::{Reply, Unlisted, reply, whole_item};
use crate::dax::attribute_lists::AttributeLists;
use crate::dax::cbor::Malformed;
use crate::dax::item::{ItemFault, ItemWriter};
use crate::dax::key;
use crate::dax::method::Method;
use crate::dax::request::{Call, Client, Decoded, Known, plain_item};
use crate::dax::shape::PlainForm;
use crate::engine::{ItemAtOnce, Served};
use crate::model::{ApiError, Operation, TableSchema};

/// How often an answer is written anew because lists of names were missing: once, unless names and lists do not agree.
pub(super) const DEFINITIONS_MAX: usize = 3;

/// The header in which an upstream gives its own id for a request.
const REQUEST_ID: &str = "x-amzn-requestid";

thread_local! {
    /// Writes the items of all answers of a thread.
    static ITEMS: RefCell<ItemWriter> = RefCell::default();
    /// What it has written lately.
    static ANSWERS: RefCell<RecentAnswers> = RefCell::default();
    /// What it has read lately.
    static REQUESTS: RefCell<RecentRequests> = RefCell::default();
}

/// What a first look into memory makes of a request.
pub(super) enum Looked {
    /// The answer.
    Answered(Outcome),
    /// An item, whose list of names is not defined yet.
    Item(Box<ItemAtOnce>, Vec<String>),
    /// The service's answer, with items whose lists are not defined yet.
    Served(Box<(Served, Decoded)>),
    /// What it asks for, by a schema that may be an old one.
    Decoded(Arc<TableSchema>, Decoded),
    /// Nothing.
    Unread,
}

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Looks for the answer to a request in memory; `None` for a request that cannot be read, which then gets its error.
    pub(super) fn look_for(
        &self,
        method: Method,
        arguments: &[u8],
        client: Client,
        request_id: &str,
    ) -> Option<Looked> {
        if method != Method::GetItem
            && let Some(looked) = self.look_again(method, arguments, client, request_id)
        {
            return Some(looked);
        }
        let plain = (method == Method::GetItem).then(|| plain_item(arguments)).flatten();
        if let Some((table, key)) = plain
            && let Some(looked) = self.whole_item(table, key)
        {
            return Some(looked);
        }
        let Call::Data(call) = Call::parse(method, arguments).ok()? else { return None };
        if plain.is_none()
            && let Some((table, key)) = call.whole_item()
            && let Some(looked) = self.whole_item(table, key)
        {
            return Some(looked);
        }
        let (table, schema) = match *call.tables() {
            [table] => (table, self.service.table_schema_at_once(table)?),
            _ => return None,
        };
        let schema_of = |_: &str| Some(Arc::clone(&schema));
        let lists = &self.settings.dax.lists;
        let mut decoded = call.decode(&Known { client, schema_of: &schema_of, lists }).ok()?;
        let body = Bytes::from(std::mem::take(&mut decoded.body));
        let request = Request::new(decoded.operation, body);
        match self.service.answer_at_once(None, &request) {
            Ok(served) => {
                if method != Method::GetItem {
                    let read = (method, client, arguments);
                    REQUESTS.with_borrow_mut(|requests| {
                        requests.meet(read, (table, &schema), &decoded, &request.body);
                    });
                }
                Some(self.show_served(served, decoded, request_id))
            }
            Err(understood) => {
                drop(understood);
                // Nobody else has the bytes, so they are not copied.
                decoded.body = request.body.into();
                Some(Looked::Decoded(schema, decoded))
            }
        }
    }

    /// Looks for the answer to a request that was read lately.
    fn look_again(
        &self,
        method: Method,
        arguments: &[u8],
        client: Client,
        request_id: &str,
    ) -> Option<Looked> {
        let (request, shape) = REQUESTS.with_borrow(|requests| {
            let kept = requests.get(method, client, arguments)?;
            let schema = self.service.table_schema_at_once(&kept.table)?;
            let is_current = Arc::ptr_eq(&schema, &kept.schema);
            is_current.then(|| (Request::new(kept.operation, kept.body.clone()), kept.shape.clone()))
        })?;
        let served = self.service.answer_at_once(None, &request).ok()?;
        let decoded = Decoded { operation: request.operation, body: Vec::new(), shape };
        Some(self.show_served(served, decoded, request_id))
    }

    /// What is made of the service's answer from memory. It counts as found: it is shown once the lists of its items are there.
    fn show_served(&self, served: Served, decoded: Decoded, request_id: &str) -> Looked {
        let lists = &self.settings.dax.lists;
        let form = decoded.shape.plain_page().filter(|_| served.answer.is_success());
        let body = &served.answer.body;
        let known =
            form.as_ref().and_then(|form| ANSWERS.with_borrow(|answers| answers.get(body, form, lists)));
        let is_known = known.is_some();
        let reply = match known {
            Some(bytes) => Ok(Reply { bytes, error: None }),
            None => write(&served.answer, &decoded, request_id, lists),
        };
        match reply {
            Ok(reply) => {
                if let Some(form) = form.filter(|_| !is_known && reply.error.is_none()) {
                    ANSWERS.with_borrow_mut(|answers| answers.meet(body, &form, lists, &reply.bytes));
                }
                Looked::Answered(Outcome::of_served(served, reply, None))
            }
            Err(Unlisted(_)) => Looked::Served(Box::new((served, decoded))),
        }
    }

    /// Looks for an item in memory without a request in JSON.
    fn whole_item(&self, table: &str, key: &[u8]) -> Option<Looked> {
        let found = self.service.item_at_once(table, |schema, out| key::write_canonical(schema, key, out))?;
        Some(match self.show(&found) {
            Ok(outcome) => Looked::Answered(outcome),
            Err(names) => Looked::Item(Box::new(found), names),
        })
    }

    /// The answer that shows an item from memory.
    ///
    /// # Errors
    /// The list of its names, if that is to be defined first.
    fn show(&self, found: &ItemAtOnce) -> Result<Outcome, Vec<String>> {
        let lists = &self.settings.dax.lists;
        let outcome = |reply| Outcome {
            reply,
            status: 200,
            source: Some(Source::Hit),
            table: Some(Arc::clone(&found.table)),
            index: None,
            verdict: Verdict::Allowed,
        };
        let (form, json) = (PlainForm::of_item(&found.schema), found.item.item_json());
        let known =
            json.as_ref().and_then(|json| ANSWERS.with_borrow(|answers| answers.get(json, &form, lists)));
        if let Some(bytes) = known {
            return Ok(outcome(Reply { bytes, error: None }));
        }
        let text = json.as_deref().map(str::from_utf8).transpose();
        let no_item = |_| ItemFault::Malformed(Malformed::Invalid("an item is not UTF-8"));
        let reply = text.map_err(no_item).and_then(|text| {
            ITEMS.with_borrow_mut(|items| whole_item(text, &found.schema.key, lists, items))
        });
        match reply {
            Ok(reply) => {
                if let Some(json) = json {
                    ANSWERS.with_borrow_mut(|answers| answers.meet(&json, &form, lists, &reply.bytes));
                }
                Ok(outcome(reply))
            }
            Err(ItemFault::Unlisted(names)) => Err(names),
            Err(ItemFault::Malformed(_)) => Ok(Outcome::of_error(&internal(), Some(Operation::GetItem), "")),
        }
    }

    /// Defines the list of an item from memory, and shows the item.
    pub(super) async fn show_listed(
        &self,
        found: &ItemAtOnce,
        mut names: Vec<String>,
        request_id: &str,
    ) -> Outcome {
        let refused = |error: &ApiError| Outcome::of_error(error, Some(Operation::GetItem), request_id);
        for _ in 0..DEFINITIONS_MAX {
            if let Err(error) = lists::define_for_answer(&self.settings.dax.lists, vec![names]).await {
                return refused(&error);
            }
            names = match self.show(found) {
                Ok(outcome) => return outcome,
                Err(names) => names,
            };
        }
        refused(&internal())
    }
}

/// Makes the protocol's answer of DynamoDB's.
pub(super) fn write(
    answer: &Answer,
    decoded: &Decoded,
    request_id: &str,
    lists: &AttributeLists,
) -> Result<Reply, Unlisted> {
    let given = answer.headers.iter().find(|(name, _)| name == REQUEST_ID);
    let request_id = given.map_or(request_id, |(_, id)| id.as_str());
    ITEMS.with_borrow_mut(|items| reply(answer, &decoded.shape, Some(request_id), lists, items))
}
