"""The recipe as a form. Every control is made from the declaration of its setting; no setting is named a second time.

Two pairs of settings are one question for a person and one control here: which model (`base_model.source` and `.id`)
and which data (`dataset.source` and `.id`). `Effort` is a shortcut that writes `training.epochs`.
"""

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args, get_origin

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from .. import starter
from ..base_models import ModelChoice, kept_models, local_models
from ..choices import (
    bounds,
    dotted_name,
    is_recorded,
    iter_settings,
    options,
    value_at,
    variant_of,
)
from ..errors import Problem, UserError
from ..preflight import check_here, refuse
from ..presets import suggested
from ..recipe import Recipe
from ..settings import Settings
from ..training_data import (
    DatasetChoice,
    kept_data,
    server_files,
    uploaded_files,
)
from .guard import reads
from .language import Written
from .method_card import card_words
from .theme import plain

PAIRS = ("base_model", "dataset")
METHOD, LEARNING_RATE, BATCH_SIZE = "method.name", "training.learning_rate", "training.batch_size"
SEARCH = "hub"  # what the model control says while somebody looks for one
SEARCH_DATA, PASTE = "hub/", "file/"  # what the data control says while somebody looks for data, or brings some
SECTIONS = {
    "": "Name",
    "task": "Task",
    "training": "Training",
    "method": "Adapter",
    "base_model": "Model",
    "dataset": "Data",
}
FIELDS = dict(iter_settings(Recipe))


def element_id(name: str) -> str:
    """Where a setting is on the page: "method[lora].rank" -> "f-method-lora-rank"."""
    return "f-" + re.sub(r"\W+", "-", name)


