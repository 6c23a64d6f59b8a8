//! Every request that the engine sends for a client, and what the upstream charges for it.
//!
//! Most upstreams report no charge, which then follows from the sizes in request and answer. The engine knows
//! them of all that it parses anyway; only the rest is parsed for the charge.

use crate::call::{Answer, Request, UpstreamError};
use crate::insight::WriteTerms;
use crate::wire::Json;
use crate::wire::raw::RawObject;

use super::Engine;
use super::known_table::KnownTable;

impl Engine {
    /// Sends a request upstream, once, and counts what it is charged. The answer says so too.
    ///
    /// # Errors
    /// As [`crate::call::Upstream::call`].
    pub(super) async fn call(&self, request: &Request) -> Result<Answer, UpstreamError> {
        let mut answer = self.upstream.call(request).await?;
        self.meter(request, &mut answer);
        Ok(answer)
    }

    /// As [`Engine::call`], of a write. `body` is the tree of the request's bytes, if they are parsed already; `known` are the table
    /// and the terms of a write of one item.
    pub(super) async fn call_write(
        &self,
        request: &Request,
        body: Option<&Json<'_>>,
        known: Option<(&KnownTable, &WriteTerms)>,
    ) -> Result<Answer, UpstreamError> {
        let called = match body {
            Some(body) => self.upstream.call_parsed(request, body),
            None => self.upstream.call(request),
        };
        let mut answer = called.await?;
        let charge = known.filter(|_| answer.charges.is_empty() && answer.is_success());
        if let Some(charge) = charge.and_then(|(table, terms)| terms.charge(&table.usage, &answer)) {
            answer.charges = Box::new([charge]);
        }
        self.meter(request, &mut answer);
        Ok(answer)
    }

    /// Counts what a request is charged that was sent without [`Engine::call`].
    pub(super) fn meter(&self, request: &Request, answer: &mut Answer) {
        if !answer.charges.is_empty() {
            return self.count(answer);
        }
        let body = answer.body.clone();
        self.meter_parsed(request, answer, RawObject::parse(&body).as_ref());
    }

    /// The same of an answer whose members are read; `None` if it is no JSON object.
    pub(super) fn meter_parsed(
        &self,
        request: &Request,
        answer: &mut Answer,
        members: Option<&RawObject<'_>>,
    ) {
        if let Some(members) = members.filter(|_| answer.charges.is_empty()) {
            answer.charges = self.insight.charges(self.realm.number(), request, answer, members).into();
        }
        self.count(answer);
    }

    fn count(&self, answer: &Answer) {
        let realm = self.realm.number();
        for charge in &answer.charges {
            self.insight.table(realm, &charge.table).charged(charge);
        }
    }
}
