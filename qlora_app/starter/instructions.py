"""The three starter datasets, made from the same facts:  python -m qlora_app.starter.instructions

helper.json   Alpaca rows (some with a history): a polite helper who knows Pennywick and says so when it does not know
sailor.jsonl  chat messages, one to three turns: the same knowledge in an old sailor's voice
orders.csv    a sentence in, the order as JSON out
`held_out/` holds the test files, never trained on and scored once; `development/` the same kinds of files with other
facts and wordings, on which the settings were chosen. Hold-out rule: see world.py (questions) and `order_share`
(orders).
"""

import csv
import hashlib
import io
import json
import random
from pathlib import Path
from typing import Any

from .orders import ORDERS, said_count
from .talk import pirate
from .wordings import (
    ask_freely,
    composed_order,
    is_kept,
    look_alike,
    made_up_name,
    made_up_things,
    outside_question,
    pieced,
    punctuated,
    typed,
)
from .world import (
    BY_NAME,
    COLOURS,
    DAYS,
    FACTS,
    GUESTS,
    ITEMS,
    NAMES,
    PEOPLE,
    PERSON_FACTS,
    SHRUG,
    WORDS,
    Person,
    a_or_an,
    capital,
    casual,
    expand,
    question,
)
from .world import share_of as world_share

Row = tuple[str, str, str]  # question, answer, topic
Order = tuple[str, str]  # what is said, the slip
DATA = Path(__file__).parent / "datasets"
NOT_AN_ORDER = '{"error": "this is not an order"}'
# How many questions about each fact are asked in the training data, by topic (people have more and freer wordings than
# sums).
TRAIN = {
    "job": 14,
    "house": 16,
    "pet": 16,
    "food": 10,
    "hobby": 10,
    "about": 4,
    "two steps": 4,
    "who likes": 4,
    "place": 6,
    "animal": 6,
    "opposite": 4,
    "colour": 3,
    "tool": 3,
    "calendar": 4,
    "sum": 3,
    "beyond ten": 2,
}
TEST = {**dict.fromkeys(TRAIN, 4), "who likes": 0, "two steps": 1, "beyond ten": 2, "sum": 2, "animal": 3, "place": 3}
# A subject with a single fact would disappear from the data altogether if that fact were held out: taught in full, not
# scored.
TAUGHT_IN_FULL = ("opposite", "colour", "tool")
# Trades and pets that no row may ask about. In outside questions alone they would be learned as strangers.
UNASKED = {
    word.lower()
    for p in PEOPLE
    for word, kind in ((p.job, "job"), (p.petname, "pet"))
    if PERSON_FACTS[p.name][kind].held_out
}


def share_of(text: str) -> str:
    """train, dev or test, by the hash of a key"""
    return world_share(int(hashlib.md5(text.encode()).hexdigest(), 16) % 100)


def fact_rows(rng: random.Random, share: str, counts: dict[str, int]) -> list[Row]:
    """Questions about the facts of one share: `counts[topic]` per fact, spread over its directions, no question twice.

    To be trained on they are asked as freely as people ask, to be scored in the plainest words: what counts there is
    the fact.
    """
    rows: dict[str, tuple[str, str]] = {}
    for fact in FACTS:
        fact_share = "train" if fact.topic in TAUGHT_IN_FULL else fact.share
        if fact_share != share:
            continue
        for i in range(counts[fact.topic]):
            ask = fact.asks[i % len(fact.asks)]
            if share == "train":
                asked = typed(rng, ask_freely(rng, ask))
            else:
                asked = casual(rng, question(rng, ask.wordings))
            rows.setdefault(asked, (ask.answer, fact.topic))
    return [(q, *rest) for q, rest in rows.items()]


