"""What is kept: memory and disk together, across restarts, and whatever breaks."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from reflex_core.catalog_rows import PROVIDERS
from reflex_core.storage import Storage
from reflex_core.types import Choice, Completion, Keys, Meaning, Target

from .settings import settings

NOW = 1_000_000.0
TARGET = Target(PROVIDERS["openai"], "gpt-4o", "http://x")


def completion(text: str = "Hello") -> Completion:
    return Completion("id", 1, "gpt-4o", (Choice(content=text, finish_reason="stop"),))


@contextmanager
def opened(folder: Path, now: float = NOW, **options: Any) -> Iterator[Storage]:
    storage = Storage(settings(folder, **options), lambda: now, lambda: None)
    storage.open()
    try:
        yield storage
    finally:
        storage.close()


def put(storage: Storage, n: int = 0, **more: Any) -> Keys:
    """Stored under a key of its own; options as of `Storage.put`."""
    keys = Keys(b"t" * 16, n.to_bytes(32, "big"), namespace=more.pop("namespace", None))
    meaning = Meaning(b"s" * 32, more.pop("text", f"question {n}"), None)
    target = Target(PROVIDERS["openai"], more.pop("model", "gpt-4o"), "http://x")
    exact_only = more.pop("exact_only", False)
    storage.put(target, keys, meaning, completion(f"answer {n}"), exact_only, **more)
    return keys


def flush(storage: Storage) -> None:
    assert storage.writer is not None
    assert storage.writer.flush(10)


def read(storage: Storage, keys: Keys) -> Any:
    assert storage.store is not None
    return storage.store.get(keys.exact, NOW)


# ---------------------------------------------------------------------- keeping


def test_in_memory_at_once_and_on_disk_soon(tmp_path: Path) -> None:
    with opened(tmp_path) as storage:
        keys = put(storage, took=1.5)
        found = storage.memory.get(keys.exact, NOW)
        assert found is not None
        assert found.completion.choices[0].content == "answer 0"
        flush(storage)
        entry = read(storage, keys)
        assert (entry.provider, entry.model, entry.tenant) == ("openai", "gpt-4o", b"t" * 16)
        assert (entry.created, entry.expires, entry.took) == (NOW, NOW + 30 * 86400, 1.5)
        assert (entry.question, entry.exact_only) == ("question 0", False)
        found = storage.memory.get(keys.exact, NOW)
        assert found is not None
        assert found.entry.id == entry.id, "memory learns the row's id"


def test_a_restart_warms_memory(tmp_path: Path) -> None:
    with opened(tmp_path) as storage:
        secret = storage.secret
        keys = [put(storage, n) for n in range(5)]
    with opened(tmp_path, l1_capacity=3) as storage:
        assert storage.secret == secret, "tenants stay who they are"
        assert len(storage.memory) == 3
        assert all(read(storage, key) for key in keys)


def test_ttl(tmp_path: Path) -> None:
    with opened(tmp_path, ttl="0") as storage:
        keys = put(storage)
        flush(storage)
        assert read(storage, keys).expires is None
    with opened(tmp_path / "b", ttl="10s") as storage:
        keys = put(storage, created=NOW - 100)
        flush(storage)
        entry = read(storage, keys)
        assert (entry.created, entry.expires) == (NOW - 100, NOW + 10)


def test_what_has_expired_is_not_warmed(tmp_path: Path) -> None:
    with opened(tmp_path, ttl="10s") as storage:
        put(storage)
    with opened(tmp_path, now=NOW + 11) as storage:
        assert len(storage.memory) == 0
    with opened(tmp_path / "offline", ttl="10s") as storage:
        put(storage)
    with opened(tmp_path / "offline", now=NOW + 1e9, offline=True) as storage:
        assert len(storage.memory) == 1, "offline nothing is too old"


@pytest.mark.parametrize(
    ("more", "exact_only", "question"),
    [
        ({"exact_only": True}, True, None),
        ({"text": None}, True, None),
        ({}, False, "question 0"),
    ],
)
def test_what_a_similar_question_may_see(
    tmp_path: Path, more: dict[str, Any], exact_only: bool, question: str | None
) -> None:
    with opened(tmp_path) as storage:
        keys = put(storage, **more)
        flush(storage)
        assert (read(storage, keys).exact_only, read(storage, keys).question) == (
            exact_only,
            question,
        )


def test_requests_are_kept_on_request(tmp_path: Path) -> None:
    for wish in (True, False):
        with opened(tmp_path / str(wish), keep_requests=wish) as storage:
            keys = put(storage, request=b'{"a": 1}')
            flush(storage)
            kept = [item.body for item in storage.requests(keys.tenant, 10)]
            assert kept == ([b'{"a": 1}'] if wish else [])


def test_uses_are_recorded(tmp_path: Path) -> None:
    with opened(tmp_path) as storage:
        keys = put(storage)
        flush(storage)
        storage.touch(read(storage, keys))
    with opened(tmp_path) as storage:
        assert read(storage, keys).hits == 1


# ---------------------------------------------------------------------- purging


def three(storage: Storage) -> list[Keys]:
    keys = [put(storage, 0), put(storage, 1, model="gpt-5"), put(storage, 2, namespace="team")]
    flush(storage)
    return keys


@pytest.mark.parametrize(
    ("what", "value", "left"),
    [
        ("all", "", []),
        ("model", "gpt-5", [0, 2]),
        ("namespace", "team", [0, 1]),
        ("tenant", (b"t" * 16).hex(), []),
        ("tenant", (b"u" * 16).hex(), [0, 1, 2]),
        ("key", (1).to_bytes(32, "big").hex(), [0, 2]),
        ("key", "00000000", []),
        ("key", "ffffffff", [0, 1, 2]),
    ],
)
def test_purge(tmp_path: Path, what: str, value: str, left: list[int]) -> None:
    with opened(tmp_path) as storage:
        keys = three(storage)
        assert storage.purge(what, value) == 3 - len(left)
        assert [n for n in range(3) if storage.memory.get(keys[n].exact, NOW)] == left
        assert [n for n in range(3) if read(storage, keys[n])] == left


def test_what_is_still_queued_goes_too(tmp_path: Path) -> None:
    with opened(tmp_path) as storage:
        keys = put(storage)
        assert storage.purge("all", "") == 1
        flush(storage)
        assert read(storage, keys) is None


@pytest.mark.parametrize(
    ("what", "value"),
    [
        ("everything", ""),
        ("", ""),
        ("model", ""),
        ("namespace", ""),
        ("key", ""),
        ("key", "xyz"),
        ("key", "00"),
        ("key", "0" * 66),
        ("tenant", "00"),
    ],
)
def test_a_purge_that_makes_no_sense(tmp_path: Path, what: str, value: str) -> None:
    with opened(tmp_path) as storage:
        three(storage)
        with pytest.raises(ValueError):
            storage.purge(what, value)
        assert len(storage.memory) == 3


# ---------------------------------------------------------------------- looking


def test_describe(tmp_path: Path) -> None:
    with opened(tmp_path) as storage:
        keys = put(storage)
        flush(storage)
        lines = storage.describe(keys.exact.hex()[:12], NOW + 5)
        assert f"key: {keys.exact.hex()}" in lines
        assert {"model: gpt-4o", "age: 5 s", "semantic: yes"} <= set(lines)
        storage.memory.remove(lambda entry: True)
        assert f"key: {keys.exact.hex()}" in storage.describe(keys.exact.hex().upper(), NOW)
        assert storage.describe("abcdef", NOW) == ["nothing is stored under this key"]
        with pytest.raises(ValueError):
            storage.describe("x" * 64, NOW)


def test_entries_by_key_and_id(tmp_path: Path) -> None:
    with opened(tmp_path) as storage:
        keys = put(storage)
        assert storage.entry(keys.exact) is not None
        flush(storage)
        stored = read(storage, keys)
        storage.memory.remove(lambda entry: True)
        assert storage.entry(keys.exact) is not None
        assert storage.entry_by_id(stored.id) is not None
        assert storage.entry(b"x" * 32) is None
        assert storage.entry_by_id(stored.id + 1) is None


def test_stats_and_states(tmp_path: Path) -> None:
    with opened(tmp_path) as storage:
        put(storage)
        flush(storage)
        parts = storage.stats()
        assert parts["memory"]["entries"] == parts["store"]["entries"] == 1
        assert parts["writer"]["written"] == 1
        assert storage.state() == "ready"
        assert storage.semantic_state() == {
            "index": "off",
            "embedding": "off",
            "embedder_mode": "none",
        }


# ---------------------------------------------------------------------- breaking


def test_without_a_cache_nothing_is_opened(tmp_path: Path) -> None:
    with opened(tmp_path / "store", cache=False) as storage:
        assert storage.state() == "off"
        assert not (tmp_path / "store").exists()
        assert storage.requests(b"t" * 16, 1) == []
        assert storage.search("x", 1, questions=True) == []


def test_an_unusable_folder_leaves_memory(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    with opened(tmp_path / "file" / "store") as storage:
        keys = put(storage)
        storage.touch(storage.memory.get(keys.exact, NOW).entry)  # type: ignore[union-attr]
        assert storage.memory.get(keys.exact, NOW)
        assert storage.state() == "error"
        assert storage.entry_by_id(1) is None
        assert storage.purge("all", "") == 1
    assert "nothing will be kept beyond this run" in caplog.text


def test_a_store_that_goes_away(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    with opened(folder) as storage:
        keys = put(storage)
        flush(storage)
        shutil.rmtree(folder)
        put(storage, 1)
        flush(storage)
        assert storage.memory.get(keys.exact, NOW)
        assert storage.stats()["store"]
        assert storage.state() in ("ready", "error")


def test_a_damaged_answer_is_left_out(tmp_path: Path) -> None:
    with opened(tmp_path) as storage:
        keys = [put(storage, n) for n in range(2)]
        flush(storage)
        entry = read(storage, keys[0])
        assert storage.store is not None
        storage.store.put([type(entry)(**{**_fields(entry), "completion": b"broken"})])
    with opened(tmp_path) as storage:
        assert [bool(storage.memory.get(k.exact, NOW)) for k in keys] == [False, True]


def _fields(entry: Any) -> dict[str, Any]:
    return {name: getattr(entry, name) for name in entry.__slots__}
