"""A whole App in the test's own process: the mock provider, a real store, a semantic tier of small parts."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import orjson

from reflex_core import config as configuration
from reflex_core.app import App
from reflex_core.prepared import Prepared
from reflex_core.reply import Reply
from reflex_core.semantic import SemanticTier
from reflex_core.semantic_types import Settings

from .semantic_parts import parts

WAIT = 10.0


@asynccontextmanager
async def running(
    folder: Path, *, similar: bool = False, config: str = "", **options: Any
) -> AsyncIterator[App]:
    """`similar`: with the embedder of words and the verifier of numbers; `config`: a TOML file's text."""
    if config:
        path = folder / "reflex.toml"
        path.write_text(config)
        options["config"] = str(path)
    values = {"provider": "mock", "storage_path": str(folder / "store"), "semantic": False}
    app = App(configuration.build({**values, **options}, {}))
    await app.start()
    store = app.storage.store
    if similar and store is not None:
        settings = Settings(min_cosine=0.3, timeout=WAIT)
        app.storage.semantic = SemanticTier(store, parts, settings)
        app.storage.semantic.start()
        assert app.storage.semantic.wait(WAIT)
    try:
        yield app
    finally:
        await app.stop()


def body_of(text: str, **more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": text}], **more}


async def ask(
    app: App, text: str | dict[str, Any], headers: Mapping[str, str] | None = None, **more: Any
) -> tuple[dict[str, str], bytes]:
    """Headers with lower-case names and the whole body; what was stored can be found afterwards."""
    body = body_of(text, **more) if isinstance(text, str) else text
    prepared = app.prepare(orjson.dumps(body), {"authorization": "Bearer sk-a", **(headers or {})})
    assert isinstance(prepared, Prepared), prepared
    outcome = await app.chat(prepared)
    if isinstance(outcome, Reply):
        reply = outcome
    else:
        reply = await outcome.whole()
        outcome.close()
    await settled(app)
    return {name.lower(): value for name, value in reply.headers}, reply.body


async def settled(app: App) -> None:
    """Until all that was asked is stored, and in the index."""
    await app.misses.quiet.wait()
    if app.storage.writer is not None:
        assert app.storage.writer.flush(WAIT)
    if app.storage.semantic is not None:
        assert app.storage.semantic.flush(WAIT)
