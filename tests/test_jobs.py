"""A job folder: what it is to do, who may write in it, who wants what of it, and how jobs are listed."""

import contextlib
import errno
import json
import logging
import multiprocessing
import os
import resource
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
import types
import unittest.mock
from typing import Literal

import pytest

from qlora_app import place as where
from qlora_app import worker
from qlora_app.cli import main
from qlora_app.cli.jobs import find_job
from qlora_app.errors import Stopped, UserError
from qlora_app.jobs import Job, JobSpec, JobStore, JobWriter, Status, spec_file
from qlora_app.jobs.failures import explain
from qlora_app.jobs.index import JobIndex
from qlora_app.jobs.lock import HeldLock
from qlora_app.jobs.pulse import Pulse
from qlora_app.jobs.turn import next_turn
from qlora_app.kinds.data_import import ImportSpec, import_job
from qlora_app.launch import line, local
from qlora_app.launch import queue as launch_queue
from qlora_app.launch.ending import end_now
from qlora_app.launch.line import move
from qlora_app.launch.local import LocalLauncher
from qlora_app.launch.queue import Supervisor
from qlora_app.recipe import Recipe
from qlora_app.runs import AllJobs, Run, RunStore, address_of, job_at
from qlora_app.settings import Settings
from qlora_app.storage.disk import disk_trouble
from qlora_app.storage.files import open_for_writing
from qlora_app.storage.reading import NotAFile, read_bytes
from qlora_app.ui.context import AppContext
from tests.conftest import PATIENCE, wait_for, write_status
from tests.fixtures.page import FakeSessions, FakeSupervisor
from tests.refusing import refused

SETTLED = 0.05  # seconds after which the index is believed here, of which some ticks of the file system's clock pass


class Counting(JobSpec):
    """A toy kind: counts as far as it is told."""

    kind: Literal["count"] = "count"
    until: int = 10
    break_at: int = 0


def counting_kind():
    """The module that does it."""
    module = types.ModuleType("counting")

    def work(job, out, settings):
        spec = job.spec(Counting)
        for number in range(1, spec.until + 1):
            if number == spec.break_at:
                raise UserError("count.broke", "It breaks at {number}. Take another number.", number=number)
            out.append("numbers", {"number": number})
            out.progress(number, spec.until)
        out.write("result", {"counted": spec.until})
        out.end("done", "Counted.")

    module.work = work
    module.stopped = lambda job: "Stopped. Resume counts anew."
    module.explain = lambda error, job: explain(error)
    return module


@pytest.fixture
def jobs(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "counting", counting_kind())
    monkeypatch.setitem(worker.KINDS, "count", "counting")
    monkeypatch.setattr("qlora_app.jobs.index._SETTLED", SETTLED)
    return JobStore(home / "jobs")


# ---- what it is to do


def test_the_spec_comes_back_and_nothing_unknown_is_taken(jobs):
    job = jobs.create("To ten!", Counting(until=3))
    assert job.id.endswith("-to-ten") and (job.kind, job.needs) == ("count", "little")
    assert job.spec(Counting) == Counting(until=3)
    (job.folder / "job.yaml").write_text("kind: count\nfar: 3\n")
    with pytest.raises(UserError, match="far: Extra inputs"):
        job.spec(Counting)
    (job.folder / "job.yaml").write_text("kind: other\n")
    with pytest.raises(UserError, match="kind: Input should be 'count'"):
        job.spec(Counting)
    (job.folder / "job.yaml").write_text("[")
    assert (job.kind, job.needs) == ("", "little")


def test_a_folder_with_a_recipe_is_a_run(store, jobs):
    run, job = store.create(Recipe()), jobs.create("one", Counting())
    assert type(job_at(run.folder)) is Run and run.kind == "train" and run.needs == "machine"
    assert type(job_at(job.folder)) is Job


# ---- who may write


def test_every_job_has_an_address_of_its_own(store, jobs, home):
    run = store.create(Recipe(name="one"))
    job = jobs.create("one", Counting())
    job = Job(job.folder.rename(jobs.root / run.id))  # a run and an import of the same minute and name
    answers = JobStore(run.answers).create("asked", Counting())
    shutil.copyfile(run.folder / run.spec_file, home / run.spec_file)  # a recipe that somebody keeps there
    every = AllJobs(store, jobs, JobStore(home / "evaluations"))
    addresses = [address_of(one) for one in (run, answers, job)]
    assert addresses == [run.id, f"{run.id}/{answers.id}", f"jobs/{run.id}"]
    assert [every.get(one).folder for one in addresses] == [run.folder, answers.folder, job.folder]
    with refused("job.not_there"):
        every.get("jobs/../x")


