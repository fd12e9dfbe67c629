"""What the demo answers, without a browser."""

import json
import re
import socket
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

import h2.connection
import h2.events
import pytest
import trio

import sse_trio
from sse_trio.auth import Authority, Settings
from sse_trio.demo.app import MAX_BODY, make_app
from sse_trio.demo.users import Users

from ..browser.forked import DEADLINE
from .conftest import NewClient, StartDemo
from .processes import PASSWORDS, Client

FORM = "application/x-www-form-urlencoded"


# -- who gets in ------------------------------------------------------------------------


def test_the_pages_lead_to_where_one_belongs(client: Client) -> None:
    answer = client.get("/")
    assert (answer.status, answer.headers["Location"]) == (303, "/login")
    assert client.get("/login").status == 200
    assert client.login().status == 204
    answer = client.get("/login")
    assert (answer.status, answer.headers["Location"]) == (303, "/")
    assert client.get("/").status == 200


@pytest.mark.parametrize(
    ("user", "password"), [("ada", "wrong"), ("ada", ""), ("nobody", "wrong"), ("", "")]
)
def test_who_does_not_know_the_password(client: Client, user: str, password: str) -> None:
    answer = client.login(user, password=password)
    assert answer.status == 401
    # Nothing tells whether there is such a user.
    assert answer.json == {"detail": "There is no such user, or the password is wrong."}
    assert client.cookies == {}


LOGIN = {"user": "ada", "password": PASSWORDS["ada"], "remember": False}


@pytest.mark.parametrize(
    ("body", "media_type", "status"),
    [
        (b"{", "application/json", 400),
        (b"", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"null", "application/json", 400),
        (b'{"user": "ada", "user": "grace"}', "application/json", 400),
        (b'{"user": "ada", "password": "\\ud800", "remember": false}', "application/json", 400),
        (b"\xff", "application/json", 400),
        (json.dumps(LOGIN | {"user": 1}).encode(), "application/json", 400),
        (json.dumps(LOGIN | {"remember": "no"}).encode(), "application/json", 400),
        (json.dumps({"user": "ada", "password": "x"}).encode(), "application/json", 400),
        (b" " * (MAX_BODY + 1), "application/json", 413),
        (json.dumps(LOGIN).encode(), "text/plain", 415),
        (json.dumps(LOGIN).encode(), FORM, 415),
        (b"user=ada", FORM, 415),
    ],
)
def test_what_is_no_login(client: Client, body: bytes, media_type: str, status: int) -> None:
    answer = client.request("POST", "/login", body, Content_Type=media_type)
    assert answer.status == status
    assert list(answer.json) == ["detail"]
    assert client.cookies == {}


@pytest.mark.parametrize("site", ["cross-site", "same-site", "none"])
def test_no_other_site_logs_anybody_in(client: Client, site: str) -> None:
    assert client.post("/login", LOGIN, Sec_Fetch_Site=site).status == 403
    assert client.post("/login", LOGIN, Sec_Fetch_Site="same-origin").status == 204


@pytest.mark.parametrize("path", ["/api/me", "/api/sessions"])
def test_who_has_not_logged_in_is_told_nothing(client: Client, path: str) -> None:
    answer = client.get(path)
    assert (answer.status, answer.json) == (401, {"detail": "Please log in."})


POSTS = ["/logout", "/api/sessions/end", "/api/keys"]


@pytest.mark.parametrize("csrf", [{"X_CSRF_Token": "wrong"}, {"X_CSRF_Token": ""}, {}], ids=str)
@pytest.mark.parametrize("path", POSTS)
def test_without_the_csrf_token_nothing_changes(
    client: Client, path: str, csrf: dict[str, str]
) -> None:
    client.login("radia")
    fields = {"Content_Type": "application/json"} | csrf
    assert client.request("POST", path, b'{"session": "others"}', **fields).status == 401
    assert client.get("/api/me").status == 200


@pytest.mark.parametrize("path", POSTS)
def test_nothing_is_changed_by_a_get(client: Client, path: str) -> None:
    client.login()
    assert client.get(path).status == 405
    assert client.get("/api/me").status == 200


# -- what there is to see ---------------------------------------------------------------


