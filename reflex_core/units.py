"""Durations, sizes, switches as people write them. All raise ValueError for anything else."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

_NUMBER = re.compile(r"([0-9]*\.?[0-9]+)\s*([a-z]*)")
_SECONDS = {"": 1, "ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}
_BYTES = {"": 1, "b": 1, "k": 2**10, "m": 2**20, "g": 2**30, "t": 2**40}


def _scaled(value: Any, units: Mapping[str, float]) -> float:
    if isinstance(value, bool):
        raise ValueError
    if isinstance(value, int | float):
        number = float(value)
        if not math.isfinite(number) or number < 0:
            raise ValueError
        return number
    match = _NUMBER.fullmatch(str(value).strip().lower())
    if match is None or match[2] not in units:
        raise ValueError
    return float(match[1]) * units[match[2]]


def parse_duration(value: Any) -> float:
    """Seconds: `90`, `1.5s`, `15m`, `12h`, `7d`, `2w`, `250ms`."""
    return _scaled(value, _SECONDS)


def parse_size(value: Any) -> int:
    """Bytes: `4096`, `512k`, `64m`, `2g`; also `64MB`, `2GiB` (all powers of two)."""
    text = re.sub(r"(?<=[kmgt])i?b$", "", str(value).strip().lower())
    return int(_scaled(value if isinstance(value, int | float) else text, _BYTES))


def parse_bool(value: Any) -> bool:
    if isinstance(value, bool):
        return value
    match str(value).strip().lower():
        case "true" | "1" | "yes" | "on":
            return True
        case "false" | "0" | "no" | "off" | "":
            return False
        case _:
            raise ValueError


def parse_int(value: Any) -> int:
    if isinstance(value, bool):
        raise ValueError
    return int(str(value).strip().replace("_", ""))


def parse_float(value: Any) -> float:
    number = float(str(value).strip())
    if isinstance(value, bool) or not math.isfinite(number):
        raise ValueError
    return number
