// Tables and their indexes: a list, and a page for each.

import { h, put, bar, panel, pill, empty } from "./dom.js";
import { NONE, count, percent, rate, seconds, wholePercent, within } from "./format.js";
import { Plot, overTime } from "./plot.js";
import { dataTable } from "./table.js";
import { bucketAt, quantile, tableAsked } from "./feed.js";
import { requestPlot, span, tile, windowSwitch } from "./overview.js";
import { wouldHaveSaved } from "./checks.js";
import { flushTable } from "./actions.js";

const ratioOf = ([hits, all]) => (all > 0 ? hits / all : null);
const asked = (counters) => [counters?.hits ?? 0, (counters?.hits ?? 0) + (counters?.misses ?? 0) + (counters?.joins ?? 0)];
const unitsOf = (table, name) =>
  Array.isArray(table.units) && table.units.length > 0 ? table.units.reduce((total, row) => total + (row[name] ?? 0), 0) : null;
const link = (table) => h("a", { class: "name", href: `#/tables/${encodeURIComponent(table)}` }, table || "no table");

export const ratioCell = (ratio) =>
  ratio === null || ratio === undefined ? NONE : h("span", { class: "ratio" }, percent(ratio), bar(ratio));
const known = (value, write) => (value === null || value === undefined ? NONE : write(value));

function policyPill(policy) {
  if (!policy) return NONE;
  const mode = policy.mode ?? "on";
  return h(
    "span",
    null,
    pill(mode, mode === "on" ? "good" : mode === "shadow" ? "warn" : ""),
    policy.item_ttl && policy.item_ttl === policy.query_ttl
      ? ` items, pages ${policy.item_ttl}`
      : [policy.item_ttl && ` items ${policy.item_ttl}`, policy.query_ttl && `, pages ${policy.query_ttl}`],
  );
}

/** Units saved; in shadow mode those that would have been. */
function savedCell(stats, row) {
  const [saved, would] = [unitsOf(row, "read_saved"), wouldHaveSaved(stats, row.table)];
  if (would === null) return known(saved, count);
  const note = h("small", { class: "muted block" }, saved > 0 && `${count(would)} `, "would have saved (shadow)");
  return h("span", null, count(saved > 0 ? saved : would), note);
}

const COLUMNS = (feed) => {
  const live = (row) => feed.last?.tables[row.table];
  return [
    { id: "table", label: "Table", sort: (row) => row.table, cell: (row) => link(row.table) },
    { id: "rate", label: "Requests", number: true, sort: (row) => live(row)?.total, cell: (row) => rate(live(row)?.total) },
    { id: "total", label: "In all", number: true, sort: (row) => total(row), cell: (row) => count(total(row)) },
    {
      id: "ratio",
      label: "Hit ratio",
      number: true,
      sort: (row) => ratioOf(tableAsked(row)),
      cell: (row) => ratioCell(ratioOf(tableAsked(row))),
    },
    {
      id: "hit",
      label: "Hit p50 / p99",
      number: true,
      sort: (row) => quantile(row.latency?.hit, 0.5),
      cell: (row) => both(row.latency?.hit),
    },
    {
      id: "miss",
      label: "Miss p50 / p99",
      number: true,
      sort: (row) => quantile(row.latency?.miss, 0.5),
      cell: (row) => both(row.latency?.miss),
    },
    {
      id: "saved",
      label: "Units saved",
      number: true,
      sort: (row) => unitsOf(row, "read_saved") || wouldHaveSaved(feed.stats, row.table),
      cell: (row) => savedCell(feed.stats, row),
    },
    { id: "policy", label: "Policy, TTL", cell: (row) => policyPill(row.policy) },
  ];
};

const total = (row) => Object.values(row.requests ?? {}).reduce((sum, value) => sum + value, 0);
const both = (histogram) => (histogram?.count ? `${seconds(quantile(histogram, 0.5))} / ${seconds(quantile(histogram, 0.99))}` : NONE);

function list(context) {
  const table = dataTable({
    columns: COLUMNS(context.feed),
    key: (row) => row.table,
    sorted: "-rate",
    empty: empty(
      "No table has been asked for",
      "Point a DynamoDB client at this node: its tables appear here with their first request.",
    ),
  });
  table.element.classList.add("cards");
  const lead = h(
    "span",
    { class: "lead" },
    "Hit ratios and latencies since the start. Open a table for its indexes, its last hour and its policy.",
  );
  context.root.lastChild.append(lead);
  context.root.append(panel(null, null, table.element));
  return (feed) => table.set(feed.stats.tables ?? []);
}

/** The indexes of a table with their lookups and units: the table itself first. */
function indexRows(row) {
  const rows = new Map([["", { index: "", items: asked(row.items), pages: [0, 0] }]]);
  const at = (index) => rows.get(index) ?? rows.set(index, { index, pages: [0, 0] }).get(index);
  for (const page of row.pages ?? []) at(page.index).pages = asked(page);
  for (const units of row.units ?? []) at(units.index).units = units;
  return [...rows.values()];
}

const INDEX_COLUMNS = [
  { id: "index", label: "Index", cell: (row) => h("span", { class: "name" }, row.index || "the table itself") },
  { id: "items", label: "Items, hit ratio", number: true, cell: (row) => ratioCell(row.items && ratioOf(row.items)) },
  { id: "lookups", label: "Item lookups", number: true, cell: (row) => (row.items ? count(row.items[1]) : NONE) },
  { id: "pages", label: "Pages, hit ratio", number: true, cell: (row) => ratioCell(ratioOf(row.pages)) },
  { id: "queries", label: "Page lookups", number: true, cell: (row) => count(row.pages[1]) },
  { id: "saved", label: "Read units saved", number: true, cell: (row) => count(row.units?.read_saved) },
  { id: "spent", label: "Read units spent", number: true, cell: (row) => count(row.units?.read_spent) },
  { id: "written", label: "Write units spent", number: true, cell: (row) => count(row.units?.write_spent) },
];

