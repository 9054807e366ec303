"""Runs kept at a url too: what is there is always whole, of one moment, and nothing is lost on either side.

S3 is a real server of it (moto's) on this machine, where moto and s3fs are installed: `make test-matrix`.
"""

import errno
import json
import os
import shutil
import subprocess
import uuid
from importlib.metadata import version
from pathlib import Path

import pytest

from qlora_app.cli import main
from qlora_app.runs import RunStore
from qlora_app.runs.checkpoints import is_complete, newest_complete, seal
from qlora_app.settings import Settings
from qlora_app.storage.gone import keep_notes
from qlora_app.sync import Carried, Target, fetched, sent, snapshot
from qlora_app.sync.both_ways import run_at, sync
from qlora_app.sync.snapshot import Snapshot, snapshot_of
from qlora_app.sync.target import S3FS, url_of
from qlora_app.training_data import DatasetChoice
from tests.conftest import short_recipe
from tests.refusing import refused

KEPT = Path(__file__).parent / "data/runs/0.1.0/interrupted"
ID = "2026-11-29-0711-helper"


@pytest.fixture
def s3(monkeypatch):
    server = pytest.importorskip("moto.server")
    pytest.importorskip("s3fs")
    import boto3

    one = server.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    one.start()
    host, port = one.get_host_and_port()
    for name, value in {
        "AWS_ACCESS_KEY_ID": "me",
        "AWS_SECRET_ACCESS_KEY": "me",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://{host}:{port}",
    }.items():
        monkeypatch.setenv(name, value)
    bucket = f"runs-{uuid.uuid4().hex}"  # the server's state is the process's
    boto3.client("s3").create_bucket(Bucket=bucket)
    yield f"s3://{bucket}/mine"
    one.stop()


@pytest.fixture
def memory():
    return f"memory://{uuid.uuid4().hex}"


@pytest.fixture
def folder(tmp_path):
    return str(tmp_path / "bucket")


@pytest.fixture(params=["folder", "memory", pytest.param("s3", marks=[pytest.mark.slow, pytest.mark.matrix])])
def url(request):
    return request.getfixturevalue(request.param)


@pytest.fixture(autouse=True)
def small_parts(monkeypatch):
    """So that files have several."""
    monkeypatch.setattr(snapshot, "PART", 2000)


class Machine:
    """A home of its own, and what one does there."""

    def __init__(self, home: Path, url: str) -> None:
        self.settings, self.target = Settings(home=home), Target(url)
        self.store = RunStore(self.settings.runs)

    def sync(self, what="all", **how):
        return sync(what, self.target, self.settings, **how)

    @property
    def run(self):
        return self.store.at(ID)


@pytest.fixture
def here(tmp_path, url):
    machine = Machine(tmp_path / "here", url)
    machine.settings.make_home()
    shutil.copytree(KEPT, machine.run.folder)
    return machine


@pytest.fixture
def there(tmp_path, url, here):
    return Machine(tmp_path / "there", url)


def content(run) -> dict[str, tuple[bytes, int]]:
    """Of what is carried: each file's bytes, and when it was changed."""
    names = snapshot_of(run.folder, Snapshot()).files
    return {name: ((path := run.folder / name).read_bytes(), path.stat().st_mtime_ns) for name in names}


def test_on_another_machine_it_is_what_it_was_to_the_last_bit_and_comes_back(here, there):
    assert here.sync().sent == [ID] and there.sync().fetched == [ID]
    assert content(there.run) == content(here.run) != {}
    assert is_complete(newest_complete(there.run.checkpoints)) and not there.run.folder.stat().st_mode & 0o077
    assert there.run.status().state == "interrupted" and there.run.launch_file.pid() is None
    for machine in (here, there):
        assert machine.sync().same == [ID]

    old = newest_complete(there.run.checkpoints)
    new = shutil.copytree(old, old.with_name("checkpoint-999"))
    shutil.rmtree(old)
    seal(new)
    with open(there.run.folder / "metrics.jsonl", "a") as file:
        file.write('{"step": 999}\n')
    assert there.sync().sent == [ID] and here.sync().fetched == [ID]
    assert content(here.run) == content(there.run) and not (here.run.checkpoints / old.name).exists()


def test_what_was_changed_on_both_sides_is_left_alone(here, there):
    here.sync(), there.sync()
    for number, machine in enumerate((here, there)):
        (machine.run.folder / "notes.txt").write_text(str(number))
    assert here.sync().sent == [ID]
    done = there.sync()
    with refused("sync.both_changed"):
        there.sync(ID)
    assert list(done.left) == [ID] and (there.run.folder / "notes.txt").read_text() == "1"


