"""What a preset needs, worked out from the sizes of its model, agrees with what its authors trained it on."""

import pytest

from qlora_app import memory
from qlora_app.base_models import ModelChoice
from qlora_app.base_models.families import family_of
from qlora_app.base_models.shapes import shapes_of
from qlora_app.hardware import Machine
from qlora_app.hardware_fit import (
    CARDS,
    ENOUGH,
    asks_for,
    by_size,
    fit,
    here_in_words,
    known_models,
    nearest_that_fits,
    sizes_of,
    smallest_card,
)
from qlora_app.place import Place
from qlora_app.plan import Plan, plan
from qlora_app.preflight import not_divided
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe

PRESETS = Presets().all()[0]


def card(gigabytes: float) -> Machine:
    return Machine("cuda", gigabytes * 2**30, gigabytes * 2**30)


@pytest.mark.parametrize("name", PRESETS)
def test_the_sizes_of_every_preset_are_known(name):
    assert sizes_of(PRESETS[name].base_model) is not None and smallest_card(PRESETS[name]) in CARDS


@pytest.mark.parametrize("id", known_models())
def test_sizes_account_for_every_parameter_the_makers_count(id):
    config = known_models()[id]
    counted = shapes_of({name: value for name, value in config.items() if name != "parameters"}).parameters
    assert counted == pytest.approx(config["parameters"], rel=6e-3 if family_of(config).kind == "encoder" else 1e-3), (
        "norms, GPT-2's biases and one of an encoder's several heads aside"
    )


@pytest.mark.parametrize("id", ["HuggingFaceTB/SmolLM2-135M-Instruct", "Qwen/Qwen3-0.6B", "google/gemma-3-1b-it"])
def test_transformers_makes_a_model_of_that_many_parameters(id):
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    config = dict(known_models()[id])
    parameters = config.pop("parameters")
    with torch.device("meta"):
        model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config, pad_token_id=0))
    assert sum(p.numel() for p in model.parameters()) == parameters


@pytest.mark.parametrize(
    "name, size", [("guanaco-7b", 8), ("guanaco-13b", 16), ("guanaco-33b", 24), ("guanaco-65b", 48)]
)
def test_the_paper_s_models_ask_for_the_cards_they_were_trained_on(name, size):
    assert smallest_card(PRESETS[name]) == size


def test_the_33b_goes_into_24_gb_only_because_it_pages():
    recipe = PRESETS["guanaco-33b"]
    assert fit(recipe, card(24))[0] == "tight" and "paged" in fit(recipe, card(24))[1]
    unpaged = recipe.model_copy(update={"training": recipe.training.model_copy(update={"optimizer": "adamw_torch"})})
    assert fit(unpaged, card(24))[0] == "too large"


def test_the_longest_example_counts():
    """It cannot be divided, however few tokens are worked off at once."""
    recipe = PRESETS["qwen3-14b"]
    recipe = recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_length": 4096})})
    short = recipe.model_copy(update={"training": recipe.training.model_copy(update={"max_length": 512})})
    assert (smallest_card(short), smallest_card(recipe)) == (16, 24)
    assert "512 tokens" in fit(recipe, card(16))[1]


@pytest.mark.parametrize("size", CARDS)
def test_every_card_has_presets_that_use_it(size):
    """At least one that needs more than half of it and fits, besides the paper's."""
    using = [
        name
        for name, recipe in PRESETS.items()
        if not name.startswith("guanaco")
        and fit(recipe, card(size))[0] in ("fits", "tight")
        and memory.need(recipe, sizes_of(recipe.base_model), "cuda").total > 0.5 * size * 2**30
    ]
    assert using


@pytest.mark.parametrize(
    "size, wanted, instead",
    [
        (8, "guanaco-65b", "guanaco-7b"),
        (16, "guanaco-65b", "guanaco-13b"),
        (24, "guanaco-65b", "guanaco-33b"),
        (8, "qwen3-32b", "qwen3-4b"),
        (16, "qwen3-32b", "qwen3-14b"),
        (8, "phi-4", "mistral-7b"),
        (24, "llama-3.3-70b", "llama-3.1-8b"),
    ],
)
def test_the_nearest_that_fits_is_of_the_family_and_as_large_as_can_be(size, wanted, instead):
    assert fit(PRESETS[wanted], card(size))[0] == "too large"
    assert nearest_that_fits(wanted, PRESETS, card(size)) == instead


def test_the_list_goes_from_small_to_large_and_says_what_each_asks_for():
    order = by_size(PRESETS)
    on_the_starter = [name for name, preset in PRESETS.items() if preset.base_model.source == "starter"]
    assert set(order[: len(on_the_starter)]) == set(on_the_starter) and order[0] == "starter"
    assert (order[len(on_the_starter)], order[-1]) == ("t5-small", "llama-3.3-70b")
    assert asks_for(PRESETS["gemma-3-1b"]) == "GPU from 8 GB"
    assert [asks_for(PRESETS[name]) for name in ("starter", "smollm2-135m", "guanaco-7b", "guanaco-65b")] == [
        "any computer",
        "any computer",
        "GPU from 8 GB",
        "GPU from 48 GB",
    ]


