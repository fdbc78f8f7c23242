"""Client bytes -> ChatRequest, and ChatRequest -> Prompt.

`parse` is lenient: an OpenAI-compatible provider judges the body itself. `prompt` is strict, for
providers with another protocol: every BadRequest names the field.
Source: platform.openai.com/docs/api-reference/chat/create.
"""

from __future__ import annotations

from typing import Any, NoReturn, cast

import orjson

from .errors import BadRequest
from .inbound_parts import parts
from .types import (
    ChatRequest,
    Json,
    Message,
    Prompt,
    ResponseFormat,
    Tool,
    ToolCall,
    ToolChoice,
)

ROLES = ("system", "developer", "user", "assistant", "tool", "function")
EFFORTS = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
MAX_DEPTH = 64
"""Deepest nesting of a tool's schema or arguments that is translated."""

_KNOWN = frozenset(
    [
        "model",
        "messages",
        "tools",
        "tool_choice",
        "functions",
        "function_call",
        "parallel_tool_calls",
        "response_format",
        "max_tokens",
        "max_completion_tokens",
        "temperature",
        "top_p",
        "stop",
        "seed",
        "n",
        "presence_penalty",
        "frequency_penalty",
        "reasoning_effort",
        "user",
        "metadata",
        "logprobs",
        "top_logprobs",
        "stream",
        "stream_options",
    ]
)


def parse(raw: bytes, model: str | None = None) -> ChatRequest:
    """`model` is used when the body names none (Azure has it in the path).

    Raises BadRequest when `raw` is no JSON object or there is no model name.
    """
    try:
        body = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        raise BadRequest(f"The request body is not valid JSON: {error}") from None
    except RecursionError:
        raise BadRequest("The request body is nested too deeply.") from None
    if not isinstance(body, dict):
        raise BadRequest("The request body must be a JSON object.")
    body = cast(Json, body)
    model = body.get("model", model)
    if not isinstance(model, str) or not model:
        raise BadRequest("'model' must be a non-empty string.", param="model")
    options = body.get("stream_options")
    usage = isinstance(options, dict) and cast(Json, options).get("include_usage") is True
    stream = body.get("stream") is True
    return ChatRequest(raw=raw, body=body, model=model, stream=stream, include_usage=usage)


def prompt(request: ChatRequest) -> Prompt:
    """The typed request. Raises BadRequest naming the first field that is wrong."""
    body = request.body
    return Prompt(
        model=request.model,
        messages=_messages(body.get("messages")),
        tools=_tools(body),
        tool_choice=_tool_choice(body),
        parallel_tool_calls=_bool(body, "parallel_tool_calls"),
        response_format=_response_format(body.get("response_format")),
        max_tokens=_max_tokens(body),
        temperature=_number(body, "temperature", 0, 2),
        top_p=_number(body, "top_p", 0, 1),
        stop=_stop(body.get("stop")),
        seed=_int(body, "seed", None),
        n=_int(body, "n", 1) or 1,
        presence_penalty=_number(body, "presence_penalty", -2, 2),
        frequency_penalty=_number(body, "frequency_penalty", -2, 2),
        reasoning_effort=_effort(body.get("reasoning_effort")),
        user=_str(body, "user"),
        metadata=_dict(body, "metadata"),
        logprobs=_bool(body, "logprobs") or False,
        top_logprobs=_int(body, "top_logprobs", 0),
        stream=_bool(body, "stream") or False,
        extra={k: v for k, v in body.items() if k not in _KNOWN and v is not None},
    )


def uses_functions(request: ChatRequest) -> bool:
    """True for the legacy `functions` parameter, whose answers use `function_call`."""
    return bool(request.body.get("functions")) and not request.body.get("tools")


# --------------------------------------------------------------------------- fields


def _wrong(param: str, expected: str, value: Any) -> NoReturn:
    kind = "null" if value is None else type(value).__name__
    kind = {"dict": "object", "list": "array", "str": "string", "bool": "boolean"}.get(kind, kind)
    message = f"Invalid '{param}': expected {expected}, got {kind} instead."
    raise BadRequest(message, param=param, code="invalid_type")


def _value(param: str, message: str) -> NoReturn:
    raise BadRequest(f"Invalid '{param}': {message}", param=param, code="invalid_value")


