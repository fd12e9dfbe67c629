// Single sessions for a Next.js application. A number is a step of README.md.
import {setTimeout as sleep} from "node:timers/promises";
import {cookies} from "next/headers";

const {SSE_TRIO_URL: HUB, SSE_TRIO_KEY: KEY, SSE_TRIO_PUBLIC_URL = HUB} = process.env, HTTPS = process.env.PLAIN_HTTP !== "1"; // 1
const COOKIE = HTTPS ? "__Host-sse_trio" : "sse_trio", FLAGS = {httpOnly: true, sameSite: "lax", secure: HTTPS, path: "/"}; // 1

class HubAway extends Error {} // 1
async function ask(path, question, seconds = 2) { // 1: the same question, until it is answered or the time is up
  const headers = {"Content-Type": "application/json", Authorization: `Bearer ${KEY}`}, body = JSON.stringify(question);
  const options = {method: "POST", redirect: "error", cache: "no-store", headers, body, signal: AbortSignal.timeout(seconds * 1000)};
  for (; !options.signal.aborted; await sleep(100)) {
    const [status, answer] = await fetch(HUB + path, options).then(async (got) => [got.status, await got.json()]).catch(() => [0]);
    if (status === 200) return answer;
    if (status >= 400 && status < 500 && ![408, 429].includes(status)) throw new Error(`the hub answers ${path} with ${status}`);
  }
  throw new HubAway(`the hub does not answer ${path}`);
}

const insist = (work, n = 0) => work().catch((error) => error instanceof HubAway && n < 66 // 1: for an hour
  ? sleep(1000 * Math.min(2 ** n, 60)).then(() => insist(work, n + 1)) : console.error(error));
const release = ({active, room, session, epoch}) => active && ask("/release", {room, session, epoch}); // 1
const end = (token) => token && Promise.race([sleep(2000), insist(() => ask("/check", {token}).then(release))]); // 1

const check = (token) => token ? ask("/check", {token, renew: true}) : {active: false}; // 2
export const currentLogin = async () => check((await cookies()).get(COOKIE)?.value); // 2

export async function logIn(room) { // 3
  const jar = await cookies(), before = await currentLogin(), isSame = before.active && before.room === room;
  const session = crypto.randomUUID(), wanted = {room, sender: session, id: session, end: isSame ? [before.session] : []};
  const undo = (error) => insist(() => ask("/release", {room, session})) && Promise.reject(error); // it may have had its effect
  const {token} = await ask("/notify", wanted, 6).catch(undo);
  if (before.active && !isSame) await end(jar.get(COOKIE).value); // another user was logged in
  const {active} = await ask("/check", {token}).catch(() => ({active: true})); // a second click may have ended it
  if (active) jar.set(COOKIE, token, FLAGS);
}

export async function logOut() { // 5
  const jar = await cookies();
  await end(jar.get(COOKIE)?.value);
  jar.set(COOKIE, "", {...FLAGS, maxAge: 0});
}

export {SSE_TRIO_PUBLIC_URL as hub}; // 4
export const to = (path) => new Response(null, {status: 303, headers: {Location: path}});

export function orAway(error) { // 6
  if (!(error instanceof HubAway)) throw error;
  return new Response("Try again.", {status: 503, headers: {"Retry-After": "1"}});
}
