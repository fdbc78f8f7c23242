"""BitIndex: capacity, compaction, large slices, restart."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reflex_core.backends import bit_index
from reflex_core.backends.bit_index import BitIndex
from reflex_core.errors import BackendError

SCOPE = b"s" * 32


def vectors(n: int, dim: int = 128, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((n, dim)).astype(np.float32)


def test_the_oldest_go_when_it_is_full() -> None:
    index = BitIndex(128, "e", capacity=100)
    index.add(range(1, 61), [SCOPE] * 60, vectors(60))
    index.add(range(61, 121), [SCOPE] * 60, vectors(60))
    assert len(index) == 99
    assert index.ids().tolist() == list(range(22, 121))


def test_removed_rows_are_given_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bit_index, "_MIN_TAIL", 16)
    index = BitIndex(128, "e")
    rows = vectors(200)
    index.add(range(1, 201), [SCOPE] * 200, rows)
    index.remove(range(1, 101))
    stats = index.stats()
    assert (stats["entries"], stats["removed"]) == (100, 0)
    assert stats["bytes"] <= (100 + 16) * 32
    assert index.search(SCOPE, rows[150], 1)[0].id == 151


@pytest.mark.parametrize("removed", [False, True])
def test_a_large_slice_is_narrowed_by_its_first_words(
    monkeypatch: pytest.MonkeyPatch, removed: bool
) -> None:
    rows = vectors(3000, 384)
    queries = rows[::100] + 0.4 * vectors(30, 384, seed=2)
    index = BitIndex(384, "e")
    index.add(range(1, 3001), [SCOPE] * 3000, rows)
    if removed:
        index.remove(range(2, 3001, 100))  # not those that are looked for
    index.save()
    whole = [index.search(SCOPE, query, 1) for query in queries]
    monkeypatch.setattr(bit_index, "_SCAN_ALL", 100)
    assert [index.search(SCOPE, query, 1) for query in queries] == whole


def test_a_large_scope_gives_more_candidates(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bit_index, "_SURE", 10)
    index = BitIndex(128, "e")
    rows = vectors(200)
    index.add(range(1, 201), [SCOPE] * 200, rows)
    index.save()
    assert len(index.search(SCOPE, rows[0], 5)) == 5
    index._merge(None)
    found = index.search(SCOPE, rows[0], 5)
    assert len(found) == 20
    assert found[0].id == 1


def test_of_equally_near_entries_the_newest_are_found() -> None:
    index = BitIndex(128, "e")
    row = vectors(1)
    index.add(range(1, 51), [SCOPE] * 50, row.repeat(50, axis=0))
    assert [x.id for x in index.search(SCOPE, row[0], 3)] == [50, 49, 48]


def test_a_restart_finds_everything_again(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = BitIndex(128, "e", path=path)
    assert index.found == "missing"
    rows = vectors(50)
    index.add(range(1, 51), [bytes([n % 5]) * 32 for n in range(50)], rows)
    index.remove([7])
    index.close()
    again = BitIndex(128, "e", path=path)
    assert again.found == "loaded"
    assert again.ids().tolist() == [n for n in range(1, 51) if n != 7]
    assert [again.search(bytes([n % 5]) * 32, rows[n], 4) for n in range(50)] == [
        index.search(bytes([n % 5]) * 32, rows[n], 4) for n in range(50)
    ]
    again.add([51], [SCOPE], rows[:1])
    assert again.stats()["unsaved"] == 1


def test_a_restart_with_another_embedder_starts_empty(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = BitIndex(128, "e", path=path)
    index.add([1], [SCOPE], vectors(1))
    index.save()
    for other in (BitIndex(128, "f", path=path), BitIndex(192, "e", path=path)):
        assert len(other) == 0
        assert "not" in other.found


def test_nothing_is_written_when_nothing_changed(tmp_path: Path) -> None:
    path = tmp_path / "index"
    index = BitIndex(128, "e", path=path)
    index.save()
    assert not path.exists()
    index.add([1], [SCOPE], vectors(1))
    index.save()
    path.unlink()
    index.save()
    assert not path.exists()


def test_a_folder_that_is_gone_is_an_error_at_save(tmp_path: Path) -> None:
    index = BitIndex(128, "e", path=tmp_path / "gone" / "index")
    index.add([1], [SCOPE], vectors(1))
    with pytest.raises(BackendError, match="cannot be written"):
        index.save()
    (tmp_path / "gone").mkdir()
    index.save()
    assert len(BitIndex(128, "e", path=tmp_path / "gone" / "index")) == 1
