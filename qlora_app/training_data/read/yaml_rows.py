"""Rows of YAML: read safely, and never more of it than a page of aliases may become."""

import re
from typing import Any, TextIO

from ...errors import UserError

MOST = 1 << 24  # characters
_BEGINS = re.compile(r"(?:%YAML[^\n]*\n|---[ \t]*(?:#[^\n]*)?\n|[ \t]*#[^\n]*\n|[ \t]*\n)*")
_ITEM = re.compile(r"[ \t]*-[ \t]+(?:[\w.\"' -]{1,60}:(?:[ \t]|\n|$)|-[ \t]|\[|\{)")
_KEY = re.compile(r"[\w.\"'-]{1,60}:[ \t]*(?:$|\n|[|>][+-]?[ \t]*\n|\S)")


def is_yaml(sample: str, name: str) -> bool:
    """Does a text begin as YAML of rows does: a list of mappings, or a name of such a list?

    A file that is called YAML need only be a mapping.
    """
    start = _BEGINS.match(sample)
    rest = sample[start.end() :] if start else sample
    if _ITEM.match(rest):
        return _reads_as_rows(rest)
    if name.lower().endswith((".yaml", ".yml")):
        return bool(_KEY.match(rest) or rest.startswith("- "))
    key = re.match(r"[\w-]{1,40}:[ \t]*\n(?=[ \t]*- )", rest)
    return bool(key and _ITEM.match(rest[key.end() :]))


def _reads_as_rows(rest: str) -> bool:
    """Is every line part of the list: an item, a line that is indented, or empty?"""
    lines = rest.splitlines()[:50]
    return all(not line.strip() or line[0] in " \t-#" for line in lines)


def read_yaml(file: TextIO, name: str) -> Any:
    """What a YAML file holds; several documents are a list. Raises UserError."""
    import yaml

    text = file.read(MOST)
    if len(text) == MOST:
        raise UserError(
            "dataset.yaml_too_large",
            "{name} is YAML of more than {most:,.0f} MB, which would take all memory. Save it as JSONL and upload "
            "that.",
            name=name,
            most=MOST / 1e6,
        )
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    try:
        if any(isinstance(event, yaml.AliasEvent) for event in yaml.parse(text, loader)):
            _refuse_aliases(name)
        documents = list(yaml.load_all(text, _texts_only(loader)))
    except (yaml.YAMLError, ValueError, RecursionError, OverflowError, TypeError) as error:
        raise UserError(
            "dataset.broken_yaml",
            "{name} is YAML that cannot be read ({problem}). Correct it, or save it as JSONL.",
            name=name,
            problem=_problem(error),
        ) from error
    filled = [one for one in documents if one is not None]
    return filled[0] if len(filled) == 1 else filled


def _refuse_aliases(name: str) -> None:
    raise UserError(
        "dataset.yaml_aliases",
        "{name} is YAML with aliases (*name), which may grow without end and are not followed. Save it as JSONL.",
        name=name,
    )


def _texts_only(loader: Any) -> Any:
    """A loader that leaves dates and `yes` as they are written: they are words of a text."""

    class Words(loader):  # type: ignore[misc]
        pass

    Words.yaml_implicit_resolvers = {
        start: [
            (tag, pattern)
            for tag, pattern in resolvers
            if tag not in ("tag:yaml.org,2002:timestamp", "tag:yaml.org,2002:bool")
        ]
        for start, resolvers in loader.yaml_implicit_resolvers.items()
    }
    return Words


def _problem(error: Exception) -> str:
    mark = getattr(error, "problem_mark", None)
    said = getattr(error, "problem", None) or type(error).__name__
    return f"line {mark.line + 1}: {said}" if mark else str(said)
