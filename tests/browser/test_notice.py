"""What the notice says: in which language, and what it says of the other login."""

import json
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Browser, Dialog, Page, WebSocketRoute, expect

import sse_trio.browser

from ..test_docs import ROOT, fences, section
from .conftest import StartHub, both_engines
from .pages import guarded, marked_up, stop_the_clock, wait_for
from .processes import HubProcess, Site

PAGE = ROOT / "docs" / "browser.md"
PACKAGE = Path(sse_trio.browser.__file__).parent
MODULE = (PACKAGE / "sse-trio.js").as_uri()
MANIFEST = json.loads((PACKAGE / "custom-elements.json").read_text())
DECLARED = MANIFEST["modules"][0]["declarations"][0]

# What each language calls the notice; its alphabet shows that the words are its own.
TITLES = {
    "ar": "تم تسجيل خروجك",
    "de": "Sie wurden abgemeldet",
    "en": "You have been logged out",
    "es": "Se ha cerrado su sesión",
    "fr": "Votre session a été fermée",
    "it": "La sessione è stata chiusa",
    "ja": "ログアウトされました",
    "pl": "Nastąpiło wylogowanie",
    "pt": "A sua sessão foi encerrada",
    "ru": "Выполнен выход из системы",
    "tr": "Oturumunuz kapatıldı",  # noqa: RUF001
    "zh": "您已退出登录",
    "zh-Hant": "您已登出",
}

NAMES = {
    "ar": "Arabic",
    "de": "German",
    "en": "English",
    "es": "Spanish",
    "fr": "French",
    "it": "Italian",
    "ja": "Japanese",
    "pl": "Polish",
    "pt": "Portuguese",
    "ru": "Russian",
    "tr": "Turkish",
    "zh": "Chinese",
}

# Node answers each line, a list of cases, by a line.
IN_NODE = """
import {createInterface} from "node:readline";
import {noticeText} from "%s";
const say = ([termination, languages, endedAt]) =>
  noticeText(termination, languages, endedAt && new Date(endedAt));
for await (const line of createInterface({input: process.stdin})) {
  console.log(JSON.stringify(JSON.parse(line).map(say)));
}
"""

Say = Callable[..., list[dict[str, Any]]]


