"""An arena's folder: who was given which pair, and what they voted.

evaluations/NAME/   answers.jsonl      what is shown, with the names: read by the server only
                    assignments.jsonl  every pair that was given to a rater, or skipped
                    votes.jsonl        every vote, as `ratings` reads it
                    link.json          the secret of the link, and the key that raters are known by

A rater is shown a pair under an id that the server made, and votes under that id once. So nobody chooses what they vote
on, votes twice on it, or votes in the name of another.
"""

import contextlib
import fcntl
import random
import secrets
import threading
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

from ...errors import UserError
from ...storage.disk import said
from ...storage.files import append_line, open_for_writing
from ...storage.reading import read_lines
from ..ratings.rows import Judgment, Winner
from .questions import ArenaQuestion, Pair

ANSWERS, ASSIGNMENTS, VOTES = "answers.jsonl", "assignments.jsonl", "votes.jsonl"
CHOICES: dict[str, Winner] = {"left": "a", "right": "b", "equal": "tie", "both_bad": "tie"}
LONGEST_COMMENT = 2000  # characters
LOOKED_AT = 900.0  # seconds after which a pair that was given is thought to be left


@dataclass(frozen=True)
class Assignment:
    """A pair that a rater was given. left, right: the models, whose sides a fair coin chose."""

    id: str
    rater: str
    question: str
    left: str
    right: str
    given: float  # seconds since 1970

    @property
    def pair(self) -> Pair:
        return (self.left, self.right) if self.left < self.right else (self.right, self.left)


@dataclass(frozen=True)
class Vote:
    """A row of votes.jsonl. model_a stood on the left."""

    question: str
    category: str
    model_a: str
    model_b: str
    winner: Winner
    rater: str
    choice: str  # one of CHOICES
    comment: str
    seconds: float  # between the answers and the vote
    time: str
    assignment: str
    near: str = ""  # where the rater came from, as a word that tells no address; "" where it is not known
    checksum_a: str = ""  # of what answered; "" where it is not known
    checksum_b: str = ""

    @property
    def judgment(self) -> Judgment:
        who = self.model_a, self.model_b, self.winner
        return Judgment(*who, self.question, self.rater, self.category, self.checksum_a, self.checksum_b)


