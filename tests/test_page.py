"""The page's handlers as plain functions, and its server as an attacker sees it. No browser, no training."""

import ast
import inspect
import json
import os
import tempfile
import textwrap
import time
import zipfile
from pathlib import Path
from types import SimpleNamespace

import gradio as gr
import pytest

import app
from qlora_app.effort import effort_choices
from qlora_app.jobs import Status
from qlora_app.recipe import Recipe
from qlora_app.runs import (
    Run,
    RunStatus,
    RunStore,
)
from qlora_app.runs.checkpoints import seal
from qlora_app.settings import Settings
from qlora_app.training_data import DatasetChoice
from qlora_app.ui.door import logins
from qlora_app.ui.runs import run_card
from qlora_app.ui.runs.card_pinned import pinned_part
from qlora_app.ui.runs.card_samples import samples
from qlora_app.ui.train.form_values import show
from tests.fixtures.handlers import given
from tests.fixtures.jobs import write_status
from tests.fixtures.page import (
    EVIL,
    NO_TENSORS,
    PROOF,
    demonstration,
    event,
    form_for_strangers,
    make_run,
    poll,
)
from tests.fixtures.serving import served
from tests.refusing import refused

ASKER = SimpleNamespace(session_hash="one")


def test_visitors_do_not_wait_for_each_other(workshop):
    assert workshop.demo._queue.default_concurrency_limit is None


# ---- the run card


def test_nothing_trained_yet(workshop):
    news = poll(workshop, None)
    assert "Start training" in news["parts"]["head"] and not news["live"]


def test_a_finished_run_shows_its_proof_in_plain_words(workshop, store):
    news = poll(workshop, make_run(store, proof=PROOF))
    said, _, proof = news["parts"]["verdict"].partition("<details")
    assert "verdict good" in said and "<b>It learned this.</b>" in said
    assert "96 of 100 questions answered right; 0 before." in said
    assert '<p class="score">On 100 held-out questions: 0 right before, 96 right after.</p>' in proof
    assert "Every one of 28 adapter layers changed." in proof and "warning" not in proof
    assert "1 min 11 s" in news["parts"]["progress"] and "trained for 1 min 11 s" in proof, "the same everywhere"
    assert "Chat with it" in news["parts"]["actions"] and not news["live"] and news["state"] == "done"


def test_only_what_changed_is_sent_again(workshop, store):
    run = make_run(store)
    first = poll(workshop, run)
    known = {"series": "loss", "grouping": first["chart"]["grouping"], "count": len(first["chart"]["points"]["x"])}
    again = poll(workshop, run, seen=first["seen"], chart=known)
    assert again["parts"] == {} and len(again["chart"]["points"]["x"]) == 1
    assert len(json.dumps(again)) < 1000


def test_what_many_pages_ask_for_is_read_once_and_each_gets_what_it_lacks(workshop, store, monkeypatch):
    run, readings, status = make_run(store), [], Run.status
    monkeypatch.setattr(Run, "status", lambda run: readings.append(run.id) or status(run))
    monkeypatch.setattr(run_card, "REMEMBERED", 1e6)
    fresh = poll(workshop, run, others=True)
    known = {"series": "loss", "grouping": fresh["chart"]["grouping"], "count": len(fresh["chart"]["points"]["x"])}
    for _ in range(20):
        assert len(poll(workshop, run, seen=fresh["seen"], chart=known, others=True)["chart"]["points"]["x"]) == 1
    assert poll(workshop, run, others=True) == fresh and readings == [run.id]
    monkeypatch.setattr(run_card, "REMEMBERED", 1e-6)
    write_status(run, RunStatus("done", step=7, total=7))
    assert "7 of 7 steps" in poll(workshop, run)["parts"]["progress"] and len(readings) == 2


def test_a_long_run_is_drawn_from_few_points(workshop, store):
    drawn = poll(workshop, make_run(store, steps=3000))["chart"]
    steps = drawn["points"]["x"]
    assert 100 < len(steps) <= 300 and drawn["total"] == 3000 and steps[-1] > 2980
    assert drawn["held_out"][0] == {"step": 40, "loss": 0.5}
    assert len(drawn["held_out"]) == 75
    assert drawn["grouping"] == 10, "buckets of 2 steps, 5 of them a point: the caption says so"
    assert poll(workshop, make_run(store, steps=120))["chart"]["grouping"] == 1


@pytest.mark.parametrize(
    ("answer", "cut"), [("He went to the", True), ("He went.", False), ("“Go!”", False), ("", False)]
)
def test_an_answer_of_the_base_that_was_cut_off_shows_it(answer, cut):
    text = samples(
        [{"step": 0, "question": "Who?", "answer": answer}, {"step": 9, "question": "Who?", "answer": "It was"}],
        RunStatus("done"),
        times=1,
    )
    assert text.count('<span class="quiet">…</span>') == cut and (
        not answer or f'<p><span translate="no">{answer}</span>' in text
    )


