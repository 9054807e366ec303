"""How people ask, in the corpus and in the instruction data, and what the tests keep for themselves.

A question is asked directly, through a clause ("do you know where Mira lives") or by naming the thing ("Mira's house
please"); then it is typed as people type. No text made here holds a wording, question or word kept for the tests.
"""

import random
import re

from .world import (
    CHOICE,
    NAMES,
    PET_NAMES,
    PETS,
    WORDS,
    Ask,
    a_or_an,
    capital,
    choose,
    expand,
    make_fact,
)

STATEMENTS = {
    "Tell",
    "Describe",
    "Count",
    "I",
    "I'd",
    "Give",
    "Let",
    "Please",
    "Say",
    "Calculate",
    "Work",
    "Talk",
    "Name",
}
STRANGERS = WORDS["strangers"].split()


def plain(text: str) -> str:
    """Small letters, no punctuation: two questions with the same plain form are the same question."""
    return re.sub(r"[^a-z0-9' +-]", "", text.lower()).strip()


def _kept_wordings() -> re.Pattern:
    texts = [w for key in ("free_wordings", "dev_wordings") for ws in WORDS[key].values() for w in ws]
    names = "(" + "|".join(n.lower() for n in NAMES) + ")"
    parts = [re.escape(plain(re.sub(r"<(his|he)>", "xhisx", w).replace("<n>", "xnamex"))) for w in texts]
    return re.compile("|".join(p.replace("xnamex", names).replace("xhisx", "(?:his|her|he|she)") for p in parts))


KEPT_WORDINGS = _kept_wordings()
KEPT_QUESTIONS = {plain(q) for key in ("unknown_test", "unknown_fresh", "unknown_dev") for q in WORDS[key]}
KEPT_WORDS = {w.lower() for key in ("new_names", "new_items", "dev_names", "dev_items") for w in WORDS[key].split()}
# not for tests, and not for the instruction data alone, which may change without the corpus
TOLD = {key: texts for key, texts in WORDS.items() if not key.startswith(("new_", "dev_", "free_", "unknown_", "here"))}
KNOWN_WORDS = sorted(set(re.findall(r"\b[a-z]{4,}\b", str(TOLD).lower())) - KEPT_WORDS)


def is_kept(text: str) -> bool:
    """Whether a question is one of those that only the test and development files may ask."""
    bare = plain(text)
    return bare in KEPT_QUESTIONS or KEPT_WORDINGS.search(bare) is not None


def punctuated(text: str) -> str:
    return capital(text) + ("." if capital(text.split()[0]) in STATEMENTS else "?")


def ask_freely(rng: random.Random, ask: Ask) -> str:
    """One of the very many wordings of a question, with capital and full stop or question mark"""
    while True:
        forms = ask.forms
        kind = rng.choice(["ask", "ask", "ask"] + [form for form in ("clause", "thing") if forms[form]])
        text = choose(rng, rng.choice(forms[kind]))
        if kind != "ask":
            text = choose(rng, rng.choice(WORDS[f"{kind}_frames"])).replace("<q>", text)
        if not is_kept(text):
            return punctuated(text)


def typo(rng: random.Random, text: str) -> str:
    """One slip of the finger in a word that is no name: two letters swapped, one left out or one doubled."""
    words = text.split()
    at = [i for i, w in enumerate(words) if w.isalpha() and len(w) > 3 and (i == 0 or w.islower())]
    if not at:
        return text
    i = rng.choice(at)
    w, k = words[i], rng.randint(1, len(words[i]) - 2)
    words[i] = rng.choice([w[:k] + w[k + 1] + w[k] + w[k + 2 :], w[:k] + w[k + 1 :], w[:k] + w[k] + w[k:]])
    return " ".join(words)


BEFORE_A_QUESTION = (
    "please ",
    "hey, ",
    "hi, ",
    "so ",
    "ok, ",
    "tell me, ",
    "and ",
    "sorry, ",
    "excuse me, ",
    "hello, ",
)


def typed(rng: random.Random, text: str) -> str:
    """How people type: no capitals, no question mark, short forms, a polite word, sometimes a slip."""
    style = rng.random()
    if style < 0.45:
        return text
    q = text[:-1] if text[-1] in "?." else text
    if rng.random() < 0.08:
        q = typo(rng, q)
    if style < 0.85:
        q = q.lower()
    if rng.random() < 0.3:
        q = re.sub(r"\b([Ww]hat|[Ww]ho|[Ww]here) is\b", rng.choice([r"\1s", r"\1's"]), q)
    if rng.random() < 0.12:
        q = rng.choice(BEFORE_A_QUESTION) + q
    q += rng.choice(["", "", "?", "??", " ?", " please", ".", "!"])
    if is_kept(q):
        return text
    return q


# ---- how people order ----

PART = re.compile(r"<(\w\w+)>")


def every_choice(text: str) -> list[str]:
    """'{a|b} c' -> ['a c', 'b c']"""
    found = CHOICE.search(text)
    if not found:
        return [text]
    before, after = text[: found.start()], text[found.end() :]
    options = found.group(1).split("|")
    return [text for option in options for text in every_choice(before + option + after)]


KEPT_ORDERS = [
    plain(one)
    for key in ("free_order_frames", "dev_order_frames")
    for frame in WORDS[key]
    for one in every_choice(frame)
]


def composed_order(rng: random.Random) -> str:
    """A sentence frame with <n> <c> <i> <d>, put together from the parts of `order_talk`; never one that the tests keep
    for themselves
    """
    frame = "<order>"
    while PART.search(frame):
        frame = PART.sub(lambda part: rng.choice(WORDS["order_talk"][part.group(1)]), frame)
    frame = choose(rng, frame)
    if any(kept in plain(frame) for kept in KEPT_ORDERS):
        return composed_order(rng)
    return frame


