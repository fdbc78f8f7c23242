"""Why a request was answered as it was: the tiers it went through, its neighbours, what differs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import orjson

from . import fingerprint
from .errors import BackendError
from .journal import Record
from .ports import Entry, StoredRequest
from .replay import diff, nearest
from .replay.diff import Difference
from .storage import Storage
from .types import Json

if TYPE_CHECKING:
    from .semantic_types import Candidate

CANDIDATES = 500
"""Stored requests a miss is compared with: those used last."""
_MAX_DIFFERENCES = 50
_MAX_TEXT = 400
"""Characters of a question that are shown."""

SENTENCES = {
    "hit-l1-exact": "The same request had been answered before.",
    "hit-l2-semantic": "A stored question was close enough; no verifier is in use.",
    "hit-l3-verified": "A stored question means the same, by the verifier's judgement.",
    "judged": "A stored question means the same, by the judge's verdict on this pair.",
    "joined-similar": "A question that means the same was on its way: both share its answer.",
    "coalesced": "The same request was on its way: both share one upstream answer.",
    "continued": "The rest of an answer that had broken off was asked for.",
    "stale": "Everything failed, so an answer past its TTL was served.",
    "no-entry": "Nothing is stored for this request.",
    "no-cache": "The client said no-cache.",
    "cache-off": "The cache is turned off (reflex_cache).",
    "store-failed": "The store could not be read; the log says more.",
    "store-unavailable": "There is no usable storage folder; answers are kept in memory only.",
    "malformed": "The messages are not in a form that can be compared; only an equal request matches.",
    "several-choices": "It asks for several choices; only an equal request matches.",
    "logprobs": "It asks for logprobs; only an equal request matches.",
    "legacy-functions": "It uses `functions`; only an equal request matches.",
    "audio-output": "It asks for audio; only an equal request matches.",
    "not-from-user": "The last message is not the user's; only an equal request matches.",
    "tool-results": "It holds tool results; only an equal request matches.",
    "not-text": "It holds images, audio or files; only an equal request matches.",
    "empty-question": "The last message is empty; only an equal request matches.",
    "context-dependent": "The last message says little without the turns before it; only an equal"
    " request matches.",
    "semantic-off": "Nothing equal is stored, and similar questions are not looked for.",
    "index-building": "Nothing equal is stored, and the index was still being built.",
    "semantic-unavailable": "Nothing equal is stored, and the semantic tier does not work; the log"
    " says more.",
    "embed-queue-full": "Nothing equal is stored, and too many lookups were waiting.",
    "lookup-timeout": "Nothing equal is stored, and the lookup of similar questions took too long.",
    "lookup-failed": "Nothing equal is stored, and the lookup of similar questions failed.",
    "text-too-long": "Nothing equal is stored, and the question is longer than the embedder reads.",
    "no-neighbour": "Nothing equal is stored, and no question in the same scope.",
    "too-far": "Nothing equal is stored, and no stored question is near enough.",
    "other-language": "The nearest stored question is in another language.",
    "no-token-vectors": "The nearest stored question lacks what the verifier compares.",
    "other-scope": "The nearest stored question belongs to another conversation or client.",
    "exact-only": "The nearest stored answer may only be served to an equal request.",
    "below-threshold": "The nearest stored question may mean something else, by the verifier's"
    " judgement.",
    "judged-different": "The nearest stored question means something else, by the judge's verdict or"
    " a recheck.",
    "marked-wrong": "The nearest stored answer was marked as wrong for this question.",
    "too-old": "The nearest stored answer is older than the client's max-age.",
    "expired": "The nearest stored answer has expired.",
}
"""For a status or, where it says more, the reason in `detail`. Vetoes come as `veto-…`."""


def explain(record: Record, storage: Storage, at: float, now: float, *, prompts: bool) -> Json:
    """Everything that is known of one request. `at` and `now` are unix seconds. Blocks.

    Texts of questions are among it only with `prompts`; what looks like a secret never is.
    """
    why = reason(record)
    return {
        "id": record.id,
        "flow": record.flow or None,
        "at": at,
        "status": record.status,
        "code": record.code,
        "provider": record.provider,
        "model": record.model,
        "key": record.key.hex(),
        "ms": round(record.seconds * 1000, 3),
        "reason": why,
        "explanation": sentence(record.status, why),
        "question": shown_text(record.question) if prompts else None,
        "tiers": _tiers(record, why),
        "served": _served(record, storage, now, prompts),
        "neighbours": _neighbours(record, storage, now, prompts),
        "nearest": None if record.hit else _nearest(record, storage, prompts),
        "seconds": dict(record.trace.seconds) if record.trace else {},
    }


def sentence(status: str, reason: str) -> str:
    """One sentence for people."""
    if reason.startswith("veto-"):
        what = reason.removeprefix("veto-").replace("-", " ")
        return f"The nearest stored question differs in a way that must not be ignored: {what}."
    if reason in SENTENCES:
        return SENTENCES[reason]
    return SENTENCES.get(status, "The provider was asked.")


def shown_text(question: str | None) -> str | None:
    """The beginning of a question, without what looks like a secret."""
    if question is None:
        return None
    text = diff.mask(question)
    return text if len(text) <= _MAX_TEXT else text[:_MAX_TEXT] + "…"


def lines(told: Json) -> list[str]:
    """What `explain` gave, for a terminal."""
    out = [
        f"{told['status']} ({told['code']}, {told['ms']:.1f} ms): {told['explanation']}",
        f"id {told['id']}, key {told['key'][:16]}, {told['provider']}::{told['model']}",
    ]
    out += [f"{row['tier']}: {row['outcome']}" for row in told["tiers"]]
    for row in told["neighbours"]:
        score = "" if row["score"] is None else f", score {row['score']:.3f}"
        limit = "" if row["threshold"] is None else f" (threshold {row['threshold']:.3f})"
        out.append(
            f"neighbour {row['key'][:16]}: distance {row['distance']}, cosine {row['cosine']:.3f}"
            f"{score}{limit}: {row['reason']}"
        )
    if told["nearest"] is not None:
        out.append(f"nearest stored request: key {told['nearest']['key'][:16]}, which differs in:")
        out += [f"  {_difference_line(row)}" for row in told["nearest"]["differences"]]
    return out


def _difference_line(row: Json) -> str:
    return str(Difference(row["path"], row["change"], row["stored"], row["asked"]))


# --------------------------------------------------------------------------- parts


def reason(record: Record) -> str:
    """Machine-readable; empty for a hit that its status explains."""
    first = (record.detail or "").partition(" ")[0]
    if record.hit:
        return first if first in ("judged", "joined-similar") else ""
    return str(record.trace.reason) if record.trace is not None else first


def _tiers(record: Record, reason: str) -> list[Json]:
    status = record.status
    if reason in ("no-cache", "cache-off"):
        rows = [("memory and store", f"not asked: {reason}")]
    elif status in ("hit-l1-exact", "coalesced", "continued"):
        rows = [("memory and store", "hit" if status == "hit-l1-exact" else "no equal request")]
    else:
        rows = [("memory and store", "no equal request"), *_semantic_tiers(record, reason)]
    if status == "coalesced":
        rows.append(("in flight", "joined an equal request"))
    elif not record.hit:
        rows.append(("provider", f"asked, {record.code}" if record.upstream else "not asked"))
    return [{"tier": tier, "outcome": outcome} for tier, outcome in rows]


def _semantic_tiers(record: Record, reason: str) -> list[tuple[str, str]]:
    if record.trace is None:
        return [("similar questions", f"not asked: {reason or 'exact-only'}")]
    judged = [c for c in record.trace.candidates if c.score is not None]
    rows = [("similar questions", f"{len(record.trace.candidates)} near")]
    if judged or record.status == "hit-l3-verified":
        accepted = f"none accepted: {reason}"
        if record.hit:
            accepted = "one accepted" + (f": {reason}" if reason else "")
        rows.append(("verifier", f"{len(judged)} judged, {accepted}"))
    elif not record.hit:
        rows[0] = ("similar questions", f"{len(record.trace.candidates)} near: {reason}")
    return rows


def _served(record: Record, storage: Storage, now: float, prompts: bool) -> Json | None:
    if record.entry is None:
        return None
    entry = storage.entry(record.entry)
    return {"key": record.entry.hex(), **_entry(entry, now, prompts)}


def _neighbours(record: Record, storage: Storage, now: float, prompts: bool) -> list[Json]:
    if record.trace is None:
        return []
    candidates: Sequence[Candidate] = record.trace.candidates
    return [
        {
            "distance": candidate.distance,
            "cosine": candidate.cosine,
            "score": candidate.score,
            "threshold": candidate.threshold,
            "reason": candidate.reason,
            **_entry(storage.entry_by_id(candidate.id), now, prompts),
        }
        for candidate in candidates
    ]


def _entry(entry: Entry | None, now: float, prompts: bool) -> Json:
    if entry is None:
        return {"key": "", "gone": True, "question": None}
    return {
        "key": entry.key.hex(),
        "gone": False,
        "model": entry.model,
        "age": now - entry.created,
        "question": shown_text(entry.question) if prompts else None,
    }


def _nearest(record: Record, storage: Storage, prompts: bool) -> Json | None:
    """The stored request of the same client that comes nearest, and what differs."""
    if record.fingerprint is None:
        return None
    try:
        stored = [r for r in storage.requests(record.tenant, CANDIDATES) if r.key != record.key]
    except BackendError:
        return None
    bodies = [(request, _body(request)) for request in stored]
    prints = [(r, fingerprint.fingerprint(body)) for r, body in bodies if body is not None]
    found = fingerprint.nearest(record.fingerprint, [(r, p) for r, p in prints if p is not None])
    if found is None:
        return None
    rows = _differences(record, found, prompts)[:_MAX_DIFFERENCES]
    return nearest.as_json(nearest.Nearest(found, tuple(rows)))


def _differences(record: Record, found: StoredRequest, prompts: bool) -> list[Difference]:
    stored = _body(found) or {}
    if prompts and record.body is not None:
        return diff.differences(stored, record.body)
    mine = fingerprint.fingerprint(stored)
    return [] if mine is None else fingerprint.differences(mine, record.fingerprint)


def _body(request: StoredRequest) -> Json | None:
    try:
        body = orjson.loads(request.body)
    except orjson.JSONDecodeError:
        return None
    return body if isinstance(body, dict) else None
