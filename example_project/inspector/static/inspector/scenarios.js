// The scenarios, played by this browser. The page brings the list and what is expected.
// example_project/inspector/scenarios/player.py plays the same scenarios without a browser.

import { socketAddress } from "./live.js";

const OTHER = { localhost: "127.0.0.1", "127.0.0.1": "localhost" }[location.hostname];
const ELSEWHERE = OTHER && `${location.protocol}//${OTHER}:${location.port}`;

export function showScenarios(list, playAll, live) {
  const cards = [...list.querySelectorAll("[data-scenario]")];
  const able = cards.filter((card) => !("twoOrigins" in card.dataset) || ELSEWHERE);
  for (const card of cards) {
    const button = card.querySelector("button");
    if (able.includes(card)) {
      button.addEventListener("click", () => play(card, live));
    } else {
      button.disabled = true;
      card.querySelector("output").textContent =
        "Open this page on localhost or 127.0.0.1: the scenario needs two origins of one server.";
    }
  }
  playAll.addEventListener("click", async () => {
    playAll.disabled = true;
    for (const card of able) await play(card, live);
    playAll.disabled = false;
  });
}

async function play(card, live) {
  const button = card.querySelector("button");
  const output = card.querySelector("output");
  if (button.disabled) return;
  button.disabled = true;
  delete card.dataset.result;
  output.textContent = "…";
  let ok = false;
  let observed;
  try {
    [ok, observed] = await PLAYS[card.dataset.scenario]({ live, card });
  } catch (error) {
    observed = error.message;
  }
  card.dataset.result = ok ? "ok" : "bad";
  // Not by color alone.
  output.textContent = `${ok ? "✓" : "✗ Observed:"} ${observed}`;
  button.disabled = false;
}

// Each returns whether it was as expected, and what was observed.
export const PLAYS = {
  async "allowed-origin"() {
    const response = await fetch(`${ELSEWHERE}/scenarios/allowed/`);
    const { request_id: inBody } = await response.json();
    const inHeader = response.headers.get("x-request-id");
    return [inBody === inHeader, `read the response of ${OTHER}, and its ID ${shortened(inHeader)}`];
  },

  async "refused-origin"() {
    const { fetched } = await stranger();
    return [fetched === "blocked", `the stranger's fetch: ${fetched}`];
  },

  async preflight({ live }) {
    const since = Date.now();
    // A new URL each time, because browsers cache the result of a preflight by URL.
    const response = await fetch(`${ELSEWHERE}/scenarios/allowed/?${crypto.randomUUID()}`, {
      method: "POST",
      headers: { "content-type": "application/json" },
      body: "{}",
    });
    const event = await live.shown(
      ({ kind, method, at }) => kind === "request" && method === "OPTIONS" && at >= since - 50,
    );
    return [
      response.ok && event.cors === "preflight allowed" && event.status === 204,
      `${event.status}, ${event.cors}, ${event.route}; then ${response.status}`,
    ];
  },

  async credentials() {
    const options = { credentials: "include" };
    await fetch(`${ELSEWHERE}/scenarios/cookie/`, { method: "POST", ...options });
    const response = await fetch(`${ELSEWHERE}/scenarios/allowed/`, options);
    const { cookie } = await response.json();
    return [
      cookie,
      cookie ? "the cookie arrived, and the page read the response" : "this browser blocks such cookies",
    ];
  },

  async slow({ live }) {
    const { event } = await sent("/scenarios/slow/", live);
    const [wait] = event.phases;
    const { name, duration } = wait ?? {};
    return [
      name === "wait" && duration >= 900,
      `${name}: ${Math.round(duration)} ms of ${Math.round(event.duration)} ms`,
    ];
  },

  async raises({ live }) {
    const { response, id, event } = await sent("/fail/", live);
    const line = await live.shown(
      (each) => each.kind === "log" && each.id === id && each.logger === "django.request",
    );
    return [
      response.status === 500 && event.outcome === "ok" && response.headers.get("x-request-id") === id,
      `${response.status}, ${event.outcome}, ${line.level} of ${line.logger}`,
    ];
  },

  async upload({ live }) {
    const { response, event } = await sent("/scenarios/upload/", live, {
      method: "POST",
      body: "x".repeat(2000),
    });
    return [
      response.status === 413 && event.outcome === "refused",
      `${response.status}, ${event.outcome}`,
    ];
  },

  async late({ live }) {
    const { response, id, event } = await sent("/scenarios/late/", live);
    const line = await live.shown(
      (each) => each.kind === "log" && each.id === id && each.logger === "example_project.inspector.scenarios.views",
    );
    return [
      response.status === 504 && event.outcome === "timeout",
      `${response.status}, ${event.outcome}, ${line.message}`,
    ];
  },

  async stream({ live }) {
    const { response, event } = await sent("/scenarios/stream/", live);
    const lines = (response.text.match(/\n/g) ?? []).length;
    const after = Math.round(event.duration - event.ttfb);
    return [lines === 5 && after >= 900, `${lines} lines, the last byte ${after} ms after the first`];
  },

  async "client-leaves"({ live }) {
    const id = crypto.randomUUID();
    const leaving = new AbortController();
    const response = await fetch("/scenarios/stream/", {
      headers: { "x-request-id": id },
      signal: leaving.signal,
    });
    await response.body.getReader().read();
    leaving.abort();
    const event = await live.shown((each) => each.kind === "request" && each.id === id);
    return [event.outcome === "disconnect", `the record says ${event.outcome}`];
  },

  async "forged-id"() {
    return refusedID("<script>alert(1)</script>");
  },

  async "overlong-id"() {
    return refusedID("a".repeat(201));
  },

  async "websocket-user"({ live }) {
    const { user, request_id: id } = await greeting();
    const line = await live.shown(
      (each) => each.kind === "log" && each.id === id && each.logger.endsWith("consumers"),
    );
    return [Boolean(user), `${user}; ${line.message}`];
  },

  async "websocket-origin"() {
    const { socket } = await stranger();
    return [socket === "refused", `the stranger's WebSocket: ${socket}`];
  },

  async burst() {
    const counts = await (await post("/scenarios/burst/")).json();
    return [
      counts.responses === 40 && counts.at_work > 0 && counts.at_work <= counts.bound,
      `${counts.responses} responses, at most ${counts.at_work} at work`,
    ];
  },

  async job({ live, card }) {
    const progress = card.querySelector("progress");
    progress.value = 0;
    const response = await post("/scenarios/job/");
    const { job } = await response.json();
    const isOurs = ({ type, id }) => type === "job" && id === job;
    const show = ({ detail }) => {
      if (isOurs(detail)) progress.value = detail.done;
    };
    live.addEventListener("job", show);
    const last = await live.shown((each) => isOurs(each) && each.done === each.total);
    live.removeEventListener("job", show);
    progress.value = last.done;
    return [response.status === 202, `${response.status}, then ${last.done} of ${last.total} steps`];
  },

  async drain() {
    const ending = await (await post("/scenarios/drain/")).json();
    return [
      ending.stream_complete === true && ending.websocket_close === 1012,
      ending.detail ??
        `stream ${ending.stream_complete ? "complete" : "cut"}, WebSocket closed with ${ending.websocket_close}`,
    ];
  },
};

