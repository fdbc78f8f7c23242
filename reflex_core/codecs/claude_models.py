"""What each Claude model accepts, as data: Anthropic's own API and Bedrock share it.

Source: platform.claude.com/docs (models overview, thinking, effort, structured outputs, migration
guides up to Opus 5.5, Sonnet 5.5, Haiku 5.5 and Fable 5.1). Rules go by family and version, so
that a model newer than this file is taken to behave like the newest of its family.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

_NEW = re.compile(r"claude-(opus|sonnet|haiku|fable|mythos)-(\d+)(?:[-.](\d{1,2})(?!\d))?")
_OLD = re.compile(r"claude-(\d+)(?:[-.](\d{1,2})(?!\d))?-(opus|sonnet|haiku)")
_ANCIENT = re.compile(r"claude-(?:v?[12]|instant)")

BUDGETS = {
    "minimal": 1024,
    "low": 2048,
    "medium": 8192,
    "high": 16384,
    "xhigh": 32768,
    "max": 32768,
}
"""`reasoning_effort` -> thinking tokens, for models that take a budget."""
MIN_BUDGET = 1024


@dataclass(frozen=True, slots=True)
class Claude:
    """One model's limits. The defaults suit an unknown model behind an Anthropic-shaped API."""

    max_output: int = 8192
    """Tokens; sent as `max_tokens` when the client names none."""
    thinking: Literal["none", "budget", "adaptive"] = "budget"
    efforts: tuple[str, ...] = ()
    """Levels of `output_config.effort`, lowest first."""
    off: Literal["omit", "disabled", "between_tools", "never"] = "omit"
    """How thinking is turned off; "never": it can't be."""
    sampling: Literal["both", "one", "none"] = "both"
    """Whether temperature and top_p may be sent: together, one of them, or neither."""
    structured: bool = False
    """Takes JSON schemas natively (`output_config.format`, strict tools)."""
    forced_tools: bool = True
    """Takes tool_choice `any` and `tool`."""
    hides_thinking: bool = False
    """Thinking text comes only when `display: summarized` asks for it."""

    def effort(self, wanted: str) -> str:
        """The level nearest to an OpenAI `reasoning_effort`, never a lower one where one exists."""
        order = ("minimal", "low", "medium", "high", "xhigh", "max")
        at = order.index(wanted)
        return next((level for level in self.efforts if order.index(level) >= at), self.efforts[-1])


@lru_cache(maxsize=512)
def claude(model: str) -> Claude:
    """Facts for a model name in any of its spellings: plain, dated, Bedrock's, OpenRouter's."""
    name = model.lower()
    if match := _NEW.search(name):
        family, version = match[1], (int(match[2]), int(match[3] or 0))
    elif match := _OLD.search(name):
        family, version = match[3], (int(match[1]), int(match[2] or 0))
    elif _ANCIENT.search(name):
        return Claude(max_output=4096, thinking="none")
    else:
        return Claude()
    return _facts(family, version)


def _facts(family: str, version: tuple[int, int]) -> Claude:
    if version < (3, 7):
        return Claude(max_output=8192 if version == (3, 5) else 4096, thinking="none")
    newest = version >= (4, 7)
    return Claude(
        max_output=_max_output(family, version),
        thinking="adaptive" if version >= (4, 6) else "budget",
        efforts=_efforts(version),
        off=_off(family, version),
        sampling="none" if newest else "one" if version >= (4, 1) else "both",
        structured=version >= (4, 5),
        forced_tools=version < _UNFORCED.get(family, (99, 0)),
        hides_thinking=newest,
    )


_UNFORCED = {"opus": (5, 5), "sonnet": (5, 5), "fable": (5, 1), "mythos": (5, 1)}
"""First version of a family that answers a forced tool_choice with 400."""


def _max_output(family: str, version: tuple[int, int]) -> int:
    if version >= (4, 6):
        return 128_000
    return 32_000 if family == "opus" and version < (4, 5) else 64_000


def _efforts(version: tuple[int, int]) -> tuple[str, ...]:
    if version < (4, 6):
        return ()
    middle = ("xhigh",) if version >= (4, 7) else ()
    return ("low", "medium", "high", *middle, "max")


def _off(
    family: str, version: tuple[int, int]
) -> Literal["omit", "disabled", "between_tools", "never"]:
    if version < (5, 0):
        return "omit"
    if family in ("fable", "mythos") or (family == "opus" and version >= (5, 5)):
        return "never"
    return "between_tools" if family == "sonnet" and version >= (5, 5) else "disabled"
