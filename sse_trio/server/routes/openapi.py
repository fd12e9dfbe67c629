"""The REST API as OpenAPI 3.1 describes it.

The WebSocket is not in it, because OpenAPI cannot describe one, nor is the operator's page.
"""

import functools
import http
from importlib.metadata import version
from typing import Final

from ... import strict_json
from ...config import Config
from ...core.notify import MAX_ID
from ...core.problems import PREFIX, STATUSES
from .schemas import COUNT, TEXT, Schema, answers, ref, requests

# The problems of any request, of one that has a body, and of one that needs the key.
_ANY: Final = ("malformed", "timed-out", "head-too-large", "internal-error")
_BODY: Final = (*_ANY, "body-too-large", "expectation-failed", "coding-not-implemented")
_KEYED: Final = (
    *_BODY,
    "unauthorized",
    "too-many-wrong-keys",
    "length-required",
    "unsupported-media-type",
    "not-found",
    "loading",
)

_HEADERS: Final[dict[int, dict[str, Schema]]] = {
    401: {"WWW-Authenticate": {"schema": {"const": "Bearer"}, "required": True}},
    429: {"Retry-After": {"schema": COUNT, "required": True}},
    503: {"Retry-After": {"schema": COUNT, "required": True}},
}


_IDEMPOTENCY_KEY: Final[Schema] = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "The same as `id` in the body; quoted or bare",
    # The quotes count too.
    "schema": TEXT | {"minLength": 1, "maxLength": MAX_ID + 2},
}


def _content(media: str, schema: Schema) -> Schema:
    return {"content": {media: {"schema": schema}}}


def _problems(*kinds: str) -> Schema:
    """Describe the answers of these kinds, by status."""
    responses: Schema = {}
    for status in sorted({STATUSES[kind] for kind in kinds}):
        first, *more = those = [kind for kind in kinds if STATUSES[kind] == status]
        shared = {"$ref": f"#/components/responses/{first}"}
        responses[str(status)] = _problem(*those) if more else shared
    return responses


def _problem(*kinds: str) -> Schema:
    """Describe the answer of one of these kinds, which have one status."""
    status = STATUSES[kinds[0]]
    types = [f"{PREFIX}{kind}" for kind in kinds]
    told = {"properties": {"type": {"enum": types}, "status": {"const": status}}}
    return {
        "description": http.HTTPStatus(status).phrase,
        **({"headers": _HEADERS[status]} if status in _HEADERS else {}),
        **_content("application/problem+json", {"allOf": [ref("Problem"), told]}),
    }


def _keyed(
    name: str, summary: str, body: Schema, answer: Schema, *more: str, **rest: object
) -> Schema:
    """Describe a POST that needs the key."""
    ok = {"description": "Done", **_content("application/json", answer)}
    operation = {
        "operationId": name,
        "summary": summary,
        "security": [{"authkey": []}],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": ok, **_problems(*_KEYED, *more)},
        **rest,
    }
    return {"post": operation}


def _json(name: str) -> Schema:
    return {"application/json": {"schema": ref(name)}}


def _page(
    name: str, summary: str, media: str, *more: str, schema: Schema = TEXT, **responses: Schema
) -> Schema:
    """Describe a GET; HEAD is the same without a body."""
    ok = {"description": "OK", **_content(media, schema)}
    operation = {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": ok, **responses, **_problems(*_BODY, *more)},
    }
    return {"get": operation}


