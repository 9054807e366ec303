"""Another machine of a training: it finds the first one by the run's folder, which both see, shows that it is like
that, starts its processes when it is told to, and ends with it.
"""

import contextlib
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal, NamedTuple

from ..base_models.download import fetch
from ..errors import UserError
from ..hardware import known_accelerators, own_addresses, usable_cores
from ..preflight import refuse
from ..recipe import Recipe
from ..runs import Run
from ..settings import Settings
from ..storage.reading import read_json
from .alike import made_of
from .meeting import Network
from .processes import LOOK_EVERY, Processes, devices_for
from .wire import FIRST, OTHER, RENDEZVOUS, Wire

ANSWERS_WITHIN = 5.0  # seconds in which a connection is made
Step = Literal["looking", "found", "ready", "training"]  # how far it has come


class Ended(NamedTuple):
    """How the run of the first machine ended."""

    state: str
    sentence: str


def join(folder: Path, say: Callable[[Step], None]) -> Ended:
    """Take part in the run of this folder until it ends. `say` hears of each step. Raises UserError where it cannot."""
    run = Run(folder.absolute())
    if not (run.folder / Run.spec_file).is_file():
        raise UserError(
            "nodes.no_run", "{folder} is no run's folder. Name the one that the first machine shows.", folder=folder
        )
    say("looking")
    wire = _found(run)
    try:
        with _stop_is_a_wish() as stops:
            return _take_part(run, wire, stops, say)
    except OSError as error:
        raise UserError(
            "nodes.first_lost",
            "The first machine ({address}) has gone. What became of the run is said there.",
            address=wire.other_address,
        ) from error
    finally:
        wire.close()


def _found(run: Run) -> Wire:
    """A connection to the first machine, as soon as it waits. Raises UserError where it does not for so long."""
    minutes = run.place().join_minutes
    until = time.monotonic() + 60 * minutes
    while time.monotonic() < until:
        known = read_json(run.folder / RENDEZVOUS)
        if isinstance(known, dict):
            with contextlib.suppress(OSError, KeyError, TypeError, ValueError):  # of an earlier start, or not yet whole
                return _connected(known)
        time.sleep(LOOK_EVERY)
    raise UserError(
        "nodes.nobody_waits",
        "No machine has waited with {id} for {minutes} minutes. Start it there first, with launch.nodes=2 or more; "
        "both must see the same folder, and this one must reach the address that the first one names.",
        id=run.id,
        minutes=minutes,
    )


def _connected(known: dict[str, Any]) -> Wire:
    """Raises OSError where nobody is there, or somebody else."""
    connection = socket.create_connection((str(known["address"]), int(known["port"])), timeout=ANSWERS_WITHIN)
    try:
        connection.settimeout(None)
        wire = Wire(connection)
        wire.prove(str(known["word"]), OTHER, FIRST)
        wire.send(name=socket.gethostname())
    except OSError:
        connection.close()
        raise
    return wire


def _take_part(run: Run, wire: Wire, stops: list[int], say: Callable[[Step], None]) -> Ended:
    """Raises OSError where the first machine has gone, UserError where this one cannot take part."""
    say("found")
    heard = wire.receive() or {}
    if "recipe" not in heard:
        return Ended(str(heard.get("end")), str(heard.get("sentence")))
    recipe = Recipe.model_validate(heard["recipe"])
    processes = Processes(run, recipe.launch.processes, devices_for(recipe.launch.processes))
    try:
        wire.send(ready=_ready(run, recipe))
    except UserError as error:
        wire.send(failed=str(error.problem))
        raise
    say("ready")
    try:
        return _at_work(wire, processes, stops, say)
    finally:
        processes.end()


def _ready(run: Run, recipe: Recipe) -> dict[str, str]:
    """What this machine has, its base model fetched where it is not here. Raises UserError where it cannot have it."""
    os.environ["QLORA_APP_HOME"] = str(run.folder.parents[1])
    settings = Settings.from_environment()
    launch = recipe.launch.model_copy(update={"nodes": 1})  # what is asked of this machine alone
    refuse(launch.problems(recipe.training.batch_size, len(known_accelerators()), usable_cores()))
    if recipe.base_model.source == "hub":
        fetch(recipe.base_model, settings.token, lambda *_: None, lambda: False)
    return made_of(recipe, settings)


def _at_work(wire: Wire, processes: Processes, stops: list[int], say: Callable[[Step], None]) -> Ended:
    """Do as is told until it is over."""
    interface, is_told = own_addresses()[wire.own_address], False
    while True:
        if stops:
            stops.clear()
            wire.send(stop=True)
        heard = wire.receive(LOOK_EVERY)
        if heard is None:
            dead = processes.dead()
            if dead is not None and not is_told:
                wire.send(died=list(dead))
                is_told = True
        elif "start" in heard:
            processes.end()
            begun, is_told = heard["start"], False
            ranks = range(begun["first"], begun["first"] + processes.each)
            network = Network(wire.other_address, interface, begun["node"])
            processes.start(ranks, begun["size"], begun["port"], network, begun)
            say("training")
        elif "rest" in heard:
            processes.end()
        elif "end" in heard:
            return Ended(str(heard["end"]), str(heard.get("sentence")))


@contextlib.contextmanager
def _stop_is_a_wish() -> Iterator[list[int]]:
    """Meanwhile a SIGTERM is handed on to the first machine, which saves and stops for all; the list has what came."""
    came: list[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, _: came.append(number))
    try:
        yield came
    finally:
        signal.signal(signal.SIGTERM, before)