def test_what_people_and_models_wrote_is_escaped(workshop, store):
    run = make_run(store, name=EVIL, sentence=EVIL, warnings=[EVIL], proof=PROOF)
    news = poll(workshop, run, log=True)
    parts = [workshop.runs.one.part({"run": run.id, "part": name})["html"] for name in ("head", "settings", "log")]
    text = "".join(news["parts"].values()) + "".join(parts)
    assert "<img" not in text and text.count("&lt;img") >= 5


@pytest.mark.daily(3)
@pytest.mark.parametrize(
    "asked", [{"run": "../../etc"}, {"run": "x" * 500}, {"run": None}, {"run": 7, "seen": 1, "chart": []}, [], None]
)
def test_a_poll_takes_anything_and_reveals_nothing(workshop, asked):
    assert workshop.train.cards.poll(asked)["state"] == "empty"


@pytest.mark.daily(2)
@pytest.mark.parametrize(
    ("state", "button"), [("interrupted", "Resume"), ("stopped", "Resume"), ("failed", "Try again")]
)
def test_an_ended_run_offers_to_go_on(workshop, store, state, button):
    run = make_run(
        store, state="running" if state == "interrupted" else state, sentence="Out of memory. Make the batch smaller."
    )
    news = poll(workshop, run)
    assert news["state"] == state and button in news["parts"]["actions"]
    if state == "failed":
        assert "Make the batch smaller." in news["parts"]["head"]


def test_chat_waits_for_the_first_checkpoint_and_says_so(workshop, store):
    run = make_run(store, state="running", proof=None)
    with run.hold():
        assert "Chat opens with the first checkpoint." in poll(workshop, run)["parts"]["actions"]
        folder = run.checkpoints / "checkpoint-60"
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").touch()
        seal(folder)
        workshop.train.cards._picture.cache_clear()
        assert 'data-do="chat"' in poll(workshop, run)["parts"]["actions"]


def test_a_run_without_answers_yet_says_when_they_come(workshop, store):
    rows = [{"step": 0, "question": "Who?", "answer": "One grey evening."}]
    live = samples(rows, RunStatus("running", step=9, total=1203), times=4)
    ended = samples(rows, RunStatus("stopped", step=9, total=1203), times=4)
    assert "at step 301" in live and "—" in live and "stopped before the first one" in ended
    assert "soon" not in live + ended


ASKED = {"id": "1", "step": 6, "question": "Why <b>?", "answer": "So.", "base": "Once."}


@pytest.mark.parametrize(("at", "step"), [(0, 4), (4, 4), (5, 4), (5.4, 6), (7, 6), (99, 8)])
def test_a_point_of_the_curve_shows_what_was_said_at_the_nearest_step(at, step):
    rows = [{"step": step, "question": "Who?", "answer": f"said at {step}", "expected": "her"} for step in (0, 4, 8)]
    text = pinned_part(rows, [ASKED], at, "en")
    assert f"at step {step}</h3>" in text and f'data-at="{step}" aria-pressed="true"' in text
    if step == 6:
        assert text.index("Once.") < text.index("So.") and "Why &lt;b&gt;?" in text and "said at" not in text
    else:
        assert text.index("said at 0") < text.index(f"said at {step}") < text.index("her") and "So." not in text
    closed = pinned_part(rows, [ASKED], None, "en")
    assert 'data-at="8"' in closed and "said at" not in closed and pinned_part(rows[:1], [], at, "en") == ""


def test_what_is_asked_waits_at_once_and_stays_with_its_step(workshop, store):
    run = store.create(Recipe())
    run.request("start")
    ask, cards = workshop.train.cards.ask, workshop.train.cards
    assert ask({"run": run.id, "question": " Who <i>is</i> Mira? "}) == {"refused": ""}
    assert "Write a text first" in ask({"run": run.id, "question": " "})["refused"]
    assert ask(7)["refused"] and ask({"run": "../x", "question": "a"})["refused"]
    news = poll(workshop, run)
    assert news["asks"] and "Who &lt;i&gt;is&lt;/i&gt; Mira?" in news["parts"]["asked"]
    assert "once the run has begun" in news["parts"]["asked"]
    with run.hold() as out:
        run.take("start")
        out.append_asked(ASKED)
        out.end("done", "Finished.")
    cards._picture.cache_clear()
    news = poll(workshop, run)
    assert not news["asks"] and "Step 6" in news["parts"]["asked"] and "Why &lt;b&gt;?" in news["parts"]["asked"]
    assert news["chart"]["marks"]["asked"] == [6]


def test_visitors_neither_ask_nor_see_what_was_asked(page, store):
    run, closed = make_run(store, steps=8), demonstration(page)
    with run.hold() as out:
        out.append_asked(ASKED)
    assert "demonstration" in closed.train.cards.ask({"run": run.id, "question": "Who?"})["refused"]
    assert not (run.wishes.folder).exists()
    news = poll(closed, run, at=6)
    assert not news["asks"] and news["chart"]["marks"]["asked"] == []
    assert "Why" not in json.dumps(news["parts"])


