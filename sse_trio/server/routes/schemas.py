"""The objects of the REST API, as JSON Schema: questions and answers.

The limits are those of the code, and of the configuration.
"""

from typing import Any, Final, get_args

from ...config import Config
from ...core import notify
from ...core.messages import MAX_NAME
from ...core.problems import PREFIX, STATUSES
from ...core.questions import MAX_CHECKS, MAX_DECISIONS
from ...core.tokens import MAX_EPOCH

Schema = dict[str, Any]

COUNT: Final[Schema] = {"type": "integer", "minimum": 0}
TEXT: Final[Schema] = {"type": "string"}
_FLAG: Final[Schema] = {"type": "boolean"}
_SECONDS: Final[Schema] = {"type": "number", "minimum": 0, "description": "Unix time in seconds"}
_OBJECT: Final[Schema] = {"type": ["object", "null"]}
_EPOCH: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": MAX_EPOCH}
_EPOCH_OR_NULL: Final[Schema] = _EPOCH | {"type": ["integer", "null"]}


def ref(name: str) -> Schema:
    """Return a reference to the schema of that name."""
    return {"$ref": f"#/components/schemas/{name}"}


def _list(items: Schema, **limits: int) -> Schema:
    return {"type": "array", "items": items, **limits}


def _named(properties: Schema, *optional: str) -> Schema:
    """Describe an object, whose members are there unless they are `optional`."""
    required = [name for name in properties if name not in optional]
    return {"type": "object", "required": required, "properties": properties}


def _asked(required: list[str], **properties: Schema) -> Schema:
    """Describe the body of a request that needs the key."""
    key = TEXT | {"description": "The authkey, if it is not in the Authorization header"}
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


def requests(config: Config) -> Schema:
    """Describe the bodies of requests."""
    return {
        "Name": _NAME,
        "Notify": _asked(
            ["room"],
            room=ref("Name"),
            sender=_or_null(ref("Name"))
            | {
                "description": "The session that stays. Left out: the one that joined last. "
                "null: none"
            },
            end=_list(ref("Name"), maxItems=notify.MAX_END)
            | {"description": "Sessions that end in any case, and not the sender"},
            max_sessions={
                "type": ["integer", "null"],
                "minimum": 1,
                "maximum": config.max_remembered_sessions - 1,
                "description": "The room's limit until its next notify; null is the largest",
            },
            at_limit={"enum": [*get_args(notify.AtLimit), None]},
            about=_OBJECT
            | {"description": f"At most {notify.MAX_ABOUT} bytes: to recognize the login by"},
            reason=_REASON | {"default": "login"},
            detail=_OBJECT
            | {"description": f"At most {notify.MAX_DETAIL} bytes, for the pages that are ended"},
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
            room=ref("Name"),
            session=ref("Name"),
            epoch=_EPOCH_OR_NULL | {"description": "Only a login of this epoch or an older one"},
            reason=_REASON | {"default": "logout"},
            wait=_WAIT,
        ),
        "LoginQuery": {
            "type": "object",
            "properties": {
                "token": {"type": ["string", "null"]},
                "room": _or_null(ref("Name")),
                "session": _or_null(ref("Name")),
                "epoch": _EPOCH_OR_NULL,
                "seen": {"type": ["boolean", "null"]},
                "renew": {"type": ["boolean", "null"]},
            },
            "anyOf": [
                {
                    "required": ["token"],
                    "properties": {
                        "token": TEXT,
                        **{name: {"type": "null"} for name in ("room", "session", "epoch")},
                    },
                },
                {
                    "required": ["room", "session"],
                    "properties": {
                        "token": {"type": "null"},
                        "room": ref("Name"),
                        "session": ref("Name"),
                    },
                },
            ],
        },
        "Check": {
            "anyOf": [
                ref("LoginQuery"),
                {
                    "type": "object",
                    "required": ["checks"],
                    "properties": {
                        "checks": _list(ref("LoginQuery"), minItems=1, maxItems=MAX_CHECKS)
                    },
                },
            ],
            "properties": {"key": TEXT},
        },
        "Introspection": _named({"token": TEXT}),
        "RoomQuestion": _asked(["room"], room=ref("Name")),
        "Question": _asked([]),
        "DecisionsQuestion": _asked(
            [],
            limit={
                "type": "integer",
                "minimum": 1,
                "maximum": MAX_DECISIONS,
                "default": MAX_DECISIONS,
            },
        ),
    }


