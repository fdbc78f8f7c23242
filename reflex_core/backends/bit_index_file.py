"""The index on disk: one file, so that codes and what they mean cannot come apart.

Layout, little endian: 8 bytes magic, header length (u32), header (JSON, padded with spaces to a
multiple of 8), then scopes (u64 x rows, ascending), row ids (i64 x rows), codes (u64 x words x rows, one
row of the file per word). Header: version, rows, dim, words, embedder, quantisation, last_id, crc32 of
all that follows it.
"""

from __future__ import annotations

import os
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import orjson

from ..errors import BackendError

MAGIC = b"RFLXIDX1"
VERSION = 1
QUANTISATION = "sign"
"""One bit a component: 1 where it is above zero."""
_MAX_HEADER = 1 << 16


@dataclass(frozen=True, slots=True)
class Rows:
    """Entries in the order of their scopes. Only `ids` is ever written to: 0 marks a removed row."""

    scopes: npt.NDArray[np.uint64]
    ids: npt.NDArray[np.int64]
    codes: npt.NDArray[np.uint64]
    """(words, rows): word by word, so that a scan reads memory in order."""

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def nbytes(self) -> int:
        return self.scopes.nbytes + self.ids.nbytes + self.codes.nbytes


def empty(words: int, rows: int) -> Rows:
    return Rows(
        np.zeros(rows, np.uint64), np.zeros(rows, np.int64), np.zeros((words, rows), np.uint64)
    )


def words_for(dim: int) -> int:
    return -(-dim // 64)


def write(path: Path, rows: Rows, *, dim: int, embedder: str) -> None:
    """Replace the file as a whole: it is the old one or the new one, whatever breaks.

    Raises BackendError when it cannot be written.
    """
    parts = [rows.scopes, rows.ids, *rows.codes]
    crc = 0
    for part in parts:
        crc = zlib.crc32(_little(part), crc)
    header = {
        "version": VERSION,
        "rows": len(rows),
        "dim": dim,
        "words": len(rows.codes),
        "embedder": embedder,
        "quantisation": QUANTISATION,
        "last_id": int(rows.ids.max(initial=0)),
        "crc32": crc,
    }
    text = orjson.dumps(header)
    text = text.ljust(-(-len(text) // 8) * 8)
    draft = path.with_name(f"{path.name}.{os.getpid()}.tmp")
    try:
        handle = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(MAGIC + len(text).to_bytes(4, "little") + text)
            for part in parts:
                file.write(_little(part))
            file.flush()
            os.fsync(file.fileno())
        draft.replace(path)
        _sync_folder(path.parent)
    except OSError as error:
        draft.unlink(missing_ok=True)
        raise BackendError(f"{path} cannot be written: {error.strerror}") from error


def read(path: Path, *, dim: int, embedder: str) -> Rows:
    """What `write` wrote for the same embedder and dimension.

    Raises FileNotFoundError, or BackendError that says why the file cannot be used.
    """
    try:
        with path.open("rb") as file:
            header = _read_header(file.read(len(MAGIC) + 4), file.read)
            data = np.fromfile(file, np.uint8)
    except FileNotFoundError:
        raise
    except OSError as error:
        raise BackendError(f"cannot be read: {error.strerror}") from error
    wanted = {"version": VERSION, "quantisation": QUANTISATION, "dim": dim, "embedder": embedder}
    for name, value in wanted.items():
        if header.get(name) != value:
            raise BackendError(f"{name} is {header.get(name)!r}, not {value!r}")
    n, words = header.get("rows"), words_for(dim)
    if not isinstance(n, int) or n < 0 or data.nbytes != n * 8 * (2 + words):
        raise BackendError("the length is not what its header says")
    if zlib.crc32(data) != header.get("crc32"):
        raise BackendError("the checksum is wrong")
    numbers = data.view("<u8").astype(np.uint64, copy=False)
    rows = Rows(numbers[:n], numbers[n : 2 * n].view(np.int64), numbers[2 * n :].reshape(words, n))
    if not (rows.scopes[1:] >= rows.scopes[:-1]).all():
        raise BackendError("the scopes are not in order")
    return rows


def _read_header(start: bytes, read: Any) -> dict[str, Any]:
    length = int.from_bytes(start[len(MAGIC) :], "little")
    if not start.startswith(MAGIC) or len(start) != len(MAGIC) + 4 or not 0 < length <= _MAX_HEADER:
        raise BackendError("it is not an index")
    text = read(length)
    try:
        header = orjson.loads(text)
    except ValueError:
        raise BackendError("the header is damaged") from None
    if len(text) != length or not isinstance(header, dict):
        raise BackendError("the header is damaged")
    return cast(dict[str, Any], header)


def _little(part: npt.NDArray[Any]) -> memoryview:
    return memoryview(np.ascontiguousarray(part.astype(part.dtype.newbyteorder("<"), copy=False)))


def _sync_folder(folder: Path) -> None:
    """Make the rename itself last, where folders can be synced."""
    try:
        handle = os.open(folder, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(handle)
    except OSError:
        pass
    finally:
        os.close(handle)
