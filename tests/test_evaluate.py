"""Evaluators: what they score, how sure a figure is, and that adding one is one file and one word."""

import math
import random

import pytest

from qlora_app.evaluate import EVALUATORS, Evaluation, Evaluator, ExactMatch, Figure, TokenF1
from qlora_app.tasks import Question
from qlora_app.tasks.asked import Asked


class Parrot:
    """An answerer with answers of its own."""

    name = "parrot"

    def __init__(self, *answers: str) -> None:
        self.given = answers

    def answers(self, questions, on_progress):
        on_progress(len(questions), len(questions))
        return list(self.given[: len(questions)])


def questions(*expected: str) -> list[Asked]:
    return [Asked(Question([{"role": "user", "content": f"q{i}"}], text), 3, 2, 9) for i, text in enumerate(expected)]


def test_exact_match_counts_answers_that_are_right_word_for_word():
    heard = []
    found = ExactMatch().run(Parrot("Mira ", "otto"), questions("Mira", "Otto"), lambda *at: heard.append(at))
    assert found.figures["exact_match"].value == 0.5 and heard == [(2, 2)]
    assert [row.answer for row in found.misses] == ["otto"] and found.answerer == "parrot"


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
    found = TokenF1().run(Parrot("a b", "c"), questions("a", "c"), lambda *_: None)
    assert Evaluation.from_json(found.to_json()) == found


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
