"""The Reflex addon: `mitmdump -s addons/reflex.py`.

Hooks and options only. What a request goes through is in reflex_core, from app.py on down.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import signal
import ssl
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import certifi
from mitmproxy import command, ctx, exceptions, http, tls
from mitmproxy.addonmanager import Loader
from mitmproxy.net.http import status_codes
from mitmproxy.proxy.mode_specs import ReverseMode, UpstreamMode

from addons import consumers, live, notes, replay, request_log
from addons.admin import OwnConnections, admin_request
from addons.explain import Explain
from addons.intake import Intake, classify, host_matches
from addons.passing import Passing
from addons.views import Views
from reflex_core import config as configuration
from reflex_core.admin import Admin
from reflex_core.app import App
from reflex_core.cli import bundle
from reflex_core.cli.errors import CliError
from reflex_core.errors import ApiError, ConfigError
from reflex_core.events import EventStream
from reflex_core.options import OPTIONS
from reflex_core.prepared import Prepared
from reflex_core.reply import Pending, Reply
from reflex_core.semantic_types import Parts
from reflex_core.stats import REQUEST_LOG

logger = logging.getLogger("reflex")

_OPTION_TYPES: dict[str, type] = {"bool": bool, "int": int, "list": Sequence[str]}  # type: ignore[dict-item]


class Reflex:
    """Adapts mitmproxy's flows to the core's App."""

    def __init__(self, parts: Callable[[], Parts | None] | None = None) -> None:
        """`parts`: see App."""
        self._parts = parts
        self.app: App | None = None
        self.config: configuration.Config | None = None
        self.answers = live.LiveAnswers(_connection_handler)
        self.answers.failure = self._upstream_failure
        self._passing = Passing(
            lambda: self.config.connect_timeout if self.config else 0, _connection_handler
        )
        self._started = asyncio.Event()
        self.answers.fast = self._fast
        self._admin: Admin | None = None
        self._own_connections = OwnConnections()
        self._notes = notes.Notes()
        self._replay = replay.Replay(lambda: self.app, self._started)
        self.addons = [
            self._own_connections,
            self._passing,
            self._replay,
            Views(lambda: self.app),
            Explain(lambda: self.app),
        ]

    # ------------------------------------------------------------------ options

    def load(self, loader: Loader) -> None:
        for option in OPTIONS:
            default = list(option.default) if option.kind == "list" else option.default
            kind = _OPTION_TYPES.get(option.kind, str)
            if kind is str:
                default = str(default)
            loader.add_option(option.option, kind, default, f"{option.help} ({option.env})")
        # A hit must not need the network: never contact the real host before the request is read.
        # The admin surface must see the Host that the client sent. Set before any listener opens.
        ctx.options.update(connection_strategy="lazy", upstream_cert=False, keep_host_header=True)
        live.install(self.answers)
        request_log.install(REQUEST_LOG)

    def configure(self, updated: set[str]) -> None:
        if "termlog_verbosity" in updated and not (self.config and self.config.log_json):
            request_log.install(REQUEST_LOG)
        if self.app is not None:
            self._switch_fast_hits()
        if not any(name.startswith("reflex_") for name in updated) and self.config is not None:
            return
        try:
            config = configuration.build(_set_options())
        except ConfigError as error:
            if self.config is None and ctx.master.addons.get("errorcheck"):
                # It ends the start after any logged error; raised, this one would come with a traceback.
                logger.error("%s", error)
                return
            raise exceptions.OptionsError(str(error)) from None
        if self.app is not None and config != self.config:
            logger.warning("reflex: settings other than at the start need a restart to take effect")
            return
        self.config = config
        if config.log_json:
            request_log.to_stdout(REQUEST_LOG)

    async def running(self) -> None:
        if self.app is not None or self.config is None:
            return
        self.app = App(
            self.config,
            ssl_context=_ssl_context(),
            upstream_proxy=_upstream_proxy(),
            parts=self._parts,
        )
        self._replay.start(self.config)
        if self.config.replay != "plan":
            await self.app.start()
        self._admin = Admin(self.app)
        self._switch_fast_hits()
        self._started.set()
        for line in await asyncio.to_thread(_welcome):
            logger.log(logging.INFO, line)

    async def done(self) -> None:
        if self.app is None:
            return
        await self._replay.finish()
        hurry = asyncio.Event()
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            with contextlib.suppress(NotImplementedError, RuntimeError, ValueError):
                loop.add_signal_handler(number, hurry.set)
        await self.app.stop(hurry)
        self.app = None

    def _switch_fast_hits(self) -> None:
        """Answer exact hits before the hooks, unless somebody else wants to see the flows."""
        wish = self.config.fast_hits if self.config else "off"
        readers = consumers.of_flows(ctx.master, ctx.options)
        self._notes.recording = bool(readers)
        self.answers.keep_bodies = bool(readers) or consumers.print_bodies(ctx.options)
        fast = wish == "on" or (wish == "auto" and not readers)
        self.answers.wants_fast = self._wants_fast if fast else None

    def _wants_fast(self, flow: http.HTTPFlow) -> Intake | None:
        if self.config is None or flow.request.method != "POST" or flow.is_replay:
            return None
        intake = classify(flow, self.config.hosts)
        return intake if intake is not None and intake.kind == "chat" else None

    def _fast(self, flow: http.HTTPFlow, intake: Intake, body: bytes) -> http.Response | None:
        """Runs inside the proxy layer: whatever goes wrong, the hooks take over."""
        headers = _headers(flow.request)
        if self.app is None or "content-encoding" in headers:
            return None
        try:
            prepared = self.app.prepare(body, headers, intake.deployment)
            reply = self.app.fast_hit(prepared) if isinstance(prepared, Prepared) else None
        except Exception:
            logger.exception("reflex: the fast path failed")
            return None
        return None if reply is None else _response(reply)

    # ------------------------------------------------------------------ what is decrypted

    def tls_clienthello(self, data: tls.ClientHelloData) -> None:
        if isinstance(data.context.client.proxy_mode, ReverseMode) or self.config is None:
            return
        address = data.context.server.address
        host = data.client_hello.sni or (address[0] if address else None)
        known = host_matches(address[0] if address else None, self.config.hosts)
        if not known and not host_matches(host, self.config.hosts):
            data.ignore_connection = True

    # ------------------------------------------------------------------ one request

    async def request(self, flow: http.HTTPFlow) -> None:
        config = self.config
        if config is None or not flow.live or flow.response is not None or flow.error is not None:
            return
        intake = classify(flow, config.hosts)
        if intake is None:
            return
        await self._started.wait()  # the listeners are open before `running` is through
        await self._replay.ready()
        app = self.app
        if app is None:
            return
        try:
            await self._answer(app, flow, intake)
        except Exception:
            # Fail open is not possible here without a provider; a clear error is.
            logger.exception("reflex: request failed")
            error = ApiError(500, "Reflex failed on this request; its log says more.")
            flow.response = _response(Reply.of_error(error))

    async def _answer(self, app: App, flow: http.HTTPFlow, intake: Intake) -> None:
        match intake.kind:
            case "chat":
                await self._chat(app, flow, intake)
            case "models":
                flow.response = _response(await app.models(_headers(flow.request)))
            case "health":
                flow.response = _response(app.health())
            case "ready":
                flow.response = _response(await app.ready())
            case "admin" if self._admin is not None:
                asked = admin_request(
                    flow, intake.path, _headers(flow.request), self._own_connections
                )
                await self._deliver(flow, await self._admin.answer(asked))
            case "websocket":
                flow.response = _response(app.no_websocket())
            case "unknown":
                flow.response = _response(app.unknown_path(intake.path))
            case "other":
                self._pass(app, flow, intake)

    async def _chat(self, app: App, flow: http.HTTPFlow, intake: Intake) -> None:
        try:
            raw = flow.request.get_content(strict=True) or b""
        except ValueError:
            error = ApiError(400, "The request body has a broken content encoding.")
            flow.response = _response(Reply.of_error(error))
            return
        prepared = app.prepare(raw, _headers(flow.request), intake.deployment)
        if prepared is None:
            self._pass(app, flow, intake)
            return
        if isinstance(prepared, Reply):
            flow.response = _response(prepared)
            return
        prepared.record.flow = flow.id
        self._notes.begin(flow, prepared.record)
        outcome = await app.chat(prepared)
        if isinstance(outcome, Pending) and (transcript := self._notes.transcript(flow)):
            outcome.transcribe(transcript)
        await self._deliver(flow, outcome)

    async def _deliver(self, flow: http.HTTPFlow, outcome: Reply | Pending | EventStream) -> None:
        if isinstance(outcome, Reply):
            flow.response = _response(outcome)
        elif not flow.is_replay and flow.request.http_version != "HTTP/1.0":
            http1 = not (flow.request.is_http2 or flow.request.is_http3)
            endless = isinstance(outcome, EventStream)
            answer = live.LiveAnswer(_runner(outcome, http1), outcome.close, endless=endless)
            self.answers.register(flow, answer)
        else:
            try:
                flow.response = _response(await outcome.whole())
            finally:
                outcome.close()

    def _pass(self, app: App, flow: http.HTTPFlow, intake: Intake) -> None:
        """Send a request on as it is, to the provider when it speaks OpenAI's dialect."""
        headers = _headers(flow.request)
        outcome = app.passthrough(intake.path, headers, intake.deployment)
        if isinstance(outcome, Reply):
            flow.response = _response(outcome)
            return
        for name in [n for n in flow.request.headers if n.lower().startswith("x-reflex-")]:
            del flow.request.headers[name]
        flow.request.url = outcome.url
        for name, value in outcome.headers:
            if value is None:
                flow.request.headers.pop(name, None)
            else:
                flow.request.headers[name] = value
        self._passing.add(flow)

    def response(self, flow: http.HTTPFlow) -> None:
        self._ended(flow)

    def error(self, flow: http.HTTPFlow) -> None:
        self._ended(flow)

    def _ended(self, flow: http.HTTPFlow) -> None:
        config = self.config
        self.answers.abandon(flow)
        self._notes.finish(flow)
        if config is not None and config.scrub and flow.live:
            self._scrub(flow, config)
        self._passing.discard(flow)

    def _scrub(self, flow: http.HTTPFlow, config: configuration.Config) -> None:
        if flow in self._passing or classify(flow, config.hosts) is not None:
            notes.scrub(flow)

    def _upstream_failure(self, flow: http.HTTPFlow, text: str) -> http.Response | None:
        error = self._passing.failure(flow, text)
        return None if error is None else _response(Reply.of_error(error))

    # ------------------------------------------------------------------ commands

    @command.command("reflex.stats")
    def stats(self) -> Sequence[str]:
        """Counters, tiers and sizes, one `name: value` a line."""
        return self._app().stats_lines()

    @command.command("reflex.purge")
    def purge(self, what: str, value: str = "") -> str:
        """Delete stored answers: `all`, `key HEX`, `model NAME`, `tenant HEX` or `namespace NAME`."""
        try:
            count = self._app().purge(what, value)
        except ValueError as error:
            raise exceptions.CommandError(str(error)) from None
        message = f"{count} stored answers deleted"
        logger.info("reflex: %s", message)
        return message

    @command.command("reflex.lookup")
    def lookup(self, key: str) -> Sequence[str]:
        """What is stored under a key (hex, or its first digits as shown in Cache-Status)."""
        try:
            return self._app().lookup_lines(key)
        except ValueError as error:
            raise exceptions.CommandError(str(error)) from None

    def _app(self) -> App:
        if self.app is None:
            raise exceptions.CommandError("reflex is not running")
        return self.app


