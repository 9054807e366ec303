"""A disk that is full, can only be read, or has just enough: a sentence at once, nothing half made, and afterwards all
goes on bit for bit.
"""

import contextlib
import errno
import shutil
import subprocess
import sys

import pytest

from qlora_app import worker
from qlora_app.cli import main
from qlora_app.errors import UserError
from qlora_app.jobs import JobSpec, JobStore
from qlora_app.jobs.turn import ASKED_FILE
from qlora_app.kinds.data_import import import_job
from qlora_app.launch import local, queue
from qlora_app.launch.line import move
from qlora_app.launch.queue import Supervisor
from qlora_app.presets import Presets
from qlora_app.recipe import Recipe
from qlora_app.runs import RunStore
from qlora_app.runs.extending import extended
from qlora_app.runs.labels import relabel
from qlora_app.settings import Settings
from qlora_app.storage.disk import disk_trouble, is_full
from qlora_app.storage.process import mark_of_mine
from qlora_app.sweep import Sweeps, plan_of
from qlora_app.training_data import import_files
from qlora_app.ui.context import AppContext
from tests.conftest import short_recipe
from tests.fixtures.damages import make_home
from tests.fixtures.page import FakeSessions, FakeSupervisor
from tests.fixtures.walking import Walk
from tests.refusing import refused

SIZE = "24m"


@pytest.mark.parametrize(
    "error, code",
    [
        (OSError(errno.ENOSPC, "No space left on device"), "disk.full"),
        (OSError(errno.EDQUOT, "Disk quota exceeded"), "disk.full"),
        (RuntimeError("I/O error: No space left on device (os error 28)"), "disk.full"),  # safetensors
        (RuntimeError("[enforce fail at inline_container.cc:672] . unexpected pos 30272 vs 30164"), "disk.full"),
        (OSError(errno.EROFS, "Read-only file system", "/x"), "disk.read_only"),
        (PermissionError(errno.EACCES, "Permission denied", "/x"), "disk.forbidden"),
        (ValueError("a mistake"), None),
        (FileNotFoundError(errno.ENOENT, "No such file", "/x"), None),
    ],
)
def test_what_a_disk_refuses_is_a_sentence(error, code, tmp_path):
    said = disk_trouble(error, tmp_path)
    assert getattr(said, "code", None) == code
    assert is_full(error) == (code == "disk.full")


# ---- a small disk


class Disk:
    """A disk that can be filled."""

    def __init__(self, path) -> None:
        self.path = path
        self._filler = path / "filler"

    def fill(self, leave: int = 0) -> None:
        missing = shutil.disk_usage(self.path).free - leave
        with open(self._filler, "ab", buffering=0) as file:
            while missing > 0:
                try:
                    missing -= file.write(bytes(min(missing, 1 << 16)))
                except OSError:
                    return

    def make_room(self) -> None:
        self._filler.unlink()

    def remount(self, how: str) -> None:
        subprocess.run(["mount", "-o", f"remount,{how}", self.path], check=True)


@pytest.fixture
def disk(tmp_path, monkeypatch):
    """The home on a disk of its own."""
    path = tmp_path / "disk"
    path.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", f"size={SIZE}", "tmpfs", path], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("nothing can be mounted here")
    monkeypatch.setenv("QLORA_APP_HOME", str(path))
    try:
        yield Disk(path)
    finally:
        subprocess.run(["umount", "-l", path], check=True)


def everything_in(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.name != "filler")


@pytest.mark.machine
def test_what_cannot_be_made_is_said_and_takes_no_name(disk):
    settings = Settings.from_environment()
    store, presets = RunStore(settings.runs), Presets(settings.presets)
    store.create(Recipe(name="before"))
    presets.save("before", Recipe())
    rows = disk.path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n' * 5000)
    disk.fill()
    before = everything_in(disk.path)
    for make in (
        lambda: store.create(Recipe(name="mine")),
        lambda: presets.save("mine", Recipe()),
    ):
        with refused("disk.full"):
            make()
    assert everything_in(disk.path) == before
    disk.make_room()
    assert store.create(Recipe(name="mine")).id.endswith("-mine") and presets.save("mine", Recipe()) == "mine"


@pytest.mark.machine
def test_a_disk_that_can_only_be_read_is_said(disk):
    settings = Settings.from_environment()
    store, run = RunStore(settings.runs), RunStore(settings.runs).create(Recipe())
    run.request("start")
    disk.remount("ro")
    with refused("disk.read_only"):
        store.create(Recipe())
    with refused("disk.read_only"):
        run.request("stop")
    assert run.status().sentence.code == "disk.read_only"
    with pytest.raises(UserError, match="cannot be written to"):
        settings.make_home()
    assert len(store.list()) == 1
    disk.remount("rw")


