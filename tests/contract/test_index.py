"""One suite for every Index, against a plain scan."""

from __future__ import annotations

import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflex_core.backends import bit_index
from reflex_core.backends.bit_index import BitIndex
from reflex_core.backends.usearch_index import UsearchIndex
from reflex_core.errors import BackendError
from reflex_core.ports import Floats, Index

DIM = 40


def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Merges, blocks and prefilters that a test of a few rows reaches."""
    monkeypatch.setattr(bit_index, "_MIN_TAIL", 4)
    monkeypatch.setattr(bit_index, "_BLOCK", 8)


MAKERS: dict[str, Callable[[Path], Index]] = {
    "memory": lambda folder: BitIndex(DIM, "e"),
    "file": lambda folder: BitIndex(DIM, "e", path=folder / "index"),
    "usearch": lambda folder: UsearchIndex(DIM, "e", path=folder / "graph"),
}


@pytest.fixture(params=[*MAKERS, "small"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], Index]:
    if request.param == "small":
        small_parts(request.getfixturevalue("monkeypatch"))
        return lambda: MAKERS["memory"](tmp_path)
    return lambda: MAKERS[request.param](tmp_path)


@pytest.fixture
def index(make: Callable[[], Index]) -> Index:
    return make()


def scope(n: int) -> bytes:
    return n.to_bytes(1, "big") * 32


def vectors(seed: int, n: int) -> Floats:
    return np.random.default_rng(seed).standard_normal((n, DIM)).astype(np.float32)


class Scan:
    """What an index is, slowly."""

    def __init__(self) -> None:
        self.rows: dict[int, tuple[bytes, np.ndarray]] = {}

    def search(self, scope: bytes, vector: Floats, k: int) -> list[tuple[int, int]]:
        found = [
            (int(((row > 0) != (vector > 0)).sum()), -id)
            for id, (own, row) in self.rows.items()
            if own == scope
        ]
        return [(-id, distance) for distance, id in sorted(found)[:k]]


def test_an_empty_index_finds_nothing(index: Index) -> None:
    assert index.search(scope(1), vectors(1, 1)[0], 5) == []
    assert len(index) == 0


def test_only_the_own_scope_is_searched(index: Index) -> None:
    rows = vectors(2, 3)
    index.add([1, 2, 3], [scope(1), scope(2), scope(255)], rows)
    for n, own in enumerate((1, 2, 255)):
        assert [x.id for x in index.search(scope(own), rows[n], 5)] == [n + 1]
        assert index.search(scope(own), rows[n], 5)[0].distance == 0
    assert index.search(scope(9), rows[0], 5) == []


def test_an_id_that_exists_is_replaced(index: Index) -> None:
    rows = vectors(3, 2)
    index.add([1], [scope(1)], rows[:1])
    index.add([1], [scope(2)], rows[1:])
    assert len(index) == 1
    assert index.search(scope(1), rows[0], 5) == []
    assert [x.id for x in index.search(scope(2), rows[1], 5)] == [1]


def test_removed_ids_and_unknown_ids(index: Index) -> None:
    rows = vectors(4, 3)
    index.add([1, 2, 3], [scope(1)] * 3, rows)
    index.remove([2, 99, 0])
    index.remove([])
    assert sorted(x.id for x in index.search(scope(1), rows[1], 5)) == [1, 3]
    assert len(index) == 2


def test_a_wrong_dimension_is_an_error(index: Index) -> None:
    with pytest.raises(BackendError):
        index.add([1], [scope(1)], np.ones((1, DIM + 1), np.float32))
    with pytest.raises(BackendError):
        index.add([1, 2], [scope(1)], vectors(1, 2))
    with pytest.raises(BackendError):
        index.search(scope(1), np.ones(DIM - 1, np.float32), 1)


OPERATIONS = st.lists(
    st.one_of(
        st.tuples(st.just("add"), st.integers(1, 40), st.integers(1, 3), st.integers(1, 6)),
        st.tuples(st.just("remove"), st.integers(1, 40), st.integers(1, 12), st.just(0)),
        st.tuples(st.just("search"), st.integers(1, 3), st.integers(1, 8), st.just(0)),
    ),
    max_size=25,
)


@settings(max_examples=40, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(OPERATIONS)
def test_it_is_the_same_as_a_scan(
    make: Callable[[], Index], operations: list[tuple[str, int, int, int]]
) -> None:
    index, scan = make(), Scan()
    for step, (what, first, second, third) in enumerate(operations):
        rows = np.sign(vectors(step, 6))
        if what == "add":
            ids = range(first, first + third)
            index.add(ids, [scope(second)] * third, rows[:third])
            scan.rows.update({id: (scope(second), rows[n]) for n, id in enumerate(ids)})
        elif what == "remove":
            ids = range(first, first + second)
            index.remove(ids)
            for id in ids:
                scan.rows.pop(id, None)
        else:
            found = [(x.id, x.distance) for x in index.search(scope(first), rows[0], second)]
            assert found == scan.search(scope(first), rows[0], second)
        assert len(index) == len(scan.rows)
    assert index.stats()["entries"] == len(scan.rows)


def test_searching_while_others_add_remove_and_save(make: Callable[[], Index]) -> None:
    index = make()
    rows = np.sign(vectors(7, 400))
    index.add(range(1, 101), [scope(n % 3) for n in range(100)], rows[:100])
    failures: list[BaseException] = []

    def run(work: Callable[[], None]) -> None:
        try:
            work()
        except BaseException as error:
            failures.append(error)

    def add() -> None:
        for n in range(100, 400):
            index.add([n + 1], [scope(n % 3)], rows[n : n + 1])

    def remove() -> None:
        for n in range(0, 100, 2):
            index.remove([n + 1])

    def save() -> None:
        for _ in range(10):
            index.save()

    def search() -> None:
        for n in range(1, 100, 2):
            found = index.search(scope(n % 3), rows[n], 3)
            assert found[0].id == n + 1
            assert all(x.id % 3 == (n + 1) % 3 for x in found)

    threads = [
        threading.Thread(target=run, args=(work,)) for work in (add, remove, save, search, search)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert len(index) == 350
    assert {x.id for x in index.search(scope(0), rows[0], 400)} == {
        n + 1 for n in range(400) if n % 3 == 0 and (n >= 100 or n % 2)
    }
