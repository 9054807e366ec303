"""The package from a script or a notebook."""

import re
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import qlora_app
from qlora_app import OFFERED, api
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus
from tests.conftest import short_recipe
from tests.fixtures.jobs import write_status
from tests.refusing import refused

ROOT = Path(__file__).parent.parent


def test_the_import_is_light_and_what_is_offered_is_there_before_and_after_its_room_was_imported(home):
    program = """
    import sys, qlora_app
    assert not {"pydantic", "yaml", "torch"} & set(sys.modules)
    assert set(qlora_app.OFFERED) <= set(dir(qlora_app))
    before = [getattr(qlora_app, name) for name in qlora_app.OFFERED]
    import qlora_app.runs.store as store, qlora_app.sweep.plan, qlora_app.launch.local
    from qlora_app import runs as room
    assert room.RunStore is store.RunStore and all(map(callable, before))
    assert qlora_app.runs() == [] and before[qlora_app.OFFERED.index("runs")]() == []
    try:
        qlora_app.nothing
    except AttributeError as error:
        print(error)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(program)], capture_output=True, text=True, cwd=ROOT, check=True
    )
    assert done.stdout.split() == ["nothing"]


def test_what_is_offered_stands_in_the_manual():
    manual = (ROOT / "docs" / "python.md").read_text(encoding="utf-8")
    assert set(OFFERED) - {"Run", "Sweep"} <= set(re.findall(r"`(\w+)\(", manual))
    for kind in (api.Run, api.Sweep):
        offered = {name for name in vars(kind) if not name.startswith("_")} - {"job", "id", "runs"}
        assert offered <= set(re.findall(r"\w+", manual)), offered


def test_runs_are_found_read_and_waited_for(store):
    job = store.create(short_recipe(max_steps=4))
    run = qlora_app.run(job.id[:12])
    with job.hold() as out:
        out.append_metric({"step": 1, "loss": 2.0})
        out.append_sample({"step": 0, "question": "q", "answer": "a"})
        assert run.wait(0.1).state == "starting" and run.metrics()[0]["loss"] == 2.0
    write_status(job, RunStatus("failed", step=1, total=4, sentence="The disk is full."))
    assert "step 1 of 4" in repr(run) and run.samples()[0]["answer"] == "a" and run.proof() is None
    with refused("run.ended_badly", "The disk is full."):
        run.wait()
    with refused("run.no_adapter_yet"):
        _ = run.adapter
    assert [one.id for one in qlora_app.runs()] == [job.id]
    other = store.create(short_recipe(max_steps=8))
    told = qlora_app.compare(job.id, qlora_app.Run(other))
    assert told["settings"]["training.max_steps"] == {job.id: 4, other.id: 8}


@pytest.mark.parametrize("recipe", ["starter", Recipe()])
def test_settings_by_name_mean_the_same_on_every_recipe(home, recipe):
    settings = {"method.name": "vera", "training.sample_questions": ["Who?"], "training.packing": False}
    made = api._recipe(recipe, settings, {"training__max_steps": 5})
    before = api._recipe(recipe, None, {})
    assert made.training.learning_rate == before.suiting("vera").training.learning_rate > before.training.learning_rate
    assert (made.training.sample_questions, made.training.packing, made.training.max_steps) == (["Who?"], False, 5)
    with refused("recipe.wrong_settings") as error:
        api._recipe(recipe, {"name.x": 1, "training.rank": 2}, {})
    assert set(error.value.problems) == {"name.x", "training.rank"}


def test_a_sweep_is_queued_and_ranked(home):
    sweep = qlora_app.sweep(Recipe(), {"method.rank": [4, 8]}, training__max_steps=5, training__packing=False)
    assert [run.recipe.training.max_steps for run in sweep.runs()] == [5, 5]
    assert [one["values"]["method.rank"] for one in sweep.ranked()] == [4, 8] and "2 runs" in repr(sweep)
    with refused("sweep.none_measured"):
        sweep.best()
    sweep.stop()
    assert {run.state for run in sweep.runs()} == {"stopped"} and sweep.wait() is sweep
    with refused("recipe.wrong_settings"):
        qlora_app.train("starter", {"training.epochs": 0})


@pytest.mark.slow
def test_the_notebook_of_the_manual(home):
    few = {f"training.{name}": 4 for name in ("max_steps", "measured_examples", "scored_questions")}
    few |= {"training.general_questions": 0}
    run = qlora_app.train("starter", few | {"training.samples": 1, "training.sample_questions": ["Who?", "Where?"]})
    assert run.wait().state == "done" and len([row for row in run.metrics() if "loss" in row]) == 4
    assert {row["question"] for row in run.samples()} == {"Who?", "Where?"}
    answers = run.ask(["Who is Oscar?", "Where does Mira live?"])
    assert len(answers) == 2 and answers[0] == qlora_app.ask("Who is Oscar?", run.id)
    assert (run.adapter / "adapter_model.safetensors").exists() and run.proof()["update"]["zero_layers"] == 0
