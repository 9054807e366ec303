"""What a test says of an error: its code, and values of its sentence, never the sentence.

Each sentence stands once more in data/error_texts.yaml, which test_errors.py compares with the code.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import gradio as gr
import pytest

from qlora_app.errors import Problem, UserError


@contextmanager
def refused(code: str, *parts: Any, kind: type[Exception] = UserError) -> Iterator[pytest.ExceptionInfo]:
    """The block is refused with this error, whose values have these `parts`, as in `check_problem`.

    `kind`: a special UserError, or gr.Error for what a handler of the page raises.
    """
    with pytest.raises(kind) as caught:
        yield caught
    error: Any = caught.value
    check_problem(error.message if isinstance(error, gr.Error) else error.problem, code, *parts)


def check_problem(problem: str, code: str, *parts: Any) -> None:
    """It has this code. A part that is a text stands in one of its values, or is the code of a problem among them; any
    other part is one of them.
    """
    assert isinstance(problem, Problem), f"this has no code: {problem}"
    assert problem.code == code, f"{problem.code}: {problem}"
    values = list(_values(problem))
    for part in parts:
        found = any(part in str(value) for value in values) if isinstance(part, str) else part in values
        assert found, f"{part!r} is not among {values}"


def _values(problem: Problem) -> Iterator[Any]:
    """Its values, and the codes and values of the problems among them."""
    for value in problem.values.values():
        yield value
        if isinstance(value, Problem):
            yield value.code
            yield from _values(value)
