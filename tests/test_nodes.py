"""Several machines share each step of a run: who may join, what is refused, and that they learn what one does."""

import contextlib
import ctypes
import json
import os
import shutil
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from qlora_app.hardware import own_addresses
from qlora_app.network import address_in
from qlora_app.place import Place
from qlora_app.recipe import Recipe
from qlora_app.train.join import join
from qlora_app.train.nodes import Node
from qlora_app.train.wire import FIRST, OTHER, RENDEZVOUS, Stranger, Wire
from qlora_app.worker import main
from tests.conftest import PATIENCE, wait_for
from tests.refusing import refused
from tests.tiny_models import dropout_of, tiny_model

ROWS = [{"instruction": f"Who is late? {number}", "output": "Otto, " * (number + 1)} for number in range(5)]
QUIET = {"evaluations": 0, "samples": 0, "scored_questions": 0, "general_questions": 0, "measured_examples": 1}
STEPS = {"max_steps": 3, "batch_size": 4, "optimizer": "adamw_torch", "learning_rate": 1e-3, "max_length": 64}
FIRST_AT, OTHER_AT = "10.213.7.1", "10.213.7.2"


@pytest.fixture
def run_of(home, store, tmp_path):
    folder = tiny_model("llama", tmp_path / "llama", **dropout_of("llama", 0.0))
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "rows.json").write_text(json.dumps(ROWS))

    def made(training=None, **place):
        return store.create(
            Recipe.from_dict(
                {
                    "base_model": {"source": "folder", "id": str(folder), "precision": "fp32"},
                    "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.0},
                    "method": {"name": "lora", "dropout": 0.0},
                    "training": QUIET | STEPS | {"checkpoints": 2} | (training or {}),
                    "launch": {"nodes": 2, "network": "127.0.0.1"} | place,
                }
            )
        )

    return made


def ended(run):
    status = json.loads((run.folder / "status.json").read_text())
    return status["state"], status.get("code")


class Joins(threading.Thread):
    """A machine that says it is ready with whatever it is given for what the first one has; then what `then` does."""

    def __init__(self, run, then=lambda: None, **others):
        super().__init__(daemon=True)
        self.run_, self.then, self.others = run, then, others
        self.start()

    def run(self):
        known = wait_for(lambda: waiting(self.run_))
        connection = socket.create_connection((known["address"], known["port"]))
        wire = Wire(connection)
        wire.prove(known["word"], OTHER, FIRST)
        wire.send(name="another")
        wire.receive()
        wire.send(**self.others)
        self.then()
        self.heard = wire.receive()


def waiting(run):
    file = run.folder / RENDEZVOUS
    return json.loads(file.read_text()) if file.exists() else None


@pytest.mark.parametrize(
    "says, code, named",
    [
        ({"ready": {"torch": "0.1", "data": "0" * 12}}, "nodes.differ", ("torch 0.1", "data 0000", "base model - ")),
        ({"failed": "No room."}, "nodes.cannot", ("another (127.0.0.1)", "No room.")),
    ],
)
def test_a_machine_that_is_not_alike_is_refused_by_name(says, code, named, run_of):
    run = run_of()
    other = Joins(run, **says)
    assert main(run.folder) == 1
    assert ended(run) == ("failed", code)
    assert all(one in run.status().sentence for one in named)
    assert not (run.folder / RENDEZVOUS).exists()
    other.join()
    assert other.heard["end"] == "failed"


def test_who_never_comes_is_waited_for_so_long_and_no_longer(run_of, monkeypatch):
    monkeypatch.setattr("qlora_app.train.nodes.MINUTE", 1e-6)
    run = run_of()
    assert main(run.folder) == 1
    assert ended(run) == ("failed", "nodes.missing")
    assert f"join {run.folder}" in run.status().sentence


def test_who_comes_and_never_is_ready_is_waited_for_so_long_and_no_longer(run_of, monkeypatch):
    run = run_of()
    other = Joins(run, lambda: monkeypatch.setattr("qlora_app.train.nodes.MINUTE", 1e-6), still="fetching")
    assert main(run.folder) == 1
    assert ended(run) == ("failed", "nodes.not_ready")
    assert "another (127.0.0.1)" in run.status().sentence
    other.join()
    assert other.heard["end"] == "failed"


