"""A run of every method and task as a script of its own, in a process that cannot import this package."""

import ast
import builtins
import json
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qlora_app import worker
from qlora_app.export import ScriptExporter
from qlora_app.export.own_code import Made, own_code
from qlora_app.export.reproduce import ASKED_OF_METHOD, ASKED_OF_TASK, OF_A_HEAD
from qlora_app.kinds.export import export_job
from qlora_app.methods import METHODS
from qlora_app.runs.exports import FILES
from qlora_app.tasks import TASKS
from tests.methods.resuming import METHODS as EVERY
from tests.methods.resuming import recipe_of
from tests.tiny_models import tiny_model

ALL_ALONE = """
import json, runpy, sys
sys.modules["qlora_app"] = None
for script in json.loads(sys.argv[1]):
    sys.modules.pop("workshop", None)
    path = list(sys.path)
    runpy.run_path(script, run_name="__main__")
    sys.path[:] = path
"""


def test_what_is_taken_along_needs_nothing_that_stays():
    """Whatever it names is there, is Python's own, or comes from an installed library."""
    every = [{"METHOD": Made.of(method(), ASKED_OF_METHOD)} for method in METHODS]
    every += [{"TASK": Made.of(task(labels=("a", "b")), ASKED_OF_TASK)} for task in TASKS.values()]
    for made in every:
        text = own_code("About.", [*OF_A_HEAD, ("train.own_trainer", "OwnTrainer")], made)
        there: dict = {}
        exec(compile(text, "workshop.py", "exec"), there)
        nodes = list(ast.walk(ast.parse(text)))
        names = [one for one in nodes if isinstance(one, ast.Name)]
        made_here = {one.id for one in names if isinstance(one.ctx, ast.Store)}
        made_here |= {one.arg for one in nodes if isinstance(one, ast.arg)}
        made_here |= {one.name for one in nodes if isinstance(one, ast.FunctionDef | ast.ClassDef)}
        made_here |= {(one.asname or one.name).partition(".")[0] for one in nodes if isinstance(one, ast.alias)}
        assert not {one.id for one in names} - made_here - there.keys() - set(dir(builtins))
        assert "qlora_app" not in text and "import ." not in text


def ejected(names, home, store):
    """{name: its script} of runs on tiny models, each with its base beside it."""
    scripts = {}
    for name in names:
        method, _, rest = name.partition("@")
        task, _, family = rest.partition("/")
        base = tiny_model(family or "llama", home / "bases" / (family or "llama"))
        begun = {"start_from": started(base, store).id} if task == "started" else {}
        task = "chat" if task in ("", "started") else task
        run = store.create(recipe_of(base, method, dropout=0.1, task=task, max_steps=4, **begun))
        assert worker.main(run.folder) == 0, run.status().sentence
        job = export_job(run, ScriptExporter())
        assert worker.main(job.folder) == 0, job.status().sentence
        place = home / "taken along" / name.replace("/", "-")
        shutil.copytree(job.folder / FILES, place)
        shutil.copytree(base, place / "base")
        scripts[name] = str(place / "train.py")
    return scripts


def started(base, store):
    """A finished run to begin with."""
    run = store.create(recipe_of(base, "lora", max_steps=2))
    assert worker.main(run.folder) == 0
    return run


def apart(scripts, home):
    """{name: how far the losses of its script are from those of its run}, all in one process without this package."""
    done = subprocess.run(
        [sys.executable, "-c", ALL_ALONE, json.dumps(list(scripts.values()))],
        cwd=home,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    told = [json.loads(line) for line in done.stdout.splitlines() if line.startswith('{"steps"')]
    return {name: one["largest_difference"] for name, one in zip(scripts, told, strict=True)}


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [
        ("adamix", "ia3-tfew", "lora@started", "lora@fill_mask/bert"),
        pytest.param(tuple(name for name in EVERY if name not in ("adamix", "ia3-tfew")), marks=pytest.mark.matrix),
        pytest.param(
            (
                "lora@chat/gpt2",
                "lora@classification/llama",
                "lora@classification/bert",
                "adamix-houlsby@classification/bert",
                "qalora@fill_mask/bert",
                "lora@text_to_text/t5",
            ),
            marks=pytest.mark.matrix,
        ),
    ],
)
def test_every_method_and_task_is_done_again_without_us(names, rows, home, store):
    """Dropout and experts fall on the same numbers too."""
    scripts = ejected(names, home, store)
    found = apart(scripts, home)
    assert max(found.values()) <= 1e-4, found
    assert not any("/bases" in Path(one).read_text() for one in scripts.values()), "where the base lay stays here"
