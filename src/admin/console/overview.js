// The overview: does the cache work, what does it save, and what should be changed?

import { api } from "./api.js";
import { h, put, bar, panel, pill, empty } from "./dom.js";
import { NONE, bytes, count, exact, money, percent, plural, rate, seconds, wholePercent } from "./format.js";
import { Plot, SOURCES, overTime } from "./plot.js";
import { latencyOf, quantile, ratioSinceStart } from "./feed.js";
import { checks, wouldHaveSaved } from "./checks.js";
import { wholeBudget } from "./curve.js";

const WINDOWS = [
  [300, "5 min"],
  [900, "15 min"],
  [3600, "1 h"],
];

/** How much of the past plots show: the choice lasts as long as the tab. */
export const span = {
  get: () => Number(sessionStorage.getItem("nearside-window")) || 300,
  set: (value) => sessionStorage.setItem("nearside-window", value),
};

export function windowSwitch(changed) {
  const buttons = WINDOWS.map(([value, text]) =>
    h(
      "button",
      {
        type: "button",
        "aria-pressed": String(span.get() === value),
        onclick: () => {
          span.set(value);
          buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(WINDOWS[index][0] === value)));
          changed();
        },
      },
      text,
    ),
  );
  return h("div", { class: "segments", role: "group", "aria-label": "Time shown by the plots" }, buttons);
}

export function tile(label, value, sub, { kind = "", share } = {}) {
  const missing = value === undefined;
  return h(
    "div",
    { class: "tile" },
    h("div", { class: "label" }, label),
    h("div", { class: `value ${missing ? "quiet" : kind}` }, missing ? "not available" : value),
    share === undefined ? null : bar(share),
    !missing && [sub].flat().map((line) => line && h("div", { class: "sub", title: line }, line)),
  );
}

/** The plot of requests by source, for all requests or those of a table. */
export function requestPlot(title) {
  const series = SOURCES.filter(({ kind }) => kind !== "stale");
  const plot = new Plot({
    title,
    axis: "requests per second",
    series: [...series, SOURCES.find(({ kind }) => kind === "stale")],
    format: count,
    type: "stack",
  });
  let used = "";
  return {
    plot,
    update(points, read) {
      const busy = SOURCES.filter(
        ({ kind }) => ["hit", "miss", "write"].includes(kind) || points.some((point) => !point.gap && read(point)?.rates[kind] > 0),
      );
      if (busy.map(({ kind }) => kind).join() !== used) {
        used = busy.map(({ kind }) => kind).join();
        plot.series = busy;
      }
      const { xs, values, ...range } = overTime(
        points,
        span.get(),
        busy.map(({ kind }) => ({ read: (point) => read(point)?.rates[kind] ?? (read(point) ? 0 : null) })),
      );
      plot.set(xs, values, range);
    },
  };
}

function tiles(feed) {
  const { stats, last } = feed;
  const live = (text) => (feed.gone || !last ? NONE : text);
  // What is known since the start is shown from the first answer on.
  const known = (text) => (feed.gone ? NONE : text);
  const { cache, savings, requests } = stats;
  const both = (source) => {
    const now = last?.latency[source]?.[0] ?? null;
    const all = latencyOf(stats, source);
    const [half, most] = now === null ? [quantile(all, 0.5), quantile(all, 0.99)] : last.latency[source];
    return [half, most, now === null && half !== null && !feed.gone ? "since the start" : null];
  };
  const [ratioNow, ratioAll] = [last?.ratio ?? null, ratioSinceStart(stats)];
  const [hit50, hit99, hitSince] = both("hit");
  const [miss50, miss99, missSince] = both("miss");
  const used = cache ? (cache.items?.bytes ?? 0) + (cache.pages?.bytes ?? 0) : undefined;
  const most = cache ? (cache.items?.bytes_max ?? 0) + (cache.pages?.bytes_max ?? 0) : undefined;
  const stale = cache?.items?.stale_observed;
  const allUnits = (savings?.read_units_saved ?? 0) + (savings?.read_units_spent ?? 0);
  const would = wouldHaveSaved(stats);
  // While no hit has saved anything, "0 saved" would hide what the cache is worth.
  const isShadow = would !== null && !(savings?.read_units_saved > 0);
  const wouldBe = tile("Read units, would have saved (shadow)", count(would ?? 0), [
    `${savings?.read_units_spent > 0 ? percent(Math.min(1, would / savings.read_units_spent)) : NONE} of those of reads`,
    "since the start",
  ]);
  const saved = [
    tile(
      "Read units saved",
      savings ? live(rate(last?.saved)) : undefined,
      savings && [
        `${allUnits > 0 ? percent(savings.read_units_saved / allUnits) : NONE} of those of reads`,
        `${count(savings.read_units_saved)} since the start`,
        would !== null && `${count(would)} would have saved (shadow)`,
      ],
    ),
    tile(
      "Money saved",
      savings?.money ? money(savings.money.saved, savings.money.currency) : undefined,
      savings?.money && moneyNote(savings.money, last, feed.gone),
    ),
  ];
  return [
    tile(
      "Requests",
      requests ? live(rate(last?.total)) : undefined,
      requests && [`${live(rate(last?.errors))} errors`, `${count(requests.total)} since the start`],
    ),
    tile(
      "Hit ratio",
      cache ? known(percent(ratioNow ?? ratioAll)) : undefined,
      cache && [
        ratioNow === null ? ratioAll !== null && !feed.gone && "since the start" : `${percent(ratioAll)} since the start`,
        `items ${live(percent(last?.items))}`, `pages ${live(percent(last?.pages))}`,
      ],
    ),
    tile(
      "Latency of hits, median",
      requests ? known(seconds(hit50)) : undefined,
      requests && [`p99 ${known(seconds(hit99))}`, hitSince],
    ),
    tile(
      "Latency of misses, median",
      requests ? known(seconds(miss50)) : undefined,
      requests && [`p99 ${known(seconds(miss99))}`, missSince],
    ),
    ...(isShadow ? [wouldBe, tile("Money saved", NONE, ["shadow mode saves nothing:", "the upstream answers every read"])] : saved),
    tile(
      "Memory of the cache",
      cache ? bytes(used) : undefined,
      cache && [
        `of ${bytes(wholeBudget(cache))} (max_bytes)`,
        `${plural(cache.items?.entries, "item")}: ${bytes(cache.items?.bytes)} of ${bytes(cache.items?.bytes_max)}`,
        `${plural(cache.pages?.entries, "page")}: ${bytes(cache.pages?.bytes)} of ${bytes(cache.pages?.bytes_max)}`,
      ],
      cache && { share: most ? used / most : 0 },
    ),
    tile(
      "Stale entries observed",
      stale === undefined ? undefined : exact(stale),
      stale === undefined ? null : stale > 0 ? ["A writer that this node does", "not know of has changed items"] : ["must stay 0"],
      { kind: stale > 0 ? "bad" : "" },
    ),
  ];
}

