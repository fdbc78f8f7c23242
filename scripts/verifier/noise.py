"""Ways one question is typed again: case, punctuation, fillers, contractions, slips of the finger."""

from __future__ import annotations

import random
import re
from collections.abc import Callable

PREFIXES = (
    "hi, ", "Hello! ", "hey ", "Hi there, ", "please ", "Please, ", "quick question: ", "Good morning, ",
    "ok so ", "um, ", "I'd like to know: ", "Question: ", "just wondering, ", "sorry to bother you, ",
    "Good evening. ", "Hey there! ", "so, ", "well, ", "Dear assistant, ", "one more thing: ",
    "can you tell me: ", "Could you help me? ", "I have a question. ", "tell me, ", "hiya, ",
)  # fmt: skip
SUFFIXES = (
    " thanks", " Thanks!", ", please", " please", " thank you", " pls", " thx", " cheers", ", thanks in advance",
    " Thank you very much.", " :)", " Any help appreciated.", " Can you help?", " Thanks a lot", "??", " help",
    " I'd be grateful for an answer.", " Many thanks!", " ta",
)  # fmt: skip
CONTRACTIONS = (
    ("what's", "what is"), ("how's", "how is"), ("where's", "where is"), ("who's", "who is"), ("I'm", "I am"),
    ("it's", "it is"), ("don't", "do not"), ("doesn't", "does not"), ("can't", "cannot"), ("isn't", "is not"),
    ("won't", "will not"), ("didn't", "did not"), ("I've", "I have"), ("I'd", "I would"), ("aren't", "are not"),
    ("that's", "that is"), ("there's", "there is"), ("haven't", "have not"), ("wasn't", "was not"),
    ("you're", "you are"), ("I'll", "I will"), ("when's", "when is"), ("shouldn't", "should not"),
)  # fmt: skip
SPELLINGS = (
    ("colour", "color"), ("favourite", "favorite"), ("centre", "center"), ("organise", "organize"),
    ("behaviour", "behavior"), ("licence", "license"), ("travelling", "traveling"), ("programme", "program"),
    ("grey", "gray"), ("flavour", "flavor"), ("e-mail", "email"), ("wi-fi", "wifi"), ("cancelled", "canceled"),
    ("you", "u"), ("are", "r"), ("because", "bc"), ("without", "w/o"), ("and", "&"), ("okay", "ok"),
    ("information", "info"), ("application", "app"), ("telephone", "phone"), ("photograph", "photo"),
)  # fmt: skip
KEYS = ["qwertyuiop", "asdfghjkl", "zxcvbnm"]


def _swap(text: str, pairs: tuple[tuple[str, str], ...], rng: random.Random) -> str:
    """Replaces every pair that occurs, either way round."""
    for one, other in pairs:
        if rng.random() < 0.5:
            one, other = other, one
        pattern = re.compile(rf"\b{re.escape(one)}(?!\w)", re.IGNORECASE)
        text = pattern.sub(
            lambda m, o=other: o[0].upper() + o[1:] if m[0][0].isupper() else o, text
        )
    return text


def _typo(text: str, rng: random.Random) -> str:
    """One slip inside one lower-case word of five letters or more."""
    words = list(re.finditer(r"\b[a-z]{5,}\b", text))
    if not words:
        return text
    found = rng.choice(words)
    word = found[0]
    at = rng.randrange(1, len(word) - 1)
    kind = rng.randrange(4)
    if kind == 0:
        word = word[:at] + word[at + 1] + word[at] + word[at + 2 :]
    elif kind == 1:
        word = word[:at] + word[at + 1 :]
    elif kind == 2:
        word = word[:at] + word[at] + word[at:]
    else:
        row = next(r for r in KEYS if word[at] in r)
        near = row[max(0, row.index(word[at]) - 1) : row.index(word[at]) + 2].replace(word[at], "")
        word = word[:at] + rng.choice(near) + word[at + 1 :]
    return text[: found.start()] + word + text[found.end() :]


def retype(text: str, rng: random.Random) -> str:
    """The same question as another hand would type it; one to three changes."""
    for _ in range(rng.choice((1, 1, 1, 2, 2, 3))):
        kind = rng.random()
        if kind < 0.2:
            text = text.lower() if rng.random() < 0.8 else text.capitalize()
        elif kind < 0.4:
            text = text.rstrip("?.! ") + rng.choice(("", "", "?", "??", ".", " ?"))
        elif kind < 0.55:
            head = rng.choice(PREFIXES)
            rest = text if rng.random() < 0.5 or text[:2] == "I " else text[:1].lower() + text[1:]
            text = head + rest
        elif kind < 0.68:
            text = text.rstrip(" ") + rng.choice(SUFFIXES)
        elif kind < 0.78:
            text = _swap(text, CONTRACTIONS, rng)
        elif kind < 0.86:
            text = _swap(text, SPELLINGS, rng)
        elif kind < 0.95:
            text = _typo(text, rng)
        else:
            text = text.replace(",", "").replace("'", "")
    return text


_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_ASKED = (
    "how do I",
    "how can I",
    "how to",
    "how would I",
    "how should I",
    "how does one",
    "how could I",
    "how do you",
)


def _either(match: re.Match[str], options: tuple[str, ...], rng: random.Random) -> str:
    """Another one of the options, with the capital letter of what was there."""
    new = rng.choice([o for o in options if o.lower() != match[0].lower()])
    return new[0].upper() + new[1:] if match[0][0].isupper() else new


