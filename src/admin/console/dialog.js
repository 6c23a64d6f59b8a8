// Dialogs, and the short messages at the edge of the page.

import { h } from "./dom.js";

/** Shows a dialog until it is closed; `build(close)` gives its content. The promise has what `close` was given. */
export function dialog(title, build, kind = "") {
  return new Promise((resolve) => {
    const before = document.activeElement;
    let result;
    const box = h("dialog", { class: kind, "aria-label": title });
    const close = (value) => {
      result = value;
      box.close();
      // The event comes later, and until then nobody should find the buttons of a closed dialog.
      box.remove();
    };
    box.append(h("h2", null, title), ...[build(close)].flat());
    box.addEventListener("close", () => {
      box.remove();
      before?.focus?.();
      resolve(result);
    });
    document.body.append(box);
    box.showModal();
  });
}

/** Closes all dialogs as if each was cancelled. */
export const closeDialogs = () => document.querySelectorAll("dialog").forEach((box) => box.close());

/** Asks before something that cannot be undone; true if it shall be done. */
export async function confirmed({ title, text, action, danger = true }) {
  const answer = await dialog(
    title,
    (close) => [
      ...[text].flat().map((sentence) => h("p", null, sentence)),
      h(
        "div",
        { class: "buttons" },
        h("button", { type: "button", autofocus: true, onclick: () => close(false) }, "Cancel"),
        h("button", { type: "button", class: danger ? "danger" : "primary", id: "confirm", onclick: () => close(true) }, action),
      ),
    ],
    "small",
  );
  return answer === true;
}

export function toast(text, kind = "good") {
  const message = h("p", { class: `toast ${kind}` }, text);
  document.getElementById("toasts").append(message);
  setTimeout(() => message.remove(), 6000);
}
