"""Questions to a run from a terminal: a conversation, or a whole file that is answered."""

import argparse
import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..chance import Share
from ..errors import sentence_of
from ..inference.pool import ModelPool
from ..inference.session import ChatSession, Decoding
from ..inference.sides import Here, Replies
from ..inference.writing import Said
from ..messages import Conversation
from ..overrides import recipe_from
from ..runs import Run
from ..runs.asking import ASKABLE, ask, waiting_words
from ..runs.rows import AskedRow
from ..settings import Settings
from .command import DONE, INTERRUPTED, NOT_DONE, add_command, add_reading, add_run, count, find_run, stdout
from .jobs import answers_of

_LOOKED_EVERY = 0.2  # seconds


def chat(run: Run, with_base: bool, as_json: bool, out: Console, screen: Console) -> int:
    """Ask and answer until the questions end. An empty line begins a new conversation.

    For scripts each answer is a line of JSON: {run, question, answer, base}.
    """
    session = open_session(run, screen)
    if not session.task.is_chat:
        return _try_out(run, session, with_base, as_json, out)
    talking = sys.stdin.isatty() and not as_json
    if talking:
        screen.print("Empty line: a new conversation. Ctrl-C: cut an answer short. Ctrl-D: leave.")
    base: Conversation = []
    tuned: Conversation = []
    for question in _questions(talking):
        if not question:
            base, tuned = [], []
            continue
        base, tuned = (session.as_trained([*talk, {"role": "user", "content": question}]) for talk in (base, tuned))
        if not talking and not as_json:
            out.print(Text(f"> {question}"), soft_wrap=True)
        answers = _answer(session, base if with_base else None, tuned, None if as_json else out)
        if as_json:
            of_base = answers[0] if with_base else None
            row = {"run": run.id, "question": question, "answer": answers[1], "base": of_base}
            print(json.dumps(row, ensure_ascii=False), flush=True)
        for conversation, text in zip((base, tuned), answers, strict=True):
            conversation.append({"role": "assistant", "content": text})
    return 0


def _try_out(run: Run, session: ChatSession, with_base: bool, as_json: bool, out: Console) -> int:
    """For a task without turns: every line is a text of its own."""
    for text in filter(None, _questions(sys.stdin.isatty() and not as_json)):
        of_base = session.respond(text, True) if with_base else None
        of_adapter = session.respond(text, False)
        if as_json:
            row = {"run": run.id, "question": text, "answer": of_adapter, "base": of_base}
            print(json.dumps(row, ensure_ascii=False), flush=True)
        else:
            out.print(Text(_both((of_base, of_adapter)) if with_base else of_adapter), soft_wrap=True)
    return 0


def open_session(run: Run, screen: Console) -> ChatSession:
    with screen.status("Loading the model"):
        return ModelPool().get(run)


def _questions(talking: bool) -> Iterator[str]:
    while True:
        try:
            yield input("> " if talking else "").strip()
        except EOFError:
            return


def _answer(
    session: ChatSession, base: Conversation | None, tuned: Conversation, out: Console | None
) -> tuple[str, str]:
    """Print the answers as they grow (on a terminal) and return both. Ctrl-C keeps what was said so far."""
    stop, answers = threading.Event(), ("", "")
    asked = [(Here(session), tuned)]
    if base:
        asked.insert(0, (Here(session, is_base=True), base))
    growing = iter(Replies(asked, Decoding(), stop))
    moving = out is not None and out.is_terminal
    try:
        screen = Live(console=out, refresh_per_second=12, vertical_overflow="visible") if moving else None
        with screen or contextlib.nullcontext() as live:
            for said in growing:
                answers = _pair(said, with_base=bool(base))
                if live:
                    live.update(_side_by_side(answers, base is not None))
    except KeyboardInterrupt:
        stop.set()
        for said in growing:  # the thread that generates ends within a token
            answers = _pair(said, with_base=bool(base))
    if out and not moving:
        out.print(Text(_both(answers) if base is not None else answers[1]), soft_wrap=True)
    return answers


def _pair(said: Sequence[Said], with_base: bool) -> tuple[str, str]:
    """(the base's answer, the adapter's). Raises what went wrong."""
    for one in said:
        if one.error:
            raise one.error
    return said[0] if with_base else "", said[-1]


def _both(answers: Sequence[str | None]) -> str:
    return f"base: {answers[0]}\nadapter: {answers[1]}"


def _side_by_side(answers: tuple[str, str], with_base: bool) -> Table | Text:
    if not with_base:
        return Text(answers[1])
    table = Table("base", "adapter", box=None, pad_edge=False, padding=(0, 2), expand=True)
    for column in table.columns:
        column.ratio = 1
    table.add_row(Text(answers[0]), Text(answers[1]))
    return table


def add_chat(commands: Any) -> None:
    parser = add_command(commands, "chat", chat_command)
    add_run(parser)
    parser.add_argument(
        "--base", action="store_true", help="show beside each answer what the base says without the adapter"
    )


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
    return chat(find_run(given.run, settings, with_adapter=True), given.base, given.json, stdout(), given.screen)


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
