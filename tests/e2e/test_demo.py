"""scripts/demo.py shows what the README says it does."""

from __future__ import annotations

import re
import subprocess
import sys

from .proxy import ROOT

EXPECTED = {
    "JSON, first time": "miss",
    "JSON, again": "hit-l1-exact",
    "streamed, first time": "miss",
    "streamed, again": "hit-l1-exact",
    "JSON read of the streamed answer": "hit-l1-exact",
    "the same, reworded": "hit-l3-verified",
    "nearly the same, another meaning": "miss",
}


def test_demo() -> None:
    script = str(ROOT / "scripts" / "demo.py")
    done = subprocess.run(
        [sys.executable, script], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr
    for title, status in EXPECTED.items():
        assert re.search(rf"^{title} +{status} ", done.stdout, re.MULTILINE), done.stdout
    assert re.search(r"status +miss +coalesced", done.stdout)
    assert "was asked 4 times" in done.stdout
    assert re.search(r"Saved: 5 of 9 requests made no call; \d+ tokens", done.stdout)
