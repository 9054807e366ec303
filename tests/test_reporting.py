"""What another program is told of a run: the rows of metrics.jsonl, and never anything that training waits for."""

import contextlib
import gc
import importlib
import os
import threading
import time
import weakref
from types import SimpleNamespace
from typing import ClassVar
from unittest.mock import MagicMock

import pytest
from transformers import PreTrainedConfig, TrainerCallback, TrainerControl, TrainerState

from qlora_app.cli.jobs import _run_in_full
from qlora_app.errors import Problem
from qlora_app.overrides import recipe_from
from qlora_app.reporting import Reporting
from qlora_app.runs.reported import kept_of, reported
from qlora_app.settings import Settings
from qlora_app.train import kind, proof, reporting
from qlora_app.train.reporting import Reports, in_their_words
from qlora_app.ui.context import for_visitors
from qlora_app.ui.runs.run_pages import head_page
from tests.conftest import short_recipe
from tests.refusing import check_problem, refused

ROWS = [{"step": 1, "loss": 2.5, "grad_norm": None}, {"step": 0, "held_out_loss": 3.0}, {"step": 2, "loss": 2.0}]


class Toy(TrainerCallback):
    """Another program: keeps what it hears."""

    def __init__(self):
        self.heard = []

    def on_log(self, args, state, control, logs=None, **_):
        self.heard.append((state.global_step, logs))

    def on_train_end(self, *_, **__):
        self.heard.append("end")


class Broken(Toy):
    def on_log(self, *_, **__):
        raise ConnectionError("no route\nto host")


class Hanging(Toy):
    let_go = threading.Event()

    def on_log(self, *_, **__):
        self.let_go.wait(120)


class Model:
    config = PreTrainedConfig(id2label={0: "secret"}, label2id={"secret": 0}, inner={"id2label": {1: "b"}})

    def num_parameters(self):
        return 7


@pytest.fixture
def told(store, monkeypatch):
    """(a run told a toy as if it were trained, how long that took, what was noted down)"""

    def told(toy, report_to="trackio", make=Model):
        run = store.create(short_recipe().model_copy(update={"reporting": Reporting(report_to=report_to)}))
        monkeypatch.setitem(reporting.INTEGRATIONS, report_to, lambda reports: reports.keep() or toy)
        monkeypatch.setattr(reporting, "SENT_WITHIN", 0.3)
        noted = []
        began = time.monotonic()
        with run.hold() as out:
            reports = Reports(out, run.recipe().reporting, 0, noted.append)
            reports.on_train_begin(None, TrainerState(), TrainerControl(), make())
            for row in ROWS:
                reports.add(row)
            reports.close()
            reports.close()
        return run, time.monotonic() - began, noted

    return told


def test_it_hears_every_row_at_its_step_by_trainers_names(told):
    toy = Toy()
    run, _, noted = told(toy)
    assert toy.heard == [(1, {"loss": 2.5}), (0, {"eval_loss": 3.0}), (2, {"loss": 2.0}), "end"] and not noted
    assert in_their_words({"step": 1, "seconds": 2.0, "tokens": 3}) == {"tokens": 3}
    assert reported(run).to_json() == {
        "to": "Trackio", "command": "trackio show --project guanaco-workshop", "url": ""
    }  # fmt: skip


def test_what_goes_wrong_there_is_a_sentence_and_what_hangs_is_not_waited_for(told):
    _, _, noted = told(Broken())
    check_problem(noted[0], "reporting.failed", "no route to host")
    _, seconds, _ = told(Hanging())
    Hanging.let_go.set()
    assert len(noted) == 1 and seconds < 60


def test_where_to_look_stands_at_the_run_and_for_scripts_and_no_visitor_learns_of_it(told):
    run, _, _ = told(Toy(), "wandb")
    assert "wandb sync" in head_page(run, True) and "wandb" not in head_page(run, False)
    with run.hold() as out:
        out.write("reported", {"to": "wandb", "id": "a", "url": 'https://wandb.ai/x?"><b>'})
    assert '<a href="https://wandb.ai/x?&quot;&gt;&lt;b&gt;"' in head_page(run, True)
    assert _run_in_full(run, run.status())["reported"]["url"].startswith("https://wandb.ai")
    with run.hold() as out:
        out.write("reported", {"to": "wandb", "id": "a", "url": "javascript:alert(1)"})
    assert "javascript" not in head_page(run, True)
    assert kept_of(run, "tensorboard").id == "", "another program knows nothing of that"


class Keeping(Hanging):
    """Another program that keeps what it is told of the model."""

    def on_train_begin(self, args, state, control, model=None, **_):
        self.model = model