def test_the_head_says_what_is_trained(workshop, store):
    head = poll(workshop, make_run(store))["parts"]["head"]
    for word in ("Pennywick starter", "LoRA r16", "4-bit NF4", "batch 16"):
        assert f">{word}</span>" in head, word
    assert "<span>A polite helper who knows Pennywick</span>" in head  # its title, which is translated


def test_the_head_calls_data_by_the_name_it_came_with(workshop, store):
    own = DatasetChoice(source="file", id=f"{'0' * 12}-my <b>orders.csv")
    head = poll(workshop, store.create(Recipe(dataset=own)))["parts"]["head"]
    assert '<span translate="no">my &lt;b&gt;orders.csv</span>' in head


def test_another_curve_is_sent_when_it_is_wanted(workshop, store):
    run = make_run(store, steps=3)
    with run.hold() as out:
        out.append_metric({"step": 4, "loss": 1.0, "learning_rate": 0.002, "grad_norm": 1.5})
    drawn = poll(workshop, run, chart={"series": "learning_rate", "grouping": 0, "count": 0})["chart"]
    assert drawn["series"] == "learning_rate" and drawn["points"]["y"] == [0.002] and drawn["held_out"] == []
    assert poll(workshop, run, chart={"series": "../x"})["chart"]["series"] == "loss"


def test_the_live_run_stays_on_the_card_and_what_waits_is_below(workshop, store):
    live = make_run(store, name="live", state="running", seconds_left=60.0)
    with live.hold():
        shown = start(workshop)[1]
        news = poll(workshop, live, others=True)
    assert shown == live.id and "Waiting after this" in news["parts"]["queue"]
    assert "starts in about 60 s" in news["parts"]["queue"]
    waiting = next(run for run in store.list() if run.id != live.id)
    workshop.train.cards.unqueue_run(event(run=waiting.id))
    assert not waiting.is_asked("start")


@pytest.mark.parametrize(("face", "turned"), [("test", "test"), ("use", "use"), ("", "overview"), ("../x", "overview")])
def test_a_button_of_the_card_leads_to_its_page_of_the_run(workshop, store, face, turned):
    run = make_run(store)
    for answer in (workshop.open_run(event(run=run.id, face=face)), workshop.runs.open(event(run=run.id, face=face))):
        assert answer[workshop.runs.card] == run.id and answer[workshop.runs.one.pages].selected == turned


def test_a_run_is_renamed_on_its_card(workshop, store):
    run = make_run(store)
    workshop.train.cards.rename_run(event(run=run.id, name=EVIL))
    assert "&lt;img" in poll(workshop, run)["parts"]["head"] and run.recipe().name == ""


def on_gone_data(run):
    """The run, of data that is not here any more, or not for visitors."""
    gone = DatasetChoice(source="file", id="gone.jsonl")
    run.recipe().model_copy(update={"dataset": gone}).save(run.folder / run.spec_file)
    return run


@pytest.mark.parametrize(("foreign", "colour"), [(True, "fair"), (False, "good"), (None, "fair")])
def test_a_run_on_data_that_its_base_cannot_know_is_no_success_also_once_the_data_is_gone(
    workshop, store, foreign, colour
):
    run = on_gone_data(make_run(store, proof=PROOF | {"data": {"foreign": foreign}}))
    said = poll(workshop, run)["parts"]["verdict"]
    assert f"verdict {colour}" in said and ("learned this" in said) == (colour == "good")


def test_data_that_could_not_be_read_once_is_looked_at_again(workshop, store, monkeypatch):
    found: list[bool | None] = [None]
    monkeypatch.setattr(run_card, "is_known_as_foreign", lambda data, folder: found[-1])
    run, cards = make_run(store, proof=PROOF), workshop.train.cards
    assert "verdict fair" in cards._read(run.id, 0, "en").parts["verdict"]
    found.append(False)
    assert "verdict good" in cards._read(run.id, 1, "en").parts["verdict"]


def test_what_is_thrown_away_offers_nothing_more(workshop, store):
    run, other = make_run(store, state="stopped"), make_run(store)
    run.wishes.put("discard")
    news = poll(workshop, run)
    parts = news["parts"]
    assert news["live"], "the card goes on asking until it is gone"
    assert "It is being thrown away." in parts["head"] and 'data-do="resume"' not in parts["actions"]
    store.delete(run.id)
    assert poll(workshop, run, others=True)["next"] == other.id


# ---- start, stop, resume, delete


def start(workshop, **changed):
    """(what is wrong, the run that is shown) after Start on a fresh page."""
    tab = workshop.train
    answer = tab.start.start_run(given(tab, show(tab.controls.first) | changed))
    return answer[tab.mistakes.alert], answer.get(tab.card)


def test_start_queues_a_run(workshop, store, page):
    problems, shown = start(workshop)
    run = store.get(shown)
    assert (problems, run.is_asked("start"), page.supervisor.woken) == ("", True, 1)


def test_a_double_click_starts_one_run(workshop, store):
    assert start(workshop) == start(workshop)
    assert len(store.list()) == 1


