"""The evaluation script asks the product itself."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

import orjson
import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))

import eval_hits

USER = {"role": "user", "content": "What is the capital of Peru?"}
ROWS = [
    {"a": "What is the capital of Peru?", "b": "what is the capital of peru", "same_answer": True},
    {
        "a": "What is the capital of Peru?",
        "b": "What is the capital of Chile?",
        "same_answer": False,
    },
    {
        "a": [{"role": "system", "content": "Be brief."}, USER],
        "b": [{"role": "system", "content": "Be rude."}, USER],
        "same_answer": False,
        "category": "other-system",
    },
]


def test_through_the_app(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b"\n".join(map(orjson.dumps, ROWS)) + b"\n\n")
    cases = asyncio.run(eval_hits.evaluate(eval_hits.read([path]), {}))
    assert [c.served for c in cases] == [True, False, False]
    assert [c.category for c in cases] == ["unnamed", "unnamed", "other-system"]
    assert cases[0].reason == "verified"
    assert cases[1].reason.startswith("veto-")
    assert cases[2].reason == "no-neighbour"  # another scope
    assert cases[0].stages["embed"] > 0


def test_a_line_that_lacks_something_is_named(tmp_path):
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"a": "x", "b": "y"}\n')
    with pytest.raises(ValueError, match=r"rows\.jsonl:1"):
        eval_hits.read([path])
