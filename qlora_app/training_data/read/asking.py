"""What a person is asked of a file before any of its rows can be read."""

from ..formats.columns import AskColumns
from .reading import Doubt


class AskReading(AskColumns):
    """A file that can be read once a person says how: `doubts` are the settings to choose."""

    doubts: tuple[Doubt, ...] = ()


def ask_encoding(name: str, values: tuple[tuple[str, str], ...]) -> AskReading:
    """What is said of a text whose encoding nobody could know."""
    likely = "; ".join(f"{encoding}: {words}" for encoding, words in values[:3])
    error = AskReading(
        "dataset.ask_encoding",
        "{name} is not UTF-8, and its encoding cannot be recognised. Say which it is (dataset.encoding=...), or save "
        "it as UTF-8. {likely}",
        "unknown",
        0,
        [],
        name=name,
        likely=likely,
    )
    error.doubts = (Doubt("encoding", "", values),)
    return error
