"""Files of questions and of answers as people have them: an answer belongs to the question it was given to."""

import itertools
import json

import numpy as np
import pytest

from qlora_app.evaluate.answer_files import answers_in
from qlora_app.evaluate.compare import compared
from qlora_app.evaluate.contenders import EndpointContender
from qlora_app.evaluate.contestants import Contestant
from qlora_app.evaluate.question_sets import questions_in
from qlora_app.inference.refused_fields import RefusedFields
from qlora_app.settings import Endpoint, Settings
from tests.refusing import refused


def written(folder, name, rows):
    file = folder / name
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def told(folder, questions, answers):
    """{what is asked: the answer that is scored}"""
    asked = questions_in(written(folder, "q.jsonl", questions), Settings(home=folder))
    known = answers_in(written(folder, "a.jsonl", answers), Settings(home=folder))
    return {one.text: known.of(one) for one in asked.questions}


def test_an_id_that_stands_there_twice_moves_no_answer_to_another_question(tmp_path):
    ids = ("5", "5", "1", "2", "3")
    asked = [{"question_id": id, "question": f"Q {place}?"} for place, id in enumerate(ids)]
    answers = [{"question_id": id, "choices": [{"turns": [f"of {id}"]}]} for id in ("1", "2", "3")]
    expected = {"Q 0?": None, "Q 1?": None, "Q 2?": "of 1", "Q 3?": "of 2", "Q 4?": "of 3"}
    assert told(tmp_path, asked, answers) == expected
    ids = [one.id for one in questions_in(tmp_path / "q.jsonl", Settings(home=tmp_path)).questions]
    assert ids == ["5", "5#2", "1", "2", "3"]


def test_an_answer_that_says_its_question_answers_no_other(tmp_path):
    asked = [{"question": f"Q {number}?"} for number in range(3)]
    answers = [{"id": 1, "question": "Another?", "answer": "x"}] + [
        {"id": 10 + number, "question": f"Q {number}?", "answer": str(number)} for number in range(3)
    ]
    assert told(tmp_path, asked, answers) == {"Q 0?": "0", "Q 1?": "1", "Q 2?": "2"}


def test_of_questions_in_two_turns_the_first_is_asked_and_answered(tmp_path):
    asked = [{"question_id": 81, "category": "writing", "turns": ["First?", "Second?"]}]
    answers = [{"question_id": 81, "choices": [{"turns": ["to the first", "to the second"]}]}]
    assert told(tmp_path, asked, answers) == {"First?": "to the first"}


@pytest.mark.parametrize(("said", "expected"), [(2, "2"), (4.5, "4.5"), (True, "true"), ("x", "x")])
@pytest.mark.parametrize("column", ["answer", "expected"])
def test_right_answers_that_are_numbers_are_answers(column, said, expected, tmp_path):
    file = written(tmp_path, "q.jsonl", [{"question": "How many?", column: said}])
    assert questions_in(file, Settings(home=tmp_path)).questions[0].expected == expected
    known = answers_in(written(tmp_path, "a.jsonl", [{"id": 1, "answer": said}]), Settings())
    assert known.by_id == {"1": expected}


def test_two_answers_to_one_question_are_refused(tmp_path):
    with refused("evaluate.two_answers"):
        answers_in(written(tmp_path, "a.jsonl", [{"id": 1, "answer": "a"}, {"id": 1, "answer": "b"}]), Settings())
    assert answers_in(written(tmp_path, "a.jsonl", [{"id": 1, "answer": "a"}] * 2), Settings()).by_id == {"1": "a"}


@pytest.mark.parametrize(("separator", "mark"), [(",", ""), (";", "\ufeff"), ("\t", "")])
def test_a_table_of_answers_is_read_as_programs_of_tables_write_it(tmp_path, separator, mark):
    lines = [["Question", "Answer"], ['"Who, and where?"', '"Mira\nin Pennywick"'], ["How many?", "4"]]
    file = tmp_path / "answers.csv"
    file.write_text(mark + "".join(separator.join(line) + "\n" for line in lines), encoding="utf-8")
    known = answers_in(file, Settings())
    assert known.by_text == {"Who, and where?": "Mira\nin Pennywick", "How many?": "4"}
    file.write_text("question_id,generation\n7,seven\n8,eight\n")
    assert answers_in(file, Settings()).by_id == {"7": "seven", "8": "eight"}


