"""What is sent to Gemini, checked against the request types of Google's own SDK."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import orjson
import pytest
from google.genai import types

from reflex_core.codecs.gemini import CODEC
from reflex_core.codecs.gemini_request import NO_SIGNATURE, generation
from reflex_core.errors import BadRequest
from reflex_core.types import ProviderRequest, Target
from tests.codecs.gemini_parts import PROTOCOL, TARGET
from tests.codecs.oracle_contract import chat_request, target_for
from tests.codecs.samples import recorded_requests
from tests.wire import Case


def encoded(target: Target = TARGET, stream: bool = False, **body: Any) -> ProviderRequest:
    """The request, once every field of it is one that Google's SDK knows."""
    request = CODEC.encode(chat_request(stream, **body), target)
    sent = orjson.loads(request.body)
    for content in sent["contents"]:
        types.Content.model_validate(content)
    for tool in sent.get("tools", []):
        types.Tool.model_validate(tool)
    types.Content.model_validate(sent.get("systemInstruction", {}))
    types.ToolConfig.model_validate(sent.get("toolConfig", {}))
    types.GenerationConfig.model_validate(sent.get("generationConfig", {}))
    known = {"contents", "systemInstruction", "tools", "toolConfig", "generationConfig"}
    assert sent.keys() <= known
    return request


def sent(target: Target = TARGET, **body: Any) -> dict[str, Any]:
    return orjson.loads(encoded(target, **body).body)


def on(model: str) -> Target:
    return target_for("gemini", model=model, base_url="https://g.test/v1beta")


def test_the_plain_request():
    target = target_for("gemini", auth="x-goog-api-key", model="gemini-2.5-flash", api_key="k")
    request = encoded(target)
    assert dict(request.headers) == {"content-type": "application/json", "x-goog-api-key": "k"}
    assert (request.method, request.dropped) == ("POST", ())
    assert orjson.loads(request.body) == {"contents": [{"role": "user", "parts": [{"text": "Hi"}]}]}
    assert request.url == "https://provider.test/v1/models/gemini-2.5-flash:generateContent"
    stream = encoded(target, stream=True).url
    assert stream == request.url.replace(":generate", ":streamGenerate") + "?alt=sse"


# --------------------------------------------------------------------------- parameters


SCHEMA = {"type": "object", "properties": {"a": {"const": "x"}}, "required": ["a"]}
RESHAPED = {
    "type": "object",
    "properties": {"a": {"type": "string", "enum": ["x"]}},
    "required": ["a"],
}


def answer_format(**spec: Any) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "n", **spec}}}


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"max_tokens": 5}, {"maxOutputTokens": 5}),
        ({"max_tokens": 5, "max_completion_tokens": 6}, {"maxOutputTokens": 6}),
        (
            {"temperature": 0, "top_p": 0.5, "top_k": 7},
            {"temperature": 0, "topP": 0.5, "topK": 7},
        ),
        ({"stop": "X", "seed": 0}, {"stopSequences": ["X"], "seed": 0}),
        ({"seed": 2**31 + 5}, {"seed": 5}),
        ({"n": 2}, {"candidateCount": 2}),
        ({"n": 1}, None),
        (
            {"presence_penalty": 1, "frequency_penalty": -1},
            {"presencePenalty": 1, "frequencyPenalty": -1},
        ),
        ({"logprobs": True}, {"responseLogprobs": True}),
        ({"logprobs": True, "top_logprobs": 3}, {"responseLogprobs": True, "logprobs": 3}),
        ({"top_logprobs": 3}, None),
        ({"response_format": {"type": "text"}}, None),
        (
            {"response_format": {"type": "json_object"}},
            {"responseMimeType": "application/json"},
        ),
        (
            answer_format(schema=SCHEMA, description="D", strict=True),
            {
                "responseMimeType": "application/json",
                "responseJsonSchema": {**RESHAPED, "description": "D"},
            },
        ),
        (
            answer_format(schema=SCHEMA),
            {"responseMimeType": "application/json", "responseJsonSchema": RESHAPED},
        ),
        (answer_format(), {"responseMimeType": "application/json"}),
    ],
)
def test_parameters(given: dict[str, Any], expected: dict[str, Any] | None):
    assert sent(**given).get("generationConfig") == expected


