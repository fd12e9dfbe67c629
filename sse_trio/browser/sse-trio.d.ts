/** Types of sse-trio.js. What everything is for is in docs/browser.md. */

/** Where a guard stands. `terminated` is for ever; `start()` leads out of `stopped` and `refused`. */
export type State = "stopped" | "connecting" | "joined" | "offline" | "terminated" | "refused";

/** How a guard is connected: by a WebSocket, by an event stream, or by one request after the other. */
export type Transport = "websocket" | "events" | "polling";

/** A signed proof, or how to get one. `signal` is aborted when this attempt is given up. */
export type Ticket =
  | string
  | ((attempt: {signal: AbortSignal}) => string | null | Promise<string | null>);

interface Connection {
  /** The hub's WebSocket, `wss://sessions.example.com/ws`; relative to the page's own address; `https:` is taken as `wss:`. */
  url: string | URL;
  /** Seconds until an attempt to connect and join has failed; 10. */
  timeout?: number;
  /** The bound of the first random delay before a new attempt, in seconds; it doubles; 1. */
  minDelay?: number;
  /** What that bound grows to, in seconds; 30. */
  maxDelay?: number;
  /** One connection for all tabs of the session. */
  share?: boolean;
}

/** A ticket is enough; `room` and `session` beside it are what it must be for. Without both, the server makes a `session` up. */
type Identity =
  | {room: string | number; session?: string | number | null; ticket?: null | undefined}
  | {ticket: Ticket; session?: string | number | null; room?: string | number | null};

export type SessionGuardOptions = Connection & Identity;

/** Admitted. `heartbeat`: seconds between heartbeats. */
export interface JoinedDetail {
  room: string;
  session: string;
  epoch: number;
  heartbeat: number;
}

/** `time`: the server's clock in Unix milliseconds; the browser's if the guard polls. */
export interface HeartbeatDetail {
  time: number;
}

/** Log out now. Where the server closed without its words, `room` and `epoch` are null. */
export interface TerminatedDetail {
  room: string | null;
  epoch: number | null;
  reason: string;
  detail: Record<string, unknown> | null;
}

/** What a notice says. `lang` and `dir` are the language and direction of all its words; each of the `details` is a label and a text. */
export interface NoticeText {
  lang: string;
  dir: "ltr" | "rtl";
  title: string;
  message: string;
  action: string;
  details: [label: string, text: string][];
}

/**
 * Say what the notice of `<session-guard>` says, in the first of these languages (BCP 47) that it can, or
 * else in English. Without `languages`: those of the browser. `endedAt`: the time to show if `detail` has none.
 */
export function noticeText(
  termination: Pick<TerminatedDetail, "reason" | "detail">,
  languages?: readonly string[],
  endedAt?: Date | null,
): NoticeText;

/** Not connected, or the hub cannot know for the moment. `delay`: seconds until the next attempt; null where there is none: the page is put away, or the hub has asked to wait. */
export interface OfflineDetail {
  code: number | null;
  message: string;
  delay: number | null;
}

/** Refused; only after code 4401 the guard tries again, slowly. `code`: the close code, or null if the guard itself found the mistake. */
export interface ErrorDetail {
  code: number | null;
  message: string;
}

export interface SessionGuardEventMap {
  joined: CustomEvent<JoinedDetail>;
  heartbeat: CustomEvent<HeartbeatDetail>;
  terminated: CustomEvent<TerminatedDetail>;
  offline: CustomEvent<OfflineDetail>;
  error: CustomEvent<ErrorDetail>;
}

/** A member of a room: joins it, stays joined, and tells what happens. */
export class SessionGuard extends EventTarget {
  /** @throws {TypeError} if an option is missing, or `url` is no address. */
  constructor(options: SessionGuardOptions);
  readonly state: State;
  /** The session that you gave, that the ticket names, or that the hub made up. */
  readonly session: string | undefined;
  /** When the session ended; null if it has not, or if the guard was not connected then. */
  readonly endedAt: Date | null;
  /** How it is connected; null if it is not, or by another tab. */
  readonly transport: Transport | null;
  /** Join, and stay joined until stop(), a termination or a refusal. */
  start(): void;
  /** Leave. */
  stop(): void;
  /** Find out at once whether the connection lives, or connect at once: for programs that have no page, when they come back. */
  wake(): void;
  addEventListener<K extends keyof SessionGuardEventMap>(
    type: K,
    listener: (this: SessionGuard, event: SessionGuardEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof SessionGuardEventMap>(
    type: K,
    listener: (this: SessionGuard, event: SessionGuardEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
  removeEventListener(
    type: string,
    listener: EventListenerOrEventListenerObject | null,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** `<session-guard src room session ticket share logout csrf redirect notice conceal>` */
export class SessionGuardElement extends HTMLElement {
  /** The present guard; null where the element is not in a page, or has neither room nor ticket. */
  readonly guard: SessionGuard | null;
  /** The attribute, or what was set here. */
  ticket: Ticket | null;
  addEventListener<K extends keyof SessionGuardElementEventMap>(
    type: K,
    listener: (this: SessionGuardElement, event: SessionGuardElementEventMap[K]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  removeEventListener<K extends keyof SessionGuardElementEventMap>(
    type: K,
    listener: (this: SessionGuardElement, event: SessionGuardElementEventMap[K]) => unknown,
    options?: boolean | EventListenerOptions,
  ): void;
}

/** Of the element: the guard's events, and all that other elements have. */
export type SessionGuardElementEventMap = Omit<HTMLElementEventMap, keyof SessionGuardEventMap> &
  SessionGuardEventMap;

declare global {
  interface HTMLElementTagNameMap {
    "session-guard": SessionGuardElement;
  }
  interface GlobalEventHandlersEventMap {
    "session-expired": CustomEvent<TerminatedDetail>;
  }
}
