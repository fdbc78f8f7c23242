#!/usr/bin/env python3
"""Build conversations.jsonl from the hand-written parts beside this file.

    python3 make.py            writes conversations.jsonl (always the same bytes)

Hand-written: exchanges.txt (dialogues, edits, endings), anchors.txt, systems.txt,
roles.txt, reorder.txt. This script only selects, concatenates and applies edits.
"""

import collections
import copy
import json
import pathlib
import random

HERE = pathlib.Path(__file__).resolve().parent
SEED = 20250611
COUNTS = {
    "reworded-last": 60,
    "same-end": 32,
    "edited-history": 34,
    "edited-assistant": 32,
    "other-system": 32,
    "reordered": 25,
    "trimmed": 27,
    "last-trap": 28,
    "other-role": 30,
}
SIZES = {"S": (2, 5), "M": (6, 12), "L": (13, 40)}
NEUTRAL_FOR_SYSTEM = (
    "cook-02 cook-03 cook-07 sch-01 sch-06 sch-04 chat-03 chat-05 data-01 data-02 data-05 "
    "data-07 news-02 news-04 dev-02 dev-05 home-03 trav-06"
).split()
# last messages with a sharp little difference (number, negation, direction, scope) go first
SHARP = (
    "sup-04 sup-10 code-04 code-08 code-09 code-10 trav-04 med-01 med-03 med-04 mon-01 cook-01 cook-06 "
    "sch-01 sport-01 data-03 chat-03 news-02 home-01 law-04 law-07 dev-06 work-01 data-06 "
    "de-03 es-03 fr-03 pt-03 zh-01"
).split()
PREFIX = {
    "en": ["Back to {}: ", "One more thing about {}: ", "About {} again: "],
    "de": ["Nochmal zu {}: ", "Zurück zu {}: "],
    "es": ["Sobre {}, otra vez: ", "Una cosa más sobre {}: "],
    "fr": ["Pour revenir à {} : ", "Encore une question sur {} : "],
    "pt": ["Sobre {} de novo: ", "Mais uma coisa sobre {}: "],
    "zh": ["再问一下{}：", "关于{}，还有个问题："],
}


def unescape(text):
    return text.replace("\\\\n", "\0").replace("\\n", "\n").replace("\0", "\\n")


def split(text, sep):
    return [unescape(p.strip()) for p in text.split(sep)]


def read_lines(name):
    for line in (HERE / name).read_text(encoding="utf-8").splitlines():
        if line.strip() and not line.startswith("# "):
            yield line.strip()


