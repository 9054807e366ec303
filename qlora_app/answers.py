"""Every question of a file answered by a run's model, into a file of JSON lines.

Answers are written as they come, beside the wanted file, with what made them on the first line: whoever is interrupted goes on where
it ended. When all are there they are put in the order of the rows.
"""

import fcntl
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .chat import ChatSession
from .digests import sha256_of
from .errors import UserError
from .messages import Conversation
from .runs import Run
from .runs.files import append_line, read_lines, replace_file
from .settings import Settings
from .training_data.chat_turns import turns_of
from .training_data.rows import RowSource
from .training_data.turns import CHATS, CONTEXTS, QUESTIONS, TEXTS, RowError, first_turn, is_blank, text_of

AT_ONCE = 32  # rows of about the same length
CANDIDATES = 5


def answer_file(run: Run, session: ChatSession, file: Path, target: Path, limits: Settings, *, column: str = "", base: bool = False,
                max_new_tokens: int = 256, tell: Callable[[int, int], None] = lambda done, of: None) -> dict[str, int]:
    """Answer every row of `file` into `target`; a row without a question gets its reason. `tell` hears how many of how many are done.

    Each line is {row, question, answer}, for tasks that weigh with `candidates` ({answer: probability}), or {row, problem}. Returns
    {rows, answered, problems, kept}; `kept` were there from an earlier, interrupted time. Raises UserError.
    """
    asked, problems = _questions(file, column, limits)
    with _only_here(target) as partial:
        done = _kept(partial, _made_by(run, session, file, column, base, max_new_tokens))
        for row, reason in problems.items():
            if row not in done:
                append_line(partial, {"row": row, "problem": reason})
        kept = len(done.keys() & asked.keys())
        left = sorted((row for row in asked if row not in done), key=lambda row: _length(asked[row]))
        tell(kept, len(asked))
        for start in range(0, len(left), AT_ONCE):
            rows = left[start:start + AT_ONCE]
            for row, line in zip(rows, _answers(session, [asked[row] for row in rows], base, max_new_tokens), strict=True):
                append_line(partial, {"row": row, "question": asked[row][-1]["content"], **line})
            tell(kept + start + len(rows), len(asked))
        _put_in_order(partial, target)
    return {"rows": len(asked) + len(problems), "answered": len(asked), "problems": len(problems), "kept": kept}


@contextmanager
def _only_here(target: Path) -> Iterator[Path]:
    """The file beside `target` in which the answers grow, held so that nobody else answers into it meanwhile. Raises UserError."""
    partial = target.with_name(f"{target.name}.partial")
    with open(partial, "a") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UserError(f"{target.name} is being written already, by another page or program. Wait for it, or stop it there.") from None
        if target.exists():  # asked only now: until the lock was ours, another one may have finished it
            if not lock.tell():  # opened for nothing; what an interrupted time left stays
                partial.unlink(missing_ok=True)
            raise UserError(f"{target.name} is there already. Delete it, or name another file for the answers.")
        yield partial


def _answers(session: ChatSession, conversations: list[Conversation], base: bool, max_new_tokens: int) -> list[dict[str, Any]]:
    if not session.task.weighs:
        return [{"answer": text} for text in session.answer_all(conversations, base, max_new_tokens)]
    return [{"answer": found[0].text if found else "", "candidates": {one.text: round(one.probability, 4) for one in found}}
            for found in session.weigh_all(conversations, base, CANDIDATES)]


def _questions(file: Path, column: str, limits: Settings) -> tuple[dict[int, Conversation], dict[int, str]]:
    """({row: the conversation up to its answer}, {row: why it asks nothing})"""
    if not file.is_file():
        raise UserError(f"There is no file {file}.")
    asked: dict[int, Conversation] = {}
    problems: dict[int, str] = {}
    for row in RowSource(file, file.name, limits):
        try:
            if row.problem:
                raise RowError(row.problem)
            asked[row.number] = question_of(row.value, column)
        except RowError as error:
            problems[row.number] = str(error)
    if not asked:
        why = next(iter(problems.values()), "it is empty")
        raise UserError(f"{file.name} asks nothing that could be answered: {why}. Name the column that asks.")
    return asked, problems


def question_of(value: Any, column: str = "") -> Conversation:
    """What a row asks, answers of its own left aside: a text, turns, or a row with a column that asks. Raises RowError."""
    if isinstance(value, str):
        return _said(value)
    if isinstance(value, list):
        return _without_answer(turns_of(value, "row"))
    row = {str(name).strip().lower(): one for name, one in value.items()} if isinstance(value, dict) else {}
    if column:
        if column.strip().lower() not in row:
            raise RowError(f"it has no column {column!r}")
        return _said(text_of(row[column.strip().lower()], column))
    if talk := next((name for name in CHATS if first_turn(row.get(name))), None):
        return _without_answer(turns_of(row[talk], talk))
    name = next((name for name in (*QUESTIONS, *TEXTS, *CONTEXTS) if isinstance(row.get(name), str)), None)
    if name is None:
        raise RowError(f"it has no column that asks; looked for {', '.join((*CHATS[:1], *QUESTIONS))}")
    more = row.get("input") if name == "instruction" else None
    return _said(f"{row[name]}\n\n{more}" if isinstance(more, str) and not is_blank(more) else row[name])


def _said(text: str) -> Conversation:
    if is_blank(text):
        raise RowError("its question is empty")
    return [{"role": "user", "content": text_of(text, "question").strip()}]


def _without_answer(turns: Conversation) -> Conversation:
    kept = turns[:-1] if turns[-1]["role"] == "assistant" else turns
    if not kept or kept[-1]["role"] != "user":
        raise RowError("its last turn asks nothing")
    return kept


def _length(conversation: Conversation) -> int:
    return sum(len(turn["content"]) for turn in conversation)


def _made_by(run: Run, session: ChatSession, file: Path, column: str, base: bool, max_new_tokens: int) -> dict[str, Any]:
    """What the answers depend on: with anything else of it they are begun anew."""
    return {"run": run.id, "adapter": session.adapter.name if session.adapter else "", "file": sha256_of(file), "column": column,
            "base": base, "max_new_tokens": max_new_tokens}


def _kept(partial: Path, made_by: dict[str, Any]) -> dict[int, dict[str, Any]]:
    """{row: line} of an earlier time that made the same answers; whatever else lies there is begun anew."""
    lines = read_lines(partial, 0)[0]
    if not lines or lines[0] != made_by:
        partial.write_text(json.dumps(made_by) + "\n", encoding="utf-8")  # in place: whoever answers holds this very file
        return {}
    return {line["row"]: line for line in lines[1:]}


def _put_in_order(partial: Path, target: Path) -> None:
    lines = {line["row"]: line for line in read_lines(partial, 0)[0][1:]}
    replace_file(target, "".join(json.dumps(lines[row], ensure_ascii=False) + "\n" for row in sorted(lines)))
    partial.unlink()
