"""Our own answers in OpenAI's protocol (tests/samples/openai-chat), with what they must mean."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from tests.codecs.oracle_contract import ChoiceSummary, Summary, target_for

SAMPLES = Path(__file__).parents[1] / "samples" / "openai-chat"
NAMES = sorted(path.name for path in SAMPLES.iterdir() if not path.name.endswith("expected.json"))
TARGET = target_for("openai-chat")


def sample(name: str) -> tuple[bytes, dict[str, Any]]:
    expected = json.loads((SAMPLES / f"{name}.expected.json").read_bytes())
    return (SAMPLES / name).read_bytes(), expected


def as_summary(expected: dict[str, Any]) -> Summary:
    choices = [
        ChoiceSummary(**{**item, "tool_calls": tuple(map(tuple, item.get("tool_calls", ())))})
        for item in expected["choices"]
    ]
    used = expected.get("usage")
    return Summary(tuple(choices), tuple(used) if used else None)
