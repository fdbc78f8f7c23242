"""One upstream answer in progress: bytes -> events, and the Completion they fold into.

Pure: ids and clock come in as arguments.
"""

from __future__ import annotations

from collections.abc import Sequence

from .codecs.base import Decoder
from .errors import ApiError
from .fold import Folder
from .types import Completion, ErrorEvent, Event, Ping, Start, UsageEvent


class Exchange:
    """Never raises. After an ErrorEvent nothing comes any more."""

    def __init__(self, decoder: Decoder, id: str, created: int, model: str) -> None:
        self._decoder = decoder
        self._folder = Folder(id, created, model)
        self.content_seen = False
        """True once there is something to show; id and model are fixed then."""

    @property
    def error(self) -> ApiError | None:
        return self._folder.error

    @property
    def identity(self) -> tuple[str, int, str]:
        """(id, created, model) as the client is shown them."""
        return self._folder.id, self._folder.created, self._folder.model

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by `data`."""
        if self._folder.error is not None:
            return []
        try:
            events = self._decoder.feed(data)
        except Exception as error:  # a decoder must not raise; if one does, the client is told
            events = [_broken(error)]
        return self.take(events)

    def finish(self) -> list[Event]:
        """Events that only the end of the body completes."""
        if self._folder.error is not None:
            return []
        try:
            events = self._decoder.finish()
        except Exception as error:
            events = [_broken(error)]
        events = self.take(events)
        if self._folder.error is None and not self._folder.completion().complete:
            events += self.take([_cut()])
        return events

    def abort(self, error: ApiError) -> list[Event]:
        """The transport failed: the last event there is."""
        if self._folder.error is not None:
            return []
        return self.take([ErrorEvent(error)])

    def completion(self) -> Completion:
        """What has been folded so far."""
        return self._folder.completion()

    def take(self, events: Sequence[Event]) -> list[Event]:
        """Fold events that were decoded elsewhere; returns them up to the first error."""
        out: list[Event] = []
        for event in events:
            if isinstance(event, Start) and not self.content_seen:
                self._identify(event)
            elif not isinstance(event, Start | Ping | UsageEvent | ErrorEvent):
                self.content_seen = True
            try:
                self._folder.feed(event)
            except (KeyError, TypeError, AttributeError) as error:
                event = _broken(error)
                self._folder.feed(event)
            out.append(event)
            if isinstance(event, ErrorEvent):
                break
        return out

    def _identify(self, start: Start) -> None:
        self._folder.id = start.id or self._folder.id
        self._folder.created = start.created or self._folder.created
        self._folder.model = start.model or self._folder.model


def _broken(error: Exception) -> ErrorEvent:
    message = f"The provider's answer could not be understood ({type(error).__name__})."
    return ErrorEvent(ApiError(502, message, code="bad_upstream_answer"))


def _cut() -> ErrorEvent:
    return ErrorEvent(
        ApiError(502, "The provider's answer ended too early.", code="upstream_closed")
    )
