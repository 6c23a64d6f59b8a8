//! Large requests: how much memory their trees may take, and that the work on them keeps no connection waiting.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::body::Received;
use super::{Authenticator, Caller, Frontend, Observer, RejectReason, Service};
use crate::call::Request;
use crate::engine::Served;
use crate::model::{ApiError, ErrorCode};
use crate::offload::{LARGE_BODY_BYTES, offload};
use crate::wire::tree_bytes;

/// Trees may take so many times what the bodies themselves may.
const TREES_FACTOR: usize = 3;

/// What is made of a tree takes as much again: the items that it holds, and the answer.
const WORK_FACTOR: usize = 2;

/// How long a large request waits for memory. Its client has sent all of it, and would have to send it again.
const WAIT_MAX: Duration = Duration::from_secs(30);

/// What a permit stands for.
const PERMIT_BYTES: usize = 4096;

/// The memory of the trees of large requests.
#[derive(Debug)]
pub(super) struct TreeBudget {
    permits: Arc<Semaphore>,
    total: u32,
}

impl TreeBudget {
    /// A budget beside bodies that may take so much.
    pub(super) fn beside(bodies_bytes_max: usize) -> Self {
        let total = permits(bodies_bytes_max.saturating_mul(TREES_FACTOR));
        Self { permits: Arc::new(Semaphore::new(total as usize)), total }
    }

    /// Waits until there is memory for a tree of that many bytes, in the order of arrival. One that takes more than all of the
    /// budget has all of it to itself. `None` when there is none in time.
    pub(super) async fn reserve(&self, bytes: usize) -> Option<OwnedSemaphorePermit> {
        let wanted = permits(bytes).min(self.total);
        let reserving = Arc::clone(&self.permits).acquire_many_owned(wanted);
        tokio::time::timeout(WAIT_MAX, reserving).await.ok()?.ok()
    }
}

fn permits(bytes: usize) -> u32 {
    u32::try_from(bytes.div_ceil(PERMIT_BYTES).clamp(1, Semaphore::MAX_PERMITS)).unwrap_or(u32::MAX)
}

/// A body that holds its part of the budgets until nobody reads it any more: a write goes on when its client has left.
struct Held {
    received: Received,
    _trees: Arc<OwnedSemaphorePermit>,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.received.bytes
    }
}

/// True for a body that is worth it.
pub(super) fn is_large(body: &Received) -> bool {
    body.bytes.len() > LARGE_BODY_BYTES
}

impl<S: Service, O: Observer, A: Authenticator> Frontend<S, O, A> {
    /// Has the service answer a request with that large body, when there is memory for what it takes to read it.
    pub(super) async fn execute_large(
        self: &Arc<Self>,
        caller: Caller<'_>,
        request: Request,
        received: Received,
    ) -> Result<Served, ApiError> {
        let (frontend, caller) = (Arc::clone(self), caller.detach());
        offload(async move {
            let weight = tree_bytes(&received.bytes).saturating_mul(WORK_FACTOR);
            let Some(trees) = frontend.trees.reserve(weight).await else {
                frontend.observer.rejected(RejectReason::Overloaded);
                return Err(ApiError::new(
                    ErrorCode::ServiceUnavailable,
                    "Too many large requests are in flight",
                ));
            };
            let trees = Arc::new(trees);
            // Held here too: what is sent may be another body, made of this one.
            let _until_answered = Arc::clone(&trees);
            let body = Bytes::from_owner(Held { received, _trees: trees });
            frontend.execute(caller.attached(), Request { body, ..request }).await
        })
        .await
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_tree_larger_than_the_budget_has_all_of_it_and_others_wait_their_turn() {
        let budget = Arc::new(TreeBudget::beside(1 << 20));
        let huge = budget.reserve(usize::MAX).await.unwrap();
        let small = tokio::spawn({
            let budget = Arc::clone(&budget);
            async move { budget.reserve(1).await.is_some() }
        });
        tokio::time::sleep(WAIT_MAX / 2).await;
        assert!(!small.is_finished());
        drop(huge);
        assert!(small.await.unwrap());
        // Two halves fit beside each other, and nothing beside them.
        let halves = [budget.reserve(3 << 19).await.unwrap(), budget.reserve(3 << 19).await.unwrap()];
        assert!(budget.reserve(1).await.is_none());
        drop(halves);
        assert!(budget.reserve(usize::MAX).await.is_some());
    }

    #[tokio::test]
    async fn a_body_holds_its_memory_until_its_last_reader_is_gone() {
        let budget = TreeBudget::beside(1 << 20);
        let trees = Arc::new(budget.reserve(1 << 20).await.unwrap());
        let left = budget.permits.available_permits();
        let body =
            Bytes::from_owner(Held { received: Received::plain(Bytes::from_static(b"{}")), _trees: trees });
        let slice = body.slice(1..);
        drop(body);
        assert_eq!(budget.permits.available_permits(), left);
        drop(slice);
        assert_eq!(budget.permits.available_permits(), budget.total as usize);
    }
}
