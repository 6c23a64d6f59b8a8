//! The tokens that make a transaction idempotent: what was asked for under each of the last ten minutes.
//!
//! A token is remembered in the commit of its transaction, so no crash parts the two. Tokens lie in two spaces that take
//! turns: all new ones go to the younger, and when that has grown old, the other, whose tokens have all expired, is emptied
//! and becomes the younger. So nothing has to be looked for in order to expire, and a transaction pays for two rows read and
//! one written.
//!
//! A token outlives the tables that its transaction named. When one was deleted and made again meanwhile, the same
//! transaction succeeds once more and writes nothing. DynamoDB Local does the same; nothing is known of the service.

use md5::{Digest, Md5};

use crate::local::spaces::TRANSACTION_TOKENS;
use crate::local::store::{Reads, Space, StoreError, Writes};
use crate::wire::Json;
use crate::wire::json::write_json;

/// How long a token is remembered, in milliseconds.
const REMEMBERED_MS: u64 = 10 * 60 * 1000;
/// The most tokens of a space. Beyond it, at more than 200 transactions in each second of ten minutes, the oldest are
/// forgotten early: a larger space would take more memory than the rare late retry is worth, and longer to empty, which
/// other writes wait for.
const TOKENS_MAX: u64 = 1 << 17;
/// The row that says when a space became the younger one.
const BEGAN_KEY: &[u8] = b"began";
/// What the keys of tokens begin with.
const TOKEN_PREFIX: u8 = b't';
const DIGEST_BYTES: usize = 16;
const SIZE_BYTES: usize = 4;

/// A token and what was asked for under it.
#[derive(Clone, Debug)]
pub(crate) struct ClientToken {
    key: Vec<u8>,
    digest: [u8; DIGEST_BYTES],
}

/// What is known of a token.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Known {
    /// Nothing, or nothing any more.
    Nothing,
    /// The same was asked for under it, and was done: the sizes by which its actions were charged, in bytes and in their order.
    /// None are known of a transaction that an older release carried out.
    Same(Vec<usize>),
    /// Something else was asked for under it.
    Other,
}

impl ClientToken {
    /// The `ClientRequestToken` of `body`, if there is one. Of the request it binds the member of that name; how much the
    /// answer is to tell may differ from one attempt to the next.
    pub(crate) fn requested(body: &Json<'_>, bound: &str) -> Option<Self> {
        let text = body.get("ClientRequestToken").and_then(Json::text)?;
        let mut key = vec![TOKEN_PREFIX];
        key.extend_from_slice(text.as_bytes());
        let mut digest = Md5::new();
        if let Some(bound) = body.get(bound) {
            let mut canonical = Vec::with_capacity(1024);
            write_json(&in_order(bound), &mut canonical);
            digest.update(&canonical);
        }
        Some(Self { key, digest: digest.finalize().into() })
    }

    /// What is known of the token at a time, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) fn recall(&self, now_ms: u64, reads: &dyn Reads) -> Result<Known, StoreError> {
        for space in TRANSACTION_TOKENS {
            let Some(row) = reads.get(space, &self.key)? else { continue };
            let Some((time, told)) = row.split_first_chunk() else { continue };
            if u64::from_be_bytes(*time).abs_diff(now_ms) < REMEMBERED_MS {
                let sizes = told.strip_prefix(&self.digest);
                return Ok(sizes.map_or(Known::Other, |sizes| Known::Same(read_sizes(sizes))));
            }
        }
        Ok(Known::Nothing)
    }

    /// Remembers the token from a time on, with the sizes by which its actions were charged.
    ///
    /// # Errors
    /// [`StoreError`] when the store broke.
    pub(super) fn remember(
        &self,
        now_ms: u64,
        sizes: &[usize],
        writes: &mut dyn Writes,
    ) -> Result<(), StoreError> {
        let space = younger_space(now_ms, writes)?;
        let mut row = now_ms.to_be_bytes().to_vec();
        row.extend_from_slice(&self.digest);
        for size in sizes {
            row.extend_from_slice(&u32::try_from(*size).unwrap_or(u32::MAX).to_be_bytes());
        }
        writes.put(space, &self.key, &row)
    }
}

fn read_sizes(bytes: &[u8]) -> Vec<usize> {
    let (sizes, _) = bytes.as_chunks::<SIZE_BYTES>();
    sizes.iter().map(|size| u32::from_be_bytes(*size) as usize).collect()
}

/// The space for new tokens.
fn younger_space(now_ms: u64, writes: &mut dyn Writes) -> Result<Space, StoreError> {
    let [first, second] = TRANSACTION_TOKENS;
    let (began_first, began_second) = (began(first, &*writes)?, began(second, &*writes)?);
    let (younger, older, began) =
        if began_second > began_first { (second, first, began_second) } else { (first, second, began_first) };
    let next = match began {
        None => younger,
        Some(began) if now_ms.saturating_sub(began) >= REMEMBERED_MS || writes.len(younger)? > TOKENS_MAX => {
            older
        }
        Some(_) => return Ok(younger),
    };
    writes.clear(next)?;
    // Later than the other even when the clock was set back, or the wrong one would be taken for the younger.
    let now_ms = began.map_or(now_ms, |began| now_ms.max(began + 1));
    writes.put(next, BEGAN_KEY, &now_ms.to_be_bytes())?;
    Ok(next)
}

