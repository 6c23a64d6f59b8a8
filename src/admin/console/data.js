// The browser of the local backend's tables: Scan, Query and PartiQL, page by page, and items to look at and to edit.

import { dynamo, realm } from "./api.js";
import { h, put, panel, empty, field, options, pill } from "./dom.js";
import { bytes, count, plural, seconds } from "./format.js";
import { confirmed, toast } from "./dialog.js";
import { problem } from "./gate.js";
import { createItem, keyNames, openItem } from "./item.js";
import { short, valueOf } from "./values.js";

const WHAT = "The browser shows items of your tables.";
const COLUMNS_MAX = 8;
const SORT_CONDITIONS = [
  ["", "any"],
  ["=", "="],
  ["<", "<"],
  ["<=", "≤"],
  [">", ">"],
  [">=", "≥"],
  ["between", "between"],
  ["begins_with", "begins with"],
];
const FILTERS = [
  ["=", "="],
  ["<>", "≠"],
  ["<", "<"],
  ["<=", "≤"],
  [">", ">"],
  [">=", "≥"],
  ["begins_with", "begins with"],
  ["contains", "contains"],
  ["attribute_exists", "exists"],
  ["attribute_not_exists", "does not exist"],
];
const TYPE_NAMES = { S: "string", N: "number", B: "binary" };
const FILTER_TYPES = [
  ["S", "string"],
  ["N", "number"],
  ["BOOL", "true or false"],
];

const typeIn = (description, name) =>
  description.AttributeDefinitions.find(({ AttributeName }) => AttributeName === name)?.AttributeType ?? "S";
const indexesOf = (description) => [...(description.GlobalSecondaryIndexes ?? []), ...(description.LocalSecondaryIndexes ?? [])];

async function allTables() {
  const names = [];
  let start;
  do {
    const { output } = await dynamo("ListTables", { ExclusiveStartTableName: start });
    names.push(...output.TableNames);
    start = output.LastEvaluatedTableName;
  } while (start && names.length < 2000);
  return names;
}

/** The choice of a table's or an index's key conditions. */
function keyForm(description) {
  const index = h(
    "select",
    { onchange: draw, name: "index" },
    options([["", "the table"], ...indexesOf(description).map(({ IndexName }) => [IndexName, `index ${IndexName}`])], ""),
  );
  const box = h("div", { class: "row" });
  let inputs = {};
  function draw() {
    const schema = (indexesOf(description).find(({ IndexName }) => IndexName === index.value) ?? description).KeySchema;
    const [hash, range] = ["HASH", "RANGE"].map((type) => schema.find(({ KeyType }) => KeyType === type)?.AttributeName);
    const input = (name) => h("input", { name, autocomplete: "off", spellcheck: "false" });
    inputs = {
      hash,
      range,
      hashValue: input("partition"),
      condition: h("select", { name: "condition", onchange: adapt }, options(SORT_CONDITIONS, "")),
      low: input("sort"),
      high: input("sort-to"),
    };
    const label = (name) => `${name} (${TYPE_NAMES[typeIn(description, name)]})`;
    inputs.lowField = field(range ? label(range) : "", inputs.low);
    inputs.highField = field("and", inputs.high);
    box.replaceChildren(
      ...[
        field(`${label(hash)} =`, inputs.hashValue),
        range && field(`${range} is`, inputs.condition),
        range && inputs.lowField,
        range && inputs.highField,
      ].filter(Boolean),
    );
    adapt();
  }
  function adapt() {
    inputs.lowField.hidden = inputs.condition.value === "";
    inputs.highField.hidden = inputs.condition.value !== "between";
  }
  draw();
  return {
    index,
    box,
    request() {
      const { hash, range, condition } = inputs;
      const request = {
        KeyConditionExpression: "#p = :p",
        ExpressionAttributeNames: { "#p": hash },
        ExpressionAttributeValues: { ":p": valueOf(typeIn(description, hash), inputs.hashValue.value) },
      };
      if (index.value) request.IndexName = index.value;
      if (range && condition.value) {
        const operator = condition.value;
        request.KeyConditionExpression +=
          operator === "between"
            ? " AND #s BETWEEN :s AND :t"
            : operator === "begins_with"
              ? " AND begins_with(#s, :s)"
              : ` AND #s ${operator} :s`;
        request.ExpressionAttributeNames["#s"] = range;
        request.ExpressionAttributeValues[":s"] = valueOf(typeIn(description, range), inputs.low.value);
        if (operator === "between") request.ExpressionAttributeValues[":t"] = valueOf(typeIn(description, range), inputs.high.value);
      }
      return request;
    },
  };
}

