"""The form and the recipe say the same: every control changes something, and what is shown is what is read."""

import html
import json
import re
import subprocess
from types import SimpleNamespace

import pytest

from qlora_app import hardware, worker
from qlora_app import hardware_fit as fitting
from qlora_app.base_models import ModelChoice
from qlora_app.choices import (
    is_recorded,
    iter_settings,
    options,
    variant_of,
)
from qlora_app.cli.commands import _parse
from qlora_app.errors import UserError
from qlora_app.methods import METHODS
from qlora_app.overrides import recipe_from
from qlora_app.place import USED_AT
from qlora_app.preflight import check
from qlora_app.presets import Presets, suggested
from qlora_app.recipe import EFFORTS, Recipe
from qlora_app.settings import Settings
from qlora_app.training_data import DatasetChoice, import_file
from qlora_app.ui.train.form_values import METHOD, NAMES, PASTE, data_value, read, show, value_of
from tests.conftest import train_tab
from tests.fixtures.handlers import another, given, on_form, seen, settled
from tests.refusing import refused

TOGETHER = ("launch.processes", "launch.share")


@pytest.fixture
def model_folder(tmp_path):
    folder = tmp_path / "models" / "tiny"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps({"architectures": ["LlamaForCausalLM"]}))
    for name in ("model.safetensors", "tokenizer.json"):
        (folder / name).touch()
    return folder


@pytest.fixture
def tab(tmp_path, model_folder):
    return train_tab(Settings(home=tmp_path))


def test_every_control_changes_the_recipe(values, model_folder):
    for name, value in values.items():
        kind = variant_of(name)
        there = values | ({METHOD: kind, "base_model.precision": "nf4" if kind == "lora" else "bf16"} if kind else {})
        there |= {"training.price_an_hour": 1.0} if name == "training.max_cost" else {}
        used_at = USED_AT.get(name.removeprefix("launch."), ()) if name.startswith("launch.") else ()
        there |= {"launch.where": used_at[0]} if used_at else {}
        there |= {"launch.where": "slurm", "training.batch_size": 12} if name in TOGETHER else {}  # not here
        there |= {"launch.processes": 2} if name == "launch.share" else {}
        changed = there | {name: another(name, value, model_folder)}
        if name == "reporting.report_to":
            with refused("recipe.wrong_settings", "reporting.not_installed"):
                read(changed)
            continue
        assert read(changed) != read(there), f"{name} changes nothing"


def test_every_setting_has_its_control(tab):
    shown = set(tab.controls.controls)
    assert shown == set(NAMES)
    for name, field in iter_settings(Recipe):
        if is_recorded(field):
            continue
        pair = name.rpartition(".")[0] if name.endswith((".source", ".id")) else name
        assert name in shown or pair in shown or len(options(field) or ()) == 1, f"{name} cannot be set on the page"
    assert all(control.interactive for control in tab.controls.controls.values())


def test_what_is_typed_into_another_method_stays_there(tab, values):
    typed = values | {METHOD: "ia3", "method[lora].rank": 0, "method[ia3].unlikelihood": 2}
    recipe = read(typed)
    assert (recipe.method.name, recipe.method.unlikelihood) == ("ia3", 2), (
        "a mistake in settings of another method is none"
    )
    form = settled(tab, typed | {"dataset": "starter/orders"})
    assert (form[METHOD], form["method[lora].rank"], form["method[ia3].unlikelihood"]) == ("ia3", 0, 2)
    assert "Unlikelihood" in form.pop("own") and "Rank" not in form.pop("command")
    with pytest.raises(UserError) as caught:
        read(form | {METHOD: "lora"})
    assert set(caught.value.problems) == {"method[lora].rank"}


