"""Evaluations on the page: what its script is told, and what its form begins. Files of answers are the contestants."""

import json
import math
import os
import re
import shutil
from html import unescape
from urllib.parse import parse_qs, urlsplit

import pytest

from qlora_app import worker
from qlora_app.evaluate import EVALUATORS, Contestant, ExactMatch, TokenF1
from qlora_app.evaluate.arena import create_arena
from qlora_app.evaluate.changed import directions_of, what_changed
from qlora_app.settings import Settings
from qlora_app.ui.evaluations import Evaluations
from qlora_app.ui.evaluations.figures import _named, titles_of
from qlora_app.ui.evaluations.listed import UNREAD
from qlora_app.ui.judge.changed_page import changed_html
from qlora_app.ui.judge.report_page import Listed
from tests.test_evaluate_job import a_file, an_evaluation
from tests.test_lm_eval import is_installed


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
    assert (row["id"], row["state"], row["contestants"]) == (job.id, "done", ["one.jsonl", "other.jsonl"])
    assert row["figures"] == ["75.0%", "37.5%"] and row["name"] == "one.jsonl · other.jsonl"
    assert row["what"] == "Answered word for word, Words in common with the right answer · asked.jsonl"
    one = shown.one({"id": job.id})
    assert [measure["evaluator"] for measure in one["measures"]] == ["exact_match", "token_f1"] and one["asked"] == 8
    assert "is right where other.jsonl is wrong on 4" in one["measures"][0]["pairs"][0]
    assert [each["name"] for each in one["measures"][0]["categories"]] == ["a", "b"]


@pytest.mark.parametrize("name", ["job.yaml", "result.json"])
def test_a_file_is_read_for_the_list_once_and_again_when_it_was_written(evaluated, name):
    """Pages that stay open look at 200 evaluations every few seconds."""
    shown, job = evaluated

    def seen():
        return [{key: value for key, value in row.items() if key != "made"} for row in shown.listed({})["rows"]]

    before, file = seen(), job.folder / name
    text, known = file.read_text(), file.stat()
    file.write_text("[" * len(text.encode()))
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns))
    assert seen() == before and before[0]["figures"] == ["75.0%", "37.5%"]
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns + 1_000_000_000))
    assert seen() != before
    file.write_text(text)
    os.utime(file, ns=(known.st_atime_ns, known.st_mtime_ns + 2_000_000_000))
    assert seen() == before


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


def test_an_evaluation_is_called_as_a_person_called_it(evaluated):
    shown, job = evaluated
    assert shown.rename({"id": job.id, "name": "  Which one\nknows the town? "}) == {}
    (row,) = shown.listed({})["rows"]
    assert row["name"] == "Which one knows the town?" and row["what"].startswith("one.jsonl · other.jsonl")
    assert "80" in shown.rename({"id": job.id, "name": "x" * 81})["problem"]
    assert shown.rename({"id": job.id, "name": ""}) == {} and shown.one({"id": job.id})["name"].startswith("one.jsonl")
    for asked in (None, {"id": job.id}, {"id": job.id, "name": 7}, {"id": "nobody", "name": "x"}):
        assert shown.rename(asked) == {}


