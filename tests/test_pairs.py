"""Pairs: what is known survives a restart, within its bounds."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.errors import BackendError
from reflex_core.pairs import Pairs

A, B, C = b"a" * 16, b"b" * 16, b"c" * 16


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "pairs.txt"


def test_known_after_a_restart(path: Path) -> None:
    pairs = Pairs(path, 10)
    assert pairs.put(A, B, True)
    assert pairs.put(A, C, False)
    assert not pairs.put(A, C, False)
    for known in (pairs, Pairs(path, 10)):
        assert dict(known.of(A)) == {B: True, C: False}
        assert dict(known.of(B)) == {}
        assert len(known) == 2
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_last_word_counts(path: Path) -> None:
    pairs = Pairs(path, 10)
    pairs.put(A, B, True)
    assert pairs.put(A, B, False)
    assert dict(Pairs(path, 10).of(A)) == {B: False}
    assert len(pairs) == 1


def test_the_oldest_go_and_the_file_stays_small(path: Path) -> None:
    pairs = Pairs(path, 4)
    for i in range(100):
        pairs.put(bytes([i]), B, True)
    assert len(pairs) == 4
    assert len(path.read_text().splitlines()) <= 8
    again = Pairs(path, 4)
    assert [i for i in range(100) if again.of(bytes([i]))] == [96, 97, 98, 99]
    assert path.stat().st_mode & 0o777 == 0o600


def test_without_a_file() -> None:
    pairs = Pairs(None, 4)
    assert pairs.put(A, B, True)
    pairs.clear()
    assert dict(pairs.of(A)) == {}


def test_cleared_for_good(path: Path) -> None:
    pairs = Pairs(path, 4)
    pairs.put(A, B, True)
    pairs.clear()
    assert len(pairs) == len(Pairs(path, 4)) == 0


def test_a_folder_that_is_gone(tmp_path: Path) -> None:
    pairs = Pairs(tmp_path / "none" / "pairs.txt", 4)
    with pytest.raises(BackendError):
        pairs.put(A, B, True)
    assert dict(pairs.of(A)) == {B: True}


@given(st.binary(max_size=200))
def test_a_damaged_file_is_no_error(tmp_path_factory: pytest.TempPathFactory, noise: bytes) -> None:
    path = tmp_path_factory.mktemp("pairs") / "pairs.txt"
    Pairs(path, 10).put(A, B, True)
    path.write_bytes(path.read_bytes() + noise)
    assert Pairs(path, 10).of(A)[B] is True


def test_from_several_threads(path: Path) -> None:
    pairs = Pairs(path, 1000)

    def work(first: int) -> None:
        for i in range(50):
            pairs.put(A, bytes([first, i]), True)

    threads = [threading.Thread(target=work, args=(n,)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(pairs) == len(Pairs(path, 1000)) == 200