def _paths(config: Config) -> Schema:
    plain = {"description": "Not ready", **_content("text/plain", TEXT)}
    known = {"304": {"description": "The client has this version"}}
    pages = {
        "/": _page("index", "A page that describes the server", "text/html"),
        "/client.js": _page("client", "The browser client", "text/javascript", **known),
        "/healthz": _page("alive", "Whether the process serves", "text/plain"),
        "/readyz": _page(
            "ready", "Whether it accepts requests", "text/plain", "not-found", **{"503": plain}
        ),
        "/metrics": _page("metrics", "Prometheus's text format", "text/plain", "not-found"),
        "/openapi.json": _page(
            "openapi", "This", "application/json", "not-found", schema={"type": "object"}
        ),
    }
    if not config.metrics:
        del pages["/metrics"]
    form = {"application/x-www-form-urlencoded": {"schema": ref("Introspection")}}
    checked = {"anyOf": [ref("Checked"), ref("Introspected")]}
    full = ("id-used", "login-ended", "limit-reached")
    late = ("draining", "not-current", "not-durable")
    return {
        "/notify": _keyed(
            "notify",
            "A session has logged in; the others end",
            _json("Notify"),
            ref("Announced"),
            *full,
            *late,
            parameters=[_IDEMPOTENCY_KEY],
        ),
        "/release": _keyed(
            "release", "A session has logged out", _json("Release"), ref("Announced"), *late
        ),
        "/check": _keyed(
            "check",
            "Whether sessions are active (as a form: RFC 7662)",
            _json("Check") | form,
            checked,
            "not-current",
        ),
        "/sessions": _keyed(
            "sessions",
            "The active sessions of a room",
            _json("RoomQuestion"),
            ref("Room"),
            "not-current",
        ),
        "/statistics": _keyed(
            "statistics", "What this hub has counted", _json("Question"), ref("Statistics")
        ),
        "/decisions": _keyed(
            "decisions",
            "What this hub has decided last",
            _json("DecisionsQuestion"),
            ref("Decisions"),
        ),
        "/verify": {"get": _verify()},
        "/events": {"post": _events(config)},
        **pages,
    }


def _verify() -> Schema:
    headers = {"X-Session-Room": TEXT, "X-Session-Id": TEXT, "X-Session-Epoch": COUNT}
    told = {name: {"schema": schema, "required": True} for name, schema in headers.items()}
    allowed = _content("application/json", ref("Allowed"))
    reason = {"X-Session-Reason": {"schema": TEXT, "required": True}}
    refused = {"headers": _HEADERS[401] | reason}
    problems = _problems(*_ANY, "coding-not-implemented", "loading", "not-current")
    responses = problems | {"401": _problem("not-standing") | refused}
    return {
        "operationId": "verify",
        "summary": "Whether a request may pass, for a proxy: any method, and any path below",
        "security": [{"cookie": []}, {"token": []}],
        "responses": {
            "200": {"description": "The request may pass", "headers": told, **allowed},
            **responses,
        },
    }


def _events(config: Config) -> Schema:
    named = {"Access-Control-Allow-Origin": {"schema": TEXT}, "Vary": {"schema": TEXT}}
    problems = _problems(
        *_BODY,
        "unsupported-media-type",
        "origin-refused",
        "not-found",
        "loading",
        "draining",
    )
    return {
        "operationId": "events",
        "summary": "A page joins, and the answer is its event stream; or it says something to it",
        "security": [],
        "parameters": [
            {
                "name": "wait",
                "in": "query",
                "description": "The answer ends with its first message, after so many seconds",
                "schema": {"type": "integer", "minimum": 0, "maximum": 9999},
            }
        ],
        "requestBody": {
            "required": True,
            "content": {"text/plain": {"schema": TEXT | {"maxLength": config.max_message}}},
        },
        "responses": {
            "200": {
                "description": "It may have joined; the stream says so",
                "headers": named,
                **_content("text/event-stream", TEXT),
            },
            "204": {"description": "The stream has heard it", "headers": named},
            **problems,
        },
    }


@functools.lru_cache(1)
def document(config: Config) -> bytes:
    """Return the JSON text for a server with this configuration."""
    bearer = {"type": "http", "scheme": "bearer"}
    described = {
        "openapi": "3.1.0",
        "info": {
            "title": "sse_trio",
            "version": version("sse-trio"),
            "summary": "One session per user: a login on a new device ends every other one",
            "license": {"name": "MIT", "identifier": "MIT"},
        },
        "paths": _paths(config),
        "components": {
            "schemas": requests(config) | answers(),
            "responses": {kind: _problem(kind) for kind in STATUSES},
            "securitySchemes": {
                "authkey": bearer | {"description": "The application servers' key"},
                "token": bearer | {"description": "A login's token"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": config.token_cookie},
            },
        },
    }
    return strict_json.dumps(described).encode()
