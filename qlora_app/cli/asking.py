"""Questions to a run from a terminal: a conversation, or a whole file that is scored."""

import contextlib
import json
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.live import Live
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table
from rich.text import Text

from ..answers import answer_file, read_as
from ..errors import UserError
from ..inference.session import ChatSession, ChatSessions, Decoding
from ..messages import Conversation
from ..runs import Run
from ..settings import Settings
from ..tasks.asked import Asked, asked, groups
from ..tasks.generate import context_of
from ..tasks.task import same_answer
from ..training_data import DatasetChoice
from ..training_data.store import with_turns


def chat(run: Run, with_base: bool, as_json: bool, out: Console, screen: Console) -> int:
    """Ask and answer until the questions end. An empty line begins a new conversation.

    For scripts each answer is a line of JSON: {run, question, answer, base}.
    """
    session = _open(run, screen)
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


def _open(run: Run, screen: Console) -> ChatSession:
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


def score(
    run: Run,
    file: Path,
    base: bool,
    limit: int | None,
    misses: int,
    limits: Settings,
    screen: Console,
    told: DatasetChoice | None = None,
) -> dict[str, Any]:
    """Ask everything that the rows of a file ask, greedily, and compare with each assistant turn, blanks at the ends
    aside.

    Returns {run, file, base, questions, exact, share, figures, left_out, out_of_reach, seconds, misses: [{question,
    expected, answer}]}; `out_of_reach` are questions that are longer than the model reads together with their answer,
    and were not asked.
    """
    if not file.is_file():
        raise UserError("file.not_there", "There is no file {file}.", file=file)
    data = read_as(run, file, limits, told)
    if run.task().name != "fill_mask" and all(len(one) < 2 for one in data.conversations):  # a plain text asks nothing
        raise UserError("test.no_answers", "{name} has no row with an answer to compare with.", name=file.name)
    session = _open(run, screen)
    began = time.monotonic()
    task, tokenizer = session.task, session.tokenizer
    turns = (told or run.recipe().dataset).turns
    talks = (session.as_trained(with_turns(one, turns)) for one in data.conversations)
    every = [question for one in talks for question in task.questions(tokenizer, one)][:limit]
    context = context_of(session.model)
    within = [one for question in every if (one := asked(task, tokenizer, question, context))]
    if not within:
        raise UserError("test.no_answers", "{name} has no row with an answer to compare with.", name=file.name)
    questions = [one.question for one in within]
    expected = [question.expected for question in questions]
    answers = _answer_all(session, within, context, base, screen)
    wrong = [
        {"question": q.text, "expected": q.expected, "answer": got}
        for q, got in zip(questions, answers, strict=True)
        if not same_answer(got, q.expected)
    ]
    exact = len(answers) - len(wrong)
    return {
        "run": run.id,
        "file": str(file),
        "base": base,
        "questions": len(answers),
        "exact": exact,
        "share": exact / len(answers),
        "figures": session.task.scores(answers, expected),
        "left_out": len(data.left_out),
        "out_of_reach": len(every) - len(within),
        "seconds": round(time.monotonic() - began, 1),
        "misses": wrong[:misses],
    }


def show_score(result: dict[str, Any], base: bool, name: str) -> None:
    """What `score` returns, in words."""
    who = "The base" if base else "The adapter"
    print(
        f"{who} answered {result['exact']:,} of {result['questions']:,} questions of {name} word for word: "
        f"{result['share']:.1%}"
    )
    for miss in result["misses"]:
        print(f"\n  asked     {miss['question']}\n  expected  {miss['expected']}\n  answered  {miss['answer']}")


def answer(
    run: Run,
    file: Path,
    target: Path,
    column: str,
    base: bool,
    max_new_tokens: int,
    limits: Settings,
    screen: Console,
    told: DatasetChoice | None = None,
) -> dict[str, Any]:
    """Answer every row of a file into another, with a progress bar. Returns {run, file, answers, rows, answered,
    problems, kept}.
    """
    session = _open(run, screen)
    columns = TextColumn("answering"), BarColumn(bar_width=24), MofNCompleteColumn(), TimeRemainingColumn()
    with Progress(*columns, console=screen, transient=True) as progress:
        bar = progress.add_task("answering", total=None)
        counts = answer_file(
            run,
            session,
            file,
            target,
            limits,
            column=column,
            base=base,
            max_new_tokens=max_new_tokens,
            told=told,
            on_progress=lambda done, of: progress.update(bar, completed=done, total=of),
        )
    return {"run": run.id, "file": str(file), "answers": str(target), **counts}


def _answer_all(
    session: ChatSession, questions: list[Asked], context: int | None, base: bool, screen: Console
) -> list[str]:
    """An answer may be a few tokens longer than the right one; what is longer still cannot be right."""
    answers: dict[int, str] = {}
    with screen.status("") as line:
        for group in groups(dict(enumerate(questions)), context):
            line.update(f"{len(answers):,} of {len(questions):,} questions answered")
            longest = max(questions[place].longest for place in group)
            asking = [questions[place].question for place in group]
            given = session.answer_all(
                [one.conversation for one in asking], base, longest, [one.thinking for one in asking]
            )
            answers |= zip(group, given, strict=True)
    return [answers[place] for place in range(len(questions))]
