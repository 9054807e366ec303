"""A training that goes on with less memory, and one that ends by itself before its last step."""

import copy
import datetime
import json
from types import SimpleNamespace

import bitsandbytes as bnb
import pytest
import torch
from safetensors.torch import load_file

from qlora_app import worker
from qlora_app.recipe import Training
from qlora_app.runs.proof import Proof
from qlora_app.runs.run import Spent
from qlora_app.train import callbacks, kind
from qlora_app.train.budget import USED_UP, Budget
from qlora_app.train.callbacks import MetricsCallback
from qlora_app.train.paged import takes_whole_state
from qlora_app.train.ranks import Ranks
from qlora_app.train.relief import Relief
from qlora_app.train.trainer import MethodTrainer
from qlora_app.train.world import World
from tests.conftest import UNASKED, short_recipe

NO_MEMORY = {
    "of a GPU": torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    "of the processor": RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: tried to allocate"),
}


@pytest.fixture
def acts(monkeypatch):
    """{step: what is called with the trainer at the beginning of every micro-batch of that step}"""
    found, before = {}, MethodTrainer.training_step

    def training_step(self, *given, **more):
        found.get(self.state.global_step + 1, lambda trainer: None)(self)
        return before(self, *given, **more)

    monkeypatch.setattr(MethodTrainer, "training_step", training_step)
    return found


def raising(error, above):
    def act(trainer):
        if trainer.job.micro_batch > above:
            raise error

    return act


def state_while_saving(monkeypatch, run):
    """A list that fills with the state that everybody sees of a run, one for each of its checkpoints."""
    states, seal = [], callbacks.seal

    def sealed(folder):
        states.append(run.status().state)
        seal(folder)

    monkeypatch.setattr(callbacks, "seal", sealed)
    return states


def losses(run):
    return [(row["step"], row["loss"]) for row in run.metrics()[0] if "loss" in row]


def codes(run):
    return [event["code"] for event in run.events()]


@pytest.mark.slow
def test_without_memory_it_goes_on_as_if_it_had_worked_in_smaller_parts_from_there(store, acts, monkeypatch):
    run, other = (store.create(short_recipe(**UNASKED)) for _ in range(2))
    acts[5] = raising(NO_MEMORY["of a GPU"], above=4)
    assert worker.main(run.folder) == 0 and run.status().state == "done"
    assert codes(run) == ["event.out_of_memory"]
    assert json.loads((run.folder / "relief.json").read_text())["micro_batch"] == 4
    (event,) = run.events()
    assert "at step 5" in event["sentence"] and "from step 3 with 4 examples" in event["sentence"]
    acts.clear()
    acts[3] = lambda trainer: other.request("stop")
    states = state_while_saving(monkeypatch, other)
    assert worker.main(other.folder) == 0 and other.status().step == 3
    assert states[-1] == "stopping", "what is stopped does not seem to go on while it is saved"
    acts.clear()
    with other.hold() as out:
        out.write("relief", Relief(micro_batch=4).to_json())
    assert worker.main(other.folder) == 0
    assert losses(run) == losses(other)
    a, b = (load_file(one.adapter / "adapter_model.safetensors") for one in (run, other))
    assert all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.slow
def test_it_gives_up_with_advice_when_nothing_is_left_to_save(store, acts):
    run = store.create(short_recipe(batch_size=2, max_steps=2, checkpoints=0, samples=0, scored_questions=0))
    acts[1] = raising(NO_MEMORY["of the processor"], above=0)
    assert worker.main(run.folder) == 1
    assert run.status().sentence.code == "training.out_of_memory"
    whats = [event["values"]["what"]["code"] for event in run.events()]
    assert whats == ["relief.smaller", "relief.checkpointing"]


def test_a_paged_optimizer_goes_on_where_the_other_one_was():
    def stepped(model, optimizer, steps):
        for number in steps:
            torch.manual_seed(number)
            optimizer.zero_grad()
            model(torch.randn(8, 64)).square().mean().backward()
            optimizer.step()

    one, other = (torch.nn.Linear(64, 80) for _ in range(2))
    whole = torch.optim.AdamW(one.parameters(), lr=1e-2)
    stepped(one, whole, range(5))
    saved = copy.deepcopy(whole.state_dict())
    other.load_state_dict(one.state_dict())
    paged = bnb.optim.PagedAdamW32bit(other.parameters(), lr=1e-2)
    takes_whole_state(paged)
    paged.load_state_dict(saved)
    paged.load_state_dict(copy.deepcopy(paged.state_dict()))  # its own too
    stepped(one, whole, range(5, 10))
    stepped(other, paged, range(5, 10))
    assert torch.allclose(one.weight, other.weight, atol=1e-6)


@pytest.mark.slow
def test_a_training_that_explodes_is_stopped_and_its_best_adapter_proven(store):
    wild = {"learning_rate": 1.0, "max_grad_norm": 100.0, "scheduler": "constant", "warmup_ratio": 0.2}
    few = {"checkpoints": 0, "samples": 0, "scored_questions": 0}
    run = store.create(short_recipe(max_steps=60, evaluations=30, batch_size=4, **few, **wild))
    assert worker.main(run.folder) == 0
    status, kept = run.status(), Proof.from_json(run.proof()).kept
    assert status.state == "done" and status.step < 60 and kept.step < status.step
    assert codes(run) == ["event.broken"]


