"""What the README of the Express example shows for other applications than the one beside it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from ..test_docs import fences
from .applications import EXAMPLES

EXPRESS = EXAMPLES / "express"

PACKAGES = {
    "express": "4.22.1",
    "express-session": "1.19.0",
    "passport": "0.7.0",
    "passport-local": "1.0.0",
}

# A hub to which the session of user 7 is active, and that refuses the login of all others.
HUB = """
const http = require("node:http");
const claims = Buffer.from(JSON.stringify({iat: 0, exp: 1})).toString("base64url");
const token = `head.${claims}.signature`;
const hub = http.createServer(async (request, response) => {
  let body = "";
  for await (const data of request) body += data;
  const {room = "7"} = JSON.parse(body);
  const answer = {active: true, room, session: "s1", token, ticket: "a-ticket"};
  response.writeHead(room === "7" ? 200 : 401).end(JSON.stringify(answer));
});
hub.listen(0, "127.0.0.1", () => {
  process.env.SSE_TRIO_URL = `http://127.0.0.1:${hub.address().port}`;
  process.env.SSE_TRIO_KEY = "a key";
  process.env.PLAIN_HTTP = "1";
  main();
});
"""

APPLICATION = """
const app = require("express")();
app.use(require("express").urlencoded({extended: false}));
app.use(require("express-session")({secret: "x", resave: false, saveUninitialized: false}));
app.use(singleSession(), passport.session());
const findUser = (id, done) => done(null, {id});
passport.serializeUser((user, done) => done(null, user.id));
passport.use(new (require("passport-local"))((username, password, done) => done(null, {id: 7})));
const read = (request, id) => new Promise((resolve, reject) =>
  passport.deserializeUser(id, request, (error, user) => error ? reject(error) : resolve(user)));
app.get("/users", caught(async (request, response) =>
  response.json([await read(request, 7), await read(request, "8")])));
app.post("/fails", caught(async (request) => { await loginOf(request).logIn(8); }));
app.post("/wrong", caught(async (request) => { await loginOf(request).logIn({id: 7}); }));
LOGIN
app.get("/", (request, response) => response.json(request.user ?? null));
app.use(hubAway);
app.use((error, request, response, next) => response.status(500).json(error.message));
const server = app.listen(0, "127.0.0.1", async () => {
  const origin = `http://127.0.0.1:${server.address().port}`;
  const answers = [];
  async function ask(path, options = {}) {
    const answer = await fetch(origin + path, {redirect: "manual", ...options});
    const text = await answer.text();
    const cookies = answer.headers.getSetCookie().map((cookie) => cookie.split(";")[0]);
    answers.push([answer.status, answer.headers.get("content-type")?.startsWith("application/json")
      ? JSON.parse(text) : cookies.map((cookie) => cookie.split("=")[0])]);
    return {headers: {cookie: cookies.join("; ")}};
  }
  await ask("/users", {headers: {cookie: `a=b; sse_trio=${token}; c=d`}});
  await ask("/users");
  await ask("/fails", {method: "POST"});
  await ask("/wrong", {method: "POST"});
  const form = new URLSearchParams({username: "ada", password: "x"});
  const {headers} = await ask("/login", {method: "POST", body: form});
  await ask("/", {headers});
  await ask("/", {headers: {cookie: headers.cookie.replace(/sse_trio=[^;]*/, "")}});
  console.log(JSON.stringify(answers));
  process.exit(0);
});
"""


def block(name: str) -> str:
    """Return what stands in the block of this name, as it stands there."""
    (found,) = [
        block.text
        for block in fences((EXPRESS / "README.md").read_text())
        if block.info == f"js {name}"
    ]
    return found


def test_the_blocks_run_with_require_with_passport_and_with_express_4(tmp_path: Path) -> None:
    shutil.copy(EXPRESS / "single-session.cjs", tmp_path)
    (tmp_path / "package.json").write_text(json.dumps({"dependencies": PACKAGES}))
    npm = ("npm", "install", "--silent", "--no-audit", "--no-fund", "--prefer-offline")
    subprocess.run(npm, cwd=tmp_path, check=True, timeout=120)
    blocks = [block("commonjs"), block("express 4"), block("passport")]
    passport = 'const passport = require("passport");'
    application = APPLICATION.replace("LOGIN", block("passport login"))
    text = [HUB, "function main() {", passport, *blocks, application, "}"]
    (tmp_path / "main.cjs").write_text("\n".join(text))
    run = subprocess.run(
        ["node", "main.cjs"], cwd=tmp_path, check=True, capture_output=True, timeout=60
    )
    assert json.loads(run.stdout) == [
        [200, [{"id": 7}, False]],  # of user 7, with a session that is active
        [200, [False, False]],  # without one
        [500, "the hub answers /notify with 401"],
        [500, "logIn takes the user's id"],
        [302, ["sse_trio", "connect.sid"]],
        [200, {"id": 7}],
        [200, None],  # Passport's session alone is worth nothing
    ]


def test_an_application_changes_at_most_fifteen_lines() -> None:
    changed = re.findall(r"// \d", (EXPRESS / "app.js").read_text())
    assert len(changed) == 11  # as the page says
    assert "they are on eleven lines." in (EXPRESS / "README.md").read_text()
