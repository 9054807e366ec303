"""Questions with choices, of which one is right: which one is meant, and from where its number counts."""

import re
from typing import Any

from ...messages import Message
from .row_view import Reading
from .turns import CONTEXTS, Columns, RowError, text_of, turn

RIGHT_CHOICES = (
    *("answer", "answerkey", "answer_key", "label", "cop", "correct", "target", "output", "correct_answer"),
    *("correct_answer_id", "correct_index", "correct_option", "correct_choice", "correct_answer_index", "correct_idx"),
    *("answer_index", "answer_idx", "answer_id", "gold", "gold_index", "gold_label", "right_answer", "solution"),
)
_LABELS = ("label", "target", "output", "solution")  # what may be a text that is none of the choices
_NUMBERED = re.compile(r"(choice|option|ending|op|answer)_?[0-9a-h]")  # choice0 to choice3, option_a, opa to opd
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_MMLU = ["col1", "col2", "col3", "col4", "col5", "col6"]  # of a table without names: question, A, B, C, D, letter


def multiple_choice(row: Reading, first: int = 0) -> list[Message]:
    """Question and lettered choices -> the letter of the right one, which may be given as letter, as number, or in
    full. `first`: what numbers count from.
    """
    row = _with_names(row)
    labels, choices = _choices(row)
    name = next((name for name in RIGHT_CHOICES if name in row), None)
    if name is None:
        raise RowError("it has no column for the right choice; looked for answer, answerKey, label")
    lines = [text_of(row[column], column) for column in ("premise", *CONTEXTS, "question", "query") if row.peek(column)]
    lines += [f"{_LETTERS[i]}. {choice}" for i, choice in enumerate(choices)]
    letter = _letter(row[name], name, labels, choices, first)
    return [turn("user", "\n".join(lines), "question"), turn("assistant", letter, name)]


def _choices(row: Reading) -> tuple[list[str], list[str]]:
    """(what the choices are called in the row, their texts)"""
    value = row.get(next((name for name in ("choices", "options", "answers") if name in row), "choices"))
    if isinstance(value, dict) and isinstance(value.get("text"), list):
        value = row.inside(value, "the choices")
        labels = _LETTERS
        if isinstance(value.get("label"), list):
            labels = value["label"]
        value = dict(zip(labels, value["text"], strict=False))
    if isinstance(value, list):
        value = dict(zip(_LETTERS, value, strict=False))
    if not isinstance(value, dict):
        names = numbered(row) or sorted(set("abcdefgh") & row.keys())
        value = {name: row[name] for name in names}
    if not 2 <= len(value) <= len(_LETTERS):
        raise RowError(f"it has {len(value)} choices")
    texts = [text_of(text, "choices") for text in value.values()]
    return [str(label) for label in value], texts


def _letter(given: Any, column: str, labels: list[str], choices: list[str], first: int) -> str:
    found = _named(given, labels, choices)
    number = _number(given, labels, choices)
    if number is not None and first <= number < first + len(choices):
        found = number - first
    if found is None:
        raise RowError(f"`{column}` is {str(given)[:30]!r}, which is none of its {len(choices)} choices")
    return _LETTERS[found]


def _named(given: Any, labels: list[str], choices: list[str]) -> int | None:
    """The place of a choice that is given by what it is called, in full, or by its letter."""
    text = str(given).strip().lower()
    names = [[label.lower() for label in labels], [choice.strip().lower() for choice in choices]]
    names.append(list(_LETTERS[: len(choices)].lower()))
    return next((known.index(text) for known in names if text in known), None)


def _number(given: Any, labels: list[str], choices: list[str]) -> int | None:
    """The number by which a choice is given; None where it is given in another way."""
    text = str(given).strip().lower()
    if isinstance(given, bool) or not text.isdecimal() or text in labels:
        return None
    # a text may be a choice that happens to be a number
    is_number = not isinstance(given, str) or _NUMBERED.fullmatch(labels[0])
    if not is_number and text in [choice.strip().lower() for choice in choices]:
        return None
    return int(text)


def _with_names(row: Reading) -> Reading:
    """A row of MMLU without a header has its columns by their places."""
    if not is_headless_mmlu(row):
        return row
    row.taken.update(row)
    return Reading(dict(zip(("question", "a", "b", "c", "d", "answer"), row.values(), strict=True)))


class ChoiceNumbers:
    """The numbers of the right choices of a file, which only together tell whether they count from 0 or from 1."""

    def __init__(self) -> None:
        self.rows = 0  # whose right choice is a number
        self.has_zero = self.has_last = self.name_one = False

    def add(self, columns: Columns) -> None:
        """A row, whether it can be used or not."""
        row = _with_names(Reading(columns))
        name = next((name for name in RIGHT_CHOICES if name in row), None)
        if name is None:
            return
        try:
            labels, choices = _choices(row)
        except RowError:
            return
        number = _number(row[name], labels, choices)
        if number is None:
            return
        self.rows += 1
        self.has_zero |= number == 0
        self.has_last |= number == len(choices)
        self.name_one |= bool(_NUMBERED.fullmatch(labels[0])) and labels[0].endswith("1")

    @property
    def first(self) -> int:
        """What they count from: 0 where it stands there or nothing tells."""
        return int(not self.has_zero and (self.has_last or self.name_one))

    def sentences(self) -> list[str]:
        if not self.rows:
            return []
        if self.first:
            return ["Numbers of right choices count from 1, so 1 is A: 0 stands in no row."]
        if self.has_zero:
            return ["Numbers of right choices count from 0, so 0 is A."]
        return [
            "Do the numbers of right choices count from 0 or from 1? Neither 0 nor the number of the choices stands in "
            "any row, so nothing tells. They are taken as counting from 0: if they count from 1, every answer is "
            "wrong. Write letters instead of numbers to be sure."
        ]


def has_choice_list(row: Columns) -> bool:
    """Is there a list of answers, and beside it which of them is right?"""
    listed = row.get("answers")
    if not isinstance(listed, list) or not listed or not isinstance(listed[0], str) or "answer" in row:
        return False
    name = next((name for name in RIGHT_CHOICES if name in row), None)
    right = None if name is None else dict.get(row, name)
    if isinstance(right, bool):
        return False
    return isinstance(right, int) or (isinstance(right, str) and name not in _LABELS)


def numbered(row: Columns) -> list[str]:
    """The columns of choices; answers are choices where another column says which is right."""
    names = [name for name in row if _NUMBERED.fullmatch(name)]
    if row.keys().isdisjoint(RIGHT_CHOICES):
        return [name for name in names if not name.startswith("answer")]
    return names


def is_headless_mmlu(row: Columns) -> bool:
    return list(row) == _MMLU and row["col6"] in ("A", "B", "C", "D")