def test_the_rows_of_an_evaluation_are_answers_of_each_of_its_contestants(tmp_path):
    rows = [
        {"id": "1", "question": "Who?", "answers": {"two": "Otto"}},
        {"id": "2", "question": "Where?", "answers": {"base:one": "here", "two": "there"}},
    ]
    file = written(tmp_path, "rows.jsonl", rows)
    assert answers_in(file, Settings(), "base:one").by_text == {"Where?": "here"}
    assert answers_in(file, Settings(), "two").by_text == {"Who?": "Otto", "Where?": "there"}
    for whose in ("", "three"):
        with refused("evaluate.whose_answers"):
            answers_in(file, Settings(), whose)
    assert answers_in(written(tmp_path, "r.jsonl", rows[:1]), Settings()).by_text == {"Who?": "Otto"}
    found = [Contestant.of(f"file:{file}#{whose}", Settings(home=tmp_path)) for whose in ("base:one", "two")]
    assert [one.word for one in found] == ["file:rows.jsonl#base:one", "file:rows.jsonl#two"]
    odd = written(tmp_path, "a#b.jsonl", rows[:1])
    names = ["", "#base:one", "#file:rows.jsonl#good"]  # who was measured may have been called so
    for path, name in itertools.product((file, odd), names):
        made = Contestant.of(f"file:{path}{name}", Settings(home=tmp_path))
        assert (made.word, made.file) == (f"file:{path.name}{name}", str(path))
    with refused("file.not_there", str(tmp_path / "none.jsonl")):
        Contestant.of(f"file:{tmp_path / 'none.jsonl'}#two", Settings(home=tmp_path))


SQUAD = {
    "id": "7",
    "question": "Where?",
    "context": "Mira lives in X.",
    "answers": {"text": ["X"], "answer_start": [14]},
}


def test_the_answers_of_squad_are_the_right_ones_and_nobodys(tmp_path):
    (asked,) = questions_in(written(tmp_path, "q.jsonl", [SQUAD]), Settings()).questions
    assert asked.expected == "X" and "Mira lives" in asked.text
    given = written(tmp_path, "a.jsonl", [SQUAD | {"prediction": "in X"}])
    assert answers_in(given, Settings()).by_text == {"Where?": "in X"}
    of_an_evaluation = SQUAD | {"expected": "X", "answers": {"mine": "Y", "theirs": None}}
    (asked,) = questions_in(written(tmp_path, "r.jsonl", [of_an_evaluation]), Settings()).questions
    assert asked.expected == "X"


def test_whose_answers_are_asked_for_as_they_have_to_be_typed(tmp_path):
    file = written(tmp_path, "rows.jsonl", [{"id": "1", "question": "Who?", "answers": {"a": "A", "b": "B"}}])
    with refused("evaluate.whose_answers", str(file)):
        answers_in(file, Settings())
    with refused("evaluate.whose_answers", "/there/rows.jsonl"):
        answers_in(file, Settings(), named="/there/rows.jsonl")


def test_no_password_of_an_address_is_kept(tmp_path):
    endpoint = Endpoint(name="far", url="http://user:PASSWORD@host:8/v1?api-key=SECRET", model="m")
    made = EndpointContender(
        Contestant(who="endpoint", endpoint="far"), Settings(home=tmp_path, endpoints=(endpoint,)), {}
    ).made_of
    assert made == {"url": "http://host:8/v1", "model": "m"}


def test_what_an_endpoint_refuses_to_be_told_is_left_out_from_then_on():
    fields, body = RefusedFields(), {"model": "m", "temperature": 0.5, "top_p": 1, "max_tokens": 9}
    assert fields.without(body) == body and not fields.learn("the model is busy", body)
    assert fields.learn("Unsupported value: 'temperature' does not support 0.5", body)
    assert fields.learn("Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead.", body)
    assert fields.without(body) == {"model": "m", "top_p": 1, "max_completion_tokens": 9}
    assert fields.learn('"loc": ["body", "max_completion_tokens"]', fields.without(body))
    assert fields.without(body) == {"model": "m", "top_p": 1}
    assert not fields.learn("model", body), "without it nothing can be asked"


@pytest.mark.parametrize("count", [3, 5, 10, 30])
def test_without_a_difference_it_is_seldom_called_more_than_chance(count):
    draw = np.random.default_rng(count)
    alarms = 0
    for _ in range(200):
        one, other = draw.choice([0.0, 0.5, 1.0], (2, count))
        found = compared("a", "b", one.tolist(), other.tolist(), largest=1.0)
        alarms += found.p < 0.05
        order = draw.permutation(count)
        assert compared("a", "b", one[order].tolist(), other[order].tolist()).p == found.p
        assert found.p < 0.05 or found.low <= 0 <= found.high
    assert alarms <= 0.08 * 200


def test_a_single_question_is_never_more_than_chance():
    assert compared("a", "b", [0.5], [0.4]).p == 1.0
    assert compared("a", "b", [0.9] * 3, [0.1] * 3).p == 0.25 == compared("a", "b", [1.0] * 3, [0.0] * 3).p
