"""Does what somebody sent name a file of this machine that is not theirs? Of members' requests and recipes, and of what
is opened for them, whatever named it.
"""

import contextlib
import os
from collections.abc import Iterator, Sequence
from contextvars import ContextVar
from pathlib import Path
from typing import Any

from ..errors import UserError

_own: ContextVar[Sequence[Path] | None] = ContextVar("own", default=None)
_own_of_process: Sequence[Path] | None = None
LONGEST = 4096  # bytes that a path may have
SECRET = ("hub_token",)  # files of a home that nothing is read from by a path, even for those whose home it is


def named_outside(value: Any, own: Sequence[Path]) -> str:
    """The first text within nested values that names something which is there and lies in none of these folders; "" for
    none. A text names it whole, behind a word and a colon or slash (`file:/home/ada/x`), or before a #.
    """
    within = [folder.resolve() for folder in own]
    return next((text for text in _texts(value) if any(_is_outside(one, within) for one in _paths(text))), "")


@contextlib.contextmanager
def confined(own: Sequence[Path] | None) -> Iterator[None]:
    """Meanwhile `check_own` lets nothing pass that lies elsewhere. None: what passed before. Threads that are begun
    meanwhile know nothing of it, unless they are given this one's context.
    """
    if own is None:
        yield
        return
    token = _own.set(own)
    try:
        yield
    finally:
        _own.reset(token)


def confine_process(own: Sequence[Path] | None) -> None:
    """The same for a whole process, its threads too."""
    global _own_of_process
    _own_of_process = own


def check_own(path: Path) -> Path:
    """The path. Raises UserError where it, or a link directly in that folder, leads out of what those may open for whom
    this works.
    """
    if is_confined() and not all(map(lies_in_own, (path, *_links_in(path)))):
        raise not_yours(path.name)
    return path


def is_confined() -> bool:
    """Does this work for a member or a visitor, who may not open every file of this machine?"""
    return _folders() is not None


def lies_in_own(path: Path) -> bool:
    """May it be opened by those for whom this works?"""
    own = _folders()
    if own is None:
        return True
    try:
        real = path.resolve()
    except (OSError, ValueError, RuntimeError):  # no name that a disk holds, or a link to itself
        return False
    return real.name not in SECRET and any(real.is_relative_to(folder.resolve()) for folder in own)


def own_home() -> Path | None:
    """Of the member for whom this works; None for others."""
    own = _folders()
    return own[0] if own else None


def _folders() -> Sequence[Path] | None:
    own = _own.get()
    return _own_of_process if own is None else own


def _links_in(folder: Path) -> list[Path]:
    try:
        with os.scandir(folder) as entries:
            return [Path(one.path) for one in entries if one.is_symlink()]
    except OSError:  # it is none, or is not there: whoever opens it says so
        return []


def not_yours(named: str) -> UserError:
    """The error of whoever names what is another's."""
    return UserError("member.not_yours", "{named} is no file of yours. Upload what you need.", named=named)


def _texts(value: Any) -> Iterator[str]:
    waiting = [value]
    while waiting:
        one = waiting.pop()
        if isinstance(one, str):
            yield one
        elif isinstance(one, dict):
            waiting += [*one.values(), *one]
        elif isinstance(one, list | tuple):
            waiting += one


def _paths(text: str) -> Iterator[str]:
    text = text.strip()
    if not text or len(text) > LONGEST or "\0" in text:
        return
    for whole in {text, text.partition("#")[0], text.rpartition("#")[0]}:
        yield from filter(None, (whole, whole.partition(":")[2], whole.partition("/")[2]))


def _is_outside(text: str, own: Sequence[Path]) -> bool:
    """A word that is no path names a file where the app was started only if one is called so."""
    path = os.path.expanduser(text)
    is_path = path.startswith(("/", ".")) or "/.." in path
    try:
        if not (os.path.lexists(path) if is_path else Path(path).is_file()):
            return False
        real = Path(path).resolve()
    except (OSError, ValueError, RuntimeError):
        return False
    return real.name in SECRET or not any(real.is_relative_to(folder) for folder in own)
