"""The other machines of a training, as its worker knows them: it waits for them at an address of its own, lets in who
can read the run's folder and has the same program, base and data, and tells them what to start.
"""

import contextlib
import json
import os
import queue
import secrets
import shlex
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from ..errors import Problem, UserError
from ..hardware import own_addresses
from ..network import address_in
from ..overrides import PROGRAM
from ..place import Place
from ..recipe import Recipe
from ..runs import Run, RunWriter
from ..settings import Settings
from ..storage.files import replace_file
from .alike import check_alike, made_of
from .log_lines import log
from .meeting import WITHIN, Network
from .processes import Dead
from .wire import FIRST, OTHER, RENDEZVOUS, Wire

if TYPE_CHECKING:
    from .callbacks import MetricsCallback

LOOK_EVERY = 0.2  # seconds
STRANGERS = 16  # who may be proving something at once
MINUTE = 60.0


class Node:
    """Another machine. A thread hears what it says."""

    def __init__(self, wire: Wire, name: str) -> None:
        self.wire, self.name = wire, f"{name} ({wire.other_address})"
        self.has: Mapping[str, str] | None = None  # once it is ready
        self.failed = ""  # why it is not
        self.dead: Dead | None = None
        self.is_lost = False
        threading.Thread(target=self._hear, name="node", daemon=True).start()

    def _hear(self) -> None:
        try:
            while message := self.wire.receive():
                self._take(message)
        except OSError:  # it has gone, or this side has closed
            pass
        except Exception as error:  # it says what no version of ours says: of any kind
            log(f"node {self.name}: {error}")
        finally:
            self.is_lost = True

    def _take(self, message: Mapping[str, Any]) -> None:
        if "ready" in message:
            self.has = {str(name): str(value) for name, value in message["ready"].items()}
        elif "failed" in message:
            self.failed = str(message["failed"])
        elif "died" in message:
            rank, code, last_line = message["died"]
            self.dead = Dead(int(rank), int(code), str(last_line))
        elif "stop" in message:
            os.kill(os.getpid(), signal.SIGTERM)  # an engine wants it back: as if this machine had been told


