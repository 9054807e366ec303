"""What every place to work at promises: work begins and says how far it is, stops and goes on, is ended by force, goes
on elsewhere, has one writer, and nothing is called failed that is only not known.

Slurm and Ray are real ones of this machine where they can be started (`machine`; Ray by `make ray`), and every day four
shell scripts and a small server that run the real batch script, the real command and the real worker at once; what a
queue, a time limit or another node do is theirs alone. Hugging Face Jobs are always a fake: see engines_server.py.
"""

import json
import os
import shutil
import subprocess
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import gradio as gr
import psutil
import pytest

from qlora_app import api, worker
from qlora_app.cli import jobs
from qlora_app.jobs import ALREADY_RUNNING, JobStore
from qlora_app.kinds.data_import import ImportSpec, import_job
from qlora_app.launch import local, places, prices
from qlora_app.launch.away import note
from qlora_app.launch.hf_jobs import HfJobsLauncher
from qlora_app.launch.local import LocalLauncher
from qlora_app.launch.prices import check_price, price_now, price_words
from qlora_app.launch.queue import Supervisor
from qlora_app.launch.ray_jobs import RayLauncher
from qlora_app.launch.slurm import SlurmLauncher, flags_of, handed_on
from qlora_app.place import Place
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStatus, RunStore
from qlora_app.runs.events import said_of
from qlora_app.settings import Settings
from qlora_app.storage.process import Engine, ProcessFile
from qlora_app.ui.endpoints import Endpoints
from qlora_app.ui.runs.card_parts import engine_line as line_of_engine
from qlora_app.ui.train.form_values import show
from qlora_app.ui.train.where import resume_price
from tests import fake_buckets
from tests.conftest import PATIENCE, UNASKED, short_recipe, train_tab, wait_for
from tests.engines_server import FakeJobs, FakeRay
from tests.fixtures.handlers import given
from tests.hub_server import GOOD
from tests.refusing import refused

HERE = Path(__file__).parent


@dataclass
class At:
    """A place: its launcher, how a run is sent there, and what makes it unreachable; None where that cannot be."""

    launcher: Any
    place: Place
    unplugged: Any = None
    is_away: bool = False  # does the folder travel?


@pytest.fixture
def here(home):
    return At(LocalLauncher(), Place())


