from __future__ import annotations

import json
import logging
import time
from typing import Any

import pytest

from reflex_core.journal import Record
from reflex_core.ledger import MANY
from reflex_core.stats import REQUEST_LOG, Stats
from reflex_core.types import usage


def made(stats: Stats, model: str = "gpt-4o", **fields: object) -> Record:
    record = stats.begin("openai", model, False, time.perf_counter())
    for name, value in fields.items():
        setattr(record, name, value)
    return record


def stats(**options: Any) -> Stats:
    return Stats(lambda provider, model, count: 1.0, **options)


def test_ids_differ_from_request_to_request_and_start_to_start() -> None:
    one, two = stats(), stats()
    ids = {made(one).id, made(one).id, made(two).id}
    assert len(ids) == 3
    assert all(len(id) >= 8 for id in ids)


def test_counts() -> None:
    counted = stats()
    counted.done(made(counted), "hit-l1-exact", 200, None, usage(9, 3), 5.0)
    counted.done(made(counted, first_token=0.1), "miss", 200, "no-entry", usage(9, 3))
    counted.done(made(counted), "miss", 502, "no-entry")
    counted.paid("openai", "gpt-4o", usage(9, 3))
    counted.refused(400)
    told = counted.to_json(counted.ledger.settle(), time.time())
    assert told["requests"] == {
        "total": 3,
        "by_status": {"hit-l1-exact": 1, "miss": 2},
        "by_provider": {"openai": 3},
    }
    assert told["hit_rate"] == pytest.approx(1 / 3)
    assert told["errors"] == {"400": 1, "502": 1}
    assert told["saved"]["usd"] == told["spent"]["usd"] == 1.0
    assert 4.9 < told["saved"]["seconds"] <= 5.0
    assert told["latency"]["first_token"]["count"] == 1
    assert told["latency"]["hit"]["count"] == 1


def test_a_hit_slower_than_the_provider_saves_no_time() -> None:
    counted = stats()
    record = counted.begin("openai", "gpt-4o", False, time.perf_counter() - 10)
    counted.done(record, "hit-l1-exact", 200, None, None, 5.0)
    assert counted.seconds_saved == 0


def test_asks_to_be_settled() -> None:
    counted = stats()
    asked: list[int] = []
    counted.settle_soon = lambda: asked.append(1)
    for i in range(MANY):
        counted.paid("openai", "gpt-4o", usage(i, 1))
    assert asked == [1]


@pytest.mark.parametrize("as_json", [False, True])
def test_the_line(
    caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch, as_json: bool
) -> None:
    counted = stats(log_json=as_json)
    logger = logging.getLogger(REQUEST_LOG)
    # The addon's own handler, left by another test, would tell the root logger a second time.
    monkeypatch.setattr(logger, "handlers", [])
    monkeypatch.setattr(logger, "propagate", True)
    with caplog.at_level(logging.INFO, REQUEST_LOG):
        record = made(counted, "gpt\n{}", key=bytes(range(32)), first_token=0.25)
        counted.done(record, "miss", 200, "no-entry", usage(9, 3))
    (line,) = caplog.messages
    assert "\n" not in line
    if as_json:
        told = json.loads(line)
        assert told["id"] == record.id
        assert (told["status"], told["code"], told["detail"]) == ("miss", 200, "no-entry")
        assert told["model"] == "gpt?{}"
        assert told["key"] == "0001020304050607"
        assert told["first_token_ms"] == 250
        assert (told["prompt_tokens"], told["completion_tokens"]) == (9, 3)
    else:
        assert line.startswith("reflex: 200 miss openai gpt?{} ")
        assert line.endswith(" ms (no-entry)")


def test_a_watcher_sees_all() -> None:
    counted = stats()
    seen: list[Record] = []
    counted.watch = seen.append
    counted.done(made(counted), "miss", 200, None)
    assert [record.status for record in seen] == ["miss"]
