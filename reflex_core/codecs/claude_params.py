"""Parameters of a Prompt for providers that know fewer of them: refuse, drop or map.

The rule: what would change the meaning of the answer is refused with a 400 that names the field;
what only tunes it is dropped, and listed so that the client gets a warning header.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Literal

import orjson

from ..types import Json, Message, Part, Prompt, TextPart, Tool
from . import native
from .claude_models import BUDGETS, MIN_BUDGET, Claude
from .closed_schema import MAX_STRICT_TOOLS, Closed, close, fits

_BAD_ID = re.compile(r"[^a-zA-Z0-9_-]")


def check(prompt: Prompt) -> None:
    """Raise BadRequest for what neither Claude nor Converse does."""
    if prompt.n > 1:
        native.refuse("n", "this provider gives one choice per request")
    if prompt.logprobs or prompt.top_logprobs:
        native.refuse("logprobs", "this provider has no log probabilities")
    for i, stop in enumerate(prompt.stop):
        if not stop.strip():
            native.refuse(f"stop[{i}]", "a stop sequence needs a visible character here")
    native.check_tool_choice(prompt)


def unmapped(prompt: Prompt, mapped: Collection[str]) -> list[str]:
    """Names of set parameters without an equivalent; `mapped` are those that a codec sends on."""
    named = {
        "seed": prompt.seed is not None,
        "presence_penalty": bool(prompt.presence_penalty),
        "frequency_penalty": bool(prompt.frequency_penalty),
        "messages.name": any(m.name and m.role in ("user", "assistant") for m in prompt.messages),
        "messages.reasoning_content": any(m.reasoning for m in prompt.messages),
        "image_url.detail": any(
            getattr(part, "detail", None) not in (None, "auto")
            for m in prompt.messages
            for part in m.parts
        ),
    }
    left = native.leftovers(prompt, mapped)
    return [name for name in left if name not in mapped] + [
        name for name, is_set in named.items() if is_set
    ]


def safe_id(id: str, longest: int = 256) -> str:
    """A tool call id within `[a-zA-Z0-9_-]{1,longest}`: the same for the call and its result."""
    if len(id) <= longest and not _BAD_ID.search(id):
        return id
    digest = hashlib.blake2b(id.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{_BAD_ID.sub('_', id)[: longest - 17]}_{digest}"


def in_tool_loop(prompt: Prompt) -> bool:
    """True when the model goes on after tool results, within the same assistant turn."""
    return prompt.messages[-1].role == "tool"


def says(part: Part) -> bool:
    """False for blank text, which these providers refuse and which says nothing."""
    return not isinstance(part, TextPart) or bool(part.text.strip())


def texts(message: Message) -> list[str]:
    """Its text parts, without blank ones."""
    return [part.text for part in message.parts if isinstance(part, TextPart) and says(part)]


# --------------------------------------------------------------------------- sampling, thinking


def sampling(prompt: Prompt, claude: Claude, thinking: bool, dropped: list[str]) -> Json:
    """`temperature`, `top_p`, `top_k`, as far as the model takes them.

    Claude's default of temperature and top_p is 1: leaving out a 1 loses nothing.
    """
    out: Json = {}
    if prompt.temperature is not None:
        out["temperature"] = min(prompt.temperature, 1)
        if prompt.temperature > 1:
            dropped.append("temperature>1")
    if prompt.top_p is not None:
        out["top_p"] = prompt.top_p
    top_k = prompt.extra.get("top_k")
    if isinstance(top_k, int) and not isinstance(top_k, bool):
        out["top_k"] = top_k
    refused = {"temperature", "top_p", "top_k"} if claude.sampling == "none" else set[str]()
    if thinking:
        refused |= {"top_k"} | ({"temperature"} if out.get("temperature", 1) != 1 else set())
        refused |= {"top_p"} if out.get("top_p", 1) < 0.95 else set()
    if claude.sampling == "one" and {"temperature", "top_p"} <= out.keys() - refused:
        refused.add("temperature" if out["temperature"] == 1 else "top_p")
    dropped += [name for name, value in out.items() if name in refused and value != 1]
    return {name: value for name, value in out.items() if name not in refused}


@dataclass(frozen=True, slots=True)
class Thinking:
    config: Json | None = None
    """The `thinking` field."""
    effort: str | None = None
    """`output_config.effort`."""

    @property
    def on(self) -> bool:
        return self.config is not None and self.config["type"] in ("enabled", "adaptive")


def thinking(
    prompt: Prompt, claude: Claude, max_tokens: int, forced: bool, dropped: list[str]
) -> Thinking:
    """`reasoning_effort` in Claude's terms. `forced`: a tool call is forced."""
    wanted = prompt.reasoning_effort
    if wanted is None:
        return Thinking()
    if wanted == "none":
        if claude.off in ("disabled", "between_tools"):
            return Thinking({"type": claude.off})
        if claude.off == "never":
            dropped.append("reasoning_effort=none")
            return Thinking(effort=claude.effort("low"))
        return Thinking()
    if claude.thinking == "adaptive":
        display = {"display": "summarized"} if claude.hides_thinking else {}
        return Thinking({"type": "adaptive", **display}, claude.effort(wanted))
    unfit = forced or in_tool_loop(prompt) or prompt.messages[-1].role == "assistant"
    if claude.thinking == "none" or unfit or max_tokens <= MIN_BUDGET:
        dropped.append("reasoning_effort")
        return Thinking()
    budget = min(BUDGETS[wanted], max(MIN_BUDGET, max_tokens // 2))
    return Thinking({"type": "enabled", "budget_tokens": budget})


# --------------------------------------------------------------------------- structured output


@dataclass(frozen=True, slots=True)
class Output:
    """How a response_format is brought about."""

    how: Literal["plain", "native", "tool", "instruction"] = "plain"
    schema: Json | None = None
    tool: str | None = None
    """Name of the tool whose input is the answer."""
    instruction: str | None = None
    closed: Closed | None = None

    @property
    def lost(self) -> list[str]:
        """Schema keywords that became text, by name, for the list of what was dropped."""
        moved = sorted(self.closed.moved) if self.closed else ()
        return [f"response_format.json_schema.schema.{name}" for name in moved]


def output(prompt: Prompt, *, native: bool, forced_tools: bool) -> Output:
    """Natively where the model can and a closed grammar can express the schema, else by a forced
    tool, else by an instruction in the system prompt."""
    wanted = prompt.response_format
    if wanted is None or wanted.kind == "text":
        return Output()
    if wanted.kind == "json_object" or wanted.schema is None:
        return Output("instruction", instruction=_INSTRUCTION)
    closed = close(wanted.schema) if native else None
    if closed is not None and fits([closed]):
        return Output("native", closed.schema, closed=closed)
    choice = prompt.tool_choice
    client_forces = choice is not None and choice.mode in ("required", "named")
    if forced_tools and not client_forces and wanted.schema.get("type") == "object":
        return Output("tool", wanted.schema, _free_name(prompt))
    text = orjson.dumps(wanted.schema).decode()
    return Output("instruction", instruction=f"{_INSTRUCTION} It must match this schema:\n{text}")


_INSTRUCTION = "Answer with one JSON object and nothing else: no code fence, no other text."


def _free_name(prompt: Prompt) -> str:
    taken = {tool.name for tool in prompt.tools}
    name = "json_output"
    while name in taken:
        name += "_"
    return name


def output_description(prompt: Prompt) -> str:
    """What the tool that carries the answer says of itself."""
    wanted = prompt.response_format
    said = wanted.description if wanted else None
    return "Give the final answer to the user with this tool." + (f" {said}" if said else "")


# --------------------------------------------------------------------------- tools


def object_schema(tool: Tool, path: str) -> Json:
    """The tool's input schema. Raises BadRequest where it is not one of an object."""
    schema: Json = dict(tool.parameters or {"properties": {}})
    if schema.setdefault("type", "object") != "object":
        native.refuse(f"{path}.function.parameters", "it must be the schema of an object")
    return schema


def strict_schemas(prompt: Prompt, supported: bool, answer: Output, dropped: list[str]) -> Json:
    """Schemas of the strict tools, by name: all of them or, beyond the API's limits, none."""
    wanted = [tool for tool in prompt.tools if tool.strict]
    if not wanted:
        return {}
    closed = {tool.name: close(tool.parameters or {"type": "object"}) for tool in wanted}
    able = {name: item for name, item in closed.items() if item is not None}
    together = [*able.values(), *([answer.closed] if answer.closed else [])]
    too_many = len(wanted) > MAX_STRICT_TOOLS or not fits(together)
    if not supported or len(able) < len(closed) or too_many:
        dropped.append("tools.strict")
        return {}
    return {name: item.schema for name, item in able.items()}
