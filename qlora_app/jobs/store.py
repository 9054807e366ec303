"""All jobs below one folder."""

import builtins
import contextlib
import errno
import fcntl
import os
import re
import shutil
import time
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Generic, TypeVar

from ..errors import UserError
from ..storage.disk import said
from ..storage.files import FOLDER_ID
from .index import JobIndex
from .job import Job, JobSpec

AnyJob = TypeVar("AnyJob", bound=Job)
_MOST_OF_A_NAME = 999
_DELETED = re.compile(r"\..*\.deleted-\d+")
_UNMADE = re.compile(r"\..*\.unmade-\d+-\d+")


class Folders(Generic[AnyJob]):
    """The job folders below `root`, as jobs of one class. They are found through an index that may be deleted."""

    noun = "job"

    def __init__(self, root: Path, job: type[AnyJob]) -> None:
        self.root = root
        self._job = job
        self._index = JobIndex(root, job.spec_file)

    def get(self, id: str) -> AnyJob:
        """Raises UserError for an id that names no job, and for anything that is not an id."""
        if not FOLDER_ID.fullmatch(id or "") or not self._index.has(id):
            raise self.not_there(id)
        return self._job(self.root / id)

    def ids(self) -> builtins.list[str]:
        """Newest first."""
        return self._index.ids()

    def at(self, id: str) -> AnyJob:
        """The job of an id that `ids` named; nothing is looked at."""
        return self._job(self.root / id)

    def list(self) -> builtins.list[AnyJob]:
        """Newest first."""
        return [self._job(self.root / id) for id in self._index.ids()]

    def every(self) -> builtins.list[Job]:
        """All jobs that are to be looked after here, newest first."""
        return builtins.list[Job](self.list())

    def delete(self, id: str) -> None:
        """It is gone from the list at once, and then from the disk. Raises UserError while somebody works on it, or is
        about to, and where the disk refuses.
        """
        job = self.get(id)
        if job.is_alive() or job.is_on_its_way():
            raise self.at_work(id)
        going = self.root / f".{id}.deleted-{time.time_ns()}"
        with said(self.root):
            job.folder.rename(going)
            shutil.rmtree(going)

    def sweep(self) -> None:
        """Remove what is left of jobs whose making or deleting was cut short by the end of a program."""
        if not self.root.is_dir():
            return
        for name in os.listdir(self.root):
            left = self.root / name
            if _DELETED.fullmatch(name) or (_UNMADE.fullmatch(name) and _is_left_alone(left)):
                shutil.rmtree(left, ignore_errors=True)

    def _make(
        self, name: str, write_spec: Callable[[AnyJob], None], prepare: Callable[[AnyJob], None] | None = None
    ) -> AnyJob:
        """A new folder named by the minute and `name`, with what is to be done written in it.

        It is made under a hidden name and `prepare` fills it before it gets its own: nobody finds half of one, and
        where something fails nothing is left and no name is taken. Raises UserError where the disk refuses it.
        """
        with said(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._index.make_room()
            stem = f"{datetime.now():%Y-%m-%d-%H%M}-{_slug(name) or self.noun}"
            unmade = self.root / f".{stem}.unmade-{os.getpid()}-{time.time_ns()}"
            unmade.mkdir(mode=0o700)
            try:
                with _held(unmade):
                    job = self._job(unmade)
                    if prepare:
                        prepare(job)
                    write_spec(job)
                    # The file system's own clock ticks every few milliseconds: too coarse to tell which came first.
                    now = time.time_ns()
                    os.utime(unmade / job.spec_file, ns=(now, now))
                    return self._job(self._named(unmade, stem))
            except BaseException:
                shutil.rmtree(unmade, ignore_errors=True)
                raise

    def _named(self, unmade: Path, stem: str) -> Path:
        """Where a folder lies once it has the first free name."""
        for number in range(1, _MOST_OF_A_NAME + 1):
            folder = self.root / (stem if number == 1 else f"{stem}-{number}")
            if os.path.lexists(folder):
                continue
            try:
                return unmade.rename(folder)
            except (FileExistsError, NotADirectoryError):
                continue  # taken since
            except OSError as error:
                if error.errno != errno.ENOTEMPTY:
                    raise
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


def _is_left_alone(folder: Path) -> bool:
    try:
        with _held(folder):
            return True
    except OSError:
        return False


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Meanwhile others see that somebody makes it. Raises BlockingIOError where somebody does."""
    opened = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    finally:
        os.close(opened)
