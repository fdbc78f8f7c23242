"""What of a thing is asked for: its cause or its cure, its cheapest or its fastest kind.

Like the sets of contrast.py, but only as a veto: two texts that each name an aspect which the other does
not name, of one set, ask for different things however they are worded.
"""

from __future__ import annotations

from functools import lru_cache

from ..text import Parsed, spelling, stem

_TEXT = """
health: cause=causes=trigger symptom=symptoms=sign=signs treat=treated=treatment=cure=remedy prevent=prevention=preventing
garden: plant=planted=planting=sow harvest=harvested=harvesting water=watering prune=pruning fertilize=fertilizer repot=repotting
contract: cancel=cancelling=terminate freeze=freezing=pause=suspend
software: install=installing=installation uninstall configure=configuring backup
file: delete=deleting=remove rename=renaming copy=copying
luggage: carry-on=carryon checked
statistics: population area gdp capital currency climate flag
criterion: cheap=cheapest=cheaper=affordable=inexpensive fast=fastest=faster=quick=quickest=quicker safe=safest=safer easy=easiest=easier=simplest healthy=healthiest=healthier light=lightest=lighter popular quiet=quietest greenest=greener longest=longer oldest youngest strongest=stronger
papers: visa vaccine=vaccines=vaccination=shots=jabs insurance
task: write=draft=compose=writing review=proofread translate=translation summarize=summary shorten=shorter rewrite=reword
phone: unlock=unlocking report=reporting track=tracking=locate charge=charging
claim: write=make=making contest=challenge witness
work: repair=repairs=fix improvement=improvements=renovation replace=replacement clean=cleaning
household: boil=boiling fry=frying bake=baking roast=roasting grill=grilling steam=steaming freeze=freezing reheat=reheating
mail: forward=forwarding reply=replying archive=archiving unsend=recall
money: deposit withdraw=withdrawal transfer=transferring invest=investing borrow=borrowing save=saving
view: mute=muting block=blocking unfollow
table: sort=sorting filter=filtering group=grouping join=joining pivot
effect: benefit=benefits=advantages risk=risks=dangers=danger history=invented=inventor definition=meaning
"""


def _sets() -> list[dict[str, str]]:
    out: list[dict[str, str]] = []
    for line in _TEXT.strip().split("\n"):
        members = line.partition(":")[2].split()
        out.append({stem(spelling(w)): m.split("=")[0] for m in members for w in m.split("=")})
    return out


_SETS = _sets()


@lru_cache(maxsize=4096)
def aspects(p: Parsed) -> tuple[frozenset[str], ...]:
    """For each set the aspects that are named."""
    raw = p.joined.replace(" carry on ", " carry-on ")
    stems = {stem(w) for w in raw.split()}
    return tuple(frozenset(table[s] for s in stems if s in table) for table in _SETS)


def aspect(a: Parsed, b: Parsed) -> str | None:
    for x, y in zip(aspects(a), aspects(b), strict=True):
        if x - y and y - x:
            return "aspect"
    return None
