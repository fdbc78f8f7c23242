"""Our own streams, written from the protocols' documents, and what every decoder does with bytes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from reflex_core.codecs import Codec
from reflex_core.types import ChatRequest, Event, Target
from tests.codecs.oracle_contract import check_events, decode_stream, error_of, fold
from tests.wire import params

ROOT = Path(__file__).parents[1] / "samples"


def sample(protocol: str, name: str) -> bytes:
    """The bytes of one sample."""
    return (ROOT / protocol / name).read_bytes()


def sample_params(protocol: str, pattern: str) -> list[Any]:
    """Names of the samples that match, for parametrize."""
    found = sorted(path.name for path in (ROOT / protocol).glob(pattern))
    assert found, f"no sample {pattern} of {protocol}"
    return [pytest.param(name, id=name) for name in found]


def recorded_requests(protocol: str) -> list[Any]:
    """Recorded cases that were answered and whose request was kept, for parametrize."""
    return [
        param
        for param in params(protocol, errors=False)
        if param.values[0] is None or param.values[0].meta["request_file"]
    ]


def check_cut_short(codec: Codec, request: ChatRequest, target: Target, body: bytes) -> None:
    """However early a stream ends, it is complete or ends in one error."""
    for end in range(len(body)):
        events = decode_stream(codec, request, target, [body[:end]])
        check_events(events)
        assert error_of(events) or fold(events).complete, f"cut after {end} bytes"


def check_garbage(codec: Codec, request: ChatRequest, target: Target, body: bytes) -> None:
    """Whatever the bytes are: no exception, the same events however cut, and one error."""
    events = decode_stream(codec, request, target, [body])
    assert decode_stream(codec, request, target, (bytes([b]) for b in body)) == events
    check_events(events)
    assert error_of(events) or fold(events).complete
    check_json(codec, request, target, body)


def check_json(codec: Codec, request: ChatRequest, target: Target, body: bytes) -> list[Event]:
    """A whole answer is complete, or an error is all there is after it."""
    events = codec.decode_json(request, target, body)
    check_events(events)
    assert error_of(events) or fold(events).complete
    return events