def test_who_am_i(client: Client) -> None:
    client.login("grace", remember=True)
    said = client.get("/api/me").json
    assert said.pop("created") == said.pop("checked")
    (session,) = client.get("/api/sessions").json
    assert said == {
        "user": "grace",
        "name": "Grace Hopper",
        "session": session["session"],
        "remembered": True,
        "asked": False,
    }


def test_what_the_list_says_of_a_session(client: Client) -> None:
    client.post("/login", LOGIN, User_Agent="Mozilla/5.0 (Windows NT 10.0) Firefox/143.0")
    (session,) = client.get("/api/sessions").json
    assert session.pop("session")
    assert session.pop("created") == session.pop("seen")
    assert session == {
        "browser": "Firefox on Windows",
        "address": "127.0.0.1",
        "remembered": False,
        "this": True,
    }


def test_a_page_says_what_browsers_are_not_to_do(client: Client) -> None:
    client.login()
    headers = client.get("/").headers
    policy = dict(part.split(" ", 1) for part in headers["Content-Security-Policy"].split("; "))
    assert {policy[name] for name in ("default-src", "frame-ancestors", "form-action")} == {
        "'none'"
    }
    assert re.fullmatch(r"'self' http://127\.0\.0\.1:\d+/client\.js", policy["script-src"])
    assert re.fullmatch(r"'self' ws://(127\.0\.0\.1:\d+) http://\1/events", policy["connect-src"])
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Referrer-Policy"] == "no-referrer"
    assert headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("host", "shown"),
    [
        ("localhost:8000", "localhost"),
        ("192.0.2.1", "192.0.2.1"),
        ("[::1]:8000", "[::1]"),
        ("evil; script-src *", "evil"),
        ('"><script>', "localhost"),
        ("", "localhost"),
    ],
)
def test_the_host_is_the_one_that_the_browser_knows(client: Client, host: str, shown: str) -> None:
    client.login()
    answer = client.get("/", Host=host)
    # A policy cannot name an address of IPv6.
    named = "*" if shown == "[::1]" else shown
    assert f" ws://{named}:" in answer.headers["Content-Security-Policy"]
    assert f'"http://{shown}:'.encode() in answer.body
    assert b"<script>" not in answer.body


# -- what there is to do ----------------------------------------------------------------


def test_a_logout_of_a_login_that_has_ended_ends_nothing(new_client: NewClient) -> None:
    old, new = new_client(), new_client()
    old.login()
    session = old.get("/api/me").json["session"]
    new.login()
    # As the guard of the old page does, with the old cookies, and with the new ones.
    for client in (old, new):
        before = dict(client.cookies)
        body = f"session={session}&reason=login".encode()
        answer = client.request("POST", "/logout", body, Content_Type=FORM, X_CSRF_Token=old.csrf)
        assert answer.status == 204
        assert answer.headers["Set-Cookie"] is None
        assert client.cookies == before
    assert old.get("/api/me").status == 401
    assert new.get("/api/me").status == 200


@pytest.mark.parametrize("body", [b"", b"session=", b"session=\xff", b"%ff=%ff", b"&&&="], ids=repr)
def test_a_guards_logout_is_always_answered_the_same(client: Client, body: bytes) -> None:
    for _ in range(2):
        answer = client.request(
            "POST", "/logout", body, Content_Type=FORM, X_CSRF_Token=client.csrf
        )
        assert (answer.status, answer.body) == (204, b"")
        client.login()
    assert client.get("/api/me").status == 200


def test_a_guards_logout_ends_its_own_login(client: Client) -> None:
    client.login()
    session = client.get("/api/me").json["session"]
    body = f"session={session}&reason=login".encode()
    client.request("POST", "/logout", body, Content_Type=FORM, X_CSRF_Token=client.csrf)
    assert client.cookies == {}


@pytest.mark.parametrize("wanted", [{}, {"session": 1}, {"session": None}, [], "others"], ids=str)
def test_what_is_no_session(client: Client, wanted: object) -> None:
    client.login()
    assert client.post("/api/sessions/end", wanted).status == 400


def test_nobody_ends_the_sessions_of_others(new_client: NewClient) -> None:
    ada, grace = new_client(), new_client()
    ada.login("ada")
    grace.login("grace")
    session = ada.get("/api/me").json["session"]
    assert grace.post("/api/sessions/end", {"session": session}).status == 404
    assert grace.post("/api/sessions/end", {"session": "others"}).status == 204
    assert ada.get("/api/me").status == 200


