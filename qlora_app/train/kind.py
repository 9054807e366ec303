"""The kind `train`: from a run folder to a trained, proven adapter."""

from pathlib import Path

from ..errors import Problem, UserError
from ..recipe import Recipe
from ..runs import Run, RunWriter
from ..runs.checkpoints import newest_complete, set_broken_aside
from ..settings import Settings
from .best import BestSoFar
from .callbacks import CheckpointCallback, EvalCallback, MetricsCallback
from .computing import settle
from .downloads import download_inputs
from .failures import explain_training
from .proof import finish
from .setup import TrainingSetup, prepare
from .trainer import build_trainer, total_steps


def work(run: Run, out: RunWriter, settings: Settings) -> None:
    """Prepare, train, prove. Raises Stopped while it downloads; later a stop is a step's end."""
    recipe = run.recipe()
    resume_from = _checkpoint_to_resume(run)
    reporter = MetricsCallback(out, [], _step_of(resume_from))
    reporter.say("Loading the model.")
    recipe = settle(out, download_inputs(out, recipe, reporter), reporter, began=resume_from is not None)
    job = prepare(out, recipe, reporter.say)
    try:
        reporter.status.warnings.extend(job.warnings)
        _train(job, reporter, resume_from)
    finally:
        job.train.cache.save()


def _train(job: TrainingSetup, reporter: MetricsCallback, resume_from: Path | None) -> None:
    keeper, best = CheckpointCallback(job.run), BestSoFar(job, reporter.first_step)
    trainer = build_trainer(job, reporter, [reporter, EvalCallback(job, reporter, best), keeper])
    if resume_from and reporter.first_step >= total_steps(job):
        # It had ended, unproven: the Trainer would take one step more.
        job.recipe.method.resume(job.model, resume_from)
        reporter.all_steps_done()
    else:
        trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
    job.train.cache.save()  # before the last word, which ends the run for everybody who looks
    if keeper.was_stopped:
        job.out.end("stopped", _stopped_at(job.run, trainer.state.global_step))
    else:
        finish(job, reporter, best)


def stopped(run: Run) -> str:
    """Only a download is left before its end; while it trains, a stop waits for the step."""
    return "Stopped while downloading. What has arrived is kept; Resume goes on there."


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
        print(f"{broken.name} was not saved completely and is not used.")
    return newest_complete(run.checkpoints)


def _step_of(checkpoint: Path | None) -> int:
    return int(checkpoint.name.rpartition("-")[2]) if checkpoint else 0
