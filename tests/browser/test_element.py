"""`<session-guard>`: what a page gets for one line of markup."""

import contextlib
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Dialog, Error, Locator, Page, Route, WebSocketRoute, expect

from .conftest import StartHub, both_engines
from .pages import (
    guarded,
    kinds,
    marked_up,
    said,
    state,
    stop_the_clock,
    wait_for,
    wait_for_members,
)
from .processes import DEADLINE, HubProcess, Site


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub()


@pytest.fixture
def login(site: Site) -> str:
    return site.page("/login", "<!doctype html><title>login</title><h1>Log in</h1>")


def element(hub: HubProcess, attributes: str = "", children: str = "") -> str:
    return (
        f'<session-guard src="{hub.url}" room="u1" session="s1" {attributes}>'
        f"{children}</session-guard>"
    )


def terminated(page: Page, site: Site, hub: HubProcess, markup: str, **notify: object) -> None:
    """Open a page with this markup, and end its session."""
    page.goto(site.page("/", marked_up(hub, markup, "<button>of the page</button>")))
    wait_for(page, "joined")
    hub.notify(room="u1", sender="s2", **notify)


def notice(page: Page) -> Locator:
    return page.get_by_role("alertdialog")


# -- the events -------------------------------------------------------------------------


def test_it_joins_and_raises_session_expired(hub: HubProcess, site: Site, page: Page) -> None:
    terminated(page, site, hub, f'<div id="around">{element(hub)}</div>', detail={"by": "Safari"})
    wait_for(page, "terminated")
    detail = {"room": "u1", "epoch": 1, "reason": "login", "detail": {"by": "Safari"}}
    assert said(page)[-2:] == [("terminated", detail), ("session-expired", detail)]
    # Nothing else was asked for.
    assert site.posted == []
    assert page.url == site.origin + "/"
    expect(notice(page)).to_have_count(0)


def test_session_expired_bubbles_out_of_shadow_trees(
    hub: HubProcess, site: Site, page: Page
) -> None:
    page.goto(
        site.page(
            "/",
            f"""<!doctype html><title>shadows</title><div id="app"></div>
            <script type="module">
              import "{hub.client}";
              const root = document.querySelector("#app").attachShadow({{mode: "open"}});
              const element = document.createElement("session-guard");
              for (const [name, value] of [["src", "{hub.url}"], ["room", "u1"]]) {{
                element.setAttribute(name, value);
              }}
              document.addEventListener("session-expired", (event) => {{
                window.heard = event.detail;
              }});
              root.append(element);
              await null;
              window.guard = element.guard;
            </script>""",
        )
    )
    wait_for(page, "joined")
    hub.notify(room="u1", sender=None, reason="maintenance")
    page.wait_for_function("window.heard")
    assert page.evaluate("heard.reason") == "maintenance"


# -- logout and redirect ----------------------------------------------------------------


def test_it_logs_out_and_goes_to_the_login(
    hub: HubProcess, site: Site, page: Page, login: str
) -> None:
    terminated(page, site, hub, element(hub, 'logout="/logout" csrf="t0ken" redirect="/login"'))
    page.wait_for_url(login)
    (posted,) = site.posted
    assert posted.path == "/logout"
    assert posted.headers["X-CSRF-Token"] == posted.headers["X-CSRFToken"] == "t0ken"
    assert parse_qs(posted.body) == {"session": ["s1"], "reason": ["login"]}
    # The page that was terminated is not one to go back to.
    assert page.evaluate("history.length") == 2


def test_a_logout_that_fails_or_hangs_keeps_nobody(
    hub: HubProcess, site: Site, page: Page, login: str
) -> None:
    stop_the_clock(page)
    page.route("**/hangs", lambda _: None)
    with page.expect_request("**/hangs"):
        terminated(page, site, hub, element(hub, 'logout="/hangs" redirect="/login"'))
    page.clock.run_for(5_000)
    page.wait_for_url(login)

    hub.notify(room="u1", sender="s1")
    page.route("**/fails", lambda route: route.abort())
    terminated(page, site, hub, element(hub, 'logout="/fails" redirect="/login"'))
    page.wait_for_url(login)


def test_a_page_may_do_it_its_own_way(hub: HubProcess, site: Site, page: Page) -> None:
    page.add_init_script("addEventListener('session-expired', (event) => event.preventDefault())")
    terminated(page, site, hub, element(hub, 'logout="/logout" redirect="/login" notice'))
    wait_for(page, "terminated")
    page.wait_for_timeout(100)
    assert site.posted == []
    assert page.url == site.origin + "/"
    expect(notice(page)).to_have_count(0)


