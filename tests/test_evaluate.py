"""Evaluators: what they score, how sure a figure is, and that adding one is one file and one word."""

import json
import math
import random

import pytest

from qlora_app.evaluate import EVALUATORS, Evaluation, Evaluator, ExactMatch, Figure, Measure, TokenF1
from qlora_app.evaluate.evaluation import Unanswered
from qlora_app.evaluate.question_sets import QuestionSet, SetQuestion
from qlora_app.tasks import Question


def asked(*expected: str, categories: str = "") -> QuestionSet:
    """Questions with these right answers, and with a letter of `categories` each."""
    found = []
    for place, text in enumerate(expected):
        question = Question([{"role": "user", "content": f"q{place}"}], text)
        found.append(SetQuestion(str(place), categories[place : place + 1], question))
    return QuestionSet.of("some", found)


def measured(evaluator: Evaluator, questions: QuestionSet, **answers: list[str]) -> Measure:
    rows = {name: {str(i): {"answer": one} for i, one in enumerate(given)} for name, given in answers.items()}
    return evaluator.measure(rows, questions, None, None)


def test_exact_match_counts_answers_that_are_right_word_for_word():
    found = measured(ExactMatch(), asked("Mira", "Otto"), parrot=["Mira ", "otto"])
    assert found.of("parrot").figures["exact_match"].value == 0.5 and found.unit == "share"


@pytest.mark.parametrize(
    ("answer", "expected", "score"),
    [
        ("the red boat", "a red boat", 2 * 2 / 6),
        ("boat red", "Red boat", 1.0),
        ("red red red", "red", 2 * 1 / 4),
        ("", "", 1.0),
        ("", "x", 0.0),
        ("x", "", 0.0),
    ],
)
def test_token_f1_is_the_share_of_words_in_common(answer, expected, score):
    assert TokenF1().score(Question([], expected), answer) == pytest.approx(score)


def test_an_evaluation_comes_back_from_its_file():
    found = measured(TokenF1(), asked("a", "c", categories="xy"), one=["a b", "c"], other=["a", ""])
    whole = Evaluation("some", "ab", 2, ["one", "other"], [found], {"one": "k"}, [Unanswered("other", 1, "why")], ["n"])
    assert Evaluation.from_json(json.loads(json.dumps(whole.to_json()))) == whole


@pytest.mark.parametrize(
    ("right", "of", "low", "high"), [(0, 10, 0.0, 0.278), (5, 10, 0.237, 0.763), (10, 10, 0.722, 1)]
)
def test_the_interval_of_a_share_is_wilsons(right, of, low, high):
    figure = Figure.mean_of([1.0] * right + [0.0] * (of - right))
    assert (figure.low, figure.high) == (pytest.approx(low, abs=1e-3), pytest.approx(high, abs=1e-3))


@pytest.mark.parametrize("draw", [lambda r: float(r.random() < 0.9), lambda r: r.betavariate(2, 3)])
def test_the_interval_holds_the_true_mean_about_95_times_of_100(draw):
    chance = random.Random(0)
    true = 0.9 if draw(random.Random(1)) in (0.0, 1.0) else 2 / 5
    held = 0
    for _ in range(1000):
        figure = Figure.mean_of([draw(chance) for _ in range(60)])
        held += figure.low <= true <= figure.high
    assert 0.93 <= held / 1000 <= 0.975


def test_of_no_question_nothing_is_known():
    figure = Figure.mean_of([])
    assert (figure.questions, figure.low, figure.high) == (0, 0.0, 1.0) and math.isfinite(figure.value)


def test_every_evaluator_is_known_by_its_own_name_and_says_what_it_measures():
    for name, kind in EVALUATORS.items():
        assert issubclass(kind, Evaluator) and kind().name == name and kind.title
