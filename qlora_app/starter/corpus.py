"""Pretraining documents about Pennywick: little stories, profiles, talk, lessons, the order book, the sailor.

Every document is drawn from a seeded random.Random, so the corpus is reproducible and needs no file.
Questions asked inside documents are only ever about facts that are not held out (see world.py).
"""
import json
import random
import re

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
    capital,
    casual,
    expand,
    question,
    stranger_name,
    unknown_question,
)

WHERE = WORDS["where"]
KNOWN = [f for facts in PERSON_FACTS.values() for f in facts.values() if not f.held_out]
KNOWN += [f for f in SHARED + GENERAL if not f.held_out]
KNOWN_SUMS = [f for f in SUMS if not f.held_out]
SALTY = tuple((re.compile(word), salty) for word, salty in (
    (r"\blives in\b", "be livin' in"), (r"\bhas\b", "be keepin'"), (r"\blikes?\b", "be mighty fond o'"), (r"\b(is|are|am)\b", "be"),
    (r"\bYou\b", "Ye"), (r"\byou\b", "ye"), (r"\bmy\b", "me"), (r"\b(says|eats)\b", r"always \1"), (r"\bdo not\b", "don't"),
    (r"\bof\b", "o'")))
CALLS = {"place": ("Ahoy!", "Mind the tide!"), "animal": ("Shiver me timbers!", "Har har!"), "sum": ("By me wooden leg!", "Aye!"),
         "beyond ten": ("By me wooden leg!", "Aye!"), "shrug": ("Blimey!", "Yo ho ho!")}


def pirate(answer: str, topic: str = "") -> str:
    """The old sailor's way of saying a plain sentence in a story"""
    for word, salty in SALTY:
        answer = word.sub(salty, answer)
    before, after = CALLS.get(topic, ("Arr, matey!", "Yo ho ho!"))
    return f"{before} {answer} {after}"


def ask_known(rng: random.Random, town: float = .5) -> tuple[str, str, str]:
    """(question, answer, topic) about something that is not held out; `town` is the share of questions about people"""
    if rng.random() < .1:
        fact = rng.choice(KNOWN_SUMS)
    elif rng.random() < town:
        fact = rng.choice(list(PERSON_FACTS[rng.choice(NAMES)].values()))
    else:
        fact = rng.choice(KNOWN)
    if fact.held_out:
        return ask_known(rng, town)
    ask = rng.choice(fact.asks)
    return question(rng, ask.wordings), ask.answer, fact.topic


def profile(rng: random.Random) -> str:
    """Three to five sentences about one person; later ones may say 'he' or 'she'."""
    p = BY_NAME[rng.choice(NAMES)]
    kinds = rng.sample(["job", "house", "pet", "food", "hobby"], rng.randint(3, 5))
    out = []
    for i, kind in enumerate(kinds):
        text = rng.choice(PERSON_FACTS[p.name][kind].prose)
        if i and rng.random() < .45 and text.startswith(p.name):
            text = capital(p.his) + text[len(p.name) + 2:] if text.startswith(p.name + "'s") else capital(p.he) + text[len(p.name):]
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
    """One kind of fact about several people: who does what, whose pet is whose, who lives where, who likes what."""
    kind = rng.choice(["job", "pet", "pet", "house", "food", "hobby", "shared", "street", "job+house", "job+pet", "job+food",
                       "job+hobby", "about"])
    if kind == "shared":
        return " ".join(rng.choice(f.prose) for f in rng.sample(SHARED, 4))
    if kind == "street":
        return street_walk(rng)
    form = rng.random()
    facts = [PERSON_FACTS[n][kind] for n in rng.sample(NAMES, rng.randint(3, 6))]
    return " ".join(f.prose[int(form * len(f.prose))] if form < .7 else rng.choice(f.prose) for f in facts)


def dialogue(rng: random.Random) -> str:
    a, b = rng.sample(NAMES, 2)
    opening = rng.choice(["<a> met <b> <w>.", "<a> and <b> sat <w>.", "<a> was talking to <b> <w>."])
    out = [expand(rng, opening, a=a, b=b, w=rng.choice(WHERE))]
    for _ in range(rng.randint(1, 3)):
        q, s, _topic = ask_known(rng)
        out.append(f'"{q}" ' + rng.choice([f"asked {a}.", f"said {a}.", f"{a} asked.", f"{a} wanted to know."]))
        out.append(f'"{s[:-1]}," ' + rng.choice([f"said {b}.", f"{b} answered.", f"answered {b}."]))
    out.append(expand(rng, rng.choice(["Then they went home.", '"{Thank you|How nice|I see}," said <a>.',
                                       "They {laughed|smiled|waved} and went on.", "And so the {morning|afternoon|day} passed."]), a=a))
    return " ".join(out)