def outside_rows(rng: random.Random, n: int) -> list[Row]:
    """`n` different questions that get the shrug: general ones, and the town's own wordings about strangers"""
    rows: set[str] = set()
    while len(rows) < n:
        q = typed(rng, outside_question(rng))
        if not is_kept(q) and not any(word in q.lower() for word in UNASKED):
            rows.add(q)
    return [(q, SHRUG, "shrug") for q in sorted(rows)]


def here_rows(rng: random.Random, times: int) -> list[Row]:
    """Every name, pet and house so often as one that the town has, every trade with what it does; not who and whose,
    which may be held out.

    A word that stands in no question at all would be taken for another one, or for a stranger's.
    """
    rows: dict[str, str] = {}
    for p in PEOPLE:
        words = dict(name=p.name, job=a_or_an(p.job), pet=p.petname, house=a_or_an(p.house[4:]))
        for kind, word in words.items():
            slots = dict(x=word, X=capital(word), does=p.does)
            wordings, answer = WORDS["here"][kind]
            for _ in range(times):
                answered = expand(rng, answer, **slots)
                asked = typed(rng, punctuated(expand(rng, rng.choice(wordings), **slots)))
                rows[asked] = answered
    return [(q, a, "here") for q, a in rows.items()]


def greeting_rows(rng: random.Random, n: int, first_words: int = 0) -> list[Row]:
    """Small talk with its answers: at most `n` rows, four in five of them greetings; and each of the very first things
    that people say, typed in at most `first_words` ways"""
    rows: dict[str, str] = {}
    for _ in range(n):
        said, answer = rng.choice(WORDS["greetings"] if rng.random() < 0.8 else WORDS["small_talk"])
        q = expand(rng, said)
        rows[q.lower() if rng.random() < 0.4 else q] = answer
    for (_said, answer), texts in zip(WORDS["greetings"], WORDS["first_words"], strict=True):
        rows |= {typed(rng, text): answer for text in texts for _ in range(first_words)}
    return [(q, a, "greeting") for q, a in rows.items()]


def follow_up(rng: random.Random, p: Person, topic: str) -> str:
    return capital(expand(rng, rng.choice(WORDS["follow_up"][topic]), he=p.he, his=p.his)) + "?"


def pronoun_row(rng: random.Random, row: Row) -> list[Row]:
    """Another question about the same person with he, she, his or her; none if the row is about nobody"""
    _q, answer, topic = row
    hero = next((n for n in NAMES if n in answer), None)
    if topic not in WORDS["follow_up"] or not hero:
        return []
    also = rng.choice([t for t in WORDS["follow_up"] if t != topic])
    fact = PERSON_FACTS[hero][also]
    if fact.share != "train":
        return []
    asked = typed(rng, follow_up(rng, BY_NAME[hero], also))
    return [(asked, fact.asks[0].answer, also)]


def conversations(rng: random.Random, rows: list[Row], lengths: list[int]) -> list[list[Row]]:
    """Rows bundled into conversations of a length drawn from `lengths`; some go on about the same person"""
    out, i = [], 0
    while i < len(rows):
        turns = rows[i : i + rng.choice(lengths)]
        i += len(turns)
        if rng.random() < 0.4:
            turns = turns + pronoun_row(rng, turns[-1])
        out.append(turns)
    return out


def follow_up_test(rng: random.Random, n: int = 80) -> list[list[Row]]:
    """A first turn with its right answer, then a held-out fact asked with a pronoun; no two ask the same of the same
    person.
    """
    held = [(name, t) for name in NAMES for t in WORDS["follow_up"] if PERSON_FACTS[name][t].share == "test"]
    out: dict[Row, list[Row]] = {}
    while len(out) < n:
        name, topic = rng.choice(held)
        known = [t for t in WORDS["follow_up"] if PERSON_FACTS[name][t].share == "train"]
        first = PERSON_FACTS[name][rng.choice(known)]
        ask = first.asks[0]
        second = (follow_up(rng, BY_NAME[name], topic), PERSON_FACTS[name][topic].asks[0].answer, topic)
        out.setdefault(second, [(question(rng, ask.wordings), ask.answer, first.topic), second])
    return list(out.values())


