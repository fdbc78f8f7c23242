"""L1 exact -> L2 nearest in scope -> L3 verify: Hit or Miss, with the reason."""

from __future__ import annotations

import asyncio
import logging
from dataclasses import dataclass

from . import codec_store, key
from .config import Config
from .controls import Controls, Status
from .errors import BackendError
from .memory import MemoryTier
from .ports import Entry, Store
from .types import ChatRequest, Completion, Target

logger = logging.getLogger("reflex")


@dataclass(frozen=True, slots=True)
class Keys:
    """What one request is known by."""

    tenant: bytes
    exact: bytes
    scope: bytes
    text: str | None
    """What the semantic tier may compare; None keeps the request to the exact tier."""
    exact_only: str | None
    """Why `text` is None."""
    namespace: str | None


@dataclass(frozen=True, slots=True)
class Hit:
    status: Status
    entry: Entry
    completion: Completion
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Miss:
    detail: str


def keys_of(
    request: ChatRequest, target: Target, tenant: bytes, namespace: str | None, config: Config
) -> Keys:
    """Two base URLs of one provider are two providers."""
    provider = f"{target.provider.name}@{target.base_url}"
    reason = key.exact_only_reason(request.body)
    return Keys(
        tenant=tenant,
        exact=key.exact_key(tenant, provider, target.model, request.body),
        scope=key.scope(
            tenant, provider, target.model, request.body, strict=config.sampling == "strict"
        ),
        text=None if reason else key.semantic_text(request.body),
        exact_only=reason,
        namespace=namespace,
    )


class Lookup:
    """Asks the tiers in turn. A tier that breaks is a miss with the reason, never an error."""

    def __init__(self, memory: MemoryTier, store: Store | None) -> None:
        self._memory = memory
        self._store = store

    def in_memory(self, keys: Keys, controls: Controls, now: float) -> Hit | None:
        """The exact tier's memory: no disk, no embedding, no waiting."""
        found = self._memory.get(keys.exact, now)
        if found is None or found.entry.tenant != keys.tenant:
            return None
        if not controls.accepts(now - found.entry.created):
            return None
        return Hit("hit-l1-exact", found.entry, found.completion)

    async def find(self, keys: Keys, controls: Controls, now: float) -> Hit | Miss:
        """Off the hot path: the store, then the semantic tier."""
        if hit := self.in_memory(keys, controls, now):
            return hit
        detail = "no-entry"
        if self._store is None:
            detail = "store-unavailable"
        else:
            try:
                if hit := await asyncio.to_thread(self._stored, self._store, keys, controls, now):
                    return hit
            except BackendError as error:
                logger.warning("reflex: store: %s", error)
                detail = "store-failed"
        return Miss(detail)

    def _stored(self, store: Store, keys: Keys, controls: Controls, now: float) -> Hit | None:
        entry = store.get(keys.exact, now)
        if entry is None or entry.tenant != keys.tenant:
            return None
        if not controls.accepts(now - entry.created):
            return None
        completion = codec_store.load(entry.completion)
        self._memory.put(entry, completion)
        return Hit("hit-l1-exact", entry, completion)
