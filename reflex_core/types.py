"""The vocabulary of the core: requests, events, completions, providers.

Everything here is plain frozen data. Events are neutral: codecs produce them from a
provider's bytes, `render` turns them into OpenAI chunks, `Folder` (fold.py) folds them
into the `Completion` that is stored.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from .errors import ApiError

Json = dict[str, Any]

FinishReason = Literal["stop", "length", "tool_calls", "content_filter", "function_call"]


# --------------------------------------------------------------------------- requests


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """A chat completion request as it came in. `body` must not be mutated.

    `raw` goes on as it is to an OpenAI-compatible provider whenever nothing has to change.
    """

    raw: bytes
    body: Json
    model: str
    stream: bool = False
    include_usage: bool = False


@dataclass(frozen=True, slots=True)
class TextPart:
    text: str


@dataclass(frozen=True, slots=True)
class ImagePart:
    """`url` is set for a remote image; `media_type` and base64 `data` for a data URL."""

    url: str | None = None
    media_type: str | None = None
    data: str | None = None
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class AudioPart:
    """`input_audio`: base64 `data` in `format` ("wav", "mp3")."""

    data: str
    format: str


@dataclass(frozen=True, slots=True)
class FilePart:
    """`file`: an uploaded `file_id`, or base64 `data` with its media type."""

    file_id: str | None = None
    filename: str | None = None
    media_type: str | None = None
    data: str | None = None


Part = TextPart | ImagePart | AudioPart | FilePart


@dataclass(frozen=True, slots=True)
class ToolCall:
    """`arguments` is a JSON string, exactly as the model wrote it."""

    id: str
    name: str
    arguments: str


Role = Literal["system", "developer", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class Message:
    """One message, normalised: legacy function calls and results are tool calls and results."""

    role: Role
    parts: tuple[Part, ...] = ()
    tool_calls: tuple[ToolCall, ...] = ()
    tool_call_id: str | None = None
    name: str | None = None
    reasoning: str | None = None
    """`reasoning_content` that a client sent back."""
    path: str = ""
    """Where it stood in the body, for error messages: `messages[3]`."""

    @property
    def text(self) -> str:
        """All text parts joined."""
        return "".join(p.text for p in self.parts if isinstance(p, TextPart))


@dataclass(frozen=True, slots=True)
class Tool:
    name: str
    description: str | None = None
    parameters: Json | None = None
    strict: bool | None = None


@dataclass(frozen=True, slots=True)
class ToolChoice:
    """`mode` "named" goes with `name`."""

    mode: Literal["auto", "none", "required", "named"]
    name: str | None = None


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    kind: Literal["text", "json_object", "json_schema"]
    name: str | None = None
    schema: Json | None = None
    strict: bool | None = None
    description: str | None = None


@dataclass(frozen=True, slots=True)
class Prompt:
    """A chat request, checked and typed, for providers with another protocol.

    `None` always means "the client did not say". `extra` holds the fields of the body
    that have no attribute here (logit_bias, modalities, audio, ...), so that a codec can refuse or
    drop them by name.
    """

    model: str
    messages: tuple[Message, ...]
    tools: tuple[Tool, ...] = ()
    tool_choice: ToolChoice | None = None
    parallel_tool_calls: bool | None = None
    response_format: ResponseFormat | None = None
    max_tokens: int | None = None
    temperature: float | None = None
    top_p: float | None = None
    stop: tuple[str, ...] = ()
    seed: int | None = None
    n: int = 1
    presence_penalty: float | None = None
    frequency_penalty: float | None = None
    reasoning_effort: str | None = None
    user: str | None = None
    metadata: Json | None = None
    logprobs: bool = False
    top_logprobs: int | None = None
    stream: bool = False
    extra: Mapping[str, Any] = field(default_factory=dict[str, Any])


# --------------------------------------------------------------------------- providers


@dataclass(frozen=True, slots=True)
class Provider:
    """One row of the catalogue. A new OpenAI-compatible host is a row, not code."""

    name: str
    codec: str
    base_url: str
    """Up to, and with, the version: `https://api.openai.com/v1`."""
    key_env: tuple[str, ...] = ()
    """Environment variables that may hold the key, first set one wins."""
    auth: Literal["bearer", "x-api-key", "api-key", "x-goog-api-key", "sigv4", "none"] = "bearer"
    key_required: bool = True
    headers: tuple[tuple[str, str], ...] = ()
    """Fixed extra headers."""
    models: tuple[str, ...] = ()
    """Some model names for GET /v1/models."""
    quirks: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Known deviations; codecs document the names they read."""
    options_env: Mapping[str, tuple[str, ...]] = field(default_factory=dict[str, tuple[str, ...]])
    """Variables for `Target.options`, first set one wins; the option `base_url` replaces the row's."""
    docs: str = ""
    """Where the quirks are documented."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where one request goes: the provider row with everything user-specific resolved."""

    provider: Provider
    model: str
    base_url: str
    api_key: str | None = field(default=None, repr=False)
    options: Mapping[str, Any] = field(default_factory=dict[str, Any], repr=False)
    """Provider-specific settings: region, project, AWS credentials, api_version."""


