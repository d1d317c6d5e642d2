// Connections, channels and consumers.

import { get, path, remove } from "../api.js";
import { Rates, chart } from "../chart.js";
import { confirmed, count, facts, h, octets, rate, short } from "../dom.js";
import { act } from "../form.js";
import { liveTable, plainTable } from "../table.js";

export const linkTo = (view, ...segments) => `#/${view}/${path(...segments)}`;

const inVhost = (page, kind) => (page.vhost ? `vhosts/${path(page.vhost)}/${kind}` : kind);

const clientOf = (item) => item.user_provided_name || item.client_properties?.connection_name || [item.client_properties?.product, item.client_properties?.version].filter(Boolean).join(" ");

export function connections(page) {
  page.show("Connections", liveTable(page, {
    path: inVhost(page, "connections"), noun: "connections", id: (item) => item.name,
    columns: [
      { label: "Name", sort: "name", link: (item) => linkTo("connection", item.name), text: (item) => item.name },
      { label: "Client", text: clientOf },
      { label: "User", sort: "user", minor: true, text: (item) => item.user },
      { label: "Vhost", sort: "vhost", minor: true, text: (item) => item.vhost },
      { label: "State", sort: "state", text: (item) => item.state },
      { label: "TLS", minor: true, text: (item) => (item.ssl ? "yes" : "") },
      { label: "Channels", sort: "channels", num: true, text: (item) => count(item.channels) },
      { label: "From client", sort: "recv_oct_details.rate", num: true, text: (item) => `${octets(item.recv_oct_details.rate)}/s` },
      { label: "To client", sort: "send_oct_details.rate", num: true, text: (item) => `${octets(item.send_oct_details.rate)}/s` },
    ],
  }));
}

export async function connection(page) {
  const [name] = page.segments;
  const where = path("connections", name);
  const item = await get(where);
  const title = page.show(name);
  const traffic = chart("Traffic", { recv_oct: "From client", send_oct: "To client" }, (value) => `${octets(Math.round(value))}/s`);
  const details = h("div");
  const list = h("div");
  title.append(act("Close connection", async () => {
    if (!await confirmed({ title: "Close this connection?", text: `${name} of user ${item.user} is closed; most clients connect again.`, action: "Close" })) return "";
    await remove(where);
    location.hash = "#/connections";
    return "The connection is closed.";
  }, { isBad: true }));
  page.main.append(h("div", { class: "cards" }, traffic.node, h("section", { class: "card" }, h("h2", null, "Details"), details)),
    h("section", { class: "card" }, h("h2", null, "Channels"), list));
  const rates = new Rates();
  let data = item;
  page.watch("connection", [where, `${where}/channels`], {
    view: (number, value) => {
      if (number === 1) {
        list.replaceChildren(plainTable("Channels", ["Channel", "Consumers", "Prefetch", "Unacked", "Unconfirmed", "Publish"],
          value.map((one) => [h("a", { href: linkTo("channel", one.name) }, one.name), count(one.consumer_count), count(one.prefetch_count),
            count(one.messages_unacknowledged), count(one.messages_unconfirmed), rate(one.message_stats.publish_details.rate)])));
        return;
      }
      data = value;
      details.replaceChildren(facts([["Client", clientOf(value)], ["User", value.user], ["Vhost", value.vhost], ["State", value.state],
        ["Protocol", value.protocol], ["TLS", value.ssl ? value.ssl_protocol || "yes" : "no"], ["Mechanism", value.auth_mechanism],
        ["Heartbeat", `${value.timeout} s`], ["Frame max", octets(value.frame_max)], ["Channel max", count(value.channel_max)],
        ["Since", new Date(value.connected_at).toLocaleString()], ["Received", octets(value.recv_oct)], ["Sent", octets(value.send_oct)],
        ["Client properties", h("pre", null, JSON.stringify(value.client_properties, null, 2))]]));
    },
    error: (number) => number === 0 && page.show(name, h("p", null, "This connection is closed.")),
    tick: (at) => {
      const found = rates.of(at, { recv_oct: data.recv_oct, send_oct: data.send_oct });
      if (found) traffic.add(at, found);
    },
  });
}

