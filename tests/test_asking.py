"""Questions to a run while it trains: who may ask what, and what becomes of it."""

import json

import pytest

from qlora_app.cli import main
from qlora_app.errors import UserError
from qlora_app.runs import RunStatus
from qlora_app.runs.asking import LONGEST_QUESTION, MOST_WAITING, ask, forget, waiting, waiting_words
from qlora_app.tasks.fill_mask import FillMask
from tests.conftest import short_recipe
from tests.fixtures.jobs import write_status


@pytest.fixture
def run(store):
    made = store.create(short_recipe())
    made.request("start")
    return made


def refused(run, text):
    with pytest.raises(UserError) as error:
        ask(run, text)
    return error.value.code


def test_questions_wait_in_the_order_they_were_asked(run):
    ids = [ask(run, f" question {number} ") for number in range(3)]
    assert [(one.id, one.question) for one in waiting(run)] == [
        (id, f"question {number}") for number, id in enumerate(ids)
    ]
    forget(run, ids[0])
    assert [one.id for one in waiting(run)] == ids[1:]
    assert run.is_asked("start"), "a question is no other wish"


def test_what_cannot_be_answered_is_refused(run, store):
    assert refused(run, "  ") == "chat.no_text"
    assert refused(run, "x" * (LONGEST_QUESTION + 1)) == "ask.too_long"
    for number in range(MOST_WAITING):
        ask(run, f"{number}")
    assert refused(run, "one more") == "ask.too_many"
    ended, masked = store.create(short_recipe()), store.create(short_recipe())
    masked.request("start")
    write_status(ended, RunStatus("done"))
    assert refused(ended, "Who is Mira?") == "ask.ended"
    with masked.hold() as out:
        out.write_task(FillMask(), masked.began(), "text", None)
    assert refused(masked, "no blank") == "chat.no_blank"


def test_a_worker_that_was_killed_between_its_answer_and_the_wish_answers_once(run, hold):
    id = ask(run, "Who is Mira?")
    out = hold(run)
    out.append_asked({"id": id, "step": 9, "question": "Who is Mira?", "answer": "A baker."})
    assert not waiting(run)
    out.forget_after(3)
    assert [row["step"] for row in run.asked()] == [9], "what was said then was said, also where it goes back"


@pytest.mark.parametrize("inside", ["", "[1]", '{"question": 3}', '{"question": " "}', "\0"])
def test_what_is_no_question_is_passed_over(inside, run):
    id = ask(run, "Who is Mira?")
    (run.wishes.folder / "ask-0").write_text(inside)
    (run.wishes.folder / "ask-folder").mkdir()
    assert [one.id for one in waiting(run)] == [id]


@pytest.mark.parametrize(
    ("status", "when"),
    [
        (RunStatus("queued"), "once the run has begun"),
        (RunStatus("starting"), "after the first step"),
        (RunStatus("running", step=0, total=9), "after the first step"),
        (RunStatus("starting", step=4, total=9), "before the next step"),
        (RunStatus("running", step=4, total=9), "before the next step"),
        (RunStatus("running", step=8, total=9), "before the run ends"),
        (RunStatus("running", step=9, total=9), "before the run ends"),
        (RunStatus("running", step=4, total=9, sentence="Measuring what it learned."), "before the run ends"),
        (RunStatus("stopping", step=4, total=9), "Not answered now"),
    ],
)
def test_when_a_question_is_answered_is_said_as_it_is(status, when):
    assert when in waiting_words(status)


def test_the_command_says_that_the_run_ended_before(run, capsys, monkeypatch):
    def ends(seconds):
        run.take("start")
        write_status(run, RunStatus("done"))

    monkeypatch.setattr("time.sleep", ends)
    assert main(["ask", run.id, "Who is Mira?", "--json"]) == 1
    assert json.loads(capsys.readouterr().out)["sentence"] == waiting_words(RunStatus("done"))
