"""Errors a person can act on.

Each has a code, which names one meaning for good ("dataset.too_large": the room it is about and what is wrong there),
and the values its sentence is filled with: programs ask for the code, another language for code and values.
"""

from collections.abc import Mapping
from typing import Any

from typing_extensions import Self  # in typing from Python 3.11 on


class Problem(str):
    """A sentence that says what is wrong, with its `code`, its `template` and the `values` that stand in that.

    It is a text like any other. A value is a text, a number, True, False or None; another problem stays one.
    """

    code: str
    template: str
    values: dict[str, Any]

    def __new__(cls, code: str, template: str, /, **values: Any) -> Self:
        """`template`: the English sentence with `{name}` where a value stands, written as `str.format` reads it."""
        plain = {name: _plain(value) for name, value in values.items()}
        problem = super().__new__(cls, template.format(**plain))
        problem.code, problem.template, problem.values = code, template, plain
        return problem

    def __getnewargs_ex__(self) -> tuple[tuple[str, str], dict[str, Any]]:  # how a copy is made
        return (self.code, self.template), self.values


class UserError(Exception):
    """What went wrong and what to do about it, in words the person can act on.

    `problem` is the sentence with its code and values; `problems` maps the dotted name of a setting to its sentence, so
    that a form can show each at its own field.
    """

    def __init__(
        self, code: str, template: str, /, problems: Mapping[str, Problem] | None = None, **values: Any
    ) -> None:
        """`code`, `template` and `values` as of a Problem."""
        self.problem = Problem(code, template, **values)
        super().__init__(str(self.problem))
        self.problems: dict[str, Problem] = dict(problems or {})

    @property
    def code(self) -> str:
        return self.problem.code

    @property
    def values(self) -> dict[str, Any]:
        return self.problem.values

    @classmethod
    def of(cls, problem: Problem, problems: Mapping[str, Problem] | None = None) -> Self:
        """The error that says what is said already."""
        return cls(problem.code, problem.template, problems, **problem.values)

    @classmethod
    def at(cls, setting: str, code: str, template: str, /, **values: Any) -> Self:
        """The error of one setting, with its dotted name."""
        problem = Problem(code, template, **values)
        return cls.of(problem, {setting: problem})

    @classmethod
    def of_all(cls, problems: Mapping[str, Problem], between: str = "\n") -> Self:
        """All that is wrong with some settings; where that is one thing, its own error."""
        different = list(dict.fromkeys(problems.values()))
        if len(different) == 1:
            return cls.of(different[0], problems)
        return cls("recipe.several_wrong", "{sentences}", problems, sentences=between.join(different))


class Stopped(Exception):
    """Somebody asked for an end of the work. What is there by then is kept."""


def _plain(value: Any) -> Any:
    if value is None or isinstance(value, str | int | float):
        return value
    return value.problem if isinstance(value, UserError) else str(value)
