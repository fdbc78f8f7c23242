"""What every codec's tests share: decode however cut, and see the answer as an OpenAI client does.

A codec test makes a `Summary` from what the provider's own SDK reads in the same bytes, and
compares it with `openai_summary(events)`: our events, rendered, read by the openai SDK.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import httpx2
import openai
import orjson
from openai.lib.streaming.chat import ChatCompletionStreamState
from openai.types.chat import ChatCompletion

from reflex_core.codecs import Codec
from reflex_core.fold import Folder
from reflex_core.render import ChunkRenderer, completion_json, completion_sse
from reflex_core.types import (
    ChatRequest,
    Completion,
    ErrorEvent,
    Event,
    Finish,
    Provider,
    Target,
    ToolCallDelta,
    ToolCallStart,
)
from tests.wire import bytewise, cuts

ID, CREATED, MODEL = "chatcmpl-test", 1_700_000_000, "test-model"
SEEDS = (1, 2, 3)


@dataclass(frozen=True)
class ChoiceSummary:
    """`tool_calls` are (name, parsed arguments); arguments that are no JSON stay text."""

    text: str = ""
    reasoning: str = ""
    refusal: str = ""
    tool_calls: tuple[tuple[str, Any], ...] = ()
    finish_reason: str | None = None


@dataclass(frozen=True)
class Summary:
    """What must agree between two readings of one answer. `usage` is (prompt, completion, total)."""

    choices: tuple[ChoiceSummary, ...]
    usage: tuple[int, int, int] | None = None


def chat_request(
    stream: bool = True, *, model: str = MODEL, include_usage: bool = False, **body: Any
) -> ChatRequest:
    """A client's request, as inbound would make it, from the fields of its body."""
    full: dict[str, Any] = {"model": model, "messages": [{"role": "user", "content": "Hi"}], **body}
    if stream:
        full["stream"] = True
    if include_usage:
        full["stream_options"] = {"include_usage": True}
    return ChatRequest(orjson.dumps(full), full, model, stream, include_usage)


def target_for(
    codec: str,
    *,
    model: str = MODEL,
    base_url: str = "https://provider.test/v1",
    api_key: str | None = "key-of-provider",
    options: dict[str, Any] | None = None,
    **provider: Any,
) -> Target:
    """A resolved target of a provider that exists in tests only."""
    row = Provider(name=provider.pop("name", "test"), codec=codec, base_url=base_url, **provider)
    return Target(row, model, base_url, api_key, options or {})


def decode_stream(
    codec: Codec, request: ChatRequest, target: Target, chunks: Iterable[bytes]
) -> list[Event]:
    """All events of a body that arrives in these chunks; none after the end that the decoder sees."""
    decoder = codec.decoder(request, target)
    events: list[Event] = []
    for chunk in chunks:
        ended = decoder.ended
        more = decoder.feed(chunk)
        assert not (ended and more)
        events += more
    ended = decoder.ended
    more = decoder.finish()
    assert not (ended and more)
    return events + more


def same_however_cut(
    codec: Codec, request: ChatRequest, target: Target, body: bytes
) -> list[Event]:
    """The events of `body`, after checking that no way of cutting it changes them."""
    whole = decode_stream(codec, request, target, [body])
    assert decode_stream(codec, request, target, bytewise(body)) == whole
    for seed in SEEDS:
        assert decode_stream(codec, request, target, cuts(body, seed)) == whole, f"seed {seed}"
    check_events(whole)
    return whole


def check_events(events: Sequence[Event]) -> None:
    """The order every decoder keeps, whatever the provider sends."""
    failed = [i for i, event in enumerate(events) if isinstance(event, ErrorEvent)]
    assert failed in ([], [len(events) - 1]), "an error is the last event, and the only one"
    calls: dict[int, int] = {}
    finished: list[int] = []
    for event in events:
        match event:
            case ToolCallStart(index, id, name, choice):
                assert index == calls.get(choice, 0), "tool calls count from 0 without gaps"
                assert id, "a tool call has an id"
                assert name, "a tool call has a name"
                calls[choice] = index + 1
            case ToolCallDelta(index, _, choice):
                assert index < calls.get(choice, 0), "arguments come after their call's start"
            case Finish(_, choice):
                finished.append(choice)
            case _:
                pass
    assert len(finished) == len(set(finished)), "a choice finishes once"


def fold(events: Iterable[Event]) -> Completion:
    """The Completion that would be stored."""
    folder = Folder(ID, CREATED, MODEL)
    for event in events:
        folder.feed(event)
    return folder.completion()


def error_of(events: Sequence[Event]) -> ErrorEvent | None:
    """The error that ends `events`, if any."""
    return events[-1] if events and isinstance(events[-1], ErrorEvent) else None


def rendered(events: Iterable[Event], *, include_usage: bool = True) -> bytes:
    """The SSE bytes a streaming client gets for `events`."""
    renderer = ChunkRenderer(ID, CREATED, MODEL, include_usage)
    return b"".join([renderer.feed(event) for event in events]) + renderer.finish()


