"""What a row asks: the conversation up to its answer, made by the readers that
made the conversations of the training.
"""

from collections.abc import Iterator
from typing import Any

from ..messages import Conversation, Message
from .formats.columns import ColumnMap
from .formats.detect import FormatDetector, OfAllRows
from .formats.known import (
    MEDIA,
    READABLE,
    Kind,
    turns_of_row,
)
from .formats.marked_text import answered
from .formats.paths import column_of
from .formats.people import PEOPLE, is_message
from .formats.row_view import Reading, present
from .formats.trees import parent_id
from .formats.turns import (
    LABELS,
    Columns,
    RowError,
    TwoColumnsFit,
    is_blank,
    tidy,
)
from .formats.unanswered import with_an_answer

_UNSAID = "A"  # stands for an answer that is not there, and is taken away again; of choices there always is an A
_FIRST = "0"  # stands for it where an answer is one of the row's own options
_ANSWERS = (
    "output",
    "answer",
    "completion",
    "label",
    "assistant",
    "tgt",
)  # one of them is an answer in every format with a column for it


def detector_of(format: str, columns: ColumnMap = ColumnMap(), answer: str | None = None) -> FormatDetector:
    """How a run's rows are read: `format` and `answer` are what FileContents says of
    its data, `columns` those of its recipe.
    """
    label = ""
    if format == "classification" and answer and answer not in LABELS:
        label = answer
    if format not in READABLE:
        format = "auto"
    detector = FormatDetector(format, columns, OfAllRows(label))
    if format == "named_pairs":
        detector.answer = answer or ""
    return detector


def question_of(value: Any, detector: FormatDetector) -> Conversation:
    """The question of `question_and_answer`. Raises RowError."""
    return question_and_answer(value, detector)[0]


def question_and_answer(value: Any, detector: FormatDetector) -> tuple[Conversation, str]:
    """The turns of one raw row up to its last answer, which need not be there, with system
    text, tools, history, context and choices; and that answer, "" where it is not there.

    It is what training makes of the row without the last turn; where that is several
    conversations, of the first. A plain text comes back whole, as one turn of the
    role `text`, a long one with its pieces on lines of their own. Raises RowError.
    """
    row = _row_of(value)
    if detector.mapped and _stands_for_itself(value, row, detector.columns):
        detector = FormatDetector()  # somebody asks, and no column is there to say so
    media = sorted(name for name in MEDIA if row.get(name))
    if media:
        raise RowError(f"it holds pictures, sound or video (`{media[0]}`), which cannot be read")
    is_said = isinstance(value, str) and detector.format != "text"
    problems: list[RowError] = []
    known = ColumnMap(answers_by=detector.columns.answers_by)  # whose messages answer holds in every format
    for tried in (detector, FormatDetector("auto", known)):
        for whole in _variants(row, tried):
            try:
                kind, columns = tried(whole)
                question, answer = _asked(kind, columns, is_said)
                return question, answer if whole is row else ""
            except RowError as error:
                problems.append(error)
            except TwoColumnsFit as error:
                problems.append(RowError(f"it has {error}"))
        if detector.mapped:  # a person said which column is what
            break
    raise _most_telling(problems)


def _stands_for_itself(value: Any, row: Columns, columns: ColumnMap) -> bool:
    """Has a row none of the columns that were named to ask?

    Raises RowError where it has some of a composed question only.
    """
    if not isinstance(value, dict):
        return True
    asking = {name for name, setting in columns.names.items() if setting in ("prompt", "template", "messages")}
    missing = sorted(name for name in asking if column_of(name, row) is None)
    if missing and len(missing) < len(asking):
        raise RowError(f"it has no column {missing[0]!r}, which the question is composed of")
    return bool(missing)


def _most_telling(problems: list[RowError]) -> RowError:
    """The first problem that is about the row and not about its format; else the first of all."""
    about_formats = ("it looks like", "its columns do not fit")
    return next((problem for problem in problems if not str(problem).startswith(about_formats)), problems[0])


def _row_of(value: Any) -> Columns:
    if isinstance(value, str):
        return {"text": value}
    if isinstance(value, list):
        return {"messages": value}
    if type(value) is not dict:
        raise RowError("it is neither a text nor an object")
    values = present(value) or {}
    return {name.strip().lower(): inner for name, inner in values.items()}


def _variants(row: Columns, detector: FormatDetector) -> Iterator[Columns]:
    """The row as it is, then with an answer in one place or another, the first of which that can be read is taken."""
    if detector.mapped:
        yield _with_named_answer(row, detector)
        return
    yield row
    if detector.format in ("auto", PEOPLE) and is_message(row):
        return  # a message is what somebody said, and no answer belongs to it
    if detector.answer and detector.answer not in row:
        yield row | {detector.answer: _UNSAID}
    for name in ("text", "chosen"):
        if isinstance(row.get(name), str):
            yield from (row | {name: text} for text in answered(row[name], _UNSAID))
    yield from (row | {name: _UNSAID} for name in _ANSWERS if name not in row)
    yield row | {"chosen": _UNSAID, "rejected": _UNSAID}
    if isinstance(row.get("translation"), dict):
        yield row | {"translation": row["translation"] | {"": _UNSAID}}
    if isinstance(row.get("instances"), list):
        yield row | {"instances": [one | {"output": _UNSAID} for one in row["instances"] if isinstance(one, dict)]}
    yield from with_an_answer(row, _UNSAID)
    if parent_id(row) is None:
        yield row | {"replies": []}


def _with_named_answer(row: Columns, detector: FormatDetector) -> Columns:
    """The row with something in the column that a person said answers, where that is missing."""
    columns = detector.columns
    answer = detector.of_all.label or columns.label or columns.answer
    if not answer or columns.messages:
        return row
    key = answer.strip().lower()
    if key in row:
        return row
    return row | {key: _FIRST if columns.options else _UNSAID}


def _asked(kind: Kind, columns: Columns, is_said: bool) -> tuple[Conversation, str]:
    """`is_said`: a text that stands for itself is what somebody says, not the beginning of a document."""
    made = turns_of_row(kind, Reading(columns))
    turns = made if isinstance(made, list) else next(iter(made), [])
    if not turns:
        raise RowError("there is nothing in it that asks")
    if turns[0]["role"] != "text":
        return _up_to_answer(turns)
    if is_said:
        return _up_to_answer([{"role": "user", "content": turns[0]["content"]}])
    pieces = [turns[0]["content"]]
    if not isinstance(made, list):
        pieces += [piece[0]["content"] for piece in made]
    return tidy([{"role": "text", "content": "\n".join(pieces)}], []), ""


def _up_to_answer(turns: list[Message]) -> tuple[Conversation, str]:
    *before, last = turns
    right = last["content"].strip() if last["role"] == "assistant" else ""
    if last["role"] != "assistant":
        before, last = turns, {"role": "assistant", "content": _UNSAID}
    answer_text = last["content"]
    if is_blank(answer_text):
        answer_text = _UNSAID
    answer: Message = {**last, "content": answer_text, "train": True}
    question = tidy([*before, answer], [])[:-1]
    if not question or question[-1]["role"] == "system":
        raise RowError("its last turn asks nothing")
    return question, right
