"""When the guard comes back, when it does not, and how patiently it tries.

The time is Playwright's. Where the hub itself would have to misbehave, Playwright plays it.
"""

import base64
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import pairwise

import pytest
from playwright.sync_api import Browser, Page, WebSocketRoute

from sse_trio.browser import SOURCE
from sse_trio.core.messages import CloseCode

from .conftest import DEFAULT, StartHub, both_engines
from .pages import guarded, kinds, said, state, stop_the_clock, wait_for, wait_for_members
from .processes import KEY, HubProcess, Site, run_site

GUARD = 'room: "u1", session: "s1"'

# Beside the hub's own: what its WebSocket library answers to broken frames, and what any
# other server on the way may say.
CODES = {1000: True, 1002: False, 1007: False, 1011: True, 1012: True, 4999: True} | {
    int(code): code.reconnect for code in CloseCode
}


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub()


@pytest.fixture
def sockets(page: Page) -> list[str]:
    """Every WebSocket that the page has opened."""
    opened: list[str] = []
    page.on("websocket", lambda socket: opened.append(socket.url))
    return opened


@pytest.fixture(scope="module")
def reader(browsers: Callable[[str], Browser]) -> Iterator[Page]:
    """A page that has the class ``SessionGuard`` and starts nothing."""
    with run_site() as site:
        page = browsers(DEFAULT).new_page()
        page.goto(deserted(site, GUARD))
        page.wait_for_function("window.guard")
        yield page
        page.close()


def deserted(site: Site, options: str, drawn: str = "Math.random()") -> str:
    """A page whose ``guard`` finds nobody, and which keeps the virtual seconds of each try.

    Its WebSockets and requests fail at once, so that nothing but the clock makes time go by.
    """
    site.pages["/client.js"] = ("text/javascript", SOURCE, {})
    return site.page(
        "/",
        f"""<!doctype html><title>deserted</title><link rel="icon" href="data:,">
        <script type="module">
          import {{SessionGuard}} from "/client.js";
          const random = Math.random;
          Math.random = () => {drawn.replace("Math.random", "random")};
          window.tries = [];
          window.WebSocket = class extends EventTarget {{
            constructor() {{
              super();
              tries.push(performance.now() / 1000);
              queueMicrotask(() => this.dispatchEvent(new CloseEvent("close", {{code: 1006}})));
            }}
            close() {{}}
          }};
          window.fetch = async () => {{
            tries.push(performance.now() / 1000);
            throw new TypeError("nobody is there");
          }};
          window.log = [];
          window.make = () => {{
            const guard = new SessionGuard({{url: "/ws", {options}}});
            guard.addEventListener("offline", ({{type, detail}}) => log.push([type, detail]));
            return guard;
          }};
          window.SessionGuard = SessionGuard;
          window.guard = make();
        </script>""",
    )


def tries_in(page: Page, seconds: int, start: str = "guard.start()") -> list[float]:
    """Start, let virtual time go by, and return when it was tried, from the first try on."""
    page.wait_for_function("window.guard")
    page.evaluate(f"() => {{ {start} }}")
    page.clock.run_for(1000 * seconds)
    tries: list[float] = page.evaluate("tries")
    return [time - tries[0] for time in tries]


def play_the_hub(page: Page, answer: str | None, code: int | None = None) -> list[str]:
    """Answer each join with this message, and then close with `code`; return what is sent."""
    received: list[str] = []

    def play(socket: WebSocketRoute) -> None:
        def hear(message: str | bytes) -> None:
            received.append(str(message))
            if answer is not None:
                socket.send(answer)
            if code is not None:
                socket.close(code=code, reason="so it is")

        socket.on_message(hear)

    page.route_web_socket("**", play)
    return received


# -- the end ----------------------------------------------------------------------------


def test_after_a_termination_it_never_comes_back(
    hub: HubProcess, site: Site, page: Page, sockets: list[str]
) -> None:
    stop_the_clock(page)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    hub.notify(room="u1", sender="s2")
    wait_for(page, "terminated")
    page.clock.run_for(60_000)
    for event in ("online", "focus", "pageshow"):
        page.evaluate("event => { dispatchEvent(new Event(event)) }", event)
    page.evaluate("guard.start()")
    page.clock.run_for(60_000)
    page.evaluate("guard.stop(); guard.start()")
    assert state(page) == "terminated"
    assert sockets == [hub.url]
    assert kinds(page) == ["joined", "terminated"]


