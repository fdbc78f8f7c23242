"""Pairs of which it is known whether the answer to one may be served for the other.

A file beside the store, 0600, one `asked other yes|no` a line, both in hex and opaque (keyed hashes);
the last line of a pair counts. It is appended to, and written anew when more than half of it is of
no use.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType

from .errors import BackendError

_WORDS = {True: "yes", False: "no"}
_MEANINGS = {word: meaning for meaning, word in _WORDS.items()}
_NOTHING: Mapping[bytes, bool] = MappingProxyType({})


class Pairs:
    """At most `limit` pairs, the oldest questions' out first. Thread-safe; reading takes no lock.

    `path` None keeps them for this run only. Raises BackendError when the file cannot be read.
    """

    def __init__(self, path: Path | None, limit: int) -> None:
        self._path = path
        self._limit = limit
        self._pairs: dict[bytes, dict[bytes, bool]] = {}
        self._count = 0
        self._lines = 0
        self._lock = threading.Lock()
        for line in read_lines(path):
            self._lines += 1
            try:
                asked, other, word = line.split(" ")
                self._set(bytes.fromhex(asked), bytes.fromhex(other), _MEANINGS[word])
            except (ValueError, KeyError):
                continue  # a line that was cut, say

    def of(self, asked: bytes) -> Mapping[bytes, bool]:
        """What is known of a question: may the other's answer be served for it?"""
        return self._pairs.get(asked, _NOTHING)

    def put(self, asked: bytes, other: bytes, may: bool) -> bool:
        """False when this was known. Raises BackendError when it cannot be kept; it counts all the same."""
        with self._lock:
            if self.of(asked).get(other) is may:
                return False
            self._set(asked, other, may)
            if self._path is None:
                return True
            self._lines += 1
            if self._lines > 2 * self._limit:
                self._write_anew(self._path)
            else:
                append(self._path, _line(asked, other, may))
            return True

    def clear(self) -> None:
        """Forget all. Raises BackendError."""
        with self._lock:
            self._pairs.clear()
            self._count = self._lines = 0
            if self._path is not None:
                replace_file(self._path, b"")

    def __len__(self) -> int:
        return self._count

    def _set(self, asked: bytes, other: bytes, may: bool) -> None:
        """Readers see the old or the new dictionary of a question, never one that changes."""
        old = self._pairs.pop(asked, {})
        self._pairs[asked] = {**old, other: may}
        self._count += other not in old
        while self._count > self._limit and len(self._pairs) > 1:
            self._count -= len(self._pairs.pop(next(iter(self._pairs))))

    def _write_anew(self, path: Path) -> None:
        lines = [
            _line(asked, other, may)
            for asked, others in self._pairs.items()
            for other, may in others.items()
        ]
        replace_file(path, b"".join(lines))
        self._lines = len(lines)


def _line(asked: bytes, other: bytes, may: bool) -> bytes:
    return f"{asked.hex()} {other.hex()} {_WORDS[may]}\n".encode()


# --------------------------------------------------------------------------- small files


def read_lines(path: Path | None) -> list[str]:
    """None and a file that is not there have no lines. Raises BackendError."""
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BackendError(f"{path.name} cannot be read: {error.strerror}") from None


def append(path: Path, data: bytes) -> None:
    """To a file that only its owner can read. Raises BackendError."""
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, data)
        finally:
            os.close(handle)
    except OSError as error:
        raise BackendError(f"{path.name} cannot be written: {error.strerror}") from None


def replace_file(path: Path, data: bytes) -> None:
    """All of it or nothing, readable by its owner only. Raises BackendError."""
    other = path.with_suffix(".new")
    try:
        other.unlink(missing_ok=True)
        append(other, data)
        other.replace(path)
    except OSError as error:
        raise BackendError(f"{path.name} cannot be written: {error.strerror}") from None