const LATENCY_COLUMNS = [
  { id: "source", label: "Source", cell: (row) => h("span", { class: "name" }, row.source) },
  { id: "requests", label: "Requests", number: true, cell: (row) => count(row.count) },
  ...[
    [0.5, "p50"],
    [0.9, "p90"],
    [0.99, "p99"],
  ].map(([share, label]) => ({ id: label, label, number: true, cell: (row) => seconds(quantile(row.histogram, share)) })),
  {
    id: "mean",
    label: "Mean",
    number: true,
    cell: (row) => seconds(row.histogram?.count ? row.histogram.sum_seconds / row.histogram.count : null),
  },
];

function facts(values) {
  return h(
    "dl",
    { class: "facts" },
    Object.entries(values).map(([name, value]) => [
      h("dt", { class: "mono" }, name),
      h("dd", null, typeof value === "object" ? JSON.stringify(value) : String(value)),
    ]),
  );
}

function one(context, name) {
  const { root, feed } = context;
  const find = () => (feed.stats.tables ?? []).find((row) => row.table === name);
  root.firstChild.replaceChildren(
    h("h1", null, name),
    h("a", { href: "#/tables" }, "All tables"),
    h("span", { class: "space" }),
    windowSwitch(() => update()),
  );
  const [grid, policy, errors] = [h("div", { class: "tiles" }), h("div"), h("div")];
  const requests = requestPlot("Requests by source of the answer");
  const ratio = new Plot({
    title: "Hit ratio",
    axis: "hits of all lookups, %",
    series: [{ name: "items and pages", kind: "hit" }],
    format: percent,
    formatTick: wholePercent,
    scale: "share",
  });
  [requests.plot, ratio].forEach((plot) => context.plot(plot));
  const indexes = dataTable({ columns: INDEX_COLUMNS, key: (row) => row.index });
  const latencies = dataTable({
    columns: LATENCY_COLUMNS,
    key: (row) => row.source,
    empty: empty("No latencies yet", "They come with the first requests of this table."),
  });
  [indexes, latencies].forEach((table) => table.element.classList.add("cards"));
  const absent = empty(
    "No figures of this table",
    "Nothing has asked for it since the node started, or it has no place of its own among the 100 tables with figures.",
  );
  const all = h(
    "div",
    { class: "stack" },
    grid,
    h("div", { class: "grid2" }, requests.plot.element, ratio.element),
    panel("The table and its indexes", null, indexes.element),
    h(
      "div",
      { class: "grid2 start" },
      panel("Latency since the start, by source", null, latencies.element),
      h("div", { class: "stack" }, panel("Policy in force", null, policy), errors),
    ),
    h(
      "div",
      { class: "buttons left" },
      h("button", { type: "button", onclick: () => flushTable(name) }, "Flush this table"),
      h("a", { class: "button", href: `#/actions/${encodeURIComponent(name)}` }, "Warm this table"),
      feed.stats.node?.upstream_kind === "local" &&
        h("a", { class: "button", href: `#/data/${encodeURIComponent(name)}` }, "Look at its items"),
    ),
  );
  root.append(absent, all);
  function update() {
    const row = find();
    [absent.hidden, all.hidden] = [Boolean(row), !row];
    if (!row) return;
    const now = feed.last?.tables[name];
    const [saved, would] = [unitsOf(row, "read_saved"), wouldHaveSaved(feed.stats, name)];
    const isShadow = would !== null && !(saved > 0);
    put(
      grid,
      tile("Requests", rate(now?.total), [`${rate(now?.errors)} errors`, `${count(total(row))} since the start`]),
      tile("Hit ratio", percent(now?.ratio), `${percent(ratioOf(tableAsked(row)))} since the start`),
      tile(
        isShadow ? "Read units, would have saved (shadow)" : "Read units saved",
        isShadow ? count(would) : saved === null ? undefined : count(saved),
        saved !== null && [`${count(unitsOf(row, "read_spent"))} spent on reads`, `${count(unitsOf(row, "write_spent"))} on writes`],
      ),
      tile(
        "Evicted before a hit",
        row.evicted_unused === undefined || row.evicted_unused === null ? undefined : count(row.evicted_unused),
        ["took memory in vain", row.age_at_hit?.count && `median age at a hit: ${within(bucketAt(row.age_at_hit, 0.5))}`],
      ),
    );
    requests.update(feed.points, (point) => point.tables?.[name] ?? null);
    const { xs, values, ...range } = overTime(feed.points, span.get(), [{ read: (point) => point.tables?.[name]?.ratio }]);
    ratio.set(xs, values, range);
    indexes.set(indexRows(row));
    latencies.set(
      Object.entries(row.latency ?? {})
        .filter(([, histogram]) => histogram?.count)
        .map(([source, histogram]) => ({ source, histogram, count: histogram.count })),
    );
    put(policy, row.policy ? facts(row.policy) : h("p", { class: "muted" }, "not available"));
    const codes = Object.entries(row.errors ?? {});
    put(
      errors,
      codes.length > 0 &&
        panel(
          "Errors since the start",
          null,
          h(
            "dl",
            { class: "facts" },
            codes.map(([code, amount]) => [h("dt", null, code), h("dd", null, count(amount))]),
          ),
        ),
    );
  }
  return update;
}

export default {
  id: "tables",
  title: "Tables",
  show: (context, [name]) => (name ? one(context, name) : list(context)),
};
