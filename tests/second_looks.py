"""An App in the test's own process, in front of a provider that gives set answers and judges.

The same parts serve the end-to-end tests, in a mitmdump of their own (tests/e2e/test_second_looks.py).
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

from reflex_core import config as configuration
from reflex_core.app import App
from reflex_core.backends.bit_index import BitIndex
from reflex_core.ports import Embedding, Verdict
from reflex_core.semantic_types import Parts

from .e2e.provider import Answer, Provider, Received
from .e2e.speech import completion, text_frames
from .semantic_parts import WordEmbedder

WAIT = 10.0
HOUSE_KEY = "key-of-house"
JUDGE = "house::judge-model"


class OverlapVerifier:
    """The share of words that both have, against a threshold; other digits are a veto."""

    def __init__(self, threshold: float = 0.8) -> None:
        self.threshold = threshold

    def verify(
        self,
        asked: str,
        asked_embedding: Embedding,
        stored: str,
        stored_tokens: bytes,
        cosine: float,
    ) -> Verdict:
        digits = [[c for c in text if c.isdigit()] for text in (asked, stored)]
        if digits[0] != digits[1]:
            return Verdict(False, 0.0, "veto-number")
        a, b = set(asked.split()), set(stored.split())
        score = len(a & b) / len(a | b)
        accepted = score >= self.threshold
        reason = "verified" if accepted else "below-threshold"
        return Verdict(accepted, score, reason, self.threshold)


def parts(verifier: OverlapVerifier | None = None) -> Parts:
    embedder = WordEmbedder()
    index = BitIndex(embedder.dim, embedder.identity)
    return Parts(embedder, index, verifier or OverlapVerifier())


class World:
    """A provider below /v1 and a judge below /house, both with what they were asked."""

    def __init__(self) -> None:
        self.server = Provider()
        self.server.reply = self._reply
        self.answers: dict[str, str] = {}
        """By question; others are answered with the question."""
        self.verdict = "yes"
        self.judge_answer: Answer | None = None
        self.answer: Answer | None = None

    def toml(self) -> str:
        return f'[providers.house]\nbase_url = "{self.server.url}/house"\nkey_env = "HOUSE_KEY"\n'

    @property
    def asked(self) -> list[str]:
        return [_question(r) for r in self.server.received if r.path.startswith("/v1")]

    @property
    def judged(self) -> list[Received]:
        return [r for r in self.server.received if r.path.startswith("/house")]

    def close(self) -> None:
        self.server.close()

    def _reply(self, request: Received) -> Answer:
        if request.path.startswith("/house"):
            return self.judge_answer or said(self.verdict)
        if self.answer is not None:
            return self.answer
        text = self.answers.get(_question(request), f"About {_question(request)}.")
        if request.json.get("stream"):
            return Answer(text_frames(text), headers={"content-type": "text/event-stream"})
        return said(text)


def _question(request: Received) -> str:
    return str(request.json["messages"][-1]["content"])


def said(text: str) -> Answer:
    return Answer([json.dumps(completion({"content": text})).encode()])


@asynccontextmanager
async def running(
    folder: Path, world: World, verifier: OverlapVerifier | None = None, **options: Any
) -> AsyncIterator[App]:
    """HOUSE_KEY must be in the environment for the judge to be asked."""
    toml = folder / "reflex.toml"
    toml.write_text(world.toml())
    values = {
        "config": str(toml),
        "storage_path": str(folder / "store"),
        "upstream": f"{world.server.url}/v1",
        "recheck": 0,
    }
    app = App(configuration.build({**values, **options}, {}), parts=lambda: parts(verifier))
    await app.start()
    tier = app.storage.semantic
    if tier is not None:
        tier.settings = replace(tier.settings, timeout=WAIT)
        assert await asyncio.to_thread(tier.wait, WAIT)
    try:
        yield app
    finally:
        await app.stop()


async def looked(app: App) -> None:
    """Until all second looks are over."""
    async with asyncio.timeout(WAIT):
        while app.review._tasks:  # noqa: ASYNC110  what the app makes is its own
            await asyncio.sleep(0.01)
