// Exchanges and bindings.

import { exchangeName, get, path, post, put, remove } from "../api.js";
import { Rates, chart } from "../chart.js";
import { confirmed, count, facts, h, note, rate } from "../dom.js";
import { act, argumentField, form, parseArguments } from "../form.js";
import { liveTable, plainTable } from "../table.js";
import { linkTo } from "./clients.js";
import { publishForm } from "./messages.js";

export const shownExchange = (name) => name || "(default)";
export const linkToExchange = (vhost, name) => linkTo("exchange", vhost, exchangeName(name));
const linkToDestination = (one) => (one.destination_type === "queue" ? linkTo("queue", one.vhost, one.destination) : linkToExchange(one.vhost, one.destination));

export const badges = (item) => [item.durable ? null : "transient", item.auto_delete && "auto-delete", item.exclusive && "exclusive", item.internal && "internal",
  item.arguments["x-message-ttl"] !== undefined && "TTL", item.arguments["x-expires"] !== undefined && "expires", (item.arguments["x-max-length"] ?? item.arguments["x-max-length-bytes"]) !== undefined && "limit",
  item.arguments["x-dead-letter-exchange"] !== undefined && "DLX", item.arguments["x-max-priority"] !== undefined && "priority",
  item.arguments["x-single-active-consumer"] && "SAC", item.arguments["alternate-exchange"] && "AE", item.policy && `policy ${item.policy}`]
  .filter(Boolean).map((text) => h("span", { class: "badge" }, text));

/** A choice of vhosts for what is to be made. */
export async function vhostField(page) {
  const { items } = await get("vhosts?page=1&page_size=500&columns=name");
  return { name: "vhost", label: "Virtual host", kind: "select", options: items.map(({ name }) => name), value: page.vhost || "/" };
}

export async function exchanges(page) {
  page.show("Exchanges", liveTable(page, {
    path: page.list("exchanges"), noun: "exchanges", id: (item) => `${item.vhost} ${item.name}`,
    columns: [
      { label: "Name", sort: "name", link: (item) => linkToExchange(item.vhost, item.name), text: (item) => shownExchange(item.name) },
      { label: "Vhost", sort: "vhost", minor: true, text: (item) => item.vhost },
      { label: "Type", sort: "type", text: (item) => item.type },
      { label: "Features", minor: true, node: badges },
      { label: "In", sort: "message_stats.publish_in_details.rate", num: true, text: (item) => rate(item.message_stats.publish_in_details.rate) },
      { label: "Out", sort: "message_stats.publish_out_details.rate", num: true, text: (item) => rate(item.message_stats.publish_out_details.rate) },
    ],
  }));
  const [vhosts, { exchange_types: types }] = await Promise.all([vhostField(page), get("overview")]);
  const made = argumentField(form([
    vhosts, { name: "name", label: "Name", required: true },
    { name: "type", label: "Type", kind: "select", options: types.map((one) => one.name), value: "direct" },
    { name: "durable", label: "Durable", kind: "check", value: true }, { name: "auto_delete", label: "Auto-delete", kind: "check" },
    { name: "internal", label: "Internal", kind: "check" }, { name: "arguments", label: "Arguments, one name = value a line", kind: "area", rows: 2 },
  ], "Add exchange", async ({ vhost, name, arguments: text, ...rest }) => {
    await put(path("exchanges", vhost, name), { ...rest, arguments: parseArguments(text) });
    location.hash = linkToExchange(vhost, name);
    return `Exchange ${name} is there.`;
  }), ["alternate-exchange", "x-delayed-type"]);
  page.main.append(h("details", { class: "card" }, h("summary", null, "Add an exchange"), made.node));
}

/** Bindings as a table, each with a button that removes it. */
export function bindingTable(list, { withSource, withDestination }, changed) {
  const heads = [withSource && "From", withDestination && "To", "Routing key", "Arguments", ""].filter((head) => head !== false);
  return plainTable("Bindings", heads, list.map((one) => [
    withSource && h("a", { href: linkToExchange(one.vhost, one.source) }, shownExchange(one.source)),
    withDestination && h("span", null, h("a", { href: linkToDestination(one) }, shownExchange(one.destination)), one.destination_type === "exchange" ? " (exchange)" : ""),
    h("code", null, one.routing_key), Object.keys(one.arguments).length ? h("code", null, JSON.stringify(one.arguments)) : "",
    one.source === "" ? h("span", { class: "soft" }, "built in") : act("Unbind", async () => {
      await remove(path("bindings", one.vhost, "e", exchangeName(one.source), one.destination_type === "queue" ? "q" : "e", exchangeName(one.destination), one.properties_key));
      changed();
      return "Unbound.";
    }, { isBad: true }),
  ].filter((cell) => cell !== false)), "No bindings.");
}

const bind = (vhost, source, kind, destination, { routing_key, arguments: text }) =>
  post(path("bindings", vhost, "e", exchangeName(source), kind, exchangeName(destination)), { routing_key, arguments: parseArguments(text) });

/** A form that binds a queue (or exchange) that is being looked at to some exchange. */
export const bindForm = (vhost, kind, destination, changed) => form([
  { name: "source", label: "From exchange", required: true }, { name: "routing_key", label: "Routing key" },
  { name: "arguments", label: "Arguments", kind: "area", rows: 2 },
], "Bind", async (values) => {
  await bind(vhost, values.source, kind, destination, values);
  changed();
  return `Bound to ${values.source}.`;
}).node;

