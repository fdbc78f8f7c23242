"""Facts about Claude models, by every spelling of their names."""

from __future__ import annotations

import pytest

from reflex_core.codecs.claude_models import Claude, claude


@pytest.mark.parametrize(
    ("name", "same_as"),
    [
        ("claude-sonnet-4-5-20250929", "claude-sonnet-4-5"),
        ("anthropic/claude-sonnet-4.5", "claude-sonnet-4-5"),
        ("us.anthropic.claude-sonnet-4-5-20250929-v1:0", "claude-sonnet-4-5"),
        ("claude-sonnet-4-5@20250929", "claude-sonnet-4-5"),
        ("claude-opus-4-20250514", "claude-opus-4-0"),
        ("claude-4-opus-20250514", "claude-opus-4-0"),
        ("claude-3.7-sonnet", "claude-3-7-sonnet-latest"),
        ("anthropic.claude-3-7-sonnet-20250219-v1:0", "claude-3-7-sonnet-latest"),
        ("Claude-Opus-5-5", "claude-opus-5-5"),
        ("claude-sonnet-7", "claude-sonnet-5-5"),
    ],
)
def test_spellings(name: str, same_as: str) -> None:
    assert claude(name) == claude(same_as) != Claude()


@pytest.mark.parametrize(
    ("name", "max_output", "thinking", "sampling", "structured", "forced"),
    [
        ("claude-2.1", 4_096, "none", "both", False, True),
        ("claude-3-opus-20240229", 4_096, "none", "both", False, True),
        ("claude-3-5-sonnet-20241022", 8_192, "none", "both", False, True),
        ("claude-3-7-sonnet-20250219", 64_000, "budget", "both", False, True),
        ("claude-opus-4-20250514", 32_000, "budget", "both", False, True),
        ("claude-opus-4-1-20250805", 32_000, "budget", "one", False, True),
        ("claude-sonnet-4-5", 64_000, "budget", "one", True, True),
        ("claude-haiku-4-5", 64_000, "budget", "one", True, True),
        ("claude-opus-4-5", 64_000, "budget", "one", True, True),
        ("claude-sonnet-4-6", 128_000, "adaptive", "one", True, True),
        ("claude-opus-4-7", 128_000, "adaptive", "none", True, True),
        ("claude-sonnet-5", 128_000, "adaptive", "none", True, True),
        ("claude-fable-5", 128_000, "adaptive", "none", True, True),
        ("claude-fable-5-1", 128_000, "adaptive", "none", True, False),
        ("claude-opus-5-5", 128_000, "adaptive", "none", True, False),
        ("claude-sonnet-5-5", 128_000, "adaptive", "none", True, False),
        ("claude-haiku-5-5", 128_000, "adaptive", "none", True, True),
        ("MiniMax-M2", 8_192, "budget", "both", False, True),
    ],
)
def test_facts(
    name: str, max_output: int, thinking: str, sampling: str, structured: bool, forced: bool
) -> None:
    facts = claude(name)
    assert (facts.max_output, facts.thinking, facts.sampling) == (max_output, thinking, sampling)
    assert (facts.structured, facts.forced_tools) == (structured, forced)


def test_effort_is_never_lowered_where_a_level_is_left() -> None:
    assert claude("claude-opus-4-6").efforts == ("low", "medium", "high", "max")
    assert claude("claude-opus-4-6").effort("xhigh") == "max"
    assert claude("claude-opus-4-7").effort("xhigh") == "xhigh"
    assert claude("claude-opus-4-7").effort("minimal") == "low"
    assert Claude(efforts=("low", "high")).effort("max") == "high"
