"""The page. The only folder that imports gradio."""

from .build import TITLE, build
from .context import Page
from .guard import Door
from .theme import HEAD, STYLE, THEME

__all__ = ["HEAD", "STYLE", "THEME", "TITLE", "Door", "Page", "build"]
