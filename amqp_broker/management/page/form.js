// Forms that call the API, and what people type into them.

import { h, note, setText } from "./dom.js";

/**
 * @param fields `{ name, label, kind, value, options, required, full, hint }`; kind: text, password, number, area, check, select, file
 * @param action what the button says
 * @param submit gets the values by name; what it returns is shown as a note; what it throws beside the button
 */
export function form(fields, action, submit, { isBad = false } = {}) {
  const inputs = {};
  const error = h("p", { class: "error", role: "alert" });
  const rows = fields.map((field) => {
    const { name, label, kind = "text", options, hint } = field;
    const attributes = { name, value: field.value, required: field.required && kind !== "check", autocomplete: "off", placeholder: hint };
    let input;
    if (kind === "select") input = h("select", { name }, options.map((option) => {
      const [value, text] = Array.isArray(option) ? option : [option, option];
      return h("option", { value, selected: value === field.value }, text);
    }));
    else if (kind === "area") input = h("textarea", { ...attributes, rows: field.rows ?? 4, spellcheck: "false" });
    else if (kind === "check") input = h("input", { type: "checkbox", name, checked: Boolean(field.value) });
    else input = h("input", { ...attributes, type: kind, ...(kind === "password" && { autocomplete: "new-password" }), ...(field.list && { list: field.list }) });
    inputs[name] = input;
    const shown = h("span", null, label);
    return h("label", { class: [kind === "check" && "check", (field.full || kind === "area") && "full"].filter(Boolean).join(" ") || null },
      kind === "check" ? [input, shown] : [shown, input]);
  });
  const button = h("button", { class: isBad ? "button bad" : "button main" }, action);
  const node = h("form", { novalidate: true, onsubmit: async (event) => {
    event.preventDefault();
    setText(error, "");
    const missing = fields.find((field) => field.required && !inputs[field.name].value);
    if (missing) {
      setText(error, `${missing.label} is missing.`);
      inputs[missing.name].focus();
      return;
    }
    button.disabled = true;
    try {
      const values = Object.fromEntries(Object.entries(inputs).map(([name, input]) =>
        [name, input.type === "checkbox" ? input.checked : input.type === "file" ? input.files : input.value]));
      const told = await submit(values);
      if (told) note(told);
    } catch (problem) {
      setText(error, problem.message);
    } finally {
      button.disabled = false;
    }
  } }, h("div", { class: "fields" }, rows), h("div", { class: "row" }, button), error);
  return { node, inputs };
}

/** Arguments as lines of `name = value`; values are JSON, or else text. Throws Error for a line that is neither. */
export function parseArguments(text) {
  const found = {};
  for (const line of text.split("\n").map((each) => each.trim()).filter(Boolean)) {
    const [, name, value] = line.match(/^([^=]+?)\s*=\s*(.*)$/s) ?? [];
    if (!name) throw new Error(`“${line}” is not of the form name = value.`);
    try {
      found[name] = JSON.parse(value);
    } catch {
      found[name] = value;
    }
  }
  return found;
}

export const showArguments = (values) =>
  Object.entries(values ?? {}).map(([name, value]) => `${name} = ${typeof value === "string" ? value : JSON.stringify(value)}`).join("\n");

/** A field for arguments, with buttons for the usual ones below it. */
export function argumentField(made, names) {
  const area = made.inputs.arguments;
  area.after(h("span", { class: "row" }, names.map((name) => h("button", { class: "badge", type: "button", onclick: () => {
    area.value += `${area.value && !area.value.endsWith("\n") ? "\n" : ""}${name} = `;
    area.focus();
  } }, name))));
  return made;
}

/** A button that does something and says what came of it. */
export function act(text, action, { isBad = false, isMain = false } = {}) {
  const button = h("button", { class: `button${isBad ? " bad" : ""}${isMain ? " main" : ""}`, type: "button", onclick: async () => {
    button.disabled = true;
    try {
      const told = await action();
      if (told) note(told);
    } catch (problem) {
      note(problem.message, true);
    } finally {
      button.disabled = false;
    }
  } }, text);
  return button;
}
