"""Which answers are stored, and for whom."""

from __future__ import annotations

from typing import NamedTuple

from . import codec_store
from .errors import BackendError
from .types import Choice, Completion

_FINISHES = frozenset(["stop", "length", "tool_calls", "function_call"])


class Decision(NamedTuple):
    stored: bool
    reason: str | None
    """Why it is not stored, or why only for the exact key. Machine-readable."""
    exact_only: bool
    """Never for a similar question."""


def storable(completion: Completion, max_bytes: int) -> Decision:
    """Judge an answer that ended without an error. `max_bytes` limits its stored form.

    Not stored: incomplete, content-filter, unknown-finish, too-large, not-unicode.
    For the exact key only: several-choices, length, tool-calls, logprobs, refusal, empty.
    """
    if not completion.complete:
        return Decision(False, "incomplete", True)
    finishes = {choice.finish_reason for choice in completion.choices}
    if "content_filter" in finishes:
        return Decision(False, "content-filter", True)
    if not finishes <= _FINISHES:
        return Decision(False, "unknown-finish", True)
    try:
        size = len(codec_store.dump(completion))
    except BackendError:
        return Decision(False, "not-unicode", True)
    if size > max_bytes:
        return Decision(False, "too-large", True)
    first, *others = completion.choices
    reason = "several-choices" if others else _exact_only(first)
    return Decision(True, reason, reason is not None)


def _exact_only(choice: Choice) -> str | None:
    if choice.finish_reason == "length":
        return "length"
    if choice.tool_calls or choice.finish_reason != "stop":
        return "tool-calls"
    if choice.logprobs is not None:
        return "logprobs"
    if choice.refusal is not None:
        return "refusal"
    return None if choice.content else "empty"
