// What shadow mode and sampled verification have found: a verdict, and the figures of each table.

import { h, panel } from "./dom.js";
import { count, exact, percent, plural, within } from "./format.js";
import { bucketAt } from "./feed.js";
import { dataTable } from "./table.js";

const sum = (rows, read) => rows.reduce((total, row) => total + (read(row) ?? 0), 0);
const part = (some, all) => (all > 0 ? `${count(some)} (${percent(some / all)})` : count(some));
const link = (row) => h("a", { class: "name", href: `#/tables/${encodeURIComponent(row.table)}` }, row.table);
const number = (id, label, cell) => ({ id, label, number: true, cell });
const result = (id, label) => number(id, label, (row) => exact(row.results?.[id] ?? 0));

/** Hits in shadow mode whose two values could be set against each other. */
const compared = (row) => row.hits - (row.results?.not_compared ?? 0);
const verified = ({ results = {} }) => (results.same ?? 0) + (results.different ?? 0) + (results.explained ?? 0);

/** What the hits of tables in shadow mode would have saved in read units; null if no table has been in it. */
export const wouldHaveSaved = (stats, table) => {
  const rows = (stats.shadow?.tables ?? []).filter((row) => table === undefined || row.table === table);
  return rows.length > 0 ? sum(rows, (row) => row.read_units_saved) : null;
};

const SHADOW_COLUMNS = [
  { id: "table", label: "Table", cell: link },
  number("reads", "Reads", (row) => count(row.reads)),
  number("hits", "Would be hits", (row) => part(row.hits, row.reads)),
  number("compared", "Compared", (row) => count(compared(row))),
  result("equal", "Equal"),
  result("upstream_stale", "Upstream older"),
  result("changed_during", "Changed meanwhile"),
  result("cache_stale", "Cache older"),
  result("differs", "Unexplained"),
  result("over_budget", "Not confirmed"),
  number("saved", "Would have saved, read units", (row) => count(row.read_units_saved)),
  number("cost", "Reads added", (row) => count(sum(Object.values(row.upstream_reads ?? {}), (value) => value))),
];

function shadowVerdict(rows) {
  const of = (name) => sum(rows, (row) => row.results?.[name]);
  const [stale, differs, explained] = [of("cache_stale"), of("differs"), of("upstream_stale") + of("changed_during")];
  const unconfirmed = of("over_budget");
  const rest = [
    stale > 0 && `in ${count(stale)} the cache was out of date`,
    differs > 0 && `${count(differs)} differ without explanation`,
    unconfirmed > 0 && `${count(unconfirmed)} differ and were not confirmed`,
    explained > 0 && `${count(explained)} differ for a known reason`,
  ].filter(Boolean);
  const all = sum(rows, compared);
  if (all === 0) return "No hit was compared yet.";
  return `${plural(all, "hit")} compared, ${rest.length > 0 ? rest.join(", ") : "all equal"}.`;
}

/** The hits of a table, those of its pages included. */
const hitsOf = (stats, name) => (stats.tables ?? []).find((row) => row.table === name)?.requests?.hit ?? 0;

const VERIFIED_COLUMNS = [
  { id: "table", label: "Table", cell: link },
  number("hits", "Hits", (row) => count(row.hits)),
  number("verified", "Verified", (row) => part(verified(row), row.hits)),
  result("same", "Equal"),
  result("explained", "Changed meanwhile"),
  result("different", "Unexplained"),
  result("failed", "Failed"),
  result("skipped", "Not verifiable"),
  result("over_budget", "Over budget"),
];

function verifiedVerdict(rows, age) {
  const [all, different] = [sum(rows, verified), sum(rows, (row) => row.results?.different)];
  const old = different > 0 && age?.count > 0 ? ` Their state was ${within(bucketAt(age, 0.5))} old, median.` : "";
  return `${plural(all, "hit")} verified, ${count(different)} ${different === 1 ? "differs" : "differ"} without explanation.${old}`;
}

function card(title, columns, note) {
  const table = dataTable({ columns, key: (row) => row.table });
  table.element.classList.add("cards", "checks");
  const verdict = h("p", { class: "verdict" });
  const element = panel(title, null, verdict, table.element, h("p", { class: "note after" }, note));
  return {
    element,
    set(rows, text, isBad) {
      element.hidden = rows.length === 0;
      if (rows.length === 0) return;
      verdict.textContent = text;
      verdict.classList.toggle("problem", isBad);
      table.set(rows);
    },
  };
}

/** The two cards: { elements, update(stats) }. What is not on has none. */
export function checks() {
  const shadow = card(
    "Shadow mode: what the cache would have done",
    SHADOW_COLUMNS,
    "Cache older: somebody writes past this node. Unexplained: the upstream could not be asked once more strongly, as for global indexes.",
  );
  const verification = card(
    "Verification: hits compared with the upstream",
    VERIFIED_COLUMNS,
    "Not verifiable: pages of global indexes, which cannot be read strongly. Over budget: more than verify_rate_max allows.",
  );
  return {
    elements: [shadow.element, verification.element],
    update(stats) {
      const rows = stats.shadow?.tables ?? [];
      shadow.set(
        rows,
        shadowVerdict(rows),
        sum(rows, (row) => row.results?.cache_stale) > 0,
      );
      const verifiedRows = (stats.verification?.tables ?? []).map((row) => ({ ...row, hits: hitsOf(stats, row.table) }));
      verification.set(
        verifiedRows,
        verifiedVerdict(verifiedRows, stats.verification?.difference_age),
        sum(verifiedRows, (row) => row.results?.different) > 0,
      );
    },
  };
}
