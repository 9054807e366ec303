"""When the runs of this home were last sent to the repository that keeps them: who sends them writes it down."""

import time

from ..settings import Settings
from ..storage.files import write_json
from ..storage.reading import read_json

FILE = "kept_runs.json"  # in the home: {"repository": id, "sent": seconds since 1970}
END_OF_TIME = 4e9  # seconds since 1970


def note_sent(settings: Settings) -> None:
    write_json(settings.home / FILE, {"repository": settings.keep_runs, "sent": time.time()})


def last_sent(settings: Settings) -> float | None:
    """Seconds since 1970; None where nothing was sent yet to the repository that the settings name."""
    told = read_json(settings.home / FILE) or {}
    when = told.get("sent")
    if told.get("repository") != settings.keep_runs or not isinstance(when, int | float):
        return None
    return float(when) if 0 < when < END_OF_TIME else None
