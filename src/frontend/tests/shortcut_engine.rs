//! The same over an engine with a database: what is answered and what is counted does not show where a hit was answered.

use fastrand::Rng;

use super::verified::from_environment;
use super::*;
use crate::cache::{
    CacheLimits, FillMode, ItemCache, PageCache, PageLimits, PagePolicy, ReadPolicy, ScanAdmission,
};
use crate::engine::TablePolicy;
use crate::local::{Local, Settings as LocalSettings};

/// An engine of which is counted how many answers it gave at once.
struct Counted(Arc<Engine>, AtomicUsize);

impl Service for Counted {
    type Understood = Understood;

    fn answer_at_once(&self, _: Option<&Caller<'_>>, request: &Request) -> Result<Served, Understood> {
        let served = self.0.answer_at_once(request)?;
        self.1.fetch_add(1, Ordering::Relaxed);
        Ok(served)
    }

    async fn execute_understood(
        self: &Arc<Self>,
        _: Caller<'_>,
        request: Request,
        understood: Understood,
    ) -> Result<Served, ApiError> {
        Ok(self.0.execute_understood(request, understood).await)
    }

    async fn execute(self: &Arc<Self>, _: Caller<'_>, request: Request) -> Result<Served, ApiError> {
        Ok(self.0.execute(request).await)
    }
}

fn policy() -> TablePolicy {
    let (ttl, stale_if_error) = (Some(Duration::from_secs(300)), Duration::ZERO);
    let (item_bytes_max, page_bytes_max) = (100_000, 100_000);
    let fill = FillMode::Adaptive;
    let items = ReadPolicy { ttl, negative_ttl: ttl, fill, item_bytes_max, stale_if_error };
    let pages = PagePolicy {
        ttl,
        fill,
        gsi_quarantine: Duration::from_secs(5),
        page_bytes_max,
        scan_admission: ScanAdmission::First,
        stale_if_error,
        fill_items: false,
    };
    TablePolicy { pages: Some(pages), ..TablePolicy::items_only(items) }
}

fn call(operation: &str, body: &str) -> String {
    super::request(body).replace("GetItem", operation)
}

