"""The adapter that a run begins with: that of another run, or a folder that PEFT wrote elsewhere. Its weights only; the
optimizer, the schedule and the data begin anew.
"""

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .errors import Problem, UserError
from .recipe import Recipe
from .storage.files import FOLDER_ID
from .storage.outside import check_own
from .storage.reading import is_regular, read_json

SETTING = "training.start_from"
RECIPE_FILE = "recipe.yaml"
HUB_ID = re.compile(r"\w[\w.-]*/[\w.-]+")
COPY = "start"  # the folder of a run in which it keeps the adapter it began with
# Of a checkpoint: what belongs to its run, not to its adapter.
LEFT_BEHIND = ("optimizer.pt", "scheduler.pt", "rng_state*.pth", "scaler.pt", "trainer_state.json", "training_args.bin")
# Settings of a method that change how it learns, and not what is in its files.
_FREE = ("dropout", "orthogonality", "consistency")


def adapter_folder(named: str, runs: Path) -> Path:
    """The adapter's folder of a run by its id, or the folder itself. `runs`: where the runs lie.

    Raises UserError, at the setting, where there is none.
    """
    if _is_run(named, runs):
        adapter = runs / named / "adapter"
        if is_regular(adapter / "proof.json"):
            return adapter
        raise UserError.at(
            SETTING, "adapter.not_finished", "{run} has no finished adapter. Resume it first.", run=named
        )
    folder = check_own(Path(named).expanduser())
    if is_regular(folder / "adapter_config.json"):
        return folder.resolve()
    raise UserError.at(
        SETTING,
        "adapter.not_there",
        "{named} is neither a run nor a folder with an adapter_config.json.",
        named=named,
    )


def problems_of(recipe: Recipe, runs: Path) -> dict[str, Problem]:
    """What speaks against beginning with the adapter that a recipe names: {dotted setting: why, what would work}."""
    named = recipe.training.start_from
    if not named:
        return {}
    try:
        folder = adapter_folder(named, runs)
        before = Recipe.load(folder.parent / RECIPE_FILE) if folder.parent.parent == runs else None
    except UserError as error:
        return error.problems or {SETTING: error.problem}
    if not recipe.method.can_begin_with_adapter:
        return {
            SETTING: Problem(
                "adapter.method", "{method} cannot begin with a finished adapter.", method=recipe.method.title()
            )
        }
    return _unlike_run(recipe, before) if before else _unlike_folder(recipe, folder)


def newest_fitting(recipe: Recipe, runs: Path, ids: Iterable[str]) -> str:
    """The first of these runs, newest first, whose adapter learned answers and fits a recipe; empty where none does."""
    for id in ids:
        begun = recipe.training.model_copy(update={"start_from": id})
        try:
            has_learned_answers = not Recipe.load(runs / id / RECIPE_FILE).preferences.is_on
        except UserError:
            continue
        if has_learned_answers and not problems_of(recipe.model_copy(update={"training": begun}), runs):
            return id
    return ""


def in_full(recipe: Recipe, runs: Path) -> Recipe:
    """With the whole path of what is no run's id: the worker runs elsewhere. Raises UserError where there is none."""
    named = recipe.training.start_from
    if not named:
        return recipe
    folder = adapter_folder(named, runs)
    whole = named if _is_run(named, runs) else str(folder)
    return recipe.model_copy(update={"training": recipe.training.model_copy(update={"start_from": whole})})


def copy_adapter(recipe: Recipe, runs: Path, run: Path) -> Path | None:
    """The run's own copy of the adapter it begins with, made at its first start; None where it begins without one.

    Raises UserError and OSError.
    """
    if not recipe.training.start_from:
        return None
    copy = run / COPY
    if not copy.is_dir():
        half = run / f"{COPY}.tmp"
        shutil.rmtree(half, ignore_errors=True)
        source = adapter_folder(recipe.training.start_from, runs)
        shutil.copytree(source, half, ignore=shutil.ignore_patterns(*LEFT_BEHIND))
        half.rename(copy)
    return copy


def _is_run(named: str, runs: Path) -> bool:
    return bool(FOLDER_ID.fullmatch(named)) and (runs / named).is_dir()


def _unlike_run(recipe: Recipe, before: Recipe) -> dict[str, Problem]:
    problems: dict[str, Problem] = {}
    for name in ("source", "id"):
        other = getattr(before.base_model, name)
        if getattr(recipe.base_model, name) != other:
            problems[f"base_model.{name}"] = _other_base(before.base_model.title)
    wanted, given = before.method.model_dump(), recipe.method.model_dump()
    for name, value in wanted.items():
        if name not in _FREE and given.get(name) != value:
            problems[f"method.{name}"] = _other_value(value)
        if problems.get("method.name"):
            break
    return problems


def _unlike_folder(recipe: Recipe, folder: Path) -> dict[str, Problem]:
    config = read_json(folder / "adapter_config.json") or {}
    problems: dict[str, Problem] = {}
    kind = str(config.get("peft_type", "")).lower()
    if kind != "lora" or recipe.method.name != "lora":
        problem = Problem(
            "adapter.lora_only",
            "Of adapters made elsewhere only those of LoRA can be gone on with, by the method LoRA; this one is "
            "{kind}.",
            kind=kind or "?",
        )
        return {SETTING: problem} if kind != "lora" else {"method.name": problem}
    base = str(config.get("base_model_name_or_path") or "")
    # The name of a folder says nothing: whether its tensors fit is looked at before the first step.
    if HUB_ID.fullmatch(base) and recipe.base_model.source != "folder" and base.lower() != recipe.base_model.id.lower():
        problems["base_model.id"] = _other_base(base)
    method: Any = recipe.method
    for name, written, otherwise in (
        ("rank", "r", 8),
        ("alpha", "lora_alpha", 8),
        ("rank_stabilized", "use_rslora", False),
        ("weight_decomposed", "use_dora", False),
    ):
        value = config.get(written, otherwise)
        if getattr(method, name) != value:
            problems[f"method.{name}"] = _other_value(value)
    return problems


def _other_base(title: str) -> Problem:
    return Problem("adapter.other_base", "The adapter it is to begin with is for {title}.", title=title)


def _other_value(value: Any) -> Problem:
    return Problem("adapter.other_value", "The adapter it is to begin with needs {value} here.", value=str(value))