def test_4001_alone_is_a_termination_too(hub: HubProcess, site: Site, page: Page) -> None:
    """As when the server's words are lost on the way."""
    stop_the_clock(page)
    joins = play_the_hub(page, None, 4001)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "terminated")
    page.clock.run_for(60_000)
    assert said(page) == [
        ("terminated", {"room": None, "epoch": None, "reason": "so it is", "detail": None})
    ]
    assert len(joins) == 1


@pytest.mark.parametrize(("code", "again"), sorted(CODES.items() - {(4001, False)}))
def test_the_close_code_says_whether_to_come_back(
    hub: HubProcess, site: Site, page: Page, code: int, again: bool
) -> None:
    stop_the_clock(page)
    joins = play_the_hub(page, '{"type": "error", "code": 1, "message": "the reason"}', code)
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "offline" if again else "refused")
    ((kind, detail), *_) = said(page)
    assert (kind, detail["code"], detail["message"]) == (
        "offline" if again else "error",
        code,
        "the reason",
    )
    page.clock.run_for(1_000 if again else 60_000)
    if again:
        page.wait_for_function("log.filter(([type]) => type === 'offline').length === 2")
    assert len(joins) == 1 + again


@both_engines
def test_a_guard_that_was_refused_can_be_started_again(
    start_hub: StartHub, site: Site, tab: Page
) -> None:
    hub = start_hub(join="ticket")
    tab.goto(site.page("/", guarded(hub, "ticket: () => window.ticket ?? 'forged'")))
    wait_for(tab, "refused")
    assert said(tab) == [("error", {"code": 4401, "message": "the ticket is not valid"})]
    tab.evaluate("t => { window.ticket = t }", hub.notify(room="u1", sender="s1")["ticket"])
    tab.evaluate("guard.start()")
    wait_for(tab, "joined")
    assert tab.evaluate("guard.session") == "s1"


# -- the backoff ------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("drawn", "options", "delays"),
    [
        (0.5, "", [0.5, 1, 2, 4, 8, 15, 15, 15]),
        (0.75, "", [0.75, 1.5, 3, 6, 12, 22.5, 22.5]),
        (0.5, "minDelay: 2, maxDelay: 5", [1, 2, 2.5, 2.5]),
        (0.5, "minDelay: 60, maxDelay: 600", [30, 60]),
    ],
)
def test_delays_are_drawn_from_a_range_that_doubles_up_to_a_ceiling(
    site: Site, page: Page, drawn: float, options: str, delays: list[float]
) -> None:
    stop_the_clock(page)
    page.goto(deserted(site, f"{GUARD}, {options}", str(drawn)))
    tries = tries_in(page, 100)
    waited = [later - earlier for earlier, later in pairwise(tries)][: len(delays)]
    assert waited == pytest.approx(delays[: len(waited)], abs=0.01)
    assert len(waited) >= 2
    told = [detail["delay"] for _, detail in said(page, "offline")]
    assert told[: len(delays)] == delays


def test_there_is_no_thundering_herd(site: Site, page: Page) -> None:
    """When the hub goes down, many guards come back, and each at a time of its own."""
    many = 250
    stop_the_clock(page)
    page.goto(deserted(site, GUARD))
    tries = tries_in(page, 60, f"for (let n = 0; n < {many}; n++) make().start()")
    again = tries[many:]
    # In no twentieth of a second do more of them come than chance explains. The first round
    # is spread over a second (12 or 13 expected), and each later one over twice the time.
    for begin, most in ((0, 36), (3, 20), (15, 12)):
        late = [time for time in again if time >= begin]
        crowds = Counter(int(time * 20) for time in late)
        assert max(crowds.values()) <= most, crowds.most_common(3)
    # They do not give up either.
    assert 5 < len(again) / many < 15


