"""What a run answers: the sample questions as the base answered them, at a step that was chosen, and now."""

from collections.abc import Sequence
from html import escape
from typing import Any

from ...runs import RunStatus
from ...runs.rows import SampleRow

LONGEST_SHOWN = 400  # characters of an answer
MOST_STEPS = 8  # to choose from
SENTENCE_ENDS = (".", "!", "?", "…", ".”", "!”", "?”", '."', '!"', '?"', ")")
NO_ANSWER = "\N{EM DASH}"


def samples(rows: Sequence[SampleRow], status: RunStatus, times: int, at: int | None = None) -> str:
    """Each sample question with the answer before training, that at step `at`, the newest one, and what was expected.

    times: how often they are answered in the run, so that one knows when the next answers come.
    """
    asked: dict[str, list[SampleRow]] = {}
    for row in rows:
        asked.setdefault(str(row.get("question", "")), []).append(row)
    if not asked:
        return ""
    steps = sorted({_step_of(row) for row in rows})
    until_then = _when_there_is_one(status, times)
    shown = "".join(_sample(question, answers, at, until_then) for question, answers in asked.items())
    return f'<div class="heading"><h3>What it answers</h3>{_choice(steps, at)}</div>{shown}'


def _choice(steps: list[int], at: int | None) -> str:
    """The steps between the first and the newest, to look at what it said then."""
    between = steps[1:-1]
    if not between:
        return ""
    every = -(-len(between) // MOST_STEPS)
    offered = sorted({*between[::every], *([at] if at in between else [])})
    buttons = "".join(
        f'<button type="button" data-at="{step}" aria-pressed="{str(step == at).lower()}">{step:,}</button>'
        for step in offered
    )
    return f'<span class="steps" role="group" aria-label="Answers at a step">at step {buttons}</span>'


def _when_there_is_one(status: RunStatus, times: int) -> str:
    """When the first answers of what was learned come; of a run that has ended, that they never did."""
    if status.has_ended:
        return "stopped before the first one"
    if not times or not status.total:
        return ""
    return f"at step {-(-status.total // times):,}"


def _sample(question: str, answers: list[SampleRow], at: int | None, until_then: str) -> str:
    first, last = answers[0], answers[-1]
    expected = str(last.get("expected") or "")
    columns = [_column("before", "Before training", first)]
    then = next((row for row in answers[1:-1] if _step_of(row) == at), None)
    if then is not None:
        columns.append(_column("then", f"Step {_step_of(then):,}", then, expected))
    if len(answers) > 1:
        columns.append(_column("now", f"Now, step {_step_of(last):,}", last, expected))
    else:
        columns.append(
            f'<div class="now"><h4>Now</h4><p class="quiet">{NO_ANSWER} <small>{until_then}</small></p></div>'
        )
    is_wanted = bool(expected) and len(answers) > 1 and not _is_right(last, expected)
    wanted = f'<p class="expected">Expected: <span translate="no">{escape(expected)}</span></p>' if is_wanted else ""
    return (
        f'<div class="sample"><p class="question" translate="no">{escape(question)}</p>'
        f'<div class="pair" data-columns="{len(columns)}">{"".join(columns)}</div>{wanted}</div>'
    )


def _column(kind: str, title: str, row: SampleRow, expected: str = "") -> str:
    right = _is_right(row, expected)
    heading = f"{title} · as expected" if right else title
    mark = " right" if right else ""
    cut = _cut(row) if kind == "before" or "is_cut" in row else ""  # an adapter's answer of an old run had its end
    return f'<div class="{kind}{mark}"><h4>{heading}</h4><p>{_shown(row.get("answer"))}{cut}</p></div>'


def _is_right(row: SampleRow, expected: str) -> bool:
    return bool(expected) and str(row.get("answer", "")).strip() == expected.strip()


def _step_of(row: SampleRow) -> int:
    step = row.get("step", 0)
    return step if isinstance(step, int) else 0


def _shown(answer: Any) -> str:
    text = str(answer or "").strip()
    shown = escape(text if len(text) <= LONGEST_SHOWN else text[:LONGEST_SHOWN] + "…")
    return f'<span translate="no">{shown}</span>' if shown else '<span class="quiet">(nothing)</span>'


def _cut(row: SampleRow) -> str:
    """A base goes on telling until it is stopped at the longest answer; without a sign of that it looks like a fault of
    the page.
    """
    text = str(row.get("answer") or "").rstrip()
    if "is_cut" in row:
        return '<span class="quiet">…</span>' if row["is_cut"] and len(text) <= LONGEST_SHOWN else ""
    is_whole = len(text) > LONGEST_SHOWN or text.endswith(SENTENCE_ENDS) or " " not in text  # a label is a word
    return "" if not text or is_whole else '<span class="quiet">…</span>'
