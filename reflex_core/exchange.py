"""One answer in progress: bytes -> events, and the Completion they fold into.

Pure: ids and clock come in as arguments. An answer may be continued by a second upstream call: see
`resume`.
"""

from __future__ import annotations

from collections.abc import Sequence

from .codecs.base import Decoder
from .errors import ApiError
from .fold import Folder, add_usage
from .types import (
    Choice,
    Completion,
    ErrorEvent,
    Event,
    Finish,
    Json,
    Ping,
    Start,
    TextDelta,
    UsageEvent,
)

_NO_CONTENT = (Start, Ping, UsageEvent)


class Exchange:
    """Never raises. Errors end up in `error` and not among the events; after one nothing comes."""

    def __init__(self, id: str, created: int, model: str) -> None:
        self._folder = Folder(id, created, model)
        self._decoder: Decoder | None = None
        self._usage_before: Json | None = None
        self._seam = ""
        self._echo = self._heard = ""
        self._known = False
        self.error: ApiError | None = None
        self.content_seen = False
        """True once there is something to show; id and model are fixed then."""

    @property
    def identity(self) -> tuple[str, int, str]:
        """(id, created, model) as the client is shown them."""
        return self._folder.id, self._folder.created, self._folder.model

    @property
    def ended(self) -> bool:
        """True when nothing can follow, whether or not the body's end is in."""
        return self.error is not None or (self._decoder is not None and self._decoder.ended)

    @property
    def usage(self) -> Json | None:
        """The tokens so far."""
        return self._folder.usage

    def attach(self, decoder: Decoder) -> None:
        """The provider begins to answer. Call it again, after `resume`, for a continuation."""
        self._decoder = decoder
        self.error = None

    def feed(self, data: bytes) -> list[Event]:
        """Events completed by `data`."""
        if self.error is not None or self._decoder is None:
            return []
        try:
            events = self._decoder.feed(data)
        except Exception as error:  # a decoder must not raise; if one does, the client is told
            events = [_broken(error)]
        return self.take(events)

    def finish(self) -> list[Event]:
        """Events that only the end of the body completes."""
        if self.error is not None or self._decoder is None:
            return []
        try:
            events = self._decoder.finish()
        except Exception as error:
            events = [_broken(error)]
        events = self.take(events)
        self.check_complete()
        return events

    def check_complete(self) -> None:
        """An answer that ends without a finish reason is an error."""
        if self.error is None and not self.completion().complete:
            self.error = ApiError(
                502, "The provider's answer ended too early.", code="upstream_closed"
            )

    def take(self, events: Sequence[Event]) -> list[Event]:
        """Fold decoded events; returns those a reader may see, up to the first error."""
        out: list[Event] = []
        for event in events:
            if isinstance(event, ErrorEvent):
                self.error = event.error
                break
            try:
                for joined in self._joined(event):
                    self._folder.feed(joined)
                    self.content_seen = self.content_seen or not isinstance(joined, _NO_CONTENT)
                    out.append(joined)
            except (KeyError, TypeError, AttributeError) as error:
                self.error = _broken(error).error
                break
        return out

    def completion(self) -> Completion:
        """What has been folded so far."""
        return self._folder.completion()

    # ------------------------------------------------------------------ continuing

    def resumable_text(self) -> str | None:
        """The text so far, when another call could go on exactly there; else None.

        Only plain text of one choice can be: no tool calls, reasoning, refusal or logprobs.
        """
        completion = self.completion()
        if len(completion.choices) != 1:
            return None
        choice = completion.choices[0]
        plain = Choice(index=0, content=choice.content)
        return choice.content if choice == plain and (choice.content or "").strip() else None

    def resume(self, text: str, *, echoed: bool = False) -> None:
        """The next decoder continues `text`, which is what was sent without white space at its end.

        Its events join on without a seam: a white space that both have is dropped once, the usage of
        both calls adds up. With `echoed` the provider may say `text` again first, which is dropped.
        """
        whole = self.resumable_text() or ""
        self._seam = whole[len(text) :]
        self._echo, self._heard = text if echoed else "", ""
        self._usage_before = self._folder.usage
        self._known = True

    def _joined(self, event: Event) -> list[Event]:
        match event:
            case Start():
                if not self.content_seen and not self._known:
                    self._identify(event)
                return [] if self._known else [event]
            case UsageEvent(usage) if self._usage_before is not None:
                return [UsageEvent(add_usage(self._usage_before, usage))]
            case TextDelta():
                return self._across_seam(event)
            case Finish():
                held, self._echo, self._heard = self._heard, "", ""
                text = self._across_seam(TextDelta(held)) if held else []
                self._seam = ""
                return [*text, event]
            case _:
                return [event]

    def _across_seam(self, event: TextDelta) -> list[Event]:
        """A delta without what was said before: nothing, while that is not known yet."""
        text = event.text
        if self._echo:
            self._heard += text
            if len(self._heard) < len(self._echo) and self._echo.startswith(self._heard):
                return []
            text = self._heard.removeprefix(self._echo)
            self._echo = self._heard = ""
        elif not self._seam:
            return [event]
        while self._seam and text and text[0] == self._seam[0]:
            text, self._seam = text[1:], self._seam[1:]
        if not text:
            return []
        self._seam = ""
        return [TextDelta(text, event.choice, event.logprobs)]

    def _identify(self, start: Start) -> None:
        self._folder.id = start.id or self._folder.id
        self._folder.created = start.created or self._folder.created
        self._folder.model = start.model or self._folder.model


def _broken(error: Exception) -> ErrorEvent:
    message = f"The provider's answer could not be understood ({type(error).__name__})."
    return ErrorEvent(ApiError(502, message, code="bad_upstream_answer"))
