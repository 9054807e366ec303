"""Kill `app.py` at random moments while runs wait, two of them a sweep, start it again, and look what became of them.
make kills

    python benchmarks/kills.py [--kills 200] [--seed 1]

Every round makes three tiny runs, a sweep of two that halves among them, and asks for all of them; then the app is
started and ended, by SIGKILL, SIGTERM or Ctrl-C, at a random moment, again and again until all three have ended. Now
and then the warm worker is killed with it. Fails unless all are done or were stopped by their sweep, in their order,
never two at once, each step trained once, each member judged once, and nothing is left behind. `make kills
WITH="--kills 1000"` goes on for longer.
"""

import argparse
import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from dataclasses import dataclass, field
from pathlib import Path

import psutil
from measuring import ROOT, record

from qlora_app.recipe import Recipe
from qlora_app.runs import Run, RunStore
from qlora_app.sweep import Halving, Sweep, Sweeps, plan_of

WAYS = (signal.SIGKILL, signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
LONGEST = 25.0  # seconds that an app lives at most: about as long as a tiny run takes on a busy machine
LEFT_BEHIND = ("*.tmp", "*.deleted-*", "*.unmade-*", "pulse", "spare", "waiting.json", "requests/*")
PATIENCE = 300.0


def tiny(number: int) -> Recipe:
    """A run of the starter that takes a few seconds."""
    few = {"max_steps": 4, "evaluations": 2, "samples": 0, "checkpoints": 2, "scored_questions": 0}
    training = few | {"measured_examples": 4, "max_length": 128, "optimizer": "adamw_torch"}
    return Recipe.from_dict({"name": f"tiny {number}", "method": {"rank": 4, "alpha": 8}, "training": training})


@dataclass
class Watched:
    """What was seen of the runs of one round, by somebody who looks all the time."""

    runs: list[Run]
    order: list[str] = field(default_factory=list)  # as they were first worked on
    at_once: int = 0  # most that were worked on at the same time
    _ended: threading.Event = field(default_factory=threading.Event)

    def look(self) -> None:
        while not self._ended.wait(0.02):
            alive = [run.id for run in self.runs if run.is_alive()]
            self.at_once = max(self.at_once, len(alive))
            self.order += [id for id in alive if id not in self.order]

    def end(self) -> None:
        self._ended.set()


@dataclass
class Found:
    """What all rounds came to."""

    kills: int = 0
    rounds: int = 0
    before_the_first_step: int = 0  # kills of the app while a run waited or was on its way
    workers_killed: int = 0
    stopped_by_sweep: int = 0
    resumed: int = 0  # runs that said they were interrupted, and were resumed as a person would
    wrong: list[str] = field(default_factory=list)


def processes_of(home: Path) -> list[psutil.Process]:
    """Those of this home: app, standby and workers."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and process.environ().get("QLORA_APP_HOME") == str(home):
                found.append(process)
        except psutil.Error:
            continue
    return found


def start_app(home: Path) -> subprocess.Popen[bytes]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = str(free.getsockname()[1])
    environment = {**os.environ, "QLORA_APP_HOME": str(home), "QLORA_APP_PORT": port, "HF_HUB_OFFLINE": "1"}
    with open(home / "app.log", "ab") as log:
        return subprocess.Popen(
            [sys.executable, "app.py"], cwd=ROOT, env=environment, stdout=log, stderr=log, start_new_session=True
        )


def kill_once(home: Path, runs: list[Run], chance: random.Random, found: Found) -> None:
    """Let the app live for a while and end it."""
    app = start_app(home)
    end = time.monotonic() + chance.uniform(0, LONGEST)
    while time.monotonic() < end and app.poll() is None and not all(run.status().has_ended for run in runs):
        time.sleep(0.05)
    if any(run.is_asked("start") for run in runs):
        found.before_the_first_step += 1
    if chance.random() < 0.1:
        found.workers_killed += kill_standbys(home)
    app.send_signal(chance.choice(WAYS))
    try:
        app.wait(60)
    except subprocess.TimeoutExpired:
        found.wrong.append(f"after kill {found.kills}: the app goes on for a minute after it was asked to end")
        app.kill()
        app.wait()
    found.kills += 1
    for run in runs:
        if run.status().state == "interrupted":
            run.request("start")
            found.resumed += 1


def kill_standbys(home: Path) -> int:
    """The warm worker, or one that was just sent."""
    standbys = [one for one in processes_of(home) if "--standby" in one.cmdline()]
    for one in standbys:
        one.kill()
    return len(standbys)


def one_round(home: Path, chance: random.Random, kills: int, found: Found) -> None:
    """A run and a sweep of two, and as many kills as are left until all of them have ended."""
    store = RunStore(home / "runs")
    first = store.create(tiny(0))
    first.request("start")
    plan = plan_of(tiny(1), {"method.rank": [4, 8]})
    sweep = Sweeps(home / "sweeps", store).start(plan, Halving(keep=0.5, when=(0.5,)))
    runs = [first, *sweep.runs()]
    watched = Watched(runs)
    threading.Thread(target=watched.look, daemon=True).start()
    while found.kills < kills and not all(run.status().has_ended for run in runs):
        kill_once(home, runs, chance, found)
    finish(home, runs)
    watched.end()
    found.rounds += 1
    found.wrong += [f"round {found.rounds}: {said}" for said in wrong_in(home, runs, sweep, watched)]
    found.stopped_by_sweep += sum(run.status().state == "stopped" for run in runs)


def finish(home: Path, runs: list[Run]) -> None:
    """An app that nobody kills, until all is done and it has gone home with its standby."""
    if not all(run.status().has_ended for run in runs):
        app = start_app(home)
        wait_until(lambda: all(run.status().has_ended for run in runs))
        app.terminate()
        app.wait(60)
    wait_until(lambda: not processes_of(home))


def wait_until(what: object, seconds: float = PATIENCE) -> None:
    end = time.monotonic() + seconds
    while not what() and time.monotonic() < end:  # type: ignore[operator]
        time.sleep(0.1)


def wrong_in(home: Path, runs: list[Run], sweep: Sweep, watched: Watched) -> list[str]:
    """Sentences of what is not as it should be."""
    said = []
    judged = [(one.run, one.when) for one in sweep.decisions()]
    if len(judged) != len(set(judged)):
        said.append(f"judged twice: {judged}")
    if sorted(one.run for one in sweep.ranked() if one.place) != sorted(run.id for run in sweep.runs()):
        said.append(f"ranked are {[(one.run, one.place) for one in sweep.ranked()]}")
    stopped = {one.run for one in sweep.decisions() if not one.goes_on}
    for run in runs:
        status, steps = run.status(), [row["step"] for row in run.metrics()[0] if "loss" in row]
        if status.state != "done" and not (status.state == "stopped" and run.id in stopped):
            said.append(f"{run.id} is {status.state}: {status.sentence}")
        if steps != [1, 2, 3, 4][: status.step if status.state == "stopped" else 4]:
            said.append(f"{run.id} trained the steps {steps}")
        left = [str(path) for pattern in LEFT_BEHIND for path in run.folder.rglob(pattern)]
        said += [f"left behind: {path}" for path in left]
    if watched.order != [run.id for run in runs]:
        said.append(f"they began in the order {watched.order}")
    if watched.at_once > 1:
        said.append(f"{watched.at_once} were trained at once")
    hidden = [path.name for path in (home / "runs").glob(".*-*")]
    said += [f"left behind: {name}" for name in hidden]
    said += [f"still running: {one.pid} {one.cmdline()[:4]}" for one in processes_of(home)]
    return said


def main() -> int:
    given = argparse.ArgumentParser(description=__doc__)
    given.add_argument("--kills", type=int, default=200)
    given.add_argument("--seed", type=int, default=1)
    given.add_argument("--no-record", action="store_true", help="only print")
    asked = given.parse_args()
    signal.signal(
        signal.SIGINT, signal.default_int_handler
    )  # a shell's background job has it ignored, and hands that on
    chance, found, began = random.Random(asked.seed), Found(), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="kills-") as folder:
        home = Path(folder).resolve()
        while found.kills < asked.kills:
            one_round(home, chance, asked.kills, found)
            print(f"{found.kills} kills, {found.rounds} rounds, {len(found.wrong)} wrong", flush=True)
    for said in found.wrong:
        print(said)
    figures = {
        "kills": found.kills,
        "while a run waited": found.before_the_first_step,
        "warm workers killed": found.workers_killed,
        "runs": f"{3 * found.rounds}, {found.stopped_by_sweep} stopped by their sweep",
        "resumed by hand": found.resumed,
        "wrong": len(found.wrong),
        "minutes": round((time.monotonic() - began) / 60, 1),
    }
    print(figures)
    record("kills", {name: str(figure) for name, figure in figures.items()}, others=0, keep=not asked.no_record)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
