from __future__ import annotations

import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core import key
from reflex_core.replay.volatile import ADVICE, VolatileFinder, skeleton

from .recordings import body

SCOPE = b"scope"


def tool(name: str, **more: Any) -> dict[str, Any]:
    return {"type": "function", "function": {"name": name, **more}}


def exact(request: dict[str, Any]) -> bytes:
    return key.exact_key(b"t" * 16, "openai", "gpt-4o", request)


def spoiled(*requests: dict[str, Any]) -> list[tuple[str, ...]]:
    finder = VolatileFinder()
    return [finder.add(n, SCOPE, exact(one), one) for n, one in enumerate(requests, 1)]


# ---------------------------------------------------------------------- one request


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("time", "2026-01-02T10:11:12Z"),
        ("time", "2026-01-02 10:11:12.345678+01:00"),
        ("time", "2026-01-02 10:11"),
        ("time", "Tue, 24 Nov 2026 07:05:11 GMT"),
        ("time", "Tue Nov 24 07:05:11 2026"),
        ("time", "Tue Nov  3 07:05:11 2026"),
        ("time", "November 24th, 2026 at 7:05 PM"),
        ("time", "1767225600"),
        ("time", "1767225600123"),
        ("time", "1767225600.25"),
        ("uuid", "550e8400-e29b-41d4-a716-446655440000"),
        ("id", "req_011CSHoEeqs5"),
        ("id", "session-8f14e45fceea"),
        ("id", "d41d8cd98f00b204e9800998ecf8427e"),
        ("id", "01ARZ3NDEKTSV4RRFFQ69G5FAV"),
        ("id", "V1StGXR8Z5jdHi6BmyTx"),
        ("path", "/tmp/tmpab12cd/report.txt"),
    ],
)
def test_never_meant(kind: str, text: str) -> None:
    """Found in questions and in instructions alike, as a whole."""
    for request in (body(f"see {text} now"), body("hi", f"see {text} now")):
        (spot,) = skeleton(request).spots
        assert (spot.kind, spot.text) == (kind, text)
    assert kind in ADVICE


@pytest.mark.parametrize(
    ("kind", "text"),
    [
        ("date", "2026-01-02"),
        ("date", "1/2/2026"),
        ("date", "24.12.2026"),
        ("date", "November 24, 2026"),
        ("date", "24 November 2026"),
        ("date", "Tuesday"),
        ("date", "10:15"),
        ("number", "17"),
        ("number", "3.5"),
    ],
)
def test_dates_and_numbers_only_in_instructions(kind: str, text: str) -> None:
    """A question with another number is another question."""
    assert skeleton(body(f"see {text} now")).spots == ()
    (spot,) = skeleton(body("hi", f"see {text} now")).spots
    assert (spot.where, spot.path) == ("messages[system].content", "messages[0].content")
    assert (spot.kind, spot.text) == (kind, text)


@pytest.mark.parametrize(
    "text",
    [
        "request_method",
        "user_friendly_interface",
        "task-oriented",
        "deadbeef",
        "CONSTANT_NAME",
        "gpt",
    ],
)
def test_plain_words_stay(text: str) -> None:
    assert skeleton(body(text)).spots == ()


def test_ignored_fields_do_not_count() -> None:
    plain = skeleton(body())
    more = body(user="u-1", metadata={"id": "req_123456"}, stream=True, prompt_cache_key="k")
    assert skeleton(more) == plain
    assert skeleton(body(temperature=1)) == skeleton(body(temperature=1.0))
    assert skeleton(body(temperature=1)).digest != plain.digest


def test_parts_of_content_are_looked_at() -> None:
    text = {"type": "text", "text": "now 2026-01-02T10:11:12Z"}
    image = {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}}
    (spot,) = skeleton(body([text, image])).spots  # type: ignore[arg-type]
    assert spot.path == "messages[0].content[0].text"


# ---------------------------------------------------------------------- many requests


def test_a_clock_in_the_system_prompt() -> None:
    requests = [body("hi", f"Now: 2026-01-02T10:11:{n:02}Z.") for n in range(4)]
    finder = VolatileFinder()
    found = [finder.add(n, SCOPE, exact(one), one) for n, one in enumerate(requests, 1)]
    assert found == [(), *[("messages[system].content (time)",)] * 3]
    (finding,) = finder.findings()
    assert (finding.where, finding.kind) == ("messages[system].content", "time")
    assert finding.path == "messages[0].content"
    assert (finding.requests, finding.flows) == (3, [2, 3, 4])
    assert finding.examples == ("2026-01-02T10:11:00Z", "2026-01-02T10:11:01Z")
    assert finding.advice == ADVICE["time"]


