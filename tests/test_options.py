"""The option table, its parsing, and the reference page made from it."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import pytest

from reflex_core.options import OPTIONS, Option

ROOT = Path(__file__).resolve().parents[1]


def _page() -> str:
    path = ROOT / "scripts" / "make_options_page.py"
    spec = importlib.util.spec_from_file_location("make_options_page", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module.page()


def test_reference_page_is_current() -> None:
    written = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert written == _page(), "run: python scripts/make_options_page.py"


@pytest.mark.parametrize("option", OPTIONS, ids=lambda o: o.name)
def test_is_documented_and_default_is_allowed(option: Option) -> None:
    page = (ROOT / "docs" / "options.md").read_text(encoding="utf-8")
    assert f"`{option.option}`" in page
    assert f"`{option.env}`" in page
    assert option.help.endswith(".")
    option.parse(option.default)


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        ("int", "ten"),
        ("bool", "maybe"),
        ("duration", "5 parsecs"),
        ("size", "-3"),
        ("float", "nan"),
    ],
)
def test_wrong_values_raise_value_error(kind: str, value: str) -> None:
    with pytest.raises(ValueError):
        Option("x", kind, "", "X.").parse(value)  # type: ignore[arg-type]


def test_bounds_and_choices() -> None:
    bounded = Option("x", "float", "0.5", "X.", low=0, high=1)
    assert bounded.parse("0.25") == 0.25
    with pytest.raises(ValueError):
        bounded.parse("1.5")
    choice = Option("x", "choice", "a", "X.", choices=("a", "b"))
    assert choice.parse("B") == "b"
    assert choice.allowed() == "one of a, b"
    with pytest.raises(ValueError):
        choice.parse("c")


def test_lists_come_from_text_and_sequences() -> None:
    option = Option("x", "list", (), "X.")
    assert option.parse("a, b,,c") == ("a", "b", "c")
    assert option.parse(["a ", "b"]) == ("a", "b")
    assert option.parse(["a,b", "c\nd"]) == ("a", "b", "c", "d")
    with pytest.raises(ValueError):
        option.parse(3)
