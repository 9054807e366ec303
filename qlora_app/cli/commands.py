"""Every command: what it is called, what it takes, what it does. Each `..._command` returns the exit code."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .. import __version__, doctor
from ..errors import UserError
from ..evaluate import EVALUATORS
from ..formatting import duration
from ..jobs import Job
from ..overrides import PROGRAM, recipe_from, settings_help
from ..preflight import check, examples_of, ready, refuse
from ..presets import Presets
from ..runs import Run, RunStatus, RunStore
from ..settings import PREFIX, Settings
from .asking import chat
from .completion import (
    complete,
    job_names,
    presets_and_files,
    run_names,
    settings_and_values,
)
from .data import (
    LONGEST,
    download,
    examine,
    find_data,
    show,
)
from .jobs import (
    DONE,
    INTERRUPTED,
    MISTAKE,
    NOT_DONE,
    answers_of,
    as_row,
    find_job,
    find_run,
    list_jobs,
    report,
    start,
    stop,
    watch_until_end,
)
from .models import fits_here, rows_of
from .presets import list_presets
from .scoring import score, show_score

MARKS = {doctor.GOOD: "green", doctor.LIMITED: "yellow", doctor.BROKEN: "bold red"}


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
        print("error: " + str(error).replace("\n", "\n       "), file=sys.stderr)
        return MISTAKE


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


def _count(text: str) -> int:
    if not text.isdecimal() or not int(text):
        raise argparse.ArgumentTypeError(f"{text!r} is no number from 1 on")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description="Guanaco Workshop without a browser: train, watch, chat and score.",
        epilog=f"`python app.py` opens the page. `{PROGRAM} COMMAND --help` says more about a command.",
    )
    parser.add_argument("--version", action="version", version=f"Guanaco Workshop {__version__}")
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", required=True)
    _add_train(commands)
    _add_job(_add(commands, "watch", watch_command))
    _add(commands, "runs", runs_command)
    _add(commands, "jobs", jobs_command)
    stop = _add(commands, "stop", stop_command)
    _add_job(stop)
    stop.add_argument("--now", action="store_true", help="end at once and save nothing")
    resume = _add(commands, "resume", resume_command)
    _add_job(resume)
    _add_no_watch(resume)
    _add_chat(commands)
    _add_score(commands)
    _add_answer(commands)
    _add_data(commands)
    _add_presets(commands)
    models = _add(commands, "models", models_command)
    models.add_argument(
        "words", metavar="WORDS", nargs="*", help="words to search the Hub for, or one owner/name or folder to look at"
    )
    _add(commands, "doctor", doctor_command)
    _add(commands, "settings", settings_command)
    return parser


def _add(
    commands: Any, name: str, function: Callable[[argparse.Namespace, Settings], int], **more: Any
) -> argparse.ArgumentParser:
    """A command; its help is what its function says of itself. Each can answer a script."""
    parser = commands.add_parser(name, help=function.__doc__, description=function.__doc__, **more)
    parser.add_argument("--json", action="store_true", help="one line of JSON on stdout instead of words")
    parser.set_defaults(command=function)
    return parser


def _add_run(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "run", metavar="RUN", help="a run's name, the beginning of one, or `latest`"
    ).completer = run_names


def _add_job(parser: argparse.ArgumentParser) -> None:
    words = "the name of a run or of another job (`jobs` lists them), the beginning of one, or `latest`"
    parser.add_argument("job", metavar="JOB", help=words).completer = job_names


def _add_no_watch(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--no-watch", action="store_true", help="start it and return at once")


def _add_recipe(parser: argparse.ArgumentParser, **more: Any) -> None:
    words = "a YAML file, or the name of a preset (`presets` lists them)"
    parser.add_argument("recipe", metavar="RECIPE", help=words, **more).completer = presets_and_files
    words = "a setting to change, such as training.learning_rate=1e-4; dataset.id and base_model.id may be paths"
    parser.add_argument("changes", metavar="name=value", nargs="*", help=words).completer = settings_and_values


def _add_train(commands: Any) -> None:
    train = _add(
        commands,
        "train",
        train_command,
        epilog=settings_help().replace("%", "%%"),
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_recipe(train)
    _add_no_watch(train)


def _add_presets(commands: Any) -> None:
    presets = _add(commands, "presets", presets_command)
    _add_recipe(presets, nargs="?")
    presets.add_argument("--save", metavar="NAME", help="keep the recipe, with its changes, as a preset of your own")


def _add_chat(commands: Any) -> None:
    parser = _add(commands, "chat", chat_command)
    _add_run(parser)
    parser.add_argument(
        "--base", action="store_true", help="show beside each answer what the base says without the adapter"
    )


def _add_score(commands: Any) -> None:
    parser = _add(commands, "score", score_command)
    _add_run(parser)
    parser.add_argument(
        "file", metavar="FILE", type=Path, help="data in any supported format; a row's last answer is the expected one"
    )
    parser.add_argument("--evaluator", choices=EVALUATORS, default="exact_match", help="how right an answer is")
    parser.add_argument("--base", action="store_true", help="score the base without the adapter")
    parser.add_argument("--limit", metavar="N", type=_count, help="only the first N rows")
    parser.add_argument("--misses", metavar="N", type=int, default=0, help="show the first N wrong answers")
    _add_reading(parser)


def _add_answer(commands: Any) -> None:
    parser = _add(commands, "answer", answer_command)
    _add_run(parser)
    parser.add_argument(
        "file",
        metavar="FILE",
        type=Path,
        help="questions: a text file with one a paragraph, or a column of any data file",
    )
    parser.add_argument("--out", metavar="FILE", type=Path, help="where the answers go (default: FILE.answers.jsonl)")
    parser.add_argument(
        "--column",
        metavar="NAME",
        default="",
        help="the column that asks, where it is not called prompt, question or so",
    )
    parser.add_argument("--base", action="store_true", help="let the base answer, without the adapter")
    parser.add_argument(
        "--max-tokens", metavar="N", type=_count, default=256, help="longest answer in tokens (default 256)"
    )
    _add_reading(parser)


def _add_data(commands: Any) -> None:
    parser = _add(commands, "data", data_command)
    words = "a data file or folder, its name in the data folder, or a dataset of the Hub (owner/name)"
    parser.add_argument("file", metavar="FILE", help=words)
    _add_reading(parser)
    parser.add_argument(
        "--max-length", metavar="N", type=int, default=LONGEST, help=f"longest example in tokens (default {LONGEST})"
    )


def _add_reading(parser: argparse.ArgumentParser) -> None:
    words = "a setting of the data, such as dataset.columns.prompt=title dataset.columns.answer=body"
    parser.add_argument("changes", metavar="name=value", nargs="*", help=words).completer = settings_and_values


def train_command(given: argparse.Namespace, settings: Settings) -> int:
    """Train an adapter and prove that it works."""
    asked = recipe_from(given.recipe, given.changes, settings)
    recipe, facts, examples = ready(asked, settings)  # before anything is downloaded
    if asked.dataset.source == "hub":
        data = download(asked.dataset, settings, given.screen)
        recipe, examples = asked.model_copy(update={"dataset": data}), examples_of(data, settings.data)
        refuse(check(recipe, facts, examples))
    note = f", {len(examples.left_out):,} rows left out" if examples.left_out else ""
    given.screen.print(
        Text(
            f"{recipe.title}: {len(examples.train):,} examples to learn from, {len(examples.held_out):,} held out{note}"
        )
    )
    for warning in examples.warnings:
        given.screen.print(Text(warning))
    if recipe.base_model.source != "starter":
        given.screen.print(Text(f"{facts.name}: {facts.summary()}\n{fits_here(recipe, facts)[1]}"))
    store = RunStore(settings.runs)
    if busy := [run.id for run in store.list() if run.is_alive()]:
        given.screen.print(
            Text(f"{busy[0]} is being trained too; both take longer. The page would make this one wait its turn.")
        )
    return _start(given, store.create(recipe))


def resume_command(given: argparse.Namespace, settings: Settings) -> int:
    """Go on with a run from its newest complete checkpoint, or with another job where it ended."""
    job = find_job(given.job, settings)
    state = job.status().state
    if state not in ("stopped", "failed", "interrupted"):
        raise UserError(
            "run.not_resumable",
            "{id} is {state}; only a run that stopped, failed or was interrupted can be resumed.",
            id=job.id,
            state=state,
        )
    return _start(given, job)


def _start(given: argparse.Namespace, job: Job) -> int:
    start(job, given.screen)
    return report(given, job, job.status()) if given.no_watch else watch_until_end(given, job)


def watch_command(given: argparse.Namespace, settings: Settings) -> int:
    """Follow a run or another job until it ends."""
    return watch_until_end(given, find_job(given.job, settings))


def jobs_command(given: argparse.Namespace, settings: Settings) -> int:
    """List everything that is worked on, or was: runs, files of answers, imports, downloads."""
    return list_jobs(given, settings, _out())


def runs_command(given: argparse.Namespace, settings: Settings) -> int:
    """List all runs, newest first."""
    runs = [(run, run.status()) for run in RunStore(settings.runs).list()]
    if given.json:
        print(json.dumps([_as_row(run, status) for run, status in runs]))
    elif not runs:
        print(f"No runs yet in {settings.runs}. The first one: {PROGRAM} train starter")
    else:
        table = Table("run", "state", "step", "loss", "held out", "time", box=None, pad_edge=False)
        for run, status in runs:
            table.add_row(
                run.id,
                status.state,
                f"{status.step}/{status.total}",
                _loss(status.loss),
                _loss(status.held_out_loss),
                duration(status.seconds),
            )
        _out().print(table)
    return DONE


def _as_row(run: Run, status: RunStatus) -> dict[str, Any]:
    return {
        "run": run.id,
        "folder": str(run.folder),
        "state": status.state,
        "step": status.step,
        "total": status.total,
        "loss": status.loss,
        "held_out_loss": status.held_out_loss,
        "seconds": status.seconds,
    }


def _loss(loss: float | None) -> str:
    return "" if loss is None else f"{loss:.3f}"


def _out() -> Console:
    """stdout; a file or pipe gets whole lines, however long."""
    return Console(highlight=False, markup=False, width=None if sys.stdout.isatty() else 200)


def stop_command(given: argparse.Namespace, settings: Settings) -> int:
    """Finish the step, save and end; `resume` goes on from there."""
    job = find_job(given.job, settings)
    how = stop(job, given.now)
    row = _as_row(job, job.status()) if isinstance(job, Run) else as_row(job)
    print(json.dumps(row) if given.json else f"{job.id} {how}")
    return DONE


def chat_command(given: argparse.Namespace, settings: Settings) -> int:
    """Ask a run's adapter; questions come from the terminal or line by line from stdin."""
    return chat(find_run(given.run, settings, with_adapter=True), given.base, given.json, _out(), given.screen)


