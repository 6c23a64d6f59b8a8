// Plots in SVG: lines or stacked areas, with a title, units, axes, and a legend that reads the values under the pointer.

import { h, s, put } from "./dom.js";
import { NONE, clock } from "./format.js";

const HEIGHT = 190;
const [LEFT, RIGHT, TOP, BOTTOM] = [52, 10, 8, 22];

/** About `wanted` round values from 0 (or `low`) to `high`. */
function niceTicks(low, high, wanted = 4) {
  const raw = (high - low || 1) / wanted;
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 2.5, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= raw * 0.999);
  const ticks = [];
  const top = Math.ceil(high / step - 1e-6) * step;
  for (let value = Math.ceil(low / step) * step; value <= top + step * 1e-6; value += step) ticks.push(value);
  return { ticks, top };
}

const TIME_STEPS = [15, 30, 60, 120, 300, 600, 900, 1800];

function timeTicks(from, to, wanted) {
  const step = TIME_STEPS.find((candidate) => (to - from) / candidate <= wanted) ?? 3600;
  const ticks = [];
  for (let value = Math.ceil(from / step) * step; value <= to; value += step) ticks.push(value);
  return { ticks, withSeconds: step < 60 };
}

/** Scales: `at` gives the place of a value between 0 and 1. */
function linear(low, high) {
  return { at: (value) => (value - low) / (high - low || 1) };
}

function logarithmic(low, high) {
  const [from, to] = [Math.log10(low), Math.log10(high)];
  return { at: (value) => (Math.log10(Math.max(value, low)) - from) / (to - from || 1) };
}

/**
 * A plot. `series` are { name, kind } in the order of their values; `format` writes a value; `axis` names the vertical axis with its unit.
 * `type` is "lines" or "stack", `scale` "linear", "log" or "share" (0 to 1), `x` "time" or "bytes".
 */
export class Plot {
  constructor({
    title,
    axis,
    series,
    format,
    formatTick = format,
    type = "lines",
    scale = "linear",
    x = "time",
    xAxis,
    formatX,
    hint = "",
  }) {
    Object.assign(this, { title, axis, series, format, formatTick, type, scale, x, formatX });
    this.data = null;
    this.cursor = null;
    this.legend = h("ul", { class: "legend" });
    this.svg = s("svg", { class: "plot", height: HEIGHT, tabindex: 0, role: "img", "aria-label": title });
    this.note = h("p", { class: "plot-note" }, hint || "The first figures come in a few seconds.");
    this.hint = hint;
    this.element = h(
      "figure",
      { class: "panel chart" },
      h("figcaption", null, h("h2", null, title), h("span", { class: "axis" }, axis)),
      this.legend,
      h("div", { class: "canvas" }, this.svg, this.note),
      xAxis && h("p", { class: "x-axis" }, xAxis),
    );
    this.svg.addEventListener("pointermove", (event) => this.#point(event));
    this.svg.addEventListener("pointerdown", (event) => this.#point(event));
    this.svg.addEventListener("pointerleave", () => this.#move(null));
    this.svg.addEventListener("blur", () => this.#move(null));
    this.svg.addEventListener("keydown", (event) => this.#key(event));
    this.observer = new ResizeObserver(() => this.draw());
    this.observer.observe(this.element);
  }

  /** `xs` ascend; `values` has an array for each series, with null where there is no value; `marks` are { x, text }. */
  set(xs, values, { from, to, marks = [] } = {}) {
    this.data = { xs, values, from: from ?? xs[0], to: to ?? xs[xs.length - 1], marks };
    if (this.cursor !== null && this.cursor >= xs.length) this.cursor = null;
    this.draw();
  }

  destroy() {
    this.observer.disconnect();
  }

  #point(event) {
    if (!this.data?.xs.length || !this.xAt) return;
    const place = event.clientX - this.svg.getBoundingClientRect().left;
    let best = 0;
    this.data.xs.forEach((x, index) => {
      if (Math.abs(this.xAt(x) - place) < Math.abs(this.xAt(this.data.xs[best]) - place)) best = index;
    });
    this.#move(best);
  }

  #key(event) {
    const count = this.data?.xs.length ?? 0;
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -count, End: count }[event.key];
    if (!step || !count) return;
    event.preventDefault();
    this.#move(Math.max(0, Math.min(count - 1, (this.cursor ?? count - 1) + step)));
  }

  #move(index) {
    if (index === this.cursor) return;
    this.cursor = index;
    this.draw();
  }

  #heights() {
    const { values } = this.data;
    if (this.type !== "stack") return values;
    const below = this.data.xs.map(() => 0);
    return values.map((row) => row.map((value, index) => (value === null ? null : (below[index] += value))));
  }

