"""The Dockerfile without Docker.

As root on Linux every RUN line is run as it stands on a copy of this machine's files (an overlay in a mount namespace:
nothing outside changes), then ENTRYPOINT and CMD as the image's user, with an init as process 1 and an empty volume.
And on every machine the CMD alone is run in an empty folder, with the variables that tell an app that it is on a Space.
"""

import fnmatch
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import httpx
import psutil
import pytest

from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore
from tests.conftest import wait_for

ROOT = Path(__file__).parents[1]
LONG_RUN = {
    "training": {
        "max_steps": 100_000,
        "epochs": 1000,
        "batch_size": 1,
        "measured_examples": 1,
        "samples": 0,
        "evaluations": 0,
        "scored_questions": 0,
        "checkpoints": 0,
    }
}


def instructions():
    """[("RUN", "apt-get update && ..."), ...]"""
    lines = re.sub(r"\\\n\s*", "", (ROOT / "Dockerfile").read_text()).splitlines()
    return [tuple(line.split(maxsplit=1)) for line in lines if line and not line.startswith("#")]


def values(name):
    return [value for instruction, value in instructions() if instruction == name]


def assigned(value):
    return dict(word.split("=", 1) for word in value.split())


def is_ignored(path):
    """Does .dockerignore leave this path, relative to the repository, out of the image?"""
    patterns = (ROOT / ".dockerignore").read_text().split()
    return any(
        fnmatch.fnmatch(path.name, p[3:]) if p.startswith("**/") else fnmatch.fnmatch(str(path), p) for p in patterns
    )


def copy_context(target):
    """What `COPY . .` copies."""

    def left_out(folder, names):
        return [name for name in names if is_ignored((Path(folder) / name).relative_to(ROOT))]

    shutil.copytree(ROOT, target, ignore=left_out, dirs_exist_ok=True)


class Image:
    """What the Dockerfile makes, on top of this machine instead of its base image."""

    def __init__(self, folder):
        self.upper, self.root = folder / "upper", folder / "root"
        for path in (self.upper, self.root, folder / "work"):
            path.mkdir()
        self.mounts = (
            f"mount -t overlay overlay -o lowerdir=/,upperdir={self.upper},workdir={folder / 'work'} {self.root} "
            f"&& mount --bind /dev {self.root}/dev && mount -t proc proc {self.root}/proc"
        )
        self.user, self.folder = "root", "/"
        self.environment = {
            "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
        }
        self.arguments = {}

    def command(self, argv, environment, volume=None):
        """The command line that runs `argv` inside, as process 1 of a namespace of its own."""
        mounts = f"{self.mounts} && mount --bind {volume} {self.root}{values('VOLUME')[0]}" if volume else self.mounts
        inside = ["sh", "-c", f'cd {self.folder} && exec "$@"', "sh", *argv]
        assigned = [f"{name}={value}" for name, value in environment.items()]
        return [
            "unshare",
            "--mount",
            "--pid",
            "--fork",
            "sh",
            "-c",
            f'{mounts} && exec "$@"',
            "sh",
            "chroot",
            f"--userspec={self.user}",
            str(self.root),
            "env",
            "-i",
            *assigned,
            *inside,
        ]

    def run(self, line):
        """A RUN line, with this machine's way to the network."""
        argv = self.command(["sh", "-c", line], {**os.environ, **self.environment, **self.arguments})
        return subprocess.run(argv, capture_output=True, text=True, timeout=600)

    def copy(self, value):
        source, target = value.split()[-2:]
        place = self.upper / self.folder.lstrip("/") / target
        if source == ".":
            copy_context(place)
        else:
            place.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, place)
        if owner := re.search(r"--chown=(\S+)", value):
            assert self.run(f"chown -R {owner[1]} {self.folder}").returncode == 0


def forget_user_1000(upper):
    """The base image has no such user; this machine may."""
    (upper / "etc").mkdir()
    for name in ("passwd", "group", "shadow", "gshadow"):
        lines = Path("/etc", name).read_text().splitlines(keepends=True) if Path("/etc", name).exists() else []
        kept = [line for line in lines if line.split(":")[0] != "user" and line.split(":")[2] != "1000"]
        (upper / "etc" / name).write_text("".join(kept))


