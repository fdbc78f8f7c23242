"""Answers that somebody has marked as wrong.

Two files beside the store, both 0600: `bans.txt`, one "question key" pair a line, the question as a keyed
hash; and `reported.jsonl`, the pairs of questions in the form that the evaluation reads. The latter is
the one place outside the store that holds the text of questions; it is written only when somebody
marks an answer.
"""

from __future__ import annotations

import os
import threading
from collections import defaultdict
from hashlib import blake2b
from pathlib import Path

import orjson

from .errors import BackendError
from .types import Json

BANS = "bans.txt"
REPORTED = "reported.jsonl"
CATEGORY = "reported"


class Bans:
    """Which stored answers must not be served for which questions. Thread-safe.

    `folder` None keeps them for this run only.
    """

    def __init__(self, folder: Path | None, secret: bytes) -> None:
        self._path = folder / BANS if folder is not None else None
        self._secret = secret
        self._pairs: defaultdict[bytes, frozenset[bytes]] = defaultdict(frozenset)
        self._lock = threading.Lock()
        for line in _lines(self._path):
            asked, _, key = line.partition(" ")
            try:
                self._pairs[bytes.fromhex(asked)] |= {bytes.fromhex(key)}
            except ValueError:
                continue

    def asked(self, tenant: bytes, text: str) -> bytes:
        """Stands for a tenant's question, 16 bytes."""
        digest = blake2b(tenant, digest_size=16, key=self._secret, person=b"reflex.asked.1")
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def of(self, asked: bytes) -> frozenset[bytes]:
        """Keys of the entries that must not be served for it."""
        return self._pairs.get(asked, frozenset())

    def add(self, asked: bytes, key: bytes) -> bool:
        """False when it was there. Raises BackendError when it cannot be kept."""
        with self._lock:
            if key in self._pairs[asked]:
                return False
            self._pairs[asked] |= {key}
            if self._path is not None:
                _append(self._path, f"{asked.hex()} {key.hex()}\n".encode())
            return True

    def __len__(self) -> int:
        return sum(map(len, self._pairs.values()))


def report(folder: Path, asked: str, stored: str, more: Json) -> None:
    """Append a pair of questions that must not share an answer. Raises BackendError."""
    case = {"a": asked, "b": stored, "same_answer": False, "category": CATEGORY, **more}
    try:
        line = orjson.dumps(case)
    except orjson.JSONEncodeError:
        raise BackendError("the question is not valid Unicode") from None
    _append(folder / REPORTED, line + b"\n")


def forget(folder: Path, tenant: str | None) -> int:
    """Remove reported cases, all or one tenant's; returns how many. Raises BackendError."""
    path = folder / REPORTED
    if tenant is None:
        count = len(_lines(path))
        path.unlink(missing_ok=True)
        return count
    lines = _lines(path)
    kept = [line for line in lines if f'"tenant":"{tenant}"' not in line]
    if len(kept) < len(lines):
        _replace(path, "".join(f"{line}\n" for line in kept).encode())
    return len(lines) - len(kept)


def _lines(path: Path | None) -> list[str]:
    if path is None:
        return []
    try:
        return path.read_text(encoding="utf-8", errors="replace").splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        raise BackendError(f"{path.name} cannot be read: {error.strerror}") from None


def _append(path: Path, data: bytes) -> None:
    try:
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, data)
        finally:
            os.close(handle)
    except OSError as error:
        raise BackendError(f"{path.name} cannot be written: {error.strerror}") from None


def _replace(path: Path, data: bytes) -> None:
    other = path.with_suffix(".new")
    try:
        other.unlink(missing_ok=True)
        _append(other, data)
        other.replace(path)
    except OSError as error:
        raise BackendError(f"{path.name} cannot be written: {error.strerror}") from None
