"""Token counts of OpenAI-compatible hosts in OpenAI's places."""

from __future__ import annotations

from typing import Any, cast

from ..types import Json
from .common import integer

_CACHED = (
    "prompt_cache_hit_tokens",
    "cache_read_input_tokens",
    "num_cached_tokens",
    "cached_tokens",
)
"""DeepSeek, Databricks and Snowflake, Mistral, Moonshot."""


def openai_usage(value: Any) -> Json | None:
    """`usage` with what OpenAI clients read filled in; all the host's own fields stay.

    None when `value` holds no counts.
    """
    if not isinstance(value, dict):
        return None
    given = cast(Json, value)
    prompt = _count(given, "prompt_tokens", "input_tokens")
    completion = _count(given, "completion_tokens", "output_tokens")
    if prompt is None and completion is None:
        return None
    total = _count(given, "total_tokens")
    usage: Json = {
        **given,
        "prompt_tokens": prompt or 0,
        "completion_tokens": completion or 0,
        "total_tokens": (prompt or 0) + (completion or 0) if total is None else total,
    }
    _detail(usage, "prompt_tokens_details", "cached_tokens", _count(given, *_CACHED))
    _detail(
        usage,
        "completion_tokens_details",
        "reasoning_tokens",
        _count(given, "reasoning_tokens"),
    )
    return usage


def _count(value: Json, *names: str) -> int | None:
    for name in names:
        if (number := integer(value.get(name))) is not None:
            return number
    return None


def _detail(usage: Json, group: str, name: str, count: int | None) -> None:
    details = usage.get(group)
    if not isinstance(details, dict):
        usage.pop(group, None)
        details = cast(Json, {})
    if count is not None and cast(Json, details).get(name) is None:
        usage[group] = {**cast(Json, details), name: count}
