"""The form as values, {control name: value}, and the recipe they say. Nothing here knows Gradio.

Two pairs of settings are one question for a person and one control: which model (`base_model.source` and `.id`) and
which data (`dataset.source` and `.id`). Every other control is named as its setting is: "method[lora].rank".
"""

import re
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ...base_models import ModelChoice
from ...choices import dotted_name, is_recorded, iter_settings, options, value_at, variant_of
from ...differs import figure
from ...errors import Problem, UserError
from ...hardware import may_be_shared
from ...network import may_meet
from ...place import USED_AT
from ...preflight import check_here, refuse
from ...recipe import Recipe
from ...training_data import DatasetChoice
from ...training_data.read.reading import SETTINGS as READ_SETTINGS

Values = dict[str, Any]

MODEL, DATA = PAIRS = ("base_model", "dataset")
NAME = "name"
METHOD, TASK = "method.name", "task.name"
EPOCHS, LEARNING_RATE, BATCH_SIZE = "training.epochs", "training.learning_rate", "training.batch_size"
MAX_STEPS, MAX_LENGTH = "training.max_steps", "training.max_length"
TRAINER = "preferences.trainer"
START_FROM = "training.start_from"
LAUNCH, WHERE = "launch.", "launch.where"
SHARED = ("launch.processes", "launch.share")
NODES, MEETING = "launch.nodes", ("launch.network", "launch.join_minutes")
MODEL_REVISION = "base_model.revision"
DATA_SETTINGS = "dataset."
COLUMNS = "dataset.columns."
ANSWERS_BY = "dataset.columns.answers_by"
SUBSET, SPLIT, REVISION = HUB_PART = ("dataset.subset", "dataset.split", "dataset.revision")
HELD_OUT = "dataset.held_out_from"
READING = tuple(f"{DATA_SETTINGS}{name}" for name in ("format", *READ_SETTINGS))  # how one file is read
SEARCH_DATA, PASTE = "hub/", "file/"  # what the data control says while somebody looks for data, or brings some
NOTHING_ENTERED = Problem("form.number_missing", "Nothing is entered here. It needs a number.")


def _can_be_chosen(name: str, field: FieldInfo) -> bool:
    """Has the setting a control of its own? With a single option there is nothing to choose."""
    group, _, last = name.rpartition(".")
    if group in PAIRS and last in ("source", "id"):
        return False
    return not is_recorded(field) and len(options(field) or "ab") > 1


EVERY = dict(iter_settings(Recipe))
FIELDS = {name: field for name, field in EVERY.items() if _can_be_chosen(name, field)}
NAMES = (*PAIRS, *FIELDS)


def element_id(name: str) -> str:
    """Where a setting is on the page: "method[lora].rank" -> "f-method-lora-rank"."""
    return "f-" + re.sub(r"\W+", "-", name)


def says_of_data(name: str) -> bool:
    """Is it a setting that says something of one dataset only?"""
    return name in (*HUB_PART, HELD_OUT, *READING, TRAINER) or name.startswith(COLUMNS)


def is_of_another_place(name: str, values: Values) -> bool:
    """Is it a setting that the chosen place makes no use of? What is typed into it stays there."""
    where = values[WHERE]
    return name.startswith(LAUNCH) and where not in USED_AT.get(name.removeprefix(LAUNCH), (where,))


def cannot_be_shared(name: str, values: Values) -> bool:
    """Is it a setting of several processes or machines, where there is no room for them, or no network between?"""
    is_alone = values[NODES] in (1, None, "")
    if name in MEETING:
        return is_alone
    if values[WHERE] != "here":
        return False
    if name == NODES:
        return not may_meet()
    return name in SHARED and is_alone and not may_be_shared()


def default_of(name: str) -> Any:
    """The value of a control before anybody chose one."""
    return EVERY[name].default


# ---- values <-> recipe


def read(values: Values) -> Recipe:
    """The recipe that every control's value together say.

    Raises UserError with every mistake, keyed by the control it is to be shown at.
    """
    method = values[METHOD]
    nested: dict[str, Any] = {}
    for name, value in values.items():
        if name in PAIRS:
            nested.setdefault(name, {}).update(_pair(name, value))
        elif variant_of(name) in ("", method) and not is_of_another_place(name, values):
            _put(nested, dotted_name(name), _as_typed(FIELDS[name], value))
    try:
        recipe = Recipe.from_dict(nested)
        refuse(check_here(recipe))
    except UserError as error:
        raise at_controls(error, values) from error
    return recipe


