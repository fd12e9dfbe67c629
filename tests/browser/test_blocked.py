"""Where something on the way lets no WebSockets pass: when the page joins by requests, and how.

The hub and what is on the way to it are played in the page, and the time is Playwright's.
"""

import json
from typing import Any

import pytest
from playwright.sync_api import Page

from sse_trio.browser import SOURCE

from .pages import kinds, said, state, stop_the_clock, wait_for
from .processes import Site

JOINED = {"type": "joined", "room": "u1", "session": "s1", "epoch": 0, "heartbeat": 25}
HEARTBEAT = {"type": "heartbeat", "time": 1}
HOLD = {"type": "hold"}
# What its detail says is no line of its own.
DETAIL = {"device": "\u2028event: close"}
TERMINATE = {"type": "terminate", "room": "u1", "epoch": 1, "reason": "login", "detail": DETAIL}

# Plays the hub, and what is on the way to it. `block` says what becomes of WebSockets; a request
# is what `play` makes of it, or else what a test does with it later.
WORLD = """
  window.tries = [];
  window.sockets = [];
  window.requests = [];
  window.block = null;
  window.play = () => {};
  Math.random = () => 0.999;
  window.at = () => Math.round(performance.now() - start) / 1000;
  window.WebSocket = class Socket extends EventTarget {
    static CONNECTING = 0;
    readyState = 0;
    sent = [];
    constructor(url) {
      super();
      this.url = url;
      sockets.push(this);
      tries.push(["websocket", at()]);
      queueMicrotask(() => this.begin());
    }
    begin() {
      if (block === "refused") this.end();
      if (block === "refused" || block === "silence") return;
      this.readyState = 1;
      this.dispatchEvent(new Event("open"));
      if (block === "open") return;
      this.say(JOINED);
      if (typeof block === "number") setTimeout(() => this.end(), 1000 * block);
    }
    say(message) {
      this.dispatchEvent(new MessageEvent("message", {data: JSON.stringify(message)}));
    }
    end(code = 1006) {
      this.readyState = 3;
      this.dispatchEvent(new CloseEvent("close", {code}));
    }
    send(text) {
      this.sent.push(JSON.parse(text).type);
    }
    close() {
      this.readyState = 3;
    }
  };
  window.fetch = (url, {body, signal, ...options}) => new Promise((resolve, reject) => {
    let stream;
    const encoder = new TextEncoder();
    const request = {url, options, body: JSON.parse(body), aborted: false};
    request.answer = (body, status) => resolve(new Response(body, {status}));
    request.open = () => request.answer(new ReadableStream({start: (made) => { stream = made; }}));
    request.send = (text) => stream.enqueue(encoder.encode(text));
    request.say = (message) => request.send(`data: ${JSON.stringify(message)}\\n\\n`);
    request.end = () => stream.close();
    request.fail = () => reject(new TypeError("nobody is there"));
    signal.addEventListener("abort", () => {
      request.aborted = true;
      reject(signal.reason);
      if (stream) stream.error(signal.reason);
    });
    requests.push(request);
    tries.push([new URL(url).pathname + new URL(url).search, at()]);
    play(request);
  });
  window.streams = (request) => {
    if (request.body.type !== "join") return;
    request.open();
    request.say(JOINED);
  };
  window.fails = (request) => request.fail();
"""


@pytest.fixture
def played(site: Site, page: Page) -> Page:
    """A page whose `guard` has not started."""
    site.pages["/client.js"] = ("text/javascript", SOURCE, {})
    stop_the_clock(page)
    log = "for (const type of ['joined', 'heartbeat', 'offline', 'error', 'terminated'])"
    page.goto(
        site.page(
            "/",
            f"""<!doctype html><title>played</title><link rel="icon" href="data:,">
            <script type="module">
              import {{SessionGuard}} from "/client.js";
              window.JOINED = {json.dumps(JOINED)};
              window.start = performance.now();
              {WORLD}
              window.log = [];
              window.begin = (more) => {{
                window.guard = new SessionGuard({{url: "/ws", room: "u1", session: "s1", ...more}});
                {log} guard.addEventListener(type, ({{detail}}) => log.push([type, detail]));
                guard.start();
              }};
            </script>""",
        )
    )
    page.wait_for_function("window.begin !== undefined")
    return page


