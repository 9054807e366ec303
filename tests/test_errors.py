"""Laws of errors: each code names one meaning for good, and its sentence is filled with what is given with it."""

import ast
import copy
import json
import string
from collections import defaultdict
from pathlib import Path

import pytest
import yaml

from qlora_app.errors import Problem, UserError, joined, sentence_of, with_code
from tests.error_codes import CODE, PACKAGE, TEXTS, every_error, texts

TESTS = Path(__file__).parent
MAKERS = {"UserError", "Problem", "NotTrainable", "AskColumns", "NotHere", "HubUnavailable"}


def test_a_code_has_one_sentence():
    sentences = defaultdict(set)
    for error in every_error():
        sentences[error.code].add(error.template)
    assert len(sentences) > 200
    assert {code: several for code, several in sentences.items() if len(several) > 1} == {}


def test_every_sentence_is_the_one_that_was_meant():
    """One that is changed on purpose is kept with `python -m tests.error_codes --write`."""
    assert texts() == yaml.safe_load(TEXTS.read_text(encoding="utf-8"))


def places_of(template):
    return {name for _, name, _, _ in string.Formatter().parse(template) if name is not None}


def test_what_stands_in_a_sentence_is_given_with_it():
    lacking = {error.where: places_of(error.template) - error.values for error in every_error()}
    assert {where: names for where, names in lacking.items() if names} == {}


def calls(path, names):
    """Every call in a file of a function or class with one of these names."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in names:
            yield node


def test_every_error_is_made_with_a_code():
    """Or of another one, whose code and template are handed on."""
    handed_on = {"code", "template", "problem.code", "problem.template", "title", "text"}
    made = [(path, call) for path in sorted(PACKAGE.rglob("*.py")) for call in calls(path, MAKERS)]
    without = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path, call in made
        if not any(isinstance(one, ast.Constant) and CODE.fullmatch(str(one.value)) for one in call.args[:2])
        and ast.unparse(call.args[0]) not in handed_on
    ]
    assert len(made) > 200 and without == []


def test_every_code_that_a_test_expects_is_one_of_the_package():
    expected = set()
    for path in TESTS.rglob("*.py"):
        for call in calls(path, {"refused", "check_problem"}):
            place = 0 if getattr(call.func, "id", "") == "refused" else 1
            expected |= {one.value for one in call.args[place : place + 1] if isinstance(one, ast.Constant)}
    assert len(expected) > 50 and expected - set(texts()) == set()


# ---- problems


def test_a_problem_is_its_sentence_and_keeps_its_values_when_it_is_copied():
    inner = Problem("preset.near", "Do you mean {name}?", name="starter")
    problem = Problem("preset.unknown", "There is no preset {name!r}. {hint}", name="start", hint=inner)
    again = copy.deepcopy(problem)
    assert problem == again == "There is no preset 'start'. Do you mean starter?"
    assert again.values == {"name": "start", "hint": inner} and again.values["hint"].code == "preset.near"


def test_a_problem_comes_back_from_json_with_those_in_it():
    inner = Problem("preset.near", "Do you mean {name}?", name="{odd}")
    problem = Problem("moon.full", "Full by {share} and {far:,}: {hint}", share=float("nan"), far=4000, hint=inner)
    again = sentence_of(json.loads(json.dumps(with_code({"sentence": problem}), allow_nan=False)))
    assert again == "Full by nan and 4,000: Do you mean {odd}?"
    assert again.code == "moon.full" and again.values == {"share": "nan", "far": 4000, "hint": inner}
    assert again.values["hint"].values == {"name": "{odd}"}


@pytest.mark.parametrize("kept", [{}, {"sentence": "x", "code": 5, "values": {}}, {"sentence": "x", "code": "a.b"}])
def test_what_an_older_version_kept_is_a_sentence(kept):
    again = sentence_of(kept)
    assert again == kept.get("sentence", "") and not isinstance(again, Problem)


def test_several_mistakes_are_one_error_that_knows_each():
    first, second = Problem("a.one", "One."), Problem("a.two", "Two.")
    error = UserError.of_all({"x": first, "y": second, "z": first})
    assert str(error) == "One.\nTwo." and error.problems["z"].code == "a.one"
    assert UserError.of_all({"x": first, "y": first}).code == "a.one"
    assert joined([first, second, first], "; ") == "One.; Two.; One."