def score_command(given: argparse.Namespace, settings: Settings) -> int:
    """Answer every row of a file and measure how right the answers are."""
    run = find_run(given.run, settings, with_adapter=True)
    told = recipe_from("starter", given.changes, settings).dataset if given.changes else None
    result = score(
        run,
        given.file,
        evaluator=given.evaluator,
        base=given.base,
        limit=given.limit,
        misses=given.misses,
        limits=settings,
        screen=given.screen,
        told=told,
    )
    if given.json:
        print(json.dumps(result, ensure_ascii=False))
    else:
        show_score(result, given.base, given.file.name)
    return DONE


def answer_command(given: argparse.Namespace, settings: Settings) -> int:
    """Answer every question of a file into JSON lines. Interrupted, the same command goes on where it ended."""
    run = find_run(given.run, settings, with_adapter=True)
    target = given.out or given.file.with_name(f"{given.file.name}.answers.jsonl")
    told = recipe_from("starter", given.changes, settings).dataset if given.changes else None
    choices = {"column": given.column, "base": given.base, "max_new_tokens": given.max_tokens, "read_as": told}
    made = answers_of(run, given.file, target, choices, given.screen)
    if made is None:
        return INTERRUPTED
    kept = f", {made['kept']:,} of them kept from before" if made["kept"] else ""
    asking_nothing = f"; {made['problems']:,} rows ask nothing, each with its reason" if made["problems"] else ""
    print(
        json.dumps(made, ensure_ascii=False)
        if given.json
        else f"{made['answered']:,} of {made['rows']:,} rows answered{kept}{asking_nothing}: {target}"
    )
    return DONE


