"""From Start to a chat, with the real launcher and real worker processes, as the page does it."""

import contextlib
import time

import pytest
from peft import PeftModel
from transformers import AutoTokenizer

from qlora_app.base_models import ModelChoice, load_model
from qlora_app.inference.pool import ModelPool
from qlora_app.inference.session import Decoding
from qlora_app.launch import local
from qlora_app.launch.local import launch
from qlora_app.launch.queue import Supervisor
from qlora_app.runs.checkpoints import newest_complete
from qlora_app.tasks.chat import Chat
from tests.conftest import short_recipe, wait_for
from tests.fixtures.answering import both
from tests.refusing import refused

pytestmark = pytest.mark.slow


def start(store, supervisor, recipe):
    run = store.create(recipe)
    run.request("start")
    supervisor.wake()
    return run


@pytest.fixture
def supervisor(store):
    one = Supervisor(store)
    one.start()
    yield one
    one.close()


def test_train_stop_resume_chat(store, supervisor):
    assert supervisor.leads and supervisor.wait_until_ready()
    run = start(store, supervisor, short_recipe(max_steps=400, evaluations=2, samples=1))
    wait_for(lambda: run.status().step >= 3)
    assert run.is_alive() and run.status().state == "running"

    second = start(store, supervisor, short_recipe(max_steps=2))
    time.sleep(1.5)
    assert second.status().state == "queued", "one run trains at a time"

    run.request("stop")
    wait_for(lambda: run.status().has_ended)
    stopped = run.status()
    assert stopped.state == "stopped" and f"step {stopped.step}" in stopped.sentence
    assert newest_complete(run.checkpoints).name == f"checkpoint-{stopped.step}"

    wait_for(lambda: second.status().state == "done")
    assert second.proof()["update"]["zero_layers"] == 0

    sessions = ModelPool()
    question = [{"role": "user", "content": "Where does Mira live?"}]
    last = both(sessions.get(run), question, Decoding(max_new_tokens=24))
    assert last[0] and last[0] != last[1], (
        "base and adapter answer side by side, differently"
    )  # so young, it may say nothing
    assert sessions.get(run) is sessions.get(run)
    assert sessions.get(second) is not None
    with refused("run.no_checkpoint_to_chat"):
        sessions.get(store.create(short_recipe()))


def test_a_worker_outlives_the_app_and_another_app_finds_it(store):
    first = Supervisor(store)
    first.start()
    run = start(store, first, short_recipe(max_steps=300, samples=0, evaluations=0))
    wait_for(lambda: run.status().step >= 1)
    first.close()  # the app ends
    second = Supervisor(store)
    second.start()
    try:
        assert second.leads and run.is_alive()
        before = run.status().step
        wait_for(lambda: run.status().step > before)
        waiting = start(store, second, short_recipe(max_steps=1, samples=0, scored_questions=0))
        time.sleep(1.5)
        assert waiting.status().state == "queued", "the earlier app's worker still trains"
        run.request("stop")
        wait_for(lambda: waiting.status().state == "done")
    finally:
        second.close()


def test_a_second_app_on_the_same_store_does_not_lead(store, monkeypatch):
    monkeypatch.setattr(local.LocalLauncher, "keep_warm", lambda self: None)  # nobody is to work here
    with contextlib.ExitStack() as apps:
        first, second = Supervisor(store), Supervisor(store)
        for app in (first, second):
            app.start()
            apps.callback(app.close)
        assert first.leads and not second.leads


def test_a_start_taken_back_never_begins(store):
    run = store.create(short_recipe())
    run.request("start")
    run.request("stop")
    assert run.status().state == "stopped" and "taken out of the queue" in run.status().sentence


def test_the_adapter_opens_with_plain_peft_and_answers_the_same(store):
    run = store.create(short_recipe(max_steps=12))
    assert launch(run).wait() == 0, run.log_tail()
    tokenizer = AutoTokenizer.from_pretrained(run.adapter)
    model = PeftModel.from_pretrained(load_model(ModelChoice()), str(run.adapter)).eval()
    last = run.status().step
    said = [(row["question"], row["answer"]) for row in run.samples() if row["step"] == last]
    assert said
    again = Chat().answer(
        model, tokenizer, [[{"role": "user", "content": question}] for question, _ in said], max_new_tokens=128
    )
    for (_, before), now in zip(said, again, strict=True):
        assert now.startswith(before)  # the sample may have been cut at its longest length
