"""All runs below one folder."""

import builtins
import contextlib
import threading
import time
from collections.abc import Callable
from pathlib import Path

from ..errors import UserError
from ..jobs import Job, JobStore
from ..jobs.store import Folders
from ..recipe import Recipe
from ..storage.disk import said
from ..storage.files import write_json
from ..storage.gone import noted
from ..storage.reading import read_json
from .run import Run

MADE_BY = "made_by.json"  # in a run that a job made of something else than a training
LOOK_EVERY = 0.2  # seconds, at a run that is to be deleted when it has ended
LONGEST_WAIT = 3600.0  # seconds for what is made of it to end; then the next `sweep` does it


class RunStore(Folders[Run]):
    """All runs below one folder."""

    noun = "run"

    def __init__(self, root: Path) -> None:
        super().__init__(root, Run)

    def create(self, recipe: Recipe, prepare: Callable[[Run], None] | None = None, maker: Job | None = None) -> Run:
        """A new folder holding the recipe, which `prepare` fills further. Nothing starts until somebody asks it to.
        maker: the job whose result it is, by which `made_by` finds it.

        Raises UserError where the disk refuses it.
        """

        def write(run: Run) -> None:
            recipe.save(run.folder / run.spec_file)
            if maker is not None:
                write_json(run.folder / MADE_BY, _named(maker))

        name = recipe.name or f"{recipe.base_model.title.split()[-1]}-{recipe.dataset.title}"
        return self._make(name, write, prepare)

    def made_by(self, maker: Job) -> Run | None:
        """The run that a job has made. Killed before it could say so, it makes no second one when it is resumed."""
        return next((run for run in self.list() if read_json(run.folder / MADE_BY) == _named(maker)), None)

    def delete(self, id: str) -> None:
        """Raises UserError while somebody trains it, or makes something of it."""
        for job in made_of(self.get(id)):
            if job.status().is_active or job.is_asked("start"):
                raise UserError(
                    "run.answers", "{id} answers a file of questions, or is exported. Stop that first.", id=id
                )
        with said(self.root), noted(self.root, id):
            super().delete(id)

    def discard(self, id: str) -> None:
        """End a run at once, and delete it when its worker has left. Where this program ends before, `sweep` does it.

        Raises UserError where it is not there, or the wish cannot be left.
        """
        run = self.get(id)
        run.request("stop-now")
        run.wishes.put("discard")
        _stop_others(run)
        self._delete_soon(run)

    def sweep(self) -> None:
        """Also what was to be thrown away when a program ended."""
        super().sweep()
        for run in self.list():
            if run.is_asked("discard") and not _has_worker(run):
                self._delete_discarded(run)
                if run.is_asked("discard"):
                    self._delete_soon(run)

    def _delete_soon(self, run: Run) -> None:
        threading.Thread(target=self._delete_when_ended, args=(run,), name=f"discard {run.id}", daemon=True).start()

    def _delete_when_ended(self, run: Run) -> None:
        while run.is_asked("discard") and _has_worker(run):
            time.sleep(LOOK_EVERY)
        last = time.monotonic() + LONGEST_WAIT
        while run.is_asked("discard") and time.monotonic() < last:
            self._delete_discarded(run)
            time.sleep(LOOK_EVERY)

    def _delete_discarded(self, run: Run) -> None:
        """Unless it was started again meanwhile, is gone, or what is made of it has not ended yet."""
        with contextlib.suppress(UserError, OSError):
            if run.is_asked("discard"):
                _stop_others(run)  # also what was asked for since
                self.delete(run.id)

    def not_there(self, id: str) -> UserError:
        """The error of an id that names no run."""
        return UserError("run.not_there", "There is no run {id!r}. It may have been deleted.", id=id)

    def at_work(self, id: str) -> UserError:
        """The error of whoever would delete a run that learns."""
        return UserError("run.being_trained", "{id} is being trained. Stop it first.", id=id)

    def every(self) -> builtins.list[Job]:
        """The runs, and the jobs that were made of each: its files of answers, its exports."""
        found: builtins.list[Job] = []
        for run in self.list():
            found.append(run)
            found += made_of(run)
        return found


def _named(maker: Job) -> dict[str, str | float]:
    """A job: of one that was deleted another may have the name."""
    return {"job": maker.id, "made": maker.created_at()}


def _has_worker(run: Run) -> bool:
    """Does somebody write in its folder, or come to? Not who has said the last word, and only leaves."""
    return run.is_alive() or (bool(run.launch_file.is_alive()) and not run.last_word().has_ended)


def _stop_others(run: Run) -> None:
    """Whoever throws a run away wants nothing more that is made of it."""
    for job in made_of(run):
        if (job.status().is_active or job.is_asked("start")) and not job.is_asked("stop-now"):
            job.request("stop-now")


def made_of(run: Run) -> builtins.list[Job]:
    """The jobs of a run: its files of answers, its exports."""
    return [*JobStore(run.answers).list(), *JobStore(run.exports).list()]


def job_at(folder: Path) -> Job:
    """The job in a folder: a Run where it is a training's."""
    return Run(folder) if (folder / Run.spec_file).is_file() else Job(folder)
