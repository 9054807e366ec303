"""The kind `train`: from a run folder to a trained, proven adapter."""

import contextlib
import shutil
from pathlib import Path

from ..errors import Problem, UserError
from ..recipe import Recipe
from ..runs import Run, RunWriter
from ..runs.checkpoints import in_order, is_complete, newest_complete, set_broken_aside
from ..settings import Settings
from ..storage.disk import disk_trouble
from .best import BestSoFar
from .callbacks import CheckpointCallback, EvalCallback, MetricsCallback
from .computing import settle
from .downloads import download_inputs
from .failures import explain_training
from .log_lines import log, log_machine, log_recipe, log_setup
from .proof import finish
from .setup import TrainingSetup, prepare
from .trainer import build_trainer, total_steps


def work(run: Run, out: RunWriter, settings: Settings) -> None:
    """Prepare, train, prove. Raises Stopped before the first step; later a stop is a step's end."""
    recipe = run.recipe()
    with out.leaving():  # nothing is learned yet
        resume_from = _checkpoint_to_resume(run)
        reporter = MetricsCallback(out, [], _step_of(resume_from))
        reporter.say("Loading the model.")
        recipe = settle(out, download_inputs(out, recipe, reporter), reporter, began=resume_from is not None)
        log_machine()
        log_recipe(recipe, reporter.first_step)
        job = prepare(out, recipe, reporter.say)
        log_setup(job, total_steps(job))
    try:
        reporter.status.warnings.extend(job.warnings)
        _train(job, reporter, resume_from)
    except BaseException as error:
        if disk_trouble(error, run.folder):
            _give_room(run)
        raise
    finally:
        with contextlib.suppress(OSError):  # it is made again where the disk is full
            job.train.cache.save()


def _give_room(run: Run) -> None:
    """Half of a checkpoint or of an adapter is of no use, and takes the room that the next try needs."""
    for folder in in_order(run.checkpoints):
        if not is_complete(folder, deep=False):
            shutil.rmtree(folder, ignore_errors=True)
    shutil.rmtree(run.folder / "adapter.tmp", ignore_errors=True)


def _train(job: TrainingSetup, reporter: MetricsCallback, resume_from: Path | None) -> None:
    keeper, best = CheckpointCallback(job.run), BestSoFar(job, reporter.first_step)
    trainer = build_trainer(job, reporter, [reporter, EvalCallback(job, reporter, best), keeper])
    if resume_from and reporter.first_step >= total_steps(job):
        # It had ended, unproven: the Trainer would take one step more.
        job.recipe.method.resume(job.model, resume_from)
        reporter.all_steps_done()
    else:
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    with contextlib.suppress(OSError):  # a disk without room is no reason to lose what was learned
        job.train.cache.save()  # before the last word, which ends the run for everybody who looks
    if keeper.was_stopped:
        ended = _stopped_at(job.run, trainer.state.global_step)
        log(f"stopped: {ended}")
        job.out.end("stopped", ended)
    else:
        finish(job, reporter, best)


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
