"""The commands that start a training: a new one, or one that ended before its last step."""

import argparse
from typing import Any

from rich.text import Text

from ..effort import expected_seconds
from ..jobs import Job
from ..launch.prices import price_of_all, price_words
from ..overrides import recipe_from, settings_help
from ..preflight import check, examples_of, ready, refuse
from ..runs import RunStore
from ..runs.extending import extended
from ..runs.moved import shared_by
from ..settings import Settings
from .command import add_command, add_job, add_no_watch, add_recipe, add_run, count, find_run
from .data import download
from .jobs import find_job, report, start, watch_until_end
from .models import fits_here
from .planning import plan_lines


def add_train(commands: Any) -> None:
    train = add_command(
        commands,
        "train",
        train_command,
        epilog=settings_help().replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_recipe(train)
    add_no_watch(train)


def add_resume(commands: Any) -> None:
    resume = add_command(commands, "resume", resume_command)
    add_job(resume)
    resume.add_argument("--processes", metavar="N", type=count, help="from here on so many share each step")
    resume.add_argument("--nodes", metavar="N", type=count, help="from here on so many machines share each step")
    add_no_watch(resume)


def add_extend(commands: Any) -> None:
    extend = add_command(commands, "extend", extend_command)
    add_run(extend)
    extend.add_argument("--epochs", metavar="N", type=float, default=0.0, help="so many more rounds over the data")
    extend.add_argument("--steps", metavar="N", type=count, default=0, help="so many more steps")
    add_no_watch(extend)


def extend_command(given: argparse.Namespace, settings: Settings) -> int:
    """Go on with a finished run for more epochs or steps, as a run of its own."""
    run = find_run(given.run, settings)
    longer = extended(run, RunStore(settings.runs), settings, given.epochs, given.steps)
    given.screen.print(Text(f"{longer.id} goes on where {run.id} was last saved."), soft_wrap=True)
    return _start(given, longer, settings)


def train_command(given: argparse.Namespace, settings: Settings) -> int:
    """Train an adapter and prove that it works."""
    settings.make_home()
    asked = recipe_from(given.recipe, given.changes, settings)
    recipe, facts, examples = ready(asked, settings)  # before anything is downloaded
    if asked.dataset.source == "hub":
        data = download(asked.dataset, settings, given.screen)
        recipe, examples = asked.model_copy(update={"dataset": data}), examples_of(data, settings.data)
        refuse(check(recipe, facts, examples))
    if examples is None:
        examples = examples_of(recipe.dataset, settings.data)
    note = f", {len(examples.left_out):,} rows left out" if examples.left_out else ""
    given.screen.print(
        Text(
            f"{recipe.title}: {len(examples.train):,} examples to learn from, {len(examples.held_out):,} held out{note}"
        )
    )
    for warning in examples.warnings:
        given.screen.print(Text(warning))
    if recipe.base_model.source != "starter":
        given.screen.print(Text(f"{facts.name}: {facts.summary()}\n{fits_here(recipe, facts)[1]}"))
        for line in plan_lines(recipe, facts, settings):
            given.screen.print(Text(line), soft_wrap=True)
    store = RunStore(settings.runs)
    if busy := [run.id for run in store.list() if run.is_alive()]:
        given.screen.print(
            Text(f"{busy[0]} is being trained too; both take longer. The page would make this one wait its turn.")
        )
    if recipe.launch.where == "hf_jobs":
        seconds = expected_seconds(recipe, store, settings.data)
        given.screen.print(Text(price_words(recipe.launch, settings, seconds)), soft_wrap=True)
    return _start(given, store.create(recipe), settings, is_priced=True)


def resume_command(given: argparse.Namespace, settings: Settings) -> int:
    """Go on with a run from its newest complete checkpoint, or with another job where it ended."""
    job = find_job(given.job, settings)
    job.check_resumable()
    if (given.processes, given.nodes) != (None, None):
        shared_by(job, given.processes, given.nodes)
    return _start(given, job, settings)


def _start(given: argparse.Namespace, job: Job, settings: Settings, is_priced: bool = False) -> int:
    """is_priced: was said already what it costs."""
    if not is_priced and (price := price_of_all([job.place()], settings)):
        given.screen.print(Text(price), soft_wrap=True)
    start(job, given.screen)
    if given.no_watch:
        return report(given, job, job.status())
    return watch_until_end(given, job)
