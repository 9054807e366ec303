"""How the models are asked: the system text, and a field for each setting of Decoding, made from its declaration. They
are kept with each conversation, and come back with it.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic import ValidationError
from pydantic.fields import FieldInfo

from ...choices import bounds, options
from ...errors import UserError
from ...inference.session import Decoding
from ..events import Answer, Given
from .history import LONGEST_MESSAGE, decoding_of, system_of

FIRST = ("max_new_tokens", "temperature", "base_temperature")  # what most people look for
LATER = ("greedy", "thinking")
NOTHING = {"repetition_penalty": "As the model", "seed": "Random"}  # what an empty field means


class How:
    """The fields by the names of Decoding, and `system`."""

    def build(self) -> None:
        """All of them."""
        declared = Decoding.model_fields
        self.system = gr.Textbox(
            label="System text",
            lines=2,
            max_lines=6,
            max_length=LONGEST_MESSAGE,
            interactive=True,
            placeholder="None",
            elem_id="system-text",
            info="Stands before the conversation. At first it is the one that all examples had.",
        )
        numbers = [name for name in declared if name not in (*FIRST, *LATER)]
        with gr.Row():
            self.fields: dict[str, Component] = {name: _control(name, declared[name]) for name in (*FIRST, *numbers)}
        self.fields |= {name: _control(name, declared[name]) for name in LATER}
        self.thinking = self.fields["thinking"]
        self.fields["system"] = self.system

    @property
    def components(self) -> list[Component]:
        """All, in their order."""
        return list(self.fields.values())

    def read(self, given: Given) -> tuple[str, Decoding]:
        """(system text, decoding) that stand in the fields. Raises UserError for what does not fit."""
        said = {name: _meant(name, given[field]) for name, field in self.fields.items() if name != "system"}
        return given[self.system] or "", Decoding(**said)

    def recalled(self, kept: Mapping[str, Any]) -> Answer:
        """The fields as they were when a conversation was kept, wherever that was; what does not fit is as usual."""
        decoding = decoding_of({name: kept[name] for name in Decoding.model_fields if name in kept})
        shown = {name: "" if value is None else value for name, value in decoding.model_dump().items()}
        shown["system"] = system_of(kept.get("system"))
        return {field: shown[name] for name, field in self.fields.items()}


def kept(system: str, decoding: Decoding) -> dict[str, Any]:
    """What `recalled` reads again."""
    return decoding.model_dump() | {"system": system}


def _meant(name: str, value: Any) -> Any:
    """The value of a field as Decoding knows it. Raises UserError."""
    field = Decoding.model_fields[name]
    is_optional = field.default is None
    meant = value
    if value in (None, ""):
        meant = field.default
    try:
        return getattr(Decoding(**{name: str(meant).strip() if is_optional and meant is not None else meant}), name)
    except ValidationError as error:
        low, high = bounds(field)
        if low is None:
            raise
        raise UserError(
            "chat.number_wrong",
            "{title}: {value} does not fit. Write a number from {low:g} to {high:,g}.",
            title=field.title,
            value=str(value)[:40],
            low=low,
            high=high,
        ) from error


def _control(name: str, field: FieldInfo) -> Component:
    words: dict[str, Any] = {
        "label": field.title,
        "info": field.description,
        "value": field.default,
        "interactive": True,
        "elem_id": f"how-{name.replace('_', '-')}",
    }
    if choices := options(field):
        return gr.Radio(choices, visible=False, **words)
    if field.annotation is bool:
        return gr.Checkbox(**words)
    if field.default is None:  # gr.Number shows 0 where nothing was entered
        return gr.Textbox(**words | {"value": ""}, placeholder=NOTHING[name], max_lines=1, min_width=120)
    low, high = bounds(field)
    step, places = (1, 0) if field.annotation is int else (0.05, None)
    return gr.Number(minimum=low, maximum=high, step=step, precision=places, min_width=120, **words)
