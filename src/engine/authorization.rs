//! Requests of callers with rights of their own: judged before anything is done for them, a hit exactly as a miss.

use std::sync::Arc;

use crate::call::Request;
use crate::model::{ApiError, TableSchema};
use crate::rights::{Asked, Denial, Place, Rights, Schemas};

use super::{Engine, Served};

/// The most tables that are described for one request to be judged: no request that the service takes names more.
const TABLES_LEARNED_MAX: usize = 100;

impl Engine {
    /// Answers one request of a caller with these rights, as [`Engine::execute`]. `place` is where the tables are that requests name.
    ///
    /// # Errors
    /// `AccessDeniedException` in the service's words. Then neither the cache nor the upstream has heard of the request; but a table
    /// on which the caller has rights by keys may have been described.
    pub async fn execute_as(
        self: &Arc<Self>,
        rights: &Rights,
        place: Place<'_>,
        request: Request,
    ) -> Result<Served, ApiError> {
        if !rights.may_do_everything() {
            let asked = asked(&request, place);
            let judged = rights.judge(&asked, &**self);
            if let Err(denial) = judged {
                // Boxed, so that the future of a request that is allowed at once stays small.
                Box::pin(self.judge_again(rights, asked, denial)).await?;
            }
        }
        Ok(self.execute(request).await)
    }

    /// The answer that memory has, as [`Engine::execute_as`] would give it; `None` for what is not certainly allowed, and for what
    /// would have to wait. Nothing is counted of a request that is not answered.
    pub fn answer_at_once_as(&self, rights: &Rights, place: Place<'_>, request: &Request) -> Option<Served> {
        rights.judge(&asked(request, place), self).ok()?;
        self.answer_at_once(request)
    }

    /// Has tables described whose keys a judgement needs, until it needs no more.
    async fn judge_again(
        self: &Arc<Self>,
        rights: &Rights,
        asked: Asked<'_>,
        mut denial: Box<Denial>,
    ) -> Result<(), ApiError> {
        for _ in 0..TABLES_LEARNED_MAX {
            let Some(table) = denial.unknown_table() else { break };
            if self.learn(table).await.is_none() {
                break;
            }
            let judged = rights.judge(&asked, &**self);
            match judged {
                Ok(()) => return Ok(()),
                // Its description does not help, as for an index that it lacks.
                Err(next) if next.unknown_table() == denial.unknown_table() => break,
                Err(next) => denial = next,
            }
        }
        Err(ApiError::from(&*denial))
    }
}

fn asked<'a>(request: &'a Request, place: Place<'a>) -> Asked<'a> {
    Asked {
        operation: request.operation,
        unknown_target: request.unknown_target.as_deref(),
        body: &request.body,
        place,
    }
}

impl Schemas for Engine {
    fn schema(&self, spelling: &str) -> Option<Arc<TableSchema>> {
        self.tables.with(spelling, |table| (!table.is_retired()).then(|| Arc::clone(&table.schema)))
    }
}
