"""What the authentication can be told, and what it refuses to be told."""

from typing import Any

import pytest

from sse_trio.auth.settings import Kind, PersistentSettings, SessionSettings, Settings
from sse_trio.errors import ConfigError
from sse_trio.ledger.checks import KINDS


def test_the_defaults() -> None:
    settings = Settings()
    assert settings.cache_time == 5 * 60
    assert settings.max_idle(Kind.SESSION) == 20 * 60
    assert settings.max_idle(Kind.PERSISTENT) == 30 * 86400
    assert settings.cookie_lifetime == 30 * 86400
    assert settings.absolute_lifetime == float("inf")
    assert settings.key_rotation == 30 * 86400
    assert not settings.single_sign_on_between_app_types
    assert not settings.navigations
    assert settings.https
    assert settings.host_prefix


def test_units() -> None:
    settings = Settings(
        cache_time_minutes=1,
        persistent=PersistentSettings(max_idle_days=2, cookie_expiration_days=3),
        session=SessionSettings(max_idle_minutes=4),
        absolute_lifetime_hours=5,
    )
    assert settings.cache_time == 60
    assert settings.max_idle(Kind.PERSISTENT) == 2 * 24 * 3600
    assert settings.cookie_lifetime == 3 * 24 * 3600
    assert settings.max_idle(Kind.SESSION) == 4 * 60
    assert settings.absolute_lifetime == 5 * 3600


@pytest.mark.parametrize(
    ("settings", "members", "wrong"),
    [
        (Settings, {"cache_time_minutes": -1}, "cache_time_minutes must be from 0 to 1440"),
        (Settings, {"cache_time_minutes": "5"}, "cache_time_minutes must be a number, not"),
        (Settings, {"cache_time_minutes": True}, "cache_time_minutes must be a number, not"),
        (Settings, {"user_provider": "a;b"}, "user_provider must be 1 to 64 letters"),
        (Settings, {"user_provider": ""}, "user_provider must be 1 to 64 letters"),
        (Settings, {"app_type": "mobile app"}, "app_type must be 1 to 64 letters"),
        (Settings, {"https": 1}, "https must be true or false, not a number"),
        (Settings, {"same_site": "lax"}, 'same_site must be "Lax" or "Strict" or "None"'),
        (Settings, {"session": 20}, "session must be SessionSettings, not a number"),
        (Settings, {"persistent": {}}, "persistent must be PersistentSettings, not an object"),
        (Settings, {"absolute_lifetime_hours": "8"}, "absolute_lifetime_hours must be a number"),
        (Settings, {"absolute_lifetime_hours": 0}, "absolute_lifetime_hours must be from 0.01"),
        (Settings, {"absolute_lifetime_hours": 9601}, "from 0.01 to 9600 hours, not 9601"),
        (Settings, {"key_rotation_days": False}, "key_rotation_days must be a number or null"),
        (Settings, {"key_rotation_days": 0}, "key_rotation_days must be from 0.01 to 400 days"),
        (Settings, {"cache_time_minutes": None}, "cache_time_minutes must be a number, not null"),
        (
            PersistentSettings,
            {"cookie_expiration_days": 401},
            "cookie_expiration_days must be from 0.01 to 400 days, not 401",
        ),
        (
            SessionSettings,
            {"max_idle_minutes": float("nan")},
            "max_idle_minutes must be from 0.1 to 10080 minutes",
        ),
    ],
)
def test_what_is_out_of_range(settings: Any, members: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        settings(**members)


@pytest.mark.parametrize(
    ("settings", "wrong"),
    [
        ({"cache_time_minutes": 20}, r"must be shorter than session.max_idle_minutes \(20 min"),
        ({"cache_time_minutes": 21}, r"must be shorter than session.max_idle_minutes \(20 min"),
        (
            {"cache_time_minutes": 14.4, "persistent": PersistentSettings(max_idle_days=0.01)},
            r"must be shorter than persistent.max_idle_days \(14.4 min",
        ),
        (
            {
                "cache_time_minutes": 14.4,
                "persistent": PersistentSettings(cookie_expiration_days=0.01),
            },
            r"must be shorter than persistent.cookie_expiration_days \(14.4 min",
        ),
        (
            {"single_sign_on_between_app_types": True, "https": False},
            "single_sign_on_between_app_types needs https",
        ),
        ({"same_site": "None", "https": False}, "needs https"),
        # 16 keys verify: so many days are all that one does after another has replaced it.
        ({"key_rotation_days": 1.99}, r"key_rotation_days \(1.99\) must be at least 2: .* 30 days"),
    ],
)
def test_contradictions(settings: dict[str, Any], wrong: str) -> None:
    with pytest.raises(ConfigError, match=wrong):
        Settings(**settings)


def test_at_the_edge_of_a_contradiction() -> None:
    short = PersistentSettings(max_idle_days=0.01, cookie_expiration_days=0.01)
    assert Settings(cache_time_minutes=14.3, persistent=short).cache_time_minutes == 14.3
    assert Settings(key_rotation_days=2).key_rotation == 2 * 86400
    # What counts is how long a login lasts, whatever ends it.
    lasting: Any
    for lasting in (
        {"persistent": PersistentSettings(max_idle_days=3)},
        {"persistent": PersistentSettings(cookie_expiration_days=3)},
        {"absolute_lifetime_hours": 72},
    ):
        assert Settings(key_rotation_days=0.2, **lasting).key_rotation_days == 0.2
        with pytest.raises(ConfigError, match=r"must be at least 0\.2: "):
            Settings(key_rotation_days=0.19, **lasting)
    a_week = SessionSettings(max_idle_minutes=7 * 24 * 60)
    short = PersistentSettings(max_idle_days=3)
    with pytest.raises(ConfigError, match=r"must be at least 0\.466667: .* 7 days"):
        Settings(key_rotation_days=0.2, session=a_week, persistent=short)
    assert Settings(key_rotation_days=None).key_rotation is None
    assert Settings(single_sign_on_between_app_types=True).https
    assert Settings(same_site="None").https
    assert not Settings(https=False).https


def test_the_ledgers_file_knows_every_kind() -> None:
    assert set(Kind) == set(KINDS)
