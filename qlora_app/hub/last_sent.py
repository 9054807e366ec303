"""What the process that keeps the runs of this home in a repository is at, which it writes down: when they were last
sent, and how many of those there are here meanwhile.
"""

import time
from typing import NamedTuple

from ..settings import Settings
from ..storage.files import write_json
from ..storage.reading import read_json

FILE = "kept_runs.json"  # in the home: {"repository": id, "sent": seconds since 1970}
COMING = "coming_runs.json"  # in the home, as long as runs come: {"here": runs, "of": how many, "has_failed": bool}
END_OF_TIME = 4e9  # seconds since 1970


class Coming(NamedTuple):
    """How many of the runs of the repository are here."""

    here: int
    of: int
    has_failed: bool = False  # the Hub could not be asked; it will be again


def note_coming(settings: Settings, coming: Coming | None) -> None:
    """None: all of them are here."""
    if coming is None:
        (settings.home / COMING).unlink(missing_ok=True)
    else:
        write_json(settings.home / COMING, coming._asdict())


def coming_runs(settings: Settings) -> Coming | None:
    """None where none come."""
    told = read_json(settings.home / COMING) if settings.keep_runs else None
    if not isinstance(told, dict):
        return None
    here, of = (told.get(name) if isinstance(told.get(name), int) else 0 for name in ("here", "of"))
    return Coming(here or 0, of or 0, told.get("has_failed") is True)


def note_sent(settings: Settings) -> None:
    write_json(settings.home / FILE, {"repository": settings.keep_runs, "sent": time.time()})


def last_sent(settings: Settings) -> float | None:
    """Seconds since 1970; None where nothing was sent yet to the repository that the settings name."""
    told = read_json(settings.home / FILE) or {}
    when = told.get("sent")
    if told.get("repository") != settings.keep_runs or not isinstance(when, int | float):
        return None
    return float(when) if 0 < when < END_OF_TIME else None
