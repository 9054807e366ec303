"""Errors a person can act on.

Each has a code, which names one meaning for good ("dataset.too_large": the room it is about and what is wrong there),
and the values its sentence is filled with: programs ask for the code, another language for code and values.
"""

import math
from collections.abc import Mapping, Sequence
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
        return cls("recipe.several_wrong", "{sentences}", problems, sentences=joined(different, between))


def joined(problems: Sequence[Problem], between: str) -> Problem:
    """Several as one text that knows each of them; `between`: a comma, a semicolon, a space or a line end."""
    *before, last = problems
    text = last
    for problem in reversed(before):
        text = _pair(problem, between, text)
    return text


def _pair(first: Problem, between: str, rest: Problem) -> Problem:
    if between == "\n":
        return Problem("list.lines", "{first}\n{rest}", first=first, rest=rest)
    if between == "; ":
        return Problem("list.clauses", "{first}; {rest}", first=first, rest=rest)
    if between == " ":
        return Problem("list.sentences", "{first} {rest}", first=first, rest=rest)
    return Problem("list.words", "{first}, {rest}", first=first, rest=rest)


def with_code(said: dict[str, Any]) -> dict[str, Any]:
    """What is kept as JSON of something that has a `sentence`: where that is a problem, with its `code` and `values`
    beside it.
    """
    problem = said["sentence"]
    return said | _code_and_values(problem) if isinstance(problem, Problem) else said


def sentence_of(said: Mapping[str, Any]) -> str:
    """The sentence that `with_code` kept: a problem again where it was one."""
    sentence, code, values = str(said.get("sentence", "")), said.get("code"), said.get("values")
    if not isinstance(code, str) or not isinstance(values, dict):
        return sentence
    inner = {name: sentence_of(value) if isinstance(value, dict) else value for name, value in values.items()}
    return Problem(code, sentence.replace("{", "{{").replace("}", "}}"), **inner)


def _code_and_values(problem: Problem) -> dict[str, Any]:
    return {"code": problem.code, "values": {name: _kept(value) for name, value in problem.values.items()}}


def _kept(value: Any) -> Any:
    if isinstance(value, Problem):
        return {"sentence": str(value), **_code_and_values(value)}
    is_no_number = isinstance(value, float) and not math.isfinite(value)  # JSON knows neither nan nor inf
    return str(value) if is_no_number else value


class Stopped(BaseException):
    """Somebody asked for an end of the work. What is there by then is kept.

    It is no Exception: it is raised at any moment, also inside libraries, and whoever turns their errors into sentences
    must let it pass.
    """


def _plain(value: Any) -> Any:
    if type(value) is str:
        return value.encode("utf-8", "replace").decode("utf-8")  # names of files may hold what no page can
    if value is None or isinstance(value, str | int | float):
        return value
    return value.problem if isinstance(value, UserError) else str(value)
