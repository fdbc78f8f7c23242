"""Numbers as people read them."""

from __future__ import annotations

import math
from datetime import UTC, datetime

TIERS = {
    "exact": "exact repeat",
    "in-flight": "shared in flight",
    "similar": "similar question",
    "miss": "asked upstream",
    "bypass": "cache bypassed",
}
"""In the order they are shown."""


def count(value: int) -> str:
    return f"{value:,}"


def share(part: float, whole: float) -> str:
    return f"{part / whole:.1%}" if whole else "-"


def money(usd: float) -> str:
    """US dollars, with enough digits for small sums."""
    if usd >= 100:
        return f"${usd:,.0f}"
    if usd >= 0.1:
        return f"${usd:,.2f}"
    if usd < 1e-9:
        return "$0"
    return f"${usd:.{1 - math.floor(math.log10(usd))}f}"


def duration(seconds: float) -> str:
    if seconds < 0.001:
        return "0 s"
    if seconds < 10:
        return f"{seconds:.2g} s" if seconds < 1 else f"{seconds:.1f} s"
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:,.1f} h" if seconds < 172_800 else f"{seconds / 86400:,.1f} d"


def moment(at: float) -> str:
    """UTC, to the minute."""
    return datetime.fromtimestamp(at, UTC).strftime("%Y-%m-%d %H:%M")


def gaps(without_usage: int, without_price: int) -> str:
    """What sums leave out; empty when nothing."""
    parts: list[str] = []
    if without_usage:
        parts.append(f"{without_usage:,} answers do not say how many tokens they took")
    if without_price:
        parts.append(f"{without_price:,} are of models without a known price")
    return "Not in the sums: " + "; ".join(parts) + "." if parts else ""
