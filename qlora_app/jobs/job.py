"""A job is a folder. This file knows its paths, reads it, leaves wishes in it, and starts nothing.

What is stored is never trusted alone: a job whose status says "running" while nobody holds its lock was interrupted.
"""

import contextlib
import os
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

import yaml
from pydantic import ValidationError

from ..choices import Choices
from ..errors import Problem, UserError, sentence_of
from ..storage.files import replace_file
from ..storage.process import ProcessFile
from ..storage.reading import NotAFile, damage, open_regular, read_json, read_mapping
from ..storage.typed import filled, misfits
from .lock import hold_lock, is_locked
from .status import ACTIVE, ENDED, STATES, State, Status
from .wishes import Wish, Wishes
from .writer import JobWriter

Needs = Literal["little", "torch", "machine"]
NEEDS: tuple[Needs, ...] = get_args(Needs)
SPEC_FILE = "job.yaml"
FINISHED = "Finished."
YEAR_3000 = 32_503_680_000
# What they hold; None for what is no one JSON.
FILES: dict[str, type | None] = {
    "status.json": dict,
    "launch.json": dict,
    "result.json": dict,
    "log.txt": None,
    "lock": None,
}


class JobSpec(Choices):
    """What a job is to do. Each kind derives its own, with its choices beside these."""

    kind: str
    # little: starts in a moment, beside anything. torch: worth a warm worker. machine: no other such job beside it.
    needs: Needs = "little"

    def to_yaml(self) -> str:
        return str(yaml.safe_dump(self.model_dump(mode="json"), sort_keys=False, allow_unicode=True))


AnySpec = TypeVar("AnySpec", bound=JobSpec)
AnyStatus = TypeVar("AnyStatus", bound=Status)


