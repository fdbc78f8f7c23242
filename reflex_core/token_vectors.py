"""Token vectors as they are stored beside an entry: word-piece ids and int8 rows.

Layout, little endian: version (u8, 1), zero (u8), rows n (u16), dim (u16), n word-piece ids (u32),
n scales (f32), n x dim int8. A vector is its int8 row times its scale, so a row keeps its own
range: the largest error is scale / 2. 384 dimensions cost 392 bytes a token.
"""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from .errors import BackendError

_HEADER = struct.Struct("<BBHH")
_VERSION = 1
MAX_ROWS = 0xFFFF


def pack(ids: npt.ArrayLike, vectors: npt.ArrayLike) -> bytes:
    """`ids` (n,) of 0 to 2^32 - 1, `vectors` (n, dim), finite. Raises ValueError when they do not fit."""
    pieces = np.asarray(ids, dtype=np.int64)
    rows = np.asarray(vectors, dtype=np.float32)
    if pieces.ndim != 1 or rows.ndim != 2 or len(pieces) != len(rows):
        raise ValueError(f"ids {pieces.shape} and vectors {rows.shape} do not belong together")
    if len(rows) > MAX_ROWS or rows.shape[1] > MAX_ROWS:
        raise ValueError(f"{rows.shape} token vectors are too many")
    if pieces.size and (pieces.min() < 0 or pieces.max() > 0xFFFFFFFF):
        raise ValueError("word-piece ids must fit in 32 bits")
    if not np.isfinite(rows).all():
        raise ValueError("token vectors must be finite")
    scales = np.abs(rows).max(axis=1, initial=0).astype(np.float32) / np.float32(127)
    scales[scales < np.finfo(np.float32).tiny] = 0
    steps = np.divide(rows, scales[:, None], out=np.zeros_like(rows), where=scales[:, None] > 0)
    quantised = np.clip(np.rint(steps), -127, 127).astype(np.int8)
    return b"".join(
        [
            _HEADER.pack(_VERSION, 0, *rows.shape),
            pieces.astype("<u4").tobytes(),
            scales.astype("<f4").tobytes(),
            quantised.tobytes(),
        ]
    )


def unpack(data: bytes) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]:
    """The ids (n,) and vectors (n, dim). Raises BackendError for bytes that `pack` did not make."""
    if len(data) < _HEADER.size:
        raise BackendError("token vectors are cut short")
    version, zero, n, dim = _HEADER.unpack_from(data)
    if version != _VERSION or zero:
        raise BackendError(f"token vectors of an unknown version: {version}")
    if len(data) != _HEADER.size + n * (8 + dim):
        raise BackendError(f"{n} x {dim} token vectors do not fit {len(data)} bytes")
    at = _HEADER.size
    ids = np.frombuffer(data, "<u4", n, at).astype(np.int64)
    scales = np.frombuffer(data, "<f4", n, at + 4 * n)
    rows = np.frombuffer(data, np.int8, n * dim, at + 8 * n).reshape(n, dim).astype(np.float32)
    if not np.isfinite(scales).all():
        raise BackendError("token vectors are damaged")
    return ids, np.multiply(rows, scales[:, None], out=rows)
