// Rows of requests and WebSockets, latest first. Equal ones are folded into one row with a count.
// An open row shows where its IDs went.

import { places } from "./places.js";

// How many are kept: rows, IDs per row, log lines per ID, and IDs whose row has not arrived yet.
const ROWS = 100;
const IDS = 5;
const LINES = 20;
const AHEAD = 500;
// How often new rows are announced to screen readers, in milliseconds.
const ANNOUNCED = 10000;
// Where the time axis may end, in milliseconds.
const SCALES = [10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000];

export function showRows(section, live) {
  const list = section.querySelector("#rows");
  const pause = section.querySelector("#pause");
  const clear = section.querySelector("#clear");
  const announcer = section.querySelector("#announcer");
  const rows = new Map(); // key of equal requests: their row; the row that changed last comes last
  const lines = new Map(); // key of a request: its log lines
  let waiting = [];
  let scheduled = false;
  let paused = false;
  let unannounced = 0;

  live.addEventListener("events", ({ detail: { events } }) => {
    waiting.push(...events);
    waiting.splice(0, waiting.length - 20 * ROWS);
    schedule();
  });
  pause.disabled = clear.disabled = false;
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", paused);
    schedule();
  });
  clear.addEventListener("click", () => {
    rows.clear();
    lines.clear();
    list.replaceChildren();
    refresh();
  });
  setInterval(announce, ANNOUNCED);

  function schedule() {
    if (scheduled || paused) return;
    scheduled = true;
    // Not requestAnimationFrame: a page in the background should stay up to date, too.
    setTimeout(() => {
      scheduled = false;
      if (!paused) take();
    }, 50);
  }

  function take() {
    const changed = new Set();
    for (const event of waiting) {
      const row = event.kind === "log" ? takeLine(event) : takeRecord(event);
      if (row) changed.add(row);
    }
    waiting = [];
    for (const row of changed) row.show();
    trim(rows, ROWS, (row) => row.item.remove());
    trim(lines, AHEAD);
    refresh();
  }

  function takeLine(line) {
    if (line.key === null) {
      // It comes from a job that the request with this ID has started.
      const row = [...rows.values()].find(({ events }) => events.some(({ id }) => id === line.id));
      row?.events.find(({ id }) => id === line.id).lines.push(line);
      return row;
    }
    const key = `${line.process} ${line.key}`;
    const known = lines.get(key) ?? Object.assign([], { staff: line.staff });
    if (known.length < LINES) known.push(line);
    lines.delete(key);
    lines.set(key, known);
    return [...rows.values()].find(({ events }) => events.some((event) => event.lines === known));
  }

  function takeRecord(event) {
    const key = `${event.process} ${event.key}`;
    if (!lines.has(key)) lines.set(key, Object.assign([], { staff: event.staff }));
    event.lines = lines.get(key);
    const equal = JSON.stringify([event.kind, method(event), event.route, outcome(event), event.cors, event.staff]);
    const row = rows.get(equal) ?? new Row(event.staff);
    row.count += 1;
    row.events.unshift(event);
    row.events.splice(IDS);
    rows.delete(equal);
    rows.set(equal, row);
    // A row that is open or has the focus stays in its place.
    if (!row.item.isConnected || !row.isInUse) list.prepend(row.item);
    unannounced += 1;
    return row;
  }

  function refresh() {
    section.querySelector("#empty").hidden = rows.size > 0;
    const longest = Math.max(0, ...[...rows.values()].map(({ events }) => events[0].duration));
    const scale = SCALES.find((each) => each >= longest) ?? longest;
    section.querySelector("#scale").textContent = milliseconds(scale);
    list.style.setProperty("--scale", scale);
  }

  function announce() {
    if (!unannounced) return;
    const [{ events }] = [...rows.values()].slice(-1);
    announcer.textContent = `${unannounced} more, the last one ${method(events[0])} ${events[0].path}`;
    unannounced = 0;
  }
}

/** Forget the oldest entries of a map until *most* are left. Entries of staff are the last to go. */
function trim(map, most, forget = () => {}) {
  for (const staff of [false, true]) {
    for (const [key, each] of map) {
      if (map.size <= most) return;
      if (each.staff !== staff) continue;
      map.delete(key);
      forget(each);
    }
  }
}

class Row {
  count = 0;
  events = []; // the latest ones, latest first
  item = element("li");
  #details = element("details");
  #summary = element("summary");
  #places = element("div", { className: "places" });

  constructor(staff) {
    this.staff = staff;
    this.#details.addEventListener("toggle", () => this.#showPlaces());
    this.#details.append(this.#summary, this.#places);
    this.item.append(this.#details);
  }

  get isInUse() {
    return this.#details.open || this.item.contains(document.activeElement);
  }

  show() {
    this.#summary.replaceChildren(...cells(this.events[0], this.count));
    this.#showPlaces();
  }

  #showPlaces() {
    if (!this.#details.open) return;
    const left = this.count - this.events.length;
    this.#places.replaceChildren(
      ...this.events.map((event) => {
        const found = element("dl");
        found.append(...places(event, event.lines));
        return found;
      }),
      ...(left > 0 ? [element("p", { textContent: `And ${left} before.` })] : []),
    );
  }
}

function cells(event, count) {
  const what = element("span", { className: "what" });
  what.append(element("span", { className: "path", textContent: event.path, title: event.path }));
  if (count > 1) what.append(element("span", { className: "count", textContent: `×${count}` }));

  const status = element("span", { className: "status", textContent: outcome(event) });
  status.dataset.kind = isBad(event) ? "bad" : "good";
  const cors = element("span", {
    className: "cors",
    textContent: (event.cors ?? "").replace("preflight allowed", "preflight ✓").replace("preflight refused", "preflight ✗"),
  });
  if (event.cors) cors.dataset.kind = event.cors.endsWith("refused") ? "bad" : "good";
  return [
    element("span", { className: "method", textContent: method(event) }),
    what,
    status,
    cors,
    element("span", { className: "id", textContent: event.id, title: "Where this ID went" }),
    track(event),
    element("span", { className: "took", textContent: milliseconds(event.duration) }),
  ];
}

function method(event) {
  return event.kind === "request" ? event.method : "WS";
}

function outcome(event) {
  if (event.kind === "websocket") {
    return event.accepted === null ? "refused" : `closed ${event.close_code ?? ""}`;
  }
  return event.outcome === "ok" ? `${event.status}` : `${event.status ?? "–"} ${event.outcome}`;
}

function isBad(event) {
  if (event.kind === "websocket") return event.accepted === null || event.outcome !== "ok";
  return event.outcome !== "ok" || event.status >= 400;
}

function track(event) {
  const track = element("span", { className: "track" });
  if (event.kind === "websocket") {
    track.append(bar("socket", 0, event.duration));
  } else {
    const first = event.duration - event.streamed;
    track.append(bar("ttfb", 0, first), bar("streaming", first, event.streamed));
    for (const { start, duration } of event.phases) track.append(bar("phase", start, duration));
  }
  return track;
}

// In milliseconds, on the list's scale. The content security policy forbids style attributes, not this.
function bar(kind, start, duration) {
  const part = element("span", { className: kind });
  part.style.setProperty("--from", start);
  part.style.setProperty("--long", duration);
  part.hidden = duration <= 0 && kind === "streaming";
  return part;
}

export function milliseconds(value) {
  if (value >= 1000) return `${Number((value / 1000).toFixed(2))} s`;
  return `${value >= 10 ? Math.round(value) : Number(value.toFixed(1))} ms`;
}

function element(name, properties = {}) {
  return Object.assign(document.createElement(name), properties);
}
