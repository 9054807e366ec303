"""Every question of a file answered by a run's model, into a file of JSON lines.

Answers are written as they come, beside the wanted file, with what made them on the first line: whoever is interrupted
goes on where it ended. When all are there they are put in the order of the rows.
"""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from .errors import UserError
from .inference.session import ChatSession
from .messages import Conversation
from .runs import Run
from .settings import Settings
from .storage.digests import sha256_of
from .storage.files import append_line, replace_file
from .storage.reading import read_lines
from .tasks.task import same_answer
from .training_data import DatasetChoice
from .training_data.conversations import FileContents, read_file
from .training_data.formats.turns import RowError, is_blank, text_of
from .training_data.questions import detector_of, question_and_answer
from .training_data.read.rows import RowSource

AT_ONCE = 32  # rows of about the same length
CANDIDATES = 5


def answer_file(
    run: Run,
    session: ChatSession,
    file: Path,
    target: Path,
    limits: Settings,
    *,
    column: str = "",
    base: bool = False,
    max_new_tokens: int = 256,
    told: DatasetChoice | None = None,
    on_progress: Callable[[int, int], None] = lambda done, of: None,
) -> dict[str, int]:
    """Answer every row of `file` into `target`; a row without a question gets its reason. `on_progress` hears how many
    of how many are done.

    Rows are read as the run's own data were, or as `told`.

    Each line is {row, question, answer}, with `expected` where the row has a right answer, for tasks that weigh with
    `candidates` ({answer: probability}), where the model could not read all of a question with a `note`; or
    {row, problem}. Returns {rows, answered, problems, kept, scored, right}: `kept` were there from an earlier,
    interrupted time, of `scored` rows the right answer is known, and `right` were answered so word for word. The caller
    sees to it that nobody else answers into `target` meanwhile. Raises UserError.
    """
    asked, expected, problems = _questions(run, file, column, limits, told)
    asked = {row: session.as_trained(one) for row, one in asked.items()}
    partial = target.with_name(f"{target.name}.partial")
    done = _kept(partial, _made_by(run, session, file, column, base, max_new_tokens, told))
    for row, reason in problems.items():
        if row not in done:
            append_line(partial, {"row": row, "problem": reason})
    kept = len(done.keys() & asked.keys())
    left = sorted((row for row in asked if row not in done), key=lambda row: _length(asked[row]))
    on_progress(kept, len(asked))
    for start in range(0, len(left), AT_ONCE):
        rows = left[start : start + AT_ONCE]
        lines = _answers(session, [asked[row] for row in rows], base, max_new_tokens)
        for row, line in zip(rows, lines, strict=True):
            wanted = {"expected": expected[row]} if row in expected else {}
            append_line(partial, {"row": row, "question": asked[row][-1]["content"], **line, **wanted})
        on_progress(kept + start + len(rows), len(asked))
    scored = [line for line in _put_in_order(partial, target) if "expected" in line]
    return {
        "rows": len(asked) + len(problems),
        "answered": len(asked),
        "problems": len(problems),
        "kept": kept,
        "scored": len(scored),
        "right": sum(same_answer(line["answer"], line["expected"]) for line in scored),
    }


def _answers(
    session: ChatSession, conversations: list[Conversation], base: bool, max_new_tokens: int
) -> list[dict[str, Any]]:
    if not session.task.has_candidates:
        answers = session.answers(conversations, base, max_new_tokens)
        return [{"answer": one.text, **({"note": one.note} if one.note else {})} for one in answers]
    return [
        {"answer": found[0].text if found else "", "candidates": {one.text: round(one.probability, 4) for one in found}}
        for found in session.weigh_all(conversations, base, CANDIDATES)
    ]


def read_as(run: Run, file: Path, limits: Settings, told: DatasetChoice | None = None) -> FileContents:
    """The rows of a file with their answers, read as the run's own data were, or as somebody says.

    A file in another format than the run's is recognised by itself. Raises UserError.
    """
    choice = told or run.recipe().dataset
    format, answer = run.detected_data()
    label = answer if format == "classification" and not choice.columns.given else None
    try:
        return read_file(file, file.name, choice.format, choice.columns, limits, how=choice.read_as, label=label or "")
    except UserError:
        if told:
            raise
        with contextlib.suppress(UserError):
            return read_file(file, file.name, limits=limits)
        raise


def _questions(
    run: Run, file: Path, column: str, limits: Settings, told: DatasetChoice | None
) -> tuple[dict[int, Conversation], dict[int, str], dict[int, str]]:
    """({row: the conversation up to its answer, as the readers of the training make it}, {row: that answer, where it is
    there}, {row: why it asks nothing})"""
    if not file.is_file():
        raise UserError("file.not_there", "There is no file {file}.", file=file)
    choice = told or run.recipe().dataset
    format, answer = run.detected_data()
    recogniser = detector_of(format if choice.format == "auto" and not told else choice.format, choice.columns, answer)
    asked: dict[int, Conversation] = {}
    expected: dict[int, str] = {}
    problems: dict[int, str] = {}
    for row in RowSource(file, file.name, limits, how=choice.read_as):
        try:
            if row.problem:
                raise RowError(row.problem)
            if column:
                asked[row.number] = _named(row.value, column)
                continue
            asked[row.number], answer = question_and_answer(row.value, recogniser)
            if answer:
                expected[row.number] = answer
        except RowError as error:
            problems[row.number] = str(error)
    if not asked:
        why = next(iter(problems.values()), "it is empty")
        raise UserError(
            "answers.nothing_asked",
            "{name} asks nothing that could be answered: {why}. Name the column that asks.",
            name=file.name,
            why=why,
        )
    return asked, expected, problems


def _named(value: Any, column: str) -> Conversation:
    """The text of one column. Raises RowError."""
    row = {str(name).strip().lower(): one for name, one in value.items()} if isinstance(value, dict) else {}
    if column.strip().lower() not in row:
        raise RowError(f"it has no column {column!r}")
    text = text_of(row[column.strip().lower()], column)
    if is_blank(text):
        raise RowError("its question is empty")
    return [{"role": "user", "content": text.strip()}]


def _length(conversation: Conversation) -> int:
    return sum(len(turn["content"]) for turn in conversation)


def _made_by(
    run: Run, session: ChatSession, file: Path, column: str, base: bool, max_new_tokens: int, told: DatasetChoice | None
) -> dict[str, Any]:
    """What the answers depend on: with anything else of it they are begun anew."""
    adapter = session.adapter.name if session.adapter else ""
    return {
        "run": run.id,
        "adapter": adapter,
        "file": sha256_of(file),
        "column": column,
        "base": base,
        "max_new_tokens": max_new_tokens,
        "read_as": told.model_dump(mode="json") if told else None,
    }


def _kept(partial: Path, made_by: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """{row: line} of an earlier time that made the same answers; whatever else lies there is begun anew."""
    lines = read_lines(partial, 0)[0]
    if not lines or lines[0] != made_by:
        replace_file(partial, json.dumps(made_by) + "\n")
        return {}
    return {line["row"]: line for line in lines[1:]}


def _put_in_order(partial: Path, target: Path) -> list[dict[str, Any]]:
    lines = {line["row"]: line for line in read_lines(partial, 0)[0][1:]}
    replace_file(target, "".join(json.dumps(lines[row], ensure_ascii=False) + "\n" for row in sorted(lines)))
    partial.unlink()
    return [lines[row] for row in sorted(lines)]
