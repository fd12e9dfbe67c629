// An Express application with a login. What is about single sessions has a number: README.md.
import {randomBytes} from "node:crypto"; // 3
import {setTimeout as sleep} from "node:timers/promises"; // 1
import cookieParser from "cookie-parser"; // 2
import express from "express";

const {SSE_TRIO_URL: HUB, SSE_TRIO_KEY: KEY, SSE_TRIO_PUBLIC_URL: PUBLIC = HUB} = process.env; // 1
const HTTPS = process.env.PLAIN_HTTP !== "1", COOKIE = HTTPS ? "__Host-sse_trio" : "sse_trio"; // 1
const FLAGS = {httpOnly: true, sameSite: "lax", secure: HTTPS, path: "/"}; // 1
class HubAway extends Error {} // 1
async function ask(path, question, seconds = 2) { // 1: the same question, until it is answered or the time is up
  const headers = {"Content-Type": "application/json", Authorization: `Bearer ${KEY}`}, body = JSON.stringify(question);
  const options = {method: "POST", redirect: "error", headers, body, signal: AbortSignal.timeout(seconds * 1000)};
  for (; !options.signal.aborted; await sleep(100)) {
    const [status, answer] = await fetch(HUB + path, options).then(async (got) => [got.status, await got.json()]).catch(() => [0]);
    if (status === 200) return answer;
    if (status >= 400 && status < 500 && ![408, 429].includes(status)) throw new Error(`the hub answers ${path} with ${status}`);
  }
  throw new HubAway(`the hub does not answer ${path}`);
}
async function insist(work) { // 1: again and again for an hour, while the hub is away
  for (let n = 0; n < 66; n++, await sleep(1000 * Math.min(2 ** n, 60))) {
    try { return await work(); } catch (error) { if (!(error instanceof HubAway)) return console.error(error); }
  }
}
const end = (token) => Promise.race([sleep(2000), insist(async () => { // 1: whose login it is, the hub knows
  const {active, room, session, epoch} = await ask("/check", {token});
  if (active) await ask("/release", {room, session, epoch});
})]);

const app = express().use(express.urlencoded({extended: false}));
app.use(cookieParser(), async (request, response, next) => { // 2
  const token = request.path === "/logout" ? undefined : request.cookies[COOKIE];
  request.login = token ? await ask("/check", {token, renew: true}) : {active: false};
  response.vary("Cookie"); next();
});
const USERS = new Map([["ada", "analytical engine"], ["grace", "first compiler"]]); // your table of users
const FORM = `<!doctype html><form method="post"><input name="username"><input name="password" type="password"><button>Log in</button></form>`;
const page = ({room, ticket}) => `<!doctype html><script type="module" src="${PUBLIC}/client.js"></script>
<session-guard src="${PUBLIC}/ws" ticket="${ticket}" share notice redirect="/"></session-guard><h1>Hello ${room}</h1>
<form method="post" action="/logout" onsubmit="document.querySelector('session-guard').remove()"><button>Log out</button></form>`; // 4
app.get("/", ({login}, response) => login.active ? response.send(page(login)) : response.redirect("/login"));
app.get("/login", (request, response) => response.send(FORM));
app.post("/login", async ({body, cookies, login}, response) => {
  const {username: room, password} = body ?? {};
  if (!USERS.has(room) || USERS.get(room) !== password) return response.status(401).send(FORM);
  const session = randomBytes(24).toString("base64url"), isSame = login.active && login.room === room; // 3
  const notify = ask("/notify", {room, sender: session, id: session, end: isSame ? [login.session] : []}, 6); // 3
  notify.catch(() => insist(() => ask("/release", {room, session}))); // 3: what has failed may have had its effect
  const {token} = await notify; // 3
  if (login.active && !isSame) await end(cookies[COOKIE]); // 3: another user was logged in
  const {active} = await ask("/check", {token}).catch(() => ({active: true})); // 3: a second click may have ended it, and has set its own
  (active ? response.cookie(COOKIE, token, FLAGS) : response).redirect("/"); // 3
});
app.post("/logout", async ({cookies}, response) => {
  if (cookies[COOKIE]) await end(cookies[COOKIE]); // 5
  response.clearCookie(COOKIE, FLAGS).redirect("/login"); // 5
});
app.use((error, request, response, next) => error instanceof HubAway ? response.status(503).set("Retry-After", "1").send("Try again.") : next(error)); // 6
app.listen(process.env.PORT ?? 5000, "127.0.0.1");
