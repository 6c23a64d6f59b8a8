//! The figures of a node as a screen of text: since its start, or between two looks at it.

use std::borrow::Cow;
use std::fmt::Write as _;

use serde_json::Value;

use super::output::visible;

/// What a figure is that is not there.
const NOTHING: &str = "-";

/// Two looks at the same node, the earlier one if there is one.
pub(super) struct Looks<'a> {
    pub(super) before: Option<&'a Value>,
    pub(super) now: &'a Value,
    /// Warm-ups, if they are known.
    pub(super) jobs: &'a [Value],
}

impl Looks<'_> {
    /// The screen: what the node is, what it does, and its tables, the busiest first, as many as there is room for.
    pub(super) fn screen(&self, width: usize, height: usize) -> String {
        let mut lines = vec![self.title(), String::new()];
        lines.extend([self.requests(), self.latency(), self.memory("items"), self.memory("pages")]);
        lines.extend(self.upstream());
        lines.extend(self.savings());
        lines.extend(self.shadow());
        lines.extend(self.verification());
        lines.extend(self.jobs.iter().filter(|job| job["state"] == "running").map(job_line));
        lines.push(String::new());
        lines.extend(self.tables());
        lines.truncate(height.max(10));
        lines.iter().fold(String::new(), |mut screen, line| {
            // No line has another one inside, whatever names are in it.
            let line: String = visible(line).chars().take(width).collect();
            writeln!(screen, "{}", line.trim_end()).ok();
            screen
        })
    }

    /// How long there was between the looks, or since the start of the node.
    fn seconds(&self) -> f64 {
        let uptime = |look: &Value| number(&look["node"]["uptime_seconds"]);
        let since = self.before.map_or(0.0, uptime);
        (uptime(self.now) - since).max(1e-3)
    }

    /// How much a count has grown between the looks.
    fn grown(&self, of: impl Fn(&Value) -> f64) -> f64 {
        // A node that has started again counts from zero.
        (of(self.now) - self.before.map_or(0.0, &of)).max(0.0)
    }

    fn title(&self) -> String {
        let node = &self.now["node"];
        let ready = match node["unready_reason"].as_str() {
            Some(reason) => format!("NOT READY: {reason}"),
            None => "ready".to_owned(),
        };
        format!(
            "nearside {}  {} -> {}  up {}  {ready}",
            text(&node["version"]),
            text(&node["listen"]),
            text(&node["upstream"]),
            duration(number(&node["uptime_seconds"])),
        )
    }

    fn requests(&self) -> String {
        let total = self.grown(|look| number(&look["requests"]["total"]));
        let errors = self.grown(|look| number(&look["requests"]["errors"]));
        format!(
            "requests  {:>10}   errors {:>8}   hit ratio {}",
            self.figure(total),
            self.figure(errors),
            hit_ratio(|source| self.grown(|look| number(&look["requests"]["by_source"][source]))),
        )
    }

    fn latency(&self) -> String {
        let of = |source: &str| {
            let histogram = self.histogram(|look| {
                let all = look["requests"]["by_operation"].as_array().into_iter().flatten();
                all.filter(|of| of["source"] == source).map(|of| of["latency"].clone()).collect()
            });
            format!("p50 {:>7}  p99 {:>7}", histogram.percentile(0.5), histogram.percentile(0.99))
        };
        format!("latency   hit {}   miss {}", of("hit"), of("miss"))
    }

    fn memory(&self, kind: &str) -> String {
        let cache = &self.now["cache"][kind];
        let evictions = self.grown(|look| number(&look["cache"][kind]["evictions"]));
        format!(
            "{kind:<9} {:>10}   {} of {}   evicted {}",
            count(number(&cache["entries"])),
            bytes(number(&cache["bytes"])),
            bytes(number(&cache["bytes_max"])),
            self.figure(evictions),
        )
    }

    fn upstream(&self) -> Option<String> {
        let upstream = self.now["upstream"].as_object()?;
        let grown = |name: &str| self.grown(|look| number(&look["upstream"][name]));
        Some(format!(
            "upstream  {:>10}   failed {}   breaker {}   in flight {}   queued {}",
            self.figure(grown("requests")),
            self.figure(grown("failures")),
            text(&upstream["breaker"]),
            count(number(&upstream["in_flight"])),
            count(number(&upstream["queued"])),
        ))
    }

    fn savings(&self) -> Option<String> {
        let savings = self.now["savings"].as_object()?;
        let grown = |name: &str| self.grown(|look| number(&look["savings"][name]));
        let money = savings.get("money").filter(|money| !money.is_null()).map(|money| {
            format!(
                "   since start {} {} saved",
                sum_of_money(number(&money["saved"])),
                text(&money["currency"])
            )
        });
        Some(format!(
            "units     saved {}   read {}   written {}{}",
            self.figure(grown("read_units_saved")),
            self.figure(grown("read_units_spent")),
            self.figure(grown("write_units_spent")),
            money.unwrap_or_default(),
        ))
    }

    /// What the cache would have done for tables with `mode = "shadow"`, since the start of the node: few reads say little.
    fn shadow(&self) -> Option<String> {
        let tables = self.now["shadow"]["tables"].as_array()?;
        let all = |read: &dyn Fn(&Value) -> f64| tables.iter().map(read).sum::<f64>();
        let (reads, hits) = (all(&|table| number(&table["reads"])), all(&|table| number(&table["hits"])));
        let percent = if reads > 0.0 { format!(" ({:.1} %)", 100.0 * hits / reads) } else { String::new() };
        let differences =
            ["upstream_stale", "cache_stale", "changed_during", "differs", "over_budget"].map(|result| {
                let found = all(&|table| number(&table["results"][result]));
                (found > 0.0).then(|| format!("{} {result}", count(found)))
            });
        let differences: Vec<_> = differences.into_iter().flatten().collect();
        Some(format!(
            "shadow    {:>10} reads since start, {} would have been hits{percent}, differences: {}; {} read units would have been saved",
            count(reads),
            count(hits),
            if differences.is_empty() { "none".to_owned() } else { differences.join(", ") },
            amount(all(&|table| number(&table["read_units_saved"]))),
        ))
    }

    /// What `verify_sample` has found since the start of the node.
    fn verification(&self) -> Option<String> {
        let tables = self.now["verification"]["tables"].as_array()?;
        let all = |result: &str| tables.iter().map(|table| number(&table["results"][result])).sum::<f64>();
        let (same, different) = (all("same"), all("different"));
        Some(format!(
            "verified  {:>10} hits since start, {} different",
            count(same + different),
            count(different)
        ))
    }

    /// A count as a rate; of one look, since the start, the count as well.
    fn figure(&self, count_of: f64) -> String {
        let rate = rate(count_of, self.seconds());
        match self.before {
            Some(_) => rate,
            None => format!("{} ({rate})", amount(count_of)),
        }
    }

    /// The same where there is little room: of one look the count alone.
    fn cell(&self, count_of: f64) -> String {
        match self.before {
            Some(_) => rate(count_of, self.seconds()),
            None => amount(count_of),
        }
    }

    fn tables(&self) -> Vec<String> {
        let mut rows: Vec<(f64, String)> = Vec::new();
        for table in self.now["tables"].as_array().into_iter().flatten() {
            let name = text(&table["table"]);
            let of = |look: &Value| {
                let tables = look["tables"].as_array().into_iter().flatten();
                tables.into_iter().find(|table| text(&table["table"]) == name).cloned().unwrap_or_default()
            };
            let grown = |read: &dyn Fn(&Value) -> f64| self.grown(|look| read(&of(look)));
            let source = |source: &str| grown(&|table| number(&table["requests"][source]));
            let total = grown(&|table| sum(&table["requests"]));
            let errors = grown(&|table| sum(&table["errors"]));
            let percentile = |source: &str| {
                self.histogram(|look| vec![of(look)["latency"][source].clone()]).percentile(0.99)
            };
            let row = format!(
                "{name:<28} {:>10} {:>7} {:>10} {:>10} {:>9} {:>9} {:>9}",
                self.cell(total),
                hit_ratio(source),
                self.cell(source("miss")),
                self.cell(source("write")),
                self.cell(errors),
                percentile("hit"),
                percentile("miss"),
            );
            rows.push((total, row));
        }
        rows.sort_by(|(one, _), (other, _)| other.total_cmp(one));
        let head = format!(
            "{:<28} {:>10} {:>7} {:>10} {:>10} {:>9} {:>9} {:>9}",
            "TABLE", "REQUESTS", "HITS", "MISSES", "WRITES", "ERRORS", "P99 HIT", "P99 MISS"
        );
        match rows.is_empty() {
            true => vec!["no table was asked for yet".to_owned()],
            false => std::iter::once(head).chain(rows.into_iter().map(|(_, row)| row)).collect(),
        }
    }

    /// What was counted between the looks, of several histograms together.
    fn histogram(&self, of: impl Fn(&Value) -> Vec<Value>) -> Histogram {
        let mut histogram = Histogram::default();
        of(self.now).iter().for_each(|counted| histogram.add(counted, 1.0));
        self.before.into_iter().flat_map(&of).for_each(|counted| histogram.add(&counted, -1.0));
        histogram
    }
}