@pytest.mark.parametrize(
    ("model", "effort", "expected"),
    [
        ("gemini-2.5-flash", "none", {"thinkingBudget": 0}),
        ("gemini-2.5-pro", "none", {"thinkingBudget": 128}),
        ("gemini-2.5-flash", "minimal", {"thinkingBudget": 1024, "includeThoughts": True}),
        ("gemini-2.5-flash", "medium", {"thinkingBudget": 8192, "includeThoughts": True}),
        ("models/gemini-2.5-pro", "max", {"thinkingBudget": 24576, "includeThoughts": True}),
        ("gemini-3-flash-preview", "none", {"thinkingLevel": "MINIMAL"}),
        ("gemini-3.1-pro-preview", "none", {"thinkingLevel": "LOW"}),
        ("gemini-3.1-pro-preview", "minimal", {"thinkingLevel": "LOW", "includeThoughts": True}),
        ("gemini-3.1-pro-preview", "medium", {"thinkingLevel": "MEDIUM", "includeThoughts": True}),
        ("gemini-3-pro-preview", "medium", {"thinkingLevel": "HIGH", "includeThoughts": True}),
        ("gemini-flash-latest", "xhigh", {"thinkingLevel": "HIGH", "includeThoughts": True}),
    ],
)
def test_thinking(model: str, effort: str, expected: dict[str, Any]):
    body = sent(on(model), reasoning_effort=effort)
    assert body["generationConfig"] == {"thinkingConfig": expected}


@pytest.mark.parametrize("model", ["gemini-2.5-pro", "gemini-3-flash-preview"])
def test_thinking_that_cannot_be_turned_off_is_named(model: str):
    assert encoded(on(model), reasoning_effort="none").dropped == ("reasoning_effort=none",)
    assert encoded(on("gemini-2.5-flash"), reasoning_effort="none").dropped == ()


@pytest.mark.parametrize(
    ("model", "expected"),
    [
        ("gemini-2.0-flash-001", 2),
        ("models/gemini-3.5-flash", 3),
        ("gemini-pro-latest", 3),
        ("gemma-3-27b-it", 0),
        ("endpoints/123", 0),
    ],
)
def test_the_generation_of_a_model(model: str, expected: int):
    assert generation(model) == expected


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def test_tools():
    body = sent(tools=[tool("f", description="D", parameters=SCHEMA), tool("g")])
    assert body["tools"] == [
        {
            "functionDeclarations": [
                {"name": "f", "description": "D", "parametersJsonSchema": RESHAPED},
                {"name": "g", "description": ""},
            ]
        }
    ]
    assert "toolConfig" not in body


@pytest.mark.parametrize(
    ("choice", "expected"),
    [
        ("auto", {"mode": "AUTO"}),
        ("none", {"mode": "NONE"}),
        ("required", {"mode": "ANY"}),
        (
            {"type": "function", "function": {"name": "g"}},
            {"mode": "ANY", "allowedFunctionNames": ["g"]},
        ),
    ],
)
def test_tool_choice(choice: Any, expected: dict[str, Any]):
    body = sent(tools=[tool("f"), tool("g")], tool_choice=choice)
    assert body["toolConfig"] == {"functionCallingConfig": expected}


def test_legacy_functions_are_tools():
    body = sent(functions=[{"name": "f"}], function_call={"name": "f"})
    assert body["tools"][0]["functionDeclarations"][0]["name"] == "f"
    assert body["toolConfig"]["functionCallingConfig"]["allowedFunctionNames"] == ["f"]


