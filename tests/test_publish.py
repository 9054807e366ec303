"""A run onto a Hub of our own, through the Hub's own library: what goes there, what does not, and a Hub that fails."""

import dataclasses
import errno
import json
import re
import shlex
import shutil
import subprocess
import sys
import time
from types import SimpleNamespace

import gradio as gr
import pytest
import torch
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import SecretStr
from safetensors.torch import load_file, save_file

from qlora_app import starter, worker
from qlora_app.cli import main
from qlora_app.export import GgufExporter, MergedExporter
from qlora_app.export.hub_card import hub_card
from qlora_app.export.public_names import public_id, public_title
from qlora_app.export.space import _readme
from qlora_app.hub import Repository
from qlora_app.hub.publishing import _not_sent, mistaken
from qlora_app.inference.session import ChatSession
from qlora_app.kinds.export import export_job
from qlora_app.kinds.publish import PublishSpec, check, check_hub, publish_job, suggested
from qlora_app.runs import RunStore
from qlora_app.runs.exports import Export
from qlora_app.runs.labels import relabel
from qlora_app.settings import Settings
from tests.fixtures.damages import OLD
from tests.fixtures.hub import MODEL
from tests.fixtures.page import event
from tests.hub_server import EXPIRED, GOOD, Repo
from tests.refusing import check_problem, refused

FAILING = [
    ("writing", 403, "hub.may_not_write"),
    ("writing", 409, "hub.changed_meanwhile"),
    ("cut_uploads", 9, "hub.push_broke_off"),
]
SECRET = "hf_" + "q" * 34
PATIENTS = "2026-11-30-1755-tiny-ab-patients"  # an id as the data ab-patients.jsonl makes it


