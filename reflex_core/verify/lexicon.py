"""Word knowledge of the guards: opposites, and sets whose members exclude each other.

Lines of space-separated words; `a=b` are the same member. Words are compared by stem.
"""

from __future__ import annotations

from .text import spelling, stem

OPPOSITES_TEXT = """
buy=purchase/sell lend/borrow give/take=receive send/receive import/export upload/download
install/uninstall=remove enable=activate/disable=deactivate open/close=shut start=begin/stop=end=finish
lock/unlock mute/unmute follow/unfollow subscribe/unsubscribe block/unblock connect/disconnect
encrypt/decrypt encode/decode compress/decompress=extract zip/unzip pack/unpack mount/unmount
increase=raise/decrease=reduce=lower=cut grow/shrink gain/lose rise/fall=drop up/down upgrade/downgrade
add/remove=delete=subtract insert/delete create/delete=destroy attach/detach push/pull pull/push
before/after above/below=under over/under inside/outside into/out indoor/outdoor
maximum=max=most/minimum=min=least longest/shortest highest/lowest largest=biggest/smallest tallest/shortest
high/low long/short big=large/small=little tall/short wide/narrow thick/thin deep/shallow heavy/light
fast=quick/slow fastest=quickest/slowest early/late earliest/latest soon/late old/new=young oldest/newest=youngest=latest
cheap=cheapest=cheaper=inexpensive/expensive=pricey=dearest dear/cheap
best/worst better/worse good/bad=poor advantage=pro=benefit=upside/disadvantage=con=drawback=downside
more/less=fewer most/least more/fewer strong/weak strongest/weakest easy=simple/hard=difficult easiest/hardest
safe=safest/dangerous=risky=unsafe safer/riskier=unsafe legal=lawful/illegal=unlawful allowed=permitted/forbidden=banned=prohibited
allow=permit/forbid=ban=prohibit accept/refuse=reject=decline approve/reject=deny=decline include/exclude with/without
win/lose winner/loser pass/fail succeed/fail success/failure love/hate like/dislike agree/disagree
hot/cold warm/cool wet/dry hard/soft sweet/sour=bitter raw/cooked fresh/frozen=stale=dried full/empty
arrive/depart=leave arrival/departure enter/exit=leave entry/exit check-in/check-out land/takeoff
login=signin/logout=signout log/unlog hire/fire=dismiss employer/employee landlord/tenant=renter lender/borrower
buyer/seller teacher/student=pupil doctor/patient parent/child husband/wife man/woman male/female men/women boy/girl
mother=mum=mom/father=dad brother/sister son/daughter uncle/aunt grandmother/grandfather king/queen
plaintiff/defendant creditor/debtor debit/credit asset/liability profit/loss income=earning/expense=spending gross/net
deposit/withdraw deposit/withdrawal supply/demand bull/bear long/short call/put short-term/long-term
fixed/variable=floating public/private internal/external input/output read/write reader/writer
ascending/descending horizontal/vertical row/column left/right top/bottom front/back=rear north/south east/west
northern/southern eastern/western first/last first/second previous/next past/future last/next yesterday/tomorrow
morning/evening=night day/night am/pm summer/winter spring/autumn=fall sunrise/sunset dawn/dusk today/yesterday today/tomorrow
mutable/immutable static/dynamic synchronous=sync/asynchronous=async local/remote client/server local/global
positive/negative plus/minus add/subtract multiply/divide true/false yes/no even/odd square/root
visible/invisible=hidden show/hide expand/collapse maximize/minimize foreground/background
acute/chronic benign/malignant systolic/diastolic hyper/hypo hypertension/hypotension prescription/over-the-counter
hyperglycemia/hypoglycemia hyperthyroid/hypothyroid hyperthyroidism/hypothyroidism inhale/exhale induce/suppress
cause/prevent cause/cure=treat worsen/improve=relieve lose/gain lower/raise freeze/thaw=defrost melt/freeze
marry/divorce marriage/divorce birth/death born/died=dead alive/dead living/dead guilty/innocent
acquire/sell merge/split split/join=merge save/spend save/delete earn/spend own/rent lease/buy rent/buy
single/married single/double one-way/round-trip=return single/annual part-time/full-time
domestic/international=foreign local/national urban/rural temporary=temporarily/permanent=permanently
wired/wireless online/offline manual=manually/automatic=automatically voluntary/involuntary=mandatory optional/mandatory=required=compulsory
backward/forward clockwise/anticlockwise=counterclockwise reversible/irreversible refundable/nonrefundable
paid/free paid/unpaid used/new=unused known/unknown lucky/unlucky happy/sad=unhappy polite/rude formal/informal=casual
healthy/unhealthy fair/unfair possible/impossible usual/unusual common/rare=uncommon normal/abnormal able/unable
always/never everybody/nobody everyone/nobody=noone something/nothing somewhere/nowhere
question/answer problem/solution theory/practice singular/plural active/passive noun/verb prefix/suffix
vowel/consonant uppercase/lowercase upper/lower odd/even prime/composite numerator/denominator
import/export inbound/outbound incoming/outgoing inflation/deflation expand/contract bottom/top
lightest/heaviest brightest/darkest bright/dark light/dark light/heavy loud/quiet=silent louder/quieter noisy/quiet
smooth/rough clean/dirty tight/loose straight/curly deciduous/evergreen carnivore/herbivore predator/prey
cat/dog win/draw home/away host/guest sender/recipient=receiver author/reader major/minor
inner/outer upstream/downstream minimum/maximum least/most increase/lower cheap/luxury
accelerate/brake=decelerate charge/discharge=drain inflate/deflate tighten/loosen wake/sleep remember/forget
refund/pay lend/repay owe/own repay/borrow host/attend offer/request apply/withdraw accept/offer
importer/exporter greater/less=smaller greater/fewer faster=quicker/slower higher/lower larger=bigger/smaller longer/shorter older/younger=newer
strict/loose=lenient=lax strictest/loosest=laxest mildest/strongest mild/strong=severe mild/serious cheaper/dearer=pricier warmer=hotter/colder=cooler
minor/adult allow/block pays/receives root/leaf primary/secondary original/copy original/replica sweetest/driest busiest/quietest
frequent/rare often/rarely=seldom simplest/hardest nearest=closest/farthest=furthest near/far closer/farther brighter/darker stronger/weaker
richer/poorer rich/poor richest/poorest happier/sadder healthier/unhealthier thicker/thinner heavier/lighter taller/shorter deeper/shallower wider/narrower
litigation/mediation litigation/arbitration mediation/arbitration grow/shrinking employed/self-employed employed/unemployed breakfast/dinner lunch/dinner breakfast/lunch
"""