def let_everybody_reach(image, program):
    """On this machine Python may lie below a folder that only root may enter."""
    folders = {str(parent) for path in (Path(program), Path(program).resolve()) for parent in path.parents}
    return image.run("chmod o+x " + " ".join(folders) + f" && test -x {program}").returncode == 0


@pytest.fixture(scope="module")
def image(tmp_path_factory):
    """Every instruction of the Dockerfile, one after the other."""
    if sys.platform != "linux" or os.getuid() != 0 or not shutil.which("unshare") or not shutil.which("apt-get"):
        pytest.skip("needs Debian and root, to mount an overlay")
    image = Image(tmp_path_factory.mktemp("image"))
    forget_user_1000(image.upper)
    if not let_everybody_reach(image, sys.executable):
        pytest.skip("no overlay can be mounted over / here, or Python lies on another file system")
    for name, value in instructions():
        if name == "RUN":
            made = image.run(value)
            if made.returncode and "apt-get update" in value and not _mirror_answers():
                pytest.skip("Debian's mirror does not answer")
            assert made.returncode == 0, f"{value}\n{made.stdout[-2000:]}{made.stderr[-2000:]}"
        elif name == "COPY":
            image.copy(value)
        elif name == "ENV":
            image.environment |= assigned(value)
        elif name == "ARG":
            image.arguments |= assigned(value)
        elif name == "USER":
            image.user = value
        elif name == "WORKDIR":
            image.folder = value
            (image.upper / value.lstrip("/")).mkdir(parents=True, exist_ok=True)
        else:
            assert name in ("FROM", "VOLUME", "EXPOSE", "HEALTHCHECK", "ENTRYPOINT", "CMD")
    return image


def _mirror_answers():
    try:
        socket.create_connection(("deb.debian.org", 80), timeout=5).close()
    except OSError:
        return False
    return True


def test_the_image_holds_the_app_its_presets_and_nothing_of_the_checkout(tmp_path):
    """What the two tests below need root for in part; everybody checks this much."""
    copy_context(tmp_path / "app")
    held = {path.name for path in (tmp_path / "app").iterdir()}
    assert {"app.py", "requirements.txt", "qlora_app", "presets"} <= held
    assert not held & {".git", ".venv", "tests", "docs", "benchmarks", ".ruff_cache"} and not list(
        (tmp_path / "app").rglob("__pycache__")
    )


def test_the_dockerfile_copies_what_is_there_and_starts_as_a_person_without_rights():
    known = [
        "FROM",
        "RUN",
        "COPY",
        "ENV",
        "ARG",
        "USER",
        "WORKDIR",
        "VOLUME",
        "EXPOSE",
        "HEALTHCHECK",
        "ENTRYPOINT",
        "CMD",
    ]
    assert {name for name, _ in instructions()} <= set(known)
    sources = [source for value in values("COPY") for source in value.split()[:-1] if not source.startswith("--")]
    assert sources and all((ROOT / source).exists() for source in sources)
    assert "/healthz" in values("HEALTHCHECK")[0] and "QLORA_APP_PORT" in values("HEALTHCHECK")[0]
    assert values("USER")[-1] == "user" and "python app.py" in json.loads(values("CMD")[0])[-1]
    assert [name for name, _ in instructions()].index("USER") < [name for name, _ in instructions()].index("CMD")


