"""Of a run that was merged: of what, and how far it answers as each of them does."""

from html import escape

from ...errors import sentence_of
from ...runs import Run
from ...runs.merges import Merge, Parent
from ..translate import translate
from .export_part import SIGNS, differing_rows


def merged_part(made: Merge, there: set[str]) -> str:
    """there: the ids of its parents that can still be opened."""
    parents = "".join(_parent(one, one.run in there) for one in made.parents)
    notes = "".join(f'<p class="note">{escape(translate(sentence_of(note)))}</p>' for note in made.notes)
    return f'<h3>Merged of</h3><p class="note" translate="no">{escape(made.sum)}</p>{notes}{parents}'


def parents_there(run: Run, made: Merge) -> set[str]:
    """Those that were not deleted."""
    return {one.run for one in made.parents if (run.folder.parent / one.run).is_dir()}


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
