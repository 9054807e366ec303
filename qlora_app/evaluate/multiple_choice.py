"""Multiple-choice questions of MMLU's shape, and the prompts that artidoro/qlora asks them with.

FOLDER/test/SUBJECT_test.csv, FOLDER/dev/SUBJECT_dev.csv      rows question, A, B, C, D, answer; without a header
SUBJECT.csv                                                   one subject, without shots
FILE.json, FILE.jsonl                                         {subject, input: the whole prompt, output: the letter}
"""

import csv
import io
import re
from collections.abc import Iterator
from pathlib import Path
from typing import ClassVar, Literal

from pydantic import Field

from ..choices import setting
from ..errors import UserError
from ..settings import Settings
from ..storage.reading import read_text
from ..tasks import Question
from .json_rows import rows_of_json
from .question_sets import QuestionsChoice, QuestionSet, SetQuestion

LETTERS = "ABCD"
HEADER = "The following are"
LARGEST = 100_000_000  # bytes of a file
_SHOT_END = re.compile(r"(?<=\nAnswer: [A-D])\n\n")
_SPLIT = re.compile(r"_(test|dev|val)$")


class Mmlu(QuestionsChoice):
    """A folder or file of multiple-choice questions on this machine."""

    name: Literal["mmlu"] = "mmlu"
    title: ClassVar[str] = "Multiple choice, as MMLU"
    path: str = Field(max_length=4096)  # as it was named; what is read is the job's copy
    split: Literal["test", "val"] = setting("test", "Questions", "Of which part.")

    @property
    def file(self) -> Path | None:
        return Path(self.path)

    def read(self, files: Path, settings: Settings) -> QuestionSet:
        place = files / Path(self.path).name
        questions = list(_of_folder(place, self.split) if place.is_dir() else _of_file(place))
        if not questions:
            raise UserError(
                "evaluate.no_choices",
                "{name} holds no multiple-choice questions. They are rows of question, A, B, C, D and the right "
                "letter in {split}/SUBJECT_{split}.csv, or JSON with subject, input and output.",
                name=place.name,
                split=self.split,
            )
        return QuestionSet.of(place.name, questions)


def header_of(subject: str) -> str:
    """With two blanks before the subject, as in the files of artidoro/qlora."""
    return f"{HEADER} multiple choice questions (with answers) about  {subject.replace('_', ' ')}.\n\n"


def asked(question: str, options: list[str]) -> str:
    """One question up to its answer."""
    listed = "".join(f"\n{letter}. {option}" for letter, option in zip(LETTERS, options, strict=True))
    return f"{question}{listed}\nAnswer:"


def _of_folder(folder: Path, split: str) -> Iterator[SetQuestion]:
    """Every subject in the order of the names. The shots are those of its dev file, where there is one."""
    place = folder / split if (folder / split).is_dir() else folder
    for file in sorted(place.glob("*.csv")):
        subject = _SPLIT.sub("", file.stem)
        if file.stem.endswith(("_dev", "_val", "_test")) and not file.stem.endswith(f"_{split}"):
            continue
        dev = folder / "dev" / f"{subject}_dev.csv"
        shots = [f"{asked(*row[:2])} {row[2]}\n\n" for row in _rows(dev)] if dev.is_file() else []
        yield from _of_rows(subject, file, shots)


def _of_file(file: Path) -> Iterator[SetQuestion]:
    if file.suffix.lower() == ".csv":
        yield from _of_rows(_SPLIT.sub("", file.stem), file, [])
        return
    for number, row in enumerate(rows_of_json(file), 1):
        subject, prompt, letter = (str(row.get(name, "")) for name in ("subject", "input", "output"))
        letter = letter.strip()
        if letter not in tuple(LETTERS) or not prompt.endswith("Answer:"):
            continue
        first, blank, rest = prompt.partition("\n\n")
        header = first + blank
        if not first.startswith(HEADER):
            header, rest = "", prompt
        *shots, body = _SHOT_END.split(rest)
        yield _question(f"{subject}/{number}", subject, (header, *(f"{shot}\n\n" for shot in shots), body), letter)


def _of_rows(subject: str, file: Path, shots: list[str]) -> Iterator[SetQuestion]:
    for number, (question, options, letter) in enumerate(_rows(file), 1):
        pieces = (header_of(subject), *shots, asked(question, options))
        yield _question(f"{subject}/{number}", subject, pieces, letter)


def _question(id: str, subject: str, pieces: tuple[str, ...], letter: str) -> SetQuestion:
    question = Question([{"role": "user", "content": pieces[-1]}], letter)
    return SetQuestion(id, subject, question, pieces)


def _rows(file: Path) -> list[tuple[str, list[str], str]]:
    """(question, options, letter) of every row; a header, and answers that are numbers from 0, are known too.

    Raises UserError naming the file and the row that is none.
    """
    text = read_text(file, LARGEST).lstrip("\N{ZERO WIDTH NO-BREAK SPACE}")
    found = []
    for number, row in enumerate(csv.reader(io.StringIO(text, newline="")), 1):
        if not row or (number == 1 and row[-1].strip().lower() == "answer"):
            continue
        letter = row[-1].strip().upper()
        if letter in ("0", "1", "2", "3"):
            letter = LETTERS[int(letter)]
        if len(row) != len(LETTERS) + 2 or letter not in tuple(LETTERS):
            raise UserError(
                "evaluate.no_choice_row",
                "Row {row} of {name} is no multiple-choice question: it needs question, A, B, C, D and the right "
                "letter.",
                row=number,
                name=file.name,
            )
        found.append((row[0], row[1:-1], letter))
    return found
