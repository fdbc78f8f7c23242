"""Captures: filling the cache from them, the plan, working offline, and what Reflex itself saves."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import openai
import pytest
from mitmproxy.io import FlowWriter

from reflex_core.backends.sqlite import FILE_NAME

from .asking import KEY, ask, ask_stream, client, joined, status
from .captures import GUARD, TOOLS, flows, mitmdump, notes, record, replay, zipped
from .conftest import Start
from .provider import Provider
from .proxy import ROOT, Proxy
from .speech import echo

ADDON = str(ROOT / "addons" / "reflex.py")


@pytest.fixture(scope="module")
def plain(confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A capture that no Reflex had a part in."""
    return record(confdir, tmp_path_factory.mktemp("plain capture"))


@pytest.fixture(scope="module")
def har(plain: Path, confdir: Path) -> Path:
    path = plain.with_suffix(".har")
    mitmdump(confdir, "-nr", str(plain), hardump=path)
    return path


@pytest.fixture(scope="module")
def warmed(plain: Path, confdir: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store filled from it."""
    storage = tmp_path_factory.mktemp("warmed") / "store"
    replay(confdir, plain, "warm", reflex_storage_path=storage)
    return storage


@pytest.fixture(scope="module")
def offline(warmed: Path, confdir: Path) -> Iterator[Proxy]:
    proxy = Proxy(confdir, warmed, reflex_offline="true")
    yield proxy
    proxy.stop()


# ---------------------------------------------------------------------- warm


@pytest.mark.parametrize("kind", ["plain", "har"])
def test_warm_needs_no_network(
    kind: str, request: pytest.FixtureRequest, confdir: Path, tmp_path: Path
) -> None:
    capture = request.getfixturevalue(kind)
    guard, used = tmp_path / "guard.py", tmp_path / "network.txt"
    guard.write_text(GUARD.format(path=str(used)))
    options = {"reflex_storage_path": tmp_path / "store", "reflex_report": tmp_path / "a.json"}
    text = replay(confdir, capture, "warm", "-s", str(guard), **options)
    report = json.loads((tmp_path / "a.json").read_text())
    skipped = {row["reason"]: row["count"] for row in report["skipped"]}
    assert (report["read"], report["usable"], report["stored"]) == (10, 7, 5)
    assert skipped == {
        "repeat": 1,
        "no-store": 1,
        "error-status": 1,
        "other-path": 1,
        "other-host": 1,
    }
    assert "the request forbids storing its answer" in text
    assert not used.exists(), used.read_text()


def test_warming_twice_changes_nothing(plain: Path, warmed: Path, confdir: Path) -> None:
    text = replay(confdir, plain, "warm", reflex_storage_path=warmed)
    assert "6  an answer is already stored" in text


def test_a_truncated_capture_gives_what_is_whole(
    plain: Path, confdir: Path, tmp_path: Path
) -> None:
    cut = tmp_path / "cut.mitm"
    cut.write_bytes(plain.read_bytes()[:-200])
    # mitmproxy ends with 1 when it finds the damage before it counts itself as started.
    text = replay(confdir, cut, "warm", codes=(0, 1), reflex_storage_path=tmp_path / "store")
    assert "corrupted" in text
    assert "Cache filled from cut.mitm" in text


# ---------------------------------------------------------------------- offline


def test_offline_answers_what_was_recorded(offline: Proxy) -> None:
    for text in ("json", "gzip json"):
        headers, answer = ask(offline, text)
        assert status(headers) == "hit-l1-exact"
        assert answer.choices[0].message.content == f"You said: {text}"
        assert answer.usage
        assert answer.usage.total_tokens == 12
        assert answer.id == "chatcmpl-upstream"
    for text in ("stream", "gzip stream"):
        headers, chunks = ask_stream(offline, text)
        assert status(headers) == "hit-l1-exact"
        assert joined(chunks) == f"You said: {text}"
    _, answer = ask(offline, "weather?", tools=TOOLS)
    assert answer.choices[0].message.tool_calls
    assert answer.choices[0].message.tool_calls[0].function.name == "weather"


def test_offline_miss_says_what_differs(offline: Proxy) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        ask(offline, "jsom sk-abcdefghijklmnop", temperature=0.5)
    error = caught.value
    assert (error.status_code, error.code) == (504, "offline_miss")
    assert error.response.headers["x-should-retry"] == "false"
    assert error.response.headers["x-reflex-status"] == "miss"
    assert error.param == "messages[0].content"
    assert "temperature: only in this request (0.5)" in str(error)
    paths = [row["path"] for row in error.body["nearest"]["differences"]]  # type: ignore[index]
    assert paths == ["messages[0].content", "temperature"]
    assert "abcdefgh" not in str(error.body)
    assert KEY not in error.response.text


def test_offline_other_clients_see_nothing(offline: Proxy) -> None:
    with pytest.raises(
        openai.APIStatusError, match="No request of this client is stored"
    ) as caught:
        ask(offline, "json", key="sk-another")
    assert "nearest" not in caught.value.body  # type: ignore[operator]


def test_offline_refuses_what_it_cannot_know(offline: Proxy) -> None:
    with client(offline.base_url) as sdk:
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.embeddings.create(model="text-embedding-3-small", input="x")
        assert (caught.value.status_code, caught.value.code) == (504, "offline")
        assert sdk.models.list().data
        with pytest.raises(openai.APIStatusError) as caught:
            sdk.chat.completions.create(model="", messages=[])
        assert caught.value.status_code == 400
    with pytest.raises(openai.APIStatusError, match="says no-cache"):
        ask(offline, "json", headers={"Cache-Control": "no-cache"})


def rows(storage: Path) -> list[object]:
    with closing(sqlite3.connect(storage / FILE_NAME)) as db:
        return db.execute("SELECT id, key, used, hits, expires FROM entries").fetchall()


def test_offline_serves_expired_answers_and_leaves_the_store_alone(
    own_provider: Provider, start: Start
) -> None:
    upstream = own_provider.url + "/v1"
    proxy = start(reflex_upstream=upstream, reflex_ttl="1s")
    ask(proxy, "hi")
    proxy.stop()
    own_provider.close()
    time.sleep(1.1)
    before = rows(proxy.storage)
    proxy = start(reflex_upstream=upstream, reflex_offline="true")
    headers, _ = ask(proxy, "hi")
    assert status(headers) == "hit-l1-exact"
    assert "ttl=-" in headers["cache-status"]
    assert proxy.stop() == 0
    assert rows(proxy.storage) == before
    assert sorted(path.name for path in proxy.storage.iterdir()) == [FILE_NAME, "tenant.key"]


def test_a_capture_as_a_fixture_in_one_command(plain: Path, start: Start) -> None:
    """Requests wait until the capture has been read."""
    proxy = start(
        "-r",
        str(plain),
        keepserving="true",
        reflex_replay="warm",
        reflex_offline="true",
    )
    headers, answer = ask(proxy, "json")
    assert status(headers) == "hit-l1-exact"
    assert answer.choices[0].message.content == "You said: json"
    proxy.wait_for("Cache filled from plain.mitm")


# ---------------------------------------------------------------------- saved by Reflex


def test_saved_flows_are_complete_and_warm_another_reflex(
    own_provider: Provider, start: Start, confdir: Path, tmp_path: Path
) -> None:
    saved = tmp_path / "saved.mitm"
    proxy = start(
        "-w",
        str(saved),
        reflex_upstream=own_provider.url + "/v1",
        reflex_namespace="ci",
        reflex_shared_namespaces="ci",
        reflex_scrub="true",
    )
    _, whole = ask(proxy, "json")
    _, chunks = ask_stream(proxy, "stream")
    ask(proxy, "json")
    proxy.stop()
    first, second, third = flows(saved)
    assert first.response
    assert json.loads(first.response.content or b"") == whole.to_dict(mode="json")
    assert second.response
    assert (second.response.content or b"").endswith(b"data: [DONE]\n\n")
    assert joined(chunks) == "You said: stream"
    for flow in (first, second, third):
        assert flow.request.host == "api.openai.com"
    one, two, three = notes(saved)
    assert (one["status"], one["provider"], one["model"]) == ("miss", "openai", "gpt-4o")
    assert (three["status"], three["tier"]) == ("hit-l1-exact", "exact")
    assert "upstream" not in three
    (said,) = two["upstream"]
    assert (said["status"], said["content_type"]) == (200, "text/event-stream")
    assert said["url"] == own_provider.url + "/v1/chat/completions"
    assert "".join(said["body"]).count("data: ") == len(list(chunks)) + 2  # usage, [DONE]
    assert KEY.encode() not in saved.read_bytes()

    text = replay(confdir, saved, "warm", reflex_storage_path=tmp_path / "alone")
    assert "3  credentials were hidden" in text
    shared = {"reflex_namespace": "ci", "reflex_shared_namespaces": "ci"}
    other = tmp_path / "other"
    replay(confdir, saved, "warm", reflex_storage_path=other, **shared)
    proxy = start(storage=other, reflex_offline="true", **shared)
    headers, again = ask(proxy, "json", key="sk-somebody-else")
    assert status(headers) == "hit-l1-exact"
    assert again == whole


def test_another_providers_answers_are_stored_as_that_providers(
    own_provider: Provider, start: Start, confdir: Path, tmp_path: Path
) -> None:
    """The key holds who answered, not who would be asked for this model elsewhere."""
    saved = tmp_path / "saved.mitm"
    models = {"reflex_models": "gpt-4o=groq::llama-3.3-70b-versatile"}
    config = tmp_path / "reflex.toml"
    config.write_text(f'[providers.groq]\nbase_url = "{own_provider.url}/groq"\n')
    proxy = start(
        "-w", str(saved), reflex_config=config, environ={"GROQ_API_KEY": "key-of-groq"}, **models
    )
    ask(proxy, "json")
    ask(proxy, "json")
    proxy.stop()
    assert [note["provider"] for note in notes(saved)] == ["groq", "groq"]
    assert b"key-of-groq" not in saved.read_bytes()
    storage = tmp_path / "other"
    text = replay(confdir, saved, "warm", reflex_storage_path=storage)
    assert "1 stored under groq::llama-3.3-70b-versatile" in text
    proxy = start(storage=storage, reflex_offline="true", **models)
    assert status(ask(proxy, "json")[0]) == "hit-l1-exact"


def test_a_client_that_leaves_is_in_the_capture(
    own_provider: Provider, start: Start, confdir: Path, tmp_path: Path
) -> None:
    """With what it got until then; not to be stored."""
    saved = tmp_path / "saved.mitm"
    own_provider.reply = lambda request: replace(echo(request), gate=lambda piece: piece < 3)
    proxy = start("-w", str(saved), reflex_upstream=own_provider.url + "/v1")
    with client(proxy.base_url) as sdk:
        stream = sdk.chat.completions.create(
            model="gpt-4o", messages=[{"role": "user", "content": "leave me"}], stream=True
        )
        for chunk in stream:
            if chunk.choices[0].delta.content:
                break
        stream.close()
    proxy.wait_for("client disconnect")
    proxy.stop()
    (flow,) = flows(saved)
    assert flow.error
    assert flow.response
    assert b"You said" in (flow.response.content or b"")
    text = replay(confdir, saved, "warm", reflex_storage_path=tmp_path / "other")
    assert "1  the answer is cut off" in text


def test_client_replay_goes_through_the_cache(
    plain: Path, own_provider: Provider, confdir: Path, tmp_path: Path
) -> None:
    """`-C` asks again: the first of each question upstream, repeats from the store."""
    again = tmp_path / "again.mitm"
    own_provider.reply = zipped
    mitmdump(
        confdir,
        *("-n", "-C", str(plain), "-w", str(again), "-s", ADDON),
        reflex_storage_path=tmp_path / "store",
        reflex_upstream=own_provider.url + "/v1",
        reflex_hosts="api.openai.com",
        readfile_filter="~d api.openai.com",
    )
    found = [note["status"] for note in notes(again) if note]
    assert found == ["miss"] * 4 + ["hit-l1-exact", "miss", "miss", "miss"]
    answered = flows(again)
    before = flows(plain)
    for flow, original in zip(answered[:6], before[:6], strict=True):
        assert flow.response
        assert original.response
        assert flow.request.content == original.request.content
        kind = "content-type"
        assert flow.response.headers[kind].partition(";")[0] == original.response.headers[kind]
        assert b"You said" in (flow.response.content or b"") or b"weather" in flow.response.content


def test_an_unanswered_flow_is_not_sent_anywhere(
    plain: Path, own_provider: Provider, confdir: Path, tmp_path: Path
) -> None:
    flow = flows(plain)[0]
    flow.response = flow.error = None
    capture = tmp_path / "asked.mitm"
    with capture.open("wb") as file:
        FlowWriter(file).add(flow)
    options = {
        "reflex_storage_path": tmp_path / "store",
        "reflex_upstream": own_provider.url + "/v1",
    }
    for kind in ("off", "warm"):
        text = replay(confdir, capture, kind, **options)
    assert "1  the recording has no answer" in text
    assert own_provider.received == []


# ---------------------------------------------------------------------- plan


def test_plan_of_a_real_capture(plain: Path, confdir: Path, tmp_path: Path) -> None:
    files = [tmp_path / "plan.json", tmp_path / "plan.html"]
    options = {"reflex_storage_path": tmp_path / "store", "reflex_report": files}
    text = replay(confdir, plain, "plan", **options)
    plan = json.loads(files[0].read_text())
    assert plan["total"]["requests"] == 7
    assert plan["tiers"]["exact"]["requests"] == 1
    assert plan["saved"]["prompt_tokens"] == 9
    assert plan["saved"]["completion_tokens"] == 3
    assert plan["saved"]["usd"] == pytest.approx(9 * 2.5e-6 + 3 * 10e-6)
    assert "What Reflex would have saved on plain.mitm" in text
    assert files[1].read_text().startswith("<!doctype html>")
    assert not (tmp_path / "store").exists()
