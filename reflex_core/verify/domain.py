"""What the verifier was made for: short English questions. Elsewhere only a repeat is served."""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

from .text import MAX_CHARS, Parsed, stem
from .vocabulary import known_words

LONG_WORDS = 60
"""Beyond it the threshold is higher: few such pairs were seen in training."""
MAX_WORDS = 150
"""Beyond it only a repeat is served."""

MAX_WORD = 200
"""Characters of a run without spaces."""

_ENGLISH = frozenset(
    [
        "the",
        "is",
        "are",
        "how",
        "what",
        "why",
        "when",
        "where",
        "who",
        "which",
        "does",
        "do",
        "did",
        "can",
        "could",
        "should",
        "would",
        "will",
        "my",
        "your",
        "i",
        "you",
        "it",
        "of",
        "to",
        "in",
        "on",
        "for",
        "with",
        "and",
        "or",
        "not",
        "from",
        "by",
        "at",
        "this",
        "that",
        "there",
        "have",
        "has",
        "was",
        "were",
        "be",
        "been",
        "if",
        "about",
        "me",
        "we",
        "than",
        "into",
        "an",
        "get",
        "use",
        "between",
        "without",
        "please",
        "explain",
        "write",
        "make",
        "give",
        "list",
        "show",
        "tell",
        "find",
        "any",
        "best",
        "much",
        "many",
        "long",
    ]
)
_FOREIGN_TEXT = (
    # German
    "der das den dem des ein eine einen einem einer und oder nicht ist sind wie warum wann wer wo welche welcher "
    "welches kann kannst können könnte soll mein meine meinen meinem ich du wir für von zu auf bei nach über aus "
    "beim zum zur im vom gibt wird werden habe hat bitte kein keine noch mehr wenn dass auch mir mich muss darf "
    "lange viel viele kostet heißt macht mache "
    # Spanish
    "el los las una unos unas del que qué cómo cuál cuáles cuándo dónde quién por para con sin mi mis tu su sus "
    "es son está están puedo puede debo hacer hay cuánto cuánta cuántos cuesta yo se lo le muy más menos pero porque "
    # French
    "le les des du une et ou est sont pourquoi quand où qui quel quelle quels quelles combien mon ma mes ton "
    "puis peut dois avec sans pour dans sur sous je tu il elle nous vous ne pas plus faire faut moi chez votre notre "
    "cette ces quoi peux "
    # Portuguese
    "uma uns umas da dos das na nos pelo pela ao aos à às não são é como qual quais quando onde quem "
    "porque posso pode devo fazer há quanto quanta quantos meu minha meus minhas seu sua você eu num numa mais "
    # Italian, Dutch, Swedish, Polish, Turkish
    "il gli della dello dei degli delle nel nella che perché posso sono qual mio mia het een van niet hoe waarom wat "
    "mijn ik voor met op och att det är inte hur jag för på jak jest czy nie się na dla co ile nasıl ve için bir mi "
    "bu"
)  # fmt: skip
_FOREIGN_ONLY = frozenset(_FOREIGN_TEXT.split()) - _ENGLISH
_SHARED = frozenset(
    ["in", "an", "was", "do", "me", "has", "on", "of", "to", "at", "there", "i", "have", "not"]
)
"""English words that stand in texts of other languages too, or come from a contraction."""
_MARKS = re.compile(r"[äöüßñãõçéèêëàâîïôûùáíóúåøæğşıłżźćńśęą¿¡]")
_LETTERS = re.compile(r"[^\W\d_]")


@lru_cache(maxsize=4096)
def is_english(p: Parsed) -> bool:
    """Function words decide; with none of them, the script and the accents."""
    letters = _LETTERS.findall(p.raw)
    foreign_script = sum(not unicodedata.name(c, "").startswith("LATIN") for c in letters)
    if foreign_script > 0.2 * max(1, len(letters)):
        return False
    english = sum(w in _ENGLISH and w not in _SHARED for w in p.lower)
    foreign = sum(w in _FOREIGN_ONLY for w in p.lower)
    if foreign > english or (foreign >= 2 and 2 * foreign > english + 1):
        return False
    if english == 0:
        unknown = sum(
            w.isalpha() and w not in known_words() and stem(w) not in known_words()
            for w in p.lower
            if len(w) > 3
        )
        if unknown > 0.5 * len(p.lower):
            return False
    return english > 0 or foreign + len(_MARKS.findall(p.raw.lower())) == 0


def is_too_long(text: str) -> bool:
    """Also for what is no question at all: the guards' patterns are not run on it."""
    words = text[: MAX_CHARS + 1].split()
    return len(text) > MAX_CHARS or len(words) > MAX_WORDS or any(len(w) > MAX_WORD for w in words)


def is_long(p: Parsed) -> bool:
    return len(p.words) > LONG_WORDS
