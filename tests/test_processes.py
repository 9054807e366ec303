"""Several processes share each step, and learn what one alone does."""

import contextlib
import datetime
import json
import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace

import psutil
import pytest

from qlora_app.base_models import ModelChoice, load_model
from qlora_app.launch.local import launch
from qlora_app.methods import METHODS
from qlora_app.methods.lora import LoraMethod
from qlora_app.place import Place
from qlora_app.recipe import Recipe
from qlora_app.runs.asking import ask
from qlora_app.runs.proof import Proof
from qlora_app.train.divided import divide
from qlora_app.train.processes import log_of
from qlora_app.train.shared import check_divided
from qlora_app.train.world import HERE, World, joined, open_store
from qlora_app.worker import main
from tests.conftest import PATIENCE, wait_for
from tests.refusing import refused
from tests.second_process import train
from tests.tiny_models import dropout_of, tiny_model

NAMES = [kind.model_fields["name"].default for kind in METHODS]
# Five rows and steps of four: the second step of an epoch has one example, of which one of the processes has nothing.
WORDS = "Mira lives on Orchard Lane and bakes bread every morning. Otto repairs clocks, and he is never late."
ANSWERS = [WORDS[:6], WORDS[:90], WORDS[5:20], WORDS[20:24], WORDS[30:70]]
CHAT = [{"instruction": f"Who is late? {number}", "output": answer} for number, answer in enumerate(ANSWERS)]
LABELLED = [{"text": answer, "label": ("good", "bad")[number % 2]} for number, answer in enumerate(ANSWERS)]
PLAIN = [{"text": answer} for answer in ANSWERS]
PAIRS = [{"prompt": f"Who? {n}", "chosen": ANSWERS[n % 5], "rejected": ANSWERS[n % 5 - 1] + " No."} for n in range(9)]
QUIET = {"evaluations": 0, "samples": 0, "scored_questions": 0, "general_questions": 0, "checkpoints": 0}
STEPS = {"max_steps": 4, "batch_size": 4, "optimizer": "adamw_torch", "learning_rate": 1e-3, "max_length": 64}


@pytest.fixture(autouse=True)
def waits_end(monkeypatch):
    """Whoever waits for a process that has died gives up after minutes, not after days."""
    monkeypatch.setattr("qlora_app.train.world.PATIENCE", datetime.timedelta(seconds=PATIENCE))
    monkeypatch.setattr("qlora_app.train.ranks.LEAVES_WITHIN", PATIENCE)  # then this process, the tests', is ended


class Second:
    """Another process, which trains what it is told beside this one; a new one after something went wrong."""

    def __init__(self):
        self._child = None

    def told(self, port, folder):
        if self._child is None:
            self._child = subprocess.Popen(
                [sys.executable, "-m", "tests.second_process"],
                stdin=subprocess.PIPE,
                text=True,
                env={**os.environ, "OMP_NUM_THREADS": "1"},
            )
        print(port, PATIENCE, folder, file=self._child.stdin, flush=True)

    def end(self):
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        self._child = None


@pytest.fixture(scope="module")
def second():
    child = Second()
    try:
        yield child
    finally:
        child.end()


@pytest.fixture(scope="module")
def bases(tmp_path_factory):
    home = tmp_path_factory.mktemp("bases")
    return lambda family: tiny_model(family, home / family, **dropout_of(family, 0.0))


def recipe_of(folder, rows, home, method, task="auto", precision="", **more):
    (home / "data").mkdir(exist_ok=True)
    (home / "data" / "rows.json").write_text(json.dumps(rows))
    chosen = next(kind for kind in METHODS if kind.model_fields["name"].default == method)
    quiet = {"dropout": 0.0} if "dropout" in chosen.model_fields else {}
    precision = precision or ("fp32" if "fp32" in chosen.precisions else "nf4")
    return Recipe.from_dict(
        {
            "base_model": {"source": "folder", "id": str(folder), "precision": precision},
            "dataset": {"source": "file", "id": "rows.json", "held_out_share": 0.0},
            "task": {"name": task},
            "method": {"name": method, **quiet, **more.pop("settings", {})},
            "training": QUIET | STEPS | more.pop("training", {}),
            **more,
        }
    )


def listens_at(process):
    return {one.laddr.ip for one in psutil.Process(process).net_connections("tcp") if one.status == psutil.CONN_LISTEN}


def beside(second, out):
    """What this process sees of the training of both."""
    meeting = open_store()
    try:
        second.told(meeting.port, out.folder)
        with joined(World(0, 2), meeting.port, meeting) as world:
            assert listens_at(os.getpid()) == {HERE}
            return train(out, world)
    except BaseException:
        second.end()  # wherever it waits now: the next test begins with a new one
        raise


