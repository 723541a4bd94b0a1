// A row for each request and WebSocket, latest first. An open row shows where its ID went.

import { places } from "./places.js";

const ROWS = 200;
// Where the time axis may end, in milliseconds.
const SCALES = [10, 25, 50, 100, 250, 500, 1000, 2500, 5000, 10000, 30000, 60000, 300000];

export function showWaterfall(section, live) {
  const list = section.querySelector("#rows");
  const pause = section.querySelector("#pause");
  const rows = []; // {event, item, update}, latest first
  const lines = new Map(); // ID: its log lines
  let waiting = [];
  let scheduled = false;
  let paused = false;

  live.addEventListener("events", ({ detail: { events } }) => {
    waiting.push(...events);
    waiting.splice(0, waiting.length - 10 * ROWS);
    schedule();
  });
  pause.addEventListener("click", () => {
    paused = !paused;
    pause.setAttribute("aria-pressed", paused);
    schedule();
  });
  section.querySelector("#clear").addEventListener("click", () => {
    for (const { item } of rows.splice(0)) item.remove();
    lines.clear();
    refresh();
  });

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
      if (event.kind === "log") {
        lines.set(event.id, [...(lines.get(event.id) ?? []), event]);
        changed.add(event.id);
      } else {
        const row = made(event, () => lines.get(event.id) ?? []);
        rows.unshift(row);
        list.prepend(row.item);
      }
    }
    waiting = [];
    for (const { item } of rows.splice(ROWS)) item.remove();
    for (const row of rows) if (changed.has(row.event.id)) row.update();
    forget();
    refresh();
  }

  function forget() {
    // Lines without a row. Keep the latest, because their row may come after them.
    const shown = new Set(rows.map(({ event }) => event.id));
    const others = [...lines.keys()].filter((id) => !shown.has(id));
    for (const id of others.slice(0, Math.max(0, others.length - ROWS))) lines.delete(id);
  }

  function refresh() {
    section.querySelector("#empty").hidden = rows.length > 0;
    const longest = Math.max(0, ...rows.map(({ event }) => event.duration));
    const scale = SCALES.find((each) => each >= longest) ?? longest;
    section.querySelector("#scale").textContent = milliseconds(scale);
    for (const { item } of rows) item.style.setProperty("--scale", scale);
  }
}

function made(event, linesOf) {
  const item = element("li");
  const details = element("details");
  const summary = element("summary");
  const found = element("dl", { className: "places" });
  const update = () => {
    if (details.open) found.replaceChildren(...places(event, linesOf()));
  };
  details.addEventListener("toggle", update);
  summary.append(...cells(event));
  details.append(summary, found);
  item.append(details);
  return { event, item, update };
}

function cells(event) {
  const what = element("span", { className: "what" });
  const method = event.kind === "request" ? event.method : "WebSocket";
  what.append(
    element("span", { className: "method", textContent: method }),
    element("span", { className: "route", textContent: event.route, title: event.route }),
  );

  const status = element("span", { className: "status", textContent: outcome(event) });
  status.dataset.kind = isBad(event) ? "bad" : "good";

  const cors = element("span", { className: "cors", textContent: event.cors ?? "" });
  if (event.cors) cors.dataset.kind = event.cors.endsWith("refused") ? "bad" : "good";

  const id = element("span", { className: "id", textContent: event.id, title: "Where this ID went" });
  return [what, status, cors, id, time(event)];
}

function outcome(event) {
  if (event.kind === "websocket") {
    const code = event.close_code ?? "";
    return `${event.accepted === null ? "refused" : "closed"} ${code}`;
  }
  return event.outcome === "ok" ? `${event.status}` : `${event.status ?? "–"} ${event.outcome}`;
}

function isBad(event) {
  if (event.kind === "websocket") return event.accepted === null || event.outcome !== "ok";
  return event.outcome !== "ok" || event.status >= 400;
}

function time(event) {
  const track = element("span", { className: "track" });
  if (event.kind === "websocket") {
    track.append(bar("socket", 0, event.duration));
  } else {
    const first = event.ttfb ?? event.duration;
    track.append(bar("ttfb", 0, first), bar("streaming", first, event.duration - first));
    for (const { start, duration } of event.phases) track.append(bar("phase", start, duration));
  }
  const took = element("span", { className: "took", textContent: milliseconds(event.duration) });
  const cell = element("span", { className: "time" });
  cell.append(track, took);
  return cell;
}

// In milliseconds, on the row's scale. The content security policy forbids style attributes, not this.
function bar(kind, start, duration) {
  const part = element("span", { className: kind });
  part.style.setProperty("--from", `calc(${start} / var(--scale) * 100%)`);
  part.style.setProperty("--long", `calc(${duration} / var(--scale) * 100%)`);
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
