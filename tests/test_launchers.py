"""What every place to work at promises: work begins and says how far it is, stops and goes on, is ended by force, goes
on elsewhere, has one writer, and nothing is called failed that is only not known.

Slurm is a real one of this machine where that can be started (`machine`), and every day four shell scripts that run the
real batch script and the real worker at once; what a queue, a time limit or another node do is Slurm's alone.
"""

import json
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest

from qlora_app import worker
from qlora_app.jobs import ALREADY_RUNNING, JobStore
from qlora_app.kinds.data_import import import_job
from qlora_app.launch import local, places
from qlora_app.launch.local import LocalLauncher
from qlora_app.launch.slurm import SlurmLauncher, flags_of, handed_on
from qlora_app.place import Place
from qlora_app.settings import Settings
from qlora_app.storage.process import Engine
from tests.conftest import wait_for
from tests.refusing import refused

HERE = Path(__file__).parent
ROWS = 150_000  # whose import goes on for a while after it has begun


@dataclass
class At:
    """A place: its launcher, how a run is sent there, and what makes it unreachable; None where that cannot be."""

    launcher: Any
    place: Place
    unplugged: Any = None


@pytest.fixture
def here(home):
    return At(LocalLauncher(), Place())


@pytest.fixture
def fake_slurm(home, monkeypatch, tmp_path_factory):
    folder = tmp_path_factory.mktemp("fake-slurm")
    monkeypatch.setenv("FAKE_SLURM", str(folder))
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


@pytest.fixture(
    params=[
        "here",
        "fake_slurm",
        pytest.param("real_slurm", marks=[pytest.mark.machine, pytest.mark.slow, pytest.mark.matrix]),
    ]
)
def at(request, monkeypatch):
    monkeypatch.setattr("qlora_app.launch.places.ASKED_EVERY", 0.0)
    return request.getfixturevalue(request.param)


@pytest.fixture
def job(home):
    """Work that a worker needs no torch for."""
    file = home / "rows.jsonl"
    row = json.dumps({"instruction": "Who?", "output": "Otto."})
    file.write_text(f"{row}\n" * ROWS)
    return import_job(JobStore(Settings.from_environment().jobs), [file])


def begun(at, job):
    """It works there, and nobody else may."""
    job.move_to(at.place)
    job.request("start")
    at.launcher.start(job)
    wait_for(lambda: job.is_alive() and not job.is_asked("start"))
    assert job.status().is_active and at.launcher.is_alive(job)
    assert worker.main(job.folder) == ALREADY_RUNNING


@pytest.mark.slow
def test_what_every_place_promises(at, job, impatient):
    begun(at, job)
    at.launcher.stop(job)
    wait_for(lambda: job.status().has_ended and not at.launcher.is_alive(job))
    assert job.status().state == "stopped"

    begun(at, job)
    places.end_now(job)
    wait_for(lambda: not at.launcher.is_alive(job) and not job.is_alive())
    assert job.status().state in ("stopped", "interrupted")

    job.move_to(Place())
    places.start(job)
    wait_for(lambda: job.status().has_ended)
    assert job.status().state == "done", job.log_tail()


@pytest.mark.slow
def test_what_is_not_known_has_not_failed(at, job):
    if at.unplugged is None:
        pytest.skip("this machine always answers itself")
    begun(at, job)
    at.unplugged()
    assert at.launcher.is_alive(job) is None and places.look(job) is None
    with refused("launch.elsewhere"):
        local.launch(job)
    wait_for(lambda: job.last_word().has_ended and not job.is_alive())
    assert job.status().silence.code == "job.engine_unknown"
    assert job.status().state != "failed"


@pytest.mark.slow
def test_an_earlier_worker_comes_too_late(fake_slurm, job):
    job.move_to(fake_slurm.place)
    for _ in range(2):
        fake_slurm.launcher.start(job)
    assert worker.main(job.folder, attempt=job.launch_file.attempt() - 1) == ALREADY_RUNNING


@pytest.mark.slow
def test_what_slurm_wants_back_is_queued_again_and_goes_on(fake_slurm, job):
    begun(fake_slurm, job)
    id = job.launch_file.engine().id
    subprocess.run(["scancel", "--signal=USR1", "--batch", id], check=True)
    wait_for(lambda: job.status().state == "done")
    assert job.launch_file.engine().id == id and not job.wishes.wants_end()


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
    assert handed_on(["PATH", "QLORA_APP_HOME", "QLORA_APP_PASSWORD", "QLORA_APP_ENDPOINTS", "AWS_SECRET"]) == [
        "PATH",
        "QLORA_APP_HOME",
    ]


def test_a_word_of_slurm_that_is_not_known_is_no_end(fake_slurm, job, tmp_path_factory, monkeypatch):
    """Of another version, or none at all."""
    tools = tmp_path_factory.mktemp("other-slurm")
    monkeypatch.setenv("PATH", f"{tools}{os.pathsep}{os.environ['PATH']}")
    job.move_to(fake_slurm.place)
    for word, known in {"POWER_UP_NODE": None, "": None, "TIMEOUT": False, "RUNNING": True}.items():
        job.launch_file.write_engine(Engine("slurm", "7", "queued", attempt=1))
        (tools / "squeue").write_text(f"#!/bin/sh\necho '{word}|None'\n")
        (tools / "squeue").chmod(0o700)
        assert fake_slurm.launcher.is_alive(job) is known
