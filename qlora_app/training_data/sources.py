"""Where examples come from: the starter's datasets, the data folder, the Hub."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .. import starter
from ..errors import UserError
from ..messages import Conversation
from ..settings import Settings
from .checks import content_warnings, held_out_positions, overlap_warnings, same_key
from .choice import DatasetChoice
from .conversations import LeftOut, read_file
from .data_folder import fingerprint_of, place_of, stamp_of
from .hub_data import kept, paths_of, resolve


@dataclass(frozen=True)
class Examples:
    """What a run learns from and is measured with. Every row is used or left out; most used rows are one conversation each."""

    train: list[Conversation]
    held_out: list[Conversation]
    format: str
    fingerprint: str
    rows: int
    left_out: list[LeftOut]
    warnings: list[str]
    because: str = ""


def load_examples(choice: DatasetChoice, data_folder: Path) -> Examples:
    """The conversations of a choice, those to train on and those held out. Raises UserError if there is nothing to train on."""
    problems = choice.problems()
    if problems:
        raise UserError(next(iter(problems.values())), {f"dataset.{field}": text for field, text in problems.items()})
    examples = _starter_examples(choice.id) if choice.source == "starter" else _own_examples(choice, data_folder)
    if choice.turns == "all":
        return examples
    train, held_out = ([with_turns(one, choice.turns) for one in part] for part in (examples.train, examples.held_out))
    return replace(examples, train=train, held_out=held_out, fingerprint=_fingerprint(train, held_out))


def _own_examples(choice: DatasetChoice, data_folder: Path) -> Examples:
    limits = None if choice.is_upload else Settings.from_environment()  # an upload was checked when it came
    try:
        data = read_file(files_of(choice, data_folder), choice.title, choice.format, choice.columns, limits)
    except OSError as error:
        sentence = f"{choice.title} cannot be read ({error.strerror}). Change its permissions, or choose other data."
        raise UserError(sentence, {"dataset.id": sentence}) from error
    keys = [same_key(conversation) for conversation in data.conversations]
    aside = held_out_positions(keys, choice.held_out_share, choice.split_seed)
    train = [one for position, one in enumerate(data.conversations) if position not in aside]
    held_out = [data.conversations[position] for position in sorted(aside)]
    warnings = [*changed_since(choice, data_folder), *data.warnings, *content_warnings(data.conversations, data.numbers, keys),
                *overlap_warnings(train, held_out)]
    return Examples(train, held_out, data.format, _fingerprint(train, held_out), data.rows, data.left_out, warnings, data.because)


def files_of(choice: DatasetChoice, data_folder: Path) -> Path | Sequence[Path]:
    """What is read. Raises UserError, NotHere for data of the Hub that was not downloaded yet."""
    return paths_of(choice, data_folder) if choice.source == "hub" else place_of(choice, data_folder)


def stamp(choice: DatasetChoice, data_folder: Path) -> Any:
    """What is another one once the choice stands for other bytes. Data of the Hub is pinned to a commit: it is here or it is not."""
    if choice.source != "file":
        return choice.source == "hub" and kept(choice, data_folder) is not None
    try:
        return stamp_of(place_of(choice, data_folder))
    except (UserError, OSError):
        return None


def pinned(choice: DatasetChoice, data_folder: Path, token: str | None = None) -> DatasetChoice:
    """The choice as a run keeps it: with the fingerprint of one's own data, or the commit, subset and split of the Hub's.

    Raises UserError where it is not there, or the Hub does not give it.
    """
    if choice.source == "hub":
        return resolve(choice, data_folder, token)[0].pin(choice)
    return choice.model_copy(update={"fingerprint": fingerprint_of(place_of(choice, data_folder))}) if choice.source == "file" else choice


def changed_since(choice: DatasetChoice, data_folder: Path) -> list[str]:
    """A sentence where one's own data is not what it was when the run was started; none where it is, or is gone."""
    try:
        changed = choice.source == "file" and choice.fingerprint and choice.fingerprint != fingerprint_of(place_of(choice, data_folder))
    except (UserError, OSError):
        return []
    return [f"{choice.title} has changed since this run was started: what is read now is not what the recipe was made with."] if changed \
        else []


def with_turns(conversation: Conversation, turns: str) -> Conversation:
    """The conversation with its turns marked for training: "all" answers as they are, the "last" one only, or "everything"."""
    if turns == "all":
        return conversation
    if turns == "everything":
        return [{**turn, "train": True} for turn in conversation]
    return [{**turn, "train": False} if turn["role"] == "assistant" else turn for turn in conversation[:-1]] + conversation[-1:]


def _starter_examples(name: str) -> Examples:
    dataset = starter.DATASETS[name]
    train, held_out = (read_file(path, f"Starter dataset {path.name}") for path in (dataset.file, dataset.held_out))
    left_out, warnings = train.left_out + held_out.left_out, train.warnings + held_out.warnings
    rows = train.rows + held_out.rows
    return Examples(train.conversations, held_out.conversations, train.format,
                    _fingerprint(train.conversations, held_out.conversations), rows, left_out, warnings)


def _fingerprint(*parts: list[Conversation]) -> str:
    """sha256 over all texts, their roles and all lengths, so that no two different splits give the same bytes."""
    turns = [turn for part in parts for conversation in part for turn in conversation]
    texts = [turn["content"] for turn in turns]
    roles = [turn["role"] if (train := turn.get("train")) is None else f"{turn['role']}{train}" for turn in turns]
    sizes = [[len(part) for part in parts], [len(conversation) for part in parts for conversation in part]]
    lengths = [*sizes, list(map(len, texts))]
    return hashlib.sha256(f"{lengths}{','.join(roles)}{''.join(texts)}".encode()).hexdigest()