SETS_TEXT = """
weekday: monday=mon tuesday=tue=tues wednesday=wed thursday=thu=thurs friday=fri saturday sunday
month: january=jan february=feb march april=apr may june=jun july=jul august=aug september=sept=sep october=oct november=nov december=dec
season: spring summer autumn winter
holiday: christmas=xmas easter halloween thanksgiving ramadan diwali hanukkah passover carnival
daypart: morning afternoon evening=night=tonight noon=midday midnight
meal: breakfast lunch=lunchtime dinner=supper brunch dessert snack starter
family: mother=mum=mom=mummy father=dad=daddy son daughter husband wife brother sister uncle aunt cousin grandmother=grandma=granny grandfather=grandpa nephew niece boyfriend girlfriend fiance stepson stepdaughter
agegroup: child=kid=children toddler baby=infant=newborn teenager=teen elderly=senior=seniors
who: student employee=worker employer=boss landlord tenant driver pedestrian cyclist manager colleague=coworker neighbor customer=client seller buyer beginner expert freelancer=contractor nurse lawyer accountant
pet: cat=kitten dog=puppy rabbit=bunny hamster horse parrot goldfish=fish
hlang: english french spanish german italian portuguese dutch japanese chinese=mandarin cantonese korean russian arabic hindi turkish polish swedish norwegian danish finnish greek hebrew czech hungarian romanian thai vietnamese ukrainian latin welsh irish catalan urdu bengali tamil swahili persian=farsi
lang: python java javascript=ecmascript typescript rust c c++=cpp c#=csharp go ruby php kotlin swift scala perl lua haskell r julia dart elixir erlang clojure matlab fortran cobol bash=shell powershell sql html css ocaml f# prolog lisp assembly vba groovy zig
os: windows macos=mac=osx linux ubuntu debian fedora android ios chromeos arch centos
browser: chrome firefox safari edge opera brave
shell: bash zsh fish powershell
db: mysql postgresql=postgres sqlite mongodb=mongo redis oracle mariadb cassandra dynamodb elasticsearch snowflake bigquery
cloud: aws=amazon azure gcp
webfw: react angular vue svelte django flask rails laravel express nextjs fastapi spring
datalib: pandas polars numpy dask spark
vcs: git svn mercurial
host: github gitlab bitbucket
social: facebook instagram twitter=x tiktok linkedin snapchat whatsapp telegram signal youtube reddit discord slack pinterest
mail: gmail outlook yahoo protonmail thunderbird hotmail
office: word excel powerpoint sheets docs onenote
bank: visa mastercard amex paypal venmo klarna stripe zelle wise revolut
phone: iphone samsung pixel huawei xiaomi nokia oneplus
tablet: ipad kindle
console: playstation=ps5=ps4 xbox switch
device: phone=smartphone=mobile=cellphone=handset laptop=notebook desktop tablet=ipad television printer router camera watch=smartwatch headphones=earbuds keyboard monitor
ip: patent trademark copyright
tier: student family individual
housing: condo villa cottage barn cabin
bread: baguette sourdough focaccia ciabatta naan tortilla bagel
cheese: cheddar mozzarella parmesan feta gouda brie
fruit: apple banana orange mango strawberries=strawberry lemon lime cherry peach pear grape avocado
veg: carrot broccoli spinach zucchini=courgette cauliflower onion garlic tomato cucumber eggplant=aubergine mushroom asparagus
nut: almond walnut cashew peanut hazelnut pistachio
drink: coffee tea beer wine whisky vodka juice milk
diet: vegan vegetarian keto paleo halal kosher
instrument: guitar piano violin drums=drum flute saxophone cello trumpet
illness: flu=influenza cold covid pneumonia bronchitis asthma diabetes cancer migraine arthritis eczema psoriasis anemia measles chickenpox shingles malaria
vaccine: mmr hpv tetanus rabies
scan: x-ray xray mri ct ultrasound
test: blood urine stool
clothes: shirt jacket trousers=pants dress shoe boot hat sock
status: citizen resident nonresident tourist immigrant refugee
law: civil criminal
crime: theft=stealing robbery burglary fraud murder manslaughter assault arson perjury
file: image video audio document
os2: server workstation
wave: sine square sawtooth
struct: stack queue heap tree graph trie
sortalgo: quicksort mergesort heapsort bubblesort
proto: http https ftp ssh tcp udp
geom: circle square triangle rectangle sphere cube cylinder cone
angle: sine=sin cosine=cos tangent=tan
war: wwi wwii
news: election coup strike protest
park: parking garage
transport: train=rail bus=coach plane=flight=fly car=drive ferry=boat=ship bike=bicycle=cycling taxi=cab=uber tram metro=subway=underground scooter motorcycle=motorbike
drug: ibuprofen=advil=nurofen paracetamol=acetaminophen=tylenol=panadol aspirin naproxen=aleve amoxicillin metformin sertraline omeprazole warfarin prednisone prednisolone lisinopril atorvastatin cetirizine levothyroxine doxycycline citalopram melatonin diazepam codeine ramipril azithromycin loratadine gabapentin insulin tramadol penicillin statin antibiotic antidepressant
body: knee ankle wrist elbow shoulder hip neck foot=feet hand finger toe eye ear nose throat tooth=teeth=dental chest stomach=belly=tummy liver kidney heart lung=lungs brain skin hair nail leg arm head
vitamin: calcium magnesium iron zinc potassium sodium
meat: chicken beef pork lamb turkey fish salmon tuna shrimp=prawn tofu duck cod bacon ham
grain: rice pasta bread quinoa couscous oats=oatmeal=porridge lentils chickpeas beans potatoes=potato
oven: oven microwave grill=barbecue=bbq fryer stove=hob pan slow-cooker wok
cook: bake boil fry roast steam grill poach simmer
fat: butter oil margarine lard ghee
sweetener: sugar honey syrup stevia
flour: wheat rye spelt almond
color: red blue green yellow black white orange purple pink brown gray=grey silver gold
metal: gold silver copper platinum steel aluminum iron bronze titanium
planet: mercury venus earth mars jupiter saturn uranus neptune pluto
ocean: atlantic pacific
continent: europe asia africa america antarctica
direction: north south east west
sport: football=soccer rugby cricket hockey basketball handball tennis golf baseball volleyball swimming cycling boxing
school: kindergarten primary=elementary secondary=highschool college university=uni
degree: bachelor=bachelors master=masters phd=doctorate
subject: mathematics=math=maths physics chemistry biology history geography economics philosophy psychology literature
bankacct: checking=current savings brokerage
loan: mortgage student car=auto personal business
invest: stock=share=equity bond etf crypto=bitcoin gold property
crypto: bitcoin=btc ethereum=eth dogecoin solana litecoin
tax: income vat=gst inheritance property capital
form: email=mail=letter poem speech essay story joke song article tweet report invoice contract=agreement resume=cv memo haiku limerick text=sms toast
chart: bar pie line scatter histogram boxplot heatmap
contain: list tuple dict=dictionary set array string
numtype: integer=int float boolean=bool string=str decimal
join: inner left right outer cross full
stat: mean=average median mode sum=total variance
dbop: insert update delete select
http: post put patch
gitop: merge rebase cherry-pick squash
wifi: wifi=wireless bluetooth ethernet=lan nfc
fileop: copy move delete rename open print compress encrypt share export
religion: christian muslim jewish hindu buddhist catholic protestant
party: democrat republican labour conservative
house: house=home apartment=flat office garage garden=yard kitchen bathroom bedroom
travelclass: economy business first
stay: hotel hostel airbnb campsite
length: short=brief=briefly=concise long=detailed=thorough=lengthy
tone: formal informal=casual friendly funny=humorous serious polite angry sarcastic romantic professional
"""

