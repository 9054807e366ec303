"""A run is the job that trains: what it learns, from what, how far it is, and what came of it.

Every file in its folder has one writer: Run reads, and RunWriter, which is had with the lock only, writes.
"""

import contextlib
from collections.abc import Iterator
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any, ClassVar

from ..base_models import ModelChoice, fingerprint, folder_of
from ..base_models.cards import BYTES, Decision
from ..errors import Problem, UserError
from ..jobs import Job, JobWriter, State, Status
from ..jobs.job import PLACE_FILE, Needs
from ..jobs.lock import HeldLock, hold_lock
from ..place import Place
from ..recipe import Recipe
from ..storage.reading import LARGEST, LARGEST_LIST, damage, each_line, is_regular, last_lines, read_json, read_lines
from ..storage.typed import filled
from ..tasks import Task, task_from
from ..tasks.template import TRAINED_WITH
from .checkpoints import in_order, is_complete, newest_complete, step_of
from .curve import Curve, read_on
from .events import Event, event_row, said_of
from .labels import LABELS, labels_of
from .recipes import ReadRecipe, read_recipe
from .rows import AskedRow, MetricRow, SampleRow, keep_until

NOT_LEARNED = "not_learned.json"
EXPORTS = "exports"
HELD_OUT_ANSWERS = "held_out_answers.json"
GENERAL_ANSWERS = "general_answers.json"
# What they hold; None for what is no one JSON.
FILES: dict[str, type | None] = {
    "base.json": dict,
    "compute.json": dict,
    "task.json": dict,
    NOT_LEARNED: list,
    HELD_OUT_ANSWERS: list,
    GENERAL_ANSWERS: list,
    "curve.json": dict,
    "figures.json": dict,
    LABELS: dict,
    "metrics.jsonl": None,
    "samples.jsonl": None,
    "asked.jsonl": None,
    "events.jsonl": None,
    "relief.json": dict,
    "lost.json": dict,
    "merge.json": dict,
    "reported.json": dict,
    "adapter/proof.json": dict,
    PLACE_FILE: dict,
    "processes.json": dict,
}


@dataclass(frozen=True)
class RunStatus(Status):
    """How a training stands: `step` of `total` optimizer steps, and its newest figures."""

    loss: float | None = None
    first_loss: float | None = None
    tokens_per_second: float | None = None
    tokens: int | None = None  # learned from in all parts of the run; None where an earlier version did not count
    memory_mb: int | None = None
    learning_rate: float | None = None
    epoch: float = 0.0
    held_out_loss: float | None = None
    downloaded: float | None = None  # share of the base model that has arrived, while it is downloading

    @property
    def progress(self) -> float | None:
        """From 0 to 1: of the download before the training, else of the training; None while neither is known."""
        return super().progress if self.downloaded is None else self.downloaded


@dataclass(frozen=True)
class Spent:
    """Seconds trained, and tokens learned from."""

    seconds: float = 0.0
    tokens: int = 0


