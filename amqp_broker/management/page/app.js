// The frame: login, navigation, and which view a URL shows.

import { forgetCredentials, get, useCredentials, watch } from "./api.js";
import { h, setText } from "./dom.js";
import { overview } from "./views/overview.js";
import { channel, channels, connection, connections, consumers } from "./views/clients.js";
import { bindings, exchange, exchanges } from "./views/exchanges.js";
import { queue, queues } from "./views/queues.js";
import { topology } from "./views/topology.js";
import { admin } from "./views/admin.js";

const VIEWS = { "": overview, connections, connection, channels, channel, exchanges, exchange, queues, queue, bindings, consumers, topology, admin };

const NAVIGATION = [
  ["", "Overview"], ["connections", "Connections"], ["channels", "Channels"], ["exchanges", "Exchanges"],
  ["queues", "Queues"], ["bindings", "Bindings"], ["consumers", "Consumers"], ["topology", "Topology"], ["admin", "Admin"],
];

const HOME = { connection: "connections", channel: "channels", exchange: "exchanges", queue: "queues" };

const app = document.getElementById("app");
let session = null;
let close = () => {};

/** What a view gets: where it is, who looks, and how to be kept current. */
class Page {
  #watches = new Map();

  constructor(segments, query, user) {
    this.segments = segments;
    this.query = query;
    this.user = user;
    this.main = h("main", { id: "main", tabindex: "-1" });
  }

  /** The vhost that lists are of, or "" for all. */
  get vhost() { return session.vhost; }

  /** What is below `api/` for a list: of all vhosts, or of the chosen one. */
  list(kind) { return this.vhost ? `${kind}/${encodeURIComponent(this.vhost)}` : kind; }

  is(tag) { return this.user.tags.includes(tag) || this.user.tags.includes("administrator"); }

  show(title, ...children) {
    document.title = `${title} · ${session.cluster}`;
    this.main.replaceChildren(h("div", { class: "title" }, h("h1", null, title)), ...children.flat(Infinity).filter(Boolean));
    return this.main.firstChild;
  }

  /** Keep something current; watching something else under the same name ends this. */
  watch(name, views, on) {
    this.#watches.get(name)?.();
    const nothing = () => {};
    this.#watches.set(name, watch(views, { error: nothing, view: nothing, tick: nothing, ...on, state: showState }));
  }

  /** Keep what is shown in the URL. */
  remember(values) {
    const query = new URLSearchParams(Object.entries(values).filter(([, value]) => value));
    const path = location.hash.slice(1).split("?")[0] || "/";
    history.replaceState(null, "", `#${path}${query.size ? `?${query}` : ""}`);
  }

  reload() { route(); }

  close() { for (const end of this.#watches.values()) end(); }
}

function showState(state) {
  if (!session) return;
  session.dot.className = `dot ${state}`;
  session.dot.title = { on: "live", lost: "the broker does not answer", off: "paused" }[state];
}

function route() {
  if (!session) return showLogin();
  const [path, query] = location.hash.slice(1).replace(/^\//, "").split("?");
  const segments = path.split("/").map(decodeURIComponent);
  const name = segments.shift();
  close();
  const page = new Page(segments, new URLSearchParams(query), session.user);
  close = () => page.close();
  for (const link of session.links) {
    const isHere = link.dataset.view === (HOME[name] ?? name);
    if (isHere) {
      link.setAttribute("aria-current", "page");
      link.scrollIntoView({ block: "nearest", inline: "center" });
    } else {
      link.removeAttribute("aria-current");
    }
  }
  document.getElementById("main").replaceWith(page.main);
  const view = VIEWS[name];
  Promise.resolve(view ? view(page) : page.show("Not found", h("p", null, "There is no such page.")))
    .catch((error) => error.status === 404
      ? page.show("Not found", h("p", null, `There is no ${name} ${segments.at(-1)}, or no longer.`), HOME[name] && h("p", null, h("a", { href: `#/${HOME[name]}` }, `All ${HOME[name]}`)))
      : page.show("This did not work", h("p", { class: "error" }, error.message)));
}

function logOut(reason = "") {
  forgetCredentials();
  close();
  close = () => {};
  session = null;
  showLogin(reason);
}

function showLogin(reason = "") {
  document.title = "Log in";
  const error = h("p", { class: "error", role: "alert" }, reason);
  const name = h("input", { id: "name", autocomplete: "username", required: true });
  const password = h("input", { id: "password", type: "password", autocomplete: "current-password" });
  const button = h("button", { class: "button main" }, "Log in");
  app.replaceChildren(h("main", { class: "login", id: "main", tabindex: "-1" }, h("form", { class: "card", onsubmit: async (event) => {
    event.preventDefault();
    button.disabled = true;
    useCredentials(name.value, password.value, () => session && logOut("You are logged out: the name or the password is no longer right."));
    try {
      await enter();
    } catch (problem) {
      forgetCredentials();
      setText(error, problem.reason === "Not_Authorized" || problem.message === "Not_Authorized" ? "Name or password is wrong." : problem.message);
      password.select();
    } finally {
      button.disabled = false;
    }
  } }, h("div", { class: "brand" }, h("img", { src: "icon.svg", alt: "" }), "AMQP broker"),
  h("label", { for: "name" }, "User name", name), h("label", { for: "password" }, "Password", password), button, error,
  h("p", { class: "soft hint" }, "A new broker lets in guest, password guest, from its own machine."))));
  name.focus();
}

async function enter() {
  const [user, { name: cluster }, { items: vhosts }] =
    await Promise.all([get("whoami"), get("cluster-name"), get("vhosts?page=1&page_size=500&columns=name")]);
  const dot = h("span", { class: "dot", role: "img", "aria-label": "connection to the broker" });
  const links = NAVIGATION.map(([view, text]) => h("a", { href: `#/${view}`, "data-view": view }, text));
  session = { user, cluster, dot, links, vhost: "" };
  const vhost = h("select", { "aria-label": "Virtual host", onchange: () => { session.vhost = vhost.value; route(); } },
    h("option", { value: "" }, "All vhosts"), vhosts.map(({ name }) => h("option", { value: name }, name)));
  app.replaceChildren(h("div", { class: "frame" },
    h("header", { class: "top" },
      h("a", { class: "brand", href: "#/" }, h("img", { src: "icon.svg", alt: "" }), h("span", { class: "long" }, cluster)), dot,
      h("span", { class: "gap" }), vhost,
      h("span", { class: "user row" }, h("span", { class: "soft" }, user.name),
        h("button", { class: "button", type: "button", onclick: () => logOut() }, "Log out"))),
    h("nav", { class: "side", "aria-label": "Main" }, links),
    h("main", { id: "main", tabindex: "-1" })));
  route();
}

window.addEventListener("hashchange", () => { route(); document.getElementById("main").focus({ preventScroll: true }); });
// Not a view.
document.querySelector(".skip").addEventListener("click", (event) => { event.preventDefault(); document.getElementById("main").focus(); });
showLogin();
