"""The Trainer's events -> the files of the run folder: metrics, curve, status, samples, checkpoints."""

import contextlib
import dataclasses
import math
import shutil
import time
from collections.abc import Iterator
from typing import Any, cast

import psutil
import torch
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from ..errors import Problem, UserError
from ..runs import Run, RunStatus, RunWriter
from ..runs.checkpoints import seal
from ..runs.curve import REWARDS
from ..runs.rows import MetricRow
from ..runs.run import Spent
from ..settings import GB, PREFIX, MemberSettings, Settings
from ..storage.disk import size_of
from ..usage import own_memory
from .best import BestSoFar
from .failures import NotANumber
from .log_lines import log, log_held_out, log_sampled, log_saved
from .reporting import Reports
from .setup import TrainingSetup

STATUS_EVERY = 0.3  # seconds; people cannot read faster
CURVE_EVERY = 3.0


class MetricsCallback(TrainerCallback):
    """Writes what the run is doing. Times are of the monotonic clock and go on where an earlier part of the run
    stopped.
    """

    def __init__(self, out: RunWriter, warnings: list[str], resumed_at: int) -> None:
        self.out, run = out, out.run
        self.tokens = 0  # counted by the trainer, this part of the run only
        self.curve = out.forget_after(resumed_at)
        self.lost, self.tokens_before = run.lost(), self.curve.tokens
        first, self.last_row = run.first_and_last_loss()
        self.seconds_before = self.last_row.get("seconds", 0.0)
        self.first_step, self.began = resumed_at, time.monotonic()
        self.first_ended: float | None = None  # when the first step had; the others are timed from there
        self.first_loss = first.get("loss")
        self.status = RunStatus(
            "running", step=resumed_at, first_loss=self.first_loss, warnings=warnings, sentence="Loading the model."
        )
        self._last_status = self._last_curve = 0.0
        self.reports: Reports | None = None  # another program that hears each row
        self.seconds_to_first_loss: float | None = None
        # With the imports of a cold worker: what a person waits for.
        self.started_at = run.launch_file.written_at() or time.time()

    def say(self, sentence: str = "", **changes: Any) -> None:
        """Change the status at once."""
        self.out.say(sentence, **changes)

    @property
    def status(self) -> RunStatus:
        """As it is written next."""
        return self.out.status

    @status.setter
    def status(self, status: RunStatus) -> None:
        self.out.status = status

    def all_steps_done(self) -> None:
        """For a run that ended while it was measured: the figures are those of its last step."""
        shown = {
            name: self.last_row.get(name)
            for name in ("loss", "learning_rate", "epoch", "tokens_per_second", "memory_mb")
        }
        self.status = dataclasses.replace(self.status, total=self.first_step, seconds=self.seconds_before, **shown)
        self.status = dataclasses.replace(self.status, tokens=self.curve.tokens or None)
        self.began = time.monotonic()  # loading it again was no training

    def spent(self) -> Spent:
        """So far, in all parts of the run, with what was trained twice since it was not saved."""
        return Spent(round(self.lost.seconds + self.seconds(), 2), self.lost.tokens + self.tokens_before + self.tokens)

    def note(self, sentence: Problem) -> None:
        """Something that somebody should know later; it stands in the log too."""
        log(str(sentence))
        self.out.append_event(self.status.step, self.spent(), sentence)

    @contextlib.contextmanager
    def paused(self, sentence: str) -> Iterator[None]:
        """Meanwhile something is done that is no training: it counts neither as its time nor against its speed."""
        said, paused_at = self.status.sentence, time.monotonic()
        self.say(sentence)
        try:
            yield
        finally:
            took = time.monotonic() - paused_at
            self.began += took
            if self.first_ended is not None:
                self.first_ended += took
            self.say(said)

    def seconds(self) -> float:
        return round(self.seconds_before + time.monotonic() - self.began, 2)

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.began = time.monotonic()
        self.say("Training.", total=state.max_steps)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        if not logs or "loss" not in logs:
            return
        loss = logs["loss"]
        if not math.isfinite(loss):
            raise NotANumber(state.global_step, loss, is_first=state.global_step == 1)
        done = state.global_step - self.first_step
        row = self._row(state, logs)
        self._add(row)
        if self.first_loss is None:
            self.first_loss, self.seconds_to_first_loss = row["loss"], round(time.time() - self.started_at, 2)
        self.status = dataclasses.replace(
            self.status,
            step=state.global_step,
            total=state.max_steps,
            loss=row["loss"],
            first_loss=self.first_loss,
            seconds=row["seconds"],
            seconds_left=self._seconds_left(done, state.max_steps - state.global_step),
            tokens_per_second=row["tokens_per_second"],
            tokens=self.curve.tokens,
            memory_mb=row["memory_mb"],
            learning_rate=row["learning_rate"],
            epoch=row["epoch"],
        )
        self._write_now_and_then(first=done <= 1)

    def _seconds_left(self, done: int, left: int) -> float | None:
        """By the steps that are done, without the first, which makes ready what the others use; None after that one."""
        if self.first_ended is None or done < 2:
            self.first_ended = time.monotonic()
            return None
        return round((time.monotonic() - self.first_ended) / (done - 1) * left, 1)

    def _row(self, state: TrainerState, logs: dict[str, float]) -> MetricRow:
        """What is kept of one logged step."""
        return {
            "step": state.global_step,
            "loss": round(logs["loss"], 5),
            "learning_rate": logs.get("learning_rate"),
            "grad_norm": _number(logs.get("grad_norm")),
            "epoch": round(logs.get("epoch", 0.0), 4),
            "tokens": self.tokens,
            "tokens_per_second": round(self.tokens / max(1e-6, time.monotonic() - self.began)),
            "memory_mb": memory_mb(),
            "seconds": self.seconds(),
            **{name: round(logs[name], 5) for name in REWARDS if name in logs},  # type: ignore[typeddict-item]
        }

    def held_out(self, step: int, measured: dict[str, float]) -> None:
        """What was measured after a step; 0: of the base, which is where the held-out line begins."""
        figures = {f"held_out_{name}": round(value, 5) for name, value in measured.items() if math.isfinite(value)}
        self._add(cast(MetricRow, {"step": step, **figures}))
        log_held_out(step, figures)
        if step:
            self.status = dataclasses.replace(self.status, held_out_loss=figures.get("held_out_loss"))

    def _add(self, row: MetricRow) -> None:
        self.curve.offset = self.out.append_metric(row)
        self.curve.add(row)
        if self.reports is not None:
            self.reports.add(row)

    def _write_now_and_then(self, first: bool) -> None:
        now = time.monotonic()
        if first or now - self._last_status > STATUS_EVERY:
            self._last_status = now
            self.out.write_status(lasting=False)
        if now - self._last_curve > CURVE_EVERY:
            self._last_curve = now
            self.out.write_curve(self.curve)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        self.out.write_curve(self.curve)
        self.out.write_status()