def test_real_sockets_are_waited_for_as_long(page: Page, site: Site, sockets: list[str]) -> None:
    """And real requests, each in its turn: the hub is asked no more often."""
    page.on("requestfailed", lambda request: sockets.append(request.url))
    site.pages["/client.js"] = ("text/javascript", SOURCE, {})
    stop_the_clock(page)
    page.goto(
        site.page(
            "/",
            """<script type="module">
              import {SessionGuard} from "/client.js";
              Math.random = () => 0.9;
              window.log = [];
              window.guard = new SessionGuard({url: "ws://127.0.0.1:9", room: "u1"});
              guard.addEventListener("offline", ({detail}) => log.push(detail));
            </script>""",
        )
    )
    page.wait_for_function("window.guard")
    page.evaluate("guard.start()")
    for number, delay in enumerate([0.9, 1.8, 3.6, 7.2, 14.4, 27, 27], 1):
        page.wait_for_function("n => log.length === n", arg=number)
        page.clock.run_for(round(1000 * delay) - 10)
        assert len(sockets) == number
        page.clock.run_for(20)
        page.wait_for_function("n => log.length === n + 1", arg=number)
        assert len(sockets) == number + 1


def test_the_backoff_starts_anew_when_a_heartbeat_was_heard(
    hub: HubProcess, site: Site, page: Page
) -> None:
    """To be admitted is not enough: a hub that falls over at once would be hammered."""
    stop_the_clock(page)
    options = f"{GUARD}, minDelay: 1"
    html = guarded(hub, options).replace(
        "guard.start();", "Math.random = () => 0.5; guard.start();"
    )
    joined = '{"type": "joined", "room": "u1", "session": "s1", "epoch": 0, "heartbeat": 25}'
    routes: list[WebSocketRoute] = []

    def play(socket: WebSocketRoute) -> None:
        routes.append(socket)
        socket.on_message(lambda _: socket.send(joined))

    page.route_web_socket("**", play)
    page.goto(site.page("/", html))
    delays = []
    for beats in (0, 0, 1, 0):
        wait_for(page, "joined")
        if beats:
            routes[-1].send('{"type": "heartbeat", "time": 1}')
            page.wait_for_function("log.at(-1)[0] === 'heartbeat'")
        routes[-1].close(code=1001)
        wait_for(page, "offline")
        delays.append(said(page, "offline")[-1][1]["delay"])
        page.clock.run_for(4_000)
    assert delays == [0.5, 1, 0.5, 1]


def test_online_ends_the_waiting(site: Site, page: Page) -> None:
    stop_the_clock(page)
    page.goto(deserted(site, GUARD, "0.5"))
    assert len(tries_in(page, 20)) == 6
    page.evaluate("() => { dispatchEvent(new Event('online')) }")
    assert page.evaluate("tries.length") == 7
    # And it is patient anew, beginning with short delays.
    page.clock.run_for(4_000)
    assert page.evaluate("tries.length") == 10


def test_online_does_not_trust_the_old_connection(
    hub: HubProcess, site: Site, page: Page, sockets: list[str]
) -> None:
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    page.evaluate("dispatchEvent(new Event('online'))")
    page.wait_for_function("log.filter(([type]) => type === 'joined').length === 2")
    assert len(sockets) == 2
    wait_for_members(page, hub, 1)


# -- an attempt -------------------------------------------------------------------------


@both_engines
@pytest.mark.parametrize(
    ("play", "message"),
    [
        ("hub", "nothing was heard in time"),
        ("ticket", "nothing was heard in time"),
    ],
)
def test_an_attempt_that_hangs_is_given_up(
    hub: HubProcess, site: Site, page: Page, play: str, message: str
) -> None:
    stop_the_clock(page)
    options = GUARD
    if play == "hub":
        play_the_hub(page, None)
    else:
        options = """ticket: ({signal}) => new Promise(() => {
          signal.addEventListener("abort", () => { window.aborted = true; });
        })"""
    page.goto(site.page("/", guarded(hub, options)))
    wait_for(page, "connecting")
    page.clock.run_for(9_900)
    assert kinds(page) == []
    page.clock.run_for(200)
    ((kind, detail), *_) = said(page)
    assert (kind, detail["code"], detail["message"]) == ("offline", None, message)
    assert page.evaluate("window.aborted") is (None if play == "hub" else True)


