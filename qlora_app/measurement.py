"""Fit and time of a recipe, measured before it is trained: what is asked, what came out, and what follows from it.

The measuring itself is a job of the kind `measure` (train/measure.py); nothing here needs torch.
"""

import contextlib
import functools
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from .errors import Problem, UserError
from .formatting import about, gigabytes, size, step_time
from .jobs import Job, JobSpec, JobStore
from .jobs.job import Needs
from .recipe import Recipe, Training

KEPT_CHECKPOINTS = 2  # of a run: with one, a crash while saving would leave nothing to go back to
KEPT = 20  # measurements; older ones go when a new one is asked for
QUICKER = 0.95  # of the seconds a step takes now, below which another size is worth a change
# Settings that change neither what a step takes nor how many there are.
WITHOUT_WEIGHT = {
    "name": True,
    "note": True,
    "reporting": True,
    "launch": True,  # a trial is of one process
    "training": {
        "learning_rate",
        "scheduler",
        "warmup_ratio",
        "adam_beta2",
        "weight_decay",
        "max_grad_norm",
        "seed",
        "keep",
        "early_stopping",
        "stop_when_broken",
        "max_minutes",
        "stop_at",
        "max_tokens",
        "max_cost",
        "price_an_hour",
        "extends",
    },
}
# Settings that only say how often something is done: the time of it follows from what was measured.
COUNTS = {"epochs", "max_steps", "evaluations", "samples", "checkpoints"}


class MeasureSpec(JobSpec):
    """Which recipe is measured: as it was asked for, and as a run would keep it, with its data pinned."""

    kind: Literal["measure"] = "measure"
    needs: Needs = "machine"
    asked: Recipe
    recipe: Recipe


