// Queues and streams: the list, and the page of one.

import { get, path, post, put, remove } from "../api.js";
import { confirmed, count, facts, figures, h, octets, rate, short } from "../dom.js";
import { act, argumentField, form, parseArguments } from "../form.js";
import { Rates } from "../chart.js";
import { liveTable } from "../table.js";
import { consumerTable, linkTo } from "./clients.js";
import { badges, bindForm, bindingTable, vhostField } from "./exchanges.js";
import { messageCard, messageCount, publishForm } from "./messages.js";
import { fillCharts, flowChart, lengthChart } from "./overview.js";

/** From this many messages on, emptying or deleting a queue asks for its name. */
const MANY = 100;
const MOVED_AT_ONCE = 500;

const ARGUMENTS = ["x-message-ttl", "x-expires", "x-max-length", "x-max-length-bytes", "x-overflow", "x-dead-letter-exchange",
  "x-dead-letter-routing-key", "x-max-priority", "x-single-active-consumer", "x-delivery-limit", "x-max-age"];

export async function queues(page) {
  page.show("Queues and streams", liveTable(page, {
    path: page.list("queues"), noun: "queues", id: (item) => `${item.vhost} ${item.name}`,
    columns: [
      { label: "Name", sort: "name", link: (item) => linkTo("queue", item.vhost, item.name), text: (item) => item.name },
      { label: "Vhost", sort: "vhost", minor: true, text: (item) => item.vhost },
      { label: "Type", sort: "type", minor: true, text: (item) => item.type },
      { label: "Features", minor: true, node: badges },
      { label: "Ready", sort: "messages_ready", num: true, text: (item) => count(item.messages_ready) },
      { label: "Unacked", sort: "messages_unacknowledged", num: true, text: (item) => count(item.messages_unacknowledged) },
      { label: "Consumers", sort: "consumers", num: true, minor: true, text: (item) => count(item.consumers) },
      { label: "In", sort: "message_stats.publish_details.rate", num: true, text: (item) => rate(item.message_stats.publish_details.rate) },
      { label: "Out", sort: "message_stats.deliver_get_details.rate", num: true, text: (item) => rate(item.message_stats.deliver_get_details.rate) },
    ],
  }));
  const made = argumentField(form([
    await vhostField(page), { name: "name", label: "Name", required: true },
    { name: "type", label: "Type", kind: "select", options: ["classic", "quorum", "stream"] },
    { name: "durable", label: "Durable", kind: "check", value: true }, { name: "auto_delete", label: "Auto-delete", kind: "check" },
    { name: "arguments", label: "Arguments, one name = value a line", kind: "area", rows: 3 },
  ], "Add queue", async ({ vhost, name, type, arguments: text, ...rest }) => {
    await put(path("queues", vhost, name), { ...rest, arguments: { ...(type !== "classic" && { "x-queue-type": type }), ...parseArguments(text) } });
    location.hash = linkTo("queue", vhost, name);
    return `Queue ${name} is there.`;
  }), ARGUMENTS);
  page.main.append(h("details", { class: "card" }, h("summary", null, "Add a queue or stream"), made.node));
}