def test_every_effort_sets_the_epochs(tab, values):
    all_epochs = {
        on_form(tab, values, tab.form.set_effort(given(tab, values, one)))["training.epochs"] for one in EFFORTS
    }
    assert len(all_epochs) == len(EFFORTS)
    for epochs in all_epochs:
        assert read(values | {"training.epochs": epochs}).training.epochs == epochs


@pytest.mark.parametrize("name", [n for n in Presets().names() if Presets().load(n).base_model.source == "starter"])
def test_what_is_shown_is_what_is_read(name):
    recipe = Presets().load(name)
    assert read(show(recipe)) == recipe


def test_numbers_lines_and_blanks_are_read_as_meant(values):
    typed = values | {
        "training.max_steps": 12.0,
        "training.sample_questions": " Who is Mira?\n\nHello! \n",
        "name": "  my run ",
    }
    recipe = read(typed)
    assert recipe.training.max_steps == 12
    assert recipe.training.sample_questions == ["Who is Mira?", "Hello!"]
    assert recipe.name == "my run"


def test_every_mistake_is_named_at_its_control(values):
    typed = values | {"method[lora].rank": 0, "training.learning_rate": None, "training.batch_size": 2.5}
    with pytest.raises(UserError) as caught:
        read(typed)
    assert set(caught.value.problems) == {"method[lora].rank", "training.learning_rate", "training.batch_size"}
    assert "needs a number" in caught.value.problems["training.learning_rate"]


@pytest.mark.daily(2)
@pytest.mark.parametrize("typed", ["/nowhere/at/all", "", "~/no/such/model"])
def test_a_wrong_model_is_named_at_the_model(values, typed):
    with pytest.raises(UserError) as caught:
        read(values | {"base_model": typed})
    assert set(caught.value.problems) == {"base_model"}


def test_other_data_brings_its_settings(tab, values):
    form = settled(tab, values | {"dataset": "starter/orders"})
    advice = suggested(Presets().load("orders").base_model, Presets().load("orders").dataset)
    others = [name for name in values if name not in ("training.epochs", "name")]
    assert {name: form[name] for name in others} == {name: value_of(advice, name) for name in others}


def test_other_data_keeps_what_was_changed_by_hand_and_says_so(tab, values):
    typed = {"dataset": "starter/orders", "training.learning_rate": 0.5, "method[lora].rank": 3}
    form = settled(tab, values | typed)
    assert (form["training.learning_rate"], form["method[lora].rank"]) == (0.5, 3)
    own = re.sub("<[^>]+>", "", form["own"])
    assert "Learning rate 0.5" in own and "Rank 3" in own


def test_own_settings_are_named_in_the_order_in_which_they_stand_on_the_page(tab, values):
    own = {"training.max_steps": 24, "method[lora].rank": 2, "training.checkpoints": 1}
    filled = tab.form.filled(read(values | own))[tab.form.own]
    assert filled == settled(tab, values | own)["own"]
    assert re.findall('data-back="(.*?)"', filled) == list(own)


def test_another_model_is_not_trained_with_the_settings_of_the_tiny_one(tab, values, model_folder):
    answer = tab.form.settle(given(tab, values | {"base_model": str(model_folder)}))
    assert on_form(tab, values, answer)["training.learning_rate"] == Recipe().training.learning_rate
    assert "known after the first run" in answer[tab.form.effort_note]


def changed_method(tab, values, before):
    """(learning rate on the form, what is said to be one's own) after the method was changed to what `values` says."""
    form = settled(tab, values, method=before)
    assert f"method.name={values['method.name']}" in form["command"] or values["method.name"] == "lora"
    return form["training.learning_rate"], re.sub("<[^>]+>", "", form["own"])


def test_another_method_brings_its_learning_rate_and_the_first_one_takes_its_own_back(tab, values):
    rate, own = changed_method(tab, values | {"method.name": "ia3"}, "lora")
    assert (
        rate == pytest.approx(values["training.learning_rate"] * 3e-3 / 2e-4)
        and own == "Method (IA)3Set back:Method✕Reset"
    )
    with_rate = values | {"training.learning_rate": rate}
    form = settled(tab, with_rate | {"method.name": "ia3"}, method="ia3")
    assert form["training.learning_rate"] == rate, "other data leave it alone"
    assert changed_method(tab, with_rate, "ia3")[0] == values["training.learning_rate"]


