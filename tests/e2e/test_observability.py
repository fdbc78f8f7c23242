"""The log line as JSON, metrics and OpenTelemetry over the real proxy."""

from __future__ import annotations

import json
import time
from collections.abc import Callable

import openai
import pytest
from prometheus_client.parser import text_string_to_metric_families as parse

from .admin import admin
from .asking import ask, ask_stream
from .conftest import Start
from .provider import Provider
from .proxy import Proxy

PROMPT = "a very private question"


def test_log_as_json(own_provider: Provider, start: Start) -> None:
    loud = start(reflex_upstream=own_provider.url + "/v1", reflex_log_json="true", flow_detail="0")
    ask(loud, PROMPT)
    ask_stream(loud, PROMPT)
    loud.stop()
    lines = [json.loads(line) for line in loud.log.splitlines() if line.startswith("{")]
    assert [(line["status"], line["code"], line["stream"]) for line in lines] == [
        ("miss", 200, False),
        ("hit-l1-exact", 200, True),
    ]
    assert lines[0]["first_token_ms"] <= lines[0]["ms"]
    assert lines[0]["prompt_tokens"] == 9
    assert len({line["id"] for line in lines}) == 2
    assert lines[0]["key"] == lines[1]["key"]
    assert lines[0]["time"].endswith("+00:00")
    assert "private" not in loud.log
    assert "sk-client" not in loud.log
    assert "reflex: 200" not in loud.log, "one line a request, not two"


def test_metrics(proxy: Proxy, question: str) -> None:
    headers, _ = ask(proxy, question)
    ask(proxy, question)
    answer = admin(proxy, "GET", "/metrics", headers={"accept": "text/plain"})
    assert answer.headers["content-type"].startswith("text/plain; version=")
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in parse(answer.body.decode())
        for sample in family.samples
    }
    assert samples["reflex_requests_total", "hit-l1-exact", "openai"] >= 1
    assert samples["reflex_cost_usd_total", "openai", "saved"] > 0
    assert len(headers["x-reflex-id"]) >= 8


def test_upstream_errors_are_counted(own_provider: Provider, start: Start) -> None:
    proxy = start(reflex_upstream=own_provider.url + "/v1")
    own_provider.close()
    with pytest.raises(openai.APIStatusError):
        ask(proxy, PROMPT)
    text = admin(proxy, "GET", "/metrics").body.decode()
    assert 'reflex_upstream_errors_total{code="502",provider="openai"} 1.0' in text


def test_opentelemetry(own_provider: Provider, start: Start) -> None:
    pytest.importorskip("opentelemetry.sdk", reason="the extra `otel` is not installed")
    from tests.otlp import Collector, attributes

    collector = Collector()
    proxy = start(reflex_upstream=own_provider.url + "/v1", reflex_otel_endpoint=collector.url)
    ask(proxy, PROMPT)
    ask(proxy, PROMPT)
    assert proxy.stop() == 0
    collector.close()
    assert [attributes(span)["reflex.status"] for span in collector.spans] == [
        "miss",
        "hit-l1-exact",
    ]
    assert collector.metrics
    assert b"private" not in collector.raw


def test_why_and_wrong_with_the_real_models(own_provider: Provider, start: Start) -> None:
    proxy = start(reflex_upstream=own_provider.url + "/v1", reflex_semantic="true")
    _until_ready(proxy)
    stored, asked = (f"How {word} I get a refund for a broken item?" for word in ("do", "can"))
    ask(proxy, stored)
    proxy.wait_for("no-neighbour")
    _until_indexed(proxy)
    headers, _ = ask(proxy, asked)
    assert headers["x-reflex-status"] == "hit-l3-verified"
    told = admin(proxy, "GET", f"/reflex/why?id={headers['x-reflex-id']}").json
    nearest = told["neighbours"][0]
    assert nearest["cosine"] > 0.9
    assert nearest["score"] >= nearest["threshold"] > 0
    assert told["served"]["key"] == nearest["key"]
    assert "refund" not in str(told)
    done = admin(
        proxy, "POST", "/reflex/wrong", {"id": headers["x-reflex-id"], "asked": asked}
    ).json
    assert done["reported"]
    headers, _ = ask(proxy, asked)
    assert headers["x-reflex-status"] == "miss"
    assert headers["cache-status"].count("marked-wrong") == 1
    case = json.loads((proxy.storage / "reported.jsonl").read_text())
    assert (case["a"], case["b"], case["same_answer"]) == (asked, stored, False)
    assert "refund" not in proxy.log


def _until_ready(proxy: Proxy) -> None:
    _until(lambda: admin(proxy, "GET", "/ready").json["components"]["index"] == "ready")


def _until_indexed(proxy: Proxy) -> None:
    def indexed() -> bool:
        return admin(proxy, "GET", "/reflex/stats").json["storage"]["semantic"]["index entries"] > 0

    _until(indexed)


def _until(done: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 30
    while not done():
        assert time.monotonic() < deadline
        time.sleep(0.05)
