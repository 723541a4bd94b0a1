// Plays the scenarios in the page's table. Without a browser, scenarios/player.py does so.

import { socketAddress } from "./live.js";

const TABLE = new Map(
  JSON.parse(document.querySelector("#table").textContent).map((each) => [each.name, each]),
);
// This server under its other name, which is another origin.
const OTHER = { localhost: "127.0.0.1", "127.0.0.1": "localhost" }[location.hostname];
const FRIEND = OTHER && `${location.protocol}//${OTHER}:${location.port}`;
// The pause before and after a card plays, in milliseconds, so that a visitor can follow.
const REST = matchMedia("(prefers-reduced-motion: reduce)").matches ? 100 : 350;

const HOLDS = {
  is: (seen, value) => seen === value,
  "at least": (seen, value) => seen >= value,
  "at most": (seen, value) => seen <= value,
  matches: (seen, value) => new RegExp(value).test(seen),
  "same as": (seen, value) => seen === value,
};
// Whether a message of the live view belongs to what has been seen so far.
const BELONGS = {
  record: ({ kind, id }, seen) => ["request", "websocket"].includes(kind) && id === seen.id,
  preflight: ({ method, path }, seen) => method === "OPTIONS" && path === seen.path,
  log: (message, seen, { value }) =>
    message.kind === "log" && message.id === seen.id && HOLDS.matches(line(message), value),
  job: ({ type, id, done, total }, seen) =>
    type === "job" && id === seen.body.job && done === total,
};

export function showScenarios(stage, live) {
  const list = stage.querySelector(".scenarios");
  const all = stage.querySelector("#play-all");
  const progress = stage.querySelector("#progress");
  const cards = [...list.querySelectorAll("[data-scenario]")];
  const able = cards.filter((card) => FRIEND || !sends(card).some(({ by }) => by === "friend"));

  for (const card of cards) {
    const button = card.querySelector("button");
    button.disabled = !able.includes(card);
    if (button.disabled) {
      say(card, "Needs two origins: open this page on localhost or 127.0.0.1.");
    }
    button.addEventListener("click", async () => {
      await play(card, live);
      refocus(button);
      progress.textContent = `${title(card)}: ${card.querySelector(".verdict").textContent}`;
    });
  }

  all.disabled = false;
  all.addEventListener("click", async () => {
    all.disabled = true;
    stage.scrollIntoView({ block: "nearest" });
    let good = 0;
    for (const [number, card] of able.entries()) {
      progress.textContent = `Playing ${number + 1} of ${able.length}: ${title(card)}`;
      reveal(list, card);
      await rest();
      await play(card, live);
      reveal(list, card);
      if (card.dataset.result === "ok") good += 1;
      await rest();
    }
    progress.textContent = `${good} of ${able.length} went as expected.`;
    all.disabled = false;
    refocus(all);
  });
}

/** Give a button its focus back, which it loses while it is disabled. */
function refocus(button) {
  if (document.activeElement === document.body) button.focus({ preventScroll: true });
}

/** Scroll only the list, so that the page and the rows beside the card stay where they are. */
function reveal(list, card) {
  list.scrollTo({
    left: card.offsetLeft - (list.clientWidth - card.offsetWidth) / 2,
    top: card.offsetTop - (list.clientHeight - card.offsetHeight) / 2,
  });
}

async function play(card, live) {
  const button = card.querySelector("button");
  const { expect } = TABLE.get(card.dataset.scenario);
  const rows = [...card.querySelectorAll(".checks dd")];
  for (const row of rows) {
    row.dataset.wanted ??= row.textContent;
    row.textContent = row.dataset.wanted;
    delete row.dataset.ok;
  }
  button.disabled = true;
  card.dataset.result = "playing";
  say(card, "Playing …");
  let ok = true;
  try {
    let seen;
    for (const one of sends(card)) seen = await send(one);
    for (const [number, check] of expect.entries()) {
      ok = (await show(rows[number], check, seen, live)) && ok;
    }
    say(card, ok ? "✓ As expected" : "✗ Not as expected");
  } catch (error) {
    ok = false;
    say(card, `✗ ${error.message}`);
  }
  card.dataset.result = ok ? "ok" : "bad";
  button.disabled = false;
}

