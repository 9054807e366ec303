"""How the models are asked: the system text, and a field for each setting of Decoding, made from its declaration. They
are kept with each conversation, and come back with it.
"""

from collections.abc import Mapping
from typing import Any

import gradio as gr
from gradio.components import Component
from pydantic.fields import FieldInfo

from ...choices import bounds, options
from ...inference.session import Decoding
from ..events import Answer, Given
from .history import LONGEST_MESSAGE, decoding_of, system_of

FIRST = ("max_new_tokens", "temperature", "base_temperature")  # what most people look for
LATER = ("thinking",)  # where the model can reason at all


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
        rest = [name for name in declared if name not in (*FIRST, *LATER)]
        with gr.Row():
            self.fields: dict[str, Component] = {name: _control(name, declared[name]) for name in (*FIRST, *rest)}
        self.thinking = _control("thinking", declared["thinking"], visible=False)
        self.fields |= {"system": self.system, "thinking": self.thinking}

    @property
    def components(self) -> list[Component]:
        """All, in their order."""
        return list(self.fields.values())

    def values(self, given: Given) -> dict[str, Any]:
        """What stands in the fields, by name."""
        return {name: given[field] for name, field in self.fields.items()}

    def recalled(self, kept: Mapping[str, Any]) -> Answer:
        """The fields as they were when a conversation was kept, wherever that was; what does not fit is as usual."""
        known = decoding(kept).model_dump() | {"system": system_of(kept.get("system"))}
        return {field: known[name] for name, field in self.fields.items()}


def decoding(values: Mapping[str, Any]) -> Decoding:
    """What the fields say beside the system text."""
    return decoding_of({name: values[name] for name in Decoding.model_fields if name in values})


def _control(name: str, field: FieldInfo, **look: Any) -> Component:
    words: dict[str, Any] = {
        "label": field.title,
        "info": field.description,
        "value": field.default,
        "interactive": True,
        "min_width": 120,
        "elem_id": f"how-{name.replace('_', '-')}",
        **look,
    }
    if choices := options(field):
        return gr.Radio(choices, **words)
    if field.annotation is bool:
        return gr.Checkbox(**words)
    low, high = bounds(field)
    is_whole = field.annotation in (int, int | None)
    step, places = (1, 0) if is_whole else (0.05, None)
    return gr.Number(minimum=low, maximum=high, step=step, precision=places, **words)
