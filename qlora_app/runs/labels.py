"""What a person calls a run afterwards: its name, note and tags, in labels.json beside the recipe, which stays as it
was trained. The page is its only writer.
"""

import threading
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

from ..errors import UserError
from ..storage.disk import said
from ..storage.files import write_json
from ..storage.reading import damage, read_json
from ..storage.typed import filled

LABELS = "labels.json"
LONGEST_NAME = 80  # characters
LONGEST_NOTE = 2000
LONGEST_TAG = 40
MOST_TAGS = 12
_CHANGING = threading.Lock()  # so that no change is lost to another made at once
_KEPT = "\n\t\u200d"  # the last joins several pictures to one


class _Folder(Protocol):
    @property
    def folder(self) -> Path: ...


@dataclass(frozen=True)
class Labels:
    """name: "" where the recipe's own is meant. note: None where that is; one that was emptied is "".

    An archived run stands in no list unless it is asked for.
    """

    name: str = ""
    note: str | None = None
    tags: tuple[str, ...] = ()
    is_archived: bool = False

    def note_or(self, of_recipe: str) -> str:
        """The note, or the recipe's where none was written afterwards."""
        return of_recipe if self.note is None else self.note


def labels_of(run: _Folder) -> Labels:
    """What a run is called; a file that cannot be read, or a value that does not fit, is as if it were not there."""
    found = filled(Labels, read_json(run.folder / LABELS) or {})
    tags = tuple(_one_line(tag)[:LONGEST_TAG] for tag in found.tags[:MOST_TAGS])
    note = None if found.note is None else found.note[:LONGEST_NOTE]
    return replace(found, name=_one_line(found.name)[:LONGEST_NAME], note=note, tags=tags)


def relabel(run: _Folder, add_tags: Sequence[str] = (), drop_tags: Sequence[str] = (), **changes: Any) -> Labels:
    """Change some of the labels of a run and keep them; returns all. Spaces around a name or tag, and a tag named
    twice, are dropped.

    changes: name, note, tags, is_archived. add_tags, drop_tags: put to those it has and taken from them. Raises
    UserError for a value that is too long, where the file is damaged, and where the disk refuses.
    """
    with _CHANGING:
        if found := damage(run.folder / LABELS):
            raise UserError(
                "labels.damaged",
                "{damage} Mend it in the folder of the run, or delete it; then the run can be renamed and tagged "
                "again.",
                damage=found,
            )
        before = replace(labels_of(run), **changes)
        kept = tuple(tag for tag in before.tags if tag not in drop_tags)
        labels = _checked(replace(before, tags=(*kept, *add_tags)))
        with said(run.folder):
            write_json(run.folder / LABELS, asdict(labels))
    return labels


def _checked(labels: Labels) -> Labels:
    name = _one_line(labels.name)
    if len(name) > LONGEST_NAME:
        raise UserError(
            "labels.name_too_long",
            "A name has at most {most} characters; this one has {count}. Put the rest into the note.",
            most=LONGEST_NAME,
            count=len(name),
        )
    note = None if labels.note is None else _plain(labels.note).strip()
    if note and len(note) > LONGEST_NOTE:
        raise UserError(
            "labels.note_too_long",
            "A note has at most {most:,} characters; this one has {count:,}.",
            most=LONGEST_NOTE,
            count=len(note),
        )
    return Labels(name, note, _checked_tags(labels.tags), bool(labels.is_archived))


def _checked_tags(given: tuple[str, ...]) -> tuple[str, ...]:
    tags = tuple(dict.fromkeys(filter(None, map(_one_line, given))))
    if len(tags) > MOST_TAGS:
        raise UserError(
            "labels.too_many_tags",
            "A run has at most {most} tags; these are {count}.",
            most=MOST_TAGS,
            count=len(tags),
        )
    if longest := next((tag for tag in tags if len(tag) > LONGEST_TAG), None):
        raise UserError(
            "labels.tag_too_long",
            "A tag has at most {most} characters: {tag} has {count}.",
            most=LONGEST_TAG,
            tag=longest,
            count=len(longest),
        )
    return tags


def _one_line(text: Any) -> str:
    return " ".join(_plain(text).split())


def _plain(text: Any) -> str:
    """Halves of letters and characters that steer something are in no text that a person means to write."""
    whole = str(text).encode("utf-8", "replace").decode("utf-8")
    return "".join(one for one in whole if one in _KEPT or one.isprintable())
