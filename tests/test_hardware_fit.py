"""What a preset needs, worked out from the sizes of its model, agrees with what its authors trained it on."""

import pytest

from qlora_app import memory
from qlora_app.base_models import ModelChoice
from qlora_app.base_models.families import family_of
from qlora_app.base_models.shapes import shapes_of
from qlora_app.hardware import Machine
from qlora_app.hardware_fit import (
    CARDS,
    asks_for,
    by_size,
    fit,
    here_in_words,
    known_models,
    sizes_of,
    smallest_card,
)
from qlora_app.place import Place
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
    assert "It would fit with examples of at most 2,048 tokens" in fit(recipe, card(16))[1], "no shorter than it must"


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


def test_what_no_single_gpu_holds_asks_for_none():
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
