// One item: shown, edited, created, deleted.

import { dynamo } from "./api.js";
import { h } from "./dom.js";
import { confirmed, dialog, toast } from "./dialog.js";
import { isPlain, itemFromPlain, itemFromTyped, keyText, plainItem, same, typedText } from "./values.js";
import { visible } from "./visible.js";

export const keyNames = (description) => description.KeySchema.map(({ AttributeName }) => AttributeName);

const typeIn = (description, name) =>
  description.AttributeDefinitions.find(({ AttributeName }) => AttributeName === name)?.AttributeType ?? "S";

/** The key of an item; null if the item lacks a part of it. */
export function keyOf(description, item) {
  const names = keyNames(description);
  return names.every((name) => item[name]) ? Object.fromEntries(names.map((name) => [name, item[name]])) : null;
}

async function fetchItem(table, key) {
  const { output } = await dynamo("GetItem", { TableName: table, Key: key, ConsistentRead: true });
  return output.Item ?? null;
}

const blank = (description) => Object.fromEntries(keyNames(description).map((name) => [name, { [typeIn(description, name)]: "" }]));

/** Opens an item of a result, whole and as it is now, if its page is still shown then. Gives true if something was changed. */
export async function openItem(description, shown, isStill) {
  const key = keyOf(description, shown);
  if (!key)
    return show({
      description,
      item: shown,
      title: "A part of an item",
      readOnly: "The result lacks the key, so the item cannot be edited here. Select the key attributes, too.",
    });
  try {
    const item = await fetchItem(description.TableName, key);
    if (!isStill()) return false;
    if (!item) {
      toast("This item no longer exists.", "bad");
      return true;
    }
    return await show({ description, item, key, title: keyText(key) });
  } catch (error) {
    toast(error.message, "bad");
    return false;
  }
}

export const createItem = (description, item = blank(description)) =>
  show({ description, item, title: `New item of ${description.TableName}` });

async function show({ description, item, key = null, title, readOnly = "" }) {
  const text = h("textarea", { class: "source", rows: 16, spellcheck: "false", "aria-label": "The item as JSON", autofocus: true });
  const problem = h("p", { class: "problem", role: "alert" });
  const note = h("p", { class: "note" });
  let form = "typed";
  let saved = typedText(item);
  text.value = saved;
  text.setSelectionRange(0, 0);
  text.readOnly = Boolean(readOnly);
  note.textContent = readOnly;
  const read = () => (form === "typed" ? itemFromTyped(text.value) : itemFromPlain(text.value));

  function turn(next) {
    problem.textContent = "";
    if (next === form) return;
    let now;
    try {
      now = text.readOnly ? itemFromTyped(saved) : read();
    } catch (error) {
      problem.textContent = visible(error.message);
      return;
    }
    const isWhole = Object.values(now).every(isPlain);
    if (form === "typed") saved = text.value;
    form = next;
    text.value = next === "typed" ? typedText(now) : plainItem(now);
    text.readOnly = Boolean(readOnly) || (next === "plain" && !isWhole);
    note.textContent =
      readOnly ||
      (text.readOnly
        ? "Sets and binary values have no place in plain JSON, so this form is for reading. Edit the item as DynamoDB JSON."
        : "");
    buttons.forEach((button) => button.setAttribute("aria-pressed", String(button.value === next)));
  }
  const buttons = [
    ["typed", "DynamoDB JSON"],
    ["plain", "Plain JSON"],
  ].map(([value, label]) =>
    h("button", { type: "button", value, "aria-pressed": String(value === form), onclick: () => turn(value) }, label),
  );

  const answer = await dialog(title, (close) => {
    const guarded = (action) => async () => {
      problem.textContent = "";
      try {
        await action();
      } catch (error) {
        problem.textContent = visible(error.message);
      }
    };
    const current = () => (text.readOnly ? itemFromTyped(saved) : read());
    const save = guarded(async () => {
      if (await store(description, key, item, current())) close("saved");
    });
    return [
      h("div", { class: "segments", role: "group", "aria-label": "Form" }, buttons),
      h("div", { class: "editor" }, text),
      note,
      problem,
      h(
        "div",
        { class: "buttons" },
        key &&
          h(
            "button",
            {
              type: "button",
              id: "delete-item",
              onclick: guarded(async () => {
                if (await remove(description, key)) close("deleted");
              }),
            },
            "Delete…",
          ),
        key && h("button", { type: "button", onclick: () => close("copy") }, "Duplicate"),
        h("span", { class: "space" }),
        h("button", { type: "button", onclick: () => close() }, readOnly ? "Close" : "Cancel"),
        !readOnly && h("button", { type: "button", class: "primary", id: "save-item", onclick: save }, key ? "Save…" : "Create"),
      ),
    ];
  });
  if (answer === "copy") return createItem(description, item);
  return answer === "saved" || answer === "deleted";
}

async function store(description, key, before, after) {
  const table = description.TableName;
  const keyAfter = keyOf(description, after);
  if (!keyAfter) throw new Error(`The item needs its key: ${keyNames(description).join(" and ")}.`);
  const names = { "#k": keyNames(description)[0] };
  if (key === null) {
    try {
      await dynamo("PutItem", {
        TableName: table,
        Item: after,
        ConditionExpression: "attribute_not_exists(#k)",
        ExpressionAttributeNames: names,
      });
    } catch (error) {
      if (error.code === "ConditionalCheckFailedException")
        throw new Error("An item with this key exists already. Open it to change it.");
      throw error;
    }
    toast(`Created the item ${keyText(keyAfter)}.`);
    return true;
  }
  if (!same(key, keyAfter))
    throw new Error("The key of an item cannot change. Use Duplicate to create another item, and delete this one.");
  const changed = [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => !same(before[name], after[name]));
  if (changed.length === 0) throw new Error("Nothing has changed.");
  if (
    !(await confirmed({
      title: "Replace the item?",
      text: [`${keyText(key)} in ${table}.`, `Attributes that change: ${changed.join(", ")}.`],
      action: "Replace",
      danger: false,
    }))
  )
    return false;
  const now = await fetchItem(table, key);
  if (!now) throw new Error("The item was deleted since you opened it. Use Duplicate to create it again.");
  if (!same(now, before))
    throw new Error("The item was changed since you opened it. Copy what you need, close this, and open it again.");
  await dynamo("PutItem", {
    TableName: table,
    Item: after,
    ConditionExpression: "attribute_exists(#k)",
    ExpressionAttributeNames: names,
  });
  toast(`Saved the item ${keyText(key)}.`);
  return true;
}

async function remove(description, key) {
  const text = [`${keyText(key)} in ${description.TableName}.`, "This cannot be undone."];
  if (!(await confirmed({ title: "Delete the item?", text, action: "Delete" }))) return false;
  await dynamo("DeleteItem", { TableName: description.TableName, Key: key });
  toast(`Deleted the item ${keyText(key)}.`);
  return true;
}
