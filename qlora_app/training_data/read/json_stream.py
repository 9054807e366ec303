"""JSON values of a text of any length, one after another, with only a part of the text in memory."""

import json
import re
from typing import Any, TextIO

from ..formats.turns import RepeatedKey

LONGEST_LINE = 1 << 24  # characters of a first line; what is longer is a whole file in one line
MOST_AT_ONCE = 1 << 26  # characters of JSON in memory at once: of an object that is a whole file, of a row, of a line
_CHUNK = 1 << 20  # characters of a long text that are read at once

OPENING = re.compile(r"[^\[]*\[[ \t\r\n]*")
BRACE = re.compile(r"[^{]*\{[ \t\r\n]*")
COLON = re.compile(r"[ \t\r\n]*:?[ \t\r\n]*")
BLANK = re.compile(r"[ \t\r\n]*")
BETWEEN = re.compile(r"[ \t\r\n]*(,?)[ \t\r\n]*")


class TooLarge(Exception):
    """A value that is not to be held in memory."""


class Window:
    """The part of a long JSON text that is in memory, and the place in it up to which it was read."""

    def __init__(self, file: TextIO) -> None:
        self._file, self.text, self.at = file, "", 0
        self._line, self._counted = 1, 0  # the line at a place of the text

    def line(self) -> int:
        """The line that is being read, from 1."""
        self._line += self.text.count("\n", self._counted, self.at)
        self._counted = self.at
        return self._line

    def line_of(self, error: json.JSONDecodeError) -> int:
        """The line of a mistake in the text that is in memory, from 1."""
        return self._line + self.text.count("\n", self._counted, error.pos)

    def skip(self, pattern: re.Pattern[str]) -> re.Match[str]:
        """Step over what fits, reading on while it reaches the end of what is in memory."""
        found = pattern.match(self.text, self.at)
        while (not found or found.end() == len(self.text)) and self._read_on():
            found = pattern.match(self.text, self.at)
        if not found:
            raise ValueError(f"{pattern.pattern!r} does not fit at character {self.at} of what is in memory")
        self.at = found.end()
        return found

    def next_character(self) -> str:
        return self.text[self.at : self.at + 1]

    def element(self) -> Any:
        """The value that begins here. Raises JSONDecodeError, RecursionError and TooLarge."""
        while True:
            if len(self.text) - self.at > 2 * MOST_AT_ONCE:
                raise TooLarge
            try:
                value, end = _DECODER.raw_decode(self.text, self.at)
            except json.JSONDecodeError as error:
                seems_cut = error.msg.startswith("Unterminated string") or error.pos > len(self.text) - 20
                if not (seems_cut and self._read_on()):
                    raise
            else:
                if end < len(self.text) or not self._read_on():
                    self.at = end
                    return value

    def _read_on(self) -> bool:
        """Forget what was read and take in as much again as is left; False at the end of the file."""
        new = self._file.read(max(_CHUNK, len(self.text) - self.at))
        if new:
            self.line()
            self.text = self.text[self.at :] + new
            self.at = self._counted = 0
        return bool(new)


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object; a RepeatedKey where it has a name twice."""
    value = dict(pairs)
    if len(value) < len(pairs):
        return RepeatedKey(value)
    return value


def _whole_number(digits: str) -> int | float:
    if len(digits) >= 4000:  # int() refuses them with an error nobody understands
        return float("inf")
    return int(digits)


_DECODER = json.JSONDecoder(object_pairs_hook=_object, parse_int=_whole_number, strict=False)


def decode(text: str) -> tuple[Any, str | None]:
    """(value, None), or (None, what is wrong) for text that is not one JSON value.

    A comma behind the value is allowed: such a line was copied out of a list.
    """
    try:
        return _DECODER.decode(text.rstrip().removesuffix(",")), None
    except json.JSONDecodeError as error:
        return None, json_problem(error)
    except RecursionError:
        return None, "it is nested too deeply"


def is_broken(text: str) -> bool:
    """Is the JSON that begins here wrong, and not only cut short by us?"""
    try:
        _DECODER.decode(text)
    except json.JSONDecodeError as error:
        seems_cut = error.msg.startswith("Unterminated string") or error.pos > len(text) - 20
        return not (seems_cut and len(text) == LONGEST_LINE)
    except RecursionError:
        return True
    return False


def json_problem(error: json.JSONDecodeError) -> str:
    """The error in words: what is wrong, and up to 20 characters of what stands there."""
    found = error.doc[error.pos : error.pos + 20].partition("\n")[0].strip()
    place = f"before {found!r}" if found else "at the end"
    return f"it is not valid JSON: {error.msg[0].lower()}{error.msg[1:]} {place}"


CUT, NONE = object(), object()  # a value that goes on beyond the text, and none


def begun(text: str) -> tuple[Any, int]:
    """(the value that a text begins with, where it ends); CUT and NONE stand for those that are no value."""
    try:
        return _DECODER.raw_decode(text)
    except json.JSONDecodeError as error:
        seems_cut = error.msg.startswith("Unterminated string") or error.pos > len(text) - 20
        return (CUT if seems_cut and len(text) > 1000 else NONE), 0
    except RecursionError:
        return CUT, 0
