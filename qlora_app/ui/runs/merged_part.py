"""Of a run that was merged: of what, and how far it answers as each of them does."""

from collections.abc import Callable
from html import escape

from ...errors import sentence_of
from ...runs import Run
from ...runs.merges import Merge, Parent
from ..translate import translate
from .export_part import SIGNS, differing_rows


def merged_part(made: Merge, is_owners: bool, find: Callable[[str], Run | None]) -> str:
    """find: a run that whoever looks at it sees. Of others a visitor is told no name and no question."""
    seen = [find(one.run) is not None for one in made.parents]
    parents = "".join(
        _parent(one, is_there) if is_there or is_owners else _unseen(one, number)
        for number, (one, is_there) in enumerate(zip(made.parents, seen, strict=True), start=1)
    )
    if not is_owners and not all(seen):
        return f"<h3>Merged of</h3>{parents}"
    notes = "".join(f'<p class="note">{escape(translate(sentence_of(note)))}</p>' for note in made.notes)
    return f'<h3>Merged of</h3><p class="note" translate="no">{escape(made.sum)}</p>{notes}{parents}'


def _unseen(one: Parent, number: int) -> str:
    words = escape(one.words_of(f"adapter {number}"))
    return f'<div class="verdict {SIGNS[one.level]}"><p class="said">{words}</p></div>'


def _parent(one: Parent, is_there: bool) -> str:
    name = escape(one.title)
    title = f'<b translate="no">{name}</b>'
    if is_there:
        title = f'<a class="link" href="?tab=runs&amp;run={escape(one.run)}" translate="no">{name}</a>'
    chances = f'<p class="note">{one.fidelity.chances}</p>' if one.fidelity.chances else ""
    share = f'<span class="quiet">Weight {one.weight:g}, rank {one.rank}</span>'
    return (
        f'<div class="verdict {SIGNS[one.level]}"><p>{title} {share}</p>'
        f'<p class="said">{escape(one.words)}</p>{chances}{differing_rows(one.fidelity, "Parent", "Merged")}</div>'
    )
