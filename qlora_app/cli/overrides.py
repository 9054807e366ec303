"""`train starter training.epochs=1`: from words on the command line to a checked recipe, and the help that lists them."""

import difflib
import textwrap
from pathlib import Path
from typing import Any, get_origin

from pydantic.fields import FieldInfo

from ..choices import bounds, leaves, options
from ..errors import UserError
from ..recipe import PRESETS, Recipe, preset_names, read_yaml
from ..settings import Settings
from ..starter import DATASETS
from ..training_data import import_file


def recipe_from(source: str, assignments: list[str], settings: Settings) -> Recipe:
    """The recipe of a file or preset with `setting=value` changes applied; a data file that is named is imported.

    Raises UserError with every mistake at once.
    """
    values = read_yaml(_recipe_file(source))
    problems = _apply(values, assignments)
    data = _own_file(values)
    try:
        recipe = Recipe.from_dict(values)
    except UserError as error:
        if not error.problems:
            raise
        problems = {**error.problems, **problems}
    if problems:
        raise UserError("\n".join(f"{name}: {text}" for name, text in problems.items()), problems)
    if data is None:
        return recipe
    id = import_file(data, settings.data, data.name, settings.max_upload_mb, settings.max_rows)
    return recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update={"id": id})})


def _recipe_file(source: str) -> Path:
    if Path(source).is_file():
        return Path(source)
    if source in preset_names():
        return PRESETS / f"{source}.yaml"
    near = difflib.get_close_matches(Path(source).stem, preset_names(), n=1)
    hint = f" Do you mean {near[0]}?" if near else ""
    raise UserError(f"{source} is neither a recipe file nor a preset.{hint} Presets: {', '.join(preset_names())}.")


def _apply(values: dict[str, Any], assignments: list[str]) -> dict[str, str]:
    """Write every `name=value` into the nested values; returns what could not be understood, by name.

    A setting that is a list takes one member each time it is given.
    """
    lists = {name for name, field in leaves(Recipe) if get_origin(field.annotation) is list}
    problems: dict[str, str] = {}
    given: dict[str, list[str]] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            problems[name] = "This changes nothing. Write name=value, for example training.epochs=1."
            continue
        *groups, last = name.split(".")
        inner: Any = values
        for group in groups:
            inner = inner.setdefault(group, {}) if isinstance(inner, dict) else None
        if not isinstance(inner, dict):
            problems[name] = "There is no such setting."
            continue
        members = given.setdefault(name, [])
        members += [text] if text else []
        inner[last] = members if name in lists else text
    return problems


def _own_file(values: dict[str, Any]) -> Path | None:
    """The data file that dataset.id names by its path, if it does; files and folders are then told from names in `values`."""
    for group in ("dataset", "base_model"):
        if not isinstance(values.get(group, {}), dict):
            return None  # a mistake, reported with all others
    model = values.get("base_model", {})
    folder = Path(str(model.get("id", ""))).expanduser()
    if model.get("id") and model.get("source", "starter") != "hub" and folder.is_dir():
        model.update(source="folder", id=str(folder.resolve()))  # the worker runs elsewhere
    dataset = values.get("dataset", {})
    file = Path(str(dataset.get("id", ""))).expanduser()
    if dataset.get("id") in DATASETS or not file.is_file():
        return None
    dataset.update(source="file", id=file.name)
    return file


def settings_help() -> str:
    """Every setting of a recipe: name, default, what is allowed, what it does."""
    lines, group = ["settings, each changed by name=value:"], None
    for name, field in leaves(Recipe):
        if group != (group := name.rpartition(".")[0]):
            lines.append("")
        lines.append(f"  {name}={_shown(field.default)}{_allowed(field)}")
        lines += textwrap.wrap(f"{field.title}. {field.description}", 100, initial_indent="      ", subsequent_indent="      ")
    return "\n".join(lines)


def _shown(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value in ("", []) else str(value)


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is list:
        return "   (give it several times for several)"
    if choices := options(field):
        return f"   ({' | '.join(value for _, value in choices)})"
    low, high = bounds(field)
    if low is None and high is None:
        return ""
    return f"   (at least {low})" if high is None else f"   ({low} to {high})"