def test_new_keys_are_for_an_administrator(new_client: NewClient) -> None:
    ada, radia = new_client(), new_client()
    ada.login("ada")
    radia.login("radia")
    assert ada.post("/api/keys", {}).status == 403
    assert radia.get("/api/me").status == 200
    assert radia.post("/api/keys", {}).status == 204
    assert [client.get("/api/me").status for client in (ada, radia)] == [401, 401]
    assert b"there are new keys" in ada.get("/login").body


def test_no_secret_is_in_what_the_process_writes(start_demo: StartDemo) -> None:
    demo = start_demo("--log-level", "debug")
    clients = [Client(demo.port) for _ in range(2)]
    secrets = {"a wrong password"}
    for client in clients:
        client.login(password="a wrong password")
        client.login(remember=True)
        secrets |= {*client.cookies.values(), client.csrf, client.get("/api/me").json["session"]}
        found = re.search(rb'ticket="([^"]+)"', client.get("/").body)
        assert found
        secrets.add(found[1].decode())
        client.get("/api/me?poll")
    clients[0].get("/")
    clients[1].post("/logout", {})
    # HTTP/2 has libraries of its own, whose level is not ours to set.
    assert _status_by_http2(clients[0], "/api/me") == 401
    assert demo.end() == 0
    assert len(secrets) == 11
    assert not [secret for secret in secrets if secret in demo.output + demo.log]


def _status_by_http2(client: Client, path: str) -> int:
    """GET by HTTP/2, with prior knowledge (RFC 9113, section 3.3), and with all the secrets."""
    http = h2.connection.H2Connection()
    http.initiate_connection()
    fields = [(":method", "GET"), (":scheme", "http"), (":authority", "test"), (":path", path)]
    fields += [("cookie", "=".join(pair)) for pair in client.cookies.items()]
    http.send_headers(1, [*fields, ("x-csrf-token", client.csrf)], end_stream=True)
    with socket.create_connection(("127.0.0.1", client.port), DEADLINE) as stream:
        while True:
            stream.sendall(http.data_to_send())
            data = stream.recv(65536)
            assert data
            for event in http.receive_data(data):
                if isinstance(event, h2.events.ResponseReceived):
                    return int(dict(event.headers)[b":status"])


def test_who_leaves_in_the_middle_is_not_reported(start_demo: StartDemo) -> None:
    demo = start_demo()
    with socket.create_connection(("127.0.0.1", demo.port), DEADLINE) as leaving:
        leaving.sendall(
            b"POST /login HTTP/1.1\r\nHost: test\r\nContent-Type: application/json\r\n"
            b"Content-Length: 100\r\n\r\n{"
        )
        leaving.shutdown(socket.SHUT_WR)
        while leaving.recv(4096):
            pass
    assert Client(demo.port).login().status == 204
    assert demo.end() == 0
    assert "ERROR" not in demo.log


# -- what does not happen to a demo of its own accord -----------------------------------


async def ask(app: Any, path: str, value: object) -> tuple[int, Any]:
    """POST to an ASGI application; return the status and the answer."""
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": json.dumps(value).encode()}

    async def send(message: dict[str, Any]) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": path,
        "query_string": b"",
        "headers": [(b"content-type", b"application/json")],
    }
    await app(scope, receive, send)
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], json.loads(body) if body else None


def test_who_may_not_log_in_now() -> None:
    async def run() -> list[tuple[int, Any]]:
        async with trio.open_nursery() as nursery:
            config = sse_trio.Config(port=0, authkey="k" * 16, at_limit="refuse-new")
            hub = await nursery.start(partial(sse_trio.serve, config))
            authority = await Authority.open(hub, Settings(https=False))
            app = make_app(authority, await Users.of(), hub)
            answers = [await ask(app, "/login", LOGIN) for _ in range(2)]
            hub.drain()
            return [*answers, await ask(app, "/login", LOGIN)]

    with ThreadPoolExecutor(1) as pool:
        answers = pool.submit(trio.run, run).result()
    assert answers == [
        (204, None),
        (409, {"detail": "You are logged in on the largest number of devices allowed."}),
        (503, {"detail": "That cannot be done now. Please try again."}),
    ]