export async function queue(page) {
  const [vhost, name] = page.segments;
  const where = path("queues", vhost, name);
  let data = await get(`${where}?lengths_age=600&lengths_incr=5&msg_rates_age=600&msg_rates_incr=5`);
  const isStream = data.type === "stream";
  const lost = () => page.show(name, h("p", null, "This queue is gone."));

  const title = page.show(name);
  const flow = flowChart();
  const lengths = lengthChart();
  const totals = figures(["Ready", "Unacked", "Consumers", "Size", "Published", "Delivered", "Acked", "Redelivered"]);
  const details = h("div");
  const consumers = h("div");
  const bound = h("div");
  title.append(h("span", { class: "badge" }, data.type), h("span", { class: "soft" }, `in ${vhost}`), ...badges(data), h("span", { class: "gap" }),
    !isStream && act("Purge", async () => {
      const ready = (await get(where)).messages_ready;
      if (!await confirmed({ title: "Purge this queue?", text: `${messageCount(ready)} that nobody has are dropped for good.`, action: "Purge", name: ready > MANY ? name : undefined })) return "";
      await remove(`${where}/contents`);
      return "The queue is empty.";
    }, { isBad: true }) || "",
    act("Delete", async () => {
      const { messages } = await get(where);
      if (!await confirmed({ title: "Delete this queue?", text: `${name} is deleted, with ${messageCount(messages)}. There is no way back.`, action: "Delete", name: messages > MANY ? name : undefined })) return "";
      await remove(where);
      location.hash = "#/queues";
      return `Queue ${name} is deleted.`;
    }, { isBad: true }));

  async function showBindings() {
    bound.replaceChildren(bindingTable((await get(`${where}/bindings`)).slice(0, 500), { withSource: true, withDestination: false }, showBindings));
  }

  const fold = (text, ...children) => h("details", { class: "card" }, h("summary", null, text), ...children);
  page.main.append(
    h("div", { class: "cards" }, lengths.node, flow.node),
    h("div", { class: "cards" }, h("section", { class: "card" }, h("h2", null, "Figures"), totals.node), h("section", { class: "card" }, h("h2", null, "Details"), details)),
    h("section", { class: "card" }, h("h2", null, "Messages"), messageList(vhost, name, where, isStream)),
    h("section", { class: "card" }, h("h2", null, "Consumers"), consumers),
    h("section", { class: "card" }, h("h2", null, "Bindings"), bound, h("details", null, h("summary", null, "Add a binding"), bindForm(vhost, "q", name, showBindings))),
    fold("Publish a message to this queue", publishForm(path("exchanges", vhost, "amq.default"), name)),
    isStream ? "" : fold("Get messages (takes them out)", getForm(vhost, name, where)),
    isStream ? "" : fold("Move messages to another queue", moveForm(vhost, name, where)));
  fillCharts(historyOf(data), flow, lengths);
  await showBindings();

  const rates = new Rates();
  let consumerText = "";
  function show() {
    const { message_stats: stats } = data;
    totals.set("Ready", count(data.messages_ready));
    totals.set("Unacked", count(data.messages_unacknowledged));
    totals.set("Consumers", count(data.consumers));
    totals.set("Size", octets(data.message_bytes));
    totals.set("Published", short(stats.publish));
    totals.set("Delivered", short(stats.deliver_get));
    totals.set("Acked", short(stats.ack));
    totals.set("Redelivered", short(stats.redeliver));
    const text = JSON.stringify([data.consumer_details, data.arguments, data.policy, data.state]);
    if (text === consumerText) return;
    consumerText = text;
    details.replaceChildren(facts([["State", data.state], ["Durable", data.durable ? "yes" : "no"], ["Policy", data.policy], ["Operator policy", data.operator_policy],
      ["Owner", data.owner_pid_details && h("a", { href: linkTo("connection", data.owner_pid_details.name) }, data.owner_pid_details.name)],
      ["Single active consumer", data.single_active_consumer_tag], ["Delivery limit", data.delivery_limit >= 0 ? count(data.delivery_limit) : ""],
      ...Object.entries(data.arguments).filter(([key]) => key !== "x-queue-type").map(([key, value]) => [h("code", null, key), shownValue(value)]),
      ...Object.entries(data.effective_policy_definition ?? {}).map(([key, value]) => [h("span", null, h("code", null, key), " by policy"), shownValue(value)])]));
    consumers.replaceChildren(consumerTable(data.consumer_details));
  }
  page.watch("queue", [where], {
    view: (_, value) => { data = value; show(); },
    error: (_, status) => status === 404 && lost(),
    tick: (at) => {
      const { publish, deliver_get, ack, confirm, redeliver, return_unroutable } = data.message_stats;
      const found = rates.of(at, { publish, deliver_get, ack, confirm, redeliver, return_unroutable });
      if (found) flow.add(at, found);
      lengths.add(at, data);
    },
  });
}

const shownValue = (value) => (typeof value === "number" ? count(value) : JSON.stringify(value));

