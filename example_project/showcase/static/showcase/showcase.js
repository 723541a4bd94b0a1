// The page works without this. It adds what only a browser knows: the timing that the
// response's header told, and a WebSocket.

showServerTiming(document.querySelector("#server-timing"));
greet(document.querySelector("#connection"), document.querySelector("#websocket-id"));

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
