"""Pages of their own for an arena: one for raters, opened by its link, and one for its owner."""

from .homes import Arenas
from .routes import ArenaRoutes

__all__ = ["ArenaRoutes", "Arenas"]