@pytest.mark.parametrize("typed", [0.5, 3e-2])
def test_a_learning_rate_that_was_typed_stays_whatever_method_is_chosen(tab, values, typed):
    """Also one that another method would have brought."""
    values = values | {"training.learning_rate": typed, "method.name": "vera"}
    rate, own = changed_method(tab, values, "lora")
    assert rate == typed and f"Learning rate {typed}" in own
    assert changed_method(tab, values | {"method.name": "prompt"}, "vera")[0] == typed


@pytest.mark.parametrize(
    ("rows", "told"),
    [
        (30, {"24 steps", "72 steps", "143 steps"}),
        (3, {"50 steps"}),
    ],
)
def test_with_few_rows_the_efforts_say_what_differs(tab, values, rows, told, tmp_path):
    file = tmp_path / "few.jsonl"
    file.write_text("".join(f'{{"question": "{i}?", "answer": "{i}."}}\n' for i in range(rows)))
    data = data_value(DatasetChoice(source="file", id=import_file(file, tab.page.settings.data, file.name)))
    answer = tab.form.choose(given(tab, values | {"dataset": data}))
    labels = {words.partition("\n")[2] for words, _ in answer[tab.form.effort]["choices"]}
    assert labels == told
    assert "With so few rows all three" in answer[tab.form.effort_note]


def test_back_to_suggested_forgets_own_settings(tab, values):
    typed = values | {"method[lora].rank": 3}
    assert on_form(tab, typed, tab.form.back_to_suggested(given(tab, typed))) == values


def imported(tab, files):
    """(what is said, id) once files are taken in."""
    answer = tab.importer.take({tab.upload: files})
    return answer[tab.importer.line], answer[tab.importer.brought]


def test_an_upload_is_checked_chosen_and_described(tab, values, tmp_path):
    file = tmp_path / "mine.jsonl"
    file.write_text(
        "".join(json.dumps({"instruction": f"Question {i}?", "output": f"<b>Answer</b> {i}"}) + "\n" for i in range(96))
    )
    assert imported(tab, []) == ("", None)
    line, brought = imported(tab, [str(file)])
    answer = tab.take_import(given(tab, values) | {tab.importer.brought: brought})
    data = on_form(tab, values, answer)["dataset"]
    assert line == "" and data.startswith("file/") and data.endswith("mine.jsonl")
    words = answer[tab.form.data.line]
    assert "86 rows to learn from · 10 held out<" in words and "Alpaca, because rows have <code" in words
    assert "&lt;b&gt;Answer&lt;/b&gt;" in words and "<b>Answer" not in words


def test_a_file_that_is_refused_stays_said_and_no_data_is_chosen_in_its_place(tab, values, tmp_path):
    file = tmp_path / "<b>picture.jsonl"
    file.write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(100))
    line, brought = imported(tab, str(file))
    assert 'role="alert"' in line and "picture" in line and "<b>picture" not in line and brought.id == ""
    answer = tab.take_import(given(tab, values) | {tab.importer.brought: brought})
    form = on_form(tab, values, answer)
    assert form["dataset"] == PASTE and not answer[tab.form.start].interactive
    assert "this file cannot be learned from" in answer[tab.form.waits]
    assert "&lt;b&gt;picture.jsonl" in answer[tab.form.data.card] and "was not taken" in answer[tab.form.data.card]
    assert answer[tab.form.data.promise] == ""
    settled = tab.form.settle(given(tab, form, dataset=PASTE))
    assert settled[tab.form.controls.controls["name"]]["placeholder"] == "", "nothing is named after the data before"
    alert = tab.start.start_run(given(tab, form))[tab.mistakes.alert]
    assert 'data-field="f-dataset"' in alert and tab.page.store.list() == []
    back = tab.form.choose(given(tab, values, dataset=PASTE))
    assert back[tab.form.start].interactive and tab.importer.forget()[tab.importer.line] == ""