# What Firefox does, and no other browser: after failures it holds sockets back, for up to a minute
# since the last one; to be closed before that is no failure. This is how it goes on to do so while
# the hub is away; it plays the hub, too. What lies between lets no requests pass.
HOLDING_BACK = """
  window.fetch = async () => { throw new TypeError("no requests"); };
  window.sockets = [];
  window.failed = -Infinity;
  window.WebSocket = class Socket extends EventTarget {
    static CONNECTING = 0;
    readyState = 0;
    constructor() {
      super();
      sockets.push(this);
      setTimeout(() => this.begin(), Math.max(0, failed + HELD - performance.now()));
    }
    begin() {
      if (this.readyState !== 0) return;
      this.readyState = window.away ? 3 : 1;
      if (window.away) failed = performance.now();
      this.dispatchEvent(window.away ? new CloseEvent("close", {code: 1006}) : new Event("open"));
    }
    send() {
      const data = '{"type":"joined","room":"u1","session":"s1","epoch":0,"heartbeat":25}';
      this.dispatchEvent(new MessageEvent("message", {data}));
    }
    fail() {
      this.readyState = 3;
      this.dispatchEvent(new CloseEvent("close", {code: 1006}));
    }
    close() {
      this.readyState = 3;
    }
  };
  Math.random = () => 0.999;
"""


@both_engines
@pytest.mark.parametrize("max_delay", [2, 30])
def test_an_attempt_that_the_browser_holds_back_is_there_when_it_is_let(
    hub: HubProcess, site: Site, page: Page, max_delay: int
) -> None:
    stop_the_clock(page)
    page.add_init_script(HOLDING_BACK.replace("HELD", "60_000"))
    page.goto(site.page("/", guarded(hub, f"{GUARD}, maxDelay: {max_delay}")))
    page.wait_for_function("window.guard")
    page.clock.run_for(10)
    assert state(page) == "joined"
    page.evaluate("() => { window.away = true; sockets.at(-1).fail(); }")
    page.clock.run_for(150_000)
    failed = page.evaluate("failed")
    # The hub is back. The browser lets nobody through yet, and the page claims nothing.
    page.evaluate("() => { window.away = false }")
    left = failed + 60_000 - page.evaluate("performance.now()")
    assert left > 20_000
    page.clock.run_for(left - 10)
    assert state(page) in ("offline", "connecting")
    assert kinds(page)[-1] == "offline"
    # One may be waiting to join by a request just then.
    page.clock.run_for(20 + 1000 * max_delay)
    assert kinds(page)[-1] == state(page) == "joined"


def test_an_attempt_that_never_gets_anywhere_is_replaced(
    hub: HubProcess, site: Site, page: Page
) -> None:
    """As where packets are dropped. There is one at a time."""
    stop_the_clock(page)
    page.add_init_script(HOLDING_BACK.replace("failed + HELD - performance.now()", "1e9"))
    page.goto(site.page("/", guarded(hub, f"{GUARD}, maxDelay: 2")))
    wait_for(page, "connecting")
    page.clock.run_for(60_000)
    assert page.evaluate("sockets.length") >= 5
    assert page.evaluate("sockets.filter(({readyState}) => readyState === 0).length") <= 1
    page.evaluate("guard.stop()")
    assert page.evaluate("sockets.filter(({readyState}) => readyState === 0).length") == 0


def test_a_failure_of_an_attempt_that_was_given_up_is_not_said_again(
    hub: HubProcess, site: Site, page: Page
) -> None:
    """It was offline already, and the next attempt comes when that was said to come."""
    stop_the_clock(page)
    page.add_init_script(HOLDING_BACK.replace("failed + HELD - performance.now()", "1e9"))
    page.goto(site.page("/", guarded(hub, f"{GUARD}, minDelay: 20")))
    wait_for(page, "connecting")
    page.clock.run_for(10_100)
    assert kinds(page) == ["offline"]
    page.evaluate("sockets[0].fail()")
    assert kinds(page) == ["offline"]
    page.clock.run_for(19_800)
    assert page.evaluate("sockets.length") == 1
    page.clock.run_for(200)
    assert page.evaluate("sockets.length") == 2


@both_engines
@pytest.mark.parametrize("given", ["a ticket", "a function"])
def test_a_ticket_that_is_refused_is_tried_again_slowly(
    start_hub: StartHub, site: Site, page: Page, given: str
) -> None:
    """The hub's clock may have been wrong for a moment, or its keys; or there is a new ticket."""
    stop_the_clock(page)
    complaint = '{"type":"error","code":4401,"message":"the ticket has expired"}'
    joins = play_the_hub(page, complaint, 4401)
    hub = start_hub(join="ticket")
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    option = f'"{ticket}"' if given == "a ticket" else f'() => "{ticket}"'
    page.goto(site.page("/", guarded(hub, f"ticket: {option}, share: true")))
    for number in (1, 2, 3):
        page.wait_for_function("n => window.log?.length === n", arg=number)
        assert said(page)[-1] == ("error", {"code": 4401, "message": "the ticket has expired"})
        page.clock.run_for(59_000)
        assert (state(page), len(joins)) == ("refused", number)
        wait_until_it_tries_again(page)


