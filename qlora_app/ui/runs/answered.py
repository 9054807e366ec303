"""The Test page of a run: every scored held-out question with what base and adapter answered, searched, filtered and in
pages. Of a run that kept only sample answers these are shown, and it is said.
"""

from collections.abc import Iterable, Sequence
from typing import Any

from ...chance import Share
from ...formatting import count_of
from ...runs import Run
from ...runs.general_answers import GeneralAnswer, general_answers
from ...runs.held_out_answers import HeldOutAnswer, held_out_answers
from ...runs.proof import Proof
from ...runs.rows import SampleRow
from .card_parts import NO_FIGURE
from .written import by_question, mark, right_mark, written

IN_A_PAGE = 50
LONGEST_SEARCH = 200  # characters
HEADS = (
    '<thead><tr><th scope="col">Question</th><th scope="col">Base</th><th scope="col">Adapter</th>'
    '<th scope="col">Expected</th><th scope="col">Right</th></tr></thead>'
)
TOOLS = """<div class="answered-tools" role="search">
<input type="search" name="search-answers" placeholder="Question or answer" aria-label="Search in the answers"
 autocomplete="off">
<label class="only"><input type="checkbox" name="wrong-answers"> Wrong only</label></div>"""


def test_page(run: Run) -> str:
    """The score, and the answers it was counted from."""
    proof = Proof.from_json(run.proof())
    kept = held_out_answers(run)
    if kept is None:
        return _score(proof) + _samples(run)
    if not kept:
        return _score(proof) + '<p class="quiet">No held-out questions were asked.</p>' + general_part(run)
    return f'{_score(proof)}{TOOLS}<div class="answered">{answered_rows(kept, {})}</div>{general_part(run)}'


def _score(proof: Proof) -> str:
    heldout = proof.heldout
    if not heldout.questions or not heldout.exact_match.is_known:
        return ""
    before, after = (
        Share(round((share or 0.0) * heldout.questions), heldout.questions)
        for share in (heldout.exact_match.before, heldout.exact_match.after)
    )
    return (
        f'<p class="score">On {count_of(heldout.questions, "held-out question")}: '
        f"{before.right:,} right before, {after.right:,} right after.</p>"
        f'<p class="quiet">{after.words}</p>'
    )


# ---- all of them


def answered_rows(kept: Sequence[HeldOutAnswer], asked: dict[str, Any]) -> str:
    """One page of those that fit. asked: {search, wrong, page}, as a browser sent it."""
    fitting = list(_fitting(kept, str(asked.get("search") or "")[:LONGEST_SEARCH], asked.get("wrong") is True))
    if not fitting:
        return '<p class="quiet">No question fits.</p>'
    last = (len(fitting) - 1) // IN_A_PAGE
    wanted = asked.get("page")
    page = max(0, min(last, wanted if isinstance(wanted, int) else 0))
    shown = fitting[page * IN_A_PAGE : (page + 1) * IN_A_PAGE]
    count = count_of(len(kept), "question")
    if len(fitting) < len(kept):
        count = f"{len(fitting):,} of {count}"
    rows = "".join(map(_row, shown))
    return (
        f'<p class="quiet" role="status">{count}</p>'
        '<div class="scrolls" tabindex="0" role="region" aria-label="Held-out questions">'
        f'<table class="tested">{HEADS}<tbody>{rows}</tbody></table></div>{_pager(page, last)}'
    )


def _fitting(kept: Iterable[HeldOutAnswer], search: str, wrong: bool) -> Iterable[HeldOutAnswer]:
    words = search.casefold().split()
    for one in kept:
        text = "\n".join((one.question, one.before, one.after, one.expected)).casefold()
        if not (wrong and one.is_right) and all(word in text for word in words):
            yield one


def _row(one: HeldOutAnswer) -> str:
    cut = ' <span class="quiet">(cut off)</span>' if one.is_cut else ""
    adapter = written(one.after) + cut
    return (
        f'<tr><th scope="row">{written(one.question)}</th>'
        f"{_cells(f'{written(one.before)} {right_mark(one.before, one.expected)}', adapter, written(one.expected))}"
        f"<td>{right_mark(one.after, one.expected)}</td></tr>"
    )


def _cells(base: str, adapter: str, expected: str) -> str:
    """What was answered; a phone has no room for the heads of a table and shows whose it is here."""
    return (
        f"<td><small>Base</small> {base}</td><td><small>Adapter</small> {adapter}</td>"
        f"<td><small>Expected</small> {expected}</td>"
    )


def _pager(page: int, last: int) -> str:
    if not last:
        return ""
    back, on = (
        f'<button type="button" data-page="{to}"{"" if 0 <= to <= last else " disabled"}>{words}</button>'
        for to, words in ((page - 1, "Back"), (page + 1, "Next"))
    )
    return f'<p class="deeds pager">{back}<span>Page {page + 1:,} of {last + 1:,}</span>{on}</p>'


# ---- what it could before


def general_part(run: Run) -> str:
    """The general questions of a run, folded: what its base could, and whether it can that still."""
    found = general_answers(run)
    if not found:
        return ""
    before, after = (sum(getattr(one, name) for one in found) for name in ("was_right", "is_right"))
    heads = "".join(f'<th scope="col">{head}</th>' for head in ("Question", "Base", "Adapter", "Right"))
    return (
        f'<details class="general"><summary>General questions: {before:,} right before, {after:,} right after '
        f"(of {len(found):,})</summary>"
        '<p class="quiet">About nothing in its data: arithmetic, format, refusals, language. Told by fixed rules.</p>'
        '<div class="scrolls" tabindex="0" role="region" aria-label="General questions">'
        f'<table class="tested"><thead><tr>{heads}</tr></thead>'
        f"<tbody>{''.join(map(_general_row, found))}</tbody></table></div></details>"
    )


def _general_row(one: GeneralAnswer) -> str:
    return (
        f'<tr><th scope="row">{written(one.question)}</th>'
        f"<td><small>Base</small> {written(one.before)} {mark(one.was_right)}</td>"
        f"<td><small>Adapter</small> {written(one.after)}</td><td>{mark(one.is_right)}</td></tr>"
    )


# ---- of a run that kept the samples only


def _samples(run: Run) -> str:
    asked = by_question(run.samples())
    if not asked:
        return '<p class="quiet">No answers to held-out questions were kept.</p>'
    why = "The held-out questions are scored when the training ends; so far these were asked."
    if run.proof() is not None:
        why = "This run is of an earlier version, which kept the answers to its sample questions alone."
    rows = "".join(_sample_row(question, answers) for question, answers in asked.items())
    return (
        f'<p class="quiet">{why}</p>'
        '<div class="scrolls" tabindex="0" role="region" aria-label="Held-out questions">'
        f'<table class="tested">{HEADS}<tbody>{rows}</tbody></table></div>'
    )


def _sample_row(question: str, answers: list[SampleRow]) -> str:
    base = next((str(row.get("answer") or "") for row in answers if not row.get("step")), None)
    after = [row for row in answers if row.get("step")]
    adapter = str(after[-1].get("answer") or "") if after else None
    expected = str(answers[-1].get("expected") or "")
    cells = _cells(*(NO_FIGURE if text is None else written(text) for text in (base, adapter, expected)))
    mark = right_mark(adapter, expected) if adapter is not None else ""
    return f'<tr><th scope="row">{written(question)}</th>{cells}<td>{mark}</td></tr>'
