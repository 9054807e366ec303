"""`python -m qlora_app.worker JOB_DIR [ATTEMPT]` does the work of one job, unless a later attempt was sent; `--asked`
reads JOB_DIR from its standard input and does the work only if somebody still wants it; `--standby` imports everything
before that.

The standby exists because nine tenths of the way from Start to the first loss are imports (about 6 of 7 seconds).
"""

import contextlib
import gc
import importlib
import os
import select
import signal
import sys
import threading
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from .accounts import work_in_home_of
from .errors import Problem, Stopped, UserError
from .jobs import ALREADY_RUNNING, CALLED_BACK, Job, JobWriter
from .jobs import failures as any_failure
from .jobs.kind import Kind
from .jobs.pulse import Pulse
from .runs import job_at
from .settings import Settings
from .storage.disk import disk_trouble
from .storage.files import open_for_writing

IDLE = 2.0  # seconds in which nobody needs a waiting worker: then it measures the machine
DONE, FAILED, WRONG_COMMAND = 0, 1, 2
KINDS = {  # one line a kind: the module that does it, imported when there is such a job
    "train": "qlora_app.train.kind",
    "answer": "qlora_app.kinds.answer",
    "evaluate": "qlora_app.kinds.evaluate",
    "export": "qlora_app.kinds.export",
    "publish": "qlora_app.kinds.publish",
    "import": "qlora_app.kinds.data_import",
    "download": "qlora_app.kinds.download",
    "measure": "qlora_app.train.measure",
    "adapter": "qlora_app.kinds.adapter_import",
    "merge": "qlora_app.kinds.merge",
}


def command(arguments: list[str]) -> int:
    """Work as the command line says. Returns the exit code: that of `main`, or 2 for a command that makes no sense."""
    # The log of a job is read by people: no progress bars of other libraries.
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")  # on all cores; unsaid, a line in the log would complain
    os.environ.setdefault("HF_HUB_DISABLE_PROGRESS_BARS", "1")
    os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")
    if arguments == ["--standby"]:
        return _stand_by()
    if arguments == ["--asked"]:
        return _work_as_told()
    given = dict(zip(("folder", "attempt"), arguments, strict=False))
    folder, attempt = given.get("folder", ""), given.get("attempt", "0")
    if not folder or folder.startswith("-") or len(arguments) > 2 or not attempt.isdecimal():
        print(__doc__, file=sys.stderr)
        return WRONG_COMMAND
    return main(Path(folder), attempt=int(attempt))


def main(folder: Path, asked: bool = False, attempt: int = 0) -> int:
    """Do the job in `folder`; `asked`: only if it waits, since another worker may have been sent, or a stop came.
    `attempt`: of an engine, whose jobs may come after a later one was sent; 0: of this machine.

    Returns the exit code: 0 done or stopped, 1 failed, 73 another worker has it, 75 its engine had it stopped.
    """
    try:
        job = job_at(folder)
        with job.hold() as out:
            out.attempt = attempt
            if out.is_superseded():
                print(f"A later worker was sent to {folder.name}.", file=sys.stderr)
                return ALREADY_RUNNING
            if not _is_wanted(job, out, asked):
                return DONE
            job.tell_queue()
            with _shutdown_is_a_wish(job, out) as shutdown, Pulse(out, lambda: _stopped_words(job)):
                code = _work(job, out)
                is_called_back = attempt > 0 and shutdown.is_set() and job.last_word().state == "stopped"
                return CALLED_BACK if is_called_back else code
    except BlockingIOError:
        print(f"Another worker is at {folder.name}.", file=sys.stderr)
        return ALREADY_RUNNING


def _is_wanted(job: Job, out: JobWriter, asked: bool) -> bool:
    """Take the wish to start. Whatever ends this process before, the job still waits; and after, it was begun."""
    if not asked:
        out.stop_came_first = job.wishes.wants_end()
        job.take("start")
        return True
    if job.last_word().state == "done":  # by another worker that was sent; it needs no second time
        job.take("start")
    if job.is_asked("start"):
        out.begin(job.last_word(), job.loading_words())
        if job.take("start"):
            return True
    if job.last_word().state in ("queued", "starting"):
        out.end("stopped", job.taken_back_words())
    job.forget_stop()
    return False