@pytest.fixture
def fake_slurm(home, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fake-slurm")
    monkeypatch.setenv("SLURM_CONF", str(folder))
    monkeypatch.setenv("PATH", f"{HERE / 'fake_slurm'}{os.pathsep}{os.environ['PATH']}")
    yield At(SlurmLauncher(), Place(where="slurm"), (folder / "down").touch)
    for file in folder.glob("*.pid"):
        if psutil.pid_exists(pid := int(file.read_text())):
            subprocess.run(["kill", "-9", "--", f"-{pid}"], check=False)


@pytest.fixture
def real_slurm(home, monkeypatch, tmp_path_factory):
    missing = [name for name in ("munged", "slurmctld", "slurmd", "sbatch") if not shutil.which(name)]
    if missing or os.getuid():
        pytest.skip(f"needs root, and {missing} of Debian's slurmctld, slurmd, slurm-client and munge")
    folder = tmp_path_factory.mktemp("slurm")
    script = [str(HERE / "slurm_here.sh")]
    subprocess.run([*script, "start", str(folder)], check=True)
    monkeypatch.setenv("SLURM_CONF", str(folder / "slurm.conf"))
    try:
        wait_for(lambda: "idle" in subprocess.run(["sinfo", "-h", "-o", "%T"], capture_output=True, text=True).stdout)
        yield At(
            SlurmLauncher(), Place(where="slurm"), lambda: subprocess.run([*script, "stop", str(folder)], check=True)
        )
    finally:
        subprocess.run([*script, "stop", str(folder)], check=True)


@pytest.fixture
def fake_ray(home, monkeypatch, tmp_path_factory):
    server = FakeRay(tmp_path_factory.mktemp("fake-ray"))
    server.token = "a-token-of-the-cluster"
    monkeypatch.setenv("QLORA_APP_RAY", server.url)
    monkeypatch.setenv("QLORA_APP_RAY_TOKEN", server.token)
    yield At(RayLauncher(), Place(where="ray", gpus=0), lambda: setattr(server, "is_down", True))
    server.close()


@pytest.fixture
def ray_away(fake_ray, monkeypatch, tmp_path_factory):
    """Whose nodes have another disk."""
    monkeypatch.setenv("QLORA_APP_SYNC", str(tmp_path_factory.mktemp("store")))
    fake_ray.is_away = True
    return fake_ray


@pytest.fixture
def real_ray(home, monkeypatch, tmp_path_factory):
    ray = os.environ.get("RAY")
    if not ray:
        pytest.skip("needs RAY, the path of the program `ray`: `make ray` installs one apart")
    folder = str(tmp_path_factory.mktemp("ray", numbered=True))
    ports = ["--port=6399", "--dashboard-port=8265", "--dashboard-host=127.0.0.1", "--node-ip-address=127.0.0.1"]
    told = ["--head", *ports, "--num-cpus=2", f"--temp-dir={folder[:40]}", "--disable-usage-stats"]
    environment = os.environ | {"RAY_AUTH_MODE": "disabled"}
    subprocess.run([ray, "start", *told], check=True, env=environment)
    monkeypatch.setenv("QLORA_APP_RAY", "http://127.0.0.1:8265")
    try:
        stop = [ray, "stop", "--force"]
        nobody = "http://127.0.0.1:9"
        yield At(RayLauncher(), Place(where="ray", gpus=0), lambda: monkeypatch.setenv("QLORA_APP_RAY", nobody))
    finally:
        subprocess.run(stop, check=False)


@pytest.fixture
def fake_jobs(home, hub, monkeypatch, tmp_path_factory):
    jobs = FakeJobs(tmp_path_factory.mktemp("fake-jobs"))
    hub.jobs = jobs
    monkeypatch.setenv("QLORA_APP_HUB_TOKEN", GOOD)
    monkeypatch.setenv("FAKE_BUCKETS", str(jobs.folder))
    fake_buckets.install()
    monkeypatch.setattr("qlora_app.launch.prices._KNOWN", {})
    monkeypatch.setattr("qlora_app.launch.prices._ASKED", {})
    yield At(HfJobsLauncher(), Place(where="hf_jobs"), lambda: setattr(hub, "status", 503), is_away=True)
    hub.status = None
    jobs.close()


@pytest.fixture(
    params=[
        "here",
        "fake_slurm",
        "fake_ray",
        pytest.param("ray_away", marks=[pytest.mark.slow, pytest.mark.matrix]),  # travels as fake_jobs does
        "fake_jobs",
        pytest.param("real_ray", marks=[pytest.mark.machine, pytest.mark.slow, pytest.mark.matrix]),
        pytest.param("real_slurm", marks=[pytest.mark.machine, pytest.mark.slow, pytest.mark.matrix]),
    ]
)
def at(request):
    return request.getfixturevalue(request.param)


HOLDING = """
import os, sys, time

def wait(event, given):
    while event == "open" and str(given[0]).endswith("rows.jsonl") and os.path.exists({held!r}):
        time.sleep(0.05)

if "qlora_app.worker" in sys.orig_argv:  # not what carries the rows
    sys.addaudithook(wait)
if "FAKE_BUCKETS" in os.environ:
    sys.path.append({tests!r})
    import fake_buckets

    fake_buckets.install()
"""


@pytest.fixture
def held(tmp_path_factory, monkeypatch):
    """While this file is there, no worker opens its rows: what has begun goes on until somebody ends it."""
    folder = tmp_path_factory.mktemp("held")
    held = folder / "held"
    held.touch()
    (folder / "sitecustomize.py").write_text(HOLDING.format(held=str(held), tests=str(HERE)))
    monkeypatch.setenv("PYTHONPATH", str(folder))
    yield held
    held.unlink(missing_ok=True)


@pytest.fixture
def job(home, held):
    """Work that a worker needs no torch for."""
    file = home / "rows.jsonl"
    file.write_text(json.dumps({"instruction": "Who?", "output": "Otto."}) + "\n")
    return import_job(JobStore(Settings.from_environment().jobs), [file])


def begun(at, job):
    """It works there, and nobody else may."""
    job.move_to(at.place)
    job.request("start")
    at.launcher.start(job)
    if at.is_away:
        wait_for(lambda: at.launcher.is_alive(job) and job.launch_file.engine().has_begun)
        wait_for(lambda: at.launcher.is_alive(job) and job.status().is_active)
    else:
        wait_for(lambda: job.is_alive() and not job.is_asked("start"))
        assert worker.main(job.folder) == ALREADY_RUNNING
    assert job.status().is_active and at.launcher.is_alive(job) and not job.is_asked("start")
    if at.unplugged:
        with refused("launch.elsewhere"):
            local.launch(job)


@pytest.mark.slow
def test_what_every_place_promises(at, job, held, impatient):
    begun(at, job)
    at.launcher.stop(job)
    wait_for(lambda: not at.launcher.is_alive(job) and job.status().has_ended)
    assert job.status().state == "stopped"

    begun(at, job)
    places.end_now(job)
    wait_for(lambda: not at.launcher.is_alive(job) and not job.is_alive())
    assert job.status().state in ("stopped", "interrupted")

    held.unlink()
    job.move_to(Place())
    places.start(job)
    wait_for(lambda: job.status().has_ended)
    assert job.status().state == "done", job.log_tail()


@pytest.mark.slow
def test_what_is_not_known_has_not_failed(at, job, held):
    if at.unplugged is None:
        pytest.skip("this machine always answers itself")
    begun(at, job)
    at.unplugged()
    assert at.launcher.is_alive(job) is None and places.look(job) is None
    held.unlink()
    wait_for(lambda: at.launcher.sync(job) or (job.last_word().has_ended and not job.is_alive()))
    assert job.status().silence.code == "job.engine_unknown"
    assert job.status().state != "failed"


@pytest.mark.slow
def test_an_earlier_worker_comes_too_late(fake_slurm, job):
    job.move_to(fake_slurm.place)
    for _ in range(2):
        fake_slurm.launcher.start(job)
    assert worker.main(job.folder, attempt=job.launch_file.attempt() - 1) == ALREADY_RUNNING


@pytest.mark.slow
def test_what_slurm_wants_back_is_queued_again_and_goes_on(fake_slurm, job, held):
    begun(fake_slurm, job)
    id = job.launch_file.engine().id
    at_work = Path(os.environ["SLURM_CONF"]) / f"{id}.pid"
    first = at_work.read_text()
    subprocess.run(["scancel", "--signal=USR1", "--batch", id], check=True)
    wait_for(lambda: at_work.read_text() not in ("", first))
    held.unlink()
    wait_for(lambda: job.status().state == "done")
    assert job.launch_file.engine().id == id and not job.wishes.wants_end()


@pytest.mark.slow
def test_what_a_person_ended_is_not_queued_again_however_late_slurm_signals(fake_slurm, job):
    """The batch script hears of the end when the worker has ended and taken the wish away."""
    begun(fake_slurm, job)
    pid = Path(os.environ["SLURM_CONF"]) / f"{job.launch_file.engine().id}.pid"
    first = pid.read_text()
    script = psutil.Process(int(first))
    (at_work,) = script.children()
    script.suspend()
    job.request("stop")
    at_work.terminate()
    wait_for(lambda: job.last_word().has_ended and not job.is_alive() and not job.wishes.wants_end())
    script.terminate()
    script.resume()
    wait_for(lambda: pid.read_text() != first or not fake_slurm.launcher.is_alive(job))
    assert pid.read_text() == first and job.status().state == "stopped"


@pytest.mark.slow
def test_of_a_rented_machine_nothing_secret_is_told_and_it_is_begun_once(fake_jobs, hub, job, held, capsys):
    """Though the answer of the Hub is lost; what it will cost and has cost is said."""
    job.move_to(fake_jobs.place)
    job.request("start")
    hub.jobs.loses_answer = True
    fake_jobs.launcher.start(job)
    (asked,) = [one.asked for one in hub.jobs.jobs.values()]
    told = {name: value for name, value in asked.items() if name != "secrets"}
    assert GOOD not in json.dumps(told) and asked["secrets"]["QLORA_APP_HUB_TOKEN"] == GOOD
    assert asked["attempts"] == 1 and asked["timeoutSeconds"] == 120 * 60
    files = [*job.folder.rglob("*"), *hub.jobs.buckets.rglob("*")]
    assert all(GOOD.encode() not in file.read_bytes() for file in files if file.is_file())
    assert "$1.00 an hour, at most $2.00" in price_words(fake_jobs.place, Settings.from_environment())
    job.request("stop")  # nothing is learned yet, and it costs
    wait_for(lambda: not fake_jobs.launcher.is_alive(job))
    assert job.launch_file.engine().dollars == pytest.approx(0.0167)


def test_a_job_that_is_being_sent_has_not_ended(fake_jobs, fake_ray, job):
    for name, id in {"hf_jobs": "guanaco-run=x-1", "ray": "x-1"}.items():
        job.launch_file.write_engine(Engine(name, id, "queued", attempt=1))
        places.ELSEWHERE[name].look_at([job])
        assert job.launch_file.engine().is_there
        os.utime(job.launch_file.path, (1, 1))
        places.ELSEWHERE[name].look_at([job])
        assert not job.launch_file.engine().is_there


def test_a_cluster_wants_its_token(fake_ray, job, monkeypatch):
    job.move_to(fake_ray.place)
    monkeypatch.setenv("QLORA_APP_RAY_TOKEN", "another")
    with refused("ray.denied"):
        fake_ray.launcher.start(job)
    assert not job.launch_file.engine().is_there


HANGING = """#!/bin/sh
echo "$*" >>"$SLURM_CONF/$(basename "$0").asked"
while [ -e "$SLURM_CONF" ]; do sleep 0.1; done
"""


@pytest.mark.slow
def test_an_engine_that_hangs_holds_up_nobody_who_works_elsewhere(fake_slurm, job, held, tmp_path, monkeypatch):
    """Neither when it is asked, which is once for all that are there, nor when it is sent something."""
    conf = tmp_path / "hanging"
    conf.mkdir()
    monkeypatch.setenv("SLURM_CONF", str(conf))
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    for name in ("squeue", "sbatch"):
        (tmp_path / name).write_text(HANGING)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setattr("qlora_app.launch.slurm.ANSWERS_WITHIN", PATIENCE)
    held.unlink()
    store = JobStore(job.folder.parent)
    there = [store.create(f"there-{n}", job.spec(ImportSpec)) for n in (1, 2)]
    for number, one in enumerate(there, start=1):
        one.launch_file.write_engine(Engine("slurm", str(number), "alive", attempt=1))
    sent = store.create("sent", job.spec(ImportSpec))
    sent.move_to(fake_slurm.place)
    for one in (sent, job):
        one.request("start")
    supervisor = Supervisor(store)
    supervisor.start()
    try:
        wait_for(lambda: job.status().state == "done")
        wait_for(lambda: (conf / "squeue.asked").exists() and (conf / "sbatch.asked").exists())
        assert all(places.look(one) for one in there) and sent.is_asked("start")
        (asked,) = (conf / "squeue.asked").read_text().splitlines()
        assert "--jobs=2,1" in asked or "--jobs=1,2" in asked
        assert len((conf / "sbatch.asked").read_text().splitlines()) == 1, "it is sent once"
    finally:
        shutil.rmtree(conf)
        supervisor.close()


PACED = """
import os, pathlib, sys, time

lines = {{}}

def is_to_stop(run):
    return (run / "requests" / "stop").exists() or '"stopping"' in (run / "status.json").read_text()

def wait(event, given):  # where the line of a step is written: the third waits for whoever stops it
    if event == "open" and str(given[0]).endswith("metrics.jsonl") and given[2] & os.O_APPEND:
        lines[given[0]] = lines.get(given[0], 0) + 1
        while lines[given[0]] > 2 and os.path.exists({held!r}) and not is_to_stop(pathlib.Path(given[0]).parent):
            time.sleep(0.05)

if "qlora_app.worker" in sys.orig_argv:
    sys.addaudithook(wait)
sys.path.append({tests!r})
import fake_buckets

fake_buckets.install()
"""


def rows_of(run):
    return [json.loads(line) for line in (run.folder / "metrics.jsonl").read_text().splitlines()]


def steps_at(at, run):
    """It goes on there, where nobody else may write, and is stopped: how many steps it did."""
    before = run.last_word().step
    run.move_to(at.place)
    run.request("start")
    at.launcher.start(run)
    if at.unplugged:
        with refused("launch.elsewhere"):
            local.launch(run)

    def has_begun():
        at.launcher.is_alive(run)
        return run.last_word().step > before and not run.is_asked("start")

    wait_for(has_begun)
    if not at.is_away:
        assert worker.main(run.folder) == ALREADY_RUNNING
    at.launcher.stop(run)
    wait_for(lambda: not at.launcher.is_alive(run) and run.status().state == "stopped")
    return run.last_word().step - before


@pytest.mark.slow
@pytest.mark.matrix
def test_a_run_that_moved_between_all_places_is_the_run_in_one_piece(
    home, fake_slurm, ray_away, fake_jobs, monkeypatch, tmp_path_factory
):
    """Two of them share no disk with this one. One curve, without a gap and without a step that was done twice."""
    folder = tmp_path_factory.mktemp("paced")
    held = folder / "held"
    held.touch()
    (folder / "sitecustomize.py").write_text(PACED.format(held=str(held), tests=str(HERE)))
    store = RunStore(home / "runs")
    recipe = short_recipe(max_steps=40, checkpoints=1, **UNASKED)
    whole, moved = store.create(recipe), store.create(recipe)
    with monkeypatch.context() as later:
        later.setenv("PYTHONPATH", str(folder))
        done = [
            steps_at(at, moved)
            for at in (At(LocalLauncher(), Place()), fake_slurm, replace(ray_away, is_away=True), fake_jobs)
        ]
    held.unlink()
    moved.move_to(Place())
    for run in (moved, whole):
        assert worker.main(run.folder) == 0
    assert min(done) > 0
    trained = {run.id: [(row["step"], row["loss"]) for row in rows_of(run) if "loss" in row] for run in (moved, whole)}
    assert trained[moved.id] == trained[whole.id] and [step for step, _ in trained[moved.id]] == [*range(1, 41)]


class Odd(SlurmLauncher):
    """Takes the job and fails then, answers nonsense of all of them, and says of one at work that it has ended."""

    looked, word = 0, "nonsense"

    def start(self, job, cold=False, device=""):
        super().start(job)
        raise KeyError("the answer of the engine")

    def look_at(self, jobs):
        self.looked += 1
        if self.word == "nonsense":
            raise ValueError("not what was expected")
        for job in jobs:
            job.launch_file.note_engine(job.launch_file.engine().as_seen(self.word, ""))

    def sync(self, job):
        raise TypeError("neither")


@pytest.mark.slow
def test_an_engine_that_misbehaves_begins_nothing_twice_and_fails_nothing(fake_slurm, job, held, monkeypatch):
    odd = Odd()
    monkeypatch.setitem(places.ELSEWHERE, "slurm", odd)
    monkeypatch.setattr("qlora_app.launch.engines.ASKED_EVERY", 0.1)
    store = JobStore(job.folder.parent)
    other, seen = store.create("here", job.spec(ImportSpec)), set()
    shutil.copytree(job.folder / "files", other.folder / "files")
    job.move_to(fake_slurm.place)
    job.request("start")

    def state():
        seen.add(job.status().state)
        return job.status().state

    supervisor = Supervisor(store)
    supervisor.start()
    try:
        wait_for(lambda: state() in ("starting", "running") and odd.looked)
        wait_for(lambda: job.status().silence)
        odd.word = "ended"
        wait_for(lambda: not job.launch_file.engine().is_there)
        assert state() in ("starting", "running") and worker.main(job.folder) == ALREADY_RUNNING
        other.request("start")
        held.unlink()
        wait_for(lambda: state() == "done" and other.status().state == "done")
    finally:
        supervisor.close()
    assert seen <= {"queued", "starting", "running", "done"} and job.launch_file.attempt() == 1
    assert len(list(Path(os.environ["SLURM_CONF"]).glob("*.script"))) == 1


@pytest.mark.parametrize("engine", places.ELSEWHERE)
def test_a_stop_before_an_engine_has_begun_stays_until_it_is_followed(engine, job):
    """Else a worker that comes later would do what nobody wants any more."""
    job.request("start")
    job.launch_file.write_engine(Engine(engine, "7", "queued", "PENDING, Resources", attempt=1))
    assert job.status().state == "queued" and "PENDING, Resources" in job.status().sentence
    job.request("stop")
    assert job.status().state == "stopping" and job.wishes.wants_end()
    assert worker.main(job.folder, attempt=1) == 0
    assert job.last_word().state == "stopped" and not job.last_word().step


def test_the_card_says_which_engine_works_on_it_and_what_all_its_jobs_cost(tmp_path):
    file = ProcessFile(tmp_path / "launch.json")

    def engine_line(engine: Engine | None, status: RunStatus) -> str:
        file.forget()
        if engine is not None:
            file.write_engine(engine)
        return line_of_engine(file, status)

    engine = Engine("hf_jobs", "66<b>", "alive", "RUNNING", attempt=1, dollars=0.1, earlier=0.023)
    words = engine_line(engine, RunStatus(state="running"))
    assert all(part in words for part in ("Hugging Face Jobs", "66&lt;b&gt;", "RUNNING", ">$0.12 so far<"))
    assert "RUNNING" not in engine_line(engine, RunStatus(state="queued")), "its sentence says it already"
    assert engine_line(replace(engine, state="queued", dollars=0.0, earlier=0.0), RunStatus(state="stopping")) == ""
    ended = replace(engine, state="ended", said="COMPLETED")
    assert ">It cost $0.12<" in engine_line(ended, RunStatus(state="done"))
    assert (
        engine_line(replace(ended, dollars=0.0, earlier=0.0), RunStatus(state="done"))
        == ""
        == engine_line(None, RunStatus())
    )
    engine_line(ended, RunStatus())
    file.write(os.getpid())
    assert file.engine() is None and file.spent() == 0.123, "it goes on here, and what it cost stays known"
    assert ">It cost $0.12<" in line_of_engine(file, RunStatus(state="done"))


def test_what_each_job_cost_is_noted_once_and_counted_together(fake_jobs, hub):
    """And before a run is sent there again, its card says the price."""
    settings = Settings.from_environment()
    settings.make_home()
    run = RunStore(settings.runs).create(Recipe(launch=fake_jobs.place))
    for number, seconds_worth in enumerate((0.25, 0.5), start=1):
        earlier = run.launch_file.spent()
        sent = Engine("hf_jobs", f"job-{number}", "alive", "RUNNING", number, dollars=seconds_worth, earlier=earlier)
        run.launch_file.write_engine(sent)
        for _ in range(2):
            note(run, sent.as_seen("ended", "COMPLETED"))
    sentences = [event["sentence"] for event in run.events()]
    assert [said_of(event).values["spent"] for event in run.events()] == [0.25, 0.75] and len(sentences) == 2
    assert "cost $0.50; all jobs of this run together $0.75" in sentences[-1]
    assert jobs.as_row(run)["dollars"] == 0.75
    tab = train_tab(settings)
    status = RunStatus(state="stopped")
    wait_for(lambda: "at most $2.00" in resume_price(tab.page, run, status))
    assert resume_price(tab.page, run, RunStatus(state="done")) == ""


def test_before_several_runs_and_before_an_assistants_the_price_is_said(fake_jobs, hub, capsys):
    place = {"launch.where": "hf_jobs", "launch.minutes": 60}
    api.sweep("starter", {"method.rank": [4, 8]}, place)
    assert "2 runs on rented machines: at most $2.00 together. Nvidia A10G - small" in capsys.readouterr().out
    tab = train_tab(Settings.from_environment())
    endpoints = Endpoints(tab.page, None)
    with refused("rent.not_agreed", kind=gr.Error) as error:
        endpoints.train("starter", place)
    assert "most_dollars=1.0" in str(error.value.message) and len(tab.page.store.list()) == 2
    with refused("rent.not_agreed", kind=gr.Error):
        endpoints.train("starter", place, float("nan"))


WAITING = """#!/bin/sh
[ "$(basename "$0")" = squeue ] && { echo '7|PENDING|Resources'; exit; }
echo "$*" >>"$(dirname "$0")/asked"
"""


def test_what_waits_in_slurms_queue_is_taken_from_it_where_a_person_stops_it(job, tmp_path, monkeypatch):
    """And only then: one that Slurm wanted back waits there too, and nobody asked it to start again."""
    for name in ("squeue", "scancel"):
        (tmp_path / name).write_text(WAITING)
        (tmp_path / name).chmod(0o700)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    job.launch_file.write_engine(Engine("slurm", "7", "alive", attempt=1))
    places.ELSEWHERE["slurm"].look_at([job])
    assert not (tmp_path / "asked").exists()
    job.request("stop")
    places.ELSEWHERE["slurm"].look_at([job])
    assert (tmp_path / "asked").read_text().split() == ["--state=PENDING", "7"]


def test_the_page_waits_for_no_price_and_a_start_does(fake_jobs, hub, monkeypatch):
    """It is asked for beside the form, which says so, and then how much it is."""
    told = threading.Event()
    hub.jobs.before_prices = lambda: told.wait(PATIENCE)
    tab = train_tab(Settings.from_environment())
    values = show(tab.controls.first) | {"launch.where": "hf_jobs", "launch.minutes": 60}
    summary = tab.form.settle(given(tab, values))[tab.form.summary]
    assert "data-unmeasured" in summary and "$" not in summary
    with refused("rent.price_awaited"):
        check_price(fake_jobs.place, tab.page.settings)
    ((token, (asked_at, answer)),) = prices._ASKED.items()
    with monkeypatch.context() as later, refused("rent.no_answer"):
        later.setattr(prices, "WITHIN", 1e6)
        later.setitem(prices._ASKED, token, (asked_at - 1.5e6, answer))
        price_now(fake_jobs.place, tab.page.settings)
    told.set()
    wait_for(lambda: "data-unmeasured" not in tab.form.time_anew(given(tab, values))[tab.form.summary])
    summary = tab.form.settle(given(tab, values))[tab.form.summary]
    assert "$1.00 an hour, at most $1.00 (ended after 60 min)." in summary and "guanaco-workshop" in summary
    assert "as fast as here" in summary and " free" not in summary, "what this machine has free says nothing"
    check_price(fake_jobs.place, tab.page.settings)
    alert = tab.start.start_run(given(tab, values | {"launch.flavor": "none"}))[tab.mistakes.alert]
    assert 'data-field="f-launch-flavor"' in alert and tab.page.store.list() == []
    with refused("rent.no_such_machine"):
        api.train("starter", {"launch.where": "hf_jobs", "launch.flavor": "none"})
    assert tab.page.store.list() == []


def test_prices_that_cannot_be_had_are_said_so(fake_jobs, hub):
    settings = Settings.from_environment()
    fake_jobs.unplugged()
    with refused("rent.no_answer"):
        wait_for(lambda: price_now(fake_jobs.place, settings))
    tab = train_tab(settings)
    values = show(tab.controls.first) | {"launch.where": "hf_jobs"}
    assert "does not answer" in tab.form.settle(given(tab, values))[tab.form.summary]
    with refused("rent.no_answer"):
        check_price(fake_jobs.place, settings)
    check_price(Place(), settings)


@pytest.mark.parametrize(
    "flags",
    [
        "/home/me/upload.sh",
        "--output=/home/me/.bashrc",
        "--gres gpu:2",
        "--mem=64G x.sh",
        "-o x",
        "--wrap=x",
        "--",
        "--prolog=x",
    ],
)
def test_what_a_recipe_from_anybody_may_not_ask_slurm_for(flags, fake_slurm, job):
    """Also where nobody looked at it before: nothing is handed to sbatch."""
    place = Place(where="slurm", processes=1, flags=flags)
    assert place.problems(4, 0, 1)["launch.flags"].code == "launch.flags"
    job.move_to(place)
    with refused("launch.flags"):
        fake_slurm.launcher.start(job)
    assert job.launch_file.engine().state == "ended"


def test_means_may_be_asked_for_and_the_page_keeps_its_secrets(job):
    place = Place(where="slurm", processes=2, flags="--gres=gpu:h200:2 --mem=64G --exclusive --constraint=a|b")
    assert place.problems(4, 0, 1) == {}
    job.move_to(place)
    told = flags_of(job, 1)
    assert told[-4:] == place.flags.split() and all(word.startswith("--") for word in told)
    secrets = dict.fromkeys(("QLORA_APP_PASSWORD", "QLORA_APP_ENDPOINTS", "AWS_SECRET"), "secret")
    assert handed_on({"PATH": "/bin", "QLORA_APP_HOME": "/home", **secrets}) == {
        "PATH": "/bin",
        "QLORA_APP_HOME": "/home",
    }


def test_a_word_of_slurm_that_is_not_known_is_no_end(fake_slurm, job, tmp_path_factory, monkeypatch):
    """Of another version, or none at all."""
    tools = tmp_path_factory.mktemp("other-slurm")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    job.move_to(fake_slurm.place)
    for word, known in {"POWER_UP_NODE": None, "": None, "TIMEOUT": False, "RUNNING": True}.items():
        job.launch_file.write_engine(Engine("slurm", "7", "queued", attempt=1))
        (tools / "squeue").write_text(f"#!/bin/sh\necho '7|{word}|None'\n")
        (tools / "squeue").chmod(0o700)
        assert fake_slurm.launcher.is_alive(job) is known
