"""Work on machines of Hugging Face, paid by the minute, for who has nothing but a token.

A container is begun with `uv`, this very program (a zip of it in a private bucket, mounted to be read only) is
installed in it, and the run's folder travels by the same bucket. The token goes as a secret, never in the command or
environment, which Hugging Face shows. Each job ends by itself at its time limit, and is never begun twice.
"""

import hashlib
import io
import threading
import zipfile
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from .. import __version__
from ..errors import UserError
from ..hub import Repository
from ..jobs import Job
from ..place import NO_TOKEN
from ..runs import Run
from ..settings import Settings
from ..storage.process import Engine
from ..sync import Target
from .away import UNKNOWN, TravellingLauncher, place_of, sending
from .local import PACKAGE_PARENT
from .prices import dollars_of, explained, limit_of, price_of

BUCKET = "guanaco-workshop"
CODE = "/workshop"  # where the program is mounted
MODELS = "/models"  # the Hub's cache in a container
STATES = {
    "SCHEDULING": "queued",
    "RUNNING": "alive",
    "COMPLETED": "ended",
    "CANCELED": "ended",
    "ERROR": "ended",
    "DELETED": "ended",
}
LABEL = "guanaco-run"
SAVES_WITHIN = 180  # seconds before the time limit at which it is told to save
LAST_WORDS = 60  # lines of its log that are kept where the worker never began
PATIENCE = 20.0  # seconds for them
BEGIN = f"""#!/bin/sh
# Installs Guanaco Workshop, whose program lies beside this file, and works on a run: URL PLACE ATTEMPT MINUTES
set -e
until=$(($(date +%s) + 60 * $4 - {SAVES_WITHIN}))
here=$(dirname "$0")
uv pip install --system --quiet -r "$here/requirements.txt"
mkdir -p "$QLORA_APP_HOME"
python3 -m zipfile -e "$here/program.zip" "$QLORA_APP_HOME/program"
cd "$QLORA_APP_HOME/program"
for commit in "$HF_HOME"/hub/*/snapshots/*; do  # what is mounted there is the main branch of its model
    [ -d "$commit" ] && mkdir -p "$commit/../../refs" && printf %s "${{commit##*/}}" >"$commit/../../refs/main"
done
exec python3 -m qlora_app.away "$1" "$2" "$3" "$until"
"""
Answer = TypeVar("Answer")


class HfJobsLauncher(TravellingLauncher):
    """Workers in containers of Hugging Face."""

    name = "hf_jobs"

    def start(self, job: Job, cold: bool = False, device: str = "") -> None:
        settings, place = Settings.from_environment(), job.place()
        asked = _Jobs(settings)
        price_of(place, settings)  # also whether there is such a machine
        bucket = asked.bucket()
        with sending(job, self.name, f"hf://buckets/{bucket}") as engine:
            code = _send_program(Target(engine.store, settings.token))
            label = f"{job.id}-{engine.attempt}"
            job.launch_file.write_engine(replace(engine, id=f"{LABEL}={label}"))  # found by it where the answer is lost
            minutes = limit_of(place)
            folder = place_of(job, settings)
            id = asked.run(
                image=settings.jobs_image,
                command=["sh", f"{CODE}/begin.sh", engine.store, folder, str(engine.attempt), str(minutes)],
                env={"QLORA_APP_HOME": "/tmp/workshop", "HF_HOME": MODELS, "PYTHONUNBUFFERED": "1"},
                secrets=_secrets(settings),
                flavor=place.flavor,
                timeout=60 * minutes,
                attempts=1,
                labels={LABEL: label},
                volumes=_volumes(job, bucket, code),
            )
            job.launch_file.write_engine(replace(engine, id=id))

    def end(self, job: Job) -> None:
        """At once; what was saved is kept."""
        engine = job.launch_file.engine()
        if engine is not None and engine.id:
            self.asked().cancel(engine.id)

    def asked(self) -> "_Jobs":
        return _Jobs(Settings.from_environment())

    def may_be_taken_back(self, seen: Engine) -> bool:
        return seen.is_there  # nothing is learned yet, and being set up costs too


