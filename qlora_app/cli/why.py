"""Why a run answers as it does: the tokens of an answer with what adapter and base gave them."""

import argparse
import json
from typing import Any

from rich.table import Table
from rich.text import Text

from ..inference.session import ChatSession
from ..inference.why import Part, Why, why
from ..messages import Conversation
from ..settings import Settings
from .asking import open_session
from .command import DONE, add_command, add_run, find_run, stdout

LONGEST = 256  # tokens of an answer that is made here
LEAST = 0.5  # nats from which on a token's difference has a colour


def add_why(commands: Any) -> None:
    parser = add_command(commands, "why", why_command)
    add_run(parser)
    parser.add_argument("question", metavar="QUESTION")
    parser.add_argument("--answer", metavar="TEXT", help="the answer to look at (default: its likeliest)")


def why_command(given: argparse.Namespace, settings: Settings) -> int:
    """Why this answer: of each of its tokens the probability that adapter and base gave it."""
    run = find_run(given.run, settings, with_adapter=True)
    session = open_session(run, given.screen)
    talk = session.as_trained([{"role": "user", "content": given.question}])
    answer, has_ended = (given.answer, True) if given.answer else _answered(session, talk)
    found = why(session, talk, answer, has_ended=has_ended)
    if given.json:
        row = {"run": run.id, "question": given.question, "answer": answer} | found.to_json()
        print(json.dumps(row, ensure_ascii=False))
        return DONE
    out = stdout()
    out.print(_coloured(found), soft_wrap=True)
    table = Table("changed most", "adapter", "base", box=None, pad_edge=False, padding=(0, 2))
    for part in found.changed_most():
        table.add_row(Text(part.shown), f"{part.adapter_share:.1%}", f"{part.base_share:.1%}")
    out.print(table)
    if found.note:
        out.print(Text(found.note), soft_wrap=True)
    return DONE


def _answered(session: ChatSession, talk: Conversation) -> tuple[str, bool]:
    """The likeliest answer, and whether it ended by itself. A task without tokens is refused by `why`."""
    made = session.answers([talk], max_new_tokens=LONGEST)[0]
    text = f"<think>\n{made.reasoning}\n</think>\n\n{made.text}" if made.reasoning else made.text
    return text, made.has_ended


def _coloured(found: Why) -> Text:
    """The answer: green what the adapter likes better than its base, red what it likes less."""
    said = Text()
    for part in found.parts:
        said.append(part.shown if part.is_end else part.text, style=_style(part))
    return said


def _style(part: Part) -> str:
    if abs(part.difference) < LEAST:
        return ""
    return "green" if part.difference > 0 else "red"