def test_a_terminal_finds_jobs_of_one_name_by_their_addresses(store, jobs, capsys):
    run = store.create(Recipe(name="one"))
    jobs.create("one", Counting()).folder.rename(jobs.root / run.id)
    assert main(["jobs", "--json"]) == 0
    listed = [row["job"] for row in json.loads(capsys.readouterr().out)]
    assert listed == [run.id, f"jobs/{run.id}"]
    found = [find_job(address, Settings.from_environment()).folder for address in listed]
    assert found == [run.folder, jobs.root / run.id]


def test_only_the_lock_gives_a_writer_and_only_as_long_as_it_is_held(jobs, impatient):
    job = jobs.create("one", Counting())
    with job.hold() as out:
        assert isinstance(out, JobWriter) and job.is_alive()
        out.say("So far.", state="running", step=1)
        with pytest.raises(BlockingIOError), job.hold():
            pass
    assert not job.is_alive()
    for write in (lambda: out.say("x"), lambda: out.append("rows", {}), lambda: out.write("result", {})):
        with pytest.raises(RuntimeError, match="its lock was let go"):
            write()
    assert job.result() is None and not (job.folder / "rows.jsonl").exists()
    assert isinstance(out._lock, HeldLock)


def test_progress_is_said_and_ends_where_somebody_asked(jobs):
    job = jobs.create("one", Counting())
    with job.hold() as out:
        out.progress(3, 12, "Counting.")
        status = job.status()
        assert (status.state, status.step, status.total, status.progress) == ("running", 3, 12, 0.25)
        job.request("stop")
        assert job.status().state == "stopping"
        with pytest.raises(Stopped):
            out.progress(4, 12)
        job.forget_stop()
        out.progress(5, 12)


def test_a_stop_takes_back_a_start_and_a_start_an_old_stop(jobs):
    job = jobs.create("one", Counting())
    job.request("start")
    job.request("stop")
    assert not job.is_asked("start") and not job.is_asked("stop")
    job.request("stop-now")
    job.request("start")
    assert job.is_asked("start") and not job.is_asked("stop-now")


# ---- what the worker makes of it


def test_a_job_is_done_stopped_and_resumed(jobs):
    job = jobs.create("one", Counting(until=4))
    job.request("stop")
    assert worker.main(job.folder) == 0 and job.status().state == "stopped"
    assert job.status().sentence == "Stopped. Resume counts anew." and not job.is_asked("stop")
    assert worker.main(job.folder) == 0
    status = job.status()
    assert (status.state, status.sentence, status.step, job.result()) == ("done", "Counted.", 4, {"counted": 4})


def test_a_failure_is_a_sentence_and_the_log_has_the_rest(jobs, capfd):
    job = jobs.create("one", Counting(break_at=2))
    assert worker.main(job.folder) == 1
    assert (job.status().state, job.status().sentence) == ("failed", "It breaks at 2. Take another number.")
    assert "Traceback" in capfd.readouterr().err


def test_a_kind_of_a_later_version_is_refused_in_words(jobs):
    job = jobs.create("one", Counting())
    (job.folder / "job.yaml").write_text("kind: dream\n")
    assert worker.main(job.folder) == 1
    assert "knows no work of the kind 'dream'" in job.status().sentence


def test_a_second_worker_leaves(jobs, impatient):
    job = jobs.create("one", Counting())
    with job.hold():
        assert worker.main(job.folder) == 73
    assert not (job.folder / "status.json").exists()


@pytest.mark.parametrize("arguments", [[], ["--help"], ["a", "b"]])
def test_a_command_that_makes_no_sense_is_told_so(arguments, capsys):
    assert worker.command(arguments) == 2
    assert "JOB_DIR" in capsys.readouterr().err


def test_a_worker_is_told_its_job_and_perhaps_an_attempt(jobs, monkeypatch):
    told = []
    monkeypatch.setattr(worker, "main", lambda folder, attempt: told.append((str(folder), attempt)) or 0)
    assert worker.command(["a"]) == worker.command(["a", "3"]) == 0 and told == [("a", 0), ("a", 3)]


def test_a_worker_that_died_is_interrupted_and_one_on_its_way_is_starting(jobs):
    job = jobs.create("one", Counting())
    write_status(job, Status("running", step=2, total=4))
    assert job.status().state == "stopped" and "before it began" in job.status().sentence, "nobody ever launched it"
    job.launch_file.write(os.getpid())
    assert job.status().state == "starting" and LocalLauncher().is_alive(job)
    (job.folder / "launch.json").write_text('{"pid": 1, "started": 1.0}')
    assert job.status().state == "interrupted" and not LocalLauncher().is_alive(job)
    assert job.status().step == 2


# ---- how they are listed


