import { h } from "../dom.js";
export function admin(page) { page.show("Admin", h("p", null, "…")); }
