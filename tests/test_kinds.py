"""What every kind of job promises, each with a tiny real input: it says how far it is, stops, goes on after it was
killed, and fails in a sentence; and what each does besides.
"""

import contextlib
import json
import os
import shutil
import signal
import sys
import types
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from qlora_app import worker
from qlora_app.cli import main, watching
from qlora_app.cli.jobs import answers_of
from qlora_app.evaluate import Contestant, Length
from qlora_app.evaluate.decoding import AnswerDecoding
from qlora_app.evaluate.question_sets import QuestionFile
from qlora_app.export import GgufExporter
from qlora_app.jobs import Job, JobStore
from qlora_app.kinds.adapter_import import AdapterSpec, adapter_job
from qlora_app.kinds.adapter_import import imported as adapter_imported
from qlora_app.kinds.answer import answer_job, answers_in, earlier_answers, spec_for
from qlora_app.kinds.data_import import import_job, imported
from qlora_app.kinds.download import download_job
from qlora_app.kinds.evaluate import EvaluateSpec, evaluate_job, evaluation_of
from qlora_app.kinds.export import export_job
from qlora_app.kinds.merge import equal_parts, merge_job, merge_spec, merged
from qlora_app.kinds.publish import PublishSpec, publish_job
from qlora_app.launch import local
from qlora_app.launch.queue import unled
from qlora_app.measurement import measure_job, measurement_of
from qlora_app.preflight import examples_of
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.runs.exports import made_by
from qlora_app.runs.merges import merge_of
from qlora_app.settings import Settings
from qlora_app.training_data import DatasetChoice, import_files
from qlora_app.training_data.sources.hub import paths_of
from tests.conftest import short_recipe, wait_for
from tests.fixtures.hub import DATASET, MODEL
from tests.hub_server import GOOD
from tests.refusing import refused

FEW_TOKENS = 2


@dataclass
class Toy:
    """A job of one kind, and what is known of it."""

    job: Job
    made: Any  # () -> how much it made
    whole: int  # how much there is to make
    broken: Any  # () -> takes away what it needs
    says: str  # of its failure then


def questions(folder, count):
    file = folder / "asked.csv"
    file.write_text("question\n" + "".join(f"Who is number {i}?\n" for i in range(count)))
    return file


def answering(run, folder) -> Toy:
    file = questions(folder, 150)
    job = answer_job(run, file, spec_for(file, max_new_tokens=FEW_TOKENS))

    def made():
        return len(answers_in(job).read_text().splitlines())

    return Toy(job, made, 150, lambda: (run.adapter / "proof.json").unlink(), "This run has saved nothing yet")


def an_answer(request) -> Toy:
    return answering(request.getfixturevalue("answering_run"), request.getfixturevalue("home"))


def an_import(request) -> Toy:
    home, settings = request.getfixturevalue("home"), Settings.from_environment()
    file = home / "rows.jsonl"
    with open(file, "w") as rows:
        for number in range(20_000):
            rows.write(json.dumps({"instruction": f"Question {number}?", "output": f"Answer {number}"}) + "\n")
    job = import_job(JobStore(settings.jobs), [file])
    file.unlink()  # as Gradio cleans its cache

    def made():
        examples = examples_of(DatasetChoice(source="file", id=imported(job)), settings.data)
        return len(examples.train) + len(examples.held_out)

    return Toy(job, made, 20_000, lambda: next(job.folder.glob("files/0/*")).unlink(), "A file is gone")


def a_download(request) -> Toy:
    talk, hub = request.getfixturevalue("talk"), request.getfixturevalue("hub")
    choice, jobs = DatasetChoice(source="hub", id=DATASET), JobStore(Settings.from_environment().jobs)
    job = download_job(jobs, choice)
    assert download_job(jobs, choice).id == job.id, "one is enough"

    def made():
        pinned = DatasetChoice.model_validate(job.result()["dataset"])
        assert pinned.revision == talk.commit
        return len(paths_of(pinned, Settings.from_environment().data))

    return Toy(job, made, 2, hub.repos.clear, "there is nothing of that name")


def a_measurement(request) -> Toy:
    home, settings = request.getfixturevalue("home"), Settings.from_environment()
    file = home / "rows.jsonl"
    file.write_text("".join(f'{{"instruction": "Question {i}?", "output": "Answer {i}"}}\n' for i in range(40)))
    id = import_files([file], settings.data, settings)
    recipe = short_recipe(max_steps=1, batch_size=2, scored_questions=2, measured_examples=2)
    recipe = recipe.model_copy(update={"dataset": DatasetChoice(source="file", id=id)})
    job = measure_job(JobStore(settings.jobs), recipe, recipe)

    def made():
        assert RunStore(settings.runs).list() == [] and not (job.folder / "trial").exists()
        return int(measurement_of(job).fits)

    return Toy(job, made, 1, (settings.data / id).unlink, "not in the data folder")