class Nodes:
    """All machines but this one, in the order in which they came."""

    def __init__(self, out: RunWriter, place: Place) -> None:
        self.out, self.place, self.count = out, place, place.nodes - 1
        self.network = WITHIN
        self._there: list[Node] = []

    @contextlib.contextmanager
    def gathered(self, recipe: Recipe, reporter: "MetricsCallback") -> Iterator[None]:
        """Meanwhile all are there, ready to start. Raises UserError where one does not come or is not like this one,
        and Stopped.
        """
        if not self.count:
            yield
            return
        address = address_in(self.place.network)
        self.network = Network(address, own_addresses()[address])
        try:
            with self.out.leaving():
                reporter.say("Loading the model.")
                here = made_of(recipe, Settings.from_environment())
                with _door(self.out.run, address) as came:
                    self._wait(came, here, recipe, reporter.say)
            yield
            self._tell(end=self.out.status.state, sentence=str(self.out.status.sentence))
        except BaseException as error:
            self._tell(end="failed", sentence=str(error))
            raise
        finally:
            for node in self._there:
                node.wire.close()

    def start(self, size: int, port: int, task: Mapping[str, Any]) -> None:
        for number, node in enumerate(self._there, start=1):
            first = number * self.place.processes
            self._send(node, start={**task, "node": number, "first": first, "size": size, "port": port})

    def rest(self) -> None:
        """Have them end the processes that they started."""
        self._tell(rest=True)

    def dead(self) -> Dead | Problem | None:
        """A process of theirs that ended otherwise than well, or the words for a machine that has gone."""
        for node in self._there:
            if node.dead is not None:
                return node.dead
        for node in self._there:
            if node.is_lost:
                return Problem(
                    "nodes.lost",
                    "The node {name} has gone, and the training with it. What was saved is kept; Resume goes on from "
                    "there.",
                    name=node.name,
                )
        return None

    # ---- until all are there

    def _wait(
        self, came: "queue.Queue[Node]", here: Mapping[str, str], recipe: Recipe, say: Callable[[str], None]
    ) -> None:
        began, said = time.monotonic(), ""
        told = recipe.model_dump(mode="json")
        while True:
            self.out.leave_if_asked()
            self._look_at(here)
            if len(self._ready()) == self.count:
                return
            if time.monotonic() - began > MINUTE * self.place.join_minutes:
                raise UserError.of(self._late())
            if said != (said := self._waiting()):
                say(said)
                log(said)
            with contextlib.suppress(queue.Empty):
                self._take(came.get(timeout=LOOK_EVERY), told)

    def _take(self, node: Node, told: dict[str, Any]) -> None:
        if len(self._there) == self.count:
            self._send(node, end="failed", sentence="All are there already.")
            node.wire.close()
            return
        log(f"node {node.name} has come")
        self._there.append(node)
        self._send(node, recipe=told)

    def _look_at(self, here: Mapping[str, str]) -> None:
        """Raises UserError where one cannot take part. Who has gone may come again."""
        for node in self._there:
            if node.failed:
                raise UserError(
                    "nodes.cannot", "The node {name} cannot take part: {reason}", name=node.name, reason=node.failed
                )
            if node.has is not None:
                check_alike(node.name, node.has, here)
        self._there = [node for node in self._there if not node.is_lost]

    def _ready(self) -> list[Node]:
        return [node for node in self._there if node.has is not None]

    def _waiting(self) -> Problem:
        return Problem(
            "nodes.waiting",
            "Waiting at {address} for {count} more of {all} machines, {minutes} minutes at most. On each of them run "
            "{command}",
            address=self.network.address,
            count=self.count - len(self._ready()),
            all=self.count + 1,
            minutes=self.place.join_minutes,
            command=join_command(self.out.run),
        )

    def _late(self) -> Problem:
        """Who does not come, or came and does not get ready."""
        slow = [node.name for node in self._there if node.has is None]
        if len(self._there) == self.count:
            return Problem(
                "nodes.not_ready",
                "{names} came, and was not ready within {minutes} minutes. Nothing was trained. See there what join "
                "waits for; if it is the base model, raise launch.join_minutes. Then press Resume, and on each other "
                "machine run {command}",
                names=", ".join(slow),
                minutes=self.place.join_minutes,
                command=join_command(self.out.run),
            )
        return Problem(
            "nodes.missing",
            "Of {all} machines {came} came within {minutes} minutes to {address}. Nothing was trained. Press Resume, "
            "and on each other machine run {command}",
            all=self.count + 1,
            came=1 + len(self._there),
            minutes=self.place.join_minutes,
            address=self.network.address,
            command=join_command(self.out.run),
        )

    def _tell(self, **message: Any) -> None:
        for node in self._there:
            self._send(node, **message)

    def _send(self, node: Node, **message: Any) -> None:
        with contextlib.suppress(OSError):  # it has gone, which its thread notices
            node.wire.send(**message)


def join_command(run: Run) -> str:
    """What is to be run on another machine, where the folder is the same."""
    return f"{PROGRAM} join {shlex.quote(str(run.folder.absolute()))}"


@contextlib.contextmanager
def _door(run: Run, address: str) -> Iterator["queue.Queue[Node]"]:
    """Meanwhile whoever can read the run's folder may come, to this address only; the queue has who came."""
    came: queue.Queue[Node] = queue.Queue()
    word, place = secrets.token_hex(32), run.folder / RENDEZVOUS
    listening = socket.create_server((address, 0))
    port = listening.getsockname()[1]
    log(f"waits for other nodes at {address}:{port}")
    threading.Thread(target=_let_in, args=(listening, word, came), name="door", daemon=True).start()
    try:
        replace_file(place, json.dumps({"address": address, "port": port, "word": word}), private=True)
        yield came
    finally:
        place.unlink(missing_ok=True)
        with contextlib.suppress(OSError):
            listening.shutdown(socket.SHUT_RDWR)  # whoever waits in accept hears of it
        listening.close()


def _let_in(listening: socket.socket, word: str, came: "queue.Queue[Node]") -> None:
    room = threading.BoundedSemaphore(STRANGERS)
    while True:
        try:
            connected, _ = listening.accept()
        except OSError:  # the door is shut
            return
        if not room.acquire(blocking=False):
            connected.close()
            continue
        threading.Thread(target=_ask, args=(connected, word, came, room), name="stranger", daemon=True).start()


def _ask(connected: socket.socket, word: str, came: "queue.Queue[Node]", room: threading.BoundedSemaphore) -> None:
    try:
        wire = Wire(connected)
        wire.prove(word, FIRST, OTHER)
        hello = wire.receive(60.0) or {}
        came.put(Node(wire, str(hello.get("name"))[:80]))
    except OSError as error:
        log(f"somebody at the door of the nodes was not let in: {error}")
        connected.close()
    finally:
        room.release()
