"""The page's side of data: bring some, find some on the Hub, say which column is what. Handlers as plain functions."""

import re
from types import SimpleNamespace

import gradio as gr
import pytest

from qlora_app import worker
from qlora_app.base_models import ModelChoice
from qlora_app.hardware import Machine
from qlora_app.hardware_fit import ENOUGH, fit
from qlora_app.jobs import Status
from qlora_app.recipe import Recipe
from qlora_app.settings import Settings
from qlora_app.training_data import DatasetChoice, import_file
from qlora_app.ui.context import PRIVATE, AppContext
from qlora_app.ui.train.data_words import promise_words, row_words
from qlora_app.ui.train.form_state import Suggested
from qlora_app.ui.train.form_values import COLUMNS, HELD_OUT, PASTE, SEARCH_DATA, data_value, read
from tests.conftest import train_tab
from tests.fixtures.handlers import given, on_form, settled
from tests.fixtures.hub import DATASET as ID
from tests.fixtures.jobs import write_status
from tests.hub_server import GOOD, Repo
from tests.refusing import refused

EVIL = "<img src=x onerror=alert(1)>"
HUB = f"hub/{ID}"


@pytest.fixture
def tab(tmp_path):
    return train_tab(
        Settings(home=tmp_path / "home", hub_token=GOOD),
        supervisor=SimpleNamespace(wake=lambda: None, moving=lambda: []),
    )


@pytest.fixture
def odd(tab, tmp_path):
    """A table whose columns nobody could know, as the form names it once it was uploaded."""
    file = tmp_path / "odd.csv"
    file.write_text("raw,note\n" + "".join(f"{EVIL} {i},It is {i}.\n" for i in range(30)))
    return data_value(DatasetChoice(source="file", id=import_file(file, tab.page.settings.data, file.name)))


def chosen(tab, values, name, **before):
    """The form after other data was chosen."""
    values = values | {"dataset": name}
    return on_form(tab, values, tab.form.choose(given(tab, values, **before)))


def uploaded(tab, values, files, effort="balanced"):
    """The form after files were uploaded and the reading is done."""
    last = tab.importer.take({tab.upload: [str(file) for file in files]})
    assert last[tab.importer.line] == ""
    answer = tab.take_import(given(tab, values, effort) | {tab.importer.brought: last[tab.importer.brought]})
    return on_form(tab, values, answer)


def words_of(tab, form):
    """The line under the data."""
    return tab.form.choose(given(tab, form, dataset=form["dataset"]))[tab.form.data.line]


def waits(tab, form):
    """What Start waits for."""
    return tab.form.choose(given(tab, form, dataset=form["dataset"]))[tab.form.waits]


def meant(tab, form, column, role):
    """The form after the head of a column said what it is."""
    sent = SimpleNamespace(_data={"column": column, "is": role})
    return on_form(tab, form, tab.columns.mean(given(tab, form), sent))


def preview(tab, form):
    """The first rows as they would be learned."""
    return tab.columns.show(given(tab, form))[tab.columns.preview]


def started(tab, form):
    """(what is wrong, the run that is shown) after Start."""
    answer = tab.start.start_run(given(tab, form))
    return answer[tab.mistakes.alert], answer.get(tab.card)


# ---- columns


def test_a_file_that_asks_is_kept_chosen_and_opens_the_columns(tab, values, tmp_path):
    file = tmp_path / "odd.csv"
    file.write_text("raw,note\n" + "".join(f"{i},It is {i}.\n" for i in range(30)))
    form = uploaded(tab, values, [file])
    assert form["dataset"].endswith("-odd.csv")
    columns = tab.columns
    offered = columns.offer(given(tab, form))
    assert offered[columns.fold].open and '<span class="column" translate="no">raw</span>' in offered[columns.table]
    assert offered[columns.preview] == ""
    names = [choice for choice, _ in offered[columns.lists[COLUMNS + "prompt"]]["choices"]]
    assert names == ["", "raw", "note"]
    said = words_of(tab, form)
    assert "Columns of your data" in said and "dataset.columns" not in said
    assert "Choose" not in waits(tab, form) and "how the data is to be learned" in waits(tab, form)


