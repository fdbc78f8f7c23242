"""Prompt -> Bedrock Converse request body.

Source: docs.aws.amazon.com/bedrock/latest/APIReference/API_runtime_Converse.html.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import orjson

from ..types import Json, Prompt, Tool, ToolChoice
from . import native
from .bedrock_messages import system_blocks, turns
from .bedrock_models import Family, family
from .claude_models import Claude
from .claude_params import (
    Output,
    check,
    object_schema,
    output,
    output_description,
    sampling,
    strict_schemas,
    thinking,
    unmapped,
)

_NO_CALLS = "Do not call any tool: answer with text."


def request_body(prompt: Prompt, model: str, options: Mapping[str, Any]) -> tuple[Json, list[str]]:
    """The body, and the parameters that were dropped. Raises BadRequest for what can't be done."""
    check(prompt)
    facts = family(model)
    dropped = unmapped(prompt, ("top_k", "service_tier"))
    if prompt.parallel_tool_calls is False and prompt.tools:
        dropped.append("parallel_tool_calls")
    answer = answer_form(prompt, facts)
    dropped += answer.lost
    config, silent = _tool_config(prompt, facts, answer, dropped)
    body: Json = {"messages": turns(prompt)}
    said = [answer.instruction, _NO_CALLS if silent else None]
    if system := system_blocks(prompt, [text for text in said if text]):
        body["system"] = system
    if config:
        body["toolConfig"] = config
    if answer.how == "native":
        body["outputConfig"] = {"textFormat": _text_format(prompt, answer)}
    forced = bool(config) and bool(config.get("toolChoice", {}).keys() & {"any", "tool"})
    inference, more = _tuning(prompt, facts, forced, dropped)
    if inference:
        body["inferenceConfig"] = inference
    if more:
        body["additionalModelRequestFields"] = more
    body.update(_rest(prompt, options, dropped))
    return body, dropped


def answer_form(prompt: Prompt, facts: Family) -> Output:
    """How the answer takes the asked form; the decoder must know it too."""
    return output(prompt, native=facts.structured, forced_tools=facts.forced_tools)


def _text_format(prompt: Prompt, answer: Output) -> Json:
    wanted = prompt.response_format
    schema: Json = {"schema": orjson.dumps(answer.schema).decode()}
    if wanted and wanted.name:
        schema["name"] = wanted.name
    if wanted and wanted.description:
        schema["description"] = wanted.description
    return {"type": "json_schema", "structure": {"jsonSchema": schema}}


def _rest(prompt: Prompt, options: Mapping[str, Any], dropped: list[str]) -> Json:
    out: Json = {}
    tier = prompt.extra.get("service_tier")
    if tier in ("default", "flex", "priority"):
        out["serviceTier"] = {"type": tier}
    elif tier not in (None, "auto"):
        dropped.append("service_tier")
    if options.get("guardrail_identifier"):
        guardrail: Json = {
            "guardrailIdentifier": options["guardrail_identifier"],
            "guardrailVersion": str(options.get("guardrail_version", "DRAFT")),
        }
        if options.get("guardrail_trace"):
            guardrail["trace"] = options["guardrail_trace"]
        out["guardrailConfig"] = guardrail
    return out


# --------------------------------------------------------------------------- tuning


def _tuning(prompt: Prompt, facts: Family, forced: bool, dropped: list[str]) -> tuple[Json, Json]:
    """`inferenceConfig` and `additionalModelRequestFields`."""
    inference: Json = {}
    more: Json = {}
    model = facts.claude or Claude()
    limit = prompt.max_tokens or model.max_output
    thinks = False
    if facts.claude is not None:
        think = thinking(prompt, model, limit, forced, dropped)
        thinks = think.on
        if think.config is not None:
            more["thinking"] = think.config
        if think.effort:
            more["output_config"] = {"effort": think.effort}
    elif prompt.reasoning_effort is not None:
        more, thinks = _effort(prompt, facts, dropped)
    if prompt.max_tokens is not None or "budget_tokens" in more.get("thinking", {}):
        inference["maxTokens"] = limit
    chosen = sampling(prompt, model, thinks, dropped)
    for name, ours in (("temperature", "temperature"), ("top_p", "topP")):
        if name in chosen:
            inference[ours] = chosen[name]
    if "top_k" in chosen:
        if facts.claude is not None:
            more["top_k"] = chosen["top_k"]
        elif facts.nova:
            more["inferenceConfig"] = {"topK": chosen["top_k"]}
        else:
            dropped.append("top_k")
    if prompt.stop:
        inference["stopSequences"] = list(prompt.stop)
    return inference, more


