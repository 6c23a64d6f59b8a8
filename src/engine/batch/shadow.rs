//! BatchGetItem of tables in shadow mode: the upstream answers it as it came, and each key is compared with the cache.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::time::Instant;

use crate::cache::{Consistency, FillPermit, Hit, Lookup, SentRead, ShadowResult};
use crate::call::{BypassReason, Request};
use crate::wire::Json;
use crate::wire::request::ReturnConsumedCapacity;

use super::{Brought, Fetch, KeyRead, Part, batch_body, has_name, read_keys};
use crate::engine::checks::Comparing;
use crate::engine::items::ItemRead;
use crate::engine::permissions::is_denied;
use crate::engine::reading::Reading;
use crate::engine::view::Attributes;
use crate::engine::{Engine, Served};

/// A key of the batch, and what the cache would have done about it.
struct ShadowedKey {
    read: ItemRead,
    sent: SentRead,
    would: Would,
}

enum Would {
    Hit(Hit<crate::cache::CachedItem>),
    Join,
    Fill(FillPermit),
    /// The client reads it strongly: it goes past the cache.
    Pass,
}

impl Engine {
    /// Answers a batch of which some tables are in shadow mode, whose keys are compared. The upstream answers for the others, too:
    /// what is cached of their keys is invalidated.
    pub(super) async fn batch_in_shadow(self: &Arc<Self>, request: &Request, parts: &[Part<'_>]) -> Served {
        let shadowed = parts.iter().filter(|part| part.table.is_in_shadow());
        let looked: Vec<_> = shadowed.map(|part| (part, self.look_up_part(part, request))).collect();
        let served = match parts.iter().any(|part| part.table.policy.is_none()) {
            true => self.bypass(request, BypassReason::Disabled).await,
            false => self.batch_as_asked(request, parts, BypassReason::Shadow).await,
        };
        let answer = &served.answer;
        // What is not strict JSON is no answer to any key.
        let shown = Json::parse(&answer.body).ok().filter(|_| answer.is_success());
        let mut unfilled = Vec::new();
        for (part, keys) in looked {
            let brought = shown.as_ref().map(|shown| {
                let spelling = (&*part.spelling, part.has_own_name(parts));
                let asked: Vec<&[u8]> = part.keys().collect();
                read_keys(shown, &part.table, spelling, &asked)
            });
            let permits = self.compare_part(part, keys, brought);
            if !self.may_not_read_whole(&part.table, &part.attributes, request) {
                unfilled.extend(part.fetch_of(parts, permits));
            }
        }
        self.fill_batch_beside(unfilled, parts, request);
        served
    }

    fn look_up_part(self: &Arc<Self>, part: &Part, request: &Request) -> Vec<ShadowedKey> {
        let Some(policy) = part.table.policy else { return Vec::new() };
        let keys = part.keys.iter().map(|wanted| {
            let place = (&part.table, &*part.spelling);
            let whole = ItemRead::of_key(place, (wanted.key(&part.key_bytes), wanted), policy, request);
            let read = ItemRead { attributes: part.attributes.clone(), ..whole };
            read.note_read();
            let sent = read.sending(self);
            let would = if part.strong {
                Would::Pass
            } else {
                match read.look_up(self, Instant::now()) {
                    Lookup::Hit(hit) => Would::Hit(hit),
                    Lookup::Join(_) => Would::Join,
                    Lookup::Lead(permit) => {
                        self.check_current(&part.table);
                        Would::Fill(permit)
                    }
                }
            };
            ShadowedKey { read, sent, would }
        });
        keys.collect()
    }

    /// Compares the keys of one table with what came. `brought` is `None` if the upstream failed, and holds `None` if the answer is
    /// not one to these keys. Returns the permits of keys that are still to be fetched.
    fn compare_part(
        self: &Arc<Self>,
        part: &Part,
        keys: Vec<ShadowedKey>,
        brought: Option<Option<BTreeMap<Vec<u8>, Brought>>>,
    ) -> Vec<(usize, FillPermit)> {
        let (comparisons, now) = (part.table.cached.comparisons(), Instant::now());
        let is_whole = matches!(part.attributes, Attributes::All);
        let is_answered = brought.is_some();
        let brought = brought.flatten();
        let mut unfilled = Vec::new();
        for (position, ShadowedKey { read, sent, would }) in keys.into_iter().enumerate() {
            let shown = brought.as_ref().and_then(|brought| brought.get(&read.key));
            match (would, shown) {
                (Would::Join, _) => comparisons.shadowed(ShadowResult::Join),
                (Would::Hit(hit), Some(Brought::Item(image))) => {
                    let is_shown = part.attributes.image_of(&hit.value) == *image;
                    self.compare(read, hit, Some(is_shown), sent);
                }
                (Would::Hit(hit), Some(Brought::Opaque(_)) | None) => self.compare(read, hit, None, sent),
                (Would::Fill(permit), shown) => {
                    comparisons.shadowed(ShadowResult::Miss);
                    let suits = is_whole && permit.consistency() == Consistency::Eventual;
                    match shown {
                        Some(Brought::Item(image)) if suits => permit.complete(image.clone(), now),
                        Some(Brought::Opaque(_)) => permit.complete_opaque(now),
                        // Unprocessed keys are not asked for again here: the upstream is short of capacity.
                        None if brought.is_some() || !is_answered => {}
                        Some(Brought::Item(_)) | None => unfilled.push((position, permit)),
                    }
                }
                (Would::Pass, Some(Brought::Item(image))) if is_whole => {
                    self.cache.observe(&read.address(), image, sent, now);
                }
                (Would::Pass, _) if is_answered => self.cache.observe_opaque(&read.address(), now),
                (Would::Pass, _) => {}
            }
        }
        unfilled
    }

    /// Sends one batch for the keys whose fills the client's own request cannot be: strong ones, or those of more than the client
    /// asked for. The client's role has just read what it asked for, so a denial is one of what was added.
    fn fill_batch_beside(self: &Arc<Self>, fetches: Vec<Fetch>, parts: &[Part], request: &Request) {
        let Some(first) = fetches.first() else { return };
        let comparisons = Arc::clone(&first.table.cached);
        let is_part = |fetch: &&Fetch| {
            let of_fetch = |part: &&Part| part.spelling == fetch.spelling;
            parts.iter().find(of_fetch).is_some_and(|part| matches!(part.attributes, Attributes::Of(_)))
        };
        let of_parts: Vec<_> = fetches.iter().filter(is_part).map(|fetch| Arc::clone(&fetch.table)).collect();
        let own = request.with_body(batch_body(&fetches, ReturnConsumedCapacity::None));
        let fetch = Arc::clone(self).fetch_batch(fetches, own);
        let (engine, request) = (Arc::clone(self), request.clone());
        self.fill_apart(comparisons.comparisons(), async move {
            if let Err(answer) = fetch.await
                && is_denied(&answer)
            {
                of_parts.iter().for_each(|table| engine.note_whole_denied(table, &request));
            }
        });
    }
}

impl Part<'_> {
    /// True if an answer under the table's name is this part's.
    fn has_own_name(&self, parts: &[Self]) -> bool {
        has_name(&self.table, &self.spelling, parts.iter().map(|part| &part.spelling))
    }

    /// The fetch of keys by their positions; `None` if there are none.
    fn fetch_of(&self, parts: &[Self], permits: Vec<(usize, FillPermit)>) -> Option<Fetch> {
        if permits.is_empty() {
            return None;
        }
        let strong = permits.iter().any(|(_, permit)| permit.consistency() == Consistency::Strong);
        let keys = permits.into_iter().map(|(position, permit)| {
            let wanted = &self.keys[position];
            (wanted.key(&self.key_bytes).to_vec(), wanted.text.to_json(), KeyRead::Fill(permit))
        });
        Some(Fetch {
            table: Arc::clone(&self.table),
            spelling: self.spelling.clone(),
            has_name: self.has_own_name(parts),
            strong,
            keys: keys.collect(),
        })
    }
}
