import {createElement, useState} from "react";
import {createRoot} from "react-dom/client";
import {renderToString} from "react-dom/server";
import {useSessionGuard} from "sse-trio/react";

function App({url}) {
  const [session, setSession] = useState("s1");
  const {state, detail, transport} = useSessionGuard(session && {url, room: "u1", ticket: null, session}, ({reason}) => {
    window.reason = reason;
  });
  return createElement("p", {onClick: () => setSession(session === "s1" ? "s2" : null)}, `${session} ${state} ${detail?.epoch} ${transport}`);
}

export const render = (url) => renderToString(createElement(App, {url}));
export const run = (url, at) => createRoot(at).render(createElement(App, {url}));
