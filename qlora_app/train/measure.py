"""The kind `measure`: a recipe's largest step, some usual ones, a measurement, a few answers and a checkpoint, really
done with everything a run has, to know what the run will take. Nothing of it is kept but the figures.
"""

import gc
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import psutil
import torch
from torch.utils.data import Sampler
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from .. import hardware
from ..errors import Problem
from ..jobs import Job, JobWriter
from ..jobs.failures import is_out_of_memory
from ..measurement import Costs, Measurement, MeasureSpec, Size, run_bytes, run_seconds, sizes_that_fit
from ..memory import FITS
from ..recipe import Recipe
from ..runs import Run, RunWriter
from ..settings import Settings
from ..storage.cache import bytes_of
from .answer_times import answering_seconds, sample_seconds
from .callbacks import MetricsCallback
from .computing import settle
from .downloads import download_inputs
from .failures import explain_training
from .log_lines import log, log_machine, log_no_memory, log_recipe, log_size
from .order import StepsByLength, TrialOrder
from .preferences.trainer import trainer_for
from .setup import TrainingSetup, prepare
from .trainer import total_steps

FOLDER = "trial"  # in the job's: what a run writes, until it is measured
USUAL_STEPS = 3  # at least, unless they take too long
ENOUGH, TOO_LONG = 3.0, 20.0  # seconds of usual steps: after the one three are enough, after the other one is
SEARCH = 60.0  # seconds in which other sizes are tried
EVALUATED = 3.0  # seconds of held-out batches that are measured
PARTS = ("Loading the model.", "The largest step.", "Held-out examples and answers.", "Other sizes.")


def work(job: Job, out: JobWriter, settings: Settings) -> None:
    """Always from the beginning: half a measurement tells nothing."""
    recipe = job.spec(MeasureSpec).recipe
    folder = job.folder / FOLDER
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    recipe.save(folder / Run.spec_file)
    try:
        with out.leaving(), Run(folder).hold() as inner:
            made = _measured(inner, out, recipe, settings)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    out.write("result", made.to_json())
    out.say(made.verdict(), step=len(PARTS), total=len(PARTS))
    out.end("done", made.verdict())
    log(str(made.verdict()))


def stopped(job: Job) -> str:
    return "Stopped. Nothing was measured to its end; Resume begins again."


def explain(error: BaseException, job: Job) -> Problem:
    return explain_training(error, job.spec(MeasureSpec).recipe)


class _Reporter(MetricsCallback):
    """Writes what a run writes, and says what is said before the first step to those who look at the job."""

    def __init__(self, out: RunWriter, outer: JobWriter | None = None) -> None:
        super().__init__(out, [], 0)
        self.outer = outer

    def say(self, sentence: str = "", **changes: Any) -> None:
        if self.outer is not None and sentence:
            self.outer.progress(0, len(PARTS), sentence)


def _measured(inner: RunWriter, out: JobWriter, recipe: Recipe, settings: Settings) -> Measurement:
    reporter = _Reporter(inner, out)
    out.progress(0, len(PARTS), PARTS[0])
    recipe = download_inputs(inner, recipe, reporter)
    began = time.monotonic()  # what is downloaded once is no part of a run's time
    recipe = settle(inner, recipe, reporter, began=False)
    log_machine()
    log_recipe(recipe, 0)
    setup = prepare(inner, recipe, reporter.say)
    return _Trial(setup, out, settings, time.monotonic() - began).measured()


@dataclass
class _Step:
    """What one trial of a size found."""

    peak: float
    seconds: float
    saving: float
    saved_bytes: int


