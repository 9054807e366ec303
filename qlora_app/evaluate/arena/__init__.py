"""People judge answers of two models without knowing whose they are."""

from .arena import CHOICES, Arena, Assignment, Vote
from .made import ArenaSpec, Link, arena_named, arenas, chat_arena, create_arena, link_of, path_of, set_open, spec_of
from .questions import ArenaQuestion
from .standing import ArenaStanding, standing_of
from .taken_out import preferences_of, rows_of

__all__ = [
    "CHOICES",
    "Arena",
    "ArenaQuestion",
    "ArenaSpec",
    "ArenaStanding",
    "Assignment",
    "Link",
    "Vote",
    "arena_named",
    "arenas",
    "chat_arena",
    "create_arena",
    "link_of",
    "path_of",
    "preferences_of",
    "rows_of",
    "set_open",
    "spec_of",
    "standing_of",
]