@pytest.fixture
def importing(tmp_path, monkeypatch):
    """A tab where every file becomes a job."""
    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path / "home"))
    monkeypatch.setattr("qlora_app.ui.train.data_import.QUICK", 0)
    return train_tab(Settings.from_environment(), supervisor=SimpleNamespace(wake=lambda: None, moving=lambda: []))


def cut_off(tab, tmp_path):
    """The address of a job whose file ends in the middle."""
    file = tmp_path / "large.jsonl"
    file.write_text('{"instruction": "Question?", "output": "Answer"}\n' * 30 + '{"instruction": "Ques')
    address = tab.importer.take({tab.upload: [str(file)]})[tab.importer.card]
    assert worker.main(tab.page.jobs.get(address).folder) == 1
    tab.page.jobs.get(address).take("start")  # as whoever started it would have
    return address


def about(address):
    return SimpleNamespace(_data={"job": address})


def test_a_large_file_shows_its_first_rows_at_once_and_becomes_a_job(importing, tmp_path):
    tab, file = importing, tmp_path / "large.jsonl"
    row = '{"instruction": "Question %d?", "output": "<b>Answer</b> %d"}\n'
    file.write_text("".join(row % (i, i) for i in range(300)))
    importer = tab.importer
    answer = importer.take({tab.upload: [str(file)]})
    words, address = answer[importer.line], answer[importer.card]
    assert "Question 0?" in words and "&lt;b&gt;" in words and answer[importer.brought].id == ""
    job = tab.page.jobs.get(address)
    assert job.is_asked("start") and importer.shown() == {importer.card: address}, "there again after a reload"
    file.unlink()  # as Gradio cleans its cache
    assert worker.main(job.folder) == 0 and importer.job.poll({"job": address})["state"] == "done"
    elsewhere = importer.finished({importer.own: ""}, about(address))
    assert elsewhere[importer.card] == "" and elsewhere[importer.brought] is None, (
        "what another page shows chooses nothing there"
    )
    done = importer.finished({importer.own: answer[importer.own]}, about(address))
    assert done[importer.brought].id.endswith("large.jsonl") and done[importer.line] == done[importer.card] == ""
    assert importer.shown() == {importer.card: ""}
    assert not (job.folder / "files").exists(), "the data folder has them"


def test_a_large_file_that_is_cut_off_says_so_on_its_card_until_that_is_dismissed(importing, tmp_path):
    address, importer = cut_off(importing, tmp_path), importing.importer
    html = importer.job.poll({"job": address})["html"]
    assert "cut off" in html and 'role="alert"' in html and "Try again" in html and 'data-do="dismiss"' in html
    assert importer.shown() == {importer.card: address}, "there again after a reload"
    folder = importing.page.jobs.get(address).folder
    for _ in range(2):  # a second window shows it too
        assert importer.job.dismiss_job(about(address)) == {importer.card: "", importer.line: ""}
        assert not folder.exists() and importer.shown() == {importer.card: ""}


def test_what_goes_on_again_is_not_dismissed(importing, tmp_path):
    address, importer = cut_off(importing, tmp_path), importing.importer
    importer.job.resume_job(about(address))
    job = importing.page.jobs.get(address)
    assert job.is_asked("start") and 'data-do="dismiss"' not in importer.job.poll({"job": address})["html"]
    importer.job.dismiss_job(about(address))
    assert job.folder.exists()


