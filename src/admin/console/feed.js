// The node's figures: asked for every two seconds while the page is seen, and kept as rates of an hour.

import { api } from "./api.js";

const PERIOD_MS = 2000;
const KEPT_SECONDS = 3600;
/** Two answers further apart than this are not joined by a line. */
const GAP_SECONDS = 8;

const sum = (values) => values.reduce((total, value) => total + (value ?? 0), 0);

/** Adds histograms; those that are missing count for nothing. */
export function addHistograms(histograms) {
  const [first, ...rest] = histograms.filter((histogram) => histogram?.counts);
  if (!first) return null;
  const total = { bounds: first.bounds, counts: [...first.counts], count: first.count, sum_seconds: first.sum_seconds };
  for (const other of rest) {
    other.counts.forEach((value, index) => {
      total.counts[index] += value;
    });
    total.count += other.count;
    total.sum_seconds += other.sum_seconds;
  }
  return total;
}

function subtract(now, before) {
  if (!now || !before) return now;
  return {
    bounds: now.bounds,
    counts: now.counts.map((value, index) => value - before.counts[index]),
    count: now.count - before.count,
    sum_seconds: now.sum_seconds - before.sum_seconds,
  };
}

/** The value below which a share of a histogram lies, in seconds; null for an empty one. */
export function quantile(histogram, share) {
  if (!histogram?.count) return null;
  const wanted = share * histogram.count;
  const { bounds, counts } = histogram;
  for (let index = 0; index < bounds.length; index += 1) {
    if (counts[index] < wanted) continue;
    const [from, before] = index === 0 ? [0, 0] : [bounds[index - 1], counts[index - 1]];
    const inside = counts[index] - before;
    return from + (bounds[index] - from) * (inside > 0 ? (wanted - before) / inside : 1);
  }
  return bounds[bounds.length - 1];
}

/**
 * The bucket of a histogram in which a share of it ends, as { from, to } in seconds; null for an empty one. For buckets that are too wide
 * to name a value inside them. `to` is null above the last bound.
 */
export function bucketAt(histogram, share) {
  if (!histogram?.count) return null;
  const { bounds, counts } = histogram;
  const index = counts.findIndex((amount) => amount >= share * histogram.count);
  return { from: bounds[index < 0 ? bounds.length - 1 : index - 1] ?? 0, to: index < 0 ? null : bounds[index] };
}

export const latencyOf = (stats, source) =>
  addHistograms((stats.requests?.by_operation ?? []).filter((row) => row.source === source).map((row) => row.latency));

/** Hits, and all that a cache was asked, of counters with hits, misses and joins. */
const asked = (counters) => (counters ? [counters.hits, sum([counters.hits, counters.misses, counters.joins])] : [0, 0]);

/** The hits and the lookups of a table, its indexes included. */
export const tableAsked = (table) =>
  [table?.items, ...(table?.pages ?? [])].map(asked).reduce(([hits, all], [moreHits, more]) => [hits + moreHits, all + more], [0, 0]);

/** The hits and the lookups of items and pages together. */
const cacheAsked = (stats) =>
  [stats.cache?.items, stats.cache?.pages].map(asked).reduce(([hits, all], [moreHits, more]) => [hits + moreHits, all + more]);

const share = ([hits, all], [hitsBefore, allBefore] = [0, 0]) => (all > allBefore ? (hits - hitsBefore) / (all - allBefore) : null);

/** The hit ratio since the start, or null before the first lookup. */
export const ratioSinceStart = (stats) => share(cacheAsked(stats));

function ratesOf(now, before, passed) {
  const rates = {};
  for (const [name, value] of Object.entries(now ?? {})) rates[name] = (value - (before?.[name] ?? 0)) / passed;
  return rates;
}

const errorsOf = (table) => sum(Object.values(table?.errors ?? {}));