class _Trial:
    """The model with its data is there; its parts are done one after another."""

    def __init__(self, setup: TrainingSetup, out: JobWriter, settings: Settings, loading: float) -> None:
        self.setup, self.out, self.settings = setup, out, settings
        self.loading = loading
        self.memory = _Memory()
        examples = map(setup.train.encoded, range(len(setup.train)))
        self.lengths = [(len(one.input_ids), len(one.labels)) for one in examples]  # an output may be no input
        self.first: _Step | None = None  # of the size the recipe is trained with
        self.steps = total_steps(setup)

    def measured(self) -> Measurement:
        setup = self.setup
        micro_batch, batch = setup.micro_batch, setup.recipe.training.batch_size
        room, base = self.memory.room(), self.memory.used()
        self._say(1)
        until = time.monotonic() + SEARCH
        costs = Costs()

        def tried(count: int) -> Size | None:
            nonlocal costs, until
            found = self._try(count)
            if found is None:
                return None
            if self.first is None:
                self.first = found
                self._say(2)
                costs = self._costs(found)
                self._say(3)
                until = time.monotonic() + SEARCH
            return Size(micro_batch=count, peak=found.peak, seconds=found.seconds)

        sizes = sizes_that_fit(
            batch, micro_batch, room, base, tried, lambda: time.monotonic() < until and setup.may_share
        )
        training = setup.recipe.training
        checkpoint, adapter = (self.first.saved_bytes, self._adapter_bytes()) if self.first else (0, 0)
        return Measurement(
            batch_size=batch,
            micro_batch=micro_batch,
            sizes=sizes,
            room=room,
            longest=max(map(max, self.lengths)),
            steps=self.steps,
            costs=costs,
            checkpoint_bytes=checkpoint,
            adapter_bytes=adapter,
            disk_bytes=run_bytes(training, self.steps, checkpoint, adapter),
            disk_free=shutil.disk_usage(self.settings.home).free,
            seconds=run_seconds(costs, training, self.steps),
            device=self.memory.device,
        )

    def _say(self, part: int) -> None:
        self.out.progress(part, len(PARTS), PARTS[part])

    def _try(self, count: int) -> _Step | None:
        """A step on the longest examples and some usual ones with so many at once; None where memory is not enough."""
        self.memory.reset()
        try:
            return self._stepped(replace(self.setup, micro_batch=count))
        except Exception as error:  # memory that is not enough says so in many kinds of error
            if not is_out_of_memory(error):
                raise
            log_no_memory(count)
        finally:
            self.setup.model.zero_grad(set_to_none=True)
            self.memory.free()
        return None

    def _stepped(self, setup: TrainingSetup) -> _Step:
        order = self._order(setup)
        clock = _Clock(self.memory, saves=self.first is None, order=order)
        trainer = trainer_for(setup, reporter := _Reporter(setup.out), [reporter, clock])
        trainer._get_train_sampler = lambda *_: _InOrder(order.places)  # type: ignore[method-assign]
        trainer.train()
        saved = max(setup.run.checkpoints.glob("checkpoint-*"), default=None)
        size = bytes_of(saved) if saved else 0
        shutil.rmtree(setup.run.checkpoints, ignore_errors=True)
        log_size(setup.micro_batch, clock.seconds, clock.peak)
        return _Step(clock.peak, clock.seconds, clock.saving, size)

    def _order(self, setup: TrainingSetup) -> TrialOrder:
        training = setup.recipe.training

        def lengths(places: list[int]) -> list[int]:
            """All alike where steps stay as they are drawn."""
            return [0 if setup.packing else self.lengths[place][0] for place in places]

        epoch = list(StepsByLength(len(self.lengths), training.batch_size, training.seed, lengths))
        return TrialOrder.of([sum(both) for both in self.lengths], training.batch_size, epoch)

    # ---- what is done beside the steps

    def _costs(self, step: _Step) -> Costs:
        setup = self.setup
        evaluation = self._evaluation_seconds()
        answering = answering_seconds(setup, self.steps * step.seconds)
        return Costs(
            loading=self.loading,
            step=step.seconds,
            evaluation=evaluation,
            samples=sample_seconds(setup),  # also where none are asked for: another recipe of this cost may
            checkpoint=step.saving,
            proof=answering,
        )

    def _evaluation_seconds(self) -> float:
        """Of all held-out batches, by as many as a few seconds are enough for, the largest first."""
        batches = sorted(self.setup.held_out_batches, key=lambda batch: -batch["input_ids"].numel())
        if not batches:
            return 0.0
        began, tokens = time.monotonic(), 0
        for batch in batches:
            self.setup.task.measure(self.setup.model, [batch])
            tokens += batch["input_ids"].numel()
            if time.monotonic() - began > EVALUATED:
                break
        every = sum(batch["input_ids"].numel() for batch in batches)
        return (time.monotonic() - began) * every / tokens

    def _adapter_bytes(self) -> int:
        folder = self.setup.run.folder / "adapter"
        self.setup.recipe.method.save(self.setup.model, folder)
        self.setup.tokenizer.save_pretrained(str(folder))
        return bytes_of(folder)


