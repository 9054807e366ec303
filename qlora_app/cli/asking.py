"""Questions to a run from a terminal: a conversation, or a whole file that is answered."""

import argparse
import json
import sys
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.text import Text

from ..chance import Share
from ..errors import sentence_of
from ..inference.pool import ModelPool
from ..inference.session import ChatSession
from ..overrides import recipe_from
from ..runs import Run, RunStore
from ..runs.asking import ASKABLE, ask, waiting_words
from ..runs.rows import AskedRow
from ..settings import Settings
from .chatting import Talk, Terminal
from .command import DONE, INTERRUPTED, NOT_DONE, add_command, add_reading, add_run, count, find_run, stdout
from .jobs import answers_of

_LOOKED_EVERY = 0.2  # seconds


def chat(run: Run, beside: Sequence[str], as_json: bool, out: Console, screen: Console, settings: Settings) -> None:
    """Ask and answer until the questions end.

    beside: who answers too, "base" or other runs. For scripts each answer is a line of JSON: {run, question, answer,
    base, beside: {name: answer}}.
    """
    if run.task().is_chat:
        talk = Talk(run, beside, RunStore(settings.runs), ModelPool(), screen)
        Terminal(talk, out, as_json, settings.home).run()
    else:
        _try_out(run, open_session(run, screen), "base" in beside, as_json, out)


def _try_out(run: Run, session: ChatSession, with_base: bool, as_json: bool, out: Console) -> None:
    """For a task without turns: every line is a text of its own."""
    for text in filter(None, _questions(sys.stdin.isatty() and not as_json)):
        of_base = session.respond(text, True) if with_base else None
        of_adapter = session.respond(text, False)
        if as_json:
            row = {"run": run.id, "question": text, "answer": of_adapter, "base": of_base}
            print(json.dumps(row, ensure_ascii=False), flush=True)
        else:
            both = f"base: {of_base}\nadapter: {of_adapter}"
            out.print(Text(both if with_base else of_adapter), soft_wrap=True)


def open_session(run: Run, screen: Console) -> ChatSession:
    with screen.status("Loading the model"):
        return ModelPool().get(run)


def _questions(talking: bool) -> Iterator[str]:
    while True:
        try:
            yield input("> " if talking else "").strip()
        except EOFError:
            return


def add_chat(commands: Any) -> None:
    parser = add_command(commands, "chat", chat_command)
    add_run(parser)
    parser.add_argument(
        "--beside",
        metavar="WHO",
        action="append",
        default=[],
        help="who answers beside it: base, another run, RUN@STEP; may be given several times",
    )
    parser.add_argument("--base", action="store_true", help="the same as --beside base")


def add_answer(commands: Any) -> None:
    parser = add_command(commands, "answer", answer_command)
    add_run(parser)
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
        "--max-tokens", metavar="N", type=count, default=256, help="longest answer in tokens (default 256)"
    )
    add_reading(parser)


def add_ask(commands: Any) -> None:
    parser = add_command(commands, "ask", ask_command)
    add_run(parser)
    parser.add_argument("question", metavar="QUESTION", help="it is answered between two steps")


def ask_command(given: argparse.Namespace, settings: Settings) -> int:
    """Ask a run while it trains; the answer has the step of the weights that gave it, and the base's beside it."""
    run = find_run(given.run, settings)
    id = ask(run, given.question)
    try:
        row = _answer_to(run, id)
    except KeyboardInterrupt:
        given.screen.print(Text("\nThe question waits on. Its answer will stand on the page of the run."))
        return INTERRUPTED
    why = sentence_of(row)
    if given.json:
        print(json.dumps({"run": run.id} | row, ensure_ascii=False))
    elif why:
        stdout().print(Text(why), soft_wrap=True)
    else:
        answers = f"base: {row.get('base', '')}\nstep {row.get('step', 0):,}: {row.get('answer', '')}"
        stdout().print(Text(answers), soft_wrap=True)
    return NOT_DONE if why else DONE


def _answer_to(run: Run, id: str) -> AskedRow:
    """What was answered; where the run ended before, why there is no answer."""
    while True:
        status = run.status()  # asked first: a worker keeps an answer before it says its last word
        found = next((row for row in run.asked() if row.get("id") == id), None)
        if found is not None:
            return found
        if status.state not in ASKABLE and status.state != "stopping":
            return {"id": id, "sentence": waiting_words(status)}
        time.sleep(_LOOKED_EVERY)


def chat_command(given: argparse.Namespace, settings: Settings) -> int:
    """Ask a run's adapter; questions come from the terminal or line by line from stdin."""
    beside = [*(["base"] if given.base else []), *given.beside]
    run = find_run(given.run, settings, with_adapter=True)
    chat(run, beside, given.json, stdout(), given.screen, settings)
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
    asking_nothing = ""
    if made["problems"]:
        asking_nothing = f"; {made['problems']:,} rows ask nothing, each with its reason"
    if given.json:
        print(json.dumps(made, ensure_ascii=False))
    else:
        print(f"{made['answered']:,} of {made['rows']:,} rows answered{kept}{asking_nothing}: {target}")
        if made["scored"]:
            share = Share(made["right"], made["scored"])
            print(f"{share.right:,} of {share.questions:,} answers are word for word the file's own: {share.words}")
    return DONE
