"""A plan with something in every part of the report, and traps for its writers."""

from __future__ import annotations

from collections import Counter

from reflex_core.replay.outcome import (
    ModelRow,
    NearMiss,
    Plan,
    Point,
    Repeat,
    Sums,
    Threshold,
)
from reflex_core.replay.recorded import Skips
from reflex_core.replay.volatile import Finding

NASTY = "</td><script>alert(1)</script> & \"quotes\" '[bold]' ünïcödé 漢字"
NOW = 1_767_225_600.0


def a_plan() -> Plan:
    tiers = {
        "exact": Sums(40, 4000, 400, 1.25, 120.0),
        "in-flight": Sums(5, 500, 50, 0.25),
        "similar": Sums(5, 500, 50, 0.25, 10.0),
        "miss": Sums(48, 5000, 500, 2.0, 300.0, without_usage=2, without_price=3),
        "bypass": Sums(2, 100, 10, 0.01, 4.0),
    }
    return Plan(
        read=120,
        skipped=Skips({"other-host": 15, "error-status": 5}),
        first=NOW,
        last=NOW + 86_400,
        total=sum(tiers.values(), Sums()),
        tiers=tiers,
        thresholds=[
            Threshold(0.5, {**tiers, "similar": Sums(20, 2000, 200, 1.0)}, False),
            Threshold(0.9, tiers, True),
        ],
        measure="verifier's score",
        semantic="on",
        models=[
            ModelRow("openai", "gpt-4o", 90, 50, 9000, 900, 3.5, 1.75),
            ModelRow("house", NASTY, 10, 0, 1000, 100, 0.0, 0.0, unpriced=10),
        ],
        unpriced=Counter({"house::own": 10}),
        repeats=[Repeat(NASTY, "gpt-4o", 12, 1200, 0.5, 3)],
        near=[NearMiss(9, 4, NASTY, "another", 0.7, 0.93, 17, "below-threshold")],
        volatile=[
            Finding(
                "messages[system].content", "time", "messages[0].content", 7, [3, 9], (NASTY, "b")
            )
        ],
        spoiled=Sums(7, 700, 0, 0.07),
        timeline=[Point(NOW + 864 * n, n, n // 2, n * 0.0376, n * 0.02) for n in range(1, 101)],
        already_hits=4,
        source="capture & co.mitm",
        seconds=1.5,
        ttl=2_592_000.0,
    )


def empty() -> Plan:
    none = Sums()
    return Plan(
        read=3,
        skipped=Skips({"other-host": 3}),
        first=None,
        last=None,
        total=none,
        tiers={},
        thresholds=[],
        measure="",
        semantic="reflex_semantic is false",
        models=[],
        unpriced=Counter(),
        repeats=[],
        near=[],
        volatile=[],
        spoiled=none,
        timeline=[],
        already_hits=0,
        source="x.mitm",
    )
