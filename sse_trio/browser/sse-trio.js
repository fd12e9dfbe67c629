/**
 * sse_trio's browser client: it ends this page's login when another one takes over.
 *
 *     import {SessionGuard} from "/static/sse-trio.js";
 *
 *     const guard = new SessionGuard({url: "wss://sessions.example.com/ws", ticket: "eyJhbGciOiJIUzI1NiIs..."});
 *     guard.addEventListener("terminated", ({detail}) => logOut(detail.reason));
 *     guard.start();
 *
 * or, where this module is loaded, with markup alone:
 *
 *     <session-guard src="wss://sessions.example.com/ws" ticket="eyJhbGciOiJIUzI1NiIs..."
 *                    share logout="/logout" redirect="/login"></session-guard>
 *
 * One file without dependencies, used as it stands. Its types are in sse-trio.d.ts, the wire in
 * docs/protocol.md, and what a page does with it in docs/browser.md. The rules that it keeps:
 *
 * - A termination is a fact on the server, and every join asks for it. So whenever the guard may have missed a
 *   termination, it stops claiming to be joined, and joins again.
 * - After a termination it never connects again.
 * - A guard has one deadline at a time. The action when it passes depends only on the state.
 * - The states do not depend on the transport: a WebSocket, or HTTP requests.
 */

const SUBPROTOCOLS = ["sse-trio.v1.1", "sse-trio.v1"];

/** The close code of a termination. */
const TERMINATED = 4001;

/** The close codes after which the same join would be refused again. After all others the guard tries again. */
const REFUSED = [1002, 1007, 1009, 4400, 4401, 4403];

/** The one of these with which an older hub answers the question whether the connection works. */
const MALFORMED = 4400;

/** The one of these after which a guard tries again, slowly: the hub's clock or keys may be wrong for the moment. */
const BAD_TICKET = 4401;

const OTHER_TICKET = "the ticket is for another room or session";

/** If the peer has sent something within so many ms, the guard is connected. The hub answers a question at most once a
 * second. */
const JUST_NOW = 2000;

/** After so many WebSockets in a row have ended before their first heartbeat, the guard joins by HTTP requests. */
const BLOCKED = 2;

/** A guard that is connected by requests tries a WebSocket again when the user looks at the page, at most once in so many ms. */
const RETRIAL = 60_000;

/** Timers stand still while a machine sleeps. So the clocks are looked at this often, in ms. */
const TICK = 5000;

// A page's forms and images can replace a document's or window's own functions, by their names. So these are called by
// their prototypes.
const {addEventListener} = EventTarget.prototype;
const own = (type, name, of) => Object.getOwnPropertyDescriptor(type.prototype, name).get.call(of);
const make = (tag) => Document.prototype.createElement.call(document, tag);
const find = (within, selector) => Element.prototype.querySelectorAll.call(within, selector);

/** Resolve an address against the page's own, and ignore `<base>`, which may have been injected. */
function resolve(address) {
  // A frame of `srcdoc` has no address of its own, but the origin of its page.
  const {protocol, href} = globalThis.location ?? {};
  return new URL(address, protocol === "about:" && globalThis.origin !== "null" ? globalThis.origin : href);
}

/** A member of a room: joins it, stays joined, and reports events. */
export class SessionGuard extends EventTarget {
  #options;
  #room;
  #session;
  #state = "stopped";
  #termination; // what it was terminated with
  #endedAt = null; // when that was, where it is known
  #attempt = 0; // failures since the last heartbeat
  #admission; // the message by which it has joined
  #awaitingAnswer = false; // the guard has asked whether the connection works, and has received nothing since
  #mayAsk = true; // no hub has refused the question whether the connection works
  #transport; // the last one: a Socket or an EventStream
  #proven = false; // a heartbeat has come by it
  #blocked = 0; // WebSockets in a row that ended before their first heartbeat, without a code of the hub
  #polls = false; // a proxy holds streams back, so the guard polls
  #tried = -Infinity; // when the last WebSocket was opened, by the monotonic clock
  #trial; // an AbortController of the WebSocket that the guard tries while it is connected by requests
  #due; // when the present state has lasted too long, by [wall clock, monotonic clock], in ms
  #timer;
  #page; // from start() to stop(): an AbortController of what listens to the page
  #link; // an AbortController of the connection, from asking for a ticket on
  #tabs; // the tabs that share the connection
  #asleep = false; // the page is put away: frozen, or in the back/forward cache
  #held = false; // offline by a `hold`: the hub cannot know for the moment, and is still connected

  constructor({url, room, ticket, session, share = false, timeout = 10, minDelay = 1, maxDelay = 30}) {
    super();
    const check = (right, why) => {
      if (!right) throw new TypeError(`SessionGuard: ${why}`);
    };
    const missing = (value) => value === undefined || value === null || value === "";
    check(!missing(url), "url is missing");
    check(!missing(room) || !missing(ticket), "either room or ticket is needed");
    // If it is left out, the hub makes one up; if it is empty, a template is wrong.
    check(session !== "", "session is empty");
    // As text: the URL of React Native cannot be changed.
    const address = resolve(url).href.replace(/^http/, "ws");
    const claims = read(ticket);
    const name = (value, claimed) => (missing(value) ? claimed : String(value));
    room = name(room, claims.room);
    session = name(session, claims.session);
    this.#options = {url: address, room, session, ticket, claims, share, timeout, minDelay, maxDelay};
    this.#session = session;
    const last = recall(address);
    if (last) this.#blocked = BLOCKED;
    this.#polls = last === "polling";
  }

  get state() {
    return this.#state;
  }

  get session() {
    return this.#session;
  }

