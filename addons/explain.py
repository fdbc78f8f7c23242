"""The commands `reflex.why` and `reflex.wrong`."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence

from mitmproxy import command, ctx, exceptions, http

from reflex_core import key, readable, why
from reflex_core.app import App
from reflex_core.errors import BackendError
from reflex_core.sight import NotFound, Sight

logger = logging.getLogger("reflex")


class Explain:
    """An addon."""

    def __init__(self, app: Callable[[], App | None]) -> None:
        self._app = app
        self._tasks: set[asyncio.Task[None]] = set()

    @command.command("reflex.why")
    def why(self, request: str) -> Sequence[str]:
        """Why it was answered as it was: tiers, neighbours, and what differs for a miss. `request` is a
        flow (@focus) or what X-Reflex-Id says."""
        sight = self._sight()
        try:
            return why.lines(sight.why(_asked(sight, request)[0]))
        except NotFound as error:
            raise exceptions.CommandError(str(error)) from None

    @command.command("reflex.wrong")
    def wrong(self, request: str) -> str:
        """The stored answer was wrong: never serve it for this question again. `request` is a flow
        (@focus) or what X-Reflex-Id says."""
        sight = self._sight()
        id, asked = _asked(sight, request)
        task = asyncio.create_task(_mark(sight, id, asked))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return f"marking the answer to {id} as wrong; the event log tells how it went"

    def _sight(self) -> Sight:
        app = self._app()
        if app is None:
            raise exceptions.CommandError("reflex is not running")
        return Sight(app)


async def _mark(sight: Sight, id: str, asked: str | None) -> None:
    loop = asyncio.get_running_loop()
    try:
        done = await asyncio.to_thread(sight.wrong, id, asked, loop)
    except (NotFound, ValueError, BackendError) as error:
        logger.warning("reflex: not marked as wrong: %s", error)
        return
    logger.info("reflex: marked as wrong: %s", ", ".join(f"{k} {v}" for k, v in done.items()))


def _asked(sight: Sight, request: str) -> tuple[str, str | None]:
    """(X-Reflex-Id, the question's text where there is a flow)."""
    if sight.knows(request):
        return request, None
    if "view.flows.resolve" not in ctx.master.commands.commands:
        raise exceptions.CommandError("no such request among the last ones, by its X-Reflex-Id")
    flows = ctx.master.commands.call("view.flows.resolve", request)
    if len(flows) != 1:
        raise exceptions.CommandError(f"{len(flows)} flows match, one is wanted")
    flow = flows[0]
    response = flow.response if isinstance(flow, http.HTTPFlow) else None
    id = response.headers.get("x-reflex-id") if response is not None else None
    if not id:
        raise exceptions.CommandError("this flow is no chat request that Reflex answered")
    body = flow.request.get_content(strict=False) or b""
    return id, key.last_text(readable.loads(body))
