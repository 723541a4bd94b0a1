// Adds up the figures of all processes. A process that has been silent for a while is left out.

const SILENT = 5000;

export function showCounters(place, live) {
  const processes = new Map();

  live.addEventListener("counters", ({ detail }) => {
    processes.set(detail.process, { ...detail, heard: performance.now() });
    for (const [name, { heard }] of processes) {
      if (performance.now() - heard > SILENT) processes.delete(name);
    }
    show();
  });
  live.addEventListener("state", ({ detail: { state } }) => {
    place.toggleAttribute("data-stale", state !== "open");
    if (state === "closed") processes.clear();
  });

  function show() {
    const all = [...processes.values()];
    const sum = (name) => all.reduce((total, each) => total + each[name], 0);
    const ready = all.filter((each) => each.ready).length;
    const waiting = sum("waiting");
    const dropped = sum("dropped");
    set("served", sum("served"));
    set("in_flight", sum("in_flight"));
    set("sockets", sum("sockets"));
    set("threads", sum("threads"));
    set("ready", `${ready} of ${all.length}`, ready < all.length);
    note("threads", waiting && `${waiting} waiting`);
    note("served", dropped && `${dropped} events not shown`);
  }

  function set(name, value, alarm = false) {
    const cell = place.querySelector(`[data-counter="${name}"]`);
    cell.textContent = value;
    cell.toggleAttribute("data-alarm", alarm);
  }

  /** Show something unusual instead of the explanation. */
  function note(name, words) {
    const cell = place.querySelector(`[data-note="${name}"]`);
    cell.dataset.usual ??= cell.textContent;
    cell.textContent = words || cell.dataset.usual;
    cell.toggleAttribute("data-alarm", Boolean(words));
  }
}
