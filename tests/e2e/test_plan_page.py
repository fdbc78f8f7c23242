"""The plan's page in a real browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reflex_core.report.html import page
from tests.report.plans import NASTY, a_plan, empty

from .browser import MISSING, Browser, program

pytestmark = pytest.mark.skipif(program() is None, reason=MISSING)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    browser = Browser(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture
def url(tmp_path: Path) -> str:
    path = tmp_path / "plan.html"
    path.write_text(page(a_plan()), encoding="utf-8")
    return path.as_uri()


def test_it_stands_alone(browser: Browser, url: str) -> None:
    tab = browser.page(url)
    assert tab.errors == []
    assert tab.requested() == [url]
    assert "50.0%" in tab.text(".tiles")
    assert NASTY in tab.text("main")
    assert tab.run("document.scripts.length") == 0
    assert tab.run("document.querySelectorAll('svg').length") == 3
    tab.close()


def test_pictures_have_room_and_colour(browser: Browser, url: str) -> None:
    tab = browser.page(url)
    sizes = tab.run(
        "[...document.querySelectorAll('svg')].map(s => s.getBoundingClientRect()).map(r => r.height)"
    )
    assert all(height > 20 for height in sizes)
    inside = """
        [...document.querySelectorAll('svg text')].every(t => {
            const a = t.getBoundingClientRect(), b = t.ownerSVGElement.getBoundingClientRect();
            return a.left >= b.left - 1 && a.right <= b.right + 1 && a.bottom <= b.bottom + 1;
        })
    """
    assert tab.run(inside), "a label is cut off"
    fill = "getComputedStyle(document.querySelector('svg rect.exact')).fill"
    light = tab.run(fill)
    assert light.startswith("rgb(")
    tab.close()
    tab = browser.page(url, dark=True)
    assert tab.run(fill) != light
    assert tab.run("getComputedStyle(document.body).backgroundColor") == "rgb(15, 20, 26)"
    tab.close()


@pytest.mark.parametrize("width", [360, 768, 1280])
def test_it_fits(browser: Browser, url: str, width: int) -> None:
    """Wide tables scroll by themselves; the page does not."""
    tab = browser.page(url, width=width)
    assert tab.run("document.documentElement.scrollWidth") <= width
    tab.close()


def test_an_empty_plan(browser: Browser, tmp_path: Path) -> None:
    path = tmp_path / "empty.html"
    path.write_text(page(empty()), encoding="utf-8")
    tab = browser.page(path.as_uri())
    assert "No chat request with a whole answer" in tab.text("main")
    assert tab.errors == []
    tab.close()