  #scaleY(heights) {
    const all = heights.flat().filter((value) => value !== null && Number.isFinite(value));
    if (this.scale === "share") return { ...linear(0, 1), ticks: [0, 0.25, 0.5, 0.75, 1], any: all.length > 0 };
    if (this.scale === "log") {
      const positive = all.filter((value) => value > 0);
      if (positive.length === 0) return { ...linear(0, 1), ticks: [], any: false };
      const low = 10 ** Math.floor(Math.log10(Math.min(...positive)));
      const high = Math.max(low * 10, 10 ** Math.ceil(Math.log10(Math.max(...positive))));
      const ticks = [];
      for (let value = low; value <= high * 1.001; value *= 10) ticks.push(Number(value.toPrecision(1)));
      return { ...logarithmic(low, high), ticks, any: true };
    }
    const high = Math.max(...all, 0);
    // Without a value above 0 there is no size to choose ticks by.
    if (high === 0) return { ...linear(0, 1), ticks: [0], any: all.length > 0 };
    const { ticks, top } = niceTicks(0, high);
    return { ...linear(0, top), ticks, any: all.length > 0 };
  }

  #scaleX(width) {
    const { from, to } = this.data;
    if (this.x === "time") {
      const { ticks, withSeconds } = timeTicks(from, to, Math.max(2, Math.floor(width / 90)));
      return { ...linear(from, to), ticks, write: (value) => clock(value, withSeconds) };
    }
    const ticks = [];
    const first = 2 ** Math.ceil(Math.log2(from));
    const every = Math.max(1, Math.ceil(Math.log2(to / first || 1) / Math.max(2, Math.floor(width / 80))));
    for (let value = first; value <= to * 1.001; value *= 2 ** every) ticks.push(value);
    return { ...logarithmic(from, to), ticks, write: this.formatX };
  }

  draw() {
    const width = Math.floor(this.svg.parentElement.clientWidth);
    if (!this.data || width < 60) return this.#legend(null);
    const { xs, marks } = this.data;
    const heights = this.#heights();
    const y = this.#scaleY(heights);
    this.note.hidden = y.any;
    if (!y.any && xs.length > 2) this.note.textContent = this.hint || "Nothing to draw: no such requests in this time.";
    const [inner, tall] = [width - LEFT - RIGHT, HEIGHT - TOP - BOTTOM];
    const x = this.#scaleX(inner);
    const xAt = (value) => LEFT + x.at(value) * inner;
    const yAt = (value) => TOP + (1 - Math.max(0, Math.min(1, y.at(value)))) * tall;
    this.xAt = xAt;
    const parts = (y.any ? y.ticks : []).map((tick) => [
      s("line", { class: "grid", x1: LEFT, x2: width - RIGHT, y1: yAt(tick), y2: yAt(tick) }),
      s("text", { class: "tick", x: LEFT - 6, y: yAt(tick) + 4, "text-anchor": "end" }, this.formatTick(tick)),
    ]);
    for (const tick of x.ticks) {
      const place = xAt(tick);
      if (place < LEFT + 12 || place > width - 28) continue;
      parts.push(
        s("line", { class: "grid", x1: place, x2: place, y1: HEIGHT - BOTTOM, y2: HEIGHT - BOTTOM + 4 }),
        s("text", { class: "tick", x: place, y: HEIGHT - 5, "text-anchor": "middle" }, x.write(tick)),
      );
    }
    const order = this.type === "stack" ? heights.map((_, index) => heights.length - 1 - index) : heights.map((_, index) => index);
    for (const index of order)
      parts.push(
        this.#shape(heights[index], this.type === "stack" && index > 0 ? heights[index - 1] : null, this.series[index].kind, xAt, yAt),
      );
    for (const mark of marks) {
      const place = xAt(mark.x);
      const onRight = place < width * 0.7;
      parts.push(
        s("line", { class: "mark", x1: place, x2: place, y1: TOP, y2: HEIGHT - BOTTOM }),
        s(
          "text",
          { class: "tick mark-text", x: place + (onRight ? 5 : -5), y: HEIGHT - BOTTOM - 6, "text-anchor": onRight ? "start" : "end" },
          mark.text,
        ),
      );
    }
    if (this.cursor !== null && xs.length > 0) {
      const place = xAt(xs[this.cursor]);
      parts.push(s("line", { class: "cursor", x1: place, x2: place, y1: TOP, y2: HEIGHT - BOTTOM }));
      heights.forEach((row, index) => {
        if (row[this.cursor] !== null)
          parts.push(s("circle", { class: `dot c-${this.series[index].kind}`, cx: place, cy: yAt(row[this.cursor]), r: 3.5 }));
      });
    }
    this.svg.setAttribute("width", width);
    this.svg.setAttribute("viewBox", `0 0 ${width} ${HEIGHT}`);
    this.svg.replaceChildren(...parts.flat(3));
    // Unless somebody points elsewhere, the legend reads what is marked, or the newest value.
    const marked = marks.length > 0 ? xs.findIndex((value) => value >= marks[0].x) : -1;
    this.#legend(this.cursor ?? (marked >= 0 ? marked : xs.length > 0 ? xs.length - 1 : null));
  }

  /** A line, or the area between a line and the one below; broken where there is no value. */
  #shape(row, below, kind, xAt, yAt) {
    const { xs } = this.data;
    const runs = [[]];
    row.forEach((value, index) => {
      if (value === null || !Number.isFinite(value)) {
        if (runs.at(-1).length > 0) runs.push([]);
      } else runs.at(-1).push(index);
    });
    const at = (index, value) => `${xAt(xs[index]).toFixed(1)},${yAt(value).toFixed(1)}`;
    const shapes = runs
      .filter((run) => run.length > 0)
      .map((run) => {
        if (run.length === 1 && this.type !== "stack")
          return s("circle", { class: `c-${kind}`, cx: xAt(xs[run[0]]), cy: yAt(row[run[0]]), r: 2 });
        const line = run.map((index) => at(index, row[index])).join("L");
        if (this.type !== "stack") return s("path", { class: `line l-${kind}`, d: `M${line}` });
        const back = run
          .toReversed()
          .map((index) => at(index, below ? (below[index] ?? 0) : 0))
          .join("L");
        return s("path", { class: `area c-${kind}`, d: `M${line}L${back}Z` });
      });
    return shapes;
  }

  #legend(index) {
    const readings = this.series.map(({ name, kind }, row) => {
      const value = index === null || !this.data ? null : this.data.values[row][index];
      return h(
        "li",
        null,
        s(
          "svg",
          { viewBox: "0 0 10 10", class: "swatch", "aria-hidden": "true" },
          s("rect", { width: 10, height: 10, rx: 2, class: `c-${kind}` }),
        ),
        h("span", null, name),
        h("b", null, value === null || value === undefined ? NONE : this.format(value)),
      );
    });
    const when =
      index === null || (this.cursor === null && this.x === "time")
        ? null
        : h(
            "li",
            { class: "when" },
            this.x === "time" ? `at ${clock(this.data.xs[index])}` : `at ${this.formatX(this.data.xs[index])}`,
          );
    put(this.legend, ...readings, when);
    this.svg.setAttribute(
      "aria-label",
      `${this.title}, ${this.axis}. ${this.series.map(({ name }, row) => `${name}: ${readings[row].lastChild.textContent}`).join(", ")}. Arrow keys read older values.`,
    );
  }
}

