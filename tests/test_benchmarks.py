"""The benchmarks' own arithmetic, and that each can say where its figures go."""

import json
import re
import subprocess
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import torch

from qlora_app.base_models import ModelChoice, load_model
from qlora_app.methods import METHODS, LoraMethod

FOLDER = Path(__file__).parents[1] / "benchmarks"
QUESTIONS = sorted(path.stem for path in FOLDER.glob("*.py") if path.stem != "measuring")
sys.path.insert(0, str(FOLDER))
import gpu  # noqa: E402
import measuring  # noqa: E402
import methods  # noqa: E402
import tokens  # noqa: E402

TABLE = """# Measured

## first

Words.

| date | machine | a | b |
|---|---|---|---|
| 2026-01-01 | old | 1 | 2 |

## second

| date | machine | a |
|---|---|---|
"""


@pytest.fixture
def results(tmp_path):
    (tmp_path / "RESULTS.md").write_text(TABLE)
    return tmp_path / "RESULTS.md"


def test_a_line_goes_into_the_table_of_its_section(results):
    measuring.record("first", {"a": "3", "b": "4"}, 0.0, results=results)
    measuring.record("second", {"a": "5"}, 0.0, results=results)
    rows = [line for line in results.read_text().splitlines() if line.endswith(("| 4 |", "| 5 |"))]
    assert len(rows) == 2 and measuring.machine() in rows[0]
    first, second = results.read_text().split("## second")
    assert rows[0] in first and rows[1] in second and "old" in first


@pytest.mark.parametrize(("others", "keep"), [(50.0, True), (0.0, False)])
def test_a_busy_machine_or_a_quick_look_leaves_no_figures(results, capsys, others, keep):
    measuring.record("first", {"a": "3", "b": "4"}, others, keep, results)
    assert results.read_text() == TABLE and "nothing is added" in capsys.readouterr().out


@pytest.mark.parametrize("figures", [{"a": "3"}, {"a": "3", "c": "4"}])
def test_figures_without_a_column_are_refused(results, figures):
    with pytest.raises(ValueError, match="no table for first"):
        measuring.record("first", figures, 0.0, results=results)


def test_ratios_are_taken_round_by_round():
    times = iter([1.0, 10.0, 2.0, 20.0, 100.0, 300.0])
    rounds = measuring.interleaved(3, one=lambda: next(times), two=lambda: next(times))
    assert rounds == {"one": [1.0, 2.0, 100.0], "two": [10.0, 20.0, 300.0]} and measuring.ratio(rounds["two"], rounds["one"]) == 10.0


def test_every_benchmark_has_its_section_and_a_target():
    sections = re.findall(r"^## (\w+)$", (FOLDER / "RESULTS.md").read_text(), re.MULTILINE)
    assert sorted(sections) == QUESTIONS
    makefile = (FOLDER.parent / "Makefile").read_text()
    run = re.search(r"for one in ([\w ]+);", makefile)[1].split() + re.search(r"^(gpu .*):", makefile, re.MULTILINE)[1].split()
    assert sorted(run) == QUESTIONS


def test_needed_operations_are_those_that_torch_counts():
    """Against torch's own counter, in 32 bit: a 4-bit layer multiplies inside a function it cannot see."""
    from torch.utils.flop_counter import FlopCounterMode

    model = LoraMethod(dropout=0.0).attach(load_model(ModelChoice(precision="fp32")))
    ids = torch.randint(4, 100, (1, 64), generator=torch.Generator().manual_seed(0))
    model.train()
    with FlopCounterMode(display=False) as counted:
        model(input_ids=ids, labels=ids, use_cache=False).loss.backward()
    attention = 12 * model.config.num_hidden_layers * model.config.hidden_size * 64 ** 2
    assert tokens.operations(model, [64]) - attention == pytest.approx(counted.get_total_flops(), rel=0.08)


def test_a_model_of_holes_is_opened_and_trained_by_the_worker_s_code(tmp_path):
    model = gpu.make_shape(tmp_path / "tiny", *gpu.TINY)
    file = model / "model.safetensors"
    assert file.stat().st_blocks * 512 < file.stat().st_size / 2
    opened = load_model(ModelChoice(source="folder", id=str(model), precision="fp32"))
    assert opened.config.hidden_size == gpu.TINY[0] and not any(p.any() for p in opened.parameters())
    asked = {"preset": "guanaco-7b", "model": str(model), "precision": "nf4", "length": 32}
    ended = subprocess.run([sys.executable, str(FOLDER / "gpu.py"), "--one", json.dumps(asked)], capture_output=True, text=True)
    assert ended.returncode == 0, ended.stderr[-2000:]
    assert json.loads(ended.stdout.splitlines()[-1])["ms"] > 0


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_without_a_gpu_one_line_says_so():
    ended = subprocess.run([sys.executable, str(FOLDER / "gpu.py")], capture_output=True, text=True, check=True)
    assert ended.stdout == "There is no GPU here, so nothing is measured.\n"


# ---- methods

def row(method, exact, loss):
    return {name: "1" for name in methods.SHOWN} | {"method": method, "held-out exact match": exact, "held-out loss": loss}


def test_table_and_picture_of_the_methods_go_into_the_readme_and_replace_older_ones(tmp_path):
    readme, image = tmp_path / "README.md", tmp_path / "docs" / "methods.svg"
    image.parent.mkdir()
    readme.write_text(f"before\n{methods.BEGIN}\n{methods.END}\nafter")
    for _ in range(2):
        methods.write([row("(IA)3 & <co>", "40%", "0.3"), row("B", "90%", "0.2"), row("A", "90%", "0.1")], readme, image)
    text = readme.read_text()
    assert re.findall(r"^\| ([AB(][^|]*) \|", text, re.MULTILINE) == ["A", "B", "(IA)3 & <co>"] and text.count("| method |") == 1
    assert text.startswith("before") and text.endswith("after") and "](docs/methods.svg)" in text and "A answers most, 90%" in text
    drawn = ElementTree.fromstring(image.read_text())
    assert [float(bar.get("width")) for bar in drawn.iter() if bar.get("class") == "bar"] == [288.0, 288.0, 128.0]
    assert "(IA)3 & <co>" in [part.text for part in drawn.iter()]
    readme.write_text("no place")
    with pytest.raises(ValueError, match="no place for the table"):
        methods.write([row("A", "90%", "0.1")], readme, image)


def test_the_readme_has_a_place_for_them():
    assert methods.BEGIN in methods.README.read_text() and methods.END in methods.README.read_text()


@pytest.mark.parametrize("name", [method.model_fields["name"].default for method in METHODS])
def test_every_method_is_compared_with_the_learning_rate_that_is_suggested(name):
    recipe = methods.recipe_of(name, methods.STEPS)
    assert recipe.method.name == name and recipe.training.max_steps == methods.STEPS
    assert recipe.training.learning_rate == pytest.approx(2e-3 / 2e-4 * type(recipe.method).learning_rate.value)
