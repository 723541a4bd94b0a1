// The figures of all processes, added up. A process that is silent for a while is left out.

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
    const sum = (figure) => all.reduce((total, each) => total + figure(each), 0);
    const dropped = sum((each) => each.dropped);
    const ready = all.every((each) => each.ready);
    set("in_flight", sum((each) => each.in_flight));
    set("leased", sum((each) => each.threads.leased));
    set("idle", sum((each) => each.threads.idle));
    set("waiting", sum((each) => each.threads.waiting));
    set("tasks", sum((each) => each.tasks));
    set("ready", ready ? "yes" : "no", !ready);
    set("dropped", dropped, dropped > 0);
    set("processes", all.length);
  }

  function set(name, value, alarm = false) {
    const cell = place.querySelector(`[data-counter="${name}"]`);
    cell.textContent = value;
    cell.toggleAttribute("data-alarm", alarm);
  }
}
