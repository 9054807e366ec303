"""`python -m qlora_app.away URL PLACE ATTEMPT [UNTIL]` works on a job whose folder is at a url: fetches it, has a
worker do it here, and sends what that writes every few seconds, for as long as no later attempt was sent. UNTIL:
seconds since the epoch, when it is to be saved and stopped.
"""

import contextlib
import os
import signal
import subprocess
import sys
import time
from typing import Any

from .errors import UserError
from .jobs import ALREADY_RUNNING, Job
from .launch.away import ENDINGS, carried_of, wishes_at
from .launch.ending import end_process
from .runs import Run, job_at
from .settings import Settings
from .storage.files import open_for_writing
from .sync import Carried, fetched, sent
from .sync.both_ways import data_of
from .sync.carry import WORKER

EVERY = 2.0  # seconds between two looks
LAST_TRIES = 60  # at the end, where the url does not answer
WRONG_COMMAND = 2


def main(arguments: list[str]) -> int:
    """Returns the exit code of the worker; 73 where a later one was sent."""
    if len(arguments) not in (3, 4) or not arguments[2].isdecimal():
        print(__doc__, file=sys.stderr)
        return WRONG_COMMAND
    url, place, attempt, *until = arguments
    settings = Settings.from_environment()
    settings.make_home()
    try:
        return _work(settings, url, place, int(attempt), float(until[0]) if until else float("inf"))
    except UserError as error:
        print(error, file=sys.stderr)
        return ALREADY_RUNNING if error.code == "sync.superseded" else 1


def _work(settings: Settings, url: str, place: str, attempt: int, until: float) -> int:
    job = Job(settings.home / place)
    carried = carried_of(job, url, settings)
    there = carried.there()
    if there is None or there.attempt != attempt:
        print(f"A later worker was sent to {place}.", file=sys.stderr)
        return ALREADY_RUNNING
    fetched(carried, there)
    job = job_at(job.folder)
    if isinstance(job, Run) and (data := data_of(job, carried.target, settings)) and (known := data.there()):
        fetched(data, known)
    job.launch_file.write_attempt(attempt)
    sent(carried, attempt, WORKER)
    with os.fdopen(open_for_writing(job.log), "ab") as log:
        worker = subprocess.Popen(
            [sys.executable, "-m", "qlora_app.worker", str(job.folder), str(attempt)],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    signal.signal(signal.SIGTERM, lambda *_: worker.terminate())
    try:
        while worker.poll() is None:
            with contextlib.suppress(subprocess.TimeoutExpired):
                worker.wait(EVERY)
            _carry(job, carried, attempt, until, worker)
    except UserError:  # a later one was sent
        end_process(worker.pid)
        raise
    return _send_last(carried, attempt, worker.returncode)


def _carry(job: Job, carried: Carried, attempt: int, until: float, worker: "subprocess.Popen[bytes]") -> None:
    """Raises UserError where a later attempt was sent. Else the work goes on, whatever the url does."""
    try:
        _take_wishes(job, carried, attempt, time.time() > until, worker)
        sent(carried, attempt, WORKER)
    except UserError as error:
        if error.code == "sync.superseded":
            raise
        print(error, file=sys.stderr, flush=True)


def _take_wishes(job: Job, carried: Carried, attempt: int, is_late: bool, worker: Any) -> None:
    asked = carried.target.names(wishes_at(carried.place, attempt))
    for wish in ENDINGS:
        if (wish in asked or (is_late and wish == "stop")) and not job.last_word().has_ended:
            job.wishes.put(wish)  # type: ignore[arg-type]
    if "stop-now" in asked and worker.poll() is None:
        end_process(worker.pid)


def _send_last(carried: Carried, attempt: int, code: int) -> int:
    for _ in range(LAST_TRIES):
        try:
            sent(carried, attempt, "done")
            return code
        except UserError as error:
            print(error, file=sys.stderr, flush=True)
            if error.code == "sync.superseded":
                return ALREADY_RUNNING
            time.sleep(EVERY)
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
