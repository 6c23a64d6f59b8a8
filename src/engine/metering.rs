//! Every request that the engine sends for a client, and what the upstream charges for it.

use crate::call::{Answer, Request, UpstreamError};

use super::Engine;

impl Engine {
    /// Sends a request upstream, once, and counts what it is charged. The answer says so too.
    ///
    /// # Errors
    /// As [`crate::call::Upstream::call`].
    pub(super) async fn call(&self, request: &Request) -> Result<Answer, UpstreamError> {
        let mut answer = self.upstream.call(request).await?;
        let realm = self.realm.number();
        if answer.charges.is_empty() {
            answer.charges = self.insight.charges(realm, request, &answer).into();
        }
        for charge in &answer.charges {
            self.insight.table(realm, &charge.table).charged(charge);
        }
        Ok(answer)
    }
}
