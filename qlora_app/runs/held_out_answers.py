"""The answers that a finished run was scored on: every held-out question, and what base and adapter said to it."""

import functools
import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from ..messages import Conversation
from ..storage.reading import LARGEST_LIST, read_json
from ..storage.typed import filled
from ..tasks.task import same_answer
from .run import HELD_OUT_ANSWERS, Run


@dataclass(frozen=True)
class HeldOutAnswer:
    """One question. key: the same for the same conversation with the same right answer, in whatever run. before, after:
    what base and adapter answered. is_cut: the adapter's answer had not ended.
    """

    key: str = ""
    question: str = ""
    expected: str = ""
    before: str = ""
    after: str = ""
    is_cut: bool = False

    @property
    def is_right(self) -> bool:
        return same_answer(self.after, self.expected)

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def key_of(conversation: Conversation, expected: str) -> str:
    """By which the same question is known in another run."""
    asked = [[turn["role"], turn["content"]] for turn in conversation]
    return hashlib.sha256(json.dumps([asked, expected.strip()]).encode()).hexdigest()[:16]


def held_out_answers(run: Run) -> tuple[HeldOutAnswer, ...] | None:
    """In the order of the data; None where they were not kept: it has not finished, or an earlier version made it."""
    file = run.folder / HELD_OUT_ANSWERS
    try:
        found = file.stat()
    except OSError:
        return None
    return _read(file, found.st_mtime_ns, found.st_size)


@functools.lru_cache(maxsize=32)
def _read(file: Path, written: int, size: int) -> tuple[HeldOutAnswer, ...] | None:
    """`written` and `size` only tell when the file is another."""
    rows = read_json(file, list, LARGEST_LIST)
    if rows is None:
        return None
    return tuple(filled(HeldOutAnswer, row) for row in rows if isinstance(row, dict))


def in_common(answered: Sequence[Iterable[HeldOutAnswer]]) -> list[tuple[HeldOutAnswer, ...]]:
    """The questions that all were asked, each with what every one of them answered. What stands in the data twice is
    asked twice.
    """
    numbered = [_numbered(answers) for answers in answered]
    if not numbered:
        return []
    return [tuple(one[key] for one in numbered) for key in numbered[0] if all(key in one for one in numbered)]


def _numbered(answers: Iterable[HeldOutAnswer]) -> dict[tuple[str, int], HeldOutAnswer]:
    seen: Counter[str] = Counter()
    found = {}
    for answer in answers:
        found[answer.key, seen[answer.key]] = answer
        seen[answer.key] += 1
    return found