def _effort(prompt: Prompt, facts: Family, dropped: list[str]) -> tuple[Json, bool]:
    """`reasoning_effort` of other vendors' models, and whether it rules out sampling parameters."""
    wanted = prompt.reasoning_effort
    level = {"minimal": "low", "xhigh": "high", "max": "high"}.get(wanted or "", wanted)
    if facts.gpt_oss:
        if level == "none":
            dropped.append("reasoning_effort=none")
            level = "low"
        return {"reasoning_effort": level}, False
    if not facts.nova_thinks:
        if level != "none":
            dropped.append("reasoning_effort")
        return {}, False
    if level == "none":
        return {"reasoningConfig": {"type": "disabled"}}, False
    if level == "high" and prompt.max_tokens is not None:
        # Nova 2 refuses a limit together with high effort; the limit is what the client relies on.
        dropped.append(f"reasoning_effort={wanted}")
        level = "medium"
    return {"reasoningConfig": {"type": "enabled", "maxReasoningEffort": level}}, level == "high"


# --------------------------------------------------------------------------- tools


def _tool_config(
    prompt: Prompt, facts: Family, answer: Output, dropped: list[str]
) -> tuple[Json, bool]:
    """`toolConfig`, and whether calls must be forbidden in words: Converse has no choice "none".

    A conversation with tool calls needs its tools declared even where none may be called.
    """
    choice = prompt.tool_choice
    none = choice is not None and choice.mode == "none"
    tools = () if none else prompt.tools
    silent = False
    if not tools and not answer.tool:
        tools = _past_tools(prompt)
        silent = bool(tools)
        if silent and none:
            dropped.append("tool_choice=none")
    if facts.mistral and choice is not None and choice.mode == "named":
        tools = tuple(tool for tool in tools if tool.name == choice.name)
    specs = _specs(prompt, tools, facts, answer, dropped)
    if not specs:
        return {}, False
    config: Json = {"tools": specs}
    if forced := _choice(choice, tools, facts, answer):
        config["toolChoice"] = forced
    return config, silent


def _past_tools(prompt: Prompt) -> tuple[Tool, ...]:
    """The tools that earlier turns called, as the client declares them or as plain names."""
    called = {call.name: None for m in prompt.messages for call in m.tool_calls}
    declared = {tool.name: tool for tool in prompt.tools}
    return tuple(declared.get(name) or Tool(name) for name in called)


def _specs(
    prompt: Prompt,
    tools: tuple[Tool, ...],
    facts: Family,
    answer: Output,
    dropped: list[str],
) -> list[Json]:
    strict = strict_schemas(prompt, facts.structured, answer, dropped)
    specs: list[Json] = []
    for i, tool in enumerate(tools):
        schema = strict.get(tool.name) or object_schema(tool, f"tools[{i}]")
        specs.append(_spec(tool.name, tool.description, schema, facts, tool.name in strict))
    if answer.tool:
        schema = answer.schema or {}
        specs.append(_spec(answer.tool, output_description(prompt), schema, facts, False))
    return [{"toolSpec": spec} for spec in specs]


def _spec(name: str, description: str | None, schema: Json, facts: Family, strict: bool) -> Json:
    if facts.nova:
        # "Only three fields are supported" at the top (Nova guide, troubleshooting tool calls).
        top = ("type", "properties", "required", "$defs")
        schema = {key: value for key, value in schema.items() if key in top}
    spec: Json = {"name": name, "inputSchema": {"json": schema}}
    if description:
        spec["description"] = description
    if strict:
        spec["strict"] = True
    return spec


def _choice(
    choice: ToolChoice | None, tools: tuple[Tool, ...], facts: Family, answer: Output
) -> Json | None:
    if answer.tool:
        return {"any": {}} if tools else {"tool": {"name": answer.tool}}
    if choice is None or choice.mode == "none":
        return None
    if choice.mode == "auto":
        return {"auto": {}}
    if facts.claude is not None and not facts.claude.forced_tools:
        native.refuse("tool_choice", "this Claude model takes 'auto' and 'none' only")
    if choice.mode == "named" and not facts.mistral:
        return {"tool": {"name": choice.name}}
    return {"any": {}}