export function channels(page) {
  page.show("Channels", liveTable(page, {
    path: inVhost(page, "channels"), noun: "channels", id: (item) => item.name,
    columns: [
      { label: "Name", sort: "name", link: (item) => linkTo("channel", item.name), text: (item) => item.name },
      { label: "User", sort: "user", minor: true, text: (item) => item.user },
      { label: "Vhost", sort: "vhost", minor: true, text: (item) => item.vhost },
      { label: "Mode", minor: true, text: (item) => [item.confirm && "confirm", item.transactional && "tx"].filter(Boolean).join(" ") },
      { label: "State", sort: "state", text: (item) => item.state },
      { label: "Consumers", sort: "consumer_count", num: true, text: (item) => count(item.consumer_count) },
      { label: "Prefetch", sort: "prefetch_count", num: true, text: (item) => count(item.prefetch_count) },
      { label: "Unacked", sort: "messages_unacknowledged", num: true, text: (item) => count(item.messages_unacknowledged) },
      { label: "Publish", sort: "message_stats.publish_details.rate", num: true, text: (item) => rate(item.message_stats.publish_details.rate) },
      { label: "Deliver", sort: "message_stats.deliver_get_details.rate", num: true, text: (item) => rate(item.message_stats.deliver_get_details.rate) },
    ],
  }));
}

export async function channel(page) {
  const [name] = page.segments;
  const flow = chart("Message rates", { publish: "Publish", deliver_get: "Deliver", ack: "Ack", confirm: "Confirm", redeliver: "Redeliver" }, rate);
  const details = h("div");
  const list = h("div");
  const where = path("channels", name);
  let data = await get(where);
  page.show(name, h("div", { class: "cards" }, flow.node, h("section", { class: "card" }, h("h2", null, "Details"), details)),
    h("section", { class: "card" }, h("h2", null, "Consumers"), list));
  const rates = new Rates();
  page.watch("channel", [where], {
    view: (_, value) => {
      data = value;
      details.replaceChildren(facts([
        ["Connection", h("a", { href: linkTo("connection", value.connection_details.name) }, value.connection_details.name)],
        ["User", value.user], ["Vhost", value.vhost], ["State", value.state], ["Prefetch", count(value.prefetch_count)],
        ["Mode", [value.confirm && "confirm", value.transactional && "transactional"].filter(Boolean).join(", ") || "plain"],
        ["Unacked", count(value.messages_unacknowledged)], ["Unconfirmed", count(value.messages_unconfirmed)],
        ["Uncommitted", count(value.messages_uncommitted)], ["Published", count(value.message_stats.publish)]]));
      list.replaceChildren(consumerTable(value.consumer_details));
    },
    error: () => page.show(name, h("p", null, "This channel is closed.")),
    tick: (at) => {
      const { publish, deliver_get, ack, confirm, redeliver } = data.message_stats;
      const found = rates.of(at, { publish, deliver_get, ack, confirm, redeliver });
      if (found) flow.add(at, found);
    },
  });
}

export const consumerTable = (consumers) => plainTable("Consumers", ["Tag", "Queue", "Channel", "Ack", "Prefetch", "State", "Arguments"],
  consumers.map((one) => [one.consumer_tag, h("a", { href: linkTo("queue", one.queue.vhost, one.queue.name) }, one.queue.name),
    h("a", { href: linkTo("channel", one.channel_details.name) }, one.channel_details.name),
    one.ack_required ? "yes" : "no", short(one.prefetch_count), [one.activity_status, one.exclusive && "exclusive"].filter(Boolean).join(", "),
    Object.keys(one.arguments).length ? h("code", null, JSON.stringify(one.arguments)) : ""]), "No consumers.");

export function consumers(page) {
  page.show("Consumers", liveTable(page, {
    path: page.list("consumers"), noun: "consumers", id: (item) => `${item.channel_details.name} ${item.consumer_tag}`,
    columns: [
      { label: "Tag", sort: "consumer_tag", text: (item) => item.consumer_tag },
      { label: "Queue", sort: "queue.name", link: (item) => linkTo("queue", item.queue.vhost, item.queue.name), text: (item) => item.queue.name },
      { label: "Vhost", sort: "queue.vhost", minor: true, text: (item) => item.queue.vhost },
      { label: "Channel", sort: "channel_details.name", link: (item) => linkTo("channel", item.channel_details.name), text: (item) => item.channel_details.name },
      { label: "Ack", minor: true, text: (item) => (item.ack_required ? "yes" : "no") },
      { label: "Prefetch", sort: "prefetch_count", num: true, text: (item) => count(item.prefetch_count) },
      { label: "State", text: (item) => [item.activity_status, item.exclusive && "exclusive"].filter(Boolean).join(", ") },
    ],
  }));
}
