"""Run folders that released versions wrote are listed, shown, resumed and asked by this one."""

import shutil
from pathlib import Path

import pytest

from qlora_app import worker
from qlora_app.cli import main
from qlora_app.inference.pool import ModelPool
from qlora_app.inference.session import Decoding
from qlora_app.jobs import index
from qlora_app.runs import RunStore
from qlora_app.runs.checkpoints import is_complete
from qlora_app.ui.runs.run_pages import files_of
from tests.conftest import short_recipe
from tests.fixtures.answering import both
from tests.fixtures.damages import make_home

OLD = Path(__file__).parent / "data" / "runs"
VERSIONS = sorted(folder.name for folder in OLD.iterdir())
WRITTEN = {  # by a training of version 0.1.0: files directly in its folder, and the folders beside them
    "base.json",
    "checkpoints",
    "compute.json",
    "curve.json",
    "lock",
    "metrics.jsonl",
    "not_learned.json",
    "recipe.yaml",
    "samples.jsonl",
    "status.json",
    "task.json",
}


@pytest.fixture(params=VERSIONS)
def old(request, home):
    """A store with the two runs of an old version: {"finished": run, "interrupted": run}."""
    shutil.copytree(OLD / request.param, home / "runs")
    store = RunStore(home / "runs")
    return {run.id: run for run in store.list()}


def ask(run):
    question = [{"role": "user", "content": "Where does Mira live?"}]
    return both(ModelPool().get(run), question, Decoding(max_new_tokens=16))


def test_they_are_listed_as_they_stand(old, capsys):
    assert {name: run.status().state for name, run in old.items()} == {"finished": "done", "interrupted": "interrupted"}
    assert main(["runs"]) == 0
    listed = capsys.readouterr().out
    assert "finished" in listed and "24/24" in listed and "interrupted" in listed and "24/40" in listed


def test_they_are_shown_whole(old):
    finished, interrupted = old["finished"], old["interrupted"]
    assert finished.recipe().training.max_steps == finished.status().total == 24
    assert finished.proof()["update"]["zero_layers"] == 0
    assert finished.curve().points()["x"] == list(range(1, 25))
    assert interrupted.curve().points()["x"] == list(range(1, 27)), (
        "the lines after the last stored curve are there too"
    )
    assert {row["step"] for row in finished.samples()} == {0, 12, 24}
    assert "Resume goes on from step 20" in interrupted.status().sentence
    assert interrupted.newest_adapter().name == "checkpoint-20" and is_complete(interrupted.newest_adapter())


def test_a_finished_one_is_asked(old):
    base, tuned = ask(old["finished"])
    assert tuned and base != tuned


@pytest.mark.slow
def test_an_interrupted_one_is_resumed_to_its_proven_end(old):
    run = old["interrupted"]
    kept = {row["step"]: row["loss"] for row in run.metrics()[0] if "loss" in row and row["step"] <= 20}
    assert worker.main(run.folder) == 0, run.log_tail()
    status, losses = run.status(), {row["step"]: row["loss"] for row in run.metrics()[0] if "loss" in row}
    assert (status.state, status.step, status.total) == ("done", 40, 40)
    assert list(losses) == list(range(1, 41)) and {step: losses[step] for step in kept} == kept
    assert run.proof()["heldout"]["loss"]["after"] < run.proof()["heldout"]["loss"]["before"]
    assert ask(run)[1]


@pytest.mark.slow
def test_what_a_training_writes_now_is_what_it_wrote_then(store):
    run = store.create(short_recipe(max_steps=4))
    assert worker.main(run.folder) == 0, run.log_tail()
    there = {path.name for path in run.folder.iterdir()}
    assert there == WRITTEN | {"adapter", "figures.json", "held_out_answers.json"}, (
        "launch.json and log.txt are the launcher's, and there was none"
    )


def test_the_files_of_a_run_are_its_own_and_not_what_a_list_remembers(tmp_path, monkeypatch):
    monkeypatch.setattr(index, "_SETTLED", -1.0)
    settings = make_home(tmp_path)
    store = RunStore(settings.runs)
    run = store.get("finished")
    before = files_of(run)
    assert any(job.folder.parent == run.answers for job in store.every())
    assert (run.answers / index.INDEX_FOLDER / index.INDEX_FILE).is_file()
    assert files_of(run) == before and sum(count for _, count in before) == run.size()
    assert {"adapter/", "answers/", "checkpoints/checkpoint-24/", "recipe.yaml"} <= dict(before).keys()