def openai_client(body: bytes, content_type: str, status: int = 200) -> openai.OpenAI:
    """The openai SDK with a provider that answers `body` to everything."""

    def answer(_request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(status, headers={"content-type": content_type}, content=body)

    http = httpx2.Client(transport=httpx2.MockTransport(answer), trust_env=False)
    return openai.OpenAI(
        api_key="sk-test", base_url="http://test/v1", http_client=http, max_retries=0
    )


def openai_reads_sse(body: bytes) -> ChatCompletion:
    """What the openai SDK makes of an event stream. Raises openai.APIError for an error event."""
    state = ChatCompletionStreamState()
    with openai_client(body, "text/event-stream") as client:
        for chunk in client.chat.completions.create(model=MODEL, messages=[], stream=True):
            state.handle_chunk(chunk)
    return state.current_completion_snapshot


def openai_chunks(body: bytes) -> list[Any]:
    """The typed chunks that the openai SDK reads in an event stream."""
    with openai_client(body, "text/event-stream") as client:
        return [*client.chat.completions.create(model=MODEL, messages=[], stream=True)]


def openai_reads_json(body: bytes) -> ChatCompletion:
    """What the openai SDK makes of a whole answer."""
    with openai_client(body, "application/json") as client:
        return client.chat.completions.create(model=MODEL, messages=[])


def our_openai_view(events: Sequence[Event]) -> ChatCompletion:
    """Our stream for `events`, accumulated by the openai SDK's own stream classes."""
    body = rendered(events)
    check_chunks(body)
    return openai_reads_sse(body)


def check_chunks(body: bytes) -> None:
    """OpenAI's contract for the chunks of one answer that did not fail."""
    *frames, last = [frame for frame in body.split(b"\n\n") if frame and frame[:1] != b":"]
    assert last == b"data: [DONE]" or b'"error"' in last
    chunks = [json.loads(frame.removeprefix(b"data: ")) for frame in frames]
    assert len({(chunk["id"], chunk["created"], chunk["model"]) for chunk in chunks}) <= 1
    seen: set[int] = set()
    for chunk in chunks:
        assert chunk["object"] == "chat.completion.chunk"
        for choice in chunk["choices"]:
            first = choice["index"] not in seen
            seen.add(choice["index"])
            assert (choice["delta"].get("role") == "assistant") == first, "the role comes first"
            assert not (choice["finish_reason"] and choice["delta"]), "finish has an empty delta"
    with_usage = [i for i, chunk in enumerate(chunks) if chunk.get("usage")]
    assert with_usage in ([], [len(chunks) - 1]), "usage comes once, in the last chunk"
    assert not (with_usage and chunks[-1]["choices"]), "the usage chunk has no choices"


def summary(completion: ChatCompletion) -> Summary:
    """What counts in an OpenAI SDK object (or one of the same shape, as groq's)."""
    usage = completion.usage
    return Summary(
        choices=tuple(
            _choice_summary(choice) for choice in sorted(completion.choices, key=lambda c: c.index)
        ),
        usage=usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
    )


def _choice_summary(choice: Any) -> ChoiceSummary:
    message = choice.message
    return ChoiceSummary(
        text=message.content or "",
        reasoning=_reasoning(message),
        refusal=getattr(message, "refusal", None) or "",
        tool_calls=tuple(_call_summary(call) for call in message.tool_calls or ()),
        finish_reason=choice.finish_reason,
    )


def _reasoning(message: Any) -> str:
    """Providers differ in the name; `reasoning_details` counts where it is the only one."""
    for name in ("reasoning_content", "reasoning"):
        if text := getattr(message, name, None):
            return text
    details = getattr(message, "reasoning_details", None) or ()
    return "".join(item.get("text") or item.get("summary") or "" for item in details)


def _call_summary(call: Any) -> tuple[str, Any]:
    if call.type == "custom":
        custom = call.to_dict()["custom"]
        return custom["name"], custom["input"]
    return call.function.name, parse_arguments(call.function.arguments)


class _Plain:
    """A choice in the making, its pieces joined as they come."""

    def __init__(self) -> None:
        self.text = self.reasoning = self.refusal = ""
        self.calls: dict[int, list[str]] = {}
        self.finish_reason: str | None = None

    def add(self, choice: Any) -> None:
        self.finish_reason = self.finish_reason or choice.finish_reason
        delta = choice.delta
        if delta is None:
            return
        self.text += delta.content or ""
        self.reasoning += _reasoning(delta)
        self.refusal += getattr(delta, "refusal", None) or ""
        for call in delta.tool_calls or ():
            parts = self.calls.setdefault(call.index or 0, ["", ""])
            parts[0] += call.function.name or ""
            parts[1] += call.function.arguments or ""

    def summary(self) -> ChoiceSummary:
        calls = tuple(
            (name, parse_arguments(text)) for _, (name, text) in sorted(self.calls.items())
        )
        return ChoiceSummary(self.text, self.reasoning, self.refusal, calls, self.finish_reason)


def accumulate(chunks: Iterable[Any]) -> Summary:
    """The answer in an SDK's typed chunks (openai's, groq's), joined as plainly as can be.

    For raw provider bytes: the openai SDK's own accumulation stumbles over some of them.
    """
    choices: dict[int, _Plain] = {}
    usage: Any = None
    for chunk in chunks:
        for choice in chunk.choices or ():
            choices.setdefault(choice.index, _Plain()).add(choice)
        usage = getattr(chunk, "usage", None) or getattr(_x_groq(chunk), "usage", None) or usage
    return Summary(
        choices=tuple(plain.summary() for _, plain in sorted(choices.items())),
        usage=usage and (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens),
    )


def _x_groq(chunk: Any) -> Any:
    return getattr(chunk, "x_groq", None)


def parse_arguments(text: str | None) -> Any:
    """Arguments as the tool would get them: none at all is an empty object."""
    if not text:
        return {}
    try:
        return json.loads(text)
    except ValueError:
        return text


def openai_summary(events: Sequence[Event]) -> Summary:
    """Our answer in the openai SDK's eyes, after checking that every way to read it agrees.

    The live stream, the stored answer replayed as a stream, and the stored answer as JSON.
    """
    seen = summary(our_openai_view(events))
    stored = fold(events)
    assert summary(openai_reads_sse(completion_sse(stored, include_usage=True))) == seen
    assert summary(openai_reads_json(completion_json(stored))) == seen
    return seen
