"""What the commands share: their exit codes, the arguments that several of them take, and the run that one names."""

import argparse
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from ..runs import Run, RunStore, finding
from ..settings import Settings
from .completion import job_names, presets_and_files, run_names, settings_and_values

DONE, NOT_DONE, MISTAKE, INTERRUPTED = 0, 1, 2, 130  # exit codes


def add_command(
    commands: Any, name: str, function: Callable[[argparse.Namespace, Settings], int], **more: Any
) -> argparse.ArgumentParser:
    """A command; its help is what its function says of itself. Each can answer a script."""
    parser = commands.add_parser(name, help=function.__doc__, description=function.__doc__, **more)
    parser.add_argument("--json", action="store_true", help="one line of JSON on stdout instead of words")
    parser.set_defaults(command=function)
    return parser


def add_run(parser: argparse.ArgumentParser) -> None:
    named = parser.add_argument("run", metavar="RUN", help="a run's name, the beginning of one, or `latest`")
    _complete_with(named, run_names)


def add_job(parser: argparse.ArgumentParser) -> None:
    words = "the name of a run or of another job (`jobs` lists them), the beginning of one, or `latest`"
    _complete_with(parser.add_argument("job", metavar="JOB", help=words), job_names)


def add_no_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-watch", action="store_true", help="start it and return at once")


def add_recipe(parser: argparse.ArgumentParser, **more: Any) -> None:
    words = "a YAML file, or the name of a preset (`presets` lists them)"
    named = parser.add_argument("recipe", metavar="RECIPE", help=words, **more)
    _complete_with(named, presets_and_files)
    words = "a setting to change, such as training.learning_rate=1e-4; dataset.id and base_model.id may be paths"
    named = parser.add_argument("changes", metavar="name=value", nargs="*", help=words)
    _complete_with(named, settings_and_values)


def add_reading(parser: argparse.ArgumentParser) -> None:
    words = "a setting of the data, such as dataset.columns.prompt=title dataset.columns.answer=body"
    named = parser.add_argument("changes", metavar="name=value", nargs="*", help=words)
    _complete_with(named, settings_and_values)


def count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def stdout() -> Console:
    """stdout; a file or pipe gets whole lines, however long."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)


def find_run(name: str, settings: Settings, with_adapter: bool = False) -> Run:
    """The run of that name, or the only one whose name begins so. `latest` is the newest, among those that can answer
    if asked so.
    """
    return finding.find_run(name, RunStore(settings.runs), with_adapter)


def complete_runs(argument: argparse.Action) -> None:
    """A shell offers the names of runs."""
    _complete_with(argument, run_names)


def _complete_with(argument: argparse.Action, completer: Callable[..., Any]) -> None:
    """What a shell offers for an argument; argcomplete looks for this attribute."""
    argument.completer = completer  # type: ignore[attr-defined]
