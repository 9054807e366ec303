"""The kind `train`: from a run folder to a trained, proven adapter."""

import contextlib
import functools
import gc
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import torch

from ..errors import Problem, UserError
from ..hardware import accelerators, usable_cores
from ..jobs.failures import is_out_of_memory
from ..preflight import divided_problems, refuse
from ..recipe import Recipe
from ..runs import Run, RunWriter
from ..runs.checkpoints import in_order, is_complete, newest_complete, set_broken_aside
from ..runs.run import Spent
from ..settings import Settings
from ..storage.disk import disk_trouble
from ..usage import kept_in
from .asking import AskingCallback
from .best import BestSoFar
from .budget import Budget, stopped_words
from .callbacks import CheckpointCallback, EvalCallback, MetricsCallback
from .computing import settle
from .downloads import download_inputs
from .ending import EndingCallback, broken_words, stalled_words
from .failures import NotANumber, explain_training
from .log_lines import log, log_machine, log_recipe, log_setup
from .preferences.trainer import trainer_for
from .processes import own_devices
from .proof import finish
from .ranks import Ranks
from .relief import FILE, Relief, relief_words
from .reporting import Reports
from .setup import TrainingSetup, prepare
from .trainer import total_steps


def work(run: Run, out: RunWriter, settings: Settings) -> None:
    """Prepare, train, prove; with less memory again where it is not enough. Raises Stopped before the first step; later
    a stop is a step's end.
    """
    place = run.place().model_copy(update={"where": "here"})  # as this machine sees it, wherever it was sent from
    devices = accelerators()
    processes = place.count(len(devices))
    recipe = run.recipe().model_copy(update={"launch": place.model_copy(update={"processes": processes})})
    is_shared = place.world(len(devices)) > 1
    refuse(place.problems(recipe.training.batch_size, len(devices), usable_cores()) if is_shared else {})
    refuse(divided_problems(recipe))
    ranks = Ranks(out, recipe.launch, own_devices(processes) if is_shared else [])
    with out.leaving():  # nothing is learned yet
        resume_from = _checkpoint_to_resume(run)
        reporter = MetricsCallback(out, [], _step_of(resume_from))
        reporter.say("Loading the model.")
        recipe = settle(out, download_inputs(out, recipe, reporter), reporter, began=resume_from is not None)
        warnings = list(reporter.status.warnings)
        log_machine()
        log_recipe(recipe, reporter.first_step)
    with ranks.others.gathered(recipe, reporter):
        _with_what_memory_there_is(out, recipe, warnings, reporter, ranks)


def _with_what_memory_there_is(
    out: RunWriter, recipe: Recipe, warnings: list[str], reporter: MetricsCallback, ranks: Ranks
) -> None:
    run, budget = out.run, Budget(recipe.training, out.run, datetime.fromtimestamp(reporter.started_at))
    while failed_at := _attempt(out, recipe, warnings, budget, ranks):
        _free_memory()
        resumed_at = _step_of(newest_complete(run.checkpoints))
        sentence = relief_words(failed_at.step, resumed_at, failed_at.what)
        out.write(FILE, failed_at.relief.to_json())
        log(str(sentence))
        out.append_event(failed_at.step, failed_at.spent, sentence)


@dataclass(frozen=True)
class _NoMemory:
    """Where the memory was not enough, and what is done about it."""

    step: int
    spent: Spent
    relief: Relief
    what: Problem


def _attempt(out: RunWriter, recipe: Recipe, warnings: list[str], budget: Budget, ranks: Ranks) -> _NoMemory | None:
    """Train and prove it; where the training was too much for the memory, and there is a way around that."""
    run, relief = out.run, Relief.of(out.run)
    recipe = relief.applied(recipe)
    with contextlib.ExitStack() as shared:
        with out.leaving():
            resume_from = _checkpoint_to_resume(run)
            reporter = MetricsCallback(out, list(warnings), _step_of(resume_from))
            join = shared.enter_context(ranks.at_work(recipe, resume_from, relief.micro_batch))
            job = prepare(out, recipe, reporter.say, relief.micro_batch, ranks.size)
            job = job.shared_by(join())
            log_setup(job, total_steps(job))
        try:
            reporter.status.warnings.extend(job.warnings)
            with kept_in(run.folder, _gpu()), _reporting(job, reporter) as reports:
                return _train(job, reporter, resume_from, budget, reports, shared)
        except BaseException as error:
            if disk_trouble(error, run.folder):
                _give_room(run)
            raise
        finally:
            with contextlib.suppress(OSError):  # it is made again where the disk is full
                job.train.cache.save()


def _gpu() -> str:
    """The UUID of the GPU that it trains on, by which the driver knows it too; empty where there is none."""
    return f"GPU-{torch.cuda.get_device_properties(0).uuid}" if torch.cuda.is_available() else ""


