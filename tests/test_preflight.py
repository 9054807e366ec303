"""One check before a start: page, command line and worker refuse the same recipes with the same sentences, in the same
order, each at its field, and before anything is downloaded or a run is made.
"""

import html
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from qlora_app.base_models import ModelChoice, facts_of_folder
from qlora_app.base_models.download import fetch
from qlora_app.choices import merged
from qlora_app.cli.commands import _parse
from qlora_app.cli.train import train_command
from qlora_app.errors import UserError
from qlora_app.methods import METHODS
from qlora_app.preflight import check, checked_task, gather
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.runs.moved import shared_by
from qlora_app.settings import Settings
from qlora_app.train.setup import prepare
from qlora_app.training_data import load_examples
from qlora_app.ui.train.form_values import element_id, place, show
from tests.conftest import train_tab
from tests.fixtures.handlers import given
from tests.hub_server import Repo
from tests.tiny_models import tiny_model

ROWS = {
    "labels": [{"text": f"It was {'good' if i % 2 else 'bad'}, {i}.", "label": i % 2} for i in range(40)],
    "one-label": [{"text": f"It was good, {i}.", "label": "good"} for i in range(40)],
    "talk": [{"instruction": f"What is {i} and {i}?", "output": f"It is {2 * i}."} for i in range(40)],
    "unnamed": [{"aa": i, "bb": f"words number {i}", "cc": f"other words {i}"} for i in range(40)],
}
LLAMA_OF_THE_HUB, BERT_OF_THE_HUB = "tiny/llama", "tiny/bert"

