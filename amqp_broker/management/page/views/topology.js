// The topology as a picture: exchanges by their distance from publishers, then queues; rates where there is only one way.

import { get, path } from "../api.js";
import { Rates } from "../chart.js";
import { count, h, rate, s, setText } from "../dom.js";
import { linkTo } from "./clients.js";
import { linkToExchange, shownExchange, vhostField } from "./exchanges.js";

const WIDE = 190;
const HIGH = 44;
const GAP_X = 150;
const GAP_Y = 16;
const PAD = 12;
const ROW = HIGH + GAP_Y;
const NEAR = 3;

const clip = (text, length) => (text.length > length ? `${text.slice(0, length - 1)}…` : text);
const keyOf = (kind, name) => `${kind} ${name}`;

/** Each node's column: one more than the farthest exchange that leads to it; a ring of exchanges ends somewhere. */
function columns(nodes, edges) {
  const column = new Map([...nodes.keys()].map((key) => [key, 0]));
  for (let round = 0; round < 6; round++) {
    for (const edge of edges) {
      const next = column.get(edge.from) + 1;
      if (column.get(edge.to) < next && next <= 6) column.set(edge.to, next);
    }
  }
  const last = Math.max(1, ...[...nodes].map(([key]) => column.get(key)));
  for (const [key, node] of nodes) if (node.kind === "queue") column.set(key, last);
  return column;
}

/** Order each column by where its edges come from, so that few cross; an edge that skips columns has a place in each, its `via`. */
function places(nodes, edges) {
  const column = columns(nodes, edges);
  const links = [];
  for (const edge of edges) {
    edge.via = [];
    for (let at = column.get(edge.from) + 1; at < column.get(edge.to); at++) edge.via.push(`${edge.from} ${edge.to} ${at}`);
    edge.via.forEach((key, index) => column.set(key, column.get(edge.from) + 1 + index));
    [...edge.via, edge.to].forEach((key, index) => links.push([[edge.from, ...edge.via][index], key]));
  }
  const levels = [];
  for (const [key, at] of column) (levels[at] ??= []).push(key);
  const row = new Map();
  for (const level of levels.filter(Boolean)) {
    const weight = new Map(level.map((key) => {
      const from = links.filter(([one, other]) => other === key && row.has(one)).map(([one]) => row.get(one));
      return [key, from.length ? from.reduce((sum, one) => sum + one, 0) / from.length : Infinity];
    }));
    level.sort((one, other) => weight.get(one) - weight.get(other) || (one < other ? -1 : 1));
    level.forEach((key, index) => row.set(key, index));
  }
  const high = heights(levels.filter(Boolean), links);
  return new Map([...column].map(([key, at]) => [key, { x: PAD + at * (WIDE + GAP_X), y: PAD + high.get(key) }]));
}

/** How far down each node is: beside the first few that it leads to, so that its edges stay short. */
function heights(levels, links) {
  const high = new Map();
  for (const level of levels.toReversed()) {
    let next = 0;
    for (const key of level) {
      const after = links.filter(([one, other]) => one === key && high.has(other)).map(([, other]) => high.get(other));
      const middle = after.reduce((sum, one) => sum + one, 0) / after.length;
      high.set(key, after.length ? Math.max(next, Math.min(middle, Math.min(...after) + NEAR * ROW)) : next);
      next = high.get(key) + ROW;
    }
  }
  return high;
}

/** A line from one node to another, past those between. */
function way(places) {
  const middle = places.map(({ x, y }) => [x, y + HIGH / 2]);
  return middle.slice(1).map(([x2, y2], index) => {
    const [x1, y1] = middle[index];
    return `${index ? "L" : "M"}${x1 + WIDE},${y1}C${x1 + WIDE + 60},${y1} ${x2 - 60},${y2} ${x2},${y2}`;
  }).join("");
}

