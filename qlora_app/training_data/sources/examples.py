"""Where examples come from: the starter's datasets, the data folder, the Hub."""

import functools
import hashlib
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ... import starter
from ...errors import UserError
from ...messages import Conversation
from ...settings import Settings
from ..checks import (
    also_learned,
    overlap_warnings,
    question_number,
    same_key,
    sample_positions,
)
from ..choice import DatasetChoice
from ..conversations import FileContents, LeftOut, read_file
from ..formats.columns import AskColumns, ColumnMap
from ..read_cache import keys_of, read_cached, split
from ..store import ArrowConversations, Concat, with_turns
from .folder import fingerprint_of, place_of, stamp_of
from .hub import (
    NotHere,
    is_here,
    paths_of,
    resolve,
)


@dataclass(frozen=True)
class Examples:
    """What a run learns from and is measured with. Every row is used or left out; most used rows are one conversation
    each.
    """

    train: Sequence[Conversation]
    held_out: Sequence[Conversation]
    format: str
    fingerprint: str
    rows: int
    left_out: list[LeftOut]
    warnings: list[str]
    characters: int  # to learn from, 10 more for each turn; of a large file about
    because: str = ""
    repeated: int | None = None  # rows that repeat another one, if they were counted
    also_learned: Sequence[int] = ()  # places in held_out whose question is learned too, with another answer
    train_rows: Sequence[int] = ()  # of each conversation to learn from, its row in the data from 1
    held_out_rows: Sequence[int] = ()
    answer: str | None = None  # the column that answers

    @property
    def every(self) -> Sequence[Conversation]:
        """Those to train on, then those held out."""
        return Concat(self.train, self.held_out)

    @functools.cached_property
    def duplicates(self) -> int:
        """How many rows repeat another one, letter case and blanks aside."""
        return len(self.train) - len({same_key(one) for one in self.train}) if self.repeated is None else self.repeated


def load_examples(choice: DatasetChoice, data_folder: Path) -> Examples:
    """The conversations of a choice, those to train on and those held out. Raises UserError if there is nothing to
    train on.
    """
    problems = choice.problems()
    if problems:
        at_settings = {f"dataset.{field}": problem for field, problem in problems.items()}
        raise UserError.of(next(iter(problems.values())), at_settings)
    return _starter_examples(choice) if choice.source == "starter" else _own_examples(choice, data_folder)


def _own_examples(choice: DatasetChoice, data_folder: Path) -> Examples:
    data = _read(choice, data_folder)
    if choice.measured_with:
        return _with_held_out_data(
            choice, data, _read_held_out(choice.measured_with, data_folder), changed_since(choice, data_folder)
        )
    aside, both = split(data, choice.held_out_share, choice.split_seed)
    rest = sorted(set(range(len(data.conversations))).difference(aside))
    train, held_out = (_those(data.conversations, places, choice.turns) for places in (rest, aside))
    return Examples(
        train,
        held_out,
        data.format,
        _fingerprint(data.digest, f"{aside}", choice.turns),
        data.rows,
        data.left_out,
        [*changed_since(choice, data_folder), *data.warnings, *overlap_warnings(len(both), len(aside))],
        data.characters * len(train) // len(data.conversations),
        data.because,
        data.duplicates,
        both,
        *(_rows(data, places) for places in (rest, aside)),
        data.answer,
    )


def _read(choice: DatasetChoice, data_folder: Path) -> FileContents:
    limits = None if choice.is_upload else Settings.from_environment()  # an upload was checked when it came
    try:
        return read_cached(files_of(choice, data_folder), data_folder, choice, limits)
    except OSError as error:
        raise UserError.at(
            "dataset.id",
            "dataset.not_readable",
            "{name} cannot be read ({reason}). Change its permissions, or choose other data.",
            name=choice.title,
            reason=error.strerror,
        ) from error


def _read_held_out(choice: DatasetChoice, data_folder: Path) -> FileContents:
    try:
        return _read(choice, data_folder)
    except (NotHere, AskColumns):  # both say what is to be done first
        raise
    except UserError as error:
        if any(
            name.startswith("dataset.columns.") for name in error.problems
        ):  # it has others, which may be known ones
            return _read_held_out(choice.model_copy(update={"columns": ColumnMap()}), data_folder)
        raise UserError(
            "dataset.held_out_wrong", "Held-out data: {error}", {"dataset.held_out_from": error.problem}, error=error
        ) from error


