"""The run folder holds under kill -9, torn lines, full locks and reused process ids; checkpoints that were damaged are
refused.
"""

import contextlib
import errno
import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from qlora_app.errors import UserError
from qlora_app.jobs import JobSpec, JobStore
from qlora_app.launch import queue
from qlora_app.launch.local import LocalLauncher
from qlora_app.recipe import Recipe
from qlora_app.runs import (
    Curve,
    Run,
    RunStatus,
    RunStore,
)
from qlora_app.runs.checkpoints import (
    MANIFEST,
    is_complete,
    newest_complete,
    seal,
    set_broken_aside,
)
from qlora_app.runs.curve import MOST_BUCKETS
from qlora_app.storage.files import append_line, write_json
from qlora_app.storage.process import process_start
from qlora_app.storage.reading import read_lines
from tests.conftest import PATIENCE, wait_for, write_status
from tests.refusing import refused

ROOT = Path(__file__).parent.parent
HOLD = """
import sys, time, pathlib
from qlora_app.runs import Run
with Run(pathlib.Path(sys.argv[1])).hold():
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def run(store) -> Run:
    return store.create(Recipe(name="a run"))


@pytest.fixture
def out(run, hold):
    """The writer of the run, whose worker this process is."""
    return hold(run)


@contextlib.contextmanager
def lock_holder(run: Run):
    """A real process that holds the run's lock, as a worker does."""
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(run.folder)], stdout=subprocess.PIPE, cwd=ROOT)
    try:
        run.launch_file.write(process.pid)
        assert process.stdout.readline() == b"held\n"
        yield process
    finally:
        process.kill()
        process.wait()


def forked(work, count: int = 1) -> list[int]:
    """Process ids of `count` children that each do `work(number)` and exit with what it returns."""
    children = []
    for number in range(count):
        if (child := os.fork()) == 0:
            code = 99
            try:
                code = int(work(number) or 0)
            finally:
                os._exit(code)
        children.append(child)
    return children


def exit_codes(children: list[int]) -> list[int]:
    return [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]


# ---- what is written comes back


def test_status_round_trip(run):
    status = RunStatus("done", step=3, total=9, sentence="Ü", loss=0.5, warnings=["a", "b"])
    write_status(run, status)
    assert run.status() == status


def test_a_status_of_a_later_version_is_read(run):
    write_json(run.folder / "status.json", {"state": "done", "step": 4, "mood": "good"})
    assert run.status() == RunStatus("done", step=4)


def test_recipe_metrics_samples_and_curve_round_trip(run, out):
    rows = [{"step": i, "loss": 1 / (i + 1)} for i in range(50)]
    for row in rows:
        offset = out.append_metric(row)
    assert run.metrics() == (rows, offset)
    assert run.metrics(offset) == ([], offset)
    out.append_sample({"step": 0, "question": "é\n", "answer": "ß", "expected": ""})
    assert run.samples() == [{"step": 0, "question": "é\n", "answer": "ß", "expected": ""}]
    assert run.recipe() == Recipe(name="a run")
    assert run.curve().points()["x"] == list(range(50))


def test_a_new_run_is_private(run, out):
    out.append_metric({"step": 1})
    assert run.folder.stat().st_mode & 0o077 == 0
    assert (run.folder / "metrics.jsonl").stat().st_mode & 0o077 == 0


def test_log_tail_begins_with_a_whole_line(run):
    assert run.log_tail() == ""
    run.log.write_text("".join(f"line {i}\n" for i in range(1000)))
    tail = run.log_tail(100)
    assert tail.startswith("line ") and tail.endswith("line 999\n") and len(tail) <= 100


# ---- torn and bad lines


def test_a_half_written_last_line_waits_for_its_end(run, out):
    path = run.folder / "metrics.jsonl"
    out.append_metric({"step": 1})
    with open(path, "ab") as file:
        file.write(b'{"step": 2, "lo')
    rows, offset = run.metrics()
    assert rows == [{"step": 1}]
    with open(path, "ab") as file:
        file.write(b'ss": 3}\n')
    assert run.metrics(offset)[0] == [{"step": 2, "loss": 3}]


