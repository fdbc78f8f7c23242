"""The addon in mitmproxy's own test bench: options, hooks and commands."""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Coroutine, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from mitmproxy import exceptions, http
from mitmproxy.addons import anticache, errorcheck, proxyserver, script
from mitmproxy.connection import Client, Server
from mitmproxy.proxy.context import Context
from mitmproxy.proxy.mode_specs import ProxyMode
from mitmproxy.test import taddons, tflow
from mitmproxy.tls import ClientHelloData

from addons.reflex import Reflex
from reflex_core.options import OPTIONS
from tests.e2e.provider import Provider
from tests.e2e.speech import echo

URL = "http://localhost/v1/chat/completions"


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for option in OPTIONS:
        monkeypatch.delenv(option.env, raising=False)


@pytest.fixture
def provider() -> Iterator[Provider]:
    server = Provider()
    server.reply = echo
    yield server
    server.close()


def builtin() -> list[Any]:
    """mitmproxy's own addons that ours needs the options of."""
    return [proxyserver.Proxyserver(), script.ScriptLoader(), anticache.AntiCache()]


class Bench:
    def __init__(self, addon: Reflex, context: taddons.context) -> None:
        self.addon = addon
        self.context = context

    async def ask(self, text: str = "Hi", **more: Any) -> http.Response:
        """The answer to a replayed request, which is whole when the hook is through."""
        body = {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}
        return await self.request("/v1/chat/completions", json.dumps(body).encode())

    async def request(self, path: str, content: bytes = b"", **headers: str) -> http.Response:
        flow = tflow.tflow()
        flow.client_conn.proxy_mode = ProxyMode.parse("reverse:https://api.openai.com")
        flow.request = http.Request.make(
            "POST" if content else "GET",
            f"http://localhost{path}",
            content,
            {"authorization": "Bearer sk-a", **headers},
        )
        flow.is_replay = "request"
        flow.live = True
        await self.addon.request(flow)
        assert flow.response is not None
        self.addon.response(flow)
        return flow.response

    def command(self, name: str, *args: str) -> Any:
        return self.context.master.commands.call_strings(f"reflex.{name}", list(args))


@asynccontextmanager
async def bench(
    folder: Path, provider: Provider | None = None, **options: Any
) -> AsyncIterator[Bench]:
    """Started, with options by their names without `reflex_`."""
    addon = Reflex()
    values = {"storage_path": str(folder / "store"), "semantic": False, **options}
    if provider is not None:
        values["upstream"] = provider.url
    with taddons.context(*builtin(), addon) as context:
        context.configure(addon, **{f"reflex_{name}": value for name, value in values.items()})
        await addon.running()
        try:
            yield Bench(addon, context)
        finally:
            await addon.done()


def run[T](main: Coroutine[Any, Any, T]) -> T:
    async def guarded() -> T:
        async with asyncio.timeout(20):
            return await main

    return asyncio.run(guarded())


# ---------------------------------------------------------------------- options


