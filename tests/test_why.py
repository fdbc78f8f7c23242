"""Every reason has a sentence."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

from reflex_core import controls, key, why
from reflex_core.journal import Record

CORE = Path(key.__file__).parent
VERDICTS = ("refuse", "Miss", "Verdict", "replace")


def reasons() -> set[str]:
    """Texts in calls that make a refusal, wherever they are in the core."""
    found: set[str] = set()
    for path in [*CORE.glob("*.py"), *CORE.glob("verify/*.py")]:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name):
                continue
            if node.func.id in VERDICTS:
                values = [*node.args, *(k.value for k in node.keywords if k.arg == "reason")]
                found |= {text for value in values for text in _texts(value)}
    return found - {"verified", "verified-same", "judged", "."}


def _texts(node: ast.AST) -> list[str]:
    if isinstance(node, ast.IfExp):
        return [*_texts(node.body), *_texts(node.orelse)]
    if isinstance(node, ast.BoolOp):
        return [text for value in node.values for text in _texts(value)]
    return [node.value] if isinstance(node, ast.Constant) and isinstance(node.value, str) else []


def test_every_reason_has_a_sentence() -> None:
    found = reasons()
    assert {"store-failed", "lookup-timeout", "below-threshold", "marked-wrong"} <= found
    missing = found - why.SENTENCES.keys()
    assert not missing


def exact_only() -> list[str]:
    """Those that `key.exact_only_reason` names."""
    text = (key.exact_only_reason.__doc__ or "").partition("One of:")[2]
    return [word.strip(" .\n") for word in text.split(",")]


@pytest.mark.parametrize("reason", exact_only())
def test_exact_only(reason: str) -> None:
    assert "only an equal request matches" in why.SENTENCES[reason]


@pytest.mark.parametrize("status", sorted(controls.Status.__args__))  # type: ignore[attr-defined]
def test_every_status(status: str) -> None:
    assert why.sentence(status, "").endswith(".")


def test_vetoes_are_read_out() -> None:
    assert why.sentence("miss", "veto-from-to").endswith("ignored: from to.")


def test_a_record_without_anything() -> None:
    record = Record("r", "p", "m", False, 0.0, status="miss", code=502)
    assert why.reason(record) == ""
    assert why.sentence("miss", "") == "The provider was asked."