function tablePoint(now, before, passed) {
  const rates = ratesOf(now.requests, before?.requests, passed);
  return {
    rates,
    total: sum(Object.values(rates)),
    ratio: share(tableAsked(now), before && tableAsked(before)),
    errors: (errorsOf(now) - errorsOf(before)) / passed,
  };
}

/** What happened between two answers. */
function pointOf(time, now, before, passed) {
  const rates = ratesOf(now.requests?.by_source, before.requests?.by_source, passed);
  const point = { time, rates, total: sum(Object.values(rates)), latency: {}, tables: {} };
  const per = (read) => {
    const [value, old] = [read(now), read(before)];
    return value === undefined || value === null ? null : (value - (old ?? 0)) / passed;
  };
  point.errors = per((stats) => stats.requests?.errors);
  point.items = share(asked(now.cache?.items), asked(before.cache?.items));
  point.pages = share(asked(now.cache?.pages), asked(before.cache?.pages));
  point.ratio = share(cacheAsked(now), cacheAsked(before));
  for (const source of ["hit", "miss"]) {
    const histogram = subtract(latencyOf(now, source), latencyOf(before, source));
    point.latency[source] = [quantile(histogram, 0.5), quantile(histogram, 0.99)];
  }
  point.saved = per((stats) => stats.savings?.read_units_saved);
  point.spent = per((stats) => stats.savings?.read_units_spent);
  point.written = per((stats) => stats.savings?.write_units_spent);
  point.money = per((stats) => stats.savings?.money?.saved);
  point.upstream = now.upstream && {
    requests: per((stats) => stats.upstream?.requests),
    failures: per((stats) => stats.upstream?.failures),
    in_flight: now.upstream.in_flight ?? null,
    queued: now.upstream.queued ?? null,
  };
  const old = new Map((before.tables ?? []).map((table) => [table.table, table]));
  for (const table of now.tables ?? []) point.tables[table.table] = tablePoint(table, old.get(table.table), passed);
  return point;
}

/** Events: "figures" after each answer and each failure to get one. */
export class Feed extends EventTarget {
  stats = null;
  /** When the last answer came, in Unix seconds. */
  time = null;
  error = null;
  points = [];
  #timer = 0;
  #running = false;
  #before = null;

  start() {
    document.addEventListener("visibilitychange", () => (document.hidden ? this.#pause() : this.poll()));
    this.poll();
  }

  /** True while the last try gave no figures, so that what is known is old. */
  get gone() {
    return this.error !== null;
  }

  get last() {
    return this.gone ? null : (this.points.findLast((point) => !point.gap) ?? null);
  }

  /** Drops all that is known, as whoever has no token must not see it. */
  forget() {
    this.stats = this.#before = this.time = null;
    this.points = [];
  }

  #pause() {
    clearTimeout(this.#timer);
  }

  async poll() {
    clearTimeout(this.#timer);
    if (this.#running) return;
    this.#running = true;
    try {
      this.#take(await api("stats"));
      this.error = null;
    } catch (error) {
      this.error = error;
    }
    this.#running = false;
    this.dispatchEvent(new Event("figures"));
    if (!document.hidden) this.#timer = setTimeout(() => this.poll(), PERIOD_MS);
  }

  #take(stats) {
    const [time, moment] = [Date.now() / 1000, performance.now() / 1000];
    const before = this.#before;
    this.#before = { stats, moment };
    this.stats = stats;
    this.time = time;
    if (!before) return;
    const passed = moment - before.moment;
    // A node that has started again counts from 0.
    const restarted =
      before.stats.node?.started_at !== stats.node?.started_at || (stats.requests?.total ?? 0) < (before.stats.requests?.total ?? 0);
    if (restarted || passed > GAP_SECONDS) this.points.push({ time: time - Math.min(passed, 1), gap: true });
    if (!restarted && passed > 0.2) this.points.push(pointOf(time, stats, before.stats, passed));
    while (this.points.length > 0 && this.points[0].time < time - KEPT_SECONDS) this.points.shift();
  }
}
