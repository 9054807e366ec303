"""`train starter training.epochs=1`: from the words of a command to a checked
recipe, from a recipe back to its command.
"""

import contextlib
import copy
import os
import shlex
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_origin

from pydantic.fields import FieldInfo

from .base_models import ModelChoice
from .choices import (
    bounds,
    dotted_name,
    iter_settings,
    merged,
    options,
    value_at,
    variant_of,
)
from .errors import Problem, UserError
from .preflight import check_here, refuse
from .presets import Presets
from .recipe import NO_SUCH_SETTING, Recipe, wrong_settings
from .settings import Settings
from .start_from import HUB_ID
from .starter import DATASETS
from .training_data import DatasetChoice, import_file
from .training_data.formats.columns import ColumnMap
from .training_data.read.archives import ENDINGS

PROGRAM = "python -m qlora_app"


def recipe_from(source: str, assignments: list[str], settings: Settings) -> Recipe:
    """The recipe of a file, a preset or a model with `setting=value` changes applied; a data file that is named is
    imported.

    Raises UserError with every mistake at once.
    """
    given, problems = _given(assignments)
    values, unknown = _changed(_values_of(source, Presets(settings.presets)), given)
    problems |= unknown
    data = _own_data(values, settings)
    held_out = _held_out_data(values, data)
    try:
        recipe = Recipe.from_dict(values)
        refuse(check_here(recipe))  # before a file is imported
    except UserError as error:
        if not error.problems:
            raise
        problems = {**error.problems, **problems}
    if problems:
        raise wrong_settings(problems)
    imported = {}
    if data:
        imported["id"] = _import(data, recipe.dataset, settings)
    if held_out:
        imported["held_out_from"] = _import(
            held_out, recipe.dataset.model_copy(update={"columns": ColumnMap()}), settings
        )
    if not imported:
        return recipe
    return recipe.model_copy(update={"dataset": recipe.dataset.model_copy(update=imported)})


def with_changes(recipe: Recipe, changes: Mapping[str, Any]) -> Recipe:
    """A recipe with other values for some settings, {dotted name: its value or as typed}; another method brings its own
    learning rate. Whether its parts go together is `preflight`'s to say. Raises UserError with every mistake at once.
    """
    values, problems = _changed(recipe.model_dump(mode="json"), changes)
    try:
        changed = Recipe.from_dict(values)
    except UserError as error:
        problems = {**error.problems, **problems}
    if problems:
        raise wrong_settings(problems)
    return changed


def _values_of(source: str, presets: Presets) -> dict[str, Any]:
    """The nested settings of a file, of a preset, or of nothing but a model: its folder or its id on the Hub."""
    file = Path(source)
    if (file / "config.json").is_file():
        return {"base_model": {"source": "folder", "id": source}}
    if file.is_file():
        return presets.read(file)
    if HUB_ID.fullmatch(source) and file.suffix not in (".yaml", ".yml"):
        return {"base_model": {"source": "hub", "id": source}}
    if file.name != source or file.suffix in (".yaml", ".yml"):
        raise UserError(
            "recipe.no_file",
            "There is no file {source}. Give the path of a recipe, or a preset's name: {presets}.",
            source=source,
            presets=", ".join(presets.names()),
        )
    return presets.read(presets.path(source))


def _import(place: Path, choice: DatasetChoice, settings: Settings) -> str:
    """The id of a file or folder, read as chosen and copied into the data folder."""
    files = _files_in(place) if place.is_dir() else place
    root = place if place.is_dir() else None
    return import_file(files, settings.data, place.name, settings, choice.columns, how=choice.read_as, root=root)


def _with_trainer(values: dict[str, Any], trainer: str) -> dict[str, Any]:
    """Nested settings with another way to learn from the data, which takes steps of another size."""
    changed: dict[str, Any] = {"preferences": {"trainer": trainer}}
    with contextlib.suppress(UserError):  # what is wrong is said when all of it is known
        suited = Recipe.from_dict(values).suiting(trainer=trainer)
        changed["training"] = {"learning_rate": suited.training.learning_rate}
    return merged(values, changed)


