from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from reflex_core import offline
from reflex_core.errors import BackendError, UpstreamError
from reflex_core.storage import Storage
from reflex_core.types import Keys, ProviderRequest

from .settings import settings
from .test_storage import flush, opened, put

BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "How are you?"}]}
NOTE = (("X-Reflex-Status", "miss"),)


@pytest.fixture
def storage(tmp_path: Path) -> Iterator[Storage]:
    with opened(tmp_path) as storage:
        yield storage


def test_miss_names_the_nearest(storage: Storage) -> None:
    keys = put(storage, request=json.dumps(BODY).encode())
    flush(storage)
    asked = {**BODY, "temperature": 1}
    reply = offline.miss(asked, keys, "no-entry", storage, NOTE)
    error = json.loads(reply.body)["error"]
    assert reply.status == 504
    assert (error["type"], error["code"], error["param"]) == (
        "not_cached",
        "offline_miss",
        "temperature",
    )
    assert "temperature: only in this request (1)" in error["message"]
    assert error["nearest"]["key"] == keys.exact.hex()
    assert ("x-should-retry", "false") in reply.headers
    assert NOTE[0] in reply.headers


def test_miss_of_another_client(storage: Storage) -> None:
    put(storage, request=json.dumps(BODY).encode())
    flush(storage)
    reply = offline.miss(BODY, Keys(b"u" * 16, b"k" * 32), "no-entry", storage, ())
    error = json.loads(reply.body)["error"]
    assert "No request of this client is stored" in error["message"]
    assert "nearest" not in error
    assert b"How are you" not in reply.body


def test_no_cache_cannot_be_honoured(storage: Storage) -> None:
    reply = offline.miss(BODY, Keys(b"t" * 16, b"k" * 32), "no-cache", storage, NOTE)
    assert b"says no-cache" in reply.body
    assert NOTE[0] in reply.headers


def test_a_store_that_breaks(storage: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*args: object) -> None:
        raise BackendError("disk on fire")

    monkeypatch.setattr(storage.store, "requests", broken)
    reply = offline.miss(BODY, Keys(b"t" * 16, b"k" * 32), "store-failed", storage, ())
    assert reply.status == 504
    assert b"The store cannot be read: disk on fire" in reply.body


def test_without_a_store() -> None:
    storage = Storage(settings(), lambda: 0.0, lambda: None)
    reply = offline.miss(BODY, Keys(b"t" * 16, b"k" * 32), "store-unavailable", storage, ())
    assert b"No request of this client is stored" in reply.body


def test_refusal() -> None:
    reply = offline.refusal("/embeddings")
    error = json.loads(reply.body)["error"]
    assert (reply.status, error["code"]) == (504, "offline")
    assert "/embeddings cannot be answered" in error["message"]


def test_nothing_gets_past() -> None:
    request = ProviderRequest("POST", "http://localhost:9", (), b"")
    with pytest.raises(UpstreamError) as caught:
        asyncio.run(offline.NoUpstream().open(request, 1.0))
    assert (caught.value.error.status, caught.value.error.code) == (504, "offline")
    asyncio.run(offline.NoUpstream().close())


def test_an_empty_store_is_told(storage: Storage, caplog: pytest.LogCaptureFixture) -> None:
    offline.warn_if_empty(storage)
    assert "every request will be a miss" in caplog.text
    caplog.clear()
    put(storage)
    flush(storage)
    offline.warn_if_empty(storage)
    assert not caplog.text
