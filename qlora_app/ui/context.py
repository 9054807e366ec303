"""What every tab works on: the settings, the runs, who starts them and who answers."""

from dataclasses import dataclass
from typing import Any

from ..errors import Problem, UserError
from ..jobs import Job, JobStore
from ..presets import Presets
from ..runs import AllJobs, Run, RunStore
from ..settings import Settings
from ..training_data import DatasetChoice

PRIVATE = Problem("page.private_rows", "The rows of uploaded data are not shown to visitors.")


@dataclass(frozen=True)
class AppContext:
    """One per app, shared by all visitors; nothing in it belongs to a single one of them."""

    settings: Settings
    store: RunStore
    supervisor: Any  # launch.queue.Supervisor
    sessions: Any  # chat.ChatSessions

    @property
    def may_change(self) -> bool:
        """False in a public demonstration."""
        return not self.settings.is_demonstration

    def may_show(self, data: DatasetChoice | None) -> bool:
        """Rows of somebody's data, and what was made of them, are for those who may also upload; the starter's are for
        everybody.
        """
        return self.may_change or (data is not None and data.source == "starter")

    @property
    def presets(self) -> Presets:
        return Presets(self.settings.presets)

    def find(self, id: str | None) -> Run | None:
        try:
            return self.store.get(id or "")
        except UserError:
            return None

    def shown_run(self) -> Run | None:
        """The run a fresh page shows: one that is being trained, else the newest."""
        runs = self.store.list()
        return next((run for run in runs if run.is_alive()), runs[0] if runs else None)

    @property
    def jobs(self) -> AllJobs:
        """The runs, what was made of them, and the jobs of no run."""
        return AllJobs(self.store, JobStore(self.settings.jobs))

    def start(self, job: Job) -> None:
        """Have it started as soon as its turn comes."""
        # A second click, or a second page: a wish left now would do it once more at its end.
        if job.status().is_active:
            return
        job.request("start")
        self.supervisor.wake()
