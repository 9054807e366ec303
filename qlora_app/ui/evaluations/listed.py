"""The list of what was compared: evaluations, and arenas where people judge. Each is called by who and what, or as a
person called it.
"""

import functools
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...evaluate import Evaluator
from ...evaluate.arena.made import CHAT, OPEN, ArenaSpec
from ...evaluate.evaluation import RESULT
from ...jobs import Job, JobStore
from ...jobs.job import SPEC_FILE
from ...jobs.status import Status
from ...kinds.evaluate import EvaluateSpec, evaluation_of
from ...runs.labels import labels_of
from ..context import AppContext
from ..language import problem_in, spoken
from ..runs.card_parts import STATES, title_of
from .figures import measures_in, titles_of
from .words import EVALUATOR_WORDS, SET_WORDS

MOST_LISTED = 200
UNREAD = "Not all of its result can be read: it is damaged, or of another version."
MOST_NAMED = 3  # contestants in a title
REMEMBERED = 2 * MOST_LISTED  # of each of these
Written = tuple[int, int] | None  # nanoseconds and bytes of a file


class EvaluationList:
    """What stands in it, in a visitor's language."""

    def __init__(self, page: AppContext) -> None:
        self.page = page

    @property
    def store(self) -> JobStore:
        return self.page.jobs.evaluations

    def rows(self, language: str) -> list[dict[str, Any]]:
        """Newest first."""
        row = {"evaluate": self.of_evaluation, "arena": self._of_arena}
        kinds = {job: _kind(job.folder, _written(job.folder / SPEC_FILE)) for job in self.store.list()[:MOST_LISTED]}
        return [row[kind](job, language) for job, kind in kinds.items() if kind in row]

    def titles(self, job: Job, language: str) -> dict[str, str]:
        """{contestant: what people call it}"""
        try:
            return titles_of(_spec_of(job).contestants, self.page.find, language)
        except UserError:
            return {}

    def of_evaluation(self, job: Job, language: str) -> dict[str, Any]:
        status, titles = job.status(), self.titles(job, language)
        measured, figures = _found(job.folder, _written(job.folder / f"{RESULT}.json"), language)
        name = labels_of(job).name
        who, what = _joined(list(titles.values())), self._what(job, language)
        return {
            "id": job.id,
            "kind": "evaluate",
            "name": name or who or job.id,
            "what": f"{who} · {what}" if name else what,
            "state": status.state,
            "word": spoken(STATES[status.state], language),
            "live": status.is_active or status.state == "queued",
            "part": None if status.progress is None else round(100 * status.progress),
            "sentence": self._sentence(job, status, measured, language),
            "contestants": list(titles.values()),
            "figures": list(figures),
            "made": job.created_at(),
        }

    def _sentence(self, job: Job, status: Status, measured: int, language: str) -> str:
        """What its worker said last; once it is done, whether its figures are all there: `measured` by so many."""
        if status.state != "done":
            return problem_in(status.sentence, language)
        try:
            is_whole = measured == len(_spec_of(job).evaluators)
        except UserError:
            is_whole = measured > 0
        return "" if is_whole else spoken(UNREAD, language)

    def _what(self, job: Job, language: str) -> str:
        """What is measured, and of which questions."""
        try:
            spec = _spec_of(job)
        except UserError:
            return ""
        measured = ", ".join(_measured(one, language) for one in spec.evaluators)
        asked = spec.questions
        if asked.file is not None:
            questions = asked.file.name
        elif asked.name == "held_out":
            run = self.page.find(asked.run)
            questions = f"{spoken(SET_WORDS['held_out'], language)}: {title_of(run) if run else asked.run}"
        elif asked.measured_by:
            questions = ", ".join(asked.tasks)
        else:
            questions = spoken(SET_WORDS.get(asked.name, asked.name), language)
        return f"{measured} · {questions}"

    def _of_arena(self, job: Job, language: str) -> dict[str, Any]:
        try:
            spec = job.spec(ArenaSpec)
        except UserError:
            spec = ArenaSpec(source="")
        who = spoken("Answers of the chat", language)
        if spec.source != CHAT:
            titles = self._titles_of(spec.source, language)
            who = _joined([titles.get(model, model) for model in spec.models])
        is_open = str(job.status().sentence) == OPEN
        votes = _lines_in(job.folder / "votes.jsonl")
        name = labels_of(job).name
        what = spoken("People judge", language)
        return {
            "id": job.id,
            "kind": "arena",
            "name": name or who or job.id,
            "what": f"{who} · {what}" if name else what,
            "state": "running" if is_open else "done",
            "word": spoken("Open" if is_open else "Closed", language) if spec.source != CHAT else "",
            "live": False,
            "part": None,
            "sentence": spoken(f"Votes: {votes:,}.", language),
            "contestants": [],
            "figures": [],
            "made": job.created_at(),
        }

    def _titles_of(self, source: str, language: str) -> dict[str, str]:
        try:
            return self.titles(self.store.get(source), language)
        except UserError:
            return {}


def _measured(evaluator: Evaluator, language: str) -> str:
    name = type(evaluator).model_fields["name"].default
    return spoken(EVALUATOR_WORDS.get(name, evaluator.title), language)


def _joined(names: list[str]) -> str:
    more = len(names) - MOST_NAMED
    return " · ".join([*names[:MOST_NAMED], *([f"+{more}"] if more > 0 else [])])


# The list is looked at every few seconds: a file is read again where it was written since.


def _written(file: Path) -> Written:
    """What tells it from what stood there before; None where there is none."""
    try:
        known = file.stat()
    except OSError:
        return None
    return known.st_mtime_ns, known.st_size


@functools.lru_cache(maxsize=REMEMBERED)
def _kind(folder: Path, written: Written) -> str:
    return Job(folder).kind


def _spec_of(job: Job) -> EvaluateSpec:
    """Raises UserError where it cannot be read."""
    return _spec(job.folder, _written(job.folder / SPEC_FILE))


@functools.lru_cache(maxsize=REMEMBERED)
def _spec(folder: Path, written: Written) -> EvaluateSpec:
    return Job(folder).spec(EvaluateSpec)


@functools.lru_cache(maxsize=REMEMBERED)
def _found(folder: Path, written: Written, language: str) -> tuple[int, tuple[str, ...]]:
    """(how many evaluators have measured, the first figure of each contestant)"""
    found = evaluation_of(Job(folder)) if written else None
    measures = measures_in(found, {}, language) if found else []
    rows = measures[0]["rows"] if measures else []
    return len(measures), tuple(row["figures"][0]["value"] for row in rows)


def _lines_in(file: Path) -> int:
    written = _written(file)
    return _lines(file, written) if written else 0


@functools.lru_cache(maxsize=REMEMBERED)
def _lines(file: Path, written: Written) -> int:
    with file.open("rb") as content:
        return sum(1 for _ in content)
