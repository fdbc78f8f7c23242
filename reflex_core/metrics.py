"""GET /metrics: what `Stats` has counted, in Prometheus' formats.

Nothing is counted twice: a collector reads the counters when it is scraped. Names and units follow
prometheus.io/docs/practices/naming: base units, `_total` for counters.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from prometheus_client import CollectorRegistry, GCCollector, PlatformCollector, ProcessCollector
from prometheus_client.core import (
    CounterMetricFamily,
    GaugeMetricFamily,
    HistogramMetricFamily,
    Metric,
)
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from . import __version__
from .histogram import Histogram

if TYPE_CHECKING:
    from .app import App

_TIERS = {
    "hit-l1-exact": "l1_exact",
    "hit-l2-semantic": "l2_semantic",
    "hit-l3-verified": "l3_verified",
    "coalesced": "in_flight",
    "stale": "stale",
}


_RECHECKED = ("same", "wrong", "inconclusive", "failed", "limited")


class Metrics:
    """One App's, with a registry of its own."""

    def __init__(self, app: App) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_AppCollector(app))
        for collector in (ProcessCollector, PlatformCollector, GCCollector):
            collector(registry=self._registry)

    def expose(self, accept: str) -> tuple[bytes, str]:
        """(body, content type) for an Accept header. Blocks."""
        encode, content_type = choose_encoder(accept)
        return encode(self._registry), content_type


class _AppCollector(Collector):
    def __init__(self, app: App) -> None:
        self._app = app

    def collect(self) -> Iterator[Metric]:
        numbers = self._app.stats_json()
        build = GaugeMetricFamily("reflex_build_info", "Version of Reflex.", labels=["version"])
        build.add_metric([__version__], 1)
        yield build
        yield from self._requests()
        yield from self._durations()
        yield from self._money()
        yield from self._upstream(numbers["upstream"])
        yield from _checks(numbers)
        yield from _sizes(numbers)

    def _requests(self) -> Iterator[Metric]:
        stats = self._app.stats
        yield _counter(
            "reflex_requests",
            "Chat requests answered, by X-Reflex-Status and provider.",
            ["status", "provider"],
            stats.requests.items(),
        )
        yield _counter(
            "reflex_responses",
            "Answers by HTTP status; 499: the client left.",
            ["code"],
            (((str(code),), count) for code, count in stats.codes.items()),
        )
        by_status = stats.by_status()
        yield _counter(
            "reflex_hits",
            "Requests answered without asking the provider, by tier.",
            ["tier"],
            (((tier,), by_status[status]) for status, tier in _TIERS.items()),
        )
        yield _counter(
            "reflex_answers_not_stored",
            "Finished answers that were not kept, by reason.",
            ["reason"],
            (((reason,), count) for reason, count in stats.not_stored.items()),
        )

    def _durations(self) -> Iterator[Metric]:
        stats = self._app.stats
        yield _histogram(
            "reflex_request_duration_seconds",
            "From the whole request to the end of the answer, by X-Reflex-Status.",
            "status",
            stats.durations,
        )
        yield _histogram(
            "reflex_time_to_first_token_seconds",
            "From the whole request to the first content from the provider.",
            "provider",
            stats.first_tokens,
        )
        yield _histogram(
            "reflex_stage_duration_seconds",
            "Steps of a request that is not in memory: the whole lookup, embedding, index search,"
            " verification.",
            "stage",
            stats.stages,
        )

    def _money(self) -> Iterator[Metric]:
        accounts = self._app.stats.ledger.settle()
        tokens = CounterMetricFamily(
            "reflex_tokens",
            "Tokens of answers, saved (from the store) and spent (at the provider).",
            labels=["account", "direction", "provider"],
        )
        usd = CounterMetricFamily(
            "reflex_cost_usd",
            "Price of these tokens in US dollars, where it is known.",
            labels=["account", "provider"],
        )
        for (side, provider), totals in accounts.totals.items():
            tokens.add_metric([side, "input", provider], totals.prompt_tokens)
            tokens.add_metric([side, "output", provider], totals.completion_tokens)
            usd.add_metric([side, provider], totals.usd)
        yield tokens
        yield usd
        yield CounterMetricFamily(
            "reflex_answers_without_price",
            "Answers of models whose price is not known.",
            value=accounts.unpriced.total(),
        )
        yield CounterMetricFamily(
            "reflex_time_saved_seconds",
            "What the providers had needed for answers that came from the store.",
            value=self._app.stats.seconds_saved,
        )

    def _upstream(self, upstream: dict[str, int]) -> Iterator[Metric]:
        yield _counter(
            "reflex_upstream_requests",
            "Requests sent to providers, by what became of them; retried, resumed and fell_back are"
            " among the calls.",
            ["kind"],
            (((kind,), count) for kind, count in upstream.items()),
        )
        yield _counter(
            "reflex_upstream_errors",
            "Upstream requests that failed, by provider and HTTP status.",
            ["provider", "code"],
            (
                ((name, str(code)), count)
                for (name, code), count in self._app.fetcher.errors.items()
            ),
        )