def _work(job: Job, out: JobWriter) -> int:
    """Whatever goes wrong becomes a sentence in status.json; the traceback goes to the log."""
    kind: Kind[Any, Any] | None = None
    try:
        out.keep_spare()
        with out.leaving():  # importing takes seconds
            kind = kind_of(job)
        kind.work(job, out, work_in_home_of(job.folder))
        if job.last_word().state == "done":
            job.take("start")  # one that was left meanwhile: what is done needs no second time
    except Stopped:
        out.end("stopped", _stopped_words(job))
    except BaseException as error:  # also KeyboardInterrupt: a job must never end without a word
        out.may_be_left = False
        with contextlib.suppress(OSError):  # the log may be full
            traceback.print_exc()
        reason = _explain(error, job, kind)
        with contextlib.suppress(OSError):
            print(f"failed: {reason}", flush=True)
        out.end("failed", reason)
        return FAILED
    finally:
        out.drop_spare()
    return DONE


def _stopped_words(job: Job) -> str:
    stopped = getattr(sys.modules.get(KINDS.get(job.kind, "")), "stopped", None)  # missing while it is imported
    return str(stopped(job)) if stopped else job.taken_back_words()


def kind_of(job: Job) -> Kind[Any, Any]:
    """What does the work of a job. Raises UserError for a kind that this version does not know."""
    if job.kind not in KINDS:
        raise UserError(
            "job.unknown_kind",
            "This version knows no work of the kind {kind!r}, only {known}. Update it, then press Resume.",
            kind=job.kind,
            known=", ".join(KINDS),
        )
    return cast(Kind[Any, Any], importlib.import_module(KINDS[job.kind]))


def _explain(error: BaseException, job: Job, kind: Kind[Any, Any] | None) -> Problem:
    trouble = disk_trouble(error, job.folder)
    if trouble is not None:
        return trouble
    return kind.explain(error, job) if kind else any_failure.explain(error)


@contextlib.contextmanager
def _shutdown_is_a_wish(job: Job, out: JobWriter) -> Iterator[threading.Event]:
    """Meanwhile SIGTERM asks for a stop: what was begun is finished and saved, and what may be left is left at once.
    The event is set where that came first, and no person's wish.

    Before, it ends the process: then the job waits for the next one.
    """
    came_first = threading.Event()

    def ask(*_: object) -> None:
        if out.is_over:
            return
        if not job.wishes.wants_end():
            came_first.set()
        job.wishes.put("stop")
        out.leave_if_asked()

    before = signal.signal(signal.SIGTERM, ask)
    try:
        yield came_first
    finally:
        signal.signal(signal.SIGTERM, before)


def _stand_by() -> int:
    for module in KINDS.values():
        importlib.import_module(module)
    gc.freeze()  # all that stays: Trainer looks for garbage before its first step, a quarter of a second long
    with contextlib.suppress(OSError):  # the app is gone; what it has left to do may still stand in the pipe
        print("READY", flush=True)
    if not _is_told(IDLE):
        _calibrate()
    return _work_as_told()


def _is_told(seconds: float = 0.0) -> bool:
    """Has the app named a job, or ended, or does so within these seconds?"""
    return bool(select.select([sys.stdin], [], [], seconds)[0])


def _calibrate() -> None:
    """While nobody wants anything: how fast this machine trains, for the times that the page names."""
    calibrate = importlib.import_module("qlora_app.train.calibrate")
    with contextlib.suppress(Exception):  # whatever is wrong with the machine, a job says it better
        calibrate.calibrate(Settings.from_environment(), _is_told)


def _work_as_told() -> int:
    folder = sys.stdin.readline().strip()
    if not folder:  # the app ended without needing this worker
        return DONE
    _log_into(Path(folder))
    return main(Path(folder), asked=True)


def _log_into(folder: Path) -> None:
    """From here on everything printed, also by C libraries, goes to the job's log."""
    log = open_for_writing(folder / "log.txt")
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)


if __name__ == "__main__":
    sys.exit(command(sys.argv[1:]))
