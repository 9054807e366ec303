"""The face of the settings: what its search finds, which settings stand in which section, which are not seen."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

import qlora_app
from qlora_app.choices import dotted_name
from qlora_app.settings import Settings
from qlora_app.ui.train.form_values import FIELDS, element_id
from qlora_app.ui.train.recipe_form import SECTIONS, section_of
from qlora_app.ui.train.settings_search import search_words
from qlora_app.ui.train.settings_synonyms import SYNONYMS
from tests.conftest import train_tab
from tests.fixtures.handlers import given

SCRIPT = Path(qlora_app.__file__).parent / "ui" / "train" / "settings_search.js"


@pytest.fixture
def tab(tmp_path):
    return train_tab(Settings(home=tmp_path))


def found(typed: list[str]) -> list[list[str]]:
    """The settings that each of these finds."""
    node = shutil.which("node")
    if node is None:
        pytest.skip("node is not installed (Debian: apt-get install nodejs)")
    script = f"""const {{isFound}} = require({json.dumps(str(SCRIPT))}), index = {json.dumps(search_words())};
    const all = typed => Object.keys(index).filter(id => isFound(index[id], typed));
    console.log(JSON.stringify({json.dumps(typed)}.map(all)));"""
    done = subprocess.run([node, "-e", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    ids: list[list[str]] = json.loads(done.stdout)
    return ids


def test_a_setting_is_found_by_the_name_other_programs_give_it():
    asked = {
        "training.max_steps": "training.max_steps",
        "Warmup Ratio": "training.warmup_ratio",
        "lr": "training.learning_rate",
        "lr_scheduler_type": "training.scheduler",
        "cosine": "training.scheduler",
        "gradient_accumulation_steps": "training.batch_size",
        "DoRA": "method[lora].weight_decomposed",
        "use_rslora": "method[lora].rank_stabilized",
        "target_modules": "method[lora].layers",
        "double quant": "base_model.double_quantization",
        "load_best_model_at_end": "training.keep",
        "Lernrate": "",
        "no such thing": "",
    }
    for (typed, name), ids in zip(asked.items(), found(list(asked)), strict=True):
        assert (element_id(name) in ids) if name else not ids, f"{typed} finds {ids}"


def test_synonyms_are_of_settings_that_there_are():
    assert set(SYNONYMS) <= {dotted_name(name) for name in FIELDS}


def test_every_setting_that_is_shown_stands_in_a_section():
    assert {section_of(name) for name in FIELDS} - set(SECTIONS) <= {
        section_of(name) for name in FIELDS if "[" in name or ".columns." in name
    }


def test_settings_of_another_task_are_not_seen_until_it_is_chosen(tab, values):
    def unused(**changes):
        found = tab.logic.unused(tab.form.state(given(tab, values | changes)))
        return [name for name in found if not name.startswith("preferences.")]  # the data have no pairs

    others = ["task.prefix", "task.masked_share", "task.masking"]
    assert unused() == others
    assert unused(**{"task.name": "fill_mask"}) == others[:1]
    assert unused(**{"task.prefix": "summarize:"}) == others[1:], "what was typed stays to be seen"
    marks = tab.form.settle(given(tab, values))[tab.form.marks]
    assert all(element_id(name) in marks for name in others)


def test_a_changed_setting_says_what_it_was_and_goes_back(tab, values):
    marks = tab.form.settle(given(tab, values | {"training.max_steps": 60}))[tab.form.marks]
    assert 'data-of="f-training-max_steps"' in marks and ">0</b>" in marks
    assert marks.count("data-of=") == 1
