"""What differs from the recommended recipe, and the names made of it."""

import time

import pytest

from qlora_app.base_models import ModelChoice
from qlora_app.differs import differs, differs_words, figure, made_name
from qlora_app.methods import METHODS
from qlora_app.overrides import recipe_from
from qlora_app.presets import Presets, suggested
from qlora_app.recipe import Recipe
from qlora_app.reporting import Reporting
from qlora_app.runs.summary import summary_of
from qlora_app.settings import Settings
from qlora_app.training_data import DatasetChoice
from qlora_app.ui.differs_words import differs_in
from tests.fixtures.page import PROOF, make_run


def changed(*assignments: str, source: str = "starter") -> Recipe:
    return recipe_from(source, list(assignments), Settings())


def test_what_is_recommended_differs_in_nothing():
    assert differs(suggested(ModelChoice(), DatasetChoice())) == {}
    assert made_name(suggested(ModelChoice(), DatasetChoice())) == "helper · starter · r16"


@pytest.mark.parametrize("method", [kind.model_fields["name"].default for kind in METHODS])
def test_a_method_as_it_is_suggested_differs_in_its_name_only(method):
    nested = suggested(ModelChoice(), DatasetChoice(), method).model_dump() | {"method": {"name": method}}
    recipe = Recipe.from_dict(nested)
    assert recipe.method == type(recipe.method)()
    assert all(name.startswith("method.") for name in differs(recipe))
    assert (method == "lora") is ("method.name" not in differs(recipe))


def test_every_difference_is_named_in_the_words_of_the_field():
    recipe = changed("training.learning_rate=1e-3", "method.rank=8", "training.packing=false", "training.max_steps=60")
    assert differs(recipe) == {
        "method.rank": 8,
        "training.learning_rate": 0.001,
        "training.packing": False,
        "training.max_steps": 60,
    }
    assert "rank 8" in differs_words(recipe)
    assert "lr 1e-3" in differs_words(recipe)
    assert made_name(changed("training.learning_rate=1e-3")) == "helper · starter · r16 lr 1e-3"
    assert made_name(changed("method.name=vera")).startswith("helper · starter · VeRA")


def test_epochs_of_an_effort_do_not_count_and_others_do():
    balanced = changed().training.epochs
    for factor in (0.25, 1, 2):
        assert differs(changed(f"training.epochs={round(balanced * factor, 2)}")) == {}
    assert differs(changed("training.epochs=3")) == {"training.epochs": 3}
    file = DatasetChoice(source="file", id="sums.jsonl")
    few = suggested(ModelChoice(source="hub", id="a/b"), file)
    odd = few.model_copy(update={"training": few.training.model_copy(update={"epochs": 23.41})})
    assert differs(odd) == {}  # may be what balanced means for 41 examples
    assert differs(odd, examples=41) == {}
    assert differs(odd, examples=4000) == {"training.epochs": 23.41}


def test_a_row_names_typed_epochs_where_its_proof_says_how_many_examples_there_were(store):
    run = make_run(store, proof=PROOF | {"data": {"trained": 4041}})
    typed = changed("training.epochs=7.25")
    (run.folder / "recipe.yaml").write_text(typed.to_yaml())
    assert summary_of(run).differs == "epochs 7.25"


@pytest.mark.parametrize(
    ("english", "german"),
    [
        ("epochs 7.25 · no packing · batch 8", "Epochen 7,25 · ohne Packing · Batch 8"),
        ("lr 1e-3 · linear · seed 7", "lr 1e-3 · linear · Zufallszahl (Seed) 7"),
        ("max steps 60", "Max. Schritte 60"),
        ("", ""),
    ],
)
def test_it_is_said_in_german_too(english, german):
    assert differs_in(english, "de") == german
    assert differs_in(english, "en") == english


def test_a_place_is_named_nowhere():
    """Visitors of a demonstration read what differs, also of runs that began with a folder of this machine."""
    recipe = changed("training.start_from=/secret/adapter")
    assert differs(recipe) == {} and "secret" not in made_name(recipe)


def test_where_it_reports_and_how_a_batch_is_cut_up_is_no_difference():
    """Nor do visitors of a demonstration read the name of a project."""
    base = changed()
    training = base.training.model_copy(update={"micro_batch": 2})
    told = base.model_copy(update={"reporting": Reporting(report_to="wandb", project="client-x"), "training": training})
    assert differs(told) == {} and made_name(told) == made_name(base)


def test_data_and_how_it_is_read_is_no_difference_and_its_held_out_share_is():
    file = DatasetChoice(source="file", id="0123456789ab-sums.jsonl", held_out_share=0.2, encoding="utf-8")
    recipe = suggested(ModelChoice(source="hub", id="Qwen/Qwen3-0.6B"), file)
    assert differs(recipe) == {"dataset.held_out_share": 0.2}
    assert made_name(recipe).startswith("sums · Qwen3-0.6B · r")


@pytest.mark.parametrize("value, words", [(2e-4, "2e-4"), (0.03, "0.03"), (1203, "1203"), (1.5e-5, "1.5e-5"), (0, "0")])
def test_numbers_are_written_as_the_field_writes_them(value, words):
    assert figure(value) == words


def test_presets_are_named_in_little_time():
    every = list(Presets().all()[0].values())
    started = time.process_time()
    for recipe in every:
        assert made_name(recipe).count(" · ") >= 2
        assert differs_words(recipe).count("\n") == 0
    assert time.process_time() - started < 0.01 * len(every)