@pytest.mark.parametrize("redirect", ["javascript:document.title='pwned'", "data:text/html,hi"])
def test_it_goes_to_pages_only(hub: HubProcess, site: Site, page: Page, redirect: str) -> None:
    terminated(page, site, hub, element(hub, f'redirect="{redirect}"'))
    wait_for(page, "terminated")
    page.wait_for_timeout(100)
    assert (page.url, page.title()) == (site.origin + "/", "a page")


# -- the notice -------------------------------------------------------------------------


def test_the_notice_is_a_modal_alert_that_leads_to_the_login(
    hub: HubProcess, site: Site, page: Page, login: str
) -> None:
    terminated(page, site, hub, element(hub, 'notice logout="/logout" redirect="/login"'))
    expect(notice(page)).to_be_visible()
    expect(notice(page)).to_have_accessible_name("You have been logged out")
    expect(notice(page)).to_have_accessible_description(
        "Your account was used to log in again, here or elsewhere."
    )
    action = page.get_by_role("button", name="Log in again")
    expect(action).to_be_focused()
    # The page behind it is there to be seen, and for nothing else.
    behind = page.locator("body > button")
    for key in ("Tab", "Tab", "Shift+Tab", "Escape"):
        page.keyboard.press(key)
        expect(behind).not_to_be_focused()
    with pytest.raises(Exception, match="Timeout"):
        behind.click(timeout=200)
    expect(notice(page)).to_be_visible()
    # The logout did not wait for a click.
    assert [posted.path for posted in site.posted] == ["/logout"]
    assert page.url == site.origin + "/"
    action.click()
    page.wait_for_url(login)


def test_one_click_asks_for_the_login_once(
    hub: HubProcess, site: Site, page: Page, login: str
) -> None:
    terminated(page, site, hub, element(hub, 'notice logout="/logout" redirect="/login"'))
    while not site.posted:
        page.wait_for_timeout(10)
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.get_by_role("button", name="Log in again").press("Enter")
    page.wait_for_url(login)
    expect(page.get_by_role("heading")).to_have_text("Log in")
    assert asked.count(login) == 1


def test_however_the_notice_is_closed_it_leads_on(
    hub: HubProcess, site: Site, page: Page, login: str
) -> None:
    terminated(page, site, hub, element(hub, 'notice redirect="/login"'))
    expect(notice(page)).to_be_visible()
    page.evaluate("element.shadowRoot.querySelector('dialog').close()")
    page.wait_for_url(login)


def test_a_notice_without_a_redirect_loads_the_page_anew(
    hub: HubProcess, site: Site, page: Page
) -> None:
    terminated(page, site, hub, element(hub, "notice"))
    expect(notice(page)).to_be_visible()
    page.evaluate("window.before = true")
    site.page("/", "<!doctype html><title>again</title>")
    page.get_by_role("button").get_by_text("Log in again").click()
    page.wait_for_function("document.title === 'again'")


def test_the_words_of_the_notice_are_the_pages(hub: HubProcess, site: Site, page: Page) -> None:
    words = (
        '<span slot="title">Abgemeldet</span><span slot="message">Ihr Konto wurde auf einem '
        'anderen Gerät angemeldet.</span><span slot="action">Neu anmelden</span>'
    )
    page.goto(site.page("/", marked_up(hub, element(hub, "notice", words))))
    wait_for(page, "joined")
    expect(page.get_by_text("Abgemeldet")).not_to_be_visible()
    hub.notify(room="u1", sender="s2")
    expect(notice(page)).to_have_accessible_name("Abgemeldet")
    expect(notice(page)).to_have_accessible_description(
        "Ihr Konto wurde auf einem anderen Gerät angemeldet."
    )
    expect(page.get_by_role("button", name="Neu anmelden")).to_be_focused()


def test_the_notice_does_not_claim_another_login_where_there_was_none(
    hub: HubProcess, site: Site, page: Page
) -> None:
    terminated(page, site, hub, element(hub, "notice"), reason="logout")
    expect(notice(page)).to_have_accessible_description("Your session has ended.")


