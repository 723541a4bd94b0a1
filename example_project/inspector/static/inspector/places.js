// Lists every place where an ID went: response headers and log lines.

const HEADERS = {
  "x-request-id": "X-Request-ID",
  "server-timing": "Server-Timing",
  "access-control-allow-origin": "Access-Control-Allow-Origin",
  "access-control-allow-credentials": "Access-Control-Allow-Credentials",
  "access-control-allow-methods": "Access-Control-Allow-Methods",
  vary: "Vary",
};
const LOGGERS = {
  "asgi_middleware.access": "Access log",
  "uvicorn.access": "Access log of uvicorn",
  "django.request": "Log of django.request",
  "example_project.inspector.consumers": "Log of the consumer",
};

/** Return the terms and descriptions of a list. */
export function places(event, lines) {
  const found = [
    ["ID", event.id],
    ["Path", event.path],
    ["Route", event.route],
    ["Process", event.process],
    ["Started", new Date(event.at).toLocaleTimeString()],
    ...(event.kind === "request" ? ofRequest(event) : ofSocket(event)),
    ...lines.map(({ logger, level, message }) => [
      LOGGERS[logger] ?? `Log of ${logger}`,
      `${level} ${message}`,
    ]),
  ];
  return found.flatMap(([term, description]) => [
    Object.assign(document.createElement("dt"), { textContent: term }),
    Object.assign(document.createElement("dd"), { textContent: description }),
  ]);
}

function ofRequest(event) {
  const phases = event.phases.map(({ name, start, duration }) => {
    return `${name}: ${duration} ms, from ${start} ms`;
  });
  return [
    ["Outcome", event.outcome],
    ["First byte, last byte", `${event.ttfb ?? "–"} ms, ${event.duration} ms; ${event.bytes} bytes`],
    ...(phases.length ? [["Phases", phases.join("; ")]] : []),
    ...(event.queries ? [["Database", `${event.database} ms, queries: ${event.queries}`]] : []),
    ...Object.entries(HEADERS)
      .filter(([name]) => name in event.sent)
      .map(([name, term]) => [term, event.sent[name]]),
  ];
}

function ofSocket(event) {
  return [
    ["Outcome", event.outcome],
    ["Accepted", event.accepted === null ? "no" : `after ${event.accepted} ms`],
    ["Closed", `with ${event.close_code ?? "no code"} after ${event.duration} ms`],
  ];
}