export async function exchange(page) {
  const [vhost, name] = page.segments;
  const where = path("exchanges", vhost, name);
  let data = await get(where);
  const isDefault = data.name === "";
  const title = page.show(shownExchange(data.name));
  const flow = chart("Message rates", { publish_in: "Published in", publish_out: "Routed out" }, rate);
  const out = h("div");
  const into = h("div");
  title.append(h("span", { class: "badge" }, data.type), h("span", { class: "soft" }, `in ${vhost}`), ...badges(data), h("span", { class: "gap" }));
  if (!isDefault && !data.name.startsWith("amq.")) {
    title.append(act("Delete", async () => {
      if (!await confirmed({ title: "Delete this exchange?", text: `${data.name} and its bindings are deleted. There is no way back.`, action: "Delete", name: data.name })) return "";
      await remove(where);
      location.hash = "#/exchanges";
      return "The exchange is deleted.";
    }, { isBad: true }));
  }
  async function showBindings() {
    const [from, to] = await Promise.all([get(`${where}/bindings/source`), get(`${where}/bindings/destination`)]);
    out.replaceChildren(bindingTable(from.slice(0, 500), { withSource: false, withDestination: true }, showBindings));
    into.replaceChildren(bindingTable(to.slice(0, 500), { withSource: true, withDestination: false }, showBindings));
  }
  const bindTo = form([
    { name: "kind", label: "To", kind: "select", options: [["q", "queue"], ["e", "exchange"]] }, { name: "destination", label: "Name", required: true },
    { name: "routing_key", label: "Routing key" }, { name: "arguments", label: "Arguments", kind: "area", rows: 2 },
  ], "Bind", async (values) => {
    await bind(vhost, data.name, values.kind, values.destination, values);
    await showBindings();
    return `Bound to ${values.destination}.`;
  });
  page.main.append(h("div", { class: "cards" }, flow.node,
    h("section", { class: "card" }, h("h2", null, "What would this message reach?"), routeTest(where, vhost))),
  h("section", { class: "card" }, h("h2", null, "Bindings from here"), out, !isDefault && h("details", null, h("summary", null, "Add a binding"), bindTo.node)),
  !isDefault && h("section", { class: "card" }, h("h2", null, "Bindings to here"), into) || "",
  h("section", { class: "card" }, h("h2", null, "Publish a message"), publishForm(where)),
  Object.keys(data.arguments).length ? h("section", { class: "card" }, h("h2", null, "Arguments"), facts(Object.entries(data.arguments).map(([key, value]) => [key, JSON.stringify(value)]))) : "");
  await showBindings();
  const rates = new Rates();
  page.watch("exchange", [where], {
    view: (_, value) => { data = value; },
    error: () => page.show(shownExchange(name), h("p", null, "This exchange is gone.")),
    tick: (at) => {
      const { publish_in, publish_out } = data.message_stats;
      const found = rates.of(at, { publish_in, publish_out });
      if (found) flow.add(at, found);
    },
  });
}

function routeTest(where, vhost) {
  const result = h("div", { role: "status" });
  return h("div", null, form([
    { name: "routing_key", label: "Routing key", full: true }, { name: "headers", label: "Headers, one name = value a line", kind: "area", rows: 2 },
  ], "Test", async ({ routing_key, headers }) => {
    const found = await post(`${where}/route`, { routing_key, headers: parseArguments(headers) });
    result.replaceChildren(found.queues.length
      ? h("p", null, `It would reach ${count(found.queues.length)} ${found.queues.length === 1 ? "queue" : "queues"}: `,
        found.queues.slice(0, 200).map((queue, index) => [index ? ", " : "", h("a", { href: linkTo("queue", vhost, queue) }, queue)]))
      : h("p", { class: "bad" }, "It would reach nothing: no binding matches, and no alternate exchange takes it."));
  }).node, result);
}

export function bindings(page) {
  page.show("Bindings", liveTable(page, {
    path: page.list("bindings"), noun: "bindings", id: (one) => JSON.stringify([one.vhost, one.source, one.destination_type, one.destination, one.properties_key]),
    columns: [
      { label: "From", sort: "source", link: (one) => linkToExchange(one.vhost, one.source), text: (one) => shownExchange(one.source) },
      { label: "To", sort: "destination", link: linkToDestination, text: (one) => one.destination },
      { label: "Kind", sort: "destination_type", minor: true, text: (one) => one.destination_type },
      { label: "Vhost", sort: "vhost", minor: true, text: (one) => one.vhost },
      { label: "Routing key", sort: "routing_key", text: (one) => one.routing_key },
      { label: "Arguments", text: (one) => (Object.keys(one.arguments).length ? JSON.stringify(one.arguments) : "") },
      { label: "", node: (one) => one.source === "" ? h("span", { class: "soft" }, "built in") : act("Unbind", async () => {
        await remove(path("bindings", one.vhost, "e", exchangeName(one.source), one.destination_type === "queue" ? "q" : "e", exchangeName(one.destination), one.properties_key));
        return "Unbound.";
      }, { isBad: true }) },
    ],
  }));
}
