// Every use of the client that sse-trio.d.ts should allow, and some that it should not.
// A test has the TypeScript compiler read it; nothing runs it.

import {SessionGuard, noticeText, type ErrorDetail, type NoticeText, type State, type Transport} from "sse-trio";

const url = "wss://sessions.example.com/ws";

new SessionGuard({url, room: "u1"});
new SessionGuard({url: new URL(url), room: 7, session: 1, timeout: 5, minDelay: 2, maxDelay: 60});
new SessionGuard({url, ticket: "a ticket"});
new SessionGuard({url, ticket: () => null});
new SessionGuard({url, ticket: async ({signal}) => (await fetch("/ticket", {signal})).text()});
new SessionGuard({url, room: "u1", session: "s1", share: true});
new SessionGuard({url, ticket: "a ticket", share: true});
new SessionGuard({url, ticket: "a ticket", room: "u1", session: "s1", share: true});

// @ts-expect-error
new SessionGuard();
// @ts-expect-error
new SessionGuard({room: "u1"});
// @ts-expect-error
new SessionGuard({url});
// @ts-expect-error
new SessionGuard({url, room: "u1", heartbeat: 5});

const guard = new SessionGuard({url, room: "u1"});
guard.addEventListener("joined", ({detail}) => {
  const {room, session, epoch, heartbeat}: {room: string; session: string; epoch: number; heartbeat: number} = detail;
  void [room, session, epoch, heartbeat];
});
guard.addEventListener("heartbeat", ({detail}) => new Date(detail.time));
guard.addEventListener("offline", ({detail}) => (detail.delay === null ? "put away" : detail.delay.toFixed()));
guard.addEventListener("error", ({detail}) => {
  const {code, message}: ErrorDetail = detail;
  void [code?.toFixed(), message.trim()];
});
guard.addEventListener("terminated", ({detail}) => [detail.reason.trim(), detail.detail?.["device"]], {once: true});
guard.addEventListener("terminated", ({detail}) => {
  const {title, details}: NoticeText = noticeText(detail, navigator.languages, guard.endedAt);
  for (const [label, text] of details) void `${title} ${label} ${text}`;
});
void noticeText({reason: "login", detail: null}).dir;
// @ts-expect-error
noticeText({reason: "login"}, "de");
guard.addEventListener("joined", {handleEvent: () => {}});
guard.removeEventListener("joined", null);
const states: Record<State, boolean> = {
  stopped: false, connecting: false, joined: true, offline: false, terminated: false, refused: false,
};
void states[guard.state];
void guard.session?.trim();
void guard.endedAt?.toISOString();
const transports: Record<Transport, boolean> = {websocket: true, events: false, polling: false};
if (guard.transport) void transports[guard.transport];
guard.start();
guard.wake();
guard.stop();
// @ts-expect-error
guard.state = "joined";

const element = document.createElement("session-guard");
element.ticket = async () => "a ticket";
void element.guard?.state;
element.addEventListener("joined", ({detail}) => detail.room.trim());
element.addEventListener("error", ({detail}) => detail.message.trim());
element.addEventListener("click", (event) => event.clientX);
element.addEventListener("session-expired", (event) => {
  event.preventDefault();
  void event.detail.reason.trim();
});
document.addEventListener("session-expired", ({detail}) => void detail.epoch?.toFixed());
