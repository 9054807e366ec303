"""The page. The only folder that imports gradio."""

from .build import TITLE, build
from .guard import SameOrigin
from .page import Page
from .theme import HEAD, STYLE, THEME

__all__ = ["HEAD", "STYLE", "THEME", "TITLE", "Page", "SameOrigin", "build"]
