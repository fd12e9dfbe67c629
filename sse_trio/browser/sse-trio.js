/**
 * sse_trio's browser client: it ends this page's login when another one takes over.
 *
 *     import {SessionGuard} from "https://sessions.example.com/client.js";
 *
 *     const guard = new SessionGuard({url: "wss://sessions.example.com/ws", room: "u1", session: "s1"});
 *     guard.addEventListener("terminated", ({detail}) => logOut(detail.reason));
 *     guard.start();
 *
 * or, where this module is loaded, with markup alone:
 *
 *     <session-guard src="wss://sessions.example.com/ws" room="u1" session="s1"
 *                    logout="/logout" redirect="/login"></session-guard>
 *
 * One file without dependencies, used as it stands. Its types are in sse-trio.d.ts, the wire in
 * docs/protocol.md, and what a page does with it in docs/browser.md. The rules that it keeps:
 *
 * - A termination is a fact on the server, and every join asks for it. So whenever the guard
 *   cannot know whether it would have been told, it stops claiming to be joined, and joins anew.
 * - After a termination it never connects again.
 * - There is one deadline at a time. What is done when it passes depends on the state alone.
 */

const SUBPROTOCOL = "sse-trio.v1";

/** The close code of a termination. */
const TERMINATED = 4001;

/** The close codes after which the same join would be refused again. After all others it is tried. */
const REFUSED = [1002, 1007, 1009, 4400, 4401, 4403];

/** Timers stand still while a machine sleeps. So the clocks are looked at this often, in ms. */
const TICK = 5000;

/** A member of a room: joins it, stays joined, and tells what happens. */
export class SessionGuard extends EventTarget {
  #options;
  #session;
  #state = "stopped";
  #termination; // what it was terminated with
  #attempt = 0; // failures since the last heartbeat
  #interval; // between heartbeats, in seconds
  #due; // when the present state has lasted too long, by [wall clock, monotonic clock], in ms
  #timer;
  #page; // from start() to stop(): an AbortController of what listens to the page
  #link; // an AbortController of the connection, from asking for a ticket on
  #tabs; // the tabs that share the connection
  #asleep = false; // the page is put away: frozen, or in the back/forward cache

  constructor({url, room, ticket, session, share = false, timeout = 10, minDelay = 1, maxDelay = 30}) {
    super();
    const check = (right, why) => {
      if (!right) throw new TypeError(`SessionGuard: ${why}`);
    };
    const missing = (value) => value === undefined || value === null || value === "";
    check(!missing(url), "url is missing");
    check(!missing(room) || !missing(ticket), "either room or ticket is needed");
    // Left out it is made up by the hub; left empty it is a template's mistake.
    check(session !== "", "session is empty");
    check(!share || !missing(session), "share needs the session's id");
    const address = new URL(url, globalThis.document?.baseURI);
    address.protocol = address.protocol.replace("http", "ws");
    this.#session = missing(session) ? undefined : String(session);
    this.#options = {url: address.href, room, ticket, share, timeout, minDelay, maxDelay};
  }

  get state() {
    return this.#state;
  }

  get session() {
    return this.#session;
  }