def _with_method(values: dict[str, Any], name: str) -> dict[str, Any]:
    """Nested settings with another method, which has settings of its own, takes steps of another size, and may not
    train on every precision of the base.
    """
    changed: dict[str, Any] = {"method": {"name": name}}
    with contextlib.suppress(UserError):  # what is wrong is said when all of it is known
        suited = Recipe.from_dict(values).suiting(name)
        changed["training"] = {"learning_rate": suited.training.learning_rate}
        changed["base_model"] = {"precision": suited.base_model.precision}
    return merged(values, changed)


def command_for(recipe: Recipe, presets: Presets, needs_name: bool = True) -> str:
    """The `train` command that makes this recipe, ready for a shell: a preset that was made for its model, else the
    model itself, and what differs.

    needs_name: otherwise a name and a note that are empty are left to what it begins with.
    """
    ignored = () if needs_name else ("name=", "note=")
    related = {name: one for name, one in presets.all()[0].items() if _is_related(one, recipe)}
    if not related:
        base = Recipe(base_model=ModelChoice(source=recipe.base_model.source, id=recipe.base_model.id))
        return _command(recipe.base_model.id, base, recipe, ignored)

    def distance(name: str) -> tuple[int, bool]:
        return len(differences(related[name], recipe)), presets.is_own(name)

    nearest = min(related, key=distance)
    return _command(nearest, related[nearest], recipe, ignored)


def _command(source: str, base: Recipe, recipe: Recipe, ignored: tuple[str, ...]) -> str:
    assignments = [one for one in differences(base, recipe) if one not in ignored]
    return shlex.join([*PROGRAM.split(), "train", source, *assignments])


def _is_related(preset: Recipe, recipe: Recipe) -> bool:
    """Would one begin with this preset? It was made for the same model, and those for the starter for the same data,
    or for the first dataset, which is for any.
    """
    model, data = recipe.base_model, recipe.dataset
    if (preset.base_model.source, preset.base_model.id) != (model.source, model.id):
        return False
    made_for = preset.dataset.source, preset.dataset.id
    return model.source != "starter" or made_for in ((data.source, data.id), ("starter", DatasetChoice().id))


def differences(base: Recipe, recipe: Recipe) -> list[str]:
    """The `name=value` assignments with which `recipe_from` makes `recipe` of `base`; one for each member of a list."""
    base = base.suiting(recipe.method.name, recipe.preferences.trainer)
    assignments = []
    for leaf, field in iter_settings(Recipe):
        value = value_at(recipe, leaf, ...)
        if value in (..., value_at(base, leaf, field.default)):
            continue
        members = value if isinstance(value, list) else [value]
        for member in members or [""]:  # an empty list is given as `name=`
            assignments.append(f"{dotted_name(leaf)}={as_typed(member)}")
    return assignments


def as_typed(value: Any) -> str:
    """One value as it stands behind `name=`."""
    if isinstance(value, bool):
        return str(value).lower()
    return str(value)


def _given(assignments: list[str]) -> tuple[dict[str, Any], dict[str, Problem]]:
    """({dotted name: what was typed behind `name=`}, what is no assignment). A setting that is a list takes one member
    each time it is given.
    """
    lists = {dotted_name(leaf) for leaf, field in iter_settings(Recipe) if get_origin(field.annotation) is list}
    given: dict[str, Any] = {}
    problems: dict[str, Problem] = {}
    for assignment in assignments:
        name, equals, text = assignment.partition("=")
        if not equals:
            problems[name] = Problem(
                "recipe.no_assignment", "This changes nothing. Write name=value, for example training.epochs=1."
            )
        elif name in lists:
            given[name] = [*given.get(name, []), *filter(None, [text])]
        else:
            given[name] = text
    return given, problems


