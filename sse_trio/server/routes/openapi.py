"""What can be asked over REST, as a machine reads it: OpenAPI 3.1.

The limits are those of the code, and of the configuration. The WebSocket is not in it: OpenAPI
has no words for that.
"""

import functools
import http
from importlib.metadata import version
from typing import Any, Final, get_args

from ... import strict_json
from ...config import Config
from ...core import notify
from ...core.messages import MAX_NAME
from ...core.problems import PREFIX, STATUSES
from ...core.questions import MAX_CHECKS
from ...core.tokens import MAX_EPOCH

Schema = dict[str, Any]

_COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
_TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_SECONDS: Final[Schema] = {"type": "number", "minimum": 0, "description": "Unix time in seconds"}
_OBJECT: Final[Schema] = {"type": ["object", "null"]}
_EPOCH: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": MAX_EPOCH}
_EPOCH_OR_NULL: Final[Schema] = _EPOCH | {"type": ["integer", "null"]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


def _named(properties: Schema, *optional: str) -> Schema:
    """Describe an object, whose members are there unless they are `optional`."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _asked(required: list[str], **properties: Schema) -> Schema:
    """Describe the body of a request that needs the key."""
    key = _TEXT | {"description": "The authkey, where it is not in the Authorization"}
    return {"type": "object", "required": required, "properties": properties | {"key": key}}


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


# A whole number is taken as its decimal digits. No control characters.
_NAME: Final[Schema] = {
    "type": ["string", "integer"],
    "minLength": 1,
    "maxLength": MAX_NAME,
    "pattern": r"^[^\u0000-\u001f\u007f-\u009f]*$",
}
_REASON: Final[Schema] = {
    "type": "string",
    "maxLength": notify.MAX_REASON,
    "description": "Printable characters",
}
_WAIT: Final[Schema] = {
    "type": "number",
    "minimum": 0,
    "maximum": notify.MAX_WAIT,
    "default": 0,
    "description": "Seconds to hold the answer until every terminated member has acknowledged",
}


def _requests(config: Config) -> Schema:
    """Describe what is asked."""
    return {
        "Name": _NAME,
        "Notify": _asked(
            ["room"],
            room=_ref("Name"),
            sender=_or_null(_ref("Name"))
            | {
                "description": "The session that stays; left out, the one that joined last; or none"
            },
            end=_list(_ref("Name"), maxItems=notify.MAX_END)
            | {"description": "Sessions that end in any case, and not the sender"},
            max_sessions={
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": config.max_remembered_sessions - 1,
                "description": "The room's limit until its next notify; null is the largest",
            },
            at_limit={"enum": [*get_args(notify.AtLimit), None]},
            about=_OBJECT
            | {"description": f"At most {notify.MAX_ABOUT} bytes: what a person knows it by"},
            reason=_REASON | {"default": "login"},
            detail=_OBJECT
            | {"description": f"At most {notify.MAX_DETAIL} bytes, handed to the terminated"},
            id={
                "type": ["string", "null"],
                "minLength": 1,
                "maxLength": notify.MAX_ID,
                "description": "Printable characters: the same id has one effect",
            },
            wait=_WAIT,
        ),
        "Release": _asked(
            ["room", "session"],
            room=_ref("Name"),
            session=_ref("Name"),
            epoch=_EPOCH_OR_NULL | {"description": "Only a login of this epoch or an older one"},
            reason=_REASON | {"default": "logout"},
            wait=_WAIT,
        ),
        "Look": {
            "type": "object",
            "properties": {
                "token": {"type": ["string", "null"]},
                "room": _or_null(_ref("Name")),
                "session": _or_null(_ref("Name")),
                "epoch": _EPOCH_OR_NULL,
                "seen": {"type": ["boolean", "null"]},
                "renew": {"type": ["boolean", "null"]},
            },
            "anyOf": [
                {
                    "required": ["token"],
                    "properties": {
                        "token": _TEXT,
                        **{name: {"type": "null"} for name in ("room", "session", "epoch")},
                    },
                },
                {
                    "required": ["room", "session"],
                    "properties": {
                        "token": {"type": "null"},
                        "room": _ref("Name"),
                        "session": _ref("Name"),
                    },
                },
            ],
        },
        "Check": {
            "anyOf": [
                _ref("Look"),
                {
                    "type": "object",
                    "required": ["checks"],
                    "properties": {"checks": _list(_ref("Look"), minItems=1, maxItems=MAX_CHECKS)},
                },
            ],
            "properties": {"key": _TEXT},
        },
        "Introspection": _named({"token": _TEXT}),
        "RoomQuestion": _asked(["room"], room=_ref("Name")),
    }


def _answers() -> Schema:
    """Describe what is answered."""
    login = {"room": _TEXT, "session": _TEXT, "epoch": _COUNT}
    fresh = {"exp": _COUNT, "token": _TEXT, "ticket": _TEXT}
    return {
        "Announced": _named(
            {
                "room": _TEXT,
                "epoch": _COUNT,
                "floor": _COUNT,
                "standing": _list(_TEXT),
                "ended": _list(_TEXT),
                "terminated": _COUNT,
                "acked": _COUNT,
                "pending": _COUNT,
                "ticket": _TEXT,
                "token": _TEXT,
            },
            "ticket",
            "token",
        ),
        "Standing": _named({"active": {"const": True}, **login, **fresh}, *fresh),
        "Ended": _named(
            {
                "active": {"const": False},
                **login,
                "reason": _TEXT,
                "detail": {"type": "object"},
                "exp": _COUNT,
            },
            "detail",
            "exp",
        ),
        "Unknown": _named({"active": {"const": False}, "known": {"const": False}}),
        "Verdict": {"anyOf": [_ref(name) for name in ("Standing", "Ended", "Unknown")]},
        "Checked": {
            "anyOf": [
                _ref("Verdict"),
                _named({"checks": _list(_ref("Verdict"), maxItems=MAX_CHECKS)}),
            ]
        },
        "Introspected": {
            "anyOf": [
                _named({"active": {"const": True}, **login, "sub": _TEXT, "exp": _COUNT}),
                _named({"active": {"const": False}}),
            ]
        },
        "Session": _named(
            {
                "session": _TEXT,
                "epoch": _COUNT,
                "since": _SECONDS,
                "seen": _SECONDS,
                "connected": _FLAG,
                "about": _OBJECT,
            }
        ),
        "Room": _named(
            {"room": _TEXT, "epoch": _COUNT, "floor": _COUNT, "sessions": _list(_ref("Session"))}
        ),
        "Allowed": _named({"subject": _TEXT, "extra": _named({"session": _TEXT, "epoch": _COUNT})}),
        "Problem": {
            **_named(
                {
                    "type": {"enum": [f"{PREFIX}{kind}" for kind in STATUSES]},
                    "title": _TEXT,
                    "status": {"enum": sorted(set(STATUSES.values()))},
                    "detail": _TEXT,
                    "sessions": _list(_ref("Session")),
                },
                "sessions",
            ),
            "description": "RFC 9457; `sessions` are those in the way of a login",
        },
    }


# What can happen to any request, and what else to one that has a body, or needs the key.
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
    429: {"Retry-After": {"schema": _COUNT, "required": True}},
    503: {"Retry-After": {"schema": _COUNT, "required": True}},
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
        **_content("application/problem+json", {"allOf": [_ref("Problem"), told]}),
    }


def _keyed(
    name: str, summary: str, body: Schema, answer: Schema, *more: str, status: str = "Done"
) -> Schema:
    """Describe a POST that needs the key."""
    ok = {"description": status, **_content("application/json", answer)}
    operation = {
        "operationId": name,
        "summary": summary,
        "security": [{"authkey": []}],
        "requestBody": {"required": True, "content": body},
        "responses": {"200": ok, **_problems(*_KEYED, *more)},
    }
    return {"post": operation}


def _json(name: str) -> Schema:
    return {"application/json": {"schema": _ref(name)}}


def _page(
    name: str, summary: str, media: str, *more: str, schema: Schema = _TEXT, **responses: Schema
) -> Schema:
    """Describe a GET; HEAD is the same without a body."""
    ok = {"description": "There it is", **_content(media, schema)}
    operation = {
        "operationId": name,
        "summary": summary,
        "security": [],
        "responses": {"200": ok, **responses, **_problems(*_BODY, *more)},
    }
    return {"get": operation}


def _paths(config: Config) -> Schema:
    plain = {"description": "Not now", **_content("text/plain", _TEXT)}
    known = {"304": {"description": "The client has this version"}}
    pages = {
        "/": _page("index", "What this is", "text/html"),
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
    form = {"application/x-www-form-urlencoded": {"schema": _ref("Introspection")}}
    checked = {"anyOf": [_ref("Checked"), _ref("Introspected")]}
    full = ("id-used", "login-ended", "limit-reached")
    late = ("draining", "not-durable")
    return {
        "/notify": _keyed(
            "notify",
            "A session has logged in; the others end",
            _json("Notify"),
            _ref("Announced"),
            *full,
            *late,
        ),
        "/release": _keyed(
            "release", "A session has logged out", _json("Release"), _ref("Announced"), *late
        ),
        "/check": _keyed(
            "check", "Whether logins stand (as a form: RFC 7662)", _json("Check") | form, checked
        ),
        "/sessions": _keyed(
            "sessions", "Which sessions of a room stand", _json("RoomQuestion"), _ref("Room")
        ),
        "/verify": {"get": _verify()},
        **pages,
    }


def _verify() -> Schema:
    headers = {"X-Session-Room": _TEXT, "X-Session-Id": _TEXT, "X-Session-Epoch": _COUNT}
    told = {name: {"schema": schema, "required": True} for name, schema in headers.items()}
    allowed = _content("application/json", _ref("Allowed"))
    reason = {"X-Session-Reason": {"schema": _TEXT, "required": True}}
    refused = {"headers": _HEADERS[401] | reason}
    problems = _problems(*_ANY, "coding-not-implemented", "loading")
    responses = problems | {"401": _problem("not-standing") | refused}
    return {
        "operationId": "verify",
        "summary": "Whether a request may pass, for a proxy: any method, and any path below",
        "security": [{"cookie": []}, {"token": []}],
        "responses": {"200": {"description": "It may", "headers": told, **allowed}, **responses},
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
            "schemas": _requests(config) | _answers(),
            "responses": {kind: _problem(kind) for kind in STATUSES},
            "securitySchemes": {
                "authkey": bearer | {"description": "The application servers' key"},
                "token": bearer | {"description": "A login's token"},
                "cookie": {"type": "apiKey", "in": "cookie", "name": config.token_cookie},
            },
        },
    }
    return strict_json.dumps(described).encode()