def test_what_is_done_is_not_begun_again_from_a_window_that_shows_what_was(importing, tmp_path):
    file, importer = tmp_path / "large.jsonl", importing.importer
    file.write_text('{"instruction": "Question?", "output": "Answer"}\n' * 30)
    address = importer.take({importing.upload: [str(file)]})[importer.card]
    job = importing.page.jobs.get(address)
    job.take("start")
    assert worker.main(job.folder) == 0
    importer.job.resume_job(about(address))
    assert not job.is_asked("start") and job.status().state == "done"
    importer.job.dismiss_job(about(address))
    assert job.folder.exists()


def test_the_recipe_of_an_uploaded_file_is_shown_again(tab, tmp_path):
    file = tmp_path / "mine.csv"
    file.write_text("question,answer\n" + "".join(f"q{i},a{i}\n" for i in range(20)))
    id = import_file(file, tmp_path / "data", "mine.csv")
    recipe = Recipe(dataset=DatasetChoice(source="file", id=id, held_out_share=0.2))
    assert read(show(recipe)) == recipe
    assert data_value(recipe.dataset) in [value for _, value in tab.controls.data_choices()]


@pytest.mark.daily(2)
@pytest.mark.parametrize("name", [n for n in Presets().names() if Presets().load(n).base_model.source == "starter"])
def test_balanced_is_what_the_preset_says(tab, name):
    preset = Presets().load(name)
    filled = tab.form.filled(preset)
    assert seen(filled[tab.form.effort]) == "balanced"
    advice = tab.logic.advice(preset.base_model, preset.dataset, preset.method.name)
    assert advice.training == preset.training
    own = filled[tab.form.own]
    assert own == "" if advice.method == preset.method else preset.method.title() in own, (
        "another method than the suggested one is said"
    )


# ---- models and recipes


@pytest.fixture
def shelf(tab):
    return tab.models


@pytest.fixture
def machine(monkeypatch):
    """What this machine has, for these tests."""

    def has(gigabytes, kind="cuda"):
        here = lambda: hardware.Machine(kind, gigabytes * 2**30, gigabytes * 2**30)  # noqa: E731
        monkeypatch.setattr(fitting, "here", here)
        monkeypatch.setattr(hardware, "here", here)

    has(24)
    return has


def taken(tab, row, values, brought="", **before):
    """({control: value}, the answer) after a row of the list was chosen."""
    asked = given(tab, values, **before) | {tab.model_card.brought: brought}
    answer = tab.models.take(asked, SimpleNamespace(_data={"row": row}))
    assert answer[tab.stage.tabs].selected == "data"
    return on_form(tab, values, answer), answer


@pytest.mark.slow
def test_every_recipe_goes_onto_the_form_whole(tab, values, machine):
    for name in Presets().names():
        form, answer = taken(tab, f"recipe:{name}", values)
        recipe, preset = read(form), Presets().load(name)
        said = answer[tab.model_card.said]
        assert recipe.model_copy(update={"dataset": preset.dataset, "name": preset.name}) == preset
        assert recipe.name == ""  # it is made of what differs
        assert preset.title in said
        if preset.dataset.source == "file":
            assert (recipe.dataset.source, recipe.dataset.id) == (
                "starter",
                "helper",
            ) and "the data you chose stays" in said
        else:
            assert recipe.model_copy(update={"name": preset.name}) == preset


def test_a_model_brings_its_recipe_and_what_a_person_set_stays(tab, values):
    own = values | {"method[lora].rank": 5, "base_model.revision": "v9"}
    form, _ = taken(tab, "model:Qwen/Qwen3-0.6B", own)
    preset = Presets().load("qwen3-0.6b")
    recipe = read(form)
    assert recipe.base_model == preset.base_model and recipe.dataset == DatasetChoice()
    assert (recipe.method.rank, recipe.method.alpha) == (5, preset.method.alpha)
    assert recipe.training.learning_rate == preset.training.learning_rate


