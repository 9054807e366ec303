"""A recipe survives the way to a file and back, and every mistake in one is named, all at once."""

import pytest

from qlora_app.choices import (
    bounds,
    dotted_name,
    iter_settings,
    options,
    variant_of,
)
from qlora_app.errors import UserError
from qlora_app.presets import Presets
from qlora_app.recipe import (
    EFFORTS,
    Recipe,
    epochs_for,
    read_yaml,
)
from tests.counting import calls_at_most
from tests.refusing import check_problem, refused

LEAVES = dict(iter_settings(Recipe))


def mistakes(values) -> dict[str, str]:
    with pytest.raises(UserError) as caught:
        Recipe.from_dict(values)
    return caught.value.problems


@pytest.mark.parametrize(
    "recipe",
    [
        Recipe(),
        Presets().load("guanaco-7b"),
        Recipe.from_dict(
            {
                "name": "ünï: #1 'quoted'",
                "training": {"sample_questions": ["Hello!", "a: b", "- no"], "learning_rate": 1e-5},
            }
        ),
    ],
)
def test_yaml_round_trip(recipe, tmp_path):
    recipe.save(tmp_path / "recipe.yaml")
    assert Recipe.load(tmp_path / "recipe.yaml") == recipe


def test_all_mistakes_are_reported_at_once_by_their_dotted_names():
    problems = mistakes(
        {
            "training": {"epochs": -1, "learning_rate": "fast", "seed": 0.5},
            "method": {"rank": 0},
            "base_model": {"precision": "q4"},
        }
    )
    assert set(problems) == {
        "training.epochs",
        "training.learning_rate",
        "training.seed",
        "method.rank",
        "base_model.precision",
    }
    check_problem(problems["training.epochs"], "recipe.wrong_value", "-1")
    check_problem(problems["training.epochs"], "recipe.wrong_value", "greater than 0")
    check_problem(problems["base_model.precision"], "recipe.wrong_value")


def test_the_message_holds_every_problem():
    with pytest.raises(UserError) as caught:
        Recipe.from_dict({"training": {"epochs": -1, "batch_size": 0}})
    assert all(name in str(caught.value) for name in ("training.epochs", "training.batch_size"))


@pytest.mark.parametrize(
    "values, name, near",
    [
        ({"training": {"learing_rate": 1e-4}}, "training.learing_rate", "training.learning_rate"),
        ({"method": {"rnak": 8}}, "method.rnak", "method.rank"),
        ({"trainig": {}}, "trainig", "training"),
        ({"epochs": 3}, "epochs", "training.epochs"),
    ],
)
def test_a_misspelt_setting_is_an_error_with_a_suggestion(values, name, near):
    assert f"Do you mean {near}?" in mistakes(values)[name]


def test_a_name_near_to_nothing_gets_no_suggestion():
    check_problem(mistakes({"zzzz": 1})["zzzz"], "recipe.no_such_setting")


@pytest.mark.parametrize("values", [None, [], "epochs: 3", 7])
def test_what_is_no_mapping_is_said_to_be_none(values):
    with refused("recipe.no_mapping"):
        Recipe.from_dict(values)


@pytest.mark.parametrize(
    "group, values, name",
    [
        ("base_model", {"source": "hub"}, "base_model.id"),
        ("base_model", {"source": "folder", "id": "nowhere"}, "base_model.id"),
        ("dataset", {"source": "starter", "id": "nothing"}, "dataset.id"),
        ("dataset", {"source": "file", "id": "../recipe.yaml"}, "dataset.id"),
        ("dataset", {"source": "file", "id": ""}, "dataset.id"),
    ],
)
def test_choices_that_cannot_work_are_found_before_anything_starts(group, values, name):
    assert name in mistakes({group: values})


def test_a_choice_that_cannot_work_is_named_together_with_all_other_mistakes():
    problems = mistakes(
        {"base_model": {"source": "folder", "id": "nowhere"}, "dataset": {"id": "nothing"}, "training": {"epochs": -1}}
    )
    assert set(problems) == {"base_model.id", "dataset.id", "training.epochs"}
    assert set(mistakes({"base_model": {"source": "hub", "precision": "q4"}, "dataset": {"id": "nothing"}})) == {
        "base_model.precision",
        "dataset.id",
    }


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("a: [", "recipe.no_yaml"),
        ("just words", "recipe.empty"),
        ("", "recipe.empty"),
        ("!!python/object/apply:os.system [ls]", "recipe.no_yaml"),
        ("x: " + "y" * 70000, "recipe.too_long"),
    ],
)
def test_a_file_that_is_no_recipe_is_named(text, code, tmp_path):
    (tmp_path / "odd.yaml").write_text(text)
    with refused(code, "odd.yaml"):
        read_yaml(tmp_path / "odd.yaml")


def test_a_file_that_multiplies_itself_is_refused_in_an_instant(tmp_path):
    lines = ["a: &a0 [1, 2, 3, 4, 5, 6, 7, 8, 9]"] + [
        f"b{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)
    ]
    (tmp_path / "bomb.yaml").write_text("\n".join([*lines, "training: {epochs: *a11, seed: *a11}", "name: *a11"]))
    with calls_at_most(300_000), refused("recipe.no_yaml", "too often") as caught:
        Recipe.load(tmp_path / "bomb.yaml")
    assert len(str(caught.value)) < 5000


def test_a_missing_file_is_named(tmp_path):
    with refused("recipe.not_readable", "gone.yaml"):
        Recipe.load(tmp_path / "gone.yaml")


@pytest.mark.parametrize("name", LEAVES)
def test_every_setting_says_what_it_is(name):
    field = LEAVES[name]
    assert field.title and field.description
    assert dotted_name(name).count(".") == name.count(".") <= 2


@pytest.mark.parametrize("name", [n for n, f in LEAVES.items() if options(f)])
def test_every_option_has_a_value_the_recipe_takes(name):
    group, _, setting = dotted_name(name).rpartition(".")
    words = [words for words, _ in options(LEAVES[name])]
    assert len(words) == len(set(words)) >= 1
    for _, value in options(LEAVES[name]):
        values = {
            group: {setting: value, "id": "org/model"}
            if name == "base_model.source" and value == "hub"
            else {setting: value}
        }
        if kind := variant_of(name):
            values[group]["name"] = kind
        recipe = Recipe.model_validate(values)  # whether it goes with all other settings is asked elsewhere
        assert getattr(getattr(recipe, group), setting) == value


def test_defaults_lie_within_their_bounds():
    for name, field in LEAVES.items():
        low, high = bounds(field)
        assert low is None or field.default >= low, name
        assert high is None or field.default <= high, name


def test_defaults_are_those_of_qlora():
    recipe = Recipe()
    assert (recipe.base_model.precision, recipe.base_model.double_quantization, recipe.method.layers) == (
        "nf4",
        True,
        "all-linear",
    )
    assert (recipe.training.max_grad_norm, recipe.training.adam_beta2, recipe.training.warmup_ratio) == (
        0.3,
        0.999,
        0.03,
    )


def test_effort_becomes_epochs_and_small_data_gets_enough_steps():
    large = [epochs_for(effort, 100_000, 16) for effort in EFFORTS]
    assert large == sorted(large) and len(set(large)) == 3
    for effort in EFFORTS:
        few = epochs_for(effort, 40, 16)
        assert epochs_for(effort, 100_000, 16) < few <= 50
        assert epochs_for(effort, 0, 16) <= 50  # no data is refused elsewhere; here it must only not divide by zero


def test_a_recipe_is_frozen():
    with pytest.raises(ValueError):
        Recipe().training.epochs = 3
