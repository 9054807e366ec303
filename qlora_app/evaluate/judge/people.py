"""What people said of the same answers, in whichever arena: found by the words of question and answers, since there
models may be called otherwise.
"""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ...storage.reading import each_line

_SIDES = ("model_a", "model_b")
VOTES, ANSWERS = "votes.jsonl", "answers.jsonl"  # of an arena's folder
Rows = Mapping[str, Mapping[str, Any]]  # {id of a question: the kept row of a contestant}


def votes_on(gathered: Mapping[str, Rows], evaluations: Path) -> Iterator[dict[str, str]]:
    """Rows with question, model_a, model_b and winner, called as the judged answers are. gathered: those, by
    contestant.
    """
    called: dict[tuple[str, str], tuple[str, str]] = {}
    for name, rows in gathered.items():
        for id, row in rows.items():
            called.setdefault((_plain(row["question"]), _plain(row["answer"])), (id, name))
    for file in sorted(evaluations.glob(f"*/{VOTES}")):
        yield from _votes_of(file, called)


def _votes_of(file: Path, called: Mapping[tuple[str, str], tuple[str, str]]) -> Iterator[dict[str, str]]:
    shown = {str(row.get("id")): row for row, _ in each_line(file.with_name(ANSWERS)) if row}
    for vote, _ in each_line(file):
        question = shown.get(str((vote or {}).get("question")))
        answers = question.get("answers") if question else None
        if vote is None or question is None or not isinstance(answers, dict):
            continue
        sides = [called.get((_plain(question.get("question")), _plain(answers.get(vote.get(side))))) for side in _SIDES]
        if sides[0] and sides[1] and sides[0][0] == sides[1][0]:
            winner = str(vote.get("winner"))
            yield {"question": sides[0][0], "model_a": sides[0][1], "model_b": sides[1][1], "winner": winner}


def _plain(text: Any) -> str:
    return str(text).strip()
