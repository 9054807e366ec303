"""All jobs below one folder."""

import builtins
import os
import re
import shutil
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from ..errors import UserError
from .index import JOB_ID, JobIndex
from .job import Job, JobSpec

AnyJob = TypeVar("AnyJob", bound=Job)
_MOST_OF_A_NAME = 999


class Folders(Generic[AnyJob]):
    """The job folders below `root`, as jobs of one class. They are found through an index that may be deleted."""

    noun = "job"

    def __init__(self, root: Path, job: type[AnyJob]) -> None:
        self.root = root
        self._job = job
        self._index = JobIndex(root, job.spec_file)

    def get(self, id: str) -> AnyJob:
        """Raises UserError for an id that names no job, and for anything that is not an id."""
        if not JOB_ID.fullmatch(id or "") or not self._index.has(id):
            raise self.not_there(id)
        return self._job(self.root / id)

    def list(self) -> builtins.list[AnyJob]:
        """Newest first."""
        return [self._job(self.root / id) for id in self._index.ids()]

    def every(self) -> builtins.list[Job]:
        """All jobs that are to be looked after here, newest first."""
        return builtins.list[Job](self.list())

    def delete(self, id: str) -> None:
        """It is gone from the list at once, and then from the disk. Raises UserError while somebody works on it."""
        job = self.get(id)
        if job.is_alive():
            raise self.at_work(id)
        going = self.root / f".{id}.deleted-{time.time_ns()}"
        job.folder.rename(going)
        shutil.rmtree(going)

    def _make(
        self, name: str, write_spec: Callable[[AnyJob], None], prepare: Callable[[AnyJob], None] | None = None
    ) -> AnyJob:
        """A new folder named by the minute and `name`, with what is to be done written in it.

        `prepare` fills it before: a folder is a job from the moment that says what is to be done, so nobody finds half
        of one, and where something fails nothing is left.
        """
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._index.make_room()
        job = self._job(self._free_folder(f"{datetime.now():%Y-%m-%d-%H%M}-{_slug(name) or self.noun}"))
        try:
            if prepare:
                prepare(job)
            write_spec(job)
        except BaseException:
            shutil.rmtree(job.folder, ignore_errors=True)
            raise
        # The file system's own clock ticks every few milliseconds: too coarse to tell which came first.
        now = time.time_ns()
        os.utime(job.folder / job.spec_file, ns=(now, now))
        return job

    def _free_folder(self, stem: str) -> Path:
        for number in range(1, _MOST_OF_A_NAME + 1):
            folder = self.root / (stem if number == 1 else f"{stem}-{number}")
            try:
                folder.mkdir(mode=0o700)
            except FileExistsError:
                continue
            return folder
        raise UserError("job.name_used_up", "There are 999 called {name}. Give this one another name.", name=stem)

    def not_there(self, id: str) -> UserError:
        """The error of an id that names nothing here."""
        return UserError("job.not_there", "There is no job {id!r}. It may have been deleted.", id=id)

    def at_work(self, id: str) -> UserError:
        """The error of whoever would delete what somebody works on."""
        return UserError("job.at_work", "{id} is at work. Stop it first.", id=id)


class JobStore(Folders[Job]):
    """Jobs of any kind below one folder."""

    def __init__(self, root: Path) -> None:
        super().__init__(root, Job)

    def create(self, name: str, spec: JobSpec, prepare: Callable[[Job], None] | None = None) -> Job:
        """A new job, whose folder `prepare` fills. Nothing starts until somebody asks it to."""
        return self._make(name, lambda job: job.write_spec(spec), prepare)


def _slug(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:40]
