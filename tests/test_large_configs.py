"""A look at a model costs a bounded work, whichever setting of its files somebody has blown up."""

import json
import shutil

import pytest

from qlora_app import starter
from qlora_app.base_models import facts_of_folder
from qlora_app.base_models.config import CONFIGS, LARGEST_CONFIG, read_config
from qlora_app.errors import UserError
from tests.refusing import refused

CONFIG = json.loads((starter.BASE / "config.json").read_text())
ODD = {
    "deep": "[" * 100_000 + "]" * 100_000,
    "not so deep": "[" * 900 + "]" * 900,
    "long number": "9" * 100_000,
    "large number": "9" * 4000,
    "no number": "NaN",
    "endless": "-Infinity",
    "names": "{" + ",".join(f'"{number}": "LABEL_{number}"' for number in range(50_000)) + "}",
}


@pytest.fixture
def folder(tmp_path):
    return shutil.copytree(starter.BASE, tmp_path / "model")


def with_setting(folder, setting, written):
    """Its config.json, in which this stands as the value of a setting."""
    (folder / "config.json").write_text(json.dumps(CONFIG | {setting: "VALUE"}).replace('"VALUE"', written))


def test_a_blown_up_setting_is_refused_by_the_name_of_its_file(folder):
    for setting in [*CONFIG, "id2label", "quantization_config"]:
        with_setting(folder, setting, "[" + "1," * (LARGEST_CONFIG // 2) + "1]")
        with refused("model.file_not_read", "config.json"):
            facts_of_folder(folder)


@pytest.mark.parametrize("name", CONFIGS)
def test_no_file_of_settings_is_read_that_is_far_too_large(name, tmp_path):
    (tmp_path / name).write_text(" " * LARGEST_CONFIG + "{}")
    with refused("model.file_not_read", name):
        read_config(tmp_path / name)
    (tmp_path / name).write_text(" " * (LARGEST_CONFIG - 2) + "{}")
    assert read_config(tmp_path / name) == {}


@pytest.mark.parametrize("kind", ODD)
def test_an_odd_value_is_looked_at_or_refused_with_a_sentence(kind, folder):
    for setting in ("id2label", "rope_scaling", "hidden_size", "architectures", "eos_token_id", "model_type"):
        with_setting(folder, setting, ODD[kind])
        try:
            facts_of_folder(folder).summary()
        except UserError as error:
            assert error.code.startswith("model.")
