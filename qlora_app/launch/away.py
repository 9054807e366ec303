"""Jobs whose worker does not see this disk: their folder travels by a store, a url that both sides reach."""

import contextlib
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from ..errors import Problem, UserError
from ..jobs import Job
from ..runs import Run
from ..runs.run import Spent
from ..settings import Settings
from ..storage.files import open_for_writing
from ..storage.process import Engine
from ..sync import Carried, Target, fetched, sent
from ..sync.both_ways import data_of, send_data
from .launcher import EngineLauncher

UNKNOWN = "it knows no such job"
ENDINGS = ("stop", "stop-now")  # the wishes that are handed on
SENT_WITHIN = 900.0  # seconds: the program and the data go first
_AT: dict[Path, threading.Lock] = defaultdict(threading.Lock)  # a folder is brought by one thread at a time


class Asked(Protocol):
    """What an engine's own API is asked. Each raises UserError where it does not answer."""

    def look(self, engine: Engine) -> Engine:
        """How a job stands; it says UNKNOWN of one that it has never heard of."""

    def log(self, id: str) -> str:
        """The last of what a job printed."""

    def cancel(self, id: str) -> None:
        """End a job at once."""


class TravellingLauncher(EngineLauncher, Protocol):
    """An engine whose nodes need not see this disk."""

    def asked(self) -> Asked:
        """Its API. Raises UserError where it cannot be asked from here."""

    def may_be_taken_back(self, seen: Engine) -> bool:
        """Has a worker surely not begun, if it was not wanted before the engine was asked?"""

    def look_at(self, jobs: Sequence[Job]) -> None:
        for job in jobs:
            engine = job.launch_file.engine()
            if engine is None or not engine.id:
                continue
            try:
                self._look(job, engine)
            except Exception as error:  # whatever it answers of one; the others are asked too
                note(job, engine.as_seen("unknown", str(error)))

    def _look(self, job: Job, engine: Engine) -> None:
        asked, was_unwanted = self.asked(), is_taken_back(job)
        seen = asked.look(engine)
        is_over = seen.state == "ended" and not engine.has_begun
        if is_over and seen.said == UNKNOWN and may_be_on_its_way(job, engine):
            return
        note(job, seen, asked.log(engine.id) if is_over else "")
        if was_unwanted and self.may_be_taken_back(seen) and is_taken_back(job):  # nor has one begun meanwhile
            asked.cancel(engine.id)

    def sync(self, job: Job) -> None:
        bring(job)


def carried_of(job: Job, store: str, settings: Settings) -> Carried:
    return Carried(job.folder, Target(store, settings.token), place_of(job, settings))


def place_of(job: Job, settings: Settings) -> str:
    """Where its folder is below the home, and at a store."""
    return job.folder.relative_to(settings.home).as_posix()


@contextlib.contextmanager
def sending(job: Job, engine: str, store: str) -> Iterator[Engine]:
    """The job as an engine is to have it, whose folder is at the store by then; without a store on a shared disk. It is
    given back where that fails. Raises UserError.
    """
    settings = Settings.from_environment()
    carried = carried_of(job, store, settings) if store else None
    newest = carried.newest() if carried else 0
    attempt = max(job.launch_file.attempt(), newest) + 1
    made = Engine(engine, "", "queued", attempt=attempt, store=store, earlier=job.launch_file.spent())
    job.launch_file.write_engine(made)
    try:
        if carried is not None:
            _check_base(job)
            if isinstance(job, Run) and (data := data_of(job, carried.target, settings)):
                send_data(data)
            there = carried.there()
            sent(carried, attempt, after=there.manifest if there else "")
        yield made
    except BaseException:
        job.launch_file.write_engine(replace(made, state="ended"))
        raise


def _check_base(job: Job) -> None:
    if isinstance(job, Run) and job.read_recipe().recipe.base_model.source == "folder":
        raise UserError(
            "launch.base_here",
            "{title} is a folder of this machine, which {where} does not see. Choose a base model of the Hub, or the "
            "starter's.",
            title=job.read_recipe().recipe.base_model.title,
            where=job.place().where,
        )


def is_taken_back(job: Job) -> bool:
    """Does nobody want it any more, before its worker has begun? Asked before its engine is: one that waits there after
    this has not taken the start.
    """
    is_unwanted = job.wishes.wants_end() or not job.is_asked("start")
    engine = job.launch_file.engine()  # read after the wish, as `bring` takes that after it is noted
    return is_unwanted and (engine is None or not engine.has_begun)


def may_be_on_its_way(job: Job, engine: Engine) -> bool:
    """Is it perhaps still being sent, so that its engine need not know it yet? It was never seen there."""
    return not engine.asked_at and time.time() - (job.launch_file.written_at() or 0.0) < SENT_WITHIN


def note(job: Job, seen: Engine, last_words: str = "") -> None:
    """Keep how the engine says the job stands. It has ended once the last of its files are here; last_words: of the
    engine, where its worker never began.
    """
    try:
        bring(job)
    except (UserError, OSError) as error:
        if seen.state == "ended":
            seen = seen.as_seen("unknown", str(error))
    with _AT[job.folder]:
        now = job.launch_file.engine()
        if now is None:
            return
        seen = replace(seen, has_begun=now.has_begun)
        if seen.state == "ended" and not now.has_begun and now.store and last_words:
            with contextlib.suppress(OSError), open(open_for_writing(job.log), "w") as log:
                log.write(last_words)
        if seen.state == "ended" and now.is_there and seen.dollars:
            _note_cost(job, seen)
        job.launch_file.note_engine(seen)


def _note_cost(job: Job, seen: Engine) -> None:
    """Among what happened to a run, once for each job of the engine."""
    if not isinstance(job, Run):
        return
    words = Problem(
        "event.cost",
        "Job {id} of {engine} cost ${dollars:.2f}; all jobs of this run together ${spent:.2f}.",
        id=seen.id,
        engine=seen.title,
        dollars=seen.dollars,
        spent=seen.spent,
    )
    status = job.status()
    with contextlib.suppress(BlockingIOError, OSError), job.hold() as out:  # who has the lock notes it
        if words not in [event["sentence"] for event in job.events()]:
            out.append_event(status.step, Spent(status.seconds, status.tokens or 0), words)


def bring(job: Job) -> None:
    """What its worker has written is brought, and what is wished of it is handed on. Raises UserError, OSError."""
    with _AT[job.folder]:
        engine = job.launch_file.engine()
        if engine is None or not engine.store or not engine.is_there:
            return
        carried = carried_of(job, engine.store, Settings.from_environment())
        there = carried.there()
        if there is not None and there.by != "home" and there.attempt == engine.attempt:
            if there.id != carried.seen().id:
                fetched(carried, there)
            if not engine.has_begun:
                job.launch_file.note_engine(replace(engine, has_begun=True))
                job.take("start")
            if job.last_word().has_ended:
                job.forget_stop()
        for wish in ENDINGS:
            if job.is_asked(wish):  # type: ignore[arg-type]
                carried.target.write(f"{wishes_at(carried.place, engine.attempt)}/{wish}", b"1")


def wishes_at(place: str, attempt: int) -> str:
    """Where the wishes of one attempt are at a store."""
    return f"{place}/wishes-{attempt:06d}"
