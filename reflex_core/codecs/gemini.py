"""Google Gemini: generateContent of AI Studio and of Vertex AI.

Source: ai.google.dev/api/generate-content, cloud.google.com/vertex-ai/generative-ai/docs/
model-reference/inference. What is mapped, dropped and refused: docs/providers/gemini.md.
Quirks read: `vertex`. Options read: `project`, `location`.
"""

from __future__ import annotations

from collections.abc import Mapping
from urllib.parse import quote

from ..errors import ApiError
from ..inbound import prompt
from ..ndjson import JsonElements
from ..sse import Frame, SSEParser
from ..types import ChatRequest, Event, ProviderRequest, Target
from . import gemini_errors, gemini_request, native
from .gemini_answer import Answer

_VERTEX_HOST = "https://aiplatform.googleapis.com"
_BLANK = b" \t\r\n"


class Gemini:
    name = "gemini"

    def encode(self, request: ChatRequest, target: Target) -> ProviderRequest:
        body, dropped = gemini_request.encode(request, prompt(request), target)
        verb = "streamGenerateContent?alt=sse" if request.stream else "generateContent"
        return native.post(target, f"{model_url(target)}:{verb}", body, dropped)

    def decoder(self, request: ChatRequest, target: Target) -> GeminiDecoder:
        return GeminiDecoder()

    def decode_json(self, request: ChatRequest, target: Target, body: bytes) -> list[Event]:
        answer = Answer()
        return answer.frame(body) + answer.end()

    def decode_error(self, status: int, headers: Mapping[str, str], body: bytes) -> ApiError:
        return gemini_errors.http(status, headers, body)


def model_url(target: Target) -> str:
    """The resource of the model: everything before `:generateContent`.

    In Vertex AI it lies under a project and a location, and a location has its own host; both are
    left alone where `base_url` names another host or has its own path to a project.
    """
    base, model = target.base_url.rstrip("/"), quote(target.model, safe="/-._~@:")
    if not target.provider.quirks.get("vertex"):
        return f"{base}/{model}" if "/" in model else f"{base}/models/{model}"
    project = target.options.get("project")
    location = str(target.options.get("location") or "global")
    if base.startswith(_VERTEX_HOST):
        base = _vertex_host(location) + base.removeprefix(_VERTEX_HOST)
    if project and "/projects/" not in base:
        base = (
            f"{base}/projects/{quote(str(project), safe='')}/locations/{quote(location, safe='')}"
        )
    if model.startswith(("publishers/", "endpoints/")):
        return f"{base}/{model}"
    return f"{base}/publishers/google/models/{model.removeprefix('models/')}"


def _vertex_host(location: str) -> str:
    if location == "global":
        return _VERTEX_HOST
    if location in ("eu", "us"):
        return f"https://aiplatform.{location}.rep.googleapis.com"
    return f"https://{quote(location, safe='')}-aiplatform.googleapis.com"


class GeminiDecoder:
    """Server-sent events, or the one JSON array that comes without `alt=sse`.

    A failure in the middle is a bare JSON object without `data:`, over several lines.
    """

    def __init__(self) -> None:
        self._blank = b""
        self._began = False
        self._events = SSEParser()
        self._array: JsonElements | None = None
        self._answer = Answer()

    @property
    def ended(self) -> bool:
        """Gemini has no last event: even after its finish reason it may go on."""
        return self._answer.over

    def feed(self, data: bytes) -> list[Event]:
        if not self._began:
            data = self._blank + data
            start = data.lstrip(_BLANK)
            if not start:
                self._blank = data
                return []
            self._began = True
            if start.startswith(b"["):
                self._array = JsonElements()
        if self._array is not None:
            return self._elements(self._array.feed(data), self._array.overflow)
        return self._frames(self._events.feed(data), self._events.overflow)

    def finish(self) -> list[Event]:
        if self._array is not None:
            return self._elements(self._array.finish()) + self._answer.end()
        return self._frames(self._events.finish()) + self._answer.end()

    def _elements(self, elements: list[bytes], overflow: bool = False) -> list[Event]:
        events = [event for element in elements for event in self._answer.frame(element)]
        return events + (self._answer.fail("a part of it is too long") if overflow else [])

    def _frames(self, frames: list[Frame], overflow: bool = False) -> list[Event]:
        elements: list[bytes] = []
        for frame in frames:
            bare = b"\n".join(frame.other).strip(_BLANK)
            failure = [bare] if bare.startswith((b"{", b"[")) else []
            elements += [frame.data, *failure] if frame.data is not None else failure or [b""]
        return self._elements(elements, overflow)


CODEC = Gemini()
