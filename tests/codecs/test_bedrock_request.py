"""Chat requests in Converse's terms, checked against AWS's own model of the API."""

from __future__ import annotations

import base64
import json
from typing import Any

import pytest
from botocore.serialize import create_serializer
from botocore.validate import ParamValidator

from reflex_core.codecs.bedrock_converse import CODEC
from reflex_core.errors import BadRequest
from reflex_core.types import ProviderRequest
from tests.codecs.aws import operation, with_blobs
from tests.codecs.oracle_contract import chat_request, target_for

PROTOCOL = "bedrock-converse"
BASE = "https://bedrock-runtime.{region}.amazonaws.com"
SONNET_45 = "us.anthropic.claude-sonnet-4-5-20250929-v1:0"
SONNET_4 = "anthropic.claude-sonnet-4-20250514-v1:0"
OPUS_55 = "anthropic.claude-opus-5-5"
NOVA, NOVA_2 = "amazon.nova-lite-v1:0", "us.amazon.nova-2-lite-v1:0"
MISTRAL, LLAMA = "mistral.mistral-large-2407-v1:0", "meta.llama3-8b-instruct-v1:0"
GPT_OSS = "openai.gpt-oss-120b-1:0"

USER = {"role": "user", "content": "Hi"}
CALL = {"id": "call_1", "type": "function", "function": {"name": "f", "arguments": '{"a": 1}'}}
CALLED = {"role": "assistant", "content": None, "tool_calls": [CALL]}
RESULT = {"role": "tool", "tool_call_id": "call_1", "content": "42"}
PARAMETERS = {"type": "object", "properties": {}, "additionalProperties": False}
FUNCTION = {"name": "f", "description": "Does it.", "parameters": PARAMETERS}
TOOL = {"type": "function", "function": FUNCTION}
OUR_TOOL = {
    "toolSpec": {"name": "f", "description": "Does it.", "inputSchema": {"json": PARAMETERS}}
}


def post(
    model: str = SONNET_45, stream: bool = False, options: Any = None, **body: Any
) -> ProviderRequest:
    options = {"region": "us-east-1", **(options or {})}
    target = target_for(PROTOCOL, model=model, base_url=BASE, options=options, api_key="token")
    request = CODEC.encode(chat_request(stream, **body), target)
    check_with_aws(request, model, stream)
    return request


def check_with_aws(request: ProviderRequest, model: str, stream: bool) -> None:
    """AWS's client, given the same parameters, finds them valid and sends the same request."""
    action = operation("ConverseStream" if stream else "Converse")
    sent = with_blobs(json.loads(request.body), action.input_shape)
    params = {"modelId": model, **sent}
    report = ParamValidator().validate(params, action.input_shape)
    assert not report.has_errors(), report.generate_report()
    ours = create_serializer("rest-json").serialize_to_request(params, action)
    assert json.loads(ours["body"]) == json.loads(request.body)
    assert request.url.endswith(ours["url_path"])


def sent(model: str = SONNET_45, **body: Any) -> dict[str, Any]:
    return json.loads(post(model, **body).body)


def refused(model: str = SONNET_45, **body: Any) -> str | None:
    with pytest.raises(BadRequest) as caught:
        post(model, **body)
    assert caught.value.error.status == 400
    return caught.value.error.param


def test_smallest_request() -> None:
    request = post(stream=True)
    assert request.url == (
        "https://bedrock-runtime.us-east-1.amazonaws.com/model/"
        "us.anthropic.claude-sonnet-4-5-20250929-v1%3A0/converse-stream"
    )
    assert json.loads(request.body) == {"messages": [{"role": "user", "content": [{"text": "Hi"}]}]}
    assert (post().url.rpartition("/")[2], request.dropped) == ("converse", ())


def test_an_arn_is_one_part_of_the_path() -> None:
    arn = "arn:aws:bedrock:us-east-1:012345678901:inference-profile/us.anthropic.claude-sonnet-5"
    assert "/model/arn%3Aaws%3Abedrock%3A" in post(arn).url
    assert "inference-profile%2Fus.anthropic" in post(arn).url


