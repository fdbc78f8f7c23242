"""The exact cache, end to end: repeats, forms, restarts, tenants, controls, no network."""

from __future__ import annotations

import signal
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from .provider import Provider
from .proxy import Proxy
from .speech import echo


def client(proxy: Proxy, key: str = "sk-a") -> openai.OpenAI:
    return openai.OpenAI(base_url=proxy.base_url, api_key=key, max_retries=0)


def ask(
    proxy: Proxy,
    text: str = "hi",
    key: str = "sk-a",
    headers: dict[str, str] | None = None,
    **more: Any,
) -> tuple[httpx.Headers, Any]:
    raw = client(proxy, key).chat.completions.with_raw_response.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": text}],
        extra_headers=headers,
        **more,
    )
    return raw.headers, raw.parse()


def status(headers: httpx.Headers) -> str:
    return headers["x-reflex-status"]


def joined(stream: Any) -> str:
    return "".join(c.choices[0].delta.content or "" for c in stream if c.choices)


@pytest.fixture
def proxy(start: Callable[..., Proxy], provider: Provider) -> Proxy:
    provider.reply = echo
    return start(reflex_upstream=provider.url + "/v1")


def test_repeat_never_reaches_the_provider(proxy: Proxy, provider: Provider) -> None:
    first_headers, first = ask(proxy)
    again_headers, again = ask(proxy)
    assert status(first_headers) == "miss"
    assert status(again_headers) == "hit-l1-exact"
    assert again == first
    assert first.choices[0].message.content == "You said: hi"
    assert first.usage.total_tokens == 12
    assert len(provider.received) == 1
    assert again_headers["cache-status"].startswith("reflex; hit; ttl=")
    assert int(again_headers["age"]) >= 0


def test_stream_and_json_serve_each_other(proxy: Proxy, provider: Provider) -> None:
    headers, stream = ask(proxy, stream=True)
    assert status(headers) == "miss"
    assert joined(stream) == "You said: hi"
    headers, whole = ask(proxy)
    assert status(headers) == "hit-l1-exact"
    assert whole.choices[0].message.content == "You said: hi"
    assert whole.usage.total_tokens == 12
    ask(proxy, "other")
    headers, stream = ask(proxy, "other", stream=True, stream_options={"include_usage": True})
    chunks = list(stream)
    assert status(headers) == "hit-l1-exact"
    assert joined(chunks) == "You said: other"
    assert chunks[-1].usage.total_tokens == 12
    assert len({c.id for c in chunks}) == 1
    assert len(provider.received) == 2


def test_survives_a_restart_and_needs_no_network(
    proxy: Proxy, provider: Provider, start: Callable[..., Proxy]
) -> None:
    _, first = ask(proxy)
    assert proxy.stop() == 0
    upstream = provider.url
    provider.close()
    proxy = start(reflex_upstream=upstream + "/v1")
    headers, again = ask(proxy)
    assert status(headers) == "hit-l1-exact"
    assert again == first


def test_survives_being_killed(
    proxy: Proxy, provider: Provider, start: Callable[..., Proxy]
) -> None:
    for i in range(20):
        ask(proxy, f"question {i}")
    proxy.stop(signal.SIGKILL)
    proxy = start(reflex_upstream=provider.url + "/v1")
    hits = [status(ask(proxy, f"question {i}")[0]) == "hit-l1-exact" for i in range(20)]
    assert sum(hits) >= 15, "at most the answers still in the queue are lost"


def test_credentials_never_share(proxy: Proxy, provider: Provider) -> None:
    ask(proxy, key="sk-a")
    headers, _ = ask(proxy, key="sk-b")
    assert status(headers) == "miss"
    assert [r.headers["authorization"] for r in provider.received] == ["Bearer sk-a", "Bearer sk-b"]


