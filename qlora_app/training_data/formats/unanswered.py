"""Rows of exports that only ask: with something where their answer would stand, so that they are read as others are."""

from collections.abc import Iterator
from typing import Any

from .turns import Columns


def with_an_answer(row: Columns, said: str) -> Iterator[Columns]:
    """The row with `said` as its answer, for each format of an export it could be of."""
    if isinstance(row.get("data"), dict):
        result: Any = [{"from_name": "label", "type": "choices", "value": {"choices": [said]}}]
        yield row | {"annotations": [{"result": result}]}
    if any([isinstance(row.get(name), dict) for name in ("request", "body", "input", "kwargs")]):
        yield row | {"response": {"choices": [{"message": {"role": "assistant", "content": said}}]}}
    if isinstance(row.get("text"), str):
        yield row | {"label": [said]}
    if isinstance(row.get("context"), list):
        yield row | {"response": said}
    tokens = row.get("tokens")
    if isinstance(tokens, list):
        yield row | {"ner_tags": ["O"] * len(tokens)}