# what is wrong -> (settings of the command line, the settings that are named)
WRONG: dict[str, tuple[list[str], list[str]]] = {
    # precision x method
    "QA-LoRA in 4 bits": (["method.name=qalora", "base_model.precision=nf4"], ["base_model.precision"]),
    "HRA in 4 bits": (["method.name=hra", "base_model.precision=nf4"], ["base_model.precision"]),
    "LoHa in 4 bits": (["method.name=loha", "base_model.precision=nf4"], ["base_model.precision"]),
    "LoftQ in 16 bits": (
        ["method.initialisation=loftq", "base_model.precision=bf16"],
        ["method.initialisation"],
    ),
    "DoRA in 8 bits": (
        ["method.weight_decomposed=true", "base_model.precision=int8"],
        ["method.weight_decomposed"],
    ),
    # a method with itself
    "DoRA and PiSSA": (
        ["method.weight_decomposed=true", "method.initialisation=pissa", "method.dropout=0"],
        ["method.weight_decomposed"],
    ),
    "PiSSA with dropout": (["method.initialisation=pissa", "method.dropout=0.1"], ["method.dropout"]),
    "AdaLoRA from a low rank": (["method.name=adalora", "method.first_rank=4"], ["method.first_rank"]),
    "HRA of an odd rank in 4 bits": (
        ["method.name=hra", "base_model.precision=nf4", "method.rank=3"],
        ["base_model.precision", "method.rank"],
    ),
    "a prefix computed twice": (
        ["method.name=prefix", "training.gradient_checkpointing=on"],
        ["training.gradient_checkpointing"],
    ),
    # unknown layers
    "no layer named": (["method.layers=named"], ["method.layer_names"]),
    "layers that are not there": (
        ["method.layers=named", "method.layer_names=spam", "method.layer_names=q_proj"],
        ["method.layer_names"],
    ),
    "LoftQ, and layers that are not there": (
        [
            "base_model.id=MODELS/tiny-gpt2",
            "base_model.precision=bf16",
            "method.initialisation=loftq",
            "method.layers=named",
            "method.layer_names=q_proj",
        ],
        ["method.initialisation", "method.layer_names"],
    ),
    # family x method
    "a prefix for BERT": (["base_model.id=MODELS/tiny-bert", "method.name=prefix"], ["method.name"]),
    "prompt tuning for T5": (["base_model.id=MODELS/tiny-t5", "method.name=prompt"], ["method.name"]),
    "MEFT for T5": (["base_model.id=MODELS/tiny-t5", "method.name=meft"], ["method.name"]),
    "OFT for GPT-2": (["base_model.id=MODELS/tiny-gpt2", "method.name=oft"], ["method.name"]),
    "QA-LoRA for BERT in 4 bits": (
        ["base_model.id=MODELS/tiny-bert", "method.name=qalora", "base_model.precision=nf4"],
        ["base_model.precision"],
    ),
    # task x model
    "text to text with the starter": (["task.name=text_to_text"], ["task.name"]),
    "fill the blank with the starter": (["task.name=fill_mask"], ["task.name"]),
    "chat with BERT": (["base_model.id=MODELS/tiny-bert", "task.name=chat"], ["task.name"]),
    "chat with T5": (["base_model.id=MODELS/tiny-t5", "task.name=chat", "method.name=meft"], ["task.name"]),
    # data that cannot teach
    "labels from answers": (["task.name=classification", "dataset.id=talk.jsonl"], ["task.name"]),
    "a single label": (["task.name=classification", "dataset.id=one-label.jsonl"], ["task.name"]),
    "no options to compare": (
        ["method.name=ia3", "method.unlikelihood=1", "method.length_normalized=1"],
        ["method.unlikelihood", "method.length_normalized"],
    ),
    "options nobody reads": (
        ["method.name=ia3", "method.unlikelihood=1", "task.name=classification", "dataset.id=labels.jsonl"],
        ["method.unlikelihood"],
    ),
    # data that cannot be read
    "a column that is not there": (
        ["dataset.id=talk.jsonl", "dataset.columns.answer=spam"],
        ["dataset.columns.answer"],
    ),
    "columns nobody knows": (["dataset.id=unnamed.jsonl"], []),
    "no such file": (["dataset.source=file", "dataset.id=nowhere.jsonl"], []),
    # models that are not there, or not whole
    "no such folder": (["base_model.source=folder", "base_model.id=/no/such/folder"], ["base_model.id"]),
    "the tokenizer of another model": (["base_model.id=MODELS/strange"], ["base_model.id"]),
    # models of the Hub
    "a prefix for BERT of the Hub": (
        ["base_model.source=hub", f"base_model.id={BERT_OF_THE_HUB}", "method.name=prefix"],
        ["method.name"],
    ),
    "chat with BERT of the Hub": (
        ["base_model.source=hub", f"base_model.id={BERT_OF_THE_HUB}", "task.name=chat"],
        ["task.name"],
    ),
    "fill the blank with LLaMA of the Hub": (
        ["base_model.source=hub", f"base_model.id={LLAMA_OF_THE_HUB}", "task.name=fill_mask"],
        ["task.name"],
    ),
    "a single label with LLaMA of the Hub": (
        [
            "base_model.source=hub",
            f"base_model.id={LLAMA_OF_THE_HUB}",
            "task.name=classification",
            "dataset.id=one-label.jsonl",
        ],
        ["task.name"],
    ),
}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> Path:
    """Tiny models of several families, and one whose tokenizer is another one's."""
    folder = tmp_path_factory.mktemp("models")
    for family in ("llama", "bert", "t5", "gpt2"):
        tiny_model(family, folder)
    strange = tiny_model("llama", folder / "other").rename(folder / "strange")
    config = json.loads((strange / "config.json").read_text())
    (strange / "config.json").write_text(json.dumps(config | {"vocab_size": 100}))
    return folder


