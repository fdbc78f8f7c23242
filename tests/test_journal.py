from __future__ import annotations

from reflex_core.journal import Journal, Record, printable, record_json
from reflex_core.pricing import Tokens


def record(n: int, **fields: object) -> Record:
    made = Record(f"record{n:04}", "openai", "gpt", False, float(n), key=n.to_bytes(32, "big"))
    for name, value in fields.items():
        setattr(made, name, value)
    return made


def test_ring() -> None:
    journal = Journal(kept=3)
    for n in range(5):
        journal.add(record(n))
    assert [r.id for r in journal.recent(10)] == ["record0004", "record0003", "record0002"]
    assert [r.id for r in journal.recent(2)] == ["record0004", "record0003"]
    assert [r.id for r in journal.recent(10, since=4)] == ["record0004"]
    assert journal.recent(10, since=5) == []
    assert journal.find("record0001") is None


def test_find() -> None:
    journal = Journal()
    journal.add(record(1, flow="flow-0001"))
    journal.add(record(2, key=bytes.fromhex("abcdef0123456789") + bytes(24)))
    journal.add(record(3, key=bytes.fromhex("abcdef0123456789") + bytes(24)))
    found = {
        name: journal.find(name) for name in ("record0001", "flow-0001", "ABCDEF01", "abcdef0", "")
    }
    assert {name: r.id if r else None for name, r in found.items()} == {
        "record0001": "record0001",
        "flow-0001": "record0001",
        "ABCDEF01": "record0003",
        "abcdef0": None,
        "": None,
    }


def test_top_is_bounded_and_keeps_the_most_used() -> None:
    journal = Journal(kept=10)
    for n in range(6000):
        journal.add(record(n, entry=n.to_bytes(32, "big")))
        journal.add(record(n, entry=b"often".ljust(32, b"\0")))
    assert journal.top(1) == [(b"often".ljust(32, b"\0"), 6000)]
    assert len(journal.top(10**6)) <= 4096


def test_the_question_is_only_there_with_the_body() -> None:
    made = record(1)
    assert made.question is None
    made.body = {"messages": [{"role": "user", "content": "secret words"}]}
    assert made.question == "secret words"
    assert "secret" not in repr(made)
    assert "secret" not in str(record_json(made, 0.0))


def test_json() -> None:
    made = record(1, status="miss", code=200, seconds=0.5, first_token=0.25, tokens=Tokens(3, 4))
    told = record_json(made, 1_700_000_000.0)
    assert (told["ms"], told["first_token_ms"]) == (500, 250)
    assert told["tokens"]["prompt"] == 3
    assert told["at"] == 1_700_000_000.0


def test_printable() -> None:
    assert printable("gpt\n\x1b[31m" + "x" * 200) == "gpt??[31m" + "x" * 71
