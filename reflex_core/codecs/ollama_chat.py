"""Ollama's own chat protocol: POST /api/chat, answers as NDJSON.

Source: github.com/ollama/ollama docs/api.md, docs/api/errors.mdx. What is mapped, dropped and
refused: docs/providers/ollama.md. Quirks read: `options` (model options such as num_ctx, which
those of a request override).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..errors import ApiError
from ..inbound import prompt
from ..ndjson import JsonLines
from ..types import (
    ChatRequest,
    ErrorEvent,
    Event,
    Extra,
    Finish,
    FinishReason,
    Json,
    Ping,
    ProviderRequest,
    ReasoningDelta,
    Start,
    Target,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
    usage,
)
from . import native, ollama_request
from .common import error_object, error_status, http_error, parse_object
from .loose import count, items, obj, text, unix_seconds

_FINISH: Mapping[str, FinishReason] = {
    "stop": "stop",
    "length": "length",
    "load": "stop",
    "unload": "stop",
}


class OllamaChat:
    """`base_url` is the server's root; a `/v1` or `/api` at its end is left out."""

    name = "ollama-chat"

    def encode(self, request: ChatRequest, target: Target) -> ProviderRequest:
        body, dropped = ollama_request.encode(prompt(request), target)
        root = target.base_url.rstrip("/").removesuffix("/v1").removesuffix("/api")
        return native.post(target, f"{root}/api/chat", body, dropped)

    def decoder(self, request: ChatRequest, target: Target) -> OllamaDecoder:
        return OllamaDecoder()

    def decode_json(self, request: ChatRequest, target: Target, body: bytes) -> list[Event]:
        answer = _Answer()
        return answer.line(body) + answer.end()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        error = http_error(status, headers, body)
        if status == 404 and "model" in error.message:
            error.code = "model_not_found"
        return error


class OllamaDecoder:
    """NDJSON lines -> events."""

    def __init__(self) -> None:
        self._lines = JsonLines()
        self._answer = _Answer()

    @property
    def ended(self) -> bool:
        return self._answer.over

    def feed(self, data: bytes) -> list[Event]:
        events = [event for line in self._lines.feed(data) for event in self._answer.line(line)]
        if self._lines.overflow:
            events += self._answer.fail("a line is too long")
        return events

    def finish(self) -> list[Event]:
        events = [event for line in self._lines.finish() for event in self._answer.line(line)]
        return events + self._answer.end()


class _Answer:
    """One answer, line by line. After its end or an error nothing comes any more."""

    def __init__(self) -> None:
        self._started = False
        self.over = False
        self._calls = 0

    def line(self, line: bytes) -> list[Event]:
        if self.over:
            return []
        value = parse_object(line)
        if value is None:
            return self.fail("a line is no JSON object")
        if value.get("error"):
            self.over = True
            return [ErrorEvent(error_object(value, error_status(value)))]
        events: list[Event] = []
        if not self._started:
            self._started = True
            events.append(_start(value))
        events += self._message(value)
        if value.get("done") is True:
            events += self._done(value)
        return events or [Ping()]

    def end(self) -> list[Event]:
        return self.fail("it ended too early", "upstream_closed")

    def fail(self, why: str, code: str = "bad_upstream_answer") -> list[Event]:
        if self.over:
            return []
        self.over = True
        message = f"The answer of Ollama could not be read: {why}."
        return [ErrorEvent(ApiError(502, message, code=code))]

    def _message(self, value: Json) -> list[Event]:
        message = obj(value.get("message"))
        events: list[Event] = []
        if thinking := text(message.get("thinking")):
            events.append(ReasoningDelta(thinking))
        piece, logprobs = text(message.get("content")), _logprobs(value.get("logprobs"))
        if piece or logprobs:
            events.append(TextDelta(piece or "", logprobs=logprobs))
        for call in items(message.get("tool_calls")):
            events += self._call(obj(call), value.get("created_at"))
        return events

    def _call(self, call: Json, created: Any) -> list[Event]:
        if self.over:
            return []
        function = obj(call.get("function"))
        name, given = text(function.get("name")), function.get("arguments")
        if name is None:
            return self.fail("a tool call has no name")
        arguments = text(given) or orjson.dumps(given or {}).decode()
        index, self._calls = self._calls, self._calls + 1
        id = text(call.get("id")) or native.call_id(created, index, name, arguments)
        return [ToolCallStart(index, id, name), ToolCallDelta(index, arguments)]

    def _done(self, value: Json) -> list[Event]:
        if self.over:
            return []
        self.over = True
        given = value.get("done_reason") or "stop"
        reason = _FINISH.get(given, "content_filter") if isinstance(given, str) else "stop"
        if reason == "stop" and self._calls:
            reason = "tool_calls"
        events: list[Event] = []
        if reason == "content_filter":
            events.append(Extra({"native_finish_reason": given}, 0))
        events.append(Finish(reason))
        read, written = count(value.get("prompt_eval_count")), count(value.get("eval_count"))
        if read is not None or written is not None:
            events.append(UsageEvent(usage(read or 0, written or 0)))
        return events


def _start(value: Json) -> Start:
    return Start(model=text(value.get("model")), created=unix_seconds(value.get("created_at")))


def _logprobs(value: Any) -> Json | None:
    """Ollama's entries have OpenAI's shape, but for `bytes` in some versions."""
    found = [token for item in items(value) if (token := _token(obj(item)))]
    return {"content": found, "refusal": None} if found else None


def _token(item: Json, top: bool = True) -> Json | None:
    token = text(item.get("token"))
    if token is None:
        return None
    raw = list(token.encode("utf-8", "replace"))
    out: Json = {"token": token, "logprob": item.get("logprob"), "bytes": raw}
    if top:
        others = (_token(obj(one), top=False) for one in items(item.get("top_logprobs")))
        out["top_logprobs"] = [one for one in others if one]
    return out


CODEC = OllamaChat()
