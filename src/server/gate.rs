//! Whether a verified caller may do what it asks, and on whose behalf that goes upstream. Every request passes here, before the cache
//! and before the upstream.

use std::sync::Arc;

use crate::call::{Answer, Request};
use crate::engine::{Engine, Served};
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
    /// Answers one request, if the rights allow it. `place` is where the tables are that it names without an ARN.
    ///
    /// # Errors
    /// `AccessDeniedException`, and when there is nobody to hand the request to.
    fn execute_as(
        self: &Arc<Self>,
        caller: &Caller<'_>,
        rights: &Rights,
        place: Place<'_>,
        request: Request,
    ) -> impl Future<Output = Result<Served, ApiError>> + Send;

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
    ) -> Result<Served, ApiError> {
        Self::execute_as(self, rights, place, request).await
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
}

impl<S: Judging> Service for Gate<S> {
    async fn execute(self: &Arc<Self>, caller: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        let Some(principal) = caller.principal() else {
            return Err(ApiError::new(ErrorCode::InternalServerError, "Internal server error"));
        };
        let place = Place { region: &self.region, account: self.account.as_deref() };
        let request = Request { on_behalf_of: principal.role.clone(), ..request };
        self.service.execute_as(&caller, &principal.rights, place, request).await
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
        let place = Place { region: &self.region, account: self.account.as_deref() };
        self.service.table_schema_as(&caller, &principal.rights, place, table).await
    }
}
