"""Circuit breakers, on a clock of numbers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from reflex_core.breaker import Breakers

RESET = 30.0


@pytest.fixture
def breakers() -> Breakers:
    return Breakers(failures=3, reset=RESET)


def fail(breakers: Breakers, times: int, now: float = 0.0, name: str = "a") -> None:
    for _ in range(times):
        breakers.failed(name, now)


def test_closed_until_the_limit(breakers: Breakers) -> None:
    fail(breakers, 2)
    assert breakers.allows("a", 0)
    fail(breakers, 1)
    assert not breakers.allows("a", 0)
    assert breakers.open(0) == ["a"]


def test_a_success_in_between_starts_the_count_again(breakers: Breakers) -> None:
    fail(breakers, 2)
    breakers.succeeded("a")
    fail(breakers, 2)
    assert breakers.allows("a", 0)


def test_providers_are_apart(breakers: Breakers) -> None:
    fail(breakers, 3)
    assert breakers.allows("b", 0)
    assert breakers.open(0) == ["a"]


def test_one_trial_after_the_reset(breakers: Breakers) -> None:
    fail(breakers, 3, now=10)
    assert not breakers.allows("a", 10 + RESET - 0.1)
    assert breakers.allows("a", 10 + RESET), "the trial"
    assert not breakers.allows("a", 10 + RESET), "the others wait for it"
    assert not breakers.allows("a", 10 + 2 * RESET - 0.1)


def test_a_trial_that_succeeds_closes_it(breakers: Breakers) -> None:
    fail(breakers, 3)
    assert breakers.allows("a", RESET)
    breakers.succeeded("a")
    assert breakers.allows("a", RESET)
    assert breakers.allows("a", RESET)
    fail(breakers, 2, now=RESET)
    assert breakers.allows("a", RESET), "the failures before it are forgotten"


def test_a_trial_that_fails_opens_it_again(breakers: Breakers) -> None:
    fail(breakers, 3)
    assert breakers.allows("a", RESET)
    breakers.failed("a", RESET + 5)
    assert not breakers.allows("a", RESET + 5 + RESET - 0.1)
    assert breakers.allows("a", RESET + 5 + RESET)


def test_a_trial_that_never_ends_is_followed_by_another(breakers: Breakers) -> None:
    """Its client left, say."""
    fail(breakers, 3)
    assert breakers.allows("a", RESET)
    assert breakers.allows("a", 2 * RESET)


def test_late_failures_keep_it_open(breakers: Breakers) -> None:
    """Calls that were under way when it opened end one by one."""
    fail(breakers, 3)
    breakers.failed("a", 20)
    assert not breakers.allows("a", 20 + RESET - 0.1)


@given(st.lists(st.tuples(st.sampled_from("+-?"), st.floats(0, 40)), max_size=60))
def test_never_more_than_one_call_a_reset_while_it_fails(steps: list[tuple[str, float]]) -> None:
    """Whatever happens and when: from the third failure on, calls are at least a reset apart."""
    breakers = Breakers(failures=3, reset=RESET)
    now, failures, last_allowed = 0.0, 0, None
    for step, seconds in steps:
        now += seconds
        if step == "+":
            breakers.succeeded("a")
            failures, last_allowed = 0, None
        elif step == "-":
            breakers.failed("a", now)
            failures += 1
        elif breakers.allows("a", now):
            if failures >= 3 and last_allowed is not None:
                assert now - last_allowed >= RESET
            last_allowed = now if failures >= 3 else None
        else:
            assert failures >= 3