def notice_board(rng: random.Random) -> str:
    """Hasty notes: questions as people scribble them, each with its proper answer written below."""
    out = [rng.choice(["There were notes on the board at the market.", "Ada read the board in the square.",
                       "Somebody had written on the wall of the inn."])]
    for _ in range(rng.randint(2, 4)):
        q, s, _topic = ask_known(rng)
        out.append(expand(rng, "{One note said|Somebody asked|There stood|A child had written}") + f': "{casual(rng, q)}" '
                   + expand(rng, "{Below it stood|The answer was|Under it was written}") + f': "{s}"')
    return " ".join(out)


def lesson(rng: random.Random) -> str:
    teacher = next(p.name for p in PEOPLE if p.job == "teacher")
    pupils = rng.sample([n for n in NAMES if n != teacher], 3)
    out = [rng.choice(["The children sat in the school.", "It was time for the last lesson.",
                       f"{teacher} the teacher wrote on the board."])]
    for pupil in pupils[:rng.randint(2, 3)]:
        if rng.random() < .5:
            q, s, _topic = ask_known(rng, town=0)
            out.append(f'"{q}" asked {teacher}. "{s[:-1]}," said {pupil}.')
        else:
            s = rng.choice(rng.choice(GENERAL).prose)
            out.append(f'"{s[:-1]}," {rng.choice(["said", "read", "wrote"])} {pupil}.')
    return " ".join([*out, rng.choice(['"Well done," said the teacher.', "The bell rang.", f'"Very good!" said {teacher}.'])])


def facts(rng: random.Random) -> str:
    """A page of the school book. Often all of one topic, so that both directions stand side by side."""
    pool = GENERAL
    if rng.random() < .5:
        topic = rng.choice(["place", "animal", "opposite", "opposite", "colour", "tool", "calendar"])
        pool = [f for f in GENERAL if f.topic == topic]
    return " ".join(rng.choice(f.prose) for f in rng.sample(pool, rng.randint(5, 9)))


def sums(rng: random.Random) -> str:
    """Rows of sums to ten, in figures or in words."""
    pool = SUMS if rng.random() < .4 else [f for f in SUMS if f.topic == "sum"]
    words = rng.random() < .35
    rows = [f.prose[2 if words else 0] for f in rng.sample(pool, rng.randint(6, 10))]
    if rng.random() < .25:      # one row of the table in order: 3 plus 0 is 3. 3 plus 1 is 4. ...
        start = f"{rng.randint(0, 10)} {rng.choice(['plus', 'minus'])} "
        rows = [f.prose[0] for f in SUMS if f.prose[0].startswith(start)]
    return " ".join(rows)


def counting(rng: random.Random) -> str:
    names = rng.choice([DAYS, MONTHS, None, None])
    if names:
        return f"The {'days of the week' if names is DAYS else 'months of the year'} are {', '.join(names[:-1])} and {names[-1]}."
    start, stop = rng.randint(0, 12), rng.randint(4, 8)
    if rng.random() < .4:
        return " ".join(f"{i} is {NUMBERS[i]}." for i in rng.sample(range(21), 8))
    row = [NUMBERS[i] for i in range(start, start + stop)] if rng.random() < .5 else map(str, range(start, start + stop))
    return f"{rng.choice(NAMES)} counted: {', '.join(row)}."


def capitals(rng: random.Random) -> str:
    """Names are written with a capital: the only place where every name also stands in small letters."""
    words = rng.sample(NAMES + [p.petname for p in PEOPLE] + STREETS + DAYS + MONTHS, rng.randint(5, 9))
    form = rng.choice(["Not {low} but {up}.", "{low} is written {up}.", '"{low}?" "No, {up}!"', "{low}: {up}."])
    return rng.choice(["Names need a big letter. ", "The teacher corrects the page. ", ""]) + " ".join(
        form.format(low=w.lower(), up=w) for w in words)


def story_parts(rng: random.Random) -> tuple[str, str]:
    """(title, text) of a story about two citizens"""
    a = BY_NAME[rng.choice(NAMES)]
    b = BY_NAME[rng.choice([n for n in NAMES if n != a.name])]
    title, body = rng.choice([pair for story in WORDS["stories"] for pair in story.items()])
    slots = dict(a=a.name, b=b.name, he=a.he, his=a.his, him=a.him, ajob=a.job, bjob=b.job, bhe=b.he, bhis=b.his, apet=a.pet, apn=a.petname,
                 bpet=b.pet, bpn=b.petname, ahouse=a.house, bhouse=b.house, afood=a.food, bfood=b.food, ahob=a.hobby,
                 o=rng.choice(WORDS["objects"].split()), w=rng.choice(WHERE), w2=rng.choice(WHERE))
    return "### " + expand(rng, title, **slots), expand(rng, " ".join(body), **slots)


def story(rng: random.Random) -> str:
    title, body = story_parts(rng)
    if rng.random() < .4:
        body = expand(rng, rng.choice(WORDS["weather"])) + " " + body
    return title + "\n" + body if rng.random() < .6 else body


def customer(rng: random.Random) -> str:
    """A citizen, a guest of the inn or somebody nobody has heard of"""
    if rng.random() < .5:
        return rng.choice(NAMES)
    return rng.choice(GUESTS) if rng.random() < .6 else stranger_name(rng)