def at_controls(error: UserError, values: Values) -> UserError:
    """The error with each problem under the name of the control that shows it."""
    problems = {}
    for name, problem in error.problems.items():
        control = place(name, values[METHOD])
        is_empty = values.get(control, 0) is None
        problems[control] = NOTHING_ENTERED if is_empty else problem
    return UserError.of(error.problem, problems)


def show(recipe: Recipe) -> Values:
    """The value of every control that shows `recipe`; those of another method at their defaults."""
    return {name: value_of(recipe, name) for name in NAMES}


def value_of(recipe: Recipe, name: str) -> Any:
    """The value of one control that shows `recipe`."""
    if name == MODEL:
        return model_value(recipe.base_model)
    if name == DATA:
        return data_value(recipe.dataset)
    value = value_at(recipe, name, EVERY[name].default)
    return "\n".join(value) if isinstance(value, list) else value


def data_of(values: Values) -> DatasetChoice:
    """The data on the form and how it is read, whatever is wrong with the rest of the form."""
    nested: dict[str, Any] = {DATA: _pair(DATA, values[DATA])}
    for name, value in values.items():
        if name.startswith(DATA_SETTINGS):
            _put(nested, name, _as_typed(FIELDS[name], value))
    try:
        return DatasetChoice.model_validate(nested[DATA])
    except ValidationError:  # Start names what is wrong
        return chosen_data(values[DATA])


def model_value(model: ModelChoice) -> str:
    """The value of the model control that stands for `model`."""
    return model.source if model.source == "starter" else model.id


def data_value(data: DatasetChoice) -> str:
    """The value of the data control that stands for `data`."""
    return f"{data.source}/{data.id}"


def chosen_model(value: Any) -> ModelChoice:
    """The model a value of the model control stands for; other settings of it at their defaults."""
    return ModelChoice(**_pair(MODEL, value))


def chosen_data(value: Any) -> DatasetChoice:
    """The data a value of the data control stands for; other settings of it at their defaults."""
    return DatasetChoice(**_pair(DATA, value))


def place(name: str, method: str = "") -> str:
    """The control that shows a setting's mistake: of a method's settings that of the chosen one, or of any."""
    group, _, last = name.rpartition(".")
    if group in PAIRS and last in ("source", "id"):
        return group
    alike = [control for control in NAMES if dotted_name(control) == name]
    of_the_method = [control for control in alike if variant_of(control) == method]
    return next(iter([*of_the_method, *alike]), name)


def _as_typed(field: FieldInfo, value: Any) -> Any:
    """What the person meant: a whole number where 3.0 stands for one, lines as a list."""
    if field.annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if get_origin(field.annotation) is list and get_args(field.annotation) == (str,):
        lines = (value or "").splitlines()
        return [line.strip() for line in lines if line.strip()]
    return (value or "").strip() if field.annotation is str else value


def _pair(name: str, value: Any) -> dict[str, str]:
    """ "starter", a folder or a Hub id -> settings of base_model; "file/ab-my.json" -> settings of dataset."""
    text = str(value or "").strip()
    return _data_pair(text) if name == DATA else _model_pair(text)


def _data_pair(text: str) -> dict[str, str]:
    source, slash, id = text.partition("/")
    if slash and source in ("starter", "file", "hub"):
        return {"source": source, "id": id}
    return {"source": "hub" if slash else "file", "id": text}  # typed by hand


def _model_pair(text: str) -> dict[str, str]:
    if text == "starter":
        return {"source": text, "id": ""}
    is_path = text.startswith(("/", "~", ".")) or "\\" in text or Path(text).is_dir()
    return {"source": "folder" if is_path or not text else "hub", "id": text}


def _put(nested: dict[str, Any], name: str, value: Any) -> None:
    *groups, last = name.split(".")
    for group in groups:
        nested = nested.setdefault(group, {})
    nested[last] = value


# ---- how it is called


def title(name: str) -> str:
    """The words on a control."""
    return {MODEL: "Model", DATA: "Data"}.get(name) or FIELDS[name].title or name


def display_value(name: str, value: Any) -> str:
    """A value as the control shows it: the words of an option, not its name in the file."""
    if isinstance(value, bool):
        return "on" if value else "off"
    if isinstance(value, int | float):
        return figure(value)
    words = {option: label for label, option in options(FIELDS[name]) or []}
    return words.get(value) or str(value)


def is_written(name: str) -> bool:
    """Is its value text that a person types?"""
    return name not in PAIRS and not options(FIELDS[name])
