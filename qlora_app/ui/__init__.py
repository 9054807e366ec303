"""The page. The only folder that imports gradio."""

from .build import TITLE, build
from .context import AppContext
from .door.request_guard import RequestGuard
from .theme import HEAD, STYLE, THEME

__all__ = ["HEAD", "STYLE", "THEME", "TITLE", "AppContext", "RequestGuard", "build"]
