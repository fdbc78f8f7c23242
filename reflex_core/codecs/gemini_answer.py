"""What Gemini answers -> events. A stream is a series of partial answers of one shape.

Source: ai.google.dev/api/generate-content#GenerateContentResponse and the same of Vertex AI.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import orjson

from ..errors import ApiError
from ..types import (
    Annotations,
    ErrorEvent,
    Event,
    Extra,
    Finish,
    FinishReason,
    Json,
    Ping,
    ReasoningDelta,
    RefusalDelta,
    Start,
    TextDelta,
    ToolCallDelta,
    ToolCallStart,
    UsageEvent,
    usage,
)
from . import gemini_errors, native
from .common import error_status, parse_object
from .gemini_args import Arguments
from .gemini_sources import citations, grounding
from .loose import count, items, obj, text, unix_seconds

_FAILED = frozenset(
    [
        "MALFORMED_FUNCTION_CALL",
        "MALFORMED_RESPONSE",
        "MISSING_THOUGHT_SIGNATURE",
        "TOO_MANY_TOOL_CALLS",
        "UNEXPECTED_TOOL_CALL",
    ]
)
"""The model produced nothing that can be used; asking again may help."""
_NUMBERED = [
    "FINISH_REASON_UNSPECIFIED",
    "STOP",
    "MAX_TOKENS",
    "SAFETY",
    "RECITATION",
    "OTHER",
    "BLOCKLIST",
    "PROHIBITED_CONTENT",
    "SPII",
    "MALFORMED_FUNCTION_CALL",
    "MODEL_ARMOR",
    "IMAGE_SAFETY",
    "IMAGE_PROHIBITED_CONTENT",
    "IMAGE_RECITATION",
    "IMAGE_OTHER",
    "UNEXPECTED_TOOL_CALL",
    "NO_IMAGE",
]
"""Finish reasons by number, as Vertex AI sends them with `enum-encoding=int`."""
_TIERS = {"standard": "default"}
MAX_CHOICES = 64
"""Candidates are numbered below this; Gemini gives at most 8."""


@dataclass(slots=True)
class _Candidate:
    """One answer of several."""

    index: int
    text: list[str] = field(default_factory=list[str])
    calls: int = 0
    open: Arguments | None = None
    """Arguments of a call whose pieces still come."""
    finish: str | None = None
    message: str | None = None
    cited: set[bytes] = field(default_factory=set[bytes])
    kept: Json = field(default_factory=dict[str, Any])
    """Metadata the client gets once, at the end."""

    def close(self) -> list[Event]:
        """Ends the call in progress, if there is one."""
        if self.open is None:
            return []
        arguments, self.open = self.open.json(), None
        return [ToolCallDelta(self.calls - 1, arguments, self.index)]


class Answer:
    """One answer, part by part. After its end or an error nothing comes any more."""

    def __init__(self) -> None:
        self.over = False
        self._start = Start()
        self._candidates: dict[int, _Candidate] = {}
        self._usage: Json | None = None

    def frame(self, data: bytes) -> list[Event]:
        """One partial answer, or the whole one."""
        if self.over:
            return []
        if data.strip() in (b"", b"[DONE]"):
            return [Ping()]
        value = parse_object(data)
        if value is None:
            return self.fail("a part of it is no JSON object")
        if value.get("error"):
            self.over = True
            return [ErrorEvent(gemini_errors.rpc(value, error_status(value)))]
        events = self._begin(value)
        for candidate in map(obj, items(value.get("candidates"))):
            events += self._candidate(candidate)
        events += self._blocked(obj(value.get("promptFeedback")))
        counted = obj(value.get("usageMetadata"))
        if "promptTokenCount" in counted or "totalTokenCount" in counted:
            self._usage = _usage(counted)
        return events or [Ping()]

    def end(self) -> list[Event]:
        """Everything is in. Gemini may go on after a finish reason, so it counts only now."""
        candidates = [candidate for _, candidate in sorted(self._candidates.items())]
        if not candidates or any(candidate.finish is None for candidate in candidates):
            return self.fail("it ended too early", "upstream_closed")
        events: list[Event] = []
        for candidate in candidates:
            if self.over:
                break
            events += candidate.close() + self._finish(candidate)
        if self._usage and not self.over:
            events.append(UsageEvent(self._usage))
        self.over = True
        return events

    def fail(self, why: str, code: str = "bad_upstream_answer") -> list[Event]:
        if self.over:
            return []
        self.over = True
        message = f"The answer of Gemini could not be read: {why}."
        return [ErrorEvent(ApiError(502, message, code=code))]

    def _begin(self, value: Json) -> list[Event]:
        """What is known of the whole answer, when it is new."""
        old = self._start
        tier = text(obj(value.get("usageMetadata")).get("serviceTier"))
        self._start = Start(
            id=text(value.get("responseId")) or old.id,
            model=text(value.get("modelVersion")) or old.model,
            created=unix_seconds(value.get("createTime")) or old.created,
            service_tier=_TIERS.get(tier, tier) if tier else old.service_tier,
        )
        return [self._start] if self._start != old else []

    def _blocked(self, feedback: Json) -> list[Event]:
        """A prompt that was refused as a whole has no candidates."""
        reason = feedback.get("blockReason")
        if not reason or self._candidates or self.over:
            return []
        said = text(feedback.get("blockReasonMessage"))
        said = said or f"The provider blocked the prompt ({reason})."
        self._candidates[0] = _Candidate(0, finish=f"BLOCKED_{reason}")
        return [RefusalDelta(said)]

    def _candidate(self, value: Json) -> list[Event]:
        if self.over:
            return []
        index = count(value.get("index")) or 0
        if index >= MAX_CHOICES:
            return self.fail("there is no such candidate")
        candidate = self._candidates.setdefault(index, _Candidate(index))
        events: list[Event] = []
        for part in map(obj, items(obj(value.get("content")).get("parts"))):
            events += self._part(candidate, part)
        events = _with_logprobs(events, value.get("logprobsResult"), index)
        events += _sources(candidate, value)
        reason = value.get("finishReason")
        if isinstance(reason, int):
            reason = _NUMBERED[reason] if 0 <= reason < len(_NUMBERED) else "OTHER"
        if reason and isinstance(reason, str) and reason != "FINISH_REASON_UNSPECIFIED":
            candidate.finish, candidate.message = reason, text(value.get("finishMessage"))
        return events

    def _part(self, candidate: _Candidate, part: Json) -> list[Event]:
        at = candidate.index
        if said := text(part.get("text")):
            if part.get("thought") is True:
                return [ReasoningDelta(said, at)]
            candidate.text.append(said)
            return [TextDelta(said, at)]
        if "functionCall" in part:
            return self._call(candidate, obj(part["functionCall"]), part.get("thoughtSignature"))
        if "executableCode" in part:
            code = obj(part["executableCode"])
            ran: Json = {"type": "code", "language": code.get("language"), "code": code.get("code")}
            return [Extra({"code_execution": [ran]}, at)]
        if "codeExecutionResult" in part:
            result = obj(part["codeExecutionResult"])
            seen = {"type": "result", "outcome": result.get("outcome")}
            return [Extra({"code_execution": [seen | {"output": result.get("output")}]}, at)]
        if "inlineData" in part:
            return _media(obj(part["inlineData"]), at)
        return []

    def _call(self, candidate: _Candidate, call: Json, signature: Any) -> list[Event]:
        """A call comes whole, or its name first and then its arguments in pieces."""
        events: list[Event] = []
        if name := text(call.get("name")):
            events += candidate.close()
            at, index = candidate.index, candidate.calls
            candidate.calls, candidate.open = index + 1, Arguments()
            id = text(call.get("id"))
            id = id or native.call_id(self._start.id, self._start.created, at, index, name)
            events.append(ToolCallStart(index, id, name, at))
            if text(signature):
                events.append(Extra({"thought_signatures": {id: signature}}, at))
        if candidate.open is not None:
            candidate.open.add(call)
            if call.get("willContinue") is not True:
                events += candidate.close()
        return events

    def _finish(self, candidate: _Candidate) -> list[Event]:
        given, at = candidate.finish or "", candidate.index
        if given in _FAILED:
            self.over = True
            said = candidate.message or f"Gemini ended the answer with {given}."
            return [ErrorEvent(ApiError(502, said, code=given.lower()))]
        reason: FinishReason = "length" if given == "MAX_TOKENS" else "content_filter"
        if given == "STOP":
            reason = "tool_calls" if candidate.calls else "stop"
        if reason == "content_filter":
            candidate.kept["native_finish_reason"] = given
            if candidate.message:
                candidate.kept["finish_message"] = candidate.message
        kept: list[Event] = [Extra(candidate.kept, at)] if candidate.kept else []
        return [*kept, Finish(reason, at)]


# --------------------------------------------------------------------------- parts


def _media(blob: Json, at: int) -> list[Event]:
    """Images as other gateways show them; anything else as it is."""
    kind, data = text(blob.get("mimeType")) or "", text(blob.get("data")) or ""
    if not kind.startswith("image/"):
        return [Extra({"media": [{"mime_type": kind, "data": data}]}, at)]
    image = {"type": "image_url", "image_url": {"url": f"data:{kind};base64,{data}"}}
    return [Extra({"images": [image]}, at)]


def _sources(candidate: _Candidate, value: Json) -> list[Event]:
    """New annotations; the metadata itself is kept for the end."""
    metadata = obj(value.get("groundingMetadata"))
    if metadata:
        candidate.kept["grounding_metadata"] = metadata
    if pages := obj(value.get("urlContextMetadata")):
        candidate.kept["url_context_metadata"] = pages
    found = citations(value.get("citationMetadata"))
    if metadata:
        found += grounding(metadata, "".join(candidate.text))
    new: list[Json] = []
    for item in found:
        raw = orjson.dumps(item)
        if raw not in candidate.cited:
            candidate.cited.add(raw)
            new.append(item)
    return [Annotations(tuple(new), candidate.index)] if new else []


def _with_logprobs(events: list[Event], result: Any, at: int) -> list[Event]:
    """Puts the log probabilities of a part on its first text."""
    fields = obj(result)
    chosen = [_token(obj(one)) for one in items(fields.get("chosenCandidates"))]
    tops = [items(obj(one).get("candidates")) for one in items(fields.get("topCandidates"))]
    content: list[Json] = []
    for step, token in enumerate(chosen):
        if token:
            others = (_token(obj(one)) for one in (tops[step] if step < len(tops) else []))
            content.append(token | {"top_logprobs": [other for other in others if other]})
    if not content:
        return events
    logprobs: Json = {"content": content, "refusal": None}
    for i, event in enumerate(events):
        if isinstance(event, TextDelta):
            events[i] = TextDelta(event.text, at, logprobs)
            return events
    return [*events, TextDelta("", at, logprobs)]


def _token(item: Json) -> Json | None:
    token, value = item.get("token"), item.get("logProbability")
    if not isinstance(token, str):
        return None
    # JSON leaves out zero: a token that was certain.
    return {"token": token, "logprob": value or 0.0, "bytes": list(token.encode("utf-8"))}


def _usage(counted: Json) -> Json:
    """Thoughts are not among the candidates' tokens, nor what tools read among the prompt's."""
    thoughts = count(counted.get("thoughtsTokenCount"))
    read = (count(counted.get("promptTokenCount")) or 0) + (
        count(counted.get("toolUsePromptTokenCount")) or 0
    )
    return usage(
        read,
        (count(counted.get("candidatesTokenCount")) or 0) + (thoughts or 0),
        cached=count(counted.get("cachedContentTokenCount")),
        reasoning=thoughts,
    )
