"""What the README of the Express example shows for other applications than the one beside it."""

import json
import re
import shutil
import subprocess
from pathlib import Path

from ..test_docs import fences
from .applications import EXAMPLES

EXPRESS = EXAMPLES / "express"

PACKAGES = {"express": "4.22.1", "passport": "0.7.0"}

# A hub to which the session of user 7 is active, and that refuses a login.
HUB = """
const http = require("node:http");
const hub = http.createServer((request, response) => {
  const isCheck = request.url === "/check";
  response.writeHead(isCheck ? 200 : 401).end(JSON.stringify({active: true, room: "7"}));
});
hub.listen(0, "127.0.0.1", () => {
  process.env.SSE_TRIO_URL = `http://127.0.0.1:${hub.address().port}`;
  process.env.PLAIN_HTTP = "1";
  main();
});
"""

APPLICATION = """
const app = require("express")().use(singleSession());
const findUser = (id, done) => done(null, {id});
const read = (request, id) => new Promise((resolve, reject) =>
  passport.deserializeUser(id, request, (error, user) => error ? reject(error) : resolve(user)));
app.get("/users", caught(async (request, response) =>
  response.json([await read(request, 7), await read(request, "8")])));
app.post("/login", caught(async (request) => { await loginOf(request).logIn(7); }));
app.use(hubAway);
app.use((error, request, response, next) => response.status(500).json(error.message));
const server = app.listen(0, "127.0.0.1", async () => {
  const origin = `http://127.0.0.1:${server.address().port}`;
  const asked = [["/users", {headers: {cookie: "a=b; sse_trio=a-token; c=d"}}],
                 ["/users", {}], ["/login", {method: "POST"}]];
  const answers = [];
  for (const [path, options] of asked) {
    answers.push(await (await fetch(origin + path, options)).json());
  }
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
    text = [HUB, "function main() {", passport, *blocks, APPLICATION, "}"]
    (tmp_path / "main.cjs").write_text("\n".join(text))
    run = subprocess.run(
        ["node", "main.cjs"], cwd=tmp_path, check=True, capture_output=True, timeout=60
    )
    assert json.loads(run.stdout) == [
        [{"id": 7}, False],  # of user 7, with a session that is active
        [False, False],  # without one
        "the hub answers /notify with 401",
    ]


def test_an_application_changes_at_most_fifteen_lines() -> None:
    changed = re.findall(r"// \d", (EXPRESS / "app.js").read_text())
    assert len(changed) == 11  # as the page says
    assert "They are on eleven lines." in (EXPRESS / "README.md").read_text()