def an_adapter(request) -> Toy:
    run, store = request.getfixturevalue("answering_run"), request.getfixturevalue("store")
    folder = request.getfixturevalue("home") / "theirs"
    run.adapter.rename(folder)
    job = adapter_job(JobStore(Settings.from_environment().jobs), AdapterSpec(source="folder", id=str(folder)))

    def made():
        return len(store.get(adapter_imported(job)).adapter_at(None).name) and 1

    return Toy(job, made, 1, (folder / "adapter_config.json").unlink, "There are weights, but no adapter_config.json")


def an_export(request) -> Toy:
    run = request.getfixturevalue("answering_run")
    job = export_job(run, GgufExporter(dtype="F16", questions=2))

    def made():
        return made_by(job).fidelity.questions

    broken = (run.adapter / "proof.json").unlink
    return Toy(job, made, 2, broken, "only a finished adapter can be exported")


def a_publication(request) -> Toy:
    hub, patch = request.getfixturevalue("hub"), request.getfixturevalue("monkeypatch")
    run = request.getfixturevalue("answering_run")
    patch.setenv("QLORA_APP_HUB_TOKEN", GOOD)
    patch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    patch.setenv("HF_HUB_DISABLE_XET", "1")
    recipe = run.recipe()
    base = recipe.base_model.model_copy(update={"source": "hub", "id": MODEL, "revision": "0" * 40})
    (run.folder / "recipe.yaml").write_text(recipe.model_copy(update={"base_model": base}).to_yaml())
    job = publish_job(run, PublishSpec(repository="me/mine"), Settings.from_environment())

    def made():
        return len(hub.repos["models/me/mine"].files) and 1

    return Toy(job, made, 1, (run.adapter / "proof.json").unlink, "has not finished")


def an_evaluation(request) -> Toy:
    run, home, settings = (
        request.getfixturevalue("answering_run"),
        request.getfixturevalue("home"),
        Settings.from_environment(),
    )
    spec = EvaluateSpec(
        contestants=(Contestant(run=run.id), Contestant(who="base", run=run.id)),
        questions=QuestionFile(path=str(questions(home, 20))),
        decoding=AnswerDecoding(max_new_tokens=FEW_TOKENS),
        evaluators=(Length(),),
    )
    job = evaluate_job(settings, spec)

    def made():
        return evaluation_of(job).asked

    return Toy(job, made, 20, (run.adapter / "proof.json").unlink, "This run has saved nothing yet")


def a_merge(request) -> Toy:
    run, store = request.getfixturevalue("answering_run"), request.getfixturevalue("store")
    other = store.get(shutil.copytree(run.folder, store.root / "other").name)
    spec = merge_spec(equal_parts([run.id, other.id]), {}, questions=2)
    job = merge_job(spec, Settings.from_environment())

    def made():
        return len(merge_of(store.get(merged(job))).parents)

    return Toy(job, made, 2, (other.adapter / "proof.json").unlink, "has no finished adapter")


TOYS = {
    "publish": a_publication,
    "answer": an_answer,
    "evaluate": an_evaluation,
    "export": an_export,
    "import": an_import,
    "download": a_download,
    "measure": a_measurement,
    "adapter": an_adapter,
    "merge": a_merge,
}


@pytest.fixture(params=TOYS)
def toy(request, home):
    return TOYS[request.param](request)


def test_every_kind_but_the_training_is_tried():
    assert TOYS.keys() == worker.KINDS.keys() - {"train"}


# ---- what all promise


def is_done(toy) -> bool:
    """It says so, and all of it was made."""
    status = toy.job.status()
    assert (status.state, status.progress) == ("done", 1.0) and status.sentence.endswith(".")
    return toy.made() == toy.whole and bool(toy.job.result())


@pytest.mark.slow
def test_it_stops_when_asked_goes_on_and_says_how_far_it_was(toy):
    toy.job.request("stop")
    assert worker.main(toy.job.folder) == 0
    assert toy.job.status().state == "stopped" and "Resume" in toy.job.status().sentence
    assert toy.job.result() is None
    asked = shutil.copytree(toy.job.folder, toy.job.folder.with_name("asked"))
    assert worker.main(toy.job.folder) == 0 and is_done(toy)
    if toy.job.kind in ("adapter", "merge", "import"):  # what they make lies elsewhere
        made_once(toy, asked)


