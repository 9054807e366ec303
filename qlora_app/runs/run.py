"""A run is a folder. This file knows its paths, reads it, writes it, and starts nothing.

Every file in it has one writer. What is stored is never trusted alone: a run whose status says
"running" while nobody holds its lock was interrupted.
"""

import contextlib
import fcntl
import json
import os
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field, fields, replace
from datetime import date
from pathlib import Path
from typing import Any

from ..base_models import ModelChoice, fingerprint, folder_of
from ..base_models.cards import BYTES, Decision
from ..errors import UserError
from ..recipe import Recipe
from ..storage.files import (
    append_line,
    process_start,
    read_json,
    read_lines,
    replace_file,
    write_json,
)
from ..tasks import Task, task_from
from ..tasks.template import TRAINED_WITH
from .checkpoints import newest_complete
from .curve import Curve
from .rows import MetricRow, SampleRow

ACTIVE = ("starting", "running", "stopping")
ENDED = ("done", "stopped", "failed", "interrupted")
ALREADY_RUNNING = 73  # exit code of a worker that finds another one holding the lock


@dataclass(frozen=True)
class Status:
    """What the worker last said of a run. `state` as read by Run.status() is corrected by the lock."""

    state: str = "queued"  # queued, starting, running, stopping, done, stopped, failed, interrupted
    step: int = 0
    total: int = 0
    sentence: str = ""  # for people: what is happening, or what went wrong and what to do
    loss: float | None = None
    first_loss: float | None = None
    seconds: float = 0.0  # spent training, without pauses
    seconds_left: float | None = None
    tokens_per_second: float | None = None
    memory_mb: int | None = None
    learning_rate: float | None = None
    epoch: float = 0.0
    held_out_loss: float | None = None
    downloaded: float | None = None  # share of the base model that has arrived, while it is downloading
    warnings: list[str] = field(default_factory=list)

    @property
    def is_active(self) -> bool:
        return self.state in ACTIVE

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def progress(self) -> float | None:
        """From 0 to 1: of the download before the training, else of the training; None while neither is known."""
        return self.downloaded if self.downloaded is not None else self.step / self.total if self.total else None


