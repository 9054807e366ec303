"""Rows as readers see them: what they take is remembered, so that whatever nobody took is
named, and null is the same as absent.
"""

from collections.abc import Iterator
from typing import Any

_EMPTY: tuple[Any, ...] = (None, "", [], {})


class Reading(dict[str, Any]):
    """An object of the data that knows which of its keys were read.

    Only `[]` and `get` read; `in`, `peek` and `items` look.

    Objects inside of it are read through `inside`, so that their keys are known too.
    """

    __slots__ = ("_inner", "_made_of", "answers_by", "notes", "taken", "where")

    def __init__(self, value: dict[str, Any], where: str = "", notes: set[str] | None = None) -> None:
        """`where`: what it is one of, or the column it stands in; a row is nowhere. `notes`: what is said of how it was
        understood.
        """
        super().__init__(value)
        self.where = where
        self.taken: set[str] = set()
        self.notes: set[str] = set() if notes is None else notes
        self.answers_by = ""  # who answers, where a person said it
        self._inner: list[Reading] = []
        self._made_of = id(value)

    def __getitem__(self, key: str) -> Any:
        self.taken.add(key)
        return super().__getitem__(key)

    def get(self, key: str, default: Any = None) -> Any:
        self.taken.add(key)
        return super().get(key, default)

    def peek(self, key: str) -> Any:
        """The value, which is not read by that."""
        return super().get(key)

    def inside(self, value: dict[str, Any], where: str) -> "Reading":
        """An object that stands somewhere in this one."""
        made = Reading(value, where, self.notes)
        self._inner.append(made)
        return made

    def child(self, key: str) -> "Reading":
        """The object under a key, the same one whenever it is asked for."""
        where = f"`{key[:40]}`"
        for known in self._inner:
            if known.where == where:
                return known
        return self.inside(self[key], where)

    def within(self, value: dict[str, Any], where: str) -> "Reading":
        """`inside`, and the same one whenever it is asked for the same object."""
        for known in self._inner:
            if known._made_of == id(value) and known.where == where:
                return known
        return self.inside(value, where)

    def forget_inner(self) -> None:
        """Objects inside were read in a way that did not fit, and are read in another one now."""
        self._inner.clear()

    @property
    def has_inner(self) -> bool:
        return bool(self._inner)

    def unread(self) -> Iterator[tuple[str, str]]:
        """(where, key) of what holds something and was not read."""
        if not self.keys() <= self.taken:
            for key, value in self.items():
                if key not in self.taken and value not in _EMPTY:
                    yield self.where, key
        for inner in self._inner:
            yield from inner.unread()


def present(value: Any) -> Any:
    """The value without what is null or not a number, at every depth: table formats fill objects up with it.

    None for an object that held nothing else. Places in a list of texts or numbers stay as they are.
    """
    if not _has_gaps(value):
        return value  # nearly always, and then nothing is copied
    if type(value) is dict:
        whole = {key: present(inner) for key, inner in value.items()}
        return {key: inner for key, inner in whole.items() if inner is not None} or None
    if type(value) is not list:
        return None
    made = [present(item) for item in value]
    has_objects = any([type(item) is dict for item in value])
    if has_objects:
        return [item for item in made if item is not None]
    return made


def _has_gaps(value: Any) -> bool:
    kind = type(value)
    if kind is not dict and kind is not list:
        return value is None or (kind is float and value != value)
    for one in value.values() if kind is dict else value:  # noqa: SIM110  any() is slower, and this runs for every row there is
        if type(one) is not str and _has_gaps(one):
            return True
    return False
