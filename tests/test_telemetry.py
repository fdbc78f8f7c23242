from __future__ import annotations

import sys

import pytest

from reflex_core import telemetry
from reflex_core.stats import Stats


def test_without_the_extra(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.delitem(sys.modules, "reflex_core.otel", raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry", None)
    stats = Stats(lambda provider, model, count: None)
    assert telemetry.start("http://localhost:4318", stats) is None
    assert stats.watch is None
    assert "needs the extra `otel`" in caplog.text
