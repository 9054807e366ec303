"""The rows of all runs, kept up to date at the cost of those that change: thousands lie still.

They are remembered in a file of SQLite beside the index of the runs. It may be deleted at any time: then every run is
read once more. What it says counts only while a run's files are as they were when its row was made.
"""

import contextlib
import json
import os
import sqlite3
import threading
import time
from collections.abc import Callable, Iterable
from dataclasses import asdict, fields
from pathlib import Path
from typing import Any

import orjson

from ..jobs.index import INDEX_FOLDER
from ..jobs.turn import ASKED_FILE
from ..storage.reading import is_regular
from .run import Run
from .store import RunStore
from .summary import RunSummary, mark_of, summary_of

FILE = "rows.sqlite"
REMEMBERED = 0.5  # seconds in which everybody who asks is told the same
CHECKED_AT_ONCE = 500  # runs at rest whose files are looked at each time, in turn
READ_AT_ONCE = 0.25  # seconds of reading rows that one look may take; the rest comes with the next ones
TRIED_AGAIN = 20.0  # seconds until a run that could not be read is read once more: what was wrong may have passed
_VERSION = 3
_NAMES = {one.name for one in fields(RunSummary)}
_PATIENCE = 0.2  # seconds to wait for another process that writes the file
Otherwise = Callable[[Run, Exception], RunSummary]


