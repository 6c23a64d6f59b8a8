// Tables whose rows stay in place while their figures change. On a phone each row is a card.

import { h, put } from "./dom.js";

/**
 * `columns` are { id, label, number, sort(row), cell(row) }: `cell` gives text or an element. `key` names a row. `empty` is shown without rows.
 * `sorted` is the id of the column that sorts at first, with a "-" before it for the largest first.
 */
export function dataTable({ columns, key, sorted = "", empty, caption }) {
  const rows = new Map();
  let [column, down] = [sorted.replace("-", ""), sorted.startsWith("-")];
  let data = [];
  const body = h("tbody");
  const heads = columns.map((of) => {
    const head = h("th", { scope: "col", class: of.number ? "number" : null });
    const label = of.sort
      ? h(
          "button",
          {
            type: "button",
            class: "sort",
            onclick: () => {
              [column, down] = [of.id, column === of.id ? !down : Boolean(of.number)];
              draw();
            },
          },
          of.label,
        )
      : of.label;
    head.append(label);
    return head;
  });
  const table = h("table", null, caption && h("caption", null, caption), h("thead", null, h("tr", null, heads)), body);
  const nothing = h("div", null, empty);
  const element = h("div", { class: "table" }, table, nothing);

  function draw() {
    columns.forEach((of, index) => {
      if (of.id === column) heads[index].setAttribute("aria-sort", down ? "descending" : "ascending");
      else heads[index].removeAttribute("aria-sort");
    });
    const by = columns.find((of) => of.id === column)?.sort;
    const order = by
      ? [...data].sort((a, b) => {
          const [x, y] = [by(a), by(b)];
          const way = typeof x === "string" ? x.localeCompare(y) : (x ?? -Infinity) - (y ?? -Infinity);
          return down ? -way : way;
        })
      : data;
    const seen = new Set();
    order.forEach((row, place) => {
      const name = key(row);
      seen.add(name);
      let line = rows.get(name);
      if (!line) {
        line = h(
          "tr",
          null,
          columns.map((of) => h("td", { "data-label": of.label, class: of.number ? "number" : null })),
        );
        rows.set(name, line);
      }
      columns.forEach((of, index) => put(line.children[index], of.cell(row)));
      if (body.children[place] !== line) body.insertBefore(line, body.children[place] ?? null);
    });
    for (const [name, line] of rows)
      if (!seen.has(name)) {
        line.remove();
        rows.delete(name);
      }
    table.hidden = data.length === 0;
    nothing.hidden = data.length > 0;
  }

  return {
    element,
    set(next) {
      data = next;
      draw();
    },
  };
}
