"""How a file is read where its bytes leave a choice: what a person said, and what is in doubt."""

from dataclasses import dataclass
from typing import Any

from .encodings import ENCODINGS

Found = tuple[int | None, Any, str | None]  # (line a row starts on, its value, why it cannot be read)
AUTO = "Recognise it"
YES_NO = {"auto": AUTO, "yes": "Yes", "no": "No"}
DELIMITERS = {
    "auto": AUTO,
    ",": "Comma",
    ";": "Semicolon",
    "tab": "Tab",
    "|": "Vertical bar",
    ":": "Colon",
    "^": "Circumflex",
    "~": "Tilde",
}
PIECES = {
    "auto": AUTO,
    "joined": "Whole paragraphs, joined to the length of an example",
    "parts": "Each part between empty lines by itself",
    "lines": "Each line by itself",
}


@dataclass(frozen=True)
class ReadAs:
    """What a person said of how a file is read; each field is the setting of DatasetChoice with its name."""

    encoding: str = "auto"
    delimiter: str = "auto"
    header: str = "auto"
    quoting: str = "auto"
    sheet: str = ""
    pieces: str = "auto"
    split: str = ""

    @property
    def is_table(self) -> bool:
        """Is the file a table, by what was said?"""
        return self.delimiter != "auto" or self.header != "auto" or self.quoting != "auto"


@dataclass(frozen=True)
class Doubt:
    """A setting whose value was guessed, or could not be: the `field` of ReadAs, what was taken for it, and the values
    to choose from, the likeliest first, each with what the file would hold then.
    """

    field: str
    guess: str
    values: tuple[tuple[str, str], ...]


SETTINGS = tuple(ReadAs.__dataclass_fields__)
LABELS = {
    "encoding": ENCODINGS,
    "delimiter": DELIMITERS,
    "header": YES_NO,
    "quoting": YES_NO,
    "pieces": PIECES,
}