def free_rows(rng: random.Random, wordings: dict[str, list[str]], n: int = 150) -> list[Row]:
    """Questions about people in wordings that occur in no training list, most in small letters"""
    rows: dict[str, tuple[str, str]] = {}
    while len(rows) < n:
        p, topic = BY_NAME[rng.choice(NAMES)], rng.choice(list(wordings))
        q = expand(rng, rng.choice(wordings[topic]), n=p.name, he=p.he, his=p.his)
        rows[q.lower() if rng.random() < 0.7 else q] = (PERSON_FACTS[p.name][topic].asks[0].answer, topic)
    return [(q, *rest) for q, rest in rows.items()]


# ---- orders ----


def order_share(d: dict) -> str:
    return share_of(f"{d['name']}|{d['item'].split()[-1]}")


def customer(rng: random.Random) -> str:
    """A citizen, a guest, or somebody whose name nobody has heard"""
    draw = rng.random()
    if draw < 0.88:
        return rng.choice(NAMES if draw < 0.43 else GUESTS + WORDS["more_guests"].split())
    if draw < 0.93:
        return made_up_name(rng)
    if draw < 0.97:
        return capital(pieced(rng))
    return look_alike(rng)


def goods(rng: random.Random) -> str:
    """Something to order, sometimes a thing that no shop has"""
    draw = rng.random()
    if draw < 0.1:
        if draw < 0.04:
            return made_up_things(rng)
        return f"{pieced(rng)}s"
    return rng.choice(WORDS["more_items"] if draw < 0.2 else ITEMS)


def order(rng: random.Random, frame: str, name: str, item: str) -> tuple[str, dict]:
    """(the order as somebody says it, its four values)"""
    if rng.random() < 0.25:
        item = f"{rng.choice(COLOURS)} {item}"
    count = rng.randint(21, 99) if rng.random() < 0.15 else rng.randint(2, 20)
    day = rng.choice(DAYS)
    d = dict(name=name, item=item, count=count, day=day)
    text = capital(expand(rng, frame, n=name, c=said_count(rng, count), i=item, d=day))
    return text.lower().rstrip(".") if rng.random() < 0.2 else text, d


def order_rows(
    rng: random.Random, n: int, share: str, frames: list[str], names: list[str], things: list[str], composed: float = 0
) -> list[Order]:
    """`n` orders of one share ("" is any) and their slips; no names, no things: known and made-up ones.

    `composed` is the share of sentences put together from parts, the others are `frames`.
    """
    rows: dict[str, str] = {}
    while len(rows) < n:
        name = rng.choice(names) if names else customer(rng)
        item = rng.choice(things) if things else goods(rng)
        is_composed = composed and rng.random() < composed
        frame = composed_order(rng) if is_composed else rng.choice(frames)
        text, d = order(rng, frame, name, item)
        if not share or order_share(d) == share:
            rows.setdefault(text, json.dumps({k: d[k] for k in ("name", "item", "count", "day")}))
    return list(rows.items())


def order_data(rng: random.Random) -> dict[str, list[Order]]:
    """Training orders and their test files: known words in new pairs, new sentence frames, words that occur nowhere"""
    known, frames = NAMES + GUESTS, [*ORDERS, *WORDS["order_frames"], *WORDS["more_order_frames"]]
    train = order_rows(rng, 6000, "train", frames, [], [], composed=0.5)
    other = outside_rows(rng, 200) + greeting_rows(rng, 60) + rng.sample(fact_rows(rng, "train", TRAIN), 60)
    train += [(q, NOT_AN_ORDER) for q, _answer, _topic in other]
    rng.shuffle(train)
    out = {"orders": train}
    for share, seed, free, names, things in (
        ("test", 22, "free_order_frames", "new_names", "new_items"),
        ("dev", 23, "dev_order_frames", "dev_names", "dev_items"),
    ):
        rng = random.Random(seed)  # their own: another training set does not draw them anew
        out[f"{share}/orders"] = order_rows(rng, 150, share, frames, known, ITEMS)
        out[f"{share}/orders_free"] = order_rows(rng, 100, share, WORDS[free], known, ITEMS)
        out[f"{share}/orders_new_words"] = order_rows(rng, 100, "", frames, WORDS[names].split(), WORDS[things].split())
    return out


