"""The one check before a start: can this method teach this model this task from these data? Page, command line and
worker ask the same, and get the same refusals in the same order, each under the name of its setting.

    recipe, facts, examples = ready(recipe, settings)      # pins, gathers and checks; raises UserError
    problems = check(recipe, facts, examples)              # of what is known already
"""

import contextlib
import functools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, NamedTuple

from . import start_from, starter
from .base_models import (
    Facts,
    ModelChoice,
    facts_here,
    facts_of,
    folder_of,
    layers_of,
    rows_missing,
    strange_tokens,
)
from .errors import Problem, UserError
from .hardware import known_accelerators, usable_cores
from .methods.layers import no_such_layer
from .place import lacking
from .recipe import Recipe, wrong_settings
from .settings import MemberSettings, Settings
from .storage.outside import named_outside, not_yours
from .tasks import Task, not_made_for, task_for, unsuitable_tasks
from .tasks.classification import label_counts
from .tasks.options import answer_options
from .training_data import (
    DatasetChoice,
    Examples,
    NotHere,
    load_examples,
    pinned,
    stamp,
)

EXAMPLES_LOOKED_AT = 20_000  # a page cannot wait until a million are read


class Ready(NamedTuple):
    """What a start was checked with."""

    recipe: Recipe  # its data pinned
    facts: Facts  # of the base model
    examples: Examples | None  # None for data of the Hub that the worker downloads


# ---- the check


def check(recipe: Recipe, facts: Facts | None, examples: Examples | None) -> dict[str, Problem]:
    """What speaks against training `recipe`: {dotted setting: why, and what would work}; empty where nothing does.

    facts: what is known of the base model, None where nothing is. examples: the data as it is read, None where it is
    not here yet. What is not known is not held against it: whoever knows more asks again.
    """
    return _examined(recipe, facts, examples)[1] | _place_problems(recipe)


def check_here(recipe: Recipe) -> dict[str, Problem]:
    """`check` with what the settings and a config.json on this machine tell: while somebody still chooses."""
    return check(recipe, facts_here(recipe.base_model), None)


def checked_task(recipe: Recipe, facts: Facts, examples: Examples) -> Task:
    """The task of a run whose model and data are here. Raises UserError with what `check` says of it, and nothing of
    where it is trained: each of several processes sees one GPU, and whoever started them has looked.
    """
    task, problems = _examined(recipe, facts, examples)
    if task is None or problems:
        raise UserError.of_all(problems, " ")
    return task


def refuse(problems: dict[str, Problem]) -> None:
    """Raises UserError where there are any, as a recipe does that cannot be read."""
    if problems:
        raise wrong_settings(problems)


def _examined(recipe: Recipe, facts: Facts | None, examples: Examples | None) -> tuple[Task | None, dict[str, Problem]]:
    """(the task, where model and data are known; problems)"""
    possible = facts.tasks if facts else ()
    if possible and recipe.task.name not in ("auto", *possible):
        return None, {"task.name": not_made_for(recipe.task.name, possible)}
    problems = _method_problems(recipe, facts, recipe.task_on(possible)) | _problems_beside(recipe)
    problems |= _preference_problems(recipe, recipe.task_on(possible), examples)
    problems |= divided_problems(recipe, recipe.task_on(possible))
    if problems or not possible or examples is None:
        return None, problems
    try:
        task = task_for(recipe.task, possible, examples.every)
    except UserError as error:
        return None, error.problems or {"task.name": error.problem}
    problems = _method_problems(recipe, facts, task.name) | _preference_problems(recipe, task.name, examples)
    problems |= divided_problems(recipe, task.name)
    return task, problems or _option_problems(recipe, examples)


def check_on(recipe: Recipe, family: str, task: str) -> dict[str, Problem]:
    """What speaks against it on a base of such a family, by its model_type, for such a task: `check` for who knows no
    more, and nothing of the place.
    """
    problems = _suited(recipe, family, task) | _problems_beside(recipe)
    return problems | _preference_problems(recipe, task, None) | divided_problems(recipe, task)


def _method_problems(recipe: Recipe, facts: Facts | None, task: str) -> dict[str, Problem]:
    """What the method cannot do with this base in this task, as far as they are known."""
    family = facts.config.get("model_type", "") if facts else ""
    problems = _suited(recipe, family, task)
    if unknown := _unknown_layers(recipe):
        problems["method.layer_names"] = unknown
    if facts and facts.strange_tokens:
        problems["base_model.id"] = rows_missing(facts.strange_tokens, facts.config["vocab_size"])
    return problems


