// What changes the node's state: flush, warm, reload. Each asks first, and needs the token.

import { api, token } from "./api.js";
import { h, put, bar, panel, pill, empty, field, options } from "./dom.js";
import { clock, count, duration, exact, plural } from "./format.js";
import { confirmed, dialog, toast } from "./dialog.js";
import { problem, tokenForm } from "./gate.js";
import { keyText } from "./values.js";

/** Does an action, and says how it went. Without the token it asks for it, and tries again. */
async function act(path, body, said) {
  try {
    const answer = await api(path, body, { timeout: 60000 });
    toast(said(answer));
    return answer;
  } catch (error) {
    if (error.status === 401) {
      const before = token.get();
      await dialog("This needs the token", (close) => tokenForm(close), "small");
      if (token.get() && token.get() !== before) return act(path, body, said);
    } else if (error.status === 403) {
      await dialog("This is closed", () => problem(error, "Actions change the state of the node."), "small");
    } else {
      toast(
        error.status === 404 && /not here/.test(error.message) ? "This version of the node does not offer it." : error.message,
        "bad",
      );
    }
    return null;
  }
}

const flushed = ({ flushed: what }) => `Flushed ${what}.`;
const COSTS = "The next reads of it go to the upstream and cost capacity there. No data is lost.";

export async function flushTable(table) {
  if (
    await confirmed({
      title: `Flush the table ${table}?`,
      text: [`All that is cached of ${table} and its indexes is invalidated.`, COSTS],
      action: "Flush the table",
    })
  )
    await act("flush", { table }, flushed);
}

export async function flushKey(table, key) {
  if (await confirmed({ title: "Flush one item?", text: [`${keyText(key)} in ${table}.`, COSTS], action: "Flush the item" }))
    await act("flush", { table, key }, flushed);
}

async function flushAll() {
  if (
    await confirmed({
      title: "Flush everything?",
      text: ["All that is cached of all tables is invalidated.", COSTS],
      action: "Flush everything",
    })
  )
    await act("flush", {}, flushed);
}

function tableInput(feed, value) {
  const input = h("input", {
    name: "table",
    list: "known-tables",
    autocomplete: "off",
    spellcheck: "false",
    value: value ?? "",
    placeholder: "name of a table",
  });
  return [
    input,
    h("datalist", { id: "known-tables" }, options((feed.stats.tables ?? []).map((row) => row.table).filter(Boolean), null)),
  ];
}

function flushPanel(context) {
  const [table, known] = tableInput(context.feed);
  const key = h("textarea", { name: "key", rows: 2, spellcheck: "false", placeholder: '{"id": {"S": "a"}}' });
  const [tableField, keyField] = [field("Table", [table, known]), field("Key, as DynamoDB JSON", key)];
  const wrong = h("p", { class: "problem", role: "alert" });
  let scope = "all";
  const choose = (value) => {
    scope = value;
    tableField.hidden = scope === "all";
    keyField.hidden = scope !== "key";
    wrong.textContent = "";
  };
  const radios = [
    ["all", "everything"],
    ["table", "a table"],
    ["key", "one item"],
  ].map(([value, label]) =>
    h(
      "label",
      null,
      h("input", { type: "radio", name: "scope", value, checked: value === scope, onchange: () => choose(value) }),
      label,
    ),
  );
  const submit = (event) => {
    event.preventDefault();
    wrong.textContent = "";
    if (scope === "all") {
      flushAll();
      return;
    }
    if (!table.value) {
      wrong.textContent = "Name the table.";
      return;
    }
    if (scope === "table") {
      flushTable(table.value);
      return;
    }
    try {
      flushKey(table.value, JSON.parse(key.value));
    } catch {
      wrong.textContent = 'The key must be JSON, such as {"id": {"S": "a"}}.';
    }
  };
  choose(scope);
  return panel(
    "Flush",
    "Invalidates what is cached, so that the next reads fetch it anew.",
    h(
      "form",
      { id: "flush", class: "stack tight", onsubmit: submit },
      h("fieldset", { class: "choices" }, h("legend", null, "What"), radios),
      tableField,
      keyField,
      wrong,
      h("div", { class: "buttons left" }, h("button", { class: "danger" }, "Flush…")),
    ),
  );
}

/** Read units a second of a job that names no rate: the API's own default. */
const DEFAULT_RATE = 100;