def test_the_notice_takes_the_pages_style(hub: HubProcess, site: Site, page: Page) -> None:
    style = """<style>
      session-guard {
        --session-guard-background: rgb(1, 2, 3);
        --session-guard-accent: rgb(4, 5, 6);
      }
      session-guard::part(title) { color: rgb(7, 8, 9) }
    </style>"""
    terminated(page, site, hub, style + element(hub, "notice"))
    expect(notice(page)).to_have_css("background-color", "rgb(1, 2, 3)")
    expect(page.get_by_role("button", name="Log in again")).to_have_css(
        "background-color", "rgb(4, 5, 6)"
    )
    expect(page.get_by_role("heading", name="You have been logged out")).to_have_css(
        "color", "rgb(7, 8, 9)"
    )


@pytest.mark.parametrize("away", [False, True])
def test_a_concealed_page_shows_its_notice_alone(
    hub: HubProcess, site: Site, page: Page, login: str, away: bool
) -> None:
    markup = element(hub, 'notice conceal redirect="/login"')
    page.goto(site.page("/", marked_up(hub, markup, "<p>secret")))
    wait_for(page, "joined")
    if away:
        page.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    hub.notify(room="u1", sender="s2")
    if away:
        page.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
    action = page.get_by_role("button", name="Log in again")
    expect(action).to_be_focused()
    expect(action).to_have_css("visibility", "visible")
    expect(page.get_by_text("secret")).not_to_be_visible()
    # Playwright's own idea of what is inert knows nothing of modal dialogs.
    box = action.bounding_box()
    assert box
    page.mouse.click(box["x"] + 5, box["y"] + 5)
    page.wait_for_url(login)


# -- what the page does with the element --------------------------------------------------


def test_without_room_or_ticket_it_waits(hub: HubProcess, site: Site, page: Page) -> None:
    page.goto(site.page("/", marked_up(hub, f'<session-guard src="{hub.url}"></session-guard>')))
    page.wait_for_function("window.element && !!customElements.get('session-guard')")
    assert page.evaluate("element.guard") is None
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    page.evaluate("ticket => { element.ticket = async () => ticket }", ticket)
    wait_for(page, "joined")
    assert page.evaluate("guard.session") == "s1"
    page.evaluate("() => { element.ticket = null }")
    page.wait_for_function("element.guard === null")


def test_a_ticket_that_was_set_before_the_module_was_there(
    hub: HubProcess, site: Site, page: Page
) -> None:
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    early = f"document.querySelector('session-guard').ticket = () => '{ticket}';"
    body = f'<session-guard src="{hub.url}"></session-guard><script>{early}</script>'
    page.goto(site.page("/", marked_up(hub, body)))
    wait_for(page, "joined")


def test_a_new_login_in_the_same_page(hub: HubProcess, site: Site, page: Page) -> None:
    """Single-page applications change the attributes, and keep the element."""
    terminated(page, site, hub, element(hub, "notice"))
    expect(notice(page)).to_be_visible()
    page.evaluate("element.setAttribute('session', 's3'); element.setAttribute('room', 'u2')")
    wait_for(page, "joined")
    expect(notice(page)).to_have_count(0)
    assert said(page, "joined")[-1][1]["room"] == "u2"
    assert said(page, "joined")[-1][1]["session"] == "s3"
    assert kinds(page).count("joined") == 2


def test_a_new_ticket_in_the_same_page(start_hub: StartHub, site: Site, page: Page) -> None:
    """Of another user: it says for whom it is, so nothing else changes."""
    hub = start_hub(join="ticket")
    old, new = (hub.notify(room=room, sender=f"{room}'s")["ticket"] for room in ("ada", "bo"))
    markup = f'<session-guard src="{hub.url}" ticket="{old}" share></session-guard>'
    page.goto(site.page("/", marked_up(hub, markup)))
    wait_for(page, "joined")
    page.evaluate("ticket => element.setAttribute('ticket', ticket)", new)
    page.wait_for_function("guard.session === 'bo\\'s'")
    wait_for(page, "joined")
    assert [detail["room"] for _, detail in said(page)] == ["ada", "bo"]
    assert kinds(page) == ["joined", "joined"]
    hub.notify(room="ada", sender=None)
    hub.notify(room="bo", sender=None)
    wait_for(page, "terminated")
    assert said(page, "terminated")[0][1]["room"] == "bo"


def test_it_is_a_member_as_long_as_it_is_in_the_page(
    hub: HubProcess, site: Site, page: Page
) -> None:
    page.goto(site.page("/", marked_up(hub, element(hub))))
    wait_for(page, "joined")
    # To be moved is not to leave.
    page.evaluate(
        "document.body.append(Object.assign(document.createElement('div'), {id: 'other'})),"
        "document.querySelector('#other').append(element)"
    )
    page.wait_for_timeout(100)
    assert (state(page), kinds(page)) == ("joined", ["joined"])
    page.evaluate("element.remove()")
    page.wait_for_function("element.guard === null")
    wait_for_members(page, hub, 0)
    page.evaluate("document.body.append(element)")
    wait_for(page, "joined")