def test_a_line_after_a_torn_one_is_not_swallowed(run, out):
    path = run.folder / "metrics.jsonl"
    out.append_metric({"step": 1})
    with open(path, "ab") as file:
        file.write(b'{"step": 2, "lo')  # the writer was killed here
    out.append_metric({"step": 3})
    assert [row["step"] for row in run.metrics()[0]] == [1, 3]


def test_a_short_write_is_an_error(tmp_path, monkeypatch):
    monkeypatch.setattr(os, "write", lambda file, data: len(data) - 1)
    with pytest.raises(OSError, match="full"):
        append_line(tmp_path / "metrics.jsonl", {"step": 1})


def test_nothing_half_replaces_a_file_on_a_full_disk(run, monkeypatch):
    write_status(run, RunStatus("done", step=1))

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError):
        write_status(run, RunStatus("done", step=2))
    assert run.status().step == 1
    assert [p.name for p in run.folder.iterdir() if p.name.endswith(".tmp")] == []


def test_a_power_cut_leaves_a_run_that_can_be_opened(run):
    with run.hold() as out:
        out.append_metric({"step": 1, "loss": 2.0})
    (run.folder / "launch.json").write_text("{}")
    for name in ("status.json", "curve.json", "launch.json"):
        (run.folder / name).write_bytes(b"")  # renamed before its contents were on the disk
    assert run.status().state == "interrupted" and "Resume" in run.status().sentence
    assert run.curve().to_dict()["buckets"] == [[1, 1, 2.0, 2.0, 2.0]]


def test_missing_file_reads_as_empty(tmp_path):
    assert read_lines(tmp_path / "none.jsonl", 0) == ([], 0)


# ---- who lives


def test_the_lock_is_the_proof_of_life(run):
    write_status(run, RunStatus("running", step=5, total=9))
    with lock_holder(run) as worker:
        assert run.is_alive() and run.status().state == "running"
        run.request("stop")
        assert run.status().state == "stopping"
        worker.send_signal(signal.SIGKILL)
        worker.wait()
        assert not run.is_alive()
        assert run.status().state == "interrupted"
    assert run.status().step == 5


@pytest.mark.slow
def test_looking_does_not_take_the_lock_away_from_a_worker(run):
    """A reader holds the lock for an instant; a worker that starts in that instant tries again."""

    def look(_):
        end = time.monotonic() + 1.5
        while time.monotonic() < end:
            run.is_alive()

    readers = forked(look, 3)
    try:
        for _ in range(20):
            with run.hold():
                pass
    finally:
        assert exit_codes(readers) == [0, 0, 0]


def test_a_second_worker_does_not_get_the_lock(run, impatient):
    with lock_holder(run), pytest.raises(BlockingIOError), run.hold():
        pass


def test_exactly_one_of_twenty_gets_the_lock(run, impatient):
    read_end, write_end = os.pipe()

    def compete(_):
        os.close(write_end)
        try:
            with run.hold():
                os.read(read_end, 1)  # until the parent lets go
            return 7
        except BlockingIOError:
            return 3

    children = forked(compete, 20)
    os.close(read_end)
    lost = {}

    def nineteen_gave_up():
        for child in set(children) - lost.keys():
            ended, status = os.waitpid(child, os.WNOHANG)
            if ended:
                lost[child] = os.waitstatus_to_exitcode(status)
        return len(lost) == 19

    wait_for(nineteen_gave_up)
    os.close(write_end)
    assert set(lost.values()) == {3} and exit_codes(list(set(children) - lost.keys())) == [7]