@pytest.fixture(scope="module")
def say() -> Iterator[Say]:
    """What `noticeText` returns for each of these tuples of arguments, in Node and in Vienna."""
    node = shutil.which("node")
    if node is None:
        pytest.fail("no node: apt-get install nodejs")
    with subprocess.Popen(
        [node, "--input-type=module", "--eval", IN_NODE % MODULE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={"TZ": "Europe/Vienna"},
    ) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        stdin, stdout = process.stdin, process.stdout

        def ask(*cases: tuple[Any, ...]) -> list[dict[str, Any]]:
            print(json.dumps(cases), file=stdin, flush=True)
            answer: list[dict[str, Any]] = json.loads(stdout.readline())
            return answer

        yield ask
        stdin.close()


def termination(reason: str = "login", detail: object = None) -> dict[str, Any]:
    return {"room": "u1", "epoch": 1, "reason": reason, "detail": detail}


# -- the language ---------------------------------------------------------------------------


def test_each_language_has_all_its_own_words(say: Say) -> None:
    cases = [(termination(reason), [tag]) for tag in TITLES for reason in ("login", "logout")]
    detail = {"device": "Firefox", "place": "Lisbon", "time": 1_764_425_100}
    full = say(*((termination(detail=detail), [tag]) for tag in TITLES))
    said = say(*cases)
    for tag, login, other, labelled in zip(TITLES, said[::2], said[1::2], full, strict=True):
        assert login["lang"] == tag
        assert login["dir"] == ("rtl" if tag == "ar" else "ltr")
        assert login["title"] == other["title"] == TITLES[tag]
        assert login["message"] != other["message"]
        assert login["details"] == []
        assert len(labelled["details"]) == 3
    for kind in ("title", "message", "action"):
        assert len({text[kind] for text in said[::2]}) == len(TITLES)
    assert len({text["message"] for text in said}) == 2 * len(TITLES)


@pytest.mark.parametrize(
    ("languages", "lang", "words"),
    [
        (["de-AT"], "de-AT", "de"),
        (["DE"], "de", "de"),
        (["de_AT"], "de-AT", "de"),  # not a tag, but frequent
        (["pt-BR"], "pt-BR", "pt"),
        (["zh"], "zh", "zh"),
        (["zh-CN"], "zh-CN", "zh"),
        (["zh-TW"], "zh-TW", "zh-Hant"),
        (["zh-HK"], "zh-HK", "zh-Hant"),
        (["zh-Hans-HK"], "zh-Hans-HK", "zh"),
        (["zh-Hant-SG"], "zh-Hant-SG", "zh-Hant"),
        (["ko"], "en", "en"),
        (["ko", "fr-CA", "de"], "fr-CA", "fr"),
        (["not a tag", "it"], "it", "it"),
        (["tostring", "valueof", "und", ""], "en", "en"),
        ([], "en", "en"),
    ],
)
def test_the_language_is_the_first_that_there_is(
    say: Say, languages: list[str], lang: str, words: str
) -> None:
    (text,) = say((termination(), languages))
    assert (text["lang"], text["title"]) == (lang, TITLES[words])


def test_the_languages_that_the_page_names() -> None:
    text = section(PAGE, "The notice")
    (listed,) = re.findall(r"^- There are twelve: (.*?)\.$", text, re.MULTILINE | re.DOTALL)
    names = re.findall(r"[A-Z]\w+", re.sub(r"\(.*?\)", "", listed, flags=re.DOTALL))
    assert names == sorted(NAMES.values())
    source = sse_trio.browser.SOURCE.decode()
    words = re.findall(r'^  "?([\w-]+)"?: \[', source[source.index("const WORDS") :], re.MULTILINE)
    assert words == list(TITLES)
    assert set(NAMES) | {"zh-Hant"} == set(TITLES)


# -- the device, the place and the time -------------------------------------------------------

AT = 1_764_425_100  # 15:05 in Vienna on 29 November 2025
EARLIER = 1000 * (AT - 3600)


@pytest.mark.parametrize(
    ("tag", "shown"),
    [
        ("de", "29.11.2025, 15:05"),
        ("en-GB", "29 Nov 2025, 15:05"),
        ("fr", "29 nov. 2025, 15:05"),
        ("ja", "2025/11/29 15:05"),
        ("ko-KR", "Nov 29, 2025, 3:05 PM"),  # English, as all of the notice is then
    ],
)
def test_the_time_is_written_as_in_the_language_and_the_zone(
    say: Say, tag: str, shown: str
) -> None:
    (text,) = say((termination(detail={"time": AT}), [tag]))
    assert [" ".join(value.split()) for _, value in text["details"]] == [shown]


@pytest.mark.parametrize(
    "time",
    [None, True, "2025-11-29T14:05:00Z", [AT], {"at": AT}, 0, -1, 1000 * AT, 1e300],
)
def test_a_time_that_cannot_be_is_none(say: Say, time: object) -> None:
    """The last but one is in milliseconds."""
    alone, known = say(
        (termination(detail={"time": time}), ["de"]),
        (termination(detail={"time": time}), ["de"], EARLIER),
    )
    assert alone["details"] == []
    assert known["details"] == [["Zeit", "29.11.2025, 14:05"]]


def test_the_applications_time_is_the_exact_one(say: Say) -> None:
    """The page may have been told late."""
    (text,) = say((termination(detail={"time": AT}), ["de"], EARLIER))
    assert text["details"] == [["Zeit", "29.11.2025, 15:05"]]


@pytest.mark.parametrize("ahead", [0, 23, 25])
def test_the_hubs_clock_may_be_a_day_ahead(say: Say, ahead: int) -> None:
    (text,) = say((termination(detail={"time": time.time() + 3600 * ahead}), ["en"]))
    assert bool(text["details"]) == (ahead < 24)


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        ("Firefox on Windows", "Firefox on Windows"),
        ("  Vienna,\n\tAustria ", "Vienna, Austria"),
        ("<img src=x onerror=alert(1)>", "<img src=x onerror=alert(1)>"),
        ("\u202egnihsihp\u202c \u2066x\u2069", "gnihsihp x"),
        ("nul\0 bell\7", "nul bell"),
        ("x" * 80, "x" * 80),
        ("x" * 81, "x" * 79 + "…"),
        ("🦊" * 80, "🦊" * 80),
        ("🦊" * 1000, "🦊" * 79 + "…"),
        ("", None),
        (" \n", None),
        (None, None),
        (7, None),
        (True, None),
        (["Firefox"], None),
        ({"name": "Firefox"}, None),
    ],
)
def test_a_device_and_a_place_are_one_short_line_each(
    say: Say, value: object, shown: str | None
) -> None:
    device, place = say(
        (termination(detail={"device": value}), ["en"]),
        (termination("logout", {"place": value, "other": "x"}), ["en"]),
    )
    assert device["details"] == ([["Device", shown]] if shown else [])
    assert place["details"] == ([["Place", shown]] if shown else [])


