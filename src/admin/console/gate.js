// The token: asking for it, and saying why a page cannot be shown.

import { token, tryToken } from "./api.js";
import { h, empty, field, panel } from "./dom.js";
import { dialog, toast } from "./dialog.js";

/** Has every page ask anew, with another token or none. */
const changed = () => dispatchEvent(new Event("tokenchange"));

const SNIPPET = '[admin]\ntoken_file = "/run/secrets/admin"   # openssl rand -hex 32';

const START_SNIPPET = "(umask 077; openssl rand -hex 32 > admin-token)\nNEARSIDE_ADMIN_TOKEN_FILE=admin-token nearside …";

/** The form that takes the token; `done` is called once the node has accepted it. */
export function tokenForm(done, stats) {
  const input = h("input", {
    type: "password",
    name: "token",
    autocomplete: "off",
    spellcheck: "false",
    required: true,
    autofocus: true,
  });
  const problem = h("p", { class: "problem", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    const value = input.value.trim();
    problem.textContent = "";
    // A header takes visible ASCII alone, and so do tokens.
    if (!/^[\x21-\x7e]+$/.test(value)) {
      problem.textContent = "A token is one word of visible characters, without spaces.";
      return;
    }
    try {
      const verdict = await tryToken(value);
      if (verdict === "wrong") {
        problem.textContent = "The node does not accept this token. It is the word in the file that token_file under [admin] names.";
        input.select();
        return;
      }
      if (verdict === "none") {
        problem.replaceChildren(...noToken());
        return;
      }
      token.set(value);
      toast("The node accepts the token. It is kept in this tab only.");
      done?.();
      changed();
    } catch (error) {
      problem.textContent = error.message;
    }
  };
  return [
    h(
      "form",
      { class: "token", onsubmit: submit },
      field(
        "Token of the node",
        input,
        "The word in the file that token_file under [admin] names. It is kept in this tab until you close it.",
      ),
      problem,
      h("div", { class: "buttons" }, h("button", { class: "primary" }, "Use this token")),
    ),
    stats?.node?.has_token === false && h("div", { class: "note" }, noToken()),
  ].filter(Boolean);
}

const noToken = () => [
  h(
    "p",
    null,
    "This node has no token, so everything that changes its state or shows keys is closed. Write this into its config, with a file that holds one word of 16 characters or more; it is in force at once, without a restart:",
  ),
  h("pre", null, SNIPPET),
  h("p", null, "A node that was started without a config file takes the token's file from a variable, at the next start:"),
  h("pre", null, START_SNIPPET),
];

export async function tokenDialog(feed) {
  await dialog(
    "Token",
    (close) => {
      if (!token.get()) return tokenForm(() => close(), feed.stats);
      return [
        h("p", null, "This tab has a token. It is sent with each request, and forgotten when the tab is closed."),
        h(
          "div",
          { class: "buttons" },
          h("button", { type: "button", onclick: () => close() }, "Keep it"),
          h(
            "button",
            {
              type: "button",
              class: "primary",
              onclick: () => {
                token.set("");
                close();
                changed();
              },
            },
            "Forget it",
          ),
        ),
      ];
    },
    "small",
  );
}

/** What a page shows instead of an answer that is an error. */
export function problem(error, what) {
  if (error.status === 401) {
    return h(
      "section",
      { class: "panel gate" },
      h("h2", null, token.get() ? "The node no longer accepts the token" : "This needs the token"),
      h(
        "p",
        { class: "note" },
        `${what} ${token.get() ? "Its token has changed, or this one is wrong." : "Nobody sees it without the node's token."}`,
      ),
      tokenForm(),
    );
  }
  if (error.status === 403) {
    const known = /token/.test(error.message);
    return h(
      "section",
      { class: "panel gate" },
      h("h2", null, known ? "The node has no token" : "The node rejects this"),
      known ? [h("p", { class: "note" }, what), noToken()] : h("p", { class: "note" }, error.message),
    );
  }
  if (error.status === 404)
    return panel(
      null,
      null,
      empty("Not available", /not here/.test(error.message) ? "This version of the node does not offer it." : error.message),
    );
  return panel(null, null, empty("No answer", error.message));
}
