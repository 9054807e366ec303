"""Memory that is not enough: the same step in smaller parts, then other means, one after the other. What was done is
kept in relief.json of the run, so that it goes on so when it is resumed.
"""

from dataclasses import asdict, dataclass, replace
from typing import Any

from ..base_models import cards_here
from ..errors import Problem
from ..recipe import Recipe
from ..runs import Run
from ..storage.reading import read_json
from .setup import TrainingSetup

FILE = "relief"
PAGED = "paged_adamw_32bit"  # the same AdamW, whose state the driver moves out of a GPU that is full


@dataclass(frozen=True)
class Relief:
    """What a run does with less memory than was thought to be enough; as it begins, nothing."""

    micro_batch: int = 0  # the most examples worked off at once; 0 leaves it to what fits
    checkpointing: bool = False
    paged: bool = False

    @classmethod
    def of(cls, run: Run) -> "Relief":
        """What is kept of a run; nothing where that is damaged."""
        kept = read_json(run.folder / f"{FILE}.json") or {}
        at_once = kept.get("micro_batch")
        return cls(
            at_once if isinstance(at_once, int) and at_once > 0 else 0,
            kept.get("checkpointing") is True,
            kept.get("paged") is True,
        )

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    def applied(self, recipe: Recipe) -> Recipe:
        """The recipe as it is trained with this."""
        changes: dict[str, Any] = {"gradient_checkpointing": "on"} if self.checkpointing else {}
        if self.paged:
            changes["optimizer"] = PAGED
        return recipe.model_copy(update={"training": recipe.training.model_copy(update=changes)})

    def more(self, job: TrainingSetup) -> "tuple[Relief, Problem] | None":
        """(the next means for a run that had too little memory, what it is); None where there is none left."""
        smaller = _half(job.micro_batch, job.recipe.training.batch_size)
        if smaller:
            return replace(self, micro_batch=smaller), Problem(
                "relief.smaller",
                "with {now:,} examples at once instead of {before:,}; a step is the same",
                now=smaller,
                before=job.micro_batch,
            )
        if not self.checkpointing and job.recipe.method.supports_checkpointing and not job.is_checkpointed:
            return replace(self, checkpointing=True), Problem(
                "relief.checkpointing", "with gradient checkpointing, which takes longer; a step is the same"
            )
        is_whole = job.recipe.training.optimizer == "adamw_torch"
        if not self.paged and is_whole and cards_here()[0].is_gpu:
            return replace(self, paged=True), Problem(
                "relief.paged", "with the optimizer's memory in pages, which may leave the GPU; a step is the same"
            )
        return None


def relief_words(step: int, resumed_at: int, what: Problem) -> Problem:
    """What is kept as an event of the run."""
    if not resumed_at:
        return Problem(
            "event.out_of_memory_at_first",
            "The memory was not enough at step {step:,}. It began again {what}.",
            step=step,
            what=what,
        )
    return Problem(
        "event.out_of_memory",
        "The memory was not enough at step {step:,}. It went on from step {resumed:,} {what}.",
        step=step,
        resumed=resumed_at,
        what=what,
    )


def _half(micro_batch: int, batch: int) -> int:
    """The largest divisor of a batch that is at most half of its micro-batch; 0 where that is one example already."""
    return max((n for n in range(1, micro_batch // 2 + 1) if batch % n == 0), default=0)
