"""Which jobs lie in a folder, remembered in a file of SQLite, so that thousands need not be looked at one by one.

It can be deleted at any time. Whatever is wrong with it, the folders are read instead, and they are the truth: what is
remembered counts only while the folder that holds the jobs has not changed since it was read.
"""

import contextlib
import os
import re
import sqlite3
import stat
import time
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

from ..storage.files import FOLDER_ID
from ..storage.reading import is_regular, is_short_of_means

INDEX_FOLDER = ".index"  # a folder of its own: what is written in it does not change the one that holds the jobs
INDEX_FILE = "jobs.sqlite"
STATUS_FILE = "status.json"
_NAMED = re.compile(r"(\d{4})-(\d\d)-(\d\d)-(\d\d)(\d\d)(?:-.*?)?(?:-(\d{1,3}))?")
_NAMED_IN = (
    120 * 10**9
)  # nanoseconds after the minute of its name in which a folder's file was written, if it is no copy
_VERSION = 3
_LATEST = 2**62  # nanoseconds; some file systems know later times, which SQLite does not
_PATIENCE = 0.2  # seconds to wait for another process that writes it; reading the folders takes no longer
_SETTLED = 2.0  # seconds after which no change of the same tick of the file system's clock can follow any more
_TABLES = (
    "DROP TABLE IF EXISTS jobs",
    "DROP TABLE IF EXISTS read",
    "CREATE TABLE jobs (id TEXT PRIMARY KEY, created INTEGER)",  # NULL: a folder that is no job, or none yet
    "CREATE TABLE read (version INTEGER, spec_file TEXT, changed TEXT)",
)


def made_at(name: str, written: int) -> int:
    """When a job was made, in nanoseconds since the epoch: by the minute in its folder's name, which a copy keeps.

    written: when its file was written. It tells the second within that minute, and all where the name has no minute.
    """
    found = _NAMED.fullmatch(name)
    if found is None:
        return min(written, _LATEST)
    year, month, day, hour, minute, number = (int(part or 0) for part in found.groups())
    try:
        began = int(datetime(year, month, day, hour, minute).timestamp()) * 10**9
    except (ValueError, OverflowError, OSError):
        return min(written, _LATEST)
    return written if 0 <= written - began < _NAMED_IN else began + number


class JobIndex:
    """The ids of the jobs in one folder, newest first."""

    def __init__(self, root: Path, spec_file: str) -> None:
        self.root, self.spec_file = root, spec_file
        self.path = root / INDEX_FOLDER / INDEX_FILE
        self._last: tuple[str, list[str], list[str]] | None = None  # the folder's change, its ids, what else lies there

    def ids(self) -> list[str]:
        """Newest first, by when each was made."""
        try:
            seen = os.stat(self.root)
            is_folder = stat.S_ISDIR(seen.st_mode)
        except OSError:
            return []
        if not is_folder:
            return []
        changed = f"{seen.st_mtime_ns} {seen.st_ctime_ns}"
        known = self._as_before(changed) or self._known(changed)
        if known is not None:
            return known
        found = self._read_folders()
        ids = _newest_first(found)
        if time.time() - seen.st_ctime > _SETTLED:
            self._remember(found, changed)
            self._last = (changed, list(ids), [name for name, created in found.items() if created is None])
        return ids

    def _as_before(self, changed: str) -> list[str] | None:
        """What this program read last; None where the folder has changed since."""
        last = self._last
        if last is None or last[0] != changed or self._are_jobs(last[2]):
            return None
        return list(last[1])

    def _are_jobs(self, others: list[str]) -> bool:
        """Is one of these folders a job by now?"""
        return any(self._created(name) is not None for name in others)

    def has(self, name: str) -> bool:
        """Is there a job of this id?"""
        return self._created(name) is not None

    def make_room(self) -> None:
        """The folder of the index, before there is anything to remember."""
        self.path.parent.mkdir(exist_ok=True, mode=0o700)

    def _known(self, changed: str) -> list[str] | None:
        """None where the index does not know the folder as it is now."""
        if not is_regular(self.path):
            return None
        try:
            with self._opened() as index:
                state = index.execute("SELECT version, spec_file, changed FROM read").fetchone()
                if state != (_VERSION, self.spec_file, changed):
                    return None
                others = index.execute("SELECT id FROM jobs WHERE created IS NULL").fetchall()
                rows = index.execute(
                    "SELECT id FROM jobs WHERE created IS NOT NULL ORDER BY created DESC, id DESC"
                ).fetchall()
        except sqlite3.Error:
            return None
        names = [str(other[0]) for other in others]
        if self._are_jobs(names):
            return None
        ids = [str(row[0]) for row in rows]
        self._last = (changed, list(ids), names)
        return ids

    def _read_folders(self) -> dict[str, int | None]:
        """{name: when it was made, None for what is no job}"""
        try:
            names = [name for name in os.listdir(self.root) if FOLDER_ID.fullmatch(name)]
        except FileNotFoundError:  # just being deleted
            return {}
        except OSError as error:
            if is_short_of_means(error):  # nothing is known then, and nothing is to be remembered
                raise
            return {}
        return {name: self._created(name) for name in names}

    def _created(self, name: str) -> int | None:
        """Nanoseconds since the epoch; None for what is no job, is just being deleted, or is somebody else's.

        A folder with a status is one too: what lost its file is not to vanish from the list without a word.
        """
        for file in (self.spec_file, STATUS_FILE):
            try:
                return made_at(name, os.lstat(f"{self.root}/{name}/{file}").st_mtime_ns)
            except OSError:
                continue
        return None

    def _remember(self, found: dict[str, int | None], changed: str) -> None:
        try:
            if not self.path.parent.is_dir():
                self.make_room()  # which changes the folder: what was found is remembered the next time
                return
            if self.path.exists() and not is_regular(self.path):  # SQLite would wait for ever to read of a pipe
                return
            with self._opened() as index:
                self._write(index, found, changed)
        except (sqlite3.OperationalError, OSError):  # locked, or nothing can be written there: it is read again
            return
        except sqlite3.Error:  # damaged: thrown away, and made anew the next time
            with contextlib.suppress(OSError):
                self.path.unlink()

    def _write(self, index: sqlite3.Connection, found: dict[str, int | None], changed: str) -> None:
        index.execute("BEGIN IMMEDIATE")
        for statement in _TABLES:
            index.execute(statement)
        index.executemany("INSERT INTO jobs VALUES (?, ?)", list(found.items()))
        index.execute("INSERT INTO read VALUES (?, ?, ?)", (_VERSION, self.spec_file, changed))
        index.execute("COMMIT")

    @contextlib.contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        index = sqlite3.connect(self.path, timeout=_PATIENCE, isolation_level=None)
        try:
            yield index
        finally:
            index.close()


def _newest_first(found: dict[str, int | None]) -> list[str]:
    jobs = [(created, name) for name, created in found.items() if created is not None]
    return [name for _, name in sorted(jobs, reverse=True)]
