"""Work on a cluster of Ray, asked through the HTTP API of its jobs; no package of Ray's is needed here.

The nodes see the home and this installation under the same paths, or the folder travels by QLORA_APP_SYNC and the
nodes have this program installed. A worker whose node was lost may go on writing: its attempt number keeps it out.
"""

import os
import shlex
import sys
from dataclasses import replace
from typing import Any

from ..errors import UserError
from ..jobs import Job
from ..place import NO_CLUSTER
from ..settings import Settings
from ..storage.process import Engine
from .away import UNKNOWN, TravellingLauncher, place_of, sending
from .local import PACKAGE_PARENT

ANSWERS_WITHIN = 20.0  # seconds
STATES = {"PENDING": "queued", "RUNNING": "alive", "STOPPED": "ended", "SUCCEEDED": "ended", "FAILED": "ended"}
LAST_WORDS = 4000  # characters of its log that are kept where the worker never began
# Of the environment a job is told only this: whoever looks at the cluster's page sees it.
HANDED_ON = ("QLORA_APP_HOME", "QLORA_APP_DATA_FOLDER", "HF_HOME", "HF_ENDPOINT", "HF_HUB_OFFLINE", "PYTHONPATH")


class RayLauncher(TravellingLauncher):
    """Workers that Ray starts, each as a job of its own."""

    name = "ray"

    def start(self, job: Job, cold: bool = False, device: str = "") -> None:
        settings, place = Settings.from_environment(), job.place()
        cluster = _Cluster(settings)
        with sending(job, self.name, settings.sync or "") as engine:
            id = f"{job.id}-{engine.attempt}"
            job.launch_file.write_engine(replace(engine, id=id))  # also where its answer is lost
            cluster.submit(
                {
                    "submission_id": id,
                    "entrypoint": entrypoint_of(job, engine, settings),
                    "entrypoint_num_gpus": place.gpus,
                    "entrypoint_num_cpus": place.processes,
                    "runtime_env": {"env_vars": told(engine)},
                    "metadata": {"job": job.id},
                }
            )

    def end(self, job: Job) -> None:
        """At once; what was saved is kept."""
        engine = job.launch_file.engine()
        if engine is not None and engine.id:
            self.asked().cancel(engine.id)

    def asked(self) -> "_Cluster":
        return _Cluster(Settings.from_environment())

    def may_be_taken_back(self, seen: Engine) -> bool:
        return seen.state == "queued"


def entrypoint_of(job: Job, engine: Engine, settings: Settings) -> str:
    """The command of the job: its words, and nothing that a secret is part of."""
    if engine.store:
        words = ["python3", "-m", "qlora_app.away", engine.store, place_of(job, settings), str(engine.attempt)]
        return f"QLORA_APP_HOME=${{QLORA_APP_HOME:-$(mktemp -d)}} exec {shlex.join(words)}"
    words = [sys.executable, "-m", "qlora_app.worker", str(job.folder), str(engine.attempt)]
    return f"exec {shlex.join(words)} >>{shlex.quote(str(job.log))} 2>&1"


def told(engine: Engine) -> dict[str, str]:
    """What of the environment the worker is given: on nodes with another disk none of its paths mean anything."""
    if engine.store:
        return {"PYTHONUNBUFFERED": "1"}
    given = {name: value for name in HANDED_ON if (value := os.environ.get(name))}
    paths = [PACKAGE_PARENT, *filter(None, [given.get("PYTHONPATH")])]
    home = {"QLORA_APP_HOME": str(Settings.from_environment().home)}
    return {**home, **given, "PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}


class _Cluster:
    """The HTTP API of a cluster's jobs."""

    def __init__(self, settings: Settings) -> None:
        """Raises UserError where none is named."""
        if not settings.ray:
            raise UserError.of(NO_CLUSTER)
        self._address = settings.ray.rstrip("/")
        key = settings.ray_token.get_secret_value() if settings.ray_token else ""
        self._headers = {"Authorization": f"Bearer {key}"} if key else {}

    def submit(self, asked: dict[str, Any]) -> None:
        """One that has come already, though its answer was lost, is not submitted twice."""
        try:
            status, answer = self._ask("POST", "", asked)
        except UserError:
            if self.state(asked["submission_id"])[0] == "unknown":
                raise
            return
        if status != 200 and self._find(asked["submission_id"]) is None:
            raise UserError("ray.refused", "Ray refuses it: {reason}", reason=str(answer)[-500:])

    def cancel(self, id: str) -> None:
        status, answer = self._ask("POST", f"{id}/stop", {})
        if status not in (200, 404):
            raise UserError("ray.refused", "Ray refuses it: {reason}", reason=str(answer)[-500:])

    def look(self, engine: Engine) -> Engine:
        return engine.as_seen(*self.state(engine.id))

    def state(self, id: str) -> tuple[str, str]:
        """(queued, alive, ended or unknown, Ray's own words)"""
        found = self._find(id)
        if found is None:
            return "ended", UNKNOWN
        status = str(found.get("status"))
        words = " ".join(str(found.get("message") or "").split())[:300]
        return STATES.get(status, "unknown"), f"{status}: {words}" if words else status

    def log(self, id: str) -> str:
        """The last of what it printed."""
        status, answer = self._ask("GET", f"{id}/logs")
        return str(answer.get("logs", ""))[-LAST_WORDS:] if status == 200 and isinstance(answer, dict) else ""

    def _find(self, id: str) -> dict[str, Any] | None:
        status, answer = self._ask("GET", id)
        if status == 404:
            return None
        if status != 200 or not isinstance(answer, dict):
            raise self._silent(f"{status}: {str(answer)[:200]}")
        return answer

    def _ask(self, method: str, path: str, content: Any = None) -> tuple[int, Any]:
        import httpx

        try:
            found = httpx.request(
                method,
                f"{self._address}/api/jobs/{path}",
                json=content,
                headers=self._headers,
                timeout=ANSWERS_WITHIN,
                trust_env=True,
            )
        except (httpx.HTTPError, OSError) as error:
            raise self._silent(f"{type(error).__name__}: {error}") from error
        if found.status_code in (401, 403):
            raise UserError(
                "ray.denied", "Ray at {url} wants another token: set QLORA_APP_RAY_TOKEN to it.", url=self._address
            )
        try:
            return found.status_code, found.json()
        except ValueError:
            return found.status_code, found.text

    def _silent(self, reason: str) -> UserError:
        return UserError(
            "ray.no_answer", "Ray at {url} does not answer ({reason}).", url=self._address, reason=reason[:300]
        )
