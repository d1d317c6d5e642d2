// What an administrator does: users, vhosts, policies, limits, definitions.

import { get, path, post, put, remove } from "../api.js";
import { confirmed, count, h, note } from "../dom.js";
import { act, form, parseArguments, showArguments } from "../form.js";
import { plainTable } from "../table.js";
import { vhostField } from "./exchanges.js";

const SECTIONS = { users: ["Users", users], vhosts: ["Virtual hosts", vhosts], policies: ["Policies", policies], limits: ["Limits", limits], definitions: ["Definitions", definitions] };

const POLICY_KEYS = ["message-ttl", "expires", "max-length", "max-length-bytes", "overflow", "dead-letter-exchange", "dead-letter-routing-key", "delivery-limit", "alternate-exchange", "max-age"];

const card = (title, ...children) => h("section", { class: "card" }, h("h2", null, title), ...children);

/** Ask, remove, and show what is left. */
const removal = (page, where, what) => act("Delete", async () => {
  if (!await confirmed({ title: `Delete ${what}?`, text: "There is no way back.", action: "Delete" })) return "";
  await remove(where);
  page.reload();
  return `Deleted ${what}.`;
}, { isBad: true });

export async function admin(page) {
  const [section = "users", name] = page.segments;
  if (!SECTIONS[section]) throw new Error("There is no such page.");
  page.show("Admin");
  page.main.append(h("nav", { class: "tools", "aria-label": "Admin" }, Object.entries(SECTIONS).map(([key, [text]]) =>
    h("a", { class: "button", href: `#/admin/${key}`, "aria-current": key === section ? "page" : null }, text))));
  try {
    await SECTIONS[section][1](page, name);
  } catch (error) {
    page.main.append(h("p", { class: "error" }, error.message));
  }
}

function userForm(page, name, tags) {
  return form([
    name === undefined && { name: "name", label: "Name", required: true },
    { name: "password", label: name === undefined ? "Password" : "New password (empty: as it is)", kind: "password", required: name === undefined },
    { name: "tags", label: "Tags", value: tags, hint: "administrator, monitoring, policymaker or management; none: AMQP only", full: true },
  ].filter(Boolean), name === undefined ? "Add user" : "Change user", async ({ name: given = name, password, tags: words }) => {
    const body = { tags: words.split(/[\s,]+/).filter(Boolean).join(",") };
    if (password) body.password = password;
    else Object.assign(body, await get(path("users", given)), { tags: body.tags });
    await put(path("users", given), body);
    page.reload();
    return `User ${given} is saved.`;
  }).node;
}

async function users(page, name) {
  if (name !== undefined) return user(page, name);
  const list = await get("users");
  page.main.append(card("Users", plainTable("Users", ["Name", "Tags", "Password", ""], list.map((one) => [
    h("a", { href: `#/admin/${path("users", one.name)}` }, one.name), one.tags.map((tag) => h("span", { class: "badge" }, tag)),
    one.password_hash ? "yes" : "no", removal(page, path("users", one.name), `user ${one.name}`)]))),
  card("Add a user", userForm(page, undefined, "")));
}

async function user(page, name) {
  const where = path("users", name);
  const [one, permissions, topics, vhost] = await Promise.all([get(where), get(`${where}/permissions`), get(`${where}/topic-permissions`), vhostField(page)]);
  const rights = [["configure", "Configure"], ["write", "Write"], ["read", "Read"]];
  page.main.append(h("h2", null, name), card("Permissions",
    plainTable("Permissions", ["Vhost", "Configure", "Write", "Read", ""], permissions.map((each) => [
      each.vhost, ...rights.map(([key]) => h("code", null, each[key])), removal(page, path("permissions", each.vhost, name), `the permissions in ${each.vhost}`)]), "None: this user can't enter any vhost."),
    form([vhost, ...rights.map(([key, label]) => ({ name: key, label: `${label} (regular expression)`, value: ".*" }))], "Set permissions", async ({ vhost: where, ...body }) => {
      await put(path("permissions", where, name), body);
      page.reload();
      return "The permissions are set.";
    }).node),
  card("Topic permissions",
    plainTable("Topic permissions", ["Vhost", "Exchange", "Write", "Read", ""], topics.map((each) => [
      each.vhost, each.exchange || "(all)", h("code", null, each.write), h("code", null, each.read), removal(page, path("topic-permissions", each.vhost, name, each.exchange), "this topic permission")]), "None: all routing keys are allowed."),
    form([vhost, { name: "exchange", label: "Exchange" }, { name: "write", label: "Write", value: ".*" }, { name: "read", label: "Read", value: ".*" }], "Set topic permission", async ({ vhost: where, ...body }) => {
      await put(path("topic-permissions", where, name), body);
      page.reload();
      return "The topic permission is set.";
    }).node),
  card("Change", userForm(page, name, one.tags.join(" "))));
}

/** Where a vhost is, and buttons to have it elsewhere. */
function home(page, one, nodes) {
  const owner = Object.keys(one.cluster_state)[0];
  const others = nodes.filter((each) => each.running && !each.being_drained && each.name !== owner);
  return [owner ?? h("span", { class: "bad" }, "none at present"), " ", others.length > 0 && h("select", { "aria-label": `Move ${one.name} to`, onchange: async ({ target }) => {
    const node = target.value;
    target.selectedIndex = 0;
    if (!await confirmed({ title: `Move ${one.name} to ${node}?`, text: "Its clients have to connect anew.", action: "Move" })) return;
    try {
      await post(path("vhosts", one.name, "transfer", node));
      note(`${one.name} moves to ${node}.`);
      setTimeout(() => page.reload(), 1500);
    } catch (error) {
      note(error.message, true);
    }
  } }, h("option", { value: "" }, "move to …"), others.map(({ name }) => h("option", { value: name }, name)))];
}