@dataclass(frozen=True, slots=True)
class ProviderRequest:
    """What goes upstream, complete but for hop-by-hop headers."""

    method: str
    url: str
    headers: tuple[tuple[str, str], ...] = field(repr=False)
    body: bytes = field(repr=False)
    dropped: tuple[str, ...] = ()
    """Parameters the provider has no equivalent for, whose loss does not change the meaning."""


@dataclass(frozen=True, slots=True)
class Keys:
    """What one request is known by in the exact tier (see key.py)."""

    tenant: bytes
    """16 bytes."""
    exact: bytes
    """32 bytes."""
    namespace: str | None = None


@dataclass(frozen=True, slots=True)
class Meaning:
    """What one request is known by in the semantic tier (see key.py)."""

    scope: bytes
    """32 bytes."""
    text: str | None
    """What may be compared; None keeps the request to the exact tier."""
    exact_only: str | None
    """Why `text` is None."""


# --------------------------------------------------------------------------- events


@dataclass(frozen=True, slots=True)
class Start:
    """What the provider says of the whole answer. May come again with more known."""

    id: str | None = None
    model: str | None = None
    created: int | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None


@dataclass(frozen=True, slots=True)
class TextDelta:
    text: str
    choice: int = 0
    logprobs: Json | None = None
    """`{"content": [...], "refusal": [...]}` in OpenAI's shape, for this delta only."""


@dataclass(frozen=True, slots=True)
class ReasoningDelta:
    text: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class RefusalDelta:
    text: str
    choice: int = 0
    logprobs: Json | None = None


@dataclass(frozen=True, slots=True)
class ToolCallStart:
    """`index` counts from 0 without gaps within a choice."""

    index: int
    id: str
    name: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class ToolCallDelta:
    """A piece of the arguments' JSON text."""

    index: int
    arguments: str
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Annotations:
    """`url_citation` items in OpenAI's shape; they add up."""

    items: tuple[Json, ...]
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Extra:
    """Fields OpenAI does not have (citations, reasoning_details, x_groq), kept for the client.

    `choice` None: fields of the chunk itself; else of the choice's delta. Folding: lists add
    up, dictionaries merge, other values replace.
    """

    fields: Json
    choice: int | None = None


@dataclass(frozen=True, slots=True)
class UsageEvent:
    """Token counts in OpenAI's shape (see `usage()`); a later one replaces an earlier one."""

    usage: Json


@dataclass(frozen=True, slots=True)
class Finish:
    reason: FinishReason
    choice: int = 0


@dataclass(frozen=True, slots=True)
class Ping:
    """Something that carries no content: becomes an SSE comment, so that nothing times out."""

    comment: str = "ping"


@dataclass(frozen=True, slots=True)
class ErrorEvent:
    """The answer failed. Nothing follows it."""

    error: ApiError


Event = (
    Start
    | TextDelta
    | ReasoningDelta
    | RefusalDelta
    | ToolCallStart
    | ToolCallDelta
    | Annotations
    | Extra
    | UsageEvent
    | Finish
    | Ping
    | ErrorEvent
)


def usage(
    prompt: int,
    completion: int,
    *,
    total: int | None = None,
    cached: int | None = None,
    cache_write: int | None = None,
    reasoning: int | None = None,
) -> Json:
    """Usage in OpenAI's shape. `prompt` includes cached tokens, `completion` includes reasoning."""
    out: Json = {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion if total is None else total,
    }
    details: Json = {}
    if cached is not None:
        details["cached_tokens"] = cached
    if cache_write is not None:
        details["cache_write_tokens"] = cache_write
    if details:
        out["prompt_tokens_details"] = details
    if reasoning is not None:
        out["completion_tokens_details"] = {"reasoning_tokens": reasoning}
    return out


# --------------------------------------------------------------------------- completions


@dataclass(frozen=True, slots=True)
class Choice:
    index: int = 0
    content: str | None = None
    reasoning: str | None = None
    refusal: str | None = None
    tool_calls: tuple[ToolCall, ...] = ()
    logprobs: Json | None = None
    annotations: tuple[Json, ...] = ()
    finish_reason: str | None = None
    extra: Json = field(default_factory=dict[str, Any])
    """Fields of the message that OpenAI does not have."""


@dataclass(frozen=True, slots=True)
class Completion:
    """A whole answer, neutral between stream and JSON. `id` and `created` are never changed."""

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Json | None = None
    system_fingerprint: str | None = None
    service_tier: str | None = None
    extra: Json = field(default_factory=dict[str, Any])
    """Fields of the answer that OpenAI does not have."""

    @property
    def complete(self) -> bool:
        """True when every choice has ended for a reason."""
        return bool(self.choices) and all(c.finish_reason for c in self.choices)