# ---------------------------------------------------------------------- adapters


def _set_options() -> dict[str, Any]:
    """Only what the user set, so that the environment and the TOML file can fill in the rest."""
    options = ctx.options._options  # no public way to ask
    return {
        option.name: getattr(ctx.options, option.option)
        for option in OPTIONS
        if option.option in options and options[option.option].has_changed()
    }


def _connection_handler(client_id: str) -> Any:
    server = ctx.master.addons.get("proxyserver")
    return server.connections.get(client_id) if server else None


def _ssl_context() -> ssl.SSLContext:
    path = ctx.options.ssl_verify_upstream_trusted_ca
    folder = ctx.options.ssl_verify_upstream_trusted_confdir
    context = ssl.create_default_context(
        cafile=str(Path(path).expanduser()) if path else None if folder else certifi.where(),
        capath=str(Path(folder).expanduser()) if folder else None,
    )
    if ctx.options.ssl_insecure:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _upstream_proxy() -> str:
    """With `--mode upstream:URL` providers are reached through that proxy too."""
    for mode in ctx.options.mode:
        if mode.startswith("upstream:"):
            spec = UpstreamMode.parse(mode)
            return f"{spec.scheme}://{spec.address[0]}:{spec.address[1]}"
    return ""


def _headers(request: http.Request) -> Mapping[str, str]:
    """Lower-case names; repeated headers are joined."""
    out: dict[str, str] = {}
    for raw_name, raw_value in request.headers.fields:
        name, value = raw_name.decode("latin-1").lower(), raw_value.decode("utf-8", "replace")
        out[name] = f"{out[name]}, {value}" if name in out else value
    return out


