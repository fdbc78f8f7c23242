"""The way to providers over HTTP, with pooled connections (aiohttp)."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import Mapping
from typing import Any
from urllib.request import proxy_bypass

import aiohttp
from yarl import URL

from ..errors import ApiError, UpstreamError
from ..types import ProviderRequest

MAX_WHOLE = 64 * 2**20
"""Bytes of an answer that is read whole (JSON, errors)."""


LINGER = 1.0
"""Seconds that the end of a complete answer's body is waited for, to use the connection again."""


class HttpAnswer:
    """A provider's answer whose headers are in. Must be closed."""

    def __init__(
        self, response: aiohttp.ClientResponse, lingering: set[asyncio.Task[None]]
    ) -> None:
        self._response = response
        self._lingering = lingering
        self.status = response.status
        self.headers: Mapping[str, str] = {k.lower(): v for k, v in response.headers.items()}

    async def read_chunk(self) -> bytes:
        """The next bytes as they arrive, content coding undone; b"" at the end. Raises UpstreamError."""
        try:
            return await self._response.content.readany()
        except aiohttp.ClientPayloadError as error:
            if "content-encoding" in str(error):
                message = "The provider's answer has a broken content encoding."
            else:
                message = "The provider closed the connection in mid-answer."
            raise UpstreamError(ApiError(502, message, code="upstream_closed")) from None
        except (aiohttp.ClientError, OSError) as error:
            raise UpstreamError(_error(error, self._response.host)) from None

    async def read_all(self) -> bytes:
        """The rest of the body. Raises UpstreamError, also when it is larger than MAX_WHOLE."""
        parts: list[bytes] = []
        size = 0
        while chunk := await self.read_chunk():
            size += len(chunk)
            if size > MAX_WHOLE:
                raise UpstreamError(ApiError(502, "The provider's answer is too large."))
            parts.append(chunk)
        return b"".join(parts)

    def close(self, *, complete: bool = False) -> None:
        """Gives the connection back when the body was read to its end, or soon is; else closes it."""
        if complete and not self._response.content.at_eof():
            task = asyncio.create_task(self._linger(), name="reflex linger")
            self._lingering.add(task)
            # Not in the task itself: cancelled before its first step, it would never run.
            task.add_done_callback(self._let_go)
        else:
            self._let_go()

    async def _linger(self) -> None:
        with contextlib.suppress(TimeoutError, UpstreamError):
            async with asyncio.timeout(LINGER):
                while await self.read_chunk():
                    pass

    def _let_go(self, task: asyncio.Task[None] | None = None) -> None:
        if task is not None:
            self._lingering.discard(task)
        self._response.release() if self._response.content.at_eof() else self._response.close()


class HttpUpstream:
    """Opens requests to providers. Lives on the event loop."""

    def __init__(
        self, *, connect_timeout: float, ssl_context: ssl.SSLContext | None = None, proxy: str = ""
    ) -> None:
        self._connect_timeout = connect_timeout
        self._ssl = ssl_context
        self._proxy = proxy or None
        self._session: aiohttp.ClientSession | None = None
        self._lingering: set[asyncio.Task[None]] = set()

    def _get_session(self) -> aiohttp.ClientSession:
        if self._session is None:
            options: dict[str, Any] = {} if self._ssl is None else {"ssl": self._ssl}
            connector = aiohttp.TCPConnector(limit=0, ttl_dns_cache=60, **options)
            timeout = aiohttp.ClientTimeout(total=None, connect=self._connect_timeout)  # DNS too
            self._session = aiohttp.ClientSession(
                connector=connector,
                timeout=timeout,
                cookie_jar=aiohttp.DummyCookieJar(),
                # A compressed stream comes in larger steps than events.
                headers={"Accept-Encoding": "identity"},
                skip_auto_headers=("User-Agent", "Accept", "Content-Type"),
                read_bufsize=2**18,
                max_line_size=2**16,
                max_field_size=2**16,
            )
        return self._session

    def _proxy_for(self, url: str) -> str | None:
        """None too for hosts that the variable NO_PROXY names, such as a local Ollama's."""
        return None if self._proxy is None or proxy_bypass(_host(url)) else self._proxy

    async def open(self, request: ProviderRequest, first_byte_timeout: float) -> HttpAnswer:
        """Send `request`, wait for the answer's headers. Raises UpstreamError."""
        session = self._get_session()
        try:
            async with asyncio.timeout(first_byte_timeout):
                response = await session.request(
                    request.method,
                    _url(request.url),
                    headers=list(request.headers),
                    data=request.body,
                    proxy=self._proxy_for(request.url),
                    allow_redirects=False,
                )
        except TimeoutError as error:
            if isinstance(error, aiohttp.ServerTimeoutError):
                raise UpstreamError(_error(error, _host(request.url))) from None
            message = f"No answer from {_host(request.url)} within {first_byte_timeout:g} s."
            raise UpstreamError(ApiError(504, message, code="upstream_timeout")) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise UpstreamError(_error(error, _host(request.url))) from None
        return HttpAnswer(response, self._lingering)

    async def close(self) -> None:
        for task in self._lingering:
            task.cancel()
        await asyncio.gather(*self._lingering, return_exceptions=True)
        if self._session is not None:
            await self._session.close()
            self._session = None


def _url(url: str) -> URL:
    return URL(url, encoded=True)


def _host(url: str) -> str:
    return str(_url(url).host)


def _error(error: Exception, host: str) -> ApiError:
    """Transport failures told apart; never with credentials or bodies in the text."""
    match error:
        case aiohttp.ClientConnectorDNSError():
            return ApiError(502, f"Cannot resolve the host name {host}.", code="upstream_dns")
        case aiohttp.ClientConnectorCertificateError() | aiohttp.ClientConnectorSSLError():
            return ApiError(
                502, f"TLS with {host} failed: {_tls_reason(error)}", code="upstream_tls"
            )
        case aiohttp.ServerTimeoutError():
            return ApiError(504, f"Connecting to {host} timed out.", code="upstream_timeout")
        case aiohttp.ClientHttpProxyError():
            message = f"The upstream proxy refused to connect to {host} (status {error.status})."
            return ApiError(502, message, code="upstream_proxy")
        case aiohttp.ClientConnectorError():
            reason = error.os_error.strerror or type(error.os_error).__name__
            message = f"Cannot connect to {host}: {reason}."
            return ApiError(502, message, code="upstream_connect")
        case aiohttp.ServerDisconnectedError() | ConnectionResetError():
            message = f"{host} closed the connection without an answer."
            return ApiError(502, message, code="upstream_closed")
        case _:
            message = f"The connection to {host} failed ({type(error).__name__})."
            return ApiError(502, message, code="upstream_failed")


def _tls_reason(error: Exception) -> str:
    inner = getattr(error, "certificate_error", None) or getattr(error, "os_error", None) or error
    return str(getattr(inner, "verify_message", "") or getattr(inner, "reason", "") or inner)[:200]
