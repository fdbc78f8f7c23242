from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import codecs, inbound, route
from reflex_core.app import App
from reflex_core.exchange import Exchange
from reflex_core.replay.recorded import (
    REASONS,
    SCRUBBED,
    Asked,
    Reader,
    Recorded,
    Skipped,
    Skips,
    storing_problem,
)
from tests import wire
from tests.e2e.speech import completion, text_frames, tool_frames

from .recordings import SECRET, asked, body, config, recorded, streamed, with_header


def reason(one: Recorded, **options: Any) -> str:
    found = Reader(config(**options), SECRET).read(one)
    assert isinstance(found, Skipped), found
    return found.reason


# ---------------------------------------------------------------------- what is used


def test_keys_are_those_of_the_live_request() -> None:
    """Else nothing that is warmed would ever be found."""
    settings = config(models=["gpt-4o=groq::llama-3.3-70b-versatile"])
    app = App(settings)
    one = recorded(body("hi", "be brief", temperature=1, tools=[]))
    live = app.prepare(one.request_body or b"", one.request_headers)
    found = Reader(settings, app.storage.secret).read(one)
    assert isinstance(found, Asked)
    assert live is not None
    assert found.keys == live.keys  # type: ignore[union-attr]
    assert found.target == live.target  # type: ignore[union-attr]


def test_json_and_stream_give_the_same_answer() -> None:
    whole, stream = asked(recorded()), asked(streamed("Hel", "lo."))
    assert whole.completion.choices[0].content == "Hello."
    assert stream.completion.choices == whole.completion.choices
    assert stream.completion.usage == whole.completion.usage
    assert whole.completion.id == "chatcmpl-upstream"
    assert whole.decision.stored
    assert storing_problem(whole) is None


def test_tool_calls() -> None:
    frames = b"".join(tool_frames("weather", '{"city"', ': "Bern"}'))
    found = asked(streamed(response_body=frames))
    (call,) = found.completion.choices[0].tool_calls
    assert (call.name, json.loads(call.arguments)) == ("weather", {"city": "Bern"})
    assert found.decision.exact_only


def test_the_form_follows_the_answer_not_the_request() -> None:
    """A client that asks for a stream may have been sent JSON, and the other way round."""
    stream = b"".join(text_frames("Hello."))
    assert asked(recorded(response_body=stream)).completion.choices[0].content == "Hello."
    whole = recorded().response_body
    assert asked(streamed(response_body=whole)).completion.choices[0].content == "Hello."


def test_azure_deployment_is_the_model() -> None:
    no_model = {"messages": body()["messages"]}
    found = asked(recorded(no_model, deployment="my-gpt"))
    assert found.request.model == "my-gpt"


def test_other_clients_and_namespaces_have_other_keys() -> None:
    mine = asked(recorded()).keys
    other = asked(recorded(request_headers={"authorization": "Bearer sk-two"})).keys
    named = {"authorization": "Bearer sk-one", "x-reflex-namespace": "team"}
    apart = asked(recorded(request_headers=named)).keys
    assert len({mine.exact, other.exact, apart.exact}) == 3
    assert len({mine.tenant, other.tenant, apart.tenant}) == 3
    shared = {"shared_namespaces": ["ci"], "namespace": "ci"}
    one = asked(recorded(), **shared).keys
    two = asked(recorded(request_headers={"authorization": "Bearer sk-two"}), **shared).keys
    assert one == two


# ---------------------------------------------------------------------- who answered


@pytest.mark.parametrize(
    "noted",
    [
        {"response_headers": {"x-reflex-provider": "anthropic", "x-reflex-model": "claude-x"}},
        {"note": {"provider": "anthropic", "model": "claude-x"}},
    ],
)
def test_recorded_through_reflex(noted: dict[str, Any]) -> None:
    """A fallback's answer is stored as that provider's, also where this config asks another."""
    found = asked(recorded(**noted))
    assert (found.target.provider.name, found.target.model) == ("anthropic", "claude-x")
    assert found.elsewhere
    same = asked(recorded(**noted), models=["gpt-4o=anthropic::claude-x"])
    assert same.keys == found.keys
    assert not same.elsewhere


def test_sent_to_a_compatible_host() -> None:
    url = "https://api.groq.com/openai/v1/chat/completions"
    found = asked(recorded(url=url, kind=None))
    assert found.target.provider.name == "groq"
    assert asked(recorded(), models=["gpt-4o=groq::gpt-4o"]).keys == found.keys
    assert reason(recorded(url=url.replace("https", "http"), kind=None)) == "other-host"
    own = {"upstream": "http://localhost:9/v1", "provider": "groq"}
    found = asked(recorded(url="http://localhost:9/v1/chat/completions", kind=None), **own)
    assert found.target.provider.name == "groq"


