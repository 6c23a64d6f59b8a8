//! Whether a verified caller may do what it asks, and on whose behalf that goes upstream. Every request passes here, before the cache
//! and before the upstream.

use std::sync::Arc;

use crate::call::{Answer, Request};
use crate::engine::{Engine, Served, Understood};
use crate::frontend::{Caller, Service};
use crate::model::{ApiError, ErrorCode, TableSchema};
use crate::rights::{Place, Rights};

/// A service that hears only what its callers have a right to.
pub(super) struct Gate<S> {
    service: Arc<S>,
    region: Box<str>,
    account: Option<Box<str>>,
}

/// What answers requests of callers with rights of their own.
pub(super) trait Judging: Service {
    /// Answers one request, if the rights allow it. `place` is where the tables are that it names without an ARN. `understood` is what
    /// a [look](Judging::answer_at_once_as) at this request of this caller has understood, or nothing.
    ///
    /// # Errors
    /// `AccessDeniedException`, and when there is nobody to hand the request to.
    fn execute_as(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        request: Request,
        understood: Understood,
    ) -> impl Future<Output = Result<Served, ApiError>> + Send;

    /// The answer to a request if it is there without waiting and the rights allow it: the very one that [`Judging::execute_as`] would
    /// give.
    ///
    /// # Errors
    /// What is understood of a request that is not so answered. It has left no trace, and is for [`Judging::execute_as`] to answer.
    fn answer_at_once_as(
        &self,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        request: &Request,
    ) -> Result<Served, Understood>;

    /// The schema of a table, for a caller with these rights.
    ///
    /// # Errors
    /// The answer that a caller gets instead, to whom the table is not there or not to be known.
    fn table_schema_as(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        table: &str,
    ) -> impl Future<Output = Result<Arc<TableSchema>, Box<Answer>>> + Send;
}

impl Judging for Engine {
    async fn execute_as(
        self: &Arc<Self>,
        _: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        request: Request,
        understood: Understood,
    ) -> Result<Served, ApiError> {
        Self::execute_as(self, rights, place, request, understood).await
    }

    fn answer_at_once_as(
        &self,
        _: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        request: &Request,
    ) -> Result<Served, Understood> {
        Self::answer_at_once_as(self, rights, place, request)
    }

    async fn table_schema_as(
        self: &Arc<Self>,
        _: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        table: &str,
    ) -> Result<Arc<TableSchema>, Box<Answer>> {
        Self::table_schema_as(self, rights, place, table).await
    }
}

impl<S> Gate<S> {
    /// A gate before a service whose tables are in that region, and in that account where it is known.
    pub(super) fn before(service: Arc<S>, region: &str, account: Option<&str>) -> Arc<Self> {
        Arc::new(Self { service, region: region.into(), account: account.map(Into::into) })
    }

    /// Where the tables are that requests name without an ARN.
    fn place(&self) -> Place<'_> {
        Place { region: &self.region, account: self.account.as_deref() }
    }
}

impl<S: Judging> Service for Gate<S> {
    type Understood = Understood;

    fn answer_at_once(&self, caller: Option<&Caller<'_>>, request: &Request) -> Result<Served, Understood> {
        let Some((caller, principal)) = caller.and_then(|caller| Some((caller, caller.principal()?))) else {
            return Err(Understood::default());
        };
        let with_role = principal.role.as_ref().map(|role| {
            let on_behalf_of = Some(Arc::clone(role));
            Request { on_behalf_of, ..request.clone() }
        });
        let request = with_role.as_ref().unwrap_or(request);
        self.service.answer_at_once_as(caller, &principal.rights, self.place(), request)
    }

    async fn execute(self: &Arc<Self>, caller: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        self.execute_understood(caller, request, Understood::default()).await
    }

    async fn execute_understood(
        self: &Arc<Self>,
        caller: Caller<'_>,
        request: Request,
        understood: Understood,
    ) -> Result<Served, ApiError> {
        let Some(principal) = caller.principal() else {
            return Err(ApiError::new(ErrorCode::InternalServerError, "Internal server error"));
        };
        let request = Request { on_behalf_of: principal.role.clone(), ..request };
        self.service.execute_as(&caller, &principal.rights, self.place(), request, understood).await
    }

    async fn table_schema(
        self: &Arc<Self>,
        caller: Caller<'_>,
        table: &str,
    ) -> Result<Arc<TableSchema>, Box<Answer>> {
        let Some(principal) = caller.principal() else {
            let error = ApiError::new(ErrorCode::InternalServerError, "Internal server error");
            return Err(Box::new(error.into()));
        };
        self.service.table_schema_as(&caller, &principal.rights, self.place(), table).await
    }
}

#[cfg(test)]
mod tests;