@pytest.mark.parametrize(
    ("attributes", "wrong"),
    [
        ('room="" session="s1"', "either room or ticket is needed"),
        ('ticket=""', "either room or ticket is needed"),
        ('room="u1" session=""', "session is empty"),
    ],
)
def test_a_mistake_in_the_markup_is_an_error_of_the_page(
    hub: HubProcess, site: Site, page: Page, attributes: str, wrong: str
) -> None:
    """An empty template variable must not go unnoticed: the page would be unguarded."""
    with page.expect_event("pageerror") as error:
        markup = f'<session-guard src="{hub.url}" {attributes}></session-guard>'
        page.goto(site.page("/", marked_up(hub, markup)))
    assert str(error.value) == f"SessionGuard: {wrong}"


def test_refused_from_the_start_it_says_that_it_guards_nothing(
    start_hub: StartHub, site: Site, page: Page
) -> None:
    hub = start_hub(join="ticket")
    with page.expect_console_message() as message:
        page.goto(site.page("/", marked_up(hub, element(hub))))
    assert message.value.type == "error"
    assert message.value.text.startswith("<session-guard> guards nothing: ")
    page.wait_for_timeout(100)
    # To load it anew would go on for ever.
    assert kinds(page) == ["error"]


def test_refused_after_it_was_joined_the_page_is_loaded_anew(
    hub: HubProcess, site: Site, page: Page
) -> None:
    """The application knows of no login any more, and has no ticket; its page must not stay."""
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    markup = f'<session-guard src="{hub.url}"></session-guard>'
    url = site.page("/", marked_up(hub, markup))
    page.goto(url)
    page.evaluate("ticket => { window.now = ticket; element.ticket = () => now; }", ticket)
    wait_for(page, "joined")
    page.evaluate("() => { now = null; }")
    site.page("/", "<!doctype html><title>log in</title>")
    page.evaluate("() => { dispatchEvent(new Event('online')) }")
    page.wait_for_function("document.title === 'log in'")


def test_a_ticket_is_enough_to_share(start_hub: StartHub, site: Site, page: Page) -> None:
    """It says for whom it is, so the tabs know it before they have joined."""
    hub = start_hub(join="ticket")
    ticket = hub.notify(room="jürgen, 世界", sender="s1")["ticket"]
    markup = f'<session-guard src="{hub.url}" ticket="{ticket}" share></session-guard>'
    other = page.context.new_page()
    sockets: list[object] = []
    other.on("websocket", lambda socket: sockets.append(socket))
    for tab in (page, other):
        tab.goto(site.page("/", marked_up(hub, markup)))
        wait_for(tab, "joined")
    assert sockets == []
    assert page.evaluate("guard.session") == "s1"
    hub.notify(room="jürgen, 世界", sender="s2")
    for tab in (page, other):
        wait_for(tab, "terminated")


def test_terminated_at_the_door_it_still_says_whose_login_is_to_end(
    start_hub: StartHub, site: Site, page: Page, login: str
) -> None:
    hub = start_hub(join="ticket")
    ticket = hub.notify(room="u1", sender="s1")["ticket"]
    hub.notify(room="u1", sender="s2")
    attributes = f'src="{hub.url}" ticket="{ticket}" logout="/logout" redirect="/login"'
    page.goto(site.page("/", marked_up(hub, f"<session-guard {attributes}></session-guard>")))
    page.wait_for_url(login)
    (posted,) = site.posted
    assert parse_qs(posted.body) == {"session": ["s1"], "reason": ["login"]}


