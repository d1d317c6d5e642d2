// Messages: publishing them, and showing them with what happened to them.

import { count, facts, h, octets } from "../dom.js";
import { post } from "../api.js";
import { form, parseArguments } from "../form.js";
import { linkTo } from "./clients.js";

/** A form that publishes to the exchange at this path; with a key, to the queue of that name. */
export function publishForm(where, key) {
  return form([
    key === undefined && { name: "routing_key", label: "Routing key" },
    { name: "content_type", label: "Content type", hint: "application/json" },
    { name: "delivery_mode", label: "Kept on disk", kind: "select", options: [["2", "yes (persistent)"], ["1", "no (transient)"]] },
    { name: "properties", label: "Other properties, one name = value a line", kind: "area", rows: 2, hint: "correlation_id = 42" },
    { name: "headers", label: "Headers, one name = value a line", kind: "area", rows: 2 },
    { name: "payload", label: "Payload", kind: "area", rows: 4 },
  ].filter(Boolean), "Publish", async ({ routing_key = key, content_type, delivery_mode, properties, headers, payload }) => {
    const found = parseArguments(headers);
    const { routed } = await post(`${where}/publish`, {
      routing_key, payload, payload_encoding: "string",
      properties: {
        ...texts(parseArguments(properties)), delivery_mode: Number(delivery_mode), ...(content_type && { content_type }),
        ...(Object.keys(found).length && { headers: found }),
      },
    });
    return routed ? "Published." : "Published, but no queue took it.";
  }).node;
}

const NUMBERS = ["priority", "timestamp", "delivery_mode"];

/** Most properties are texts, also those that look like numbers. */
const texts = (properties) => Object.fromEntries(Object.entries(properties).map(([name, value]) =>
  [name, NUMBERS.includes(name) ? value : String(value)]));

function shownPayload(message) {
  const { payload, payload_encoding: encoding } = message;
  if (encoding === "base64") {
    const dump = [...atob(payload)].map((octet) => octet.charCodeAt(0).toString(16).padStart(2, "0"));
    return dump.slice(0, 4096).join(" ") + (dump.length > 4096 ? " …" : "");
  }
  if (payload.length < message.payload_bytes && new TextEncoder().encode(payload).length < message.payload_bytes) return `${payload} …`;
  try {
    const value = JSON.parse(payload);
    return typeof value === "object" ? JSON.stringify(value, null, 2) : payload;
  } catch {
    return payload;
  }
}

/** Where a dead letter has been, oldest first. */
function deathPath(vhost, deaths, here) {
  const stations = [...deaths].sort((one, other) => one.time - other.time);
  return h("ol", { class: "path", "aria-label": "Where it died" },
    stations.map((death) => h("li", null, h("a", { href: linkTo("queue", vhost, death.queue) }, death.queue),
      h("span", { class: "badge warn", title: new Date(death.time * 1000).toLocaleString() }, death.reason + (death.count > 1 ? ` ×${death.count}` : "")))),
    h("li", null, h("b", null, here)));
}

/**
 * One message.
 *
 * @param message as the API has it
 * @param number its place
 * @param actions buttons for its head
 */
export function messageCard(vhost, queue, message, number, actions = []) {
  const { headers = {}, ...properties } = message.properties;
  const deaths = Array.isArray(headers["x-death"]) ? headers["x-death"] : [];
  const shown = Object.entries(headers).filter(([name]) => !(deaths.length && /^x-(death|first-death|last-death)/.test(name)));
  return h("article", { class: "message" },
    h("header", null, h("b", null, `${number}`), h("span", null, h("span", { class: "soft" }, "exchange "), message.exchange || "(default)"),
      h("span", null, h("span", { class: "soft" }, "key "), h("code", null, message.routing_key)),
      message.redelivered && h("span", { class: "badge warn" }, "redelivered"), h("span", { class: "soft" }, octets(message.payload_bytes)),
      h("span", { class: "gap" }), actions),
    deaths.length ? deathPath(vhost, deaths, queue) : null,
    facts([...Object.entries(properties).map(([name, value]) => [name, name === "timestamp" ? new Date(value * 1000).toLocaleString() : String(value)]),
      ...shown.map(([name, value]) => [h("code", null, name), typeof value === "string" ? value : JSON.stringify(value)])]),
    h("pre", { tabindex: "0", "aria-label": "Payload" }, shownPayload(message)),
    h("p", { class: "soft" }, message.payload_encoding === "base64" ? "No text: shown as hexadecimal octets." : ""));
}

export const messageCount = (number) => `${count(number)} ${number === 1 ? "message" : "messages"}`;
