"""The page's side of data: bring some, find some on the Hub, say which column is what. Handlers as plain functions."""

from types import SimpleNamespace

import gradio as gr
import pytest

from qlora_app.settings import Settings
from qlora_app.training_data import DatasetChoice, import_file
from qlora_app.ui.column_form import GROUP
from qlora_app.ui.context import PRIVATE, AppContext
from qlora_app.ui.data_finder import HELD_OUT
from qlora_app.ui.recipe_form import PASTE, SEARCH_DATA, data_value
from tests.conftest import train_tab
from tests.fixtures.hub import DATASET as ID
from tests.hub_server import GOOD, Repo

EVIL = "<img src=x onerror=alert(1)>"
HUB = f"hub/{ID}"


@pytest.fixture
def tab(tmp_path):
    return train_tab(Settings(home=tmp_path / "home", hub_token=GOOD), supervisor=SimpleNamespace(wake=lambda: None))


@pytest.fixture
def odd(tab, tmp_path):
    """A table whose columns nobody could know, as the form names it once it was uploaded."""
    file = tmp_path / "odd.csv"
    file.write_text("raw,note\n" + "".join(f"{EVIL} {i},It is {i}.\n" for i in range(30)))
    return data_value(DatasetChoice(source="file", id=import_file(file, tab.page.settings.data, file.name)))


def filled(tab, answer):
    """{control: value} of what `fill` answered."""
    shown = answer[: len(tab.form.controls)]
    return dict(zip(tab.form.controls, (one["value"] if isinstance(one, dict) else one for one in shown), strict=True))


def chosen(tab, values, name):
    """The form after other data was chosen."""
    return filled(
        tab, tab.choose(("starter", "starter/helper", "lora"), "balanced", *(values | {"dataset": name}).values())
    )


def uploaded(tab, files):
    """The id in the data folder, as the page gets it when the reading is done."""
    *_, (line, id) = tab.importer.take([str(file) for file in files])
    assert line == ""
    return id


# ---- columns


def test_a_file_that_asks_is_kept_chosen_and_opens_the_columns(tab, values, tmp_path):
    file = tmp_path / "odd.csv"
    file.write_text("raw,note\n" + "".join(f"{i},It is {i}.\n" for i in range(30)))
    form = filled(
        tab, tab.take_upload(uploaded(tab, [file]), ("starter", "starter/helper", "lora"), "balanced", *values.values())
    )
    assert form["dataset"].endswith("-odd.csv")
    fold, table, preview, *lists = tab.columns.offer(*form.values())
    assert fold.open and '<th scope="col">raw</th>' in table and preview == ""
    assert [choice for choice, _ in lists[0]["choices"]] == ["", "raw", "note"]
    opened, seen = tab.view.open_to_ask(None, *form.values())
    assert opened.open and seen == ("", 0)
    assert "Columns of your data" in tab.data_words(tab.form.data_of(list(form.values())))


def test_the_preview_is_what_is_learned_and_the_choice_is_the_recipe_s(tab, values, odd):
    form = chosen(tab, values, odd) | {GROUP + "template": "About {raw}\nplease", GROUP + "answer": "note"}
    shown = tab.columns.show(*form.values())
    assert shown.count("<dl") == 3 and '<span class="part trained">It is 0.</span>' in shown and "please" in shown
    assert "<img" not in shown and "<img" not in tab.columns.offer(*form.values())[1]
    recipe = tab.form.read(list(form.values()))
    assert recipe.dataset.columns.given == {"template": "About {raw}\nplease", "answer": "note"}
    epochs, *_, line, _, command = tab.data_changed(("starter", odd, "lora"), "balanced", *form.values())
    assert epochs > 2 and "30 rows: 27 to learn from, 3 held out" in line
    assert "dataset.columns.answer=note" in command
    assert not tab.columns.asks(recipe.dataset)
    assert 0 < tab.set_effort("quick", *form.values()) < epochs
    shown = tab.shelf.choose(SimpleNamespace(_data={"preset": "qwen3-0.6b"}), *form.values())[2:]
    taken = [one["value"] if isinstance(one, dict) else one for one in shown[: len(form)]]
    assert tab.form.read(taken).dataset == recipe.dataset, "a preset without data leaves it as it is read"


def test_a_row_that_gives_nothing_says_why_and_a_wrong_column_is_named(tab, values, odd):
    form = chosen(tab, values, odd) | {GROUP + "prompt": "raw"}
    assert "No column is named to learn from" in tab.columns.show(*form.values())
    assert "has no column &#x27;spam&#x27;" in tab.columns.show(*(form | {GROUP + "answer": "spam"}).values())
    alert, _, _ = tab.start_run(*(form | {GROUP + "answer": "spam"}).values())
    assert 'data-field="f-dataset-columns-answer"' in alert and tab.page.store.list() == []


