"""The text for Prometheus, read back with its own parser; the Grafana dashboard asks for what is there."""

from __future__ import annotations

import asyncio
import json
import re
from pathlib import Path

from prometheus_client import Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse_open
from prometheus_client.parser import text_string_to_metric_families as parse

from reflex_core.app import App
from reflex_core.metrics import Metrics

from .running import ask, running

GRAFANA = Path(__file__).resolve().parents[1] / "scripts" / "grafana" / "reflex.json"
PRICES = '[prices]\n"mock::gpt-4o" = { input = 1000000, output = 1000000 }\n'


def scraped(folder: Path, accept: str = "") -> tuple[App, str, str]:
    async def go() -> tuple[App, str, str]:
        async with running(folder, similar=True, config=PRICES) as app:
            await ask(app, "please order 12 red roses")
            await ask(app, "please order 12 red roses")
            await ask(app, "kindly order 12 red roses")
            await ask(app, "please order 13 red roses", {"cache-control": "no-cache"})
            await ask(app, {"model": "gpt-4o", "messages": []}, {"cache-control": "only-if-cached"})
            body, kind = await asyncio.to_thread(Metrics(app).expose, accept)
            return app, body.decode(), kind

    return asyncio.run(go())


def values(families: list[Metric]) -> dict[str, float]:
    return {
        sample.name + "".join(f"[{value}]" for _, value in sorted(sample.labels.items())): (
            sample.value
        )
        for family in families
        for sample in family.samples
    }


def test_what_was_done_is_told(tmp_path: Path) -> None:
    app, text, kind = scraped(tmp_path)
    assert kind.startswith("text/plain; version=")
    found = values(list(parse(text)))
    assert found["reflex_requests_total[mock][hit-l1-exact]"] == 1
    assert found["reflex_requests_total[mock][hit-l3-verified]"] == 1
    assert found["reflex_requests_total[mock][miss]"] == 2
    assert found["reflex_requests_total[mock][bypass]"] == 1
    assert found["reflex_responses_total[200]"] == 4
    assert found["reflex_responses_total[504]"] == 1
    assert found["reflex_hits_total[l1_exact]"] == 1
    assert found["reflex_hits_total[l3_verified]"] == 1
    assert found["reflex_request_duration_seconds_count[miss]"] == 2
    assert found["reflex_request_duration_seconds_bucket[+Inf][miss]"] == 2
    assert found["reflex_time_to_first_token_seconds_count[mock]"] == 2
    assert found["reflex_stage_duration_seconds_count[lookup]"] == 3
    assert found["reflex_stage_duration_seconds_count[verify]"] == 2
    assert found["reflex_semantic_lookups_total[verified]"] == 1
    saved = app.stats.ledger.settle().sum("saved")
    assert found["reflex_cost_usd_total[saved][mock]"] == saved.usd > 0
    assert found["reflex_tokens_total[saved][input][mock]"] == saved.prompt_tokens
    assert found["reflex_upstream_requests_total[calls]"] == 2
    assert found["reflex_store_entries[store]"] == found["reflex_store_entries[memory]"] == 2
    assert found["reflex_store_entries[index]"] == 2
    assert found["reflex_answers_in_flight"] == 0
    assert found["reflex_queue_entries"] == 0
    assert found["process_resident_memory_bytes"] > 0


def test_openmetrics(tmp_path: Path) -> None:
    _, text, kind = scraped(tmp_path, "application/openmetrics-text; version=1.0.0")
    assert kind.startswith("application/openmetrics-text")
    assert values(list(parse_open(text)))["reflex_requests_total[mock][miss]"] == 2


def test_names_and_units(tmp_path: Path) -> None:
    """prometheus.io/docs/practices/naming: a prefix, base units, plain words."""
    _, text, _ = scraped(tmp_path)
    own = [family for family in parse(text) if family.name.startswith("reflex_")]
    assert len(own) > 15
    for family in own:
        assert re.fullmatch(r"reflex_[a-z_]+", family.name)
        assert family.documentation.endswith(".")
        assert not re.search(r"_(ms|millis|minutes|kb|mb|percent)(_|$)", family.name)
        if family.type == "histogram":
            assert family.name.endswith("_seconds")


def test_grafana_asks_for_what_there_is(tmp_path: Path) -> None:
    _, text, _ = scraped(tmp_path)
    there = {sample.name for family in parse(text) for sample in family.samples}
    # Counters without a value yet have no sample.
    there |= {f"{f.name}_total" for f in parse(text) if f.type == "counter"}
    dashboard = json.loads(GRAFANA.read_text(encoding="utf-8"))
    texts = [t["expr"] for panel in dashboard["panels"] for t in panel["targets"]]
    texts += [v["query"]["query"] for v in dashboard["templating"]["list"] if v["type"] == "query"]
    asked = {name for text in texts for name in re.findall(r"\b(?:reflex|process)_\w+", text)}
    assert len(asked) > 15
    assert asked <= there, asked - there
    shown = {re.sub(r"_(bucket|total|count|sum)$", "", name) for name in asked}
    missing = {f.name for f in parse(text) if f.name.startswith("reflex_")} - shown
    assert missing <= {
        "reflex_answers_without_price",
        "reflex_judged_pairs",
        "reflex_queue_bytes",
    }, missing


def test_grafana_is_well_formed() -> None:
    dashboard = json.loads(GRAFANA.read_text(encoding="utf-8"))
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(set(ids)) == len(ids)
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        place = panel["gridPos"]
        cells = {
            (place["x"] + dx, place["y"] + dy)
            for dx in range(place["w"])
            for dy in range(place["h"])
        }
        assert not cells & taken, panel["title"]
        assert place["x"] + place["w"] <= 24
        taken |= cells
        for target in panel["targets"]:
            assert target["expr"].count("(") == target["expr"].count(")")
            assert 'job="$job"' in target["expr"]


def test_all_are_documented(tmp_path: Path) -> None:
    _, text, _ = scraped(tmp_path)
    page = (GRAFANA.parents[2] / "docs" / "observability.md").read_text(encoding="utf-8")
    for family in parse(text):
        if family.name.startswith("reflex_"):
            name = family.name + ("_total" if family.type == "counter" else "")
            assert f"| `{name}` | " in page, name
            assert family.documentation in page, name