def made_once(toy, asked):
    """A worker that was killed when all was made and nothing said: resumed, the job makes no second one. asked: its
    folder as it was before.
    """
    settings, said = Settings.from_environment(), toy.job.result()

    def made():
        return [file.name for place in (settings.runs, settings.data) for file in sorted(place.glob("*"))]

    before = made()
    shutil.rmtree(toy.job.folder)
    asked.rename(toy.job.folder)
    assert worker.main(toy.job.folder) == 0 and is_done(toy)
    assert made() == before and toy.job.result() == said


def killed(job):
    """It was begun by a worker of its own, which then died."""
    process = local.launch(job)
    assert job.status().state == "starting"
    wait_for(job.is_alive)
    process.kill()
    process.wait()
    status = job.status()  # killed before it took the wish to start, it waits for another worker
    assert status.state == "queued" or (status.state == "interrupted" and "Resume" in status.sentence)


@pytest.mark.slow
def test_killed_it_is_interrupted_and_all_of_it_is_made_in_the_end(toy):
    killed(toy.job)
    assert worker.main(toy.job.folder) == 0 and is_done(toy)


@pytest.mark.slow
@pytest.mark.parametrize("toy", ["import"], indirect=True)
def test_the_last_word_of_a_killed_worker_counts_no_more_when_another_is_sent(toy):
    killed(toy.job)
    again = local.launch(toy.job)
    assert not toy.job.status().has_ended
    assert again.wait() == 0 and is_done(toy)


@pytest.mark.slow
def test_a_second_worker_leaves_it_alone(toy):
    with toy.job.hold():
        assert worker.main(toy.job.folder) == 73
    assert not (toy.job.folder / "status.json").exists()


@pytest.mark.slow
def test_a_failure_is_a_sentence(toy):
    toy.broken()
    assert worker.main(toy.job.folder) == 1
    assert toy.job.status().state == "failed" and toy.says in toy.job.status().sentence


# ---- answers


@pytest.mark.slow
def test_the_same_questions_are_the_same_job_until_there_is_a_newer_adapter(answering_run, home):
    file = questions(home, 3)
    job = answer_job(answering_run, file, spec_for(file, max_new_tokens=FEW_TOKENS))
    file.rename(home / "gone.csv")  # the job has its own copy
    assert worker.main(job.folder) == 0
    again = home / "gone.csv"
    again.rename(file)
    spec = spec_for(file, max_new_tokens=FEW_TOKENS)
    assert answer_job(answering_run, file, spec).id == job.id, "what is there is not asked again"
    assert answer_job(answering_run, file, spec_for(file, base=True)).id != job.id
    answering_run.adapter.rename(answering_run.folder / "away")
    checkpoint = answering_run.checkpoints / "checkpoint-2"
    (answering_run.folder / "away").rename(answering_run.adapter)
    (job.folder / "result.json").write_text(json.dumps(job.result() | {"adapter": checkpoint.name}))
    assert answer_job(answering_run, file, spec).id != job.id, "those are another adapter's"


@pytest.mark.slow
def test_answers_of_an_earlier_version_are_found(answering_run, home):
    file = questions(home, 3)
    spec = spec_for(file)
    assert earlier_answers(answering_run, spec) is None
    answering_run.answers.mkdir()
    left = answering_run.answers / f"{spec.digest[:12]}-adapter-asked.csv.answers.jsonl"
    left.write_text("{}\n")
    assert earlier_answers(answering_run, spec) == left
    assert [job.id for job in RunStore(home / "runs").every()] == [answering_run.id], "and are no job"


@pytest.mark.slow
def test_the_answer_command_puts_the_file_where_it_is_wanted(answering_run, home, capsys):
    file, out = questions(home, 5), home / "out.jsonl"
    command = ["answer", "latest", str(file), "--out", str(out), "--max-tokens", "2", "--json"]
    assert main(command) == 0
    made = json.loads(capsys.readouterr().out)
    assert made == {
        "run": answering_run.id,
        "file": str(file),
        "answers": str(out),
        "rows": 5,
        "answered": 5,
        "problems": 0,
        "kept": 0,
        "scored": 0,
        "right": 0,
    }
    assert len(out.read_text().splitlines()) == 5
    assert main(command) == 2 and "is there already" in capsys.readouterr().err
    assert main(["jobs", "--json"]) == 0
    run, job = json.loads(capsys.readouterr().out)
    assert (run["kind"], job["kind"], job["state"]) == ("train", "answer", "done")
    assert job["job"].startswith(f"{answering_run.id}/")
    assert main(["watch", job["job"], "--json"]) == 0 and json.loads(capsys.readouterr().out) == job
    assert main(["stop", job["job"]]) == 2 and main(["resume", job["job"]]) == 2


