"""All sweeps below one folder, each a folder with sweep.json, written once, and decisions.jsonl, whose only writer is
who leads the queue.
"""

import contextlib
import functools
import os
import re
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path
from typing import Any

from ..errors import Problem, UserError
from ..jobs import Job
from ..jobs.status import ENDED
from ..runs import Run, RunStore
from ..runs.labels import LONGEST_TAG, relabel
from ..runs.summary import RunSummary, summary_of
from ..storage.disk import said
from ..storage.files import FOLDER_ID, append_line, write_json
from ..storage.reading import read_lines
from ..storage.typed import filled, misfits
from .halving import Decision, Halving, goes_on, loss_at
from .plan import Plan
from .ranking import RankedRun, ranked
from .spec import SPEC_FILE, SweepSpec, Trained, spec_at

DECISIONS = "decisions.jsonl"
_OF_OTHERS = ("base_model", "dataset", "task")  # groups whose change makes another loss of the same answers
_MEASURED_ON = ("training.max_length", "training.measured_examples")  # which held-out tokens the loss is of


class Sweep:
    """One sweep folder. Reading needs no lock."""

    def __init__(self, folder: Path, runs: RunStore) -> None:
        self.folder, self._runs = folder, runs

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def name(self) -> str:
        return self.spec().name or self.id

    def spec(self) -> SweepSpec:
        """As it was started, as far as that can be read."""
        return spec_at(self.folder)[0]

    def damage(self) -> Problem | None:
        """What is wrong with its file; None where nothing is."""
        return spec_at(self.folder)[1]

    def members(self) -> list[tuple[str, dict[str, Any]]]:
        """[(id of the run, {dotted setting: value})] in the order in which they were put in line."""
        return [(one.run, dict(one.values)) for one in self.spec().members]

    @property
    def halving(self) -> Halving | None:
        return self.spec().halving

    def runs(self) -> list[Run]:
        """Those that are still there."""
        found = []
        for id, _ in self.members():
            with contextlib.suppress(UserError):
                found.append(self._runs.get(id))
        return found

    def decisions(self) -> list[Decision]:
        """What halving decided, oldest first."""
        rows: list[Any] = read_lines(self.folder / DECISIONS, 0)[0]
        return [filled(Decision, row) for row in rows if isinstance(row, dict) and _is_decision(row)]

    def ranked(self, row_of: Callable[[str], RunSummary | None] | None = None) -> list[RankedRun]:
        """Its runs, the best first. row_of: the row of a run, where somebody keeps them (`Summaries`)."""
        stopped = {one.run: one for one in self.decisions() if not one.goes_on}
        return ranked(self.members(), row_of or self._row, stopped)

    def has_ended(self) -> bool:
        """Does none of its runs wait or train any more?"""
        return all(run.status().state in ENDED for run in self.runs())

    def stop(self) -> None:
        """Its waiting runs leave the queue, and what trains is saved and ends."""
        for run in self.runs():
            if run.status().state not in ENDED:
                run.request("stop")

    def _row(self, id: str) -> RunSummary | None:
        try:
            return summary_of(self._runs.get(id))
        except (UserError, OSError):
            return None

    # ---- by who leads the queue

    def judge(self, run: Run) -> None:
        """Stop a run that is not among the best at a share of its steps that it has come to. Decided once for each
        share and kept: after a restart the same runs are stopped. One that somebody resumed is left alone.
        """
        halving = self.halving
        if halving is None:
            return
        decisions = self.decisions()
        if any(one.run == run.id and not one.goes_on for one in decisions):
            return
        status = run.status()
        for when in sorted(halving.when):
            is_decided = any(one.run == run.id and one.when == when for one in decisions)
            if is_decided or not status.total or status.step < when * status.total:
                continue
            found = loss_at(run, when, status.total)
            if found is None:
                continue
            decisions += self._those_that_went_on(run, when, decisions)
            losses = [one.loss for one in decisions if one.when == when]
            has_trained = status.step >= status.total  # nothing is left to stop: it is being proven
            stays = has_trained or goes_on(found[1], losses, halving.keep)
            decision = Decision(run.id, when, *found, len(losses), stays)
            append_line(self.folder / DECISIONS, asdict(decision))
            decisions.append(decision)
            if not decision.goes_on:
                run.request("stop")
                return

    def _those_that_went_on(self, judged: Run, when: float, decisions: Sequence[Decision]) -> list[Decision]:
        """Runs that came past this share while nobody led the queue: they count too, and are not stopped any more."""
        known = {one.run for one in decisions if one.when == when}
        found: list[Decision] = []
        for run in self.runs():
            if run.id in known or run.id == judged.id or not run.status().has_ended:
                continue
            measured = loss_at(run, when, run.status().total)
            if measured is not None:
                decision = Decision(run.id, when, *measured, len(known) + len(found), True)
                append_line(self.folder / DECISIONS, asdict(decision))
                found.append(decision)
        return found


