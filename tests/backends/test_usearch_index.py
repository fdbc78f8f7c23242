"""The graph's file; what every index must do is in tests/contract/test_index.py."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reflex_core.backends.usearch_index import UsearchIndex
from reflex_core.errors import BackendError

DIM = 64
SCOPE = b"s" * 32


def filled(path: Path, n: int = 200) -> tuple[UsearchIndex, np.ndarray]:
    index = UsearchIndex(DIM, "e", path=path)
    vectors = np.random.default_rng(1).standard_normal((n, DIM)).astype(np.float32)
    index.add(list(range(1, n + 1)), [SCOPE] * n, vectors)
    return index, vectors


def test_is_found_again(tmp_path: Path) -> None:
    index, vectors = filled(tmp_path / "graph")
    index.remove([7])
    index.close()
    again = UsearchIndex(DIM, "e", path=tmp_path / "graph")
    assert again.found == "loaded"
    assert len(again) == 199
    assert again.search(SCOPE, vectors[20], 1)[0].id == 21
    assert all(path.stat().st_mode & 0o077 == 0 for path in tmp_path.iterdir())
    again.save()
    assert again.stats()["unsaved"] == 0


@pytest.mark.parametrize(
    ("dim", "embedder", "why"), [(DIM, "other", "another embedder"), (32, "e", "another embedder")]
)
def test_of_another_embedder_is_not_used(tmp_path: Path, dim: int, embedder: str, why: str) -> None:
    filled(tmp_path / "graph")[0].close()
    other = UsearchIndex(dim, embedder, path=tmp_path / "graph")
    assert why in other.found
    assert len(other) == 0


@pytest.mark.parametrize("damage", ["cut", "garbage", "description"])
def test_damage_leaves_it_empty(tmp_path: Path, damage: str) -> None:
    path = tmp_path / "graph"
    filled(path)[0].close()
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-100])
    elif damage == "garbage":
        path.write_bytes(b"\xff" * path.stat().st_size)
    else:
        (tmp_path / "graph.json").write_text("{", encoding="utf-8")
    index = UsearchIndex(DIM, "e", path=path)
    assert "damaged" in index.found
    assert len(index) == 0
    index.add([1], [SCOPE], np.ones((1, DIM), np.float32))
    assert len(index) == 1


def test_a_large_scope_is_searched_by_its_graph(tmp_path: Path) -> None:
    index, vectors = filled(tmp_path / "graph", 6000)
    found = [index.search(SCOPE, vectors[n], 5)[0].id == n + 1 for n in range(0, 6000, 100)]
    assert sum(found) >= 59


def test_capacity_keeps_the_newest(tmp_path: Path) -> None:
    index = UsearchIndex(DIM, "e", capacity=100)
    vectors = np.random.default_rng(2).standard_normal((150, DIM)).astype(np.float32)
    index.add(list(range(1, 151)), [SCOPE] * 150, vectors)
    assert len(index) <= 100
    assert index.ids()[-1] == 150


def test_unwritable(tmp_path: Path) -> None:
    index, _ = filled(tmp_path / "missing" / "graph")
    with pytest.raises(BackendError):
        index.save()