def _str(body: Json, name: str, path: str = "") -> str | None:
    value = body.get(name)
    if value is not None and not isinstance(value, str):
        _wrong(path + name, "a string", value)
    return value


def _bool(body: Json, name: str, path: str = "") -> bool | None:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        _wrong(path + name, "a boolean", value)
    return value


def _dict(body: Json, name: str, path: str = "") -> Json | None:
    value = body.get(name)
    if value is not None and not isinstance(value, dict):
        _wrong(path + name, "an object", value)
    if value is not None:
        _depth(value, path + name)
    return value


def _depth(value: Any, param: str, left: int = MAX_DEPTH) -> None:
    if left == 0:
        _value(param, f"nested deeper than {MAX_DEPTH} levels.")
    if isinstance(value, dict):
        for item in cast(Json, value).values():
            _depth(item, param, left - 1)
    elif isinstance(value, list):
        for item in cast(list[Any], value):
            _depth(item, param, left - 1)


def _int(body: Json, name: str, low: int | None) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    if isinstance(value, bool) or not isinstance(value, int):
        _wrong(name, "an integer", value)
    if low is not None and value < low:
        _value(name, f"{value} is below the minimum of {low}.")
    return value


def _number(body: Json, name: str, low: float, high: float) -> float | None:
    value = body.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float):
        _wrong(name, "a number", value)
    if not low <= value <= high:
        _value(name, f"{value} is not between {low} and {high}.")
    return value


def _max_tokens(body: Json) -> int | None:
    newer = _int(body, "max_completion_tokens", 1)
    return newer if newer is not None else _int(body, "max_tokens", 1)


def _stop(value: Any) -> tuple[str, ...]:
    if value is None:
        return ()
    if isinstance(value, str):
        return (value,)
    if not isinstance(value, list):
        _wrong("stop", "a string or an array of strings", value)
    for i, item in enumerate(cast(list[Any], value)):
        if not isinstance(item, str):
            _wrong(f"stop[{i}]", "a string", item)
    return tuple(cast(list[str], value))


def _effort(value: Any) -> str | None:
    if value is not None and value not in EFFORTS:
        _value("reasoning_effort", f"must be one of {', '.join(EFFORTS)}.")
    return value


def _response_format(value: Any) -> ResponseFormat | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        _wrong("response_format", "an object", value)
    value = cast(Json, value)
    kind = value.get("type")
    if kind in ("text", "json_object"):
        return ResponseFormat(kind)
    if kind != "json_schema":
        _value("response_format.type", "must be 'text', 'json_object' or 'json_schema'.")
    spec = _dict(value, "json_schema", "response_format.")
    if spec is None:
        _wrong("response_format.json_schema", "an object", None)
    path = "response_format.json_schema."
    return ResponseFormat(
        "json_schema",
        name=_str(spec, "name", path),
        schema=_dict(spec, "schema", path),
        strict=_bool(spec, "strict", path),
        description=_str(spec, "description", path),
    )


# --------------------------------------------------------------------------- tools


def _tools(body: Json) -> tuple[Tool, ...]:
    out = [_function(spec, path) for spec, path in _tool_specs(body)]
    return tuple(out)


def _tool_specs(body: Json) -> list[tuple[Json, str]]:
    specs: list[tuple[Json, str]] = []
    for field in ("tools", "functions"):
        value = body.get(field)
        if value is None:
            continue
        if not isinstance(value, list):
            _wrong(field, "an array", value)
        for i, item in enumerate(cast(list[Any], value)):
            path = f"{field}[{i}]"
            if not isinstance(item, dict):
                _wrong(path, "an object", item)
            item = cast(Json, item)
            if field == "tools":
                if item.get("type", "function") != "function":
                    _value(f"{path}.type", f"{item.get('type')!r} tools are OpenAI's own.")
                function = _dict(item, "function", f"{path}.")
                if function is None:
                    _wrong(f"{path}.function", "an object", None)
                item, path = function, f"{path}.function"
            specs.append((item, path))
        if specs:
            break
    return specs


def _function(spec: Json, path: str) -> Tool:
    name = _str(spec, "name", f"{path}.")
    if not name:
        _wrong(f"{path}.name", "a non-empty string", spec.get("name"))
    return Tool(
        name=name,
        description=_str(spec, "description", f"{path}."),
        parameters=_dict(spec, "parameters", f"{path}."),
        strict=_bool(spec, "strict", f"{path}."),
    )


