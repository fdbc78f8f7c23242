"""Countries with their adjectives and people: `Canada` in one text and `Canadian` in the other agree."""

from __future__ import annotations

_TEXT = """
afghanistan afghan|albania albanian|algeria algerian|argentina argentinian argentine|armenia armenian
australia australian aussie|austria austrian|bangladesh bangladeshi|belgium belgian|bolivia bolivian
brazil brazilian|bulgaria bulgarian|cambodia cambodian|canada canadian|chile chilean|china chinese
colombia colombian|croatia croatian|cuba cuban|cyprus cypriot|czechia czech|denmark danish dane danes
ecuador ecuadorian|egypt egyptian|england english|estonia estonian|ethiopia ethiopian|finland finnish finn finns
france french|georgia georgian|germany german|ghana ghanaian|greece greek|hungary hungarian|iceland icelandic
india indian|indonesia indonesian|iran iranian persian|iraq iraqi|ireland irish|israel israeli|italy italian
jamaica jamaican|japan japanese|jordan jordanian|kenya kenyan|korea korean|latvia latvian|lebanon lebanese
lithuania lithuanian|luxembourg luxembourgish|malaysia malaysian|malta maltese|mexico mexican|morocco moroccan
nepal nepali nepalese|netherlands dutch holland|nigeria nigerian|norway norwegian|pakistan pakistani|panama panamanian
peru peruvian|philippines filipino philippine|poland polish pole poles|portugal portuguese|romania romanian
russia russian|scotland scottish scots|serbia serbian|singapore singaporean|slovakia slovak|slovenia slovenian
spain spanish spaniard spaniards|sweden swedish swede swedes|switzerland swiss|syria syrian|taiwan taiwanese
thailand thai|tunisia tunisian|turkey turkish turkiye|ukraine ukrainian|uganda ugandan|vietnam vietnamese|wales welsh
uk britain british gb|usa us america american americans states|europe european eu|africa african|asia asian
london londoner|paris parisian|bavaria bavarian|texas texan|california californian|vienna viennese|venice venetian
catholicism catholic|islam muslim|christianity christian|uae emirates emirati|zealand kiwi|qatar qatari|kuwait kuwaiti
"""


def _table() -> dict[str, str]:
    out: dict[str, str] = {}
    for entry in _TEXT.replace("\n", "|").split("|"):
        names = entry.split()
        for name in names:
            out.setdefault(name, names[0])
    return out


SAME_PLACE = _table()
