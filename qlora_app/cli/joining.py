"""Take part in a run that another machine leads."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.text import Text

from ..settings import Settings
from .command import DONE, NOT_DONE, add_command, stdout


def add_join(commands: Any) -> None:
    parser = add_command(commands, "join", join_command)
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="the run's folder, on a disk that both machines see"
    )


def join_command(given: argparse.Namespace, settings: Settings) -> int:
    """Share the steps of a run that waits on another machine (launch.nodes=2 there), until it ends."""
    from ..train.join import join  # it brings torch

    ended = join(given.folder, lambda words: given.screen.print(Text(words), soft_wrap=True))
    if given.json:
        print(json.dumps(ended._asdict()))
    else:
        stdout().print(Text(f"{ended.state}: {ended.sentence}"), soft_wrap=True)
    return NOT_DONE if ended.state == "failed" else DONE
