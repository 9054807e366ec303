"""Pretraining documents of the school: lessons, the school book, sums, names with a capital."""

import random

from .talk import ask_known
from .world import (
    DAYS,
    GENERAL,
    MONTHS,
    NAMES,
    NUMBERS,
    PEOPLE,
    STREETS,
    SUMS,
    WORDS,
)


def lesson(rng: random.Random) -> str:
    teacher = next(p.name for p in PEOPLE if p.job == "teacher")
    pupils = rng.sample([n for n in NAMES if n != teacher], 3)
    out = [
        rng.choice(
            [
                "The children sat in the school.",
                "It was time for the last lesson.",
                f"{teacher} the teacher wrote on the board.",
            ]
        )
    ]
    for pupil in pupils[: rng.randint(2, 3)]:
        if rng.random() < 0.6:
            q, s = ask_known(rng, town=0)
            out.append(f'"{q}" asked {teacher}. "{s[:-1]}," said {pupil}.')
        else:
            s = rng.choice(rng.choice(GENERAL).prose)
            out.append(f'"{s[:-1]}," {rng.choice(["said", "read", "wrote"])} {pupil}.')
    return " ".join(
        [*out, rng.choice(['"Well done," said the teacher.', "The bell rang.", f'"Very good!" said {teacher}.'])]
    )


def facts(rng: random.Random) -> str:
    """A page of the school book. Often all of one topic, so that both directions stand side by side."""
    pool = GENERAL
    if rng.random() < 0.5:
        topic = rng.choice(["place", "animal", "opposite", "opposite", "colour", "tool", "calendar"])
        pool = [f for f in GENERAL if f.topic == topic]
    return " ".join(rng.choice(f.prose) for f in rng.sample(pool, rng.randint(5, 9)))


def guide(rng: random.Random) -> str:
    """Everything about one or two places, or about one or two animals"""
    topic, subjects = rng.choice([("place", WORDS["places"]), ("animal", WORDS["animals"])])
    out = []
    for subject in rng.sample(list(subjects), rng.randint(1, 2)):
        about = [f for f in GENERAL if f.topic == topic and f.keys[0].split("|")[0] == subject]
        out += [rng.choice(f.prose) for f in rng.sample(about, len(about))]
    return " ".join(out)


def sums(rng: random.Random) -> str:
    """Rows of sums to ten, in figures or in words."""
    if rng.random() < 0.25:  # one row of the table in order: 3 plus 0 is 3. 3 plus 1 is 4. ...
        start = f"{rng.randint(0, 10)} {rng.choice(['plus', 'minus'])} "
        return " ".join(f.prose[0] for f in SUMS if f.prose[0].startswith(start))
    pool = SUMS if rng.random() < 0.4 else [f for f in SUMS if f.topic == "sum"]
    form = 2 if rng.random() < 0.35 else 0  # in words, or in figures
    return " ".join(f.prose[form] for f in rng.sample(pool, rng.randint(6, 10)))


def counting(rng: random.Random) -> str:
    names = rng.choice([DAYS, MONTHS, None, None])
    if names:
        what = "days of the week" if names is DAYS else "months of the year"
        return f"The {what} are {', '.join(names[:-1])} and {names[-1]}."
    start, stop = rng.randint(0, 12), rng.randint(4, 8)
    if rng.random() < 0.4:
        return " ".join(f"{i} is {NUMBERS[i]}." for i in rng.sample(range(21), 8))
    as_words = rng.random() < 0.5
    row = [NUMBERS[i] if as_words else str(i) for i in range(start, start + stop)]
    return f"{rng.choice(NAMES)} counted: {', '.join(row)}."


def capitals(rng: random.Random) -> str:
    """Names are written with a capital: the only place where every name also stands in small letters."""
    words = rng.sample(NAMES + [p.petname for p in PEOPLE] + STREETS + DAYS + MONTHS, rng.randint(5, 9))
    form = rng.choice(["Not {low} but {up}.", "{low} is written {up}.", '"{low}?" "No, {up}!"', "{low}: {up}."])
    opening = rng.choice(["Names need a big letter. ", "The teacher corrects the page. ", ""])
    return opening + " ".join(form.format(low=word.lower(), up=word) for word in words)
