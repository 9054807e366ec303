"""Take part in a run that another machine leads."""

import argparse
import json
from pathlib import Path
from typing import Any

from rich.text import Text

from ..settings import Settings
from .command import DONE, NOT_DONE, add_command, stdout

SAID = {
    "looking": "Looking for the first machine.",
    "found": "Found it. Looking whether both have the same program, base model and data.",
    "ready": "Ready; it begins as soon as all are there.",
    "training": "Training. This command ends with the run.",
}


def add_join(commands: Any) -> None:
    parser = add_command(commands, "join", join_command)
    parser.add_argument(
        "folder", metavar="FOLDER", type=Path, help="the run's folder, on a disk that both machines see"
    )


def join_command(given: argparse.Namespace, settings: Settings) -> int:
    """Share the steps of a run that waits on another machine (launch.nodes=2 there), until it ends."""
    from ..train.join import join  # it brings torch

    ended = join(given.folder, lambda step: given.screen.print(Text(SAID[step])))
    if given.json:
        print(json.dumps(ended._asdict()))
    else:
        stdout().print(Text(f"{ended.state}: {ended.sentence}"), soft_wrap=True)
    return NOT_DONE if ended.state == "failed" else DONE
