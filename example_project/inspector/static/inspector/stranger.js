// A stranger's page: it requests what it may not read, and tells the page around it what it got.

addEventListener("message", async ({ source, data: { path, isSocket } }) => {
  if (source !== parent) return;
  source.postMessage({ path, read: await (isSocket ? opens(path) : reads(path)) }, "*");
});

async function reads(path) {
  try {
    await fetch(path);
    return true;
  } catch {
    return false;
  }
}

function opens(path) {
  const address = new URL(path, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return new Promise((resolve) => {
    const socket = new WebSocket(address);
    socket.addEventListener("message", () => {
      resolve(true);
      socket.close();
    });
    socket.addEventListener("close", () => resolve(false));
  });
}