def wait_until_it_tries_again(page: Page) -> None:
    """Let time go by in small steps, since whoever answers takes real time for it."""
    errors = len(said(page, "error"))
    for _ in range(120):
        page.clock.run_for(1_000)
        if state(page) != "refused" or len(said(page, "error")) > errors:
            return
    raise AssertionError("it does not try again")


@both_engines
def test_a_ticket_that_is_good_again_guards_the_page(
    start_hub: StartHub, site: Site, page: Page
) -> None:
    hub = start_hub(join="ticket")
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    hub.end()
    hub.settings["authkey"] = "another key of the browser's tests"
    hub.start()
    stop_the_clock(page)
    page.goto(site.page("/", guarded(hub, f'ticket: "{ticket}"')))
    wait_for(page, "refused")
    hub.end()
    hub.settings["authkey"] = KEY
    hub.start()
    wait_until_it_tries_again(page)
    wait_for(page, "joined")
    assert kinds(page) == ["error", "joined"]


@pytest.mark.parametrize(("act", "errors"), [("guard.stop()", 1), ("guard.start()", 2)])
def test_what_a_listener_does_about_a_refused_ticket_is_done_instead(
    start_hub: StartHub, site: Site, page: Page, act: str, errors: int
) -> None:
    hub = start_hub(join="ticket")
    stop_the_clock(page)
    joins = play_the_hub(page, None, 4401)
    act = f"guard.addEventListener('error', () => {{ {act} }}, {{once: true}}); guard.start();"
    page.goto(site.page("/", guarded(hub, 'ticket: "t"').replace("guard.start();", act)))
    page.wait_for_function("n => window.log?.length === n", arg=errors)
    page.clock.run_for(50_000)
    assert len(joins) == errors


@both_engines
def test_a_ticket_is_fetched_for_every_attempt(start_hub: StartHub, site: Site, page: Page) -> None:
    hub = start_hub(join="ticket")
    tickets = [hub.notify(room="u1", sender="s1")["ticket"] for _ in range(2)]
    stop_the_clock(page)
    options = f"""ticket: async () => {{
      const tickets = {tickets};
      window.asked = (window.asked ?? 0) + 1;
      if (window.asked === 2) throw new Error("the application is away");
      return tickets[window.asked >> 1];
    }}"""
    page.goto(site.page("/", guarded(hub, options)))
    wait_for(page, "joined")
    hub.end()
    wait_for(page, "offline")
    hub.start()
    page.clock.run_for(5_000)
    wait_for(page, "joined")
    assert page.evaluate("asked") == 3
    messages = [detail["message"] for _, detail in said(page, "offline")]
    assert messages[1:] == ["no ticket: Error: the application is away"]


@pytest.mark.parametrize("nothing", ["null", "undefined", "''"])
def test_no_ticket_is_the_end(hub: HubProcess, site: Site, page: Page, nothing: str) -> None:
    page.goto(site.page("/", guarded(hub, f"ticket: async () => {nothing}")))
    wait_for(page, "refused")
    assert said(page) == [("error", {"code": None, "message": "there is no ticket"})]


@pytest.mark.parametrize("given", ["a ticket", "a function"])
def test_a_ticket_for_another_session_is_refused(
    hub: HubProcess, site: Site, page: Page, sockets: list[str], given: str
) -> None:
    """Where the page itself can read whose it is, the hub is not asked."""
    ticket = hub.notify(room="u1", sender="s2")["ticket"]
    option = f'"{ticket}"' if given == "a ticket" else f'() => "{ticket}"'
    page.goto(site.page("/", guarded(hub, f'ticket: {option}, session: "s1"')))
    wait_for(page, "refused")
    message = "the ticket is for another room or session"
    assert said(page) == [("error", {"code": None, "message": message})]
    assert len(sockets) == (given == "a function")


LONGEST = "\U0001f600" * 256


