"""What somebody asked a run while it trained: what waits, and each answer with its step, beside the base's."""

from collections.abc import Sequence
from html import escape

from ...errors import sentence_of
from ...jobs import Status
from ...runs.asking import ASKABLE, Waiting, waiting_words
from ...runs.rows import AskedRow
from ..language import problem_in
from .card_samples import answer_column

MOST_SHOWN = 5  # answers on the card; the page of the samples has all


def asked_part(waits: Sequence[Waiting], rows: Sequence[AskedRow], status: Status, language: str) -> str:
    """The questions that wait, in their order, then the newest answers."""
    if not waits and not rows:
        return ""
    words = waiting_words(status)
    waiting = "".join(
        f'<div class="sample waiting"><p class="question" translate="no">{escape(one.question)}</p>'
        f'<p class="quiet">{words}</p></div>'
        for one in waits
    )
    newest = "".join(asked_one(row, language) for row in reversed(rows[-MOST_SHOWN:]))
    more = ""
    if len(rows) > MOST_SHOWN:
        more = '<p class="quiet note">Earlier ones stand among the samples of the run, under Runs.</p>'
    heading = "" if status.state in ASKABLE else "<h3>Asked while it trained</h3>"  # else the box to ask stands above
    return f"{heading}{waiting}{newest}{more}"


def asked_one(row: AskedRow, language: str) -> str:
    """A question with the base's answer and that of its step, or why there is none."""
    question = f'<p class="question" translate="no">{escape(str(row.get("question", "")))}</p>'
    title = f"Step {step_of(row):,}"
    if why := sentence_of(row):
        said = f'<p class="quiet">{title}: <span translate="no">{escape(problem_in(why, language))}</span></p>'
        return f'<div class="sample">{question}{said}</div>'
    base = answer_column("before", "Base", row.get("base"), bool(row.get("base_is_cut")))
    now = answer_column("then", title, row.get("answer"), bool(row.get("is_cut")))
    return f'<div class="sample">{question}<div class="pair" data-columns="2">{base}{now}</div></div>'


def step_of(row: AskedRow) -> int:
    """Of the weights that answered; 0 where the file says nothing that makes sense."""
    step = row.get("step")
    return step if isinstance(step, int) else 0
