"""Ways one question is typed again: case, punctuation, fillers, contractions, slips of the finger."""

from __future__ import annotations

import random
import re

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