def test_the_preview_is_what_is_learned_and_the_choice_is_the_recipe_s(tab, values, odd):
    form = chosen(tab, values, odd) | {COLUMNS + "template": "About {raw}\nplease", COLUMNS + "answer": "note"}
    shown = preview(tab, form)
    assert shown.count("<dl") == 3 and "<mark>It is 0.</mark>" in shown and "please" in shown
    assert "<img" not in shown and "<img" not in tab.columns.offer(given(tab, form))[tab.columns.table]
    recipe = read(form)
    assert recipe.dataset.columns.given == {"template": "About {raw}\nplease", "answer": "note"}
    answer = tab.form.read_anew(given(tab, form, dataset=odd))
    assert answer.keys() <= set(tab.form.read_anew_outputs), "or nothing of it comes to the page"
    epochs = on_form(tab, form, answer)["training.epochs"]
    assert epochs > 2 and "27 rows to learn from · 3 held out" in answer[tab.form.data.line]
    assert "dataset.columns.answer=note" in settled(tab, form, dataset=odd)["command"]
    assert not tab.columns.asks(recipe.dataset)
    quick = on_form(tab, form, tab.form.set_effort(given(tab, form, "quick", dataset=odd)))
    assert 0 < quick["training.epochs"] < epochs
    answer = tab.models.take(
        given(tab, form, dataset=odd) | {tab.model_card.brought: ""},
        SimpleNamespace(_data={"row": "model:Qwen/Qwen3-0.6B"}),
    )
    taken = on_form(tab, form, answer)
    assert read(taken).dataset == recipe.dataset, "a preset without data leaves it as it is read"


def test_a_row_that_gives_nothing_says_why_and_a_wrong_column_is_named(tab, values, odd):
    form = chosen(tab, values, odd) | {COLUMNS + "prompt": "raw"}
    assert "No column is named to learn from" in preview(tab, form)
    assert "has no column &#x27;spam&#x27;" in preview(tab, form | {COLUMNS + "answer": "spam"})
    alert, _ = started(tab, form | {COLUMNS + "answer": "spam"})
    assert 'data-field="f-dataset-columns-answer"' in alert and tab.page.store.list() == []


def test_columns_stay_with_data_that_has_them_and_go_with_data_that_has_not(tab, values, odd, tmp_path):
    form = chosen(tab, values, odd) | {COLUMNS + "prompt": "raw", COLUMNS + "answer": "note"}
    same, other = tmp_path / "same.csv", tmp_path / "other.jsonl"
    same.write_text("note,raw,more\n" + "a,b,c\n" * 12)
    other.write_text('{"instruction": "a", "output": "b"}\n' * 12)
    for file, kept in ((same, "raw"), (other, "")):
        id = import_file(file, tab.page.settings.data, file.name)
        after = chosen(tab, form, f"file/{id}", dataset=odd)
        assert after[COLUMNS + "prompt"] == kept


def test_what_was_said_of_one_dataset_is_there_when_it_is_chosen_again(tab, values, odd, tmp_path):
    other = tmp_path / "other.jsonl"
    other.write_text('{"instruction": "a", "output": "b"}\n' * 12)
    other = f"file/{import_file(other, tab.page.settings.data, other.name)}"
    form = chosen(tab, values, odd) | {
        COLUMNS + "template": "About {raw}",
        COLUMNS + "answer": "note",
        HELD_OUT: "more.csv",
    }
    before, answers = odd, {}
    for name in (other, "file/", "starter/helper", odd):
        form = form | {"dataset": name}
        answer = tab.form.choose(given(tab, form, dataset=before, answers=answers))
        form, before = on_form(tab, form, answer), name
        answers = Suggested.from_json(answer[tab.form.suggested]).answers
        said = {name: form[name] for name in (COLUMNS + "template", COLUMNS + "answer", HELD_OUT)}
        assert list(said.values()) == (["About {raw}", "note", "more.csv"] if name == odd else ["", "", ""])