@pytest.mark.parametrize("detail", [None, {}, [], "Firefox", 7])
def test_a_detail_that_says_nothing_of_it(say: Say, detail: object) -> None:
    (text,) = say((termination(detail=detail), ["en"]))
    assert text["details"] == []


# -- in the page ------------------------------------------------------------------------------

DETAIL = {"device": "<b>Firefox</b> on Windows", "place": "Wien", "time": AT}

IN_PAGE = """<!doctype html><title>languages</title><body>
<script type="module">
  import "/client.js";
  const add = (parent, lang, words = "") => {
    const element = document.createElement("session-guard");
    if (lang !== null) element.lang = lang;
    element.innerHTML = words;
    for (const name of ["room", "session", "src"]) element.setAttribute(name, "/ws");
    element.toggleAttribute("notice", true);
    parent.append(element);
    return element;
  };
  const around = (parent, lang, dir = "") => {
    const made = document.createElement("div");
    if (lang !== null) made.lang = lang;
    made.dir = dir;
    parent.append(made);
    return made;
  };
  const {body} = document;
  window.elements = Object.fromEntries(TITLES.map((tag) => [tag, add(body, tag)]));
  elements.ancestor = add(around(body, "ja"), null);
  elements.nearest = add(around(body, "de"), "ar");
  const shadow = around(body, "pl").attachShadow({mode: "open"});
  elements.shadow = add(shadow, null);
  elements.deeper = add(around(shadow, null).attachShadow({mode: "open"}), null);
  elements.unsaid = add(body, null);
  elements.unknown = add(around(body, "de"), "");
  const hello = '<i slot="title">\u05e9\u05dc\u05d5\u05dd</i>';
  elements.hebrew = add(around(body, "he", "rtl"), null, hello);
  elements.late = add(around(body, "it"), null);
  window.read = (name) => {
    const root = elements[name].shadowRoot;
    const part = (id) => {
      const element = root.getElementById(id);
      const {lang, dir} = element;
      const [slot] = element.children;
      const text = [...slot.assignedNodes({flatten: true})].map((node) => node.textContent).join();
      return {lang, dir, text, direction: getComputedStyle(element).direction};
    };
    const parts = ["title", "message", "details", "action"].map((id) => [id, part(id)]);
    return {...Object.fromEntries(parts), modal: !!root.querySelector("dialog:modal")};
  };
</script>"""


@both_engines
def test_the_notice_in_every_language(say: Say, browser: Browser, site: Site) -> None:
    """All in one page, with elements in every place that a `lang` may come from."""

    def play(socket: WebSocketRoute) -> None:
        def hear(message: str | bytes) -> None:
            if json.loads(message)["type"] == "join":
                told = {"type": "terminate", **termination(detail=DETAIL)}
                socket.send(json.dumps(told))

        socket.on_message(hear)

    site.pages["/client.js"] = ("text/javascript", sse_trio.browser.SOURCE, {})
    url = site.page("/", IN_PAGE.replace("TITLES", json.dumps(list(TITLES))))
    with browser.new_context(locale="fr-CA", timezone_id="Europe/Vienna") as context:
        page = context.new_page()
        page.route_web_socket("**", play)
        page.goto(url)
        page.wait_for_function(
            "window.elements && Object.values(elements).every("
            "({shadowRoot}) => shadowRoot.querySelector('dialog:modal'))"
        )
        page.evaluate("elements.late.innerHTML = '<p slot=\"details\">mine</p>'")
        page.wait_for_function("read('late').details.lang === ''")

        # The manifest, by which editors know the element, has all of its slots and parts.
        root = "elements.en.shadowRoot"
        for kind, found in (
            ("slots", f"[...{root}.querySelectorAll('slot')].map(({{name}}) => name)"),
            ("cssParts", f"[...{root}.querySelectorAll('[part]')].map(({{part}}) => `${{part}}`)"),
        ):
            assert [each["name"] for each in DECLARED[kind]] == page.evaluate(found)

        where = {tag: tag for tag in TITLES} | {
            "ancestor": "ja",
            "nearest": "ar",
            "shadow": "pl",
            "deeper": "pl",
            "unsaid": "fr-CA",
            "unknown": "fr-CA",
        }
        for (name, tag), text in zip(
            where.items(),
            say(*((termination(detail=DETAIL), [tag]) for tag in where.values())),
            strict=True,
        ):
            found = page.evaluate("name => read(name)", name)
            assert found.pop("modal")
            for part in found.values():
                assert part["lang"] == tag
                assert part["dir"] == part["direction"] == ("rtl" if tag == "ar" else "ltr")
            for part in ("title", "message", "action"):
                assert found[part]["text"] == text[part]
            details = "".join(label + value for label, value in text["details"])
            assert found["details"]["text"].split() == details.split(), name
            assert "<b>Firefox</b> on Windows" in found["details"]["text"]

        # What the page has put there keeps the page's direction; the rest is English.
        hebrew = page.evaluate("read('hebrew')")
        title = {"lang": "", "dir": "", "text": "שלום", "direction": "rtl"}
        assert hebrew["title"] == title
        assert (hebrew["message"]["lang"], hebrew["message"]["direction"]) == ("en", "ltr")
        assert page.evaluate("read('late').details.text") == "mine"
        assert page.evaluate("read('late').message.lang") == "it"