def begin(page: Page, block: str | float | None, play: str = "streams", options: str = "") -> None:
    page.evaluate(f"() => {{ block = {json.dumps(block)}; play = {play}; begin({{{options}}}); }}")


def go_on(page: Page, seconds: float) -> None:
    """Let time go by, in small steps: streams are read between two of them."""
    for _ in range(round(seconds * 2)):
        page.clock.run_for(500)


LOOK = "() => { dispatchEvent(new Event('focus')) }"


def tries(page: Page) -> list[str]:
    return [what for what, _ in page.evaluate("tries")]


def transport(page: Page) -> Any:
    return page.evaluate("guard.transport")


def on_requests(page: Page, play: str = "streams", options: str = "") -> None:
    """Have the page join by requests."""
    begin(page, "refused", play, options)
    go_on(page, 4)
    assert state(page) == "joined"


# -- going over -------------------------------------------------------------------------

BLOCKS = ["refused", "silence", "open", 10.0]


@pytest.mark.parametrize("block", BLOCKS)
def test_a_page_is_guarded_within_30_seconds(played: Page, block: str | float) -> None:
    """With the longest delays that can be drawn."""
    begin(played, block)
    go_on(played, 30)
    assert [what for what, _ in played.evaluate("tries")] == ["websocket", "websocket", "/events"]
    assert (state(played), transport(played)) == ("joined", "events")


@pytest.mark.parametrize("block", BLOCKS)
def test_so_is_one_whose_stream_is_held_back(played: Page, block: str | float) -> None:
    begin(played, block, "(request) => request.url.includes('wait') && streams(request)")
    go_on(played, 30)
    assert tries(played)[2:4] == ["/events", "/events?wait=0"]
    assert (state(played), transport(played)) == ("joined", "polling")


def test_what_it_posts(played: Page) -> None:
    """Nothing of it makes a browser ask first, and each attempt has a name of its own."""
    begin(played, "refused", "fails")
    go_on(played, 4)
    played.evaluate("() => { play = streams; }")
    go_on(played, 12)
    assert transport(played) == "events"
    first, *_, last = played.evaluate("requests")
    assert first["url"].endswith("/events")
    assert first["options"] == {
        "method": "POST",
        "credentials": "omit",
        "cache": "no-store",
        "redirect": "error",
    }
    assert first["body"] | {"stream": ""} == {
        "type": "join", "room": "u1", "session": "s1", "stream": "",
    }  # fmt: skip
    assert len(first["body"]["stream"]) == 24
    assert first["body"]["stream"] != last["body"]["stream"]


@pytest.mark.parametrize("code", [1001, 1013, 4408, 4429])
def test_the_hubs_word_comes_through_websockets(played: Page, code: int) -> None:
    begin(played, None)
    for _ in range(4):
        played.evaluate(f"sockets.at(-1).end({code})")
        go_on(played, 16)
    assert set(tries(played)) == {"websocket"}


def test_two_in_a_row_are_meant(played: Page) -> None:
    begin(played, None)
    for code in (1006, 1013, 1006):
        played.evaluate(f"sockets.at(-1).end({code})")
        go_on(played, 8)
    assert tries(played) == ["websocket"] * 4
    played.evaluate("sockets.at(-1).end()")
    go_on(played, 8)
    assert tries(played)[-1] == "/events"


def test_a_connection_that_had_a_heartbeat_was_none_that_is_blocked(played: Page) -> None:
    begin(played, None)
    for _ in range(4):
        played.evaluate(f"sockets.at(-1).say({json.dumps(HEARTBEAT)}); sockets.at(-1).end()")
        go_on(played, 2)
    assert set(tries(played)) == {"websocket"}


