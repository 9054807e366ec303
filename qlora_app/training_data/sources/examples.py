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
    few_warnings,
    overlap_warnings,
    question_number,
    same_key,
)
from ..choice import DatasetChoice
from ..conversations import read_file
from ..file_contents import FileContents, LeftOut
from ..formats.columns import AskColumns, ColumnMap
from ..held_out import places_without, sample_positions
from ..preferences import Judged, labelled_of, pairs_of
from ..read.archives import splits_in
from ..read.splits import ALL, TRAIN, held_out_split
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
    """What a run learns from and is measured with.

    Every row is used or left out; most used rows are one conversation each.
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
    pairs: int = 0  # rows with two answers, of which one was preferred
    labelled: int = 0  # rows of which somebody said whether their answer is good
    unwanted: Sequence[Conversation] = ()  # of rows that are left out because their answer is called bad
    few: Sequence[str] = ()  # what is to be said where there are too few rows to learn from or to measure with

    @property
    def every(self) -> Sequence[Conversation]:
        """Those to train on, then those held out."""
        return Concat(self.train, self.held_out)

    def judged(self, as_pairs: bool) -> Judged:
        """The pairs among them, or the judged answers: each prompt is learned or held out, and never both."""
        if as_pairs:
            return pairs_of(self.train, self.held_out)
        return labelled_of(self.train, self.held_out, self.unwanted)

    @functools.cached_property
    def duplicates(self) -> int:
        """How many rows repeat another one, letter case and blanks aside."""
        if self.repeated is not None:
            return self.repeated
        return len(self.train) - len({same_key(conversation) for conversation in self.train})


def load_examples(choice: DatasetChoice, data_folder: Path) -> Examples:
    """The conversations of a choice, those to train on and those held out.

    Raises UserError if there is nothing to train on.
    """
    problems = choice.problems()
    if problems:
        at_settings = {f"dataset.{field}": problem for field, problem in problems.items()}
        raise UserError.of(next(iter(problems.values())), at_settings)
    if choice.source == "starter":
        return _starter_examples(choice)
    return _own_examples(choice, data_folder)


def _own_examples(choice: DatasetChoice, data_folder: Path) -> Examples:
    data = _read(choice, data_folder)
    changed = changed_since(choice, data_folder)
    held_out = _held_out_of(choice, data_folder)
    if held_out:
        try:
            return _with_held_out_data(choice, held_out, data, _read_held_out(held_out, data_folder), changed)
        except UserError as error:
            if choice.held_out_from or isinstance(error, NotHere):
                raise
            changed.append(_not_measured(held_out.split, error))
    aside, both = split(data, choice.held_out_share, choice.split_seed)
    rest = _all_but(len(data.conversations), aside)
    return Examples(
        train=_those(data.conversations, rest, choice.turns),
        held_out=_those(data.conversations, aside, choice.turns),
        format=data.format,
        fingerprint=_fingerprint(data.digest, f"{aside}", choice.turns),
        rows=data.rows,
        left_out=data.left_out,
        warnings=[*changed, *data.warnings, *overlap_warnings(len(both), len(aside))],
        few=few_warnings(len(rest), len(aside), choice.held_out_share),
        characters=data.characters * len(rest) // len(data.conversations),
        because=data.because,
        repeated=data.duplicates,
        also_learned=both,
        train_rows=_rows(data, rest),
        held_out_rows=_rows(data, aside),
        answer=data.answer,
        pairs=data.pairs,
        labelled=data.labelled,
        unwanted=data.unwanted,
    )


def _held_out_of(choice: DatasetChoice, data_folder: Path) -> DatasetChoice | None:
    """The data to measure with: what was named, or the files of the data that are called valid or test."""
    named = choice.held_out_from.strip().lower()
    if choice.source != "file" or (choice.split == ALL and not named):
        return choice.measured_with
    try:
        splits = splits_in(files_of(choice, data_folder), choice.title)
    except OSError:  # whoever reads it says why
        return choice.measured_with
    others = [split for split in splits if split != (choice.split or TRAIN)]
    split = named if named in splits else held_out_split(others)
    if not split or (named and split != named):
        return choice.measured_with
    return choice.model_copy(update={"split": split, "held_out_from": "", "fingerprint": ""})


def _not_measured(split: str, error: UserError) -> str:
    return (
        f"The files of {split} cannot be measured with, so a share of the others is: {error!s} "
        "They are neither learned nor measured with."
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
        if any(name.startswith("dataset.columns.") for name in error.problems):
            # it has other columns than the data that are learned, which may be known ones
            return _read_held_out(choice.model_copy(update={"columns": ColumnMap()}), data_folder)
        raise UserError(
            "dataset.held_out_wrong", "Held-out data: {error}", {"dataset.held_out_from": error.problem}, error=error
        ) from error


def _with_held_out_data(
    choice: DatasetChoice,
    held_out: DatasetChoice,
    data: FileContents,
    measured: FileContents,
    warnings: list[str],
) -> Examples:
    """Learned is what does not stand in the held-out data too; measured with are at most 500 examples of that."""
    name = held_out.title if held_out.id != choice.id else held_out.split
    tested = keys_of(measured)
    aside = sample_positions(tested, choice.split_seed)
    rest = places_without(keys_of(data), tested)
    if not len(rest):
        raise UserError.at(
            "dataset.held_out_from",
            "dataset.all_held_out",
            "Every row of {name} also stands in {held_out}, which is only measured with: nothing is left to learn "
            "from. Choose another.",
            name=choice.title,
            held_out=name,
        )
    doubled = _left_out_as_held_out(data, rest, name)
    tested_questions = [measured.asked[place] for place in aside]
    both = also_learned(tested_questions, (data.asked[place] for place in rest))
    notes = []
    if len(aside) < measured.rows:
        notes.append(f"Measured with: {len(aside):,} of {measured.rows:,} rows of {name}.")
    if doubled:
        notes.append(f"Left out: {len(doubled):,} of {data.rows:,} rows also stand in the held-out data {name}.")
    return Examples(
        train=_those(data.conversations, rest, choice.turns),
        held_out=_those(measured.conversations, aside, choice.turns),
        format=data.format,
        fingerprint=_fingerprint(data.digest, measured.digest, f"{aside}", choice.turns),
        rows=data.rows,
        left_out=sorted([*data.left_out, *doubled], key=lambda row: row.row),
        warnings=[*warnings, *data.warnings, *notes, *overlap_warnings(len(both), len(aside))],
        few=few_warnings(len(rest), len(aside), choice.held_out_share),
        characters=data.characters * len(rest) // len(data.conversations),
        because=data.because,
        repeated=data.duplicates,
        also_learned=both,
        train_rows=_rows(data, rest),
        held_out_rows=_rows(measured, aside),
        answer=data.answer,
        pairs=data.pairs,
        labelled=data.labelled,
        unwanted=data.unwanted,
    )


def _left_out_as_held_out(data: FileContents, rest: Sequence[int], name: str) -> list[LeftOut]:
    """The rows of `data` none of whose conversations is in `rest`: each also stands in the held-out data `name`."""
    import numpy

    numbers = numpy.asarray(data.numbers)
    apart = numpy.flatnonzero(~numpy.isin(numbers, numbers[rest]))
    lines = {int(numbers[place]): int(data.lines[place]) for place in apart.tolist()}
    reason = f"it also stands in the held-out data {name}"
    return [LeftOut(number, line or None, reason) for number, line in lines.items()]


def _all_but(count: int, aside: Sequence[int]) -> Any:
    """The other places of so many, as a NumPy array."""
    import numpy

    return numpy.delete(numpy.arange(count), list(aside))


def _rows(data: FileContents, places: Sequence[int]) -> Sequence[int]:
    import numpy

    return array(
        "q", numpy.asarray(data.numbers, dtype=numpy.int64)[numpy.asarray(places, dtype=numpy.int64)].tobytes()
    )


def _those(conversations: Sequence[Conversation], places: Sequence[int], turns: str) -> Sequence[Conversation]:
    if isinstance(conversations, ArrowConversations):
        return conversations.select(places, turns)
    return [with_turns(conversations[place], turns) for place in places]


def files_of(choice: DatasetChoice, data_folder: Path) -> Path | Sequence[Path]:
    """What is read. Raises UserError, NotHere for data of the Hub that was not downloaded yet."""
    if choice.source == "hub":
        return paths_of(choice, data_folder)
    return place_of(choice, data_folder)


def stamp(choice: DatasetChoice, data_folder: Path) -> Any:
    """What is another one once the choice stands for other bytes.

    Data of the Hub is pinned to a commit: it is here or it is not.
    """
    if choice.source != "file":
        return choice.source == "hub" and is_here(choice, data_folder)
    try:
        choices = [choice]
        if choice.measured_with:
            choices.append(choice.measured_with)
        return tuple(stamp_of(place_of(file, data_folder)) for file in choices)
    except (UserError, OSError):
        return None


def pinned(choice: DatasetChoice, data_folder: Path, token: str | None = None) -> DatasetChoice:
    """The choice as a run keeps it: with the fingerprint of one's own data, or the
    commit, subset and split of the Hub's.

    Raises UserError where it is not there, or the Hub does not give it.
    """
    if choice.source == "hub":
        return resolve(choice, data_folder, token)[0].pin(choice)
    if choice.source == "file":
        return choice.model_copy(update={"fingerprint": fingerprint_of(place_of(choice, data_folder))})
    return choice


def changed_since(choice: DatasetChoice, data_folder: Path) -> list[str]:
    """A sentence where one's own data is not what it was when the run was started; none where it is, or is gone."""
    if choice.source != "file" or not choice.fingerprint:
        return []
    try:
        found = fingerprint_of(place_of(choice, data_folder))
    except (UserError, OSError):
        return []
    if found == choice.fingerprint:
        return []
    return [
        f"{choice.title} has changed since this run was started: what is read now is not what the recipe was made with."
    ]


