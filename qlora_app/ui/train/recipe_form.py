"""The controls of a recipe. Every control is made from the declaration of its setting; no setting is named a second
time. What their values mean is in `form_values`.
"""

from collections.abc import Mapping
from typing import Any, get_origin

import gradio as gr
from gradio.components import Component
from pydantic.fields import FieldInfo

from ... import starter
from ...choices import bounds, options, part_of, variant_of
from ...recipe import Recipe
from ...settings import Settings
from ...training_data import DatasetChoice, kept_data, server_files, uploaded_files
from ..events import FAST, Answer, Given
from ..guard import reads
from ..language import Written
from ..theme import plain
from . import where
from .form_values import (
    DATA,
    DATA_SETTINGS,
    FIELDS,
    METHOD,
    MODEL,
    PASTE,
    SEARCH_DATA,
    WHERE,
    Values,
    data_of,
    data_value,
    element_id,
    model_value,
    value_of,
)
from .method_card import card_words
from .method_table import MethodTable

SECTIONS = {
    "training": "Training",
    "method": "Adapter",
    "base_model": "Model",
    "dataset": "Data",
    "measuring": "Measuring",
    "ending": "Ending",
    "launch": "Where",
    "saving": "Saving",
}
ELSEWHERE = {"task": "dataset", "preferences": "training", "": "saving"}  # groups that have no section of their own
LONGEST_IN_A_LIST = 44  # characters: a list on a phone has room for about so much


class RecipeForm:
    """Builds the controls where it is told to, and knows them by the names of their settings."""

    def __init__(self, settings: Settings, first: Recipe) -> None:
        """`first`: the recipe that a fresh page shows."""
        self.settings = settings
        self.first = first
        self.controls: dict[str, Component] = {}
        self.methods = MethodTable()
        self.groups: dict[str, gr.Group] = {}  # the settings of each method, of which one is seen

    # ---- components

    def build_model(self) -> None:
        """Which model; the card shows it, and the list of models chooses it. Stands first."""
        self.controls.clear()
        self.controls[MODEL] = gr.Textbox(
            model_value(self.first.base_model), interactive=True, visible="hidden", elem_id=element_id(MODEL)
        )

    def build_data(self) -> None:
        """The list of data."""
        self.controls[DATA] = gr.Dropdown(
            self.data_choices(),
            value=data_value(self.first.dataset),
            label="Data",
            interactive=True,
            elem_id=element_id(DATA),
            allow_custom_value=True,
        )

    def build_list(self, name: str, visible: bool = True) -> gr.Dropdown:
        """A setting whose values are known only when the data is: a list that is filled then, in which one can also
        type.
        """
        field = FIELDS[name]
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
        self.controls[name] = _control(name, FIELDS[name], value_of(self.first, name), **look)
        return self.controls[name]

    def build_rest(self) -> None:
        """Every section, one below the other."""
        for section in SECTIONS:
            self.build_section(section)

    def build_section(self, section: str) -> None:
        """Every setting of a section that has no place of its own."""
        plain(f"<h3>{SECTIONS[section]}</h3>", elem_classes="section-title")
        with gr.Group():
            for name in self._without_control(section):
                self.build_one(name, **self._look(name))
        if section == "method":
            self._build_methods()

    def _without_control(self, section: str) -> list[str]:
        inside = [name for name in FIELDS if section_of(name) == section]
        return [name for name in inside if name not in self.controls and name != METHOD]

    def _look(self, name: str) -> dict[str, Any]:
        if name != WHERE:
            return {}
        info = f"{FIELDS[name].description} {where.needs_words(self.settings)}".strip()
        return {"choices": where.choices(self.settings), "info": info}

    def _build_methods(self) -> None:
        """The table of methods, the chosen one's card, and the settings of every method, those of the chosen one to be
        seen; what is typed into others stays.
        """
        chosen = self.first.method.name
        self.methods.build(chosen)
        self.build_one(METHOD, visible="hidden", elem_id="chosen-method")
        self.card = plain(card_words(chosen), elem_id="method-card")
        for _, method in options(FIELDS[METHOD]) or []:
            with gr.Group(visible=method == chosen) as self.groups[method]:
                for name in FIELDS:
                    if variant_of(name) == method:
                        self.build_one(name)

    def wire(self) -> None:
        """Choosing a method shows its card and its settings."""
        method = self.controls[METHOD]
        method.change(self.choose_method, {method}, [self.methods.rows, self.card, *self.groups.values()], **FAST)

    # ---- components <-> names

    @property
    def inputs(self) -> set[Component]:
        """Every control."""
        return set(self.controls.values())

    @property
    def data_inputs(self) -> set[Component]:
        """What says which data is learned from and how it is read: all that `data_of` asks for. Gradio looks for each
        input of an event in the whole page, several times.
        """
        return {control for name, control in self.controls.items() if name.startswith((DATA, DATA_SETTINGS))}

    def values(self, given: Mapping[Component, Any]) -> Values:
        """{control name: value} of what a handler was given."""
        return {name: given[control] for name, control in self.controls.items() if control in given}

    def updates(self, values: Values) -> Answer:
        """The answer of a handler that shows these values; the list of data is made anew."""
        answer: Answer = {self.controls[name]: value for name, value in values.items()}
        if DATA in values:
            answer[self.controls[DATA]] = gr.update(choices=self.data_choices(data_of(values)), value=values[DATA])
        if WHERE in values:
            there = where.choices(self.settings, values[WHERE])
            answer[self.controls[WHERE]] = gr.update(choices=there, value=values[WHERE])
        return answer

    def lists(self, data: DatasetChoice) -> Answer:
        """The answer of a handler that makes the list of data anew, with `data` in it; what is chosen in it stays."""
        return {self.controls[DATA]: gr.update(choices=self.data_choices(data))}

    # ---- handlers

    @reads
    def choose_method(self, given: Given) -> Answer:
        """Its row in the table, its card, and of all methods' settings its own."""
        chosen = given[self.controls[METHOD]]
        groups = {group: gr.Group(visible=method == chosen) for method, group in self.groups.items()}
        return {self.card: card_words(chosen), **self.methods.showing(chosen), **groups}

    # ---- what can be chosen

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


def section_of(name: str) -> str:
    """The section in which a setting stands; settings of a single method stand with that."""
    group = name.rpartition(".")[0]
    return part_of(FIELDS[name]) or ELSEWHERE.get(group, group)


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
        return gr.Dropdown(filterable=False, **{"choices": choices, **words})
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


def _words(choice: DatasetChoice) -> str:
    return starter.DATASETS[choice.id].title if choice.source == "starter" else choice.title


def _short(text: str) -> str:
    """A text as a list has room for it."""
    return text if len(text) <= LONGEST_IN_A_LIST else f"{text[:30]}…{text[-12:]}"
