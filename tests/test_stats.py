"""Counters and the log line of a request."""

from __future__ import annotations

import json
import logging
from typing import Any

import pytest

from reflex_core.journal import Record
from reflex_core.stats import REQUEST_LOG, Stats
from reflex_core.types import usage

USAGE = usage(10, 5)


def make(**options: Any) -> Stats:
    return Stats(lambda provider, model, count: None, clock=lambda: 1_700_000_000.0, **options)


def done(stats: Stats, status: str, code: int = 200, **more: Any) -> Record:
    fields = {"provider": "openai", "model": "gpt-4o", "stream": False, "detail": None, **more}
    record = stats.begin(
        fields.pop("provider"),
        fields.pop("model"),
        fields.pop("stream"),
        fields.pop("started", 0.0),
    )
    if (first := fields.pop("first_token", None)) is not None:
        record.first_token = first
    stats.done(record, status, code, **fields)
    return record


def numbers(stats: Stats) -> Any:
    return stats.to_json(stats.ledger.settle(), 1_700_000_060.0)


def test_nothing_yet() -> None:
    seen = numbers(make())
    assert seen["uptime"] == 60
    assert seen["requests"] == {"total": 0, "by_status": {}, "by_provider": {}}
    assert seen["hit_rate"] is None
    assert seen["latency"]["hit"]["count"] == 0
    json.dumps(seen)


def test_requests_are_counted() -> None:
    stats = make()
    done(stats, "miss", usage=USAGE, first_token=0.2)
    done(stats, "hit-l1-exact", usage=USAGE, took=3.0)
    done(stats, "hit-l3-verified", provider="groq", usage=USAGE)
    done(stats, "coalesced", usage=USAGE)
    done(stats, "miss", 502, detail="no-entry")
    stats.refused(400)
    stats.not_stored["length"] += 1
    seen = numbers(stats)
    assert seen["requests"]["total"] == 5
    assert seen["requests"]["by_status"] == {
        "miss": 2,
        "hit-l1-exact": 1,
        "hit-l3-verified": 1,
        "coalesced": 1,
    }
    assert seen["requests"]["by_provider"] == {"openai": 4, "groq": 1}
    assert seen["hit_rate"] == 2 / 5
    assert seen["saved"]["calls"] == 3
    assert (seen["saved"]["prompt_tokens"], seen["saved"]["completion_tokens"]) == (30, 15)
    assert seen["errors"] == {"400": 1, "502": 1}
    assert seen["not_stored"] == {"length": 1}
    assert seen["latency"]["hit"]["count"] == 2
    assert seen["latency"]["upstream"]["count"] == 3
    assert seen["latency"]["first_token"]["count"] == 1


def test_time_saved_is_never_negative() -> None:
    stats = make()
    done(stats, "hit-l1-exact", took=-1e9)
    assert stats.seconds_saved == 0


def test_what_was_paid() -> None:
    stats = make()
    stats.paid("openai", "gpt-4o", USAGE)
    stats.paid("openai", "gpt-4o", None)
    assert numbers(stats)["spent"]["answers"] == 2
    assert numbers(stats)["spent"]["prompt_tokens"] == 10


def test_failures_and_lost_clients_save_nothing() -> None:
    stats = make()
    done(stats, "coalesced", 499, usage=USAGE)
    assert numbers(stats)["saved"]["prompt_tokens"] == 0


def test_somebody_may_watch() -> None:
    stats = make()
    seen: list[Record] = []
    stats.watch = seen.append
    assert done(stats, "miss") is seen[0]
    assert seen[0].id != done(stats, "miss").id


# ---------------------------------------------------------------------- the log


def test_one_line_a_request(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, REQUEST_LOG):
        done(make(), "miss", 200, stream=True, detail="no-entry")
    (line,) = caplog.messages
    assert line.startswith("reflex: 200 miss openai gpt-4o stream ")
    assert line.endswith(" ms (no-entry)")


def test_a_model_name_cannot_write_lines_of_its_own(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, REQUEST_LOG):
        done(make(), "miss", model="x\nreflex: 200 hit\x1b[2J" + "y" * 5000)
    (line,) = caplog.messages
    assert line.isprintable()
    assert len(line) < 400


def test_json_lines(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.INFO, REQUEST_LOG):
        record = done(make(log_json=True), "miss", usage=USAGE, first_token=0.25, detail="x")
    line = json.loads(caplog.messages[0])
    assert line["id"] == record.id
    assert (line["status"], line["code"], line["provider"], line["detail"]) == (
        "miss",
        200,
        "openai",
        "x",
    )
    assert (line["first_token_ms"], line["prompt_tokens"], line["completion_tokens"]) == (
        250,
        10,
        5,
    )


def test_nobody_reads_nothing_is_made(caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, REQUEST_LOG):
        done(make(), "miss")
    assert not caplog.messages