function draw(vhost, data) {
  const nodes = new Map();
  for (const one of data.exchanges) nodes.set(keyOf("exchange", one.name), { kind: "exchange", ...one });
  for (const one of data.queues) nodes.set(keyOf("queue", one.name), { kind: "queue", ...one });
  const edges = new Map();
  for (const one of data.bindings) {
    const from = keyOf("exchange", one.source);
    const to = keyOf(one.destination_type, one.destination);
    if (!nodes.has(from) || !nodes.has(to)) continue;
    const edge = edges.get(`${from} ${to}`) ?? { from, to, keys: [] };
    edge.keys.push(one.routing_key || "·");
    edges.set(`${from} ${to}`, edge);
  }
  const list = [...edges.values()];
  const place = places(nodes, list);
  const width = Math.max(0, ...[...place.values()].map((one) => one.x)) + WIDE + PAD;
  const height = Math.max(0, ...[...place.values()].map((one) => one.y)) + HIGH + PAD;

  for (const edge of list) {
    const { x, y } = place.get(edge.to);
    edge.rate = s("tspan", { class: "rate" });
    edge.isOnly = list.filter((other) => other.to === edge.to).length === 1;
    edge.line = s("g", { class: "edge" }, s("path", { d: way([edge.from, ...edge.via, edge.to].map((key) => place.get(key))) }));
    edge.label = s("g", { class: "edge" }, s("text", { x: x - 8, y: y + HIGH / 2 - 5, "text-anchor": "end" }, s("title", null, edge.keys.join("\n")), clip(edge.keys.join(", "), 18), " ", edge.rate));
  }
  for (const [key, node] of nodes) {
    const { x, y } = place.get(key);
    node.figures = s("text", { class: "small", x: 10, y: 34 });
    const name = node.kind === "exchange" ? shownExchange(node.name) : node.name;
    node.node = s("a", { href: node.kind === "exchange" ? linkToExchange(vhost, node.name) : linkTo("queue", vhost, node.name), class: `node ${node.kind}`, transform: `translate(${x} ${y})` },
      s("title", null, name), s("rect", { width: WIDE, height: HIGH, rx: node.kind === "exchange" ? 20 : 6 }), s("text", { x: 12, y: 18 }, clip(name, 25)), node.figures);
  }
  const svg = s("svg", { width, height, viewBox: `0 0 ${width} ${height}`, role: "group", "aria-label": `${count(data.exchanges.length)} exchanges, ${count(data.queues.length)} queues, ${count(data.bindings.length)} bindings` },
    list.map((edge) => edge.line), list.map((edge) => edge.label), [...nodes.values()].map((node) => node.node));
  return { svg, nodes, edges: list };
}

export async function topology(page) {
  const { options } = await vhostField(page);
  const vhost = page.vhost || (options.includes("/") ? "/" : options[0]);
  const where = path("topology", vhost);
  const place = h("div", { class: "topology", tabindex: "0", "aria-label": "Topology" });
  const about = h("p", { class: "soft" });
  page.show(`Topology of ${vhost}`, about, h("section", { class: "card" }, place));
  let shape = "";
  let drawn = null;
  let data = await get(where);
  const rates = new Rates();

  function show() {
    const now = JSON.stringify([data.exchanges.map((one) => one.name), data.queues.map((one) => one.name), data.bindings]);
    if (now !== shape) {
      shape = now;
      drawn = draw(vhost, data);
      place.replaceChildren(drawn.nodes.size ? drawn.svg : h("p", { class: "empty" }, "There is nothing to draw: no queue, and no exchange of somebody's own."));
      about.textContent = data.is_cut ? `Only the first ${count(data.exchanges.length)} exchanges and ${count(data.queues.length)} queues are drawn.`
        : "Exchanges on the left, queues on the right. An edge shows its rate where its destination has no other.";
    }
    const counters = {};
    for (const one of data.exchanges) counters[keyOf("exchange", one.name)] = one.publish_in;
    for (const one of data.queues) { counters[keyOf("queue", one.name)] = one.publish; counters[`${keyOf("queue", one.name)} out`] = one.deliver_get; }
    return counters;
  }
  page.watch("topology", [where], {
    view: (_, value) => { data = value; },
    error: (_, status) => status === 404 && page.show("Topology", h("p", null, "This vhost is gone.")),
    tick: (at) => {
      const found = rates.of(at, show()) ?? {};
      for (const one of data.exchanges) setText(drawn.nodes.get(keyOf("exchange", one.name)).figures, `${one.type} · ${rate(found[keyOf("exchange", one.name)])}`);
      for (const one of data.queues) {
        const key = keyOf("queue", one.name);
        setText(drawn.nodes.get(key).figures, `${count(one.messages)} waiting · ${rate(found[`${key} out`])} out`);
      }
      for (const edge of drawn.edges) {
        const flow = edge.to.startsWith("queue") ? found[edge.to] ?? 0 : 0;
        for (const part of [edge.line, edge.label]) part.classList.toggle("busy", edge.isOnly && flow > 0);
        setText(edge.rate, edge.isOnly && flow > 0 ? rate(flow) : "");
      }
    },
  });
  show();
}
