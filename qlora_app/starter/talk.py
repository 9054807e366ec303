"""How the town talks: the questions that may be asked of it, and the old sailor's way of answering."""

import random
import re

from .wordings import (
    ask_freely,
)
from .world import (
    GENERAL,
    NAMES,
    PERSON_FACTS,
    SHARED,
    SUMS,
    Ask,
    question,
)

KNOWN = [f for facts in PERSON_FACTS.values() for f in facts.values() if not f.held_out]
KNOWN += [f for f in SHARED + GENERAL if not f.held_out]
KNOWN_SUMS = [f for f in SUMS if not f.held_out]

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
    if rng.random() < 0.5:
        return question(rng, ask.wordings)
    return ask_freely(rng, ask)


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
