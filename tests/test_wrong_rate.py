"""The measured rate of wrong hits: its interval, its memory, and what it makes stricter."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.wrong_rate import FILE, MAX_STEPS, MIN_WRONG, WrongRate, wilson


def test_the_interval_is_wilsons() -> None:
    """Values of statsmodels.stats.proportion.proportion_confint(method="wilson")."""
    assert wilson(3, 100) == pytest.approx((0.010254, 0.084517), abs=1e-5)
    assert wilson(0, 20) == pytest.approx((0.0, 0.161125), abs=1e-5)
    assert wilson(10, 10) == pytest.approx((0.722467, 1.0), abs=1e-5)
    assert wilson(0, 0) == (0.0, 1.0)


@given(st.integers(0, 500), st.integers(1, 500))
def test_the_interval_holds_the_share(wrong: int, total: int) -> None:
    wrong = min(wrong, total)
    low, high = wilson(wrong, total)
    assert 0 <= low <= wrong / total + 1e-9
    assert wrong / total <= high + 1e-9 <= 1 + 1e-9


def test_right_hits_change_nothing() -> None:
    rate = WrongRate(None, 0.01)
    assert not any(rate.add("same") for _ in range(500))
    assert rate.tightened(0.8) == pytest.approx(0.8)
    assert rate.stats()["rate"] == 0


def test_a_few_wrong_ones_are_no_proof() -> None:
    rate = WrongRate(None, 0.01)
    for _ in range(MIN_WRONG - 1):
        assert not rate.add("wrong")
    assert rate.steps == 0


def test_what_is_accepted_changes_nothing() -> None:
    rate = WrongRate(None, 0.1)
    outcomes = [rate.add("wrong" if i % 10 == 0 else "same") for i in range(1, 300)]
    assert not any(outcomes)


def test_a_proven_rate_makes_everything_stricter() -> None:
    rate = WrongRate(None, 0.01)
    for _ in range(20):
        rate.add("same")
    outcomes = [rate.add("wrong") for _ in range(MIN_WRONG)]
    assert outcomes == [False, False, True]
    assert rate.tightened(0.8) == pytest.approx(0.9)
    assert rate.rate() is None
    assert rate.total == {"same": 20, "wrong": MIN_WRONG}


def test_the_inconclusive_are_apart() -> None:
    rate = WrongRate(None, 0.01)
    rate.add("same")
    for _ in range(50):
        rate.add("inconclusive")
    stats = rate.stats()
    assert (stats["rate"], stats["inconclusive"]) == (0.0, 50)
    assert (stats["rate_low"], stats["rate_high"]) == wilson(0, 1)


def test_steps_have_an_end() -> None:
    rate = WrongRate(None, 0.01)
    for _ in range(MIN_WRONG * (MAX_STEPS + 2)):
        rate.add("wrong")
    assert rate.steps == MAX_STEPS
    assert rate.tightened(0.5) < 1


def strict(folder: Path) -> WrongRate:
    rate = WrongRate(folder, 0.01)
    for _ in range(MIN_WRONG):
        rate.add("wrong")
    rate.add("same")
    return rate


def test_a_restart_goes_on(tmp_path: Path) -> None:
    before = strict(tmp_path)
    after = WrongRate(tmp_path, 0.01)
    assert after.steps == 1
    assert after.stats() == before.stats()
    assert (tmp_path / FILE).stat().st_mode & 0o777 == 0o600


def test_another_dial_starts_anew(tmp_path: Path) -> None:
    strict(tmp_path)
    assert WrongRate(tmp_path, 0.02).steps == 0


def test_reset_is_for_good(tmp_path: Path) -> None:
    strict(tmp_path).reset()
    after = WrongRate(tmp_path, 0.01)
    assert (after.steps, after.total.total()) == (0, 0)


@given(st.binary(max_size=60) | st.sampled_from([b"[]", b"null", b'{"max_wrong":0.01}']))
def test_a_damaged_file_counts_as_none(
    tmp_path_factory: pytest.TempPathFactory, noise: bytes
) -> None:
    folder = tmp_path_factory.mktemp("rate")
    (folder / FILE).write_bytes(noise)
    assert WrongRate(folder, 0.01).steps == 0


@pytest.mark.parametrize("steps", [-4, 10**6])
def test_impossible_steps(tmp_path: Path, steps: int) -> None:
    text = f'{{"max_wrong":0.01,"steps":{steps},"total":{{}},"now":{{"same":-3}}}}'
    (tmp_path / FILE).write_text(text)
    rate = WrongRate(tmp_path, 0.01)
    assert 0 <= rate.steps <= MAX_STEPS
    assert rate.rate() is None
