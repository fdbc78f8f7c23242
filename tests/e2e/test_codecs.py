"""Every provider's recorded answers and our own samples, through the real proxy, seen by the openai SDK.

The client sees what decoding the bytes directly gives, live, replayed and in the other form; and its
own key goes to OpenAI only.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import openai
import orjson
import pytest
from openai.lib.streaming.chat import ChatCompletionStreamState

from reflex_core import codecs, policy
from reflex_core.catalog_rows import PROVIDERS
from reflex_core.render import completion_json
from reflex_core.types import ChatRequest, Event, Target
from tests import wire
from tests.codecs import aws
from tests.codecs.oracle_contract import (
    Summary,
    error_of,
    fold,
    openai_reads_json,
    summary,
)
from tests.codecs.samples import ROOT

from .asking import KEY, ask, ask_stream, client
from .conftest import Stand, Start
from .provider import Answer, Provider, Received

SERVICES = {
    "openai-chat": "openai",
    "azure-openai": "azure",
    "anthropic-messages": "anthropic",
    "gemini-generate": "gemini",
    "ollama-chat": "ollama",
    "cohere-v2": "cohere",
    "bedrock-converse": "bedrock",
    "deepseek-chat": "deepseek",
    "groq-chat": "groq",
    "mistral-chat": "mistral",
    "xai-chat": "xai",
    "openrouter-chat": "openrouter",
    "openai-compat-other": "together",
}
"""Folder of recordings or samples -> row of the catalogue."""

CONTENT_TYPES = {
    "sse": "text/event-stream",
    "ndjson": "application/x-ndjson",
    "json-stream": "application/json",
    "eventstream": "application/vnd.amazon.eventstream",
    "json": "application/json",
}


@dataclass(frozen=True)
class Spoken:
    """What a provider says once."""

    id: str
    service: str
    stream: bool
    status: int
    kind: str
    body: bytes

    @property
    def model(self) -> str:
        row = PROVIDERS[self.service]
        return row.models[0] if row.models else "some-model"

    @property
    def answer(self) -> Answer:
        cut = wire.cuts(self.body, seed=len(self.body))
        return Answer(cut, self.status, {"content-type": CONTENT_TYPES[self.kind]})


def recorded() -> Iterator[Any]:
    for folder, service in SERVICES.items():
        for param in wire.params(folder):
            case = param.values[0]
            if case is None:
                yield param
                return
            kind = case.meta["response_file"].removesuffix(".b64").rpartition(".")[2]
            spoken = Spoken(
                case.id,
                service,
                case.streaming and case.status == 200,
                case.status,
                kind,
                case.body,
            )
            yield pytest.param(spoken, id=case.id)


def samples() -> Iterator[Any]:
    for path in sorted(ROOT.glob("*/*")):
        folder, kind = path.parent.name, path.suffix[1:]
        if path.name.endswith(".expected.json"):
            continue
        body = path.read_bytes()
        if kind == "jsonl":
            body, kind = aws.frames(body), "eventstream"
        name = f"sample/{folder}/{path.name}"
        services = [SERVICES[folder], *(["vertex"] if folder == "gemini-generate" else [])]
        for service in services:
            spoken = Spoken(name, service, kind != "json", 200, kind, body)
            yield pytest.param(spoken, id=f"{name}-{service}")


@dataclass(frozen=True)
class Seen:
    """What the client got. `error` is what ended it."""

    status: str | None
    id: str | None
    summary: Summary | None
    error: openai.APIError | None = None


@pytest.fixture(scope="module")
def sdk(_world: Stand) -> Iterator[openai.OpenAI]:
    with client(_world.proxy.base_url) as sdk:
        yield sdk


def body_of(spoken: Spoken, stream: bool) -> dict[str, Any]:
    body: dict[str, Any] = {
        "messages": [{"role": "user", "content": f"{spoken.id} {spoken.service}"}],
        "model": f"{spoken.service}::{spoken.model}",
    }
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    return body


def see(sdk: openai.OpenAI, body: dict[str, Any]) -> Seen:
    state = ChatCompletionStreamState()
    status = None
    try:
        raw = sdk.chat.completions.with_raw_response.create(**body)
        status = raw.headers["x-reflex-status"]
        if not body.get("stream"):
            whole = raw.parse()
            return Seen(status, whole.id, summary(whole))
        for chunk in raw.parse():
            state.handle_chunk(chunk)
    except openai.APIError as error:
        return Seen(status, None, None, error)
    whole = state.current_completion_snapshot
    return Seen(status, whole.id, summary(whole))


def decoded(spoken: Spoken) -> Sequence[Event]:
    """The events of the same bytes without any proxy."""
    row = PROVIDERS[spoken.service]
    codec = codecs.get(row.codec)
    target = Target(row, spoken.model, "http://provider.test", "key", {})
    body = body_of(spoken, spoken.stream)
    request = ChatRequest(orjson.dumps(body), body, spoken.model, spoken.stream, spoken.stream)
    if not spoken.stream:
        return codec.decode_json(request, target, spoken.body)
    decoder = codec.decoder(request, target)
    return [*decoder.feed(spoken.body), *decoder.finish()]


def check_keys(received: list[Received], service: str) -> None:
    """The client's key went to OpenAI only; the others got their own."""
    for request in received:
        seen = f"{request.path} {request.headers} {request.body!r}"
        assert request.path.startswith(f"/{service}/"), "only this provider was asked"
        if service == "openai":
            assert request.headers["authorization"] == f"Bearer {KEY}"
        else:
            assert KEY not in seen
            assert KEY.removeprefix("sk-") not in seen
        if service == "bedrock":
            assert "AKIAEXAMPLE" in request.headers["authorization"]
        elif service != "openai":
            assert f"key-of-{service}" in seen
        assert "x-reflex" not in seen.lower()


