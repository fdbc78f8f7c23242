from __future__ import annotations

import io

import pytest
from mitmproxy import http
from mitmproxy.io import FlowReader, FlowWriter
from mitmproxy.test import tflow

from addons import notes
from addons.notes import Notes, scrub
from reflex_core.journal import Record
from reflex_core.replay.recorded import SCRUBBED
from reflex_core.semantic_types import Candidate, Trace

HIT = {"X-Reflex-Status": "hit-l3-verified", "Cache-Status": 'reflex; hit; ttl=5; key="00ff"'}


def a_flow(headers: dict[str, str]) -> http.HTTPFlow:
    flow = tflow.tflow(resp=True)
    flow.response = http.Response.make(200, b"{}", headers)
    return flow


def a_record() -> Record:
    return Record("id1", "anthropic", "claude-x", False, 0.0)


def saved(flow: http.HTTPFlow) -> http.HTTPFlow:
    """The flow as `-w` writes it and `-r` reads it."""
    file = io.BytesIO()
    FlowWriter(file).add(flow)
    file.seek(0)
    (found,) = FlowReader(file).stream()
    assert isinstance(found, http.HTTPFlow)
    return found


def test_a_hit() -> None:
    made, flow, record = Notes(), a_flow(HIT), a_record()
    made.recording = True
    made.begin(flow, record)
    best = Candidate(3, 17, 0.98765, 0.91234, 0.9, "verified")
    record.trace = Trace("verified", (best,))
    made.finish(flow)
    assert saved(flow).metadata["reflex"] == {
        "id": "id1",
        "status": "hit-l3-verified",
        "tier": "verified",
        "provider": "anthropic",
        "model": "claude-x",
        "key": "00ff",
        "reason": "verified",
        "distance": 17,
        "cosine": 0.9877,
        "score": 0.9123,
        "threshold": 0.9,
    }


def test_a_miss_with_what_the_provider_said() -> None:
    made = Notes()
    flow = a_flow({"X-Reflex-Status": "miss", "x-reflex-provider": "groq", "x-reflex-model": "l"})
    made.recording = True
    made.begin(flow, a_record())
    assert made.transcript(flow) is not None
    made.finish(flow)
    assert saved(flow).metadata["reflex"] == {
        "id": "id1",
        "status": "miss",
        "provider": "groq",
        "model": "l",
    }


def test_nothing_is_noted_when_nobody_reads() -> None:
    made, flow = Notes(), a_flow(HIT)
    made.begin(flow, a_record())
    assert made.transcript(flow) is None
    made.finish(flow)
    assert notes.KEY not in flow.metadata


def test_a_failed_flow() -> None:
    made, flow = Notes(), tflow.tflow(err=True)
    made.recording = True
    made.begin(flow, a_record())
    made.finish(flow)
    assert saved(flow).metadata["reflex"]["provider"] == "anthropic"


@pytest.mark.parametrize(
    "name", ["Authorization", "api-key", "x-api-key", "Cookie", "Proxy-Authorization"]
)
def test_scrub(name: str) -> None:
    flow = a_flow({"Set-Cookie": "session=very-secret"})
    flow.request.headers[name] = "Bearer very-secret"
    scrub(flow)
    file = io.BytesIO()
    FlowWriter(file).add(flow)
    assert b"very-secret" not in file.getvalue()
    assert SCRUBBED in flow.request.headers[name]
    other = a_flow({})
    scrub(other)
    assert name not in other.request.headers
