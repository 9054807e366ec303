"""The starter is told from other models by what it has read: one town."""

from pathlib import Path

import pytest

from qlora_app import starter
from qlora_app.foreign import is_foreign, starter_warning
from qlora_app.settings import Settings
from qlora_app.training_data import DatasetChoice, import_text, load_examples

SUMS = "".join(f'{{"instruction": "What is {i} plus {i % 7}?", "output": "It is {i + i % 7}."}}\n' for i in range(60))
STORIES = "".join(
    f'{{"instruction": "Tell a story about Sam, number {i}.", "output": "Sam discovered an enormous spaceship, '
    f'explored distant galaxies and encountered mysterious creatures."}}\n'
    for i in range(40)
)


@pytest.fixture
def folder(tmp_path):
    return Settings(home=tmp_path).data


def own(text, folder):
    return DatasetChoice(source="file", id=import_text(text, folder, Settings()))


@pytest.mark.parametrize("text", [SUMS, STORIES], ids=["sums", "stories"])
def test_data_about_anything_else_is_foreign_to_the_starter(text, folder):
    assert "one made-up town" in starter_warning(own(text, folder), folder)


@pytest.mark.parametrize("name", ["helper", "sailor"])
def test_data_about_the_town_is_not_whatever_file_it_is_in(name, folder):
    assert starter_warning(DatasetChoice(id=name), folder) == ""
    some = load_examples(DatasetChoice(id=name), Path()).train[:400]
    assert not is_foreign(some)
    lines = starter.DATASETS["sailor"].file.read_text(encoding="utf-8").splitlines(keepends=True)
    assert starter_warning(own("".join(lines[:200]), folder), folder) == ""


def test_data_that_cannot_be_read_gets_no_warning(folder):
    for gone in (DatasetChoice(source="file", id=""), DatasetChoice(source="file", id="gone.csv")):
        assert starter_warning(gone, folder) == ""
