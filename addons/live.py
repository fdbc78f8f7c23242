"""The live stream layer: pushes bytes into an open response, whenever they come.

Stock mitmproxy lets an addon only answer at once or filter what its own upstream connection sends.
`LiveStream` subclasses the layer that handles one HTTP request: a flow that has a live answer opens no
upstream connection, and waits for injected events instead. It also answers failed upstream
connections of our own flows with OpenAI-shaped JSON in place of mitmproxy's HTML page.

Tied to mitmproxy's private API: the supported minor version is pinned and `install` checks it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy import flow as mflow
from mitmproxy import http, version
from mitmproxy.proxy import commands, events, layer
from mitmproxy.proxy.layers import http as http_layers
from mitmproxy.proxy.layers.http import _events as http_events
from mitmproxy.proxy.layers.http import _hooks as http_hooks
from mitmproxy.proxy.server import ConnectionHandler

from addons import quicker
from addons.intake import Intake

logger = logging.getLogger("reflex")


MAX_KEPT = 256 * 1024
"""Bytes of a live answer that are kept for the flow when nobody is known to want them."""
SUPPORTED = "12.2."
"""What mitmproxy's version begins with."""
MAX_BACKLOG = 256 * 1024
"""Bytes that may wait in one HTTP/2 stream for its client to read."""
BACKLOG_PAUSE = 0.02
"""Seconds between two looks at a client that does not read."""


@dataclass
class Head:
    """Status and headers of a live answer. `whole` answers carry their body along."""

    response: http.Response


@dataclass
class LiveEvent(events.MessageInjected[Head | bytes | None]):
    """`message`: the head, then body pieces, then None for the end."""

    stream: LiveStream


class LiveAnswer:
    """What the addon registers for a flow that it will answer itself, later. Not for client replay,
    whose flows have no client connection.

    `run(send)` is started when the layer is ready; `send` takes a Head, body bytes and at last None,
    and waits while the client is slow. It is cancelled when the client leaves. `close` is called at the
    end in any case, even if `run` was never started.
    """

    def __init__(
        self,
        run: Callable[[Callable[[Head | bytes | None], Awaitable[None]]], Any],
        close: Callable[[], None],
        *,
        endless: bool = False,
    ) -> None:
        """`endless`: the body is not kept with the flow, even where bodies are."""
        self.run = run
        self.close = close
        self.endless = endless
        self.task: asyncio.Task[None] | None = None


class LiveAnswers:
    """The addon's side: which flows are answered live, and how failures are worded."""

    def __init__(self, handlers: Callable[[str], ConnectionHandler | None]) -> None:
        self._handlers = handlers
        self._answers: WeakKeyDictionary[mflow.Flow, LiveAnswer] = WeakKeyDictionary()
        self.failure: Callable[[http.HTTPFlow, str], http.Response | None] = lambda flow, text: None
        """Words a failed upstream connection; None leaves it to mitmproxy."""
        self.wants_fast: Callable[[http.HTTPFlow], Intake | None] | None = None
        """What a flow, of which only the headers are known, asks for, if it may be answered before
        the hooks."""
        self.keep_bodies = True
        """Something consumes the flows: keep answers whole, however large."""
        self.fast: Callable[[http.HTTPFlow, Intake, bytes], http.Response | None]
        """The answer to a flow, given its body, that needs no hook; None runs the hooks after all."""

    def register(self, flow: http.HTTPFlow, answer: LiveAnswer) -> None:
        self._answers[flow] = answer

    def get(self, flow: http.HTTPFlow) -> LiveAnswer | None:
        return self._answers.get(flow)

    def abandon(self, flow: mflow.Flow) -> None:
        """The flow has ended; if its answer has not begun, it never will."""
        answer = self._answers.get(flow)
        if answer is not None and answer.task is None:
            answer.close()

    def start(self, stream: LiveStream, answer: LiveAnswer) -> None:
        answer.task = asyncio.create_task(self._pump(stream, answer), name="reflex live answer")
        # Not in the task itself: cancelled before its first step, it would never run.
        answer.task.add_done_callback(lambda _: answer.close())

    async def _pump(self, stream: LiveStream, answer: LiveAnswer) -> None:
        handler = self._handlers(stream.flow.client_conn.id)
        if handler is None:
            return

        async def send(message: Head | bytes | None) -> None:
            await handler.server_event(LiveEvent(stream.flow, message, stream))
            await handler.drain_writers()
            while stream.backlog() > MAX_BACKLOG:  # noqa: ASYNC110  mitmproxy tells nobody
                await asyncio.sleep(BACKLOG_PAUSE)

        try:
            await answer.run(send)
        except Exception:
            logger.exception("a live answer failed")
            await send(None)


