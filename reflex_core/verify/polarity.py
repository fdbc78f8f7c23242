"""Whether a text speaks for or against: `won't harm` is for, `steer clear of` and `not allowed` are against.

Too coarse for a veto; counted for the learned verifier (features.py), which sees opposites in other
words hardly at all in the token vectors.
"""

from __future__ import annotations

import re
from functools import lru_cache

from .text import Parsed

_AGAINST_PHRASES = re.compile(
    r" (?:(?:stay|steer|keep|get|stand|shy) (?:well )?(?:away|clear|off|out)(?: (?:from|of))?|off limits|out of bounds"
    r"|(?:get|getting|got|be|been) rid of|(?:leave|leaves|leaving|left|keep|keeps|kept) (?:\w+ ){0,2}out(?: of)?"
    r"|opt(?:ed|ing)? out|back(?:ing)? out|pull(?:ing)? out|(?:turn|switch|shut)(?:ed|ing|s)? (?:\w+ )?off|rule[sd]? out"
    r"|do(?:es)? more harm than good|at risk|no go|bad (?:idea|for)|rather than|instead of|apart from|other than|too (?:much|many|late|risky|dangerous)"
    r"|by hand|fall(?:s|ing)? (?:short|apart|asleep)|give[sn]? up|call(?:ed|ing)? off|take[ns]? (?:away|off|out)|break(?:s|ing)? down|let(?:s|ting)? go) "
)
_FOR_PHRASES = re.compile(
    r" (?:opt(?:ed|ing)? in|(?:turn|switch)(?:ed|ing|s)? (?:\w+ )?on|good (?:idea|for)|well suited|all right|up to date|sign(?:ed|ing|s)? up) "
)
_AGAINST = re.compile(
    r"(?:avoid\w*|danger\w*|harm(?:s|ed|ing|ful)?|hurt\w*|toxic\w*|poison\w*|unsafe\w*|risk\w*|hazard\w*|bad(?:ly)?|worst|worse|worsen\w*"
    r"|forbid\w*|ban(?:s|ned|ning)?|bar(?:red|s|ring)|prohibit\w*|illegal\w*|unlawful\w*|exclud\w*|except\w*|lack\w*|missing|prevent\w*"
    r"|block\w*|disab\w*|deactivat\w*|cancel\w*|remov\w*|delet\w*|eras\w*|drop\w*|quit\w*|refus\w*|reject\w*|declin\w*|den(?:y|ied|ies|ying)"
    r"|disadvantage\w*|drawback\w*|downside\w*|cons|weakness\w*|problem\w*|wrong\w*|fail\w*|unable|impossib\w*|incorrect\w*|false|mistake\w*"
    r"|spoil\w*|ruin\w*|decreas\w*|reduc\w*|lower\w*|lessen\w*|fewer|less|shrink\w*|los(?:e|es|ing|t)|unsubscrib\w*|undo|uninstall\w*"
    r"|skip\w*|ditch\w*|abandon\w*|refrain\w*|discourag\w*|unwelcome|unhealthy|unsuit\w*|incompatib\w*|inedible|useless|weaken\w*|stop\w*"
    r"|hid(?:e|es|den|ing)|private|conceal\w*|lock\w*|clos(?:e|es|ed|ing)|end(?:s|ed|ing)?|leav(?:e|es|ing)|without|hat(?:e|es|ed)|dislik\w*"
    r"|worr\w+|alarm\w*|abnormal\w*|unusual\w*|broken|damag\w*|dead|kill\w*|di(?:e|es|ed)|destroy\w*|frown\w*|ineligib\w*|disqualif\w*|exempt\w*"
    r"|unpaid|unnecessar\w*|needless\w*|optional\w*|manual\w*|never|nobody|none|nothing|nowhere|neither|hardly|barely|invalid\w*|void\w*|expir\w*)"
)
_FOR = re.compile(
    r"(?:safe\w*|ok|okay|fine|allow\w*|permit\w*|permissib\w*|legal\w*|lawful\w*|good|better|best|benefi\w*|healthy|harmless\w*|suit(?:s|ed|able)|fit"
    r"|includ\w*|enabl\w*|activat\w*|keep\w*|kept|accept\w*|approv\w*|advantage\w*|upside\w*|pros|strength\w*|right|correct\w*|true|works?|working"
    r"|increas\w*|rais(?:e|es|ed|ing)|gain\w*|grow\w*|more|higher|boost\w*|improv\w*|join\w*|subscrib\w*|install\w*|add(?:s|ed|ing)?|creat\w*"
    r"|encourag\w*|welcome|compatib\w*|edible|useful\w*|strengthen\w*|start\w*|begin\w*|show\w*|public\w*|visib\w*|unlock\w*|open\w*|lik(?:e|es|ed)|lov(?:e|es|ed)"
    r"|normal\w*|usual\w*|surviv\w*|sav(?:e|es|ed|ing)|eligib\w*|qualif\w*|entitl\w*|requir\w*|necessar\w*|mandatory|compulsory|automatic\w*|valid\w*|always|everything|win(?:s|ning)?|won)"
)
_NEGATORS = frozenset(
    ["not", "no", "never", "cannot", "nor", "neither", "nobody", "nothing", "hardly"]
)
_REACH = 3
"""Words after a negator that it may turn round."""


@lru_cache(maxsize=4096)
def leaning(p: Parsed) -> tuple[int, int]:
    """Number of words for, and of words against; a negator turns the next such word round, and is
    against where none follows."""
    text = _FOR_PHRASES.sub(" good ", _AGAINST_PHRASES.sub(" bad ", p.joined))
    words = text.split()
    favour = against = 0
    turned = 0
    for word in words:
        value = -1 if _AGAINST.fullmatch(word) else 1 if _FOR.fullmatch(word) else 0
        if value and turned:
            value, turned = -value, 0
        elif turned:
            turned -= 1
            against += turned == 0
        if word in _NEGATORS:
            turned = _REACH + 1
            continue
        favour += value > 0
        against += value < 0
    return favour, against + (turned > 0)


def differ(a: Parsed, b: Parsed) -> list[float]:
    """Four numbers, the same whichever text comes first."""
    (for_a, against_a), (for_b, against_b) = leaning(a), leaning(b)
    return [
        float((against_a > 0) != (against_b > 0)),
        float(abs(against_a - against_b)),
        float((against_a % 2) != (against_b % 2)),
        float(min(for_a, against_b) + min(for_b, against_a)),
    ]
