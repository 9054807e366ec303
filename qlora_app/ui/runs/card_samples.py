"""What a run answers: the sample questions as the base answered them, and now."""

from collections.abc import Sequence
from html import escape
from typing import Any

from ...runs import RunStatus
from ...runs.rows import SampleRow
from .written import by_question

LONGEST_SHOWN = 400  # characters of an answer
SENTENCE_ENDS = (".", "!", "?", "…", ".”", "!”", "?”", '."', '!"', '?"', ")")
NO_ANSWER = "\N{EM DASH}"


def samples(rows: Sequence[SampleRow], status: RunStatus, times: int) -> str:
    """Each sample question with the answer before training, the newest one, and what was expected.

    times: how often they are answered in the run, so that one knows when the next answers come.
    """
    asked = by_question(list(rows))
    if not asked:
        return ""
    until_then = _when_there_is_one(status, times)
    shown = "".join(_sample(question, answers, until_then) for question, answers in asked.items())
    return f"<h3>What it answers</h3>{shown}"


def sample_at(question: str, answers: list[SampleRow], step: int) -> str:
    """A sample question as base and adapter answered it at a step; empty where it was not asked then."""
    then = next((row for row in answers if step_of_sample(row) == step), None)
    if then is None:
        return ""
    expected = str(then.get("expected") or "")
    base = next((row for row in answers if step_of_sample(row) == 0), None)
    columns = [_column("before", "Base", base)] if base else []
    columns.append(_column("then", f"Step {step:,}", then, expected))
    return _pair(question, columns, expected if expected and not _is_right(then, expected) else "")


def _when_there_is_one(status: RunStatus, times: int) -> str:
    """When the first answers of what was learned come; of a run that has ended, that they never did."""
    if status.has_ended:
        return "stopped before the first one"
    if not times or not status.total:
        return ""
    return f"at step {-(-status.total // times):,}"


def _sample(question: str, answers: list[SampleRow], until_then: str) -> str:
    first, last = answers[0], answers[-1]
    expected = str(last.get("expected") or "")
    columns = [_column("before", "Before training", first)]
    if len(answers) > 1:
        columns.append(_column("now", f"Now, step {step_of_sample(last):,}", last, expected))
    else:
        columns.append(
            f'<div class="now"><h4>Now</h4><p class="quiet">{NO_ANSWER} <small>{until_then}</small></p></div>'
        )
    is_wanted = len(answers) > 1 and not _is_right(last, expected)
    return _pair(question, columns, expected if is_wanted else "")


def _pair(question: str, columns: list[str], expected: str) -> str:
    """A question with answers side by side, and below them the expected one where none of them is it."""
    wanted = f'<p class="expected">Expected: <span translate="no">{escape(expected)}</span></p>' if expected else ""
    return (
        f'<div class="sample"><p class="question" translate="no">{escape(question)}</p>'
        f'<div class="pair" data-columns="{len(columns)}">{"".join(columns)}</div>{wanted}</div>'
    )


def answer_column(kind: str, title: str, answer: Any, is_cut: bool) -> str:
    """One answer under its title; `is_cut`: it had not ended."""
    return _column(kind, title, {"answer": str(answer or ""), "is_cut": is_cut})


def _column(kind: str, title: str, row: SampleRow, expected: str = "") -> str:
    right = _is_right(row, expected)
    heading = f"{title} · as expected" if right else title
    mark = " right" if right else ""
    cut = _cut(row) if kind == "before" or "is_cut" in row else ""  # an adapter's answer of an old run had its end
    return f'<div class="{kind}{mark}"><h4>{heading}</h4><p>{_shown(row.get("answer"))}{cut}</p></div>'


def _is_right(row: SampleRow, expected: str) -> bool:
    return bool(expected) and str(row.get("answer", "")).strip() == expected.strip()


def step_of_sample(row: SampleRow) -> int:
    """0: of the base."""
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