fn began(space: Space, reads: &dyn Reads) -> Result<Option<u64>, StoreError> {
    let row = reads.get(space, BEGAN_KEY)?;
    Ok(row.and_then(|row| row.first_chunk().map(|time| u64::from_be_bytes(*time))))
}

/// The same JSON with the members of every object in the order of their names, which says nothing in JSON, and without the
/// modes that are in force anyway.
fn in_order<'a>(json: &Json<'a>) -> Json<'a> {
    match json {
        Json::Object(members) => {
            let told = members.iter().filter(|(name, value)| !is_default_mode(name, value));
            let mut members: Vec<_> = told.map(|(name, value)| (name.clone(), in_order(value))).collect();
            members.sort_by(|(left, _), (right, _)| left.cmp(right));
            Json::Object(members.into())
        }
        Json::Array(elements) => Json::Array(elements.iter().map(in_order).collect()),
        Json::Null | Json::Bool(_) | Json::Integer(_) | Json::Float(_) | Json::String(_) => json.clone(),
    }
}

/// True of a mode that a request may as well leave out: a retry that does still asks for the same.
fn is_default_mode(name: &str, value: &Json<'_>) -> bool {
    name == "ReturnValuesOnConditionCheckFailure" && value.text() == Some("NONE")
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::*;
    use crate::local::store::{MemoryStore, Store};

    fn token(text: &str, items: &str) -> ClientToken {
        let body = format!(r#"{{"ClientRequestToken":"{text}","TransactItems":{items}}}"#);
        ClientToken::requested(&Json::parse(body.as_bytes()).unwrap(), "TransactItems").unwrap()
    }

    fn same() -> Known {
        Known::Same(vec![7, 400_000])
    }

    /// Runs a job in a commit of its own and gives its result.
    async fn commit<T: Send + 'static>(
        store: &MemoryStore,
        job: impl FnOnce(&mut dyn Writes) -> T + Send + 'static,
    ) -> T {
        let result = Arc::new(Mutex::new(None));
        let slot = Arc::clone(&result);
        let job = Box::new(move |writes: &mut dyn Writes| {
            *slot.lock().unwrap() = Some(job(writes));
            Ok(())
        });
        store.submit(job).await.unwrap();
        result.lock().unwrap().take().unwrap()
    }

    #[tokio::test]
    async fn a_token_is_known_for_ten_minutes_and_with_its_request_only() {
        let store = MemoryStore::new();
        commit(&store, |writes| {
            token("a", r#"[{"x":1,"y":{}}]"#).remember(1_000, &[7, 400_000], writes).unwrap()
        })
        .await;
        let snapshot = store.snapshot().unwrap();
        let recall = |token: ClientToken, now_ms| token.recall(now_ms, &*snapshot).unwrap();
        assert_eq!(recall(token("a", r#"[{"y":{},"x":1}]"#), 1_000), same());
        assert_eq!(recall(token("a", r#"[{"x":2,"y":{}}]"#), 1_000), Known::Other);
        assert_eq!(recall(token("b", r#"[{"x":1,"y":{}}]"#), 1_000), Known::Nothing);
        assert_eq!(recall(token("a", r#"[{"x":1,"y":{}}]"#), 600_999), same());
        assert_eq!(recall(token("a", r#"[{"x":1,"y":{}}]"#), 601_000), Known::Nothing);
    }

    #[test]
    fn a_mode_left_out_is_none_to_a_token() {
        let digest = |mode: &str| token("a", &format!(r#"[{{"x":1{mode}}}]"#)).digest;
        let none = digest(r#","ReturnValuesOnConditionCheckFailure":"NONE""#);
        assert_eq!(digest(""), none);
        assert_ne!(digest(r#","ReturnValuesOnConditionCheckFailure":"ALL_OLD""#), none);
    }

    #[tokio::test]
    async fn expired_tokens_are_gone_after_a_turn_and_no_valid_one_is() {
        let store = MemoryStore::new();
        let rows = || -> u64 {
            let snapshot = store.snapshot().unwrap();
            TRANSACTION_TOKENS.iter().map(|space| snapshot.len(*space).unwrap()).sum()
        };
        for minute in 0..200_u64 {
            let now_ms = minute * 60_000;
            let remembered = token(&minute.to_string(), "[]");
            commit(&store, move |writes| remembered.remember(now_ms, &[7, 400_000], writes).unwrap()).await;
            for recent in minute.saturating_sub(9)..=minute {
                let known = token(&recent.to_string(), "[]").recall(now_ms, &*store.snapshot().unwrap());
                assert_eq!(known.unwrap(), same(), "{recent} at {minute}");
            }
        }
        assert!(rows() <= 22, "{} rows", rows());
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_forgets_nothing() {
        let store = MemoryStore::new();
        for (text, now_ms) in [("a", 10_000_000), ("b", 9_900_000), ("c", 9_950_000)] {
            let remembered = token(text, "[]");
            commit(&store, move |writes| remembered.remember(now_ms, &[7, 400_000], writes).unwrap()).await;
        }
        for text in ["a", "b", "c"] {
            let known = token(text, "[]").recall(9_950_000, &*store.snapshot().unwrap());
            assert_eq!(known.unwrap(), same(), "{text}");
        }
    }
}