@pytest.mark.slow
def test_exactly_one_of_twenty_takes_a_wish(run):
    for _ in range(5):
        run.request("start")
        began = time.monotonic() + 0.3

        def take(_, began=began):
            time.sleep(max(0, began - time.monotonic()))
            return run.take("start")

        assert sum(exit_codes(forked(take, 20))) == 1
        assert not run.is_asked("start")


def test_a_reused_process_id_is_not_the_launched_worker(run):
    run.launch_file.write(os.getpid())
    assert LocalLauncher().is_alive(run)
    assert run.status().state == "starting"
    write_json(run.folder / "launch.json", {"pid": os.getpid(), "started": process_start(os.getpid()) - 100})
    assert not LocalLauncher().is_alive(run)
    assert run.status().state == "interrupted"
    run.launch_file.write(
        subprocess.Popen([sys.executable, "-c", ""]).wait() or 2**22 - 1
    )  # one that died before anybody looked
    assert not LocalLauncher().is_alive(run)


def test_an_ended_worker_is_not_kept_alive_by_a_process_just_forked(run):
    with run.hold():
        child = os.fork()
        if child == 0:
            time.sleep(60)
            os._exit(0)
        assert run.is_alive()
    assert not run.is_alive()
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)


def test_the_remains_of_a_process_do_not_live():
    child = os.fork()
    if child == 0:
        os._exit(0)
    wait_for(lambda: process_start(child) is None)
    os.kill(child, 0)  # the kernel still knows it, as a zombie
    os.waitpid(child, 0)


def test_a_run_that_waits_says_so(run):
    run.request("start")
    assert run.status().state == "queued" and run.status().sentence


@pytest.mark.slow
def test_the_status_file_is_readable_at_every_moment_of_twenty_kills(run):
    def write(_):
        step = 0
        with run.hold() as out:
            while True:
                step += 1
                out.say("x" * (step % 5000), state="running", step=step)
                out.append_metric({"step": step, "loss": 1.0, "note": "y" * (step % 500)})

    chance, metrics = random.Random(0), run.folder / "metrics.jsonl"

    def written() -> int:
        run.status()  # raises if it ever reads half of one
        return metrics.stat().st_size if metrics.exists() else 0

    for _ in range(20):
        (child,) = forked(write)
        run.launch_file.write(child)
        enough = written() + chance.randrange(200, 4000)  # bytes: a slow machine takes longer for as many rows
        end = time.monotonic() + PATIENCE
        while written() < enough:
            assert time.monotonic() < end
        time.sleep(chance.uniform(0, 0.005))  # else it would always be killed right after it wrote a row
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        assert run.status().state == "interrupted"
    rows = run.metrics()[0]
    assert all(row["loss"] == 1.0 for row in rows) and len(rows) > 20


# ---- the curve


def test_the_curve_is_bounded_and_keeps_spikes():
    curve = Curve()
    for step in range(1, 100_001):
        curve.add({"step": step, "loss": 99.0 if step == 54_321 else 1.0 + step % 2 * 0.1})
    assert len(curve.buckets) <= MOST_BUCKETS
    assert sum(b[1] for b in curve.buckets) == 100_000
    points = curve.points(300)
    assert len(points["x"]) <= 300 and max(points["high"]) == 99.0 and points["x"][-1] >= 99_900
    assert min(points["low"]) == 1.0


def test_the_curve_is_equal_after_saving(run, out):
    curve = Curve()
    for step in range(1, 5001):
        row = {"step": step, "loss": round(random.Random(step).uniform(0, 5), 2)}
        if step % 500 == 0:
            row["held_out_loss"] = step / 1000
        curve.add(row)
    out.write_curve(curve)
    again = run.curve()
    assert (again.width, again.held_out, again.offset) == (curve.width, curve.held_out, curve.offset)
    assert again.points() == curve.points()


def test_the_stored_curve_and_newer_lines_are_joined(run, out):
    curve = Curve()
    for step in range(1, 101):
        row = {"step": step, "loss": 1.0}
        curve.offset = out.append_metric(row)
        curve.add(row)
        if step == 60:
            out.write_curve(curve)
    assert run.curve().points() == curve.points()
    assert len(run.curve().buckets) == 100