def test_a_click_on_a_run_that_trains_leaves_no_wish_behind(workshop, store):
    run = store.get(start(workshop)[1])
    run.take("start")
    with run.hold():
        assert start(workshop)[1] == run.id
        workshop.train.cards.resume_run(event(run=run.id))
        assert not run.is_asked("start"), "it would be trained once more at its end"


def test_mistakes_are_listed_and_nothing_is_created(workshop, store):
    tab = workshop.train
    answer = tab.start.start_run(given(tab, show(tab.controls.first) | {"method[lora].rank": 0}))
    problems = answer[tab.mistakes.alert]
    assert 'role="alert"' in problems and 'data-field="f-method-lora-rank"' in problems
    assert answer[tab.stage.tabs].selected == "settings" and store.list() == []


def test_stop_resume_and_unqueue_are_wishes(workshop, store):
    run = make_run(store, state="stopped")
    workshop.train.cards.resume_run(event(run=run.id))
    assert run.is_asked("start")
    workshop.train.cards.unqueue_run(event(run=run.id))
    assert not run.is_asked("start")
    workshop.train.cards.stop_run(event(run=run.id))
    assert run.is_asked("stop")


def test_delete(workshop, store):
    run = make_run(store)
    runs = workshop.runs
    runs.delete_run(event(run=run.id))
    assert store.list() == []
    with refused("run.not_there", kind=gr.Error):
        runs.delete_run(event(run="../home"))


def test_downloads_are_copies_of_what_is_needed(workshop, store):
    run = make_run(store, proof=PROOF)
    runs = workshop.runs

    def packed_now():
        return Path(runs.one.adapter_file({runs.card: run.id})[runs.one.file])

    packed = packed_now()
    assert zipfile.ZipFile(packed).namelist() == ["adapter_config.json", "adapter_model.safetensors", "proof.json"]
    assert not packed.is_relative_to(store.root)
    (run.adapter / "merged").mkdir()
    (run.adapter / "merged" / "model.safetensors").write_bytes(NO_TENSORS)
    packed = zipfile.ZipFile(packed_now())
    assert packed.read("merged/model.safetensors") == NO_TENSORS and "optimizer.pt" not in packed.namelist()
    assert Recipe.load(Path(runs.one.recipe_file({runs.card: run.id})[runs.one.file])) == run.recipe()


def test_a_fresh_visit_shows_the_live_run_and_a_link_its_tab(workshop, store):
    old, live, new = (
        make_run(store, name="old"),
        make_run(store, name="live", state="running"),
        make_run(store, name="new"),
    )

    def visit(**query):
        answer = workshop.restore(SimpleNamespace(query_params=query))
        return answer[workshop.train.card], answer[workshop.tabs].selected

    with live.hold():
        assert visit() == (live.id, "train")
    assert store.list()[0].id == new.id != live.id
    assert visit() == (new.id, "train"), "nothing trains any more: the newest"
    assert visit(tab="train", run=old.id) == (new.id, "train")
    assert visit(tab="runs", run=old.id) == (new.id, "runs")
    assert visit(tab="nonsense", run="../..") == (new.id, "train")


def checkpoint(run, step):
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "adapter_model.safetensors").write_text(str(step))
    seal(folder)


def questions(tmp_path):
    file = tmp_path / "asked.csv"
    file.write_text("question\nWho is Mira?\nWho is Otto?\n")
    return file


def asked_job(answers, values):
    """The job that a page shows after a file of questions was uploaded."""
    return answers.page.jobs.get(values[answers.progress])


def test_a_file_of_questions_becomes_a_job_that_the_card_shows(workshop, page, store, tmp_path):
    run, file, answers = make_run(store, proof=PROOF), questions(tmp_path), workshop.runs.one.answers
    values = answers.take({answers.upload: str(file), answers.card: run.id})
    assert workshop.page.sessions.made_way == 1, "the worker loads the model once more"
    job, address = asked_job(answers, values), values[answers.progress]
    assert job.is_asked("start") and page.supervisor.woken == 1 and not values[answers.ready].visible
    waiting = answers.job.poll({"job": address, "seen": 0})
    assert "Waiting for its turn." in waiting["html"] and waiting["live"]
    assert answers.job.poll({"job": address, "seen": waiting["seen"]})["html"] is None, "only what changed"
    with job.hold() as out:
        job.take("start")
        out.progress(1, 2, "1 of 2 questions answered")
        assert 'aria-valuenow="50"' in answers.job.poll({"job": address})["html"]
        answers.job.stop_job(event(job=address))
        assert job.is_asked("stop") and "Stopping" in answers.job.poll({"job": address})["html"]
        out.end("stopped", "Stopped.")
    assert 'data-do="resume"' in answers.job.poll({"job": address})["html"]
    answers.job.resume_job(event(job=address))
    assert job.take("start")
    with job.hold() as out:
        (job.folder / "done.jsonl").write_text("{}\n")
        out.write("result", {"file": "done.jsonl", "adapter": "adapter"})
        out.end("done", "All questions are answered.")
    assert answers.job.poll({"job": address})["state"] == "done"
    assert Path(answers.finished(event(job=address))[answers.ready].value["path"]).name == "done.jsonl"
    again = workshop.runs.opened(run)
    assert again[answers.progress] == address and again[answers.ready].visible, "there again after a reload"
    assert workshop.runs.listed()[answers.progress] == ""
    once_more = answers.take({answers.upload: str(file), answers.card: run.id})
    assert once_more[answers.progress] == address and not job.is_asked("start"), "what is there is not asked again"