def _sizes(numbers: dict[str, Any]) -> Iterator[Metric]:
    storage = numbers["storage"]
    writer = storage.get("writer", {})
    yield GaugeMetricFamily(
        "reflex_answers_in_flight",
        "Answers that providers are giving right now.",
        value=numbers["in_flight"],
    )
    yield GaugeMetricFamily(
        "reflex_queue_entries", "Answers waiting to be stored.", value=writer.get("queued", 0)
    )
    yield GaugeMetricFamily(
        "reflex_queue_bytes", "Size of these answers.", value=writer.get("queued_bytes", 0)
    )
    yield _counter(
        "reflex_writes",
        "Answers that left the queue: written, dropped (no room), failed.",
        ["result"],
        (((name,), writer.get(name, 0)) for name in ("written", "dropped", "failed")),
    )
    entries = GaugeMetricFamily("reflex_store_entries", "Stored answers, by part.", labels=["part"])
    size = GaugeMetricFamily("reflex_store_bytes", "Their size, by part.", labels=["part"])
    semantic = storage.get("semantic", {})
    index = {"entries": semantic.get("index entries"), "bytes": semantic.get("index bytes")}
    parts = {"memory": storage["memory"], "store": storage.get("store", {}), "index": index}
    for name, values in parts.items():
        for family, value in ((entries, values.get("entries")), (size, values.get("bytes"))):
            if value is not None:
                family.add_metric([name], value)
    yield entries
    yield size
    yield from _semantic(semantic)


def _semantic(numbers: dict[str, Any]) -> Iterator[Metric]:
    yield GaugeMetricFamily(
        "reflex_embed_queue_entries",
        "Lookups of similar questions that wait for the embedder.",
        value=numbers.get("embed waiting", 0),
    )
    outcomes = {
        name.removeprefix("lookups "): count
        for name, count in numbers.items()
        if name.startswith("lookups ")
    }
    yield _counter(
        "reflex_semantic_lookups",
        "Lookups of similar questions, by outcome: verified, or why not.",
        ["reason"],
        (((reason,), count) for reason, count in outcomes.items()),
    )


def _checks(numbers: dict[str, Any]) -> Iterator[Metric]:
    """Second looks at the semantic tier: see review.py."""
    judge, recheck = numbers["judge"], numbers["recheck"]
    yield _counter(
        "reflex_judge_verdicts",
        "What the judge was asked about, and its verdicts: yes, no, unclear, failed, limited.",
        ["about", "verdict"],
        ((tuple(name.split(" ")), count) for name, count in judge.items() if " " in name),
    )
    yield GaugeMetricFamily(
        "reflex_judged_pairs", "Pairs of questions with a verdict.", value=judge["known"]
    )
    yield _counter(
        "reflex_rechecks",
        "Semantic hits that were also asked upstream, by outcome; failed and limited were not compared.",
        ["outcome"],
        (((name,), recheck[name]) for name in _RECHECKED),
    )
    rate = GaugeMetricFamily(
        "reflex_wrong_hit_ratio",
        "Share of wrong semantic hits that rechecks found, with its 95% interval.",
        labels=["bound"],
    )
    rate.add_metric(["low"], recheck["rate_low"])
    rate.add_metric(["high"], recheck["rate_high"])
    if recheck["rate"] is not None:
        rate.add_metric(["estimate"], recheck["rate"])
    yield rate
    yield GaugeMetricFamily(
        "reflex_tightened_steps",
        "How often thresholds were tightened because of it.",
        value=recheck["steps"],
    )
    yield _counter(
        "reflex_similar_flights",
        "Questions that waited for the answer to a similar one in flight, by outcome.",
        ["outcome"],
        (((name,), count) for name, count in numbers["join_similar"].items()),
    )


def _counter(
    name: str,
    text: str,
    labels: list[str],
    values: Iterable[tuple[tuple[str, ...], int]],
) -> CounterMetricFamily:
    family = CounterMetricFamily(name, text, labels=labels)
    for names, count in values:
        family.add_metric(names, count)
    return family


def _histogram(
    name: str, text: str, label: str, histograms: dict[str, Histogram]
) -> HistogramMetricFamily:
    family = HistogramMetricFamily(name, text, labels=[label])
    for value, histogram in histograms.items():
        family.add_metric([value], histogram.cumulative(), histogram.total)
    return family
