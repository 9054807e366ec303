"""What every tab works on: the settings, the runs, who starts them and who answers."""

import functools
import logging
import tempfile
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from ..accounts import Role
from ..errors import Problem, UserError
from ..jobs import Job
from ..launch.prices import check_price
from ..launch.queue import OwnQueue
from ..launch.turns import Turns
from ..presets import Presets
from ..recipe import Recipe
from ..reporting import Reporting
from ..runs import AllJobs, Run, RunStore, address_of
from ..runs.recipes import recipe_of
from ..runs.shared import SHARED, SeenRuns
from ..runs.summaries import Summaries
from ..runs.summary import RunSummary
from ..settings import Endpoint, Settings
from ..training_data import DatasetChoice
from .audit import Audit
from .door.visitors import Visitors
from .quota import Quota, Tokens

log = logging.getLogger(__name__)
PRIVATE = Problem("page.private_rows", "The rows of uploaded data are not shown to visitors.")
PRIVATE_FILES = Problem(
    "page.private_files", "The files of a run on uploaded data are not given to visitors. They can talk to it."
)


def cannot_be_shown(run: Run, error: Exception) -> RunSummary:
    """The row of a run that cannot be shown; why, says its page, and the terminal."""
    log.error("A run cannot be shown", exc_info=error)
    return RunSummary(id=run.id, name=run.id, state="failed", made=run.created_at())


def for_visitors(recipe: Recipe) -> Recipe:
    """Without its owner's note and where it reports, and where a folder of this machine was the base model, or the
    adapter it began with, without the way there.
    """
    model = recipe.base_model
    shown = model.model_copy(update={"id": Path(model.id).name}) if model.source == "folder" else model
    training = recipe.training.model_copy(update={"start_from": Path(recipe.training.start_from).name})
    hidden: dict[str, Any] = {"note": "", "reporting": Reporting()}
    return recipe.model_copy(update=hidden | {"base_model": shown, "training": training})


