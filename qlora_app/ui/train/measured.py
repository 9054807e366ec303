"""What was measured of the recipe on the form: the job while it measures, then its verdict beside Start, marked where
the recipe is another one by now.
"""

from html import escape
from pathlib import Path

from ...effort import counted
from ...errors import UserError
from ...formatting import duration, size, step_time
from ...jobs import Job, JobStore
from ...measurement import Measurement, asked_by, measurement_of, newest_measurement
from ...recipe import Recipe
from ..context import AppContext
from ..job_card import JobCard
from ..theme import plain
from ..translate import translate

SCRIPT = (Path(__file__).parent / "measured.js").read_text(encoding="utf-8")
MICRO_BATCH = "training.micro_batch"


class Measured:
    """Its two components, and the words on them."""

    def __init__(self, page: AppContext) -> None:
        self.page = page
        self.job = JobCard(page)

    def build(self) -> None:
        """Empty until something is measured."""
        self.card = self.job.build(elem_id="measure-card")
        self.verdict = plain(elem_id="measured", js_on_load=SCRIPT)

    def words(self, recipe: Recipe | None) -> str:
        """The newest verdict on recipes of this cost; else that on another one, marked so. Empty where there is none,
        or it is just being measured.
        """
        if not self.page.may_change or recipe is None:
            return ""
        jobs = JobStore(self.page.settings.jobs)
        fresh = newest_measurement(jobs, recipe)
        job = fresh or newest_measurement(jobs)
        found = measurement_of(job) if job else None
        if job is None or found is None:
            return ""
        if fresh is None:
            return verdict_words(found, is_fresh=False)
        return verdict_words(self._counted(found, job, recipe))

    def _counted(self, found: Measurement, job: Job, recipe: Recipe) -> Measurement:
        """For the number of steps and of everything else that this recipe has."""
        asked = asked_by(job)
        try:
            return counted((asked, found), recipe, self.page.settings.data) if asked else found
        except UserError:  # the data cannot be read: its face says so
            return found.at(recipe.training.micro_batch)


def verdict_words(found: Measurement, is_fresh: bool = True) -> str:
    """A verdict with its figures and what is worth a change. `is_fresh`: was it the recipe on the form?"""
    sentence = f'<p class="says" translate="no">{escape(translate(found.verdict()))}</p>'
    if not is_fresh:
        return f'<div class="measured old"><p class="amber">Measured with other settings:</p>{sentence}</div>'
    level = "fits" if found.fits else "amber"
    return f'<div class="measured {level}" role="status">{sentence}{_figures(found)}{_better(found)}</div>'


def _figures(found: Measurement) -> str:
    if not found.fits:
        return ""
    costs = found.costs
    parts = [
        f'<span>Begun now it ends at</span> <b data-takes="{found.seconds:.0f}"></b>',
        f"<span>a measurement {duration(costs.evaluation)}</span>",
        f"<span>the proof {duration(costs.proof)}</span>",
        f"<span>a checkpoint {size(found.checkpoint_bytes)}</span>",
    ]
    return f'<p class="quiet">{" · ".join(parts)}</p>'


def _better(found: Measurement) -> str:
    """The size that is worth a change, with the button that takes it; else the largest that fits."""
    better, now = found.better, found.now
    if better is not None:
        seconds = ""
        if now is not None:
            seconds = f"<span>{step_time(better.seconds)} a step instead of {step_time(now.seconds)}.</span> "
        words = f"Use {better.micro_batch:,} at once"
        return f'<p class="quiet">{seconds}<button type="button" data-use="{better.micro_batch}">{words}</button></p>'
    if now is not None and found.largest > now.micro_batch:
        return f'<p class="quiet">{found.largest:,} examples at once fit too, and are not quicker.</p>'
    return ""