function filterForm() {
  const name = h("input", { name: "filter", autocomplete: "off", spellcheck: "false", placeholder: "no filter" });
  const operator = h("select", { name: "filter-operator", onchange: adapt }, options(FILTERS, "="));
  const type = h("select", { name: "filter-type" }, options(FILTER_TYPES, "S"));
  const value = h("input", { name: "filter-value", autocomplete: "off", spellcheck: "false" });
  const [typeField, valueField] = [field("Type", type), field("Value", value)];
  function adapt() {
    typeField.hidden = valueField.hidden = operator.value.startsWith("attribute");
  }
  return {
    box: h("div", { class: "row" }, field("Filter by attribute", name), field("Condition", operator), typeField, valueField),
    addTo(request) {
      if (!name.value) return request;
      const asks = operator.value;
      const isFunction = /[a-z]/.test(asks);
      request.ExpressionAttributeNames = { ...request.ExpressionAttributeNames, "#f": name.value };
      request.FilterExpression = asks.startsWith("attribute") ? `${asks}(#f)` : isFunction ? `${asks}(#f, :f)` : `#f ${asks} :f`;
      if (!asks.startsWith("attribute"))
        request.ExpressionAttributeValues = { ...request.ExpressionAttributeValues, ":f": valueOf(type.value, value.value) };
      return request;
    },
  };
}

/** The attributes that have a column: the key first, then what most items have. */
function columnsOf(items, description) {
  const keys = description ? keyNames(description) : [];
  const seen = new Map();
  for (const item of items) for (const name of Object.keys(item)) seen.set(name, (seen.get(name) ?? 0) + 1);
  const others = [...seen.keys()].filter((name) => !keys.includes(name)).sort((a, b) => seen.get(b) - seen.get(a));
  const all = [...keys.filter((name) => seen.has(name)), ...others];
  return { columns: all.slice(0, COLUMNS_MAX), more: all.length - Math.min(all.length, COLUMNS_MAX) };
}

function resultTable(items, description, open) {
  const { columns, more } = columnsOf(items, description);
  const cell = (item, name, place) => {
    const value = item[name];
    const text = value === undefined ? "" : short(value);
    return h(
      "td",
      { title: text },
      place === 0 ? h("button", { type: "button", class: "link", onclick: () => open(item) }, text || "open") : text,
    );
  };
  const table = h(
    "div",
    { class: "table items" },
    h(
      "table",
      null,
      h(
        "thead",
        null,
        h(
          "tr",
          null,
          columns.map((name) =>
            h(
              "th",
              { scope: "col" },
              name,
              " ",
              h("span", { class: "type" }, Object.keys(items.find((item) => item[name])?.[name] ?? {})[0]),
            ),
          ),
          more > 0 && h("th", null, `+ ${more} more`),
        ),
      ),
      h(
        "tbody",
        null,
        items.map((item) =>
          h(
            "tr",
            null,
            columns.length === 0
              ? h("td", null, h("button", { type: "button", class: "link", onclick: () => open(item) }, "an empty item"))
              : columns.map((name, place) => cell(item, name, place)),
            more > 0 && h("td", null, "…"),
          ),
        ),
      ),
    ),
  );
  return [columns.length > 2 && h("p", { class: "muted sideways" }, "Scroll the table sideways for more attributes →"), table];
}