# --------------------------------------------------------------------------- messages


def test_system_and_alternation() -> None:
    use = {"toolUse": {"toolUseId": "call_1", "name": "f", "input": {"a": 1}}}
    out = sent(
        messages=[
            {"role": "system", "content": "Be brief."},
            USER,
            {"role": "developer", "content": "And kind."},
            USER,
            {**CALLED, "content": "Looking."},
            {"role": "user", "content": "Well?"},
            RESULT,
        ],
        tools=[TOOL],
    )
    assert out["system"] == [{"text": "Be brief."}, {"text": "And kind."}]
    assert out["messages"] == [
        {"role": "user", "content": [{"text": "Hi"}, {"text": "Hi"}]},
        {"role": "assistant", "content": [{"text": "Looking."}, use]},
        {
            "role": "user",
            "content": [
                {"toolResult": {"toolUseId": "call_1", "content": [{"text": "42"}]}},
                {"text": "Well?"},
            ],
        },
    ]


def content(*parts: dict[str, Any]) -> Any:
    return sent(messages=[{"role": "user", "content": list(parts)}])["messages"][0]["content"]


def image(url: str) -> dict[str, Any]:
    return {"type": "image_url", "image_url": {"url": url}}


def file(name: str, kind: str) -> dict[str, Any]:
    data = base64.b64encode(b"abc").decode()
    return {"type": "file", "file": {"filename": name, "file_data": f"data:{kind};base64,{data}"}}


def test_images_audio_and_documents() -> None:
    audio = {"type": "input_audio", "input_audio": {"data": "AAAA", "format": "wav"}}
    assert content(image("data:image/jpeg;base64,AAAA"), image("s3://bucket/a.jpg"), audio) == [
        {"image": {"format": "jpeg", "source": {"bytes": "AAAA"}}},
        {"image": {"format": "jpeg", "source": {"s3Location": {"uri": "s3://bucket/a.jpg"}}}},
        {"audio": {"format": "wav", "source": {"bytes": "AAAA"}}},
    ]
    documents = content(
        file("Q3_report (final).v2.pdf", "application/pdf"),
        file("notes.md", "text/markdown"),
        file("notes.csv", "text/csv"),
        file("", "text/plain"),
    )
    named = [(d["document"]["name"], d["document"]["format"]) for d in documents]
    assert named == [
        ("Q3 report (final) v2", "pdf"),
        ("notes", "md"),
        ("notes (2)", "csv"),
        ("document", "txt"),
    ]


@pytest.mark.parametrize(
    "part",
    [
        image("https://example.com/a.png"),
        image("data:image/tiff;base64,AAAA"),
        image("s3://bucket/a.bmp"),
        file("a.zip", "application/zip"),
        {"type": "file", "file": {"file_id": "file-abc"}},
    ],
)
def test_parts_that_are_refused(part: dict[str, Any]) -> None:
    assert refused(messages=[{"role": "user", "content": [part]}]) == "messages[0].content"


def test_messages_that_are_refused() -> None:
    assert refused(messages=[{"role": "system", "content": "Alone."}]) == "messages"
    assert refused(messages=[{"role": "user", "content": ""}]) == "messages[0].content"
    assert refused(n=2) == "n"


def test_long_ids_of_calls_are_shortened() -> None:
    call = {**CALL, "id": "call_" + "x" * 80}
    out = sent(
        messages=[USER, {**CALLED, "tool_calls": [call]}, {**RESULT, "tool_call_id": call["id"]}]
    )
    use, result = out["messages"][1]["content"][0], out["messages"][2]["content"][0]
    assert use["toolUse"]["toolUseId"] == result["toolResult"]["toolUseId"]


# --------------------------------------------------------------------------- tools

NAMED = {"type": "function", "function": {"name": "f"}}
OTHER = {"type": "function", "function": {**FUNCTION, "name": "g"}}


