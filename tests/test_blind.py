"""The chat's blind judgments: nothing tells whose an answer is before it is judged, and the vote says it."""

import json

import pytest

from qlora_app.evaluate.arena import chat_arena
from qlora_app.inference.sides import Side
from qlora_app.ui.chat.blind import Blind, model_of
from tests.fixtures.page import PROOF, demonstration, event, make_run
from tests.test_chat import ASKER
from tests.test_chat_scripts import run as run_script


def ask(workshop, run, sides=None):
    sides = sides or [{"who": "base", "run": run.id}, {"run": run.id}]
    chat = workshop.chat
    given = {chat.room: run.id, **chat.how.recalled({"system": ""})}
    sent = event(asking="7", question="Who is Mira?", before=[], sides=sides, blind=True)
    return [json.loads(told["news"]) for answer in chat.ask(given, sent, ASKER) for told in answer.values()]


def judge(workshop, told, choice, run):
    sides = [{"who": "base", "run": run.id}, {"run": run.id}]
    blind = workshop.chat.answering.blind
    return blind.judge({"id": told["blind"], "choice": choice, "comment": " because ", "sides": sides})


@pytest.fixture
def run(store):
    return make_run(store, proof=PROOF)


def test_both_are_shown_when_both_are_whole_and_nothing_tells_whose_they_are(workshop, run, page):
    told = ask(workshop, run)
    assert all("answers" not in one for one in told[:-1]), "how fast one speaks would tell"
    last = told[-1]
    assert last["state"] == "done" and last["blind"]
    assert [set(answer) for answer in last["answers"].values()] == [{"text", "html"}] * 2
    assert page.sessions.checksum not in json.dumps(last) and run.id not in json.dumps(last)


def test_each_side_stands_on_the_left_about_as_often(workshop, run):
    first = [ask(workshop, run)[-1]["answers"]["0"]["text"].split()[0] for _ in range(40)]
    assert 4 <= first.count("base") <= 36


@pytest.mark.parametrize(("choice", "winner"), [("left", "a"), ("right", "b"), ("equal", "tie"), ("both_bad", "tie")])
def test_the_vote_says_whose_they_were_and_is_kept(workshop, run, page, choice, winner):
    told = ask(workshop, run)[-1]
    said = judge(workshop, told, choice, run)
    for place, column in enumerate(said["order"]):
        assert told["answers"][str(place)]["text"].startswith(("base", "tuned")[column])
        assert said["facts"][place]["checksum"] == ("", page.sessions.checksum)[column]
    (vote,) = chat_arena(page.settings).votes()
    assert (vote.winner, vote.choice, vote.comment) == (winner, choice, "because")
    assert {vote.model_a, vote.model_b} == {run.id, f"base:{run.id}"}
    known = {f"base:{run.id}": "", run.id: page.sessions.checksum[:12]}
    assert (vote.checksum_a, vote.checksum_b) == (known[vote.model_a], known[vote.model_b])
    assert vote.model_a == [f"base:{run.id}", run.id][said["order"][0]], "the left one"
    assert judge(workshop, told, choice, run)["code"] == "arena.voted_already"


def test_one_that_is_skipped_is_told_and_no_vote(workshop, run, page):
    told = ask(workshop, run)[-1]
    assert sorted(judge(workshop, told, "skip", run)["order"]) == [0, 1]
    assert chat_arena(page.settings).votes() == []


def test_what_was_asked_before_a_restart_is_judged_after_it(workshop, run, page):
    told = ask(workshop, run)[-1]
    workshop.chat.answering.blind = Blind(page)
    assert sorted(judge(workshop, told, "left", run)["order"]) == [0, 1]
    assert chat_arena(page.settings).votes()


@pytest.mark.parametrize(
    "sent",
    [
        None,
        {},
        {"id": "made up"},
        {"id": 7, "sides": "x"},
        {"id": "KNOWN"},
        {"id": "KNOWN", "sides": [{"run": "x"}] * 2},
    ],
)
def test_what_cannot_be_judged_is_said(workshop, run, sent):
    known = ask(workshop, run)[-1]["blind"]
    if isinstance(sent, dict) and sent.get("id") == "KNOWN":
        sent["id"] = known
    assert workshop.chat.answering.blind.judge(sent)["problem"]


def test_the_same_twice_or_three_are_answered_as_usual(workshop, run):
    for sides in ([{"run": run.id}] * 2, [{"who": "base", "run": run.id}, {"run": run.id}, {"run": run.id}]):
        assert "blind" not in ask(workshop, run, sides)[-1]


def test_visitors_of_a_demonstration_judge_nothing(page):
    assert Blind(demonstration(page).page).functions() == []
    assert len(Blind(page).functions()) == 1


def test_whatever_is_not_as_usual_makes_another_model():
    sides = [
        Side(run="r"),
        Side(who="base", run="r"),
        Side(run="r", checkpoint=4),
        Side(run="r", strength=0.5),
        Side(run="r", temperature=0.5),
        Side(who="endpoint", endpoint="r"),
        Side.of({"who": "mix", "run": "r", "mix": [{"run": "a"}, {"run": "b", "weight": 0.5}]}),
    ]
    assert len({model_of(side) for side in sides}) == len(sides)


def test_answers_go_to_the_columns_of_those_who_gave_them():
    turn = run_script(
        """const turn = {asking: 'a', blind: 'id', answers: [{id: 1, text: 'x'}, {id: 2, text: 'y'}]};
        return Talk.judged(turn, {order: [1, 0], facts: [{tokens: 5}, {tokens: 6}]});""",
        "conversation.js",
        "blind.js",
    )
    assert turn == {
        "asking": "a",
        "answers": [{"id": 2, "text": "y", "tokens": 6}, {"id": 1, "text": "x", "tokens": 5}],
    }
