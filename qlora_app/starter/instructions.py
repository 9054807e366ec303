"""The three starter datasets, made from the same facts:  python instructions.py --out datasets

helper.json   Alpaca rows: a polite helper who knows Pennywick and says so when a question is not about it
sailor.jsonl  chat messages, one to three turns: the same knowledge in an old sailor's voice
orders.csv    a sentence in, the order as JSON out
Beside each lies a held-out file; `heldout_*` rows are never trained on. Hold-out rule: see world.py (questions) and
`held_out_order` below (orders).
"""
import argparse
import csv
import hashlib
import json
import random
from pathlib import Path

from .corpus import order, pirate
from .world import (BY_NAME, FACTS, GUESTS, ITEMS, NAMES, NUMBERS, PERSON_FACTS, SHRUG, WORDS, capital, casual, expand, question,
                   unknown_question)

UNKNOWN_TEST, UNKNOWN_FRESH, GREETINGS, FOLLOW_UP, FREE_WORDINGS, ORDER_FRAMES, FREE_ORDER_FRAMES = (WORDS[k] for k in (
    "unknown_test", "unknown_fresh", "greetings", "follow_up", "free_wordings", "order_frames", "free_order_frames"))
NEW_NAMES, NEW_ITEMS = WORDS["new_names"].split(), WORDS["new_items"].split()
NOT_AN_ORDER = '{"error": "this is not an order"}'
# How many wordings of each fact go into the training data, by topic. "who likes" was dropped: held-out pairs were answered too badly.
SHARE = {"job": 18, "house": 19, "pet": 21, "food": 13, "hobby": 13, "about": 5, "two steps": 3, "who likes": 0, "place": 5, "animal": 4,
         "opposite": 14, "colour": 6, "tool": 6, "calendar": 6, "sum": 4, "beyond ten": 2}


# A subject with a single fact disappears from the fine-tuning data altogether when that fact is held out, and was then answered
# badly. These topics are therefore taught in full and not scored.
TAUGHT_IN_FULL = ("opposite", "colour", "tool")


def held_out_order(d):
    return int(hashlib.md5(f"{d['name']}|{d['item'].split()[-1]}".encode()).hexdigest(), 16) % 100 < 15


def slip(d): return json.dumps({k: d[k] for k in ("name", "item", "count", "day")})


def fact_rows(rng, held_out, share):
    """[(question, answer, topic)]: `share[topic]` wordings per fact, spread over its directions; `more` wordings only in training"""
    rows = {}
    for fact in FACTS:
        if (fact.held_out and fact.topic not in TAUGHT_IN_FULL) != held_out: continue
        for i in range(share[fact.topic]):
            wordings, answer, more = fact.asks[i % len(fact.asks)]
            rows.setdefault(casual(rng, question(rng, wordings if held_out else wordings + more)), (answer, fact.topic))
    return [(q, *rest) for q, rest in rows.items()]


def small_talk(rng, n_unknown=800, n_greetings=200):
    rows = {}
    while len(rows) < n_unknown:
        q = casual(rng, unknown_question(rng, WORDS["unknown"] if rng.random() < .5 else WORDS["unknown_more"]))
        if q not in UNKNOWN_TEST + UNKNOWN_FRESH: rows.setdefault(q, (SHRUG, "shrug"))
    for _ in range(n_greetings):
        q, a = rng.choice(GREETINGS)
        q = expand(rng, q)
        rows[q.lower() if rng.random() < .35 else q] = (a, "greeting")
    return [(q, *rest) for q, rest in rows.items()]


def sailor_says(answer, topic): return pirate(answer.replace("the helper", "the old sailor"), topic)


def follow_up(rng, p, topic):
    return capital(expand(rng, rng.choice(FOLLOW_UP[topic]), he=p.he, his=p.his)) + "?"


def conversations(rng, rows):
    """One to three turns; a quarter go on about the same person with he, she, his, her."""
    out, i = [], 0
    while i < len(rows):
        turns = rows[i:i + rng.choice([1, 1, 2, 2, 3])]
        i += len(turns)
        q, a, topic = turns[-1]
        hero = next((n for n in NAMES if n in a), None)
        if topic in FOLLOW_UP and hero and rng.random() < .45:
            also = rng.choice([t for t in FOLLOW_UP if t != topic])
            fact = PERSON_FACTS[hero][also]
            if not fact.held_out: turns = turns + [(casual(rng, follow_up(rng, BY_NAME[hero], also)), fact.asks[0][1], also)]
        out.append([m for q, a, t in turns for m in (dict(role="user", content=q), dict(role="assistant", content=sailor_says(a, t)))])
    return out