def test_whether_it_fits_here_is_said_in_words():
    laptop = Machine("cpu", 16 * 2**30, 15 * 2**30)
    assert here_in_words(PRESETS["starter"], laptop) == "fits here"
    assert here_in_words(PRESETS["qwen3-0.6b"], laptop) == "fits here, slow without a GPU"
    assert here_in_words(PRESETS["guanaco-33b"], laptop) == "does not fit here"
    assert here_in_words(PRESETS["guanaco-7b"], card(24)) == "fits here"
    assert here_in_words(Recipe(base_model=ModelChoice(source="hub", id="somebody/else")), laptop) == ""


def test_where_nothing_fits_nothing_is_offered():
    assert nearest_that_fits("guanaco-7b", PRESETS, card(0.1)) is None
    assert (
        smallest_card(
            PRESETS["guanaco-65b"].model_copy(
                update={"base_model": PRESETS["guanaco-65b"].base_model.model_copy(update={"precision": "fp32"})}
            )
        )
        is None
    )


@pytest.mark.parametrize(
    "model", [ModelChoice(source="hub", id="somebody/else"), ModelChoice(source="folder", id="/nowhere")]
)
def test_what_nobody_knows_is_not_guessed(model):
    recipe = Recipe(base_model=model)
    assert sizes_of(model) is None and fit(recipe)[0] == "" and smallest_card(recipe) is None


def cards(count: int, gigabytes: float) -> Machine:
    return Machine("cuda", gigabytes * 2**30, gigabytes * 2**30, count)


def planned(recipe: Recipe, machine: Machine, main_memory: float = 512 * 2**30) -> Plan | None:
    return plan(recipe, sizes_of(recipe.base_model), machine, main_memory)


LARGEST = max(PRESETS.values(), key=lambda recipe: sizes_of(recipe.base_model).parameters)
SMALL = next(recipe for recipe in PRESETS.values() if fit(recipe, card(24))[0] == "fits")


@pytest.mark.parametrize("name", PRESETS)
@pytest.mark.parametrize("gigabytes", CARDS)
def test_what_is_planned_for_several_gpus_fits_them_and_would_not_be_refused(name, gigabytes):
    machine = cards(4, gigabytes)
    found = planned(PRESETS[name], machine)
    if found is None:
        return
    chosen = PRESETS[name].model_copy(update={"launch": found.launch})
    fitted_before = fit(PRESETS[name], machine)[0] in ENOUGH
    assert found.launch.share == ("ddp" if fitted_before else "fsdp") and fit(chosen, machine)[0] in ENOUGH
    assert found.launch.problems(chosen.training.batch_size, machine.devices, 1) == {}
    assert fitted_before or not_divided(chosen) is None
    assert planned(chosen, machine) is None, "it is taken"


def test_a_base_that_no_gpu_holds_is_divided_among_as_few_as_hold_it():
    needed = smallest_card(LARGEST)
    found = planned(LARGEST, cards(4, 0.75 * needed))
    assert found.words.code == "plan.divided" and (found.launch.processes, found.launch.share) == (2, "fsdp")
    assert planned(SMALL, cards(2, 24)).words.code == "plan.parallel"


def test_where_several_gpus_do_not_help_none_is_planned():
    needed = smallest_card(LARGEST)
    assert planned(LARGEST, cards(1, 0.75 * needed)) is None
    assert planned(LARGEST, Machine("cpu", 2**40, 2**40)) is None
    assert planned(LARGEST, cards(4, 0.75 * needed), main_memory=2**30) is None, "every process loads the whole base"
    assert planned(LARGEST, cards(2, 8)) is None
    odd = LARGEST.model_copy(update={"training": LARGEST.training.model_copy(update={"batch_size": 1})})
    assert planned(odd, cards(4, 0.75 * needed)) is None
    reads = Recipe.from_dict({**LARGEST.model_dump(), "method": {"name": "qalora"}})
    assert planned(reads, cards(4, 0.75 * needed)) is None


@pytest.mark.parametrize("name", PRESETS)
def test_a_divided_base_counts_what_every_process_has_whole_while_it_computes(name):
    """Embeddings and head are put together from the first block to the last, and 4-bit scales are never divided."""
    recipe, shapes = PRESETS[name], sizes_of(PRESETS[name].base_model)
    whole = memory.needed_here(recipe, shapes, cards(8, 80)).weights
    shares = []
    for count in (2, 4, 8):
        so = recipe.model_copy(update={"launch": Place(processes=count, share="fsdp")})
        shares.append(memory.needed_here(so, shapes, cards(8, 80)).weights)
        assert shares[-1] > min(whole, 2 * shapes.other + shapes.linear / 2 / count)
    assert whole >= shares[0] >= shares[1] >= shares[2]
