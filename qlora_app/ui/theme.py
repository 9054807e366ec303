"""Colours and letters. Everything comes from the machine itself: no font, script or picture is loaded from
elsewhere.
"""

from pathlib import Path
from typing import Any

import gradio as gr

from .colours import DARK, LIGHT
from .scripts import of_component

_HERE = Path(__file__).parent
_SHEETS = (
    "frame",
    "bar",
    "train",
    "data",
    "settings",
    "methods",
    "models",
    "run",
    "runs",
    "evaluations",
    "chat",
    "why",
    "gradio",
)  # style/, in order
STYLE = "\n".join((_HERE / "style" / f"{name}.css").read_text(encoding="utf-8") for name in _SHEETS)
# Gradio's names for our colours; the same with `_dark` behind it gets the dark one.
_COLOURED = {
    "body_background_fill": "ground",
    "background_fill_primary": "surface",
    "background_fill_secondary": "soft",
    "block_background_fill": "surface",
    "block_label_background_fill": "surface",
    "block_label_text_color": "label",
    "block_title_text_color": "text",
    "block_info_text_color": "muted",
    "body_text_color": "text",
    "body_text_color_subdued": "muted",
    "border_color_primary": "line",
    "border_color_accent": "accent",
    "color_accent_soft": "soft",
    "link_text_color": "accent",
    "link_text_color_active": "accent",
    "link_text_color_hover": "accent",
    "link_text_color_visited": "accent",
    "input_background_fill": "field",
    "input_border_color": "field-line",
    "input_border_color_focus": "accent",
    "input_placeholder_color": "hint",
    "code_background_fill": "soft",
    "table_border_color": "line",
    "table_even_background_fill": "surface",
    "table_odd_background_fill": "surface",
    "table_row_focus": "soft",
    "loader_color": "accent",
    "slider_color": "accent",
    "stat_background_fill": "accent",
    "panel_background_fill": "soft",
    "panel_border_color": "line",
    "checkbox_background_color": "field",
    "checkbox_background_color_focus": "field",
    "checkbox_background_color_hover": "field",
    "checkbox_background_color_selected": "fill",
    "checkbox_border_color": "field-line",
    "checkbox_border_color_focus": "accent",
    "checkbox_border_color_hover": "accent",
    "checkbox_border_color_selected": "fill",
    "checkbox_label_background_fill": "surface",
    "checkbox_label_background_fill_hover": "soft",
    "checkbox_label_background_fill_selected": "soft",
    "checkbox_label_border_color": "line",
    "checkbox_label_text_color": "text",
    "checkbox_label_text_color_selected": "text",
    "button_primary_background_fill": "fill",
    "button_primary_background_fill_hover": "fill-hover",
    "button_primary_border_color": "fill",
    "button_primary_text_color": "on-fill",
    "button_secondary_background_fill": "button",
    "button_secondary_background_fill_hover": "button-hover",
    "button_secondary_border_color": "button",
    "button_secondary_text_color": "text",
    "button_cancel_background_fill": "button",
    "button_cancel_text_color": "text",
    "error_background_fill": "surface",
    "error_border_color": "bad",
    "error_text_color": "bad",
}
_LIGHT = {name: LIGHT[token] for name, token in _COLOURED.items()}
_DARK = {f"{name}_dark": DARK[token] for name, token in _COLOURED.items()}

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.teal,
    neutral_hue=gr.themes.colors.stone,
    radius_size=gr.themes.sizes.radius_md,
    font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    block_shadow="none",
    block_border_width="0px",
    block_title_text_weight="600",
    input_border_width="1px",
    input_shadow_focus=f"0 0 0 2px {LIGHT['accent']}",
    input_shadow_focus_dark=f"0 0 0 2px {DARK['accent']}",
    **_LIGHT,
    **_DARK,
)


def on_click(event: str, attribute: str) -> str:
    """Script of a gr.HTML: a click on an element with `data-<attribute>` is an event of that name, and brings the
    attribute along.
    """
    return f"""element.addEventListener('click', e => {{
      const one = e.target.closest('[data-{attribute}]');
      if (one) trigger('{event}', {{{attribute}: one.dataset.{attribute}}});
    }});"""


def plain(value: str | None = "", **words: Any) -> gr.HTML:
    """A piece of HTML that only style/ dresses. Everything in it that a person or a model wrote must be escaped
    already.
    """
    if "js_on_load" in words:
        words["js_on_load"] = of_component(words["js_on_load"])
    return gr.HTML(value, apply_default_css=False, **words)