class RecipeForm:
    """Builds the controls where it is told to, reads a recipe from their values, and shows one in them."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.fields = {name: field for name, field in FIELDS.items() if _can_be_chosen(name, field)}
        self.controls: dict[str, Component] = {}
        self.kinds: dict[str, gr.Group] = {}  # the settings of each method, of which one is seen

    # ---- building

    def build_model(self) -> None:
        self.controls.clear()  # the first of them
        recipe = self.first_recipe()
        self.controls["base_model"] = gr.Dropdown(
            self.model_choices(),
            value=model_value(recipe.base_model),
            label="Model",
            allow_custom_value=True,
            interactive=True,
            info="Or type a folder of this machine, or a Hub id.",
            elem_id=element_id("base_model"),
        )

    def build_data(self) -> None:
        recipe = self.first_recipe()
        self.controls["dataset"] = gr.Dropdown(
            self.data_choices(),
            value=data_value(recipe.dataset),
            label="Data",
            interactive=True,
            elem_id=element_id("dataset"),
            allow_custom_value=True,
        )

    def build_list(self, name: str, visible: bool = True) -> gr.Dropdown:
        """A setting whose values are known only when the data is: a list that is filled then, in which one can also
        type.
        """
        field = self.fields[name]
        self.controls[name] = gr.Dropdown(
            [],
            value="",
            label=field.title,
            info=_explained(field),
            allow_custom_value=True,
            interactive=True,
            elem_id=element_id(name),
            min_width=130,
            visible=visible,
        )
        return self.controls[name]

    def build_one(self, name: str, **look: Any) -> Component:
        """A setting where it belongs, instead of among all others."""
        self.controls[name] = _control(name, self.fields[name], value_of(self.first_recipe(), name), **look)
        return self.controls[name]

    def build_rest(self) -> None:
        """Every setting that has no place of its own, under the heading of its group."""
        for section, title in SECTIONS.items():
            names = [name for name in self.fields if name.rpartition(".")[0] == section and name not in self.controls]
            if section:
                plain(f'<h3 class="section">{title}</h3>')
            with gr.Group():
                for name in names:
                    self.build_one(name)
            if section == "method":
                self._build_kinds(self.first_recipe())

    def _build_kinds(self, recipe: Recipe) -> None:
        """The method's card and the settings of every method, those of the chosen one to be seen; what is typed into
        others stays.
        """
        self.card = plain(card_words(recipe.method.name), elem_id="method-card")
        for kind in dict(options(self.fields[METHOD]) or []).values():
            with gr.Group(visible=kind == recipe.method.name) as self.kinds[kind]:
                for name in (name for name in self.fields if variant_of(name) == kind):
                    self.build_one(name)

    @property
    def inputs(self) -> list[Component]:
        return list(self.controls.values())

    # ---- values of all controls <-> recipe

    def read(self, values: Sequence[Any]) -> Recipe:
        """Raises UserError with every mistake, keyed by the control it is to be shown at."""
        nested: dict[str, Any] = {}
        given = dict(zip(self.controls, values, strict=True))
        for name, value in given.items():
            if variant_of(name) not in ("", given[METHOD]):
                continue
            if name in PAIRS:
                nested.setdefault(name, {}).update(_pair(name, value))
            else:
                _put(nested, dotted_name(name), _as_typed(self.fields[name], value))
        try:
            recipe = Recipe.from_dict(nested)
            refuse(check_here(recipe))
            return recipe
        except UserError as error:
            places = {name: self.place(name, given[METHOD]) for name in error.problems}
            problems = {
                place: Problem("form.number_missing", "Nothing is entered here. It needs a number.")
                if given.get(place, 0) is None
                else error.problems[name]
                for name, place in places.items()
            }
            raise UserError.of(error.problem, problems) from error

    def place(self, name: str, method: str = "") -> str:
        """The control that shows a setting's mistake: of a method's settings that of the chosen one, or of any."""
        group, _, last = name.rpartition(".")
        if group in PAIRS and last in ("source", "id"):
            return group
        alike = [leaf for leaf in self.controls if dotted_name(leaf) == name]
        return next((leaf for leaf in alike if variant_of(leaf) == method), alike[0] if alike else name)

    @property
    def of_the_method(self) -> list[Component]:
        """What `choose_method` fills."""
        return [self.card, *self.kinds.values()]

    @reads
    def choose_method(self, method: str) -> list[Any]:
        """Its card, and of all methods' settings its own."""
        return [card_words(method), *(gr.Group(visible=kind == method) for kind in self.kinds)]

    def data_of(self, values: Sequence[Any]) -> DatasetChoice:
        """The data on the form and how it is read, whatever is wrong with the rest of the form."""
        nested: dict[str, Any] = {"dataset": _pair("dataset", values[1])}
        for name, value in zip(self.controls, values, strict=True):
            if name.startswith("dataset."):
                _put(nested, name, _as_typed(self.fields[name], value))
        try:
            return DatasetChoice.model_validate(nested["dataset"])
        except ValidationError:  # Start names what is wrong
            return chosen_data(values[1])

    def show(self, recipe: Recipe) -> list[Any]:
        """A value for each control, in the order of `inputs`."""
        return [value_of(recipe, name) for name in self.controls]

    def title(self, name: str) -> str:
        """The words on a control."""
        return {"base_model": "Model", "dataset": "Data"}.get(name) or self.fields[name].title or name

    def display_value(self, name: str, value: Any) -> str:
        """A value as the control shows it: the words of an option, not its name in the file."""
        if isinstance(value, bool):
            return "on" if value else "off"
        return dict((v, words) for words, v in options(self.fields[name]) or []).get(value) or str(value)

    def is_written(self, name: str) -> bool:
        """Is its value text that a person types?"""
        return name not in PAIRS and not options(self.fields[name])

    # ---- what can be chosen

    def first_recipe(self) -> Recipe:
        """What a fresh page starts with: the preset of the first starter dataset."""
        return suggested(ModelChoice(), DatasetChoice())

    def model_choices(self) -> list[tuple[str, str]]:
        return (
            [("Pennywick starter (built in)", model_value(ModelChoice()))]
            + [(Written(_short(folder.name)), str(folder)) for folder in local_models(self.settings.models)]
            + [(Written(_short(model.id)), model.id) for model in kept_models()]
            + [("Find one on the Hugging Face Hub…", SEARCH)]
        )

    def data_choices(self, also: DatasetChoice | None = None) -> list[tuple[str, str]]:
        """Everything that can be learned from; `also` what is chosen, which need not be here yet."""
        folder = self.settings.data
        built_in = [DatasetChoice(id=name) for name in starter.DATASETS]
        own = [DatasetChoice(source="file", id=id) for id in (*uploaded_files(folder), *server_files(folder))]
        hub = [DatasetChoice(source="hub", id=id) for id in kept_data(folder)]
        if also and also.source == "hub" and also.id and also.id not in [one.id for one in hub]:
            hub.append(DatasetChoice(source="hub", id=also.id))
        return [
            *((_short(_words(choice)), data_value(choice)) for choice in built_in),
            *((Written(_short(_words(choice))), data_value(choice)) for choice in (*own, *hub)),
            ("Find one on the Hugging Face Hub…", SEARCH_DATA),
            ("Paste text or drop files…", PASTE),
        ]


