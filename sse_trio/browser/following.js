// The common part of the React hook and the Vue composable.

import {SessionGuard} from "./sse-trio.js";

/** The state before the start; a server renders it too. */
export const STOPPED = Object.freeze({state: "stopped", detail: null, transport: null});

/** Return a key: if it changes, a new guard is needed. All functions that get tickets count as the same. */
export function identify(options) {
  if (!options) return null;
  const {url, ticket, ...others} = options;
  return JSON.stringify({...others, url: String(url), ticket: typeof ticket === "function" || ticket});
}

/**
 * Start a guard; return a function that stops it. `latest` returns the present options and the function to call at a
 * termination; `tell` is called with each state.
 */
export function follow(latest, tell) {
  const {options} = latest();
  const source = options.ticket;
  const ticket = typeof source === "function" ? (attempt) => latest().options.ticket(attempt) : source;
  const guard = new SessionGuard({...options, ticket});
  for (const type of ["joined", "offline", "terminated", "error"]) {
    guard.addEventListener(type, ({detail}) => {
      tell({state: guard.state, detail, transport: guard.transport});
      if (type === "terminated") latest().onTerminated?.(detail);
    });
  }
  guard.start();
  tell({state: guard.state, detail: null, transport: guard.transport});
  return () => guard.stop();
}
