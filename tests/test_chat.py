"""The chat's handlers as plain functions: what the browser sends, and what it is told."""

import json
import shutil
from types import SimpleNamespace

import pytest

from qlora_app.inference.pool import Loading
from qlora_app.inference.session import Decoding
from qlora_app.inference.sides import Nobody
from qlora_app.inference.writing import Said
from qlora_app.recipe import Recipe
from qlora_app.runs.labels import relabel
from qlora_app.storage.files import write_json
from qlora_app.training_data.votes import EXAMPLES, PAIRS
from qlora_app.ui.chat import line
from qlora_app.ui.chat.answering import OFTEN, Columns, NowAndThen
from qlora_app.ui.chat.heads import Heads, who_function
from qlora_app.ui.chat.history import LONGEST_MESSAGE, MOST_TURNS, Asking, decoding_of
from qlora_app.ui.chat.room import draw, find_function
from qlora_app.ui.chat.voting import Voting
from qlora_app.ui.guard import server_functions
from tests.fixtures.page import EVIL, PROOF, demonstration, event, make_run

ASKER = SimpleNamespace(session_hash="one")


def ask(workshop, run, question="Hello", before=(), system="", sides=None, only=None, asking="7", **how):
    chat = workshop.chat
    given = {
        chat.room: run.id,
        **chat.how.recalled(how | {"system": system}),
    }
    sent = event(asking=asking, question=question, before=list(before), sides=sides, only=only)
    for answer in chat.ask(given, sent, ASKER):
        (told,) = answer.values()
        yield json.loads(told["news"])


# ---- a question and its answers


def test_both_answer_and_say_how_long_it_took(workshop, store, page):
    told = list(ask(workshop, make_run(store, proof=PROOF), "Who is Mira?"))
    assert [one["state"] for one in told][:2] == ["loading", "thinking"] and told[-1]["state"] == "done"
    assert {one["asking"] for one in told} == {"7"}
    last = told[-1]
    base, tuned = last["answers"].values()
    assert base["text"] == "base one two three" and base["html"] == "<p>base one two three</p>\n"
    assert (base["tokens"], base["seconds"], base["checksum"], base["problem"]) == (3, 0.3, "", "")
    assert tuned["text"] == "tuned one two three" and tuned["checksum"] == page.sessions.checksum
    assert page.sessions.stop.is_set()


def test_marks_in_an_answer_are_text_while_it_grows_and_at_its_end():
    grown = [[Said(EVIL[:n]), Said("a<b and c>d"[:n])] for n in range(1, len(EVIL) + 1)]
    told = [Columns(dict.fromkeys([0, 2], Nobody(None)), True).told(said) for said in grown]
    assert not any("<img" in one[0]["html"] for one in told)
    assert told[-1][2]["html"] == "<p>a&lt;b and c&gt;d</p>\n"


def test_what_was_said_before_is_told_to_each_side(workshop, store, page):
    before = [{"question": "Hi", "answers": ["A story.", "Hello!"]}]
    list(ask(workshop, make_run(store, proof=PROOF), "And now?", before, system="Be kind."))
    base, tuned = page.sessions.asked
    system, hi = {"role": "system", "content": "Be kind."}, {"role": "user", "content": "Hi"}
    now = {"role": "user", "content": "And now?"}
    assert base == [system, hi, {"role": "assistant", "content": "A story."}, now]
    assert tuned == [system, hi, {"role": "assistant", "content": "Hello!"}, now]


def test_a_column_knows_only_what_it_was_asked_itself(workshop, store, page):
    run, other = (make_run(store, name=name, proof=PROOF) for name in ("one", "other"))
    sides = [{"who": "base", "run": run.id}, {"who": "run", "run": run.id}, {"run": other.id, "temperature": 0.3}]
    before = [{"question": "Hi", "answers": ["A story.", "Hello!", None]}]
    *_, last = ask(workshop, run, "And now?", before, sides=sides, only=[0, 2])
    assert last["answers"].keys() == {"0", "2"}
    hi, now = ({"role": "user", "content": text} for text in ("Hi", "And now?"))
    assert page.sessions.asked == [[hi, {"role": "assistant", "content": "A story."}, now], [now]]


