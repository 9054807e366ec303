"""The planner's law: whatever it offers starts and fits, by the very checks that a start goes through; nothing that was
asked for changes but what a way names; and what is offered is worth it.
"""

import pytest

from qlora_app import preflight
from qlora_app.base_models import ModelChoice
from qlora_app.choices import dotted_name, iter_settings, value_at
from qlora_app.fits import verdict
from qlora_app.hardware import Machine
from qlora_app.hardware_fit import ENOUGH, known_models, sizes_of
from qlora_app.memory import loaded_bytes
from qlora_app.overrides import with_changes
from qlora_app.place import Place
from qlora_app.planner import Plan, plan
from qlora_app.planner.bases import on_base
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe

GB = 2.0**30
PRESETS = Presets().all()[0]


def cards(count: int, gigabytes: float, main: float = 512) -> Machine:
    return Machine("cuda", gigabytes * GB, gigabytes * GB, count, main * GB)


MACHINES = {
    "a laptop": Machine("cpu", 8 * GB, 6 * GB),
    "much memory, no GPU": Machine("cpu", 256 * GB, 250 * GB),
    "8": cards(1, 8),
    "12": cards(1, 12),
    "24": cards(1, 24),
    "80": cards(1, 80),
    "2x24": cards(2, 24),
    "2x24, little main memory": cards(2, 24, 16),
    "4x24": cards(4, 24),
    "8x80": cards(8, 80),
}
VARIED = [
    {},
    {"training.max_length": 8192},
    {"base_model.precision": "bf16", "base_model.double_quantization": False},
    {"training.batch_size": 6, "training.micro_batch": 6},
    {"launch.processes": 2, "launch.share": "fsdp"},
    {"launch.processes": 2},
    {"preferences.trainer": "dpo"},
    {"method.name": "meft"},
]


def planned(recipe: Recipe, machine: Machine) -> Plan | None:
    return plan(recipe, sizes_of(recipe.base_model), machine)


@pytest.mark.parametrize("machine", MACHINES)
@pytest.mark.parametrize("name", PRESETS)
def test_whatever_is_offered_starts_and_fits(name, machine, monkeypatch):
    here = MACHINES[machine]
    devices = tuple(map(str, range(here.devices))) if here.kind == "cuda" else ()
    monkeypatch.setattr(preflight, "known_accelerators", lambda: devices)
    monkeypatch.setattr(preflight, "usable_cores", lambda: 8)
    for changes in VARIED:
        recipe = with_changes(PRESETS[name], changes)
        found = planned(recipe, here)
        for offer in found.offers if found else ():
            chosen = with_changes(recipe, offer.settings(recipe))
            assert chosen == offer.recipe, "the settings that are named are all"
            sizes = sizes_of(chosen.base_model)
            assert verdict(chosen, sizes, here)[0] in ENOUGH
            assert preflight.check_here(chosen) == {}
            assert preflight.check_on(chosen, sizes.family, _task(chosen)) == {}
            assert planned(chosen, here) is None or planned(chosen, here).offers[0].key == "parallel", "it is taken"


def _task(recipe: Recipe) -> str:
    kind = known_models().get(recipe.base_model.id, {}).get("model_type")
    return {"t5": "text_to_text", "bert": "classification"}.get(kind, "chat") if recipe.task.name == "auto" else ""


@pytest.mark.parametrize("machine", ["12", "2x24"])
@pytest.mark.parametrize("name", ["guanaco-65b", "qwen3-32b", "llama-3.3-70b"])
def test_a_way_changes_what_it_names_and_nothing_else(name, machine):
    """What somebody set by hand goes along to a smaller base too."""
    own = {"training.learning_rate": 7e-5, "training.seed": 41, "training.warmup_ratio": 0.17, "name": "mine"}
    recipe = with_changes(PRESETS[name], own)
    for offer in planned(recipe, MACHINES[machine]).offers:
        kept = {dotted_name(leaf): value_at(offer.recipe, leaf) for leaf, _ in iter_settings(Recipe)}
        assert own.items() <= kept.items() and offer.recipe.dataset == recipe.dataset
        if offer.key == "divided":
            assert set(offer.settings(recipe)) <= {"launch.processes", "launch.share", "method.rank"}