def test_a_recipe_whose_data_is_not_here_is_not_said_to_have_none(tab, values):
    Presets(tab.page.settings.presets).save("mine", Recipe(dataset=DatasetChoice(source="file", id="gone.jsonl")))
    _, answer = taken(tab, "recipe:mine", values)
    said = answer[tab.model_card.said]
    assert "Its data is not on this machine, so the data you chose stays." in said and "brings no data" not in said


def test_what_a_recipe_brought_goes_with_it(tab, values):
    form, answer = taken(tab, "recipe:guanaco-7b", values)
    assert form["training.max_steps"] == 1875
    changed = form | {"training.batch_size": 3}
    basis = {"base_model": form["base_model"], "dataset": form["dataset"], "method": form[METHOD]}
    after, _ = taken(tab, "model:starter", changed, answer[tab.model_card.brought], **basis)
    fresh = values | {"training.batch_size": 3}
    assert {name: value for name, value in after.items() if value != fresh[name] and name != "training.epochs"} == {}
    few, answer = taken(tab, "recipe:t-few", values)
    basis = {"base_model": few["base_model"], "dataset": few["dataset"], "method": few[METHOD]}
    assert few[METHOD] == "ia3"
    back, _ = taken(tab, "model:starter", few, answer[tab.model_card.brought], **basis)
    assert back[METHOD] == "lora" and back["training.max_steps"] == values["training.max_steps"]


def test_a_model_that_does_not_fit_says_so_and_offers_the_nearest(tab, values, machine):
    form, _ = taken(tab, "recipe:guanaco-65b", values)

    def card():
        return tab.model_card.words_about(form)

    assert "Does not fit" in card() and 'data-row="plan:base">Use llama-30b<' in card()
    machine(0.1)
    assert "data-row" not in card(), "nothing fits, so nothing is offered"
    machine(48)
    assert "Does not fit" not in card()


def saved(tab, name, values):
    return tab.models.save_form(given(tab, values) | {tab.models.name: name})


def test_the_form_is_saved_and_found_again(tab, shelf, values, machine):
    own = values | {"method[lora].rank": 7, "name": "<b>Mine</b>", "note": "For <i>me</i>"}
    answer = saved(tab, "Mine", own)
    words = answer[shelf.list]
    assert answer[shelf.name] == "" and "mine" in answer[shelf.notice]
    assert '<b translate="no">mine</b>' in words and "<i>me" not in words and "&lt;i&gt;me" in words
    assert taken(tab, "recipe:mine", values)[0] == own


def test_a_form_with_mistakes_is_not_saved(tab, shelf, values):
    answer = saved(tab, "mine", values | {"method[lora].rank": 0})
    assert (
        'data-field="f-method-lora-rank"' in answer[tab.mistakes.alert]
        and answer[tab.stage.tabs].selected == "settings"
    )
    assert "already a recipe" in saved(tab, "starter", values)[shelf.notice]
    assert "no name" in saved(tab, "", values)[shelf.notice]
    assert tab.page.presets.names() == Presets().names()


def test_a_recipe_file_goes_onto_the_form(tab, shelf, values, tmp_path):
    recipe = Presets().load("orders").model_copy(update={"name": "Sent by a friend"})
    recipe.save(tmp_path / "friend.yaml")
    answer = shelf.take_file(given(tab, values) | {shelf.file: str(tmp_path / "friend.yaml")})
    assert read(on_form(tab, values, answer)) == recipe


@pytest.mark.daily(2)
@pytest.mark.parametrize(
    "text, said",
    [
        (
            "training: {epochs: -1, learning_rat: 1}\nmethod: {rank: <i>}",
            ["Epochs", "Rank", "training.learning_rate?", "&lt;i&gt;"],
        ),
        ("a: [", ["not valid YAML"]),
        ("like: nobody", ["There is no preset"]),
        ("", ["no settings"]),
    ],
)
def test_mistakes_in_a_recipe_file_are_sentences_and_the_form_stays(tab, shelf, values, tmp_path, text, said):
    (tmp_path / "odd.yaml").write_text(text)
    answer = shelf.take_file(given(tab, values) | {shelf.file: str(tmp_path / "odd.yaml")})
    assert set(answer) == {shelf.notice}
    words = answer[shelf.notice]
    assert all(word in words for word in said) and str(tmp_path) not in words and "<i>" not in words


