"""In mitmproxy and mitmweb: chat requests and answers as transcripts, and a word on each flow."""

from __future__ import annotations

from collections.abc import Callable

from mitmproxy import contentviews, http
from mitmproxy.contentviews import Contentview, Metadata

from reflex_core import readable
from reflex_core.app import App
from reflex_core.journal import Record

_MARKERS = {
    "hit-l1-exact": ":zap:",
    "hit-l2-semantic": ":dart:",
    "hit-l3-verified": ":white_check_mark:",
    "coalesced": ":link:",
    "continued": ":arrow_forward:",
    "stale": ":hourglass:",
}
"""Names as mitmproxy knows them. What the provider answered has none."""
_ABOVE_JSON = 2.0
"""mitmproxy's JSON view has 1."""


class ChatContentview(Contentview):
    """What was asked and answered, whether streamed or not."""

    @property
    def name(self) -> str:
        return "OpenAI chat"

    def prettify(self, data: bytes, metadata: Metadata) -> str:
        """Raises ValueError for anything else."""
        if _is_stream(data, metadata):
            return readable.stream(data)
        body = readable.loads(data)
        if _is_request(metadata) and isinstance(body.get("messages"), list):
            return readable.request(body)
        text = readable.answer(data)
        if text is None:
            raise ValueError("neither a chat request nor an answer")
        return text

    def render_priority(self, data: bytes, metadata: Metadata) -> float:
        if not data or not _is_chat(metadata):
            return -1
        if _is_stream(data, metadata) or _is_request(metadata):
            return _ABOVE_JSON
        return _ABOVE_JSON if b'"chat.completion"' in data or data.startswith(b'{"error"') else -1


def _is_chat(metadata: Metadata) -> bool:
    flow = metadata.flow
    path = flow.request.path if isinstance(flow, http.HTTPFlow) else ""
    return path.partition("?")[0].rstrip("/").endswith("/chat/completions")


def _is_request(metadata: Metadata) -> bool:
    return isinstance(metadata.http_message, http.Request)


def _is_stream(data: bytes, metadata: Metadata) -> bool:
    kind = (metadata.content_type or "").partition(";")[0].strip().lower()
    return kind == "text/event-stream" and not _is_request(metadata)


class Views:
    """An addon. Flows get a marker when the store answered, and a comment in any case."""

    def __init__(self, app: Callable[[], App | None]) -> None:
        self._app = app
        contentviews.add(ChatContentview())

    def response(self, flow: http.HTTPFlow) -> None:
        status = flow.response.headers.get("x-reflex-status") if flow.response else None
        id = flow.response.headers.get("x-reflex-id", "") if flow.response else ""
        if status is None or not id:
            return
        flow.marked = flow.marked or _MARKERS.get(status, "")
        flow.comment = flow.comment or self._comment(id, status)

    def _comment(self, id: str, status: str) -> str:
        words = [status]
        app = self._app()
        record = app.stats.journal.find(id) if app else None
        if app is not None and record is not None:
            words += _told(record, app)
        return "reflex: " + ", ".join(words)


def _told(record: Record, app: App) -> list[str]:
    words = [record.detail] if record.detail else []
    if record.tokens is None:
        return words
    total = record.tokens.prompt + record.tokens.completion
    usd = app.prices.known(record.provider, record.model, record.tokens)
    price = f" (${usd:.6f})" if usd is not None else ""
    verb = "saved" if record.saved else "spent"
    return [*words, f"{verb} {total} tokens{price}"]