@pytest.mark.parametrize(
    ("payload", "session"),
    [
        ('{"room":"jürgen","session":"世界 \U0001f600"}', "世界 \U0001f600"),
        (f'{{"room":"u1","session":"{LONGEST}"}}', LONGEST),
        ('{"room":"u1","session":"\\u4e16"}', "世"),
        ('{"room":7,"session":8}', "8"),
        ('{"room":"u1","session":9007199254740991}', "9007199254740991"),
        # JavaScript would read another number.
        ('{"room":"u1","session":9007199254740993}', None),
        ('{"room":"u1","session":1.5}', None),
        ('{"room":"u1","session":{}}', None),
        ('{"room":"u1"}', None),
        ('{"session":"s1"}', None),
        ("null", None),
        ("7", None),
        ("{", None),
    ],
)
def test_whose_a_ticket_is_can_be_read_from_it(
    reader: Page, payload: str, session: str | None
) -> None:
    """Or else it is learnt by joining."""
    encoded = base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=")
    read = "ticket => new SessionGuard({url: '/ws', ticket}).session"
    assert reader.evaluate(read, f"e30.{encoded}.c2ln") == session


@pytest.mark.parametrize("ticket", ["None", "a.b.c", "..", "a.世.c", "a._w.c"])
def test_a_ticket_that_is_none_does_not_break_the_page(reader: Page, ticket: str) -> None:
    read = "ticket => new SessionGuard({url: '/ws', ticket}).session"
    assert reader.evaluate(read, ticket) is None


def test_a_ticket_that_cannot_be_read_is_refused_by_the_hub(
    start_hub: StartHub, site: Site, page: Page
) -> None:
    hub = start_hub(join="ticket")
    page.goto(site.page("/", guarded(hub, 'ticket: "None", share: true')))
    wait_for(page, "refused")
    assert said(page) == [("error", {"code": 4401, "message": "the ticket is not valid"})]


@both_engines
def test_a_page_whose_browser_has_logged_in_again_is_terminated(
    hub: HubProcess, site: Site, tab: Page
) -> None:
    """Its cookie is the new login's, and so is the ticket; the page is still the old one's."""
    old = hub.notify(room="u1", sender="s1")["ticket"]
    tab.goto(site.page("/", guarded(hub, f'ticket: () => window.now ?? "{old}"')))
    wait_for(tab, "joined")
    hub.end()
    wait_for(tab, "offline")
    hub.start()
    tab.evaluate("t => { window.now = t }", hub.notify(room="u1", sender="s2")["ticket"])
    tab.evaluate("() => { dispatchEvent(new Event('online')) }")
    wait_for(tab, "terminated")
    assert said(tab, "terminated")[0][1]["reason"] == "login"


@both_engines
def test_a_session_that_the_hub_made_up_is_kept(hub: HubProcess, site: Site, page: Page) -> None:
    """Or else to reconnect would be to escape: as somebody new."""
    page.goto(site.page("/", guarded(hub, "room: 7")))
    wait_for(page, "joined")
    session = page.evaluate("guard.session")
    page.context.set_offline(True)
    hub.notify(room=7, sender="another")
    page.context.set_offline(False)
    wait_for(page, "terminated")
    assert {d["session"] for _, d in said(page, "joined")} == {session}


def test_messages_that_are_no_messages_are_passed_over(
    hub: HubProcess, site: Site, page: Page
) -> None:
    page.goto(site.page("/", guarded(hub, GUARD)))
    for nonsense in ("", "null", "7", "[]", "{}", '{"type": "novelty"}', "{"):
        page.unroute_all()
        play_the_hub(page, nonsense)
        page.reload()
        wait_for(page, "connecting")
        page.wait_for_timeout(50)
        assert (state(page), kinds(page)) == ("connecting", [])


def test_stop_leaves_and_start_returns(
    hub: HubProcess, site: Site, page: Page, sockets: list[str]
) -> None:
    page.goto(site.page("/", guarded(hub, GUARD)))
    wait_for(page, "joined")
    page.evaluate("guard.stop()")
    assert state(page) == "stopped"
    wait_for_members(page, hub, 0)
    page.evaluate("guard.start(); guard.start()")
    wait_for(page, "joined")
    assert len(sockets) == 2
    assert kinds(page) == ["joined", "joined"]