@contextlib.contextmanager
def _reporting(job: TrainingSetup, reporter: MetricsCallback) -> Iterator[list[Reports]]:
    """What tells another program of the run, where that is wanted, until it has ended."""
    reporting = job.recipe.reporting
    if reporting.report_to == "none":
        yield []
        return
    reporter.reports = Reports(job.out, reporting, reporter.first_step, reporter.note)
    try:
        yield [reporter.reports]
    finally:
        reporter.reports.close()


def _free_memory() -> None:
    """What the attempt held is let go, also on a GPU."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _give_room(run: Run) -> None:
    """Half of a checkpoint or of an adapter is of no use, and takes the room that the next try needs."""
    for folder in in_order(run.checkpoints):
        if not is_complete(folder, deep=False):
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(run.folder / "adapter.tmp", ignore_errors=True)


def _train(
    job: TrainingSetup,
    reporter: MetricsCallback,
    resume_from: Path | None,
    budget: Budget,
    reports: Sequence[Reports],
    shared: contextlib.ExitStack,
) -> _NoMemory | None:
    """shared: with other processes as long as it trains; what comes then is this one's alone."""
    keeper, best = CheckpointCallback(job.run, job.out), BestSoFar(job, reporter.first_step)
    ending = EndingCallback(job, reporter, best, budget)
    asking = AskingCallback(job, reporter)
    callbacks = [*reports, reporter, EvalCallback(job, reporter, best), keeper, ending, asking]
    trainer = trainer_for(job, reporter, callbacks)
    broken: Problem | None = None
    if resume_from and reporter.first_step >= total_steps(job):
        # It had ended, unproven: the Trainer would take one step more.
        job.recipe.method.resume(job.model, resume_from)
        reporter.all_steps_done()
        job.world.leave(shared)
    else:
        try:
            with contextlib.ExitStack() as training:
                training.push(functools.partial(job.world.leave, shared))
                trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        except NotANumber as error:
            if not job.recipe.training.stop_when_broken or not best.is_kept:
                raise
            broken = explain_training(error, job.recipe)
        except Exception as error:  # memory that is not enough says so in many kinds of error
            more = Relief.of(job.run).more(job) if is_out_of_memory(error) else None
            if more is None:
                raise
            return _NoMemory(reporter.status.step + 1, reporter.spent(), *more)
        else:
            broken = ending.broken.sentence if ending.broken else None
    _before_the_last_word(job, reporter, reports)
    step, total = trainer.state.global_step, total_steps(job)
    if keeper.was_stopped:
        ended = _stopped_at(job.run, step)
        log(f"stopped: {ended}")
        job.out.end("stopped", ended)
    elif ending.used_up is not None:
        ended = stopped_words(step, total, ending.used_up, newest_complete(job.run.checkpoints, deep=False) is not None)
        reporter.note(ended)
        job.out.end("stopped", ended)
    elif broken is not None:
        _end_broken(job, reporter, best, asking, broken_words(broken, step, total))
    else:
        if ending.has_stalled:
            reporter.note(stalled_words(step, total, job.recipe.training.early_stopping))
        asking.answer(step)
        finish(job, reporter, best, asking)
    job.world.meet()
    return None


def _before_the_last_word(job: TrainingSetup, reporter: MetricsCallback, reports: Sequence[Reports]) -> None:
    """Whatever takes a while: the last word ends the run for everybody who looks."""
    with contextlib.suppress(OSError):  # a disk without room is no reason to lose what was learned
        job.train.cache.save()
    for one in reports:
        with reporter.paused(reporter.status.sentence):
            one.close()


def _end_broken(
    job: TrainingSetup, reporter: MetricsCallback, best: BestSoFar, asking: AskingCallback, words: Problem
) -> None:
    """It went wrong: the best adapter so far is kept and proven, where there is one."""
    reporter.note(words)
    if not best.is_kept:
        job.out.end("stopped", words)
        return
    step = reporter.status.step
    best.hear(job.model, step, step, job.measure())  # so that it is known how bad
    finish(job, reporter, best, asking)


def stopped(run: Run) -> str:
    """Before its first step; while it trains, a stop waits for the step."""
    saved = newest_complete(run.checkpoints, deep=False)
    if saved is None:
        return "Stopped before the first step. What was downloaded is kept; Resume starts it again."
    return f"Stopped before the next step. Resume goes on from step {_step_of(saved)}."


def explain(error: BaseException, run: Run) -> Problem:
    """With advice that fits the recipe, as far as that can be read."""
    return explain_training(error, _recipe_of(run))


def _recipe_of(run: Run) -> Recipe | None:
    try:
        return run.recipe()
    except UserError:
        return None


def _stopped_at(run: Run, step: int) -> str:
    saved = newest_complete(run.checkpoints, deep=False)
    if saved is None:
        return f"Stopped at step {step}; nothing was saved. Resume starts it again."
    return f"Stopped at step {step}. Resume goes on from step {_step_of(saved)}."


def _checkpoint_to_resume(run: Run) -> Path | None:
    for broken in set_broken_aside(run.checkpoints):
        log(f"{broken.name} was not saved completely and is not used.")
    return newest_complete(run.checkpoints)


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
