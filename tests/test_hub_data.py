"""Data of the Hub: found, taken apart into subsets and splits, downloaded, pinned, refused. The real libraries, a
server of our own.
"""

import errno
import json
import threading

import pytest

from qlora_app.cli.commands import main
from qlora_app.errors import Stopped, UserError
from qlora_app.hub import download as downloading
from qlora_app.launch import local
from qlora_app.runs import RunStore
from qlora_app.training_data import (
    DatasetChoice,
    NotHere,
    kept_data,
    load_examples,
    pinned,
)
from qlora_app.training_data.sources.hub import (
    fetch_data,
    is_here,
    look_up,
    resolve,
    search_data,
)
from tests.conftest import short_recipe, wait_for
from tests.fixtures.hub import DATASET as ID
from tests.fixtures.hub import go_offline, jsonl, parquet, rows
from tests.hub_server import EXPIRED, GOOD, STRANGER, Repo
from tests.refusing import check_problem, refused

CHOICE = DatasetChoice(source="hub", id=ID)
NEVER = lambda: False  # noqa: E731
SILENT = lambda *_: None  # noqa: E731


@pytest.fixture
def data(tmp_path):
    return tmp_path / "data"


def fetch(data, token=None, **chosen):
    return fetch_data(CHOICE.model_copy(update=chosen), data, token, SILENT, NEVER)


def refusal(data, token=None, **chosen):
    with pytest.raises(UserError) as error:
        fetch(data, token, **chosen)
    assert "Traceback" not in str(error.value) and "\n" not in str(error.value)
    return error.value.problem


# ---- found and taken apart


def test_a_search_says_what_is_known_of_each_hit(hub, talk):
    hub.add(Repo("big/talk-gated", {}, kind="datasets", gated=True, licence="mit", downloads=5000))
    hub.add(Repo("tiny/talker", {}))
    assert [(hit.id, hit.summary()) for hit in search_data("talk")] == [
        ("big/talk-gated", "licence mit · gated · 5,000 downloads"),
        (ID, "licence apache-2.0 · 77 downloads"),
    ]
    hub.status = 500
    with refused("hub.no_answer"):
        search_data("talk")


def test_splits_are_found_by_the_names_of_the_files_and_no_row_is_fetched(hub, talk):
    layout = look_up(CHOICE, revisions=True)
    assert (
        list(layout.subsets) == ["default"]
        and layout.commit == talk.commit
        and layout.revisions == {"main": talk.commit}
    )
    splits = layout.splits("default")
    assert {split: [file.name for file in files] for split, files in splits.items()} == {
        "train": ["data/train-00000-of-00002.parquet", "data/train-00001-of-00002.parquet"],
        "test": ["data/test-00000-of-00001.parquet"],
    }
    assert hub.files_asked() == []


def test_the_card_names_subsets_and_their_splits(hub, talk, data):
    talk.files |= {"de/a.csv": b"q,a\n1,2\n3,4\n", "de/b.csv": b"q,a\n5,6\n", "en.jsonl": jsonl(rows("en", 3))}
    german = [{"split": "learn", "path": "de/a.csv"}, {"split": "try", "path": "de/b*"}]
    talk.card = {
        "configs": [
            {"config_name": "german", "data_files": german},
            {"config_name": "english", "data_files": "en.jsonl", "default": True},
            {"config_name": "folder", "data_dir": "de"},
        ]
    }
    layout = look_up(CHOICE)
    assert list(layout.subsets) == ["german", "english", "folder"] and layout.subset == "english"
    assert list(layout.splits("german")) == ["learn", "try"] and list(layout.splits("folder")) == ["train"]
    part, _ = fetch(data, subset="german")
    assert (part.subset, part.split) == ("german", "learn") and load_examples(part, data).rows == 2
    assert load_examples(fetch(data)[0], data).rows == 3
    check_problem(refusal(data, subset="french"), "dataset.no_such_subset", "french", "german, english, folder")
    check_problem(refusal(data, subset="german", split="train"), "dataset.no_such_split", "train", "learn, try")


@pytest.mark.parametrize(
    "pattern", ["/etc/**", "../../**", "https://example.org/x.json", "zip://a.json::https://example.org/x.zip"]
)
def test_a_card_that_points_outside_of_its_dataset_is_refused(talk, data, pattern):
    talk.card = {"configs": [{"config_name": "default", "data_files": pattern}]}
    check_problem(refusal(data), "dataset.card_outside")


