//! Changes of tables, and whatever else changes more than items that can be named.

use std::sync::Arc;

use crate::call::{Request, UpstreamError};
use crate::model::operation::OperationClass;
use crate::wire::Json;
use crate::wire::named::tables_named;

use super::changes::Verdict;
use super::peers::{Affected, Settled};
use super::scope::Scope;
use super::{BypassReason, Engine, Served, Source, failed, images, unwritten, write};

impl Engine {
    /// Anything that makes, changes or removes a table, or that may: the table is forgotten and invalidated before and after.
    pub(super) async fn change_table(self: &Arc<Self>, request: Request) -> Served {
        let is_unknown = request.operation.class() == OperationClass::Unknown;
        let scope = match Json::parse_cut(&request.body) {
            Ok(_) if is_unknown && Json::parse(&request.body).is_err() => Scope::Everything,
            Ok(body) => tables_named(request.operation, &body).into(),
            Err(_) if request.body.is_empty() => Scope::Nothing,
            // As with a write: nobody can tell which of two tables the upstream would change.
            Err(_) => return Served::plain(write::unreadable().into(), Source::Write),
        };
        self.forget(&scope);
        self.invalidate(&scope);
        self.change_scope(request, scope).await
    }

    /// Sends a change of a whole scope, in a task of its own, and invalidates the scope before the answer leaves.
    pub(super) async fn change_scope(self: &Arc<Self>, request: Request, scope: Scope) -> Served {
        let engine = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            let may_read = request.operation.class() == OperationClass::Unknown && scope == Scope::Nothing;
            if !may_read && let Err(answer) = engine.admit_write() {
                return answer;
            }
            let change = engine.begin_change(&request, Vec::new(), scope.clone());
            let outcome = engine.call(&request).await;
            if request.operation.class() != OperationClass::Statement {
                engine.forget(&scope);
            }
            let nothing_known = images::Outcome::unknown();
            let settled = change.settle(&match &outcome {
                // A rejected one may have done a part.
                Ok(answer) if answer.status < 500 => Verdict::Applied(&nothing_known),
                Ok(_) | Err(UpstreamError::OutcomeUnknown(_)) => Verdict::Unknown,
                Err(UpstreamError::NotSent(_)) => Verdict::NotSent,
            });
            settled.acknowledge(outcome.unwrap_or_else(unwritten)).await
        });
        let answer = task.await.unwrap_or_else(|_| failed("The operation's task ended early."));
        Served::plain(answer, Source::Write)
    }

    /// Sends an UpdateTimeToLive, in a task of its own. What is cached of the table ends at times that follow from the former
    /// attribute, so it is invalidated unless the change was rejected. Nothing expires before the upstream has answered.
    pub(super) async fn change_time_to_live(self: &Arc<Self>, request: Request) -> Served {
        let engine = Arc::clone(self);
        let task = self.tasks.spawn(async move {
            if let Err(answer) = engine.admit_write() {
                return answer;
            }
            let scope = Json::parse_cut(&request.body)
                .map_or(Scope::Everything, |body| tables_named(request.operation, &body).into());
            let outcome = engine.upstream.call(&request).await;
            if !matches!(&outcome, Ok(answer) if !answer.is_success() && answer.status < 500) {
                engine.forget(&scope);
                engine.invalidate(&scope);
            }
            let settled = match &outcome {
                Ok(answer) if answer.is_success() => engine.report_scope(&scope, Affected::Definitions),
                Ok(answer) if answer.status < 500 => Settled::UNREPORTED,
                Err(UpstreamError::NotSent(_)) => Settled::UNREPORTED,
                Ok(_) | Err(UpstreamError::OutcomeUnknown(_)) => {
                    engine.report(|| engine.may_change(&scope, Affected::Definitions)).let_go();
                    Settled::UNREPORTED
                }
            };
            settled.acknowledge(outcome.unwrap_or_else(unwritten)).await
        });
        let answer = task.await.unwrap_or_else(|_| failed("The operation's task ended early."));
        Served::plain(answer, Source::Bypass(BypassReason::Operation))
    }
}
