#!/usr/bin/env python3
"""Turn the hand-written evaluation pairs into JSON lines.

    python3 scripts/eval/build.py            # write the files beside this script
    python3 scripts/eval/build.py --check    # only check the sources

Sources (all UTF-8, blank lines are skipped):

  src/<domain>.tsv          category TAB a TAB b [TAB ambiguous]
                            -> pairs.tune.jsonl + pairs.heldout.jsonl
  src_i18n/<lang>.tsv       the same columns -> i18n.jsonl (domain "i18n")
  conv/*.jsonl              one JSON object a line, with at least `a`, `b` (text, or
                            a list of turns) and `same_answer` or a `category` above;
                            other fields pass through -> conv.jsonl

same_answer is true for the categories in SAME, false for the rest. The two halves
are cut inside each (domain, category): rows are ordered by a hash of their id and
dealt out in turn, so both halves hold about equally many of every kind. Ids count
the lines of a source file, so add new pairs at its end to leave the others where
they are. The output depends on the sources alone. Any mistake in a source stops the build (exit 1) and
nothing is written. Only the standard library is used.
"""

import hashlib
import json
import sys
from collections import Counter, defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
SAME = {"paraphrase", "near-repeat"}
TRAPS = {
    "number",
    "date",
    "unit",
    "name",
    "place",
    "product",
    "language",
    "negation",
    "direction",
    "comparison",
    "quantifier",
    "scope",
    "tense",
    "code",
    "quote",
    "url",
    "format",
}
CATEGORIES = SAME | TRAPS

errors = []


def fail(where, what):
    errors.append(f"{where}: {what}")


def stable(text):
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def lines(path):
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except UnicodeDecodeError as e:
        fail(path.name, f"not UTF-8 ({e})")
        return
    # split("\n"), not splitlines(): the latter also cuts at U+2028, U+0085 and the like
    for number, line in enumerate(text.split("\n"), 1):
        line = line.rstrip("\r")
        if line.strip():
            yield f"{path.name}:{number}", line


def duplicate(seen, where, a, b):
    """True (and an error) if this pair was seen before, in either order."""
    key = tuple(sorted((a, b)))
    if key in seen:
        fail(where, f"duplicate of {seen[key]}")
        return True
    seen[key] = where
    return False


def read_tsv(path, domain, lang, prefix, seen):
    rows = []
    count = 0
    for where, line in lines(path):
        count += 1
        cols = line.split("\t")
        if len(cols) not in (3, 4):
            fail(where, f"{len(cols)} columns, expected 3 or 4")
            continue
        category, a, b = cols[0], cols[1], cols[2]
        tag = cols[3] if len(cols) == 4 else ""
        if category not in CATEGORIES:
            fail(where, f"unknown category {category!r}")
            continue
        if len(cols) == 4 and tag != "ambiguous":
            fail(where, f"4th column is {tag!r}, expected 'ambiguous'")
            continue
        if not a or not b or a != a.strip() or b != b.strip():
            fail(where, "empty question, or spaces around one")
            continue
        if a == b:
            fail(where, "a and b are the same text")
            continue
        if duplicate(seen, where, a, b):
            continue
        row = {
            "id": f"{prefix}-{count:04d}",
            "a": a,
            "b": b,
            "same_answer": category in SAME,
            "category": category,
            "domain": domain,
            "lang": lang,
        }
        if tag:
            row["ambiguous"] = True
        rows.append(row)
    return rows


