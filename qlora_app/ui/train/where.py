"""Where to train, on the form: the places that this installation reaches, what it lacks for the others, and what a run
costs at one that has prices.
"""

from html import escape
from typing import Any

from ...effort import expected_seconds
from ...errors import UserError
from ...jobs import RESUMABLE, Job, Status
from ...launch.hf_jobs import BUCKET
from ...launch.prices import price_now
from ...place import TITLES, lacking, reachable
from ...recipe import Recipe
from ...settings import MemberSettings, Settings
from ..context import AppContext
from ..translate import translate

NEEDS = {
    "slurm": "Slurm needs its command sbatch on this machine.",
    "ray": "Ray needs QLORA_APP_RAY.",
    "hf_jobs": "Hugging Face Jobs need QLORA_APP_HUB_TOKEN.",
}
AWAITED = "What it costs is being asked for…"


def choices(settings: Settings, chosen: Any = "here") -> list[tuple[str, str]]:
    """[(words, place)] that can be reached; `chosen` too, which a recipe from elsewhere may name."""
    there = reachable(settings)
    return [(title, where) for where, title in TITLES.items() if where in (*there, chosen)]


def needs_words(settings: Settings) -> str:
    """What is missing for the places that cannot be chosen; a member cannot mend it."""
    if isinstance(settings, MemberSettings):
        return ""
    return " ".join(words for where, words in NEEDS.items() if lacking(where, settings))


def price_line(page: AppContext, recipe: Recipe | None) -> str:
    """What a start would cost; empty where a place has no prices. Marked as long as they are asked for."""
    if recipe is None or recipe.launch.where != "hf_jobs" or not page.may_change or lacking("hf_jobs", page.settings):
        return ""
    try:
        found = price_now(recipe.launch, page.settings, _seconds_here(page, recipe))
    except UserError as error:
        return f'<p class="amber" role="status" translate="no">{escape(translate(error.problem))}</p>'
    if found is None:
        return f'<p class="quiet" data-unmeasured>{AWAITED}</p>'
    bucket = f'<b translate="no">{BUCKET}</b>'
    return (
        f'<p class="quiet" role="status" translate="no">{escape(translate(found))}</p>'
        f'<p class="quiet"><span>Data and run go into a private bucket of yours:</span> {bucket}</p>'
    )


def resume_price(page: AppContext, job: Job, status: Status) -> str:
    """What it costs to go on at a place that has prices, beside the button; empty elsewhere."""
    if status.state not in RESUMABLE or job.place().where != "hf_jobs" or lacking("hf_jobs", page.settings):
        return ""
    try:
        found = price_now(job.place(), page.settings)
    except UserError as error:
        return f'<p class="amber" role="status" translate="no">{escape(translate(error.problem))}</p>'
    if found is None:
        return f'<p class="quiet">{AWAITED}</p>'
    return f'<p class="quiet"><span>To resume it:</span> <span translate="no">{escape(translate(found))}</span></p>'


def _seconds_here(page: AppContext, recipe: Recipe) -> float | None:
    """How long it would take on this machine, as far as that is known."""
    try:
        return expected_seconds(recipe, page.store, page.settings.data)
    except UserError:  # the data cannot be read: the line under it says so
        return None
