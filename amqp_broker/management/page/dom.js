// Builds the page. Text always becomes a text node: what clients name things can't become markup.

const SVG = "http://www.w3.org/2000/svg";
const PROPERTIES = new Set(["value", "checked", "disabled", "selected", "open", "required", "multiple"]);

function fill(node, attributes, children) {
  for (const [name, value] of Object.entries(attributes ?? {})) {
    if (value === undefined || value === null || value === false && !PROPERTIES.has(name)) continue;
    if (typeof value === "function") node.addEventListener(name.slice(2), value);
    else if (PROPERTIES.has(name)) node[name] = value;
    else node.setAttribute(name, value === true ? "" : value);
  }
  node.append(...children.flat(Infinity).filter((child) => child !== null && child !== undefined && child !== false));
  return node;
}

/** An HTML element: attributes, `onclick` and the like as functions, then text and elements. */
export const h = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);

/** The same for SVG. */
export const s = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

export function setText(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

const whole = new Intl.NumberFormat("en-US");

export const count = (number) => (number === undefined || number === null ? "" : whole.format(number));

export function short(number) {
  if (number < 10_000) return whole.format(number < 100 ? Math.round(number * 10) / 10 : Math.round(number));
  for (const [unit, size] of [["G", 1e9], ["M", 1e6], ["k", 1e3]]) {
    if (number >= size) return `${(number / size).toPrecision(3)}${unit}`;
  }
}

export const rate = (number) => `${short(number ?? 0)}/s`;

export function octets(number) {
  if (number === undefined) return "";
  for (const [unit, size] of [["TiB", 2 ** 40], ["GiB", 2 ** 30], ["MiB", 2 ** 20], ["KiB", 2 ** 10]]) {
    if (number >= size) return `${(number / size).toFixed(1)} ${unit}`;
  }
  return `${number} B`;
}

export function duration(ms) {
  const seconds = Math.floor(ms / 1000);
  const parts = [["d", 86400], ["h", 3600], ["min", 60], ["s", 1]];
  const first = parts.findIndex(([, size]) => seconds >= size);
  if (first < 0) return "0 s";
  const shown = parts.slice(first, first + 2).map(([unit, size], index) => {
    const number = Math.floor(seconds / size) % (index || !first ? [1e9, 24, 60, 60][parts.findIndex(([u]) => u === unit)] : 1e9);
    return number ? `${number} ${unit}` : "";
  });
  return shown.filter(Boolean).join(" ");
}

/** A list of terms; gives the element and a function that sets the values by their labels. */
export function figures(labels) {
  const values = new Map();
  const node = h("dl", { class: "figures" }, labels.map((label) => {
    const [text, href] = Array.isArray(label) ? label : [label];
    const value = href ? h("a", { href }, "–") : h("span", null, "–");
    values.set(text, value);
    return h("div", null, h("dt", null, text), h("dd", null, value));
  }));
  return { node, set: (label, text) => setText(values.get(label), text) };
}

export const facts = (pairs) =>
  h("dl", { class: "facts" }, pairs.filter(([, value]) => value !== undefined && value !== null && value !== "")
    .map(([label, value]) => [h("dt", null, label), h("dd", null, value)]));

/** A short note at the edge; errors stay longer. */
export function note(text, isBad = false) {
  const node = h("div", { class: isBad ? "note bad" : "note" }, text);
  document.getElementById("notes").append(node);
  setTimeout(() => node.remove(), isBad ? 9000 : 4000);
}

/** Ask before something is lost; where much is at stake, for its name as well. Gives true or false. */
export function confirmed({ title, text, action, name }) {
  return new Promise((resolve) => {
    const go = h("button", { class: "button main", value: "yes", disabled: Boolean(name) }, action);
    const field = name && h("input", {
      id: "confirm-name", autocomplete: "off", oninput: () => { go.disabled = field.value !== name; },
    });
    const dialog = h("dialog", { "aria-labelledby": "confirm-title", onclose: () => {
      resolve(dialog.returnValue === "yes");
      dialog.remove();
    } },
    h("form", { method: "dialog" },
      h("h2", { id: "confirm-title" }, title), h("p", null, text),
      field && h("label", { class: "stack" }, h("span", null, `Type ${name} to go on`), field),
      h("div", { class: "row" },
        h("button", { class: "button", value: "no", type: "button", onclick: () => dialog.close("no") }, "Cancel"), go)));
    document.body.append(dialog);
    dialog.showModal();
    (field || go).focus();
  });
}
