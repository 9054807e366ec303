"""Questions to a run from a terminal: a conversation."""

import contextlib
import json
import sys
import threading
from collections.abc import Iterator

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from ..inference.session import ChatSession, ChatSessions, Decoding
from ..messages import Conversation
from ..runs import Run


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
            print(
                json.dumps(
                    {
                        "run": run.id,
                        "question": question,
                        "answer": answers[1],
                        "base": answers[0] if with_base else None,
                    },
                    ensure_ascii=False,
                ),
                flush=True,
            )
        for conversation, text in zip((base, tuned), answers, strict=True):
            conversation.append({"role": "assistant", "content": text})
    return 0


def _try_out(run: Run, session: ChatSession, with_base: bool, as_json: bool, out: Console) -> int:
    """For a task without turns: every line is a text of its own."""
    for text in filter(None, _questions(sys.stdin.isatty() and not as_json)):
        answers = [session.respond(text, base) if with_base or not base else None for base in (True, False)]
        if as_json:
            print(
                json.dumps(
                    {"run": run.id, "question": text, "answer": answers[1], "base": answers[0]}, ensure_ascii=False
                ),
                flush=True,
            )
        else:
            out.print(Text(f"base: {answers[0]}\nadapter: {answers[1]}" if with_base else answers[1]), soft_wrap=True)
    return 0


def open_session(run: Run, screen: Console) -> ChatSession:
    with screen.status("Loading the model"):
        return ChatSessions().get(run)


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
    growing = session.reply(base, tuned, Decoding(), stop)
    moving = out is not None and out.is_terminal
    try:
        with (
            Live(console=out, refresh_per_second=12, vertical_overflow="visible")
            if moving
            else contextlib.nullcontext() as live
        ):
            for answers in growing:
                if live:
                    live.update(_side_by_side(answers, base is not None))
    except KeyboardInterrupt:
        stop.set()
        for answers in growing:  # noqa: B007  the thread that generates ends within a token
            pass
    if out and not moving:
        out.print(
            Text(f"base: {answers[0]}\nadapter: {answers[1]}" if base is not None else answers[1]), soft_wrap=True
        )
    return answers


def _side_by_side(answers: tuple[str, str], with_base: bool) -> Table | Text:
    if not with_base:
        return Text(answers[1])
    table = Table("base", "adapter", box=None, pad_edge=False, padding=(0, 2), expand=True)
    for column in table.columns:
        column.ratio = 1
    table.add_row(Text(answers[0]), Text(answers[1]))
    return table
