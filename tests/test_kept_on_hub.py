"""Runs kept on a Hub of our own: what a machine without storage has after it was built anew."""

import dataclasses
import io
import json
import os
import shutil
import subprocess
import sys

import pytest

from qlora_app.accounts import Accounts
from qlora_app.cli import main
from qlora_app.hub.last_sent import COMING, Coming, coming_runs, last_sent, note_coming
from qlora_app.launch.keeper import Keeper
from qlora_app.runs import RunStatus, RunStore
from qlora_app.runs.checkpoints import newest_complete
from qlora_app.runs.labels import labels_of
from qlora_app.runs.on_hub import KeptRuns
from qlora_app.runs.on_hub_homes import KeptHomes
from qlora_app.settings import Settings
from qlora_app.training_data.votes import EXAMPLES, Votes
from qlora_app.ui.runs.table import RunsTable
from tests.fixtures.damages import OLD
from tests.fixtures.jobs import write_status
from tests.hub_server import GOOD, Repo
from tests.refusing import refused

PLACE = "datasets/me/my-runs"


def machine(folder, **more):
    """The settings of an installation whose home is new."""
    return Settings(home=folder, hub_token=GOOD, keep_runs="me/my-runs", **more)


@pytest.fixture
def filled(hub, tmp_path, monkeypatch):
    """A machine with a finished run, one that was cut off, and data of its owner, all of it sent."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("HF_HUB_DISABLE_XET", "1")
    settings = machine(tmp_path / "first")
    for name in ("finished", "interrupted"):
        shutil.copytree(OLD / name, settings.runs / name)
    write_status(RunStore(settings.runs).get("interrupted"), RunStatus("running", step=10, total=24))
    settings.data.mkdir(parents=True)
    (settings.data / "mine.jsonl").write_text('{"a": 1}\n')
    assert sorted(KeptRuns(settings).send()) == ["finished", "interrupted"]
    return settings


def files_below(folder):
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_machine_that_was_built_anew_has_its_runs_again(hub, filled, tmp_path):
    repo = hub.repos[PLACE]
    assert repo.private and not any(name.endswith("/lock") for name in repo.files)
    assert GOOD.encode() not in b"".join(repo.files.values())
    anew = machine(tmp_path / "second")
    assert KeptRuns(anew).fetch() == ["finished", "interrupted"]
    store, before = RunStore(anew.runs), RunStore(filled.runs)
    assert files_below(store.get("finished").adapter) == files_below(before.get("finished").adapter)
    cut = store.get("interrupted")
    assert cut.status().state == before.get("interrupted").status().state == "interrupted", "Resume goes on with it"
    assert newest_complete(cut.checkpoints).name == newest_complete(before.get("interrupted").checkpoints).name
    assert (anew.data / "mine.jsonl").read_text() == '{"a": 1}\n'
    assert KeptRuns(anew).fetch() == [], "what is here stays as it is"


def test_run_after_run_comes_and_the_page_says_how_many_there_are(hub, filled, tmp_path, page):
    anew = machine(tmp_path / "second")
    heard = []

    def tell(here, of):
        note_coming(anew, Coming(here, of))
        table = RunsTable(dataclasses.replace(page, settings=anew))
        heard.append((here, of, sorted(path.name for path in anew.runs.glob("[!.]*")), table.rows({})["coming"]))
        assert (anew.data / "mine.jsonl").is_file(), "the data of them came first"

    assert KeptRuns(anew).fetch(tell) == ["finished", "interrupted"]
    assert [one[:3] for one in heard] == [(0, 2, []), (1, 2, ["interrupted"])]
    assert "1 of 2" in heard[1][3]
    note_coming(anew, None)
    assert coming_runs(anew) is None


@pytest.mark.parametrize("damaged", ["", "[]", '{"here": "x", "of": [], "has_failed": 1}', "{"])
def test_what_is_written_of_it_may_be_damaged(tmp_path, damaged):
    settings = machine(tmp_path)
    (tmp_path / COMING).write_text(damaged)
    assert coming_runs(settings) in (None, Coming(0, 0, False))


def test_what_came_stays_where_the_hub_fails_in_between(hub, filled, tmp_path, monkeypatch):
    """The rest comes the next time; what a person deleted or made meanwhile stays as they left it."""
    anew, kept = machine(tmp_path / "second"), None

    def fails(here, of):
        hub.status = 503 if here else None

    kept = KeptRuns(anew)
    with refused("hub.no_answer"):
        kept.fetch(fails)
    hub.status = None
    assert [path.name for path in anew.runs.glob("[!.]*")] == ["interrupted"]
    RunStore(anew.runs).delete("interrupted")

    def makes(here, of):
        (anew.runs / "finished").mkdir(exist_ok=True)
        (anew.runs / "finished" / "mine").write_text("of this machine")

    kept.fetch(makes)
    assert files_below(anew.runs / "finished") == {"mine": b"of this machine"}
    assert not (anew.runs / "interrupted").exists()


def test_the_process_that_keeps_them_writes_down_that_it_could_not_fetch(hub, filled, tmp_path, monkeypatch, capsys):
    anew = machine(tmp_path / "second")
    for name, value in {"HOME": anew.home, "HUB_TOKEN": GOOD, "KEEP_RUNS": "me/my-runs"}.items():
        monkeypatch.setenv(f"QLORA_APP_{name}", str(value))
    monkeypatch.setattr("qlora_app.cli.keeping.signal.signal", lambda *_: None)
    hub.status = 403
    assert main(["keep", "--fetch", "--while", "1"]) == 0, "whoever started it is gone: it tries twice"
    assert coming_runs(anew) == Coming(0, 0, has_failed=True) and not any(anew.runs.glob("[!.]*"))
    hub.status = None
    assert main(["keep", "--fetch", "--while", "1"]) == 0
    assert coming_runs(anew) is None and len(list(anew.runs.glob("[!.]*"))) == 2


def test_only_what_has_changed_is_sent_and_what_was_deleted_stays_deleted(hub, filled):
    kept = KeptRuns(filled)
    kept.send()
    assert kept.send() == []
    (filled.runs / "finished" / "labels.json").write_text("{}")
    assert kept.send() == ["finished"] and "runs/finished/labels.json" in hub.repos[PLACE].files
    RunStore(filled.runs).delete("finished")
    assert KeptRuns(filled).fetch() == []
    assert kept.send() == [] and not any("finished/" in name for name in hub.repos[PLACE].files)
    assert "runs/interrupted/recipe.yaml" in hub.repos[PLACE].files


def test_what_is_only_not_here_is_never_deleted_there(hub, filled, tmp_path):
    """A folder of runs that was not mounted, moved, or restored without its runs."""
    kept, before = KeptRuns(filled), dict(hub.repos[PLACE].files)
    filled.runs.rename(tmp_path / "elsewhere")
    filled.data.rename(tmp_path / "data elsewhere")
    for one in (kept, KeptRuns(filled)):
        assert one.send() == [] and hub.repos[PLACE].files == before
    assert KeptRuns(filled).fetch() == ["finished", "interrupted"]


def test_a_run_made_anew_under_the_name_of_a_deleted_one_is_kept(hub, filled):
    kept, store = KeptRuns(filled), RunStore(filled.runs)
    store.delete("finished")
    store.sweep()
    shutil.copytree(OLD / "interrupted", filled.runs / "finished")
    recipe, note = filled.runs / "finished" / "recipe.yaml", filled.runs / ".gone" / "finished"
    os.utime(recipe, ns=(note.stat().st_mtime_ns + 1_000_000_000,) * 2)
    assert "finished" in kept.send() and "runs/finished/recipe.yaml" in hub.repos[PLACE].files
    assert not any(name.startswith("runs/finished/adapter") for name in hub.repos[PLACE].files), "of the deleted one"
    shutil.rmtree(filled.runs / "finished")
    assert kept.send() == [] and "runs/finished/recipe.yaml" in hub.repos[PLACE].files, "nobody deleted this one"


def test_data_of_any_name_are_kept_also_where_no_run_changes(hub, filled, tmp_path):
    kept = KeptRuns(filled)
    kept.send()
    for name in ("rows [1].jsonl", "a*b?.jsonl", "[!x].csv", "ä ö.txt"):
        (filled.data / name).write_text(name)
    (filled.data / ".readings").mkdir()
    (filled.data / ".readings" / "made again").write_text("")
    assert kept.send() == [] and "data/rows [1].jsonl" in hub.repos[PLACE].files
    anew = machine(tmp_path / "second")
    KeptRuns(anew).fetch()
    theirs = {path.name: path.read_text() for path in filled.data.glob("[!.]*")}
    assert {path.name: path.read_text() for path in anew.data.glob("[!.]*")} == theirs
    assert not (anew.data / ".readings").exists()


def test_a_vote_that_was_taken_back_does_not_come_back(hub, filled, tmp_path):
    votes, kept = Votes(filled.data), KeptRuns(filled)
    votes.correct("one", [{"role": "user", "content": "Hi"}], "Hello", {})
    kept.send()
    assert f"data/{EXAMPLES}" in hub.repos[PLACE].files
    votes.take_back("one")
    assert KeptRuns(filled).fetch() == [] and not (filled.data / EXAMPLES).exists()
    kept.send()
    assert f"data/{EXAMPLES}" not in hub.repos[PLACE].files and "data/mine.jsonl" in hub.repos[PLACE].files


def test_homes_of_members_come_back_to_them_and_to_nobody_else(hub, filled, tmp_path, monkeypatch, capsys):
    """Of the same run ids in several homes; one of whom is no member any more, one whose name is a path."""
    with_members, words = filled.model_copy(update={"others": "nobody"}), {}
    for name in ("bob", "eve", "tom"):
        Accounts(with_members).add(name, "member", "long enough")
        home = with_members.of_member(name)
        shutil.copytree(OLD / "finished", home.runs / "finished")
        words[name] = f"of {name}"
        (home.runs / "finished" / "labels.json").write_text(json.dumps({"note": words[name]}))
        home.data.mkdir(parents=True)
        (home.data / f"{name}.jsonl").write_text("{}")
        (home.home / "hub_token").write_text("hf_of_the_member")
    assert set(KeptHomes(with_members).send()) >= {"bob/finished", "eve/finished", "tom/finished"}
    files = hub.repos[PLACE].files
    assert {name.split("/")[1] for name in files if name.startswith("members/")} == {"bob", "eve", "tom"}
    assert not any(name.endswith("hub_token") for name in files) and b"hf_of_the_member" not in b"".join(files.values())
    files["members/../data/evil.jsonl"] = files["members/.x/runs/a/recipe.yaml"] = b"evil"
    anew = machine(tmp_path / "second")
    anew.make_home()
    for name, role in (("bob", "member"), ("eve", "member"), ("tom", "visitor")):
        Accounts(anew).add(name, role, "long enough")
    kept = KeptHomes(anew)
    assert sorted(kept.fetch()) == ["bob/finished", "eve/finished", "finished", "interrupted"]
    assert sorted(one.name for one in anew.members.iterdir()) == ["bob", "eve"] and kept.left_there() == ["tom"]
    for name in ("bob", "eve"):
        home = anew.of_member(name)
        assert labels_of(RunStore(home.runs).get("finished")).note == words[name]
        assert [one.name for one in home.data.glob("[!.]*")] == [f"{name}.jsonl"]
    RunStore(anew.of_member("bob").runs).delete("finished")
    kept.send()
    files = hub.repos[PLACE].files
    assert "members/bob/runs/finished/recipe.yaml" not in files and "members/eve/runs/finished/recipe.yaml" in files
    assert "runs/finished/recipe.yaml" in files, "the owner's of the same name"
    for name, value in {"HOME": anew.home, "HUB_TOKEN": GOOD, "KEEP_RUNS": "me/my-runs"}.items():
        monkeypatch.setenv(f"QLORA_APP_{name}", str(value))
    assert main(["keep", "--fetch"]) == 0
    assert "tom is no member here" in capsys.readouterr().err


def test_a_name_of_somebody_who_left_is_not_given_to_another(hub, filled, tmp_path, monkeypatch, capsys):
    """Their home is on the Hub alone, as after a restart of a Space, and then cannot be asked for."""
    Accounts(filled).add("ada", "member", "long enough")
    shutil.copytree(OLD / "finished", filled.of_member("ada").runs / "finished")
    assert "ada/finished" in KeptHomes(filled).send()
    anew = machine(tmp_path / "second")
    for name, value in {"HOME": anew.home, "HUB_TOKEN": GOOD, "KEEP_RUNS": "me/my-runs"}.items():
        monkeypatch.setenv(f"QLORA_APP_{name}", str(value))
    monkeypatch.setattr("sys.stdin", io.StringIO("long enough\n" * 5))
    before = dict(hub.repos[PLACE].files)
    assert main(["accounts", "add", "ada"]) != 0 and "--with-home" in capsys.readouterr().err
    hub.status = 503
    assert main(["accounts", "add", "eve"]) != 0, "whether somebody had that name is not known"
    hub.status = None
    assert Accounts(anew).all() == {} and main(["accounts", "add", "eve"]) == 0
    assert not [one for one in KeptHomes(anew).fetch() if "/" in one] and not anew.members.exists()
    assert main(["accounts", "add", "ada", "--with-home"]) == 0
    assert KeptHomes(anew).fetch() == ["ada/finished"] and hub.repos[PLACE].files == before


def test_a_run_that_cannot_be_read_keeps_no_other_back(hub, filled):
    kept, hole = KeptHomes(filled), filled.runs / "interrupted" / "half.tmp"
    (filled.runs / "finished" / "labels.json").write_text("{}")
    hole.symlink_to("nowhere")
    before = last_sent(filled)
    with refused("keep.not_copied"):
        kept.send()
    assert "runs/finished/labels.json" in hub.repos[PLACE].files and last_sent(filled) == before
    hole.unlink()
    assert kept.send() == ["interrupted"] and last_sent(filled) != before


def test_what_keeps_the_runs_is_started_again_when_it_was_killed(tmp_path, monkeypatch):
    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path))
    said = []
    keeper = Keeper(said.append, again=0)
    first = keeper.process
    keeper.look()
    first.kill()
    first.wait()
    keeper.look()
    assert keeper.process is not first and "-9" in said[-1]
    keeper.close()
    assert keeper.process.poll() is not None


@pytest.mark.slow
def test_a_failure_is_said_and_a_signal_sends_once_more(hub, filled, monkeypatch):
    monkeypatch.setenv("QLORA_APP_HOME", str(filled.home))
    monkeypatch.setenv("QLORA_APP_HUB_TOKEN", GOOD)
    monkeypatch.setenv("QLORA_APP_KEEP_RUNS", "me/my-runs")
    monkeypatch.setenv("QLORA_APP_LOG_FORMAT", "json")
    hole = filled.runs / "interrupted" / "half.tmp"
    hole.symlink_to("nowhere")
    command = [sys.executable, "-m", "qlora_app", "keep", "--json", "--while", str(os.getpid())]
    keeper = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        said = next(line for line in keeper.stderr if "half.tmp" in line)
        assert json.loads(said)["level"] == "error"
        hole.unlink()
        keeper.terminate()
        assert "interrupted" in json.loads(keeper.stdout.readline())["sent"] and keeper.wait() == 0
    finally:
        keeper.kill()
        keeper.communicate()


def test_a_hub_that_refuses_loses_nothing(hub, filled, tmp_path):
    before = dict(hub.repos[PLACE].files)
    (filled.runs / "finished" / "labels.json").write_text("{}")
    kept, hub.status = KeptRuns(filled), 503
    with refused("hub.no_answer"):
        kept.send()
    hub.status = None
    assert hub.repos[PLACE].files == before and "finished" in kept.send()
    hub.add(Repo("me/open", {}, "datasets"))
    with refused("hub.repository_is_public"):
        KeptRuns(filled.model_copy(update={"keep_runs": "me/open"})).send()
    with refused("keep.no_token"):
        KeptRuns(filled.model_copy(update={"hub_token": None}))
    with refused("hub.no_id"):
        KeptRuns(filled.model_copy(update={"keep_runs": "a b"}))


@pytest.mark.slow
def test_what_changed_is_sent_once_more_when_the_page_is_killed(hub, filled, monkeypatch, capsys):
    """The page starts such a process; here a shell in its place, which is killed."""
    monkeypatch.setenv("QLORA_APP_HOME", str(filled.home))
    monkeypatch.setenv("QLORA_APP_HUB_TOKEN", GOOD)
    monkeypatch.setenv("QLORA_APP_KEEP_RUNS", "me/my-runs")
    assert main(["keep", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["fetched"] == []
    page = subprocess.Popen(
        ["sh", "-c", f"{sys.executable} -m qlora_app keep --json --while $$ & wait"], stdout=subprocess.PIPE, text=True
    )
    assert json.loads(page.stdout.readline())["fetched"] == []
    (filled.runs / "interrupted" / "labels.json").write_text("{}")
    page.kill()
    assert json.loads(page.stdout.readline())["sent"] == ["interrupted"] and page.stdout.read() == ""
    assert "runs/interrupted/labels.json" in hub.repos[PLACE].files
