"""L1: the answers used last, parsed, in memory."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable
from dataclasses import replace
from typing import NamedTuple

from .ports import Entry
from .types import Completion

MAX_BYTES = 256 * 1024 * 1024
_OVERHEAD = 1024
"""Rough bytes of objects around one entry."""


class Cached(NamedTuple):
    entry: Entry
    completion: Completion


class MemoryTier:
    """Least recently used out first, bounded by count and by bytes. Thread-safe.

    `get` takes no lock: each step on the OrderedDict is atomic under the GIL, and losing a race only
    costs the entry its place in the order.
    """

    def __init__(self, capacity: int, max_bytes: int = MAX_BYTES) -> None:
        self._capacity = capacity
        self._max_bytes = max_bytes
        self._bytes = 0
        self._items: OrderedDict[bytes, Cached] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes, now: float) -> Cached | None:
        """The answer that has not expired by `now` (unix seconds)."""
        cached = self._items.get(key)
        if cached is None:
            return None
        expires = cached.entry.expires
        if expires is not None and expires <= now:
            return None
        try:
            self._items.move_to_end(key)
        except KeyError:
            pass
        return cached

    def put(self, entry: Entry, completion: Completion) -> None:
        """Insert or replace. One larger than the bound is not kept, nor is what it would replace."""
        cached = Cached(entry, completion)
        with self._lock:
            self._drop(entry.key)
            if _size(entry) > self._max_bytes:
                return
            self._items[entry.key] = cached
            self._bytes += _size(entry)
            while len(self._items) > self._capacity or self._bytes > self._max_bytes:
                _, oldest = self._items.popitem(last=False)
                self._bytes -= _size(oldest.entry)

    def stored(self, entries: Iterable[Entry]) -> None:
        """Take over the row ids that the store gave to entries kept here."""
        with self._lock:
            for entry in entries:
                cached = self._items.get(entry.key)
                if cached is not None and cached.entry.created == entry.created:
                    known = replace(cached.entry, id=entry.id)
                    self._items[entry.key] = Cached(known, cached.completion)

    def remove(self, unwanted: Callable[[Entry], bool]) -> int:
        """Drop what `unwanted` says (see `matching`); returns how many went."""
        with self._lock:
            keys = [key for key, cached in self._items.items() if unwanted(cached.entry)]
            for key in keys:
                self._drop(key)
            return len(keys)

    def starting_with(self, digits: str) -> list[Entry]:
        """Entries whose key begins with these hexadecimal digits."""
        with self._lock:
            items = list(self._items.items())
        return [cached.entry for key, cached in items if key.hex().startswith(digits)]

    def __len__(self) -> int:
        return len(self._items)

    @property
    def bytes(self) -> int:
        """About what the entries take."""
        return self._bytes

    def _drop(self, key: bytes) -> None:
        old = self._items.pop(key, None)
        if old is not None:
            self._bytes -= _size(old.entry)


def _size(entry: Entry) -> int:
    """The stored bytes count twice, for the parsed answer beside them."""
    return 2 * len(entry.completion) + len(entry.question or "") + _OVERHEAD


def ascii_lower(text: str) -> str:
    """As SQLite's lower(); lone surrogates are dropped."""
    return text.encode("utf-8", "ignore").lower().decode()


def matching(
    *,
    key: bytes | None = None,
    model: str | None = None,
    tenant: bytes | None = None,
    namespace: str | None = None,
    everything: bool = False,
) -> Callable[[Entry], bool]:
    """The predicate for the conditions of `Store.purge`: all that are given must hold."""
    wanted = {"model": model, "tenant": tenant, "namespace": namespace}
    given = [(name, value) for name, value in wanted.items() if value is not None]
    if not given and key is None:
        return lambda entry: everything

    def matches(entry: Entry) -> bool:
        if key is not None and not (key and entry.key.startswith(key)):
            return False
        return all(getattr(entry, name) == value for name, value in given)

    return matches