def test_web_search_is_googles():
    assert sent(web_search_options={})["tools"] == [{"googleSearch": {}}]
    both = sent(web_search_options={"search_context_size": "low"}, tools=[tool("f")])
    assert [list(entry) for entry in both["tools"]] == [["functionDeclarations"], ["googleSearch"]]


def test_what_is_dropped_is_named():
    image = {"url": "https://x.test/a.png", "detail": "low"}
    request = encoded(
        on("gemini-2.0-flash"),
        messages=[{"role": "user", "content": [{"type": "image_url", "image_url": image}]}],
        user="u",
        metadata={"a": "b"},
        parallel_tool_calls=False,
        tools=[tool("f", strict=True)],
        reasoning_effort="low",
        prediction={"type": "content", "content": "x"},
    )
    assert request.dropped == (
        "user",
        "metadata",
        "prediction",
        "image_url.detail",
        "parallel_tool_calls",
        "tools.strict",
        "reasoning_effort",
    )


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"logit_bias": {"1": 5}}, "logit_bias"),
        ({"modalities": ["text", "audio"]}, "modalities"),
        ({"tool_choice": "required"}, "tool_choice"),
        (
            {
                "messages": [
                    {"role": "user", "content": [{"type": "file", "file": {"file_id": "file-1"}}]}
                ]
            },
            "messages[0].content",
        ),
        (
            {"messages": [{"role": "tool", "tool_call_id": "c9", "content": "x"}]},
            "messages[0].tool_call_id",
        ),
    ],
)
def test_what_would_change_the_meaning_is_refused(body: dict[str, Any], param: str):
    with pytest.raises(BadRequest) as seen:
        CODEC.encode(chat_request(False, **body), TARGET)
    assert (seen.value.error.status, seen.value.error.param) == (400, param)
    assert param in seen.value.error.message


# --------------------------------------------------------------------------- messages


def test_system_messages_are_the_instruction_and_neighbours_join():
    body = sent(
        messages=[
            {"role": "system", "content": "S"},
            {"role": "user", "content": "a"},
            {"role": "developer", "content": "D"},
            {"role": "user", "content": [{"type": "text", "text": "b"}]},
            {"role": "assistant", "content": "c", "reasoning_content": "not sent"},
            {"role": "assistant", "content": None},
            {"role": "assistant", "content": "d"},
        ]
    )
    assert body["systemInstruction"] == {"parts": [{"text": "S"}, {"text": "D"}]}
    assert body["contents"] == [
        {"role": "user", "parts": [{"text": "a"}, {"text": "b"}]},
        {"role": "model", "parts": [{"text": "c"}, {"text": "d"}]},
    ]


def test_a_lone_system_message_is_asked():
    body = sent(messages=[{"role": "system", "content": "A"}, {"role": "system", "content": "B"}])
    assert body["systemInstruction"] == {"parts": [{"text": "A"}]}
    assert body["contents"] == [{"role": "user", "parts": [{"text": "B"}]}]


def user_part(part: dict[str, Any]) -> Any:
    body = sent(messages=[{"role": "user", "content": [part]}])
    return body["contents"][0]["parts"][0]


@pytest.mark.parametrize(
    ("part", "expected"),
    [
        (
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
            {"inlineData": {"mimeType": "image/png", "data": "AAAA"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "https://x.test/a.WEBP?size=1"}},
            {"fileData": {"mimeType": "image/webp", "fileUri": "https://x.test/a.WEBP?size=1"}},
        ),
        (
            {"type": "image_url", "image_url": {"url": "gs://bucket/a"}},
            {"fileData": {"mimeType": "image/jpeg", "fileUri": "gs://bucket/a"}},
        ),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "mp3"}},
            {"inlineData": {"mimeType": "audio/mp3", "data": "AAAA"}},
        ),
        (
            {"type": "file", "file": {"file_data": "AAAA", "filename": "a.pdf"}},
            {"inlineData": {"mimeType": "application/pdf", "data": "AAAA"}},
        ),
        (
            {"type": "file", "file": {"file_id": "https://g.test/v1beta/files/abc"}},
            {
                "fileData": {
                    "mimeType": "application/pdf",
                    "fileUri": "https://g.test/v1beta/files/abc",
                }
            },
        ),
    ],
)
def test_parts(part: dict[str, Any], expected: dict[str, Any]):
    assert user_part(part) == expected


