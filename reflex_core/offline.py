"""Answering from the cache only (`reflex_offline`)."""

from __future__ import annotations

import logging
from collections.abc import Sequence

from .errors import ApiError, BackendError, UpstreamError
from .ports import StoredRequest
from .replay import nearest
from .reply import Headers, Reply
from .storage import Storage
from .types import Json, Keys, ProviderRequest
from .upstream import Answer

logger = logging.getLogger("reflex")

CANDIDATES = 500
"""Stored requests a miss is compared with: those used last."""


def refusal(what: str) -> Reply:
    """504 for all that only a provider can answer."""
    message = f"Reflex is offline: {what} cannot be answered, only stored chat completions can."
    return Reply.of_error(ApiError(504, message, type="offline", code="offline"), _NO_RETRY)


def miss(body: Json, keys: Keys, detail: str, storage: Storage, note: Headers) -> Reply:
    """504 that names the nearest stored request of this client. Blocks.

    The error has OpenAI's fields, `param` is the first field that differs, and `nearest` holds all
    differences for programs. `detail` is why the lookup missed.
    """
    if detail == "no-cache":
        error = _error("The request says no-cache, and nobody else can be asked.")
        return Reply.of_error(error, (*_NO_RETRY, *note))
    try:
        found = nearest.nearest(body, _stored(storage, keys.tenant))
        text = nearest.explain(found)
    except BackendError as broken:
        found, text = None, f"The store cannot be read: {broken}"
    error = _error(text)
    if found is None:
        return Reply.of_error(error, (*_NO_RETRY, *note))
    if found.differences:
        error.param = found.differences[0].path
    value = error.to_dict()
    value["error"]["nearest"] = nearest.as_json(found)
    return Reply.of_json(value, error.status, (*_NO_RETRY, *note))


class NoUpstream:
    """The `Upstream` that nothing gets past, whatever asks."""

    async def open(self, request: ProviderRequest, first_byte_timeout: float) -> Answer:
        message = "Reflex is offline: no provider is asked."
        raise UpstreamError(ApiError(504, message, type="offline", code="offline"))

    async def close(self) -> None:
        """Nothing is open."""


def warn_if_empty(storage: Storage) -> None:
    """Blocks."""
    try:
        empty = storage.store is None or not storage.store.stats()["entries"]
    except BackendError:
        return  # the store has said so in the log
    if empty:
        logger.warning("reflex: offline, and nothing is stored: every request will be a miss")


_NO_RETRY: Headers = (("x-should-retry", "false"),)
"""Or the OpenAI SDKs try again."""


def _error(text: str) -> ApiError:
    message = f"Reflex is offline and has no stored answer to this request. {text}"
    return ApiError(504, message, type="not_cached", code="offline_miss")


def _stored(storage: Storage, tenant: bytes) -> Sequence[StoredRequest]:
    return [] if storage.store is None else storage.store.requests(tenant, CANDIDATES)