/** The pages of a request: `fetchPage(start)` gives { items, next, note }. */
function pager(box, fetchPage, description, isStill) {
  const starts = [undefined];
  async function open(item) {
    if (!description) {
      toast("Choose the table at the left to edit items.", "bad");
      return;
    }
    if (await openItem(description, item, isStill)) load();
  }
  async function load() {
    box.setAttribute("aria-busy", "true");
    const from = performance.now();
    try {
      const { items, next, units, source } = await fetchPage(starts.at(-1));
      if (!isStill()) return;
      const facts = [
        plural(items.length, "item"),
        starts.length > 1 || next ? `page ${starts.length}` : null,
        units !== undefined && plural(units, "read unit"),
        source && `answered as ${source}`,
        seconds((performance.now() - from) / 1000),
      ];
      const turn = (action) => () => {
        action();
        load();
      };
      box.replaceChildren(
        h(
          "div",
          { class: "head" },
          h("span", { class: "muted", id: "result-facts" }, facts.filter(Boolean).join(" · ")),
          h("span", { class: "space" }),
          h(
            "button",
            { type: "button", class: "small-button", disabled: starts.length === 1, onclick: turn(() => starts.pop()) },
            "Previous page",
          ),
          h(
            "button",
            { type: "button", class: "small-button", id: "next-page", disabled: !next, onclick: turn(() => starts.push(next)) },
            "Next page",
          ),
          h("button", { type: "button", class: "small-button", onclick: load }, "Again"),
        ),
        items.length > 0
          ? h("div", { class: "stack tight" }, resultTable(items, description, open))
          : next
            ? empty(
                "No item on this page matches",
                "DynamoDB applies a filter to each page after reading it. The next page may have some.",
              )
            : empty(
                "No items",
                starts.length > 1
                  ? "This was the last page."
                  : "Nothing matches, or the table is empty. Create an item with the button above.",
              ),
      );
    } catch (error) {
      if (isStill())
        box.replaceChildren(
          error.status === 401 || error.status === 403
            ? problem(error, WHAT)
            : h("p", { class: "problem", role: "alert" }, [error.code, error.message].filter(Boolean).join(": ")),
        );
    }
    box.removeAttribute("aria-busy");
  }
  load();
  return load;
}

function describe(description) {
  const keys = description.KeySchema.map(
    ({ AttributeName, KeyType }) =>
      `${AttributeName} (${TYPE_NAMES[typeIn(description, AttributeName)]}, ${KeyType === "HASH" ? "partition" : "sort"})`,
  ).join(", ");
  const indexes = indexesOf(description)
    .map(({ IndexName, KeySchema }) => `${IndexName} (${KeySchema.map(({ AttributeName }) => AttributeName).join(", ")})`)
    .join("; ");
  return h(
    "dl",
    { class: "facts" },
    h("dt", null, "Key"),
    h("dd", null, keys),
    h("dt", null, "Indexes"),
    h("dd", null, indexes || "none"),
    h("dt", null, "Size"),
    h("dd", null, `about ${plural(description.ItemCount ?? 0, "item")}, ${bytes(description.TableSizeBytes ?? 0)}`),
    h("dt", null, "Capacity"),
    h(
      "dd",
      null,
      description.BillingModeSummary?.BillingMode === "PAY_PER_REQUEST"
        ? "on demand"
        : `${count(description.ProvisionedThroughput?.ReadCapacityUnits)} read and ${count(description.ProvisionedThroughput?.WriteCapacityUnits)} write units`,
    ),
    description.StreamSpecification?.StreamEnabled && [
      h("dt", null, "Stream"),
      h("dd", null, description.StreamSpecification.StreamViewType),
    ],
  );
}

const unitsOf = (output) => output.ConsumedCapacity?.CapacityUnits;

