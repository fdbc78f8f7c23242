"""The index file: round trip and every kind of damage."""

from __future__ import annotations

import stat
from pathlib import Path

import numpy as np
import orjson
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflex_core.backends.bit_index_file import MAGIC, Rows, read, write
from reflex_core.errors import BackendError


def rows(n: int, words: int = 2, seed: int = 1) -> Rows:
    rng = np.random.default_rng(seed)
    scopes = np.sort(rng.integers(0, 2**63, n).astype(np.uint64))
    codes = rng.integers(0, 2**63, (words, n)).astype(np.uint64)
    return Rows(scopes, np.arange(1, n + 1), codes)


def save(path: Path, n: int) -> bytes:
    write(path, rows(n), dim=100, embedder="e")
    return path.read_bytes()


@pytest.mark.parametrize("n", [0, 1, 70])
def test_round_trip(tmp_path: Path, n: int) -> None:
    path = tmp_path / "index"
    save(path, n)
    found = read(path, dim=100, embedder="e")
    for one, other in zip((found.scopes, found.ids, found.codes), _arrays(rows(n)), strict=True):
        assert (one == other).all()
        assert one.dtype == other.dtype
    found.ids[:] = 0  # removed rows are marked in place


def _arrays(of: Rows) -> tuple[np.ndarray, ...]:
    return of.scopes, of.ids, of.codes


def test_the_file_is_private_and_replaced_as_a_whole(tmp_path: Path) -> None:
    path = tmp_path / "index"
    save(path, 3)
    save(path, 5)
    assert [x.name for x in tmp_path.iterdir()] == ["index"]
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert len(read(path, dim=100, embedder="e")) == 5


def test_the_header_says_what_it_is(tmp_path: Path) -> None:
    data = save(tmp_path / "index", 3)
    length = int.from_bytes(data[8:12], "little")
    header = orjson.loads(data[12 : 12 + length])
    assert {k: v for k, v in header.items() if k != "crc32"} == {
        "version": 1,
        "rows": 3,
        "dim": 100,
        "words": 2,
        "embedder": "e",
        "quantisation": "sign",
        "last_id": 3,
    }


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"dim": 101, "embedder": "e"}, "dim is 100, not 101"),
        ({"dim": 100, "embedder": "f"}, "embedder is 'e', not 'f'"),
    ],
)
def test_another_embedders_file_is_refused(tmp_path: Path, asked: dict, said: str) -> None:
    save(tmp_path / "index", 3)
    with pytest.raises(BackendError, match=said):
        read(tmp_path / "index", **asked)


def test_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        read(tmp_path / "index", dim=100, embedder="e")


def test_unordered_scopes_are_refused(tmp_path: Path) -> None:
    good = rows(3)
    write(tmp_path / "index", Rows(good.scopes[::-1], good.ids, good.codes), dim=100, embedder="e")
    with pytest.raises(BackendError, match="order"):
        read(tmp_path / "index", dim=100, embedder="e")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_every_cut_and_every_changed_byte_is_noticed(tmp_path: Path, data: st.DataObject) -> None:
    path = tmp_path / "index"
    whole = save(path, 4)
    at = data.draw(st.integers(0, len(whole) - 1))
    if data.draw(st.booleans()):
        path.write_bytes(whole[:at])
    else:
        flipped = whole[at] ^ data.draw(st.integers(1, 255))
        path.write_bytes(whole[:at] + bytes([flipped]) + whole[at + 1 :])
    try:
        found = read(path, dim=100, embedder="e")
    except BackendError:
        return
    # only what says nothing of the rows: last_id, words and white space of the header
    for one, other in zip(_arrays(found), _arrays(rows(4)), strict=True):
        assert (one == other).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.binary(max_size=80), st.booleans())
def test_garbage_is_refused(tmp_path: Path, junk: bytes, starts_right: bool) -> None:
    path = tmp_path / "index"
    path.write_bytes((MAGIC if starts_right else b"") + junk)
    with pytest.raises(BackendError):
        read(path, dim=100, embedder="e")
