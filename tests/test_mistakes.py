"""What is wrong with the form: the same sentences everywhere, and each leads to where it is mended."""

from types import SimpleNamespace

import pytest

from qlora_app.errors import Problem, UserError
from qlora_app.settings import Settings
from qlora_app.ui.train.words import face_of, problem_words, sentences_words
from tests.conftest import train_tab

ERROR = UserError.of(
    Problem("recipe.wrong", "a: wrong"), {"dataset.held_out_share": Problem("recipe.share", "2 is no <share>.")}
)


@pytest.mark.parametrize(
    ("name", "face"),
    [
        ("method[lora].rank", "settings"),
        ("dataset.held_out_share", "settings"),
        ("dataset.columns.prompt", "data"),
        ("dataset.subset", "data"),
        ("dataset.held_out_from", "data"),
        ("base_model", None),
        ("dataset", None),
        ("name", None),
    ],
)
def test_every_mistake_is_on_a_face(name, face, tmp_path):
    assert face_of(name) == face
    tab = train_tab(Settings(home=tmp_path))
    answer = tab.mistakes.turn(SimpleNamespace(_data={"field": name}))
    assert (tab.stage.tabs in answer) == (face is not None)


def test_the_sentences_are_the_same_where_nothing_is_started_and_name_the_field_as_the_page_does():
    for words in (problem_words(ERROR), sentences_words(ERROR)):
        assert (
            "2 is no &lt;share&gt;." in words and "Held-out share" in words and "dataset.held_out_share:" not in words
        )
    assert '<button type="button" class="link">Held-out share</button>' in problem_words(ERROR)
