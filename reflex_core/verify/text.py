"""A question as the guards see it: words in one spelling, without greetings and thanks.

Everything here is for comparing two texts, so a rule may distort words as long as it does so on
both sides.
"""

from __future__ import annotations

import re
import unicodedata
from dataclasses import dataclass
from functools import cached_property, lru_cache

MAX_CHARS = 1500
"""Longer texts are never compared (see domain.py); this bounds the work."""

_WORD = re.compile(r"[cf](?:\+\+|#)(?!\w)|\.net\b|[^\W_]+(?:'[^\W_]+)*", re.IGNORECASE)
_APOSTROPHES = str.maketrans({"’": "'", "‘": "'", "´": "'", "ʼ": "'"})

_SHORT = {
    "cannot": "can not", "cant": "can not", "wont": "will not", "dont": "do not", "doesnt": "does not",
    "didnt": "did not", "isnt": "is not", "arent": "are not", "wasnt": "was not", "werent": "were not",
    "couldnt": "could not", "shouldnt": "should not", "wouldnt": "would not", "havent": "have not",
    "hasnt": "has not", "hadnt": "had not", "whats": "what is", "hows": "how is", "wheres": "where is",
    "whos": "who is", "whens": "when is", "thats": "that is", "im": "i am", "ive": "i have",
    "youre": "you are", "theres": "there is", "can't": "can not", "won't": "will not", "shan't": "shall not",
    "let's": "let us", "u": "you", "r": "are", "ur": "your", "pls": "please", "plz": "please",
    "thx": "thanks", "bc": "because", "w": "with", "vs": "versus", "v": "versus", "n": "and",
    "gonna": "going to", "wanna": "want to", "gotta": "got to", "info": "information", "photo": "picture",
    "js": "javascript", "py": "python", "golang": "go", "mins": "minutes", "hrs": "hours",
    "ok": "okay", "tv": "television", "telly": "television", "percent": "percent", "uk": "uk",
}  # fmt: skip
_CLITICS = (("n't", " not"), ("'re", " are"), ("'ve", " have"), ("'ll", " will"), ("'m", " am"))
_IS_AFTER = {
    "what",
    "how",
    "where",
    "who",
    "when",
    "why",
    "that",
    "there",
    "it",
    "he",
    "she",
    "here",
}

_GREETING = (
    r"(?:hi|hello|hey|hiya|hallo|yo|greetings|good (?:morning|afternoon|evening|day)|morning)"
    r"(?: (?:there|all|everyone|team|folks|guys|assistant))?|dear (?:assistant|team|all|sir or madam)"
)
_OPENING = (
    r"(?:please|kindly|okay|so|well|um+|uh+|erm?|hmm+|right|now|anyway|oh|alright"
    r"|(?:a )?(?:quick |short |small )?question|quick one|one (?:more|quick) (?:thing|question)"
    r"|(?:i am )?sorry(?: to bother you| for bothering you)?|excuse me|sir|just wondering|by the way|btw"
    r"|i (?:was|am) (?:just )?wondering|i have (?:a|one)(?: quick)? question"
    r"|(?:can|could|would|will) (?:you|someone|anyone|somebody|anybody)(?: please| kindly| possibly)?"
    r" (?:tell me|let me know|help me|help|advise)(?: please| kindly| with this)?"
    r"|(?:please )?tell me(?: please)?|(?:i would like|i want|i need|i would love) to know"
    r"|do you (?:happen to )?know|does anyone know|any idea|let me ask|i would like to ask"
    r"|can i ask(?: you)?|may i ask)"
)
_CLOSING = (
    r"(?:please|thanks|thank you|cheers|ta|ty|many thanks|thanks a (?:lot|million|bunch)|thank you (?:very|so) much"
    r"|thanks (?:very|so) much|(?:thanks |thank you )?in advance|thanks for (?:your|the|any) help"
    r"|any (?:help|advice|ideas?|pointers?|tips?)(?: is| would be)?(?: much| greatly| very)?(?: appreciated| welcome)?"
    r"|(?:can|could) you help(?: me)?(?: please)?|help(?: me)?(?: please)?|i would be grateful(?: for (?:an|any) answer)?"
    r"|much appreciated|appreciate it|asap|kind regards|best regards|regards)"
)
_LEAD = re.compile(rf"^(?:(?:{_GREETING}|{_OPENING}) )+(?=\S)")
_TAIL = re.compile(rf"(?<=\S)(?: {_CLOSING})+$")
_SPELLING = (
    (re.compile(r"(?<=\w\w\w)our(?=$|s$|ed$|ing$|ful$|able$|ite|hood)"), "or"),
    (re.compile(r"(?<=\w\w)is(?=e$|es$|ed$|ing$|ation)"), "iz"),
    (re.compile(r"(?<=\w\w)ys(?=e$|ed$|ing$)"), "yz"),
    (re.compile(r"(?<=\w\w\w)tre$"), "ter"),
    (re.compile(r"(?<=\w\w)ogue$"), "og"),
    (re.compile(r"(?<=\w)ll(?=ed$|ing$|er$|ers$)"), "l"),
    (re.compile(r"(?<=[a-z])[ao]e(?=[a-z])"), "e"),
    (re.compile(r"mm?e?$(?<=programme)"), "m"),
    (re.compile(r"ence$(?<=licence|defence|offence)"), "ense"),
    (re.compile(r"or$(?<=adaptor|adviser)"), "er"),
    (re.compile(r"eable$"), "able"),
)
_NUMBERISH = re.compile(r"\d")

