// The frame of the console: pages by the hash of the address, the state of the node, theme and token.

import { token } from "./api.js";
import { h, put, panel, pill, empty } from "./dom.js";
import { closeDialogs } from "./dialog.js";
import { clock, duration } from "./format.js";
import { Feed } from "./feed.js";
import { problem, tokenDialog } from "./gate.js";
import overview from "./overview.js";
import tables from "./tables.js";
import hot from "./hot.js";
import curve from "./curve.js";
import upstream from "./upstream.js";
import fleet from "./fleet.js";
import config from "./config.js";
import warnings from "./warnings.js";
import data from "./data.js";
import actions from "./actions.js";

const PAGES = [overview, tables, hot, curve, upstream, fleet, config, warnings, data, actions];
const feed = new Feed();
const at = (id) => document.getElementById(id);
let shown = null;

/** What an address shows that names no page, such as a link of another version. */
const unknown = {
  title: "No such page",
  show: (context) => {
    const text = `The console has no page at ${location.hash}. The link may be of another version, or cut off.`;
    context.root.append(panel(null, null, empty("This address is not known", text)));
  },
};

/** The page and the rest of the address: "#/tables/Orders" is the page "tables" with "Orders". */
function address() {
  const [id, ...rest] = location.hash.replace(/^#\/?/, "").split("/");
  const part = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  return { page: id === "" ? overview : (PAGES.find((page) => page.id === id) ?? unknown), rest: rest.map(part) };
}

/** What a page may use while it is shown; it ends with the page. */
function contextFor(root) {
  const timers = new Set();
  const plots = [];
  const context = {
    feed,
    root,
    alive: true,
    /** Does something now, and again after each pause, while the page is seen. */
    every(seconds, action) {
      const timer = { id: 0 };
      const turn = async () => {
        if (!context.alive) return;
        if (!document.hidden) await action();
        if (context.alive) timer.id = setTimeout(turn, seconds * 1000);
      };
      timers.add(timer);
      turn();
    },
    plot(plot) {
      plots.push(plot);
      return plot;
    },
    end() {
      context.alive = false;
      timers.forEach(({ id }) => clearTimeout(id));
      plots.forEach((plot) => plot.destroy());
    },
  };
  return context;
}

function show() {
  const { page, rest } = address();
  shown?.context.end();
  const root = at("page");
  root.replaceChildren();
  const context = contextFor(root);
  shown = { page, context, update: null, built: false, rest };
  document.title = `${page.title} · Nearside`;
  menu(false);
  drawNav();
  at("main").focus({ preventScroll: true });
  window.scrollTo(0, 0);
  refresh();
}

/** Builds the page once there are figures, and brings it up to date. */
function refresh() {
  drawFrame();
  if (!shown) return;
  const { page, context } = shown;
  if (!feed.stats && feed.error && (feed.error.status === 401 || feed.error.status === 403)) {
    if (shown.blocked !== feed.error.status)
      context.root.replaceChildren(heading(page), problem(feed.error, "The console shows the figures of this node."));
    shown.blocked = feed.error.status;
    return;
  }
  if (!feed.stats) {
    put(
      context.root,
      heading(page),
      feed.error
        ? empty("No figures yet", `${feed.error.message} The console tries again every two seconds.`)
        : empty("Asking the node", "The first figures come in a moment."),
    );
    return;
  }
  if (!shown.built) {
    shown.built = true;
    context.root.replaceChildren(heading(page));
    shown.update = page.show(context, shown.rest) ?? null;
  }
  shown.update?.(feed);
}

const heading = (page) => h("div", { class: "head" }, h("h1", null, page.title));

function drawNav() {
  const fleetless = !feed.stats?.fleet && shown?.page !== fleet;
  put(
    at("pages"),
    ...PAGES.filter((page) => !(page === fleet && fleetless)).map((page) =>
      h("li", null, h("a", { href: `#/${page.id}`, "aria-current": page === shown?.page ? "page" : null }, page.menu ?? page.title)),
    ),
  );
}

function drawFrame() {
  const node = feed.stats?.node;
  drawNav();
  at("node").textContent = node ? [node.listen, node.upstream].filter(Boolean).join(" → ") : "";
  put(at("version"), node && [`Version ${node.version ?? "unknown"}`, h("br"), `up ${duration(node.uptime_seconds)}`]);
  at("token").textContent = token.get() ? "Token ✓" : "Token";
  const health = at("health");
  health.hidden = !node;
  const [text, kind] = feed.gone
    ? [feed.error.status === 401 ? "token needed" : "no answer", "bad"]
    : node?.ready === false
      ? ["not ready", "warn"]
      : node?.cache_mode === "shadow"
        ? [[h("span", { class: "roomy" }, "ready, "), "shadow", h("span", { class: "roomy" }, " mode")], "good"]
        : ["ready", "good"];
  health.replaceWith(Object.assign(pill(text, kind), { id: "health", hidden: health.hidden }));
  document.body.classList.toggle("old", feed.gone);
  const words = bannerText(node);
  at("banner").hidden = !words;
  if (at("banner").textContent !== words) at("banner").textContent = words;
}

function bannerText(node) {
  if (!feed.stats) return "";
  if (feed.error?.status === 401)
    return `${token.get() ? "The node no longer accepts the token" : "The node has a token now"}, so the last figures are of ${clock(feed.time)}. Press Token to type it.`;
  if (feed.gone)
    return `${feed.error.message} The last figures are of ${clock(feed.time)}, ${duration(Date.now() / 1000 - feed.time)} ago. The console tries again every two seconds.`;
  return node?.ready === false ? `The node is not ready: ${node.unready_reason ?? "it gives no reason"}.` : "";
}

function menu(open) {
  at("nav").classList.toggle("open", open);
  at("menu").setAttribute("aria-expanded", String(open));
}

function theme(value) {
  if (value) document.documentElement.dataset.theme = value;
  else delete document.documentElement.dataset.theme;
}

at("menu").addEventListener("click", () => menu(at("menu").getAttribute("aria-expanded") === "false"));
addEventListener("keydown", (event) => {
  if (event.key === "Escape") menu(false);
});
at("token").addEventListener("click", () => tokenDialog(feed));
at("theme").addEventListener("change", (event) => {
  localStorage.setItem("nearside-theme", event.target.value);
  theme(event.target.value);
});
at("theme").value = localStorage.getItem("nearside-theme") ?? "";
theme(at("theme").value);
document.querySelector(".skip").addEventListener("click", (event) => {
  event.preventDefault();
  at("main").focus();
});
addEventListener("hashchange", () => {
  // A dialog belongs to the page that opened it.
  closeDialogs();
  show();
});
addEventListener("tokenchange", async () => {
  if (!token.get()) feed.forget();
  await feed.poll();
  show();
});
feed.addEventListener("figures", refresh);
show();
feed.start();