function moneyNote({ currency, prices }, last, gone) {
  return [
    !gone && last?.money > 0 ? `${money(last.money * 30 * 86400, currency)} a month at this rate` : "since the start",
    prices ? `prices: ${prices}` : "prices not given",
  ];
}

const LEVELS = { info: ["note", ""], advice: ["advice", "good"], warning: ["warning", "warn"] };

export function adviceList(items) {
  return h(
    "ul",
    { class: "advice" },
    items.map(({ level, table, text }) => {
      const [word, kind] = LEVELS[level] ?? [level, ""];
      return h(
        "li",
        null,
        pill(word, kind),
        h("span", null, table && [h("a", { href: `#/tables/${encodeURIComponent(table)}` }, table), ": "], text),
      );
    }),
  );
}

export default {
  id: "overview",
  title: "Overview",
  show(context) {
    const grid = h("div", { class: "tiles" });
    const requests = requestPlot("Requests by source of the answer");
    const ratio = new Plot({
      title: "Hit ratio",
      axis: "hits of all lookups, %",
      series: [
        { name: "items", kind: "hit" },
        { name: "pages", kind: "batch" },
      ],
      format: percent,
      formatTick: wholePercent,
      scale: "share",
    });
    const latency = new Plot({
      title: "Latency, hits against misses",
      axis: "seconds, logarithmic",
      format: seconds,
      scale: "log",
      series: [
        { name: "hit p50", kind: "hit" },
        { name: "hit p99", kind: "hit99" },
        { name: "miss p50", kind: "miss" },
        { name: "miss p99", kind: "miss99" },
      ],
    });
    const savings = new Plot({
      title: "Capacity",
      axis: "units per second",
      format: count,
      series: [
        { name: "read units saved", kind: "hit" },
        { name: "read units spent", kind: "miss" },
        { name: "write units spent", kind: "write" },
      ],
    });
    [requests.plot, ratio, latency, savings].forEach((plot) => context.plot(plot));
    const advice = h("div");
    const compared = checks();
    context.root.lastChild.append(
      h("span", { class: "space" }),
      windowSwitch(() => update(context.feed)),
    );
    context.root.append(
      grid,
      h(
        "div",
        { class: "grid2" },
        [requests.plot, ratio, latency, savings].map((plot) => plot.element),
      ),
      panel("Advice", null, advice),
      ...compared.elements,
    );
    context.every(10, async () => {
      try {
        const { advice: items = [] } = await api("advice");
        put(
          advice,
          items.length > 0
            ? adviceList(items)
            : empty(
                "Nothing to change",
                "Advice appears here when a table, a TTL or the memory could serve you better. It needs some minutes of load.",
              ),
        );
      } catch (error) {
        put(
          advice,
          h(
            "p",
            { class: "muted" },
            error.status === 404
              ? "Advice is not available in this version of the node."
              : `Advice is not available: ${error.message}`,
          ),
        );
      }
    });
    function update(feed) {
      put(grid, ...tiles(feed));
      const { points } = feed;
      requests.update(points, (point) => (point.gap ? null : point));
      const draw = (plot, readers) => {
        const { xs, values, ...range } = overTime(points, span.get(), readers);
        plot.set(xs, values, range);
      };
      draw(ratio, [{ read: (point) => point.items }, { read: (point) => point.pages }]);
      draw(
        latency,
        ["hit", "miss"].flatMap((source) =>
          [0, 1].map((place) => ({ read: (point) => point.latency?.[source]?.[place], take: place ? "max" : "mean" })),
        ),
      );
      if (!feed.stats.savings) savings.hint = "Savings are not available in this version of the node.";
      draw(savings, [{ read: (point) => point.saved }, { read: (point) => point.spent }, { read: (point) => point.written }]);
      compared.update(feed.stats);
    }
    return update;
  },
};