def test_while_the_hub_is_away_each_is_tried_in_its_turn(played: Page) -> None:
    begin(played, "refused", "fails")
    go_on(played, 60)
    assert tries(played) == ["websocket", "websocket", *["/events", "websocket"] * 2]
    # The delays are those of attempts, whichever they are.
    times = [time for _, time in played.evaluate("tries")]
    assert times == pytest.approx([0, 1, 3, 7, 15, 31], abs=0.1)
    # Whichever is there first, is taken.
    played.evaluate("() => { play = streams; }")
    go_on(played, 32)
    assert transport(played) == "events"


def problem(kind: str) -> str:
    return json.dumps({"type": f"urn:sse-trio:problem:{kind}", "title": "", "detail": "the reason"})


@pytest.mark.parametrize(
    ("status", "body", "code"),
    [
        (400, problem("malformed"), 4400),
        (403, problem("origin-refused"), 4403),
        (413, problem("body-too-large"), 1009),
    ],
)
def test_a_request_that_the_hub_refuses_is_refused(
    played: Page, status: int, body: str, code: int
) -> None:
    begin(played, "refused", f"(request) => request.answer({json.dumps(body)}, {status})")
    go_on(played, 60)
    assert said(played)[-1] == ("error", {"code": code, "message": "the reason"})
    assert tries(played) == ["websocket", "websocket", "/events"]


@pytest.mark.parametrize(
    ("status", "body", "message"),
    [
        (503, problem("loading"), "the reason"),
        # Nobody of the hub's.
        (403, "no", "the answer is 403"),
        (404, '{"type": "about:blank"}', "the answer is 404"),
        (200, "<!doctype html>", "the answer has ended"),
    ],
)
def test_any_other_answer_is_no_last_word(
    played: Page, status: int, body: str, message: str
) -> None:
    begin(played, "refused", f"(request) => request.answer({json.dumps(body)}, {status})")
    go_on(played, 4)
    assert said(played)[-1][0] == "offline"
    assert said(played)[-1][1]["message"] == message
    go_on(played, 4)
    assert tries(played) == ["websocket", "websocket", "/events", "websocket"]


# -- a stream ---------------------------------------------------------------------------


def test_a_stream_is_read_however_it_is_divided(played: Page) -> None:
    on_requests(played)
    text = "".join(
        f"{more}data: {json.dumps(message, ensure_ascii=False)}\n\n"
        for more, message in [(":\n", HEARTBEAT), ("", HOLD), ("", JOINED), ("", TERMINATE)]
    )
    encoded = list(text.encode())
    played.evaluate(
        """bytes => {
          const {send} = requests[0];
          TextEncoder.prototype.encode = (byte) => Uint8Array.of(byte);
          for (const byte of bytes) send(byte);
        }""",
        encoded,
    )
    wait_for(played, "terminated")
    assert kinds(played)[-4:] == ["joined", "offline", "joined", "terminated"]
    assert said(played, "heartbeat") == [("heartbeat", {"time": 1})]
    assert said(played)[-1][1]["detail"] == DETAIL


def test_a_termination_is_acknowledged_and_the_stream_ended(played: Page) -> None:
    on_requests(played)
    played.evaluate(f"requests[0].say({json.dumps(TERMINATE)})")
    wait_for(played, "terminated")
    joining, saying = played.evaluate("requests")
    stream = joining["body"]["stream"]
    assert saying["body"] == {"type": "terminated", "epoch": 1, "stream": stream}
    assert saying["options"]["keepalive"] is True
    # The hub is to hear of it before it hears of the end.
    assert joining["aborted"] is False
    played.evaluate("requests[1].answer(null, 204)")
    played.wait_for_function("requests[0].aborted")
    go_on(played, 60)
    played.evaluate("() => { dispatchEvent(new Event('online')) }")
    assert played.evaluate("tries.length") == 4


@pytest.mark.parametrize(
    ("code", "now"),
    [(1001, "offline"), (1013, "offline"), (4408, "offline"), (4001, "terminated")]
    + [(code, "refused") for code in (1009, 4400, 4403)],
)
def test_the_close_codes_mean_the_same(played: Page, code: int, now: str) -> None:
    play = f"""(request) => {{
      request.open();
      request.send('event: close\\ndata: {{"code": {code}, "reason": "so it is"}}\\n\\n');
    }}"""
    begin(played, "refused", play)
    go_on(played, 3.5)
    assert state(played) == now
    detail = said(played)[-1][1]
    assert detail.get("message", detail.get("reason")) == "so it is"
    # Where the hub has answered, a request gets there.
    go_on(played, 4)
    assert tries(played)[2:] == ["/events"] * (2 if now == "offline" else 1)


