"""What a finished evaluation shows: its measures as tables, and the answers side by side."""

import functools
import re
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from ...evaluate import Contestant, Evaluation, Figure, Measure
from ...evaluate.boards import Board
from ...evaluate.evaluation import ROWS
from ...evaluate.ratings import Standing
from ...jobs import Job
from ...runs import Run
from ...storage.reading import read_lines
from ..language import problem_in, spoken
from ..runs.card_parts import title_of
from .words import EVALUATOR_WORDS

SHOWN = 30  # questions at once
LONGEST = 4000  # letters of an answer on the page


def titles_of(contestants: Sequence[Contestant], find: Callable[[str], Run | None], language: str) -> dict[str, str]:
    """{contestant: what people call it}, no two alike."""
    found = {}
    for one in contestants:
        run = find(one.run) if one.is_here else None
        title = title_of(run) if run else (Path(one.file).name or one.endpoint or one.word)
        if run and one.who == "base":
            title = f"{spoken('Base of', language)} {title}"
        if run and one.checkpoint is not None:
            title = f"{title} @ {one.checkpoint:,}"
        found[one.word] = title
    often = Counter(found.values())
    alike = [one for one in contestants if often[found[one.word]] > 1]
    return found | {one.word: f"{found[one.word]} ({one.whose or one.word})" for one in alike}


def measures_in(found: Evaluation, titles: dict[str, str], language: str) -> list[dict[str, Any]]:
    """Each as {evaluator, title, rows: [{name, figures}], pairs, notes, categories}."""
    return [_measure(one, titles, language) for one in found.measures]


def _measure(measure: Measure, titles: dict[str, str], language: str) -> dict[str, Any]:
    highest = max((one.high for each in measure.contestants for one in [_first(each.figures)]), default=1.0) or 1.0
    scale = 1.0 if measure.unit == "share" else highest
    rows = []
    for each in measure.contestants:
        figures = [_figure(name, one, measure.unit, scale) for name, one in each.figures.items()]
        rows.append({"name": titles.get(each.contestant, each.contestant), "figures": figures})
    names = list(dict.fromkeys(name for each in measure.contestants for name in each.categories))
    categories = [
        {
            "name": name,
            "cells": [
                _figure(name, each.categories[name], measure.unit, scale) if name in each.categories else None
                for each in measure.contestants
            ],
        }
        for name in names
    ]
    title = EVALUATOR_WORDS.get(measure.evaluator, measure.title)
    return {
        "evaluator": measure.evaluator,
        "title": spoken(title, language),
        "rows": rows,
        "pairs": [_sentence(one, titles, language) for one in measure.pairs],
        "notes": [spoken(_named(note, titles), language) for note in measure.notes],
        "categories": categories,
    }


def _sentence(pair: Any, titles: dict[str, str], language: str) -> str:
    from dataclasses import replace

    named = replace(pair, first=titles.get(pair.first, pair.first), second=titles.get(pair.second, pair.second))
    return problem_in(named.sentence, language)


def _named(note: str, titles: dict[str, str]) -> str:
    if not titles:
        return note
    words = "|".join(re.escape(word) for word in sorted(titles, key=len, reverse=True))
    return re.sub(words, lambda found: titles[found.group()], note)


def _first(figures: dict[str, Figure]) -> Figure:
    return next(iter(figures.values()))


def _figure(name: str, one: Figure, unit: str, scale: float) -> dict[str, Any]:
    """Its words, and where it stands on a bar, in percent."""
    is_share = unit == "share"
    say = "{:.1%}".format if is_share else "{:.3g}".format
    left, right = (100 * max(0.0, min(1.0, value / scale)) for value in (one.low, one.high))
    return {
        "name": name,
        "value": say(one.value),
        "low": say(one.low),
        "high": say(one.high),
        "questions": one.questions,
        "left": round(left, 2),
        "width": round(right - left, 2),
        "at": round(100 * max(0.0, min(1.0, one.value / scale)), 2),
    }


def board_in(board: Board, titles: dict[str, str], language: str) -> dict[str, Any]:
    """{title, arenas, rows: [{rank, name, rating: a figure, matches, won}], notes}, the best first."""
    standings = board.ratings.standings
    low, high = min(one.low for one in standings), max(one.high for one in standings)
    whose = "Ratings by people" if board.raters == "people" else f"Ratings by {board.by}"
    return {
        "title": spoken(whose, language),
        "arenas": list(board.found_in) if board.raters == "people" else [],
        "rows": [
            {
                "rank": one.rank,
                "name": _named(one.model, titles),
                "rating": _rating(one, low, (high - low) or 1.0),
                "matches": one.matches,
                "won": f"{one.wins / one.matches:.0%}",
            }
            for one in standings
        ],
        "notes": [problem_in(note, language) for note in board.ratings.notes],
    }


def _rating(one: Standing, lowest: float, width: float) -> dict[str, Any]:
    left, at, right = (round(100 * (value - lowest) / width, 2) for value in (one.low, one.rating, one.high))
    words = {name: f"{getattr(one, name):.0f}" for name in ("low", "high")}
    return {
        "value": f"{one.rating:.0f}",
        "questions": one.matches,
        "left": left,
        "width": right - left,
        "at": at,
        **words,
    }


class AnswerRows:
    """The questions of an evaluation with all answers."""

    def fitting(self, job: Job, asked: Any) -> dict[str, Any]:
        """{which: all, differ, one, wrong; search, start, by: an evaluator} -> {total, all, rows}."""
        given = asked if isinstance(asked, dict) else {}
        file = job.folder / f"{ROWS}.jsonl"
        rows = _read(file, file.stat().st_mtime_ns) if file.is_file() else ()
        by, which = str(given.get("by") or ""), given.get("which")
        search = str(given.get("search") or "").casefold()[:200]
        start = given.get("start") if isinstance(given.get("start"), int) else 0
        fits = [row for row in rows if _fits(row, which, by) and (not search or search in _text(row))]
        shown = fits[max(0, start or 0) : max(0, start or 0) + SHOWN]
        return {"total": len(fits), "all": len(rows), "rows": [_shown(row, by) for row in shown]}


@functools.lru_cache(maxsize=8)
def _read(file: Path, written: int) -> tuple[dict[str, Any], ...]:
    """`written` only tells when the file is another."""
    return tuple(read_lines(file, 0)[0])


def _right(row: dict[str, Any], by: str) -> list[bool | None]:
    """Of each contestant: is it right? None where nothing says so."""
    scores = row.get("scores", {}).get(by, {})
    return [scores[name] >= 1.0 if name in scores else None for name in row.get("answers", {})]


def _fits(row: dict[str, Any], which: Any, by: str) -> bool:
    right = _right(row, by)
    if which == "differ":
        return len({answer.strip() for answer in row["answers"].values()}) > 1
    if which == "one":
        return True in right and False in right
    if which == "wrong":
        return bool(right) and all(one is False for one in right)
    return True


def _text(row: dict[str, Any]) -> str:
    texts = [row.get("question", ""), row.get("expected", ""), row.get("category", ""), *row["answers"].values()]
    return "\n".join(texts).casefold()


def _shown(row: dict[str, Any], by: str) -> dict[str, Any]:
    answers = [str(one)[:LONGEST] for one in row["answers"].values()]
    return {
        "question": str(row.get("question", ""))[:LONGEST],
        "category": row.get("category", ""),
        "expected": str(row.get("expected", ""))[:LONGEST],
        "answers": answers,
        "right": _right(row, by),
    }
