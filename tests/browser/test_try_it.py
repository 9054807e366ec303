"""Another method and another task than a fresh page suggests, with a browser: the learning rate that comes with it,
labels as bars.
"""

import shutil

import pytest
from playwright.sync_api import expect
from visiting import DESK, PHONE

from qlora_app import worker
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.training_data import import_file
from tests.tiny_models import tiny_model

ROWS = "text,label\n" + "".join(
    f"The film was {word} {i}.,{label}\n"
    for i in range(12)
    for word, label in (("wonderful", "<b>good</b>"), ("boring", "bad"))
)


def test_another_method_brings_its_learning_rate_until_one_is_typed(newcomer):
    page = newcomer.open()
    page.get_by_role("tab", name="Settings", exact=True).click()
    rate = page.get_by_label("Learning rate", exact=True)

    def choose(name):
        page.locator("#section-method-button").click()
        page.get_by_role("radio", name=name, exact=True).check()

    expect(rate).to_have_value("0.002")
    choose("(IA)3")
    expect(rate).to_have_value("0.03")
    page.locator("#method-card summary").click()
    expect(page.locator("#method-card")).to_contain_text("0.003: T-Few's, for every task.")
    expect(page.locator("#command")).to_contain_text("train starter method.name=ia3")
    page.locator("#section-training-button").click()
    rate.fill("0.5")
    rate.blur()
    expect(page.locator("#own-settings")).to_contain_text("Learning rate")
    choose("VeRA")
    expect(page.locator("#command")).to_contain_text("method.name=vera")
    expect(rate).to_have_value("0.5")


@pytest.fixture(scope="module")
def app(trained_app):
    return trained_app


@pytest.fixture(scope="module")
def classifier(app, tmp_path_factory):
    """A finished run of a tiny BERT in the app's home, made by the real worker in this process."""
    folder, file = tiny_model("bert", app.home / "models"), tmp_path_factory.mktemp("films") / "films.csv"
    file.write_text(ROWS)
    data = import_file(file, app.home / "data", file.name)
    few = {
        "learning_rate": 1e-2,
        "optimizer": "adamw_torch",
        "max_steps": 4,
        "batch_size": 8,
        "checkpoints": 0,
        "evaluations": 0,
        "samples": 1,
        "scored_questions": 2,
        "max_length": 32,
    }
    run = RunStore(app.home / "runs").create(
        Recipe.from_dict(
            {
                "base_model": {"source": "folder", "id": str(folder), "precision": "fp32"},
                "training": few,
                "method": {"rank": 4},
                "dataset": {
                    "source": "file",
                    "id": data,
                    "held_out_share": 0.2,
                },
            }
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLORA_APP_HOME", str(app.home))
        assert worker.main(run.folder) == 0, run.status().sentence
    yield run
    app.store.delete(run.id)
    shutil.rmtree(folder)
    (app.home / "data" / data).unlink()


@pytest.mark.parametrize("size", [DESK, PHONE], ids=["desk", "phone"])
def test_a_classifier_is_tried_with_a_text_of_one_s_own_and_with_an_example(visitor, classifier, size):
    page = visitor.open(f"?tab=chat&run={classifier.id}", size=size)
    expect(page.locator("#try-it")).to_be_visible()
    expect(page.get_by_label("A text to be labelled")).to_be_visible()
    page.get_by_label("A text to be labelled").fill("What a wonderful evening.")
    page.get_by_role("button", name="Try it", exact=True).click()
    sides = page.locator("#tried section")
    expect(sides).to_have_count(2)
    expect(page.locator("#tried .score")).to_contain_text("Your adapter says")
    for side, title in enumerate(("Before (base model)", "After (your adapter)")):
        expect(sides.nth(side)).to_contain_text(title)
        shares = [float(text.rstrip("%")) for text in sides.nth(side).locator(".share").all_inner_texts()]
        assert sum(shares) == pytest.approx(100, abs=0.2) and shares == sorted(shares, reverse=True)
        assert sorted(sides.nth(side).locator(".name").all_inner_texts()) == ["<b>good</b>", "bad"], (
            "a label is text, never markup"
        )
    assert page.get_by_label("A text to be labelled").input_value() == "What a wonderful evening.", (
        "what was typed stays"
    )
    page.locator("#try-chips button").first.click()
    expect(page.get_by_label("A text to be labelled")).not_to_have_value("What a wonderful evening.")
    expect(page.locator("#tried .score")).to_contain_text("Your adapter says")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