/// Durations by upper bound, in seconds, as counted up to each.
#[derive(Default)]
struct Histogram {
    bounds: Vec<f64>,
    counts: Vec<f64>,
    count: f64,
}

impl Histogram {
    fn add(&mut self, counted: &Value, factor: f64) {
        let numbers =
            |name: &str| -> Vec<f64> { counted[name].as_array().into_iter().flatten().map(number).collect() };
        let (bounds, counts) = (numbers("bounds"), numbers("counts"));
        if self.bounds.is_empty() {
            self.counts = vec![0.0; bounds.len()];
            self.bounds = bounds;
        }
        self.counts.iter_mut().zip(counts).for_each(|(sum, count)| *sum += factor * count);
        self.count += factor * number(&counted["count"]);
    }

    /// The bound below which that part of the durations is.
    fn percentile(&self, part: f64) -> String {
        if self.count <= 0.0 {
            return NOTHING.to_owned();
        }
        let reached = self.counts.iter().position(|count| *count >= part * self.count);
        match (reached.and_then(|place| self.bounds.get(place)), self.bounds.last()) {
            (Some(bound), _) => duration(*bound),
            (None, Some(last)) => format!(">{}", duration(*last)),
            (None, None) => NOTHING.to_owned(),
        }
    }
}

/// A warm-up in a line, with a bar where it is known how far it has got.
pub(super) fn job_line(job: &Value) -> String {
    let (items, expected) = (number(&job["items"]), job["items_expected"].as_f64());
    let part = expected.filter(|expected| *expected > 0.0).map(|expected| (items / expected).min(1.0));
    let bar = part.map(|part| {
        let full = (part * 20.0) as usize;
        format!("[{}{}] {:>3.0} %  ", "#".repeat(full), ".".repeat(20 - full), part * 100.0)
    });
    let left = job["seconds_left"].as_f64().map(|left| format!("  about {} left", duration(left)));
    format!(
        "warming {}  {}{} items, {} stored, {:.0} read units{}",
        text(&job["table"]),
        bar.unwrap_or_default(),
        count(items),
        count(number(&job["installed"])),
        number(&job["read_units"]),
        left.unwrap_or_default(),
    )
}

