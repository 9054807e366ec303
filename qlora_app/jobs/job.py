"""A job is a folder. This file knows its paths, reads it, leaves wishes in it, and starts nothing.

What is stored is never trusted alone: a job whose status says "running" while nobody holds its lock was interrupted.
"""

import contextlib
import os
import stat
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar, get_args

import yaml
from pydantic import ValidationError

from ..choices import Choices
from ..errors import Problem, UserError, sentence_of, with_code
from ..place import Place
from ..storage.disk import cannot_begin, said
from ..storage.files import replace_file, write_json
from ..storage.process import STOPPED, Engine, ProcessFile, process_state
from ..storage.reading import NotAFile, damage, open_regular, read_json
from ..storage.typed import filled, misfits
from .index import made_at
from .lock import hold_lock, is_locked
from .pulse import PULSE, STILL_AFTER, last_sign, no_sign_of_life
from .spec_file import check_size, read_spec
from .status import ACTIVE, ENDED, RESUMABLE, STATES, State, Status
from .turn import ASKED_FILE
from .wishes import Wish, Wishes
from .writer import LAUNCH_FILE, WAITING_FILE, JobWriter

Needs = Literal["little", "torch", "machine"]
NEEDS: tuple[Needs, ...] = get_args(Needs)
SPEC_FILE = "job.yaml"
PLACE_FILE = "place.json"
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
KILLED = -9  # the exit code of what the system ended


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
        return ProcessFile(self.folder / LAUNCH_FILE)

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
            return read_spec(self.folder / self.spec_file)
        except UserError:
            return {}

    def write_spec(self, spec: JobSpec) -> None:
        """Once, by whoever makes the job. Raises UserError for one that could not be read again."""
        text = spec.to_yaml()
        check_size(text)
        replace_file(self.folder / self.spec_file, text)

    # ---- where it is worked on

    def place(self) -> Place:
        """As somebody said when it was started; one process on this machine where nobody did."""
        try:
            return Place.model_validate(read_json(self.folder / PLACE_FILE) or {})
        except ValidationError:
            return Place()

    def move_to(self, place: Place) -> None:
        """Where it goes on when it is started the next time. What it does stays the same."""
        with said(self.folder):
            write_json(self.folder / PLACE_FILE, place.model_dump(mode="json"))

    # ---- how it stands

    def status(self) -> Status:
        """The state as it is now: what the worker said, corrected by whether a worker lives."""
        return self._corrected(Status)

    def _corrected(self, kind: type[AnyStatus]) -> AnyStatus:
        alive = self.is_alive()  # asked first: a worker's last word comes before it lets go of the lock
        stored = self._stored_status(kind)
        engine = self.launch_file.engine()
        if not alive and engine is not None and engine.is_there:
            return self._at_engine(stored, engine)
        if alive:
            return self._with_silence(replace(stored, state=self._state_of_living(stored.state)))
        if self.is_asked("start"):
            if self.launch_file.is_alive():
                return self._on_its_way(stored)
            return replace(stored, state="queued", sentence=self.waiting_words())
        if stored.state in ("queued", *ACTIVE):
            return self._without_worker(stored)
        return stored

    def is_on_its_way(self) -> bool:
        """Was a worker sent that has not come yet? It takes the wish to start when it comes."""
        return self.is_asked("start") and bool(self.launch_file.is_alive())

    def _at_engine(self, stored: AnyStatus, engine: Engine) -> AnyStatus:
        """Of a job that another program works on, as far as that is known; what is not known has not failed."""
        state: State
        if engine.state == "unknown":
            state = "queued" if self.is_asked("start") else stored.state
            return replace(stored, state=state, silence=engine.silence)
        is_on_its_way = bool(engine.store) and not engine.has_begun
        if engine.state == "queued" or self.is_asked("start") or is_on_its_way:
            state = "stopping" if self.wishes.wants_end() else "queued"
            return replace(stored, state=state, sentence=engine.waits)
        return stored

    def is_at_engine(self) -> bool:
        """May another program than this machine's work on it?"""
        engine = self.launch_file.engine()
        return engine is not None and engine.is_there

    def _on_its_way(self, stored: AnyStatus) -> AnyStatus:
        seconds, found = self.launch_file.seconds(), process_state(self.launch_file.pid() or 0)
        silence: str = ""
        if found is not None and found[0] == STOPPED:
            silence = no_sign_of_life(seconds)
        elif seconds > STILL_AFTER:
            silence = Problem("job.long_loading", "It has been loading for {seconds:.0f} s.", seconds=seconds)
        return replace(stored, state="starting", sentence=self.loading_words(), silence=silence)

    def _with_silence(self, status: AnyStatus) -> AnyStatus:
        sign = last_sign(self.folder)
        return replace(status, silence=sign.words()) if sign else status

    def _state_of_living(self, stored: State) -> State:
        if stored in ("queued", *ENDED):
            return "starting"
        if stored != "stopping" and self.is_asked("stop"):
            return "stopping"
        return stored

    def _without_worker(self, stored: AnyStatus) -> AnyStatus:
        if self.launch_file.is_alive():
            state: State = "stopping" if self.wishes.wants_end() else "starting"
            return replace(stored, state=state, sentence=self.loading_words())
        was_worked_on = self.launch_file.exists() or (self.folder / PULSE).exists()
        if not was_worked_on or (stored.state == "queued" and self.wishes.wants_end()):
            return replace(stored, state="stopped", sentence=self.taken_back_words())
        sentence = self.killed_words() if self.launch_file.exit_code() == KILLED else self.interrupted_words()
        if engine := self.launch_file.engine():
            sentence = Problem(
                "job.engine_ended",
                "{engine} ended job {id} ({said}). Resume goes on where it was saved. The log has its last lines.",
                engine=engine.title,
                id=engine.id,
                said=engine.said,
            )
        return replace(stored, state="interrupted", sentence=sentence)

    def waiting_words(self) -> str:
        """The sentence of a job that waits, and what it waits for."""
        said_why = sentence_of(read_json(self.folder / WAITING_FILE) or {})
        return cannot_begin(self.folder) or said_why or "Waiting for its turn."

    def say_why_it_waits(self, problem: Problem) -> None:
        """By the queue, of a job that it could not start; until it is begun."""
        with contextlib.suppress(OSError):  # a full disk is seen without it
            write_json(self.folder / WAITING_FILE, with_code({"sentence": problem}))

    def taken_back_words(self) -> str:
        """The sentence of a job that nobody began."""
        return "It was taken out of the queue before it began. Resume starts it."

    def killed_words(self) -> str:
        """The sentence of a job whose worker was ended by the system."""
        return Problem(
            "job.killed",
            "The system ended the program (signal 9), most often because memory ran out. End other programs or choose "
            "less at once; Resume goes on where it was saved.",
        )

    def loading_words(self) -> str:
        """The sentence of a job whose worker is on its way."""
        return "Loading the program."

    def interrupted_words(self) -> str:
        """The sentence of a job whose worker is gone."""
        return "The program ended without a word. Resume goes on with it. The log has its last lines."

    def _stored_status(self, kind: type[AnyStatus]) -> AnyStatus:
        values = read_json(self.folder / "status.json") or {}
        stored = replace(filled(kind, values), sentence=sentence_of(values))
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
            read_spec(self.folder / SPEC_FILE)
        except UserError as error:
            return [error.problem]
        return []

    def _wrong_status(self) -> list[Problem]:
        names = misfits(Status, read_json(self.folder / "status.json") or {})
        if not names:
            return []
        listed = ", ".join(names)
        return [
            Problem(
                "job.odd_status",
                "status.json says things that make no sense ({names}); they are left out.",
                names=listed,
            )
        ]

    def is_alive(self) -> bool:
        """Does a worker hold the lock? The only proof of life. Raises OSError where that cannot be told."""
        return is_locked(self.folder / "lock")

    def result(self) -> dict[str, Any] | None:
        """What it made, as its worker wrote it at the end; None before."""
        return read_json(self.folder / "result.json")

    def last_word(self) -> Status:
        """What a worker said last, whether it lives or not."""
        return self._stored_status(Status)

    def created_at(self) -> float:
        """When it was made, in seconds since the epoch; 0.0 where it is just being deleted, or made in no year."""
        try:
            written = (self.folder / self.spec_file).lstat().st_mtime_ns
        except OSError:
            return 0.0
        made = made_at(self.id, written) / 1e9
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

    def files(self) -> dict[str, int]:
        """Bytes of each of its files, by path below the folder; without hidden ones, which come and go: the index of
        the jobs below it, a file that is just being written."""
        found = {}
        for path in sorted(self.folder.rglob("*")):
            inside = path.relative_to(self.folder)
            if any(part.startswith(".") for part in inside.parts):
                continue
            with contextlib.suppress(FileNotFoundError):  # gone since the folder was read
                status = path.lstat()
                if not stat.S_ISDIR(status.st_mode):
                    found[inside.as_posix()] = status.st_size
        return found

    def size(self) -> int:
        """Bytes of its files."""
        return sum(self.files().values())

    # ---- wishes: one small file each, by whoever has one

    def request(self, wish: Wish) -> None:
        """Leave a wish: start, stop (finish what was begun and save), stop-now (at once, nothing saved).

        The last wish wins: a stop takes back a start nobody has followed yet, a start takes back an old stop.
        """
        with said(self.folder):
            was_taken_back = self.wishes.leave(wish)
        if was_taken_back and (self.launch_file.is_alive() or self.is_at_engine()):
            # Whoever is on its way finds no start any more and goes home. Until then it is seen that it was stopped.
            # A worker that another program starts finds the stop; while it waits there it is taken from that queue.
            with contextlib.suppress(OSError):
                self.wishes.put(wish)
        if wish == "start":
            self.tell_queue()

    def ask_to_start(self) -> None:
        """Leave the wish to start where nobody works on it: one left meanwhile would do it once more at its end."""
        # Whoever has said a last word is only about to leave.
        if self.status().is_active and not self.last_word().has_ended:
            return
        self.request("start")

    def tell_queue(self) -> None:
        """Have the queue look at its jobs now: it does not look at all of them all the time."""
        roots = (self.folder.parent, self.folder.parent.parent.parent)  # a job may be one of a run
        for root in roots:
            with contextlib.suppress(OSError):  # nobody looks after this folder, or nothing can be written
                now = time.time_ns()  # finer than the file system's own clock
                os.utime(root / ASKED_FILE, ns=(now, now))

    def check_resumable(self) -> None:
        """Raises UserError where it has not stopped before its end."""
        state = self.status().state
        if state not in RESUMABLE:
            raise UserError(
                "run.not_resumable",
                "{id} is {state}; only a run that stopped, failed or was interrupted can be resumed.",
                id=self.id,
                state=state,
            )

    def forget_stop(self) -> None:
        """Take back every wish to stop."""
        self.wishes.forget_stop()

    def turn(self) -> int:
        """Whose start comes first: the smaller one's; 0 where none is asked for."""
        return self.wishes.turn()

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