def test_votes_and_judgments_of_its_answers_are_leaderboards_of_an_evaluation(evaluated):
    shown, job = evaluated
    arena = create_arena(Settings.from_environment(), job.id)
    assert shown.one({"id": job.id})["boards"] == []
    for _ in range(8):
        given = arena.give("ann")
        arena.vote("ann", given.id, "left" if given.left == "file:one.jsonl" else "right")
    lines = [
        {"key": str(n), "question": str(n), "category": "", "first": "a", "winner": "b", "rater": "big"}
        | {"model_a": "file:one.jsonl", "model_b": "file:other.jsonl", "score": None, "text": "2", "problem": ""}
        | {"was_cut": False, "calls": 1, "tokens_in": 1, "tokens_out": 1, "is_estimated": False, "seconds": 0.0}
        for n in range(3)
    ]
    (job.folder / "judgments.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    by_judge, by_people = shown.one({"id": job.id})["boards"]
    assert by_judge["title"] == "Ratings by big" and by_judge["rows"][0]["name"] == "other.jsonl"
    assert by_people["rows"][0]["name"] == "one.jsonl" and by_people["arenas"] == [arena.id]
    assert [row["matches"] for row in by_people["rows"]] == [8, 8]
    (doubted,) = [note for note in by_people["notes"] if "doubted" in note]
    assert "8 of 8: within two seconds 8, from where many raters came 0" in doubted
    broken = create_arena(Settings.from_environment(), job.id)
    (broken.folder / "job.yaml").write_text("kind: arena\nmodels: 7\n")
    assert len(shown.one({"id": job.id})["boards"]) == 2 and len(shown.listed({})["rows"]) == 3
    shutil.rmtree(broken.folder)
    listed = {row["kind"]: row for row in shown.listed({})["rows"]}
    assert listed["arena"]["name"] == "one.jsonl · other.jsonl" and listed["arena"]["sentence"] == "Votes: 8."


def test_who_gave_no_answers_lends_their_name_to_nobody(home, page):
    """The first of three has a file of other questions: what the second said stands under the second's name."""
    for name, word in (("none", "Otto"), ("one", "Number"), ("other", "Number")):
        rows = [
            {"question": f"Who is {'it' if name == 'none' else 'number'} {i}?", "answer": f"{word} {i}"}
            for i in range(4)
        ]
        (home / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    contestants = [Contestant(who="file", file=str(home / f"{name}.jsonl")) for name in ("none", "one", "other")]
    job = an_evaluation(contestants, a_file(home, 4), ExactMatch())
    worker.main(job.folder)
    one = Evaluations(page).one({"id": job.id})
    assert one["titles"] == ["one.jsonl", "other.jsonl"] == [row["name"] for row in one["measures"][0]["rows"]]


def test_no_two_contestants_are_called_alike():
    who = [Contestant(who="file", file="/there/rows.jsonl", whose=whose) for whose in ("good", "bad")]
    who += [Contestant(run="a-run"), Contestant(run="a-run", checkpoint=4), Contestant(who="file", file="/there/x.csv")]
    who += [Contestant(who="endpoint", endpoint=name) for name in ("x.csv", "big")]
    titles = titles_of(who, lambda _: None, "en")
    assert len(set(titles.values())) == len(who) and titles["endpoint:big"] == "big"
    assert titles["file:rows.jsonl#good"] == "rows.jsonl (good)"
    assert _named("file:rows.jsonl#bad, endpoint:x.csv", titles) == "rows.jsonl (bad), x.csv (endpoint:x.csv)"


def test_a_pattern_that_cannot_be_read_is_said_at_its_field_and_lm_eval_says_how_to_install_it(evaluated):
    shown, _ = evaluated
    form = {"contestants": ["endpoint:x"], "evaluators": ["regex"], "set": "vicuna"}
    assert "no regular expression" in shown.takes({**form, "pattern": "(a"})["pattern"]
    fine = shown.takes({**form, "pattern": "(a)"})
    assert fine["words"] and not fine["pattern"], "who is asked is missing, and that is not the pattern's fault"
    offered = shown.offered({})
    assert "hellaswag" in offered["tasks"] and "lm_eval" in {one["name"] for one in offered["sets"]}
    assert is_installed or "pip install lm-eval" in offered["noTasks"]
    assert not {"judge", "lm_eval"} & {one["name"] for one in offered["evaluators"]}


def test_a_question_whose_answers_differ_leads_to_the_chat_with_it():
    asked = ["What is 7 + 5 & why?", "long " * 400]
    rows = [{"id": str(n), "question": one, "answers": {"r@40": "A", "base:r": "B"}} for n, one in enumerate(asked)]
    who = [Contestant(who="base", run="r"), Contestant(run="r", checkpoint=40)]
    html = changed_html(what_changed(rows, "base:r", "r@40", {}), ("base:r", "r@40"), who, {}, Listed(), "", "")
    links = [parse_qs(urlsplit(unescape(link)).query) for link in re.findall(r'<a href="([^"]+)" target', html)]
    assert [link.get("ask") for link in links] == [[asked[0]]] * 2 + [None] * 2, "half of a question is another one"
    assert [link.get("step") for link in links] == [None, ["40"]] * 2 and {link["run"][0] for link in links} == {"r"}


@pytest.mark.parametrize("damage", ["[]", '{"asked": 3}', '{"measures": 7, "contestants": {}}', "{"])
def test_a_damaged_result_takes_no_other_evaluation_from_the_list(evaluated, damage):
    shown, job = evaluated
    (job.folder / "result.json").write_text(damage)
    (row,) = shown.listed({})["rows"]
    assert row["name"] == "one.jsonl · other.jsonl" and row["figures"] == [] and row["sentence"] == UNREAD
    assert shown.one({"id": job.id})["boards"] == []


def test_a_figure_that_cannot_be_read_takes_no_other_evaluators_away(evaluated):
    shown, job = evaluated
    assert shown.one({"id": job.id})["sentence"] == ""
    result = json.loads((job.folder / "result.json").read_text())
    result["measures"][0]["contestants"][1]["figures"]["exact_match"]["value"] = math.nan
    (job.folder / "result.json").write_text(json.dumps(result))
    one = shown.one({"id": job.id})
    assert [measure["evaluator"] for measure in one["measures"]] == ["token_f1"] and one["sentence"] == UNREAD