def test_an_injected_base_leads_nowhere_else(hub: HubProcess, site: Site, page: Page) -> None:
    """Neither the session, nor the token against CSRF, nor the person."""
    requests: list[str] = []
    page.context.on("request", lambda request: requests.append(request.url))
    page.on("websocket", lambda socket: requests.append(socket.url))
    base = '<base href="http://127.0.0.1:9/evil/">'
    relative = 'src="/ws" room="u1" session="s1" csrf="t0ken" logout="out" redirect="login"'
    markup = f"{base}<session-guard {relative}></session-guard>"
    joined = '{"type":"joined","room":"u1","session":"s1","epoch":0,"heartbeat":25}'
    terminate = '{"type":"terminate","room":"u1","epoch":1,"reason":"login","detail":null}'

    def play(socket: WebSocketRoute) -> None:
        def hear(_: str | bytes) -> None:
            socket.send(joined)
            socket.send(terminate)

        socket.on_message(hear)

    page.route_web_socket("**", play)
    login = site.page("/in/login", "<!doctype html><title>login</title>")
    page.goto(site.page("/in/", marked_up(hub, markup)))
    page.wait_for_url(login)
    assert [posted.path for posted in site.posted] == ["/in/out"]
    assert {urlsplit(url).netloc for url in requests} <= {
        urlsplit(url).netloc for url in (site.origin, hub.origin)
    }


@both_engines
@pytest.mark.parametrize("refused", [False, True])
def test_a_page_that_leads_back_to_itself_does_so_ever_more_slowly(
    start_hub: StartHub, site: Site, page: Page, refused: bool
) -> None:
    """The application's table and the hub disagree about a login."""
    hub = start_hub(join="ticket")
    stop_the_clock(page)
    if refused:
        # It joins, and then there is no ticket.
        source = """element.ticket = () => window.used ? null : (window.used = true, "%s");
          element.addEventListener("joined", () => dispatchEvent(new Event("online")))"""
        ticket = hub.notify(room="u1", sender="s1")["ticket"]
        html = marked_up(hub, f'<session-guard src="{hub.url}"></session-guard>')
        html = html.replace("await import", f"{source % ticket};\n  await import")
    else:
        ticket = hub.notify(room="u1", sender="s1")["ticket"]
        hub.notify(room="u1", sender="s2")
        attributes = f'src="{hub.url}" ticket="{ticket}" redirect="/"'
        html = marked_up(hub, f"<session-guard {attributes}></session-guard>")
    html += """<script>navigator.sendBeacon("/load", "")</script>"""
    page.goto(site.page("/", html))
    told = "log.find(([type, {message}]) => type === 'error' && message.includes('again'))"
    loads = 4  # three times it goes without a word
    for delay in (1, 2, 4, 8, 16, 30, 30):
        for _ in range(100 * DEADLINE):
            with contextlib.suppress(Error):  # between two pages
                if len(site.posted) == loads and page.evaluate(f"!!window.log && !!{told}"):
                    break
            page.wait_for_timeout(10)
        assert page.evaluate(f"{told}[1]") == {
            "code": None,
            "message": f"leaving this page leads back to it again and again; waiting for {delay} s",
        }
        page.clock.run_for(1000 * delay - 10)
        assert len(site.posted) == loads
        page.clock.run_for(20)
        loads += 1


def test_tabs_share(hub: HubProcess, site: Site, page: Page) -> None:
    url = site.page("/", marked_up(hub, element(hub, "share")))
    other = page.context.new_page()
    for tab in (page, other):
        tab.goto(url)
        wait_for(tab, "joined")
    assert hub.members() == 1


def test_the_module_may_be_there_twice(hub: HubProcess, site: Site, page: Page) -> None:
    errors: list[object] = []
    page.on("pageerror", lambda error: errors.append(error))
    html = guarded(hub, 'room: "u1"').replace(
        "import {", f'import "{hub.client}?again"; import {{', 1
    )
    page.goto(site.page("/", html))
    wait_for(page, "joined")
    assert errors == []


# -- what could go wrong --------------------------------------------------------------------


def test_a_page_that_has_logged_in_again_meanwhile_is_not_sent_away(
    hub: HubProcess, site: Site, page: Page, login: str
) -> None:
    held: list[Route] = []
    page.route("**/logout", lambda route: held.append(route))
    terminated(page, site, hub, element(hub, 'logout="/logout" redirect="/login"'))
    wait_for(page, "terminated")
    page.evaluate("element.setAttribute('session', 's3'); element.setAttribute('room', 'u2')")
    wait_for(page, "joined")
    held[0].fulfill(status=204)
    page.wait_for_timeout(100)
    assert page.url == site.origin + "/"
    assert state(page) == "joined"


