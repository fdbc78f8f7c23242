"""What a saved flow says beside its bodies: `flow.metadata["reflex"]`; and what it must not say.

mitmproxy's own addons that save flows run after scripts in each hook, so what is set in `response` and
`error` is in the file.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any
from weakref import WeakKeyDictionary

from mitmproxy import flow as mflow
from mitmproxy import http

from reflex_core.journal import Record
from reflex_core.replay.recorded import SCRUBBED
from reflex_core.semantic_types import Trace
from reflex_core.transcript import Transcript

KEY = "reflex"
_CREDENTIALS = ("authorization", "proxy-authorization", "api-key", "x-api-key", "cookie")
_STORED_KEY = re.compile(r'key="([0-9a-f]+)"')


@dataclass
class _Note:
    record: Record
    transcript: Transcript | None = None


class Notes:
    """Notes for flows under way. `recording`: somebody saves or shows flows."""

    def __init__(self) -> None:
        self.recording = False
        self._notes: WeakKeyDictionary[mflow.Flow, _Note] = WeakKeyDictionary()

    def begin(self, flow: http.HTTPFlow, record: Record) -> None:
        """A chat request was understood."""
        if self.recording:
            self._notes[flow] = _Note(record)

    def transcript(self, flow: http.HTTPFlow) -> Transcript | None:
        """For what the provider says, when it is asked; None when nobody will read it."""
        note = self._notes.get(flow)
        if note is None:
            return None
        note.transcript = Transcript()
        return note.transcript

    def finish(self, flow: http.HTTPFlow) -> None:
        """The flow has its answer, or failed."""
        note = self._notes.pop(flow, None)
        if note is not None:
            flow.metadata[KEY] = _metadata(flow, note)


def _metadata(flow: http.HTTPFlow, note: _Note) -> dict[str, Any]:
    """Plain values. What is not known is left out."""
    record = note.record
    headers = flow.response.headers if flow.response else http.Headers()
    found = _STORED_KEY.search(headers.get("cache-status", ""))
    out: dict[str, Any] = {
        "id": record.id,
        "status": headers.get("x-reflex-status"),
        "provider": headers.get("x-reflex-provider", record.provider),
        "model": headers.get("x-reflex-model", record.model),
        "key": found[1] if found else None,
        "tier": _TIERS.get(headers.get("x-reflex-status", "")),
        **_nearest(record.trace),
    }
    if note.transcript is not None:
        out["upstream"] = note.transcript.to_json() or None
    return {name: value for name, value in out.items() if value is not None}


_TIERS = {"hit-l1-exact": "exact", "hit-l2-semantic": "semantic", "hit-l3-verified": "verified"}


def _nearest(trace: Any) -> dict[str, Any]:
    """The candidate of the semantic tier that was served, or came nearest."""
    if not isinstance(trace, Trace):
        return {}
    out: dict[str, Any] = {"reason": trace.reason}
    if trace.candidates:
        best = trace.candidates[0]
        out |= {
            "distance": best.distance,
            "cosine": round(best.cosine, 4),
            "score": None if best.score is None else round(best.score, 4),
            "threshold": best.threshold,
        }
    return out


def scrub(flow: http.HTTPFlow) -> None:
    """Hide the credentials of an answered flow, also in what the server set."""
    for name in _CREDENTIALS:
        if name in flow.request.headers:
            bearer = name.endswith("authorization")
            flow.request.headers[name] = f"Bearer {SCRUBBED}" if bearer else SCRUBBED
    if flow.response is not None:
        flow.response.headers.pop("set-cookie", None)
