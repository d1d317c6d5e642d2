// A table of a long list: searched, sorted and cut into pages by the broker, and kept current.

import { count, h, setText } from "./dom.js";

/**
 * @param page what the router gave the view
 * @param options
 *   path: of the list; columns: `{ label, key, text, link, node, num, sort }`, where `text(item)` is kept current and
 *   `link(item)` or `node(item)` is asked once for each row; id(item): what tells rows apart; query: more parameters;
 *   `minor` ones are left out on a phone; noun: what the items are called; extra: elements beside the search.
 */
export function liveTable(page, { path, columns, id, query = {}, noun, extra = [], label }) {
  const state = {
    page: Number(page.query.get("page") || 1),
    size: Number(page.query.get("size") || 50),
    name: page.query.get("name") || "",
    sort: page.query.get("sort") || "",
    reverse: page.query.get("desc") === "1",
  };
  const rows = new Map();
  const body = h("tbody");
  const total = h("span", { class: "soft", role: "status" });
  const previous = h("button", { class: "button", onclick: () => turn(-1) }, "← Previous");
  const next = h("button", { class: "button", onclick: () => turn(1) }, "Next →");
  const number = h("span", { class: "num" });
  const empty = h("p", { class: "empty" }, "…");
  let pages = 1;

  const style = ({ num, minor }) => [num && "num", minor && "minor"].filter(Boolean).join(" ") || null;
  const heads = columns.map((column) => {
    const sort = column.sort;
    return h("th", { class: style(column), scope: "col" },
      sort ? h("button", { type: "button", onclick: () => order(sort) }, column.label, h("span", { "aria-hidden": "true" })) : column.label);
  });
  let pause = null;
  const search = h("input", {
    type: "search", value: state.name, placeholder: `Search ${noun} by name`, "aria-label": `Search ${noun} by name`,
    oninput: () => {
      clearTimeout(pause);
      pause = setTimeout(() => { state.name = search.value; state.page = 1; look(); }, 180);
    },
  });
  const size = h("select", { "aria-label": "Rows on a page", onchange: () => { state.size = Number(size.value); state.page = 1; look(); } },
    [25, 50, 100, 500].map((rows) => h("option", { value: rows, selected: rows === state.size }, `${rows} rows`)));
  const node = h("div", { class: "card" },
    h("div", { class: "tools" }, search, total, h("span", { class: "gap" }), extra, h("span", { class: "pager" }, previous, number, next, size)),
    h("div", { class: "wide" }, h("table", { "aria-label": label || noun }, h("thead", null, h("tr", null, heads)), body)), empty);

  function turn(by) { state.page += by; look(); }

  function order(key) {
    state.reverse = state.sort === key ? !state.reverse : columns.find((column) => column.sort === key).num;
    state.sort = key;
    state.page = 1;
    look();
  }

  function row(item) {
    const cells = columns.map((column) => h("td", { class: style(column) },
      column.node ? column.node(item) : column.link ? h("a", { href: column.link(item) }) : null));
    return { node: h("tr", null, cells), cells };
  }

  function update(data) {
    if (data.items.length === 0 && state.page > 1) { state.page = 1; look(); return; }
    pages = data.page_count;
    const seen = new Set();
    data.items.forEach((item, index) => {
      const key = id(item);
      seen.add(key);
      let one = rows.get(key);
      if (!one) rows.set(key, one = row(item));
      columns.forEach((column, at) => {
        if (column.text) setText(column.link ? one.cells[at].firstChild : one.cells[at], String(column.text(item) ?? ""));
      });
      if (body.children[index] !== one.node) body.insertBefore(one.node, body.children[index] ?? null);
    });
    for (const [key, one] of rows) if (!seen.has(key)) { one.node.remove(); rows.delete(key); }
    setText(total, data.filtered_count === data.total_count ? `${count(data.total_count)} ${noun}` : `${count(data.filtered_count)} of ${count(data.total_count)} ${noun}`);
    setText(number, `${data.page} / ${pages}`);
    empty.hidden = data.items.length > 0;
    setText(empty, state.name ? `No ${noun} match “${state.name}”.` : `No ${noun}.`);
    previous.disabled = data.page <= 1;
    next.disabled = data.page >= pages;
  }

  function look() {
    heads.forEach((head, index) => {
      const isSorted = columns[index].sort && columns[index].sort === state.sort;
      if (isSorted) head.setAttribute("aria-sort", state.reverse ? "descending" : "ascending");
      else head.removeAttribute("aria-sort");
      const mark = head.querySelector("span");
      if (mark) setText(mark, isSorted ? (state.reverse ? "↓" : "↑") : "");
    });
    const wanted = new URLSearchParams({ ...query, page: state.page, page_size: state.size });
    if (state.name) wanted.set("name", state.name);
    if (state.sort) { wanted.set("sort", state.sort); wanted.set("sort_reverse", state.reverse); }
    page.remember({ page: state.page > 1 && state.page, size: state.size !== 50 && state.size, name: state.name, sort: state.sort, desc: state.reverse && "1" });
    page.watch("table", [`${path}?${wanted}`], {
      view: (_, data) => update(data),
      error: (_, status) => {
        if (status === 400 && state.page > 1) { state.page = 1; look(); }
      },
    });
  }

  look();
  return node;
}

/** A short table that is made once. */
export function plainTable(label, heads, rows, none = "None.") {
  if (!rows.length) return h("p", { class: "empty" }, none);
  return h("div", { class: "wide" }, h("table", { "aria-label": label },
    h("thead", null, h("tr", null, heads.map((head) => h("th", { scope: "col" }, head)))),
    h("tbody", null, rows.map((cells) => h("tr", null, cells.map((cell) => h("td", null, cell)))))));
}
