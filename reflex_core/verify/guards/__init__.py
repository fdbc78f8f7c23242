"""Structural guards: each looks for one kind of difference that changes the answer.

A guard is `(a, b) -> reason | None`, symmetric, and never raises. `VETOES` refuse on their own,
`DOUBTS` unless the learned verifier is surer than it need be else.
"""

from __future__ import annotations

from collections.abc import Callable

from ..text import Parsed
from .aspects import aspect
from .contrast import contrast
from .edits import inflection, small_edit
from .entities import added_name, entity
from .literals import code, formula, link, quote, symbol
from .numbers import date, identifier, number, unit
from .order import direction, roles
from .questions import question_count, question_type
from .shades import negation, quantifier, requested_format, tense

__all__ = ["DOUBTS", "LITERAL", "VETOES", "first_veto", "small_edit"]

Guard = Callable[[Parsed, Parsed], str | None]

LITERAL: tuple[Guard, ...] = (link, quote, code, formula, symbol)
VETOES: tuple[Guard, ...] = (
    *LITERAL,
    date,
    number,
    identifier,
    unit,
    requested_format,
    contrast,
    aspect,
    entity,
    negation,
    direction,
    roles,
    quantifier,
    tense,
    inflection,
    question_type,
    question_count,
)
DOUBTS: tuple[Guard, ...] = (added_name,)


def first_veto(a: Parsed, b: Parsed, guards: tuple[Guard, ...] = VETOES) -> str | None:
    """The reason of the first guard that refuses: `veto-number`."""
    for guard in guards:
        reason = guard(a, b)
        if reason is not None:
            return f"veto-{reason}"
    return None