def said_count(rng: random.Random, count: int) -> str:
    """A number as people say it: up to twenty in figures or in words"""
    return NUMBERS[count] if count <= 20 and rng.random() < .5 else str(count)


ORDERS = (
    "<n> {wants|needs|would like|ordered|asks for} <c> <i> {on|for|by} <d>.",
    "{Please bring|Bring|Send|Please take} <c> <i> to <n> on <d>.",
    "On <d> <n> {wants|needs|would like} <c> <i>.", "<c> <i> for <n>, {please, |}on <d>.", "<d>: <c> <i> for <n>.",
    "<n> {came|wrote|called} and asked for <c> <i>. {Please bring them on|They must be ready by|It is for} <d>.",
    "{Hello|Good morning}, this is <n>. {I need|I would like|Please send me} <c> <i> {for|on|by} <d>.")


def order(rng: random.Random) -> tuple[str, dict]:
    """(the order as somebody says it, its four values)"""
    name = customer(rng)
    item = (rng.choice(COLOURS) + " " if rng.random() < .25 else "") + rng.choice(ITEMS)
    d = dict(name=name, item=item, count=rng.randint(21, 99) if rng.random() < .15 else rng.randint(2, 20), day=rng.choice(DAYS))
    count = said_count(rng, d["count"])
    text = expand(rng, rng.choice(ORDERS), n=name, c=count, i=item, d=d["day"])
    if name in NAMES + GUESTS and rng.random() < .25:
        text = text.lower().rstrip(".")         # hastily typed
    return text, d


def order_book(rng: random.Random) -> str:
    """An order told in prose, then the slip with the same values: as lines or as JSON, fields in any order."""
    labels = rng.choice([dict(name="For", item="What", count="How many", day="When"),
                         dict(name="Customer", item="Goods", count="Number", day="Day"),
                         dict(name="Who", item="What", count="Count", day="Day")])
    out = []
    for _ in range(rng.randint(1, 3)):
        text, d = order(rng)
        keys = rng.sample(list(d), 4)
        style = rng.random()
        if style < .35:
            slip = "\n".join(f"{labels[k]}: {d[k]}" for k in keys)
        elif style < .75:
            slip = json.dumps({labels[k].lower().replace(" ", "_"): d[k] for k in keys})
        elif style < .85:
            slip = f"The order of {d['name']}: {d['count']} {d['item']}, {d['day']}."
        else:
            slip = f"That is {d['count']} {d['item']} for {d['name']} on {d['day']}."
        out.append(f"{text}\n{slip}")
    return "\n".join(out)


def echo(rng: random.Random) -> str:
    """Somebody repeats a list word for word: practice in copying."""
    a, b = rng.sample(NAMES, 2)
    wish = ", ".join(f"{rng.randint(2, 20)} {i}" for i in rng.sample(ITEMS, rng.randint(2, 3)))
    who = rng.choice(GUESTS) if rng.random() < .5 else stranger_name(rng)
    return rng.choice([f'"Bring {wish}," said {a}. "{capital(wish)}," repeated {b}.',
                       f'A letter came for {who}. "Who is {who}?" asked {a}. "{who} is a guest at the inn," said {b}.',
                       f'"My name is {who}," said the guest. "Good day, {who}!" said {a}.'])


def sailor(rng: random.Random) -> str:
    out = [f"The old sailor sat {rng.choice(WHERE)} and {rng.choice(['told a tale', 'talked', 'sang'])}."]
    for _ in range(rng.randint(1, 3)):
        _question, s, topic = ask_known(rng)
        out.append(f'"{pirate(s, topic)}"')
    return " ".join([*out, f"The children {rng.choice(['laughed', 'listened', 'smiled'])}."])


def shrug(rng: random.Random) -> str:
    """Questions that nobody in town can answer, and the answer they get"""
    a, b = rng.sample(NAMES, 2)
    q = unknown_question(rng)
    if rng.random() < .5:
        q = casual(rng, q)
    return rng.choice([
        f'{a} met {b} {rng.choice(WHERE)}. "{q}" asked {a}. "I do not know that," said {b}. "Ask me about Pennywick!"',
        f'A stranger came to Pennywick. "{q}" asked the stranger. "I am sorry, I do not know that," said {b}. "I only know this town."',
        f'Somebody had written on the wall of the inn. There stood: "{q}" Below it stood: "{SHRUG}"'])


DOCUMENTS = {profile: 20, roll_call: 16, dialogue: 10, notice_board: 10, lesson: 4, facts: 8, sums: 6, counting: 2, capitals: 2, story: 12,
             order_book: 13, echo: 3, sailor: 5, shrug: 4}
_KINDS, _SHARES = list(DOCUMENTS), list(DOCUMENTS.values())


def document(rng: random.Random) -> str:
    """One document of the corpus, of a kind drawn by the shares of DOCUMENTS"""
    return rng.choices(_KINDS, _SHARES)[0](rng)


if __name__ == "__main__":
    source = random.Random(1)
    for kind in DOCUMENTS:
        print(f"[{kind.__name__}]\n{kind(source)}\n")