class Run(Job):
    """A job that trains. Reading needs no lock."""

    spec_file: ClassVar[str] = "recipe.yaml"

    @property
    def adapter(self) -> Path:
        """The finished one; there once it is proven."""
        return self.folder / "adapter"

    @property
    def checkpoints(self) -> Path:
        return self.folder / "checkpoints"

    @property
    def best(self) -> Path:
        """While it trains: the adapter that did best so far."""
        return self.folder / "best"

    @property
    def answers(self) -> Path:
        """Jobs, each a file of questions answered by this run."""
        return self.folder / "answers"

    @property
    def exports(self) -> Path:
        """Jobs, each of which makes files of its adapter for other programs."""
        return self.folder / EXPORTS

    @property
    def kind(self) -> str:
        return "train"

    @property
    def needs(self) -> Needs:
        return "machine"

    # ---- read by anybody

    @property
    def title(self) -> str:
        """What it is called: as somebody named it afterwards, else as its recipe says, else its folder."""
        if name := labels_of(self).name:
            return name
        read = self.read_recipe()
        return read.recipe.title if not read.problem or read.recipe.name else self.id

    def recipe(self) -> Recipe:
        return Recipe.load(self.folder / "recipe.yaml")

    def place(self) -> Place:
        """Where it is trained: as its recipe says, until somebody resumes it elsewhere."""
        moved = (self.folder / PLACE_FILE).exists()
        return super().place() if moved else self.read_recipe().recipe.launch

    def read_recipe(self) -> ReadRecipe:
        """The recipe as far as it can be read, for showing the run."""
        return read_recipe(self.folder / self.spec_file)

    def base_model(self) -> ModelChoice:
        """The base it is trained on: that of the recipe, pinned to the commit it was downloaded at and to the type it
        computes in.
        """
        chosen, decided = self.recipe().base_model, self.computes_in()
        commit = (read_json(self.folder / "base.json") or {}).get("commit")
        pinned = {"revision": commit} if commit and isinstance(commit, str) else {}
        return chosen.model_copy(update=pinned | ({"compute_type": decided.taken} if decided else {}))

    def computes_in(self) -> Decision | None:
        """The type of number it began with and keeps, and why; None before its first start, and of runs from before
        this was kept.
        """
        known = read_json(self.folder / "compute.json") or {}
        if str(known.get("type")) not in BYTES:
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
        return task_from(read_json(self.folder / "task.json"), self.read_recipe().recipe.task)

    def began(self) -> str:
        """The day it was first started, as an ISO date; today for a run that was not yet, or by an earlier version."""
        began = (read_json(self.folder / "task.json") or {}).get("began")
        return began if began and isinstance(began, str) else date.today().isoformat()

    def trained_with(self) -> dict[str, Any]:
        """{date, thinking, system}: how its examples ask, as its newest adapter has it."""
        adapter = self.newest_adapter()
        settings = read_json(adapter / "tokenizer_config.json") if adapter else None
        known = (settings or {}).get(TRAINED_WITH)
        return known if isinstance(known, dict) else {}

    def detected_data(self) -> tuple[str, str | None]:
        """(format of its data, the column that answers), as they were recognised; "auto" for runs that do not know."""
        known = read_json(self.folder / "task.json") or {}
        format, answer = known.get("format"), known.get("answer")
        return str(format or "auto"), answer if isinstance(answer, str) else None

    def not_learned(self) -> list[dict[str, Any]]:
        """[{part, row, reason}] of the rows of which nothing, or not every answer, is learned."""
        known = read_json(self.folder / NOT_LEARNED, list, LARGEST_LIST) or []
        return [row for row in known if isinstance(row, dict)]

    def status(self) -> RunStatus:
        """The state as it is now: what the worker said, corrected by whether a worker lives."""
        return self._corrected(RunStatus)

    def last_word(self) -> RunStatus:
        return self._stored_status(RunStatus)

    def loading_words(self) -> str:
        return "Loading the training program."

    def interrupted_words(self) -> str:
        saved = newest_complete(self.checkpoints, deep=False)
        hint = f"Resume goes on from step {saved.name.rpartition('-')[2]}." if saved else "Resume starts it again."
        return f"The training program ended without a word. {hint} The log has its last lines."

    def metrics(self, after: int = 0) -> tuple[list[MetricRow], int]:
        """(rows logged since byte `after`, offset for the next call). A half-written last line waits for the next
        call.
        """
        return read_lines(self.folder / "metrics.jsonl", after)

    def first_and_last_loss(self) -> tuple[MetricRow, MetricRow]:
        """The first and the last line of a step's loss; empty ones where there is none."""
        metrics = self.folder / "metrics.jsonl"
        if not metrics.is_file():
            return {}, {}
        first: Any = next(filter(_has_loss, (row for row, _ in each_line(metrics))), {})
        losses: list[Any] = list(filter(_has_loss, last_lines(metrics)))
        return first, losses[-1] if losses else {}

    def curve(self, with_figures: bool = False) -> Curve:
        """The loss curve as at most 2,000 buckets, however long the run: the stored curve plus the newest metric
        lines. `with_figures`: of an older run its other figures too, for which all its lines are read once.
        """
        others = read_json(self.folder / "figures.json") if with_figures else None
        stored = Curve.from_dict(read_json(self.folder / "curve.json") or {}, others)
        return read_on(stored, self.folder / "metrics.jsonl", with_figures)

    def samples(self) -> list[SampleRow]:
        """The sample questions with their answers, oldest first; step 0 is the base before training."""
        return read_lines(self.folder / "samples.jsonl", 0)[0]

    def asked(self) -> list[AskedRow]:
        """What was asked while it trained, with the answers, oldest first."""
        rows: list[AskedRow] = read_lines(self.folder / "asked.jsonl", 0)[0]
        return rows

    def events(self) -> list[Event]:
        """What happened on its way that somebody should know, oldest first."""
        rows: list[Any] = read_lines(self.folder / "events.jsonl", 0)[0]
        return [row for row in rows if said_of(row)]

    def lost(self) -> Spent:
        """What was spent on steps that were not saved and had to be trained once more; no metrics have it any more."""
        return filled(Spent, read_json(self.folder / "lost.json") or {})

    def proof(self) -> dict[str, Any] | None:
        """The finished run's proof.json; None while there is none."""
        return read_json(self.adapter / "proof.json")

    def newest_adapter(self) -> Path | None:
        """The folder to chat with: the finished adapter, else the newest complete checkpoint, else None.

        Of a checkpoint only the sizes are compared: this is asked for every run of a list, and gigabytes are not read
        for that.
        """
        if is_regular(self.adapter / "proof.json"):
            return self.adapter
        return newest_complete(self.checkpoints, deep=False)

    def saved_steps(self) -> list[int]:
        """Of the complete checkpoints, newest first."""
        return [step_of(folder) for folder in in_order(self.checkpoints) if is_complete(folder, deep=False)]

    def adapter_at(self, step: int | None) -> Path | None:
        """The folder of a checkpoint; that of the newest adapter where no step is said. None where it is not there."""
        if step is None:
            return self.newest_adapter()
        folder = self.checkpoints / f"checkpoint-{step}"
        return folder if is_complete(folder, deep=False) else None

    def damages(self) -> list[Problem]:
        wrong = [damage(self.folder / name, kind, _most(name)) for name, kind in FILES.items()]
        recipe = self.read_recipe().problem
        return [*super().damages(), *filter(None, [recipe, *wrong])]

    def _wrong_spec(self) -> list[Problem]:
        return []  # its recipe's own sentence is said with the rest

    def _is_finished(self) -> bool:
        return self.proof() is not None

    # ---- by the worker

    def hold(self) -> AbstractContextManager["RunWriter"]:
        """Take the lock, and with it the only writer of the folder, until the end of the `with`.

        Raises BlockingIOError when another worker has it.
        """
        return self._hold_run()

    @contextlib.contextmanager
    def _hold_run(self) -> Iterator["RunWriter"]:
        with hold_lock(self.folder / "lock") as lock:
            yield RunWriter(self, lock)


