"""Data looked at from a terminal: its format and why, what of it can be learned, and three examples as the model gets
them.
"""

import contextlib
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from ..base_models import ModelChoice
from ..base_models.loading import load_tokenizer
from ..errors import UserError
from ..formatting import size
from ..hub import HubUnavailable
from ..messages import IGNORED, Conversation, flatten
from ..settings import Settings
from ..tasks.chat import (
    Encoded,
    encode,
    ensure_template,
    has_loss,
)
from ..tasks.preview import measured
from ..training_data import DatasetChoice
from ..training_data.conversations import FileContents, LeftOut, read_file
from ..training_data.formats.columns import AskColumns
from ..training_data.sources.hub import fetch_data, look_up, paths_of
from ..training_data.store import with_turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

SHOWN = 3  # examples
SAMPLE = 500  # examples whose tokens are counted
MOST_TRIED = 2000  # long questions whose tokens are counted, one by one
LONGEST = 2048  # tokens, if nothing else is asked for
_SHOWN_TOKENS = 300


@dataclass(frozen=True)
class Place:
    """What is looked at: a name for sentences, where its rows are, and what the Hub says of it, if it comes from
    there.
    """

    name: str
    files: Path | Sequence[Path]
    hub: dict[str, Any] = field(default_factory=dict)


def find_data(name: str, choice: DatasetChoice, settings: Settings, screen: Console) -> Place:
    """A file or folder by its path or its name in the data folder, or a dataset of the Hub, which is downloaded. Raises
    UserError.
    """
    for path in (Path(os.path.expanduser(name)), settings.data / name):
        if path.exists():
            if not os.access(path, os.R_OK):
                raise UserError(
                    "file.not_readable", "{name} may not be read by you. Change its permissions, or copy it.", name=name
                )
            return Place(path.name, path)
    wanted = choice.model_copy(update={"source": "hub", "id": name})
    if "/" not in name or name.startswith((".", "/", "~")) or wanted.problems():
        raise UserError(
            "dataset.file_not_there",
            "There is no file {name}, neither here nor in the data folder {folder}.",
            name=name,
            folder=settings.data,
        )
    return _of_the_hub(wanted, settings, screen)


def _of_the_hub(wanted: DatasetChoice, settings: Settings, screen: Console) -> Place:
    pinned = download(wanted, settings, screen)
    known = {"commit": pinned.revision, "subset": pinned.subset, "split": pinned.split}
    with contextlib.suppress(HubUnavailable):  # what is here can be looked at without the Hub
        layout = look_up(wanted, settings.token)
        known |= {
            "subsets": list(layout.subsets),
            "splits": list(layout.splits(pinned.subset)),
            "licence": layout.licence,
        }
    return Place(wanted.id, paths_of(pinned, settings.data), known)


def download(choice: DatasetChoice, settings: Settings, screen: Console) -> DatasetChoice:
    """Data of the Hub onto this machine, with its progress on the screen; the choice pinned to it. Raises UserError."""
    with screen.status(f"Looking at {choice.id}") as status:

        def on_progress(arrived: int, total: int) -> None:
            status.update(f"Downloading {choice.id}: {size(arrived)} of {size(total)}")

        pinned, warning = fetch_data(choice, settings.data, settings.token, on_progress, lambda: False)
    if warning:
        screen.print(Text(warning))
    return pinned


def examine(place: Place, choice: DatasetChoice, max_length: int, settings: Settings) -> dict[str, Any]:
    """All that can be said of data, as one object for JSON; `action` is accept, accept_with_warning, ask or refuse.

    rows_in_file == rows_trainable + len(left_out) wherever the rows could be counted. Raises OSError.
    """
    found = (
        {"file": place.name}
        | ({"hub": place.hub} if place.hub else {})
        | {
            "action": "refuse",
            "format": None,
            "because": None,
            "rows_in_file": None,
            "rows_trainable": None,
            "left_out": [],
            "user": None,
            "answer": None,
            "messages": [],
            "examples": [],
        }
    )
    try:
        data = read_file(place.files, place.name, choice.format, choice.columns, settings, encoding=choice.encoding)
    except UserError as error:
        found |= {
            "messages": [str(error)],
            "format": getattr(error, "format", None),
            "rows_in_file": getattr(error, "rows", None),
        }
        if isinstance(error, AskColumns):
            return found | {"action": "ask", "columns": error.columns}
        return found | {"rows_trainable": 0}
    left_out = data.left_out + _without_answer(data, choice, max_length)
    warnings = list(data.warnings)
    if cut := len(left_out) - len(data.left_out):
        warnings.append(
            f"{cut:,} of {data.rows:,} rows have no token to learn: what comes before the answer is longer than "
            f"{max_length:,} tokens (first: row {left_out[-cut].row})."
        )
    trainable = data.rows - len(left_out)
    return found | {
        "action": "refuse" if not trainable else "accept_with_warning" if warnings else "accept",
        "format": data.format,
        "because": data.because,
        "rows_in_file": data.rows,
        "rows_trainable": trainable,
        "left_out": [
            {"row": one.row, "line": one.line, "reason": one.reason, **({"file": one.file} if one.file else {})}
            for one in left_out
        ],
        "user": data.user,
        "answer": data.answer,
        "messages": warnings,
        "examples": data.conversations[:SHOWN],
        "tokens": _tokens(data, max_length),
    }


