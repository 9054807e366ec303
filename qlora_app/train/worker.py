"""From a run folder to a trained, proven adapter."""

import signal
import sys
import traceback
from pathlib import Path

from ..hub import Stopped
from ..runs import ALREADY_RUNNING, Run, Status
from ..runs.checkpoints import newest_complete, set_broken_aside
from .best import BestSoFar
from .callbacks import CheckpointCallback, EvalCallback, MetricsCallback
from .computing import settle
from .downloads import download_inputs
from .failures import explain
from .proof import finish
from .setup import prepare
from .trainer import build_trainer, total_steps


def main(folder: Path) -> int:
    """Train the run in `folder`. Returns the exit code: 0 done or stopped, 1 failed, 73 another worker has it."""
    run = Run(folder)
    # A shutdown is a wish to stop: the step is finished and saved.
    before = signal.signal(signal.SIGTERM, lambda *_: run.ask("stop"))
    try:
        with run.hold_lock():
            run.take("start")  # also one that came after this worker was sent
            return work(run)
    except BlockingIOError:
        print(f"Another worker is training {run.id}.", file=sys.stderr)
        return ALREADY_RUNNING
    finally:
        signal.signal(signal.SIGTERM, before)


def work(run: Run) -> int:
    """Prepare, train, prove. Whatever goes wrong becomes a sentence in status.json; the traceback goes to the log."""
    recipe = reporter = job = None
    try:
        recipe = run.recipe()
        resume_from = _checkpoint_to_resume(run)
        reporter = MetricsCallback(run, [], int(resume_from.name.rpartition("-")[2]) if resume_from else 0)
        reporter.say("Loading the model.")
        recipe = settle(run, download_inputs(run, recipe, reporter), reporter, began=resume_from is not None)
        job = prepare(run, recipe, reporter.say)
        reporter.status.warnings.extend(job.warnings)
        keeper, best = CheckpointCallback(run), BestSoFar(job, reporter.first_step)
        trainer = build_trainer(job, reporter, [reporter, EvalCallback(job, reporter, best), keeper])
        if resume_from and reporter.first_step >= total_steps(
            job
        ):  # it had ended, unproven: the Trainer would take one step more
            recipe.method.resume(job.model, resume_from)
            reporter.all_steps_done()
        else:
            trainer.train(resume_from_checkpoint=str(resume_from) if resume_from else None)
        job.train.cache.save()  # before the last word, which ends the run for everybody who looks
        if keeper.was_stopped:
            reporter.say(_stopped(run, trainer.state.global_step), state="stopped", seconds_left=None)
        else:
            finish(job, reporter, best)
        return 0
    except Stopped:
        run.forget_stop()
        reporter.say(
            "Stopped while downloading. What has arrived is kept; Resume goes on there.",
            state="stopped",
            downloaded=None,
        )
        return 0
    except BaseException as error:  # also KeyboardInterrupt: a run must never end without a word
        traceback.print_exc()
        sentence = explain(error, recipe)
        if reporter:
            reporter.say(sentence, state="failed", seconds_left=None, downloaded=None)
        else:
            run.write_status(Status("failed", sentence=sentence))
        return 1
    finally:
        if job:
            job.train.cache.save()


def _stopped(run: Run, step: int) -> str:
    saved = newest_complete(run.checkpoints, deep=False)
    if saved is None:
        return f"Stopped at step {step}; nothing was saved. Resume starts it again."
    return f"Stopped at step {step}. Resume goes on from step {saved.name.rpartition('-')[2]}."


def _checkpoint_to_resume(run: Run) -> Path | None:
    for broken in set_broken_aside(run.checkpoints):
        print(f"{broken.name} was not saved completely and is not used.")
    return newest_complete(run.checkpoints)
