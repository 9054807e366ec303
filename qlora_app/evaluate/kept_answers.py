"""Answers of one contestant to one set of questions, kept in a file that only grows: whatever ends the program loses
what was on its way and nothing else, and every evaluator reads the same answers.

    evaluations/answers/KEY.jsonl     first line: what made them; then a line for each question that was answered,
                                      before it the pieces of what is too long for one line
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..jobs import Job
from ..jobs.lock import hold_lock, is_locked
from ..storage.files import append_line, replace_file
from ..storage.reading import read_lines

FOLDER = "answers"  # beside the evaluations
READS = "reads"  # .jsonl in the folder of an evaluation: a line for each file of answers that it reads
SHOWN = 12  # characters of a checksum: enough to tell apart what has one name
MOST_IN_A_PIECE = 100_000  # bytes, and one value beyond: far below what is read of a line
LEFT_AFTER = 14 * 86_400  # seconds without a word after which an evaluation without a result is thought to be left
_LOOK_EVERY = 0.5  # seconds, at whether another evaluation has asked the same contestant to its end


class KeptAnswers:
    """One such file. `made_by` says what the answers depend on; with anything else of it they lie in another file.

    A row is {id, question, category, answer, expected, tokens, seconds}; `note` where not all of the question was read,
    `why: "length"` where the answer was cut. What is no answer but a measurement of one has other columns beside `id`.
    """

    def __init__(self, evaluations: Path, made_by: Mapping[str, Any]) -> None:
        self.made_by = dict(made_by)
        self.key = hashlib.sha256(json.dumps(self.made_by, sort_keys=True).encode()).hexdigest()[:32]
        self.path = evaluations / FOLDER / f"{self.key}.jsonl"

    @property
    def checksum(self) -> str:
        """Of what answered, shortened: adapter, base or file. A name may stand for others elsewhere, or later. "" of an
        endpoint, behind whose name anything may change.
        """
        made_of = self.made_by.get("contestant") or {}
        return str(made_of.get("adapter") or made_of.get("base") or made_of.get("file") or "")[:SHOWN]

    def rows(self) -> dict[str, dict[str, Any]]:
        """{id of the question: its row, with the `checksum`} of what is answered. A line that was cut short is none."""
        lines = read_lines(self.path, 0)[0]
        if not lines or lines[0] != self.made_by:
            return {}
        return {id: row | {"checksum": self.checksum} for id, row in _joined(lines[1:]).items()}

    def append(self, row: Mapping[str, Any]) -> None:
        """After its last write the answer is kept. Lists that are too long for a line go before it, in pieces."""
        long = {
            name: value for name, value in row.items() if isinstance(value, list) and _size(value) > MOST_IN_A_PIECE
        }
        for name, values in long.items():
            start = 0
            for piece in _pieces(values):
                append_line(self.path, {"piece_of": row["id"], "column": name, "start": start, "values": piece})
                start += len(piece)
        rest = {name: value for name, value in row.items() if name not in long}
        append_line(
            self.path, rest | ({"pieces": {name: len(values) for name, values in long.items()}} if long else {})
        )

    @contextlib.contextmanager
    def held(self, check: Callable[[], None]) -> Iterator[None]:
        """Nobody else adds to it meanwhile: two evaluations of the same contestant ask it once, one after the other.

        `check` is called while it waits, and may raise. What is there and was made by something else begins anew.
        """
        self.path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with contextlib.ExitStack() as stack:
            while True:
                check()
                with contextlib.suppress(BlockingIOError):
                    stack.enter_context(hold_lock(self.path.with_suffix(".lock")))
                    break
                time.sleep(_LOOK_EVERY)
            lines = read_lines(self.path, 0)[0]
            if not lines or lines[0] != self.made_by:
                replace_file(self.path, json.dumps(self.made_by) + "\n")
            yield


def rows_in(file: Path) -> dict[str, dict[str, Any]]:
    """{id of the question: its row} of such a file, whatever made it."""
    return _joined(read_lines(file, 0)[0][1:])


def _joined(lines: Iterable[Any]) -> dict[str, dict[str, Any]]:
    """{id: its row with the lists that lie before it}. Pieces whose row was never written are passed over, and a row of
    whose lists something is lacking is none.
    """
    rows: dict[str, dict[str, Any]] = {}
    lists: dict[str, dict[str, list[Any]]] = {}
    for line in (line for line in lines if isinstance(line, dict)):
        of, column, values = (line.get(name) for name in ("piece_of", "column", "values"))
        if isinstance(of, str) and isinstance(column, str) and isinstance(values, list):
            own = lists.setdefault(of, {})
            own[column] = own.get(column, []) + values if line.get("start") else values
        elif isinstance(id := line.get("id"), str):
            long = lists.pop(id, {})
            if "pieces" not in line:
                rows[id] = line
            elif line.pop("pieces") == {name: len(values) for name, values in long.items()}:
                rows[id] = line | long
    return rows


def _pieces(values: list[Any]) -> Iterator[list[Any]]:
    piece: list[Any] = []
    size = 0
    for value in values:
        piece.append(value)
        size += _size(value)
        if size > MOST_IN_A_PIECE:
            yield piece
            piece, size = [], 0
    if piece:
        yield piece


def _size(value: Any) -> int:
    """Bytes in a line."""
    return len(json.dumps(value, ensure_ascii=False).encode())


def unread(evaluations: Path) -> list[Path]:
    """Files of answers that no evaluation reads any more, and nobody writes; none as long as one has no result, which
    may read any when it goes on. Of one that nobody went on with for weeks only those stay that it has begun.
    """
    known: set[str] = set()
    for folder in (spec.parent for spec in evaluations.glob("*/job.yaml")):
        job = Job(folder)
        if job.kind == "evaluate" and job.result() is None and not _is_left(job):
            return []
        known |= _read_by(job)
    files = sorted((evaluations / FOLDER).glob("*.jsonl"))
    return [file for file in files if file.name not in known and not is_locked(file.with_suffix(".lock"))]


def _is_left(job: Job) -> bool:
    """Has nobody worked on it for long, and does nobody wait for that?"""
    status = job.status()
    if status.is_active or status.state == "queued":
        return False
    written = [file.stat().st_mtime for file in job.folder.iterdir() if file.is_file()]
    return time.time() - max(written, default=0.0) > LEFT_AFTER


def _read_by(job: Job) -> set[str]:
    """Names of files. Earlier versions named in their results only the answers of each contestant."""
    lines = read_lines(job.folder / f"{READS}.jsonl", 0)[0]
    names = {str(line.get("file")) for line in lines if isinstance(line, dict)}
    answers = (job.result() or {}).get("answers") if job.kind == "evaluate" else None
    return names | {Path(str(file)).name for file in answers.values()} if isinstance(answers, dict) else names
