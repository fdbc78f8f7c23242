"""What Gemini answers, judged by Google's own SDK."""

from __future__ import annotations

import json
import re
import warnings
from functools import cache
from typing import Any

import httpx
import orjson
import pytest
from google import genai
from google.genai import errors, types
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import ndjson, sse
from reflex_core.codecs import get
from reflex_core.codecs.gemini import CODEC, model_url
from reflex_core.types import Finish, TextDelta
from tests.codecs.gemini_parts import PROTOCOL, STREAM, TARGET, chunk, decoded
from tests.codecs.oracle_contract import (
    ChoiceSummary,
    Summary,
    decode_stream,
    error_of,
    openai_summary,
    target_for,
)
from tests.codecs.samples import check_cut_short, check_garbage, sample, sample_params
from tests.wire import Case, params

FAILED = ("MALFORMED_FUNCTION_CALL", "UNEXPECTED_TOOL_CALL")
NUMBERS = {1: "STOP", 2: "MAX_TOKENS"}
"""The SDK reads enums by name only; where they came as numbers it gets the same answer with names."""
NOT_READ = {
    "array": "the SDK asks for alt=sse and takes the brackets of an array for broken JSON",
    "array-error": "as above",
    "line-separator": "the SDK takes U+2028 for the end of a line",
    "openinference--test-gemini-token-counts-streaming": "an array, see above",
    "prism--use-cache-with-structured-1": "the answer of another method, cachedContents.create",
}
"""What the SDK cannot read as it was meant, and why. What we read is checked apart."""


# --------------------------------------------------------------------------- the SDK's reading


class Canned(httpx.BaseTransport):
    """A provider that gives one answer to everything."""

    status, body = 200, b""

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        kind = {"content-type": "application/json"}
        return httpx.Response(self.status, headers=kind, content=self.body)


CANNED = Canned()


@cache
def sdk() -> genai.Client:
    """One client for all: making one takes as long as ten answers."""
    args = {"transport": CANNED, "verify": False}
    options = types.HttpOptions(base_url="https://g.test", client_args=args)
    return genai.Client(api_key="k", http_options=options)


def sdk_parts(body: bytes, stream: bool, status: int = 200) -> list[types.GenerateContentResponse]:
    CANNED.status, CANNED.body = status, body
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*is not a valid")
        if stream:
            return list(sdk().models.generate_content_stream(model="m", contents="x"))
        return [sdk().models.generate_content(model="m", contents="x")]


class Choice:
    """One candidate, gathered over the parts of an answer."""

    def __init__(self) -> None:
        self.text, self.reasoning = "", ""
        self.calls: list[list[Any]] = []
        self.finish: str | None = None

    def add(self, candidate: types.Candidate) -> None:
        for part in (candidate.content and candidate.content.parts) or ():
            if part.thought:
                self.reasoning += part.text or ""
            else:
                self.text += part.text or ""
            if part.function_call:
                self.call(part.function_call)
        if candidate.finish_reason:
            self.finish = str(candidate.finish_reason.value)

    def call(self, call: types.FunctionCall) -> None:
        if call.name:
            self.calls.append([call.name, call.args or {}, ""])
        for piece in call.partial_args or ():
            assert piece.json_path
            steps = re.findall(r"\['([^']+)'\]|\[(\d+)\]|\.([^.\[]+)", piece.json_path)
            keys = [int(i) if i else quoted or name for quoted, i, name in steps]
            value = piece.string_value
            if value is None:
                value = piece.number_value if piece.number_value is not None else piece.bool_value
            goes_on = self.calls[-1][2] == piece.json_path
            self.calls[-1][1] = put(self.calls[-1][1], keys, value, goes_on)
            self.calls[-1][2] = piece.json_path if piece.will_continue else ""

    def summary(self) -> ChoiceSummary:
        reason = {"STOP": "stop", "MAX_TOKENS": "length"}.get(self.finish or "", "content_filter")
        return ChoiceSummary(
            text=self.text,
            reasoning=self.reasoning,
            tool_calls=tuple((name, arguments) for name, arguments, _ in self.calls),
            finish_reason="tool_calls" if reason == "stop" and self.calls else reason,
        )


def put(node: Any, keys: list[Any], value: Any, goes_on: bool) -> Any:
    """A copy of `node` with `value` at `keys`, or behind what is there."""
    if not keys:
        return node + value if goes_on else value
    first, rest = keys[0], keys[1:]
    if isinstance(first, int):
        held = list(node or [])
        held += [None] * (first + 1 - len(held))
        held[first] = put(held[first], rest, value, goes_on)
        return held
    named = dict(node or {})
    return {**named, first: put(named.get(first), rest, value, goes_on)}


