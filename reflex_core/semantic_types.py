"""What the semantic tier is asked, and what it answers."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from .controls import NONE, Controls
from .ports import Embedder, Entry, Index, Verifier
from .types import Completion

State = Literal["off", "pending", "ready", "error"]


@dataclass(frozen=True, slots=True)
class Parts:
    """What the tier is made of. Without a verifier the cosine alone decides."""

    embedder: Embedder
    index: Index
    verifier: Verifier | None


@dataclass(frozen=True, slots=True)
class Settings:
    """Times are in seconds."""

    candidates: int = 64
    """Neighbours by Hamming distance that are rescored with the stored vectors."""
    verified: int = 4
    """The nearest of them that the verifier is shown."""
    min_cosine: float = 0.6
    """Nothing below it is shown to the verifier."""
    unverified_cosine: float = 0.95
    """What it takes where there is no verifier."""
    threads: int = 2
    """Lookups at work at the same time."""
    queue: int = 64
    """Lookups that may wait; beyond it a request goes upstream at once."""
    timeout: float = 0.25
    """Longest time a request waits for its lookup."""
    cache_items: int = 4096
    cache_bytes: int = 64 * 1024 * 1024
    """Embeddings kept for texts that come again."""
    save: float = 300.0
    """Between two savings of an index that has changed."""
    retry: float = 60.0
    """Before what broke is tried again."""


@dataclass(frozen=True, slots=True)
class Query:
    """One request, as the tier sees it."""

    scope: bytes
    tenant: bytes
    text: str
    now: float
    """Unix seconds."""
    wishes: Controls = NONE
    banned: frozenset[bytes] = frozenset()
    """Keys of entries that must not be served for this text (wrong.py)."""
    judged: Callable[[str], bool | None] = lambda stored: None
    """Whether that text's answer may be served for this one, where it is known (review.py)."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """A stored question that was near, and what became of it."""

    id: int
    distance: int
    """In bits."""
    cosine: float
    score: float | None = None
    """The verifier's, None where it was not asked."""
    threshold: float | None = None
    reason: str = "not-looked-at"

    @property
    def accepted(self) -> bool:
        """Its answer may be served."""
        return self.reason in ("verified", "judged")

    def __str__(self) -> str:
        score = "" if self.score is None else f" score={self.score:.3f}"
        return f"d={self.distance} cos={self.cosine:.3f}{score}"


@dataclass(frozen=True, slots=True)
class Trace:
    """How a lookup went. `candidates` nearest first; `seconds` by stage."""

    reason: str
    candidates: tuple[Candidate, ...] = ()
    seconds: Mapping[str, float] = field(default_factory=dict[str, float])
    """wait, embed, search, rescore (with the vectors' reading), verify (with the entries' reading)."""


@dataclass(frozen=True, slots=True)
class SemanticHit:
    status: Literal["hit-l2-semantic", "hit-l3-verified"]
    entry: Entry
    completion: Completion
    candidate: Candidate
    trace: Trace

    @property
    def detail(self) -> str:
        numbers = str(self.candidate)
        return f"judged {numbers}" if self.candidate.reason == "judged" else numbers


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why nothing was served."""

    trace: Trace

    @property
    def detail(self) -> str:
        """The reason, and the numbers of the nearest candidate when there was one."""
        nearest = next(iter(self.trace.candidates), None)
        return self.trace.reason if nearest is None else f"{self.trace.reason} {nearest}"


def refuse(reason: str, **seconds: float) -> Refusal:
    return Refusal(Trace(reason, seconds=seconds))
