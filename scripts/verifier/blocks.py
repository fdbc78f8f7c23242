"""The written corpus: files of blocks -> `Block`, and the filling of slots.

A block is a run of lines without a blank one. Its first line is a meaning: paraphrases separated
by ` | `. Each further line is a neighbour that must not share its answer: paraphrases again, with
`[category]` before them or (families.txt) without. `#` at a line's start is a comment. `{name}` and
`{name2}` are slots that take different values of `name` (slots.txt).
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

CATEGORY = re.compile(r"\[([a-z-]+)\]\s*")
SLOT = re.compile(r"\{([a-z]+)(\d*)\}")
HERE = Path(__file__).resolve().parent


@dataclass(frozen=True)
class Line:
    category: str
    """"base" for the first line of a block."""
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Block:
    source: str
    """File stem and line number, for messages and for grouping."""
    lines: tuple[Line, ...]

    @property
    def base(self) -> Line:
        return self.lines[0]

    @property
    def slots(self) -> list[str]:
        """Slots with their number, in order of appearance: `["city", "city2"]`."""
        found = (m[1] + m[2] for ln in self.lines for t in ln.texts for m in SLOT.finditer(t))
        return list(dict.fromkeys(found))


def parse_line(text: str, first: bool) -> Line:
    found = CATEGORY.match(text)
    category = found[1] if found else ("base" if first else "other")
    if found:
        text = text[found.end() :]
    separator = "|" if " | " not in text and "|" in text else " | "
    parts = tuple(p.strip() for p in text.split(separator))
    return Line(category, tuple(p for p in parts if p))


def parse(text: str, name: str) -> Iterator[Block]:
    """Raises ValueError, naming the line, for a block that starts with a trap or an empty line."""
    lines: list[Line] = []
    start = 0
    for number, raw in enumerate([*text.split("\n"), ""], 1):
        raw = raw.strip()
        if raw.startswith("#"):
            continue
        if not raw:
            if lines:
                yield Block(f"{name}:{start}", tuple(lines))
            lines = []
            continue
        if not lines:
            start = number
        line = parse_line(raw, not lines)
        if not line.texts or (not lines and line.category != "base"):
            raise ValueError(f"{name}:{number}: a block starts with its base meaning")
        lines.append(line)


def load(folders: Iterable[Path]) -> list[Block]:
    """All blocks of all `*.txt` below the folders, in order of file name."""
    out: list[Block] = []
    for folder in folders:
        for path in sorted(folder.glob("*.txt")):
            out.extend(parse(path.read_text("utf-8"), path.stem))
    return out


def load_slots(path: Path = HERE / "slots.txt") -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    for raw in path.read_text("utf-8").split("\n"):
        if raw.strip() and not raw.startswith("#"):
            name, _, values = raw.partition(":")
            out[name.strip()] = [v.strip() for v in values.split("|")]
    return out


def choose(
    names: Iterable[str], values: dict[str, list[str]], rng: random.Random
) -> dict[str, str]:
    """One value for each slot; slots of one kind get different ones."""
    out: dict[str, str] = {}
    for name in names:
        kind = name if name in values else name.rstrip("0123456789")
        taken = {v.lower() for n, v in out.items() if n.rstrip("0123456789") == kind.rstrip("12")}
        out[name] = rng.choice([v for v in values[kind] if v.lower() not in taken])
    return out


def fill(text: str, chosen: dict[str, str]) -> str:
    return SLOT.sub(lambda m: chosen[m[1] + m[2]], text)