def _plural(match: re.Match[str], rng: random.Random) -> str:
    noun = match["noun"]
    return f"{match['adjective']}{noun}{'es' if noun.endswith(('s', 'x', 'ch', 'sh')) else 's'}{match['end']}"


_LIGHT: tuple[tuple[re.Pattern[str], Callable[[re.Match[str], random.Random], str]], ...] = (
    (re.compile(r"\bhow (?:do I|can I|to|would I|should I|does one|could I|do you)\b", re.IGNORECASE),
     lambda m, rng: _either(m, _ASKED, rng)),
    (re.compile(r"\b(?P<head>how (?:many|much) [\w ]{3,20}? (?:is|are)) (?P<tail>in|on|at)\b", re.IGNORECASE),
     lambda m, rng: f"{m['head']} there {m['tail']}"),
    (re.compile(r"\b(?P<head>(?:is|are)) there (?P<tail>in|on|at)\b"), lambda m, rng: f"{m['head']} {m['tail']}"),
    (re.compile(r"\b(?P<verb>makes?|gives?|helps?|lets?) (?:you|us|people|someone)\b"),
     lambda m, rng: f"{m['verb']} {rng.choice(('you', 'us', 'people', 'someone'))}"),
    (re.compile(r"\b(?P<noun>[a-z]{4,}s) (?:on|in|for|of) (?P<name>[A-Z]\w+)(?=\??$)"),
     lambda m, rng: f"{m['name']} {m['noun']}"),
    (re.compile(r"\ban? (?P<adjective>(?:[a-z]{4,} )?)(?P<noun>[a-z]{3,}[a-rt-xz])(?P<end>\??)$"), _plural),
    (re.compile(r" (?:the|a|an)(?= [a-z])"), lambda m, rng: ""),
    (re.compile(r"\b(?:two|three|four|five|six|seven|eight|nine|ten)\b"), lambda m, rng: str(_NUMBERS.index(m[0]))),
    (re.compile(r"(?<![\d.,:$-])\b(?:[2-9]|10)\b(?![\d.,:%]| ?(?:am|pm)\b)"), lambda m, rng: _NUMBERS[int(m[0])]),
    (re.compile(r"\bwhat(?:'s| is) the (?:best|easiest) way to\b", re.IGNORECASE),
     lambda m, rng: _either(m, ("what's the best way to", "what is the best way to", "what would be the best way to"), rng)),
    (re.compile(r"\bwhy (?P<aux>do|does|did|is|are)\b", re.IGNORECASE), lambda m, rng: f"why exactly {m['aux']}"),
    (re.compile(r"^What(?:'s| is) "), lambda m, rng: rng.choice(("Tell me ", "what exactly is ", "Explain: what is "))),
)  # fmt: skip


def light(text: str, rng: random.Random) -> str:
    """One small change of wording that keeps the answer; the text itself where none fits."""
    for pattern, change in rng.sample(_LIGHT, len(_LIGHT)):
        if found := pattern.search(text):
            return text[: found.start()] + change(found, rng) + text[found.end() :]
    return text


_CONDITION = re.compile(
    r"(?P<head>if|when|after|before|while) (?P<when>(?:[^,?.]|[,.](?=\d))+), (?P<rest>[^,.]+?)(?P<end>\??)",
    re.IGNORECASE,
)
_TRAILING = re.compile(
    r"(?P<rest>(?:how|what|where|when|why|who|which|is|are|do|does|can|could|should|must)\b[^,.?]{12,}?)"
    r" (?P<where>(?:in|on|at|with|using|during|for|under|after|before) (?:(?!\b(?:in|on|at|with|using|to|from|for|and|or|of)\b)[\w'-]+ ?){1,4}?)(?P<end>\??)",
    re.IGNORECASE,
)
_EVEN = (
    re.compile(r"(?P<head>.*\b(?:between|both) )(?P<a>[\w' -]{2,30}?) and (?P<b>[\w' -]{2,30}?)(?P<end>\??)", re.IGNORECASE),
    re.compile(r"(?P<head>)(?P<a>[\w'-]+(?: [\w'-]+)?) (?:vs\.?|versus) (?P<b>[\w'-]+(?: [\w'-]+)?)(?P<end>[?,:].*|)", re.IGNORECASE),
)  # fmt: skip


def _small(text: str) -> str:
    return (
        text if text.startswith(("I ", "I'")) or text[:2].isupper() else text[:1].lower() + text[1:]
    )


def reorder(text: str, rng: random.Random) -> str:
    """The same words in another order that says the same: a condition or a place put first or last, the
    sides of an even comparison exchanged. The text itself where no such order is seen."""
    if found := _CONDITION.fullmatch(text):
        return f"{found['rest'][:1].upper()}{found['rest'][1:]} {found['head'].lower()} {found['when']}{found['end']}"
    for even in _EVEN:
        if found := even.fullmatch(text):
            middle = " and " if found["head"] else " vs "
            return f"{found['head']}{found['b']}{middle}{found['a']}{found['end']}"
    if found := _TRAILING.fullmatch(text):
        where = found["where"].strip()
        comma = rng.choice((", ", ", ", ": ", " "))
        return f"{where[:1].upper()}{where[1:]}{comma}{_small(found['rest'])}{found['end']}"
    return text
