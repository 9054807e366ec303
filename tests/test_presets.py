"""Every shipped preset loads and says why each of its numbers is what it is; a person's own stand beside them."""

import re
from pathlib import Path

import pytest

from qlora_app.choices import iter_settings
from qlora_app.errors import UserError
from qlora_app.hardware_fit import known_models
from qlora_app.methods import Ia3Method
from qlora_app.presets import SHIPPED, Presets, merged
from qlora_app.recipe import Recipe, read_yaml
from tests.refusing import check_problem, refused

FILES = sorted(SHIPPED.rglob("*.yaml"))
GUANACO = {  # cell by cell: base, learning rate, dropout, steps between two checkpoints (scripts of artidoro/qlora)
    "guanaco-7b": ("huggyllama/llama-7b", 2e-4, 0.1, 500),
    "guanaco-13b": ("huggyllama/llama-13b", 2e-4, 0.05, 500),
    "guanaco-33b": ("huggyllama/llama-30b", 1e-4, 0.05, 200),
    "guanaco-65b": ("huggyllama/llama-65b", 1e-4, 0.05, 200),
    "guanaco-llama2-7b": ("meta-llama/Llama-2-7b-hf", 2e-4, 0.1, 500),
}
PROMISED = {
    "starter",
    "sailor",
    "orders",
    *GUANACO,
    "smollm2-135m",
    "smollm2-360m",
    "smollm2-1.7b",
    "qwen3-0.6b",
    "qwen3-1.7b",
    "qwen3-4b",
    "qwen3-8b",
    "llama-3.2-1b",
    "llama-3.2-3b",
    "llama-3.1-8b",
    "mistral-7b",
    "gemma-3-1b",
    "gemma-2-9b",
    "phi-4",
    "qalora",
    "adamix",
    "meft",
    "starter-qalora",
    "starter-adamix",
    "starter-meft",
    "starter-ia3",
    "t-few",
    "gpt2",
    "t5-small",
    "flan-t5-base",
    "bert-base",
    "roberta-base",
    "deberta-v3-base",
}


@pytest.fixture
def presets(tmp_path):
    return Presets(tmp_path / "presets")


def write(presets, name, text):
    presets.own.mkdir(exist_ok=True)
    (presets.own / f"{name}.yaml").write_text(text)


# ---- those of the app


def test_all_promised_presets_are_found_by_name():
    assert sorted(Presets().names()) == sorted(path.stem for path in FILES)
    assert set(Presets().names()) >= PROMISED


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_preset_loads_and_says_what_it_is_for(path: Path):
    recipe = Presets().load(path.stem)
    assert recipe.name and 10 < len(recipe.note) <= 120
    assert recipe == Recipe.from_dict(Presets().read(path)) == Recipe.from_dict(recipe.model_dump(mode="json"))


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_line_with_a_number_has_a_reason(path: Path):
    bare = [line for line in path.read_text(encoding="utf-8").splitlines() if re.search(r":\s*[\d.][\d.e-]*\s*$", line)]
    assert bare == []


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_a_preset_spells_out_what_decides_its_result(path: Path):
    """A default that changes later must not silently change a published recipe."""
    dotted_name = Presets().read(path)
    assert {
        "epochs",
        "batch_size",
        "learning_rate",
        "scheduler",
        "warmup_ratio",
        "optimizer",
        "adam_beta2",
        "max_grad_norm",
        "max_length",
        "packing",
        "seed",
    } <= set(dotted_name["training"])
    own = set(type(Presets().load(path.stem).method).model_fields)
    assert ({"name", "rank", "alpha", "dropout", "layers"} if dotted_name["method"]["name"] == "lora" else own) <= set(
        dotted_name["method"]
    )
    assert {"source", "precision", "double_quantization"} <= set(dotted_name["base_model"])