def _response(reply: Reply) -> http.Response:
    """The whole reply; put together by hand, as `Response.make` costs more than an exact hit."""
    fields = [(n.encode(), v.encode("latin-1", "replace")) for n, v in reply.headers]
    fields.append((b"content-length", b"%d" % len(reply.body)))
    now = time.time()
    reason = status_codes.RESPONSES.get(reply.status, "").encode()
    headers = http.Headers(fields)
    return http.Response(b"HTTP/1.1", reply.status, reason, headers, reply.body, None, now, now)


def _runner(pending: Pending | EventStream, http1: bool) -> Any:
    async def run(send: Any) -> None:
        reply, chunks = await pending.start()
        head = _response(reply)
        if chunks is not None:
            del head.headers["content-length"]
            if http1:
                head.headers["transfer-encoding"] = "chunked"
        head.data.content = None
        await send(live.Head(head))
        if chunks is None:
            await send(reply.body)
        else:
            async for chunk in chunks:
                await send(chunk)
        pending.close()  # counted before the hooks that come with the end look at it
        await send(None)

    return run


def _welcome() -> list[str]:
    """What a client needs. Reads and writes files."""
    lines = ["reflex: ready. A client needs:"]
    server = ctx.master.addons.get("proxyserver")
    for instance in server.servers if server else ():
        for host, port, *_ in instance.listen_addrs[:1]:
            host = "127.0.0.1" if host in ("0.0.0.0", "::", "") else host
            if isinstance(instance.mode, ReverseMode):
                lines.append(f"  export OPENAI_BASE_URL=http://{host}:{port}/v1")
            else:
                trust = _trust()
                names = "SSL_CERT_FILE REQUESTS_CA_BUNDLE CURL_CA_BUNDLE NODE_EXTRA_CA_CERTS"
                lines.append(f"  export HTTPS_PROXY=http://{host}:{port} NODE_USE_ENV_PROXY=1")
                lines.append("  export " + " ".join(f"{name}={trust}" for name in names.split()))
    return lines if len(lines) > 1 else []


def _trust() -> Path:
    """Our CA beside all others, as what passes through opaque has certificates of its own."""
    folder = Path(ctx.options.confdir).expanduser()
    ca = folder / "mitmproxy-ca-cert.pem"
    try:
        return bundle.build(ca, folder, os.environ)
    except CliError as error:
        logger.warning("reflex: %s", error)
        return ca


addons = [Reflex()]