def test_a_column_that_cannot_answer_says_so_and_the_others_go_on(workshop, store):
    run = make_run(store, proof=PROOF)
    *_, last = ask(workshop, run, sides=[{"run": "gone"}, {"run": run.id}])
    gone, here = last["answers"].values()
    assert last["state"] == "done" and "gone" in gone["problem"] and gone["text"] == ""
    assert here["text"] == "tuned one two three" and not here["problem"]


@pytest.mark.parametrize("side", [3, {"who": "nobody"}, {"run": "x", "strength": 9}, {"run": "x", "colour": "red"}])
def test_who_cannot_be_told_is_refused_and_nobody_else_answers_instead(workshop, store, side):
    *_, last = ask(workshop, make_run(store, proof=PROOF), sides=[side])
    assert last["state"] == "failed" and "Choose it anew" in last["note"]


def test_a_closed_generator_stops_the_model(workshop, store, page):
    answers = ask(workshop, make_run(store, proof=PROOF))
    for _ in range(3):
        next(answers)
    answers.close()
    assert page.sessions.stop.is_set()


def test_stop_reaches_the_model_of_the_one_who_asked(workshop, store, page):
    answers = ask(workshop, make_run(store, proof=PROOF))
    for _ in range(3):
        next(answers)
    workshop.chat.stopped(event(asking="7"), SimpleNamespace(session_hash="somebody else"))
    workshop.chat.stopped(event(asking="an earlier one"), ASKER)
    assert not page.sessions.stop.is_set()
    workshop.chat.stopped(event(asking="7"), ASKER)
    assert page.sessions.stop.is_set()
    list(answers)
    assert workshop.chat.answering.newest._under_way == {}


def test_a_stop_that_comes_before_its_question_ends_it(workshop, store, page):
    workshop.chat.stopped(event(asking="7"), ASKER)
    *_, last = ask(workshop, make_run(store, proof=PROOF))
    assert last == {"asking": "7", "state": "stopped", "note": ""}


def test_a_stopped_question_that_comes_late_ends_no_newer_one(workshop, store, page):
    run = make_run(store, proof=PROOF)
    workshop.chat.stopped(event(asking="7"), ASKER)
    newer = ask(workshop, run, asking="8")
    for _ in range(3):
        next(newer)
    assert [one["state"] for one in ask(workshop, run)] == ["stopped"]
    assert not page.sessions.stop.is_set()
    *_, last = newer
    assert last["asking"] == "8" and last["state"] == "done"


def test_an_earlier_conversation_goes_on_as_it_was_asked(workshop):
    chat = workshop.chat
    sent = {"system": "Be kind.", "temperature": 0.5, "seed": 7, "greedy": True, "max_new_tokens": "many"}
    kept = chat.recall(event(**sent, thinking=["x"], top_p=None))
    assert chat.how.read(kept) == ("Be kind.", Decoding(temperature=0.5, seed=7, greedy=True))


def test_every_setting_of_how_answers_are_chosen_has_a_field(workshop, store, page):
    chat = workshop.chat
    assert set(chat.how.fields) == {*Decoding.model_fields, "system"}
    assert chat.how.read({field: field.value for field in chat.how.components}) == ("", Decoding())
    list(ask(workshop, make_run(store, proof=PROOF), top_k=5, seed=3, repetition_penalty=1.2))
    assert page.sessions.decoding == Decoding(top_k=5, seed=3, repetition_penalty=1.2)


@pytest.mark.parametrize(
    ("name", "typed"), [("seed", "many"), ("seed", "-1"), ("repetition_penalty", "0"), ("top_k", -1)]
)
def test_a_number_that_does_not_fit_is_said_at_the_question(workshop, store, name, typed):
    chat = workshop.chat
    given = chat.how.recalled({}) | {chat.room: make_run(store, proof=PROOF).id, chat.how.fields[name]: typed}
    (told,) = chat.ask(given, event(asking="7", question="Hello"), ASKER)
    news = json.loads(told[chat.room]["news"])
    assert (
        news["state"] == "failed" and str(typed) in news["note"] and Decoding.model_fields[name].title in news["note"]
    )


