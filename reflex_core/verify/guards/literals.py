"""What is quoted, code, or an address: it must be in both texts, letter by letter."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from ..text import Parsed

_LINK = re.compile(
    r"\b(?:https?|ftp|ssh|s3|file)://[^\s\"'<>)]+|\bwww\.[^\s\"'<>)]+|[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w@/.])(?:[a-z0-9-]+\.)+(?:com|org|net|io|dev|gov|edu|co|uk|de|fr|es|eu|info|app|ai|ch|at|it|nl|pt|br|jp|us|ca|me|tv)(?:\.[a-z]{2})?(?:/[^\s\"'<>)]*)?(?![\w])"
    r"|(?<![\w/])[@#][A-Za-z_]\w+|(?<![\w/])r/\w+",
    re.IGNORECASE,
)
_QUOTED = re.compile(
    r"\"([^\"\n]{1,400})\"|“([^”\n]{1,400})”|«\s*([^»\n]{1,400}?)\s*»|„([^“”\n]{1,400})[“”]"
    r"|(?<![\w'])'([^'\n]{2,200})'(?!\w)"
)
_FENCE = re.compile(r"```[^\n`]*\n(.*?)```|```(.*?)```", re.DOTALL)
_TICKS = re.compile(r"`([^`\n]+)`")
_CODE = re.compile(
    r"(?<![\w-])--?[A-Za-z][\w-]*(?:=\S+)?"  # a flag
    r"|\\[A-Za-z]+|%[-+0-9.]*[A-Za-z](?![A-Za-z])"  # an escape, a format
    r"|(?<![\w\])])\[[^\]\s]*\][*+?]?"  # a character class
    r"|[A-Za-z_][\w.]*\([^()\n]*\)"  # a call
    r"|(?<!\S)=[A-Za-z(][^\s,;?]*"  # a formula
    r"|\d+(?:\.\d+)? ?(?:[*%^+]|//|\*\*|/(?! ?\d+ ?(?:cup|tsp|tbsp))) ?\d+(?:\.\d+)?(?![\d/])"  # a sum
    r"|\b[a-z]\w*(?:_\w+)+\b|\b[A-Z][A-Z0-9]*(?:_[A-Z0-9]+)+\b"  # snake_case, UPPER_CASE
    r"|(?<![\w.])(?:\.{0,2}/|~/)[\w.-]+(?:/[\w.*-]+)*"  # a path
    r"|\b[A-Za-z]:\\\S+|\b[\w-]+\.(?:py|js|ts|java|c|cpp|h|rs|go|rb|sh|sql|json|ya?ml|toml|ini|cfg|conf|env|csv|txt|md|log|html|css|xml|dll|exe|jar|lock)\b"
    r"|\b[a-z]+(?:\.[a-z_]\w*)+\(?|(?<!\w)[$%]\{?[A-Za-z_]\w*\}?"  # a.b.c, $VAR
    r"|[=!]==?|[<>]=|&&|\|\||=>|->|::|\+\+|\*\*|//|<<|>>|:=|\+=|-="
    r"|(?<=\s)[<>](?=\s)|\bO\([^)]*\)"
)
_TRAILING = ".,;:!?'\")]}"
_ARROWS = {"->", "=>", "--", "//", "::", "++"}
_EQUALS = re.compile(r"\s+")


def _squash(text: str) -> str:
    return re.sub(r"[^\w]+", " ", text.casefold()).strip()


def _plain(text: str) -> str:
    return _EQUALS.sub(" ", text.casefold()).strip(" .,;:!?")


def _cased(a: Parsed, b: Parsed) -> bool:
    """The same quotation with other capitals within it."""
    x = {q.casefold(): q[1:] if " " in q else q for q in quotes(a)}
    y = {q.casefold(): q[1:] if " " in q else q for q in quotes(b)}
    return any(x[q] != y[q] for q in x.keys() & y.keys())


@lru_cache(maxsize=4096)
def links(p: Parsed) -> frozenset[str]:
    out: set[str] = set()
    for found in _LINK.findall(p.raw):
        name = found.rstrip(_TRAILING + "/")
        name = re.sub(r"^(?:https?://)?(?:www\.)?", "", name)
        host, slash, rest = name.partition("/")
        if not re.fullmatch(r"[#@]?\d+", name):
            out.add(host.lower() + slash + rest)
    return frozenset(out)


@lru_cache(maxsize=4096)
def quotes(p: Parsed) -> tuple[str, ...]:
    return tuple(next(g for g in m.groups() if g) for m in _QUOTED.finditer(p.raw))


@lru_cache(maxsize=4096)
def blocks(p: Parsed) -> tuple[str, ...]:
    return tuple((m[1] or m[2] or "").strip() for m in _FENCE.finditer(p.raw))


@lru_cache(maxsize=4096)
def codes(p: Parsed) -> tuple[str, ...]:
    text = _LINK.sub(" ", _FENCE.sub(" ", p.raw))
    ticked = _TICKS.findall(text)
    rest = _TICKS.sub(" ", text)
    found = [c.rstrip("(") for c in _CODE.findall(rest) if c not in _ARROWS]
    return (*ticked, *found)


def link(a: Parsed, b: Parsed) -> str | None:
    """Addresses, domains, mail addresses, handles."""
    x, y = links(a), links(b)
    if x == y:
        return None
    for names, other in ((x - y, b), (y - x, a)):
        if any(n.strip("#@").casefold() not in other.raw.casefold() for n in names):
            return "url"
    return None


def quote(a: Parsed, b: Parsed) -> str | None:
    """Quoted words must stand in the other text; if both quote, with the same commas and signs.

    Case counts where neither text is typed without any (`"Polish"` and `"polish"`).
    """
    if quotes(a) and quotes(b) and set(map(_plain, quotes(a))) != set(map(_plain, quotes(b))):
        return "quote"
    if all(p.raw != p.raw.lower() and p.raw != p.raw.upper() for p in (a, b)) and _cased(a, b):
        return "quote"
    for one, other in ((a, b), (b, a)):
        there = f" {_squash(other.raw)} "
        for text in quotes(one):
            plain = _squash(text)
            if (f" {plain} " if plain else text) not in (there if plain else other.raw):
                return "quote"
    return None


_OPERATOR = re.compile(r"(?<=[\w)\]]) ?([-+*/^=<>×÷·]{1,3}) ?(?=[\w(\[.-])")


@lru_cache(maxsize=4096)
def operators(p: Parsed) -> tuple[str, ...]:
    """Operators between operands, where the text has a formula: a digit beside one, or an equals sign."""
    text = _LINK.sub(" ", p.raw)
    found = [
        m[1]
        for m in _OPERATOR.finditer(text)
        if m[1] != "-"
        or " - " in m[0]
        or (text[m.start() - 1].isdigit() and text[m.end()].isdigit())
    ]
    near = any(
        text[m.start() - 1].isdigit() or text[m.end()].isdigit() for m in _OPERATOR.finditer(text)
    )
    return tuple(sorted(found)) if near or "=" in text else ()


def formula(a: Parsed, b: Parsed) -> str | None:
    """`4x - 9` and `4x + 9`. One text may put the formula in words."""
    x, y = operators(a), operators(b)
    return "formula" if x and y and x != y else None


def symbol(a: Parsed, b: Parsed) -> str | None:
    """One emoji or sign in the place of another."""
    x, y = ({c for c in p.raw if unicodedata.category(c) == "So"} for p in (a, b))
    return "symbol" if x and y and x != y else None


def code(a: Parsed, b: Parsed) -> str | None:
    """Code must stand in the other text with the same case; a fenced block must be equal."""
    if tuple(map(_normal, blocks(a))) != tuple(map(_normal, blocks(b))):
        return "code"
    for one, other in ((a, b), (b, a)):
        there = _EQUALS.sub("", other.raw)
        for text in codes(one):
            if _EQUALS.sub("", text) not in there:
                return "code"
            if re.fullmatch(r"\W+", text) and text not in codes(other):
                return "code"
    return None


def _normal(block: str) -> str:
    """Trailing spaces and blank lines do not count; indentation does."""
    return "\n".join(s.rstrip() for s in block.split("\n") if s.strip())