class Arena:
    """Several threads, and several apps on one folder, write one after the other; each reads what others wrote."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._lock = threading.Lock()
        self._questions: dict[str, ArenaQuestion] = {}
        self._read = Counter[str]()  # bytes of each file
        self._assignments: dict[str, Assignment] = {}
        self._open: dict[str, Assignment] = {}  # of each rater
        self._done: dict[str, set[tuple[str, Pair]]] = {}  # of each rater: voted on or skipped
        self._played = Counter[Pair]()
        self._played_on = Counter[tuple[str, Pair]]()
        self._votes: list[Vote] = []

    @property
    def id(self) -> str:
        return self.folder.name

    # ---- for a rater

    def give(self, rater: str) -> Assignment | None:
        """The pair that a rater has not voted on yet, else a new one: of the pairs played least. None after all."""
        with self._alone():
            if rater in self._open:
                return self._open[rater]
            chosen = self._least_played(rater)
            if chosen is None:
                return None
            return self._assign(rater, *chosen)

    def ask(self, rater: str, question: ArenaQuestion) -> Assignment:
        """A question that was just answered by two, and stays in the arena: given to whoever asked it."""
        with self._alone():
            self._append(ANSWERS, question.to_json())
            self._questions[question.id] = question
            return self._assign(rater, question.id, next(question.pairs))

    def vote(self, rater: str, id: str, choice: str, comment: str = "", near: str = "") -> Vote:
        """Say which answer was better. Raises UserError for what this rater may not vote on, or not again."""
        with self._alone():
            given = self._given(rater, id)
            if choice not in CHOICES:
                raise UserError("arena.no_choice", "Choose left, right, equally good, or both bad.")
            asked = self._questions[given.question]
            vote = Vote(
                given.question,
                asked.category,
                given.left,
                given.right,
                CHOICES[choice],
                rater,
                choice,
                comment.strip()[:LONGEST_COMMENT],
                round(time.time() - given.given, 1),
                datetime.now(timezone.utc).isoformat(timespec="seconds"),
                id,
                near,
                *(asked.checksums.get(model, "") for model in (given.left, given.right)),
            )
            self._append(VOTES, vars(vote))
            self._take_vote(vars(vote))
            return vote

    def skip(self, rater: str, id: str) -> None:
        """Not to be asked this one again. Raises UserError as `vote` does."""
        with self._alone():
            self._given(rater, id)
            self._append(ASSIGNMENTS, {"skipped": id})
            self._take_assignment({"skipped": id})

    def given(self, id: str) -> Assignment:
        """What was given under an id. Raises UserError."""
        with self._alone():
            if id not in self._assignments:
                raise _not_yours()
            return self._assignments[id]

    def progress(self, rater: str) -> tuple[int, int]:
        """(how many pairs a rater has done, of how many)"""
        with self._alone():
            return len(self._done.get(rater, ())), sum(len(list(one.pairs)) for one in self._questions.values())

    # ---- for its owner

    @property
    def questions(self) -> dict[str, ArenaQuestion]:
        """By id."""
        if not self._questions:
            with self._alone():
                pass
        return self._questions

    def votes(self) -> list[Vote]:
        """Oldest first."""
        with self._alone():
            return list(self._votes)

    # ---- what is known

    def _assign(self, rater: str, question: str, pair: Pair) -> Assignment:
        left, right = pair if secrets.randbelow(2) else pair[::-1]
        assignment = Assignment(secrets.token_urlsafe(18), rater, question, left, right, round(time.time(), 3))
        self._append(ASSIGNMENTS, vars(assignment))
        self._take_assignment(vars(assignment))
        return assignment

    def _given(self, rater: str, id: str) -> Assignment:
        given = self._assignments.get(id)
        if given is None or given.rater != rater:
            raise _not_yours()
        if (given.question, given.pair) in self._done.get(rater, ()):
            raise UserError("arena.voted_already", "You have voted on this pair already. Each pair counts once.")
        return given

    def _least_played(self, rater: str) -> tuple[str, Pair] | None:
        done = self._done.get(rater, set())
        left = [(one.id, pair) for one in self._questions.values() for pair in one.pairs if (one.id, pair) not in done]
        if not left:
            return None
        played, played_on = self._with_those_open()
        least = min((played[pair], played_on[id, pair]) for id, pair in left)
        return random.choice([one for one in left if (played[one[1]], played_on[one]) == least])

    def _with_those_open(self) -> tuple[Counter[Pair], Counter[tuple[str, Pair]]]:
        """How often each pair was voted on, or is looked at now: two who come at once are given different ones."""
        played, played_on = Counter(self._played), Counter(self._played_on)
        for given in self._open.values():
            if time.time() - given.given < LOOKED_AT:
                played[given.pair] += 1
                played_on[given.question, given.pair] += 1
        return played, played_on

    def _take_question(self, row: dict[str, Any]) -> None:
        question = ArenaQuestion.from_json(row, len(self._questions) + 1)
        self._questions[question.id] = question

    def _take_assignment(self, row: dict[str, Any]) -> None:
        if "skipped" in row:
            skipped = self._assignments.get(str(row["skipped"]))
            if skipped:
                self._end(skipped)
            return
        with contextlib.suppress(TypeError):  # a line of another version
            assignment = Assignment(**row)
            self._assignments[assignment.id] = self._open[assignment.rater] = assignment

    def _take_vote(self, row: dict[str, Any]) -> None:
        with contextlib.suppress(TypeError):
            vote = Vote(**row)
            self._votes.append(vote)
            given = self._assignments.get(vote.assignment)
            if given:
                self._end(given)
                self._played[given.pair] += 1
                self._played_on[given.question, given.pair] += 1

    def _end(self, given: Assignment) -> None:
        self._done.setdefault(given.rater, set()).add((given.question, given.pair))
        if self._open.get(given.rater) == given:
            del self._open[given.rater]

    # ---- the files

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """Nobody else writes meanwhile, and all that was written is known. Raises UserError where the disk refuses."""
        with self._lock, said(self.folder):
            lock = open_for_writing(self.folder / ".votes.lock")
            with open(lock, "wb") as held:
                fcntl.flock(held, fcntl.LOCK_EX)
                self._catch_up()
                yield

    def _catch_up(self) -> None:
        takes = {ANSWERS: self._take_question, ASSIGNMENTS: self._take_assignment, VOTES: self._take_vote}
        for name, take in takes.items():
            rows, self._read[name] = read_lines(self.folder / name, self._read[name])
            for row in rows:
                take(row)

    def _append(self, name: str, row: dict[str, Any]) -> None:
        """It is not read again by `_catch_up`."""
        self._read[name] = append_line(self.folder / name, row)


def _not_yours() -> UserError:
    return UserError("arena.not_yours", "This pair was not given to you. Load the page again for the next one.")
