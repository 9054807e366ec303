"""Every shipped recipe loads, and says why each of its numbers is what it is."""

import re
from pathlib import Path

import pytest
import yaml

from qlora_app.recipe import PRESETS, Recipe, load_preset, preset_names

FILES = sorted(PRESETS.rglob("*.yaml"))


def test_there_are_presets_and_all_are_found_by_name():
    assert len(FILES) >= 4
    assert preset_names() == sorted(path.stem for path in FILES)
    assert {"starter", "sailor", "orders", "guanaco-7b"} <= set(preset_names())


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_preset_loads_and_names_itself(path: Path):
    recipe = Recipe.load(path)
    assert recipe == load_preset(path.stem)
    assert recipe.name


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_line_with_a_number_has_a_reason(path: Path):
    bare = [line for line in path.read_text(encoding="utf-8").splitlines()
            if re.search(r":\s*[\d.][\d.e-]*\s*$", line)]
    assert bare == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_preset_spells_out_what_decides_its_result(path: Path):
    """A default that changes later must not silently change a published recipe."""
    spelled = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert {"epochs", "batch_size", "learning_rate", "scheduler", "warmup_ratio", "optimizer", "adam_beta2", "max_grad_norm", "max_length",
            "packing", "seed"} <= set(spelled["training"])
    assert {"name", "rank", "alpha", "dropout", "layers"} <= set(spelled["method"])
    assert {"source", "precision", "double_quantization"} <= set(spelled["base_model"])


def test_guanaco_is_as_published():
    recipe = load_preset("guanaco-7b")
    training, method = recipe.training, recipe.method
    model = recipe.base_model
    assert (model.id, model.precision, model.double_quantization) == ("huggyllama/llama-7b", "nf4", True)
    assert (method.rank, method.alpha, method.dropout, method.layers) == (64, 16, 0.1, "all-linear")
    assert (training.learning_rate, training.batch_size, training.max_steps, training.scheduler) == (2e-4, 16, 1875, "constant")
    assert (training.warmup_ratio, training.adam_beta2, training.max_grad_norm, training.weight_decay) == (0.03, 0.999, 0.3, 0.0)


def test_the_starter_preset_is_what_the_page_starts_with():
    recipe = load_preset("starter")
    assert (recipe.base_model.source, recipe.dataset.source, recipe.dataset.id) == ("starter", "starter", "helper")
