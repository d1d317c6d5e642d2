// Line charts over the last minutes, as SVG. One `add` a second moves them.

import { h, s, setText } from "./dom.js";

const WIDTH = 600;
const HEIGHT = 150;
const KEPT_MS = 600_000;

/** The least of 1, 2, 5, 10, 20 … that is not below. */
function roof(number) {
  const size = 10 ** Math.floor(Math.log10(Math.max(number, 1)));
  return [1, 2, 5, 10].find((step) => step * size >= number) * size;
}

/** How fast counters grow, from one look to the next. */
export class Rates {
  #last = null;

  /** Gives the rates a second by name, or null the first time. */
  of(at, counts) {
    const last = this.#last;
    this.#last = { at, counts };
    if (!last || at <= last.at) return null;
    return Object.fromEntries(Object.entries(counts).map(([name, count]) =>
      [name, Math.max(0, (count - (last.counts[name] ?? count)) * 1000 / (at - last.at))]));
  }
}

/**
 * @param title what is shown
 * @param names of the series: `{ key: label }`
 * @param format makes text of a value
 */
export function chart(title, names, format) {
  const keys = Object.keys(names);
  const points = [];
  let span_ms = 60_000;
  const lines = keys.map((_, index) => s("path", { class: `series c${index % 6}` }));
  const cross = s("line", { class: "cross", y1: 0, y2: HEIGHT, visibility: "hidden" });
  const svg = s("svg", { viewBox: `0 0 ${WIDTH} ${HEIGHT}`, preserveAspectRatio: "none", role: "img" },
    [0, 0.5, 1].map((part) => s("line", { class: "grid", x1: 0, x2: WIDTH, y1: part * HEIGHT, y2: part * HEIGHT })), lines, cross);
  const high = h("span", { class: "y y1" });
  const middle = h("span", { class: "y y2" });
  const values = keys.map(() => h("b", null, "–"));
  const range = h("button", { class: "button span", type: "button", onclick: () => {
    span_ms = span_ms === 60_000 ? KEPT_MS : 60_000;
    draw();
  } });
  const node = h("section", { class: "card chart" }, h("h2", null, title, range),
    h("div", { class: "plot" }, svg, high, middle, h("span", { class: "y y3" }, "0")),
    h("div", { class: "legend" }, keys.map((key, index) =>
      h("span", null, h("span", { class: `swatch b${index % 6}` }), `${names[key]} `, values[index]))));

  let pointed = null;
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    pointed = (event.clientX - box.left) / box.width;
    draw();
  });
  svg.addEventListener("pointerleave", () => { pointed = null; draw(); });

  function shown(last) {
    if (pointed === null) return last;
    const at = last.at - (1 - pointed) * span_ms;
    return points.reduce((best, point) => Math.abs(point.at - at) < Math.abs(best.at - at) ? point : best, last);
  }

  function draw() {
    setText(range, span_ms === 60_000 ? "last minute" : "last 10 minutes");
    const last = points.at(-1);
    if (!last) return;
    const start = last.at - span_ms;
    const visible = points.filter((point, index) => point.at >= start || points[index + 1]?.at >= start);
    const top = roof(Math.max(...visible.flatMap((point) => keys.map((key) => point.values[key] ?? 0))));
    const x = (at) => ((at - start) / span_ms * WIDTH).toFixed(1);
    lines.forEach((line, index) => {
      const path = visible.map((point) => `${x(point.at)},${(HEIGHT * (1 - (point.values[keys[index]] ?? 0) / top)).toFixed(1)}`);
      line.setAttribute("d", `M${path.join("L")}`);
    });
    setText(high, format(top));
    setText(middle, format(top / 2));
    const point = shown(last);
    cross.setAttribute("visibility", pointed === null ? "hidden" : "visible");
    for (const end of ["x1", "x2"]) cross.setAttribute(end, x(point.at));
    keys.forEach((key, index) => setText(values[index], format(point.values[key] ?? 0)));
    svg.setAttribute("aria-label", `${title}: ${keys.map((key) => `${names[key]} ${format(last.values[key] ?? 0)}`).join(", ")}`);
  }

  draw();
  return {
    node,
    /** Add a point; `at` in ms since the epoch. */
    add(at, entries) {
      if (points.length && at <= points.at(-1).at) return;
      points.push({ at, values: entries });
      while (points.length > 2 && points[1].at < at - KEPT_MS) points.shift();
      draw();
    },
  };
}