/** Send a request with an ID of ours, read the whole response, and wait until the live view shows it. */
async function sent(path, live, options = {}) {
  const id = crypto.randomUUID();
  const response = await fetch(path, { ...options, headers: { "x-request-id": id } });
  response.text = await response.text();
  const event = await live.shown((each) => each.kind === "request" && each.id === id);
  return { response, id, event };
}

function post(path) {
  const token = document.querySelector("[name=csrfmiddlewaretoken]").value;
  return fetch(path, { method: "POST", headers: { "x-csrftoken": token } });
}

async function refusedID(forged) {
  const response = await fetch("/scenarios/allowed/", { headers: { "x-request-id": forged } });
  const id = response.headers.get("x-request-id");
  return [/^[0-9a-f]{32}$/.test(id), `new ID: ${shortened(id)}`];
}

function greeting() {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(socketAddress("/ws/echo/"));
    socket.addEventListener("message", ({ data }) => {
      resolve(JSON.parse(data));
      socket.close();
    });
    socket.addEventListener("close", () => reject(new Error("no greeting")));
  });
}

/** What a page without an origin of its own gets. It is in a sandboxed frame, and reports to this page. */
function stranger() {
  return new Promise((resolve, reject) => {
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.title = "A stranger's page";
    frame.hidden = true;
    frame.src = "/scenarios/stranger/";
    const late = setTimeout(() => end(() => reject(new Error("the stranger is silent"))), 20000);
    const hear = ({ source, data }) => {
      if (source === frame.contentWindow) end(() => resolve(data));
    };
    const end = (settle) => {
      clearTimeout(late);
      removeEventListener("message", hear);
      frame.remove();
      settle();
    };
    addEventListener("message", hear);
    document.body.append(frame);
  });
}

function shortened(id) {
  return `${id.slice(0, 8)}…`;
}