# ---- words and names that nobody knows ----


def made_up(rng: random.Random) -> str:
    """A word that means nothing, of one of several shapes; never one that the tests keep for themselves."""
    starts, middles, ends = (part.split() for part in WORDS["letters"])
    shape = rng.random()
    if shape < 0.15:
        word = "".join(rng.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(rng.randint(3, 6)))
    else:
        word = ""
        for _ in range(rng.choice([1, 2, 2, 2, 3])):
            word += rng.choice(starts) + rng.choice(middles)
            if rng.random() < 0.5:
                word += rng.choice(ends)
    if len(word) > 2 and word not in KEPT_WORDS:
        return word
    return made_up(rng)


def pieced(rng: random.Random) -> str:
    """The beginning of one known word and the end of another: 'lampimes'; never a word that the tests keep for
    themselves
    """
    first, second = rng.choice(KNOWN_WORDS), rng.choice(KNOWN_WORDS)
    word = first[: rng.randint(2, 5)] + second[-rng.randint(2, 5) :]
    if not {word, f"{word}s"} & KEPT_WORDS:
        return word
    return pieced(rng)


def made_up_name(rng: random.Random) -> str:
    name = capital(made_up(rng))
    if rng.random() < 0.5:
        name = name.rstrip("aeiouy") + rng.choice(WORDS["first_name_endings"].split())
    if name.lower() not in KEPT_WORDS:
        return name
    return made_up_name(rng)


def made_up_things(rng: random.Random) -> str:
    """A plural that no shop has: 'glonkers'"""
    word = made_up(rng) + rng.choice(WORDS["plural_endings"].split())
    if word not in KEPT_WORDS:
        return word
    return made_up_things(rng)


def look_alike(rng: random.Random) -> str:
    """Almost the name of somebody in town: a letter changed, left out or added."""
    name = rng.choice(NAMES).lower()
    i = rng.randrange(len(name))
    new = rng.choice("abdeiklmnorstuvz")
    name = capital(rng.choice([name[:i] + new + name[i + 1 :], name[:i] + name[i + 1 :], name[:i] + new + name[i:]]))
    if name in NAMES + PET_NAMES or name.lower() in KEPT_WORDS or len(name) < 3:
        return look_alike(rng)
    return name


def stranger(rng: random.Random) -> str:
    """The name of somebody who does not live in Pennywick"""
    draw = rng.random()
    if draw < 0.5:
        return rng.choice(STRANGERS)
    if draw < 0.7:
        return look_alike(rng)
    return made_up_name(rng)


# What a wording may mention; the facts of nobody and nothing fill it with blanks.
BLANK = dict.fromkeys(
    (
        "n",
        "he",
        "his",
        "job",
        "does",
        "colour",
        "street",
        "house",
        "pet",
        "a_pet",
        "petname",
        "food",
        "hobby",
        "place",
        "a_place",
        "can",
        "day",
        "animal",
        "a",
        "plural",
        "says",
        "home",
        "eats",
        "legs",
    ),
    "",
)


def elsewhere_ask(rng: random.Random) -> Ask:
    """A question in the town's own wordings about somebody or something the town does not have"""
    other = WORDS["elsewhere"]
    subject = rng.choice(["person"] * 5 + ["job", "job", "place", "place", "animal", "animal", "opposite"])
    if subject == "person":
        he, his = rng.choice([("she", "her"), ("he", "his")])
        pet = rng.choice(PETS)
        kind = rng.choice(["job", "house", "pet", "food", "hobby", "about"])
        person = dict(n=stranger(rng), he=he, his=his, pet=pet, a_pet="a " + pet, petname=stranger(rng))
        asks = make_fact(kind, **BLANK | person).asks
        if kind == "pet" and rng.random() < 0.3:
            return asks[1]
        return asks[0]
    if subject == "job":
        job, does = rng.choice(list(other["jobs"].items()))
        kind = rng.choice(["job", "job", "job+house", "job+pet", "job+food"])
        return make_fact(kind, **BLANK | dict(job=job, does=does)).asks[1 if kind == "job" else 0]
    if subject == "place":
        place, can = rng.choice(list(other["places"].items()))
        kind = rng.choice(["place_street", "place_can", "place_closed"])
        return rng.choice(make_fact(kind, **BLANK | dict(place=place, a_place="a " + place, can=can)).asks)
    if subject == "animal":
        animal = rng.choice(other["animals"])
        kind = rng.choice(["animal_says", "animal_home", "animal_eats", "animal_legs"])
        slots = dict(animal=animal, a=a_or_an(animal), plural=animal + "s", says="lalala")
        return make_fact(kind, **BLANK | slots).asks[0]
    return make_fact("opposite", one=rng.choice(other["words"]), two="").asks[0]


# the lists of questions that nobody in town can answer
OUTSIDE = ("unknown", "unknown_more", "traits", "traits", "unknown_questions", "unknown_questions")


def outside_question(rng: random.Random) -> str:
    """A question that nobody in town can answer: a general one, or in the town's own wordings about a stranger"""
    while True:
        if rng.random() < 0.35:
            return ask_freely(rng, elsewhere_ask(rng))
        text = expand(
            rng,
            rng.choice(WORDS[rng.choice(OUTSIDE)]),
            Z=stranger(rng),
            T=rng.choice(NAMES),
            J=rng.choice(list(WORDS["jobs"])),
        )
        if not is_kept(text):
            return text
