// What React Native has, as far as it differs from a browser, and a clock and a hub that a test is in command of.

import {AppState} from "react-native";

const Address = URL;
let now = 0;
let timers = [];

class Signal extends EventTarget {
  aborted = false;
}

class Socket extends EventTarget {
  static CONNECTING = 0;
  readyState = Socket.CONNECTING;
  sent = [];

  constructor(url) {
    super();
    this.url = url;
    sockets.push(this);
  }

  // Without options: it does not know them.
  addEventListener(type, listener) {
    super.addEventListener(type, listener);
  }

  send(text) {
    this.sent.push(JSON.parse(text).type);
  }

  close() {}

  open() {
    this.readyState = 1;
    this.dispatchEvent(new Event("open"));
  }

  say(message) {
    this.dispatchEvent(Object.assign(new Event("message"), {data: JSON.stringify(message)}));
  }

  fail() {
    this.readyState = 3;
    this.dispatchEvent(Object.assign(new Event("close"), {code: 1006, reason: ""}));
  }
}

export const sockets = [];

const native = {
  WebSocket: Socket,
  // Nothing of it can be set.
  URL: class {
    #address;
    constructor(text, base) {
      this.#address = new Address(text, base);
    }
    get href() {
      return this.#address.href;
    }
    get protocol() {
      return this.#address.protocol;
    }
  },
  AbortController: class {
    signal = new Signal();
    abort() {
      if (this.signal.aborted) return;
      this.signal.aborted = true;
      this.signal.dispatchEvent(new Event("abort"));
    }
  },
  performance: {now: () => now},
  setTimeout: (run, ms) => {
    const timer = {run, due: now + ms};
    timers.push(timer);
    return timer;
  },
  clearTimeout: (timer) => {
    timers = timers.filter((other) => other !== timer);
  },
  navigator: undefined, // it has one that says nothing; older versions of Node have none
  TextDecoder: undefined,
  TextDecoderStream: undefined,
  BroadcastChannel: undefined,
};
for (const name in native) Object.defineProperty(globalThis, name, {value: native[name]});
Date.now = () => 1e12 + now;

/** Let so many seconds go by, with all that is due in them. */
export async function pass(seconds) {
  const end = now + 1000 * seconds;
  for (;;) {
    await new Promise(setImmediate);
    timers.sort((one, other) => one.due - other.due);
    if (!timers.length || timers[0].due > end) break;
    const {run, due} = timers.shift();
    now = Math.max(now, due);
    run();
  }
  now = Math.max(now, end);
}

/** Stop the program for so many seconds: no timer runs. */
export function suspend(seconds) {
  now += 1000 * seconds;
}

/** Open the last socket, and join by it. */
export function join() {
  const socket = sockets.at(-1);
  socket.open();
  socket.say({type: "joined", room: "u1", session: "s1", epoch: 0, heartbeat: 25});
  return socket;
}

/** Bring the app to the front, or send it away. */
export function become(state) {
  for (const listener of AppState.listeners) listener(state);
}

export const terminate = {type: "terminate", room: "u1", epoch: 1, reason: "login", detail: {device: "iPad"}, reconnect: false};
