from __future__ import annotations

from typing import Any

import openai
import orjson
import pytest

from reflex_core.catalog import PROVIDERS
from reflex_core.codecs.openai_chat import CODEC
from reflex_core.render import completion_json
from reflex_core.types import (
    ChatRequest,
    Event,
    Extra,
    Ping,
    ProviderRequest,
    Start,
    Target,
    TextDelta,
    ToolCallStart,
    UsageEvent,
)
from tests.codecs.openai_samples import NAMES, as_summary, sample
from tests.codecs.oracle_contract import (
    accumulate,
    chat_request,
    check_events,
    error_of,
    fold,
    openai_chunks,
    openai_client,
    openai_reads_json,
    openai_reads_sse,
    openai_summary,
    rendered,
    same_however_cut,
    summary,
    target_for,
)


def decoded(name: str) -> list[Event]:
    body, expected = sample(name)
    target = target_for("openai-chat", quirks=expected.get("quirks", {}))
    if name.endswith(".sse"):
        return same_however_cut(CODEC, chat_request(), target, body)
    events = CODEC.decode_json(chat_request(stream=False), target, body)
    check_events(events)
    return events


# --------------------------------------------------------------------------- samples


@pytest.mark.parametrize("name", NAMES)
def test_sample(name: str) -> None:
    _, expected = sample(name)
    events = decoded(name)
    failed = error_of(events)
    if "error" in expected:
        assert failed is not None
        told = {"status": failed.error.status, **failed.error.to_dict()["error"]}
        assert {key: told[key] for key in expected["error"]} == expected["error"]
        with pytest.raises(openai.APIError):
            openai_chunks(rendered(events))
    else:
        assert failed is None
        assert openai_summary(events) == as_summary(expected)


@pytest.mark.parametrize("name", [name for name in NAMES if "sdk" not in sample(name)[1]])
def test_sample_agrees_with_sdk(name: str) -> None:
    """What the openai SDK makes of the host's own bytes; `sdk` in a sample says why it can't."""
    body, expected = sample(name)
    if "error" in expected:
        with pytest.raises(openai.APIError) as caught:
            openai_chunks(body)
        assert caught.value.message == expected["error"]["message"]
    elif name.endswith(".sse"):
        assert accumulate(openai_chunks(body)) == as_summary(expected)
    else:
        assert summary(openai_reads_json(body)) == as_summary(expected)


def test_start_comes_once_with_what_the_chunks_say() -> None:
    starts = [event for event in decoded("text.sse") if isinstance(event, Start)]
    assert starts == [
        Start("chatcmpl-1", "gpt-4o-2024-08-06", 1760000000, "fp_a1", "default"),
    ]


def test_start_waits_for_the_first_real_chunk_of_azure() -> None:
    first, second, *_ = [e for e in decoded("azure-filter.sse") if not isinstance(e, Extra)]
    assert first == Start("chatcmpl-1", "gpt-4o-2024-08-06", 1760000000, "fp_z")
    assert second == TextDelta("Half an ans")


def test_logprobs_go_with_their_text() -> None:
    choice = fold(decoded("logprobs.sse")).choices[0]
    assert choice.logprobs is not None
    assert [token["token"] for token in choice.logprobs["content"]] == ["Yes", "!"]
    refused = fold(decoded("refusal.sse")).choices[0]
    assert refused.logprobs is not None
    assert len(refused.logprobs["refusal"]) == 3
    assert refused.content is None


def test_padding_is_dropped() -> None:
    for name in ("text.sse", "content-parts.sse"):
        body = rendered(decoded(name))
        assert b"obfuscation" not in body
        assert b'"p":' not in body


def test_comments_become_pings() -> None:
    pings = [event for event in decoded("reasoning-twice.sse") if isinstance(event, Ping)]
    assert pings == [Ping("OPENROUTER PROCESSING")] * 3


def test_unknown_fields_reach_the_client_once() -> None:
    done = fold(decoded("everything-on-every-chunk.sse"))
    assert done.extra["citations"] == ["https://a.test/1", "https://b.test/2"]
    assert len(done.extra["search_results"]) == 2
    twice = fold(decoded("reasoning-twice.sse"))
    assert twice.extra == {"provider": "Lab"}
    assert twice.choices[0].extra["native_finish_reason"] == "stop"
    assert [item["text"] for item in twice.choices[0].extra["reasoning_details"]] == [
        "Hm",
        ", yes.",
        "",
    ]
    groq = fold(decoded("usage-beside.sse"))
    assert groq.choices[0].extra["channel"] == "analysis"
    assert len(groq.choices[0].extra["executed_tools"]) == 2
    assert groq.extra["x_groq"]["seed"] == 3


def test_unknown_fields_of_a_whole_answer() -> None:
    done = fold(decoded("everything.json"))
    assert done.extra == {"citations": ["https://a.test/1", "https://b.test/2"]}
    assert done.choices[0].extra["audio"]["transcript"] == "Read"
    assert done.choices[0].annotations[0]["url_citation"]["title"] == "T"
    assert done.usage is not None
    assert done.usage["completion_tokens_details"] == {"reasoning_tokens": 2}
    assert "prompt_tokens_details" not in done.usage