function warmPanel(context, chosen, started) {
  const [table, known] = tableInput(context.feed, chosen);
  const segments = h("input", { name: "segments", type: "number", min: 1, max: 64, value: 4 });
  const speed = h("input", { name: "rate", type: "number", min: 1, value: DEFAULT_RATE, placeholder: DEFAULT_RATE });
  const wrong = h("p", { class: "problem", role: "alert" });
  const submit = async (event) => {
    event.preventDefault();
    wrong.textContent = "";
    if (!table.value) {
      wrong.textContent = "Name the table.";
      return;
    }
    const limit = `at most ${count(Number(speed.value) || DEFAULT_RATE)} read units a second`;
    if (
      !(await confirmed({
        title: `Warm the table ${table.value}?`,
        text: [
          `The node reads the whole table from the upstream, ${limit}. This costs read capacity.`,
          "It can be stopped, and resumed where it stopped.",
        ],
        action: "Warm the table",
        danger: false,
      }))
    )
      return;
    if (
      await act(
        "warm",
        { table: table.value, segments: Number(segments.value) || 4, rate: speed.value ? Number(speed.value) : null },
        () => `Warming ${table.value}.`,
      )
    )
      started();
  };
  return panel(
    "Warm a table",
    "Reads a table from the upstream into the cache, so that its first readers hit.",
    h(
      "form",
      { id: "warm", class: "stack tight", onsubmit: submit },
      h(
        "div",
        { class: "row" },
        field("Table", [table, known]),
        field("Segments read at one time", segments),
        field("Read units a second, at most", speed),
      ),
      wrong,
      h("div", { class: "buttons left" }, h("button", { class: "primary" }, "Warm…")),
    ),
  );
}

const STATES = { running: "good", done: "good", stopped: "warn", failed: "bad" };

function jobView(job, changed) {
  const done = job.items_expected ? job.items / job.items_expected : job.segments ? job.segments_done / job.segments : 0;
  const facts = [
    `${count(job.items)}${job.items_expected ? ` of about ${count(job.items_expected)}` : ""} items`,
    `${count(job.installed)} cached`,
    `${count(job.read_units)} read units${job.rate ? `, at most ${count(job.rate)}/s` : ""}`,
    `${exact(job.segments_done)} of ${plural(job.segments, "segment")}`,
    job.state === "running" &&
      job.seconds_left !== null &&
      job.seconds_left !== undefined &&
      `about ${duration(job.seconds_left)} left`,
    `since ${clock(job.started_at)}`,
  ];
  const again = (text, more) =>
    h(
      "button",
      {
        type: "button",
        class: "small-button",
        "data-of": job.table,
        onclick: async () => {
          await act("warm", { table: job.table, segments: job.segments, rate: job.rate ?? null, ...more }, () => `Warming ${job.table}.`);
          changed();
        },
      },
      text,
    );
  return h(
    "div",
    { class: "job" },
    h(
      "div",
      { class: "head" },
      h("span", { class: "name" }, job.table),
      pill(job.state, STATES[job.state]),
      h("span", { class: "space" }),
      job.state === "running" &&
        h(
          "button",
          {
            type: "button",
            class: "small-button",
            "data-of": job.table,
            onclick: async () => {
              await act("warm/stop", { table: job.table }, () => `Stopped warming ${job.table}.`);
              changed();
            },
          },
          "Stop",
        ),
      ["stopped", "failed"].includes(job.state) && [again("Resume", {}), again("Start again", { restart: true })],
    ),
    bar(job.state === "done" ? 1 : done, job.state === "failed" ? "refused" : "hit"),
    h("p", { class: "muted" }, facts.filter(Boolean).join(" · ")),
    job.error && h("p", { class: "problem" }, job.error),
  );
}

function reloadPanel() {
  const said = h("div");
  const reload = async () => {
    if (
      !(await confirmed({
        title: "Reload the config?",
        text: [
          "The node reads its config file again. A changed policy of a table invalidates what is cached of it; a file with an error changes nothing.",
        ],
        action: "Reload",
        danger: false,
      }))
    )
      return;
    const answer = await act("reload", {}, () => "Reloaded the config.");
    if (!answer) return;
    const rest = answer.needs_restart ?? [];
    said.replaceChildren(
      rest.length === 0
        ? h("p", { class: "note" }, "All of it is in force.")
        : h("p", { class: "note" }, `These changes wait for a restart: ${rest.join(", ")}.`),
    );
  };
  return panel(
    "Reload the config",
    "Applies what has changed in the config file, as SIGHUP does.",
    h("div", { class: "buttons left" }, h("button", { type: "button", id: "reload", onclick: reload }, "Reload…")),
    said,
  );
}

export default {
  id: "actions",
  title: "Actions",
  show(context, [table]) {
    const jobs = h("div", { class: "stack" });
    let pause = 0;
    const load = async () => {
      try {
        const { jobs: all = [] } = await api("warm");
        pause = all.some((job) => job.state === "running") ? 0 : 4;
        if (!context.alive) return;
        put(
          jobs,
          ...(all.length > 0
            ? all.map((job) => jobView(job, load))
            : [empty("No table was warmed", "Jobs appear here with their progress.")]),
        );
      } catch (error) {
        pause = 4;
        if (context.alive)
          put(
            jobs,
            h("p", { class: "muted" }, error.status === 404 ? "Warming is not available in this version of the node." : error.message),
          );
      }
    };
    const noToken = context.feed.stats.node?.has_token === false;
    if (noToken)
      context.root.append(problem({ status: 403, message: "token" }, "Actions change the state of the node, so they need its token."));
    context.root.append(
      h("div", { class: "grid2 start" }, flushPanel(context), h("div", { class: "stack" }, reloadPanel())),
      warmPanel(context, table, load),
      panel("Warm-up jobs", null, jobs),
    );
    context.every(1, async () => {
      if (pause > 0) pause -= 1;
      else await load();
    });
  },
};
