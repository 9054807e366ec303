"""The face of the settings: what its search finds, which settings stand in which section, which are not seen."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest
from pydantic import SecretStr

import qlora_app
from qlora_app.choices import dotted_name
from qlora_app.place import Place, reachable
from qlora_app.preflight import ready
from qlora_app.settings import Settings
from qlora_app.ui.train.form_values import FIELDS, element_id, read
from qlora_app.ui.train.recipe_form import SECTIONS, section_of
from qlora_app.ui.train.settings_search import search_words
from qlora_app.ui.train.settings_synonyms import SYNONYMS
from qlora_app.ui.train.where import NEEDS
from tests.conftest import train_tab
from tests.fixtures.handlers import given
from tests.refusing import refused

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
        return [name for name in found if not name.startswith(("preferences.", "launch."))]  # the data have no pairs

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


OF_PLACES = {
    "here": set(),
    "slurm": {"launch.partition", "launch.minutes", "launch.flags"},
    "ray": {"launch.gpus"},
    "hf_jobs": {"launch.flavor", "launch.minutes"},
}


@pytest.mark.parametrize("where", OF_PLACES)
def test_of_a_place_its_own_settings_are_seen_and_count_and_the_others_keep_what_was_typed(tab, values, where):
    """Also what would be a mistake there is none here."""
    all_of_them = set().union(*OF_PLACES.values())
    typed = {"launch.partition": "gpu", "launch.flags": "--mem=1G", "launch.gpus": 2, "launch.flavor": "Not One!"}
    on_form = values | typed | {"launch.where": where, "launch.minutes": 60}
    state = tab.form.state(given(tab, on_form))
    assert all_of_them & set(tab.logic.unused(state)) == all_of_them - OF_PLACES[where]
    assert all_of_them & set(tab.logic.own(state)) == OF_PLACES[where]
    answer = tab.form.settle(given(tab, on_form))
    assert not {tab.controls.controls[name] for name in all_of_them} & set(answer), "what was typed stays"
    if where == "hf_jobs":
        with refused("recipe.wrong_settings"):
            read(on_form)
        on_form |= {"launch.flavor": "cpu-basic"}
    launch = read(on_form).launch
    for name in all_of_them:
        is_own = name in OF_PLACES[where]
        counts = getattr(launch, name.removeprefix("launch.")) == on_form[name]
        assert counts == is_own, name


def test_places_that_can_be_reached_are_offered_and_of_others_it_is_said_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setenv("PATH", str(tmp_path))
    settings = Settings(home=tmp_path)
    assert reachable(settings) == ["here"]
    where = train_tab(settings).controls.controls["launch.where"]
    assert [value for _, value in where.choices] == ["here"]
    assert all(words in str(where.info) for words in NEEDS.values())
    (tmp_path / "sbatch").touch(mode=0o700)
    equipped = settings.model_copy(update={"ray": "http://head:8265", "hub_token": SecretStr("hf_x")})
    assert reachable(equipped) == list(OF_PLACES)
    where = train_tab(equipped).controls.controls["launch.where"]
    assert [value for _, value in where.choices] == list(OF_PLACES)
    assert not any(words in str(where.info) for words in NEEDS.values())
    assert reachable(equipped.of_member("bob")) == ["here"]


@pytest.mark.parametrize(
    ("where", "code"), [("slurm", "slurm.not_here"), ("ray", "ray.no_address"), ("hf_jobs", "rent.no_token")]
)
def test_a_recipe_from_elsewhere_is_shown_as_it_is_and_refused_where_its_place_is_not_reached(
    tab, where, code, monkeypatch, tmp_path
):
    monkeypatch.setenv("PATH", str(tmp_path))
    recipe = tab.controls.first.model_copy(update={"launch": Place(where=where)})
    answer = tab.form.filled(recipe)
    shown = answer[tab.controls.controls["launch.where"]]
    assert shown["value"] == where and where in [value for _, value in shown["choices"]]
    with refused(code) as caught:
        ready(recipe, tab.page.settings)
    assert set(caught.value.problems) == {"launch.where"}
