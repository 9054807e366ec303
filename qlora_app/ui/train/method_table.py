"""The methods as a table in which one is chosen: what each learned on the starter, what it weighs, when to take it."""

from html import escape
from pathlib import Path
from secrets import token_hex
from typing import Any

import gradio as gr
from gradio.components import Component

from ...choices import kinds_of
from ...methods.measured import Measured, measured
from ...recipe import Recipe
from ..events import FAST, LAST, Answer
from ..guard import reads
from ..theme import plain
from .form_values import METHOD, element_id

SCRIPT = (Path(__file__).parent / "method_table.js").read_text(encoding="utf-8")
HEADS = ("Method", "Score on the starter", "Trainable parameters", "Memory", "When to choose it")
QLORA = "QLoRA with a 4-bit base"  # who looks for the name finds it in LoRA's row
OWN_BASE, WIDE_BASE, EIGHT_BITS = "makes its own 4-bit base", "base in 16 or 32 bit", "base in 8 bit or more"
NOT_MEASURED = Measured("—", "—", "—")
MEASURED_ON = (
    "Score: held-out questions of the starter answered word for word, all methods with the same data, batch and number "
    "of steps. It is a tiny model: another one may rank them otherwise."
)


class MethodTable:
    """Its rows. Which one is chosen stands in the control of the method, whose value the table follows."""

    def build(self, chosen: str) -> None:
        """`chosen`: the method on the form."""
        self.rows = plain(table_words(chosen), js_on_load=SCRIPT, elem_id=element_id(METHOD))

    def wire(self, control: Component, touched: Component) -> None:
        """A row is chosen: its name goes into the control, and the form is looked at as after any change."""
        self.control, self.touched = control, touched
        self.rows.choose(self.choose, None, [control, touched], **FAST, **LAST)

    def showing(self, chosen: str) -> Answer:
        """The table when `chosen` is on the form."""
        return {self.rows: table_words(chosen)}

    @reads
    def choose(self, event: gr.EventData) -> Answer:
        """Another method on the form; of a name that is none, which anybody may send, nothing comes."""
        name = str((event._data or {}).get("method", ""))
        return {} if name not in methods() else {self.control: name, self.touched: token_hex(4)}


def methods() -> dict[str, Any]:
    """{name: its class}, best first as measured; those that were not measured last."""
    every = kinds_of(Recipe.model_fields["method"])
    ranked = [name for name in measured() if name in every]
    return {name: every[name] for name in [*ranked, *(name for name in every if name not in ranked)]}


def table_words(chosen: str) -> str:
    """All rows, that of `chosen` checked."""
    heads = "".join(f"<span>{head}</span>" for head in HEADS)
    rows = "".join(_row_words(name, method, name == chosen) for name, method in methods().items())
    return (
        f'<div class="methods" role="radiogroup" aria-label="Method" data-chosen="{escape(chosen)}">'
        f'<div class="top" aria-hidden="true">{heads}</div>{rows}</div><p class="quiet">{MEASURED_ON}</p>'
    )


def _row_words(name: str, method: Any, is_chosen: bool) -> str:
    figures = measured().get(name, NOT_MEASURED)
    cells = "".join(_cell_words(head, figure) for head, figure in zip(HEADS[1:4], figures, strict=True))
    base = base_words(name, method)
    named, more = f"method-{name}", f"method-{name}-more"
    checked = " checked" if is_chosen else ""
    return (
        f'<label><input type="radio" name="method-of-the-form" value="{escape(name)}"{checked} '
        f'aria-labelledby="{named}" aria-describedby="{more}"><b id="{named}">{escape(method.title())}</b>'
        f'<span class="more" id="{more}"><small>{base}</small>{cells}'
        f'<span class="when">{escape(method.card.choose)}</span></span></label>'
    )


def _cell_words(head: str, figure: str) -> str:
    return f'<span class="figure"><span class="head">{head}</span><span>{escape(figure)}</span></span>'


def base_words(name: str, method: Any) -> str:
    """What is particular about the base it learns on; empty where any will do."""
    if name == "lora":
        return QLORA
    if method.quantizes_itself:
        return OWN_BASE
    if "nf4" in method.precisions:
        return ""
    return EIGHT_BITS if "int8" in method.precisions else WIDE_BASE
