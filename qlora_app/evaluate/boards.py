"""Leaderboards of an evaluation: by each judge, and by the people of its arenas, never poured together."""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from ..errors import Problem, UserError
from ..jobs import Job
from ..storage.reading import read_lines
from .arena import Arena
from .arena.arena import Vote
from .arena.doubts import DOUBTS, doubted
from .arena.made import ArenaSpec
from .judge.evaluator import JUDGMENTS
from .judge.judged import Judged, judged_in
from .ratings import Judgment, Judgments, Ratings, rate

ORDERS = 200  # of Elo: a page is there at once
Files = tuple[tuple[Path, int], ...]  # with when each was written last


@dataclass(frozen=True)
class Board:
    """by: the name of the judge; "" of people. found_in: the evaluations and arenas that the rows are from."""

    raters: Literal["judge", "people"]
    by: str
    ratings: Ratings
    found_in: tuple[str, ...]


def boards_of(evaluation: Job, every: Iterable[Job]) -> list[Board]:
    """Of an evaluation that is done. every: all evaluations and arenas there are."""
    answers = _answers_of(evaluation)
    others = list(every)
    judged = [job for job in others if job.id == evaluation.id or (answers and _answers_of(job) == answers)]
    names = {job.id for job in judged}
    arenas = [job for job in others if job.kind == "arena" and _source_of(job) in names]
    by_judge = _by_judge(_written(job.folder / f"{JUDGMENTS}.jsonl" for job in judged))
    by_people = _by_people(_written(job.folder / "votes.jsonl" for job in arenas))
    return [*by_judge, *by_people]


def _written(files: Iterable[Path]) -> Files:
    return tuple((file, file.stat().st_mtime_ns) for file in files if file.is_file())


@functools.lru_cache(maxsize=16)
def _by_judge(files: Files) -> list[Board]:
    """What several evaluations have of the same answers counts once."""
    rows: dict[str, dict[tuple[str, ...], Judged]] = {}
    found_in: dict[str, list[str]] = {}
    for file, _ in files:
        for row in judged_in(read_lines(file, 0)[0]):
            if row.winner is not None:
                rows.setdefault(row.rater, {}).setdefault(row.place, row)
                found_in.setdefault(row.rater, []).append(file.parent.name)
    boards = []
    for judge, some in rows.items():
        judgments = [_judgment(row) for row in some.values()]
        boards.append(Board("judge", judge, _rated(judgments), tuple(dict.fromkeys(found_in[judge]))))
    return boards


@functools.lru_cache(maxsize=16)
def _by_people(files: Files) -> list[Board]:
    arenas = [Arena(file.parent) for file, _ in files]
    votes = {arena.id: arena.votes() for arena in arenas}
    judgments = [vote.judgment for some in votes.values() for vote in some]
    if not judgments:
        return []
    ratings = _rated(judgments)
    ratings = replace(ratings, notes=(*ratings.notes, *_doubts(list(votes.values()))))
    return [Board("people", "", ratings, tuple(votes))]


def _doubts(of_arenas: Sequence[Sequence[Vote]]) -> list[Problem]:
    """What is counted here though somebody may doubt it: votes are left out where an arena is looked at, not here."""
    found = [doubted(votes) for votes in of_arenas]
    count = {doubt: sum(len(one[doubt]) for one in found) for doubt in DOUBTS}
    about = {vote.assignment for one in found for some in one.values() for vote in some}
    if not about:
        return []
    return [
        Problem(
            "ratings.doubted_votes",
            "Counted are also votes that may be doubted, {count:,} of {of:,}: within two seconds {hasty:,}, from where "
            "many raters came {crowded:,}. The page of the arena shows the ratings without them.",
            count=len(about),
            of=sum(map(len, of_arenas)),
            hasty=count["hasty"],
            crowded=count["crowded"],
        )
    ]


def _rated(judgments: list[Judgment]) -> Ratings:
    return rate(Judgments(judgments), orderings=ORDERS)


def _judgment(row: Judged) -> Judgment:
    who = row.model_a, row.model_b, row.winner
    return Judgment(*who, row.question, row.rater, row.category, row.checksum_a, row.checksum_b)  # type: ignore[arg-type]


def _answers_of(job: Job) -> Any:
    """{contestant: the file of its answers}: whoever has the same has judged the same."""
    file = job.folder / "result.json"
    return _answers_in(job.folder, file.stat().st_mtime_ns) if file.is_file() else None


@functools.lru_cache(maxsize=1000)
def _answers_in(folder: Path, written: int) -> Any:
    return (Job(folder).result() or {}).get("answers")


def _source_of(job: Job) -> str:
    """The evaluation that an arena is made of; "" where that cannot be read."""
    try:
        return job.spec(ArenaSpec).source
    except UserError:
        return ""