class Reading:
    """What Google's SDK reads, in OpenAI's terms."""

    def __init__(self, parts: list[types.GenerateContentResponse]) -> None:
        found: dict[int, Choice] = {}
        self.usage: tuple[int, int, int] | None = None
        self.blocked: str | None = None
        for part in parts:
            for candidate in part.candidates or ():
                found.setdefault(candidate.index or 0, Choice()).add(candidate)
            if part.prompt_feedback and (reason := part.prompt_feedback.block_reason):
                self.blocked = part.prompt_feedback.block_reason_message
                self.blocked = self.blocked or f"The provider blocked the prompt ({reason.value})."
            counts = part.usage_metadata
            if counts and (counts.prompt_token_count or counts.total_token_count):
                read = (counts.prompt_token_count or 0) + (counts.tool_use_prompt_token_count or 0)
                written = (counts.candidates_token_count or 0) + (counts.thoughts_token_count or 0)
                self.usage = (read, written, counts.total_token_count or 0)
        self.choices = [choice for _, choice in sorted(found.items())]

    def summary(self) -> Summary:
        choices = tuple(choice.summary() for choice in self.choices)
        if self.blocked:
            choices = (ChoiceSummary(refusal=self.blocked, finish_reason="content_filter"),)
        return Summary(choices, self.usage)

    @property
    def finishes(self) -> list[str | None]:
        return [choice.finish for choice in self.choices]


def named(body: bytes) -> bytes:
    """The same answer with the names of its finish reasons, and without other numbered enums."""
    value = json.loads(body)
    for candidate in value["candidates"]:
        candidate["finishReason"] = NUMBERS[candidate["finishReason"]]
    counts = ("promptTokenCount", "candidatesTokenCount", "thoughtsTokenCount", "totalTokenCount")
    usage = value["usageMetadata"]
    return orjson.dumps(value | {"usageMetadata": {k: usage[k] for k in counts if k in usage}})


def is_stream(case: Case) -> bool:
    return case.meta["response_file"].endswith(".sse") or case.body.lstrip()[:1] == b"["


def agrees(body: bytes, stream: bool) -> None:
    events = decoded(body, stream)
    error = error_of(events)
    if error and error.error.status != 502:
        with pytest.raises(errors.APIError) as raised:
            sdk_parts(body, stream)
        assert (error.error.status, error.error.message) == (
            raised.value.code,
            raised.value.message,
        )
        return
    numbered = re.search(rb'"finishReason": ?\d', body) is not None
    seen = Reading(sdk_parts(named(body) if numbered else body, stream))
    failed = [finish for finish in seen.finishes if finish in FAILED]
    if failed:
        assert error is not None
        assert (error.error.status, error.error.code) == (502, failed[0].lower())
    elif None in seen.finishes or not (seen.choices or seen.blocked):
        assert error is not None
        assert error.error.code == "upstream_closed"
    else:
        assert openai_summary(events) == seen.summary()


@pytest.mark.parametrize("case", params(PROTOCOL, errors=False))
def test_recorded(case: Case):
    if case.name in NOT_READ:
        with pytest.raises((errors.UnknownApiResponseError, AssertionError)):
            assert Reading(sdk_parts(case.body, is_stream(case))).choices
        decoded(case.body, is_stream(case))
        return
    agrees(case.body, is_stream(case))


@pytest.mark.parametrize("case", params(PROTOCOL, errors=False, streaming=True))
def test_a_recorded_array_reads_as_the_same_parts_in_events(case: Case):
    """Both framings of one stream give one answer, whichever was recorded."""
    frames = re.split(rb"\r?\n\r?\n", case.body.strip())
    if case.body.lstrip()[:1] == b"[":
        bodies = [orjson.dumps(part) for part in orjson.loads(case.body)]
        other = b"".join(b"data: " + body + b"\r\n\r\n" for body in bodies)
    elif all(frame.startswith(b"data:") for frame in frames):
        other = b"[" + b"\n,\r\n".join(frame[5:] for frame in frames) + b"\n]\n"
    else:
        return  # a bare failure has no other framing
    assert decode_stream(CODEC, STREAM, TARGET, [other]) == decoded(case.body, True)


@pytest.mark.parametrize("case", params(PROTOCOL, errors=True))
def test_recorded_http_error(case: Case):
    error = CODEC.decode_error(case.status, {}, case.body)
    with pytest.raises(errors.APIError) as seen:
        sdk_parts(case.body, False, case.status)
    assert error.message == " ".join((seen.value.message or "").split())
    bad_key = "API_KEY_INVALID" in str(seen.value.details)
    assert error.status == (401 if bad_key else seen.value.code)
    expected = {401: "invalid_api_key", 404: "model_not_found", 429: "rate_limit_exceeded"}
    if "token count" in error.message:
        assert error.code == "context_length_exceeded"
    else:
        assert error.code == expected.get(error.status, (seen.value.status or "").lower())
    delay = re.search(r"'retryDelay': '([\d.]+)s'", str(seen.value.details))
    assert error.retry_after == (float(delay[1]) if delay else None)


@pytest.mark.parametrize("name", sample_params(PROTOCOL, "*.*"))
def test_sample(name: str):
    body, stem = sample(PROTOCOL, name), name.partition(".")[0]
    if stem in NOT_READ:
        with pytest.raises(errors.UnknownApiResponseError):
            sdk_parts(body, True)
        decoded(body, True)
        return
    agrees(body, name.endswith(".sse"))