def test_audio_pieces_join() -> None:
    expected = {
        "id": "audio_1",
        "transcript": "Hello",
        "data": "AAAAAAAA",
        "expires_at": 1760003600,
    }
    events = decoded("audio.sse")
    assert fold(events).choices[0].extra["audio"] == expected
    live = openai_reads_sse(rendered(events)).choices[0].message.to_dict()
    assert live["audio"] == expected


def test_annotations_add_up() -> None:
    urls = [
        a["url_citation"]["url"] for a in fold(decoded("annotations.sse")).choices[0].annotations
    ]
    assert urls == ["https://a.test/1", "https://b.test/2"]


def test_cached_tokens_in_openais_place() -> None:
    used = fold(decoded("reasoning-content.sse")).usage
    assert used is not None
    assert used["prompt_tokens_details"] == {"cached_tokens": 8}
    assert used["prompt_cache_hit_tokens"] == 8


def test_legacy_functions() -> None:
    for name in ("function-call.sse", "function-call.json"):
        events = decoded(name)
        whole = openai_reads_json(completion_json(fold(events), legacy_functions=True)).choices[0]
        assert whole.finish_reason == "function_call"
        assert whole.message.function_call is not None


def test_ids_are_made_where_the_host_sends_none() -> None:
    calls = [e for e in decoded("calls-without-id.sse") if isinstance(e, ToolCallStart)]
    assert len({call.id for call in calls}) == 2
    assert all(call.id.startswith("call_") for call in calls)
    again = [e for e in decoded("calls-without-id.sse") if isinstance(e, ToolCallStart)]
    assert again == calls


def test_usage_comes_when_it_changes() -> None:
    used = [e for e in decoded("everything-on-every-chunk.sse") if isinstance(e, UsageEvent)]
    assert [event.usage["completion_tokens"] for event in used] == [1, 2, 3]


# --------------------------------------------------------------------------- requests


def sent(request: ChatRequest, provider: str = "openai", **target: Any) -> ProviderRequest:
    row = PROVIDERS[provider]
    values: dict[str, Any] = {"base_url": row.base_url, "api_key": "k", "options": {}, **target}
    return CODEC.encode(request, Target(row, values.pop("model", request.model), **values))


def raw_request(raw: bytes) -> ChatRequest:
    body = orjson.loads(raw)
    return ChatRequest(raw, body, body["model"], body.get("stream") is True)


def test_body_is_untouched_when_nothing_must_change() -> None:
    raw = b'{ "model" : "gpt-4o","seed": 123456789012345678901234567890,\n "messages":[ ] }'
    out = sent(raw_request(raw))
    assert out.body == raw
    assert out.method == "POST"
    assert out.url == "https://api.openai.com/v1/chat/completions"
    assert dict(out.headers) == {
        "content-type": "application/json",
        "accept": "application/json",
        "authorization": "Bearer k",
    }
    assert out.dropped == ()


def test_only_what_must_change_is_changed() -> None:
    deep = b"[" * 300 + b"]" * 300
    raw = b'{"x":%b,"model":"a", "seed": 123456789012345678901234567890}' % deep
    out = sent(raw_request(raw), model="b")
    assert out.body == raw.replace(b'"a"', b'"b"').replace(b", ", b",")


@pytest.mark.parametrize("options", ["", ',"stream_options":null', ',"stream_options":{"x":1}'])
def test_usage_is_always_asked_of_a_stream(options: str) -> None:
    raw = f'{{"model":"m","stream":true,"messages":[]{options}}}'.encode()
    out = sent(raw_request(raw))
    asked = orjson.loads(out.body)["stream_options"]
    assert asked.pop("include_usage") is True
    assert asked == ({"x": 1} if "x" in options else {})
    assert dict(out.headers)["accept"] == "text/event-stream"


def test_usage_already_asked_for_changes_nothing() -> None:
    request = chat_request(include_usage=True)
    assert sent(request).body == request.raw


def test_mistral() -> None:
    messages = [
        {"role": "developer", "content": "Be brief"},
        {"role": "assistant", "content": "x", "reasoning_content": "y"},
        {"role": "user", "content": "Hi"},
    ]
    request = chat_request(
        include_usage=True,
        model="mistral-small",
        messages=messages,
        max_completion_tokens=5,
        seed=7,
        user="u",
        store=None,
        temperature=0.5,
    )
    out = sent(request, "mistral")
    assert orjson.loads(out.body) == {
        "model": "mistral-small",
        "stream": True,
        "messages": [
            {"role": "system", "content": "Be brief"},
            {"role": "assistant", "content": "x"},
            {"role": "user", "content": "Hi"},
        ],
        "max_tokens": 5,
        "random_seed": 7,
        "temperature": 0.5,
    }
    assert out.dropped == ("user",)


