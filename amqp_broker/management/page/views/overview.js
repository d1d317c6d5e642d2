// The broker as a whole.

import { get, path, post } from "../api.js";
import { historyOf } from "./queues.js";
import { Rates, chart } from "../chart.js";
import { confirmed, count, duration, figures, h, octets, rate, setText, short } from "../dom.js";
import { act } from "../form.js";
import { plainTable } from "../table.js";

const FLOW = { publish: "Publish", deliver_get: "Deliver", ack: "Ack", confirm: "Confirm", redeliver: "Redeliver", return_unroutable: "Return" };
const LENGTHS = { messages_ready: "Ready", messages_unacknowledged: "Unacked" };
const CHURN = { connection_created: "Connections opened", connection_closed: "Connections closed", channel_created: "Channels opened", channel_closed: "Channels closed", queue_created: "Queues created", queue_deleted: "Queues deleted" };

export const flowChart = () => chart("Message rates", FLOW, rate);
export const lengthChart = () => chart("Messages waiting", LENGTHS, short);

/** Fill charts with what the broker has kept: `[at, counts]`, some seconds apart. */
export function fillCharts(history, flow, lengths) {
  const rates = new Rates();
  for (const [at, counts] of history) {
    const found = rates.of(at, counts);
    if (found) flow.add(at, found);
    lengths.add(at, counts);
  }
}

/** The nodes of a cluster: a card that stays hidden where there is but one. */
function nodesCard(page) {
  const texts = [["Node", (one) => one.name], ["State", (one) => !one.running ? "down" : one.being_drained ? "drained" : "running"],
    ["Memory", (one) => octets(one.mem_used)], ["Disk free", (one) => octets(one.disk_free)], ["Connections", (one) => count(one.sockets_used)],
    ["Vhosts", (one) => count(one.vhost_count)], ["Uptime", (one) => one.uptime === undefined ? "" : duration(one.uptime)]];
  const body = h("tbody");
  const rows = new Map();
  const node = h("section", { class: "card", hidden: true }, h("h2", null, "Nodes"), h("div", { class: "wide" }, h("table", { "aria-label": "Nodes" },
    h("thead", null, h("tr", null, texts.map(([head]) => h("th", { scope: "col" }, head)), h("td"))), body)));

  const drain = (name) => act("Drain", async () => {
    if (!await confirmed({ title: "Drain this node?", text: `${name} gives its vhosts to the others, and gets none until it is undrained; their clients have to connect anew.`, action: "Drain" })) return "";
    await post(path("nodes", name, "drain"));
    return `${name} gives its vhosts away.`;
  });
  const undrain = (name) => act("Undrain", async () => {
    await post(path("nodes", name, "undrain"));
    return `${name} may have vhosts again.`;
  });

  function row(one) {
    const cells = texts.map(() => h("td"));
    const button = h("td");
    return { node: h("tr", null, cells, button), cells, button, isDrained: null };
  }

  function update(list) {
    node.hidden = list.length < 2;
    const sorted = [...list].sort((one, two) => (one.name < two.name ? -1 : 1));
    sorted.forEach((one, index) => {
      if (!rows.has(one.name)) rows.set(one.name, row(one));
      const shown = rows.get(one.name);
      texts.forEach(([, text], at) => setText(shown.cells[at], text(one)));
      shown.cells[1].className = one.running ? "" : "bad";
      if (page.is("administrator") && shown.isDrained !== one.being_drained) {
        shown.isDrained = one.being_drained;
        shown.button.replaceChildren(one.being_drained ? undrain(one.name) : drain(one.name));
      }
      if (body.children[index] !== shown.node) body.insertBefore(shown.node, body.children[index] ?? null);
    });
    for (const [name, one] of rows) if (!list.some((each) => each.name === name)) { one.node.remove(); rows.delete(name); }
  }

  return { node, update };
}

function firstSteps(listeners, user) {
  const port = listeners.find((one) => one.protocol === "amqp")?.port;
  const url = `amqp://${encodeURIComponent(user)}:${user === "guest" ? user : "…"}@${location.hostname}:${port}/%2F`;
  return [h("h2", null, "Nobody is here yet"), h("p", null, "Any RabbitMQ client will do:"), h("pre", null, `import pika  # pip install pika
channel = pika.BlockingConnection(pika.URLParameters("${url}")).channel()
channel.queue_declare("hello", durable=True)
channel.basic_publish("", "hello", b"Hello!")`)];
}

