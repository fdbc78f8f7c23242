from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from reflex_core import codec_store
from reflex_core.replay import warm
from reflex_core.replay.recorded import Reader, Recorded
from reflex_core.replay.warm import Summary, Warmer
from reflex_core.storage import Storage

from .recordings import NOW, asked, body, config, recorded, streamed, with_header

LATER = NOW + 10_000_000


class Home:
    """A store on disk that can be warmed again and again."""

    def __init__(self, folder: Path, **options: object) -> None:
        self.config = config(folder=folder, **options)
        self.storage = Storage(self.config, lambda: LATER, lambda: None)
        self.storage.open()

    def warm(self, *exchanges: Recorded) -> Summary:
        warmer = Warmer(Reader(self.config, self.storage.secret), self.storage)
        for one in exchanges:
            warmer.take(one, LATER)
        return warmer.finish()


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path)
    yield home
    home.storage.close()


def test_what_is_stored(home: Home) -> None:
    one = recorded(body("hi"))
    summary = home.warm(one)
    assert (summary.read, summary.usable, summary.stored) == (1, 1, 1)
    found = Reader(home.config, home.storage.secret).read(one)
    assert home.storage.store is not None
    entry = home.storage.store.get(found.keys.exact, LATER)  # type: ignore[union-attr]
    assert entry is not None
    answer = codec_store.load(entry.completion)
    assert answer.choices[0].content == "Hello."
    assert entry.created == NOW + 2, "its age is that of the recording"
    assert entry.expires == LATER + 30 * 86400, "its time to live starts now"
    assert entry.took == 2
    assert entry.question == "hi"
    (request,) = home.storage.store.requests(entry.tenant, 9)
    assert request.body == one.request_body


def test_again_changes_nothing(home: Home) -> None:
    capture = [recorded(body(text), n) for n, text in enumerate("abc")]
    home.warm(*capture)
    assert home.storage.store is not None
    before = home.storage.store.recent(9, LATER)
    summary = home.warm(*capture)
    assert (summary.stored, dict(summary.skipped)) == (0, {"already-stored": 3})
    assert home.storage.store.recent(9, LATER) == before


def test_the_first_answer_stays(home: Home) -> None:
    summary = home.warm(streamed("One."), recorded(body()), recorded(body("other")))
    assert (summary.stored, dict(summary.skipped)) == (2, {"repeat": 1})
    assert home.storage.store is not None
    texts = [
        codec_store.load(entry.completion).choices[0].content
        for entry in home.storage.store.recent(9, LATER)
    ]
    assert sorted(texts) == ["Hello.", "One."]  # type: ignore[type-var]


def test_skipped_and_elsewhere(home: Home) -> None:
    headers = {"x_reflex_provider": "groq", "x_reflex_model": "llama"}
    summary = home.warm(
        recorded(status=500),
        recorded(kind="other"),
        recorded(body("a"), request_headers={"cache-control": "no-store"}),
        with_header(recorded(body("b")), x_reflex_status="hit-l3-verified"),
        with_header(recorded(body("c")), **headers),
    )
    assert (summary.read, summary.usable, summary.stored) == (5, 3, 1)
    assert dict(summary.skipped) == {
        "error-status": 1,
        "other-path": 1,
        "no-store": 1,
        "similar-hit": 1,
    }
    assert dict(summary.elsewhere) == {"groq::llama": 1}
    value = summary.to_json()
    assert value["stored_elsewhere"] == {"groq::llama": 1}
    (first, *_) = value["skipped"]
    assert first == {
        "reason": "error-status",
        "count": 1,
        "text": "the answer is an error (500: 1)",
    }


def test_more_than_the_queue_holds(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    """The store is waited for, so that nothing is dropped."""
    monkeypatch.setattr(warm, "_FLUSH_BYTES", 20_000)
    capture = [recorded(body(f"question {n}"), n) for n in range(300)]
    summary = home.warm(*capture)
    assert summary.stored == 300
    assert home.storage.store is not None
    assert home.storage.store.stats()["entries"] == 300
    assert home.storage.writer is not None
    assert home.storage.writer.stats()["dropped"] == 0


def test_a_store_that_refuses(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(entries: object) -> list[int]:
        raise OSError("disk full")

    monkeypatch.setattr(home.storage.store, "put", broken)
    monkeypatch.setattr(home.storage.writer, "_limits", warm_limits())
    summary = home.warm(recorded(body("a")), recorded(body("b")))
    assert (summary.stored, dict(summary.skipped)) == (0, {"store-failed": 2})


def warm_limits() -> object:
    from reflex_core.writer import Limits

    return Limits(retry_s=0.0, attempts=1)


def test_requests_are_left_out_when_asked(tmp_path: Path) -> None:
    home = Home(tmp_path, keep_requests=False)
    home.warm(recorded())
    assert home.storage.store is not None
    tenant = Reader(home.config, home.storage.secret).read(recorded()).keys.tenant  # type: ignore[union-attr]
    assert home.storage.store.requests(tenant, 9) == []
    home.storage.close()


def test_without_a_store_answers_are_in_memory(tmp_path: Path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("")
    home = Home(blocked / "store")
    summary = home.warm(recorded())
    assert (summary.stored, dict(summary.skipped)) == (0, {"store-failed": 1})
    assert asked(recorded()).decision.stored
