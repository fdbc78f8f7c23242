"""Flows read from a capture (`mitmdump -nr FILE`): the cache is filled from them, or a plan is made.

mitmproxy reads the file flow by flow and runs the hooks; `response` and `error` here wait until a
flow is dealt with before the next one is read, so memory does not grow with the capture.
"""

from __future__ import annotations

import asyncio
import contextlib
import io
import logging
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import BinaryIO

from mitmproxy import ctx, http
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from addons.intake import classify
from addons.notes import KEY as NOTE
from reflex_core import report
from reflex_core.app import App
from reflex_core.config import Config
from reflex_core.replay.job import Job, PlanJob, WarmJob
from reflex_core.replay.recorded import Recorded

logger = logging.getLogger("reflex")

_LONGEST_PREFIX = 12
"""Digits of a tnetstring's length, as mitmproxy's own reader allows."""


class Replay:
    """Active when reflex_replay is not off. `started` is set once the app is."""

    def __init__(self, app: Callable[[], App | None], started: asyncio.Event) -> None:
        self._app = app
        self._started = started
        self._config: Config | None = None
        self._job: Job | None = None
        self._making = asyncio.Lock()
        self._finished = asyncio.Event()
        self._watcher: asyncio.Task[None] | None = None
        self._progress: _Bar | None = None
        self._number = 0

    def start(self, config: Config) -> None:
        """Called once the options are known and before the app starts."""
        self._config = config
        if config.replay == "off":
            self._finished.set()
            return
        if not ctx.options.rfile:
            logger.warning("reflex: reflex_replay=%s reads a capture: add -r FILE.", config.replay)
        details = ctx.options._options["flow_detail"] if "flow_detail" in ctx.options else None
        if details is not None and not details.has_changed():
            ctx.options.update(flow_detail=0)  # the flows are counted, not listed
        self._watcher = asyncio.create_task(self._watch(), name="reflex replay")

    async def ready(self) -> None:
        """Until the capture has been read: live requests wait for that."""
        await self._finished.wait()

    # ------------------------------------------------------------------ flows

    async def request(self, flow: http.HTTPFlow) -> None:
        if flow.response is None and flow.error is None:
            await self._take(flow)  # no other hook comes

    async def response(self, flow: http.HTTPFlow) -> None:
        await self._take(flow)

    async def error(self, flow: http.HTTPFlow) -> None:
        if flow.response is None:
            await self._take(flow)

    async def _take(self, flow: http.HTTPFlow) -> None:
        config = self._config
        if flow.live or config is None or config.replay == "off" or self._finished.is_set():
            return
        job = await self._prepared(config)
        self._number += 1
        recorded = recorded_of(flow, self._number, config.hosts)
        try:
            await asyncio.to_thread(job.take, recorded)
        except Exception:
            logger.exception("reflex: flow %d of the capture could not be read", self._number)
        if self._progress is not None:
            self._progress.advance()

    async def _prepared(self, config: Config) -> Job:
        """The job; made for the first flow, when the app runs."""
        async with self._making:
            if self._job is None:
                await self._started.wait()
                app = self._app()
                assert app is not None
                kind = WarmJob if config.replay == "warm" else PlanJob
                self._job = await asyncio.to_thread(kind, app, _source())
                self._progress = _Bar(config.replay, _count(ctx.options.rfile))
        return self._job

    # ------------------------------------------------------------------ the end

    async def _watch(self) -> None:
        """mitmproxy tells nobody when it has read the file."""
        reader = ctx.master.addons.get("readfilestdin") or ctx.master.addons.get("readfile")
        if reader is None or not ctx.options.rfile:
            return
        while reader._read_task is None:  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        await asyncio.wait([reader._read_task])
        await self.finish()

    async def finish(self) -> None:
        """Writes what is left and shows the report. Safe to call again."""
        config = self._config
        if config is None or self._finished.is_set():
            return
        job = await self._prepared(config)
        async with self._making:
            if self._finished.is_set():
                return
            try:
                outcome = await asyncio.to_thread(job.finish)
                if self._progress is not None:
                    self._progress.stop()
                console = _console()
                await asyncio.to_thread(report.show, outcome, config.report, console)
                if isinstance(console.file, io.StringIO):
                    logger.info("reflex:\n%s", console.file.getvalue())
            except Exception:
                logger.exception("reflex: the report could not be made")
            finally:
                self._finished.set()


# ---------------------------------------------------------------------- flows -> core


def recorded_of(flow: http.HTTPFlow, number: int, hosts: tuple[str, ...]) -> Recorded:
    """The flow as the core sees it. Never raises."""
    request, response = flow.request, flow.response
    intake = classify(flow, hosts)
    broken = False
    bodies: list[bytes | None] = []
    for message in (request, response):
        try:
            bodies.append(message.get_content(strict=True) if message else None)
        except ValueError:
            bodies.append(None)
            broken = True
    return Recorded(
        number=number,
        url=request.url,
        kind=intake.kind if intake else None,
        deployment=intake.deployment if intake else None,
        request_headers=_headers(request),
        request_body=bodies[0],
        status=response.status_code if response else None,
        response_headers=_headers(response) if response else {},
        response_body=bodies[1],
        started=request.timestamp_start or None,
        ended=(response.timestamp_end or response.timestamp_start) if response else None,
        broken=broken,
        note=note if isinstance(note := flow.metadata.get(NOTE), dict) else {},
    )


def _headers(message: http.Message) -> Mapping[str, str]:
    return {name.lower(): value for name, value in message.headers.items()}


# ---------------------------------------------------------------------- the capture


def _source() -> str:
    path = ctx.options.rfile or ""
    return "standard input" if path == "-" else Path(path).name


def _count(path: str | None) -> int | None:
    """Flows in a capture, by skipping over them; None where that cannot be told."""
    if not path or path == "-":
        return None
    with contextlib.suppress(OSError, ValueError), Path(path).expanduser().open("rb") as file:
        count = 0
        while _skip(file):
            count += 1
        return count
    return None


def _skip(file: BinaryIO) -> bool:
    """Over one tnetstring. False at the end; raises ValueError for anything else (a HAR file)."""
    digits = b""
    while (char := file.read(1)).isdigit():
        digits += char
        if len(digits) > _LONGEST_PREFIX:
            raise ValueError
    if not char and not digits:
        return False
    if char != b":":
        raise ValueError
    file.seek(int(digits) + 1, 1)
    return True


# ---------------------------------------------------------------------- the terminal


def _is_mitmdump() -> bool:
    """Or one of the interactive tools, whose screen is theirs."""
    return ctx.master.addons.get("readfilestdin") is not None


def _console() -> Console:
    """As wide as the terminal; files, pipes and the event log get lines of 110 characters."""
    file = sys.stdout if _is_mitmdump() else io.StringIO()
    return Console(file=file, width=None if file.isatty() else 110)


class _Bar:
    """A progress bar on a terminal, nothing elsewhere."""

    def __init__(self, what: str, total: int | None) -> None:
        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=Console(stderr=True),
            disable=not (sys.stderr.isatty() and _is_mitmdump()),
            transient=True,
        )
        words = {"warm": "Filling the cache", "plan": "Reading the capture"}
        self._task: TaskID = self._bar.add_task(words[what], total=total)
        self._bar.start()

    def advance(self) -> None:
        self._bar.advance(self._task)

    def stop(self) -> None:
        self._bar.stop()