const MOST_POINTS = 240;
const SHORTEST_SECONDS = 60;

/** The points of the last `seconds`, in at most MOST_POINTS steps: { xs, values, from, to } for the readers { read, take: "mean" or "max" }. */
export function overTime(points, seconds, readers) {
  const to = Date.now() / 1000;
  // A page that was just opened shows what it has, a minute at least.
  const from = Math.max(to - seconds, Math.min(to - SHORTEST_SECONDS, points[0]?.time ?? to));
  const step = Math.max(seconds / MOST_POINTS, 0.001);
  const groups = [];
  for (const point of points) {
    if (point.time < from) continue;
    const slot = Math.floor(point.time / step);
    const last = groups.at(-1);
    if (last && last.slot === slot && !point.gap && !last.gap) last.points.push(point);
    else groups.push({ slot, gap: point.gap, points: [point] });
  }
  const reduce = (group, { read, take }) => {
    if (group.gap) return null;
    const values = group.points.map(read).filter((value) => value !== null && value !== undefined && Number.isFinite(value));
    if (values.length === 0) return null;
    return take === "max" ? Math.max(...values) : values.reduce((total, value) => total + value, 0) / values.length;
  };
  const xs = groups.map((group) => group.points.reduce((total, point) => total + point.time, 0) / group.points.length);
  return { xs, values: readers.map((reader) => groups.map((group) => reduce(group, reader))), from, to };
}

/** Sources of answers, in the order of their stack, with their names and colors. */
export const SOURCES = [
  ["hit", "hit"],
  ["joined", "joined"],
  ["miss", "miss"],
  ["bypass", "bypass"],
  ["batch", "batch"],
  ["write", "write"],
  ["stale", "stale"],
  ["refused", "rejected"],
].map(([kind, name]) => ({ kind, name }));
