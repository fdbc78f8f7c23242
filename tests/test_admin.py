"""The admin surface without a network."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import orjson
import pytest

from reflex_core import dashboard
from reflex_core.admin import Admin, is_admin_path
from reflex_core.admin_guard import AdminRequest
from reflex_core.events import EventStream
from reflex_core.reply import Reply

from .running import ask, running

TOKEN = "a-token-that-is-long-enough"


async def call(
    admin: Admin, method: str, path: str, body: Any = None, *, scheme: str = "http", **headers: str
) -> Reply:
    given = {"host": "localhost", **{name.replace("_", "-"): v for name, v in headers.items()}}
    raw = b""
    if method == "POST":
        raw = orjson.dumps(body)
        given = {"content-type": "application/json", "x-reflex-admin": "1", **given}
    reply = await admin.answer(AdminRequest(method, path, given, raw, "127.0.0.1", scheme))
    assert isinstance(reply, Reply)
    return reply


def header(reply: Reply, name: str) -> str:
    return dict(reply.headers)[name]


@pytest.mark.parametrize(
    ("path", "ours"),
    [
        ("/reflex", True),
        ("/reflex/", True),
        ("/reflex/why?id=1", True),
        ("/metrics?x", True),
        ("/metrics/x", False),
        ("/reflexes", False),
        ("/v1/reflex/", False),
    ],
)
def test_paths(path: str, ours: bool) -> None:
    assert is_admin_path(path) == ours


def test_routes(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            admin = Admin(app)
            headers, _ = await ask(app, "red green blue")
            id = headers["x-reflex-id"]
            why = await call(admin, "GET", f"/reflex/why?id={id}&x=%00")
            assert orjson.loads(why.body)["id"] == id
            assert (await call(admin, "GET", "/reflex/why?id=unknown-id")).status == 404
            assert (await call(admin, "GET", "/reflex/why")).status == 404
            assert (await call(admin, "GET", "/reflex/why?" + "&a=b" * 50)).status == 400
            found = orjson.loads((await call(admin, "GET", "/reflex/search?q=gpt%2D4")).body)
            assert len(found["entries"]) == 1
            assert (await call(admin, "POST", "/reflex/wrong", {"id": id})).status == 400
            assert (await call(admin, "POST", "/reflex/wrong", {"id": 7})).status == 404
            headers, _ = await ask(app, "red green blue")
            wrong = await call(admin, "POST", "/reflex/wrong", {"id": headers["x-reflex-id"]})
            assert orjson.loads(wrong.body)["deleted"] == 1
            metrics = await call(admin, "GET", "/metrics")
            assert b"reflex_requests_total{" in metrics.body
            for method, path, status in [
                ("GET", "/reflex/nothing", 404),
                ("DELETE", "/reflex/purge", 403),
                ("POST", "/reflex/stats", 405),
                ("GET", "/metrics/", 404),
            ]:
                assert (await call(admin, method, path)).status == status

    asyncio.run(go())


@pytest.mark.parametrize("body", [None, 3, "x", [], {"what": 1}, {"what": "key", "value": {}}])
def test_strange_bodies(tmp_path: Path, body: Any) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            reply = await call(Admin(app), "POST", "/reflex/purge", body)
            assert reply.status == 400

    asyncio.run(go())


def test_the_page_allows_its_own_parts_only(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            reply = await call(Admin(app), "GET", "/reflex/")
            assert header(reply, "content-type") == "text/html; charset=utf-8"
            policy = header(reply, "content-security-policy")
            assert policy.startswith("default-src 'none'; script-src 'sha256-")
            assert "unsafe" not in policy
            assert "http" not in policy
            assert "frame-ancestors 'none'" in policy
            text = reply.body.decode()
            for outside in ("src=", "@import", "url(", "//cdn", '<link rel="stylesheet'):
                assert outside not in text
            assert text.count("<script>") == text.count("<style>") == 1
            assert "/*style*/" not in text
            assert "/*script*/" not in text

    asyncio.run(go())
    assert dashboard.page("login").policy != dashboard.page("index").policy


def test_login(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path, admin_token=TOKEN) as app:
            admin = Admin(app)
            page = await call(admin, "GET", "/reflex/")
            assert (page.status, page.body) == (401, dashboard.page("login").body)
            for wrong in ({"token": ""}, {"token": TOKEN[:-1]}, {}, {"token": None}):
                reply = await call(admin, "POST", "/reflex/login", wrong)
                assert reply.status == 401
                assert "set-cookie" not in dict(reply.headers)
            foreign = await call(
                admin, "POST", "/reflex/login", {"token": TOKEN}, origin="https://evil.example"
            )
            assert foreign.status == 403
            reply = await call(admin, "POST", "/reflex/login", {"token": TOKEN})
            cookie = header(reply, "set-cookie")
            assert "HttpOnly; SameSite=Strict" in cookie
            assert "Secure" not in cookie
            assert TOKEN not in cookie
            value = cookie.partition(";")[0]
            page = await call(admin, "GET", "/reflex/", cookie=value)
            assert (page.status, page.body) == (200, dashboard.page("index").body)
            assert (await call(admin, "GET", "/metrics", cookie=value)).status == 200
            assert (await call(admin, "GET", "/metrics")).status == 401
            out = await call(admin, "POST", "/reflex/logout", {}, cookie=value)
            assert "Max-Age=0" in header(out, "set-cookie")
            tls = await call(admin, "POST", "/reflex/login", {"token": TOKEN}, scheme="https")
            assert "; Secure" in header(tls, "set-cookie")

    asyncio.run(go())


def test_nobody_logs_in_without_a_token(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            reply = await call(Admin(app), "POST", "/reflex/login", {"token": ""})
            assert reply.status == 401

    asyncio.run(go())


def test_events(tmp_path: Path) -> None:
    async def go() -> None:
        async with running(tmp_path) as app:
            admin = Admin(app)
            await ask(app, "one")
            request = AdminRequest("GET", "/reflex/events", {"host": "localhost"}, b"", "::1")
            stream = await admin.answer(request)
            assert isinstance(stream, EventStream)
            reply, chunks = await stream.start()
            assert header(reply, "content-type").startswith("text/event-stream")
            assert header(reply, "x-frame-options") == "DENY"
            assert chunks is not None
            first = _data(await anext(chunks))
            assert first["first"] is True
            assert [row["status"] for row in first["recent"]] == ["miss"]
            await ask(app, "one")
            second = _data(await anext(chunks))
            assert second["first"] is False
            assert [row["status"] for row in second["recent"]] == ["hit-l1-exact"]
            assert second["stats"]["requests"]["total"] == 2
            stream.close()
            stream.close()
            with pytest.raises(StopAsyncIteration):
                await anext(chunks)

            whole = await admin.answer(request)
            assert isinstance(whole, EventStream)
            assert _data((await whole.whole()).body)["first"] is True
            whole.close()

            opened = [await admin.answer(request) for _ in range(40)]
            refused = [reply for reply in opened if isinstance(reply, Reply)]
            assert [reply.status for reply in refused] == [503] * 8
            for stream in opened:
                if isinstance(stream, EventStream):
                    stream.close()
            assert isinstance(await admin.answer(request), EventStream)

    asyncio.run(go())


def _data(frame: bytes) -> Any:
    event, _, data = frame.decode().partition("\n")
    assert event == "event: snapshot"
    assert data.endswith("\n\n")
    return orjson.loads(data.removeprefix("data: "))
