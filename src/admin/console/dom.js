// Elements from values. Text is always set as text, so that no value of a user can become markup, and with every character shown.

import { visibleLines } from "./visible.js";

const SVG = "http://www.w3.org/2000/svg";

/** Attributes that people read or hear. */
const SHOWN = ["title", "aria-label", "placeholder", "data-label"];

const shown = (child) => (typeof child === "string" ? visibleLines(child) : child);

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === null || value === undefined || value === false) continue;
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else if (name === "value") element.value = value;
    else element.setAttribute(name, value === true ? "" : SHOWN.includes(name) ? shown(value) : value);
  }
  element.append(...children.flat(9).filter((child) => child !== null && child !== undefined && child !== false).map(shown));
  return element;
}

/** An element of HTML: h("p", {class: "muted", onclick}, "text", child, [more]). */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** An element of SVG. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

/** Elements that are kept or replaced as a whole: they have listeners. Those that look alike and do different things differ in a data attribute. */
const WHOLE = "a, button, input, select, textarea, form";

/** Brings what is in an element up to date, and touches only what differs: what has the focus keeps it. */
export function put(element, ...children) {
  const next = h("div", null, ...children);
  adopt(element, [...next.childNodes]);
}

function adopt(element, children) {
  const old = [...element.childNodes];
  children.forEach((child, index) => {
    const before = old[index];
    if (!before) element.append(child);
    else if (before.isEqualNode(child)) return;
    else if (before.nodeName !== child.nodeName || before.nodeType !== Node.ELEMENT_NODE || before.matches(WHOLE))
      before.replaceWith(child);
    else {
      for (const { name } of [...before.attributes]) if (!child.hasAttribute(name)) before.removeAttribute(name);
      for (const { name, value } of child.attributes) if (before.getAttribute(name) !== value) before.setAttribute(name, value);
      adopt(before, [...child.childNodes]);
    }
  });
  old.slice(children.length).forEach((child) => child.remove());
}

/** A bar from 0 to 1, drawn without a style attribute. */
export function bar(share, kind = "hit") {
  const width = Math.max(0, Math.min(1, share || 0)) * 100;
  return s(
    "svg",
    { class: "bar", viewBox: "0 0 100 6", preserveAspectRatio: "none", "aria-hidden": "true" },
    s("rect", { class: "rail", width: 100, height: 6 }),
    s("rect", { class: `c-${kind}`, width: width.toFixed(2), height: 6 }),
  );
}

export const pill = (text, kind = "") => h("span", { class: `pill ${kind}` }, text);

export const panel = (title, note, ...children) =>
  h("section", { class: "panel" }, title && h("h2", null, title), note && h("p", { class: "note" }, note), ...children);

/** What stands where there is nothing to show: what it means, and what to do. */
export const empty = (title, ...sentences) =>
  h(
    "div",
    { class: "empty" },
    h("strong", null, title),
    sentences.map((sentence) => h("p", null, sentence)),
  );

export const field = (label, control, hint) =>
  h("label", { class: "field" }, h("span", null, label), control, hint && h("small", null, hint));

export const options = (values, chosen) =>
  values.map((value) => {
    const [id, text] = Array.isArray(value) ? value : [value, value];
    return h("option", { value: id, selected: id === chosen }, text);
  });