/// A batch of a few keys of one table, and now and then of another one, or one that is not understood.
fn batch(random: &mut Rng) -> String {
    let mut pick = |texts: &[&'static str]| texts[random.usize(..texts.len())];
    let keys: Vec<String> = (0..pick(&["1", "2", "3", "4"]).parse().unwrap())
        .map(|_| {
            let (p, s) =
                (pick(&["0", "1"]), pick(&["0", "1", "2", "0", "1", "2", "0", "1", "2", "1.0", "x"]));
            format!("{{\"p\":{{\"S\":\"{p}\"}},\"s\":{{\"N\":\"{s}\"}}}}")
        })
        .collect();
    let part = pick(&[
        "",
        "",
        "",
        ",\"ProjectionExpression\":\"v, p\"",
        ",\"AttributesToGet\":[\"v\"]",
        ",\"ConsistentRead\":true",
        ",\"ConsistentRead\":false",
        ",\"Nonsense\":1",
    ]);
    let other = match pick(&["", "", "", "", "single", "single", "none"]) {
        "" => String::new(),
        name => format!(",\"{name}\":{{\"Keys\":[{{\"p\":{{\"S\":\"a\"}}}}]}}"),
    };
    let consumed = match pick(&["", "", "TOTAL", "INDEXES"]) {
        "" => String::new(),
        kind => format!(",\"ReturnConsumedCapacity\":\"{kind}\""),
    };
    format!("{{\"RequestItems\":{{\"items\":{{\"Keys\":[{}]{part}}}{other}}}{consumed}}}", keys.join(","))
}

/// Reads and writes of a few items.
fn calls(random: &mut Rng) -> Vec<String> {
    let table = "{\"TableName\":\"items\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[\
        {\"AttributeName\":\"p\",\"AttributeType\":\"S\"},{\"AttributeName\":\"s\",\"AttributeType\":\"N\"}],\"KeySchema\":[\
        {\"AttributeName\":\"p\",\"KeyType\":\"HASH\"},{\"AttributeName\":\"s\",\"KeyType\":\"RANGE\"}]}";
    let single = "{\"TableName\":\"single\",\"BillingMode\":\"PAY_PER_REQUEST\",\"AttributeDefinitions\":[\
        {\"AttributeName\":\"p\",\"AttributeType\":\"S\"}],\"KeySchema\":[{\"AttributeName\":\"p\",\"KeyType\":\"HASH\"}]}";
    let mut calls = vec![call("CreateTable", table), call("CreateTable", single)];
    for number in 0..300 {
        let (p, s) = (random.u8(..2), random.u8(..3));
        let key = format!("\"p\":{{\"S\":\"{p}\"}},\"s\":{{\"N\":\"{s}\"}}");
        let more =
            ["", ",\"ReturnConsumedCapacity\":\"TOTAL\"", ",\"ConsistentRead\":true", ",\"Nonsense\":1"];
        let more = more[[0, 0, 0, 0, 0, 1, 2, 3][random.usize(..8)]];
        calls.push(match random.u8(..20) {
            0 => call(
                "PutItem",
                &format!("{{\"TableName\":\"items\",\"Item\":{{{key},\"v\":{{\"N\":\"{number}\"}}}}}}"),
            ),
            1 => call("DeleteItem", &format!("{{\"TableName\":\"items\",\"Key\":{{{key}}}}}")),
            2..5 => call(
                "Query",
                &format!(
                    "{{\"TableName\":\"items\",\"KeyConditionExpression\":\"p=:p\",\
                     \"ExpressionAttributeValues\":{{\":p\":{{\"S\":\"{p}\"}}}}{more}}}"
                ),
            ),
            5 => call("Scan", &format!("{{\"TableName\":\"items\"{more}}}")),
            6 => call("GetItem", &format!("{{\"TableName\":\"other\",\"Key\":{{{key}}}{more}}}")),
            8..12 => call("BatchGetItem", &batch(random)),
            7 => call("GetItem", "{\"TableName\":\"items\",\"Key\":{\"p\":{\"N\":\"1\"}}}"),
            _ => call("GetItem", &format!("{{\"TableName\":\"items\",\"Key\":{{{key}}}{more}}}")),
        });
    }
    calls
}

/// Everything that came of the calls, and how many were answered at once.
async fn run(calls: &[String], has_shortcut: bool) -> (Vec<String>, usize) {
    let items = ItemCache::seeded(CacheLimits { max_bytes: 1 << 20, stripes: 1 << 10 }, 0);
    let pages = PageCache::new(PageLimits::for_budget(8 << 20), Arc::clone(&items));
    let local = Arc::new(Local::in_memory(LocalSettings::default()));
    let engine = Engine::new(local, Arc::clone(&items), Arc::clone(&pages), Box::new(|_| policy()));
    let service = Arc::new(Counted(engine, AtomicUsize::new(0)));
    let settings = Settings { access: access(&[]), ..Settings::default() };
    let mut frontend = Frontend::new(Arc::clone(&service), Arc::<Witness>::default(), AnyCaller, settings);
    Arc::get_mut(&mut frontend).unwrap().has_shortcut = has_shortcut;
    let (mut client, server) = tokio::io::duplex(64 * 1024);
    let connection = tokio::spawn(Arc::clone(&frontend).serve_connection(server));
    let (mut ahead, mut all) = (Vec::new(), Vec::new());
    for call in calls {
        client.write_all(call.as_bytes()).await.unwrap();
        let reply = read_reply(&mut client, &mut ahead).await;
        let is_shown = |line: &&str| {
            !["x-amzn-requestid", "date", "age"].iter().any(|name| line.starts_with(&format!("{name}: ")))
        };
        let head: Vec<&str> = reply.head.lines().filter(is_shown).collect();
        all.push(format!("{call}\n{}\n{}", head.join("\n"), reply.text()));
    }
    drop(client);
    connection.await.unwrap();
    all.extend(std::mem::take(&mut *frontend.observer.0.lock().unwrap()));
    // Not the bytes: the pages' hashes are another each time, and with them the moment at which one that is invalid goes.
    let (items, pages) = (items.stats(), pages.stats());
    all.push(format!("{:?} {:?}\n{:?} {:?}", items.total, items.bumps, pages.total, pages.bumps));
    (all, service.1.load(Ordering::Relaxed))
}

#[tokio::test]
async fn an_engine_s_answers_and_figures_are_the_same_on_both_roads() {
    let seed = from_environment("NEARSIDE_SEED").unwrap_or_else(|| fastrand::u64(..));
    println!("replay with NEARSIDE_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    for _ in 0..10 {
        let calls = calls(&mut random);
        let ((with, at_once), (without, none)) = (run(&calls, true).await, run(&calls, false).await);
        for (one, other) in with.iter().zip(&without) {
            // The sizes of a table are counted from time to time, and its creation has a time of its own.
            if !one.contains("CreateTable") {
                assert_eq!(one, other, "seed {seed}");
            }
        }
        assert_eq!((with.len(), none), (without.len(), 0));
        assert!(at_once > 50, "{at_once}");
    }
}