def answers() -> Schema:
    """Describe the answers."""
    login = {"room": TEXT, "session": TEXT, "epoch": COUNT}
    kind = {"type": {"enum": ["gauge", "counter", "histogram"]}, "about": TEXT}
    fresh = {"exp": COUNT, "token": TEXT, "ticket": TEXT}
    return {
        "Announced": _named(
            {
                "room": TEXT,
                "epoch": COUNT,
                "floor": COUNT,
                "standing": _list(TEXT),
                "ended": _list(TEXT),
                "terminated": COUNT,
                "acked": COUNT,
                "pending": COUNT,
                "nodes": COUNT | {"description": "Other nodes that have carried it out"},
                "lapsed": COUNT
                | {"description": "Nodes that have not, and are no longer registered"},
                "ticket": TEXT,
                "token": TEXT,
            },
            "nodes",
            "lapsed",
            "ticket",
            "token",
        ),
        "Standing": _named({"active": {"const": True}, **login, **fresh}, *fresh),
        "Ended": _named(
            {
                "active": {"const": False},
                **login,
                "reason": TEXT,
                "detail": {"type": "object"},
                "exp": COUNT,
            },
            "detail",
            "exp",
        ),
        "Unknown": _named({"active": {"const": False}, "known": {"const": False}}),
        "Verdict": {"anyOf": [ref(name) for name in ("Standing", "Ended", "Unknown")]},
        "Checked": {
            "anyOf": [
                ref("Verdict"),
                _named({"checks": _list(ref("Verdict"), maxItems=MAX_CHECKS)}),
            ]
        },
        "Introspected": {
            "anyOf": [
                _named({"active": {"const": True}, **login, "sub": TEXT, "exp": COUNT}),
                _named({"active": {"const": False}}),
            ]
        },
        "Session": _named(
            {
                "session": TEXT,
                "epoch": COUNT,
                "since": _SECONDS,
                "seen": _SECONDS,
                "connected": _FLAG,
                "about": _OBJECT,
            }
        ),
        "Room": _named(
            {"room": TEXT, "epoch": COUNT, "floor": COUNT, "sessions": _list(ref("Session"))}
        ),
        "Metric": {
            "oneOf": [
                _named({**kind, "value": {"type": ["number", "null"]}}),
                _named({**kind, "values": {"type": "object", "additionalProperties": COUNT}}),
                _named({**kind, "count": COUNT, "sum": {"type": "number", "minimum": 0}}),
            ],
        },
        "Statistics": _named(
            {
                "uptime": {"type": "number", "minimum": 0, "description": "Seconds"},
                "metrics": {"type": "object", "additionalProperties": ref("Metric")},
            }
        ),
        "Decision": _named(
            {
                "time": TEXT | {"format": "date-time"},
                "event": {"enum": ["began", "ended", "released", "refused", "wrong key"]},
                "room": TEXT,
                "epoch": COUNT,
                "reason": TEXT,
                "by": TEXT,
                "session": TEXT | {"pattern": "^[0-9a-f]{16}$"},
                "about": {"type": "object"},
            },
            *("room", "epoch", "reason", "session", "about"),
        ),
        "Decisions": _named({"decisions": _list(ref("Decision"), maxItems=MAX_DECISIONS)}),
        "Allowed": _named({"subject": TEXT, "extra": _named({"session": TEXT, "epoch": COUNT})}),
        "Problem": {
            **_named(
                {
                    "type": {"enum": [f"{PREFIX}{kind}" for kind in STATUSES]},
                    "title": TEXT,
                    "status": {"enum": sorted(set(STATUSES.values()))},
                    "detail": TEXT,
                    "sessions": _list(ref("Session")),
                },
                "sessions",
            ),
            "description": "RFC 9457; `sessions`: the active sessions, where the room is full",
        },
    }