def _tool_choice(body: Json) -> ToolChoice | None:
    field = "tool_choice" if body.get("tool_choice") is not None else "function_call"
    value = body.get(field)
    if value is None:
        return None
    if value in ("auto", "none", "required"):
        return ToolChoice(value)
    if not isinstance(value, dict):
        _value(field, "must be 'auto', 'none', 'required' or an object that names a function.")
    value = cast(Json, value)
    if field == "tool_choice":
        if value.get("type") != "function":
            _value("tool_choice.type", "must be 'function'.")
        named = _dict(value, "function", "tool_choice.") or {}
        field = "tool_choice.function"
    else:
        named = value
    name = _str(named, "name", f"{field}.")
    if not name:
        _wrong(f"{field}.name", "a non-empty string", None)
    return ToolChoice("named", name)


# --------------------------------------------------------------------------- messages


def _messages(value: Any) -> tuple[Message, ...]:
    if not isinstance(value, list):
        _wrong("messages", "an array", value)
    items = cast(list[Any], value)
    if not items:
        _value("messages", "empty array. Expected at least one message.")
    return tuple(_message(item, f"messages[{i}]", i) for i, item in enumerate(items))


def _message(value: Any, path: str, at: int) -> Message:
    if not isinstance(value, dict):
        _wrong(path, "an object", value)
    body = cast(Json, value)
    role = body.get("role")
    if role not in ROLES:
        _value(f"{path}.role", f"must be one of {', '.join(ROLES)}.")
    calls = _calls(body, path, at) if role == "assistant" else ()
    content = parts(body.get("content"), f"{path}.content", role)
    if role == "assistant" and (refusal := _str(body, "refusal", f"{path}.")):
        content = (*content, *parts(refusal, f"{path}.refusal", role))
    if not content and not calls and role not in ("assistant", "tool", "function"):
        _wrong(f"{path}.content", "a string or an array", body.get("content"))
    call_id = _str(body, "tool_call_id", f"{path}.")
    if role == "tool" and not call_id:
        _wrong(f"{path}.tool_call_id", "a non-empty string", call_id)
    name = _str(body, "name", f"{path}.")
    if role == "function":
        if not name:
            _wrong(f"{path}.name", "a non-empty string", name)
        role, call_id = "tool", f"call_{name}"
    return Message(
        role=role,
        parts=content,
        tool_calls=calls,
        tool_call_id=call_id,
        name=name,
        reasoning=_str(body, "reasoning_content", f"{path}."),
        path=path,
    )


def _calls(body: Json, path: str, at: int) -> tuple[ToolCall, ...]:
    legacy = _dict(body, "function_call", f"{path}.")
    if legacy is not None:
        name = _str(legacy, "name", f"{path}.function_call.")
        if not name:
            _wrong(f"{path}.function_call.name", "a non-empty string", name)
        return (ToolCall(f"call_{name}", name, _arguments(legacy, f"{path}.function_call")),)
    value = body.get("tool_calls")
    if value is None:
        return ()
    if not isinstance(value, list):
        _wrong(f"{path}.tool_calls", "an array", value)
    out: list[ToolCall] = []
    for i, item in enumerate(cast(list[Any], value)):
        here = f"{path}.tool_calls[{i}]"
        if not isinstance(item, dict):
            _wrong(here, "an object", item)
        item = cast(Json, item)
        function = _dict(item, "function", f"{here}.")
        if function is None:
            _wrong(f"{here}.function", "an object", None)
        name = _str(function, "name", f"{here}.function.")
        if not name:
            _wrong(f"{here}.function.name", "a non-empty string", name)
        id = _str(item, "id", f"{here}.") or f"call_{at}_{i}"
        out.append(ToolCall(id, name, _arguments(function, f"{here}.function")))
    return tuple(out)


def _arguments(function: Json, path: str) -> str:
    """Checked to be a JSON object: other protocols carry it as one."""
    text = _str(function, "arguments", f"{path}.") or "{}"
    try:
        value = orjson.loads(text)
    except orjson.JSONDecodeError:
        _value(f"{path}.arguments", "not valid JSON.")
    if not isinstance(value, dict):
        _wrong(f"{path}.arguments", "a JSON object as a string", value)
    _depth(value, f"{path}.arguments")
    return text
