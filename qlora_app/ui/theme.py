"""Colours and letters. Everything comes from the machine itself: no font, script or picture is loaded from
elsewhere.
"""

from pathlib import Path
from typing import Any

import gradio as gr

_HERE = Path(__file__).parent
_SHEETS = ("frame", "bar", "train", "data", "settings", "models", "run", "runs", "chat", "gradio")  # style/, in order
STYLE = "\n".join((_HERE / "style" / f"{name}.css").read_text(encoding="utf-8") for name in _SHEETS)
# Gradio puts its own class in front of every rule of `css`, so a rule about an element outside of that class goes here.
_SCRIPTS = "\n".join(
    (_HERE / name).read_text(encoding="utf-8") for name in ("frame/look.js", "gradio_dom.js", "refusals.js")
)
_OUTSIDE = (_HERE / "style" / "outside.css").read_text(encoding="utf-8")
HEAD = f"<script>{_SCRIPTS}</script><style>{_OUTSIDE}</style>"
TEAL, TEAL_DARK = "#0f766e", "#115e59"

THEME = gr.themes.Base(
    primary_hue=gr.themes.colors.teal,
    neutral_hue=gr.themes.colors.stone,
    radius_size=gr.themes.sizes.radius_md,
    font=["ui-sans-serif", "system-ui", "sans-serif"],
    font_mono=["ui-monospace", "monospace"],
).set(
    body_background_fill="#faf8f5",
    body_background_fill_dark="#16181a",
    background_fill_primary="#ffffff",
    background_fill_primary_dark="#1f2224",
    block_background_fill="#ffffff",
    block_background_fill_dark="#1f2224",
    block_shadow="none",
    block_border_width="0px",
    block_label_text_color="#3f3a36",
    block_label_text_color_dark="#d6d3d1",
    block_title_text_color="#292524",
    block_title_text_color_dark="#f5f5f4",
    block_title_text_weight="600",
    block_info_text_color="#57534e",
    block_info_text_color_dark="#b3aea8",
    body_text_color="#292524",
    body_text_color_dark="#f0eeec",
    body_text_color_subdued="#57534e",
    body_text_color_subdued_dark="#b3aea8",
    border_color_primary="#e0dbd4",
    border_color_primary_dark="#3a3e41",
    input_background_fill="#faf8f5",
    input_background_fill_dark="#282c2f",
    input_border_width="1px",
    input_border_color_focus=TEAL,
    input_border_color_focus_dark="#2dd4bf",
    input_shadow_focus=f"0 0 0 2px {TEAL}",
    input_shadow_focus_dark="0 0 0 2px #2dd4bf",
    input_border_color="#8a827a",
    input_border_color_dark="#6b7075",
    input_placeholder_color="#6b645d",
    input_placeholder_color_dark="#a8a29e",
    button_primary_background_fill=TEAL,
    button_primary_background_fill_hover=TEAL_DARK,
    button_primary_text_color="#ffffff",
    button_primary_background_fill_dark=TEAL,
    button_primary_background_fill_hover_dark=TEAL_DARK,
    button_secondary_background_fill="#efebe5",
    button_secondary_background_fill_hover="#e3ded6",
    button_secondary_background_fill_dark="#33383b",
    button_secondary_background_fill_hover_dark="#3d4346",
    button_secondary_text_color="#292524",
    button_secondary_text_color_dark="#f0eeec",
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
    return gr.HTML(value, apply_default_css=False, **words)
