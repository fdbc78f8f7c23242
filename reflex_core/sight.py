"""What the admin surface and the commands show and do, on top of a running App. All of it blocks."""

from __future__ import annotations

import asyncio
import logging
import threading
import time
from typing import TYPE_CHECKING

from . import why
from .events import Snapshot
from .journal import Record, record_json
from .ports import Entry
from .semantic_types import Query, SemanticHit
from .types import Json
from .wrong import report

if TYPE_CHECKING:
    from .app import App

logger = logging.getLogger("reflex")


_RECENT = 100
_TOP = 6
"""Rows on the dashboard."""
_FRESH = 0.9
"""Seconds."""
_MAX_BANS = 32
"""Neighbours of a wrong answer that are banned with it."""
_JUDGE_TIMEOUT = 10.0


class NotFound(Exception):
    """The journal does not hold what was asked for."""


class Sight:
    def __init__(self, app: App) -> None:
        self._app = app
        self._prompts = app.config.dashboard_prompts
        self._lock = threading.Lock()
        self._looked: tuple[float, Json] = (float("-inf"), {})

    # ------------------------------------------------------------------ looking

    def snapshot(self, since: int) -> Snapshot:
        """All that the dashboard shows, with the requests after the first `since`."""
        stats = self._app.stats
        added = stats.journal.added
        numbers = self._numbers()
        timeline = stats.timeline.rows(self._app.clock())
        value = {
            "stats": numbers,
            "timeline": timeline,
            "top": self.top(_TOP),
            "recent": self.recent(_RECENT, since),
            "prompts": self._prompts,
        }
        changing = {name: row for name, row in numbers.items() if name != "uptime"}
        return Snapshot(added, (changing, timeline), value)

    def _numbers(self) -> Json:
        """Shared by all who look within a second: counting a large store takes a while."""
        with self._lock:
            made, numbers = self._looked
            if time.monotonic() - made >= _FRESH:
                numbers = self._app.stats_json()
                self._looked = (time.monotonic(), numbers)
            return numbers

    def recent(self, limit: int, since: int = 0) -> list[Json]:
        """The last requests, newest first, of those after the first `since`."""
        return [self._record(record) for record in self._app.stats.journal.recent(limit, since)]

    def _record(self, record: Record) -> Json:
        stats = self._app.stats
        row = record_json(record, stats.at(record))
        row["explanation"] = why.sentence(record.status, why.reason(record))
        row["question"] = self._text(record.question)
        row["usd"] = None
        if record.tokens is not None:
            row["usd"] = self._app.prices.cost(record.provider, record.model, record.tokens)
        return row

    def top(self, limit: int) -> list[Json]:
        """The stored answers that were served most often since the start."""
        rows: list[Json] = []
        for key, served in self._app.stats.journal.top(limit):
            entry = self._app.storage.entry(key)
            rows.append({"key": key.hex(), "served": served, **self._entry(entry)})
        return rows

    def search(self, text: str, limit: int) -> list[Json]:
        """Stored answers by the first digits of their key, model, provider or namespace; by the
        question's text too where it may be shown."""
        now = self._app.clock()
        found = self._app.storage.search(text, limit, questions=self._prompts)
        return [
            {
                "key": entry.key.hex(),
                "hits": entry.hits,
                "age": now - entry.created,
                "expires_in": None if entry.expires is None else entry.expires - now,
                "bytes": len(entry.completion),
                **self._entry(entry),
            }
            for entry in found
        ]

    def why(self, id: str) -> Json:
        """Raises NotFound."""
        record = self._find(id)
        return why.explain(
            record,
            self._app.storage,
            self._app.stats.at(record),
            self._app.clock(),
            prompts=self._prompts,
        )

    def knows(self, id: str) -> bool:
        """Whether `why` and `wrong` know a request by this name."""
        return self._app.stats.journal.find(id) is not None

    def _find(self, id: str) -> Record:
        record = self._app.stats.journal.find(id) if id else None
        if record is None:
            raise NotFound("no such request among the last ones; it is known by its X-Reflex-Id")
        return record

    def _entry(self, entry: Entry | None) -> Json:
        if entry is None:
            return {"gone": True, "provider": "", "model": "", "question": None}
        return {
            "gone": False,
            "provider": entry.provider,
            "model": entry.model,
            "namespace": entry.namespace,
            "tenant": entry.tenant[:4].hex(),
            "semantic": not entry.exact_only,
            "question": self._text(entry.question),
        }

    def _text(self, question: str | None) -> str | None:
        return why.shown_text(question) if self._prompts else None

    # ------------------------------------------------------------------ marking as wrong

    def wrong(self, id: str, asked: str | None, loop: asyncio.AbstractEventLoop) -> Json:
        """The stored answer that request `id` got is never served for its question again.

        `asked` is the question's text where the caller knows it; `loop` the App's. An answer that was
        served for the very same request is deleted. Raises NotFound, ValueError, BackendError.
        """
        record = self._find(id)
        if record.entry is None:
            raise ValueError("this request was not answered from the store")
        app = self._app
        entry = app.storage.entry(record.entry)
        deleted = app.storage.purge("key", record.key.hex())
        if record.entry == record.key:
            return {"deleted": deleted, "banned": None, "also": [], "reported": False}
        if not record.asked:
            raise ValueError("nothing is known of this request's question")
        app.storage.bans.add(record.asked, record.entry)
        self._overrule_judge(record, entry)
        also = self._ban_equals(record, entry, loop)
        reported = self._report(record, asked, entry)
        logger.info("reflex: an answer was marked as wrong (key %s)", record.entry[:8].hex())
        return {
            "deleted": deleted,
            "banned": record.entry.hex(),
            "also": [key.hex() for key in also],
            "reported": reported,
        }

    def _overrule_judge(self, record: Record, entry: Entry | None) -> None:
        """A pair that the judge had accepted is not served in other scopes either."""
        storage = self._app.storage
        if entry is not None and entry.question is not None:
            stored = storage.bans.asked(record.tenant, entry.question)
            if storage.judged.of(record.asked).get(stored):
                storage.judged.put(record.asked, stored, False)

    def _ban_equals(
        self, record: Record, entry: Entry | None, loop: asyncio.AbstractEventLoop
    ) -> list[bytes]:
        """Stored questions that the verifier takes for the same as the wrong one are wrong as well."""
        storage, also = self._app.storage, list[bytes]()
        tier = storage.semantic
        if tier is None or entry is None or entry.question is None:
            return also
        known = frozenset([entry.key])
        while len(also) < _MAX_BANS:
            query = Query(
                entry.scope, entry.tenant, entry.question, self._app.clock(), banned=known
            )
            future = asyncio.run_coroutine_threadsafe(tier.lookup(query), loop)
            outcome = future.result(_JUDGE_TIMEOUT)
            if not isinstance(outcome, SemanticHit):
                break
            known |= {outcome.entry.key}
            if storage.bans.add(record.asked, outcome.entry.key):
                also.append(outcome.entry.key)
        return also

    def _report(self, record: Record, asked: str | None, entry: Entry | None) -> bool:
        """For the evaluation; False when a text is not known."""
        text = asked or record.question
        bans = self._app.storage.bans
        if text is None or entry is None or entry.question is None:
            return False
        if bans.asked(record.tenant, text) != record.asked:
            raise ValueError("this is not the text of that request's question")
        trace = record.trace
        candidates = trace.candidates if trace is not None else ()
        served = next((c for c in candidates if c.accepted), None)
        more: Json = {"model": record.model, "tenant": record.tenant.hex(), "at": self._app.clock()}
        if served is not None:
            more |= {"cosine": served.cosine, "score": served.score}
        report(self._app.config.storage_path, text, entry.question, more)
        return True