class _Figures(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Size(_Figures):
    """A step on the longest examples with so many of them worked off at once."""

    micro_batch: int
    peak: float  # bytes in use at its peak
    seconds: float  # that a usual step takes so


class Costs(_Figures):
    """Seconds that each part of a run takes once."""

    loading: float = 0.0  # the model and the data, with the first step's preparations
    step: float = 0.0
    evaluation: float = 0.0  # of all held-out examples that are measured
    samples: float = 0.0  # of all sample questions
    checkpoint: float = 0.0
    proof: float = 0.0  # what comes after the last step


class Measurement(_Figures):
    """What came out, with what a run of the recipe takes by that."""

    batch_size: int
    micro_batch: int  # as the recipe is trained
    sizes: list[Size]  # that were tried and fit, the smallest first; none where not even one example fits
    room: float  # bytes that a training may take here
    longest: int  # tokens of the longest example
    steps: int
    costs: Costs
    checkpoint_bytes: float = 0.0
    adapter_bytes: float = 0.0
    disk_bytes: float = 0.0  # that the run takes while it has the most
    disk_free: float = 0.0
    seconds: float = 0.0  # of the whole run
    device: str = "cpu"

    @property
    def fits(self) -> bool:
        """Can it be trained as it stands? Its memory is enough, and so is the disk."""
        return self.now is not None and self.disk_bytes <= self.disk_free

    @property
    def now(self) -> Size | None:
        """As the recipe is trained; None where that does not fit."""
        return self._size(self.micro_batch)

    def at(self, micro_batch: int) -> "Measurement":
        """As it is with so many examples at once, where that was tried and fits; else as it was measured."""
        one = self._size(micro_batch)
        if one is None:
            return self
        costs = self.costs.model_copy(update={"step": one.seconds})
        seconds = self.seconds + self.steps * (one.seconds - self.costs.step)
        return self.model_copy(update={"micro_batch": micro_batch, "costs": costs, "seconds": seconds})

    def _size(self, micro_batch: int) -> Size | None:
        return next((one for one in self.sizes if one.micro_batch == micro_batch), None)

    @property
    def largest(self) -> int:
        """The most examples at once that fit, of those that divide a step evenly; 0 where none does."""
        return max((one.micro_batch for one in self.sizes), default=0)

    @property
    def better(self) -> Size | None:
        """The size that is worth a change: one that fits where the recipe's does not, or one that is quicker."""
        now = self.now
        if now is None:
            return max(self.sizes, key=lambda one: one.micro_batch, default=None)
        quickest = min(self.sizes, key=lambda one: one.seconds)
        return quickest if quickest.seconds < QUICKER * now.seconds else None

    def seconds_of(self, training: Training, steps: int) -> float:
        """How long a run takes with other counts than those that were measured."""
        return run_seconds(self.costs, training, steps)

    def verdict(self) -> Problem:
        """Whether it fits and how long it takes, in a sentence with its code."""
        if not self.sizes:
            return Problem(
                "measured.too_large",
                "Does not fit: a step on one example of {longest:,} tokens takes more than the {room} that are free. "
                "Shorten the longest example, or choose a smaller model.",
                longest=self.longest,
                room=gigabytes(self.room),
            )
        now = self.now
        if now is None:
            return Problem(
                "measured.smaller",
                "Does not fit with {now:,} examples at once, and fits with {fits:,}; a step is the same.",
                now=self.micro_batch,
                fits=self.largest,
            )
        if not self.fits:
            return Problem(
                "measured.no_disk",
                "The memory is enough, the disk is not: the run takes {takes}, and {free} are free.",
                takes=size(self.disk_bytes),
                free=size(self.disk_free),
            )
        return Problem(
            "measured.fits",
            "Fits, and takes about {time}: {steps:,} steps of {step}. At most {peak} of {room} memory, {disk} on the "
            "disk.",
            time=about(self.seconds),
            steps=self.steps,
            step=step_time(now.seconds),
            peak=gigabytes(now.peak),
            room=gigabytes(self.room),
            disk=size(self.disk_bytes),
        )

    def to_json(self) -> dict[str, Any]:
        """With what follows from the figures, for a script."""
        better = self.better
        derived = {"fits": self.fits, "largest": self.largest, "better": better.micro_batch if better else None}
        return {**self.model_dump(), **derived, "verdict": str(self.verdict())}


# ---- the arithmetic


def divisors(batch: int) -> list[int]:
    """How many examples may be worked off at once so that a step is the same, the fewest first."""
    return [count for count in range(1, batch + 1) if batch % count == 0]


def sizes_that_fit(
    batch: int, first: int, room: float, base: float, tried: Callable[[int], Size | None], goes_on: Callable[[], bool]
) -> list[Size]:
    """Sizes that fit into `room`, the smallest first: `first` and the larger ones up to the largest that fits; where
    `first` does not, the largest that does.

    base: bytes in use before any step. tried: a step with so many at once, None where the memory was not enough.
    goes_on: is there time for another one? None is tried that is foreseen not to fit.
    """

    def fitting(count: int) -> Size | None:
        one = tried(count)
        return one if one is not None and one.peak <= room else None

    found = fitting(first)
    if found is None:
        smaller = (fitting(count) for count in reversed(divisors(batch)) if count < first)
        largest = next((one for one in smaller if one is not None), None)
        return [] if largest is None else [largest]
    sizes = [found]
    for count in divisors(batch):
        if count <= first:
            continue
        if not goes_on() or foreseen_peak(sizes, base, count) > room:
            break
        found = fitting(count)
        if found is None:
            break
        sizes.append(found)
    return sizes


def foreseen_peak(sizes: Sequence[Size], base: float, count: int) -> float:
    """Bytes at the peak with so many at once: each example more takes as much as the last ones took."""
    last = sizes[-1]
    before, examples = (sizes[-2].peak, sizes[-2].micro_batch) if len(sizes) > 1 else (base, 0)
    each = max(0.0, last.peak - before) / max(1, last.micro_batch - examples)
    return last.peak + each * (count - last.micro_batch)


def run_seconds(costs: Costs, training: Training, steps: int) -> float:
    """How long a whole run takes: the base is measured and asked too, and what is kept is measured at the end."""
    evaluations = min(training.evaluations, steps) + 2
    samples = min(training.samples, steps) + 1 if training.samples else 0
    return (
        costs.loading
        + steps * costs.step
        + evaluations * costs.evaluation
        + samples * costs.samples
        + checkpoints_of(training, steps) * costs.checkpoint
        + costs.proof
    )


def run_bytes(training: Training, steps: int, checkpoint: float, adapter: float) -> float:
    """What a run takes of the disk while it has the most, by the bytes of a checkpoint and of an adapter."""
    kept = min(checkpoints_of(training, steps), KEPT_CHECKPOINTS + 1)  # the oldest goes when the new one is there
    adapters = 2 if training.keep == "best" and training.evaluations else 1
    return kept * checkpoint + adapters * adapter


def checkpoints_of(training: Training, steps: int) -> int:
    """How many are saved in a run."""
    if not training.checkpoints:
        return 0
    every = max(1, math.ceil(steps / training.checkpoints))
    return math.ceil(steps / every)


# ---- jobs


def measure_job(store: JobStore, asked: Recipe, recipe: Recipe) -> Job:
    """The job that measures a recipe: one that does so already, else a new one. It is not started here.

    asked: as a person wrote it, by which it is found again; recipe: as a run would keep it. Raises UserError where the
    disk refuses it.
    """
    spec = MeasureSpec(asked=asked, recipe=recipe)
    jobs = _measurements(store)
    for job in jobs:
        status = job.status()
        if (status.is_active or status.state == "queued") and _spec_of(job) == spec:
            return job
    for old in jobs[KEPT:]:
        with contextlib.suppress(UserError, OSError):  # somebody works on it, or was faster
            store.delete(old.id)
    return store.create(f"measure-{recipe.title}", spec)


def measurement_of(job: Job) -> Measurement | None:
    """What a job measured; None before its end."""
    try:
        written = (job.folder / "result.json").stat().st_mtime_ns
    except OSError:
        return None
    return _read_result(job.folder, written)


@functools.lru_cache(maxsize=32)
def _read_result(folder: Path, written: int) -> Measurement | None:
    """A page asks after every change of its form."""
    try:
        return Measurement.model_validate(Job(folder).result() or {})
    except ValidationError:
        return None


def same_cost(one: Recipe, other: Recipe) -> bool:
    """Do steps of both take the same memory and time? What only says how often something is done may differ."""
    return _with_weight(one) == _with_weight(other)


def _with_weight(recipe: Recipe) -> dict[str, Any]:
    left_out: Any = WITHOUT_WEIGHT | {"training": WITHOUT_WEIGHT["training"] | COUNTS}  # type: ignore[operator]
    return recipe.model_dump(exclude=left_out)


def asked_by(job: Job) -> Recipe | None:
    """The recipe that a job measures, as it was asked for; None where its file says something else."""
    spec = _spec_of(job)
    return spec.asked if spec else None


def newest_measurement(store: JobStore, recipe: Recipe) -> Job | None:
    """The newest job that has measured what a recipe costs."""
    return newest_measurements(store, recipe)[0]


def newest_measurements(store: JobStore, recipe: Recipe) -> tuple[Job | None, Job | None]:
    """(the newest job that has measured what a recipe costs, the newest that has measured anything), None where there
    is none. The jobs are listed once.
    """
    jobs = [job for job in _measurements(store) if (job.folder / "result.json").is_file()]
    of_it = (job for job in jobs if _tells_of(job, recipe))
    return next(of_it, None), next(iter(jobs), None)


def _tells_of(job: Job, recipe: Recipe) -> bool:
    asked = asked_by(job)
    return asked is not None and (same_cost(asked, recipe) or _was_tried(job, asked, recipe))


def _was_tried(job: Job, asked: Recipe, recipe: Recipe) -> bool:
    """Is the recipe the one that was measured, but with another number of examples at once, which was tried too?"""
    found, at_once = measurement_of(job), recipe.training.micro_batch
    if found is None or all(one.micro_batch != at_once for one in found.sizes):
        return False
    training = asked.training.model_copy(update={"micro_batch": at_once})
    return same_cost(asked.model_copy(update={"training": training}), recipe)


def _measurements(store: JobStore) -> list[Job]:
    return [job for job in store.list() if _spec_of(job) is not None]


def _spec_of(job: Job) -> MeasureSpec | None:
    """None of a job of another kind, and of one whose file says something else."""
    try:
        written = (job.folder / job.spec_file).stat().st_mtime_ns
    except OSError:
        return None
    return _read_spec(job.folder, written)


@functools.lru_cache(maxsize=512)
def _read_spec(folder: Path, written: int) -> MeasureSpec | None:
    """A page asks after every change of its form."""
    job = Job(folder)
    try:
        return job.spec(MeasureSpec) if job.kind == "measure" else None
    except UserError:
        return None
