"""Fakes of the APIs of Ray's jobs and of Hugging Face Jobs, which really run what they are told, on this machine.

What is theirs alone is not here: queues, other nodes, containers, prices that are charged. A container is a process
with an environment of its own, in whose command and environment the places of its volumes are folders of a bucket.
"""

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

ROOT = Path(__file__).parent.parent
STAYS = 3.0  # seconds that a stopped job of Ray's has to end


@dataclass
class Running:
    """A process that plays a job."""

    id: str
    asked: dict[str, Any]
    process: "subprocess.Popen[bytes]"
    log: Path
    began: float = field(default_factory=time.time)
    ended_by: str = ""

    def stage(self, running: str, done: str, failed: str) -> str:
        code = self.process.poll()
        if code is None:
            return running
        return self.ended_by or (failed if code else done)

    def end(self, word: str, at_once: bool = True) -> None:
        if self.process.poll() is None:
            self.ended_by = word
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, signal.SIGKILL if at_once else signal.SIGTERM)
            if not at_once:
                threading.Timer(STAYS, lambda: self.end(word)).start()


def began(id: str, asked: dict[str, Any], command: Any, environment: dict[str, str], folder: Path) -> Running:
    log = folder / f"{id}.log"
    with open(log, "wb") as into:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=into, stderr=into, env=environment, start_new_session=True
        )
    return Running(id, asked, process, log)


def tools(folder: Path) -> str:
    """A PATH on which python3 is this Python, and uv installs nothing: all is here."""
    folder.mkdir(exist_ok=True)
    for name, text in {"python3": f'exec {sys.executable} "$@"', "uv": f'echo "$@" >>{folder}/uv.asked'}.items():
        (folder / name).write_text(f"#!/bin/sh\n{text}\n")
        (folder / name).chmod(0o700)
    return f"{folder}{os.pathsep}{os.environ['PATH']}"