def model_value(model: ModelChoice) -> str:
    return model.source if model.source == "starter" else model.id


def data_value(data: DatasetChoice) -> str:
    return f"{data.source}/{data.id}"


def chosen_model(value: Any) -> ModelChoice:
    """The model a value of the model control stands for; other settings of it at their defaults."""
    return ModelChoice(**_pair("base_model", value))


def chosen_data(value: Any) -> DatasetChoice:
    return DatasetChoice(**_pair("dataset", value))


def value_of(recipe: Recipe, name: str) -> Any:
    """The value of a control that shows `recipe`."""
    if name in PAIRS:
        return model_value(recipe.base_model) if name == "base_model" else data_value(recipe.dataset)
    value = value_at(recipe, name, FIELDS[name].default)
    return "\n".join(value) if isinstance(value, list) else value


def _can_be_chosen(name: str, field: FieldInfo) -> bool:
    group, _, last = name.rpartition(".")
    in_a_pair = group in PAIRS and last in ("source", "id")
    return (
        not in_a_pair and not is_recorded(field) and len(options(field) or "ab") > 1
    )  # with a single option there is nothing to choose


def _control(name: str, field: FieldInfo, value: Any, **look: Any) -> Component:
    words: dict[str, Any] = {
        "label": field.title or name,
        "info": _explained(field),
        "value": value,
        "interactive": True,
        "elem_id": element_id(name),
        **look,
    }
    if choices := options(field):
        return gr.Dropdown(choices, filterable=False, **words)
    if field.annotation is bool:
        return gr.Checkbox(**words)
    if field.annotation in (int, float):
        step = 1 if field.annotation is int else (field.default or 0.1) / 10
        return gr.Number(
            step=step, **words
        )  # no minimum or maximum: the recipe itself says what is wrong, and at which field
    lines = 3 if get_origin(field.annotation) is list else 1
    return gr.Textbox(**{"lines": lines, "max_lines": max(1, lines * 2), **words})


def _explained(field: FieldInfo) -> str:
    low, high = bounds(field)
    if field.annotation is int and low is not None and high is not None and high <= 4096:
        return f"{field.description} From {low:g} to {high:g}."
    return field.description or ""


def _as_typed(field: FieldInfo, value: Any) -> Any:
    """What the person meant: a whole number where 3.0 stands for one, lines as a list."""
    if field.annotation is int and isinstance(value, float) and value.is_integer():
        return int(value)
    if get_origin(field.annotation) is list and get_args(field.annotation) == (str,):
        return [line.strip() for line in (value or "").splitlines() if line.strip()]
    return (value or "").strip() if field.annotation is str else value


def _pair(name: str, value: Any) -> dict[str, str]:
    """ "starter", a folder or a Hub id -> settings of base_model; "file/ab-my.json" -> settings of dataset."""
    text = str(value or "").strip()
    if name == "dataset":
        source, slash, id = text.partition("/")
        known = source in ("starter", "file", "hub") and slash
        return (
            {"source": source, "id": id} if known else {"source": "hub" if slash else "file", "id": text}
        )  # typed by hand
    if text in ("starter", SEARCH):
        return {"source": text, "id": ""}
    is_path = text.startswith(("/", "~", ".")) or "\\" in text or Path(text).is_dir()
    return {"source": "folder" if is_path or not text else "hub", "id": text}


def _put(nested: dict[str, Any], name: str, value: Any) -> None:
    *groups, last = name.split(".")
    for group in groups:
        nested = nested.setdefault(group, {})
    nested[last] = value


def _words(choice: DatasetChoice) -> str:
    return starter.DATASETS[choice.id].title if choice.source == "starter" else choice.title


def _short(text: str) -> str:
    """A list on a phone has room for about so much."""
    return text if len(text) <= 44 else f"{text[:30]}…{text[-12:]}"