class _Jobs:
    """The Hub's API of jobs, as its owner."""

    def __init__(self, settings: Settings) -> None:
        """Raises UserError where there is no token."""
        from huggingface_hub import HfApi

        if not settings.token:
            raise UserError.of(NO_TOKEN)
        self._api, self._owner = HfApi(token=settings.token), settings.jobs_owner

    @property
    def owner(self) -> str:
        return self._owner or self._asked(lambda: _name_of(self._api))

    def bucket(self) -> str:
        """The owner's private bucket, made where there is none. Raises UserError where others may read it."""
        id = f"{self.owner}/{BUCKET}"
        self._asked(lambda: self._api.create_bucket(id, private=True, exist_ok=True))
        if not self._asked(lambda: self._api.bucket_info(id)).private:
            raise UserError(
                "rent.public_bucket",
                "The bucket {bucket} is public, so nothing is sent to it. Make it private on huggingface.co.",
                bucket=id,
            )
        return id

    def run(self, **asked: Any) -> str:
        """Its id. One that has come though the answer was lost is not begun twice."""
        owner = self.owner
        try:
            return str(self._asked(lambda: self._api.run_job(**asked, namespace=owner)).id)
        except UserError as error:
            if error.code == "rent.no_answer" and (found := self._labelled(asked["labels"])):
                return found
            raise

    def look(self, engine: Engine) -> Engine:
        id = self._id_of(engine.id)
        if not id:
            return engine.as_seen("ended", UNKNOWN)
        owner = self.owner
        info = self._asked(lambda: self._api.inspect_job(job_id=id, namespace=owner))
        stage = str(getattr(info.status.stage, "value", info.status.stage))
        words = stage if engine.has_begun or stage != "RUNNING" else "RUNNING, it is being set up"
        if info.status.message:
            words += f": {info.status.message[:200]}"
        dollars = dollars_of(info, engine.dollars, self._api)
        return replace(engine.as_seen(STATES.get(stage, "unknown"), words), id=engine.id, dollars=dollars)

    def cancel(self, known: str) -> None:
        if id := self._id_of(known):
            owner = self.owner
            self._asked(lambda: self._api.cancel_job(job_id=id, namespace=owner))

    def log(self, known: str) -> str:
        """The last lines that it printed; "" where they do not come soon."""
        lines: list[str] = []
        id, owner = self._id_of(known), self.owner

        def read() -> None:
            for line in self._api.fetch_job_logs(job_id=id, namespace=owner, tail=LAST_WORDS):
                lines.append(line)

        def read_what_comes() -> None:
            try:
                read()
            except Exception as error:  # whatever the network does, these are only words
                lines.append(str(error))

        thread = threading.Thread(target=read_what_comes, daemon=True)
        thread.start()
        thread.join(PATIENCE)
        return "\n".join([*lines[-LAST_WORDS:], ""])

    def _id_of(self, known: str) -> str:
        name, _, label = known.partition("=")
        return self._labelled({name: label}) if label else known

    def _labelled(self, labels: dict[str, str]) -> str:
        owner = self.owner
        found = self._asked(lambda: list(self._api.list_jobs(labels=labels, namespace=owner)))
        return str(found[0].id) if found else ""

    def _asked(self, ask: Callable[[], Answer]) -> Answer:
        try:
            return ask()
        except Exception as error:  # whatever the network does, the person gets a sentence
            raise explained(error) from error


_NAMES: dict[str, str] = {}  # of tokens' owners: a question less at every look


def _name_of(api: Any) -> str:
    if api.token not in _NAMES:
        _NAMES[api.token] = str(api.whoami()["name"])
    return _NAMES[api.token]


def _secrets(settings: Settings) -> dict[str, str]:
    known = {"QLORA_APP_HUB_TOKEN": settings.hub_token, "QLORA_APP_WANDB_KEY": settings.wandb_key}
    return {name: key.get_secret_value() for name, key in known.items() if key}


def _volumes(job: Job, bucket: str, code: str) -> list[Any]:
    """The program, and of a run whose base model was downloaded at a known commit that model, where the Hub's client
    looks for it: nothing of it is downloaded.
    """
    from huggingface_hub import Volume

    volumes = [Volume(type="bucket", source=bucket, path=code, mount_path=CODE, read_only=True)]
    base = job.base_model() if isinstance(job, Run) else None
    if base is not None and base.source == "hub" and len(base.revision) == 40:
        snapshot = f"{MODELS}/hub/{Repository(base.id).cache.name}/snapshots/{base.revision}"
        model = {"type": "model", "source": base.id, "revision": base.revision}
        volumes.append(Volume(**model, mount_path=snapshot, read_only=True))
    return volumes


def _send_program(target: Target) -> str:
    """This version of it at the bucket, where it is not there yet; the folder it is in."""
    program, requirements = zipped(), (Path(PACKAGE_PARENT) / "requirements.txt").read_bytes()
    name = f"program/{__version__}-{hashlib.sha256(program + requirements).hexdigest()[:12]}"
    files = {"requirements.txt": requirements, "program.zip": program, "begin.sh": BEGIN.encode()}
    there = target.names(name)
    for file, content in files.items():
        if there.get(file) != len(content):
            target.write(f"{name}/{file}", content)
    return name


def zipped() -> bytes:
    """All files of this program; the same bytes for the same files."""
    package, made = Path(PACKAGE_PARENT) / "qlora_app", io.BytesIO()
    beside = [Path(PACKAGE_PARENT) / "presets"]
    with zipfile.ZipFile(made, "w", zipfile.ZIP_DEFLATED) as archive:
        for folder in (package, *beside):
            for path in sorted(folder.rglob("*")):
                if path.is_file() and "__pycache__" not in path.parts and not path.name.startswith("."):
                    entry = zipfile.ZipInfo(path.relative_to(PACKAGE_PARENT).as_posix(), (2020, 1, 1, 0, 0, 0))
                    archive.writestr(entry, path.read_bytes(), zipfile.ZIP_DEFLATED)
    return made.getvalue()