def load():
    ends, dialogues, d = {}, {}, None
    anchors = dict(line.split(" ", 1) for line in read_lines("anchors.txt"))
    for line in read_lines("exchanges.txt"):
        if line.startswith("@end "):
            key, text = line[5:].split(" = ", 1)
            ends[key] = text
            continue
        if line.startswith("## "):
            name, topic, lang = split(line[3:], "|")
            assert name not in dialogues, name
            d = dialogues[name] = {
                "id": name,
                "topic": topic,
                "lang": lang,
                "turns": [],
                "edits": {},
                "ends": [],
                "noun": anchors[name],
            }
            continue
        tag, text = line.split(":", 1)
        text = text.strip()
        if tag in "UA":
            d["turns"].append(
                {"role": {"U": "user", "A": "assistant"}[tag], "content": unescape(text)}
            )
        elif tag in ("S", "S2", "T"):
            d[tag] = unescape(text)
        elif tag in ("EU", "EA", "TR"):
            parts = split(text, "||")
            spec = parts[0]
            if tag != "TR":
                spec = [tuple(split(e, " ==> ")) for e in spec.split(" ;; ")]
                assert all(len(e) == 2 for e in spec), (d["id"], spec)
            d["edits"][tag] = (spec, parts[1], parts[2] if len(parts) > 2 else None)
        elif tag == "END":
            assert text in ends or text, text
            d["ends"].append(text)
        else:
            raise SystemExit(f"unknown tag {line!r}")
    for d in dialogues.values():
        roles = [t["role"] for t in d["turns"]]
        assert roles == ["user", "assistant"] * (len(roles) // 2), d["id"]
        assert all(e in ends for e in d["ends"]), d["id"]
    return ends, dialogues


def apply(turns, edits, roles, name):
    out = copy.deepcopy(turns)
    for old, new in edits:
        hit = False
        for m in out:
            if m["role"] in roles and old in m["content"]:
                m["content"] = m["content"].replace(old, new)
                hit = True
        assert hit, (name, old)
    return out


def nex(d):
    return len(d["turns"]) // 2


class Maker:
    def __init__(self):
        self.ends, self.dia = load()
        self.rng = random.Random(SEED)
        self.systems = [line[2:] for line in read_lines("systems.txt") if line.startswith("N ")]
        self.used = collections.Counter()
        self.items = []

    # -- assembly ---------------------------------------------------------
    def target(self, size):
        """(exchanges, with a system prompt or not) for a conversation of that size"""
        r = self.rng
        if size == "S":
            n = r.choice([1, 1, 2])
            return n, n == 1 and r.random() < 0.4
        if size == "M":
            n = r.choice([2, 3, 3, 4, 4, 5, 5])
            return n, n == 2 or r.random() < 0.35
        return r.choice(
            [6, 6, 7, 7, 8, 8, 9, 10, 11, 12, 13, 14, 15, 16, 18, 19]
        ), r.random() < 0.35

    def fillers(self, count, avoid_ids, avoid_topics, lang="en", only=None):
        """whole dialogues on other topics (the last one cut short to fit), `count` exchanges in all"""
        pool = [
            d
            for d in self.dia.values()
            if d["id"] not in avoid_ids and (only is None or d["id"] in only)
        ]
        self.rng.shuffle(pool)
        pool.sort(key=lambda d: (d["lang"] != lang, d["lang"] != "en", self.used[d["id"]] // 4))
        pool = [d for d in pool if d["lang"] in (lang, "en")]
        out, topics = [], set(avoid_topics)
        for strict in (True, False):
            for d in pool:
                if count == 0:
                    break
                if d in [x for x, _ in out] or (strict and d["topic"] in topics):
                    continue
                k = min(nex(d), count)
                out.append((d, k))
                topics.add(d["topic"])
                self.used[d["id"]] += 1
                count -= k
        assert count == 0
        self.rng.shuffle(out)
        return [d["turns"][: 2 * k] for d, k in out]

    def system(self, yes):
        return [{"role": "system", "content": self.rng.choice(self.systems)}] if yes else []

    def around(self, d, size, core, extra=0, at_end=False):
        """filler before and after a core of `core` exchanges; None if it doesn't fit"""
        for _ in range(200):
            n, sys = self.target(size)
            if n >= core and (n == core or size != "S"):
                break
        else:
            return None
        if size == "L":
            n = min(n, 19 - extra)
        fill = self.fillers(n - core, {d["id"]}, {d["topic"]}, d["lang"])
        cut = len(fill) if at_end else self.rng.randint(0, len(fill))
        return (
            self.system(sys),
            [m for f in fill[:cut] for m in f],
            [m for f in fill[cut:] for m in f],
        )

    def last(self, d, text, after, n=0):
        if not after:
            return text
        forms = PREFIX[d["lang"]]
        k = self.rng.randrange(len(forms)) if n == 0 else self._k
        self._k = (k + 1) % len(forms)
        return forms[k].format(d["noun"]) + text

    def add(self, cat, hist_a, last_a, hist_b, last_b):
        a = copy.deepcopy(hist_a) + [{"role": "user", "content": last_a}]
        b = copy.deepcopy(hist_b) + [{"role": "user", "content": last_b}]
        self.items.append(
            {
                "a": a,
                "b": b,
                "same_answer": cat == "reworded-last",
                "category": cat,
                "turns": len(b),
            }
        )

    def sizes(self, cat):
        return ["SML"[i % 3] for i in range(COUNTS[cat])]

    def take(self, names, ok):
        """first name of a shuffled list for which ok() builds something"""
        for name in list(names):
            got = ok(self.dia[name])
            if got is not None:
                names.remove(name)
                return self.dia[name], got
        raise SystemExit("ran out of dialogues")

    def shuffled(self, keep):
        names = [n for n, d in self.dia.items() if keep(d)]
        self.rng.shuffle(names)
        return names

    # -- categories -------------------------------------------------------
    def make_last(self, names, cat):
        for size in self.sizes(cat):

            def build(d):
                core = nex(d)
                if size == "S":
                    core = min(core, 2)
                got = self.around(d, size, core)
                return got and (got, core)

            d, ((sys, pre, post), core) = self.take(names, build)
            hist = sys + pre + d["turns"][: 2 * core] + post
            if cat == "reworded-last":
                pair = [d["S"], d["S2"]]
                self.rng.shuffle(pair)
            else:
                pair = [self.rng.choice([d["S"], d["S"], d["S2"]]), d["T"]]
                if self.rng.random() < 0.5:
                    pair.reverse()
            self.add(cat, hist, pair[0], hist, pair[1])

    def make_edits(self, cat, tag, roles):
        names = self.shuffled(lambda d: tag in d["edits"])
        sizes = self.sizes(cat)
        for size in sizes:
            d, (sys, pre, post) = self.take(
                names,
                lambda d: self.around(d, size, nex(d)) if size != "S" or nex(d) <= 2 else None,
            )
            spec, last_a, last_b = d["edits"][tag]
            other = apply(d["turns"], spec, roles, d["id"])
            la = self.last(d, last_a, post)
            lb = self.last(d, last_b, post, 1) if last_b else la
            pair = [(d["turns"], la), (other, lb)]
            if self.rng.random() < 0.5:
                pair.reverse()
            (ta, la), (tb, lb) = pair
            self.add(cat, sys + pre + ta + post, la, sys + pre + tb + post, lb)

    def make_trimmed(self):
        names = self.shuffled(lambda d: "TR" in d["edits"])
        for size in self.sizes("trimmed"):
            d, (sys, pre, post) = self.take(
                names,
                lambda d: (
                    self.around(d, size, nex(d) - 1, extra=1)
                    if size != "S" or nex(d) <= 3
                    else None
                ),
            )
            spec, last_a, last_b = d["edits"]["TR"]
            k = int(spec)
            assert k < nex(d), d["id"]
            short = d["turns"][: 2 * k] + d["turns"][2 * k + 2 :]
            if len(sys + pre + short + post) + 3 > 40:
                sys = []
            la = self.last(d, last_a, post)
            lb = self.last(d, last_b, post, 1) if last_b else la
            self.add("trimmed", sys + pre + d["turns"] + post, la, sys + pre + short + post, lb)

    def make_same_end(self):
        groups = {}
        for key in self.ends:
            names = self.shuffled(lambda d: key in d["ends"])
            groups[key] = names
        keys = [k for k in groups if len(groups[k]) >= 2]
        self.rng.shuffle(keys)
        short_only = {}
        done, seen = 0, set()
        sizes = self.sizes("same-end")
        i = 0
        while done < len(sizes):
            key, i = keys[i % len(keys)], i + 1
            size = sizes[done]
            names = [n for n in groups[key] if size != "S" or nex(self.dia[n]) <= 2]
            pairs = [
                (x, y)
                for x in names
                for y in names
                if x < y
                and (key == "goahead" or self.dia[x]["topic"] != self.dia[y]["topic"])
                and (x, y) not in seen
                and (key, x) not in short_only
                and (key, y) not in short_only
                and (size != "S" or nex(self.dia[x]) == nex(self.dia[y]))
            ]
            if not pairs:
                if i > 2000:
                    raise SystemExit("same-end: out of pairs")
                if i > 200:
                    short_only.clear()
                continue
            x, y = self.rng.choice(pairs)
            if self.rng.random() < 0.5:
                x, y = y, x
            seen.add((min(x, y), max(x, y)))
            short_only[key, x] = short_only[key, y] = True
            dx, dy = self.dia[x], self.dia[y]
            core = max(nex(dx), nex(dy))
            while True:
                n, sysyes = self.target(size)
                if n >= core and (n == core or size != "S"):
                    break
            sys = self.system(sysyes)
            avoid, topics = {x, y}, {dx["topic"], dy["topic"]}
            pre_b = self.fillers(n - nex(dy), avoid, topics, dy["lang"])
            flat_b = [m for f in pre_b for m in f]
            if done % 2 and size != "S":  # same start, only the last topic differs
                flat_a = flat_b
                if len(sys + flat_a + dx["turns"]) + 1 > 40:
                    flat_a = flat_a[2:]
            else:
                flat_a = [
                    m for f in self.fillers(n - nex(dx), avoid, topics, dx["lang"]) for m in f
                ]
            self.add(
                "same-end",
                sys + flat_a + dx["turns"],
                self.ends[key],
                sys + flat_b + dy["turns"],
                self.ends[key],
            )
            done += 1

    def make_system(self):
        rows = []
        for line in read_lines("systems.txt"):
            if line.startswith(("Ps ", "Pa ")):
                parts = split(line[3:], "||")
                rows.append((line[1], *parts[:3], parts[3] if len(parts) > 3 else None))
        short = [r for r in rows if r[0] == "s"]
        anyh = [r for r in rows if r[0] == "a"]
        self.rng.shuffle(short)
        self.rng.shuffle(anyh)
        want = self.sizes("other-system")
        for size in want:
            if size == "S" and short:
                _, sa, sb, la, lb = short.pop()
                hist = []
            else:
                _, sa, sb, la, lb = anyh.pop()
                n = 1 if size == "S" else self.target(size)[0]
                if size == "M":
                    n = max(2, min(n, 5))
                hist = [
                    m for f in self.fillers(n, set(), set(), "en", NEUTRAL_FOR_SYSTEM) for m in f
                ]
            self.add(
                "other-system",
                [{"role": "system", "content": sa}] + hist,
                la,
                [{"role": "system", "content": sb}] + hist,
                lb or la,
            )

    def make_reordered(self):
        lasts = list(read_lines("reorder.txt"))
        self.rng.shuffle(lasts)
        for size in self.sizes("reordered"):
            n, sysyes = self.target(size)
            if size == "S":
                n, sysyes = 2, False
            if size == "M" and n < 3:
                sysyes = True
            en = [d for d in self.dia.values() if d["lang"] == "en" and nex(d) < n]
            while True:
                first, final = self.rng.sample(en, 2)
                if (
                    first["topic"] != final["topic"]
                    and nex(first) + nex(final) <= n
                    and (size != "S" or nex(first) + nex(final) == n)
                ):
                    break
            self.used[first["id"]] += 1
            self.used[final["id"]] += 1
            mid = [
                m
                for f in self.fillers(
                    n - nex(first) - nex(final),
                    {first["id"], final["id"]},
                    {first["topic"], final["topic"]},
                )
                for m in f
            ]
            sys = self.system(sysyes)
            last = lasts.pop()
            self.add(
                "reordered",
                sys + first["turns"] + mid + final["turns"],
                last,
                sys + final["turns"] + mid + first["turns"],
                last,
            )

    def make_role(self):
        rows = [
            (line[0], *[p.strip() for p in line[2:].split(">>")])
            for line in read_lines("roles.txt")
        ]
        self.rng.shuffle(rows)
        rows.sort(key=lambda r: r[0] == "Y")  # the system ones are all short
        shorts = [r for r in rows if r[0] == "Y"]
        rest = [r for r in rows if r[0] != "Y"]
        for size in self.sizes("other-role"):
            if size == "S" and shorts:
                kind, text, last = shorts.pop()
                self.add(
                    "other-role",
                    [{"role": "system", "content": unescape(text)}],
                    last,
                    [{"role": "user", "content": unescape(text)}],
                    last,
                )
                continue
            kind, text, last = rest.pop()
            msgs, lasts = split(text, "||"), split(last, "||")
            ru = ["user", "assistant"]
            ca = [{"role": ru[i % 2], "content": m} for i, m in enumerate(msgs)]
            if kind == "W":
                cb = [{"role": ru[1 - i % 2], "content": m} for i, m in enumerate(msgs)]
            else:
                cb = [ca[0], {"role": "user", "content": msgs[1]}]
            pre = post = sys = []
            if size != "S":
                while True:
                    n, sysyes = self.target(size)
                    if n >= len(ca) // 2:
                        break
                sys = self.system(sysyes)
                fill = self.fillers(n - len(ca) // 2, set(), {"chat"})
                cut = self.rng.randint(0, len(fill))
                pre = [m for f in fill[:cut] for m in f]
                post = [m for f in fill[cut:] for m in f]
            pair = [(ca, lasts[0]), (cb, lasts[-1])]
            if self.rng.random() < 0.3:
                pair.reverse()
            (xa, la), (xb, lb) = pair
            self.add("other-role", sys + pre + xa + post, la, sys + pre + xb + post, lb)

    def run(self):
        names = self.shuffled(lambda d: True)
        self.make_last(names, "reworded-last")
        names = self.shuffled(lambda d: True)
        self.make_last(sorted(names, key=lambda n: n not in SHARP), "last-trap")
        self.make_edits("edited-history", "EU", ("user", "assistant"))
        self.make_edits("edited-assistant", "EA", ("assistant",))
        self.make_trimmed()
        self.make_same_end()
        self.make_system()
        self.make_reordered()
        self.make_role()
        self.rng.shuffle(self.items)
        out = []
        for i, item in enumerate(self.items, 1):
            out.append({"id": f"conv-{i:03d}", **item})
        return out


def check(items):
    texts = set()
    for it in items:
        a, b, cat = it["a"], it["b"], it["category"]
        where = (it["id"], cat)
        for c in (a, b):
            assert 2 <= len(c) <= 40, (where, len(c))
            assert c[-1]["role"] == "user", where
            assert all(
                m["role"] == "user"
                or m["role"] == "assistant"
                or (m["role"] == "system" and i == 0)
                for i, m in enumerate(c)
            ), where
            assert all(m["content"].strip() == m["content"] and m["content"] for m in c), where
        assert a != b, where
        key = json.dumps([a, b])
        assert key not in texts, where
        texts.add(key)
        ha, hb, la, lb = a[:-1], b[:-1], a[-1]["content"], b[-1]["content"]

        def of(h, role):
            return [m["content"] for m in h if m["role"] == role]

        assert it["same_answer"] == (cat == "reworded-last"), where
        if cat in ("reworded-last", "last-trap"):
            assert ha == hb and la != lb, where
        else:
            assert ha != hb, where
        if cat == "same-end":
            assert la == lb and of(ha, "user")[-1] != of(hb, "user")[-1], where
        if cat == "edited-history":
            assert len(a) == len(b) and of(ha, "user") != of(hb, "user"), where
        if cat == "edited-assistant":
            assert of(ha, "user") == of(hb, "user") and of(ha, "assistant") != of(
                hb, "assistant"
            ), where
        if cat == "other-system":
            assert a[0]["role"] == b[0]["role"] == "system" and ha[1:] == hb[1:], where
        if cat == "reordered":
            assert la == lb and sorted(map(str, ha)) == sorted(map(str, hb)), where
        if cat == "trimmed":
            assert len(a) == len(b) + 2, where
        if cat == "other-role":
            assert [m["content"] for m in ha] == [m["content"] for m in hb], where


if __name__ == "__main__":
    items = Maker().run()
    check(items)
    with open(HERE / "conversations.jsonl", "w", encoding="utf-8") as f:
        for it in items:
            f.write(json.dumps(it, ensure_ascii=False) + "\n")
    print(len(items), dict(collections.Counter(i["category"] for i in items)))
    print({s: sum(lo <= i["turns"] <= hi for i in items) for s, (lo, hi) in SIZES.items()})
