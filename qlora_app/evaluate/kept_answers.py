"""Answers of one contestant to one set of questions, kept in a file that only grows: whatever ends the program loses
what was on its way and nothing else, and every evaluator reads the same answers.

    evaluations/answers/KEY.jsonl     first line: what made them; then a line for each question that was answered
"""

import contextlib
import hashlib
import json
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from ..jobs import Job
from ..jobs.lock import hold_lock, is_locked
from ..storage.files import append_line, replace_file
from ..storage.reading import read_lines

FOLDER = "answers"  # beside the evaluations
READS = "reads"  # .jsonl in the folder of an evaluation: a line for each file of answers that it reads
SHOWN = 12  # characters of a checksum: enough to tell apart what has one name
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
        rows = (line for line in lines[1:] if isinstance(line, dict) and isinstance(line.get("id"), str))
        return {row["id"]: row | {"checksum": self.checksum} for row in rows}

    def append(self, row: Mapping[str, Any]) -> None:
        """One write, after which the answer is kept."""
        append_line(self.path, row)

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


def unread(evaluations: Path) -> list[Path]:
    """Files of answers that no evaluation reads any more, and nobody writes; none as long as one has not begun, which
    may read any.
    """
    known: set[str] = set()
    for folder in (spec.parent for spec in evaluations.glob("*/job.yaml")):
        job = Job(folder)
        names = _read_by(job)
        if job.kind == "evaluate" and not names and job.status().state != "failed":
            return []
        known |= names
    files = sorted((evaluations / FOLDER).glob("*.jsonl"))
    return [file for file in files if file.name not in known and not is_locked(file.with_suffix(".lock"))]


def _read_by(job: Job) -> set[str]:
    """Names of files. Earlier versions named in their results only the answers of each contestant."""
    lines = read_lines(job.folder / f"{READS}.jsonl", 0)[0]
    names = {str(line.get("file")) for line in lines if isinstance(line, dict)}
    answers = (job.result() or {}).get("answers") if job.kind == "evaluate" else None
    return names | {Path(str(file)).name for file in answers.values()} if isinstance(answers, dict) else names