def test_the_heads_of_the_table_are_the_form(tab, values, odd):
    form = chosen(tab, values, odd)
    form = meant(tab, meant(tab, form, "raw", "prompt"), "note", "answer")
    assert read(form).dataset.columns.given == {"prompt": "raw", "answer": "note"}
    table = tab.columns.offer(given(tab, form))[tab.columns.table]
    assert 'data-column="raw" data-is="prompt"' in table and '<option value="answer" selected>' in table
    form = meant(tab, form, "note", "label")
    assert read(form).dataset.columns.given == {"prompt": "raw", "label": "note"}, "one of the two is learned"
    form = meant(tab, form, "raw", "label")
    assert read(form).dataset.columns.given == {"label": "raw"}, "a column is one thing, a thing one column"
    assert read(meant(tab, form, "raw", "")).dataset.columns.given == {}
    for column, role in (("spam", "prompt"), ("raw", "template"), ("raw", EVIL)):
        with refused("columns.no_such", kind=gr.Error):
            meant(tab, form, column, role)


def test_thirty_columns_and_rows_that_an_app_wrote_first(tab, values, tmp_path):
    file, names = tmp_path / "wide.csv", [f"c{i}" for i in range(30)]
    full = ",".join(f"text {i}" for i in range(30))
    file.write_text(",".join(names) + "\n" + f"App 3.1{',' * 29}\n" + f"{full}\n" * 20)
    form = chosen(tab, values, f"file/{import_file(file, tab.page.settings.data, file.name)}")
    table = tab.columns.offer(given(tab, form))[tab.columns.table]
    assert table.count("<select") == 30 and "text 29" in table and "App 3.1" not in table


# ---- measured with data of its own


def test_another_file_to_measure_with_is_offered_and_taken(tab, values, odd, tmp_path):
    first, second = tmp_path / "a.jsonl", tmp_path / "b.jsonl"
    first.write_text("".join(f'{{"instruction": "a{i}", "output": "b"}}\n' for i in range(30)))
    second.write_text("".join(f'{{"instruction": "a{i}", "output": "b"}}\n' for i in range(25, 40)))
    ids = [import_file(file, tab.page.settings.data, file.name) for file in (first, second)]
    form = chosen(tab, values, f"file/{ids[0]}")
    offered = described(tab, form).held_out
    assert offered["visible"] and ("", "") in offered["choices"] and ("b.jsonl", ids[1]) in offered["choices"]
    assert ids[0] not in [id for _, id in offered["choices"]]
    form |= {HELD_OUT: ids[1]}
    before = {"dataset": f"file/{ids[0]}"}
    line = tab.form.read_anew(given(tab, form, **before))[tab.form.data.line]
    assert "25 rows to learn from · 15 held out · 5 left out" in line
    assert f"dataset.held_out_from={ids[1]}" in settled(tab, form, **before)["command"]
    assert read(form).dataset.held_out_from == ids[1]
    assert not described(tab, form | {"dataset": "starter/helper", HELD_OUT: ""}).held_out["visible"]


# ---- brought


def test_several_files_at_once_and_pasted_text(tab, values, tmp_path):
    files = [tmp_path / name for name in ("a.jsonl", "b.jsonl")]
    for file in files:
        file.write_text(f'{{"instruction": "{file.name}", "output": "b"}}\n' * 6)
    assert "6 rows to learn from · 6 held out" in words_of(tab, uploaded(tab, values, files, effort=None))

    def pasted(text):
        return tab.data_finder.take_text(given(tab, values, None) | {tab.data_finder.text: text})

    form = on_form(tab, values, pasted("question,answer\nWhy?,So.\nWho?,Me.\n"))
    assert form["dataset"].endswith("-pasted.txt") and "2 rows to learn from" in words_of(tab, form)
    said = pasted(" ")
    assert list(said) == [tab.data_finder.said] and "There is no text yet" in said[tab.data_finder.said]
    assert "cut off" in pasted('[{"instruction": "a"')[tab.data_finder.said], "it stays until there is other data"