def _changed(values: dict[str, Any], changes: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Problem]]:
    """(nested settings with other values for some, {dotted name: value}, the names that no setting can have). Another
    method comes with what suits it, before the rest is written.
    """
    method = changes.get("method.name")
    changed = copy.deepcopy(values)
    before = changed.get("method")
    if method and not (isinstance(before, dict) and before.get("name") == method):
        changed = _with_method(changed, str(method))
    if trainer := changes.get("preferences.trainer"):
        changed = _with_trainer(changed, str(trainer))
    problems: dict[str, Problem] = {}
    for name, value in changes.items():
        *groups, last = name.split(".")
        inner: Any = changed
        for group in groups:
            inner = inner.setdefault(group, {}) if isinstance(inner, dict) else None
        if isinstance(inner, dict):
            inner[last] = value
        else:
            problems[name] = NO_SUCH_SETTING
    return changed, problems


def _own_data(values: dict[str, Any], settings: Settings) -> Path | None:
    """The file or folder that dataset.id names by its path; None where it names anything else.

    In `values` a model's folder and data of one's own get their source, and a path becomes a name.
    """
    for group in ("dataset", "base_model"):
        if not isinstance(values.get(group, {}), dict):
            return None  # a mistake, reported with all others
    model = values.get("base_model", {})
    folder = Path(os.path.expanduser(str(model.get("id", ""))))
    if model.get("id") and model.get("source", "starter") != "hub":
        model["source"] = "folder"
        if folder.is_dir():
            model["id"] = str(folder.resolve())  # the worker runs elsewhere, so it is named in full
    dataset = values.get("dataset", {})
    name = str(dataset.get("id", ""))
    if not name or name in DATASETS or dataset.get("source") == "hub":
        return None
    if (place := Path(os.path.expanduser(name))).exists():
        dataset.update(source="file", id=place.resolve().name)
        return place.resolve()
    if (settings.data / name).exists():
        dataset.update(source="file")
    return None


def _held_out_data(values: dict[str, Any], data: Path | None) -> Path | None:
    """The file or folder that dataset.held_out_from names by its path; in `values` it becomes a name.

    data: what is learned from. None where that is not a person's own, or where there is no such path.
    """
    dataset = values.get("dataset", {})
    if not isinstance(dataset, dict) or dataset.get("source") != "file" or not dataset.get("held_out_from"):
        return None
    place = Path(os.path.expanduser(str(dataset["held_out_from"])))
    if not place.exists():
        return None
    dataset["held_out_from"] = place.name
    if place.resolve() != data:  # two folders may have files of one name
        dataset["held_out_from"] = f"held-out {place.name}"
    return place.resolve()


def _files_in(folder: Path) -> list[Path]:
    inside = (one for one in folder.rglob("*") if one.name.lower().endswith(tuple(ENDINGS)) and one.is_file())
    return sorted(one for one in inside if not any(part.startswith(".") for part in one.relative_to(folder).parts))


def settings_help() -> str:
    """Every setting of a recipe: name, default, what is allowed, what it does."""
    lines, group = ["settings, each changed by name=value:"], None
    for leaf, field in iter_settings(Recipe):
        if group != (group := leaf.rpartition(".")[0]):
            lines.append("")
            if kind := variant_of(leaf):
                lines.append(f"  with method.name={kind}:")
        lines.append(f"  {dotted_name(leaf)}={_shown(field.default)}{_allowed(field)}")
        lines += textwrap.wrap(
            f"{field.title}. {field.description}", 100, initial_indent="      ", subsequent_indent="      "
        )
    return "\n".join(lines)


def possible_values(name: str) -> list[str]:
    """What can stand behind `name=`, where that can be listed."""
    if name == "dataset.id":
        return list(DATASETS)
    fields = [field for leaf, field in iter_settings(Recipe) if dotted_name(leaf) == name]
    listed = [value for field in fields for _, value in options(field) or []]
    if listed:
        return list(dict.fromkeys(listed))
    if fields and fields[0].annotation is bool:
        return ["true", "false"]
    return []


def _shown(value: Any) -> str:
    if value in ("", []):
        return '""'
    return as_typed(value)


def _allowed(field: FieldInfo) -> str:
    if get_origin(field.annotation) is list:
        return "   (give it several times for several)"
    if choices := options(field):
        return f"   ({' | '.join(value for _, value in choices)})"
    low, high = bounds(field)
    if low is None and high is None:
        return ""
    if high is None:
        return f"   (at least {low})"
    return f"   ({low} to {high})"