def same(recipe, store, second):
    """Train it alone, then in two processes; every step has the same loss, gradients and tokens."""
    with store.create(recipe).hold() as out:
        alone, tokens = train(out)
    with store.create(recipe).hold() as out:
        shared, tokens_shared = beside(second, out)
    assert len(alone) == len(shared) == 4 and tokens == tokens_shared
    assert [loss for loss, _ in shared] == pytest.approx([loss for loss, _ in alone], abs=1e-6, rel=1e-6)
    assert [norm for _, norm in shared] == pytest.approx([norm for _, norm in alone], rel=1e-3)


DAILY = ("lora", "adalora", "adamix", "qalora")


def rarely(name):
    """Marked as much like others, unless it is one of a few."""
    return pytest.param(name, marks=() if name in DAILY else pytest.mark.matrix)


@pytest.mark.slow
@pytest.mark.parametrize("method", [*map(rarely, NAMES)])
def test_two_processes_learn_what_one_does(method, bases, store, home, second):
    same(recipe_of(bases("llama"), CHAT, home, method), store, second)


@pytest.mark.slow
@pytest.mark.parametrize(
    "family, rows, task, more",
    [
        ("bert", LABELLED, "classification", {}),
        pytest.param("t5", CHAT, "text_to_text", {}, marks=pytest.mark.matrix),
        pytest.param("bert", PLAIN, "fill_mask", {}, marks=pytest.mark.matrix),
        ("llama", CHAT, "chat", {"training": {"packing": False, "micro_batch": 1}}),
        pytest.param("llama", PAIRS, "chat", {"preferences": {"trainer": "dpo"}}, marks=pytest.mark.matrix),
        pytest.param("llama", PAIRS, "chat", {"preferences": {"trainer": "orpo"}}, marks=pytest.mark.matrix),
        ("llama", PAIRS, "chat", {"preferences": {"trainer": "kto"}}),
    ],
)
def test_two_processes_learn_what_one_does_in_every_task(family, rows, task, more, bases, store, home, second):
    same(recipe_of(bases(family), rows, home, "lora", task, **more), store, second)


DIVIDED = {"launch": {"share": "fsdp", "processes": 2}}
DIVIDED_RARELY = [
    ("llama", CHAT, "chat", {"training": {"micro_batch": 1, "gradient_checkpointing": "on"}}),
    ("llama", CHAT, "chat", {"precision": "nf4", "settings": {"weight_decomposed": True}}),
    ("llama", CHAT, "chat", {"precision": "nf4", "settings": {"initialisation": "loftq"}}),
    ("llama", CHAT, "chat", {"settings": {"initialisation": "pissa"}}),
    ("llama", CHAT, "chat", {"settings": {"train_embeddings": True}}),
    ("llama", PAIRS, "chat", {"precision": "nf4", "preferences": {"trainer": "orpo"}}),
    ("bert", LABELLED, "classification", {"precision": "nf4"}),
    ("bert", PLAIN, "fill_mask", {}),
]


@pytest.mark.slow
@pytest.mark.parametrize(
    "family, rows, task, more",
    [
        ("llama", CHAT, "chat", {"precision": "nf4"}),
        *(pytest.param(*rare, marks=pytest.mark.matrix) for rare in DIVIDED_RARELY),
    ],
)
def test_two_processes_that_divide_the_base_learn_what_one_does(family, rows, task, more, bases, store, home, second):
    """An epoch of two steps, in the second of which one process has nothing."""
    same(recipe_of(bases(family), rows, home, "lora", task, **DIVIDED, **more), store, second)
    ran = json.loads((store.list()[0].folder / "processes.json").read_text())
    assert ran["distributed_type"] == "FSDP2" and ran["dtensors"]
    assert ran["mb_a_process"] < ran["mb_whole"]


@pytest.mark.parametrize("stored_as, refusal", [("float32", None), ("uint8", "ranks.hardly_divided")])
def test_a_base_that_stays_whole_is_not_trained(stored_as, refusal, bases):
    """As 4-bit codes do that are stored in bytes: FSDP leaves out what is not like the rest."""
    chosen = ModelChoice(source="folder", id=str(bases("llama")), precision="nf4")
    model = LoraMethod().attach(load_model(chosen, to_divide=stored_as == "float32"))
    meeting = open_store()
    with joined(World(0, 1), meeting.port, meeting) as world:
        job = SimpleNamespace(model=model, world=divide(model, world))
        with refused(refusal) if refusal else contextlib.nullcontext():
            assert check_divided(job)["dtensors"]


def going_on(store, home, folder, rows=CHAT, **training):
    return store.create(recipe_of(folder, rows, home, "lora", training={"checkpoints": 2, **training}))


def endless(store, home, folder):
    """125,000 steps: it trains until somebody ends it."""
    return going_on(store, home, folder, CHAT * 100, max_steps=1_000_000, epochs=1000)


