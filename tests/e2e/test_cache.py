"""The exact cache, end to end: repeats, forms, restarts, tenants, controls, no network."""

from __future__ import annotations

import signal
import stat
import time
from pathlib import Path

import openai
import pytest

from .asking import ask, ask_stream, is_stored, joined, status
from .conftest import Stand, Start
from .provider import Answer, Provider
from .proxy import Proxy


def test_repeat_never_reaches_the_provider(proxy: Proxy, provider: Provider, question: str) -> None:
    first_headers, first = ask(proxy, question)
    again_headers, again = ask(proxy, question)
    assert status(first_headers) == "miss"
    assert status(again_headers) == "hit-l1-exact"
    assert again == first
    assert first.choices[0].message.content == f"You said: {question}"
    assert first.usage
    assert first.usage.total_tokens == 12
    assert len(provider.received) == 1
    assert again_headers["cache-status"].startswith("reflex; hit; ttl=")
    assert int(again_headers["age"]) >= 0


def test_stream_and_json_serve_each_other(proxy: Proxy, provider: Provider, question: str) -> None:
    headers, chunks = ask_stream(proxy, question)
    assert status(headers) == "miss"
    assert joined(chunks) == f"You said: {question}"
    headers, whole = ask(proxy, question)
    assert status(headers) == "hit-l1-exact"
    assert whole.choices[0].message.content == f"You said: {question}"
    assert whole.usage
    assert whole.usage.total_tokens == 12
    ask(proxy, question + " other")
    headers, chunks = ask_stream(proxy, question + " other", stream_options={"include_usage": True})
    assert status(headers) == "hit-l1-exact"
    assert joined(chunks) == f"You said: {question} other"
    assert chunks[-1].usage
    assert chunks[-1].usage.total_tokens == 12
    assert len({c.id for c in chunks}) == 1
    assert len(provider.received) == 2


def test_survives_a_restart_and_needs_no_network(own_provider: Provider, start: Start) -> None:
    upstream = own_provider.url + "/v1"
    proxy = start(reflex_upstream=upstream)
    _, first = ask(proxy, "hi")
    assert proxy.stop() == 0
    own_provider.close()
    proxy = start(reflex_upstream=upstream)
    headers, again = ask(proxy, "hi")
    assert status(headers) == "hit-l1-exact"
    assert again == first


def test_survives_being_killed_and_losing_its_store(
    own_provider: Provider, start: Start, tmp_path: Path
) -> None:
    proxy = start(reflex_upstream=own_provider.url + "/v1")
    for i in range(20):
        ask(proxy, f"question {i}")
    proxy.stop(signal.SIGKILL)
    proxy = start(reflex_upstream=own_provider.url + "/v1")
    stored = sum(is_stored(proxy, f"question {i}") for i in range(20))
    assert stored >= 15, "at most the answers still in the queue are lost"

    for path in (tmp_path / "store").glob("reflex.db*"):
        path.unlink()
    headers, answer = ask(proxy, "after")
    assert status(headers) == "miss"
    assert answer.choices[0].message.content == "You said: after"


def test_credentials_never_share(proxy: Proxy, provider: Provider, question: str) -> None:
    ask(proxy, question, key="sk-a")
    headers, _ = ask(proxy, question, key="sk-b")
    assert status(headers) == "miss"
    assert [r.headers["authorization"] for r in provider.received] == ["Bearer sk-a", "Bearer sk-b"]


def test_a_namespace_divides_and_a_shared_one_joins(
    proxy: Proxy, provider: Provider, question: str
) -> None:
    own = {"X-Reflex-Namespace": "mine"}
    team = {"X-Reflex-Namespace": "team"}
    assert status(ask(proxy, question, headers=own)[0]) == "miss"
    assert status(ask(proxy, question)[0]) == "miss"
    assert status(ask(proxy, question, key="sk-b", headers=own)[0]) == "miss"
    assert status(ask(proxy, question, headers=team)[0]) == "miss"
    assert status(ask(proxy, question, key="sk-b", headers=team)[0]) == "hit-l1-exact"
    assert all("x-reflex-namespace" not in r.headers for r in provider.received)


def test_controls(proxy: Proxy, provider: Provider, question: str) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(proxy, question, headers={"Cache-Control": "only-if-cached"})
    assert caught.value.status_code == 504
    assert caught.value.code == "not_cached"
    assert not provider.received
    headers, _ = ask(proxy, question, headers={"Cache-Control": "no-store"})
    assert status(headers) == "miss"
    headers, _ = ask(proxy, question)
    assert status(headers) == "miss", "no-store was not stored"
    headers, _ = ask(proxy, question, headers={"Cache-Control": "no-cache"})
    assert status(headers) == "bypass"
    headers, _ = ask(proxy, question, headers={"Cache-Control": "only-if-cached"})
    assert status(headers) == "hit-l1-exact"
    assert all("cache-control" not in r.headers for r in provider.received)


def test_an_answer_grows_too_old(brisk: Stand, question: str) -> None:
    ask(brisk.proxy, question)
    time.sleep(1.1)
    assert status(ask(brisk.proxy, question)[0]) == "miss"


def test_cache_off(own_provider: Provider, start: Start, tmp_path: Path) -> None:
    proxy = start(reflex_upstream=own_provider.url + "/v1", reflex_cache="false")
    ask(proxy, "hi")
    headers, _ = ask(proxy, "hi")
    assert status(headers) == "bypass"
    assert "detail=cache-off" in headers["cache-status"]
    assert len(own_provider.received) == 2
    assert not (tmp_path / "store").exists()


def test_files_are_private(proxy: Proxy, question: str) -> None:
    ask(proxy, question)
    assert stat.S_IMODE(proxy.storage.stat().st_mode) == 0o700
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in proxy.storage.iterdir()}
    assert modes["reflex.db"] == 0o600
    assert modes["tenant.key"] == 0o600


def test_unusable_folder(own_provider: Provider, start: Start, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("not a folder")
    proxy = start(reflex_upstream=own_provider.url + "/v1", storage=tmp_path / "file" / "store")
    assert status(ask(proxy, "hi")[0]) == "miss"
    assert status(ask(proxy, "hi")[0]) == "hit-l1-exact", "memory still serves"
    assert "nothing will be kept beyond this run" in proxy.log


def test_no_credentials_or_prompts_in_the_log(proxy: Proxy, provider: Provider) -> None:
    before = len(proxy.log)
    ask(proxy, "a very private question", key="sk-very-secret")
    ask(proxy, "a very private question", key="sk-very-secret")
    provider.reply = lambda request: Answer([request.body], status=400)
    with pytest.raises(openai.BadRequestError):
        ask(proxy, "another private question", key="sk-very-secret")
    ask(proxy, "a very private question", key="sk-very-secret", model="gpt-4o")
    proxy.wait_for("reflex: 400 miss")
    log = proxy.log[before:]
    assert "hit-l1-exact openai gpt-4o" in log
    assert "private" not in log
    assert "sk-very" not in log
