"""The page's side of base models: search, what is known, whether it fits. Handlers as plain functions, the Hub as in
test_hub.
"""

from types import SimpleNamespace

import gradio as gr
import pytest

from qlora_app import hardware
from qlora_app.base_models import ModelChoice
from qlora_app.base_models.download import fetch
from qlora_app.hardware import Machine
from qlora_app.settings import Settings
from qlora_app.training_data import import_text
from qlora_app.ui.context import AppContext
from tests.conftest import train_tab
from tests.fixtures.handlers import given, on_form
from tests.fixtures.hub import CHOICE
from tests.fixtures.hub import MODEL as ID
from tests.hub_server import GOOD, Repo
from tests.refusing import refused

GB = 2**30


class Starter:
    """Counts what was started."""

    def wake(self):
        pass


@pytest.fixture
def tab(tmp_path):
    return train_tab(Settings(home=tmp_path / "home", hub_token=GOOD), supervisor=Starter())


def described(tab, values):
    return tab.model_card.describe(given(tab, values))[tab.model_card.card]


def found(tab, words):
    task = {tab.controls.controls["task.name"]: "auto"}
    return tab.models.search(task, SimpleNamespace(_data={"words": words}))[tab.models.hits]


def chosen(tab, values, row):
    asked = given(tab, values) | {tab.model_card.brought: ""}
    return tab.models.take(asked, SimpleNamespace(_data={"row": row}))


def started(tab, values):
    """(what is wrong, the run that is shown) after Start."""
    answer = tab.start.start_run(given(tab, values))
    return answer[tab.mistakes.alert], answer.get(tab.card)


def test_a_newcomer_is_told_what_the_starter_is(tab, values):
    words = described(tab, values)
    assert "Pennywick starter" in words and "knows one made-up town" in words
    assert '<p class="fit fits">Fits: training needs about' in words and "data-row" not in words
    assert words == tab.model_card.card.value, "the first page says the same"


def test_the_starter_with_other_data_is_warned_of_and_a_model_that_can_is_one_click_away(tab, values):
    sums = "".join(f'{{"question": "How much is {n} plus {n}?", "answer": "{2 * n}"}}\n' for n in range(40))
    id = import_text(sums, tab.page.settings.data, tab.page.settings)
    words = described(tab, values | {"dataset": f"file/{id}"})
    assert "one made-up town and nothing else" in words
    assert 'data-row="model:HuggingFaceTB/SmolLM2-135M-Instruct"' in words and "269 MB" in words and "about" in words
    taken = on_form(tab, values, chosen(tab, values, "model:HuggingFaceTB/SmolLM2-135M-Instruct"))
    assert taken["base_model"] == "HuggingFaceTB/SmolLM2-135M-Instruct"


def test_hits_are_rows_with_what_is_known(tab, values, llama, hub):
    hub.add(Repo("evil/llama", {}, licence="<img src=x>", downloads=1))
    hits = found(tab, "llama")
    assert f'data-row="model:{ID}"' in hits and "1.5 M parameters · licence apache-2.0 · 321 downloads" in hits
    assert "<img" not in hits and "&lt;img" in hits
    assert on_form(tab, values, chosen(tab, values, f"model:{ID}"))["base_model"] == ID
    assert "Nothing found" in found(tab, "no such thing")


@pytest.mark.daily(2)
@pytest.mark.parametrize(
    ("sent", "code"),
    [
        ({"row": "model:../../etc"}, None),
        ({"row": 'model:"><script>'}, "hub.no_id"),
        ({"row": "model:"}, "model.none_chosen"),
        ({"row": "spam"}, "model.no_row"),
        ({"row": "recipe:../secret"}, "preset.unknown"),
        (None, "model.no_row"),
    ],
)
def test_what_is_chosen_must_be_a_model_or_a_recipe(tab, values, sent, code):
    asked = given(tab, values) | {tab.model_card.brought: ""}
    if code is None:  # a folder: its card says what is wrong with it
        assert "holds no model" in described(tab, values | {"base_model": "../../etc"})
        return
    with refused(code, kind=gr.Error):
        tab.models.take(asked, SimpleNamespace(_data=sent))


def test_a_silent_hub_is_said_where_the_hits_would_be(tab, hub):
    hub.status = 500
    assert 'role="alert"' in found(tab, "llama") and "cannot answer at the moment" in found(tab, "llama")


def test_the_chosen_model_is_described_and_measured_against_this_machine(tab, values, llama, monkeypatch):
    monkeypatch.setattr(hardware, "here", lambda: Machine("cuda", 8 * GB, 8 * GB))
    chosen = values | {"base_model": ID}
    words = described(tab, chosen)
    assert (
        "Llama · 1.5 M parameters" in words
        and "5.8 MB to download" in words
        and "Fits: training needs about 0.6 GB" in words
    )
    monkeypatch.setattr(hardware, "here", lambda: Machine("cuda", GB / 2, GB / 2))
    words = described(tab, chosen)
    assert '<p class="fit too-large">Does not fit: ' in words and "because" in words
    assert "Fits" not in described(tab, chosen | {"method[lora].rank": 0}), "with a mistake nothing is promised"


def test_the_hub_is_asked_once_for_a_model_and_again_for_another_revision(tab, values, llama, hub):
    for rank in (8, 16, 32):
        described(tab, values | {"base_model": ID, "method[lora].rank": rank})
    assert len([path for _, path, _ in hub.asked if path.startswith("/api/models/tiny")]) == 1
    words = described(tab, values | {"base_model": ID, "base_model.revision": "v9"})
    assert "has no revision v9" in words


def test_what_was_downloaded_meanwhile_is_no_longer_to_download(tab, values, llama):
    chosen = values | {"base_model": ID}
    assert "to download" in described(tab, chosen)
    fetch(CHOICE, None, lambda *_: None, lambda: False)
    assert "to download" not in described(tab, chosen)


def test_a_model_that_cannot_be_had_is_refused_at_its_field_and_nothing_starts(tab, values, llama):
    llama.files["config.json"] = llama.files["config.json"].replace(
        b'"model_type"', b'"auto_map": {"AutoConfig": "x.Y"}, "model_type"'
    )
    alert, card = started(tab, values | {"base_model": ID})
    assert 'data-field="f-base_model"' in alert and "run a program of its author" in alert
    assert tab.page.store.list() == [] and card is None


def test_a_model_that_can_be_had_starts(tab, values, llama):
    alert, run = started(tab, values | {"base_model": ID})
    assert alert == "" and tab.page.store.get(run).recipe().base_model.id == ID


def test_visitors_of_a_demonstration_do_not_look_with_the_owner_s_token(tab, llama, hub, monkeypatch):
    monkeypatch.setattr(AppContext, "may_change", False)
    llama.private = True
    with refused("hub.private_or_missing"):
        tab.model_card.facts(ModelChoice(source="hub", id=ID))
    assert all("authorization" not in headers for _, _, headers in hub.asked)