def test_an_error_is_what_the_close_would_say(played: Page) -> None:
    error = '{"type": "error", "code": 4401, "message": "the ticket is not valid"}'
    begin(played, "refused", f"(request) => {{ request.open(); request.say({error}); }}")
    go_on(played, 4)
    assert said(played)[-1] == ("error", {"code": 4401, "message": "the ticket is not valid"})


def test_heartbeats_that_fail_to_come_are_missed(played: Page) -> None:
    on_requests(played)
    played.evaluate(f"requests[0].say({json.dumps(HEARTBEAT)})")
    go_on(played, 49)
    assert state(played) == "joined"
    go_on(played, 3)
    assert kinds(played)[-2:] == ["offline", "joined"]
    # By a request again, since these were no WebSockets that failed.
    assert tries(played)[2:] == ["/events", "/events"]


def test_who_looks_at_the_page_has_it_ask(played: Page) -> None:
    on_requests(played)
    go_on(played, 10)
    played.evaluate(LOOK)
    question = played.evaluate("requests[1].body")
    assert question == {"type": "heartbeat", "stream": played.evaluate("requests[0].body.stream")}
    played.evaluate(f"requests[1].answer(null, 204); requests[0].say({json.dumps(HEARTBEAT)})")
    go_on(played, 10)
    assert kinds(played)[-1] == "joined"


@pytest.mark.parametrize(
    ("answer", "seconds", "message"),
    [
        ("fail()", 0, "nobody is there"),
        ("answer('', 404)", 0, "the hub does not know the stream: 404"),
        ("answer(null, 204)", 5, "nothing was heard in time"),
    ],
)
def test_a_question_without_an_answer(
    played: Page, answer: str, seconds: int, message: str
) -> None:
    """The connection is lost, and where nobody knows of the stream, it is so at once."""
    on_requests(played)
    go_on(played, 10)
    played.evaluate(LOOK)
    played.evaluate(f"requests.at(-1).{answer}")
    go_on(played, seconds + 0.5)
    assert said(played, "offline")[-1][1]["message"] == message
    go_on(played, 10)
    assert (state(played), transport(played)) == ("joined", "events")


# -- polling ----------------------------------------------------------------------------

POLLS = "(request) => request.url.endsWith('wait=0') && streams(request) + request.end()"


def answer_poll(page: Page, *messages: dict[str, Any]) -> None:
    """Answer the poll that waits."""
    page.evaluate(
        """messages => {
          const request = requests.at(-1);
          request.open();
          for (const message of messages) request.say(message);
          request.end();
        }""",
        messages,
    )


def polling(page: Page, options: str = "") -> None:
    """Have the page poll, and wait for its second answer."""
    begin(page, "refused", POLLS, options)
    go_on(page, 9)
    page.wait_for_function("tries.at(-1)[0] === '/events?wait=25'")
    assert (state(page), transport(page)) == ("joined", "polling")


def test_each_poll_that_is_answered_is_a_heartbeat(played: Page) -> None:
    polling(played)
    for number in range(1, 5):
        go_on(played, 25)
        answer_poll(played, JOINED)
        played.wait_for_function("n => requests.length === n", arg=number + 3)
        assert len(said(played, "heartbeat")) == number
    assert kinds(played).count("joined") == 1
    assert len({request["body"]["stream"] for request in played.evaluate("requests")}) == 1
    answer_poll(played, TERMINATE)
    wait_for(played, "terminated")
    # To have been answered is to be gone, so there is nobody to say more.
    assert set(tries(played)[4:]) == {"/events?wait=25"}