def call(id: str, name: str, arguments: str = "{}", **more: Any) -> dict[str, Any]:
    function = {"name": name, "arguments": arguments}
    return {"id": id, "type": "function", "function": function, **more}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        ('{"t": 12}', {"t": 12}),
        ("[1, 2]", {"output": [1, 2]}),
        ("12", {"output": "12"}),
        ("007 sunny", {"output": "007 sunny"}),
        ("", {"output": ""}),
    ],
)
def test_tool_results_are_objects(content: str, expected: dict[str, Any]):
    body = sent(
        messages=[
            {"role": "user", "content": "?"},
            {"role": "assistant", "tool_calls": [call("c1", "f")]},
            {"role": "tool", "tool_call_id": "c1", "content": content},
        ]
    )
    response = {"id": "c1", "name": "f", "response": expected}
    assert body["contents"][2] == {"role": "user", "parts": [{"functionResponse": response}]}


def turn(*calls: dict[str, Any], **more: Any) -> list[dict[str, Any]]:
    return [
        {"role": "user", "content": "?"},
        {"role": "assistant", "content": "Looking.", "tool_calls": list(calls), **more},
        *({"role": "tool", "tool_call_id": one["id"], "content": "ok"} for one in calls),
        {"role": "user", "content": "And now?"},
    ]


def test_parallel_calls_and_their_results():
    body = sent(messages=turn(call("c1", "f", '{"a": 1}'), call("c2", "g")))
    given, results = body["contents"][1:]
    assert given["parts"] == [
        {"text": "Looking."},
        {"functionCall": {"id": "c1", "name": "f", "args": {"a": 1}}},
        {"functionCall": {"id": "c2", "name": "g", "args": {}}},
    ]
    assert [p["functionResponse"]["name"] for p in results["parts"][:2]] == ["f", "g"]
    assert results["parts"][2] == {"text": "And now?"}


def test_vertex_knows_no_ids():
    target = target_for("gemini", model="gemini-2.5-flash", quirks={"vertex": True})
    given, results = sent(target, messages=turn(call("c1", "f")))["contents"][1:]
    assert given["parts"][1] == {"functionCall": {"name": "f", "args": {}}}
    response = {"name": "f", "response": {"output": "ok"}}
    assert results["parts"][0] == {"functionResponse": response}


def signatures(target: Target, *calls: dict[str, Any], **more: Any) -> list[str | None]:
    parts = sent(target, messages=turn(*calls, **more))["contents"][1]["parts"]
    return [part.get("thoughtSignature") for part in parts[1:]]


def test_gemini_3_gets_a_placeholder_on_the_first_call_of_a_step():
    calls = call("c1", "f"), call("c2", "g")
    assert signatures(on("gemini-3-flash-preview"), *calls) == [NO_SIGNATURE, None]
    assert signatures(on("gemini-2.5-flash"), *calls) == [None, None]


def test_signatures_that_come_back_are_used():
    """From our own field on the message, or where Google's OpenAI endpoint puts them."""
    ours = {"thought_signatures": {"c1": "QUFB", "c2": 7}}
    assert signatures(on("gemini-2.5-flash"), call("c1", "f"), call("c2", "g"), **ours) == [
        "QUFB",
        None,
    ]
    theirs = {"extra_content": {"google": {"thought_signature": "QkJC"}}}
    assert signatures(on("gemini-3-flash-preview"), call("c1", "f", **theirs)) == ["QkJC"]
    assert signatures(on("gemini-3-flash-preview"), call("c1", "f", extra_content=3)) == [
        NO_SIGNATURE
    ]


# --------------------------------------------------------------------------- recorded requests


