"""Writes docs/faults.md from what the fault tests see. The tests compare what they see with the page.

python scripts/make_fault_matrix.py
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from tests.e2e.faults import PAGE, TABLES, line  # noqa: E402

TESTS = ("test_faults", "test_continue", "test_disconnect", "test_slow_readers", "test_shutdown")

HEAD = """# What happens when something breaks

Made by the test run (`python scripts/make_fault_matrix.py`): each row was seen by a test that runs the
real proxy against a provider that fails in this way, and that fails when the row is not true any more.

"502 `upstream_connect`" is an answer with this status and an error of OpenAI's shape with this code.
"an error event" is the last event of a stream, in the same shape. Nothing that broke is ever stored.
"""

TEXTS = {
    "Before the first token": """
A client alone does its own retries, as the OpenAI SDKs do: it gets the error at once, with Retry-After
where the provider gave one. When several clients wait for the same answer, Reflex tries again for
all of them (here with `reflex_retries=1`), and then all get the error. The fallback of this table is
`spare::good` (`reflex_fallbacks`).
""",
    "After the first token": """
Providers that continue an assistant message exactly are asked for the rest (`reflex_resumptions`): see
[sharing](sharing.md#answers-that-break-off).
""",
    "Clients": """
With the default `reflex_on_disconnect=cancel`, where nothing else is said.
""",
    "The proxy": "",
}


def rows() -> dict[str, list[tuple[str, ...]]]:
    """What the tests saw, by table, in the order of the faults' names."""
    with tempfile.TemporaryDirectory() as folder:
        tests = [f"tests/e2e/{name}.py" for name in TESTS]
        command = [sys.executable, "-m", "pytest", "-n", "2", *tests]
        subprocess.run(command, cwd=ROOT, env={**os.environ, "REFLEX_FAULTS": folder}, check=True)
        found = [json.loads(path.read_text()) for path in Path(folder).glob("*.json")]
    return {
        table: sorted({tuple(row["cells"]) for row in found if row["table"] == table})
        for table in TABLES
    }


def page(found: dict[str, list[tuple[str, ...]]]) -> str:
    out = HEAD
    for table, columns in TABLES.items():
        out += f"\n## {table}\n{TEXTS[table]}\n"
        out += line(columns) + line(["---"] * len(columns))
        out += "".join(map(line, found[table]))
    return out


if __name__ == "__main__":
    PAGE.write_text(page(rows()), encoding="utf-8")
