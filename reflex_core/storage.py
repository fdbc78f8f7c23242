"""Everything that is kept: the memory tier, the SQLite store and its writer. Breaks without harm."""

from __future__ import annotations

import logging
import math
import secrets
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from . import codec_store, semantic_parts
from .backends.sqlite import SqliteStore
from .backends.sqlite_files import SECRET_BYTES, tenant_secret
from .config import Config
from .errors import BackendError
from .memory import MemoryTier, matching
from .pairs import Pairs
from .ports import Entry, StoredRequest
from .semantic import SemanticTier
from .semantic_types import Parts
from .types import Completion, Keys, Meaning, Target
from .writer import Limits, Writer
from .wrong import Bans, forget
from .wrong_rate import WrongRate

logger = logging.getLogger("reflex")

JUDGED = "judged.txt"
MAX_JUDGED = 20_000
_PURGE_TIMEOUT = 30.0
_CLOSE_TIMEOUT = 10.0
"""Seconds."""


class Storage:
    """Opened and closed in a worker thread; `put` and `touch` only enqueue."""

    def __init__(
        self, config: Config, clock: Callable[[], float], load: Callable[[], Parts | None]
    ) -> None:
        """`load` makes the parts of the semantic tier."""
        self._config = config
        self._clock = clock
        self._load = load
        self.memory = MemoryTier(config.l1_capacity, config.l1_size)
        self.secret = secrets.token_bytes(SECRET_BYTES)
        self.store: SqliteStore | None = None
        self.writer: Writer | None = None
        self.bans = Bans(None, self.secret)
        self.judged = Pairs(None, MAX_JUDGED)
        """What the judge and rechecks said of pairs of questions, as `Bans.asked`."""
        self.wrong_rate = WrongRate(None, config.max_wrong)
        self.semantic: SemanticTier | None = None

    def open(self) -> None:
        """Never raises: without a usable folder answers are kept in memory only."""
        config = self._config
        if not config.cache:
            return
        try:
            self.secret = tenant_secret(config.storage_path)
        except BackendError as error:
            # An error while starting would make mitmdump exit.
            logger.warning("reflex: nothing will be kept beyond this run: %s", error)
            return
        self._open_bans()
        self.store = SqliteStore(config.storage_path, config.max_size, log=logger.warning)
        self.writer = Writer(
            self.store,
            on_stored=self._stored,
            on_removed=self._removed,
            clock=self._clock,
            limits=Limits(keep_expired_s=math.inf if config.offline else config.stale_if_error),
        )
        self._warm(self.store)
        if config.semantic:
            self.semantic = SemanticTier(
                self.store,
                self._load,
                semantic_parts.settings(config),
                self.wrong_rate.tightened,
            )
            self.semantic.start()

    def _open_bans(self) -> None:
        try:
            self.bans = Bans(self._config.storage_path, self.secret)
        except BackendError as error:
            logger.warning("reflex: answers marked as wrong are not known: %s", error)
            self.bans = Bans(None, self.secret)
        try:
            self.judged = Pairs(self._config.storage_path / JUDGED, MAX_JUDGED)
            self.wrong_rate = WrongRate(self._config.storage_path, self._config.max_wrong)
        except BackendError as error:
            logger.warning("reflex: verdicts on similar questions are not known: %s", error)

    def _warm(self, store: SqliteStore) -> None:
        """The answers used last go to memory; a damaged one is left out."""
        try:
            now = 0.0 if self._config.offline else self._clock()
            recent = store.recent(self._config.l1_capacity, now)
        except BackendError:
            return  # the store has said so in the log
        for entry in reversed(recent):
            try:
                self.memory.put(entry, codec_store.load(entry.completion))
            except BackendError as error:
                logger.debug("reflex: a stored answer is damaged: %s", error)

    def close(self) -> None:
        if self.writer is not None:
            self.writer.close(_CLOSE_TIMEOUT)
        if self.semantic is not None:
            self.semantic.close()
        if self.store is not None:
            self.store.close()

    def _stored(self, entries: Sequence[Entry]) -> None:
        self.memory.stored(entries)
        if self.semantic is not None:
            self.semantic.note_stored(entries)

    def _removed(self, ids: Sequence[int]) -> None:
        gone = set(ids)
        self.memory.remove(lambda entry: entry.id in gone)
        if self.semantic is not None:
            self.semantic.note_removed(ids)

    # ------------------------------------------------------------------ use

    def put(
        self,
        target: Target,
        keys: Keys,
        meaning: Meaning,
        completion: Completion,
        exact_only: bool,
        *,
        request: bytes = b"",
        created: float | None = None,
        took: float | None = None,
    ) -> None:
        """Readable from memory at once; on disk when the writer gets to it.

        `request` is the body that was asked. `created` (unix seconds) is now unless given; the TTL
        always starts now. `took`: how many seconds the provider needed.
        """
        now = self._clock()
        entry = Entry(
            key=keys.exact,
            tenant=keys.tenant,
            scope=meaning.scope,
            provider=target.provider.name,
            model=target.model,
            created=now if created is None else created,
            expires=now + self._config.ttl if self._config.ttl else None,
            completion=codec_store.dump(completion),
            exact_only=exact_only or meaning.text is None,
            question=None if exact_only else meaning.text,
            namespace=keys.namespace,
            took=took,
        )
        self.memory.put(entry, completion)
        if self.writer is not None:
            kept = request if self._config.keep_requests else b""
            self.writer.submit(replace(entry, request=kept))

    def touch(self, entry: Entry) -> None:
        """Record a use, for eviction."""
        if self.writer is not None and entry.id and not self._config.offline:
            self.writer.touch(entry.id, self._clock())

    def purge(self, what: str, value: str) -> int:
        """`all`, `key HEX`, `model NAME`, `tenant HEX` or `namespace NAME`. Raises ValueError."""
        match what:
            case "all":
                conditions: dict[str, Any] = {"everything": True}
            case "key" | "tenant":
                conditions = {what: _hex(value, 32 if what == "key" else 16, whole=what != "key")}
            case "model" | "namespace" if value:
                conditions = {what: value}
            case _:
                raise ValueError("say all, key HEX, model NAME, tenant HEX or namespace NAME")
        count = self.memory.remove(matching(**conditions))
        if self.writer is not None:
            try:
                count = max(count, len(self.writer.purge(**conditions).result(_PURGE_TIMEOUT)))
            except (BackendError, TimeoutError) as error:
                raise ValueError(f"the store did not purge: {error or 'timed out'}") from None
            self.memory.remove(matching(**conditions))
            if self.semantic is not None:
                self.semantic.forget()
            if what in ("all", "tenant"):
                self._forget_reported(value.lower() if what == "tenant" else None)
            if what == "all":
                self._forget_verdicts()
        return count

    def _forget_verdicts(self) -> None:
        """Also the rate of wrong hits, so that thresholds are again those of the calibration."""
        try:
            self.judged.clear()
            self.wrong_rate.reset()
        except BackendError as error:
            raise ValueError(f"verdicts were not forgotten: {error}") from None

    def _forget_reported(self, tenant: str | None) -> None:
        try:
            forget(self._config.storage_path, tenant)
        except BackendError as error:
            raise ValueError(f"reported answers were not forgotten: {error}") from None

    # ------------------------------------------------------------------ sight

    def entry(self, key: bytes) -> Entry | None:
        """Whatever its age; None also when the store fails."""
        cached = self.memory.get(key, 0.0)
        try:
            if cached is None and self.store is not None:
                return self.store.get(key, 0.0)
        except BackendError:
            return None
        return cached.entry if cached else None

    def entry_by_id(self, id: int) -> Entry | None:
        """Whatever its age; None also when the store fails."""
        try:
            return None if self.store is None else self.store.get_by_id(id, 0.0)
        except BackendError:
            return None

    def requests(self, tenant: bytes, limit: int) -> list[StoredRequest]:
        """See `Store.requests`. Raises BackendError."""
        return [] if self.store is None else self.store.requests(tenant, limit)

    def search(self, text: str, limit: int, *, questions: bool) -> list[Entry]:
        """See `Store.search`; without a store there is nothing to find. Raises BackendError."""
        return [] if self.store is None else self.store.search(text, limit, questions=questions)

    def describe(self, digits: str, now: float) -> list[str]:
        """`name: value` of the entries in memory whose key starts with `digits`, or of a whole key's."""
        found = self.memory.starting_with(digits.lower())
        if not found and self.store is not None and len(digits) == 64:
            entry = self.store.get(_hex(digits, 32), now)
            found = [] if entry is None else [entry]
        if not found:
            return ["nothing is stored under this key"]
        return [line for entry in found for line in _describe(entry, now)]

    def state(self) -> str:
        """For /ready: "ready", "off" or "error"."""
        if not self._config.cache:
            return "off"
        if self.store is None:
            return "error"
        try:
            self.store.stats()
        except BackendError:
            return "error"
        return "ready"

    def semantic_state(self) -> dict[str, str]:
        """For /ready."""
        if self.semantic is None:
            return {"index": "off", "embedding": "off", "embedder_mode": "none"}
        return self.semantic.states()

    def stats(self) -> dict[str, dict[str, Any]]:
        """By part: memory, store, writer; see the `stats` of each."""
        parts: dict[str, dict[str, Any]] = {
            "memory": {"entries": len(self.memory), "bytes": self.memory.bytes}
        }
        try:
            if self.store is not None:
                parts["store"] = self.store.stats()
        except BackendError as error:
            parts["store"] = {"error": str(error)}
        if self.writer is not None:
            parts["writer"] = self.writer.stats()
        if self.semantic is not None:
            parts["semantic"] = self.semantic.stats()
        return parts


def _describe(entry: Entry, now: float) -> list[str]:
    left = "never" if entry.expires is None else f"in {entry.expires - now:.0f} s"
    return [
        f"key: {entry.key.hex()}",
        f"tenant: {entry.tenant.hex()}",
        f"provider: {entry.provider}",
        f"model: {entry.model}",
        f"age: {now - entry.created:.0f} s",
        f"expires: {left}",
        f"bytes: {len(entry.completion)}",
        f"semantic: {'no' if entry.exact_only else 'yes'}",
    ]


def _hex(value: str, size: int, *, whole: bool = True) -> bytes:
    try:
        data = bytes.fromhex(value)
    except ValueError:
        data = b""
    if len(data) > size or len(data) < (size if whole else 4):
        digits = f"{2 * size}" if whole else f"8 to {2 * size}"
        raise ValueError(f"expected {digits} hexadecimal digits")
    return data
