"""What every method must do, whoever wrote it: train, come back the same from disk, leave the base alone, say what it
is.
"""

import functools
import re
from pathlib import Path

import pytest
import torch
from peft import PeftModel

from qlora_app import methods
from qlora_app.base_models import ModelChoice, load_model, load_tokenizer
from qlora_app.base_models.shapes import LinearShape
from qlora_app.choices import iter_settings, value_at
from qlora_app.memory import is_checkpointed
from qlora_app.methods import METHODS, changed_layers, parameter_checksums
from qlora_app.methods.card import HEADINGS, RATE
from qlora_app.methods.claims import FAMILIES, claims
from qlora_app.methods.method import PRECISIONS
from qlora_app.preflight import check_here
from qlora_app.recipe import Recipe
from qlora_app.tasks.chat import Chat
from tests.methods.tiny import apart, batch, logits, opened, train
from tests.refusing import check_problem, refused
from tests.tiny_models import FAMILIES as TINY
from tests.tiny_models import task_type

SMALL = {
    "lora": {"rank": 8, "dropout": 0.0},
    "adalora": {"rank": 4, "first_rank": 8},
    "vera": {"rank": 16},
    "oft": {"block_size": 16},
    "miss": {"rank": 16},
    "prefix": {"tokens": 4},
    "prompt": {"tokens": 4},
}
ROOT = Path(__file__).parent.parent.parent
NAMES = {method.model_fields["name"].default: method for method in METHODS}
CLAIMS = [(method.model_fields["name"].default, family, precision) for method, family, precision in claims()]


def small(name):
    return NAMES[name](**SMALL.get(name, {}))


@functools.lru_cache(maxsize=4)
def of_base(family, precision):
    return logits(opened(family, precision), batch(family))


@pytest.mark.slow
@pytest.mark.apart
@pytest.mark.pairwise("name, family, precision", CLAIMS)
def test_what_is_claimed_trains_and_comes_back_the_same(name, family, precision, tmp_path):
    torch.manual_seed(0)
    method = small(name)
    model = method.attach(opened(family, precision), task_type(family))
    before = parameter_checksums(model)
    train(method, model, batch(family), steps=2)
    changed = changed_layers(model, before)
    assert changed["layers"] > 0 == changed["zero_layers"] and changed["parameters"] > 0
    base = (
        logits(method.attach(opened(family, precision), task_type(family)), batch(family))
        if method.quantizes_itself
        else of_base(family, precision)
    )
    method.save(model, tmp_path)
    method.finish(model, tmp_path)
    now = logits(model, batch(family))
    assert not torch.equal(now, base)
    assert apart(logits(method.load(opened(family, precision), tmp_path), batch(family)), now) <= 1e-5
    with model.disable_adapter():
        assert apart(logits(model, batch(family)), base) <= 1e-5


@pytest.mark.parametrize("name", [name for name, method in NAMES.items() if method.load is methods.MethodChoices.load])
def test_its_folder_opens_in_plain_peft(name, tmp_path):
    method = small(name)
    precision = method.precisions[0]
    model = method.attach(opened("llama", precision))
    train(method, model, batch(), steps=2)
    method.save(model, tmp_path)
    plain = PeftModel.from_pretrained(opened("llama", precision), str(tmp_path))
    assert apart(logits(plain, batch()), logits(model, batch())) <= 1e-5
    with method.from_disk(model, tmp_path):
        assert apart(logits(model, batch()), logits(plain, batch())) <= 1e-5


def test_answers_to_many_are_those_to_each_also_behind_learned_tokens():
    torch.manual_seed(0)
    model = NAMES["prompt"](tokens=8).attach(load_model(ModelChoice(precision="fp32")))
    tokenizer = load_tokenizer(ModelChoice())
    asked = [
        [{"role": "user", "content": text}]
        for text in (
            "Where?",
            "Where does Mira live, and who lives beside her, and what do they do when it rains in Pennywick?",
        )
    ]
    assert Chat().answer(model, tokenizer, asked, max_new_tokens=40) == [
        Chat().answer(model, tokenizer, [one], max_new_tokens=40)[0] for one in asked
    ]