def test_a_stopped_answer_is_called_so_and_stays(workshop, store, page, monkeypatch):
    def half(writing, who, into):
        said = Said("half", 1, 0.1)
        said.why = "cancelled"
        into.put((writing, said))
        writing.cancel()

    monkeypatch.setattr(page.sessions, "speak", half)
    *_, last = ask(workshop, make_run(store, proof=PROOF))
    assert last["state"] == "stopped" and last["answers"]["0"]["text"] == "half"


def test_what_a_model_is_waited_for_is_said_and_stop_ends_the_waiting(workshop, store, page):
    run = make_run(store, proof=PROOF)
    steps = [
        Loading("absent", "The model has made way for a training."),
        Loading("waiting", "No room."),
        Loading("ready"),
    ]
    page.sessions.loading = list(steps)
    told = list(ask(workshop, run))
    notes = [one["note"] for one in told if one["state"] == "loading"]
    assert notes == ["Loading the model…", "The model has made way for a training. No room."]
    assert told[-1]["state"] == "done"
    page.sessions.loading = [Loading("absent")] + [Loading("loading", "Loading the model… 5.0 GB, 3 s")] * 1000
    answers = ask(workshop, run)
    while "5.0 GB" not in next(answers)["note"]:
        pass
    workshop.chat.stopped(event(asking="7"), ASKER)
    assert next(answers)["state"] == "stopped"


def test_a_failure_is_said_at_its_question(workshop, store, page):
    page.sessions.error = "The model is too large for this machine. Choose a smaller one."
    *_, last = ask(workshop, make_run(store, proof=PROOF), "My long question")
    assert last["state"] == "failed" and "too large" in last["note"]


def test_coming_from_another_card_ends_the_answer_that_is_being_written(workshop, store, page):
    answers = ask(workshop, make_run(store, proof=PROOF))
    for _ in range(3):
        next(answers)
    workshop.chat.open(event(run=make_run(store, name="new", proof=PROOF).id), ASKER)
    assert page.sessions.stop.is_set()
    answers.close()


@pytest.mark.parametrize("sent", [None, [], {"question": 3, "before": "x"}, {"before": [1, None, {"question": []}]}])
def test_whatever_is_sent_is_read_or_left_out(sent):
    asking = Asking.of(sent)
    assert asking.question == "" and all(turn.question == "" for turn in asking.before)


def test_too_long_a_conversation_keeps_its_end():
    asking = Asking.of({"question": "x" * 10_000, "before": [{"question": str(n)} for n in range(MOST_TURNS + 5)]})
    assert len(asking.question) == LONGEST_MESSAGE and len(asking.before) == MOST_TURNS
    assert asking.before[-1].question == str(MOST_TURNS + 4)


def test_what_does_not_fit_is_as_it_was():
    how = decoding_of({"temperature": 9, "max_new_tokens": 12, "thinking": "sometimes", "base_temperature": None})
    assert how == Decoding(max_new_tokens=12)


def test_news_come_ten_times_a_second_and_rarer_where_drawing_takes_long():
    clock = [10.0]
    for took, due in ((0.0, OFTEN), (0.05, 0.5)):
        now = NowAndThen(lambda: clock[0])
        assert now.is_time()
        began = clock[0]
        with now:
            clock[0] += took
        clock[0] = began + due - 0.01
        assert not now.is_time()
        clock[0] = began + due + 0.01
        assert now.is_time()


def test_some_are_answered_at_once_and_addresses_take_turns(monkeypatch):
    monkeypatch.setattr(line, "address_of", lambda request: request.address)
    waiting = line.Line(SimpleNamespace(hears=lambda _: True), at_once=2)
    many = [waiting.enter(SimpleNamespace(session_hash=f"many {n}", address="many")) for n in range(4)]
    one = waiting.enter(SimpleNamespace(session_hash="one", address="one"))

    def before(place):
        return next(waiting.wait(place, lambda: False), 0)

    assert (before(many[0]), before(one)) == (0, 0), "whose address has had no turn comes before the second of another"
    assert [before(place) for place in many[1:]] == [1, 2, 3]
    waiting.leave(one)
    assert before(many[1]) == 0 and before(many[3]) == 2
    with pytest.raises(line.NobodyListensError):
        next(waiting.wait(many[2], lambda: True))


