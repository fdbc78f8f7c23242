"""Sources of an answer as annotations."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from reflex_core.codecs.gemini import CODEC
from reflex_core.types import Annotations
from tests.codecs.gemini_parts import PROTOCOL, TARGET, WHOLE, decoded
from tests.codecs.oracle_contract import fold
from tests.codecs.samples import sample


def test_grounding_becomes_annotations_counted_in_characters():
    choice = fold(decoded(sample(PROTOCOL, "grounding.sse"), True)).choices[0]
    links = [item["url_citation"] for item in choice.annotations]
    spans = [(choice.content or "")[link["start_index"] : link["end_index"]] for link in links]
    assert [(link["url"], link["title"]) for link in links] == [
        ("https://islands.example/aero", "Ærø"),
        ("https://islands.example/aero", "Ærø"),
        ("https://dk.example/", "dk.example"),
    ]
    assert spans == ["Ærø is an island.", "It is Danish 🇩🇰.", "It is Danish 🇩🇰."]
    assert choice.extra["grounding_metadata"]["webSearchQueries"] == ["aero island"]
    assert choice.extra["url_context_metadata"]["urlMetadata"]


def grounded(segment: dict[str, Any], answer: str) -> tuple[int, int]:
    metadata = {
        "groundingChunks": [{"web": {"uri": "u"}}],
        "groundingSupports": [{"segment": segment, "groundingChunkIndices": [0]}],
    }
    body = {"content": {"parts": [{"text": answer}]}, "groundingMetadata": metadata}
    events = CODEC.decode_json(WHOLE, TARGET, orjson.dumps({"candidates": [body]}))
    (found,) = [event for event in events if isinstance(event, Annotations)]
    link = found.items[0]["url_citation"]
    return link["start_index"], link["end_index"]


@pytest.mark.parametrize(
    ("segment", "span"),
    [
        ({"startIndex": 3, "endIndex": 6, "text": "bcd"}, (2, 5)),
        ({"startIndex": 3, "endIndex": 6}, (2, 5)),
        ({"startIndex": 0, "endIndex": 2, "text": "bcd"}, (2, 5)),
        ({"startIndex": 4, "endIndex": 9, "text": "elsewhere"}, (0, 5)),
        ({}, (0, 0)),
    ],
)
def test_segments_that_do_not_fit_are_looked_for(segment: dict[str, Any], span: tuple[int, int]):
    assert grounded(segment, "éabcd") == (span[0], span[1])


def test_recited_sources_come_once():
    events = decoded(sample(PROTOCOL, "citations.sse"), True)
    link = {
        "url": "https://plays.example/hamlet",
        "title": "https://plays.example/hamlet",
        "start_index": 0,
        "end_index": 19,
    }
    expected = Annotations(({"type": "url_citation", "url_citation": link},))
    assert [event for event in events if isinstance(event, Annotations)] == [expected]