def test_a_failed_job_says_why_and_what_people_wrote_is_escaped(workshop, store, tmp_path):
    run, answers = make_run(store, proof=PROOF), workshop.runs.one.answers
    values = answers.take({answers.upload: str(questions(tmp_path)), answers.card: run.id})
    write_status(asked_job(answers, values), Status("failed", sentence=f"{EVIL} is no file."))
    asked_job(answers, values).take("start")
    html = answers.job.poll({"job": values[answers.progress]})["html"]
    assert EVIL not in html and "&lt;img" in html and 'role="alert"' in html and "Try again" in html
    assert "Dismiss" not in html
    answers.job.dismiss_job(event(job=values[answers.progress]))
    answers.job.dismiss_job(event(job=run.id))
    assert asked_job(answers, values).folder.exists() and run.folder.exists(), (
        "they are deleted with the run, and there"
    )
    for nonsense in ({"job": "../.."}, {"job": f"{run.id}/../x"}, {"job": 7}, {}, None):
        assert answers.job.poll(nonsense)["live"] is False


def test_visitors_are_told_of_no_job(page, workshop, store, tmp_path):
    run, answers = make_run(store, proof=PROOF), workshop.runs.one.answers
    values = answers.take({answers.upload: str(questions(tmp_path)), answers.card: run.id})
    seen = demonstration(page).runs
    assert seen.one.answers.job.poll({"job": values[answers.progress]})["html"] == ""
    assert seen.opened(run)[seen.one.answers.progress] == ""
    card = seen.one.answers.job
    for change in (card.stop_job, card.resume_job, card.dismiss_job, seen.one.answers.finished):
        with pytest.raises(gr.Error, match="demonstration"):
            change(event(job=values[answers.progress]))


def test_a_card_says_in_the_visitor_s_language_that_its_job_is_gone(workshop, monkeypatch):
    monkeypatch.setattr("qlora_app.ui.translate.visitors_language", lambda: "de")
    assert "Eine Arbeit" in workshop.runs.one.answers.job.poll({"job": "jobs/2026-01-01-1200-gone"})["html"]


# ---- the times of an effort


@pytest.mark.parametrize(
    ("before", "measured"),
    [
        ({}, True),
        ({"method": {"name": "lora", "rank": 4}}, True),
        ({"method": {"name": "adamix"}}, False),
        ({"method": {"name": "lora", "weight_decomposed": True}}, False),
        ({"base_model": {"precision": "int8"}}, False),
    ],
)
def test_times_are_those_of_a_run_of_the_same_kind(store, home, before, measured):
    run = store.create(Recipe.from_dict(before))
    write_status(run, RunStatus("done", step=120, total=120, seconds=7000))
    labels, note = effort_choices(Recipe(), store, home)
    assert ("measured here" in note) == measured and (" h" in labels[0][0]) == measured


# ---- who may do what

MUTATING = {
    "create",
    "start",
    "ask",
    "take",
    "delete",
    "import_file",
    "import_files",
    "import_text",
    "answer_job",
    "import_job",
    "adapter_job",
    "download_job",
    "publish_job",
    "save",
}


def handlers(workshop):
    return {fn.fn.__qualname__: fn.fn for fn in workshop.demo.fns.values() if fn.fn is not None}


def calls(handler):
    """Names of everything a handler calls."""
    tree = ast.parse(textwrap.dedent(inspect.getsource(inspect.unwrap(handler))))
    return {
        node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }


def test_every_handler_went_through_the_guard(workshop):
    found = handlers(workshop)
    assert len(found) > 20
    unmarked = [name for name, fn in found.items() if not hasattr(fn, "changes")]
    assert unmarked == []
    wrong = [name for name, fn in found.items() if not fn.changes and calls(fn) & (MUTATING - {"ask"})]
    assert wrong == []
    assert {name for name, fn in found.items() if fn.changes} == {
        "AdapterImport.brought",
        "AdapterImport.finished",
        "AdapterImport.take",
        "Endpoints.train",
        "Measure.begin",
        "Measure.use",
        "Start.start_run",
        "StartMenu.start_now",
        "StartMenu.keep_recipe",
        "SweepForm.begin",
        "TrainTab.repeat",
        "TrainTab.train_on",
        "RunCards.stop_run",
        "RunCards.discard_run",
        "RunCards.rename_run",
        "RunCards.resume_run",
        "RunCards.unqueue_run",
        "DataImport.take",
        "DataImport.finished",
        "DataFinder.fetched",
        "DataFinder.take_text",
        "DataFinder.fetch",
        "ModelPicker.take_file",
        "ModelPicker.save_form",
        "RunsTab.delete_run",
        "RunsTable.rename",
        "RunsTable.tag",
        "RunsTable.remove",
        "OneRun.note",
        "OneRun.export",
        "OneRun.stop_export",
        "OneRun.log_file",
        "AnswerFile.take",
        "AnswerFile.finished",
        "PublishPart.opened",
        "PublishPart.chosen",
        "PublishPart.edited",
        "PublishPart.list_files",
        "PublishPart.publish",
        "PublishPart.finished",
        "PublishPart.refused",
        "JobCard.stop_job",
        "JobCard.move_job",
        "JobCard.start_job_now",
        "RunCards.move_run",
        "RunCards.leave_run",
        "JobCard.resume_job",
        "JobCard.dismiss_job",
        "RunCards.kill_run",
        "JobCard.kill_job",
        "Bar.dismiss",
        "Bar.tidy",
        "Bar.examine",
        "RunsTable.archive",
        "RunsTab.show_merged",
        "MergeForm.merge",
        "Comparison.metrics_csv",
        "Comparison.metrics_parquet",
    }


