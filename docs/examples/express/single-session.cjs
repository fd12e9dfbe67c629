// One session per user, by the hub's REST API. Copy this file: `import` and `require` both take it.
const {randomBytes} = require("node:crypto");
const {setTimeout: sleep} = require("node:timers/promises");

const LOGIN = Symbol("login"); // Passport has request.login
class HubAway extends Error {}
let url, key, publicUrl, name, flags, waiting = 0;

async function ask(path, question, seconds = 2) { // the same question, until it is answered or the time is up
  const headers = {"Content-Type": "application/json", Authorization: `Bearer ${key}`}, body = JSON.stringify(question);
  const options = {method: "POST", redirect: "error", headers, body, signal: AbortSignal.timeout(seconds * 1000)};
  let cause;
  for (let pause = 50; !options.signal.aborted; await sleep(pause), pause *= 2) {
    const [status, answer] = await fetch(url + path, options).then(async (got) => [got.status, await got.json()]).catch((error) => [0, cause = error]);
    if (status === 200) return answer;
    if (status >= 400 && status < 500 && ![408, 429].includes(status)) throw new Error(`the hub answers ${path} with ${status}`);
  }
  throw new HubAway(`the hub does not answer ${path}`, {cause});
}
async function insist(work) { // again and again for an hour, while the hub is away; for at most a thousand at once
  for (let n = 0; n < 66; n++) {
    try { return await work(); } catch (error) { if (!(error instanceof HubAway) || waiting >= 1000) return console.error(error); }
    waiting++;
    await sleep(1000 * Math.min(2 ** n, 60), undefined, {ref: false}).finally(() => waiting--);
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
    this.response.set("Cache-Control", "private, no-cache");
    return `<script type="module" src="${publicUrl}/client.js"></script>
<session-guard src="${publicUrl}/ws" ticket="${this.answer.ticket}" share notice redirect="${encodeURI(this.redirect)}"></session-guard>`;
  }
  async logIn(user) { // false if a second click has ended this login already
    if (!["string", "number", "bigint"].includes(typeof user)) throw new TypeError("logIn takes the user's id");
    const room = String(user), session = randomBytes(24).toString("base64url"), isSame = this.user === room;
    const begin = async () => {
      const {token} = await ask("/notify", {room, sender: session, id: session, end: isSame ? [this.answer.session] : []}, 6);
      if (this.user && !isSame) await end(this.token); // another user was logged in
      return [token, await ask("/check", {token, renew: true})];
    };
    const [token, answer] = await begin().catch((error) => { // what has failed may have had its effect
      insist(() => ask("/release", {room, session}));
      throw error;
    });
    if (answer.active) this.response.cookie(name, token, flags); // otherwise the second click has set its own
    Object.assign(this, {token, answer});
    return answer.active;
  }
  async logOut() {
    this.response.clearCookie(name, flags);
    if (this.token) await end(this.token);
  }
}

function singleSession({logout = "/logout", redirect = "/"} = {}) {
  ({SSE_TRIO_URL: url, SSE_TRIO_KEY: key, SSE_TRIO_PUBLIC_URL: publicUrl = url} = process.env);
  if (!url || !key) throw new Error("SSE_TRIO_URL or SSE_TRIO_KEY is not set");
  const secure = process.env.PLAIN_HTTP !== "1";
  name = secure ? "__Host-sse_trio" : "sse_trio", flags = {httpOnly: true, sameSite: "lax", secure, path: "/"};
  async function read(request, response) {
    const [, token] = `; ${request.headers.cookie ?? ""}`.split(`; ${name}=`).map((rest) => rest.split(";")[0]);
    const isLogout = request.method === "POST" && request.path === logout; // it works while the hub is away
    const answer = token ? await ask("/check", {token, renew: true}).catch((error) => {
      if (isLogout && error instanceof HubAway) return {active: false};
      throw error;
    }) : {active: false};
    response.vary("Cookie");
    request[LOGIN] = new Login(response, token, answer, redirect);
    if (answer.active && isHalfOver(token)) response.cookie(name, answer.token, flags);
  }
  return (request, response, next) => { read(request, response).then(() => next(), next); };
}
function isHalfOver(token) { // RFC 7519, section 4.1
  const {iat, exp} = JSON.parse(Buffer.from(token.split(".")[1], "base64url"));
  return Date.now() / 1000 > (iat + exp) / 2;
}
const loginOf = (request) => request[LOGIN];
const hubAway = (error, request, response, next) => {
  if (!(error instanceof HubAway) || response.headersSent) return next(error);
  console.error(error);
  response.status(503).set("Retry-After", "1").send("Try again.");
};
module.exports = {singleSession, loginOf, hubAway};