@pytest.fixture
def home(hub, tmp_path, monkeypatch):
    """With a token that may write, and a client that tries again without a pause."""
    monkeypatch.setenv("QLORA_APP_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("QLORA_APP_HUB_TOKEN", GOOD)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    at_once = SimpleNamespace(**vars(time) | {"sleep": lambda seconds: None})
    monkeypatch.setattr("huggingface_hub.utils._http.time", at_once)
    return tmp_path / "home"


@pytest.fixture(scope="module")
def exports(tmp_path_factory):
    """The exports of a run, made once: a merged model and a GGUF."""
    home = tmp_path_factory.mktemp("exports")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("QLORA_APP_HOME", str(home))
        shutil.copytree(OLD / "finished", home / "runs" / "finished")
        run = RunStore(home / "runs").get("finished")
        # In 32 bits every processor computes alike; in 16 some have instructions of their own, which sum otherwise.
        for exporter in (MergedExporter(dtype="fp32", questions=2), GgufExporter(dtype="F16", questions=2)):
            assert worker.main(export_job(run, exporter).folder) == 0
    return home / "runs" / "finished"


@pytest.fixture
def exported(exports, home):
    """The same run in a home of its own: its base is the starter."""
    shutil.copytree(exports, home / "runs" / "finished")
    return RunStore(home / "runs").get("finished")


@pytest.fixture
def run(hub, home):
    """A finished one whose base is on the Hub, on data of its owner."""
    shutil.copytree(OLD / "finished", home / "runs" / PATIENTS)
    hub.add(Repo(MODEL, {"config.json": b"{}"}, licence="llama3.1"))
    run = RunStore(home / "runs").get(PATIENTS)
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
    assert repo.private and repo.others[public_id(run)] == repo.files, "the run's tag names what was sent"
    assert repo.files["adapter_model.safetensors"] == (run.adapter / "adapter_model.safetensors").read_bytes()
    assert json.loads(repo.files["adapter_config.json"])["base_model_name_or_path"] == MODEL
    card = repo.files["README.md"].decode()
    assert f"base_model: {MODEL}" in card and "base_model_relation: adapter" in card and "license: llama3.1" in card
    assert repo.files["loss.png"].startswith(b"\x89PNG") and "![Loss over 24 steps:" in card
    whole = b"".join(repo.files.values())
    for planted in (str(tmp_path), "/opt/guanaco", "patients", "a private note", GOOD, "is_local", "local_files_only"):
        assert planted.encode() not in whole, planted
    assert "proof.json" not in repo.files


def test_nothing_is_sent_before_it_is_confirmed(hub, run, capsys):
    assert main(["publish", run.id, "me/mine", "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["private"] and told["files"]["adapter_model.safetensors"] > 1000 and "README.md" in told["files"]
    assert "models/me/mine" not in hub.repos


def test_a_push_that_breaks_off_goes_on_where_it_ended(hub, run):
    published(run)
    sent = sum(method == "PUT" for method, _, _ in hub.asked)
    weights = run.adapter / "adapter_model.safetensors"
    save_file({name: tensor + 1 for name, tensor in load_file(weights).items()}, weights, {"format": "pt"})
    hub.cut_uploads = 9
    broken = published(run)
    check_problem(broken.status().sentence, "hub.push_broke_off")
    hub.cut_uploads = 0
    assert worker.main(broken.folder) == 0 and broken.result()["sent"] == 1, "only what was missing"
    assert hub.repos["models/me/mine"].files["adapter_model.safetensors"] == weights.read_bytes()
    repo = hub.repos["models/me/mine"]
    assert repo.others == {public_id(run): repo.files}, "what the card tells people to open is what stands beside it"
    assert sent == 1


def test_a_push_is_one_commit_and_what_is_there_is_whole_until_then(hub, run):
    """Cut off behind the first of two large files, the second push sends the other one alone."""
    large = run.adapter / "more.safetensors"
    save_file({"x": torch.ones(3)}, large)
    before = []
    hub.add(repo := Repo("me/mine", {".gitattributes": b"", "README.md": b"theirs"}, private=True))

    def cut_behind_the_first():
        before.append(dict(repo.files))
        hub.cut_uploads = 9 * (len(hub.uploaded) > 0)

    hub.before_upload = cut_behind_the_first
    check_problem(published(run).status().sentence, "hub.push_broke_off")
    assert len(hub.uploaded) == 1 and repo.files["README.md"] == b"theirs" and "adapter_config.json" not in repo.files
    hub.before_upload, hub.cut_uploads = lambda: None, 0
    puts = sum(method == "PUT" for method, _, _ in hub.asked)
    assert published(run).status().state == "done"
    assert sum(method == "PUT" for method, _, _ in hub.asked) == puts + 1 and len(hub.messages) == 1
    assert repo.files["more.safetensors"] == large.read_bytes() and repo.files["README.md"] != b"theirs"
    assert published(run).status().state == "done" and len(hub.messages) == 1, "nothing to send is no commit"


READ = ["model.safetensors", "model-00001-of-00002.safetensors", "model.safetensors.index.json", "config.json"]
READ += ["adapter_model.safetensors", "adapter_config.json", "chat_template.jinja", "tokenizer.json", "vocab.txt"]


@given(st.sets(st.sampled_from(READ)), st.sets(st.sampled_from(READ)))
def test_nothing_is_left_there_that_is_read_as_a_part_of_what_comes(there, sent):
    found = set(mistaken(Repository("me/mine"), there | {"LICENSE", "pictures/model.safetensors", "a-Q8_0.gguf"}, sent))
    of_models = {name for name in READ if "model" in name or "config" in name}
    assert found == there - sent - (of_models if "adapter_config.json" in sent else set())


def test_a_gguf_is_mistaken_for_one_of_its_type_only():
    there = ["old-Q8_0.gguf", "old-Q4_K_M.gguf", "config.json", "new-Q8_0.gguf", "params"]
    assert mistaken(Repository("me/mine"), there, ["new-Q8_0.gguf", "README.md"]) == ["old-Q8_0.gguf", "params"]
    assert mistaken(Repository("me/mine", kind="space"), there, ["app.py"]) == []


def test_what_would_be_read_with_it_is_said_before_and_nothing_is_taken_away(hub, run, capsys):
    hub.add(repo := Repo("me/mine", {"vocab.txt": b"of another", "model.safetensors": b""}, private=True))
    kept = dict(repo.files)
    assert main(["publish", run.id, "me/mine", "--json"]) == 2 and "me/mine holds vocab.txt," in capsys.readouterr().err
    check_problem(published(run).status().sentence, "hub.others_are_there")
    assert repo.files == kept, "nothing went, nothing came"


def test_what_somebody_else_sends_meanwhile_is_not_written_over(hub, run):
    repo = hub.add(Repo("me/mine", {".gitattributes": b""}, private=True))
    hub.before_upload = lambda: repo.files.update({"README.md": b"theirs, sent meanwhile"})
    check_problem(published(run).status().sentence, "hub.changed_meanwhile")
    assert repo.files["README.md"] == b"theirs, sent meanwhile"


def test_a_name_that_was_made_of_own_data_leaves_in_nothing(hub, run):
    """Its id and title are made of the file it learned: neither is in names, tags, messages or what it is told by."""
    job = published(run, repository=suggested(run, "adapter", "me"))
    repo = next(repo for place, repo in hub.repos.items() if place.startswith("models/me/"))
    said = [repo.id, *repo.others, *hub.messages, repo.files["README.md"].decode(), _readme(run), public_title(run)]
    assert job.status().state == "done" and not [one for one in said if "patients" in one.lower()]
    assert public_id(run).startswith("2026-11-30-1755-") and hub.messages
    relabel(run, name="Nurse")
    assert public_title(run) == "Nurse", "what somebody called it may be read"


def test_an_adapter_of_somebody_else_is_not_called_ours(hub, run):
    proof = json.loads((run.adapter / "proof.json").read_text()) | {"imported": "/home/ann/elsewhere"}
    (run.adapter / "proof.json").write_text(json.dumps(proof))
    card = hub_card(run, "adapter", {}, "me/mine", {})
    assert "imported by Guanaco Workshop" in card and "Trained" not in card and "/home/ann" not in card
    assert published(run).status().state == "done"
    assert "license" not in hub.repos["models/me/mine"].files["README.md"].decode(), "its terms are its maker's"


def test_the_card_of_an_export_says_what_the_export_says_of_itself(run):
    made = Export(format="merged", notes=("Not trained.",))
    card = hub_card(run, "merged", {}, "me/mine", {}, made=made)
    assert "**Not trained.**" in card and "base_model_relation: finetune" in card


@pytest.mark.slow
@pytest.mark.parametrize(("what", "weights"), [("merged", "model.safetensors"), ("gguf", ".gguf")])
def test_an_export_is_published_by_a_hub_that_fails_in_every_way(hub, exported, monkeypatch, what, weights):
    """403, 409, a connection that breaks off, a full disk, other files than were sent: then only what is missing."""
    for name, value, code in FAILING:
        setattr(hub, name, value)
        job = published(exported, what=what)
        setattr(hub, name, 0)
        check_problem(job.status().sentence, code)
    with monkeypatch.context() as patch:
        patch.setattr("PIL.Image.Image.save", _no_room)  # the picture of the card
        check_problem(published(exported, what=what).status().sentence, "disk.full")
    hub.loses = "README.md"
    check_problem(published(exported, what=what).status().sentence, "hub.not_what_was_sent")
    repo = hub.repos["models/me/mine"]
    large = next(name for name in repo.files if name.endswith(weights))
    assert "finished" not in repo.others, "half of it has no tag"
    puts = sum(method == "PUT" for method, _, _ in hub.asked)
    hub.loses = ""
    job = published(exported, what=what)
    assert job.status().state == "done" and job.result()["sent"] == 1
    assert sum(method == "PUT" for method, _, _ in hub.asked) == puts, "the weights were there"
    assert len(repo.files[large]) > 1_000_000 and repo.others["finished"] == repo.files
    whole = b"".join(repo.files.values())
    for planted in (str(exported.folder.parent), "is_local", "local_files_only", GOOD, "fidelity.json"):
        assert planted.encode() not in whole, planted
    front = yaml.safe_load(repo.files["README.md"].decode().split("---")[1])
    assert front["license"] == "apache-2.0" and front["model-index"][0]["results"][0]["metrics"]


def _no_room(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


@pytest.mark.slow
def test_the_lines_of_the_cards_say_what_the_model_says(hub, exported, tmp_path):
    """In a process without this package, from the Hub: transformers opens the merged model, PEFT the adapter."""
    session = ChatSession.open(exported.base_model(), exported.recipe().method, exported.adapter, exported.task())
    *_, ours = session.write([{"role": "user", "content": "Hello"}])
    for what in ("merged", "gguf"):
        assert published(exported, what=what, repository=f"me/{what}").status().state == "done"
    base = hub.add(Repo.of_folder(MODEL, starter.BASE))
    recipe = exported.recipe()
    named = recipe.base_model.model_copy(update={"source": "hub", "id": MODEL, "revision": base.commit})
    (exported.folder / "recipe.yaml").write_text(recipe.model_copy(update={"base_model": named}).to_yaml())
    assert published(exported, repository="me/adapter").status().state == "done"
    cards = {what: hub.repos[f"models/me/{what}"].files["README.md"].decode() for what in ("merged", "adapter", "gguf")}
    lines = [re.search(r"```python\n(.*?)```", cards[what], re.DOTALL)[1] for what in ("merged", "adapter")]
    program = tmp_path / "card.py"
    program.write_text("import sys\nsys.modules['qlora_app'] = None\n" + "\n".join(lines))
    known = {"PATH": "/usr/bin:/bin", "HOME": str(tmp_path), "HF_TOKEN": GOOD, "HF_HUB_DISABLE_XET": "1"}
    known |= {"HF_ENDPOINT": hub.url, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    known |= {"HF_HUB_ETAG_TIMEOUT": "600", "HF_HUB_DOWNLOAD_TIMEOUT": "600"}  # beside whatever the machine does
    done = subprocess.run([sys.executable, str(program)], cwd=tmp_path, env=known, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.splitlines()[-2:] == [ours, ours]
    assert {"template", "params"} <= hub.repos["models/me/gguf"].files.keys()
    server, ollama = re.search(r"```sh\n(.*?)```", cards["gguf"], re.DOTALL)[1].splitlines()
    asked = shlex.split(server)
    assert asked[asked.index("-hf") + 1] == "me/gguf" and ollama == "ollama run hf.co/me/gguf:F16"
    assert asked[asked.index("--hf-file") + 1] in hub.repos["models/me/gguf"].files


@pytest.mark.parametrize(
    ("status", "code"), [(403, "hub.may_not_write"), (409, "hub.changed_meanwhile"), (412, "hub.changed_meanwhile")]
)
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


@pytest.fixture
def form(run, workshop, page):
    """The form on the page of that run, whose owner has a token."""
    settings = Settings(home=run.folder.parent.parent, hub_token=GOOD)
    part = workshop.runs.one.publishing
    part.page = part.job.page = dataclasses.replace(page, settings=settings, store=RunStore(settings.runs))
    return part


def asked_on(form, run, **values):
    """What its handlers are given."""
    wanted = {"what": "adapter", "repository": "me/mine", "private": True} | values
    return {form.card: run.id, form.drafts: {}, **{getattr(form, name): value for name, value in wanted.items()}}


def test_on_the_page_a_name_is_suggested_and_the_files_are_listed_before_any_is_sent(hub, run, form):
    given = asked_on(form, run, repository="")
    name = form.opened(given)[form.repository]
    assert name == "me/llama-adapter" and form.opened(asked_on(form, run)) == gr.skip(), "what was typed stays"
    assert form.chosen(asked_on(form, run, what="gguf", repository=name))[form.repository] == "me/llama-adapter-GGUF"
    assert form.repository not in form.chosen(asked_on(form, run, what="gguf", repository="me/own"))
    listed = form.list_files(asked_on(form, run))
    assert "adapter_model.safetensors" in listed[form.listed] and listed[form.send].visible
    assert set(hub.repos) == {f"models/{MODEL}"}
    began = form.publish(asked_on(form, run))
    job = form.page.jobs.get(began[form.progress])
    assert job.is_asked("start") and worker.main(job.folder) == 0
    assert f"{hub.url}/me/mine" in form.finished(event(job=began[form.progress]))[form.sent]
    assert "is there already" in form.list_files(asked_on(form, run))[form.listed]
    turned = form.turned({form.card: run.id, form.drafts: {}})
    assert turned[form.repository] == "me/mine" and "me/mine" in turned[form.sent]
    assert form.turned({form.card: "", form.drafts: {}})[form.sent] == ""


def test_what_was_typed_is_there_again_when_its_run_is(hub, run, form):
    typed = asked_on(form, run, repository="me/half-ty", what="gguf", private=False)
    drafts = form.edited(typed)[form.drafts]
    other = form.turned({form.card: "another", form.drafts: drafts})
    assert (other[form.repository], other[form.what], other[form.private]) == ("", "adapter", True)
    again = form.turned({form.card: run.id, form.drafts: drafts})
    assert (again[form.repository], again[form.what], again[form.private]) == ("me/half-ty", "gguf", False)
    assert form.opened(asked_on(form, run, repository="") | {form.drafts: drafts})[form.repository] == "me/half-ty"
    chosen = form.chosen(typed | {form.what: "space", form.drafts: drafts})
    assert form.turned({form.card: run.id, form.drafts: chosen[form.drafts]})[form.what] == "space"
    began = form.publish(asked_on(form, run) | {form.drafts: drafts})
    assert began[form.drafts] == {}, "it is sent"
    for damaged in (None, [], {run.id: "x"}, {run.id: ["nonsense", 1, 2]}):
        assert form.turned({form.card: run.id, form.drafts: damaged})[form.repository] == "me/mine"


@pytest.mark.parametrize("is_private", [True, False])
def test_who_will_see_it_is_said_of_what_is_there(hub, run, form, capsys, is_private):
    """Who may see a repository is not changed by what is sent into it."""
    hub.add(Repo("me/mine", {".gitattributes": b""}, private=is_private))
    listed = form.list_files(asked_on(form, run, private=False))[form.listed]
    assert ("Only you can see it there." in listed, "Everybody can see it there." in listed) == (
        is_private,
        not is_private,
    )
    assert main(["publish", run.id, "me/mine", "--public", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["private"] is is_private
    assert published(run, private=False).status().state == "done"
    assert hub.repos["models/me/mine"].private is is_private


REFUSED = [
    ({"repository": "mine"}, "repository_said", "publish.no_owner"),
    ({"repository": "a b/c"}, "repository_said", "hub.no_id"),
    ({"repository": "you/mine"}, "repository_said", "publish.not_your_name"),
    ({"repository": "club/open"}, "repository_said", "hub.repository_is_public"),
    ({"what": "gguf"}, "what_said", "publish.not_made"),
]


def test_a_refusal_stands_at_its_field(hub, run, form):
    hub.add(Repo("club/open", {}))
    said = [form.token_said, form.what_said, form.repository_said]
    for values, place, code in REFUSED:
        answer = form.list_files(asked_on(form, run, **values))
        assert [one for one in said if 'role="alert"' in answer[one]] == [getattr(form, place)]
        assert not answer[form.send].visible
        spec = PublishSpec(**{"repository": "me/mine"} | values)
        with refused(code):
            check(run, spec, form.page.settings)
            check_hub(spec, form.page.settings)
    for role, token in (("read", GOOD), ("write", EXPIRED), ("write", "")):
        hub.role = role
        settings = form.page.settings.model_copy(update={"hub_token": SecretStr(token) if token else None})
        form.page = dataclasses.replace(form.page, settings=settings)
        answer = form.list_files(asked_on(form, run))
        assert [one for one in said if 'role="alert"' in answer[one]] == [form.token_said]


def test_a_damaged_job_stands_in_nobodys_way(hub, run, form):
    job = published(run)
    (job.folder / "job.yaml").write_text("kind: publish\nwhat: nonsense\n")
    assert form.turned({form.card: run.id, form.drafts: {}})[form.what] == "adapter"
    assert published(run, repository="me/other").status().state == "done"


def test_what_xet_says_of_a_connection_is_no_strange_answer():
    """Its own storage cannot be played here, and it tries for minutes; this is what it raises then."""
    said = _not_sent(ConnectionError("Network error: Request error"), Repository("me/mine"))
    check_problem(said.problem, "hub.push_broke_off", "ConnectionError")


def test_what_the_hub_refuses_while_it_is_sent_comes_back_to_its_field(hub, run, form):
    hub.writing = 409
    began = form.publish(asked_on(form, run))
    worker.main(form.page.jobs.get(began[form.progress]).folder)
    answer = form.refused(event(job=began[form.progress]))
    assert "changed by somebody else" in answer[form.repository_said]


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
