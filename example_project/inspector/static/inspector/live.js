// The connection: a WebSocket or, where that fails, server-sent events. It reconnects by itself,
// and reports its state in words.

const SHORTEST = 500;
const LONGEST = 8000;
// Recent messages are kept for callers that ask after a message has arrived.
const KEPT = 500;

export function socketAddress(path) {
  const address = new URL(path, location.href);
  address.protocol = location.protocol === "https:" ? "wss:" : "ws:";
  return address;
}

/**
 * Events: `state` ({state: "connecting" | "open" | "closed", words}), and one for each type of
 * message: `hello`, `counters`, `events`, `job`; the message is in `detail`.
 */
export class Live extends EventTarget {
  #attempts = 0;
  #kept = [];

  connect() {
    let socket;
    try {
      socket = new WebSocket(socketAddress("/ws/live/"));
    } catch {
      this.#stream();
      return;
    }
    let opened = false;
    socket.addEventListener("message", ({ data }) => {
      opened = true;
      this.#take(data, "Connected over a WebSocket.");
    });
    socket.addEventListener("close", () => (opened ? this.#again() : this.#stream()));
  }

  /** Resolve to the first event or message that `wanted` accepts, past or future. */
  async shown(wanted, seconds = 20) {
    const found = this.#kept.find(wanted);
    if (found) return found;
    return new Promise((resolve, reject) => {
      const late = setTimeout(() => {
        this.removeEventListener("arrived", look);
        reject(new Error("the live view did not show it"));
      }, seconds * 1000);
      const look = ({ detail }) => {
        if (!wanted(detail)) return;
        clearTimeout(late);
        this.removeEventListener("arrived", look);
        resolve(detail);
      };
      this.addEventListener("arrived", look);
    });
  }

  #stream() {
    const source = new EventSource("/live/");
    source.addEventListener("message", ({ data }) => {
      this.#take(data, "Connected over server-sent events.");
    });
    source.addEventListener("error", () => {
      // It would reconnect by itself, but by then a WebSocket may work.
      source.close();
      this.#again();
    });
  }

  #again() {
    const delay = Math.min(LONGEST, SHORTEST * 2 ** this.#attempts);
    this.#attempts += 1;
    this.#say("closed", "Not connected. Trying again …");
    // After a random time, so that pages do not all reconnect at once when a server comes back.
    setTimeout(() => this.connect(), delay * (0.5 + Math.random() / 2));
  }

  #take(data, words) {
    const message = JSON.parse(data);
    if (message.type === "hello") {
      this.#attempts = 0;
      this.#say("open", words);
    }
    this.#emit(message.type, message);
    for (const one of message.events ?? [message]) {
      this.#kept.push(one);
      this.#emit("arrived", one);
    }
    this.#kept.splice(0, this.#kept.length - KEPT);
  }

  #say(state, words) {
    this.#emit("state", { state, words });
  }

  #emit(type, detail) {
    this.dispatchEvent(new CustomEvent(type, { detail }));
  }
}