def test_other_rows_are_looked_at_without_a_tokenizer(tab, values, odd):
    form = chosen(tab, values, odd) | {COLUMNS + "prompt": "raw", COLUMNS + "answer": "note"}

    def look(at):
        return tab.data_face.look(given(tab, form), SimpleNamespace(_data={"at": at}))[tab.form.data.line]

    assert "Rows 4 to 6 of 27" in look("3") and "<img" not in look("3")
    assert look("3").count("<dl") == 3 and look("longest").count("<dl") == 1
    assert "Rows 25 to 27 of 27" in look("24") and "Row 27 of 27" in look("999")
    for sent in ("-1", "x", "", "9" * 30):
        with refused("dataset.no_such_example", kind=gr.Error):
            look(sent)


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ('{"instruction": "a%d", "output": "b"}\n', "it answers the way your rows do"),
        ('{"text": "Once upon a time there was a number, %d."}\n', "it goes on writing the way your texts do"),
    ],
)
def test_what_will_be_is_said_of_own_data(tab, values, tmp_path, rows, said):
    file = tmp_path / "rows.jsonl"
    file.write_text("".join(rows % i for i in range(30)))
    form = chosen(tab, values, f"file/{import_file(file, tab.page.settings.data, file.name)}")
    promise = tab.form.settle(given(tab, form))[tab.form.data.promise]
    assert re.search(r"After (about )?\d+ steps", promise) and said in promise
    own_end = given(tab, form | {"training.max_steps": 9})
    assert f"When it is done {said}" in tab.form.settle(own_end)[tab.form.data.promise]


@pytest.mark.parametrize(
    ("base", "task", "is_story_teller"),
    [
        (ModelChoice(), "chat", True),
        (ModelChoice(source="hub", id="someone/chat-model"), "chat", False),
        (ModelChoice(), "text", False),
    ],
)
def test_only_the_starter_is_said_to_tell_stories_until_it_has_learned(base, task, is_story_teller):
    said = promise_words(Recipe(base_model=base), task, "2 min")
    assert ("instead of going on telling a story" in said) == is_story_teller


def test_turns_that_are_not_shown_are_counted():
    turns = [{"role": ("user", "assistant")[i % 2], "content": f"turn {i}"} for i in range(8)]
    assert "2 more turns" in row_words(turns) and "turn 6" not in row_words(turns)
    assert "more turn" not in row_words(turns[:6]) and "1 more turn<" in row_words(turns[:7])


def test_a_first_visit_shows_rows_and_what_will_be(tab):
    face, card = tab.form.data.line.value, tab.form.data.card.value
    assert "4,183 rows to learn from · 308 held out" in face and "308 held out" in card
    assert face.count("<mark>") >= 4 and "Can teach" not in face
    assert "about 2 min it answers these questions instead of going on telling a story" in tab.form.data.promise.value


# ---- asked


ASKED = '{"query": "Where is city %d?", "replies": ["In land %d.", "No idea."]}\n'


def asked_file(tab, tmp_path):
    file = tmp_path / "asked.jsonl"
    file.write_text("".join(ASKED % (i, i) for i in range(30)))
    return data_value(DatasetChoice(source="file", id=import_file(file, tab.page.settings.data, file.name)))


def answered(tab, form, answer):
    """The form after a click on a guess."""
    taken = tab.asking.take(given(tab, form, dataset=form["dataset"]), SimpleNamespace(_data={"answer": answer}))
    return on_form(tab, form, taken)


