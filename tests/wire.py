"""Recorded traffic of real providers, read where it lies, and ways to cut bytes.

The recordings are other people's and stay outside this project: `REFLEX_WIRE`, else
`../shared/wire` beside the checkout. Where they are absent, `params()` gives one skipped test.
"""

from __future__ import annotations

import base64
import json
import os
import random
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import pytest

ABSENT = "no recorded traffic here (set REFLEX_WIRE, or put it in ../shared/wire)"


def wire_root() -> Path | None:
    """The folder of recordings, None where there is none."""
    named = os.environ.get("REFLEX_WIRE")
    root = Path(named) if named else Path(__file__).parents[2] / "shared" / "wire"
    return root if root.is_dir() else None


@dataclass(frozen=True)
class Case:
    """One recorded exchange. Files are read when asked for."""

    protocol: str
    name: str
    meta: dict[str, Any] = field(repr=False)
    folder: Path = field(repr=False)

    @property
    def id(self) -> str:
        return f"{self.protocol}/{self.name}"

    @property
    def status(self) -> int:
        return self.meta["status"]

    @property
    def streaming(self) -> bool:
        return self.meta["streaming"]

    @property
    def fidelity(self) -> str:
        return self.meta["fidelity"]

    @property
    def features(self) -> frozenset[str]:
        return frozenset(self.meta["features"])

    @property
    def request(self) -> dict[str, Any] | None:
        """The body that was sent, in the provider's own protocol; None if it was not kept."""
        name = self.meta["request_file"]
        return json.loads((self.folder / name).read_bytes()) if name else None

    @property
    def body(self) -> bytes:
        """The answer's bytes; base64 of binary frames is undone."""
        data = (self.folder / self.meta["response_file"]).read_bytes()
        return base64.b64decode(data) if self.meta["response_encoding"] == "base64" else data


@cache
def _protocol(root: Path, protocol: str) -> tuple[Case, ...]:
    folder = root / protocol
    metas = (json.loads(path.read_bytes()) for path in sorted(folder.glob("*.meta.json")))
    return tuple(Case(protocol, meta["case"], meta, folder) for meta in metas)


def cases(
    *protocols: str,
    streaming: bool | None = None,
    fidelity: str | Iterable[str] | None = None,
    errors: bool | None = None,
    keep: Callable[[Case], bool] | None = None,
) -> list[Case]:
    """Recorded cases of the named folders; `errors` True keeps only HTTP errors, False drops them."""
    root = wire_root()
    if root is None:
        return []
    kinds = {fidelity} if isinstance(fidelity, str) else None if fidelity is None else set(fidelity)
    return [
        case
        for protocol in protocols
        for case in _protocol(root, protocol)
        if (streaming is None or case.streaming == streaming)
        and (kinds is None or case.fidelity in kinds)
        and (errors is None or (case.status >= 400) == errors)
        and (keep is None or keep(case))
    ]


def params(*protocols: str, **filters: Any) -> list[Any]:
    """`cases(...)` for `pytest.mark.parametrize`, with ids; one skipped test where absent."""
    if wire_root() is None:
        return [pytest.param(None, marks=pytest.mark.skip(reason=ABSENT), id="no-recordings")]
    found = cases(*protocols, **filters)
    assert found, f"no recorded case matches {protocols} {filters}"
    return [pytest.param(case, id=case.id) for case in found]


def cuts(data: bytes, seed: int) -> list[bytes]:
    """`data` in random pieces (1 byte to a quarter of it), the same for the same seed."""
    rng = random.Random(seed)
    pieces: list[bytes] = []
    at = 0
    while at < len(data):
        size = rng.choice((1, 2, 3, 7, 64, 1460, max(1, len(data) // 4)))
        pieces.append(data[at : at + size])
        at += size
    return pieces


def bytewise(data: bytes) -> Iterator[bytes]:
    """`data` one byte at a time."""
    return (data[i : i + 1] for i in range(len(data)))
