"""Reading JSON that somebody else wrote: each function gives an empty value where the kind is wrong."""

from __future__ import annotations

from datetime import datetime
from typing import Any, cast

from ..types import Json

MAX_EXACT = 2**53


def obj(value: Any) -> Json:
    return cast(Json, value) if isinstance(value, dict) else {}


def items(value: Any) -> list[Any]:
    return cast(list[Any], value) if isinstance(value, list) else []


def text(value: Any) -> str | None:
    """A string that says something."""
    return value if isinstance(value, str) and value else None


def count(value: Any) -> int | None:
    """A count of tokens: providers send integers and floats without a fraction."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return int(value) if 0 <= value < MAX_EXACT else None


def unix_seconds(value: Any) -> int | None:
    """A time in RFC 3339, None for none and for the epoch itself."""
    try:
        return int(datetime.fromisoformat(value).timestamp()) or None
    except (TypeError, ValueError, OverflowError, OSError):
        return None
