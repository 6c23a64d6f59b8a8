//! BatchGetItem from memory: the answer if every key is there. If one is missing, nothing was done, and nothing is counted.

use tokio::time::Instant;

use super::answer::compose;
use super::asked::{Asked, Parts};
use super::{BatchRead, Counts, Fetched, Part, State};
use crate::cache::{Moment, UncountedHit};
use crate::call::{Answer, Request};
use crate::engine::items::ItemRead;
use crate::engine::known_table::Freshness;
use crate::engine::reading::Looked;
use crate::engine::{Engine, Served};
use crate::insight::Outcome;

impl Engine {
    /// Looks into memory for the answer of a BatchGetItem: the one that [`Engine::batch_get_item`] gives if it finds every key.
    pub(in crate::engine) fn look_for_batch(&self, request: &Request) -> Looked<Box<BatchRead<'static>>> {
        let now = Instant::now();
        let asked = Asked::read_plain(&request.body);
        let Some(mut read) = asked.and_then(|asked| self.understand_at_once(asked, now)) else {
            return Looked::Unread;
        };
        match self.look_up_batch(&mut read, request, now) {
            Some(served) => Looked::Hit(served),
            None => Looked::Miss(Box::new(read.into_owned())),
        }
    }

    /// The answer if memory has every key. If not, nothing of the read is changed.
    fn look_up_batch(&self, read: &mut BatchRead<'_>, request: &Request, now: Instant) -> Option<Served> {
        let BatchRead { parts, consumed } = read;
        let is_answerable = |part: &Part| {
            let may_not = self.may_not_read_whole(&part.table, &part.attributes, request);
            !part.strong && !part.table.is_in_shadow() && !may_not
        };
        if !parts.iter().all(is_answerable) {
            return None;
        }
        let moment = self.cache.moment(now);
        let found = self.find_all(parts, moment)?;
        // If a table is retired, an entry may be an item of another table under the same key.
        if parts.iter().any(|part| part.table.is_retired()) {
            return None;
        }
        let counts = self.count_all(parts, found, moment, request);
        let table = match &**parts {
            [part] => Some(part.table.name_for_answer()),
            _ => None,
        };
        let body = compose(parts, *consumed, &Fetched::default());
        Some(Served { table, ..Served::plain(Answer::ok(body), counts.source()) })
    }

    /// Reads the request by descriptions of its tables that are there and need no refreshing.
    fn understand_at_once<'b>(&self, asked: Asked<'b>, now: Instant) -> Option<BatchRead<'b>> {
        let Asked { tables, return_consumed_capacity: consumed } = asked;
        let mut parts = Parts::of(&tables).ok()?;
        for asked in tables {
            let table = self.tables.get(&asked.spelling)?;
            if table.freshness(self.cache.aged(now)) != Freshness::Fresh {
                return None;
            }
            parts.add(table, asked).ok()?;
        }
        Some(BatchRead { parts: parts.finish().ok()?, consumed })
    }

    /// What memory has of all keys, in their order; `None` if one is missing.
    fn find_all(&self, parts: &[Part], moment: Moment) -> Option<Vec<UncountedHit>> {
        let mut found = Vec::with_capacity(parts.iter().map(|part| part.keys.len()).sum());
        for part in parts {
            for wanted in &part.keys {
                let address = part.table.cached.address_with_hash(wanted.key(&part.key_bytes), wanted.hash);
                found.push(self.cache.find_at(&address, moment)?);
            }
        }
        Some(found)
    }

    /// Counts what was found of all keys, and has every key show it.
    fn count_all(
        &self,
        parts: &mut [Part],
        found: Vec<UncountedHit>,
        moment: Moment,
        request: &Request,
    ) -> Counts {
        let mut counts = Counts::default();
        let mut found = found.into_iter();
        for part in parts {
            let Part { table, spelling, keys, key_bytes, .. } = part;
            let mut absent = 0;
            for (wanted, found) in keys.iter_mut().zip(found.by_ref()) {
                let key = wanted.key(key_bytes);
                let address = table.cached.address_with_hash(key, wanted.hash);
                let hit = self.cache.take_hit(&address, found, moment);
                absent += u64::from(hit.value.is_absent());
                if table.verify_sample.picks()
                    && let Some(policy) = table.policy
                {
                    let single = ItemRead::of_key((&*table, &*spelling), (key, wanted), policy, request);
                    self.verify(single, &hit);
                }
                wanted.read = Some((Outcome::Hit, Some(hit.age.as_secs())));
                wanted.state = State::Found(hit.value);
            }
            self.cache.count_hits(&table.cached, keys.len() as u64, absent);
            counts.hit += keys.len() as u32;
        }
        counts
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use fastrand::Rng;

    use super::*;
    use crate::cache::{CacheLimits, FillMode, ItemCache, PageCache, PageLimits, ReadPolicy, TableStats};
    use crate::engine::TablePolicy;
    use crate::local::{Local, Settings};
    use crate::model::Operation;

    const REQUESTS: usize = 2_000;

    fn engine() -> Arc<Engine> {
        let items = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
        let pages = PageCache::new(PageLimits::for_budget(1 << 20), Arc::clone(&items));
        let (ttl, stale_if_error) = (Some(Duration::from_secs(300)), Duration::ZERO);
        let policy = ReadPolicy {
            ttl,
            negative_ttl: ttl,
            fill: FillMode::Adaptive,
            item_bytes_max: 100_000,
            stale_if_error,
        };
        let local = Arc::new(Local::in_memory(Settings::default()));
        Engine::new(local, items, pages, Box::new(move |_| TablePolicy::items_only(policy)))
    }

    /// What is counted of the reads of all tables.
    fn counted(engine: &Engine) -> (TableStats, u64) {
        let saved = |table| engine.insight.table(0, table).units()[0].1.read_saved.halves();
        (engine.cache.stats().total, saved("one") + saved("two"))
    }

    /// What an answer says, but for what it cost.
    fn said(served: &Served) -> (u16, serde_json::Value) {
        let mut body: serde_json::Value = serde_json::from_slice(&served.answer.body).unwrap();
        body.as_object_mut().unwrap().remove("ConsumedCapacity");
        (served.answer.status, body)
    }

    /// A write or a read of one item, or a batch of keys.
    fn request(random: &mut Rng, number: usize) -> Request {
        let mut pick = |texts: &[&'static str]| texts[random.usize(..texts.len())];
        let mut key = || {
            let (p, s) = (pick(&["0", "1", "\\u0030"]), pick(&["0", "1", "2", "1.0"]));
            format!("\"p\":{{\"S\":\"{p}\"}},\"s\":{{\"N\":\"{s}\"}}")
        };
        let keys: Vec<String> = (0..1 + number % 4).map(|_| format!("{{{}}}", key())).collect();
        let key = key();
        let (table, other) = (pick(&["one", "two"]), pick(&["one", "two", "none"]));
        let more = pick(&[
            "",
            "",
            ",\"ProjectionExpression\":\"v, p\"",
            ",\"ProjectionExpression\":\"v[\"",
            ",\"AttributesToGet\":[\"v\"]",
            ",\"ConsistentRead\":true",
            ",\"ConsistentRead\":\"false\"",
            ",\"Nonsense\":1",
        ]);
        let end =
            pick(&["", ",\"ReturnConsumedCapacity\":\"TOTAL\"", ",\"ReturnConsumedCapacity\":\"INDEXES\""]);
        let part = format!("\"{table}\":{{\"Keys\":[{}]{more}}}", keys.join(","));
        match number % 8 {
            0 => {
                let body =
                    format!("{{\"TableName\":\"{table}\",\"Item\":{{{key},\"v\":{{\"N\":\"{number}\"}}}}}}");
                Request::new(Operation::PutItem, body)
            }
            1 => Request::new(
                Operation::DeleteItem,
                format!("{{\"TableName\":\"{table}\",\"Key\":{{{key}}}}}"),
            ),
            2 => {
                let body =
                    format!("{{\"RequestItems\":{{{part},\"{other}\":{{\"Keys\":[{{{key}}}]}}}}{end}}}");
                Request::new(Operation::BatchGetItem, body)
            }
            _ => Request::new(Operation::BatchGetItem, format!("{{\"RequestItems\":{{{part}}}{end}}}")),
        }
    }

    async fn create(engine: &Arc<Engine>, table: &str) {
        let body = format!(
            "{{\"TableName\":\"{table}\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[\
             {{\"AttributeName\":\"p\",\"AttributeType\":\"S\"}},{{\"AttributeName\":\"s\",\"AttributeType\":\"N\"}}],\
             \"KeySchema\":[{{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"}},{{\"AttributeName\":\"s\",\"KeyType\":\"RANGE\"}}]}}"
        );
        assert_eq!(engine.execute(Request::new(Operation::CreateTable, body)).await.answer.status, 200);
    }

    #[tokio::test]
    async fn a_batch_whose_table_was_made_anew_after_the_look_is_read_again() {
        let engine = engine();
        create(&engine, "one").await;
        let keys = r#"{"RequestItems":{"one":{"Keys":[{"p":{"S":"0"},"s":{"N":"1"}}]}}}"#;
        let request = Request::new(Operation::BatchGetItem, keys);
        engine.execute(request.clone()).await;
        let strong = keys.replace("]}}}", "],\"ConsistentRead\":true}}}");
        let strong = Request::new(Operation::BatchGetItem, strong);
        let Looked::Miss(read) = engine.look_for_batch(&strong) else { panic!("it is understood") };
        let delete = Request::new(Operation::DeleteTable, r#"{"TableName":"one"}"#);
        assert_eq!(engine.execute(delete).await.answer.status, 200);
        create(&engine, "one").await;
        engine.execute(request).await;
        let served = engine.batch_get_item(strong.clone(), Some(*read)).await;
        let again = engine.batch_get_item(strong, None).await;
        assert_eq!((served.source, served.answer), (again.source, again.answer));
    }

    /// `NEARSIDE_SEED` replays a run.
    #[tokio::test]
    async fn a_batch_is_answered_at_once_as_it_is_otherwise_or_leaves_no_trace() {
        let given = std::env::var("NEARSIDE_SEED").ok().and_then(|text| text.parse().ok());
        let seed = given.unwrap_or_else(|| fastrand::u64(..));
        println!("replay with NEARSIDE_SEED={seed}");
        let (engine, mut random) = (engine(), Rng::with_seed(seed));
        for table in ["one", "two"] {
            create(&engine, table).await;
        }
        let (mut at_once, mut handed_on) = (0, 0);
        for number in 0..REQUESTS {
            let request = request(&mut random, number);
            if request.operation != Operation::BatchGetItem {
                engine.execute(request).await;
                continue;
            }
            let before = counted(&engine);
            let looked = engine.look_for_batch(&request);
            let between = counted(&engine);
            let looked = match looked {
                Looked::Hit(served) => served,
                Looked::Miss(read) => {
                    assert_eq!(before, between, "{request:?}");
                    handed_on += 1;
                    let served = engine.batch_get_item(request.clone(), Some(*read)).await;
                    let again = engine.batch_get_item(request.clone(), None).await;
                    assert_eq!(said(&served), said(&again), "{request:?}");
                    continue;
                }
                Looked::Unread => {
                    assert_eq!(before, between, "{request:?}");
                    engine.batch_get_item(request, None).await;
                    continue;
                }
            };
            let served = engine.batch_get_item(request.clone(), None).await;
            let after = counted(&engine);
            at_once += 1;
            assert_eq!(looked.answer, served.answer, "{request:?}");
            assert_eq!((looked.source, looked.table), (served.source, served.table), "{request:?}");
            assert_eq!((looked.crc32, looked.age_seconds), (served.crc32, served.age_seconds));
            let hits = |one: &(TableStats, u64), other: &(TableStats, u64)| {
                (other.0.hits - one.0.hits, other.0.negative_hits - one.0.negative_hits, other.1 - one.1)
            };
            assert_eq!(hits(&before, &between), hits(&between, &after), "{request:?}");
            assert_eq!(
                after.0,
                TableStats { hits: after.0.hits, negative_hits: after.0.negative_hits, ..before.0 }
            );
        }
        println!("{REQUESTS} requests: {at_once} batches answered at once, {handed_on} handed on");
        assert!(at_once > REQUESTS / 10 && handed_on > REQUESTS / 100);
    }
}
