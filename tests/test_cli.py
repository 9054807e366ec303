"""The command line says what the page says, refuses what the page refuses, and never shows a traceback."""

import contextlib
import io
import json
import os
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from rich.console import Console

from qlora_app import starter
from qlora_app.choices import dotted_name, iter_settings
from qlora_app.cli import main, watching
from qlora_app.cli.command import find_run
from qlora_app.cli.commands import _parse
from qlora_app.errors import UserError
from qlora_app.formatting import duration, loss_figure, sparkline
from qlora_app.launch import local
from qlora_app.overrides import command_for, differences, recipe_from
from qlora_app.presets import SHIPPED, Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus, RunStore
from qlora_app.runs.proof_words import proof_words
from qlora_app.settings import Settings
from qlora_app.storage.files import write_json
from tests.conftest import write_status
from tests.refusing import check_problem, refused

ROOT = Path(__file__).parent.parent
PROOF = {
    "heldout": {
        "loss": {"before": 3.1, "after": 0.42},
        "exact_match": {"before": 0.0, "after": 0.953},
        "questions": 100,
    },
    "update": {"layers": 28, "zero_layers": 0},
    "reload": {"max_difference": 0.0},
    "seconds": {"to_first_loss": 1.2, "training": 71.0},
}


@pytest.fixture
def settings(home):
    return Settings.from_environment()


@pytest.fixture
def worker(monkeypatch):
    """Stands in for a worker: the launched run is done at once, or what `worker["state"]` says."""
    says = {"state": "done", "launched": []}

    def launch(run):
        says["launched"].append(run.id)
        run.launch_file.write(os.getpid())
        write_status(run, RunStatus(says["state"], step=8, total=8, loss=0.5, sentence="So it ended."))
        if says["state"] == "done":
            run.adapter.mkdir()
            write_json(run.adapter / "proof.json", PROOF)

    monkeypatch.setattr(local, "launch", launch)
    return says


def mistakes_of(*arguments, settings) -> dict[str, str]:
    with pytest.raises(UserError) as caught:
        recipe_from(*arguments, settings)
    return caught.value.problems


# ---- from words to a recipe


def test_a_preset_by_name_and_by_path(settings):
    assert (
        recipe_from("sailor", [], settings)
        == Presets().load("sailor")
        == recipe_from(str(SHIPPED / "sailor.yaml"), [], settings)
    )


def test_settings_are_changed(settings):
    recipe = recipe_from(
        "starter",
        [
            "training.learning_rate=1e-4",
            "training.packing=false",
            "method.rank=8",
            "training.seed=7",
            "name=Mine",
            "training.sample_questions=Who is Mira?",
            "training.sample_questions=a, b",
        ],
        settings,
    )
    training = recipe.training
    assert (training.learning_rate, training.packing, recipe.method.rank, training.seed, recipe.name) == (
        1e-4,
        False,
        8,
        7,
        "Mine",
    )
    assert training.sample_questions == ["Who is Mira?", "a, b"]
    assert training.epochs == Presets().load("starter").training.epochs


def test_a_single_question_needs_no_list_and_a_name_of_digits_stays_text(settings):
    recipe = recipe_from("starter", ["training.sample_questions=What is 3 = 4?", "name=007"], settings)
    assert recipe.training.sample_questions == ["What is 3 = 4?"] and recipe.name == "007"


def test_all_mistakes_are_named_at_once(settings):
    problems = mistakes_of(
        "starter",
        [
            "training.epochs=never",
            "training.learning_rat=1",
            "method.rank=0",
            "training.seed",
            "name.first=x",
            "epochs=2",
        ],
        settings=settings,
    )
    assert set(problems) == {
        "training.epochs",
        "training.learning_rat",
        "method.rank",
        "training.seed",
        "name.first",
        "epochs",
    }
    check_problem(problems["training.learning_rat"], "recipe.setting_misspelt", "training.learning_rate")
    check_problem(problems["training.seed"], "recipe.no_assignment")
    check_problem(problems["epochs"], "recipe.setting_misspelt", "training.epochs")