@pytest.mark.parametrize("path", [p for p in FILES if "like" in read_yaml(p)], ids=lambda p: p.stem)
def test_a_preset_that_is_like_another_repeats_nothing_of_it(path: Path):
    values = read_yaml(path)
    pattern = Presets().read(SHIPPED / f"{values.pop('like')}.yaml")
    assert merged(pattern, values) != pattern
    for name, _ in iter_settings(Recipe):
        group, _, last = name.rpartition(".")
        own, its = (v.get(group, {}) if group else v for v in (values, pattern))
        assert last not in own or own[last] != its.get(last), f"{name} is the same in what it is like"


@pytest.mark.parametrize("name", GUANACO)
def test_guanaco_is_as_published(name):
    recipe = Presets().load(name)
    model, method, training = recipe.base_model, recipe.method, recipe.training
    base, learning_rate, dropout, saved_every = GUANACO[name]
    assert (model.id, training.learning_rate, method.dropout) == (base, learning_rate, dropout)
    assert training.checkpoints == round(training.max_steps / saved_every)  # they divide the run evenly here
    assert (model.precision, model.double_quantization, model.compute_type) == ("nf4", True, "bf16")
    assert (method.rank, method.alpha, method.layers) == (64, 16, "all-linear")
    assert (training.batch_size, training.max_steps, training.scheduler, training.optimizer) == (
        16,
        1875,
        "constant",
        "paged_adamw_32bit",
    )
    assert (training.warmup_ratio, training.adam_beta2, training.max_grad_norm, training.weight_decay) == (
        0.03,
        0.999,
        0.3,
        0.0,
    )
    assert (training.max_length, training.gradient_checkpointing, training.seed) == (16 + 512, "on", 0)


def test_the_papers_of_our_own_methods_are_as_published():
    qalora, adamix, meft = (Presets().load(name) for name in ("qalora", "adamix", "meft"))
    assert (qalora.base_model.id, qalora.method.bits, qalora.method.group, qalora.method.rank) == (
        "huggyllama/llama-7b",
        4,
        32,
        64,
    )
    assert (qalora.training.learning_rate, qalora.training.max_steps, qalora.training.batch_size) == (2e-5, 10_000, 16)
    assert (qalora.training.scheduler, qalora.training.max_grad_norm) == ("constant", 0.3)
    method, training = adamix.method, adamix.training
    assert (method.kind, method.experts, method.share_up, method.rank, method.alpha, method.consistency) == (
        "lora",
        8,
        True,
        4,
        32,
        100,
    )
    assert (training.epochs, training.batch_size, training.learning_rate, training.weight_decay) == (20, 8, 2e-4, 0.01)
    method, training = meft.method, meft.training
    assert (method.divisor, method.rank, meft.base_model.precision) == (10, 8, "nf4")
    assert (training.learning_rate, training.adam_beta2, training.weight_decay, training.max_grad_norm) == (
        5e-4,
        0.98,
        0.1,
        1.0,
    )
    assert training.warmup_ratio == 0.06


def test_t_few_is_as_published():
    recipe = Presets().load("t-few")
    method, training = recipe.method, recipe.training
    assert (method.name, method.unlikelihood, method.length_normalized, recipe.task.name) == (
        "ia3",
        1.0,
        1.0,
        "text_to_text",
    )
    assert (training.learning_rate, training.max_steps, training.batch_size, training.scheduler) == (
        3e-3,
        1000,
        8,
        "linear",
    )
    assert (training.warmup_ratio, training.max_grad_norm, training.max_length) == (0.06, 1.0, 256)


@pytest.mark.parametrize(
    "name, task",
    [
        ("t5-small", "text_to_text"),
        ("flan-t5-base", "text_to_text"),
        ("bert-base", "classification"),
        ("roberta-base", "classification"),
        ("deberta-v3-base", "classification"),
        ("gpt2", ""),
    ],
)
def test_a_preset_for_a_family_says_its_task_and_its_method_allows_it(name, task):
    recipe = Presets().load(name)
    family = known_models()[recipe.base_model.id]["model_type"]
    assert recipe.task_name == task
    for method in (recipe.method, Ia3Method()):
        assert method.problems(recipe.base_model.precision, family, task) == {}


