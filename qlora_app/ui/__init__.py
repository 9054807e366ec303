"""The page. The only folder that imports gradio."""

from .arena import ArenaRoutes, Arenas
from .build import TITLE, build
from .context import AppContext
from .door.request_guard import RequestGuard
from .exported import exported
from .judge import JudgeRoutes
from .scripts import PATH as SCRIPTS
from .scripts import served_file
from .theme import STYLE, THEME

__all__ = [
    "SCRIPTS",
    "STYLE",
    "THEME",
    "TITLE",
    "AppContext",
    "ArenaRoutes",
    "Arenas",
    "JudgeRoutes",
    "RequestGuard",
    "build",
    "exported",
    "served_file",
]
