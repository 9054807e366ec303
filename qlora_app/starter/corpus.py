"""Pretraining documents about Pennywick: little stories, profiles, talk, lessons, the order book, the sailor.

Every document is drawn from a seeded random.Random, so the corpus is reproducible and needs no file.
Questions asked inside documents are only ever about facts that are not held out (see world.py).
"""

import json
import random
import re
from collections.abc import Callable

from .wordings import (
    ask_freely,
    composed_order,
    look_alike,
    made_up,
    made_up_name,
    made_up_things,
    outside_question,
    pieced,
    typed,
)
from .world import (
    BY_NAME,
    COLOURS,
    DAYS,
    GENERAL,
    GUESTS,
    ITEMS,
    MONTHS,
    NAMES,
    NUMBERS,
    PEOPLE,
    PERSON_FACTS,
    SHARED,
    SHRUG,
    STREETS,
    SUMS,
    WORDS,
    Ask,
    capital,
    casual,
    expand,
    question,
)

WHERE, MORE_GUESTS = WORDS["where"], WORDS["more_guests"].split()
KNOWN = [f for facts in PERSON_FACTS.values() for f in facts.values() if not f.held_out]
KNOWN += [f for f in SHARED + GENERAL if not f.held_out]
KNOWN_SUMS = [f for f in SUMS if not f.held_out]
KNOWN_SHARED = [f for f in SHARED if not f.held_out]
SALTY = tuple(
    (re.compile(rf"\b(?:{word})\b"), salty)
    for word, salty in (
        ("lives in", "be livin' in"),
        ("is|are|am", "be"),
        ("You", "Ye"),
        ("you", "ye"),
        ("my", "me"),
        ("do not", "don't"),
        ("of", "o'"),
    )
)


def pirate(answer: str) -> str:
    """The old sailor's way of saying a plain sentence: a fixed rule, so that an answer has one right form."""
    for word, salty in SALTY:
        answer = word.sub(salty, answer)
    return f"Arr, matey! {answer} Yo ho ho!"


def asked(rng: random.Random, ask: Ask) -> str:
    """A question in one of its plain wordings or, as often, in one of the very many that people use"""
    return question(rng, ask.wordings) if rng.random() < 0.5 else ask_freely(rng, ask)


def ask_known(rng: random.Random, town: float = 0.5) -> tuple[str, str]:
    """(question, answer) about something that is not held out; `town` is the share of questions about people"""
    if rng.random() < 0.1:
        fact = rng.choice(KNOWN_SUMS)
    elif rng.random() < town:
        fact = rng.choice(list(PERSON_FACTS[rng.choice(NAMES)].values()))
    else:
        fact = rng.choice(KNOWN)
    if fact.held_out:
        return ask_known(rng, town)
    ask = rng.choice(fact.asks)
    return asked(rng, ask), ask.answer


def profile(rng: random.Random) -> str:
    """Three to five sentences about one person; later ones may say 'he' or 'she'."""
    p = BY_NAME[rng.choice(NAMES)]
    kinds = rng.sample(["job", "house", "pet", "food", "hobby"], rng.randint(3, 5))
    out = []
    for i, kind in enumerate(kinds):
        text = rng.choice(PERSON_FACTS[p.name][kind].prose)
        if i and rng.random() < 0.45 and text.startswith(p.name):
            text = (
                capital(p.his) + text[len(p.name) + 2 :]
                if text.startswith(p.name + "'s")
                else capital(p.he) + text[len(p.name) :]
            )
        out.append(text)
    return " ".join(out)


def street_walk(rng: random.Random) -> str:
    """Who lives in which house of one street"""
    street = rng.choice(STREETS)
    homes = [p for p in PEOPLE if p.street == street]
    rng.shuffle(homes)
    forms = ["The <c> house belongs to <n>.", "<n> lives in the <c> house.", "In the <c> house lives <n>."]
    return f"On {street}: " + " ".join(expand(rng, rng.choice(forms), c=p.colour, n=p.name) for p in homes)


def roll_call(rng: random.Random) -> str:
    """One kind of fact about several people: who does what, whose pet is whose, who lives where."""
    kind = rng.choice(
        [
            "job",
            "pet",
            "pet",
            "house",
            "food",
            "hobby",
            "street",
            "job+house",
            "job+pet",
            "job+food",
            "job+hobby",
            "about",
        ]
    )
    if kind == "street":
        return street_walk(rng)
    form = rng.random()
    facts = [PERSON_FACTS[n][kind] for n in rng.sample(NAMES, rng.randint(3, 6))]
    return " ".join(f.prose[int(form * len(f.prose))] if form < 0.7 else rng.choice(f.prose) for f in facts)


