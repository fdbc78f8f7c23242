from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from reflex_core.errors import BackendError
from reflex_core.replay import similar as module
from reflex_core.replay.recorded import Asked
from reflex_core.replay.similar import SimilarHome, TierSimilar
from reflex_core.semantic_types import Settings
from tests.semantic_parts import NumberVerifier, WordEmbedder, parts

from .recordings import asked, body, config, recorded


class Verifier(NumberVerifier):
    threshold = 0.5


def question(text: str, **more: Any) -> Asked:
    return asked(recorded(body(text, **more)))


@pytest.fixture
def tier(tmp_path: Path) -> Iterator[TierSimilar]:
    tier = TierSimilar(parts(verifier=Verifier()), Settings(min_cosine=0.1), tmp_path)
    yield tier
    tier.close()


def test_all_candidates_are_judged_best_first(tier: TierSimilar) -> None:
    """Also those after one that the product would have served."""
    for key, text in enumerate(["pay by card", "pay with card", "pay by card 7"]):
        tier.add(key, question(text))
    found = tier.near(question("pay by credit card"))
    assert [near.key for near in found[:2]] in ([0, 1], [1, 0])
    assert [near.score for near in found] == [0.9, 0.9, 0.0]
    assert found[2].reason == "veto-number"
    assert all(0 < near.cosine < 1 for near in found)
    assert (tier.measure, tier.threshold) == ("verifier's score", 0.5)


def test_scopes_never_meet(tier: TierSimilar) -> None:
    tier.add(0, question("pay by card", stop=["x"]))
    assert tier.near(question("pay by card now")) == []
    other = recorded(body("pay by card"), request_headers={"authorization": "Bearer sk-two"})
    tier.add(1, asked(other))
    assert tier.near(question("pay by card now")) == []


def test_what_the_tier_must_not_see(tier: TierSimilar) -> None:
    several = question("pay by card", n=2)
    assert several.meaning.text is None
    tier.add(0, several)
    assert tier.near(several) == []
    long = question("word " * 50)
    tier.add(1, long)
    assert tier.near(long) == []


def test_without_a_verifier_the_cosine_counts(tmp_path: Path) -> None:
    settings = Settings(unverified_cosine=0.77, min_cosine=0.1)
    tier = TierSimilar(parts(verifier=None), settings, tmp_path)
    tier.add(0, question("pay by card"))
    (near,) = tier.near(question("pay with card"))
    assert near.score == near.cosine
    assert (tier.measure, tier.threshold) == ("cosine", 0.77)
    tier.close()


def test_stricter_thresholds_of_their_own_count(tmp_path: Path) -> None:
    """A pair that must reach 0.8 where others need 0.5 is 0.3 worse than its score."""

    class Strict(Verifier):
        def verify(self, *args: Any, **kwargs: Any) -> Any:
            return replace(super().verify(*args, **kwargs), threshold=0.8)

    tier = TierSimilar(parts(verifier=Strict()), Settings(min_cosine=0.1), tmp_path)
    tier.add(0, question("pay by card"))
    (near,) = tier.near(question("pay with card"))
    assert near.score == pytest.approx(0.6)
    tier.close()


def test_one_embedding_for_a_question(tmp_path: Path) -> None:
    embedder = WordEmbedder()
    tier = TierSimilar(parts(embedder, verifier=Verifier()), Settings(), tmp_path)
    one = question("pay by card")
    tier.near(one)
    tier.add(0, one)
    assert embedder.asked == [["pay by card"]]
    embedder.failure = BackendError("gone")
    assert tier.near(question("other")) == []
    tier.add(1, question("another"))
    tier.close()


# ---------------------------------------------------------------------- where it lives


def test_home_says_why_there_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    home = SimilarHome(config(semantic=False))
    assert (home.similar, home.why) == (None, "reflex_semantic is false")
    home.close()
    monkeypatch.setattr(module.semantic_parts, "load", lambda config: None)
    home = SimilarHome(config(semantic=True))
    assert (home.similar, home.why) == (None, "the embedding model is not installed")
    home.close()

    def broken(config: Any) -> Any:
        raise BackendError("no weights.")

    monkeypatch.setattr(module.semantic_parts, "load", broken)
    home = SimilarHome(config(semantic=True))
    assert (home.similar, home.why) == (None, "no weights")
    home.close()


def test_home_is_temporary(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the user's own store is touched."""
    seen: list[Path] = []

    def load(config: Any) -> Any:
        seen.append(config.storage_path)
        return parts(verifier=Verifier())

    monkeypatch.setattr(module.semantic_parts, "load", load)
    home = SimilarHome(config(tmp_path / "mine", semantic=True))
    assert home.similar is not None
    home.similar.add(0, question("pay by card"))
    assert seen[0].is_dir()
    home.close()
    assert not seen[0].exists()
    assert not (tmp_path / "mine").exists()