class Ending(Target):
    """A connection that breaks before the write of that number; it remembers what was written."""

    left, why = 10**9, errno.ECONNRESET

    def write(self, name, content):
        self.left -= 1
        if self.left < 0:
            raise self._explained(OSError(self.why, os.strerror(self.why)))
        super().write(name, content)


def test_cut_off_anywhere_what_was_there_stays_whole_and_nothing_is_sent_twice(here, tmp_path, folder):
    carried = Carried(here.run.folder, Ending(folder), f"runs/{ID}")
    total = len(snapshot_of(here.run.folder, Snapshot()).parts) + 1
    carried.target.left, done = total // 3, 0
    with refused("sync.unreachable"):
        sent(carried, 1)
    assert carried.there() is None
    carried.target.left = total - total // 3  # exactly what is missing, and the manifest
    assert sent(carried, 1).files and carried.target.left == done

    before = carried.there()
    (here.run.folder / "metrics.jsonl").write_bytes(os.urandom(9000))
    for left in range(5):
        carried.target.left = 0 if left < 4 else 10
        if left < 4:
            with refused("sync.unreachable"):
                sent(carried, 2, after=before.manifest)
            assert carried.there() == before
    fetched(Carried(tmp_path / "copy", carried.target, f"runs/{ID}"), before)
    assert sent(carried, 2, after=before.manifest).id == carried.there().id != before.id


def test_a_target_without_room_keeps_what_it_had(here, folder):
    carried = Carried(here.run.folder, Ending(folder), f"runs/{ID}")
    before, was = sent(carried, 1), content(here.run)
    (here.run.folder / "metrics.jsonl").write_bytes(os.urandom(9000))
    carried.target.left, carried.target.why = 2, errno.ENOSPC
    with refused("sync.full", "No space"):
        sent(carried, 2, after=carried.there().manifest)
    assert carried.there() == before and content(here.run).keys() == was.keys()


class Counting(Target):
    """It remembers what it was asked."""

    def __init__(self, url):
        super().__init__(url)
        self.asked = []

    def names(self, folder):
        self.asked.append(folder)
        return super().names(folder)

    def read(self, name):
        self.asked.append(name)
        return super().read(name)


def test_of_runs_that_did_not_change_one_question_tells_all(here, url):
    few = ("recipe.yaml", "status.json")
    for number in range(3):
        (here.store.root / f"run-{number}").mkdir()
        for name in few:
            shutil.copy2(here.run.folder / name, here.store.root / f"run-{number}")
    here.sync()
    here.target = Counting(url)
    assert len(here.sync().same) == 4 and here.target.asked == ["runs"]
    (here.store.root / "run-0" / "notes.txt").write_text("x")
    done = here.sync()
    assert done.sent == ["run-0"] and {name.split("/")[1] for name in here.target.asked[2:]} == {"run-0"}


@pytest.mark.machine
def test_a_disk_that_is_really_full(here, tmp_path):
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", str(disk)], check=False).returncode:
        pytest.skip("needs root, to mount a small disk")
    try:
        (here.run.folder / "large.bin").write_bytes(os.urandom(500_000))
        with refused("sync.full"):
            sent(Carried(here.run.folder, Target(str(disk)), f"runs/{ID}"), 1)
        assert (here.run.folder / "large.bin").stat().st_size == 500_000
        coming = Carried(disk / "home" / ID, Target(str(tmp_path / "bucket")), f"runs/{ID}")
        with refused("sync.no_room"):
            fetched(coming, sent(Carried(here.run.folder, coming.target, coming.place), 1))
        assert not coming.folder.exists()
    finally:
        subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_worker_that_comes_too_late_changes_nothing(here, url):
    early, late = run_at(here.target, here.store, ID), Carried(here.run.folder, Target(url), f"runs/{ID}")
    sent(late, 2)
    (here.run.folder / "metrics.jsonl").write_text("{}\n")
    with refused("sync.superseded", 2, 1):
        sent(early, 1, "worker")
    assert late.there().attempt == 2 and "metrics.jsonl" in late.there().files


def test_of_checkpoints_only_complete_ones_go(here, there):
    broken = newest_complete(here.run.checkpoints).with_name("checkpoint-1000")
    shutil.copytree(newest_complete(here.run.checkpoints), broken)
    (broken / "COMPLETE.json").unlink()
    here.sync(), there.sync()
    assert [one.name for one in there.run.checkpoints.iterdir()] == [newest_complete(here.run.checkpoints).name]


