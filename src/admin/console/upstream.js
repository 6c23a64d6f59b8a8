// How the upstream does.

import { h, put, panel, pill, empty } from "./dom.js";
import { count, exact, percent, rate } from "./format.js";
import { Plot, overTime } from "./plot.js";
import { span, tile, windowSwitch } from "./overview.js";

const BREAKER = {
  closed: ["closed", "good", "Requests go to the upstream."],
  open: [
    "open",
    "bad",
    "The upstream has failed too often: misses and writes are rejected at once, hits are served. The node tries again by itself.",
  ],
  half_open: ["half open", "warn", "The node tries the upstream with single requests."],
};

export default {
  id: "upstream",
  title: "Upstream",
  show(context) {
    const [about, grid] = [h("div"), h("div", { class: "tiles" })];
    const requests = new Plot({
      title: "Requests to the upstream",
      axis: "requests per second",
      series: [
        { name: "all", kind: "batch" },
        { name: "failed", kind: "refused" },
      ],
      format: count,
    });
    const load = new Plot({
      title: "Waiting for the upstream",
      axis: "requests at one time",
      series: [
        { name: "in flight", kind: "batch" },
        { name: "queued", kind: "miss" },
      ],
      format: count,
    });
    [requests, load].forEach((plot) => context.plot(plot));
    const plots = h("div", { class: "grid2" }, requests.element, load.element);
    const none = panel(
      null,
      null,
      empty(
        "No connection to watch",
        'The local backend in this process answers. Breaker, queue and failures exist with a remote upstream: kind = "aws" or an endpoint under [upstream].',
      ),
    );
    const times = windowSwitch(() => update(context.feed));
    context.root.lastChild.append(h("span", { class: "space" }), times);
    context.root.append(about, grid, plots, none);
    function update(feed) {
      const { node, upstream } = feed.stats;
      const state = BREAKER[upstream?.breaker];
      put(
        about,
        panel(
          node?.upstream ?? "Upstream",
          null,
          h(
            "dl",
            { class: "facts" },
            h("dt", null, "Kind"),
            h("dd", null, node?.upstream_kind ?? "not available"),
            h("dt", null, "Region"),
            h("dd", null, node?.region ?? "not available"),
            upstream && [
              h("dt", null, "Circuit breaker"),
              h("dd", null, state ? [pill(state[0], state[1]), " ", state[2]] : "not available"),
            ],
          ),
        ),
      );
      grid.hidden = plots.hidden = times.hidden = !upstream;
      none.hidden = Boolean(upstream);
      if (!upstream) return;
      const now = feed.gone ? null : feed.last?.upstream;
      const live = (value) => (feed.gone ? undefined : value);
      put(
        grid,
        tile("Requests", rate(now?.requests), `${count(upstream.requests)} since the start`),
        tile(
          "Failures",
          rate(now?.failures),
          [
            `${count(upstream.failures)} since the start`,
            `${percent(upstream.requests ? upstream.failures / upstream.requests : 0)} of all`,
          ],
          { kind: now?.failures > 0 ? "bad" : "" },
        ),
        tile("In flight", exact(live(upstream.in_flight)), "requests that wait for an answer"),
        tile("Queued", exact(live(upstream.queued)), "requests that wait for their turn"),
      );
      const draw = (plot, readers) => {
        const { xs, values, ...range } = overTime(
          feed.points,
          span.get(),
          readers.map((read) => ({ read })),
        );
        plot.set(xs, values, range);
      };
      draw(requests, [(point) => point.upstream?.requests, (point) => point.upstream?.failures]);
      draw(load, [(point) => point.upstream?.in_flight, (point) => point.upstream?.queued]);
    }
    return update;
  },
};