class Job:
    """One job folder. Reading needs no lock; whoever wants to write takes it with `hold`."""

    spec_file: ClassVar[str] = SPEC_FILE

    def __init__(self, folder: Path) -> None:
        """Only remembered: a list makes thousands of these, and most are not looked at."""
        self.folder = folder

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def log(self) -> Path:
        return self.folder / "log.txt"

    @property
    def wishes(self) -> Wishes:
        return Wishes(self.folder)

    @property
    def launch_file(self) -> ProcessFile:
        """Where it runs; written by the launcher only."""
        return ProcessFile(self.folder / "launch.json")

    # ---- what it is

    @property
    def kind(self) -> str:
        """The name of its kind; empty where its file cannot be read."""
        kind = self._raw_spec().get("kind")
        return kind if isinstance(kind, str) else ""

    @property
    def needs(self) -> Needs:
        """What its kind needs of the machine."""
        given = self._raw_spec().get("needs")
        return next((needs for needs in NEEDS if needs == given), NEEDS[0])

    def spec(self, kind: type[AnySpec]) -> AnySpec:
        """Its choices, as those of a kind. Raises UserError where they are none of that kind."""
        try:
            return kind.model_validate(self._raw_spec())
        except ValidationError as error:
            wrong = "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
            raise UserError(
                "job.wrong_spec",
                "{file} does not say what is to be done ({wrong}).",
                file=self.folder / self.spec_file,
                wrong=wrong,
            ) from error

    def _raw_spec(self) -> dict[str, Any]:
        try:
            return read_mapping(self.folder / self.spec_file)
        except UserError:
            return {}

    def write_spec(self, spec: JobSpec) -> None:
        """Once, by whoever makes the job."""
        replace_file(self.folder / self.spec_file, spec.to_yaml())

    # ---- how it stands

    def status(self) -> Status:
        """The state as it is now: what the worker said, corrected by whether a worker lives."""
        return self._corrected(Status)

    def _corrected(self, kind: type[AnyStatus]) -> AnyStatus:
        alive = self.is_alive()  # asked first: a worker's last word comes before it lets go of the lock
        stored = self._stored_status(kind)
        if alive:
            return replace(stored, state=self._state_of_living(stored.state))
        if self.is_asked("start"):
            return replace(stored, state="queued", sentence="Waiting for its turn.")
        if stored.state in ("queued", *ACTIVE):
            return self._without_worker(stored)
        if self._is_launched_again():
            return replace(stored, state="starting", sentence=self.loading_words())
        return stored

    def _is_launched_again(self) -> bool:
        """Is a worker on its way that was sent after the last word of the one before?"""
        launched = self.launch_file.written_at()
        try:
            said = os.stat(self.folder / "status.json").st_mtime
        except OSError:
            return False
        return launched is not None and launched > said and bool(self.launch_file.is_alive())

    def _state_of_living(self, stored: State) -> State:
        if stored in ("queued", *ENDED):
            return "starting"
        if stored != "stopping" and self.is_asked("stop"):
            return "stopping"
        return stored

    def _without_worker(self, stored: AnyStatus) -> AnyStatus:
        if self.launch_file.is_alive():
            return replace(stored, state="starting", sentence=self.loading_words())
        if not self.launch_file.exists():
            sentence = "It was taken out of the queue before it began. Resume starts it."
            return replace(stored, state="stopped", sentence=sentence)
        return replace(stored, state="interrupted", sentence=self.interrupted_words())

    def loading_words(self) -> str:
        """The sentence of a job whose worker is on its way."""
        return "Loading the program."

    def interrupted_words(self) -> str:
        """The sentence of a job whose worker is gone."""
        return "The program ended without a word. Resume goes on with it. The log has its last lines."

    def _stored_status(self, kind: type[AnyStatus]) -> AnyStatus:
        values = read_json(self.folder / "status.json") or {}
        stored = filled(kind, values | {"sentence": sentence_of(values)})
        if values.get("state") not in STATES and self._is_finished():  # what it said of itself is lost
            return replace(stored, state="done", sentence=FINISHED)
        return stored

    def _is_finished(self) -> bool:
        """Is there what it was to make?"""
        return self.result() is not None

    def damages(self) -> list[Problem]:
        """What is wrong with files of the folder, a sentence each: what is shown of the job lacks what they held."""
        wrong = [damage(self.folder / name, kind) for name, kind in FILES.items()]
        return [*self._wrong_spec(), *filter(None, wrong), *self._wrong_status()]

    def _wrong_spec(self) -> list[Problem]:
        try:
            read_mapping(self.folder / SPEC_FILE)
        except UserError as error:
            return [error.problem]
        return []

    def _wrong_status(self) -> list[Problem]:
        names = misfits(Status, read_json(self.folder / "status.json") or {})
        if not names:
            return []
        listed = ", ".join(names)
        return [
            Problem("job.odd_status", "status.json says things that make no sense ({names}); they are left out.", names=listed)
        ]

    def is_alive(self) -> bool:
        """Does a worker hold the lock? The only proof of life."""
        return is_locked(self.folder / "lock")

    def result(self) -> dict[str, Any] | None:
        """What it made, as its worker wrote it at the end; None before."""
        return read_json(self.folder / "result.json")

    def created_at(self) -> float:
        """When it was made, in seconds since the epoch; 0.0 where it is just being deleted, or made in no year."""
        try:
            made = (self.folder / self.spec_file).lstat().st_mtime
        except OSError:
            return 0.0
        return made if 0 <= made < YEAR_3000 else 0.0

    def log_tail(self, size: int = 8000) -> str:
        """The last `size` bytes of the worker's log, from a line's beginning."""
        try:
            with open_regular(self.log) as log:
                log.seek(max(0, os.path.getsize(self.log) - size))
                text = log.read(size).decode("utf-8", "replace")
        except NotAFile as error:
            return str(error)
        except OSError:
            return ""
        return text if len(text) < size else text.partition("\n")[2]

    def size(self) -> int:
        """Bytes on disk."""
        return sum(path.lstat().st_size for path in self.folder.rglob("*") if path.is_file())

    # ---- wishes: one small file each, by whoever has one

    def request(self, wish: Wish) -> None:
        """Leave a wish: start, stop (finish what was begun and save), stop-now (at once, nothing saved).

        The last wish wins: a stop takes back a start nobody has followed yet, a start takes back an old stop.
        """
        self.wishes.leave(wish)

    def forget_stop(self) -> None:
        """Take back every wish to stop."""
        self.wishes.forget_stop()

    def is_asked(self, wish: Wish) -> bool:
        return self.wishes.is_asked(wish)

    def take(self, wish: Wish) -> bool:
        """Remove a wish; True for exactly one of all who try."""
        return self.wishes.take(wish)

    # ---- by the worker

    def hold(self) -> AbstractContextManager[JobWriter]:
        """Take the lock, and with it the only writer of the folder, until the end of the `with`.

        Raises BlockingIOError when another worker has it.
        """
        return self._hold()

    @contextlib.contextmanager
    def _hold(self) -> Iterator[JobWriter]:
        with hold_lock(self.folder / "lock") as lock:
            yield JobWriter(self.folder, lock, Status("starting"))
