"""Whatever happens to app, worker and disk between a click and the last step: the run trains, or waits, or says why."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from qlora_app import worker
from qlora_app.cli import main
from qlora_app.cli.watching import figures
from qlora_app.jobs import Job, JobSpec, JobStore
from qlora_app.jobs.pulse import PULSE, Pulse, last_sign, no_sign_of_life
from qlora_app.jobs.wishes import Wishes
from qlora_app.launch import local
from qlora_app.launch.ending import end_now, worker_of
from qlora_app.launch.local import launch
from qlora_app.runs import RunStatus
from tests.conftest import PATIENCE as LONG
from tests.conftest import short_recipe, wait_for
from tests.refusing import refused

ROOT = Path(__file__).parents[1]
DEAF = "import hashlib; hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"  # hears no signal until it is done
LEFT = 60  # seconds: what would not be left goes on for longer than that, and a busy machine is slow


@pytest.fixture
def job(home):
    return JobStore(home / "jobs").create("one", JobSpec(kind="count"))


class Stuck:
    """A process of its own that holds a job as a worker does, and then does what it is told."""

    def __init__(self, job: Job, does: str) -> None:
        code = (
            "import sys, time, signal, threading\n"
            "from pathlib import Path\n"
            "from qlora_app.jobs import Job\n"
            "from qlora_app.jobs.pulse import Pulse\n"
            "job = Job(Path(sys.argv[1]))\n"
            "with job.hold() as out, Pulse(out, lambda: 'Ended.'):\n"
            "    out.say('Working.', state='running')\n"
            f"    {does}\n"
        )
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, str(job.folder)], start_new_session=True, stderr=subprocess.DEVNULL
        )
        job.launch_file.write(self.process.pid)
        wait_for(lambda: last_sign(job.folder) or self.process.poll() is not None)


@pytest.fixture
def stuck(job):
    """Makes such a process: stuck("time.sleep(99)")."""
    made = []

    def make(does):
        made.append(Stuck(job, does).process)
        return made[-1]

    yield make
    for process in made:
        process.kill()
        process.wait()


@pytest.mark.parametrize("folder", ["jobs/one/requests", "/jobs/one/requests"])
def test_turns_are_given_beside_a_job_however_its_folder_is_named(folder):
    assert Wishes(Path(folder).parent)._root() == Path(folder).parents[1]


# ---- a worker that hangs


def test_what_a_child_computes_is_work_of_the_worker(job):
    busy = subprocess.Popen([sys.executable, "-c", "while True: pass"])
    with job.hold() as out:
        pulse = Pulse(out, lambda: "Ended.")
        try:
            pulse._has_worked()
            wait_for(pulse._has_worked)
        finally:
            busy.kill()
            busy.wait()
        pulse._has_worked()
        time.sleep(0.2)
        assert not pulse._has_worked()


@pytest.mark.slow
@pytest.mark.parametrize(
    "does",
    ["time.sleep(99)", "threading.Lock().acquire(timeout=99) and time.sleep(99)", "sum(range(10**11))"],
    ids=["asleep", "locked", "holding the interpreter"],
)
def test_a_worker_that_does_nothing_is_seen_and_ended(does, job, stuck):
    process = stuck(does)
    silence = wait_for(lambda: job.status().silence, LEFT)
    assert silence.code == "job.no_sign_of_life" and job.status().state == "running"
    end_now(job)
    assert process.wait(LEFT) == -signal.SIGKILL
    assert job.status().state == "stopped" and job.status().sentence.code == "job.ended_by_force"


@pytest.mark.slow
def test_a_halted_worker_is_seen_and_ended_with_all_it_started_and_nothing_else(job, stuck):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
    process = stuck("import subprocess; subprocess.Popen(['sleep', '98']); time.sleep(99)")
    child = wait_for(lambda: children_of(process.pid))
    os.kill(process.pid, signal.SIGSTOP)
    silence = wait_for(lambda: job.status().silence, LEFT)
    assert "No sign of life for" in silence
    end_now(job)
    assert process.wait(LEFT) == -signal.SIGKILL and other.poll() is None
    wait_for(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in child), LEFT)
    other.kill()
    other.wait()


def children_of(pid):
    import psutil

    return [child.pid for child in psutil.Process(pid).children(recursive=True)]


@pytest.mark.slow
def test_a_worker_that_computes_for_long_is_not_called_dead(job, stuck):
    stuck("exec('while True: pass')")
    silence = wait_for(lambda: job.status().silence)
    assert silence.code == "job.long_at_one_thing" and "it works" in silence


@pytest.mark.slow
@pytest.mark.parametrize("does", ["exec('while True: pass')", "time.sleep(99)", DEAF])
def test_what_may_be_left_is_left_within_seconds_however_it_is_stuck(does, job, stuck):
    process = stuck(f"out.may_be_left = True; {does}")
    job.request("stop")
    process.wait(LEFT)
    assert not job.is_alive()


def test_a_process_of_the_same_number_is_not_ended(job):
    other = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(99)"])
    job.launch_file.write(other.pid)
    text = job.launch_file.path.read_text()
    job.launch_file.path.write_text(text.replace('"started": ', '"started": 1'))
    (job.folder / PULSE).write_text(f"1.0 1.0 1.0 {other.pid} 1.0")
    assert worker_of(job) is None
    with job.hold(), refused("job.worker_unknown"):
        end_now(job)
    assert other.poll() is None
    other.kill()
    other.wait()


def test_a_new_worker_is_not_taken_for_the_silent_one_before(job):
    (job.folder / PULSE).write_text("1.0 1.0 1.0 1 1.0")
    with job.hold() as out:
        assert job.status().silence == ""
        with Pulse(out, lambda: ""):
            assert last_sign(job.folder).pid == os.getpid() and job.status().silence == ""
    assert not (job.folder / PULSE).exists()


def test_a_command_ends_what_hangs(job, stuck, capsys):
    process = stuck("time.sleep(99)")
    assert main(["stop", job.id, "--kill"]) == 0
    assert process.wait(LEFT) == -signal.SIGKILL and "was ended" in capsys.readouterr().out


def test_what_hangs_is_said_on_both_cards_with_a_way_to_end_it(store):
    from qlora_app.ui.job_card import picture
    from qlora_app.ui.runs.card_parts import actions, head

    run, silence = store.create(short_recipe()), no_sign_of_life(12.3)
    for state in ("starting", "running", "stopping"):
        status = RunStatus(state, sentence="Training.", silence=silence)
        job_card = picture(status, "de", can_be_dismissed=False)
        assert "Seit 12 s kein Lebenszeichen" in job_card and 'data-do="kill"' in job_card
        assert "No sign of life for 12 s" in head(run, status)
        assert 'data-do="kill"' in actions(run, status, may_change=True)
        assert 'data-do="kill"' not in actions(run, status, may_change=False)
        assert 'data-do="kill"' not in actions(run, replace(status, silence=""), may_change=True)


def test_a_job_that_hangs_is_watched_and_listed_as_such(job, stuck, capsys):
    process = stuck("time.sleep(99)")
    os.kill(process.pid, signal.SIGSTOP)
    sign = last_sign(job.folder)
    long_ago = sign.beat - 60
    (job.folder / PULSE).write_text(f"{long_ago} {long_ago} {long_ago} {sign.pid} {sign.started}")
    assert main(["jobs", "--json"]) == 0
    assert "No sign of life for 6" in json.loads(capsys.readouterr().out)[0]["silence"]
    assert figures(job.status()).startswith("No sign of life for 6")


# ---- a stop at any moment


@pytest.mark.slow
def test_a_stop_while_it_is_loaded_ends_it_before_its_first_step(store):
    run = store.create(short_recipe(max_steps=5000))
    process = launch(run)
    wait_for(run.is_alive)
    run.request("stop")
    assert process.wait(LONG) == 0
    assert run.status().state == "stopped" and run.metrics()[0] == [], run.status()


@pytest.mark.slow
@pytest.mark.parametrize("delay", [0.0, 0.5, 2.0])
def test_a_stop_at_any_moment_after_the_start_is_followed(delay, store):
    run = store.create(short_recipe(max_steps=5000))
    process = launch(run)
    time.sleep(delay)
    run.request("stop")
    assert process.wait(LONG) == 0
    status = run.status()
    assert status.state == "stopped" and "Resume" in status.sentence, status


@pytest.mark.slow
def test_a_worker_that_is_ended_by_the_system_before_it_begins_leaves_the_run_waiting(store):
    run = store.create(short_recipe())
    process = launch(run)
    process.terminate()
    process.wait()
    assert run.status().state == "queued" and run.is_asked("start")
    assert worker.main(run.folder, asked=True) == 0 and run.status().state == "done"


def test_a_resumed_job_is_reported_as_it_is_now_and_not_as_it_ended(job, monkeypatch, capsys):
    with job.hold() as out:
        out.end("stopped", "It was stopped.")
    monkeypatch.setattr(local, "WORKER", [sys.executable, "-c", "import time; input(); time.sleep(60)"])
    assert main(["resume", job.id, "--no-watch", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["state"] == "starting"
    end_now(job)
    assert job.status().state == "stopped"


@pytest.mark.slow
def test_an_app_that_is_killed_again_and_again_loses_no_run():
    """Two kills of what `make kills` does two hundred times."""
    program = [sys.executable, "benchmarks/kills.py", "--kills", "2", "--no-record"]
    ended = subprocess.run(program, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 0, ended.stdout[-2000:] + ended.stderr[-2000:]