@pytest.mark.parametrize("name", ["prompt", "prefix"])
def test_held_out_examples_are_measured_behind_learned_tokens(name):
    """They are no part of what is measured, though a prompt's are part of the logits."""
    model = small(name).attach(opened("llama", "fp32")).eval()
    measured = Chat().measure(model, [batch()])
    assert measured["loss"] == pytest.approx(model(**batch(), use_cache=False).loss.item(), abs=1e-5)
    assert 0 <= measured["token_accuracy"] <= 1


@pytest.mark.parametrize("name", NAMES)
def test_its_size_is_what_memory_is_planned_with(name):
    block = [
        LinearShape("query", 64, 64),
        LinearShape("key", 64, 32),
        LinearShape("value", 64, 32),
        LinearShape("output", 64, 64),
        LinearShape("gate", 64, 128),
        LinearShape("up", 64, 128),
        LinearShape("down", 128, 64),
    ]
    method = small(name)
    learned = sum(
        p.numel() for p in method.attach(opened("llama", method.precisions[-1])).parameters() if p.requires_grad
    )
    assert method.trainable(block, layers=2) == pytest.approx(learned, rel=0.02)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_not_claimed_is_refused_before_the_start(name):
    method = NAMES[name]
    for precision in set(PRECISIONS) - set(method.precisions):
        assert "base_model.precision" in small(name).problems(precision, "llama", "chat")
    for family in set(FAMILIES) - set(method.families or FAMILIES):
        assert "method.name" in small(name).problems(method.precisions[0], family, "")
    assert small(name).problems(method.precisions[0], "llama", "chat") == {}


def test_every_claimed_family_has_a_tiny_model_and_a_name():
    assert {family for _, family, _ in claims()} <= set(TINY) and set(FAMILIES) == set(TINY)


@pytest.mark.parametrize("method", METHODS, ids=NAMES)
def test_its_card_has_every_part(method):
    parts = method.card.sections(method.learning_rate)
    assert [heading for heading, _ in parts] == [*HEADINGS.values(), RATE]
    assert parts[-1][1] == f"{method.learning_rate.value:g}: {method.learning_rate.source}."
    assert 60 < len(parts[0][1]) < 360 and parts[0][1].endswith(".")
    assert re.search(r"\d{4}.*arXiv \d{4}\.\d{5}", parts[1][1])


# ---- one declaration, everywhere


def test_what_is_written_for_another_method_is_named_as_such():
    with refused("recipe.wrong_settings", "recipe.setting_of_others", "lora"):
        Recipe.from_dict({"method": {"name": "ia3", "alpha": 8}})
    with refused("recipe.wrong_settings", "method.name", "recipe.wrong_value", "'lara'", "'lora'"):
        Recipe.from_dict({"method": {"name": "lara"}})


@pytest.mark.parametrize("name", NAMES)
def test_a_recipe_of_every_method_survives_its_file(name, tmp_path):
    method = small(name)
    recipe = Recipe.from_dict({"method": method.model_dump(), "base_model": {"precision": method.precisions[0]}})
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe and recipe.method == method
    here = {
        leaf: value
        for leaf, _ in iter_settings(Recipe)
        if (value := value_at(recipe, leaf, ...)) is not ... and leaf.startswith("method[")
    }
    assert {leaf.rpartition(".")[2] for leaf in here} == set(type(method).model_fields) - {"name"}


def test_what_bears_no_second_computing_is_planned_and_refused_so():
    planned = Recipe(method={"name": "prefix"}, training={"gradient_checkpointing": "auto"})
    assert not is_checkpointed(planned, 7_000_000_000, "cuda")
    assert is_checkpointed(Recipe(training={"gradient_checkpointing": "auto"}), 7_000_000_000, "cuda")
    wanted = Recipe.from_dict({"method": {"name": "prefix"}, "training": {"gradient_checkpointing": "on"}})
    check_problem(check_here(wanted)["training.gradient_checkpointing"], "method.no_checkpointing")