def from_gemini(body: dict[str, Any]) -> dict[str, Any]:
    """A recorded request as the OpenAI client would have written it."""
    config = body.get("generationConfig") or {}
    names = {"maxOutputTokens": "max_tokens", "temperature": "temperature", "topP": "top_p"}
    names |= {"topK": "top_k", "stopSequences": "stop", "seed": "seed", "candidateCount": "n"}
    names |= {"presencePenalty": "presence_penalty", "frequencyPenalty": "frequency_penalty"}
    out: dict[str, Any] = {
        ours: config[theirs] for theirs, ours in names.items() if theirs in config
    }
    declared = [f for t in body.get("tools") or [] for f in t.get("functionDeclarations", [])]
    if declared:
        out["tools"] = [tool(f["name"], description=f.get("description")) for f in declared]
    calling = (body.get("toolConfig") or {}).get("functionCallingConfig") or {}
    if calling:
        out["tool_choice"] = {"ANY": "required", "NONE": "none"}.get(calling["mode"], "auto")
    out["messages"] = list(_messages(body))
    return out


def _messages(body: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for text in instruction(body):
        yield {"role": "system", "content": text}
    for content in body["contents"]:
        model = content.get("role") == "model"
        for at, part in enumerate(content["parts"]):
            if "text" in part:
                yield {"role": "assistant" if model else "user", "content": part["text"]}
            elif "functionCall" in part:
                given = part["functionCall"]
                name, arguments = given["name"], orjson.dumps(given.get("args") or {}).decode()
                yield {"role": "assistant", "tool_calls": [call(f"{name}{at}", name, arguments)]}
            elif "functionResponse" in part:
                given = part["functionResponse"]
                result = orjson.dumps(given["response"]).decode()
                named = {"tool_call_id": f"{given['name']}{at}", "name": given["name"]}
                yield {"role": "tool", "content": result, **named}
            elif "inlineData" in part:
                kind, data = part["inlineData"]["mimeType"], part["inlineData"]["data"]
                file = {"file_data": f"data:{kind};base64,{data}"}
                yield {"role": "user", "content": [{"type": "file", "file": file}]}
            else:
                image = {"url": part["fileData"]["fileUri"]}
                yield {"role": "user", "content": [{"type": "image_url", "image_url": image}]}


def instruction(body: dict[str, Any]) -> list[str]:
    """Texts of the system instruction: some clients send one part without a list."""
    parts = (body.get("systemInstruction") or {}).get("parts") or []
    return [part["text"] for part in (parts if isinstance(parts, list) else [parts])]


def flat(body: dict[str, Any]) -> list[tuple[str, Any]]:
    """Role and part, one by one; without ids, signatures and types of remote files."""
    out: list[tuple[str, Any]] = []
    for content in body["contents"]:
        for part in content["parts"]:
            part = {k: v for k, v in part.items() if k != "thoughtSignature" and v is not False}
            for name in ("functionCall", "functionResponse"):
                if name in part:
                    part = {name: {k: v for k, v in part[name].items() if k != "id" and v}}
            if "fileData" in part:
                part = {"fileData": part["fileData"]["fileUri"]}
            out.append((content.get("role") or "user", part))
    return out


@pytest.mark.parametrize("case", recorded_requests(PROTOCOL))
def test_recorded_requests_come_out_as_they_were(case: Case):
    body = case.request
    assert body is not None
    seen = sent(on(case.meta["model"] or "gemini-2.5-flash"), **from_gemini(body))
    assert flat(seen) == flat(body)
    assert instruction(seen) == instruction(body)
    config = body.get("generationConfig") or {}
    ours = seen.get("generationConfig", {})
    assert ours == {k: v for k, v in config.items() if k in ours}
    names = [f["name"] for t in seen.get("tools", []) for f in t["functionDeclarations"]]
    theirs = [f for t in body.get("tools") or [] for f in t.get("functionDeclarations", [])]
    assert names == [f["name"] for f in theirs]