ELEMENT = '<session-guard src="%s" room="u1" session="s1" lang="de" notice></session-guard>'


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in Vienna, where it is one o'clock, and time stands still."""
    with browser.new_context(timezone_id="Europe/Vienna") as context:
        page = context.new_page()
        stop_the_clock(page)
        yield page


def test_a_page_that_is_there_says_when(hub: HubProcess, site: Site, page: Page) -> None:
    page.goto(site.page("/", marked_up(hub, ELEMENT % hub.url)))
    wait_for(page, "joined")
    assert page.evaluate("guard.endedAt") is None
    hub.notify(room="u1", sender="s2", detail={"device": "Firefox", "place": "Wien"})
    # The button has the focus, so this is what is read after the message.
    action = page.get_by_role("button", name="Neu anmelden")
    expect(action).to_be_focused()
    expect(action).to_have_accessible_description("Gerät Firefox Ort Wien Zeit 01.01.2030, 01:00")
    assert page.evaluate("guard.endedAt.toJSON()") == "2030-01-01T00:00:01.000Z"


@pytest.mark.parametrize("away", ["put away", "asleep", "not there yet"])
def test_a_page_that_was_away_does_not_say_when(
    hub: HubProcess, site: Site, page: Page, away: str
) -> None:
    hub.notify(room="u1", sender="s1")
    url = site.page("/", marked_up(hub, ELEMENT % hub.url))
    if away != "not there yet":
        page.goto(url)
        wait_for(page, "joined")
    if away == "put away":
        page.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    elif away == "asleep":
        # The network had the message all the time, and the timers have yet to notice.
        page.clock.set_system_time(datetime(2030, 1, 1, 8, tzinfo=UTC))
    hub.notify(room="u1", sender="s2", detail={"place": "Wien"})
    if away == "put away":
        page.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
    elif away == "not there yet":
        page.goto(url)
    expect(page.get_by_role("button", name="Neu anmelden")).to_have_accessible_description(
        "Ort Wien"
    )
    assert page.evaluate("guard.endedAt") is None


def test_a_dialog_of_the_pages_own(hub: HubProcess, site: Site, page: Page) -> None:
    """As in `docs/browser.md`, with the `detail` that it shows."""
    blocks = fences(section(PAGE, "The notice"))
    (snippet,) = [block.text for block in blocks if "noticeText" in block.text]
    (notify,) = [json.loads(block.text) for block in blocks if block.info == "json"]
    html = guarded(hub, 'room: "u1", session: "s1"')
    assert snippet.count("/static/sse-trio.js") == html.count("guard.start()") == 1
    imported, _, listener = snippet.replace("/static/sse-trio.js", hub.client).partition("\n")
    html = html.replace("guard.start()", listener + "guard.start()")
    html = html.replace('<script type="module">', f'<script type="module">{imported}')
    said: list[str] = []

    def answer(dialog: Dialog) -> None:
        said.append(dialog.message)
        dialog.accept()

    page.on("dialog", answer)
    page.goto(site.page("/", html))
    wait_for(page, "joined")
    hub.notify(**notify)
    wait_for(page, "terminated")
    assert said[0].splitlines() == [
        "Sie wurden abgemeldet",
        "Bei Ihrem Konto gab es eine neue Anmeldung, hier oder an einem anderen Ort.",
        "Gerät: Firefox on Windows",
        "Ort: Vienna",
        "Zeit: 23.11.2026, 20:15",
    ]
