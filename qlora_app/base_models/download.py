"""A Hub model onto this machine: only what training needs."""

from collections.abc import Callable
from pathlib import Path

from ..hub import HubUnavailable, fetch_files
from .choice import ModelChoice
from .hub import kept_folder, remote, unchanging
from .loading import check_family


def fetch(
    choice: ModelChoice, token: str | None, on_progress: Callable[[int, int], None], is_stopped: Callable[[], bool]
) -> tuple[Path, str]:
    """The folder of a Hub model, downloaded where it is not here yet, and a warning if an older copy had to do ("" if
    not).

    `on_progress` and `is_stopped` as in `fetch_files`. Raises UserError, and Stopped once `is_stopped()`.
    """
    if folder := unchanging(choice):
        return folder, ""
    try:
        wanted = remote(choice, token)
    except HubUnavailable as error:
        if folder := kept_folder(choice):
            return folder, f"{choice.id} is used as it is on this machine. {error}"
        raise
    check_family(wanted.facts.config)
    return fetch_files(choice.repository, wanted.facts.commit, wanted.files, token, on_progress, is_stopped), ""