def make(store, *names):
    return [store.create(name, Counting()).id for name in names]


def settled(store):
    """Now the index is old enough to be believed."""
    time.sleep(2 * SETTLED)
    store.list()
    assert store._index.path.exists()


def ids(store):
    return [job.id for job in store.list()]


def test_the_index_knows_what_the_folders_know(jobs):
    made = make(jobs, "a", "b", "c")
    assert ids(jobs) == made[::-1]
    settled(jobs)
    assert ids(jobs) == made[::-1]
    made += make(jobs, "d")
    jobs.delete(made.pop(0))
    assert ids(jobs) == made[::-1], "it is never behind"


def test_a_known_list_opens_no_job_folder(jobs, monkeypatch):
    made = make(jobs, "a", "b")
    settled(jobs)
    monkeypatch.setattr(JobIndex, "_created", lambda *_: pytest.fail("a folder was looked at"))
    assert ids(jobs) == made[::-1]


def test_a_folder_that_becomes_a_job_later_is_found(jobs):
    made = make(jobs, "a")
    late = jobs.root / "late"
    late.mkdir()
    settled(jobs)
    assert ids(jobs) == made
    (late / "job.yaml").write_text("kind: count\n")  # the folder that holds the jobs has not changed
    assert ids(jobs) == ["late", *made]


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(b""),
        lambda path: path.write_bytes(b"no database" * 1000),
        lambda path: path.write_bytes(path.read_bytes()[:5000]),
        lambda path: sqlite3.connect(path).executescript("DROP TABLE jobs"),
        lambda path: sqlite3.connect(path).executescript("UPDATE read SET version = 99"),
        lambda path: (path.unlink(), path.mkdir()),
    ],
    ids=["gone", "emptied", "nonsense", "cut", "a table gone", "a later version", "a folder"],
)
def test_whatever_becomes_of_the_index_the_list_is_true(damage, jobs):
    made = make(jobs, "a", "b")
    settled(jobs)
    damage(jobs._index.path)
    for _ in range(3):
        assert ids(jobs) == made[::-1]