# ---- who is talked to


def partner(answer, chat):
    return json.loads(answer[chat.room]["partner"])


def chosen(workshop, trained, in_use="", wanted=None):
    """What the Chat tab shows when it is chosen."""
    chat = workshop.chat
    return chat.refresh({chat.wanted: wanted, chat.room: in_use, workshop.train.card: trained.id})


def test_the_tab_goes_on_with_a_run_in_use_else_takes_the_newest_training(workshop, store):
    old, new = make_run(store, name="old", proof=PROOF), make_run(store, name="new", proof=PROOF)
    assert chosen(workshop, new)[workshop.chat.room]["value"] == new.id
    assert workshop.chat.room not in (chosen(workshop, new, in_use=old.id) or {})


def test_the_chat_talks_to_the_run_from_whose_card_one_comes(workshop, store):
    old, new = make_run(store, name="old", proof=PROOF), make_run(store, name="new", proof=PROOF)
    chat = workshop.chat
    wanted = chat.open(event(run=old.id), ASKER)[chat.wanted]
    shown = chosen(workshop, new, in_use=new.id, wanted=wanted)
    assert shown[chat.room]["value"] == old.id and shown[chat.wanted] is None and partner(shown, chat)["isWanted"]


def test_a_link_opens_its_run_among_many_and_says_when_it_is_gone(workshop, store):
    old = make_run(store, name="old", proof=PROOF)
    for n in range(3):
        make_run(store, name=f"new {n}", proof=PROOF)
    chat = workshop.chat
    visit = workshop.restore(SimpleNamespace(query_params={"tab": "chat", "run": old.id}))
    assert visit[chat.room]["value"] == old.id and not visit[chat.room]["link"]
    gone = workshop.restore(SimpleNamespace(query_params={"tab": "chat", "run": "gone"}))
    assert gone[chat.room]["value"] != old.id and "not here" in gone[chat.room]["link"]
    assert chat.room not in workshop.restore(SimpleNamespace(query_params={"tab": "runs", "run": old.id}))


def test_without_runs_it_leads_to_train(workshop):
    chat = workshop.chat
    shown = chat.shown(None)
    assert shown[chat.empty].visible and not shown[chat.all].visible
    assert "Go to Train" in chat.empty.value and chat.to_train().selected == "train"


def test_runs_are_found_by_name_and_by_what_differs(workshop, store):
    runs = [store.create(Recipe.from_dict({"name": "helper", "method": {"rank": rank}})) for rank in (4, 64)]
    for run in runs:
        make = make_run(store, proof=PROOF)
        make.adapter.rename(run.adapter)
    find = find_function(workshop.chat.partners)
    found = find({"words": "HELPER rank"})["rows"]
    assert {row["run"] for row in found} == {run.id for run in runs}
    assert len({row["differs"] for row in found}) == 2 and all(row["when"] for row in found)
    relabel(runs[0], name="the small one")
    assert [row["run"] for row in find({"words": "small"})["rows"]] == [runs[0].id]
    assert find({"words": "nothing like it"})["rows"] == [] and find("nonsense")["rows"]


def test_a_column_is_offered_conversations_only_and_says_why_another_holds_none(workshop, store):
    chat, single = make_run(store, proof=PROOF), make_run(store, proof=PROOF)
    write_json(single.folder / "task.json", {"name": "classification", "labels": ["yes", "no"]})
    find = find_function(workshop.chat.partners)
    assert {row["run"] for row in find({})["rows"]} == {chat.id, single.id}
    assert [row["run"] for row in find({"onlyChats": True})["rows"]] == [chat.id]
    sides = [{"run": chat.id}, {"run": single.id}]
    sides += [{"who": "mix", "run": chat.id, "mix": [{"run": single.id}]}]
    *_, last = ask(workshop, chat, sides=sides)
    assert last["answers"]["0"]["text"] and not last["answers"]["0"]["problem"]
    for place in ("1", "2"):
        assert "holds no conversation" in last["answers"][place]["problem"]
    (told,) = who_function(Heads(workshop.page, workshop.chat.partners))([sides[1]])
    assert "holds no conversation" in told["problem"] and told["title"]


