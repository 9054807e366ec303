"""What those ask who look after a server: does it live, may people be sent to it, and figures of it for Prometheus."""

import shutil
from collections.abc import Callable, Iterable
from typing import Any

import anyio
from prometheus_client import CollectorRegistry, PlatformCollector, ProcessCollector, generate_latest
from prometheus_client.core import GaugeMetricFamily, Metric
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from ..runs import Run
from ..serving import Endpoint
from ..space import keeps_runs
from .context import AppContext

ROOM = 200_000_000  # bytes of disk without which nothing can be begun


class Health:
    """Answers without a word of what is worked on: whoever asks may be a stranger."""

    def __init__(self, page: AppContext) -> None:
        self.page = page

    def routes(self) -> list[Route]:
        return [Route("/healthz", self.lives), Route("/readyz", self.may_be_asked)]

    def lives(self, request: Request) -> Response:
        """Whatever answers lives: it is only to be started anew where nothing does."""
        return JSONResponse({"status": "ok"})

    def may_be_asked(self, request: Request) -> Response:
        """503 where it is of no use to send people here now, with what is missing."""
        missing = self.missing()
        status = "not ready" if missing else "ready"
        return JSONResponse({"status": status, "missing": missing}, status_code=503 if missing else 200)

    def missing(self) -> list[str]:
        """What speaks against sending people here: of storage, disk space, queue and time; empty where nothing does."""
        home = self.page.settings.home
        if not keeps_runs(home):
            return ["storage"]
        checks = {
            "disk space": shutil.disk_usage(home).free > ROOM,
            "queue": self.page.supervisor.is_looking(),
            "time": not self.page.visitors.is_closing,  # it is about to end
        }
        return [name for name, is_there in checks.items() if not is_there]


class Figures:
    """Figures of a server as Prometheus reads them."""

    def __init__(self, page: AppContext, health: Health, answers: Callable[[], int]) -> None:
        """answers: how many questions of the page wait or are answered."""
        self.page, self.health, self.answers = page, health, answers
        self.registry = CollectorRegistry()
        self.registry.register(self)
        PlatformCollector(registry=self.registry)
        ProcessCollector(registry=self.registry)

    def text(self) -> Response:
        """In Prometheus' text format."""
        return Response(generate_latest(self.registry), media_type=CONTENT_TYPE_PLAIN_0_0_4)

    def describe(self) -> list[Metric]:
        """Nothing is read before somebody asks."""
        return []

    def collect(self) -> Iterable[Metric]:
        """As it is now."""
        yield self._one("ready", "May people be sent here?", float(not self.health.missing()))
        yield self._one("pages", "Pages that somebody has open", self.page.visitors.pages())
        yield self._one("questions", "Questions of the page that wait or are answered", self.answers())
        yield self._one("models", "Base models that are loaded to answer", self.page.sessions.loaded())
        yield self._one("runs", "Runs, whatever became of them", len(self.page.store.ids()))
        free = shutil.disk_usage(self.page.settings.home).free
        yield self._one("disk_free_bytes", "Room on the disk of the runs", free)
        yield from self._jobs()

    def _one(self, name: str, about: str, value: float) -> Metric:
        return GaugeMetricFamily(f"guanaco_{name}", about, value=value)

    def _jobs(self) -> Iterable[Metric]:
        """Of what waits or is worked on; of a training how far it is."""
        counted = GaugeMetricFamily("guanaco_jobs", "Jobs that wait or are worked on", labels=["kind", "state"])
        named = {
            "step": "Steps that a training has done",
            "total": "Steps that it will have done at its end",
            "loss": "Loss of its last step",
            "tokens_per_second": "Tokens it learns in a second",
        }
        figures = {
            name: GaugeMetricFamily(f"guanaco_training_{name}", about, labels=["run"]) for name, about in named.items()
        }
        found: dict[tuple[str, str], int] = {}
        for job in self.page.supervisor.moving():
            status: Any = job.status()
            place = (job.kind, status.state)
            found[place] = found.get(place, 0) + 1
            for name, figure in figures.items():
                value = getattr(status, name, None)
                if isinstance(job, Run) and isinstance(value, (int, float)):
                    figure.add_metric([job.id], value)
        for labels, count in found.items():
            counted.add_metric(list(labels), count)
        yield counted
        yield from figures.values()


def figures_of(health: Health, answers: Callable[[], int], programs: Endpoint) -> list[Route]:
    """The route that Prometheus asks, with a key as every program; none where the settings say nothing of it."""
    if not health.page.settings.metrics:
        return []
    figures = Figures(health.page, health, answers)

    async def told(_: Request) -> Response:
        return await anyio.to_thread.run_sync(figures.text)

    return [Route("/metrics", programs.careful(told, is_owners=True))]
