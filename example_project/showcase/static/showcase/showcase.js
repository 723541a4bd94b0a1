// The page works without this. It adds what only a browser knows: the timing that the
// response's header told, a WebSocket, and a stream.

showServerTiming(document.querySelector("#server-timing"));
greet(document.querySelector("#connection"), document.querySelector("#websocket-id"));
showTicks(document.querySelector("#ticks"));

function showServerTiming(place) {
  const [navigation] = performance.getEntriesByType("navigation");
  const entries = (navigation?.serverTiming ?? []).map(
    ({ name, duration }) => `${name} ${duration} ms`,
  );
  place.textContent = entries.join(", ") || "Off.";
}

function greet(connection, id) {
  const address = new URL("/ws/echo/", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  const socket = new WebSocket(address);
  socket.addEventListener("message", ({ data }) => {
    const message = JSON.parse(data);
    if (message.type === "welcome") {
      connection.textContent = `Open. You are ${message.user}.`;
      id.textContent = message.request_id;
    }
  });
  socket.addEventListener("close", () => {
    connection.textContent = "Closed. Reload the page to connect again.";
  });
}

function showTicks(place) {
  // Connects anew by itself, and no answer was cut short when the server ended one.
  new EventSource("/ticks/").addEventListener("message", ({ data }) => {
    place.textContent = data;
  });
}