@pytest.mark.parametrize(
    "change, name", [("training=5", "training"), ("dataset=x", "dataset"), ("base_model=x", "base_model"), ("=3", "")]
)
def test_a_group_is_no_setting(settings, change, name):
    assert name in mistakes_of("starter", [change], settings=settings)


def test_an_unknown_preset_gets_a_suggestion(settings):
    with refused("preset.unknown", "preset.near", "starter"):
        recipe_from("startr", [], settings)


@pytest.mark.parametrize("source", ["gone.yaml", "./starter", "some/where/else"])
def test_a_missing_recipe_file_is_no_unknown_preset(settings, source):
    with refused("recipe.no_file") as caught:
        recipe_from(source, [], settings)
    assert source in str(caught.value) and "starter" in str(caught.value)


def test_a_data_file_named_by_its_path_is_imported(settings, tmp_path):
    file = tmp_path / "my rows.json"
    file.write_text(json.dumps([{"instruction": f"Say {i}", "output": str(i)} for i in range(20)]))
    recipe = recipe_from("starter", [f"dataset.id={file}"], settings)
    assert recipe.dataset.source == "file"
    assert (settings.data / recipe.dataset.id).read_bytes() == file.read_bytes()
    file.unlink()
    assert Recipe.from_dict(recipe.model_dump()) == recipe


def test_a_data_file_is_not_imported_when_something_else_is_wrong(settings, tmp_path):
    file = tmp_path / "rows.json"
    file.write_text(json.dumps([{"instruction": "Say 1", "output": "1"}] * 20))
    assert set(mistakes_of("starter", [f"dataset.id={file}", "training.epochs=0"], settings=settings)) == {
        "training.epochs"
    }
    assert not settings.data.exists()


def test_a_starter_dataset_wins_over_a_file_of_the_same_name(settings, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "orders").write_text("not data")
    assert recipe_from("starter", ["dataset.id=orders"], settings).dataset.source == "starter"


def test_a_model_folder_is_found_from_everywhere(settings, monkeypatch):
    monkeypatch.chdir(starter.FOLDER)
    recipe = recipe_from("starter", [f"base_model.id={starter.BASE.name}"], settings)
    assert (recipe.base_model.source, recipe.base_model.id) == ("folder", str(starter.BASE.resolve()))


def test_a_saved_recipe_is_a_recipe_for_train(settings, tmp_path):
    recipe = recipe_from("orders", ["training.epochs=0.5"], settings)
    recipe.save(tmp_path / "mine.yaml")
    assert recipe_from(str(tmp_path / "mine.yaml"), [], settings) == recipe


# ---- from a recipe back to its command

CHANGES = [
    [],
    ["training.epochs=0.5"],
    ["name=", "note="],
    ['name=O\'Hara said: "$HOME `ls` \\ !" #1', "training.packing=false"],
    ["training.learning_rate=3.3e-5", "training.seed=4294967295", "method.rank_stabilized=true"],
    [
        "training.sample_questions=What's 3 = 4?",
        "training.sample_questions=*; rm -rf ~ &",
        "training.sample_questions=ünï\tcode",
    ],
    ["method.name=ia3"],
    ["training.learning_rate=0.002", "method.name=ia3"],
    ["method.name=prompt", "method.tokens=8"],
    ["dataset.source=starter", "dataset.id=orders"],
    ["base_model.source=hub", "base_model.id=org/model", "base_model.revision=main"],
]


@pytest.mark.parametrize("preset", ["starter", "orders", "guanaco-7b", "llama-3.3-70b"])
@pytest.mark.parametrize("changes", CHANGES, ids=str)
def test_the_command_of_a_recipe_makes_the_same_recipe(settings, preset, changes):
    recipe = recipe_from(preset, changes, settings)
    command = command_for(recipe, Presets(settings.presets))
    words = subprocess.run(
        ["bash", "-c", f"printf '%s\\0' {command}"], capture_output=True, text=True, check=True
    ).stdout.split("\0")[:-1]
    assert words[:4] == ["python", "-m", "qlora_app", "train"]
    given = _parse(words[3:])
    assert recipe_from(given.recipe, given.changes, settings) == recipe


