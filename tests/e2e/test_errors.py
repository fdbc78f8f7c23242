"""Errors keep their meaning: status, shape and retries, wherever they come from."""

from __future__ import annotations

import gzip
import json
from typing import Any

import httpx
import openai
import pytest

from .asking import AUTH, KEY, ask, ask_stream, body, client, is_stored
from .conftest import Stand
from .provider import Answer, Provider, Received
from .proxy import Proxy
from .speech import echo, text_frames

CLASSES: dict[int, type[openai.APIStatusError]] = {
    400: openai.BadRequestError,
    401: openai.AuthenticationError,
    403: openai.PermissionDeniedError,
    404: openai.NotFoundError,
    409: openai.ConflictError,
    413: openai.APIStatusError,
    422: openai.UnprocessableEntityError,
    429: openai.RateLimitError,
    500: openai.InternalServerError,
    503: openai.InternalServerError,
}


def openai_error(status: int) -> dict[str, Any]:
    return {"error": {"message": "No luck.", "type": "some_type", "param": None, "code": "a_code"}}


def anthropic_error(status: int) -> dict[str, Any]:
    return {"type": "error", "error": {"type": "api_error", "message": "No luck."}}


def gemini_error(status: int) -> dict[str, Any]:
    return {"error": {"code": status, "message": "No luck.", "status": "UNKNOWN"}}


def ollama_error(status: int) -> dict[str, Any]:
    return {"error": "No luck."}


def cohere_error(status: int) -> dict[str, Any]:
    return {"id": "e", "message": "No luck."}


def bedrock_error(status: int) -> dict[str, Any]:
    return {"message": "No luck."}


SHAPES = {
    "openai::gpt-4o": openai_error,
    "groq::llama-3.3-70b-versatile": openai_error,
    "anthropic::claude-sonnet-4-5": anthropic_error,
    "gemini::gemini-2.5-flash": gemini_error,
    "ollama::llama3": ollama_error,
    "cohere::command-a-03-2025": cohere_error,
    "bedrock::us.amazon.nova-2-lite-v1:0": bedrock_error,
}
TRANSLATED = [model for model in SHAPES if not model.startswith(("openai", "groq"))]


# ---------------------------------------------------------------------- what providers say


@pytest.mark.parametrize("model", SHAPES)
def test_statuses(world: Stand, question: str, model: str) -> None:
    """For each provider's own shape: status, class, message, for streams as well."""
    for status, expected in CLASSES.items():
        said = json.dumps(SHAPES[model](status)).encode()
        world.provider.reply = lambda request, status=status, said=said: Answer([said], status)
        for asked in (ask, ask_stream):
            with pytest.raises(expected, match="No luck") as caught:
                asked(world.proxy, f"{question} {status}", model=model)
            assert type(caught.value) is expected
            assert caught.value.status_code == status
            assert set(caught.value.body) == {"message", "type", "param", "code"}  # type: ignore[arg-type]
        assert not is_stored(world.proxy, f"{question} {status}", model=model)


def test_an_overloaded_provider_is_unavailable(world: Stand, question: str) -> None:
    """529 is Anthropic's own; clients know 503."""
    said = {"type": "error", "error": {"type": "overloaded_error", "message": "Overloaded"}}
    world.provider.reply = lambda request: Answer([json.dumps(said).encode()], 529)
    with pytest.raises(openai.InternalServerError, match="Overloaded") as caught:
        ask(world.proxy, question, model="anthropic::claude-sonnet-4-5")
    assert caught.value.status_code == 503


