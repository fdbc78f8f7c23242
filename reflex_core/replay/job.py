"""A capture from its first exchange to its last: what the addon runs."""

from __future__ import annotations

import time
from dataclasses import replace
from typing import Protocol

from ..app import App
from .outcome import Plan
from .plan import Planner
from .recorded import Reader, Recorded
from .similar import SimilarHome
from .warm import Summary, Warmer


class Job(Protocol):
    """Its methods block."""

    def take(self, recorded: Recorded) -> None: ...

    def finish(self) -> Plan | Summary: ...


class WarmJob:
    """Fills the running app's store."""

    def __init__(self, app: App, source: str) -> None:
        reader = Reader(app.config, app.storage.secret)
        self._warmer = Warmer(reader, app.storage)
        self._clock = app.clock
        self._source = source

    def take(self, recorded: Recorded) -> None:
        self._warmer.take(recorded, self._clock())

    def finish(self) -> Summary:
        summary = self._warmer.finish()
        summary.source = self._source
        return summary


class PlanJob:
    """Touches no store: keys are made with a secret of their own."""

    def __init__(self, app: App, source: str) -> None:
        self._started = time.perf_counter()
        self._source = source
        self._ttl = app.config.ttl
        reader = Reader(app.config, app.storage.secret)
        self._home = SimilarHome(app.config)
        self._planner = Planner(
            reader, app.config, app.prices.cost, self._home.similar, self._home.why
        )

    def take(self, recorded: Recorded) -> None:
        self._planner.take(recorded)

    def finish(self) -> Plan:
        try:
            plan = self._planner.finish()
        finally:
            self._home.close()
        seconds = time.perf_counter() - self._started
        return replace(plan, source=self._source, seconds=seconds, ttl=self._ttl)
