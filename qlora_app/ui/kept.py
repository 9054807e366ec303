"""Fields of the page that stand as they stood when it is loaded again in the same tab of a browser, see kept.js. The
form of the Train tab, whose settings depend on each other, is looked at by the server first: train/form_kept.py.
"""

import json
from collections.abc import Sequence
from typing import Any

import gradio as gr
from gradio.components import Component

from .scripts import shared

KEEPS = "keeps"  # the class of such a field; its elem_id is what it is known by


def keep(fields: Sequence[Component], basis: Component, restored: Any) -> Any:
    """Keep them at each change, and have them stand again after the event in which the page came. basis: says who has
    logged in. Answers the event after which they do.
    """
    names, given = json.dumps([one.elem_id for one in fields]), [*fields]
    kept = shared(f"(...given) => guanacoKeepPage({names}, given)")
    gr.on([one.change for one in fields], None, given, None, js=kept)
    return restored.then(
        None, [*given, basis], given, js=shared(f"(...given) => guanacoStand({names}, given, given.at(-1))")
    )