def test_the_command_is_short(settings):
    def command(*changes):
        return command_for(recipe_from(*changes, settings), Presets(settings.presets)).removeprefix(
            "python -m qlora_app "
        )

    assert command("starter", []) == "train starter"
    assert command("guanaco-33b", []) == "train guanaco-33b"
    assert command("guanaco-7b", ["training.seed=7"]) == "train guanaco-7b training.seed=7"
    mine = recipe_from("starter", ["training.epochs=7", "method.rank=3", "training.seed=9"], settings)
    Presets(settings.presets).save("mine", mine)
    assert command_for(mine, Presets(settings.presets)).endswith("train mine"), (
        "the nearest preset may be a person's own"
    )


def test_another_method_brings_its_learning_rate_unless_one_is_given(settings):
    rate = Presets().load("starter").training.learning_rate
    assert recipe_from("starter", ["method.name=ia3"], settings).training.learning_rate == pytest.approx(
        rate * 3e-3 / 2e-4
    )
    assert (
        recipe_from("starter", ["method.name=ia3", "training.learning_rate=1e-4"], settings).training.learning_rate
        == 1e-4
    )
    assert recipe_from("starter", ["method.name=lora"], settings).training.learning_rate == rate
    assert command_for(recipe_from("starter", ["method.name=vera"], settings), Presets()).endswith(
        "train starter method.name=vera"
    )


def test_lists_that_became_empty_and_words_that_became_empty_are_said(settings):
    asked = recipe_from("starter", ["training.sample_questions=a", "training.sample_questions=b"], settings)
    assert differences(asked, Presets().load("starter")) == ["training.sample_questions="]
    assert differences(Presets().load("starter"), asked) == [
        "training.sample_questions=a",
        "training.sample_questions=b",
    ]


# ---- what a command prints and returns


def test_train_prints_the_proof(home, worker, capsys):
    assert main(["train", "starter"]) == 0
    out = capsys.readouterr().out
    assert (
        "On 100 held-out questions: 0 right before, 95 right after." in out
        and "Held-out loss: 3.10 before, 0.42 after." in out
    )
    assert "Every one of 28 adapter layers changed." in out and "First loss after 1.2 s; trained for 1 min 11 s." in out
    assert "chat 20" in out


def test_train_with_json_prints_one_line(home, worker, capsys):
    assert main(["train", str(SHIPPED / "starter.yaml"), "training.seed=1", "--json"]) == 0
    out = capsys.readouterr().out
    assert out.count("\n") == 1
    result = json.loads(out)
    run = RunStore(home / "runs").get(result["run"])
    assert (result["folder"], result["state"], result["proof"]) == (str(run.folder), "done", PROOF)
    assert run.recipe().training.seed == 1


def test_changes_may_stand_after_options(home, worker, capsys):
    assert main(["train", "starter", "--json", "training.seed=1"]) == 0


def test_an_option_nobody_knows_is_refused(home, worker, capsys):
    for arguments in (["train", "starter", "--jsn"], ["runs", "training.seed=1"]):
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        assert ended.value.code == 2
    assert worker["launched"] == []


@pytest.mark.parametrize("state, code", [("done", 0), ("failed", 1), ("stopped", 1)])
def test_exit_codes(home, worker, capsys, state, code):
    worker["state"] = state
    assert main(["train", "starter", "--json"]) == code
    assert main(["watch", "latest"]) == code
    assert "So it ended." in capsys.readouterr().out


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "nothing"],
        ["train", "starter", "training.epochs=-1"],
        ["train", "starter", "dataset.source=file", "dataset.id=gone.json"],
        ["watch", "latest"],
        ["watch", "x"],
        ["stop", "x"],
        ["resume", "x"],
        ["chat", "x"],
        ["score", "x", "file.json"],
        ["compare", "x", "y"],
        ["train", "starter", "dataset.id=~nobody/x.csv"],
        ["train", "starter", "base_model.id=~nobody/x"],
        ["models", "~nobody/x"],
        ["train", "starter", "dataset.id=" + "a" * 5000],
        ["data", "~nobody/x"],
    ],
)
def test_a_mistake_is_a_line_on_stderr_and_exit_code_2(home, worker, capsys, arguments):
    assert main(arguments) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: ") and "Traceback" not in said.err
    assert worker["launched"] == [] and RunStore(home / "runs").list() == []