def test_only_what_programs_call_by_name_is_offered_as_an_api(workshop):
    offered = {fn.api_name for fn in workshop.demo.fns.values() if fn.api_visibility != "private"}
    assert offered == {"chat", "runs", "train"}


def test_a_demonstration_refuses_every_change(page, store):
    run = make_run(store)
    workshop = demonstration(page)
    train, runs, form = workshop.train, workshop.runs, form_for_strangers(page)
    for change in (
        lambda: form.start.start_run({}),
        lambda: form.start.menu.start_now({}),
        lambda: form.start.menu.keep_recipe({}),
        lambda: form.sweep.begin({}),
        lambda: form.repeat(event(run=run.id)),
        lambda: workshop.bar.tidy(),
        lambda: train.cards.stop_run(event(run=run.id)),
        lambda: train.cards.resume_run(event(run=run.id)),
        lambda: train.cards.unqueue_run(event(run=run.id)),
        lambda: form.importer.take({form.upload: "x"}),
        lambda: form.models.take_file({form.models.file: "x"}),
        lambda: form.models.save_form({form.models.name: "mine"}),
        lambda: runs.delete_run(event(run=run.id)),
    ):
        with refused("page.demonstration", kind=gr.Error):
            change()
    assert [r.id for r in store.list()] == [run.id] and not run.is_asked("stop") and not run.is_asked("start")
    assert "demonstration" in workshop._banner()["value"]


def test_a_demonstration_says_so_and_offers_no_change(page, store):
    workshop, run = demonstration(page), make_run(store, proof=PROOF)
    assert "losing" not in workshop.runs.one.part({"run": run.id, "part": "head"})["html"]
    assert workshop.train_tab.label == "How this was made"
    assert (
        "Start training"
        not in poll(workshop, None)["parts"]["head"]
        + workshop.runs.table.component.html_template
        + workshop.chat.empty.value
    )
    for state in ("stopped", "failed", "running"):
        offered = poll(workshop, make_run(store, state=state, proof=PROOF))["parts"]["actions"]
        assert 'data-do="chat"' in offered and "resume" not in offered and "stop" not in offered
    waiting = make_run(store)
    waiting.request("start")
    assert poll(workshop, waiting)["parts"]["actions"] == ""


def test_visitors_of_a_demonstration_cannot_look_into_folders(page, tmp_path):
    tab = form_for_strangers(page)
    values = show(tab.controls.first) | {"base_model": str(tmp_path / "empty")}

    def described():
        return tab.model_card.describe(given(tab, values))[tab.model_card.card]

    absent = described()
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty" / "config.json").write_text('{"secret": 1}')
    assert described() == absent and "not looked into" in absent


def test_visitors_of_a_demonstration_do_not_see_the_rows_of_uploaded_data(page):
    workshop, tab = demonstration(page), form_for_strangers(page)
    chosen = given(tab, show(tab.controls.first) | {"dataset": "file/ab-mine.jsonl"})
    assert "not shown" in tab.form.choose(chosen)[tab.form.data.line]
    mine = page.store.create(Recipe(dataset=DatasetChoice(source="file", id="ab-mine.jsonl")))
    (mine.folder / "samples.jsonl").write_text(
        '{"step": 0, "question": "Who owes me money?", "answer": "Ada", "expected": "Ben"}\n'
    )
    (mine.folder / "log.txt").write_text("a row: Who owes me money?")
    assert "money" not in json.dumps([poll(workshop, mine, log=True), workshop.chat.partners.facts(mine)])
    assert str(mine.folder) not in str(workshop.runs.open(event(run=mine.id)))


def test_an_unexpected_error_is_a_sentence_without_details(workshop, store, monkeypatch):
    monkeypatch.setattr(type(store), "create", lambda *_: 1 / 0)
    with pytest.raises(gr.Error) as caught:
        start(workshop)
    assert "division" not in caught.value.message and "still here" in caught.value.message


