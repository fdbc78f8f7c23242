"""OpenTelemetry: a span and two measurements for each request, to any OTLP/HTTP endpoint.

Names follow the GenAI semantic conventions (opentelemetry.io/docs/specs/semconv/gen-ai). Prompts and answers
are never sent. Needs the extra `otel`; the SDK's own threads do the sending.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

from opentelemetry import trace
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind, Status, StatusCode
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from . import __version__
from .journal import Record, printable

_PROVIDERS = {
    "azure": "azure.ai.openai",
    "bedrock": "aws.bedrock",
    "gemini": "gcp.gemini",
    "mistral": "mistral_ai",
    "vertex": "gcp.vertex_ai",
    "xai": "x_ai",
}
"""Well-known values of gen_ai.provider.name that differ from our names."""

_SECONDS = (0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92)
_TOKENS = tuple(4**n for n in range(14))
"""Bucket bounds that the conventions ask for."""

_TIMEOUT = 5.0
"""Seconds for one export."""
_CLOSING = 3.0
"""Seconds for the last ones."""

Attributes = dict[str, str | int | float | bool | list[str]]


class Telemetry:
    """`endpoint`: base URL, such as http://localhost:4318. Headers come from the SDK's own variables."""

    def __init__(self, endpoint: str, at: Callable[[Record], float]) -> None:
        """`at`: unix seconds of a record's start."""
        base = endpoint.rstrip("/")
        resource = Resource.create({"service.name": "reflex", "service.version": __version__})
        self._at = at
        self._spans = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"{base}/v1/traces", timeout=_TIMEOUT)
        self._spans.add_span_processor(BatchSpanProcessor(exporter))
        reader = PeriodicExportingMetricReader(
            OTLPMetricExporter(f"{base}/v1/metrics", timeout=_TIMEOUT)
        )
        self._meters = MeterProvider([reader], resource, shutdown_on_exit=False)
        self._tracer = self._spans.get_tracer("reflex", __version__)
        meter = self._meters.get_meter("reflex", __version__)
        self._duration = meter.create_histogram(
            "gen_ai.client.operation.duration",
            "s",
            "GenAI operation duration.",
            explicit_bucket_boundaries_advisory=_SECONDS,
        )
        self._tokens = meter.create_histogram(
            "gen_ai.client.token.usage",
            "{token}",
            "Number of input and output tokens used.",
            explicit_bucket_boundaries_advisory=_TOKENS,
        )
        self._propagator = TraceContextTextMapPropagator()

    def record(self, record: Record) -> None:
        """A request that has been answered."""
        start = int(self._at(record) * 1e9)
        span = self._tracer.start_span(
            f"chat {printable(record.model)}",
            context=self._parent(record),
            kind=SpanKind.CLIENT,
            start_time=start,
            attributes={**_common(record), **_details(record)},
        )
        if record.code >= 400:
            span.set_status(Status(StatusCode.ERROR))
        span.end(start + int(record.seconds * 1e9))
        labels = _common(record)
        self._duration.record(record.seconds, labels)
        if record.tokens is not None and not record.saved:
            self._tokens.record(record.tokens.prompt, {**labels, "gen_ai.token.type": "input"})
            self._tokens.record(record.tokens.completion, {**labels, "gen_ai.token.type": "output"})

    def close(self) -> None:
        """Sends what is left. An endpoint that does not answer does not hold up the end for long."""
        ways = (self._spans.shutdown, self._meters.shutdown)
        threads = [threading.Thread(target=way, daemon=True) for way in ways]
        for thread in threads:
            thread.start()
        deadline = time.monotonic() + _CLOSING
        for thread in threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    def _parent(self, record: Record) -> Any:
        """The client's own span, where it said so (W3C Trace Context)."""
        if not record.traceparent:
            return trace.set_span_in_context(trace.INVALID_SPAN)
        return self._propagator.extract({"traceparent": record.traceparent})


def _common(record: Record) -> Attributes:
    out: Attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": _PROVIDERS.get(record.provider, record.provider),
        "gen_ai.request.model": printable(record.model),
        "reflex.status": record.status,
    }
    if record.code >= 400:
        out["error.type"] = str(record.code)
    return out


def _details(record: Record) -> Attributes:
    out: Attributes = {
        "gen_ai.request.stream": record.stream,
        "http.response.status_code": record.code,
        "reflex.id": record.id,
        "reflex.key": record.key[:8].hex(),
    }
    if record.detail:
        out["reflex.detail"] = record.detail
    if record.first_token is not None:
        out["gen_ai.response.time_to_first_chunk"] = record.first_token
    if record.tokens is not None:
        out["gen_ai.usage.input_tokens"] = record.tokens.prompt
        out["gen_ai.usage.output_tokens"] = record.tokens.completion
        out["gen_ai.usage.cache_read.input_tokens"] = record.tokens.cached
    if record.answer is not None:
        out["gen_ai.response.id"] = record.answer.id
        out["gen_ai.response.model"] = record.answer.model
        out["gen_ai.response.finish_reasons"] = list(record.answer.finishes)
    if record.trace is not None and record.trace.candidates:
        nearest = record.trace.candidates[0]
        out["reflex.cosine"] = nearest.cosine
        if nearest.score is not None:
            out["reflex.score"] = nearest.score
    return out
