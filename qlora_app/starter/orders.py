"""Pretraining documents of the order book: orders as people say them, and the slips that are written of them."""

import json
import random
from collections.abc import Callable
from typing import Any

from .wordings import (
    composed_order,
    look_alike,
    made_up_name,
    made_up_things,
    pieced,
)
from .world import (
    COLOURS,
    DAYS,
    GUESTS,
    ITEMS,
    NAMES,
    NUMBERS,
    WORDS,
    capital,
    expand,
)

MORE_GUESTS = WORDS["more_guests"].split()


def customer(rng: random.Random) -> str:
    """A citizen, a guest of the inn or somebody nobody has heard of"""
    draw = rng.random()
    if draw < 0.35:
        return rng.choice(NAMES)
    if draw < 0.55:
        return rng.choice([*GUESTS, *MORE_GUESTS])
    if draw < 0.93:
        return made_up_name(rng)
    return look_alike(rng)


def goods(rng: random.Random) -> str:
    """Something to order: half of the time a thing that no shop has"""
    colour = rng.choice(COLOURS) + " " if rng.random() < 0.25 else ""
    if rng.random() >= 0.5:
        return colour + made_up_things(rng)
    items = ITEMS if rng.random() < 0.6 else WORDS["more_items"]
    return colour + rng.choice(items)


def said_count(rng: random.Random, count: int) -> str:
    """A number as people say it: up to twenty in figures or in words"""
    if count <= 20 and rng.random() < 0.5:
        return NUMBERS[count]
    return str(count)


ORDERS = (
    "<n> {wants|needs|would like|ordered|asks for} <c> <i> {on|for|by} <d>.",
    "{Please bring|Bring|Send|Please take} <c> <i> to <n> on <d>.",
    "On <d> <n> {wants|needs|would like} <c> <i>.",
    "<c> <i> for <n>, {please, |}on <d>.",
    "<d>: <c> <i> for <n>.",
    "<n> {came|wrote|called} and asked for <c> <i>. {Please bring them on|They must be ready by|It is for} <d>.",
    "{Hello|Good morning}, this is <n>. {I need|I would like|Please send me} <c> <i> {for|on|by} <d>.",
)


def order(rng: random.Random, name: str = "", item: str = "", frame: str = "") -> tuple[str, dict[str, Any]]:
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
    return slips(rng, lambda: strange_order(rng))


def strange_order(rng: random.Random) -> tuple[str, dict[str, Any]]:
    name = capital(pieced(rng)) if rng.random() < 0.5 else ""
    item = f"{pieced(rng)}s" if rng.random() < 0.7 else ""
    return order(rng, name, item, composed_order(rng))


def slips(rng: random.Random, draw: Callable[[], tuple[str, dict[str, Any]]]) -> str:
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