def test_no_watch_returns_while_the_run_goes_on(home, worker, capsys):
    worker["state"] = "running"
    assert main(["train", "starter", "--no-watch", "--json"]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result["state"] in ("starting", "running") and result["proof"] is None


def test_ctrl_c_ends_the_watching_and_not_the_run(home, worker, capsys, monkeypatch):
    worker["state"] = "running"

    def pressed(_):
        raise KeyboardInterrupt

    monkeypatch.setattr(watching.time, "sleep", pressed)
    assert main(["train", "starter"]) == 130
    run = RunStore(home / "runs").list()[0]
    said = capsys.readouterr().err
    assert f"watch {run.id}" in said and f"stop {run.id}" in said
    assert not run.is_asked("stop") and not run.is_asked("stop-now")


def test_a_run_beside_another_is_told_so(home, worker, capsys):
    with RunStore(home / "runs").create(Recipe(name="first")).hold():
        assert main(["train", "starter"]) == 0
    assert "first is being trained too" in capsys.readouterr().err
    assert main(["train", "starter"]) == 0
    assert "trained too" not in capsys.readouterr().err


def test_runs_are_listed(home, worker, capsys):
    assert main(["runs"]) == 0
    assert "train starter" in capsys.readouterr().out, "an empty list says how to begin"
    main(["train", "starter"])
    main(["train", "sailor"])
    capsys.readouterr()
    assert main(["runs"]) == 0
    assert capsys.readouterr().out.count("done") == 2
    assert main(["runs", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["state"] for row in rows] == ["done", "done"] and rows[0]["run"].endswith("old-sailor")


def test_a_run_is_found_by_its_beginning(home, worker, capsys):
    for _ in range(2):
        main(["train", "starter", "name=one two"])
    run = RunStore(home / "runs").list()[-1]
    assert main(["watch", run.id]) == 0, "a whole name is not ambiguous, even if another begins with it"
    assert main(["watch", run.id[:3]]) == 2
    assert "Give more of the name" in capsys.readouterr().err


def test_the_latest_run_to_talk_to_is_one_that_can_answer(home, worker, capsys):
    main(["train", "starter"])
    worker["state"] = "failed"
    main(["train", "starter", "name=broken"])
    settings = Settings.from_environment()
    assert find_run("latest", settings).id.endswith("broken")
    assert not find_run("latest", settings, with_adapter=True).id.endswith("broken")


def test_stop_and_resume(home, worker, capsys):
    worker["state"] = "running"
    main(["train", "starter", "--no-watch"])
    run = RunStore(home / "runs").list()[0]
    assert main(["resume", run.id]) == 2, "it still runs"
    assert main(["stop", run.id]) == 0 and run.is_asked("stop")
    capsys.readouterr()
    assert main(["stop", run.id, "--now", "--json"]) == 0 and run.is_asked("stop-now")
    assert json.loads(capsys.readouterr().out)["run"] == run.id
    write_status(run, RunStatus("stopped", step=3, total=8))
    assert main(["stop", run.id]) == 2, "nothing to stop"
    worker["state"] = "done"
    assert main(["resume", run.id]) == 0
    assert worker["launched"] == [run.id, run.id]
    assert not run.is_asked("stop") and not run.is_asked("stop-now"), (
        "what stopped the first part does not stop the second"
    )


def test_stop_takes_a_waiting_run_out_of_the_queue(home, worker, capsys):
    run = RunStore(home / "runs").create(Recipe())
    run.request("start")
    assert main(["stop", run.id]) == 0
    assert not run.is_asked("start") and not run.is_asked("stop")


# ---- a data file


@pytest.fixture
def notes(tmp_path):
    file = tmp_path / "notes.csv"
    file.write_text("raw,note,mark\nWho is Mira?,A baker.,1\nWho is Ben?,A sailor.,2\n")
    return file


def test_data_is_shown_with_what_the_model_learns_of_it(home, tmp_path, capsys):
    file = tmp_path / "rows.jsonl"
    file.write_text(
        "".join(json.dumps({"question": f"Who is {i}?", "answer": f"Number {i}."}) + "\n" for i in range(5))
        + "{broken}\n"
    )
    assert main(["data", str(file)]) == 0
    said = capsys.readouterr().out
    assert said.startswith(
        "Questions and answers, because rows have `question` and `answer`.\n6 rows: 5 to learn from, 1 left out."
    )
    assert "row 6 (line 6): it is not valid JSON" in said and said.count("\nExample ") == 3
    assert "### Human: Who is 0?\n### Assistant:⟦ Number 0.<|endoftext|>⟧" in said


def test_data_for_scripts_is_one_object(home, notes, capsys):
    columns = ["dataset.columns.prompt=raw", "dataset.columns.answer=note"]
    assert main(["data", str(notes), "--json", *columns]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["action"], found["format"], found["rows_in_file"], found["rows_trainable"]) == (
        "accept_with_warning",
        "columns",
        2,
        2,
    )
    assert (found["user"], found["answer"], found["left_out"]) == ("raw", "note", []) and "`mark`" in found["messages"][
        0
    ]
    assert found["examples"][1] == [
        {"role": "user", "content": "Who is Ben?"},
        {"role": "assistant", "content": "A sailor."},
    ]
    assert main(["data", str(notes), "--json"]) == 0
    asked = json.loads(capsys.readouterr().out)
    assert (asked["action"], asked["columns"], asked["rows_in_file"]) == ("ask", ["raw", "note", "mark"], 2)


def test_data_that_is_refused_is_a_mistake_and_still_an_answer_for_scripts(home, tmp_path, capsys):
    file = tmp_path / "rows.jsonl"
    file.write_text('{"question": "Who?", "answer": ""}\n')
    assert main(["data", str(file), "--json"]) == 2
    found = json.loads(capsys.readouterr().out)
    assert (found["action"], found["format"], found["rows_in_file"], found["rows_trainable"]) == (
        "refuse",
        "question_answer",
        1,
        0,
    )
    assert main(["data", str(file)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("error: rows.jsonl has no trainable row")


def test_a_question_longer_than_the_longest_example_leaves_nothing_to_learn(home, tmp_path, capsys):
    file = tmp_path / "rows.jsonl"
    file.write_text(
        "".join(json.dumps({"question": text, "answer": "yes"}) + "\n" for text in ("short?", "long? " * 200))
    )
    assert main(["data", str(file), "--json", "--max-length", "256"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["action"], found["rows_trainable"]) == ("accept_with_warning", 1)
    assert found["left_out"] == [{"row": 2, "line": 2, "reason": "its question alone is longer than 256 tokens"}]


def test_data_is_found_in_the_data_folder_too(settings, notes, capsys):
    columns = ["dataset.columns.prompt=raw", "dataset.columns.answer=note"]
    id = recipe_from("starter", [f"dataset.id={notes}", *columns], settings).dataset.id
    assert (
        main(["data", id, *columns]) == 0
        and "Questions and answers, because you named `raw` and `note`" in capsys.readouterr().out
    )
    assert main(["data", "nowhere.csv"]) == 2 and "There is no file nowhere.csv" in capsys.readouterr().err


def test_presets_are_listed(home, capsys):
    assert main(["presets"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n{name} " in "\n" + out for name in Presets().names())
    assert main(["presets", "--json"]) == 0
    rows = json.loads(capsys.readouterr().out)
    assert sorted(row["preset"] for row in rows) == Presets().names() and all(
        row["note"] and not row["own"] for row in rows
    )
    assert {row["gpu_gb"] for row in rows} == {8, 16, 24, 48} and {row["here"] for row in rows} <= {
        "fits",
        "tight",
        "too large",
    }


def test_a_preset_is_shown_whole_and_saved_with_its_changes(home, worker, capsys):
    assert main(["presets", "guanaco-65b", "--json"]) == 0
    assert Recipe.from_dict(json.loads(capsys.readouterr().out)) == Presets().load("guanaco-65b")
    assert main(["presets", "starter", "training.seed=7", "name=Mine", "--save", "my own"]) == 0
    said = capsys.readouterr()
    assert "seed: 7" in said.out and f"{home / 'presets' / 'my-own.yaml'}" in said.err.replace("\n", "")
    assert main(["train", "my-own", "--json"]) == 0
    assert RunStore(home / "runs").list()[0].recipe().training.seed == 7
    capsys.readouterr()
    assert main(["presets", "starter", "--save", "my-own"]) == 2 and main(["presets", "--save", "x"]) == 2
    assert "already" in capsys.readouterr().err
    (home / "presets" / "broken.yaml").write_text("training: {epochs: -1}")
    assert main(["presets"]) == 0
    assert "training.epochs" in capsys.readouterr().out


def test_settings_are_listed_and_secrets_are_not_shown(home, monkeypatch, capsys):
    monkeypatch.setenv("QLORA_APP_USER", "me")
    monkeypatch.setenv("QLORA_APP_PASSWORD", "sesame-opens")
    monkeypatch.setenv("QLORA_APP_HUB_TOKEN", "hf_abcdefghijklmnopqrstuvwxyz")
    assert main(["settings"]) == 0
    out = capsys.readouterr().out
    assert all("QLORA_APP_" + name.upper() in out for name in Settings.model_fields)
    assert str(home) in out and "sesame" not in out and "hf_abc" not in out and "*****" in out
    monkeypatch.setenv("QLORA_APP_RAY", "http://of-ada:pw-of-ray@with-more@head:8265")
    words = Settings.from_environment().secrets["QLORA_APP_RAY"]
    assert words == "pw-of-ray@with-more", "so nothing that is published holds it"
    assert main(["settings"]) == 0
    out = capsys.readouterr().out
    assert not [word for word in ("of-ada", "pw-of-ray", "with-more") if word in out]
    monkeypatch.setenv("QLORA_APP_PASSWORD", home.name)
    assert main(["settings"]) == 0 and str(home) in capsys.readouterr().out, "no star tells of which words it is one"


def test_settings_for_scripts(home, capsys):
    assert main(["settings", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["QLORA_APP_HOME"] == str(home)


def test_a_senseless_environment_is_a_mistake_of_the_person(monkeypatch, capsys):
    monkeypatch.setenv("QLORA_APP_PORT", "many")
    assert main(["runs"]) == 2
    assert "QLORA_APP_PORT" in capsys.readouterr().err


def test_a_misspelt_variable_is_not_ignored_and_its_value_not_shown():
    with pytest.raises(UserError) as caught:
        Settings.from_environment(
            {"QLORA_APP_PASWORD": "sesame-opens", "QLORA_APP_ZZZZ": "1", "QLORA_APP_PORT": "many", "PATH": "/bin"}
        )
    lines = str(caught.value).splitlines()
    assert len(lines) == 3 and "sesame" not in str(caught.value)
    assert "QLORA_APP_PASWORD" in lines[0] and "Do you mean QLORA_APP_PASSWORD?" in lines[0]
    assert all("QLORA_APP_" + name.upper() in lines[1] for name in Settings.model_fields)
    assert "QLORA_APP_PORT" in lines[2]


COMMANDS = [
    "train",
    "plan",
    "measure",
    "watch",
    "ask",
    "runs",
    "compare",
    "jobs",
    "stop",
    "resume",
    "extend",
    "join",
    "import",
    "merge",
    "queue",
    "sweep",
    "sweeps",
    "chat",
    "why",
    "score",
    "evaluate",
    "judge",
    "ratings",
    "arena",
    "diagnose",
    "answer",
    "export",
    "publish",
    "keep",
    "sync",
    "serve",
    "keys",
    "accounts",
    "data",
    "presets",
    "models",
    "doctor",
    "settings",
]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_and_an_answer_for_scripts(command, capsys):
    with pytest.raises(SystemExit) as ended:
        main([command, "--help"])
    out = capsys.readouterr().out
    assert ended.value.code == 0 and len(out) > 100 and "--json" in out


def test_help_lists_every_command(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    assert all(
        f"    {command} " in line
        for command, line in zip(
            COMMANDS,
            [line for line in capsys.readouterr().out.splitlines() if line.startswith("    ") and line[4] != " "],
            strict=True,
        )
    )


def test_help_of_train_lists_every_setting_with_its_words(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    out = " ".join(capsys.readouterr().out.split())
    for name, field in iter_settings(Recipe):
        assert f" {dotted_name(name)}=" in out and f"{field.title}. {field.description}" in out


def test_the_proof_says_only_what_is_known():
    assert proof_words({}) == []
    unknown = {
        "heldout": {
            "loss": {"before": None, "after": None},
            "exact_match": {"before": None, "after": None},
            "questions": 0,
        }
    }
    assert proof_words(unknown) == []
    assert proof_words({"update": {"layers": 28, "zero_layers": 2}}) == ["2 of 28 adapter layers did not change."]
    assert proof_words({"seconds": {"to_first_loss": None, "training": 12.0}}) == ["Trained for 12 s."], (
        "a run that was resumed"
    )


@pytest.mark.parametrize(
    ("also_learned", "words"),
    [
        ({}, "questions: "),
        ({"also_learned": 0}, "questions it never saw: "),
        ({"also_learned": 2}, "questions (2 also learned, with another answer): "),
    ],
)
def test_never_seen_is_said_only_of_what_was_never_seen(also_learned, words):
    held_out = {"exact_match": {"before": 0.0, "after": 0.5}, "questions": 6}
    assert proof_words({"heldout": held_out | also_learned}) == [f"On 6 held-out {words}0 right before, 3 right after."]


@pytest.mark.parametrize(
    ("difference", "words"),
    [
        (0.0, "exactly the same"),
        (0.125, "differ by at most 0.12, as rounding does"),
        (7.5, "a logit is off by 7.5. The saved adapter"),
    ],
)
def test_a_reload_is_said_as_it_was(difference, words):
    (line,) = proof_words({"reload": {"max_difference": difference, "largest": 24.0}})
    assert (
        words in line and ("exactly" in line) == (difference == 0) and line.startswith("Warning: ") == (difference > 1)
    )


@pytest.mark.parametrize(
    "seconds, words", [(0, "0 s"), (59.4, "59 s"), (59.6, "1 min"), (200, "3 min 20 s"), (7500, "2 h 5 min")]
)
def test_durations(seconds, words):
    assert duration(seconds) == words


@pytest.mark.parametrize("loss, words", [(2.2278, "2.23"), (0.1, "0.10"), (0.0041, "0.004")])
def test_a_small_loss_does_not_read_like_none(loss, words):
    assert loss_figure(loss) == words


# ---- what a shell is told


def offered(home, line) -> list[str]:
    """What `python -m qlora_app ...` answers a shell that asks as argcomplete's shell code does."""
    file = home / "offered"
    asked = {
        "COMP_LINE": line,
        "COMP_POINT": str(len(line)),
        "_ARGCOMPLETE": "3",
        "_ARGCOMPLETE_STDOUT_FILENAME": str(file),
        "_ARGCOMPLETE_IFS": "\n",
        "_ARGCOMPLETE_SUPPRESS_SPACE": "1",
        "_ARGCOMPLETE_COMP_WORDBREAKS": "",
    }
    environment = {**os.environ, "QLORA_APP_HOME": str(home), **asked}
    subprocess.run(
        [sys.executable, "-m", "qlora_app"], env=environment, cwd=ROOT, timeout=60, check=False, capture_output=True
    )
    return file.read_text().split("\n")


@pytest.mark.slow
def test_a_shell_is_offered_what_fits(home):
    run = RunStore(home / "runs").create(Recipe(name="first"))
    Presets(home / "presets").save("mine", Recipe())
    program = "python -m qlora_app "
    assert set(COMMANDS) <= set(offered(home, program))
    assert offered(home, program + "train gua") == sorted(n for n in Presets().names() if n.startswith("gua"))
    assert "mine" in offered(home, program + "presets mi")
    assert set(offered(home, program + "watch ")) >= {"latest", run.id}
    assert offered(home, program + "train starter training.sch") == ["training.scheduler="]
    assert offered(home, program + "train starter training.scheduler=c") == [
        "training.scheduler=constant",
        "training.scheduler=cosine",
    ]
    assert "dataset.id=orders" in offered(home, program + "train starter dataset.id=or")


def test_the_shell_finds_the_program():
    """argcomplete looks for its mark in the first kilobyte of what `python -m` starts."""
    checked = subprocess.run(
        [sys.executable, "-m", "argcomplete._check_module", "qlora_app"], cwd=ROOT, capture_output=True, text=True
    )
    assert checked.returncode == 0, checked.stderr


# ---- once for real


def program(home, *arguments, stdin=None) -> subprocess.CompletedProcess:
    environment = {**os.environ, "QLORA_APP_HOME": str(home), "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        [sys.executable, "-m", "qlora_app", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        input=stdin,
        env=environment,
        timeout=300,
    )


@pytest.mark.slow
def test_train_score_and_chat_for_real(tmp_path, monkeypatch, capsys):
    trained = program(
        tmp_path,
        "train",
        "starter",
        "training.max_steps=8",
        "training.batch_size=4",
        "training.scored_questions=4",
        "training.general_questions=0",
        "training.samples=0",
        "training.evaluations=1",
        "training.checkpoints=1",
        "--json",
    )
    assert trained.returncode == 0, trained.stderr
    result = json.loads(trained.stdout)
    assert result["state"] == "done"
    assert result["proof"]["update"]["zero_layers"] == 0 and result["proof"]["reload"]["max_difference"] < 1e-4
    assert "step 8/8" in trained.stderr

    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path))  # most in this process: what they import takes longest

    def told(*arguments):
        assert main([*map(str, arguments), "--json"]) == 0
        return capsys.readouterr().out

    held_out = starter.DATASETS["helper"].held_out
    scored = json.loads(told("score", result["run"], held_out, "--limit", 5, "--misses", 5))
    assert (scored["questions"], scored["base"]) == (5, False)
    assert scored["exact"] + len(scored["misses"]) == 5 and scored["share"] == scored["exact"] / 5
    low, high = scored["interval"]
    assert scored["evaluator"] == "exact_match" and low <= scored["share"] <= high
    overlap = json.loads(told("score", "latest", held_out, "--limit", 5, "--evaluator", "token_f1"))
    assert overlap["share"] >= scored["share"]
    base = json.loads(told("score", "latest", held_out, "--limit", 5, "--base"))
    assert (base["exact"], base["base"]) == (0, True)

    talked = program(tmp_path, "chat", "latest", "--base", stdin="Hello!\n\nWhere does Mira live?\n")
    assert talked.returncode == 0 and talked.stderr.strip() in ("", "Loading the model")
    assert (
        talked.stdout.count("base: ") == talked.stdout.count(f"{result['run']}: ") == 2
        and "> Where does Mira live?" in talked.stdout
    )

    monkeypatch.setattr(sys, "stdin", io.StringIO("Hello!\nWhere does Mira live?\n"))
    said = [json.loads(line) for line in told("chat", "latest", "--base").splitlines()]
    assert [one["question"] for one in said] == ["Hello!", "Where does Mira live?"]
    assert all(
        one["run"] == result["run"] and isinstance(one["answer"], str) and isinstance(one["base"], str) for one in said
    )


# ---- the loss as it falls


@pytest.mark.parametrize(
    "values, expected",
    [([], ""), ([2.0], "▁"), ([1.0, 1.0], "▁▁"), ([3, 2, 1], "█▅▁"), ([8.0, *[1.0] * 47], "█" + "▁" * 23)],
)
def test_numbers_become_a_line_of_blocks(values, expected):
    assert sparkline(values) == expected


def test_who_watches_on_a_terminal_sees_the_loss_fall(home):
    run = RunStore(home / "runs").create(Recipe())
    held = contextlib.ExitStack()
    out = held.enter_context(run.hold())
    for step, loss in enumerate((4.0, 3.0, 2.0, 1.0), start=1):
        out.append_metric({"step": step, "loss": loss})
    out.say("Training.", state="running", step=3, total=4)

    def end():
        out.end("done", "Finished.")
        held.close()

    threading.Timer(0.5, end).start()
    screen = io.StringIO()
    assert watching.watch(run, Console(file=screen, force_terminal=True, width=160)).state == "done"
    assert "█▆▃▁ step 3/4" in screen.getvalue()
