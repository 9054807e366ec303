"""The work of a judge: every pair of answers in both orders, several at once, each written as soon as it is judged."""

import functools
import itertools
import queue
import threading
import time
from collections.abc import Callable, Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from ...errors import UserError
from ...settings import Endpoint
from .budget import Budget, Cost, Estimate, Price
from .client import Asking, JudgeClient, Reply
from .judged import Answered, Judged, Side
from .prompts import JudgePrompt
from .verdicts import score_of, verdict_of

FAILURES_IN_A_ROW = 8  # after so many without a single text nothing more is asked
GRACE = 5.0  # seconds that judgments on their way have to arrive when somebody stops it
LOOKS = 0.2


@dataclass(frozen=True)
class Task:
    """One judgment to be asked for."""

    answered: Answered
    first: Side
    key: str


def tasks_of(answered: Sequence[Answered], prompt: JudgePrompt, judge: str) -> list[Task]:
    """Both orders of every pair; of one answer alone one. judge: the words of `judge_of`."""
    orders: tuple[Side, ...] = ("a", "b") if prompt.way == "pairs" else ("a",)
    return [Task(one, first, one.key(first, prompt.digest, judge)) for one in answered for first in orders]


def to_ask(tasks: Sequence[Task], known: Container[str]) -> list[Task]:
    """What is not `known` by its key yet; where several would be asked in the very same words, the first of them."""
    return list({task.key: task for task in reversed(tasks) if task.key not in known}.values())[::-1]


def copies(tasks: Sequence[Task], known: Mapping[str, Judged], there: Iterable[Judged]) -> Iterator[Judged]:
    """What is known of the same words, and not written down about these models yet. It cost nothing again.

    there: what is written down and holds.
    """
    written = {row.place for row in there}
    for task in tasks:
        row = known.get(task.key)
        if (
            row
            and (task.answered.question, task.answered.model_a, task.answered.model_b, task.first, task.key)
            not in written
        ):
            one = task.answered
            yield replace(
                row,
                question=one.question,
                category=one.category,
                model_a=one.model_a,
                model_b=one.model_b,
                checksum_a=one.checksum_a,
                checksum_b=one.checksum_b,
                first=task.first,
                winner=_turned(row, task.first),
                calls=0,
                tokens_in=0,
                tokens_out=0,
                seconds=0.0,
            )


def _turned(row: Judged, first: Side) -> Any:
    """Who won where `first` stood first."""
    return row.winner if row.winner in (None, "tie") or row.first == first else _other(row.winner)


def estimate_of(asked: Sequence[Task], prompt: JudgePrompt, longest: int, price: Price, known: int = 0) -> Estimate:
    """What it costs to ask all of these. known: how many need not be asked."""
    return Estimate.of((_sent(task, prompt) for task in asked), longest, price, known)


def judge_all(
    tasks: Sequence[Task],
    endpoint: Endpoint,
    prompt: JudgePrompt,
    asking: Asking,
    budget: Budget,
    at_once: int,
    write: Callable[[dict[str, Any]], Any],
    on_progress: Callable[[int, int], None],
    has_texts: bool = False,
    pause: Callable[[float], Any] | None = None,
    begin: Callable[[str, Cost], Any] = lambda key, most: None,
) -> bool:
    """Ask for all of them; `write` gets each line in turn, from this thread alone. Returns False where the budget was
    spent before the end. has_texts: has the endpoint judged anything before? begin: is told before each call its
    key and what it takes at most, from several threads.

    Raises UserError where the endpoint refuses altogether, and whatever `on_progress` raises: then those on their way
    have a few seconds to arrive.
    """
    stop, replies = threading.Event(), queue.Queue[tuple[Task, Reply | BaseException]]()
    client = JudgeClient(endpoint, asking, budget, stop, pause)
    work = _Shared(iter(tasks))
    threads = [
        threading.Thread(target=_ask_on, args=(work, client, prompt, replies, begin), name="judge", daemon=True)
        for _ in range(max(1, min(at_once, len(tasks))))
    ]
    record = _Record(endpoint.name, prompt, asking.longest, write, has_texts)
    for thread in threads:
        thread.start()
    try:
        _gather(threads, replies, record, work, lambda done: on_progress(done, len(tasks)))
    finally:
        work.close()
        _gather(threads, replies, record, work, lambda done: None, GRACE)
        stop.set()
        _gather(threads, replies, record, work, lambda done: None, 2 * LOOKS)  # those that were waiting
        client.close()
    record.check()
    return not record.is_out_of_budget


class _Shared:
    """What several threads take their work from."""

    def __init__(self, tasks: Iterator[Task]) -> None:
        self._tasks, self._lock = tasks, threading.Lock()

    def next(self) -> Task | None:
        with self._lock:
            return next(self._tasks, None)

    def close(self) -> None:
        """What is begun is ended, and nothing else begun."""
        with self._lock:
            self._tasks = iter(())


