"""Answers that somebody has already, as a file: FastChat's JSONL (question_id, choices[0].turns), QLoRA's (question_id,
generation), a table or JSON of ours (question, answer), or the rows.jsonl of an evaluation, which has those of several.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from ..errors import UserError
from ..settings import Settings
from ..storage.reading import open_regular
from ..training_data.read.rows import RowSource
from .json_rows import of_several, rows_of_json
from .question_sets import SetQuestion

ANSWERS = ("answer", "generation", "response", "output", "prediction", "completion")


@dataclass(frozen=True)
class AnswersInFile:
    """What says its question answers that one and no other; what names only an id, the question of that id."""

    by_id_and_text: dict[tuple[str, str], str]
    by_text: dict[str, str]
    by_id: dict[str, str]

    def of(self, one: SetQuestion) -> str | None:
        text = one.text.strip()
        return self.by_id_and_text.get((one.id, text), self.by_text.get(text, self.by_id.get(one.id)))


def answer_rows(file: Path, settings: Settings) -> Iterator[dict[str, Any]]:
    """The rows of such a file: JSON, or a table, whose columns are called as in JSON. Raises UserError."""
    with open_regular(file) as content:
        begins = content.read(64).removeprefix(b"\xef\xbb\xbf").lstrip()[:1]
    if begins in (b"{", b"["):
        yield from rows_of_json(file)
        return
    for row in RowSource(file, file.name, settings):
        if isinstance(row.value, dict):
            yield {re.sub(r"\s+", "_", str(name).strip().lower()): value for name, value in row.value.items()}


def answers_in(file: Path, settings: Settings, whose: str = "", named: str = "") -> AnswersInFile:
    """whose: which contestant's, of a file that has answers of several. named: the path that people know, where `file`
    is a copy. Raises UserError where no row has one.
    """
    found, names = AnswersInFile({}, {}, {}), set[str]()
    for line in answer_rows(file, settings):
        several = of_several(line)
        if several is not None:
            names.update(several)
            line = line | {"answer": several.get(whose or next(iter(several)))}
        answer = _answer_of(line)
        id, question = line.get("question_id", line.get("id")), line.get("question", line.get("prompt"))
        if answer is None:
            continue
        if isinstance(question, str):
            found.by_text.setdefault(question.strip(), answer)
            _keep(found.by_id_and_text, (str(id), question.strip()), answer, file)
        elif id is not None:
            _keep(found.by_id, str(id), answer, file)
    if names and whose not in (names if len(names) > 1 else {"", *names}):
        raise _several(named or str(file), names)
    if not found.by_text and not found.by_id:
        raise UserError(
            "evaluate.no_answers_in_file",
            "{file} has no answers: each row has `question_id` and `choices`, as FastChat writes it, or `question` and "
            "`answer`.",
            file=file.name,
        )
    return found


def _several(path: str, names: set[str]) -> UserError:
    return UserError(
        "evaluate.whose_answers",
        "{file} has answers of several: {names}. Say whose: file:{path}#NAME.",
        file=Path(path).name,
        names=", ".join(sorted(names)),
        path=path,
    )


def _keep(known: dict[Any, str], key: Any, answer: str, file: Path) -> None:
    if known.setdefault(key, answer) != answer:
        raise UserError(
            "evaluate.two_answers",
            "{file} has two answers to the same question, {key}. Leave one of them.",
            file=file.name,
            key=repr(key[-1] if isinstance(key, tuple) else key)[:100],
        )


def _answer_of(line: dict[str, Any]) -> str | None:
    for name in ANSWERS:
        if isinstance(line.get(name), str):
            return str(line[name])
        if isinstance(line.get(name), bool | int | float):
            return json.dumps(line[name])
    choices = line.get("choices")
    turns = choices[0].get("turns") if isinstance(choices, list) and choices and isinstance(choices[0], dict) else None
    if isinstance(turns, list) and turns and isinstance(turns[0], str):
        return str(turns[0])
    has_old_form = "question_id" in line and isinstance(line.get("text"), str) and "category" not in line
    return str(line["text"]) if has_old_form else None
