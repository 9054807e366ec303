"""The table of methods: every method with its figures, one of them chosen."""

import re
from types import SimpleNamespace

import pytest

from qlora_app.methods import METHODS
from qlora_app.methods.measured import measured
from qlora_app.settings import Settings
from qlora_app.ui.train.form_values import METHOD
from qlora_app.ui.train.method_table import methods, table_words
from tests.conftest import train_tab

NAMES = {method.model_fields["name"].default for method in METHODS}


def row_of(name: str, words: str) -> str:
    return next(row for row in words.split("<label>")[1:] if f'value="{name}"' in row)


def test_every_method_has_its_row_with_what_was_measured_and_when_to_choose_it():
    words = table_words("vera")
    assert set(re.findall(r'value="(\w+)"', words)) == NAMES == set(measured())
    assert re.findall(r'value="(\w+)" checked', words) == ["vera"]
    for name, method in methods().items():
        row = row_of(name, words)
        assert all(figure in row for figure in measured()[name]), "the page shows what the manual shows"
        assert method.title() in row and 'class="when"' in row


def test_the_best_stands_first_and_qlora_is_found():
    words = table_words("lora")
    scores = [int(figure) for figure in re.findall(r"<span>(\d+)%</span>", words)]
    assert scores == sorted(scores, reverse=True) and len(scores) == len(NAMES)
    assert "QLoRA with a 4-bit base" in row_of("lora", words) and words.count("QLoRA") == 1


def test_a_row_is_the_value_of_the_control(tmp_path):
    tab = train_tab(Settings(home=tmp_path))
    table, control = tab.controls.methods, tab.controls.controls[METHOD]
    answer = table.choose(SimpleNamespace(_data={"method": "oft"}))
    assert answer[control] == "oft" and answer[tab.form.touched]
    shown = tab.controls.choose_method({control: "oft"})[table.rows]
    assert shown == table_words("oft")


@pytest.mark.parametrize("sent", [None, {}, {"method": "<b>"}, {"method": 7}])
def test_what_anybody_may_send_changes_nothing(sent, tmp_path):
    table = train_tab(Settings(home=tmp_path)).controls.methods
    assert table.control not in table.choose(SimpleNamespace(_data=sent))