/** What the API has kept of an object's counters, as `[at, counts]`, oldest first. */
export function historyOf(record) {
  const counts = new Map();
  for (const source of [record, record.queue_totals ?? {}, record.message_stats]) {
    for (const [name, value] of Object.entries(source)) {
      if (!name.endsWith("_details") || !value?.samples) continue;
      const newest = value.samples[0]?.timestamp;
      for (const { sample, timestamp } of value.samples) {
        const at = Date.now() - (newest - timestamp);
        const key = Math.round(at / 1000);
        if (!counts.has(key)) counts.set(key, [at, {}]);
        counts.get(key)[1][name.slice(0, -"_details".length)] = sample;
      }
    }
  }
  return [...counts.values()].sort(([one], [other]) => one - other);
}

function messageList(vhost, name, where, isStream) {
  const list = h("div");
  const amount = h("select", { "aria-label": "How many" }, [10, 50, 200].map((number) => h("option", { value: number }, `${number} messages`)));
  const from = isStream && h("select", { "aria-label": "From where" }, [["last", "newest"], ["first", "oldest"]].map(([value, text]) => h("option", { value }, text)));

  async function peek() {
    const found = await get(`${where}/messages?${new URLSearchParams({ count: amount.value, truncate: 20000, ...(isStream && { from: from.value }) })}`);
    const letters = found.filter((message) => message.properties.headers?.["x-death"]);
    list.replaceChildren(
      letters.length > 1 ? h("p", null, act(`Send all ${letters.length} dead letters back`, async () => sendBack(letters), { isMain: true })) : "",
      ...found.map((message) => messageCard(vhost, name, message, isStream ? `offset ${message.position}` : `#${found.indexOf(message) + 1}`,
        letters.includes(message) ? act("Send back", () => sendBack([message])) : null)),
      found.length ? "" : h("p", { class: "empty" }, "No message is ready here."));
  }

  async function sendBack(messages) {
    const { sent, missing } = await post(`${where}/send-back`, { positions: messages.map((message) => message.position) });
    await peek();
    return missing ? `${messageCount(sent)} sent back; ${count(missing)} had gone already.` : `${messageCount(sent)} sent back.`;
  }

  return h("div", null,
    h("div", { class: "tools" }, act("Peek", peek, { isMain: true }), amount, from,
      h("span", { class: "soft" }, isStream ? "Reading a stream changes nothing." : "Nothing changes: order and redelivered flags stay, consumers don't notice.")), list);
}

function getForm(vhost, name, where) {
  const list = h("div");
  return h("div", null, form([
    { name: "count", label: "How many", kind: "number", value: "1" },
    { name: "ackmode", label: "Then", kind: "select", options: [["ack_requeue_false", "acknowledge: they are gone"], ["ack_requeue_true", "put back, marked as redelivered"],
      ["reject_requeue_false", "reject: dead-letter or drop"], ["reject_requeue_true", "reject and put back"]] },
  ], "Get", async ({ count: number, ackmode }) => {
    const found = await post(`${where}/get`, { count: Number(number), ackmode, encoding: "auto", truncate: 50000 });
    list.replaceChildren(...found.map((message, index) => messageCard(vhost, name, message, `#${index + 1}`)));
    return found.length ? `Got ${messageCount(found.length)}.` : "The queue has no ready message.";
  }).node, list);
}

function moveForm(vhost, name, where) {
  const progress = h("p", { role: "status" });
  return h("div", null, form([
    { name: "destination", label: "To queue", required: true }, { name: "count", label: "How many (empty: all that are ready now)", kind: "number" },
  ], "Move", async ({ destination, count: number }) => {
    let left = number ? Number(number) : (await get(where)).messages_ready;
    const wanted = left;
    if (wanted > MANY && !await confirmed({ title: "Move messages?", text: `${messageCount(wanted)} go from ${name} to ${destination}.`, action: "Move" })) return "";
    while (left > 0) {
      const { moved } = await post(`${where}/move`, { destination, count: Math.min(left, MOVED_AT_ONCE) });
      if (!moved) break;
      left -= moved;
      progress.textContent = `${messageCount(wanted - left)} of ${count(wanted)} moved.`;
    }
    return `${messageCount(wanted - left)} moved to ${destination}.`;
  }).node, progress);
}