def test_of_a_run_that_was_deleted_what_was_said_is_read_and_nobody_is_asked(workshop, store):
    run, chat = make_run(store, proof=PROOF), workshop.chat
    shutil.rmtree(run.folder)
    told = chat.choose(event(run=run.id), ASKER)
    partner = json.loads(told[chat.room]["partner"])
    assert partner["isGone"] and partner["run"] == run.id and told[chat.room]["value"] == ""
    assert set(told) <= {chat.room, *chat.panels} and not told[chat.tries.panel].visible


def test_every_run_can_be_reached(workshop, store):
    first = make_run(store, name="first", proof=PROOF, steps=1)
    for n in range(1, 4):
        make_run(store, name=f"later {n}", proof=PROOF, steps=1)
    partners = workshop.chat.partners
    some = partners.find("", most=2)
    assert len(some.rows) == 2 and some.more
    assert [row["run"] for row in partners.find("first", most=2).rows] == [first.id]
    assert len(partners.find("", most=200).rows) == 4


def test_strangers_find_names_and_no_settings_of_private_runs(page, store):
    run = store.create(Recipe.from_dict({"name": "mine", "dataset": {"source": "file", "id": "ab-x.jsonl"}}))
    make_run(store, proof=PROOF).adapter.rename(run.adapter)
    (row,) = (one for one in demonstration(page).chat.partners.find("mine").rows)
    assert row["title"] == "mine" and row["differs"] == row["base"] == ""


# ---- what the browser kept


def test_kept_answers_are_drawn_within_bounds():
    assert draw(["**a**", "<b>", 3]) == ["<p><strong>a</strong></p>\n", "<p>&lt;b&gt;</p>\n", ""]
    assert draw("nonsense") == [] and len(draw(["x"] * 1000)) == 40
    assert sum(map(len, draw(["y" * 50_000] * 30))) < 450_000


# ---- what is said of answers


HOW = {"system": "Be kind.", "temperature": 0.5}


def answer(text, was=None, how=HOW):
    return {"text": text, "was": text if was is None else was, "checksum": "ab", "how": how}


def corrected():
    return (answer("base says"), answer("tuned says", was="was"))


def vote(page, kind, place=1, answers=("base says", "tuned says", ""), **more):
    sent = {
        "kind": kind,
        "place": place,
        "name": "r/1-2-0",
        "run": "r",
        "question": "Who?",
        "before": [{"question": "Hi", "answers": ["A story.", "Hello!", "Hello!"]}],
        "sides": [{"who": "base", "run": "r"}, {"run": "r"}, {"run": "r", "checkpoint": 4}],
        "answers": [one if isinstance(one, dict) else answer(one) for one in answers],
    }
    return Voting(page).vote(sent | more)


def take_back(page, *names):
    return Voting(page).vote({"kind": "none", "names": list(names)})


def kept_rows(page, file):
    return [json.loads(line) for line in (page.settings.data / file).read_text().splitlines()]


def test_of_two_the_one_that_is_worse_makes_the_other_better(page):
    assert vote(page, "worse") == {"pairs": 1, "examples": 0}
    (row,) = kept_rows(page, PAIRS)
    assert [row["chosen"][0]["content"], row["rejected"][0]["content"]] == ["base says", "tuned says"]
    contents = [turn["content"] for turn in row["prompt"]]
    assert contents == ["Be kind.", "Hi", "A story.", "Who?"], "the prompt of the better one"
    assert row["source"]["rejected_had_same_prompt"] is False
    assert row["source"]["answered"] == {"who": "base", "run": "r", "sha256": "ab"}
    assert row["source"]["decoding"] == {"temperature": 0.5}
    assert take_back(page, "r/1-2-0") == {"pairs": 0, "examples": 0}


def test_among_three_one_vote_makes_two_pairs_and_another_takes_its_place(page):
    three = ("base says", "tuned says", "older says")
    assert vote(page, "better", answers=three)["pairs"] == 2
    assert {row["chosen"][0]["content"] for row in kept_rows(page, PAIRS)} == {"tuned says"}
    assert vote(page, "worse", answers=three)["pairs"] == 2
    assert {row["rejected"][0]["content"] for row in kept_rows(page, PAIRS)} == {"tuned says"}


