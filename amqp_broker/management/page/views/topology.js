// The topology as a picture.
import { h } from "../dom.js";
export function topology(page) { page.show("Topology", h("p", null, "…")); }