def data_command(given: argparse.Namespace, settings: Settings) -> int:
    """Look at data: its format and why, what can be learned from it, three examples. Exit code 2 when it is refused."""
    choice = recipe_from("starter", given.changes, settings).dataset
    place = find_data(given.file, choice, settings, given.screen)
    found = examine(place, choice, given.max_length, settings)
    if given.json:
        print(json.dumps(found, ensure_ascii=False))
    elif found["action"] == "refuse":
        raise UserError("dataset.refused", "{why}", why="\n".join(found["messages"]))
    else:
        show(found, choice, given.max_length, _out())
    return MISTAKE if found["action"] == "refuse" else DONE


def presets_command(given: argparse.Namespace, settings: Settings) -> int:
    """List the presets, show one whole, or save one of your own."""
    presets = Presets(settings.presets)
    if given.recipe is None:
        if given.save:
            raise UserError(
                "preset.which_recipe",
                "Which recipe is to be saved as {name}? Give a preset or a file: {program} presets starter --save NAME",
                name=given.save,
                program=PROGRAM,
            )
        list_presets(presets, given.json, _out())
        return DONE
    recipe = recipe_from(given.recipe, given.changes, settings)
    if given.save:
        name = presets.save(given.save, recipe)
        given.screen.print(Text(f"Saved in {presets.path(name)}. Train it: {PROGRAM} train {name}"), soft_wrap=True)
    print(json.dumps(recipe.model_dump(mode="json"), ensure_ascii=False) if given.json else recipe.to_yaml().rstrip())
    return DONE


