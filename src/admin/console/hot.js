// The keys and partitions that are asked for and written most.

import { api } from "./api.js";
import { h, panel, empty, options } from "./dom.js";
import { count, percent } from "./format.js";
import { dataTable } from "./table.js";
import { problem } from "./gate.js";
import { ratioCell } from "./tables.js";
import { flushKey } from "./actions.js";
import { keyText } from "./values.js";

const WINDOWS = [
  [60, "last minute"],
  [600, "last 10 minutes"],
];

const ORDERS = [
  ["accesses", "by reads and writes"],
  ["reads", "by reads"],
  ["hits", "by hits"],
  ["writes", "by writes"],
];

const columns = (all, isItem, isLocal) => [
  { id: "key", label: isItem ? "Key" : "Partition", cell: (row) => h("span", { class: "mono" }, keyText(row.key)) },
  {
    id: "table",
    label: "Table",
    sort: (row) => row.table,
    cell: (row) => [row.table, row.index && ` / ${row.index}`].filter(Boolean).join(""),
  },
  { id: "reads", label: "Reads", number: true, sort: (row) => row.reads, cell: (row) => count(row.reads) },
  { id: "share", label: "of the listed", number: true, cell: (row) => (all.reads > 0 ? percent(row.reads / all.reads) : "–") },
  {
    id: "ratio",
    label: "Hit ratio",
    number: true,
    sort: (row) => (row.reads ? row.hits / row.reads : null),
    cell: (row) => ratioCell(row.reads ? row.hits / row.reads : null),
  },
  { id: "writes", label: "Writes", number: true, sort: (row) => row.writes, cell: (row) => count(row.writes) },
  ...(isItem
    ? [
        {
          id: "do",
          label: "",
          cell: (row) =>
            h(
              "span",
              null,
              h("button", { type: "button", class: "small-button", "data-key": JSON.stringify([row.table, row.key]) }, "Flush"),
              isLocal && [
                " ",
                h("a", { href: `#/data/${encodeURIComponent(row.table)}/${encodeURIComponent(JSON.stringify(row.key))}` }, "open"),
              ],
            ),
        },
      ]
    : []),
];

export default {
  id: "hot",
  title: "Hot keys",
  show(context) {
    let seconds = 60;
    const order = h("select", { name: "order", "aria-label": "Heaviest", onchange: () => load() }, options(ORDERS, "accesses"));
    const isLocal = context.feed.stats.node?.upstream_kind === "local";
    const buttons = WINDOWS.map(([value, text]) =>
      h(
        "button",
        {
          type: "button",
          "aria-pressed": String(value === seconds),
          onclick: () => {
            seconds = value;
            buttons.forEach((button, index) => button.setAttribute("aria-pressed", String(WINDOWS[index][0] === value)));
            load();
          },
        },
        text,
      ),
    );
    const totals = { items: { reads: 0 }, partitions: { reads: 0 } };
    const nothing = () =>
      empty(
        "No keys yet",
        "Keys appear here when requests of the last minutes name them. They are kept in memory only, and never written to logs or metrics.",
      );
    const make = (isItem) => {
      const table = dataTable({
        columns: columns(totals[isItem ? "items" : "partitions"], isItem, isLocal),
        key: (row) => JSON.stringify([row.table, row.index ?? null, row.key]),
        empty: nothing(),
      });
      table.element.classList.add("cards");
      return table;
    };
    const [items, partitions] = [make(true), make(false)];
    items.element.addEventListener("click", (event) => {
      const named = event.target.dataset?.key;
      if (named) flushKey(...JSON.parse(named));
    });
    const [gate, body] = [h("div"), h("div", { class: "stack", hidden: true })];
    body.append(
      panel(
        "Items",
        "The heaviest keys. Up to 8,192 accesses a second their counts are exact; above, a sample is counted and scaled up.",
        items.element,
      ),
      panel(
        "Partitions",
        "Keys with the same partition key together: a partition that is much hotter than the others limits the table.",
        partitions.element,
      ),
    );
    context.root.lastChild.append(
      h("span", { class: "space" }),
      order,
      h("div", { class: "segments", role: "group", "aria-label": "Window" }, buttons),
      h("span", { class: "lead" }, "Keys are data of your users: they are shown with the token only."),
    );
    context.root.append(gate, body);
    let shownStatus = null;
    async function load() {
      try {
        const answer = await api(`hot?window=${seconds}&by=${order.value}&limit=20`);
        if (!context.alive) return;
        for (const name of ["items", "partitions"])
          totals[name].reads = (answer[name] ?? []).reduce((sum, row) => sum + (row.reads ?? 0), 0);
        items.set(answer.items ?? []);
        partitions.set(answer.partitions ?? []);
        gate.replaceChildren();
        [body.hidden, shownStatus] = [false, null];
      } catch (error) {
        if (!context.alive || error.status === shownStatus) return;
        shownStatus = error.status;
        body.hidden = true;
        gate.replaceChildren(problem(error, "Hot keys are data of your users."));
      }
    }
    context.every(4, load);
  },
};