function tableView(context, description, box) {
  const results = h("div", { class: "stack" });
  const table = description.TableName;
  let run = 0;
  let again = null;
  const limit = h(
    "select",
    { name: "limit", "aria-label": "Items a page" },
    options(
      [25, 50, 100, 250].map((value) => [String(value), `${value} a page`]),
      "50",
    ),
  );
  function start(fetchPage) {
    const mine = ++run;
    again = pager(results, fetchPage, description, () => context.alive && mine === run);
  }
  const read = (operation, request) =>
    start(async (from) => {
      const { output, source } = await dynamo(operation, {
        TableName: table,
        Limit: Number(limit.value),
        ReturnConsumedCapacity: "TOTAL",
        ...request,
        ExclusiveStartKey: from,
      });
      return { items: output.Items ?? [], next: output.LastEvaluatedKey, units: unitsOf(output), source };
    });
  const statement = h(
    "textarea",
    { name: "statement", rows: 3, spellcheck: "false", "aria-label": "PartiQL statement" },
    `SELECT * FROM "${table}"`,
  );
  async function execute() {
    const text = statement.value.trim();
    if (!/^select\b/i.test(text) && !(await confirmed({ title: "Run a statement that writes?", text: [text], action: "Run" }))) return;
    start(async (from) => {
      const { output, source } = await dynamo("ExecuteStatement", {
        Statement: text,
        Limit: /^select\b/i.test(text) ? Number(limit.value) : undefined,
        ReturnConsumedCapacity: "TOTAL",
        NextToken: from,
      });
      return { items: output.Items ?? [], next: output.NextToken, units: unitsOf(output), source };
    });
  }
  const keys = keyForm(description);
  const [scanFilter, queryFilter] = [filterForm(), filterForm()];
  const order = h(
    "select",
    { name: "order" },
    options(
      [
        ["up", "ascending"],
        ["down", "descending"],
      ],
      "up",
    ),
  );
  const scanIndex = h(
    "select",
    { name: "scan-index" },
    options([["", "the table"], ...indexesOf(description).map(({ IndexName }) => [IndexName, `index ${IndexName}`])], ""),
  );
  const modes = {
    Scan: {
      run: () => read("Scan", scanFilter.addTo(scanIndex.value ? { IndexName: scanIndex.value } : {})),
      body: [h("div", { class: "row" }, field("Of", scanIndex)), scanFilter.box],
    },
    Query: {
      run: () => read("Query", queryFilter.addTo({ ...keys.request(), ScanIndexForward: order.value === "up" })),
      body: [h("div", { class: "row" }, field("Of", keys.index), field("Order", order)), keys.box, queryFilter.box],
    },
    PartiQL: {
      run: execute,
      body: [field("Statement", statement, "Ctrl+Enter runs it. Names of tables are quoted with \" and strings with '.")],
    },
  };
  const [body, tabs] = [h("div", { class: "stack tight" }), []];
  let mode = "Scan";
  function choose(next) {
    mode = next;
    tabs.forEach((tab) => tab.setAttribute("aria-pressed", String(tab.value === mode)));
    body.replaceChildren(...modes[mode].body);
  }
  for (const name of Object.keys(modes)) tabs.push(h("button", { type: "button", value: name, onclick: () => choose(name) }, name));
  statement.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
      event.preventDefault();
      execute();
    }
  });
  const form = h(
    "form",
    {
      class: "stack tight",
      onsubmit: (event) => {
        event.preventDefault();
        modes[mode].run();
      },
    },
    h(
      "div",
      { class: "head" },
      h("div", { class: "segments", role: "group", "aria-label": "What to run" }, tabs),
      h("span", { class: "space" }),
      h(
        "button",
        {
          type: "button",
          id: "create-item",
          onclick: async () => {
            if (await createItem(description)) (again ?? modes.Scan.run)();
          },
        },
        "Create item…",
      ),
    ),
    body,
    h("div", { class: "buttons left" }, h("button", { class: "primary", id: "run" }, "Run"), limit),
  );
  choose("Scan");
  box.replaceChildren(panel(table, null, describe(description), h("hr"), form), panel(null, null, results));
  modes.Scan.run();
}