def test_what_a_resumed_run_repeats_is_forgotten(run, out):
    for step in range(1, 11):
        out.append_metric({"step": step, "loss": float(step)})
        out.append_sample({"step": step, "question": "q"})
    with open(run.folder / "metrics.jsonl", "ab") as file:
        file.write(b'{"step": 11, "lo')
    curve = out.forget_after(6)
    assert [row["step"] for row in run.metrics()[0]] == list(range(1, 7))
    assert [row["step"] for row in run.samples()] == list(range(1, 7))
    assert curve.points()["x"] == run.curve().points()["x"] == list(range(1, 7))
    out.append_metric({"step": 7, "loss": 0.1})
    assert run.curve().points()["x"] == list(range(1, 8))


@pytest.mark.parametrize("name", ["metrics", "samples"])
def test_lines_that_cannot_be_read_or_are_very_many_are_not_forgotten(name, run, out, monkeypatch):
    for step in range(1, 11):
        out.append(name, {"step": step, "loss": float(step)})
    file = run.folder / f"{name}.jsonl"
    whole = file.read_bytes()
    monkeypatch.setattr("qlora_app.storage.reading.LARGEST_LINES", 100)
    with monkeypatch.context() as failing:
        opened = os.open

        def refuses(path, *how, **more):
            if Path(path) == file:
                raise OSError(errno.EIO, "Input/output error", str(path))
            return opened(path, *how, **more)

        failing.setattr("os.open", refuses)
        with pytest.raises(OSError, match="Input/output error"):
            out.forget_after(6)
    assert file.read_bytes() == whole
    out.forget_after(6)
    assert [json.loads(line)["step"] for line in file.read_text().splitlines()] == list(range(1, 7))


def test_forgetting_in_a_run_without_lines_is_nothing(run, out):
    assert out.forget_after(0).points()["x"] == []


def test_a_very_long_list_of_rows_that_are_not_learned_is_read_and_found_whole(run, out):
    rows = [{"part": "train", "row": row, "reason": "It is longer. " * 70_000} for row in range(40)]
    out.write_not_learned(rows)
    file = run.folder / "not_learned.json"
    assert file.stat().st_size > 32_000_000 and run.not_learned() == rows and run.damages() == []
    file.write_bytes(file.read_bytes()[:-1])
    assert [problem.code for problem in run.damages()] == ["file.damaged"]


# ---- checkpoints

CONTENTS = {
    "adapter_model.safetensors": b"weights" * 50,
    "optimizer.pt": b"moments" * 90,
    "scheduler.pt": b"rate",
    "rng_state.pth": b"dice" * 9,
    "trainer_state.json": b'{"global_step": 4}',
}


def checkpoint(run: Run, step: int):
    folder = run.checkpoints / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    for name, data in CONTENTS.items():
        (folder / name).write_bytes(data + str(step).encode())
    return folder


def cut(folder, name):
    (folder / name).write_bytes((folder / name).read_bytes()[:-3])


def flip_one_bit(folder, name):
    data = bytearray((folder / name).read_bytes())
    data[10] ^= 1
    (folder / name).write_bytes(data)


