"""Pretraining documents about Pennywick: little stories, profiles, talk, lessons, the order book, the sailor.

Every document is drawn from a seeded random.Random, so the corpus is reproducible and needs no file.
Questions asked inside documents are only ever about facts that are not held out (see world.py).
"""

import random
from collections.abc import Callable

from .orders import MORE_GUESTS, goods, new_words, order_book
from .school import capitals, counting, facts, guide, lesson, sums
from .talk import ask_known, asked, pirate
from .wordings import (
    made_up,
    made_up_name,
    outside_question,
    typed,
)
from .world import (
    BY_NAME,
    NAMES,
    PEOPLE,
    PERSON_FACTS,
    SHARED,
    SHRUG,
    STREETS,
    WORDS,
    capital,
    casual,
    expand,
)

WHERE = WORDS["where"]
KNOWN_SHARED = [f for f in SHARED if not f.held_out]


def profile(rng: random.Random) -> str:
    """Three to five sentences about one person; later ones may say 'he' or 'she'."""
    p = BY_NAME[rng.choice(NAMES)]
    kinds = rng.sample(["job", "house", "pet", "food", "hobby"], rng.randint(3, 5))
    out = []
    for i, kind in enumerate(kinds):
        text = rng.choice(PERSON_FACTS[p.name][kind].prose)
        if i and rng.random() < 0.45 and text.startswith(p.name):
            if text.startswith(p.name + "'s"):
                text = capital(p.his) + text[len(p.name) + 2 :]
            else:
                text = capital(p.he) + text[len(p.name) :]
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
    if draw < 0.75:
        return title + "\n" + body
    return body


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
