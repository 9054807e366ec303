"""How the arguments of a call of a tool are written: as one JSON object, or each between marks of its own."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

Schemas = Mapping[str, Any]  # by the name of an argument what a tool says of it, as JSON schema
_JSON = json.JSONDecoder()
_LONGEST_NAME = 200
_PYTHON = {"True": True, "False": False, "None": None}  # some templates write these as Python does


@dataclass(frozen=True)
class JsonObject:
    """{"key": "value"}"""

    name = f".{{1,{_LONGEST_NAME}}}?"  # the pattern of what is called

    def read(self, written: str, place: int, schemas: Schemas) -> tuple[dict[str, Any], int] | None:
        """The arguments that begin there, and where they end; None where there are none."""
        try:
            arguments, end = _JSON.raw_decode(written, place)
        except (ValueError, RecursionError):
            return None
        return (arguments, end) if isinstance(arguments, dict) else None


@dataclass(frozen=True)
class Marked:
    """`begin` KEY `middle` VALUE `end`, once for each; texts stand as they are, all else as JSON. `after` them all
    comes what closes the call.
    """

    begin: str
    middle: str
    end: str
    after: str

    name = f"[^\\s<>]{{1,{_LONGEST_NAME}}}"

    def read(self, written: str, place: int, schemas: Schemas) -> tuple[dict[str, Any], int] | None:
        """As of `JsonObject`; None also where nothing closes the call."""
        one = re.compile(f"{loose(self.begin)}(.*?){_tight(self.middle)}(.*?){_tight(self.end)}", re.DOTALL)
        arguments: dict[str, Any] = {}
        while found := one.match(written, place):
            key = found[1].strip()
            arguments[key] = _value(found[2], schemas.get(key))
            place = found.end()
        return (arguments, place) if re.compile(loose(self.after)).match(written, place) else None


def is_text(schema: Any) -> bool:
    """Does it allow texts only?"""
    if not isinstance(schema, dict):
        return False
    choices = schema.get("enum") or [None]
    return schema.get("type") == "string" or all(isinstance(one, str) for one in choices)


def _value(written: str, schema: Any) -> Any:
    """What stands between marks, read as the tool says; as JSON where it says nothing and it is such."""
    if is_text(schema):
        return written
    if written in _PYTHON:
        return _PYTHON[written]
    try:
        return json.loads(written)
    except (ValueError, RecursionError):
        return written


def loose(literal: str) -> str:
    """A pattern for it in which any blanks may stand where it has some."""
    return r"\s*".join(["", *(re.escape(part) for part in literal.split()), ""])


def _tight(literal: str) -> str:
    """As `loose`, but of the blanks at its ends no more than it has: others belong to what stands beside it."""
    inner = r"\s*".join(re.escape(part) for part in literal.split())
    return f"(?:{re.escape(_blanks(literal))})?{inner}(?:{re.escape(_blanks(literal[::-1])[::-1])})?"


def _blanks(text: str) -> str:
    """With which it begins."""
    return text[: len(text) - len(text.lstrip())]
