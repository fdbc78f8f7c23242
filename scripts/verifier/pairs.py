"""Blocks -> labelled pairs, with seeds. Numbers of pairs per block are bounded, so no block rules."""

from __future__ import annotations

import random
import re
import zlib
from collections.abc import Iterable
from dataclasses import dataclass

from blocks import Block, choose, fill
from noise import light, reorder, retype

WORD = re.compile(r"\w+")


@dataclass(frozen=True)
class Pair:
    a: str
    b: str
    same: bool
    category: str
    group: str
    """Pairs of one group never stand on both sides of a split."""
    weight: float = 1.0


def overlap(a: str, b: str) -> float:
    one, other = set(WORD.findall(a.lower())), set(WORD.findall(b.lower()))
    return len(one & other) / max(1, len(one | other))


def _closest(text: str, others: Iterable[str]) -> str:
    return max(others, key=lambda o: overlap(text, o))


def from_block(block: Block, values: dict[str, list[str]], fillings: int, seed: int) -> list[Pair]:
    """Positives within lines, negatives across lines and across fillings of one slot."""
    rng = random.Random(seed ^ zlib.crc32(block.source.encode()))
    out: list[Pair] = []
    slots = block.slots
    for _ in range(fillings if slots else 1):
        chosen = choose(slots, values, rng)
        lines = [[fill(t, chosen) for t in ln.texts] for ln in block.lines]
        base = lines[0]
        for line in lines:
            out += _within(line, block.source, rng, 10 if line is base else 4)
        for line, meaning in zip(lines[1:], block.lines[1:], strict=True):
            out += _across(base, line, meaning.category, block.source, rng)
        out += _between(lines, block, rng)
        out += _refilled(block, chosen, values, rng)
        out += _retyped(lines, block, rng)
    return out


def _within(line: list[str], group: str, rng: random.Random, most: int) -> list[Pair]:
    both = [(a, b) for i, a in enumerate(line) for b in line[i + 1 :]]
    rng.shuffle(both)
    return [Pair(a, b, True, "paraphrase", group) for a, b in both[:most]]


def _across(
    base: list[str], line: list[str], category: str, group: str, rng: random.Random
) -> list[Pair]:
    out: list[Pair] = []
    for text in line[:3]:
        near = _closest(text, base)
        out.append(Pair(near, text, False, category, group))
        far = rng.choice(base)
        if far != near:
            out.append(Pair(far, text, False, category, group))
    return out


def _between(lines: list[list[str]], block: Block, rng: random.Random) -> list[Pair]:
    """Two neighbours of the base are no more the same than either is as the base."""
    out: list[Pair] = []
    for i in range(1, len(lines)):
        for j in range(i + 1, len(lines)):
            # two traps may happen to say the same in other words: only different categories
            if block.lines[i].category != block.lines[j].category and rng.random() < 0.3:
                a = rng.choice(lines[i])
                b = _closest(a, lines[j])
                out.append(Pair(a, b, False, block.lines[j].category, block.source))
    return out


def _refilled(
    block: Block, chosen: dict[str, str], values: dict[str, list[str]], rng: random.Random
) -> list[Pair]:
    out: list[Pair] = []
    for text in block.base.texts:
        here = [s for s in block.slots if "{" + s + "}" in text]
        if not here or rng.random() < 0.3:
            continue
        slot = rng.choice(here)
        other = choose([*chosen, slot + "9" if slot[-1] not in "12" else slot], values, rng)
        value = other.get(slot + "9", other[slot])
        if value.lower() == chosen[slot].lower():
            continue
        changed = {**chosen, slot: value}
        to = text if rng.random() < 0.6 else rng.choice(block.base.texts)
        if "{" + slot + "}" in to:
            kind = "slot-" + slot.rstrip("0123456789")
            out.append(Pair(fill(text, chosen), fill(to, changed), False, kind, block.source))
    return out


def _retyped(lines: list[list[str]], block: Block, rng: random.Random) -> list[Pair]:
    """Near repeats; and a trap stays a trap however it is typed."""
    out: list[Pair] = []
    for text in rng.sample(lines[0], min(3, len(lines[0]))):
        again = retype(text, rng)
        if again != text:
            out.append(Pair(text, again, True, "near-repeat", block.source))
    traps = [t for line in lines[1:] for t in line]
    for text in lines[0]:
        for change in (reorder, light):
            again = change(text, rng)
            if again == text:
                continue
            out.append(Pair(text, again, True, "near-repeat", block.source))
            if traps:
                out.append(Pair(again, rng.choice(traps), False, "near-repeat-trap", block.source))
    a, b = rng.choice(lines[0]), rng.choice(lines[0])
    if a != b:
        out.append(Pair(a, retype(b, rng), True, "paraphrase", block.source))
    for _ in range(min(2, len(lines) - 1)):
        at = rng.randrange(1, len(lines))
        trap = rng.choice(lines[at])
        near = _closest(trap, lines[0])
        out.append(Pair(near, retype(trap, rng), False, block.lines[at].category, block.source))
    return out


def random_negatives(blocks: list[Block], values: dict[str, list[str]], seed: int) -> list[Pair]:
    """Bases of two blocks of one file: near enough in subject to be neighbours sometimes."""
    rng = random.Random(seed)
    out: list[Pair] = []
    by_file: dict[str, list[Block]] = {}
    for block in blocks:
        by_file.setdefault(block.source.split(":")[0], []).append(block)
    for block in blocks:
        other = rng.choice(by_file[block.source.split(":")[0]])
        if other is not block:
            a = fill(rng.choice(block.base.texts), choose(block.slots, values, rng))
            b = fill(rng.choice(other.base.texts), choose(other.slots, values, rng))
            out.append(Pair(a, b, False, "random", block.source))
    return out


def build(blocks: list[Block], values: dict[str, list[str]], seed: int = 7) -> list[Pair]:
    out = [p for b in blocks for p in from_block(b, values, 3, seed)]
    out += random_negatives(blocks, values, seed)
    seen: dict[tuple[str, str], Pair] = {}
    for pair in out:
        if pair.a.lower() != pair.b.lower() or pair.same:
            seen.setdefault((pair.a, pair.b), pair)
    return list(seen.values())
