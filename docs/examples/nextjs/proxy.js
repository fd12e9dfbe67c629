import {currentLogin, orAway} from "./sse_trio.js";

export const config = {matcher: ["/((?!_next/|login$|logout$).*)"]}; // 2

export const proxy = ({url}) => currentLogin().then( // 2
  ({active}) => active ? undefined : Response.redirect(new URL("/login", url))).catch(orAway);