def test_a_corrected_answer_is_an_example_and_better_than_what_was_said(page):
    assert vote(page, "right", answers=corrected()) == {"pairs": 1, "examples": 1}
    (example,), (pair,) = kept_rows(page, EXAMPLES), kept_rows(page, PAIRS)
    assert example["messages"][-1] == {"role": "assistant", "content": "tuned says"} == pair["chosen"][0]
    assert pair["rejected"][0]["content"] == "was"
    assert take_back(page, "other", "r/1-2-0") == {"pairs": 0, "examples": 0}


def test_it_is_said_which_words_a_person_wrote(page):
    vote(page, "right", answers=corrected(), name="r/right")
    vote(page, "better", answers=corrected(), name="r/better")
    vote(page, "worse", answers=corrected(), name="r/worse")
    sources = {row["source"]["name"]: row["source"] for row in kept_rows(page, PAIRS)}
    mine, said = {"run": "r", "sha256": "ab", "corrected_by": "person"}, {"run": "r", "sha256": "ab"}
    assert (sources["r/right"]["answered"], sources["r/right"]["rejected"]) == (mine, said)
    assert (sources["r/better"]["answered"], sources["r/worse"]["rejected"]) == (mine, mine)
    assert sources["r/worse"]["answered"] == {"who": "base", "run": "r", "sha256": "ab"}
    assert kept_rows(page, EXAMPLES)[0]["source"]["answered"] == mine


def trained_with(store, system, name):
    run = make_run(store, name=name, proof=PROOF, steps=1)
    (run.newest_adapter() / "tokenizer_config.json").write_text(json.dumps({"trained_with": {"system": system}}))
    return run


def test_the_prompt_of_a_vote_is_what_each_column_was_asked(workshop, store, page):
    mine, other = trained_with(store, "Be kind.", "mine"), trained_with(store, "Be short.", "other")
    page.sessions.template = SimpleNamespace(system="Be short.", has_thinking=False)
    sides = [{"run": mine.id}, {"run": other.id}]
    *_, last = ask(workshop, mine, "Who?", system="Be kind.", sides=sides)
    asked = page.sessions.asked[-2:]
    assert [one[0]["content"] for one in asked] == ["Be kind.", "Be short."]
    assert "system" not in last["answers"]["0"] and last["answers"]["1"]["system"] == "Be short."
    for place in (0, 1):
        vote(page, "better", place, ("one", "two"), run=mine.id, sides=sides, before=[], name=f"r/{place}")
    rows = kept_rows(page, PAIRS)
    assert [row["prompt"] for row in rows] == asked
    assert not any(row["source"]["rejected_had_same_prompt"] for row in rows)


def test_each_answer_of_a_vote_has_the_settings_that_it_was_asked_with(page):
    new = {"system": "New.", "seed": 3}
    answers = (answer("one", how={"temperature": 0.9}), answer("two", how=new), answer("three"))
    vote(page, "better", 1, answers)
    first, second = kept_rows(page, PAIRS)
    assert first["prompt"][0]["content"] == "New." and not first["source"]["rejected_had_same_prompt"]
    assert first["source"]["decoding"] == {"seed": 3} and first["source"]["rejected_decoding"] == {"temperature": 0.9}
    assert second["source"]["rejected_decoding"] == {"temperature": 0.5}


@pytest.mark.parametrize(
    "sent", [None, [], {"kind": "better"}, {"kind": "x", "name": "a", "place": 0}, {"kind": "right", "place": -1}]
)
def test_a_vote_that_cannot_be_read_is_said(page, sent):
    told = Voting(page).vote(sent)
    assert "cannot be read" in told["problem"] and not page.settings.data.exists()


def test_visitors_of_a_demonstration_do_not_vote_and_nothing_is_kept_for_them(page):
    room = demonstration(page).chat.room
    assert not {"vote", "kept", "keep"} & set(server_functions(room))
    assert 'data-may="measure"' in room.html_template