_PHRASES = tuple(
    (re.compile(pattern, re.IGNORECASE), put)
    for pattern, put in (
        (r"\bunited states(?: of america)?\b|\bu\.s\.a?\.?(?!\w)", "USA"),
        (r"\bunited kingdom\b|\bgreat britain\b", "UK"),
        (r"\beuropean union\b", "EU"),
        (r"\b(?:second world war|world war (?:ii|two|2)|ww ?(?:ii|2))\b", "WW2"),
        (r"\b(?:first world war|world war (?:i|one|1)|ww ?(?:i|1))\b", "WW1"),
        (r"\b(?:microsoft|ms) (?=word|excel|powerpoint|outlook|teams|access\b)", ""),
        (r"\bgoogle (?=chrome|docs|sheets|maps|drive|photos|calendar\b)", ""),
        (r"\bartificial intelligence\b", "AI"),
        (r"\bnew york city\b", "NYC"),
    )
)
"""Names with a short form that is read as the same."""

CLOSED_TEXT = """
a an the of to in on at for from with by as and or but if then than that this these those it its
is are was were be been am do does did done have has had will would can could should may might
must shall i me my mine you your we us our he him his she her they them their there here what
which who whom whose when where why how not no so too very just also about into onto over under up
down out off any some all each every
"""
CLOSED = frozenset(CLOSED_TEXT.split())
"""Function words."""


@dataclass(frozen=True)
class Word:
    text: str
    """Lower case, one spelling."""
    shape: str
    """As typed."""
    start: int
    """Character offset in `Parsed.raw`; parts of a contraction share it."""


@dataclass(frozen=True)
class Parsed:
    raw: str
    words: tuple[Word, ...]

    @cached_property
    def lower(self) -> tuple[str, ...]:
        return tuple(w.text for w in self.words)

    @cached_property
    def core(self) -> tuple[str, ...]:
        """Without greetings, politeness and thanks; never empty when `lower` is not."""
        text = " ".join(self.lower)
        text = _TAIL.sub("", _LEAD.sub("", text))
        return tuple(text.split())

    @cached_property
    def joined(self) -> str:
        """` word word word ` for phrase look-ups."""
        return f" {' '.join(self.core)} "

    @cached_property
    def stems(self) -> frozenset[str]:
        return frozenset(stem(w) for w in self.core)

    @cached_property
    def squashed(self) -> str:
        """Letters and digits of the core, without anything between."""
        return "".join(self.core)

    def has(self, phrase: str) -> bool:
        return f" {phrase} " in self.joined


def closeness(a: Parsed, b: Parsed) -> float:
    """Share of the stems of either text that both have, 0 to 1."""
    return len(a.stems & b.stems) / max(1, len(a.stems | b.stems))


def _expand(word: str) -> str:
    if word in _SHORT:
        return _SHORT[word]
    for ending, full in _CLITICS:
        if word.endswith(ending) and len(word) > len(ending):
            return word[: -len(ending)] + full
    if word.endswith("'d") and len(word) > 2:
        return word[:-2] + " would"
    if word.endswith("'s") and len(word) > 2:
        return word[:-2] + (" is" if word[:-2] in _IS_AFTER else "")
    return word.replace("'", "")


@lru_cache(maxsize=20000)
def spelling(word: str) -> str:
    """British and American forms, and a few words with two spellings, become one."""
    if not word.isascii():
        plain = unicodedata.normalize("NFKD", word)
        word = "".join(c for c in plain if not unicodedata.combining(c))
    if len(word) < 5 or _NUMBERISH.search(word):
        return word
    for pattern, put in _SPELLING:
        word = pattern.sub(put, word)
    return word


@lru_cache(maxsize=20000)
def stem(word: str) -> str:
    """A rough English stem: plural, -ing, -ed, -ly and a final e are cut."""
    if len(word) < 4 or _NUMBERISH.search(word):
        return word
    if word.endswith("ies") and len(word) > 4:
        return word[:-3] + "y"
    if (word.endswith("es") and word[-3] in "sxz") or word.endswith(("ches", "shes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    for ending in ("ing", "ed", "ly"):
        if word.endswith(ending) and len(word) - len(ending) >= 3:
            word = word[: -len(ending)]
            if len(word) > 3 and word[-1] == word[-2] and word[-1] not in "lsz":
                word = word[:-1]
            break
    if word.endswith("e") and len(word) > 3:
        word = word[:-1]
    if word.endswith("y") and len(word) > 4:
        word = word[:-1] + "i"
    return word


@lru_cache(maxsize=4096)
def parse(text: str) -> Parsed:
    raw = unicodedata.normalize("NFKC", text[:MAX_CHARS]).translate(_APOSTROPHES)
    for pattern, put in _PHRASES:
        raw = pattern.sub(put, raw)
    raw = re.sub(r"\bw/(?:o\b| )", lambda m: "without" if m[0][-1] in "oO" else "with ", raw)
    raw = re.sub(r"\b((?:[A-Za-z]\.){2,})", lambda m: m[1].replace(".", ""), raw)
    words: list[Word] = []
    for found in _WORD.finditer(raw):
        shape = found[0]
        for n, part in enumerate(_expand(shape.casefold()).split()):
            words.append(Word(spelling(part), shape if n == 0 else part, found.start()))
    return Parsed(raw, tuple(words))