@pytest.mark.parametrize("spoken", [*recorded(), *samples()])
def test_the_same_as_decoded_directly(world: Stand, sdk: openai.OpenAI, spoken: Spoken) -> None:
    world.provider.reply = lambda request: spoken.answer
    if spoken.status >= 300:
        check_refused(world, sdk, spoken)
    else:
        check_answered(world, sdk, spoken)
    check_keys(world.provider.received, spoken.service)


def check_refused(world: Stand, sdk: openai.OpenAI, spoken: Spoken) -> None:
    codec = codecs.get(PROVIDERS[spoken.service].codec)
    expected = codec.decode_error(spoken.status, {}, spoken.body)
    for stream in (False, True):
        seen = see(sdk, body_of(spoken, stream))
        assert isinstance(seen.error, openai.APIStatusError)
        assert seen.error.status_code == expected.status
        assert seen.error.code == expected.code
        assert seen.error.body == expected.to_dict()["error"]
    assert len(world.provider.received) == 2, "an error is not stored"


def check_answered(world: Stand, sdk: openai.OpenAI, spoken: Spoken) -> None:
    events = decoded(spoken)
    first = see(sdk, body_of(spoken, spoken.stream))
    assert first.status in ("miss", None)
    failed = error_of(events)
    if failed is not None:
        assert first.error is not None
        assert first.error.message.endswith(failed.error.message)
        assert first.error.code == failed.error.code
        stored = False
    else:
        whole = fold(events)
        assert first.error is None
        assert first.summary == summary(openai_reads_json(completion_json(whole)))
        stored = policy.storable(whole, 2**22).stored
    again = see(sdk, body_of(spoken, spoken.stream))
    other = see(sdk, body_of(spoken, not spoken.stream)) if stored else again
    for later in (again, other):
        assert later.status == ("hit-l1-exact" if stored else first.status)
        assert later.summary == first.summary
        assert later.id == first.id or not stored
    assert len(world.provider.received) == (1 if stored else 2)


def test_a_default_provider_and_a_model_map(own_provider: Provider, start: Start) -> None:
    """The client's model names stay what they are; `reflex_upstream` moves the default provider."""
    own_provider.reply = lambda request: Answer(
        [(ROOT / "anthropic-messages" / "text.sse").read_bytes()],
        headers={"content-type": "text/event-stream"},
    )
    proxy = start(
        reflex_provider="anthropic",
        reflex_models="gpt-4o=claude-sonnet-4-5,gpt-*=claude-haiku-4-5",
        reflex_upstream=own_provider.url + "/v1",
        environ={"ANTHROPIC_API_KEY": "key-of-anthropic"},
    )
    headers, whole = ask(proxy, "hi")
    assert headers["x-reflex-provider"] == "anthropic"
    assert whole.choices[0].finish_reason == "stop"
    ask_stream(proxy, "hi", model="gpt-5-mini")
    ask(proxy, "hi", model="claude-opus-4-7")
    models = [request.json["model"] for request in own_provider.received]
    assert models == ["claude-sonnet-4-5", "claude-haiku-4-5", "claude-opus-4-7"]
    for request in own_provider.received:
        assert request.path == "/v1/messages"
        assert request.headers["x-api-key"] == "key-of-anthropic"
        assert KEY not in f"{request.headers} {request.body!r}"