/** Show in a row of the card what has been seen, and tell whether it is as expected. */
async function show(row, check, seen, live) {
  const counting = ({ detail }) => {
    if (check.of === "job.done" && detail.id === seen.body.job) row.textContent = detail.done;
  };
  live.addEventListener("job", counting);
  const found = await look(check, seen, live);
  live.removeEventListener("job", counting);
  const value = check.how === "same as" ? at(seen, check.value.split(".")) : check.value;
  const ok = found != null && HOLDS[check.how](found, value);
  const words = { true: "yes", false: "no", undefined: "nothing", null: "nothing" }[found] ?? String(found);
  // IDs are long; the row of the request shows them in full.
  row.textContent =
    typeof found === "number" ? Math.round(found) : words.replace(/^([0-9a-f]{8})[0-9a-f]{24}$/, "$1…");
  if (!ok && row.dataset.wanted) row.textContent += `, not ${row.dataset.wanted}`;
  row.dataset.ok = ok;
  return ok;
}

async function look(check, seen, live) {
  const [name, ...path] = check.of.split(".");
  if (name === "log" || (name in BELONGS && !(name in seen))) {
    seen[name] = await live.shown((message) => BELONGS[name](message, seen, check));
  }
  return name === "log" ? line(seen.log) : at(seen, [name, ...path]);
}

/** Send a request or open a WebSocket, and return what this page sees of it. */
async function send({ path, method, by, headers, size, cookies, leave }) {
  const url = new URL(
    path.includes("{new}") ? path.replace("{new}", crypto.randomUUID()) : path,
    by === "friend" ? FRIEND : location.origin,
  );
  if (by === "stranger") return stranger({ path, isSocket: method === "WebSocket" });
  if (method === "WebSocket") return greeting(path);
  const leaving = new AbortController();
  const all = new Headers(headers);
  if (size) all.set("content-type", "application/json");
  if (by === "page" && method === "POST") {
    all.set("x-csrftoken", document.querySelector("[name=csrfmiddlewaretoken]").value);
  }
  const response = await fetch(url, {
    method,
    headers: all,
    body: size ? JSON.stringify("x".repeat(size - 2)) : undefined,
    credentials: cookies ? "include" : "same-origin",
    signal: leaving.signal,
  }).catch(() => undefined);
  const seen = { path: url.pathname, read: response !== undefined };
  if (!response) return seen;
  seen.status = response.status;
  seen.id = response.headers.get("x-request-id");
  if (leave) {
    await response.body.getReader().read();
    leaving.abort();
    return seen;
  }
  const text = await response.text();
  const isJSON = response.headers.get("content-type") === "application/json";
  seen.body = isJSON ? JSON.parse(text) : { lines: text.split("\n").length - 1 };
  return seen;
}

function greeting(path) {
  return new Promise((resolve) => {
    const socket = new WebSocket(socketAddress(path));
    socket.addEventListener("message", ({ data }) => {
      const body = JSON.parse(data);
      resolve({ read: true, id: body.request_id, body });
      socket.close();
    });
    socket.addEventListener("close", () => resolve({ read: false }));
  });
}

/** Return what a page without an origin sees: a page in a sandboxed frame. See stranger.js. */
function stranger(task) {
  return new Promise((resolve, reject) => {
    const frame = document.createElement("iframe");
    frame.sandbox = "allow-scripts";
    frame.title = "A stranger's page";
    frame.hidden = true;
    frame.src = "/scenarios/stranger/";
    const end = (settle) => {
      clearTimeout(late);
      removeEventListener("message", hear);
      frame.remove();
      settle();
    };
    const late = setTimeout(() => end(() => reject(new Error("the stranger's page did not respond"))), 20000);
    const hear = ({ source, data }) => {
      if (source === frame.contentWindow) end(() => resolve(data));
    };
    addEventListener("message", hear);
    // The frame has no origin that could be named instead of "*".
    frame.addEventListener("load", () => frame.contentWindow.postMessage(task, "*"));
    document.body.append(frame);
  });
}

function at(seen, path) {
  return path.reduce((part, name) => part?.[name], seen);
}

function line({ level, message }) {
  return `${level} ${message}`;
}

function sends(card) {
  return TABLE.get(card.dataset.scenario).send;
}

function title(card) {
  return card.querySelector("h3").textContent;
}

function say(card, words) {
  card.querySelector(".verdict").textContent = words;
}

function rest() {
  return new Promise((resolve) => setTimeout(resolve, REST));
}