# --------------------------------------------------------------------------- framing


def test_elements_of_an_array_go_out_one_by_one():
    decoder = CODEC.decoder(STREAM, TARGET)
    body = sample(PROTOCOL, "array.json-stream")
    half = body.index(b'",\n') if b"},\n  {" not in body else body.index(b"},\n  {") + 1
    assert TextDelta("An array") in decoder.feed(body[:half])
    assert TextDelta(' [of] "two" {parts}\\') in decoder.feed(body[half:])
    assert decoder.finish()[0] == Finish("stop")


@pytest.mark.parametrize(
    "name", ["error-mid-stream.sse", "error-in-data.sse", "array-error.json-stream"]
)
def test_a_failure_in_the_middle_is_the_last_event(name: str):
    events = decoded(sample(PROTOCOL, name), True)
    error = error_of(events)
    assert error is not None
    assert (error.error.status, error.error.code) == (503, "unavailable")
    assert error.error.message == "The model is overloaded. Please try again later."
    assert any(isinstance(event, TextDelta) for event in events)


@pytest.mark.parametrize(
    ("module", "body"), [(sse, b"data: " + b"x" * 90), (ndjson, b'[{"a": "' + b"x" * 90)]
)
def test_a_part_too_long_is_given_up(module: Any, body: bytes, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(module, "MAX_FRAME", 50)
    decoder = CODEC.decoder(STREAM, TARGET)
    assert error_of(decoder.feed(body)) is not None
    assert decoder.feed(chunk(finish="STOP")) == []
    assert decoder.finish() == []


@pytest.mark.parametrize(
    "name", ["tools.sse", "error-mid-stream.sse", "array.json-stream", "two-candidates.sse"]
)
def test_a_stream_cut_anywhere_ends_in_one_error(name: str):
    check_cut_short(CODEC, STREAM, TARGET, sample(PROTOCOL, name))


fragments = st.sampled_from(
    [
        chunk(parts=[{"text": "a"}]),
        chunk(parts=[{"functionCall": {"name": "f", "willContinue": True}}]),
        chunk(parts=[{"functionCall": {"partialArgs": [{"jsonPath": "$.a", "stringValue": "b"}]}}]),
        chunk(finish="STOP"),
        chunk(finish="MAX_TOKENS", index=1),
        b'{\n"error": {"code": 429, "message": "m"}\n}\n',
        b'[{"candidates": [{"finishReason": 1}]}',
        b',{"candidates": [{"content": {"parts": [{"text": "b"}]}}]}',
        b"]",
        b"data: {",
        b"\r\n\r\n",
    ]
)


@given(st.lists(fragments | st.binary(max_size=12), max_size=8))
def test_garbage(pieces: list[bytes]):
    check_garbage(CODEC, STREAM, TARGET, b"".join(pieces))


def test_the_codec_is_registered():
    assert get("gemini") is CODEC


# --------------------------------------------------------------------------- where to


VERTEX = "https://aiplatform.googleapis.com/v1"
LOCAL = "https://europe-west4-aiplatform.googleapis.com/v1"
MODEL = "publishers/google/models/gemini-2.5-flash"
PROJECT = {"project": "p", "location": "europe-west4"}


@pytest.mark.parametrize(
    ("vertex", "base", "model", "options", "url"),
    [
        (False, "https://g/v1beta/", "gemini-x", {}, "https://g/v1beta/models/gemini-x"),
        (False, "https://g/v1beta", "models/gemini-x", {}, "https://g/v1beta/models/gemini-x"),
        (False, "https://g/v1beta", "tunedModels/a b", {}, "https://g/v1beta/tunedModels/a%20b"),
        (True, VERTEX, "gemini-2.5-flash", {}, f"{VERTEX}/{MODEL}"),
        (
            True,
            VERTEX,
            "models/gemini-2.5-flash",
            {"project": "p"},
            f"{VERTEX}/projects/p/locations/global/{MODEL}",
        ),
        (
            True,
            VERTEX,
            "gemini-2.5-flash",
            PROJECT,
            f"{LOCAL}/projects/p/locations/europe-west4/{MODEL}",
        ),
        (
            True,
            VERTEX,
            "gemini-2.5-flash",
            {"project": "p", "location": "eu"},
            f"https://aiplatform.eu.rep.googleapis.com/v1/projects/p/locations/eu/{MODEL}",
        ),
        (
            True,
            "https://proxy.test/projects/q/locations/l",
            "gemini-2.5-flash",
            PROJECT,
            f"https://proxy.test/projects/q/locations/l/{MODEL}",
        ),
        (
            True,
            VERTEX,
            "endpoints/123",
            PROJECT,
            f"{LOCAL}/projects/p/locations/europe-west4/endpoints/123",
        ),
    ],
)
def test_the_url_of_a_model(vertex: bool, base: str, model: str, options: dict[str, Any], url: str):
    quirks = {"vertex": True} if vertex else {}
    target = target_for("gemini", base_url=base, model=model, options=options, quirks=quirks)
    assert model_url(target) == url
