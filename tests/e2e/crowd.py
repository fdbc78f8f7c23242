"""Many clients at once, and what each of them saw."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from .asking import KEY, body
from .provider import Answer, Received
from .proxy import Proxy
from .speech import text_frames

SSE = {"content-type": "text/event-stream"}
WORDS = [f"word{i} " for i in range(40)]
TEXT = "".join(WORDS)
"""What `gated` says."""


@dataclass
class Seen:
    """One answer, whole or in the making."""

    code: int
    headers: httpx.Headers
    raw: bytes = field(default=b"", repr=False)

    @property
    def status(self) -> str:
        return self.headers["x-reflex-status"]

    @property
    def streamed(self) -> bool:
        return self.headers["content-type"].startswith("text/event-stream")

    @property
    def events(self) -> list[Any]:
        """The JSON of all frames, the error too; of a JSON answer, itself."""
        if not self.streamed:
            return [json.loads(self.raw)]
        lines = [line for line in self.raw.decode().split("\n") if line.startswith("data: ")]
        return [json.loads(line[6:]) for line in lines if line != "data: [DONE]"]

    @property
    def whole(self) -> bool:
        """It ended as it should."""
        if not self.streamed:
            return self.code == 200
        return self.raw.endswith(b"data: [DONE]\n\n") and self.error is None

    @property
    def deltas(self) -> list[dict[str, Any]]:
        """Of all choices; of a JSON answer its messages."""
        choices = [choice for event in self.events for choice in event.get("choices", ())]
        return [choice["delta" if self.streamed else "message"] for choice in choices]

    @property
    def text(self) -> str:
        return "".join(delta.get("content") or "" for delta in self.deltas)

    @property
    def error(self) -> dict[str, Any] | None:
        return next((event["error"] for event in self.events if "error" in event), None)

    @property
    def usage(self) -> dict[str, int] | None:
        found = [event["usage"] for event in self.events if event.get("usage")]
        return found[-1] if found else None

    @property
    def ids(self) -> set[str]:
        return {event["id"] for event in self.events if "error" not in event}

    @property
    def outcome(self) -> str:
        """In a few words, for the fault matrix."""
        if self.code != 200:
            return f"{self.code} `{(self.error or {}).get('code')}`"
        if self.error is not None:
            return f"the text so far, then an error event `{self.error.get('code')}`"
        return "the whole answer" if self.whole else "a cut answer"


class Crowd:
    """Asks through one proxy, every request on a connection of its own."""

    def __init__(self, through: Proxy, **options: Any) -> None:
        """`options` go to httpx."""
        self._proxy = through
        self._options = options

    async def __aenter__(self) -> Crowd:
        limits = httpx.Limits(max_connections=None, max_keepalive_connections=0)
        options = {"verify": False, "trust_env": False, "timeout": 30, "limits": limits}
        self.http = httpx.AsyncClient(**{**options, **self._options})
        self.url = f"{self._proxy.base_url}/chat/completions"
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.http.aclose()

    async def ask(
        self,
        text: str,
        *,
        stream: bool = True,
        key: str = KEY,
        headers: Mapping[str, str] | None = None,
        until: Callable[[Seen], bool] | None = None,
        begun: asyncio.Event | None = None,
        **more: Any,
    ) -> Seen:
        """Reads to the end, or leaves as soon as `until` holds. `begun` is set with the status."""
        head = {"authorization": f"Bearer {key}", **(headers or {})}
        request = body(text, **({"stream": True} if stream else {}), **more)
        async with self.http.stream("POST", self.url, json=request, headers=head) as answer:
            seen = Seen(answer.status_code, answer.headers)
            if begun is not None:
                begun.set()
            async for data in answer.aiter_bytes():
                seen.raw += data
                if until is not None and until(seen):
                    break
            return seen

    def start(self, text: str, **options: Any) -> asyncio.Task[Seen]:
        return asyncio.create_task(self.ask(text, **options))

    async def stats(self) -> Any:
        return (await self.http.get(f"{self._proxy.root}/reflex/stats")).json()

    async def purge(self, what: str, value: str = "") -> None:
        answer = await self.http.post(
            f"{self._proxy.root}/reflex/purge",
            json={"what": what, "value": value},
            headers={"x-reflex-admin": "1"},
        )
        assert answer.status_code == 200, answer.text

    async def readers(self, count: int) -> None:
        """Until so many clients wait for answers of the proxy."""
        await until(lambda: self._has_readers(count))

    async def _has_readers(self, count: int) -> bool:
        return (await self.stats())["readers"] == count


async def until(
    true: Callable[[], bool] | Callable[[], Coroutine[Any, Any, bool]], seconds: float = 20
) -> None:
    """Waits for something that tells nobody when it happens."""
    async with asyncio.timeout(seconds):
        while True:
            found = true()
            if found if isinstance(found, bool) else await found:
                return
            await asyncio.sleep(0.01)


class Gate:
    """Opens up to some piece of the answer. Shared by all calls."""

    def __init__(self, head: bool = True) -> None:
        self._last = -1 if head else -2

    def __call__(self, piece: int) -> bool:
        return piece <= self._last

    def to_word(self, number: int) -> None:
        """Of `speech.text_frames`, which begin with the role."""
        self._last = number + 1

    def open(self) -> None:
        self._last = 2**31


def gated(gate: Callable[[int], bool], *words: str) -> Callable[[Received], Answer]:
    """A provider that says `words`, or WORDS, as the gate allows."""
    return lambda request: Answer(text_frames(*(words or WORDS)), headers=SSE, gate=gate)