def test_the_starter_preset_is_what_the_page_starts_with():
    recipe = Presets().load("starter")
    assert (recipe.base_model.source, recipe.dataset.source, recipe.dataset.id) == ("starter", "starter", "helper")


# ---- a person's own


def test_what_was_saved_is_found_and_comes_first(presets):
    recipe = Recipe.from_dict({"name": "Mine", "training": {"epochs": 0.7, "sample_questions": ["Who?", "a: b"]}})
    assert presets.save("My Style!", recipe) == "my-style"
    assert presets.names()[0] == "my-style" and presets.is_own("my-style") and not presets.is_own("starter")
    assert presets.load("my-style") == recipe
    assert (presets.own.stat().st_mode & 0o777) == 0o700


@pytest.mark.parametrize("name", ["", "  ", "...", "/", "ü"])
def test_a_name_needs_letters(presets, name):
    with refused("preset.no_name"):
        presets.save(name, Recipe())
    assert not presets.own.exists()


def test_no_preset_is_replaced_without_a_word(presets):
    presets.save("mine", Recipe(name="first"))
    for name in ("mine", "MINE", "starter"):
        with refused("preset.name_taken"):
            presets.save(name, Recipe(name="second"))
    assert presets.load("mine").name == "first" and presets.load("starter").name == "Pennywick helper"


@pytest.mark.parametrize("name", ["../recipe", "..", "/etc/passwd", "presets/starter", "", None, 7, ["starter"]])
def test_a_name_is_never_a_path(presets, name):
    with refused("preset.unknown"):
        presets.path(name)


def test_like_takes_over_what_is_not_named(presets):
    write(presets, "mine", "like: guanaco-33b\nname: Mine\ntraining: {seed: 7}\n")
    whole = merged(presets.read(presets.path("guanaco-33b")), {"name": "Mine", "training": {"seed": 7}})
    assert presets.load("mine") == Recipe.from_dict(whole)
    write(presets, "grandchild", "like: mine\nmethod: {rank: 8}\n")
    recipe = presets.load("grandchild")
    assert (recipe.name, recipe.training.seed, recipe.method.rank, recipe.method.alpha, recipe.base_model.id) == (
        "Mine",
        7,
        8,
        16,
        "huggyllama/llama-30b",
    )


@pytest.mark.parametrize(
    "text, said",
    [
        ("like: startr\n", ("preset.like_unknown", "preset.near", "starter")),
        ("like: [starter]\n", ("preset.like_unknown", "preset.unknown")),
        ("like: ../../x\n", ("preset.like_unknown", "preset.unknown")),
        ("like: odd\n", ("preset.like_circle", "odd")),
        ("like: other\n", ("preset.like_circle", "odd")),
        ("a: [", ("recipe.no_yaml",)),
    ],
)
def test_what_cannot_be_like_another_is_named(presets, text, said):
    write(presets, "other", "like: odd\n")
    write(presets, "odd", text)
    with refused(*said) as caught:
        presets.load("odd")
    assert ".yaml" in str(caught.value)


def test_a_mistake_in_a_preset_is_named_at_its_setting(presets):
    write(presets, "odd", "like: starter\ntraining: fast\nmethod: {rnak: 8}\n")
    with pytest.raises(UserError) as caught:
        presets.load("odd")
    assert set(caught.value.problems) == {"training", "method.rnak"}


def test_one_broken_preset_hides_no_other(presets):
    write(presets, "odd", "training: {epochs: -1}\n")
    usable, broken = presets.all()
    assert set(broken) == {"odd"}
    check_problem(broken["odd"], "recipe.wrong_settings", "training.epochs")
    write(presets, "odd", "a: [")
    check_problem(presets.all()[1]["odd"], "recipe.no_yaml", "odd.yaml")
    assert str(presets.own) not in presets.all()[1]["odd"]
    assert set(usable) == set(Presets().names()) and usable["orders"] == presets.load("orders")
