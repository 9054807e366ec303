"""Runs kept on the Hub, for a machine whose disk is gone after its sleep."""

import argparse
import json
import logging
import os
import signal
import sys
import time
from typing import Any

from ..hub.last_sent import Coming, note_coming
from ..log_format import write_logs_as_json
from ..runs.on_hub_homes import KeptHomes
from ..settings import Settings
from .command import DONE, add_command, stdout

PAUSE = 300  # seconds


def add_keep(commands: Any) -> None:
    parser = add_command(commands, "keep", keep_command)
    parser.add_argument("--fetch", action="store_true", help="only fetch what is not here")
    words = f"again every {PAUSE} s as long as that process is there, which started this one, and once more at its end"
    parser.add_argument("--while", dest="page", metavar="PID", type=int, help=words)


def keep_command(given: argparse.Namespace, settings: Settings) -> int:
    """Fetch runs that are missing here from the repository of QLORA_APP_KEEP_RUNS, and send what has changed."""
    if given.page is not None:
        return _keep_on(given, settings)
    kept = KeptHomes(settings)
    _say(given, settings, kept.fetch(), [] if given.fetch else kept.send())
    _say_who_is_left(settings, kept)
    return DONE


def _keep_on(given: argparse.Namespace, settings: Settings) -> int:
    """Until the page has ended, or a signal asks for the end: whatever fails is said, and tried the next time."""
    wishes: list[int] = []
    for wish in (signal.SIGINT, signal.SIGTERM):
        signal.signal(wish, lambda number, _: wishes.append(number))
    if settings.log_format == "json":
        write_logs_as_json()
    kept: KeptHomes | None = None
    has_fetched = is_last = False
    while True:
        try:
            kept, fetched = kept or KeptHomes(settings), []
            if not has_fetched:  # nothing is sent over what has not come yet
                note_coming(settings, Coming(0, 0))
                fetched, has_fetched = kept.fetch(lambda here, of: note_coming(settings, Coming(here, of))), True
                note_coming(settings, None)
                _say_who_is_left(settings, kept)
            sent = [] if given.fetch else kept.send()
        except Exception as error:  # whatever it is, a keeper that is gone keeps nothing
            if not has_fetched:
                note_coming(settings, Coming(0, 0, has_failed=True))
            _complain(settings, error)
        else:
            _say(given, settings, fetched, sent)
        if is_last:
            return DONE
        is_last = not _goes_on(given.page, wishes)


def _complain(settings: Settings, error: Exception) -> None:
    _warn(settings, f"Runs were not kept: {str(error) or type(error).__name__} The next try is in {PAUSE} s.")


def _warn(settings: Settings, words: str) -> None:
    if settings.log_format == "json":
        logging.getLogger("qlora_app").error(words)
    else:
        print(words, file=sys.stderr, flush=True)


def _say_who_is_left(settings: Settings, kept: KeptHomes) -> None:
    """A home that is kept and comes to nobody: its owner has no account any more, or none yet on this machine."""
    for name in kept.left_there():
        _warn(
            settings,
            f"{name} is no member here, so the home that is kept in {settings.keep_runs} under members/{name} was not "
            f"fetched. For the same person: `accounts add {name} --with-home`, and start again. Or delete that folder "
            "on the Hub.",
        )


def _say(given: argparse.Namespace, settings: Settings, fetched: list[str], sent: list[str]) -> None:
    """What keeps on says nothing where nothing happened."""
    words = f"{len(fetched)} runs fetched, {len(sent)} sent."
    if given.json:
        print(json.dumps({"fetched": fetched, "sent": sent}), flush=True)
    elif given.page is None:
        stdout().print(words)
    elif (fetched or sent) and settings.log_format == "json":
        logging.getLogger("qlora_app").info(words)
    elif fetched or sent:
        print(words, flush=True)


def _goes_on(page: int, wishes: list[int]) -> bool:
    """After a pause; False at once where the page has ended, or the end was asked for."""
    for _ in range(PAUSE):
        if wishes or os.getppid() != page:
            return False
        time.sleep(1)
    return True