def test_an_index_that_another_process_holds_is_passed_by(jobs):
    made = make(jobs, "a", "b")
    settled(jobs)
    made += make(jobs, "c")
    holder = sqlite3.connect(jobs._index.path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    try:
        assert ids(jobs) == made[::-1]
    finally:
        holder.close()


def test_where_nothing_can_be_written_the_folders_are_read(jobs, monkeypatch):
    made = make(jobs, "a")
    time.sleep(2 * SETTLED)

    def refuse(*_, **__):
        raise sqlite3.OperationalError("attempt to write a readonly database")

    monkeypatch.setattr(sqlite3, "connect", refuse)
    assert ids(jobs) == made


def _list_and_make(root, number):
    store = JobStore(root)
    for turn in range(15):
        made = store.create(f"p{number}-{turn}", Counting()).id
        if made not in ids(store):
            os._exit(5)
        if turn % 5 == 4:
            time.sleep(0.05)
            store.delete(made)
            if made in ids(store):
                os._exit(6)


def test_many_processes_make_delete_and_list_at_once(jobs, monkeypatch):
    monkeypatch.setattr("qlora_app.jobs.index._SETTLED", 0.02)  # so that the index is written all the time
    context = multiprocessing.get_context("fork")
    processes = [context.Process(target=_list_and_make, args=(jobs.root, number)) for number in range(6)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(PATIENCE)
    assert [process.exitcode for process in processes] == [0] * 6
    assert len(ids(jobs)) == 6 * 12 == len(set(ids(jobs)))


def test_runs_are_listed_with_what_was_made_of_them(store):
    run = store.create(Recipe())
    answers = JobStore(run.answers).create("questions", Counting())
    assert [job.folder for job in store.every()] == [run.folder, answers.folder]
    assert [one.id for one in store.list()] == [run.id]


def test_a_deleted_job_is_gone_and_one_at_work_is_not_deleted(jobs, impatient):
    (made,) = make(jobs, "a")
    with jobs.get(made).hold(), pytest.raises(UserError, match="is at work"):
        jobs.delete(made)
    jobs.delete(made)
    with pytest.raises(UserError, match="There is no job"):
        jobs.get(made)
    assert RunStore(jobs.root).list() == []


# ---- the queue


class Place:
    """A launcher that never ends what it starts."""

    name = "place"
    has_standby = True

    def __init__(self) -> None:
        self.started: list[str] = []
        self.at_work: list[Job] = []
        self.devices: list[str] = []

    def start(self, job, cold=False, device=""):
        if cold:
            raise OSError("It was sent already.")
        self.started.append(job.id)
        self.at_work.append(job)
        self.devices.append(device)

    def reap(self):
        return list(self.at_work)


def test_what_needs_little_starts_at_once_and_of_what_loads_a_model_one_at_a_time(jobs):
    supervisor = Supervisor(jobs)
    supervisor.launcher = place = Place()
    made = {}
    for needs in ("little", "torch", "machine"):
        made[needs] = [jobs.create(f"{needs}-{n}", Counting(needs=needs)) for n in range(2)]
        for job in made[needs]:
            job.request("start")
    supervisor._look()
    first = [job.id for job in (*made["little"], made["torch"][0], made["machine"][0])]
    assert place.started == first
    supervisor._look()
    assert place.started == first, "each waits until the one before has ended"
    place.at_work = [job for job in place.at_work if job.needs != "torch"]
    supervisor._look()
    assert place.started == [*first, made["torch"][1].id]
    assert made["machine"][1].status().state == "queued"


def in_line(jobs, *names, needs="machine"):
    """Jobs that wait, the first one longest."""
    made = [jobs.create(name, Counting(needs=needs)) for name in names]
    for job in made:
        job.request("start")
    return made


def test_a_line_that_somebody_changed_stays_so_and_is_followed(jobs):
    one, two, three, four = in_line(jobs, "one", "two", "three", "four")
    for job, way, expected in [
        (three, "up", "one three two four"),
        (three, "up", "three one two four"),
        (three, "up", "three one two four"),
        (one, "last", "three two four one"),
        (four, "first", "four three two one"),
        (four, "down", "three four two one"),
        (two, "cancel", "three four one"),
    ]:
        move(job, way, jobs.list())
        assert [job.id[16:] for job in line.in_line(JobStore(jobs.root).list())] == expected.split()
    one.request("start")
    assert line.in_line(jobs.list())[-1].id == one.id, "a second click gives nobody another turn"
    four.take("start")
    four.wishes.set_turn(1)
    assert not four.is_asked("start"), "whoever began meanwhile is not asked again"
    with refused("queue.not_waiting"):
        move(four, "up", jobs.list())


def test_who_asked_first_is_first_wherever_the_clock_goes_and_whoever_copies_the_folders(jobs, tmp_path, monkeypatch):
    now, made = 10**18, []
    monkeypatch.setattr(time, "time_ns", lambda: now)
    for step in (0, -(10**15), 0, 10**12, -(10**17), 5, 0):
        now += step
        made += in_line(jobs, "one")
    move(made[2], "first", jobs.list())
    wanted = [made[2], *made[:2], *made[3:]]
    assert [job.id for job in line.in_line(jobs.list())] == [job.id for job in wanted]
    shutil.copytree(jobs.root, tmp_path / "copied", copy_function=shutil.copyfile)  # with the times of the copying
    copied = JobStore(tmp_path / "copied")
    assert [job.id for job in line.in_line(copied.list())] == [job.id for job in wanted]
    late = copied.create("late", Counting())
    late.request("start")
    assert line.in_line(copied.list())[-1].id == late.id


def test_who_ask_at_once_get_a_turn_each(jobs):
    found, threads = [], []
    for _ in range(4):
        one = threading.Thread(target=lambda: found.append([next_turn(jobs.root) for _ in range(50)]))
        one.start()
        threads.append(one)
    for one in threads:
        one.join()
    every = [turn for turns in found for turn in turns]
    assert len(set(every)) == 200 and all(turns == sorted(turns) for turns in found)


@pytest.mark.parametrize("damage", ["", "x", "9" * 20, "9" * 40, "\ud800 1"])
def test_a_damaged_turn_is_when_it_was_asked_for(jobs, damage):
    first, second = in_line(jobs, "one", "two")
    for file in (second.wishes.folder / "start", jobs.root / ".asked"):
        file.write_bytes(damage.encode("utf-8", "surrogatepass"))
    third = in_line(jobs, "three")[0]
    assert [job.id for job in line.in_line(jobs.list())] == [first.id, second.id, third.id]


@pytest.mark.parametrize("at_once", [1, 2, 3])
def test_so_many_work_at_once_each_on_the_least_used_device_or_one_on_all_and_what_is_wanted_now_beside_them(
    jobs, at_once
):
    made = in_line(jobs, "one", "two", "three", "four", "five")
    devices = ["0", "1", "0"] if at_once > 1 else [""]
    supervisor = Supervisor(jobs, at_once=at_once, devices=["0", "1"])
    supervisor.launcher = place = Sending(lambda job: None)
    supervisor._look()
    assert place.started == [job.id for job in made[:at_once]] and place.devices == devices[:at_once]
    move(made[-1], "now", jobs.list())
    supervisor._look()
    assert place.started[at_once:] == [made[-1].id] and not made[-1].is_asked("now")


@pytest.mark.parametrize(
    "at_once, processes, devices",
    [
        (2, [2, 1, 1], ["0,1"]),  # the second would share a device of the first
        (2, [1, 2, 1], ["0"]),  # the third does not overtake the second
        (3, [2, 1, 1], ["0,1", "0"]),  # more than there are devices, as somebody wished
        (2, [0, 1], ["0,1"]),  # one process for each device
        (1, [2, 1], [""]),  # all are its own
    ],
)
def test_who_shares_steps_among_processes_has_a_device_for_each(jobs, at_once, processes, devices):
    for job, count in zip(in_line(jobs, "one", "two", "three"), processes, strict=False):
        job.move_to(where.Place(processes=count))
    supervisor = Supervisor(jobs, at_once=at_once, devices=["0", "1"])
    supervisor.launcher = place = Sending(lambda job: None)
    for _ in range(2):
        supervisor._look()
    assert place.devices == devices


@pytest.mark.parametrize("needs", ["little", "torch", "machine"])
def test_a_job_that_cannot_be_started_waits_and_keeps_nobody_else_waiting(needs, jobs, monkeypatch, caplog):
    monkeypatch.setattr(local, "WORKER", [sys.executable, "-c", "input()"])
    broken, sound = in_line(jobs, "broken", "sound", needs=needs)
    broken.log.mkdir()  # so that nobody can write it
    supervisor = Supervisor(jobs)
    supervisor.launcher.keep_warm()
    monkeypatch.setattr(launch_queue, "LOOK_EVERY", 0.0)  # the first pause
    with caplog.at_level(logging.ERROR):
        for _ in range(3):
            supervisor._look()
    assert sound.launch_file.exists()
    assert broken.status().state == "queued" and not broken.launch_file.exists()
    assert len(caplog.records) == 1 and str(broken.folder) in caplog.text
    broken.log.rmdir()
    supervisor.launcher._at_work.clear()
    sound.launch_file.path.unlink()
    supervisor._look()
    assert broken.launch_file.exists(), "as soon as it can be"
    supervisor.launcher.close()


def test_a_job_that_cannot_be_started_is_not_tried_every_second(jobs):
    (broken,) = in_line(jobs, "broken")
    supervisor = Supervisor(jobs)
    supervisor.launcher = place = Place()
    tried = []

    def start(job, **how):
        tried.append(job.id)
        raise OSError("The disk is full")

    place.start = start
    for _ in range(5):
        supervisor._look()
    assert tried == [broken.id] and broken.status().state == "queued"


def test_a_job_that_cannot_be_read_keeps_nobody_else_waiting(jobs):
    strange = jobs.create("strange", Counting(needs="machine"))
    (strange.folder / "lock").mkdir()
    (sound,) = in_line(jobs, "sound")
    supervisor = Supervisor(jobs)
    supervisor.launcher = place = Place()
    supervisor._look()
    assert place.started == [sound.id]


class Sending(Place):
    """While it sends a worker, something else happens."""

    def __init__(self, meanwhile) -> None:
        super().__init__()
        self.meanwhile = meanwhile

    def start(self, job, cold=False, device=""):
        super().start(job, cold, device)
        job.launch_file.write(os.getpid(), device)  # a process that lives
        self.meanwhile(job)


@pytest.mark.parametrize("taken_back", [lambda job: job.request("stop"), lambda job: job.take("start")])
def test_a_start_that_is_taken_back_while_a_worker_is_sent_sends_that_worker_home(taken_back, jobs):
    (job,) = in_line(jobs, "one")
    supervisor = Supervisor(jobs)
    supervisor.launcher = Sending(taken_back)
    supervisor._look()
    assert job.status().is_active and not job.is_asked("start")
    assert worker.main(job.folder, asked=True) == 0
    assert job.status().state == "stopped" and not job.is_asked("stop") and job.result() is None


def test_a_worker_that_takes_the_start_itself_is_not_stopped(jobs):
    done, at_work = in_line(jobs, "done", "at-work", needs="little")
    held = []

    def come(job):
        if job.id == done.id:
            assert worker.main(job.folder, asked=True) == 0
            return
        held.append(job.hold())
        held[0].__enter__()
        job.take("start")

    supervisor = Supervisor(jobs)
    supervisor.launcher = place = Sending(come)
    supervisor._look()
    assert place.started == [done.id, at_work.id] and done.status().state == "done" and at_work.is_alive()
    assert not any(job.wishes.wants_end() or job.is_asked("start") for job in (done, at_work))
    held[0].__exit__(None, None, None)


def test_a_start_that_is_taken_back_before_a_worker_is_sent_sends_none(jobs):
    first, second = in_line(jobs, "first", "second", needs="little")
    supervisor = Supervisor(jobs)
    supervisor.launcher = place = Sending(lambda job: second.request("stop"))
    supervisor._look()
    assert place.started == [first.id] and not second.is_asked("stop")


def test_while_nothing_is_new_no_job_is_looked_into(jobs, monkeypatch):
    make(jobs, "a", "b")
    supervisor = Supervisor(jobs)
    supervisor.launcher = place = Place()
    for _ in range(2):
        supervisor._look()
    looked = []
    monkeypatch.setattr(jobs, "every", lambda: looked.append("all") or list(jobs.list()))
    monkeypatch.setattr(Job, "is_asked", lambda job, wish: looked.append(job.id))
    for _ in range(3):
        supervisor._look()
    assert looked == []
    monkeypatch.undo()
    place.has_standby = False
    warmed = []
    place.keep_warm = lambda: warmed.append(True)
    (job,) = in_line(jobs, "c")
    with job.hold():  # a worker of the command line needs the machine
        supervisor._look()
    assert warmed == []
    job.take("start")
    supervisor._look()
    assert warmed == [True]


# ---- no wish is lost


def test_a_job_is_begun_once_however_many_workers_are_sent(jobs):
    job = jobs.create("one", Counting(until=2))
    job.request("start")
    assert [worker.main(job.folder, asked=True) for _ in range(3)] == [0, 0, 0]
    assert (job.folder / "numbers.jsonl").read_text().count("number") == 2 and job.status().state == "done"


def test_a_start_that_is_left_while_it_is_worked_on_does_not_begin_it_again(jobs):
    job = jobs.create("one", Counting(until=2))
    assert worker.main(job.folder) == 0
    job.request("start")
    assert worker.main(job.folder, asked=True) == 0
    assert not job.is_asked("start") and (job.folder / "numbers.jsonl").read_text().count("number") == 2


def test_a_job_whose_worker_died_before_it_began_waits_and_is_given_another(jobs, monkeypatch):
    monkeypatch.setattr(local, "WORKER", [sys.executable, "-c", "pass"])
    (job,) = in_line(jobs, "one")
    monkeypatch.setattr(launch_queue, "LOOK_EVERY", 0.0)
    supervisor = Supervisor(jobs)
    seen = []
    for _ in range(launch_queue.MOST_DEATHS):
        supervisor._look()
        wait_for(lambda: not job.launch_file.is_alive())
        seen.append(job.status().state)
    assert seen == ["queued"] * launch_queue.MOST_DEATHS
    supervisor._look()
    assert job.status().state == "failed" and job.status().sentence.code == "job.never_began"
    assert not job.is_asked("start")


@pytest.mark.slow
def test_a_worker_that_is_told_nothing_goes_home(jobs):
    standby = local.Standby()
    standby.dismiss()
    assert standby.process.wait(60) == 0


@pytest.mark.slow
@pytest.mark.parametrize("ready", [False, True], ids=["importing", "ready"])
def test_a_standby_does_its_job_also_when_the_app_is_gone(ready, home):
    """The app hands the job over and ends at once: nobody reads what the standby says, and nobody sends another."""
    hand_over = (
        "import os, sys\n"
        "from pathlib import Path\n"
        "from qlora_app.jobs import Job\n"
        "from qlora_app.launch.local import Standby\n"
        "standby = Standby()\n"
        f"{ready} and standby.wait_until_ready()\n"
        "standby.work_on(Job(Path(sys.argv[1])))\n"
        "os._exit(9)\n"
    )
    (home / "rows.jsonl").write_text('{"instruction": "a", "output": "b"}\n' * 3)
    job = import_job(JobStore(home / "jobs"), [home / "rows.jsonl"])
    job.request("start")
    assert subprocess.run([sys.executable, "-c", hand_over, str(job.folder)], check=False).returncode == 9
    wait_for(lambda: job.status().has_ended)
    assert job.status().state == "done", job.status().sentence


def test_a_clock_that_is_set_changes_nothing(jobs, monkeypatch):
    """Who is alive is told by the lock and by the machine's own time, whatever the time of day is."""
    job = jobs.create("one", Counting())
    job.launch_file.write(os.getpid())
    job.request("start")
    monkeypatch.setattr(time, "time", lambda: 0.0)
    os.utime(job.launch_file.path, (0, 0))
    assert job.status().state == "starting" and job.is_on_its_way()
    with job.hold() as out:
        out.say("Going on.", state="running")
        os.utime(job.folder / "status.json", (2**33, 2**33))
        assert job.status().state == "running"


def test_what_a_killed_program_left_half_made_or_half_deleted_is_swept(jobs):
    (kept,) = make(jobs, "kept")
    going = jobs.root / f".{kept}.deleted-1"
    half = jobs.root / ".2026-01-01-0000-x.unmade-1-1"
    for left in (going, half):
        (left / "files").mkdir(parents=True)
    jobs.sweep()
    assert not going.exists() and not half.exists() and ids(jobs) == [kept]


def test_what_cannot_be_made_leaves_nothing_and_takes_no_name(jobs):
    def full(job):
        (job.folder / "half").write_text("x")
        raise OSError(28, "No space left on device")

    with refused("disk.full"):
        jobs.create("one", Counting(), full)
    assert [path.name for path in jobs.root.iterdir()] == [".index"]


# ---- a program that cannot open one more file


@contextlib.contextmanager
def no_more_files():
    """Meanwhile this process can open none."""
    free = os.open(os.devnull, os.O_RDONLY)
    os.close(free)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (free, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


def test_what_a_job_is_to_do_is_read_once_and_again_when_it_was_written(jobs, monkeypatch):
    """A page looks at hundreds of jobs every second."""
    read, reading = [], spec_file.read_mapping
    monkeypatch.setattr(spec_file, "read_mapping", lambda *given: read.append(given) or reading(*given))
    job = jobs.create("counted", Counting())
    assert [job.kind for _ in range(3)] == 3 * [Counting().kind] and len(read) == 1
    assert Job(job.folder).spec(Counting) == Counting() and len(read) == 1
    path = job.folder / job.spec_file
    path.write_text(path.read_text().replace(Counting().kind, "another"))
    assert job.kind == "another" and len(read) == 2
    path.unlink()
    assert job.kind == ""


def test_who_cannot_open_one_more_file_takes_no_job_for_free(jobs):
    names = ("at-work", "waiting", "new")
    at_work, waiting, new = (jobs.create(name, Counting(needs="machine")) for name in names)
    supervisor = Supervisor(jobs)
    supervisor.launcher = place = Place()
    with at_work.hold() as out:
        out.say("Counting.", state="running")
        waiting.request("start")
        supervisor._look()
        assert at_work.needs == "machine", "read once, it is known"
        with no_more_files():
            assert at_work.needs == "machine"
            for look in (at_work.is_alive, at_work.status, lambda: new.needs, lambda: jobs.delete(at_work.id)):
                with pytest.raises(OSError, match="Too many open files"):
                    look()
            with contextlib.suppress(OSError):
                supervisor._look()
        supervisor._look()
        assert place.started == [] and at_work.status().state == "running"


def test_who_cannot_open_one_more_file_forgets_no_job(jobs):
    jobs.create("one", Counting())
    time.sleep(3 * SETTLED)
    with no_more_files(), pytest.raises(OSError, match="Too many open files"):
        jobs.list()
    assert len(jobs.list()) == 1


def test_what_may_not_be_opened_is_said_with_its_path(tmp_path):
    file = tmp_path / "file"
    refused = PermissionError(errno.EACCES, "Permission denied", str(file))
    with unittest.mock.patch("os.open", side_effect=refused), pytest.raises(NotAFile) as error:
        read_bytes(file)
    assert disk_trouble(error.value, tmp_path).values == {"path": str(file)}


# ---- pipes where files should be


def within(seconds, work):
    """What it returns or raises, where it ends in that time."""
    said = []

    def note():
        try:
            said.append(work())
        except Exception as error:  # whatever it is, the test looks at it
            said.append(error)

    threading.Thread(target=note, daemon=True).start()
    wait_for(lambda: said, seconds)
    return said[0]


@pytest.mark.parametrize("name", ["log.txt", "lock", "pulse", "spare", "numbers.jsonl"])
def test_a_pipe_in_a_folder_holds_up_nobody_who_writes_there(name, jobs):
    job = jobs.create("one", Counting())
    os.mkfifo(job.folder / name)
    writes = {
        "log.txt": lambda: LocalLauncher().start(job),
        "lock": lambda: job.hold().__enter__(),
        "pulse": lambda: open_for_writing(job.folder / name),
        "spare": lambda: held(job, lambda out: out.keep_spare()),
        "numbers.jsonl": lambda: held(job, lambda out: out.append("numbers", {"number": 1})),
    }
    error = within(5, writes[name])
    assert isinstance(error, NotAFile) and str(error) == f"{name}: it is a pipe and no file"


def held(job, work):
    with job.hold() as out:
        return work(out)


def test_a_pipe_in_the_place_of_the_pulse_holds_up_neither_worker_nor_reader(jobs):
    job = jobs.create("one", Counting())
    with job.hold() as out:
        out.say("Counting.", state="running")
        os.mkfifo(job.folder / "pulse")
        assert within(5, job.status).state == "running"
        within(5, Pulse(out, lambda: "")._beat_quietly)


def test_a_job_whose_log_is_a_pipe_holds_up_no_other(jobs):
    (bad,) = in_line(jobs, "bad", needs="little")
    os.mkfifo(bad.log)
    within(5, Supervisor(jobs)._look)
    assert bad.status().state == "queued" and "log.txt: it is a pipe" in bad.status().sentence


# ---- a job that names many files


def test_a_job_names_as_many_files_as_somebody_has(jobs, tmp_path):
    names = [f"conversation with customer number {number:06d}.txt" for number in range(1500)]
    for name in names:
        (tmp_path / name).write_text("Hello")
    job = import_job(jobs, [tmp_path / name for name in names])
    assert (job.kind, job.damages()) == ("import", []) and job.spec(ImportSpec).files == names


@pytest.mark.slow
def test_a_job_that_names_too_much_is_refused_and_leaves_nothing(jobs):
    names = ["n" * 1000] * 5000
    with refused("job.names_too_much"):
        jobs.create("many", ImportSpec(files=names))
    assert jobs.list() == [] and not [path for path in jobs.root.iterdir() if "unmade" in path.name]


# ---- a stop and a start that come in the middle


def worked_on_by(work, job, monkeypatch):
    """`worker.main` of a job whose kind does `work`."""
    monkeypatch.setattr(sys.modules["counting"], "work", work)
    return worker.main(job.folder)


def test_a_stop_that_comes_inside_a_library_ends_as_stopped(jobs, monkeypatch):
    def work(job, out, settings):
        with out.leaving():
            try:
                job.request("stop")
                os.kill(os.getpid(), signal.SIGUSR1)  # as the pulse does
                time.sleep(5)
            except Exception as error:  # as whoever makes sentences of what a library raises
                raise UserError("count.broke", "It breaks at {number}. Take another number.", number=1) from error

    job = jobs.create("one", Counting())
    assert worked_on_by(work, job, monkeypatch) == 0
    assert (job.status().state, job.status().sentence) == ("stopped", "Stopped. Resume counts anew.")


def test_a_start_that_is_left_while_a_job_stops_waits_for_its_turn(jobs, monkeypatch):
    def work(job, out, settings):
        out.end("stopped", "Stopped.")
        job.request("start")

    job = jobs.create("one", Counting())
    worked_on_by(work, job, monkeypatch)
    assert job.status().state == "queued" and job.is_asked("start")


def test_a_click_while_a_job_leaves_after_its_last_word_is_a_start(jobs):
    job = jobs.create("one", Counting())
    page = AppContext(Settings(home=jobs.root.parent), RunStore(jobs.root), FakeSupervisor(), FakeSessions())
    with job.hold() as out:
        out.say("Counting.", state="running")
        page.start(job)
        assert not job.is_asked("start")
        out.end("stopped", "Stopped.")
        page.start(job)
    assert job.status().state == "queued"


def test_a_worker_that_hangs_while_it_is_loaded_is_ended_and_not_called_out_of_memory(jobs, monkeypatch):
    monkeypatch.setattr(local, "WORKER", [sys.executable, "-c", "import time; time.sleep(60)"])
    job = jobs.create("one", Counting())
    job.request("start")
    launcher = LocalLauncher()
    launcher.start(job)
    assert job.status().state == "starting"
    end_now(job)
    wait_for(lambda: not launcher.reap())
    status = job.status()
    assert (status.state, status.sentence.code) == ("stopped", "job.ended_by_force")
    assert not job.wishes.wants_end()


STAYS = """
import sys, time
from pathlib import Path
from qlora_app.jobs import Job
job = Job(Path(sys.stdin.readline().strip()))
with job.hold() as out:
    job.take("start")
    out.end("done", "Counted.")
time.sleep(60)
"""


@pytest.mark.slow
def test_a_worker_that_stays_after_its_last_word_holds_up_nobody_for_long(jobs, monkeypatch):
    monkeypatch.setattr(local, "WORKER", [sys.executable, "-c", STAYS])
    monkeypatch.setattr(local, "LEAVES_WITHIN", 1.0)
    stays, waits = in_line(jobs, "stays", "waits")
    supervisor = Supervisor(jobs)
    monkeypatch.setattr(supervisor.launcher, "keep_warm", lambda: None)
    supervisor._look()
    wait_for(lambda: stays.status().state == "done")
    supervisor._look()
    assert waits.is_asked("start") and not waits.launch_file.exists()
    wait_for(lambda: supervisor._look() or waits.status().state == "done", 50)  # the one that stays does for 60
    wait_for(lambda: supervisor._look() or not supervisor.launcher.reap(), 50)
    assert stays.status().state == "done" and supervisor._troubles == {}