def read_conv(path, seen):
    rows = []
    count = 0
    for where, line in lines(path):
        count += 1
        try:
            row = json.loads(line)
        except ValueError as e:
            fail(where, f"not JSON ({e})")
            continue
        if not isinstance(row, dict) or not row.get("a") or not row.get("b"):
            fail(where, "needs an object with a and b")
            continue
        category = row.get("category")
        if not isinstance(category, (str, type(None))) or category == "":
            fail(where, f"category is {category!r}, expected a word")
            continue
        label = row.get("same_answer")
        if label is None and category in CATEGORIES:
            label = category in SAME
        if not isinstance(label, bool):
            fail(where, f"same_answer is {label!r}, expected true or false")
            continue
        a, b = (json.dumps(row[k], sort_keys=True, ensure_ascii=False) for k in "ab")
        # the turns before the question are part of what is compared, whatever their name
        rest = {
            k: v
            for k, v in row.items()
            if isinstance(v, (str, list, dict))
            and k
            not in (
                "id",
                "a",
                "b",
                "same_answer",
                "category",
                "domain",
                "lang",
                "ambiguous",
                "note",
            )
        }
        context = json.dumps(rest, sort_keys=True, ensure_ascii=False)
        if a == b and not rest:
            fail(where, "a and b are the same")
            continue
        if duplicate(seen, where, a + context, b + context):
            continue
        out = {
            "id": row.get("id") or f"conv-{path.stem}-{count:04d}",
            "a": row["a"],
            "b": row["b"],
            "same_answer": label,
        }
        if category is not None:
            out["category"] = category
        out["domain"] = row.get("domain", "conv")
        out["lang"] = row.get("lang", "en")
        out.update({k: v for k, v in row.items() if k not in out})
        rows.append(out)
    return rows


def split(rows):
    """Deal the rows out to two halves.

    The tagged rows of a domain are dealt in turn first; then the rest of each category,
    each row to the half that has fewer of that category. Which half is first comes from
    a hash, so a change in one domain leaves every other domain's halves as they were.
    """
    halves = [[], []]
    by_domain = defaultdict(list)
    for row in rows:
        by_domain[row["domain"]].append(row)
    for domain in sorted(by_domain):
        lead = int(stable(domain), 16) % 2
        have = Counter()  # (category, half) -> rows so far
        groups = defaultdict(list)
        for row in sorted(by_domain[domain], key=lambda r: stable(r["id"])):
            if row.get("ambiguous"):
                halves[lead].append(row)
                have[row["category"], lead] += 1
                lead = 1 - lead
            else:
                groups[row["category"]].append(row)
        for category in sorted(groups):
            half = int(stable(f"{domain}/{category}"), 16) % 2
            for row in groups[category]:
                if have[category, 1 - half] < have[category, half]:
                    half = 1 - half
                halves[half].append(row)
                have[category, half] += 1
                half = 1 - half
    return [sorted(half, key=lambda r: r["id"]) for half in halves]


def files(folder, pattern):
    return sorted((HERE / folder).glob(pattern), key=lambda p: p.name)


def main():
    check_only = "--check" in sys.argv[1:]
    seen, pairs = {}, []
    for path in files("src", "*.tsv"):
        pairs += read_tsv(path, path.stem, "en", path.stem, seen)
    i18n = []
    for path in files("src_i18n", "*.tsv"):
        i18n += read_tsv(path, "i18n", path.stem, f"i18n-{path.stem}", seen)
    conv, seen_conv = [], {}
    for path in files("conv", "*.jsonl"):
        conv += read_conv(path, seen_conv)

    for row_id, n in Counter(r["id"] for r in pairs + i18n + conv).items():
        if n > 1:
            fail(row_id, f"id used {n} times")
    if not pairs:
        fail("src", "no pairs")
    if errors:
        print("\n".join(errors), file=sys.stderr)
        print(f"{len(errors)} mistakes, nothing written", file=sys.stderr)
        return 1

    tune, heldout = split(pairs)
    outputs = {"pairs.tune.jsonl": tune, "pairs.heldout.jsonl": heldout}
    if i18n:
        outputs["i18n.jsonl"] = i18n
    if conv:
        outputs["conv.jsonl"] = conv
    for name, rows in outputs.items():
        if not check_only:
            text = "".join(json.dumps(r, ensure_ascii=False) + "\n" for r in rows)
            (HERE / name).write_bytes(text.encode("utf-8"))
        same = sum(r["same_answer"] for r in rows)
        odd = sum(1 for r in rows if r.get("ambiguous"))
        print(
            f"{name}: {len(rows)} pairs, {same} same, {len(rows) - same} different, {odd} ambiguous"
        )

    # a question text standing in both halves makes the held-out half a little less apart
    texts = [{t for r in half for t in (r["a"], r["b"])} for half in (tune, heldout)]
    both = texts[0] & texts[1]
    if both:
        print(f"note: {len(both)} question texts stand in both halves", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
