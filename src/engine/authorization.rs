//! Requests of callers with rights of their own: judged before anything is done for them, a hit exactly as a miss.

use std::sync::Arc;

use crate::call::Request;
use crate::model::{ApiError, TableSchema};
use crate::rights::{Asked, Denial, Place, Rights, Schemas};

use super::{Engine, Served, Understood};

/// The most tables that are described for one request to be judged: no request that the service takes names more.
const TABLES_LEARNED_MAX: usize = 100;

impl Engine {
    /// Answers one request of a caller with these rights, as [`Engine::execute`]. `place` is where the tables are that requests name.
    /// `understood` is what [`Engine::answer_at_once_as`] has understood of the request of this caller, or nothing.
    ///
    /// # Errors
    /// `AccessDeniedException` in the service's words. Then neither the cache nor the upstream has heard of the request; but a table
    /// on which the caller has rights by keys may have been described.
    pub async fn execute_as(
        self: &Arc<Self>,
        rights: &Rights,
        place: Place<'_>,
        request: Request,
        understood: Understood,
    ) -> Result<Served, ApiError> {
        if !understood.is_allowed && !rights.may_do_everything() {
            let asked = asked(&request, place);
            let judged = rights.judge(&asked, &**self);
            if let Err(denial) = judged {
                // Boxed, so that the future of a request that is allowed at once stays small.
                Box::pin(self.judge_again(rights, asked, denial)).await?;
            }
        }
        match understood.is_allowed {
            true => Ok(Box::pin(self.execute_understood(request, understood)).await),
            false => Ok(self.execute(request).await),
        }
    }

    /// The answer that memory has, as [`Engine::execute_as`] would give it.
    ///
    /// # Errors
    /// What is understood of a request that would have to wait, or that is not certainly allowed. It is for [`Engine::execute_as`] to
    /// answer, and nothing is counted of it yet.
    pub fn answer_at_once_as(
        &self,
        rights: &Rights,
        place: Place<'_>,
        request: &Request,
    ) -> Result<Served, Understood> {
        if rights.judge(&asked(request, place), self).is_err() {
            return Err(Understood::default());
        }
        self.answer_at_once(request).map_err(|understood| Understood { is_allowed: true, ..understood })
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
