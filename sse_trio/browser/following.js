// What the React hook and the Vue composable have in common.

import {SessionGuard} from "./sse-trio.js";

/** Nothing has begun; also what a server renders. */
export const STOPPED = Object.freeze({state: "stopped", detail: null});

/** Return what makes a guard another one. A function that gets tickets is the same, whichever it is. */
export function identify(options) {
  if (!options) return null;
  const {url, ticket, ...others} = options;
  return JSON.stringify({...others, url: String(url), ticket: typeof ticket === "function" || ticket});
}

/**
 * Start a guard; return how to stop it. `latest` returns the present options and what is to be
 * called at a termination; `tell` is called with each state.
 */
export function follow(latest, tell) {
  const {options} = latest();
  const source = options.ticket;
  const ticket = typeof source === "function" ? (attempt) => latest().options.ticket(attempt) : source;
  const guard = new SessionGuard({...options, ticket});
  for (const type of ["joined", "offline", "terminated", "error"]) {
    guard.addEventListener(type, ({detail}) => {
      tell({state: guard.state, detail});
      if (type === "terminated") latest().onTerminated?.(detail);
    });
  }
  guard.start();
  tell({state: guard.state, detail: null});
  return () => guard.stop();
}
