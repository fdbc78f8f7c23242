"""The dashboard in a real browser, in front of the real proxy."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from .asking import ask, is_stored
from .browser import MISSING, Browser, Page, program
from .conftest import Stand, Start
from .provider import Answer, Provider
from .proxy import Proxy
from .speech import echo

pytestmark = pytest.mark.skipif(program() is None, reason=MISSING)

READY = "document.body?.dataset.ready === 'yes'"
TOKEN = "a-token-that-is-long-enough"
PROMPT = "Where do the squirrels sleep?"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    made = Browser(tmp_path_factory.mktemp("profile"))
    yield made
    made.close()


@pytest.fixture(scope="module")
def shared(confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stand]:
    """Two answers are stored, each asked for twice. Tests leave that so."""
    provider = Provider()
    provider.reply = echo
    proxy = Proxy(confdir, tmp_path_factory.mktemp("board"), reflex_upstream=provider.url + "/v1")
    for temperature in (0.1, 0.1, 0.5, 0.5):
        ask(proxy, PROMPT, temperature=temperature)
    stand = Stand(proxy, provider)
    yield stand
    stand.close()


@pytest.fixture
def mine(own_provider: Provider, start: Start) -> Proxy:
    return start(reflex_upstream=own_provider.url + "/v1", reflex_semantic="false")


@pytest.fixture
def tabs(browser: Browser) -> Iterator[Tabs]:
    made = Tabs(browser)
    yield made
    made.close()


class Tabs:
    """Opens pages, and closes them at the end of a test."""

    def __init__(self, browser: Browser) -> None:
        self._browser = browser
        self._open: list[Page] = []

    def at(self, url: str, **options: object) -> Page:
        page = self._browser.page(url, **options)  # type: ignore[arg-type]
        self._open.append(page)
        return page

    def dashboard(self, proxy: Proxy, **options: object) -> Page:
        page = self.at(proxy.root + "/reflex/", **options)
        page.wait(READY)
        return page

    def close(self) -> None:
        for page in self._open:
            page.close()


def rows(page: Page) -> int:
    return page.run("document.querySelectorAll('#recent-rows tr').length")


def picture(page: Page, name: str) -> None:
    """Kept for people to look at when REFLEX_PICTURES names a folder."""
    if folder := os.environ.get("REFLEX_PICTURES"):
        page.screenshot(Path(folder) / f"{name}.png")


def test_live_numbers(tabs: Tabs, mine: Proxy) -> None:
    page = tabs.dashboard(mine)
    assert page.text("#hit-rate") == "–"
    assert page.text("#recent-empty").startswith("No request yet")
    ask(mine, PROMPT)
    ask(mine, PROMPT)
    page.wait("document.querySelectorAll('#recent-rows tr').length === 2")
    assert page.text("#hit-rate") == "50.0%"
    assert page.text("#usd").startswith("$0.00")
    assert page.text("#tokens") == "12"
    assert page.text("#recent-rows tr:first-child .in-status") == "exact hit"
    assert page.text("#recent-rows tr:last-child .in-why") == "Nothing is stored for this request."
    assert "saved $" in page.text("#recent-rows tr:first-child .in-price")
    assert "exact hit 1" in page.text("#mix-legend")
    assert "Hit, whole answer" in page.text("#latency")
    assert page.text("#top .num") == "1"
    assert page.run("document.querySelectorAll('#timeline rect').length") >= 1
    assert "squirrels" not in page.run("document.documentElement.outerHTML")
    assert page.errors == []
    assert {urlsplit(url).path for url in page.requested()} == {"/reflex/", "/reflex/events"}


def test_prompts_when_they_may_be_shown(tabs: Tabs, own_provider: Provider, start: Start) -> None:
    proxy = start(
        reflex_upstream=own_provider.url + "/v1",
        reflex_dashboard_prompts="true",
        reflex_semantic="false",
    )
    ask(proxy, PROMPT + " <img src=x onerror=alert(1)>")
    page = tabs.dashboard(proxy)
    assert page.text("#recent-rows .in-why").startswith(PROMPT + " <img")
    assert page.run("document.querySelectorAll('#recent-rows img').length") == 0
    assert page.errors == []


def test_why_wrong_search_and_purge(tabs: Tabs, mine: Proxy) -> None:
    ask(mine, PROMPT, temperature=0.1)
    ask(mine, PROMPT, temperature=0.9)
    ask(mine, PROMPT, temperature=0.9)
    page = tabs.dashboard(mine)

    page.click("#recent-rows tr:nth-child(2) .actions button")
    page.wait("document.querySelector('#why').open")
    told = page.text("#why-body")
    assert "temperature" in told
    assert "0.1" in told
    assert "squirrels" not in told
    picture(page, "why")
    page.press("Escape")
    page.wait("!document.querySelector('#why').open")

    page.run("document.querySelector('#q').value = 'gpt-4'")
    page.click("#search button[type=submit]")
    page.wait("document.querySelectorAll('#found-rows tr').length === 2")

    page.click("#recent-rows tr:first-child .actions button:last-child")
    page.wait("document.querySelector('#ask').open")
    page.click("#ask-yes")
    page.wait("document.querySelector('#toast').innerText.includes('deleted')")
    assert not is_stored(mine, PROMPT, temperature=0.9)

    page.click("#purge-all")
    page.wait("document.querySelector('#ask').open")
    page.press("Escape")
    page.wait("!document.querySelector('#ask').open")
    assert is_stored(mine, PROMPT, temperature=0.1), "a dialog that is left changes nothing"
    page.click("#purge-all")
    page.wait("document.querySelector('#ask').open")
    page.click("#ask-yes")
    page.wait("document.querySelector('#toast').innerText.includes('1 answer deleted')")
    assert not is_stored(mine, PROMPT, temperature=0.1)
    page.wait("!document.querySelector('#found-empty').hidden")
    assert page.errors == []


def test_keyboard(tabs: Tabs, mine: Proxy) -> None:
    ask(mine, PROMPT)
    page = tabs.dashboard(mine)
    focus = "document.activeElement.id || document.activeElement.className || 'body'"
    page.press("Tab")
    assert page.run(focus) == "skip"
    page.press("Enter")
    page.wait("document.activeElement.id === 'recent' || location.hash === '#recent'")
    page.press("Tab")
    assert page.run("document.activeElement.getAttribute('aria-label')").startswith("Why: request")
    page.press("Enter")
    page.wait("document.querySelector('#why').open")
    assert page.run("document.activeElement.closest('dialog').id") == "why"
    page.press("Enter")
    page.wait("!document.querySelector('#why').open")
    assert page.run("document.activeElement.textContent") == "Why", "focus comes back"
    page.press("/")
    assert page.run(focus) == "q"
    page.press("g")
    assert page.run("document.querySelector('#q').value") == "g"
    page.press("Enter")
    page.wait("document.querySelectorAll('#found-rows tr').length === 1")
    unnamed = (
        "[...document.querySelectorAll('button, input, a')]"
        ".filter((e) => e.checkVisibility() && !(e.textContent.trim() || e.getAttribute('aria-label')"
        " || e.labels?.length)).length"
    )
    assert page.run(unnamed) == 0


def test_pause_and_going_on(tabs: Tabs, shared: Stand) -> None:
    page = tabs.dashboard(shared.proxy)
    page.click("#pause")
    assert page.text("#state-text") == "paused"
    before = rows(page)
    ask(shared.proxy, PROMPT, temperature=0.1)
    assert rows(page) == before
    page.click("#pause")
    page.wait(f"document.querySelectorAll('#recent-rows tr').length === {before + 1}")
    assert page.text("#state-text") == "live"


@pytest.mark.parametrize(
    ("name", "width", "dark"),
    [("light", 1280, False), ("dark", 1280, True), ("phone", 390, False), ("narrow", 320, True)],
)
def test_it_can_be_read(tabs: Tabs, shared: Stand, name: str, width: int, dark: bool) -> None:
    """Nothing is wider than the screen, and every text stands out (WCAG 2.1, 1.4.3: 4.5 to 1)."""
    page = tabs.dashboard(shared.proxy, width=width, dark=dark)
    page.run("document.querySelector('#q').value = 'gpt-4'")
    page.click("#search button[type=submit]")
    page.wait("document.querySelectorAll('#found-rows tr').length === 2")
    assert page.run("document.documentElement.scrollWidth") <= width
    pale = page.run(CONTRAST)
    assert pale == []
    picture(page, f"dashboard-{name}")


def test_theme_is_remembered(tabs: Tabs, shared: Stand) -> None:
    page = tabs.dashboard(shared.proxy)
    page.click("#theme")
    shade = "getComputedStyle(document.body).backgroundColor"
    assert page.run("document.documentElement.dataset.theme") == "dark"
    dark = page.run(shade)
    page.go(shared.proxy.root + "/reflex/")
    page.wait(READY)
    assert page.run(shade) == dark
    page.click("#theme")
    assert page.run(shade) != dark


def test_login(tabs: Tabs, own_provider: Provider, start: Start) -> None:
    proxy = start(reflex_upstream=own_provider.url + "/v1", reflex_admin_token=TOKEN)
    page = tabs.at(proxy.root + "/reflex/")
    page.run("document.querySelector('#token').value = 'not the token'")
    page.click("button[type=submit]")
    page.wait("document.querySelector('#error').innerText === 'That is not the token.'")
    picture(page, "login")
    page.run(f"document.querySelector('#token').value = '{TOKEN}'")
    page.click("button[type=submit]")
    page.wait(READY)
    assert page.run("document.cookie") == "", "scripts cannot read it"
    ask(proxy, PROMPT)
    page.wait("document.querySelectorAll('#recent-rows tr').length === 1")


def test_through_the_forward_proxy(shared: Stand, tmp_path: Path) -> None:
    address = urlsplit(shared.proxy.url)
    made = Browser(tmp_path / "profile", proxy=f"{address.hostname}:{address.port}")
    try:
        page = made.page("http://reflex.local/")
        page.wait(READY)
        assert rows(page) >= 4
        page.run("document.querySelector('#q').value = 'gpt-4'")
        page.click("#search button[type=submit]")
        page.wait("document.querySelectorAll('#found-rows tr').length === 2")
        assert page.errors == []
    finally:
        made.close()


ATTACK = """
(async () => {
  const results = [];
  const tries = [
    [`${target}/reflex/purge`, { method: "POST", body: '{"what":"all"}', mode: "no-cors",
      headers: { "content-type": "text/plain" } }],
    [`${target}/reflex/purge`, { method: "POST", body: '{"what":"all"}',
      headers: { "content-type": "application/json", "x-reflex-admin": "1" } }],
    [`${target}/reflex/stats`, {}],
    [`${target}/reflex/stats`, { mode: "no-cors" }],
  ];
  for (const [url, options] of tries) {
    try {
      const response = await fetch(url, { credentials: "include", ...options });
      results.push(response.type === "opaque" ? "opaque" : await response.text());
    } catch { results.push("refused"); }
  }
  return results;
})()
"""


def test_a_page_of_another_site_can_do_nothing(tabs: Tabs, shared: Stand) -> None:
    """The page is on this machine too, on another port: same site, other origin."""
    shared.provider.reply = lambda request: Answer(
        [b"<!doctype html><title>evil</title>"], headers={"content-type": "text/html"}
    )
    page = tabs.at(f"http://127.0.0.1:{shared.provider.port}/")
    results = page.run(ATTACK.replace("${target}", shared.proxy.root))
    shared.provider.reply = echo
    assert all(result in ("opaque", "refused") for result in results), results
    assert results[1] == results[2] == "refused"
    assert is_stored(shared.proxy, PROMPT, temperature=0.1)


def test_the_proxy_stops_while_dashboards_are_open(
    tabs: Tabs, own_provider: Provider, start: Start
) -> None:
    proxy = start(reflex_upstream=own_provider.url + "/v1")
    page = tabs.dashboard(proxy)
    assert proxy.stop() == 0
    page.wait("document.querySelector('#state').className === 'lost'")


def test_a_dashboard_that_is_closed_makes_room(shared: Stand) -> None:
    address = urlsplit(shared.proxy.root)
    for _ in range(40):
        with socket.create_connection((address.hostname, address.port), timeout=10) as client:
            client.sendall(b"GET /reflex/events HTTP/1.1\r\nhost: localhost\r\n\r\n")
            told = client.recv(4096)
            assert told.startswith(b"HTTP/1.1 200"), told


CONTRAST = """
(() => {
  const parse = (text) => text.match(/[\\d.]+/g).map(Number);
  const light = ([r, g, b]) => {
    const part = (c) => ((c /= 255) <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4);
    return 0.2126 * part(r) + 0.7152 * part(g) + 0.0722 * part(b);
  };
  const ground = (node) => {
    for (let at = node; at; at = at.parentElement) {
      const colour = parse(getComputedStyle(at).backgroundColor);
      if (colour.length < 4 || colour[3] > 0) return colour;
    }
    return [255, 255, 255];
  };
  const pale = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].some((n) => n.nodeType === 3 && n.data.trim());
    if (!own || !node.checkVisibility() || node.matches(".hidden, .skip, script, style, noscript *")) continue;
    const [a, b] = [light(parse(getComputedStyle(node).color)), light(ground(node))];
    const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
    if (ratio < 4.5) pale.push(`${node.tagName} ${node.className} ${node.textContent.slice(0, 20)} ${ratio.toFixed(2)}`);
  }
  return pale;
})()
"""