@pytest.mark.slow
def test_a_run_moves_from_one_process_to_two_and_back(bases, store, home, tmp_path, monkeypatch):
    """Each part ends by a stop that is there before it begins: after its first step, in every process."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    whole = going_on(store, home, bases("llama"), max_steps=5)
    assert main(whole.folder) == 0
    run = going_on(store, home, bases("llama"), max_steps=5)
    for processes in (1, 2):
        run.move_to(Place(processes=processes))
        run.request("stop")
        assert main(run.folder) == 0
        assert (run.status().state, run.status().step) == ("stopped", processes)
    ran = json.loads((run.folder / "processes.json").read_text())
    assert (ran["processes"], ran["distributed_type"], ran["step"]) == (2, "MULTI_CPU", 1)
    assert {file.name for file in (run.checkpoints / "checkpoint-2").glob("rng*")} == {
        "rng_state_0.pth",
        "rng_state_1.pth",
    }
    assert "event.processes" in [event["code"] for event in run.events()]
    assert log_of(run, 1).stat().st_size
    assert not others_of(os.getpid()) and not list(tmp_path.glob("ranks-*"))
    run.move_to(Place())
    assert main(run.folder) == 0 and run.status().state == "done"
    assert losses(run) == pytest.approx(losses(whole), abs=2e-5)


@pytest.mark.slow
@pytest.mark.parametrize("before", [[{}], pytest.param([DIVIDED["launch"], {}], marks=pytest.mark.matrix)])
def test_a_divided_run_measures_answers_is_proven_and_moves_to_one_process_and_back(before, bases, store, home):
    """Whatever the first process computes alone, in a step's middle and at the end, the others compute beside it."""
    rows = [{"instruction": f"Who is late? {n}", "output": ANSWERS[n % 5]} for n in range(10)]
    busy = {"evaluations": 5, "samples": 1, "scored_questions": 1, "measured_examples": 4, "max_steps": 3}
    recipe = recipe_of(bases("llama"), rows, home, "lora", precision="nf4", training={"checkpoints": 2, **busy})
    held_out = recipe.dataset.model_copy(update={"held_out_share": 0.4})
    whole, run = (store.create(recipe.model_copy(update={"dataset": held_out})) for _ in range(2))
    assert main(whole.folder) == 0
    for step, where in enumerate(before, start=1):
        run.move_to(Place(**where))
        run.request("stop")
        assert main(run.folder) == 0, run.log_tail()
        assert (run.status().state, run.status().step) == ("stopped", step), run.status()
    run.move_to(Place(**DIVIDED["launch"]))
    run.request("start")
    ask(run, "Who is late?")
    assert main(run.folder) == 0 and run.status().state == "done", run.log_tail()
    assert losses(run) == pytest.approx(losses(whole), abs=2e-5)
    assert [row["question"] for row in run.asked()] == ["Who is late?"]
    assert [row["step"] for row in run.samples()] == [row["step"] for row in whole.samples()]
    made, known = Proof.from_json(run.proof()), Proof.from_json(whole.proof())
    assert made.heldout.loss.after == pytest.approx(known.heldout.loss.after, abs=1e-4)
    assert made.reload.max_difference < 1e-5
    ran = json.loads((run.folder / "processes.json").read_text())
    assert (ran["distributed_type"], ran["processes"]) == ("FSDP2", 2)


def others_of(worker):
    """The processes that train beside a worker."""
    return [one for one in psutil.Process(worker).children() if "qlora_app.train.rank" in one.cmdline()]


def losses(run):
    return [row["loss"] for row in run.metrics()[0] if "loss" in row]


@pytest.mark.slow
@pytest.mark.matrix
def test_a_process_that_dies_ends_the_run_with_its_log(bases, store, home):
    run = endless(store, home, bases("llama"))
    run.move_to(Place(processes=2))

    def kill():
        try:
            wait_for(lambda: run.status().step)
            others_of(os.getpid())[0].kill()
        except BaseException:
            run.request("stop-now")  # else nothing ends it
            raise

    with ThreadPoolExecutor(1) as pool:
        killer = pool.submit(kill)
        assert main(run.folder) == 1
        killer.result()
    status = json.loads((run.folder / "status.json").read_text())
    assert (status["state"], status["code"], status["values"]["code"]) == ("failed", "ranks.died", -9)
    assert log_of(run, 1).name in status["sentence"]


@pytest.mark.slow
@pytest.mark.matrix
def test_no_process_outlives_its_worker(bases, store, home):
    run = endless(store, home, bases("llama"))
    run.move_to(Place(processes=2))
    worker = launch(run)
    try:
        wait_for(lambda: run.status().step)
        others = others_of(worker.pid)
    finally:
        worker.kill()
        worker.wait()
    assert len(others) == 1 and not psutil.wait_procs(others, PATIENCE)[1]
    assert run.status().state == "interrupted"
    run.request("stop")
    assert main(run.folder) == 0 and run.status().state == "stopped"
