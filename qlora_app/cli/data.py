"""Data looked at from a terminal: its format and why, what of it can be learned, and
three examples as the model gets them.
"""

import argparse
import contextlib
import json
import os
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.text import Text

from ..base_models import facts_here
from ..data_report import DataReport, Place, TokenCounts, examine, starter_tokenizer
from ..errors import UserError
from ..formatting import size
from ..hub import HubUnavailable
from ..messages import IGNORED
from ..overrides import recipe_from
from ..settings import Settings
from ..tasks.chat import Encoded, encode
from ..training_data import DatasetChoice
from ..training_data.format_choice import settings_of
from ..training_data.sources.hub import fetch_data, look_up, paths_of
from ..training_data.store import with_turns
from .command import DONE, MISTAKE, add_command, add_reading, stdout

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

LONGEST = 2048  # tokens, if nothing else is asked for
_SHOWN_TOKENS = 300


def find_data(name: str, choice: DatasetChoice, settings: Settings, screen: Console) -> Place:
    """A file or folder by its path or its name in the data folder, or a dataset of the Hub, which is downloaded.

    Raises UserError where there is none, or where it may not be read.
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
    known: dict[str, Any] = {"commit": pinned.revision, "subset": pinned.subset, "split": pinned.split}
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


def show(report: DataReport, choice: DatasetChoice, max_length: int, out: Console) -> None:
    """A report in words, and its examples with what is learned between ⟦ and ⟧."""
    if report.tokens is None:  # a person has to be asked first
        out.print(Text("\n".join([*report.messages, *_guess_lines(report)])), soft_wrap=True)
        return
    rows = f"{report.rows_in_file:,} rows: {report.rows_trainable:,} to learn from, {len(report.left_out):,} left out."
    lines = [*_hub_lines(report.hub), f"{report.because}.", rows, _token_line(report.tokens, max_length)]
    out.print(Text("\n".join([*lines, *report.messages])), soft_wrap=True)
    tokenizer = starter_tokenizer()
    for number, conversation in enumerate(report.examples, start=1):
        example = encode(tokenizer, with_turns(conversation, choice.turns), max_length)
        learned = sum(label != IGNORED for label in example.labels)
        out.print(Text(f"\nExample {number}: {len(example.input_ids):,} tokens, {learned:,} learned", style="bold"))
        out.print(_with_marks(tokenizer, example), soft_wrap=True)


def _guess_lines(report: DataReport) -> list[str]:
    """Every guess of data that asks, as it is written on the command line."""
    if not report.guesses:
        return []
    return ["How it may be meant, the likeliest first:", *[f"  {settings_of(guess)}" for guess in report.guesses]]


def _hub_lines(hub: dict[str, Any]) -> list[str]:
    if not hub:
        return []
    choices = [f"{name.capitalize()}: {hub[name]}{_among(hub.get(f'{name}s', []))}" for name in ("subset", "split")]
    return [*choices, f"Commit: {hub['commit']}"]


def _token_line(tokens: TokenCounts, max_length: int) -> str:
    return (
        f"Tokens an example, by the starter's tokenizer ({tokens.examples:,} counted): half have at most "
        f"{tokens.median:,}, 95 of 100 at most {tokens.p95:,}, the longest {tokens.longest:,}; {tokens.cut:,} are cut "
        f"at {max_length:,}."
    )


def _among(names: list[str]) -> str:
    if len(names) < 2:
        return ""
    return f" (there are {', '.join(names[:20])})"


def _with_marks(tokenizer: "PreTrainedTokenizerBase", example: Encoded) -> Text:
    """What the model sees, special tokens included; what it learns is green and between marks."""
    shown = Text()
    pairs = zip(example.input_ids[:_SHOWN_TOKENS], example.labels, strict=False)
    for learned, group in groupby(pairs, key=lambda pair: pair[1] != IGNORED):
        text = tokenizer.decode([i for i, _ in group])
        if learned:
            shown.append(f"⟦{text}⟧", style="green")
        else:
            shown.append(text)
    if len(example.input_ids) > _SHOWN_TOKENS:
        shown.append(" …")
    return shown


def add_data(commands: Any) -> None:
    parser = add_command(commands, "data", data_command)
    words = "a data file or folder, its name in the data folder, or a dataset of the Hub (owner/name)"
    parser.add_argument("file", metavar="FILE", help=words)
    add_reading(parser)
    parser.add_argument(
        "--max-length", metavar="N", type=int, default=LONGEST, help=f"longest example in tokens (default {LONGEST})"
    )


def data_command(given: argparse.Namespace, settings: Settings) -> int:
    """Look at data: its format and why, what can be learned from it, three examples. Exit code 2 when it is refused."""
    recipe = recipe_from("starter", given.changes, settings)
    choice, model = recipe.dataset, facts_here(recipe.base_model)
    place = find_data(given.file, choice, settings, given.screen)
    report = examine(place, choice, given.max_length, settings, model)
    if given.json:
        print(json.dumps(report.to_json(), ensure_ascii=False))
    elif report.action == "refuse":
        raise UserError("dataset.refused", "{why}", why="\n".join(report.messages))
    else:
        longest = min(given.max_length, model.context or given.max_length) if model else given.max_length
        show(report, choice, longest, stdout())
    if report.action == "refuse":
        return MISTAKE
    return DONE
