// What the hit ratio would be with more memory or less.

import { api } from "./api.js";
import { h, put, panel, empty, options, field } from "./dom.js";
import { bytes, count, percent, wholePercent } from "./format.js";
import { Plot } from "./plot.js";
import { dataTable } from "./table.js";
import { problem } from "./gate.js";

/** The ratio at a size, between the points of a curve. */
export function ratioAt(points, size) {
  if (points.length === 0) return null;
  const next = points.findIndex((point) => point.bytes >= size);
  if (next === -1) return points[points.length - 1].hit_ratio;
  if (next === 0) return points[0].bytes > 0 ? points[0].hit_ratio * Math.min(1, size / points[0].bytes) : points[0].hit_ratio;
  const [a, b] = [points[next - 1], points[next]];
  return a.hit_ratio + ((b.hit_ratio - a.hit_ratio) * (size - a.bytes)) / (b.bytes - a.bytes || 1);
}

/**
 * "With max_bytes = 256 MiB now, … with 512 MiB it would be …". A cache that is far from full gets no advice: the reads so far fit
 * in any size near it, and those to come may not.
 */
export function sentence(points, size, what, isFull) {
  const now = ratioAt(points, size);
  if (now === null) return "";
  const twice = ratioAt(points, size * 2);
  const half = ratioAt(points, size / 2);
  const gain = twice - now;
  const end = !isFull
    ? ""
    : gain < 0.01
      ? now - half < 0.01
        ? "Half of it would do."
        : "More memory would change little."
      : `Twice the memory is worth ${(gain * 100).toFixed(0)} points.`;
  return `With max_bytes = ${bytes(size)} as now, about ${percent(now)} of the reads of ${what} hit; with ${bytes(size * 2)} it would be ${percent(twice)}, with ${bytes(size / 2)} ${percent(half)}. ${end}`;
}

const clean = (points) =>
  (points ?? []).filter((point) => point.bytes > 0 && Number.isFinite(point.hit_ratio)).sort((a, b) => a.bytes - b.bytes);

/** Pages have an eighth less than their share of max_bytes, for what their store needs besides. */
export const wholeBudget = ({ items, pages }) => Math.round((items?.bytes_max ?? 0) + ((pages?.bytes_max ?? 0) * 8) / 7);

/** A part of max_bytes, and its curve over all of max_bytes: the key that an operator can set. */
function budgetOf(of, curve, whole, store) {
  const most = curve?.bytes_max ?? 0;
  return {
    of,
    whole,
    parts: bytes(most),
    isFull: store?.bytes > store?.bytes_max / 2,
    scale: (points) => (most > 0 ? points.map((point) => ({ ...point, bytes: (point.bytes * whole) / most })) : []),
  };
}