export async function overview(page) {
  const flow = flowChart();
  const lengths = lengthChart();
  const clients = chart("Clients", { connections: "Connections", channels: "Channels", consumers: "Consumers" }, short);
  const totals = figures([["Connections", "#/connections"], ["Channels", "#/channels"], ["Exchanges", "#/exchanges"], ["Queues", "#/queues"],
    ["Consumers", "#/consumers"], "Ready", "Unacked", "Published", "Delivered", "Acked", "Unroutable"]);
  const churn = figures(Object.values(CHURN));
  const node = figures(["Memory", "Disk free", "File descriptors", "Sockets", "Threads", "Uptime"]);
  const alarms = h("p", { class: "bad", role: "alert" });
  const listeners = h("div");
  const about = h("p", { class: "soft" });
  const start = h("section", { class: "card", hidden: true });
  const nodes = nodesCard(page);
  const nodeTitle = h("h2", null, "Node");
  page.show("Overview", alarms, start, nodes.node, h("div", { class: "cards" }, flow.node, lengths.node, clients.node, h("section", { class: "card" }, h("h2", null, "Totals"), totals.node)),
    h("div", { class: "cards" },
      page.is("monitoring") && h("section", { class: "card" }, nodeTitle, node.node),
      h("section", { class: "card" }, h("h2", null, "Come and gone"), churn.node),
      page.is("monitoring") && h("section", { class: "card" }, h("h2", null, "Listeners"), listeners)),
    about);
  fillCharts(historyOf(await get("overview?lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5")), flow, lengths);
  const rates = new Rates();
  let data = null;
  let listening = "";

  function show() {
    const { object_totals: objects, queue_totals: queues, message_stats: stats } = data;
    for (const [name, number] of Object.entries(objects)) totals.set(name[0].toUpperCase() + name.slice(1), count(number));
    totals.set("Ready", count(queues.messages_ready));
    totals.set("Unacked", count(queues.messages_unacknowledged));
    totals.set("Published", short(stats.publish));
    totals.set("Delivered", short(stats.deliver_get));
    totals.set("Acked", short(stats.ack));
    totals.set("Unroutable", short(stats.return_unroutable + stats.drop_unroutable));
    for (const [name, label] of Object.entries(CHURN)) churn.set(label, count(data.churn_rates[name]));
    about.textContent = `${data.product_name} ${data.product_version} answers as RabbitMQ ${data.rabbitmq_version} on ${data.erlang_full_version}.`;
    start.hidden = objects.connections > 0 || objects.queues > 0 || !data.listeners;
    const text = JSON.stringify(data.listeners);
    if (data.listeners && text !== listening) {
      listening = text;
      start.replaceChildren(...firstSteps(data.listeners, page.user.name));
      const isOne = new Set(data.listeners.map((one) => one.node)).size < 2;
      listeners.replaceChildren(plainTable("Listeners", [...(isOne ? [] : ["Node"]), "Protocol", "Address", "Port"],
        data.listeners.map((one) => [...(isOne ? [] : [one.node]), one.protocol, one.ip_address, String(one.port)])));
    }
  }

  function showNode(one) {
    setText(nodeTitle, nodes.node.hidden ? "Node" : `Node ${one.name}`);
    node.set("Memory", `${octets(one.mem_used)} of ${octets(one.mem_limit)}`);
    node.set("Disk free", octets(one.disk_free));
    node.set("File descriptors", `${count(one.fd_used)} of ${count(one.fd_total)}`);
    node.set("Sockets", count(one.sockets_used));
    node.set("Threads", count(one.proc_used));
    node.set("Uptime", duration(one.uptime));
    const raised = [one.mem_alarm && "memory", one.disk_free_alarm && "disk space"].filter(Boolean);
    alarms.textContent = raised.length ? `Publishers are blocked: the broker is short of ${raised.join(" and ")}.` : "";
  }

  page.watch("overview", page.is("monitoring") ? ["overview", "nodes?columns=name,running,being_drained,vhost_count,mem_used,mem_limit,disk_free,fd_used,fd_total,sockets_used,proc_used,uptime,mem_alarm,disk_free_alarm"] : ["overview"], {
    view: (number, value) => {
      if (number === 0) { data = value; show(); } else { nodes.update(value); showNode(value[0]); }
    },
    tick: (at) => {
      const found = rates.of(at, Object.fromEntries(Object.keys(FLOW).map((name) => [name, data.message_stats[name]])));
      if (found) flow.add(at, found);
      lengths.add(at, data.queue_totals);
      clients.add(at, data.object_totals);
    },
  });
}