def test_what_the_hub_converts_to_parquet_has_its_subsets(hub, talk, data):
    talk.others["refs/convert/parquet"] = {
        f"{subset}/{split}/0000.parquet": parquet(rows(subset, count))
        for subset, split, count in (("de", "train", 5), ("de", "test", 2), ("en", "train", 3))
    }
    assert "refs/convert/parquet" in look_up(CHOICE, revisions=True).revisions
    chosen, _ = fetch(data, revision="refs/convert/parquet", subset="de", split="test")
    assert load_examples(chosen, data).rows == 2 and chosen.revision == talk.at("refs/convert/parquet").commit


# ---- refused, each with its own reason


def test_a_dataset_with_a_program_is_refused_and_the_program_not_even_fetched(hub, talk, data):
    talk.files["talk.py"] = b"raise SystemExit"
    said = refusal(data)
    check_problem(said, "dataset.wants_program", "talk.py")
    check_problem(said, "dataset.wants_program")
    check_problem(said, "dataset.wants_program")
    assert hub.files_asked() == []


def test_a_dataset_of_pictures_says_what_it_has(talk, data):
    talk.files = {"README.md": b"#", "a.png": b"x", "b.npz": b"y"}
    check_problem(refusal(data), "dataset.no_file_on_hub")
    check_problem(refusal(data), "dataset.no_file_on_hub", ".npz, .png")


WAYS = {
    "gated": (
        lambda at, talk: setattr(talk, "gated", True),
        None,
        ["is gated", "accept their terms", "datasets/tiny/talk"],
    ),
    "gated, token": (
        lambda at, talk: setattr(talk, "gated", True),
        STRANGER,
        ["account of your token is not on its list"],
    ),
    "private": (
        lambda at, talk: setattr(talk, "private", True),
        None,
        ["is private, or there is nothing of that name"],
    ),
    "missing": (lambda at, talk: at.repos.clear(), STRANGER, ["The Hub has nothing called tiny/talk"]),
    "expired": (lambda at, talk: None, EXPIRED, ["does not accept the token"]),
    "busy": (lambda at, talk: setattr(at, "status", 429), None, ["asks for a pause"]),
    "away": (lambda at, talk: at.close(), None, ["cannot be reached"]),
}


@pytest.mark.parametrize("way", WAYS)
def test_each_way_of_not_getting_it_has_its_own_sentence(hub, talk, data, way):
    happens, token, words = WAYS[way]
    happens(hub, talk)
    said = refusal(data, token)
    assert [word for word in words if word not in said] == []
    assert sum(all(word in said for word in others) for _, _, others in WAYS.values()) == 1, "no two say the same"


def test_offline_is_said_and_a_revision_that_does_not_exist(hub, talk, data, monkeypatch):
    check_problem(refusal(data, revision="v9"), "hub.no_revision", "v9")
    go_offline(hub, monkeypatch)
    check_problem(refusal(data), "hub.offline")
    assert hub.asked == []


