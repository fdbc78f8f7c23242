"""L1 exact -> L2 nearest in scope -> L3 verify: Hit or Miss, with the reason."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Mapping
from dataclasses import dataclass

from . import codec_store, controls, key, route
from .config import Config
from .controls import Controls, Status
from .errors import BackendError
from .ports import Entry
from .semantic_types import Query, Refusal, Trace
from .storage import Storage
from .types import ChatRequest, Completion, Keys, Meaning, Target

logger = logging.getLogger("reflex")


@dataclass(frozen=True, slots=True)
class Hit:
    status: Status
    entry: Entry
    completion: Completion
    detail: str | None = None
    trace: Trace | None = None


@dataclass(frozen=True, slots=True)
class Miss:
    detail: str
    trace: Trace | None = None


def keys_of(
    request: ChatRequest,
    target: Target,
    headers: Mapping[str, str],
    wishes: Controls,
    config: Config,
    secret: bytes,
) -> Keys:
    """`headers` names are lower case; `secret` is the store's. Two base URLs are two providers."""
    namespace = wishes.namespace or config.namespace or None
    credential = route.credential(headers)
    tenant = key.tenant(secret, credential, namespace, config.shared_namespaces)
    exact = key.exact_key(tenant, _provider(target), target.model, request.body)
    return Keys(tenant, exact, namespace)


def meaning_of(request: ChatRequest, target: Target, tenant: bytes, config: Config) -> Meaning:
    """Only needed when the exact tier has nothing."""
    strict = config.sampling == "strict"
    scope = key.scope(tenant, _provider(target), target.model, request.body, strict=strict)
    reason = key.exact_only_reason(request.body)
    return Meaning(scope, None if reason else key.semantic_text(request.body), reason)


def _provider(target: Target) -> str:
    return f"{target.provider.name}@{target.base_url}"


class Lookup:
    """Asks the tiers in turn. A tier that breaks is a miss with the reason, never an error."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage

    def in_memory(self, keys: Keys, wishes: Controls, now: float) -> Hit | None:
        """The exact tier's memory: no disk, no embedding, no waiting."""
        found = self._storage.memory.get(keys.exact, now)
        if found is None or found.entry.tenant != keys.tenant:
            return None
        if not wishes.accepts(now - found.entry.created):
            return None
        return Hit("hit-l1-exact", found.entry, found.completion)

    async def find(self, keys: Keys, meaning: Meaning, wishes: Controls, now: float) -> Hit | Miss:
        """All tiers."""
        try:
            if hit := await self.exact(keys, now, wishes):
                return hit
        except BackendError as error:
            logger.debug("reflex: store: %s", error)  # the store itself has warned once
            return Miss("store-failed")
        if self._storage.store is None:
            return Miss("store-unavailable")
        return await self._similar(keys, meaning, wishes, now)

    async def _similar(
        self, keys: Keys, meaning: Meaning, wishes: Controls, now: float
    ) -> Hit | Miss:
        tier = self._storage.semantic
        if meaning.text is None or tier is None:
            return Miss(meaning.exact_only or "no-entry")
        found = await tier.lookup(self.query(keys.tenant, meaning.scope, meaning.text, wishes, now))
        if isinstance(found, Refusal):
            return Miss(found.detail, found.trace)
        return Hit(found.status, found.entry, found.completion, found.detail, found.trace)

    def query(self, tenant: bytes, scope: bytes, text: str, wishes: Controls, now: float) -> Query:
        """With all that is known of the question."""
        bans, judged = self._storage.bans, self._storage.judged
        asked = bans.asked(tenant, text)
        verdicts = judged.of(asked)

        def known(stored: str) -> bool | None:
            return verdicts.get(bans.asked(tenant, stored)) if verdicts else None

        return Query(scope, tenant, text, now, wishes, bans.of(asked), known)

    async def exact(self, keys: Keys, now: float, wishes: Controls = controls.NONE) -> Hit | None:
        """Memory, then the store. Raises BackendError."""
        if hit := self.in_memory(keys, wishes, now):
            return hit
        store = self._storage.store
        if store is None:
            return None
        entry = await asyncio.to_thread(store.get, keys.exact, now)
        if entry is None or entry.tenant != keys.tenant or not wishes.accepts(now - entry.created):
            return None
        completion = codec_store.load(entry.completion)
        self._storage.memory.put(entry, completion)
        return Hit("hit-l1-exact", entry, completion)

    async def kept(self, keys: Keys, now: float) -> Hit | None:
        """What `exact` finds; None also when the store fails."""
        try:
            return await self.exact(keys, now)
        except BackendError as error:
            logger.debug("reflex: store: %s", error)  # the store itself has warned once
            return None