def models_command(given: argparse.Namespace, settings: Settings) -> int:
    """List the base models on this machine, search the Hub, or look at one model and whether it fits here."""
    rows = rows_of(" ".join(given.words), settings)
    if given.json:
        print(json.dumps(rows, ensure_ascii=False))
    elif not rows:
        print("The Hub knows no model of that name that writes text and comes as safetensors. Try fewer words.")
    else:
        table = Table("model", "here", "what is known of it", box=None, pad_edge=False)
        for row in rows:
            table.add_row(row["model"], row.get("here", ""), "\n".join(filter(None, (row["summary"], row.get("fit")))))
        _out().print(table)
    return DONE


def doctor_command(given: argparse.Namespace, settings: Settings) -> int:
    """Look at what this machine can do, and try a 4-bit layer. Exit code 1 when nothing can be trained."""
    out, findings = _out(), []
    with given.screen.status("Trying what this machine can do"):
        for finding in doctor.examine(settings):
            findings.append(finding)
            if not given.json:
                advice = f"\n{'':9}{finding.advice}" if finding.advice else ""
                words = Text.assemble(
                    (f"{finding.level:9}", MARKS[finding.level]), f"{finding.name}: {finding.value}{advice}"
                )
                out.print(words, soft_wrap=True)
    works = doctor.can_train(findings)
    if given.json:
        print(json.dumps({"can_train": works, "findings": [asdict(finding) for finding in findings]}))
    else:
        out.print("Training works here." if works else "Nothing can be trained here until what is broken is mended.")
    return DONE if works else NOT_DONE


def settings_command(given: argparse.Namespace, settings: Settings) -> int:
    """List the environment variables of this installation and their values."""
    table = Table("variable", "value", "what it is", box=None, pad_edge=False)
    shown = {}
    for name, field in Settings.model_fields.items():
        value = getattr(settings, name)
        shown[PREFIX + name.upper()] = "" if value is None else str(value)  # pydantic prints a secret as stars
        table.add_row(PREFIX + name.upper(), shown[PREFIX + name.upper()], field.description)
    if given.json:
        print(json.dumps(shown))
    else:
        _out().print(table)
    return DONE