  get endedAt() {
    return this.#endedAt;
  }

  get transport() {
    return this.#connected ? this.#transport.name : null;
  }

  start() {
    if (this.#state !== "stopped" && this.#state !== "refused") return;
    this.stop();
    const {ticket, room, session} = this.#options;
    this.#room = room;
    // A session that the hub has made up stays this page's, but the next ticket may be another login's.
    if (ticket) this.#session = session;
    this.#admission = undefined;
    this.#page = new AbortController();
    const listeners = {
      online: () => this.#retry(),
      offline: () => this.#checkConnection(),
      pagehide: () => this.#sleep(),
      freeze: () => this.#sleep(),
      pageshow: ({persisted}) => this.#wake(persisted),
      resume: () => this.#wake(),
      visibilitychange: () => own(Document, "hidden", document) || this.#wake(),
      focus: () => this.#wake(),
    };
    const {signal} = this.#page;
    // A worker has no document. A program that is neither a page nor a worker has no such events.
    const {document} = globalThis;
    for (const type in globalThis instanceof EventTarget ? listeners : {}) {
      // Also of the document's, on their way down; but not of what else there is in the page.
      const listener = (event) => [globalThis, document].includes(event.target) && listeners[type](event);
      addEventListener.call(globalThis, type, listener, {signal, capture: true});
    }
    this.#open();
  }

  stop() {
    this.#page?.abort();
    this.#close();
    if (this.#state !== "terminated") this.#state = "stopped";
  }

  /** Check the connection now: for programs that return to the foreground, and have no page events. */
  wake() {
    this.#checkConnection();
    if (this.#state === "offline" && !this.#held) this.#retry();
  }

  // -- What the page goes through ----------------------------------------------------------

  get #live() {
    return ["connecting", "joined", "offline"].includes(this.#state);
  }

  /** Release everything that would keep the page out of the back/forward cache. */
  #sleep() {
    if (!this.#live || this.#asleep) return;
    this.#close();
    this.#asleep = true;
    this.#hear({type: "offline", code: null, message: "the page is put away", delay: null});
  }

  #wake(persisted) {
    if (this.#asleep) this.#open(true);
    // The page that comes back is the one that was to be left.
    else if (this.#termination && persisted) this.#dispatch("terminated", this.#termination);
    else this.#checkConnection();
  }

  /** The network is back: the old connection may be dead. */
  #retry() {
    if (!this.#live || this.#asleep || this.#following) return;
    this.#attempt = 0;
    this.#polls = false;
    this.#tried = -Infinity;
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

  get #left() {
    // Either may be late: users can set one back, and the other one stops while the machine sleeps.
    return Math.min(this.#due[0] - Date.now(), this.#due[1] - performance.now());
  }

  #tick() {
    const left = this.#left;
    if (left > 0) this.#arm(left);
    else if (this.#state === "refused") this.#open();
    else if (this.#following) this.#missLeader();
    else if (this.#held && !this.#awaitingAnswer) this.#ask();
    else if (this.#state === "offline" && !this.#held) this.#connect();
    else this.#lose(null, "nothing was heard in time");
  }

  /**
   * Ask whether the connection lives: the user looks at the page, or the network has changed. Do not ask if the hub has
   * just sent something, or if its silence will be noticed as soon anyway.
   */
  #checkConnection() {
    if (!this.#live || this.#asleep) return;
    this.#tick();
    this.#tryWebSocket();
    const soon = this.#options.timeout / 2;
    if (!this.#mayAsk || !(this.#held || this.#state === "joined") || this.#left <= 1000 * soon) return;
    if (this.#left > 1000 * this.#patience - JUST_NOW) return;
    this.#ask();
  }

  #ask() {
    this.#awaitingAnswer = true;
    this.#expect(this.#options.timeout / 2);
    if (this.#following) this.#tabs.requestCheck();
    else this.#transport.send({type: "heartbeat"});
  }

  /** After how many seconds of silence something is wrong, or, on hold, it is time to ask. */
  get #patience() {
    return 2 * (this.#admission?.heartbeat ?? this.#options.timeout);
  }

  /** The leading tab has been silent: ask it first, and then replace it; at once if the user looks at this tab. */
  #missLeader() {
    if (this.#held && !this.#awaitingAnswer) {
      this.#ask();
    } else if (this.#state === "joined" && !this.#awaitingAnswer) {
      this.#hear({type: "offline", code: null, message: "nothing was heard in time", delay: 0});
      this.#tabs?.ask();
    } else {
      this.#expect(this.#options.timeout);
      this.#tabs.stand(true);
    }
  }

  // -- The connection: this tab's own, or one that is shared -------------------------------

  /**
   * Join: by the messages of another tab, if there is one. But a page that was put away may have missed some, so it
   * joins by itself, and shares when it has joined.
   */
  #open(putAway = false) {
    this.#asleep = false;
    this.#attempt = 0;
    if (!this.#isOurs(this.#options.claims)) return this.#refuse(null, OTHER_TICKET);
    if (putAway || !this.#share()) this.#connect();
    else this.#hear({type: "connecting"});
  }

  #share() {
    const {url, share} = this.#options;
    if (!share || !this.#room || !this.#session || !globalThis.navigator?.locks || !globalThis.BroadcastChannel) return false;
    try {
      this.#tabs = new Tabs(JSON.stringify(["sse-trio", url, this.#room, this.#session]), {
        lead: () => (this.#connected ? this.#tabs.post(this.#held ? {type: "hold"} : this.#admission) : this.#connect()),
        follow: () => {
          this.#link?.abort();
          this.#hear({type: "connecting"});
          this.#tabs.ask();
        },
        hear: (message) => {
          // A tab that has joined by itself keeps its connection until another tab has joined too.
          if (this.#connected && message.type !== "joined") return;
          this.#link?.abort();
          this.#hear(message);
        },
        check: () => this.#checkConnection(),
      });
      return true;
    } catch {
      return false; // a context that has no channels, such as some frames of other sites
    }
  }

  #close() {
    clearTimeout(this.#timer);
    this.#held = false;
    this.#link?.abort();
    this.#tabs?.close();
    this.#tabs = undefined;
  }

  get #connected() {
    return (this.#held || this.#state === "joined") && this.#link?.signal.aborted === false;
  }

  get #following() {
    return this.#tabs !== undefined && !this.#tabs.leading;
  }

  /** How long the leading tab may take, in seconds; random, so that not all tabs give up at once. */
  get #leaderTimeout() {
    return (2 + Math.random()) * this.#options.timeout;
  }

  async #connect() {
    this.#link?.abort();
    const link = (this.#link = new AbortController());
    const {signal} = link;
    this.#transport = undefined;
    this.#proven = false;
    this.#say({type: "connecting"});

    const {ticket: source} = this.#options;
    let ticket = source;
    try {
      if (typeof source === "function") ticket = await source({signal});
    } catch (error) {
      if (!signal.aborted) this.#lose(null, `no ticket: ${error}`);
      return;
    }
    if (signal.aborted) return;
    if (source && !ticket) return this.#refuse(null, "there is no ticket");

    // React Native cannot read streams.
    const Transport = this.#blocked < BLOCKED || !globalThis.TextDecoderStream ? Socket : EventStream;
    try {
      this.#transport = this.#openTransport(link, ticket, Transport);
    } catch (error) {
      this.#refuse(null, String(error)); // ws: on a page of https:
    }
  }

  /** Try a WebSocket while the guard is connected by requests. */
  async #tryWebSocket() {
    const {transport} = this;
    if (!transport || transport === "websocket" || performance.now() - this.#tried < RETRIAL) return;
    this.#trial?.abort();
    const link = (this.#trial = new AbortController());
    const {signal} = link;
    this.#link.signal.addEventListener("abort", () => this.#link === link || link.abort());
    this.#tried = performance.now();
    const {ticket: source} = this.#options;
    try {
      const ticket = typeof source === "function" ? await source({signal}) : source;
      if (!signal.aborted && (ticket || !source)) this.#openTransport(link, ticket, Socket);
    } catch {
      // The guard is connected as before.
    }
  }

  /**
   * Begin to join by a transport, which is used until `link` is aborted. If the guard is connected
   * by another one, the new one takes over with its first heartbeat, or a termination.
   */
  #openTransport(link, ticket, Transport) {
    const isTried = () => this.#link !== link;
    const join = {type: "join", ...(ticket ? {ticket} : {room: this.#room, session: this.#session})};
    let joined;
    const on = {
      open: () => {
        // The browser may have delayed the socket for longer than an attempt may take.
        if (!isTried() && this.#state === "offline") this.#say({type: "connecting"});
        transport.send(join);
      },
      message: (message) => {
        if (isTried()) {
          if (message.type === "joined") joined = message;
          const isProven = joined && message.type === "heartbeat";
          if (!isProven && message.type !== "terminate") return;
          const before = this.#link;
          this.#link = link;
          this.#transport = transport;
          before.abort();
          if (isProven) this.#take(joined);
        }
        this.#take(message);
      },
      close: (code, reason) => {
        if (isTried()) return;
        // A joined guard sends no other message that an old hub could refuse. A later poll's ticket may have expired.
        const mayJoin = this.#state === "joined" && ((code === MALFORMED && this.#mayAsk) || code === BAD_TICKET);
        if (code === TERMINATED) this.#say({type: "terminate", reason});
        else if (REFUSED.includes(code) && !mayJoin) this.#refuse(code, reason);
        // The failure of an abandoned attempt was reported before.
        else if (this.#held || this.#state !== "offline") this.#lose(code, reason);
      },
    };
    // Messages of an abandoned transport are ignored. Not every WebSocket's listeners know signals:
    // React Native's do not in all versions.
    const {signal} = link;
    for (const type in on) {
      const hear = on[type];
      on[type] = (...said) => signal.aborted || hear(...said);
    }
    if (Transport === Socket) this.#tried = performance.now();
    const transport = new Transport(this.#options, on, this.#polls);
    signal.addEventListener("abort", () => transport.close());
    return transport;
  }

  /** Handle a message of the hub. */
  #take(message) {
    if (message.type === "joined" && !this.#isOurs(message)) {
      // A page that has joined belongs to a login, and now there is another one.
      if (this.#admission) this.#say({type: "terminate", reason: "login"});
      else this.#refuse(null, OTHER_TICKET);
    } else if (["joined", "heartbeat", "hold", "terminate"].includes(message.type)) {
      if (message.type === "heartbeat") this.#prove();
      if (message.type === "terminate") this.#transport.send({type: "terminated", epoch: message.epoch});
      this.#say(message);
      if (message.type === "joined") this.#tryWebSocket();
    }
  }

  /** Whether these are this page's room and session, as far as either is known. */
  #isOurs({room = this.#room, session = this.#session}) {
    return room === (this.#room ?? room) && session === (this.#session ?? session);
  }

  /**
   * Try again after a random time, whose bound doubles with each failure. A socket that is not open
   * yet may open until then: Firefox holds sockets back for up to a minute after failures.
   */
  #lose(code, message) {
    const {minDelay, maxDelay} = this.#options;
    this.#judge(code);
    if (!this.#transport?.opening) this.#link?.abort();
    const delay = Math.random() * Math.min(maxDelay, minDelay * 2 ** this.#attempt++);
    this.#say({type: "offline", code, message, delay});
  }

  /** A heartbeat has come, so this transport works here. */
  #prove() {
    const {name} = this.#transport;
    this.#proven = true;
    this.#polls = name === "polling";
    if (name === "websocket") this.#blocked = 0;
    remember(this.#options.url, name);
  }

  /** At the end of a transport: find out whether WebSockets seem to be blocked. */
  #judge(code) {
    const isSocket = this.#transport instanceof Socket;
    const isHubs = code === 1001 || code === 1013 || code >= 4000;
    if (isSocket) this.#blocked = this.#proven || isHubs ? 0 : this.#blocked + 1;
    // If requests fail too, the hub may be away. So try both in turn.
    else if (this.#transport && this.#state === "connecting" && !isHubs) this.#blocked = BLOCKED - 1;
  }

  #refuse(code, message) {
    this.#finish("refused", "error", {code, message});
    // A listener may have started or stopped the guard meanwhile.
    if (code === BAD_TICKET && this.#state === "refused") this.#expect((2 + 2 * Math.random()) * this.#options.maxDelay);
  }

  #finish(state, type, detail) {
    this.#close();
    this.#state = state;
    this.#dispatch(type, detail);
  }

  // -- What is said, by the server or by the tab that leads ---------------------------------

  #say(message) {
    if (!this.#following) this.#tabs?.post(message);
    this.#hear(message);
    if (message.type === "joined" && !this.#tabs && this.#state === "joined") this.#share();
  }

  #hear({type, ...detail}) {
    this.#awaitingAnswer = false;
    const wasHeld = this.#held;
    if (type !== "heartbeat") this.#held = type === "hold";
    switch (type) {
      case "connecting":
        this.#state = "connecting";
        this.#expect(this.#following ? this.#leaderTimeout : this.#options.timeout);
        break;
      case "joined":
        this.#admission = {type, ...detail};
        this.#room = detail.room;
        this.#session = detail.session;
        this.#state = "joined";
        this.#expect(this.#patience);
        this.#dispatch(type, detail);
        break;
      case "heartbeat":
        // From a leading tab whose `joined` this tab has missed.
        if (this.#state !== "joined") return this.#tabs?.ask();
        this.#attempt = 0;
        this.#expect(this.#patience);
        this.#dispatch(type, detail);
        break;
      case "offline":
        this.#state = "offline";
        if (detail.code === MALFORMED) this.#mayAsk = false;
        if (!this.#asleep) this.#expect(detail.delay + (this.#following ? this.#leaderTimeout : 0));
        this.#dispatch(type, detail);
        break;
      case "hold":
        this.#state = "offline";
        this.#expect(this.#patience + (this.#following ? this.#leaderTimeout : 0));
        if (!wasHeld) this.#dispatch("offline", {code: null, message: "the hub cannot know for the moment", delay: null});
        break;
      case "terminate": {
        const {room = null, epoch = null, reason, detail: more = null} = detail;
        // A guard that was not joined, or has slept, may get it late.
        if (this.#state === "joined" && this.#left > 0) this.#endedAt = new Date();
        this.#termination = {room, epoch, reason, detail: more};
        this.#finish("terminated", "terminated", this.#termination);
      }
    }
  }

  #dispatch(type, detail) {
    this.dispatchEvent(new CustomEvent(type, {detail}));
  }
}

/** Return how this tab's last page was connected, if WebSockets were blocked there. */
function recall(url) {
  try {
    return sessionStorage.getItem(`sse-trio ${url}`);
  } catch {
    return null; // a context without storage
  }
}

function remember(url, transport) {
  try {
    if (transport === "websocket") sessionStorage.removeItem(`sse-trio ${url}`);
    else sessionStorage.setItem(`sse-trio ${url}`, transport);
  } catch {
    // The next page finds out by itself.
  }
}

/**
 * A WebSocket. Like an `EventStream`, it tells `on` when it is open, each message, and once how it has
 * ended: with a close code, or null.
 */
class Socket {
  name = "websocket";
  #socket;

  constructor({url}, on) {
    this.#socket = new WebSocket(url, SUBPROTOCOLS);
    let complaint;
    const listeners = {
      open: on.open,
      message: ({data}) => {
        const message = parse(data);
        if (message.type === "error") complaint = message.message;
        else on.message(message);
      },
      close: ({code, reason}) => on.close(code, complaint ?? reason),
    };
    for (const type in listeners) this.#socket.addEventListener(type, listeners[type]);
  }

  /** Whether it may still open. */
  get opening() {
    return this.#socket.readyState === WebSocket.CONNECTING;
  }

  send(message) {
    this.#socket.send(JSON.stringify(message));
  }

  close() {
    this.#socket.close();
  }
}

/** The close codes for the types of problems with which the hub refuses a request. */
const REFUSALS = {
  "urn:sse-trio:problem:malformed": MALFORMED,
  "urn:sse-trio:problem:origin-refused": 4403,
  "urn:sse-trio:problem:body-too-large": 1009,
};

/**
 * A POST whose answer is a stream of the hub's messages. If a proxy holds the answer back until it
 * ends, polls instead: one POST after the other, each answered with one message.
 */
class EventStream {
  #on;
  #address;
  #timeout; // in ms, for an answer that the hub gives at once
  #polls;
  #name; // by which the hub knows the stream: a secret
  #join;
  #last; // the type of the hub's last message
  #request; // an AbortController of the POST, or of the polls, that listen now
  #holdsBack; // the timer that ends a stream which is held back
  #acknowledged; // a promise

  constructor({url, timeout}, on, polls) {
    this.#on = on;
    this.#address = new URL("events", url).href.replace(/^ws/, "http");
    this.#timeout = 500 * timeout;
    this.#polls = polls;
    this.#name = btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(16))));
    queueMicrotask(on.open);
  }

  get name() {
    return this.#polls ? "polling" : "events";
  }

  send(message) {
    if (message.type === "join") {
      this.#join = message;
      this.#listen();
    } else if (message.type === "heartbeat") {
      this.#ask(message);
    } else if (!this.#polls) {
      const signal = AbortSignal.timeout(this.#timeout);
      this.#acknowledged = this.#post(message, {signal, keepalive: true}).catch(() => {});
    }
  }

  close() {
    const abort = () => this.#request?.abort();
    if (this.#acknowledged) this.#acknowledged.then(abort);
    else abort();
  }

  #end(code, reason) {
    this.close();
    this.#on.close(code, reason);
  }

  /** POST in a way that needs no preflight. */
  #post(message, options, query = "") {
    const body = JSON.stringify({...message, stream: this.#name});
    const always = {method: "POST", body, credentials: "omit", cache: "no-store", redirect: "error"};
    return fetch(this.#address + query, {...always, ...options});
  }

  async #ask(message) {
    // The next poll is a question too.
    if (this.#polls) return this.#listen();
    const {signal} = this.#request;
    try {
      const {ok, status} = await this.#post(message, {signal});
      if (!ok) throw new Error(`the hub does not know the stream: ${status}`);
    } catch (error) {
      if (!signal.aborted) this.#end(null, error.message);
    }
  }

  /** Join and listen by a new request, and abort the last one. */
  async #listen() {
    this.#request?.abort();
    const {signal} = (this.#request = new AbortController());
    const poll = () => {
      this.#polls = true;
      this.#listen();
    };
    if (!this.#polls) this.#holdsBack = setTimeout(poll, this.#timeout);
    signal.addEventListener("abort", () => clearTimeout(this.#holdsBack));
    try {
      let heard = await this.#hear(this.#polls ? "?wait=0" : "", signal);
      while (this.#polls && heard) {
        // On hold the hub answers at once.
        if (this.#last === "hold") await new Promise((resolve) => setTimeout(resolve, this.#timeout));
        if (signal.aborted) return;
        heard = await this.#hear("?wait=25", signal);
      }
      throw new Error("the answer has ended");
    } catch (error) {
      if (!signal.aborted) this.#end(null, error.message);
    }
  }

  /** Handle each event of an answer; return whether any of them was a message. */
  async #hear(query, signal) {
    const answer = await this.#post(this.#join, {signal}, query);
    if (!answer.ok) {
      const {type, detail} = parse(await answer.text());
      this.#end(REFUSALS[type] ?? null, detail ?? `the answer is ${answer.status}`);
      return false;
    }
    const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
    let heard = false;
    for (let text = ""; ; ) {
      const {done, value} = await reader.read();
      if (done || signal.aborted) return heard;
      const events = (text + value).split("\n\n");
      text = events.pop();
      for (const event of events) heard = this.#take(event) || heard;
    }
  }

  #take(text) {
    clearTimeout(this.#holdsBack);
    const {event, data} = Object.fromEntries(text.split("\n").map((line) => line.split(/: ?(.*)/s)));
    const message = parse(data);
    const isRepeated = message.type === "joined" && this.#last === "joined";
    this.#last = message.type;
    if (event === "close") this.#end(message.code, message.reason);
    else if (message.type === "error") this.#end(message.code, message.message);
    // Each poll is a join.
    else if (this.#polls && isRepeated) this.#on.message({type: "heartbeat", time: Date.now()});
    else this.#on.message(message);
    return Boolean(message.type);
  }
}

function parse(text) {
  try {
    return JSON.parse(text) ?? {};
  } catch {
    return {};
  }
}

/** Read the room and session in a ticket. The hub decides whether it is valid. */
function read(ticket) {
  try {
    const payload = atob(ticket.split(".")[1].replaceAll("-", "+").replaceAll("_", "/"));
    const {room, session} = JSON.parse(new TextDecoder().decode(Uint8Array.from(payload, (byte) => byte.charCodeAt(0))));
    // A number that is too large for JavaScript would be read as another one.
    const isName = (value) => typeof value === "string" || Number.isSafeInteger(value);
    return isName(room) && isName(session) ? {room: String(room), session: String(session)} : {};
  } catch {
    return {}; // a function, or not a ticket that can be read here
  }
}

/**
 * The tabs of one session in one browser. The one that holds the lock leads: it has the connection, and passes its
 * messages to the others. They queue for the lock, so the browser itself passes it on when the leading tab is gone.
 */
class Tabs {
  leading = false;
  #name;
  #on;
  #channel;
  #candidacy; // an AbortController of the place in the queue, or of the lead
  #last; // the last state that the leading tab has sent
  #me = Math.random();
  #asked = false; // and no state received since

  constructor(name, on) {
    this.#name = name;
    this.#on = on;
    this.#channel = new BroadcastChannel(name);
    this.#channel.onmessage = ({data: {ask, to, message}}) => {
      if (this.leading) {
        if (ask) this.#answer(ask);
      } else if (message && (!to || (to === this.#me && this.#asked))) {
        this.#asked &&= message.type === "heartbeat";
        on.hear(message);
      }
    };
    this.ask();
    this.stand();
  }

  /** Ask the leading tab for the state. */
  ask() {
    this.#asked = true;
    this.#channel.postMessage({ask: this.#me});
  }

  /** Let the leading tab ask the hub. It passes the hub's answer on to all tabs. */
  requestCheck() {
    this.#channel.postMessage({ask: true});
  }

  #answer(to) {
    const last = this.#last;
    // It may have slept, and not know it yet.
    this.#on.check();
    // If the check has changed the state, all tabs have got it already.
    if (last === this.#last) this.#channel.postMessage({to, message: last});
  }

  post(message) {
    if (message.type !== "heartbeat") this.#last = message;
    this.#channel.postMessage({message});
  }

  /** Try to lead: queue for the lock, or take it from a tab that does not answer. */
  stand(steal = false) {
    this.#candidacy?.abort();
    this.#candidacy = new AbortController();
    const {signal} = this.#candidacy;
    const lead = () => {
      if (signal.aborted) return;
      this.leading = true;
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
        // There are no locks in this context: this tab works alone.
        lead();
      }
    });
  }

  close() {
    this.#candidacy.abort();
    this.#channel.close();
  }
}

/** How many characters of a device or a place are shown. */
const MAX_SHOWN = 80;

/** How much later than a browser's clock the hub's may be, in ms. A time that is later still is a mistake. */
const MAX_AHEAD = 86_400_000;

/** The words of the notice: title, message at another login, message otherwise, action, and three labels. */
const WORDS = {
  ar: [
    "تم تسجيل خروجك",
    "تم تسجيل الدخول إلى حسابك مرة أخرى، هنا أو في مكان آخر.",
    "انتهت جلستك.",
    "تسجيل الدخول مجددًا",
    "الجهاز",
    "المكان",
    "الوقت",
  ],
  de: [
    "Sie wurden abgemeldet",
    "Bei Ihrem Konto gab es eine neue Anmeldung, hier oder an einem anderen Ort.",
    "Ihre Sitzung ist beendet.",
    "Neu anmelden",
    "Gerät",
    "Ort",
    "Zeit",
  ],
  en: [
    "You have been logged out",
    "Your account was used to log in again, here or elsewhere.",
    "Your session has ended.",
    "Log in again",
    "Device",
    "Place",
    "Time",
  ],
  es: [
    "Se ha cerrado su sesión",
    "Se ha vuelto a iniciar sesión con su cuenta, aquí o en otro lugar.",
    "Su sesión ha finalizado.",
    "Iniciar sesión de nuevo",
    "Dispositivo",
    "Lugar",
    "Hora",
  ],
  fr: [
    "Votre session a été fermée",
    "Une nouvelle connexion à votre compte a eu lieu, ici ou ailleurs.",
    "Votre session a pris fin.",
    "Se reconnecter",
    "Appareil",
    "Lieu",
    "Heure",
  ],
  it: [
    "La sessione è stata chiusa",
    "È stato effettuato un nuovo accesso al suo account, qui o altrove.",
    "La sessione è terminata.",
    "Accedere di nuovo",
    "Dispositivo",
    "Luogo",
    "Ora",
  ],
  ja: [
    "ログアウトされました",
    "お使いのアカウントで、ここまたは別の場所から新しいログインがありました。",
    "セッションが終了しました。",
    "もう一度ログイン",
    "デバイス",
    "場所",
    "日時",
  ],
  pl: [
    "Nastąpiło wylogowanie",
    "Na to konto zalogowano się ponownie, tutaj lub w innym miejscu.",
    "Sesja została zakończona.",
    "Zaloguj się ponownie",
    "Urządzenie",
    "Miejsce",
    "Czas",
  ],
  pt: [
    "A sua sessão foi encerrada",
    "Houve um novo acesso à sua conta, aqui ou em outro lugar.",
    "A sua sessão terminou.",
    "Entrar novamente",
    "Dispositivo",
    "Local",
    "Hora",
  ],
  ru: [
    "Выполнен выход из системы",
    "Выполнен новый вход в вашу учётную запись, здесь или в другом месте.",
    "Ваш сеанс завершён.",
    "Войти снова",
    "Устройство",
    "Место",
    "Время",
  ],
  tr: [
    "Oturumunuz kapatıldı",
    "Hesabınızla burada veya başka bir yerde yeniden oturum açıldı.",
    "Oturumunuz sona erdi.",
    "Yeniden oturum aç",
    "Cihaz",
    "Konum",
    "Zaman",
  ],
  zh: ["您已退出登录", "您的账号已在此处或其他地方重新登录。", "您的会话已结束。", "重新登录", "设备", "地点", "时间"],
  "zh-Hant": ["您已登出", "您的帳號已在此處或其他地方重新登入。", "您的工作階段已結束。", "重新登入", "裝置", "地點", "時間"],
};

/** Return the first of these languages that has words here, and the words (BCP 47); otherwise English. */
function translate(languages) {
  for (const tag of languages) {
    try {
      // de_AT means de-AT.
      const locale = new Intl.Locale(tag.replaceAll("_", "-"));
      const {language} = locale;
      const names = [`${language}-${locale.maximize().script}`, language];
      const known = names.find((name) => Object.hasOwn(WORDS, name));
      if (known) return [String(locale), WORDS[known]];
    } catch {
      // This is no language tag.
    }
  }
  return ["en", WORDS.en];
}

/** Return a text that any client may have sent as one short line without effect on the text around it; "" if it is
 * none. */
function shorten(value) {
  if (typeof value !== "string") return "";
  const line = [...value.replace(/[\p{Cc}\s\u202a-\u202e\u2066-\u2069]+/gu, " ").trim()];
  return line.length > MAX_SHOWN ? `${line.slice(0, MAX_SHOWN - 1).join("")}…` : line.join("");
}

/** Return the notice's texts, in the first of these languages that has words here. */
export function noticeText({reason, detail}, languages = globalThis.navigator?.languages ?? [], endedAt = null) {
  const [lang, [title, login, other, action, ...labels]] = translate(languages);
  const {device, place, time} = detail ?? {};
  const ms = 1000 * time;
  const at = typeof time === "number" && ms > 0 && ms < Date.now() + MAX_AHEAD ? new Date(ms) : endedAt;
  const written = at && new Intl.DateTimeFormat(lang, {dateStyle: "medium", timeStyle: "short"}).format(at);
  const values = [shorten(device), shorten(place), written];
  return {
    lang,
    dir: /^ar\b/.test(lang) ? "rtl" : "ltr",
    title,
    message: reason === "login" ? login : other,
    action,
    details: labels.map((label, index) => [label, values[index]]).filter(([, value]) => value),
  };
}

/** Return the language of this element, by the nearest `lang`; "" if there is none. */
function languageOf(element) {
  const nearest = Element.prototype.closest.call(element, "[lang]");
  if (nearest) return Element.prototype.getAttribute.call(nearest, "lang");
  const root = element.getRootNode();
  return root instanceof ShadowRoot ? languageOf(root.host) : "";
}

const STYLE = `
:host { display: contents }
dialog {
visibility: visible; max-width: 26rem; padding: 1.5rem;
border: 1px solid var(--session-guard-border, #8888);
border-radius: var(--session-guard-radius, .75rem);
background: var(--session-guard-background, Canvas);
color: var(--session-guard-color, CanvasText);
font: var(--session-guard-font, 1rem/1.5 system-ui, sans-serif);
}
dialog::backdrop { background: var(--session-guard-backdrop, #0008); backdrop-filter: blur(.4rem) }
h2 { margin: 0 0 .5rem; font-size: 1.25em }
p { margin: 0; text-wrap: balance }
dl { display: grid; grid-template-columns: auto 1fr; gap: 0 1rem; margin: 1rem 0 0 }
dl:empty { display: none }
dt { font-weight: 600 }
dd { margin: 0; overflow-wrap: anywhere }
button {
width: 100%; margin-top: 1.5rem; padding: .65em; border: 1px solid transparent; border-radius: .5em;
background: var(--session-guard-accent, #1d4ed8);
color: var(--session-guard-accent-color, #fff);
font: inherit; font-weight: 600
}
button:focus-visible { outline: 3px solid var(--session-guard-accent, #1d4ed8); outline-offset: 2px }
`;

/** Override styles of an element; return how to undo that. */
function override(element, values) {
  const style = own(HTMLElement, "style", element);
  const before = Object.keys(values).map((name) => [name, style.getPropertyValue(name), style.getPropertyPriority(name)]);
  for (const name in values) style.setProperty(name, values[name], "important");
  return () => {
    for (const property of before) style.setProperty(...property);
  };
}

/** How many seconds to wait before this tab leaves a page by itself once more; 0 for the first few times in a row. */
function delayBeforeLeaving() {
  const key = "sse-trio left";
  try {
    const {times = 0, at = 0} = parse(sessionStorage.getItem(key));
    const now = Date.now();
    const again = now - at < 60_000 ? times + 1 : 1;
    const delay = again <= 3 ? 0 : Math.min(2 ** (again - 4), 30);
    sessionStorage.setItem(key, JSON.stringify({times: again, at: now + 1000 * delay}));
    return delay;
  } catch {
    return 0; // a context that has no storage
  }
}

/** `<session-guard>`: a guard as long as it is in the page, and what a page does when it is terminated. */
export class SessionGuardElement extends (globalThis.HTMLElement ?? Object) {
  static observedAttributes = ["src", "room", "session", "ticket", "share"];

  #guard;
  #ticket;
  #wanted = [];
  #changing = false;
  #joined = false; // since it got this login
  #reveal; // shows again what is concealed
  #dialog;

  constructor() {
    super();
    // Without a slot its children are not shown: they are the words of the notice.
    const root = this.attachShadow({mode: "open"});
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(STYLE);
    root.adoptedStyleSheets = [sheet];
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
    // A move has taken it out of the top layer.
    if (this.#dialog) this.#show();
  }

  disconnectedCallback() {
    this.#change();
  }

  attributeChangedCallback() {
    this.#change();
  }

  /** Several changes at once count as one, and a move counts as none. */
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
    const share = this.hasAttribute("share");
    const wanted = this.isConnected && (room !== null || ticket !== null) ? [url, room, session, ticket, share] : [];
    if (wanted.length === this.#wanted.length && wanted.every((value, index) => value === this.#wanted[index])) return;
    this.#wanted = wanted;
    this.#guard?.stop();
    this.#guard = undefined;
    this.#joined = false;
    this.#dialog?.remove();
    this.#dialog = undefined;
    if (!wanted.length) return this.#reveal?.();
    // Concealed content stays hidden until the new guard has joined.
    const guard = new SessionGuard({url, room, session, ticket, share});
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
      console.error(`<session-guard> guards nothing: ${detail.message}`);
      // The page's server knows whether there is still a login, and has a new ticket. If the guard was
      // refused from the start, stay: a page that is loaded again and again cannot be used.
      if (this.#joined || this.#reveal) this.#leaveAutomatically(() => location.reload());
    }
  }

  /** Hide the element that this one is in, so that it comes back unusable. */
  #conceal() {
    const host = this.parentElement ?? this.getRootNode().host;
    if (!host || this.#reveal) return;
    // Without a transition; and also the elements of the top layer, which could be visible by their own style.
    const undo = [override(host, {"transition-property": "none", visibility: "hidden", opacity: "0"})];
    for (const selector of [":modal", ":popover-open"]) {
      try {
        for (const top of find(host, selector)) undo.push(override(top, {display: "none"}));
      } catch {
        // This browser does not know the selector.
      }
    }
    const inert = (on) => Element.prototype.toggleAttribute.call(host, "inert", on);
    const before = Element.prototype.hasAttribute.call(host, "inert");
    inert(true);
    this.#reveal = () => {
      inert(before);
      for (const step of undo) step();
      this.#reveal = undefined;
    };
  }

  async #expire(detail) {
    const guard = this.#guard;
    // The page may have taken another login, or this element away, in the meantime.
    const isOver = () => guard !== this.#guard || !this.isConnected;
    const event = new CustomEvent("session-expired", {detail, bubbles: true, composed: true, cancelable: true});
    if (!this.dispatchEvent(event) || isOver()) return;
    if (this.hasAttribute("conceal")) this.#conceal();
    const loggedOut = this.#logOut(guard, detail);
    const seen = this.hasAttribute("notice") && (await this.#notify(detail));
    await loggedOut;
    if (isOver()) return;
    this.#leave(seen);
    // If the user has chosen to stay, the next click leaves. Captured, because this click is still under way.
    this.#dialog?.addEventListener("click", () => this.#leave(seen), true);
  }

  /** Ask the application to end this login, and wait 5 seconds at most. */
  async #logOut({session = ""}, {reason}) {
    const csrf = this.getAttribute("csrf");
    if (!this.hasAttribute("logout")) return;
    try {
      await fetch(this.#address("logout"), {
        method: "POST",
        body: new URLSearchParams({session, reason}),
        headers: csrf === null ? {} : {"X-CSRF-Token": csrf, "X-CSRFToken": csrf},
        redirect: "manual",
        keepalive: true,
        signal: AbortSignal.timeout(5000),
      });
    } catch {
      // The login is superseded on the server even if this request fails.
    }
  }

  #address(attribute) {
    try {
      return resolve(this.getAttribute(attribute) ?? "none:");
    } catch {
      return {};
    }
  }

  #leave(seen) {
    const {protocol, href} = this.#address("redirect");
    // Only a page, and not javascript:. It replaces this page in the history.
    if (/^https?:$/.test(protocol)) {
      const go = () => {
        location.replace(href);
        // An address that differs only in its fragment does not load the page anew.
        if (href.split("#")[0] === location.href.split("#")[0]) location.reload();
      };
      if (seen) go();
      else this.#leaveAutomatically(go);
    } else if (seen) {
      location.reload();
    }
  }

  /**
   * Leave the page: at once, or after a delay if that has led back here a few times already. If the
   * application and the hub disagree about a login, the two pages would alternate without a pause.
   */
  #leaveAutomatically(leave) {
    const delay = delayBeforeLeaving();
    if (!delay) return leave();
    const message = `leaving this page leads back to it again and again; waiting for ${delay} s`;
    console.error(`<session-guard> ${message}`);
    this.dispatchEvent(new CustomEvent("error", {detail: {code: null, message}}));
    const guard = this.#guard;
    setTimeout(() => guard === this.#guard && this.isConnected && leave(), 1000 * delay);
  }

  /** Show the notice, and wait until the user has confirmed it; false if it is not visible. */
  #notify(termination) {
    const language = languageOf(this);
    const text = noticeText(termination, language ? [language] : navigator.languages, this.#guard.endedAt);
    const dialog = make("dialog");
    const part = (tag, name, content) => {
      const made = make(tag);
      made.part = made.id = name;
      const slot = make("slot");
      slot.name = name;
      slot.append(content);
      // What the page has put in its place is in the page's own language and direction.
      const label = () => {
        for (const attribute of ["lang", "dir"]) {
          if (slot.assignedNodes().length) made.removeAttribute(attribute);
          else made.setAttribute(attribute, text[attribute]);
        }
      };
      label();
      slot.addEventListener("slotchange", label);
      made.append(slot);
      dialog.append(made);
      return made;
    };
    dialog.part = "dialog";
    dialog.setAttribute("role", "alertdialog");
    dialog.setAttribute("aria-labelledby", "title");
    dialog.setAttribute("aria-describedby", "message");
    part("h2", "title", text.title);
    part("p", "message", text.message);
    const details = make("dl");
    for (const row of text.details) {
      for (const [index, tag] of ["dt", "dd"].entries()) {
        const cell = make(tag);
        // Its own direction, and none of its surroundings'.
        const isolated = make("bdi");
        isolated.textContent = row[index];
        cell.append(isolated);
        details.append(cell);
      }
    }
    part("div", "details", details);
    const button = part("button", "action", text.action);
    // It has the focus, so this is read after the message.
    button.setAttribute("aria-describedby", "details");
    this.shadowRoot.replaceChildren(dialog);
    this.#dialog = dialog;
    return new Promise((resolve) => {
      // It stays until the page is left, because the page behind it must not be used any more.
      button.addEventListener("click", () => resolve(true));
      dialog.addEventListener("cancel", (event) => event.preventDefault());
      dialog.addEventListener("close", () => {
        if (dialog === this.#dialog) this.#show();
        resolve(true);
      });
      this.#show();
      if (!dialog.getClientRects().length) resolve(false);
    });
  }

  #show() {
    this.#dialog.open = false;
    if (this.isConnected) this.#dialog.showModal();
  }
}

if (globalThis.customElements && !customElements.get("session-guard")) {
  customElements.define("session-guard", SessionGuardElement);
}
