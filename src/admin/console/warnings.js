// The last warnings and errors of the log.

import { api } from "./api.js";
import { h, panel, pill, empty } from "./dom.js";
import { ago, clock, exact } from "./format.js";
import { dataTable } from "./table.js";
import { problem } from "./gate.js";

export default {
  id: "warnings",
  title: "Warnings",
  show(context) {
    const table = dataTable({
      key: (row) => row.place,
      empty: empty(
        "Nothing to report",
        "The node has logged no warning and no error since it started. They appear here when it does.",
      ),
      columns: [
        {
          id: "time",
          label: "Time",
          cell: (row) => h("span", { class: "number" }, clock(row.time), h("br"), h("span", { class: "muted" }, ago(row.time))),
        },
        { id: "level", label: "Level", cell: (row) => pill(row.level, row.level === "error" ? "bad" : "warn") },
        {
          id: "message",
          label: "Message",
          cell: (row) =>
            h("span", null, row.message, row.count > 1 && h("span", { class: "muted" }, ` × ${exact(row.count)}`), fields(row.fields)),
        },
      ],
    });
    table.element.classList.add("cards", "warnings");
    context.root.lastChild.append(
      h(
        "span",
        { class: "lead" },
        "The last 100 warnings and errors of the log, newest first; those that say the same are one. An error needs you; a warning says that the node coped.",
      ),
    );
    const box = h("div");
    context.root.append(box);
    let loaded = false;
    context.every(5, async () => {
      try {
        const { warnings = [] } = await api("warnings");
        if (!context.alive) return;
        if (!loaded) box.replaceChildren(panel(null, null, table.element));
        loaded = true;
        const seen = new Map();
        table.set(
          warnings
            .map((row) => {
              const name = `${row.level} ${row.message}`;
              seen.set(name, (seen.get(name) ?? 0) + 1);
              return { ...row, place: `${name} ${seen.get(name)}` };
            })
            .sort((a, b) => b.time - a.time),
        );
      } catch (error) {
        if (context.alive && !loaded) box.replaceChildren(problem(error, "Warnings name tables and hosts."));
      }
    });
  },
};

function fields(values) {
  const known = Object.entries(values ?? {});
  return (
    known.length > 0 &&
    h(
      "span",
      { class: "mono muted block" },
      known.map(([name, value]) => `${name}=${typeof value === "object" ? JSON.stringify(value) : value}`).join("  "),
    )
  );
}
