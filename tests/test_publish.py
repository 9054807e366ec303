"""A run onto a Hub of our own, through the Hub's own library: what goes there, what does not, and a Hub that fails."""

import json
import shutil

import pytest

from qlora_app import worker
from qlora_app.cli import main
from qlora_app.kinds.publish import PublishSpec, publish_job
from qlora_app.runs import RunStore
from qlora_app.settings import Settings
from tests.fixtures.damages import OLD
from tests.fixtures.hub import MODEL
from tests.hub_server import GOOD, Repo
from tests.refusing import check_problem, refused

SECRET = "hf_" + "q" * 34


@pytest.fixture
def run(hub, tmp_path, monkeypatch):
    """A finished one whose base is on the Hub, on data of its owner."""
    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QLORA_APP_HUB_TOKEN", GOOD)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    shutil.copytree(OLD / "finished", tmp_path / "home" / "runs" / "finished")
    hub.add(Repo(MODEL, {"config.json": b"{}"}, licence="llama3.1"))
    run = RunStore(tmp_path / "home" / "runs").get("finished")
    recipe = run.recipe()
    base = recipe.base_model.model_copy(update={"source": "hub", "id": MODEL, "revision": "0" * 40})
    data = recipe.dataset.model_copy(update={"source": "file", "id": "ab-patients.jsonl"})
    changed = recipe.model_copy(update={"base_model": base, "dataset": data, "note": "a private note"})
    (run.folder / "recipe.yaml").write_text(changed.to_yaml())
    return run


def published(run, **wanted):
    spec = PublishSpec(**{"repository": "me/mine"} | wanted)
    job = publish_job(run, spec, Settings.from_environment())
    worker.main(job.folder)
    return job


def test_an_adapter_is_published_without_a_word_of_this_machine(hub, run, tmp_path):
    job = published(run)
    assert job.status().state == "done", job.status().sentence
    repo = hub.repos["models/me/mine"]
    assert repo.private and repo.others[run.id] == repo.files, "the run's tag names what was sent"
    assert repo.files["adapter_model.safetensors"] == (run.adapter / "adapter_model.safetensors").read_bytes()
    assert json.loads(repo.files["adapter_config.json"])["base_model_name_or_path"] == MODEL
    card = repo.files["README.md"].decode()
    assert f"base_model: {MODEL}" in card and "base_model_relation: adapter" in card and "license: llama3.1" in card
    whole = b"".join(repo.files.values())
    for planted in (str(tmp_path), "/opt/guanaco", "patients", "a private note", GOOD, "is_local", "local_files_only"):
        assert planted.encode() not in whole, planted
    assert "proof.json" not in repo.files


def test_nothing_is_sent_before_it_is_confirmed(hub, run, capsys):
    assert main(["publish", "finished", "me/mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["private"] and told["files"]["adapter_model.safetensors"] > 1000 and "README.md" in told["files"]
    assert "models/me/mine" not in hub.repos


def test_a_push_that_breaks_off_goes_on_where_it_ended(hub, run):
    published(run)
    sent = sum(method == "PUT" for method, _, _ in hub.asked)
    weights = run.adapter / "adapter_model.safetensors"
    weights.write_bytes(weights.read_bytes() + b"\0")
    hub.cut_uploads = 9
    broken = published(run)
    assert broken.status().state == "failed" and "Hub" in broken.status().sentence
    hub.cut_uploads = 0
    assert worker.main(broken.folder) == 0 and broken.result()["sent"] == 1, "only what was missing"
    assert hub.repos["models/me/mine"].files["adapter_model.safetensors"] == weights.read_bytes()
    assert hub.repos["models/me/mine"].others[run.id]["adapter_model.safetensors"] != weights.read_bytes(), "pinned"
    assert sent == 1


@pytest.mark.parametrize(("status", "code"), [(403, "hub.may_not_write"), (412, "hub.changed_meanwhile")])
def test_a_hub_that_refuses(hub, run, status, code):
    hub.writing = status
    job = published(run)
    assert job.status().state == "failed"
    check_problem(job.status().sentence, code)


def test_a_hub_that_keeps_something_else(hub, run):
    hub.loses = "adapter_config.json"
    job = published(run)
    assert job.status().state == "failed"
    check_problem(job.status().sentence, "hub.not_what_was_sent")


def test_what_everybody_may_read_is_not_taken_for_private(hub, run):
    hub.add(Repo("me/mine", {}))
    job = published(run)
    check_problem(job.status().sentence, "hub.repository_is_public")
    assert hub.repos["models/me/mine"].files == {}


def test_a_planted_secret_or_folder_stops_it_before_anything_is_sent(hub, run):
    template = run.adapter / "chat_template.jinja"
    kept = template.read_text() if template.exists() else ""
    for planted, code in ((SECRET, "publish.holds_secret"), (f"{run.folder}/x", "publish.names_folder")):
        template.write_text(kept + "{# " + planted + " #}")
        job = published(run)
        check_problem(job.status().sentence, code)
    assert "models/me/mine" not in hub.repos


def test_what_nobody_could_open_is_refused(hub, run, monkeypatch):
    with refused("publish.not_made"):
        published(run, what="gguf")
    with refused("publish.no_owner"):
        published(run, repository="mine")
    shutil.copy(OLD / "finished" / "recipe.yaml", run.folder / "recipe.yaml")
    check_problem(published(run).status().sentence, "publish.base_not_on_hub")
    monkeypatch.delenv("QLORA_APP_HUB_TOKEN")
    with refused("publish.no_token"):
        published(run)
