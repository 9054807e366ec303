"""Tiny bases and rows for runs of every method."""

import functools
import json

import pytest

from tests.tiny_models import dropout_of, tiny_model


@pytest.fixture(scope="session")
def bases(tmp_path_factory):
    """(family, dropout) -> the folder of its tiny model."""
    home = tmp_path_factory.mktemp("bases")
    return functools.cache(
        lambda family, dropout: tiny_model(family, home / f"{family}-{dropout}", **with_dropout(family, dropout))
    )


def with_dropout(family, share):
    tied = {"tie_word_embeddings": True} if family == "llama" else {}
    return dropout_of(family, share) | tied


@pytest.fixture
def rows(home):
    """Eight rows of several lengths and two answers."""
    (home / "data").mkdir()
    made = [
        {"instruction": f"Where does Mira live{', and who' * (i % 4)}? {i}", "output": ("positive", "negative")[i % 2]}
        for i in range(8)
    ]
    (home / "data" / "rows.json").write_text(json.dumps(made))
