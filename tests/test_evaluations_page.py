"""Evaluations on the page: what its script is told, and what its form begins. Files of answers are the contestants."""

import json

import pytest

from qlora_app import worker
from qlora_app.evaluate import EVALUATORS, Contestant, ExactMatch, TokenF1
from qlora_app.evaluate.changed import directions_of
from qlora_app.ui.evaluations import Evaluations
from tests.test_evaluate_job import a_file, an_evaluation


@pytest.fixture
def evaluated(home, page):
    """Two contestants: the first is right on questions 0 to 5 of 8, the second on 4 to 6."""
    right = {"one.jsonl": range(6), "other.jsonl": range(4, 7)}
    for name, places in right.items():
        rows = [
            {"question": f"Who is number {i}?", "answer": f"Number {i if i in places else '<b>?</b>'}"}
            for i in range(8)
        ]
        (home / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    contestants = [Contestant(who="file", file=str(home / name)) for name in right]
    job = an_evaluation(contestants, a_file(home, 8), ExactMatch(), TokenF1())
    assert worker.main(job.folder) == 0
    return Evaluations(page), job


def test_the_list_and_one_evaluation_say_what_was_found(evaluated):
    shown, job = evaluated
    (row,) = shown.listed({})["rows"]
    assert (row["id"], row["state"], row["contestants"]) == (job.id, "done", ["file:one.jsonl", "file:other.jsonl"])
    assert row["figure"]["value"] == "75.0%"
    one = shown.one({"id": job.id})
    assert [measure["evaluator"] for measure in one["measures"]] == ["exact_match", "token_f1"] and one["asked"] == 8
    assert "is right where file:other.jsonl is wrong on 4" in one["measures"][0]["pairs"][0]
    assert [each["name"] for each in one["measures"][0]["categories"]] == ["a", "b"]


@pytest.mark.parametrize(
    ("which", "search", "count"),
    [
        ("all", "", 8),
        ("differ", "", 5),
        ("one", "", 5),
        ("wrong", "", 1),
        ("all", "number 7", 1),
        ("one", "NUMBER 0", 1),
    ],
)
def test_answers_are_filtered_and_searched(evaluated, which, search, count):
    shown, job = evaluated
    found = shown.answers({"id": job.id, "which": which, "search": search, "by": "exact_match", "start": 0})
    assert (found["total"], found["all"], len(found["rows"])) == (count, 8, count)


@pytest.mark.parametrize("asked", [None, {}, {"id": "../runs"}, {"id": 7}, {"id": "nobody", "start": "x"}])
def test_whatever_is_asked_of_it_gets_an_answer(evaluated, asked):
    shown, _ = evaluated
    assert shown.one(asked) == {} and shown.answers(asked)["rows"] == []
    assert "rows" in shown.listed(asked) and "sets" in shown.offered(asked)
    assert shown.takes(asked)["words"] and "problem" in shown.begin(asked)


@pytest.mark.slow
def test_the_form_begins_an_evaluation_with_an_uploaded_file(evaluated, page, answering_run, home):
    shown, _ = evaluated
    form = {"contestants": [answering_run.id, f"base:{answering_run.id}"], "evaluators": ["contains"], "set": "file"}
    assert "file of questions" in shown.begin(form)["problem"]
    form |= {"file": {"name": "../../mine.jsonl", "text": a_file(home, 3).read_text()}, "limit": 2}
    assert "about" in shown.takes(form)["words"]
    told = shown.begin(form)
    job = page.jobs.evaluations.get(told["id"])
    assert job.is_asked("start") and (job.folder / "files" / "mine.jsonl").is_file()
    assert shown.begin(form | {"set": "mmlu", "folder": "/nowhere"})["problem"].startswith("There is no folder")
    assert "from the command line" in shown.begin(form | {"contestants": ["file:/etc/passwd"]})["problem"]


def test_visitors_are_shown_none(evaluated, page, monkeypatch):
    shown, job = evaluated
    monkeypatch.setattr(type(page), "may_change", False)
    assert shown.listed({})["rows"] == [] and shown.one({"id": job.id}) == {} and shown.takes({})["words"] == ""


def test_what_changed_is_told_by_whatever_says_who_is_better():
    every = directions_of(kind() for kind in EVALUATORS.values())
    assert every["exact_match"] and not every["perplexity"] and not every.keys() & {"length", "judge"}