def test_a_poll_is_asked_anew_when_somebody_looks(played: Page) -> None:
    polling(played)
    go_on(played, 10)
    played.evaluate("() => { play = () => {}; dispatchEvent(new Event('focus')) }")
    assert played.evaluate("requests.at(-2).aborted") is True
    assert tries(played)[-1] == "/events?wait=0"
    answer_poll(played, JOINED)
    played.wait_for_function("tries.at(-1)[0] === '/events?wait=25'")
    assert len(said(played, "heartbeat")) == 1
    # One poll goes on, and not also the one that was under way.
    answer_poll(played, JOINED)
    played.wait_for_function("requests.length === 6")
    assert played.evaluate("requests.slice(3).some(({aborted}) => aborted)") is False


def test_a_hub_on_hold_is_not_asked_again_and_again(played: Page) -> None:
    polling(played)
    answer_poll(played, HOLD)
    wait_for(played, "offline")
    number = played.evaluate("requests.length")
    go_on(played, 4.5)
    assert played.evaluate("requests.length") == number
    go_on(played, 1)
    assert played.evaluate("requests.length") == number + 1
    answer_poll(played, JOINED)
    wait_for(played, "joined")
    assert kinds(played)[-3:] == ["joined", "offline", "joined"]


def test_a_poll_that_fails_is_a_connection_that_is_lost(played: Page) -> None:
    polling(played)
    answer_poll(played, JOINED)
    played.wait_for_function("log.at(-1)[0] === 'heartbeat'")
    played.evaluate("requests.at(-1).fail()")
    wait_for(played, "offline")
    go_on(played, 1.5)
    # It knows by now that streams are held back.
    assert tries(played)[-2:] == ["/events?wait=0", "/events?wait=25"]


@pytest.mark.parametrize("answer", ["''", "'<p>log in\\n\\n<p>here\\n\\n'"])
def test_what_is_no_answer_of_the_hubs_is_not_asked_for_again_and_again(
    played: Page, answer: str
) -> None:
    polling(played)
    played.evaluate(f"requests.at(-1).answer({answer}, 200)")
    wait_for(played, "offline")
    assert said(played)[-1][1]["message"] == "the answer has ended"
    assert tries(played)[-1] == "/events?wait=25"


def test_a_ticket_that_has_expired_between_two_polls_is_fetched_anew(played: Page) -> None:
    polling(played, "ticket: () => `ticket ${window.asked = (window.asked ?? 0) + 1}`")
    answer_poll(played, {"type": "error", "code": 4401, "message": "the ticket has expired"})
    wait_for(played, "offline")
    go_on(played, 9)
    assert played.evaluate("requests.at(-1).body.ticket") == "ticket 4"


# -- back to WebSockets -----------------------------------------------------------------


def heartbeat(page: Page) -> None:
    page.evaluate(f"requests[0].say({json.dumps(HEARTBEAT)})")
    page.wait_for_function("log.at(-1)[0] === 'heartbeat'")


def test_a_wake_tries_a_websocket_beside_the_stream(played: Page) -> None:
    on_requests(played)
    go_on(played, 40)
    heartbeat(played)
    played.evaluate(LOOK)
    assert played.evaluate("sockets.length") == 2  # not sooner than a minute
    go_on(played, 25)
    heartbeat(played)
    played.evaluate(LOOK)
    assert played.evaluate("sockets.length") == 3
    assert (state(played), transport(played)) == ("joined", "events")
    assert kinds(played) == ["offline", "offline", "joined"]
    # Refused once more it is as before.
    go_on(played, 2)
    assert (state(played), transport(played)) == ("joined", "events")


def trying(page: Page, options: str = "") -> None:
    """Have a page that has joined by a stream try a WebSocket, which joins."""
    on_requests(page, options=options)
    go_on(page, 30)
    heartbeat(page)
    go_on(page, 30)
    page.evaluate("() => { block = null }")
    heartbeat(page)
    page.evaluate(LOOK)
    go_on(page, 0.5)
    assert page.evaluate("sockets.at(-1).sent") == ["join"]
    assert (page.evaluate("sockets.length"), transport(page)) == (3, "events")


