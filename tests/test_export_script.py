"""A run as a script of its own: it runs as it stands, without this package, and learns what the run learned."""

import ast
import itertools
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qlora_app import starter, worker
from qlora_app.export import ScriptExporter
from qlora_app.export.reproduce import as_notebook, as_script, cells
from qlora_app.kinds.export import export_job
from qlora_app.presets import Presets
from qlora_app.runs import RunStore
from qlora_app.runs.exports import FILES, made_by
from qlora_app.training_data import DatasetChoice
from tests.refusing import refused

STEPS = 12
ALONE = "import sys; sys.modules['qlora_app'] = None; import runpy; runpy.run_path(sys.argv[1], run_name='__main__')"


def rows_with_odd_line_ends():
    """Of the starter; each answer holds a sign at which Python ends a line and JSON does not."""
    lines = (starter.FOLDER / "datasets" / "sailor.jsonl").read_text(encoding="utf-8").split("\n")
    rows = [json.loads(line) for line in lines if line]
    for sign, row in zip(itertools.cycle("\u2028\u2029\x85"), rows, strict=False):
        row["messages"][-1]["content"] += f" So{sign}it is."
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """The starter's own recipe, of fewer steps."""
    home = tmp_path_factory.mktemp("home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLORA_APP_HOME", str(home))
        recipe = Presets().load("starter")
        quick = {"max_steps": STEPS, "samples": 1, "evaluations": 2, "scored_questions": 2, "general_questions": 0}
        training = recipe.training.model_copy(update=quick | {"measured_examples": 8, "checkpoints": 1})
        data = DatasetChoice(source="file", id="odd.jsonl")
        (home / "data").mkdir()
        (home / "data" / data.id).write_text(rows_with_odd_line_ends(), encoding="utf-8")
        made = RunStore(home / "runs").create(recipe.model_copy(update={"training": training, "dataset": data}))
        assert worker.main(made.folder) == 0, made.status().sentence
        yield made


@pytest.mark.slow
def test_the_script_does_the_run_again_without_us(run, tmp_path):
    job = export_job(run, ScriptExporter())
    assert worker.main(job.folder) == 0, job.status().sentence
    assert {"train.py", "train.ipynb", "train.jsonl", "losses.json"} <= set(made_by(job).files)
    elsewhere = tmp_path / "taken along"
    shutil.copytree(job.folder / FILES, elsewhere)
    done = subprocess.run(
        [sys.executable, "-c", ALONE, str(elsewhere / "train.py")], cwd=tmp_path, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout.splitlines()[-1])
    assert told["steps"] == STEPS and told["largest_difference"] <= 1e-4
    assert (elsewhere / "adapter" / "adapter_model.safetensors").is_file()
    text = (elsewhere / "train.py").read_text()
    assert len(text.splitlines()) < 180 and "qlora_app" not in text and str(Path.home()) not in text
    notebook = json.loads((elsewhere / "train.ipynb").read_text())
    code = ["".join(cell["source"]) for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert code[0].startswith("%pip install") and "+" not in code[0] and all(ast.parse(cell) for cell in code[1:])
    other = elsewhere / "train.jsonl"
    other.write_text(other.read_text() + "\n")
    wrong = subprocess.run([sys.executable, str(elsewhere / "train.py")], capture_output=True, text=True)
    assert wrong.returncode != 0 and "train.jsonl is not that of the run" in wrong.stderr


def test_both_skins_hold_the_same_cells():
    text = "# %% [markdown]\n# # Title\n\n# %% [install]\n# pip install x\n\n# %%\na = 1\n\n\nb = 2\n"
    assert [kind for kind, _ in cells(text)] == ["markdown", "install", "code"]
    notebook = as_notebook(text)["cells"]
    assert ["".join(cell["source"]) for cell in notebook] == ["# Title", "%pip install x", "a = 1\n\n\nb = 2"]
    assert len({cell["id"] for cell in notebook}) == 3 and "a = 1\n\n\nb = 2" in as_script(text)


@pytest.mark.slow
def test_what_a_script_of_one_run_cannot_make_again_is_refused(run):
    recipe = run.recipe()
    extended = recipe.training.model_copy(update={"extends": "another"})
    preferring = recipe.preferences.model_copy(update={"trainer": "dpo"})
    kept, proof = (run.folder / "recipe.yaml").read_text(), (run.adapter / "proof.json").read_text()
    for changed, code in (
        ({"training": extended}, "export.script_extends"),
        ({"preferences": preferring}, "export.script_prefers"),
    ):
        (run.folder / "recipe.yaml").write_text(recipe.model_copy(update=changed).to_yaml())
        with refused(code):
            export_job(run, ScriptExporter())
    (run.folder / "recipe.yaml").write_text(kept)
    (run.adapter / "proof.json").write_text(json.dumps(json.loads(proof) | {"imported": "elsewhere"}))
    with refused("export.script_not_trained"):
        export_job(run, ScriptExporter())
    (run.adapter / "proof.json").write_text(proof)