def test_a_file_that_asks_holds_guesses_and_a_click_on_one_starts_a_training(tab, values, tmp_path):
    form = chosen(tab, values, asked_file(tab, tmp_path))
    waiting = tab.form.choose(given(tab, form, dataset=form["dataset"]))
    assert not waiting[tab.form.start].interactive and "under Data" in waiting[tab.form.waits]
    words = tab.asking.offer(given(tab, form))[tab.asking.panel]
    assert '<b translate="no">query</b> <span>asks</span>' in words and "In land 0." in words
    assert words.count("data-answer") == 3 and "replies[each]" in words
    after = answered(tab, form, "1")
    assert read(after).dataset.columns.given == {"prompt": "query", "answer": "replies[each]"}
    anew = tab.form.read_anew(given(tab, after, dataset=form["dataset"]))
    assert anew[tab.form.start].interactive and "54 rows to learn from" in anew[tab.form.data.line]
    assert tab.asking.offer(given(tab, after))[tab.asking.panel] == ""
    alert, run = started(tab, after)
    assert alert == "" and run
    names = [name for name, _ in tab.columns.offer(given(tab, after))[tab.columns.lists[COLUMNS + "answer"]]["choices"]]
    assert names == ["", "query", "replies", "replies[first]", "replies[each]", "replies[joined]"]


@pytest.mark.slow
@pytest.mark.parametrize("answer", ["9", "-1", "", "delimiter=;", "id=x", "columns=a", "query"])
def test_only_what_was_offered_can_be_taken(tab, values, tmp_path, answer):
    form = chosen(tab, values, asked_file(tab, tmp_path))
    with refused("dataset.no_such_guess", kind=gr.Error):
        answered(tab, form, answer)


def test_what_was_answered_of_a_file_is_there_when_it_comes_back(tab, values, tmp_path):
    form = answered(tab, chosen(tab, values, asked_file(tab, tmp_path)), "0") | {"dataset.delimiter": ";"}
    basis = given(tab, form | {"dataset": "starter/orders"}, dataset=form["dataset"])
    answer = tab.form.choose(basis)
    other = on_form(tab, form | {"dataset": "starter/orders"}, answer)
    assert other[COLUMNS + "answer"] == "" and other["dataset.delimiter"] == "auto"
    answers = Suggested.from_json(answer[tab.form.suggested]).answers
    back = chosen(tab, other, form["dataset"], dataset="starter/orders", answers=answers)
    assert (back[COLUMNS + "answer"], back["dataset.delimiter"]) == ("replies[first]", ";")


def test_what_lies_in_the_data_folder_is_in_the_list(tab):
    (tab.page.settings.data / "mine").mkdir(parents=True)
    (tab.page.settings.data / "mine" / "a.jsonl").write_text("{}")
    assert ("mine/a.jsonl", "file/mine/a.jsonl") in tab.controls.data_choices()


def test_a_run_keeps_the_fingerprint_and_its_card_says_when_the_data_changed(tab, values):
    file = tab.page.settings.data / "mine.jsonl"
    file.parent.mkdir(parents=True)
    file.write_text('{"instruction": "a", "output": "b"}\n' * 12)
    form = chosen(tab, values, "file/mine.jsonl")
    alert, id = started(tab, form)
    run = tab.page.store.get(id)
    assert alert == "" and len(run.recipe().dataset.fingerprint) == 64
    assert started(tab, form)[1] == id, "a double click is one wish"
    run.take("start")
    assert "has changed" not in tab.cards.poll({"run": id})["parts"]["head"]
    file.write_text('{"instruction": "a", "output": "c"}\n' * 12)
    tab.cards._picture.cache_clear()
    assert "mine.jsonl has changed since this run was started" in tab.cards.poll({"run": id})["parts"]["head"]


# ---- the Hub


def described(tab, form):
    finder = tab.data_finder
    answer = finder.describe(given(tab, form))
    named = {name: finder.lists.get(f"dataset.{name}") for name in ("subset", "split", "revision")}
    named |= {"search": finder.panel, "hub": finder.chosen, "paste": finder.bringing, "line": finder.line}
    named |= {"held_out": finder.held_out, "get": finder.get}
    return SimpleNamespace(**{name: answer.get(one) for name, one in named.items()})


def test_the_search_and_the_place_to_paste_open_when_they_are_chosen(tab, values, hub, talk):
    assert [value for _, value in tab.controls.data_choices()][-2:] == [SEARCH_DATA, PASTE]
    for value, seen in (("starter/helper", []), (SEARCH_DATA, ["search"]), (PASTE, ["paste"]), (HUB, ["hub"])):
        shown = described(tab, chosen(tab, values, value))
        assert [name for name in ("search", "hub", "paste") if getattr(shown, name).visible] == seen


