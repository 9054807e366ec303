"""Judgments of pairs, as people, judges and other programs write them: JSONL, JSON or CSV, a row a judgment."""

import csv
import io
import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from ...errors import Problem, UserError

Winner = Literal["a", "b", "tie"]
LARGEST = 500_000_000  # bytes of one file
MOST_KEPT = 20  # rows that cannot be used, said one by one; the others are counted
NAMES = {  # ours first, then those of FastChat, of MT-bench and of the QLoRA repository
    "question": ("question", "question_id", "prompt_id", "id", "prompt"),
    "model_a": ("model_a", "model_1", "model1", "a"),
    "model_b": ("model_b", "model_2", "model2", "b"),
    "winner": ("winner", "score", "vote", "g1_winner", "preference"),
    "rater": ("rater", "judge", "reviewer", "reviewer_id", "annotator", "worker_id", "user"),
    "category": ("category",),
}
WINNERS: dict[str, Winner] = {
    **dict.fromkeys(("a", "model_a", "model_1", "model1", "1", "left", "first", "answer1"), "a"),
    **dict.fromkeys(("b", "model_b", "model_2", "model2", "2", "right", "second", "answer2"), "b"),
    **dict.fromkeys(("tie", "3", "draw", "both", "equal", "equally good", "both bad", "both_bad", "bothbad"), "tie"),
    "tie (bothbad)": "tie",
}
PAIR_IN_NAME = re.compile(r"^(?P<a>.+?)[-_]vs[-_](?P<b>.+?)(?:[-_]gpt-[\w.]+)?(?:[-_]reviewer)?(?:[-_]threeclass)?$")


@dataclass(frozen=True)
class Judgment:
    """One answer of two was better, or neither was. question, rater and category are "" where they are not known."""

    model_a: str
    model_b: str
    winner: Winner
    question: str = ""
    rater: str = ""
    category: str = ""

    def to_json(self) -> dict[str, str]:
        return asdict(self)

    @property
    def pair(self) -> tuple[str, str]:
        """Both models, by name: whichever stood first."""
        return (self.model_a, self.model_b) if self.model_a < self.model_b else (self.model_b, self.model_a)

    @property
    def score(self) -> float:
        """What model_a gets: 1, 0, or a half of a tie."""
        return {"a": 1.0, "b": 0.0, "tie": 0.5}[self.winner]


@dataclass(frozen=True)
class BadRow:
    """A row that says nothing that could be counted."""

    line: int
    problem: Problem

    def to_json(self) -> dict[str, Any]:
        return {"line": self.line, "code": self.problem.code, "sentence": str(self.problem)}


@dataclass
class Judgments:
    """The rows of a file, and those that could not be used: the first of them, and how many there are."""

    rows: list[Judgment] = field(default_factory=list)
    bad: list[BadRow] = field(default_factory=list)
    bad_count: int = 0

    def leave_out(self, line: int, problem: Problem) -> None:
        self.bad_count += 1
        if len(self.bad) < MOST_KEPT:
            self.bad.append(BadRow(line, problem))


def read_judgments(*files: Path) -> Judgments:
    """All rows of some files. Raises UserError where one cannot be read, or where no row says who was better."""
    found = Judgments()
    for file in files:
        for line, row in _rows_of(file):
            try:
                found.rows.append(judgment_of(row, file.stem))
            except UserError as error:
                found.leave_out(line, error.problem)
    if not found.rows:
        first = found.bad[0].problem if found.bad else Problem("ratings.no_rows", "It has no rows.")
        raise UserError(
            "ratings.nothing_judged",
            "{file} has no row that says who was better. Rows need model_a, model_b and winner (a, b or tie). {first}",
            file=", ".join(file.name for file in files),
            first=first,
        )
    return found