DAMAGES = {
    "optimizer gone": lambda f: (f / "optimizer.pt").unlink(),  # the Trainer would resume without a word, and wrongly
    "scheduler gone": lambda f: (f / "scheduler.pt").unlink(),
    "random state gone": lambda f: (f / "rng_state.pth").unlink(),
    "one bit of the adapter flipped": lambda f: flip_one_bit(f, "adapter_model.safetensors"),
    "optimizer cut": lambda f: cut(f, "optimizer.pt"),
    "adapter cut": lambda f: cut(f, "adapter_model.safetensors"),
    "adapter gone": lambda f: (f / "adapter_model.safetensors").unlink(),
    "state emptied": lambda f: (f / "trainer_state.json").write_bytes(b""),
    "never sealed": lambda f: (f / MANIFEST).unlink(),
    "seal cut": lambda f: cut(f, MANIFEST),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_refused_and_the_one_before_is_taken(run, damage):
    good, bad = checkpoint(run, 4), checkpoint(run, 8)
    seal(good)
    seal(bad)
    assert newest_complete(run.checkpoints) == bad
    DAMAGES[damage](bad)
    assert not is_complete(bad)
    assert newest_complete(run.checkpoints) == good
    moved = set_broken_aside(run.checkpoints)
    assert [p.name for p in moved] == ["broken-8"]
    assert newest_complete(run.checkpoints) == good


def test_broken_checkpoints_are_kept_beside_each_other(run):
    for _ in range(3):
        checkpoint(run, 8)
        set_broken_aside(run.checkpoints)
    assert sorted(p.name for p in run.checkpoints.iterdir()) == ["broken-8", "broken-8-2", "broken-8-3"]


def test_numbers_decide_which_checkpoint_is_newest(run):
    for step in (9, 100, 20):
        seal(checkpoint(run, step))
    assert newest_complete(run.checkpoints).name == "checkpoint-100"


def test_the_finished_adapter_comes_before_checkpoints(run):
    seal(checkpoint(run, 3))
    assert run.newest_adapter().name == "checkpoint-3"
    run.adapter.mkdir()
    write_json(run.adapter / "proof.json", {})
    assert run.newest_adapter() == run.adapter


def test_asking_for_the_newest_adapter_reads_no_checkpoint(run, monkeypatch):
    for step in (1, 2, 3):
        seal(checkpoint(run, step))
    cut(run.checkpoints / "checkpoint-3", "adapter_model.safetensors")
    monkeypatch.setattr(Path, "read_bytes", lambda path: pytest.fail(f"{path} was read"))
    assert run.newest_adapter().name == "checkpoint-2"


# ---- the store


def test_runs_are_listed_newest_first_and_names_never_collide(store):
    runs = [store.create(Recipe(name="Same & name!")) for _ in range(3)]
    assert len({run.id for run in runs}) == 3
    assert {run.id for run in store.list()} == {run.id for run in runs}
    times = [(run.folder / "recipe.yaml").stat().st_mtime_ns for run in store.list()]
    assert times == sorted(times, reverse=True)


@pytest.mark.parametrize("name", ["", "..", ".", "../runs", "a/b", "A", "x" * 100, "a\n", "%2e%2e", None])
def test_what_is_no_id_opens_nothing(store, name):
    with pytest.raises(UserError):
        store.get(name)


def test_a_run_in_training_is_not_deleted(store, run, impatient):
    with lock_holder(run), refused("run.being_trained"):
        store.delete(run.id)
    store.delete(run.id)
    assert not run.folder.exists() and store.list() == []


def test_a_store_that_does_not_exist_yet_is_empty(tmp_path):
    assert RunStore(tmp_path / "none").list() == []


def test_files_beside_the_runs_are_no_runs(store, run):
    (store.root / "notes").mkdir()
    (store.root / "file").write_text("x")
    assert [r.id for r in store.list()] == [run.id]


def test_launch_file_is_plain_json(run):
    run.launch_file.write(os.getpid())
    assert json.loads((run.folder / "launch.json").read_text())["pid"] == os.getpid()


def test_runs_made_in_the_same_moment_are_listed_newest_first(tmp_path, monkeypatch):
    save = Recipe.save

    def save_by_a_coarse_clock(recipe, path):
        save(recipe, path)
        os.utime(path, (0, 0))

    monkeypatch.setattr(Recipe, "save", save_by_a_coarse_clock)
    store = RunStore(tmp_path)
    made = [store.create(Recipe.from_dict({"name": name})).id for name in "zyxwvutsrq"]
    assert [run.id for run in store.list()] == made[::-1]


def test_a_folder_that_cannot_be_read_hides_no_other_run(store):
    run = store.create(Recipe(name="mine"))
    (store.root / "2026-01-01-0000-being-deleted").mkdir()
    odd = store.root / "2026-01-01-0000-odd"
    odd.mkdir()
    (odd / "recipe.yaml").symlink_to("recipe.yaml")  # a loop: stat() fails, as in a folder of somebody else
    (store.root / "2026-01-01-0000-file").touch()
    assert {found.id for found in store.list()} == {run.id, odd.name}
    assert store.get(odd.name).damages(), "it says itself what is wrong with it"


def test_the_queue_is_looked_after_whatever_went_wrong_before(store, monkeypatch, caplog):
    started, trouble = [], iter([OSError("Input/output error"), OSError("Input/output error")])

    class NoStandby:
        is_usable = True

        def dismiss(self):
            pass

    def look(supervisor):
        for error in trouble:
            raise error
        started.append(True)
        supervisor._closing.set()

    monkeypatch.setattr("qlora_app.launch.local.Standby", NoStandby)
    monkeypatch.setattr(queue.Supervisor, "_look", look)
    monkeypatch.setattr(queue, "LOOK_EVERY", 0.01)
    supervisor = queue.Supervisor(store)
    supervisor.start()
    supervisor._thread.join(timeout=10)
    supervisor.close()
    assert started and len([r for r in caplog.records if "could not be looked after" in r.message]) == 1


# ---- the other figures of a curve, and what is thrown away


def figures_rows(steps):
    return [
        {"step": i, "loss": 2.0, "learning_rate": 0.002 * (1 - i / steps), "grad_norm": 1.5, "memory_mb": 600,
         "tokens": 100 * i, "tokens_per_second": 90, "seconds": 0.5 * i}
        for i in range(1, steps + 1)
    ]  # fmt: skip


def test_every_figure_of_a_run_has_its_curve_also_of_one_that_kept_the_loss_alone(run):
    with run.hold() as out:
        curve = Curve()
        for row in figures_rows(1200):
            curve.offset = out.append_metric(row)
            curve.add(row)
        out.write_curve(curve)
    rates = run.curve(with_figures=True).series("learning_rate").points()
    assert len(rates["x"]) <= 300 and rates["y"][0] == pytest.approx(0.002, rel=0.01)
    assert run.curve(with_figures=True).series("tokens_per_second").points()["y"][-1] == 200, "as it is now, no mean"
    (run.folder / "figures.json").unlink()
    old = run.curve(with_figures=True)
    assert old.series("learning_rate").points() == rates and old.points() == run.curve().points()


def test_a_run_that_is_thrown_away_is_deleted_once_its_worker_has_ended(store):
    run = store.create(Recipe())
    with run.hold():
        store.discard(run.id)
        assert run.is_asked("stop-now") and store.get(run.id)
    wait_for(lambda: not run.folder.exists())
    left = store.create(Recipe())
    left.wishes.put("discard")
    store.sweep()
    assert store.list() == [], "also by the next program, where this one ended before"


@pytest.mark.parametrize("who", ["discard", "sweep"])
def test_what_answers_with_a_run_that_is_thrown_away_is_stopped_and_the_run_goes_then(store, who):
    run = store.create(Recipe())
    answers = JobStore(run.answers)
    waiting = answers.create("waiting", JobSpec(kind="answers"))
    waiting.request("start")
    at_work = answers.create("at work", JobSpec(kind="answers"))
    with at_work.hold():
        if who == "discard":
            store.discard(run.id)
        else:
            run.wishes.put("discard")
            store.sweep()
        assert at_work.is_asked("stop-now") and not waiting.is_asked("start") and store.get(run.id)
    wait_for(lambda: not run.folder.exists())


def test_a_run_that_is_started_again_is_not_thrown_away(store):
    run = store.create(Recipe())
    run.wishes.put("discard")
    run.request("start")
    store.sweep()
    assert [one.id for one in store.list()] == [run.id]