@pytest.mark.parametrize(
    ("name", "machine", "ways"),
    [
        ("starter", "8x80", []),
        ("bert-base", "8x80", []),
        ("guanaco-7b", "24", []),
        ("guanaco-7b", "2x24", ["parallel"]),
        ("qwen3-32b", "2x24", ["divided", "settings", "base"]),
        ("qwen3-32b", "24", ["settings", "base"]),
        ("guanaco-65b", "2x24", ["divided", "base"]),
        ("guanaco-65b", "4x24", ["divided", "base"]),
        ("guanaco-65b", "2x24, little main memory", ["base"]),
        ("guanaco-65b", "80", []),
        ("qwen3-4b", "a laptop", ["base", "settings"]),
    ],
)
def test_which_ways_there_are(name, machine, ways):
    found = planned(PRESETS[name], MACHINES[machine])
    assert ([offer.key for offer in found.offers] if found else []) == ways


@pytest.mark.parametrize(
    ("wanted", "machine", "instead"),
    [
        ("guanaco-65b", "24", "huggyllama/llama-30b"),
        ("guanaco-65b", "12", "huggyllama/llama-13b"),
        ("guanaco-65b", "8", "huggyllama/llama-7b"),
        ("qwen3-32b", "8", "Qwen/Qwen3-4B"),
        ("llama-3.3-70b", "24", "meta-llama/Llama-3.1-8B-Instruct"),
        ("phi-4", "8", "mistralai/Mistral-7B-Instruct-v0.3"),
        ("guanaco-65b", "a laptop", "HuggingFaceTB/SmolLM2-360M-Instruct"),
    ],
)
def test_the_smaller_base_is_of_the_family_where_one_fits(wanted, machine, instead):
    found = planned(PRESETS[wanted], MACHINES[machine])
    (base,) = [offer.recipe.base_model.id for offer in found.offers if offer.key == "base"]
    assert base == instead


def test_a_recipe_from_a_larger_machine_is_planned_for_this_one():
    """It has more processes than there are GPUs, or than the memory holds."""
    recipe = with_changes(PRESETS["qwen3-32b"], {"launch.processes": 4})
    assert [offer.key for offer in planned(recipe, MACHINES["24"]).offers] == ["settings", "base"]
    shared = with_changes(PRESETS["adamix"], {"launch.processes": 4})
    (offer,) = planned(shared, Machine("cpu", 16 * GB, 15 * GB)).offers
    assert offer.recipe.launch == Place() and "one process" in offer.words and "GPU" not in offer.does


def test_who_goes_on_with_an_adapter_keeps_its_base():
    recipe = with_changes(PRESETS["guanaco-65b"], {"training.start_from": "a-run"})
    assert planned(recipe, MACHINES["24"]) is None


def test_fsdp_by_hand_is_warned_of_main_memory_as_the_planner_knows_it():
    """Each process has the whole base there while it is loaded; one GPU alone has not."""
    recipe = with_changes(PRESETS["qwen3-32b"], {"launch.processes": 2, "launch.share": "fsdp"})
    roomy, small = MACHINES["2x24"], MACHINES["2x24, little main memory"]
    sizes = sizes_of(recipe.base_model)
    assert verdict(recipe, sizes, roomy)[0] in ENOUGH
    level, words = verdict(recipe, sizes, small)
    assert level == "too large" and "each of 2 processes has the whole base in main memory" in words
    assert loaded_bytes(recipe, sizes, small) > 2 * 4 * sizes.linear / 8
    assert planned(recipe, small).words.code == "plan.too_large_to_load"
    elsewhere = with_changes(recipe, {"launch.where": "slurm"})
    assert loaded_bytes(elsewhere, sizes, small) == 0 and planned(elsewhere, small) is None


def test_where_no_gpu_is_all_processes_load_into_the_same_memory():
    recipe = PRESETS["qwen3-8b"]
    sizes, machine = sizes_of(recipe.base_model), Machine("cpu", 40 * GB, 39 * GB)
    assert verdict(recipe, sizes, machine)[0] in ENOUGH
    shared = recipe.model_copy(update={"launch": Place(processes=4, share="fsdp")})
    assert verdict(shared, sizes, machine)[0] == "too large" and "one process" in verdict(shared, sizes, machine)[1]


@pytest.mark.parametrize("id", known_models())
def test_a_recipe_goes_to_any_base_and_back(id):
    """What is suggested for a base comes and goes with it."""
    recipe = PRESETS["guanaco-7b"]
    there = on_base(recipe, id)
    assert there.base_model.id == id and there.name == "" and there.dataset == recipe.dataset
    assert on_base(there, recipe.base_model.id).training == recipe.training


def test_of_what_nobody_knows_nothing_is_planned():
    recipe = Recipe(base_model=ModelChoice(source="hub", id="somebody/else"))
    assert planned(recipe, MACHINES["8"]) is None
