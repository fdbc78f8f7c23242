"""A plan as JSON."""

from __future__ import annotations

from dataclasses import asdict

from ..replay.outcome import Plan, Threshold
from ..types import Json

VERSION = 1
"""Of the JSON's form. Goes up when a field changes its meaning or goes away."""


def plan_json(plan: Plan) -> Json:
    """Times in seconds (unix seconds for moments), money in US dollars, shares from 0 to 1."""
    return {
        "version": VERSION,
        "source": plan.source,
        "seconds": plan.seconds,
        "read": plan.read,
        "skipped": [
            {"reason": reason, "count": count, "text": text}
            for reason, count, text in plan.skipped.rows()
        ],
        "first": plan.first,
        "last": plan.last,
        "ttl": plan.ttl,
        "total": plan.total.to_json(),
        "saved": plan.saved.to_json(),
        "hit_rate": plan.hit_rate,
        "already_hits": plan.already_hits,
        "tiers": {name: sums.to_json() for name, sums in plan.tiers.items()},
        "semantic": {
            "state": plan.semantic,
            "measure": plan.measure,
            "thresholds": [_threshold(row) for row in plan.thresholds],
        },
        "models": [asdict(model) for model in plan.models],
        "unpriced": dict(plan.unpriced),
        "repeats": [asdict(row) for row in plan.repeats],
        "near_misses": [asdict(row) for row in plan.near],
        "volatile": {
            "requests": plan.spoiled.requests,
            "tokens": plan.spoiled.tokens,
            "usd": plan.spoiled.usd,
            "fields": [{**asdict(found), "advice": found.advice} for found in plan.volatile],
        },
        "timeline": [asdict(point) for point in plan.timeline],
    }


def _threshold(row: Threshold) -> Json:
    return {
        "threshold": row.value,
        "default": row.default,
        "tiers": {name: sums.to_json() for name, sums in row.tiers.items()},
        "saved": row.saved.to_json(),
    }
