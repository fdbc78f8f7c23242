"""Circuit breakers: a provider that keeps failing is passed over for a while."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class _State:
    failures: int = 0
    open_until: float = 0.0


class Breakers:
    """One breaker a provider. After `failures` in a row it opens for `reset` seconds; then one
    trial call decides. `now` is any clock in seconds.
    """

    def __init__(self, failures: int, reset: float) -> None:
        self._limit = failures
        self._reset = reset
        self._states: dict[str, _State] = {}

    def allows(self, name: str, now: float) -> bool:
        """False while it is open. The first call after that is the trial: others still wait."""
        state = self._states.get(name)
        if state is None or state.failures < self._limit:
            return True
        if now < state.open_until:
            return False
        state.open_until = now + self._reset
        return True

    def succeeded(self, name: str) -> None:
        self._states.pop(name, None)

    def failed(self, name: str, now: float) -> None:
        state = self._states.setdefault(name, _State())
        state.failures += 1
        if state.failures >= self._limit:
            state.open_until = now + self._reset

    def open(self, now: float) -> list[str]:
        """Names of the providers that are passed over."""
        return [
            name
            for name, state in self._states.items()
            if state.failures >= self._limit and now < state.open_until
        ]