def _starter_examples(choice: DatasetChoice) -> Examples:
    dataset = starter.DATASETS[choice.id]
    train = read_file(dataset.file, f"Starter dataset {dataset.file.name}", looks=False)
    held_out = read_file(dataset.held_out, f"Starter dataset {dataset.held_out.name}", looks=False)
    learned = [question_number(conversation) for conversation in train.conversations]
    tested = [question_number(conversation) for conversation in held_out.conversations]
    learned_from = [with_turns(conversation, choice.turns) for conversation in train.conversations]
    measured_on = [with_turns(conversation, choice.turns) for conversation in held_out.conversations]
    return Examples(
        train=learned_from,
        held_out=measured_on,
        format=train.format,
        fingerprint=_fingerprint(train.digest, held_out.digest, choice.turns),
        rows=train.rows + held_out.rows,
        left_out=train.left_out + held_out.left_out,
        warnings=train.warnings + held_out.warnings,
        characters=train.characters,
        also_learned=also_learned(tested, learned),
        train_rows=train.numbers,
        held_out_rows=held_out.numbers,
        answer=train.answer,
    )


def _fingerprint(*what: str) -> str:
    """sha256 over what was read, what of it is held out, and which turns are learned."""
    return hashlib.sha256("\0".join(what).encode()).hexdigest()