# ---------------------------------------------------------------------- what is not


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"kind": "other", "url": "https://api.openai.com/v1/embeddings"}, "other-path"),
        ({"kind": None, "url": "https://example.com/v1/chat/completions"}, "other-host"),
        ({"kind": None, "url": "https://["}, "other-host"),
        ({"kind": None, "url": "https://api.anthropic.com/v1/messages"}, "other-protocol"),
        ({"kind": None, "url": "https://h/v1beta/m:generateContent?k=1"}, "other-protocol"),
        ({"status": None, "response_body": None}, "no-answer"),
        ({"response_body": None}, "no-body"),
        ({"response_body": b""}, "no-body"),
        ({"request_body": None}, "no-body"),
        ({"broken": True}, "bad-encoding"),
        ({"status": 429}, "error-status"),
        ({"status": 302}, "bad-answer"),
        ({"request_body": b"{"}, "bad-request"),
        ({"request_body": b'{"model": "nobody::x"}'}, "unknown-provider"),
        ({"note": {"provider": "nobody", "model": "x"}}, "unknown-provider"),
        ({"response_body": b"<html>"}, "bad-answer"),
        ({"response_body": b'{"error": {"message": "no"}}'}, "bad-answer"),
        ({"response_body": b"".join(text_frames("Hel")[:-3])}, "incomplete"),
        ({"request_headers": {"authorization": f"Bearer {SCRUBBED}"}}, "scrubbed"),
        ({"request_headers": {"api-key": SCRUBBED}}, "scrubbed"),
    ],
)
def test_skipped(fields: dict[str, Any], expected: str) -> None:
    assert reason(recorded(**fields)) == expected
    assert expected in REASONS


def test_a_stream_that_failed_is_no_answer() -> None:
    frames = b"".join(text_frames("Hel")[:2]) + b'data: {"error": {"message": "gone"}}\n\n'
    assert reason(streamed(response_body=frames)) == "bad-answer"


def test_scrubbed_is_of_use_in_a_shared_namespace() -> None:
    hidden = recorded(request_headers={"authorization": f"Bearer {SCRUBBED}"})
    options = {"namespace": "ci", "shared_namespaces": ["ci"]}
    assert asked(hidden, **options).keys == asked(recorded(), **options).keys


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        (with_header(recorded(), x_reflex_status="hit-l3-verified"), "similar-hit"),
        (with_header(recorded(), x_reflex_status="hit-l2-semantic"), "similar-hit"),
        (with_header(recorded(), x_reflex_status="stale"), "stale"),
        (with_header(recorded(), x_reflex_status="hit-l1-exact"), None),
        (with_header(recorded(), x_reflex_status="coalesced"), None),
        (recorded(request_headers={"cache-control": "no-store"}), "no-store"),
        (recorded(request_headers={"cache-control": "no-cache"}), None),
        (
            recorded(
                response_body=json.dumps(completion({"content": "x"}, "content_filter")).encode()
            ),
            "content-filter",
        ),
    ],
)
def test_not_stored(one: Recorded, expected: str | None) -> None:
    assert storing_problem(asked(one)) == expected
    assert expected is None or expected in REASONS


@given(
    st.binary() | st.just(b"".join(text_frames("Hello."))),
    st.binary() | st.just(json.dumps(body()).encode()),
    st.integers(0, 2000),
    st.sampled_from(["text/event-stream", "application/json", ""]),
)
def test_any_bytes_are_read_or_skipped(answer: bytes, request: bytes, cut: int, kind: str) -> None:
    one = recorded(
        request_body=request,
        response_body=answer[: max(1, len(answer) - cut % (len(answer) + 1))],
        response_headers={"content-type": kind},
    )
    found = Reader(config(), SECRET).read(one)
    assert isinstance(found, Asked) or found.reason in REASONS


def test_skips_are_counted_with_their_details() -> None:
    skips = Skips({"repeat": 1})
    for status in (429, 500, 429):
        skips.note(Skipped("error-status", str(status)))
    skips.note(Skipped("bad-answer", "evil\x1b" + "x" * 900))
    assert skips == {"repeat": 1, "error-status": 3, "bad-answer": 1}
    reason, count, text = skips.rows()[0]
    assert (reason, count) == ("error-status", 3)
    assert text == "the answer is an error (429: 2, 500: 1)"
    assert all(text.isprintable() and len(text) < 200 for *_, text in skips.rows())


def test_seconds() -> None:
    assert recorded().seconds == 2
    assert replace(recorded(), ended=1.0).seconds == 0
    assert replace(recorded(), ended=None).seconds is None


@pytest.mark.parametrize(
    "case",
    wire.params(
        *("openai-chat", "groq-chat", "deepseek-chat", "mistral-chat", "openrouter-chat"),
        keep=lambda case: case.meta["request_file"] is not None,
    ),
)
def test_real_traffic(case: wire.Case) -> None:
    """Of several hosts, as a client of theirs would have recorded it: what the codec reads, we read."""
    one = recorded(
        case.request,
        status=case.status,
        response_headers={
            "content-type": "text/event-stream" if case.streaming else "application/json"
        },
        response_body=case.body,
    )
    found = Reader(config(), SECRET).read(one)
    request = inbound.parse(one.request_body or b"")
    target = route.target(request.model, config(), {})
    codec = codecs.get("openai-chat")
    if case.status >= 400:
        assert found == Skipped("error-status", str(case.status))
        return
    exchange = Exchange("", 0, target.model)
    if case.streaming:
        exchange.attach(codec.decoder(request, target))
        for piece in wire.cuts(case.body, seed=1):
            exchange.feed(piece)
        exchange.finish()
    else:
        exchange.take(codec.decode_json(request, target, case.body))
    if exchange.error is None and exchange.completion().complete:
        assert isinstance(found, Asked)
        assert found.completion == exchange.completion()
    else:
        assert isinstance(found, Skipped)
