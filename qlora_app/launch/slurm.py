"""Work on a cluster whose Slurm is asked by its own commands, and whose nodes see the folder of jobs and this
installation under the same paths.

A job that Slurm wants to have back (a signal before its time is over, or since others come first) saves after its step,
waits in Slurm's queue again, and goes on from there.
"""

import contextlib
import os
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence

from ..errors import UserError
from ..jobs import CALLED_BACK, Job
from ..place import flags_problem, no_slurm
from ..storage.files import replace_file
from ..storage.process import Engine
from .launcher import EngineLauncher
from .local import PACKAGE_PARENT

ANSWERS_WITHIN = 20  # seconds
SAVES_WITHIN = 120  # seconds before the time limit at which it is told to save
SCRIPT = "slurm.sh"
NODES_LOG = "log.nodes.txt"  # what the others say of their coming and going
ASKED_TOGETHER = 500  # job ids, which a command line has room for
WAITING = ("PENDING", "CONFIGURING", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD", "SPECIAL_EXIT")
OVER = (
    *("BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE", "FAILED", "LAUNCH_FAILED", "NODE_FAIL", "OUT_OF_MEMORY"),
    *("PREEMPTED", "RECONFIG_FAIL", "REVOKED", "TIMEOUT"),
)
AT_WORK = ("RUNNING", "COMPLETING", "SUSPENDED", "STOPPED", "SIGNALING", "STAGE_OUT", "RESIZING")
READ_BY_WORKERS = (
    *("QLORA_APP_", "HF_", "WANDB_", "CUDA_", "OMP_", "NCCL_", "LD_LIBRARY_PATH", "PATH", "PYTHON", "HOME", "USER"),
    *(
        "LANG",
        "LC_",
        "TMPDIR",
        "SLURM_CONF",
        "SSL_CERT_",
        "http_proxy",
        "https_proxy",
        "HTTP_PROXY",
        "HTTPS_PROXY",
        "no_proxy",
    ),
)
OF_THE_PAGE = tuple(
    f"QLORA_APP_{name}"
    for name in (
        "USER",
        "PASSWORD",
        "ENDPOINTS",
        "HOST",
        "PUBLIC_URL",
        "PROXIES",
        "KEEP_RUNS",
        "RAY",
        "RAY_TOKEN",
        "SYNC",
    )
)


class SlurmLauncher(EngineLauncher):
    """Workers that Slurm starts on the first node of a job, whose processes share the GPUs of all its nodes."""

    name = "slurm"

    def start(self, job: Job, cold: bool = False, device: str = "") -> None:
        attempt = job.launch_file.attempt() + 1
        script = job.folder / SCRIPT
        replace_file(script, script_of(job, attempt))
        job.launch_file.write_engine(
            Engine(self.name, "", "queued", attempt=attempt)
        )  # an earlier one is none any more
        try:
            told = ["sbatch", "--parsable", *flags_of(job, attempt), str(script)]
            id = _asked(told, handed_on(os.environ)).partition(";")[0]
        except UserError:
            job.launch_file.write_engine(Engine(self.name, "", "ended", attempt=attempt))
            raise
        job.launch_file.write_engine(Engine(self.name, id, "queued", attempt=attempt))

    def end(self, job: Job) -> None:
        """At once; what was saved is kept."""
        engine = job.launch_file.engine()
        if engine is not None and engine.id:
            waits = _states([engine.id])[engine.id][0] == "queued"  # then there is nothing to signal
            how = [] if waits else ["--signal=KILL", "--full"]
            _asked(["scancel", *how, engine.id])

    def look_at(self, jobs: Sequence[Job]) -> None:
        engines = [(job, engine) for job in jobs if (engine := job.launch_file.engine()) and engine.id]
        for first in range(0, len(engines), ASKED_TOGETHER):
            some = engines[first : first + ASKED_TOGETHER]
            states = _states([engine.id for _, engine in some])
            for job, engine in some:
                seen = engine.as_seen(*states[engine.id])
                job.launch_file.note_engine(seen)
                if seen.state == "queued" and job.wishes.wants_end():
                    _take_back(engine.id)

    def sync(self, job: Job) -> None:
        """The worker writes into the same folder."""


def _take_back(id: str) -> None:
    """Out of Slurm's queue, if it still waits there. Where that fails it is tried again at the next look."""
    with contextlib.suppress(UserError):
        _asked(["scancel", "--state=PENDING", id])


def flags_of(job: Job, attempt: int) -> list[str]:
    """What sbatch is told; a person's own come last, and are what it takes. Raises UserError of what may be none: the
    first word that is no option would be the script that is run.
    """
    place = job.place()
    if refused := place.refused_flags():
        raise UserError.of(flags_problem(refused))
    given = {
        "job-name": f"{job.id}-{attempt}",
        "output": str(job.log).replace("%", "%%"),
        "open-mode": "append",
        "nodes": str(place.nodes),
        "ntasks": str(place.nodes),
        "ntasks-per-node": "1",
        "cpus-per-task": str(place.processes or 1),
        "signal": f"B:USR1@{SAVES_WITHIN}",
        "export": "ALL",  # of what sbatch itself is given; by names, Slurm would have the node log in for the others
        "partition": place.partition,
        "time": str(place.minutes or ""),
    }
    ours = [f"--{name}={value}" for name, value in given.items() if value]
    return [*ours, "--requeue", *place.flags.split()]


def handed_on(environment: Mapping[str, str]) -> dict[str, str]:
    """What a worker reads of it; Slurm keeps it in its files. None is a login of the page or a key of another
    endpoint.
    """
    names = [name for name in environment if name.startswith(READ_BY_WORKERS) and name not in OF_THE_PAGE]
    return {name: environment[name] for name in names}


def script_of(job: Job, attempt: int) -> str:
    """A batch script that runs the worker, hands on what Slurm signals, and has itself queued again where that ended
    the work before it was done.
    """
    worker = shlex.join([sys.executable, "-m", "qlora_app.worker", str(job.folder), str(attempt)])
    others = f"{_others(job)} &\n" if job.place().nodes > 1 else ""
    return f"""#!/bin/sh
export PYTHONPATH={shlex.quote(PACKAGE_PARENT)}${{PYTHONPATH:+:$PYTHONPATH}} PYTHONUNBUFFERED=1
cd {shlex.quote(str(job.folder))}
{others}{worker} &
worker=$!
trap 'kill -TERM $worker' TERM USR1
wait $worker
code=$?
while kill -0 $worker 2>/dev/null; do wait $worker; code=$?; done
trap - TERM USR1
if [ $code = {CALLED_BACK} ]; then
    scontrol requeue "$SLURM_JOB_ID" && sleep 60
fi
exit $code
"""


def _others(job: Job) -> str:
    """The command by which the other nodes join the first one, where the script runs. They end with its worker."""
    place = job.place()
    count = place.nodes - 1
    flags = {
        "relative": 1,
        "nodes": count,
        "ntasks": count,
        "cpus-per-task": place.processes or 1,
        "output": str(job.folder / NODES_LOG).replace("%", "%%"),
        "open-mode": "append",
    }
    given = [f"--{name}={value}" for name, value in flags.items()]
    return shlex.join(["srun", *given, sys.executable, "-m", "qlora_app", "join", str(job.folder)])


def _states(ids: Sequence[str]) -> dict[str, tuple[str, str]]:
    """{job id: (queued, alive, ended or unknown, Slurm's own words)}, all asked for at once."""
    try:
        found = _run(["squeue", "--noheader", "--states=all", f"--jobs={','.join(ids)}", "--format=%i|%T|%r"])
    except (OSError, subprocess.SubprocessError) as error:
        return dict.fromkeys(ids, ("unknown", str(error)))
    is_forgotten = "invalid job id" in found.stderr.lower()  # so it says of a single one; of several it leaves it out
    if found.returncode and not is_forgotten:
        return dict.fromkeys(ids, ("unknown", found.stderr.strip()))
    rows = [line.strip().split("|", 2) for line in found.stdout.splitlines()]
    known = {row[0]: _state(*row[1:]) for row in rows if len(row) == 3}
    return {id: known.get(id, ("ended", "")) for id in ids}


def _state(state: str, reason: str) -> tuple[str, str]:
    words = f"{state}, {reason}" if reason not in ("", "None") else state
    if state in WAITING:
        return "queued", words
    if state in OVER:
        return "ended", words
    return ("alive" if state in AT_WORK else "unknown"), words  # a word of another Slurm's is no proof of an end


def _asked(command: list[str], environment: dict[str, str] | None = None) -> str:
    """What a command of Slurm's answers. Raises UserError where it does not do it."""
    try:
        found = _run(command, environment)
    except FileNotFoundError as error:
        raise UserError.of(no_slurm(command[0])) from error
    except subprocess.TimeoutExpired as error:
        raise UserError("slurm.no_answer", "Slurm does not answer ({program}).", program=command[0]) from error
    if found.returncode:
        raise UserError("slurm.refused", "Slurm refuses it: {reason}", reason=found.stderr.strip() or found.returncode)
    return found.stdout.strip()


def _run(command: list[str], environment: dict[str, str] | None = None) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(command, capture_output=True, text=True, timeout=ANSWERS_WITHIN, check=False, env=environment)
