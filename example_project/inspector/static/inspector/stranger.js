// A stranger's page: it requests what it may not read, and reports to the page around it.

(async () => {
  const [fetched, socket] = await Promise.all([fetchFrom(), connectTo()]);
  parent.postMessage({ fetched, socket }, "*");
})();

async function fetchFrom() {
  try {
    return `read, with ${(await fetch("/scenarios/allowed/")).status}`;
  } catch {
    return "blocked";
  }
}

function connectTo() {
  const address = new URL("/ws/echo/", location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return new Promise((resolve) => {
    const socket = new WebSocket(address);
    socket.addEventListener("message", () => {
      resolve("let in");
      socket.close();
    });
    socket.addEventListener("close", () => resolve("refused"));
  });
}