@pytest.mark.slow
def test_early_stopping_ends_what_learns_no_more(store):
    wild = {"learning_rate": 0.5, "warmup_ratio": 0.5, "scheduler": "constant"}
    few = {"checkpoints": 0, "samples": 0, "scored_questions": 0}
    run = store.create(short_recipe(max_steps=24, evaluations=12, early_stopping=2, **few, **wild))
    assert worker.main(run.folder) == 0
    status, kept = run.status(), Proof.from_json(run.proof()).kept
    assert status.state == "done" and kept.best_step < status.step < 24
    assert codes(run) == ["event.early_stopping"]


@pytest.mark.slow
def test_a_budget_is_had_once_more_by_who_resumes(store):
    run = store.create(short_recipe(max_steps=6, max_tokens=900, batch_size=8, samples=0, scored_questions=0))
    assert worker.main(run.folder) == 0
    first = run.status()
    assert (first.state, first.sentence.code) == ("stopped", "run.stopped_by_budget") and 1 <= first.step < 6
    assert worker.main(run.folder) == 0 and run.status().step > first.step
    assert codes(run)[0] == USED_UP


MIDNIGHT = datetime.datetime(2026, 1, 1)


class Ran:
    """A run of which only the events are asked."""

    def __init__(self, *events):
        self.given = list(events)

    def events(self):
        return self.given


def test_minutes_count_over_all_parts_and_begin_anew_after_they_were_used_up():
    training = Training(max_minutes=10)
    budget = Budget(training, Ran(), MIDNIGHT)
    assert budget.used_up(Spent(599)) is None and budget.used_up(Spent(600)).code == "budget.minutes"
    again = Budget(training, Ran({"code": USED_UP, "seconds": 601.0, "tokens": 5}), MIDNIGHT)
    assert again.used_up(Spent(1200)) is None and again.used_up(Spent(1201)).code == "budget.minutes"


def test_a_budget_of_money_and_tokens():
    budget = Budget(Training(max_cost=2, price_an_hour=4), Ran(), MIDNIGHT)
    assert budget.used_up(Spent(1799)) is None and budget.used_up(Spent(1800)).code == "budget.cost"
    before = Ran({"code": USED_UP, "tokens": 500, "seconds": "nonsense"})
    budget = Budget(Training(max_tokens=1000), before, MIDNIGHT)
    assert budget.used_up(Spent(10**6, 1499)) is None and budget.used_up(Spent(0, 1500)).code == "budget.tokens"


@pytest.mark.parametrize(("launched", "ends"), [((22, 0), (2, 7, 30)), ((7, 30), (2, 7, 30)), ((7, 0), (1, 7, 30))])
def test_a_time_of_day_is_the_next_one_after_it_was_launched(launched, ends):
    end = datetime.datetime(2026, 1, *ends)
    clock = [end - datetime.timedelta(seconds=1)]
    budget = Budget(Training(stop_at="07:30"), Ran(), datetime.datetime(2026, 1, 1, *launched), now=lambda: clock[0])
    assert budget.used_up(Spent()) is None
    clock[0] = end + datetime.timedelta(minutes=1)  # it had to download until then
    assert budget.used_up(Spent()).code == "budget.time"


def test_what_was_trained_and_not_saved_is_spent_every_time(store):
    run, spent = store.create(short_recipe()), []
    for begin in (0, 3, 3, 3):  # each part crashes after step 8, and step 3 was saved
        with run.hold() as out:
            spent.append(MetricsCallback(out, [], begin).spent())
            MetricsCallback(out, [], begin)  # to look once more costs nothing
            for step in range(begin + 1, 9):
                out.append_metric({"step": step, "loss": 1.0, "seconds": 10.0 * step, "tokens": 100 * (step - begin)})
    assert [round(one.seconds) for one in spent] == [0, 80, 130, 180]
    assert [one.tokens for one in spent] == [0, 800, 1300, 1800]


def test_memory_that_is_not_enough_for_the_answers_trains_nothing_again(store, monkeypatch):
    run = store.create(short_recipe(checkpoints=0))
    trained: list[int] = []

    def without_memory(*_):
        raise NO_MEMORY["of a GPU"]

    trainer = SimpleNamespace(train=lambda **_: trained.append(1), state=SimpleNamespace(global_step=6))
    job = SimpleNamespace(
        run=run,
        recipe=run.recipe(),
        micro_batch=8,
        warnings=[],
        is_checkpointed=False,
        train=SimpleNamespace(cache=SimpleNamespace(save=lambda: None)),
        out=None,
        shared_by=lambda world: job,
        world=World(),
    )
    parts = {
        "prepare": lambda *_: job,
        "total_steps": lambda _: 6,
        "log_setup": lambda *_: None,
        "trainer_for": lambda *_: trainer,
        "BestSoFar": lambda *_: None,
        "finish": without_memory,
    }
    for name, value in parts.items():
        monkeypatch.setattr(kind, name, value)
    with run.hold() as out, pytest.raises(torch.OutOfMemoryError):
        kind._attempt(out, run.recipe(), [], Budget(Training(), run, MIDNIGHT), Ranks(out, run.recipe().launch))
    assert trained == [1] and run.events() == [] and Relief.of(run) == Relief()


def test_the_time_that_is_left_is_that_of_the_usual_steps(store, monkeypatch):
    """The first one makes ready what the others use: it alone says nothing."""
    clock = [100.0]
    monkeypatch.setattr("time.monotonic", lambda: clock[0])
    run = store.create(short_recipe())
    with run.hold() as out:
        reporter, left = MetricsCallback(out, [], 0), []
        for done, seconds in ((1, 40), (2, 1), (3, 1)):
            clock[0] += seconds
            left.append(reporter._seconds_left(done, 10 - done))
        with reporter.paused("Measuring."):
            clock[0] += 500
        clock[0] += 1
        left.append(reporter._seconds_left(4, 6))
    assert left == [None, 8, 7, 6]
