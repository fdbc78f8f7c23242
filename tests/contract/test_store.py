"""One suite for every Store."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from reflex_core.backends.memory_store import MemoryStore
from reflex_core.backends.sqlite import SqliteStore
from reflex_core.errors import BackendError
from reflex_core.ports import Entry, Store, Vectors

MAKERS: dict[str, Callable[[Path, int], Store]] = {
    "memory": lambda folder, size: MemoryStore(size),
    "sqlite": lambda folder, size: SqliteStore(folder, size, log=pytest.fail),
}
NOW = 1_000_000.0
BIG = 1 << 40


@pytest.fixture(params=MAKERS)
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[int], Store]]:
    made: list[Store] = []

    def maker(size: int = BIG) -> Store:
        store = MAKERS[request.param](tmp_path / str(len(made)), size)
        made.append(store)
        return store

    yield maker
    for store in made:
        store.close()


@pytest.fixture
def store(make: Callable[..., Store]) -> Store:
    return make()


def an_entry(n: int = 0, **fields: object) -> Entry:
    base = Entry(
        key=n.to_bytes(32, "big"),
        tenant=b"t" * 16,
        scope=b"s" * 32,
        provider="openai",
        model="gpt",
        created=NOW,
        expires=None,
        completion=b"answer %d" % n,
        took=0.5 + n,
        question=f"question {n}",
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def vectors(id: int, embedder: str = "e", **fields: object) -> Vectors:
    base = Vectors(id, b"s" * 32, embedder, b"\x01\x02" * 4, b"tokens")
    return replace(base, **fields)  # type: ignore[arg-type]


# --------------------------------------------------------------------------- entries


def test_what_goes_in_comes_out(store: Store) -> None:
    plain = an_entry(1)
    full = an_entry(
        2,
        expires=NOW + 10.5,
        exact_only=True,
        question=None,
        namespace="team ü",
        completion=b"\0\xff" * 9000,
    )
    ids = store.put([plain, full])
    assert len(set(ids)) == 2
    for entry, id in zip((plain, full), ids, strict=True):
        assert store.get(entry.key, NOW) == replace(entry, id=id)
        assert store.get_by_id(id, NOW) == replace(entry, id=id)


def test_nothing_there(store: Store) -> None:
    assert store.get(b"k" * 32, NOW) is None
    assert store.get_by_id(7, NOW) is None
    assert store.put([]) == []
    assert store.evict(NOW) == []
    assert store.recent(5, NOW) == []
    assert store.get_vectors([]) == store.get_vectors([1]) == {}
    assert list(store.scan_vectors(0, "e")) == store.without_vectors("e", 5) == []
    store.touch([])
    store.touch([(5, NOW)])
    store.put_vectors([])


def test_another_tenant_sees_nothing(store: Store) -> None:
    entry = an_entry(1)
    store.put([entry])
    assert store.get(entry.key, NOW, entry.tenant) is not None
    assert store.get(entry.key, NOW, b"u" * 16) is None


def test_expiry(store: Store) -> None:
    entry = an_entry(1, expires=NOW + 10)
    (id,) = store.put([entry])
    assert store.get(entry.key, NOW + 9.99) is not None
    assert store.get(entry.key, NOW + 10) is None
    assert store.get_by_id(id, NOW + 10) is None
    assert store.recent(5, NOW + 10) == []
    assert store.get(entry.key, NOW) is not None, "expired is not deleted"
    assert store.evict(NOW + 9) == []
    assert store.evict(NOW + 10) == [id]
    assert store.get(entry.key, NOW) is None


def test_replaced_key_gets_a_new_id(store: Store) -> None:
    old = an_entry(1, completion=b"old")
    (first,) = store.put([old])
    store.put_vectors([vectors(first)])
    (second,) = store.put([replace(old, completion=b"new")])
    assert second != first
    found = store.get(old.key, NOW)
    assert found is not None
    assert found.completion == b"new"
    assert store.get_by_id(first, NOW) is None
    assert store.get_vectors([first, second]) == {}
    assert store.evict(NOW) == [first], "the index is told"
    assert store.evict(NOW) == []


def test_same_key_twice_in_one_put(store: Store) -> None:
    first, second = store.put([an_entry(1, completion=b"a"), an_entry(1, completion=b"b")])
    found = store.get(an_entry(1).key, NOW)
    assert found is not None
    assert (found.id, found.completion) == (second, b"b")
    assert store.evict(NOW) == [first]


def test_ids_are_never_reused(store: Store) -> None:
    ids = store.put([an_entry(1), an_entry(2)])
    store.purge(everything=True)
    assert min(store.put([an_entry(3)])) > max(ids)


def test_touch_counts_and_orders(store: Store) -> None:
    ids = store.put([an_entry(n, created=NOW + n) for n in range(3)])
    store.touch([(ids[0], NOW + 50), (ids[0], NOW + 40), (ids[1], NOW - 5)])
    recent = store.recent(10, NOW)
    assert [entry.id for entry in recent] == [ids[0], ids[2], ids[1]]
    assert [entry.hits for entry in recent] == [2, 0, 1]
    assert [entry.id for entry in store.recent(1, NOW)] == [ids[0]]


def test_requests_are_kept_apart(store: Store) -> None:
    """They explain misses: nothing else reads them, and other tenants never do."""
    asked = [an_entry(n, created=NOW + n, request=b'{"n":%d}' % n * 50) for n in range(3)]
    ids = store.put([*asked, an_entry(7), an_entry(8, tenant=b"u" * 16, request=b"{}")])
    found = store.requests(b"t" * 16, 10)
    assert [(r.id, r.body) for r in found] == [(ids[n], asked[n].request) for n in (2, 1, 0)]
    assert found[0].key == asked[2].key
    assert (found[0].scope, found[0].model, found[0].created) == (b"s" * 32, "gpt", NOW + 2)
    assert [r.id for r in store.requests(b"t" * 16, 1)] == [ids[2]]
    assert [r.body for r in store.requests(b"u" * 16, 10)] == [b"{}"]
    assert store.get(asked[0].key, NOW) == replace(asked[0], id=ids[0], request=b"")
    store.purge(key=asked[0].key)
    store.put([replace(asked[1], request=b"[]")])
    assert [r.body for r in store.requests(b"t" * 16, 10)] == [asked[2].request, b"[]"]


def test_requests_count_for_the_size(make: Callable[..., Store]) -> None:
    store = make(400_000)
    store.put([an_entry(n, request=random.Random(n).randbytes(20_000)) for n in range(50)])
    assert store.evict(NOW)
    assert 1 <= len(store.requests(b"t" * 16, 100)) < 20


# --------------------------------------------------------------------------- removal


@pytest.mark.parametrize(
    ("conditions", "gone"),
    [
        ({"key": (1).to_bytes(32, "big")}, {1}),
        ({"model": "claude"}, {2, 3}),
        ({"tenant": b"u" * 16}, {3, 4}),
        ({"namespace": "n"}, {4}),
        ({"model": "claude", "tenant": b"u" * 16}, {3}),
        ({"model": "claude", "namespace": "n"}, set()),
        ({"everything": True}, {1, 2, 3, 4}),
        ({"everything": True, "model": "claude"}, {2, 3}),
        ({"model": "none"}, set()),
        ({"key": (1).to_bytes(32, "big")[:31]}, {1, 2, 3, 4}),
        ({"key": bytes(8), "model": "claude"}, {2, 3}),
        ({"key": b"\0\1"}, set()),
        ({"key": b""}, set()),
        ({}, set()),
    ],
)
def test_purge(store: Store, conditions: dict[str, object], gone: set[int]) -> None:
    entries = {
        1: an_entry(1),
        2: an_entry(2, model="claude"),
        3: an_entry(3, model="claude", tenant=b"u" * 16),
        4: an_entry(4, tenant=b"u" * 16, namespace="n"),
    }
    ids = dict(zip(entries, store.put(list(entries.values())), strict=True))
    store.put_vectors([vectors(id) for id in ids.values()])
    removed = store.purge(**conditions)  # type: ignore[arg-type]
    assert sorted(removed) == sorted(ids[n] for n in gone)
    left = {n for n, entry in entries.items() if store.get(entry.key, NOW)}
    assert left == set(entries) - gone
    assert set(store.get_vectors(list(ids.values()))) == {ids[n] for n in left}


def test_least_recently_used_go_first(make: Callable[..., Store]) -> None:
    store = make(1_000_000)
    ids = store.put([an_entry(n, created=NOW + n, completion=bytes(20_000)) for n in range(100)])
    touched = ids[:10]
    store.touch([(id, NOW + 1000) for id in touched])
    gone = store.evict(NOW)
    left = [entry.id for entry in store.recent(100, NOW)]
    assert sorted(gone + left) == ids
    assert store.stats()["bytes"] <= 1_000_000
    assert 30 <= len(left) <= 50
    assert left == [*reversed(touched), *reversed(ids[-len(left) + 10 :])]
    assert store.evict(NOW) == []


def test_vectors_count_as_size(make: Callable[..., Store]) -> None:
    store = make(1_000_000)
    ids = store.put([an_entry(n, created=NOW + n) for n in range(100)])
    assert store.evict(NOW) == []
    store.put_vectors([vectors(id, tokens=bytes(20_000)) for id in ids])
    gone = store.evict(NOW)
    assert gone == ids[: len(gone)]
    assert 50 <= len(gone) <= 70
    assert set(store.get_vectors(ids)) == set(ids[len(gone) :])


def test_one_entry_larger_than_the_bound_goes(make: Callable[..., Store]) -> None:
    store = make(300_000)
    (id,) = store.put([an_entry(1, completion=bytes(1_000_000))])
    assert store.evict(NOW) == [id]
    assert store.stats()["entries"] == 0


# --------------------------------------------------------------------------- vectors


def test_vectors(store: Store) -> None:
    one, two, three = store.put([an_entry(n, scope=bytes([n]) * 32) for n in range(3)])
    rows = [
        vectors(one, scope=bytes(32)),
        vectors(two, scope=b"\1" * 32, tokens=b""),
        vectors(three, "other", scope=b"\2" * 32),
        vectors(three + 1),
    ]
    store.put_vectors(rows)
    assert store.get_vectors([one, two, three, three + 1]) == {
        one: rows[0],
        two: rows[1],
        three: rows[2],
    }
    assert store.get_vectors([two]) == {two: rows[1]}
    assert store.get_vectors([one], tokens=False) == {one: replace(rows[0], tokens=b"")}
    assert store.get_embeddings([one, two, three, three + 1], "e") == {
        one: rows[0].embedding,
        two: rows[1].embedding,
    }
    assert store.get_embeddings([], "e") == store.get_embeddings([one], "unknown") == {}
    assert [row.id for row in store.scan_vectors(0, "e")] == store.vector_ids("e") == [one, two]
    assert (store.vector_ids("other"), store.vector_ids("unknown")) == ([three], [])
    found = list(store.scan_vectors(one, "e"))
    assert [replace(row, tokens=b"") for row in found] == [rows[1]]
    assert [row.id for row in store.scan_vectors(0, "other")] == [three]
    store.put_vectors([vectors(one, "other", embedding=b"n", tokens=b"")])
    assert [row.id for row in store.scan_vectors(0, "e")] == [two]
    replaced = store.get_vectors([one])[one]
    assert (replaced.embedding, replaced.tokens, replaced.embedder) == (b"n", b"", "other")


def test_without_vectors(store: Store) -> None:
    ids = store.put(
        [
            an_entry(0),
            an_entry(1, question=None),
            an_entry(2, exact_only=True),
            an_entry(3),
            an_entry(4),
        ]
    )

    def missing(embedder: str, limit: int = 10) -> list[int]:
        return [entry.id for entry in store.without_vectors(embedder, limit)]

    wanted = [ids[0], ids[3], ids[4]]
    assert missing("e") == missing("f") == wanted
    assert missing("e", 2) == wanted[:2]
    store.put_vectors([vectors(ids[0]), vectors(ids[3], embedding=b"", tokens=b"")])
    assert missing("e") == wanted[2:]
    assert [row.id for row in store.scan_vectors(0, "e")] == [ids[0]], "no empty embedding"
    assert store.vector_ids("e") == [ids[0], ids[3]]
    assert missing("f") == wanted
    store.put_vectors([vectors(ids[0], "f")])
    assert missing("e") == [ids[0], ids[4]]
    assert missing("f") == wanted[1:]
    (later,) = store.put([an_entry(9)])
    assert missing("e") == [ids[0], ids[4], later]


def test_scan_of_many(store: Store) -> None:
    ids = store.put([an_entry(n) for n in range(2500)])
    store.put_vectors([vectors(id) for id in ids])
    scan = store.scan_vectors(ids[0], "e")
    assert [row.id for row in scan] == ids[1:]
    assert set(store.get_vectors(ids)) == set(ids)


# --------------------------------------------------------------------------- the rest


def test_stats(store: Store) -> None:
    empty = store.stats()
    assert (empty["entries"], empty["oldest"]) == (0, None)
    store.put([an_entry(1, created=NOW + 5), an_entry(2, completion=bytes(100_000))])
    stats = store.stats()
    assert (stats["entries"], stats["oldest"]) == (2, NOW)
    assert 90_000 <= stats["bytes"] - empty["bytes"] <= 150_000
    assert {"schema", "path"} <= set(stats)


def test_many_threads(store: Store) -> None:
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for n in range(30):
                entry = an_entry(n % 10, completion=b"%d" % n * 500)
                (id,) = store.put([entry])
                found = store.get(entry.key, NOW)
                assert found is None or len(set(found.completion)) <= 2
                store.touch([(id, NOW + n)])
                store.put_vectors([vectors(id)])
                if n % 10 == worker:
                    store.purge(key=entry.key)
                    store.evict(NOW)
                store.recent(3, NOW)
                list(store.scan_vectors(0, "e"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert store.stats()["entries"] <= 10


def test_closed_sqlite_says_so(tmp_path: Path) -> None:
    store = SqliteStore(tmp_path, BIG)
    store.close()
    store.close()
    with pytest.raises(BackendError, match="closed"):
        store.get(b"k", NOW)
    with pytest.raises(BackendError, match="closed"):
        store.put([an_entry()])


operations = st.lists(
    st.one_of(
        st.tuples(st.just("put"), st.integers(0, 4), st.integers(0, 20)),
        st.tuples(st.just("touch"), st.integers(0, 4), st.integers(0, 30)),
        st.tuples(st.just("purge"), st.integers(0, 4), st.just(0)),
        st.tuples(st.just("evict"), st.just(0), st.integers(0, 30)),
        st.tuples(st.just("vectors"), st.integers(0, 4), st.integers(0, 1)),
    ),
    max_size=12,
)


@settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(operations)
def test_both_stores_agree(
    tmp_path_factory: pytest.TempPathFactory, steps: list[tuple[str, int, int]]
) -> None:
    stores: list[Store] = [make(tmp_path_factory.mktemp("s"), BIG) for make in MAKERS.values()]
    names: list[dict[int, int]] = [{}, {}]
    """Row id -> number of the put that made it: ids differ between stores."""
    for step, (action, n, more) in enumerate(steps):
        results: list[object] = []
        for store, name in zip(stores, names, strict=True):
            key = an_entry(n).key
            now = NOW + more
            found = store.get(key, NOW)
            id = found.id if found else 0
            if action == "put":
                (made,) = store.put([an_entry(n, created=NOW + step, expires=now)])
                name[made] = step
            elif action == "touch":
                store.touch([(id, now)])
            elif action == "purge":
                results.append({name[i] for i in store.purge(key=key)})
            elif action == "evict":
                results.append({name[i] for i in store.evict(now)})
            else:
                store.put_vectors([vectors(id, "ef"[more])])
            results.append([(name[e.id], e.key, e.hits) for e in store.recent(9, NOW)])
            results.append([name[e.id] for e in store.without_vectors("e", 9)])
            results.append([name[row.id] for row in store.scan_vectors(0, "f")])
        half = len(results) // 2
        assert results[:half] == results[half:]
    for store in stores:
        store.close()


def test_search(store: Store) -> None:
    store.put(
        [
            an_entry(1, model="gpt-4o", question="Wo liegt Zürich?", namespace="team"),
            an_entry(2, model="claude", question="100% of what", expires=NOW - 1),
            an_entry(3, model="claude", provider="Anthropic", question=None),
        ]
    )

    def found(text: str, *, questions: bool = True) -> list[str | None]:
        return [e.question for e in store.search(text, 10, questions=questions)]

    assert found("") == [None, "100% of what", "Wo liegt Zürich?"], "the latest first"
    assert found("zürich") == ["Wo liegt Zürich?"]
    assert found("zürich", questions=False) == []
    assert found("0% o") == ["100% of what"], "expired ones too, and no wildcards"
    assert found("CLAUDE") == [None, "100% of what"]
    assert found("anthropic") == [None]
    assert found("team") == ["Wo liegt Zürich?"]
    assert found((2).to_bytes(32, "big").hex()) == ["100% of what"]
    assert found("\ud800") == found("")
    assert len(store.search("", 2, questions=True)) == 2