def test_what_has_been_stopped_may_start_for_another_login(
    hub: HubProcess, site: Site, page: Page
) -> None:
    tickets = [hub.notify(room=room, sender=room)["ticket"] for room in ("alice", "bob")]
    page.goto(site.page("/", guarded(hub, f"ticket: () => {tickets}[window.who ?? 0]")))
    wait_for(page, "joined")
    page.evaluate("guard.stop(); window.who = 1; guard.start()")
    wait_for(page, "joined")
    assert page.evaluate("guard.session") == "bob"
    assert kinds(page) == ["joined", "joined"]


def test_events_of_other_things_in_the_page_are_not_its_own(
    hub: HubProcess, site: Site, page: Page, sockets: list[str]
) -> None:
    page.goto(site.page("/", guarded(hub, GUARD, "<p>")))
    wait_for(page, "joined")
    for event in ("freeze", "pagehide", "online"):
        page.evaluate("e => { document.querySelector('p').dispatchEvent(new Event(e)) }", event)
    assert (state(page), len(sockets)) == ("joined", 1)


def test_a_relative_address_in_a_document_that_has_none(
    hub: HubProcess, site: Site, page: Page, sockets: list[str]
) -> None:
    """A frame of `srcdoc` is at about:srcdoc; its origin is its parent's."""
    page.goto(site.page("/", "<!doctype html><iframe></iframe>"))
    html = guarded(hub, f'{GUARD}, url: "/ws"')
    page.evaluate("html => { document.querySelector('iframe').srcdoc = html }", html)
    frame = page.frames[1]
    frame.wait_for_function("window.guard && guard.state !== 'connecting'")
    assert sockets[0] == site.origin.replace("http", "ws") + "/ws"


@both_engines
def test_a_full_address_in_a_document_that_has_no_origin_either(
    hub: HubProcess, site: Site, tab: Page
) -> None:
    tab.goto(site.page("/", '<!doctype html><iframe sandbox="allow-scripts"></iframe>'))
    tab.evaluate("html => { document.querySelector('iframe').srcdoc = html }", guarded(hub, GUARD))
    tab.frames[1].wait_for_function("window.guard?.state === 'joined'")


@both_engines
@pytest.mark.parametrize("when", ["joined", "heartbeat", "offline", "error"])
def test_it_can_be_stopped_by_what_it_says(
    start_hub: StartHub, site: Site, tab: Page, when: str
) -> None:
    hub = start_hub(heartbeat_interval=0.1)
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    stop = f"guard.addEventListener('{when}', () => guard.stop()); guard.start();"
    options = f"ticket: () => {'null' if when == 'error' else repr(ticket)}, maxDelay: 0"
    tab.goto(site.page("/", guarded(hub, options).replace("guard.start();", stop)))
    if when == "offline":
        wait_for(tab, "joined")
        hub.end()
    tab.wait_for_function("when => log.some(([type]) => type === when)", arg=when)
    assert state(tab) == "stopped"
    tab.wait_for_timeout(100)
    assert kinds(tab).count(when) == (when != "heartbeat")
    assert state(tab) == "stopped"


@pytest.mark.parametrize(
    ("options", "wrong"),
    [
        ("{}", "url is missing"),
        ("{url: '/ws'}", "either room or ticket is needed"),
        ("{url: '/ws', room: ''}", "either room or ticket is needed"),
        ("{url: '/ws', room: 'u1', session: ''}", "session is empty"),
        ("{url: 'wss://[', room: 'u1'}", "Invalid URL"),
    ],
)
def test_options_that_are_wrong(site: Site, page: Page, options: str, wrong: str) -> None:
    page.goto(deserted(site, GUARD))
    page.wait_for_function("window.guard")
    tried = f"""() => {{
      try {{ new SessionGuard({options}); }} catch (error) {{ return String(error); }}
    }}"""
    told = page.evaluate(tried)
    assert told.startswith("TypeError: ")
    assert wrong in told


@pytest.mark.parametrize("url", ["/ws", "{origin}/ws", "{ws}"])
def test_the_address_may_be_relative_or_of_http(
    hub: HubProcess, site: Site, page: Page, sockets: list[str], url: str
) -> None:
    address = url.format(origin=hub.origin, ws=hub.url)
    page.goto(site.page("/", guarded(hub, f'{GUARD}, url: "{address}"')))
    page.wait_for_function("window.guard?.state")
    page.wait_for_function("guard.state !== 'connecting'")
    assert sockets[0] == (hub.url if "{" in url else site.origin.replace("http", "ws") + "/ws")
