"""Runs kept on a Hub of our own: what a machine without storage has after it was built anew."""

import json
import shutil
import subprocess
import sys

import pytest

from qlora_app.cli import main
from qlora_app.runs import RunStatus, RunStore
from qlora_app.runs.checkpoints import newest_complete
from qlora_app.runs.on_hub import KeptRuns
from qlora_app.settings import Settings
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


def test_only_what_has_changed_is_sent_and_what_was_deleted_stays_deleted(hub, filled):
    kept = KeptRuns(filled)
    kept.send()
    assert kept.send() == []
    (filled.runs / "finished" / "labels.json").write_text("{}")
    assert kept.send() == ["finished"] and "runs/finished/labels.json" in hub.repos[PLACE].files
    shutil.rmtree(filled.runs / "finished")
    assert KeptRuns(filled).fetch() == []
    assert kept.send() == [] and not any("finished/" in name for name in hub.repos[PLACE].files)
    assert "runs/interrupted/recipe.yaml" in hub.repos[PLACE].files


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