  start() {
    if (this.#state !== "stopped" && this.#state !== "refused") return;
    this.stop();
    this.#page = new AbortController();
    const {signal} = this.#page;
    const {document} = globalThis;
    addEventListener("online", () => this.#retry(), {signal});
    addEventListener("pagehide", () => this.#sleep(), {signal});
    addEventListener("pageshow", ({persisted}) => this.#wake(persisted), {signal});
    addEventListener("focus", () => this.#wake(), {signal});
    document.addEventListener("freeze", () => this.#sleep(), {signal});
    document.addEventListener("resume", () => this.#wake(), {signal});
    document.addEventListener("visibilitychange", () => document.hidden || this.#wake(), {signal});
    this.#open();
  }

  stop() {
    this.#page?.abort();
    this.#close();
    if (this.#state !== "terminated") this.#state = "stopped";
  }

  // -- What the page goes through ----------------------------------------------------------

  get #live() {
    return ["connecting", "joined", "offline"].includes(this.#state);
  }

  /** Let go of everything that would keep the page out of the back/forward cache. */
  #sleep() {
    if (!this.#live || this.#asleep) return;
    this.#close();
    this.#asleep = true;
    this.#hear({type: "offline", code: null, message: "the page is put away", delay: null});
  }

  #wake(persisted) {
    if (this.#asleep) this.#open();
    else if (this.#live) this.#tick();
    // The page that comes back is the one that was to be left.
    else if (this.#termination && persisted) this.#dispatch("terminated", this.#termination);
  }

  /** The network is back: what was connected before may be so no longer. */
  #retry() {
    if (!this.#live || this.#asleep || this.#following) return;
    this.#attempt = 0;
    this.#connect();
  }

  // -- The deadline ------------------------------------------------------------------------

  #expect(seconds) {
    this.#due = [Date.now() + 1000 * seconds, performance.now() + 1000 * seconds];
    this.#arm(1000 * seconds);
  }

  #arm(ms) {
    clearTimeout(this.#timer);
    this.#timer = setTimeout(() => this.#tick(), Math.min(ms, TICK));
  }

  #tick() {
    // Either may lag: one is set back by people, the other one stands still in sleep.
    const left = Math.min(this.#due[0] - Date.now(), this.#due[1] - performance.now());
    if (left > 0) this.#arm(left);
    else if (this.#following) this.#miss();
    else if (this.#state === "offline") this.#connect();
    else this.#lose(null, "nothing was heard in time");
  }

  /** The tab that leads has been silent: it is asked first, and then replaced. */
  #miss() {
    if (this.#state === "joined") {
      this.#hear({type: "offline", code: null, message: "nothing was heard in time", delay: 0});
      this.#tabs.ask();
    } else {
      this.#expect(this.#options.timeout);
      this.#tabs.stand(true);
    }
  }

  // -- The connection: this tab's own, or one that is shared -------------------------------

  #open() {
    this.#asleep = false;
    this.#attempt = 0;
    const {url, room, share} = this.#options;
    if (share && navigator.locks && globalThis.BroadcastChannel) {
      this.#state = "connecting";
      this.#tabs = new Tabs(JSON.stringify(["sse-trio", url, room, this.#session]), {
        lead: () => this.#connect(),
        follow: () => this.#link?.abort(),
        hear: (message) => this.#hear(message),
      });
      this.#expect(this.#patience);
    } else {
      this.#connect();
    }
  }

  #close() {
    clearTimeout(this.#timer);
    this.#link?.abort();
    this.#tabs?.close();
    this.#tabs = undefined;
    this.#asleep = false;
  }

  get #following() {
    return this.#tabs !== undefined && !this.#tabs.leading;
  }

  /** How long a tab that leads may take, in seconds; not all tabs lose patience at once. */
  get #patience() {
    return (2 + Math.random()) * this.#options.timeout;
  }

  async #connect() {
    this.#link?.abort();
    this.#link = new AbortController();
    const {signal} = this.#link;
    const {url, room, ticket: source, timeout} = this.#options;
    this.#state = "connecting";
    this.#expect(timeout);

    let ticket = source;
    try {
      if (typeof source === "function") ticket = await source({signal});
    } catch (error) {
      if (!signal.aborted) this.#lose(null, `no ticket: ${error}`);
      return;
    }
    if (signal.aborted) return;
    if (source && !ticket) return this.#refuse(null, "there is no ticket");

    let socket;
    try {
      socket = new WebSocket(url, SUBPROTOCOL);
    } catch (error) {
      return this.#refuse(null, String(error)); // ws: on a page of https:
    }
    // Whatever is given up is not heard any more.
    signal.addEventListener("abort", () => socket.close());
    let complaint;
    const listeners = {
      open: () => socket.send(JSON.stringify({type: "join", ...(ticket ? {ticket} : {room, session: this.#session})})),
      message: ({data}) => {
        const message = parse(data);
        if (message.type === "error") {
          complaint = message.message;
        } else if (message.type === "joined" && message.session !== (this.#session ?? message.session)) {
          this.#refuse(null, "the ticket is for another session");
        } else {
          if (message.type === "terminate") socket.send(JSON.stringify({type: "terminated", epoch: message.epoch}));
          this.#say(message);
        }
      },
      close: ({code, reason}) => {
        if (code === TERMINATED) this.#say({type: "terminate", reason});
        else if (REFUSED.includes(code)) this.#refuse(code, complaint ?? reason);
        else this.#lose(code, complaint ?? reason);
      },
    };
    for (const type in listeners) socket.addEventListener(type, listeners[type], {signal});
  }

  /** Try again after a random time, whose bound doubles with each failure. */
  #lose(code, message) {
    const {minDelay, maxDelay} = this.#options;
    this.#link?.abort();
    const delay = Math.random() * Math.min(maxDelay, minDelay * 2 ** this.#attempt++);
    this.#say({type: "offline", code, message, delay});
  }

  #refuse(code, message) {
    this.#finish("refused", "error", {code, message});
  }

  #finish(state, type, detail) {
    this.#close();
    this.#state = state;
    this.#dispatch(type, detail);
  }

  // -- What is said, by the server or by the tab that leads ---------------------------------

  #say(message) {
    this.#tabs?.post(message);
    this.#hear(message);
  }

  #hear({type, ...detail}) {
    switch (type) {
      case "joined":
        this.#session = detail.session;
        this.#interval = detail.heartbeat;
        this.#state = "joined";
        this.#expect(2 * this.#interval);
        this.#dispatch(type, detail);
        break;
      case "heartbeat":
        if (this.#state !== "joined") return;
        this.#attempt = 0;
        this.#expect(2 * this.#interval);
        this.#dispatch(type, detail);
        break;
      case "offline":
        this.#state = "offline";
        if (!this.#asleep) this.#expect(detail.delay + (this.#following ? this.#patience : 0));
        this.#dispatch(type, detail);
        break;
      case "terminate": {
        const {room = null, epoch = null, reason, detail: more = null} = detail;
        this.#termination = {room, epoch, reason, detail: more};
        this.#finish("terminated", "terminated", this.#termination);
      }
    }
  }

  #dispatch(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/**
 * The tabs of one session in one browser. The one that holds the lock leads: it has the
 * connection, and says to the others what it hears. They queue for the lock, so the browser itself
 * hands it on when the leading tab is gone.
 */
class Tabs {
  leading = false;
  #name;
  #on;
  #channel;
  #candidacy; // an AbortController of the place in the queue, or of the lead
  #last; // what the tab that leads answers
  #me = Math.random();

  constructor(name, on) {
    this.#name = name;
    this.#on = on;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({data: {ask, to = this.#me, message}}) => {
      if (this.leading) {
        if (ask && this.#last) this.#channel.postMessage({to: ask, message: this.#last});
      } else if (message && to === this.#me) {
        on.hear(message);
      }
    };
    this.ask();
    this.stand();
  }

  /** Ask the tab that leads how things are. */
  ask() {
    this.#channel.postMessage({ask: this.#me});
  }

  post(message) {
    if (message.type !== "heartbeat") this.#last = message;
    this.#channel.postMessage({message});
  }

  /** Stand for the lead: queue for it, or take it from a tab that does not answer. */
  stand(steal = false) {
    this.#candidacy?.abort();
    this.#candidacy = new AbortController();
    const {signal} = this.#candidacy;
    const lead = () => {
      if (signal.aborted) return;
      this.leading = true;
      this.#last = undefined;
      this.#on.lead();
      return new Promise((resolve) => signal.addEventListener("abort", resolve));
    };
    navigator.locks.request(this.#name, steal ? {steal} : {signal}, lead).catch(() => {
      if (signal.aborted) return;
      if (this.leading) {
        // Another tab has taken the lead.
        this.leading = false;
        this.#on.follow();
        this.stand();
      } else {
        // There are no locks in this context: this tab is on its own.
        lead();
      }
    });
  }

  close() {
    this.#candidacy.abort();
    this.#channel.close();
  }
}

const STYLE = `
  :host { display: contents }
  dialog {
    visibility: visible; box-sizing: border-box; width: min(26rem, 100vw - 2rem); padding: 1.5rem;
    border: 1px solid var(--session-guard-border, color-mix(in srgb, CanvasText 15%, Canvas));
    border-radius: var(--session-guard-radius, .75rem);
    background: var(--session-guard-background, Canvas); color: var(--session-guard-color, CanvasText);
    font: var(--session-guard-font, 1rem/1.5 system-ui, sans-serif);
    box-shadow: 0 1rem 3rem rgb(0 0 0 / .3)
  }
  dialog::backdrop { background: var(--session-guard-backdrop, rgb(0 0 0 / .5)); backdrop-filter: blur(.4rem) }
  h2 { margin: 0 0 .5rem; font-size: 1.25em; line-height: 1.25 }
  p { margin: 0 0 1.5rem; text-wrap: balance }
  button {
    display: block; width: 100%; padding: .65em 1em; border: 1px solid transparent; border-radius: .5em;
    background: var(--session-guard-accent, #1d4ed8); color: var(--session-guard-accent-color, #fff);
    font: inherit; font-weight: 600; cursor: pointer
  }
  button:focus-visible { outline: 3px solid var(--session-guard-accent, #1d4ed8); outline-offset: 2px }
`;

/** `<session-guard>`: a guard as long as it is in the page, and what a page does when it is terminated. */
export class SessionGuardElement extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ["src", "room", "session", "ticket", "share"];

  #guard;
  #ticket;
  #wanted = [];
  #changing = false;
  #joined = false; // since it was told whom to guard
  #reveal; // shows again what is concealed
  #dialog;

  constructor() {
    super();
    // Without a slot its children are not shown: they are the words of the notice.
    this.attachShadow({mode: "open"});
    if (Object.hasOwn(this, "ticket")) {
      // Set before this class was there to take it.
      const {ticket} = this;
      delete this.ticket;
      this.ticket = ticket;
    }
  }

  get guard() {
    return this.#guard ?? null;
  }

  get ticket() {
    return this.#ticket ?? this.getAttribute("ticket");
  }

  set ticket(ticket) {
    this.#ticket = ticket;
    this.#change();
  }

  connectedCallback() {
    this.#change();
  }

  disconnectedCallback() {
    this.#change();
  }

  attributeChangedCallback() {
    this.#change();
  }

  /** Several changes at once are one, and to be moved is none. */
  #change() {
    if (this.#changing) return;
    this.#changing = true;
    queueMicrotask(() => {
      this.#changing = false;
      this.#apply();
    });
  }

  #apply() {
    const [url, room, session] = ["src", "room", "session"].map((name) => this.getAttribute(name));
    const {ticket} = this;
    const some = room !== null || ticket !== null;
    const wanted = this.isConnected && some ? [url, room, session, ticket, this.hasAttribute("share")] : [];
    if (wanted.length === this.#wanted.length && wanted.every((value, index) => value === this.#wanted[index])) return;
    this.#wanted = wanted;
    this.#guard?.stop();
    this.#guard = undefined;
    this.#joined = false;
    this.#reveal?.();
    this.#dialog?.remove();
    if (!wanted.length) return;
    const guard = new SessionGuard({url, room, session, ticket, share: this.hasAttribute("share")});
    for (const type of ["joined", "heartbeat", "offline", "error", "terminated"]) {
      guard.addEventListener(type, ({detail}) => {
        this.dispatchEvent(new CustomEvent(type, {detail}));
        if (guard === this.#guard) this.#react(type, detail);
      });
    }
    this.#guard = guard;
    guard.start();
  }

  #react(type, detail) {
    if (type === "joined") {
      this.#joined = true;
      this.#reveal?.();
    } else if (type === "offline") {
      if (detail.delay === null && this.hasAttribute("conceal")) this.#conceal();
    } else if (type === "terminated") {
      this.#expire(detail);
    } else if (type === "error") {
      console.error(`<session-guard> is refused, and guards nothing: ${detail.message}`);
      // The page's server knows whether there is still a login, and has a new ticket. Not so
      // where it was refused from the start: that would go on for ever.
      if (this.#joined || this.#reveal) location.reload();
    }
  }

  /** Hide the element that this one is in, so that it comes back unusable. */
  #conceal() {
    const host = this.parentElement ?? this.getRootNode().host;
    if (!host || this.#reveal) return;
    const {inert, style} = host;
    const before = style.cssText;
    host.inert = true;
    style.setProperty("visibility", "hidden", "important");
    style.setProperty("opacity", "0", "important");
    this.#reveal = () => {
      host.inert = inert;
      style.cssText = before;
      this.#reveal = undefined;
    };
  }

  async #expire(detail) {
    const event = new CustomEvent("session-expired", {detail, bubbles: true, composed: true, cancelable: true});
    if (!this.dispatchEvent(event)) return;
    if (this.hasAttribute("conceal")) this.#conceal();
    const loggedOut = this.#logOut(detail);
    if (this.hasAttribute("notice")) await this.#notify(detail);
    await loggedOut;
    this.#leave();
  }

  /** Ask the application to end this login, and wait no longer than is polite. */
  async #logOut({reason}) {
    const [logout, csrf] = ["logout", "csrf"].map((name) => this.getAttribute(name));
    if (logout === null) return;
    const {session = ""} = this.#guard;
    try {
      await fetch(logout, {
        method: "POST",
        body: new URLSearchParams({session, reason}),
        headers: csrf === null ? {} : {"X-CSRF-Token": csrf, "X-CSRFToken": csrf},
        redirect: "manual",
        keepalive: true,
        signal: AbortSignal.timeout(5000),
      });
    } catch {
      // The login is superseded on the server whether or not it hears of this.
    }
  }

  #leave() {
    const redirect = this.getAttribute("redirect");
    if (redirect === null) {
      if (this.hasAttribute("notice")) location.reload();
      return;
    }
    const {protocol, href} = new URL(redirect, document.baseURI);
    // Not javascript:. And not back to this page.
    if (/^https?:$/.test(protocol)) location.replace(href);
  }

  /** Say so, and wait until that is acknowledged. */
  #notify({reason}) {
    const words = {
      title: "You have been signed out",
      message: reason === "login" ? "Your account was used to sign in again, here or on another device." : "Your session has ended.",
      action: "Sign in again",
    };
    const make = (tag, part) => {
      const made = document.createElement(tag);
      made.part = made.id = part;
      const slot = document.createElement("slot");
      slot.name = part;
      slot.textContent = words[part];
      made.append(slot);
      return made;
    };
    const dialog = document.createElement("dialog");
    dialog.part = "dialog";
    dialog.setAttribute("role", "alertdialog");
    dialog.setAttribute("aria-labelledby", "title");
    dialog.setAttribute("aria-describedby", "message");
    const button = make("button", "action");
    dialog.append(make("h2", "title"), make("p", "message"), button);
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    this.shadowRoot.adoptedStyleSheets = [sheet];
    this.shadowRoot.replaceChildren(dialog);
    this.#dialog = dialog;
    return new Promise((resolve) => {
      dialog.addEventListener("cancel", (event) => event.preventDefault());
      dialog.addEventListener("close", resolve);
      button.addEventListener("click", () => dialog.close());
      dialog.showModal();
    });
  }
}

if (globalThis.customElements && !customElements.get("session-guard")) {
  customElements.define("session-guard", SessionGuardElement);
}