def test_a_container_that_is_stopped_waits_for_the_last_words_of_the_page(tmp_path):
    """An init tells the whole group, and ends with its shell: the kernel then kills whoever still sends."""
    page = tmp_path / "python"
    page.write_text(
        "#!/bin/sh\ntrap 'sleep 0.5; echo over > said; exit' TERM\necho began\nwhile :; do sleep 0.1; done\n"
    )
    page.chmod(0o755)
    shell = subprocess.Popen(
        json.loads(values("CMD")[0]),
        cwd=tmp_path,
        env={"PATH": f"{tmp_path}:/usr/bin:/bin"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert shell.stdout.readline() == "began\n"
    os.killpg(shell.pid, signal.SIGTERM)
    shell.wait()
    assert (tmp_path / "said").read_text() == "over\n" and shell.stdout.read() == ""


@pytest.mark.machine
def test_every_run_line_works(image):
    assert image.user == "user" and re.search(r"^user:x:1000:", (image.upper / "etc/passwd").read_text(), re.MULTILINE)
    assert (image.upper / "usr/bin/tini").exists()
    assert (image.upper / "data").stat().st_uid == 1000
    app = image.upper / "home/user/app"
    assert {path.stat().st_uid for path in app.rglob("*.py")} == {1000}
    assert (app / "qlora_app/runs/run.py").exists() and not (app / ".git").exists() and not (app / "tests").exists()


class Container:
    """`docker run -e ... -v HOME:/data`, or as near to it as this machine allows."""

    def __init__(self, image, home, log):
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        self.home, self.log, self.store = home, log, RunStore(home / "runs")
        self.given = {
            "OMP_NUM_THREADS": "1",
            "QLORA_APP_PORT": str(self.port),
            "HF_HUB_OFFLINE": "1",
            "HOME": "/home/user",
        }
        self.in_image = image is not None
        self.process = self._start_in(image) if image else self._start_bare()

    def _start_in(self, image):
        os.chown(self.home, 1000, 1000)
        argv = [*json.loads(values("ENTRYPOINT")[0]), *json.loads(values("CMD")[0])]
        argv = image.command(argv, {**image.environment, **self.given}, volume=self.home)
        return subprocess.Popen(argv, stdout=self.log, stderr=self.log, stdin=subprocess.DEVNULL)

    def _start_bare(self):
        copy_context(self.home.parent / "app")
        environment = {name: value for line in values("ENV") for name, value in assigned(line).items()} | self.given
        environment |= {
            "SYSTEM": "spaces",
            "SPACE_ID": "ada/workshop",
            "QLORA_APP_HOME": str(self.home),
            "HF_HOME": str(self.home / "hub"),
            "HOME": str(self.home.parent),
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        }
        return subprocess.Popen(
            json.loads(values("CMD")[0]),
            cwd=self.home.parent / "app",
            env=environment,
            start_new_session=True,
            stdout=self.log,
            stderr=self.log,
            stdin=subprocess.DEVNULL,
        )

    def page(self):
        try:
            return httpx.get(f"http://127.0.0.1:{self.port}/", timeout=5).text
        except httpx.HTTPError:
            assert self.process.poll() is None, Path(self.log.name).read_text()
            return ""

    def app(self):
        """The process of the page."""
        family = psutil.Process(self.process.pid).children(recursive=True)
        return next((p for p in family if p.cmdline()[-1:] == ["app.py"]), None)

    def end(self, by):
        """A signal to process 1, as `docker stop` and `docker kill` send it; without an image to all that CMD
        started.
        """
        if self.process.poll() is not None:
            return
        first = psutil.Process(self.process.pid).children()
        if self.in_image and first:
            first[0].send_signal(by)
        elif not self.in_image:
            os.killpg(self.process.pid, by)
        self.process.wait(timeout=60)

    def train(self, recipe):
        """A run in the volume, as somebody with a login would start it."""
        made, owner = RunStore(self.home.parent / "made").create(recipe), self.home.stat()
        made.request("start")
        for path in (made.folder, *made.folder.rglob("*")):
            os.chown(path, owner.st_uid, owner.st_gid)
        return Run(made.folder.rename(self.store.root / made.id))


@pytest.fixture(params=[pytest.param("image", marks=pytest.mark.machine), "bare"])
def container(request, tmp_path):
    image = request.getfixturevalue("image") if request.param == "image" else None
    (tmp_path / "home").mkdir()
    with open(tmp_path / "log.txt", "wb") as log:
        container = Container(image, tmp_path / "home", log)
        yield container
    for run in container.store.list() if not image else []:
        run.request("stop")
        wait_for(lambda run=run: not run.is_alive())
    container.end(signal.SIGKILL)


@pytest.mark.slow
def test_the_page_comes_back_and_a_run_outlives_it(container):
    assert "Guanaco Workshop" in wait_for(container.page)
    run = container.train(Recipe.from_dict(LONG_RUN))
    wait_for(lambda: run.status().step >= 1)
    first, before = container.app(), run.status().step
    first.send_signal(signal.SIGKILL)
    first.wait()
    assert wait_for(container.page) and container.app().pid != first.pid
    wait_for(lambda: run.status().step > before)
    assert run.is_alive() and run.status().state == "running"
    assert (run.folder / "status.json").stat().st_uid == container.home.stat().st_uid
    assert "demonstration" in Path(container.log.name).read_text()
    if container.in_image:
        container.end(signal.SIGTERM)
        wait_for(lambda: not run.is_alive())
        assert run.status().state == "interrupted"