def test_a_namespace_divides_and_a_shared_one_joins(
    provider: Provider, start: Callable[..., Proxy]
) -> None:
    provider.reply = echo
    proxy = start(reflex_upstream=provider.url + "/v1", reflex_shared_namespaces="team")
    own = {"X-Reflex-Namespace": "mine"}
    team = {"X-Reflex-Namespace": "team"}
    assert status(ask(proxy, headers=own)[0]) == "miss"
    assert status(ask(proxy)[0]) == "miss"
    assert status(ask(proxy, key="sk-b", headers=own)[0]) == "miss"
    assert status(ask(proxy, headers=team)[0]) == "miss"
    assert status(ask(proxy, key="sk-b", headers=team)[0]) == "hit-l1-exact"
    assert all("x-reflex-namespace" not in r.headers for r in provider.received)


def test_controls(proxy: Proxy, provider: Provider) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(proxy, headers={"Cache-Control": "only-if-cached"})
    assert caught.value.status_code == 504
    assert caught.value.body["code"] == "not_cached"
    assert not provider.received
    headers, _ = ask(proxy, headers={"Cache-Control": "no-store"})
    assert status(headers) == "miss"
    headers, _ = ask(proxy)
    assert status(headers) == "miss", "no-store was not stored"
    headers, _ = ask(proxy, headers={"Cache-Control": "no-cache"})
    assert status(headers) == "bypass"
    headers, _ = ask(proxy, headers={"Cache-Control": "only-if-cached"})
    assert status(headers) == "hit-l1-exact"
    headers, _ = ask(proxy, headers={"Cache-Control": "max-age=0"})
    assert status(headers) in ("miss", "hit-l1-exact")


def test_ttl(provider: Provider, start: Callable[..., Proxy]) -> None:
    import time

    provider.reply = echo
    proxy = start(reflex_upstream=provider.url + "/v1", reflex_ttl="1s")
    ask(proxy)
    time.sleep(1.1)
    assert status(ask(proxy)[0]) == "miss"


def test_cache_off(provider: Provider, start: Callable[..., Proxy]) -> None:
    provider.reply = echo
    proxy = start(reflex_upstream=provider.url + "/v1", reflex_cache="false")
    ask(proxy)
    headers, _ = ask(proxy)
    assert status(headers) == "bypass"
    assert "detail=cache-off" in headers["cache-status"]
    assert len(provider.received) == 2


def test_files_are_private(proxy: Proxy, tmp_path: Path) -> None:
    ask(proxy)
    folder = tmp_path / "store"
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    modes = {p.name: stat.S_IMODE(p.stat().st_mode) for p in folder.iterdir()}
    assert modes["reflex.db"] == 0o600
    assert modes["tenant.key"] == 0o600


def test_a_broken_store_does_not_stop_answers(proxy: Proxy, tmp_path: Path) -> None:
    ask(proxy, "before")
    for path in (tmp_path / "store").glob("reflex.db*"):
        path.unlink()
    headers, answer = ask(proxy, "after")
    assert status(headers) == "miss"
    assert answer.choices[0].message.content == "You said: after"


def test_unusable_folder(provider: Provider, start: Callable[..., Proxy], tmp_path: Path) -> None:
    provider.reply = echo
    (tmp_path / "file").write_text("not a folder")
    proxy = start(reflex_upstream=provider.url + "/v1", storage=tmp_path / "file" / "store")
    assert status(ask(proxy)[0]) == "miss"
    assert status(ask(proxy)[0]) == "hit-l1-exact", "memory still serves"
    assert "nothing will be kept beyond this run" in proxy.log


def test_no_credentials_or_prompts_in_the_log(proxy: Proxy) -> None:
    ask(proxy, "a very private question", key="sk-very-secret")
    ask(proxy, "a very private question", key="sk-very-secret")
    proxy.stop()
    assert "hit-l1-exact openai gpt-4o" in proxy.log
    assert "private" not in proxy.log
    assert "sk-very" not in proxy.log