@pytest.mark.parametrize(
    ("model", "choice", "tools", "ours"),
    [
        (SONNET_45, None, ["f", "g"], None),
        (SONNET_45, "auto", ["f", "g"], {"auto": {}}),
        (SONNET_45, "required", ["f", "g"], {"any": {}}),
        (SONNET_45, NAMED, ["f", "g"], {"tool": {"name": "f"}}),
        (NOVA, NAMED, ["f", "g"], {"tool": {"name": "f"}}),
        (MISTRAL, NAMED, ["f"], {"any": {}}),
    ],
)
def test_tools_and_choices(model: str, choice: Any, tools: list[str], ours: Any) -> None:
    config = sent(model, tools=[TOOL, OTHER], tool_choice=choice)["toolConfig"]
    assert [tool["toolSpec"]["name"] for tool in config["tools"]] == tools
    assert config.get("toolChoice") == ours


def test_declarations() -> None:
    assert sent(tools=[TOOL])["toolConfig"]["tools"] == [OUR_TOOL]
    (nova,) = sent(NOVA, tools=[TOOL])["toolConfig"]["tools"]
    assert nova["toolSpec"]["inputSchema"]["json"] == {"type": "object", "properties": {}}
    strict = {"type": "function", "function": {**FUNCTION, "strict": True}}
    assert sent(tools=[strict])["toolConfig"]["tools"][0]["toolSpec"]["strict"] is True
    assert post(SONNET_4, tools=[strict]).dropped == ("tools.strict",)
    assert post(tools=[TOOL], parallel_tool_calls=False).dropped == ("parallel_tool_calls",)
    assert refused(OPUS_55, tools=[TOOL], tool_choice="required") == "tool_choice"


def test_no_calls_wanted() -> None:
    """Converse has no tool_choice "none", and wants past tools declared."""
    assert "toolConfig" not in sent(tools=[TOOL], tool_choice="none")
    past = [USER, CALLED, RESULT]
    request = post(messages=past, tools=[TOOL, OTHER], tool_choice="none")
    body = json.loads(request.body)
    assert body["toolConfig"] == {"tools": [OUR_TOOL]}
    assert "Do not call any tool" in body["system"][0]["text"]
    assert request.dropped == ("tool_choice=none",)
    body = sent(messages=past)
    assert body["toolConfig"]["tools"][0]["toolSpec"]["name"] == "f"
    assert "Do not call any tool" in body["system"][0]["text"]


# --------------------------------------------------------------------------- parameters


@pytest.mark.parametrize(
    ("model", "body", "out", "dropped"),
    [
        (LLAMA, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5, "topP": 0.9}, ()),
        (LLAMA, {"temperature": 1, "top_p": 1}, {"temperature": 1, "topP": 1}, ()),
        (LLAMA, {"temperature": 1.5}, {"temperature": 1}, ("temperature>1",)),
        (LLAMA, {"max_tokens": 9, "stop": "E"}, {"maxTokens": 9, "stopSequences": ["E"]}, ()),
        (SONNET_45, {"temperature": 0.5, "top_p": 0.9}, {"temperature": 0.5}, ("top_p",)),
        (OPUS_55, {"temperature": 0.5}, None, ("temperature",)),
        (
            LLAMA,
            {"seed": 1, "user": "u", "metadata": {"a": "b"}},
            None,
            ("user", "metadata", "seed"),
        ),
        (LLAMA, {"service_tier": "scale"}, None, ("service_tier",)),
        (LLAMA, {"top_k": 5, "reasoning_effort": "high"}, None, ("reasoning_effort", "top_k")),
    ],
)
def test_inference(model: str, body: Any, out: Any, dropped: tuple[str, ...]) -> None:
    request = post(model, **body)
    assert json.loads(request.body).get("inferenceConfig") == out
    assert request.dropped == dropped


