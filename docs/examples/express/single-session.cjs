// One session per user, by the hub's REST API. Copy this file: `import` and `require` both take it.
const {randomBytes} = require("node:crypto");
const {setTimeout: sleep} = require("node:timers/promises");

const {SSE_TRIO_URL: HUB, SSE_TRIO_KEY: KEY, SSE_TRIO_PUBLIC_URL: PUBLIC = HUB} = process.env;
const HTTPS = process.env.PLAIN_HTTP !== "1", COOKIE = HTTPS ? "__Host-sse_trio" : "sse_trio";
const FLAGS = {httpOnly: true, sameSite: "lax", secure: HTTPS, path: "/"};
const LOGIN = Symbol("login"); // Passport has request.login
class HubAway extends Error {}

async function ask(path, question, seconds = 2) { // the same question, until it is answered or the time is up
  const headers = {"Content-Type": "application/json", Authorization: `Bearer ${KEY}`}, body = JSON.stringify(question);
  const options = {method: "POST", redirect: "error", headers, body, signal: AbortSignal.timeout(seconds * 1000)};
  for (; !options.signal.aborted; await sleep(100)) {
    const [status, answer] = await fetch(HUB + path, options).then(async (got) => [got.status, await got.json()]).catch(() => [0]);
    if (status === 200) return answer;
    if (status >= 400 && status < 500 && ![408, 429].includes(status)) throw new Error(`the hub answers ${path} with ${status}`);
  }
  throw new HubAway(`the hub does not answer ${path}`);
}
async function insist(work) { // again and again for an hour, while the hub is away
  for (let n = 0; n < 66; n++, await sleep(1000 * Math.min(2 ** n, 60))) {
    try { return await work(); } catch (error) { if (!(error instanceof HubAway)) return console.error(error); }
  }
}

const end = (token) => Promise.race([sleep(2000), insist(async () => { // the hub knows whose it is
  const {active, room, session, epoch} = await ask("/check", {token});
  if (active) await ask("/release", {room, session, epoch});
})]);

class Login {
  constructor(response, token, answer, redirect) { Object.assign(this, {response, token, answer, redirect}); }
  get user() { return this.answer.active ? this.answer.room : undefined; } // always text
  guard() { // HTML, for every page behind the login
    return `<script type="module" src="${PUBLIC}/client.js"></script>
<session-guard src="${PUBLIC}/ws" ticket="${this.answer.ticket}" share notice redirect="${this.redirect}"></session-guard>`;
  }
  async logIn(user) { // false if a second click has ended this login already
    const room = String(user), session = randomBytes(24).toString("base64url"), isSame = this.user === room;
    const notify = ask("/notify", {room, sender: session, id: session, end: isSame ? [this.answer.session] : []}, 6);
    notify.catch(() => insist(() => ask("/release", {room, session}))); // what has failed may have had its effect
    const {token} = await notify;
    if (this.user && !isSame) await end(this.token); // another user was logged in
    const {active} = await ask("/check", {token}).catch(() => ({active: true}));
    if (active) this.response.cookie(COOKIE, token, FLAGS); // otherwise the second click has set its own
    return active;
  }
  async logOut() {
    this.response.clearCookie(COOKIE, FLAGS);
    if (this.token) await end(this.token);
  }
}

const singleSession = ({logout = "/logout", redirect = "/"} = {}) => (request, response, next) => {
  const [, token] = `; ${request.headers.cookie ?? ""}`.split(`; ${COOKIE}=`).map((rest) => rest.split(";")[0]);
  const asked = token && request.path !== logout ? ask("/check", {token, renew: true}) : Promise.resolve({active: false});
  response.vary("Cookie");
  asked.then((answer) => { request[LOGIN] = new Login(response, token, answer, redirect); next(); }, next);
};
const loginOf = (request) => request[LOGIN];
const hubAway = (error, request, response, next) =>
  error instanceof HubAway ? response.status(503).set("Retry-After", "1").send("Try again.") : next(error);
module.exports = {singleSession, loginOf, hubAway};