@pytest.mark.parametrize("model", SHAPES)
def test_the_sdk_retries_as_it_would(world: Stand, question: str, model: str) -> None:
    """It tries again when told to, waits as long as told to, and gives up where it should."""
    waits: list[str] = []

    def reply(request: Received) -> Answer:
        if len(world.provider.received) < 3:
            headers = {"retry-after-ms": "7"} if len(world.provider.received) == 1 else {}
            status = 429 if headers else 500
            return Answer([json.dumps(SHAPES[model](status)).encode()], status, headers)
        if "openai" in model or "groq" in model:
            return echo(request)
        return Answer([json.dumps(SHAPES[model](400)).encode()], 400)

    def noted(response: Any) -> None:
        waits.append(response.headers.get("retry-after-ms"))

    world.provider.reply = reply
    with client(world.proxy.base_url, max_retries=2) as sdk:
        sdk._client.event_hooks["response"].append(noted)
        if "openai" in model or "groq" in model:
            answer = sdk.chat.completions.create(**body(question, model=model))
            assert answer.choices[0].message.content == f"You said: {question}"
        else:
            with pytest.raises(openai.BadRequestError):
                sdk.chat.completions.create(**body(question, model=model))
    assert len(world.provider.received) == 3
    assert waits == ["7", None, None]


def test_retry_after_in_seconds(world: Stand, question: str) -> None:
    world.provider.reply = lambda request: Answer([b"{}"], 429, {"retry-after": "20"})
    with pytest.raises(openai.RateLimitError) as caught:
        ask(world.proxy, question, model="anthropic::claude-sonnet-4-5")
    headers = caught.value.response.headers
    assert (headers["retry-after"], headers["retry-after-ms"]) == ("20", "20000")


# ---------------------------------------------------------------------- the way there

REASONS = {
    "refused": (502, "upstream_connect"),
    "nodns": (502, "upstream_dns"),
    "stranger": (502, "upstream_tls"),
    "full": (504, "upstream_timeout"),
}


@pytest.mark.parametrize("where", REASONS)
def test_no_way_to_the_provider(world: Stand, question: str, where: str) -> None:
    status, code = REASONS[where]
    for asked in (ask, ask_stream):
        with pytest.raises(openai.InternalServerError) as caught:
            asked(world.proxy, question, model=f"{where}::some-model")
        assert (caught.value.status_code, caught.value.code) == (status, code)
        assert caught.value.type == "server_error"
    assert not is_stored(world.proxy, question, model=f"{where}::some-model")


@pytest.mark.parametrize("where", REASONS)
def test_no_way_for_other_paths(world: Stand, where: str) -> None:
    """mitmproxy's own connection fails here; its HTML page is not for an OpenAI client."""
    status, _ = REASONS[where]
    with httpx.Client(verify=False, headers=AUTH, timeout=20) as http:
        url = f"{world.proxy.root}/openai/deployments/{where}::some-model/embeddings"
        for _ in range(2):  # also on a connection that has seen a failure
            answer = http.post(url, json={"input": "x"})
            assert answer.status_code == status
            error = answer.json()["error"]
            assert error["message"].startswith("Cannot reach ")
            assert error["type"] == "server_error"


@pytest.mark.parametrize("stream", [False, True])
def test_a_missing_key_is_named(world: Stand, question: str, stream: bool) -> None:
    asked = ask_stream if stream else ask
    with pytest.raises(openai.AuthenticationError, match="NOKEY_API_KEY") as caught:
        asked(world.proxy, question, model="nokey::some-model")
    assert caught.value.code == "missing_api_key"
    with client(world.proxy.base_url) as sdk, pytest.raises(openai.NotFoundError) as unknown:
        sdk.chat.completions.create(**body(question, model="nowhere::some-model"))
    assert unknown.value.code == "model_not_found"
    assert not world.provider.received


# ---------------------------------------------------------------------- odd requests


def deep(levels: int) -> bytes:
    """Nested lists as a tool's parameters; orjson reads 1024 levels and writes 254."""
    nested = b"[" * levels + b"]" * levels
    return (
        b'{"model": "MODEL", "messages": [{"role": "user", "content": "hi"}], "tools": [{"type":'
        b' "function", "function": {"name": "f", "parameters": {"x": ' + nested + b"}}}]}"
    )