class _InOrder(Sampler[int]):
    """Examples in an order that is given."""

    def __init__(self, order: Sequence[int]) -> None:
        self.order = order

    def __len__(self) -> int:
        return len(self.order)

    def __iter__(self) -> Iterator[int]:
        return iter(self.order)


class _Clock(TrainerCallback):
    """Times the steps, the first of which are the largest; ends when enough is known, with a checkpoint if it
    `saves`.
    """

    def __init__(self, memory: "_Memory", saves: bool, order: TrialOrder) -> None:
        self.memory, self.saves, self.order = memory, saves, order
        self.peak, self.saving = 0.0, 0.0
        self.ended = 0.0  # the newest step, or what was before the first
        self.largest = 0.0  # seconds of the newest step of the largest
        self.usual: list[float] = []  # seconds of each other one

    @property
    def seconds(self) -> float:
        """That a usual step takes; where there was none, that of the largest."""
        return sum(self.usual) / len(self.usual) if self.usual else self.largest

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.ended = time.monotonic()

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        self.memory.synchronize()
        taken = time.monotonic() - self.ended
        self.ended += taken
        # Of all steps: only from the second on the optimizer's state is there while the activations are.
        self.peak = max(self.peak, self.memory.peak())
        if self.order.is_usual(state.global_step):
            self.usual.append(taken)
        else:
            self.largest = taken
        together = sum(self.usual)
        is_enough = len(self.usual) >= USUAL_STEPS and together >= ENOUGH
        control.should_training_stop = is_enough or together >= TOO_LONG or state.global_step >= state.max_steps
        control.should_save = self.saves and control.should_training_stop
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.saving = time.monotonic() - self.ended


class _Memory:
    """What this process takes of the memory it learns in: the GPU's, or its own."""

    def __init__(self) -> None:
        self.device = "cuda" if torch.cuda.is_available() else "cpu"
        self.seen = 0.0  # the most that was seen where the system keeps no peak

    def room(self) -> float:
        """Bytes that a training may take, with what is taken already."""
        if self.device == "cuda":
            free, _ = torch.cuda.mem_get_info()
            return FITS * (free + torch.cuda.memory_reserved())
        return FITS * (hardware.main_memory().free + self.used())

    def used(self) -> float:
        if self.device == "cuda":
            return float(torch.cuda.memory_allocated())
        return float(psutil.Process().memory_info().rss)

    def reset(self) -> None:
        """From here on a new peak is looked for."""
        self.seen = 0.0
        if self.device == "cuda":
            torch.cuda.reset_peak_memory_stats()
            return
        with suppress(OSError):  # not Linux, or forbidden: then the peak is of the whole process so far
            Path("/proc/self/clear_refs").write_text("5", encoding="ascii")

    def peak(self) -> float:
        if self.device == "cuda":
            return float(torch.cuda.max_memory_allocated())
        self.seen = max(self.seen, self.used())
        with suppress(OSError, IndexError, ValueError):
            lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
            kilobytes = next((line for line in lines if line.startswith("VmHWM")), "").split()[1]
            return max(self.seen, 1024.0 * int(kilobytes))
        return self.seen

    def synchronize(self) -> None:
        """A GPU works behind what is asked of it."""
        if self.device == "cuda":
            torch.cuda.synchronize()

    def free(self) -> None:
        gc.collect()
        if self.device == "cuda":
            torch.cuda.empty_cache()