FORMATS_TEXT = """
json yaml=yml xml csv=comma-separated tsv html=htm markdown=md latex pdf xlsx docx txt png jpg=jpeg svg gif mp3 mp4 wav flac zip
bullet=bullets=bulleted paragraph=paragraphs haiku limerick sonnet rhyme=rhyming=rhymes poem=poetry emoji=emojis
acrostic diagram flowchart checklist vcard=vcf pseudocode rap dialog=dialogue
"""

SYNONYMS_TEXT = """
buy=purchase=get begin=start=commence end=finish big=large=huge small=little=tiny fast=quick=rapid film=movie phone=smartphone=mobile=cellphone=handset
pc=computer laptop=notebook car=automobile fix=repair=mend find=locate show=display select=choose=pick remove=delete=erase error=mistake
answer=reply=response ask=inquire shop=store holiday=vacation flat=apartment lift=elevator autumn=fall petrol=gas=gasoline doctor=physician
job=work=position pay=salary=wage money=cash kid=child=youngster difficult=hard=tough easy=simple cheap=inexpensive expensive=costly=pricey
sick=ill happy=glad sad=unhappy quickly=fast=rapidly explain=describe make=create=build=produce=generate=write way=method=technique
help=assist need=require use=utilize show=demonstrate try=attempt allow=let=permit allowed=permitted occur=happen change=modify=alter
get=obtain=receive=acquire give=provide tell=inform think=believe speak=talk look=appear purpose=aim=goal reason=cause benefit=advantage
main=primary=principal chief=head meaning=definition difference=distinction typical=usual=normal average=mean often=frequently usually=normally
approximately=about=roughly around=about necessary=required=needed possible=feasible correct=right=proper wrong=incorrect mum=mom=mother
dad=father grandma=grandmother grandpa=grandfather couch=sofa trash=garbage=rubbish cookie=biscuit bill=invoice photo=picture=image=pic
attorney=lawyer cop=police film=movie tv=television email=mail internet=web website=site=webpage folder=directory function=method screen=display=monitor
broken=damaged begin=start shut=close turn=switch enable=activate disable=deactivate setup=configure=install raise=increase=boost reduce=decrease=lower=cut
safe=secure prevent=avoid=stop treat=cure signs=symptoms symptom=sign illness=disease=sickness medicine=drug=medication=medicament tablet=pill
"""


