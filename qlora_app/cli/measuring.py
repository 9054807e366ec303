"""The command that says before a training whether it fits and how long it takes."""

import argparse
import json
from datetime import datetime, timedelta
from typing import Any

from rich.table import Table
from rich.text import Text

from ..formatting import about, duration, gigabytes, size, step_time
from ..jobs import Job, JobStore
from ..launch.queue import working
from ..measurement import Measurement, MeasureSpec, measure_job, measurement_of
from ..overrides import command_for, recipe_from
from ..preflight import ready
from ..presets import Presets
from ..runs import RunStore
from ..settings import Settings
from .command import DONE, INTERRUPTED, NOT_DONE, add_command, add_no_watch, add_recipe, stdout
from .jobs import report, watched


def add_measure(commands: Any) -> None:
    parser = add_command(commands, "measure", measure_command)
    add_recipe(parser)
    add_no_watch(parser)


def measure_command(given: argparse.Namespace, settings: Settings) -> int:
    """Measure whether a training fits and how long it takes, by its real largest step; exit code 1 where memory or
    disk is not enough.
    """
    settings.make_home()
    asked = recipe_from(given.recipe, given.changes, settings)
    job = measure_job(JobStore(settings.jobs), asked, ready(asked, settings).recipe)
    job.ask_to_start()
    if given.no_watch:
        return report(given, job, job.status())
    with working(settings, RunStore(settings.runs)):
        status = watched(job, given.screen)
    if status is None:
        return INTERRUPTED
    found = measurement_of(job)
    if found is None:
        return report(given, job, status)
    if given.json:
        print(json.dumps({"job": job.id, **found.to_json()}))
    else:
        _show(job, found, settings)
    return DONE if found.fits else NOT_DONE


def _show(job: Job, found: Measurement, settings: Settings) -> None:
    out = stdout()
    out.print(Text(str(found.verdict())), soft_wrap=True)
    if found.fits:
        ends = clock_in(found.seconds, datetime.now())
        out.print(Text(f"Begun now it ends at about {ends}. {_parts(found)}"), soft_wrap=True)
        out.print(Text(f"Disk: {size(found.checkpoint_bytes)} a checkpoint, {size(found.adapter_bytes)} the adapter."))
    if len(found.sizes) > 1:
        table = Table("at once", "a step", "peak memory", box=None, pad_edge=False)
        for one in found.sizes:
            table.add_row(f"{one.micro_batch:,}", step_time(one.seconds), gigabytes(one.peak))
        out.print(table)
    if found.better:
        recipe = job.spec(MeasureSpec).asked
        training = recipe.training.model_copy(update={"micro_batch": found.better.micro_batch})
        better = recipe.model_copy(update={"training": training})
        words = command_for(better, Presets(settings.presets), needs_name=False)
        out.print(
            Text(f"{found.better.micro_batch:,} at once suit it better; a step is the same: {words}"), soft_wrap=True
        )


def clock_in(seconds: float, now: datetime) -> str:
    """What the clock shows then, with the day unless that is today: "17:05", "03:10 on Tuesday 1 December"."""
    then = now + timedelta(seconds=seconds)
    if then.date() == now.date():
        return f"{then:%H:%M}"
    return f"{then:%H:%M} on {then:%A} {then.day} {then:%B}"


def _parts(found: Measurement) -> str:
    """What the time goes into, the parts that count."""
    costs = found.costs
    steps = found.steps * costs.step
    rest = max(0.0, found.seconds - steps - costs.proof - costs.loading)
    return (
        f"Of that the steps are {about(steps)}, measuring and saving on the way {duration(rest)}, the proof at the end "
        f"{duration(costs.proof)}, loading {duration(costs.loading)}."
    )
