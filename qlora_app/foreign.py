"""Does the starter know what this data is about? It has read about one made-up town, and nothing else."""

import functools
import json
import re
from collections.abc import Sequence
from pathlib import Path

from . import starter
from .errors import UserError
from .messages import Conversation, flatten
from .preflight import examples_of
from .training_data import DatasetChoice

FOREIGN = (
    "The Pennywick starter has read about one made-up town and nothing else. What it learns from other data comes out "
    "as noise."
)
LOOKED_AT = 300  # rows from all over
AT_HOME = 0.4  # of the rows: of the starter's own sets 0.77 and more are about its town, of other data hardly any
KNOWN_WORDS = 0.7  # of a row's words: one it knows is a single token
_WORD = re.compile(r"[^\W_]+")


def starter_warning(data: DatasetChoice, data_folder: Path) -> str:
    """What is to be said before the starter is trained on `data`; empty for data it knows, and for data that cannot
    be read or is not here.
    """
    return FOREIGN if is_known_as_foreign(data, data_folder) else ""


def is_known_as_foreign(data: DatasetChoice, data_folder: Path) -> bool | None:
    """Is this data about something else than the starter's town? None for data that cannot be read or is not here."""
    if data.source == "starter":
        return False
    if not data.id:
        return None
    try:
        return is_foreign(examples_of(data, data_folder).train)
    except (UserError, OSError):  # whoever reads it says why
        return None


def is_foreign(conversations: Sequence[Conversation]) -> bool:
    """Is too little of it about the town that the starter knows? Looks at some rows from all over."""
    step = max(1, len(conversations) // LOOKED_AT)
    rows = [_text(conversations[place]) for place in range(0, len(conversations), step)]
    at_home = sum(_is_at_home(row) for row in rows)
    return at_home < AT_HOME * len(rows)


def _text(conversation: Conversation) -> str:
    return " ".join(turn["content"] for turn in flatten(conversation))


def _is_at_home(row: str) -> bool:
    """Does it name a person or a street of the town, in words the starter has read?"""
    words = _WORD.findall(row)
    known = sum(word in _vocabulary() for word in words)
    return known >= KNOWN_WORDS * len(words) and bool(_names().search(row))


@functools.cache
def _vocabulary() -> frozenset[str]:
    """Every word that is one token of the starter."""
    tokens = json.loads((starter.BASE / "tokenizer.json").read_text(encoding="utf-8"))["model"]["vocab"]
    return frozenset(token.removeprefix("Ġ") for token in tokens)


@functools.cache
def _names() -> re.Pattern[str]:
    from .starter.world import MEN, STREETS, WOMEN  # reads all words of the town: not at the start of the app

    names = "|".join([*WOMEN, *MEN, *STREETS, "Pennywick"])
    return re.compile(rf"\b(?:{names})\b", re.IGNORECASE)
