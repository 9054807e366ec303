"""The training doctor: what is wrong with a training, from what it logged, answered and measured.

Each finding is a sentence, its likely cause, and what to change in the recipe. A rule speaks only where the figures
leave no other reading: healthy trainings of every method are recorded in the tests, and none of them may be called ill.

What is looked at is a curve of bounded size, so that a long run costs no more than a short one.
"""

from collections.abc import Callable

from ...recipe import Recipe
from ..proof import Proof
from ..rows import SampleRow
from ..run import Run, RunStatus
from .of_answers import mask_suspected, never_ends, repeats
from .of_course import overfits, slowed_down, still_warming_up
from .of_loss import exploded, gradients_grow, no_gradient, noisy, not_a_number, nothing_to_learn, plateau
from .seen import Finding, Seen

__all__ = ["RULES", "SEVERE", "Finding", "Seen", "changed_recipe", "diagnose", "findings", "severe"]

SEVERE: tuple[Callable[[Seen], Finding | None], ...] = (nothing_to_learn, no_gradient, exploded)
RULES: tuple[Callable[[Seen], Finding | None], ...] = (
    not_a_number,
    *SEVERE,
    gradients_grow,
    plateau,
    overfits,
    mask_suspected,
    never_ends,
    repeats,
    noisy,
    still_warming_up,
    slowed_down,
)


def diagnose(run: Run, status: RunStatus | None = None) -> list[Finding]:
    """All that is found of a run as it is now; nothing of one that is as it should be. `status`: its own,
    where it was read already.
    """
    status, proof = status or run.status(), run.proof()
    seen = Seen(
        curve=run.curve(with_figures=True),
        recipe=run.read_recipe().recipe,
        total=status.total,
        has_ended=status.has_ended,
        failure=getattr(status.sentence, "code", "") if status.state == "failed" else "",
        samples=tuple(_read(row) for row in run.samples() if isinstance(row.get("step"), int)),
        proof=Proof.from_json(proof) if proof else None,
    )
    return findings(seen)


def findings(seen: Seen) -> list[Finding]:
    """What every rule says; where going on is of no use only that, for the rest follows from it."""
    found = [one for rule in RULES if (one := rule(seen)) is not None]
    return [one for one in found if one.is_severe] or found


def severe(seen: Seen) -> Finding | None:
    """The first finding that says that going on is of no use; asked while it trains."""
    return next((one for rule in SEVERE if (one := rule(seen)) is not None), None)


def changed_recipe(recipe: Recipe, finding: Finding) -> Recipe:
    """The recipe with what a finding would change. Raises UserError where that is none."""
    values = recipe.model_dump()
    for name, value in finding.change.items():
        group, _, setting = name.partition(".")
        values[group][setting] = value
    return Recipe.from_dict(values)


def _read(row: SampleRow) -> SampleRow:
    """A sample of which each part is what it should be: somebody may have written anything into the file."""
    return SampleRow(
        step=row.get("step", 0),
        question=str(row.get("question", "")),
        answer=str(row.get("answer", "")),
        is_cut=bool(row.get("is_cut")),
        expected=str(row.get("expected", "")),
    )