def _with_held_out_data(
    choice: DatasetChoice, data: FileContents, measured: FileContents, warnings: list[str]
) -> Examples:
    """Learned is what does not stand in the held-out data too; measured with are at most 500 examples of that."""
    name = choice.held_out_from if choice.source == "hub" else choice.measured_with.title
    tested = keys_of(measured)
    known, aside = set(tested), sample_positions(tested, choice.split_seed)
    rest = [place for place, key in enumerate(keys_of(data)) if key not in known]
    if not rest:
        raise UserError.at(
            "dataset.held_out_from",
            "dataset.all_held_out",
            "Every row of {name} also stands in {held_out}, which is only measured with: nothing is left to learn "
            "from. Choose another.",
            name=choice.title,
            held_out=name,
        )
    learned = {data.numbers[place] for place in rest}
    lines = {
        int(number): int(line) for number, line in zip(data.numbers, data.lines, strict=True) if number not in learned
    }
    doubled = [
        LeftOut(number, line or None, f"it also stands in the held-out data {name}") for number, line in lines.items()
    ]
    both = also_learned([measured.asked[place] for place in aside], (data.asked[place] for place in rest))
    notes = (
        [f"Measured with: {len(aside):,} of {measured.rows:,} rows of {name}."] if len(aside) < measured.rows else []
    )
    notes += (
        [f"Left out: {len(doubled):,} of {data.rows:,} rows also stand in the held-out data {name}."] if doubled else []
    )
    return Examples(
        _those(data.conversations, rest, choice.turns),
        _those(measured.conversations, aside, choice.turns),
        data.format,
        _fingerprint(data.digest, measured.digest, f"{aside}", choice.turns),
        data.rows,
        sorted([*data.left_out, *doubled], key=lambda one: one.row),
        [*warnings, *data.warnings, *notes, *overlap_warnings(len(both), len(aside))],
        data.characters * len(rest) // len(data.conversations),
        data.because,
        data.duplicates,
        both,
        _rows(data, rest),
        _rows(measured, aside),
        data.answer,
    )


def _rows(data: FileContents, places: Sequence[int]) -> Sequence[int]:
    return array("q", (data.numbers[place] for place in places))


def _those(conversations: Sequence[Conversation], places: list[int], turns: str) -> Sequence[Conversation]:
    if isinstance(conversations, ArrowConversations):
        return conversations.select(places, turns)
    return [with_turns(conversations[place], turns) for place in places]


def files_of(choice: DatasetChoice, data_folder: Path) -> Path | Sequence[Path]:
    """What is read. Raises UserError, NotHere for data of the Hub that was not downloaded yet."""
    return paths_of(choice, data_folder) if choice.source == "hub" else place_of(choice, data_folder)


def stamp(choice: DatasetChoice, data_folder: Path) -> Any:
    """What is another one once the choice stands for other bytes. Data of the Hub is pinned to a commit: it is here or
    it is not.
    """
    if choice.source != "file":
        return choice.source == "hub" and is_here(choice, data_folder)
    try:
        return tuple(stamp_of(place_of(one, data_folder)) for one in (choice, choice.measured_with) if one)
    except (UserError, OSError):
        return None


def pinned(choice: DatasetChoice, data_folder: Path, token: str | None = None) -> DatasetChoice:
    """The choice as a run keeps it: with the fingerprint of one's own data, or the commit, subset and split of the
    Hub's.

    Raises UserError where it is not there, or the Hub does not give it.
    """
    if choice.source == "hub":
        return resolve(choice, data_folder, token)[0].pin(choice)
    return (
        choice.model_copy(update={"fingerprint": fingerprint_of(place_of(choice, data_folder))})
        if choice.source == "file"
        else choice
    )


def changed_since(choice: DatasetChoice, data_folder: Path) -> list[str]:
    """A sentence where one's own data is not what it was when the run was started; none where it is, or is gone."""
    try:
        changed = (
            choice.source == "file"
            and choice.fingerprint
            and choice.fingerprint != fingerprint_of(place_of(choice, data_folder))
        )
    except (UserError, OSError):
        return []
    return (
        [
            f"{choice.title} has changed since this run was started: what is read now is not what the recipe was made "
            f"with."
        ]
        if changed
        else []
    )


def _starter_examples(choice: DatasetChoice) -> Examples:
    dataset = starter.DATASETS[choice.id]
    train, held_out = (
        read_file(path, f"Starter dataset {path.name}", looks=False) for path in (dataset.file, dataset.held_out)
    )
    learned, tested = ([question_number(one) for one in part.conversations] for part in (train, held_out))
    return Examples(
        *([with_turns(one, choice.turns) for one in part.conversations] for part in (train, held_out)),
        train.format,
        _fingerprint(train.digest, held_out.digest, choice.turns),
        train.rows + held_out.rows,
        train.left_out + held_out.left_out,
        train.warnings + held_out.warnings,
        train.characters,
        also_learned=also_learned(tested, learned),
        train_rows=train.numbers,
        held_out_rows=held_out.numbers,
        answer=train.answer,
    )


def _fingerprint(*what: str) -> str:
    """sha256 over what was read, what of it is held out, and which turns are learned."""
    return hashlib.sha256("\0".join(what).encode()).hexdigest()
