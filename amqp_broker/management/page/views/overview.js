// The broker as a whole.

import { get } from "../api.js";
import { historyOf } from "./queues.js";
import { Rates, chart } from "../chart.js";
import { count, duration, figures, h, octets, rate, short } from "../dom.js";
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
  page.show("Overview", alarms, start, h("div", { class: "cards" }, flow.node, lengths.node, clients.node, h("section", { class: "card" }, h("h2", null, "Totals"), totals.node)),
    h("div", { class: "cards" },
      page.is("monitoring") && h("section", { class: "card" }, h("h2", null, "Node"), node.node),
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
      listeners.replaceChildren(plainTable("Listeners", ["Protocol", "Address", "Port"],
        data.listeners.map((one) => [one.protocol, one.ip_address, String(one.port)])));
    }
  }

  function showNode(one) {
    node.set("Memory", `${octets(one.mem_used)} of ${octets(one.mem_limit)}`);
    node.set("Disk free", octets(one.disk_free));
    node.set("File descriptors", `${count(one.fd_used)} of ${count(one.fd_total)}`);
    node.set("Sockets", count(one.sockets_used));
    node.set("Threads", count(one.proc_used));
    node.set("Uptime", duration(one.uptime));
    const raised = [one.mem_alarm && "memory", one.disk_free_alarm && "disk space"].filter(Boolean);
    alarms.textContent = raised.length ? `Publishers are blocked: the broker is short of ${raised.join(" and ")}.` : "";
  }

  page.watch("overview", page.is("monitoring") ? ["overview", "nodes?columns=mem_used,mem_limit,disk_free,fd_used,fd_total,sockets_used,proc_used,uptime,mem_alarm,disk_free_alarm"] : ["overview"], {
    view: (number, value) => {
      if (number === 0) { data = value; show(); } else showNode(value[0]);
    },
    tick: (at) => {
      const found = rates.of(at, Object.fromEntries(Object.keys(FLOW).map((name) => [name, data.message_stats[name]])));
      if (found) flow.add(at, found);
      lengths.add(at, data.queue_totals);
      clients.add(at, data.object_totals);
    },
  });
}
