"""The list of models: what stands in which group, what each row says, and the script that searches it."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from qlora_app.base_models import ModelChoice
from qlora_app.effort import epochs_meant, pace_measured, work_of
from qlora_app.hardware import Machine
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus, RunStore
from qlora_app.training_data import DatasetChoice
from qlora_app.ui.train.model_list import KINDS, OF_PAPERS, ModelList, chosen_row
from qlora_app.ui.train.model_times import ModelTimes
from qlora_app.ui.train.model_words import list_words
from tests.fixtures.jobs import write_status
from tests.refusing import refused

GB = 2**30
LAPTOP, CARD = Machine("cpu", 16 * GB, 12 * GB), Machine("cuda", 24 * GB, 24 * GB)
SCRIPT = Path(__file__).parents[1] / "qlora_app" / "ui" / "train" / "model_find.js"


@pytest.fixture
def models(tmp_path):
    def listed(machine=LAPTOP, kept=(), time_of=lambda *_: None):
        presets = Presets(tmp_path / "presets")
        return ModelList(presets, tmp_path / "models", list(kept), machine, time_of)

    return listed


def titles(groups):
    return {group.title: [row.title for row in group.rows] for group in groups}


def test_groups_without_a_gpu(models):
    found = titles(models().groups())
    assert list(found) == [
        "On this machine",
        "For this computer",
        "Better with a GPU (none here)",
        "Labels, text-to-text, fill-mask",
        "Papers, number by number",
    ]
    assert found["On this machine"] == ["Pennywick starter"]
    assert found["For this computer"] == ["SmolLM2 135M", "SmolLM2 360M", "Qwen3 0.6B", "GPT-2"]
    larger = found["Better with a GPU (none here)"]
    assert larger[0] == "Gemma 3 1B" and "Llama 3.3 70B" in larger
    assert found["Papers, number by number"][:2] == ["Guanaco 7B", "Guanaco 13B"]
    assert "QA-LoRA · Pennywick starter" in found["Papers, number by number"]


def test_with_a_gpu_the_models_are_sorted_by_what_fits(models):
    found = titles(models(CARD).groups())
    assert "Qwen3 14B" in found["For this computer"] and found["Needs a larger GPU"] == ["Qwen3 32B", "Llama 3.3 70B"]


def test_every_recipe_of_the_app_can_be_reached(models):
    """By its row, or because it is what its model or the starter's data brings."""
    groups = models().groups()
    keys = {row.key for group in groups for row in group.rows}
    shipped = Presets()
    for name in shipped.names():
        recipe = shipped.load(name)
        if name in OF_PAPERS:
            assert f"recipe:{name}" in keys
        else:
            assert f"model:{recipe.base_model.id or 'starter'}" in keys
    assert all(row.kind in KINDS for group in groups for row in group.rows)


def test_a_row_says_size_download_licence_fit_and_what_is_missing(models):
    rows = {row.title: row for group in models(time_of=lambda *_: 360.0).groups() for row in group.rows}
    small = rows["SmolLM2 135M"]
    assert (small.facts, small.download, small.fit, small.time) == (
        ("135 M", "Apache 2.0"),
        "269 MB",
        "fits",
        "about 6 min",
    )
    assert small.figures.startswith("Fits: training needs about")
    large = rows["Llama 3.3 70B"]
    assert (large.facts, large.fit, large.time) == (
        ("70.6 B", "Llama 3.3", "ask for access"),
        "too large here, GPU from 48 GB",
        "",
    )
    roomy = Machine("cpu", 64 * GB, 60 * GB)
    slow = {row.title: row for group in models(roomy).groups() for row in group.rows}
    assert slow["Llama 3.2 1B"].fit == "fits, slow without a GPU"
    assert rows["Pennywick starter"].facts == ("2.8 M", "built in, 5 MB")


def test_what_was_downloaded_stands_with_this_machine_and_only_there(models, monkeypatch):
    kept = [ModelChoice(source="hub", id="Qwen/Qwen3-0.6B")]
    groups = models(kept=kept).groups()
    found = titles(groups)
    assert found["On this machine"] == ["Pennywick starter", "Qwen3 0.6B"]
    assert "Qwen3 0.6B" not in found["For this computer"]
    assert groups[0].rows[1].download == "", "nothing is left to download"


