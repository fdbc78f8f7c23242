"""Spans and measurements, as an OTLP endpoint gets them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

pytest.importorskip("opentelemetry.sdk", reason="the extra `otel` is not installed")

from .otlp import Collector, attributes
from .running import ask, running

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


@pytest.fixture
def collector() -> Iterator[Collector]:
    made = Collector()
    yield made
    made.close()


def test_spans_follow_the_conventions(tmp_path: Path, collector: Collector) -> None:
    async def go() -> None:
        async with running(tmp_path, similar=True, otel_endpoint=collector.url) as app:
            await ask(app, "please order 12 secret roses", {"traceparent": PARENT})
            await ask(app, "please order 12 secret roses")
            await ask(app, "kindly order 12 secret roses")
            await ask(app, "x", {"cache-control": "only-if-cached"})

    asyncio.run(go())
    assert collector.resource["service.name"] == "reflex"
    assert [span.name for span in collector.spans] == ["chat gpt-4o"] * 4
    miss, exact, similar, failed = map(attributes, collector.spans)
    assert miss["gen_ai.operation.name"] == "chat"
    assert miss["gen_ai.provider.name"] == "mock"
    assert miss["gen_ai.request.model"] == miss["gen_ai.response.model"] == "gpt-4o"
    assert miss["gen_ai.response.finish_reasons"] == ["stop"]
    assert miss["gen_ai.response.id"].startswith("chatcmpl-")
    assert miss["gen_ai.usage.input_tokens"] > 0
    assert miss["gen_ai.usage.output_tokens"] > 0
    assert miss["gen_ai.response.time_to_first_chunk"] > 0
    assert miss["http.response.status_code"] == 200
    assert "error.type" not in miss
    assert [row["reflex.status"] for row in (miss, exact, similar, failed)] == [
        "miss",
        "hit-l1-exact",
        "hit-l3-verified",
        "miss",
    ]
    assert similar["reflex.score"] == pytest.approx(0.9)
    assert failed["error.type"] == "504"
    assert collector.spans[3].status.code == 2
    span = collector.spans[0]
    assert span.trace_id.hex() == TRACE
    assert span.parent_span_id.hex() == "b7ad6b7169203331"
    assert collector.spans[1].trace_id.hex() != TRACE
    assert not collector.spans[1].parent_span_id
    assert span.kind == 3, "CLIENT"
    assert span.end_time_unix_nano > span.start_time_unix_nano


def test_measurements(tmp_path: Path, collector: Collector) -> None:
    async def go() -> None:
        async with running(tmp_path, otel_endpoint=collector.url) as app:
            await ask(app, "red")
            await ask(app, "red")

    asyncio.run(go())
    named = {metric.name: metric for metric in collector.metrics}
    duration = named["gen_ai.client.operation.duration"]
    assert duration.unit == "s"
    assert sum(point.count for point in duration.histogram.data_points) == 2
    usage = named["gen_ai.client.token.usage"]
    assert usage.unit == "{token}"
    points = [attributes(point) for point in usage.histogram.data_points]
    assert {point["gen_ai.token.type"] for point in points} == {"input", "output"}
    assert {point["reflex.status"] for point in points} == {"miss"}, "a hit uses none"


def test_nothing_of_the_texts_or_the_credential(tmp_path: Path, collector: Collector) -> None:
    async def go() -> None:
        async with running(tmp_path, otel_endpoint=collector.url, dashboard_prompts=True) as app:
            await ask(app, "squirrels", {"authorization": "Bearer sk-private"})

    asyncio.run(go())
    assert collector.spans
    assert b"squirrels" not in collector.raw
    assert b"private" not in collector.raw


def test_an_endpoint_that_is_gone_does_no_harm(tmp_path: Path, collector: Collector) -> None:
    collector.close()

    async def go() -> None:
        async with running(tmp_path, otel_endpoint=collector.url) as app:
            headers, _ = await ask(app, "red")
            assert headers["x-reflex-status"] == "miss"

    asyncio.run(go())


@pytest.mark.parametrize("parent", ["nonsense", "00-0-0-00", f"{PARENT}\x00", PARENT + "x"])
def test_a_strange_traceparent(tmp_path: Path, collector: Collector, parent: str) -> None:
    async def go() -> None:
        async with running(tmp_path, otel_endpoint=collector.url) as app:
            await ask(app, "red", {"traceparent": parent})

    asyncio.run(go())
    assert len(collector.spans) == 1
