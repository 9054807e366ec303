"""What an arena shows: questions, each with the answers of several models, as evaluations keep them."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...storage.reading import each_line

MOST_QUESTIONS, MOST_MODELS = 10_000, 16
LONGEST_TEXT = 50_000  # characters of a question or an answer that are shown
Pair = tuple[str, str]  # two models, by name


@dataclass(frozen=True)
class ArenaQuestion:
    """answers: {model: what it said}, of the models that said something. checksums: {model: of what answered}."""

    id: str
    text: str
    category: str
    answers: dict[str, str]
    checksums: dict[str, str] = field(default_factory=dict)

    @property
    def pairs(self) -> Iterator[Pair]:
        """Those that both answered."""
        return itertools.combinations(sorted(self.answers), 2)

    def to_json(self) -> dict[str, Any]:
        asked = {"id": self.id, "question": self.text, "category": self.category}
        return asked | {"answers": self.answers, "checksums": self.checksums}

    @classmethod
    def from_json(cls, row: dict[str, Any], place: int) -> "ArenaQuestion":
        """A row of an evaluation's rows.jsonl. place: names a question that has no name."""
        answers: Any = row.get("answers")
        every = answers.items() if isinstance(answers, dict) else ()
        said = {str(model): text.strip() for model, text in every if isinstance(text, str) and text.strip()}
        given: Any = row.get("checksums")
        known = given.items() if isinstance(given, dict) else ()
        checksums = {str(model): one for model, one in known if isinstance(one, str) and one}
        text, category = (str(row.get(name) or "") for name in ("question", "category"))
        return cls(str(row.get("id") or place), text, category, said, checksums)


def questions_in(file: Path) -> list[ArenaQuestion]:
    """Those that two models answered. Raises UserError where there are none."""
    if not file.is_file():
        raise UserError("file.not_there", "There is no file {file}.", file=file)
    rows = (row for row, _ in each_line(file) if row is not None)
    every = (ArenaQuestion.from_json(row, place) for place, row in enumerate(rows, 1))
    found = {one.id: one for one in every if one.text.strip() and len(one.answers) > 1}
    models = {model for one in found.values() for model in one.answers}
    if not found:
        raise UserError(
            "arena.no_questions",
            "{file} has no question that two models answered. A row has id, question and answers, an object with an "
            "answer of each model: the rows.jsonl of an evaluation is such a file.",
            file=file.name,
        )
    if len(found) > MOST_QUESTIONS or len(models) > MOST_MODELS:
        raise UserError(
            "arena.too_many",
            "An arena takes at most {questions:,} questions and {models} models; {file} has {has:,} and {named}.",
            questions=MOST_QUESTIONS,
            models=MOST_MODELS,
            file=file.name,
            has=len(found),
            named=len(models),
        )
    return list(found.values())