def _suited(recipe: Recipe, family: str, task: str) -> dict[str, Problem]:
    method = recipe.method
    problems = method.problems(recipe.base_model.precision, family, task)
    if recipe.training.gradient_checkpointing == "on" and not method.supports_checkpointing:
        problems["training.gradient_checkpointing"] = Problem(
            "method.no_checkpointing",
            "{method} cannot compute a block a second time. Choose auto or off.",
            method=method.title(),
        )
    return problems


def _preference_problems(recipe: Recipe, task: str, examples: Examples | None) -> dict[str, Problem]:
    """What DPO, ORPO or KTO cannot learn: from this data, this task, with this method."""
    choices, method = recipe.preferences, recipe.method
    problems = choices.problems(task, method.option_losses, recipe.training.batch_size)
    if choices.is_on and not problems and examples is not None:
        problems = choices.too_few(examples.pairs, examples.labelled)
    return problems


def _problems_beside(recipe: Recipe) -> dict[str, Problem]:
    """What speaks against it whatever is trained."""
    problems = recipe.reporting.problems()
    if recipe.training.max_cost and not recipe.training.price_an_hour:
        problems["training.price_an_hour"] = Problem(
            "training.no_price", "The most it may cost is given, and not what an hour costs. Say that too."
        )
    return problems


def _place_problems(recipe: Recipe) -> dict[str, Problem]:
    """Why this machine cannot share a step among as many processes."""
    if recipe.launch.processes == recipe.launch.nodes == 1 and recipe.launch.where == "here":
        return {}  # which every place has
    return recipe.launch.problems(recipe.training.batch_size, len(known_accelerators()), usable_cores())


def divided_problems(recipe: Recipe, task: str = "") -> dict[str, Problem]:
    """Why FSDP cannot divide the base for this recipe."""
    if recipe.launch.share == "ddp":
        return {}
    if reason := not_divided(recipe, task):
        return {"launch.share": reason}
    return {}


def not_divided(recipe: Recipe, task: str = "") -> Problem | None:
    """Why FSDP cannot divide the base for this recipe; None where it can."""
    method, precision = recipe.method, recipe.base_model.precision
    if recipe.launch.world(len(known_accelerators())) == 1:
        return Problem(
            "launch.nothing_to_divide", "FSDP divides the base among processes, and there is one. Choose more, or DDP."
        )
    if not method.divides_base:
        return Problem(
            "launch.method_reads_base",
            "{method} reads the whole base and does not only compute with it, so FSDP cannot divide that. Choose LoRA, "
            "or data parallel (DDP).",
            method=method.title(),
        )
    if precision == "int8":
        return Problem(
            "launch.bytes_not_divided",
            "FSDP divides numbers with a point only, and 8-bit weights are whole ones. Choose NF4, or data parallel "
            "(DDP).",
        )
    if task == "text_to_text":
        return Problem(
            "launch.encoder_apart",
            "An encoder that is computed apart from its decoder cannot be divided by FSDP here. Choose data parallel "
            "(DDP).",
        )
    if recipe.preferences.has_reference:
        return Problem(
            "launch.reference_needs_base",
            "{trainer} first asks the whole base for every pair, before it is divided. Choose ORPO, or data parallel "
            "(DDP).",
            trainer=recipe.preferences.title,
        )
    return None


def _unknown_layers(recipe: Recipe) -> Problem | None:
    """Which of the layers that are named the model does not have; None where it has all, or is not here."""
    wanted = recipe.method.layers_named()
    there = layers_of(recipe.base_model) if wanted else set()
    strange = [name for name in wanted if name not in there]
    return no_such_layer(strange, there) if there and strange else None


def _option_problems(recipe: Recipe, examples: Examples) -> dict[str, Problem]:
    """Why losses over answer options have nothing to compare in these data."""
    if not recipe.method.option_losses:
        return {}
    try:
        answer_options(examples.train)
    except UserError as error:
        return {f"method.{name}": error.problem for name in recipe.method.option_losses}
    return {}


# ---- what is needed for it


def ready(recipe: Recipe, settings: Settings, look_up: Callable[[ModelChoice], Facts] | None = None) -> Ready:
    """A recipe that may start, as a run keeps it: data pinned, everything gathered and checked. No weights and no data
    are downloaded.

    look_up: what is known of a base model; asks the Hub, with the owner's token, where nothing else is given. Raises
    UserError.
    """
    refuse(check_here(recipe))
    recipe = as_kept(recipe, pinned(recipe.dataset, settings.data, settings.token), settings)
    facts, examples = gather(recipe, settings, look_up)
    refuse(check(recipe, facts, examples))
    return Ready(recipe=recipe, facts=facts, examples=examples)