class EvalCallback(TrainerCallback):
    """Held-out loss and sample answers, a chosen number of times in the run, without touching the run's random
    numbers.
    """

    def __init__(self, job: TrainingSetup, reporter: MetricsCallback, best: BestSoFar) -> None:
        self.job, self.reporter, self.best = job, reporter, best
        self.knows_base = False

    def on_train_begin(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Preferences are held against what the run begins with, which is gone after the first step."""
        is_new = state.global_step == 0 and self.job.recipe.training.evaluations
        if self.job.objective and self.job.measures and is_new:
            self.reporter.held_out(0, self.job.measure())

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        training = self.job.recipe.training
        step, total = state.global_step, state.max_steps
        if step == 1 and due(step, total, max(training.evaluations, training.samples)):
            self._ask_base(model)  # what a curve begins with stands before what comes of a step
        if due(step, total, training.evaluations) and self.job.measures:
            figures = self.job.measure()
            self.reporter.held_out(step, figures)
            self.best.hear(model, step, total, figures)
        if due(step, total, training.samples):
            sample(self.job, model, step)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        model: Any = None,
        logs: dict[str, float] | None = None,
        **_: Any,
    ) -> None:
        # The base's answers are the same whenever they are asked for, so the first loss does not wait for them.
        if state.global_step == 1 and "loss" in (logs or {}):  # a run that is stopped after it logs once more
            self._ask_base(model)

    def _ask_base(self, model: Any) -> None:
        """Once: where answers and the held-out line begin; the proof needs it too, and the base does not change."""
        if self.knows_base:
            return
        self.knows_base = True
        sample(self.job, model, 0)
        if not self.job.recipe.training.evaluations or not self.job.measures or self.job.objective:
            return
        with model.disable_adapter():
            self.job.measured_base = self.job.task.measure(model, self.job.held_out_batches)
        self.reporter.held_out(0, self.job.measured_base)


class CheckpointCallback(TrainerCallback):
    """Seals checkpoints, and ends the run when somebody asked for it."""

    def __init__(self, run: Run, out: RunWriter) -> None:
        self.run, self.out = run, out
        self.was_stopped = False

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any
    ) -> TrainerControl:
        now = self.run.take("stop-now")
        if now or self.run.take("stop"):
            self.was_stopped = state.global_step < state.max_steps
            control.should_save = control.should_save or not now
            control.should_training_stop = True
            if self.was_stopped:  # also while it is saved: the wish is gone by now
                self.out.say(self.out.status.sentence, state="stopping")
        return control

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        folder = self.run.checkpoints / f"checkpoint-{state.global_step}"
        seal(folder)
        log_saved(state.global_step, folder)
        needed = 2 * sum(path.stat().st_size for path in folder.iterdir())
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise UserError(
                "run.disk_nearly_full",
                "The disk is nearly full ({free:.0f} MB free, the next checkpoint needs {needed:.0f} MB). Everything "
                "up to step {step} is saved: free some space, then press Resume.",
                free=free / 1000000.0,
                needed=needed / 1000000.0,
                step=state.global_step,
            )
        if state.global_step < state.max_steps:
            check_home(Settings.from_environment(), state.global_step)


def check_home(settings: Settings, step: int) -> None:
    """After a save. Raises UserError where a member's home holds more than it may: what goes on would add to it."""
    if not isinstance(settings, MemberSettings) or (size := size_of(settings.home)) <= settings.member_gb * GB:
        return
    raise UserError(
        "run.home_full",
        "Your home holds {size:.1f} GB, and {most} GB is the most that a member may keep. Everything up to step {step} "
        "is saved: delete runs or data that you need no longer, then press Resume. The owner sets {prefix}MEMBER_GB.",
        size=size / GB,
        most=settings.member_gb,
        step=step,
        prefix=PREFIX,
    )


def sample(job: TrainingSetup, model: Any, step: int) -> None:
    """Answer the sample questions into the run's samples; at step 0 the base does, with the adapter switched off."""
    samples = job.questions.samples
    if not samples or not job.recipe.training.samples:
        return
    thinking = [question.thinking for question in samples] if all(question.turn for question in samples) else None
    answers = job.task.answers(
        model,
        job.tokenizer,
        [question.conversation for question in samples],
        base=step == 0,
        max_new_tokens=job.questions.sample_length,
        temperature=0.7 if step == 0 else 0.0,
        thinking=thinking,
    )
    log_sampled(step, len(samples))
    for question, answer in zip(samples, answers, strict=True):
        job.out.append_sample(
            {
                "step": step,
                "question": question.text,
                "answer": answer.text,
                "is_cut": not answer.has_ended,
                "expected": question.expected,
            }
        )


def due(step: int, total: int, times: int) -> bool:
    """Is `step` one of `times` evenly spread steps of `total`, the last among them?"""
    return times > 0 and step * times // total > (step - 1) * times // total


def memory_mb() -> int:
    """Megabytes in use: the GPU's peak; where there is none what this process has of its own, without mapped files."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated() // 2**20
    return int(own_memory(psutil.Process().memory_info())) // 2**20


def _number(value: Any) -> float | None:
    if value is None or not math.isfinite(float(value)):
        return None
    return round(float(value), 5)