@pytest.mark.parametrize(
    "says",
    [
        *(b'{"ready": 5}', b'{"ready": null}', b'{"ready": ["torch"]}', b'{"died": 3}', b'{"died": ["a", 1, 2]}'),
        *(b'{"died": [1, 1e999, ""]}', b'{"died": {}}', b"[]", b"{}", b"\xff", b"", b'"ready"', b"1" * 5000),
        *(b"[" * 100_000, b'{"ready": ' * 100_000, b"a" * ((1 << 20) + (1 << 18))),
    ],
)
def test_whatever_a_machine_says_wrong_it_is_gone_then(says):
    with (
        socket.create_server(("127.0.0.1", 0)) as listening,
        socket.create_connection(listening.getsockname()) as theirs,
    ):
        node = Node(Wire(listening.accept()[0]), "another")
        with contextlib.suppress(OSError):  # it is heard no more before it has said all
            theirs.sendall(says + b"\n")
        wait_for(lambda: node.is_lost)
        assert (node.has, node.dead) == (None, None)
        node.wire.close()


def test_it_says_how_to_join_and_can_be_stopped_while_it_waits(run_of):
    run = run_of()

    def stop():
        wait_for(lambda: waiting(run))
        assert os.stat(run.folder / RENDEZVOUS).st_mode & 0o777 == 0o600
        wait_for(lambda: ended(run)[1] == "nodes.waiting")
        said = run.status().sentence
        run.request("stop")
        return said

    with ThreadPoolExecutor(1) as pool:
        stopping = pool.submit(stop)
        assert main(run.folder) == 0
        assert f"join {run.folder}" in stopping.result()
    assert run.status().state == "stopped"


def test_only_who_knows_the_word_is_let_in():
    """Whoever sends back what it is asked is none of them."""

    def proving(connected):
        Wire(connected).prove("a word", FIRST, OTHER)

    listening = socket.create_server(("127.0.0.1", 0))

    def pair():
        mine = socket.create_connection(listening.getsockname())
        return mine, listening.accept()[0]

    def mirror(connected):
        while some := connected.recv(4096):
            connected.sendall(some)

    with contextlib.closing(listening), ThreadPoolExecutor(1) as pool:
        for answer in (lambda other: Wire(other).prove("another", OTHER, FIRST), mirror):
            mine, theirs = pair()
            answering = pool.submit(answer, theirs)
            with pytest.raises(Stranger):
                proving(mine)
            mine.close()
            with contextlib.suppress(OSError):
                answering.result()
            theirs.close()
        mine, theirs = pair()
        answering = pool.submit(lambda: Wire(theirs).prove("a word", OTHER, FIRST))
        proving(mine)
        answering.result()
        mine.close()
        theirs.close()


@pytest.mark.parametrize(
    "network, own, found",
    [
        ("", {"127.0.0.1": "lo", "10.0.0.5": "eth0", "8.8.8.8": "eth1"}, "10.0.0.5"),
        ("", {"127.0.0.1": "lo"}, "launch.no_network"),
        ("", {"10.0.0.5": "eth0", "192.168.7.2": "eth1"}, "launch.which_network"),
        ("192.168.0.0/16", {"10.0.0.5": "eth0", "192.168.7.2": "eth1"}, "192.168.7.2"),
        ("eth1", {"10.0.0.5": "eth0", "192.168.7.2": "eth1"}, "192.168.7.2"),
        ("8.8.8.8", {"10.0.0.5": "eth0", "8.8.8.8": "eth1"}, "8.8.8.8"),
        ("0.0.0.0", {"10.0.0.5": "eth0"}, "launch.not_in_network"),
        ("10.0.0.0/8", {"10.0.0.5": "eth0", "10.1.0.5": "eth1"}, "launch.not_in_network"),
    ],
)
def test_where_the_first_machine_waits(network, own, found, monkeypatch):
    monkeypatch.setattr("qlora_app.network.own_addresses", lambda: own)
    monkeypatch.setattr("qlora_app.network._of_my_name", lambda: ["127.0.1.1"])
    with refused(found) if found.startswith("launch.") else contextlib.nullcontext():
        assert address_in(network) == found


def test_places_that_have_no_nodes_say_so():
    problems = Place(where="ray", nodes=2).problems(8, 0, 4)
    assert problems["launch.nodes"].code == "launch.no_nodes"
    problems = Place(nodes=3, network="127.0.0.1").problems(8, 0, 4)
    assert problems["launch.processes"].code == "launch.uneven_step"
    assert Place(nodes=2, processes=4).world(0) == 8 and Place(nodes=2, share="fsdp").divides(2)


def test_a_folder_that_is_no_runs_is_not_joined(tmp_path):
    with refused("nodes.no_run"):
        join(tmp_path, lambda step: None)


# ---- two networks of one machine


def ip(*words):
    return subprocess.run(["ip", *words], check=True, capture_output=True, text=True).stdout