class Sweeps:
    """All sweeps of an installation."""

    def __init__(self, root: Path, runs: RunStore) -> None:
        self.root, self._runs = root, runs

    def list(self) -> list[Sweep]:
        """Newest first."""
        every = [Sweep(self.root / id, self._runs) for id in _ids(self.root, _written(self.root))]
        there = [sweep for sweep in every if os.path.lexists(sweep.folder / SPEC_FILE)]
        return sorted(there, key=lambda sweep: sweep.spec().made, reverse=True)

    def get(self, id: str) -> Sweep:
        """Raises UserError for what names none."""
        if not FOLDER_ID.fullmatch(id or "") or not os.path.lexists(self.root / id / SPEC_FILE):
            raise UserError("sweep.not_there", "There is no sweep {id!r}. It may have been deleted.", id=id)
        return Sweep(self.root / id, self._runs)

    def of_run(self, run: str) -> Sweep | None:
        """The sweep that a run belongs to."""
        for sweep in self.list():
            if any(id == run for id, _ in sweep.members()):
                return sweep
        return None

    def start(self, plan: Plan, halving: Halving | None = None, name: str = "") -> Sweep:
        """Make its runs and put them in line, in their order. They wait until a queue is looked after.

        Raises UserError where the disk refuses, and where halving has nothing to go by; then no run is left.
        """
        if halving is not None:
            check_halving(plan, halving)
        words = name or f"{plan.base.title}: {', '.join(one.rpartition('.')[2] for one in plan.given)}"
        with said(self.root):
            self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
            folder = _new_folder(self.root, words)
        made: list[Run] = []
        try:
            for member in plan.members:
                made.append(self._runs.create(member.recipe, lambda run: _tag(run, folder.name)))
            spec = SweepSpec(
                name=words,
                made=time.time(),
                recipe=plan.base.model_dump(mode="json"),
                values=plan.given,
                sample=plan.sample,
                seed=plan.seed,
                halving=halving,
                members=tuple(Trained(run.id, one.values) for run, one in zip(made, plan.members, strict=True)),
            )
            with said(folder):
                write_json(folder / SPEC_FILE, spec.to_json())
        except BaseException:
            for run in made:
                with contextlib.suppress(UserError, OSError):
                    self._runs.delete(run.id)
            with contextlib.suppress(OSError):
                folder.rmdir()
            raise
        for run in made:
            run.request("start")
        return Sweep(folder, self._runs)

    def look(self, moving: Sequence[Job]) -> None:
        """Judge what trains; by who leads the queue, which hands over what moves."""
        for job in moving:
            if isinstance(job, Run) and job.is_alive():
                sweep = self.of_run(job.id)
                if sweep is not None:
                    sweep.judge(job)


def check_halving(plan: Plan, halving: Halving) -> None:
    """Raises UserError where the held-out losses of the runs cannot be compared, or are not measured in time."""
    others = [name for name in plan.given if name.partition(".")[0] in _OF_OTHERS or name in _MEASURED_ON]
    if others:
        raise UserError(
            "sweep.losses_not_comparable",
            "Runs with another {setting} have losses that cannot be compared, so none can be stopped early.",
            setting=others[0],
        )
    if not halving.when or not all(0 < when < 1 for when in halving.when):
        raise UserError("sweep.when_is_no_share", "Runs are judged at shares of their steps between 0 and 1.")
    if not plan.holds_out:
        raise UserError.at(
            "dataset.held_out_share",
            "sweep.nothing_held_out",
            "Runs are judged by their held-out loss, and of these data nothing is held out.",
        )
    for member in plan.members:
        evaluations = member.recipe.training.evaluations
        if evaluations * (1 - max(halving.when)) < 1:
            raise UserError.at(
                "training.evaluations",
                "sweep.not_measured_in_time",
                "To judge a run at {when:.0%} of its steps, its held-out loss must be measured after that and before "
                "the end: {count} measurements are too few.",
                when=max(halving.when),
                count=evaluations,
            )


def _tag(run: Run, sweep: str) -> None:
    relabel(run, add_tags=[_tag_of(sweep)])


def _tag_of(sweep: str) -> str:
    """The day is left out: "sweep 1530-helper-rank"."""
    return f"sweep {sweep[11:]}"[:LONGEST_TAG].strip()


def _new_folder(root: Path, words: str) -> Path:
    dashed = re.sub(r"[^a-z0-9]+", "-", words.lower()).strip("-")[:40].strip("-")
    stem = f"{datetime.now():%Y-%m-%d-%H%M}-{dashed or 'sweep'}"
    number = 1
    while True:
        folder = root / (stem if number == 1 else f"{stem}-{number}")
        try:
            folder.mkdir(mode=0o700)
            return folder
        except FileExistsError:
            number += 1


def _is_decision(row: dict[str, Any]) -> bool:
    names = {part.name for part in fields(Decision)}
    return names <= row.keys() and not misfits(Decision, row)


def _written(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:
        return 0


@functools.lru_cache(maxsize=8)
def _ids(root: Path, written: int) -> tuple[str, ...]:
    try:
        return tuple(one.name for one in root.iterdir() if FOLDER_ID.fullmatch(one.name))
    except OSError:
        return ()
