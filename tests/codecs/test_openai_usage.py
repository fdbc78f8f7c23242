from __future__ import annotations

from typing import Any

import pytest

from reflex_core.codecs.openai_usage import openai_usage


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"prompt_tokens": 1, "completion_tokens": 2, "total_tokens": 4}, (1, 2, 4)),
        ({"prompt_tokens": 1, "completion_tokens": 2}, (1, 2, 3)),
        ({"prompt_tokens": 1}, (1, 0, 1)),
        ({"input_tokens": 3, "output_tokens": 4.0}, (3, 4, 7)),
        ({"prompt_tokens": True, "completion_tokens": 2}, (0, 2, 2)),
    ],
)
def test_counts(given: dict[str, Any], expected: tuple[int, int, int]) -> None:
    usage = openai_usage(given)
    assert usage is not None
    names = ("prompt_tokens", "completion_tokens", "total_tokens")
    assert tuple(usage[name] for name in names) == expected


@pytest.mark.parametrize("given", [None, {}, [], "x", {"total_tokens": 3}, {"prompt_tokens": "3"}])
def test_no_counts(given: Any) -> None:
    assert openai_usage(given) is None


@pytest.mark.parametrize(
    "name",
    ["prompt_cache_hit_tokens", "num_cached_tokens", "cached_tokens", "cache_read_input_tokens"],
)
def test_cached_tokens(name: str) -> None:
    usage = openai_usage({"prompt_tokens": 9, "completion_tokens": 1, name: 5})
    assert usage is not None
    assert usage["prompt_tokens_details"] == {"cached_tokens": 5}
    assert usage[name] == 5, "the host's own field stays"


def test_details_of_the_host_win() -> None:
    usage = openai_usage(
        {
            "prompt_tokens": 9,
            "completion_tokens": 1,
            "cached_tokens": 5,
            "reasoning_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 4},
            "completion_tokens_details": {"audio_tokens": 0},
        }
    )
    assert usage is not None
    assert usage["prompt_tokens_details"] == {"cached_tokens": 4}
    assert usage["completion_tokens_details"] == {"audio_tokens": 0, "reasoning_tokens": 3}