async function vhosts(page) {
  const [list, nodes] = await Promise.all([get("vhosts"), get("nodes?columns=name,running,being_drained")]);
  const isCluster = nodes.length > 1;
  page.main.append(card("Virtual hosts", plainTable("Virtual hosts", ["Name", ...(isCluster ? ["Node"] : []), "Description", "Tags", "Messages", ""], list.map((one) => [
    one.name, ...(isCluster ? [home(page, one, nodes)] : []), one.description, one.tags.map((tag) => h("span", { class: "badge" }, tag)), count(one.messages),
    act("Delete", async () => {
      if (!await confirmed({ title: "Delete this vhost?", text: `${one.name} is deleted, with all its exchanges, queues and ${count(one.messages)} messages; its connections are closed.`, action: "Delete", name: one.name })) return "";
      await remove(path("vhosts", one.name));
      page.reload();
      return `Vhost ${one.name} is deleted.`;
    }, { isBad: true })]))),
  card("Add a virtual host", form([
    { name: "name", label: "Name", required: true }, { name: "description", label: "Description" }, { name: "tags", label: "Tags, with commas" },
    { name: "default_queue_type", label: "Queues are", kind: "select", options: ["classic", "quorum", "stream"] },
  ], "Add vhost", async ({ name, ...body }) => {
    await put(path("vhosts", name), body);
    page.reload();
    return `Vhost ${name} is there.`;
  }).node));
}

async function policies(page) {
  const kinds = [["policies", "Policies", "Policy"], ["operator-policies", "Operator policies", "Operator policy"]];
  const lists = await Promise.all(kinds.map(([kind]) => get(kind)));
  kinds.forEach(([kind, title], index) => page.main.append(card(title, plainTable(title, ["Name", "Vhost", "Pattern", "Applies to", "Priority", "Definition", ""], lists[index].map((one) => [
    one.name, one.vhost, h("code", null, one.pattern), one["apply-to"], String(one.priority), h("pre", null, showArguments(one.definition)),
    removal(page, path(kind, one.vhost, one.name), `policy ${one.name}`)])))));
  page.main.append(card("Add or change a policy", form([
    { name: "kind", label: "Kind", kind: "select", options: kinds.map(([kind, , text]) => [kind, text]) }, await vhostField(page),
    { name: "name", label: "Name", required: true }, { name: "pattern", label: "Pattern (regular expression)", required: true, value: ".*" },
    { name: "apply-to", label: "Applies to", kind: "select", options: ["all", "queues", "classic_queues", "quorum_queues", "streams", "exchanges"] },
    { name: "priority", label: "Priority", kind: "number", value: "0" },
    { name: "definition", label: `Definition, one name = value a line: ${POLICY_KEYS.join(", ")}`, kind: "area", hint: "max-length = 1000" },
  ], "Save policy", async ({ kind, vhost, name, definition, priority, ...body }) => {
    await put(path(kind, vhost, name), { ...body, priority: Number(priority), definition: parseArguments(definition) });
    page.reload();
    return `Policy ${name} is saved.`;
  }).node));
}

async function limits(page) {
  const kinds = [["vhost", "vhost-limits", ["max-connections", "max-queues"]], ["user", "user-limits", ["max-connections", "max-channels"]]];
  for (const [kind, where, names] of kinds) {
    const title = kind === "vhost" ? "Limits of vhosts" : "Limits of users";
    const list = (await get(where)).flatMap((one) => Object.entries(one.value).map(([limit, value]) => [one[kind], limit, count(value), removal(page, path(where, one[kind], limit), "this limit")]));
    page.main.append(card(title, plainTable(title, [kind === "vhost" ? "Vhost" : "User", "Limit", "Value", ""], list, "No limits."), form([
      { name: "name", label: kind === "vhost" ? "Vhost" : "User", required: true }, { name: "limit", label: "Limit", kind: "select", options: names },
      { name: "value", label: "Value (-1: none)", kind: "number", required: true },
    ], "Set limit", async ({ name, limit, value }) => {
      await put(path(where, name, limit), { value: Number(value) });
      page.reload();
      return "The limit is set.";
    }).node));
  }
}

async function definitions(page) {
  const vhost = await vhostField(page);
  const options = [["", "The whole broker"], ...vhost.options];
  const where = (name) => (name ? path("definitions", name) : "definitions");
  page.main.append(card("Download", h("p", null, "Users, vhosts, permissions, policies, exchanges, queues and bindings, as RabbitMQ writes them; no messages."),
    form([{ name: "vhost", label: "Of", kind: "select", options }], "Download definitions", async ({ vhost: name }) => {
      const text = JSON.stringify(await get(where(name)), null, 2);
      const link = h("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "definitions.json" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 10_000);
    }).node),
  card("Upload", h("p", null, "Adds and changes; nothing is deleted. A file that can't be taken over as a whole changes nothing."),
    form([{ name: "file", label: "File", kind: "file", required: true }, { name: "vhost", label: "Into", kind: "select", options }], "Upload definitions", async ({ file, vhost: name }) => {
      let parsed;
      try {
        parsed = JSON.parse(await file[0].text());
      } catch {
        throw new Error("This file is no JSON.");
      }
      await post(where(name), parsed);
      note("The definitions are taken over.");
    }).node));
}