def _key(word: str) -> str:
    return stem(spelling(word.strip()))


def _opposites() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for pair in OPPOSITES_TEXT.split():
        sides = [[_key(w) for w in side.split("=")] for side in pair.split("/")]
        if len(sides) != 2:
            raise ValueError(f"not a pair of opposites: {pair}")
        for one in sides[0]:
            for other in sides[1]:
                found.setdefault(one, set()).add(other)
                found.setdefault(other, set()).add(one)
    return {word: frozenset(others) for word, others in found.items()}


def _sets() -> dict[str, dict[str, str]]:
    """Set name -> stem -> its member's name."""
    out: dict[str, dict[str, str]] = {}
    for line in SETS_TEXT.strip().split("\n"):
        name, _, members = line.partition(":")
        table = out.setdefault(name.strip(), {})
        for member in members.split():
            keys = [_key(w) for w in member.split("=")]
            for key in keys:
                table[key] = keys[0]
    return out


OPPOSITES = _opposites()
SETS = _sets()
FORMATS = {_key(w): _key(m.split("=")[0]) for m in FORMATS_TEXT.split() for w in m.split("=")}


def _synonyms() -> dict[str, frozenset[str]]:
    found: dict[str, set[str]] = {}
    for group in SYNONYMS_TEXT.split():
        keys = {_key(w) for w in group.split("=")}
        for key in keys:
            found.setdefault(key, set()).update(keys)
    return {word: frozenset(others) for word, others in found.items()}


SYNONYMS = _synonyms()
"""Words that one may stand for another in most questions."""