_answers: LiveAnswers | None = None


class LiveStream(http_layers.HttpStream):
    """HttpStream with one more server state: `state_live`."""

    _body: bytearray | None
    _headers_sent = False
    _held: tuple[commands.Command, Intake] | None = None
    """The requestheaders hook, while it is not known yet whether the request needs it."""

    def _handle_event(self, event: events.Event) -> layer.CommandGenerator[None]:
        if isinstance(event, LiveEvent):
            if event.stream is not self:
                yield from self.passthrough(event)
            elif self.server_state == self.state_live:
                yield from self.state_live(event)
        else:
            yield from super()._handle_event(event)

    def state_wait_for_request_headers(
        self, event: http_events.RequestHeaders
    ) -> layer.CommandGenerator[None]:
        steps = super().state_wait_for_request_headers(event)
        if _answers is None or _answers.wants_fast is None:
            yield from steps
            return
        reply: Any = None
        while True:
            try:
                command = steps.send(reply)
            except StopIteration:
                return
            if isinstance(command, http_hooks.HttpRequestHeadersHook) and (
                intake := _answers.wants_fast(self.flow)
            ):
                self._held, reply = (command, intake), None
            else:
                reply = yield command

    def state_consume_request_body(self, event: events.Event) -> layer.CommandGenerator[None]:
        if self._held is not None and isinstance(event, http_events.RequestEndOfMessage):
            (held, intake), self._held = self._held, None
            assert _answers is not None
            response = _answers.fast(self.flow, intake, bytes(self.request_body_buf))
            if response is not None:
                yield from self._answer_fast(response)
                return
            yield held
            if (yield from self.check_killed(True)):
                return
        yield from super().state_consume_request_body(event)

    def _answer_fast(self, response: http.Response) -> layer.CommandGenerator[None]:
        """No hook has run, and none will."""
        self.request_body_buf.clear()
        self.flow.response = response
        self.client_state = self.server_state = self.state_done
        client, content = self.context.client, response.raw_content
        yield http_layers.SendHttp(
            http_events.ResponseHeaders(self.stream_id, response, not content), client
        )
        if content:
            yield http_layers.SendHttp(http_events.ResponseData(self.stream_id, content), client)
        yield from self.flow_done()

    def make_server_connection(self) -> layer.CommandGenerator[bool]:
        answer = _answers.get(self.flow) if _answers else None
        if answer is None or _answers is None:
            return (yield from super().make_server_connection())
        self._body = None if answer.endless else bytearray()
        self.server_state = self.state_live
        _answers.start(self, answer)
        return False

    def backlog(self) -> int:
        """Bytes that HTTP/2 flow control holds back for this stream (TCP has drain_writers)."""
        parent = self.context.layers[self.context.layers.index(self) - 1]
        if not isinstance(parent, http_layers.HttpLayer):
            return 0
        connection = parent.connections.get(self.context.client)
        buffers = getattr(getattr(connection, "h2_conn", None), "stream_buffers", None)
        if not buffers:
            return 0
        return sum(len(chunk.data) for chunk in buffers.get(self.stream_id, ()))

    def state_live(self, event: events.Event) -> layer.CommandGenerator[None]:
        """Wait for injected messages."""
        if not isinstance(event, LiveEvent):
            return
        message = event.message
        if isinstance(message, Head):
            self.flow.response = message.response
            yield http_hooks.HttpResponseHeadersHook(self.flow)
            if (yield from self.check_killed(True)):
                return
            yield http_layers.SendHttp(
                http_events.ResponseHeaders(self.stream_id, self.flow.response, end_stream=False),
                self.context.client,
            )
            self._headers_sent = True
        elif message:
            self._keep(message)
            yield http_layers.SendHttp(
                http_events.ResponseData(self.stream_id, bytes(message)), self.context.client
            )
        elif message is None:
            yield from self._end()

    def _keep(self, data: bytes) -> None:
        """A slow client would else make its own copy of what the flight keeps for all."""
        if self._body is None:
            return
        self._body += data
        if len(self._body) > MAX_KEPT and not (_answers and _answers.keep_bodies):
            self._body = None

    def _end(self) -> layer.CommandGenerator[None]:
        if not self._headers_sent:
            yield from super().handle_protocol_error(
                http_events.ResponseProtocolError(
                    self.stream_id, "no answer", http_layers.ErrorCode.GENERIC_SERVER_ERROR
                )
            )
            return
        assert self.flow.response
        self._set_content()
        yield from self.send_response(already_streamed=True)

    def handle_protocol_error(
        self, event: http_events.RequestProtocolError | http_events.ResponseProtocolError
    ) -> layer.CommandGenerator[None]:
        if self.server_state == self.state_live and isinstance(
            event, http_events.RequestProtocolError
        ):
            yield from self._client_left(event)
        elif isinstance(event, http_events.ResponseProtocolError) and (
            response := self._worded_failure(event)
        ):
            self.flow.response = response
            yield http_hooks.HttpResponseHeadersHook(self.flow)
            yield from self.send_response()
        else:
            yield from super().handle_protocol_error(event)

    def _set_content(self) -> None:
        """What the client got, for those who save or show flows."""
        if self.flow.response is not None:
            self.flow.response.data.content = None if self._body is None else bytes(self._body)
        self._body = None

    def _client_left(self, event: http_events.RequestProtocolError) -> layer.CommandGenerator[None]:
        answer = _answers.get(self.flow) if _answers else None
        if answer and answer.task:
            answer.task.cancel()
        self._set_content()
        self.flow.error = mflow.Error(event.message)
        yield http_hooks.HttpErrorHook(self.flow)
        self.client_state = self.server_state = self.state_errored
        self.flow.live = False
        yield http_layers.DropStream(self.stream_id)

    def _worded_failure(self, event: http_events.ResponseProtocolError) -> http.Response | None:
        waiting = self.server_state == self.state_wait_for_response_headers
        if not (_answers and waiting and self.client_state == self.state_done):
            return None
        if self.flow.error and self.flow.error.msg == mflow.Error.KILLED_MESSAGE:
            return None
        return _answers.failure(self.flow, event.message)


