"""What codecs of providers with a protocol of their own share, on the way out."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import NoReturn, cast

import orjson

from ..errors import BadRequest
from ..types import Json, Message, Prompt, ProviderRequest, Target

_MEANING: Mapping[str, str] = {
    "logit_bias": "its token numbers mean nothing to this provider's models",
    "audio": "this provider does not answer with audio here",
    "web_search_options": "this provider has no web search here",
}
"""Fields of a request whose loss would change the answer, with the reason they cannot be sent."""


def headers(target: Target) -> tuple[tuple[str, str], ...]:
    """Content type, the provider's fixed headers, and the key in the form it wants."""
    out = [("content-type", "application/json"), *target.provider.headers]
    key, auth = target.api_key, target.provider.auth
    if key and auth == "bearer":
        out.append(("authorization", f"Bearer {key}"))
    elif key and auth in ("x-api-key", "api-key", "x-goog-api-key"):
        out.append((auth, key))
    return tuple(out)


def post(target: Target, url: str, body: Json, dropped: Iterable[str]) -> ProviderRequest:
    """The finished request; `dropped` may name a parameter twice."""
    names = tuple(dict.fromkeys(dropped))
    return ProviderRequest("POST", url, headers(target), orjson.dumps(body), names)


def turns(
    prompt: Prompt, blocks_of: Callable[[Message], list[Json]], is_result: Callable[[Json], bool]
) -> list[Json]:
    """User and assistant turns in alternation, each `{"role", "content": blocks}`; tool results come
    first within a user turn. Raises BadRequest when there is none."""
    out: list[Json] = []
    for message in prompt.messages:
        if message.role in ("system", "developer"):
            continue
        role = "assistant" if message.role == "assistant" else "user"
        blocks = blocks_of(message)
        if not blocks:
            continue
        if out and out[-1]["role"] == role:
            out[-1]["content"] += blocks
        else:
            out.append({"role": role, "content": blocks})
    if not out:
        refuse("messages", "this provider needs a user message")
    for turn in out:
        blocks = cast("list[Json]", turn["content"])
        turn["content"] = [b for b in blocks if is_result(b)] + [
            b for b in blocks if not is_result(b)
        ]
    return out


def refuse(param: str, reason: str) -> NoReturn:
    """Raises the BadRequest for a parameter this provider cannot honour."""
    raise BadRequest(f"Unsupported '{param}': {reason}.", param=param, code="unsupported_parameter")


def leftovers(prompt: Prompt, mapped: Collection[str] = ()) -> list[str]:
    """Names of the fields nobody sends on: all of `extra` but `mapped`, user and metadata.

    Raises BadRequest for those whose loss would change the meaning of the answer.
    """
    out = [name for name in ("user", "metadata") if getattr(prompt, name)]
    for name, value in prompt.extra.items():
        if name in mapped:
            continue
        if name == "modalities":
            if value != ["text"]:
                refuse(name, "only text answers can be had from this provider")
        elif value and name in _MEANING:
            refuse(name, _MEANING[name])
        else:
            out.append(name)
    return out


def check_tool_choice(prompt: Prompt) -> None:
    """Raises BadRequest for a choice among tools that are not there."""
    choice = prompt.tool_choice
    if choice is None or choice.mode in ("auto", "none"):
        return
    if not prompt.tools:
        refuse("tool_choice", "a tool can only be chosen where 'tools' are given")
    if choice.mode == "named" and all(tool.name != choice.name for tool in prompt.tools):
        refuse("tool_choice.function.name", f"there is no tool called {choice.name!r}")


def tool_names(messages: Sequence[Message]) -> dict[str, str]:
    """Tool call id -> function name, for protocols whose tool results name the function."""
    return {call.id: call.name for message in messages for call in message.tool_calls}


def tool_name(message: Message, names: Mapping[str, str]) -> str:
    """The function whose result `message` is. Raises BadRequest when no call has its id."""
    name = names.get(message.tool_call_id or "") or message.name
    if not name:
        param = f"{message.path}.tool_call_id"
        text = f"Invalid '{param}': no earlier tool call has the id {message.tool_call_id!r}."
        raise BadRequest(text, param=param, code="invalid_value")
    return name


def arguments(text: str) -> Json:
    """A replayed call's arguments, which inbound checked to be a JSON object."""
    return cast(Json, orjson.loads(text))


def call_id(*parts: object) -> str:
    """An id for a call whose provider gave none: the same for the same answer."""
    text = "\x00".join(map(str, parts)).encode("utf-8", "replace")
    return "call_" + hashlib.blake2b(text, digest_size=12).hexdigest()
