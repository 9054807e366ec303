"""All runs below one folder."""

import builtins
from pathlib import Path

from ..errors import UserError
from ..jobs import Job, JobStore
from ..jobs.store import Folders
from ..recipe import Recipe
from .run import Run


class RunStore(Folders[Run]):
    """All runs below one folder."""

    noun = "run"

    def __init__(self, root: Path) -> None:
        super().__init__(root, Run)

    def create(self, recipe: Recipe) -> Run:
        """A new folder holding the recipe. Nothing starts until somebody asks the run to."""
        name = recipe.name or f"{recipe.base_model.title.split()[-1]}-{recipe.dataset.title}"
        return self._make(name, lambda run: recipe.save(run.folder / run.spec_file))

    def delete(self, id: str) -> None:
        """Raises UserError while somebody trains it, or answers a file of questions with it."""
        for job in JobStore(self.get(id).answers).list():
            if job.status().is_active or job.is_asked("start"):
                raise UserError("run.answers", "{id} answers a file of questions. Stop that first.", id=id)
        super().delete(id)

    def not_there(self, id: str) -> UserError:
        """The error of an id that names no run."""
        return UserError("run.not_there", "There is no run {id!r}. It may have been deleted.", id=id)

    def at_work(self, id: str) -> UserError:
        """The error of whoever would delete a run that learns."""
        return UserError("run.being_trained", "{id} is being trained. Stop it first.", id=id)

    def every(self) -> builtins.list[Job]:
        """The runs, and the jobs that were made of each: its files of answers."""
        found: builtins.list[Job] = []
        for run in self.list():
            found.append(run)
            found += JobStore(run.answers).list()
        return found


def job_at(folder: Path) -> Job:
    """The job in a folder: a Run where it is a training's."""
    return Run(folder) if (folder / Run.spec_file).is_file() else Job(folder)