class Summaries:
    """All rows. Every method may be called from several threads."""

    def __init__(self, store: RunStore, otherwise: Otherwise | None = None) -> None:
        """otherwise: the row of a run that cannot be shown, from what went wrong; without it that is raised."""
        self.store = store
        # Larger after every look that found anything new, and than any of an app that ran here before: pages stay open.
        self.revision = time.time_ns() // 1000
        self.unread = 0  # runs whose row was not made yet
        self._otherwise = otherwise
        self._lock = threading.Lock()
        self._rows: dict[str, RunSummary] = {}
        self._marks: dict[str, str] = {}
        self._changed: dict[str, int] = {}  # the revision in which a row became what it is
        self._unread_since: dict[str, float] = {}  # when a run could not be read
        self._ids: list[str] = []
        self._all: list[RunSummary] | None = None
        self._next, self._looked, self._asked = 0, float("-inf"), -1
        self._unsaved: set[str] = set()
        self._is_loaded = False

    def rows(self) -> list[RunSummary]:
        """Newest first, as of at most half a second ago; the list is not to be changed."""
        with self._lock:
            if time.monotonic() - self._looked >= REMEMBERED:
                self._look()
                self._looked = time.monotonic()
            if self._all is None:
                self._all = [self._rows[id] for id in self._ids if id in self._rows]
            return self._all

    def look_again(self) -> None:
        """The next who asks is told how it is then: something was changed from here."""
        with self._lock:
            self._looked, self._asked = float("-inf"), -1

    def changed_in(self, id: str) -> int:
        """The revision in which a row became what it is."""
        return self._changed.get(id, 0)

    def active(self) -> list[RunSummary]:
        """Those at work, newest first."""
        return [row for row in self.rows() if row.is_active]

    # ---- looking

    def _look(self) -> None:
        if not self._is_loaded:
            self._is_loaded = True
            self._load()
            self._asked = _written(self.store.root / ASKED_FILE)  # who opens the list waits for the newest only
        ids = self.store.ids()
        if ids != self._ids:
            self._take_ids(ids)
        deadline = time.monotonic() + READ_AT_ONCE
        for id in self._to_check():
            self._check(id)
        self._read_on(deadline)
        if self._unsaved:
            self._save()

    def _take_ids(self, ids: list[str]) -> None:
        there = set(ids)
        for id in [id for id in self._rows if id not in there]:
            self._unsaved.add(id)
            for kept in (self._rows, self._marks, self._changed, self._unread_since):
                kept.pop(id, None)
        self._ids, self._all = ids, None
        self.revision += 1

    def _to_check(self) -> list[str]:
        """Those at work, and of the others some in turn; all after one of them was asked to start."""
        asked = _written(self.store.root / ASKED_FILE)
        if asked != self._asked or len(self._ids) <= CHECKED_AT_ONCE:
            self._asked = asked
            return self._ids
        begin = self._next if self._next < len(self._ids) else 0
        self._next = begin + CHECKED_AT_ONCE
        active = [id for id, row in self._rows.items() if row.is_active]
        return [*active, *self._ids[begin : begin + CHECKED_AT_ONCE]]

    def _check(self, id: str) -> None:
        row = self._rows.get(id)
        if row is None:
            return
        run = self.store.at(id)
        mark = mark_of(run)
        since = self._unread_since.get(id)
        is_due = since is not None and time.monotonic() - since >= TRIED_AGAIN
        if row.is_active or is_due or mark != self._marks.get(id):
            self._read(run, mark)

    def _read_on(self, deadline: float) -> None:
        missing = [id for id in self._ids if id not in self._rows]
        read = 0
        for id in missing:
            if read and time.monotonic() > deadline:
                break
            run = self.store.at(id)
            self._read(run, mark_of(run))
            read += 1
        self.unread = len(missing) - read

    def _read(self, run: Run, mark: str) -> None:
        """The mark was taken before: a change meanwhile is seen the next time."""
        row, is_read = self._row(run)
        self._marks[run.id] = mark
        self._unread_since.pop(run.id, None)
        if not is_read:
            self._unread_since[run.id] = time.monotonic()
            self._unsaved.discard(run.id)
        if row == self._rows.get(run.id):
            return
        self.revision += 1
        self._rows[run.id], self._changed[run.id], self._all = row, self.revision, None
        if is_read and not row.is_active:
            self._unsaved.add(run.id)

    def _row(self, run: Run) -> tuple[RunSummary, bool]:
        """(its row, is that read from its folder?)"""
        try:
            return summary_of(run), True
        except Exception as error:  # folders are anybody's: the others are shown all the same
            if self._otherwise is None:
                raise
            return self._otherwise(run, error), False

    # ---- what is remembered

    @property
    def _path(self) -> Path:
        return self.store.root / INDEX_FOLDER / FILE

    def _load(self) -> None:
        if not is_regular(self._path):
            return
        with contextlib.suppress(sqlite3.Error, ValueError, TypeError), self._opened() as index:
            if index.execute("SELECT version FROM made").fetchone() != (_VERSION,):
                return
            found = index.execute("SELECT id, mark, row FROM rows").fetchall()
            rows = {str(id): (str(mark), _row_from(row)) for id, mark, row in found}
            self._marks = {id: mark for id, (mark, _) in rows.items()}
            self._rows = {id: row for id, (_, row) in rows.items()}
            self.revision += 1
            self._changed = dict.fromkeys(self._rows, self.revision)

    def _save(self) -> None:
        """Where that fails the rows are read again by the next app: nothing is lost."""
        if not self._path.parent.is_dir() or (os.path.lexists(self._path) and not is_regular(self._path)):
            return
        try:
            with self._opened() as index:
                index.execute("BEGIN IMMEDIATE")
                index.execute("CREATE TABLE IF NOT EXISTS made (version INTEGER)")
                index.execute("CREATE TABLE IF NOT EXISTS rows (id TEXT PRIMARY KEY, mark TEXT, row TEXT)")
                if index.execute("SELECT version FROM made").fetchone() != (_VERSION,):
                    index.execute("DELETE FROM made")
                    index.execute("DELETE FROM rows")
                    index.execute("INSERT INTO made VALUES (?)", (_VERSION,))
                self._write(index, self._unsaved)
                index.execute("COMMIT")
        except (sqlite3.OperationalError, OSError):
            return  # another process writes it, or nothing can be written there: tried again later
        except sqlite3.Error:  # damaged
            with contextlib.suppress(OSError):
                self._path.unlink()
        self._unsaved = set()

    def _write(self, index: sqlite3.Connection, ids: Iterable[str]) -> None:
        for id in ids:
            row = self._rows.get(id)
            if row is None:
                index.execute("DELETE FROM rows WHERE id = ?", (id,))
                continue
            index.execute("REPLACE INTO rows VALUES (?, ?, ?)", (id, self._marks.get(id, ""), json.dumps(asdict(row))))

    @contextlib.contextmanager
    def _opened(self) -> Any:
        index = sqlite3.connect(self._path, timeout=_PATIENCE, isolation_level=None)
        index.execute("PRAGMA synchronous = OFF")  # what a power cut takes is read again
        try:
            yield index
        finally:
            index.close()


def _row_from(text: str) -> RunSummary:
    """Raises ValueError or TypeError for what another version wrote."""
    values = orjson.loads(text)
    if values.keys() != _NAMES:
        raise ValueError("Another version wrote it.")
    return RunSummary(**values | {"spark": tuple(values["spark"]), "tags": tuple(values["tags"])})


def _written(path: Path) -> int:
    try:
        return os.stat(path).st_mtime_ns
    except OSError:
        return 0