export default {
  id: "curve",
  title: "Hit ratio by cache size",
  menu: "Hit ratio by size",
  show(context) {
    const body = h("div", { class: "stack" });
    context.root.lastChild.append(
      h(
        "span",
        { class: "lead" },
        "How many reads would hit with another budget (max_bytes of [cache]), estimated from a sample of the requests so far.",
      ),
    );
    context.root.append(body);
    const plots = new Map();
    let tables = [];
    let chosen = "";
    let itemBudget = null;
    const select = h("select", {
      onchange: () => {
        chosen = select.value;
        drawTable();
      },
    });
    const tableBox = panel(
      "One table",
      "The budget is common to all tables. This is what this table's items would reach by themselves in the part of it for items.",
      h("div", { class: "row" }, field("Table", select)),
    );
    const sizes = dataTable({
      key: (row) => row.size,
      columns: [
        {
          id: "size",
          label: "max_bytes",
          cell: (row) => h("span", row.now ? { class: "name" } : null, bytes(row.size), row.now && " (now)"),
        },
        { id: "items", label: "Hit ratio of items", number: true, cell: (row) => percent(row.items) },
        { id: "pages", label: "Hit ratio of pages", number: true, cell: (row) => percent(row.pages) },
      ],
    });

    function plotFor(name, title) {
      if (!plots.has(name)) {
        const plot = context.plot(
          new Plot({
            title,
            axis: "hit ratio, %",
            xAxis: "max_bytes of [cache], logarithmic",
            series: [{ name: "hit ratio", kind: "hit" }],
            format: percent,
            formatTick: wholePercent,
            formatX: bytes,
            scale: "share",
            x: "bytes",
            hint: "Too few requests for an estimate yet.",
          }),
        );
        const said = h("p", { class: "said" });
        plot.element.append(said);
        plots.set(name, { plot, said, box: plot.element });
      }
      return plots.get(name);
    }

    function draw(name, title, curve, what, budget) {
      const { plot, said, box } = plotFor(name, title);
      const points = budget.scale(clean(curve?.points));
      const now = budget.whole;
      if (points.length > 1) {
        const marks = now ? [{ x: now, text: `now: ${bytes(now)}` }] : [];
        const [from, to] = [Math.min(points[0].bytes, now || Infinity), Math.max(points.at(-1).bytes, now || 0)];
        plot.set(
          points.map((point) => point.bytes),
          [points.map((point) => point.hit_ratio)],
          { from, to, marks },
        );
      }
      said.textContent =
        points.length > 1 && now
          ? `${budget.parts} of max_bytes are for ${budget.of}. ${sentence(points, now, what, budget.isFull)} From ${count(curve.samples)} sampled reads.`
          : points.length > 1
            ? `From ${count(curve.samples)} sampled reads.`
            : "";
      return box;
    }

    function drawTable() {
      const row = tables.find(({ table }) => table === chosen) ?? tables[0];
      if (!row) return;
      const drawn = draw("table", "Hit ratio of the table's items", row, row.table, itemBudget);
      if (drawn.parentElement !== tableBox) tableBox.append(drawn);
    }

    let built = false;
    context.every(5, async () => {
      let answer;
      try {
        answer = await api("curve");
      } catch (error) {
        if (context.alive && !built) body.replaceChildren(problem(error, "The curve is made of the requests to this node."));
        return;
      }
      if (!context.alive) return;
      const [items, pages] = [clean(answer.items?.points), clean(answer.pages?.points)];
      const whole = wholeBudget(answer);
      const { cache } = context.feed.stats;
      itemBudget = budgetOf("items", answer.items, whole, cache?.items);
      const pageBudget = budgetOf("pages", answer.pages, whole, cache?.pages);
      if (items.length < 2 && pages.length < 2) {
        put(
          body,
          panel(
            null,
            null,
            empty(
              "Not enough requests yet",
              "The curve is drawn from a sample of reads. Come back after some thousand reads, with the load that you want to plan for.",
            ),
          ),
        );
        built = false;
        return;
      }
      if (!built) {
        built = true;
        body.replaceChildren(
          h(
            "div",
            { class: "grid2" },
            draw("items", "Hit ratio of items", answer.items, "items", itemBudget),
            draw("pages", "Hit ratio of pages", answer.pages, "pages", pageBudget),
          ),
          panel("In figures", null, sizes.element),
          tableBox,
        );
      }
      draw("items", "", answer.items, "items", itemBudget);
      draw("pages", "", answer.pages, "pages", pageBudget);
      sizes.set(
        [0.125, 0.25, 0.5, 1, 2, 4, 8].map((factor) => ({
          size: whole * factor,
          now: factor === 1,
          items: ratioAt(items, (answer.items?.bytes_max ?? 0) * factor),
          pages: ratioAt(pages, (answer.pages?.bytes_max ?? 0) * factor),
        })),
      );
      tables = (answer.tables ?? []).filter((row) => clean(row.points).length > 1);
      tableBox.hidden = tables.length === 0;
      if (select.options.length !== tables.length)
        select.replaceChildren(
          ...options(
            tables.map(({ table }) => table),
            chosen,
          ),
        );
      drawTable();
    });
  },
};