def test_a_hub_model_with_a_preset_is_suggested_its_numbers(values):
    for name in ("guanaco-33b", "qwen3-0.6b", "smollm2-135m"):
        preset = Presets().load(name)
        advice = suggested(preset.base_model, DatasetChoice())
        assert (advice.training, advice.method, advice.base_model) == (
            preset.training,
            preset.method,
            preset.base_model,
        )
        assert advice.name == "" and advice.dataset == DatasetChoice()


# ---- the command


def command_of(tab, values) -> str:
    """What stands under a form that was filled like this, and is at rest."""
    chosen = {name: values[name] for name in ("base_model", "dataset", METHOD)}
    return tab.form.settle(given(tab, values, **chosen))[tab.form.command_line]


def shown_command(words: str) -> list[str]:
    command = html.unescape(re.search("<code>(.*)</code>", words, re.DOTALL)[1])
    return subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True
    ).stdout.split("\0")[:-1]


@pytest.mark.daily(3)
@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"training.epochs": 0.25, "training.packing": False},
        {"name": 'It\'s <b>"mine"</b> & $HOME `ls`', "training.sample_questions": "Who?\nWhy not?"},
        {METHOD: "ia3", "method[ia3].unlikelihood": 0.5},
        {METHOD: "hra", "base_model.precision": "bf16"},
        {"dataset": "starter/orders"},
        {"base_model": "Qwen/Qwen3-4B", "base_model.revision": "main"},
    ],
)
def test_the_command_on_the_page_makes_the_recipe_on_the_page(tab, values, changed):
    typed = values | changed
    words = shown_command(command_of(tab, typed))
    assert words[:4] == ["python", "-m", "qlora_app", "train"]
    parsed = _parse(words[3:])
    made, meant = recipe_from(parsed.recipe, parsed.changes, tab.page.settings), read(typed)
    assert made.model_copy(update={"name": meant.name or made.name}) == made
    assert made.model_copy(update={"name": "", "note": ""}) == meant.model_copy(update={"name": "", "note": ""})


def test_the_command_of_a_fresh_page_is_the_one_of_the_readme(tab, values):
    assert shown_command(command_of(tab, values)) == ["python", "-m", "qlora_app", "train", "starter"]


def test_a_form_with_mistakes_has_no_command_yet(tab, values):
    command = command_of(tab, values | {"method[lora].rank": None})
    assert "<code>" not in command and "valid" in command


def test_a_model_folder_and_an_uploaded_file_are_in_the_command(tab, values, model_folder, tmp_path):
    file = tmp_path / "my rows.csv"
    file.write_text("question,answer\n" + "".join(f"q{i},a{i}\n" for i in range(20)))
    id = import_file(file, tab.page.settings.data, file.name)
    typed = values | {"base_model": str(model_folder), "dataset": f"file/{id}"}
    parsed = _parse(shown_command(command_of(tab, typed))[3:])
    assert recipe_from(parsed.recipe, parsed.changes, tab.page.settings) == read(typed)


@pytest.mark.parametrize("method", [kind.model_fields["name"].default for kind in METHODS])
def test_a_method_that_is_chosen_can_be_started_as_it_is_suggested(method):
    """Some do not train on a base in 4 bits, and the page offers them beside one that is."""
    recipe = recipe_from("starter", [f"method.name={method}"], Settings())
    assert recipe.base_model.precision == suggested(ModelChoice(), DatasetChoice(), method).base_model.precision
    assert check(recipe, None, None) == {}
