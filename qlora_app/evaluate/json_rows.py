"""Rows of a file that a person brought: a list in JSON, or an object on each line; the last may have no end."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ..storage.reading import read_text

LARGEST = 1_000_000_000  # bytes


def rows_of_json(file: Path) -> list[dict[str, Any]]:
    """Those that are objects; others are passed over. Raises OSError and ValueError where it is no text."""
    text = read_text(file, LARGEST).removeprefix("\ufeff")
    if text.lstrip().startswith("["):
        found = _value(text)
        return [row for row in found if isinstance(row, dict)] if isinstance(found, list) else []
    rows = (_value(line) for line in text.split("\n") if line.strip())
    return [row for row in rows if isinstance(row, dict)]


def _value(text: str) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        return None


def of_several(row: Mapping[str, Any]) -> dict[str, str | None] | None:
    """{contestant: answer} of a row that an evaluation wrote; None of any other, also where `answers` are those of
    SQuAD: {text: [...], answer_start: [...]}.
    """
    answers = row.get("answers")
    if not isinstance(answers, dict) or not answers or answers.keys() <= {"text", "answer_start"}:
        return None
    return answers if all(answer is None or isinstance(answer, str) for answer in answers.values()) else None