def test_columns_stay_with_data_that_has_them_and_go_with_data_that_has_not(tab, values, odd, tmp_path):
    form = chosen(tab, values, odd) | {GROUP + "prompt": "raw", GROUP + "answer": "note"}
    same, other = tmp_path / "same.csv", tmp_path / "other.jsonl"
    same.write_text("note,raw,more\n" + "a,b,c\n" * 12)
    other.write_text('{"instruction": "a", "output": "b"}\n' * 12)
    for file, kept in ((same, "raw"), (other, "")):
        id = import_file(file, tab.page.settings.data, file.name)
        after = filled(
            tab, tab.choose(("starter", odd, "lora"), "balanced", *(form | {"dataset": f"file/{id}"}).values())
        )
        assert after[GROUP + "prompt"] == kept


def test_what_was_said_of_one_dataset_is_there_when_it_is_chosen_again(tab, values, odd, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text('{"instruction": "a", "output": "b"}\n' * 12)
    other = f"file/{import_file(other, tab.page.settings.data, other.name)}"
    form = chosen(tab, values, odd) | {
        GROUP + "template": "About {raw}",
        GROUP + "answer": "note",
        HELD_OUT: "more.csv",
    }
    basis = ("starter", odd, "lora")
    for name in (other, "file/", "starter/helper", odd):
        shown = tab.choose(basis, "balanced", *(form | {"dataset": name}).values())
        form, basis = filled(tab, shown), shown[-1]
        said = {name: form[name] for name in (GROUP + "template", GROUP + "answer", HELD_OUT)}
        assert list(said.values()) == (["About {raw}", "note", "more.csv"] if name == odd else ["", "", ""])


# ---- measured with data of its own


def test_another_file_to_measure_with_is_offered_and_taken(tab, values, odd, tmp_path):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text("".join(f'{{"instruction": "a{i}", "output": "b"}}\n' for i in range(30)))
    second.write_text("".join(f'{{"instruction": "a{i}", "output": "b"}}\n' for i in range(25, 40)))
    ids = [import_file(file, tab.page.settings.data, file.name) for file in (first, second)]
    form = chosen(tab, values, f"file/{ids[0]}")
    place = tab.data_finder.outputs.index(tab.data_finder.held_out)
    offered = tab.data_finder.describe(*form.values())[place]
    assert offered["visible"] and ("", "") in offered["choices"] and ("b.jsonl", ids[1]) in offered["choices"]
    assert ids[0] not in [id for _, id in offered["choices"]]
    form |= {HELD_OUT: ids[1]}
    *_, line, _, command = tab.data_changed(("starter", f"file/{ids[0]}", "lora"), "balanced", *form.values())
    assert "30 rows: 25 to learn from, 15 held out, 5 left out" in line and f"dataset.held_out_from={ids[1]}" in command
    assert tab.form.read(list(form.values())).dataset.held_out_from == ids[1]
    assert not tab.data_finder.describe(*(form | {"dataset": "starter/helper", HELD_OUT: ""}).values())[place][
        "visible"
    ]


# ---- brought


def test_several_files_at_once_and_pasted_text(tab, values, tmp_path):
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl")]
    for file in files:
        file.write_text(f'{{"instruction": "{file.name}", "output": "b"}}\n' * 6)
    form = filled(
        tab, tab.take_upload(uploaded(tab, files), ("starter", "starter/helper", "lora"), None, *values.values())
    )
    assert "12 rows" in tab.data_words(tab.form.data_of(list(form.values())))
    suggested_for = ("starter", "starter/helper", "lora")
    form = filled(tab, tab.take_text("question,answer\nWhy?,So.\nWho?,Me.\n", suggested_for, None, *values.values()))
    assert form["dataset"].endswith("-pasted.txt") and "2 rows" in tab.data_words(tab.form.data_of(list(form.values())))
    with pytest.raises(gr.Error, match="There is no text yet"):
        tab.take_text(" ", ("starter", "starter/helper", "lora"), None, *values.values())


def test_what_lies_in_the_data_folder_is_in_the_list(tab):
    (tab.page.settings.data / "mine").mkdir(parents=True)
    (tab.page.settings.data / "mine" / "a.jsonl").write_text("{}")
    assert ("mine/a.jsonl", "file/mine/a.jsonl") in tab.form.data_choices()


def test_a_run_keeps_the_fingerprint_and_its_card_says_when_the_data_changed(tab, values):
    file = tab.page.settings.data / "mine.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"instruction": "a", "output": "b"}\n' * 12)
    form = chosen(tab, values, "file/mine.jsonl")
    alert, id, _ = tab.start_run(*form.values())
    run = tab.page.store.get(id)
    assert alert == "" and len(run.recipe().dataset.fingerprint) == 64
    assert tab.start_run(*form.values())[1] == id, "a double click is one wish"
    run.take("start")
    assert "has changed" not in tab.cards.poll({"run": id})["parts"]["head"]
    file.write_text('{"instruction": "a", "output": "c"}\n' * 12)
    tab.cards._picture.cache_clear()
    assert "mine.jsonl has changed since this run was started" in tab.cards.poll({"run": id})["parts"]["head"]


# ---- the Hub


def described(tab, form):
    names = ("search", "hub", "paste", "line", "subset", "split", "revision", "held_out", "get", "progress")
    return SimpleNamespace(**dict(zip(names, tab.data_finder.describe(*form.values()), strict=True)))


def test_the_search_and_the_place_to_paste_open_when_they_are_chosen(tab, values, hub, talk):
    assert [value for _, value in tab.form.data_choices()][-2:] == [SEARCH_DATA, PASTE]
    for value, seen in (("starter/helper", []), (SEARCH_DATA, ["search"]), (PASTE, ["paste"]), (HUB, ["hub"])):
        shown = described(tab, chosen(tab, values, value))
        assert [name for name in ("search", "hub", "paste") if getattr(shown, name).visible] == seen


def test_hits_are_buttons_and_what_is_picked_must_be_an_id(tab, hub, talk):
    hub.add(Repo("evil/talk", {}, kind="datasets", licence=EVIL))
    found = tab.data_finder.find("talk")
    assert (
        f'data-data="{ID}"' in found
        and "<img" not in found
        and "Nothing found" in tab.data_finder.find("no such thing")
    )
    assert tab.data_finder.pick(SimpleNamespace(_data={"data": ID}))["value"] == HUB
    for sent in ({"data": "../../etc"}, {"data": '"><script>'}, {}, None):
        with pytest.raises(gr.Error, match=r"Hub id|No data"):
            tab.data_finder.pick(SimpleNamespace(_data=sent))
    hub.status = 500
    assert 'role="alert"' in tab.data_finder.find("talk")


def test_subset_split_and_revision_are_chosen_from_what_the_hub_says(tab, values, hub, talk):
    form = chosen(tab, values, HUB)
    shown = described(tab, form)
    assert (shown.subset["value"], shown.split["value"], shown.revision["value"]) == ("default", "train", talk.commit)
    assert [name for name, _ in shown.split["choices"]] == ["train", "test"] and shown.get.visible
    assert shown.revision["choices"] == [(f"main ({talk.commit[:8]})", talk.commit)]
    assert (
        "2 files" in shown.line
        and "to download" in shown.line
        and "not on this machine yet" in tab.data_words(tab.form.data_of(list(form.values())))
    )
    wrong = described(tab, form | {"dataset.split": "all"})
    assert "has no split" in wrong.line and [name for name, _ in wrong.split["choices"]] == ["train", "test"]
    assert len([path for _, path, _ in hub.asked if path.startswith(f"/api/datasets/{ID}/refs")]) == 1, (
        "asked once, remembered"
    )


def test_downloaded_on_the_page_it_is_looked_at_like_a_file(tab, values, hub, talk):
    shown = described(tab, chosen(tab, values, HUB))
    form = chosen(tab, values, HUB) | {
        "dataset.subset": "default",
        "dataset.split": "train",
        "dataset.revision": shown.revision["value"],
    }
    assert list(tab.data_finder.fetch(*form.values()))[-1] == ""
    assert "30 rows: 27 to learn from, 3 held out" in tab.data_words(tab.form.data_of(list(form.values())))
    assert not described(tab, form).get.visible and (ID, HUB) in tab.form.data_choices()
    assert tab.columns.offer(*form.values())[1].count("<th ") == 2
    alert, id, _ = tab.start_run(*form.values())
    assert alert == "" and tab.page.store.get(id).recipe().dataset.revision == talk.commit


def test_data_that_is_not_here_starts_and_is_pinned_and_what_cannot_be_had_does_not(tab, values, hub, talk):
    form = chosen(tab, values, HUB)
    alert, id, _ = tab.start_run(*form.values())
    data = tab.page.store.get(id).recipe().dataset
    assert alert == "" and (data.revision, data.subset, data.split) == (talk.commit, "default", "train")
    assert not [name for name in hub.files_asked() if name.endswith(".parquet")], "the worker downloads it"
    alert, _, _ = tab.start_run(*(form | {"dataset.split": "all"}).values())
    assert "has no split" in alert and 'data-field="f-dataset-split"' in alert
    hub.repos.clear()
    assert "nothing called" in tab.start_run(*(form | {"dataset": "hub/no/such"}).values())[0]


def test_visitors_of_a_demonstration_see_no_rows_and_use_no_token(tab, values, hub, talk, odd, monkeypatch):
    form = chosen(tab, values, odd)
    monkeypatch.setattr(AppContext, "may_change", False)
    assert PRIVATE in tab.data_words(tab.form.data_of(list(form.values())))
    assert "It is 0" not in str(tab.columns.offer(*form.values()))
    hub.asked.clear()
    shown = described(tab, chosen(tab, values, HUB))
    assert not shown.get.visible and all("authorization" not in headers for _, _, headers in hub.asked)
    with pytest.raises(gr.Error, match="demonstration"):
        list(tab.data_finder.fetch(*form.values()))
