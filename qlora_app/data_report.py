"""All that can be said of data before anybody trains on it: its format and why, which rows can
be learned from, and how long they are.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from .base_models import Facts, ModelChoice
from .base_models.loading import load_tokenizer
from .errors import UserError
from .messages import Conversation, flatten
from .settings import Settings
from .tasks.chat import encode, ensure_template, has_loss
from .tasks.preview import measured
from .training_data import DatasetChoice
from .training_data.checks import few_warnings
from .training_data.conversations import FileContents, LeftOut, read_file
from .training_data.formats.columns import AskColumns, Guess
from .training_data.read_cache import split
from .training_data.store import with_turns

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Action = Literal["accept", "accept_with_warning", "ask", "refuse"]

SHOWN = 3  # examples
SAMPLE = 500  # examples whose tokens are counted
MOST_TRIED = 2000  # long questions whose tokens are counted, one by one


@dataclass(frozen=True)
class Place:
    """What is looked at: a name for sentences, where its rows are, and what the
    Hub says of it, if it comes from there.
    """

    name: str
    files: Path | Sequence[Path]
    hub: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TokenCounts:
    """Lengths of examples from all over the file, in tokens of the starter's tokenizer."""

    examples: int  # that were counted
    median: int
    p95: int
    longest: int
    cut: int  # examples longer than the longest that was asked for


@dataclass(frozen=True)
class DataReport:
    """What became of data. rows_in_file == rows_trainable + len(left_out) wherever the rows could be counted."""

    file: str
    action: Action
    hub: dict[str, Any] = field(default_factory=dict)
    format: str | None = None
    because: str | None = None  # the sentence that says why it is that format
    rows_in_file: int | None = None
    rows_trainable: int | None = None
    left_out: Sequence[LeftOut] = ()
    user: str | None = None  # the column that is asked
    answer: str | None = None  # the column that is learned
    messages: Sequence[str] = ()  # warnings, or why it is refused
    examples: Sequence[Conversation] = ()  # the first SHOWN
    columns: Sequence[str] | None = None  # where a person has to say which is which
    guesses: Sequence[Guess] = ()  # how it may be meant: settings of dataset.columns, the likeliest first
    tokens: TokenCounts | None = None

    def to_json(self) -> dict[str, Any]:
        """One object for scripts. `hub`, `columns` and `tokens` are left out where there are none."""
        values: dict[str, Any] = {"file": self.file}
        if self.hub:
            values["hub"] = self.hub
        values |= {
            "action": self.action,
            "format": self.format,
            "because": self.because,
            "rows_in_file": self.rows_in_file,
            "rows_trainable": self.rows_trainable,
            "left_out": [_left_out_json(one) for one in self.left_out],
            "user": self.user,
            "answer": self.answer,
            "messages": list(self.messages),
            "examples": list(self.examples),
        }
        if self.columns is not None:
            values |= {"columns": list(self.columns), "guesses": list(self.guesses)}
        if self.tokens is not None:
            values["tokens"] = vars(self.tokens)
        return values


def examine(
    place: Place, choice: DatasetChoice, max_length: int, settings: Settings, model: Facts | None = None
) -> DataReport:
    """Read data as a training would, and say what becomes of every row.

    choice: its format, columns, encoding and turns. max_length: tokens of the longest example. model: which is to
    learn it; no example is longer than what it reads.
    Data that is refused is a report too; raises OSError where it cannot be read at all.
    """
    try:
        data = read_file(place.files, place.name, choice.format, choice.columns, settings, how=choice.read_as)
    except UserError as error:
        return _refused(place, error)
    reads = model.context if model else None
    max_length = min(max_length, reads or max_length)
    too_long = _without_answer(data, choice, max_length)
    left_out = data.left_out + too_long
    trainable = data.rows - len(left_out)
    warnings = list(data.warnings)
    if too_long:
        warnings.append(
            f"{len(too_long):,} of {data.rows:,} rows have no token to learn: what comes before the answer is longer "
            f"than {max_length:,} tokens (first: row {too_long[0].row})."
        )
        if model and reads == max_length:
            warnings.append(
                f"{model.name} reads {reads:,} tokens. Choose a model that reads more, or shorten the rows."
            )
    aside, _ = split(data, choice.held_out_share, choice.split_seed)
    few = few_warnings(len(data.conversations) - len(aside), len(aside), choice.held_out_share)
    return DataReport(
        file=place.name,
        action=_action(trainable, warnings),
        hub=place.hub,
        format=data.format,
        because=data.because,
        rows_in_file=data.rows,
        rows_trainable=trainable,
        left_out=left_out,
        user=data.user,
        answer=data.answer,
        messages=[*warnings, *few],
        examples=data.conversations[:SHOWN],
        tokens=_tokens(data, max_length),
    )


@lru_cache(maxsize=1)
def starter_tokenizer() -> "PreTrainedTokenizerBase":
    """The starter's, with a chat template; other models count somewhat fewer tokens."""
    tokenizer = load_tokenizer(ModelChoice())
    ensure_template(tokenizer)
    return tokenizer


def _action(trainable: int, warnings: list[str]) -> Action:
    if not trainable:
        return "refuse"
    if warnings:
        return "accept_with_warning"
    return "accept"


def _refused(place: Place, error: UserError) -> DataReport:
    is_question = isinstance(error, AskColumns)
    return DataReport(
        file=place.name,
        action="ask" if is_question else "refuse",
        hub=place.hub,
        format=getattr(error, "format", None),
        rows_in_file=getattr(error, "rows", None),
        rows_trainable=None if is_question else 0,
        messages=[str(error)],
        columns=getattr(error, "columns", None) if is_question else None,
        guesses=getattr(error, "guesses", ()),
    )


def _left_out_json(one: LeftOut) -> dict[str, Any]:
    values = {"row": one.row, "line": one.line, "reason": one.reason}
    if one.file:
        values["file"] = one.file
    return values


def _without_answer(data: FileContents, choice: DatasetChoice, max_length: int) -> list[LeftOut]:
    """Rows of which nothing would be learned, because the question alone fills the longest example.

    Only the first MOST_TRIED whose questions are long enough for that are encoded.
    """
    long = [i for i, one in enumerate(data.conversations) if _asked_bytes(one) > max_length - 64 * len(one)]
    reason = f"its question alone is longer than {max_length:,} tokens"
    left_out = []
    for i in long[:MOST_TRIED]:
        conversation = with_turns(data.conversations[i], choice.turns)
        if not has_loss(encode(starter_tokenizer(), conversation, max_length).labels):
            left_out.append(LeftOut(data.numbers[i], data.lines[i] or None, reason))
    return left_out


def _asked_bytes(conversation: Conversation) -> int:
    """UTF-8 bytes before the first answer. No text has more tokens than bytes; a template adds a few a turn."""
    first = next((i for i, turn in enumerate(conversation) if turn["role"] not in ("system", "user", "tool")), 0)
    return sum(len(turn["content"].encode()) for turn in flatten(conversation[:first]))


def _tokens(data: FileContents, max_length: int) -> TokenCounts:
    *_, lengths = measured(starter_tokenizer(), data.conversations, SAMPLE, pause=float("inf"))
    return TokenCounts(
        examples=len(lengths.tokens),
        median=lengths.quantile(0.5),
        p95=lengths.quantile(0.95),
        longest=max(lengths.tokens),
        cut=len(lengths.cut(max_length)),
    )
