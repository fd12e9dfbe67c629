"""Pages with strict policies, on another origin than the hub."""

import pytest
from playwright.sync_api import Page, expect

from sse_trio.browser import INTEGRITY, SOURCE

from .conftest import StartHub
from .pages import wait_for
from .processes import HubProcess, Site

PAGE = """<!doctype html><html lang="en"><title>strict</title>
<script nonce="n0nce">
  window.violations = [];
  document.addEventListener("securitypolicyviolation", ({violatedDirective, blockedURI}) => {
    violations.push([violatedDirective, blockedURI]);
  });
</script>
<script type="module" src="%(client)s" %(more)s></script>
<body><session-guard src="%(url)s" room="u1" session="s1" notice conceal
  share logout="/logout" redirect="/login"></session-guard>
<p>content
<script nonce="n0nce" type="module">
  await customElements.whenDefined("session-guard");
  Object.defineProperty(window, "guard",
    {get: () => document.querySelector("session-guard").guard});
</script>"""


def policy(hub: HubProcess) -> str:
    return "; ".join(
        [
            "default-src 'none'",
            "base-uri 'none'",
            "form-action 'none'",
            f"script-src 'nonce-n0nce' {hub.client}",
            "style-src 'none'",
            f"connect-src 'self' {hub.url} {hub.origin}/events",
            "img-src data:",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


@pytest.fixture
def hub(start_hub: StartHub) -> HubProcess:
    return start_hub()


def test_strict_csp_trusted_types_and_cross_origin_isolation(
    hub: HubProcess, site: Site, page: Page
) -> None:
    trouble: list[str] = []
    page.on("console", lambda message: trouble.append(message.text))
    page.on("pageerror", lambda error: trouble.append(str(error)))
    html = PAGE % {
        "client": hub.client,
        "url": hub.url,
        "more": f'crossorigin integrity="{INTEGRITY}"',
    }
    headers = {
        "Content_Security_Policy": policy(hub),
        "Cross_Origin_Embedder_Policy": "require-corp",
        "Cross_Origin_Opener_Policy": "same-origin",
    }
    page.goto(
        site.page("/", html.replace("<title>", '<link rel="icon" href="data:,"><title>'), **headers)
    )
    assert page.evaluate("crossOriginIsolated") is True
    wait_for(page, "joined")
    # The way through all that the client does to a page.
    page.evaluate("() => { dispatchEvent(new Event('pagehide')) }")
    expect(page.get_by_text("content")).not_to_be_visible()
    page.evaluate("() => { dispatchEvent(new Event('pageshow')) }")
    wait_for(page, "joined")
    expect(page.get_by_text("content")).to_be_visible()
    hub.notify(room="u1", sender="s2")
    dialog = page.get_by_role("alertdialog")
    expect(dialog).to_be_visible()
    # It is styled all the same.
    expect(page.get_by_role("button", name="Log in again")).to_have_css(
        "background-color", "rgb(29, 78, 216)"
    )
    assert page.evaluate("violations") == []
    assert trouble == []
    assert [posted.path for posted in site.posted] == ["/logout"]


def test_the_policy_of_that_test_is_one_that_bites(hub: HubProcess, site: Site, page: Page) -> None:
    html = PAGE % {"client": hub.client, "url": hub.url, "more": ""}
    page.goto(site.page("/", html, Content_Security_Policy=policy(hub)))
    page.evaluate(
        """() => {
          try { document.body.innerHTML = ""; } catch {}
          document.body.setAttribute("style", "color: red");
          new WebSocket("ws://127.0.0.1:9/");
        }"""
    )
    page.wait_for_function("violations.length >= 3")
    directives = {directive for directive, _ in page.evaluate("violations")}
    assert {"require-trusted-types-for", "style-src-attr", "connect-src"} <= directives


def test_an_import_map_names_it(hub: HubProcess, site: Site, page: Page) -> None:
    page.goto(
        site.page(
            "/",
            f"""<!doctype html><title>imports</title>
            <script type="importmap">{{"imports": {{"sse-trio": "{hub.client}"}}}}</script>
            <script type="module">
              import {{SessionGuard}} from "sse-trio";
              window.guard = new SessionGuard({{url: "{hub.url}", room: "u1"}});
              guard.start();
            </script>""",
        )
    )
    wait_for(page, "joined")


def test_a_copy_on_the_pages_own_server(hub: HubProcess, site: Site, page: Page) -> None:
    site.pages["/static/sse-trio.js"] = ("text/javascript", SOURCE, {})
    html = PAGE % {"client": "/static/sse-trio.js", "url": hub.url, "more": ""}
    page.goto(site.page("/", html))
    wait_for(page, "joined")