/// The part of reads that memory answered, by how many answers came from each source.
fn hit_ratio(of: impl Fn(&str) -> f64) -> String {
    let hits = of("hit") + of("stale");
    let reads = hits + of("miss") + of("joined") + of("bypass");
    if reads > 0.0 { format!("{:.1} %", 100.0 * hits / reads) } else { NOTHING.to_owned() }
}

fn sum(counts: &Value) -> f64 {
    counts.as_object().into_iter().flatten().map(|(_, count)| number(count)).sum()
}

fn number(value: &Value) -> f64 {
    value.as_f64().unwrap_or(0.0)
}

/// A text, with each character shown.
fn text(value: &Value) -> Cow<'_, str> {
    visible(value.as_str().unwrap_or(NOTHING))
}

/// A whole number with a gap between thousands.
pub(super) fn count(number: f64) -> String {
    // The sum of no numbers is -0.0.
    let digits = format!("{:.0}", number + 0.0);
    let mut grouped = String::new();
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place) % 3 == 0 {
            grouped.push(' ');
        }
        grouped.push(digit);
    }
    grouped
}

/// A count, with its fraction where it is small: units come in halves.
fn amount(number: f64) -> String {
    if number.fract() != 0.0 && number < 1000.0 { format!("{number:.1}") } else { count(number) }
}