def test_hits_are_buttons_and_what_is_picked_must_be_an_id(tab, hub, talk):
    hub.add(Repo("evil/talk", {}, kind="datasets", licence=EVIL))
    finder = tab.data_finder

    def find(words):
        return finder.find({finder.words: words})[finder.hits]

    found = find("talk")
    assert f'data-data="{ID}"' in found and "<img" not in found and "Nothing found" in find("no such thing")
    picked = finder.pick(SimpleNamespace(_data={"data": ID}))
    assert picked[tab.controls.controls["dataset"]]["value"] == HUB
    for sent in ({"data": "../../etc"}, {"data": '"><script>'}):
        with refused("hub.no_id", kind=gr.Error):
            finder.pick(SimpleNamespace(_data=sent))
    for sent in ({}, None):
        with refused("dataset.none_chosen", kind=gr.Error):
            finder.pick(SimpleNamespace(_data=sent))
    hub.status = 500
    assert 'role="alert"' in find("talk")


def test_subset_split_and_revision_are_chosen_from_what_the_hub_says(tab, values, hub, talk):
    form = chosen(tab, values, HUB)
    shown = described(tab, form)
    assert (shown.subset["value"], shown.split["value"], shown.revision["value"]) == ("default", "train", talk.commit)
    assert [name for name, _ in shown.split["choices"]] == ["train", "test"] and shown.get.visible
    assert shown.revision["choices"] == [(f"main ({talk.commit[:8]})", talk.commit)]
    assert "2 files" in shown.line and "to download" in shown.line and "not on this machine yet" in words_of(tab, form)
    wrong = described(tab, form | {"dataset.split": "all"})
    assert "has no split" in wrong.line and [name for name, _ in wrong.split["choices"]] == ["train", "test"]
    assert len([path for _, path, _ in hub.asked if path.startswith(f"/api/datasets/{ID}/refs")]) == 1, (
        "asked once, remembered"
    )


def test_downloaded_on_the_page_it_is_looked_at_like_a_file(tab, values, hub, talk, monkeypatch):
    shown = described(tab, chosen(tab, values, HUB))
    form = chosen(tab, values, HUB) | {
        "dataset.subset": "default",
        "dataset.split": "train",
        "dataset.revision": shown.revision["value"],
    }
    finder = tab.data_finder
    monkeypatch.setenv("QLORA_APP_HOME", str(tab.page.settings.home))
    address = finder.fetch(given(tab, form))[finder.progress]
    assert finder.shown() == {finder.progress: address}, "there again after a reload"
    assert finder.fetch(given(tab, form)) == {finder.progress: address}, "one download is enough"
    job = tab.page.jobs.get(address)
    job.take("start")
    write_status(job, Status("failed", sentence="The Hub does not answer."))
    assert finder.shown() == {finder.progress: address}, "one that failed too"
    assert "Dismiss" in finder.job.poll({"job": address})["html"]
    assert worker.main(tab.page.jobs.get(address).folder) == 0
    assert finder.job.poll({"job": address})["state"] == "done" and finder.shown() == {finder.progress: ""}
    assert finder.fetched(SimpleNamespace(_data={"job": address})) == {finder.progress: ""}
    assert "27 rows to learn from · 3 held out" in words_of(tab, form)
    assert not described(tab, form).get.visible and (ID, HUB) in tab.controls.data_choices()
    assert tab.columns.offer(given(tab, form))[tab.columns.table].count("<th ") == 2
    alert, id = started(tab, form)
    assert alert == "" and tab.page.store.get(id).recipe().dataset.revision == talk.commit