def judgment_of(row: Any, file_name: str = "") -> Judgment:
    """What one row says, its columns named as in NAMES. file_name: without its ending, which names the pair where the
    rows do not: A-vs-B. Raises UserError.
    """
    if isinstance(row, UserError):
        raise row
    if not isinstance(row, Mapping):
        raise UserError("ratings.no_object", "A row is an object with model_a, model_b and winner.")
    said = {name: next((row[one] for one in names if _is_said(row.get(one))), None) for name, names in NAMES.items()}
    named = PAIR_IN_NAME.match(file_name)
    if named and said["model_a"] is None and said["model_b"] is None:
        said |= {"model_a": named["a"], "model_b": named["b"]}
    models = [_text(said[name]) for name in ("model_a", "model_b")]
    if not all(models):
        raise UserError("ratings.no_models", "The row names no two models in model_a and model_b.")
    if models[0] == models[1]:
        raise UserError("ratings.same_model", "The row sets {model} against itself.", model=models[0])
    return Judgment(
        models[0],
        models[1],
        _winner(said["winner"], models),
        _text(said["question"]),
        _text(said["rater"]),
        _text(said["category"]),
    )


def _winner(said: Any, models: list[str]) -> Winner:
    """From a word, a name, the class 1, 2 or 3, or a pair of scores. Raises UserError."""
    if isinstance(said, str) and re.fullmatch(r"\s*[\[(].*,.*[\])]\s*", said):
        said = [_number(part) for part in said.strip(" []()").split(",")]
    if isinstance(said, list) and len(said) == 2 and all(_is_score(one) for one in said):
        return _of_scores(*said)
    word = re.sub(r"\.0$", "", _text(said)).strip("[]* ")
    if word in models and models[0] != models[1]:
        return "a" if word == models[0] else "b"
    winner = WINNERS.get(word.lower())
    if winner is None:
        raise UserError(
            "ratings.no_winner", "The row says {said!r} for the winner, which is neither a, b nor tie.", said=word
        )
    return winner


def _of_scores(first: float, second: float) -> Winner:
    if first == second:
        return "tie"
    return "a" if first > second else "b"


def _is_score(value: Any) -> bool:
    """-1 stands for a judgment that could not be read."""
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        return -1.0


def _is_said(value: Any) -> bool:
    return value is not None and value != ""


def _text(value: Any) -> str:
    return "" if value is None else str(value).strip()


def _rows_of(file: Path) -> Iterator[tuple[int, Any]]:
    """(line, row) of a file; in place of a row that cannot be read its UserError. Raises UserError."""
    text = _read(file)
    if text.lstrip().startswith("["):
        yield from _of_list(text, file)
    elif text.lstrip().startswith("{"):
        yield from _of_lines(text)
    else:
        yield from _of_table(text)


def _read(file: Path) -> str:
    if not file.is_file():
        raise UserError("file.not_there", "There is no file {file}.", file=file)
    if file.stat().st_size > LARGEST:
        raise UserError(
            "ratings.too_large", "{file} is larger than {most:,.0f} MB.", file=file.name, most=LARGEST / 1e6
        )
    try:
        return file.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError("ratings.no_text", "{file} is no text in UTF-8. Save it as such.", file=file.name) from error


def _of_lines(text: str) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(text.split("\n"), 1):  # not splitlines: a JSON text may hold U+2028
        if line.strip():
            yield number, _parsed(line)


def _parsed(line: str) -> Any:
    try:
        return json.loads(line)
    except (ValueError, RecursionError):
        return UserError("ratings.no_json", "The line is no JSON: it may be cut off.")


def _of_list(text: str, file: Path) -> Iterator[tuple[int, Any]]:
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise UserError("ratings.broken_list", "{file} is a list in JSON that is broken.", file=file.name) from error
    yield from enumerate(rows, 1)


def _of_table(text: str) -> Iterator[tuple[int, Any]]:
    head = text.split("\n", 1)[0]
    separator = max(",;\t", key=head.count)
    reader = csv.DictReader(io.StringIO(text, newline=""), delimiter=separator)
    reader.fieldnames = [(name or "").strip().lower() for name in reader.fieldnames or ()]
    try:
        for row in reader:
            yield reader.line_num, row
    except csv.Error:
        yield reader.line_num, UserError("ratings.no_csv", "The line is no row of a CSV file.")