def test_a_listener_may_take_the_element_away(hub: HubProcess, site: Site, page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    page.add_init_script("addEventListener('session-expired', () => element.remove())")
    terminated(page, site, hub, element(hub, 'notice logout="/logout"'))
    page.wait_for_function("log.some(([type]) => type === 'session-expired')")
    page.wait_for_timeout(100)
    assert (errors, site.posted) == ([], [])


def test_names_in_the_page_do_not_take_the_place_of_functions(
    hub: HubProcess, site: Site, page: Page
) -> None:
    """DOM clobbering: markup that some user has written."""
    names = ("addEventListener", "createElement", "hidden", "baseURI", "querySelector")
    body = "".join(f'<form name="{name}" id="{name}"></form><img name="{name}">' for name in names)
    body += element(hub, "notice")
    page.goto(site.page("/", body + f'<script type="module" src="{hub.client}"></script>'))
    joined = "document.getElementsByTagName('session-guard')[0].guard?.state === 'joined'"
    page.wait_for_function(joined)
    hub.notify(room="u1", sender="s2")
    expect(notice(page)).to_be_visible()


def test_a_redirect_within_the_page_loads_it_anew(hub: HubProcess, site: Site, page: Page) -> None:
    terminated(page, site, hub, element(hub, 'conceal redirect="#/login"'))
    page.wait_for_url(site.origin + "/#/login")
    site.page("/", "<!doctype html><title>again</title>")
    page.wait_for_function("window.guard === undefined || guard.state === 'terminated'")


@pytest.mark.parametrize(
    "hidden", ["<style>session-guard { display: none }</style>", "<div hidden>"]
)
def test_a_notice_that_nobody_can_see_keeps_nobody(
    hub: HubProcess, site: Site, page: Page, login: str, hidden: str
) -> None:
    terminated(page, site, hub, hidden + element(hub, 'notice redirect="/login"'))
    page.wait_for_url(login)


def test_a_notice_that_nobody_can_see_loads_nothing_anew(
    hub: HubProcess, site: Site, page: Page
) -> None:
    """It would be terminated at the door, and load itself again, and so for ever."""
    loads: list[str] = []
    page.on("load", lambda page: loads.append(page.url))
    terminated(page, site, hub, "<div hidden>" + element(hub, "notice"))
    wait_for(page, "terminated")
    page.wait_for_timeout(100)
    assert len(loads) == 1


def test_a_user_who_chose_to_stay_can_leave_later(
    hub: HubProcess, site: Site, page: Page, login: str
) -> None:
    answers = iter(["stay", "leave"])

    def answer(dialog: Dialog) -> None:
        if next(answers) == "stay":
            dialog.dismiss()
        else:
            dialog.accept()

    page.on("dialog", answer)
    body = "<script>addEventListener('beforeunload', (event) => event.preventDefault())</script>"
    terminated(page, site, hub, body + element(hub, 'notice redirect="/login"'))
    action = page.get_by_role("button", name="Log in again")
    box = action.bounding_box()
    assert box
    for _ in range(2):
        page.mouse.click(box["x"] + 5, box["y"] + 5)
        page.wait_for_timeout(200)
    page.wait_for_url(login)


def test_a_notice_that_is_closed_and_outdated(hub: HubProcess, site: Site, page: Page) -> None:
    errors: list[str] = []
    page.on("pageerror", lambda error: errors.append(str(error)))
    terminated(page, site, hub, element(hub, "notice"))
    expect(notice(page)).to_be_visible()
    page.evaluate(
        """() => {
          element.shadowRoot.querySelector("dialog").close();
          element.setAttribute("session", "s3");
          element.setAttribute("room", "u2");
        }"""
    )
    wait_for(page, "joined")
    page.wait_for_timeout(50)
    assert errors == []


def test_a_notice_that_is_moved_stays_modal(hub: HubProcess, site: Site, page: Page) -> None:
    terminated(page, site, hub, element(hub, "notice"))
    expect(notice(page)).to_be_visible()
    page.evaluate("() => { document.body.prepend(element) }")
    page.wait_for_function("!!element.shadowRoot.querySelector('dialog:modal')")
    expect(page.get_by_role("button", name="Log in again")).to_be_focused()


def test_the_notice_stays_until_the_page_is_left(
    hub: HubProcess, site: Site, page: Page, login: str
) -> None:
    terminated(page, site, hub, element(hub, 'notice redirect="/login"'))
    expect(notice(page)).to_be_visible()
    page.evaluate(
        """() => addEventListener("pagehide", () => {
          const dialog = element.shadowRoot.querySelector("dialog");
          navigator.sendBeacon("/left", dialog.matches(":modal") ? "modal" : "usable");
        })"""
    )
    page.get_by_role("button", name="Log in again").click()
    page.wait_for_url(login)
    while not site.posted:
        page.wait_for_timeout(10)
    assert [(posted.path, posted.body) for posted in site.posted] == [("/left", "modal")]