def test_what_was_deleted_here_stays_there_unless_asked(here, there):
    keep_notes(here.settings.runs)
    here.sync()
    here.store.delete(ID)
    assert here.sync().fetched == [] and not here.run.folder.exists()
    assert here.sync(delete=True).deleted == [ID]
    assert there.sync().fetched == [] and here.target.names("runs") == {}


def test_nothing_is_fetched_into_a_run_that_is_worked_on(here, there, hold, impatient):
    here.sync(), there.sync()
    (there.run.folder / "notes.txt").write_text("x")
    there.sync()
    hold(here.run)
    with refused("sync.at_work"):
        here.sync(ID)
    assert not (here.run.folder / "notes.txt").exists()


@pytest.mark.parametrize(
    "name", ["../outside", "/outside", "a/../../outside", ".hidden", "a//b", "launch.json", "lock"]
)
def test_a_bucket_of_somebody_else_writes_nothing_but_files_of_the_run(here, there, name):
    """What names a place outside makes the copy a damaged one; what is of this machine is not taken."""
    here.sync()
    carried = run_at(here.target, here.store, ID)
    manifest = f"runs/{ID}/{carried.manifests()[-1]}"
    told = json.loads(here.target.read(manifest))
    told["files"][name] = next(iter(told["files"].values()))
    here.target.write(manifest, json.dumps(told).encode())
    if snapshot.stays_here(name):
        there.sync()
        path = there.run.folder / name
        assert there.run.recipe() and (not path.exists() or path.read_bytes() == b'{"attempt": 0}')
        return
    with refused("sync.damaged"):
        there.sync(ID)
    assert not there.run.folder.exists()


def test_a_part_that_is_damaged_is_said_before_anything_is_taken(here, there):
    here.sync()
    part = sorted(here.target.names(f"runs/{ID}/parts"))[0]
    here.target.write(f"runs/{ID}/parts/{part}", b"something else")
    with refused("sync.damaged"):
        there.sync(ID)
    assert not there.run.folder.exists()


@pytest.mark.parametrize(
    "change",
    [
        lambda files, one: files.update({"a": [float("inf"), *one[1:]]}),
        lambda files, one: files.update({"a": [one[0], 10**30, one[2]]}),
        lambda files, one: files.update({"recipe.yaml/below": one}),
        lambda files, one: files.update({"a" * 300: one}),
        lambda files, one: files.update({"\ud800": one}),
        lambda files, one: files.update({"a": [2**70, *one[1:]]}),
        lambda files, one: files.update({"a": [1, 1, one[2] * 1000]}),
        lambda files, one: files.update({"a": [10**15, 1, one[2]]}),  # more than any disk has
        None,
    ],
)
def test_a_manifest_of_somebody_else_is_a_sentence_and_holds_up_no_other_run(here, there, change):
    here.sync()
    shutil.copytree(here.run.folder, here.store.root / "another")
    here.sync()
    name = f"runs/{ID}/{run_at(here.target, here.store, ID).manifests()[-1]}"
    told = json.loads(here.target.read(name))
    if change:
        change(told["files"], told["files"]["recipe.yaml"])
    here.target.write(name, json.dumps(told).encode() if change else b"[" * 100_000)
    done = there.sync()
    assert done.fetched == ["another"]
    assert list(done.left) == [ID] and not there.run.folder.exists()


def test_two_homes_that_send_at_once_lose_nothing(here, there):
    """Whoever comes second has looked at a copy that is another one by now."""
    here.sync(), there.sync()
    mine, theirs = (run_at(one.target, one.store, ID) for one in (here, there))
    after = mine.there().manifest
    (here.run.folder / "a.txt").write_text("a")
    (there.run.folder / "b.txt").write_text("b")
    sent(theirs, 7, after=after)
    with refused("sync.raced"):
        sent(mine, 7, after=after)
    assert "b.txt" in mine.there().files and not mine.lacks(mine.there())
    with refused("sync.both_changed"):
        here.sync(ID)
    assert (here.run.folder / "a.txt").read_text() == "a"


def test_a_copy_that_lost_a_part_is_mended_from_where_it_is_whole(here, there):
    here.sync()
    carried = run_at(here.target, here.store, ID)
    here.target.remove([f"runs/{ID}/parts/{next(iter(carried.there().parts))}"])
    with refused("sync.damaged"):
        there.sync(ID)
    assert here.sync().sent == [ID] and there.sync().fetched == [ID]


