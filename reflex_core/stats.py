"""Counters since the start, and the one log line a request gets."""

from __future__ import annotations

import logging
import time
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from .types import Json

REQUEST_LOG = "reflex.requests"
"""Name of the logger that gets one line a request."""

logger = logging.getLogger(REQUEST_LOG)


@dataclass(slots=True)
class Record:
    """One request under way. Never holds a prompt, an answer or a credential."""

    provider: str
    model: str
    stream: bool
    started: float
    """`time.perf_counter()` when the body was complete."""


@dataclass(slots=True)
class Stats:
    requests: Counter[str] = field(default_factory=Counter[str])
    """By X-Reflex-Status."""
    errors: Counter[str] = field(default_factory=Counter[str])
    """Answers with status >= 400, by status."""
    not_stored: Counter[str] = field(default_factory=Counter[str])
    """Finished answers that were not kept, by reason."""
    upstream_calls: int = 0
    cancelled: int = 0
    """Upstream calls ended because nobody listened any more."""
    tokens_saved: int = 0

    def done(
        self, record: Record, status: str, code: int, detail: str | None, usage: Json | None = None
    ) -> None:
        """Count a request that has been answered, and log it."""
        self.requests[status] += 1
        if code >= 400:
            self.errors[str(code)] += 1
        elif status.startswith(("hit-", "coalesced")) and usage is not None:
            self.tokens_saved += _total(usage)
        logger.info(
            "reflex: %s %s %s %s%s %.1f ms%s",
            code,
            status,
            record.provider,
            _printable(record.model),
            " stream" if record.stream else "",
            (time.perf_counter() - record.started) * 1000,
            f" ({detail})" if detail else "",
        )

    def to_json(self) -> Json:
        """The same numbers for programs."""
        total = sum(self.requests.values())
        hits = sum(n for status, n in self.requests.items() if status.startswith("hit-"))
        return {
            "requests": {"total": total, "by_status": dict(self.requests)},
            "hit_rate": hits / total if total else None,
            "tokens_saved": self.tokens_saved,
            "upstream": {"calls": self.upstream_calls, "cancelled": self.cancelled},
            "errors": dict(self.errors),
            "not_stored": dict(self.not_stored),
        }

    def lines(self, storage: dict[str, Any], in_flight: int) -> list[str]:
        """`name: value`, for people."""
        total = sum(self.requests.values())
        hits = sum(n for status, n in self.requests.items() if status.startswith("hit-"))
        rows: dict[str, Any] = {
            "requests": total,
            **{f"requests {status}": n for status, n in sorted(self.requests.items())},
            "hit rate": f"{hits / total:.1%}" if total else "-",
            "tokens saved": self.tokens_saved,
            "upstream calls": self.upstream_calls,
            "upstream calls cancelled": self.cancelled,
            "in flight": in_flight,
            **{f"errors {code}": n for code, n in sorted(self.errors.items())},
            **{f"not stored {reason}": n for reason, n in sorted(self.not_stored.items())},
            **storage,
        }
        return [f"{name}: {value}" for name, value in rows.items()]


def _total(usage: Json) -> int:
    total = usage.get("total_tokens")
    return total if isinstance(total, int) else 0


def _printable(text: str) -> str:
    """A model name comes from the client: no control characters or novels in the log."""
    return "".join(char if char.isprintable() else "?" for char in text[:80])