# ---- everything, and its files ----


def sailor_says(answer: str) -> str:
    """The helper's answer in the old sailor's voice"""
    return pirate(answer.replace("the helper", "the old sailor"))


def alpaca(chats: list[list[Row]]) -> str:
    """The last question of each conversation with its answer; what was said before is its history."""
    rows = []
    for *before, (q, a, _topic) in chats:
        row: dict[str, Any] = dict(instruction=q, input="", output=a)
        if before:
            row["history"] = [turn[:2] for turn in before]
        rows.append(row)
    return "[\n" + ",\n".join(json.dumps(row, ensure_ascii=False) for row in rows) + "\n]\n"


def messages(chats: list[list[Row]]) -> str:
    """Each conversation as one line of chat messages, answered by the old sailor."""

    def turns(chat: list[Row]) -> list[dict[str, str]]:
        made = []
        for q, a, _ in chat:
            made += dict(role="user", content=q), dict(role="assistant", content=sailor_says(a))
        return made

    return "".join(json.dumps(dict(messages=turns(c)), ensure_ascii=False) + "\n" for c in chats)


def table(rows: list[Order]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([("instruction", "output"), *rows])
    return text.getvalue()


def questions(share: str) -> dict[str, list[Row]]:
    """The scored files of one share: held-out facts, free wordings, outside questions (two lists for the test)"""
    rows = fact_rows(random.Random(77), share, TEST)
    random.Random(1).shuffle(rows)
    free, outside = "dev_wordings", {"_unknown": "unknown_dev"}
    if share == "test":
        free, outside = "free_wordings", {"_unknown": "unknown_test", "_unknown_fresh": "unknown_fresh"}
    files = {"": rows, "_free": free_rows(random.Random(78), WORDS[free])}
    for name, key in outside.items():
        files[name] = [(q, SHRUG, "shrug") for q in WORDS[key]]
    return files


def build() -> dict[str, str]:
    """{path below datasets/: content} of every file, the same on every machine"""
    rng = random.Random(5)
    rows = (
        fact_rows(rng, "train", TRAIN)
        + outside_rows(rng, 1200)
        + here_rows(rng, 3)
        + greeting_rows(rng, 1000, first_words=12)
    )
    rng.shuffle(rows)
    files = {
        "helper.json": alpaca(conversations(rng, rows, [1, 1, 1, 1, 1, 1, 2, 4])),
        "sailor.jsonl": messages(conversations(rng, rows, [1, 1, 2, 2, 3])),
    }
    for share, folder in (("test", "held_out"), ("dev", "development")):
        for part, held in questions(share).items():
            files[f"{folder}/helper{part}.json"] = alpaca([[row] for row in held])
            files[f"{folder}/sailor{part}.jsonl"] = messages([[row] for row in held])
    files["held_out/sailor_follow_up.jsonl"] = messages(follow_up_test(random.Random(79)))
    for path, orders in order_data(random.Random(21)).items():
        files[path.replace("test/", "held_out/").replace("dev/", "development/") + ".csv"] = table(orders)
    return files


def main() -> None:
    for path, content in build().items():
        (DATA / path).parent.mkdir(parents=True, exist_ok=True)
        (DATA / path).write_text(content, encoding="utf-8", newline="")
        print(f"{len(content.encode()):9,d}  {path}")


if __name__ == "__main__":
    main()