def test_a_full_disk_is_said_before_and_on_the_way(hub, talk, data, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(downloading.shutil, "disk_usage", lambda _: type("Usage", (), {"free": 10})())
        check_problem(refusal(data), "hub.no_room", "tiny/talk")

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(downloading, "_fetch_large", full)
    check_problem(refusal(data), "hub.disk_full", "tiny/talk")
    assert kept_data(data) == []


# ---- downloaded, pinned, read by our own readers


def test_a_split_comes_whole_and_nothing_else_and_is_read_with_every_row_accounted_for(hub, talk, data):
    talk.files["data/train-00001-of-00002.parquet"] = parquet(
        [*rows("two", 9), {"instruction": "Nothing", "output": ""}]
    )
    with refused("dataset.not_here", kind=NotHere):
        load_examples(CHOICE, data)
    told = []
    chosen, warning = fetch_data(CHOICE, data, None, lambda done, total: told.append((done, total)), NEVER)
    assert warning == "" and told[-1][0] == told[-1][1] == sum(
        len(talk.files[f"data/train-0000{i}-of-00002.parquet"]) for i in (0, 1)
    )
    assert (chosen.revision, chosen.subset, chosen.split) == (talk.commit, "default", "train")
    assert not {"evil.py", "test-00000-of-00001.parquet"} & set(hub.files_asked())
    examples = load_examples(chosen, data)
    assert examples.rows == 30 and len(examples.train) + len(examples.held_out) == 29 and examples.format == "alpaca"
    assert str(examples.left_out[0]).startswith("row 30 (train-00001-of-00002.parquet): ")
    assert kept_data(data) == [ID] and pinned(CHOICE, data) == chosen


def test_what_is_pinned_and_here_needs_no_hub(hub, talk, data, monkeypatch):
    chosen, _ = fetch(data)
    go_offline(hub, monkeypatch)
    assert fetch_data(chosen, data, None, SILENT, NEVER) == (chosen, "") and load_examples(chosen, data).rows == 30
    part, warning = resolve(CHOICE, data)
    assert part.commit == talk.commit and "used as it is on this machine" in warning and hub.asked == []
    with refused("hub.offline"):
        resolve(CHOICE.model_copy(update={"split": "test"}), data)


def test_a_branch_that_moves_on_is_another_dataset(hub, talk, data):
    before, _ = fetch(data)
    talk.files["data/train-00001-of-00002.parquet"] = parquet(rows("new", 50))
    after, _ = fetch(data)
    assert before.revision != after.revision and load_examples(after, data).rows == 70
    assert load_examples(before, data).rows == 30, "a run keeps the commit it was started with"


def test_a_stop_keeps_what_came(hub, talk, data):
    stop = threading.Event()
    with pytest.raises(Stopped):
        fetch_data(CHOICE, data, None, lambda *_: stop.set(), stop.is_set)
    assert kept_data(data) == []
    assert load_examples(fetch(data)[0], data).rows == 30


def test_the_token_of_the_settings_opens_a_private_one(talk, data):
    talk.private = talk.gated = True
    assert load_examples(fetch(data, GOOD)[0], data).rows == 30


# ---- in a run, and on the command line


@pytest.mark.slow
def test_a_run_downloads_its_data_before_its_clock_starts(hub, talk, store):
    recipe = short_recipe(max_steps=2, scored_questions=0, samples=0)
    run = store.create(recipe.model_copy(update={"dataset": CHOICE}))
    local.launch(run)
    wait_for(lambda: run.status().has_ended)
    assert run.status().state == "done", run.log_tail()
    assert kept_data(store.root.parent / "data") == [ID]


def run_command(capsys, *words):
    code = main([*words, "--json"])
    out, err = capsys.readouterr()
    return code, json.loads(out) if out else err


def test_the_command_line_looks_at_data_of_the_hub_as_at_a_file(hub, talk, home, capsys):
    code, found = run_command(capsys, "data", ID)
    assert code == 0 and (found["format"], found["rows_in_file"], found["rows_trainable"]) == ("alpaca", 30, 30)
    assert found["hub"] == {
        "commit": talk.commit,
        "subset": "default",
        "split": "train",
        "subsets": ["default"],
        "splits": ["train", "test"],
        "licence": "apache-2.0",
    }
    assert run_command(capsys, "data", ID, "dataset.split=test")[1]["rows_in_file"] == 4
    assert main(["data", ID]) == 0
    shown = capsys.readouterr().out
    assert "Split: train (there are train, test)" in shown and f"Commit: {talk.commit}" in shown and "⟦" in shown
    code, error = run_command(capsys, "data", ID, "dataset.split=all")
    assert code == 2 and "has no split 'all'" in error


def test_the_command_line_trains_on_it_and_the_recipe_keeps_the_commit(hub, talk, home, monkeypatch):
    monkeypatch.setattr(local, "launch", lambda run: None)
    given = [
        "dataset.source=hub",
        f"dataset.id={ID}",
        "dataset.split=test",
        "training.max_steps=1",
        "training.scored_questions=0",
    ]
    main(["train", "starter", *given, "--no-watch"])
    kept = RunStore(home / "runs").list()[0].recipe().dataset
    assert (kept.revision, kept.subset, kept.split) == (talk.commit, "default", "test")
    assert load_examples(kept, home / "data").rows == 4, "what it was checked with is here"


def test_a_named_split_is_downloaded_too_and_only_measured_with(talk, data):
    chosen, _ = fetch(data, held_out_from="test")
    assert (chosen.split, chosen.held_out_from, chosen.revision) == ("train", "test", talk.commit) and is_here(
        chosen, data
    )
    examples = load_examples(chosen, data)
    assert (len(examples.train), len(examples.held_out)) == (30, 4)
    check_problem(refusal(data, held_out_from="nothing"), "dataset.no_such_split", "nothing")
    check_problem(
        chosen.model_copy(update={"held_out_from": "train"}).problems()["held_out_from"], "dataset.held_out_same_split"
    )


def test_a_named_split_that_is_not_here_yet_is_asked_for(talk, data):
    chosen = fetch(data)[0].model_copy(update={"held_out_from": "test"})
    assert not is_here(chosen, data)
    with pytest.raises(NotHere):
        load_examples(chosen, data)
