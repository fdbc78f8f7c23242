"""Counters since the start, and the one log line a request gets.

Everything here is added to on the event loop, and in a few microseconds: an exact hit takes 250. What
costs more (prices, text for Prometheus) is worked out when somebody looks.
"""

from __future__ import annotations

import logging
import secrets
import time
from collections import Counter, defaultdict
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import orjson

from .histogram import Histogram
from .journal import SAVED, Journal, Record, printable
from .ledger import Accounts, Ledger
from .pricing import Tokens, tokens
from .semantic_types import Trace
from .timeline import Timeline
from .types import Json

REQUEST_LOG = "reflex.requests"
"""Name of the logger that gets one line a request."""

logger = logging.getLogger(REQUEST_LOG)

STAGES = ("lookup", "embed", "search", "verify")
"""What a request that is not in memory goes through before it is a hit or a miss."""


class Stats:
    def __init__(
        self,
        cost: Callable[[str, str, Tokens], float | None],
        *,
        log_json: bool = False,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.started = clock()
        self._clock_zero = self.started - time.perf_counter()
        self._prefix = secrets.token_hex(2)
        self._begun = 0
        self._log_json = log_json
        self.journal = Journal()
        self.ledger = Ledger(cost)
        self.settle_soon: Callable[[], None] = lambda: None
        """Called when `ledger.settle` should run, off the event loop."""
        self.watch: Callable[[Record], None] | None = None
        """Told of every finished request."""
        self.requests: Counter[tuple[str, str]] = Counter()
        """By X-Reflex-Status and provider."""
        self.codes: Counter[int] = Counter()
        """Answers by HTTP status; 499: the client left."""
        self.not_stored: Counter[str] = Counter()
        """Finished answers that were not kept, by reason."""
        self.cancelled = 0
        """Upstream calls ended because nobody listened any more."""
        self.durations: defaultdict[str, Histogram] = defaultdict(Histogram)
        """Whole requests, by X-Reflex-Status."""
        self.first_tokens: defaultdict[str, Histogram] = defaultdict(Histogram)
        """Requests the provider had to answer, by provider."""
        self.stages = {name: Histogram() for name in STAGES}
        self.seconds_saved = 0.0
        self.timeline = Timeline()

    def begin(self, provider: str, model: str, stream: bool, started: float) -> Record:
        """`started` is `time.perf_counter()`."""
        self._begun += 1
        return Record(f"{self._prefix}{self._begun:06x}", provider, model, stream, started)

    def done(
        self,
        record: Record,
        status: str,
        code: int,
        detail: str | None,
        usage: Json | None = None,
        took: float | None = None,
    ) -> None:
        """Count a request that has been answered, and log it.

        `took`: the seconds the provider needed for what was now served from the store.
        """
        record.seconds = seconds = time.perf_counter() - record.started
        record.status, record.code, record.detail = status, code, detail
        self.requests[status, record.provider] += 1
        self.codes[code] += 1
        self.durations[status].add(seconds)
        if record.first_token is not None:
            self.first_tokens[record.provider].add(record.first_token)
        if usage is not None and code < 400:
            record.tokens = tokens(usage)
            if record.saved:
                self._account(record.provider, record.model, record.tokens, saved=True)
        if took is not None:
            self.seconds_saved += max(0.0, took - seconds)
        self.journal.add(record)
        self.timeline.add(self.at(record), record.hit)
        if self.watch is not None:
            self.watch(record)
        if logger.isEnabledFor(logging.INFO):
            logger.info(self._json_line(record) if self._log_json else _line(record))

    def looked_up(self, seconds: float, trace: Trace | None) -> None:
        """A lookup that went past the memory tier."""
        self.stages["lookup"].add(seconds)
        if trace is not None:
            for name, value in trace.seconds.items():
                if name in self.stages:
                    self.stages[name].add(value)

    def paid(self, provider: str, model: str, usage: Json | None) -> None:
        """An upstream call that was answered."""
        self._account(provider, model, tokens(usage), saved=False)

    def refused(self, code: int) -> None:
        """A request that could not be understood."""
        self.codes[code] += 1

    def _account(self, provider: str, model: str, count: Tokens, *, saved: bool) -> None:
        if self.ledger.add("saved" if saved else "spent", provider, model, count):
            self.settle_soon()

    # ------------------------------------------------------------------ looking

    def at(self, record: Record) -> float:
        """Unix seconds of a record's start."""
        return record.started + self._clock_zero

    def by_status(self) -> Counter[str]:
        out: Counter[str] = Counter()
        for (status, _), count in self.requests.items():
            out[status] += count
        return out

    def by_provider(self) -> Counter[str]:
        out: Counter[str] = Counter()
        for (_, provider), count in self.requests.items():
            out[provider] += count
        return out

    def errors(self) -> dict[str, int]:
        return {str(code): count for code, count in sorted(self.codes.items()) if code >= 400}

    def to_json(self, accounts: Accounts, now: float) -> Json:
        """The numbers for programs. Times are in seconds."""
        by_status = self.by_status()
        total = by_status.total()
        hits = sum(n for status, n in by_status.items() if status.startswith("hit-"))
        saved, spent = accounts.sum("saved"), accounts.sum("spent")
        return {
            "uptime": now - self.started,
            "requests": {
                "total": total,
                "by_status": dict(by_status),
                "by_provider": dict(self.by_provider()),
            },
            "hit_rate": hits / total if total else None,
            "saved": {
                "calls": sum(by_status[status] for status in SAVED),
                "answers": saved.answers,
                "prompt_tokens": saved.prompt_tokens,
                "completion_tokens": saved.completion_tokens,
                "usd": saved.usd,
                "unpriced_answers": saved.unpriced,
                "seconds": self.seconds_saved,
            },
            "spent": {
                "answers": spent.answers,
                "prompt_tokens": spent.prompt_tokens,
                "completion_tokens": spent.completion_tokens,
                "usd": spent.usd,
                "unpriced_answers": spent.unpriced,
            },
            "unpriced_models": dict(accounts.unpriced),
            "latency": self._latencies(),
            "errors": self.errors(),
            "not_stored": dict(self.not_stored),
        }

    def _latencies(self) -> Json:
        hits, others, first = Histogram(), Histogram(), Histogram()
        for status, histogram in self.durations.items():
            _merge(hits if status.startswith("hit-") else others, histogram)
        for histogram in self.first_tokens.values():
            _merge(first, histogram)
        named = {"hit": hits, "upstream": others, "first_token": first, **self.stages}
        return {
            name: {"count": h.count, "p50": h.quantile(0.5), "p95": h.quantile(0.95)}
            for name, h in named.items()
        }

    def lines(self, numbers: Json) -> list[str]:
        """`name: value`, for people. `numbers`: `App.stats_json`."""
        saved = numbers["saved"]
        rate = numbers["hit_rate"]
        rows: dict[str, Any] = {
            "requests": numbers["requests"]["total"],
            **{f"requests {k}": n for k, n in sorted(numbers["requests"]["by_status"].items())},
            "hit rate": "-" if rate is None else f"{rate:.1%}",
            "upstream calls saved": saved["calls"],
            "tokens saved": saved["prompt_tokens"] + saved["completion_tokens"],
            "money saved": f"${saved['usd']:.4f}",
            "time saved": f"{saved['seconds']:.1f} s",
            **{f"no price for {k}": n for k, n in sorted(numbers["unpriced_models"].items())},
            **{f"upstream {k}": n for k, n in numbers["upstream"].items()},
            "in flight": numbers["in_flight"],
            "readers": numbers["readers"],
            **{f"errors {code}": n for code, n in numbers["errors"].items()},
            **{f"not stored {reason}": n for reason, n in sorted(numbers["not_stored"].items())},
            **{
                f"{group} {name}": value
                for group, rows in [*_checks(numbers), *numbers["storage"].items()]
                for name, value in rows.items()
            },
        }
        return [f"{name}: {value}" for name, value in rows.items()]

    # ------------------------------------------------------------------ the log line

    def _json_line(self, record: Record) -> str:
        line: Json = {
            "time": datetime.fromtimestamp(self.at(record), UTC).isoformat(timespec="milliseconds"),
            "id": record.id,
            "status": record.status,
            "code": record.code,
            "provider": record.provider,
            "model": printable(record.model),
            "stream": record.stream,
            "ms": round(record.seconds * 1000, 3),
            "detail": record.detail,
            "key": record.key[:8].hex(),
        }
        if record.first_token is not None:
            line["first_token_ms"] = round(record.first_token * 1000, 3)
        if record.tokens is not None:
            line["prompt_tokens"] = record.tokens.prompt
            line["completion_tokens"] = record.tokens.completion
        return orjson.dumps(line).decode()


def _checks(numbers: Json) -> list[tuple[str, Json]]:
    """What is known of similar questions beyond the tiers."""
    recheck = numbers["recheck"]
    low, high = recheck["rate_low"], recheck["rate_high"]
    rate = "-" if recheck["rate"] is None else f"{recheck['rate']:.2%} ({low:.2%} to {high:.2%})"
    shown = {name: n for name, n in recheck.items() if not name.startswith("rate")}
    return [
        ("judge", numbers["judge"]),
        ("recheck", {**shown, "wrong rate": rate}),
        ("join similar", numbers["join_similar"]),
    ]


def _line(record: Record) -> str:
    detail = f" ({record.detail})" if record.detail else ""
    stream = " stream" if record.stream else ""
    return (
        f"reflex: {record.code} {record.status} {record.provider} {printable(record.model)}{stream}"
        f" {record.seconds * 1000:.1f} ms{detail}"
    )


def _merge(into: Histogram, other: Histogram) -> None:
    into.counts = [a + b for a, b in zip(into.counts, other.counts, strict=True)]
    into.total += other.total