def as_kept(recipe: Recipe, data: DatasetChoice, settings: Settings) -> Recipe:
    """As a new run keeps it: with its data pinned, and what it begins with found wherever its worker runs.

    Raises UserError where its place cannot be reached from here, or the adapter it is to begin with is not there, or
    does not fit.
    """
    refuse_of_others(recipe, settings)
    if missing := lacking(recipe.launch.where, settings):
        raise UserError.of(missing, {"launch.where": missing})
    unrecorded = recipe.training.model_copy(update={"extends": ""})  # whoever extends a run says so afterwards
    recipe = recipe.model_copy(update={"dataset": data, "training": unrecorded})
    refuse(start_from.problems_of(recipe, settings.runs))
    return start_from.in_full(recipe, settings.runs)


def refuse_of_others(recipe: Recipe, settings: Settings) -> None:
    """Raises UserError where a member's run would reach beyond their own home and this machine."""
    if not isinstance(settings, MemberSettings):
        return
    if recipe.launch.where != "here" or recipe.launch.nodes > 1:
        raise UserError.at("launch.where", "member.elsewhere", "Members train on this machine only.")
    if named := named_outside(recipe.model_dump(mode="json"), [settings.home]):
        raise not_yours(named)


def gather(
    recipe: Recipe, settings: Settings, look_up: Callable[[ModelChoice], Facts] | None = None
) -> tuple[Facts, Examples | None]:
    """(what is known of the base model, the examples; None for data of the Hub that is not here yet). Raises
    UserError for a model that cannot be had or data that cannot be read.
    """
    examples = None
    with contextlib.suppress(NotHere):  # a run downloads it before it begins, and the worker checks again
        examples = examples_of(recipe.dataset, settings.data)
    try:
        facts = look_up(recipe.base_model) if look_up else facts_of(recipe.base_model, settings.token)
    except UserError as error:
        raise UserError.of(error.problem, error.problems or {"base_model.id": error.problem}) from error
    return with_tokenizer(facts, recipe.base_model), examples


def with_tokenizer(facts: Facts, model: ModelChoice) -> Facts:
    """With what its tokenizer's file tells, of a model that is here."""
    try:
        folder = folder_of(model)
        when = (folder / "tokenizer.json").stat().st_mtime_ns
    except (UserError, OSError):
        return facts
    return replace(facts, strange_tokens=_strange_tokens(folder, when))


@functools.lru_cache(maxsize=32)
def _strange_tokens(folder: Path, when: int) -> dict[str, int]:
    return strange_tokens(folder)


def examples_of(choice: DatasetChoice, data_folder: Path) -> Examples:
    """The examples of a choice, read once, and again when the files are other ones. Raises UserError."""
    found = _examples(choice, _place(choice, data_folder), stamp(choice, data_folder))
    if isinstance(found, UserError):
        raise found.with_traceback(None)
    return found


@functools.lru_cache(maxsize=32)
def _examples(choice: DatasetChoice, data_folder: Path, when: Any) -> Examples | UserError:
    try:
        return load_examples(choice, data_folder)
    except UserError as error:
        return error


def _place(choice: DatasetChoice, data_folder: Path) -> Path:
    """The starter's data is one for everybody, and is read once for all."""
    return starter.FOLDER if choice.source == "starter" and not choice.measured_with else data_folder


def taught_by(choice: DatasetChoice, data_folder: Path) -> tuple[dict[str, str], dict[str, int], bool]:
    """({task: why the data cannot teach it, empty if they can}, {label: rows with it} where they are labelled texts,
    whether only the first of many examples were looked at). Raises UserError.
    """
    return _taught_by(choice, _place(choice, data_folder), stamp(choice, data_folder))


@functools.lru_cache(maxsize=64)
def _taught_by(choice: DatasetChoice, data_folder: Path, when: Any) -> tuple[dict[str, str], dict[str, int], bool]:
    every = examples_of(choice, data_folder).every
    some = every[:EXAMPLES_LOOKED_AT]
    reasons = unsuitable_tasks(some)
    counts = {} if reasons["classification"] else dict(label_counts(some).most_common())
    return reasons, counts, len(some) < len(every)