ODD: dict[str, tuple[bytes, str | None]] = {
    "no json": (b'{"model": "MODEL", "messages": [', None),
    "empty": (b"", None),
    "list": (b"[]", None),
    "nothing": (b"{}", "model"),
    "model is a number": (b'{"model": 5, "messages": []}', "model"),
    "no messages": (b'{"model": "MODEL"}', "messages"),
    "messages is text": (b'{"model": "MODEL", "messages": "hi"}', "messages"),
    "empty messages": (b'{"model": "MODEL", "messages": []}', "messages"),
    "message is text": (b'{"model": "MODEL", "messages": ["hi"]}', "messages[0]"),
    "unknown role": (
        b'{"model": "MODEL", "messages": [{"role": "boss", "content": "hi"}]}',
        "messages[0].role",
    ),
    "content is a number": (
        b'{"model": "MODEL", "messages": [{"role": "user", "content": 7}]}',
        "messages[0].content",
    ),
    "temperature is text": (
        b'{"model": "MODEL", "messages": [{"role": "user", "content": "hi"}], "temperature": "x"}',
        "temperature",
    ),
    "200 deep": (deep(200), "tools[0].function"),
    "1000 deep": (deep(1000), "tools[0].function"),
    "5000 deep": (deep(5000), None),
    "not utf-8": (b'{"model": "MODEL", "messages": [{"role": "user", "content": "\xff"}]}', None),
}


def post(proxy: Proxy, data: bytes, **headers: str) -> httpx.Response:
    url = f"{proxy.base_url}/chat/completions"
    headers = {**AUTH, "content-type": "application/json", **headers}
    return httpx.post(url, content=data, headers=headers, verify=False, timeout=60)


@pytest.mark.parametrize("kind", ODD)
def test_a_compatible_provider_judges_itself(proxy: Proxy, provider: Provider, kind: str) -> None:
    """It gets what the client sent, byte for byte, but for the stream that is asked of it."""
    data = ODD[kind][0].replace(b"MODEL", b"gpt-4o")
    said = openai_error(400)
    provider.reply = lambda request: Answer([json.dumps(said).encode()], 400)
    for _ in range(2):
        answer = post(proxy, data)
        assert answer.status_code == 400
        assert answer.json() == said
    assert len(provider.received) == 2, "nothing is stored"
    sent = provider.received[0].body
    assert sent == data or (sent[:1] == data[:1] and sent.endswith(data[1:]))
    assert provider.received[0].headers["authorization"] == f"Bearer {KEY}"


@pytest.mark.parametrize(
    "kind", [kind for kind, (_, param) in ODD.items() if param != "model" and param]
)
@pytest.mark.parametrize("model", TRANSLATED)
def test_a_translated_provider_is_not_asked(world: Stand, model: str, kind: str) -> None:
    data, param = ODD[kind]
    answer = post(world.proxy, data.replace(b"MODEL", model.encode()))
    assert answer.status_code == 400
    error = answer.json()["error"]
    assert error["type"] == "invalid_request_error"
    assert error["param"] == param
    assert not world.provider.received


def test_twenty_megabytes(proxy: Proxy, provider: Provider, world: Stand, question: str) -> None:
    text = question + "x" * 20 * 2**20
    frames = text_frames("That is long.")
    provider.reply = lambda request: Answer(frames, headers={"content-type": "text/event-stream"})
    for _ in range(2):
        assert ask(proxy, text)[1].choices[0].message.content == "That is long."
    assert len(provider.received) == 1
    assert len(provider.received[0].body) > 20 * 2**20
    world.provider.reply = lambda request: Answer([b'{"message": "too large"}'], 413)
    with pytest.raises(openai.APIStatusError, match="too large") as caught:
        ask(world.proxy, text, model="bedrock::us.amazon.nova-2-lite-v1:0")
    assert caught.value.status_code == 413


def test_compressed_requests(proxy: Proxy, provider: Provider, question: str) -> None:
    data = json.dumps(body(question)).encode()
    answer = post(proxy, gzip.compress(data), **{"content-encoding": "gzip"})
    assert answer.json()["choices"][0]["message"]["content"] == f"You said: {question}"
    answer = post(proxy, b"not gzip", **{"content-encoding": "gzip"})
    assert answer.status_code == 400
    assert answer.json()["error"]["type"] == "invalid_request_error"
    assert is_stored(proxy, question)
