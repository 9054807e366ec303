"""The questions of a file of rows, as the training would have asked them."""

from dataclasses import dataclass
from pathlib import Path

from ..answers import read_as
from ..errors import UserError
from ..inference.session import ChatSession
from ..runs import Run
from ..settings import Settings
from ..tasks.asked import Asked, asked
from ..tasks.generate import context_of
from ..training_data import DatasetChoice
from ..training_data.conversations import FileContents
from ..training_data.store import with_turns


@dataclass(frozen=True)
class FileQuestions:
    """What a file asks of a model."""

    asked: list[Asked]
    left_out: int  # rows that could not be read
    out_of_reach: int  # questions longer than the model reads together with their answer; not asked


def questions_with_answers(run: Run, file: Path, limits: Settings, told: DatasetChoice | None) -> FileContents:
    """The rows of a file, read as the run's own data were or as `told`. Raises UserError where none has an answer."""
    if not file.is_file():
        raise UserError("file.not_there", "There is no file {file}.", file=file)
    data = read_as(run, file, limits, told)
    is_plain_text = all(len(conversation) < 2 for conversation in data.conversations)
    if is_plain_text and run.task().name != "fill_mask":
        raise _nothing_to_compare(file)
    return data


def questions_for(
    session: ChatSession, run: Run, file: Path, data: FileContents, told: DatasetChoice | None, limit: int | None
) -> FileQuestions:
    """At most `limit` questions of the rows, as the run's task asks them. Raises UserError where there is none."""
    turns = (told or run.recipe().dataset).turns
    every = []
    for conversation in data.conversations:
        talk = session.as_trained(with_turns(conversation, turns))
        every += session.task.questions(session.tokenizer, talk)
        if limit is not None and len(every) >= limit:
            break
    every = every[:limit]
    context = context_of(session.model)
    costs = [asked(session.task, session.tokenizer, question, context) for question in every]
    within = [one for one in costs if one]
    if not within:
        raise _nothing_to_compare(file)
    return FileQuestions(within, len(data.left_out), len(every) - len(within))


def _nothing_to_compare(file: Path) -> UserError:
    return UserError("test.no_answers", "{name} has no row with an answer to compare with.", name=file.name)
