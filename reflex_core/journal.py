"""The last requests, in memory: what the dashboard lists and `why` explains.

A record never holds a credential or an answer, and a prompt only with reflex_dashboard_prompts.
"""

from __future__ import annotations

from collections import Counter, deque
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from . import key
from .pricing import Tokens
from .types import Completion, Json

SAVED = frozenset(["hit-l1-exact", "hit-l2-semantic", "hit-l3-verified", "coalesced"])
"""What X-Reflex-Status says when the provider was not paid again."""
KEPT = 1000
"""Requests."""
MAX_BODY = 64 * 1024
"""Bytes of a request that is kept where prompts may be shown."""
_TOP = 4096
"""Keys whose uses are counted; the less used half is forgotten when there are more."""


class Answer(NamedTuple):
    """What may be told of an answer."""

    id: str
    model: str
    finishes: tuple[str, ...]


@dataclass(slots=True)
class Record:
    """One request, filled in as it goes along. Times without another word are in seconds."""

    id: str
    """X-Reflex-Id."""
    provider: str
    model: str
    """What the provider is asked for."""
    stream: bool
    started: float
    """`time.perf_counter()` when the body was complete."""
    key: bytes = b""
    """The exact key."""
    tenant: bytes = b""
    status: str = ""
    """X-Reflex-Status."""
    code: int = 0
    """HTTP status; 499: the client left."""
    detail: str | None = None
    """Why it is a miss, or what a hit rests on."""
    seconds: float = 0.0
    first_token: float | None = None
    """Until the first content could be sent; None for a hit, which comes whole."""
    tokens: Tokens | None = None
    upstream: bool = False
    """The provider was asked for it."""
    entry: bytes | None = None
    """The key of the stored answer that was served."""
    flow: str = ""
    """mitmproxy's id of the flow, where it ran through the hooks."""
    asked: bytes = b""
    """Stands for the question's text; see bans.py. Empty when only an equal request may be answered."""
    fingerprint: Any = None
    """Of a miss: see why.py."""
    trace: Any = None
    """What the semantic tier found: see semantic.py."""
    answer: Answer | None = None
    """Only with OpenTelemetry, as is `traceparent`."""
    traceparent: str = ""
    """The client's header of that name."""
    body: Json | None = field(default=None, repr=False)
    """The request; None unless prompts may be shown, and for a large one."""

    @property
    def hit(self) -> bool:
        return self.status.startswith("hit-")

    @property
    def saved(self) -> bool:
        """The provider was not paid again."""
        return self.status in SAVED

    @property
    def question(self) -> str | None:
        """The last message's text, where the request is kept."""
        return None if self.body is None else key.last_text(self.body)


class Journal:
    """Ring buffer of finished requests, and the keys that were served most often."""

    def __init__(self, kept: int = KEPT) -> None:
        self._records: deque[Record] = deque(maxlen=kept)
        self._served: Counter[bytes] = Counter()
        self.added = 0
        """Since the start: tells what is new since an earlier look."""

    def add(self, record: Record) -> None:
        self._records.append(record)
        self.added += 1
        if record.entry is not None:
            self._served[record.entry] += 1
            if len(self._served) > _TOP:
                self._served = Counter(dict(self._served.most_common(_TOP // 2)))

    def recent(self, limit: int, since: int = 0) -> list[Record]:
        """Newest first, of those that came after the first `since`."""
        count = min(limit, self.added - since, len(self._records))
        return [self._records[-1 - i] for i in range(max(0, count))]

    def find(self, id: str) -> Record | None:
        """By X-Reflex-Id, by the flow's id, or the latest by the first digits (8 or more) of its key."""
        if len(id) < 8:
            return None
        for record in reversed(self._records):
            if id in (record.id, record.flow):
                return record
        for record in reversed(self._records):
            if record.key.hex().startswith(id.lower()):
                return record
        return None

    def top(self, limit: int) -> list[tuple[bytes, int]]:
        """(key, times served) since the start, about."""
        return self._served.most_common(limit)


def record_json(record: Record, at: float) -> Json:
    """For people and programs. `at`: unix seconds of its start."""
    return {
        "id": record.id,
        "flow": record.flow or None,
        "at": at,
        "status": record.status,
        "code": record.code,
        "provider": record.provider,
        "model": printable(record.model),
        "stream": record.stream,
        "detail": record.detail,
        "ms": round(record.seconds * 1000, 3),
        "first_token_ms": None
        if record.first_token is None
        else round(record.first_token * 1e3, 3),
        "tokens": record.tokens._asdict() if record.tokens else None,
        "key": record.key[:8].hex(),
    }


def answer_of(completion: Completion) -> Answer:
    finishes = tuple(choice.finish_reason or "none" for choice in completion.choices)
    return Answer(completion.id, completion.model, finishes)


def printable(text: str) -> str:
    """A model name comes from the client: no control characters or novels in a log or a page."""
    return "".join(char if char.isprintable() else "?" for char in text[:80])