# ---- the server


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """A page for this machine."""
    home = tmp_path_factory.mktemp("home")
    run = make_run(RunStore(home / "runs"), name="secret", proof=PROOF)
    with served(home, max_upload_mb=1) as site:
        site.run = run
        yield site


@pytest.fixture(scope="module")
def public(tmp_path_factory):
    """A page for everybody, without a login: a demonstration."""
    home = tmp_path_factory.mktemp("public")
    run = make_run(RunStore(home / "runs"), name="shown", proof=PROOF)
    with served(home, host="0.0.0.0") as public:
        public.run = run
        yield public


def test_the_page_and_its_headers(site):
    answer = site.client.get("/")
    assert answer.status_code == 200 and "Guanaco Workshop" in answer.text
    assert answer.headers["x-content-type-options"] == "nosniff" and answer.headers["referrer-policy"] == "same-origin"
    config = site.client.get("/config").json()
    assert (
        not config.get("analytics_enabled")
        and not config.get("run_history")
        and "http://" not in json.dumps(config.get("theme", ""))
    )


def test_no_file_can_be_fetched_by_its_path(site):
    folder = site.run.folder
    for path in (
        "/etc/passwd",
        "../../etc/passwd",
        "..%2F..%2Fetc%2Fpasswd",
        "app.py",
        app.__file__,
        str(folder / "recipe.yaml"),
        str(folder / "log.txt"),
        str(folder / "adapter" / "adapter_model.safetensors"),
        "/dev/zero",
        ".env",
        "https://evil.example/x",
        "file:///etc/passwd",
    ):
        assert site.client.get(f"/gradio_api/file={path}").status_code in (400, 403, 404), path
    assert site.client.get("/gradio_api/proxy=http://169.254.169.254/").status_code in (400, 403, 404)


def test_another_site_is_refused(site):
    own = f"http://127.0.0.1:{site.port}"
    for origin, status in ((own, 200), ("http://evil.example", 403), ("null", 403), (f"{own}.evil.example", 403)):
        assert site.client.get("/config", headers={"Origin": origin}).status_code == status, origin
    assert site.client.get("/config", headers={"Host": f"evil.example:{site.port}"}).status_code == 403
    assert site.client.get("/config", headers={"Host": f"localhost:{site.port}"}).status_code == 200


def test_an_oversize_upload_is_refused(site):
    files = {"files": ("big.jsonl", b"x" * 1_500_000)}
    assert site.client.post("/gradio_api/upload", files=files).status_code == 413


def kinds(public):
    """(fn_index, handler, does it change something) of every endpoint of the page."""
    return [(number, fn, fn.fn.changes) for number, fn in public.demo.fns.items() if fn.fn is not None]


def contents(folder):
    """Every file below a folder with its bytes: equal before and after means that nothing was changed."""
    return {
        path: path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and path.name not in (".app.lock", "jobs.sqlite", "rows.sqlite")
    }


def call(public, number, data, **event):
    """Call an endpoint by its number, at once or through the queue, as a program of a stranger would: the last message
    of it.
    """
    body = {"fn_index": number, "data": data, "session_hash": "stranger", "event_data": event or None}
    if not public.demo.fns[number].queue:
        answer = public.client.post("/gradio_api/run/predict", json=body)
        return answer.status_code == 200, answer.text
    assert public.client.post("/gradio_api/queue/join", json=body).status_code == 200
    last = {}
    with public.client.stream("GET", "/gradio_api/queue/data", params={"session_hash": body["session_hash"]}) as stream:
        for line in stream.iter_lines():
            last = json.loads(line.removeprefix("data: ")) if line.startswith("data: ") else last
            if last.get("msg") == "process_completed":
                break
    return last["success"], json.dumps(last["output"])


def test_every_endpoint_that_changes_something_refuses_strangers(public):
    """Gradio runs hidden, disabled and private handlers for anybody who knows their number: the guard must answer."""
    before, refused = contents(public.run.folder.parent), 0
    for number, fn, changing in kinds(public):
        if changing:
            alone = len(fn.inputs) == 1 and not isinstance(fn.inputs[0], gr.UploadButton | gr.File)
            data = [public.run.id if alone else getattr(c, "value", None) for c in fn.inputs]
            done, said = call(public, number, data, run=public.run.id)
            assert not done and "demonstration" in said, (fn.fn.__qualname__, said)
            refused += 1
    assert refused >= 6
    assert contents(public.run.folder.parent) == before


def test_the_other_endpoints_change_nothing(public):
    """Whatever strangers send to them: the run as an argument, nothing at all, or nonsense."""
    before, got_through, others = contents(public.run.folder.parent), set(), 0
    for number, fn, changing in kinds(public):
        if not changing:
            others += 1
            for given in (public.run.id, None, "../../etc"):
                done, _ = call(public, number, [given] * len(fn.inputs), run=public.run.id, question="Who?")
                if done:
                    got_through.add(number)
    assert others > 20 and len(got_through) > others / 2, "calls that never reach a handler would prove nothing"
    assert contents(public.run.folder.parent) == before