/** Which tables to show, where each region and access key has its own. */
function realmForm(home) {
  const region = h("input", { name: "region", required: true, value: realm.get()?.region ?? home ?? "us-east-1" });
  const key = h("input", {
    name: "access-key",
    required: true,
    autocomplete: "off",
    spellcheck: "false",
    value: realm.get()?.access_key ?? "",
  });
  const submit = (event) => {
    event.preventDefault();
    realm.set(region.value.trim(), key.value.trim());
    // The page begins again with those tables.
    if (location.hash === "#/data") dispatchEvent(new HashChangeEvent("hashchange"));
    else location.hash = "#/data";
  };
  return panel(
    "Whose tables",
    "With share = false, each pair of region and access key has tables of its own.",
    h(
      "form",
      { id: "realm", class: "stack tight", onsubmit: submit },
      h("div", { class: "row" }, field("Region", region), field("Access key id", key)),
      h("div", { class: "buttons left" }, h("button", { class: "primary" }, "Show its tables")),
    ),
  );
}

export default {
  id: "data",
  title: "Data",
  show(context, [chosen, key]) {
    const { root, feed } = context;
    if (feed.stats.node?.upstream_kind && feed.stats.node.upstream_kind !== "local") {
      root.append(
        panel(
          null,
          null,
          empty(
            "Only with the local backend",
            "The browser reads and edits tables of the bundled backend. The tables of this node are at its upstream: use the AWS console or the AWS CLI there.",
          ),
        ),
      );
      return;
    }
    if (feed.stats.node?.share === false) root.append(realmForm(feed.stats.node.region));
    if (feed.stats.node?.share === false && !realm.get()) return;
    const list = h("ul", { class: "list" });
    const search = h("input", { type: "search", placeholder: "Find a table", "aria-label": "Find a table", oninput: draw });
    const main = h("div", { class: "stack" }, panel(null, null, empty("Choose a table", "Its items are shown here, page by page.")));
    const side = panel("Tables", null, search, list);
    root.lastChild.append(
      h("span", { class: "lead" }, "Reads and writes go through the node like those of any client, so what is cached stays right."),
    );
    const browser = h("div", { class: "browser" }, side, main);
    root.append(browser);
    let names = [];
    function draw() {
      const found = names.filter((name) => name.toLowerCase().includes(search.value.toLowerCase()));
      put(
        list,
        ...found.map((name) =>
          h("li", null, h("button", { type: "button", "data-table": name, "aria-current": name === chosen ? "true" : null }, name)),
        ),
      );
      search.hidden = names.length < 8;
    }
    list.addEventListener("click", (event) => {
      const table = event.target.dataset?.table;
      if (table) location.hash = `#/data/${encodeURIComponent(table)}`;
    });
    (async () => {
      try {
        names = await allTables();
        draw();
        if (names.length === 0)
          main.replaceChildren(
            panel(
              null,
              null,
              empty(
                "No tables",
                "Create one with any client, such as: aws dynamodb create-table --endpoint-url http://… --table-name Orders …",
              ),
            ),
          );
        if (!chosen) {
          if (names.length > 0) {
            chosen = names[0];
            draw();
          } else return;
        }
        const { output } = await dynamo("DescribeTable", { TableName: chosen });
        if (!context.alive) return;
        if (output.Table.TableStatus !== "ACTIVE") side.append(pill(output.Table.TableStatus, "warn"));
        tableView(context, output.Table, main);
        if (key) {
          try {
            await openItem(output.Table, JSON.parse(key), () => context.alive);
          } catch (error) {
            toast(error.message, "bad");
          }
        }
      } catch (error) {
        if (!context.alive) return;
        if (names.length === 0) browser.replaceWith(problem(error, WHAT));
        else
          main.replaceChildren(
            error.code === "ResourceNotFoundException"
              ? panel(null, null, empty("No such table", `There is no table ${chosen}. Choose one at the left.`))
              : problem(error, WHAT),
          );
      }
    })();
  },
};
