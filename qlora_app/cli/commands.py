"""All commands, and the one that the words of a command line mean."""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from .. import __version__
from ..errors import UserError
from ..overrides import PROGRAM
from ..settings import Settings
from ..storage.disk import disk_trouble
from ..training_data.format_choice import settings_of
from ..training_data.formats.columns import AskColumns
from .accounts import add_accounts
from .arena import add_arena
from .asking import add_answer, add_ask, add_chat
from .command import INTERRUPTED, MISTAKE, NOT_DONE
from .compare import add_compare
from .completion import complete
from .data import add_data
from .diagnosing import add_diagnose
from .evaluating import add_evaluate
from .exporting import add_export
from .importing import add_import
from .jobs import add_jobs
from .joining import add_join
from .judging import add_judge
from .keeping import add_keep
from .machine import add_doctor, add_settings
from .measuring import add_measure
from .merging import add_merge
from .models import add_models
from .planning import add_plan
from .presets import add_presets
from .publishing import add_publish
from .queueing import add_queue
from .rating import add_ratings
from .runs import add_runs, add_stop, add_watch
from .scoring import add_score
from .serving import add_keys, add_serve
from .sweeping import add_sweep, add_sweeps
from .syncing import add_sync
from .train import add_extend, add_resume, add_train
from .why import add_why

ADDED: tuple[Callable[[Any], None], ...] = (  # in the order of the help
    add_train,
    add_plan,
    add_measure,
    add_watch,
    add_ask,
    add_runs,
    add_compare,
    add_jobs,
    add_stop,
    add_resume,
    add_extend,
    add_join,
    add_import,
    add_merge,
    add_queue,
    add_sweep,
    add_sweeps,
    add_chat,
    add_why,
    add_score,
    add_evaluate,
    add_judge,
    add_ratings,
    add_arena,
    add_diagnose,
    add_answer,
    add_export,
    add_publish,
    add_keep,
    add_sync,
    add_serve,
    add_keys,
    add_accounts,
    add_data,
    add_presets,
    add_models,
    add_doctor,
    add_settings,
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command. A mistake of the person is one `error:` on stderr and exit code 2, never a traceback."""
    given = _parse(arguments)
    given.screen = Console(stderr=True, highlight=False)
    try:
        return given.command(given, Settings.from_environment())
    except KeyboardInterrupt:
        return INTERRUPTED
    except BrokenPipeError:  # `... runs | head` closed its end; Python would complain once more while it exits
        sys.stdout = None
        return NOT_DONE
    except (UserError, OSError) as error:
        said = disk_trouble(error, Path.cwd()) or error
        print("error: " + f"{said}{_hint(error)}".replace("\n", "\n       "), file=sys.stderr)
        return MISTAKE


def _hint(error: Exception) -> str:
    """What a sentence leaves out that is written otherwise on the page: how it is said here."""
    if isinstance(error, AskColumns):
        guess = error.guesses[0] if error.guesses else {"prompt": "...", "answer": "..."}
        return f"\nOn the command line that is {settings_of(guess)}"
    if isinstance(error, UserError) and error.code == "dataset.not_in_folder":
        return "\nA file elsewhere is named by its path, for example dataset.id=./my-rows.jsonl."
    return ""


def _parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """argparse takes no more `name=value` once an option came between; here they may stand anywhere."""
    parser = _parser()
    if "_ARGCOMPLETE" in os.environ:  # a shell asks what could come next
        complete(parser)
    given, rest = parser.parse_known_args(arguments)
    if rest and (not hasattr(given, "changes") or any(word.startswith("-") for word in rest)):
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    if rest:
        given.changes += rest
    return given


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Guanaco Workshop without a browser: train, watch, chat and score.",
        epilog=f"`python app.py` opens the page. `{PROGRAM} COMMAND --help` says more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"Guanaco Workshop {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for add in ADDED:
        add(commands)
    return parser