def test_its_first_heartbeat_decides(played: Page) -> None:
    trying(played)
    played.evaluate(f"sockets.at(-1).say({json.dumps(HEARTBEAT)})")
    assert (state(played), transport(played)) == ("joined", "websocket")
    assert played.evaluate("requests[0].aborted") is True
    assert kinds(played)[-2:] == ["joined", "joined"]
    # From now on it is WebSockets that are tried first.
    played.evaluate("sockets.at(-1).end()")
    go_on(played, 1.5)
    assert tries(played)[-1] == "websocket"


def test_one_that_is_cut_before_it_changes_nothing(played: Page) -> None:
    trying(played)
    played.evaluate("sockets.at(-1).end()")
    go_on(played, 2)
    assert (state(played), transport(played)) == ("joined", "events")
    assert kinds(played)[-1] == "joined"


def test_a_termination_counts_by_whichever_it_comes(played: Page) -> None:
    trying(played)
    played.evaluate(f"sockets.at(-1).say({json.dumps(TERMINATE)})")
    assert state(played) == "terminated"
    assert played.evaluate("sockets.at(-1).sent") == ["join", "terminated"]
    assert played.evaluate("requests[0].aborted") is True


@pytest.mark.parametrize("act", ["guard.stop()", "dispatchEvent(new Event('pagehide'))"])
def test_who_leaves_leaves_both(played: Page, act: str) -> None:
    trying(played)
    played.evaluate(f"() => {{ {act} }}")
    played.wait_for_function("requests[0].aborted")
    assert played.evaluate("sockets.at(-1).readyState") == 3
    assert transport(played) is None


def test_a_trial_needs_a_ticket_of_its_own(played: Page) -> None:
    options = (
        "ticket: () => window.none ? null : `ticket ${window.asked = (window.asked ?? 0) + 1}`"
    )
    trying(played, options)
    assert played.evaluate("asked") == 4
    go_on(played, 40)
    heartbeat(played)
    go_on(played, 21)
    heartbeat(played)
    played.evaluate("() => { window.none = true }")
    played.evaluate(LOOK)
    go_on(played, 1)
    # No ticket is no reason to give up what is connected.
    assert (state(played), played.evaluate("sockets.length")) == ("joined", 3)


def test_the_network_that_is_back_may_be_another_one(played: Page) -> None:
    """So it joins as it could before, and tries the other way at once."""
    on_requests(played)
    played.evaluate("() => { block = null; dispatchEvent(new Event('online')) }")
    go_on(played, 1)
    assert tries(played)[2:] == ["/events", "/events", "websocket"]
    assert transport(played) == "events"
    played.evaluate(f"sockets.at(-1).say({json.dumps(HEARTBEAT)})")
    assert transport(played) == "websocket"


def test_the_next_page_of_the_tab_does_not_start_from_nothing(played: Page) -> None:
    trying(played)
    played.evaluate("guard.stop()")
    begin(played, None)
    go_on(played, 0.5)
    assert tries(played)[-2:] == ["/events", "websocket"]
    assert transport(played) == "events"
    played.evaluate(f"sockets.at(-1).say({json.dumps(HEARTBEAT)})")
    assert transport(played) == "websocket"
    played.evaluate("guard.stop()")
    begin(played, None)
    assert tries(played)[-1] == "websocket"


def test_another_network_may_not_hold_streams_back(played: Page) -> None:
    polling(played)
    answer_poll(played, JOINED)
    played.wait_for_function("log.at(-1)[0] === 'heartbeat'")
    played.evaluate("() => { play = streams; dispatchEvent(new Event('online')) }")
    go_on(played, 0.5)
    assert (state(played), transport(played)) == ("joined", "events")


def test_it_remembers_that_streams_are_held_back_too(played: Page) -> None:
    polling(played)
    answer_poll(played, JOINED)
    played.wait_for_function("log.at(-1)[0] === 'heartbeat'")
    played.evaluate("guard.stop()")
    number = len(tries(played))
    begin(played, None, POLLS)
    go_on(played, 0.5)
    assert tries(played)[number] == "/events?wait=0"


def test_where_nothing_can_be_remembered_it_goes_over_all_the_same(played: Page) -> None:
    played.evaluate("Object.defineProperty(window, 'sessionStorage', {get: () => nothing})")
    on_requests(played)
    heartbeat(played)
    assert transport(played) == "events"
