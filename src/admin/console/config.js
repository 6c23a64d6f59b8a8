// The config in force.

import { api } from "./api.js";
import { h, panel, pill, empty } from "./dom.js";
import { dataTable } from "./table.js";
import { problem } from "./gate.js";

const FROM = { default: "default", file: "file", variable: "variable", flag: "flag" };

const write = (value) =>
  value === null || value === undefined ? "not set" : typeof value === "object" ? JSON.stringify(value) : String(value);

export default {
  id: "config",
  title: "Config",
  show(context) {
    let keys = [];
    const search = h("input", {
      type: "search",
      placeholder: "Find a key or a value",
      "aria-label": "Find a key or a value",
      oninput: draw,
    });
    const changed = h("input", { type: "checkbox", onchange: draw });
    const known = h("label", { class: "choice", hidden: true }, changed, " only what differs from the defaults");
    const body = h("div", { class: "stack" });
    context.root.lastChild.append(
      h(
        "span",
        { class: "lead" },
        "The config in force. A live key changes with a reload, the others with a restart. Secrets are never shown.",
      ),
    );
    context.root.append(h("div", { class: "filters" }, search, known), body);
    const sections = new Map();
    function tableOf(section) {
      if (!sections.has(section)) {
        const table = dataTable({
          key: (row) => row.key,
          columns: [
            { id: "key", label: "Key", cell: (row) => h("span", { class: "mono name" }, row.key) },
            { id: "value", label: "Value", cell: (row) => h("span", { class: "mono" }, write(row.value)) },
            { id: "live", label: "Changes with", cell: (row) => pill(row.live ? "reload" : "restart", row.live ? "good" : "") },
            { id: "from", label: "From", cell: (row) => FROM[row.from] ?? row.from ?? "not available" },
          ],
        });
        table.element.classList.add("cards", "config");
        sections.set(section, { table, box: panel(`[${section}]`, null, table.element) });
      }
      return sections.get(section);
    }
    function draw() {
      const words = search.value.toLowerCase();
      const chosen = keys.filter(
        (row) =>
          (!changed.checked || (row.from && row.from !== "default")) &&
          `${row.section}.${row.key} ${write(row.value)}`.toLowerCase().includes(words),
      );
      const names = [...new Set(chosen.map((row) => row.section))];
      for (const name of names) tableOf(name).table.set(chosen.filter((row) => row.section === name));
      const boxes = names.map((name) => tableOf(name).box);
      const nothing = panel(
        null,
        null,
        keys.length === 0
          ? empty("No keys", "The node names no key of its config.")
          : empty("No such key", "No key or value has these letters. Clear the field to see all."),
      );
      const wanted = boxes.length > 0 ? boxes : [nothing];
      if (body.children.length !== wanted.length || wanted.some((box, index) => body.children[index] !== box))
        body.replaceChildren(...wanted);
    }
    context.every(10, async () => {
      try {
        const answer = await api("config");
        if (!context.alive) return;
        keys = answer.keys ?? [];
        known.hidden = !keys.some((row) => row.from && row.from !== "default");
        draw();
      } catch (error) {
        if (context.alive && keys.length === 0) body.replaceChildren(problem(error, "The config names files, hosts and tables."));
      }
    });
  },
};