def friends(rng: random.Random) -> str:
    """Who likes what: each dish and each hobby has two friends."""
    out = [rng.choice(f.prose) for f in rng.sample(SHARED, rng.randint(3, 5))]
    if rng.random() < 0.5:
        ask = rng.choice(KNOWN_SHARED).asks[0]
        out.append(f'"{asked(rng, ask)}" asked {rng.choice(NAMES)}. "{ask.answer[:-1]}," said {rng.choice(NAMES)}.')
    return " ".join(out)


def dialogue(rng: random.Random) -> str:
    a, b = rng.sample(NAMES, 2)
    opening = rng.choice(["<a> met <b> <w>.", "<a> and <b> sat <w>.", "<a> was talking to <b> <w>."])
    out = [expand(rng, opening, a=a, b=b, w=rng.choice(WHERE))]
    for _ in range(rng.randint(1, 3)):
        q, s = ask_known(rng)
        out.append(f'"{q}" ' + rng.choice([f"asked {a}.", f"said {a}.", f"{a} asked.", f"{a} wanted to know."]))
        out.append(f'"{s[:-1]}," ' + rng.choice([f"said {b}.", f"{b} answered.", f"answered {b}."]))
    out.append(
        expand(
            rng,
            rng.choice(
                [
                    "Then they went home.",
                    '"{Thank you|How nice|I see}," said <a>.',
                    "They {laughed|smiled|waved} and went on.",
                    "And so the {morning|afternoon|day} passed.",
                ]
            ),
            a=a,
        )
    )
    return " ".join(out)


def notice_board(rng: random.Random) -> str:
    """Hasty notes: questions as people scribble them, each with its proper answer written below."""
    out = [
        rng.choice(
            [
                "There were notes on the board at the market.",
                "Ada read the board in the square.",
                "Somebody had written on the wall of the inn.",
            ]
        )
    ]
    for _ in range(rng.randint(2, 4)):
        q, s = ask_known(rng)
        out.append(
            expand(rng, "{One note said|Somebody asked|There stood|A child had written}")
            + f': "{typed(rng, q)}" '
            + expand(rng, "{Below it stood|The answer was|Under it was written}")
            + f': "{s}"'
        )
    return " ".join(out)