def test_a_broken_folder_says_what_is_wrong_and_cannot_be_chosen(models, tmp_path):
    folder = tmp_path / "models" / "<b>half"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    words = list_words(models().groups())
    assert "holds no weights" in words and 'data-row="model:/' not in words and "<b>half" not in words


def test_a_person_s_own_recipes_come_last_and_broken_ones_say_why(models, tmp_path):
    presets = Presets(tmp_path / "presets")
    presets.save("mine", Recipe(note="<i>For me</i>"))
    (presets.own / "odd.yaml").write_text("a: [")
    words = list_words(models().groups())
    assert words.index("Papers") < words.index(">Mine<") < words.index('data-row="recipe:mine"')
    assert "&lt;i&gt;For me" in words and "not valid YAML" in words and str(tmp_path) not in words


def test_what_to_take_instead_of_the_starter(models):
    assert models().first().title == "SmolLM2 135M"
    assert models(CARD).first().title == "Qwen3 1.7B"
    assert models(Machine("cpu", 0.2 * GB, 0.1 * GB)).first() is None


def test_times_grow_with_the_model_and_are_not_made_up(tmp_path):
    times = ModelTimes(RunStore(tmp_path), DatasetChoice(), tmp_path, LAPTOP)
    rows = ModelList(Presets(), tmp_path, [], LAPTOP, times.seconds).groups()
    here = {row.title: row.time for group in rows for row in group.rows}
    assert here["Pennywick starter"] == "about 2 min" and here["Llama 3.3 70B"] == ""
    assert here["SmolLM2 135M"].startswith("about ")
    starter = Presets().load("starter")
    on_card = ModelTimes(RunStore(tmp_path), DatasetChoice(), tmp_path, CARD)
    assert on_card.seconds(Presets().load("qwen3-4b"), None) is None
    absent = ModelTimes(RunStore(tmp_path), DatasetChoice(source="file", id="none.csv"), tmp_path, LAPTOP)
    assert absent.seconds(starter, None) is None


def test_the_list_of_models_and_the_effort_name_the_same_time(tmp_path):
    store, data = RunStore(tmp_path / "runs"), Presets().load("starter").dataset
    of_four, of_sixteen = (
        Recipe(base_model=ModelChoice(source="hub", id="someone/model", precision=one)) for one in ("nf4", "bf16")
    )
    for recipe, seconds in ((of_four, 40.0), (of_four, 50.0), (of_sixteen, 900.0)):
        write_status(store.create(recipe), RunStatus("done", step=100, total=100, seconds=seconds))
    times = ModelTimes(store, data, tmp_path, CARD)
    for recipe in (of_four, of_sixteen):
        pace = pace_measured(recipe, store, tmp_path).seconds
        epochs = epochs_meant(recipe.model_copy(update={"dataset": data}), tmp_path)["balanced"]
        assert times.seconds(recipe, None) == pytest.approx(pace * work_of(recipe, times.examples, epochs))


def test_what_a_row_sends(models):
    assert chosen_row("model:/a/b:c") == ("model", "/a/b:c") and chosen_row("recipe:t-few") == ("recipe", "t-few")
    with refused("model.no_row"):
        chosen_row("starter")


@pytest.mark.skipif(not shutil.which("node"), reason="needs node")
def test_the_search_and_the_keys():
    row = {"kind": "chat", "words": "qwen3 0.6b qwen/qwen3-0.6b many languages"}
    program = f"""
      const {{isSeen, isPlace, nextPlace}} = require({json.dumps(str(SCRIPT))}), row = {json.dumps(row)};
      console.log(JSON.stringify([
        isSeen(row, '', ''), isSeen(row, 'QWEN lang', 'chat'), isSeen(row, 'qwen', 'labels'), isSeen(row, 'llama', ''),
        isPlace('Qwen/Qwen3-0.6B'), isPlace('/models/mine'), isPlace('~/x'), isPlace('qwen 0.6'), isPlace('C:\\\\m'),
        nextPlace('ArrowDown', -1, 3), nextPlace('ArrowUp', 0, 3), nextPlace('ArrowDown', 2, 3), nextPlace('a', 1, 3),
        nextPlace('End', -1, 3)]));
    """
    done = subprocess.run(["node", "-e", program], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [
        True, True, False, False, True, True, True, False, True, 0, -1, 2, None, None,
    ]  # fmt: skip