@pytest.mark.parametrize(
    ("model", "body", "more"),
    [
        (SONNET_45, {"top_k": 5}, {"top_k": 5}),
        (NOVA, {"top_k": 5}, {"inferenceConfig": {"topK": 5}}),
        (
            SONNET_4,
            {"reasoning_effort": "low"},
            {"thinking": {"type": "enabled", "budget_tokens": 2048}},
        ),
        (
            "anthropic.claude-opus-4-6-v1",
            {"reasoning_effort": "high"},
            {"thinking": {"type": "adaptive"}, "output_config": {"effort": "high"}},
        ),
        (GPT_OSS, {"reasoning_effort": "xhigh"}, {"reasoning_effort": "high"}),
        (GPT_OSS, {"reasoning_effort": "none"}, {"reasoning_effort": "low"}),
        (NOVA_2, {"reasoning_effort": "none"}, {"reasoningConfig": {"type": "disabled"}}),
        (
            NOVA_2,
            {"reasoning_effort": "minimal"},
            {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": "low"}},
        ),
        (LLAMA, {"reasoning_effort": "none"}, None),
    ],
)
def test_additional_fields(model: str, body: dict[str, Any], more: Any) -> None:
    assert sent(model, **body).get("additionalModelRequestFields") == more


def test_thinking_budget_needs_a_limit() -> None:
    assert sent(SONNET_4, reasoning_effort="low")["inferenceConfig"] == {"maxTokens": 64_000}


def test_high_effort_of_nova() -> None:
    """It excludes sampling parameters, and gives way to a limit."""
    request = post(NOVA_2, reasoning_effort="high", temperature=0.5)
    assert "inferenceConfig" not in json.loads(request.body)
    assert request.dropped == ("temperature",)
    request = post(NOVA_2, reasoning_effort="high", max_tokens=99)
    fields = json.loads(request.body)["additionalModelRequestFields"]
    assert fields["reasoningConfig"]["maxReasoningEffort"] == "medium"
    assert request.dropped == ("reasoning_effort=high",)


def test_service_tier_and_guardrail() -> None:
    assert sent(service_tier="flex")["serviceTier"] == {"type": "flex"}
    assert "serviceTier" not in sent(service_tier="auto")
    options = {"guardrail_identifier": "gr1", "guardrail_version": 2, "guardrail_trace": "enabled"}
    assert json.loads(post(options=options).body)["guardrailConfig"] == {
        "guardrailIdentifier": "gr1",
        "guardrailVersion": "2",
        "trace": "enabled",
    }


# --------------------------------------------------------------------------- structured output

CITY = {
    "type": "object",
    "properties": {"city": {"type": "string"}},
    "required": ["city"],
    "additionalProperties": False,
}
SHAPE = {"name": "place", "description": "A town.", "schema": CITY}
ASKED = {"type": "json_schema", "json_schema": SHAPE}


@pytest.mark.parametrize("model", [SONNET_45, GPT_OSS])
def test_schema_natively(model: str) -> None:
    form = sent(model, response_format=ASKED)["outputConfig"]["textFormat"]
    assert form["type"] == "json_schema"
    inner = form["structure"]["jsonSchema"]
    assert (inner["name"], inner["description"]) == ("place", "A town.")
    assert json.loads(inner["schema"]) == CITY


@pytest.mark.parametrize("model", [SONNET_4, NOVA, "anthropic.claude-opus-4-8"])
def test_schema_by_a_forced_tool(model: str) -> None:
    config = sent(model, response_format=ASKED)["toolConfig"]
    assert config["toolChoice"] == {"tool": {"name": "json_output"}}
    config = sent(model, response_format=ASKED, tools=[TOOL])["toolConfig"]
    assert (len(config["tools"]), config["toolChoice"]) == (2, {"any": {}})


@pytest.mark.parametrize("model", [LLAMA, OPUS_55])
def test_schema_by_instruction(model: str) -> None:
    body = sent(model, response_format=ASKED)
    assert "toolConfig" not in body
    assert json.dumps(CITY, separators=(",", ":")) in body["system"][0]["text"]