def test_data_that_is_not_here_starts_and_is_pinned_and_what_cannot_be_had_does_not(tab, values, hub, talk):
    form = chosen(tab, values, HUB)
    alert, id = started(tab, form)
    data = tab.page.store.get(id).recipe().dataset
    assert alert == "" and (data.revision, data.subset, data.split) == (talk.commit, "default", "train")
    assert not [name for name in hub.files_asked() if name.endswith(".parquet")], "the worker downloads it"
    alert, _ = started(tab, form | {"dataset.split": "all"})
    assert "has no split" in alert and 'data-field="f-dataset-split"' in alert
    hub.repos.clear()
    assert "nothing called" in started(tab, form | {"dataset": "hub/no/such"})[0]


def test_visitors_of_a_demonstration_see_no_rows_and_use_no_token(tab, values, hub, talk, odd, monkeypatch):
    form = chosen(tab, values, odd)
    monkeypatch.setattr(AppContext, "may_change", False)
    assert PRIVATE in words_of(tab, form)
    assert "It is 0" not in str(tab.columns.offer(given(tab, form)))
    hub.asked.clear()
    shown = described(tab, chosen(tab, values, HUB))
    assert not shown.get.visible and all("authorization" not in headers for _, _, headers in hub.asked)
    with refused("page.demonstration", kind=gr.Error):
        tab.data_finder.fetch(given(tab, form))


def test_leaving_the_list_of_data_turns_no_face(tab):
    """A dropdown says `input` when it is left, too: the stage went back from a run that had just begun."""
    block = tab.upload
    while block.parent is not None:
        block = block.parent
    left = (tab.controls.controls["dataset"]._id, "input")
    answers = [event.outputs for event in block.fns.values() if left in event.targets]
    assert answers and not any(tab.stage.tabs in outputs for outputs in answers)


def test_several_gpus_are_offered_and_taken_in_one_click_and_offered_no_more(tab, values, monkeypatch):
    monkeypatch.setattr("qlora_app.hardware.here", lambda: Machine("cuda", 24 * 2**30, 24 * 2**30, devices=2))
    assert "data-row" not in tab.model_card.words_about(values), "the starter is trained before two would have loaded"
    values = values | {"base_model": "huggyllama/llama-7b"}
    assert 'data-row="plan:parallel"' in tab.model_card.words_about(values, asks=False)
    form, inside, click = tab.form, {tab.model_card.brought: ""}, SimpleNamespace(_data={"row": "plan:parallel"})
    taken = tab.models.take(given(tab, values) | inside, click)
    controls = form.controls.controls
    assert taken[controls["launch.processes"]] == 2 and controls["launch.share"] not in taken, "all else stays"
    assert set(taken) <= {tab.model_card.card, tab.model_card.said, *form.outputs}
    assert "plan:" not in taken[tab.model_card.card]
    again = tab.models.take(given(tab, values | {"launch.processes": 2}) | inside, click)
    assert set(again) == {tab.model_card.card}


@pytest.mark.parametrize("id", ["huggyllama/llama-65b", "Qwen/Qwen3-32B"])
def test_each_way_that_is_offered_comes_onto_the_form_and_fits_there(tab, values, id, monkeypatch):
    """Also where a person set something by hand, which stays."""
    machine = Machine("cuda", 24 * 2**30, 23 * 2**30, 2, 256 * 2**30)
    monkeypatch.setattr("qlora_app.hardware.here", lambda: machine)
    inside = {tab.model_card.brought: ""}
    picked = SimpleNamespace(_data={"row": f"model:{id}"})
    values = on_form(tab, values, tab.models.take(given(tab, values) | inside, picked))
    values |= {"training.seed": 41, "training.batch_size": 4}
    before, found = read(values), tab.model_card.plan(values)
    assert {offer.key for offer in found.offers} >= {"divided", "base"}
    for offer in found.offers:
        asked = given(tab, values) | inside
        taken = tab.models.take(asked, SimpleNamespace(_data={"row": f"plan:{offer.key}"}))
        now = read(on_form(tab, values, taken))
        assert now == offer.recipe and now.training.seed == 41 and now.training.batch_size == 4
        assert now.dataset == before.dataset and fit(now, machine)[0] in ENOUGH
        assert 'class="fit too-large"' not in taken[tab.model_card.card]
