"""GET /healthz and GET /ready, in the ancestor's shape."""

from __future__ import annotations

from .reply import Reply
from .storage import Storage


def healthz() -> Reply:
    """The process answers."""
    return Reply.of_json({"status": "ok"}, headers=(("x-reflex-status", "healthy"),))


def ready(storage: Storage) -> Reply:
    """Each component is "ready", "pending", "off" or "error"; 503 when one is pending or broken.

    `embedder_mode` tells whether the embedder knows meanings: "real", "stub" or "none".
    """
    components = {"http": "ready", "storage": storage.state(), **storage.semantic_state()}
    states = [state for name, state in components.items() if name != "embedder_mode"]
    ok = all(state in ("ready", "off") for state in states)
    status = "ok" if ok else "error" if "error" in states else "pending"
    return Reply.of_json(
        {"status": status, "components": components},
        200 if ok else 503,
        (("x-reflex-status", "ready" if ok else status),),
    )