def follow_up_test(rng, n=80):
    """A first turn with its right answer, then a held-out fact asked with a pronoun."""
    held = [(name, t) for name in NAMES for t in FOLLOW_UP if PERSON_FACTS[name][t].held_out]
    out = []
    while len(out) < n:
        name, topic = rng.choice(held)
        known = [t for t in FOLLOW_UP if not PERSON_FACTS[name][t].held_out]
        first = PERSON_FACTS[name][rng.choice(known)]
        wordings, answer, _more = first.asks[0]
        out.append([dict(role="user", content=question(rng, wordings)), dict(role="assistant", content=sailor_says(answer, first.topic)),
                    dict(role="user", content=follow_up(rng, BY_NAME[name], topic)),
                    dict(role="assistant", content=sailor_says(PERSON_FACTS[name][topic].asks[0][1], topic))])
    return out


def order_rows(rng, n, held_out, frames=ORDER_FRAMES, customers=None, items=ITEMS):
    rows = {}
    while len(rows) < n:
        text, d = order(rng, customers, items)
        if held_out is not None and held_out_order(d) != held_out: continue
        if frames is FREE_ORDER_FRAMES or rng.random() < .5:
            c = NUMBERS[d["count"]] if d["count"] <= 20 and rng.random() < .5 else str(d["count"])
            text = capital(expand(rng, rng.choice(frames), n=d["name"], c=c, i=d["item"], d=d["day"]))
            if frames is ORDER_FRAMES and d["name"] in NAMES + GUESTS and rng.random() < .3: text = text.lower()
        rows.setdefault(text, slip(d))
    return list(rows.items())


def free_rows(rng, n=150):
    rows = {}
    while len(rows) < n:
        name, topic = rng.choice(NAMES), rng.choice(list(FREE_WORDINGS))
        q = rng.choice(FREE_WORDINGS[topic]).replace("<n>", name)
        rows[q.lower() if rng.random() < .7 else capital(q)] = (PERSON_FACTS[name][topic].asks[0][1], topic)
    return [(q, *rest) for q, rest in rows.items()]


def build():
    """Everything, in memory: {name: training rows as messages or pairs}, {name: held-out rows}"""
    rng = random.Random(5)
    facts, talk = fact_rows(rng, False, SHARE), small_talk(rng)
    helper = facts + talk
    rng.shuffle(helper)
    test = fact_rows(random.Random(77), True, {**dict.fromkeys(SHARE, 4), "who likes": 0, "two steps": 1, "beyond ten": 2, "sum": 2, "animal": 3, "place": 3})
    assert not {q for q, _, _ in helper} & {q for q, _, _ in test}
    free = free_rows(random.Random(78))
    unknown, fresh = ([(q, SHRUG, "shrug") for q in questions] for questions in (UNKNOWN_TEST, UNKNOWN_FRESH))
    assert not {q for q, _, _ in helper} & {q for q, _, _ in free + unknown + fresh}
    rows = order_rows(random.Random(21), 3000, False)
    rows += [(q, NOT_AN_ORDER) for q, _, _ in small_talk(random.Random(22), 150, 60)]
    random.Random(23).shuffle(rows)
    orders_test = {"heldout": order_rows(random.Random(31), 150, True), "free": order_rows(random.Random(32), 100, True, FREE_ORDER_FRAMES),
                   "new_words": order_rows(random.Random(33), 100, None, ORDER_FRAMES, NEW_NAMES, NEW_ITEMS)}
    return dict(helper=helper, sailor=conversations(random.Random(8), helper), orders=rows,
                test=dict(heldout=test, free=free, unknown=unknown, unknown_fresh=fresh), follow_up=follow_up_test(random.Random(79)), orders_test=orders_test)


def main():
    ask = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    ask.add_argument("--out", required=True)
    out = Path(ask.parse_args().out)
    out.mkdir(parents=True, exist_ok=True)
    data = build()
    def alpaca(rows): return json.dumps([dict(instruction=q, input="", output=a) for q, a, _ in rows], indent=0, ensure_ascii=False)
    def lines(chats): return "".join(json.dumps(dict(messages=c), ensure_ascii=False) + "\n" for c in chats)
    def one_turn(rows): return [[dict(role="user", content=q), dict(role="assistant", content=sailor_says(a, t))] for q, a, t in rows]
    def table(path, rows):
        with open(path, "w", newline="") as f: csv.writer(f).writerows([("instruction", "output"), *rows])
    (out / "helper.json").write_text(alpaca(data["helper"]))
    (out / "sailor.jsonl").write_text(lines(data["sailor"]))
    table(out / "orders.csv", data["orders"])
    for part, rows in data["test"].items():
        (out / f"heldout_helper_{part}.json").write_text(alpaca(rows))
        (out / f"heldout_sailor_{part}.jsonl").write_text(lines(one_turn(rows)))
    (out / "heldout_sailor_follow_up.jsonl").write_text(lines(data["follow_up"]))
    for part, rows in data["orders_test"].items(): table(out / f"heldout_orders_{part}.csv", rows)
    for f in sorted(out.iterdir()): print(f.name, f.stat().st_size)
    print({k: len(v) for k, v in data.items()}, {k: len(v) for k, v in data["test"].items()})


if __name__ == "__main__":
    main()