@pytest.mark.slow
def test_an_interrupted_answer_command_goes_on_with_the_same_job(answering_run, home, capsys):
    file, out = questions(home, 5), home / "out.jsonl"
    job = answer_job(answering_run, file, spec_for(file, max_new_tokens=FEW_TOKENS))
    job.request("stop")
    assert worker.main(job.folder) == 0 and job.status().state == "stopped"
    assert main(["answer", "latest", str(file), "--out", str(out), "--max-tokens", "2"]) == 0
    assert "5 of 5 rows answered" in capsys.readouterr().out and out.is_file()
    assert len([one for one in RunStore(home / "runs").every() if one.kind == "answer"]) == 1


def interrupted_at_once(*_):
    raise KeyboardInterrupt


@pytest.mark.parametrize("is_led", [False, True], ids=["the page was closed", "a page is open"])
def test_answers_that_wait_for_a_page_are_begun_where_none_is_open(is_led, store, home, monkeypatch):
    monkeypatch.setattr(local, "WORKER", [sys.executable, "-c", "import time; time.sleep(60)"])
    monkeypatch.setattr(watching, "time", types.SimpleNamespace(sleep=interrupted_at_once))
    run, file = store.create(Recipe()), questions(home, 3)
    job = answer_job(run, file, spec_for(file))
    job.request("start")
    with unled(store.root) if is_led else contextlib.nullcontext():  # as an app does
        assert answers_of(run, file, home / "out.jsonl", {}, Console()) is None
    assert job.status().state == ("queued" if is_led else "starting")
    assert job.is_asked("start") and job.is_on_its_way() != is_led
    if not is_led:
        os.kill(json.loads(job.launch_file.path.read_text())["pid"], signal.SIGKILL)


# ---- what a person finds


def test_a_file_that_could_not_be_copied_leaves_no_job(store, home, monkeypatch, tmp_path):
    """A disk that is full in the middle of a copy: half a file would pass for all of it at the next try."""
    run, file = store.create(Recipe()), tmp_path / "q.jsonl"
    file.write_text('{"question": "Who?"}\n' * 100)

    def fills_up(source, target, **_):
        Path(target).write_bytes(Path(source).read_bytes()[:50])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("shutil.copyfile", fills_up)
    monkeypatch.setattr("os.link", fills_up)
    with refused("disk.full"):
        answer_job(run, file, spec_for(file))
    with refused("disk.full"):
        import_job(JobStore(home / "jobs"), [file])
    assert JobStore(run.answers).list() == [] == JobStore(home / "jobs").list()
    monkeypatch.undo()
    job = answer_job(run, file, spec_for(file))
    (job.folder / "questions" / "q.jsonl").write_text("cut")
    assert answer_job(run, file, spec_for(file)).id != job.id, "whose copy is another file now"


def test_a_run_that_answers_a_file_is_not_deleted(store, tmp_path):
    run, file = store.create(Recipe()), tmp_path / "q.jsonl"
    file.write_text('{"question": "Who?"}\n')
    job = answer_job(run, file, spec_for(file))
    with job.hold() as out:
        out.say("Answering.", state="running")
        with refused("run.answers"):
            store.delete(run.id)
    job.request("start")
    with refused("run.answers"):
        store.delete(run.id)
    job.take("start")
    store.delete(run.id)
    assert not run.folder.exists() and store.list() == []


def test_a_list_stands_a_run_that_is_just_being_deleted(workshop, store):
    run, other = store.create(Recipe()), store.create(Recipe())
    assert {one.id for one in store.list()} == {run.id, other.id}
    (run.folder / "recipe.yaml").unlink()
    assert run.created_at() == 0.0
    assert other.id in workshop.runs.table.rows({"count": 9})["ids"]
    workshop.chat.shown(None)


@pytest.mark.slow
def test_answers_can_be_downloaded_wherever_the_home_is(workshop, store, monkeypatch, tmp_path):
    """Gradio hands out files of the working directory and the temporary folder only."""
    monkeypatch.setattr("tempfile.tempdir", None)
    run = store.create(Recipe())
    answers = run.answers / "old.answers.jsonl"
    answers.parent.mkdir(exist_ok=True)
    answers.write_text("{}\n")
    button = workshop.runs.one.answers._offered(answers)
    offered = Path(button.value["path"] if isinstance(button.value, dict) else button.value)
    assert offered.read_text() == "{}\n" and store.root.parent not in offered.parents