def test_every_option_is_mitmproxys_too(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as b:
            options = b.context.options
            for option in OPTIONS:
                assert option.option in options
            assert options.connection_strategy == "lazy"
            assert options.upstream_cert is False

    run(main())


def test_wrong_values_are_refused(tmp_path: Path) -> None:
    async def main() -> None:
        addon = Reflex()
        with taddons.context(*builtin(), addon) as context:
            with pytest.raises(exceptions.OptionsError, match="reflex_ttl=soon: must be"):
                context.configure(addon, reflex_ttl="soon")
            context.configure(addon, reflex_ttl="1h")
            assert addon.config is not None
            assert addon.config.ttl == 3600

    run(main())


def test_at_the_start_mitmproxys_error_check_stops_it(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        addon, check = Reflex(), errorcheck.ErrorCheck()
        with taddons.context(*builtin(), addon, check) as context:
            context.configure(addon, reflex_ttl="soon")
            assert addon.config is None
            with pytest.raises(SystemExit):
                await check.shutdown_if_errored()
            check.finish()

    run(main())
    assert [r.getMessage().partition(":")[0] for r in caplog.records] == ["reflex_ttl=soon"]


def test_only_what_was_set_hides_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFLEX_TTL", "2h")
    monkeypatch.setenv("REFLEX_NAMESPACE", "environment")

    async def main() -> None:
        async with bench(tmp_path, namespace="option") as b:
            assert b.addon.config is not None
            assert (b.addon.config.ttl, b.addon.config.namespace) == (7200, "option")

    run(main())


def test_later_changes_need_a_restart(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        async with bench(tmp_path) as b:
            before = b.addon.config
            b.context.configure(b.addon, reflex_ttl="1h")
            assert b.addon.config is before
            b.context.options.update(anticache=True)

    run(main())
    assert caplog.text.count("need a restart") == 1


def test_hits_before_the_hooks_unless_somebody_looks(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as b:
            assert b.addon.answers.wants_fast is not None
            b.context.configure(b.addon, anticache=True)
            assert b.addon.answers.wants_fast is None
        async with bench(tmp_path, fast_hits="off") as b:
            assert b.addon.answers.wants_fast is None
        async with bench(tmp_path, fast_hits="on") as b:
            b.context.configure(b.addon, anticache=True)
            assert b.addon.answers.wants_fast is not None

    run(main())


# ---------------------------------------------------------------------- what is decrypted


@pytest.mark.parametrize(
    ("sni", "address", "mode", "opaque"),
    [
        ("api.openai.com", ("api.openai.com", 443), "regular", False),
        ("api.openai.com", ("10.0.0.1", 443), "regular", False),
        (None, ("api.openai.com", 443), "regular", False),
        ("example.com", ("example.com", 443), "regular", True),
        (None, ("10.0.0.1", 443), "regular", True),
        (None, None, "regular", True),
        ("example.com", ("example.com", 443), "reverse:https://api.openai.com", False),
    ],
)
def test_which_tls_is_opened(
    tmp_path: Path,
    sni: str | None,
    address: tuple[str, int] | None,
    mode: str,
    opaque: bool,
) -> None:
    class Hello:
        def __init__(self) -> None:
            self.sni = sni

    async def main() -> None:
        async with bench(tmp_path) as b:
            client = Client(
                peername=("127.0.0.1", 1),
                sockname=("127.0.0.1", 2),
                proxy_mode=ProxyMode.parse(mode),
            )
            context = Context(client, b.context.options)
            context.server = Server(address=address)
            data = ClientHelloData(context, Hello())  # type: ignore[arg-type]
            b.addon.tls_clienthello(data)
            assert data.ignore_connection == opaque

    run(main())


# ---------------------------------------------------------------------- requests


def test_replayed_requests_are_answered_whole(tmp_path: Path, provider: Provider) -> None:
    async def main() -> None:
        async with bench(tmp_path, provider) as b:
            first, again = await b.ask(), await b.ask(stream=True)
            assert first.headers["x-reflex-status"] == "miss"
            assert again.headers["x-reflex-status"] == "hit-l1-exact"
            assert again.text is not None
            assert again.text.endswith("data: [DONE]\n\n")
            assert again.headers["content-length"] == str(len(again.content or b""))

    run(main())
    assert len(provider.received) == 1


def test_small_replies(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path) as b:
            assert (await b.request("/healthz")).status_code == 200
            assert (await b.request("/ready")).status_code == 200
            assert (await b.request("/nowhere")).status_code == 404
            websocket = await b.request("/v1/realtime", upgrade="websocket")
            assert websocket.status_code == 501

    run(main())


def test_a_broken_content_encoding(tmp_path: Path, provider: Provider) -> None:
    async def main() -> None:
        async with bench(tmp_path, provider) as b:
            flow = tflow.tflow()
            flow.client_conn.proxy_mode = ProxyMode.parse("reverse:https://api.openai.com")
            flow.request = http.Request.make("POST", URL, b"not gzip")
            flow.request.headers["content-encoding"] = "gzip"
            flow.live = True
            await b.addon.request(flow)
            assert flow.response is not None
            assert flow.response.status_code == 400

    run(main())


def test_a_bug_is_an_answer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def main() -> None:
        async with bench(tmp_path) as b:

            def broken(*_: object) -> None:
                raise ZeroDivisionError

            monkeypatch.setattr(b.addon.app, "prepare", broken)
            response = await b.ask()
            assert response.status_code == 500
            assert "its log says more" in (response.text or "")

    run(main())
    assert "ZeroDivisionError" in caplog.text


@pytest.mark.parametrize("why", ["other host", "answered", "failed", "not live"])
def test_flows_that_are_left_alone(tmp_path: Path, why: str) -> None:
    async def main() -> None:
        async with bench(tmp_path) as b:
            flow = tflow.tflow()
            flow.request = http.Request.make("POST", "https://api.openai.com/v1/chat/completions")
            flow.live = True
            if why == "other host":
                flow.request.url = "https://example.com/v1/chat/completions"
            elif why == "answered":
                flow.response = http.Response.make(204)
            elif why == "failed":
                flow.error = tflow.terr()
            else:
                flow.live = False
            before = flow.response
            await b.addon.request(flow)
            assert flow.response is before

    run(main())


def test_other_paths_are_sent_on(tmp_path: Path) -> None:
    async def main() -> None:
        async with bench(tmp_path, upstream="https://elsewhere.example/v1") as b:
            flow = tflow.tflow(resp=True)
            flow.response = None
            flow.client_conn.proxy_mode = ProxyMode.parse("reverse:https://api.openai.com")
            headers = {
                "authorization": "Bearer sk-a",
                "x-reflex-namespace": "n",
                "host": "localhost",
            }
            flow.request = http.Request.make(
                "GET", "http://localhost/v1/files?x=1", headers=headers
            )
            flow.live = True
            await b.addon.request(flow)
            assert flow.response is None
            assert flow.request.url == "https://elsewhere.example/v1/files?x=1"
            assert flow.request.headers["host"] == "elsewhere.example"
            assert flow.request.headers["authorization"] == "Bearer sk-a"
            assert "x-reflex-namespace" not in flow.request.headers
            worded = b.addon.answers.failure(flow, "the connection timed out")
            assert worded is not None
            assert worded.status_code == 504
            flow.response = http.Response.make(200)
            b.addon.response(flow)
            assert b.addon.answers.failure(flow, "x") is None

    run(main())


# ---------------------------------------------------------------------- commands


def test_commands(tmp_path: Path, provider: Provider) -> None:
    async def main() -> None:
        async with bench(tmp_path, provider) as b:
            response = await b.ask()
            await b.ask()
            assert "requests hit-l1-exact: 1" in b.command("stats")
            digits = response.headers["cache-status"].partition('key="')[2].partition('"')[0]
            assert "model: gpt-4o" in b.command("lookup", digits)
            assert b.command("purge", "model", "gpt-5") == "0 stored answers deleted"
            assert b.command("purge", "key", digits) == "1 stored answers deleted"
            assert b.command("lookup", digits) == ["nothing is stored under this key"]
            for args in (["purge", "something"], ["purge", "key", "xyz"], ["lookup", "x" * 64]):
                with pytest.raises(exceptions.CommandError):
                    b.command(*args)

    run(main())


def test_commands_before_the_start(caplog: pytest.LogCaptureFixture) -> None:
    async def main() -> None:
        addon = Reflex()
        with taddons.context(*builtin(), addon):
            for call in (addon.stats, lambda: addon.purge("all"), lambda: addon.lookup("00")):
                with pytest.raises(exceptions.CommandError, match="not running"):
                    call()
            await addon.done()

    with caplog.at_level(logging.ERROR):
        run(main())
    assert not caplog.records
