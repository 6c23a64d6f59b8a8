// DynamoDB's values as text: typed JSON, plain JSON with exact numbers, and short forms for cells.

import { visible } from "./visible.js";

const isObject = (value) => typeof value === "object" && value !== null && !Array.isArray(value);
const TYPES = ["S", "N", "B", "BOOL", "NULL", "L", "M", "SS", "NS", "BS"];

const typeOf = (value) =>
  isObject(value) && Object.keys(value).length === 1 && TYPES.includes(Object.keys(value)[0]) ? Object.keys(value)[0] : null;

/** JSON in which every character is shown: read again, it is the same value. */
const json = (value) => visible(JSON.stringify(value));

/** A value in a few characters, each of them shown. */
export const short = (value, length = 80) => visible(abridged(value, length));

function abridged(value, length) {
  const cut = (text) => (text.length > length ? `${text.slice(0, length)}…` : text);
  const type = typeOf(value);
  const inside = type && value[type];
  switch (type) {
    case "S":
      return cut(inside);
    case "N":
      return String(inside);
    case "BOOL":
      return String(inside);
    case "NULL":
      return "null";
    case "B":
      return cut(`binary ${inside}`);
    case "L":
      return cut(
        `[${inside
          .slice(0, 20)
          .map((part) => abridged(part, 20))
          .join(", ")}]`,
      );
    case "M":
      return cut(
        `{${Object.entries(inside)
          .slice(0, 20)
          .map(([name, part]) => `${name}: ${abridged(part, 20)}`)
          .join(", ")}}`,
      );
    case "SS":
    case "NS":
    case "BS":
      return cut(`${type} {${inside.slice(0, 20).join(", ")}}`);
    default:
      return cut(JSON.stringify(value) ?? "");
  }
}

/** A key for people: id = a, at = 3. */
export const keyText = (key) =>
  Object.entries(key ?? {})
    .map(([name, value]) => `${visible(name)} = ${short(value, 120)}`)
    .join(", ");

/** Typed JSON, with each value that fits on one line there. */
export function typedText(value, indent = "") {
  const flat = json(value);
  const isLeaf = typeOf(value) !== null && !["L", "M"].includes(typeOf(value));
  if (!isObject(value) && !Array.isArray(value)) return flat;
  if (flat.length <= 2 || (isLeaf && flat.length < 100)) return flat.replace(/^\{("[A-Z]+"):/, "{$1: ");
  const deeper = `${indent}  `;
  const parts = Array.isArray(value)
    ? value.map((part) => deeper + typedText(part, deeper))
    : Object.entries(value).map(([name, part]) => `${deeper}${json(name)}: ${typedText(part, deeper)}`);
  const [open, close] = Array.isArray(value) ? "[]" : "{}";
  return `${open}\n${parts.join(",\n")}\n${indent}${close}`;
}

/** Plain JSON. Numbers keep all their digits; sets and binary values become arrays and strings. */
export function plainText(value, indent = "") {
  const deeper = `${indent}  `;
  const type = typeOf(value);
  const inside = type && value[type];
  const list = (parts) => (parts.length === 0 ? "[]" : `[\n${parts.map((part) => deeper + part).join(",\n")}\n${indent}]`);
  switch (type) {
    case "N":
      return inside;
    case "NULL":
      return "null";
    case "L":
      return list(inside.map((part) => plainText(part, deeper)));
    case "M":
      return plainItem(inside, indent);
    case "SS":
    case "BS":
      return list(inside.map((part) => json(part)));
    case "NS":
      return list(inside);
    default:
      return json(inside);
  }
}

export function plainItem(item, indent = "") {
  const deeper = `${indent}  `;
  const parts = Object.entries(item).map(([name, value]) => `${deeper}${json(name)}: ${plainText(value, deeper)}`);
  return parts.length === 0 ? "{}" : `{\n${parts.join(",\n")}\n${indent}}`;
}

/** Whether plain JSON says all that there is: no sets and no binary values. */
export const isPlain = (value) => {
  switch (typeOf(value)) {
    case "SS":
    case "NS":
    case "BS":
    case "B":
      return false;
    case "L":
      return value.L.every(isPlain);
    case "M":
      return Object.values(value.M).every(isPlain);
    default:
      return true;
  }
};

class Digits {
  constructor(text) {
    this.text = text;
  }
}

function typed(value) {
  if (value instanceof Digits) return { N: value.text };
  if (typeof value === "string") return { S: value };
  if (typeof value === "boolean") return { BOOL: value };
  if (value === null) return { NULL: true };
  if (Array.isArray(value)) return { L: value.map(typed) };
  return { M: typedItem(value) };
}

const typedItem = (value) => Object.fromEntries(Object.entries(value).map(([name, part]) => [name, typed(part)]));

/** An item out of plain JSON; throws an Error with a sentence. */
export function itemFromPlain(text) {
  const value = parse(text, (_, part, context) => {
    if (typeof part !== "number") return part;
    if (context?.source !== undefined) return new Digits(context.source);
    if (!Number.isSafeInteger(part) && String(part).length > 15)
      throw new Error("This browser cannot read long numbers exactly. Edit the item as DynamoDB JSON.");
    return new Digits(String(part));
  });
  if (!isObject(value) || value instanceof Digits) throw new Error('An item is an object: { "attribute": value }.');
  return typedItem(value);
}

/** An item out of typed JSON; throws an Error with a sentence. */
export function itemFromTyped(text) {
  const value = parse(text);
  if (!isObject(value)) throw new Error('An item is an object: { "attribute": { "S": "value" } }.');
  for (const [name, part] of Object.entries(value)) {
    if (typeOf(part) === null)
      throw new Error(`The attribute ${JSON.stringify(name)} needs a type, such as { "S": "text" } or { "N": "1" }.`);
  }
  return value;
}

function parse(text, reviver) {
  try {
    return JSON.parse(text, reviver);
  } catch (error) {
    if (!(error instanceof SyntaxError)) throw error;
    throw new Error(`This is no JSON: ${error.message}.`);
  }
}

/** Equal, whatever the order of names. */
export function same(a, b) {
  if (Array.isArray(a) && Array.isArray(b)) return a.length === b.length && a.every((part, index) => same(part, b[index]));
  if (isObject(a) && isObject(b)) {
    const names = Object.keys(a);
    return names.length === Object.keys(b).length && names.every((name) => Object.hasOwn(b, name) && same(a[name], b[name]));
  }
  return a === b;
}

/** What somebody typed into a field, as a value of a type. */
export function valueOf(type, text) {
  if (type === "BOOL") return { BOOL: text.trim() === "true" };
  return { [type]: type === "N" ? text.trim() : text };
}