@dataclass(frozen=True)
class AppContext:
    """One per page: the owners', the visitors', each member's. Whoever sees that page shares it."""

    settings: Settings
    store: RunStore
    supervisor: Any  # launch.queue.Supervisor
    sessions: Any  # inference.pool.ModelPool
    visitors: Visitors = field(default_factory=Visitors)
    audit: Audit = field(default_factory=lambda: Audit(None))
    role: Role | None = None  # of those it is for; None as the settings have it
    name: str = ""  # of the member whose page it is
    has_login: bool = False
    empty_home: Any = None  # keeps the folder of `as_seen`

    @property
    def may_change(self) -> bool:
        """False for visitors. Owners and members may: each in what this holds, a member in their own home."""
        if self.role is not None:
            return self.role != "visitor"
        return not self.settings.is_demonstration

    @property
    def is_owners(self) -> bool:
        """May they also do what concerns the whole machine?"""
        return self.may_change and self.role != "member"

    @property
    def own(self) -> list[Path] | None:
        """The folders in which lies whatever these may open by its path; None for owners, who open anything."""
        if self.is_owners:
            return None
        return [self.settings.home] if self.may_change else []

    @property
    def endpoints(self) -> tuple[Endpoint, ...]:
        """Those elsewhere that may be asked: what they answer is paid for by the owner."""
        return (self.settings.endpoints or ()) if self.may_change else ()

    def may_show(self, data: DatasetChoice | None) -> bool:
        """Rows of somebody's data, and what was made of them, are for those who may also upload; the starter's are for
        everybody.
        """
        return self.may_change or self.settings.show_private or (data is not None and data.source == "starter")

    def may_open(self, run: Run) -> bool:
        """May this visitor see more of a run than its name and figures: its examples, answers, recipe and files?"""
        recipe = recipe_of(run)
        return self.may_change or (recipe is not None and self.may_show(recipe.dataset))

    def as_seen(self) -> "AppContext":
        """The same for those it is for: visitors of a demonstration stand before an empty home, so that nothing which
        reads a name that they sent can find data, presets, models or jobs of its owner. The runs are shown.
        """
        if self.may_change:
            return self
        empty = tempfile.TemporaryDirectory(prefix="guanaco-visitors-")
        settings = self.settings.model_copy(update={"home": Path(empty.name), "data_folder": None, "hub_token": None})
        return replace(self, settings=settings, empty_home=(self.empty_home, empty))

    def made_here(self, run: Run) -> bool:
        """Is it of this home, and not only shared with it?"""
        return run.folder.is_relative_to(self.settings.home)

    @property
    def presets(self) -> Presets:
        return Presets(self.settings.presets)

    def find(self, id: str | None) -> Run | None:
        try:
            return self.store.get(id or "")
        except UserError:
            return None

    def shown_run(self) -> Run | None:
        """The run a page shows: one that is being trained, else the first that waits, else the newest."""
        moving = [job for job in self.supervisor.moving() if isinstance(job, Run)]
        if moving:
            return next((run for run in moving if run.is_alive()), moving[-1])
        return next((self.store.at(id) for id in self.store.ids()[:1]), None)

    def of_member(self, name: str) -> "AppContext":
        """The same for a member: what they made lies in a home of their own; of the owner's runs the shared ones are
        read.
        """
        settings = self.settings.of_member(name)
        settings.make_home()
        store = SeenRuns(settings.runs, self.store, self.shared)
        queue = OwnQueue(self.supervisor, settings.home)
        return replace(self, settings=settings, store=store, supervisor=queue, role="member", name=name)

    def of_visitors(self) -> "AppContext":
        """The same for those who look at what is shared, beside owners and members."""
        nothing = tempfile.TemporaryDirectory(prefix="guanaco-visitors-")
        store = SeenRuns(Path(nothing.name), self.store, self.shared)
        return replace(self, store=store, role="visitor", empty_home=nothing)

    def shared(self) -> list[str]:
        """Ids of the runs that are shown to others, newest first."""
        return [row.id for row in self.summaries.rows() if SHARED in row.tags]

    @functools.cached_property
    def summaries(self) -> Summaries:
        """The rows of all runs, shared by all who look."""
        return Summaries(self.store, cannot_be_shown)

    @functools.cached_property
    def turns(self) -> Turns:
        """Who waits and when they begin, shared by all who look."""
        queue = self.supervisor
        if isinstance(queue, OwnQueue):
            return Turns(queue.every, self.store, self.settings.data, queue.at_once, queue.is_own)
        return Turns(queue.moving, self.store, self.settings.data, queue.at_once)

    @property
    def jobs(self) -> AllJobs:
        """The runs, what was made of them, and the jobs of no run."""
        return AllJobs.of(self.settings, self.store)

    @functools.cached_property
    def quota(self) -> Quota | None:
        """None where there is none."""
        return Quota(self.settings, self.supervisor.moving) if self.role == "member" else None

    @functools.cached_property
    def tokens(self) -> Tokens:
        """What was written on this page by models."""
        if self.role == "member":
            return Tokens(self.settings.member_tokens)
        return Tokens(0 if self.may_change else self.settings.visitor_tokens)

    def make_room(self, more: int = 1) -> None:
        """Before so many jobs are made. Raises UserError where a member has too many, or too much."""
        if self.quota:
            self.quota.check(more)

    def start(self, job: Job) -> None:
        """Have it started as soon as its turn comes; also by a second click, or on a second page.

        Raises UserError where a member may have no more, or what it costs is not known. Whoever makes a job asks
        `make_room` before, so that none is left that was refused.
        """
        check_price(job.place(), self.settings)
        if not job.is_asked("start"):
            self.make_room()
        self.audit.note("started", address_of(job))
        job.ask_to_start()
        self.supervisor.wake()