def test_tools_in_another_order() -> None:
    a = tool("a", description="at /tmp/one", parameters={"required": ["x", "y"]})
    b = tool("b", description="at /tmp/two")
    c = tool("a", description="at /tmp/one", parameters={"required": ["y", "x"]})
    assert spoiled(body(tools=[a, b]), body(tools=[b, a]), body(tools=[c, b])) == [
        (),
        ("tools (order)",),
        ("tools[].function.parameters.required (order)",),
    ]
    assert spoiled(body(tools=[a, b]), body(tools=[a])) == [(), ()]


def test_ids_of_tool_calls() -> None:
    def turn(id: str) -> dict[str, Any]:
        call = {"id": id, "type": "function", "function": {"name": "f", "arguments": "{}"}}
        request = body()
        request["messages"] += [
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": id, "content": "4"},
        ]
        return request

    (_, found) = spoiled(turn("a"), turn("b"))
    assert found == (
        "messages[assistant].tool_calls[].id (id)",
        "messages[tool].tool_call_id (id)",
    )


def test_seed_and_counters() -> None:
    assert spoiled(body(seed=1), body(seed=2))[1] == ("seed (seed)",)
    assert spoiled(body("hi", "You have 7 tries."), body("hi", "You have 6 tries."))[1] == (
        "messages[system].content (number)",
    )


def test_repeats_and_other_questions_are_no_findings() -> None:
    one, other = body("hi", "Now: 2026-01-02T10:11:12Z"), body("ho", "Now: 2026-01-02T10:11:13Z")
    assert spoiled(one, one, other) == [(), (), ()]


def test_scopes_are_apart() -> None:
    finder = VolatileFinder()
    one, two = (body("hi", f"Now: 2026-01-02T10:11:{n:02}Z") for n in (1, 2))
    assert finder.add(1, b"one", exact(one), one) == ()
    assert finder.add(2, b"two", exact(two), two) == ()


def test_memory_is_bounded() -> None:
    finder = VolatileFinder(max_groups=2)
    clock = [body(f"q{n}", f"Now: 2026-01-02T10:11:1{n}Z") for n in range(3)]
    again = [body(f"q{n}", f"Now: 2026-01-02T10:11:2{n}Z") for n in range(3)]
    for n, one in enumerate(clock):
        finder.add(n, SCOPE, exact(one), one)
    assert finder.add(7, SCOPE, exact(again[0]), again[0]) == (), "forgotten"
    assert finder.add(8, SCOPE, exact(again[2]), again[2]) != ()


def test_long_values_are_told_apart() -> None:
    names = [f"tool_{n}" for n in range(60)]
    first = [tool(name) for name in names]
    last = [*first[:-2], first[-1], first[-2]]
    (_, found) = spoiled(body(tools=first), body(tools=last))
    assert found == ("tools (order)",)


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=12,
)


@given(st.dictionaries(st.sampled_from(["messages", "tools", "seed", "x"]), VALUES))
def test_any_body_has_a_skeleton(request: dict[str, Any]) -> None:
    found = skeleton(request)
    assert skeleton(json.loads(json.dumps(request))) == found


@given(
    st.randoms(use_true_random=False), st.lists(st.sampled_from("abcdef"), min_size=2, unique=True)
)
def test_order_of_keys_and_tools_does_not_change_the_skeleton(
    shuffle: random.Random, names: list[str]
) -> None:
    tools = [tool(name, description=f"at 2026-01-02T10:11:12Z in {name}") for name in names]
    request = body("hi", "x", tools=tools, temperature=0.5)
    mixed = [dict(shuffle.sample(list(one.items()), len(one))) for one in tools]
    shuffle.shuffle(mixed)
    other = dict(shuffle.sample(list({**request, "tools": mixed}.items()), len(request)))
    assert skeleton(other).digest == skeleton(request).digest


@given(st.text(), st.text())
def test_equal_skeletons_differ_only_in_spots(one: str, two: str) -> None:
    a, b = skeleton(body(one)), skeleton(body(two))
    if a.digest == b.digest and [s.text for s in a.spots] == [s.text for s in b.spots]:
        assert one == two or "<" in one + two
