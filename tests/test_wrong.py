from __future__ import annotations

import stat
from pathlib import Path

import orjson
import pytest

from reflex_core.errors import BackendError
from reflex_core.wrong import BANS, REPORTED, Bans, forget, report

TENANT = b"t" * 16
KEY = b"k" * 32


def test_bans_outlive_a_restart_and_hold_no_text(tmp_path: Path) -> None:
    bans = Bans(tmp_path, b"secret")
    asked = bans.asked(TENANT, "a private question")
    assert bans.add(asked, KEY)
    assert not bans.add(asked, KEY)
    again = Bans(tmp_path, b"secret")
    assert again.of(asked) == {KEY}
    assert again.of(bans.asked(TENANT, "another")) == frozenset()
    raw = (tmp_path / BANS).read_bytes()
    assert b"private" not in raw
    assert stat.S_IMODE((tmp_path / BANS).stat().st_mode) == 0o600


def test_tenants_and_secrets_ask_apart() -> None:
    one, two = Bans(None, b"secret"), Bans(None, b"other")
    hashes = {one.asked(TENANT, "q"), one.asked(b"u" * 16, "q"), two.asked(TENANT, "q")}
    assert len(hashes) == 3
    assert one.asked(TENANT, "\ud800") != one.asked(TENANT, "q")


def test_reported_cases_are_what_the_evaluation_reads(tmp_path: Path) -> None:
    report(tmp_path, "Zürich?", "Zug?", {"tenant": "ab", "score": 0.9})
    report(tmp_path, "x", '"tenant":"ab"', {"tenant": "cd"})
    path = tmp_path / REPORTED
    lines = [orjson.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {
        "a": "Zürich?",
        "b": "Zug?",
        "same_answer": False,
        "category": "reported",
        "tenant": "ab",
        "score": 0.9,
    }
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with pytest.raises(BackendError):
        report(tmp_path, "\ud800", "b", {})
    assert forget(tmp_path, "ab") == 1
    assert [orjson.loads(line)["tenant"] for line in path.read_text().splitlines()] == ["cd"]
    assert forget(tmp_path, "ab") == 0
    assert forget(tmp_path, None) == 1
    assert not path.exists()
    assert forget(tmp_path, None) == 0


def test_a_folder_that_cannot_be_written(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(BackendError):
        report(tmp_path / "file", "a", "b", {})
