from __future__ import annotations

import json
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from reflex_core.ports import StoredRequest
from reflex_core.replay.nearest import MAX_SHOWN, as_json, explain, nearest

from .recordings import body


def stored(request: Any, id: int = 1) -> StoredRequest:
    raw = request if isinstance(request, bytes) else json.dumps(request).encode()
    return StoredRequest(id, id.to_bytes(32, "big"), b"s" * 32, "gpt-4o", 5.0, raw)


def chosen(asked: Any, *requests: Any) -> int:
    found = nearest(asked, [stored(one, at) for at, one in enumerate(requests)])
    assert found is not None
    return found.request.id


def test_the_one_that_differs_least() -> None:
    asked = body("How do I pay by card?", "be brief", temperature=0)
    assert chosen(asked, body("x"), body("How do I pay by card?", "be brief", temperature=1)) == 1
    other = body("How do I pay by cheque?", "be brief", temperature=0)
    far = body("What is love?", "be brief", temperature=0)
    assert chosen(asked, far, other) == 1
    assert chosen(asked, other, far) == 0
    long = body("How do I pay by card?", "be brief", temperature=0)
    long["messages"] += long["messages"]
    assert chosen(asked, long, far) == 1


def test_nothing_stored() -> None:
    assert nearest(body(), []) is None
    assert nearest(body(), [stored(b"\0"), stored(b"[]"), stored(b"")]) is None
    assert "No request of this client is stored" in explain(None)


def test_explanation_names_the_fields() -> None:
    found = nearest(body("ho", temperature=0.5), [stored(body("hi"), 7)])
    assert found is not None
    text = explain(found)
    assert "(key 0000000000000000)" in text
    assert 'messages[0].content: stored "hi", asked "ho"; temperature: only in this' in text
    assert as_json(found) == {
        "key": (7).to_bytes(32, "big").hex(),
        "created": 5.0,
        "differences": [
            {
                "path": "messages[0].content",
                "change": "changed",
                "stored": '"hi"',
                "asked": '"ho"',
            },
            {"path": "temperature", "change": "added", "stored": "", "asked": "0.5"},
        ],
    }


def test_an_equal_body_is_said_to_be_stored_elsewhere() -> None:
    found = nearest(body(stream=True), [stored(body())])
    assert found is not None
    assert found.differences == ()
    assert "another provider, model or base URL" in explain(found)


def test_many_differences_are_counted() -> None:
    more = {f"x{n}": n for n in range(MAX_SHOWN + 3)}
    found = nearest(body(**more), [stored(body())])
    assert found is not None
    assert explain(found).endswith("; and 3 more.")


@given(st.lists(st.binary(max_size=20) | st.just(b'{"messages": 5}')), st.just({"messages": 5}))
def test_any_stored_bytes(raw: list[bytes], asked: Any) -> None:
    explain(nearest(asked, [stored(one) for one in raw]))