def test_what_was_cut_off_while_it_came_goes_on(here, there, monkeypatch):
    here.sync(), there.sync()
    for name in ("a.txt", "b.txt"):
        (there.run.folder / name).write_text(name)
    there.sync()
    carried = run_at(here.target, here.store, ID)
    (here.run.folder / "a.txt").write_text("a.txt")
    carried.note_bringing(carried.there())  # as a program that was ended in the middle leaves it
    assert here.sync().fetched == [ID]
    assert (here.run.folder / "b.txt").read_text() == "b.txt" and here.sync().same == [ID]


def test_a_link_is_said_and_never_written_through(here, there, tmp_path):
    here.sync()
    (tmp_path / "elsewhere").mkdir()
    there.run.folder.mkdir(parents=True)
    (there.run.folder / "adapter").symlink_to(tmp_path / "elsewhere")
    (here.run.folder / "adapter").mkdir(exist_ok=True)
    (here.run.folder / "adapter" / "x.txt").write_text("x")
    here.sync()
    with refused("sync.linked"):
        there.sync(ID)
    with refused("sync.linked"):
        fetched(run_at(there.target, there.store, ID), run_at(there.target, there.store, ID).there())
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_what_a_worker_elsewhere_writes_is_nobody_else_s_to_follow(here, there):
    carried = run_at(here.target, here.store, ID)
    sent(carried, 3)
    sent(carried, 3, "worker")
    there.sync()
    (there.run.folder / "labels.json").write_text("{}")
    with refused("sync.at_work_elsewhere"):
        there.sync(ID)
    sent(carried, 3, "done")
    assert there.sync().sent == [ID]


def test_data_is_only_what_a_run_that_was_sent_or_fetched_names(home, tmp_path, folder):
    """A run that came from elsewhere may name any file of this machine, and a bucket any file of the data folder."""
    data = DatasetChoice(source="file", id="payroll.jsonl")
    recipe = short_recipe().model_copy(update={"dataset": data})
    theirs, mine = Machine(tmp_path / "theirs", folder), Machine(tmp_path / "mine", folder)
    run = theirs.store.create(recipe)
    theirs.sync()
    mine.settings.data.mkdir(parents=True)
    for name in ("payroll.jsonl", "other.jsonl"):
        (mine.settings.data / name).write_text("mine")
    assert mine.sync().fetched == [run.id]
    assert theirs.target.names("data") == {}

    theirs.settings.data.mkdir(parents=True)
    (theirs.settings.data / "payroll.jsonl").write_text("{}")
    carried = Carried(theirs.settings.data, theirs.target, "data/payroll.jsonl", only="payroll.jsonl")
    sent(carried, 1)
    name = f"data/payroll.jsonl/{carried.manifests()[-1]}"
    told = json.loads(theirs.target.read(name))
    told["files"] = {"other.jsonl": told["files"]["payroll.jsonl"]}
    theirs.target.write(name, json.dumps(told).encode())
    (mine.settings.data / "payroll.jsonl").unlink()
    shutil.rmtree(mine.store.root / run.id)
    assert mine.sync().fetched == [] and (mine.settings.data / "other.jsonl").read_text() == "mine"


@pytest.mark.parametrize(
    "text",
    ["", "http://x/y", "s3://key:secret@bucket/x", "simplecache::s3://x", "hf://datasets/me/x", "s3://", "s3://a/../b"],
)
def test_what_names_no_place_for_runs(text):
    with refused("sync.wrong_url") as caught:
        url_of(text)
    assert "secret" not in str(caught.value)


def test_the_package_of_s3_is_of_the_release_of_fsspec():
    assert f"s3fs=={version('fsspec')}" == S3FS
    assert f's3 = ["{S3FS}"]' in (Path(__file__).parents[1] / "pyproject.toml").read_text()


def test_data_that_a_run_learns_from_comes_with_it_and_the_command_says_what_was_done(home, tmp_path, folder, capsys):
    run = RunStore(home / "runs").create(
        short_recipe().model_copy(update={"dataset": DatasetChoice(source="file", id="mine.jsonl")})
    )
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "mine.jsonl").write_text("{}\n")
    assert main(["sync", "all", folder, "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["sent"] == [run.id]
    other = Machine(tmp_path / "other", folder)
    assert other.sync(run.id).fetched == [run.id]
    assert (other.settings.data / "mine.jsonl").read_text() == "{}\n"
    assert main(["sync", "all"]) == 2