@pytest.mark.machine
def test_everything_on_a_disk_that_can_only_be_read_is_shown_and_a_change_is_a_sentence(disk):
    settings = make_home(disk.path)
    page = AppContext(settings, RunStore(settings.runs), FakeSupervisor(), FakeSessions())
    before = Walk(page).all()
    disk.remount("ro")
    try:
        walk = Walk(page).all()
        assert before.wrong == walk.wrong == []
        shown = ("table", "open finished", "poll finished", "findings finished", "settings finished", "all metrics")
        for step in (*shown, "compared", "curves of loss", "sweeps --json", "compare healthy interrupted --json"):
            assert walk.said[step] == before.said[step], step
        run = page.store.get("finished")
        for change in (
            lambda: relabel(run, name="other"),
            lambda: page.store.delete("interrupted"),
            lambda: page.presets.save("new", Recipe()),
            lambda: extended(run, page.store, settings, steps=2),
            lambda: Sweeps(settings.sweeps, page.store).start(plan_of(Recipe(), {"method.rank": [4, 8]})),
            lambda: move(page.store.get("interrupted"), "first", page.store.list()),
        ):
            with pytest.raises(UserError) as refused_:
                change()
            assert refused_.value.problem.code in ("disk.read_only", "extend.no_checkpoint", "queue.not_waiting")
    finally:
        disk.remount("rw")


@pytest.mark.machine
def test_on_a_full_disk_no_worker_is_started_and_the_job_says_what_it_waits_for(disk, monkeypatch):
    store = JobStore(disk.path / "jobs")
    job = store.create("one", JobSpec(kind="count"))
    job.request("start")
    monkeypatch.setattr(queue, "LOOK_EVERY", 0.0)
    (store.root / ASKED_FILE).touch()
    supervisor = Supervisor(store)
    supervisor.launcher.keep_warm = lambda: None
    started = []
    monkeypatch.setattr(local, "_cold", lambda job, device="": started.append(job))
    disk.fill()
    for _ in range(5):
        supervisor._look()
    assert started == [] and job.status().state == "queued" and job.status().sentence.code == "disk.full"
    disk.make_room()
    monkeypatch.setattr(local, "_hand_over", lambda worker, job, device="": None)
    supervisor._look()
    assert len(started) == 1 and job.status().sentence == "Waiting for its turn."


@pytest.mark.machine
@pytest.mark.slow
@pytest.mark.parametrize("leave", [0, 100_000, 1_200_000], ids=["nothing", "some lines", "half a checkpoint"])
def test_a_training_on_a_full_disk_says_so_and_ends_bit_for_bit_as_if_there_had_been_room(leave, disk, whole_run):
    run = RunStore(disk.path / "runs").create(TINY)
    run.request("start")
    disk.fill(leave)
    with contextlib.suppress(OSError):  # nothing could be begun
        worker.main(run.folder, asked=True)
    status = run.status()
    assert status.state in ("failed", "queued") and status.sentence.code == "disk.full", status
    assert run.metrics()[0] or leave < 200_000
    disk.make_room()
    assert worker.main(run.folder) == 0 and run.status().state == "done"
    assert outcome(run) == whole_run
    assert not [path for path in everything_in(run.folder) if path.endswith(("tmp", "spare", "pulse"))]


TINY = short_recipe(samples=0, scored_questions=0, checkpoints=3)


def outcome(run):
    losses = [row["loss"] for row in run.metrics()[0] if "loss" in row]
    return losses, (run.adapter / "adapter_model.safetensors").read_bytes()


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory):
    home = tmp_path_factory.mktemp("whole")
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("QLORA_APP_HOME", str(home))
        run = RunStore(home / "runs").create(TINY)
        assert worker.main(run.folder) == 0
        return outcome(run)


@pytest.mark.machine
@pytest.mark.slow
@pytest.mark.parametrize("leave", [100_000, 300_000])
def test_an_import_on_a_full_disk_says_so_and_leaves_nothing(leave, disk, tmp_path):
    rows = tmp_path / "rows.jsonl"
    rows.write_text("".join(f'{{"instruction": "Question {i}?", "output": "Answer {i}"}}\n' for i in range(10_000)))
    store = JobStore(disk.path / "jobs")
    job = import_job(store, [rows])
    disk.fill(leave)
    assert worker.main(job.folder) == 1
    status = job.status()
    assert status.state == "failed" and status.sentence.code in ("disk.full", "dataset.not_saved"), status
    assert not [name for name in everything_in(disk.path) if ".import-" in name or ".reading-" in name]
    disk.make_room()
    assert worker.main(job.folder) == 0 and job.status().state == "done", job.status()


def test_what_a_killed_import_left_is_swept_by_the_next_and_what_lives_is_not(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", "pass"])
    process.wait()
    data = tmp_path / "data"
    data.mkdir()
    left, living = data / f".import-{process.pid}-12345-abc", data / f".import-{mark_of_mine()}-abc"
    left.mkdir()
    living.touch()
    rows = tmp_path / "rows.jsonl"
    rows.write_text('{"instruction": "a", "output": "b"}\n' * 3)
    import_files([rows], data)
    assert not left.exists() and living.exists()


@pytest.mark.parametrize("arguments", [["train", "starter"], ["presets", "--save", "mine", "starter"]])
def test_a_home_that_cannot_be_made_is_a_sentence_on_the_command_line_too(arguments, monkeypatch, capsys):
    monkeypatch.setenv("QLORA_APP_HOME", "/dev/null/home")
    assert main(arguments) == 2
    assert "error: /dev/null/home cannot be made" in capsys.readouterr().err
