// Talks to the API. The password stays in this module's memory, is sent as a header, and never in a cookie or URL:
// another site can't make the browser send it.

let authorization = null;
let loggedOut = () => {};

export class ApiError extends Error {
  constructor(status, reason) {
    super(reason);
    this.status = status;
  }
}

/** Segments of a path below `api/`, each encoded. */
export const path = (...segments) => segments.map(encodeURIComponent).join("/");

/** What paths call an exchange. */
export const exchangeName = (name) => name || "amq.default";

export function useCredentials(name, password, onLogout) {
  const octets = new TextEncoder().encode(`${name}:${password}`);
  authorization = `Basic ${btoa(String.fromCharCode(...octets))}`;
  loggedOut = onLogout;
}

export function forgetCredentials() {
  authorization = null;
}

async function send(method, where, options = {}) {
  let response;
  try {
    response = await fetch(`api/${where}`, { method, cache: "no-store", credentials: "omit", ...options, headers: { authorization, ...options.headers } });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new ApiError(0, "The broker does not answer.");
  }
  if (response.ok) return response;
  const { error, reason } = await response.json().catch(() => ({}));
  if (response.status === 401 && error === "not_authorized") loggedOut();
  throw new ApiError(response.status, reason || `The broker answered ${response.status}.`);
}

async function call(method, where, body) {
  const response = await send(method, where, body === undefined ? {} : { body: JSON.stringify(body) });
  const text = await response.text();
  return text ? JSON.parse(text) : null;
}

export const get = (where) => call("GET", where);
export const put = (where, body = {}) => call("PUT", where, body);
export const post = (where, body = {}) => call("POST", where, body);
export const remove = (where) => call("DELETE", where);

/**
 * Watch what GET requests answer. Nothing is sent while the page is hidden.
 *
 * @param views paths with queries
 * @param on `view(number, data)`, `error(number, status)`, `tick(ms)` once a second, `state("on" | "lost" | "off")`
 * @returns a function that ends it
 */
export function watch(views, on) {
  let current = null;
  let isOver = false;
  const query = new URLSearchParams({ view: views.join("\n") });

  async function run(signal) {
    const response = await send("GET", `live?${query}`, { signal });
    const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
    on.state("on");
    let rest = "";
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      const events = (rest + value).split("\n\n");
      rest = events.pop();
      for (const event of events) {
        if (signal.aborted) return;
        const field = Object.fromEntries(event.split("\n").map((line) => line.split(/: (.*)/s)));
        if (field.event === "view") on.view(Number(field.id), JSON.parse(field.data));
        else if (field.event === "error") on.error(Number(field.id), Number(field.data));
        else if (field.event === "tick") on.tick(Number(field.data));
      }
    }
  }

  async function stay(control) {
    while (!control.signal.aborted) {
      try {
        await run(control.signal);
      } catch (error) {
        if (control.signal.aborted) return;
        on.state("lost");
        if (error.status === 401) return;
        await new Promise((resolve) => setTimeout(resolve, 2000));
      }
    }
  }

  function look() {
    current?.abort();
    current = null;
    if (document.hidden) on.state("off");
    else if (!isOver) stay((current = new AbortController()));
  }

  document.addEventListener("visibilitychange", look);
  look();
  return () => {
    isOver = true;
    document.removeEventListener("visibilitychange", look);
    current?.abort();
  };
}