class FakeRay(ThreadingHTTPServer):
    """Serves on a free port of this machine until it is closed."""

    daemon_threads = True

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), _RayHandler)
        self.folder, self.token, self.is_down = folder, "", False
        self.jobs: dict[str, Running] = {}
        self.path = tools(folder / "tools")
        threading.Thread(target=self.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def close(self) -> None:
        self.shutdown()
        self.server_close()
        for job in self.jobs.values():
            job.end("STOPPED")
            job.process.wait()


class _RayHandler(BaseHTTPRequestHandler):
    server: FakeRay

    def do_GET(self) -> None:
        self._answer("")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode())

    def log_message(self, *_: Any) -> None:
        pass

    def _answer(self, body: str) -> None:
        id, _, what = self.path.removeprefix("/api/jobs/").partition("/")
        job = self.server.jobs.get(id)
        if self.server.is_down:
            self._say(503, "down")
        elif self.server.token and self.headers.get("Authorization") != f"Bearer {self.server.token}":
            self._say(401, "Unauthorized")
        elif self.command == "POST" and not id:
            self._submit(json.loads(body))
        elif job is None:
            self._say(404, f"Job {id} does not exist")
        elif what == "stop":
            job.end("STOPPED", at_once=False)
            self._say(200, {"stopped": True})
        elif what == "logs":
            self._say(200, {"logs": job.log.read_text()})
        else:
            self._say(200, {"status": job.stage("RUNNING", "SUCCEEDED", "FAILED"), "message": "as a fake says it"})

    def _submit(self, asked: dict[str, Any]) -> None:
        id = asked["submission_id"]
        if id in self.server.jobs:
            self._say(500, f"ValueError: Job with submission_id {id} already exists.")
            return
        paths = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
        given = {"PATH": self.server.path, "HOME": os.environ["HOME"], "PYTHONPATH": paths}
        environment = given | {name: os.environ[name] for name in ("FAKE_BUCKETS",) if name in os.environ}
        environment |= asked["runtime_env"]["env_vars"]
        command = ["sh", "-c", asked["entrypoint"]]
        self.server.jobs[id] = began(id, asked, command, environment, self.server.folder)
        self._say(200, {"job_id": id, "submission_id": id})

    def _say(self, status: int, value: Any) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class FakeJobs:
    """The part of a fake Hub that has jobs and buckets: `answer` says what a request of it is answered."""

    HARDWARE = [
        ("cpu-basic", "CPU Basic", 0.000167, None),
        ("a10g-small", "Nvidia A10G - small", 0.0167, ("A10G", "1", "24 GB")),
    ]

    def __init__(self, folder: Path) -> None:
        self.folder, self.buckets = folder, folder / "buckets"
        self.jobs: dict[str, Running] = {}
        self.is_private: dict[str, bool] = {}
        self.loses_answer = False  # of the next one that is begun
        self.before_prices: Callable[[], object] = lambda: None  # called before they are told
        self.path = tools(folder / "tools")

    def answer(self, method: str, path: str, body: bytes) -> tuple[int, Any] | None:
        """(status, what is said); None for what is no concern of its."""
        if path == "/api/jobs/hardware":
            self.before_prices()
            return 200, [self._machine(*one) for one in self.HARDWARE]
        steps = [unquote(step) for step in urlsplit(path).path.split("/")[2:]]
        if steps[0] == "buckets" and len(steps) == 3:
            return self._bucket(method, "/".join(steps[1:]), json.loads(body or b"{}"))
        if steps[0] != "jobs":
            return None
        if method == "POST" and len(steps) == 2:
            return self._begin(json.loads(body))
        if len(steps) == 2:
            wanted = [one.partition("=")[2] for one in parse_qs(urlsplit(path).query).get("label", [])]
            return 200, [
                self._info(job) for job in self.jobs.values() if set(wanted) <= set(job.asked["labels"].values())
            ]
        job = self.jobs.get(steps[2])
        if job is None:
            return 404, {"error": "no such job"}
        if steps[3:] == ["cancel"]:
            job.end("CANCELED")
        return 200, self._info(job)

    def log_of(self, path: str) -> str | None:
        """What the log of a job has, as events; None for another path."""
        steps = urlsplit(path).path.split("/")
        if len(steps) != 6 or steps[2] != "jobs" or steps[5] != "logs" or steps[4] not in self.jobs:
            return None
        lines = self.jobs[steps[4]].log.read_text().splitlines()
        stamp = "2026-11-30T00:00:00.000Z"
        return "".join(f"data: {json.dumps({'data': line, 'timestamp': stamp})}\n\n" for line in lines)

    @staticmethod
    def _machine(name: str, title: str, price: float, card: tuple[str, str, str] | None) -> dict[str, Any]:
        names = ("model", "quantity", "vram")
        accelerator = {"type": "gpu", "manufacturer": "Nvidia", **dict(zip(names, card, strict=True))} if card else None
        cost = {"unitCostMicroUSD": round(price * 1e6), "unitCostUSD": price, "unitLabel": "minute"}
        return {"name": name, "prettyName": title, "cpu": "4", "ram": "15 GB", "accelerator": accelerator, **cost}

    def _bucket(self, method: str, id: str, asked: dict[str, Any]) -> tuple[int, Any]:
        if method == "POST":
            is_new = id not in self.is_private
            self.is_private.setdefault(id, asked.get("visibility") == "private")
            url = f"https://huggingface.co/buckets/{id}"
            return (200 if is_new else 409), {"url": url, "id": id}
        stamp = "2026-11-30T00:00:00.000Z"
        return 200, {"id": id, "private": self.is_private[id], "createdAt": stamp, "size": 0, "totalFiles": 0}

    def _begin(self, asked: dict[str, Any]) -> tuple[int, Any]:
        id = f"{len(self.jobs) + 1:024d}"
        places = {"/tmp/workshop": str(self.folder / f"home-{id}"), "/models": str(self.folder / f"models-{id}")}
        for volume in asked["volumes"]:
            if volume["type"] == "bucket":
                places[volume["mountPath"]] = str(self.buckets / volume["source"] / volume.get("path", ""))

        def inside(text: str) -> str:
            for place, folder in places.items():
                text = text.replace(place, folder) if text.startswith(place) else text
            return text

        given = {"PATH": self.path, "HOME": str(self.folder), "FAKE_BUCKETS": str(self.folder)}
        given |= {name: os.environ[name] for name in ("PYTHONPATH", "HF_ENDPOINT") if name in os.environ}
        environment = {
            name: inside(value) for name, value in (given | asked["environment"] | asked.get("secrets", {})).items()
        }
        self.jobs[id] = began(id, asked, [inside(word) for word in asked["command"]], environment, self.folder)
        if self.loses_answer:
            self.loses_answer = False
            return 502, {"error": "the answer was lost"}
        return 200, self._info(self.jobs[id])

    def _info(self, job: Running) -> dict[str, Any]:
        """Secrets are not told."""
        stage = job.stage("RUNNING", "COMPLETED", "ERROR")
        told = {name: job.asked[name] for name in ("command", "environment", "flavor", "labels", "dockerImage")}
        durations = {"schedulingSecs": 0, "runningSecs": 60, "totalSecs": 60}
        return {
            "id": job.id,
            "owner": {"id": "1", "name": "me", "type": "user"},
            "status": {"stage": stage, "message": None},
            "durations": durations,
            **told,
        }

    def close(self) -> None:
        for job in self.jobs.values():
            job.end("CANCELED")
            job.process.wait()