@pytest.mark.parametrize("is_broken", [False, True])
def test_all_is_sent_before_the_last_word_and_broken_weights_answer_nobody(is_broken, monkeypatch):
    did = []
    found = SimpleNamespace(sentence="broken") if is_broken else None
    ending = SimpleNamespace(used_up=None, has_stalled=False, broken=found)
    asking = SimpleNamespace(answer=lambda step: did.append("answered"))
    for name, made in (("CheckpointCallback", SimpleNamespace(was_stopped=False)), ("BestSoFar", MagicMock())):
        monkeypatch.setattr(kind, name, lambda *_, made=made: made)
    for name, made in (("EndingCallback", ending), ("AskingCallback", asking), ("trainer_for", MagicMock())):
        monkeypatch.setattr(kind, name, lambda *_, made=made: made)
    monkeypatch.setattr(kind, "total_steps", lambda job: 9)
    monkeypatch.setattr(kind, "broken_words", lambda *_: Problem("a.b", "broken"))
    monkeypatch.setattr(kind, "finish", lambda *_: did.append("proven"))
    told = SimpleNamespace(close=lambda: did.append("sent"))
    kind._train(MagicMock(), MagicMock(), None, MagicMock(), [told], contextlib.ExitStack())
    assert did == (["sent", "proven"] if is_broken else ["sent", "answered", "proven"])


def test_the_proof_answers_with_what_is_kept(monkeypatch):
    """The weights before that may be broken ones."""
    asking = MagicMock()
    monkeypatch.setattr(proof, "_kept", MagicMock(side_effect=ZeroDivisionError))
    with pytest.raises(ZeroDivisionError):
        proof.finish(MagicMock(), MagicMock(), MagicMock(), asking)
    asking.answer.assert_not_called()


def test_labels_are_words_of_the_data_and_a_program_that_hangs_holds_no_weights(told, monkeypatch):
    toy, made = Keeping(), weakref.WeakSet()
    monkeypatch.setattr(Hanging, "let_go", threading.Event())

    def make():
        made.add(model := Model())
        return model

    told(toy, make=make)
    gc.collect()
    known = toy.model.config.to_dict()
    assert "model_type" in known and "secret" in Model.config.to_json_string()
    assert "id2label" not in toy.model.config.to_json_string() and "label2id" not in known
    assert toy.model.num_parameters() == 7 and not made
    Hanging.let_go.set()


def test_no_visitor_learns_where_it_reports():
    told = short_recipe().model_copy(update={"reporting": Reporting(report_to="wandb", project="client-x")})
    assert "client-x" not in for_visitors(told).to_yaml() and "wandb" not in for_visitors(told).to_yaml()


class Wandb:
    """Takes no key."""

    errors = SimpleNamespace(CommError=ConnectionError, UsageError=KeyError)
    run = None
    begun: ClassVar = []

    def init(self, mode, **_):
        self.begun.append(mode)
        if mode == "online":
            raise self.errors.UsageError("API key must be 40 characters long")

    def Settings(self, **_):
        return None


class Writer:
    def __init__(self, log_dir, purge_step):
        self.purge_step = purge_step


@pytest.fixture
def beginning(store, monkeypatch):
    """What an integration is given to begin with, of a run that goes on after a step."""
    run = store.create(short_recipe())
    monkeypatch.setattr(reporting, "WandbCallback", lambda: None)
    monkeypatch.setattr(reporting, "TensorBoardCallback", lambda writer: writer)
    monkeypatch.setattr(importlib, "import_module", lambda name: Wandb() if name == "wandb" else tensorboard)
    tensorboard = SimpleNamespace(SummaryWriter=Writer)
    with run.hold() as out:
        yield lambda to, step: Reports(out, Reporting(report_to=to), step, MagicMock())


def test_a_key_that_is_none_keeps_the_run_here(beginning, monkeypatch):
    monkeypatch.setattr(os, "environ", dict(os.environ))
    monkeypatch.setattr(Settings, "from_environment", lambda: Settings(wandb_key="odd"))
    reports = beginning("wandb", 0)
    reporting._wandb(reports)
    assert Wandb.begun == ["online", "offline"]
    check_problem(reports.note.call_args.args[0], "reporting.not_reached", "40 characters")
    assert os.environ["WANDB_LOG_MODEL"] == os.environ["WANDB_WATCH"] == "false"


@pytest.mark.parametrize(("step", "is_told", "forgets_from"), [(0, False, None), (0, True, 0), (6, True, 7)])
def test_tensorboard_forgets_what_is_told_again(step, is_told, forgets_from, beginning):
    reports = beginning("tensorboard", step)
    if is_told:
        reporting.folder_of(reports.run).mkdir()
        (reporting.folder_of(reports.run) / "events.out.tfevents.1").touch()
    assert reporting._tensorboard(reports).purge_step == forgets_from


def test_what_is_not_installed_is_refused_before_the_start(tmp_path, monkeypatch):
    with refused("recipe.wrong_settings", "reporting.not_installed"):
        recipe_from("starter", ["reporting.report_to=trackio"], Settings(home=tmp_path))
    (tmp_path / "trackio").mkdir()
    monkeypatch.syspath_prepend(tmp_path)
    assert "reporting.report_to" in Reporting(report_to="trackio").problems(), "a folder is no package"


def test_a_key_is_one_word():
    assert Settings.from_environment({"WANDB_API_KEY": "a\n"}).wandb_key.get_secret_value() == "a"
    assert Settings.from_environment({"WANDB_API_KEY": "\n"}).wandb_key is None
    key = "QLORA_APP_WANDB_KEY"
    assert Settings.from_environment({"WANDB_API_KEY": "a"}).wandb_key.get_secret_value() == "a"
    assert Settings.from_environment({"WANDB_API_KEY": "a", key: "b"}).wandb_key.get_secret_value() == "b"