@lru_cache(maxsize=1)
def tokenizer() -> "PreTrainedTokenizerBase":
    """The starter's; other models count somewhat fewer tokens."""
    made = load_tokenizer(ModelChoice())
    ensure_template(made)
    return made


def _without_answer(data: FileContents, choice: DatasetChoice, max_length: int) -> list[LeftOut]:
    """Rows of which nothing would be learned, because the question alone fills the longest example. Only long ones are
    tried.
    """
    long = [i for i, one in enumerate(data.conversations) if _asked_bytes(one) > max_length - 64 * len(one)][
        :MOST_TRIED
    ]
    reason = f"its question alone is longer than {max_length:,} tokens"
    return [
        LeftOut(data.numbers[i], data.lines[i] or None, reason)
        for i in long
        if not has_loss(encode(tokenizer(), with_turns(data.conversations[i], choice.turns), max_length).labels)
    ]


def _asked_bytes(conversation: Conversation) -> int:
    """Of all that stands before the first answer: no text has more tokens than bytes, and a template adds a few a
    turn.
    """
    first = next((i for i, turn in enumerate(conversation) if turn["role"] not in ("system", "user", "tool")), 0)
    return sum(len(turn["content"].encode()) for turn in flatten(conversation[:first]))


def _tokens(data: FileContents, max_length: int) -> dict[str, int]:
    """Lengths of examples from all over the file, in tokens."""
    *_, lengths = measured(tokenizer(), data.conversations, SAMPLE, pause=float("inf"))
    return {
        "examples": len(lengths.tokens),
        "median": lengths.quantile(0.5),
        "p95": lengths.quantile(0.95),
        "longest": max(lengths.tokens),
        "cut": len(lengths.cut(max_length)),
    }


def show(found: dict[str, Any], choice: DatasetChoice, max_length: int, out: Console) -> None:
    """The same in words, and the first examples with what is learned between ⟦ and ⟧."""
    if found["action"] == "ask":
        out.print(Text("\n".join(found["messages"])), soft_wrap=True)
        return
    tokens, hub = found["tokens"], found.get("hub", {})
    lines = [
        *(
            [f"{name.capitalize()}: {hub[name]}{_among(hub.get(f'{name}s', []))}" for name in ("subset", "split")]
            if hub
            else []
        ),
        *([f"Commit: {hub['commit']}"] if hub else []),
        found["because"] + ".",
        f"{found['rows_in_file']:,} rows: {found['rows_trainable']:,} to learn from, {len(found['left_out']):,} left "
        f"out.",
        f"Tokens an example, by the starter's tokenizer ({tokens['examples']:,} counted): half have at most "
        f"{tokens['median']:,}, "
        f"95 of 100 at most {tokens['p95']:,}, the longest {tokens['longest']:,}; {tokens['cut']:,} are cut at "
        f"{max_length:,}.",
        *found["messages"],
    ]
    out.print(Text("\n".join(lines)), soft_wrap=True)
    with_mask = tokenizer()
    for number, conversation in enumerate(found["examples"], start=1):
        example = encode(with_mask, with_turns(conversation, choice.turns), max_length)
        learned = sum(label != IGNORED for label in example.labels)
        out.print(Text(f"\nExample {number}: {len(example.input_ids):,} tokens, {learned:,} learned", style="bold"))
        out.print(_with_marks(with_mask, example), soft_wrap=True)


def _among(names: list[str]) -> str:
    return f" (there are {', '.join(names[:20])})" if len(names) > 1 else ""


def _with_marks(with_mask: "PreTrainedTokenizerBase", example: Encoded) -> Text:
    """What the model sees, special tokens included; what it learns is green and between marks."""
    shown = Text()
    pairs = zip(example.input_ids[:_SHOWN_TOKENS], example.labels, strict=False)
    for learned, group in groupby(pairs, key=lambda pair: pair[1] != IGNORED):
        text = with_mask.decode([i for i, _ in group])
        shown.append(f"⟦{text}⟧" if learned else text, style="green" if learned else "")
    return shown.append(" …" if len(example.input_ids) > _SHOWN_TOKENS else "")