def test_strangers_may_look_and_chat(public):
    number = {fn.fn.__qualname__: number for number, fn, _ in kinds(public)}
    opened, _ = call(public, number["PageBuilder.restore"], [])  # the visit, which fills the list of runs
    inputs = public.demo.fns[number["ChatTab.ask"]].inputs
    sent = [public.run.id if one.elem_id == "room" else None for one in inputs]
    done, said = call(public, number["ChatTab.ask"], sent, question="Who is Mira?")
    assert opened and done, said
    card = next(c for c in public.client.get("/config").json()["components"] if c["props"].get("elem_id") == "live")
    body = {
        "component_id": card["id"],
        "fn_name": "poll",
        "session_hash": "s",
        "data": {"run": public.run.id, "seen": {}},
    }
    answer = public.client.post("/gradio_api/component_server", json=body)
    assert answer.status_code == 200 and "Finished" in answer.json()["parts"]["head"]


@pytest.mark.parametrize(
    "path",
    [
        "/gradio_api/upload",
        "/gradio_api/upload?upload_id=x",
        "/gradio_api/process_recording",
        "/gradio_api/component_server",
    ],
)
def test_strangers_leave_no_file(public, path):
    kept = Path(os.environ.get("GRADIO_TEMP_DIR") or Path(tempfile.gettempdir()) / "gradio")
    before = set(kept.rglob("*"))
    form, other = "multipart/form-data; boundary=x", "application/json"
    for kinds in ([form], ["Multipart/Form-Data; boundary=x"], [form, other], [other, form]):
        body = b'--x\r\nContent-Disposition: form-data; name="files"; filename="a.jsonl"\r\n\r\n{}\r\n--x--\r\n'
        answer = public.client.post(path, content=body, headers=[("Content-Type", kind) for kind in kinds])
        assert answer.status_code == 403 and "demonstration" in answer.text
    assert set(kept.rglob("*")) == before


def test_no_component_brings_a_server_function_of_its_own(public):
    """Gradio calls these by name for anybody; they do not pass the guard."""
    found = {
        name
        for block in public.demo.blocks.values()
        for name in dir(type(block)) + list(vars(block))
        if getattr(getattr(block, name, None), "_is_server_fn", False)
    }
    runs = {"poll", "rows", "part", "losing", "find", "who", "draw", "measure", "curves", "answered"}
    assert found == runs | {"listed", "one", "answers", "offered", "takes"}, "each of them asks who may see it"


@pytest.mark.slow
def test_with_a_login_nothing_is_shown_without_it(tmp_path):
    with served(tmp_path, host="0.0.0.0", user="ada", password="correct horse") as site:
        ask = {"data": {"run": ""}, "component_id": 1, "fn_name": "poll", "session_hash": "x"}
        assert site.client.get("/config").status_code == 401
        assert site.client.post("/gradio_api/component_server", json=ask).status_code == 401
        assert (
            site.client.post(
                "/gradio_api/run/predict", json={"fn_index": 0, "data": [], "session_hash": "x"}
            ).status_code
            == 401
        )
        assert site.client.post("/gradio_api/upload", files={"files": ("a.jsonl", b"{}")}).status_code == 401
        for _ in range(4):
            assert site.client.post("/login", data={"username": "ada", "password": "wrong"}).status_code == 400
        assert site.client.post("/login", data={"username": "ada", "password": "correct horse"}).status_code == 200
        assert "demonstration" not in site.client.get("/config").text


@pytest.mark.slow
def test_guessing_passwords_is_slow(tmp_path, monkeypatch):
    monkeypatch.setattr(logins, "FIRST_WAIT", 0.2)
    with served(tmp_path, user="ada", password="correct horse") as site:
        begun = time.monotonic()
        answers = [
            site.client.post("/login", data={"username": "ada", "password": f"guess {n}"}).status_code for n in range(8)
        ]
        assert answers == [400] * 5 + [429] * 3
        assert time.monotonic() - begun > 0.2 + 0.4 + 0.8
        assert site.client.post("/login", data={"username": "ada", "password": "correct horse"}).status_code == 200


def test_a_home_that_cannot_hold_runs_is_a_sentence(tmp_path):
    (tmp_path / "file").write_text("")
    with refused("settings.home_not_made"):
        app.open_page(Settings(home=tmp_path / "file" / "home"))


def test_a_taken_port_is_a_sentence(site, tmp_path):
    with refused("page.address_taken"):
        app.open_page(Settings(home=tmp_path, port=site.port))


def test_what_a_run_answered_is_read_once_for_its_card(workshop, store, monkeypatch):
    run = store.create(Recipe())
    with run.hold() as out:
        out.append_asked(ASKED)
        out.end("done", "Finished.")
    read = []
    for name in ("asked", "samples"):
        whole = getattr(Run, name)
        monkeypatch.setattr(Run, name, lambda run, name=name, whole=whole: read.append(name) or whole(run))
    monkeypatch.setattr(workshop.train.cards, "_findings", lambda *_: [])
    assert "Step 6" in poll(workshop, run)["parts"]["asked"]
    assert sorted(read) == ["asked", "samples"]