class _Record:
    """What arrived: written down, and watched for an end before the last one."""

    def __init__(
        self, rater: str, prompt: JudgePrompt, longest: int, write: Callable[[dict[str, Any]], Any], has_texts: bool
    ) -> None:
        self.done, self.is_out_of_budget, self._has_texts = 0, False, has_texts
        self._rater, self._prompt, self._longest, self._write = rater, prompt, longest, write
        self._failed_in_a_row, self._last_problem = 0, ""
        self.error: UserError | None = None

    def take(self, task: Task, reply: Reply) -> bool:
        """Write it down. Is anything else to be asked?"""
        if reply.cost.calls or reply.text:
            self._write(judged(task, reply, self._prompt, self._rater, self._longest).to_json())
        self.done += 1
        self._has_texts = self._has_texts or bool(reply.text)
        if reply.text:
            self._failed_in_a_row = 0
        elif not (reply.is_of_question and self._has_texts):
            self._failed_in_a_row += 1
        self.error = self.error or reply.error
        self.is_out_of_budget = self.is_out_of_budget or reply.over == "budget"
        self._last_problem = reply.problem
        return not (self.error or self.is_out_of_budget or self._failed_in_a_row >= FAILURES_IN_A_ROW)

    def check(self) -> None:
        """Raises UserError where the endpoint refused, or brought nothing at all for long."""
        if self.error:
            raise self.error
        is_for_nothing = self.done > 0 and not self._has_texts
        if (is_for_nothing or self._failed_in_a_row >= FAILURES_IN_A_ROW) and not self.is_out_of_budget:
            raise UserError(
                "judge.never_answers",
                "{name} brought no judgment {count} times in a row. The last time: {why} Look at the endpoint; Resume "
                "goes on where this ended.",
                name=self._rater,
                count=self._failed_in_a_row,
                why=self._last_problem,
            )


def _ask_on(
    work: _Shared,
    client: JudgeClient,
    prompt: JudgePrompt,
    replies: "queue.Queue[tuple[Task, Reply | BaseException]]",
    begin: Callable[[str, Cost], Any],
) -> None:
    """One thread's work."""
    while task := work.next():
        try:
            reply = client.ask(_sent(task, prompt), functools.partial(begin, task.key))
            if reply.over:
                work.close()
            replies.put((task, reply))
        except BaseException as error:  # whoever waits for it hears of it
            replies.put((task, error))
            return


def _gather(
    threads: Sequence[threading.Thread],
    replies: "queue.Queue[tuple[Task, Reply | BaseException]]",
    record: _Record,
    work: _Shared,
    on_progress: Callable[[int], None],
    seconds: float = float("inf"),
) -> None:
    """Take what arrives until nobody works any more, or the time is over."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        is_over = not any(thread.is_alive() for thread in threads)
        try:
            task, reply = replies.get_nowait() if is_over else replies.get(timeout=LOOKS)
        except queue.Empty:
            if is_over:
                return
            on_progress(record.done)
            continue
        if isinstance(reply, BaseException):
            raise reply
        if not record.take(task, reply):
            work.close()
        on_progress(record.done)


def _sent(task: Task, prompt: JudgePrompt) -> Any:
    one = task.answered
    if prompt.way == "single":
        return prompt.messages(one.category, question=one.text, answer=one.answer_a, expected=one.expected)
    first, second = (one.answer_a, one.answer_b) if task.first == "a" else (one.answer_b, one.answer_a)
    return prompt.messages(one.category, question=one.text, answer_1=first, answer_2=second, expected=one.expected)


def judged(task: Task, reply: Reply, prompt: JudgePrompt, rater: str, longest: int) -> Judged:
    """The line that is kept. What was cut off has no verdict: its last words are not the last."""
    one, is_whole = task.answered, bool(reply.text) and not reply.was_cut
    verdict = verdict_of(reply.text) if is_whole and prompt.way == "pairs" else None
    return Judged(
        key=task.key,
        question=one.question,
        category=one.category,
        model_a=one.model_a,
        model_b=one.model_b,
        first=task.first,
        winner=_winner(verdict, task.first),
        score=score_of(reply.text) if is_whole and prompt.way == "single" else None,
        rater=rater,
        text=reply.text,
        problem=reply.problem,
        was_cut=reply.was_cut,
        calls=reply.cost.calls,
        tokens_in=reply.cost.tokens_in,
        tokens_out=reply.cost.tokens_out,
        is_estimated=reply.is_estimated,
        seconds=round(reply.seconds, 3),
        longest=longest,
        checksum_a=one.checksum_a,
        checksum_b=one.checksum_b,
    )


def _winner(verdict: int | None, first: Side) -> Any:
    if verdict is None:
        return None
    if verdict == 3:
        return "tie"
    return first if verdict == 1 else _other(first)


def _other(side: Any) -> Side:
    return "b" if side == "a" else "a"


def pairs_of(answers: Mapping[str, Mapping[str, Mapping[str, Any]]], against: str = "") -> tuple[list[Answered], int]:
    """(every question that two contestants both answered, with both answers; how many only one of them did).

    answers: {contestant: {id of the question: its row, as kept_answers has them}}. against: the one that all others are
    compared with; "" compares each with each.
    """
    names = list(answers)
    couples = [(name, against) for name in names if name != against] if against else itertools.combinations(names, 2)
    found, missing = [], 0
    for a, b in couples:
        both = [id for id in answers[a] if id in answers[b]]
        missing += len(answers[a]) + len(answers[b]) - 2 * len(both)
        found += [_pair(a, answers[a][id], b, answers[b][id]) for id in both]
    return found, missing


def singles_of(answers: Mapping[str, Mapping[str, Mapping[str, Any]]]) -> list[Answered]:
    """Every answer by itself."""
    return [_pair(name, row, "", {}) for name, rows in answers.items() for row in rows.values()]


def _pair(a: str, one: Mapping[str, Any], b: str, other: Mapping[str, Any]) -> Answered:
    return Answered(
        question=str(one["id"]),
        text=str(one["question"]),
        category=str(one.get("category") or ""),
        model_a=a,
        answer_a=str(one["answer"]),
        model_b=b,
        answer_b=str(other.get("answer", "")),
        expected=str(one.get("expected") or ""),
        checksum_a=str(one.get("checksum") or ""),
        checksum_b=str(other.get("checksum") or ""),
    )
