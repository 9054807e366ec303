"""Files that anybody may have put somewhere are read without waiting, and what is wrong with them is said."""

import json
import math
import os
import shutil

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from qlora_app import starter
from qlora_app.base_models.recognition import describe_folder, facts_of_folder
from qlora_app.errors import UserError
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus, RunStore
from qlora_app.storage import reading
from qlora_app.storage.reading import damage, parse_yaml, read_json, read_lines
from qlora_app.storage.typed import filled, misfits
from tests.fixtures.damages import DAMAGES
from tests.fixtures.page import make_run
from tests.refusing import refused

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
UNREADABLE = (
    "empty",
    "binary",
    "deep list",
    "list",
    "folder",
    "link nowhere",
    "link to a device",
    "loop",
    "pipe",
    "socket",
)


@pytest.mark.parametrize("name", UNREADABLE)
def test_what_cannot_be_read_is_a_sentence_and_never_waited_for(name, tmp_path):
    file = tmp_path / "status.json"
    file.write_text("{}")
    DAMAGES[name](file)
    assert read_json(file) is None and read_lines(file, 0)[0] == []
    assert damage(file).code == "file.damaged" and "status.json" in damage(file)


def test_a_whole_file_and_none_are_no_damage(tmp_path):
    (tmp_path / "a.json").write_text("{}")
    assert damage(tmp_path / "a.json") is None and damage(tmp_path / "b.json") is None


@settings(max_examples=100)
@given(values=st.dictionaries(st.sampled_from(["state", "step", "loss", "warnings", "sentence", "odd"]), JSON))
def test_a_status_of_anything_is_one_whose_fields_have_their_types(values):
    made = filled(RunStatus, values)
    assert (
        isinstance(made.step, int) and isinstance(made.warnings, list) and made.state in (values.get("state"), "queued")
    )
    assert "odd" not in misfits(RunStatus, values)


@settings(max_examples=100)
@given(values=JSON)
def test_a_recipe_of_anything_is_shown_or_refused(values):
    asked = values if isinstance(values, dict) else {"training": values, "name": values}
    recipe, problems = Recipe.as_far_as_readable(asked)
    assert isinstance(recipe, Recipe) and all(map(str, problems.values()))


def test_a_recipe_with_settings_of_another_version_keeps_the_others():
    values = {
        "name": "mine",
        "training": {"epochs": 3, "new_one": 1, "seed": "x"},
        "method": {"name": "lora", "rank": 7},
    }
    recipe, problems = Recipe.as_far_as_readable(values)
    assert (recipe.name, recipe.training.epochs, recipe.method.rank) == ("mine", 3.0, 7)
    assert set(problems) == {"training.new_one", "training.seed"}


def test_a_run_whose_model_is_gone_is_shown_whole(store, tmp_path):
    run = make_run(store, name="mine")
    text = (run.folder / "recipe.yaml").read_text()
    gone = text.replace("source: starter", "source: folder", 1).replace("id: ''", "id: /gone/model", 1)
    (run.folder / "recipe.yaml").write_text(gone)
    read = RunStore(store.root).get(run.id).read_recipe()
    assert read.problem is None and read.recipe.base_model.id == "/gone/model" and run.task().is_chat
    with pytest.raises(UserError):
        run.recipe()


@pytest.mark.parametrize("text", ["a: 2026-99-99", "a: " + "9" * 5000, "? [1, 2]\n: 3\n? {a: b}\n: 4", "&a [*a]"])
def test_yaml_that_is_none_is_a_value_error(text):
    with pytest.raises(ValueError):
        parse_yaml(text)


CONFIGS = {
    "model.wants_program": [
        {"_attn_implementation": "owner/kernels"},
        {"attn_implementation": "a/b:c"},
        {"text_config": {"attn_implementation": "owner/name"}},
        {"experts_implementation": "owner/name"},
        {"vision": [{"auto_map": {"AutoConfig": "x.Y"}}]},
        {"custom": "owner/name--module.Class"},
        {"trust_remote_code": True},
    ],
    "model.odd_config": [
        {"vocab_size": "many"},
        {"num_hidden_layers": 10**9},
        {"hidden_size": -1},
        {"max_position_embeddings": 10**300},
        {"model_type": ["llama"]},
        {"architectures": 5},
    ],
}


@pytest.mark.parametrize("code, changes", [(code, one) for code, many in CONFIGS.items() for one in many])
def test_a_config_that_no_model_has_is_refused(code, changes, tmp_path):
    config = {"architectures": ["LlamaForCausalLM"], "model_type": "llama"} | changes
    (tmp_path / "config.json").write_text(json.dumps(config))
    with refused(code):
        describe_folder(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [{"num_hidden_layers": 9999}, {"vocab_size": 4 * 10**9}, {"hidden_size": 10**9}, {"intermediate_size": 10**9}],
)
def test_a_config_of_far_more_than_its_weights_is_refused(changes, tmp_path):
    """Whoever builds such a model makes it whole before it sees that nothing fits."""
    folder = shutil.copytree(starter.BASE, tmp_path / "model")
    config = json.loads((folder / "config.json").read_text())
    assert facts_of_folder(folder).parameters
    (folder / "config.json").write_text(json.dumps(config | changes))
    with refused("model.larger_than_weights"):
        facts_of_folder(folder)


def test_a_file_is_looked_through_again_only_where_somebody_wrote_it(tmp_path, monkeypatch):
    monkeypatch.setattr(reading, "_SETTLED", -math.inf)
    looked, look = [], reading._looked_at
    monkeypatch.setattr(reading, "_looked_at", lambda file: looked.append(1) or look(file))
    file = tmp_path / "curve.json"
    for content, code in (
        ('{"a": 1}', None),
        ('{"a": 1', "file.damaged"),
        ('{"a": NaN}', None),
        ("[]", "file.damaged"),
    ):
        file.write_text(content)
        os.utime(file, ns=(0, len(looked)))  # a disk whose clock stands
        for _ in range(3):
            found = reading.damage(file)
            assert (found.code if found else None) == code, content
    assert len(looked) == 4


def test_what_was_written_a_moment_ago_is_looked_through_once_more(tmp_path, monkeypatch):
    """Within one tick of its clock a disk cannot tell it from what is written next."""
    monkeypatch.setattr(reading, "_SETTLED", math.inf)
    file = tmp_path / "curve.json"
    for content, is_damaged in (("{}", False), ("{)", True)):
        file.write_text(content)
        os.utime(file, ns=(0, 0))
        assert (reading.damage(file) is not None) == is_damaged
