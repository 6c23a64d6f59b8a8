// The fleet as this node sees it.

import { h, put, panel, pill, empty } from "./dom.js";
import { count, seconds } from "./format.js";
import { dataTable } from "./table.js";
import { tile } from "./overview.js";

const STATES = {
  fresh: ["good", "All that is cached is served."],
  stale: ["bad", "No lease: only what is young is served from memory."],
  distrusting: ["warn", "There is a lease, and nodes are missing that may still write."],
  outside: ["bad", "This node is no member."],
};

/** "2s" or "500ms" in milliseconds. */
const milliseconds = (text) => {
  const [, amount, unit] = /^([\d.]+)\s*(ms|s|m)$/.exec(text ?? "") ?? [];
  return amount ? Number(amount) * { ms: 1, s: 1000, m: 60000 }[unit] : null;
};

export default {
  id: "fleet",
  title: "Fleet",
  show(context) {
    const [state, grid, settings] = [h("div"), h("div", { class: "tiles" }), h("div")];
    const members = dataTable({
      key: (row) => `${row.node}/${row.life}`,
      sorted: "node",
      empty: empty("No members", "This node knows of no member, not even itself: it cannot reach the bus."),
      columns: [
        {
          id: "node",
          label: "Node",
          sort: (row) => row.node,
          cell: (row) => h("span", null, h("span", { class: "name" }, row.node), row.me && [" ", pill("this node", "good")]),
        },
        {
          id: "state",
          label: "State",
          cell: (row) =>
            row.left_ms === undefined
              ? pill("member", "good")
              : pill(`missing, distrusted for ${seconds(row.left_ms / 1000)} more`, "warn"),
        },
        { id: "life", label: "Process", cell: (row) => h("span", { class: "mono" }, String(row.life ?? "–")) },
      ],
    });
    members.element.classList.add("cards");
    context.root.append(state, grid, panel("Members", null, members.element), settings);
    return ({ stats: { fleet }, gone }) => {
      if (!fleet) {
        put(
          state,
          panel(
            null,
            null,
            empty(
              "No fleet",
              "This node stands alone. Write [fleet] into the config to have several nodes report their writes to each other.",
            ),
          ),
        );
        grid.hidden = members.element.parentElement.hidden = true;
        return;
      }
      const [kind, words] = STATES[fleet.state] ?? ["", ""];
      put(
        state,
        panel(
          null,
          null,
          h(
            "p",
            null,
            pill(fleet.state ?? "unknown", kind),
            " ",
            words,
            fleet.bus_error && ` The bus fails: ${fleet.bus_error}`,
            fleet.bus_unfenced && " The bus has replicas that are not fenced: docs/fleet.md, Managed servers.",
          ),
        ),
      );
      const lease = milliseconds(fleet.settings?.lease);
      put(
        grid,
        tile(
          "Members",
          count(fleet.members?.length),
          fleet.distrusted?.length ? `${count(fleet.distrusted.length)} missing` : "none is missing",
        ),
        tile(
          "Lease left",
          gone ? "–" : seconds((fleet.lease_left_ms ?? NaN) / 1000),
          lease ? `of ${fleet.settings.lease}` : "renewed by each heartbeat",
          lease ? { share: gone ? 0 : fleet.lease_left_ms / lease } : {},
        ),
        tile("Reports waiting", count(fleet.reports_waiting), "for the bus to take them", {
          kind: fleet.reports_waiting > 0 ? "bad" : "",
        }),
        tile("Unheard writes", count(fleet.unheard_writes), "that no other node knows of", {
          kind: fleet.unheard_writes > 0 ? "bad" : "",
        }),
      );
      const mine = (member) => member.node === fleet.node && (fleet.life === undefined || member.life === fleet.life);
      members.set([...(fleet.members ?? []).map((member) => ({ ...member, me: mine(member) })), ...(fleet.distrusted ?? [])]);
      const shown = { "applied up to": fleet.applied ?? "nothing yet", ...fleet.settings };
      put(
        settings,
        panel(
          "Position and settings",
          "The settings must be the same at all nodes.",
          h(
            "dl",
            { class: "facts" },
            Object.entries(shown).map(([name, value]) => [
              h("dt", { class: "mono" }, name),
              h("dd", { class: "mono" }, typeof value === "object" ? JSON.stringify(value) : String(value)),
            ]),
          ),
        ),
      );
    };
  },
};