@pytest.fixture
def house(home, hub, models) -> Any:
    """A home with data, and a Hub with two models."""
    (home / "data").mkdir()
    for name, rows in ROWS.items():
        (home / "data" / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for id, family in ((BERT_OF_THE_HUB, "bert"), (LLAMA_OF_THE_HUB, "llama")):
        hub.add(Repo.of_folder(id, models / f"tiny-{family}", parameters={"F32": 100_000}))
    return hub


def refusal(asked: Callable[[], Any]) -> UserError:
    with pytest.raises(UserError) as caught:
        asked()
    return caught.value


def nested(words: list[str]) -> dict[str, Any]:
    """The settings of a recipe file that say what a command says."""
    presets, given = Presets(), {}
    lists = {"method.layer_names"}
    for name, _, value in (word.partition("=") for word in words):
        *groups, last = name.split(".")
        inner = given
        for group in groups:
            inner = inner.setdefault(group, {})
        inner[last] = [*inner.get(last, []), value] if name in lists else value
    for group, source in (("base_model", "folder"), ("dataset", "file")):
        if "id" in given.get(group, {}):
            given[group].setdefault("source", source)
    return merged(presets.read(presets.path("starter")), given)


def on_the_page(tab: Any, values: dict[str, Any], words: list[str]) -> tuple[list[tuple[str, str]], str]:
    """([(field, sentence)], all the alert says) after a click on Start."""
    asked = nested(words)
    method = asked.get("method", {}).get("name", "lora")
    typed = dict(values)
    for word in words:
        name, _, value = word.partition("=")
        if name == "method.layer_names":
            value = "\n".join(asked["method"]["layer_names"])
        typed[place(name, method)] = {"true": True}.get(value, _number(value))
    typed["base_model"] = asked.get("base_model", {}).get("id") or "starter"
    typed["dataset"] = f"{asked['dataset'].get('source', 'starter')}/{asked['dataset']['id']}"
    alert = tab.start.start_run(given(tab, typed))[tab.mistakes.alert]
    found = re.findall(r'data-field="([^"]*)"[^>]*><button[^>]*>.*?</button> <span class="text">(.*?)</span>', alert)
    return [(field, html.unescape(text)) for field, text in found], html.unescape(re.sub(r"<[^>]*>", "", alert))


def _number(text: str) -> Any:
    return float(text) if re.fullmatch(r"\d+(\.\d+)?", text) else text


def at_the_worker(words: list[str], store: RunStore) -> UserError:
    """What a worker says that was sent all the same, with everything on this machine."""
    values = nested(words)
    try:
        recipe = Recipe.from_dict(values)
    except UserError as error:
        return error
    if recipe.base_model.source == "hub":
        fetch(recipe.base_model, None, lambda *_: None, lambda: False)
    with store.create(recipe).hold() as out:
        return refusal(lambda: prepare(out, recipe))


@pytest.mark.daily(3)
@pytest.mark.parametrize("what", WRONG)
def test_page_command_line_and_worker_refuse_the_same(what, house, home, models):
    words, named = WRONG[what]
    words = [word.replace("MODELS", str(models)) for word in words]
    settings = Settings.from_environment()
    tab = train_tab(settings)
    values = show(tab.controls.first)
    method = next((word.partition("=")[2] for word in words if word.startswith("method.name=")), "lora")

    refused = refusal(lambda: train_command(_parse(["train", "starter", *words]), settings))
    shown, said = on_the_page(tab, values, words)

    assert list(refused.problems)[: len(named)] == named
    assert shown == [(element_id(place(name, method)), text) for name, text in refused.problems.items()]
    assert shown or str(refused) in said
    store = RunStore(settings.runs)
    assert store.list() == [] and [name for name in house.files_asked() if name != "config.json"] == []
    told = at_the_worker(words, store)
    assert list(told.problems.items()) == list(refused.problems.items())
    assert told.problems or str(told) == str(refused)


def test_a_model_of_the_hub_is_named_where_it_cannot_be_had(house, home):
    words = ["base_model.source=hub", "base_model.id=no/such"]
    settings = Settings.from_environment()
    refused = refusal(lambda: train_command(_parse(["train", "starter", *words]), settings))
    tab = train_tab(settings)
    values = show(tab.controls.first)
    shown, _ = on_the_page(tab, values, words)
    assert list(refused.problems) == ["base_model.id"]
    assert shown == [("f-base_model", refused.problems["base_model.id"])]
    assert RunStore(settings.runs).list() == []


def test_what_is_not_known_yet_is_not_held_against_a_recipe(models):
    recipe = Recipe.from_dict({"base_model": {"source": "hub", "id": BERT_OF_THE_HUB}, "method": {"name": "prefix"}})
    assert check(recipe, None, None) == {}
    assert list(check(recipe, facts_of_folder(models / "tiny-bert"), None)) == ["method.name"]


def test_data_of_the_hub_that_is_not_here_is_no_reason_to_refuse(house, home):
    recipe = Recipe.from_dict({"dataset": {"source": "hub", "id": "no/data", "revision": "0" * 40}})
    facts, examples = gather(recipe, Settings.from_environment())
    assert examples is None and check(recipe, facts, examples) == {}


def test_every_starter_recipe_may_start():
    settings = Settings.from_environment()
    for name in ("starter", "sailor", "orders"):
        recipe = Presets().load(name)
        assert check(recipe, *gather(recipe, settings)) == {}


def test_a_tokenizer_of_another_model_is_noticed_before_any_weights_are_loaded(models):
    model = ModelChoice(source="folder", id=str(models / "strange"))
    facts, _ = gather(Recipe(base_model=model), Settings.from_environment())
    assert min(facts.strange_tokens.values()) == 100
    whole = ModelChoice(source="folder", id=str(models / "tiny-llama"))
    assert gather(Recipe(base_model=whole), Settings.from_environment())[0].strange_tokens == {}


def test_a_task_that_is_refused_without_a_setting_is_refused_all_the_same(monkeypatch):
    def refused(*_):
        raise UserError("task.toy", "A toy refuses.")

    monkeypatch.setattr("qlora_app.preflight.task_for", refused)
    recipe, settings = Presets().load("starter"), Settings.from_environment()
    facts, examples = gather(recipe, settings)
    assert str(refusal(lambda: checked_task(recipe, facts, examples))) == "A toy refuses."
    assert check(recipe, facts, examples) == {"task.name": "A toy refuses."}


def divided(**given):
    launch = {"processes": 2, "share": "fsdp"} | given.pop("launch", {})
    return Recipe.from_dict({"launch": launch, "training": {"batch_size": 8}, **given})


@pytest.mark.parametrize("method", METHODS)
def test_a_base_is_divided_for_methods_that_only_compute_with_it(method):
    name = method.model_fields["name"].default
    problem = check(divided(method={"name": name}, base_model={"precision": method.precisions[0]}), None, None)
    refusal = problem.get("launch.share")
    assert (refusal is None) == (name == "lora")
    assert refusal is None or refusal.code == "launch.method_reads_base"


@pytest.mark.parametrize(
    "given, code",
    [
        ({"launch": {"processes": 1}}, "launch.nothing_to_divide"),
        ({"base_model": {"precision": "int8"}}, "launch.bytes_not_divided"),
        ({"task": {"name": "text_to_text"}}, "launch.encoder_apart"),
        ({"preferences": {"trainer": "dpo"}}, "launch.reference_needs_base"),
        ({"preferences": {"trainer": "orpo"}}, None),
        ({"base_model": {"precision": "bf16"}}, None),
    ],
)
def test_what_fsdp_cannot_divide_is_said_at_its_field(given, code):
    refusal = check(divided(**given), None, None).get("launch.share")
    assert (refusal.code if refusal else None) == code
    assert "launch.share" not in check(divided(**given | {"launch": {"share": "ddp"}}), None, None)


@pytest.mark.parametrize(
    "devices, refusal", [((), "launch.nothing_to_divide"), (("0",), "launch.nothing_to_divide"), (("0", "1"), None)]
)
def test_one_process_for_each_gpu_is_none_to_divide_among_where_there_is_one(devices, refusal, monkeypatch, home):
    """At every way to it: the form, and a run that goes on with another number."""
    for module in ("preflight", "runs.moved"):
        monkeypatch.setattr(f"qlora_app.{module}.known_accelerators", lambda: devices)
    problem = check(divided(launch={"processes": 0}), None, None).get("launch.share")
    assert (problem.code if problem else None) == refusal
    run = RunStore(home / "runs").create(divided())
    shared_by(run, 0)
    assert run.place().share == ("ddp" if refusal else "fsdp")


def test_a_process_that_sees_its_own_gpu_alone_is_not_told_that_there_are_too_few(monkeypatch, tmp_path):
    """Whoever started it has looked at all of them."""
    monkeypatch.setattr("qlora_app.preflight.known_accelerators", lambda: ("0",))
    recipe = divided(base_model={"source": "starter"})
    assert check(recipe, None, None)["launch.processes"].code == "launch.too_few_devices"
    facts = facts_of_folder(recipe.base_model.folder)
    assert checked_task(recipe, facts, load_examples(recipe.dataset, tmp_path)).name == "chat"
