from __future__ import annotations

import threading
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.memory import MemoryTier, matching
from reflex_core.ports import Entry
from reflex_core.types import Choice, Completion

NOW = 1_000_000.0
ANSWER = Completion("c", 1, "m", (Choice(content="hi", finish_reason="stop"),))


def an_entry(n: int, **fields: object) -> Entry:
    base = Entry(
        key=n.to_bytes(32, "big"),
        tenant=b"t" * 16,
        scope=b"s" * 32,
        provider="p",
        model="m",
        created=NOW,
        expires=None,
        completion=b"x" * 1000,
    )
    return replace(base, **fields)  # type: ignore[arg-type]


def kept(tier: MemoryTier, among: range) -> list[int]:
    return [n for n in among if tier.get(an_entry(n).key, NOW)]


def test_get_and_put() -> None:
    tier = MemoryTier(10)
    assert tier.get(an_entry(1).key, NOW) is None
    tier.put(an_entry(1), ANSWER)
    assert tier.get(an_entry(1).key, NOW) == (an_entry(1), ANSWER)
    other = replace(ANSWER, id="d")
    tier.put(an_entry(1, model="n"), other)
    assert tier.get(an_entry(1).key, NOW) == (an_entry(1, model="n"), other)
    assert len(tier) == 1


def test_least_recently_used_goes_first() -> None:
    tier = MemoryTier(3)
    for n in range(3):
        tier.put(an_entry(n), ANSWER)
    tier.get(an_entry(0).key, NOW)
    tier.put(an_entry(3), ANSWER)
    assert kept(tier, range(4)) == [0, 2, 3]


def test_bound_by_size() -> None:
    tier = MemoryTier(1000, max_bytes=20_000)
    for n in range(50):
        tier.put(an_entry(n), ANSWER)
    assert kept(tier, range(50)) == [44, 45, 46, 47, 48, 49]
    assert tier.bytes <= 20_000
    tier.put(an_entry(49, completion=bytes(50_000)), ANSWER)
    assert kept(tier, range(50)) == [44, 45, 46, 47, 48], "neither too large nor outdated"


def test_expired_is_not_served() -> None:
    tier = MemoryTier(3)
    tier.put(an_entry(1, expires=NOW + 5), ANSWER)
    assert tier.get(an_entry(1).key, NOW + 4.9)
    assert tier.get(an_entry(1).key, NOW + 5) is None


def test_takes_over_row_ids() -> None:
    tier = MemoryTier(2)
    tier.put(an_entry(1), ANSWER)
    tier.put(an_entry(2, created=NOW + 1), ANSWER)
    tier.stored([an_entry(1, id=7), an_entry(2, id=8), an_entry(3, id=9)])
    one, two = tier.get(an_entry(1).key, NOW), tier.get(an_entry(2).key, NOW)
    assert one is not None
    assert two is not None
    assert (one.entry.id, two.entry.id) == (7, 0), "an older answer's id is not the newer one's"
    assert one.completion is ANSWER
    assert len(tier) == 2


def test_remove() -> None:
    tier = MemoryTier(10)
    for n in range(4):
        tier.put(an_entry(n, model="a" if n % 2 else "b"), ANSWER)
    before = tier.bytes
    assert tier.remove(matching(model="a")) == 2
    assert kept(tier, range(4)) == [0, 2]
    assert tier.bytes == before // 2
    assert tier.remove(matching(everything=True)) == 2
    assert (len(tier), tier.bytes) == (0, 0)


def test_starting_with() -> None:
    tier = MemoryTier(10)
    entries = [an_entry(0, key=bytes.fromhex(digits)) for digits in ("abcd", "abce", "ac00")]
    for entry in entries:
        tier.put(entry, ANSWER)
    assert tier.starting_with("abc") == entries[:2]
    assert tier.starting_with("abce") == entries[1:2]
    assert tier.starting_with("b") == []


@pytest.mark.parametrize(
    ("conditions", "matches"),
    [
        ({}, False),
        ({"everything": True}, True),
        ({"key": an_entry(1).key}, True),
        ({"key": an_entry(1).key[:8]}, True),
        ({"key": b"other"}, False),
        ({"key": b""}, False),
        ({"model": "m", "tenant": b"t" * 16}, True),
        ({"model": "m", "tenant": b"u" * 16}, False),
        ({"model": "m", "namespace": "n"}, False),
        ({"everything": True, "model": "n"}, False),
    ],
)
def test_matching(conditions: dict[str, object], matches: bool) -> None:
    assert matching(**conditions)(an_entry(1)) is matches  # type: ignore[arg-type]


@given(st.lists(st.tuples(st.sampled_from(["put", "get", "drop"]), st.integers(0, 6)), max_size=40))
def test_against_a_list(steps: list[tuple[str, int]]) -> None:
    """The order is that of a list where the last used one is moved to the end."""
    tier = MemoryTier(3)
    model: list[int] = []
    for action, n in steps:
        if action == "put":
            tier.put(an_entry(n), ANSWER)
        elif action == "drop":
            tier.remove(matching(key=an_entry(n).key))
        else:
            assert (tier.get(an_entry(n).key, NOW) is not None) == (n in model)
        used = action == "put" or n in model
        model = [m for m in model if m != n]
        if used and action != "drop":
            model = [*model, n][-3:]
    assert len(tier) == len(model)
    assert kept(tier, range(7)) == sorted(model)


def test_many_threads() -> None:
    tier = MemoryTier(20, max_bytes=50_000)
    errors: list[BaseException] = []

    def work(worker: int) -> None:
        try:
            for n in range(2000):
                tier.put(an_entry(n * worker % 50), ANSWER)
                cached = tier.get(an_entry(n % 50).key, NOW)
                assert cached is None or cached.entry.key == an_entry(n % 50).key
                if n % 100 == 0:
                    tier.remove(matching(key=an_entry(n % 7).key))
                    tier.stored([an_entry(n % 50, id=n)])
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work, args=(worker,)) for worker in range(1, 5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []
    assert len(tier) <= 20
    tier.remove(matching(everything=True))
    assert (len(tier), tier.bytes) == (0, 0)