def hearsay(rng: random.Random) -> str:
    """People, trades, pets and houses in talk that asks for no fact: so every name also stands in questions, the
    held-out ones too.
    """
    a, b = rng.sample(NAMES, 2)
    p = BY_NAME[rng.choice(NAMES)]
    who = rng.choice(
        [f"the {p.job}", f"the {p.job}", p.petname, p.petname, p.name, f"the {p.colour} house on {p.street}"]
    )
    return expand(
        rng,
        rng.choice(
            [
                '"Did you {see|meet} <x> {today|yesterday|again}?" asked <a>. "{Yes|Of course}, I saw <x>," said <b>.',
                '"Did you think of <x>?" asked <a>. "{Yes|Of course}, I thought of <x>," said <b>.',
                '"<a>, have you heard about <x>?" asked <b>. "About <x>? No, {what is new|why}?" said <a>.',
                '"<X>!" called <a>. "Did you say: <x>?" asked <b>. "Yes, <x>," said <a>.',
                '"I dreamed of <x>," said <a>. "You dreamed of <x>?" asked <b>.',
                '"I passed <x>," said <a>. "You passed <x>?" asked <b>.',
            ]
        ),
        a=a,
        b=b,
        x=who,
        X=capital(who),
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
    words = rng.random() < 0.35
    return " ".join(f.prose[2 if words else 0] for f in rng.sample(pool, rng.randint(6, 10)))


def counting(rng: random.Random) -> str:
    names = rng.choice([DAYS, MONTHS, None, None])
    if names:
        return (
            f"The {'days of the week' if names is DAYS else 'months of the year'} are {', '.join(names[:-1])} and "
            f"{names[-1]}."
        )
    start, stop = rng.randint(0, 12), rng.randint(4, 8)
    if rng.random() < 0.4:
        return " ".join(f"{i} is {NUMBERS[i]}." for i in rng.sample(range(21), 8))
    row = (
        [NUMBERS[i] for i in range(start, start + stop)] if rng.random() < 0.5 else map(str, range(start, start + stop))
    )
    return f"{rng.choice(NAMES)} counted: {', '.join(row)}."


def capitals(rng: random.Random) -> str:
    """Names are written with a capital: the only place where every name also stands in small letters."""
    words = rng.sample(NAMES + [p.petname for p in PEOPLE] + STREETS + DAYS + MONTHS, rng.randint(5, 9))
    form = rng.choice(["Not {low} but {up}.", "{low} is written {up}.", '"{low}?" "No, {up}!"', "{low}: {up}."])
    return rng.choice(["Names need a big letter. ", "The teacher corrects the page. ", ""]) + " ".join(
        form.format(low=w.lower(), up=w) for w in words
    )


def story_parts(rng: random.Random) -> tuple[str, str]:
    """(title, text) of a story about two citizens"""
    a, b = (BY_NAME[n] for n in rng.sample(NAMES, 2))
    title, body = rng.choice([pair for story in WORDS["stories"] for pair in story.items()])
    slots = dict(
        a=a.name,
        b=b.name,
        he=a.he,
        his=a.his,
        him=a.him,
        ajob=a.job,
        bjob=b.job,
        bhe=b.he,
        bhis=b.his,
        apet=a.pet,
        apn=a.petname,
        bpet=b.pet,
        bpn=b.petname,
        ahouse=a.house,
        bhouse=b.house,
        afood=a.food,
        bfood=b.food,
        ahob=a.hobby,
        o=rng.choice(WORDS["objects"].split()),
        w=rng.choice(WHERE),
        w2=rng.choice(WHERE),
    )
    return "### " + expand(rng, title, **slots), expand(rng, " ".join(body), **slots)


def story(rng: random.Random) -> str:
    title, body = story_parts(rng)
    if rng.random() < 0.4:
        body = expand(rng, rng.choice(WORDS["weather"])) + " " + body
    draw = rng.random()
    if draw < 0.35:  # "### Told by Otto: It was ...", so that the base goes on telling after "### Assistant:"
        teller = BY_NAME[rng.choice(NAMES)]
        return title + "\n" + expand(rng, rng.choice(WORDS["told_by"]), t=teller.name, j=teller.job) + " " + body
    return title + "\n" + body if draw < 0.75 else body


def customer(rng: random.Random) -> str:
    """A citizen, a guest of the inn or somebody nobody has heard of"""
    draw = rng.random()
    known = NAMES if draw < 0.35 else [*GUESTS, *MORE_GUESTS]
    return rng.choice(known) if draw < 0.55 else made_up_name(rng) if draw < 0.93 else look_alike(rng)


def goods(rng: random.Random) -> str:
    """Something to order: half of the time a thing that no shop has"""
    colour = rng.choice(COLOURS) + " " if rng.random() < 0.25 else ""
    return colour + (
        rng.choice(ITEMS if rng.random() < 0.6 else WORDS["more_items"]) if rng.random() < 0.5 else made_up_things(rng)
    )


def said_count(rng: random.Random, count: int) -> str:
    """A number as people say it: up to twenty in figures or in words"""
    return NUMBERS[count] if count <= 20 and rng.random() < 0.5 else str(count)


ORDERS = (
    "<n> {wants|needs|would like|ordered|asks for} <c> <i> {on|for|by} <d>.",
    "{Please bring|Bring|Send|Please take} <c> <i> to <n> on <d>.",
    "On <d> <n> {wants|needs|would like} <c> <i>.",
    "<c> <i> for <n>, {please, |}on <d>.",
    "<d>: <c> <i> for <n>.",
    "<n> {came|wrote|called} and asked for <c> <i>. {Please bring them on|They must be ready by|It is for} <d>.",
    "{Hello|Good morning}, this is <n>. {I need|I would like|Please send me} <c> <i> {for|on|by} <d>.",
)


def order(rng: random.Random, name: str = "", item: str = "", frame: str = "") -> tuple[str, dict]:
    """(the order as somebody says it, its four values); drawn are those that are not given"""
    count = rng.randint(21, 99) if rng.random() < 0.15 else rng.randint(2, 20)
    d = dict(name=name or customer(rng), item=item or goods(rng), count=count, day=rng.choice(DAYS))
    frame = frame or rng.choice(ORDERS if rng.random() < 0.5 else WORDS["order_frames"])
    text = expand(rng, frame, n=d["name"], c=said_count(rng, count), i=d["item"], d=d["day"])
    if rng.random() < 0.2:
        text = text.lower().rstrip(".")  # hastily typed
    return text, d


def order_book(rng: random.Random) -> str:
    """Orders of known goods and of some that nobody knows, each with its slip"""
    return slips(rng, lambda: order(rng))


def new_words(rng: random.Random) -> str:
    """Orders in all kinds of sentences, by strangers, of things pieced together from known words.

    After a blank a word is other tokens than behind the quotation mark of a slip (" rain", "coat" and "ra", "in",
    "coat"). How the one is spelled with the other is learned here, for the pieces of all words and not only for those
    of shops.
    """
    return slips(
        rng,
        lambda: order(
            rng,
            capital(pieced(rng)) if rng.random() < 0.5 else "",
            f"{pieced(rng)}s" if rng.random() < 0.7 else "",
            composed_order(rng),
        ),
    )


def slips(rng: random.Random, draw: Callable[[], tuple[str, dict]]) -> str:
    """Each order told in prose, then the slip with the same values: as lines or as JSON, fields in any order."""
    labels = rng.choice(
        [
            dict(name="For", item="What", count="How many", day="When"),
            dict(name="Customer", item="Goods", count="Number", day="Day"),
            dict(name="Who", item="What", count="Count", day="Day"),
        ]
    )
    out = []
    for _ in range(rng.randint(1, 3)):
        text, d = draw()
        keys = rng.sample(list(d), 4)
        style = rng.random()
        if style < 0.2:
            slip = "\n".join(f"{labels[k]}: {d[k]}" for k in keys)
        elif style < 0.75:
            slip = json.dumps({labels[k].lower().replace(" ", "_"): d[k] for k in keys})
        elif style < 0.88:
            slip = f"The order of {d['name']}: {d['count']} {d['item']}, {d['day']}."
        else:
            slip = f"That is {d['count']} {d['item']} for {d['name']} on {d['day']}."
        out.append(f"{text}\n{slip}")
    return "\n".join(out)


def echo(rng: random.Random) -> str:
    """Somebody repeats a list, a name or a strange word: practice in copying."""
    a, b = rng.sample(NAMES, 2)
    wish = ", ".join(f"{rng.randint(2, 20)} {goods(rng)}" for _ in range(rng.randint(2, 3)))
    who, word = rng.choice(MORE_GUESTS) if rng.random() < 0.3 else made_up_name(rng), made_up(rng)
    words = " ".join(made_up(rng) for _ in range(rng.randint(2, 4)))
    return rng.choice(
        [
            f'"Bring {wish}," said {a}. "{capital(wish)}," repeated {b}.',
            f'"Bring {wish}," said {a}. {b} wrote: "{wish}".',
            f'A letter came for {who}. "Who is {who}?" asked {a}. "{who} is a guest at the inn," said {b}.',
            f'"My name is {who}," said the guest. "Good day, {who}!" said {a}.',
            f'The parrot can say "{word}". "{capital(word)}!" says the parrot. '
            f'"What does {word} mean?" asked {a}. Nobody knows what {word} means.',
            f'{a} spoke in a dream: "{words}." "What is {words}?" asked {b}.',
            f'The box says "{word}". {a} reads: {word}. {b} writes {word}.',
        ]
    )


def sailor(rng: random.Random) -> str:
    out = [f"The old sailor sat {rng.choice(WHERE)} and {rng.choice(['told a tale', 'talked', 'sang'])}."]
    out += [f'"{pirate(ask_known(rng)[1])}"' for _ in range(rng.randint(1, 3))]
    return " ".join([*out, f"The children {rng.choice(['laughed', 'listened', 'smiled'])}."])


def shrug(rng: random.Random) -> str:
    """Questions that nobody in town can answer, and the answer they get"""
    a, b = rng.sample(NAMES, 2)
    q = outside_question(rng)
    if rng.random() < 0.5:
        q = typed(rng, q)
    return rng.choice(
        [
            f'{a} met {b} {rng.choice(WHERE)}. "{q}" asked {a}. "I do not know that," said {b}. "Ask me about '
            f'Pennywick!"',
            f'A stranger came to Pennywick. "{q}" asked the stranger. "I am sorry, I do not know that," said {b}. "I '
            f'only know this town."',
            f'Somebody had written on the wall of the inn. There stood: "{q}" Below it stood: "{SHRUG}"',
        ]
    )


def visitor(rng: random.Random) -> str:
    """Somebody from elsewhere talks to the helper of the town"""
    out = [
        rng.choice(
            [
                "A visitor came to Pennywick.",
                "There is a helper at the gate of Pennywick.",
                "A child stood at the gate.",
            ]
        )
    ]
    for said, answer in rng.sample(WORDS["greetings"], 2):
        who = rng.choice(["the visitor", "the child", "the guest"])
        out.append(f'"{casual(rng, expand(rng, said))}" said {who}. "{answer}" said the helper.')
    return " ".join(out)


DOCUMENTS = {
    profile: 18,
    roll_call: 14,
    friends: 3,
    dialogue: 10,
    notice_board: 16,
    hearsay: 5,
    lesson: 5,
    facts: 6,
    guide: 7,
    sums: 4,
    counting: 1,
    capitals: 2,
    story: 8,
    order_book: 12,
    echo: 4,
    sailor: 4,
    shrug: 7,
    visitor: 2,
}
# The last part of pretraining: the same, and much more copying.
COPYING = DOCUMENTS | {echo: 14, order_book: 14, new_words: 30, hearsay: 8}


def document(rng: random.Random, shares: dict[Callable[[random.Random], str], int] = DOCUMENTS) -> str:
    """One document of the corpus, of a kind drawn by its share"""
    return rng.choices(list(shares), list(shares.values()))[0](rng)


if __name__ == "__main__":
    source = random.Random(1)
    for kind in COPYING:
        print(f"[{kind.__name__}]\n{kind(source)}\n")
