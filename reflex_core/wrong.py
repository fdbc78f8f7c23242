"""Answers that somebody has marked as wrong.

Two files beside the store, both 0600: `bans.txt`, pairs of a question's keyed hash and an entry's key
(pairs.py); and `reported.jsonl`, the pairs of questions in the form that the evaluation reads. The latter
is the one place outside the store that holds the text of questions; it is written only when somebody
marks an answer, or a recheck finds it wrong.
"""

from __future__ import annotations

from hashlib import blake2b
from pathlib import Path

import orjson

from .errors import BackendError
from .pairs import Pairs, append, read_lines, replace_file
from .types import Json

BANS = "bans.txt"
REPORTED = "reported.jsonl"
CATEGORY = "reported"
MAX_BANS = 100_000


class Bans:
    """Which stored answers must not be served for which questions. Thread-safe.

    `folder` None keeps them for this run only. Raises BackendError when they cannot be read.
    """

    def __init__(self, folder: Path | None, secret: bytes) -> None:
        self._pairs = Pairs(None if folder is None else folder / BANS, MAX_BANS)
        self._secret = secret

    def asked(self, tenant: bytes, text: str) -> bytes:
        """Stands for a tenant's question, 16 bytes."""
        digest = blake2b(tenant, digest_size=16, key=self._secret, person=b"reflex.asked.1")
        digest.update(text.encode("utf-8", "surrogatepass"))
        return digest.digest()

    def of(self, asked: bytes) -> frozenset[bytes]:
        """Keys of the entries that must not be served for it."""
        return frozenset(self._pairs.of(asked))

    def add(self, asked: bytes, key: bytes) -> bool:
        """False when it was there. Raises BackendError when it cannot be kept."""
        return self._pairs.put(asked, key, False)

    def __len__(self) -> int:
        return len(self._pairs)


def report(folder: Path, asked: str, stored: str, more: Json) -> None:
    """Append a pair of questions that must not share an answer. Raises BackendError."""
    case = {"a": asked, "b": stored, "same_answer": False, "category": CATEGORY, **more}
    try:
        line = orjson.dumps(case)
    except orjson.JSONEncodeError:
        raise BackendError("the question is not valid Unicode") from None
    append(folder / REPORTED, line + b"\n")


def forget(folder: Path, tenant: str | None) -> int:
    """Remove reported cases, all or one tenant's; returns how many. Raises BackendError."""
    path = folder / REPORTED
    if tenant is None:
        count = len(read_lines(path))
        path.unlink(missing_ok=True)
        return count
    lines = read_lines(path)
    kept = [line for line in lines if f'"tenant":"{tenant}"' not in line]
    if len(kept) < len(lines):
        replace_file(path, "".join(f"{line}\n" for line in kept).encode())
    return len(lines) - len(kept)
