"""What a person is asked of a file before any of its rows can be read."""

from ..formats.columns import AskColumns
from .reading import Doubt


class AskReading(AskColumns):
    """A file that can be read once a person says how: `doubts` are the settings to choose."""

    doubts: tuple[Doubt, ...] = ()