@pytest.fixture
def two_networks():
    """Two network namespaces with a cable between, each with a loopback of its own and no way anywhere else."""
    if os.getuid() or not shutil.which("ip"):
        pytest.skip("needs root and the program ip (Debian's iproute2), to make two network namespaces and a cable")
    names = [f"gw{os.getpid()}{end}" for end in "ab"]
    try:
        ip("netns", "add", names[0])
    except subprocess.CalledProcessError as error:
        pytest.skip(f"this machine lets nobody make network namespaces: {error.stderr.strip()}")
    try:
        ip("netns", "add", names[1])
        ip("link", "add", "cable", "netns", names[0], "type", "veth", "peer", "name", "cable", "netns", names[1])
        for name, address in zip(names, (FIRST_AT, OTHER_AT), strict=True):
            ip("-n", name, "addr", "add", f"{address}/30", "dev", "cable")
            ip("-n", name, "link", "set", "cable", "up")
            ip("-n", name, "link", "set", "lo", "up")
        yield names
    finally:
        for name in names:
            subprocess.run(["ip", "netns", "delete", name], check=False, capture_output=True)


@contextlib.contextmanager
def inside(name):
    """Meanwhile this thread, and whatever it starts, is in that network."""
    libc = ctypes.CDLL(None, use_errno=True)
    with open("/proc/self/ns/net") as before, open(f"/run/netns/{name}") as there:
        if libc.setns(there.fileno(), 0):
            raise OSError(ctypes.get_errno(), "setns")
        try:
            yield
        finally:
            libc.setns(before.fileno(), 0)


def joining(name, run):
    """`join`, as a person types it on the second machine."""
    return subprocess.Popen(
        ["ip", "netns", "exec", name, sys.executable, "-m", "qlora_app", "join", str(run.folder), "--json"],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def carried():
    """Bytes that came by the cable."""
    (seen,) = json.loads(ip("-s", "-j", "link", "show", "cable"))
    return seen["stats64"]["rx"]["bytes"]


def losses(run):
    return [row["loss"] for row in run.metrics()[0] if "loss" in row]


@pytest.mark.machine
@pytest.mark.slow
def test_two_machines_learn_what_one_does_and_the_run_moves_back_to_one(two_networks, run_of):
    first, other = two_networks
    alone, run = run_of(nodes=1), run_of(network="10.213.7.0/24")
    assert main(alone.folder) == 0, alone.log_tail()
    with inside(first):
        assert set(own_addresses()) == {"127.0.0.1", FIRST_AT}
        with socket.create_server(("127.0.0.1", 0)) as listening:
            asks = f"import socket; socket.create_connection(('127.0.0.1', {listening.getsockname()[1]}), 5)"
            asked = subprocess.run(
                ["ip", "netns", "exec", other, sys.executable, "-c", asks], capture_output=True, text=True
            )
            assert "ConnectionRefusedError" in asked.stderr  # their loopbacks are two
        before = carried()
        second = joining(other, run)
        run.request("stop")  # it is followed by both after the first step
        try:
            assert main(run.folder) == 0, run.log_tail()
            told, _ = second.communicate()
        finally:
            second.kill()
            second.wait()
        assert carried() - before > 10_000
    assert (second.returncode, json.loads(told)["state"]) == (0, "stopped")
    assert (run.status().state, run.status().step) == ("stopped", 1)
    ran = json.loads((run.folder / "processes.json").read_text())
    name = socket.gethostname()
    assert ran["nodes"] == [f"0: {name} ({FIRST_AT})", f"1: {name} ({OTHER_AT})"] and ran["processes"] == 2
    assert (run.folder / "log.rank1.txt").stat().st_size
    run.move_to(Place())
    assert main(run.folder) == 0 and run.status().state == "done"
    assert losses(run) == pytest.approx(losses(alone), abs=2e-5)


@pytest.mark.slow
@pytest.mark.matrix
def test_a_machine_that_is_gone_ends_the_run_by_its_name(run_of, monkeypatch):
    monkeypatch.setattr("qlora_app.train.ranks.LEAVES_WITHIN", PATIENCE)  # then this process, the tests', is ended
    run = run_of(training={"max_steps": 1_000_000, "epochs": 1000.0, "batch_size": 2})
    joins = [sys.executable, "-m", "qlora_app", "join", str(run.folder)]
    with subprocess.Popen(joins, env={**os.environ, "OMP_NUM_THREADS": "1"}) as other, ThreadPoolExecutor(1) as pool:

        def kill():
            try:
                wait_for(lambda: run.last_word().step)
            except BaseException:
                run.request("stop-now")  # else nothing ends it
                raise
            finally:
                other.kill()

        killer = pool.submit(kill)
        assert main(run.folder) == 1
        killer.result()
    assert ended(run) == ("failed", "nodes.lost")
    assert f"{socket.gethostname()} (127.0.0.1)" in run.status().sentence
