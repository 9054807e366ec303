"""Which rows of the list of runs are wanted, and in which order."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from .summary import SORTED_BY, RunSummary

LONGEST_SEARCH = 200  # characters
FILTERS = ("state", "model", "data", "tag")
ARCHIVED = "archived"  # as a state: archived runs are shown only where it is asked for


@dataclass(frozen=True)
class Selection:
    """search: words that all stand somewhere in a row. state, model, data, tag: "" for any."""

    search: str = ""
    state: str = ""
    model: str = ""
    data: str = ""
    tag: str = ""
    sort: str = "when"
    down: bool = True

    @classmethod
    def from_json(cls, asked: Any) -> "Selection":
        """What a browser asks for; whatever does not fit is left out."""
        given = asked if isinstance(asked, dict) else {}
        texts = {name: given[name] for name in ("search", *FILTERS) if isinstance(given.get(name), str)}
        sort = str(given.get("sort"))
        texts = {name: text[:LONGEST_SEARCH] for name, text in texts.items()}
        return cls(**texts, sort=sort if sort in SORTED_BY else "when", down=given.get("down") is not False)


def selected(rows: Sequence[RunSummary], wanted: Selection) -> list[RunSummary]:
    """The rows that fit, sorted. What has no value stands last, whichever way it is sorted; of equals the newest run
    is first.
    """
    words = wanted.search.casefold().split()
    fitting = [row for row in rows if _fits(row, wanted) and _says(row, words)]
    fitting.sort(key=lambda row: (row.made, row.id), reverse=True)
    value = SORTED_BY[wanted.sort]
    known = [row for row in fitting if value(row) is not None]
    known.sort(key=lambda row: _key(value(row)), reverse=wanted.down)
    return [*known, *(row for row in fitting if value(row) is None)]


def choices_in(rows: Sequence[RunSummary]) -> dict[str, list[str]]:
    """{filter: what can be chosen}, from the rows there are."""
    found: dict[str, set[str]] = {name: set() for name in FILTERS}
    for row in rows:
        found["state"].add(ARCHIVED if row.is_archived else row.state)
        found["model"].add(row.model)
        found["data"].add(row.data)
        found["tag"].update(row.tags)
    return {name: sorted(filter(None, values), key=str.casefold) for name, values in found.items()}


def _key(value: str | float | None) -> tuple[float, str]:
    return (0.0, value) if isinstance(value, str) else (value or 0.0, "")


def _fits(row: RunSummary, wanted: Selection) -> bool:
    if row.is_archived != (wanted.state == ARCHIVED):
        return False
    if wanted.state not in ("", ARCHIVED, row.state):
        return False
    if wanted.tag and wanted.tag not in row.tags:
        return False
    return wanted.model in ("", row.model) and wanted.data in ("", row.data)


def _says(row: RunSummary, words: Sequence[str]) -> bool:
    if not words:
        return True
    text = "\n".join((row.name, row.id, row.model, row.data, row.method, row.differs, row.note, *row.tags)).casefold()
    return all(word in text for word in words)