/// A sum of money. A small one has two digits that say something.
fn sum_of_money(sum: f64) -> String {
    let size = sum.abs();
    if !(1e-12..0.1).contains(&size) {
        return format!("{sum:.2}");
    }
    let decimals = (1.0 - size.log10().floor()) as usize;
    format!("{sum:.decimals$}")
}

fn rate(count_of: f64, seconds: f64) -> String {
    let rate = count_of / seconds;
    match rate {
        0.0 => "0/s".to_owned(),
        rate if rate < 0.05 => "<0.1/s".to_owned(),
        rate if rate < 10.0 => format!("{rate:.1}/s"),
        rate => format!("{}/s", count(rate)),
    }
}

fn bytes(number: f64) -> String {
    match number {
        number if number >= 1024.0 * 1024.0 * 1024.0 => format!("{:.1} GiB", number / 1024.0_f64.powi(3)),
        number if number >= 1024.0 * 1024.0 => format!("{:.1} MiB", number / 1024.0_f64.powi(2)),
        number => format!("{:.0} KiB", number / 1024.0),
    }
}

/// A duration in the unit that suits it.
pub(super) fn duration(seconds: f64) -> String {
    let whole = seconds.round() as u64;
    match seconds {
        seconds if seconds < 1e-3 => format!("{:.0} us", seconds * 1e6),
        seconds if seconds < 1.0 => format!("{:.1} ms", seconds * 1e3),
        seconds if seconds < 10.0 => format!("{seconds:.1} s"),
        seconds if seconds < 60.0 => format!("{seconds:.0} s"),
        seconds if seconds < 3600.0 => format!("{} min {:02} s", whole / 60, whole % 60),
        seconds if seconds < 86_400.0 => format!("{} h {:02} min", whole / 3600, whole % 3600 / 60),
        _ => format!("{} d {:02} h", whole / 86_400, whole % 86_400 / 3600),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn look(uptime: f64, hits: u64, misses: u64) -> Value {
        let histogram = |count: u64| json!({"bounds": [1e-5, 1e-3], "counts": [count / 2, count], "count": count, "sum_seconds": 0.0});
        json!({
            "node": {"version": "1.2.3", "listen": "http://127.0.0.1:8000", "upstream": "local backend", "uptime_seconds": uptime},
            "requests": {
                "total": hits + misses, "errors": 0, "by_source": {"hit": hits, "miss": misses},
                "by_operation": [{"op": "GetItem", "source": "hit", "latency": histogram(hits)}],
            },
            "cache": {"items": {"entries": 12_345, "bytes": 3 << 20, "bytes_max": 256 << 20}, "pages": {}},
            "tables": [
                {"table": "Idle", "requests": {"hit": 5}, "errors": {}, "latency": {}},
                {"table": "Orders", "requests": {"hit": hits, "miss": misses}, "errors": {"ValidationException": 1}, "latency": {"hit": histogram(hits)}},
            ],
            "upstream": null,
        })
    }

    #[test]
    fn figures_are_what_happened_between_two_looks() {
        let (before, now) = (look(100.0, 1000, 1000), look(102.0, 3000, 1000));
        let looks = Looks { before: Some(&before), now: &now, jobs: &[] };
        let screen = looks.screen(200, 50);
        assert!(screen.contains("requests     1 000/s") && screen.contains("hit ratio 100.0 %"), "{screen}");
        assert!(screen.contains("items         12 345   3.0 MiB of 256.0 MiB"), "{screen}");
        assert!(screen.contains("p50   10 us  p99  1.0 ms   miss p50       -"), "{screen}");
        // The busiest table comes first.
        let rows: Vec<_> = screen.lines().skip_while(|line| !line.starts_with("TABLE")).collect();
        assert!(rows[1].starts_with("Orders ") && rows[2].starts_with("Idle "), "{screen}");
    }

    #[test]
    fn a_node_that_has_started_again_counts_from_zero_and_one_look_counts_since_the_start() {
        let (before, now) = (look(1000.0, 9000, 9000), look(10.0, 100, 100));
        let looks = Looks { before: Some(&before), now: &now, jobs: &[] };
        assert!(looks.screen(200, 50).contains("requests         0/s"), "{}", looks.screen(200, 50));
        let since_start = Looks { before: None, now: &now, jobs: &[] }.screen(200, 50);
        assert!(!since_start.contains("-0"), "{since_start}");
        assert!(
            since_start.contains("requests  200 (20/s)   errors  0 (0/s) ")
                && since_start.contains("hit ratio 50.0 %"),
            "{since_start}"
        );
    }

    #[test]
    fn small_sums_of_money_and_halves_of_units_are_not_rounded_away() {
        let sums = [0.0, 0.000_000_06, 0.0016, 0.0999, 0.126, 12.346].map(sum_of_money);
        assert_eq!(sums, ["0.00", "0.000000060", "0.0016", "0.100", "0.13", "12.35"].map(str::to_owned));
        assert_eq!([0.5, 12.0, 1234.5].map(amount), ["0.5", "12", "1 234"].map(str::to_owned));
    }

    #[test]
    fn what_shadow_mode_and_verification_found_has_a_line_each() {
        let mut now = look(10.0, 100, 100);
        assert!(!Looks { before: None, now: &now, jobs: &[] }.screen(200, 50).contains("shadow"));
        now["shadow"] = json!({"tables": [
            {"table": "A", "reads": 30, "hits": 20, "read_units_saved": 10.5, "results": {"equal": 18, "cache_stale": 2}},
            {"table": "B", "reads": 10, "hits": 10, "read_units_saved": 5.0, "results": {"equal": 9, "cache_stale": 1}},
        ]});
        now["verification"] =
            json!({"tables": [{"table": "C", "results": {"same": 7, "different": 1, "failed": 3}}]});
        let screen = Looks { before: None, now: &now, jobs: &[] }.screen(200, 50);
        assert!(
            screen.contains(
                "40 reads since start, 30 would have been hits (75.0 %), differences: 3 cache_stale; 15.5 read units would have been saved\n"
            ) && screen.contains("8 hits since start, 1 different\n"),
            "{screen}"
        );
    }

    #[test]
    fn a_screen_is_no_larger_than_the_terminal() {
        let now = look(10.0, 100, 100);
        let screen = Looks { before: None, now: &now, jobs: &[] }.screen(40, 10);
        assert!(
            screen.lines().count() <= 10 && screen.lines().all(|line| line.chars().count() <= 40),
            "{screen}"
        );
    }

    #[test]
    fn a_warm_up_shows_how_far_it_has_got() {
        let job = json!({"table": "Orders", "items": 500, "installed": 490, "items_expected": 1000, "read_units": 12.5, "seconds_left": 90});
        assert_eq!(
            job_line(&job),
            "warming Orders  [##########..........]  50 %  500 items, 490 stored, 12 read units  about 1 min 30 s left"
        );
        let unknown = json!({"table": "Orders", "items": 5, "installed": 5, "items_expected": null, "read_units": 0.5, "seconds_left": null});
        assert_eq!(job_line(&unknown), "warming Orders  5 items, 5 stored, 0 read units");
    }
}