def _most(name: str) -> int:
    return LARGEST_LIST if FILES[name] is list else LARGEST


def _has_loss(row: Any) -> bool:
    return isinstance(row, dict) and "loss" in row


class RunWriter(JobWriter):
    """The one writer of a run's files."""

    status: RunStatus

    def __init__(self, run: Run, lock: HeldLock) -> None:
        super().__init__(run.folder, lock, RunStatus("starting"))
        self.run = run

    def end(self, state: State, sentence: str) -> None:
        """The last word: neither is any time left, nor is anything still arriving."""
        self.status = replace(self.status, downloaded=None)
        super().end(state, sentence)

    # ---- what it is

    def write_base(self, commit: str = "") -> None:
        """Which weights this run is trained on, and their commit on the Hub: a branch moves on, and an adapter fits one
        base only.
        """
        chosen = self.run.recipe().base_model
        pinned = chosen.model_copy(update={"revision": commit}) if commit else chosen
        self.write("base", {"commit": commit, "weights": fingerprint(folder_of(pinned))})

    def write_compute(self, decided: Decision) -> None:
        """Another type would be another run: resumed on another machine, or asked there, it keeps this one."""
        self.write("compute", {"type": decided.taken, "why": decided.why})

    def write_task(self, task: Task, began: str, format: str, answer: str | None) -> None:
        """What it learns: a label is known to the adapter by its number only, and the data may be gone one day.

        began: the day it was first started, which is the date in its prompts. format, answer: what its data were
        recognised as, and the column that answers.
        """
        known = {"name": task.name, "labels": list(task.labels), "began": began, "format": format, "answer": answer}
        self.write("task", known)

    def write_not_learned(self, rows: list[dict[str, Any]]) -> None:
        """The rows of which nothing, or not every answer, is learned: [{part, row, reason}]."""
        self.write("not_learned", rows)

    def write_held_out_answers(self, rows: list[dict[str, Any]]) -> None:
        """What the run is scored on, see runs/held_out_answers.py."""
        self.write("held_out_answers", rows)

    def write_general_answers(self, rows: list[dict[str, Any]]) -> None:
        """Of the general questions, see runs/general_answers.py."""
        self.write("general_answers", rows)

    # ---- what happens

    def append_metric(self, row: MetricRow) -> int:
        """Returns the file's size after the line: where the next line begins."""
        return self.append("metrics", row)

    def append_sample(self, row: SampleRow) -> None:
        self.append("samples", row)

    def append_asked(self, row: AskedRow) -> None:
        """It stays also where the run goes back to an earlier step: what was said then was said."""
        self.append("asked", row)

    def append_event(self, step: int, spent: Spent, sentence: Problem) -> None:
        """Something that somebody should know later, with what was spent until then."""
        self.append("events", event_row(step, spent.seconds, spent.tokens, sentence))

    def write_curve(self, curve: Curve) -> None:
        """Not waited for: what a power cut took of it is in metrics.jsonl."""
        self.write("curve", curve.to_dict(), lasting=False)
        self.write("figures", curve.figures_to_dict(), lasting=False)

    def forget_after(self, step: int) -> Curve:
        """Drop what was logged after `step` (a resumed run logs it again); returns the curve of what is left. The
        seconds and tokens of what is dropped were spent all the same, and are kept as lost.
        """
        keep_until(step, self._mine("samples.jsonl"))
        logged, curve = self.run.curve(with_figures=True), Curve()
        metrics = self._mine("metrics.jsonl")
        keep_until(step, metrics, curve.add)
        lost, more = self.run.lost(), Spent(logged.seconds - curve.seconds, logged.tokens - curve.tokens)
        if more.seconds > 0 or more.tokens > 0:
            self.write("lost", asdict(Spent(lost.seconds + more.seconds, lost.tokens + more.tokens)))
        curve.offset = metrics.stat().st_size if metrics.exists() else 0
        self.write_curve(curve)
        return curve
