"""The general questions that a finished run was asked: what base and adapter said, and whether that was right."""

from dataclasses import asdict, dataclass
from typing import Any

from ..storage.reading import LARGEST_LIST, read_json
from ..storage.typed import filled
from .run import GENERAL_ANSWERS, Run


@dataclass(frozen=True)
class GeneralAnswer:
    """One question. before, after: what base and adapter answered, and whether each was right."""

    kind: str = ""
    question: str = ""
    before: str = ""
    after: str = ""
    was_right: bool = False
    is_right: bool = False

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def general_answers(run: Run) -> list[GeneralAnswer]:
    """None where it was not asked any."""
    rows = read_json(run.folder / GENERAL_ANSWERS, list, LARGEST_LIST) or []
    return [filled(GeneralAnswer, row) for row in rows if isinstance(row, dict)]