def test_rename_does_not_override_what_the_client_said() -> None:
    request = chat_request(stream=False, max_completion_tokens=5, max_tokens=3)
    assert orjson.loads(sent(request, "deepseek").body)["max_tokens"] == 3


@pytest.mark.parametrize("provider", ["groq", "openrouter", "cerebras"])
def test_reasoning_goes_back_under_the_hosts_name(provider: str) -> None:
    messages = [{"role": "assistant", "content": "x", "reasoning_content": "why"}]
    body = orjson.loads(sent(chat_request(messages=messages), provider).body)
    assert body["messages"] == [{"role": "assistant", "content": "x", "reasoning": "why"}]


def test_messages_too_deep_to_be_written_stay_as_they_are() -> None:
    deep = b"[" * 300 + b"]" * 300
    raw = b'{"model":"m","messages":[{"role":"developer","content":%b}]}' % deep
    assert sent(raw_request(raw), "deepseek").body == raw


def test_strange_bodies_go_through() -> None:
    for raw in (
        b'{"model":"m","messages":"no list"}',
        b'{"model":"m","messages":[1,null]}',
        b'{"model":"m","stream_options":3,"messages":[]}',
    ):
        assert sent(raw_request(raw), "openrouter").body == raw


AZURE = "https://me.openai.azure.com"


@pytest.mark.parametrize(
    ("base", "options", "path", "in_body"),
    [
        ("", {}, "/openai/deployments/d%2F1/chat/completions?api-version=2024-10-21", "gpt-4o"),
        (
            "/openai",
            {"api_version": "2025-04-01-preview"},
            "/openai/deployments/d%2F1/chat/completions?api-version=2025-04-01-preview",
            "gpt-4o",
        ),
        (
            "/openai/deployments/other?api-version=2024-06-01",
            {"api_version": "2099"},
            "/openai/deployments/other/chat/completions?api-version=2024-06-01",
            "gpt-4o",
        ),
        ("/openai/v1/", {}, "/openai/v1/chat/completions", "d/1"),
        (
            "/openai/v1",
            {"api_version": "preview"},
            "/openai/v1/chat/completions?api-version=preview",
            "d/1",
        ),
        ("/models", {}, "/models/chat/completions?api-version=2024-05-01-preview", "d/1"),
    ],
)
def test_azure_addresses(base: str, options: dict[str, str], path: str, in_body: str) -> None:
    request = chat_request(stream=False, model="gpt-4o")
    out = sent(request, "azure", model="d/1", base_url=AZURE + base, options=options)
    assert out.url == AZURE + path.replace("/openai/openai", "/openai")
    assert orjson.loads(out.body)["model"] == in_body
    assert ("api-key", "k") in out.headers


def test_azure_takes_an_entra_token() -> None:
    out = sent(chat_request(), "azure", base_url=AZURE, api_key="eyJhbGciOi")
    assert ("authorization", "Bearer eyJhbGciOi") in out.headers
    assert all(name != "api-key" for name, _ in out.headers)


@pytest.mark.parametrize(
    ("version", "asks"), [("2024-02-01", False), ("2024-09-01-preview", True), ("preview", True)]
)
def test_old_azure_versions_know_no_stream_options(version: str, asks: bool) -> None:
    request = chat_request(include_usage=True)
    out = sent(request, "azure", base_url=AZURE, options={"api_version": version})
    assert ("stream_options" in orjson.loads(out.body)) == asks


def test_a_key_goes_where_the_row_says_and_nowhere_without_one() -> None:
    headers = dict(sent(chat_request(), "llamacpp", api_key=None).headers)
    assert "authorization" not in headers
    row = target_for("openai-chat", auth="x-api-key", headers=(("x-team", "me"),))
    headers = dict(CODEC.encode(chat_request(), row).headers)
    assert (headers["x-api-key"], headers["x-team"]) == ("key-of-provider", "me")
    none = target_for("openai-chat", auth="none")
    assert "key-of-provider" not in str(CODEC.encode(chat_request(), none).headers)


# --------------------------------------------------------------------------- errors


def raised(status: int, body: bytes) -> openai.APIStatusError:
    with openai_client(body, "application/json", status) as client:
        with pytest.raises(openai.APIStatusError) as caught:
            client.chat.completions.create(model="m", messages=[])
        return caught.value


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, openai.BadRequestError),
        (401, openai.AuthenticationError),
        (403, openai.PermissionDeniedError),
        (404, openai.NotFoundError),
        (409, openai.ConflictError),
        (422, openai.UnprocessableEntityError),
        (429, openai.RateLimitError),
        (503, openai.InternalServerError),
        (529, openai.InternalServerError),
    ],
)
def test_the_sdk_raises_the_class_of_the_status(status: int, kind: type[Exception]) -> None:
    error = CODEC.decode_error(status, {"retry-after": "2"}, b"<html>oops</html>")
    assert error.status == status
    assert error.retry_after == 2
    caught = raised(status, error.to_json())
    assert type(caught) is kind
    assert "oops" in caught.message