class Run:
    """One run folder. Reading needs no lock; the methods under "by the worker" are for the lock's holder only."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.adapter = folder / "adapter"
        self.checkpoints = folder / "checkpoints"
        self.best = folder / "best"  # while it trains: the adapter that did best so far
        self.log = folder / "log.txt"

    @property
    def id(self) -> str:
        return self.folder.name

    # ---- read by anybody

    def recipe(self) -> Recipe:
        return Recipe.load(self.folder / "recipe.yaml")

    def base_model(self) -> ModelChoice:
        """The base it is trained on: that of the recipe, pinned to the commit it was downloaded at and to the type it
        computes in.
        """
        chosen, decided = self.recipe().base_model, self.computes_in()
        commit = (read_json(self.folder / "base.json") or {}).get("commit")
        pinned = {"revision": commit} if commit else {}
        return chosen.model_copy(update=pinned | ({"compute_type": decided.taken} if decided else {}))

    def computes_in(self) -> Decision | None:
        """The type of number it began with and keeps, and why; None before its first start, and of runs from before
        this was kept.
        """
        known = read_json(self.folder / "compute.json")
        if not isinstance(known, dict) or known.get("type") not in BYTES:
            return None
        return Decision(known["type"], str(known.get("why", "")))

    def check_base(self) -> bool:
        """Is the base known, and has it the weights the run began with? False before its first start.

        Raises UserError where the weights are others: the adapter would answer nonsense, without a word.
        """
        choice, known = self.base_model(), (read_json(self.folder / "base.json") or {}).get("weights")
        if known and fingerprint(folder_of(choice)) != known:
            raise UserError(
                "run.base_changed",
                "The weights of {title} are not those this run was trained on, so its adapter does not fit them any "
                "more. Bring the old ones back, or start a new run with the same settings.",
                title=choice.title,
            )
        return bool(known)

    def task(self) -> Task:
        """What it learns, with the labels its data had when it began."""
        return task_from(read_json(self.folder / "task.json"), self.recipe().task)

    def began(self) -> str:
        """The day it was first started, as an ISO date; today for a run that was not yet, or by an earlier version."""
        return (read_json(self.folder / "task.json") or {}).get("began") or date.today().isoformat()

    def trained_with(self) -> dict[str, Any]:
        """{date, thinking, system}: how its examples ask, as its newest adapter has it."""
        adapter = self.newest_adapter()
        settings = read_json(adapter / "tokenizer_config.json") if adapter else None
        return (settings or {}).get(TRAINED_WITH) or {}

    def detected_data(self) -> tuple[str, str | None]:
        """(format of its data, the column that answers), as they were recognised; "auto" for runs that do not know."""
        known = read_json(self.folder / "task.json") or {}
        return known.get("format") or "auto", known.get("answer")

    def not_learned(self) -> list[dict[str, Any]]:
        """[{part, row, reason}] of the rows of which nothing, or not every answer, is learned."""
        return read_json(self.folder / "not_learned.json") or []

    def status(self) -> Status:
        """The state as it is now: what the worker wrote, corrected by whether a worker lives."""
        alive = self.is_alive()  # asked first: a worker's last word comes before it lets go of the lock
        stored = self._stored_status()
        if alive:
            state = "stopping" if stored.state in ("starting", "running") and self.is_asked("stop") else stored.state
            return replace(stored, state="starting" if state in ("queued", *ENDED) else state)
        if self.is_asked("start"):
            return replace(stored, state="queued", sentence="Waiting for its turn.")
        if stored.state in ("queued", *ACTIVE):
            return self._status_without_worker(stored)
        return stored

    def _status_without_worker(self, stored: Status) -> Status:
        if self.is_launcher_alive():
            return replace(stored, state="starting", sentence="Loading the training program.")
        if not (self.folder / "launch.json").exists():
            return replace(
                stored, state="stopped", sentence="It was taken out of the queue before it began. Resume starts it."
            )
        saved = newest_complete(self.checkpoints, deep=False)
        hint = f"Resume goes on from step {saved.name.rpartition('-')[2]}." if saved else "Resume starts it again."
        return replace(
            stored,
            state="interrupted",
            sentence=f"The training program ended without a word. {hint} The log has its last lines.",
        )

    def _stored_status(self) -> Status:
        values = read_json(self.folder / "status.json") or {}
        known = {f.name for f in fields(Status)}
        return Status(**{k: v for k, v in values.items() if k in known})

    def is_alive(self) -> bool:
        """Does a worker hold the lock? The only proof of life: process ids are reused, status files stay behind."""
        try:
            with open(self.folder / "lock", "rb") as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            return False
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True

    def is_launcher_alive(self) -> bool:
        """Is the process named in launch.json still the one that was started? (It may not have taken the lock yet.)"""
        launch = read_json(self.folder / "launch.json")
        return bool(launch) and launch["started"] is not None and process_start(launch["pid"]) == launch["started"]

    def launched_at(self) -> float | None:
        """When its worker was last started (seconds since the epoch); None before that."""
        launch = self.folder / "launch.json"
        return launch.stat().st_mtime if launch.exists() else None

    def metrics(self, after: int = 0) -> tuple[list[MetricRow], int]:
        """(rows logged since byte `after`, offset for the next call). A half-written last line waits for the next
        call.
        """
        return read_lines(self.folder / "metrics.jsonl", after)

    def curve(self) -> Curve:
        """The loss curve as at most 2,000 buckets, however long the run: the stored curve plus the newest metric
        lines.
        """
        curve = Curve.from_dict(read_json(self.folder / "curve.json") or {})
        for row in self.metrics(curve.offset)[0]:
            curve.add(row)
        return curve

    def samples(self) -> list[SampleRow]:
        """Oldest first."""
        return read_lines(self.folder / "samples.jsonl", 0)[0]

    def log_tail(self, size: int = 8000) -> str:
        """The last `size` bytes of the worker's log, from a line's beginning."""
        try:
            with open(self.log, "rb") as log:
                log.seek(max(0, os.path.getsize(self.log) - size))
                text = log.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return ""
        return text if len(text) < size else text.partition("\n")[2]

    def proof(self) -> dict[str, Any] | None:
        """The finished run's proof.json; None while there is none."""
        return read_json(self.adapter / "proof.json")

    def newest_adapter(self) -> Path | None:
        """The folder to chat with: the finished adapter, else the newest complete checkpoint, else None.

        Of a checkpoint only the sizes are compared: this is asked for every run of a list, and gigabytes are not read
        for that.
        """
        return self.adapter if (self.adapter / "proof.json").exists() else newest_complete(self.checkpoints, deep=False)

    def size(self) -> int:
        """Bytes on disk."""
        return sum(p.stat().st_size for p in self.folder.rglob("*") if p.is_file())

    # ---- wishes: one small file each, by the page or the command line

    def ask(self, wish: str) -> None:
        """Leave a wish: start, stop (finish the step and save), stop-now (after the step, nothing saved).

        The last wish wins: a stop takes back a start nobody has followed yet, a start takes back an old stop.
        """
        if wish == "start":
            self.forget_stop()
        elif self.take("start"):
            return
        (self.folder / "requests").mkdir(exist_ok=True)
        (self.folder / "requests" / wish).touch()

    def forget_stop(self) -> None:
        for wish in ("stop", "stop-now"):
            self.take(wish)

    def is_asked(self, wish: str) -> bool:
        return (self.folder / "requests" / wish).exists()

    def take(self, wish: str) -> bool:
        """Remove a wish; True for exactly one of all who try."""
        try:
            (self.folder / "requests" / wish).unlink()
        except FileNotFoundError:
            return False
        return True

    # ---- by the launcher

    def launched(self, pid: int) -> None:
        write_json(self.folder / "launch.json", {"pid": pid, "started": process_start(pid)})

    # ---- by the worker

    @contextlib.contextmanager
    def hold_lock(self) -> Iterator[None]:
        """Hold the run for as long as the worker lives. Raises BlockingIOError when another worker has it.

        Readers take the lock for an instant to see whether it is free, hence the retries.
        """
        lock = os.open(self.folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        for attempt in range(40):
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if attempt == 39:
                    os.close(lock)
                    raise
                time.sleep(0.05)
        try:
            yield
        finally:
            fcntl.flock(
                lock, fcntl.LOCK_UN
            )  # closing is not enough while a process forked elsewhere has not yet become another program
            os.close(lock)

    def write_status(self, status: Status, lasting: bool = True) -> None:
        write_json(self.folder / "status.json", asdict(status), lasting)

    def write_base(self, commit: str = "") -> None:
        """Which weights this run is trained on, and their commit on the Hub: a branch moves on, and an adapter fits one
        base only.
        """
        chosen = self.recipe().base_model
        pinned = chosen.model_copy(update={"revision": commit}) if commit else chosen
        write_json(self.folder / "base.json", {"commit": commit, "weights": fingerprint(folder_of(pinned))})

    def write_compute(self, decided: Decision) -> None:
        """Another type would be another run: resumed on another machine, or asked there, it keeps this one."""
        write_json(self.folder / "compute.json", {"type": decided.taken, "why": decided.why})

    def write_task(self, task: Task, began: str, format: str, answer: str | None) -> None:
        """What it learns: a label is known to the adapter by its number only, and the data may be gone one day.

        began: the day it was first started, which is the date in its prompts. format, answer: what its data were
        recognised as, and the column that answers.
        """
        known = {"name": task.name, "labels": list(task.labels), "began": began, "format": format, "answer": answer}
        write_json(self.folder / "task.json", known)

    def write_not_learned(self, rows: list[dict[str, Any]]) -> None:
        """The rows of which nothing, or not every answer, is learned: [{part, row, reason}]."""
        write_json(self.folder / "not_learned.json", rows)

    def append_metric(self, row: MetricRow) -> int:
        """Returns the file's size after the line: where the next line begins."""
        return append_line(self.folder / "metrics.jsonl", row)

    def append_sample(self, row: SampleRow) -> None:
        append_line(self.folder / "samples.jsonl", row)

    def write_curve(self, curve: Curve) -> None:
        """Not waited for: what a power cut took of it is in metrics.jsonl."""
        write_json(self.folder / "curve.json", curve.to_dict(), lasting=False)

    def forget_after(self, step: int) -> Curve:
        """Drop what was logged after `step` (a resumed run logs it again); returns the curve of what is left."""
        curve = Curve()
        for name in ("metrics.jsonl", "samples.jsonl"):
            path = self.folder / name
            rows = [row for row in read_lines(path, 0)[0] if row.get("step", 0) <= step]
            if path.exists():
                replace_file(path, "".join(json.dumps(row) + "\n" for row in rows))
            if name == "metrics.jsonl":
                for row in rows:
                    curve.add(row)
                curve.offset = path.stat().st_size if path.exists() else 0
        self.write_curve(curve)
        return curve
