"""Runs kept on the Hub, for a machine whose disk is gone after its sleep."""

import argparse
import json
import os
import sys
import time
from typing import Any

from ..errors import UserError
from ..runs.on_hub import KeptRuns
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
    kept, is_last = KeptRuns(settings), given.page is None
    while True:
        try:
            fetched = kept.fetch()
            sent = [] if given.fetch else kept.send()
        except UserError as error:
            if given.page is None:
                raise
            print(error, file=sys.stderr, flush=True)  # the Hub may answer the next time
        else:
            _say(given, fetched, sent)
        if is_last:
            return DONE
        is_last = not _goes_on(given.page)


def _say(given: argparse.Namespace, fetched: list[str], sent: list[str]) -> None:
    if given.json:
        print(json.dumps({"fetched": fetched, "sent": sent}), flush=True)
    elif fetched or sent or given.page is None:
        stdout().print(f"{len(fetched)} runs fetched, {len(sent)} sent.")


def _goes_on(page: int) -> bool:
    """After a pause; False at once where the page has ended."""
    for _ in range(PAUSE):
        if os.getppid() != page:
            return False
        time.sleep(1)
    return True
