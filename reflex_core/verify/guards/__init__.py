"""Structural guards: each looks for one kind of difference that changes the answer.

A guard is `(a, b) -> reason | None`, symmetric, and never raises. `VETOES` refuse on their own.
"""

from __future__ import annotations

from collections.abc import Callable

from ..text import Parsed
from .contrast import contrast
from .entities import entity
from .literals import code, link, quote
from .numbers import date, identifier, number, unit
from .order import direction
from .questions import question_count, question_type
from .shades import negation, quantifier, requested_format, tense

Guard = Callable[[Parsed, Parsed], str | None]

VETOES: tuple[Guard, ...] = (
    link,
    quote,
    code,
    date,
    number,
    identifier,
    unit,
    requested_format,
    contrast,
    entity,
    negation,
    direction,
    quantifier,
    tense,
    question_type,
    question_count,
)


def first_veto(a: Parsed, b: Parsed) -> str | None:
    """The reason of the first guard that refuses: `veto-number`."""
    for guard in VETOES:
        reason = guard(a, b)
        if reason is not None:
            return f"veto-{reason}"
    return None
