"""Numbers, dates, times of day, units, currencies and identifiers."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

from ..text import Parsed, closeness, stem

_MONTHS = ("january", "february", "march", "april", "may", "june", "july", "august", "september",
           "october", "november", "december")  # fmt: skip
_MONTH = {m: i for i, m in enumerate(_MONTHS, 1)} | {m[:3]: i for i, m in enumerate(_MONTHS, 1)}
_MONTH["sept"] = 9
_NAME = r"(?P<month>jan(?:uary)?|feb(?:ruary)?|mar(?:ch)?|apr(?:il)?|may|june?|july?|aug(?:ust)?|sept?(?:ember)?|oct(?:ober)?|nov(?:ember)?|dec(?:ember)?)"
_DATES = tuple(
    re.compile(p, re.IGNORECASE)
    for p in (
        r"\b(?P<y>\d{4})[-/.](?P<m>\d{1,2})[-/.](?P<d>\d{1,2})\b",
        r"\b(?P<p>\d{1,2})[/.](?P<q>\d{1,2})[/.](?P<y>\d{4}|\d{2})\b",
        rf"\b(?P<d>\d{{1,2}})(?:st|nd|rd|th)?(?: of)? {_NAME}\b\.?(?:,? (?P<y>(?:19|20)\d\d)\b)?",
        rf"\b{_NAME}\.? (?P<d>\d{{1,2}})(?:st|nd|rd|th)?\b(?!:\d)(?:,? (?P<y>(?:19|20)\d\d)\b)?",
    )
)
_TIMES = (
    re.compile(r"\b(?P<h>\d{1,2})(?:[:.](?P<m>\d\d))? ?(?P<half>[ap])\.?m\b\.?", re.IGNORECASE),
    re.compile(r"\b(?P<h>[01]?\d|2[0-3]):(?P<m>[0-5]\d)\b(?!:\d)"),
)
_NUMBER = re.compile(
    r"(?<![\w.])(?P<sign>[-−](?=\d))?(?P<int>\d{1,3}(?:[,' ]\d{3})+(?!\d)|\d+)(?P<dec>(?:[.,]\d+)*)"
    r"(?P<scale>k|m|mn|bn|b)?(?=(?P<tail>[a-z]*))",
    re.IGNORECASE,
)
_SCALES = {"k": 1e3, "m": 1e6, "mn": 1e6, "bn": 1e9, "b": 1e9}
_SCALE_WORDS = {
    "hundred": 1e2,
    "thousand": 1e3,
    "million": 1e6,
    "billion": 1e9,
    "trillion": 1e12,
    "grand": 1e3,
}
_UNITS_OF_TEN = "zero one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen seventeen eighteen nineteen"
_TENS = "twenty thirty forty fifty sixty seventy eighty ninety"
NUMBER_WORDS: dict[str, float] = {
    **{w: i for i, w in enumerate(_UNITS_OF_TEN.split())},
    **{w: 10 * i for i, w in enumerate(_TENS.split(), 2)},
    **{"dozen": 12, "fourty": 40, "thrice": 3, "triple": 3, "half": 0.5},
    **dict.fromkeys(("twice", "double", "second", "both", "dual", "pair", "couple"), 2),
}
_LOOSE = {
    "zero",
    "one",
    "twice",
    "double",
    "triple",
    "half",
    "both",
    "second",
    "dual",
    "pair",
    "couple",
}
"""Number words that a paraphrase may drop or add."""
_ORDINALS = {w: i for i, w in enumerate(
    ["third", "fourth", "fifth", "sixth", "seventh", "eighth", "ninth", "tenth", "eleventh", "twelfth"], 3)}  # fmt: skip
_ROMAN = {
    r: i
    for i, r in enumerate(
        [
            "II",
            "III",
            "IV",
            "V",
            "VI",
            "VII",
            "VIII",
            "IX",
            "X",
            "XI",
            "XII",
            "XIII",
            "XIV",
            "XV",
            "XVI",
        ],
        2,
    )
}

_UNITS_TEXT = """
mg=milligram g=gram=gramme=gr kg=kilogram=kilo=kgs lb=lbs=pound oz=ounce tonne=ton stone microgram=mcg=ug
ml=milliliter l=liter=litre=liters cl dl gallon pint quart cup tbsp=tablespoon tsp=teaspoon
mm=millimeter cm=centimeter m=meter=metre km=kilometer=kms mile=mi inch=inches foot=feet=ft yard
celsius=centigrade fahrenheit kelvin ms=millisecond microsecond nanosecond second=sec=secs minute=min hour=hr
day=daily=nightly=days week=weekly month=monthly quarter=quarterly year=yearly=annual=annually=annum decade century fortnight
bit byte kb=kilobyte mb=megabyte gb=gigabyte=gig tb=terabyte pb kib mib gib mbps gbps mbit
kwh kw watt=w mw=milliwatt volt=v amp=ampere mah=ma hz khz mhz ghz joule calorie=kcal=cal kj horsepower=hp
hectare acre sqm sqft mph kmh=kph knot psi bar pascal mmol=mmol/l meq iu unit px=pixel rem em pt dpi
percent=percentage=pct basis satoshi wei gwei dozen drop tablet pill puff degree radian km/h mg/dl
"""
_CURRENCIES_TEXT = """
usd=dollar=$=buck=us$ eur=euro=€ gbp=£=quid=sterling jpy=yen=¥ chf=franc inr=rupee=₹ cad aud cny=yuan=rmb
krw=won rub=ruble=rouble sek=krona=kronor nok=krone=kroner dkk pln=zloty mxn=peso brl=real try=lira btc=bitcoin eth=ether
"""


def _aliases(text: str) -> dict[str, str]:
    return {alias: m.split("=")[0] for m in text.split() for alias in m.split("=")}


_UNITS = _aliases(_UNITS_TEXT)
CURRENCIES = _aliases(_CURRENCIES_TEXT)
_SYMBOL = re.compile(r"[$€£¥₹]")
_AMBIGUOUS = {"m", "l", "g", "v", "w", "ma", "cal", "cup", "second", "bar", "foot", "yard", "rem", "em", "pt", "min", "stone", "real", "won", "drop", "basis", "unit", "degree", "try", "bit", "day", "hour", "ether", "sec", "mi", "quarter", "tablet"}  # fmt: skip
"""Units only right after a number."""
_TIME_UNITS = frozenset(
    {
        "second",
        "minute",
        "hour",
        "day",
        "week",
        "month",
        "quarter",
        "year",
        "fortnight",
        "decade",
        "century",
    }
)
_ID = re.compile(
    r"(?<![\w])#?(?=[\w./-]*\d)(?=[\w./-]*[A-Za-z_])[A-Za-z0-9]+(?:[-_./][A-Za-z0-9]+)*(?!\w)"
)
_GLUED = re.compile(r"^[A-Za-z&]+(\d{1,9})$")
_RATE = frozenset(["per", "each", "every"])
_PER = frozenset(["per", "a", "an", "each", "every", "in", "of", "to", "into"])
_PLAIN_ID = re.compile(
    r"^(?:\d+(?:st|nd|rd|th|s|x|k|m|am|pm|d|p|g|h|bn|ish)?|v?\d+(?:\.\d+)*|\d+-?(?:year|yr|month|week|day|hour|minute|min)s?(?:-?old)?|\d+-?y\.?o|\d+[-/]\w+|[\d.]+[a-zA-Zµ/]{1,4})$",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Quantities:
    numbers: frozenset[float]
    loose: frozenset[float]
    """Values of number words that the other text need not have."""
    signs: frozenset[float]
    dates: tuple[tuple[int | None, int, int], ...]
    """(year, month, day); month and day sorted when the order is unclear."""
    times: frozenset[tuple[int, int]]
    units: frozenset[str]
    bound: frozenset[tuple[float, str]]
    """(number, its unit)."""
    rates: frozenset[str]
    """Units after per, each, every, and daily, yearly..."""
    currencies: frozenset[str]
    ids: frozenset[str]


def _singular(word: str) -> str:
    return word[:-1] if word.endswith("s") and len(word) > 3 and word not in _UNITS else word


def _take_dates(text: str) -> tuple[str, tuple[tuple[int | None, int, int], ...]]:
    found: list[tuple[int | None, int, int]] = []

    def put(m: re.Match[str]) -> str:
        parts = m.groupdict()
        year = int(parts["y"]) if parts.get("y") else None
        year = year + 2000 if year is not None and year < 100 else year
        if parts.get("month"):
            month, day = _MONTH[parts["month"].lower()], int(parts["d"])
        elif parts.get("m"):
            month, day = int(parts["m"]), int(parts["d"])
        else:
            month, day = int(parts["q"]), int(parts["p"])
        if not (1 <= day <= 31 and 1 <= month <= 31):
            return m[0]
        found.append((year, min(month, day), max(month, day)))
        return " "

    for pattern in _DATES:
        text = pattern.sub(put, text)
    return text, tuple(sorted(found, key=str))


def _take_times(text: str) -> tuple[str, frozenset[tuple[int, int]]]:
    found: set[tuple[int, int]] = set()

    def put(m: re.Match[str]) -> str:
        parts = m.groupdict()
        hour, minute = int(parts["h"]), int(parts["m"] or 0)
        if parts.get("half"):
            if hour > 12:
                return m[0]
            hour = hour % 12 + (12 if parts["half"].lower() == "p" else 0)
        found.add((hour, minute))
        return " "

    for pattern in _TIMES:
        text = pattern.sub(put, text)
    return text, frozenset(found)


def _value(m: re.Match[str]) -> float | None:
    whole, dec = re.sub(r"[,' ]", "", m["int"]), m["dec"]
    if dec.count(".") + dec.count(",") > 1:
        return None  # a version or an address; its text is compared as an identifier
    try:
        return float(whole + dec.replace(",", "."))
    except (ValueError, OverflowError):
        return None


@lru_cache(maxsize=4096)
def quantities(p: Parsed) -> Quantities:
    text, dates = _take_dates(p.raw)
    text, times = _take_times(text)
    numbers: set[float] = set()
    loose: set[float] = set()
    signs: set[float] = set()
    bound: set[tuple[float, str]] = set()
    ids = {i.lower().strip("#") for i in _ID.findall(text) if not _PLAIN_ID.match(i)}
    for m in _NUMBER.finditer(text):
        value = _value(m)
        if value is None:
            ids.add(m["int"] + m["dec"])
            continue
        tail = (m["scale"] or "") + m["tail"]
        after = text[m.end() : m.end() + 24].lower().lstrip("-").split()
        if m["scale"] and not m["tail"] and tail.lower() != "m":
            value *= _SCALES[tail.lower()]
        elif after and not tail and after[0].strip(".,?") in _SCALE_WORDS:
            value *= _SCALE_WORDS[after[0].strip(".,?")]
        numbers.add(value)
        if m["sign"] and (m.start() == 0 or text[m.start() - 1] in " (="):
            signs.add(value)
        word = tail.lower() if tail else (re.split(r"[^\w/°%]", after[0])[0] if after else "")
        name = _UNITS.get(_singular(word.lstrip("°"))) or CURRENCIES.get(_singular(word))
        if text[m.end() : m.end() + 2].lstrip().startswith("%"):
            name = "percent"
        if name:
            bound.add((value, name))
    words = _number_words(p, numbers, loose)
    loose |= {float(m[1]) for i in _ID.findall(text) if (m := _GLUED.match(i))}
    units = {_UNITS[s] for s in map(_singular, p.lower) if s in _UNITS and s not in _AMBIGUOUS}
    units -= _TIME_UNITS
    units |= {_UNITS[s] for w, s in zip(("", *p.lower), map(_singular, p.lower), strict=False)
              if _UNITS.get(s) in _TIME_UNITS and (w in _PER or s != _UNITS[s])}  # fmt: skip
    rates = {_UNITS[s] for w, s in zip(("", *p.lower), map(_singular, p.lower), strict=False)
             if s in _UNITS and (w in _RATE or (s not in (_UNITS[s], "days") and _UNITS[s] in _TIME_UNITS and s.endswith("ly")))}  # fmt: skip
    units |= {u for _, u in bound if u in _UNITS.values()} | ({"percent"} if "%" in text else set())
    money = {
        CURRENCIES[s] for s in map(_singular, p.lower) if s in CURRENCIES and s not in _AMBIGUOUS
    }
    money |= {CURRENCIES[c] for c in _SYMBOL.findall(p.raw)}
    money |= {u for _, u in bound if u in CURRENCIES.values()}
    return Quantities(
        frozenset(numbers | words), frozenset(loose), frozenset(signs), dates, times,
        frozenset(units), frozenset(bound), frozenset(rates), frozenset(money), frozenset(ids),
    )  # fmt: skip


def _number_words(p: Parsed, numbers: set[float], loose: set[float]) -> set[float]:
    out: set[float] = set()
    current: float | None = None
    strict = False
    for word in [*p.core, ""]:
        if word in NUMBER_WORDS:
            value = float(NUMBER_WORDS[word])
            if current is not None and current % 10 == 0 and current >= 20 and value < 10:
                current += value
            else:
                if current is not None:
                    (out if strict else loose).add(current)
                current = value
            strict = word not in _LOOSE or strict
            continue
        if word in _SCALE_WORDS and current is not None:
            current *= _SCALE_WORDS[word]
            strict = True
            continue
        if current is not None:
            (out if strict else loose).add(current)
            current, strict = None, False
        if word in _ORDINALS:
            out.add(float(_ORDINALS[word]))
    for w in p.words:
        if w.shape in _ROMAN and len(w.shape) > 1:
            out.add(float(_ROMAN[w.shape]))
    return out


def _near(value: float, others: Iterable[float]) -> bool:
    return any(abs(value - o) <= 1e-9 * max(1.0, abs(o)) for o in others)


def number(a: Parsed, b: Parsed) -> str | None:
    """Every number of one text must be in the other, in digits or words."""
    x, y = quantities(a), quantities(b)
    for one, other in ((x, y), (y, x)):
        known = other.numbers | other.loose | {float(t[0]) for t in other.times}
        known |= {float(t[0] % 12) for t in other.times} | {
            float(d[0]) for d in other.dates if d[0]
        }
        if any(not _near(v, known) for v in one.numbers):
            return "number"
    if x.signs != y.signs or _rebound(a, b) or _reordered(a, b):
        return "number"
    return None


@lru_cache(maxsize=4096)
def _by_unit(p: Parsed) -> dict[str, set[float]]:
    """Unit or currency -> the values that stand before it, in digits or words."""
    out: dict[str, set[float]] = {}
    for value, name in quantities(p).bound:
        out.setdefault(name, set()).add(value)
    for word, following in pairwise(p.lower):
        name = _UNITS.get(_singular(following))
        if word in NUMBER_WORDS and name:
            out.setdefault(name, set()).add(float(NUMBER_WORDS[word]))
    return out


def _rebound(a: Parsed, b: Parsed) -> bool:
    """`3% over 2 years` and `2% over 3 years`: no value of a unit is in both."""
    x, y = _by_unit(a), _by_unit(b)
    return any(x[name].isdisjoint(y[name]) for name in x.keys() & y.keys())


@lru_cache(maxsize=4096)
def _sequence(p: Parsed) -> tuple[tuple[float, str], ...]:
    """Numbers in order, each with the word after it."""
    out: list[tuple[float, str]] = []
    for word, following in pairwise((*p.core, "")):
        if word.isdecimal():
            out.append((float(word), stem(following)))
        elif word in NUMBER_WORDS and word not in _LOOSE:
            out.append((float(NUMBER_WORDS[word]), stem(following)))
    return tuple(out)


def _reordered(a: Parsed, b: Parsed) -> bool:
    """Numbers that changed places among words that mostly stayed."""
    x, y = _sequence(a), _sequence(b)
    if [v for v, _ in x] == [v for v, _ in y] or sorted(x) == sorted(y):
        return False
    return sorted(v for v, _ in x) == sorted(v for v, _ in y) and closeness(a, b) >= 0.5


def date(a: Parsed, b: Parsed) -> str | None:
    """Dates and times of day. A missing year matters, the order of day and month does not."""
    x, y = quantities(a), quantities(b)
    if x.dates != y.dates:
        return "date"
    for one, other in ((x, y), (y, x)):
        for hour, minute in one.times:
            bare = minute == 0 and _near(hour % 12 or 12, other.numbers)
            if (hour, minute) not in other.times and not bare:
                return "time"
    return None


_SIZED = re.compile(r"\b(?:\d+ ?)?([kmgt]i?b(?:ps)?|[mkg]w|[mk]?v|ma|mj)\b", re.IGNORECASE)


def _sizes(p: Parsed) -> dict[str, set[str]]:
    """Units whose case matters (Mb and MB, mW and MW), by their lower-case form."""
    out: dict[str, set[str]] = {}
    for found in _SIZED.findall(p.raw):
        out.setdefault(found.lower(), set()).add(found)
    return out


def unit(a: Parsed, b: Parsed) -> str | None:
    """Units and currencies. One text may leave a unit out, but not put another in its place."""
    small, large = _sizes(a), _sizes(b)
    for name in small.keys() & large.keys():
        if small[name] != large[name] and name not in small[name] | large[name]:
            return "unit"
    x, y = quantities(a), quantities(b)
    left, right = x.units - y.units, y.units - x.units
    if "gbp" in x.currencies | y.currencies:
        left, right = left - {"lb"}, right - {"lb"}
    if left and right:
        return "unit"
    if x.rates and y.rates and x.rates != y.rates:
        return "unit"
    values = {v for v, _ in x.bound} & {v for v, _ in y.bound}
    for value in values:
        ours, theirs = {u for v, u in x.bound if v == value}, {u for v, u in y.bound if v == value}
        if ours.isdisjoint(theirs) and not ours | theirs <= {"lb", "gbp"}:
            return "unit"
    if x.currencies and y.currencies and x.currencies != y.currencies:
        return "currency"
    return None


def identifier(a: Parsed, b: Parsed) -> str | None:
    """Order numbers, error codes, versions: every one must be in the other text."""
    x, y = quantities(a), quantities(b)
    for one, other, text in ((x, y, b), (y, x, a)):
        for name in one.ids - other.ids:
            squashed = re.sub(r"[\W_]", "", name)
            if len(squashed) >= 4 and squashed not in re.sub(r"[\W_]", "", text.raw.lower()):
                return "id"
    return None