def _route(self: http_layers.HttpLayer, event: LiveEvent) -> layer.CommandGenerator[None]:
    """To the stream itself, or to the tunnel (CONNECT) it is in."""
    for stream in list(self.streams.values()):
        if stream in event.stream.context.layers:
            yield from self.event_to_child(stream, event)
            return


def install(answers: LiveAnswers) -> None:
    """Make mitmproxy use LiveStream for requests from now on. Safe to call again."""
    if not version.VERSION.startswith(SUPPORTED):
        logger.warning(
            "reflex: mitmproxy %s is not known to work; %sx is", version.VERSION, SUPPORTED
        )
    global _answers  # noqa: PLW0603  mitmproxy has one proxy server for a process
    _answers = answers
    if http_layers.HttpStream is LiveStream:
        return
    original = http_layers.HttpLayer._handle_event

    def handle_event(
        self: http_layers.HttpLayer, event: events.Event
    ) -> layer.CommandGenerator[None]:
        if isinstance(event, LiveEvent):
            yield from _route(self, event)
        else:
            yield from quicker.joined(original(self, event))

    http_layers.HttpLayer._handle_event = handle_event  # type: ignore[method-assign]
    # Python -O leaves the check out.
    if checked := getattr(http.MessageData, "__post_init__", None):
        http.MessageData.__post_init__ = quicker.quick_check(checked)  # type: ignore[method-assign]
    http_layers.HttpStream = LiveStream  # type: ignore[misc]
